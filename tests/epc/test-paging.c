/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * More enclaves than EPC on the software processor: pages are written out,
 * reloaded and changed with real leaves, real tracking and real tags.
 */
#include "machine.h"

#include <errno.h>

#define NR_ENCLS 6u
#define NR_PAGES 16u		/* of each, without its SECS and VA page: more than EPC */

static uint64_t value_of(unsigned int encl, unsigned int page)
{
	return 0x1234567800000000ull + encl * 256u + page;
}

/* The writable page and what EAUG added; the other pages are code. */
static bool is_written(unsigned int page)
{
	return page == FIXTURE_RW - 1 || page >= MACHINE_NR_CHILDREN;
}

static uint64_t frame_of(struct machine *m, struct sgx_encl *encl, uint64_t offset)
{
	struct sgx_encl_page_info info;

	assert_int_equal(sgx_encl_fault(encl, offset, SECINFO_R, NULL, &info), 0);
	return isa_machine_frame(m->f->m, info.pa);
}

/* EACCEPT as the enclave would: on the fixture's processor, with its page tables. */
static void accept_page(struct machine *m, struct sgx_encl *encl, unsigned int page,
			uint64_t flags)
{
	const struct sgx_secinfo secinfo = { .flags = flags };
	const uint64_t operand = FIXTURE_SECINFO_LA - FIXTURE_BASE;
	struct isa_outcome out;

	assert_int_equal(sgx_encl_access(encl, operand, (void *)(uintptr_t)&secinfo,
					 sizeof(secinfo), true), 0);
	memset(m->f->la, 0, sizeof(m->f->la));
	m->f->la[frame_of(m, encl, operand & SGX_PAGE_MASK)] = FIXTURE_SECINFO_LA & SGX_PAGE_MASK;
	m->f->la[frame_of(m, encl, page * 4096)] = FIXTURE_BASE + page * 4096;
	m->f->encl.secs_frame = isa_machine_frame(m->f->m, sgx_encl_secs_pa(encl));
	m->f->encl.rbx = FIXTURE_SECINFO_LA;
	m->f->encl.rcx = FIXTURE_BASE + page * 4096;
	out = isa_enclu(&m->f->encl, ISA_ENCLU_EACCEPT);
	memset(m->f->la, 0, sizeof(m->f->la));
	assert_done(out);
}

static void write_value(struct sgx_encl *encl, unsigned int page, uint64_t value)
{
	assert_int_equal(sgx_encl_access(encl, page * 4096 + 8, &value, sizeof(value), true), 0);
}

static void assert_value(struct sgx_encl *encl, unsigned int page, uint64_t value)
{
	uint64_t seen = 0;

	assert_int_equal(sgx_encl_access(encl, page * 4096 + 8, &seen, sizeof(seen), false), 0);
	assert_int_equal(seen, value);
}

static struct sgx_encl *make_large(struct machine *m, unsigned int nr)
{
	struct sgx_encl *encl = machine_einit(m);
	struct sgx_encl_page_info info;
	unsigned int i;

	for (i = 0; i < NR_PAGES; i++) {
		if (i >= MACHINE_NR_CHILDREN) {
			assert_int_equal(sgx_encl_fault(encl, i * 4096, SECINFO_W, NULL, &info), 0);
			accept_page(m, encl, i, SECINFO_R | SECINFO_W | SECINFO_PENDING |
				    SECINFO_PT(PT_REG));
		}
		if (is_written(i))
			write_value(encl, i, value_of(nr, i));
	}
	return encl;
}

static void enclaves_larger_than_epc_keep_their_contents(void **state)
{
	struct sgx_encl *encls[NR_ENCLS];
	struct sgx_epc_activity activity;
	struct machine m;
	unsigned int i, page, round;

	machine_start(&m, NULL, true);
	for (i = 0; i < NR_ENCLS; i++)
		encls[i] = make_large(&m, i);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < NR_ENCLS; i++) {
			for (page = 0; page < NR_PAGES; page++) {
				if (is_written(page))
					assert_value(encls[i], page, value_of(i, page));
			}
		}
	}
	sgx_epc_activity(m.pool, &activity);
	assert_true(activity.evicted > NR_ENCLS * NR_PAGES);
	assert_true(activity.reloaded > NR_ENCLS * NR_PAGES);
	assert_int_equal(activity.evicted - activity.reloaded, activity.backed);
	assert_int_equal(activity.evict_failed, 0);
	assert_int_equal(activity.va_pages, NR_ENCLS);
	for (i = 0; i < NR_ENCLS; i++)
		sgx_encl_release(encls[i]);
	machine_assert_counts(&m, 0, 0, 0);
	assert_int_equal(machine_nr_valid(&m), 0);
	assert_int_equal(m.nr_logged, 0);
	machine_finish(&m);
}

