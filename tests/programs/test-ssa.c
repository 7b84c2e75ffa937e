/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The save area as runtimes use it: read and edited by the enclave itself, in a
 * second entry into the thread that was interrupted; with a field of their own
 * in the gap that the processor leaves.
 *
 * Source: SDM volume 3D, "State Save Area (SSA) Frame", "Asynchronous Enclave
 * Exit" and "EENTER".
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

#include <cmocka.h>

#include "enclave.h"
#include "ssa.h"

#define FLAGS_AC 0x40000
#define FLAGS_ARITHMETIC 0x8d5ull
#define UD2_LENGTH 2
#define NR_SSA 3

static struct test_encl encl;
static uint8_t stack[65536] __attribute__((aligned(64)));
static struct ssa_frame frame, other;

static struct {
	unsigned int calls;
	int sig;
	siginfo_t info;
	greg_t gregs[NGREG];
} seen;

/* Where the frame of the entry is, when the enclave has moved the stack; else 0. */
static uint64_t from_moved_stack;

static void see(int sig, siginfo_t *info, void *context)
{
	greg_t *gregs = ((ucontext_t *)context)->uc_mcontext.gregs;

	/* An exit leaves it as the enclave had it. */
	gregs[REG_EFL] &= ~(greg_t)FLAGS_AC;
	memcpy(seen.gregs, gregs, sizeof(seen.gregs));
	seen.info = *info;
	seen.sig = sig;
	seen.calls++;
	if (from_moved_stack)
		gregs[REG_RSP] = (greg_t)from_moved_stack;
}

static uint32_t leave(uint32_t eax)
{
	return 0;
}

/* Returns after EEXIT as well as after an asynchronous exit; RAX tells which it was. */
static uint64_t enter(struct test_op *op, uint32_t function, uint64_t rsi)
{
	uint64_t regs[NR_REGS] = { [R_RDI] = (uintptr_t)op, [R_RSI] = rsi };

	enter_aep_hook.hook = leave;
	enter_aep(regs, test_tcs(&encl, 0), function, stack + sizeof(stack));
	return regs[R_RBX] == test_tcs(&encl, 0) ? ENCLU_ERESUME : ENCLU_EEXIT;
}

static void complete(struct test_op *op)
{
	assert_int_equal(enter(op, ENCLU_EENTER, 0), ENCLU_EEXIT);
}

static void resume(void)
{
	assert_int_equal(enter(NULL, ENCLU_ERESUME, 0), ENCLU_EEXIT);
}

/* @op, which raises an exception. */
static void interrupt(struct test_op *op, int sig)
{
	const struct sigaction sa = { .sa_sigaction = see, .sa_flags = SA_SIGINFO };
	struct sigaction old;

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(sigaction(sig, &sa, &old), 0);
	assert_int_equal(enter(op, ENCLU_EENTER, 0), ENCLU_ERESUME);
	sigaction(sig, &old, NULL);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.sig, sig);
}

static void copy(uint64_t from, uint64_t to, size_t len)
{
	struct test_op op = { .kind = OP_COPY, .addr = from, .addr2 = to, .value = len };

	complete(&op);
}

/* By an entry into the thread; it needs a frame of its own. */
static void read_frame(unsigned int i)
{
	copy(test_ssa(&encl, i), (uintptr_t)&frame, sizeof(frame));
}

static void write_frame(unsigned int i, size_t offset, const void *from, size_t len)
{
	copy((uintptr_t)from, test_ssa(&encl, i) + offset, len);
}

#define WRITE_FRAME(i, member)                                                                     \
	write_frame(i, offsetof(struct ssa_frame, member), &frame.member, sizeof(frame.member))

static uint8_t *probe(void)
{
	return encl.base + ENCL_PROBE_OFFSET;
}

static void protect(int prot)
{
	assert_int_equal(mprotect(probe(), PAGE_SIZE, prot), 0);
}

/* An operation that touches the probe page stops there once. */
static void stop_at_the_probe(struct test_op *op)
{
	protect(PROT_READ);
	interrupt(op, SIGSEGV);
	protect(PROT_READ | PROT_WRITE);
}

