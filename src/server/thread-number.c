/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Small numbers for threads: which cache of free EPC pages is theirs.  A thread
 * has its number from the first question to its end; those that come when all are
 * taken have none.
 */
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

_Static_assert(THREAD_NUMBERS == 64, "one bit each");

#define UNKNOWN (THREAD_NUMBERS + 1)

static _Atomic uint64_t taken;
static pthread_key_t key;
static _Thread_local unsigned int mine = UNKNOWN;

/* At the thread's end.  What it wrote to its cache is seen by who comes next. */
static void give_back(void *arg)
{
	const unsigned int nr = mine;

	mine = THREAD_NUMBERS;
	atomic_fetch_and_explicit(&taken, ~(1ull << nr), memory_order_release);
}

/* The lowest one free, or THREAD_NUMBERS. */
static unsigned int take(void)
{
	uint64_t old = atomic_load_explicit(&taken, memory_order_relaxed);
	unsigned int nr;

	do {
		if (!~old)
			return THREAD_NUMBERS;
		nr = (unsigned int)__builtin_ctzll(~old);
	} while (!atomic_compare_exchange_weak_explicit(&taken, &old, old | 1ull << nr,
							memory_order_acquire,
							memory_order_relaxed));
	return nr;
}

static __attribute__((noinline)) unsigned int number_myself(void)
{
	mine = take();
	/* Any value but NULL has the destructor called. */
	if (mine < THREAD_NUMBERS && pthread_setspecific(key, &mine))
		give_back(NULL);
	return mine;
}

unsigned int thread_number(void)
{
	return mine == UNKNOWN ? number_myself() : mine;
}

static void make_key(void)
{
	if (pthread_key_create(&key, give_back))
		atomic_store(&taken, UINT64_MAX);	/* then nobody has any */
}

void thread_numbers_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_key);
}

bool thread_barrier_init(void)
{
	return !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
}

void thread_barrier(void)
{
	syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}
