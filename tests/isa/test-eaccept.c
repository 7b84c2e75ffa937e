/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ENCLU[EACCEPT]: every check in its order; every request against every state
 * of the page.  Tracking with processors inside is in test-edmm.c.
 */
#include "fixture.h"

#include "internal.h"

#define PAGE 40
#define LA (FIXTURE_BASE + 0x8000)
#define RW_LA (FIXTURE_BASE + 0x2000)
#define RX_LA (FIXTURE_BASE + 0x3000)
#define REG SECINFO_PT(PT_REG)
#define TCS SECINFO_PT(PT_TCS)
#define TRIM SECINFO_PT(PT_TRIM)
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
	return isa_enclu(&f->encl, ISA_ENCLU_EACCEPT);
}

/* Operands EACCEPT would take. */
static void prepare(struct isa_fixture *f)
{
	isa_fixture_secinfo(f, NEW);
	f->encl.rbx = FIXTURE_SECINFO_LA;
	f->encl.rcx = LA;
}

/* The page as the EPCM may have it, whatever leaf that would take. */
static void set_state(struct isa_fixture *f, uint64_t flags, uint64_t epcm)
{
	isa_epcm_set(&f->m->epcm[PAGE], FIXTURE_SECS,
		     LA | EPCM_VALID | EPCM_RWX(flags) | epcm |
			     EPCM_PT((flags & SECINFO_PT_MASK) >> SECINFO_PT_SHIFT) |
			     (flags & SECINFO_PENDING ? EPCM_PENDING : 0) |
			     (flags & SECINFO_MODIFIED ? EPCM_MODIFIED : 0) |
			     (flags & SECINFO_PR ? EPCM_PR : 0));
}

static const uint64_t legal[] = {
	REG | SECINFO_PENDING, REG | SECINFO_PENDING | SECINFO_PR, REG | SECINFO_PR,
	TCS | SECINFO_MODIFIED, TRIM | SECINFO_MODIFIED,
};

#define NR_LEGAL (sizeof(legal) / sizeof(legal[0]))

static bool is_legal(uint64_t flags)
{
	for (size_t i = 0; i < NR_LEGAL; i++)
		if (legal[i] == flags)
			return true;
	return false;
}

static void accepts_what_was_announced(void **state)
{
	struct isa_fixture *f = *state;

	for (size_t i = 0; i < NR_LEGAL; i++)
		for (unsigned int rwx = 0; rwx < 8; rwx++) {
			isa_fixture_source(FIXTURE_TCS, isa_fixture_contents(f, PAGE));
			set_state(f, legal[i] | rwx, 0);
			assert_done(isa_fixture_eaccept(f, LA, legal[i] | rwx));
			isa_fixture_assert_epcm(f, PAGE, (legal[i] & SECINFO_PT_MASK) | rwx,
						false);
		}
}

static void keeps_the_contents(void **state)
{
	struct isa_fixture *f = *state;
	uint8_t *page = isa_fixture_contents(f, PAGE);

	page[17] = 0x11;
	assert_done(isa_fixture_eaccept(f, LA, NEW));
	assert_int_equal(page[17], 0x11);
	page[17] = 0;
	assert_true(isa_is_zero(page, SGX_PAGE_SIZE));
}

/* PR is not compared: nothing is open, nothing changes. */
static void accepts_a_restriction_there_was_none_of(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(isa_fixture_eaccept(f, RW_LA, REG | RW | SECINFO_PR));
	isa_fixture_assert_epcm(f, FIXTURE_RW, REG | RW, false);
}

static void faults_on_its_secinfo(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->encl.rbx += 32;
	assert_gp(again(f));						/* 1 */
	f->encl.rbx = FIXTURE_BASE + FIXTURE_SIZE;
	assert_gp(again(f));						/* 1 */
	f->encl.rbx = (uintptr_t)&f->secinfo;
	assert_gp(again(f));						/* 1: not in the enclave */
	f->encl.rbx = FIXTURE_BASE + 0xa000;
	assert_epf(again(f), FIXTURE_BASE + 0xa000);			/* 1: no EPC */
	f->encl.rbx = FIXTURE_BASE + 64;
	assert_epf(again(f), FIXTURE_BASE + 64);			/* 1: PT_TCS */
	f->encl.rbx = LA + 128;
	assert_epf(again(f), LA + 128);					/* 1: PENDING */
	assert_int_equal(again(f).error_code, PFEC_P | PFEC_U | PFEC_SGX);
}

