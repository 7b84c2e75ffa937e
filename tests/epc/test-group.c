/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Limits of owners, and the slow path of the allocator: what it answers when
 * EPC or a limit is used up.  The reclaimer under it is this file's own, so that
 * each of its answers can be had.
 */
#include "fake.h"

#include <errno.h>
#include <stdlib.h>

#include "../../src/epc/internal.h"

/* --- a reclaimer by script ---------------------------------------------------- */

static struct {
	struct sgx_epc_page *evictable[SMALL_PAGES];	/* the last one goes first */
	uint64_t nr_evictable;
	unsigned int nr_fruitless;	/* rounds before one succeeds */
	unsigned int nr_rounds;
	unsigned int nr_yields, busy_yields;
	uint64_t extra;			/* counted as evictable, never evicted */
	bool steal;			/* others take what is evicted */
	struct sgx_epc_page *frees;	/* others' last work, when they are done */
	bool release;			/* which was a release, not evicting */
	struct sgx_epc_group *asked;
} script;

uint64_t __wrap_epc_nr_evictable(struct sgx_epc_pool *pool, const struct sgx_epc_group *group);
uint64_t __wrap_epc_reclaim_one(struct sgx_epc_pool *pool, struct sgx_epc_group *group,
				const struct sgx_epc_owner *owner, bool keep_last,
				struct sgx_epc_page **page);

static bool is_of(const struct sgx_epc_page *page, const struct sgx_epc_group *group)
{
	return !group || (page->owner && page->owner->group == group);
}

uint64_t __wrap_epc_nr_evictable(struct sgx_epc_pool *pool, const struct sgx_epc_group *group)
{
	uint64_t nr = script.extra, i;

	for (i = 0; i < script.nr_evictable; i++)
		nr += is_of(script.evictable[i], group);
	return nr;
}

uint64_t __wrap_epc_reclaim_one(struct sgx_epc_pool *pool, struct sgx_epc_group *group,
				const struct sgx_epc_owner *owner, bool keep_last,
				struct sgx_epc_page **page)
{
	struct sgx_epc_page *victim;
	uint64_t i = script.nr_evictable;

	script.nr_rounds++;
	script.asked = group;
	if (script.nr_fruitless && script.nr_fruitless--)
		return 0;
	while (i > 0 && !is_of(script.evictable[i - 1], group))
		i--;
	if (!i)
		return 0;
	victim = script.evictable[i - 1];
	script.evictable[i - 1] = script.evictable[--script.nr_evictable];
	assert_true(epc_evict_begin(pool, victim));
	epc_page_cleaned(pool, victim);
	if (!script.steal && epc_page_hand_over(pool, victim, group, owner))
		*page = victim;
	else if (script.steal)
		sgx_epc_page_mark_initialized(pool, victim);
	return 1;
}

static void yield_counted(void *ctx)
{
	struct fake *f = ctx;

	script.nr_yields++;
	if (!script.busy_yields || --script.busy_yields)
		return;
	if (script.frees)
		sgx_free_epc_page(f->pool, script.frees);
	if (script.release)
		sgx_epc_release_end(f->pool);
	else
		atomic_store(&f->pool->nr_reclaimers, 0);
}

static void start(struct fake *f)
{
	script.nr_evictable = script.extra = 0;
	script.nr_fruitless = script.nr_rounds = script.nr_yields = script.busy_yields = 0;
	script.steal = script.release = false;
	script.frees = NULL;
	script.asked = NULL;
	fake_init(f, small_sections, 3, true);
	f->config.overcommit = true;
	f->config.port.yield = yield_counted;
	assert_int_equal(sgx_epc_pool_create(&f->config, &f->pool), 0);
}

static struct sgx_epc_page *take_evictable(struct fake *f, const struct sgx_epc_owner *owner)
{
	struct sgx_epc_page *page;

