/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dynamic memory as runtimes use it: a heap that grows by pages accepted before or after
 * their first touch, and shrinks; rights that are taken and given; code that is
 * copied in, and threads that are made, at run time.  All of it fits in no EPC of
 * 1 MiB at once.
 */
#include <asm/sgx.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "enclave.h"

#define ENCLU_EACCEPT 5
#define ENCLU_EMODPE 6
#define ENCLU_EACCEPTCOPY 7

#define SI_PENDING 0x08u
#define SI_MODIFIED 0x10u
#define SI_PR 0x20u
#define SI_TRIM 0x400u
#define PAGE_TYPE_TCS 1u
#define PAGE_TYPE_TRIM 4u

#define RW (SECINFO_REG | SECINFO_R | SECINFO_W)
#define HEAP_PAGES 400u
#define ELRANGE 0x400000u
#define STATUS_ATTRIBUTES_MISMATCH 19u

static struct test_encl encl;

/*
 * enclu with RAX, RBX, RCX, RDX of @set; RAX afterwards is in @got:
 * push rbx; four mov from 0xd0(rdi) on; enclu; mov to 0x158(rdi); pop rbx; ret
 */
static const uint8_t do_enclu[] = {
	0x53, 0x48, 0x8b, 0x87, 0xd0, 0, 0, 0, 0x48, 0x8b, 0x8f, 0xd8, 0, 0, 0,
	0x48, 0x8b, 0x97, 0xe0, 0, 0, 0, 0x48, 0x8b, 0x9f, 0xe8, 0, 0, 0,
	0x0f, 0x01, 0xd7, 0x48, 0x89, 0x87, 0x58, 1, 0, 0, 0x5b, 0xc3,
};

static_assert(OP_SET == 0xd0 && OP_GOT == 0x158, "do_enclu");

/* --- what the enclave does ------------------------------------------------------------ */

/* Where operands of leaves go: the page that is there from the beginning. */
static uint64_t operands(void)
{
	return (uintptr_t)encl.base + encl.heap_offset;
}

static uint64_t dynamic(unsigned int page)
{
	return (uintptr_t)encl.base + encl.code_offset + (1 + page) * (uint64_t)PAGE_SIZE;
}

static void copy_in(uint64_t to, const void *from, size_t n)
{
	struct test_op op = { .kind = OP_COPY, .addr = (uintptr_t)from, .addr2 = to, .value = n };

	test_enter(&encl, 0, &op);
}

static void get_secinfo(uint64_t flags)
{
	const struct secinfo secinfo = { .flags = flags };

	copy_in(operands(), &secinfo, sizeof(secinfo));
}

/* Returns what the leaf leaves in RAX. */
static uint64_t leaf(uint32_t number, uint64_t secinfo, uint64_t page, uint64_t source)
{
	struct test_op op = {
		.kind = OP_CALL,
		.addr = (uintptr_t)encl.base + encl.code_offset,
		.set = { [R_RAX] = number, [R_RBX] = operands(), [R_RCX] = page,
			 [R_RDX] = source },
		.got = { [R_RAX] = UINT64_MAX },
	};

	get_secinfo(secinfo);
	test_enter(&encl, 0, &op);
	return op.got[R_RAX];
}

static uint64_t accept_page(uint64_t page, uint64_t flags)
{
	return leaf(ENCLU_EACCEPT, flags, page, 0);
}

/* The error code of the exception the thread meets now, 0 when it gets through. */
static uint32_t go_on(uint32_t function, struct test_op *op, uint64_t addr)
{
	struct sgx_enclave_run run = { 0 };

	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), function, op, &run), 0);
	if (run.function == ENCLU_EEXIT)
		return 0;
	assert_int_equal(run.function, ENCLU_ERESUME);
	assert_int_equal(run.exception_vector, VECTOR_PF);
	assert_int_equal(run.exception_addr, addr & ~(uint64_t)(PAGE_SIZE - 1));
	return run.exception_error_code;
}

/* What was interrupted stays so while leaves are executed on top of it, until it is resumed. */
static uint32_t touch(uint32_t kind, uint64_t addr)
{
	static struct test_op op;

	op = (struct test_op){ .kind = kind, .addr = addr, .value = 1 };
	return go_on(ENCLU_EENTER, &op, addr);
}

