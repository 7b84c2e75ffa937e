/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EUPDATESVN: when it runs, how its answers are taken, and what keeps it from
 * running.
 */
#include "fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct isa_outcome answers[32];
static unsigned int nr_updates;

static struct isa_outcome eupdatesvn(void *ctx)
{
	return answers[nr_updates++];
}

/* Every call answers @out. */
static void start(struct fake *f, struct isa_outcome out, bool known_clean)
{
	size_t i;

	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		answers[i] = out;
	nr_updates = 0;
	fake_init(f, small_sections, 3, known_clean);
	f->config.ops.eupdatesvn = eupdatesvn;
	assert_int_equal(sgx_epc_pool_create(&f->config, &f->pool), 0);
}

static struct isa_outcome done(void)
{
	return (struct isa_outcome){ .kind = ISA_DONE };
}

static void f90_first_user_updates_and_says_so(void **state)
{
	struct fake f;

	start(&f, done(), true);
	assert_int_equal(sgx_epc_usage_get(f.pool), 0);
	assert_int_equal(nr_updates, 1);
	assert_int_equal(f.log->nr, 1);
	assert_int_equal(f.log->level, EPC_LOG_INFO);
	assert_int_equal(sgx_epc_usage_get(f.pool), 0);
	assert_int_equal(nr_updates, 1);
	sgx_epc_usage_put(f.pool);
	assert_int_equal(sgx_epc_usage_get(f.pool), 0);
	assert_int_equal(nr_updates, 1);
	sgx_epc_usage_put(f.pool);
	sgx_epc_usage_put(f.pool);
	assert_int_equal(sgx_epc_usage_get(f.pool), 0);
	assert_int_equal(nr_updates, 2);
	sgx_epc_usage_put(f.pool);
	fake_finish(&f);
}

static void f90_no_update_is_silent(void **state)
{
	struct fake f;

	start(&f, fake_error(SGX_NO_UPDATE), true);
	assert_int_equal(sgx_epc_usage_get(f.pool), 0);
	assert_int_equal(f.log->nr, 0);
	sgx_epc_usage_put(f.pool);
	assert_int_equal(sgx_epc_update_svn(f.pool, NULL), 0);
	fake_finish(&f);
}

static void f90_entropy_is_asked_for_ten_times(void **state)
{
	struct fake f;

	start(&f, fake_error(SGX_INSUFFICIENT_ENTROPY), true);
	assert_int_equal(sgx_epc_usage_get(f.pool), -EAGAIN);
	assert_int_equal(nr_updates, 10);
	assert_int_equal(sgx_epc_update_svn(f.pool, NULL), -EAGAIN);
	assert_int_equal(nr_updates, 20);
	/* Who was refused does not count: the next one is the first. */
	answers[25] = done();
	assert_int_equal(sgx_epc_usage_get(f.pool), 0);
	assert_int_equal(nr_updates, 26);
	fake_finish(&f);
}

static void f90_any_other_failure_is_eio_and_a_warning(void **state)
{
	struct fake f;
	size_t i;

	for (i = 0; i < fake_nr_failures; i++) {
		const struct isa_outcome out = fake_failures[i];

		if (out.kind != ISA_FAULT && (out.code == SGX_NO_UPDATE ||
					      out.code == SGX_INSUFFICIENT_ENTROPY))
			continue;
		start(&f, out, true);
		assert_int_equal(sgx_epc_usage_get(f.pool), -EIO);
		assert_int_equal(nr_updates, 1);
		assert_int_equal(f.log->level, EPC_LOG_WARNING);
		assert_non_null(strstr(f.log->message, "EUPDATESVN returned "));
		assert_int_equal(sgx_epc_update_svn(f.pool, NULL), -EIO);
		fake_finish(&f);
	}
}

static void f90_who_is_refused_has_begun_nothing(void **state)
{
	const struct sgx_encl_config encl_config = { .owner.encl_id = 1 };
	const struct sgx_vepc_config vepc_config = { .owner.encl_id = 2 };
	struct sgx_vepc *vepc;
	struct sgx_encl *encl;
	struct fake f;
	size_t before;

	start(&f, fake_error(SGX_INSUFFICIENT_ENTROPY), true);
	before = f.live_allocs;
	assert_int_equal(sgx_encl_create(f.pool, &encl_config, &encl), -EAGAIN);
	assert_int_equal(sgx_vepc_create(f.pool, &vepc_config, &vepc), -EAGAIN);
	assert_int_equal(f.live_allocs, before);
	answers[nr_updates] = done();
	assert_int_equal(sgx_epc_update_svn(f.pool, NULL), 0);
	fake_finish(&f);
}

static void processor_without_the_leaf_is_enodev(void **state)
{
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	assert_int_equal(sgx_epc_update_svn(f.pool, NULL), -ENODEV);
	assert_int_equal(sgx_epc_usage_get(f.pool), 0);
	sgx_epc_usage_put(f.pool);
	fake_finish(&f);
}

static void assert_blocked(struct fake *f, struct sgx_epc_blockers expected)
{
	const unsigned int before = nr_updates;
	struct sgx_epc_blockers b = { 0 };

	assert_int_equal(sgx_epc_update_svn(f->pool, &b), -EBUSY);
	assert_memory_equal(&b, &expected, sizeof(b));
	assert_int_equal(nr_updates, before);
}

