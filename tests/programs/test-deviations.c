/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Places where swsgx is known to differ from hardware, as docs/deviations.md
 * lists them.  These cases hold what happens now, so that the list is noticed
 * when it changes; on real SGX they fail.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"
#include "ssa.h"

static struct test_encl encl;

/* What XGETBV told the code outside the enclave, 0 when it did not run. */
static volatile uint32_t xcr0_seen;

static uint32_t xcr0(void)
{
	uint32_t eax, edx;

	__asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
	return eax;
}

/* Host code: xcr0_seen = XCR0, then UD2. */
static uint8_t *host_code(void)
{
	static const uint8_t head[] = { 0x31, 0xc9, 0x0f, 0x01, 0xd0, 0x48, 0xb9 };
	static const uint8_t tail[] = { 0x89, 0x01, 0x0f, 0x0b };
	const uint64_t target = (uintptr_t)&xcr0_seen;
	uint8_t *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(page, MAP_FAILED);
	memcpy(page, head, sizeof(head));
	memcpy(page + sizeof(head), &target, sizeof(target));
	memcpy(page + sizeof(head) + sizeof(target), tail, sizeof(tail));
	assert_int_equal(mprotect(page, PAGE_SIZE, PROT_READ | PROT_EXEC), 0);
	return page;
}

static void jump_to_host_code(struct sgx_enclave_run *run)
{
	uint8_t *code = host_code();
	struct test_op op = { .kind = OP_JUMP, .addr = (uintptr_t)code };

	xcr0_seen = 0;
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &op, run), 0);
	munmap(code, PAGE_SIZE);
}

static void memory_of_the_enclave_is_open_to_the_program(void **state)
{
	volatile uint8_t *probe = encl.base + ENCL_PROBE_OFFSET;
	struct test_op put = { .kind = OP_WRITE, .addr = (uintptr_t)probe, .value = 0xa5 };
	struct test_op get = { .kind = OP_READ, .addr = (uintptr_t)probe };

	test_enter(&encl, 0, &put);
	assert_int_equal(*probe, 0xa5);		/* hardware: 0xff */
	*probe = 0x5a;
	test_enter(&encl, 0, &get);
	assert_int_equal(get.result, 0x5a);	/* hardware: 0xa5 */
}

static void jump_to_host_code_is_noticed_at_its_first_fault(void **state)
{
	struct sgx_enclave_run run = { 0 };

	jump_to_host_code(&run);
	assert_int_not_equal(xcr0_seen, 0);	/* hardware: never ran */
	assert_int_equal(run.function, ENCLU_ERESUME);
	assert_int_equal(run.exception_vector, VECTOR_GP);
}

/* The enclave calls @code, which it does not know before. */
static void call_inside(const uint8_t *code, size_t size, struct sgx_enclave_run *run)
{
	struct test_op op = { .kind = OP_CALL, .addr = (uintptr_t)encl.base + encl.heap_offset };

	memcpy(encl.base + encl.heap_offset, code, size);
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &op, run), 0);
}

static void cpuid_is_executed_in_pages_that_are_writable(void **state)
{
	/* push %rbx; xor %eax, %eax; cpuid; pop %rbx; ret */
	const uint8_t code[] = { 0x53, 0x31, 0xc0, 0x0f, 0xa2, 0x5b, 0xc3 };
	struct sgx_enclave_run run = { 0 };

	call_inside(code, sizeof(code), &run);
	assert_int_equal(run.function, ENCLU_EEXIT);	/* hardware: #UD */
}

static void xcr0_in_pages_that_are_writable_is_the_hosts(void **state)
{
	/* xor %ecx, %ecx; xgetbv; mov %rax, result(%rdi); ret */
	const uint8_t code[] = { 0x31, 0xc9, 0x0f, 0x01, 0xd0, 0x48, 0x89, 0x47, 24, 0xc3 };
	struct test_op op = { .kind = OP_CALL, .addr = (uintptr_t)encl.base + encl.heap_offset };

	memcpy(encl.base + encl.heap_offset, code, sizeof(code));
	test_enter(&encl, 0, &op);
	assert_int_equal(op.result, xcr0());		/* hardware: XFRM, here 3 */
}

static void segments_are_loaded_inside(void **state)
{
	/* mov %ds, %eax; mov %eax, %ds; ret */
	const uint8_t code[] = { 0x8c, 0xd8, 0x8e, 0xd8, 0xc3 };
	struct sgx_enclave_run run = { 0 };

	call_inside(code, sizeof(code), &run);
	assert_int_equal(run.function, ENCLU_EEXIT);	/* hardware: #UD */
}

