/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLS[EWB]: every outcome, and what is left of a page outside. */
#include "paging.h"

static struct paged_out out;

static int setup(void **state)
{
	*state = paging_create();
	paging_add_tcs(*state);
	memset(&out, 0, sizeof(out));
	return 0;
}

static int teardown(void **state)
{
	return isa_fixture_teardown(state);
}

/* A page that every check would let go. */
static void prepare(struct isa_fixture *f)
{
	if (!isa_epcm_peek(f->m, FIXTURE_RW).blocked) {
		assert_done(paging_eblock(f, FIXTURE_RW));
		assert_done(paging_etrack(f, FIXTURE_SECS));
	}
	f->pageinfo = (struct sgx_pageinfo){
		.srcpge = (uintptr_t)out.page,
		.secinfo_or_pcmd = (uintptr_t)&out.pcmd,
	};
	f->os.rbx = (uintptr_t)&f->pageinfo;
	f->os.rcx = isa_fixture_la(f, FIXTURE_RW);
	f->os.rdx = paging_slot(f, PAGING_VA, 3);
}

static struct isa_outcome ewb(struct isa_fixture *f)
{
	return isa_encls(&f->os, ISA_ENCLS_EWB);
}

static uint64_t nr_children(struct isa_fixture *f)
{
	return atomic_load(&isa_secs_state(isa_fixture_contents(f, FIXTURE_SECS))->nr_children);
}

/* --- checks --------------------------------------------------------------- */

static void faults_on_unaligned_operands(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->os.rbx += 16;
	assert_gp(ewb(f));						/* 1 */
	prepare(f);
	f->os.rcx += 0x800;
	assert_gp(ewb(f));						/* 1 */
	prepare(f);
	f->os.rdx += 4;
	assert_gp(ewb(f));						/* 3 */
	prepare(f);
	f->pageinfo.secinfo_or_pcmd += 64;
	assert_gp(ewb(f));						/* 7 */
	prepare(f);
	f->pageinfo.srcpge += 2048;
	assert_gp(ewb(f));						/* 7 */
}

static void faults_when_an_operand_is_no_epc(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t ram = (uintptr_t)f->page;

	prepare(f);
	f->os.rcx = ram;
	assert_epf(ewb(f), ram);					/* 2 */
	prepare(f);
	f->os.rdx = ram + 8;
	assert_epf(ewb(f), ram + 8);					/* 4 */
	f->os.rdx = FIXTURE_HOLE;
	assert_ordinary_pf(ewb(f), FIXTURE_HOLE);
}

static void faults_when_page_and_slot_are_one_page(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->os.rcx = isa_fixture_la(f, PAGING_VA);
	assert_gp(ewb(f));						/* 5 */
	assert_true(isa_epcm_peek(f->m, PAGING_VA).valid);
}

static void faults_when_pageinfo_names_an_address_or_a_secs(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->pageinfo.linaddr = f->la[FIXTURE_RW];
	assert_gp(ewb(f));						/* 6 */
	prepare(f);
	f->pageinfo.secs = isa_fixture_la(f, FIXTURE_SECS);
	assert_gp(ewb(f));						/* 6 */
}

static void faults_when_a_page_is_busy(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_epcm *e = &f->m->epcm[FIXTURE_RW], *va = &f->m->epcm[PAGING_VA];

	prepare(f);
	assert_true(isa_epcm_try_shared(e));
	assert_gp(ewb(f));						/* 8 */
	isa_epcm_release_shared(e);
	assert_true(isa_epcm_try_exclusive(va));
	assert_gp(ewb(f));						/* 9 */
	isa_epcm_release_exclusive(va);
	/* Others may use slots of the page. */
	assert_true(isa_epcm_try_shared(va));
	assert_done(ewb(f));
	isa_epcm_release_shared(va);
}

static void faults_when_the_page_is_invalid(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->os.rcx = isa_fixture_la(f, FIXTURE_FREE);
	assert_epf(ewb(f), f->os.rcx);					/* 10 */
}

static void faults_when_the_slot_is_in_no_va_page(void **state)
{
	struct isa_fixture *f = *state;
	static const uint64_t others[] = { FIXTURE_FREE, FIXTURE_SECS, FIXTURE_TCS, FIXTURE_RX };

	prepare(f);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct paging_snapshot *s = paging_snapshot(f);

		f->os.rdx = isa_fixture_la(f, others[i]) + 8;
		assert_epf(ewb(f), f->os.rdx);				/* 11 */
		paging_assert_unchanged(f, s);
	}
}

