/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One enclave's whole life, with each thing that can fail failing once, at each
 * place in turn.  After every failure the pages add up and the step can be
 * taken again; in the end nothing is held.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

#define PAGE UINT64_C(4096)
#define NR_ADDED 5u
/* More than there are places to fail at. */
#define TOO_MANY 1000u

/* The linker sends calloc() here. */
static bool calloc_fails;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return calloc_fails ? NULL : __real_calloc(n, size);
}

/*
 * The life's steps, each until it succeeds.  Far apart offsets, so that the
 * manager's tables grow on the way.  Counts the failures and fails the test
 * unless they all are @error.
 */
struct life {
	struct fixture *f;
	long error;
	unsigned int failures;
	uint64_t flags;		/* of ADD_PAGES */
};

static bool failed(struct life *l, long ret)
{
	if (!ret)
		return false;
	assert_int_equal(ret, l->error);
	l->failures++;
	assert_in_range(l->failures, 1, 3);
	return true;
}

static void live(struct life *l)
{
	static const uint64_t offsets[NR_ADDED] = {
		0, PAGE, UINT64_C(1) << 21, UINT64_C(1) << 30, (UINT64_C(1) << 36) - PAGE,
	};
	struct fixture *f = l->f;
	struct sgx_secs *secs = user_secs(f);

	secs->size = secs->baseaddr = UINT64_C(1) << 36;
	f->added = 0;

	while (failed(l, fixture_try_open(f)))
		;
	assert_counters(f);
	while (failed(l, do_create(f)))
		assert_counters(f);
	while (f->added < NR_ADDED) {
		failed(l, do_add_pages(f, AT_SOURCE, offsets[f->added], PAGE, l->flags, NULL));
		assert_counters(f);
	}
	while (failed(l, do_init(f)))
		assert_counters(f);
	assert_counters(f);
	assert_int_equal(sgx_encl_nr_pages(uapi_encl_encl(f->encl)), 1 + NR_ADDED);
}

static void survives_each_allocation_failing(void **state)
{
	struct fixture *f = *state;
	unsigned int n;

	for (n = 0; n < TOO_MANY; n++) {
		struct life l = { .f = f, .error = -ENOMEM };
		const int64_t before = (fixture_close(f), f->live_allocations);

		f->alloc_fails_in = n;
		live(&l);
		if (f->alloc_fails_in != NEVER)
			break;
		assert_int_equal(l.failures, 1);
		fixture_close(f);
		assert_int_equal(f->live_allocations, before);
	}
	/* The manager's enclave, and its tables for each region. */
	assert_in_range(n, 4, TOO_MANY - 1);
	f->alloc_fails_in = NEVER;
}

static void survives_a_failing_open(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	calloc_fails = true;
	assert_int_equal(fixture_try_open(f), -ENOMEM);
	calloc_fails = false;
	f->alloc_fails_in = 0;
	assert_int_equal(fixture_try_open(f), -ENOMEM);
	assert_null(f->encl);
	assert_int_equal(fixture_try_open(f), 0);
}

static void survives_each_copy_failing(void **state)
{
	struct fixture *f = *state;
	unsigned int n;

	for (n = 0; n < TOO_MANY; n++) {
		struct life l = { .f = f, .error = -EFAULT };

		fixture_close(f);
		f->copy_fails_in = n;
		live(&l);
		if (f->copy_fails_in != NEVER)
			break;
		assert_int_equal(l.failures, 1);
	}
	/* CREATE 2, ADD_PAGES 4 each, INIT 2. */
	assert_int_equal(n, 2 + 4 * NR_ADDED + 2);
	f->copy_fails_in = NEVER;
}

static void survives_each_signal(void **state)
{
	struct fixture *f = *state;
	unsigned int n;

	for (n = 0; n < TOO_MANY; n++) {
		struct life l = { .f = f, .error = -UAPI_ERESTARTSYS };

		fixture_close(f);
		f->signal_in = n;
		live(&l);
		if (f->signal_in != NEVER)
			break;
		assert_int_equal(l.failures, 1);
	}
	assert_int_equal(n, NR_ADDED);
	f->signal_in = NEVER;
}

static void survives_each_leaf_faulting(void **state)
{
	static const enum fake_leaf leaves[] = { FAKE_ECREATE, FAKE_EADD, FAKE_EINIT };
	struct fixture *f = *state;

	for (size_t i = 0; i < 3; i++) {
		for (unsigned int n = 0; n < (leaves[i] == FAKE_EADD ? NR_ADDED : 1); n++) {
			struct life l = { .f = f, .error = -EIO };

			fixture_close(f);
			leaf_fails(f, leaves[i], n, fake_fault(X86_GP), 1);
			live(&l);
			assert_int_equal(l.failures, 1);
		}
	}
}

static void stays_releasable_when_a_measurement_faults(void **state)
{
	struct fixture *f = *state;

	for (unsigned int n = 0; n < 32; n++) {
		uint64_t count;

		assert_int_equal(do_create(f), 0);
		leaf_fails(f, FAKE_EEXTEND, n, fake_fault(X86_PF), 1);
		assert_int_equal(do_add_pages(f, AT_SOURCE, 0, 4 * PAGE, SGX_PAGE_MEASURE, &count),
				 -EIO);
		assert_int_equal(count, n / 16 * PAGE);
		assert_counters(f);
		fixture_close(f);
		fixture_open(f);
		assert_counters(f);
	}
}

static void survives_an_epc_of_any_size(void **state)
{
	struct sgx_epc_page *taken[EPC_PAGES];
	struct fixture *f = *state;

	for (size_t room = 0; room <= 1 + NR_ADDED; room++) {
		const uint64_t fits = room > 1 + NR_ADDED ? NR_ADDED : room ? room - 1 : 0;
		uint64_t count = 0;

		for (size_t i = 0; i < EPC_PAGES - room; i++)
			assert_int_equal(sgx_alloc_epc_page(f->pool, NULL, 0, &taken[i]), 0);

		assert_int_equal(do_create(f), room ? 0 : -ENOMEM);
		if (room) {
			assert_int_equal(do_add_pages(f, AT_SOURCE, 0, NR_ADDED * PAGE, 0, &count),
					 fits < NR_ADDED ? -ENOMEM : 0);
			assert_int_equal(count, fits * PAGE);
			assert_int_equal(do_init(f), 0);
			assert_int_equal(sgx_encl_nr_pages(uapi_encl_encl(f->encl)), 1 + fits);
		}
		assert_int_equal(sgx_epc_stat_total(f->pool).in_use, EPC_PAGES - room +
				 (room ? 1 + fits : 0));

		for (size_t i = 0; i < EPC_PAGES - room; i++)
			sgx_free_epc_page(f->pool, taken[i]);
		fixture_close(f);
		fixture_open(f);
		assert_counters(f);
	}
}

#define test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(survives_a_failing_open),
		test(survives_each_allocation_failing),
		test(survives_each_copy_failing),
		test(survives_each_signal),
		test(survives_each_leaf_faulting),
		test(stays_releasable_when_a_measurement_faults),
		test(survives_an_epc_of_any_size),
	};

	return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