static void syscall_changes_rcx_before_its_fault(void **state)
{
	/* xor %ecx, %ecx; syscall */
	const uint8_t code[] = { 0x31, 0xc9, 0x0f, 0x05 };
	const uint64_t rcx_saved = ENCL_THREAD_OFFSET + ENCL_THREAD_SSA + PAGE_SIZE - 184 + 8 * R_RCX;
	struct sgx_enclave_run run = { 0 };
	uint64_t rcx;

	call_inside(code, sizeof(code), &run);
	assert_int_equal(run.exception_vector, VECTOR_UD);
	memcpy(&rcx, encl.base + rcx_saved, sizeof(rcx));
	/* hardware: 0 */
	assert_int_equal(rcx, (uintptr_t)encl.base + encl.heap_offset + sizeof(code));
}

/* A debugger sets TCS.FLAGS.DBGOPTIN so. */
static void mem_file_does_not_write_a_tcs(void **state)
{
	const int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	const uint64_t flags = TCS_DBGOPTIN;

	test_encl_free(&encl);
	assert_int_equal(test_encl_build(&encl, &(struct test_config){ .attributes = ATTR_DEBUG }),
			 0);
	assert_true(fd >= 0);
	/* hardware: 8 */
	assert_int_equal(pwrite(fd, &flags, 8, (off_t)(test_tcs(&encl, 0) + 8)), -1);
	close(fd);
}

static int build(void **state)
{
	return test_encl_build(&encl, &(struct test_config){ .nr_ssa = 2, .heap_pages = 1, .heap_exec = true });
}

static int give_back(void **state)
{
	test_encl_free(&encl);
	return 0;
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, build, give_back)

/* --- signals of exceptions ----------------------------------------------------------- */

static void block_segv(sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	assert_int_equal(sigprocmask(SIG_BLOCK, &set, old), 0);
}

/* Only those that libc knows of are told from their parent. */
static void child_of_the_bare_system_call_changes_its_parents_actions(void **state)
{
	struct sigaction now;
	volatile pid_t pid;
	long ret;
	int status;

	signal(SIGUSR1, SIG_DFL);
	__asm__ volatile("syscall" : "=a"(ret) : "a"(SYS_vfork) : "rcx", "r11", "memory");
	pid = (pid_t)ret;
	if (pid == 0) {
		signal(SIGUSR1, SIG_IGN);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(sigaction(SIGUSR1, NULL, &now), 0);
	assert_ptr_equal(now.sa_handler, SIG_IGN);	/* otherwise: SIG_DFL */
	signal(SIGUSR1, SIG_DFL);
}

static void program_executed_with_such_signals_blocked_has_them_unblocked(void **state)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		block_segv(NULL);
		execlp("grep", "grep", "-q", "^SigBlk:.*[4567cdef]..$", "/proc/self/status", NULL);
		_exit(9);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);	/* otherwise: 0, a match */
}

static void signalfd_does_not_see_such_signals(void **state)
{
	struct pollfd p = { .events = POLLIN };
	sigset_t set, old;

	signal(SIGSEGV, SIG_IGN);
	block_segv(&old);
	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	p.fd = signalfd(-1, &set, 0);
	assert_true(p.fd >= 0);
	raise(SIGSEGV);
	assert_int_equal(poll(&p, 1, 0), 0);		/* otherwise: 1 */
	close(p.fd);
	sigprocmask(SIG_SETMASK, &old, NULL);
	signal(SIGSEGV, SIG_DFL);
}

static void *wait_for_end(void *arg)
{
	while (!*(volatile int *)arg)
		sched_yield();
	return NULL;
}

static void such_a_signal_for_the_process_stays_where_it_is_blocked(void **state)
{
	volatile int end = 0;
	sigset_t old, pending;
	pthread_t other;

	signal(SIGSEGV, SIG_IGN);
	assert_int_equal(pthread_create(&other, NULL, wait_for_end, (void *)&end), 0);
	block_segv(&old);
	kill(getpid(), SIGSEGV);
	sigpending(&pending);
	assert_int_equal(sigismember(&pending, SIGSEGV), 1);	/* otherwise: the other has it */
	end = 1;
	pthread_join(other, NULL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	signal(SIGSEGV, SIG_DFL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(memory_of_the_enclave_is_open_to_the_program),
		EACH(jump_to_host_code_is_noticed_at_its_first_fault),
		EACH(cpuid_is_executed_in_pages_that_are_writable),
		EACH(xcr0_in_pages_that_are_writable_is_the_hosts),
		EACH(segments_are_loaded_inside),
		EACH(syscall_changes_rcx_before_its_fault),
		EACH(mem_file_does_not_write_a_tcs),
		cmocka_unit_test(child_of_the_bare_system_call_changes_its_parents_actions),
		cmocka_unit_test(program_executed_with_such_signals_blocked_has_them_unblocked),
		cmocka_unit_test(signalfd_does_not_see_such_signals),
		cmocka_unit_test(such_a_signal_for_the_process_stays_where_it_is_blocked),
	};

	return cmocka_run_group_tests_name("deviations", tests, NULL, NULL);
}
