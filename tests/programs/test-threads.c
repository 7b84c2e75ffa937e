/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several threads in one enclave: each TCS lets one in at a time.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"

#define NR_THREADS 4
#define ROUNDS 50000000ull

static struct test_encl encl;

/* cmocka's assertions belong to the main thread; others report here. */
struct worker {
	pthread_t thread;
	unsigned int i;
	struct test_op op;
	struct sgx_enclave_run run;
	int ret;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	w->ret = test_call(&encl, test_tcs(&encl, w->i), ENCLU_EENTER, &w->op, &w->run);
	return NULL;
}

static void start(struct worker *w, unsigned int i, uint64_t kind, uint64_t value)
{
	*w = (struct worker){ .i = i, .op = { .kind = kind, .value = value } };
	assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

static void join(struct worker *w)
{
	assert_int_equal(pthread_join(w->thread, NULL), 0);
	assert_int_equal(w->ret, 0);
	assert_int_equal(w->run.function, ENCLU_EEXIT);
}

static void wait_until_inside(const struct worker *w)
{
	while (!w->op.started)
		sched_yield();
}

static void threads_compute_side_by_side(void **state)
{
	struct worker w[NR_THREADS];

	for (unsigned int i = 0; i < NR_THREADS; i++)
		start(&w[i], i, OP_COMPUTE, ROUNDS + i);
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		join(&w[i]);
		assert_int_equal(w[i].op.result, op_compute(ROUNDS + i));
		assert_int_equal(w[i].op.entry[R_FSBASE], (uintptr_t)encl.base +
				 ENCL_THREAD_OFFSET + i * ENCL_THREAD_SIZE);
	}
}

static void a_busy_tcs_refuses_a_second_thread(void **state)
{
	struct sgx_enclave_run run = { 0 };
	struct worker w;

	start(&w, 0, OP_SPIN, 0);
	wait_until_inside(&w);
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, NULL, &run), 0);
	w.op.flag = 1;
	join(&w);
	assert_int_equal(run.function, ENCLU_EENTER);
	assert_int_equal(run.exception_vector, VECTOR_GP);
	assert_int_equal(run.exception_error_code, 0);
	assert_int_equal(run.exception_addr, 0);
}

static void another_tcs_is_free_meanwhile(void **state)
{
	struct test_op put = { .kind = OP_PUT, .value = 5 }, get = { .kind = OP_GET };
	struct worker w;

	start(&w, 0, OP_SPIN, 0);
	wait_until_inside(&w);
	test_enter(&encl, 1, &put);
	test_enter(&encl, 1, &get);
	w.op.flag = 1;
	join(&w);
	assert_int_equal(get.result, 5);
}

static void a_tcs_left_by_one_thread_serves_another(void **state)
{
	struct worker w;

	for (unsigned int i = 0; i < 100; i++) {
		start(&w, 0, OP_COMPUTE, 1000);
		join(&w);
		assert_int_equal(w.op.result, op_compute(1000));
	}
}

static void *hammer(void *arg)
{
	struct worker *w = arg;

	for (unsigned int n = 0; n < 30000; n++) {
		w->op = (struct test_op){ .kind = OP_COMPUTE, .value = 10 + w->i };
		w->ret = test_call(&encl, test_tcs(&encl, w->i), ENCLU_EENTER, &w->op, &w->run);
		if (w->ret || w->run.function != ENCLU_EEXIT ||
		    w->op.result != op_compute(10 + w->i))
			break;
		w->op.result2 = n + 1;
	}
	return NULL;
}

static void four_threads_enter_at_full_speed(void **state)
{
	struct worker w[NR_THREADS];

	for (unsigned int i = 0; i < NR_THREADS; i++) {
		w[i] = (struct worker){ .i = i };
		assert_int_equal(pthread_create(&w[i].thread, NULL, hammer, &w[i]), 0);
	}
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		join(&w[i]);
		assert_int_equal(w[i].op.result2, 30000);
	}
}

/* --- threads that libc knows nothing of ------------------------------------------------ */