/* --- the stack outside --------------------------------------------------------------- */

static void entry_stores_the_stack_outside(void **state)
{
	struct test_op op = {
		.kind = OP_COPY,
		.addr = test_ssa(&encl, 0),
		.addr2 = (uintptr_t)&frame,
		.value = sizeof(frame),
	};

	complete(&op);
	assert_int_equal(frame.gprsgx.ursp, op.entry[R_RSP]);
	assert_int_equal(frame.gprsgx.urbp, op.entry[R_RBP]);
}

static void entry_on_top_of_another_stores_it_in_the_next_frame(void **state)
{
	struct test_op ud = { .kind = OP_UD2 };
	uint64_t regs[NR_REGS] = { [R_RBP] = 0x1234567890 };
	struct test_op op = {
		.kind = OP_COPY,
		.addr = test_ssa(&encl, 1),
		.addr2 = (uintptr_t)&frame,
		.value = sizeof(frame),
	};

	interrupt(&ud, SIGILL);
	regs[R_RDI] = (uintptr_t)&op;
	enter_raw(regs, test_tcs(&encl, 0), ENCLU_EENTER);
	assert_int_equal(op.entry[R_RAX], 1);
	assert_int_equal(frame.gprsgx.ursp, op.entry[R_RSP]);
	assert_int_equal(frame.gprsgx.urbp, 0x1234567890);
	read_frame(0);
	assert_int_equal(frame.gprsgx.ursp, ud.entry[R_RSP]);
}

/* The enclave took something of the host's stack for itself, as calls out do. */
static void exit_loads_the_stack_the_enclave_put_there(void **state)
{
	const uint64_t bottom = (uintptr_t)stack + sizeof(stack) - 16;
	const uint64_t moved[2] = { bottom - 4096, 0x7f5566778899 };
	struct test_op op = {
		.kind = OP_COPY_UD2,
		.addr = (uintptr_t)moved,
		.addr2 = test_ssa(&encl, 0) + offsetof(struct ssa_frame, gprsgx.ursp),
		.value = sizeof(moved),
	};

	from_moved_stack = bottom;
	interrupt(&op, SIGILL);
	from_moved_stack = 0;
	assert_int_equal(seen.gregs[REG_RSP], moved[0]);
	assert_int_equal(seen.gregs[REG_RBP], moved[1]);
}

/* --- what an exit saves, and ERESUME loads ---------------------------------------------- */

static void exit_saves_every_register(void **state)
{
	struct test_op op = { .kind = OP_REGS_PROBE };

	for (int i = 0; i < NR_REGS; i++)
		op.set[i] = 0xa5f0000000000000ull + (uint64_t)i * 0x1111111111ull;
	op.set[R_RFLAGS] = 0x202 | FLAGS_ARITHMETIC;
	stop_at_the_probe(&op);
	read_frame(0);
	for (int i = 0; i < R_RFLAGS; i++)
		assert_int_equal(frame.gprsgx.gpr[i], op.set[i]);
	assert_int_equal(frame.gprsgx.rflags & (FLAGS_ARITHMETIC | 0x202),
			 FLAGS_ARITHMETIC | 0x202);
	assert_true(test_is_inside(&encl, frame.gprsgx.rip));
	assert_int_equal(frame.gprsgx.fsbase, op.entry[R_FSBASE]);
	assert_int_equal(frame.gprsgx.gsbase, op.entry[R_GSBASE]);
	resume();
}

static void edited_registers_are_loaded(void **state)
{
	struct test_op op = { .kind = OP_REGS_PROBE };

	for (int i = 0; i < NR_REGS; i++)
		op.set[i] = 0xa5f0000000000000ull + (uint64_t)i * 0x1111111111ull;
	op.set[R_RFLAGS] = 0x202;
	stop_at_the_probe(&op);
	read_frame(0);
	for (int i = 0; i < R_RFLAGS; i++)
		frame.gprsgx.gpr[i] = 0x1c37000000000000ull + (uint64_t)i * 0x7777777777ull;
	frame.gprsgx.rflags = 0x202 | FLAGS_ARITHMETIC;
	WRITE_FRAME(0, gprsgx);
	resume();
	for (int i = 0; i < R_RFLAGS; i++)
		assert_int_equal(op.got[i], frame.gprsgx.gpr[i]);
	assert_int_equal(op.got[R_RFLAGS] & FLAGS_ARITHMETIC, FLAGS_ARITHMETIC);
}

