/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a page costs on its way out of EPC and back: EWB and ELDU through the
 * dispatch point, against AES-128-GCM of the same 4096 bytes with 128 bytes
 * of additional data and nothing else.  All run in turns, so that a change of
 * clock speed hits all.
 *
 * usage: paging [--json FILE] [--pages N] [--rounds N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "machine.h"
#include "timing.h"

#define AAD_SIZE 128u
#define MAX_RATIO 1.3

/* Frames: the SECS, one VA page, then the pages. */
#define VA_FRAME 1u
#define FIRST_FRAME 2u
#define MAX_PAGES 512u

enum phase { EWB, SEAL, ELDU, OPEN, NR_PHASES };

struct bench {
	struct bench_machine machine;
	struct bench_options options;
	uint8_t *outside;		/* ciphertext of the leaves */
	uint8_t *plain, *sealed;	/* of the raw cipher */
	struct sgx_pcmd *pcmd;
	struct isa_gcm *gcm;
	uint64_t *iv;			/* [page], for the raw cipher */
	uint8_t (*tag)[16];
	uint64_t nr_sealed;
	double *ns[NR_PHASES];		/* [round]: per page */
};

static void block_pages(struct bench *b)
{
	for (size_t i = 0; i < b->options.nr_pages; i++)
		execute(&b->machine, ISA_ENCLS_EBLOCK, 0, frame_pa(FIRST_FRAME + i), 0);
	execute(&b->machine, ISA_ENCLS_ETRACK, 0, EPC_PA, 0);
}

static void page_out(struct bench *b)
{
	_Alignas(32) struct sgx_pageinfo pageinfo;

	for (size_t i = 0; i < b->options.nr_pages; i++) {
		pageinfo = (struct sgx_pageinfo){
			.srcpge = (uintptr_t)(b->outside + i * PAGE),
			.secinfo_or_pcmd = (uintptr_t)&b->pcmd[i],
		};
		execute(&b->machine, ISA_ENCLS_EWB, (uintptr_t)&pageinfo,
			frame_pa(FIRST_FRAME + i), frame_pa(VA_FRAME) + 8 * i);
	}
}

static void page_in(struct bench *b)
{
	_Alignas(32) struct sgx_pageinfo pageinfo = { .secs = EPC_PA };

	for (size_t i = 0; i < b->options.nr_pages; i++) {
		pageinfo.linaddr = BASE + i * PAGE;
		pageinfo.srcpge = (uintptr_t)(b->outside + i * PAGE);
		pageinfo.secinfo_or_pcmd = (uintptr_t)&b->pcmd[i];
		execute(&b->machine, ISA_ENCLS_ELDU, (uintptr_t)&pageinfo,
			frame_pa(FIRST_FRAME + i), frame_pa(VA_FRAME) + 8 * i);
	}
}

static struct isa_gcm_message message(const struct bench *b, size_t i, const uint8_t iv[12],
				      const void *in, void *out)
{
	return (struct isa_gcm_message){
		.iv = iv,
		.aad = &b->pcmd[i],
		.aad_size = AAD_SIZE,
		.in = in,
		.out = out,
		.size = PAGE,
	};
}

static void seal(struct bench *b)
{
	uint8_t iv[12] = { 0 };

	for (size_t i = 0; i < b->options.nr_pages; i++) {
		struct isa_gcm_message msg = message(b, i, iv, b->plain + i * PAGE,
						     b->sealed + i * PAGE);

		b->iv[i] = ++b->nr_sealed;
		memcpy(iv, &b->iv[i], 8);
		isa_gcm_seal(b->gcm, &msg, b->tag[i]);
	}
}

static void open_sealed(struct bench *b)
{
	uint8_t iv[12] = { 0 };

	for (size_t i = 0; i < b->options.nr_pages; i++) {
		struct isa_gcm_message msg = message(b, i, iv, b->sealed + i * PAGE,
						     b->plain + i * PAGE);

		memcpy(iv, &b->iv[i], 8);
		if (!isa_gcm_open(b->gcm, &msg, b->tag[i]))
			fail("AES-GCM");
	}
}

/* --- measuring ----------------------------------------------------------- */

static void run_round(struct bench *b, size_t round)
{
	static void (*const phases[NR_PHASES])(struct bench *b) = {
		[EWB] = page_out, [SEAL] = seal, [ELDU] = page_in, [OPEN] = open_sealed,
	};

	block_pages(b);
	for (unsigned int i = 0; i < NR_PHASES; i++) {
		const double start = now_ns();

		phases[i](b);
		b->ns[i][round] = (now_ns() - start) / (double)b->options.nr_pages;
	}
}

static void report(const struct bench *b)
{
	double ns[NR_PHASES];
	FILE *f;

	for (unsigned int i = 0; i < NR_PHASES; i++)
		ns[i] = least(b->ns[i], b->options.nr_rounds);
	printf("%-44s %10s\n", "per page of 4096 bytes, least disturbed round", "ns");
	printf("%-44s %10.0f\n", "EWB", ns[EWB]);
	printf("%-44s %10.0f\n", "AES-128-GCM, encrypting", ns[SEAL]);
	printf("%-44s %10.3f   (goal: <= %.1f)\n", "ratio", ns[EWB] / ns[SEAL], MAX_RATIO);
	printf("%-44s %10.0f\n", "ELDU", ns[ELDU]);
	printf("%-44s %10.0f\n", "AES-128-GCM, decrypting", ns[OPEN]);
	printf("%-44s %10.3f   (goal: <= %.1f)\n", "ratio", ns[ELDU] / ns[OPEN], MAX_RATIO);
	if (!b->options.json)
		return;
	f = fopen(b->options.json, "w");
	if (!f)
		fail("writing the JSON file");
	fprintf(f,
		"{\"bench\": \"paging\", \"pages\": %zu, \"rounds\": %zu, \"ewb_ns\": %.1f, "
		"\"seal_ns\": %.1f, \"ewb_ratio\": %.4f, \"eldu_ns\": %.1f, \"open_ns\": %.1f, "
		"\"eldu_ratio\": %.4f, \"goal\": %.1f}\n",
		b->options.nr_pages, b->options.nr_rounds, ns[EWB], ns[SEAL], ns[EWB] / ns[SEAL],
		ns[ELDU], ns[OPEN], ns[ELDU] / ns[OPEN], MAX_RATIO);
	if (fclose(f))
		fail("writing the JSON file");
}

static void setup(struct bench *b)
{
	static const uint8_t key[16] = { 1 };
	const size_t n = b->options.nr_pages;

	bench_machine_init(&b->machine, n + FIRST_FRAME);
	b->outside = allocate(n * PAGE);
	b->plain = allocate(n * PAGE);
	b->sealed = allocate(n * PAGE);
	b->pcmd = allocate(n * sizeof(*b->pcmd));
	b->iv = allocate(n * sizeof(*b->iv));
	b->tag = allocate(n * sizeof(*b->tag));
	for (unsigned int i = 0; i < NR_PHASES; i++)
		b->ns[i] = allocate(b->options.nr_rounds * sizeof(double));
	b->gcm = isa_gcm_create();
	if (!b->gcm)
		fail("isa_gcm_create");
	isa_gcm_set_key(b->gcm, key);

	create_enclave(&b->machine);
	execute(&b->machine, ISA_ENCLS_EPA, PT_VA, frame_pa(VA_FRAME), 0);
	for (size_t i = 0; i < n; i++)
		add_page(&b->machine, FIRST_FRAME + i, i, b->plain + i * PAGE,
			 SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W);
}

static void finish(struct bench *b)
{
	bench_machine_finish(&b->machine);
	isa_gcm_destroy(b->gcm);
	for (unsigned int i = 0; i < NR_PHASES; i++)
		free(b->ns[i]);
	free(b->tag);
	free(b->iv);
	free(b->pcmd);
	free(b->sealed);
	free(b->plain);
	free(b->outside);
}

int main(int argc, char **argv)
{
	/* More than a cache's worth of pages measures memory, not the leaves. */
	struct bench b = { .options = { .nr_pages = 32, .nr_rounds = 2001 } };

	parse_options(argc, argv, &b.options);
	if (b.options.nr_pages > MAX_PAGES)
		fail("more pages than a VA page has slots:");
	setup(&b);
	for (size_t i = 0; i < b.options.nr_rounds; i++)
		run_round(&b, i);
	report(&b);
	finish(&b);
	return 0;
}