static void faults_while_the_enclave_is_being_tracked(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secs *secs = isa_fixture_contents(f, FIXTURE_SECS);
	struct paging_snapshot *s;

	prepare(f);
	assert_true(isa_secs_try_track(secs));
	s = paging_snapshot(f);
	assert_gp(ewb(f));						/* 12 */
	paging_assert_unchanged(f, s);
	isa_secs_release_track(secs);
	/* Not by another EWB. */
	assert_true(isa_secs_try_hold_epoch(secs));
	assert_done(ewb(f));
	isa_secs_release_epoch(secs);
	assert_int_equal(atomic_load(&isa_secs_state(secs)->tracking), 0);
}

static void reports_a_page_that_is_not_blocked(void **state)
{
	struct isa_fixture *f = *state;
	struct paging_snapshot *s;

	prepare(f);
	f->os.rcx = isa_fixture_la(f, FIXTURE_RX);
	s = paging_snapshot(f);
	assert_error(ewb(f), SGX_PAGE_NOT_BLOCKED);			/* 13 */
	paging_assert_unchanged(f, s);
	assert_int_equal(f->pageinfo.linaddr, 0);
}

static void reports_a_page_that_is_not_tracked(void **state)
{
	struct isa_fixture *f = *state;
	struct paging_snapshot *s;

	prepare(f);
	assert_done(paging_eblock(f, FIXTURE_RX));
	f->os.rcx = isa_fixture_la(f, FIXTURE_RX);
	s = paging_snapshot(f);
	assert_error(ewb(f), SGX_NOT_TRACKED);				/* 14 */
	paging_assert_unchanged(f, s);
}

static void reports_children_of_a_secs(void **state)
{
	struct isa_fixture *f = *state;
	struct paging_snapshot *s;

	prepare(f);
	f->os.rcx = isa_fixture_la(f, FIXTURE_SECS);
	s = paging_snapshot(f);
	assert_error(ewb(f), SGX_CHILD_PRESENT);			/* 15 */
	paging_assert_unchanged(f, s);
}

static void reports_the_earliest_check_offended(void **state)
{
	struct isa_fixture *f = *state;

	/* 10 before 11. */
	prepare(f);
	f->os.rcx = isa_fixture_la(f, FIXTURE_FREE);
	f->os.rdx = isa_fixture_la(f, FIXTURE_TCS);
	assert_epf(ewb(f), f->os.rcx);
	/* 11 before 13. */
	prepare(f);
	f->os.rcx = isa_fixture_la(f, FIXTURE_RX);
	f->os.rdx = isa_fixture_la(f, FIXTURE_TCS);
	assert_epf(ewb(f), f->os.rdx);
	/* 3 before 4, 6 before 8. */
	prepare(f);
	f->os.rdx = (uintptr_t)f->page + 4;
	assert_gp(ewb(f));
	prepare(f);
	f->pageinfo.secs = 1;
	f->os.rcx = isa_fixture_la(f, FIXTURE_FREE);
	assert_gp(ewb(f));
}

/* --- operands ------------------------------------------------------------- */

static void changes_nothing_when_a_destination_faults(void **state)
{
	struct isa_fixture *f = *state;

	for (unsigned int i = 0; i < 3; i++) {
		struct paging_snapshot *s;

		prepare(f);
		if (i == 0)
			f->os.rbx = FIXTURE_HOLE;
		else if (i == 1)
			f->pageinfo.secinfo_or_pcmd = FIXTURE_HOLE;
		else
			f->pageinfo.srcpge = FIXTURE_HOLE;
		s = paging_snapshot(f);
		memset(&out, 0x11, sizeof(out));
		assert_ordinary_pf(ewb(f), FIXTURE_HOLE);
		paging_assert_unchanged(f, s);
		for (unsigned int j = 0; j < SGX_PAGE_SIZE; j++)
			assert_int_equal(out.page[j], 0x11);
		assert_int_equal(out.pcmd.enclaveid, 0x1111111111111111);
	}
}

/* Page tables that change between the look at them and the stores. */
static unsigned int stores_left;
static const struct isa_mmu *steady;

static bool write_until_unmapped(void *ctx, uint64_t la, const void *src, size_t n,
				 struct isa_outcome *fault)
{
	return steady->write(ctx, stores_left ? la : FIXTURE_HOLE, src, n, fault) &&
	       stores_left--;
}

static void keeps_the_page_when_a_destination_goes_away(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_mmu changing = *f->os.mmu;

	steady = f->os.mmu;
	changing.write = write_until_unmapped;
	for (unsigned int i = 0; i < 3; i++) {
		struct paging_snapshot *s;

		prepare(f);
		s = paging_snapshot(f);
		stores_left = i;
		f->os.mmu = &changing;
		assert_ordinary_pf(ewb(f), FIXTURE_HOLE);
		f->os.mmu = steady;
		paging_assert_unchanged(f, s);
	}
	assert_done(ewb(f));
}

