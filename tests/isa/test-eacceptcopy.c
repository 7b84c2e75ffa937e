/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLU[EACCEPTCOPY]: every check in its order, and what it leaves behind. */
#include "fixture.h"

#include "internal.h"

#define PAGE 40
#define LA (FIXTURE_BASE + 0x8000)
#define RX_LA (FIXTURE_BASE + 0x3000)
#define NOWHERE (FIXTURE_BASE + 0xa000)
#define REG SECINFO_PT(PT_REG)
#define RW (SECINFO_R | SECINFO_W)
#define NEW (REG | RW | SECINFO_PENDING)

static int before_each(void **state)
{
	*state = isa_fixture_create(NULL);
	isa_fixture_start(*state, NULL, 0);
	assert_done(isa_fixture_eaug(*state, PAGE, LA));
	return 0;
}

static struct isa_outcome again(struct isa_fixture *f)
{
	return isa_enclu(&f->encl, ISA_ENCLU_EACCEPTCOPY);
}

static struct isa_outcome copy(struct isa_fixture *f, uint64_t flags)
{
	return isa_fixture_eacceptcopy(f, LA, RX_LA, flags);
}

/* Operands EACCEPTCOPY would take. */
static void prepare(struct isa_fixture *f)
{
	isa_fixture_secinfo(f, REG | SECINFO_R);
	f->encl.rbx = FIXTURE_SECINFO_LA;
	f->encl.rcx = LA;
	f->encl.rdx = RX_LA;
}

static void copies_and_accepts(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t rwx[] = { 0, SECINFO_R, SECINFO_X, SECINFO_R | SECINFO_X, RW, SECINFO_RWX };

	for (size_t i = 0; i < sizeof(rwx) / sizeof(rwx[0]); i++) {
		assert_done(isa_fixture_eremove(f, PAGE));
		assert_done(isa_fixture_eaug(f, PAGE, LA));
		assert_done(copy(f, REG | rwx[i]));
		isa_fixture_assert_epcm(f, PAGE, REG | rwx[i], false);
		assert_memory_equal(isa_fixture_contents(f, PAGE),
				    isa_fixture_contents(f, FIXTURE_RX), SGX_PAGE_SIZE);
	}
	isa_fixture_assert_epcm(f, FIXTURE_RX, REG | SECINFO_R | SECINFO_X, false);
}

static void looks_at_type_and_permissions_only(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(copy(f, REG | SECINFO_R | SECINFO_PENDING | SECINFO_MODIFIED | SECINFO_PR));
	isa_fixture_assert_epcm(f, PAGE, REG | SECINFO_R, false);
}

static void copies_the_page_its_secinfo_is_in(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(isa_fixture_eacceptcopy(f, LA, FIXTURE_BASE + 0x2000, REG | RW));
	assert_memory_equal(isa_fixture_contents(f, PAGE), isa_fixture_contents(f, FIXTURE_RW),
			    SGX_PAGE_SIZE);
}

static void faults_on_unaligned_operands(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->encl.rbx += 32;
	assert_gp(again(f));						/* 1 */
	prepare(f);
	f->encl.rcx += 64;
	assert_gp(again(f));						/* 1 */
	prepare(f);
	f->encl.rdx += 0x800;
	assert_gp(again(f));						/* 1 */
}

static void faults_outside_elrange(void **state)
{
	struct isa_fixture *f = *state;
	uint64_t *const operands[] = { &f->encl.rbx, &f->encl.rcx, &f->encl.rdx };

	for (int i = 0; i < 3; i++) {
		/* Before the others are resolved. */
		prepare(f);
		f->encl.rbx = f->encl.rcx = f->encl.rdx = NOWHERE;
		*operands[i] = FIXTURE_BASE + FIXTURE_SIZE;
		assert_gp(again(f));					/* 2 */
		*operands[i] = (uintptr_t)f->page;
		assert_gp(again(f));					/* 2 */
	}
}

static void faults_when_operands_are_no_epc(void **state)
{
	struct isa_fixture *f = *state;

	f->encl.rbx = NOWHERE;
	f->encl.rcx = NOWHERE + 0x1000;
	f->encl.rdx = NOWHERE + 0x2000;
	assert_epf(again(f), NOWHERE);					/* 3 */
	assert_int_equal(again(f).error_code, PFEC_P | PFEC_U | PFEC_SGX);
	f->encl.rbx = FIXTURE_BASE;
	assert_epf(again(f), NOWHERE + 0x1000);				/* 3 */
	assert_int_equal(again(f).error_code, PFEC_P | PFEC_U | PFEC_SGX | PFEC_W);
	f->encl.rcx = LA;
	assert_epf(again(f), NOWHERE + 0x2000);				/* 3 */
	assert_int_equal(again(f).error_code, PFEC_P | PFEC_U | PFEC_SGX);
}

