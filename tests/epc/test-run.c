/* SPDX-License-Identifier: BSD-3-Clause */
/* sgx_encl_run(): pages a caller needs together, whatever the EPC is short of. */
#include "fake.h"

#include <errno.h>
#include <string.h>

#define BASE 0x700000000000ull
#define SIZE (1ull << 32)
#define NR_PAGES 40u
#define PAGE(i) ((uint64_t)(i) * SGX_PAGE_SIZE)

static const _Alignas(4096) struct sgx_secs secs_source = {
	.baseaddr = BASE, .size = SIZE, .attributes.flags = ATTR_DEBUG,
};

struct world {
	struct fake f;
	struct sgx_encl *encl;
};

static void start(struct world *w, uint64_t epc_pages)
{
	const struct isa_section section = { .pa = 1ull << 32, .nr_pages = epc_pages };
	const struct sgx_encl_config config = { .owner = { .encl_id = 1 }, .cookie = w };

	memset(w, 0, sizeof(*w));
	fake_init(&w->f, &section, 1, true);
	w->f.config.overcommit = true;
	assert_int_equal(sgx_epc_pool_create(&w->f.config, &w->f.pool), 0);
	assert_int_equal(sgx_encl_create(w->f.pool, &config, &w->encl), 0);
	assert_int_equal(sgx_encl_ecreate(w->encl, &secs_source), 0);
}

static void add_pages(struct world *w, uint64_t nr)
{
	static const _Alignas(4096) uint8_t zero[SGX_PAGE_SIZE];
	const struct sgx_secinfo rw = { .flags = SECINFO_R | SECINFO_W | SECINFO_PT(PT_REG) };

	for (uint64_t i = 0; i < nr; i++)
		assert_int_equal(sgx_encl_add_page(w->encl, PAGE(i), zero, &rw, false), 0);
}

static void einit(struct world *w)
{
	static const _Alignas(4096) struct sgx_sigstruct sigstruct;
	static const uint64_t hash[4];
	struct isa_outcome out;

	assert_int_equal(sgx_encl_einit(w->encl, &sigstruct, hash, &out), 0);
}

static void finish(struct world *w)
{
	sgx_encl_release(w->encl);
	assert_counts(&w->f, w->f.nr_pages, 0, 0, 0);
	fake_finish(&w->f);
}

/* --- what the function is given ------------------------------------------------------ */

struct seen {
	struct world *w;
	const uint64_t *offsets;
	size_t n;
	unsigned int nr_calls, nr_pages;
};

/* Each page is where it should be, and no two are in one place. */
static void look(void *ctx, const uint64_t *pages)
{
	struct seen *seen = ctx;

	seen->nr_calls++;
	for (size_t i = 0; i < seen->n; i++) {
		if (pages[i] == ISA_NO_FRAME)
			continue;
		seen->nr_pages++;
		assert_true(fake_page_at(&seen->w->f, pages[i])->valid);
		for (size_t j = 0; j < i; j++)
			assert_int_equal(pages[i] == pages[j],
					 seen->offsets[i] == seen->offsets[j]);
	}
}

/* Return: how many of them it got. */
static unsigned int run(struct world *w, const uint64_t *offsets, size_t n)
{
	struct seen seen = { .w = w, .offsets = offsets, .n = n };

	sgx_encl_run(w->encl, offsets, n, look, &seen);
	assert_int_equal(seen.nr_calls, 1);
	assert_adds_up(&w->f);
	return seen.nr_pages;
}

/* --- cases --------------------------------------------------------------------------- */

static void all_are_in_epc_at_once(void **state)
{
	struct world w;

	start(&w, 16);
	add_pages(&w, NR_PAGES);
	einit(&w);
	for (unsigned int i = 0; i < 200; i++) {
		const uint64_t offsets[] = {
			PAGE(i * 7 % NR_PAGES), PAGE(i * 11 % NR_PAGES), PAGE(i * 13 % NR_PAGES),
			PAGE(i * 17 % NR_PAGES),
		};

		assert_int_equal(run(&w, offsets, 1 + i % 4), 1 + i % 4);
	}
	finish(&w);
}

static void missing_ones_are_made_after_init_only(void **state)
{
	const uint64_t offsets[] = { PAGE(1000), PAGE(2), PAGE(1000), PAGE(70000) };
	struct world w;

	start(&w, 16);
	add_pages(&w, NR_PAGES);
	assert_int_equal(run(&w, offsets, 4), 1);
	einit(&w);
	assert_int_equal(run(&w, offsets, 4), 4);
	finish(&w);
}

static void nowhere_is_no_frame(void **state)
{
	const uint64_t offsets[] = { SIZE, SIZE + PAGE(1), -PAGE(1), PAGE(3) };
	struct world w;

	start(&w, 16);
	add_pages(&w, NR_PAGES);
	einit(&w);
	assert_int_equal(run(&w, offsets, 4), 1);
	assert_int_equal(run(&w, NULL, 0), 0);
	finish(&w);
}

/* It is called all the same, with what there is, and nothing is left behind. */
static void too_small_an_epc_gives_what_fits(void **state)
{
	const uint64_t offsets[] = { PAGE(100), PAGE(101), PAGE(102), PAGE(103) };
	struct world w;

	/* SECS and version array, and two more. */
	start(&w, 4);
	einit(&w);
	w.f.may_not_evict = true;
	assert_int_equal(run(&w, offsets, 4), 2);
	assert_int_equal(run(&w, offsets, 4), 2);
	assert_int_equal(run(&w, offsets + 2, 2), 0);
	finish(&w);
}

static void a_failing_leaf_costs_one_page(void **state)
{
	static const enum fake_leaf leaves[] = { FAKE_ELDU, FAKE_EAUG };
	struct world w;

	for (size_t i = 0; i < 2; i++) {
		uint64_t offsets[] = { PAGE(0), PAGE(1), PAGE(2) };

		start(&w, 16);
		add_pages(&w, NR_PAGES);
		einit(&w);
		if (leaves[i] == FAKE_EAUG)
			for (size_t k = 0; k < 3; k++)
				offsets[k] = PAGE(1000 + k);
		fake_fail(&w.f, leaves[i], 2, 1, fake_fault(X86_GP));
		assert_int_equal(run(&w, offsets, 3), 2);
		assert_int_equal(run(&w, offsets, 3), 3);
		finish(&w);
	}
}

static void each_allocation_may_fail(void **state)
{
	const uint64_t offsets[] = { PAGE(0), PAGE(100000), PAGE(1), PAGE(200000) };
	size_t used, nth = 1;
	struct world w;

	do {
		start(&w, 16);
		add_pages(&w, NR_PAGES);
		einit(&w);
		used = w.f.nr_allocs;
		w.f.fail_alloc = used + nth;
		run(&w, offsets, 4);
		used = w.f.nr_allocs - used;
		w.f.fail_alloc = 0;
		assert_int_equal(run(&w, offsets, 4), 4);
		finish(&w);
	} while (used >= nth++);
	assert_true(nth > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_in_epc_at_once),
		cmocka_unit_test(missing_ones_are_made_after_init_only),
		cmocka_unit_test(nowhere_is_no_frame),
		cmocka_unit_test(too_small_an_epc_gives_what_fits),
		cmocka_unit_test(a_failing_leaf_costs_one_page),
		cmocka_unit_test(each_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
