/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything a leaf works on is outside when it is executed: the pages its operands
 * are in, the thread control structure, the frame, the SECS.  To be run with an EPC
 * of 1 MiB, all of which another process takes each time.
 */
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "enclave.h"

#define ENCL_SIZE (1u << 22)
#define HEAP_PAGES 500u

#define EREPORT 0
#define EGETKEY 1
#define EACCEPT 5
#define EMODPE 6
#define EACCEPTCOPY 7

#define SECINFO_PR (1u << 5)

/* A leaf, value, with RBX, RCX and RDX of set: its RAX to result, its flags to result2. */
extern const uint8_t leaf_code[], leaf_code_end[];

__asm__(".pushsection .rodata\n"
	"leaf_code:\n"
	"	pushq %rbx\n"
	"	movq %rdi, %r8\n"
	"	movq 216(%rdi), %rcx\n"
	"	movq 224(%rdi), %rdx\n"
	"	movq 232(%rdi), %rbx\n"
	"	movl 16(%rdi), %eax\n"
	"	.byte 0x0f, 0x01, 0xd7\n"
	"	movq %rax, 24(%r8)\n"
	"	pushfq\n"
	"	popq 32(%r8)\n"
	"	popq %rbx\n"
	"	ret\n"
	"leaf_code_end:\n"
	".popsection");

_Static_assert(offsetof(struct test_op, set[R_RCX]) == 216 &&
	       offsetof(struct test_op, set[R_RBX]) == 232 &&
	       offsetof(struct test_op, value) == 16 && offsetof(struct test_op, result) == 24 &&
	       offsetof(struct test_op, result2) == 32, "leaf_code");

static struct test_encl encl;

/* --- putting it outside -------------------------------------------------------------- */

static bool is_resident(uint64_t la)
{
	unsigned char resident = 0;

	/* What is not mapped is not there. */
	return !mincore((void *)la, PAGE_SIZE, &resident) && resident & 1;
}

/* Also the SECS, which goes with the last of them. */
static void have_all_out(void)
{
	test_have_all_out();
	for (uint64_t offset = 0; offset < encl.size; offset += PAGE_SIZE)
		assert_false(is_resident((uintptr_t)encl.base + offset));
}

/* While a thread needs others: the second thread of the enclave uses more than fit. */
static void have_out_beside_others(uint64_t la)
{
	struct test_op op = {
		.kind = OP_SWEEP,
		.addr = (uintptr_t)encl.base + encl.heap_offset,
		.value = HEAP_PAGES,
	};

	while (is_resident(la))
		test_enter(&encl, 1, &op);
}

/* --- leaves, and their operands in the heap ---------------------------------------------- */

static uint64_t heap(unsigned int page)
{
	return (uintptr_t)encl.base + encl.heap_offset + page * PAGE_SIZE;
}

static void copy(uint64_t to, uint64_t from, size_t n)
{
	struct test_op op = { .kind = OP_COPY, .addr = from, .addr2 = to, .value = n };

	test_enter(&encl, 0, &op);
}

static void store(unsigned int page, const void *src, size_t n)
{
	copy(heap(page), (uintptr_t)src, n);
}

static void fetch(void *dst, unsigned int page, size_t n)
{
	copy((uintptr_t)dst, heap(page), n);
}

static uint64_t execute(uint32_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx)
{
	struct test_op op = {
		.kind = OP_CALL,
		.addr = (uintptr_t)encl.base + encl.code_offset,
		.value = leaf,
		.set = { [R_RBX] = rbx, [R_RCX] = rcx, [R_RDX] = rdx },
	};

	test_enter(&encl, 0, &op);
	return op.result;
}

/* With everything at hand, and with nothing; the same must come of it. */
static void assert_same_outside(uint32_t leaf, unsigned int out, size_t size)
{
	static uint8_t here[PAGE_SIZE], there[PAGE_SIZE];
	static const uint8_t zeros[PAGE_SIZE];

	assert_int_equal(execute(leaf, heap(0), heap(1), heap(2)), 0);
	fetch(here, out, size);
	assert_memory_not_equal(here, zeros, size);
	store(out, zeros, size);
	have_all_out();
	assert_int_equal(execute(leaf, heap(0), heap(1), heap(2)), 0);
	fetch(there, out, size);
	assert_memory_equal(here, there, size);
}

static void ereport_with_everything_outside(void **state)
{
	static const uint8_t targetinfo[512], data[64] = "what is reported";

	store(0, targetinfo, sizeof(targetinfo));
	store(1, data, sizeof(data));
	assert_same_outside(EREPORT, 2, 432);
}

static void egetkey_with_everything_outside(void **state)
{
	/* KEYNAME 3: the report key. */
	static const uint8_t request[512] = { 3 };

	store(0, request, sizeof(request));
	assert_same_outside(EGETKEY, 1, 16);
}

static void store_secinfo(uint64_t flags)
{
	const struct secinfo secinfo = { .flags = flags };

	store(0, &secinfo, sizeof(secinfo));
}

static void eaccept_and_emodpe_with_everything_outside(void **state)
{
	struct sgx_enclave_restrict_permissions restrict_to_r = {
		.offset = heap(3) - (uintptr_t)encl.base, .length = PAGE_SIZE,
		.permissions = SECINFO_R,
	};
	const uint64_t value = 0x1122334455667788;
	uint64_t back = 0;

	store(3, &value, sizeof(value));
	/* As what EMODPR leaves behind. */
	store_secinfo(SECINFO_REG | SECINFO_R | SECINFO_PR);
	have_all_out();
	assert_int_equal(ioctl(encl.fd, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &restrict_to_r), 0);
	have_all_out();
	assert_int_equal(execute(EACCEPT, heap(0), heap(3), 0), 0);

	store_secinfo(SECINFO_REG | SECINFO_R | SECINFO_W);
	have_all_out();
	execute(EMODPE, heap(0), heap(3), 0);
	have_all_out();
	fetch(&back, 3, sizeof(back));
	assert_int_equal(back, value);
	store(3, &back, sizeof(back));
}

