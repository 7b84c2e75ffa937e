/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ERESUME: each check with its outcome and in its order, what comes back from
 * the frame, and the notification of an asynchronous exit.
 */
#include <string.h>

#include "small-encl.h"

#define IOPL3 0x3000ull
#define IF 0x200ull
#define VM 0x20000ull

static struct small_encl encl;

/* Interrupted once: frame 0 holds small_inside_regs(), CSSA is 1. */
static void interrupted(struct small_encl *s)
{
	small_encl_init(s);
	small_enter(s);
	s->regs = small_interrupt(s);
	memset(&s->thread, 0, sizeof(s->thread));
}

/* The same, with a request to be notified. */
static void notified(struct small_encl *s)
{
	interrupted(s);
	s->blk.attributes |= ATTR_AEXNOTIFY;
	small_tcs(s)->flags |= TCS_AEXNOTIFY;
	small_gprsgx(s, 0)->aexnotify = GPRSGX_AEXNOTIFY_REQUEST;
	s->regs.rip = ENCLU_RIP;
}

static int setup(void **state)
{
	interrupted(&encl);
	*state = &encl;
	return 0;
}

static int setup_notified(void **state)
{
	notified(&encl);
	*state = &encl;
	return 0;
}

static struct isa_outcome eresume(struct isa_thread *t, const struct isa_encl_view *view,
				  struct isa_regs *r)
{
	const uint8_t *xsave;

	return isa_eresume(t, view, r, &xsave);
}

static struct isa_regs resume(struct small_encl *s)
{
	struct isa_regs r = s->regs;

	assert_int_equal(eresume(&s->thread, &s->view, &r).kind, ISA_DONE);
	return r;
}

/* --- checks -------------------------------------------------------------- */

static void cssa_zero(struct small_encl *s)
{
	small_tcs(s)->cssa = 0;
}

static void rip_noncanonical(struct small_encl *s)
{
	small_gprsgx(s, 0)->rip = NONCANONICAL;
}

static void fsbase_noncanonical(struct small_encl *s)
{
	small_gprsgx(s, 0)->fsbase = NONCANONICAL;
}

static void gsbase_noncanonical(struct small_encl *s)
{
	small_gprsgx(s, 0)->gsbase = NONCANONICAL;
}

static void xstate_bv_beyond_xfrm(struct small_encl *s)
{
	small_xsave(s, 0)[512] |= 0x20;
}

static void xcomp_bv_set(struct small_encl *s)
{
	small_xsave(s, 0)[527] = 0x80;
}

static void xsave_header_byte_23_set(struct small_encl *s)
{
	small_xsave(s, 0)[535] = 1;
}

static void mxcsr_reserved(struct small_encl *s)
{
	small_xsave(s, 0)[26] = 1;
}

static const struct entry_check cssa_checks[] = {
	{ "19: CSSA = 0", cssa_zero, X86_GP, 0, 0 },
	{ 0 },
};

static const struct entry_check target_checks[] = {
	{ "24: RIP not canonical", rip_noncanonical, X86_GP, 0, 0 },
	{ "25: FS base not canonical", fsbase_noncanonical, X86_GP, 0, 0 },
	{ "25: GS base not canonical", gsbase_noncanonical, X86_GP, 0, 0 },
	{ 0 },
};

static const struct entry_check xrstor_checks[] = {
	{ "28: XSTATE_BV beyond XFRM", xstate_bv_beyond_xfrm, X86_GP, 0, 0 },
	{ "28: XCOMP_BV", xcomp_bv_set, X86_GP, 0, 0 },
	{ "28: header byte 23", xsave_header_byte_23_set, X86_GP, 0, 0 },
	{ "28: MXCSR reserved bits", mxcsr_reserved, X86_GP, 0, 0 },
	{ 0 },
};

static void refuses_by_the_first_check_offended(void **state)
{
	const struct entry_check *const lists[] = {
		tcs_checks, mode_checks, cssa_checks, frame_checks, target_checks,
		busy_checks, xrstor_checks,
	};

	assert_checks(interrupted, eresume, lists, 7);
}

