/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The waiting half of the manager's spinlock, kept out of line so that the
 * uncontended path stays a few instructions at each call site.
 */
#include "lock.h"

/* Longest run of pauses between two looks at the lock. */
#define MAX_PAUSES 64u

static void cpu_pause(unsigned int n)
{
	while (n--)
		__builtin_ia32_pause();
}

void epc_lock_contended(struct epc_lock *lock, const struct epc_port *port)
{
	unsigned int pauses = 1;

	do {
		while (atomic_load_explicit(&lock->held, memory_order_relaxed)) {
			cpu_pause(pauses);
			if (pauses < MAX_PAUSES)
				pauses *= 2;
			else if (port->yield)
				port->yield(port->ctx);
		}
	} while (atomic_exchange_explicit(&lock->held, 1, memory_order_acquire));
}
