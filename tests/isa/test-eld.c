/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ENCLS[ELDU] and ENCLS[ELDB]: every outcome, each forgery, and what comes back.
 * Compiled for each of them, as RELOAD.
 */
#include "paging.h"

#define LEAVES_BLOCKED (RELOAD == ISA_ENCLS_ELDB || RELOAD == ISA_ENCLS_ELDBC)

#define SLOT 3u

static struct paged_out out;

/* The fixture's enclave with FIXTURE_RW written out. */
static int setup(void **state)
{
	*state = paging_create();
	paging_out(*state, FIXTURE_RW, SLOT, &out);
	return 0;
}

static int teardown(void **state)
{
	return isa_fixture_teardown(state);
}

/* Operands every check would accept. */
static void prepare(struct isa_fixture *f)
{
	f->pageinfo = (struct sgx_pageinfo){
		.linaddr = out.linaddr,
		.srcpge = (uintptr_t)out.page,
		.secinfo_or_pcmd = (uintptr_t)&out.pcmd,
		.secs = isa_fixture_la(f, FIXTURE_SECS),
	};
	f->os.rbx = (uintptr_t)&f->pageinfo;
	f->os.rcx = isa_fixture_la(f, PAGING_TARGET);
	f->os.rdx = paging_slot(f, PAGING_VA, SLOT);
}

static struct isa_outcome eld(struct isa_fixture *f)
{
	return isa_encls(&f->os, RELOAD);
}

/* The forms with a C report a conflict, the others fault. */
#define assert_busy(o)									\
	do {										\
		if (RELOAD == ISA_ENCLS_ELDBC || RELOAD == ISA_ENCLS_ELDUC)		\
			assert_error((o), SGX_EPC_PAGE_CONFLICT);			\
		else									\
			assert_gp(o);							\
	} while (0)

static struct isa_outcome reload(struct isa_fixture *f)
{
	prepare(f);
	return eld(f);
}

/* Refused, and nothing has changed: the page can still come back. */
#define ASSERT_REFUSED(f, assertion)				\
	do {							\
		struct paging_snapshot *s_ = paging_snapshot(f); \
								\
		assertion;					\
		paging_assert_unchanged((f), s_);		\
	} while (0)

#define ASSERT_FORGERY(f, leaf) ASSERT_REFUSED(f, assert_error(leaf, SGX_MAC_COMPARE_FAIL))

/* --- checks --------------------------------------------------------------- */

static void faults_on_unaligned_operands(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->os.rbx += 16;
	ASSERT_REFUSED(f, assert_gp(eld(f)));				/* 1 */
	prepare(f);
	f->os.rcx += 0x800;
	ASSERT_REFUSED(f, assert_gp(eld(f)));				/* 1 */
	prepare(f);
	f->os.rdx += 4;
	ASSERT_REFUSED(f, assert_gp(eld(f)));				/* 3 */
	prepare(f);
	f->pageinfo.secinfo_or_pcmd += 64;
	ASSERT_REFUSED(f, assert_gp(eld(f)));				/* 5 */
	prepare(f);
	f->pageinfo.srcpge += 2048;
	ASSERT_REFUSED(f, assert_gp(eld(f)));				/* 5 */
	prepare(f);
	f->pageinfo.secs += 2048;
	ASSERT_REFUSED(f, assert_gp(eld(f)));				/* 10 */
	assert_done(reload(f));
}

static void faults_when_an_operand_is_no_epc(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t ram = (uintptr_t)f->page;

	prepare(f);
	f->os.rcx = ram;
	ASSERT_REFUSED(f, assert_epf(eld(f), ram));			/* 2 */
	prepare(f);
	f->os.rdx = ram + 8;
	ASSERT_REFUSED(f, assert_epf(eld(f), ram + 8));		/* 4 */
	prepare(f);
	f->pageinfo.secs = ram;
	ASSERT_REFUSED(f, assert_epf(eld(f), ram));			/* 11 */
	f->pageinfo.secs = FIXTURE_HOLE;
	ASSERT_REFUSED(f, assert_ordinary_pf(eld(f), FIXTURE_HOLE));
}