/* Of a page that is away into one that was never there. */
static void eacceptcopy_with_everything_outside(void **state)
{
	const uint64_t la = heap(0) - PAGE_SIZE, value = 0x8877665544332211;
	uint64_t back = 0;

	assert_ptr_equal(mmap((void *)la, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			      encl.fd, 0), (void *)la);
	store(2, &value, sizeof(value));
	store_secinfo(SECINFO_REG | SECINFO_R | SECINFO_W);
	have_all_out();
	assert_int_equal(execute(EACCEPTCOPY, heap(0), la, heap(2)), 0);
	have_all_out();
	copy((uintptr_t)&back, la, sizeof(back));
	assert_int_equal(back, value);
}

/* --- entry and exit -------------------------------------------------------------------- */

static void entered_with_everything_outside(void **state)
{
	struct test_op put = { .kind = OP_PUT, .value = 5 }, get = { .kind = OP_GET };

	test_enter(&encl, 0, &put);
	for (unsigned int i = 0; i < 5; i++) {
		have_all_out();
		get.result = 0;
		test_enter(&encl, 0, &get);
		assert_int_equal(get.result, 5);
	}
}

/* What it faulted on is repaired, and its registers come back from outside. */
static void resumed_with_everything_outside(void **state)
{
	void *probe = encl.base + ENCL_PROBE_OFFSET;
	struct test_op op = { .kind = OP_WRITE, .addr = (uintptr_t)probe, .value = 77 };
	struct sgx_enclave_run run = { 0 };

	mprotect(probe, PAGE_SIZE, PROT_NONE);
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &op, &run), 0);
	assert_int_equal(run.exception_vector, VECTOR_PF);
	mprotect(probe, PAGE_SIZE, PROT_READ | PROT_WRITE);
	have_all_out();
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_ERESUME, NULL, &run), 0);
	assert_int_equal(run.function, ENCLU_EEXIT);
	op = (struct test_op){ .kind = OP_READ, .addr = (uintptr_t)probe };
	test_enter(&encl, 0, &op);
	assert_int_equal(op.result, 77);
}

static struct test_op spin_op;
static struct sgx_enclave_run spin_run;
static volatile sig_atomic_t nr_signals;

static void count(int sig)
{
	nr_signals++;
}

static void *spin(void *arg)
{
	test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &spin_op, &spin_run);
	return NULL;
}

/* Code and stack stay where they are used; the frame and the TCS are not, until then. */
static void interrupted_with_its_frame_outside(void **state)
{
	const uint64_t tcs = test_tcs(&encl, 0), ssa = tcs - ENCL_THREAD_TCS + ENCL_THREAD_SSA;
	pthread_t thread;

	nr_signals = 0;
	signal(SIGUSR1, count);
	spin_op = (struct test_op){ .kind = OP_SPIN };
	assert_int_equal(pthread_create(&thread, NULL, spin, NULL), 0);
	while (!spin_op.started)
		sched_yield();
	for (int i = 1; i <= 3; i++) {
		have_out_beside_others(ssa);
		have_out_beside_others(tcs);
		pthread_kill(thread, SIGUSR1);
		while (nr_signals < i)
			sched_yield();
	}
	spin_op.flag = 1;
	pthread_join(thread, NULL);
	signal(SIGUSR1, SIG_DFL);
	assert_int_equal(spin_run.function, ENCLU_EEXIT);
}

/* An exit without a trap stores into a TCS that is away. */
static void left_with_its_tcs_outside(void **state)
{
	const uint64_t tcs = test_tcs(&encl, 0);
	struct test_op op = { .kind = OP_NOP };
	pthread_t thread;

	spin_op = (struct test_op){ .kind = OP_SPIN };
	assert_int_equal(pthread_create(&thread, NULL, spin, NULL), 0);
	while (!spin_op.started)
		sched_yield();
	have_out_beside_others(tcs);
	spin_op.flag = 1;
	pthread_join(thread, NULL);
	assert_int_equal(spin_run.function, ENCLU_EEXIT);
	test_enter(&encl, 0, &op);
	assert_int_equal(op.entry[R_RAX], 0);
}

static int setup(void **state)
{
	const struct test_config config = {
		.nr_threads = 2, .heap_pages = HEAP_PAGES, .size = ENCL_SIZE, .code = leaf_code,
		.code_size = (size_t)(leaf_code_end - leaf_code),
	};

	return test_encl_build(&encl, &config);
}

static int teardown(void **state)
{
	test_encl_free(&encl);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entered_with_everything_outside),
		cmocka_unit_test(resumed_with_everything_outside),
		cmocka_unit_test(interrupted_with_its_frame_outside),
		cmocka_unit_test(left_with_its_tcs_outside),
		cmocka_unit_test(ereport_with_everything_outside),
		cmocka_unit_test(egetkey_with_everything_outside),
		cmocka_unit_test(eaccept_and_emodpe_with_everything_outside),
		cmocka_unit_test(eacceptcopy_with_everything_outside),
	};

	return cmocka_run_group_tests_name("evicted", tests, setup, teardown);
}
