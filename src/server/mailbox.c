/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page faults that come in bursts: posted in memory that is shared with the client
 * anyway, and answered there by a thread that goes on looking for a moment after each
 * (struct proto_mailbox).  A fault that comes as a call opens its enclave's mailbox; a
 * second without any closes it.
 *
 * The thread also makes room ahead, and has the next page ready, after it has answered:
 * while the client is on its way back into its enclave.
 *
 * What clients leave in a mailbox is as little to be believed as what they send.
 * Nothing here waits for one.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

/* How long the thread looks for the next fault before it sleeps. */
#define SPIN_NS 50000u
#define IDLE_SECONDS 1
/* In a burst the next fault comes sooner. */
#define BURST_NS 20000u

/* Pages taken from programs at a time; of neighbours more, for which that costs little. */
#define AHEAD 8u

/* One less than a thread can wait for, and each costs a look. */
#define MAX_OPEN 127u

struct mailboxes {
	struct sgx_epc_pool *pool;
	pthread_t thread;
	_Atomic uint32_t bell;	/* rung when another mailbox is open, or at the end */
	atomic_bool stop;
	pthread_mutex_t lock;	/* guards all below */
	pthread_cond_t left;
	struct device *open[MAX_OPEN];
	unsigned int nr_open;
	const struct device *busy;	/* whose mailbox is being looked through */
	/* The thread's own: faults it has just answered, and made no page for yet. */
	unsigned int owed;
};

static __thread bool is_our_thread;

bool mailboxes_make_room(void)
{
	return is_our_thread;
}

static struct proto_mailbox *box_of(const struct device *dev)
{
	return &dev->mem.shared->mailbox;
}

static void wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* --- serving -------------------------------------------------------------------- */

static uint32_t in_state(uint32_t slot, enum proto_slot_state state)
{
	return (slot & ~PROTO_SLOT_STATE) | state;
}

static bool take(struct proto_slot *slot)
{
	uint32_t state = atomic_load_explicit(&slot->state, memory_order_acquire);

	while ((state & PROTO_SLOT_STATE) == PROTO_SLOT_POSTED)
		if (atomic_compare_exchange_weak(&slot->state, &state,
						 in_state(state, PROTO_SLOT_TAKEN)))
			return true;
	return false;
}

static void answer(struct proto_slot *slot)
{
	uint32_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);

	while (!atomic_compare_exchange_weak(&slot->state, &state,
					     in_state(state & ~PROTO_SLOT_WAITS, PROTO_SLOT_DONE)))
		;
	if (state & PROTO_SLOT_WAITS)
		wake(&slot->state);
}

/* Each field is looked at once. */
static void serve(struct device *dev, struct proto_slot *slot)
{
	const uint64_t la = atomic_load_explicit(&slot->la, memory_order_relaxed);
	const uint64_t prot = atomic_load_explicit(&slot->prot, memory_order_relaxed);
	const uint64_t number = atomic_load_explicit(&slot->number, memory_order_relaxed);

	atomic_store_explicit(&slot->result, (int32_t)call_fault(dev, la, prot, number),
			      memory_order_relaxed);
	answer(slot);
}

/*
 * Who touches one page after the other will touch the next one.  Three in a row are one more
 * than chance makes of neighbours.
 */
static void look_ahead(struct device *dev, uint64_t la)
{
	const uint64_t step = la - dev->last_fault;
	const bool again = step == dev->last_step;

	dev->last_fault = la;
	dev->last_step = step;
	if (again && (step == SGX_PAGE_SIZE || step == -(uint64_t)SGX_PAGE_SIZE))
		call_load_ahead(dev, la + step);
}

/* @cpu: set to where the last client runs.  Return: how many were answered. */
static unsigned int look_through(struct device *dev, uint32_t *cpu)
{
	struct proto_mailbox *box = box_of(dev);
	unsigned int nr = 0;

	atomic_store_explicit(&box->cpu, (uint32_t)sched_getcpu(), memory_order_relaxed);
	for (unsigned int i = 0; i < PROTO_NR_SLOTS; i++) {
		if (!take(&box->slots[i]))
			continue;
		*cpu = atomic_load_explicit(&box->slots[i].cpu, memory_order_relaxed);
		serve(dev, &box->slots[i]);
		look_ahead(dev, atomic_load_explicit(&box->slots[i].la, memory_order_relaxed));
		nr++;
	}
	return nr;
}

