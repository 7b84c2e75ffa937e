/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which pages of an enclave are written out.  A page that comes in is on
 * probation; one that is accessed again after its first look is kept in the main
 * queue, and so is one that comes back soon after it was written out, for which
 * the records of pages outside are the memory.  So what is used once passes
 * through a small part of the enclave's EPC, and does not wash out the rest.
 *
 * All there is to see of accesses is a bit per page, and the access that brought
 * a page in sets it: the first look at a page on probation only clears it.
 */
#include "encl.h"

/* One page in so many is on probation. */
#define PROBATION_SHARE 10u
#define MAX_HEAT 3u
/* How many pages are looked at for one victim, at most. */
#define MAX_LOOKS 32u
#define NR_SAMPLED 4u
/* Looks that coldness is an average over, roughly. */
#define COLDNESS_LOOKS 16u

/* --- queues -------------------------------------------------------------------- */

static void queue_push(struct epc_queue *q, struct epc_encl_page *rec)
{
	rec->prev = NULL;
	rec->next = q->head;
	if (q->head)
		q->head->prev = rec;
	else
		q->tail = rec;
	q->head = rec;
	q->nr++;
}

static void queue_unlink(struct epc_queue *q, struct epc_encl_page *rec)
{
	if (rec->prev)
		rec->prev->next = rec->next;
	else
		q->head = rec->next;
	if (rec->next)
		rec->next->prev = rec->prev;
	else
		q->tail = rec->prev;
	q->nr--;
}

static struct epc_queue *queue_of(struct epc_victims *v, const struct epc_encl_page *rec)
{
	if (rec->flags & EPC_ENCL_PAGE_LEAVING)
		return &v->leaving;
	return rec->flags & EPC_ENCL_PAGE_MAIN ? &v->main : &v->probation;
}

/* The cursor stays where it is when its page goes elsewhere. */
static void detach(struct epc_victims *v, struct epc_encl_page *rec)
{
	if (v->cursor == rec)
		v->cursor = rec->prev;
	queue_unlink(queue_of(v, rec), rec);
}

static void rotate(struct epc_victims *v, struct epc_encl_page *rec)
{
	detach(v, rec);
	queue_push(queue_of(v, rec), rec);
}

static uint64_t nr_queued(const struct epc_victims *v)
{
	return v->probation.nr + v->main.nr;
}

static void promote(struct epc_victims *v, struct epc_encl_page *rec)
{
	detach(v, rec);
	rec->flags |= EPC_ENCL_PAGE_MAIN;
	rec->heat = 0;
	queue_push(&v->main, rec);
}

/* --- coming and going ------------------------------------------------------------ */

/* Would a somewhat larger EPC have kept it? */
static bool came_back_soon(const struct epc_victims *v, uint64_t evicted_at)
{
	return evicted_at && v->nr_evicted - evicted_at <= nr_queued(v);
}

void epc_victims_add(struct sgx_encl *encl, struct epc_encl_page *rec, uint64_t evicted_at)
{
	struct epc_victims *v = &encl->victims;

	if (!epc_pool_can_page(encl->pool))
		return;
	rec->heat = 0;
	rec->flags |= EPC_ENCL_PAGE_QUEUED;
	if (came_back_soon(v, evicted_at))
		rec->flags |= EPC_ENCL_PAGE_MAIN;
	queue_push(queue_of(v, rec), rec);
	v->recent[v->next_recent++ % EPC_NR_RECENT] = rec;
	atomic_fetch_add_explicit(&encl->nr_evictable, 1, memory_order_relaxed);
}

void epc_victims_remove(struct sgx_encl *encl, struct epc_encl_page *rec)
{
	if (!(rec->flags & EPC_ENCL_PAGE_QUEUED))
		return;
	detach(&encl->victims, rec);
	rec->flags &= (uint8_t)~(EPC_ENCL_PAGE_QUEUED | EPC_ENCL_PAGE_MAIN) & 0x3f;
	atomic_fetch_sub_explicit(&encl->nr_evictable, 1, memory_order_relaxed);
}

/* --- between the program and the backing memory -------------------------------------- */

void epc_victims_leave(struct sgx_encl *encl, struct epc_encl_page *rec,
		       struct epc_backing *backing)
{
	struct epc_victims *v = &encl->victims;

	detach(v, rec);
	rec->flags |= EPC_ENCL_PAGE_LEAVING;
	encl->reserved[v->leaving.nr] = backing;
	queue_push(&v->leaving, rec);
}

struct epc_backing *epc_victims_stay(struct sgx_encl *encl, struct epc_encl_page *rec)
{
	struct epc_victims *v = &encl->victims;

	queue_unlink(&v->leaving, rec);
	rec->flags &= (uint8_t)~EPC_ENCL_PAGE_LEAVING & 0x3f;
	queue_push(queue_of(v, rec), rec);
	return encl->reserved[v->leaving.nr];
}

