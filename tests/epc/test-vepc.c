/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtual EPC over the fake processor: faulting, remove-all, release, and what
 * happens when EREMOVE or an allocation fails.  Cases that begin with a letter
 * and a number are the named defects of other managers.
 */
#include "counters.h"
#include "fake.h"

#include <errno.h>
#include <stdlib.h>

static const struct isa_section many_sections[] = {
	{ .pa = 0x80000000, .nr_pages = 1024, .node = 0 },
};

static struct sgx_vepc *create(struct fake *f)
{
	const struct sgx_vepc_config config = {
		.owner = { .encl_id = 7, .client = "a client", .pid = 9 },
	};
	struct sgx_vepc *vepc;

	assert_int_equal(sgx_vepc_create(f->pool, &config, &vepc), 0);
	return vepc;
}

/* The fake's page at @index of @vepc. */
static struct fake_page *fault(struct fake *f, struct sgx_vepc *vepc, uint64_t index)
{
	uint64_t pa;

	assert_int_equal(sgx_vepc_fault(vepc, index, &pa), 0);
	return fake_page_at(f, pa);
}

/* What a guest does by itself: the manager hears nothing of it. */

static uint64_t guest_ecreate(struct fake *f, struct sgx_vepc *vepc, uint64_t index)
{
	uint64_t pa;

	assert_int_equal(sgx_vepc_fault(vepc, index, &pa), 0);
	*fake_page_at(f, pa) = (struct fake_page){ .valid = true, .pt = PT_SECS };
	return pa;
}

static struct fake_page *guest_eadd(struct fake *f, struct sgx_vepc *vepc, uint64_t index,
				    uint64_t secs)
{
	struct fake_page *page = fault(f, vepc, index);

	*page = (struct fake_page){ .valid = true, .pt = PT_REG, .secs = secs };
	fake_page_at(f, secs)->nr_children++;
	return page;
}

static void guest_eremove(struct fake *f, struct fake_page *page)
{
	page->valid = false;
	fake_page_at(f, page->secs)->nr_children--;
	sgx_vepc_guest_removed(f->pool);
}

static uint64_t nr_orphans(struct fake *f)
{
	struct sgx_epc_activity activity;

	sgx_epc_activity(f->pool, &activity);
	return activity.orphans;
}

/* The SECS of two children elsewhere, its own instance released. */
static struct sgx_vepc *make_orphan(struct fake *f, struct fake_page *children[2])
{
	struct sgx_vepc *vepc = create(f), *other = create(f);
	const uint64_t secs = guest_ecreate(f, vepc, 0);

	children[0] = guest_eadd(f, other, 0, secs);
	children[1] = guest_eadd(f, other, 1, secs);
	sgx_vepc_release(vepc);
	assert_counts(f, SMALL_PAGES - 3, 3, 0, 0);
	assert_int_equal(f->log->nr, 0);
	assert_int_equal(nr_orphans(f), 1);
	assert_int_equal(sgx_epc_health(f->pool), SGX_EPC_DEGRADED);
	return other;
}

/* --- faulting ------------------------------------------------------------- */

static void f81_takes_a_page_for_each_index_it_is_asked_for(void **state)
{
	struct sgx_vepc *vepc;
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	vepc = create(&f);
	assert_counts(&f, SMALL_PAGES, 0, 0, 0);
	assert_ptr_not_equal(fault(&f, vepc, 0), fault(&f, vepc, 1ull << 40));
	assert_counts(&f, SMALL_PAGES - 2, 2, 0, 0);
	sgx_vepc_release(vepc);
	assert_counts(&f, SMALL_PAGES, 0, 0, 0);
	fake_finish(&f);
}

/* Whoever maps the page a second time is given it, not refused for ever. */
static void l5_fault_on_a_present_page_finds_it(void **state)
{
	struct sgx_vepc *vepc;
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	vepc = create(&f);
	assert_ptr_equal(fault(&f, vepc, 5), fault(&f, vepc, 5));
	assert_counts(&f, SMALL_PAGES - 1, 1, 0, 0);
	sgx_vepc_release(vepc);
	fake_finish(&f);
}

static struct sgx_vepc *faulted_meanwhile;
static uint64_t pa_of_the_other;

/* Asked while a page is allocated, hence without a lock. */
static unsigned int node_while_another_faults(void *ctx)
{
	struct sgx_vepc *vepc = faulted_meanwhile;

	faulted_meanwhile = NULL;
	if (vepc)
		assert_int_equal(sgx_vepc_fault(vepc, 5, &pa_of_the_other), 0);
	return 0;
}