#define NR_BARE 3
#define BARE_STACK 65536
#define CLONE_BARE (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_THREAD |             \
		    CLONE_SIGHAND | CLONE_CHILD_CLEARTID)

/* They share libc's thread-local storage with their creator: nothing here uses it. */
struct bare {
	unsigned int i;
	struct test_op op;
	uint64_t expected;
	volatile pid_t alive;		/* cleared by the kernel */
	volatile unsigned int good;
	uint64_t fsbase;
	volatile uint64_t gs_area;
	volatile bool wrong_gs;
	uint8_t stack[BARE_STACK] __attribute__((aligned(16)));
};

static volatile unsigned int bare_signals;

static void on_bare_signal(int sig)
{
	__atomic_add_fetch(&bare_signals, 1, __ATOMIC_RELAXED);
}

static int bare_thread(void *arg)
{
	struct bare *b = arg;
	uint64_t gs;

	__asm__ volatile("rdfsbase %0" : "=r"(b->fsbase));
	__asm__ volatile("wrgsbase %0" : : "r"(&b->gs_area));
	for (unsigned int n = 0; n < 20; n++) {
		uint64_t regs[NR_REGS] = { [R_RDI] = (uintptr_t)&b->op };

		b->op = (struct test_op){ .kind = OP_COMPUTE, .value = ROUNDS / 10 + b->i };
		enter_raw(regs, test_tcs(&encl, b->i), ENCLU_EENTER);
		b->good += b->op.result == b->expected;
		__asm__ volatile("rdgsbase %0" : "=r"(gs));
		b->wrong_gs |= gs != (uintptr_t)&b->gs_area;
	}
	return 0;
}

static struct bare bare[NR_BARE];

static void start_bare(unsigned int i)
{
	struct bare *b = &bare[i];

	memset(b, 0, sizeof(*b));
	b->i = i + 1;
	b->expected = op_compute(ROUNDS / 10 + b->i);
	b->alive = 1;
	assert_true(clone(bare_thread, b->stack + BARE_STACK, CLONE_BARE, b, NULL, NULL,
			  &b->alive) > 0);
}

