/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Oversubscription: ERDINFO, ETRACKC, the virtual children and the context of a
 * SECS, and what a guest's conflicts become.  ELDBC and ELDUC are with ELDB.
 */
#include "paging.h"

#define UNUSED 40u

static struct isa_outcome encls(struct isa_fixture *f, enum isa_leaf leaf, uint64_t rbx, uint64_t rcx)
{
	f->os.rbx = rbx;
	f->os.rcx = rcx;
	return isa_encls(&f->os, leaf);
}

static struct isa_outcome enclv(struct isa_fixture *f, enum isa_leaf leaf, uint64_t frame,
				uint64_t secs_frame)
{
	f->os.rbx = isa_fixture_la(f, frame);
	f->os.rcx = isa_fixture_la(f, secs_frame);
	return isa_enclv(&f->os, leaf);
}

/* The host's VMM by default; a guest whose VMM resolves conflicts on demand. */
static int before_each(void **state)
{
	paging_setup(state);
	((struct isa_fixture *)*state)->os.vmx.operation = ISA_VMX_ROOT;
	return 0;
}

static void become_guest(struct isa_fixture *f)
{
	f->os.vmx = (struct isa_vmx){
		.operation = ISA_VMX_GUEST, .enclv_exiting = true, .epc_virtualization = true,
	};
}

static void become_host(struct isa_fixture *f)
{
	f->os.vmx = (struct isa_vmx){ .operation = ISA_VMX_ROOT };
}

static void assert_info(struct isa_outcome out, enum sgx_error code)
{
	assert_int_equal(out.kind, ISA_INFO);
	assert_int_equal(out.code, code);
}

/* --- ERDINFO -------------------------------------------------------------- */

static struct isa_outcome erdinfo(struct isa_fixture *f, uint64_t frame, struct sgx_rdinfo *info)
{
	struct sgx_rdinfo *operand = (void *)f->page;
	struct isa_outcome out;

	memset(operand, 0xee, sizeof(*operand));
	out = encls(f, ISA_ENCLS_ERDINFO, (uintptr_t)operand, isa_fixture_la(f, frame));
	*info = *operand;
	return out;
}

static void erdinfo_tells_what_a_page_is(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t context = isa_fixture_la(f, FIXTURE_SECS);
	struct sgx_rdinfo info;

	assert_done(erdinfo(f, FIXTURE_RW, &info));
	assert_int_equal(info.status, 0);
	assert_int_equal(info.flags, SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W);
	assert_int_equal(info.enclavecontext, context);
	assert_done(paging_eblock(f, FIXTURE_RW));
	assert_done(isa_fixture_emodpr(f, FIXTURE_RX, SECINFO_R));
	assert_done(erdinfo(f, FIXTURE_RW, &info));
	assert_true(info.flags ==
		    (SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W | RDINFO_BLOCKED));
	assert_done(erdinfo(f, FIXTURE_RX, &info));
	assert_true(info.flags == (SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_PR));
	assert_done(erdinfo(f, PAGING_VA, &info));
	assert_int_equal(info.status, 0);
	assert_int_equal(info.flags, SECINFO_PT(PT_VA));
	assert_int_equal(info.enclavecontext, 0);
}

static void erdinfo_tells_of_children(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_rdinfo info;

	assert_done(erdinfo(f, FIXTURE_SECS, &info));
	assert_int_equal(info.status, RDINFO_CHILDPRESENT);
	assert_int_equal(info.enclavecontext, isa_fixture_la(f, FIXTURE_SECS));
	assert_done(enclv(f, ISA_ENCLV_EINCVIRTCHILD, FIXTURE_RW, FIXTURE_SECS));
	assert_done(erdinfo(f, FIXTURE_SECS, &info));
	assert_int_equal(info.status, RDINFO_CHILDPRESENT | RDINFO_VIRTCHILDPRESENT);
	become_guest(f);
	assert_done(erdinfo(f, FIXTURE_SECS, &info));
	assert_int_equal(info.status, RDINFO_CHILDPRESENT);
	assert_int_equal(info.enclavecontext, 0);
	become_host(f);
	for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++)
		assert_done(isa_fixture_eremove(f, i));
	assert_done(erdinfo(f, FIXTURE_SECS, &info));
	assert_int_equal(info.status, RDINFO_VIRTCHILDPRESENT);
	become_guest(f);
	assert_done(erdinfo(f, FIXTURE_SECS, &info));
	assert_int_equal(info.status, RDINFO_CHILDPRESENT);
}

