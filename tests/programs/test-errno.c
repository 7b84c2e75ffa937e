/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The errno values of /dev/sgx_enclave as a program meets them.
 *
 * Source: Linux arch/x86/kernel/cpu/sgx/{driver,ioctl,encl}.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"

#define BAD_POINTER 0x10ull /* never mapped */

static struct test_encl encl;

/* The call's errno, or 0. */
static int do_ioctl(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? errno : 0;
}

static int do_map(uint64_t offset, size_t len, int prot, int flags)
{
	void *p = mmap(encl.base + offset, len, prot, flags | MAP_FIXED, encl.fd, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int create(uint64_t src)
{
	struct sgx_enclave_create arg = { .src = src };

	return do_ioctl(encl.fd, SGX_IOC_ENCLAVE_CREATE, &arg);
}

/* A page of zeros to the place of the first region, changed as the test says. */
static struct sgx_enclave_add_pages good_add(struct secinfo *secinfo)
{
	static uint8_t page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

	*secinfo = (struct secinfo){ .flags = SECINFO_REG | SECINFO_R | SECINFO_W };
	return (struct sgx_enclave_add_pages){
		.src = (uintptr_t)page,
		.offset = 0,
		.length = PAGE_SIZE,
		.secinfo = (uintptr_t)secinfo,
		.flags = SGX_PAGE_MEASURE,
	};
}

static int add(struct sgx_enclave_add_pages *arg)
{
	arg->count = 0;
	return do_ioctl(encl.fd, SGX_IOC_ENCLAVE_ADD_PAGES, arg);
}

static void created(void)
{
	assert_int_equal(test_encl_create(&encl), 0);
}

static void unknown_ioctl_is_enotty(void **state)
{
	assert_int_equal(do_ioctl(encl.fd, _IO(SGX_MAGIC, 0x7f), NULL), ENOTTY);
	assert_int_equal(do_ioctl(encl.fd, _IO('T', 0x7f), NULL), ENOTTY);
}

static void create_with_bad_pointers_is_efault(void **state)
{
	assert_int_equal(do_ioctl(encl.fd, SGX_IOC_ENCLAVE_CREATE, (void *)BAD_POINTER), EFAULT);
	assert_int_equal(create(BAD_POINTER), EFAULT);
}

static void create_with_odd_size_is_einval(void **state)
{
	encl.secs->size = 3 * PAGE_SIZE;
	assert_int_equal(test_encl_create(&encl), -EINVAL);
}

static void create_at_unaligned_base_is_eio(void **state)
{
	created();
	close(encl.fd);
	assert_int_equal(test_encl_open(&encl), 0);
	encl.secs->baseaddr += PAGE_SIZE;
	assert_int_equal(create((uintptr_t)encl.secs), EIO);
}

static void create_with_reserved_attribute_is_eio(void **state)
{
	encl.secs->attributes |= 1ull << 40;
	assert_int_equal(test_encl_create(&encl), -EIO);
}

static void failed_create_can_be_repeated(void **state)
{
	encl.secs->ssaframesize = 0;
	assert_int_equal(test_encl_create(&encl), -EIO);
	encl.secs->ssaframesize = 1;
	created();
}

static void second_create_is_einval(void **state)
{
	created();
	assert_int_equal(test_encl_create(&encl), -EINVAL);
}

static void add_before_create_is_einval(void **state)
{
	struct secinfo secinfo;
	struct sgx_enclave_add_pages arg = good_add(&secinfo);

	assert_int_equal(add(&arg), EINVAL);
}

static void add_of_the_same_page_twice_is_ebusy(void **state)
{
	struct secinfo secinfo;
	struct sgx_enclave_add_pages arg = good_add(&secinfo);

	created();
	assert_int_equal(add(&arg), 0);
	assert_int_equal(arg.count, PAGE_SIZE);
	assert_int_equal(add(&arg), EBUSY);
	assert_int_equal(arg.count, 0);
}

static void add_reports_the_pages_before_the_failing_one(void **state)
{
	struct secinfo secinfo;
	struct sgx_enclave_add_pages arg = good_add(&secinfo);

	created();
	arg.offset = 2 * PAGE_SIZE;
	assert_int_equal(add(&arg), 0);
	arg.offset = 0;
	arg.length = 3 * PAGE_SIZE;
	arg.src = (uintptr_t)encl.image;
	assert_int_equal(add(&arg), EBUSY);
	assert_int_equal(arg.count, 2 * PAGE_SIZE);
}

static void add_with_bad_range_is_einval(void **state)
{
	struct secinfo secinfo;
	const struct sgx_enclave_add_pages good = good_add(&secinfo);
	struct sgx_enclave_add_pages arg;

	created();
	for (unsigned int i = 0; i < 6; i++) {
		arg = good;
		if (i == 0)
			arg.src += 8;
		else if (i == 1)
			arg.offset = 8;
		else if (i == 2)
			arg.length = 8;
		else if (i == 3)
			arg.length = 0;
		else if (i == 4)
			arg.offset = encl.size;
		else
			arg.offset = -(uint64_t)PAGE_SIZE;
		assert_int_equal(add(&arg), EINVAL);
	}
}

static void add_with_bad_secinfo_is_einval(void **state)
{
	static const uint64_t bad[] = {
		SECINFO_REG | SECINFO_W,		/* W without R */
		SECINFO_TCS | SECINFO_R,		/* a TCS has no rights */
		SECINFO_R,				/* PT_SECS */
		0x300 | SECINFO_R,			/* PT_VA */
		SECINFO_REG | SECINFO_R | 1ull << 3,	/* PENDING */
		SECINFO_REG | SECINFO_R | 1ull << 20,	/* reserved */
	};
	struct secinfo secinfo;
	struct sgx_enclave_add_pages arg = good_add(&secinfo);

	created();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		secinfo.flags = bad[i];
		assert_int_equal(add(&arg), EINVAL);
	}
	secinfo.flags = SECINFO_REG | SECINFO_R;
	secinfo.reserved_8[55] = 1;
	assert_int_equal(add(&arg), EINVAL);
}

static void add_with_bad_pointers_is_efault(void **state)
{
	struct secinfo secinfo;
	struct sgx_enclave_add_pages arg = good_add(&secinfo);

	created();
	assert_int_equal(do_ioctl(encl.fd, SGX_IOC_ENCLAVE_ADD_PAGES, (void *)BAD_POINTER), EFAULT);
	arg.secinfo = BAD_POINTER;
	assert_int_equal(add(&arg), EFAULT);
	arg = good_add(&secinfo);
	arg.src = 0;
	assert_int_equal(add(&arg), EFAULT);
}

static void add_after_init_is_einval(void **state)
{
	struct secinfo secinfo;
	struct sgx_enclave_add_pages arg = good_add(&secinfo);

	created();
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	arg.offset = encl.size - PAGE_SIZE;
	assert_int_equal(add(&arg), EINVAL);
}

/* All zero, as runtimes ask for dynamic memory before they have an enclave, or with one. */
static void assert_probes_are_einval(void)
{
	struct sgx_enclave_restrict_permissions restrict_arg = { .length = 0 };
	struct sgx_enclave_modify_types modify_arg = { .length = 0 };
	struct sgx_enclave_remove_pages remove_arg = { .length = 0 };

	assert_int_equal(do_ioctl(encl.fd, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &restrict_arg),
			 EINVAL);
	assert_int_equal(do_ioctl(encl.fd, SGX_IOC_ENCLAVE_MODIFY_TYPES, &modify_arg), EINVAL);
	assert_int_equal(do_ioctl(encl.fd, SGX_IOC_ENCLAVE_REMOVE_PAGES, &remove_arg), EINVAL);
}

static void probes_for_dynamic_memory_are_einval(void **state)
{
	assert_probes_are_einval();
	created();
	assert_probes_are_einval();
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_probes_are_einval();
}

static void init_out_of_order_is_einval(void **state)
{
	assert_int_equal(test_encl_init(&encl), -EINVAL);
	created();
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_int_equal(test_encl_init(&encl), -EINVAL);
}

static void init_with_bad_pointers_is_efault(void **state)
{
	struct sgx_enclave_init arg = { .sigstruct = BAD_POINTER };

	created();
	assert_int_equal(do_ioctl(encl.fd, SGX_IOC_ENCLAVE_INIT, &arg), EFAULT);
	assert_int_equal(do_ioctl(encl.fd, SGX_IOC_ENCLAVE_INIT, (void *)BAD_POINTER), EFAULT);
}

static void init_with_foreign_vendor_is_einval(void **state)
{
	created();
	assert_int_equal(test_encl_add(&encl), 0);
	encl.sig->vendor = 0x1022;
	assert_int_equal(test_encl_init(&encl), -EINVAL);
}

static void init_of_provisioning_enclave_is_eacces(void **state)
{
	encl.secs->attributes |= 1ull << 4;
	created();
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(test_encl_init(&encl), -EACCES);
}

static void provision_takes_only_its_device(void **state)
{
	struct sgx_enclave_provision arg = { .fd = 0 };

	arg.fd = (uint64_t)open("/dev/null", O_RDONLY | O_CLOEXEC);
	created();
	assert_int_equal(do_ioctl(encl.fd, SGX_IOC_ENCLAVE_PROVISION, &arg), EINVAL);
	close((int)arg.fd);
	assert_int_equal(do_ioctl(encl.fd, SGX_IOC_ENCLAVE_PROVISION, (void *)BAD_POINTER), EFAULT);
	arg.fd = (uint64_t)open("/dev/sgx_provision", O_RDONLY | O_CLOEXEC);
	assert_true((int)arg.fd >= 0);
	assert_int_equal(do_ioctl(encl.fd, SGX_IOC_ENCLAVE_PROVISION, &arg), 0);
	close((int)arg.fd);
}

static void private_mapping_is_einval(void **state)
{
	created();
	assert_int_equal(do_map(0, PAGE_SIZE, PROT_READ, MAP_PRIVATE), EINVAL);
}

static void mapping_beyond_secinfo_is_eacces(void **state)
{
	created();
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(do_map(0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED), EACCES);
	assert_int_equal(do_map(ENCL_DATA_OFFSET, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED),
			 EACCES);
	assert_int_equal(do_map(ENCL_RODATA_OFFSET, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED),
			 EACCES);
	assert_int_equal(do_map(ENCL_RODATA_OFFSET, PAGE_SIZE, PROT_READ, MAP_SHARED), 0);
}

static void mapping_outside_the_enclave_is_eacces_after_init(void **state)
{
	void *p;

	created();
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	p = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, encl.fd, 0);
	assert_ptr_equal(p, MAP_FAILED);
	assert_int_equal(errno, EACCES);
}