static void f81_two_who_fault_at_once_get_one_page(void **state)
{
	struct sgx_vepc *vepc;
	struct fake f;
	uint64_t pa;

	fake_init(&f, small_sections, 3, true);
	f.config.port.node = node_while_another_faults;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	vepc = create(&f);
	faulted_meanwhile = vepc;
	assert_int_equal(sgx_vepc_fault(vepc, 5, &pa), 0);
	assert_null(faulted_meanwhile);
	assert_int_equal(pa, pa_of_the_other);
	assert_counts(&f, SMALL_PAGES - 1, 1, 0, 0);
	sgx_vepc_release(vepc);
	assert_counts(&f, SMALL_PAGES, 0, 0, 0);
	fake_finish(&f);
}

static void refuses_an_index_beyond_any_file(void **state)
{
	struct sgx_vepc *vepc;
	struct fake f;
	uint64_t pa;

	fake_start(&f, small_sections, 3, true);
	vepc = create(&f);
	assert_int_equal(sgx_vepc_fault(vepc, 1ull << 52, &pa), -EINVAL);
	fault(&f, vepc, (1ull << 52) - 1);
	sgx_vepc_release(vepc);
	fake_finish(&f);
}

static void f84_full_epc_is_enomem_and_what_is_there_stays(void **state)
{
	struct sgx_epc_activity activity;
	struct sgx_vepc *vepc;
	struct fake f;
	uint64_t i, pa;

	fake_start(&f, small_sections, 3, true);
	vepc = create(&f);
	for (i = 0; i < SMALL_PAGES; i++)
		fault(&f, vepc, i);
	assert_int_equal(sgx_vepc_fault(vepc, SMALL_PAGES, &pa), -ENOMEM);
	sgx_epc_activity(f.pool, &activity);
	assert_int_equal(activity.evictable, 0);
	fault(&f, vepc, 3);
	assert_counts(&f, 0, SMALL_PAGES, 0, 0);
	sgx_vepc_release(vepc);
	assert_counts(&f, SMALL_PAGES, 0, 0, 0);
	fake_finish(&f);
}