static void f67_f68_f69_an_idle_enclave_leaves_epc_whole_and_comes_back(void **state)
{
	struct sgx_epc_activity activity;
	struct sgx_encl *encl;
	struct machine m;
	unsigned int page;

	machine_start(&m, NULL, true);
	encl = make_large(&m, 7);
	assert_int_equal(sgx_epc_reclaim(m.pool, 1000), NR_PAGES + 1);
	assert_true(sgx_encl_secs_pa(encl) == ISA_NO_FRAME);
	assert_int_equal(sgx_encl_nr_pages(encl), 1);
	machine_assert_counts(&m, 1, 0, 0);
	sgx_epc_activity(m.pool, &activity);
	assert_int_equal(activity.backed, NR_PAGES + 1);
	assert_int_equal(activity.evictable, 0);
	for (page = 0; page < NR_PAGES; page++) {
		if (is_written(page))
			assert_value(encl, page, value_of(7, page));
	}
	assert_true(sgx_encl_secs_pa(encl) != ISA_NO_FRAME);
	sgx_encl_release(encl);
	machine_assert_counts(&m, 0, 0, 0);
	machine_finish(&m);
}

static void pages_are_written_out_before_einit_too(void **state)
{
	struct isa_outcome out;
	struct sgx_encl *encl;
	struct sgx_secs secs;
	struct machine m;
	uint64_t hash[4];

	machine_start(&m, NULL, true);
	encl = machine_build(&m);
	assert_int_equal(sgx_epc_reclaim(m.pool, 1000), MACHINE_NR_CHILDREN);
	isa_fixture_default_secs(&secs);
	isa_fixture_sigstruct(m.f, &secs, 0);
	isa_signer_hash(isa_signer_get(0), hash);
	assert_int_equal(sgx_encl_einit(encl, &m.f->sig, hash, &out), 0);
	sgx_encl_release(encl);
	machine_assert_counts(&m, 0, 0, 0);
	machine_finish(&m);
}

static void f21_f22_f23_pages_change_and_go_while_their_neighbours_are_outside(void **state)
{
	struct sgx_encl_page_info info;
	struct isa_outcome out;
	struct sgx_encl *encl;
	struct machine m;
	unsigned int i;

	machine_start(&m, NULL, true);
	encl = make_large(&m, 1);
	for (i = MACHINE_NR_CHILDREN; i < NR_PAGES; i++) {
		sgx_epc_reclaim(m.pool, 1000);
		assert_int_equal(sgx_encl_restrict_page(encl, i * 4096, SECINFO_R, &out), 0);
		accept_page(&m, encl, i, SECINFO_R | SECINFO_PR | SECINFO_PT(PT_REG));
		assert_int_equal(sgx_encl_remove_page(encl, i * 4096), -EPERM);
		sgx_epc_reclaim(m.pool, 1000);
		assert_int_equal(sgx_encl_modify_page(encl, i * 4096, PT_TRIM, &out), 0);
		assert_int_equal(sgx_encl_remove_page(encl, i * 4096), -EPERM);
		sgx_epc_reclaim(m.pool, 1000);
		accept_page(&m, encl, i, SECINFO_MODIFIED | SECINFO_PT(PT_TRIM));
		sgx_epc_reclaim(m.pool, 1000);
		assert_int_equal(sgx_encl_remove_page(encl, i * 4096), 0);
		assert_false(sgx_encl_page_at(encl, i * 4096, &info));
		assert_int_equal(sgx_encl_remove_page(encl, i * 4096), -EFAULT);
	}
	/* And again at the same addresses. */
	for (i = MACHINE_NR_CHILDREN; i < NR_PAGES; i++)
		assert_int_equal(sgx_encl_fault(encl, i * 4096, SECINFO_W, NULL, &info), 0);
	sgx_encl_release(encl);
	machine_assert_counts(&m, 0, 0, 0);
	machine_finish(&m);
}

static void f22_f70_c1_26_an_ordinary_page_becomes_a_tcs(void **state)
{
	const struct sgx_tcs tcs = { .ossa = FIXTURE_SSA - 1 };
	struct sgx_encl_page_info info;
	struct isa_outcome out;
	struct sgx_encl *encl;
	struct machine m;

	machine_start(&m, NULL, true);
	encl = make_large(&m, 1);
	assert_int_equal(sgx_encl_access(encl, 5 * 4096, (void *)(uintptr_t)&tcs, sizeof(tcs),
					 true), 0);
	assert_int_equal(sgx_encl_modify_page(encl, 5 * 4096, PT_TCS, &out), 0);
	assert_true(sgx_encl_page_at(encl, 5 * 4096, &info));
	assert_int_equal(info.type, PT_TCS);
	assert_int_equal(info.vm_max_prot, SECINFO_R | SECINFO_W);
	/* Code cannot: it was never to be written. */
	assert_int_equal(sgx_encl_modify_page(encl, (FIXTURE_RX - 1) * 4096, PT_TCS, &out), -EPERM);
	assert_int_equal(sgx_encl_modify_page(encl, 5 * 4096, PT_TCS, &out), -EINVAL);
	assert_int_equal(sgx_encl_restrict_page(encl, 5 * 4096, SECINFO_R, &out), -EINVAL);
	sgx_encl_release(encl);
	machine_assert_counts(&m, 0, 0, 0);
	machine_finish(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(enclaves_larger_than_epc_keep_their_contents),
		cmocka_unit_test(f67_f68_f69_an_idle_enclave_leaves_epc_whole_and_comes_back),
		cmocka_unit_test(pages_are_written_out_before_einit_too),
		cmocka_unit_test(f21_f22_f23_pages_change_and_go_while_their_neighbours_are_outside),
		cmocka_unit_test(f22_f70_c1_26_an_ordinary_page_becomes_a_tcs),
	};

	return cmocka_run_group_tests_name("paging", tests, NULL, NULL);
}
