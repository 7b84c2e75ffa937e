/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pool that starts over live EPC: what two passes clean, what they cannot,
 * and how far a stop leaves it.
 */
#include "fake.h"

#include <errno.h>
#include <stdlib.h>

/* A SECS on the first page, all others its children. */
static void start_live(struct fake *f)
{
	size_t i;

	fake_start(f, small_sections, 3, false);
	for (i = 0; i < f->nr_pages; i++)
		f->pages[i] = (struct fake_page){
			.valid = true, .pt = i ? PT_REG : PT_SECS,
			.secs = small_sections[0].pa,
		};
	f->pages[0].nr_children = (unsigned int)f->nr_pages - 1;
	assert_counts(f, 0, 0, 0, SMALL_PAGES);
}

static void c1_11_offers_nothing_before_it_is_sanitized(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start_live(&f);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), -ENOMEM);
	fake_finish(&f);
}

static void f78_cleans_a_secs_met_before_its_children(void **state)
{
	struct fake f;

	start_live(&f);
	assert_int_equal(sgx_epc_sanitize(f.pool, NULL), 0);
	/* One more than pages: the SECS was tried twice. */
	assert_int_equal(f.script[FAKE_EREMOVE].nr_calls, SMALL_PAGES + 1);
	assert_counts(&f, SMALL_PAGES, 0, 0, 0);
	assert_pool_clean(&f);
	assert_int_equal(f.log->nr, 0);
	fake_finish(&f);
}

static void leaves_what_no_pass_can_clean(void **state)
{
	struct fake f;
	size_t i;

	for (i = 0; i < fake_nr_failures; i++) {
		start_live(&f);
		/* The last page in both passes, and between them the SECS, its parent. */
		fake_fail(&f, FAKE_EREMOVE, SMALL_PAGES, 3, fake_failures[i]);
		assert_int_equal(sgx_epc_sanitize(f.pool, NULL), 2);
		assert_counts(&f, SMALL_PAGES - 2, 0, 0, 2);
		assert_pool_clean(&f);

		/* No leak: it can be tried again later. */
		assert_int_equal(sgx_epc_sanitize(f.pool, NULL), 0);
		assert_counts(&f, SMALL_PAGES, 0, 0, 0);
		fake_finish(&f);
	}
}

/* Stops the sanitizer from within EREMOVE call number @at. */
struct stopper {
	struct fake *f;
	struct isa_outcome (*eremove)(void *ctx, uint64_t page);
	atomic_bool stop;
	unsigned int at;
};

static struct isa_outcome eremove_then_stop(void *ctx, uint64_t pa)
{
	struct stopper *s = ctx;
	struct isa_outcome out = s->eremove(s->f, pa);

	if (s->f->script[FAKE_EREMOVE].nr_calls == s->at)
		atomic_store(&s->stop, true);
	return out;
}

static void start_stoppable(struct fake *f, struct stopper *s, unsigned int at)
{
	size_t i;

	fake_init(f, small_sections, 3, false);
	*s = (struct stopper){ .f = f, .eremove = f->config.ops.eremove, .at = at };
	f->config.ops.ctx = s;
	f->config.ops.eremove = eremove_then_stop;
	assert_int_equal(sgx_epc_pool_create(&f->config, &f->pool), 0);
	f->pages[0] = (struct fake_page){ .valid = true, .pt = PT_SECS, .nr_children = 1 };
	i = f->nr_pages - 1;
	f->pages[i] = (struct fake_page){
		.valid = true, .pt = PT_REG, .secs = small_sections[0].pa,
	};
}