static void no_frame_for_the_handler(struct small_encl *s)
{
	small_tcs(s)->nssa = 1;
}

static void handler_xsave_blocked(struct small_encl *s)
{
	s->epcm[ssa_page(1, 1)].blocked = true;
}

static void handler_gprsgx_read_only(struct small_encl *s)
{
	s->epcm[ssa_page(1, 3)].rwx = SECINFO_R;
}

static void oentry_noncanonical(struct small_encl *s)
{
	small_tcs(s)->oentry = NONCANONICAL - BASE;
}

static void ogsbase_noncanonical(struct small_encl *s)
{
	small_tcs(s)->ogsbase = NONCANONICAL - BASE;
}

#define FRAME1_LA (BASE + OSSA + FRAME_PAGES * SGX_PAGE_SIZE)

static const struct entry_check notify_checks[] = {
	{ "22: no frame left", no_frame_for_the_handler, X86_GP, 0, 0 },
	{ "22: XSAVE page of the handler", handler_xsave_blocked, X86_PF, EPF_CODE,
	  FRAME1_LA + SGX_PAGE_SIZE },
	{ "22: GPRSGX page of the handler", handler_gprsgx_read_only, X86_PF, EPF_CODE,
	  FRAME1_LA + 3 * SGX_PAGE_SIZE },
	{ "24: target not canonical", oentry_noncanonical, X86_GP, 0, 0 },
	{ "25: GS base not canonical", ogsbase_noncanonical, X86_GP, 0, 0 },
	{ 0 },
};

static void refuses_a_notification_by_the_first_check_offended(void **state)
{
	const struct entry_check *const lists[] = {
		tcs_checks, cssa_checks, frame_checks, notify_checks, busy_checks,
	};

	assert_checks(notified, eresume, lists, 5);
}

static void refuses_when_already_inside(void **state)
{
	static const struct entry_check nested = { "inside", NULL, X86_GP, 0, 0 };
	struct small_encl *s = *state;

	s->thread.inside = true;
	assert_refused(s, eresume, &nested);
}

/* --- resumption ---------------------------------------------------------- */

static void brings_every_register_back(void **state)
{
	const struct isa_regs want = small_inside_regs();
	struct small_encl *s = *state;
	const struct isa_regs r = resume(s);

	assert_memory_equal(&r, &want, sizeof(r));
}

static void is_what_an_enclu_at_the_aep_does(void **state)
{
	struct small_encl *s = *state;

	assert_int_equal(s->regs.gpr[ISA_RAX], ISA_ENCLU_ERESUME);
	assert_int_equal(s->regs.rip, AEP);
	resume(s);
	assert_int_equal(small_interrupt(s).rip, AEP);
}

static void hands_out_the_xsave_image_of_the_frame(void **state)
{
	struct small_encl *s = *state;
	const uint8_t *xsave = NULL;
	struct isa_regs r = s->regs;

	assert_int_equal(isa_eresume(&s->thread, &s->view, &r, &xsave).kind, ISA_DONE);
	assert_ptr_equal(xsave, small_xsave(s, 0));
}

static void loads_what_the_enclave_wrote_to_its_frame(void **state)
{
	struct small_encl *s = *state;
	struct isa_regs r;

	small_gprsgx(s, 0)->rip = BASE + 0x9000;
	small_gprsgx(s, 0)->rax = 77;
	small_gprsgx(s, 0)->fsbase = 0x4242000;
	r = resume(s);
	assert_int_equal(r.rip, BASE + 0x9000);
	assert_int_equal(r.gpr[ISA_RAX], 77);
	assert_int_equal(r.fsbase, 0x4242000);
}

