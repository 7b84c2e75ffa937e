/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hello: the smallest whole SGX program.  It builds the enclave that lies
 * beside it, lets it sum primes, checks the result by its own means, and exits
 * with 0 only if everything was right.
 *
 * It uses Linux's own interface and nothing else: /dev/sgx_enclave, <asm/sgx.h>
 * and __vdso_sgx_enter_enclave.
 */
#include <asm/sgx.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "layout.h"
#include "load.h"
#include "request.h"
#include "vdso.h"

#define LIMIT 10000

/* How the enclave was left, for people. */
static void print_exit(const struct sgx_enclave_run *run)
{
	fprintf(stderr,
		"hello: the enclave was left by an exception: vector %u, error code 0x%x, "
		"address 0x%" PRIx64 ", in ENCLU function %u\n",
		run->exception_vector, run->exception_error_code, (uint64_t)run->exception_addr,
		run->function);
}

static bool call_enclave(vdso_sgx_enter_enclave_t enter, const struct enclave *encl,
			 struct request *req)
{
	struct sgx_enclave_run run = { .tcs = (uintptr_t)encl->base + HELLO_TCS_OFFSET };
	const int ret = enter((uintptr_t)req, 0, 0, ENCLU_EENTER, 0, 0, &run);

	if (ret) {
		fprintf(stderr, "hello: __vdso_sgx_enter_enclave: %s\n", strerror(-ret));
		return false;
	}
	if (run.function != ENCLU_EEXIT) {
		print_exit(&run);
		return false;
	}
	if (req->status) {
		fprintf(stderr, "hello: the enclave refused the request\n");
		return false;
	}
	return true;
}

/* The sieve of Eratosthenes; the enclave divides. */
static uint64_t sum_of_primes_below(unsigned int limit, uint64_t *nr_primes)
{
	static bool composite[LIMIT];
	uint64_t sum = 0;

	*nr_primes = 0;
	for (unsigned int n = 2; n < limit; n++) {
		if (composite[n])
			continue;
		sum += n;
		(*nr_primes)++;
		for (unsigned int k = 2 * n; k < limit; k += n)
			composite[k] = true;
	}
	return sum;
}

/* Twice, to see that the enclave remembers. */
static bool compute(vdso_sgx_enter_enclave_t enter, const struct enclave *encl)
{
	static uint64_t numbers[LIMIT];
	struct request req = { .numbers = (uintptr_t)numbers, .nr_numbers = LIMIT, .status = 1 };
	uint64_t nr_primes;
	const uint64_t sum = sum_of_primes_below(LIMIT, &nr_primes);

	for (unsigned int i = 0; i < LIMIT; i++)
		numbers[i] = i;

	for (unsigned int call = 1; call <= 2; call++) {
		if (!call_enclave(enter, encl, &req))
			return false;
		printf("enter    call %u: of %d numbers %" PRIu64 " are prime, sum %" PRIu64
		       ", total so far %" PRIu64 "\n",
		       call, LIMIT, req.nr_primes, req.sum, req.total);
		if (req.nr_primes != nr_primes || req.sum != sum || req.total != call * sum) {
			fprintf(stderr, "hello: wrong: expected %" PRIu64 " primes, sum %" PRIu64
				", total %" PRIu64 "\n", nr_primes, sum, call * sum);
			return false;
		}
	}
	printf("check    the same by the program's own computation\n");
	return true;
}

static void print_summary(const struct enclave *encl)
{
	printf("MRENCLAVE ");
	for (size_t i = 0; i < sizeof(encl->mrenclave); i++)
		printf("%02x", encl->mrenclave[i]);
	printf("\nEPC      %u pages: %u added and the SECS\n", encl->nr_added + 1, encl->nr_added);
}

static bool run(const char *dir)
{
	const vdso_sgx_enter_enclave_t enter =
		(vdso_sgx_enter_enclave_t)vdso_symbol("__vdso_sgx_enter_enclave");
	struct enclave encl;
	bool ok = enclave_load(&encl, dir);

	if (ok && !enter) {
		fprintf(stderr, "hello: the vDSO has no __vdso_sgx_enter_enclave; "
			"is the kernel older than 5.11?\n");
		ok = false;
	}
	if (ok) {
		print_summary(&encl);
		ok = compute(enter, &encl);
	}
	enclave_unload(&encl);
	return ok;
}

int main(void)
{
	char self[PATH_MAX];
	const ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len < 0) {
		perror("hello: /proc/self/exe");
		return 1;
	}
	self[len] = '\0';
	/* One line a step, also when stdout is a pipe. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	return run(dirname(self)) ? 0 : 1;
}
