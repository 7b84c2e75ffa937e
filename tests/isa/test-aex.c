/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AEX: what the frame keeps, what the outside sees instead, and that no byte of
 * the frame changes that the architecture leaves to the runtime.
 */
#include <string.h>

#include "small-encl.h"

#define SYNTHETIC_FLAGS 0x108d5ull	/* RF OF SF ZF AF PF CF */
#define HARDWARE(vector) (0x80000300u | (vector))
#define PATTERN 0x5a

static struct small_encl encl;

static int setup(void **state)
{
	small_encl_init(&encl);
	*state = &encl;
	return 0;
}

static int setup_inside(void **state)
{
	setup(state);
	small_enter(&encl);
	return 0;
}

static struct sgx_exinfo *exinfo(struct small_encl *s)
{
	return (void *)((uint8_t *)small_gprsgx(s, 0) - sizeof(struct sgx_exinfo));
}

static void interrupt_by(struct small_encl *s, const struct isa_event *event)
{
	struct isa_regs r = small_inside_regs();

	isa_aex(&s->thread, &r, event, small_image());
}

/* --- registers ----------------------------------------------------------- */

static void saves_every_register_in_gprsgx(void **state)
{
	const struct isa_regs inside = small_inside_regs();
	struct small_encl *s = *state;
	struct sgx_gprsgx want = *small_gprsgx(s, 0);

	memcpy(&want, inside.gpr, sizeof(inside.gpr));
	want.rip = inside.rip;
	want.rflags = inside.rflags;
	want.fsbase = inside.fsbase;
	want.gsbase = inside.gsbase;
	want.exitinfo = 0;

	small_interrupt(s);
	assert_memory_equal(small_gprsgx(s, 0), &want, sizeof(want));
	assert_int_equal(small_gprsgx(s, 0)->r15, 0xee000f);
	assert_int_equal(small_gprsgx(s, 0)->rdi, 0xee0007);
}

static void shows_synthetic_registers_outside(void **state)
{
	struct small_encl *s = *state;
	struct isa_regs want = { 0 };
	struct isa_regs r;

	want.gpr[ISA_RAX] = 3;
	want.gpr[ISA_RBX] = BASE;
	want.gpr[ISA_RCX] = AEP;
	want.gpr[ISA_RSP] = s->regs.gpr[ISA_RSP];
	want.gpr[ISA_RBP] = s->regs.gpr[ISA_RBP];
	want.rip = AEP;
	want.rflags = 0x202;
	want.fsbase = s->regs.fsbase;
	want.gsbase = s->regs.gsbase;

	r = small_interrupt(s);
	assert_memory_equal(&r, &want, sizeof(r));
}

static void loads_the_stack_from_the_frame(void **state)
{
	struct small_encl *s = *state;
	struct isa_regs r;

	small_gprsgx(s, 0)->ursp = 0x123450;
	small_gprsgx(s, 0)->urbp = 0x123460;
	r = small_interrupt(s);
	assert_int_equal(r.gpr[ISA_RSP], 0x123450);
	assert_int_equal(r.gpr[ISA_RBP], 0x123460);
}

static void clears_status_flags_and_keeps_the_others(void **state)
{
	const struct isa_event interrupt = { .exception = false };
	struct isa_regs r = small_inside_regs();
	struct small_encl *s = *state;

	r.rflags = 0x202 | SYNTHETIC_FLAGS | 0x400 | 0x4000 | 0x40000 | 0x200000;
	isa_aex(&s->thread, &r, &interrupt, small_image());
	assert_int_equal(r.rflags, 0x202 | 0x400 | 0x4000 | 0x40000 | 0x200000);
	assert_int_equal(small_gprsgx(s, 0)->rflags,
			 0x202 | SYNTHETIC_FLAGS | 0x400 | 0x4000 | 0x40000 | 0x200000);
}

static void gives_tf_back_to_a_single_stepper(void **state)
{
	struct small_encl *s = *state;

	s->regs.rflags |= TF;
	small_enter(s);
	assert_true(small_interrupt(s).rflags & TF);
	assert_false(small_gprsgx(s, 0)->rflags & TF);
}

static void leaves_tf_to_a_debugger_but_saves_none(void **state)
{
	const struct isa_event debug = { .exception = true, .vector = X86_DB };
	struct isa_regs r = small_inside_regs();
	struct small_encl *s = *state;

	small_tcs(s)->flags = TCS_DBGOPTIN;
	small_enter(s);
	r.rflags |= TF;
	isa_aex(&s->thread, &r, &debug, small_image());
	assert_true(r.rflags & TF);
	assert_false(small_gprsgx(s, 0)->rflags & TF);
}

/* --- thread state -------------------------------------------------------- */

