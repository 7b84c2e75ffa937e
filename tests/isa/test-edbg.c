/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLS[EDBGRD] and ENCLS[EDBGWR]: every check in its order, and what moves. */
#include "fixture.h"

#include "internal.h"

#define PAGE 40
#define LA (FIXTURE_BASE + 0x8000)
#define DATA 0x1122334455667788ull

static const uint32_t both[] = { ISA_ENCLS_EDBGRD, ISA_ENCLS_EDBGWR };

static int before_each(void **state)
{
	*state = isa_fixture_create(NULL);
	isa_fixture_start(*state, NULL, 0);
	return 0;
}

static struct isa_outcome edbgrd(struct isa_fixture *f, uint64_t frame, uint64_t offset)
{
	f->os.rbx = DATA;
	f->os.rcx = isa_fixture_la(f, frame) + offset;
	return isa_encls(&f->os, ISA_ENCLS_EDBGRD);
}

static struct isa_outcome edbgwr(struct isa_fixture *f, uint64_t frame, uint64_t offset)
{
	f->os.rbx = DATA;
	f->os.rcx = isa_fixture_la(f, frame) + offset;
	return isa_encls(&f->os, ISA_ENCLS_EDBGWR);
}

static uint64_t at(struct isa_fixture *f, uint64_t frame, uint64_t offset)
{
	uint64_t x;

	memcpy(&x, (uint8_t *)isa_fixture_contents(f, frame) + offset, sizeof(x));
	return x;
}

static void reads_what_the_page_holds(void **state)
{
	struct isa_fixture *f = *state;

	for (uint64_t offset = 0; offset < SGX_PAGE_SIZE; offset += 8) {
		assert_done(edbgrd(f, FIXTURE_RX, offset));
		assert_int_equal(f->os.rbx, at(f, FIXTURE_RX, offset));
	}
}

static void writes_eight_bytes(void **state)
{
	struct isa_fixture *f = *state;
	uint8_t page[SGX_PAGE_SIZE];
	const uint64_t data = DATA;

	for (uint64_t offset = 0; offset < SGX_PAGE_SIZE; offset += 8) {
		memcpy(page, isa_fixture_contents(f, FIXTURE_RX), sizeof(page));
		memcpy(page + offset, &data, sizeof(data));
		assert_done(edbgwr(f, FIXTURE_RX, offset));
		assert_memory_equal(page, isa_fixture_contents(f, FIXTURE_RX), sizeof(page));
		assert_int_equal(f->os.rbx, DATA);
	}
}

/* Neither EPCM permissions nor BLOCKED stop a debugger, and PR neither. */
static void goes_around_permissions(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(isa_fixture_emodpr(f, FIXTURE_RW, 0));
	isa_epcm_update(&f->m->epcm[FIXTURE_RW], 0, EPCM_BLOCKED);
	assert_done(edbgwr(f, FIXTURE_RW, 8));
	assert_int_equal(at(f, FIXTURE_RW, 8), DATA);
	assert_done(edbgrd(f, FIXTURE_RW, 8));
	assert_int_equal(f->os.rbx, DATA);
}

static void needs_no_initialized_enclave(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_build(f, NULL);
	assert_done(edbgrd(f, FIXTURE_RW, 0));
	assert_done(edbgwr(f, FIXTURE_RW, 0));
	isa_fixture_destroy(f);
	(void)state;
}

static void faults_on_an_unaligned_address(void **state)
{
	struct isa_fixture *f = *state;

	for (uint64_t i = 1; i < 8; i++) {
		assert_gp(edbgrd(f, FIXTURE_RW, i));			/* 1 */
		assert_gp(edbgwr(f, FIXTURE_RW, i));			/* 1 */
	}
}

static void faults_when_the_address_is_no_epc(void **state)
{
	struct isa_fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		f->os.rcx = (uintptr_t)f->page + 8;
		assert_epf(isa_encls(&f->os, both[i]), f->os.rcx);	/* 2 */
		f->os.rcx = FIXTURE_HOLE;
		assert_ordinary_pf(isa_encls(&f->os, both[i]), FIXTURE_HOLE);
	}
	f->os.rcx = (uintptr_t)f->page;
	assert_int_equal(isa_encls(&f->os, ISA_ENCLS_EDBGRD).error_code, PFEC_P | PFEC_SGX);
	assert_int_equal(isa_encls(&f->os, ISA_ENCLS_EDBGWR).error_code,
			 PFEC_P | PFEC_SGX | PFEC_W);
}

