/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLS[EMODPR]: every check in its order, and what it leaves behind. */
#include "fixture.h"

#include "internal.h"

#define PAGE 40
#define LA (FIXTURE_BASE + 0x8000)
#define REG SECINFO_PT(PT_REG)
#define RW (SECINFO_R | SECINFO_W)

static int before_each(void **state)
{
	*state = isa_fixture_create(NULL);
	isa_fixture_start(*state, NULL, 0);
	return 0;
}

static void takes_permissions_away(void **state)
{
	struct isa_fixture *f = *state;

	/* The mask may have what the page has not. */
	assert_done(isa_fixture_emodpr(f, FIXTURE_RW, SECINFO_R | SECINFO_X));
	isa_fixture_assert_epcm(f, FIXTURE_RW, REG | SECINFO_R | SECINFO_PR, false);
	assert_done(isa_fixture_emodpr(f, FIXTURE_RW, SECINFO_RWX));
	isa_fixture_assert_epcm(f, FIXTURE_RW, REG | SECINFO_R | SECINFO_PR, false);
	assert_done(isa_fixture_emodpr(f, FIXTURE_RX, 0));
	isa_fixture_assert_epcm(f, FIXTURE_RX, REG | SECINFO_PR, false);
}

static void keeps_contents_address_and_owner(void **state)
{
	struct isa_fixture *f = *state;
	const struct isa_epcm_info before = isa_epcm_peek(f->m, FIXTURE_RX);
	uint8_t page[SGX_PAGE_SIZE];

	memcpy(page, isa_fixture_contents(f, FIXTURE_RX), sizeof(page));
	assert_done(isa_fixture_emodpr(f, FIXTURE_RX, SECINFO_R));
	assert_memory_equal(page, isa_fixture_contents(f, FIXTURE_RX), sizeof(page));
	assert_int_equal(isa_epcm_peek(f->m, FIXTURE_RX).enclaveaddress, before.enclaveaddress);
	assert_int_equal(isa_epcm_peek(f->m, FIXTURE_RX).secs_frame, before.secs_frame);
}

/* Type and state bits of the operand are not looked at. */
static void looks_at_permissions_only(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(isa_fixture_emodpr(f, FIXTURE_RW, SECINFO_PT(0xff) | SECINFO_R |
				       SECINFO_PENDING | SECINFO_MODIFIED | SECINFO_PR));
	isa_fixture_assert_epcm(f, FIXTURE_RW, REG | SECINFO_R | SECINFO_PR, false);
}

static void restricts_a_blocked_page(void **state)
{
	struct isa_fixture *f = *state;

	isa_epcm_update(&f->m->epcm[FIXTURE_RW], 0, EPCM_BLOCKED);
	assert_done(isa_fixture_emodpr(f, FIXTURE_RW, SECINFO_R));
	isa_fixture_assert_epcm(f, FIXTURE_RW, REG | SECINFO_R | SECINFO_PR, true);
}

static void faults_on_unaligned_operands(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(isa_fixture_emodpr(f, FIXTURE_RW, RW));
	memcpy((uint8_t *)&f->token + 32, &f->secinfo, sizeof(f->secinfo));
	f->os.rbx = (uintptr_t)&f->token + 32;
	assert_gp(isa_encls(&f->os, ISA_ENCLS_EMODPR));			/* 1 */
	f->os.rbx = (uintptr_t)&f->secinfo;
	f->os.rcx += 64;
	assert_gp(isa_encls(&f->os, ISA_ENCLS_EMODPR));			/* 1 */
}

static void faults_when_the_page_is_no_epc(void **state)
{
	struct isa_fixture *f = *state;

	f->os.rbx = FIXTURE_HOLE;
	f->os.rcx = (uintptr_t)f->page;
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EMODPR), f->os.rcx);	/* 2 */
	f->os.rcx = isa_fixture_la(f, FIXTURE_RW);
	assert_ordinary_pf(isa_encls(&f->os, ISA_ENCLS_EMODPR), FIXTURE_HOLE);
	f->os.rcx = FIXTURE_HOLE;
	assert_ordinary_pf(isa_encls(&f->os, ISA_ENCLS_EMODPR), FIXTURE_HOLE);
}