static void mapping_before_create_works(void **state)
{
	void *p = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, encl.fd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(munmap(p, PAGE_SIZE), 0);
	p = mmap(NULL, PAGE_SIZE, PROT_EXEC, MAP_SHARED, encl.fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(munmap(p, PAGE_SIZE), 0);
}

static int do_mprotect(uint64_t offset, int prot)
{
	return mprotect(encl.base + offset, PAGE_SIZE, prot) ? errno : 0;
}

static void mprotect_beyond_secinfo_is_eacces(void **state)
{
	created();
	assert_int_equal(test_encl_add(&encl), 0);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	assert_int_equal(do_mprotect(ENCL_RODATA_OFFSET, PROT_READ | PROT_WRITE), EACCES);
	assert_int_equal(do_mprotect(ENCL_DATA_OFFSET, PROT_READ | PROT_EXEC), EACCES);
	assert_int_equal(do_mprotect(0, PROT_READ | PROT_WRITE | PROT_EXEC), EACCES);
	assert_int_equal(do_mprotect(ENCL_DATA_OFFSET, PROT_NONE), 0);
	assert_int_equal(do_mprotect(ENCL_DATA_OFFSET, PROT_READ | PROT_WRITE), 0);
}

static void device_answers_openat_and_access(void **state)
{
	int fd = openat(AT_FDCWD, "/dev/sgx_enclave", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(access("/dev/sgx_enclave", R_OK | W_OK), 0);
}

static int setup(void **state)
{
	test_encl_prepare(&encl, &(struct test_config){ 0 });
	return test_encl_open(&encl);
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
		EACH(unknown_ioctl_is_enotty),
		EACH(create_with_bad_pointers_is_efault),
		EACH(create_with_odd_size_is_einval),
		EACH(create_at_unaligned_base_is_eio),
		EACH(create_with_reserved_attribute_is_eio),
		EACH(failed_create_can_be_repeated),
		EACH(second_create_is_einval),
		EACH(add_before_create_is_einval),
		EACH(add_of_the_same_page_twice_is_ebusy),
		EACH(add_reports_the_pages_before_the_failing_one),
		EACH(add_with_bad_range_is_einval),
		EACH(add_with_bad_secinfo_is_einval),
		EACH(add_with_bad_pointers_is_efault),
		EACH(add_after_init_is_einval),
		EACH(probes_for_dynamic_memory_are_einval),
		EACH(init_out_of_order_is_einval),
		EACH(init_with_bad_pointers_is_efault),
		EACH(init_with_foreign_vendor_is_einval),
		EACH(init_of_provisioning_enclave_is_eacces),
		EACH(provision_takes_only_its_device),
		EACH(private_mapping_is_einval),
		EACH(mapping_beyond_secinfo_is_eacces),
		EACH(mapping_outside_the_enclave_is_eacces_after_init),
		EACH(mapping_before_create_works),
		EACH(mprotect_beyond_secinfo_is_eacces),
		EACH(device_answers_openat_and_access),
	};

	return cmocka_run_group_tests_name("errno", tests, NULL, NULL);
}
