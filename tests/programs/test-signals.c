/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals that come while a thread is in an enclave: the handler sees an
 * asynchronous exit, and the enclave never notices.
 *
 * Source: SDM volume 3D, "Asynchronous Enclave Exit", synthetic state.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"

/* About two seconds, half a second and a quarter of one. */
#define LONG_ROUNDS 1200000000ull
#define COMPUTE_ROUNDS 300000000ull
#define SPIN_ROUNDS 150000000ull

#define NR_SENT 200

/* How much longer the longest case takes: the program's argument, else 1. */
static uint64_t factor = 1;

static struct test_encl encl;
static _Thread_local int thread_word = 4242;

/* What the handler saw; it only counts, the test judges. */
static struct {
	volatile unsigned int calls;
	volatile unsigned int at_aep;		/* RAX 3 and RBX the TCS */
	volatile unsigned int rip_inside;	/* must stay 0 */
	volatile unsigned int wrong_aep;	/* RCX is not RIP; must stay 0 */
	volatile unsigned int stack_inside;	/* must stay 0 */
	volatile unsigned int wrong_tls;	/* must stay 0 */
} seen;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	const int saved = errno;

	seen.calls++;
	if (test_is_inside(&encl, (uint64_t)g[REG_RIP]))
		seen.rip_inside++;
	if (test_is_inside(&encl, (uint64_t)g[REG_RSP]))
		seen.stack_inside++;
	if (g[REG_RAX] == ENCLU_ERESUME && (uint64_t)g[REG_RBX] == test_tcs(&encl, 0)) {
		seen.at_aep++;
		if (g[REG_RCX] != g[REG_RIP])
			seen.wrong_aep++;
	}
	if (thread_word != 4242)
		seen.wrong_tls++;
	errno = saved;
}

static void catch(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
	const struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(sigaction(sig, &sa, NULL), 0);
}

static timer_t start_timer(long interval_ns)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
	const struct itimerspec its = {
		.it_value = { 0, interval_ns }, .it_interval = { 0, interval_ns },
	};
	timer_t timer;

	assert_int_equal(timer_create(CLOCK_MONOTONIC, &ev, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &its, NULL), 0);
	return timer;
}

static void assert_seen(unsigned int at_least)
{
	assert_in_range(seen.calls, at_least, UINT32_MAX);
	assert_in_range(seen.at_aep, at_least / 2, UINT32_MAX);
	assert_int_equal(seen.rip_inside, 0);
	assert_int_equal(seen.stack_inside, 0);
	assert_int_equal(seen.wrong_aep, 0);
	assert_int_equal(seen.wrong_tls, 0);
}

static void compute_under_timer(uint64_t rounds, int flags)
{
	const uint64_t expected = op_compute(rounds);
	struct test_op op = { .kind = OP_COMPUTE, .value = rounds };
	timer_t timer;

	catch(SIGALRM, on_signal, flags);
	timer = start_timer(1000000);
	test_enter(&encl, 0, &op);
	timer_delete(timer);
	assert_int_equal(op.result, expected);
	assert_seen(100);
}

static void timer_at_1_khz_does_not_change_a_computation(void **state)
{
	compute_under_timer(LONG_ROUNDS * factor, 0);
}

static void nor_with_the_handler_on_an_alternate_stack(void **state)
{
	static uint8_t stack[65536];
	const stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };
	stack_t off = { .ss_flags = SS_DISABLE }, got;

	assert_int_equal(sigaltstack(&alt, NULL), 0);
	compute_under_timer(COMPUTE_ROUNDS, SA_ONSTACK);
	assert_int_equal(sigaltstack(NULL, &got), 0);
	assert_ptr_equal(got.ss_sp, stack);
	assert_int_equal(sigaltstack(&off, NULL), 0);
}

static void general_registers_survive_signals(void **state)
{
	struct test_op op = { .kind = OP_REGS_SPIN, .value = SPIN_ROUNDS };
	timer_t timer;

	for (int i = 0; i < NR_REGS; i++)
		op.set[i] = 0xc3f0000000000000ull + (uint64_t)i * 0x2222222222ull;
	op.set[R_RFLAGS] = 0x202;
	catch(SIGALRM, on_signal, 0);
	timer = start_timer(1000000);
	test_enter(&encl, 0, &op);
	timer_delete(timer);
	for (int i = 0; i < R_RFLAGS; i++)
		assert_int_equal(op.got[i], op.set[i]);
	assert_seen(20);
}

static void vector_registers_survive_signals(void **state)
{
	struct test_op op = { .kind = OP_XMM_SPIN, .value = SPIN_ROUNDS << 16 | 0x5f80 };
	timer_t timer;

	for (unsigned int i = 0; i < sizeof(op.vec_set); i++)
		((uint8_t *)op.vec_set)[i] = (uint8_t)(i * 53 + i / 32);
	catch(SIGALRM, on_signal, 0);
	timer = start_timer(1000000);
	test_enter(&encl, 0, &op);
	timer_delete(timer);
	for (unsigned int i = 0; i < 16; i++)
		assert_memory_equal(op.vec_got[i], op.vec_set[i], 16);
	assert_int_equal(op.result & 0xffff, 0x5f80);
	assert_int_equal(op.result2, op.value);
	assert_seen(20);
}

