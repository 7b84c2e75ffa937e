/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An enclave is built from the outside in: address range, SECS, pages, and the
 * signature that turns a heap of pages into something one can enter.
 *
 * Nothing here is specific to any implementation of SGX; this is what a program
 * does on Linux.
 */
#include "load.h"

#include <asm/sgx.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "layout.h"

#define SGX_DEVICE "/dev/sgx_enclave"

/* What an errno means at a step of the kernel's interface, beyond strerror(). */
struct meaning {
	int err;
	const char *text;
};

static const struct meaning open_meanings[] = {
	{ ENOENT, "this machine offers no SGX enclaves (no processor support, "
		  "switched off in the firmware, or no driver)" },
	{ ENXIO, "the device node is there, its driver is not" },
	{ ENODEV, "the device node is there, its driver is not" },
	{ EACCES, "you may not use SGX; are you in the group of the device node?" },
	{ 0, NULL },
};

static const struct meaning create_meanings[] = {
	{ EINVAL, "the file has an enclave already, or its size is no power of two" },
	{ EIO, "ECREATE refused the SECS" },
	{ ENOMEM, "no EPC page is free" },
	{ 0, NULL },
};

static const struct meaning add_meanings[] = {
	{ EINVAL, "offset, length or SECINFO is not acceptable" },
	{ EACCES, "the source pages may not be made executable" },
	{ EBUSY, "there is a page at this offset already" },
	{ EIO, "EADD or EEXTEND failed" },
	{ ENOMEM, "no EPC page is free" },
	{ 0, NULL },
};

static const struct meaning init_meanings[] = {
	{ EACCES, "the enclave has an attribute the kernel does not allow" },
	{ EINVAL, "SIGSTRUCT asks for something this machine does not have" },
	{ EIO, "EINIT faulted" },
	{ EPERM, "EINIT refused: signature or MRENCLAVE do not match" },
	{ 0, NULL },
};

static const struct meaning map_meanings[] = {
	{ EACCES, "the mapping wants more than the pages' SECINFO allows; or /dev is "
		  "mounted noexec" },
	{ 0, NULL },
};

/* Prints after the failed call, before anything changes errno. */
static bool failed(const char *what, const struct meaning *m)
{
	const int err = errno;

	fprintf(stderr, "hello: %s: %s", what, strerror(err));
	for (; m && m->text; m++)
		if (m->err == err)
			fprintf(stderr, ": %s", m->text);
	fputc('\n', stderr);
	return false;
}

/* Reads exactly @len bytes into anonymous memory or wherever @buf is. */
static bool read_file(const char *dir, const char *name, void *buf, size_t len)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return failed(path, NULL);
	n = read(fd, buf, len);
	close(fd);
	if (n == (ssize_t)len)
		return true;
	fprintf(stderr, "hello: %s is not %zu bytes long\n", path, len);
	return false;
}

/* ELRANGE must be aligned to its size: reserve twice of it, keep the middle. */
static uint8_t *reserve(size_t size)
{
	uint8_t *p = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *base;

	if (p == MAP_FAILED)
		return NULL;
	base = (uint8_t *)(((uintptr_t)p + size - 1) & ~(uintptr_t)(size - 1));
	if (base > p)
		munmap(p, (size_t)(base - p));
	munmap(base + size, (size_t)(p + size - base));
	return base;
}

static bool create(struct enclave *encl)
{
	static struct secs secs __attribute__((aligned(PAGE_SIZE)));
	struct sgx_enclave_create arg = { .src = (uintptr_t)&secs };

	encl->base = reserve(HELLO_ENCLAVE_SIZE);
	if (!encl->base)
		return failed("reserve address space", NULL);

	secs.size = HELLO_ENCLAVE_SIZE;
	secs.baseaddr = (uintptr_t)encl->base;
	secs.ssaframesize = HELLO_SSAFRAMESIZE;
	secs.attributes = ATTR_MODE64BIT;
	secs.xfrm = XFRM_X87_SSE;
	if (ioctl(encl->fd, SGX_IOC_ENCLAVE_CREATE, &arg))
		return failed("SGX_IOC_ENCLAVE_CREATE", create_meanings);
	printf("create   an enclave of %u KiB at %p\n", HELLO_ENCLAVE_SIZE / 1024,
	       (void *)encl->base);
	return true;
}

