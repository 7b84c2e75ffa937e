/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What follows from a leak: the health others see, who is told, and whether
 * enclaves still begin.
 */
#include "fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/epc/internal.h"

static const _Alignas(4096) struct sgx_secs secs = { .size = 1 << 20, .baseaddr = 1 << 20 };
static const struct sgx_encl_config encl_config = { .owner = { .encl_id = 7, .pid = 99 } };

static struct sgx_epc_leak told[4];
static unsigned int nr_told;
static size_t rows_when_told;

static void leaked(void *ctx, const struct sgx_epc_leak *row)
{
	struct sgx_epc_leak rows[SMALL_PAGES];
	struct fake *f = ctx;

	rows_when_told = sgx_epc_leaks(f->pool, 0, rows, SMALL_PAGES);
	told[nr_told++] = *row;
}

static void start(struct fake *f, enum sgx_epc_on_leak on_leak)
{
	nr_told = 0;
	fake_init(f, small_sections, 3, true);
	f->config.on_leak = on_leak;
	f->config.port.leaked = leaked;
	assert_int_equal(sgx_epc_pool_create(&f->config, &f->pool), 0);
}

static void leak_one(struct fake *f)
{
	struct sgx_epc_page *page;

	assert_int_equal(sgx_alloc_epc_page(f->pool, NULL, 0, &page), 0);
	fake_fail(f, FAKE_EREMOVE, 1, 1, fake_error(SGX_ENCLAVE_ACT));
	assert_false(sgx_encl_free_epc_page(f->pool, page, "test"));
	assert_adds_up(f);
}

static struct sgx_encl *begin(struct fake *f, int expected)
{
	struct sgx_encl *encl;

	assert_int_equal(sgx_encl_create(f->pool, &encl_config, &encl), 0);
	assert_int_equal(sgx_encl_ecreate(encl, &secs), expected);
	return encl;
}

static void is_ok_whatever_is_in_use_or_broken(void **state)
{
	struct sgx_epc_page *page;
	struct fake f;

	start(&f, SGX_EPC_LEAK_CONTINUE);
	assert_int_equal(sgx_epc_health(f.pool), SGX_EPC_OK);
	while (!sgx_alloc_epc_page(f.pool, NULL, 0, &page))
		assert_int_equal(sgx_epc_health(f.pool), SGX_EPC_OK);
	assert_int_equal(sgx_epc_poison(f.pool, small_sections[0].pa), 0);
	assert_int_equal(sgx_epc_health(f.pool), SGX_EPC_OK);
	fake_finish(&f);
}

static void is_degraded_by_a_leak_and_failing_when_too_few_are_left(void **state)
{
	unsigned int i;
	struct fake f;

	start(&f, SGX_EPC_LEAK_CONTINUE);
	f.config.port.leaked = NULL;
	sgx_epc_pool_destroy(f.pool);
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	assert_int_equal(sgx_epc_watermarks(f.pool).low, 1);
	for (i = 1; i <= SMALL_PAGES; i++) {
		leak_one(&f);
		assert_int_equal(sgx_epc_health(f.pool),
				 i < SMALL_PAGES ? SGX_EPC_DEGRADED : SGX_EPC_FAILING);
	}
	fake_finish(&f);
}

static void is_degraded_by_an_orphan_until_it_is_gone(void **state)
{
	struct fake f;

	start(&f, SGX_EPC_LEAK_CONTINUE);
	atomic_store(&f.pool->activity.orphans, 1);
	assert_int_equal(sgx_epc_health(f.pool), SGX_EPC_DEGRADED);
	atomic_store(&f.pool->activity.orphans, 0);
	assert_int_equal(sgx_epc_health(f.pool), SGX_EPC_OK);
	fake_finish(&f);
}

static void u6_every_leak_is_told_once_it_is_in_the_ledger(void **state)
{
	struct sgx_epc_leak row;
	struct fake f;

	start(&f, SGX_EPC_LEAK_CONTINUE);
	leak_one(&f);
	assert_int_equal(nr_told, 1);
	assert_int_equal(rows_when_told, 1);
	leak_one(&f);
	assert_int_equal(nr_told, 2);
	assert_int_equal(rows_when_told, 2);
	assert_int_equal(sgx_epc_leaks(f.pool, 1, &row, 1), 1);
	assert_memory_equal(&row, &told[1], sizeof(row));
	/* The log has the first one only. */
	assert_int_equal(f.log->nr, 1);
	fake_finish(&f);
}

static void continues_by_default(void **state)
{
	struct fake f;

	start(&f, SGX_EPC_LEAK_CONTINUE);
	leak_one(&f);
	sgx_encl_release(begin(&f, 0));
	fake_finish(&f);
}

static void refuses_new_enclaves_and_lets_others_go_on(void **state)
{
	static const _Alignas(4096) uint8_t source[4096];
	static const struct sgx_secinfo reg = { .flags = SECINFO_R | SECINFO_PT(PT_REG) };
	struct sgx_encl *running;
	struct fake f;

	start(&f, SGX_EPC_LEAK_REFUSE);
	running = begin(&f, 0);
	leak_one(&f);
	assert_int_equal(f.log->nr, 1);
	sgx_encl_release(begin(&f, -EBUSY));
	assert_int_equal(f.log->nr, 2);
	assert_int_equal(f.log->level, EPC_LOG_WARNING);
	assert_non_null(strstr(f.log->message, "no new enclaves"));
	sgx_encl_release(begin(&f, -EBUSY));
	assert_int_equal(f.log->nr, 2);

	assert_int_equal(sgx_encl_add_page(running, 0, source, &reg, true), 0);
	sgx_encl_release(running);
	assert_counts(&f, SMALL_PAGES - 1, 0, 1, 0);
	fake_finish(&f);
}

static void leak_one_in_child(struct fake *f, void *arg)
{
	leak_one(f);
}

static void ends_the_machine_where_told_to(void **state)
{
	struct fake f;

	start(&f, SGX_EPC_LEAK_ABORT);
	assert_aborts(&f, leak_one_in_child, NULL,
		      "An EPC page was leaked: ending, as configured.");
	/* After the warning, not instead of it. */
	assert_int_equal(f.log->nr, 2);
	fake_finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_ok_whatever_is_in_use_or_broken),
		cmocka_unit_test(is_degraded_by_a_leak_and_failing_when_too_few_are_left),
		cmocka_unit_test(is_degraded_by_an_orphan_until_it_is_gone),
		cmocka_unit_test(u6_every_leak_is_told_once_it_is_in_the_ledger),
		cmocka_unit_test(continues_by_default),
		cmocka_unit_test(refuses_new_enclaves_and_lets_others_go_on),
		cmocka_unit_test(ends_the_machine_where_told_to),
	};

	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
