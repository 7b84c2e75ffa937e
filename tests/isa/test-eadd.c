/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLS[EADD]: each check in turn, and what a page starts with. */
#include "fixture.h"

#define REG_RW (SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W)
#define PAGE_FRAME 40u		/* in the second section */

static int setup(void **state)
{
	struct sgx_secs secs;

	isa_fixture_setup(state);
	isa_fixture_default_secs(&secs);
	assert_done(isa_fixture_ecreate(*state, FIXTURE_SECS, &secs));
	return 0;
}

static struct isa_outcome add(struct isa_fixture *f, uint64_t linaddr, uint64_t flags)
{
	uint8_t page[SGX_PAGE_SIZE];

	isa_fixture_source(FIXTURE_RW, page);
	return isa_fixture_eadd(f, PAGE_FRAME, FIXTURE_SECS, linaddr, page, flags);
}

static struct isa_outcome again(struct isa_fixture *f)
{
	return isa_encls(&f->os, ISA_ENCLS_EADD);
}

/* Leaves operands of a legal EADD in the fixture and the frame free. */
static void prepare(struct isa_fixture *f)
{
	assert_done(add(f, FIXTURE_BASE, REG_RW));
	assert_done(isa_fixture_eremove(f, PAGE_FRAME));
}

static void adds_a_regular_page(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_epcm_info info;

	assert_done(add(f, FIXTURE_BASE + 0x5000, REG_RW));
	info = isa_epcm_peek(f->m, PAGE_FRAME);
	assert_true(info.valid);
	assert_int_equal(info.pt, PT_REG);
	assert_int_equal(info.rwx, SECINFO_R | SECINFO_W);
	assert_true(info.enclaveaddress == FIXTURE_BASE + 0x5000);
	assert_true(info.secs_frame == FIXTURE_SECS);
	assert_false(info.blocked || info.pending || info.modified || info.pr);
	assert_memory_equal(isa_fixture_contents(f, PAGE_FRAME), f->page, SGX_PAGE_SIZE);
	assert_done(isa_fixture_eremove(f, PAGE_FRAME));
}

static void clears_what_a_tcs_must_not_bring(void **state)
{
	struct isa_fixture *f = *state;
	const struct sgx_tcs *made = isa_fixture_contents(f, PAGE_FRAME);
	struct isa_epcm_info info;
	struct sgx_tcs tcs;

	isa_fixture_source(FIXTURE_TCS, (uint8_t *)&tcs);
	tcs.flags = TCS_DBGOPTIN;
	tcs.state = 1;
	tcs.cssa = 3;
	tcs.aep = 0x1234;
	assert_done(isa_fixture_eadd(f, PAGE_FRAME, FIXTURE_SECS, FIXTURE_BASE, &tcs,
				     SECINFO_PT(PT_TCS) | SECINFO_RWX));
	info = isa_epcm_peek(f->m, PAGE_FRAME);
	assert_int_equal(info.pt, PT_TCS);
	assert_int_equal(info.rwx, 0);
	assert_int_equal(made->flags, 0);
	assert_int_equal(made->state, 0);
	assert_int_equal(made->cssa, 0);
	assert_int_equal(made->aep, 0);
	assert_int_equal(made->oentry, 0x3000);
	assert_done(isa_fixture_eremove(f, PAGE_FRAME));
}

static void faults_on_unaligned_operands(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	/* A good PAGEINFO, at an address that is none for it. */
	memcpy((uint8_t *)&f->token + 16, &f->pageinfo, sizeof(f->pageinfo));
	f->os.rbx = (uintptr_t)&f->token + 16;
	assert_gp(again(f));						/* 1 */
	f->os.rbx = (uintptr_t)&f->pageinfo;
	f->os.rcx += 16;
	assert_gp(again(f));						/* 2 */
	f->os.rcx -= 16;
	f->pageinfo.srcpge += 16;
	assert_gp(again(f));						/* 4 */
	f->pageinfo.srcpge -= 16;
	f->pageinfo.linaddr += 16;
	assert_gp(again(f));						/* 4 */
	f->pageinfo.linaddr -= 16;
	f->pageinfo.secs += 16;
	assert_gp(again(f));						/* 4 */
	f->pageinfo.secs -= 16;
	f->pageinfo.secinfo_or_pcmd += 16;
	assert_gp(again(f));						/* 4 */
}

