/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLS[EMODT]: every check in its order, and what it leaves behind. */
#include "fixture.h"

#include "internal.h"

#define PAGE 40
#define LA (FIXTURE_BASE + 0x8000)
#define REG SECINFO_PT(PT_REG)
#define TCS SECINFO_PT(PT_TCS)
#define TRIM SECINFO_PT(PT_TRIM)
#define RW (SECINFO_R | SECINFO_W)

static int before_each(void **state)
{
	*state = isa_fixture_create(NULL);
	isa_fixture_start(*state, NULL, 0);
	return 0;
}

static struct isa_outcome again(struct isa_fixture *f)
{
	return isa_encls(&f->os, ISA_ENCLS_EMODT);
}

static void changes_the_type_and_keeps_the_contents(void **state)
{
	static const struct { uint64_t frame, to; } rows[] = {
		{ FIXTURE_RW, TCS }, { FIXTURE_RX, TRIM }, { FIXTURE_TCS, TRIM },
	};
	struct isa_fixture *f = *state;
	uint8_t page[SGX_PAGE_SIZE];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct isa_epcm_info before = isa_epcm_peek(f->m, rows[i].frame);

		memcpy(page, isa_fixture_contents(f, rows[i].frame), sizeof(page));
		assert_done(isa_fixture_emodt(f, rows[i].frame, rows[i].to));
		isa_fixture_assert_epcm(f, rows[i].frame, rows[i].to | SECINFO_MODIFIED, false);
		assert_int_equal(isa_epcm_peek(f->m, rows[i].frame).enclaveaddress,
				 before.enclaveaddress);
		assert_memory_equal(page, isa_fixture_contents(f, rows[i].frame), sizeof(page));
	}
}

static void ends_a_restriction(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(isa_fixture_emodpr(f, FIXTURE_RW, SECINFO_R));
	/* Permissions and state bits of the operand are not looked at. */
	assert_done(isa_fixture_emodt(f, FIXTURE_RW, TRIM | SECINFO_RWX | SECINFO_PENDING |
				      SECINFO_MODIFIED | SECINFO_PR));
	isa_fixture_assert_epcm(f, FIXTURE_RW, TRIM | SECINFO_MODIFIED, false);
}

static void changes_a_blocked_page(void **state)
{
	struct isa_fixture *f = *state;

	isa_epcm_update(&f->m->epcm[FIXTURE_RW], 0, EPCM_BLOCKED);
	assert_done(isa_fixture_emodt(f, FIXTURE_RW, TRIM));
	isa_fixture_assert_epcm(f, FIXTURE_RW, TRIM | SECINFO_MODIFIED, true);
}

static void faults_on_unaligned_operands(void **state)
{
	struct isa_fixture *f = *state;

	f->secinfo = (struct sgx_secinfo){ .flags = TRIM };
	memcpy((uint8_t *)&f->token + 32, &f->secinfo, sizeof(f->secinfo));
	f->os.rbx = (uintptr_t)&f->token + 32;
	f->os.rcx = isa_fixture_la(f, FIXTURE_RW);
	assert_gp(again(f));						/* 1 */
	f->os.rbx = (uintptr_t)&f->secinfo;
	f->os.rcx += 64;
	assert_gp(again(f));						/* 2 */
}

static void faults_when_the_page_is_no_epc(void **state)
{
	struct isa_fixture *f = *state;

	f->os.rbx = FIXTURE_HOLE;
	f->os.rcx = (uintptr_t)f->page;
	assert_epf(again(f), f->os.rcx);				/* 3 */
	f->os.rcx = isa_fixture_la(f, FIXTURE_RW);
	assert_ordinary_pf(again(f), FIXTURE_HOLE);
	f->os.rcx = FIXTURE_HOLE;
	assert_ordinary_pf(again(f), FIXTURE_HOLE);
}

static void faults_on_illegal_secinfo(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t bad[] = {
		SECINFO_PT(PT_SECS), REG, SECINFO_PT(PT_VA), SECINFO_PT(PT_SS_FIRST),
		SECINFO_PT(PT_SS_REST), SECINFO_PT(0x84), TRIM | 1u << 6, TRIM | 1u << 7,
		TRIM | 1u << 16, TRIM | 1ull << 63,
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_gp(isa_fixture_emodt(f, PAGE, bad[i]));		/* 4 */
	f->secinfo = (struct sgx_secinfo){ .flags = TRIM, .reserved_8[0] = 1 };
	assert_gp(again(f));						/* 4 */
}

static void faults_on_an_unused_page(void **state)
{
	struct isa_fixture *f = *state;

	assert_epf(isa_fixture_emodt(f, PAGE, TRIM), isa_fixture_la(f, PAGE)); /* 6 */
}

static void faults_on_a_type_that_cannot_become_the_other(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_epcm *e = &f->m->epcm[PAGE];

	assert_epf(isa_fixture_emodt(f, FIXTURE_TCS, TCS), isa_fixture_la(f, FIXTURE_TCS)); /* 8 */
	assert_epf(isa_fixture_emodt(f, FIXTURE_SECS, TRIM), isa_fixture_la(f, FIXTURE_SECS));
	isa_epcm_set(e, EPCM_NO_SECS, EPCM_VALID | EPCM_PT(PT_VA));
	assert_epf(isa_fixture_emodt(f, PAGE, TRIM), isa_fixture_la(f, PAGE));
	/* Trimmed is trimmed, accepted or not: the type is looked at first. */
	assert_done(isa_fixture_emodt(f, FIXTURE_RW, TRIM));
	assert_epf(isa_fixture_emodt(f, FIXTURE_RW, TRIM), isa_fixture_la(f, FIXTURE_RW));
	assert_epf(isa_fixture_emodt(f, FIXTURE_RW, TCS), isa_fixture_la(f, FIXTURE_RW));
}

static void reports_an_open_change(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(isa_fixture_eaug(f, PAGE, LA));
	assert_error(isa_fixture_emodt(f, PAGE, TRIM), SGX_PAGE_NOT_MODIFIABLE); /* 9 */
	assert_done(isa_fixture_emodt(f, FIXTURE_RW, TCS));
	assert_error(isa_fixture_emodt(f, FIXTURE_RW, TRIM), SGX_PAGE_NOT_MODIFIABLE); /* 9 */
	isa_fixture_assert_epcm(f, FIXTURE_RW, TCS | SECINFO_MODIFIED, false);
}

static void faults_before_einit(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_build(f, NULL);
	assert_gp(isa_fixture_emodt(f, FIXTURE_RW, TRIM));		/* 10 */
	isa_fixture_assert_epcm(f, FIXTURE_RW, REG | RW, false);
	isa_fixture_destroy(f);
	(void)state;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, before_each, isa_fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(changes_the_type_and_keeps_the_contents),
		CASE(ends_a_restriction),
		CASE(changes_a_blocked_page),
		CASE(faults_on_unaligned_operands),
		CASE(faults_when_the_page_is_no_epc),
		CASE(faults_on_illegal_secinfo),
		CASE(faults_on_an_unused_page),
		CASE(faults_on_a_type_that_cannot_become_the_other),
		CASE(reports_an_open_change),
		CASE(faults_before_einit),
	};

	return cmocka_run_group_tests_name("EMODT", tests, NULL, NULL);
}