static void leaves_through_the_tcs(void **state)
{
	struct small_encl *s = *state;

	small_interrupt(s);
	assert_false(s->thread.inside);
	assert_int_equal(small_tcs(s)->cssa, 1);
	assert_int_equal(small_tcs(s)->state, 0);
	assert_int_equal(s->blk.nr_inside[0], 0);
}

static void does_nothing_outside_an_enclave(void **state)
{
	static struct small_encl before;
	const struct isa_regs inside = small_inside_regs();
	struct small_encl *s = *state;
	struct isa_regs r;

	memcpy(&before, s, sizeof(before));
	r = small_interrupt(s);
	assert_memory_equal(&r, &inside, sizeof(r));
	assert_memory_equal(s, &before, sizeof(before));
}

/* --- extended state ------------------------------------------------------ */

static void assert_filled(const uint8_t *bytes, size_t from, size_t to, uint8_t value)
{
	size_t i;

	for (i = from; i < to; i++)
		if (bytes[i] != value)
			fail_msg("byte %zu is %#x, not %#x", i, bytes[i], value);
}

static void saves_x87_and_sse_but_not_the_unused_legacy_bytes(void **state)
{
	struct small_encl *s = *state;

	small_interrupt(s);
	assert_memory_equal(small_xsave(s, 0), small_image(), 416);
	assert_filled(small_xsave(s, 0), 416, 512, PATTERN);
}

static void writes_a_header_xrstor_accepts_under_xfrm(void **state)
{
	struct small_encl *s = *state;
	uint64_t xstate_bv;

	small_interrupt(s);
	memcpy(&xstate_bv, small_xsave(s, 0) + 512, sizeof(xstate_bv));
	assert_int_equal(xstate_bv, 0x2e7 & XFRM);
	assert_filled(small_xsave(s, 0), 520, 536, 0);
	assert_filled(small_xsave(s, 0), 536, 576, PATTERN);
}

static void saves_only_components_of_xfrm(void **state)
{
	struct small_encl *s = *state;

	small_interrupt(s);
	assert_filled(small_xsave(s, 0), 576, 832, 0xc3);
	assert_filled(small_xsave(s, 0), 832, 4900, PATTERN);
	assert_filled(small_xsave(s, 0), 4900, XSAVE_SIZE, 0xc3);
}

static void saves_the_whole_area_when_components_are_unknown(void **state)
{
	struct small_encl *s = *state;

	s->view.xsave_component = NULL;
	small_enter(s);
	small_interrupt(s);
	assert_filled(small_xsave(s, 0), 576, XSAVE_SIZE, 0xc3);
}

static void skips_components_that_lie_outside_the_area(void **state)
{
	struct isa_xsave_component odd[64] = {
		[2] = { .offset = XSAVE_SIZE - 8, .size = 16 },
		[9] = { .offset = UINT32_MAX, .size = UINT32_MAX },
	};
	struct small_encl *s = *state;

	s->view.xsave_component = odd;
	small_enter(s);
	small_interrupt(s);
	assert_filled(small_xsave(s, 0), 576, 2 * SGX_PAGE_SIZE, PATTERN);

	odd[2] = (struct isa_xsave_component){ .offset = 416, .size = 96 };
	small_enter(s);
	small_interrupt(s);
	assert_filled(small_xsave(s, 1), 416, 512, PATTERN);
}

static void keeps_what_a_runtime_stores_between_xsave_and_misc(void **state)
{
	const struct isa_event fault = { .exception = true, .vector = X86_PF, .error_code = 7 };
	const size_t misc = FRAME_PAGES * SGX_PAGE_SIZE - 184 - 16;
	struct small_encl *s = *state;

	interrupt_by(s, &fault);
	assert_filled(small_xsave(s, 0), XSAVE_SIZE, misc, PATTERN);
	assert_filled(small_xsave(s, 1), 0, FRAME_PAGES * SGX_PAGE_SIZE - 184, PATTERN);
}

static void relies_on_no_block_changed_after_entry(void **state)
{
	struct small_encl *s = *state;

	s->view.xsave_component = NULL;
	small_enter(s);
	s->blk.xsave_size = UINT32_MAX;
	s->blk.xfrm = UINT64_MAX;
	small_interrupt(s);
	assert_filled(small_xsave(s, 0), XSAVE_SIZE, 3 * SGX_PAGE_SIZE, PATTERN);
}

static void never_touches_the_notification_request(void **state)
{
	struct small_encl *s = *state;

	small_gprsgx(s, 0)->aexnotify = 1;
	small_interrupt(s);
	assert_int_equal(small_gprsgx(s, 0)->aexnotify, 1);
	assert_filled(small_gprsgx(s, 0)->reserved_164, 0, 3, PATTERN);
}

