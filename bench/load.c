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

#include "crypto.h"
#include "machine.h"
#include "timing.h"

#define CHUNK 256u
#define CHUNKS_PER_PAGE (PAGE / CHUNK)
#define BLOCKS_PER_PAGE (1 + 5 * CHUNKS_PER_PAGE)
#define STREAM_SIZE (64u * BLOCKS_PER_PAGE)

#define MAX_RATIO 1.10

struct bench {
	struct bench_machine machine;
	struct bench_options options;
	uint8_t *source;	/* nr_pages pages */
	uint8_t *stream;	/* nr_pages * STREAM_SIZE: what the processor hashes */
	double *load_ns, *raw_ns; /* [round]: per page */
};

/* --- the two things measured --------------------------------------------- */

static void load_pages(struct bench *b)
{
	for (size_t i = 0; i < b->options.nr_pages; i++) {
		add_page(&b->machine, i + 1, i, b->source + i * PAGE,
			 SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W);
		for (unsigned int j = 0; j < CHUNKS_PER_PAGE; j++)
			execute(&b->machine, ISA_ENCLS_EEXTEND, EPC_PA, frame_pa(i + 1) + j * CHUNK, 0);
	}
}

static void hash_streams(struct bench *b)
{
	uint32_t h[8];

	isa_sha256_init(h);
	for (size_t i = 0; i < b->options.nr_pages; i++)
		isa_sha256_blocks(h, b->stream + i * STREAM_SIZE, BLOCKS_PER_PAGE);
	/* Keep the result from being optimized away. */
	memcpy(b->stream, h, sizeof(h));
}

static void remove_pages(struct bench *b)
{
	for (size_t i = b->options.nr_pages + 1; i-- > 0;)
		execute(&b->machine, ISA_ENCLS_EREMOVE, 0, frame_pa(i), 0);
}

/* --- measuring ----------------------------------------------------------- */

static void run_round(struct bench *b, size_t round)
{
	double start, middle, end;

	create_enclave(&b->machine);
	start = now_ns();
	load_pages(b);
	middle = now_ns();
	hash_streams(b);
	end = now_ns();
	remove_pages(b);
	b->load_ns[round] = (middle - start) / (double)b->options.nr_pages;
	b->raw_ns[round] = (end - middle) / (double)b->options.nr_pages;
}

static void report(const struct bench *b, double load, double raw)
{
	FILE *f;

	printf("%-44s %10s\n", "per page of 4096 bytes, least disturbed round", "ns");
	printf("%-44s %10.0f\n", "EADD + 16 EEXTEND", load);
	printf("%-44s %10.0f\n", "SHA-256 of the same 5184 bytes", raw);
	printf("%-44s %10.3f   (goal: <= %.2f)\n", "ratio", load / raw, MAX_RATIO);
	printf("%-44s %10.0f\n", "MiB of enclave loaded per second", PAGE / load * 1e9 / (1 << 20));
	if (!b->options.json)
		return;
	f = fopen(b->options.json, "w");
	if (!f)
		fail("writing the JSON file");
	fprintf(f,
		"{\"bench\": \"load\", \"pages\": %zu, \"rounds\": %zu, \"load_ns_per_page\": %.1f, "
		"\"sha256_ns_per_page\": %.1f, \"ratio\": %.4f, \"goal\": %.2f}\n",
		b->options.nr_pages, b->options.nr_rounds, load, raw, load / raw, MAX_RATIO);
	if (fclose(f))
		fail("writing the JSON file");
}

static void setup(struct bench *b)
{
	bench_machine_init(&b->machine, b->options.nr_pages + 1);
	b->source = allocate(b->options.nr_pages * PAGE);
	b->stream = allocate(b->options.nr_pages * STREAM_SIZE);
	b->load_ns = allocate(b->options.nr_rounds * sizeof(double));
	b->raw_ns = allocate(b->options.nr_rounds * sizeof(double));
}

int main(int argc, char **argv)
{
	/* More than a cache's worth of pages measures memory, not the leaves. */
	struct bench b = { .options = { .nr_pages = 32, .nr_rounds = 1601 } };

	parse_options(argc, argv, &b.options);
	setup(&b);
	for (size_t i = 0; i < b.options.nr_rounds; i++)
		run_round(&b, i);
	report(&b, least(b.load_ns, b.options.nr_rounds), least(b.raw_ns, b.options.nr_rounds));
	bench_machine_finish(&b.machine);
	free(b.source);
	free(b.stream);
	free(b.load_ns);
	free(b.raw_ns);
	return 0;
}