/* The kernel may stop early for a signal, and says how far it came. */
static bool add_region(struct enclave *encl, const struct region *r, const uint8_t *image)
{
	struct secinfo secinfo = { .flags = r->secinfo };
	uint64_t done = 0;

	while (done < r->length) {
		struct sgx_enclave_add_pages arg = {
			.src = (uintptr_t)image + r->offset + done,
			.offset = r->offset + done,
			.length = r->length - done,
			.secinfo = (uintptr_t)&secinfo,
			.flags = SGX_PAGE_MEASURE,
		};

		if (ioctl(encl->fd, SGX_IOC_ENCLAVE_ADD_PAGES, &arg) && errno != EINTR)
			return failed("SGX_IOC_ENCLAVE_ADD_PAGES", add_meanings);
		done += arg.count;
	}
	encl->nr_added += (unsigned int)(r->length / PAGE_SIZE);
	printf("add      %-5s %u pages at offset 0x%04llx\n", r->name,
	       (unsigned int)(r->length / PAGE_SIZE), (unsigned long long)r->offset);
	return true;
}

/* Anonymous memory, because pages of a file on a noexec mount are refused. */
static bool add_pages(struct enclave *encl, const char *dir)
{
	uint8_t *image = mmap(NULL, HELLO_IMAGE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool ok;

	if (image == MAP_FAILED)
		return failed("memory for the image", NULL);
	ok = read_file(dir, "hello-enclave", image, HELLO_IMAGE_SIZE);
	for (size_t i = 0; ok && i < HELLO_NR_REGIONS; i++)
		ok = add_region(encl, &hello_regions[i], image);
	munmap(image, HELLO_IMAGE_SIZE);
	return ok;
}

static bool init(struct enclave *encl, const char *dir)
{
	static struct sigstruct sig __attribute__((aligned(PAGE_SIZE)));
	struct sgx_enclave_init arg = { .sigstruct = (uintptr_t)&sig };

	if (!read_file(dir, "hello-enclave.sig", &sig, sizeof(sig)))
		return false;
	if (ioctl(encl->fd, SGX_IOC_ENCLAVE_INIT, &arg))
		return failed("SGX_IOC_ENCLAVE_INIT", init_meanings);
	memcpy(encl->mrenclave, sig.enclavehash, sizeof(encl->mrenclave));
	printf("init     EINIT accepted signature and MRENCLAVE\n");
	return true;
}

static bool map_pages(struct enclave *encl)
{
	for (size_t i = 0; i < HELLO_NR_REGIONS; i++) {
		const struct region *r = &hello_regions[i];

		if (mmap(encl->base + r->offset, r->length, r->prot, MAP_SHARED | MAP_FIXED,
			 encl->fd, 0) == MAP_FAILED)
			return failed("mmap of " SGX_DEVICE, map_meanings);
	}
	printf("map      %zu mappings of " SGX_DEVICE "\n", HELLO_NR_REGIONS);
	return true;
}

bool enclave_load(struct enclave *encl, const char *dir)
{
	*encl = (struct enclave){ .fd = open(SGX_DEVICE, O_RDWR | O_CLOEXEC) };

	if (encl->fd < 0)
		return failed(SGX_DEVICE, open_meanings);
	printf("open     " SGX_DEVICE "\n");
	return create(encl) && add_pages(encl, dir) && init(encl, dir) && map_pages(encl);
}

void enclave_unload(struct enclave *encl)
{
	if (encl->base)
		munmap(encl->base, HELLO_ENCLAVE_SIZE);
	if (encl->fd >= 0)
		close(encl->fd);
}
