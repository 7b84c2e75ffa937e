/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Walking up the stack from handlers, as debuggers, profilers and exceptions of
 * C++ do: through a signal's frame and through the vDSO's entry function.
 */
#include <execinfo.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>

#include <cmocka.h>

#include "../programs/enclave.h"

#define MAX_DEPTH 64

typedef int (*enter_fn)(uint64_t rdi, uint64_t rsi, uint64_t rdx, unsigned int function,
			uint64_t r8, uint64_t r9, struct sgx_enclave_run *run);

static struct test_encl encl;
static struct test_op op;

static struct {
	void *pc[MAX_DEPTH];
	int depth;
} trace;

/* A debugger may wait here. */
void stop_here(void);

__attribute__((noinline)) void stop_here(void)
{
	__asm__ volatile("");
}

static void take_trace(void)
{
	trace.depth = backtrace(trace.pc, MAX_DEPTH);
	stop_here();
}

static void on_signal(int sig)
{
	if (sig == SIGALRM && (!op.started || op.flag))
		return;
	take_trace();
	op.flag = 1;
}

static int on_exit_of_the_enclave(long rdi, long rsi, long rdx, long rsp, long r8, long r9,
				  struct sgx_enclave_run *run)
{
	take_trace();
	return 0;
}

/* Nobody calls from these, but for the one place in each. */
__attribute__((noinline)) static void raise_a_signal(void)
{
	raise(SIGUSR1);
	__asm__ volatile("");
}

__attribute__((noinline)) static void fault(void)
{
	__asm__ volatile("ud2");
}

__attribute__((noinline)) static int call_the_vdso(struct sgx_enclave_run *run)
{
	enter_fn fn;
	void *p = test_vdso();
	int ret;

	memcpy(&fn, &p, sizeof(fn));
	ret = fn((uintptr_t)&op, 0, 0, ENCLU_EENTER, 0, 0, run);
	__asm__ volatile("");
	return ret;
}

static bool has(const void *function)
{
	for (int i = 0; i < trace.depth; i++)
		if ((uintptr_t)trace.pc[i] - (uintptr_t)function < 512)
			return true;
	return false;
}

/* --- tests ------------------------------------------------------------------------ */

static void skip_ud2(int sig, siginfo_t *info, void *context)
{
	take_trace();
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void from_a_signal_that_was_raised(void **state)
{
	trace.depth = 0;
	signal(SIGUSR1, on_signal);
	raise_a_signal();
	signal(SIGUSR1, SIG_DFL);
	assert_true(has((void *)raise_a_signal));
}

static void from_an_exception(void **state)
{
	const struct sigaction sa = { .sa_sigaction = skip_ud2, .sa_flags = SA_SIGINFO };

	trace.depth = 0;
	sigaction(SIGILL, &sa, NULL);
	fault();
	signal(SIGILL, SIG_DFL);
	assert_true(has((void *)fault));
}

static void from_the_handler_of_an_exit(void **state)
{
	struct sgx_enclave_run run = {
		.tcs = test_tcs(&encl, 0),
		.user_handler = (uintptr_t)on_exit_of_the_enclave,
	};

	trace.depth = 0;
	op = (struct test_op){ .kind = OP_NOP };
	assert_int_equal(call_the_vdso(&run), 0);
	assert_true(has((void *)call_the_vdso));
	assert_true(has((void *)from_the_handler_of_an_exit));
}

static void from_the_handler_of_an_exception(void **state)
{
	struct sgx_enclave_run run = {
		.tcs = test_tcs(&encl, 0),
		.user_handler = (uintptr_t)on_exit_of_the_enclave,
	};

	trace.depth = 0;
	op = (struct test_op){ .kind = OP_UD2 };
	assert_int_equal(call_the_vdso(&run), 0);
	assert_int_equal(run.exception_vector, VECTOR_UD);
	assert_true(has((void *)call_the_vdso));
}

static void from_a_signal_that_came_inside(void **state)
{
	const struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sgx_enclave_run run = { .tcs = test_tcs(&encl, 0) };

	trace.depth = 0;
	op = (struct test_op){ .kind = OP_SPIN };
	signal(SIGALRM, on_signal);
	setitimer(ITIMER_REAL, &every, NULL);
	assert_int_equal(call_the_vdso(&run), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_DFL);
	assert_true(has((void *)call_the_vdso));
	assert_true(has((void *)from_a_signal_that_came_inside));
}

static int setup(void **state)
{
	void *pc[1];

	/* It loads a library when it is called first. */
	backtrace(pc, 1);
	return test_encl_build(&encl, &(struct test_config){ .nr_ssa = 2 });
}

static int teardown(void **state)
{
	test_encl_free(&encl);
	return 0;
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(from_a_signal_that_was_raised),
		EACH(from_an_exception),
		EACH(from_the_handler_of_an_exit),
		EACH(from_the_handler_of_an_exception),
		EACH(from_a_signal_that_came_inside),
	};

	return cmocka_run_group_tests_name("client unwind", tests, NULL, NULL);
}
