/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EDECCSSA: its checks in their order, what it changes and what not, and the
 * way of a handler that was notified of an asynchronous exit.
 */
#include <string.h>

#include "small-encl.h"

static struct small_encl encl;

/* In a second frame, as the handler of an exception is. */
static void nested(struct small_encl *s)
{
	small_encl_init(s);
	small_enter(s);
	small_interrupt(s);
	small_enter(s);
}

static int setup(void **state)
{
	nested(&encl);
	*state = &encl;
	return 0;
}

static struct isa_outcome leaf(struct isa_thread *t, const struct isa_encl_view *view,
			       struct isa_regs *r)
{
	(void)view;
	(void)r;
	return isa_edeccssa(t);
}

static void part_without_it(struct small_encl *s)
{
	s->thread.features &= ~CPUID_12_0_EAX_EDECCSSA;
}

static void not_inside(struct small_encl *s)
{
	s->thread.inside = false;
}

static void in_the_first_frame(struct small_encl *s)
{
	small_tcs(s)->cssa = 0;
}

static void ossa_scribbled_on(struct small_encl *s)
{
	small_tcs(s)->ossa |= 8;
}

static const struct entry_check own_checks[] = {
	{ "the part has no such leaf", part_without_it, X86_GP, 0, 0 },
	{ "outside", not_inside, X86_GP, 0, 0 },
	{ "1: CSSA is 0", in_the_first_frame, X86_GP, 0, 0 },
	{ "1: OSSA is no page", ossa_scribbled_on, X86_GP, 0, 0 },
	{ 0 },
};

static void refuses_by_the_first_check_offended(void **state)
{
	const struct entry_check *const lists[] = { own_checks, frame_checks };

	(void)state;
	assert_checks(nested, leaf, lists, 2);
}

static void makes_the_frame_below_current(void **state)
{
	struct small_encl *s = *state;

	assert_ptr_equal(s->thread.gprsgx, small_gprsgx(s, 1));
	assert_int_equal(isa_edeccssa(&s->thread).kind, ISA_DONE);
	assert_int_equal(small_tcs(s)->cssa, 0);
	assert_ptr_equal(s->thread.gprsgx, small_gprsgx(s, 0));
	assert_ptr_equal(s->thread.xsave, small_xsave(s, 0));
	assert_true(s->thread.inside);
	/* There is none below the first. */
	assert_int_equal(isa_edeccssa(&s->thread).kind, ISA_FAULT);
}

static void writes_nothing_but_cssa(void **state)
{
	static uint8_t before[NR_PAGES][SGX_PAGE_SIZE];
	struct small_encl *s = *state;

	memcpy(before, s->pages, sizeof(before));
	assert_int_equal(isa_edeccssa(&s->thread).kind, ISA_DONE);
	((struct sgx_tcs *)(void *)before[PAGE_TCS])->cssa = 0;
	assert_memory_equal(s->pages, before, sizeof(before));
	assert_int_equal(s->blk.nr_inside[0] + s->blk.nr_inside[1], 1);
}

/* What comes next is saved in the frame that is current now. */
static void lets_an_exit_use_the_frame_below(void **state)
{
	struct small_encl *s = *state;

	memset(small_gprsgx(s, 1), 0x5a, sizeof(struct sgx_gprsgx));
	memset(small_gprsgx(s, 0), 0, 16);
	assert_int_equal(isa_edeccssa(&s->thread).kind, ISA_DONE);
	small_interrupt(s);
	assert_int_equal(small_gprsgx(s, 0)->rax, small_inside_regs().gpr[ISA_RAX]);
	assert_int_equal(small_gprsgx(s, 1)->rax, 0x5a5a5a5a5a5a5a5a);
	assert_int_equal(small_tcs(s)->cssa, 1);
}

/* AEX-Notify as a runtime uses it: exit, notified, EDECCSSA, on with frame 0. */
static void ends_the_handling_of_a_notification(void **state)
{
	struct small_encl *s = *state;
	const uint8_t *xsave;
	struct isa_regs r;

	small_encl_init(s);
	s->blk.attributes |= ATTR_AEXNOTIFY;
	small_tcs(s)->flags |= TCS_AEXNOTIFY;
	small_enter(s);
	small_gprsgx(s, 0)->aexnotify = GPRSGX_AEXNOTIFY_REQUEST;
	r = small_interrupt(s);
	/* The exit left the request alone. */
	assert_int_equal(small_gprsgx(s, 0)->aexnotify, GPRSGX_AEXNOTIFY_REQUEST);

	r.rip = ENCLU_RIP;
	assert_int_equal(isa_eresume(&s->thread, &s->view, &r, &xsave).kind, ISA_DONE);
	assert_null(xsave);
	assert_int_equal(r.rip, BASE + OENTRY);
	assert_int_equal(r.gpr[ISA_RAX], 1);
	assert_int_equal(small_tcs(s)->cssa, 1);
	assert_ptr_equal(s->thread.gprsgx, small_gprsgx(s, 1));

	assert_int_equal(isa_edeccssa(&s->thread).kind, ISA_DONE);
	assert_int_equal(small_tcs(s)->cssa, 0);
	/* Nothing cleared it but the runtime may. */
	assert_int_equal(small_gprsgx(s, 0)->aexnotify, GPRSGX_AEXNOTIFY_REQUEST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(refuses_by_the_first_check_offended, setup),
		cmocka_unit_test_setup(makes_the_frame_below_current, setup),
		cmocka_unit_test_setup(writes_nothing_but_cssa, setup),
		cmocka_unit_test_setup(lets_an_exit_use_the_frame_below, setup),
		cmocka_unit_test_setup(ends_the_handling_of_a_notification, setup),
	};

	return cmocka_run_group_tests_name("EDECCSSA", tests, NULL, NULL);
}
