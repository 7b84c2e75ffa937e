/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls into an enclave while timers interrupt them wherever they are: before,
 * in and after the entry path.  Each call's answer is checked.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "../programs/enclave.h"

#define SECONDS 3
#define MIN_SIGNALS 100
#define FAST_US 200
#define SLOW_US 1000

static struct test_encl encl;
static _Thread_local int thread_word = 4242;
static _Thread_local unsigned int my_thread;
static _Atomic unsigned int nr_signals, nr_wrong, nr_nested, nr_nested_wrong;

static void check(const ucontext_t *uc)
{
	const greg_t *g = uc->uc_mcontext.gregs;

	nr_signals++;
	if (thread_word != 4242 || test_is_inside(&encl, (uint64_t)g[REG_RIP]) ||
	    test_is_inside(&encl, (uint64_t)g[REG_RSP]))
		nr_wrong++;
}

static void on_timer(int sig, siginfo_t *info, void *context)
{
	check(context);
}

static void on_timer_enter(int sig, siginfo_t *info, void *context)
{
	const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	const uint64_t tcs = test_tcs(&encl, my_thread);
	struct test_op op = { .kind = OP_COMPUTE, .value = 10 };
	struct sgx_enclave_run run = { 0 };
	const int saved = errno;

	check(context);
	if (g[REG_RAX] == ENCLU_ERESUME && (uint64_t)g[REG_RBX] == tcs &&
	    g[REG_RCX] == g[REG_RIP]) {
		nr_nested++;
		if (test_call(&encl, tcs, ENCLU_EENTER, &op, &run) ||
		    run.function != ENCLU_EEXIT || op.result != op_compute(10) ||
		    op.entry[R_RAX] != 1)
			nr_nested_wrong++;
	}
	errno = saved;
}

static void start(void (*handler)(int, siginfo_t *, void *), int flags, long us)
{
	const struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
	const struct itimerval every = { { 0, us }, { 0, us } };

	nr_signals = nr_wrong = nr_nested = nr_nested_wrong = 0;
	assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
}

static void stop(void)
{
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };

	setitimer(ITIMER_REAL, &never, NULL);
	assert_int_equal(nr_wrong, 0);
	assert_int_equal(nr_nested_wrong, 0);
	assert_in_range(nr_signals, MIN_SIGNALS, UINT32_MAX);
}

/* And enough signals came: on a busy machine that takes longer. */
static bool time_is_up(const struct timespec *begin)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - begin->tv_sec >= SECONDS && nr_signals >= MIN_SIGNALS;
}

/* The number of calls that answered wrongly. */
static unsigned int call_until_time_is_up(void)
{
	unsigned int wrong = 0;
	struct timespec begin;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned int i = 0; i % 64 || !time_is_up(&begin); i++) {
		struct test_op op = { .kind = OP_COMPUTE, .value = i % 200 };
		struct sgx_enclave_run run = { 0 };

		if (test_call(&encl, test_tcs(&encl, my_thread), ENCLU_EENTER, &op, &run) ||
		    run.function != ENCLU_EEXIT || op.result != op_compute(i % 200))
			wrong++;
	}
	return wrong;
}

static void *call_as_second(void *arg)
{
	unsigned int *wrong = arg;

	my_thread = 1;
	*wrong = call_until_time_is_up();
	return NULL;
}

static void calls_answer_rightly_at_1_khz(void **state)
{
	start(on_timer, 0, SLOW_US);
	assert_int_equal(call_until_time_is_up(), 0);
	stop();
}

static void calls_answer_rightly_at_5_khz(void **state)
{
	start(on_timer, SA_RESTART, FAST_US);
	assert_int_equal(call_until_time_is_up(), 0);
	stop();
}

static void and_with_a_handler_that_enters(void **state)
{
	start(on_timer_enter, 0, FAST_US);
	assert_int_equal(call_until_time_is_up(), 0);
	stop();
	assert_in_range(nr_nested, 1, UINT32_MAX);
}