static void erdinfo_refuses(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t page = (uintptr_t)f->page, rw = isa_fixture_la(f, FIXTURE_RW);
	struct sgx_rdinfo info, untouched;

	memset(&untouched, 0xee, sizeof(untouched));
	assert_gp(encls(f, ISA_ENCLS_ERDINFO, page + 16, rw));		/* 1 */
	assert_gp(encls(f, ISA_ENCLS_ERDINFO, page, rw + 64));		/* 2 */
	assert_ordinary_pf(encls(f, ISA_ENCLS_ERDINFO, page, FIXTURE_HOLE), FIXTURE_HOLE);
	assert_info(encls(f, ISA_ENCLS_ERDINFO, page, page), SGX_PG_NONEPC); /* 3 */
	assert_true(isa_epcm_try_exclusive(&f->m->epcm[FIXTURE_RW]));
	assert_error(erdinfo(f, FIXTURE_RW, &info), SGX_EPC_PAGE_CONFLICT); /* 4 */
	isa_epcm_release_exclusive(&f->m->epcm[FIXTURE_RW]);
	assert_info(erdinfo(f, UNUSED, &info), SGX_PG_INVLD);		/* 5 */
	assert_memory_equal(&info, &untouched, sizeof(info));
	assert_ordinary_pf(encls(f, ISA_ENCLS_ERDINFO, FIXTURE_HOLE, rw), FIXTURE_HOLE);
}

/* --- ETRACKC -------------------------------------------------------------- */

static struct isa_outcome etrackc(struct isa_fixture *f, uint64_t frame)
{
	return encls(f, ISA_ENCLS_ETRACKC, 0, isa_fixture_la(f, frame));
}

static void etrackc_tracks_the_enclave_of_a_page(void **state)
{
	static const uint64_t frames[] = { FIXTURE_RW, FIXTURE_TCS, FIXTURE_SECS };
	struct sgx_secs *secs = isa_fixture_contents(*state, FIXTURE_SECS);
	struct isa_fixture *f = *state;
	struct isa_thread t = { 0 };
	struct paged_out out;

	for (size_t i = 0; i < 3; i++) {
		const uint64_t epoch = isa_secs_epoch(secs);

		assert_done(etrackc(f, frames[i]));
		assert_int_equal(isa_secs_epoch(secs), epoch + 1);
	}
	paging_enter(f, &t, FIXTURE_TCS);
	assert_done(paging_eblock(f, FIXTURE_RW));
	assert_done(etrackc(f, FIXTURE_RW));
	assert_error(paging_ewb(f, FIXTURE_RW, 0, &out), SGX_NOT_TRACKED);
	assert_error(etrackc(f, FIXTURE_RW), SGX_PREV_TRK_INCMPL);	/* 7 */
	paging_exit(&t);
	assert_done(paging_ewb(f, FIXTURE_RW, 0, &out));
}

static void etrackc_refuses(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secs *secs = isa_fixture_contents(f, FIXTURE_SECS);
	const uint64_t ram = (uintptr_t)f->page;

	assert_gp(encls(f, ISA_ENCLS_ETRACKC, 0, isa_fixture_la(f, FIXTURE_RW) + 8)); /* 1 */
	assert_epf(encls(f, ISA_ENCLS_ETRACKC, 0, ram), ram);		/* 2 */
	assert_ordinary_pf(encls(f, ISA_ENCLS_ETRACKC, 0, FIXTURE_HOLE), FIXTURE_HOLE);
	assert_true(isa_epcm_try_exclusive(&f->m->epcm[FIXTURE_RW]));
	assert_error(etrackc(f, FIXTURE_RW), SGX_EPC_PAGE_CONFLICT);	/* 3 */
	isa_epcm_release_exclusive(&f->m->epcm[FIXTURE_RW]);
	assert_error(etrackc(f, UNUSED), SGX_PG_INVLD);			/* 4 */
	assert_info(etrackc(f, PAGING_VA), SGX_TRACK_NOT_REQUIRED);	/* 5 */
	assert_true(isa_secs_try_track(secs));
	assert_error(etrackc(f, FIXTURE_RW), SGX_EPC_PAGE_CONFLICT);	/* 6 */
	isa_secs_release_track(secs);
	assert_done(etrackc(f, FIXTURE_RW));
}

