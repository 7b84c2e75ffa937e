/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Caches of free pages: what is in them is counted and can always be had by
 * everybody, and the gate of the pool is as tight as without.
 */
#include "fake.h"

#include <errno.h>
#include <stdlib.h>

#include "../../src/epc/cache.h"

#define NR_PAGES 256u	/* half of them on each node */
#define NR_CACHES 4u
#define CACHE_SIZE (NR_PAGES / 8 / NR_CACHES)

static const struct isa_section sections[] = {
	{ .pa = 0x10000000, .nr_pages = NR_PAGES / 2, .node = 0 },
	{ .pa = 0x20000000, .nr_pages = NR_PAGES / 2, .node = 3 },
};

static void start(struct fake *f)
{
	fake_init(f, sections, 2, true);
	f->config.nr_caches = NR_CACHES;
	fake_cache = 0;
	assert_int_equal(sgx_epc_pool_create(&f->config, &f->pool), 0);
	assert_counts(f, NR_PAGES, 0, 0, 0);
}

static struct sgx_epc_page *take(struct fake *f)
{
	struct sgx_epc_page *page;

	assert_int_equal(sgx_alloc_epc_page(f->pool, NULL, 0, &page), 0);
	assert_adds_up(f);
	return page;
}

static void give(struct fake *f, struct sgx_epc_page *page)
{
	sgx_free_epc_page(f->pool, page);
	assert_adds_up(f);
}

static unsigned int node_of(struct fake *f, const struct sgx_epc_page *page)
{
	return sgx_epc_page_pa(f->pool, page) < sections[1].pa ? 0 : 3;
}

static uint64_t cached_on(struct fake *f, unsigned int node)
{
	return sgx_epc_stat_node(f->pool, node).cached;
}

static void counts_what_is_cached_of_each_node(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f);
	page = take(&f);
	assert_int_equal(cached_on(&f, 0), CACHE_SIZE / 2 - 1);
	assert_int_equal(cached_on(&f, 3), 0);
	assert_counts(&f, NR_PAGES - 1, 1, 0, 0);
	give(&f, page);
	assert_int_equal(cached_on(&f, 0), CACHE_SIZE / 2);
	assert_counts(&f, NR_PAGES, 0, 0, 0);

	fake_cache = 1;
	f.node = 3;
	take(&f);
	assert_int_equal(cached_on(&f, 3), CACHE_SIZE / 2 - 1);
	assert_counts(&f, NR_PAGES - 1, 1, 0, 0);
	fake_finish(&f);
}

static void holds_no_more_than_its_size(void **state)
{
	struct sgx_epc_page *pages[NR_PAGES];
	struct fake f;
	unsigned int i;

	start(&f);
	for (i = 0; i < NR_PAGES / 2; i++)
		pages[i] = take(&f);
	for (i = 0; i < NR_PAGES / 2; i++) {
		give(&f, pages[i]);
		assert_in_range(cached_on(&f, 0), 0, CACHE_SIZE);
	}
	assert_counts(&f, NR_PAGES, 0, 0, 0);
	fake_finish(&f);
}

static void follows_its_thread_to_another_node(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f);
	page = take(&f);
	f.node = 3;
	assert_int_equal(node_of(&f, take(&f)), 3);
	assert_int_equal(cached_on(&f, 0), 0);
	/* The first one is no more of the cache's node. */
	give(&f, page);
	assert_int_equal(cached_on(&f, 0), 0);
	assert_int_equal(sgx_epc_stat_node(f.pool, 0).free, NR_PAGES / 2);
	fake_finish(&f);
}

/* Whatever the others have cached, one gets all pages and then -ENOMEM. */
static void hands_out_what_others_have_cached(void **state)
{
	bool seen[NR_PAGES] = { false };
	struct sgx_epc_page *page;
	struct fake f;
	unsigned int i;

	start(&f);
	for (fake_cache = 1; fake_cache < NR_CACHES; fake_cache++) {
		f.node = fake_cache;
		give(&f, take(&f));
	}
	assert_int_equal(sgx_epc_stat_total(f.pool).cached, (NR_CACHES - 1) * CACHE_SIZE / 2);
	fake_cache = 0;
	for (i = 0; i < NR_PAGES; i++) {
		size_t nr;

		page = take(&f);
		nr = (size_t)(fake_page_at(&f, sgx_epc_page_pa(f.pool, page)) - f.pages);
		assert_false(seen[nr]);
		seen[nr] = true;
		assert_counts(&f, NR_PAGES - i - 1, i + 1, 0, 0);
	}
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), -ENOMEM);
	fake_finish(&f);
}

