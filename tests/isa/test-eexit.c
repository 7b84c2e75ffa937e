/* SPDX-License-Identifier: BSD-3-Clause */
/* EEXIT: its one check, and which registers leave as the enclave set them. */
#include <string.h>

#include "small-encl.h"

#define TARGET 0x402000ull

static struct small_encl encl;

static int setup(void **state)
{
	small_encl_init(&encl);
	*state = &encl;
	return 0;
}

static struct isa_regs leave(struct small_encl *s)
{
	struct isa_regs r = small_inside_regs();

	r.gpr[ISA_RBX] = TARGET;
	assert_int_equal(isa_eexit(&s->thread, &r).kind, ISA_DONE);
	return r;
}

static void assert_stays(struct small_encl *s, uint64_t target)
{
	const struct isa_thread before = s->thread;
	struct isa_regs r = small_inside_regs();
	struct isa_regs want;
	struct isa_outcome out;

	r.gpr[ISA_RBX] = target;
	want = r;
	out = isa_eexit(&s->thread, &r);
	assert_int_equal(out.kind, ISA_FAULT);
	assert_int_equal(out.vector, X86_GP);
	assert_int_equal(out.error_code, 0);
	assert_memory_equal(&r, &want, sizeof(r));
	assert_int_equal(s->thread.inside, before.inside);
}

static void refuses_a_target_that_is_not_canonical(void **state)
{
	struct small_encl *s = *state;

	small_enter(s);
	assert_stays(s, NONCANONICAL);
	assert_stays(s, 0xffff7fffffffffffull);
	assert_int_equal(small_tcs(s)->state, 1);
	assert_int_equal(s->blk.nr_inside[0], 1);
}

static void refuses_outside_an_enclave(void **state)
{
	assert_stays(*state, TARGET);
}

static void leaves_registers_as_the_enclave_set_them(void **state)
{
	struct isa_regs want = small_inside_regs();
	struct small_encl *s = *state;
	struct isa_regs r;

	want.gpr[ISA_RBX] = TARGET;
	want.gpr[ISA_RCX] = AEP;
	want.rip = TARGET;
	want.fsbase = s->regs.fsbase;
	want.gsbase = s->regs.gsbase;

	small_enter(s);
	r = leave(s);
	assert_memory_equal(&r, &want, sizeof(r));
}

static void gives_the_tcs_back(void **state)
{
	struct small_encl *s = *state;

	small_enter(s);
	leave(s);
	assert_false(s->thread.inside);
	assert_int_equal(small_tcs(s)->state, 0);
	assert_int_equal(s->blk.nr_inside[0], 0);
	assert_int_equal(small_enter(s).gpr[ISA_RAX], 0);
}

static void keeps_cssa_of_a_nested_entry(void **state)
{
	struct small_encl *s = *state;

	small_enter(s);
	small_interrupt(s);
	small_enter(s);
	leave(s);
	assert_int_equal(small_tcs(s)->cssa, 1);
}

static void accepts_any_canonical_target(void **state)
{
	const uint64_t targets[] = { 0, BASE + 0x3000, NONCANONICAL - 1, 0xffff800000000000ull };
	struct small_encl *s = *state;
	struct isa_regs r;
	size_t i;

	for (i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
		small_enter(s);
		r = small_inside_regs();
		r.gpr[ISA_RBX] = targets[i];
		assert_int_equal(isa_eexit(&s->thread, &r).kind, ISA_DONE);
		assert_int_equal(r.rip, targets[i]);
	}
}

static void gives_tf_back_to_a_single_stepper(void **state)
{
	struct small_encl *s = *state;

	s->regs.rflags |= TF;
	small_enter(s);
	assert_true(leave(s).rflags & TF);
}

static void drops_tf_the_enclave_set(void **state)
{
	struct isa_regs r = small_inside_regs();
	struct small_encl *s = *state;

	small_enter(s);
	r.gpr[ISA_RBX] = TARGET;
	r.rflags |= TF;
	assert_int_equal(isa_eexit(&s->thread, &r).kind, ISA_DONE);
	assert_false(r.rflags & TF);
}

static void leaves_tf_to_a_debugger(void **state)
{
	struct isa_regs r = small_inside_regs();
	struct small_encl *s = *state;

	small_tcs(s)->flags = TCS_DBGOPTIN;
	small_enter(s);
	r.gpr[ISA_RBX] = TARGET;
	r.rflags |= TF;
	assert_int_equal(isa_eexit(&s->thread, &r).kind, ISA_DONE);
	assert_true(r.rflags & TF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(refuses_a_target_that_is_not_canonical, setup),
		cmocka_unit_test_setup(refuses_outside_an_enclave, setup),
		cmocka_unit_test_setup(leaves_registers_as_the_enclave_set_them, setup),
		cmocka_unit_test_setup(gives_the_tcs_back, setup),
		cmocka_unit_test_setup(keeps_cssa_of_a_nested_entry, setup),
		cmocka_unit_test_setup(accepts_any_canonical_target, setup),
		cmocka_unit_test_setup(gives_tf_back_to_a_single_stepper, setup),
		cmocka_unit_test_setup(drops_tf_the_enclave_set, setup),
		cmocka_unit_test_setup(leaves_tf_to_a_debugger, setup),
	};

	return cmocka_run_group_tests_name("EEXIT", tests, NULL, NULL);
}
