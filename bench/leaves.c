/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the way to a leaf costs, and what leaves an enclave executes often
 * cost: a leaf that finds nothing to do (EREMOVE of an unused page, EBLOCK of
 * one), EGETKEY and EREPORT.  The unit is AES-128-CMAC of 384 bytes, the MAC of
 * one report.
 *
 * usage: leaves [--json FILE] [--rounds N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "machine.h"
#include "timing.h"

#define CALLS 256u
#define MAX_NULL_NS 50.0

/* Frames: the SECS, two pages of the enclave, one unused. */
enum { INPUT = 1, OUTPUT, UNUSED, NR_FRAMES };

enum what { CMAC, NULL_LEAF, EBLOCK, EGETKEY, EREPORT, NR_WHAT };

struct bench {
	struct bench_machine machine;
	struct bench_options options;
	struct isa_lp encl;		/* inside the enclave */
	uint8_t key[16], mac[16], report[384];
};

/* The enclave sees its pages at their addresses. */
static bool encl_translate(void *ctx, uint64_t la, bool write, uint64_t *pa,
			   struct isa_outcome *fault)
{
	*pa = frame_pa((la - BASE) / PAGE + INPUT) + la % PAGE;
	return true;
}

static const struct isa_mmu encl_mmu = { .translate = encl_translate };

static void cmac(struct bench *b)
{
	isa_aes128_cmac(b->key, b->report, sizeof(b->report), b->mac);
}

static void null_leaf(struct bench *b)
{
	execute(&b->machine, ISA_ENCLS_EREMOVE, 0, frame_pa(UNUSED), 0);
}

static void eblock(struct bench *b)
{
	b->machine.lp.rcx = frame_pa(UNUSED);
	if (isa_encls(&b->machine.lp, ISA_ENCLS_EBLOCK).code != SGX_PG_INVLD)
		fail("EBLOCK");
}

static void enclu(struct bench *b, enum isa_leaf leaf)
{
	b->encl.rbx = BASE;
	b->encl.rcx = leaf == ISA_ENCLU_EREPORT ? BASE + 512 : BASE + PAGE;
	b->encl.rdx = BASE + PAGE;
	if (!isa_is_done(isa_enclu(&b->encl, leaf)))
		fail(isa_leaf_name(ISA_ENCLU, leaf));
}

static void egetkey(struct bench *b)
{
	enclu(b, ISA_ENCLU_EGETKEY);
}

static void ereport(struct bench *b)
{
	enclu(b, ISA_ENCLU_EREPORT);
}

static double run_round(struct bench *b, void (*call)(struct bench *b))
{
	const double start = now_ns();

	for (unsigned int i = 0; i < CALLS; i++)
		call(b);
	return (now_ns() - start) / CALLS;
}

static void report(const struct bench *b, const double ns[NR_WHAT])
{
	static const char *const names[NR_WHAT] = {
		[CMAC] = "AES-128-CMAC of 384 bytes",
		[NULL_LEAF] = "EREMOVE of an unused page",
		[EBLOCK] = "EBLOCK of an unused page",
		[EGETKEY] = "EGETKEY, a report key",
		[EREPORT] = "EREPORT",
	};
	FILE *f;

	printf("%-32s %10s %12s %10s\n", "least disturbed round", "ns", "per second", "CMACs");
	for (unsigned int i = 0; i < NR_WHAT; i++)
		printf("%-32s %10.1f %12.0f %10.2f%s\n", names[i], ns[i], 1e9 / ns[i],
		       ns[i] / ns[CMAC], i == NULL_LEAF ? "   (goal: < 50 ns)" : "");
	if (!b->options.json)
		return;
	f = fopen(b->options.json, "w");
	if (!f)
		fail("writing the JSON file");
	fprintf(f,
		"{\"bench\": \"leaves\", \"rounds\": %zu, \"cmac_ns\": %.1f, \"null_leaf_ns\": %.1f, "
		"\"eblock_ns\": %.1f, \"egetkey_ns\": %.1f, \"ereport_ns\": %.1f, "
		"\"egetkey_per_s\": %.0f, \"ereport_per_s\": %.0f, \"null_leaf_goal_ns\": %.1f}\n",
		b->options.nr_rounds, ns[CMAC], ns[NULL_LEAF], ns[EBLOCK], ns[EGETKEY],
		ns[EREPORT], 1e9 / ns[EGETKEY], 1e9 / ns[EREPORT], MAX_NULL_NS);
	if (fclose(f))
		fail("writing the JSON file");
}

static void setup(struct bench *b)
{
	const uint64_t rw = SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W;
	_Alignas(4096) uint8_t input[PAGE] = { 0 };
	struct sgx_keyrequest *request = (void *)input;

	/* Zeros are a TARGETINFO; a KEYREQUEST for a report key differs in its name. */
	bench_machine_init(&b->machine, NR_FRAMES);
	create_enclave(&b->machine);
	request->keyname = KEY_REPORT;
	add_page(&b->machine, INPUT, 0, input, rw);
	add_page(&b->machine, OUTPUT, 1, input, rw);
	/* Signatures are another subject. */
	atomic_store(&isa_secs_state((struct sgx_secs *)(void *)b->machine.epc)->initialized, 1);
	isa_lp_init(&b->encl, b->machine.m, &encl_mmu, b, 3);
	b->encl.secs_frame = 0;
}

int main(int argc, char **argv)
{
	static void (*const calls[NR_WHAT])(struct bench *b) = {
		[CMAC] = cmac, [NULL_LEAF] = null_leaf, [EBLOCK] = eblock,
		[EGETKEY] = egetkey, [EREPORT] = ereport,
	};
	struct bench b = { .options = { .nr_rounds = 501 } };
	double ns[NR_WHAT] = { 0 };

	parse_options(argc, argv, &b.options);
	setup(&b);
	for (size_t round = 0; round < b.options.nr_rounds; round++)
		for (unsigned int i = 0; i < NR_WHAT; i++) {
			const double t = run_round(&b, calls[i]);

			if (!round || t < ns[i])
				ns[i] = t;
		}
	report(&b, ns);
	bench_machine_finish(&b.machine);
	return 0;
}
