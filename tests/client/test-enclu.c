/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Programs that execute ENCLU themselves, with an AEP of their own: exceptions
 * are signals there, and the handler decides how the thread goes on.
 *
 * Source: SDM volume 3D, "Asynchronous Enclave Exit", synthetic state.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "../programs/enclave.h"

#define ENCLU_LENGTH 3
#define COMPUTE_ROUNDS 100000000ull

static struct test_encl encl;
static sigjmp_buf out;
static uint8_t stack[65536];
static _Thread_local int thread_word = 4242;

static struct {
	volatile unsigned int calls;
	siginfo_t info;
	greg_t gregs[NGREG];
	uintptr_t sp;
	int thread_word;
	unsigned int nested;		/* entries from the handler that went well */
} seen;

static void see(siginfo_t *info, void *context)
{
	memcpy(seen.gregs, ((ucontext_t *)context)->uc_mcontext.gregs, sizeof(seen.gregs));
	seen.info = *info;
	seen.sp = (uintptr_t)__builtin_frame_address(0);
	seen.thread_word = thread_word;
	seen.calls++;
}

/* Past the ENCLU: as if the enclave had left. */
static void leave(int sig, siginfo_t *info, void *context)
{
	see(info, context);
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] =
		(greg_t)enter_raw_aep + ENCLU_LENGTH;
}

static void jump(int sig, siginfo_t *info, void *context)
{
	see(info, context);
	siglongjmp(out, 1);
}

static void nest(void)
{
	struct test_op put = { .kind = OP_PUT, .value = 55 }, get = { .kind = OP_GET };
	uint64_t regs[NR_REGS] = { [R_RDI] = (uintptr_t)&put };

	enter_raw(regs, test_tcs(&encl, 0), ENCLU_EENTER);
	regs[R_RDI] = (uintptr_t)&get;
	enter_raw(regs, test_tcs(&encl, 0), ENCLU_EENTER);
	if (get.result == 55 && get.entry[R_RAX] == 1)
		seen.nested++;
}

/* The page may be written from now on; before that, the same thread is entered. */
static void enter_again_and_repair(int sig, siginfo_t *info, void *context)
{
	see(info, context);
	nest();
	mprotect(encl.base + ENCL_PROBE_OFFSET, PAGE_SIZE, PROT_READ | PROT_WRITE);
}

static void enter_again(int sig, siginfo_t *info, void *context)
{
	see(info, context);
	if (seen.gregs[REG_RIP] == (greg_t)enter_raw_aep && seen.gregs[REG_RAX] == ENCLU_ERESUME)
		nest();
}

static void catch(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
	const struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(sigaction(sig, &sa, NULL), 0);
}

static void run(struct test_op *op, uint32_t function)
{
	uint64_t regs[NR_REGS] = { [R_RDI] = (uintptr_t)op };

	enter_raw(regs, test_tcs(&encl, 0), function);
}

static void assert_at_the_aep(int sig)
{
	assert_int_equal(seen.info.si_signo, sig);
	assert_int_equal(seen.gregs[REG_RIP], enter_raw_aep);
	assert_int_equal(seen.gregs[REG_RAX], ENCLU_ERESUME);
	assert_int_equal(seen.gregs[REG_RBX], test_tcs(&encl, 0));
	assert_int_equal(seen.gregs[REG_RCX], enter_raw_aep);
	assert_false(test_is_inside(&encl, (uint64_t)seen.gregs[REG_RSP]));
	assert_false(test_is_inside(&encl, (uint64_t)seen.gregs[REG_RBP]));
	assert_int_equal(seen.thread_word, 4242);
}

/* --- exceptions inside ------------------------------------------------------------- */

static void write_to_a_read_only_page_is_sigsegv(void **state)
{
	const uint64_t addr = (uintptr_t)encl.base + ENCL_RODATA_OFFSET + 123;
	struct test_op op = { .kind = OP_WRITE, .addr = addr };

	catch(SIGSEGV, leave, 0);
	run(&op, ENCLU_EENTER);
	assert_int_equal(seen.calls, 1);
	assert_at_the_aep(SIGSEGV);
	assert_int_equal(seen.info.si_code, SEGV_ACCERR);
	assert_ptr_equal(seen.info.si_addr, addr - 123);
	assert_int_equal(seen.gregs[REG_TRAPNO], VECTOR_PF);
	assert_int_equal(seen.gregs[REG_ERR] & ~PF_P, PF_W | PF_U);
}