static void faults_when_target_or_secs_is_no_epc(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->os.rcx = (uintptr_t)f->page;
	assert_epf(again(f), (uintptr_t)f->page);			/* 3 */
	f->os.rcx = FIXTURE_HOLE;
	assert_ordinary_pf(again(f), FIXTURE_HOLE);
	f->os.rcx = isa_fixture_la(f, PAGE_FRAME);
	f->pageinfo.secs = (uintptr_t)f->page;
	assert_epf(again(f), (uintptr_t)f->page);			/* 5 */
}

static void passes_on_page_faults_of_its_operands(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->pageinfo.srcpge = FIXTURE_HOLE;
	assert_ordinary_pf(again(f), FIXTURE_HOLE);
	assert_false(isa_epcm_peek(f->m, PAGE_FRAME).valid);
	f->pageinfo.secinfo_or_pcmd = FIXTURE_HOLE;
	assert_ordinary_pf(again(f), FIXTURE_HOLE);
	f->os.rbx = FIXTURE_HOLE;
	assert_ordinary_pf(again(f), FIXTURE_HOLE);
}

static void faults_on_illegal_secinfo(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t bad[] = {
		SECINFO_PT(PT_SECS), SECINFO_PT(PT_VA), SECINFO_PT(PT_TRIM),
		SECINFO_PT(PT_SS_FIRST), SECINFO_PT(PT_SS_REST), SECINFO_PT(7), SECINFO_PT(0x82),
		REG_RW | SECINFO_PENDING, REG_RW | SECINFO_MODIFIED, REG_RW | SECINFO_PR,
		REG_RW | 1u << 6, REG_RW | 1u << 7, REG_RW | 1ull << 16, REG_RW | 1ull << 63,
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_gp(add(f, FIXTURE_BASE, bad[i]));		/* 6 */
	prepare(f);
	f->secinfo.reserved_8[55] = 1;
	assert_gp(again(f));						/* 6 */
}

static void faults_on_a_page_in_use(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(add(f, FIXTURE_BASE, REG_RW));
	assert_epf(add(f, FIXTURE_BASE + 0x1000, REG_RW), isa_fixture_la(f, PAGE_FRAME)); /* 9 */
	f->os.rcx = isa_fixture_la(f, FIXTURE_SECS);
	assert_epf(again(f), isa_fixture_la(f, FIXTURE_SECS));		/* 9 */
	assert_done(isa_fixture_eremove(f, PAGE_FRAME));
}

static void conflicts_with_itself_when_secs_is_the_target(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->pageinfo.secs = f->os.rcx;
	assert_gp(again(f));						/* 10 */
}

static void faults_when_secs_is_none(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->pageinfo.secs = isa_fixture_la(f, 50);
	assert_epf(again(f), isa_fixture_la(f, 50));			/* 11: not valid */
	assert_done(isa_fixture_eadd(f, 50, FIXTURE_SECS, FIXTURE_BASE, f->page, REG_RW));
	f->pageinfo.secs = isa_fixture_la(f, 50);
	f->os.rcx = isa_fixture_la(f, PAGE_FRAME);
	assert_epf(again(f), isa_fixture_la(f, 50));			/* 11: not PT_SECS */
	assert_done(isa_fixture_eremove(f, 50));
}

static void faults_on_reserved_tcs_bits(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_tcs tcs;

	for (size_t i = offsetof(struct sgx_tcs, ocetssa); i < sizeof(tcs); i += 5) {
		isa_fixture_source(FIXTURE_TCS, (uint8_t *)&tcs);
		((uint8_t *)&tcs)[i] = 1;
		assert_gp(isa_fixture_eadd(f, PAGE_FRAME, FIXTURE_SECS, FIXTURE_BASE, &tcs,
					   SECINFO_PT(PT_TCS)));	/* 12, 14 */
	}
	for (unsigned int bit = 2; bit < 64; bit++) {
		isa_fixture_source(FIXTURE_TCS, (uint8_t *)&tcs);
		tcs.flags = 1ull << bit;
		assert_gp(isa_fixture_eadd(f, PAGE_FRAME, FIXTURE_SECS, FIXTURE_BASE, &tcs,
					   SECINFO_PT(PT_TCS)));	/* 12 */
	}
}

static void knows_aexnotify_where_the_part_does(void **state)
{
	static const char *const parts[] = { "newest", "server" };
	struct sgx_tcs tcs;

	isa_fixture_source(FIXTURE_TCS, (uint8_t *)&tcs);
	tcs.flags = TCS_AEXNOTIFY;
	for (int i = 0; i < 2; i++) {
		struct isa_fixture *f = isa_fixture_create(parts[i]);
		struct sgx_secs secs;
		struct isa_outcome out;

		isa_fixture_default_secs(&secs);
		assert_done(isa_fixture_ecreate(f, FIXTURE_SECS, &secs));
		out = isa_fixture_eadd(f, PAGE_FRAME, FIXTURE_SECS, FIXTURE_BASE, &tcs,
				       SECINFO_PT(PT_TCS));
		if (i)
			assert_gp(out);					/* 12 */
		else
			assert_done(out);
		isa_fixture_destroy(f);
	}
	(void)state;
}

static void wants_page_granular_limits_in_a_32_bit_tcs(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	struct sgx_secs secs;
	struct sgx_tcs tcs;

	isa_fixture_default_secs(&secs);
	secs.attributes.flags = 0;
	secs.baseaddr = 0x40000000;
	assert_done(isa_fixture_ecreate(f, FIXTURE_SECS, &secs));
	for (int i = 0; i < 3; i++) {
		isa_fixture_source(FIXTURE_TCS, (uint8_t *)&tcs);
		if (i == 0)
			tcs.fslimit = 0x1ffe;
		if (i == 1)
			tcs.gslimit = 0;
		if (i < 2)
			assert_gp(isa_fixture_eadd(f, PAGE_FRAME, FIXTURE_SECS, secs.baseaddr, &tcs,
						   SECINFO_PT(PT_TCS)));	/* 13 */
		else
			assert_done(isa_fixture_eadd(f, PAGE_FRAME, FIXTURE_SECS, secs.baseaddr,
						     &tcs, SECINFO_PT(PT_TCS)));
	}
	isa_fixture_destroy(f);
	(void)state;
}

static void faults_on_write_without_read(void **state)
{
	struct isa_fixture *f = *state;

	assert_gp(add(f, FIXTURE_BASE, SECINFO_PT(PT_REG) | SECINFO_W)); /* 15 */
	assert_gp(add(f, FIXTURE_BASE, SECINFO_PT(PT_REG) | SECINFO_W | SECINFO_X));
	assert_done(add(f, FIXTURE_BASE, SECINFO_PT(PT_REG) | SECINFO_X));
	assert_done(isa_fixture_eremove(f, PAGE_FRAME));
	assert_done(add(f, FIXTURE_BASE, SECINFO_PT(PT_REG)));
	assert_done(isa_fixture_eremove(f, PAGE_FRAME));
}

static void faults_outside_elrange(void **state)
{
	struct isa_fixture *f = *state;

	assert_gp(add(f, FIXTURE_BASE - 0x1000, REG_RW));		/* 17 */
	assert_gp(add(f, FIXTURE_BASE + FIXTURE_SIZE, REG_RW));
	assert_gp(add(f, 0, REG_RW));
	assert_done(add(f, FIXTURE_BASE + FIXTURE_SIZE - 0x1000, REG_RW));
	assert_done(isa_fixture_eremove(f, PAGE_FRAME));
}

static void faults_once_initialized(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_start(f, NULL, 0);
	assert_gp(add(f, FIXTURE_BASE + 0x8000, REG_RW));		/* 19 */
	assert_false(isa_epcm_peek(f->m, PAGE_FRAME).valid);
	isa_fixture_destroy(f);
	(void)state;
}

static void allows_two_pages_at_one_address(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(add(f, FIXTURE_BASE, REG_RW));
	assert_done(isa_fixture_eadd(f, 41, FIXTURE_SECS, FIXTURE_BASE, f->page, REG_RW));
	assert_done(isa_fixture_eremove(f, PAGE_FRAME));
	assert_done(isa_fixture_eremove(f, 41));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adds_a_regular_page),
		cmocka_unit_test(clears_what_a_tcs_must_not_bring),
		cmocka_unit_test(faults_on_unaligned_operands),
		cmocka_unit_test(faults_when_target_or_secs_is_no_epc),
		cmocka_unit_test(passes_on_page_faults_of_its_operands),
		cmocka_unit_test(faults_on_illegal_secinfo),
		cmocka_unit_test(faults_on_a_page_in_use),
		cmocka_unit_test(conflicts_with_itself_when_secs_is_the_target),
		cmocka_unit_test(faults_when_secs_is_none),
		cmocka_unit_test(faults_on_reserved_tcs_bits),
		cmocka_unit_test(knows_aexnotify_where_the_part_does),
		cmocka_unit_test(wants_page_granular_limits_in_a_32_bit_tcs),
		cmocka_unit_test(faults_on_write_without_read),
		cmocka_unit_test(faults_outside_elrange),
		cmocka_unit_test(faults_once_initialized),
		cmocka_unit_test(allows_two_pages_at_one_address),
	};

	return cmocka_run_group_tests_name("EADD", tests, setup, isa_fixture_teardown);
}
