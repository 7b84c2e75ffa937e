/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Exceptions in and on the way into an enclave: what the run structure says of
 * them, and that ERESUME goes on as if nothing had happened.
 *
 * Source: SDM volume 3D, "Asynchronous Enclave Exit" and "ERESUME"; Linux
 * arch/x86/entry/vdso/vsgx.S and extable.c.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cmocka.h>

#include "enclave.h"

#define FLAGS_ARITHMETIC 0x8d5ull
#define FLAGS_DF 0x400ull
#define FLAGS_FIXED 0x202ull
#define GPRSGX_RIP (PAGE_SIZE - 184 + 136)

static struct test_encl encl;

static uint8_t *probe(void)
{
	return encl.base + ENCL_PROBE_OFFSET;
}

static void protect(uint8_t *page, int prot)
{
	assert_int_equal(mprotect(page, PAGE_SIZE, prot), 0);
}

/* Present in the page tables, so that the processor would say so. */
static void touch_probe(void)
{
	struct test_op op = { .kind = OP_WRITE, .addr = (uintptr_t)probe() };

	test_enter(&encl, 0, &op);
}

static int enter(struct test_op *op, struct sgx_enclave_run *run)
{
	return test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, op, run);
}

static int resume(struct sgx_enclave_run *run)
{
	return test_call(&encl, test_tcs(&encl, 0), ENCLU_ERESUME, NULL, run);
}

static void assert_exception(const struct sgx_enclave_run *run, unsigned int function,
			     unsigned int vector, unsigned int error, uint64_t addr)
{
	if (run->function == function && run->exception_vector == vector &&
	    run->exception_error_code == error && run->exception_addr == addr)
		return;
	fail_msg("function %u vector %u error 0x%x addr 0x%llx; "
		 "expected function %u vector %u error 0x%x addr 0x%llx",
		 run->function, run->exception_vector, run->exception_error_code,
		 (unsigned long long)run->exception_addr, function, vector, error,
		 (unsigned long long)addr);
}

/* One operation in an enclave of its own: a fault that recurs ends its thread. */
static void expect(struct test_op *op, unsigned int vector, unsigned int error, uint64_t addr)
{
	struct sgx_enclave_run run = { 0 };

	assert_int_equal(enter(op, &run), 0);
	assert_exception(&run, ENCLU_ERESUME, vector, error, addr);
	/* The cause is still there, so the resumed enclave finds it again. */
	assert_int_equal(resume(&run), 0);
	assert_exception(&run, ENCLU_ERESUME, vector, error, addr);
}

static void division_by_zero(void **state)
{
	struct test_op op = { .kind = OP_DIVIDE };

	expect(&op, VECTOR_DE, 0, 0);
}

static void undefined_instruction(void **state)
{
	struct test_op op = { .kind = OP_UD2 };

	expect(&op, VECTOR_UD, 0, 0);
}

static void non_canonical_address(void **state)
{
	struct test_op op = { .kind = OP_NON_CANONICAL };

	expect(&op, VECTOR_GP, 0, 0);
}

