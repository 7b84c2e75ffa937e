/* SPDX-License-Identifier: BSD-3-Clause */
/* CPUID in a program, executed as an instruction. */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct regs {
	uint32_t eax, ebx, ecx, edx;
};

static __attribute__((noinline)) struct regs cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct regs r;

	__cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
	return r;
}

static void says_there_is_sgx(void **state)
{
	assert_true(cpuid(0, 0).eax >= 0x12);
	assert_true(cpuid(7, 0).ebx & 1u << 2);
	assert_true(cpuid(7, 0).ecx & 1u << 30);
	assert_true(cpuid(0x12, 0).eax & 1);
}

/* What swsgx run gives a machine, unless the program is told otherwise. */
static uint64_t epc_mib = 64;

static void lists_the_sections(void **state)
{
	uint64_t size = 0;
	uint32_t i = 2;

	for (; (cpuid(0x12, i).eax & 0xf) == 1; i++) {
		const struct regs r = cpuid(0x12, i);

		size += (r.ecx & 0xfffff000) | (uint64_t)(r.edx & 0xfffff) << 32;
	}
	assert_int_equal(cpuid(0x12, i).eax, 0);
	assert_int_equal(size, epc_mib << 20);
}

static void leaves_the_rest_to_the_host(void **state)
{
	const struct regs brand = cpuid(0x80000002, 0), vendor = cpuid(0, 0);

	assert_true(brand.eax || brand.ebx || brand.ecx || brand.edx);
	assert_true(vendor.ebx && vendor.ecx && vendor.edx);
	assert_int_equal(cpuid(1, 0).eax, cpuid(1, 0).eax);
}

/* The bytes of CPUID as part of a constant are not the instruction. */
static void constants_keep_their_value(void **state)
{
	uint32_t value;

	__asm__ volatile("movl $0x0aa20f01, %0" : "=r"(value));
	assert_int_equal(value, 0x0aa20f01);
	/* And what follows it is found all the same. */
	assert_true(cpuid(7, 0).ebx & 1u << 2);
}

/* The flags of each processor name SGX, and the rest is the host's. */
static void check_cpuinfo(FILE *f)
{
	unsigned int processors = 0, sgx = 0;
	char line[16384];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		processors += !strncmp(line, "processor\t", 10);
		if (!strncmp(line, "flags\t", 6))
			sgx += strstr(line, " sgx ") && strstr(line, " sgx_lc\n") &&
			       strstr(line, " sse2 ");
	}
	assert_int_equal(processors, sysconf(_SC_NPROCESSORS_ONLN));
	assert_int_equal(sgx, processors);
}

static void cpuinfo_shows_sgx_in_a_stream(void **state)
{
	FILE *f = fopen("/proc/cpuinfo", "re");

	check_cpuinfo(f);
	fclose(f);
}

static void cpuinfo_shows_sgx_in_a_file(void **state)
{
	const int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
	FILE *f = fdopen(fd, "r");

	check_cpuinfo(f);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	fclose(f);
	assert_int_equal(open("/proc/cpuinfo", O_RDONLY | O_DIRECTORY), -1);
	assert_int_equal(errno, ENOTDIR);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_there_is_sgx),
		cmocka_unit_test(lists_the_sections),
		cmocka_unit_test(leaves_the_rest_to_the_host),
		cmocka_unit_test(constants_keep_their_value),
		cmocka_unit_test(cpuinfo_shows_sgx_in_a_stream),
		cmocka_unit_test(cpuinfo_shows_sgx_in_a_file),
	};

	if (argc > 1)
		epc_mib = strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