/* Without the lock, which is held before and after. */
static unsigned int look_through_unlocked(struct mailboxes *m, struct device *dev, uint32_t *cpu)
{
	unsigned int nr;

	m->busy = dev;
	pthread_mutex_unlock(&m->lock);
	errand_begin(dev, -1, false);
	nr = look_through(dev, cpu);
	errand_end();
	pthread_mutex_lock(&m->lock);
	m->busy = NULL;
	pthread_cond_broadcast(&m->left);
	return nr;
}

/* Those that were rung for.  Return: how many were answered. */
static unsigned int serve_all(struct mailboxes *m, uint32_t *cpu)
{
	unsigned int nr = 0;

	pthread_mutex_lock(&m->lock);
	for (unsigned int i = 0; i < m->nr_open; i++) {
		struct device *dev = m->open[i];
		const uint32_t rung = atomic_load(&box_of(dev)->bell);

		if (rung == dev->heard)
			continue;
		dev->heard = rung;
		nr += look_through_unlocked(m, dev, cpu);
	}
	pthread_mutex_unlock(&m->lock);
	return nr;
}

/*
 * One page for each fault: more would keep the next one waiting.  Otherwise until somebody
 * rings.  Called while room is made, with the enclave's lock held.
 */
static bool is_over(void *ctx)
{
	struct mailboxes *m = ctx;
	bool rung = false;

	if (m->owed && !--m->owed)
		return true;
	pthread_mutex_lock(&m->lock);
	for (unsigned int i = 0; i < m->nr_open && !rung; i++)
		rung = atomic_load_explicit(&box_of(m->open[i])->bell, memory_order_relaxed) !=
		       m->open[i]->heard;
	pthread_mutex_unlock(&m->lock);
	return rung;
}

/* --- opening and closing ---------------------------------------------------------- */

static bool is_full(struct proto_mailbox *box)
{
	for (unsigned int i = 0; i < PROTO_NR_SLOTS; i++)
		if (!atomic_load_explicit(&box->slots[i].state, memory_order_relaxed))
			return false;
	return true;
}

/* One that is TAKEN will be DONE. */
static void free_of_the_dead(struct device *dev)
{
	struct proto_mailbox *box = box_of(dev);

	for (unsigned int i = 0; i < PROTO_NR_SLOTS; i++) {
		uint32_t state = atomic_load(&box->slots[i].state);
		const uint32_t owner = state >> PROTO_SLOT_OWNER_SHIFT;

		if (owner && (state & PROTO_SLOT_STATE) != PROTO_SLOT_TAKEN &&
		    !spaces_have_like(dev, owner, UINT32_MAX >> PROTO_SLOT_OWNER_SHIFT))
			atomic_compare_exchange_strong(&box->slots[i].state, &state,
						       PROTO_SLOT_FREE);
	}
}

void mailboxes_open(struct mailboxes *m, struct device *dev)
{
	bool opened = false;

	if (is_full(box_of(dev)))
		free_of_the_dead(dev);
	pthread_mutex_lock(&m->lock);
	if (!dev->mailbox_is_open && m->nr_open < MAX_OPEN) {
		m->open[m->nr_open++] = dev;
		dev->heard = atomic_load(&box_of(dev)->bell);
		atomic_store(&box_of(dev)->state, PROTO_BOX_AWAKE);
		dev->mailbox_is_open = opened = true;
	}
	pthread_mutex_unlock(&m->lock);
	if (opened) {
		atomic_fetch_add(&m->bell, 1);
		wake(&m->bell);
	}
}

/* Called with the lock held. */
static void take_out(struct mailboxes *m, struct device *dev)
{
	unsigned int i = 0;

	while (m->open[i] != dev)
		i++;
	m->open[i] = m->open[--m->nr_open];
	dev->mailbox_is_open = false;
}

void mailboxes_forget(struct mailboxes *m, struct device *dev)
{
	pthread_mutex_lock(&m->lock);
	if (dev->mailbox_is_open)
		take_out(m, dev);
	while (m->busy == dev)
		pthread_cond_wait(&m->left, &m->lock);
	pthread_mutex_unlock(&m->lock);
}

/*
 * Who posts and then finds it closed takes the post back, or has it answered: it was
 * there before the last look.
 */