/* Create and a fault far away, with each allocation failing in turn. */
static void gives_everything_back_when_memory_runs_out(void **state)
{
	const struct sgx_vepc_config config = { .owner.encl_id = 1 };
	struct sgx_vepc *vepc = NULL;
	struct fake f;
	size_t nth;
	uint64_t pa;
	int err;

	fake_start(&f, small_sections, 3, true);
	for (nth = 1; ; nth++) {
		f.fail_alloc = f.nr_allocs + nth;
		err = sgx_vepc_create(f.pool, &config, &vepc);
		if (!err)
			err = sgx_vepc_fault(vepc, 1ull << 30, &pa);
		else
			vepc = NULL;
		assert_counts(&f, SMALL_PAGES - !err, !err, 0, 0);
		sgx_vepc_release(vepc);
		assert_counts(&f, SMALL_PAGES, 0, 0, 0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
	}
	assert_true(nth > 3);
	fake_finish(&f);
}

static void none_is_created_after_a_leak_when_that_is_the_policy(void **state)
{
	const struct sgx_vepc_config config = { .owner.encl_id = 1 };
	struct sgx_vepc *vepc;
	struct fake f;

	fake_init(&f, small_sections, 3, true);
	f.config.on_leak = SGX_EPC_LEAK_REFUSE;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	vepc = create(&f);
	fault(&f, vepc, 0);
	fake_fail(&f, FAKE_EREMOVE, 1, 1, fake_error(SGX_ENCLAVE_ACT));
	sgx_vepc_release(vepc);
	assert_int_equal(sgx_vepc_create(f.pool, &config, &vepc), -EBUSY);
	fake_finish(&f);
}

static struct isa_outcome svn_outcome;

static struct isa_outcome eupdatesvn(void *ctx)
{
	return svn_outcome;
}

/* An orphan uses EPC as long as it is there. */
static void f90_counts_as_a_user_until_the_last_page_is_back(void **state)
{
	const struct sgx_vepc_config config = { .owner.encl_id = 1 };
	struct sgx_epc_blockers blockers;
	struct fake_page *children[2];
	struct sgx_vepc *vepc;
	struct fake f;

	fake_init(&f, small_sections, 3, true);
	f.config.ops.eupdatesvn = eupdatesvn;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	svn_outcome = fake_error(SGX_INSUFFICIENT_ENTROPY);
	assert_int_equal(sgx_vepc_create(f.pool, &config, &vepc), -EAGAIN);
	svn_outcome = fake_error(SGX_NO_UPDATE);
	vepc = make_orphan(&f, children);
	assert_int_equal(sgx_epc_update_svn(f.pool, &blockers), -EBUSY);
	assert_int_equal(blockers.users, 2);
	sgx_vepc_release(vepc);
	assert_int_equal(sgx_epc_update_svn(f.pool, &blockers), 0);
	fake_finish(&f);
}

/* --- remove-all ----------------------------------------------------------- */

static void f82_remove_all_uninitializes_pages_and_keeps_them(void **state)
{
	struct fake_page *child;
	struct sgx_vepc *vepc;
	struct fake f;
	uint64_t secs;

	fake_start(&f, small_sections, 3, true);
	vepc = create(&f);
	secs = guest_ecreate(&f, vepc, 9);
	child = guest_eadd(&f, vepc, 2, secs);
	assert_int_equal(sgx_vepc_remove_all(vepc), 0);
	assert_false(child->valid || fake_page_at(&f, secs)->valid);
	assert_counts(&f, SMALL_PAGES - 2, 2, 0, 0);

	/* The guest starts again with the same pages. */
	assert_int_equal(guest_ecreate(&f, vepc, 9), secs);
	sgx_vepc_release(vepc);
	assert_counts(&f, SMALL_PAGES, 0, 0, 0);
	fake_finish(&f);
}

static void f82_counts_secs_with_children_until_a_second_round(void **state)
{
	struct sgx_vepc *vepc, *other;
	struct fake f;
	uint64_t secs;

	fake_start(&f, small_sections, 3, true);
	vepc = create(&f);
	other = create(&f);
	secs = guest_ecreate(&f, vepc, 0);
	guest_eadd(&f, vepc, 1, secs);
	guest_eadd(&f, other, 0, secs);
	guest_eadd(&f, other, 1, guest_ecreate(&f, vepc, 2));
	assert_int_equal(sgx_vepc_remove_all(vepc), 2);
	assert_int_equal(sgx_vepc_remove_all(other), 0);
	assert_int_equal(sgx_vepc_remove_all(vepc), 0);
	assert_int_equal(f.log->nr, 0);
	sgx_vepc_release(vepc);
	sgx_vepc_release(other);
	fake_finish(&f);
}

/* Neither a leak nor worth a message: the pages stay the guest's. */
static void f82_ebusy_at_the_first_other_failure(void **state)
{
	struct sgx_vepc *vepc;
	struct fake f;
	size_t i;

	for (i = 0; i < fake_nr_failures; i++) {
		const struct isa_outcome failure = fake_failures[i];

		if (failure.kind == ISA_ERROR && failure.code == SGX_CHILD_PRESENT)
			continue;
		fake_start(&f, small_sections, 3, true);
		vepc = create(&f);
		fault(&f, vepc, 0);
		fault(&f, vepc, 1);
		fake_fail(&f, FAKE_EREMOVE, 1, 1000, failure);
		assert_int_equal(sgx_vepc_remove_all(vepc), -EBUSY);
		assert_int_equal(f.log->nr, 0);
		assert_counts(&f, SMALL_PAGES - 2, 2, 0, 0);
		f.script[FAKE_EREMOVE].at = 0;
		sgx_vepc_release(vepc);
		assert_counts(&f, SMALL_PAGES, 0, 0, 0);
		fake_finish(&f);
	}
}

struct faulter {
	struct sgx_vepc *vepc;
	atomic_bool stop;
};

static void *keep_faulting(void *arg)
{
	struct faulter *me = arg;
	uint64_t i, pa;

	for (i = 0; i < 1000; i++)
		if (sgx_vepc_fault(me->vepc, i * 513, &pa))
			abort();
	atomic_store(&me->stop, true);
	return NULL;
}

static void l7_remove_all_and_fault_share_the_table(void **state)
{
	struct faulter faulter = { .stop = false };
	pthread_t thread;
	struct fake f;

	fake_start(&f, many_sections, 1, true);
	faulter.vepc = create(&f);
	assert_int_equal(pthread_create(&thread, NULL, keep_faulting, &faulter), 0);
	steps_beside_others(true);
	while (!atomic_load(&faulter.stop))
		assert_int_equal(sgx_vepc_remove_all(faulter.vepc), 0);
	pthread_join(thread, NULL);
	steps_beside_others(false);
	assert_counts(&f, 24, 1000, 0, 0);
	sgx_vepc_release(faulter.vepc);
	assert_counts(&f, 1024, 0, 0, 0);
	fake_finish(&f);
}

/* --- release -------------------------------------------------------------- */

static void f83_releases_a_secs_that_comes_before_its_children(void **state)
{
	struct sgx_vepc *vepc;
	struct fake f;
	uint64_t secs;

	fake_start(&f, small_sections, 3, true);
	vepc = create(&f);
	secs = guest_ecreate(&f, vepc, 0);
	guest_eadd(&f, vepc, 1, secs);
	guest_eadd(&f, vepc, 2, secs);
	sgx_vepc_release(vepc);
	assert_counts(&f, SMALL_PAGES, 0, 0, 0);
	assert_int_equal(f.log->nr, 0);
	fake_finish(&f);
}

/* fake_finish() fails when the table's memory is still held. */
static void c1_13_release_gives_the_table_back(void **state)
{
	struct sgx_vepc *vepc;
	struct fake f;
	uint64_t i;

	fake_start(&f, small_sections, 3, true);
	vepc = create(&f);
	for (i = 0; i < SMALL_PAGES; i++)
		fault(&f, vepc, i << 30);
	assert_true(f.live_allocs > SMALL_PAGES);
	sgx_vepc_release(vepc);
	fake_finish(&f);
}

static unsigned int nr_yields;

static void count_yield(void *ctx)
{
	nr_yields++;
}

static void c1_37_lets_others_run_during_long_work(void **state)
{
	struct sgx_vepc *vepc;
	struct fake f;
	uint64_t i;

	fake_init(&f, many_sections, 1, true);
	f.config.port.yield = count_yield;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	vepc = create(&f);
	for (i = 0; i < 1024; i++)
		fault(&f, vepc, i);
	nr_yields = 0;
	assert_int_equal(sgx_vepc_remove_all(vepc), 0);
	assert_true(nr_yields >= 1024 / 128);
	nr_yields = 0;
	sgx_vepc_release(vepc);
	assert_true(nr_yields >= 1024 / 128);
	fake_finish(&f);
}

static void f49_leaks_what_fails_otherwise(void **state)
{
	struct sgx_epc_leak row;
	struct sgx_vepc *vepc;
	struct fake f;
	size_t i;

	for (i = 0; i < fake_nr_failures; i++) {
		const struct isa_outcome failure = fake_failures[i];

		if (failure.kind == ISA_ERROR && failure.code == SGX_CHILD_PRESENT)
			continue;
		fake_start(&f, small_sections, 3, true);
		vepc = create(&f);
		fault(&f, vepc, 0)->valid = true;
		fake_fail(&f, FAKE_EREMOVE, 1, 1000, failure);
		sgx_vepc_release(vepc);
		assert_counts(&f, SMALL_PAGES - 1, 0, 1, 0);
		assert_int_equal(f.log->nr, 1);
		assert_int_equal(sgx_epc_leaks(f.pool, 0, &row, 1), 1);
		assert_same_outcome(row.result, failure);
		assert_string_equal(row.site, "sgx_vepc_release");
		assert_int_equal(row.owner.encl_id, 7);
		assert_int_equal(row.owner.pid, 9);
		f.script[FAKE_EREMOVE].at = 0;
		assert_pool_clean(&f);
		fake_finish(&f);
	}
}

/* Every EREMOVE of a release in turn: what does not leak comes back. */
static void survives_any_one_eremove_that_fails(void **state)
{
	struct sgx_vepc *vepc;
	struct fake f;
	size_t i, held_by_pool;
	unsigned int nth;
	uint64_t secs;

	for (i = 0; i < fake_nr_failures; i++) {
		for (nth = 1; nth <= 5; nth++) {
			fake_start(&f, small_sections, 3, true);
			held_by_pool = f.live_allocs;
			vepc = create(&f);
			secs = guest_ecreate(&f, vepc, 0);
			guest_eadd(&f, vepc, 1, secs);
			guest_eadd(&f, vepc, 2, secs);
			fake_fail(&f, FAKE_EREMOVE, nth, 1, fake_failures[i]);
			sgx_vepc_release(vepc);
			f.script[FAKE_EREMOVE].at = 0;
			sgx_vepc_guest_removed(f.pool);
			assert_adds_up(&f);
			assert_pool_clean(&f);
			assert_true(sgx_epc_stat_total(f.pool).leaked +
				    sgx_epc_stat_total(f.pool).in_use <= 2);
			assert_int_equal(f.live_allocs, held_by_pool +
							sgx_epc_stat_total(f.pool).in_use);
			fake_finish(&f);
		}
	}
}

/* Another leaf is at work on the page: not the page's fault. */
static void waits_for_a_leaf_that_is_in_the_way(void **state)
{
	struct sgx_vepc *vepc;
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	vepc = create(&f);
	fault(&f, vepc, 0)->valid = true;
	fake_fail(&f, FAKE_EREMOVE, 1, 3, fake_fault(X86_GP));
	sgx_vepc_release(vepc);
	assert_counts(&f, SMALL_PAGES, 0, 0, 0);
	assert_int_equal(f.log->nr, 0);
	fake_finish(&f);
}

/* --- orphans -------------------------------------------------------------- */

static void f83_orphan_goes_with_the_release_of_its_children(void **state)
{
	struct fake_page *children[2];
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	sgx_vepc_release(make_orphan(&f, children));
	assert_counts(&f, SMALL_PAGES, 0, 0, 0);
	assert_int_equal(nr_orphans(&f), 0);
	assert_int_equal(sgx_epc_health(f.pool), SGX_EPC_OK);
	assert_pool_clean(&f);
	fake_finish(&f);
}

static void orphan_goes_with_remove_all_of_its_children(void **state)
{
	struct fake_page *children[2];
	struct sgx_vepc *other;
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	other = make_orphan(&f, children);
	assert_int_equal(sgx_vepc_remove_all(other), 0);
	assert_counts(&f, SMALL_PAGES - 2, 2, 0, 0);
	sgx_vepc_release(other);
	fake_finish(&f);
}

static void f83_orphan_goes_when_the_guest_removes_its_last_child(void **state)
{
	struct fake_page *children[2];
	struct sgx_vepc *other;
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	other = make_orphan(&f, children);
	guest_eremove(&f, children[0]);
	assert_counts(&f, SMALL_PAGES - 3, 3, 0, 0);
	guest_eremove(&f, children[1]);
	assert_counts(&f, SMALL_PAGES - 2, 2, 0, 0);
	sgx_vepc_release(other);
	fake_finish(&f);
}

static void orphan_that_fails_otherwise_is_leaked_in_its_owners_name(void **state)
{
	struct fake_page *children[2];
	struct sgx_epc_leak row;
	struct sgx_vepc *other;
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	other = make_orphan(&f, children);
	fake_fail(&f, FAKE_EREMOVE, 1, 1, fake_error(SGX_ENCLAVE_ACT));
	sgx_vepc_guest_removed(f.pool);
	assert_counts(&f, SMALL_PAGES - 3, 2, 1, 0);
	assert_int_equal(sgx_epc_leaks(f.pool, 0, &row, 1), 1);
	assert_int_equal(row.owner.encl_id, 7);
	sgx_vepc_release(other);
	assert_counts(&f, SMALL_PAGES - 1, 0, 1, 0);
	fake_finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f81_takes_a_page_for_each_index_it_is_asked_for),
		cmocka_unit_test(l5_fault_on_a_present_page_finds_it),
		cmocka_unit_test(f81_two_who_fault_at_once_get_one_page),
		cmocka_unit_test(refuses_an_index_beyond_any_file),
		cmocka_unit_test(f84_full_epc_is_enomem_and_what_is_there_stays),
		cmocka_unit_test(gives_everything_back_when_memory_runs_out),
		cmocka_unit_test(none_is_created_after_a_leak_when_that_is_the_policy),
		cmocka_unit_test(f90_counts_as_a_user_until_the_last_page_is_back),
		cmocka_unit_test(f82_remove_all_uninitializes_pages_and_keeps_them),
		cmocka_unit_test(f82_counts_secs_with_children_until_a_second_round),
		cmocka_unit_test(f82_ebusy_at_the_first_other_failure),
		cmocka_unit_test(l7_remove_all_and_fault_share_the_table),
		cmocka_unit_test(f83_releases_a_secs_that_comes_before_its_children),
		cmocka_unit_test(c1_13_release_gives_the_table_back),
		cmocka_unit_test(c1_37_lets_others_run_during_long_work),
		cmocka_unit_test(f49_leaks_what_fails_otherwise),
		cmocka_unit_test(survives_any_one_eremove_that_fails),
		cmocka_unit_test(waits_for_a_leaf_that_is_in_the_way),
		cmocka_unit_test(f83_orphan_goes_with_the_release_of_its_children),
		cmocka_unit_test(orphan_goes_with_remove_all_of_its_children),
		cmocka_unit_test(f83_orphan_goes_when_the_guest_removes_its_last_child),
		cmocka_unit_test(orphan_that_fails_otherwise_is_leaked_in_its_owners_name),
	};

	return cmocka_run_group_tests_name("vepc", tests, NULL, NULL);
}