static void faults_when_a_page_is_busy(void **state)
{
	struct isa_fixture *f = *state;
	static const struct {
		uint64_t frame;
		bool shared_conflicts;
	} rows[] = {
		{ PAGING_TARGET, true },				/* 6 */
		{ PAGING_VA, false },					/* 7 */
		{ FIXTURE_SECS, false },				/* 12 */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct isa_epcm *e = &f->m->epcm[rows[i].frame];

		assert_true(isa_epcm_try_exclusive(e));
		ASSERT_REFUSED(f, assert_busy(reload(f)));
		isa_epcm_release_exclusive(e);
		assert_true(isa_epcm_try_shared(e));
		if (rows[i].shared_conflicts)
			ASSERT_REFUSED(f, assert_busy(reload(f)));
		isa_epcm_release_shared(e);
	}
	assert_true(isa_epcm_try_shared(&f->m->epcm[PAGING_VA]));
	assert_true(isa_epcm_try_shared(&f->m->epcm[FIXTURE_SECS]));
	assert_done(reload(f));
	isa_epcm_release_shared(&f->m->epcm[PAGING_VA]);
	isa_epcm_release_shared(&f->m->epcm[FIXTURE_SECS]);
}

/* As ELDBC and ELDUC have it. */
static void says_what_it_is_told_to_on_conflict(void **state)
{
	struct isa_fixture *f = *state;
	static const uint64_t frames[] = { PAGING_TARGET, PAGING_VA, FIXTURE_SECS };

	prepare(f);
	for (size_t i = 0; i < 3; i++) {
		assert_true(isa_epcm_try_exclusive(&f->m->epcm[frames[i]]));
		assert_error(isa_eld(&f->os, 0, isa_zf(SGX_EPC_PAGE_CONFLICT)),
			     SGX_EPC_PAGE_CONFLICT);
		isa_epcm_release_exclusive(&f->m->epcm[frames[i]]);
	}
	assert_done(isa_eld(&f->os, 0, isa_zf(SGX_EPC_PAGE_CONFLICT)));
}

static void faults_when_the_destination_is_in_use(void **state)
{
	struct isa_fixture *f = *state;
	static const uint64_t used[] = { FIXTURE_SECS, FIXTURE_RX, PAGING_VA2 };

	for (size_t i = 0; i < 3; i++) {
		prepare(f);
		f->os.rcx = isa_fixture_la(f, used[i]);
		ASSERT_REFUSED(f, assert_epf(eld(f), f->os.rcx));	/* 8 */
	}
}

static void faults_when_the_slot_is_in_no_va_page(void **state)
{
	struct isa_fixture *f = *state;
	static const uint64_t others[] = { FIXTURE_FREE, FIXTURE_SECS, FIXTURE_TCS, FIXTURE_RX };

	for (size_t i = 0; i < 4; i++) {
		prepare(f);
		f->os.rdx = isa_fixture_la(f, others[i]) + 16;
		ASSERT_REFUSED(f, assert_epf(eld(f), f->os.rdx));	/* 9 */
	}
}

static void faults_when_the_owner_is_no_secs(void **state)
{
	struct isa_fixture *f = *state;
	static const uint64_t others[] = { FIXTURE_FREE, FIXTURE_RX, PAGING_VA, PAGING_TARGET };

	for (size_t i = 0; i < 4; i++) {
		prepare(f);
		f->pageinfo.secs = isa_fixture_la(f, others[i]);
		ASSERT_REFUSED(f, assert_epf(eld(f), f->pageinfo.secs)); /* 11 */
	}
	prepare(f);
	f->pageinfo.secs = 0;
	ASSERT_REFUSED(f, assert_epf(eld(f), 0));			/* 11 */
}

static void faults_when_a_page_without_owner_is_given_one(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(paging_ewb(f, PAGING_VA2, 5, &out));
	assert_gp(paging_eld(f, RELOAD, PAGING_VA2, FIXTURE_SECS, 5, &out)); /* 13 */
	assert_done(paging_eld(f, RELOAD, PAGING_VA2, ISA_NO_FRAME, 5, &out));
}

