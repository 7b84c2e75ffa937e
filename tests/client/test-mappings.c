/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a program can do with mappings of an enclave, and of what lies beside
 * them.  Faults of the enclave are told by the vDSO's run structure.
 *
 * Source: Linux arch/x86/kernel/cpu/sgx/driver.c and encl.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../programs/enclave.h"

#define HEAP_PAGES 600u
#define HEAP_OFFSET (ENCL_THREAD_OFFSET + ENCL_THREAD_SIZE)

static struct test_encl encl;
static sigjmp_buf out;
static volatile int fault_signal;

static uint8_t *heap(unsigned int page)
{
	return encl.base + HEAP_OFFSET + (size_t)page * PAGE_SIZE;
}

static int map(void *addr, size_t size, int prot)
{
	void *p = mmap(addr, size, prot, MAP_SHARED | MAP_FIXED, encl.fd, 0);

	return p == MAP_FAILED ? -errno : 0;
}

/* An interrupted thread must be resumed: let it have what it wants. */
static void repair_and_resume(const void *addr, struct sgx_enclave_run *run)
{
	void *page = (void *)((uintptr_t)addr & ~(uintptr_t)(PAGE_SIZE - 1));

	if (mprotect(page, PAGE_SIZE, PROT_READ | PROT_WRITE))
		assert_int_equal(map(page, PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_ERESUME, NULL, run), 0);
	assert_int_equal(run->function, ENCLU_EEXIT);
}

/* 0, or vector and error code of the fault; then the page is mapped for all. */
static uint32_t access_inside(uint64_t kind, const void *addr)
{
	uint32_t fault;

	struct test_op op = { .kind = kind, .addr = (uintptr_t)addr, .value = 1 };
	struct sgx_enclave_run run = { 0 };

	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &op, &run), 0);
	if (run.function == ENCLU_EEXIT)
		return 0;
	assert_int_equal(run.exception_addr, (uintptr_t)addr & ~(uint64_t)(PAGE_SIZE - 1));
	fault = (uint32_t)run.exception_vector << 16 | run.exception_error_code;
	repair_and_resume(addr, &run);
	return fault;
}

static void assert_works(const void *addr)
{
	assert_int_equal(access_inside(OP_WRITE, addr), 0);
	assert_int_equal(access_inside(OP_READ, addr), 0);
}

static void on_fault(int sig)
{
	fault_signal = sig;
	siglongjmp(out, 1);
}

/* The signal of an access from outside; 0 none. */
static int access_outside(volatile uint8_t *p, bool write)
{
	const struct sigaction sa = { .sa_handler = on_fault };
	struct sigaction segv, bus;

	sigaction(SIGSEGV, &sa, &segv);
	sigaction(SIGBUS, &sa, &bus);
	fault_signal = 0;
	if (!sigsetjmp(out, 1)) {
		if (write)
			*p = 1;
		else
			(void)*p;
	}
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return fault_signal;
}

/* --- mmap and munmap ------------------------------------------------------------- */

