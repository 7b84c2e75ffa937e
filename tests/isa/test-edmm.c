/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages of a running enclave from EAUG to EREMOVE, as a kernel and the enclave
 * take them through it together; what each leaf refuses is in its own file.
 */
#include "fixture.h"

#include "internal.h"

#define PAGE FIXTURE_FREE
#define PAGE_LA (FIXTURE_BASE + 0x8000)
#define SSA (FIXTURE_FREE + 1)
#define SSA_LA (FIXTURE_BASE + 0x9000)
#define RW_LA (FIXTURE_BASE + 0x2000)
#define AEP 0x401000ull

#define REG SECINFO_PT(PT_REG)
#define TCS SECINFO_PT(PT_TCS)
#define TRIM SECINFO_PT(PT_TRIM)
#define RW (SECINFO_R | SECINFO_W)

struct thread {
	struct isa_thread t;
	struct isa_regs r;
};

static int before_each(void **state)
{
	*state = isa_fixture_create(NULL);
	isa_fixture_start(*state, NULL, 0);
	return 0;
}

static struct isa_outcome enter(struct isa_fixture *f, struct thread *t, uint64_t tcs_la)
{
	const struct isa_encl_view view = isa_fixture_view(f);

	*t = (struct thread){ .r.rip = 0x400000 };
	t->r.gpr[ISA_RBX] = tcs_la;
	t->r.gpr[ISA_RCX] = AEP;
	return isa_eenter(&t->t, &view, &t->r);
}

static void leave(struct thread *t)
{
	t->r.gpr[ISA_RBX] = 0x402000;
	assert_done(isa_eexit(&t->t, &t->r));
}

/* What a kernel does after a change: a new epoch, and everybody out once. */
static void track(struct isa_fixture *f)
{
	assert_true(isa_secs_track(f->m, FIXTURE_SECS));
}

static void augment(struct isa_fixture *f, uint64_t frame, uint64_t la)
{
	assert_done(isa_fixture_eaug(f, frame, la));
	isa_fixture_assert_epcm(f, frame, REG | RW | SECINFO_PENDING, false);
	assert_done(isa_fixture_eaccept(f, la, REG | RW | SECINFO_PENDING));
	isa_fixture_assert_epcm(f, frame, REG | RW, false);
}

static void a_page_is_augmented_restricted_and_extended(void **state)
{
	struct isa_fixture *f = *state;

	augment(f, PAGE, PAGE_LA);
	assert_done(isa_fixture_emodpr(f, PAGE, SECINFO_R));
	isa_fixture_assert_epcm(f, PAGE, REG | SECINFO_R | SECINFO_PR, false);
	assert_error(isa_fixture_eaccept(f, PAGE_LA, REG | SECINFO_R | SECINFO_PR),
		     SGX_NOT_TRACKED);
	track(f);
	assert_done(isa_fixture_eaccept(f, PAGE_LA, REG | SECINFO_R | SECINFO_PR));
	isa_fixture_assert_epcm(f, PAGE, REG | SECINFO_R, false);
	assert_done(isa_fixture_emodpe(f, PAGE_LA, SECINFO_X));
	isa_fixture_assert_epcm(f, PAGE, REG | SECINFO_R | SECINFO_X, false);
}

static void a_page_is_augmented_with_contents(void **state)
{
	struct isa_fixture *f = *state;
	const uint8_t *page = isa_fixture_contents(f, PAGE);
	uint8_t source[SGX_PAGE_SIZE];

	assert_done(isa_fixture_eaug(f, PAGE, PAGE_LA));
	assert_done(isa_fixture_eacceptcopy(f, PAGE_LA, RW_LA, REG | SECINFO_R | SECINFO_X));
	isa_fixture_assert_epcm(f, PAGE, REG | SECINFO_R | SECINFO_X, false);
	memcpy(source, isa_fixture_contents(f, FIXTURE_RW), sizeof(source));
	assert_memory_equal(page, source, sizeof(source));
}

/* As a runtime makes a thread: an SSA, a TCS written by the enclave, EMODT. */
static void make_tcs(struct isa_fixture *f)
{
	struct sgx_tcs *tcs = isa_fixture_contents(f, PAGE);

	augment(f, PAGE, PAGE_LA);
	augment(f, SSA, SSA_LA);
	tcs->ossa = SSA_LA - FIXTURE_BASE;
	tcs->nssa = 1;
	tcs->oentry = 0x3000;
	assert_done(isa_fixture_emodt(f, PAGE, TCS));
	isa_fixture_assert_epcm(f, PAGE, TCS | SECINFO_MODIFIED, false);
	track(f);
	assert_done(isa_fixture_eaccept(f, PAGE_LA, TCS | SECINFO_MODIFIED));
	isa_fixture_assert_epcm(f, PAGE, TCS, false);
}

