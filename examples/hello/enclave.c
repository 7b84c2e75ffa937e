/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hello enclave: sums primes for a program it does not trust, and keeps a
 * running total that the program cannot reach.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "request.h"

/* Set by the linker script; hidden, so that no relocation is needed to find them. */
extern const char enclave_base[] __attribute__((visibility("hidden")));
extern const char enclave_end[] __attribute__((visibility("hidden")));

void enclave_main(volatile struct request *req);

static uint64_t total;

/* An enclave that writes where it is told must not be told to write on itself. */
static bool is_outside(uint64_t addr, uint64_t len)
{
	const uint64_t base = (uint64_t)(uintptr_t)enclave_base;
	const uint64_t end = (uint64_t)(uintptr_t)enclave_end;

	if (addr + len < addr)
		return false;
	return addr + len <= base || addr >= end;
}

/* By trial division; the program has a sieve, so that two ways must agree. */
static bool is_prime(uint64_t n)
{
	if (n < 2)
		return false;
	for (uint64_t d = 2; d * d <= n; d++)
		if (n % d == 0)
			return false;
	return true;
}

static bool numbers_fit(uint64_t nr)
{
	return nr <= UINT64_MAX / sizeof(uint64_t);
}

/**
 * enclave_main() - serve one request.
 * @req: address the program passed in RDI; may be anything.
 *
 * Each field is read once: the program can change it at any time.
 */
void enclave_main(volatile struct request *req)
{
	uint64_t nr, sum = 0, nr_primes = 0;
	const volatile uint64_t *numbers;

	if (!is_outside((uint64_t)(uintptr_t)req, sizeof(*req)))
		return;

	numbers = (const volatile uint64_t *)(uintptr_t)req->numbers;
	nr = req->nr_numbers;
	if (!numbers_fit(nr) || !is_outside((uint64_t)(uintptr_t)numbers, nr * sizeof(*numbers))) {
		req->status = 1;
		return;
	}

	for (uint64_t i = 0; i < nr; i++) {
		const uint64_t n = numbers[i];

		if (!is_prime(n))
			continue;
		nr_primes++;
		sum += n;
	}
	total += sum;

	req->nr_primes = nr_primes;
	req->sum = sum;
	req->total = total;
	req->status = 0;
}
