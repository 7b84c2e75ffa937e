/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals of programs that are not in an enclave: every action, mask and stack
 * must be what it is without us.  The program runs the same on its own.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096u
#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#define SA_RESTORER 0x04000000	/* libc's own, which some show */

extern char **environ;

static volatile sig_atomic_t nr_calls, nr_second;
static siginfo_t last_info;
static volatile uintptr_t last_sp;
static sigjmp_buf out;
static volatile char *volatile nowhere;

static void count(int sig)
{
	nr_calls++;
	last_sp = (uintptr_t)__builtin_frame_address(0);
}

static void count_second(int sig)
{
	nr_second++;
}

static void note_info(int sig, siginfo_t *info, void *context)
{
	nr_calls++;
	last_info = *info;
}

static void set_action(int sig, void (*handler)(int), int flags)
{
	const struct sigaction sa = { .sa_handler = handler, .sa_flags = flags };

	nr_calls = nr_second = 0;
	assert_int_equal(sigaction(sig, &sa, NULL), 0);
}

static void set_info_action(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
	const struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	nr_calls = 0;
	assert_int_equal(sigaction(sig, &sa, NULL), 0);
}

static void set_default(int sig)
{
	signal(sig, SIG_DFL);
}

static void assert_blocked(int sig, int expected)
{
	sigset_t now;

	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	assert_int_equal(sigismember(&now, sig), expected);
}

/* --- actions --------------------------------------------------------------------- */

static void action_is_reported_as_it_was_set(void **state)
{
	const int sigs[] = { SIGUSR1, SIGSEGV, SIGILL, SIGCHLD, SIGRTMIN + 3 };

	for (unsigned int i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		struct sigaction sa = { .sa_sigaction = note_info }, got, original;

		sa.sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER | SA_ONSTACK;
		sigaddset(&sa.sa_mask, SIGUSR2);
		sigaddset(&sa.sa_mask, SIGSEGV);
		assert_int_equal(sigaction(sigs[i], &sa, &original), 0);
		assert_int_equal(sigaction(sigs[i], NULL, &got), 0);
		assert_ptr_equal(got.sa_sigaction, note_info);
		assert_int_equal(got.sa_flags & ~SA_RESTORER, sa.sa_flags);
		for (int s = 1; s < 32; s++)
			assert_int_equal(sigismember(&got.sa_mask, s),
					 s == SIGUSR2 || s == SIGSEGV);
		assert_int_equal(sigaction(sigs[i], &original, &got), 0);
		assert_ptr_equal(got.sa_sigaction, note_info);
		assert_int_equal(sigaction(sigs[i], NULL, &got), 0);
		assert_ptr_equal(got.sa_handler, original.sa_handler);
	}
}

static void bad_signal_numbers_are_einval(void **state)
{
	static const int sigs[] = { 0, -1, 65, 32, 33, SIGKILL, SIGSTOP };
	const struct sigaction sa = { .sa_handler = count };

	for (unsigned int i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		errno = 0;
		assert_int_equal(sigaction(sigs[i], &sa, NULL), -1);
		assert_int_equal(errno, EINVAL);
	}
	assert_ptr_equal(signal(SIGKILL, count), SIG_ERR);
	assert_ptr_equal(signal(65, count), SIG_ERR);
}

static void signal_returns_what_was_there(void **state)
{
	struct sigaction got;

	assert_ptr_equal(signal(SIGUSR1, count), SIG_DFL);
	assert_int_equal(sigaction(SIGUSR1, NULL, &got), 0);
	assert_int_equal(got.sa_flags & ~SA_RESTORER, SA_RESTART);
	assert_ptr_equal(signal(SIGUSR1, SIG_IGN), count);
	assert_ptr_equal(signal(SIGUSR1, SIG_DFL), SIG_IGN);
}

static void sysv_handler_serves_once(void **state)
{
	struct sigaction got;

	nr_calls = 0;
	assert_ptr_equal(sysv_signal(SIGUSR1, count), SIG_DFL);
	raise(SIGUSR1);
	assert_int_equal(nr_calls, 1);
	assert_int_equal(sigaction(SIGUSR1, NULL, &got), 0);
	assert_ptr_equal(got.sa_handler, SIG_DFL);
}

static void one_shot_handler_serves_once(void **state)
{
	struct sigaction got;

	set_action(SIGSEGV, count, (int)SA_RESETHAND);
	raise(SIGSEGV);
	assert_int_equal(nr_calls, 1);
	assert_int_equal(sigaction(SIGSEGV, NULL, &got), 0);
	assert_ptr_equal(got.sa_handler, SIG_DFL);
}

static void raised_exception_signals_reach_the_handler(void **state)
{
	static const int sigs[] = { SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP };

	for (unsigned int i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		set_info_action(sigs[i], note_info, 0);
		assert_int_equal(raise(sigs[i]), 0);
		assert_int_equal(nr_calls, 1);
		assert_int_equal(last_info.si_signo, sigs[i]);
		assert_int_equal(last_info.si_code, SI_TKILL);
		assert_int_equal(last_info.si_pid, getpid());
		set_default(sigs[i]);
	}
}

static void ignored_signals_are_ignored(void **state)
{
	signal(SIGUSR1, SIG_IGN);
	signal(SIGSEGV, SIG_IGN);
	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(raise(SIGSEGV), 0);
	set_default(SIGUSR1);
	set_default(SIGSEGV);
}

static void queued_value_arrives(void **state)
{
	set_info_action(SIGRTMIN, note_info, 0);
	assert_int_equal(sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 4711 }), 0);
	assert_int_equal(nr_calls, 1);
	assert_int_equal(last_info.si_code, SI_QUEUE);
	assert_int_equal(last_info.si_value.sival_int, 4711);
	set_default(SIGRTMIN);
}

/* --- faults ------------------------------------------------------------------------- */

