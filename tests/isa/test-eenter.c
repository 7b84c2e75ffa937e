/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EENTER: each check with its outcome and in its order, the registers enclave
 * code starts with, and that a TCS admits one processor at a time.
 */
#include <pthread.h>
#include <string.h>

#include "small-encl.h"

static struct small_encl encl;

static int setup(void **state)
{
	small_encl_init(&encl);
	*state = &encl;
	return 0;
}

/* --- checks -------------------------------------------------------------- */

static void nssa_exhausted(struct small_encl *s)
{
	small_tcs(s)->cssa = small_tcs(s)->nssa;
}

static void oentry_noncanonical(struct small_encl *s)
{
	small_tcs(s)->oentry = NONCANONICAL - BASE;
}

static void fsbase_noncanonical(struct small_encl *s)
{
	small_tcs(s)->ofsbase = NONCANONICAL - BASE;
}

static void gsbase_noncanonical(struct small_encl *s)
{
	small_tcs(s)->ogsbase = 0xffff800000000000ull - BASE - SGX_PAGE_SIZE;
}

static const struct entry_check cssa_checks[] = {
	{ "19: CSSA = NSSA", nssa_exhausted, X86_GP, 0, 0 },
	{ 0 },
};

static const struct entry_check target_checks[] = {
	{ "23: target not canonical", oentry_noncanonical, X86_GP, 0, 0 },
	{ "24: FS base not canonical", fsbase_noncanonical, X86_GP, 0, 0 },
	{ "24: GS base not canonical", gsbase_noncanonical, X86_GP, 0, 0 },
	{ 0 },
};

static void refuses_by_the_first_check_offended(void **state)
{
	const struct entry_check *const lists[] = {
		tcs_checks, mode_checks, cssa_checks, frame_checks, target_checks, busy_checks,
	};

	assert_checks(small_encl_init, isa_eenter, lists, 6);
}

static void refuses_when_already_inside(void **state)
{
	static const struct entry_check nested = { "inside", NULL, X86_GP, 0, 0 };
	struct small_encl *s = *state;

	s->thread.inside = true;
	assert_refused(s, isa_eenter, &nested);
}

static void faults_differently_on_sgx1_parts(void **state)
{
	static const struct entry_check blocked = { "blocked", NULL, X86_GP, 0, 0 };
	struct small_encl *s = *state;

	s->blk.features &= ~CPUID_12_0_EAX_SGX2;
	s->epcm[PAGE_TCS].blocked = true;
	assert_refused(s, isa_eenter, &blocked);
}

static void leaves_the_gap_of_a_frame_unchecked(void **state)
{
	struct small_encl *s = *state;

	s->epcm[ssa_page(0, 2)].valid = false;
	s->unmapped[ssa_page(0, 2)] = true;
	small_enter(s);
}

static void accepts_the_smallest_and_the_largest_xsave_area(void **state)
{
	struct small_encl *s = *state;

	s->blk.xfrm = 3;
	s->blk.xsave_size = 576;
	small_enter(s);
	small_interrupt(s);
	s->blk.xsave_size = FRAME_PAGES * SGX_PAGE_SIZE - sizeof(struct sgx_gprsgx) -
			    sizeof(struct sgx_exinfo);
	small_enter(s);
}

static void lets_a_debugger_clear_aexnotify(void **state)
{
	struct small_encl *s = *state;

	s->blk.attributes |= ATTR_AEXNOTIFY;
	small_tcs(s)->flags = TCS_DBGOPTIN;
	small_enter(s);
	assert_true(s->thread.dbgoptin);
}

static void accepts_aexnotify_of_both(void **state)
{
	struct small_encl *s = *state;

	s->blk.attributes |= ATTR_AEXNOTIFY;
	small_tcs(s)->flags = TCS_AEXNOTIFY;
	small_enter(s);
}

/* --- effects ------------------------------------------------------------- */

