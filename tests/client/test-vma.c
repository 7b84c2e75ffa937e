/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of enclave mappings against a model that knows each page: an array
 * with one entry a page, where every operation is a loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/client/client.h"

#define BASE 0x100000000ull
#define NR_PAGES 4096u
#define NR_ENCLS 3u

static struct client_encl encls[NR_ENCLS];
static struct {
	struct client_encl *encl;
	int prot;
} model[NR_PAGES];

static uint64_t page_at(unsigned int i)
{
	return BASE + (uint64_t)i * SGX_PAGE_SIZE;
}

static void set(unsigned int from, unsigned int to, int prot, struct client_encl *encl)
{
	const struct client_vma vma = {
		.start = page_at(from), .end = page_at(to), .prot = prot, .encl = encl,
	};

	assert_int_equal(client_vma_set(&vma), 0);
	for (unsigned int i = from; i < to; i++) {
		model[i].encl = encl;
		model[i].prot = prot;
	}
}

static void clear(unsigned int from, unsigned int to)
{
	client_vma_clear(page_at(from), page_at(to));
	memset(&model[from], 0, (to - from) * sizeof(model[0]));
}

static void assert_pages_agree(void)
{
	for (unsigned int i = 0; i < NR_PAGES; i++) {
		const struct client_vma *vma = client_vma_find(page_at(i) + i % SGX_PAGE_SIZE);

		assert_ptr_equal(vma ? vma->encl : NULL, model[i].encl);
		if (vma)
			assert_int_equal(vma->prot, model[i].prot);
	}
}

/* Sorted, not empty, not overlapping; and each enclave's count is right. */
static void assert_sound(void)
{
	unsigned int count[NR_ENCLS] = { 0 };
	const struct client_vma *vma;
	uint64_t end = 0;

	for (vma = client_vma_next(0); vma; vma = client_vma_next(vma->end)) {
		assert_true(vma->start >= end);
		assert_true(vma->end > vma->start);
		end = vma->end;
		count[vma->encl - encls]++;
	}
	for (unsigned int i = 0; i < NR_ENCLS; i++)
		assert_int_equal(encls[i].nr_vmas, count[i]);
}

static void random_operations_agree_with_the_model(void **state)
{
	srandom(1);
	for (unsigned int round = 0; round < 20000; round++) {
		const unsigned int from = (unsigned int)random() % NR_PAGES;
		const unsigned int most = round % 16 ? 16 : NR_PAGES;
		unsigned int to = from + 1 + (unsigned int)random() % most;

		if (to > NR_PAGES)
			to = NR_PAGES;
		if (random() % 3)
			set(from, to, (int)(random() % 8), &encls[random() % (int)NR_ENCLS]);
		else
			clear(from, to);
		if (round % 64 == 0) {
			assert_pages_agree();
			assert_sound();
		}
	}
	assert_pages_agree();
	assert_sound();
}

/* One mapping, then every other page of it unmapped. */
static void holes_without_end_can_be_punched(void **state)
{
	set(0, NR_PAGES, 3, &encls[0]);
	for (unsigned int i = 1; i < NR_PAGES; i += 2)
		clear(i, i + 1);
	assert_pages_agree();
	assert_sound();
	assert_int_equal(encls[0].nr_vmas, NR_PAGES / 2);
}

static void clearing_the_middle_leaves_both_ends(void **state)
{
	set(10, 20, 1, &encls[1]);
	clear(13, 17);
	assert_int_equal(encls[1].nr_vmas, 2);
	assert_int_equal(client_vma_find(page_at(12))->end, page_at(13));
	assert_int_equal(client_vma_find(page_at(17))->start, page_at(17));
	assert_int_equal(client_vma_find(page_at(17))->end, page_at(20));
	assert_null(client_vma_find(page_at(13)));
}

static void setting_the_middle_makes_three(void **state)
{
	set(10, 20, 1, &encls[1]);
	set(13, 17, 3, &encls[2]);
	assert_int_equal(encls[1].nr_vmas, 2);
	assert_int_equal(encls[2].nr_vmas, 1);
	assert_pages_agree();
}

static void next_is_the_first_that_ends_after(void **state)
{
	set(10, 20, 1, &encls[0]);
	set(30, 40, 1, &encls[0]);
	assert_int_equal(client_vma_next(0)->start, page_at(10));
	assert_int_equal(client_vma_next(page_at(20) - 1)->start, page_at(10));
	assert_int_equal(client_vma_next(page_at(20))->start, page_at(30));
	assert_null(client_vma_next(page_at(40)));
}

static int empty(void **state)
{
	client_vma_clear(0, UINT64_MAX);
	memset(model, 0, sizeof(model));
	return client_vma_next(0) ? -1 : 0;
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, empty, empty)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(clearing_the_middle_leaves_both_ends),
		EACH(setting_the_middle_makes_three),
		EACH(next_is_the_first_that_ends_after),
		EACH(holes_without_end_can_be_punched),
		EACH(random_operations_agree_with_the_model),
	};

	return cmocka_run_group_tests_name("client vma", tests, NULL, NULL);
}
