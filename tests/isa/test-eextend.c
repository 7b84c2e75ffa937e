/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLS[EEXTEND]: each check in turn. */
#include "fixture.h"

static int setup(void **state)
{
	isa_fixture_setup(state);
	isa_fixture_build(*state, NULL);
	return 0;
}

static struct isa_outcome extend(struct isa_fixture *f, uint64_t rbx, uint64_t rcx)
{
	f->os.rbx = rbx;
	f->os.rcx = rcx;
	return isa_encls(&f->os, ISA_ENCLS_EEXTEND);
}

static void faults_on_unaligned_operands(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t secs = isa_fixture_la(f, FIXTURE_SECS), page = isa_fixture_la(f, FIXTURE_RW);

	assert_gp(extend(f, secs + 256, page));				/* 1 */
	assert_gp(extend(f, secs, page + 128));				/* 3 */
	assert_gp(extend(f, secs, page + 1));				/* 3 */
}

static void faults_when_operands_are_no_epc(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t secs = isa_fixture_la(f, FIXTURE_SECS), ram = (uintptr_t)f->page;

	assert_epf(extend(f, ram, isa_fixture_la(f, FIXTURE_RW)), ram);	/* 2 */
	assert_epf(extend(f, secs, ram), ram);				/* 4 */
	assert_epf(extend(f, ram, 1), ram);				/* 2 before 3 */
	assert_ordinary_pf(extend(f, FIXTURE_HOLE, ram), FIXTURE_HOLE);
	assert_ordinary_pf(extend(f, secs, FIXTURE_HOLE), FIXTURE_HOLE);
}

static void faults_on_an_unused_page(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t unused = isa_fixture_la(f, FIXTURE_FREE) + 512;

	assert_epf(extend(f, isa_fixture_la(f, FIXTURE_SECS), unused), unused); /* 6 */
}

static void faults_on_a_page_type_that_is_not_measured(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t secs = isa_fixture_la(f, FIXTURE_SECS);

	assert_epf(extend(f, secs, secs), secs);			/* 7 */
}

static void faults_when_rbx_is_not_the_owner(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secs other;

	isa_fixture_default_secs(&other);
	assert_done(isa_fixture_ecreate(f, 60, &other));
	assert_gp(isa_fixture_eextend(f, 60, FIXTURE_RW, 0));		/* 8 */
	assert_gp(isa_fixture_eextend(f, FIXTURE_RX, FIXTURE_RW, 0));	/* 8: no SECS at all */
	assert_gp(isa_fixture_eextend(f, 61, FIXTURE_RW, 0));		/* 8: not even valid */
	assert_done(isa_fixture_eremove(f, 60));
}

static void measures_any_chunk_any_number_of_times(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(isa_fixture_eextend(f, FIXTURE_SECS, FIXTURE_RW, 3840));
	assert_done(isa_fixture_eextend(f, FIXTURE_SECS, FIXTURE_TCS, 0));
	assert_done(isa_fixture_eextend(f, FIXTURE_SECS, FIXTURE_TCS, 0));
}

static void faults_once_initialized(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_start(f, NULL, 0);
	assert_gp(isa_fixture_eextend(f, FIXTURE_SECS, FIXTURE_RW, 0));	/* 9 */
	isa_fixture_destroy(f);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_on_unaligned_operands),
		cmocka_unit_test(faults_when_operands_are_no_epc),
		cmocka_unit_test(faults_on_an_unused_page),
		cmocka_unit_test(faults_on_a_page_type_that_is_not_measured),
		cmocka_unit_test(faults_when_rbx_is_not_the_owner),
		cmocka_unit_test(measures_any_chunk_any_number_of_times),
		cmocka_unit_test(faults_once_initialized),
	};

	return cmocka_run_group_tests_name("EEXTEND", tests, setup, isa_fixture_teardown);
}
