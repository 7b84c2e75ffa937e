/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The orders in which runtimes reserve, map, create, add and initialize, and the
 * places where they want their enclaves.
 *
 * Source: Linux arch/x86/kernel/cpu/sgx/ioctl.c and encl.c, sgx_encl_may_map().
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "enclave.h"

#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)
#define GIB (1ull << 30)

static struct test_encl encl;

static void prepare(const struct test_config *cfg)
{
	test_encl_prepare(&encl, cfg);
	assert_int_equal(test_encl_open(&encl), 0);
}

static void assert_it_runs(void)
{
	struct test_op put = { .kind = OP_PUT, .value = 0x77 }, get = { .kind = OP_GET };

	test_enter(&encl, 0, &put);
	test_enter(&encl, 0, &get);
	assert_int_equal(get.result, 0x77);
}

static int map_region(const struct test_region *r)
{
	return mmap(encl.base + r->offset, r->length, r->prot, MAP_SHARED | MAP_FIXED, encl.fd,
		    0) == MAP_FAILED ? -errno : 0;
}

/* Address space for the enclave, aligned to its size. */
static uint8_t *reserve(int flags)
{
	uint8_t *p = mmap(NULL, 2 * encl.size, PROT_NONE, flags | MAP_ANONYMOUS, -1, 0), *base;

	assert_ptr_not_equal(p, MAP_FAILED);
	base = (uint8_t *)(((uintptr_t)p + encl.size - 1) & ~(uintptr_t)(encl.size - 1));
	if (base > p)
		munmap(p, (size_t)(base - p));
	munmap(base + encl.size, (size_t)(p + encl.size - base));
	return base;
}

/* --- orders -------------------------------------------------------------------------- */

static void mapped_before_it_is_created(void **state)
{
	uint8_t *base;

	prepare(&(struct test_config){ 0 });
	base = reserve(MAP_PRIVATE);
	munmap(base, encl.size);
	assert_ptr_equal(mmap(base, encl.size, RWX, MAP_SHARED | MAP_FIXED_NOREPLACE, encl.fd, 0),
			 base);
	encl.base = base;
	assert_int_equal(test_encl_create(&encl), 0);
	for (unsigned int i = 0; i < encl.nr_regions; i++) {
		assert_int_equal(test_encl_add_region(&encl, &encl.regions[i]), 0);
		assert_int_equal(map_region(&encl.regions[i]), 0);
	}
	assert_int_equal(test_encl_init(&encl), 0);
	assert_it_runs();
}

static void mapped_before_it_is_initialized(void **state)
{
	prepare(&(struct test_config){ 0 });
	encl.base = reserve(MAP_PRIVATE);
	assert_int_equal(test_encl_create(&encl), 0);
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	/* Rights are often set once more at the end. */
	for (unsigned int i = 0; i < encl.nr_regions; i++)
		assert_int_equal(mprotect(encl.base + encl.regions[i].offset,
					  encl.regions[i].length, encl.regions[i].prot), 0);
	assert_it_runs();
}

static void each_run_is_mapped_when_the_next_begins(void **state)
{
	prepare(&(struct test_config){ 0 });
	encl.base = reserve(MAP_SHARED | MAP_NORESERVE);
	assert_int_equal(test_encl_create(&encl), 0);
	for (unsigned int i = 0; i < encl.nr_regions; i++) {
		assert_int_equal(test_encl_add_region(&encl, &encl.regions[i]), 0);
		if (i)
			assert_int_equal(map_region(&encl.regions[i - 1]), 0);
	}
	assert_int_equal(map_region(&encl.regions[encl.nr_regions - 1]), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_it_runs();
}

static void mapped_after_all(void **state)
{
	prepare(&(struct test_config){ 0 });
	encl.base = reserve(MAP_PRIVATE | MAP_NORESERVE);
	assert_int_equal(test_encl_create(&encl), 0);
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	assert_it_runs();
}

/* One that is asked for more than pages can have finds out at the page. */
static void mapped_as_a_whole_with_all_rights_until_it_has_pages(void **state)
{
	struct test_op op = { .kind = OP_WRITE };
	struct sgx_enclave_run run = { 0 };

	prepare(&(struct test_config){ 0 });
	encl.base = reserve(MAP_PRIVATE);
	assert_int_equal(test_encl_create(&encl), 0);
	assert_ptr_equal(mmap(encl.base, encl.size, RWX, MAP_SHARED | MAP_FIXED, encl.fd, 0),
			 encl.base);
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_it_runs();
	op.addr = (uintptr_t)encl.base + ENCL_RODATA_OFFSET;
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &op, &run), 0);
	assert_int_equal(run.exception_error_code, PF_SGX | PF_P | PF_W | PF_U);
	/* No mapping can be asked for so now. */
	assert_ptr_equal(mmap(encl.base, encl.size, RWX, MAP_SHARED | MAP_FIXED, encl.fd, 0),
			 MAP_FAILED);
	assert_int_equal(errno, EACCES);
}

