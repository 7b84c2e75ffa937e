/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory errors, reported while a page is in each state of its life: it is never
 * handed out, never written out, and never counted as free.
 */
#include "fake.h"

#include <errno.h>
#include <stdlib.h>

#include "../../src/epc/internal.h"

#define FIRST 0x80000000ull
#define PAGE(n) (FIRST + (n) * 4096ull)

/* Small, and with caches: two of a page or two each. */
static const struct isa_section section = { .pa = FIRST, .nr_pages = 64 };
#define NR_PAGES 64u

static void start(struct fake *f, bool known_clean)
{
	fake_init(f, &section, 1, known_clean);
	f->config.nr_caches = 2;
	fake_cache = 0;
	assert_int_equal(sgx_epc_pool_create(&f->config, &f->pool), 0);
	assert_adds_up(f);
}

static struct sgx_epc_page *take(struct fake *f)
{
	struct sgx_epc_page *page;

	assert_int_equal(sgx_alloc_epc_page(f->pool, NULL, 0, &page), 0);
	assert_adds_up(f);
	return page;
}

static uint64_t poison(struct fake *f, uint64_t pa)
{
	assert_int_equal(sgx_epc_poison(f->pool, pa), 0);
	assert_adds_up(f);
	return sgx_epc_stat_total(f->pool).poisoned;
}

/* Neither now nor after everything else was taken and given back. */
static void assert_never_handed_out(struct fake *f, uint64_t pa)
{
	struct sgx_epc_page *taken[NR_PAGES];
	unsigned int nr = 0, i;

	while (!sgx_alloc_epc_page(f->pool, NULL, 0, &taken[nr]))
		assert_int_not_equal(sgx_epc_page_pa(f->pool, taken[nr++]), pa);
	assert_int_equal(sgx_epc_stat_total(f->pool).free, 0);
	assert_adds_up(f);
	for (i = 0; i < nr; i++)
		sgx_free_epc_page(f->pool, taken[i]);
	assert_adds_up(f);
}

static void f91_address_outside_of_epc_is_enxio(void **state)
{
	struct fake f;

	start(&f, true);
	assert_int_equal(sgx_epc_poison(f.pool, 0), -ENXIO);
	assert_int_equal(sgx_epc_poison(f.pool, FIRST - 1), -ENXIO);
	assert_int_equal(sgx_epc_poison(f.pool, PAGE(NR_PAGES)), -ENXIO);
	assert_int_equal(sgx_epc_poison(f.pool, UINT64_MAX), -ENXIO);
	assert_counts(&f, NR_PAGES, 0, 0, 0);
	assert_int_equal(poison(&f, PAGE(NR_PAGES) - 1), 1);
	fake_finish(&f);
}

static void f91_free_page_is_parked_once(void **state)
{
	struct fake f;

	start(&f, true);
	assert_int_equal(poison(&f, PAGE(5) + 123), 1);
	assert_counts(&f, NR_PAGES - 1, 0, 0, 0);
	assert_int_equal(poison(&f, PAGE(5)), 1);
	assert_never_handed_out(&f, PAGE(5));
	assert_counts(&f, NR_PAGES - 1, 0, 0, 0);
	fake_finish(&f);
}

/* The free count is what the watermarks go by: L3 of the latent ones. */
static void l3_poisoned_pages_do_not_count_as_free(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;
	unsigned int i;

	start(&f, true);
	for (i = 0; i < NR_PAGES; i++) {
		assert_int_equal(poison(&f, PAGE(i)), i + 1);
		assert_counts(&f, NR_PAGES - i - 1, 0, 0, 0);
		assert_int_equal(epc_nr_free(f.pool), NR_PAGES - i - 1);
	}
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), -ENOMEM);
	fake_finish(&f);
}

static void cached_page_is_parked_in_whosever_cache(void **state)
{
	struct sgx_epc_page *page;
	unsigned int other;
	struct fake f;

	for (other = 0; other < 3; other++) {
		uint64_t pa;

		start(&f, true);
		page = take(&f);
		pa = sgx_epc_page_pa(f.pool, page);
		sgx_free_epc_page(f.pool, page);
		assert_int_equal(sgx_epc_stat_total(f.pool).cached, 2);
		fake_cache = other;
		assert_int_equal(poison(&f, pa), 1);
		assert_int_equal(sgx_epc_stat_total(f.pool).cached, 1);
		assert_counts(&f, NR_PAGES - 1, 0, 0, 0);
		assert_never_handed_out(&f, pa);
		fake_finish(&f);
	}
}