static void starts_the_enclave_with_its_registers(void **state)
{
	struct small_encl *s = *state;
	struct isa_regs want = s->regs;
	struct isa_regs r;

	want.gpr[ISA_RAX] = 0;
	want.gpr[ISA_RCX] = ENCLU_RIP + 3;
	want.rip = BASE + OENTRY;
	want.fsbase = BASE + OFSBASE;
	want.gsbase = BASE + OGSBASE;

	r = small_enter(s);
	assert_memory_equal(&r, &want, sizeof(r));
}

static void remembers_what_an_exit_needs(void **state)
{
	struct small_encl *s = *state;

	small_enter(s);
	assert_true(s->thread.inside);
	assert_int_equal(s->thread.tcs_la, BASE);
	assert_ptr_equal(s->thread.tcs, small_tcs(s));
	assert_ptr_equal(s->thread.xsave, small_xsave(s, 0));
	assert_ptr_equal(s->thread.gprsgx, small_gprsgx(s, 0));
	assert_int_equal(s->thread.host_fsbase, s->regs.fsbase);
	assert_int_equal(s->thread.host_gsbase, s->regs.gsbase);
	assert_int_equal(small_gprsgx(s, 0)->ursp, s->regs.gpr[ISA_RSP]);
	assert_int_equal(small_gprsgx(s, 0)->urbp, s->regs.gpr[ISA_RBP]);
	assert_int_equal(small_tcs(s)->aep, AEP);
	assert_int_equal(small_tcs(s)->state, 1);
	assert_int_equal(small_tcs(s)->cssa, 0);
	assert_int_equal(s->blk.nr_inside[0], 1);
}

static void writes_nothing_but_tcs_ursp_and_urbp(void **state)
{
	static struct small_encl before;
	struct small_encl *s = *state;

	memcpy(&before, s, sizeof(before));
	small_enter(s);
	small_gprsgx(&before, 0)->ursp = s->regs.gpr[ISA_RSP];
	small_gprsgx(&before, 0)->urbp = s->regs.gpr[ISA_RBP];
	small_tcs(&before)->state = 1;
	small_tcs(&before)->aep = AEP;
	assert_memory_equal(s->pages, before.pages, sizeof(before.pages));
}

static void hides_the_enclave_from_a_single_stepper(void **state)
{
	struct small_encl *s = *state;

	s->regs.rflags |= TF;
	assert_false(small_enter(s).rflags & TF);
	assert_true(s->thread.save_tf);
}

static void keeps_tf_for_a_debugger(void **state)
{
	struct small_encl *s = *state;

	s->regs.rflags |= TF;
	small_tcs(s)->flags = TCS_DBGOPTIN;
	assert_true(small_enter(s).rflags & TF);
}

static void enters_the_next_frame_after_each_exit_until_none_is_left(void **state)
{
	static const struct entry_check exhausted = { "exhausted", NULL, X86_GP, 0, 0 };
	struct small_encl *s = *state;
	unsigned int i;

	for (i = 0; i < NR_FRAMES; i++) {
		s->regs.gpr[ISA_RSP] = 0x7ff000 + i;
		assert_int_equal(small_enter(s).gpr[ISA_RAX], i);
		assert_ptr_equal(s->thread.xsave, small_xsave(s, i));
		assert_ptr_equal(s->thread.gprsgx, small_gprsgx(s, i));
		assert_int_equal(small_gprsgx(s, i)->ursp, 0x7ff000 + i);
		small_interrupt(s);
	}
	assert_refused(s, isa_eenter, &exhausted);
	assert_int_equal(small_tcs(s)->cssa, NR_FRAMES);
}

/* --- two processors, one TCS --------------------------------------------- */

enum { NR_RACERS = 4, NR_ROUNDS = 2000 };

struct racer {
	pthread_t thread;
	pthread_barrier_t *start, *end;
	unsigned int entered;
	struct isa_thread t;
};

static void *race(void *arg)
{
	struct racer *racer = arg;
	struct isa_regs r;
	unsigned int i;

	for (i = 0; i < NR_ROUNDS; i++) {
		pthread_barrier_wait(racer->start);
		r = encl.regs;
		if (isa_is_done(isa_eenter(&racer->t, &encl.view, &r)))
			racer->entered++;
		pthread_barrier_wait(racer->end);
		if (racer->t.inside)
			isa_eexit(&racer->t, &r);
	}
	return NULL;
}

