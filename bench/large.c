/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a program waits for while it loads a large enclave, measured, in one
 * SGX_IOC_ENCLAVE_ADD_PAGES: against SHA-256 of the same bytes, which is what
 * measuring hashes, by the same library.  Both run in turns.
 *
 * Started by hand it runs itself again under swsgx, with an EPC that holds it.
 *
 * usage: large [--json FILE] [--mib N] [--rounds N]
 */
#include <asm/sgx.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <swsgx/arch.h>

#include "crypto.h"
#include "self.h"
#include "timing.h"

#define PAGE 4096ull
#define MIB (1ull << 20)
#define BASE 0x7e0000000000ull
#define REG_RW (SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W)
#define MAX_RATIO 1.3

/* What EADD and 16 EEXTENDs of a page hash. */
#define CHUNK 256u
#define HEADER 64u
#define RECORD (HEADER + CHUNK)
#define STREAM_SIZE (HEADER + PAGE / CHUNK * RECORD)

struct bench {
	uint64_t nr_pages;
	uint8_t *source, *stream;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void *allocate(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	return p;
}

static void write_header(uint8_t *record, const char *tag, uint64_t offset, uint64_t flags)
{
	strncpy((char *)record, tag, 8);
	memcpy(record + 8, &offset, sizeof(offset));
	memcpy(record + 16, &flags, sizeof(flags));
}

static void write_stream(struct bench *b)
{
	uint8_t *p = b->stream;

	for (uint64_t offset = 0; offset < b->nr_pages * PAGE; offset += PAGE) {
		write_header(p, "EADD", offset, REG_RW);
		p += HEADER;
		for (uint64_t in_page = 0; in_page < PAGE; in_page += CHUNK, p += RECORD) {
			write_header(p, "EEXTEND", offset + in_page, 0);
			memcpy(p + HEADER, b->source + offset + in_page, CHUNK);
		}
	}
}

static double hash_ns(const struct bench *b)
{
	uint8_t digest[32];
	const double start = now_ns();

	isa_sha256(b->stream, b->nr_pages * STREAM_SIZE, digest);
	return now_ns() - start;
}

static int create(uint64_t size)
{
	static alignas(4096) struct sgx_secs secs = {
		.baseaddr = BASE,
		.ssaframesize = 1,
		.attributes = { .flags = ATTR_MODE64BIT, .xfrm = XFRM_X87_SSE },
	};
	struct sgx_enclave_create arg = { .src = (uintptr_t)&secs };
	const int fd = open("/dev/sgx_enclave", O_RDWR);

	secs.size = size;
	if (fd < 0 || ioctl(fd, SGX_IOC_ENCLAVE_CREATE, &arg))
		fail("/dev/sgx_enclave");
	return fd;
}

static double load_ns(const struct bench *b, uint64_t flags)
{
	alignas(64) uint64_t secinfo[8] = { REG_RW };
	struct sgx_enclave_add_pages arg = {
		.src = (uintptr_t)b->source,
		.length = b->nr_pages * PAGE,
		.secinfo = (uintptr_t)secinfo,
		.flags = flags,
	};
	const int fd = create(arg.length);
	double ns = now_ns();

	if (ioctl(fd, SGX_IOC_ENCLAVE_ADD_PAGES, &arg) || arg.count != arg.length)
		fail("SGX_IOC_ENCLAVE_ADD_PAGES");
	ns = now_ns() - ns;
	close(fd);
	return ns;
}

static int report(const struct bench *b, double hash, double measured, double unmeasured,
		  const char *json)
{
	const unsigned int mib = (unsigned int)(b->nr_pages * PAGE / MIB);
	FILE *f;

	printf("%u MiB in one call, %-23s %10s %8s\n", mib, "least disturbed round", "ms", "ratio");
	printf("%-44s %10.1f %8.3f\n", "SHA-256 of what measuring hashes", hash / 1e6, 1.0);
	printf("%-44s %10.1f %8.3f   (goal: <= %.1f)\n", "add and measure", measured / 1e6,
	       measured / hash, MAX_RATIO);
	printf("%-44s %10.1f %8.3f\n", "add", unmeasured / 1e6, unmeasured / hash);
	if (!json)
		return 0;
	f = fopen(json, "w");
	if (!f)
		fail(json);
	fprintf(f, "{ \"mib\": %u, \"sha256_ms\": %.2f, \"measured_ms\": %.2f, "
		   "\"unmeasured_ms\": %.2f, \"ratio\": %.4f, \"goal\": %.1f }\n",
		mib, hash / 1e6, measured / 1e6, unmeasured / 1e6, measured / hash, MAX_RATIO);
	return fclose(f) != 0;
}

int main(int argc, char **argv)
{
	double hash = 0, measured = 0, unmeasured = 0;
	uint64_t mib = 1024, rounds = 5;
	const char *json = NULL;
	struct bench b;
	char epc[32];

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--json"))
			json = argv[i + 1];
		else if (!strcmp(argv[i], "--mib"))
			mib = strtoul(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--rounds"))
			rounds = strtoul(argv[i + 1], NULL, 0);
	}
	if (!rounds || !mib || mib & (mib - 1)) {
		fprintf(stderr, "large: rounds, and a power of two of MiB\n");
		return 2;
	}
	/* With its SECS, a VA page for 512 of its pages, and the round before going. */
	snprintf(epc, sizeof(epc), "%lluM", (unsigned long long)(2 * (mib + mib / 512 + 1)));
	run_under_swsgx(epc, argc, argv);
	b.nr_pages = mib * MIB / PAGE;
	b.source = allocate(b.nr_pages * PAGE);
	b.stream = allocate(b.nr_pages * STREAM_SIZE);
	for (uint64_t i = 0; i < b.nr_pages * PAGE; i += sizeof(i))
		memcpy(b.source + i, &i, sizeof(i));
	write_stream(&b);
	for (uint64_t i = 0; i < rounds; i++) {
		const double ns[] = { hash_ns(&b), load_ns(&b, SGX_PAGE_MEASURE), load_ns(&b, 0) };

		hash = i && hash < ns[0] ? hash : ns[0];
		measured = i && measured < ns[1] ? measured : ns[1];
		unmeasured = i && unmeasured < ns[2] ? unmeasured : ns[2];
	}
	return report(&b, hash, measured, unmeasured, json);
}