static void finds_its_secinfo_at_any_offset(void **state)
{
	struct isa_fixture *f = *state;
	uint8_t *page = isa_fixture_contents(f, FIXTURE_RW);

	for (uint64_t offset = 0; offset < SGX_PAGE_SIZE; offset += 64) {
		memset(page, 0xee, SGX_PAGE_SIZE);
		memcpy(page + offset, &(struct sgx_secinfo){ .flags = NEW }, 64);
		set_state(f, NEW, 0);
		f->encl.rbx = RW_LA + offset;
		f->encl.rcx = LA;
		assert_done(again(f));
	}
}

static void faults_on_reserved_bits(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secinfo *secinfo;

	for (unsigned int bit = 6; bit < 64; bit++)
		if (bit < 8 || bit >= 16)
			assert_gp(isa_fixture_eaccept(f, LA, NEW ^ 1ull << bit)); /* 2 */
	secinfo = isa_fixture_secinfo(f, NEW);
	for (size_t i = 0; i < sizeof(secinfo->reserved_8); i++) {
		secinfo->reserved_8[i] = 0x40;
		assert_gp(again(f));					/* 2 */
		secinfo->reserved_8[i] = 0;
	}
	/* Before a look at the page. */
	secinfo->reserved_8[0] = 1;
	f->encl.rcx = FIXTURE_BASE + 0xa000;
	assert_gp(again(f));
}

static void faults_on_the_page_address(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->encl.rcx = LA + 0x800;
	assert_gp(again(f));						/* 3 */
	f->encl.rcx = FIXTURE_BASE - 0x1000;
	assert_gp(again(f));						/* 3 */
	f->encl.rcx = FIXTURE_BASE + FIXTURE_SIZE;
	assert_gp(again(f));						/* 3 */
	f->encl.rcx = FIXTURE_BASE + 0xa000;
	assert_epf(again(f), FIXTURE_BASE + 0xa000);			/* 4 */
	assert_int_equal(again(f).error_code, PFEC_P | PFEC_U | PFEC_SGX);
}

static void passes_on_page_faults(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	struct sgx_secs secs;

	/* An enclave whose range has the hole in it. */
	isa_fixture_start(f, NULL, 0);
	memcpy(&secs, isa_fixture_contents(f, FIXTURE_SECS), sizeof(secs));
	secs.baseaddr = 0;
	secs.size = 1ull << 55;
	memcpy(isa_fixture_contents(f, FIXTURE_SECS), &secs, offsetof(struct sgx_secs, reserved_262));
	prepare(f);
	f->encl.rcx = FIXTURE_HOLE;
	assert_ordinary_pf(again(f), FIXTURE_HOLE);			/* 4 */
	f->encl.rbx = FIXTURE_HOLE;
	assert_ordinary_pf(again(f), FIXTURE_HOLE);			/* 1 */
	isa_fixture_destroy(f);
	(void)state;
}

/* Page tables need not let the enclave write to what it accepts. */
static void needs_read_access_only(void **state)
{
	struct isa_fixture *f = *state;

	f->readonly[PAGE] = true;
	assert_done(isa_fixture_eaccept(f, LA, NEW));
	assert_done(isa_fixture_emodpe(f, LA, SECINFO_X));
}

static void faults_on_requests_that_are_none(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t bits[] = { SECINFO_PENDING, SECINFO_MODIFIED, SECINFO_PR };

	for (unsigned int pt = 0; pt < 256; pt++)
		for (unsigned int i = 0; i < 8; i++) {
			uint64_t flags = SECINFO_PT(pt);

			for (unsigned int j = 0; j < 3; j++)
				flags |= i >> j & 1 ? bits[j] : 0;
			if (is_legal(flags))
				continue;
			/* Also when the page is just that. */
			if (pt < 16)
				set_state(f, flags, 0);
			assert_gp(isa_fixture_eaccept(f, LA, flags));	/* 5 */
		}
}