static void clean_page_in_use_is_parked_when_freed(void **state)
{
	struct sgx_epc_page *page;
	unsigned int nr;
	struct fake f;

	for (nr = 0; nr < 3; nr++) {
		start(&f, true);
		page = take(&f);
		assert_int_equal(poison(&f, PAGE(0)), 0);
		assert_counts(&f, NR_PAGES - 1, 1, 0, 0);
		fake_cache = nr;
		if (nr == 1)
			sgx_free_epc_pages(f.pool, &page, 1);
		else
			sgx_free_epc_page(f.pool, page);
		assert_int_equal(poison(&f, PAGE(0)), 1);
		assert_counts(&f, NR_PAGES - 1, 0, 0, 0);
		assert_never_handed_out(&f, PAGE(0));
		fake_finish(&f);
	}
}

static void f47_initialized_page_is_parked_when_freed(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f, true);
	page = take(&f);
	sgx_epc_page_mark_initialized(f.pool, page);
	assert_int_equal(poison(&f, PAGE(0)), 0);
	assert_true(sgx_encl_free_epc_page(f.pool, page, "test"));
	assert_int_equal(sgx_epc_stat_total(f.pool).poisoned, 1);
	assert_counts(&f, NR_PAGES - 1, 0, 0, 0);
	assert_never_handed_out(&f, PAGE(0));
	fake_finish(&f);
}

/* Holders change the state of a page that is poisoned already, too. */
static void poison_outlasts_what_holders_do(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f, true);
	page = take(&f);
	assert_int_equal(poison(&f, PAGE(0)), 0);
	sgx_epc_page_mark_initialized(f.pool, page);
	assert_true(epc_page_is_poisoned(page));
	epc_page_cleaned(f.pool, page);
	assert_true(epc_page_is_poisoned(page));
	sgx_free_epc_page(f.pool, page);
	assert_never_handed_out(&f, PAGE(0));
	fake_finish(&f);
}

static void c1_43_poisoned_page_is_not_evicted(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f, true);
	page = take(&f);
	sgx_epc_page_mark_initialized(f.pool, page);
	assert_int_equal(poison(&f, PAGE(0)), 0);
	assert_false(epc_evict_begin(f.pool, page));
	assert_true(sgx_encl_free_epc_page(f.pool, page, "test"));
	assert_int_equal(sgx_epc_stat_total(f.pool).poisoned, 1);
	fake_finish(&f);
}

/* --- while EWB runs ---------------------------------------------------------- */

struct report {
	struct fake *f;
	pthread_t thread;
	atomic_bool done;
};

static void *report(void *arg)
{
	struct report *r = arg;

	sgx_epc_poison(r->f->pool, PAGE(0));
	atomic_store(&r->done, true);
	return NULL;
}

/* Until the report has marked the page: from here on it waits for the EWB only. */
static void start_report(struct report *r, const struct sgx_epc_page *page)
{
	assert_int_equal(pthread_create(&r->thread, NULL, report, r), 0);
	while (!epc_page_is_poisoned(page))
		sched_yield();
	assert_false(atomic_load(&r->done));
}

static struct sgx_epc_page *start_evicting(struct fake *f)
{
	struct sgx_epc_page *page;

	start(f, true);
	page = take(f);
	sgx_epc_page_mark_initialized(f->pool, page);
	assert_true(epc_evict_begin(f->pool, page));
	return page;
}

static void c1_17_page_poisoned_while_written_out_is_parked(void **state)
{
	struct fake f;
	struct sgx_epc_page *page = start_evicting(&f);
	struct report r = { .f = &f };

	start_report(&r, page);
	epc_page_cleaned(f.pool, page);
	sgx_free_epc_page(f.pool, page);
	pthread_join(r.thread, NULL);
	assert_int_equal(sgx_epc_stat_total(f.pool).poisoned, 1);
	assert_counts(&f, NR_PAGES - 1, 0, 0, 0);
	assert_never_handed_out(&f, PAGE(0));
	fake_finish(&f);
}

static void page_poisoned_while_written_out_is_not_handed_over(void **state)
{
	struct fake f;
	struct sgx_epc_page *page = start_evicting(&f);
	struct report r = { .f = &f };

	start_report(&r, page);
	epc_page_cleaned(f.pool, page);
	assert_false(epc_page_hand_over(f.pool, page, NULL, NULL));
	pthread_join(r.thread, NULL);
	assert_int_equal(sgx_epc_stat_total(f.pool).poisoned, 1);
	assert_adds_up(&f);
	fake_finish(&f);
}

static void u3_no_ewb_after_the_report_of_one_that_failed(void **state)
{
	struct fake f;
	struct sgx_epc_page *page = start_evicting(&f);
	struct report r = { .f = &f };

	start_report(&r, page);
	epc_evict_failed(f.pool, page);
	pthread_join(r.thread, NULL);
	assert_false(epc_evict_begin(f.pool, page));
	assert_true(sgx_encl_free_epc_page(f.pool, page, "test"));
	assert_int_equal(sgx_epc_stat_total(f.pool).poisoned, 1);
	fake_finish(&f);
}

