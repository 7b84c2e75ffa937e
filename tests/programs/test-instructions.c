/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Instructions that do not work inside an enclave.
 *
 * Source: SDM volume 3D, "Illegal Instructions inside an enclave".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <pthread.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"

static struct test_encl encl;

/* Where GPRSGX of frame 0 lies, and what is in it. */
#define GPRSGX_OFFSET (PAGE_SIZE - 184)
#define GPRSGX_RIP (GPRSGX_OFFSET + 136)

static uint64_t rip_saved(void)
{
	uint64_t rip;

	memcpy(&rip, encl.base + ENCL_THREAD_OFFSET + ENCL_THREAD_SSA + GPRSGX_RIP, sizeof(rip));
	return rip;
}

/* Where the enclave's own code may be written at run time. */
static uint8_t *heap(void)
{
	return encl.base + encl.heap_offset;
}

/* The enclave writes @code, and runs it. */
static void run_written(const uint8_t *code, size_t size, struct sgx_enclave_run *run)
{
	struct test_op call = { .kind = OP_CALL, .addr = (uintptr_t)heap() };

	for (size_t i = 0; i < size; i++)
		test_enter(&encl, 0, &(struct test_op){ .kind = OP_WRITE,
							.addr = (uintptr_t)heap() + i,
							.value = code[i] });
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &call, run), 0);
}

static void assert_ud(const struct sgx_enclave_run *run)
{
	assert_int_equal(run->function, ENCLU_ERESUME);
	assert_int_equal(run->exception_vector, VECTOR_UD);
	assert_int_equal(run->exception_error_code, 0);
}

static void is_ud(const uint8_t *code, size_t size)
{
	struct sgx_enclave_run run = { 0 };

	run_written(code, size, &run);
	assert_ud(&run);
	assert_int_equal(rip_saved(), (uintptr_t)heap());
	/* And again when it is resumed. */
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_ERESUME, NULL, &run), 0);
	assert_ud(&run);
}

#define IS_UD(...) is_ud((const uint8_t[]){ __VA_ARGS__, 0xc3 },                                   \
			 sizeof((const uint8_t[]){ __VA_ARGS__, 0xc3 }))

static void syscall_is_ud(void **state)
{
	struct test_op op = { .kind = OP_SYSCALL, .result = 1234 };
	struct sgx_enclave_run run = { 0 };

	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &op, &run), 0);
	assert_ud(&run);
	assert_int_equal(op.result, 1234);
}

static void syscall_is_ud_in_code_written_inside(void **state)
{
	IS_UD(0x0f, 0x05);
}

static void syscall_keeps_what_its_emulator_needs(void **state)
{
	const uint8_t code[] = { 0xb8, 39, 0, 0, 0, 0xbf, 7, 0, 0, 0, 0x0f, 0x05, 0xc3 };
	const uint8_t *gprsgx = encl.base + ENCL_THREAD_OFFSET + ENCL_THREAD_SSA + GPRSGX_OFFSET;
	struct sgx_enclave_run run = { 0 };
	uint64_t rax, rdi;

	run_written(code, sizeof(code), &run);
	assert_ud(&run);
	assert_int_equal(rip_saved(), (uintptr_t)heap() + 10);
	memcpy(&rax, gprsgx + 8 * R_RAX, 8);
	memcpy(&rdi, gprsgx + 8 * R_RDI, 8);
	assert_int_equal(rax, 39);
	assert_int_equal(rdi, 7);
}

static void system_calls_work_outside(void **state)
{
	test_enter(&encl, 0, NULL);
	assert_int_equal(syscall(SYS_getpid), getpid());
}

static void *enter_in_thread(void *arg)
{
	syscall_is_ud(NULL);
	assert_int_equal(syscall(SYS_getpid), getpid());
	return NULL;
}

static void every_thread_is_watched(void **state)
{
	pthread_t thread;

	test_enter(&encl, 0, NULL);
	assert_int_equal(pthread_create(&thread, NULL, enter_in_thread, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void children_are_watched(void **state)
{
	struct test_op op = { .kind = OP_SYSCALL, .result = 1234 };
	struct sgx_enclave_run run = { 0 };
	int status;
	pid_t pid;

	test_enter(&encl, 0, NULL);
	pid = fork();
	if (!pid) {
		test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &op, &run);
		_exit(run.function == ENCLU_ERESUME && run.exception_vector == VECTOR_UD &&
		      op.result == 1234 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void software_interrupts_are_ud(void **state)
{
	IS_UD(0xcd, 0x20);
}

static void int_0x80_is_ud(void **state)
{
	IS_UD(0xcd, 0x80);
}

static void port_input_is_ud(void **state)
{
	IS_UD(0xe4, 0x80);
}

static void port_output_with_prefix_is_ud(void **state)
{
	IS_UD(0x66, 0xef);
}

static void string_output_is_ud(void **state)
{
	IS_UD(0xf3, 0x6e);
}

static void rdpmc_is_ud(void **state)
{
	IS_UD(0x0f, 0x33);
}

/* As parts with SGX2 have it; runtimes give up on time where it faults. */
static void time_stamps_are_read(void **state)
{
	static const uint8_t code[] = { 0x0f, 0x31, 0x0f, 0x01, 0xf9, 0xc3 }; /* rdtsc; rdtscp; ret */
	struct sgx_enclave_run run = { 0 };

	run_written(code, sizeof(code), &run);
	assert_int_equal(run.function, ENCLU_EEXIT);
}

static void halt_is_gp_as_outside(void **state)
{
	const uint8_t code[] = { 0xf4, 0xc3 };
	struct sgx_enclave_run run = { 0 };

	run_written(code, sizeof(code), &run);
	assert_int_equal(run.function, ENCLU_ERESUME);
	assert_int_equal(run.exception_vector, VECTOR_GP);
}

static int build(void **state)
{
	return test_encl_build(&encl, &(struct test_config){ .heap_pages = 1, .heap_exec = true });
}

static int give_back(void **state)
{
	test_encl_free(&encl);
	return 0;
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, build, give_back)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(syscall_is_ud),
		EACH(syscall_is_ud_in_code_written_inside),
		EACH(syscall_keeps_what_its_emulator_needs),
		EACH(system_calls_work_outside),
		EACH(every_thread_is_watched),
		EACH(children_are_watched),
		EACH(software_interrupts_are_ud),
		EACH(int_0x80_is_ud),
		EACH(port_input_is_ud),
		EACH(port_output_with_prefix_is_ud),
		EACH(string_output_is_ud),
		EACH(rdpmc_is_ud),
		EACH(time_stamps_are_read),
		EACH(halt_is_gp_as_outside),
	};

	return cmocka_run_group_tests_name("instructions", tests, NULL, NULL);
}