static void faults_on_illegal_secinfo(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t bad[] = {
		SECINFO_W, SECINFO_W | SECINFO_X, RW | 1u << 6, RW | 1u << 7, RW | 1u << 16,
		RW | 1ull << 63,
	};

	/* Before a look at the page. */
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_gp(isa_fixture_emodpr(f, PAGE, bad[i]));		/* 3 */
	f->secinfo = (struct sgx_secinfo){ .flags = RW, .reserved_8[55] = 1 };
	assert_gp(isa_encls(&f->os, ISA_ENCLS_EMODPR));			/* 3 */
}

static void faults_on_an_unused_page(void **state)
{
	struct isa_fixture *f = *state;

	assert_epf(isa_fixture_emodpr(f, PAGE, RW), isa_fixture_la(f, PAGE)); /* 5 */
}

static void reports_an_open_change(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(isa_fixture_eaug(f, PAGE, LA));
	assert_error(isa_fixture_emodpr(f, PAGE, RW), SGX_PAGE_NOT_MODIFIABLE); /* 7 */
	assert_done(isa_fixture_emodt(f, FIXTURE_RW, SECINFO_PT(PT_TRIM)));
	/* Before a look at the type, which is not PT_REG. */
	assert_error(isa_fixture_emodpr(f, FIXTURE_RW, RW), SGX_PAGE_NOT_MODIFIABLE); /* 7 */
	isa_fixture_assert_epcm(f, FIXTURE_RW, SECINFO_PT(PT_TRIM) | SECINFO_MODIFIED, false);
}

static void faults_unless_the_page_is_regular(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_epcm *e = &f->m->epcm[PAGE];

	assert_epf(isa_fixture_emodpr(f, FIXTURE_TCS, 0), isa_fixture_la(f, FIXTURE_TCS)); /* 8 */
	assert_epf(isa_fixture_emodpr(f, FIXTURE_SECS, 0), isa_fixture_la(f, FIXTURE_SECS));
	isa_epcm_set(e, EPCM_NO_SECS, EPCM_VALID | EPCM_PT(PT_VA));
	assert_epf(isa_fixture_emodpr(f, PAGE, 0), isa_fixture_la(f, PAGE));
	isa_epcm_set(e, FIXTURE_SECS, LA | EPCM_VALID | EPCM_PT(PT_TRIM));
	assert_epf(isa_fixture_emodpr(f, PAGE, 0), isa_fixture_la(f, PAGE));
}

static void faults_before_einit(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_build(f, NULL);
	assert_gp(isa_fixture_emodpr(f, FIXTURE_RW, SECINFO_R));	/* 9 */
	isa_fixture_assert_epcm(f, FIXTURE_RW, REG | RW, false);
	/* The type is looked at first. */
	assert_epf(isa_fixture_emodpr(f, FIXTURE_TCS, 0), isa_fixture_la(f, FIXTURE_TCS));
	isa_fixture_destroy(f);
	(void)state;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, before_each, isa_fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(takes_permissions_away),
		CASE(keeps_contents_address_and_owner),
		CASE(looks_at_permissions_only),
		CASE(restricts_a_blocked_page),
		CASE(faults_on_unaligned_operands),
		CASE(faults_when_the_page_is_no_epc),
		CASE(faults_on_illegal_secinfo),
		CASE(faults_on_an_unused_page),
		CASE(reports_an_open_change),
		CASE(faults_unless_the_page_is_regular),
		CASE(faults_before_einit),
	};

	return cmocka_run_group_tests_name("EMODPR", tests, NULL, NULL);
}