static void short_entries_under_a_fast_timer(void **state)
{
	struct test_op put = { .kind = OP_PUT }, get = { .kind = OP_GET };
	timer_t timer;

	catch(SIGALRM, on_signal, 0);
	timer = start_timer(100000);
	for (unsigned int i = 0; i < 100000; i++) {
		put.value = i;
		test_enter(&encl, 0, &put);
		test_enter(&encl, 0, &get);
		assert_int_equal(get.result, i);
	}
	timer_delete(timer);
	assert_in_range(seen.calls, 1, UINT32_MAX);
	assert_int_equal(seen.rip_inside, 0);
	assert_int_equal(seen.wrong_tls, 0);
}

/* The handler enters the thread it interrupted, as runtimes do. */
static volatile unsigned int nested_entries, nested_failures;

static void enter_again(int sig, siginfo_t *info, void *context)
{
	const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	struct test_op get = { .kind = OP_GET };
	struct sgx_enclave_run run = { 0 };

	if (g[REG_RAX] != ENCLU_ERESUME || (uint64_t)g[REG_RBX] != test_tcs(&encl, 0))
		return;
	nested_entries++;
	if (test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &get, &run) ||
	    run.function != ENCLU_EEXIT || get.entry[R_RAX] != 1 || get.result != 99)
		nested_failures++;
}

static void handler_can_enter_the_interrupted_thread(void **state)
{
	const uint64_t expected = op_compute(COMPUTE_ROUNDS);
	struct test_op op = { .kind = OP_COMPUTE, .value = COMPUTE_ROUNDS };
	struct test_op put = { .kind = OP_PUT, .value = 99 };
	timer_t timer;

	test_enter(&encl, 0, &put);
	test_vdso();
	catch(SIGALRM, enter_again, 0);
	timer = start_timer(5000000);
	test_enter(&encl, 0, &op);
	timer_delete(timer);
	assert_int_equal(op.result, expected);
	assert_in_range(nested_entries, 10, UINT32_MAX);
	assert_int_equal(nested_failures, 0);
}

/* A signal sent to the very thread, by a second one. */
struct target {
	pid_t tid;
	struct test_op *op;
};

static void *send_signals(void *arg)
{
	const struct target *t = arg;

	while (!t->op->started)
		usleep(100);
	for (unsigned int i = 0; i < NR_SENT; i++) {
		syscall(SYS_tgkill, getpid(), t->tid, SIGUSR1);
		/* Two that are pending are one. */
		for (unsigned int ms = 0; seen.calls == i && ms < 1000; ms++)
			usleep(1000);
	}
	t->op->flag = 1;
	return NULL;
}

static void signals_sent_to_a_spinning_thread(void **state)
{
	struct test_op op = { .kind = OP_SPIN };
	struct target t = { (pid_t)syscall(SYS_gettid), &op };
	pthread_t thread;

	catch(SIGUSR1, on_signal, 0);
	assert_int_equal(pthread_create(&thread, NULL, send_signals, &t), 0);
	test_enter(&encl, 0, &op);
	pthread_join(thread, NULL);
	assert_int_equal(seen.calls, NR_SENT);
	assert_seen(NR_SENT);
}

static sigjmp_buf out;

static void jump_out(int sig, siginfo_t *info, void *context)
{
	siglongjmp(out, 1);
}

static void handler_can_jump_out_and_the_thread_be_resumed(void **state)
{
	const uint64_t expected = op_compute(COMPUTE_ROUNDS);
	static struct test_op op;
	struct sgx_enclave_run run = { 0 };
	timer_t timer;

	op = (struct test_op){ .kind = OP_COMPUTE, .value = COMPUTE_ROUNDS };
	catch(SIGALRM, jump_out, 0);
	timer = start_timer(50000000);
	if (!sigsetjmp(out, 1)) {
		test_enter(&encl, 0, &op);
		fail_msg("the timer never came");
	}
	timer_delete(timer);
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_ERESUME, NULL, &run), 0);
	assert_int_equal(run.function, ENCLU_EEXIT);
	assert_int_equal(op.result, expected);
}

