/* SPDX-License-Identifier: BSD-3-Clause */
/* The one lock of this process's tables; see client.h for who may take it. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "client.h"
#include "sys.h"

static atomic_flag lock = ATOMIC_FLAG_INIT;

void client_lock_blocked(void)
{
	unsigned int spins = 0;

	while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire))
		if (++spins % 64 == 0)
			sys_call(SYS_sched_yield, 0, 0, 0, 0);
		else
			__builtin_ia32_pause();
}

void client_unlock_blocked(void)
{
	atomic_flag_clear_explicit(&lock, memory_order_release);
}

/*
 * A signal whose handler takes the lock must not interrupt this thread while it holds
 * it.  Blocking signals costs two system calls.  So the one that comes meanwhile is kept
 * here, others are blocked, and it is delivered when the lock is given back: in order,
 * which sending it again would not be.  That they are this thread's own says thread-local
 * storage, where threads do not share it.
 */
static __thread struct {
	volatile bool is_locked;
	volatile bool is_deferred;
	volatile bool has_sigill;
	int sig;
	siginfo_t info;
	siginfo_t sigill;	/* one that somebody sent after it */
	uint64_t mask;		/* as it was when it came */
} own;

#define UD2_LENGTH 2

extern const char client_lock_kick_ud2[] __attribute__((visibility("hidden")));

/* Be in a handler again, with a context of which the signal's own can be made. */
static __attribute__((noinline)) void kick(void)
{
	__asm__ volatile(".globl client_lock_kick_ud2\n"
			 ".hidden client_lock_kick_ud2\n"
			 "client_lock_kick_ud2: ud2" : : : "memory");
}

bool client_lock_is_kick(uint64_t rip)
{
	return rip == (uintptr_t)client_lock_kick_ud2;
}

static void block_and_lock(uint64_t *saved)
{
	const uint64_t all = ~0ull;

	sys_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)saved, sizeof(all));
	client_lock_blocked();
}

static void unlock_and_restore(const uint64_t *saved)
{
	client_unlock_blocked();
	sys_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)saved, 0, sizeof(*saved));
}

void client_lock(uint64_t *saved)
{
	if (client_tls_is_shared()) {
		block_and_lock(saved);
		return;
	}
	own.is_locked = true;
	atomic_signal_fence(memory_order_seq_cst);
	client_lock_blocked();
}

void client_unlock(const uint64_t *saved)
{
	if (!own.is_locked) {
		unlock_and_restore(saved);
		return;
	}
	client_unlock_blocked();
	atomic_signal_fence(memory_order_seq_cst);
	own.is_locked = false;
	atomic_signal_fence(memory_order_seq_cst);
	if (own.is_deferred)
		kick();
}

bool client_lock_defers(int sig, const siginfo_t *info, ucontext_t *uc)
{
	const uint64_t all_but_sigill = ~(1ull << (SIGILL - 1));

	if (!own.is_locked)
		return false;
	/* Nothing but SIGILL gets here; and signals that wait already are not sent twice. */
	if (own.is_deferred) {
		own.sigill = *info;
		own.has_sigill = true;
		return true;
	}
	own.sig = sig;
	own.info = *info;
	memcpy(&own.mask, &uc->uc_sigmask, sizeof(own.mask));
	memcpy(&uc->uc_sigmask, &all_but_sigill, sizeof(all_but_sigill));
	own.is_deferred = true;
	return true;
}

int client_lock_take_deferred(siginfo_t *info, ucontext_t *uc)
{
	*info = own.info;
	memcpy(&uc->uc_sigmask, &own.mask, sizeof(own.mask));
	uc->uc_mcontext.gregs[REG_RIP] += UD2_LENGTH;
	own.is_deferred = false;
	if (own.has_sigill)
		sys_call(SYS_rt_tgsigqueueinfo, sys_call(SYS_getpid, 0, 0, 0, 0),
			 sys_call(SYS_gettid, 0, 0, 0, 0), SIGILL, (long)&own.sigill);
	own.has_sigill = false;
	return own.sig;
}

/* A child must not inherit the lock from a thread it does not have. */
static uint64_t fork_mask;

static void before_fork(void)
{
	uint64_t saved;

	block_and_lock(&saved);
	fork_mask = saved;
}

static void after_fork(void)
{
	const uint64_t saved = fork_mask;

	unlock_and_restore(&saved);
}

/* The process this memory belongs to. */
static long owner;

__thread unsigned int client_borrowed;

static void after_fork_in_child(void)
{
	const uint64_t saved = fork_mask;

	owner = sys_call(SYS_getpid, 0, 0, 0, 0);
	client_borrowed = 0;
	client_unlock_blocked();
	client_thread_forked();
	client_masks_forked();
	client_encl_forked();
	client_vepc_forked();
	sys_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&saved, 0, sizeof(saved));
}

bool client_is_borrowed(void)
{
	if (!client_tls_is_shared())
		return client_borrowed;
	return owner && owner != sys_call(SYS_getpid, 0, 0, 0, 0);
}

__attribute__((constructor)) static void register_fork(void)
{
	owner = sys_call(SYS_getpid, 0, 0, 0, 0);
	pthread_atfork(before_fork, after_fork, after_fork_in_child);
}
