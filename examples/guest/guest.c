/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest with two pieces of virtual EPC does to whoever gave it to the
 * guest: the program builds an enclave with its SECS in one instance of
 * /dev/sgx_vepc and its pages in the other, and takes the instances down in both
 * orders.  The host knows neither, and no page may be lost.
 *
 * Run it with `swsgx run`.
 */
#include <asm/sgx.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "encls.h"

#define NR_PAGES 8
#define ENCLAVE_BASE 0x10000000000ull
#define ENCLAVE_SIZE 0x10000ull

struct instance {
	const char *name;
	int fd;
	uint8_t *epc;		/* NR_PAGES pages */
};

static void die(const char *what)
{
	fprintf(stderr, "guest: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void no_encls(int sig)
{
	static const char message[] =
		"guest: ENCLS is for kernels; `swsgx run` lets a program with virtual EPC have it\n";

	if (write(STDERR_FILENO, message, sizeof(message) - 1) < 0)
		_exit(2);
	_exit(1);
}

/* --- virtual EPC ----------------------------------------------------------------- */

static void open_instance(struct instance *v, const char *name)
{
	v->name = name;
	v->fd = open("/dev/sgx_vepc", O_RDWR);
	if (v->fd < 0)
		die("/dev/sgx_vepc");
	/* Pages get EPC when they are touched, here or by ENCLS. */
	v->epc = mmap(NULL, NR_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->epc == MAP_FAILED)
		die("mmap of /dev/sgx_vepc");
}

static void close_instance(struct instance *v)
{
	printf("close %s\n", v->name);
	munmap(v->epc, NR_PAGES * PAGE_SIZE);
	close(v->fd);
}

static int remove_all(struct instance *v)
{
	const int left = ioctl(v->fd, SGX_IOC_VEPC_REMOVE_ALL, 0);

	if (left < 0)
		die("SGX_IOC_VEPC_REMOVE_ALL");
	printf("remove all of %s: %d SECS left with children elsewhere\n", v->name, left);
	return left;
}

/* --- the guest's enclave ---------------------------------------------------------- */

static void create_secs(uint8_t *epc)
{
	static struct secs secs __attribute__((aligned(4096))) = {
		.size = ENCLAVE_SIZE,
		.baseaddr = ENCLAVE_BASE,
		.ssaframesize = 1,
		.attributes = ATTR_MODE64BIT,
		.xfrm = XFRM_X87_SSE,
	};
	static const struct secinfo secinfo __attribute__((aligned(64))) = {
		.flags = SECINFO_SECS,
	};
	const struct pageinfo pageinfo = { .srcpge = &secs, .secinfo = &secinfo };

	encls(ENCLS_ECREATE, &pageinfo, epc, NULL);
}

static void add_page(uint8_t *epc, uint8_t *secs, uint64_t offset)
{
	static const uint8_t zeros[PAGE_SIZE] __attribute__((aligned(4096)));
	static const struct secinfo secinfo __attribute__((aligned(64))) = {
		.flags = SECINFO_REG | SECINFO_R | SECINFO_W,
	};
	const struct pageinfo pageinfo = {
		.linaddr = ENCLAVE_BASE + offset,
		.srcpge = zeros,
		.secinfo = &secinfo,
		.secs = secs,
	};

	encls(ENCLS_EADD, &pageinfo, epc, NULL);
}

/* SECS and one page in @a, two pages in @b. */
static void build(const struct instance *a, const struct instance *b)
{
	create_secs(a->epc);
	add_page(a->epc + PAGE_SIZE, a->epc, 0);
	add_page(b->epc, a->epc, PAGE_SIZE);
	add_page(b->epc + PAGE_SIZE, a->epc, 2 * PAGE_SIZE);
	printf("an enclave: SECS and a page in %s, two pages in %s\n", a->name, b->name);
}

static uint64_t remove_page(uint8_t *epc)
{
	return encls(ENCLS_EREMOVE, NULL, epc, NULL).rax;
}

/* --- both orders ------------------------------------------------------------------- */

static void remove_in_both_rounds(struct instance *a, struct instance *b)
{
	int left;

	build(a, b);
	printf("EREMOVE of the SECS returns %llu (SGX_CHILD_PRESENT is %d)\n",
	       (unsigned long long)remove_page(a->epc), SGX_CHILD_PRESENT);
	left = remove_all(a) + remove_all(b);
	if (left)
		left = remove_all(a) + remove_all(b);
	if (left)
		exit(1);
}

static void close_children_first(void)
{
	struct instance a, b;

	open_instance(&a, "A");
	open_instance(&b, "B");
	build(&a, &b);
	close_instance(&b);
	close_instance(&a);
}

/* The SECS outlives its instance, and goes with its last page. */
static void close_secs_first(void)
{
	struct instance a, b;

	open_instance(&a, "A");
	open_instance(&b, "B");
	build(&a, &b);
	close_instance(&a);
	printf("the guest removes the pages in B by itself: %llu, %llu\n",
	       (unsigned long long)remove_page(b.epc),
	       (unsigned long long)remove_page(b.epc + PAGE_SIZE));
	close_instance(&b);
}

int main(void)
{
	struct instance a, b;

	signal(SIGILL, no_encls);
	open_instance(&a, "A");
	open_instance(&b, "B");
	remove_in_both_rounds(&a, &b);
	close_instance(&a);
	close_instance(&b);

	printf("\nthe instance with the pages first:\n");
	close_children_first();
	printf("\nthe instance with the SECS first:\n");
	close_secs_first();
	return 0;
}