static void a_page_becomes_a_tcs_that_runs(void **state)
{
	struct isa_fixture *f = *state;
	struct thread t;

	make_tcs(f);
	assert_done(enter(f, &t, PAGE_LA));
	assert_int_equal(t.r.rip, FIXTURE_BASE + 0x3000);
	assert_int_equal(((struct sgx_tcs *)isa_fixture_contents(f, PAGE))->aep, AEP);
	leave(&t);
}

static void a_page_on_its_way_cannot_be_entered_by(void **state)
{
	struct isa_fixture *f = *state;
	struct thread t;

	augment(f, PAGE, PAGE_LA);
	memcpy(isa_fixture_contents(f, PAGE), isa_fixture_contents(f, FIXTURE_TCS), SGX_PAGE_SIZE);
	assert_epf(enter(f, &t, PAGE_LA), PAGE_LA);
	assert_done(isa_fixture_emodt(f, PAGE, TCS));
	assert_epf(enter(f, &t, PAGE_LA), PAGE_LA);
	track(f);
	assert_done(isa_fixture_eaccept(f, PAGE_LA, TCS | SECINFO_MODIFIED));
	assert_done(enter(f, &t, PAGE_LA));
	leave(&t);
}

static void a_tcs_in_use_is_trimmed_after_its_thread_left(void **state)
{
	struct isa_fixture *f = *state;
	struct thread t;

	make_tcs(f);
	assert_done(enter(f, &t, PAGE_LA));
	assert_done(isa_fixture_emodt(f, PAGE, TRIM));
	track(f);
	assert_error(isa_fixture_eaccept(f, PAGE_LA, TRIM | SECINFO_MODIFIED), SGX_NOT_TRACKED);
	leave(&t);
	assert_done(isa_fixture_eaccept(f, PAGE_LA, TRIM | SECINFO_MODIFIED));
	assert_epf(enter(f, &t, PAGE_LA), PAGE_LA);
	assert_done(isa_fixture_eremove(f, PAGE));
	assert_false(isa_epcm_peek(f->m, PAGE).valid);
}

static void a_trimmed_page_is_removed_with_threads_inside(void **state)
{
	struct isa_fixture *f = *state;
	struct thread t;

	augment(f, PAGE, PAGE_LA);
	assert_done(isa_fixture_emodt(f, PAGE, TRIM));
	track(f);
	assert_done(enter(f, &t, FIXTURE_BASE));
	assert_error(isa_fixture_eremove(f, PAGE), SGX_ENCLAVE_ACT);
	assert_done(isa_fixture_eaccept(f, PAGE_LA, TRIM | SECINFO_MODIFIED));
	isa_fixture_assert_epcm(f, PAGE, TRIM, false);
	assert_epf(isa_fixture_emodpe(f, PAGE_LA, SECINFO_R), PAGE_LA);
	assert_error(isa_fixture_eremove(f, FIXTURE_RW), SGX_ENCLAVE_ACT);
	assert_done(isa_fixture_eremove(f, PAGE));
	assert_false(isa_epcm_peek(f->m, PAGE).valid);
	leave(&t);
}

static void an_address_is_used_again_after_trimming(void **state)
{
	struct isa_fixture *f = *state;

	for (unsigned int i = 0; i < 3; i++) {
		uint8_t *page = isa_fixture_contents(f, PAGE);

		augment(f, PAGE, PAGE_LA);
		assert_true(isa_is_zero(page, SGX_PAGE_SIZE));
		memset(page, 0x77, SGX_PAGE_SIZE);
		assert_done(isa_fixture_emodt(f, PAGE, TRIM));
		track(f);
		assert_done(isa_fixture_eaccept(f, PAGE_LA, TRIM | SECINFO_MODIFIED));
		assert_done(isa_fixture_eremove(f, PAGE));
	}
}

