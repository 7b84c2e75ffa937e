/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Has a page of its enclave written out that the processor needs, says so, waits for
 * a line, and goes where that page is needed: for a test that stops the machine
 * before, and ends it while the thread waits.  To be run with an EPC of 1 MiB.
 *
 * usage: lose-pages enter|resume|exit|child
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"

#define HEAP_PAGES 500u

static struct test_encl encl;

static bool is_away(uint64_t la)
{
	unsigned char resident = 1;

	mincore((void *)la, PAGE_SIZE, &resident);
	return !(resident & 1);
}

/* By the second thread of the enclave, until the page at @la is out. */
static void have_out(uint64_t la)
{
	while (!is_away(la)) {
		struct test_op op = {
			.kind = OP_SWEEP,
			.addr = (uintptr_t)encl.base + encl.heap_offset,
			.value = HEAP_PAGES,
		};

		test_enter(&encl, 1, &op);
	}
}

static bool ready(void)
{
	char line[16];

	printf("ready\n");
	fflush(stdout);
	return fgets(line, sizeof(line), stdin);
}

static void show(const struct sgx_enclave_run *run)
{
	if (run->function == ENCLU_EEXIT)
		printf("left the enclave\n");
	else
		printf("vector %u error %x\n", run->exception_vector, run->exception_error_code);
	fflush(stdout);
}

static void enter(void)
{
	struct sgx_enclave_run run = { 0 };
	struct test_op op = { .kind = OP_GET };

	have_out(test_tcs(&encl, 0));
	if (!ready())
		return;
	test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &op, &run);
	show(&run);
}

/* A thread that faulted, whose registers are outside. */
static void resume(void)
{
	const uint64_t ssa = test_tcs(&encl, 0) - ENCL_THREAD_TCS + ENCL_THREAD_SSA;
	struct sgx_enclave_run run = { 0 };
	struct test_op op = { .kind = OP_UD2 };

	test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &op, &run);
	have_out(ssa);
	if (!ready())
		return;
	test_call(&encl, test_tcs(&encl, 0), ENCLU_ERESUME, NULL, &run);
	show(&run);
}

static struct test_op spin_op = { .kind = OP_SPIN };
static struct sgx_enclave_run spin_run;

static void *spin(void *arg)
{
	test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &spin_op, &spin_run);
	return NULL;
}

static void do_nothing(int sig)
{
}

/* A thread that is interrupted, and whose registers have nowhere to go. */
static void leave(void)
{
	const uint64_t ssa = test_tcs(&encl, 0) - ENCL_THREAD_TCS + ENCL_THREAD_SSA;
	pthread_t thread;

	signal(SIGUSR1, do_nothing);
	pthread_create(&thread, NULL, spin, NULL);
	while (!spin_op.started)
		sched_yield();
	have_out(ssa);
	if (!ready())
		return;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	show(&spin_run);
}

static void child(void)
{
	const pid_t pid = fork();

	if (!pid) {
		enter();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} modes[] = { { "enter", enter }, { "resume", resume }, { "exit", leave }, { "child", child } };

	if (test_encl_build(&encl, &(struct test_config){ .nr_threads = 2,
							  .heap_pages = HEAP_PAGES }))
		return 1;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (argc == 2 && !strcmp(argv[1], modes[i].name))
			modes[i].run();
	return 0;
}
