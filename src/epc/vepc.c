/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EPC for guests.  What a guest does with its pages is not known here, so every
 * page counts as initialized from the moment it is handed over, and EREMOVE may
 * legitimately say SGX_CHILD_PRESENT: the guest's SECS is here, and children of
 * it in another instance.  When the instance of such a SECS goes, the page is
 * an orphan, in the pool's list until EREMOVE of its last child, by whoever.
 *
 * Nothing gets lost between two that look at the same moment: who removes
 * children looks at the list afterwards, and who adds an orphan tries it again
 * afterwards, both under the list's lock.
 */
#include <errno.h>

#include "internal.h"
#include "page-table.h"

/* How often a leaf of the guest's may get in the way before that is a failure. */
#define CONFLICT_TRIES 64u
/* Pages between two chances for others: to take the lock, to find an orphan freed. */
#define BATCH 64u

#define MAX_INDEX (1ull << 52)

struct sgx_vepc {
	struct sgx_epc_pool *pool;
	struct sgx_epc_owner owner;	/* its pages point here */
	atomic_uint refs;		/* the creator's, and one of each orphan's */
	struct epc_lock lock;		/* guards pages; held while EREMOVE runs */
	struct epc_page_table pages;	/* index to an entry, see below */
};

/* --- entries of the page table -------------------------------------------- */

#define ENTRY_PRESENT (1ull << 63)

static uint64_t entry_make(const struct sgx_epc_pool *pool, const struct sgx_epc_page *page)
{
	return ENTRY_PRESENT | epc_page_index(pool, page);
}

static struct sgx_epc_page *entry_page(const struct sgx_vepc *vepc, uint64_t entry)
{
	return &vepc->pool->pages[(uint32_t)entry];
}

/* --- permissive EREMOVE --------------------------------------------------- */

static bool is_child_present(struct isa_outcome out)
{
	return out.kind == ISA_ERROR && out.code == SGX_CHILD_PRESENT;
}

/* The page's address is legal, so #GP can only mean that a leaf is at work on it. */
static bool is_conflict(struct isa_outcome out)
{
	return out.kind == ISA_FAULT && out.vector == X86_GP;
}

static struct isa_outcome guest_eremove(struct sgx_epc_pool *pool, const struct sgx_epc_page *page)
{
	const struct epc_encls_ops *ops = &pool->ops;
	const uint64_t pa = sgx_epc_page_pa(pool, page);
	struct isa_outcome out = ops->eremove(ops->ctx, pa);
	unsigned int tries = 1;

	while (is_conflict(out) && tries++ < CONFLICT_TRIES) {
		if (pool->port.yield)
			pool->port.yield(pool->port.ctx);
		out = ops->eremove(ops->ctx, pa);
	}
	return out;
}

/*
 * End of @page's time with a guest, after an EREMOVE that said @out.
 * Return: false when it has children, and stays.
 */
static bool put_guest_page(struct sgx_epc_pool *pool, struct sgx_epc_page *page,
			   struct isa_outcome out, const char *site)
{
	if (is_child_present(out))
		return false;
	if (!isa_is_done(out)) {
		epc_page_leak(pool, page, out, site);
		return true;
	}
	epc_page_cleaned(pool, page);
	sgx_free_epc_page(pool, page);
	return true;
}

/* --- orphans -------------------------------------------------------------- */

static struct sgx_vepc *orphan_vepc(const struct sgx_epc_page *page)
{
	return (struct sgx_vepc *)((uintptr_t)page->owner - offsetof(struct sgx_vepc, owner));
}

static void vepc_put(struct sgx_vepc *vepc)
{
	struct sgx_epc_pool *pool = vepc->pool;

	if (atomic_fetch_sub_explicit(&vepc->refs, 1, memory_order_acq_rel) != 1)
		return;
	epc_free(&pool->port, vepc);
	sgx_epc_usage_put(pool);
}

void epc_orphans_init(struct epc_orphans *orphans)
{
	*orphans = (struct epc_orphans){ .head = EPC_NO_PAGE };
}

void epc_orphans_finish(struct sgx_epc_pool *pool)
{
	struct sgx_epc_page *page;

	while ((page = epc_list_pop(pool, &pool->orphans.head)))
		vepc_put(orphan_vepc(page));
}

static uint64_t nr_orphans(const struct sgx_epc_pool *pool)
{
	return atomic_load_explicit(&pool->activity.orphans, memory_order_relaxed);
}