/* Stores into EPC are dropped: the page is gone, as the caller had it. */
static void drops_what_is_written_to_epc(void **state)
{
	struct isa_fixture *f = *state;
	uint8_t before[SGX_PAGE_SIZE];

	prepare(f);
	memcpy(before, isa_fixture_contents(f, FIXTURE_RX), sizeof(before));
	f->pageinfo.srcpge = isa_fixture_la(f, FIXTURE_RX);
	f->pageinfo.secinfo_or_pcmd = isa_fixture_la(f, FIXTURE_RX) + 128;
	assert_done(ewb(f));
	assert_memory_equal(before, isa_fixture_contents(f, FIXTURE_RX), sizeof(before));
	assert_false(isa_epcm_peek(f->m, FIXTURE_RW).valid);
}

/* PAGEINFO read from EPC is all ones, which is no PAGEINFO of an EWB. */
static void faults_when_pageinfo_lies_in_epc(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->os.rbx = isa_fixture_la(f, FIXTURE_RX);
	assert_gp(ewb(f));
}

static void lets_destinations_overlap(void **state)
{
	struct isa_fixture *f = *state;
	alignas(4096) static uint8_t page[SGX_PAGE_SIZE];
	struct sgx_pageinfo *pageinfo = (void *)page;
	const struct sgx_pcmd *pcmd = (void *)page;

	prepare(f);
	*pageinfo = (struct sgx_pageinfo){
		.srcpge = (uintptr_t)page,
		.secinfo_or_pcmd = (uintptr_t)page,
	};
	f->os.rbx = (uintptr_t)page;
	assert_done(ewb(f));
	/* The order of the stores decides: page, PCMD, LINADDR. */
	assert_true(pageinfo->linaddr == f->la[FIXTURE_RW]);
	assert_int_equal(pcmd->enclaveid, 1);
}

/* --- effects -------------------------------------------------------------- */

static void leaves_ciphertext_pcmd_and_linaddr(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t children = nr_children(f);
	uint8_t plain[SGX_PAGE_SIZE];
	unsigned int same = 0;

	prepare(f);
	memcpy(plain, isa_fixture_contents(f, FIXTURE_RW), sizeof(plain));
	assert_done(ewb(f));
	assert_false(isa_epcm_peek(f->m, FIXTURE_RW).valid);
	assert_int_equal(nr_children(f), children - 1);
	assert_true(f->pageinfo.linaddr == f->la[FIXTURE_RW]);
	assert_int_equal(out.pcmd.secinfo.flags, SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W);
	assert_true(isa_is_zero(out.pcmd.secinfo.reserved_8, sizeof(out.pcmd.secinfo.reserved_8)));
	assert_true(isa_is_zero(out.pcmd.reserved_72, sizeof(out.pcmd.reserved_72)));
	assert_int_equal(out.pcmd.enclaveid,
			 isa_secs_state(isa_fixture_contents(f, FIXTURE_SECS))->eid);
	assert_false(isa_is_zero(out.pcmd.mac, sizeof(out.pcmd.mac)));
	assert_true(paging_slot_value(f, PAGING_VA, 3) != 0);
	for (unsigned int i = 0; i < SGX_PAGE_SIZE; i++)
		same += plain[i] == out.page[i];
	assert_true(same < 100);
}

static void carries_the_state_of_the_page(void **state)
{
	struct isa_fixture *f = *state;
	static const struct {
		uint64_t word, flags;
	} pages[] = {
		{ EPCM_PT(PT_REG) | EPCM_RWX(3) | EPCM_PENDING, SECINFO_PENDING | 3 },
		{ EPCM_PT(PT_REG) | EPCM_RWX(1) | EPCM_PR, SECINFO_PR | 1 },
		{ EPCM_PT(PT_REG) | EPCM_RWX(7), 7 },
		{ EPCM_PT(PT_TCS) | EPCM_MODIFIED, SECINFO_MODIFIED },
		{ EPCM_PT(PT_TRIM) | EPCM_MODIFIED, SECINFO_MODIFIED },
		{ EPCM_PT(PT_TRIM), 0 },
		{ EPCM_PT(PT_SS_FIRST) | EPCM_RWX(3), 3 },
		{ EPCM_PT(PT_SS_REST) | EPCM_RWX(3) | EPCM_PENDING, SECINFO_PENDING | 3 },
	};

	for (unsigned int i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		const uint64_t la = FIXTURE_BASE + 0x9000;
		const uint64_t pt = (pages[i].word & EPCM_PT_MASK) >> EPCM_PT_SHIFT;

		paging_fake(f, 40, FIXTURE_SECS, la | pages[i].word);
		paging_out(f, 40, 20 + i, &out);
		/* BLOCKED does not travel. */
		assert_int_equal(out.pcmd.secinfo.flags, pages[i].flags | SECINFO_PT(pt));
		assert_true(out.linaddr == la);
	}
}

