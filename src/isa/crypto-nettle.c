/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Crypto provider: GNU Nettle.  Its SHA-256 context is a public structure, so
 * the running state goes in and out by copying 32 bytes.
 */
#include <string.h>

#include <nettle/cmac.h>
#include <nettle/sha2.h>

#include "crypto.h"

void isa_sha256_blocks(uint32_t h[8], const void *data, size_t n)
{
	struct sha256_ctx ctx;

	/* With no partial block pending ctx.block is never looked at. */
	memcpy(ctx.state, h, sizeof(ctx.state));
	ctx.count = 0;
	ctx.index = 0;
	sha256_update(&ctx, n * SHA256_BLOCK_SIZE, data);
	memcpy(h, ctx.state, sizeof(ctx.state));
}

void isa_aes128_cmac(const uint8_t key[16], const void *data, size_t n, uint8_t mac[16])
{
	struct cmac_aes128_ctx ctx;

	cmac_aes128_set_key(&ctx, key);
	cmac_aes128_update(&ctx, n, data);
	cmac_aes128_digest(&ctx, 16, mac);
}