static volatile greg_t last_trapno, last_err, last_cr2;

static void note_fault(int sig, siginfo_t *info, void *context)
{
	const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

	last_info = *info;
	last_trapno = g[REG_TRAPNO];
	last_err = g[REG_ERR];
	last_cr2 = g[REG_CR2];
	siglongjmp(out, 1);
}

static void fault_tells_where_and_why(void **state)
{
	char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	set_info_action(SIGSEGV, note_fault, 0);
	if (!sigsetjmp(out, 1)) {
		*(volatile char *)(p + 100) = 1;
		fail();
	}
	assert_ptr_equal(last_info.si_addr, p + 100);
	assert_int_equal(last_info.si_code, SEGV_ACCERR);
	assert_int_equal(last_trapno, 14);
	assert_int_equal(last_err & ~1, 6);
	assert_int_equal(last_cr2, p + 100);
	munmap(p, PAGE);
	if (!sigsetjmp(out, 1)) {
		last_sp = (uintptr_t)*(volatile char *)(p + 200);
		fail();
	}
	assert_ptr_equal(last_info.si_addr, p + 200);
	assert_int_equal(last_info.si_code, SEGV_MAPERR);
	assert_int_equal(last_err, 4);
	set_default(SIGSEGV);
}

static void undefined_instruction_is_sigill(void **state)
{
	set_info_action(SIGILL, note_fault, 0);
	if (!sigsetjmp(out, 1)) {
		__asm__ volatile("ud2");
		fail();
	}
	assert_int_equal(last_info.si_signo, SIGILL);
	assert_int_equal(last_info.si_code, ILL_ILLOPN);
	assert_int_equal(last_trapno, 6);
	set_default(SIGILL);
}

static void divide(void)
{
	__asm__ volatile("xorl %%edx, %%edx; movl $1, %%eax; divl %%edx" : : : "eax", "edx");
}

static void division_by_zero_is_sigfpe(void **state)
{
	set_info_action(SIGFPE, note_fault, 0);
	if (!sigsetjmp(out, 1)) {
		divide();
		fail();
	}
	assert_int_equal(last_info.si_code, FPE_INTDIV);
	set_default(SIGFPE);
}

static void breakpoint_is_sigtrap(void **state)
{
	set_info_action(SIGTRAP, note_info, 0);
	__asm__ volatile("int3");
	assert_int_equal(nr_calls, 1);
	assert_int_equal(last_info.si_code, SI_KERNEL);
	set_default(SIGTRAP);
}

static void faults_can_be_jumped_out_of_again_and_again(void **state)
{
	volatile int n = 0;

	set_info_action(SIGSEGV, note_fault, 0);
	while (n < 10000)
		if (!sigsetjmp(out, 1))
			*nowhere = 1;
		else
			n++;
	assert_int_equal(n, 10000);
	set_default(SIGSEGV);
}

extern char fault_here[], fault_after[];

static void skip_fault(int sig, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

	nr_calls++;
	if (g[REG_RIP] == (greg_t)fault_here)
		g[REG_RIP] = (greg_t)fault_after;
	g[REG_RAX] = 77;
}

static void handler_can_move_the_program_on(void **state)
{
	long rax;

	set_info_action(SIGSEGV, skip_fault, 0);
	__asm__ volatile("xorl %%eax, %%eax\n"
			 "fault_here: movb $1, (%%rax)\n"
			 "fault_after:"
			 : "=a"(rax)
			 :
			 : "memory");
	assert_int_equal(nr_calls, 1);
	assert_int_equal(rax, 77);
	set_default(SIGSEGV);
}

static void repair(int sig, siginfo_t *info, void *context)
{
	nr_calls++;
	mprotect((void *)((uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1)), PAGE,
		 PROT_READ | PROT_WRITE);
}

