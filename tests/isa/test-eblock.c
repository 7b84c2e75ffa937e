/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLS[EBLOCK]: every outcome. */
#include "paging.h"

static int setup(void **state)
{
	*state = paging_create();
	return 0;
}

static int teardown(void **state)
{
	return isa_fixture_teardown(state);
}

static void faults_on_an_unaligned_page(void **state)
{
	struct isa_fixture *f = *state;

	f->os.rcx = isa_fixture_la(f, FIXTURE_RW) + 256;
	assert_gp(isa_encls(&f->os, ISA_ENCLS_EBLOCK));			/* 1 */
}

static void faults_when_the_page_is_no_epc(void **state)
{
	struct isa_fixture *f = *state;

	f->os.rcx = (uintptr_t)f->page;
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EBLOCK), (uintptr_t)f->page); /* 2 */
	f->os.rcx = FIXTURE_HOLE;
	assert_ordinary_pf(isa_encls(&f->os, ISA_ENCLS_EBLOCK), FIXTURE_HOLE);
}

static void reports_conflict_when_the_page_is_busy(void **state)
{
	struct isa_fixture *f = *state;

	assert_true(isa_epcm_try_exclusive(&f->m->epcm[FIXTURE_RW]));
	assert_error(paging_eblock(f, FIXTURE_RW), SGX_EPC_PAGE_CONFLICT); /* 3 */
	isa_epcm_release_exclusive(&f->m->epcm[FIXTURE_RW]);
	assert_false(isa_epcm_peek(f->m, FIXTURE_RW).blocked);
}

static void reports_an_invalid_page(void **state)
{
	assert_error(paging_eblock(*state, FIXTURE_FREE), SGX_PG_INVLD); /* 4 */
}

static void reports_what_cannot_be_blocked(void **state)
{
	struct isa_fixture *f = *state;
	struct paging_snapshot *s = paging_snapshot(f);

	assert_outcome(paging_eblock(f, FIXTURE_SECS), ISA_INFO, 0, 0);
	assert_int_equal(paging_eblock(f, FIXTURE_SECS).code, SGX_PG_IS_SECS); /* 5 */
	assert_outcome(paging_eblock(f, PAGING_VA), ISA_INFO, 0, 0);
	assert_int_equal(paging_eblock(f, PAGING_VA).code, SGX_NOTBLOCKABLE); /* 6 */
	paging_assert_unchanged(f, s);
}

static void reports_when_already_blocked(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_outcome out;

	assert_done(paging_eblock(f, FIXTURE_RW));
	out = paging_eblock(f, FIXTURE_RW);
	assert_int_equal(out.kind, ISA_INFO);
	assert_int_equal(out.code, SGX_BLKSTATE);			/* 7 */
}

/* The stamp is of the first EBLOCK: the second must not make the page wait longer. */
static void second_eblock_does_not_restart_tracking(void **state)
{
	struct isa_fixture *f = *state;
	struct paged_out p;

	assert_done(paging_eblock(f, FIXTURE_RW));
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_int_equal(paging_eblock(f, FIXTURE_RW).kind, ISA_INFO);
	assert_done(paging_ewb(f, FIXTURE_RW, 0, &p));
}

static void blocks_every_kind_of_child(void **state)
{
	struct isa_fixture *f = *state;
	static const enum sgx_page_type kinds[] = { PT_TCS, PT_REG, PT_TRIM, PT_SS_FIRST,
						    PT_SS_REST };

	for (unsigned int i = 0; i < 5; i++) {
		const uint64_t frame = 40 + i;
		const uint64_t word = (FIXTURE_BASE + 0x8000 + i * 0x1000) | EPCM_PT(kinds[i]) |
				      EPCM_RWX(SECINFO_R) | EPCM_PENDING;
		struct isa_epcm_info info;

		paging_fake(f, frame, FIXTURE_SECS, word);
		assert_done(paging_eblock(f, frame));			/* 8 */
		info = isa_epcm_peek(f->m, frame);
		assert_true(info.valid && info.blocked && info.pending);
		assert_int_equal(info.pt, kinds[i]);
		assert_int_equal(info.rwx, SECINFO_R);
		assert_int_equal(info.enclaveaddress, word & SGX_PAGE_MASK);
		assert_int_equal(info.secs_frame, FIXTURE_SECS);
	}
}

static void reports_a_running_etrack(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secs *secs = isa_fixture_contents(f, FIXTURE_SECS);

	assert_true(isa_secs_try_track(secs));
	assert_error(paging_eblock(f, FIXTURE_RW), SGX_ENTRYEPOCH_LOCKED);
	isa_secs_release_track(secs);
	assert_false(isa_epcm_peek(f->m, FIXTURE_RW).blocked);
	assert_done(paging_eblock(f, FIXTURE_RW));
}

static void keeps_everybody_out_of_the_page(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_thread t;

	assert_done(paging_eblock(f, FIXTURE_TCS));
	assert_epf(paging_try_enter(f, &t, FIXTURE_TCS), f->la[FIXTURE_TCS]);
	/* Operands of leaves too. */
	assert_done(paging_eblock(f, FIXTURE_RW));
	f->encl.rbx = f->encl.rcx = f->la[FIXTURE_RW];
	assert_epf(isa_enclu(&f->encl, ISA_ENCLU_EGETKEY), f->la[FIXTURE_RW]);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(faults_on_an_unaligned_page),
		CASE(faults_when_the_page_is_no_epc),
		CASE(reports_conflict_when_the_page_is_busy),
		CASE(reports_an_invalid_page),
		CASE(reports_what_cannot_be_blocked),
		CASE(reports_when_already_blocked),
		CASE(second_eblock_does_not_restart_tracking),
		CASE(blocks_every_kind_of_child),
		CASE(reports_a_running_etrack),
		CASE(keeps_everybody_out_of_the_page),
	};

	return cmocka_run_group_tests_name("EBLOCK", tests, NULL, NULL);
}