static void takes_no_more_than_its_share_when_few_are_left(void **state)
{
	struct fake f;
	unsigned int i;

	start(&f);
	fake_cache = NR_CACHES;
	for (i = 0; i < NR_PAGES / 2 - 3; i++)
		take(&f);
	fake_cache = 0;
	take(&f);
	assert_int_equal(cached_on(&f, 0), 0);
	fake_finish(&f);
}

static void works_for_a_thread_without_a_number(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f);
	fake_cache = NR_CACHES;
	page = take(&f);
	assert_int_equal(sgx_epc_stat_total(f.pool).cached, 0);
	give(&f, page);
	fake_cache = ~0u;
	give(&f, take(&f));
	assert_int_equal(sgx_epc_stat_total(f.pool).cached, 0);
	fake_finish(&f);
}

static void is_off_where_it_would_hold_nothing(void **state)
{
	struct fake f;

	fake_init(&f, small_sections, 3, true);
	f.config.nr_caches = 8;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	give(&f, take(&f));
	assert_int_equal(sgx_epc_stat_total(f.pool).cached, 0);
	fake_finish(&f);
}

static unsigned int nr_inside, nr_barriers;

static unsigned int enter_counted(void *ctx)
{
	nr_inside++;
	return fake_cache;
}

static void leave_counted(void *ctx)
{
	nr_inside--;
}

static void barrier_counted(void *ctx)
{
	nr_barriers++;
}

static void leaves_each_time_it_entered(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;
	unsigned int i;

	fake_init(&f, sections, 2, true);
	f.config.nr_caches = NR_CACHES;
	f.config.port.cache_enter = enter_counted;
	f.config.port.cache_leave = leave_counted;
	f.config.port.barrier = barrier_counted;
	nr_inside = nr_barriers = 0;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	for (i = 0; i <= NR_CACHES; i++) {
		fake_cache = i;
		give(&f, take(&f));
		assert_int_equal(nr_inside, 0);
	}
	assert_int_equal(nr_barriers, 0);
	while (!sgx_alloc_epc_page(f.pool, NULL, 0, &page))
		assert_int_equal(nr_inside, 0);
	assert_int_equal(nr_inside, 0);
	assert_true(nr_barriers > 0);
	fake_finish(&f);
}

/* --- the gate ------------------------------------------------------------- */

static void free_raw(struct fake *f, void *page)
{
	sgx_free_epc_page(f->pool, page);
}

static void aborts_on_second_free_into_a_cache(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f);
	page = take(&f);
	give(&f, page);
	assert_aborts(&f, free_raw, page,
		      "BUG in sgx_free_epc_page(): EPC page 0x10000000 is free");
	fake_cache = 1;
	assert_aborts(&f, free_raw, page,
		      "BUG in sgx_free_epc_page(): EPC page 0x10000000 is free");
	fake_finish(&f);
}

/* Where its owner was is a link of the list now. */
static void aborts_on_free_of_a_page_in_the_list(void **state)
{
	struct fake f;

	start(&f);
	assert_int_equal(f.pool->pages[9].state, EPC_PAGE_FREE);
	assert_aborts(&f, free_raw, &f.pool->pages[9],
		      "BUG in sgx_free_epc_page(): EPC page 0x10009000 is free");
	fake_finish(&f);
}

static void aborts_on_free_of_an_initialized_page_into_a_cache(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f);
	page = take(&f);
	sgx_epc_page_mark_initialized(f.pool, page);
	assert_aborts(&f, free_raw, page,
		      "BUG in sgx_free_epc_page(): EPC page 0x10000000 is initialized");
	fake_finish(&f);
}

static void allocate(struct fake *f, void *arg)
{
	struct sgx_epc_page *page;

	sgx_alloc_epc_page(f->pool, NULL, 0, &page);
}