static void faults_on_pages_it_cannot_accept(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_epcm *e = &f->m->epcm[PAGE];
	const uint64_t word = isa_epcm_word(e);

	isa_epcm_set(e, FIXTURE_SECS, word & ~EPCM_VALID);
	assert_epf(isa_fixture_eaccept(f, LA, NEW), LA);		/* 6 */
	isa_epcm_set(e, FIXTURE_SECS, word | EPCM_BLOCKED);
	assert_epf(isa_fixture_eaccept(f, LA, NEW), LA);		/* 6 */
	isa_epcm_set(e, EPCM_NO_SECS, EPCM_VALID | EPCM_PT(PT_VA));
	assert_epf(isa_fixture_eaccept(f, LA, NEW), LA);		/* 6 */
	isa_epcm_set(e, EPCM_NO_SECS, EPCM_VALID | EPCM_PT(PT_SECS));
	assert_epf(isa_fixture_eaccept(f, LA, NEW), LA);		/* 6 */
	isa_epcm_set(e, 50, word);
	assert_epf(isa_fixture_eaccept(f, LA, NEW), LA);		/* 6: another's */
	/* Shadow stacks are child pages, if not what the request says. */
	isa_epcm_set(e, FIXTURE_SECS, LA | EPCM_VALID | EPCM_PENDING | EPCM_PT(PT_SS_REST));
	assert_error(isa_fixture_eaccept(f, LA, NEW), SGX_PAGE_ATTRIBUTES_MISMATCH);
}

static void reports_a_mismatch(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t other[] = { SECINFO_R, SECINFO_W, SECINFO_X, SECINFO_PENDING,
				   SECINFO_MODIFIED };

	/* Every legal request against a page that waits for another one. */
	isa_fixture_source(FIXTURE_TCS, isa_fixture_contents(f, PAGE));
	for (size_t i = 0; i < NR_LEGAL; i++)
		for (size_t j = 0; j < NR_LEGAL; j++) {
			set_state(f, legal[j] | RW, 0);
			if ((legal[i] ^ legal[j]) & ~SECINFO_PR)
				assert_error(isa_fixture_eaccept(f, LA, legal[i] | RW),
					     SGX_PAGE_ATTRIBUTES_MISMATCH);	/* 9 */
			else
				assert_done(isa_fixture_eaccept(f, LA, legal[i] | RW));
		}
	/* One difference suffices. */
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		set_state(f, NEW ^ other[i], 0);
		assert_error(isa_fixture_eaccept(f, LA, NEW), SGX_PAGE_ATTRIBUTES_MISMATCH);
		isa_fixture_assert_epcm(f, PAGE, NEW ^ other[i], false);
	}
}

static void reports_a_page_of_another_address(void **state)
{
	struct isa_fixture *f = *state;

	f->la[PAGE] = LA + 0x1000;
	assert_error(isa_fixture_eaccept(f, LA + 0x1000, NEW), SGX_PAGE_ATTRIBUTES_MISMATCH); /* 9 */
	f->la[PAGE] = LA;
	assert_done(isa_fixture_eaccept(f, LA, NEW));
}

static void waits_for_tracking(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(isa_fixture_emodpr(f, FIXTURE_RX, SECINFO_R));
	/* The mismatch is seen first. */
	assert_error(isa_fixture_eaccept(f, RX_LA, REG | SECINFO_X | SECINFO_PR),
		     SGX_PAGE_ATTRIBUTES_MISMATCH);			/* 9 */
	assert_error(isa_fixture_eaccept(f, RX_LA, REG | SECINFO_R | SECINFO_PR),
		     SGX_NOT_TRACKED);					/* 10 */
	isa_fixture_assert_epcm(f, FIXTURE_RX, REG | SECINFO_R | SECINFO_PR, false);
	assert_done(isa_fixture_emodt(f, FIXTURE_SSA, TCS));
	/* And tracking before the contents, which are no TCS. */
	assert_error(isa_fixture_eaccept(f, FIXTURE_BASE + 0x1000, TCS | SECINFO_MODIFIED),
		     SGX_NOT_TRACKED);					/* 10 */
	assert_true(isa_secs_track(f->m, FIXTURE_SECS));
	assert_gp(isa_fixture_eaccept(f, FIXTURE_BASE + 0x1000, TCS | SECINFO_MODIFIED)); /* 11 */
	assert_done(isa_fixture_eaccept(f, RX_LA, REG | SECINFO_R | SECINFO_PR));
}

static struct isa_outcome accept_tcs(struct isa_fixture *f, const struct sgx_tcs *tcs)
{
	set_state(f, TCS | SECINFO_MODIFIED, 0);
	memcpy(isa_fixture_contents(f, PAGE), tcs, sizeof(*tcs));
	return isa_fixture_eaccept(f, LA, TCS | SECINFO_MODIFIED);
}