static void faults_on_an_unused_page(void **state)
{
	struct isa_fixture *f = *state;

	assert_epf(edbgrd(f, PAGE, 8), isa_fixture_la(f, PAGE) + 8);	/* 4 */
	assert_epf(edbgwr(f, PAGE, 8), isa_fixture_la(f, PAGE) + 8);	/* 4 */
	assert_int_equal(f->os.rbx, DATA);
}

static void faults_on_pages_without_data(void **state)
{
	struct isa_fixture *f = *state;

	assert_epf(edbgrd(f, FIXTURE_SECS, 0), isa_fixture_la(f, FIXTURE_SECS)); /* 5 */
	assert_epf(edbgwr(f, FIXTURE_SECS, 0), isa_fixture_la(f, FIXTURE_SECS)); /* 5 */
	assert_done(isa_fixture_emodt(f, FIXTURE_RW, SECINFO_PT(PT_TRIM)));
	assert_epf(edbgrd(f, FIXTURE_RW, 0), isa_fixture_la(f, FIXTURE_RW)); /* 5, before 6 */
	assert_epf(edbgwr(f, FIXTURE_RW, 0), isa_fixture_la(f, FIXTURE_RW));
}

static void shows_of_versions_only_whether_they_are_used(void **state)
{
	struct isa_fixture *f = *state;
	uint64_t *slot = isa_fixture_contents(f, PAGE);

	isa_epcm_set(&f->m->epcm[PAGE], EPCM_NO_SECS, EPCM_VALID | EPCM_PT(PT_VA));
	memset(slot, 0, SGX_PAGE_SIZE);
	slot[1] = 8;
	slot[2] = 7;
	slot[511] = 1ull << 63;
	assert_done(edbgrd(f, PAGE, 0));
	assert_int_equal(f->os.rbx, 0);
	assert_done(edbgrd(f, PAGE, 8));
	assert_int_equal(f->os.rbx, UINT64_MAX);
	assert_done(edbgrd(f, PAGE, 16));
	assert_int_equal(f->os.rbx, 0);
	assert_done(edbgrd(f, PAGE, 4088));
	assert_int_equal(f->os.rbx, UINT64_MAX);
	assert_epf(edbgwr(f, PAGE, 0), isa_fixture_la(f, PAGE));	/* 5 */
}

static void reports_a_page_not_accepted_yet(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(isa_fixture_eaug(f, PAGE, LA));
	assert_error(edbgrd(f, PAGE, 0), SGX_PAGE_NOT_DEBUGGABLE);	/* 6 */
	assert_error(edbgwr(f, PAGE, 0), SGX_PAGE_NOT_DEBUGGABLE);	/* 6 */
	assert_int_equal(at(f, PAGE, 0), 0);
	/* Before a look at the offset in the TCS it is to become. */
	assert_done(isa_fixture_emodt(f, FIXTURE_RW, SECINFO_PT(PT_TCS)));
	assert_error(edbgrd(f, FIXTURE_RW, 4088), SGX_PAGE_NOT_DEBUGGABLE);
	assert_error(edbgwr(f, FIXTURE_RW, 4088), SGX_PAGE_NOT_DEBUGGABLE);
}

static void reads_the_fields_of_a_tcs(void **state)
{
	struct isa_fixture *f = *state;
	uint64_t offset;

	for (offset = 0; offset < 72; offset += 8) {
		assert_done(edbgrd(f, FIXTURE_TCS, offset));
		assert_int_equal(f->os.rbx, at(f, FIXTURE_TCS, offset));
	}
	for (; offset < SGX_PAGE_SIZE; offset += 8)
		assert_gp(edbgrd(f, FIXTURE_TCS, offset));		/* 7 */
}

/* Who holds it is this machine's own affair. */
static void reads_of_a_busy_tcs_that_it_is_busy(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_tcs *tcs = isa_fixture_contents(f, FIXTURE_TCS);

	tcs->state = 0x123ull << ISA_TCS_HOLDER_SHIFT | ISA_TCS_COUNTED | ISA_TCS_ACTIVE;
	assert_done(edbgrd(f, FIXTURE_TCS, 0));
	assert_int_equal(f->os.rbx, 1);
}

static void writes_the_flags_of_a_tcs_only(void **state)
{
	struct isa_fixture *f = *state;
	uint8_t page[SGX_PAGE_SIZE];

	memcpy(page, isa_fixture_contents(f, FIXTURE_TCS), sizeof(page));
	for (uint64_t offset = 0; offset < SGX_PAGE_SIZE; offset += 8)
		if (offset != 8)
			assert_gp(edbgwr(f, FIXTURE_TCS, offset));	/* 7 */
	assert_memory_equal(page, isa_fixture_contents(f, FIXTURE_TCS), sizeof(page));
	assert_done(edbgwr(f, FIXTURE_TCS, 8));
	assert_int_equal(at(f, FIXTURE_TCS, 8), DATA);
}

