/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Enter an enclave and leave it, often; print what that takes, and what a system
 * call takes, the least of several rounds.  For guests, see bench/guest.
 */
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "enclave.h"

#define ROUNDS 20
#define TIMES 200

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(void)
{
	uint64_t entry = UINT64_MAX, call = UINT64_MAX, start, took;
	struct test_encl encl;

	if (test_encl_build(&encl, &(struct test_config){ .nr_ssa = 2 })) {
		fputs("enter-often: there is no SGX here\n", stderr);
		return 1;
	}
	for (int round = 0; round < ROUNDS; round++) {
		start = now_ns();
		for (int i = 0; i < TIMES; i++) {
			struct test_op op = { .kind = OP_NOP };

			test_enter(&encl, 0, &op);
		}
		took = (now_ns() - start) / TIMES;
		entry = took < entry ? took : entry;

		start = now_ns();
		for (int i = 0; i < TIMES; i++)
			syscall(SYS_getppid);
		took = (now_ns() - start) / TIMES;
		call = took < call ? took : call;
	}
	printf("entry %llu ns, system call %llu ns\n", (unsigned long long)entry,
	       (unsigned long long)call);
	test_encl_free(&encl);
	return 0;
}
