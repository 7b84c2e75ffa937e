/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of states: each move in it can be made, and no other.
 */
#include "fake.h"

#include <stdio.h>

#include "../../src/epc/internal.h"

static const struct {
	enum epc_page_state from, to;
} moves[] = {
#define MOVE(from, to) { EPC_PAGE_##from, EPC_PAGE_##to },
#include "../../src/epc/page-states.def"
};

#define NR_MOVES (sizeof(moves) / sizeof(moves[0]))
#define NR_STATES (EPC_PAGE_POISONED + 1u)

static bool is_declared(unsigned int from, unsigned int to)
{
	size_t i;

	for (i = 0; i < NR_MOVES; i++) {
		if (moves[i].from == from && moves[i].to == to)
			return true;
	}
	return false;
}

struct move {
	struct sgx_epc_page *page;
	unsigned int from, to;
};

static void make(struct fake *f, void *arg)
{
	const struct move *move = arg;

	epc_page_set(f->pool, move->page, move->from, move->to);
}

static void each_declared_move_is_made(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;
	size_t i;

	fake_start(&f, small_sections, 3, true);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), 0);
	for (i = 0; i < NR_MOVES; i++) {
		atomic_store(&page->state, (uint8_t)moves[i].from);
		epc_page_set(f.pool, page, moves[i].from, moves[i].to);
		assert_int_equal(epc_page_state(page), moves[i].to);
	}
	atomic_store(&page->state, EPC_PAGE_CLEAN);
	sgx_free_epc_page(f.pool, page);
	fake_finish(&f);
}

static void every_other_aborts(void **state)
{
	unsigned int from, to, nr = 0;
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	for (from = 0; from < NR_STATES; from++) {
		for (to = 0; to < NR_STATES; to++) {
			struct move move = { .page = f.pool->pages, .from = from, .to = to };

			if (is_declared(from, to))
				continue;
			assert_aborts(&f, make, &move,
				      "BUG in epc_page_set(): EPC page 0x80000000 is free");
			nr++;
		}
	}
	assert_int_equal(nr, NR_STATES * NR_STATES - NR_MOVES);
	fake_finish(&f);
}

static void what_is_lost_is_lost_for_ever(void **state)
{
	unsigned int to;

	for (to = 0; to < NR_STATES; to++) {
		assert_false(epc_page_may_move(EPC_PAGE_LEAKED, to));
		assert_false(epc_page_may_move(EPC_PAGE_POISONED, to));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_declared_move_is_made),
		cmocka_unit_test(every_other_aborts),
		cmocka_unit_test(what_is_lost_is_lost_for_ever),
	};

	return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
