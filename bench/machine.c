/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

/* --- the machine's surroundings ------------------------------------------ */

static void *epc_page(void *ctx, uint64_t frame)
{
	return ((struct bench_machine *)ctx)->epc + frame * PAGE;
}

static bool translate(void *ctx, uint64_t la, bool write, uint64_t *pa, struct isa_outcome *fault)
{
	*pa = ISA_NO_FRAME;
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

void fail(const char *what)
{
	fprintf(stderr, "bench: %s failed\n", what);
	exit(1);
}

void *allocate(size_t size)
{
	void *p = aligned_alloc(PAGE, (size + PAGE - 1) / PAGE * PAGE);

	if (!p)
		fail("allocation");
	memset(p, 0x5a, size);
	return p;
}

void bench_machine_init(struct bench_machine *b, size_t nr_frames)
{
	const struct isa_section section = { .pa = EPC_PA, .nr_pages = nr_frames };
	const struct isa_config config = {
		.profile = isa_profile_at(0),
		.sections = &section,
		.nr_sections = 1,
		.xcr0 = XFRM_X87_SSE,
		.epc_page = epc_page,
		.ctx = b,
	};

	b->nr_frames = nr_frames;
	b->epc = allocate(nr_frames * PAGE);
	if (isa_machine_create(&config, &b->m))
		fail("isa_machine_create");
	isa_lp_init(&b->lp, b->m, &mmu, b, 0);
	b->lp.direct_map = (struct isa_direct_map){ EPC_PA, EPC_PA, nr_frames * PAGE };
}

void bench_machine_finish(struct bench_machine *b)
{
	isa_machine_destroy(b->m);
	free(b->epc);
}

/* --- leaves -------------------------------------------------------------- */

void execute(struct bench_machine *b, enum isa_leaf leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx)
{
	b->lp.rbx = rbx;
	b->lp.rcx = rcx;
	b->lp.rdx = rdx;
	if (!isa_is_done(isa_encls(&b->lp, leaf)))
		fail(isa_leaf_name(ISA_ENCLS, leaf));
}

void create_enclave(struct bench_machine *b)
{
	_Alignas(4096) struct sgx_secs secs = {
		.size = 1ull << 32,
		.baseaddr = BASE,
		.ssaframesize = 1,
		.attributes = { .flags = ATTR_MODE64BIT, .xfrm = XFRM_X87_SSE },
	};
	_Alignas(64) struct sgx_secinfo secinfo = { .flags = SECINFO_PT(PT_SECS) };
	_Alignas(32) struct sgx_pageinfo pageinfo = {
		.srcpge = (uintptr_t)&secs,
		.secinfo_or_pcmd = (uintptr_t)&secinfo,
	};

	execute(b, ISA_ENCLS_ECREATE, (uintptr_t)&pageinfo, EPC_PA, 0);
}

void add_page(struct bench_machine *b, uint64_t frame, uint64_t nr, const void *source,
	      uint64_t secinfo_flags)
{
	_Alignas(64) struct sgx_secinfo secinfo = { .flags = secinfo_flags };
	_Alignas(32) struct sgx_pageinfo pageinfo = {
		.linaddr = BASE + nr * PAGE,
		.srcpge = (uintptr_t)source,
		.secinfo_or_pcmd = (uintptr_t)&secinfo,
		.secs = EPC_PA,
	};

	execute(b, ISA_ENCLS_EADD, (uintptr_t)&pageinfo, frame_pa(frame), 0);
}

/* --- command line -------------------------------------------------------- */

size_t positive_number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (!n || *end) {
		fprintf(stderr, "bench: %s is no positive number\n", text);
		exit(2);
	}
	return n;
}

void parse_options(int argc, char **argv, struct bench_options *options)
{
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && !strcmp(argv[i], "--json")) {
			options->json = argv[i + 1];
		} else if (i + 1 < argc && !strcmp(argv[i], "--pages")) {
			options->nr_pages = positive_number(argv[i + 1]);
		} else if (i + 1 < argc && !strcmp(argv[i], "--rounds")) {
			options->nr_rounds = positive_number(argv[i + 1]);
		} else {
			fprintf(stderr, "usage: %s [--json FILE] [--pages N] [--rounds N]\n", argv[0]);
			exit(2);
		}
	}
}
