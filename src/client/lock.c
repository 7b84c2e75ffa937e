/* SPDX-License-Identifier: BSD-3-Clause */
/* The one lock of this process's tables; see client.h for who may take it. */
#include <pthread.h>
#include <stdatomic.h>

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

void client_lock(uint64_t *saved)
{
	const uint64_t all = ~0ull;

	sys_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)saved, sizeof(all));
	client_lock_blocked();
}

void client_unlock(const uint64_t *saved)
{
	client_unlock_blocked();
	sys_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)saved, 0, sizeof(*saved));
}

/* A child must not inherit the lock from a thread it does not have. */
static uint64_t fork_mask;

static void before_fork(void)
{
	uint64_t saved;

	client_lock(&saved);
	fork_mask = saved;
}

static void after_fork(void)
{
	const uint64_t saved = fork_mask;

	client_unlock(&saved);
}

/* The process this memory belongs to. */
static long owner;

static void after_fork_in_child(void)
{
	const uint64_t saved = fork_mask;

	owner = sys_call(SYS_getpid, 0, 0, 0, 0);
	client_unlock_blocked();
	client_thread_forked();
	client_encl_forked();
	client_vepc_forked();
	sys_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&saved, 0, sizeof(saved));
}

bool client_is_borrowed(void)
{
	return owner && owner != sys_call(SYS_getpid, 0, 0, 0, 0);
}

__attribute__((constructor)) static void register_fork(void)
{
	owner = sys_call(SYS_getpid, 0, 0, 0, 0);
	pthread_atfork(before_fork, after_fork, after_fork_in_child);
}