/* --- EXITINFO and EXINFO ------------------------------------------------- */

struct report {
	const char *name;
	uint32_t miscselect;
	struct isa_event event;
	uint32_t exitinfo;
	bool has_exinfo;
	uint64_t maddr;
	uint32_t errcd;
};

#define EXCEPTION(nr) { .exception = true, .vector = (nr), .error_code = 5, .address = 0xabc }

static const struct report reports[] = {
	{ "DE", 0, EXCEPTION(X86_DE), HARDWARE(0), false, 0, 0 },
	{ "DB", 0, EXCEPTION(X86_DB), HARDWARE(1), false, 0, 0 },
	{ "BP", 0, EXCEPTION(X86_BP), 0x80000603, false, 0, 0 },
	{ "BR", 0, EXCEPTION(X86_BR), HARDWARE(5), false, 0, 0 },
	{ "UD", 0, EXCEPTION(X86_UD), HARDWARE(6), false, 0, 0 },
	{ "MF", 0, EXCEPTION(X86_MF), HARDWARE(16), false, 0, 0 },
	{ "AC", 0, EXCEPTION(X86_AC), HARDWARE(17), false, 0, 0 },
	{ "XM", 0, EXCEPTION(X86_XM), HARDWARE(19), false, 0, 0 },
	{ "UD with EXINFO", MISC_EXINFO, EXCEPTION(X86_UD), HARDWARE(6), false, 0, 0 },
	{ "GP", 0, EXCEPTION(X86_GP), 0, false, 0, 0 },
	{ "PF", 0, EXCEPTION(X86_PF), 0, false, 0, 0 },
	{ "GP with EXINFO", MISC_EXINFO, EXCEPTION(X86_GP), HARDWARE(13), true, 0, 5 },
	{ "PF with EXINFO", MISC_EXINFO, EXCEPTION(X86_PF), HARDWARE(14), true, 0xabc, 5 },
	{ "PF by SGX rules", MISC_EXINFO,
	  { .exception = true, .vector = X86_PF, .error_code = 0x8007, .address = 0x7001234 },
	  HARDWARE(14), true, 0x7001234, 0x8007 },
	{ "PF of the supervisor", MISC_EXINFO,
	  { .exception = true, .vector = X86_PF, .error_code = 1, .address = 0xabc },
	  0, false, 0, 0 },
	{ "GP with CPINFO only", MISC_CPINFO, EXCEPTION(X86_GP), 0, false, 0, 0 },
	{ "CP with EXINFO only", MISC_EXINFO, EXCEPTION(X86_CP), 0, false, 0, 0 },
	{ "NM", MISC_EXINFO, EXCEPTION(X86_NM), 0, false, 0, 0 },
	{ "SS", MISC_EXINFO, EXCEPTION(X86_SS), 0, false, 0, 0 },
	{ "interrupt", MISC_EXINFO, { .exception = false, .vector = 14 }, 0, false, 0, 0 },
	{ 0 },
};

static void reports_each_event_as_the_table_says(void **state)
{
	struct sgx_exinfo untouched, want;
	struct small_encl *s = *state;
	const struct report *rep;

	memset(&untouched, PATTERN, sizeof(untouched));
	for (rep = reports; rep->name; rep++) {
		small_encl_init(s);
		s->blk.miscselect = rep->miscselect;
		small_enter(s);
		interrupt_by(s, &rep->event);

		want = untouched;
		if (rep->has_exinfo) {
			want.maddr = rep->maddr;
			want.errcd = rep->errcd;
		}
		if (small_gprsgx(s, 0)->exitinfo != rep->exitinfo)
			print_error("%s\n", rep->name);
		assert_int_equal(small_gprsgx(s, 0)->exitinfo, rep->exitinfo);
		assert_memory_equal(exinfo(s), &want, sizeof(want));
		memset(&s->thread, 0, sizeof(s->thread));
	}
}

static void reports_a_control_protection_code_with_cpinfo(void **state)
{
	const struct isa_event event = EXCEPTION(X86_CP);
	struct small_encl *s = *state;

	s->blk.miscselect = MISC_CPINFO;
	small_enter(s);
	interrupt_by(s, &event);
	assert_int_equal(small_gprsgx(s, 0)->exitinfo, HARDWARE(21));
	assert_int_equal(exinfo(s)->errcd, 5);
}

/* --- of a thread that is no more ------------------------------------------- */

static void exit_of_dead(struct small_encl *s)
{
	isa_aex_of_dead(&s->blk, small_tcs(s), small_gprsgx(s, 0), small_xsave(s, 0));
	s->thread.inside = false;
}

