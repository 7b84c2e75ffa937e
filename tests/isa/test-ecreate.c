/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLS[ECREATE]: each check in turn, and what a SECS starts with. */
#include "fixture.h"

static struct isa_outcome create_with(struct isa_fixture *f, void (*change)(struct sgx_secs *))
{
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	change(&secs);
	return isa_fixture_ecreate(f, FIXTURE_SECS, &secs);
}

/* Issue ECREATE again with whatever the fixture's operands hold now. */
static struct isa_outcome again(struct isa_fixture *f)
{
	return isa_encls(&f->os, ISA_ENCLS_ECREATE);
}

/* Operands of a legal ECREATE, not executed successfully: frame 0 is taken away after. */
static void prepare(struct isa_fixture *f)
{
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	assert_done(isa_fixture_ecreate(f, FIXTURE_SECS, &secs));
	assert_done(isa_fixture_eremove(f, FIXTURE_SECS));
}

static void makes_a_secs(void **state)
{
	struct isa_fixture *f = *state;
	const struct sgx_secs *made = isa_fixture_contents(f, FIXTURE_SECS);
	struct isa_epcm_info info;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	secs.isvprodid = 3;
	secs.isvsvn = 4;
	memset(secs.mrsigner, 5, sizeof(secs.mrsigner));
	assert_done(isa_fixture_ecreate(f, FIXTURE_SECS, &secs));

	info = isa_epcm_peek(f->m, FIXTURE_SECS);
	assert_true(info.valid);
	assert_int_equal(info.pt, PT_SECS);
	assert_int_equal(info.rwx, 0);
	assert_int_equal(info.enclaveaddress, 0);
	assert_false(info.blocked || info.pending || info.modified || info.pr);
	assert_true(info.secs_frame == ISA_NO_FRAME);
	assert_int_equal(made->isvprodid, 0);
	assert_int_equal(made->isvsvn, 0);
	assert_int_equal(made->mrsigner[0], 0);
	assert_true(made->baseaddr == FIXTURE_BASE);
	assert_done(isa_fixture_eremove(f, FIXTURE_SECS));
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
	f->os.rcx += 8;
	assert_gp(again(f));						/* 2 */
	f->os.rcx -= 8;
	f->pageinfo.srcpge += 64;
	assert_gp(again(f));						/* 4 */
	f->pageinfo.srcpge -= 64;
	f->pageinfo.secinfo_or_pcmd += 32;
	assert_gp(again(f));						/* 4 */
}

static void faults_when_the_target_is_no_epc(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->os.rcx = (uintptr_t)f->page;
	assert_epf(again(f), (uintptr_t)f->page);			/* 3 */
	f->os.rcx = FIXTURE_HOLE;
	assert_ordinary_pf(again(f), FIXTURE_HOLE);
}

static void passes_on_page_faults_of_its_operands(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->pageinfo.srcpge = FIXTURE_HOLE;
	assert_ordinary_pf(again(f), FIXTURE_HOLE);
	assert_false(isa_epcm_peek(f->m, FIXTURE_SECS).valid);
	f->pageinfo.secinfo_or_pcmd = FIXTURE_HOLE;
	assert_ordinary_pf(again(f), FIXTURE_HOLE);
	f->os.rbx = FIXTURE_HOLE;
	assert_ordinary_pf(again(f), FIXTURE_HOLE);
}

static void faults_when_linaddr_or_secs_is_given(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->pageinfo.linaddr = 4096;
	assert_gp(again(f));						/* 5 */
	f->pageinfo.linaddr = 0;
	f->pageinfo.secs = 4096;
	assert_gp(again(f));						/* 5 */
}

static void faults_on_illegal_secinfo(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t bad[] = {
		SECINFO_PT(PT_REG), SECINFO_PT(PT_TCS), SECINFO_PENDING, SECINFO_MODIFIED,
		SECINFO_PR, 1ull << 6, 1ull << 16, 1ull << 63,
	};

	prepare(f);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		f->secinfo.flags = bad[i];
		assert_gp(again(f));					/* 6 */
	}
	f->secinfo.flags = 0;
	for (size_t i = 0; i < sizeof(f->secinfo.reserved_8); i++) {
		f->secinfo.reserved_8[i] = 1;
		assert_gp(again(f));					/* 6 */
		f->secinfo.reserved_8[i] = 0;
	}
	assert_done(again(f));
	assert_done(isa_fixture_eremove(f, FIXTURE_SECS));
}

static void faults_on_a_page_in_use(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	assert_done(isa_fixture_ecreate(f, FIXTURE_SECS, &secs));
	assert_epf(isa_fixture_ecreate(f, FIXTURE_SECS, &secs),
		   isa_fixture_la(f, FIXTURE_SECS));			/* 8 */
	assert_done(isa_fixture_eremove(f, FIXTURE_SECS));
}