static void takes_the_frame_off_the_stack(void **state)
{
	struct small_encl *s = *state;

	s->regs.gpr[ISA_RCX] = AEP + 0x10;
	resume(s);
	assert_true(s->thread.inside);
	assert_int_equal(small_tcs(s)->cssa, 0);
	assert_int_equal(small_tcs(s)->state, 1);
	assert_int_equal(small_tcs(s)->aep, AEP + 0x10);
	assert_int_equal(s->blk.nr_inside[0], 1);
	assert_ptr_equal(s->thread.gprsgx, small_gprsgx(s, 0));
	assert_ptr_equal(s->thread.xsave, small_xsave(s, 0));
	assert_int_equal(s->thread.host_fsbase, s->regs.fsbase);
	assert_int_equal(s->thread.host_gsbase, s->regs.gsbase);
}

static void keeps_the_outside_stack_of_the_entry(void **state)
{
	struct small_encl *s = *state;
	const uint64_t ursp = small_gprsgx(s, 0)->ursp;

	s->regs.gpr[ISA_RSP] = 0xbad000;
	s->regs.gpr[ISA_RBP] = 0xbad008;
	resume(s);
	assert_int_equal(small_gprsgx(s, 0)->ursp, ursp);
	assert_int_equal(small_interrupt(s).gpr[ISA_RSP], ursp);
}

static void resumes_the_innermost_frame_first(void **state)
{
	struct small_encl *s = *state;

	small_encl_init(s);
	small_enter(s);
	s->regs.gpr[ISA_RBX] = small_interrupt(s).gpr[ISA_RBX];
	small_enter(s);
	small_interrupt(s);
	small_gprsgx(s, 1)->r15 = 1111;
	assert_int_equal(resume(s).gpr[ISA_R15], 1111);
	assert_int_equal(small_tcs(s)->cssa, 1);
	assert_ptr_equal(s->thread.gprsgx, small_gprsgx(s, 1));
}

/* --- RFLAGS -------------------------------------------------------------- */

static void takes_status_flags_from_the_frame(void **state)
{
	const uint64_t taken = 0x254cd5;	/* ID AC RF NT OF DF SF ZF AF PF CF */
	struct small_encl *s = *state;

	small_gprsgx(s, 0)->rflags = UINT64_MAX;
	assert_int_equal(resume(s).rflags, 0x202 | taken);
}

static void drops_flags_the_frame_has_not(void **state)
{
	struct small_encl *s = *state;

	small_gprsgx(s, 0)->rflags = 0;
	s->regs.rflags = IF | VM | 0x254cd5;
	assert_int_equal(resume(s).rflags, IF | 2);
}

static void takes_if_only_at_iopl_3(void **state)
{
	struct small_encl *s = *state;

	small_gprsgx(s, 0)->rflags = 2;
	s->regs.rflags = IF | 2;
	assert_int_equal(resume(s).rflags, IF | 2);

	interrupted(s);
	small_gprsgx(s, 0)->rflags = 2;
	s->regs.rflags = IOPL3 | IF | 2;
	assert_int_equal(resume(s).rflags, IOPL3 | 2);
}

static void clears_tf_but_keeps_it_for_the_outside(void **state)
{
	struct isa_regs r = small_inside_regs();
	struct small_encl *s = *state;

	small_gprsgx(s, 0)->rflags |= TF;
	s->regs.rflags |= TF;
	assert_false(resume(s).rflags & TF);
	assert_int_equal(isa_eexit(&s->thread, &r).kind, ISA_DONE);
	assert_true(r.rflags & TF);
}

static void takes_tf_from_the_frame_for_a_debugger(void **state)
{
	struct small_encl *s = *state;

	small_tcs(s)->flags = TCS_DBGOPTIN;
	small_gprsgx(s, 0)->rflags |= TF;
	assert_true(resume(s).rflags & TF);

	interrupted(s);
	small_tcs(s)->flags = TCS_DBGOPTIN;
	s->regs.rflags |= TF;
	assert_false(resume(s).rflags & TF);
}

/* --- notification -------------------------------------------------------- */