	assert_int_equal(sgx_alloc_epc_page(f->pool, owner, 0, &page), 0);
	sgx_epc_page_mark_initialized(f->pool, page);
	script.evictable[script.nr_evictable++] = page;
	assert_adds_up(f);
	return page;
}

static void fill(struct fake *f)
{
	struct sgx_epc_page *page;

	while (!sgx_alloc_epc_page(f->pool, NULL, 0, &page))
		;
	assert_counts(f, 0, SMALL_PAGES, 0, 0);
}

static struct sgx_epc_group *group_of(struct fake *f, uint64_t limit, struct sgx_epc_owner *owner)
{
	struct sgx_epc_group *group;

	assert_int_equal(sgx_epc_group_create(f->pool, limit, &group), 0);
	*owner = (struct sgx_epc_owner){ .group = group };
	return group;
}

/* --- EPC is used up ------------------------------------------------------------- */

static void c1_4_enomem_when_nothing_can_be_evicted(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f);
	fill(&f);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), -ENOMEM);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, SGX_ALLOC_RECLAIM, &page), -ENOMEM);
	assert_int_equal(script.nr_rounds, 0);
	fake_finish(&f);
}

static void f45_ebusy_without_leave_to_evict(void **state)
{
	struct sgx_epc_page *page, *victim;
	struct fake f;

	start(&f);
	victim = take_evictable(&f, NULL);
	fill(&f);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), -EBUSY);
	assert_int_equal(script.nr_rounds, 0);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, SGX_ALLOC_RECLAIM, &page), 0);
	assert_ptr_equal(page, victim);
	assert_counts(&f, 0, SMALL_PAGES, 0, 0);
	fake_finish(&f);
}

static bool is_interrupted(void *ctx)
{
	return true;
}

static void f45_eintr_when_a_signal_waits(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f);
	f.config.port.interrupted = is_interrupted;
	sgx_epc_pool_destroy(f.pool);
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	/* Only who would have to wait. */
	take_evictable(&f, NULL);
	fill(&f);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, SGX_ALLOC_RECLAIM, &page), -EINTR);
	assert_int_equal(script.nr_rounds, 0);
	fake_finish(&f);
}

static void evicts_nothing_where_that_is_switched_off(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f);
	f.config.overcommit = false;
	sgx_epc_pool_destroy(f.pool);
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	take_evictable(&f, NULL);
	fill(&f);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), -ENOMEM);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, SGX_ALLOC_RECLAIM, &page), -ENOMEM);
	assert_int_equal(script.nr_rounds, 0);
	fake_finish(&f);
}

static void gives_up_when_many_rounds_gained_nothing(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f);
	script.extra = 1;
	fill(&f);
	script.nr_rounds = 0;
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, SGX_ALLOC_RECLAIM, &page), -ENOMEM);
	assert_in_range(script.nr_rounds, 2, 1000);
	assert_int_equal(script.nr_yields, script.nr_rounds - 1);
	fake_finish(&f);
}

static void tries_again_after_a_round_without_gain(void **state)
{
	struct sgx_epc_page *page, *victim;
	struct fake f;

	start(&f);
	victim = take_evictable(&f, NULL);
	fill(&f);
	script.nr_fruitless = 10;
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, SGX_ALLOC_RECLAIM, &page), 0);
	assert_ptr_equal(page, victim);
	assert_int_equal(script.nr_yields, 10);
	fake_finish(&f);
}

/* However long it takes them. */
static void l11_waits_while_others_evict(void **state)
{
	struct sgx_epc_page *page, *victim;
	struct fake f;

	start(&f);
	victim = take_evictable(&f, NULL);
	fill(&f);
	script.nr_fruitless = script.busy_yields = 5000;
	atomic_store(&f.pool->nr_reclaimers, 1);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, SGX_ALLOC_RECLAIM, &page), 0);
	assert_ptr_equal(page, victim);
	fake_finish(&f);
}