static void an_instruction_can_be_skipped(void **state)
{
	struct test_op op = { .kind = OP_UD2 };

	interrupt(&op, SIGILL);
	read_frame(0);
	frame.gprsgx.rip += UD2_LENGTH;
	WRITE_FRAME(0, gprsgx.rip);
	resume();
}

static void edited_bases_are_loaded(void **state)
{
	struct test_op op = { .kind = OP_BASES, .value = 0x123456789000 };

	stop_at_the_probe(&op);
	read_frame(0);
	assert_int_equal(frame.gprsgx.fsbase, op.value);
	assert_int_equal(frame.gprsgx.gsbase, op.value);
	frame.gprsgx.fsbase = 0x3456789a000;
	frame.gprsgx.gsbase = 0x456789ab000;
	WRITE_FRAME(0, gprsgx);
	resume();
	assert_int_equal(op.result, 0x3456789a000);
	assert_int_equal(op.result2, 0x456789ab000);
}

static void fill_vectors(struct test_op *op)
{
	for (unsigned int i = 0; i < sizeof(op->vec_set); i++)
		((uint8_t *)op->vec_set)[i] = (uint8_t)(i * 37 + i / 32);
	op->value = 0x5f80; /* MXCSR: round up */
}

/* In the form XRSTOR takes: runtimes load it with that. */
static void extended_state_has_a_valid_header(void **state)
{
	struct test_op op = { .kind = OP_XMM_PROBE };
	uint32_t mxcsr;

	fill_vectors(&op);
	stop_at_the_probe(&op);
	read_frame(0);
	assert_int_equal(frame.xstate_bv & ~3ull, 0);
	assert_int_equal(frame.xstate_bv & 2, 2);
	assert_int_equal(frame.xcomp_bv, 0);
	memcpy(&mxcsr, frame.legacy + XSAVE_MXCSR, sizeof(mxcsr));
	assert_int_equal(mxcsr, 0x5f80);
	for (unsigned int i = 0; i < 16; i++)
		assert_memory_equal(frame.legacy + XSAVE_XMM0 + i * 16, op.vec_set[i], 16);
	resume();
}

