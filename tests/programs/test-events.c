/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What reaches a processor, or the EPC, from outside while an enclave runs: DMA,
 * breakpoints, SMI, NMI, INIT.  For guests of QEMU with two processors, as root, with
 * iomem=relaxed: IPIs are sent by writing to the local APIC.
 *
 * usage: test-events             DMA and breakpoints
 *        test-events smi | nmi   SMIs or NMIs to processor 0; says where the enclave is
 *        test-events init        an INIT to processor 1, which is lost; does not end
 */
#include <endian.h>
#include <fcntl.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"

#define EPC_BASE 0x4000000000ull
#define EPC_SIZE (16u << 20)

#define ATTRIBUTE_DEBUG 0x2
#define TCS_DBGOPTIN 1
#define GPRSGX_RIP (PAGE_SIZE - 184 + 136)

static struct test_encl encl;

static int build(void **state)
{
	return test_encl_build(&encl, &(struct test_config){ .attributes = ATTRIBUTE_DEBUG });
}

/* EDBGRD and EDBGWR, by the kernel. */
static int encl_memory(void)
{
	const int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void put_probe(uint8_t value)
{
	struct test_op op = {
		.kind = OP_WRITE,
		.addr = (uintptr_t)encl.base + ENCL_PROBE_OFFSET,
		.value = value,
	};

	test_enter(&encl, 0, &op);
}

static uint64_t get_probe(void)
{
	struct test_op op = { .kind = OP_READ, .addr = (uintptr_t)encl.base + ENCL_PROBE_OFFSET };

	test_enter(&encl, 0, &op);
	return op.result;
}

/* --- DMA: the fw_cfg device writes where it is told ------------------------------------ */

#define FW_CFG_DMA_HIGH 0x514
#define FW_CFG_DMA_LOW 0x518
#define FW_CFG_READ 0x02
#define FW_CFG_SELECT 0x08		/* item 0 in the upper half: "QEMU", then zeros */

struct fw_cfg_dma {			/* big-endian */
	uint32_t control;
	uint32_t length;
	uint64_t address;
};

struct dma_page {
	struct fw_cfg_dma command;
	char data[8];
};

static uint64_t physical(const void *p)
{
	const off_t at = (off_t)((uintptr_t)p / 4096 * 8);
	const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	assert_int_equal(pread(fd, &entry, sizeof(entry), at), sizeof(entry));
	close(fd);
	return (entry & ((1ull << 55) - 1)) * 4096 + ((uintptr_t)p & 4095);
}

/* The device writes @length bytes to physical memory. */
static void dma_to(struct dma_page *page, uint64_t address, uint32_t length)
{
	const uint64_t command = physical(&page->command);

	page->command = (struct fw_cfg_dma){
		.control = htobe32(FW_CFG_READ | FW_CFG_SELECT),
		.length = htobe32(length),
		.address = htobe64(address),
	};
	__sync_synchronize();
	outl(htobe32((uint32_t)(command >> 32)), FW_CFG_DMA_HIGH);
	outl(htobe32((uint32_t)command), FW_CFG_DMA_LOW);
	assert_int_equal(*(volatile uint32_t *)&page->command.control, 0);
}

static void dma_to_epc_is_dropped(void **state)
{
	struct dma_page *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);

	assert_ptr_not_equal(page, MAP_FAILED);
	assert_int_equal(ioperm(FW_CFG_DMA_HIGH, 8, 1), 0);
	dma_to(page, physical(page->data), sizeof(page->data));
	assert_memory_equal(page->data, "QEMU\0\0\0", sizeof(page->data));

	put_probe(0xa5);
	dma_to(page, EPC_BASE, EPC_SIZE);
	assert_int_equal(get_probe(), 0xa5);
	munmap(page, 4096);
}

/* --- breakpoints ------------------------------------------------------------------------- */