static void says_what_holds_the_update_back(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f, done(), false);
	assert_blocked(&f, (struct sgx_epc_blockers){ .unsanitized = SMALL_PAGES });
	sgx_epc_sanitize(f.pool, NULL);
	assert_int_equal(sgx_epc_update_svn(f.pool, NULL), 0);

	assert_int_equal(sgx_epc_usage_get(f.pool), 0);
	assert_blocked(&f, (struct sgx_epc_blockers){ .users = 1 });
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), 0);
	assert_blocked(&f, (struct sgx_epc_blockers){ .users = 1, .in_use = 1 });
	fake_fail(&f, FAKE_EREMOVE, 1, 1, fake_error(SGX_ENCLAVE_ACT));
	assert_false(sgx_encl_free_epc_page(f.pool, page, "test"));
	assert_blocked(&f, (struct sgx_epc_blockers){ .users = 1, .leaked = 1 });
	sgx_epc_usage_put(f.pool);
	assert_blocked(&f, (struct sgx_epc_blockers){ .leaked = 1 });
	fake_finish(&f);
}

/* A leak must not be the end of all enclaves. */
static void user_is_not_refused_for_an_update_held_back(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f, fake_error(SGX_EPC_NOT_READY), true);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), 0);
	fake_fail(&f, FAKE_EREMOVE, 1, 1, fake_error(SGX_ENCLAVE_ACT));
	assert_false(sgx_encl_free_epc_page(f.pool, page, "test"));
	assert_int_equal(sgx_epc_usage_get(f.pool), 0);
	assert_int_equal(nr_updates, 0);
	assert_int_equal(f.log->level, EPC_LOG_INFO);
	assert_string_equal(f.log->message, "the processor's SVN was not updated: of EPC 0 pages "
			    "are in use, 1 leaked, 0 unsanitized, 0 poisoned before they were sanitized");
	sgx_epc_usage_put(f.pool);
	fake_finish(&f);
}

static struct fake *reported_in;

/* The report comes while EREMOVE of the page runs, and that fails. */
static struct isa_outcome failing_eremove(void *ctx, uint64_t pa)
{
	if (pa != small_sections[0].pa)
		return done();
	assert_int_equal(sgx_epc_poison(reported_in->pool, pa), 0);
	return fake_fault(X86_GP);
}

/* What is in a page that broke before it was sanitized nobody knows, nor ever will. */
static void page_poisoned_before_it_was_sanitized_holds_it_back(void **state)
{
	struct fake f;

	start(&f, fake_error(SGX_EPC_NOT_READY), false);
	assert_int_equal(sgx_epc_poison(f.pool, small_sections[0].pa), 0);
	assert_int_equal(sgx_epc_sanitize(f.pool, NULL), 0);
	assert_blocked(&f, (struct sgx_epc_blockers){ .poisoned = 1 });
	/* Free by now: those are known to be unused. */
	assert_int_equal(sgx_epc_poison(f.pool, small_sections[1].pa), 0);
	assert_blocked(&f, (struct sgx_epc_blockers){ .poisoned = 1 });
	assert_int_equal(sgx_epc_usage_get(f.pool), 0);
	assert_int_equal(nr_updates, 0);
	assert_non_null(strstr(f.log->message, ", 1 poisoned before they were sanitized"));
	sgx_epc_usage_put(f.pool);
	fake_finish(&f);

	start(&f, fake_error(SGX_EPC_NOT_READY), false);
	sgx_epc_pool_destroy(f.pool);
	reported_in = &f;
	f.config.ops.eremove = failing_eremove;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	assert_int_equal(sgx_epc_sanitize(f.pool, NULL), 0);
	assert_counts(&f, SMALL_PAGES - 1, 0, 0, 0);
	assert_blocked(&f, (struct sgx_epc_blockers){ .poisoned = 1 });
	fake_finish(&f);
}

static void poisoned_page_that_is_parked_does_not_hold_it_back(void **state)
{
	struct fake f;

	start(&f, done(), true);
	assert_int_equal(sgx_epc_poison(f.pool, small_sections[0].pa), 0);
	assert_int_equal(sgx_epc_update_svn(f.pool, NULL), 0);
	assert_int_equal(nr_updates, 1);
	fake_finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f90_first_user_updates_and_says_so),
		cmocka_unit_test(f90_no_update_is_silent),
		cmocka_unit_test(f90_entropy_is_asked_for_ten_times),
		cmocka_unit_test(f90_any_other_failure_is_eio_and_a_warning),
		cmocka_unit_test(f90_who_is_refused_has_begun_nothing),
		cmocka_unit_test(processor_without_the_leaf_is_enodev),
		cmocka_unit_test(says_what_holds_the_update_back),
		cmocka_unit_test(user_is_not_refused_for_an_update_held_back),
		cmocka_unit_test(page_poisoned_before_it_was_sanitized_holds_it_back),
		cmocka_unit_test(poisoned_page_that_is_parked_does_not_hold_it_back),
	};

	return cmocka_run_group_tests_name("update", tests, NULL, NULL);
}