/* --- ENCLV ---------------------------------------------------------------- */

static void virtual_children_are_counted(void **state)
{
	struct isa_fixture *f = *state;

	assert_error(enclv(f, ISA_ENCLV_EDECVIRTCHILD, FIXTURE_RW, FIXTURE_SECS),
		     SGX_INVALID_COUNTER);				/* 8 */
	assert_done(enclv(f, ISA_ENCLV_EINCVIRTCHILD, FIXTURE_RW, FIXTURE_SECS));
	assert_done(enclv(f, ISA_ENCLV_EINCVIRTCHILD, FIXTURE_SECS, FIXTURE_SECS));
	assert_done(enclv(f, ISA_ENCLV_EDECVIRTCHILD, FIXTURE_TCS, FIXTURE_SECS));
	assert_done(enclv(f, ISA_ENCLV_EDECVIRTCHILD, FIXTURE_SECS, FIXTURE_SECS));
	assert_error(enclv(f, ISA_ENCLV_EDECVIRTCHILD, FIXTURE_SECS, FIXTURE_SECS),
		     SGX_INVALID_COUNTER);
}

/* A guest's SECS looks as if the children its VMM evicted were there. */
static void a_guest_cannot_free_a_secs_with_virtual_children(void **state)
{
	struct isa_fixture *f = *state;
	struct paged_out out;

	assert_done(enclv(f, ISA_ENCLV_EINCVIRTCHILD, FIXTURE_RW, FIXTURE_SECS));
	for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++)
		assert_done(isa_fixture_eremove(f, i));
	become_guest(f);
	assert_error(isa_fixture_eremove(f, FIXTURE_SECS), SGX_CHILD_PRESENT);
	assert_error(paging_ewb(f, FIXTURE_SECS, 0, &out), SGX_CHILD_PRESENT);
	/* Without the extensions a guest sees what is there. */
	f->os.vmx.epc_virtualization = false;
	assert_done(isa_fixture_eremove(f, FIXTURE_SECS));
}

/* The count and the context are the SECS's, and the context follows its address. */
static void a_secs_takes_its_count_along(void **state)
{
	struct isa_fixture *f = *state;
	struct paged_out out;
	struct sgx_rdinfo info;

	assert_done(enclv(f, ISA_ENCLV_EINCVIRTCHILD, FIXTURE_SECS, FIXTURE_SECS));
	for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++)
		assert_done(isa_fixture_eremove(f, i));
	assert_done(paging_ewb(f, FIXTURE_SECS, 3, &out));
	assert_done(paging_eld(f, ISA_ENCLS_ELDUC, PAGING_TARGET, ISA_NO_FRAME, 3, &out));
	assert_done(erdinfo(f, PAGING_TARGET, &info));
	assert_int_equal(info.status, RDINFO_VIRTCHILDPRESENT);
	assert_int_equal(info.enclavecontext, isa_fixture_la(f, PAGING_TARGET));
}

static void virtchild_refuses(void **state)
{
	static const enum isa_leaf leaves[] = { ISA_ENCLV_EINCVIRTCHILD, ISA_ENCLV_EDECVIRTCHILD };
	struct isa_fixture *f = *state;
	const uint64_t ram = (uintptr_t)f->page, secs = isa_fixture_la(f, FIXTURE_SECS);
	const uint64_t rw = isa_fixture_la(f, FIXTURE_RW);
	struct isa_lp *lp = &f->os;

	for (int i = 0; i < 2; i++) {
		lp->rbx = rw + 8;
		lp->rcx = secs;
		assert_gp(isa_enclv(lp, leaves[i]));			/* 1 */
		lp->rbx = rw;
		lp->rcx = secs + 8;
		assert_gp(isa_enclv(lp, leaves[i]));			/* 1 */
		lp->rcx = ram;
		assert_epf(isa_enclv(lp, leaves[i]), ram);		/* 3 */
		lp->rbx = ram + SGX_PAGE_SIZE;
		assert_epf(isa_enclv(lp, leaves[i]), ram + SGX_PAGE_SIZE); /* 2 */
		lp->rbx = FIXTURE_HOLE;
		assert_ordinary_pf(isa_enclv(lp, leaves[i]), FIXTURE_HOLE);
		assert_true(isa_epcm_try_exclusive(&f->m->epcm[FIXTURE_RW]));
		assert_error(enclv(f, leaves[i], FIXTURE_RW, FIXTURE_SECS),
			     SGX_EPC_PAGE_CONFLICT);			/* 4 */
		isa_epcm_release_exclusive(&f->m->epcm[FIXTURE_RW]);
		assert_epf(enclv(f, leaves[i], UNUSED, FIXTURE_SECS),
			   isa_fixture_la(f, UNUSED));			/* 5 */
		assert_epf(enclv(f, leaves[i], PAGING_VA, FIXTURE_SECS),
			   isa_fixture_la(f, PAGING_VA));		/* 6 */
		assert_gp(enclv(f, leaves[i], FIXTURE_RW, PAGING_VA));	/* 7 */
		assert_gp(enclv(f, leaves[i], FIXTURE_RW, FIXTURE_RX));	/* 7 */
	}
}