/* What could be evicted is in their hands already: they have it all. */
static void l11_waits_for_the_last_pages_of_others(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &script.frees), 0);
	fill(&f);
	script.busy_yields = 5000;
	atomic_store(&f.pool->nr_reclaimers, 1);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, SGX_ALLOC_RECLAIM, &page), 0);
	assert_ptr_equal(page, script.frees);
	assert_int_equal(script.nr_rounds, 0);
	fake_finish(&f);
}

/* --- pages on their way back --------------------------------------------------- */

static void start_release(struct fake *f, struct sgx_epc_page *frees)
{
	script.frees = frees;
	script.release = true;
	script.busy_yields = 5000;
	sgx_epc_release_begin(f->pool);
}

/* A release that somebody counts on takes its time: also who may not evict waits. */
static void waits_for_what_is_released(void **state)
{
	struct sgx_epc_page *page, *frees;
	struct fake f;

	for (int overcommit = 0; overcommit < 2; overcommit++) {
		start(&f);
		f.config.overcommit = overcommit;
		sgx_epc_pool_destroy(f.pool);
		assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
		assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &frees), 0);
		fill(&f);
		start_release(&f, frees);
		assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), 0);
		assert_ptr_equal(page, frees);
		assert_int_equal(script.nr_rounds, 0);
		fake_finish(&f);
	}
}

static void waits_for_what_the_group_gets_back(void **state)
{
	struct sgx_epc_group *group;
	struct sgx_epc_owner owner;
	struct sgx_epc_page *page, *frees;
	struct fake f;

	start(&f);
	group = group_of(&f, 1, &owner);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &owner, 0, &frees), 0);
	start_release(&f, frees);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &owner, 0, &page), 0);
	assert_int_equal(sgx_epc_group_usage(group), 1);
	sgx_free_epc_page(f.pool, page);
	sgx_epc_group_destroy(group);
	fake_finish(&f);
}

static void enomem_when_a_release_brought_nothing(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f);
	fill(&f);
	start_release(&f, NULL);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, SGX_ALLOC_RECLAIM, &page), -ENOMEM);
	assert_int_equal(script.busy_yields, 0);
	fake_finish(&f);
}

static void eintr_while_pages_are_on_their_way(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f);
	f.config.port.interrupted = is_interrupted;
	sgx_epc_pool_destroy(f.pool);
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	fill(&f);
	sgx_epc_release_begin(f.pool);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, SGX_ALLOC_RECLAIM, &page), -EINTR);
	sgx_epc_release_end(f.pool);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, SGX_ALLOC_RECLAIM, &page), -ENOMEM);
	fake_finish(&f);
}

static void ends_when_all_that_was_evicted_went_to_others(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;
	unsigned int i;

	start(&f);
	for (i = 0; i < 5; i++)
		take_evictable(&f, NULL);
	fill(&f);
	script.steal = true;
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, SGX_ALLOC_RECLAIM, &page), -ENOMEM);
	assert_int_equal(script.nr_rounds, 5);
	assert_counts(&f, 0, SMALL_PAGES, 0, 0);
	fake_finish(&f);
}

static unsigned int nr_wakes;

static void wake_counted(void *ctx)
{
	nr_wakes++;
}

static void f45_wakes_the_reclaimer_below_the_low_watermark(void **state)
{
	static const struct isa_section section = { .pa = 1 << 20, .nr_pages = 640 };
	struct sgx_epc_watermarks marks;
	struct sgx_epc_page *page;
	struct fake f;
	unsigned int i;

	start(&f);
	fake_finish(&f);
	fake_init(&f, &section, 1, true);
	f.config.overcommit = true;
	f.config.port.wake_reclaimer = wake_counted;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	marks = sgx_epc_watermarks(f.pool);
	assert_int_equal(marks.low, 10);
	assert_int_equal(marks.high, 20);

	nr_wakes = 0;
	for (i = 0; i < 635; i++)
		assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), 0);
	/* Nothing could be evicted. */
	assert_int_equal(nr_wakes, 0);
	sgx_free_epc_page(f.pool, page);
	script.extra = 1;
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), 0);
	assert_int_equal(nr_wakes, 1);
	fake_finish(&f);
}

