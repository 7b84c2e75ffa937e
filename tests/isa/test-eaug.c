/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLS[EAUG]: every check in its order, and what it leaves behind. */
#include "fixture.h"

#include "internal.h"

#define PAGE 40
#define LA (FIXTURE_BASE + 0x8000)

static int setup(void **state)
{
	*state = isa_fixture_create(NULL);
	isa_fixture_start(*state, NULL, 0);
	return 0;
}

/* A PAGEINFO EAUG would take. */
static void prepare(struct isa_fixture *f)
{
	f->pageinfo = (struct sgx_pageinfo){
		.linaddr = LA,
		.secs = isa_fixture_la(f, FIXTURE_SECS),
	};
	f->os.rbx = (uintptr_t)&f->pageinfo;
	f->os.rcx = isa_fixture_la(f, PAGE);
}

static struct isa_outcome again(struct isa_fixture *f)
{
	return isa_encls(&f->os, ISA_ENCLS_EAUG);
}

static void adds_a_zeroed_pending_page(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_epcm_info info;

	prepare(f);
	memset(isa_fixture_contents(f, PAGE), 0x5a, SGX_PAGE_SIZE);
	assert_done(again(f));
	isa_fixture_assert_epcm(f, PAGE, SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W |
				SECINFO_PENDING, false);
	info = isa_epcm_peek(f->m, PAGE);
	assert_int_equal(info.enclaveaddress, LA);
	assert_int_equal(info.secs_frame, FIXTURE_SECS);
	assert_true(isa_is_zero(isa_fixture_contents(f, PAGE), SGX_PAGE_SIZE));
	assert_done(isa_fixture_eremove(f, PAGE));
}

static void faults_on_unaligned_operands(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	/* A good PAGEINFO, at an address that is none for it. */
	memcpy((uint8_t *)&f->token + 16, &f->pageinfo, sizeof(f->pageinfo));
	f->os.rbx = (uintptr_t)&f->token + 16;
	assert_gp(again(f));						/* 1 */
	prepare(f);
	f->os.rcx += 8;
	assert_gp(again(f));						/* 2 */
	prepare(f);
	f->pageinfo.secinfo_or_pcmd = (uintptr_t)&f->secinfo + 32;
	assert_gp(again(f));						/* 4 */
	prepare(f);
	f->pageinfo.secs += 256;
	assert_gp(again(f));						/* 5 */
	prepare(f);
	f->pageinfo.linaddr += 1;
	assert_gp(again(f));						/* 5 */
}

static void faults_when_target_or_secs_is_no_epc(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t ram = (uintptr_t)f->page;

	prepare(f);
	f->os.rcx = ram;
	assert_epf(again(f), ram);					/* 3 */
	f->os.rcx = FIXTURE_HOLE;
	assert_ordinary_pf(again(f), FIXTURE_HOLE);
	prepare(f);
	f->pageinfo.secs = ram;
	assert_epf(again(f), ram);					/* 7 */
	f->pageinfo.secs = FIXTURE_HOLE;
	assert_ordinary_pf(again(f), FIXTURE_HOLE);
}

static void passes_on_a_page_fault_of_pageinfo(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->os.rbx = FIXTURE_HOLE;
	assert_ordinary_pf(again(f), FIXTURE_HOLE);
	/* In EPC it reads as all ones, which are no alignment. */
	f->os.rbx = isa_fixture_la(f, FIXTURE_RW);
	assert_gp(again(f));						/* 4 */
}

static void takes_no_source(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->pageinfo.srcpge = (uintptr_t)f->page;
	assert_gp(again(f));						/* 6 */
}

static void faults_on_a_page_in_use(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->os.rcx = isa_fixture_la(f, FIXTURE_RW);
	assert_epf(again(f), f->os.rcx);				/* 9 */
	/* Before a look at SECINFO or SECS. */
	f->pageinfo.secinfo_or_pcmd = FIXTURE_HOLE;
	f->pageinfo.secs = isa_fixture_la(f, PAGE);
	assert_epf(again(f), f->os.rcx);				/* 9 */
}

static void takes_no_secinfo_without_cet(void **state)
{
	struct isa_fixture *f = *state;

	for (unsigned int pt = 0; pt < 8; pt++) {
		prepare(f);
		f->secinfo = (struct sgx_secinfo){
			.flags = SECINFO_PT(pt) | SECINFO_R | SECINFO_W,
		};
		f->pageinfo.secinfo_or_pcmd = (uintptr_t)&f->secinfo;
		assert_gp(again(f));					/* 10 */
	}
}

static void conflicts_with_itself_when_secs_is_the_target(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->pageinfo.secs = f->os.rcx;
	assert_gp(again(f));						/* 12 */
}

static void faults_when_secs_is_none(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->pageinfo.secs = isa_fixture_la(f, 50);
	assert_epf(again(f), f->pageinfo.secs);				/* 13: not valid */
	f->pageinfo.secs = isa_fixture_la(f, FIXTURE_RW);
	assert_epf(again(f), f->pageinfo.secs);				/* 13: not PT_SECS */
	f->pageinfo.secs = isa_fixture_la(f, FIXTURE_TCS);
	assert_epf(again(f), f->pageinfo.secs);
}

static void faults_before_einit(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	assert_done(isa_fixture_ecreate(f, 50, &secs));
	prepare(f);
	f->pageinfo.secs = isa_fixture_la(f, 50);
	assert_gp(again(f));						/* 14 */
	assert_done(isa_fixture_eremove(f, 50));
}

static void faults_outside_elrange(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t outside[] = { 0, FIXTURE_BASE - 0x1000, FIXTURE_BASE + FIXTURE_SIZE,
				     UINT64_MAX - 0xfff };

	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		prepare(f);
		f->pageinfo.linaddr = outside[i];
		assert_gp(again(f));					/* 15 */
		assert_false(isa_epcm_peek(f->m, PAGE).valid);
	}
	f->pageinfo.linaddr = FIXTURE_BASE + FIXTURE_SIZE - 0x1000;
	assert_done(again(f));
	assert_done(isa_fixture_eremove(f, PAGE));
}

static void allows_an_address_that_has_a_page(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->pageinfo.linaddr = FIXTURE_BASE;
	assert_done(again(f));
	assert_done(isa_fixture_eremove(f, PAGE));
}

static void is_no_leaf_of_an_sgx1_part(void **state)
{
	struct isa_fixture *f = isa_fixture_create("sgx1-client");

	prepare(f);
	assert_gp(again(f));
	assert_gp(isa_encls(&f->os, ISA_ENCLS_EMODPR));
	assert_gp(isa_encls(&f->os, ISA_ENCLS_EMODT));
	isa_fixture_destroy(f);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adds_a_zeroed_pending_page),
		cmocka_unit_test(faults_on_unaligned_operands),
		cmocka_unit_test(faults_when_target_or_secs_is_no_epc),
		cmocka_unit_test(passes_on_a_page_fault_of_pageinfo),
		cmocka_unit_test(takes_no_source),
		cmocka_unit_test(faults_on_a_page_in_use),
		cmocka_unit_test(takes_no_secinfo_without_cet),
		cmocka_unit_test(conflicts_with_itself_when_secs_is_the_target),
		cmocka_unit_test(faults_when_secs_is_none),
		cmocka_unit_test(faults_before_einit),
		cmocka_unit_test(faults_outside_elrange),
		cmocka_unit_test(allows_an_address_that_has_a_page),
		cmocka_unit_test(is_no_leaf_of_an_sgx1_part),
	};

	return cmocka_run_group_tests_name("EAUG", tests, setup, isa_fixture_teardown);
}