static struct isa_outcome esetcontext(struct isa_fixture *f, uint64_t frame)
{
	f->os.rcx = isa_fixture_la(f, frame);
	return isa_enclv(&f->os, ISA_ENCLV_ESETCONTEXT);
}

static void a_context_can_be_set(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t context = 0x123456789;
	struct sgx_rdinfo info;

	f->os.rdx = (uintptr_t)&context;
	assert_done(esetcontext(f, FIXTURE_SECS));
	assert_done(erdinfo(f, FIXTURE_RX, &info));
	assert_int_equal(info.enclavecontext, context);
}

static void esetcontext_refuses(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t context = 1, good = (uintptr_t)&context;
	const uint64_t ram = (uintptr_t)f->page;
	struct isa_lp *lp = &f->os;

	lp->rdx = good + 4;
	lp->rcx = isa_fixture_la(f, FIXTURE_SECS) + 8;
	assert_gp(isa_enclv(lp, ISA_ENCLV_ESETCONTEXT));		/* 1 */
	lp->rcx = ram;
	assert_epf(isa_enclv(lp, ISA_ENCLV_ESETCONTEXT), ram);		/* 2 */
	assert_gp(esetcontext(f, FIXTURE_SECS));			/* 3 */
	lp->rdx = FIXTURE_HOLE;
	assert_ordinary_pf(esetcontext(f, FIXTURE_SECS), FIXTURE_HOLE);	/* 4 */
	lp->rdx = good;
	assert_true(isa_epcm_try_exclusive(&f->m->epcm[FIXTURE_SECS]));
	assert_error(esetcontext(f, FIXTURE_SECS), SGX_EPC_PAGE_CONFLICT); /* 5 */
	isa_epcm_release_exclusive(&f->m->epcm[FIXTURE_SECS]);
	assert_epf(esetcontext(f, FIXTURE_RW), isa_fixture_la(f, FIXTURE_RW)); /* 6 */
	assert_epf(esetcontext(f, UNUSED), isa_fixture_la(f, UNUSED));	/* 6 */
}

/* --- conflicts in a guest --------------------------------------------------- */

static void assert_exit(struct isa_fixture *f, struct isa_outcome out, uint32_t qualification,
			uint64_t linear, uint64_t physical)
{
	assert_int_equal(out.kind, ISA_VMEXIT);
	assert_int_equal(out.vector, VMX_EXIT_SGX_CONFLICT);
	assert_int_equal(f->os.vmexit.reason, VMX_EXIT_SGX_CONFLICT);
	assert_int_equal(f->os.vmexit.qualification, qualification);
	assert_int_equal(f->os.vmexit.guest_linear, linear);
	assert_int_equal(f->os.vmexit.guest_physical, physical);
}