/* EAUG, EMODT and EREMOVE keep the count of children. */
static void the_secs_goes_after_its_last_page(void **state)
{
	struct isa_fixture *f = *state;

	make_tcs(f);
	assert_done(isa_fixture_eaug(f, 20, PAGE_LA + 0x2000));
	assert_done(isa_fixture_emodt(f, SSA, TRIM));
	track(f);
	assert_done(isa_fixture_eaccept(f, SSA_LA, TRIM | SECINFO_MODIFIED));
	for (uint64_t i = FIXTURE_NR_FRAMES; i-- > 1;) {
		const bool was_valid = isa_epcm_peek(f->m, i).valid;

		if (was_valid)
			assert_error(isa_fixture_eremove(f, FIXTURE_SECS), SGX_CHILD_PRESENT);
		assert_done(isa_fixture_eremove(f, i));
	}
	assert_done(isa_fixture_eremove(f, FIXTURE_SECS));
}

/* --- tracking ------------------------------------------------------------ */

static void a_restriction_waits_for_those_inside(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t request = REG | SECINFO_R | SECINFO_PR;
	struct thread early, late;

	make_tcs(f);
	assert_done(enter(f, &early, FIXTURE_BASE));
	assert_done(isa_fixture_emodpr(f, FIXTURE_RX, SECINFO_R));
	assert_error(isa_fixture_eaccept(f, FIXTURE_BASE + 0x3000, request), SGX_NOT_TRACKED);
	track(f);
	assert_error(isa_fixture_eaccept(f, FIXTURE_BASE + 0x3000, request), SGX_NOT_TRACKED);
	/* Who enters now sees the restriction. */
	assert_done(enter(f, &late, PAGE_LA));
	leave(&early);
	assert_done(isa_fixture_eaccept(f, FIXTURE_BASE + 0x3000, request));
	leave(&late);
}

static void a_repeated_restriction_waits_anew(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t la = FIXTURE_BASE + 0x3000;

	assert_done(isa_fixture_emodpr(f, FIXTURE_RX, SECINFO_R | SECINFO_X));
	track(f);
	assert_done(isa_fixture_emodpr(f, FIXTURE_RX, SECINFO_X));
	isa_fixture_assert_epcm(f, FIXTURE_RX, REG | SECINFO_X | SECINFO_PR, false);
	assert_error(isa_fixture_eaccept(f, la, REG | SECINFO_X | SECINFO_PR), SGX_NOT_TRACKED);
	track(f);
	assert_done(isa_fixture_eaccept(f, la, REG | SECINFO_X | SECINFO_PR));
}

static void a_restricted_page_is_trimmed_with_one_accept(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t la = FIXTURE_BASE + 0x3000;

	assert_done(isa_fixture_emodpr(f, FIXTURE_RX, SECINFO_R));
	assert_done(isa_fixture_emodt(f, FIXTURE_RX, TRIM));
	isa_fixture_assert_epcm(f, FIXTURE_RX, TRIM | SECINFO_MODIFIED, false);
	track(f);
	assert_done(isa_fixture_eaccept(f, la, TRIM | SECINFO_MODIFIED));
	assert_done(isa_fixture_eremove(f, FIXTURE_RX));
}

/* Nobody can have a translation of a page that was not there. */
static void a_new_page_needs_no_tracking(void **state)
{
	struct isa_fixture *f = *state;
	struct thread t;

	assert_done(enter(f, &t, FIXTURE_BASE));
	augment(f, PAGE, PAGE_LA);
	leave(&t);
}

static void a_stamp_is_never_taken_back(void **state)
{
	struct isa_epcm e = { .stamp = EPCM_TRACKED };

	isa_epcm_stamp(&e, 6);
	isa_epcm_stamp(&e, 5);
	assert_int_equal(e.stamp, 6);
	isa_epcm_set(&e, 0, 0);
	isa_epcm_stamp(&e, 4);
	assert_int_equal(e.stamp, 4);
	(void)state;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, before_each, isa_fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_page_is_augmented_restricted_and_extended),
		CASE(a_page_is_augmented_with_contents),
		CASE(a_page_becomes_a_tcs_that_runs),
		CASE(a_page_on_its_way_cannot_be_entered_by),
		CASE(a_tcs_in_use_is_trimmed_after_its_thread_left),
		CASE(a_trimmed_page_is_removed_with_threads_inside),
		CASE(an_address_is_used_again_after_trimming),
		CASE(the_secs_goes_after_its_last_page),
		CASE(a_restriction_waits_for_those_inside),
		CASE(a_repeated_restriction_waits_anew),
		CASE(a_restricted_page_is_trimmed_with_one_accept),
		CASE(a_new_page_needs_no_tracking),
		CASE(a_stamp_is_never_taken_back),
	};

	return cmocka_run_group_tests_name("EDMM", tests, NULL, NULL);
}
