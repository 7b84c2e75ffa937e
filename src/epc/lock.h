/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The manager's only lock: a spinlock over C11 atomics, because the manager
 * has no threads library under it.  Waiting is bounded politeness: it pauses
 * with growing distance, then asks the port to yield, so that waiting for a
 * preempted holder does not burn the waiter's whole time slice.
 *
 * Lock order: sgx_encl.lock or sgx_vepc.lock or epc_orphans.lock, or
 * epc_sanitizing.lock, or epc_usage.lock; then epc_caches.lock; then epc_node.lock
 * or epc_ledger.lock.  Of each group only one is held, and never two nodes'.
 * Those of the first group are held while ENCLS operations run, epc_caches.lock
 * while port.barrier does, the others neither then nor while the port is called.
 */
#ifndef EPC_LOCK_H
#define EPC_LOCK_H

#include <stdatomic.h>

#include <swsgx/epc.h>

struct epc_lock {
	atomic_uint held;
};

/** epc_relax() - one step of waiting for another thread. */
static inline void epc_relax(const struct epc_port *port)
{
	__builtin_ia32_pause();
	if (port->yield)
		port->yield(port->ctx);
}

/** epc_lock_contended() - the slow path of epc_lock(). */
__attribute__((cold))
void epc_lock_contended(struct epc_lock *lock, const struct epc_port *port);

/** epc_lock() - take @lock; not recursive, not for signal handlers. */
static inline void epc_lock(struct epc_lock *lock, const struct epc_port *port)
{
	if (atomic_exchange_explicit(&lock->held, 1, memory_order_acquire))
		epc_lock_contended(lock, port);
}

/** epc_trylock() - take @lock unless somebody has it.  Return: true when taken. */
static inline bool epc_trylock(struct epc_lock *lock)
{
	return !atomic_exchange_explicit(&lock->held, 1, memory_order_acquire);
}

/** epc_unlock() - pairs with the acquire of the next epc_lock(). */
static inline void epc_unlock(struct epc_lock *lock)
{
	atomic_store_explicit(&lock->held, 0, memory_order_release);
}

#endif /* EPC_LOCK_H */