static void admits_one_of_many_racing_processors(void **state)
{
	static struct racer racers[NR_RACERS];
	pthread_barrier_t start, end;
	unsigned int i, entered = 0;

	pthread_barrier_init(&start, NULL, NR_RACERS);
	pthread_barrier_init(&end, NULL, NR_RACERS);
	for (i = 0; i < NR_RACERS; i++) {
		racers[i].start = &start;
		racers[i].end = &end;
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	}
	for (i = 0; i < NR_RACERS; i++) {
		pthread_join(racers[i].thread, NULL);
		entered += racers[i].entered;
	}
	pthread_barrier_destroy(&start);
	pthread_barrier_destroy(&end);
	assert_int_equal(entered, NR_ROUNDS);
	assert_int_equal(small_tcs(&encl)->state, 0);
	assert_int_equal(encl.blk.nr_inside[0], 0);
}

/* Entries, exits and resumptions of all at once, each resuming whichever frame is on top. */
static void *churn(void *arg)
{
	const struct isa_event interrupt = { .exception = false };
	struct racer *racer = arg;
	const uint8_t *xsave;
	struct isa_regs r;
	unsigned int i;

	for (i = 0; i < NR_ROUNDS; i++) {
		r = encl.regs;
		if (!isa_is_done(isa_eenter(&racer->t, &encl.view, &r)))
			continue;
		isa_aex(&racer->t, &r, &interrupt, small_image());
		while (!isa_is_done(isa_eresume(&racer->t, &encl.view, &r, &xsave)))
			;
		racer->entered++;
		r.gpr[ISA_RBX] = 0x400000;
		isa_eexit(&racer->t, &r);
	}
	return NULL;
}

static void keeps_count_while_processors_come_and_go(void **state)
{
	static struct racer racers[NR_RACERS];
	unsigned int i, entered = 0;

	small_image();
	for (i = 0; i < NR_RACERS; i++)
		assert_int_equal(pthread_create(&racers[i].thread, NULL, churn, &racers[i]), 0);
	for (i = 0; i < NR_RACERS; i++) {
		pthread_join(racers[i].thread, NULL);
		entered += racers[i].entered;
	}
	assert_true(entered > 0);
	assert_int_equal(small_tcs(&encl)->state, 0);
	assert_int_equal(small_tcs(&encl)->cssa, 0);
	assert_int_equal(encl.blk.nr_inside[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(refuses_by_the_first_check_offended, setup),
		cmocka_unit_test_setup(refuses_when_already_inside, setup),
		cmocka_unit_test_setup(faults_differently_on_sgx1_parts, setup),
		cmocka_unit_test_setup(leaves_the_gap_of_a_frame_unchecked, setup),
		cmocka_unit_test_setup(accepts_the_smallest_and_the_largest_xsave_area, setup),
		cmocka_unit_test_setup(lets_a_debugger_clear_aexnotify, setup),
		cmocka_unit_test_setup(accepts_aexnotify_of_both, setup),
		cmocka_unit_test_setup(starts_the_enclave_with_its_registers, setup),
		cmocka_unit_test_setup(remembers_what_an_exit_needs, setup),
		cmocka_unit_test_setup(writes_nothing_but_tcs_ursp_and_urbp, setup),
		cmocka_unit_test_setup(hides_the_enclave_from_a_single_stepper, setup),
		cmocka_unit_test_setup(keeps_tf_for_a_debugger, setup),
		cmocka_unit_test_setup(enters_the_next_frame_after_each_exit_until_none_is_left,
				       setup),
		cmocka_unit_test_setup(admits_one_of_many_racing_processors, setup),
		cmocka_unit_test_setup(keeps_count_while_processors_come_and_go, setup),
	};

	return cmocka_run_group_tests_name("EENTER", tests, NULL, NULL);
}