static void handler_can_repair_the_fault(void **state)
{
	volatile char *p = mmap(NULL, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	set_info_action(SIGSEGV, repair, 0);
	for (int i = 0; i < 64; i++)
		p[i * (int)PAGE] = (char)i;
	assert_int_equal(nr_calls, 64);
	set_default(SIGSEGV);
	munmap((void *)p, 64 * PAGE);
}

/* The registers of the interrupted code must not feel the handler. */
static void clobber(int sig, siginfo_t *info, void *context)
{
	nr_calls++;
	__asm__ volatile("pcmpeqd %%xmm0, %%xmm0; movdqa %%xmm0, %%xmm7; movdqa %%xmm0, %%xmm15; "
			 "fninit; fld1"
			 :
			 :
			 : "xmm0", "xmm7", "xmm15");
}

static void vector_registers_survive_a_handler(void **state)
{
	const uint64_t in = 0x0123456789abcdefull;
	uint64_t low, high;

	set_info_action(SIGTRAP, clobber, 0);
	__asm__ volatile("movq %2, %%xmm7; movq %2, %%xmm15; int3; movq %%xmm7, %0; "
			 "movq %%xmm15, %1"
			 : "=r"(low), "=r"(high)
			 : "r"(in)
			 : "xmm7", "xmm15");
	assert_int_equal(low, in);
	assert_int_equal(high, in);
	assert_int_equal(nr_calls, 1);
	set_default(SIGTRAP);
}

/* --- masks ----------------------------------------------------------------------------- */

static void blocked_exception_signals_are_reported(void **state)
{
	sigset_t set, old, got;

	sigfillset(&set);
	assert_int_equal(sigprocmask(SIG_BLOCK, &set, &old), 0);
	assert_int_equal(sigismember(&old, SIGSEGV), 0);
	assert_blocked(SIGSEGV, 1);
	assert_blocked(SIGILL, 1);
	assert_blocked(SIGTERM, 1);
	assert_blocked(SIGKILL, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	assert_int_equal(sigprocmask(SIG_UNBLOCK, &set, NULL), 0);
	assert_blocked(SIGSEGV, 0);
	assert_blocked(SIGILL, 1);
	assert_int_equal(sigprocmask(SIG_SETMASK, &old, &got), 0);
	assert_int_equal(sigismember(&got, SIGILL), 1);
	assert_blocked(SIGILL, 0);
	assert_int_equal(sigprocmask(99, &set, NULL), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(pthread_sigmask(99, &set, NULL), EINVAL);
}

static void blocked_signal_waits(void **state)
{
	sigset_t set, old, pending;

	set_action(SIGUSR1, count, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR1);
	assert_int_equal(nr_calls, 0);
	sigpending(&pending);
	assert_int_equal(sigismember(&pending, SIGUSR1), 1);
	sigprocmask(SIG_SETMASK, &old, NULL);
	assert_int_equal(nr_calls, 1);
	set_default(SIGUSR1);
}

static void raise_second(int sig)
{
	nr_calls++;
	raise(SIGUSR2);
	/* 0 where SIGUSR2 waits for this handler to end. */
	if (nr_second)
		nr_calls += 100;
}

static void mask_of_the_action_is_honoured(void **state)
{
	struct sigaction sa = { .sa_handler = raise_second };

	set_action(SIGUSR2, count_second, 0);
	sigaddset(&sa.sa_mask, SIGUSR2);
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	assert_int_equal(nr_calls, 1);
	assert_int_equal(nr_second, 1);
	assert_blocked(SIGUSR2, 0);
	set_default(SIGUSR1);
	set_default(SIGUSR2);
}

static void handlers_nest(void **state)
{
	set_action(SIGUSR2, count_second, 0);
	set_action(SIGUSR1, raise_second, 0);
	raise(SIGUSR1);
	assert_int_equal(nr_calls, 101);
	assert_int_equal(nr_second, 1);
	set_default(SIGUSR1);
	set_default(SIGUSR2);
}

static volatile greg_t second_rip, second_rdi;

static void note_where(int sig, siginfo_t *info, void *context)
{
	const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

	second_rip = g[REG_RIP];
	second_rdi = g[REG_RDI];
}

static void second_of_two_interrupts_the_first_where_it_begins(void **state)
{
	sigset_t set, old;

	set_action(SIGUSR1, count, 0);
	set_info_action(SIGUSR2, note_where, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR2);
	raise(SIGUSR1);
	sigprocmask(SIG_SETMASK, &old, NULL);
	assert_int_equal(nr_calls, 1);
	assert_int_equal(second_rip, (greg_t)count);
	assert_int_equal(second_rdi, SIGUSR1);
	set_default(SIGUSR1);
	set_default(SIGUSR2);
}

static volatile int deepest;

static void raise_itself(int sig)
{
	static volatile int depth;

	depth++;
	if (depth > deepest)
		deepest = depth;
	if (nr_calls++ < 4)
		raise(sig);
	depth--;
}

static void signal_waits_for_its_own_handler(void **state)
{
	deepest = 0;
	set_action(SIGUSR1, raise_itself, 0);
	raise(SIGUSR1);
	assert_int_equal(deepest, 1);
	assert_int_equal(nr_calls, 5);
}

static void nor_with_nodefer(void **state)
{
	deepest = 0;
	set_action(SIGUSR1, raise_itself, SA_NODEFER);
	raise(SIGUSR1);
	assert_int_equal(deepest, 5);
	set_default(SIGUSR1);
}

static void jump(int sig)
{
	nr_calls++;
	siglongjmp(out, 1);
}

static void jumping_out_restores_the_mask(void **state)
{
	set_action(SIGUSR1, jump, 0);
	for (volatile int i = 0; i < 3; i++)
		if (!sigsetjmp(out, 1))
			raise(SIGUSR1);
	assert_int_equal(nr_calls, 3);
	assert_blocked(SIGUSR1, 0);
	set_default(SIGUSR1);
}

static void sigsuspend_waits_and_restores(void **state)
{
	sigset_t set, old, none;

	set_action(SIGUSR1, count, 0);
	sigemptyset(&none);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR1);
	assert_int_equal(sigsuspend(&none), -1);
	assert_int_equal(errno, EINTR);
	assert_int_equal(nr_calls, 1);
	assert_blocked(SIGUSR1, 1);
	sigprocmask(SIG_SETMASK, &old, NULL);
	set_default(SIGUSR1);
}

/* --- functions of old ------------------------------------------------------------------ */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static void functions_of_system_v_do_as_ever(void **state)
{
	static const int sigs[] = { SIGUSR1, SIGSEGV };

	for (unsigned int i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		const int sig = sigs[i];

		set_action(sig, count, 0);
		assert_int_equal(sighold(sig), 0);
		assert_blocked(sig, 1);
		raise(sig);
		assert_int_equal(nr_calls, 0);
		assert_int_equal(sigrelse(sig), 0);
		assert_int_equal(nr_calls, 1);
		assert_ptr_equal(sigset(sig, SIG_HOLD), count);
		assert_blocked(sig, 1);
		assert_ptr_equal(sigset(sig, count_second), SIG_HOLD);
		assert_blocked(sig, 0);
		raise(sig);
		assert_int_equal(nr_second, 1);
		assert_int_equal(sigignore(sig), 0);
		raise(sig);
		assert_int_equal(nr_second, 1);
		assert_ptr_equal(sigset(sig, SIG_DFL), SIG_IGN);
	}
	assert_int_equal(sighold(-1), -1);
	assert_ptr_equal(sigset(SIGKILL, count), SIG_ERR);
}

static void functions_of_bsd_do_as_ever(void **state)
{
	struct sigaction got;
	int old;

	set_action(SIGSEGV, count, 0);
	old = sigblock(1 << (SIGSEGV - 1));
	assert_int_equal(siggetmask(), old | 1 << (SIGSEGV - 1));
	raise(SIGSEGV);
	assert_int_equal(nr_calls, 0);
	assert_int_equal(sigpause(SIGSEGV), -1);
	assert_int_equal(nr_calls, 1);
	assert_int_equal(sigsetmask(old), old | 1 << (SIGSEGV - 1));
	assert_int_equal(siginterrupt(SIGSEGV, 1), 0);
	signal(SIGSEGV, count);
	assert_int_equal(sigaction(SIGSEGV, NULL, &got), 0);
	assert_int_equal(got.sa_flags & SA_RESTART, 0);
	assert_int_equal(siginterrupt(SIGSEGV, 0), 0);
	assert_int_equal(sigaction(SIGSEGV, NULL, &got), 0);
	assert_int_equal(got.sa_flags & SA_RESTART, SA_RESTART);
	set_default(SIGSEGV);
}

#pragma GCC diagnostic pop

/* --- masks of exception signals ------------------------------------------------------------ */

static sigset_t only(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	return set;
}

static void assert_pending(int sig, int expected)
{
	sigset_t now;

	assert_int_equal(sigpending(&now), 0);
	assert_int_equal(sigismember(&now, sig), expected);
}

static void blocked_exception_signals_wait_and_are_pending(void **state)
{
	static const int sigs[] = { SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP, SIGSYS };

	for (unsigned int i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		const sigset_t set = only(sigs[i]);

		set_action(sigs[i], count, 0);
		assert_int_equal(sigprocmask(SIG_BLOCK, &set, NULL), 0);
		assert_pending(sigs[i], 0);
		raise(sigs[i]);
		assert_int_equal(nr_calls, 0);
		assert_pending(sigs[i], 1);
		assert_pending(SIGUSR1, 0);
		assert_int_equal(sigprocmask(SIG_UNBLOCK, &set, NULL), 0);
		assert_int_equal(nr_calls, 1);
		assert_pending(sigs[i], 0);
		set_default(sigs[i]);
	}
}

static volatile sig_atomic_t blocked_inside, second_inside, pending_inside;
static volatile int second_sig;

static int is_blocked_now(int sig)
{
	sigset_t now;

	pthread_sigmask(SIG_SETMASK, NULL, &now);
	return sigismember(&now, sig);
}

static void raise_held(int sig)
{
	sigset_t now;

	nr_calls++;
	blocked_inside = is_blocked_now(second_sig) && is_blocked_now(sig);
	raise(second_sig);
	second_inside = nr_second;
	sigpending(&now);
	pending_inside = sigismember(&now, second_sig);
}

static void mask_of_an_action_holds_exception_signals(void **state)
{
	static const int pairs[][2] = {
		{ SIGUSR1, SIGSEGV }, { SIGSEGV, SIGILL }, { SIGILL, SIGUSR1 },
	};

	for (unsigned int i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct sigaction sa = { .sa_handler = raise_held };

		second_sig = pairs[i][1];
		set_action(pairs[i][1], count_second, 0);
		sigaddset(&sa.sa_mask, pairs[i][1]);
		assert_int_equal(sigaction(pairs[i][0], &sa, NULL), 0);
		raise(pairs[i][0]);
		assert_int_equal(nr_calls, 1);
		assert_int_equal(blocked_inside, 1);
		assert_int_equal(second_inside, 0);
		assert_int_equal(pending_inside, 1);
		assert_int_equal(nr_second, 1);
		assert_blocked(pairs[i][0], 0);
		assert_blocked(pairs[i][1], 0);
		assert_pending(pairs[i][1], 0);
		set_default(pairs[i][0]);
		set_default(pairs[i][1]);
	}
}

static void exception_signal_waits_for_its_own_handler(void **state)
{
	deepest = 0;
	set_action(SIGSEGV, raise_itself, 0);
	raise(SIGSEGV);
	assert_int_equal(deepest, 1);
	assert_int_equal(nr_calls, 5);
	deepest = 0;
	set_action(SIGSEGV, raise_itself, SA_NODEFER);
	raise(SIGSEGV);
	assert_int_equal(deepest, 5);
	set_default(SIGSEGV);
}

static volatile uint64_t mask_seen;

static void change_saved_mask(int sig, siginfo_t *info, void *context)
{
	uint64_t mask;

	memcpy(&mask, &((ucontext_t *)context)->uc_sigmask, sizeof(mask));
	mask_seen = mask;
	mask ^= 1ull << (SIGBUS - 1) | 1ull << (SIGFPE - 1);
	memcpy(&((ucontext_t *)context)->uc_sigmask, &mask, sizeof(mask));
}

static void handler_sees_and_changes_what_was_blocked(void **state)
{
	const sigset_t set = only(SIGFPE);
	sigset_t old;

	sigprocmask(SIG_BLOCK, &set, &old);
	set_info_action(SIGUSR1, change_saved_mask, 0);
	raise(SIGUSR1);
	assert_int_equal(mask_seen & (1ull << (SIGFPE - 1)), 1ull << (SIGFPE - 1));
	assert_int_equal(mask_seen & (1ull << (SIGBUS - 1)), 0);
	assert_blocked(SIGFPE, 0);
	assert_blocked(SIGBUS, 1);
	sigprocmask(SIG_SETMASK, &old, NULL);
	set_default(SIGUSR1);
}

static void jumps_restore_exception_signals(void **state)
{
	const sigset_t set = only(SIGILL);
	sigset_t old;

	sigprocmask(SIG_BLOCK, &set, &old);
	set_action(SIGSEGV, jump, 0);
	for (volatile int i = 0; i < 3; i++)
		if (!sigsetjmp(out, 1))
			*nowhere = 1;
	assert_int_equal(nr_calls, 3);
	assert_blocked(SIGSEGV, 0);
	assert_blocked(SIGILL, 1);
	/* Without a mask, what the handler had stays. */
	if (!sigsetjmp(out, 0))
		*nowhere = 1;
	assert_blocked(SIGSEGV, 1);
	sigprocmask(SIG_SETMASK, &old, NULL);
	assert_blocked(SIGILL, 0);
	set_default(SIGSEGV);
}

static void contexts_have_their_masks(void **state)
{
	const sigset_t set = only(SIGSEGV);
	volatile int n = 0;
	ucontext_t here;
	sigset_t old;

	sigprocmask(SIG_BLOCK, &set, &old);
	assert_int_equal(getcontext(&here), 0);
	if (n++ < 3) {
		sigprocmask(SIG_SETMASK, &old, NULL);
		assert_blocked(SIGSEGV, 0);
		setcontext(&here);
		fail();
	}
	assert_blocked(SIGSEGV, 1);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static ucontext_t main_context, other_context;
static volatile int blocked_there;

static void other_coroutine(void)
{
	const sigset_t set = only(SIGBUS);

	sigprocmask(SIG_BLOCK, &set, NULL);
	swapcontext(&other_context, &main_context);
	blocked_there = is_blocked_now(SIGBUS) && !is_blocked_now(SIGFPE);
	swapcontext(&other_context, &main_context);
}

static void coroutines_have_their_masks(void **state)
{
	const sigset_t set = only(SIGFPE);
	static uint8_t other_stack[65536];
	sigset_t old;

	assert_int_equal(getcontext(&other_context), 0);
	other_context.uc_stack.ss_sp = other_stack;
	other_context.uc_stack.ss_size = sizeof(other_stack);
	makecontext(&other_context, other_coroutine, 0);
	sigprocmask(SIG_BLOCK, &set, &old);
	assert_int_equal(swapcontext(&main_context, &other_context), 0);
	assert_blocked(SIGFPE, 1);
	assert_blocked(SIGBUS, 0);
	assert_int_equal(swapcontext(&main_context, &other_context), 0);
	assert_int_equal(blocked_there, 1);
	assert_blocked(SIGFPE, 1);
	assert_blocked(SIGBUS, 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static void *mask_and_pending(void *arg)
{
	sigset_t *got = arg;

	pthread_sigmask(SIG_SETMASK, NULL, &got[0]);
	sigpending(&got[1]);
	return NULL;
}

static void new_thread_inherits_exception_signals_blocked(void **state)
{
	const sigset_t set = only(SIGSEGV);
	sigset_t old, got[2];
	pthread_t t;

	set_action(SIGSEGV, count, 0);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGSEGV);
	assert_int_equal(pthread_create(&t, NULL, mask_and_pending, got), 0);
	pthread_join(t, NULL);
	assert_int_equal(sigismember(&got[0], SIGSEGV), 1);
	assert_int_equal(sigismember(&got[0], SIGILL), 0);
	/* It was sent to the other one. */
	assert_int_equal(sigismember(&got[1], SIGSEGV), 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
	assert_int_equal(nr_calls, 1);
	set_default(SIGSEGV);
}

/* --- waits --------------------------------------------------------------------------------- */

static void note_masks(int sig)
{
	nr_calls++;
	blocked_inside = is_blocked_now(SIGUSR2) || is_blocked_now(SIGBUS);
	second_inside = is_blocked_now(SIGTERM) && is_blocked_now(SIGFPE) && is_blocked_now(sig);
}

/* The handler's mask is made of the one that was waited with. */
static void wait_with(int sig, int (*wait)(const sigset_t *))
{
	sigset_t set = only(sig), during, old;

	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGBUS);
	sigemptyset(&during);
	sigaddset(&during, SIGTERM);
	sigaddset(&during, SIGFPE);
	sigprocmask(SIG_BLOCK, &set, &old);
	set_action(sig, note_masks, 0);
	raise(sig);
	assert_int_equal(nr_calls, 0);
	errno = 0;
	assert_int_equal(wait(&during), -1);
	assert_int_equal(errno, EINTR);
	assert_int_equal(nr_calls, 1);
	assert_int_equal(blocked_inside, 0);
	assert_int_equal(second_inside, 1);
	assert_blocked(sig, 1);
	assert_blocked(SIGBUS, 1);
	assert_blocked(SIGFPE, 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
	set_default(sig);
}

static int wait_by_ppoll(const sigset_t *set)
{
	return ppoll(NULL, 0, NULL, set);
}

static int wait_by_pselect(const sigset_t *set)
{
	return pselect(0, NULL, NULL, NULL, NULL, set);
}

static int wait_by_epoll(const sigset_t *set)
{
	struct epoll_event event;
	const int fd = epoll_create1(0);
	const int ret = epoll_pwait(fd, &event, 1, -1, set);

	close(fd);
	return ret;
}

static void waits_with_another_mask(void **state)
{
	static int (*const ways[])(const sigset_t *) = {
		sigsuspend, wait_by_ppoll, wait_by_pselect, wait_by_epoll,
	};

	for (unsigned int i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		wait_with(SIGUSR1, ways[i]);
		wait_with(SIGSEGV, ways[i]);
	}
}

static void exception_signals_can_be_waited_for(void **state)
{
	const sigset_t set = only(SIGSEGV);
	siginfo_t info;
	sigset_t old;
	int sig;

	set_action(SIGSEGV, count, 0);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGSEGV);
	assert_int_equal(sigwait(&set, &sig), 0);
	assert_int_equal(sig, SIGSEGV);
	assert_pending(SIGSEGV, 0);
	raise(SIGSEGV);
	assert_int_equal(sigwaitinfo(&set, &info), SIGSEGV);
	assert_int_equal(info.si_pid, getpid());
	assert_int_equal(sigtimedwait(&set, &info, &(struct timespec){ 0 }), -1);
	assert_int_equal(errno, EAGAIN);
	assert_blocked(SIGSEGV, 1);
	sigprocmask(SIG_SETMASK, &old, NULL);
	assert_int_equal(nr_calls, 0);
	set_default(SIGSEGV);
}

/* --- stacks ----------------------------------------------------------------------------- */

static uint8_t stack[65536];

static bool on_alt_stack(uintptr_t sp)
{
	return sp - (uintptr_t)stack < sizeof(stack);
}

static void use_stack(void)
{
	const stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };

	assert_int_equal(sigaltstack(&alt, NULL), 0);
}

static void disable_stack(void)
{
	const stack_t none = { .ss_flags = SS_DISABLE };

	assert_int_equal(sigaltstack(&none, NULL), 0);
}

static void alternate_stack_is_reported_as_it_was_set(void **state)
{
	stack_t got;

	assert_int_equal(sigaltstack(NULL, &got), 0);
	assert_int_equal(got.ss_flags, SS_DISABLE);
	use_stack();
	assert_int_equal(sigaltstack(NULL, &got), 0);
	assert_int_equal(got.ss_flags, 0);
	assert_ptr_equal(got.ss_sp, stack);
	assert_int_equal(got.ss_size, sizeof(stack));
	disable_stack();
	assert_int_equal(sigaltstack(NULL, &got), 0);
	assert_int_equal(got.ss_flags, SS_DISABLE);
}

static void bad_alternate_stacks_are_refused(void **state)
{
	const stack_t small = { .ss_sp = stack, .ss_size = 100 };
	const stack_t flags = { .ss_sp = stack, .ss_size = sizeof(stack), .ss_flags = 64 };

	assert_int_equal(sigaltstack(&small, NULL), -1);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(sigaltstack(&flags, NULL), -1);
	assert_int_equal(errno, EINVAL);
}

static volatile int change_error;
static stack_t inner;

static void look_at_stack(int sig)
{
	const stack_t none = { .ss_flags = SS_DISABLE };

	count(sig);
	sigaltstack(NULL, &inner);
	change_error = sigaltstack(&none, NULL) ? errno : 0;
}

static void handler_runs_on_the_alternate_stack_when_asked(void **state)
{
	use_stack();
	set_action(SIGUSR1, look_at_stack, SA_ONSTACK);
	raise(SIGUSR1);
	assert_true(on_alt_stack(last_sp));
	assert_int_equal(inner.ss_flags, SS_ONSTACK);
	assert_int_equal(change_error, EPERM);
	set_action(SIGUSR1, count, 0);
	raise(SIGUSR1);
	assert_false(on_alt_stack(last_sp));
	disable_stack();
	set_default(SIGUSR1);
}

static void second_handler_continues_on_it(void **state)
{
	use_stack();
	set_action(SIGUSR1, raise_second, SA_ONSTACK);
	set_action(SIGUSR2, count, SA_ONSTACK);
	raise(SIGUSR1);
	assert_true(on_alt_stack(last_sp));
	disable_stack();
	set_default(SIGUSR1);
	set_default(SIGUSR2);
}

static void overflow(int depth)
{
	volatile char frame[4096];

	memset((void *)frame, depth, sizeof(frame));
	if (depth >= 0)
		overflow(depth + 1);
	frame[0]++;
}

static void jump_from_alt_stack(int sig)
{
	count(sig);
	siglongjmp(out, 1);
}

static void stack_overflow_is_caught_on_it(void **state)
{
	use_stack();
	set_action(SIGSEGV, jump_from_alt_stack, SA_ONSTACK);
	for (volatile int i = 0; i < 3; i++)
		if (!sigsetjmp(out, 1))
			overflow(0);
	assert_int_equal(nr_calls, 3);
	assert_true(on_alt_stack(last_sp));
	disable_stack();
	set_default(SIGSEGV);
}

/* --- threads ---------------------------------------------------------------------------- */

static volatile sig_atomic_t hits;
static volatile int finish;

static void count_hits(int sig)
{
	__atomic_fetch_add(&hits, 1, __ATOMIC_RELAXED);
}

static void *wait_for_signals(void *arg)
{
	const bool fault_too = arg;

	while (!finish) {
		if (fault_too)
			raise(SIGSEGV);
		sched_yield();
	}
	return NULL;
}

/* --- while actions and mappings change ------------------------------------------------- */

#define NR_QUEUED 3000

static volatile int nr_arrived, nr_disordered;

static void expect_next(int sig, siginfo_t *info, void *context)
{
	if (info->si_value.sival_int != nr_arrived)
		nr_disordered++;
	nr_arrived++;
}

struct queuer {
	pthread_t target;
	volatile bool done;
};

static void *queue_all(void *arg)
{
	struct queuer *q = arg;

	for (int i = 0; i < NR_QUEUED; i++) {
		const union sigval value = { .sival_int = i };

		while (pthread_sigqueue(q->target, SIGRTMIN, value))
			sched_yield();
		if (i % 16 == 0)
			sched_yield();
	}
	q->done = true;
	return NULL;
}

/* Each arrives once, and in order, whatever it interrupts. */
static void queued_signals_arrive_in_order_while_actions_change(void **state)
{
	const struct sigaction sa = { .sa_sigaction = expect_next, .sa_flags = SA_SIGINFO };
	struct queuer q = { .target = pthread_self() };
	pthread_t thread;

	nr_arrived = nr_disordered = 0;
	assert_int_equal(sigaction(SIGRTMIN, &sa, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, queue_all, &q), 0);
	while (!q.done || nr_arrived < NR_QUEUED) {
		for (int i = 0; i < 100; i++)
			sigaction(SIGUSR2, &sa, NULL);
	}
	pthread_join(thread, NULL);
	assert_int_equal(nr_arrived, NR_QUEUED);
	assert_int_equal(nr_disordered, 0);
	signal(SIGRTMIN, SIG_DFL);
	signal(SIGUSR2, SIG_DFL);
}


static void threads_take_their_signals(void **state)
{
	pthread_t threads[4];

	hits = finish = 0;
	set_action(SIGUSR1, count_hits, 0);
	set_action(SIGSEGV, count_hits, 0);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, wait_for_signals, (void *)(uintptr_t)(i & 1));
	while (hits < 1000)
		for (int i = 0; i < 4; i++)
			pthread_kill(threads[i], SIGUSR1);
	finish = 1;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	set_default(SIGUSR1);
	set_default(SIGSEGV);
}

static void *own_stack(void *arg)
{
	stack_t *got = arg;
	const stack_t alt = { .ss_sp = malloc(65536), .ss_size = 65536 };
	const stack_t none = { .ss_flags = SS_DISABLE };

	sigaltstack(&alt, NULL);
	raise(SIGUSR1);
	*got = alt;
	got->ss_flags = last_sp - (uintptr_t)alt.ss_sp < alt.ss_size;
	sigaltstack(&none, NULL);
	free(alt.ss_sp);
	return NULL;
}

static void each_thread_has_its_own_stack(void **state)
{
	set_action(SIGUSR1, count, SA_ONSTACK);
	for (int i = 0; i < 100; i++) {
		stack_t got;
		pthread_t t;

		pthread_create(&t, NULL, own_stack, &got);
		pthread_join(t, NULL);
		assert_int_equal(got.ss_flags, 1);
	}
	set_default(SIGUSR1);
}

static void *mask_of_thread(void *arg)
{
	pthread_sigmask(SIG_SETMASK, NULL, arg);
	return NULL;
}

static void new_thread_inherits_the_mask(void **state)
{
	sigset_t set, old, got;
	pthread_t t;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	pthread_create(&t, NULL, mask_of_thread, &got);
	pthread_join(t, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	assert_int_equal(sigismember(&got, SIGUSR1), 1);
	assert_int_equal(sigismember(&got, SIGTERM), 0);
}

/* --- the end of a process ------------------------------------------------------------------ */

/* cmocka catches some for the length of a test. */
static void set_all_default(void)
{
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
}

static void die_raise_segv(void)
{
	raise(SIGSEGV);
}

static void die_fault(void)
{
	*nowhere = 1;
}

static void die_ud2(void)
{
	__asm__ volatile("ud2");
}

static void die_abort(void)
{
	abort();
}

static void die_abort_with_handler(void)
{
	signal(SIGABRT, count);
	abort();
}

static void die_reset(void)
{
	signal(SIGTERM, count);
	signal(SIGTERM, SIG_DFL);
	raise(SIGTERM);
}

static void die_ignored_fault(void)
{
	signal(SIGSEGV, SIG_IGN);
	*nowhere = 1;
}

static void die_blocked_fault(void)
{
	sigset_t all;

	signal(SIGSEGV, count);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	*nowhere = 1;
}

static void die_one_shot(void)
{
	const struct sigaction sa = { .sa_handler = count, .sa_flags = (int)SA_RESETHAND };

	sigaction(SIGSEGV, &sa, NULL);
	*nowhere = 1;
}

/* Extended state alone is more than that, wherever there is AVX. */
static void die_small_stack(void)
{
	static struct {
		uint8_t guard[4096];
		uint8_t stack[2048];
	} s;
	const stack_t alt = { .ss_sp = s.stack, .ss_size = sizeof(s.stack) };
	const struct sigaction sa = { .sa_handler = count, .sa_flags = SA_ONSTACK };

	sigaltstack(&alt, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	if (s.guard[sizeof(s.guard) - 1] || getauxval(AT_MINSIGSTKSZ) > sizeof(s.stack))
		_exit(1);
	raise(SIGSEGV);
}

static void die_reraise(int sig)
{
	signal(sig, SIG_DFL);
	raise(sig);
}

static void die_from_handler(void)
{
	signal(SIGFPE, die_reraise);
	divide();
}

static void fault_again(int sig)
{
	*nowhere = 2;
}

static void die_in_handler(void)
{
	signal(SIGSEGV, fault_again);
	*nowhere = 1;
}

static void die_in_handler_on_stack(void)
{
	static uint8_t small[65536];
	const stack_t alt = { .ss_sp = small, .ss_size = sizeof(small) };
	const struct sigaction sa = { .sa_handler = fault_again, .sa_flags = SA_ONSTACK };

	sigaltstack(&alt, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	*nowhere = 1;
}

static void *abort_thread(void *arg)
{
	abort();
}

static void die_thread(void)
{
	pthread_t t;

	pthread_create(&t, NULL, abort_thread, NULL);
	pthread_join(t, NULL);
}

static void processes_die_by_the_right_signal(void **state)
{
	static const struct {
		void (*die)(void);
		int sig;
	} ways[] = {
		{ die_raise_segv, SIGSEGV }, { die_fault, SIGSEGV },
		{ die_ud2, SIGILL }, { divide, SIGFPE }, { die_abort, SIGABRT },
		{ die_abort_with_handler, SIGABRT }, { die_reset, SIGTERM },
		{ die_ignored_fault, SIGSEGV }, { die_blocked_fault, SIGSEGV },
		{ die_one_shot, SIGSEGV }, { die_from_handler, SIGFPE },
		{ die_small_stack, SIGSEGV }, { die_in_handler, SIGSEGV },
		{ die_in_handler_on_stack, SIGSEGV }, { die_thread, SIGABRT },
	};

	for (unsigned int i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		const pid_t pid = fork();
		int status;

		if (!pid) {
			set_all_default();
			alarm(5);
			ways[i].die();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != ways[i].sig)
			fail_msg("way %u: status 0x%x, expected signal %d", i, status,
				 ways[i].sig);
	}
}

static void stop_and_continue_work(void **state)
{
	const pid_t pid = fork();
	int status;

	if (!pid) {
		/* An orphaned group would not stop. */
		setpgid(0, 0);
		signal(SIGTSTP, count);
		signal(SIGTSTP, SIG_DFL);
		raise(SIGTSTP);
		_exit(3);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	kill(pid, SIGCONT);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 3);
}

/* --- other programs ----------------------------------------------------------------------- */

static int run_shell(const char *command)
{
	const int status = system(command);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void system_and_popen_work(void **state)
{
	char line[32] = "";
	FILE *f;

	set_action(SIGCHLD, count, 0);
	set_action(SIGINT, count_second, 0);
	assert_int_equal(run_shell("exit 7"), 7);
	raise(SIGINT);
	assert_int_equal(nr_second, 1);
	f = popen("echo hello", "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	assert_int_equal(pclose(f), 0);
	assert_string_equal(line, "hello\n");
	set_default(SIGCHLD);
	set_default(SIGINT);
}

/* Signals a new program starts with: SigIgn of /proc, as the kernel has it. */
static void ignoring_is_inherited_handlers_are_not(void **state)
{
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, count);
	signal(SIGSEGV, count);
	/* A shell cannot undo what was ignored at its start. */
	assert_int_equal(run_shell("kill -USR1 $$; exit 4"), 4);
	assert_int_equal(run_shell("sh -c 'kill -USR2 $$; exit 4'"), 128 + SIGUSR2);
	assert_int_equal(run_shell("sh -c 'kill -SEGV $$; exit 4'"), 128 + SIGSEGV);
	set_default(SIGUSR1);
	set_default(SIGUSR2);
	set_default(SIGSEGV);
}

static void spawn_resets_and_unblocks_as_asked(void **state)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)"kill -TERM $$; exit 4", NULL };
	posix_spawnattr_t attr;
	sigset_t all, none, old;
	int status;
	pid_t pid;

	signal(SIGTERM, SIG_IGN);
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setsigmask(&attr, &none);
	sigprocmask(SIG_BLOCK, &all, &old);
	assert_int_equal(posix_spawn(&pid, "/bin/sh", NULL, &attr, argv, environ), 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
	posix_spawnattr_destroy(&attr);
	set_default(SIGTERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(action_is_reported_as_it_was_set),
		cmocka_unit_test(bad_signal_numbers_are_einval),
		cmocka_unit_test(signal_returns_what_was_there),
		cmocka_unit_test(sysv_handler_serves_once),
		cmocka_unit_test(one_shot_handler_serves_once),
		cmocka_unit_test(raised_exception_signals_reach_the_handler),
		cmocka_unit_test(ignored_signals_are_ignored),
		cmocka_unit_test(queued_value_arrives),
		cmocka_unit_test(fault_tells_where_and_why),
		cmocka_unit_test(undefined_instruction_is_sigill),
		cmocka_unit_test(division_by_zero_is_sigfpe),
		cmocka_unit_test(breakpoint_is_sigtrap),
		cmocka_unit_test(faults_can_be_jumped_out_of_again_and_again),
		cmocka_unit_test(handler_can_move_the_program_on),
		cmocka_unit_test(handler_can_repair_the_fault),
		cmocka_unit_test(vector_registers_survive_a_handler),
		cmocka_unit_test(blocked_exception_signals_are_reported),
		cmocka_unit_test(blocked_signal_waits),
		cmocka_unit_test(mask_of_the_action_is_honoured),
		cmocka_unit_test(handlers_nest),
		cmocka_unit_test(second_of_two_interrupts_the_first_where_it_begins),
		cmocka_unit_test(signal_waits_for_its_own_handler),
		cmocka_unit_test(nor_with_nodefer),
		cmocka_unit_test(jumping_out_restores_the_mask),
		cmocka_unit_test(sigsuspend_waits_and_restores),
		cmocka_unit_test(nor_with_nodefer),
		cmocka_unit_test(functions_of_system_v_do_as_ever),
		cmocka_unit_test(functions_of_bsd_do_as_ever),
		cmocka_unit_test(blocked_exception_signals_wait_and_are_pending),
		cmocka_unit_test(mask_of_an_action_holds_exception_signals),
		cmocka_unit_test(exception_signal_waits_for_its_own_handler),
		cmocka_unit_test(handler_sees_and_changes_what_was_blocked),
		cmocka_unit_test(jumps_restore_exception_signals),
		cmocka_unit_test(contexts_have_their_masks),
		cmocka_unit_test(coroutines_have_their_masks),
		cmocka_unit_test(new_thread_inherits_exception_signals_blocked),
		cmocka_unit_test(waits_with_another_mask),
		cmocka_unit_test(exception_signals_can_be_waited_for),
		cmocka_unit_test(alternate_stack_is_reported_as_it_was_set),
		cmocka_unit_test(bad_alternate_stacks_are_refused),
		cmocka_unit_test(handler_runs_on_the_alternate_stack_when_asked),
		cmocka_unit_test(second_handler_continues_on_it),
		cmocka_unit_test(stack_overflow_is_caught_on_it),
		cmocka_unit_test(queued_signals_arrive_in_order_while_actions_change),
		cmocka_unit_test(threads_take_their_signals),
		cmocka_unit_test(each_thread_has_its_own_stack),
		cmocka_unit_test(new_thread_inherits_the_mask),
		cmocka_unit_test(processes_die_by_the_right_signal),
		cmocka_unit_test(stop_and_continue_work),
		cmocka_unit_test(system_and_popen_work),
		cmocka_unit_test(ignoring_is_inherited_handlers_are_not),
		cmocka_unit_test(spawn_resets_and_unblocks_as_asked),
	};

	return cmocka_run_group_tests_name("client actions", tests, NULL, NULL);
}