static void stops_when_told_and_goes_on_later(void **state)
{
	struct stopper s;
	unsigned int at;
	struct fake f;

	for (at = 1; at <= SMALL_PAGES; at++) {
		start_stoppable(&f, &s, at);
		assert_int_equal(sgx_epc_sanitize(f.pool, &s.stop), 0);
		assert_int_equal(f.script[FAKE_EREMOVE].nr_calls, at);
		/* The first page is the SECS, which fails. */
		assert_counts(&f, at - 1, 0, 0, SMALL_PAGES - at + 1);
		assert_pool_clean(&f);

		atomic_store(&s.stop, false);
		assert_int_equal(sgx_epc_sanitize(f.pool, &s.stop), 0);
		assert_counts(&f, SMALL_PAGES, 0, 0, 0);
		fake_finish(&f);
	}
}

static void does_nothing_when_stopped_before_the_start(void **state)
{
	atomic_bool stop = true;
	struct fake f;

	start_live(&f);
	assert_int_equal(sgx_epc_sanitize(f.pool, &stop), 0);
	assert_int_equal(f.script[FAKE_EREMOVE].nr_calls, 0);
	assert_counts(&f, 0, 0, 0, SMALL_PAGES);
	fake_finish(&f);
}

static void c1_28_reports_no_failure_when_stopped_after_one(void **state)
{
	struct stopper s;
	struct fake f;

	/* All fail, in both passes; the stop comes after one has failed twice. */
	start_stoppable(&f, &s, SMALL_PAGES + 1);
	fake_fail(&f, FAKE_EREMOVE, 1, 2 * SMALL_PAGES, fake_fault(X86_GP));
	assert_int_equal(sgx_epc_sanitize(f.pool, &s.stop), 0);
	assert_int_equal(f.script[FAKE_EREMOVE].nr_calls, SMALL_PAGES + 1);
	assert_counts(&f, 0, 0, 0, SMALL_PAGES);
	fake_finish(&f);
}

static void f79_allocates_while_sanitizing_is_incomplete(void **state)
{
	struct sgx_epc_page *page;
	struct stopper s;
	struct fake f;

	start_stoppable(&f, &s, 3);
	assert_int_equal(sgx_epc_sanitize(f.pool, &s.stop), 0);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), 0);
	assert_counts(&f, 1, 1, 0, SMALL_PAGES - 2);
	atomic_store(&s.stop, false);
	assert_int_equal(sgx_epc_sanitize(f.pool, &s.stop), 0);
	assert_counts(&f, SMALL_PAGES - 1, 1, 0, 0);
	sgx_free_epc_page(f.pool, page);
	assert_counts(&f, SMALL_PAGES, 0, 0, 0);
	fake_finish(&f);
}

static void free_unsanitized(struct fake *f, void *arg)
{
	/* No handle to such a page can be had, so make one of an allocated one's. */
	struct sgx_epc_page *page;

	if (sgx_alloc_epc_page(f->pool, NULL, 0, &page))
		return;
	sgx_free_epc_page(f->pool, (struct sgx_epc_page *)((char *)page + 16 * *(int *)arg));
}

static void aborts_on_free_of_an_unsanitized_page(void **state)
{
	struct stopper s;
	struct fake f;
	int distance = 5;

	start_stoppable(&f, &s, 2);
	assert_int_equal(sgx_epc_sanitize(f.pool, &s.stop), 0);
	/* Page 1 is free by now; page 6 was not reached. */
	assert_aborts(&f, free_unsanitized, &distance,
		      "BUG in sgx_free_epc_page(): EPC page 0x80006000 is unsanitized");
	fake_finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c1_11_offers_nothing_before_it_is_sanitized),
		cmocka_unit_test(f78_cleans_a_secs_met_before_its_children),
		cmocka_unit_test(leaves_what_no_pass_can_clean),
		cmocka_unit_test(stops_when_told_and_goes_on_later),
		cmocka_unit_test(does_nothing_when_stopped_before_the_start),
		cmocka_unit_test(c1_28_reports_no_failure_when_stopped_after_one),
		cmocka_unit_test(f79_allocates_while_sanitizing_is_incomplete),
		cmocka_unit_test(aborts_on_free_of_an_unsanitized_page),
	};

	return cmocka_run_group_tests_name("sanitize", tests, NULL, NULL);
}