static void blocked_signal_waits(void **state)
{
	struct test_op op = { .kind = OP_COMPUTE, .value = 1000000 };
	sigset_t set, old;

	catch(SIGUSR1, on_signal, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
	raise(SIGUSR1);
	test_enter(&encl, 0, &op);
	assert_int_equal(seen.calls, 0);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
	assert_int_equal(seen.calls, 1);
}

static void entry_with_all_signals_blocked(void **state)
{
	struct test_op put = { .kind = OP_PUT, .value = 77 }, get = { .kind = OP_GET };
	sigset_t all, old, got;

	sigfillset(&all);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, &old), 0);
	test_enter(&encl, 0, &put);
	test_enter(&encl, 0, &get);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, &got), 0);
	assert_int_equal(get.result, 77);
	assert_int_equal(sigismember(&got, SIGSEGV), 1);
	assert_int_equal(sigismember(&got, SIGILL), 1);
}

/* Signals that the processor's exceptions use, but which others may send as well. */
static const int exception_signals[] = { SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGTRAP, SIGSYS };

static volatile int got_signal;
static volatile bool got_mask;		/* was SIGUSR2 blocked meanwhile? */

static void note_signal(int sig)
{
	sigset_t now;

	pthread_sigmask(SIG_SETMASK, NULL, &now);
	got_mask = sigismember(&now, SIGUSR2);
	got_signal = sig;
}

struct sending {
	struct target to;
	int sig;
	bool arrives;		/* at once; else the thread is let go after a while */
};

static void *send_one(void *arg)
{
	const struct sending *s = arg;

	while (!s->to.op->started)
		usleep(100);
	syscall(SYS_tgkill, getpid(), s->to.tid, s->sig);
	if (!s->arrives)
		usleep(2000);
	while (s->arrives && !got_signal)
		usleep(100);
	s->to.op->flag = 1;
	return NULL;
}

static void spin_while_one_is_sent(int sig, bool arrives)
{
	struct test_op op = { .kind = OP_SPIN };
	struct sending s = { { (pid_t)syscall(SYS_gettid), &op }, sig, arrives };
	pthread_t thread;

	got_signal = 0;
	assert_int_equal(pthread_create(&thread, NULL, send_one, &s), 0);
	test_enter(&encl, 0, &op);
	pthread_join(thread, NULL);
	assert_int_equal(got_signal, arrives ? sig : 0);
}

static void sent_exception_signals_arrive_inside(void **state)
{
	static uint8_t stack[65536];
	const stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };
	const stack_t off = { .ss_flags = SS_DISABLE };
	struct sigaction sa = { .sa_handler = note_signal };

	sigaddset(&sa.sa_mask, SIGUSR2);
	for (size_t i = 0; i < sizeof(exception_signals) / sizeof(exception_signals[0]); i++) {
		const int sig = exception_signals[i];

		signal(sig, note_signal);
		spin_while_one_is_sent(sig, true);
		assert_false(got_mask);
		sa.sa_flags = 0;
		sigaction(sig, &sa, NULL);
		spin_while_one_is_sent(sig, true);
		assert_true(got_mask);
		assert_int_equal(sigaltstack(&alt, NULL), 0);
		sa.sa_flags = SA_ONSTACK;
		sigaction(sig, &sa, NULL);
		spin_while_one_is_sent(sig, true);
		assert_int_equal(sigaltstack(&off, NULL), 0);
		signal(sig, SIG_DFL);
	}
}

/* Blocked, they wait as any other, while the exceptions of their own arrive as ever. */
static void blocked_exception_signals_wait(void **state)
{
	struct test_op fault = { .kind = OP_UD2 };
	struct sgx_enclave_run run = { 0 };
	sigset_t set, old;

	for (size_t i = 0; i < sizeof(exception_signals) / sizeof(exception_signals[0]); i++) {
		const int sig = exception_signals[i];

		signal(sig, note_signal);
		sigemptyset(&set);
		sigaddset(&set, sig);
		assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
		spin_while_one_is_sent(sig, false);
		assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
		assert_int_equal(got_signal, sig);
		signal(sig, SIG_DFL);
	}
	/* By the vDSO an exception is no signal, blocked or not. */
	sigfillset(&set);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &fault, &run), 0);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
	assert_int_equal(run.exception_vector, VECTOR_UD);
}

static int setup(void **state)
{
	return test_encl_build(&encl, &(struct test_config){ .nr_ssa = 2 });
}

static int teardown(void **state)
{
	test_encl_free(&encl);
	return 0;
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		EACH(timer_at_1_khz_does_not_change_a_computation),
		EACH(nor_with_the_handler_on_an_alternate_stack),
		EACH(general_registers_survive_signals),
		EACH(vector_registers_survive_signals),
		EACH(short_entries_under_a_fast_timer),
		EACH(handler_can_enter_the_interrupted_thread),
		EACH(signals_sent_to_a_spinning_thread),
		EACH(handler_can_jump_out_and_the_thread_be_resumed),
		EACH(blocked_signal_waits),
		EACH(entry_with_all_signals_blocked),
		EACH(sent_exception_signals_arrive_inside),
		EACH(blocked_exception_signals_wait),
	};

	if (argc > 1)
		factor = strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("signals", tests, NULL, NULL);
}
