/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLS[EREMOVE]: every outcome, and the block shared with entry. */
#include <errno.h>

#include "fixture.h"

#include "internal.h"

static int setup(void **state)
{
	*state = isa_fixture_create(NULL);
	isa_fixture_build(*state, NULL);
	return 0;
}

static void faults_on_an_unaligned_page(void **state)
{
	struct isa_fixture *f = *state;

	f->os.rcx = isa_fixture_la(f, FIXTURE_RW) + 256;
	assert_gp(isa_encls(&f->os, ISA_ENCLS_EREMOVE));		/* 1 */
}

static void faults_when_the_page_is_no_epc(void **state)
{
	struct isa_fixture *f = *state;

	f->os.rcx = (uintptr_t)f->page;
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EREMOVE), (uintptr_t)f->page); /* 2 */
	f->os.rcx = FIXTURE_HOLE;
	assert_ordinary_pf(isa_encls(&f->os, ISA_ENCLS_EREMOVE), FIXTURE_HOLE);
}

static void does_nothing_to_an_unused_page(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(isa_fixture_eremove(f, FIXTURE_FREE));		/* 4 */
	assert_done(isa_fixture_eremove(f, FIXTURE_NR_FRAMES - 1));
}

static void reports_children_of_a_secs(void **state)
{
	struct isa_fixture *f = *state;

	for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++) {
		assert_error(isa_fixture_eremove(f, FIXTURE_SECS), SGX_CHILD_PRESENT); /* 6 */
		assert_true(isa_epcm_peek(f->m, FIXTURE_SECS).valid);
		assert_done(isa_fixture_eremove(f, i));			/* 10 */
		assert_false(isa_epcm_peek(f->m, i).valid);
		assert_done(isa_fixture_eremove(f, i));			/* 4: counts once */
	}
	assert_done(isa_fixture_eremove(f, FIXTURE_SECS));		/* 8 */
	assert_false(isa_epcm_peek(f->m, FIXTURE_SECS).valid);
	isa_fixture_build(f, NULL);
}

static void reports_processors_inside(void **state)
{
	struct isa_fixture *f = *state;

	assert_int_equal(isa_secs_share(f->m, FIXTURE_SECS, &f->blk), 0);
	atomic_store(&f->blk.nr_inside[0], 1);
	assert_error(isa_fixture_eremove(f, FIXTURE_RW), SGX_ENCLAVE_ACT); /* 9 */
	assert_error(isa_fixture_eremove(f, FIXTURE_TCS), SGX_ENCLAVE_ACT);
	assert_true(isa_epcm_peek(f->m, FIXTURE_RW).valid);
	/* The SECS itself says it has children first. */
	assert_error(isa_fixture_eremove(f, FIXTURE_SECS), SGX_CHILD_PRESENT);
	atomic_store(&f->blk.nr_inside[0], 0);
	assert_done(isa_fixture_eremove(f, FIXTURE_RW));		/* 10 */
}

/* A page the enclave agreed to lose goes whoever is inside; see also test-edmm.c. */
static void takes_a_trimmed_page_from_an_active_enclave(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	struct isa_epcm *e = &f->m->epcm[FIXTURE_RW];

	isa_fixture_start(f, NULL, 0);
	assert_done(isa_fixture_emodt(f, FIXTURE_RW, SECINFO_PT(PT_TRIM)));
	assert_int_equal(isa_secs_share(f->m, FIXTURE_SECS, &f->blk), 0);
	atomic_store(&f->blk.nr_inside[0], 1);
	assert_error(isa_fixture_eremove(f, FIXTURE_RW), SGX_ENCLAVE_ACT); /* 9: MODIFIED */
	isa_epcm_update(e, EPCM_MODIFIED, 0);
	assert_done(isa_fixture_eremove(f, FIXTURE_RW));		/* 5 */
	assert_false(isa_epcm_peek(f->m, FIXTURE_RW).valid);
	isa_fixture_destroy(f);
	(void)state;
}

/* With all versions in it: what went out through its slots stays out. */
static void takes_a_va_page(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_start(f, NULL, 0);
	f->os.rbx = PT_VA;
	f->os.rcx = isa_fixture_la(f, 40);
	assert_done(isa_encls(&f->os, ISA_ENCLS_EPA));
	assert_int_equal(isa_secs_share(f->m, FIXTURE_SECS, &f->blk), 0);
	atomic_store(&f->blk.nr_inside[0], 1);
	assert_done(isa_fixture_eremove(f, 40));			/* 5 */
	assert_false(isa_epcm_peek(f->m, 40).valid);
	isa_fixture_destroy(f);
	(void)state;
}

