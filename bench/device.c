/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a program waits for while it loads an enclave through /dev/sgx_enclave:
 * pages in one call and page by page, measured and not, against SHA-256 of the
 * bytes that measuring hashes.  All run in turns.
 *
 * Started by hand it runs itself again under swsgx.
 *
 * usage: device [--json FILE] [--rounds N]
 */
#include <asm/sgx.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "self.h"
#include "sgx-arch.h"
#include "timing.h"

#define NR_PAGES 2048u
#define NR_SINGLE 256u		/* of them page by page */
#define STREAM_SIZE 5184u	/* what measuring a page hashes */
#define BASE 0x7e0000000000ull
#define SIZE (16ull << 20)
#define REG_RW 0x203u

enum way { HASH, MEASURED, UNMEASURED, SINGLE, NR_WAYS };

static const char *const names[NR_WAYS] = {
	"SHA-256 of what measuring a page hashes",
	"add and measure, in one call",
	"add, in one call",
	"add and measure, page by page",
};

static const char *const keys[NR_WAYS] = { "sha256", "measured", "unmeasured", "single" };

struct bench {
	uint8_t *source, *stream;
	double *ns[NR_WAYS];	/* [round]: per page */
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

static double hash_ns(const struct bench *b)
{
	uint8_t digest[32];
	double start = now_ns();

	if (!EVP_Digest(b->stream, (size_t)NR_PAGES * STREAM_SIZE, digest, NULL, EVP_sha256(),
			NULL))
		fail("EVP_Digest");
	return (now_ns() - start) / NR_PAGES;
}

static int create(void)
{
	static alignas(4096) struct secs secs = {
		.size = SIZE,
		.baseaddr = BASE,
		.ssaframesize = 1,
		.attributes = ATTR_MODE64BIT,
		.xfrm = 3,
	};
	struct sgx_enclave_create arg = { .src = (uintptr_t)&secs };
	const int fd = open("/dev/sgx_enclave", O_RDWR);

	if (fd < 0 || ioctl(fd, SGX_IOC_ENCLAVE_CREATE, &arg))
		fail("/dev/sgx_enclave");
	return fd;
}

static double add_ns(const struct bench *b, unsigned int nr_pages, unsigned int per_call,
		     uint64_t flags)
{
	alignas(64) uint64_t secinfo[8] = { REG_RW };
	const uint64_t length = (uint64_t)per_call * 4096;
	const int fd = create();
	double start = now_ns();

	for (unsigned int i = 0; i < nr_pages; i += per_call) {
		struct sgx_enclave_add_pages arg = {
			.src = (uintptr_t)b->source + i * 4096ull,
			.offset = i * 4096ull,
			.length = length,
			.secinfo = (uintptr_t)secinfo,
			.flags = flags,
		};

		if (ioctl(fd, SGX_IOC_ENCLAVE_ADD_PAGES, &arg) || arg.count != length)
			fail("SGX_IOC_ENCLAVE_ADD_PAGES");
	}
	start = now_ns() - start;
	close(fd);
	return start / nr_pages;
}

static void run_round(struct bench *b, size_t i)
{
	b->ns[HASH][i] = hash_ns(b);
	b->ns[MEASURED][i] = add_ns(b, NR_PAGES, NR_PAGES, SGX_PAGE_MEASURE);
	b->ns[UNMEASURED][i] = add_ns(b, NR_PAGES, NR_PAGES, 0);
	b->ns[SINGLE][i] = add_ns(b, NR_SINGLE, 1, SGX_PAGE_MEASURE);
}

static int report(const double ns[NR_WAYS], const char *json)
{
	FILE *f;

	printf("%-44s %10s %8s\n", "per page of 4096 bytes, median", "ns", "ratio");
	for (int way = 0; way < NR_WAYS; way++)
		printf("%-44s %10.0f %8.2f\n", names[way], ns[way], ns[way] / ns[HASH]);
	if (!json)
		return 0;
	f = fopen(json, "w");
	if (!f)
		fail(json);
	fprintf(f, "{ ");
	for (int way = 0; way < NR_WAYS; way++)
		fprintf(f, "\"%s_ns\": %.1f, \"%s_ratio\": %.4f%s", keys[way], ns[way], keys[way],
			ns[way] / ns[HASH], way + 1 < NR_WAYS ? ", " : " }\n");
	return fclose(f) != 0;
}

int main(int argc, char **argv)
{
	const char *json = NULL;
	double medians[NR_WAYS];
	size_t rounds = 11;
	struct bench b;

	run_under_swsgx("64M", argc, argv);
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--json"))
			json = argv[i + 1];
		else if (!strcmp(argv[i], "--rounds"))
			rounds = strtoul(argv[i + 1], NULL, 0);
	}
	if (!rounds)
		return 2;
	b.source = allocate((size_t)NR_PAGES * 4096);
	b.stream = allocate((size_t)NR_PAGES * STREAM_SIZE);
	for (int way = 0; way < NR_WAYS; way++)
		b.ns[way] = allocate(rounds * sizeof(double));
	for (size_t i = 0; i < rounds; i++)
		run_round(&b, i);
	for (int way = 0; way < NR_WAYS; way++)
		medians[way] = median(b.ns[way], rounds);
	return report(medians, json);
}