/* As clone(), without libc, or anybody, knowing. */
static long clone_silently(int (*fn)(void *), void *stack, unsigned long flags, void *arg,
			   volatile pid_t *alive)
{
	void **top = (void **)stack - 2;
	register long r10 __asm__("r10") = (long)alive;
	register long r8 __asm__("r8") = 0;
	long ret = SYS_clone;

	top[0] = (void *)(uintptr_t)fn;
	top[1] = arg;
	__asm__ volatile("syscall\n\t"
			 "test %0, %0\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "pop %%rax\n\t"
			 "pop %%rdi\n\t"
			 "call *%%rax\n\t"
			 "mov %%eax, %%edi\n\t"
			 "mov %[exit], %%eax\n\t"
			 "syscall\n"
			 "1:"
			 : "+a"(ret)
			 : "D"(flags), "S"(top), "d"(0), "r"(r10), "r"(r8), [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	return ret;
}

static int bare_thread_by_vdso(void *arg)
{
	struct bare *b = arg;

	for (unsigned int n = 0; n < 20; n++) {
		struct sgx_enclave_run run = { 0 };

		b->op = (struct test_op){ .kind = OP_COMPUTE, .value = ROUNDS / 10 + b->i };
		test_call(&encl, test_tcs(&encl, b->i), ENCLU_EENTER, &b->op, &run);
		b->good += run.function == ENCLU_EEXIT && b->op.result == b->expected;
	}
	return 0;
}

static void threads_nobody_was_told_of_enter_by_the_vdso(void **state)
{
	struct test_op op = { .kind = OP_NOP };
	bool alive;

	test_enter(&encl, 0, &op);
	for (unsigned int i = 0; i < NR_BARE; i++) {
		struct bare *b = &bare[i];

		*b = (struct bare){ .i = i + 1, .expected = op_compute(ROUNDS / 10 + i + 1),
				    .alive = 1 };
		assert_true(clone_silently(bare_thread_by_vdso, b->stack + BARE_STACK, CLONE_BARE,
					   b, &b->alive) > 0);
	}
	do {
		op = (struct test_op){ .kind = OP_COMPUTE, .value = 100000 };
		test_enter(&encl, 0, &op);
		assert_int_equal(op.result, op_compute(100000));
		alive = false;
		for (unsigned int i = 0; i < NR_BARE; i++)
			alive |= bare[i].alive;
	} while (alive);
	for (unsigned int i = 0; i < NR_BARE; i++)
		assert_int_equal(bare[i].good, 20);
}

static void threads_that_share_one_libc_enter(void **state)
{
	const struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	struct test_op op;
	bool alive;

	signal(SIGALRM, on_bare_signal);
	for (unsigned int i = 0; i < NR_BARE; i++)
		start_bare(i);
	setitimer(ITIMER_REAL, &every, NULL);
	do {
		/* This one by the vDSO meanwhile. */
		op = (struct test_op){ .kind = OP_COMPUTE, .value = 100000 };
		test_enter(&encl, 0, &op);
		assert_int_equal(op.result, op_compute(100000));
		alive = false;
		for (unsigned int i = 0; i < NR_BARE; i++)
			alive |= bare[i].alive;
	} while (alive);
	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_DFL);
	for (unsigned int i = 0; i < NR_BARE; i++) {
		assert_int_equal(bare[i].good, 20);
		assert_int_equal(bare[i].fsbase, bare[0].fsbase);
		assert_false(bare[i].wrong_gs);
	}
	assert_true(bare_signals > 0);
}

static volatile int was_blocked;

static int block_bus(void *arg)
{
	sigset_t set, old;

	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	sigprocmask(SIG_BLOCK, &set, &old);
	was_blocked = sigismember(&old, SIGSEGV);
	return 0;
}

static void each_of_them_blocks_for_itself(void **state)
{
	struct bare *b = &bare[0];
	sigset_t set, old;

	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	sigprocmask(SIG_BLOCK, &set, &old);
	b->alive = 1;
	assert_true(clone(block_bus, b->stack + BARE_STACK, CLONE_BARE, NULL, NULL, NULL,
			  &b->alive) > 0);
	while (b->alive)
		sched_yield();
	/* It inherits what its creator had blocked. */
	assert_true(was_blocked);
	sigprocmask(SIG_SETMASK, &old, &set);
	assert_true(sigismember(&set, SIGSEGV));
	assert_false(sigismember(&set, SIGBUS));
}

/* --- threads that end in a handler --------------------------------------------------------- */

static void end_thread(int sig)
{
	pthread_exit((void *)77);
}

static void thread_can_end_in_a_handler_and_another_resume(void **state)
{
	struct sgx_enclave_run run = { 0 };
	struct worker w;
	void *result;

	signal(SIGUSR1, end_thread);
	start(&w, 0, OP_SPIN, 0);
	wait_until_inside(&w);
	pthread_kill(w.thread, SIGUSR1);
	assert_int_equal(pthread_join(w.thread, &result), 0);
	signal(SIGUSR1, SIG_DFL);
	assert_ptr_equal(result, (void *)77);
	/* Its frame is there still. */
	w.op.flag = 1;
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_ERESUME, NULL, &run), 0);
	assert_int_equal(run.function, ENCLU_EEXIT);
}

static int setup(void **state)
{
	return test_encl_build(&encl, &(struct test_config){ .nr_threads = NR_THREADS });
}

static int teardown(void **state)
{
	test_encl_free(&encl);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_compute_side_by_side),
		cmocka_unit_test(a_busy_tcs_refuses_a_second_thread),
		cmocka_unit_test(another_tcs_is_free_meanwhile),
		cmocka_unit_test(a_tcs_left_by_one_thread_serves_another),
		cmocka_unit_test(four_threads_enter_at_full_speed),
		cmocka_unit_test(threads_nobody_was_told_of_enter_by_the_vdso),
		cmocka_unit_test(threads_that_share_one_libc_enter),
		cmocka_unit_test(each_of_them_blocks_for_itself),
		cmocka_unit_test(thread_can_end_in_a_handler_and_another_resume),
	};

	return cmocka_run_group_tests_name("threads", tests, setup, teardown);
}