static void a_dead_thread_leaves_a_frame_nobody_can_resume(void **state)
{
	struct small_encl *s = *state;
	struct isa_regs r = s->regs;
	const uint8_t *xsave;

	s->view.holder = 0x123456;
	small_enter(s);
	assert_int_equal(small_tcs(s)->state >> ISA_TCS_HOLDER_SHIFT, 0x123456);
	assert_int_equal(small_tcs(s)->state & ISA_TCS_ACTIVE, ISA_TCS_ACTIVE);
	exit_of_dead(s);
	assert_int_equal(small_tcs(s)->state, 0);
	assert_int_equal(small_tcs(s)->cssa, 1);
	assert_int_equal(s->blk.nr_inside[0], 0);
	assert_int_equal(small_gprsgx(s, 0)->exitinfo, 0);
	assert_int_equal(small_gprsgx(s, 0)->rax, 0);

	assert_int_equal(isa_eresume(&s->thread, &s->view, &r, &xsave).vector, X86_GP);
	assert_false(s->thread.inside);
	assert_int_equal(small_enter(s).gpr[ISA_RAX], 1);
}

static void it_is_counted_out_of_the_epoch_it_entered_in(void **state)
{
	struct small_encl *s = *state;

	s->view.holder = 1;
	s->blk.epoch = 1;
	small_enter(s);
	s->blk.epoch = 2;
	assert_int_equal(s->blk.nr_inside[1], 1);
	exit_of_dead(s);
	assert_int_equal(s->blk.nr_inside[0], 0);
	assert_int_equal(s->blk.nr_inside[1], 0);
}

/* Killed between two instructions of its entry. */
static void it_is_not_counted_out_when_it_was_not_counted_in(void **state)
{
	struct small_encl *s = *state;

	small_tcs(s)->state = 1ull << ISA_TCS_HOLDER_SHIFT | ISA_TCS_ACTIVE;
	exit_of_dead(s);
	assert_int_equal(small_tcs(s)->state, 0);
	assert_int_equal(s->blk.nr_inside[0], 0);
	assert_int_equal(s->blk.nr_inside[1], 0);
}

static void without_a_frame_it_only_frees_the_tcs(void **state)
{
	struct small_encl *s = *state;

	s->view.holder = 1;
	small_enter(s);
	isa_aex_of_dead(&s->blk, small_tcs(s), NULL, NULL);
	assert_int_equal(small_tcs(s)->state, 0);
	assert_int_equal(small_tcs(s)->cssa, 0);
	assert_int_equal(s->blk.nr_inside[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(saves_every_register_in_gprsgx, setup_inside),
		cmocka_unit_test_setup(shows_synthetic_registers_outside, setup_inside),
		cmocka_unit_test_setup(loads_the_stack_from_the_frame, setup_inside),
		cmocka_unit_test_setup(clears_status_flags_and_keeps_the_others, setup_inside),
		cmocka_unit_test_setup(gives_tf_back_to_a_single_stepper, setup),
		cmocka_unit_test_setup(leaves_tf_to_a_debugger_but_saves_none, setup),
		cmocka_unit_test_setup(leaves_through_the_tcs, setup_inside),
		cmocka_unit_test_setup(does_nothing_outside_an_enclave, setup),
		cmocka_unit_test_setup(saves_x87_and_sse_but_not_the_unused_legacy_bytes,
				       setup_inside),
		cmocka_unit_test_setup(writes_a_header_xrstor_accepts_under_xfrm, setup_inside),
		cmocka_unit_test_setup(saves_only_components_of_xfrm, setup_inside),
		cmocka_unit_test_setup(saves_the_whole_area_when_components_are_unknown, setup),
		cmocka_unit_test_setup(skips_components_that_lie_outside_the_area, setup),
		cmocka_unit_test_setup(keeps_what_a_runtime_stores_between_xsave_and_misc,
				       setup_inside),
		cmocka_unit_test_setup(relies_on_no_block_changed_after_entry, setup),
		cmocka_unit_test_setup(never_touches_the_notification_request, setup_inside),
		cmocka_unit_test_setup(reports_each_event_as_the_table_says, setup),
		cmocka_unit_test_setup(reports_a_control_protection_code_with_cpinfo, setup),
		cmocka_unit_test_setup(a_dead_thread_leaves_a_frame_nobody_can_resume, setup),
		cmocka_unit_test_setup(it_is_counted_out_of_the_epoch_it_entered_in, setup),
		cmocka_unit_test_setup(it_is_not_counted_out_when_it_was_not_counted_in, setup),
		cmocka_unit_test_setup(without_a_frame_it_only_frees_the_tcs, setup),
	};

	return cmocka_run_group_tests_name("AEX", tests, NULL, NULL);
}
