/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Programs with an AEP of their own: what every signal handler sees of an
 * asynchronous exit, what it may make of it, and what the code at the AEP can do.
 *
 * Source: SDM volume 3D, "Asynchronous Enclave Exit", synthetic state.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#include <cmocka.h>

#include "enclave.h"

#define COMPUTE_ROUNDS 200000000ull
#define RBP_OUTSIDE 0x7f0011223344ull

static struct test_encl encl;
static uint8_t stack[65536] __attribute__((aligned(64)));
static uint8_t alt_stack[65536];
static _Thread_local int thread_word = 4242;

static struct test_op op;		/* the one that is interrupted */
static struct test_op other;		/* entered from a handler or from the AEP */

static struct {
	volatile unsigned int calls;
	siginfo_t info;
	greg_t gregs[NGREG];
	uint64_t gsbase;
	uintptr_t sp;
	int thread_word;
} seen;

static struct {
	unsigned int exits;		/* times the AEP was reached with ERESUME */
	unsigned int entries;		/* that it made itself */
	unsigned int returns;		/* with EEXIT, of those */
	uintptr_t lowest_sp, highest_sp;
} aep;

static uint64_t rdgsbase(void)
{
	uint64_t base;

	__asm__ volatile("rdgsbase %0" : "=r"(base));
	return base;
}

static void wrgsbase(uint64_t base)
{
	__asm__ volatile("wrgsbase %0" : : "r"(base));
}

static void see(siginfo_t *info, const ucontext_t *uc)
{
	memcpy(seen.gregs, uc->uc_mcontext.gregs, sizeof(seen.gregs));
	seen.info = *info;
	seen.gsbase = rdgsbase();
	seen.sp = (uintptr_t)__builtin_frame_address(0);
	seen.thread_word = thread_word;
	seen.calls++;
}

/* In what the AEP calls before it resumes, or where a handler begins or returns to. */
static bool is_outside(const ucontext_t *uc)
{
	const uintptr_t rip = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];

	return rip != (uintptr_t)enter_aep_aep && !test_is_inside(&encl, rip);
}

/* The first signal that comes while the enclave spins ends it. */
static void end_spinning(int sig, siginfo_t *info, void *context)
{
	if (!op.started || op.flag || is_outside(context))
		return;
	see(info, context);
	op.flag = 1;
}

static void turn_into_entry(int sig, siginfo_t *info, void *context)
{
	greg_t *gregs = ((ucontext_t *)context)->uc_mcontext.gregs;

	see(info, context);
	gregs[REG_RAX] = ENCLU_EENTER;
	gregs[REG_RDI] = (greg_t)&other;
	gregs[REG_RSI] = 0x1111;
	gregs[REG_R9] = 0x9999;
}

static void only_see(int sig, siginfo_t *info, void *context)
{
	see(info, context);
}

static void catch(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
	const struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(sigaction(sig, &sa, NULL), 0);
}

static timer_t start_timer(int sig)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = sig };
	const struct itimerspec its = { .it_value = { 0, 1000000 }, .it_interval = { 0, 1000000 } };
	timer_t timer;

	assert_int_equal(timer_create(CLOCK_MONOTONIC, &ev, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &its, NULL), 0);
	return timer;
}

/* --- at the AEP ---------------------------------------------------------------------- */

static void count(uint32_t eax)
{
	const uintptr_t sp = (uintptr_t)__builtin_frame_address(0);

	if (eax == ENCLU_ERESUME)
		aep.exits++;
	else
		aep.returns++;
	if (!aep.lowest_sp || sp < aep.lowest_sp)
		aep.lowest_sp = sp;
	if (sp > aep.highest_sp)
		aep.highest_sp = sp;
}

static uint32_t resume(uint32_t eax)
{
	count(eax);
	return ENCLU_ERESUME;
}

static uint32_t enter_and_resume(uint32_t eax)
{
	count(eax);
	/* Its own entries are interrupted as well. */
	if (eax != ENCLU_ERESUME || aep.entries > aep.returns)
		return ENCLU_ERESUME;
	aep.entries++;
	return ENCLU_EENTER;
}

static uint32_t repair_and_resume(uint32_t eax)
{
	count(eax);
	mprotect(encl.base + ENCL_PROBE_OFFSET, PAGE_SIZE, PROT_READ | PROT_WRITE);
	return ENCLU_ERESUME;
}

static uint32_t leave(uint32_t eax)
{
	count(eax);
	return 0;
}

