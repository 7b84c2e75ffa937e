/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The free pages by lines: caches get whole ones, singles come out of those that
 * are in use already, and no order of coming and going loses a page.
 */
#include "fake.h"

#include "../../src/epc/free-list.h"

#define NR_PAGES 64u

/* Two sections of one node, whose border lies inside of a line. */
static struct sgx_epc_pool *make_pool(struct fake *f)
{
	static const struct isa_section sections[] = {
		{ .pa = 0x80000000, .nr_pages = 13 },
		{ .pa = 0xc0000000, .nr_pages = NR_PAGES - 13 },
	};

	fake_start(f, sections, 2, true);
	return f->pool;
}

/* How many are listed, after a walk over both lists, forwards and back. */
static uint32_t walk(const struct sgx_epc_pool *pool, uint32_t head)
{
	uint32_t prev = EPC_NO_PAGE, i, nr = 0;

	for (i = head; i != EPC_NO_PAGE; i = pool->pages[i].next) {
		assert_int_equal(epc_page_state(&pool->pages[i]), EPC_PAGE_FREE);
		assert_int_equal(pool->pages[i].prev, prev);
		prev = i;
		nr++;
	}
	return nr;
}

static void assert_listed(const struct sgx_epc_pool *pool, uint32_t whole, uint32_t partial)
{
	const struct epc_node *node = pool->nodes;

	assert_int_equal(walk(pool, node->whole_head), whole);
	assert_int_equal(walk(pool, node->partial_head), partial);
	assert_int_equal(node->nr_free, whole + partial);
}

static void lines_end_with_their_section(void **state)
{
	struct sgx_epc_page *pages[EPC_PAGES_PER_LINE];
	struct fake f;
	struct sgx_epc_pool *pool = make_pool(&f);
	const uint32_t expected[] = { 8, 5, 3, 8, 8, 8, 8, 8, 8, 0 };
	uint32_t i, nr;

	assert_listed(pool, NR_PAGES, 0);
	for (i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		nr = epc_free_pop_lines(pool, pool->nodes, EPC_PAGE_CLEAN, pages,
					EPC_PAGES_PER_LINE);
		assert_int_equal(nr, expected[i]);
	}
	assert_listed(pool, 0, 0);
	fake_finish(&f);
}

static void single_pages_come_out_of_one_line(void **state)
{
	struct fake f;
	struct sgx_epc_pool *pool = make_pool(&f);
	uint32_t i;

	for (i = 0; i < EPC_PAGES_PER_LINE; i++) {
		const struct sgx_epc_page *page =
			epc_free_pop(pool, pool->nodes, EPC_PAGE_CLEAN);

		assert_ptr_equal(page, &pool->pages[i]);
		assert_listed(pool, NR_PAGES - EPC_PAGES_PER_LINE, EPC_PAGES_PER_LINE - 1 - i);
	}
	fake_finish(&f);
}

static void line_is_whole_again_with_its_last_page(void **state)
{
	struct sgx_epc_page *pages[EPC_PAGES_PER_LINE];
	struct fake f;
	struct sgx_epc_pool *pool = make_pool(&f);
	uint32_t i, nr;

	nr = epc_free_pop_lines(pool, pool->nodes, EPC_PAGE_CLEAN, pages,
					EPC_PAGES_PER_LINE);
	for (i = nr; i-- > 1;)
		epc_free_push(pool, pool->nodes, pages[i], EPC_PAGE_CLEAN);
	assert_listed(pool, NR_PAGES - nr, nr - 1);
	epc_free_push(pool, pool->nodes, pages[0], EPC_PAGE_CLEAN);
	assert_listed(pool, NR_PAGES, 0);
	fake_finish(&f);
}