static void f46_watermarks_scale_with_the_epc(void **state)
{
	static const struct { uint64_t nr_pages, low; } cases[] = {
		{ 1, 1 }, { 127, 1 }, { 128, 2 }, { 24064, 376 }, { 131072, 2048 },
		{ 1 << 20, 2048 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct isa_section section = { .pa = 1 << 20, .nr_pages = cases[i].nr_pages };
		struct sgx_epc_watermarks marks;
		struct fake f;

		fake_start(&f, &section, 1, true);
		marks = sgx_epc_watermarks(f.pool);
		assert_int_equal(marks.low, cases[i].low);
		assert_int_equal(marks.high, 2 * cases[i].low);
		fake_finish(&f);
	}
}

/* --- a limit is used up ----------------------------------------------------------- */

static void u5_group_is_charged_for_what_it_holds(void **state)
{
	struct sgx_epc_page *pages[3];
	struct sgx_epc_owner a, b;
	struct sgx_epc_group *group;
	struct fake f;

	start(&f);
	group = group_of(&f, 3, &a);
	b = a;
	assert_int_equal(sgx_alloc_epc_page(f.pool, &a, 0, &pages[0]), 0);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &b, 0, &pages[1]), 0);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &b, 0, &pages[2]), 0);
	assert_int_equal(sgx_epc_group_usage(group), 3);
	sgx_free_epc_page(f.pool, pages[0]);
	assert_int_equal(sgx_epc_group_usage(group), 2);
	sgx_free_epc_pages(f.pool, &pages[1], 2);
	assert_int_equal(sgx_epc_group_usage(group), 0);
	sgx_epc_group_destroy(group);
	fake_finish(&f);
}

static void u5_limit_refuses_that_owner_only(void **state)
{
	struct sgx_epc_page *page, *other;
	struct sgx_epc_owner owner;
	struct sgx_epc_group *group;
	struct fake f;

	start(&f);
	group = group_of(&f, 1, &owner);
	take_evictable(&f, NULL);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &owner, 0, &page), 0);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &owner, 0, &other), -ENOMEM);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &owner, SGX_ALLOC_RECLAIM, &other), -ENOMEM);
	assert_int_equal(sgx_epc_group_usage(group), 1);
	/* What others have was left alone. */
	assert_int_equal(script.nr_rounds, 0);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &other), 0);

	sgx_epc_group_set_limit(group, 2);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &owner, 0, &other), 0);
	sgx_epc_group_set_limit(group, 0);
	assert_int_equal(sgx_epc_group_usage(group), 2);
	sgx_free_epc_page(f.pool, other);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &owner, 0, &other), -ENOMEM);
	sgx_free_epc_page(f.pool, page);
	sgx_epc_group_destroy(group);
	fake_finish(&f);
}

static void u5_limit_is_met_by_evicting_inside_the_group(void **state)
{
	struct sgx_epc_page *page, *victim;
	struct sgx_epc_owner owner;
	struct sgx_epc_group *group;
	struct fake f;

	start(&f);
	group = group_of(&f, 2, &owner);
	victim = take_evictable(&f, &owner);
	take_evictable(&f, NULL);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &owner, 0, &page), 0);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &owner, 0, &page), -EBUSY);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &owner, SGX_ALLOC_RECLAIM, &page), 0);
	assert_ptr_equal(page, victim);
	assert_ptr_equal(script.asked, group);
	assert_int_equal(sgx_epc_group_usage(group), 2);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &owner, SGX_ALLOC_RECLAIM, &page), -ENOMEM);
	assert_int_equal(sgx_epc_group_usage(group), 2);
	assert_adds_up(&f);
	sgx_epc_group_destroy(group);
	fake_finish(&f);
}