static void faults_on_a_secinfo_it_may_not_read(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->encl.rbx = FIXTURE_BASE;
	assert_epf(again(f), FIXTURE_BASE);				/* 4: PT_TCS */
	f->encl.rbx = LA;
	assert_epf(again(f), LA);					/* 4: PENDING */
}

static void faults_on_illegal_secinfo(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secinfo *secinfo;

	for (unsigned int pt = 0; pt < 256; pt++)
		if (pt != PT_REG)
			assert_gp(copy(f, SECINFO_PT(pt) | RW));	/* 5 */
	for (unsigned int bit = 6; bit < 64; bit++)
		if (bit < 8 || bit >= 16)
			assert_gp(copy(f, REG | RW | 1ull << bit));	/* 5 */
	assert_gp(copy(f, REG | SECINFO_W));				/* 5 */
	assert_gp(copy(f, REG | SECINFO_W | SECINFO_X));		/* 5 */
	secinfo = isa_fixture_secinfo(f, REG | RW);
	secinfo->reserved_8[0] = 1;
	assert_gp(again(f));						/* 5 */
	/* Before a look at the source. */
	f->encl.rdx = FIXTURE_BASE;
	assert_gp(again(f));
}

static void faults_on_a_source_it_may_not_read(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->encl.rdx = FIXTURE_BASE;
	assert_epf(again(f), FIXTURE_BASE);				/* 6: PT_TCS */
	f->encl.rdx = LA;
	assert_epf(again(f), LA);					/* 6: itself, PENDING */
	prepare(f);
	isa_epcm_update(&f->m->epcm[FIXTURE_RX], EPCM_RWX(SECINFO_R), 0);
	assert_epf(again(f), RX_LA);					/* 6: no R */
	isa_epcm_update(&f->m->epcm[FIXTURE_RX], 0, EPCM_RWX(SECINFO_R) | EPCM_BLOCKED);
	assert_epf(again(f), RX_LA);					/* 6: BLOCKED */
	/* Before a look at the destination. */
	f->encl.rcx = FIXTURE_BASE;
	assert_epf(again(f), RX_LA);
	isa_fixture_assert_epcm(f, PAGE, NEW, false);
}

static void reports_a_destination_that_is_not_new(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_epcm *e = &f->m->epcm[PAGE];
	const uint64_t word = isa_epcm_word(e);
	const uint64_t bad[] = {
		/* 7 */
		word & ~EPCM_VALID, word & ~EPCM_PENDING, word | EPCM_MODIFIED,
		word | EPCM_BLOCKED, (word & ~EPCM_PT_MASK) | EPCM_PT(PT_SS_REST),
		/* 9 */
		word & ~EPCM_RWX(SECINFO_R), word & ~EPCM_RWX(SECINFO_W),
		word | EPCM_RWX(SECINFO_X), word + SGX_PAGE_SIZE,
	};

	memset(isa_fixture_contents(f, PAGE), 0x33, SGX_PAGE_SIZE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		isa_epcm_set(e, FIXTURE_SECS, bad[i]);
		assert_error(copy(f, REG | RW), SGX_PAGE_ATTRIBUTES_MISMATCH);
		assert_int_equal(isa_epcm_word(e), bad[i]);
	}
	isa_epcm_set(e, 50, word);
	assert_error(copy(f, REG | RW), SGX_PAGE_ATTRIBUTES_MISMATCH);	/* 7: another's */
	assert_int_equal(*(uint8_t *)isa_fixture_contents(f, PAGE), 0x33);
	assert_error(isa_fixture_eacceptcopy(f, FIXTURE_BASE, RX_LA, REG | RW),
		     SGX_PAGE_ATTRIBUTES_MISMATCH);			/* 7: PT_TCS */
}

static void page_tables_may_forbid_more(void **state)
{
	struct isa_fixture *f = *state;

	f->readonly[PAGE] = true;
	assert_ordinary_pf(copy(f, REG | RW), LA);			/* 3 */
	f->readonly[PAGE] = false;
	f->readonly[FIXTURE_RX] = true;
	assert_done(copy(f, REG | RW));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, before_each, isa_fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(copies_and_accepts),
		CASE(looks_at_type_and_permissions_only),
		CASE(copies_the_page_its_secinfo_is_in),
		CASE(faults_on_unaligned_operands),
		CASE(faults_outside_elrange),
		CASE(faults_when_operands_are_no_epc),
		CASE(faults_on_a_secinfo_it_may_not_read),
		CASE(faults_on_illegal_secinfo),
		CASE(faults_on_a_source_it_may_not_read),
		CASE(reports_a_destination_that_is_not_new),
		CASE(page_tables_may_forbid_more),
	};

	return cmocka_run_group_tests_name("EACCEPTCOPY", tests, NULL, NULL);
}