static void edited_extended_state_is_loaded(void **state)
{
	struct test_op op = { .kind = OP_XMM_PROBE };
	const uint32_t mxcsr = 0x3f80;

	fill_vectors(&op);
	stop_at_the_probe(&op);
	read_frame(0);
	memcpy(frame.legacy + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
	memset(frame.legacy + XSAVE_XMM0, 0x77, 16 * 16);
	WRITE_FRAME(0, legacy);
	resume();
	for (unsigned int i = 0; i < 16 * 16; i++)
		assert_int_equal(op.vec_got[i / 16][i % 16], 0x77);
	assert_int_equal(op.result & 0xffff, 0x3f80);
}

static void state_can_be_made_initial(void **state)
{
	static const uint8_t zeros[16];
	struct test_op op = { .kind = OP_XMM_PROBE };

	fill_vectors(&op);
	stop_at_the_probe(&op);
	read_frame(0);
	frame.xstate_bv &= ~2ull;
	WRITE_FRAME(0, xstate_bv);
	resume();
	for (unsigned int i = 0; i < 16; i++)
		assert_memory_equal(op.vec_got[i], zeros, 16);
}

/* Some keep a flag there, and wait for it for ever if it is lost. */
static void exit_leaves_the_gap_alone(void **state)
{
	struct test_op ud = { .kind = OP_UD2 };

	memset(&other, 0x6b, sizeof(other));
	write_frame(0, XSAVE_SIZE_X87_SSE, (uint8_t *)&other + XSAVE_SIZE_X87_SSE,
		    offsetof(struct ssa_frame, gprsgx) - XSAVE_SIZE_X87_SSE);
	interrupt(&ud, SIGILL);
	read_frame(0);
	assert_memory_equal((uint8_t *)&frame + XSAVE_SIZE_X87_SSE,
			    (uint8_t *)&other + XSAVE_SIZE_X87_SSE,
			    offsetof(struct ssa_frame, gprsgx) - XSAVE_SIZE_X87_SSE);
}

static void and_with_avx_up_to_where_it_ends(void **state)
{
	struct test_op op = { .kind = OP_YMM_PROBE };
	const size_t end = 832;

	if (!__builtin_cpu_supports("avx"))
		skip();
	test_encl_free(&encl);
	assert_int_equal(test_encl_build(&encl, &(struct test_config){ .nr_ssa = NR_SSA,
								       .xfrm = 7 }), 0);
	memset(&other, 0x6b, sizeof(other));
	write_frame(0, end, (uint8_t *)&other + end, offsetof(struct ssa_frame, gprsgx) - end);
	fill_vectors(&op);
	stop_at_the_probe(&op);
	read_frame(0);
	assert_int_equal(frame.xstate_bv & ~7ull, 0);
	assert_memory_equal((uint8_t *)&frame + end, (uint8_t *)&other + end,
			    offsetof(struct ssa_frame, gprsgx) - end);
	for (unsigned int i = 0; i < 16; i++)
		assert_memory_equal((uint8_t *)&frame + XSAVE_SIZE_X87_SSE + i * 16,
				    &op.vec_set[i][16], 16);
	resume();
}

/* --- nesting ---------------------------------------------------------------------------- */

static void exceptions_nest_and_each_is_repaired(void **state)
{
	struct test_op first = { .kind = OP_UD2 }, second = { .kind = OP_DIVIDE };
	uint64_t rip;

	interrupt(&first, SIGILL);
	read_frame(0);
	rip = frame.gprsgx.rip;
	interrupt(&second, SIGFPE);
	assert_int_equal(second.entry[R_RAX], 1);

	read_frame(1);
	assert_int_equal(frame.gprsgx.exitinfo, EXITINFO_HARDWARE | VECTOR_DE);
	assert_int_not_equal(frame.gprsgx.rip, rip);
	frame.gprsgx.rip += 2;			/* DIV ECX */
	WRITE_FRAME(1, gprsgx.rip);
	resume();

	read_frame(0);
	assert_int_equal(frame.gprsgx.exitinfo, EXITINFO_HARDWARE | VECTOR_UD);
	assert_int_equal(frame.gprsgx.rip, rip);
	frame.gprsgx.rip += UD2_LENGTH;
	WRITE_FRAME(0, gprsgx.rip);
	resume();

	complete(&(struct test_op){ .kind = OP_NOP });
}

static void no_frame_left_is_gp_at_the_entry(void **state)
{
	struct test_op op = { .kind = OP_UD2 };

	for (unsigned int i = 0; i < NR_SSA; i++) {
		interrupt(&op, SIGILL);
		assert_int_equal(op.entry[R_RAX], i);
	}
	/* Its handler goes on behind the ENCLU, or it would be executed for ever. */
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &op,
				   &(struct sgx_enclave_run){ 0 }), 0);
	assert_int_equal(op.entry[R_RAX], NR_SSA - 1);
}

/* --- why ---------------------------------------------------------------------------------- */

static void assert_why(struct test_op *op, int sig, uint32_t exitinfo)
{
	interrupt(op, sig);
	read_frame(0);
	assert_int_equal(frame.gprsgx.exitinfo, exitinfo);
	/* The next starts from the first frame again. */
	test_encl_free(&encl);
	assert_int_equal(test_encl_build(&encl, &(struct test_config){ .nr_ssa = NR_SSA }), 0);
}