static void no_x87(struct sgx_secs *s) { s->attributes.xfrm = 2; }
static void no_sse(struct sgx_secs *s) { s->attributes.xfrm = 1; }
static void unknown_xfrm(struct sgx_secs *s) { s->attributes.xfrm |= 1ull << 20; }
static void pkru(struct sgx_secs *s) { s->attributes.xfrm |= 1ull << 9; }
static void half_avx512(struct sgx_secs *s) { s->attributes.xfrm |= XFRM_AVX | 0x20; }
static void avx512_without_avx(struct sgx_secs *s) { s->attributes.xfrm |= XFRM_AVX512; }
static void cet_attributes(struct sgx_secs *s) { s->cet_attributes = 1; }
static void cet_bitmap(struct sgx_secs *s) { s->cet_leg_bitmap_offset = 4096; }
static void cpinfo(struct sgx_secs *s) { s->miscselect = MISC_CPINFO; }
static void unknown_misc(struct sgx_secs *s) { s->miscselect = 1u << 31; }
static void no_ssa(struct sgx_secs *s) { s->ssaframesize = 0; }
static void not_canonical(struct sgx_secs *s) { s->baseaddr = 1ull << 60; }
static void base_above_4g(struct sgx_secs *s) { s->attributes.flags = ATTR_DEBUG; }
static void too_large_64(struct sgx_secs *s) { s->baseaddr = 0; s->size = 1ull << 56; }
static void too_large_32(struct sgx_secs *s)
{
	s->attributes.flags = ATTR_DEBUG;
	s->baseaddr = 0;
	s->size = 1ull << 31;
}
static void one_page(struct sgx_secs *s) { s->size = 4096; }
static void size_zero(struct sgx_secs *s) { s->size = 0; }
static void size_not_power(struct sgx_secs *s) { s->size = 0x3000; }
static void base_not_aligned(struct sgx_secs *s) { s->baseaddr += 0x1000; }
static void attribute_init(struct sgx_secs *s) { s->attributes.flags |= ATTR_INIT; }
static void attribute_3(struct sgx_secs *s) { s->attributes.flags |= 1u << 3; }
static void attribute_cet(struct sgx_secs *s) { s->attributes.flags |= ATTR_CET; }
static void attribute_aexnotify(struct sgx_secs *s) { s->attributes.flags |= ATTR_AEXNOTIFY; }
static void attribute_63(struct sgx_secs *s) { s->attributes.flags |= 1ull << 63; }
static void configid_without_kss(struct sgx_secs *s) { s->configid[63] = 1; }
static void configsvn_without_kss(struct sgx_secs *s) { s->configsvn = 1; }

static void faults_on_every_illegal_secs(void **state)
{
	struct isa_fixture *f = *state;
	void (*const changes[])(struct sgx_secs *) = {
		no_x87, no_sse,						/* 9 */
		unknown_xfrm, half_avx512, avx512_without_avx,	/* 10 */
		cet_attributes, cet_bitmap,				/* 11 */
		cpinfo, unknown_misc,					/* 12 */
		no_ssa,							/* 13 */
		not_canonical, base_above_4g,				/* 14 */
		too_large_64, too_large_32,				/* 15 */
		one_page, size_zero, size_not_power,			/* 16 */
		base_not_aligned,					/* 17 */
		attribute_init, attribute_3, attribute_cet,
		attribute_63,						/* 18 */
		configid_without_kss, configsvn_without_kss,		/* 20 */
	};

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		assert_gp(create_with(f, changes[i]));
		assert_false(isa_epcm_peek(f->m, FIXTURE_SECS).valid);
	}
}

static void faults_on_any_reserved_byte(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secs secs;

	for (size_t i = 0; i < sizeof(secs); i++) {
		const bool reserved = (i >= 33 && i < 48) || (i >= 96 && i < 128) ||
				      (i >= 160 && i < 192) || i >= 262;

		if (!reserved)
			continue;
		isa_fixture_default_secs(&secs);
		((uint8_t *)&secs)[i] = 0x80;
		assert_gp(isa_fixture_ecreate(f, FIXTURE_SECS, &secs));	/* 19 */
	}
}

static void ignores_what_einit_will_fill(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	memset(secs.mrenclave, 1, sizeof(secs.mrenclave));
	memset(secs.mrsigner, 2, sizeof(secs.mrsigner));
	secs.isvprodid = secs.isvsvn = 3;
	assert_done(isa_fixture_ecreate(f, FIXTURE_SECS, &secs));
	assert_done(isa_fixture_eremove(f, FIXTURE_SECS));
}

static void with_kss(struct sgx_secs *s)
{
	s->attributes.flags |= ATTR_KSS;
	s->configid[0] = 1;
	s->configsvn = 9;
}

static void with_avx512(struct sgx_secs *s) { s->attributes.xfrm = 0xe7; }
static void with_exinfo(struct sgx_secs *s) { s->miscselect = MISC_EXINFO; }
static void smallest(struct sgx_secs *s) { s->size = 8192; }
static void largest(struct sgx_secs *s) { s->baseaddr = 0; s->size = 1ull << 55; }
static void in_kernel_half(struct sgx_secs *s) { s->baseaddr = 0xffff800000000000; }
static void mode32(struct sgx_secs *s)
{
	s->attributes.flags = 0;
	s->baseaddr = 0x80000000;
	s->size = 1ull << 30;
}
static void special_keys(struct sgx_secs *s)
{
	s->attributes.flags |= ATTR_PROVISIONKEY | ATTR_EINITTOKEN_KEY;
}

