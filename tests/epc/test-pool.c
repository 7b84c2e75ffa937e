/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pool by itself: whose page comes first, what happens when there is none,
 * and that nothing unclean gets in.
 */
#include "fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t take(struct fake *f, struct sgx_epc_page **page)
{
	assert_int_equal(sgx_alloc_epc_page(f->pool, NULL, 0, page), 0);
	assert_adds_up(f);
	return sgx_epc_page_pa(f->pool, *page);
}

static unsigned int node_of(const struct fake *f, uint64_t pa)
{
	size_t i;

	for (i = 0; i < f->config.nr_sections; i++) {
		const struct isa_section *s = &f->sections[i];

		if (pa >= s->pa && pa - s->pa < s->nr_pages * SGX_PAGE_SIZE)
			return s->node;
	}
	fail();
	return 0;
}

static void f42_c1_10_hands_out_every_page_once_then_enomem(void **state)
{
	struct sgx_epc_page *page, *none = (void *)&small_sections;
	bool seen[SMALL_PAGES] = { false };
	struct fake f;
	unsigned int i;

	fake_start(&f, small_sections, 3, true);
	for (i = 0; i < SMALL_PAGES; i++) {
		const size_t nr = (size_t)(fake_page_at(&f, take(&f, &page)) - f.pages);

		assert_false(seen[nr]);
		seen[nr] = true;
		assert_counts(&f, SMALL_PAGES - i - 1, i + 1, 0, 0);
	}
	page = none;
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), -ENOMEM);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, SGX_ALLOC_RECLAIM, &page), -ENOMEM);
	assert_ptr_equal(page, none);
	fake_finish(&f);
}

static void f47_runs_no_eremove(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	take(&f, &page);
	sgx_free_epc_page(f.pool, page);
	assert_int_equal(f.script[FAKE_EREMOVE].nr_calls, 0);
	assert_counts(&f, SMALL_PAGES, 0, 0, 0);
	fake_finish(&f);
}

/* Nodes 1, 4, 9, two pages each; order in which a thread on @near meets them. */
static void check_node_order(unsigned int near, const unsigned int expected[3])
{
	static const struct isa_section sections[] = {
		{ .pa = 0x90000000, .nr_pages = 2, .node = 9 },
		{ .pa = 0x10000000, .nr_pages = 2, .node = 1 },
		{ .pa = 0x40000000, .nr_pages = 2, .node = 4 },
	};
	struct sgx_epc_page *page;
	struct fake f;
	unsigned int i;

	fake_start(&f, sections, 3, true);
	f.node = near;
	for (i = 0; i < 6; i++)
		assert_int_equal(node_of(&f, take(&f, &page)), expected[i / 2]);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), -ENOMEM);
	fake_finish(&f);
}

static void f43_takes_near_node_first_then_each_other_once(void **state)
{
	check_node_order(1, (const unsigned int[]){ 1, 4, 9 });
	check_node_order(4, (const unsigned int[]){ 4, 9, 1 });
	check_node_order(9, (const unsigned int[]){ 9, 1, 4 });
}

static void c1_40_finds_pages_from_a_node_without_epc_and_ends(void **state)
{
	check_node_order(0, (const unsigned int[]){ 1, 4, 9 });
	check_node_order(5, (const unsigned int[]){ 9, 1, 4 });
	check_node_order(10, (const unsigned int[]){ 1, 4, 9 });
	check_node_order(~0u, (const unsigned int[]){ 1, 4, 9 });
}

static void returns_a_page_to_its_own_node(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;
	uint64_t pa;

	fake_start(&f, small_sections, 3, true);
	f.node = 3;
	pa = take(&f, &page);
	assert_int_equal(sgx_epc_stat_node(f.pool, 3).free, 3);
	f.node = 0;
	sgx_free_epc_page(f.pool, page);
	assert_adds_up(&f);
	assert_int_equal(sgx_epc_stat_node(f.pool, 3).free, 4);
	f.node = 3;
	assert_int_equal(take(&f, &page), pa);
	fake_finish(&f);
}

static void counts_nothing_for_a_node_without_epc(void **state)
{
	const struct sgx_epc_stat zero = { 0 };
	struct sgx_epc_stat stat;
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	stat = sgx_epc_stat_node(f.pool, 1);
	assert_memory_equal(&stat, &zero, sizeof(stat));
	stat = sgx_epc_stat_node(f.pool, 77);
	assert_memory_equal(&stat, &zero, sizeof(stat));
	fake_finish(&f);
}

static void manages_many_sections_and_nodes(void **state)
{
	enum { NR = 300 };
	struct isa_section *sections = calloc(NR, sizeof(*sections));
	struct sgx_epc_page *page;
	uint64_t nr = 0;
	struct fake f;
	unsigned int i;

	for (i = 0; i < NR; i++)
		sections[i] = (struct isa_section){
			.pa = (uint64_t)(NR - i) << 20, .nr_pages = 1 + i % 3, .node = i * 7 % NR,
		};
	fake_init(&f, small_sections, 1, true);
	f.config.sections = sections;
	f.config.nr_sections = NR;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	for (i = 0; i < NR; i++)
		assert_int_equal(sgx_epc_stat_node(f.pool, i * 7 % NR).total, 1 + i % 3);
	while (!sgx_alloc_epc_page(f.pool, NULL, 0, &page))
		nr++;
	assert_int_equal(nr, NR * 2);
	fake_finish(&f);
	free(sections);
}