/* No leaf of a part without CET makes one, but a page may come back as one. */
static void takes_a_shadow_stack_from_an_inactive_enclave(void **state)
{
	static const enum sgx_page_type kinds[] = { PT_SS_FIRST, PT_SS_REST };
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_start(f, NULL, 0);
	assert_int_equal(isa_secs_share(f->m, FIXTURE_SECS, &f->blk), 0);
	for (unsigned int i = 0; i < 2; i++) {
		isa_secs_add_child(isa_fixture_contents(f, FIXTURE_SECS));
		isa_epcm_set(&f->m->epcm[40], FIXTURE_SECS,
			     (FIXTURE_BASE + 0x8000) | EPCM_VALID | EPCM_PT(kinds[i]));
		atomic_store(&f->blk.nr_inside[1], 1);
		assert_error(isa_fixture_eremove(f, 40), SGX_ENCLAVE_ACT); /* 9 */
		atomic_store(&f->blk.nr_inside[1], 0);
		assert_done(isa_fixture_eremove(f, 40));		/* 10 */
	}
	isa_fixture_destroy(f);
	(void)state;
}

static void takes_a_pending_page(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_start(f, NULL, 0);
	assert_done(isa_fixture_eaug(f, 40, FIXTURE_BASE + 0x8000));
	assert_done(isa_fixture_eremove(f, 40));			/* 10 */
	isa_fixture_destroy(f);
	(void)state;
}

static void counts_nobody_inside_after_unshare(void **state)
{
	struct isa_fixture *f = *state;

	assert_int_equal(isa_secs_share(f->m, FIXTURE_SECS, &f->blk), 0);
	atomic_store(&f->blk.nr_inside[0], 1);
	isa_secs_unshare(f->m, FIXTURE_SECS);
	assert_done(isa_fixture_eremove(f, FIXTURE_RX));
}

static void forgets_the_block_with_the_secs(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_build(f, NULL);
	assert_int_equal(isa_secs_share(f->m, FIXTURE_SECS, &f->blk), 0);
	for (uint64_t i = FIXTURE_FREE; i-- > 0;)
		assert_done(isa_fixture_eremove(f, i));
	atomic_store(&f->blk.nr_inside[0], 1);
	isa_fixture_build(f, NULL);
	assert_done(isa_fixture_eremove(f, FIXTURE_RW));
	isa_fixture_destroy(f);
	(void)state;
}

static void shares_only_a_secs(void **state)
{
	struct isa_fixture *f = *state;

	assert_int_equal(isa_secs_share(f->m, FIXTURE_TCS, &f->blk), -EINVAL);
	assert_int_equal(isa_secs_share(f->m, 63, &f->blk), -EINVAL);
	assert_int_equal(isa_secs_share(f->m, FIXTURE_NR_FRAMES, &f->blk), -EINVAL);
	isa_secs_unshare(f->m, ISA_NO_FRAME);
}

static void fills_the_shared_block(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	struct isa_encl_block late;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	secs.attributes.xfrm = XFRM_X87_SSE | XFRM_AVX;
	secs.miscselect = MISC_EXINFO;
	isa_fixture_build(f, &secs);
	memset(&f->blk, 0xff, sizeof(f->blk));
	assert_int_equal(isa_secs_share(f->m, FIXTURE_SECS, &f->blk), 0);
	assert_true(f->blk.base == FIXTURE_BASE && f->blk.size == FIXTURE_SIZE);
	assert_int_equal(f->blk.attributes, ATTR_DEBUG | ATTR_MODE64BIT);
	assert_int_equal(f->blk.xfrm, 7);
	assert_int_equal(f->blk.miscselect, MISC_EXINFO);
	assert_int_equal(f->blk.ssaframesize, 1);
	assert_int_equal(f->blk.xsave_size, 832);
	assert_int_equal(atomic_load(&f->blk.initialized), 0);
	/* Whose counters those are only its owner knows. */
	assert_true(atomic_load(&f->blk.nr_inside[0]) == UINT64_MAX);
	atomic_store(&f->blk.nr_inside[0], 0);
	atomic_store(&f->blk.nr_inside[1], 0);

	isa_fixture_sigstruct(f, &secs, 0);
	assert_done(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, NULL));
	assert_int_equal(atomic_load(&f->blk.initialized), 1);
	assert_int_equal(f->blk.attributes, ATTR_INIT | ATTR_DEBUG | ATTR_MODE64BIT);

	assert_int_equal(isa_secs_share(f->m, FIXTURE_SECS, &late), 0);
	assert_int_equal(atomic_load(&late.initialized), 1);
	assert_int_equal(late.attributes, ATTR_INIT | ATTR_DEBUG | ATTR_MODE64BIT);
	isa_fixture_destroy(f);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_on_an_unaligned_page),
		cmocka_unit_test(faults_when_the_page_is_no_epc),
		cmocka_unit_test(does_nothing_to_an_unused_page),
		cmocka_unit_test(reports_children_of_a_secs),
		cmocka_unit_test(reports_processors_inside),
		cmocka_unit_test(takes_a_trimmed_page_from_an_active_enclave),
		cmocka_unit_test(takes_a_va_page),
		cmocka_unit_test(takes_a_shadow_stack_from_an_inactive_enclave),
		cmocka_unit_test(takes_a_pending_page),
		cmocka_unit_test(counts_nobody_inside_after_unshare),
		cmocka_unit_test(forgets_the_block_with_the_secs),
		cmocka_unit_test(shares_only_a_secs),
		cmocka_unit_test(fills_the_shared_block),
	};

	return cmocka_run_group_tests_name("EREMOVE", tests, setup, isa_fixture_teardown);
}