static void enters_the_handler_when_a_notification_is_requested(void **state)
{
	struct small_encl *s = *state;
	struct isa_regs want = s->regs;
	const uint8_t *xsave = s->pages[0];
	struct isa_regs r = s->regs;

	want.gpr[ISA_RAX] = 1;
	want.gpr[ISA_RCX] = ENCLU_RIP + 3;
	want.rip = BASE + OENTRY;
	want.fsbase = BASE + OFSBASE;
	want.gsbase = BASE + OGSBASE;

	assert_int_equal(isa_eresume(&s->thread, &s->view, &r, &xsave).kind, ISA_DONE);
	assert_memory_equal(&r, &want, sizeof(r));
	assert_null(xsave);
}

static void keeps_the_interrupted_frame_while_notifying(void **state)
{
	struct small_encl *s = *state;
	const struct sgx_gprsgx before = *small_gprsgx(s, 0);

	resume(s);
	assert_int_equal(small_tcs(s)->cssa, 1);
	assert_int_equal(small_tcs(s)->state, 1);
	assert_memory_equal(small_gprsgx(s, 0), &before, sizeof(before));
	assert_ptr_equal(s->thread.gprsgx, small_gprsgx(s, 1));
	assert_int_equal(small_gprsgx(s, 1)->ursp, s->regs.gpr[ISA_RSP]);
	assert_int_equal(small_gprsgx(s, 1)->urbp, s->regs.gpr[ISA_RBP]);
}

static void looks_at_no_saved_rip_when_notifying(void **state)
{
	struct small_encl *s = *state;

	rip_noncanonical(s);
	fsbase_noncanonical(s);
	mxcsr_reserved(s);
	resume(s);
}

static void ignores_a_request_the_tcs_does_not_allow(void **state)
{
	struct small_encl *s = *state;

	small_gprsgx(s, 0)->aexnotify = GPRSGX_AEXNOTIFY_REQUEST;
	assert_int_equal(resume(s).rip, small_inside_regs().rip);
}

static void resumes_when_no_notification_is_requested(void **state)
{
	struct small_encl *s = *state;

	small_gprsgx(s, 0)->aexnotify = 0xfe;
	assert_int_equal(resume(s).rip, small_inside_regs().rip);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(refuses_by_the_first_check_offended, setup),
		cmocka_unit_test_setup(refuses_a_notification_by_the_first_check_offended, setup),
		cmocka_unit_test_setup(refuses_when_already_inside, setup),
		cmocka_unit_test_setup(brings_every_register_back, setup),
		cmocka_unit_test_setup(is_what_an_enclu_at_the_aep_does, setup),
		cmocka_unit_test_setup(hands_out_the_xsave_image_of_the_frame, setup),
		cmocka_unit_test_setup(loads_what_the_enclave_wrote_to_its_frame, setup),
		cmocka_unit_test_setup(takes_the_frame_off_the_stack, setup),
		cmocka_unit_test_setup(keeps_the_outside_stack_of_the_entry, setup),
		cmocka_unit_test_setup(resumes_the_innermost_frame_first, setup),
		cmocka_unit_test_setup(takes_status_flags_from_the_frame, setup),
		cmocka_unit_test_setup(drops_flags_the_frame_has_not, setup),
		cmocka_unit_test_setup(takes_if_only_at_iopl_3, setup),
		cmocka_unit_test_setup(clears_tf_but_keeps_it_for_the_outside, setup),
		cmocka_unit_test_setup(takes_tf_from_the_frame_for_a_debugger, setup),
		cmocka_unit_test_setup(enters_the_handler_when_a_notification_is_requested,
				       setup_notified),
		cmocka_unit_test_setup(keeps_the_interrupted_frame_while_notifying, setup_notified),
		cmocka_unit_test_setup(looks_at_no_saved_rip_when_notifying, setup_notified),
		cmocka_unit_test_setup(ignores_a_request_the_tcs_does_not_allow, setup),
		cmocka_unit_test_setup(resumes_when_no_notification_is_requested, setup_notified),
	};

	return cmocka_run_group_tests_name("ERESUME", tests, NULL, NULL);
}