/* --- not clean ----------------------------------------------------------------- */

static void leaked_page_stays_leaked(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f, true);
	page = take(&f);
	fake_fail(&f, FAKE_EREMOVE, 1, 1, fake_fault(X86_GP));
	assert_int_equal(poison(&f, PAGE(0)), 0);
	assert_false(sgx_encl_free_epc_page(f.pool, page, "test"));
	assert_int_equal(poison(&f, PAGE(0)), 0);
	assert_counts(&f, NR_PAGES - 1, 0, 1, 0);
	assert_never_handed_out(&f, PAGE(0));
	fake_finish(&f);
}

static void f78_unsanitized_page_is_parked_without_eremove(void **state)
{
	struct fake f;

	start(&f, false);
	assert_int_equal(poison(&f, PAGE(3)), 1);
	assert_counts(&f, 0, 0, 0, NR_PAGES - 1);
	assert_int_equal(sgx_epc_sanitize(f.pool, NULL), 0);
	assert_int_equal(f.script[FAKE_EREMOVE].nr_calls, NR_PAGES - 1);
	assert_counts(&f, NR_PAGES - 1, 0, 0, 0);
	assert_never_handed_out(&f, PAGE(3));
	fake_finish(&f);
}

static struct fake *sanitized;
static struct isa_outcome (*plain_eremove)(void *ctx, uint64_t page);
static uint64_t poison_in_eremove, poison_now;
static bool is_reported;

static struct isa_outcome poisoning_eremove(void *ctx, uint64_t pa)
{
	/* No leaf meets a page that is known to be broken. */
	assert_false(is_reported && pa == poison_now);
	if (pa == poison_in_eremove) {
		assert_int_equal(sgx_epc_poison(sanitized->pool, poison_now), 0);
		is_reported = true;
	}
	return plain_eremove(sanitized, pa);
}

/* The report comes while EREMOVE of @at runs, for @pa, of the same batch or not. */
static void check_poison_while_sanitizing(uint64_t at, uint64_t pa, bool fails)
{
	struct fake f;

	fake_init(&f, &section, 1, false);
	sanitized = &f;
	plain_eremove = f.config.ops.eremove;
	f.config.ops.eremove = poisoning_eremove;
	poison_in_eremove = at;
	poison_now = pa;
	is_reported = false;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	if (fails)
		fake_fail(&f, FAKE_EREMOVE, 1, 1000, fake_fault(X86_GP));
	assert_int_equal(sgx_epc_sanitize(f.pool, NULL), fails ? NR_PAGES - 1 : 0);
	assert_int_equal(sgx_epc_stat_total(f.pool).poisoned, 1);
	assert_counts(&f, fails ? 0 : NR_PAGES - 1, 0, 0, fails ? NR_PAGES - 1 : 0);
	assert_never_handed_out(&f, pa);
	fake_finish(&f);
}

static void f78_f79_page_poisoned_while_sanitizing_is_parked(void **state)
{
	bool fails;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		fails = i;
		check_poison_while_sanitizing(PAGE(7), PAGE(7), fails);
		check_poison_while_sanitizing(PAGE(7), PAGE(6), fails);
		check_poison_while_sanitizing(PAGE(7), PAGE(8), fails);
		check_poison_while_sanitizing(PAGE(7), PAGE(60), fails);
		check_poison_while_sanitizing(PAGE(60), PAGE(7), fails);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f91_address_outside_of_epc_is_enxio),
		cmocka_unit_test(f91_free_page_is_parked_once),
		cmocka_unit_test(l3_poisoned_pages_do_not_count_as_free),
		cmocka_unit_test(cached_page_is_parked_in_whosever_cache),
		cmocka_unit_test(clean_page_in_use_is_parked_when_freed),
		cmocka_unit_test(f47_initialized_page_is_parked_when_freed),
		cmocka_unit_test(poison_outlasts_what_holders_do),
		cmocka_unit_test(c1_43_poisoned_page_is_not_evicted),
		cmocka_unit_test(c1_17_page_poisoned_while_written_out_is_parked),
		cmocka_unit_test(page_poisoned_while_written_out_is_not_handed_over),
		cmocka_unit_test(u3_no_ewb_after_the_report_of_one_that_failed),
		cmocka_unit_test(leaked_page_stays_leaked),
		cmocka_unit_test(f78_unsanitized_page_is_parked_without_eremove),
		cmocka_unit_test(f78_f79_page_poisoned_while_sanitizing_is_parked),
	};

	return cmocka_run_group_tests_name("poison", tests, NULL, NULL);
}
