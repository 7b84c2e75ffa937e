/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLS[EPA]: every outcome. */
#include "paging.h"

#define PAGE 30u

static void faults_unless_rbx_says_va(void **state)
{
	struct isa_fixture *f = *state;
	static const uint64_t wrong[] = { 0, PT_TCS, PT_REG, PT_TRIM, PT_VA | 1ull << 32 };

	f->os.rcx = isa_fixture_la(f, PAGE);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		f->os.rbx = wrong[i];
		assert_gp(isa_encls(&f->os, ISA_ENCLS_EPA));		/* 1 */
	}
	assert_false(isa_epcm_peek(f->m, PAGE).valid);
}

static void faults_on_an_unaligned_page(void **state)
{
	struct isa_fixture *f = *state;

	f->os.rbx = PT_VA;
	f->os.rcx = isa_fixture_la(f, PAGE) + 8;
	assert_gp(isa_encls(&f->os, ISA_ENCLS_EPA));			/* 1 */
}

static void faults_when_the_page_is_no_epc(void **state)
{
	struct isa_fixture *f = *state;

	f->os.rbx = PT_VA;
	f->os.rcx = (uintptr_t)f->page;
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EPA), (uintptr_t)f->page); /* 2 */
	f->os.rcx = FIXTURE_HOLE;
	assert_ordinary_pf(isa_encls(&f->os, ISA_ENCLS_EPA), FIXTURE_HOLE);
}

static void faults_when_the_page_is_busy(void **state)
{
	struct isa_fixture *f = *state;

	assert_true(isa_epcm_try_shared(&f->m->epcm[PAGE]));
	assert_gp(paging_epa(f, PAGE));					/* 3 */
	isa_epcm_release_shared(&f->m->epcm[PAGE]);
}

static void faults_when_the_page_is_in_use(void **state)
{
	struct isa_fixture *f = *state;
	static const uint64_t used[] = { FIXTURE_SECS, FIXTURE_TCS, FIXTURE_RW, PAGING_VA };

	for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++) {
		struct paging_snapshot *s = paging_snapshot(f);

		assert_epf(paging_epa(f, used[i]), isa_fixture_la(f, used[i])); /* 4 */
		paging_assert_unchanged(f, s);
	}
}

static void makes_512_empty_slots(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_epcm_info info;

	memset(isa_fixture_contents(f, PAGE), 0x77, SGX_PAGE_SIZE);
	assert_done(paging_epa(f, PAGE));
	info = isa_epcm_peek(f->m, PAGE);
	assert_true(info.valid);
	assert_int_equal(info.pt, PT_VA);
	assert_int_equal(info.rwx, 0);
	assert_int_equal(info.enclaveaddress, 0);
	assert_false(info.blocked || info.pending || info.modified || info.pr);
	assert_true(info.secs_frame == ISA_NO_FRAME);
	for (unsigned int slot = 0; slot < 512; slot++)
		assert_int_equal(paging_slot_value(f, PAGE, slot), 0);
	assert_done(isa_fixture_eremove(f, PAGE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_unless_rbx_says_va),
		cmocka_unit_test(faults_on_an_unaligned_page),
		cmocka_unit_test(faults_when_the_page_is_no_epc),
		cmocka_unit_test(faults_when_the_page_is_busy),
		cmocka_unit_test(faults_when_the_page_is_in_use),
		cmocka_unit_test(makes_512_empty_slots),
	};

	return cmocka_run_group_tests_name("EPA", tests, paging_setup, isa_fixture_teardown);
}