static void check_refused(const struct isa_section *sections, size_t nr)
{
	struct fake f;

	fake_init(&f, small_sections, 1, true);
	f.config.sections = sections;
	f.config.nr_sections = nr;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), -EINVAL);
	assert_null(f.pool);
	fake_finish(&f);
}

static void c1_16_refuses_bad_sections(void **state)
{
	const struct isa_section none[] = { { .pa = 0x1000, .nr_pages = 0 } };
	const struct isa_section unaligned[] = { { .pa = 0x1800, .nr_pages = 1 } };
	const struct isa_section wraps[] = { { .pa = ~0xfffull, .nr_pages = 1 } };
	const struct isa_section huge[] = { { .pa = 0, .nr_pages = 1ull << 32 } };
	const struct isa_section sum[] = {
		{ .pa = 0, .nr_pages = 0x80000000 },
		{ .pa = 1ull << 48, .nr_pages = 0x80000000 },
	};
	const struct isa_section overlap[] = {
		{ .pa = 0x10000, .nr_pages = 4 }, { .pa = 0x20000, .nr_pages = 1 },
		{ .pa = 0x13000, .nr_pages = 1 },
	};

	check_refused(none, 0);
	check_refused(none, 1);
	check_refused(unaligned, 1);
	check_refused(wraps, 1);
	check_refused(huge, 1);
	check_refused(sum, 2);
	check_refused(overlap, 3);
}

static void c1_12_l8_survives_each_failed_allocation_of_create(void **state)
{
	size_t n;
	int err;

	for (n = 1;; n++) {
		struct fake f;

		fake_init(&f, small_sections, 3, true);
		f.fail_alloc = n;
		err = sgx_epc_pool_create(&f.config, &f.pool);
		if (err)
			assert_null(f.pool);
		fake_finish(&f);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
	}
	assert_true(n > 4);
}

static void destroys_nothing_without_complaint(void **state)
{
	struct fake f;

	sgx_epc_pool_destroy(NULL);
	sgx_encl_release(NULL);
	fake_start(&f, small_sections, 1, true);
	assert_true(f.live_allocs > 0);
	fake_finish(&f);
}

/* --- the gate ------------------------------------------------------------- */

static void free_raw(struct fake *f, void *page)
{
	sgx_free_epc_page(f->pool, page);
}

static void free_encl(struct fake *f, void *page)
{
	sgx_encl_free_epc_page(f->pool, page, "test");
}

static void mark(struct fake *f, void *page)
{
	sgx_epc_page_mark_initialized(f->pool, page);
}

static void aborts_on_raw_free_of_an_initialized_page(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	take(&f, &page);
	sgx_epc_page_mark_initialized(f.pool, page);
	assert_aborts(&f, free_raw, page,
		      "BUG in sgx_free_epc_page(): EPC page 0x80000000 is initialized");
	assert_true(sgx_encl_free_epc_page(f.pool, page, "test"));
	assert_counts(&f, SMALL_PAGES, 0, 0, 0);
	fake_finish(&f);
}

static void aborts_on_second_free(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	take(&f, &page);
	sgx_free_epc_page(f.pool, page);
	assert_aborts(&f, free_raw, page,
		      "BUG in sgx_free_epc_page(): EPC page 0x80000000 is free");
	assert_aborts(&f, free_encl, page,
		      "BUG in sgx_encl_free_epc_page(): EPC page 0x80000000 is free");
	assert_aborts(&f, mark, page,
		      "BUG in sgx_epc_page_mark_initialized(): EPC page 0x80000000 is free");
	fake_finish(&f);
}

static void aborts_on_free_of_a_leaked_page(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	take(&f, &page);
	fake_fail(&f, FAKE_EREMOVE, 1, 1, fake_fault(X86_GP));
	assert_false(sgx_encl_free_epc_page(f.pool, page, "test"));
	assert_aborts(&f, free_raw, page,
		      "BUG in sgx_free_epc_page(): EPC page 0x80000000 is leaked");
	assert_aborts(&f, free_encl, page,
		      "BUG in sgx_encl_free_epc_page(): EPC page 0x80000000 is leaked");
	fake_finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f42_c1_10_hands_out_every_page_once_then_enomem),
		cmocka_unit_test(f47_runs_no_eremove),
		cmocka_unit_test(f43_takes_near_node_first_then_each_other_once),
		cmocka_unit_test(c1_40_finds_pages_from_a_node_without_epc_and_ends),
		cmocka_unit_test(returns_a_page_to_its_own_node),
		cmocka_unit_test(counts_nothing_for_a_node_without_epc),
		cmocka_unit_test(manages_many_sections_and_nodes),
		cmocka_unit_test(c1_16_refuses_bad_sections),
		cmocka_unit_test(c1_12_l8_survives_each_failed_allocation_of_create),
		cmocka_unit_test(destroys_nothing_without_complaint),
		cmocka_unit_test(aborts_on_raw_free_of_an_initialized_page),
		cmocka_unit_test(aborts_on_second_free),
		cmocka_unit_test(aborts_on_free_of_a_leaked_page),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