static void add_orphan(struct sgx_vepc *vepc, struct sgx_epc_page *page)
{
	struct epc_orphans *orphans = &vepc->pool->orphans;

	atomic_fetch_add_explicit(&vepc->refs, 1, memory_order_relaxed);
	epc_lock(&orphans->lock, &vepc->pool->port);
	epc_list_push(vepc->pool, &orphans->head, page);
	atomic_fetch_add_explicit(&vepc->pool->activity.orphans, 1, memory_order_relaxed);
	epc_unlock(&orphans->lock);
}

/*
 * EREMOVE every orphan.  Those that are no more go to @clean; the first one
 * that fails otherwise ends the walk, taken out of the list.
 * Return: that one, @out what EREMOVE said of it; NULL when there is none.
 */
static struct sgx_epc_page *collect_orphans(struct sgx_epc_pool *pool, uint32_t *clean,
					    struct isa_outcome *out)
{
	struct epc_orphans *orphans = &pool->orphans;
	struct sgx_epc_page *page, *failed = NULL;
	uint32_t *link = &orphans->head;

	epc_lock(&orphans->lock, &pool->port);
	while (*link != EPC_NO_PAGE && !failed) {
		page = &pool->pages[*link];
		*out = guest_eremove(pool, page);
		if (is_child_present(*out)) {
			link = &page->next;
			continue;
		}
		*link = page->next;
		atomic_fetch_sub_explicit(&pool->activity.orphans, 1, memory_order_relaxed);
		if (isa_is_done(*out))
			epc_list_push(pool, clean, page);
		else
			failed = page;
	}
	epc_unlock(&orphans->lock);
	return failed;
}

static void end_orphan(struct sgx_epc_pool *pool, struct sgx_epc_page *page,
		       struct isa_outcome out)
{
	/* The page's owner is told apart from it as soon as it is free. */
	struct sgx_vepc *vepc = orphan_vepc(page);

	put_guest_page(pool, page, out, "sgx_vepc_release");
	vepc_put(vepc);
}

void sgx_vepc_guest_removed(struct sgx_epc_pool *pool)
{
	const struct isa_outcome done = { .kind = ISA_DONE };
	uint32_t clean = EPC_NO_PAGE;
	struct sgx_epc_page *page;
	struct isa_outcome out;

	while ((page = collect_orphans(pool, &clean, &out)))
		end_orphan(pool, page, out);
	while ((page = epc_list_pop(pool, &clean)))
		end_orphan(pool, page, done);
}

/*
 * After @nr more pages were removed: a look at the orphans may cost about as
 * much as those did.  Return: pages removed since the last look.
 */
static uint64_t look_for_orphans(struct sgx_epc_pool *pool, uint64_t nr)
{
	if (!nr_orphans(pool) || nr < nr_orphans(pool))
		return nr;
	sgx_vepc_guest_removed(pool);
	return 0;
}

static void give_way(const struct sgx_epc_pool *pool)
{
	if (pool->port.yield)
		pool->port.yield(pool->port.ctx);
}

/* --- an instance ---------------------------------------------------------- */

int sgx_vepc_create(struct sgx_epc_pool *pool, const struct sgx_vepc_config *config,
		    struct sgx_vepc **out)
{
	struct sgx_vepc *vepc;
	int err = epc_may_create(pool);

	if (err)
		return err;
	err = sgx_epc_usage_get(pool);
	if (err)
		return err;
	vepc = epc_alloc(&pool->port, sizeof(*vepc));
	if (!vepc) {
		sgx_epc_usage_put(pool);
		return -ENOMEM;
	}
	vepc->pool = pool;
	vepc->owner = config->owner;
	atomic_init(&vepc->refs, 1);
	atomic_fetch_add_explicit(&pool->activity.vepcs, 1, memory_order_relaxed);
	*out = vepc;
	return 0;
}

static struct sgx_epc_page *find_page(struct sgx_vepc *vepc, uint64_t index)
{
	const uint64_t *entry;
	struct sgx_epc_page *page;

	epc_lock(&vepc->lock, &vepc->pool->port);
	entry = epc_pt_find(&vepc->pages, index);
	page = entry ? entry_page(vepc, *entry) : NULL;
	epc_unlock(&vepc->lock);
	return page;
}