static void hole_of_the_mapping_is_sigsegv(void **state)
{
	const uint64_t addr = (uintptr_t)encl.base + ENCL_PROBE_OFFSET;
	struct test_op op = { .kind = OP_READ, .addr = addr };

	assert_int_equal(munmap((void *)addr, PAGE_SIZE), 0);
	catch(SIGSEGV, leave, 0);
	run(&op, ENCLU_EENTER);
	assert_int_equal(seen.calls, 1);
	assert_at_the_aep(SIGSEGV);
	assert_int_equal(seen.info.si_code, SEGV_MAPERR);
	assert_ptr_equal(seen.info.si_addr, addr);
}

static void general_protection_is_sigsegv_without_address(void **state)
{
	struct test_op op = { .kind = OP_NON_CANONICAL };

	catch(SIGSEGV, leave, 0);
	run(&op, ENCLU_EENTER);
	assert_int_equal(seen.calls, 1);
	assert_at_the_aep(SIGSEGV);
	assert_int_equal(seen.gregs[REG_TRAPNO], VECTOR_GP);
	assert_int_equal(seen.info.si_code, SI_KERNEL);
	assert_null(seen.info.si_addr);
}

static void undefined_instruction_is_sigill(void **state)
{
	struct test_op op = { .kind = OP_UD2 };

	catch(SIGILL, leave, 0);
	run(&op, ENCLU_EENTER);
	assert_int_equal(seen.calls, 1);
	assert_at_the_aep(SIGILL);
	assert_int_equal(seen.gregs[REG_TRAPNO], VECTOR_UD);
	assert_ptr_equal(seen.info.si_addr, enter_raw_aep);
}

static void division_by_zero_is_sigfpe(void **state)
{
	struct test_op op = { .kind = OP_DIVIDE };

	catch(SIGFPE, leave, 0);
	run(&op, ENCLU_EENTER);
	assert_int_equal(seen.calls, 1);
	assert_at_the_aep(SIGFPE);
	assert_int_equal(seen.gregs[REG_TRAPNO], VECTOR_DE);
	assert_int_equal(seen.info.si_code, FPE_INTDIV);
	assert_ptr_equal(seen.info.si_addr, enter_raw_aep);
}

/* --- handlers that go on -------------------------------------------------------------- */

static void handler_enters_the_thread_again_and_resumes(void **state)
{
	const uint64_t addr = (uintptr_t)encl.base + ENCL_PROBE_OFFSET + 8;
	struct test_op op = { .kind = OP_WRITE, .addr = addr, .value = 0x5a };
	struct test_op get = { .kind = OP_READ, .addr = addr };

	assert_int_equal(mprotect(encl.base + ENCL_PROBE_OFFSET, PAGE_SIZE, PROT_READ), 0);
	catch(SIGSEGV, enter_again_and_repair, 0);
	run(&op, ENCLU_EENTER);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.nested, 1);
	run(&get, ENCLU_EENTER);
	assert_int_equal(get.result, 0x5a);
}

static void the_same_on_the_alternate_stack(void **state)
{
	const stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };
	const stack_t none = { .ss_flags = SS_DISABLE };
	struct test_op op = {
		.kind = OP_WRITE,
		.addr = (uintptr_t)encl.base + ENCL_PROBE_OFFSET,
	};

	assert_int_equal(mprotect(encl.base + ENCL_PROBE_OFFSET, PAGE_SIZE, PROT_READ), 0);
	catch(SIGSEGV, enter_again_and_repair, SA_ONSTACK);
	sigaltstack(&alt, NULL);
	run(&op, ENCLU_EENTER);
	sigaltstack(&none, NULL);
	assert_int_equal(seen.nested, 1);
	assert_in_range(seen.sp, (uintptr_t)stack, (uintptr_t)stack + sizeof(stack));
}

static void handler_runs_below_the_stack_of_the_entry(void **state)
{
	struct test_op op = { .kind = OP_UD2 };

	catch(SIGILL, leave, 0);
	run(&op, ENCLU_EENTER);
	assert_in_range(seen.sp, (uint64_t)seen.gregs[REG_RSP] - 65536,
			(uint64_t)seen.gregs[REG_RSP] - 128);
}

static void handler_can_jump_out_and_the_thread_be_resumed(void **state)
{
	const uint64_t addr = (uintptr_t)encl.base + ENCL_PROBE_OFFSET;
	static struct test_op op;
	struct test_op get = { .kind = OP_READ, .addr = addr };

	op = (struct test_op){ .kind = OP_WRITE, .addr = addr, .value = 0x77 };
	assert_int_equal(mprotect(encl.base + ENCL_PROBE_OFFSET, PAGE_SIZE, PROT_READ), 0);
	catch(SIGSEGV, jump, 0);
	if (!sigsetjmp(out, 1)) {
		run(&op, ENCLU_EENTER);
		fail();
	}
	assert_at_the_aep(SIGSEGV);
	assert_int_equal(mprotect(encl.base + ENCL_PROBE_OFFSET, PAGE_SIZE,
				  PROT_READ | PROT_WRITE), 0);
	run(NULL, ENCLU_ERESUME);
	run(&get, ENCLU_EENTER);
	assert_int_equal(get.result, 0x77);
	assert_int_equal(get.entry[R_RAX], 0);
}

