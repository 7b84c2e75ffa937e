/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making room: which enclave has to give pages, and how many at a time.  The one
 * with the most pages in EPC gives first, so that under pressure all that want
 * more than their share end with the same, and who has less is left alone.  Pages
 * that are not in use weigh more, so that the idle do not keep what others need.
 *
 * A batch is the work of one thread on one enclave, under that enclave's lock.
 * The page it was done for never passes through the pool, where another thread
 * could take it: whoever evicts gets on.
 */
#include "encl.h"

/* The part of an enclave's pages that one batch takes at most. */
#define BATCH_SHARE 8u
/* Of a thread that waits for a page, or has nothing else to do. */
#define BATCH 16u

static bool is_stopped(const atomic_bool *stop)
{
	return stop && atomic_load_explicit(stop, memory_order_relaxed);
}

static uint64_t nr_evictable(const struct sgx_encl *encl, const struct sgx_epc_group *group)
{
	if (group && encl->owner.group != group)
		return 0;
	return atomic_load_explicit(&encl->nr_evictable, memory_order_relaxed);
}

uint64_t epc_nr_evictable(struct sgx_epc_pool *pool, const struct sgx_epc_group *group)
{
	const struct sgx_encl *encl;
	uint64_t nr = 0;

	epc_lock(&pool->encls.lock, &pool->port);
	for (encl = pool->encls.first; encl; encl = encl->next)
		nr += nr_evictable(encl, group);
	epc_unlock(&pool->encls.lock);
	return nr;
}

/* What a page weighs that nobody uses, next to one in use. */
#define IDLE_WEIGHT 16u

/* How much the enclave has, for comparison with others. */
static uint64_t weight(const struct sgx_encl *encl, const struct sgx_epc_group *group)
{
	const uint64_t cold = atomic_load_explicit(&encl->coldness, memory_order_relaxed);

	return nr_evictable(encl, group) * (EPC_COLD + (IDLE_WEIGHT - 1) * cold);
}

/* --- choosing the enclave ------------------------------------------------------ */

/* A place in the order of enclaves, the heaviest first. */
struct rank {
	uint64_t weight, id;
};

static bool is_before(struct rank a, struct rank b)
{
	return a.weight != b.weight ? a.weight > b.weight : a.id > b.id;
}

/*
 * The first enclave after @last, with a reference; NULL when there is none.
 * Ranks change meanwhile, but those passed only fall, so a walk ends.
 */
static struct sgx_encl *next_enclave(struct sgx_epc_pool *pool, const struct sgx_epc_group *group,
				     struct rank *last)
{
	struct rank best = { .weight = 0 };
	struct sgx_encl *encl, *found = NULL;

	epc_lock(&pool->encls.lock, &pool->port);
	for (encl = pool->encls.first; encl; encl = encl->next) {
		const struct rank rank = { .weight = weight(encl, group), .id = encl->id };

		if (rank.weight && is_before(*last, rank) && (!found || is_before(rank, best))) {
			best = rank;
			found = encl;
		}
	}
	if (found)
		epc_encl_get(found);
	epc_unlock(&pool->encls.lock);
	*last = best;
	return found;
}

/* --- batches -------------------------------------------------------------------- */

/* What a batch is for: a page for @owner, or only room. */
struct request {
	struct sgx_epc_pool *pool;
	struct sgx_epc_group *group;
	const struct sgx_epc_owner *owner;
	struct sgx_epc_page **page;	/* NULL: no page is wanted, or it is there */
	uint64_t max;
	uint64_t max_run;		/* more, if they are neighbours */
	struct epc_moment moment;
	bool keep_last;			/* not the only one of @owner's enclave */
};

static unsigned int batch_size(const struct sgx_encl *encl, uint64_t max)
{
	const uint64_t nr = nr_evictable(encl, NULL) / BATCH_SHARE + 1;

	if (max > EPC_EVICT_BATCH)
		max = EPC_EVICT_BATCH;
	return (unsigned int)(nr < max ? nr : max);
}

/*
 * An instruction and what it works on are two pages: an enclave that had to give its
 * only one for the other would fault for ever.
 */
static bool is_last_of_its_own(const struct sgx_encl *encl, const struct request *req)
{
	return req->keep_last && req->owner == &encl->owner && nr_evictable(encl, NULL) == 1;
}

static unsigned int evict_locked(struct sgx_encl *encl, const struct request *req,
				 struct sgx_epc_page **freed)
{
	const struct epc_mm_ops *mm = &encl->pool->mm;
	struct epc_encl_page *recs[EPC_EVICT_BATCH];
	unsigned int nr;

