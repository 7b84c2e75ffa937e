/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The measurement of an enclave: SHA-256 over 64-byte blocks.  Each leaf adds
 * whole blocks, so between leaves SECS.MRENCLAVE holds the running state and
 * nothing else has to be kept.
 *
 * Source: SDM, ECREATE, EADD, EEXTEND and EINIT, the updates of MRENCLAVE.
 */
#include "internal.h"

#define TAG_ECREATE 0x0045544145524345ull
#define TAG_EADD 0x0000000044444145ull
#define TAG_EEXTEND 0x00444e4554584545ull

/* "ECREATE": SIZE is not aligned, hence bytes. */
struct ecreate_block {
	uint64_t tag;
	uint8_t ssaframesize[4];
	uint8_t size[8];
	uint8_t reserved[44];
};

struct eadd_block {
	uint64_t tag;
	uint64_t offset;
	uint8_t secinfo[48];
};

/* Header and data side by side: one run of the compression function. */
struct eextend_block {
	uint64_t tag;
	uint64_t offset;
	uint8_t reserved[48];
	uint8_t data[ISA_CHUNK_SIZE];
};

static_assert(sizeof(struct ecreate_block) == 64, "one block");
static_assert(sizeof(struct eadd_block) == 64, "one block");
static_assert(sizeof(struct eextend_block) == 5 * 64, "five blocks");

/* The page is 4096-aligned, so MRENCLAVE at 64 is aligned too. */
static uint32_t *running_hash(struct sgx_secs *secs)
{
	return (uint32_t *)(void *)secs->mrenclave;
}

/*
 * Leaves bring one block or five, and every run of the hash has to take up the
 * state and put it down again: so blocks wait until there are many.
 */
static void *next_blocks(struct sgx_secs *secs, size_t n)
{
	struct isa_secs_state *state = isa_secs_state(secs);
	void *blocks;

	if (state->nr_pending + n > ISA_MAX_PENDING) {
		isa_sha256_blocks(running_hash(secs), state->pending, state->nr_pending);
		state->nr_pending = 0;
	}
	blocks = state->pending[state->nr_pending];
	state->nr_pending += (uint32_t)n;
	state->nr_blocks += n;
	return blocks;
}

void isa_measure_ecreate(struct sgx_secs *secs)
{
	struct ecreate_block block = { .tag = TAG_ECREATE };

	memcpy(block.ssaframesize, &secs->ssaframesize, sizeof(block.ssaframesize));
	memcpy(block.size, &secs->size, sizeof(block.size));
	isa_sha256_init(running_hash(secs));
	isa_secs_state(secs)->nr_blocks = 0;
	isa_secs_state(secs)->nr_pending = 0;
	memcpy(next_blocks(secs, 1), &block, sizeof(block));
}

void isa_measure_eadd(struct sgx_secs *secs, uint64_t offset, const struct sgx_secinfo *secinfo)
{
	struct eadd_block block = { .tag = TAG_EADD, .offset = offset };

	memcpy(block.secinfo, secinfo, sizeof(block.secinfo));
	memcpy(next_blocks(secs, 1), &block, sizeof(block));
}

/*
 * The size of a chunk is an argument so that the library copies it, by the widest
 * registers there are, and not the compiler, by those that any processor has.
 */
void isa_measure_eextend(struct sgx_secs *secs, uint64_t offset, const void *chunk, size_t size)
{
	struct eextend_block *block = next_blocks(secs, sizeof(*block) / 64);

	block->tag = TAG_EEXTEND;
	block->offset = offset;
	memset(block->reserved, 0, sizeof(block->reserved));
	memcpy(block->data, chunk, size);
}

void isa_measure_final(struct sgx_secs *secs, uint8_t mrenclave[32])
{
	const struct isa_secs_state *state = isa_secs_state(secs);
	uint32_t h[8];

	memcpy(h, secs->mrenclave, sizeof(h));
	isa_sha256_blocks(h, state->pending, state->nr_pending);
	isa_sha256_final(h, state->nr_blocks, mrenclave);
}