static uint32_t resume(uint64_t addr)
{
	return go_on(ENCLU_ERESUME, NULL, addr);
}

static uint64_t sweep(unsigned int first, unsigned int nr)
{
	struct test_op op = { .kind = OP_SWEEP, .addr = dynamic(first), .value = nr };

	test_enter(&encl, 0, &op);
	return op.result;
}

/* --- what its program does -------------------------------------------------------------- */

static uint64_t offset_of(uint64_t addr)
{
	return addr - (uintptr_t)encl.base;
}

static void change_type(uint64_t addr, unsigned int nr, uint64_t type)
{
	struct sgx_enclave_modify_types arg = {
		.offset = offset_of(addr), .length = nr * (uint64_t)PAGE_SIZE, .page_type = type,
	};

	assert_int_equal(ioctl(encl.fd, SGX_IOC_ENCLAVE_MODIFY_TYPES, &arg), 0);
	assert_int_equal(arg.count, arg.length);
}

static int remove_pages(uint64_t addr, unsigned int nr)
{
	struct sgx_enclave_remove_pages arg = {
		.offset = offset_of(addr), .length = nr * (uint64_t)PAGE_SIZE,
	};

	return ioctl(encl.fd, SGX_IOC_ENCLAVE_REMOVE_PAGES, &arg) ? -errno : 0;
}

static void map_dynamic(unsigned int first, unsigned int nr, int prot)
{
	void *const at = (void *)dynamic(first);

	assert_ptr_equal(mmap(at, nr * (size_t)PAGE_SIZE, prot, MAP_SHARED | MAP_FIXED, encl.fd, 0),
			 at);
}

/* --- cases ------------------------------------------------------------------------------ */

static void heap_grows_page_by_page_and_shrinks(void **state)
{
	map_dynamic(0, HEAP_PAGES, PROT_READ | PROT_WRITE);
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < HEAP_PAGES; i++)
			assert_int_equal(accept_page(dynamic(i), RW | SI_PENDING), 0);
		/* Zeros, the second time too. */
		assert_int_equal(sweep(0, HEAP_PAGES), HEAP_PAGES);
		assert_int_equal(sweep(0, HEAP_PAGES), 2 * HEAP_PAGES);
		change_type(dynamic(0), HEAP_PAGES, PAGE_TYPE_TRIM);
		assert_int_equal(remove_pages(dynamic(0), HEAP_PAGES), -EPERM);
		for (unsigned int i = 0; i < HEAP_PAGES; i++)
			assert_int_equal(accept_page(dynamic(i), SI_TRIM | SI_MODIFIED), 0);
		assert_int_equal(remove_pages(dynamic(0), HEAP_PAGES), 0);
	}
}

/* As runtimes that learn of a page by the fault of its first touch. */
static void heap_grows_where_it_is_touched(void **state)
{
	map_dynamic(0, HEAP_PAGES, PROT_READ | PROT_WRITE);
	for (unsigned int i = 0; i < HEAP_PAGES; i += 3) {
		assert_int_equal(touch(OP_WRITE, dynamic(i)), PF_SGX | PF_U | PF_W | PF_P);
		assert_int_equal(accept_page(dynamic(i), RW | SI_PENDING), 0);
		assert_int_equal(resume(dynamic(i)), 0);
	}
	/* What was accepted is accepted once. */
	assert_int_equal(accept_page(dynamic(0), RW | SI_PENDING), STATUS_ATTRIBUTES_MISMATCH);
}

static void rights_are_taken_and_given_back(void **state)
{
	struct sgx_enclave_restrict_permissions arg = {
		.offset = offset_of(dynamic(0)), .length = PAGE_SIZE, .permissions = SECINFO_R,
	};

	map_dynamic(0, 1, PROT_READ | PROT_WRITE);
	assert_int_equal(accept_page(dynamic(0), RW | SI_PENDING), 0);
	assert_int_equal(touch(OP_WRITE, dynamic(0)), 0);
	assert_int_equal(ioctl(encl.fd, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &arg), 0);
	assert_int_equal(touch(OP_WRITE, dynamic(0)), PF_SGX | PF_U | PF_W | PF_P);
	assert_int_equal(accept_page(dynamic(0), SECINFO_REG | SECINFO_R | SI_PR), 0);
	assert_int_equal(resume(dynamic(0)), PF_SGX | PF_U | PF_W | PF_P);
	leaf(ENCLU_EMODPE, RW, dynamic(0), 0);
	assert_int_equal(resume(dynamic(0)), 0);
}