static void faults_on_a_tcs_that_is_none(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_tcs good, tcs;

	isa_fixture_source(FIXTURE_TCS, (uint8_t *)&good);
	assert_done(accept_tcs(f, &good));
	for (size_t i = offsetof(struct sgx_tcs, ocetssa); i < sizeof(tcs); i += 7) {
		tcs = good;
		((uint8_t *)&tcs)[i] = 1;
		assert_gp(accept_tcs(f, &tcs));				/* 11 */
	}
	for (unsigned int bit = 0; bit < 64; bit++) {
		tcs = good;
		tcs.flags = 1ull << bit;
		if (bit == 1 && isa_has_attribute(f->m, ATTR_AEXNOTIFY))
			assert_done(accept_tcs(f, &tcs));
		else
			assert_gp(accept_tcs(f, &tcs));			/* 11 */
	}
	tcs = good;
	tcs.cssa = tcs.nssa;
	assert_gp(accept_tcs(f, &tcs));					/* 11 */
	tcs = good;
	tcs.aep = 0x1000;
	assert_gp(accept_tcs(f, &tcs));					/* 11 */
	tcs = good;
	tcs.state = 1;
	assert_gp(accept_tcs(f, &tcs));					/* 11 */
	isa_fixture_assert_epcm(f, PAGE, TCS | SECINFO_MODIFIED, false);
}

static void accepts_a_tcs_with_frames_in_use(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_tcs tcs;

	isa_fixture_source(FIXTURE_TCS, (uint8_t *)&tcs);
	tcs.nssa = 3;
	tcs.cssa = 2;
	assert_done(accept_tcs(f, &tcs));
	/* In a 64-bit enclave the limits say nothing. */
	tcs.fslimit = 1;
	assert_done(accept_tcs(f, &tcs));
}

static void accepts_a_tcs_that_is_empty(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_tcs tcs = { 0 };

	assert_done(accept_tcs(f, &tcs));
	/* But none of frames it does not have. */
	tcs.cssa = 1;
	assert_gp(accept_tcs(f, &tcs));
}

static void wants_page_granular_limits_in_a_32_bit_tcs(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secs *secs = isa_fixture_contents(f, FIXTURE_SECS);
	struct sgx_tcs tcs;

	secs->attributes.flags &= ~ATTR_MODE64BIT;
	isa_fixture_source(FIXTURE_TCS, (uint8_t *)&tcs);
	assert_done(accept_tcs(f, &tcs));
	tcs.fslimit = 0x1ffe;
	assert_gp(accept_tcs(f, &tcs));					/* 11 */
	tcs.fslimit = 0xfff;
	tcs.gslimit = 0;
	assert_gp(accept_tcs(f, &tcs));					/* 11 */
}

static void is_no_leaf_of_an_sgx1_part(void **state)
{
	struct isa_fixture *f = isa_fixture_create("sgx1-client");

	assert_gp(isa_enclu(&f->encl, ISA_ENCLU_EACCEPT));
	assert_gp(isa_enclu(&f->encl, ISA_ENCLU_EMODPE));
	assert_gp(isa_enclu(&f->encl, ISA_ENCLU_EACCEPTCOPY));
	isa_fixture_destroy(f);
	(void)state;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, before_each, isa_fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(accepts_what_was_announced),
		CASE(keeps_the_contents),
		CASE(accepts_a_restriction_there_was_none_of),
		CASE(faults_on_its_secinfo),
		CASE(finds_its_secinfo_at_any_offset),
		CASE(faults_on_reserved_bits),
		CASE(faults_on_the_page_address),
		CASE(passes_on_page_faults),
		CASE(needs_read_access_only),
		CASE(faults_on_requests_that_are_none),
		CASE(faults_on_pages_it_cannot_accept),
		CASE(reports_a_mismatch),
		CASE(reports_a_page_of_another_address),
		CASE(waits_for_tracking),
		CASE(faults_on_a_tcs_that_is_none),
		CASE(accepts_a_tcs_with_frames_in_use),
		CASE(accepts_a_tcs_that_is_empty),
		CASE(wants_page_granular_limits_in_a_32_bit_tcs),
		CASE(is_no_leaf_of_an_sgx1_part),
	};

	return cmocka_run_group_tests_name("EACCEPT", tests, NULL, NULL);
}