static void exceptions_are_named_with_their_signals(void **state)
{
	assert_why(&(struct test_op){ .kind = OP_DIVIDE }, SIGFPE, EXITINFO_HARDWARE | 0);
	assert_why(&(struct test_op){ .kind = OP_INT3 }, SIGTRAP, EXITINFO_SOFTWARE | 3);
	assert_why(&(struct test_op){ .kind = OP_UD2 }, SIGILL, EXITINFO_HARDWARE | 6);
	assert_why(&(struct test_op){ .kind = OP_X87_DIVIDE }, SIGFPE, EXITINFO_HARDWARE | 16);
	assert_why(&(struct test_op){ .kind = OP_UNALIGNED }, SIGBUS, EXITINFO_HARDWARE | 17);
	assert_why(&(struct test_op){ .kind = OP_SSE_DIVIDE }, SIGFPE, EXITINFO_HARDWARE | 19);
}

static void faults_are_not_named_without_exinfo(void **state)
{
	assert_why(&(struct test_op){ .kind = OP_NON_CANONICAL }, SIGSEGV, 0);
	assert_why(&(struct test_op){ .kind = OP_READ }, SIGSEGV, 0);
}

static void build_with_exinfo(void)
{
	test_encl_free(&encl);
	assert_int_equal(test_encl_build(&encl, &(struct test_config){
		.nr_ssa = NR_SSA, .miscselect = MISC_EXINFO }), 0);
}

static void assert_exinfo(struct test_op *op, unsigned int vector, uint64_t maddr,
			  uint32_t errcd)
{
	interrupt(op, SIGSEGV);
	read_frame(0);
	assert_int_equal(frame.gprsgx.exitinfo, EXITINFO_HARDWARE | vector);
	assert_int_equal(frame.exinfo.maddr, maddr);
	assert_int_equal(frame.exinfo.errcd, errcd);
	build_with_exinfo();
}