static int breakpoint(uint32_t type, const void *addr)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.bp_type = type,
		.bp_addr = (uintptr_t)addr,
		.bp_len = type == HW_BREAKPOINT_X ? sizeof(long) : HW_BREAKPOINT_LEN_1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};
	const int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);

	assert_true(fd >= 0);
	return fd;
}

/* How often it was felt. */
static uint64_t hits(int fd)
{
	uint64_t count = 0;

	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	close(fd);
	return count;
}

static void enclave_opted_out_feels_no_breakpoint_of_its_memory(void **state)
{
	const int data = breakpoint(HW_BREAKPOINT_W, encl.base + ENCL_PROBE_OFFSET);
	const int code = breakpoint(HW_BREAKPOINT_X, encl.base + ENCL_CODE_OFFSET);

	put_probe(1);
	assert_int_equal(hits(data), 0);
	assert_int_equal(hits(code), 0);
}

static void enclave_opted_out_feels_breakpoints_of_other_memory(void **state)
{
	struct test_op op = { .kind = OP_SPIN, .flag = 1 };
	const int data = breakpoint(HW_BREAKPOINT_W, (const void *)&op.started);

	test_enter(&encl, 0, &op);
	assert_int_equal(hits(data), 1);
}

static void opt_in(int fd)
{
	const uint64_t flags = TCS_DBGOPTIN;

	assert_int_equal(pwrite(fd, &flags, sizeof(flags),
				(off_t)(test_tcs(&encl, 0) + offsetof(struct tcs, flags))),
			 sizeof(flags));
}

static void enclave_opted_in_feels_breakpoints_of_its_memory(void **state)
{
	const int fd = encl_memory();
	int data;

	opt_in(fd);
	close(fd);
	data = breakpoint(HW_BREAKPOINT_W, encl.base + ENCL_PROBE_OFFSET);
	put_probe(2);
	assert_int_equal(hits(data), 1);
	assert_int_equal(get_probe(), 2);
}

static sigjmp_buf after_trap;

static void on_trap(int sig)
{
	siglongjmp(after_trap, sig);
}

/* What the frame of the last exit says, and the instruction there. */
static uint8_t instruction_interrupted(int fd)
{
	uint64_t rip, code;

	assert_int_equal(pread(fd, &rip, 8, (off_t)((uintptr_t)encl.base + ENCL_THREAD_OFFSET +
						    ENCL_THREAD_SSA + GPRSGX_RIP)), 8);
	assert_int_equal(pread(fd, &code, 8, (off_t)(rip & ~7ull)), 8);
	return (uint8_t)(code >> rip % 8 * 8);
}

static void int3_is_a_fault_opted_in_or_not(void **state)
{
	struct test_op op = { .kind = OP_INT3 };
	struct sgx_enclave_run run = { 0 };
	const int fd = encl_memory();

	signal(SIGTRAP, on_trap);
	for (volatile int in = 0; in < 2; in++) {
		if (in)
			opt_in(fd);
		if (!sigsetjmp(after_trap, 1)) {
			test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &op, &run);
			fail_msg("nobody heard of INT3");
		}
		assert_int_equal(instruction_interrupted(fd), 0xcc);
		/* From its first frame again. */
		test_encl_free(&encl);
		assert_int_equal(build(NULL), 0);
	}
	signal(SIGTRAP, SIG_DFL);
	close(fd);
}

/* --- IPIs -------------------------------------------------------------------------------- */

#define APIC_BASE 0xfee00000
#define APIC_ICR 0x300
#define ICR_SMI 0xc4200			/* to all but the sender */
#define ICR_NMI 0xc4400
#define ICR_INIT 0xc4500

#define NR_IPIS 20
#define SAMPLES 1000

static volatile uint32_t *map_apic(void)
{
	const int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
	uint8_t *apic;

	assert_true(fd >= 0);
	apic = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, APIC_BASE);
	assert_ptr_not_equal(apic, MAP_FAILED);
	return (volatile uint32_t *)(apic + APIC_ICR);
}