static void reports_the_earliest_check_offended(void **state)
{
	struct isa_fixture *f = *state;

	/* 8 before 9 before 11 before 14. */
	prepare(f);
	f->os.rcx = isa_fixture_la(f, FIXTURE_RX);
	f->os.rdx = isa_fixture_la(f, FIXTURE_TCS);
	f->pageinfo.secs = (uintptr_t)f->page;
	f->pageinfo.linaddr = 0;
	assert_epf(eld(f), f->os.rcx);
	f->os.rcx = isa_fixture_la(f, PAGING_TARGET);
	assert_epf(eld(f), f->os.rdx);
	f->os.rdx = paging_slot(f, PAGING_VA, SLOT);
	assert_epf(eld(f), f->pageinfo.secs);
	f->pageinfo.secs = isa_fixture_la(f, FIXTURE_SECS);
	assert_error(eld(f), SGX_MAC_COMPARE_FAIL);
}

/* --- operands ------------------------------------------------------------- */

static void faults_when_ordinary_memory_does(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->os.rbx = FIXTURE_HOLE;
	ASSERT_REFUSED(f, assert_ordinary_pf(eld(f), FIXTURE_HOLE));
	prepare(f);
	f->pageinfo.secinfo_or_pcmd = FIXTURE_HOLE;
	ASSERT_REFUSED(f, assert_ordinary_pf(eld(f), FIXTURE_HOLE));
	prepare(f);
	f->pageinfo.srcpge = FIXTURE_HOLE;
	ASSERT_REFUSED(f, assert_ordinary_pf(eld(f), FIXTURE_HOLE));
	assert_done(reload(f));
}

/* All ones are read from there. */
static void reads_no_epc_as_an_ordinary_operand(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->os.rbx = isa_fixture_la(f, FIXTURE_RX);
	ASSERT_REFUSED(f, assert_gp(eld(f)));
	prepare(f);
	f->pageinfo.srcpge = isa_fixture_la(f, FIXTURE_RX);
	ASSERT_FORGERY(f, eld(f));
	/* A page type there is none of: no owner, and no MAC. */
	prepare(f);
	f->pageinfo.secinfo_or_pcmd = isa_fixture_la(f, FIXTURE_RX);
	ASSERT_REFUSED(f, assert_gp(eld(f)));
	f->pageinfo.secs = 0;
	ASSERT_FORGERY(f, eld(f));
}

static void destination_that_is_the_slots_page_is_in_use_or_no_va(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->os.rcx = isa_fixture_la(f, PAGING_VA);
	ASSERT_REFUSED(f, assert_epf(eld(f), f->os.rcx));		/* 8 */
	prepare(f);
	f->os.rdx = f->os.rcx + 8;
	ASSERT_REFUSED(f, assert_epf(eld(f), f->os.rdx));		/* 9 */
}

static void lets_operands_overlap(void **state)
{
	struct isa_fixture *f = *state;

	/* PAGEINFO, PCMD and ciphertext on one page: whatever they say, no page. */
	prepare(f);
	memcpy(f->page, &f->pageinfo, sizeof(f->pageinfo));
	f->pageinfo.srcpge = (uintptr_t)f->page;
	f->pageinfo.secinfo_or_pcmd = (uintptr_t)f->page;
	memcpy(f->page, &f->pageinfo, sizeof(f->pageinfo));
	f->os.rbx = (uintptr_t)f->page;
	ASSERT_REFUSED(f, assert_false(isa_is_done(eld(f))));
	assert_done(reload(f));
}

/* --- forgeries ------------------------------------------------------------ */