static void exinfo_tells_where_to_the_byte_and_why(void **state)
{
	const uint64_t hole = (uintptr_t)mmap(NULL, PAGE_SIZE, PROT_NONE,
					      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t addr;

	assert_int_equal(munmap((void *)hole, PAGE_SIZE), 0);
	build_with_exinfo();
	assert_exinfo(&(struct test_op){ .kind = OP_NON_CANONICAL }, VECTOR_GP, 0, 0);
	assert_exinfo(&(struct test_op){ .kind = OP_READ, .addr = hole + 0x123 }, VECTOR_PF,
		      hole + 0x123, PF_U);
	assert_exinfo(&(struct test_op){ .kind = OP_WRITE, .addr = hole + 0xfff }, VECTOR_PF,
		      hole + 0xfff, PF_W | PF_U);

	addr = (uintptr_t)encl.base + ENCL_CODE_OFFSET + 0x345;
	complete(&(struct test_op){ .kind = OP_READ, .addr = addr });
	assert_exinfo(&(struct test_op){ .kind = OP_WRITE, .addr = addr }, VECTOR_PF, addr,
		      PF_P | PF_W | PF_U);
	addr = test_tcs(&encl, 0) + 0x21;
	assert_exinfo(&(struct test_op){ .kind = OP_READ, .addr = addr }, VECTOR_PF, addr,
		      PF_SGX | PF_P | PF_U);
	addr = (uintptr_t)encl.base + ENCL_RODATA_OFFSET;
	complete(&(struct test_op){ .kind = OP_READ, .addr = addr });
	assert_exinfo(&(struct test_op){ .kind = OP_JUMP, .addr = addr }, VECTOR_PF, addr,
		      PF_P | PF_U | PF_I);
}

static void other_exceptions_do_not_touch_exinfo(void **state)
{
	struct test_op ud = { .kind = OP_UD2 };

	build_with_exinfo();
	memset(&other, 0x39, sizeof(other));
	write_frame(0, offsetof(struct ssa_frame, exinfo), &other.exinfo, sizeof(other.exinfo));
	interrupt(&ud, SIGILL);
	read_frame(0);
	assert_memory_equal(&frame.exinfo, &other.exinfo, sizeof(other.exinfo));
}

static void an_interrupt_is_no_exception(void **state)
{
	const struct itimerval once = { .it_value = { 0, 10000 } };
	struct test_op op = { .kind = OP_SPIN };
	const uint32_t old = EXITINFO_HARDWARE | VECTOR_UD;

	write_frame(0, offsetof(struct ssa_frame, gprsgx.exitinfo), &old, sizeof(old));
	setitimer(ITIMER_REAL, &once, NULL);
	interrupt(&op, SIGALRM);
	read_frame(0);
	assert_int_equal(frame.gprsgx.exitinfo, 0);
	op.flag = 1;
	resume();
}

/* --- notification -------------------------------------------------------------------------- */

/*
 * An enclave that wants to know of its exits is entered by ERESUME instead of
 * being resumed.  Programs find no such enclave where CPUID offers none.
 */
static void resume_enters_where_a_notification_is_wanted(void **state)
{
	const uint8_t wanted = 1, not_wanted = 0;
	const size_t field = offsetof(struct ssa_frame, gprsgx.aexnotify);
	struct test_op op = { .kind = OP_UD2 }, told = { .kind = OP_NOP };

	test_encl_free(&encl);
	assert_int_equal(test_encl_build(&encl, &(struct test_config){
		.nr_ssa = NR_SSA, .attributes = ATTR_AEXNOTIFY, .tcs_flags = TCS_AEXNOTIFY }), 0);
	write_frame(0, field, &wanted, 1);
	interrupt(&op, SIGILL);
	read_frame(0);
	assert_int_equal(frame.gprsgx.aexnotify & 1, 1);

	assert_int_equal(enter(&told, ENCLU_ERESUME, 0x5151), ENCLU_EEXIT);
	assert_int_equal(told.entry[R_RBX], test_tcs(&encl, 0));
	assert_int_equal(told.entry[R_RAX], 1);		/* CSSA, as for EENTER */
	assert_int_equal(told.entry[R_RSI], 0x5151);

	frame.gprsgx.rip += UD2_LENGTH;
	WRITE_FRAME(0, gprsgx.rip);
	write_frame(0, field, &not_wanted, 1);
	resume();
}

static void interrupted_again_and_again_it_is_told_each_time(void **state)
{
	const uint8_t wanted = 1;
	const size_t field = offsetof(struct ssa_frame, gprsgx.aexnotify);
	struct test_op op = { .kind = OP_UD2 };

	test_encl_free(&encl);
	assert_int_equal(test_encl_build(&encl, &(struct test_config){
		.nr_ssa = NR_SSA, .attributes = ATTR_AEXNOTIFY, .tcs_flags = TCS_AEXNOTIFY }), 0);
	write_frame(0, field, &wanted, 1);
	interrupt(&op, SIGILL);
	for (int i = 0; i < 3; i++) {
		struct test_op told = { .kind = OP_NOP };

		assert_int_equal(enter(&told, ENCLU_ERESUME, 0), ENCLU_EEXIT);
		assert_int_equal(told.entry[R_RAX], 1);
	}
}

static int setup(void **state)
{
	return test_encl_build(&encl, &(struct test_config){ .nr_ssa = NR_SSA });
}

static int teardown(void **state)
{
	test_encl_free(&encl);
	return 0;
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(entry_stores_the_stack_outside),
		EACH(entry_on_top_of_another_stores_it_in_the_next_frame),
		EACH(exit_loads_the_stack_the_enclave_put_there),
		EACH(exit_saves_every_register),
		EACH(edited_registers_are_loaded),
		EACH(an_instruction_can_be_skipped),
		EACH(edited_bases_are_loaded),
		EACH(extended_state_has_a_valid_header),
		EACH(edited_extended_state_is_loaded),
		EACH(state_can_be_made_initial),
		EACH(exit_leaves_the_gap_alone),
		EACH(and_with_avx_up_to_where_it_ends),
		EACH(exceptions_nest_and_each_is_repaired),
		EACH(no_frame_left_is_gp_at_the_entry),
		EACH(exceptions_are_named_with_their_signals),
		EACH(faults_are_not_named_without_exinfo),
		EACH(exinfo_tells_where_to_the_byte_and_why),
		EACH(other_exceptions_do_not_touch_exinfo),
		EACH(an_interrupt_is_no_exception),
		EACH(resume_enters_where_a_notification_is_wanted),
		EACH(interrupted_again_and_again_it_is_told_each_time),
	};

	return cmocka_run_group_tests_name("ssa", tests, NULL, NULL);
}
