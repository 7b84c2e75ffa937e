/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLU[EMODPE]: every check in its order, and what it leaves behind. */
#include "fixture.h"

#include "internal.h"

#define PAGE 40
#define LA (FIXTURE_BASE + 0x8000)
#define RW_LA (FIXTURE_BASE + 0x2000)
#define NOWHERE (FIXTURE_BASE + 0xa000)
#define REG SECINFO_PT(PT_REG)

static int before_each(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_start(f, NULL, 0);
	assert_done(isa_fixture_eaug(f, PAGE, LA));
	assert_done(isa_fixture_eacceptcopy(f, LA, RW_LA, REG));
	*state = f;
	return 0;
}

static struct isa_outcome again(struct isa_fixture *f)
{
	return isa_enclu(&f->encl, ISA_ENCLU_EMODPE);
}

/* Operands EMODPE would take. */
static void prepare(struct isa_fixture *f)
{
	isa_fixture_secinfo(f, SECINFO_R);
	f->encl.rbx = FIXTURE_SECINFO_LA;
	f->encl.rcx = LA;
}

static void adds_permissions(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(isa_fixture_emodpe(f, LA, 0));
	isa_fixture_assert_epcm(f, PAGE, REG, false);
	assert_done(isa_fixture_emodpe(f, LA, SECINFO_X));
	isa_fixture_assert_epcm(f, PAGE, REG | SECINFO_X, false);
	assert_done(isa_fixture_emodpe(f, LA, SECINFO_R));
	isa_fixture_assert_epcm(f, PAGE, REG | SECINFO_R | SECINFO_X, false);
	/* What it already has stays. */
	assert_done(isa_fixture_emodpe(f, LA, SECINFO_W));
	isa_fixture_assert_epcm(f, PAGE, REG | SECINFO_RWX, false);
}

static void leaves_an_open_restriction_open(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(isa_fixture_emodpr(f, PAGE, 0));
	/* Type and state bits of the operand are not looked at. */
	assert_done(isa_fixture_emodpe(f, LA, SECINFO_R | SECINFO_PT(PT_TCS) | SECINFO_PENDING |
				       SECINFO_MODIFIED));
	isa_fixture_assert_epcm(f, PAGE, REG | SECINFO_R | SECINFO_PR, false);
}

static void faults_on_unaligned_operands(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->encl.rbx += 32;
	assert_gp(again(f));						/* 1 */
	prepare(f);
	f->encl.rcx += 64;
	assert_gp(again(f));						/* 2 */
}

static void faults_outside_elrange(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->encl.rbx = (uintptr_t)&f->secinfo;
	assert_gp(again(f));						/* 3 */
	prepare(f);
	f->encl.rcx = FIXTURE_BASE + FIXTURE_SIZE;
	assert_gp(again(f));						/* 3 */
	/* Before SECINFO is looked for. */
	f->encl.rbx = NOWHERE;
	assert_gp(again(f));						/* 3 */
}

static void faults_when_operands_are_no_epc(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->encl.rbx = NOWHERE;
	f->encl.rcx = NOWHERE + 0x1000;
	assert_epf(again(f), NOWHERE);					/* 4 */
	/* Before SECINFO's entry is looked at: it is a TCS. */
	f->encl.rbx = FIXTURE_BASE;
	assert_epf(again(f), NOWHERE + 0x1000);				/* 4 */
	assert_int_equal(again(f).error_code, PFEC_P | PFEC_U | PFEC_SGX);
}

static void page_tables_may_forbid_more(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->unmapped[PAGE] = true;
	assert_ordinary_pf(again(f), LA);				/* 4 */
	f->unmapped[FIXTURE_RW] = true;
	assert_ordinary_pf(again(f), FIXTURE_SECINFO_LA);		/* 4 */
	f->unmapped[PAGE] = f->unmapped[FIXTURE_RW] = false;
	assert_done(again(f));
}

static void faults_on_a_secinfo_it_may_not_read(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->encl.rbx = FIXTURE_BASE;
	assert_epf(again(f), FIXTURE_BASE);				/* 5: PT_TCS */
	f->encl.rbx = LA + 64;
	assert_epf(again(f), LA + 64);					/* 5: no R */
	prepare(f);
	isa_epcm_update(&f->m->epcm[FIXTURE_RW], 0, EPCM_BLOCKED);
	assert_epf(again(f), FIXTURE_SECINFO_LA);			/* 5 */
}

static void faults_on_reserved_bits(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secinfo *secinfo;

	for (unsigned int bit = 6; bit < 64; bit++)
		if (bit < 8 || bit >= 16)
			assert_gp(isa_fixture_emodpe(f, FIXTURE_BASE, 1ull << bit)); /* 6 */
	secinfo = isa_fixture_secinfo(f, SECINFO_R);
	secinfo->reserved_8[55] = 1;
	assert_gp(again(f));						/* 6 */
}

static void faults_on_pages_it_cannot_extend(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_epcm *e = &f->m->epcm[PAGE];
	const uint64_t word = isa_epcm_word(e);
	const uint64_t bad[] = {
		word & ~EPCM_VALID, word | EPCM_PENDING, word | EPCM_MODIFIED,
		word | EPCM_BLOCKED, (word & ~EPCM_PT_MASK) | EPCM_PT(PT_TRIM),
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		isa_epcm_set(e, FIXTURE_SECS, bad[i]);
		assert_epf(isa_fixture_emodpe(f, LA, SECINFO_R), LA);	/* 7 */
		assert_int_equal(isa_epcm_word(e), bad[i]);
	}
	isa_epcm_set(e, 50, word);
	assert_epf(isa_fixture_emodpe(f, LA, SECINFO_R), LA);		/* 7: another's */
	assert_epf(isa_fixture_emodpe(f, FIXTURE_BASE, SECINFO_R), FIXTURE_BASE); /* 7: PT_TCS */
}

static void faults_on_a_page_of_another_address(void **state)
{
	struct isa_fixture *f = *state;

	f->la[PAGE] = LA + 0x1000;
	assert_epf(isa_fixture_emodpe(f, LA + 0x1000, SECINFO_R), LA + 0x1000); /* 9 */
}

static void faults_on_write_without_read(void **state)
{
	struct isa_fixture *f = *state;

	assert_gp(isa_fixture_emodpe(f, LA, SECINFO_W));		/* 10 */
	assert_gp(isa_fixture_emodpe(f, LA, SECINFO_W | SECINFO_X));	/* 10 */
	isa_fixture_assert_epcm(f, PAGE, REG, false);
	assert_done(isa_fixture_emodpe(f, LA, SECINFO_R | SECINFO_W));
	isa_fixture_assert_epcm(f, PAGE, REG | SECINFO_R | SECINFO_W, false);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, before_each, isa_fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(adds_permissions),
		CASE(leaves_an_open_restriction_open),
		CASE(faults_on_unaligned_operands),
		CASE(faults_outside_elrange),
		CASE(faults_when_operands_are_no_epc),
		CASE(page_tables_may_forbid_more),
		CASE(faults_on_a_secinfo_it_may_not_read),
		CASE(faults_on_reserved_bits),
		CASE(faults_on_pages_it_cannot_extend),
		CASE(faults_on_a_page_of_another_address),
		CASE(faults_on_write_without_read),
	};

	return cmocka_run_group_tests_name("EMODPE", tests, NULL, NULL);
}