/* Make @fresh the page at @index, unless somebody was faster.  NULL: no memory. */
static struct sgx_epc_page *install(struct sgx_vepc *vepc, uint64_t index,
				    struct sgx_epc_page *fresh)
{
	struct sgx_epc_page *page = NULL;
	uint64_t *slot;

	epc_lock(&vepc->lock, &vepc->pool->port);
	slot = epc_pt_reserve(&vepc->pages, &vepc->pool->port, index);
	if (slot && !*slot) {
		/* From here on the guest may do with it what it likes. */
		sgx_epc_page_mark_initialized(vepc->pool, fresh);
		*slot = entry_make(vepc->pool, fresh);
	}
	if (slot)
		page = entry_page(vepc, *slot);
	epc_unlock(&vepc->lock);
	return page;
}

int sgx_vepc_fault(struct sgx_vepc *vepc, uint64_t index, uint64_t *pa)
{
	struct sgx_epc_page *page, *fresh;
	int err;

	if (index >= MAX_INDEX)
		return -EINVAL;
	page = find_page(vepc, index);
	if (!page) {
		err = sgx_alloc_epc_page(vepc->pool, &vepc->owner, SGX_ALLOC_RECLAIM, &fresh);
		if (err)
			return err;
		page = install(vepc, index, fresh);
		if (page != fresh)
			sgx_free_epc_page(vepc->pool, fresh);
		if (!page)
			return -ENOMEM;
	}
	*pa = sgx_epc_page_pa(vepc->pool, page);
	return 0;
}

/*
 * EREMOVE a batch of pages from @index on, which moves along.
 * Return: true when there may be more.
 */
static bool remove_batch(struct sgx_vepc *vepc, uint64_t *index, uint64_t *nr_children_present,
			 struct isa_outcome *out)
{
	const uint64_t *entry;
	unsigned int nr;

	epc_lock(&vepc->lock, &vepc->pool->port);
	for (nr = 0; nr < BATCH; nr++, (*index)++) {
		entry = epc_pt_next(&vepc->pages, index);
		if (!entry)
			break;
		*out = guest_eremove(vepc->pool, entry_page(vepc, *entry));
		if (is_child_present(*out))
			(*nr_children_present)++;
		else if (!isa_is_done(*out))
			break;
	}
	epc_unlock(&vepc->lock);
	return nr == BATCH;
}

long sgx_vepc_remove_all(struct sgx_vepc *vepc)
{
	struct isa_outcome out = { .kind = ISA_DONE };
	uint64_t index = 0, nr_children_present = 0, since = 0;

	while (remove_batch(vepc, &index, &nr_children_present, &out)) {
		since = look_for_orphans(vepc->pool, since + BATCH);
		give_way(vepc->pool);
	}
	sgx_vepc_guest_removed(vepc->pool);
	if (!isa_is_done(out) && !is_child_present(out))
		return -EBUSY;
	return (long)nr_children_present;
}

/* Free every page that has no children; the others to @left. */
static void release_pages(struct sgx_vepc *vepc, uint32_t *left)
{
	struct sgx_epc_pool *pool = vepc->pool;
	uint64_t index = 0, nr = 0;
	const uint64_t *entry;

	for (; (entry = epc_pt_next(&vepc->pages, &index)); index++) {
		struct sgx_epc_page *page = entry_page(vepc, *entry);

		if (!put_guest_page(pool, page, guest_eremove(pool, page), "sgx_vepc_release"))
			epc_list_push(pool, left, page);
		if (++nr % BATCH == 0) {
			nr = look_for_orphans(pool, nr);
			give_way(pool);
		}
	}
}

void sgx_vepc_release(struct sgx_vepc *vepc)
{
	uint32_t left = EPC_NO_PAGE;
	struct sgx_epc_pool *pool;
	struct sgx_epc_page *page;

	if (!vepc)
		return;
	pool = vepc->pool;

	/* A SECS may come before its children: a second try when all others went. */
	release_pages(vepc, &left);
	while ((page = epc_list_pop(pool, &left))) {
		if (!put_guest_page(pool, page, guest_eremove(pool, page), __func__))
			add_orphan(vepc, page);
	}
	epc_pt_finish(&vepc->pages, &pool->port);
	sgx_vepc_guest_removed(pool);

	atomic_fetch_sub_explicit(&pool->activity.vepcs, 1, memory_order_relaxed);
	vepc_put(vepc);
}