static void unpopulated_parts_may_have_any_rights(void **state)
{
	prepare(&(struct test_config){ .size = 1 << 20 });
	assert_int_equal(test_encl_create(&encl), 0);
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	assert_ptr_not_equal(mmap(encl.base + (1 << 19), 1 << 19, RWX, MAP_SHARED | MAP_FIXED,
				  encl.fd, 0), MAP_FAILED);
	assert_it_runs();
}

static void rights_of_the_reservation_can_be_changed_around_it(void **state)
{
	prepare(&(struct test_config){ .size = 1 << 20 });
	encl.base = reserve(MAP_PRIVATE);
	assert_int_equal(test_encl_create(&encl), 0);
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	/* Nothing was put there: anonymous memory still. */
	assert_int_equal(mprotect(encl.base + (1 << 19), 1 << 19, PROT_READ | PROT_WRITE), 0);
	encl.base[1 << 19] = 1;
	assert_int_equal(mprotect(encl.base + (1 << 19), 1 << 19, PROT_NONE), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_it_runs();
}

/* --- adding ----------------------------------------------------------------------------- */

static void one_call_for_each_page(void **state)
{
	static uint8_t memory[65] __attribute__((aligned(64)));

	prepare(&(struct test_config){ 0 });
	assert_int_equal(test_encl_create(&encl), 0);
	for (unsigned int i = 0; i < encl.nr_regions; i++) {
		const struct test_region *r = &encl.regions[i];
		const struct secinfo secinfo = { .flags = r->secinfo };

		/* SECINFO may lie anywhere. */
		memcpy(memory + 1, &secinfo, sizeof(secinfo));
		for (uint64_t o = 0; o < r->length; o += PAGE_SIZE) {
			struct sgx_enclave_add_pages arg = {
				.src = (uintptr_t)r->src + o,
				.offset = r->offset + o,
				.length = PAGE_SIZE,
				.secinfo = (uintptr_t)memory + 1,
				.flags = SGX_PAGE_MEASURE,
			};

			assert_int_equal(ioctl(encl.fd, SGX_IOC_ENCLAVE_ADD_PAGES, &arg), 0);
			assert_int_equal(arg.count, PAGE_SIZE);
		}
	}
	assert_int_equal(test_encl_init(&encl), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	assert_it_runs();
}

/* Some neither repeat a call that was cut short, nor move on in the source. */
static void one_call_for_a_heap_of_256_mib(void **state)
{
	const uint64_t size = 256 << 20;
	const struct test_region *r;
	struct secinfo secinfo;
	struct sgx_enclave_add_pages arg = { .length = size, .secinfo = (uintptr_t)&secinfo };
	struct test_op sweep = { .kind = OP_SWEEP, .value = size / PAGE_SIZE };
	void *zeros = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			   0);

	assert_ptr_not_equal(zeros, MAP_FAILED);
	prepare(&(struct test_config){ .heap_pages = size / PAGE_SIZE });
	assert_int_equal(test_encl_create(&encl), 0);
	for (unsigned int i = 0; i < encl.nr_regions - 1; i++)
		assert_int_equal(test_encl_add_region(&encl, &encl.regions[i]), 0);
	r = &encl.regions[encl.nr_regions - 1];
	secinfo = (struct secinfo){ .flags = r->secinfo };
	arg.src = (uintptr_t)zeros;
	arg.offset = r->offset;
	assert_int_equal(ioctl(encl.fd, SGX_IOC_ENCLAVE_ADD_PAGES, &arg), 0);
	assert_int_equal(arg.count, size);
	munmap(zeros, size);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	sweep.addr = (uintptr_t)encl.base + r->offset;
	test_enter(&encl, 0, &sweep);
	assert_int_equal(sweep.result, size / PAGE_SIZE);
}

/* An enclave whose heap has contents, and is measured with them. */
static struct test_region *prepare_measured_heap(unsigned int nr_pages)
{
	const size_t size = nr_pages * (size_t)PAGE_SIZE;
	uint8_t *contents = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0);
	struct test_region *heap;

	assert_ptr_not_equal(contents, MAP_FAILED);
	for (size_t i = 0; i < size; i++)
		contents[i] = (uint8_t)(i / PAGE_SIZE + i * 7);
	prepare(&(struct test_config){ .heap_pages = nr_pages });
	heap = &encl.regions[encl.nr_regions - 1];
	heap->src = contents;
	test_encl_sign(&encl);
	return heap;
}