static void close_all(struct mailboxes *m)
{
	uint32_t cpu;

	pthread_mutex_lock(&m->lock);
	while (m->nr_open) {
		struct device *dev = m->open[0];

		take_out(m, dev);
		atomic_store(&box_of(dev)->state, PROTO_BOX_CLOSED);
		look_through_unlocked(m, dev, &cpu);
	}
	pthread_mutex_unlock(&m->lock);
}

/* --- sleeping ------------------------------------------------------------------------ */

static void add_word(struct futex_waitv *words, unsigned int *nr, _Atomic uint32_t *word,
		     uint32_t value)
{
	words[(*nr)++] = (struct futex_waitv){
		.uaddr = (uintptr_t)word, .val = value, .flags = FUTEX_32,
	};
}

/*
 * Told before the bells are looked at: who rings after that sees that somebody has to
 * be woken.
 */
static void tell_all(struct mailboxes *m, enum proto_box_state state)
{
	for (unsigned int i = 0; i < m->nr_open; i++)
		atomic_store(&box_of(m->open[i])->state, state);
}

/* Until a bell rings.  Return: false when none did for long. */
static bool sleep_until_rung(struct mailboxes *m)
{
	struct futex_waitv words[MAX_OPEN + 1];
	struct timespec until;
	unsigned int nr = 0;
	bool any_open;
	long ret;

	add_word(words, &nr, &m->bell, atomic_load(&m->bell));
	if (atomic_load(&m->stop))
		return true;
	pthread_mutex_lock(&m->lock);
	any_open = m->nr_open;
	tell_all(m, PROTO_BOX_ASLEEP);
	for (unsigned int i = 0; i < m->nr_open; i++)
		add_word(words, &nr, &box_of(m->open[i])->bell, m->open[i]->heard);
	pthread_mutex_unlock(&m->lock);

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_SECONDS;
	ret = syscall(SYS_futex_waitv, words, nr, 0, any_open ? &until : NULL, CLOCK_MONOTONIC);
	if (ret < 0 && errno == ENOSYS && !any_open)
		syscall(SYS_futex, &m->bell, FUTEX_WAIT, words[0].val, NULL, NULL, 0);

	pthread_mutex_lock(&m->lock);
	tell_all(m, PROTO_BOX_AWAKE);
	pthread_mutex_unlock(&m->lock);
	/* Before Linux 5.16: then nobody can post while we sleep. */
	return ret >= 0 || (errno != ETIMEDOUT && errno != ENOSYS) || !any_open;
}

/* --- the thread ------------------------------------------------------------------------ */

static void *run(void *arg)
{
	struct mailboxes *m = arg;
	uint64_t last = server_monotonic_ns();
	uint32_t cpu = UINT32_MAX;
	bool more = false;

	is_our_thread = true;
	while (!atomic_load(&m->stop)) {
		m->owed = serve_all(m, &cpu);
		if (m->owed || (more && server_monotonic_ns() - last > BURST_NS)) {
			more = sgx_epc_reclaim_ahead(m->pool, AHEAD, is_over, m);
			last = server_monotonic_ns();
			continue;
		}
		/* On one processor it is the other that has to run. */
		if (cpu != (uint32_t)sched_getcpu() && server_monotonic_ns() - last < SPIN_NS) {
			for (unsigned int i = 0; i < 8; i++)
				__builtin_ia32_pause();
			continue;
		}
		if (!sleep_until_rung(m))
			close_all(m);
		last = server_monotonic_ns();
	}
	return NULL;
}

struct mailboxes *mailboxes_create(struct sgx_epc_pool *pool)
{
	struct mailboxes *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->pool = pool;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->left, NULL);
	if (pthread_create(&m->thread, NULL, run, m) == 0)
		return m;
	pthread_cond_destroy(&m->left);
	pthread_mutex_destroy(&m->lock);
	free(m);
	return NULL;
}

void mailboxes_destroy(struct mailboxes *m)
{
	if (!m)
		return;
	atomic_store(&m->stop, true);
	atomic_fetch_add(&m->bell, 1);
	wake(&m->bell);
	pthread_join(m->thread, NULL);
	pthread_cond_destroy(&m->left);
	pthread_mutex_destroy(&m->lock);
	free(m);
}