	if (encl->is_released || (mm->may_evict && !mm->may_evict(mm->ctx, encl->cookie)))
		return 0;
	if (encl->victims.leaving.nr)
		return epc_evict_leaving(encl, batch_size(encl, req->max), &req->moment, freed);
	nr = epc_victims_pick(encl, recs, batch_size(encl, req->max),
			      batch_size(encl, req->max_run));
	return epc_evict(encl, recs, nr, &req->moment, freed);
}

/* Return: pages evicted; where they went, the request says. */
static unsigned int evict_from(struct sgx_encl *encl, struct request *req)
{
	struct sgx_epc_page *freed[EPC_EVICT_BATCH + 1];
	unsigned int nr, first = 0;

	epc_lock(&encl->lock, &req->pool->port);
	nr = is_last_of_its_own(encl, req) ? 0 : evict_locked(encl, req, freed);
	/* While the pages' owner is sure to exist, and who it is charged to. */
	while (first < nr && req->page) {
		if (epc_page_hand_over(req->pool, freed[first], req->group, req->owner)) {
			*req->page = freed[first];
			req->page = NULL;
		}
		first++;
	}
	sgx_free_epc_pages(req->pool, freed + first, nr - first);
	epc_unlock(&encl->lock);
	return nr;
}

/* The enclaves in turns, so that what is known of those that need not give is fresh. */
static struct sgx_encl *next_to_sample(struct sgx_epc_pool *pool)
{
	struct epc_encls *encls = &pool->encls;
	struct sgx_encl *encl;

	epc_lock(&encls->lock, &pool->port);
	/* The list begins with the youngest: the next older one, or the first. */
	for (encl = encls->first; encl && encl->id >= encls->last_sampled; encl = encl->next)
		;
	if (!encl)
		encl = encls->first;
	if (encl) {
		encls->last_sampled = encl->id;
		epc_encl_get(encl);
	}
	epc_unlock(&encls->lock);
	return encl;
}

static void sample(struct sgx_epc_pool *pool)
{
	struct sgx_encl *encl = next_to_sample(pool);

	if (!encl)
		return;
	/* Not worth waiting for. */
	if (epc_trylock(&encl->lock)) {
		if (!encl->is_released)
			epc_victims_sample(encl);
		epc_unlock(&encl->lock);
	}
	epc_encl_put(encl);
}

/* One enclave after the other until one had pages to give. */
static uint64_t reclaim(struct request *req)
{
	struct rank last = { .weight = UINT64_MAX };
	struct sgx_encl *encl;
	uint64_t nr = 0;

	if (!req->max || !epc_pool_can_page(req->pool))
		return 0;
	atomic_fetch_add_explicit(&req->pool->nr_reclaimers, 1, memory_order_acq_rel);
	if (req->pool->mm.young)
		sample(req->pool);
	while (!nr && (encl = next_enclave(req->pool, req->group, &last))) {
		nr = evict_from(encl, req);
		epc_encl_put(encl);
	}
	atomic_fetch_sub_explicit(&req->pool->nr_reclaimers, 1, memory_order_acq_rel);
	return nr;
}

uint64_t epc_reclaim_one(struct sgx_epc_pool *pool, struct sgx_epc_group *group,
			 const struct sgx_epc_owner *owner, bool keep_last,
			 struct sgx_epc_page **page)
{
	struct request req = {
		.pool = pool, .group = group, .owner = owner, .page = page, .keep_last = keep_last,
		.max = BATCH,
	};

	return reclaim(&req);
}

uint64_t sgx_epc_reclaim(struct sgx_epc_pool *pool, uint64_t nr)
{
	struct request req = { .pool = pool };
	uint64_t total = 0, got;

	do {
		req.max = nr - total;
		got = reclaim(&req);
		total += got;
	} while (got && total < nr);
	return total;
}

/* With fewer pages than so many times the low watermark, none is to spare. */
#define MIN_SPARE 4u

uint64_t sgx_epc_reclaim_ahead(struct sgx_epc_pool *pool, uint64_t nr,
			       bool (*is_over)(void *ctx), void *ctx)
{
	const uint64_t low = pool->watermarks.low;
	struct request req = {
		.pool = pool, .max = nr, .max_run = EPC_EVICT_BATCH, .moment = { is_over, ctx },
	};

	/* The first answer is cheap, and mostly enough. */
	if (epc_nr_listed(pool) >= low || epc_nr_free(pool) >= low ||
	    epc_nr_evictable(pool, NULL) < MIN_SPARE * low)
		return 0;
	return reclaim(&req);
}

void sgx_epc_reclaim_background(struct sgx_epc_pool *pool, const atomic_bool *stop)
{
	struct request req = { .pool = pool, .max = BATCH };

	while (!is_stopped(stop) && epc_nr_free(pool) < pool->watermarks.high) {
		if (!reclaim(&req))
			return;
	}
}