static void enter(uint32_t function, uint32_t (*hook)(uint32_t))
{
	uint64_t regs[NR_REGS] = { [R_RDI] = (uintptr_t)&op, [R_RBP] = RBP_OUTSIDE };

	memset(&aep, 0, sizeof(aep));
	enter_aep_hook.hook = hook;
	enter_aep_hook.rdi = (uintptr_t)&other;
	enter_aep(regs, test_tcs(&encl, 0), function, stack + sizeof(stack));
}

/* --- what handlers see --------------------------------------------------------------- */

static void assert_synthetic_state(void)
{
	static const int zero[] = { REG_RDX, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11,
				    REG_R12, REG_R13, REG_R14, REG_R15 };

	assert_int_equal(seen.gregs[REG_RIP], enter_aep_aep);
	assert_int_equal(seen.gregs[REG_RAX], ENCLU_ERESUME);
	assert_int_equal(seen.gregs[REG_RBX], test_tcs(&encl, 0));
	assert_int_equal(seen.gregs[REG_RCX], enter_aep_aep);
	assert_int_equal(seen.gregs[REG_RSP], op.entry[R_RSP]);
	assert_int_equal(seen.gregs[REG_RBP], RBP_OUTSIDE);
	/* Nothing of the enclave shows. */
	for (size_t i = 0; i < sizeof(zero) / sizeof(zero[0]); i++)
		assert_int_equal(seen.gregs[zero[i]], 0);
	assert_int_equal(seen.gsbase, (uintptr_t)&encl);
	assert_int_equal(seen.thread_word, 4242);
}

static void spin_until(int sig, int flags)
{
	timer_t timer;

	op = (struct test_op){ .kind = OP_SPIN };
	catch(sig, end_spinning, flags);
	timer = start_timer(sig);
	enter(ENCLU_EENTER, resume);
	timer_delete(timer);
	signal(sig, SIG_IGN);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.info.si_signo, sig);
	assert_int_equal(seen.info.si_code, SI_TIMER);
	assert_synthetic_state();
}

/* Also those that usually are exceptions, when somebody sends them. */
static void every_signal_shows_an_exit(void **state)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGUSR1, SIGUSR2, SIGPIPE,
				       SIGALRM, SIGTERM, SIGCHLD, SIGCONT, SIGIO, SIGPROF,
				       SIGWINCH, SIGSYS, SIGSEGV, SIGILL, SIGBUS, SIGFPE,
				       SIGTRAP, 34, 64 };
	const uint64_t gs = rdgsbase();

	wrgsbase((uintptr_t)&encl);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		spin_until(signals[i], 0);
		signal(signals[i], SIG_DFL);
	}
	wrgsbase(gs);
}

static void and_on_an_alternate_stack(void **state)
{
	const stack_t alt = { .ss_sp = alt_stack, .ss_size = sizeof(alt_stack) };
	const stack_t none = { .ss_flags = SS_DISABLE };
	const uint64_t gs = rdgsbase();

	assert_int_equal(sigaltstack(&alt, NULL), 0);
	wrgsbase((uintptr_t)&encl);
	spin_until(SIGALRM, SA_ONSTACK);
	assert_in_range(seen.sp, (uintptr_t)alt_stack, (uintptr_t)alt_stack + sizeof(alt_stack));
	spin_until(SIGALRM, SA_ONSTACK | SA_NODEFER);
	wrgsbase(gs);
	sigaltstack(&none, NULL);
}

static volatile sig_atomic_t plain_calls;

static void plain(int sig)
{
	if (op.started)
		op.flag = 1;
	plain_calls++;
}

static void handlers_without_a_context_do_as_well(void **state)
{
	timer_t timer;

	op = (struct test_op){ .kind = OP_SPIN };
	plain_calls = 0;
	signal(SIGUSR1, plain);
	timer = start_timer(SIGUSR1);
	enter(ENCLU_EENTER, resume);
	timer_delete(timer);
	signal(SIGUSR1, SIG_DFL);
	assert_true(plain_calls > 0);
}

static void exceptions_below_the_vdso_are_no_signals(void **state)
{
	struct sgx_enclave_run run = { 0 };
	struct test_op ud = { .kind = OP_UD2 };

	catch(SIGILL, only_see, 0);
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &ud, &run), 0);
	signal(SIGILL, SIG_DFL);
	assert_int_equal(run.exception_vector, VECTOR_UD);
	assert_int_equal(seen.calls, 0);
}

/* --- handlers that change the context --------------------------------------------------- */

