/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asking for a page without a system call, while the server looks: see struct
 * proto_mailbox.
 */
#include <errno.h>
#include <linux/futex.h>
#include <time.h>

#include "client.h"
#include "sys.h"

/* Looks before the thread sleeps: some ten microseconds. */
#define SPINS 10000u
/* How long it sleeps before it looks whether there is a server. */
#define PATIENCE_NS 20000000

/* The segment whose limit the kernel keeps the processor's number in, for its vDSO. */
#define CPU_SEGMENT 0x7b
#define CPU_MASK 0xfffu

static uint32_t this_cpu(void)
{
	uint32_t limit = 0;

	__asm__("lsl %1, %0" : "+r"(limit) : "r"(CPU_SEGMENT) : "cc");
	return limit & CPU_MASK;
}

static uint32_t ours(const struct client_encl *encl, enum proto_slot_state state)
{
	return state | (uint32_t)encl->number << PROTO_SLOT_OWNER_SHIFT;
}

/* Threads begin at different slots, so that they do not meet. */
static struct proto_slot *claim(const struct client_encl *encl, struct proto_mailbox *box)
{
	const uintptr_t first = (uintptr_t)&first >> 12;

	for (unsigned int i = 0; i < PROTO_NR_SLOTS; i++) {
		struct proto_slot *slot = &box->slots[(first + i) % PROTO_NR_SLOTS];
		uint32_t expected = PROTO_SLOT_FREE;

		if (atomic_load_explicit(&slot->state, memory_order_relaxed) == PROTO_SLOT_FREE &&
		    atomic_compare_exchange_strong(&slot->state, &expected,
						   ours(encl, PROTO_SLOT_CLAIMED)))
			return slot;
	}
	return NULL;
}

/* Return: false when nobody is going to look, and it was taken back. */
static bool post(const struct client_encl *encl, struct proto_mailbox *box,
		 struct proto_slot *slot)
{
	uint32_t expected = ours(encl, PROTO_SLOT_POSTED);

	atomic_store(&slot->state, expected);
	atomic_fetch_add(&box->bell, 1);
	switch (atomic_load(&box->state)) {
	case PROTO_BOX_AWAKE:
		return true;
	case PROTO_BOX_ASLEEP:
		sys_call6(SYS_futex, (long)&box->bell, FUTEX_WAKE, 1, 0, 0, 0);
		return true;
	default:
		return !atomic_compare_exchange_strong(&slot->state, &expected, PROTO_SLOT_FREE);
	}
}

static bool is_done(struct proto_slot *slot)
{
	return (atomic_load_explicit(&slot->state, memory_order_acquire) & PROTO_SLOT_STATE) ==
	       PROTO_SLOT_DONE;
}

/* Where both run on one processor, looking would only keep the server from it. */
static bool spin(const struct proto_mailbox *box, struct proto_slot *slot)
{
	const uint32_t cpu = atomic_load_explicit(&slot->cpu, memory_order_relaxed);

	for (unsigned int i = 0; i < SPINS; i++) {
		if (is_done(slot))
			return true;
		if (atomic_load_explicit(&box->cpu, memory_order_relaxed) == cpu ||
		    atomic_load_explicit(&box->busy, memory_order_relaxed))
			return false;
		__builtin_ia32_pause();
	}
	return false;
}

/* Return: false when the server is gone. */
static bool wait(const struct client_encl *encl, struct proto_slot *slot)
{
	const struct timespec patience = { .tv_nsec = PATIENCE_NS };
	uint32_t state;

	for (;;) {
		state = atomic_fetch_or(&slot->state, PROTO_SLOT_WAITS);
		if ((state & PROTO_SLOT_STATE) == PROTO_SLOT_DONE)
			return true;
		sys_call6(SYS_futex, (long)&slot->state, FUTEX_WAIT, state | PROTO_SLOT_WAITS,
			  (long)&patience, 0, 0);
		if (client_encl_is_lost(encl))
			return false;
	}
}

bool client_mailbox_fault(const struct client_encl *encl, uint64_t page, int prot, int *result)
{
	struct proto_mailbox *box = &encl->shared->mailbox;
	struct proto_slot *slot;

	if (atomic_load_explicit(&box->state, memory_order_relaxed) == PROTO_BOX_CLOSED)
		return false;
	slot = claim(encl, box);
	if (!slot)
		return false;
	atomic_store_explicit(&slot->la, page, memory_order_relaxed);
	atomic_store_explicit(&slot->prot, (uint64_t)prot, memory_order_relaxed);
	atomic_store_explicit(&slot->number, encl->number, memory_order_relaxed);
	atomic_store_explicit(&slot->cpu, this_cpu(), memory_order_relaxed);
	if (!post(encl, box, slot))
		return false;
	if (!spin(box, slot) && !wait(encl, slot))
		*result = -ENODEV;
	else
		*result = atomic_load_explicit(&slot->result, memory_order_relaxed);
	atomic_store_explicit(&slot->state, PROTO_SLOT_FREE, memory_order_release);
	return true;
}