static void assert_heap_is(const struct test_region *heap)
{
	for (uint64_t offset = 0; offset < heap->length; offset += PAGE_SIZE - 1) {
		struct test_op op = { .kind = OP_READ,
				      .addr = (uintptr_t)encl.base + heap->offset + offset };

		test_enter(&encl, 0, &op);
		assert_int_equal((uint8_t)op.result, heap->src[offset]);
	}
	munmap((void *)(uintptr_t)heap->src, heap->length);
}

static void one_call_for_many_measured_pages(void **state)
{
	const struct test_region *heap = prepare_measured_heap(1000);

	assert_int_equal(test_encl_create(&encl), 0);
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	assert_it_runs();
	assert_heap_is(heap);
}

/* As the kernel does, which writes no files. */
static void a_limit_on_the_size_of_files_does_not_matter(void **state)
{
	struct rlimit limit, small;
	const struct test_region *heap;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = (struct rlimit){ 1, limit.rlim_max };
	heap = prepare_measured_heap(300);
	assert_int_equal(test_encl_create(&encl), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	assert_heap_is(heap);
}

static void a_hole_in_the_source_ends_a_call_that_another_goes_on_from(void **state)
{
	struct test_region *heap = prepare_measured_heap(600);
	const size_t hole = 333 * (size_t)PAGE_SIZE;
	uint8_t *src = (uint8_t *)(uintptr_t)heap->src;
	const struct secinfo secinfo = { .flags = heap->secinfo };
	struct sgx_enclave_add_pages arg = {
		.src = (uintptr_t)src, .offset = heap->offset, .length = heap->length,
		.secinfo = (uintptr_t)&secinfo, .flags = SGX_PAGE_MEASURE,
	};
	uint8_t page[PAGE_SIZE];

	memcpy(page, src + hole, PAGE_SIZE);
	assert_int_equal(test_encl_create(&encl), 0);
	for (unsigned int i = 0; i < encl.nr_regions - 1; i++)
		assert_int_equal(test_encl_add_region(&encl, &encl.regions[i]), 0);
	munmap(src + hole, PAGE_SIZE);
	assert_int_equal(ioctl(encl.fd, SGX_IOC_ENCLAVE_ADD_PAGES, &arg), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(arg.count, hole);

	assert_ptr_equal(mmap(src + hole, PAGE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), src + hole);
	memcpy(src + hole, page, PAGE_SIZE);
	arg.src += hole;
	arg.offset += hole;
	arg.length -= hole;
	assert_int_equal(ioctl(encl.fd, SGX_IOC_ENCLAVE_ADD_PAGES, &arg), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	assert_heap_is(heap);
}

/* --- places ------------------------------------------------------------------------------ */

static void assert_faults_are_found(uint64_t addr)
{
	struct test_op op = { .kind = OP_READ, .addr = addr + 0x10 };
	struct sgx_enclave_run run = { 0 };

	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &op, &run), 0);
	assert_int_equal(run.function, ENCLU_ERESUME);
	assert_int_equal(run.exception_vector, VECTOR_PF);
	assert_int_equal(run.exception_addr, addr);
}

static void range_from_address_zero(void **state)
{
	prepare(&(struct test_config){ .gap = 0x10000, .size = 1 << 20, .heap_pages = 4 });
	encl.base = (uint8_t *)0x10000;
	assert_ptr_equal(mmap(encl.base, encl.size - encl.gap, RWX,
			      MAP_SHARED | MAP_FIXED_NOREPLACE, encl.fd, 0), encl.base);
	assert_int_equal(test_encl_create(&encl), 0);
	assert_int_equal(encl.secs->baseaddr, 0);
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	assert_it_runs();
	/* Null pointers of the enclave lie in its range, and find nothing. */
	assert_faults_are_found(0);
}

static void range_that_begins_below_what_is_mapped(void **state)
{
	prepare(&(struct test_config){ .gap = 1 << 16, .size = 1 << 20 });
	encl.base = reserve(MAP_PRIVATE) + encl.gap;
	munmap(encl.base - encl.gap, encl.gap);
	assert_int_equal(test_encl_create(&encl), 0);
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	assert_it_runs();
	assert_faults_are_found((uintptr_t)encl.base - PAGE_SIZE);
}

static void huge_range_with_few_pages(void **state)
{
	struct test_op op = { .kind = OP_WRITE, .value = 0x3c }, get = { .kind = OP_READ };

	prepare(&(struct test_config){ .size = 64 * GIB, .heap_pages = 2 });
	encl.base = reserve(MAP_PRIVATE | MAP_NORESERVE);
	assert_int_equal(test_encl_create(&encl), 0);
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	assert_it_runs();
	op.addr = get.addr = (uintptr_t)encl.base + encl.size - 1;
	test_enter(&encl, 0, &op);
	test_enter(&encl, 0, &get);
	assert_int_equal(get.result, 0x3c);
}

/* Where a runtime keeps what its debugger reads, and what it must never touch. */
static void addresses_runtimes_claim_are_free(void **state)
{
	static const struct {
		uint64_t addr, size;
	} claims[] = { { 1024 * GIB, 1 << 20 }, { 64 * 1024 * GIB, 1024 * GIB },
		       { 0x10000, 1 << 28 } };

	for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		void *p = mmap((void *)claims[i].addr, claims[i].size, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
			       -1, 0);

		assert_ptr_equal(p, claims[i].addr);
		munmap(p, claims[i].size);
	}
}

static int teardown(void **state)
{
	test_encl_free(&encl);
	return 0;
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, NULL, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(mapped_before_it_is_created),
		EACH(mapped_before_it_is_initialized),
		EACH(each_run_is_mapped_when_the_next_begins),
		EACH(mapped_after_all),
		EACH(mapped_as_a_whole_with_all_rights_until_it_has_pages),
		EACH(unpopulated_parts_may_have_any_rights),
		EACH(rights_of_the_reservation_can_be_changed_around_it),
		EACH(one_call_for_each_page),
		EACH(one_call_for_a_heap_of_256_mib),
		EACH(one_call_for_many_measured_pages),
		EACH(a_limit_on_the_size_of_files_does_not_matter),
		EACH(a_hole_in_the_source_ends_a_call_that_another_goes_on_from),
		EACH(range_from_address_zero),
		EACH(range_that_begins_below_what_is_mapped),
		EACH(huge_range_with_few_pages),
		cmocka_unit_test(addresses_runtimes_claim_are_free),
	};

	return cmocka_run_group_tests_name("loading", tests, NULL, NULL);
}