static void handler_turns_the_resume_into_an_entry(void **state)
{
	op = (struct test_op){ .kind = OP_WRITE, .addr = (uintptr_t)encl.base + ENCL_PROBE_OFFSET };
	other = (struct test_op){ .kind = OP_NOP };
	assert_int_equal(mprotect(encl.base + ENCL_PROBE_OFFSET, PAGE_SIZE, PROT_READ), 0);

	/* With the AEP on the ENCLU itself, the changed registers are its operands. */
	catch(SIGSEGV, turn_into_entry, 0);
	{
		uint64_t regs[NR_REGS] = { [R_RDI] = (uintptr_t)&op };

		enter_raw(regs, test_tcs(&encl, 0), ENCLU_EENTER);
		assert_int_equal(regs[R_RAX], ENCLU_EEXIT);
	}
	signal(SIGSEGV, SIG_DFL);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(other.entry[R_RAX], 1);
	assert_int_equal(other.entry[R_RSI], 0x1111);
	assert_int_equal(other.entry[R_R9], 0x9999);
}

/* --- code at the AEP ---------------------------------------------------------------------- */

static void assert_on_the_stack_of_the_entry(void)
{
	assert_in_range(aep.lowest_sp, op.entry[R_RSP] - 1024, op.entry[R_RSP]);
	assert_in_range(aep.highest_sp, op.entry[R_RSP] - 1024, op.entry[R_RSP]);
}

static void compute_under_timer(uint32_t (*hook)(uint32_t))
{
	const uint64_t expected = op_compute(COMPUTE_ROUNDS);
	timer_t timer;

	op = (struct test_op){ .kind = OP_COMPUTE, .value = COMPUTE_ROUNDS };
	other = (struct test_op){ .kind = OP_GET };
	catch(SIGALRM, only_see, 0);
	timer = start_timer(SIGALRM);
	enter(ENCLU_EENTER, hook);
	timer_delete(timer);
	signal(SIGALRM, SIG_DFL);
	assert_int_equal(op.result, expected);
	assert_in_range(aep.exits, 20, UINT32_MAX);
	assert_on_the_stack_of_the_entry();
}

static void aep_is_reached_by_each_interrupt(void **state)
{
	compute_under_timer(resume);
	assert_int_equal(aep.returns, 0);
}

static void aep_can_enter_the_thread_again(void **state)
{
	struct test_op put = { .kind = OP_PUT, .value = 0xabcd };

	test_enter(&encl, 0, &put);
	compute_under_timer(enter_and_resume);
	assert_int_equal(aep.returns, aep.entries);
	assert_in_range(aep.returns, 10, aep.exits);
	assert_int_equal(other.entry[R_RAX], 1);
	assert_int_equal(other.result, 0xabcd);
}

static void aep_can_repair_what_the_handler_left(void **state)
{
	struct test_op get = { .kind = OP_READ, .addr = (uintptr_t)encl.base + ENCL_PROBE_OFFSET };

	op = (struct test_op){ .kind = OP_WRITE, .addr = get.addr, .value = 0x42 };
	assert_int_equal(mprotect(encl.base + ENCL_PROBE_OFFSET, PAGE_SIZE, PROT_READ), 0);
	catch(SIGSEGV, only_see, 0);
	enter(ENCLU_EENTER, repair_and_resume);
	signal(SIGSEGV, SIG_DFL);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(aep.exits, 1);
	test_enter(&encl, 0, &get);
	assert_int_equal(get.result, 0x42);
}

static void *resume_elsewhere(void *arg)
{
	enter(ENCLU_ERESUME, resume);
	return NULL;
}

static void another_thread_can_resume_what_one_left(void **state)
{
	pthread_t thread;
	timer_t timer;

	op = (struct test_op){ .kind = OP_SPIN };
	catch(SIGALRM, only_see, 0);
	timer = start_timer(SIGALRM);
	enter(ENCLU_EENTER, leave);
	timer_delete(timer);
	assert_int_equal(aep.exits, 1);
	op.flag = 1;
	assert_int_equal(pthread_create(&thread, NULL, resume_elsewhere, NULL), 0);
	pthread_join(thread, NULL);
	signal(SIGALRM, SIG_DFL);
	test_enter(&encl, 0, &(struct test_op){ .kind = OP_NOP });
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(every_signal_shows_an_exit),
		EACH(and_on_an_alternate_stack),
		EACH(handlers_without_a_context_do_as_well),
		EACH(exceptions_below_the_vdso_are_no_signals),
		EACH(handler_turns_the_resume_into_an_entry),
		EACH(aep_is_reached_by_each_interrupt),
		EACH(aep_can_enter_the_thread_again),
		EACH(aep_can_repair_what_the_handler_left),
		EACH(another_thread_can_resume_what_one_left),
	};

	return cmocka_run_group_tests_name("aep", tests, NULL, NULL);
}