static void notices_every_flipped_bit_of_the_contents(void **state)
{
	struct isa_fixture *f = *state;

	for (unsigned int bit = 0; bit < SGX_PAGE_SIZE * 8; bit += 61) {
		out.page[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_error(reload(f), SGX_MAC_COMPARE_FAIL);
		out.page[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(isa_epcm_peek(f->m, PAGING_TARGET).valid);
	}
	assert_done(reload(f));
}

/* All but ENCLAVEID, which nothing vouches for. */
static void notices_every_flipped_bit_of_pcmd(void **state)
{
	struct isa_fixture *f = *state;
	uint8_t *pcmd = (void *)&out.pcmd;

	for (unsigned int bit = 0; bit < sizeof(out.pcmd) * 8; bit++) {
		if (bit / 64 == offsetof(struct sgx_pcmd, enclaveid) / 8)
			continue;
		pcmd[bit / 8] ^= (uint8_t)(1u << bit % 8);
		prepare(f);
		/* A page type without owner must not be given one (13). */
		if (!isa_pt_is_child(isa_secinfo_pt(&out.pcmd.secinfo)))
			f->pageinfo.secs = 0;
		assert_error(eld(f), SGX_MAC_COMPARE_FAIL);
		pcmd[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	out.pcmd.enclaveid ^= 1;
	assert_done(reload(f));
}

static void notices_every_flipped_bit_of_the_slot(void **state)
{
	struct isa_fixture *f = *state;
	uint64_t *slot = (uint64_t *)isa_fixture_contents(f, PAGING_VA) + SLOT;

	for (unsigned int bit = 0; bit < 64; bit++) {
		*slot ^= 1ull << bit;
		ASSERT_FORGERY(f, reload(f));
		*slot ^= 1ull << bit;
	}
	assert_done(reload(f));
}

static void notices_another_address(void **state)
{
	struct isa_fixture *f = *state;

	for (unsigned int bit = 0; bit < 64; bit++) {
		prepare(f);
		f->pageinfo.linaddr ^= 1ull << bit;
		assert_error(eld(f), SGX_MAC_COMPARE_FAIL);
	}
}

static void notices_a_wrong_or_empty_slot(void **state)
{
	struct isa_fixture *f = *state;
	static struct paged_out other;

	paging_out(f, FIXTURE_RX, SLOT + 1, &other);
	prepare(f);
	f->os.rdx = paging_slot(f, PAGING_VA, SLOT + 1);
	ASSERT_FORGERY(f, eld(f));
	f->os.rdx = paging_slot(f, PAGING_VA, SLOT + 2);
	ASSERT_FORGERY(f, eld(f));
	f->os.rdx = paging_slot(f, PAGING_VA2, SLOT);
	ASSERT_FORGERY(f, eld(f));
}

static void notices_another_enclave(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	assert_done(isa_fixture_ecreate(f, 40, &secs));
	prepare(f);
	f->pageinfo.secs = isa_fixture_la(f, 40);
	ASSERT_FORGERY(f, eld(f));
}

/* What was true once is not true again. */
static void notices_a_replay(void **state)
{
	struct isa_fixture *f = *state;
	static struct paged_out old;

	memcpy(&old, &out, sizeof(old));
	assert_done(paging_eld(f, ISA_ENCLS_ELDU, PAGING_TARGET, FIXTURE_SECS, SLOT, &out));
	ASSERT_FORGERY(f, paging_eld(f, RELOAD, 21, FIXTURE_SECS, SLOT, &old));
	paging_out(f, PAGING_TARGET, SLOT, &out);
	ASSERT_FORGERY(f, paging_eld(f, RELOAD, 21, FIXTURE_SECS, SLOT, &old));
	assert_done(reload(f));
}

static void notices_two_pages_swapped(void **state)
{
	struct isa_fixture *f = *state;
	static struct paged_out other;

	paging_out(f, FIXTURE_SSA, SLOT + 1, &other);
	ASSERT_FORGERY(f, paging_eld(f, RELOAD, PAGING_TARGET, FIXTURE_SECS, SLOT,
				     &other));
	ASSERT_FORGERY(f, paging_eld(f, RELOAD, PAGING_TARGET, FIXTURE_SECS, SLOT + 1,
				     &out));
	/* Only the contents, only the PCMD. */
	memcpy(f->page, out.page, SGX_PAGE_SIZE);
	memcpy(out.page, other.page, SGX_PAGE_SIZE);
	ASSERT_FORGERY(f, reload(f));
	memcpy(out.page, f->page, SGX_PAGE_SIZE);
	assert_done(reload(f));
	assert_done(paging_eld(f, RELOAD, 21, FIXTURE_SECS, SLOT + 1, &other));
}

static void notices_a_page_of_another_power_cycle(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_fixture *other = isa_fixture_create_seeded(1, 2, 4);
	static struct paged_out same;

	/* The same page with the same version, under another key. */
	isa_fixture_start(other, NULL, 0);
	assert_done(paging_epa(other, PAGING_VA));
	paging_out(other, FIXTURE_RW, SLOT, &same);
	assert_true(paging_slot_value(other, PAGING_VA, SLOT) ==
		    paging_slot_value(f, PAGING_VA, SLOT));
	ASSERT_FORGERY(f, paging_eld(f, RELOAD, PAGING_TARGET, FIXTURE_SECS, SLOT, &same));
	isa_fixture_destroy(other);
}

static void leaves_nothing_of_a_forgery_in_the_page(void **state)
{
	struct isa_fixture *f = *state;

	out.pcmd.mac[0] ^= 1;
	assert_error(reload(f), SGX_MAC_COMPARE_FAIL);
	assert_true(isa_is_zero(isa_fixture_contents(f, PAGING_TARGET), SGX_PAGE_SIZE));
}

/* --- effects -------------------------------------------------------------- */

static void page_comes_back_to_any_frame_through_its_slot(void **state)
{
	struct isa_fixture *f = *state;
	uint8_t source[SGX_PAGE_SIZE];
	struct isa_epcm_info info;

	isa_fixture_source(FIXTURE_RW, source);
	assert_done(reload(f));
	info = isa_epcm_peek(f->m, PAGING_TARGET);
	assert_true(info.valid);
	assert_int_equal(info.blocked, LEAVES_BLOCKED);
	assert_int_equal(info.pt, PT_REG);
	assert_int_equal(info.rwx, SECINFO_R | SECINFO_W);
	assert_false(info.pending || info.modified || info.pr);
	assert_int_equal(info.secs_frame, FIXTURE_SECS);
	assert_true(info.enclaveaddress == f->la[FIXTURE_RW]);
	assert_memory_equal(isa_fixture_contents(f, PAGING_TARGET), source, SGX_PAGE_SIZE);
	assert_int_equal(paging_slot_value(f, PAGING_VA, SLOT), 0);
}

/* Nothing was translated meanwhile: a page that came back blocked may go at once. */
static void blocked_reload_needs_no_cycle(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(reload(f));
	if (LEAVES_BLOCKED)
		assert_done(paging_ewb(f, PAGING_TARGET, SLOT, &out));
	else
		assert_error(paging_ewb(f, PAGING_TARGET, SLOT, &out), SGX_PAGE_NOT_BLOCKED);
}

static void state_of_the_page_survives(void **state)
{
	struct isa_fixture *f = *state;
	static const uint64_t words[] = {
		EPCM_PT(PT_REG) | EPCM_RWX(3) | EPCM_PENDING,
		EPCM_PT(PT_REG) | EPCM_RWX(1) | EPCM_PR,
		EPCM_PT(PT_REG) | EPCM_RWX(5),
		EPCM_PT(PT_TCS) | EPCM_MODIFIED,
		EPCM_PT(PT_TRIM) | EPCM_MODIFIED,
		EPCM_PT(PT_TRIM),
		EPCM_PT(PT_SS_FIRST) | EPCM_RWX(3),
		EPCM_PT(PT_SS_REST) | EPCM_RWX(3) | EPCM_PENDING,
	};

	for (unsigned int i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const uint64_t word = (FIXTURE_BASE + 0x9000) | words[i] | EPCM_VALID;

		paging_fake(f, 40, FIXTURE_SECS, word);
		paging_out(f, 40, 20, &out);
		assert_done(paging_eld(f, RELOAD, 41, FIXTURE_SECS, 20, &out));
		assert_int_equal(isa_epcm_word(&f->m->epcm[41]),
				 word | (LEAVES_BLOCKED ? EPCM_BLOCKED : 0));
		assert_done(isa_fixture_eremove(f, 41));
	}
}

static void va_page_brings_its_slots_back(void **state)
{
	struct isa_fixture *f = *state;
	static struct paged_out va;

	/* The slot of FIXTURE_RW goes out itself, and comes back elsewhere. */
	f->pageinfo = (struct sgx_pageinfo){
		.srcpge = (uintptr_t)va.page,
		.secinfo_or_pcmd = (uintptr_t)&va.pcmd,
	};
	f->os.rbx = (uintptr_t)&f->pageinfo;
	f->os.rcx = isa_fixture_la(f, PAGING_VA);
	f->os.rdx = paging_slot(f, PAGING_VA2, 0);
	assert_done(isa_encls(&f->os, ISA_ENCLS_EWB));
	prepare(f);
	assert_epf(eld(f), f->os.rdx);

	f->pageinfo = (struct sgx_pageinfo){
		.srcpge = (uintptr_t)va.page,
		.secinfo_or_pcmd = (uintptr_t)&va.pcmd,
	};
	f->os.rcx = isa_fixture_la(f, 50);
	f->os.rdx = paging_slot(f, PAGING_VA2, 0);
	assert_done(eld(f));
	/* Whatever the leaf: nothing is translated to it. */
	assert_false(isa_epcm_peek(f->m, 50).blocked);
	prepare(f);
	f->os.rdx = paging_slot(f, 50, SLOT);
	assert_done(eld(f));
}

/* The slots die with their page. */
static void removed_va_page_takes_its_pages_along(void **state)
{
	struct isa_fixture *f = *state;

	assert_done(isa_fixture_eremove(f, PAGING_VA));
	assert_done(paging_epa(f, PAGING_VA));
	assert_error(reload(f), SGX_MAC_COMPARE_FAIL);
}

static void child_needs_its_secs(void **state)
{
	struct isa_fixture *f = *state;

	for (uint64_t i = FIXTURE_FREE; i-- > 0;)
		assert_done(isa_fixture_eremove(f, i));
	ASSERT_REFUSED(f, assert_epf(reload(f), isa_fixture_la(f, FIXTURE_SECS)));
	/* The same enclave again is another one. */
	isa_fixture_build(f, NULL);
	ASSERT_FORGERY(f, reload(f));
}

/* --- a whole enclave ------------------------------------------------------- */

static struct paged_out parts[FIXTURE_FREE];

static void whole_enclave_goes_out(struct isa_fixture *f)
{
	memcpy(&parts[FIXTURE_RW], &out, sizeof(out));
	for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++)
		if (i != FIXTURE_RW)
			paging_out(f, i, (unsigned int)i + 100, &parts[i]);
	assert_done(paging_ewb(f, FIXTURE_SECS, 100, &parts[0]));
}

static void secs_comes_back_with_all_it_was(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t eid = isa_secs_state(isa_fixture_contents(f, FIXTURE_SECS))->eid;
	struct isa_epcm_info info;

	assert_int_equal(isa_secs_share(f->m, FIXTURE_SECS, &f->blk), 0);
	whole_enclave_goes_out(f);
	/* A thread nobody accounted for in the block that is shared no more. */
	atomic_store(&f->blk.nr_inside[0], 5);
	assert_done(paging_eld(f, RELOAD, 30, ISA_NO_FRAME, 100, &parts[0]));
	info = isa_epcm_peek(f->m, 30);
	assert_true(info.valid && !info.blocked);
	assert_int_equal(info.pt, PT_SECS);
	assert_true(info.secs_frame == ISA_NO_FRAME);
	assert_int_equal(isa_secs_state(isa_fixture_contents(f, 30))->eid, eid);
	assert_false(isa_secs_is_active(f->m, 30));
	assert_ptr_not_equal(isa_secs_block(f->m, 30), &f->blk);
	assert_int_equal(isa_secs_block(f->m, 30)->initialized, 1);

	/* Its pages, those that went out with it and the one that went before. */
	for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++) {
		const unsigned int slot = i == FIXTURE_RW ? SLOT : (unsigned int)i + 100;

		assert_done(paging_eld(f, ISA_ENCLS_ELDU, i, 30, slot, &parts[i]));
	}
	assert_error(isa_fixture_eremove(f, 30), SGX_CHILD_PRESENT);

	/* And it runs. */
	assert_int_equal(isa_secs_share(f->m, 30, &f->blk), 0);
	assert_error(paging_eld(f, RELOAD, FIXTURE_SECS, ISA_NO_FRAME, 100, &parts[0]),
		     SGX_MAC_COMPARE_FAIL);
	f->encl.secs_frame = 30;
	memset(isa_fixture_contents(f, FIXTURE_RW), 0, SGX_PAGE_SIZE);
	f->encl.rbx = f->encl.rcx = f->la[FIXTURE_RW];
	assert_error(isa_enclu(&f->encl, ISA_ENCLU_EGETKEY), SGX_INVALID_ATTRIBUTE);
}

/* What was told a block that is shared no more, the next one knows too. */
static void block_after_a_reload_is_as_new(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	struct isa_encl_block *blk;

	isa_fixture_build(f, NULL);
	assert_int_equal(isa_secs_share(f->m, FIXTURE_SECS, &f->blk), 0);
	isa_fixture_sigstruct(f, NULL, 0);
	assert_done(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, NULL));
	assert_done(paging_epa(f, PAGING_VA));
	for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++)
		paging_out(f, i, (unsigned int)i, &parts[i]);
	assert_done(paging_ewb(f, FIXTURE_SECS, 100, &parts[0]));
	assert_done(paging_eld(f, RELOAD, FIXTURE_SECS, ISA_NO_FRAME, 100, &parts[0]));
	blk = isa_secs_block(f->m, FIXTURE_SECS);
	assert_int_equal(atomic_load(&blk->initialized), 1);
	assert_true(blk->attributes & ATTR_INIT);
	/* One cycle for each page. */
	assert_int_equal(atomic_load(&blk->epoch), FIXTURE_FREE - FIXTURE_TCS);
	isa_fixture_destroy(f);
	(void)state;
}