static void and_two_threads(void **state)
{
	unsigned int wrong = 1;
	pthread_t thread;

	start(on_timer_enter, 0, FAST_US);
	assert_int_equal(pthread_create(&thread, NULL, call_as_second, &wrong), 0);
	assert_int_equal(call_until_time_is_up(), 0);
	pthread_join(thread, NULL);
	assert_int_equal(wrong, 0);
	stop();
}

/* Faults of the enclave under the same timer: two kinds of exit at once. */
static void and_faults_inside(void **state)
{
	const uint64_t addr = (uintptr_t)encl.base + ENCL_PROBE_OFFSET;
	void *page = (void *)(uintptr_t)addr;
	struct timespec begin;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	start(on_timer, 0, FAST_US);
	for (unsigned int i = 0; i % 16 || !time_is_up(&begin); i++) {
		struct test_op write = { .kind = OP_WRITE, .addr = addr, .value = i & 0xff };
		struct test_op read = { .kind = OP_READ, .addr = addr };
		struct sgx_enclave_run run = { 0 };

		assert_int_equal(mprotect(page, PAGE_SIZE, PROT_READ), 0);
		test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &write, &run);
		assert_int_equal(run.function, ENCLU_ERESUME);
		assert_int_equal(run.exception_vector, VECTOR_PF);
		assert_int_equal(run.exception_addr, addr);
		assert_int_equal(mprotect(page, PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
		test_call(&encl, test_tcs(&encl, 0), ENCLU_ERESUME, NULL, &run);
		assert_int_equal(run.function, ENCLU_EEXIT);
		test_enter(&encl, 0, &read);
		assert_int_equal(read.result, i & 0xff);
	}
	stop();
}

/* Mappings, masks and children while a second thread calls. */
static void and_everything_else_meanwhile(void **state)
{
	struct timespec begin;
	unsigned int wrong = 1;
	pthread_t thread;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	start(on_timer, SA_RESTART, SLOW_US);
	assert_int_equal(pthread_create(&thread, NULL, call_as_second, &wrong), 0);
	while (!time_is_up(&begin)) {
		sigset_t all, old;
		void *p = mmap(NULL, 16 * PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		assert_ptr_not_equal(p, MAP_FAILED);
		sigfillset(&all);
		pthread_sigmask(SIG_BLOCK, &all, &old);
		assert_int_equal(munmap(encl.base + ENCL_PROBE_OFFSET, PAGE_SIZE), 0);
		assert_int_equal(test_encl_map(&encl), 0);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		munmap(p, 16 * PAGE_SIZE);
	}
	pthread_join(thread, NULL);
	assert_int_equal(wrong, 0);
	stop();
}

/* libc tells every thread, by a signal of its own. */
static void and_a_change_of_group_meanwhile(void **state)
{
	struct timespec begin;
	unsigned int wrong = 1;
	pthread_t thread;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	start(on_timer, SA_RESTART, SLOW_US);
	assert_int_equal(pthread_create(&thread, NULL, call_as_second, &wrong), 0);
	while (!time_is_up(&begin)) {
		assert_int_equal(setgid(getgid()), 0);
		usleep(100);
	}
	pthread_join(thread, NULL);
	assert_int_equal(wrong, 0);
	stop();
}

static int setup(void **state)
{
	return test_encl_build(&encl, &(struct test_config){ .nr_threads = 2, .nr_ssa = 3 });
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
		EACH(calls_answer_rightly_at_1_khz),
		EACH(calls_answer_rightly_at_5_khz),
		EACH(and_with_a_handler_that_enters),
		EACH(and_two_threads),
		EACH(and_faults_inside),
		EACH(and_everything_else_meanwhile),
		EACH(and_a_change_of_group_meanwhile),
	};

	return cmocka_run_group_tests_name("client stress", tests, NULL, NULL);
}
