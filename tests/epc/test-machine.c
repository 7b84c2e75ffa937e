/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The manager on the software processor: the same life of an enclave as over
 * the fake, with a real measurement and a real signature, and the leak that a
 * processor inside an enclave causes.
 */
#include "machine.h"

#include <errno.h>

/* --- cases ---------------------------------------------------------------- */

static void initializes_an_enclave_it_built(void **state)
{
	uint64_t hash[4], other[4] = { 0 };
	struct isa_outcome out;
	struct sgx_secs secs;
	struct sgx_encl *encl;
	struct machine m;

	machine_start(&m, NULL, false);
	encl = machine_build(&m);
	isa_fixture_default_secs(&secs);
	isa_fixture_sigstruct(m.f, &secs, 0);
	isa_signer_hash(isa_signer_get(0), hash);

	assert_int_equal(sgx_encl_einit(encl, &m.f->sig, other, &out), -EPERM);
	assert_error(out, SGX_INVALID_EINITTOKEN);
	assert_int_equal(sgx_encl_einit(encl, &m.f->sig, hash, &out), 0);
	assert_done(out);

	sgx_encl_release(encl);
	machine_assert_counts(&m, 0, 0, 0);
	assert_int_equal(machine_nr_valid(&m), 0);
	assert_int_equal(m.nr_logged, 0);
	machine_finish(&m);
}

static void failed_leaves_leave_nothing_behind(void **state)
{
	static const _Alignas(4096) struct sgx_secs bad;
	static const _Alignas(4096) uint8_t source[SGX_PAGE_SIZE];
	const struct sgx_secinfo no_type = { .flags = SECINFO_R | SECINFO_PT(PT_SECS) };
	const struct sgx_encl_config config = { .cookie = NULL };
	struct sgx_encl *encl;
	struct machine m;

	machine_start(&m, NULL, false);
	assert_int_equal(sgx_encl_create(m.pool, &config, &encl), 0);
	assert_int_equal(sgx_encl_ecreate(encl, &bad), -EIO);
	machine_assert_counts(&m, 0, 0, 0);
	sgx_encl_release(encl);

	encl = machine_build(&m);
	assert_int_equal(sgx_encl_add_page(encl, 0x8000, source, &no_type, true), -EIO);
	machine_assert_counts(&m, 1 + MACHINE_NR_CHILDREN, 0, 0);
	sgx_encl_release(encl);
	machine_assert_counts(&m, 0, 0, 0);
	assert_int_equal(machine_nr_valid(&m), 0);
	assert_int_equal(m.nr_logged, 0);
	machine_finish(&m);
}

static bool is_valid(struct machine *m, const struct sgx_epc_page *page)
{
	const uint64_t pa = sgx_epc_page_pa(m->pool, page);

	return isa_epcm_peek(m->f->m, isa_machine_frame(m->f->m, pa)).valid;
}

static void c1_3_leaks_an_enclave_that_is_still_executing(void **state)
{
	struct sgx_epc_leak rows[2 + MACHINE_NR_CHILDREN];
	struct isa_encl_block block = { 0 };
	struct sgx_epc_page *page;
	struct sgx_encl *encl;
	struct machine m;
	unsigned int i;

	machine_start(&m, NULL, false);
	encl = machine_build(&m);
	assert_int_equal(isa_secs_share(m.f->m, isa_machine_frame(m.f->m, sgx_encl_secs_pa(encl)),
					&block), 0);
	atomic_store(&block.nr_inside[0], 1);
	sgx_encl_release(encl);

	machine_assert_counts(&m, 0, 1 + MACHINE_NR_CHILDREN, 0);
	assert_int_equal(m.nr_logged, 1);
	assert_non_null(strstr(m.message, "EREMOVE returned 14 (0xe, SGX_ENCLAVE_ACT) and"));
	assert_int_equal(sgx_epc_leaks(m.pool, 0, rows, 2 + MACHINE_NR_CHILDREN), 1 + MACHINE_NR_CHILDREN);
	for (i = 0; i < MACHINE_NR_CHILDREN; i++) {
		assert_error(rows[i].result, SGX_ENCLAVE_ACT);
		assert_true(rows[i].epcm.valid);
		assert_int_equal(rows[i].epcm.enclaveaddress, FIXTURE_BASE + i * 4096);
	}
	assert_error(rows[MACHINE_NR_CHILDREN].result, SGX_CHILD_PRESENT);

	/* Nothing that is still valid is handed out again. */
	while (!sgx_alloc_epc_page(m.pool, NULL, 0, &page))
		assert_false(is_valid(&m, page));
	machine_finish(&m);
}

static void next_manager_sanitizes_what_the_last_one_left(void **state)
{
	struct sgx_epc_pool *last;
	struct sgx_encl *encl;
	struct machine m;

	machine_start(&m, NULL, false);
	encl = machine_build(&m);
	last = m.pool;
	machine_start_pool(&m, false, false);
	machine_assert_counts(&m, 0, 0, FIXTURE_NR_FRAMES);
	assert_int_equal(sgx_epc_sanitize(m.pool, NULL), 0);
	machine_assert_counts(&m, 0, 0, 0);
	assert_int_equal(machine_nr_valid(&m), 0);

	sgx_encl_release(encl);		/* EREMOVE of clean pages succeeds */
	sgx_epc_pool_destroy(last);
	machine_finish(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(initializes_an_enclave_it_built),
		cmocka_unit_test(failed_leaves_leave_nothing_behind),
		cmocka_unit_test(c1_3_leaks_an_enclave_that_is_still_executing),
		cmocka_unit_test(next_manager_sanitizes_what_the_last_one_left),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