static void tracking_goes_on_after_a_reload(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_thread t;

	assert_done(paging_etrack(f, FIXTURE_SECS));
	whole_enclave_goes_out(f);
	assert_done(paging_eld(f, RELOAD, FIXTURE_SECS, ISA_NO_FRAME, 100, &parts[0]));
	for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++)
		assert_done(paging_eld(f, ISA_ENCLS_ELDU, i, FIXTURE_SECS,
				       i == FIXTURE_RW ? SLOT : (unsigned int)i + 100, &parts[i]));
	paging_enter(f, &t, FIXTURE_TCS);
	assert_done(paging_eblock(f, FIXTURE_RX));
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_error(paging_ewb(f, FIXTURE_RX, 0, &out), SGX_NOT_TRACKED);
	assert_error(isa_fixture_eremove(f, FIXTURE_RX), SGX_ENCLAVE_ACT);
	paging_exit(&t);
	assert_done(paging_ewb(f, FIXTURE_RX, 0, &out));
}

/* The measurement of an enclave that is not finished yet travels too. */
static void enclave_can_be_finished_after_a_reload(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_build(f, NULL);
	assert_done(paging_epa(f, PAGING_VA));
	for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++)
		paging_out(f, i, (unsigned int)i, &parts[i]);
	assert_done(paging_ewb(f, FIXTURE_SECS, 100, &parts[0]));
	memset(isa_fixture_contents(f, FIXTURE_SECS), 0x33, SGX_PAGE_SIZE);
	assert_done(paging_eld(f, RELOAD, FIXTURE_SECS, ISA_NO_FRAME, 100, &parts[0]));
	isa_fixture_sigstruct(f, NULL, 0);
	assert_done(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, NULL));
	isa_fixture_destroy(f);
	(void)state;
}