static void page_evicted_from_another_group_changes_the_charge(void **state)
{
	struct sgx_epc_group *rich, *poor;
	struct sgx_epc_owner a, b;
	struct sgx_epc_page *page;
	struct fake f;

	start(&f);
	rich = group_of(&f, 10, &a);
	poor = group_of(&f, 10, &b);
	take_evictable(&f, &a);
	fill(&f);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &b, SGX_ALLOC_RECLAIM, &page), 0);
	assert_null(script.asked);
	assert_int_equal(sgx_epc_group_usage(rich), 0);
	assert_int_equal(sgx_epc_group_usage(poor), 1);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &b, SGX_ALLOC_RECLAIM, &page), -ENOMEM);
	assert_int_equal(sgx_epc_group_usage(poor), 1);
	sgx_epc_group_destroy(rich);
	sgx_epc_group_destroy(poor);
	fake_finish(&f);
}

static void leaked_page_is_no_more_charged(void **state)
{
	struct sgx_epc_group *group;
	struct sgx_epc_owner owner;
	struct sgx_epc_page *page;
	struct sgx_epc_leak row;
	struct fake f;

	start(&f);
	group = group_of(&f, 1, &owner);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &owner, 0, &page), 0);
	fake_fail(&f, FAKE_EREMOVE, 1, 1, fake_fault(X86_GP));
	assert_false(sgx_encl_free_epc_page(f.pool, page, "test"));
	assert_int_equal(sgx_epc_group_usage(group), 0);
	/* The row outlives the group. */
	assert_int_equal(sgx_epc_leaks(f.pool, 0, &row, 1), 1);
	assert_null(row.owner.group);
	assert_int_equal(sgx_alloc_epc_page(f.pool, &owner, 0, &page), 0);
	assert_int_equal(sgx_epc_poison(f.pool, sgx_epc_page_pa(f.pool, page)), 0);
	sgx_free_epc_page(f.pool, page);
	assert_int_equal(sgx_epc_group_usage(group), 0);
	sgx_epc_group_destroy(group);
	fake_finish(&f);
}

static void group_needs_memory(void **state)
{
	struct sgx_epc_group *group = NULL;
	struct fake f;

	start(&f);
	f.fail_alloc = f.nr_allocs + 1;
	assert_int_equal(sgx_epc_group_create(f.pool, 1, &group), -ENOMEM);
	assert_null(group);
	sgx_epc_group_destroy(NULL);
	fake_finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c1_4_enomem_when_nothing_can_be_evicted),
		cmocka_unit_test(f45_ebusy_without_leave_to_evict),
		cmocka_unit_test(f45_eintr_when_a_signal_waits),
		cmocka_unit_test(evicts_nothing_where_that_is_switched_off),
		cmocka_unit_test(gives_up_when_many_rounds_gained_nothing),
		cmocka_unit_test(tries_again_after_a_round_without_gain),
		cmocka_unit_test(l11_waits_while_others_evict),
		cmocka_unit_test(l11_waits_for_the_last_pages_of_others),
		cmocka_unit_test(waits_for_what_is_released),
		cmocka_unit_test(waits_for_what_the_group_gets_back),
		cmocka_unit_test(enomem_when_a_release_brought_nothing),
		cmocka_unit_test(eintr_while_pages_are_on_their_way),
		cmocka_unit_test(ends_when_all_that_was_evicted_went_to_others),
		cmocka_unit_test(f45_wakes_the_reclaimer_below_the_low_watermark),
		cmocka_unit_test(f46_watermarks_scale_with_the_epc),
		cmocka_unit_test(u5_group_is_charged_for_what_it_holds),
		cmocka_unit_test(u5_limit_refuses_that_owner_only),
		cmocka_unit_test(u5_limit_is_met_by_evicting_inside_the_group),
		cmocka_unit_test(page_evicted_from_another_group_changes_the_charge),
		cmocka_unit_test(leaked_page_is_no_more_charged),
		cmocka_unit_test(group_needs_memory),
	};

	return cmocka_run_group_tests_name("group", tests, NULL, NULL);
}
