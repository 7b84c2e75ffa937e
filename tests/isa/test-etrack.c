/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLS[ETRACK]: every outcome, and what tracking makes of processors inside. */
#include "paging.h"

static int setup(void **state)
{
	*state = paging_create();
	paging_add_tcs(*state);
	return 0;
}

static int teardown(void **state)
{
	return isa_fixture_teardown(state);
}

/* --- checks --------------------------------------------------------------- */

static void faults_on_an_unaligned_page(void **state)
{
	struct isa_fixture *f = *state;

	f->os.rcx = isa_fixture_la(f, FIXTURE_SECS) + 256;
	assert_gp(isa_encls(&f->os, ISA_ENCLS_ETRACK));			/* 1 */
}

static void faults_when_the_page_is_no_epc(void **state)
{
	struct isa_fixture *f = *state;

	f->os.rcx = (uintptr_t)f->page;
	assert_epf(isa_encls(&f->os, ISA_ENCLS_ETRACK), (uintptr_t)f->page); /* 2 */
	f->os.rcx = FIXTURE_HOLE;
	assert_ordinary_pf(isa_encls(&f->os, ISA_ENCLS_ETRACK), FIXTURE_HOLE);
}

static void faults_while_the_enclave_is_tracked_elsewhere(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secs *secs = isa_fixture_contents(f, FIXTURE_SECS);

	assert_true(isa_secs_try_track(secs));
	assert_gp(paging_etrack(f, FIXTURE_SECS));			/* 3 */
	isa_secs_release_track(secs);
	assert_true(isa_secs_try_hold_epoch(secs));
	assert_gp(paging_etrack(f, FIXTURE_SECS));			/* 3 */
	isa_secs_release_epoch(secs);
	assert_int_equal(isa_secs_epoch(secs), 0);
	assert_done(paging_etrack(f, FIXTURE_SECS));
}

static void faults_while_the_secs_is_held_exclusively(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_epcm *e = &f->m->epcm[FIXTURE_SECS];

	assert_true(isa_epcm_try_exclusive(e));
	assert_gp(paging_etrack(f, FIXTURE_SECS));			/* 3 */
	isa_epcm_release_exclusive(e);
	assert_true(isa_epcm_try_shared(e));
	assert_done(paging_etrack(f, FIXTURE_SECS));
	isa_epcm_release_shared(e);
}

static void faults_when_the_page_is_no_secs(void **state)
{
	struct isa_fixture *f = *state;
	static const uint64_t others[] = { FIXTURE_FREE, FIXTURE_TCS, FIXTURE_RW, PAGING_VA };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_epf(paging_etrack(f, others[i]), isa_fixture_la(f, others[i])); /* 4, 5 */
}

static void reports_a_cycle_that_is_not_complete(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_thread t;

	paging_enter(f, &t, FIXTURE_TCS);
	assert_done(paging_etrack(f, FIXTURE_SECS));			/* 7 */
	assert_error(paging_etrack(f, FIXTURE_SECS), SGX_PREV_TRK_INCMPL); /* 6 */
	assert_error(paging_etrack(f, FIXTURE_SECS), SGX_PREV_TRK_INCMPL);
	paging_exit(&t);
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_done(paging_etrack(f, FIXTURE_SECS));
}

static void tracks_an_enclave_before_einit(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_build(f, NULL);
	assert_done(paging_etrack(f, FIXTURE_SECS));
	isa_fixture_destroy(f);
	(void)state;
}

/* --- scenarios ------------------------------------------------------------ */

static struct paged_out out;

static void blocked_page_waits_for_a_cycle(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(paging_eblock(f, FIXTURE_RW));
	assert_error(paging_ewb(f, FIXTURE_RW, 0, &out), SGX_NOT_TRACKED);
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_done(paging_ewb(f, FIXTURE_RW, 0, &out));
}

/* The cycle must begin after the block. */
static void earlier_cycle_does_not_count(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_done(paging_eblock(f, FIXTURE_RW));
	assert_error(paging_ewb(f, FIXTURE_RW, 0, &out), SGX_NOT_TRACKED);
}

static void who_was_inside_must_leave(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_thread t;

	paging_enter(f, &t, FIXTURE_TCS);
	assert_done(paging_eblock(f, FIXTURE_RW));
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_error(paging_ewb(f, FIXTURE_RW, 0, &out), SGX_NOT_TRACKED);
	paging_exit(&t);
	assert_done(paging_ewb(f, FIXTURE_RW, 0, &out));
}

static void interruption_is_leaving(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_thread t;

	paging_enter(f, &t, FIXTURE_TCS);
	assert_done(paging_eblock(f, FIXTURE_RX));
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_error(paging_ewb(f, FIXTURE_RX, 0, &out), SGX_NOT_TRACKED);
	paging_interrupt(&t);
	assert_done(paging_ewb(f, FIXTURE_RX, 0, &out));
}

static void who_enters_after_the_cycle_does_not_count(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_thread early, late;

	paging_enter(f, &early, FIXTURE_TCS);
	assert_done(paging_eblock(f, FIXTURE_RX));
	assert_done(paging_etrack(f, FIXTURE_SECS));
	paging_enter(f, &late, PAGING_TCS2);
	assert_error(paging_ewb(f, FIXTURE_RX, 0, &out), SGX_NOT_TRACKED);
	paging_exit(&early);
	assert_done(paging_ewb(f, FIXTURE_RX, 0, &out));
	paging_exit(&late);
}