/* Loaders inside put a program where it belongs: written, copied, then executed. */
static void code_is_copied_in(void **state)
{
	/* movq $77, 24(%rdi); ret */
	static const uint8_t code[] = { 0x48, 0xc7, 0x47, 24, 77, 0, 0, 0, 0xc3 };
	struct test_op op = { .kind = OP_CALL, .addr = dynamic(1) };

	static_assert(offsetof(struct test_op, result) == 24, "code");
	map_dynamic(0, 1, PROT_READ | PROT_WRITE);
	map_dynamic(1, 1, PROT_READ | PROT_WRITE | PROT_EXEC);
	assert_int_equal(accept_page(dynamic(0), RW | SI_PENDING), 0);
	copy_in(dynamic(0), code, sizeof(code));
	assert_int_equal(leaf(ENCLU_EACCEPTCOPY, SECINFO_REG | SECINFO_R | SECINFO_X, dynamic(1),
			      dynamic(0)), 0);
	assert_int_equal(mprotect((void *)dynamic(1), PAGE_SIZE, PROT_READ | PROT_EXEC), 0);
	test_enter(&encl, 0, &op);
	assert_int_equal(op.result, 77);
	assert_int_equal(touch(OP_WRITE, dynamic(1)), PF_U | PF_W | PF_P);
}

/* A block as the first thread has one: stacks, TCS, save areas. */
static void threads_are_made_and_end(void **state)
{
	const struct tcs *first = (const struct tcs *)(encl.image + ENCL_THREAD_OFFSET +
						       ENCL_THREAD_TCS);
	const uint64_t block = dynamic(0), at = block + ENCL_THREAD_TCS;
	const unsigned int nr = ENCL_THREAD_SIZE / PAGE_SIZE, tcs_page = ENCL_THREAD_TCS / PAGE_SIZE;
	struct tcs tcs = *first;

	tcs.ossa = encl.gap + offset_of(block) + ENCL_THREAD_SSA;
	tcs.ofsbase = encl.gap + offset_of(block);
	tcs.ogsbase = encl.gap + offset_of(block);
	map_dynamic(0, nr, PROT_READ | PROT_WRITE);
	for (unsigned int round = 0; round < 3; round++) {
		struct test_op op = { .kind = OP_COMPUTE, .value = 1000 };
		struct sgx_enclave_run run = { 0 };

		for (unsigned int i = 0; i < nr; i++)
			assert_int_equal(accept_page(dynamic(i), RW | SI_PENDING), 0);
		copy_in(at, &tcs, sizeof(tcs));
		change_type(at, 1, PAGE_TYPE_TCS);
		assert_int_equal(accept_page(at, SECINFO_TCS | SI_MODIFIED), 0);
		assert_int_equal(test_call(&encl, at, ENCLU_EENTER, &op, &run), 0);
		assert_int_equal(run.function, ENCLU_EEXIT);
		assert_int_equal(op.result, op_compute(1000));
		assert_int_equal(op.entry[R_FSBASE], block);

		change_type(block, tcs_page, PAGE_TYPE_TRIM);
		change_type(at, nr - tcs_page, PAGE_TYPE_TRIM);
		for (unsigned int i = 0; i < nr; i++)
			assert_int_equal(accept_page(dynamic(i), SI_TRIM | SI_MODIFIED), 0);
		assert_int_equal(remove_pages(block, nr), 0);
	}
}

static int setup(void **state)
{
	return test_encl_build(&encl, &(struct test_config){
		.code = do_enclu,
		.code_size = sizeof(do_enclu),
		.heap_pages = 1,
		.size = ELRANGE,
	});
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
		EACH(heap_grows_page_by_page_and_shrinks),
		EACH(heap_grows_where_it_is_touched),
		EACH(rights_are_taken_and_given_back),
		EACH(code_is_copied_in),
		EACH(threads_are_made_and_end),
	};

	return cmocka_run_group_tests_name("dynamic", tests, NULL, NULL);
}