static void read_of_nothing_outside(void **state)
{
	uint8_t *hole = mmap(NULL, PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct test_op op = { .kind = OP_READ, .addr = (uintptr_t)hole + 0x123 };

	assert_ptr_not_equal(hole, MAP_FAILED);
	munmap(hole, PAGE_SIZE);
	expect(&op, VECTOR_PF, PF_U, (uintptr_t)hole);
}

static void write_to_a_page_mapped_read_only(void **state)
{
	struct test_op read = { .kind = OP_READ, .addr = (uintptr_t)encl.base + ENCL_RODATA_OFFSET };
	struct test_op op = { .kind = OP_WRITE, .addr = read.addr + 8 };

	test_enter(&encl, 0, &read);
	expect(&op, VECTOR_PF, PF_P | PF_W | PF_U, read.addr);
}

static void write_to_code(void **state)
{
	struct test_op op = { .kind = OP_WRITE, .addr = (uintptr_t)encl.base + 0x10 };

	expect(&op, VECTOR_PF, PF_P | PF_W | PF_U, (uintptr_t)encl.base);
}

/* Page tables come first, and say that there is nothing to execute. */
static void jump_to_data_outside(void **state)
{
	uint8_t *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct test_op op = { .kind = OP_JUMP, .addr = (uintptr_t)page };

	assert_ptr_not_equal(page, MAP_FAILED);
	memset(page, 0x90, PAGE_SIZE);
	expect(&op, VECTOR_PF, PF_P | PF_U | PF_I, (uintptr_t)page);
	munmap(page, PAGE_SIZE);
}

static void read_of_the_tcs_is_an_epcm_fault(void **state)
{
	struct test_op op = { .kind = OP_READ, .addr = test_tcs(&encl, 0) };

	expect(&op, VECTOR_PF, PF_P | PF_U | PF_SGX, op.addr);
}

static void resume_goes_on_after_a_repair(void **state)
{
	struct test_op op = { .kind = OP_WRITE, .addr = (uintptr_t)probe() + 0x21, .value = 0x5a };
	struct test_op read = { .kind = OP_READ, .addr = op.addr };
	struct sgx_enclave_run run = { 0 };

	touch_probe();
	protect(probe(), PROT_READ);
	assert_int_equal(enter(&op, &run), 0);
	assert_exception(&run, ENCLU_ERESUME, VECTOR_PF, PF_P | PF_W | PF_U, (uintptr_t)probe());
	protect(probe(), PROT_READ | PROT_WRITE);
	assert_int_equal(resume(&run), 0);
	assert_int_equal(run.function, ENCLU_EEXIT);
	test_enter(&encl, 0, &read);
	assert_int_equal(read.result, 0x5a);
}

static void a_page_without_rights_faults_until_they_are_back(void **state)
{
	struct test_op op = { .kind = OP_READ, .addr = (uintptr_t)probe() };
	struct sgx_enclave_run run = { 0 };

	touch_probe();
	protect(probe(), PROT_NONE);
	assert_int_equal(enter(&op, &run), 0);
	assert_int_equal(run.function, ENCLU_ERESUME);
	assert_int_equal(run.exception_vector, VECTOR_PF);
	assert_int_equal(run.exception_error_code & (PF_W | PF_U | PF_I), PF_U);
	assert_int_equal(run.exception_addr, (uintptr_t)probe());
	protect(probe(), PROT_READ | PROT_WRITE);
	assert_int_equal(resume(&run), 0);
	assert_int_equal(run.function, ENCLU_EEXIT);
}

/* Runs an operation that touches the probe page, with a fault in the middle. */
static void run_over_the_probe(struct test_op *op)
{
	struct sgx_enclave_run run = { 0 };

	touch_probe();
	protect(probe(), PROT_READ);
	assert_int_equal(enter(op, &run), 0);
	assert_exception(&run, ENCLU_ERESUME, VECTOR_PF, PF_P | PF_W | PF_U, (uintptr_t)probe());
	protect(probe(), PROT_READ | PROT_WRITE);
	assert_int_equal(resume(&run), 0);
	assert_int_equal(run.function, ENCLU_EEXIT);
}

static void general_registers_survive(uint64_t flags)
{
	struct test_op op = { .kind = OP_REGS_PROBE };

	for (int i = 0; i < NR_REGS; i++)
		op.set[i] = 0xa5f0000000000000ull + (uint64_t)i * 0x1111111111ull;
	op.set[R_RFLAGS] = FLAGS_FIXED | flags;
	run_over_the_probe(&op);
	for (int i = 0; i < R_RFLAGS; i++)
		assert_int_equal(op.got[i], op.set[i]);
	assert_int_equal(op.got[R_RFLAGS] & (FLAGS_ARITHMETIC | FLAGS_DF), flags);
}

static void general_registers_survive_with_flags_set(void **state)
{
	general_registers_survive(FLAGS_ARITHMETIC | FLAGS_DF);
}

static void general_registers_survive_with_flags_clear(void **state)
{
	general_registers_survive(0);
}

static void fill_vectors(struct test_op *op)
{
	for (unsigned int i = 0; i < sizeof(op->vec_set); i++)
		((uint8_t *)op->vec_set)[i] = (uint8_t)(i * 37 + i / 32);
}

static void vector_registers_survive(struct test_op *op, size_t width)
{
	fill_vectors(op);
	op->value = 0x5f80; /* MXCSR: round up; and a number for the x87 stack */
	run_over_the_probe(op);
	for (unsigned int i = 0; i < 16; i++)
		assert_memory_equal(op->vec_got[i], op->vec_set[i], width);
	assert_int_equal(op->result & 0xffff, 0x5f80);
	assert_int_equal(op->result2, 0x5f80);
}

static void xmm_mxcsr_and_x87_survive(void **state)
{
	struct test_op op = { .kind = OP_XMM_PROBE };

	vector_registers_survive(&op, 16);
}


static void ymm_survives_when_xfrm_has_it(void **state)
{
	struct test_op op = { .kind = OP_YMM_PROBE };

	if (!__builtin_cpu_supports("avx"))
		skip();
	test_encl_free(&encl);
	assert_int_equal(test_encl_build(&encl, &(struct test_config){ .xfrm = 7 }), 0);
	vector_registers_survive(&op, 32);
}

static void bases_set_inside_survive(void **state)
{
	struct test_op op = { .kind = OP_BASES, .value = 0x123456789000 };

	run_over_the_probe(&op);
	assert_int_equal(op.result, op.value);
	assert_int_equal(op.result2, op.value);
}

static void interrupted_thread_can_be_entered_and_resumed(void **state)
{
	struct test_op op = { .kind = OP_WRITE, .addr = (uintptr_t)probe(), .value = 1 };
	struct test_op get = { .kind = OP_GET }, put = { .kind = OP_PUT, .value = 4711 };
	struct sgx_enclave_run run = { 0 };

	test_enter(&encl, 0, &put);
	touch_probe();
	protect(probe(), PROT_READ);
	assert_int_equal(enter(&op, &run), 0);
	assert_int_equal(run.function, ENCLU_ERESUME);

	test_enter(&encl, 0, &get);
	assert_int_equal(get.entry[R_RAX], 1); /* CSSA */
	assert_int_equal(get.result, 4711);

	protect(probe(), PROT_READ | PROT_WRITE);
	assert_int_equal(resume(&run), 0);
	assert_int_equal(run.function, ENCLU_EEXIT);
	test_enter(&encl, 0, &get);
	assert_int_equal(get.entry[R_RAX], 0);
}

static void entry_without_a_free_frame_is_gp(void **state)
{
	struct test_op ud = { .kind = OP_UD2 };
	struct sgx_enclave_run run = { 0 };

	for (int i = 0; i < 2; i++) {
		assert_int_equal(enter(&ud, &run), 0);
		assert_exception(&run, ENCLU_ERESUME, VECTOR_UD, 0, 0);
	}
	assert_int_equal(enter(&ud, &run), 0);
	assert_exception(&run, ENCLU_EENTER, VECTOR_GP, 0, 0);
}

static void resume_without_a_frame_is_gp(void **state)
{
	struct sgx_enclave_run run = { 0 };

	assert_int_equal(resume(&run), 0);
	assert_exception(&run, ENCLU_ERESUME, VECTOR_GP, 0, 0);
}

static void enter_at(uint64_t tcs, struct sgx_enclave_run *run)
{
	memset(run, 0, sizeof(*run));
	assert_int_equal(test_call(&encl, tcs, ENCLU_EENTER, NULL, run), 0);
	assert_int_equal(run->function, ENCLU_EENTER);
}

static void entry_at_unaligned_tcs_is_gp(void **state)
{
	struct sgx_enclave_run run;

	enter_at(test_tcs(&encl, 0) + 8, &run);
	assert_exception(&run, ENCLU_EENTER, VECTOR_GP, 0, 0);
}

static void entry_at_unmapped_tcs_is_page_fault(void **state)
{
	const uint64_t hole = (uintptr_t)encl.base + encl.size - PAGE_SIZE;
	struct sgx_enclave_run run;

	enter_at(hole, &run);
	assert_int_equal(run.exception_vector, VECTOR_PF);
	assert_int_equal(run.exception_error_code & (PF_P | PF_SGX), 0);
	assert_int_equal(run.exception_addr, hole);
}

static void assert_epcm_fault(const struct sgx_enclave_run *run, uint64_t addr)
{
	assert_int_equal(run->exception_vector, VECTOR_PF);
	assert_int_equal(run->exception_error_code & (PF_P | PF_SGX), PF_P | PF_SGX);
	assert_int_equal(run->exception_addr, addr);
}

/* An entry that has just worked says nothing of the next one. */
static void entry_notices_what_became_of_its_pages(void **state)
{
	const uint64_t tcs = test_tcs(&encl, 0);
	void *const page = (void *)(uintptr_t)tcs;
	void *const frame = (uint8_t *)page + ENCL_THREAD_SSA - ENCL_THREAD_TCS;
	const uint32_t error = PF_P | PF_W | PF_U;
	struct test_op op = { .kind = OP_NOP };
	struct sgx_enclave_run run = { 0 };

	for (unsigned int round = 0; round < 3; round++) {
		test_enter(&encl, 0, &op);
		protect(frame, PROT_READ);
		assert_int_equal(enter(&op, &run), 0);
		assert_exception(&run, ENCLU_EENTER, VECTOR_PF, error, (uintptr_t)frame);
		protect(frame, PROT_READ | PROT_WRITE);
		test_enter(&encl, 0, &op);
		protect(page, PROT_READ);
		assert_int_equal(enter(&op, &run), 0);
		assert_exception(&run, ENCLU_EENTER, VECTOR_PF, error, tcs);
		protect(page, PROT_READ | PROT_WRITE);
	}
	test_enter(&encl, 0, &op);
	munmap(frame, PAGE_SIZE);
	assert_int_equal(enter(&op, &run), 0);
	assert_exception(&run, ENCLU_EENTER, VECTOR_PF, PF_W | PF_U, (uintptr_t)frame);
}

static void entry_at_a_regular_page_is_epcm_fault(void **state)
{
	const uint64_t data = (uintptr_t)encl.base + ENCL_DATA_OFFSET;
	struct sgx_enclave_run run;

	enter_at(data, &run);
	assert_epcm_fault(&run, data);
}

static void entry_at_ordinary_memory_is_epcm_fault(void **state)
{
	static uint8_t page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	struct sgx_enclave_run run;

	page[0] = 1;
	enter_at((uintptr_t)page, &run);
	assert_epcm_fault(&run, (uintptr_t)page);
}

static sigjmp_buf after_trap;
static greg_t trap_regs[NGREG];
static volatile sig_atomic_t nr_traps;

static void on_trap(int sig, siginfo_t *info, void *context)
{
	nr_traps++;
	memcpy(trap_regs, ((ucontext_t *)context)->uc_mcontext.gregs, sizeof(trap_regs));
	siglongjmp(after_trap, 1);
}

static void interrupt_by_int3(void)
{
	const struct sigaction sa = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	struct test_op op = { .kind = OP_INT3 };
	struct sgx_enclave_run run = { 0 };
	struct sigaction old;

	assert_int_equal(sigaction(SIGTRAP, &sa, &old), 0);
	nr_traps = 0;
	if (!sigsetjmp(after_trap, 1)) {
		enter(&op, &run);
		fail_msg("int3 was not delivered: function %u vector %u", run.function,
			 run.exception_vector);
	}
	sigaction(SIGTRAP, &old, NULL);
	assert_int_equal(nr_traps, 1);
}

static void breakpoint_is_a_signal_at_the_aep(void **state)
{
	interrupt_by_int3();
	assert_false(test_is_inside(&encl, (uint64_t)trap_regs[REG_RIP]));
	assert_int_equal(trap_regs[REG_RAX], ENCLU_ERESUME);
	assert_int_equal(trap_regs[REG_RBX], test_tcs(&encl, 0));
	assert_int_equal(trap_regs[REG_RCX], trap_regs[REG_RIP]);
}

static void copy_out(uint64_t from, void *to, size_t len)
{
	struct test_op op = {
		.kind = OP_COPY, .addr = from, .addr2 = (uintptr_t)to, .value = len,
	};

	test_enter(&encl, 0, &op);
}

/* Whoever does not debug finds the instruction at RIP, not the one behind. */
static void breakpoint_is_saved_like_a_fault(void **state)
{
	uint8_t insn = 0;
	uint64_t rip;

	interrupt_by_int3();
	copy_out((uintptr_t)encl.base + ENCL_THREAD_OFFSET + ENCL_THREAD_SSA + GPRSGX_RIP, &rip,
		 sizeof(rip));
	copy_out(rip, &insn, 1);
	assert_int_equal(insn, 0xcc);
}

static int repair(long rdi, long rsi, long rdx, long rsp, long r8, long r9,
		  struct sgx_enclave_run *run)
{
	if (run->function != ENCLU_ERESUME)
		return 0;
	run->user_data++;
	mprotect(probe(), PAGE_SIZE, PROT_READ | PROT_WRITE);
	return ENCLU_ERESUME;
}

static void handler_can_repair_and_resume(void **state)
{
	struct test_op op = { .kind = OP_WRITE, .addr = (uintptr_t)probe(), .value = 9 };
	struct sgx_enclave_run run = { .user_handler = (uintptr_t)repair };

	touch_probe();
	protect(probe(), PROT_READ);
	assert_int_equal(enter(&op, &run), 0);
	assert_int_equal(run.function, ENCLU_EEXIT);
	assert_int_equal(run.user_data, 1);
}

static int setup(void **state)
{
	return test_encl_build(&encl, &(struct test_config){ .nr_ssa = 2 });
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
		EACH(division_by_zero),
		EACH(undefined_instruction),
		EACH(non_canonical_address),
		EACH(read_of_nothing_outside),
		EACH(write_to_a_page_mapped_read_only),
		EACH(write_to_code),
		EACH(jump_to_data_outside),
		EACH(read_of_the_tcs_is_an_epcm_fault),
		EACH(resume_goes_on_after_a_repair),
		EACH(a_page_without_rights_faults_until_they_are_back),
		EACH(general_registers_survive_with_flags_set),
		EACH(general_registers_survive_with_flags_clear),
		EACH(xmm_mxcsr_and_x87_survive),
		EACH(ymm_survives_when_xfrm_has_it),
		EACH(bases_set_inside_survive),
		EACH(interrupted_thread_can_be_entered_and_resumed),
		EACH(entry_without_a_free_frame_is_gp),
		EACH(resume_without_a_frame_is_gp),
		EACH(entry_at_unaligned_tcs_is_gp),
		EACH(entry_at_unmapped_tcs_is_page_fault),
		EACH(entry_notices_what_became_of_its_pages),
		EACH(entry_at_a_regular_page_is_epcm_fault),
		EACH(entry_at_ordinary_memory_is_epcm_fault),
		EACH(breakpoint_is_a_signal_at_the_aep),
		EACH(breakpoint_is_saved_like_a_fault),
		EACH(handler_can_repair_and_resume),
	};

	return cmocka_run_group_tests_name("exceptions", tests, NULL, NULL);
}