static void arguments_are_checked(void **state)
{
	assert_int_equal(map(heap(0), 0, PROT_READ), -EINVAL);
	assert_int_equal(map(heap(0) + 1, PAGE_SIZE, PROT_READ), -EINVAL);
	assert_int_equal(map(heap(0), SIZE_MAX, PROT_READ), -ENOMEM);
	assert_ptr_equal(mmap(heap(0), PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, encl.fd, 0),
			 MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	assert_works(heap(0));
}

static void provision_device_cannot_be_mapped(void **state)
{
	const int fd = open("/dev/sgx_provision", O_RDWR);

	assert_ptr_equal(mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
	assert_int_equal(errno, ENODEV);
	close(fd);
}

static void anonymous_mapping_ignores_the_descriptor(void **state)
{
	uint8_t *p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  encl.fd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	*p = 1;
	munmap(p, PAGE_SIZE);
}

static void existing_mapping_is_not_replaced_when_asked(void **state)
{
	assert_ptr_equal(mmap(heap(0), PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE,
			      encl.fd, 0), MAP_FAILED);
	assert_int_equal(errno, EEXIST);
	assert_works(heap(0));
}

static void unmapped_part_faults_until_mapped_again(void **state)
{
	assert_works(heap(5));
	assert_int_equal(munmap(heap(4), 3 * PAGE_SIZE), 0);
	assert_works(heap(3));
	assert_works(heap(7));
	assert_int_equal(access_inside(OP_READ, heap(5)), VECTOR_PF << 16 | PF_U);
	assert_works(heap(5));
	assert_int_equal(access_inside(OP_WRITE, heap(4)), VECTOR_PF << 16 | PF_U | PF_W);
	assert_works(heap(4));
}

static void holes_in_every_other_page(void **state)
{
	for (unsigned int i = 1; i < HEAP_PAGES; i += 2)
		assert_int_equal(munmap(heap(i), PAGE_SIZE), 0);
	for (unsigned int i = 0; i + 1 < HEAP_PAGES; i += 2) {
		assert_works(heap(i));
		assert_int_equal(access_inside(OP_READ, heap(i + 1)), VECTOR_PF << 16 | PF_U);
	}
	for (unsigned int i = 0; i < HEAP_PAGES; i++)
		assert_works(heap(i));
}

static void contents_outlive_the_last_mapping(void **state)
{
	struct test_op put = { .kind = OP_PUT, .value = 4321 }, get = { .kind = OP_GET };

	test_enter(&encl, 0, &put);
	assert_int_equal(munmap(encl.base, encl.size), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	test_enter(&encl, 0, &get);
	assert_int_equal(get.result, 4321);
}

static void mapping_outlives_the_descriptor(void **state)
{
	struct test_op put = { .kind = OP_PUT, .value = 99 }, get = { .kind = OP_GET };

	assert_int_equal(close(encl.fd), 0);
	encl.fd = -1;
	test_enter(&encl, 0, &put);
	assert_int_equal(mprotect(heap(0), PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(access_inside(OP_WRITE, heap(0)) >> 16, VECTOR_PF);
	test_enter(&encl, 0, &get);
	assert_int_equal(get.result, 99);
}

static void program_can_put_its_own_memory_there(void **state)
{
	uint8_t *p = mmap(heap(10), 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	assert_ptr_equal(p, heap(10));
	p[0] = 0x11;
	p[PAGE_SIZE] = 0x22;
	assert_int_equal(mprotect(p, PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(access_outside(p, true), SIGSEGV);
	assert_int_equal(p[0], 0x11);
	assert_works(heap(9));
	assert_works(heap(12));
	assert_int_equal(map(p, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
	assert_works(p);
}

/* --- mprotect and mremap --------------------------------------------------------- */

static void rights_hold_for_the_enclave(void **state)
{
	assert_works(heap(20));
	assert_int_equal(mprotect(heap(20), PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(access_inside(OP_READ, heap(20)), 0);
	assert_int_equal(access_inside(OP_WRITE, heap(20)), VECTOR_PF << 16 | PF_U | PF_W | PF_P);
	assert_works(heap(19));
	assert_works(heap(21));
	assert_int_equal(mprotect(heap(20), PAGE_SIZE, PROT_NONE), 0);
	assert_int_equal(access_inside(OP_READ, heap(20)) >> 16, VECTOR_PF);
	assert_works(heap(20));
}

static void rights_beyond_secinfo_are_refused(void **state)
{
	assert_int_equal(mprotect(heap(0), PAGE_SIZE, PROT_READ | PROT_EXEC), -1);
	assert_int_equal(errno, EACCES);
	assert_works(heap(0));
}

static void mprotect_spans_the_enclave_and_its_neighbour(void **state)
{
	uint8_t *own = mmap(heap(30), PAGE_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	assert_ptr_equal(own, heap(30));
	assert_int_equal(mprotect(heap(29), 3 * PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(access_outside(own, true), SIGSEGV);
	assert_int_equal(access_outside(own, false), 0);
	assert_int_equal(access_inside(OP_WRITE, heap(29)) >> 16, VECTOR_PF);
	assert_int_equal(access_inside(OP_WRITE, heap(31)) >> 16, VECTOR_PF);
	assert_int_equal(mprotect(heap(29), 3 * PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(access_outside(own, true), 0);
	assert_works(heap(29));
	assert_works(heap(31));
}

static void mprotect_over_a_hole_is_enomem(void **state)
{
	assert_int_equal(munmap(heap(40), PAGE_SIZE), 0);
	assert_int_equal(mprotect(heap(39), 3 * PAGE_SIZE, PROT_READ), -1);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(mprotect(heap(39) + 1, PAGE_SIZE, PROT_READ), -1);
	assert_int_equal(errno, EINVAL);
}

static void enclave_does_not_grow_downwards(void **state)
{
	assert_int_equal(mprotect(heap(0), PAGE_SIZE, PROT_READ | PROT_GROWSDOWN), -1);
	assert_int_equal(errno, EINVAL);
	assert_works(heap(0));
}

static void mremap_refuses_the_enclave_only(void **state)
{
	uint8_t *p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	assert_ptr_equal(mremap(heap(0), PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE), MAP_FAILED);
	assert_int_equal(errno, EFAULT);
	assert_works(heap(0));
	*p = 7;
	p = mremap(p, PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_MAYMOVE);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(*p, 7);
	munmap(p, 4 * PAGE_SIZE);
}

/* --- from outside -------------------------------------------------------------------- */

static void tcs_cannot_be_read_or_written(void **state)
{
	volatile uint8_t *tcs = (volatile uint8_t *)(uintptr_t)test_tcs(&encl, 0);

	assert_int_equal(access_outside(tcs, false), SIGSEGV);
	assert_int_equal(access_outside(tcs, true), SIGSEGV);
	assert_works(heap(0));
}

/* Touching it makes a page there, which the enclave has not accepted. */
static void hole_of_the_enclave_is_filled_with_a_pending_page(void **state)
{
	uint8_t *end = heap(HEAP_PAGES);

	assert_true(end < encl.base + encl.size);
	assert_int_equal(map(end, PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(access_outside(end, false), SIGSEGV);
}

static void hole_before_initialization_is_sigbus(void **state)
{
	struct test_encl e;
	volatile uint8_t *hole;

	test_encl_prepare(&e, &(struct test_config){ 0 });
	assert_int_equal(test_encl_open(&e), 0);
	assert_int_equal(test_encl_create(&e), 0);
	hole = mmap(e.base, PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, e.fd, 0);
	assert_ptr_equal(hole, e.base);
	assert_int_equal(access_outside(hole, false), SIGBUS);
	test_encl_free(&e);
}

/* --- mappings made ahead ------------------------------------------------------------- */

static struct test_encl second;

/* Everything mapped before the pages are there: as some loaders do. */
static void map_all(struct test_encl *e)
{
	assert_int_equal(test_encl_open(e), 0);
	assert_int_equal(test_encl_create(e), 0);
	assert_int_equal(test_encl_map(e), 0);
}

static void assert_second_works(void)
{
	struct test_op put = { .kind = OP_PUT, .value = 5 }, get = { .kind = OP_GET };

	test_enter(&second, 0, &put);
	test_enter(&second, 0, &get);
	assert_int_equal(get.result, 5);
}

static void pages_show_in_mappings_made_before(void **state)
{
	map_all(&second);
	assert_int_equal(test_encl_add(&second), 0);
	assert_int_equal(test_encl_init(&second), 0);
	assert_second_works();
}

static void pages_added_by_a_child_show_in_the_parent(void **state)
{
	int status;
	pid_t pid;

	map_all(&second);
	pid = fork();
	if (!pid)
		_exit(test_encl_add(&second) || test_encl_init(&second));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_second_works();
}

/* The first call stops at the hole of its source; another adds the rest. */
static void pages_of_a_call_that_failed_half_way_show(void **state)
{
	const struct test_region *code = &second.regions[0];
	struct secinfo secinfo = { .flags = code->secinfo };
	struct sgx_enclave_add_pages arg = {
		.offset = code->offset,
		.length = code->length,
		.secinfo = (uintptr_t)&secinfo,
		.flags = SGX_PAGE_MEASURE,
	};
	uint8_t *src = mmap(NULL, code->length, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	map_all(&second);
	memcpy(src, code->src, PAGE_SIZE);
	munmap(src + PAGE_SIZE, code->length - PAGE_SIZE);
	arg.src = (uintptr_t)src;
	assert_int_equal(ioctl(second.fd, SGX_IOC_ENCLAVE_ADD_PAGES, &arg), -1);
	assert_int_equal(arg.count, PAGE_SIZE);
	arg.src = (uintptr_t)code->src + PAGE_SIZE;
	arg.offset += PAGE_SIZE;
	arg.length -= PAGE_SIZE;
	assert_int_equal(ioctl(second.fd, SGX_IOC_ENCLAVE_ADD_PAGES, &arg), 0);
	for (unsigned int i = 1; i < second.nr_regions; i++)
		assert_int_equal(test_encl_add_region(&second, &second.regions[i]), 0);
	assert_int_equal(test_encl_init(&second), 0);
	assert_second_works();
	munmap(src, PAGE_SIZE);
}

/* --- what is shown of them ------------------------------------------------------------- */

/* Rights of the line about @addr in what @f says; empty when no device is mapped there. */
static void find_in_maps(FILE *f, const void *addr, char rights[5])
{
	unsigned long start, end, offset, inode, last_end = 0;
	unsigned int major, minor;
	char line[512], perms[5], path[256];

	rights[0] = '\0';
	while (fgets(line, sizeof(line), f)) {
		path[0] = '\0';
		assert_true(sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %255s", &start, &end, perms,
				   &offset, &major, &minor, &inode, path) >= 7);
		assert_true(last_end <= start && start < end);
		last_end = end;
		assert_null(strstr(path, "memfd:sgx"));
		if (strcmp(path, "/dev/sgx_enclave"))
			continue;
		/* Nowhere else, however we look at the pages ourselves. */
		assert_true(start >= (uintptr_t)encl.base);
		assert_true(end <= (uintptr_t)encl.base + encl.size);
		if ((uintptr_t)addr >= start && (uintptr_t)addr < end)
			memcpy(rights, perms, sizeof(perms));
	}
}

static void assert_maps(const void *addr, const char *rights)
{
	char own[32], found[5];
	const char *const paths[] = { "/proc/self/maps", own };

	snprintf(own, sizeof(own), "/proc/%d/maps", getpid());
	for (unsigned int i = 0; i < 2; i++) {
		FILE *f = fopen(paths[i], "r");

		assert_non_null(f);
		find_in_maps(f, addr, found);
		fclose(f);
		assert_string_equal(found, rights);
	}
}

static void maps_show_the_device(void **state)
{
	const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	char found[5];
	FILE *f;

	assert_true(fd >= 0);
	f = fdopen(fd, "r");
	find_in_maps(f, heap(0), found);
	fclose(f);
	assert_string_equal(found, "rw-s");
	assert_maps(encl.base + ENCL_CODE_OFFSET, "r-xs");
	/* Its rights are what was asked for, though nobody but the processor gets at it. */
	assert_maps((void *)test_tcs(&encl, 0), "rw-s");
}

static void maps_show_parts_as_they_are_now(void **state)
{
	assert_int_equal(mprotect(heap(10), PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(munmap(heap(20), PAGE_SIZE), 0);
	assert_ptr_equal(mmap(heap(30), PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS |
			      MAP_FIXED, -1, 0), heap(30));
	assert_maps(heap(9), "rw-s");
	assert_maps(heap(10), "r--s");
	assert_maps(heap(11), "rw-s");
	assert_maps(heap(20), "");
	assert_maps(heap(21), "rw-s");
	assert_maps(heap(30), "");
	assert_maps(heap(31), "rw-s");
	assert_maps(stderr, "");
}

static int setup(void **state)
{
	alarm(60);
	return test_encl_build(&encl, &(struct test_config){ .heap_pages = HEAP_PAGES });
}

static int teardown(void **state)
{
	test_encl_free(&encl);
	return 0;
}

static int prepare_second(void **state)
{
	alarm(60);
	test_encl_prepare(&second, &(struct test_config){ 0 });
	return 0;
}

static int free_second(void **state)
{
	test_encl_free(&second);
	return 0;
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define AHEAD(f) cmocka_unit_test_setup_teardown(f, prepare_second, free_second)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(arguments_are_checked),
		EACH(provision_device_cannot_be_mapped),
		EACH(anonymous_mapping_ignores_the_descriptor),
		EACH(existing_mapping_is_not_replaced_when_asked),
		EACH(unmapped_part_faults_until_mapped_again),
		EACH(holes_in_every_other_page),
		EACH(contents_outlive_the_last_mapping),
		EACH(mapping_outlives_the_descriptor),
		EACH(program_can_put_its_own_memory_there),
		EACH(rights_hold_for_the_enclave),
		EACH(rights_beyond_secinfo_are_refused),
		EACH(mprotect_spans_the_enclave_and_its_neighbour),
		EACH(mprotect_over_a_hole_is_enomem),
		EACH(enclave_does_not_grow_downwards),
		EACH(mremap_refuses_the_enclave_only),
		EACH(tcs_cannot_be_read_or_written),
		EACH(hole_of_the_enclave_is_filled_with_a_pending_page),
		EACH(maps_show_the_device),
		EACH(maps_show_parts_as_they_are_now),
		cmocka_unit_test(hole_before_initialization_is_sigbus),
		AHEAD(pages_show_in_mappings_made_before),
		AHEAD(pages_added_by_a_child_show_in_the_parent),
		AHEAD(pages_of_a_call_that_failed_half_way_show),
	};

	return cmocka_run_group_tests_name("client mappings", tests, NULL, NULL);
}