static void timer_interrupts_and_the_handler_enters_again(void **state)
{
	const uint64_t expected = op_compute(COMPUTE_ROUNDS);
	const struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	struct test_op op = { .kind = OP_COMPUTE, .value = COMPUTE_ROUNDS };

	catch(SIGALRM, enter_again, 0);
	setitimer(ITIMER_REAL, &every, NULL);
	run(&op, ENCLU_EENTER);
	setitimer(ITIMER_REAL, &never, NULL);
	assert_int_equal(op.result, expected);
	assert_in_range(seen.nested, 10, seen.calls);
}

/* --- entries that fault ------------------------------------------------------------------ */

static void assert_entry_faults(uint64_t tcs, uint32_t function, unsigned int vector)
{
	uint64_t regs[NR_REGS] = { 0 };

	catch(SIGSEGV, leave, 0);
	enter_raw(regs, tcs, function);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.gregs[REG_RIP], enter_raw_aep);
	assert_int_equal(seen.gregs[REG_RAX], function);
	assert_int_equal(seen.gregs[REG_RBX], tcs);
	assert_int_equal(seen.gregs[REG_TRAPNO], vector);
}

static void entry_at_an_unaligned_tcs_is_gp(void **state)
{
	assert_entry_faults(test_tcs(&encl, 0) + 8, ENCLU_EENTER, VECTOR_GP);
}

static void entry_at_ordinary_memory_is_pf(void **state)
{
	assert_entry_faults((uintptr_t)encl.image, ENCLU_EENTER, VECTOR_PF);
	assert_ptr_equal(seen.info.si_addr, encl.image);
	assert_int_equal(seen.info.si_code, SEGV_ACCERR);
}

static void entry_at_nothing_is_pf(void **state)
{
	assert_entry_faults(0x10000, ENCLU_EENTER, VECTOR_PF);
	assert_ptr_equal(seen.info.si_addr, 0x10000);
	assert_int_equal(seen.info.si_code, SEGV_MAPERR);
}

static void resume_of_nothing_is_gp(void **state)
{
	assert_entry_faults(test_tcs(&encl, 0), ENCLU_ERESUME, VECTOR_GP);
}

static void leaf_for_inside_is_gp(void **state)
{
	assert_entry_faults(test_tcs(&encl, 0), 1, VECTOR_GP);
	assert_entry_faults(test_tcs(&encl, 0), 4, VECTOR_GP);
	assert_entry_faults(test_tcs(&encl, 0), 99, VECTOR_GP);
}

/* --- without a handler ------------------------------------------------------------------- */

static void assert_dies(uint64_t kind, int sig)
{
	const pid_t pid = fork();
	int status;

	if (!pid) {
		struct test_op op = { .kind = kind };

		signal(sig, SIG_DFL);
		run(&op, ENCLU_EENTER);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), sig);
}

static void exceptions_kill_by_their_signals(void **state)
{
	/* At address 0. */
	assert_dies(OP_WRITE, SIGSEGV);
	assert_dies(OP_NON_CANONICAL, SIGSEGV);
}

static void undefined_instruction_kills(void **state)
{
	assert_dies(OP_UD2, SIGILL);
}

static void division_kills(void **state)
{
	assert_dies(OP_DIVIDE, SIGFPE);
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
		EACH(write_to_a_read_only_page_is_sigsegv),
		EACH(hole_of_the_mapping_is_sigsegv),
		EACH(general_protection_is_sigsegv_without_address),
		EACH(undefined_instruction_is_sigill),
		EACH(division_by_zero_is_sigfpe),
		EACH(handler_enters_the_thread_again_and_resumes),
		EACH(the_same_on_the_alternate_stack),
		EACH(handler_runs_below_the_stack_of_the_entry),
		EACH(handler_can_jump_out_and_the_thread_be_resumed),
		EACH(timer_interrupts_and_the_handler_enters_again),
		EACH(entry_at_an_unaligned_tcs_is_gp),
		EACH(entry_at_ordinary_memory_is_pf),
		EACH(entry_at_nothing_is_pf),
		EACH(resume_of_nothing_is_gp),
		EACH(leaf_for_inside_is_gp),
		EACH(exceptions_kill_by_their_signals),
		EACH(undefined_instruction_kills),
		EACH(division_kills),
	};

	return cmocka_run_group_tests_name("client enclu", tests, NULL, NULL);
}