static void accepts_everything_the_profile_allows(void **state)
{
	struct isa_fixture *f = *state;
	void (*const changes[])(struct sgx_secs *) = {
		with_kss, with_avx512, with_exinfo, smallest, largest, in_kernel_half, mode32,
		special_keys,
	};

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		assert_done(create_with(f, changes[i]));
		assert_done(isa_fixture_eremove(f, FIXTURE_SECS));
	}
}

static void counts_the_xsave_area_and_misc_in_the_ssa_frame(void **state)
{
	struct isa_outcome out;
	struct sgx_secs secs;

	/* Component 2 ends where the frame without and with EXINFO is exactly full. */
	for (int exinfo = 0; exinfo <= 1; exinfo++) {
		for (uint32_t spare = 0; spare <= 1; spare++) {
			const uint32_t end = 4096 - 184 - 16 * (uint32_t)exinfo + 1 - spare;
			struct isa_fixture *g = isa_fixture_create_xsave(end);

			isa_fixture_default_secs(&secs);
			secs.attributes.xfrm |= XFRM_AVX;
			secs.miscselect = exinfo ? MISC_EXINFO : 0;
			out = isa_fixture_ecreate(g, FIXTURE_SECS, &secs);
			if (spare)
				assert_done(out);
			else
				assert_gp(out);				/* 13 */
			isa_fixture_destroy(g);
		}
	}
	(void)state;
}

static void bndregs_only(struct sgx_secs *s) { s->attributes.xfrm |= 0x8; }
static void bndcsr_only(struct sgx_secs *s) { s->attributes.xfrm |= 0x10; }
static void mpx(struct sgx_secs *s) { s->attributes.xfrm |= 0x18; }

static void takes_mpx_as_a_whole_where_it_is_known(void **state)
{
	struct isa_fixture *g = isa_fixture_create("sgx1-client");

	assert_gp(create_with(g, bndregs_only));			/* 10 */
	assert_gp(create_with(g, bndcsr_only));
	assert_done(create_with(g, mpx));
	isa_fixture_destroy(g);
	assert_gp(create_with(*state, mpx));
}

static void tilecfg_only(struct sgx_secs *s)
{
	s->attributes.xfrm |= 1ull << 17;
	s->ssaframesize = 3;
}

static void tiledata_only(struct sgx_secs *s)
{
	s->attributes.xfrm |= 1ull << 18;
	s->ssaframesize = 3;
}

static void amx(struct sgx_secs *s)
{
	s->attributes.xfrm |= XFRM_AMX;
	s->ssaframesize = 3;
}

static void amx_in_two_pages(struct sgx_secs *s)
{
	amx(s);
	s->ssaframesize = 2;
}

static void takes_amx_as_a_whole_where_the_host_has_it(void **state)
{
	struct isa_fixture *g = isa_fixture_create_amx();

	assert_gp(create_with(g, tilecfg_only));			/* 10 */
	assert_gp(create_with(g, tiledata_only));
	assert_gp(create_with(g, amx_in_two_pages));			/* 13 */
	assert_done(create_with(g, amx));
	isa_fixture_destroy(g);
	assert_gp(create_with(*state, amx));				/* 10 */
}

static void knows_less_on_an_older_part(void **state)
{
	struct isa_fixture *g = isa_fixture_create("sgx1-client");

	assert_gp(create_with(g, with_kss));				/* 18 */
	assert_gp(create_with(g, attribute_aexnotify));			/* 18 */
	assert_gp(create_with(g, with_exinfo));				/* 12 */
	assert_gp(create_with(g, with_avx512));				/* 10 */
	assert_gp(create_with(g, pkru));
	assert_gp(create_with(g, largest));				/* 15 */
	assert_done(create_with(g, special_keys));
	isa_fixture_destroy(g);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_a_secs),
		cmocka_unit_test(faults_on_unaligned_operands),
		cmocka_unit_test(faults_when_the_target_is_no_epc),
		cmocka_unit_test(passes_on_page_faults_of_its_operands),
		cmocka_unit_test(faults_when_linaddr_or_secs_is_given),
		cmocka_unit_test(faults_on_illegal_secinfo),
		cmocka_unit_test(faults_on_a_page_in_use),
		cmocka_unit_test(faults_on_every_illegal_secs),
		cmocka_unit_test(faults_on_any_reserved_byte),
		cmocka_unit_test(ignores_what_einit_will_fill),
		cmocka_unit_test(accepts_everything_the_profile_allows),
		cmocka_unit_test(counts_the_xsave_area_and_misc_in_the_ssa_frame),
		cmocka_unit_test(takes_mpx_as_a_whole_where_it_is_known),
		cmocka_unit_test(takes_amx_as_a_whole_where_the_host_has_it),
		cmocka_unit_test(knows_less_on_an_older_part),
	};

	return cmocka_run_group_tests_name("ECREATE", tests, isa_fixture_setup,
					   isa_fixture_teardown);
}