static void reports_a_slot_in_use_and_takes_it(void **state)
{
	struct isa_fixture *f = *state;
	uint64_t first;
	struct isa_outcome o;

	prepare(f);
	assert_done(ewb(f));
	first = paging_slot_value(f, PAGING_VA, 3);
	assert_done(paging_eblock(f, FIXTURE_RX));
	assert_done(paging_etrack(f, FIXTURE_SECS));
	o = paging_ewb(f, FIXTURE_RX, 3, &out);
	assert_int_equal(o.kind, ISA_INFO);
	assert_int_equal(o.code, SGX_VA_SLOT_OCCUPIED);
	assert_false(isa_epcm_peek(f->m, FIXTURE_RX).valid);
	assert_true(paging_slot_value(f, PAGING_VA, 3) != first);
}

static void va_page_needs_neither_block_nor_cycle(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t children = nr_children(f);

	assert_done(paging_ewb(f, PAGING_VA2, 7, &out));
	assert_int_equal(out.pcmd.secinfo.flags, SECINFO_PT(PT_VA));
	assert_int_equal(out.pcmd.enclaveid, 0);
	assert_int_equal(out.linaddr, 0);
	assert_false(isa_epcm_peek(f->m, PAGING_VA2).valid);
	assert_int_equal(nr_children(f), children);
}

static void secs_leaves_last_and_is_no_longer_shared(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t eid = isa_secs_state(isa_fixture_contents(f, FIXTURE_SECS))->eid;

	assert_int_equal(isa_secs_share(f->m, FIXTURE_SECS, &f->blk), 0);
	for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++)
		paging_out(f, i, (unsigned int)i, &out);
	paging_out(f, PAGING_TCS2, 10, &out);
	assert_done(paging_ewb(f, FIXTURE_SECS, 11, &out));
	assert_int_equal(out.pcmd.secinfo.flags, SECINFO_PT(PT_SECS));
	assert_int_equal(out.pcmd.enclaveid, eid);
	assert_int_equal(out.linaddr, 0);
	assert_false(isa_epcm_peek(f->m, FIXTURE_SECS).valid);
	assert_null(isa_secs_block(f->m, FIXTURE_SECS));
	assert_null(atomic_load(&f->m->shared[FIXTURE_SECS]));
}

/* Also of the same page again and again. */
static void versions_never_repeat(void **state)
{
	struct isa_fixture *f = *state;
	uint64_t last = 0;

	for (unsigned int i = 0; i < 100; i++) {
		uint64_t version;

		paging_out(f, FIXTURE_RW, 0, &out);
		version = paging_slot_value(f, PAGING_VA, 0);
		assert_true(version > last);
		/* What a debugger is told of a slot, used or not, ignores these. */
		assert_int_equal(version & 7, 0);
		last = version;
		assert_done(paging_eld(f, ISA_ENCLS_ELDU, FIXTURE_RW, FIXTURE_SECS, 0, &out));
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(faults_on_unaligned_operands),
		CASE(faults_when_an_operand_is_no_epc),
		CASE(faults_when_page_and_slot_are_one_page),
		CASE(faults_when_pageinfo_names_an_address_or_a_secs),
		CASE(faults_when_a_page_is_busy),
		CASE(faults_when_the_page_is_invalid),
		CASE(faults_when_the_slot_is_in_no_va_page),
		CASE(faults_while_the_enclave_is_being_tracked),
		CASE(reports_a_page_that_is_not_blocked),
		CASE(reports_a_page_that_is_not_tracked),
		CASE(reports_children_of_a_secs),
		CASE(reports_the_earliest_check_offended),
		CASE(changes_nothing_when_a_destination_faults),
		CASE(keeps_the_page_when_a_destination_goes_away),
		CASE(drops_what_is_written_to_epc),
		CASE(faults_when_pageinfo_lies_in_epc),
		CASE(lets_destinations_overlap),
		CASE(leaves_ciphertext_pcmd_and_linaddr),
		CASE(carries_the_state_of_the_page),
		CASE(reports_a_slot_in_use_and_takes_it),
		CASE(va_page_needs_neither_block_nor_cycle),
		CASE(secs_leaves_last_and_is_no_longer_shared),
		CASE(versions_never_repeat),
	};

	return cmocka_run_group_tests_name("EWB", tests, NULL, NULL);
}