static void run_on(int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

static struct test_op spin = { .kind = OP_SPIN };
static int spinner_on;

static void *spinner(void *arg)
{
	run_on(spinner_on);
	test_enter(&encl, 0, &spin);
	return NULL;
}

/* An enclave runs on @there; the caller goes elsewhere. */
static pthread_t start_spinner(int here, int there)
{
	pthread_t thread;

	run_on(here);
	spinner_on = there;
	assert_int_equal(pthread_create(&thread, NULL, spinner, NULL), 0);
	while (!spin.started)
		usleep(1000);
	return thread;
}

static void enclave_goes_on_after(uint32_t command)
{
	volatile uint32_t *icr = map_apic();
	pthread_t thread = start_spinner(1, 0);

	printf("# elrange %p %p tcs %#llx\n", (void *)encl.base, (void *)(encl.base + encl.size),
	       (unsigned long long)test_tcs(&encl, 0));
	for (int i = 0; i < NR_IPIS; i++) {
		*icr = command;
		usleep(2000);
	}
	spin.flag = 1;
	pthread_join(thread, NULL);
	put_probe(3);
	assert_int_equal(get_probe(), 3);
}

static void enclave_goes_on_after_smi(void **state)
{
	enclave_goes_on_after(ICR_SMI);
}

static void enclave_goes_on_after_nmi(void **state)
{
	enclave_goes_on_after(ICR_NMI);
}

/* 0: running inside; 1: left by an asynchronous exit, and not resumed. */
static uint32_t cssa(int fd)
{
	uint64_t value = 0;	/* EDBGRD reads eight bytes */

	assert_int_equal(pread(fd, &value, sizeof(value),
			       (off_t)(test_tcs(&encl, 0) + offsetof(struct tcs, cssa))),
			 sizeof(value));
	return (uint32_t)value;
}

/*
 * Never sleeps after the INIT: the kernel may have put the timer on the processor
 * that is lost.  An exit that ERESUME follows shows for some samples, not for all.
 */
static void init_leaves_the_enclave(void **state)
{
	volatile uint32_t *icr = map_apic();
	const int fd = encl_memory();
	int inside = 0, left = 0;

	start_spinner(0, 1);
	for (int i = 0; i < SAMPLES; i++)
		inside += !cssa(fd);
	assert_true(inside > SAMPLES / 2);
	*icr = ICR_INIT;
	for (int i = 0; i < 100 * SAMPLES && left < SAMPLES; i++)
		left = cssa(fd) == 1 ? left + 1 : 0;
	assert_int_equal(left, SAMPLES);
}

/* ----------------------------------------------------------------------------------------- */

static int give_back(void **state)
{
	test_encl_free(&encl);
	return 0;
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, build, give_back)

int main(int argc, char **argv)
{
	const struct CMUnitTest plain[] = {
		EACH(dma_to_epc_is_dropped),
		EACH(enclave_opted_out_feels_no_breakpoint_of_its_memory),
		EACH(enclave_opted_out_feels_breakpoints_of_other_memory),
		EACH(enclave_opted_in_feels_breakpoints_of_its_memory),
		EACH(int3_is_a_fault_opted_in_or_not),
	};
	const struct CMUnitTest smi[] = { EACH(enclave_goes_on_after_smi) };
	const struct CMUnitTest nmi[] = { EACH(enclave_goes_on_after_nmi) };
	/* Nothing is given back: that would wait for the processor that is lost. */
	const struct CMUnitTest init[] = { cmocka_unit_test_setup(init_leaves_the_enclave, build) };
	int failed;

	if (argc < 2)
		return cmocka_run_group_tests_name("events", plain, NULL, NULL);
	if (!strcmp(argv[1], "smi"))
		return cmocka_run_group_tests_name("smi", smi, NULL, NULL);
	if (!strcmp(argv[1], "nmi"))
		return cmocka_run_group_tests_name("nmi", nmi, NULL, NULL);
	failed = cmocka_run_group_tests_name("init", init, NULL, NULL);
	printf("failed: %d\n", failed);
	fflush(stdout);
	for (;;)
		pause();
}