/* --- choosing -------------------------------------------------------------------- */

/* One of the last pages to come in; of few pages only half can be. */
static bool is_recent(const struct epc_victims *v, const struct epc_encl_page *rec)
{
	const uint64_t half = nr_queued(v) / 2;
	const unsigned int nr = half < EPC_NR_RECENT ? (unsigned int)half : EPC_NR_RECENT;
	unsigned int i;

	for (i = 1; i <= nr; i++) {
		if (v->recent[(v->next_recent - i) % EPC_NR_RECENT] == rec)
			return true;
	}
	return false;
}

static bool is_young(struct sgx_encl *encl, const struct epc_encl_page *rec)
{
	const struct epc_mm_ops *mm = &encl->pool->mm;
	uint32_t cold = atomic_load_explicit(&encl->coldness, memory_order_relaxed);
	bool young;

	/* Without an answer there is no idleness either. */
	if (!mm->young)
		return false;
	young = mm->young(mm->ctx, encl->cookie, epc_record_la(encl, rec));
	cold -= cold / COLDNESS_LOOKS;
	cold += young ? 0 : EPC_COLD / COLDNESS_LOOKS;
	atomic_store_explicit(&encl->coldness, cold, memory_order_relaxed);
	return young;
}

static void warm_up(struct epc_encl_page *rec)
{
	rec->heat = MAX_HEAT < rec->heat + 1u ? MAX_HEAT : (rec->heat + 1u) & 0x3;
}

/* Look at @rec, the oldest of its queue.  Return: true when it is to go. */
static bool is_victim(struct sgx_encl *encl, struct epc_encl_page *rec)
{
	struct epc_victims *v = &encl->victims;
	const bool young = is_young(encl, rec);

	if (!(rec->flags & EPC_ENCL_PAGE_MAIN)) {
		if (!young)
			return true;
		if (rec->heat)
			promote(v, rec);
		rec->heat = 1;
		return false;
	}
	if (!young && !rec->heat)
		return true;
	if (young)
		warm_up(rec);
	else
		rec->heat--;
	return false;
}

/* The oldest of @q that is not one of the last to come in; NULL when all are. */
static struct epc_encl_page *oldest(const struct epc_victims *v, const struct epc_queue *q)
{
	struct epc_encl_page *rec = q->tail;

	while (rec && is_recent(v, rec))
		rec = rec->prev;
	return rec;
}

/* One with pages that are not recent, which half of all are at least. */
static struct epc_queue *queue_to_look_at(struct epc_victims *v)
{
	const bool probation = v->probation.nr > nr_queued(v) / PROBATION_SHARE;

	if (probation)
		return oldest(v, &v->probation) ? &v->probation : &v->main;
	return oldest(v, &v->main) ? &v->main : &v->probation;
}

static bool is_among(struct epc_encl_page *const *recs, unsigned int nr,
		     const struct epc_encl_page *rec)
{
	while (nr--) {
		if (recs[nr] == rec)
			return true;
	}
	return false;
}

static bool are_neighbours(const struct epc_encl_page *a, const struct epc_encl_page *b)
{
	return a->nr == b->nr + 1 || b->nr == a->nr + 1;
}

unsigned int epc_victims_pick(struct sgx_encl *encl, struct epc_encl_page **recs,
			      unsigned int max, unsigned int max_run)
{
	struct epc_victims *v = &encl->victims;
	unsigned int nr = 0, looks = MAX_LOOKS * max;

	while ((nr < max || (nr && nr < max_run)) && nr_queued(v) && looks--) {
		struct epc_encl_page *rec = queue_to_look_at(v)->tail;

		if (is_among(recs, nr, rec) || (nr >= max && !are_neighbours(rec, recs[nr - 1])))
			break;
		if (!is_recent(v, rec) && is_victim(encl, rec))
			recs[nr++] = rec;
		rotate(v, rec);
	}
	/* All of them in use: then one of those that were looked at first. */
	if (!nr && max && nr_queued(v)) {
		recs[nr] = oldest(v, queue_to_look_at(v));
		rotate(v, recs[nr]);
		nr++;
	}
	return nr;
}

/* From the oldest page on, kept in the main queue before those on probation. */
static struct epc_encl_page *next_to_sample(const struct epc_victims *v)
{
	if (v->cursor)
		return v->cursor;
	return v->main.nr ? v->main.tail : v->probation.tail;
}

/*
 * Looking takes the answer away from the next look, so that it has to be kept.
 * Nothing else changes: these pages are not about to be written out.
 */
void epc_victims_sample(struct sgx_encl *encl)
{
	struct epc_victims *v = &encl->victims;
	unsigned int i;

	for (i = 0; i < NR_SAMPLED; i++) {
		struct epc_encl_page *rec = next_to_sample(v);

		if (!rec)
			return;
		if (is_young(encl, rec))
			warm_up(rec);
		v->cursor = rec->prev;
	}
}