/* --- property -------------------------------------------------------------- */

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Random pages, random slots, random order of return: each is what it was. */
static void random_pages_survive_the_journey(void **state)
{
	enum { NR = 24 };
	struct isa_fixture *f = *state;
	static uint8_t plain[NR][SGX_PAGE_SIZE];
	static struct paged_out outside[NR];
	uint64_t seed = 0x9e3779b97f4a7c15;

	for (unsigned int i = 0; i < NR; i++) {
		paging_fake(f, 30 + i, FIXTURE_SECS,
			    (FIXTURE_BASE + 0x8000) | EPCM_PT(PT_REG) | EPCM_RWX(i));
		memset(isa_fixture_contents(f, 30 + i), 0, SGX_PAGE_SIZE);
	}
	for (unsigned int round = 0; round < 60; round++) {
		const unsigned int i = (unsigned int)(next_random(&seed) % NR);
		const unsigned int slot = (unsigned int)(next_random(&seed) % 8) * NR + i + 8;
		uint64_t *page = isa_fixture_contents(f, 30 + i);

		for (unsigned int j = 0; j < SGX_PAGE_SIZE / 8; j++)
			page[j] = next_random(&seed);
		memcpy(plain[i], page, SGX_PAGE_SIZE);
		paging_out(f, 30 + i, slot, &outside[i]);
		memset(page, 0xee, SGX_PAGE_SIZE);
		assert_done(paging_eld(f, ISA_ENCLS_ELDU, 30 + i, FIXTURE_SECS, slot,
				       &outside[i]));
		for (unsigned int j = 0; j < NR; j++)
			if (j == i || !isa_is_zero(plain[j], SGX_PAGE_SIZE))
				assert_memory_equal(isa_fixture_contents(f, 30 + j), plain[j],
						    SGX_PAGE_SIZE);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(faults_on_unaligned_operands),
		CASE(faults_when_an_operand_is_no_epc),
		CASE(faults_when_a_page_is_busy),
		CASE(says_what_it_is_told_to_on_conflict),
		CASE(faults_when_the_destination_is_in_use),
		CASE(faults_when_the_slot_is_in_no_va_page),
		CASE(faults_when_the_owner_is_no_secs),
		CASE(faults_when_a_page_without_owner_is_given_one),
		CASE(reports_the_earliest_check_offended),
		CASE(faults_when_ordinary_memory_does),
		CASE(reads_no_epc_as_an_ordinary_operand),
		CASE(destination_that_is_the_slots_page_is_in_use_or_no_va),
		CASE(lets_operands_overlap),
		CASE(notices_every_flipped_bit_of_the_contents),
		CASE(notices_every_flipped_bit_of_pcmd),
		CASE(notices_every_flipped_bit_of_the_slot),
		CASE(notices_another_address),
		CASE(notices_a_wrong_or_empty_slot),
		CASE(notices_another_enclave),
		CASE(notices_a_replay),
		CASE(notices_two_pages_swapped),
		CASE(notices_a_page_of_another_power_cycle),
		CASE(leaves_nothing_of_a_forgery_in_the_page),
		CASE(page_comes_back_to_any_frame_through_its_slot),
		CASE(blocked_reload_needs_no_cycle),
		CASE(state_of_the_page_survives),
		CASE(va_page_brings_its_slots_back),
		CASE(removed_va_page_takes_its_pages_along),
		CASE(child_needs_its_secs),
		CASE(secs_comes_back_with_all_it_was),
		CASE(block_after_a_reload_is_as_new),
		CASE(tracking_goes_on_after_a_reload),
		CASE(enclave_can_be_finished_after_a_reload),
		CASE(random_pages_survive_the_journey),
	};

	return cmocka_run_group_tests_name(isa_leaf_name(ISA_ENCLS, RELOAD), tests, NULL, NULL);
}
