/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What loading a measured page costs: EADD and 16 EEXTENDs through the
 * dispatch point, against SHA-256 of the same 5184 bytes and nothing else.
 * Both run in turns, so that a change of clock speed hits both.
 *
 * usage: load [--json FILE] [--pages N] [--rounds N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <swsgx/isa.h>

#include "crypto.h"
#include "timing.h"

#define PAGE 4096u
#define CHUNK 256u
#define CHUNKS_PER_PAGE (PAGE / CHUNK)
#define BLOCKS_PER_PAGE (1 + 5 * CHUNKS_PER_PAGE)
#define STREAM_SIZE (64u * BLOCKS_PER_PAGE)

#define EPC_PA 0x100000000ull
#define BASE 0x700000000000ull
#define MAX_RATIO 1.15

struct bench {
	size_t nr_pages, nr_rounds;
	struct isa_machine *m;
	struct isa_lp lp;
	uint8_t *epc;		/* frame 0 is the SECS */
	uint8_t *source;	/* nr_pages pages */
	uint8_t *stream;	/* nr_pages * STREAM_SIZE: what the processor hashes */
	double *load_ns, *raw_ns; /* [round]: per page */
};

/* --- the machine's surroundings ------------------------------------------ */

static void *epc_page(void *ctx, uint64_t frame)
{
	return ((struct bench *)ctx)->epc + frame * PAGE;
}

static bool translate(void *ctx, uint64_t la, bool write, uint64_t *pa, struct isa_outcome *fault)
{
	const struct bench *b = ctx;

	*pa = la - EPC_PA < (b->nr_pages + 1) * PAGE ? la : ISA_NO_FRAME;
	return true;
}

static bool read_memory(void *ctx, uint64_t la, void *dst, size_t n, struct isa_outcome *fault)
{
	memcpy(dst, (const void *)(uintptr_t)la, n);
	return true;
}

static bool write_memory(void *ctx, uint64_t la, const void *src, size_t n,
			 struct isa_outcome *fault)
{
	memcpy((void *)(uintptr_t)la, src, n);
	return true;
}

static const struct isa_mmu mmu = {
	.translate = translate,
	.read = read_memory,
	.write = write_memory,
};

static void fail(const char *what)
{
	fprintf(stderr, "load: %s failed\n", what);
	exit(1);
}

static void *allocate(size_t size)
{
	void *p = aligned_alloc(PAGE, (size + PAGE - 1) / PAGE * PAGE);

	if (!p)
		fail("allocation");
	memset(p, 0x5a, size);
	return p;
}

/* --- the two things measured --------------------------------------------- */

static void execute(struct bench *b, enum isa_leaf leaf, uint64_t rbx, uint64_t rcx)
{
	b->lp.rbx = rbx;
	b->lp.rcx = rcx;
	if (!isa_is_done(isa_encls(&b->lp, leaf)))
		fail(isa_leaf_name(ISA_ENCLS, leaf));
}

static void ecreate(struct bench *b, struct sgx_secs *secs)
{
	_Alignas(64) struct sgx_secinfo secinfo = { .flags = SECINFO_PT(PT_SECS) };
	_Alignas(32) struct sgx_pageinfo pageinfo = {
		.srcpge = (uintptr_t)secs,
		.secinfo_or_pcmd = (uintptr_t)&secinfo,
	};

	memset(secs, 0, sizeof(*secs));
	secs->size = 1ull << 32;
	secs->baseaddr = BASE;
	secs->ssaframesize = 1;
	secs->attributes.flags = ATTR_MODE64BIT;
	secs->attributes.xfrm = XFRM_X87_SSE;
	execute(b, ISA_ENCLS_ECREATE, (uintptr_t)&pageinfo, EPC_PA);
}

static void load_pages(struct bench *b)
{
	_Alignas(64) struct sgx_secinfo secinfo = {
		.flags = SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W,
	};
	_Alignas(32) struct sgx_pageinfo pageinfo = {
		.secinfo_or_pcmd = (uintptr_t)&secinfo,
		.secs = EPC_PA,
	};

	for (size_t i = 0; i < b->nr_pages; i++) {
		const uint64_t pa = EPC_PA + (i + 1) * PAGE;

		pageinfo.linaddr = BASE + i * PAGE;
		pageinfo.srcpge = (uintptr_t)(b->source + i * PAGE);
		execute(b, ISA_ENCLS_EADD, (uintptr_t)&pageinfo, pa);
		for (unsigned int j = 0; j < CHUNKS_PER_PAGE; j++)
			execute(b, ISA_ENCLS_EEXTEND, EPC_PA, pa + j * CHUNK);
	}
}

static void hash_streams(struct bench *b)
{
	uint32_t h[8];

	isa_sha256_init(h);
	for (size_t i = 0; i < b->nr_pages; i++)
		isa_sha256_blocks(h, b->stream + i * STREAM_SIZE, BLOCKS_PER_PAGE);
	/* Keep the result from being optimized away. */
	memcpy(b->stream, h, sizeof(h));
}

static void remove_pages(struct bench *b)
{
	for (size_t i = b->nr_pages + 1; i-- > 0;)
		execute(b, ISA_ENCLS_EREMOVE, 0, EPC_PA + i * PAGE);
}

/* --- measuring ----------------------------------------------------------- */

static void run_round(struct bench *b, size_t round, struct sgx_secs *secs)
{
	double start, middle, end;

	ecreate(b, secs);
	start = now_ns();
	load_pages(b);
	middle = now_ns();
	hash_streams(b);
	end = now_ns();
	remove_pages(b);
	b->load_ns[round] = (middle - start) / (double)b->nr_pages;
	b->raw_ns[round] = (end - middle) / (double)b->nr_pages;
}

static void report(const struct bench *b, double load, double raw, const char *json)
{
	FILE *f;

	printf("%-44s %10s\n", "per page of 4096 bytes, least disturbed round", "ns");
	printf("%-44s %10.0f\n", "EADD + 16 EEXTEND", load);
	printf("%-44s %10.0f\n", "SHA-256 of the same 5184 bytes", raw);
	printf("%-44s %10.3f   (goal: <= %.2f)\n", "ratio", load / raw, MAX_RATIO);
	printf("%-44s %10.0f\n", "MiB of enclave loaded per second", PAGE / load * 1e9 / (1 << 20));
	if (!json)
		return;
	f = fopen(json, "w");
	if (!f)
		fail("writing the JSON file");
	fprintf(f,
		"{\"bench\": \"load\", \"pages\": %zu, \"rounds\": %zu, \"load_ns_per_page\": %.1f, "
		"\"sha256_ns_per_page\": %.1f, \"ratio\": %.4f, \"goal\": %.2f}\n",
		b->nr_pages, b->nr_rounds, load, raw, load / raw, MAX_RATIO);
	if (fclose(f))
		fail("writing the JSON file");
}

static void setup(struct bench *b)
{
	const struct isa_section section = { .pa = EPC_PA, .nr_pages = b->nr_pages + 1 };
	const struct isa_config config = {
		.profile = isa_profile_at(0),
		.sections = &section,
		.nr_sections = 1,
		.xcr0 = XFRM_X87_SSE,
		.epc_page = epc_page,
		.ctx = b,
	};

	b->epc = allocate((b->nr_pages + 1) * PAGE);
	b->source = allocate(b->nr_pages * PAGE);
	b->stream = allocate(b->nr_pages * STREAM_SIZE);
	b->load_ns = allocate(b->nr_rounds * sizeof(double));
	b->raw_ns = allocate(b->nr_rounds * sizeof(double));
	if (isa_machine_create(&config, &b->m))
		fail("isa_machine_create");
	isa_lp_init(&b->lp, b->m, &mmu, b, 0);
}

static size_t number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (!n || *end) {
		fprintf(stderr, "load: %s is no positive number\n", text);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	/* More than a cache's worth of pages measures memory, not the leaves. */
	struct bench b = { .nr_pages = 128, .nr_rounds = 401 };
	const char *json = NULL;
	struct sgx_secs *secs;

	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && !strcmp(argv[i], "--json")) {
			json = argv[i + 1];
		} else if (i + 1 < argc && !strcmp(argv[i], "--pages")) {
			b.nr_pages = number(argv[i + 1]);
		} else if (i + 1 < argc && !strcmp(argv[i], "--rounds")) {
			b.nr_rounds = number(argv[i + 1]);
		} else {
			fprintf(stderr, "usage: load [--json FILE] [--pages N] [--rounds N]\n");
			return 2;
		}
	}
	setup(&b);
	secs = allocate(sizeof(*secs));
	for (size_t i = 0; i < b.nr_rounds; i++)
		run_round(&b, i, secs);
	report(&b, least(b.load_ns, b.nr_rounds), least(b.raw_ns, b.nr_rounds), json);
	isa_machine_destroy(b.m);
	free(secs);
	free(b.epc);
	free(b.source);
	free(b.stream);
	free(b.load_ns);
	free(b.raw_ns);
	return 0;
}
