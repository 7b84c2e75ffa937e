/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the program asks the enclave: a structure in the program's own memory,
 * whose address travels in RDI.
 */
#ifndef HELLO_REQUEST_H
#define HELLO_REQUEST_H

#include <stdint.h>

/**
 * struct request - sum the primes among some numbers.
 * @numbers: in: address of the numbers, in the program's memory.
 * @nr_numbers: in: how many.
 * @nr_primes: out: how many of them are prime.
 * @sum: out: their sum.
 * @total: out: sum over all requests; the enclave keeps it in its own memory.
 * @status: out: 0, or 1 for a request the enclave would not touch.
 */
struct request {
	uint64_t numbers;
	uint64_t nr_numbers;
	uint64_t nr_primes;
	uint64_t sum;
	uint64_t total;
	uint64_t status;
};

#endif /* HELLO_REQUEST_H */