/* Outside 64-bit mode it is four bytes at a time, and EBX. */
static void moves_four_bytes_in_32_bit_mode(void **state)
{
	struct isa_fixture *f = *state;
	uint64_t *slot = isa_fixture_contents(f, PAGE);
	uint8_t page[SGX_PAGE_SIZE];
	const uint32_t data = (uint32_t)DATA;

	f->os.mode = ISA_MODE_32;
	assert_gp(edbgrd(f, FIXTURE_RX, 2));				/* 1 */
	assert_gp(edbgwr(f, FIXTURE_RX, 6));				/* 1 */
	assert_done(edbgrd(f, FIXTURE_RX, 4092));
	assert_int_equal(f->os.rbx, at(f, FIXTURE_RX, 4088) >> 32);
	memcpy(page, isa_fixture_contents(f, FIXTURE_RX), sizeof(page));
	memcpy(page + 4, &data, sizeof(data));
	assert_done(edbgwr(f, FIXTURE_RX, 4));
	assert_memory_equal(page, isa_fixture_contents(f, FIXTURE_RX), sizeof(page));
	/* Both halves of a TCS's FLAGS, and nothing beside them. */
	assert_gp(edbgwr(f, FIXTURE_TCS, 4));				/* 7 */
	assert_done(edbgwr(f, FIXTURE_TCS, 8));
	assert_done(edbgwr(f, FIXTURE_TCS, 12));
	assert_gp(edbgwr(f, FIXTURE_TCS, 16));				/* 7 */
	assert_int_equal(at(f, FIXTURE_TCS, 8), (uint64_t)data << 32 | data);
	isa_epcm_set(&f->m->epcm[PAGE], EPCM_NO_SECS, EPCM_VALID | EPCM_PT(PT_VA));
	slot[0] = 8;
	assert_done(edbgrd(f, PAGE, 0));
	assert_int_equal(f->os.rbx, UINT32_MAX);
	f->os.mode = 0;
}

/* A debugger opts a thread in; bits that are none stop the entry, not EDBGWR. */
static void opts_a_thread_in(void **state)
{
	struct isa_fixture *f = *state;
	const struct isa_encl_view view = isa_fixture_view(f);
	struct isa_regs r = { .gpr = { [ISA_RBX] = FIXTURE_BASE } };
	struct isa_thread t = { 0 };

	f->os.rcx = isa_fixture_la(f, FIXTURE_TCS) + 8;
	f->os.rbx = TCS_DBGOPTIN | 1ull << 2;
	assert_done(isa_encls(&f->os, ISA_ENCLS_EDBGWR));
	assert_gp(isa_eenter(&t, &view, &r));
	f->os.rbx = TCS_DBGOPTIN;
	assert_done(isa_encls(&f->os, ISA_ENCLS_EDBGWR));
	assert_done(isa_eenter(&t, &view, &r));
	assert_true(t.dbgoptin);
}

static void faults_unless_the_enclave_is_for_debugging(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	secs.attributes.flags &= ~ATTR_DEBUG;
	isa_fixture_start(f, &secs, 0);
	assert_gp(edbgrd(f, FIXTURE_RW, 0));				/* 8 */
	assert_int_equal(f->os.rbx, DATA);
	assert_gp(edbgwr(f, FIXTURE_RW, 0));				/* 8 */
	assert_gp(edbgrd(f, FIXTURE_TCS, 8));
	assert_gp(edbgwr(f, FIXTURE_TCS, 8));
	assert_int_equal(at(f, FIXTURE_TCS, 8), 0);
	isa_fixture_destroy(f);
	(void)state;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, before_each, isa_fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(reads_what_the_page_holds),
		CASE(writes_eight_bytes),
		CASE(goes_around_permissions),
		CASE(needs_no_initialized_enclave),
		CASE(faults_on_an_unaligned_address),
		CASE(faults_when_the_address_is_no_epc),
		CASE(faults_on_an_unused_page),
		CASE(faults_on_pages_without_data),
		CASE(shows_of_versions_only_whether_they_are_used),
		CASE(reports_a_page_not_accepted_yet),
		CASE(reads_the_fields_of_a_tcs),
		CASE(reads_of_a_busy_tcs_that_it_is_busy),
		CASE(writes_the_flags_of_a_tcs_only),
		CASE(moves_four_bytes_in_32_bit_mode),
		CASE(opts_a_thread_in),
		CASE(faults_unless_the_enclave_is_for_debugging),
	};

	return cmocka_run_group_tests_name("EDBGRD, EDBGWR", tests, NULL, NULL);
}
