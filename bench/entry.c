/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What going in and out of an enclave costs: EENTER and EEXIT through the vDSO
 * function, against the same with an EEXIT that traps, and against bare SIGILL
 * round trips, which is what each ENCLU would cost if it did nothing but trap.
 * All run in turns.
 *
 * Started by hand it runs itself again under swsgx.
 *
 * usage: entry [--json FILE] [--calls N] [--rounds N]
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"
#include "self.h"
#include "timing.h"

#define MIN_RATIO 40.0
#define MAX_TRAPPED 1.1
#define ENCLU_LENGTH 3

struct kernel_sigaction {
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

static void skip_enclu(int sig, siginfo_t *info, void *context)
{
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += ENCLU_LENGTH;
}

__asm__(".text\nbench_restorer: mov $15, %eax\n\tsyscall\n");
void bench_restorer(void);

/* Straight to the kernel, past everything that stands before sigaction(). */
static void set_sigill(const struct kernel_sigaction *new, struct kernel_sigaction *old)
{
	syscall(SYS_rt_sigaction, SIGILL, new, old, sizeof(new->mask));
}

static double bare_sigill_ns(size_t calls)
{
	const struct kernel_sigaction bare = {
		.handler = skip_enclu,
		.flags = SA_SIGINFO | 0x04000000,	/* SA_RESTORER */
		.restorer = bench_restorer,
	};
	struct kernel_sigaction old;
	double start;

	set_sigill(&bare, &old);
	start = now_ns();
	for (size_t i = 0; i < calls; i++)
		__asm__ volatile(".byte 0x0f, 0x01, 0xd7" : : "a"(0) : "memory");
	start = now_ns() - start;
	set_sigill(&old, NULL);
	return start / (double)calls;
}

/* As a runtime does it that prepares what stays the same. */
static double round_trip_ns(const struct test_encl *encl, uintptr_t how, size_t calls)
{
	struct sgx_enclave_run run = { .tcs = test_tcs(encl, 0) };
	uint64_t regs[NR_REGS] = { 0 };
	void *const enter = test_vdso();
	double start = now_ns();
	int ret = 0;

	for (size_t i = 0; i < calls && !ret; i++) {
		regs[R_RDI] = how;
		ret = enter_vdso(regs, &run, ENCLU_EENTER, enter, NULL);
	}
	start = now_ns() - start;
	if (ret || run.function != ENCLU_EEXIT) {
		fprintf(stderr, "entry: the enclave was not left by EEXIT\n");
		exit(1);
	}
	return start / (double)calls;
}

/* The same by an ENCLU of the program's own, as runtimes with their own AEP do. */
static double own_enclu_ns(const struct test_encl *encl, size_t calls)
{
	uint64_t regs[NR_REGS] = { 0 };
	double start = now_ns();

	for (size_t i = 0; i < calls; i++) {
		regs[R_RDI] = 0;
		enter_raw(regs, test_tcs(encl, 0), ENCLU_EENTER);
	}
	return (now_ns() - start) / (double)calls;
}

static void report(double entry, double own, double trapped, double bare, const char *json)
{
	FILE *f;

	printf("%-52s %8s\n", "median", "ns");
	printf("%-52s %8.0f\n", "EENTER + EEXIT through the vDSO", entry);
	printf("%-52s %8.0f\n", "EENTER + EEXIT by an ENCLU of the program", own);
	printf("%-52s %8.0f\n", "through the vDSO, EEXIT by SIGILL", trapped);
	printf("%-52s %8.0f\n", "one bare SIGILL round trip", bare);
	printf("%-52s %8.1f   (goal: >= %.0f)\n", "times faster than with a trap",
	       trapped / entry, MIN_RATIO);
	printf("%-52s %8.3f   (goal: <= %.1f)\n", "with a trap, ratio to a bare one",
	       trapped / bare, MAX_TRAPPED);
	if (!json)
		return;
	f = fopen(json, "w");
	if (!f) {
		perror(json);
		exit(1);
	}
	fprintf(f, "{ \"entry_ns\": %.1f, \"own_enclu_ns\": %.1f, \"trapped_ns\": %.1f, \"bare_sigill_ns\": %.1f, "
		   "\"times_faster\": %.2f, \"goal\": %.1f, \"trapped_ratio\": %.4f, "
		   "\"trapped_goal\": %.1f }\n",
		entry, own, trapped, bare, trapped / entry, MIN_RATIO, trapped / bare, MAX_TRAPPED);
	fclose(f);
}

int main(int argc, char **argv)
{
	size_t calls = 1000, rounds = 15;
	const char *json = NULL;
	struct test_encl encl;
	double *entry, *own, *trapped, *bare;

	run_under_swsgx("64M", argc, argv);
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--json"))
			json = argv[i + 1];
		else if (!strcmp(argv[i], "--calls"))
			calls = strtoul(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--rounds"))
			rounds = strtoul(argv[i + 1], NULL, 0);
	}
	entry = calloc(rounds, sizeof(*entry));
	own = calloc(rounds, sizeof(*own));
	trapped = calloc(rounds, sizeof(*trapped));
	bare = calloc(rounds, sizeof(*bare));
	if (!entry || !own || !trapped || !bare || !rounds || !calls ||
	    test_encl_build(&encl, &(struct test_config){ 0 })) {
		fprintf(stderr, "entry: the enclave cannot be built\n");
		return 1;
	}
	for (size_t i = 0; i < rounds; i++) {
		entry[i] = round_trip_ns(&encl, 0, calls);
		own[i] = own_enclu_ns(&encl, calls);
		trapped[i] = round_trip_ns(&encl, OP_LEAVE_BY_TRAP, calls);
		bare[i] = bare_sigill_ns(calls);
	}
	report(median(entry, rounds), median(own, rounds), median(trapped, rounds), median(bare, rounds), json);
	test_encl_free(&encl);
	free(entry);
	free(own);
	free(trapped);
	free(bare);
	return 0;
}