static void aborts_when_two_threads_have_one_number(void **state)
{
	unsigned int barrier;
	struct fake f;

	for (barrier = 0; barrier < 2; barrier++) {
		fake_init(&f, sections, 1, true);
		f.config.nr_caches = NR_CACHES;
		if (barrier)
			f.config.port.barrier = barrier_counted;
		fake_cache = 2;
		assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
		/* Another thread is inside. */
		epc_cache_enter(sgx_epc_cache(f.pool, 2));
		assert_aborts(&f, allocate, NULL,
			      "BUG: two threads use one cache of EPC pages at a time");
		epc_cache_leave(sgx_epc_cache(f.pool, 2));
		allocate(&f, NULL);
		fake_finish(&f);
	}
}

/* A thread that says itself which cache is its own. */
static void serves_who_names_its_cache(void **state)
{
	struct sgx_epc_page *pages[NR_PAGES];
	struct sgx_epc_cache *cache;
	unsigned int barrier, i;
	struct fake f;

	for (barrier = 0; barrier < 2; barrier++) {
		fake_init(&f, sections, 1, true);
		f.config.nr_caches = NR_CACHES;
		if (barrier)
			f.config.port.barrier = barrier_counted;
		fake_cache = NR_CACHES;		/* not by number */
		assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
		assert_null(sgx_epc_cache(f.pool, NR_CACHES));
		cache = sgx_epc_cache(f.pool, 1);
		for (i = 0; i < NR_PAGES / 2; i++) {
			assert_int_equal(sgx_alloc_epc_page_cached(cache, NULL, 0, &pages[i]), 0);
			assert_counts(&f, NR_PAGES / 2 - i - 1, i + 1, 0, 0);
		}
		assert_int_equal(sgx_alloc_epc_page_cached(cache, NULL, 0, &pages[i]), -ENOMEM);
		while (i--) {
			sgx_free_epc_page_cached(cache, pages[i]);
			assert_counts(&f, NR_PAGES / 2 - i, i, 0, 0);
		}
		assert_true(cached_on(&f, 0) > 0);
		assert_in_range(cached_on(&f, 0), 1, CACHE_SIZE);
		fake_finish(&f);
	}
}

static void free_cached(struct fake *f, void *page)
{
	sgx_free_epc_page_cached(sgx_epc_cache(f->pool, 0), page);
}

static void gate_holds_for_who_names_its_cache(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f);
	page = take(&f);
	sgx_epc_page_mark_initialized(f.pool, page);
	assert_aborts(&f, free_cached, page,
		      "BUG in sgx_free_epc_page(): EPC page 0x10000000 is initialized");
	assert_true(sgx_encl_free_epc_page(f.pool, page, "test"));
	assert_aborts(&f, free_cached, page,
		      "BUG in sgx_free_epc_page(): EPC page 0x10000000 is free");
	fake_finish(&f);
}

static void survives_each_failed_allocation_of_create(void **state)
{
	struct fake f;
	size_t n;
	int err;

	for (n = 1;; n++) {
		fake_init(&f, sections, 2, true);
		f.config.nr_caches = NR_CACHES;
		f.fail_alloc = n;
		err = sgx_epc_pool_create(&f.config, &f.pool);
		fake_finish(&f);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
	}
	assert_true(n > 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_what_is_cached_of_each_node),
		cmocka_unit_test(holds_no_more_than_its_size),
		cmocka_unit_test(follows_its_thread_to_another_node),
		cmocka_unit_test(hands_out_what_others_have_cached),
		cmocka_unit_test(takes_no_more_than_its_share_when_few_are_left),
		cmocka_unit_test(works_for_a_thread_without_a_number),
		cmocka_unit_test(is_off_where_it_would_hold_nothing),
		cmocka_unit_test(leaves_each_time_it_entered),
		cmocka_unit_test(aborts_on_second_free_into_a_cache),
		cmocka_unit_test(aborts_on_free_of_a_page_in_the_list),
		cmocka_unit_test(aborts_on_free_of_an_initialized_page_into_a_cache),
		cmocka_unit_test(aborts_when_two_threads_have_one_number),
		cmocka_unit_test(serves_who_names_its_cache),
		cmocka_unit_test(gate_holds_for_who_names_its_cache),
		cmocka_unit_test(survives_each_failed_allocation_of_create),
	};

	return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
