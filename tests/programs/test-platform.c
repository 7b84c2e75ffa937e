/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What runtimes take for granted of the machine and the system around enclaves.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/auxvec.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"
#include "ssa.h"

#define HWCAP2_FSGSBASE 2u
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_XTILE_DATA 18

static struct test_encl encl;

/* Its header brings names of ELF along that mean something else here. */
unsigned long getauxval(unsigned long type);

static void random_numbers_come_inside(void **state)
{
	struct test_op a = { .kind = OP_RDRAND }, b = { .kind = OP_RDRAND };

	test_enter(&encl, 0, &a);
	test_enter(&encl, 0, &b);
	assert_int_equal(a.result2, 1);
	assert_int_equal(b.result2, 1);
	assert_int_not_equal(a.result, b.result);
}

static void bases_can_be_changed_without_a_system_call(void **state)
{
	uint64_t before, after;

	if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE))
		return;
	__asm__ volatile("rdgsbase %0" : "=r"(before));
	__asm__ volatile("wrgsbase %0" : : "r"(0x123456789000ull));
	test_enter(&encl, 0, &(struct test_op){ .kind = OP_NOP });
	__asm__ volatile("rdgsbase %0" : "=r"(after));
	__asm__ volatile("wrgsbase %0" : : "r"(before));
	assert_int_equal(after, 0x123456789000);
}

/* Arguments for calls out are written there. */
static void stack_outside_grows_by_writes_of_the_enclave(void **state)
{
	const uint64_t below = (uintptr_t)__builtin_frame_address(0) - (1 << 20);
	struct test_op op = { .kind = OP_WRITE, .addr = below, .value = 0x2f };

	test_enter(&encl, 0, &op);
	assert_int_equal(*(volatile uint8_t *)below, 0x2f);
}

/* Nobody attests here: who asks must hear at once that no service is there. */
static void attestation_service_is_absent(void **state)
{
	static const char name[] = "\0sgx_aesm_socket_base";
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(un.sun_path, name, sizeof(name) - 1);
	assert_int_equal(connect(sock, (struct sockaddr *)&un,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
					     sizeof(name) - 1)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(sock);
}

/* Either it has tiles, or says so in one of the ways that are taken for no. */
static void permission_for_tiles_is_the_systems_to_give(void **state)
{
	if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA))
		assert_true(errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS);
}

/* Eight bytes at a time, as the processor moves them. */
static void debuggers_read_and_write_by_the_mem_file(void **state)
{
	const off_t probe = (off_t)((uintptr_t)encl.base + ENCL_PROBE_OFFSET);
	const off_t tcs = (off_t)test_tcs(&encl, 0);
	struct test_op op = { .kind = OP_WRITE, .addr = (uint64_t)probe, .value = 0x61 };
	const int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	uint64_t word = 0;

	assert_true(fd >= 0);
	test_enter(&encl, 0, &op);
	assert_int_equal(pread(fd, &word, 8, probe), 8);
	assert_int_equal(word & 0xff, 0x61);
	word = 0x6262;
	assert_int_equal(pwrite(fd, &word, 8, probe), 8);
	op.kind = OP_READ;
	test_enter(&encl, 0, &op);
	assert_int_equal(op.result, 0x62);

	assert_int_equal(pread(fd, &word, 8, tcs + (off_t)offsetof(struct tcs, ossa)), 8);
	assert_int_equal(word, ENCL_THREAD_OFFSET + ENCL_THREAD_SSA);
	close(fd);
}

static int setup(void **state)
{
	return test_encl_build(&encl, &(struct test_config){ .attributes = ATTR_DEBUG });
}

static int teardown(void **state)
{
	test_encl_free(&encl);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_numbers_come_inside),
		cmocka_unit_test(bases_can_be_changed_without_a_system_call),
		cmocka_unit_test(stack_outside_grows_by_writes_of_the_enclave),
		cmocka_unit_test(attestation_service_is_absent),
		cmocka_unit_test(debuggers_read_and_write_by_the_mem_file),
		cmocka_unit_test(permission_for_tiles_is_the_systems_to_give),
	};

	return cmocka_run_group_tests_name("platform", tests, setup, teardown);
}