/* Leaves that take their page for themselves, with operands good enough to get there. */
static void page_conflicts_exit(void **state)
{
	static const struct {
		enum isa_leaf leaf;
		bool reports;			/* the loser would get a code */
	} rows[] = {
		{ ISA_ENCLS_EREMOVE, false }, { ISA_ENCLS_ELDB, false }, { ISA_ENCLS_ELDU, false },
		{ ISA_ENCLS_ELDBC, true }, { ISA_ENCLS_ELDUC, true }, { ISA_ENCLS_EPA, false },
		{ ISA_ENCLS_EWB, false }, { ISA_ENCLS_EMODT, true }, { ISA_ENCLS_EAUG, false },
		{ ISA_ENCLS_EADD, false }, { ISA_ENCLS_ECREATE, false },
	};
	struct isa_fixture *f = *state;
	const uint64_t la = isa_fixture_la(f, UNUSED);
	struct paged_out paged;
	struct sgx_secs secs;

	paging_out(f, FIXTURE_RW, 1, &paged);
	isa_fixture_default_secs(&secs);
	become_guest(f);
	assert_true(isa_epcm_try_exclusive(&f->m->epcm[UNUSED]));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const uint32_t qualification = rows[i].reports ?
			EPC_PAGE_CONFLICT_ERROR | SGX_EPC_PAGE_CONFLICT << 16 :
			EPC_PAGE_CONFLICT_EXCEPTION;
		struct isa_outcome out;

		switch (rows[i].leaf) {
		case ISA_ENCLS_ELDB:
		case ISA_ENCLS_ELDU:
		case ISA_ENCLS_ELDBC:
		case ISA_ENCLS_ELDUC:
			out = paging_eld(f, rows[i].leaf, UNUSED, FIXTURE_SECS, 1, &paged);
			break;
		case ISA_ENCLS_EPA:
			out = paging_epa(f, UNUSED);
			break;
		case ISA_ENCLS_EWB:
			out = paging_ewb(f, UNUSED, 2, &paged);
			break;
		case ISA_ENCLS_EMODT:
			out = isa_fixture_emodt(f, UNUSED, SECINFO_PT(PT_TRIM));
			break;
		case ISA_ENCLS_EAUG:
			out = isa_fixture_eaug(f, UNUSED, FIXTURE_BASE + 0x8000);
			break;
		case ISA_ENCLS_EADD:
			out = isa_fixture_eadd(f, UNUSED, FIXTURE_SECS, FIXTURE_BASE + 0x8000,
					       paged.page, SECINFO_PT(PT_REG) | SECINFO_R);
			break;
		case ISA_ENCLS_ECREATE:
			out = isa_fixture_ecreate(f, UNUSED, &secs);
			break;
		default:
			out = isa_fixture_eremove(f, UNUSED);
		}
		assert_exit(f, out, qualification, la, la);
	}
	isa_epcm_release_exclusive(&f->m->epcm[UNUSED]);
}

static void tracking_conflicts_exit(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secs *secs = isa_fixture_contents(f, FIXTURE_SECS);
	const uint64_t context = 0xabc000;
	struct isa_thread t = { 0 };

	f->os.rdx = (uintptr_t)&context;
	assert_done(esetcontext(f, FIXTURE_SECS));
	become_guest(f);
	assert_true(isa_secs_try_track(secs));
	assert_exit(f, paging_etrack(f, FIXTURE_SECS), TRACKING_RESOURCE_CONFLICT, 0, context);
	assert_exit(f, etrackc(f, FIXTURE_RW), TRACKING_RESOURCE_CONFLICT, 0, context);
	isa_secs_release_track(secs);
	paging_enter(f, &t, FIXTURE_TCS);
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_exit(f, paging_etrack(f, FIXTURE_SECS), TRACKING_REFERENCE_CONFLICT, 0, context);
	assert_exit(f, etrackc(f, FIXTURE_RW), TRACKING_REFERENCE_CONFLICT, 0, context);
	paging_exit(&t);
	assert_done(paging_etrack(f, FIXTURE_SECS));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, before_each, isa_fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(erdinfo_tells_what_a_page_is),
		CASE(erdinfo_tells_of_children),
		CASE(erdinfo_refuses),
		CASE(etrackc_tracks_the_enclave_of_a_page),
		CASE(etrackc_refuses),
		CASE(virtual_children_are_counted),
		CASE(a_guest_cannot_free_a_secs_with_virtual_children),
		CASE(a_secs_takes_its_count_along),
		CASE(virtchild_refuses),
		CASE(a_context_can_be_set),
		CASE(esetcontext_refuses),
		CASE(page_conflicts_exit),
		CASE(tracking_conflicts_exit),
	};

	return cmocka_run_group_tests_name("oversub", tests, NULL, NULL);
}