/* Between EBLOCK and ETRACK is still too early. */
static void who_enters_before_the_cycle_counts(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_thread t;

	assert_done(paging_eblock(f, FIXTURE_RX));
	paging_enter(f, &t, FIXTURE_TCS);
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_error(paging_ewb(f, FIXTURE_RX, 0, &out), SGX_NOT_TRACKED);
	paging_exit(&t);
	assert_done(paging_ewb(f, FIXTURE_RX, 0, &out));
}

static void one_cycle_serves_a_batch(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(paging_eblock(f, FIXTURE_SSA));
	assert_done(paging_eblock(f, FIXTURE_RW));
	assert_done(paging_eblock(f, FIXTURE_RX));
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_done(paging_ewb(f, FIXTURE_SSA, 0, &out));
	assert_done(paging_ewb(f, FIXTURE_RW, 1, &out));
	/* A later cycle that is open takes nothing away. */
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_done(paging_ewb(f, FIXTURE_RX, 2, &out));
}

/* The second cycle could begin only because the first was complete. */
static void two_cycles_later_nobody_is_asked(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_thread t;

	assert_done(paging_eblock(f, FIXTURE_RX));
	assert_done(paging_etrack(f, FIXTURE_SECS));
	paging_enter(f, &t, FIXTURE_TCS);
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_done(paging_ewb(f, FIXTURE_RX, 0, &out));
	paging_exit(&t);
}

static void flushed_translations_complete_the_cycle(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_thread t;

	paging_enter(f, &t, FIXTURE_TCS);
	assert_done(paging_eblock(f, FIXTURE_RX));
	isa_flush_translations(f->m, FIXTURE_SECS);
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_error(paging_ewb(f, FIXTURE_RX, 0, &out), SGX_NOT_TRACKED);
	isa_flush_translations(f->m, FIXTURE_SECS);
	assert_done(paging_ewb(f, FIXTURE_RX, 0, &out));
	paging_exit(&t);
}

/* Who flushed and stayed may have translations again: of that epoch, not of its own. */
static void who_flushed_and_stayed_is_waited_for_again(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_thread t, late;

	paging_enter(f, &t, FIXTURE_TCS);
	assert_done(paging_etrack(f, FIXTURE_SECS));
	isa_flush_translations(f->m, FIXTURE_SECS);
	assert_done(paging_eblock(f, FIXTURE_RX));
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_error(paging_ewb(f, FIXTURE_RX, 0, &out), SGX_NOT_TRACKED);
	assert_error(paging_etrack(f, FIXTURE_SECS), SGX_PREV_TRK_INCMPL);
	/* Not even when it cannot be told from who entered since. */
	paging_enter(f, &late, PAGING_TCS2);
	paging_exit(&t);
	assert_error(paging_ewb(f, FIXTURE_RX, 0, &out), SGX_NOT_TRACKED);
	paging_exit(&late);
	assert_done(paging_ewb(f, FIXTURE_RX, 0, &out));
}

/* What the block says when shared counts just the same. */
static void shared_block_is_what_counts(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_thread t;

	assert_int_equal(isa_secs_share(f->m, FIXTURE_SECS, &f->blk), 0);
	paging_enter(f, &t, FIXTURE_TCS);
	assert_done(paging_eblock(f, FIXTURE_RX));
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_int_equal(atomic_load(&f->blk.epoch), 1);
	assert_error(paging_ewb(f, FIXTURE_RX, 0, &out), SGX_NOT_TRACKED);
	paging_exit(&t);
	assert_done(paging_ewb(f, FIXTURE_RX, 0, &out));
}

static void enclaves_are_tracked_apart(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_thread t;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	assert_done(isa_fixture_ecreate(f, 40, &secs));
	paging_enter(f, &t, FIXTURE_TCS);
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_done(paging_etrack(f, 40));
	assert_done(paging_etrack(f, 40));
	paging_exit(&t);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(faults_on_an_unaligned_page),
		CASE(faults_when_the_page_is_no_epc),
		CASE(faults_while_the_enclave_is_tracked_elsewhere),
		CASE(faults_while_the_secs_is_held_exclusively),
		CASE(faults_when_the_page_is_no_secs),
		CASE(reports_a_cycle_that_is_not_complete),
		CASE(tracks_an_enclave_before_einit),
		CASE(blocked_page_waits_for_a_cycle),
		CASE(earlier_cycle_does_not_count),
		CASE(who_was_inside_must_leave),
		CASE(interruption_is_leaving),
		CASE(who_enters_after_the_cycle_does_not_count),
		CASE(who_enters_before_the_cycle_counts),
		CASE(one_cycle_serves_a_batch),
		CASE(two_cycles_later_nobody_is_asked),
		CASE(flushed_translations_complete_the_cycle),
		CASE(who_flushed_and_stayed_is_waited_for_again),
		CASE(shared_block_is_what_counts),
		CASE(enclaves_are_tracked_apart),
	};

	return cmocka_run_group_tests_name("ETRACK", tests, NULL, NULL);
}