/* Though those that became free last are the first of the list. */
static void lines_of_one_block_come_together(void **state)
{
	static const struct isa_section section = { .pa = 0x80000000,
						    .nr_pages = 3 * EPC_PAGES_PER_BLOCK };
	struct sgx_epc_page *pages[3 * EPC_PAGES_PER_BLOCK], *page;
	struct fake f;
	uint32_t i, n, nr = 0;

	fake_start(&f, &section, 1, true);
	while ((page = epc_free_pop(f.pool, f.pool->nodes, EPC_PAGE_CLEAN)))
		pages[nr++] = page;
	assert_int_equal(nr, 3 * EPC_PAGES_PER_BLOCK);
	/* One page of the second block stays out: its line is no whole one. */
	for (i = 0; i < nr; i++) {
		n = i * 37 % nr;
		if (n != EPC_PAGES_PER_BLOCK)
			epc_free_push(f.pool, f.pool->nodes, pages[n], EPC_PAGE_CLEAN);
	}
	for (n = 3 * EPC_PAGES_PER_BLOCK; n; n -= EPC_PAGES_PER_BLOCK) {
		nr = epc_free_pop_lines(f.pool, f.pool->nodes, EPC_PAGE_CLEAN, pages,
					EPC_PAGES_PER_BLOCK);
		assert_int_equal(nr, epc_page_index(f.pool, pages[0]) == EPC_PAGES_PER_BLOCK +
			EPC_PAGES_PER_LINE ? EPC_PAGES_PER_BLOCK - EPC_PAGES_PER_LINE :
					     EPC_PAGES_PER_BLOCK);
		for (i = 1; i < nr; i++)
			assert_ptr_equal(pages[i], pages[0] + i);
	}
	assert_listed(f.pool, 0, EPC_PAGES_PER_LINE - 1);
	fake_finish(&f);
}

/* As poison does it, from anywhere. */
static void any_page_can_be_removed(void **state)
{
	struct fake f;
	struct sgx_epc_pool *pool = make_pool(&f);
	uint32_t i;

	for (i = 0; i < NR_PAGES; i++) {
		const uint32_t nr = i * 37 % NR_PAGES;

		epc_free_remove(pool, pool->nodes, &pool->pages[nr], EPC_PAGE_POISONED);
		assert_int_equal(walk(pool, pool->nodes->whole_head) +
				 walk(pool, pool->nodes->partial_head), NR_PAGES - i - 1);
	}
	assert_listed(pool, 0, 0);
	fake_finish(&f);
}

static void nothing_is_lost_in_random_order(void **state)
{
	struct sgx_epc_page *held[NR_PAGES + 2 * EPC_PAGES_PER_LINE];
	struct fake f;
	struct sgx_epc_pool *pool = make_pool(&f);
	uint32_t nr = 0, i, random = 1;

	for (i = 0; i < 20000; i++) {
		random = random * 1664525u + 1013904223u;
		switch (random >> 30) {
		case 0:
			nr += epc_free_pop_lines(pool, pool->nodes, EPC_PAGE_CLEAN, &held[nr],
						 EPC_PAGES_PER_LINE << (random >> 29 & 1));
			break;
		case 1:
			held[nr] = epc_free_pop(pool, pool->nodes, EPC_PAGE_CLEAN);
			nr += held[nr] != NULL;
			break;
		default:
			if (!nr)
				break;
			random ^= random >> 16;
			epc_free_push(pool, pool->nodes, held[random % nr], EPC_PAGE_CLEAN);
			held[random % nr] = held[nr - 1];
			nr--;
		}
		assert_int_equal(walk(pool, pool->nodes->whole_head) +
				 walk(pool, pool->nodes->partial_head), NR_PAGES - nr);
	}
	fake_finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_end_with_their_section),
		cmocka_unit_test(single_pages_come_out_of_one_line),
		cmocka_unit_test(line_is_whole_again_with_its_last_page),
		cmocka_unit_test(lines_of_one_block_come_together),
		cmocka_unit_test(any_page_can_be_removed),
		cmocka_unit_test(nothing_is_lost_in_random_order),
	};

	return cmocka_run_group_tests_name("free-list", tests, NULL, NULL);
}
