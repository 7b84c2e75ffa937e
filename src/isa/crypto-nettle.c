/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Crypto provider: GNU Nettle.  Its SHA-256 context is a public structure, so
 * the running state goes in and out by copying 32 bytes.
 */
#include <stdlib.h>
#include <string.h>

#include <nettle/cmac.h>
#include <nettle/gcm.h>
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

/* --- GCM ------------------------------------------------------------------ */

/* Only read once the key is set: what a message changes is on the stack. */
struct isa_gcm {
	struct aes128_ctx cipher;
	struct gcm_key key;
};

struct isa_gcm *isa_gcm_create(void)
{
	return calloc(1, sizeof(struct isa_gcm));
}

void isa_gcm_destroy(struct isa_gcm *gcm)
{
	free(gcm);
}

/* The type Nettle's modes call a cipher by. */
static void encrypt(const void *cipher, size_t n, uint8_t *dst, const uint8_t *src)
{
	aes128_encrypt(cipher, n, dst, src);
}

void isa_gcm_set_key(struct isa_gcm *gcm, const uint8_t key[16])
{
	aes128_set_encrypt_key(&gcm->cipher, key);
	gcm_set_key(&gcm->key, &gcm->cipher, encrypt);
}

static void begin(const struct isa_gcm *gcm, const struct isa_gcm_message *msg,
		  struct gcm_ctx *ctx)
{
	gcm_set_iv(ctx, &gcm->key, GCM_IV_SIZE, msg->iv);
	gcm_update(ctx, &gcm->key, msg->aad_size, msg->aad);
}

void isa_gcm_seal(struct isa_gcm *gcm, const struct isa_gcm_message *msg, uint8_t tag[16])
{
	struct gcm_ctx ctx;

	begin(gcm, msg, &ctx);
	gcm_encrypt(&ctx, &gcm->key, &gcm->cipher, encrypt, msg->size, msg->out, msg->in);
	gcm_digest(&ctx, &gcm->key, &gcm->cipher, encrypt, GCM_DIGEST_SIZE, tag);
}

bool isa_gcm_open(struct isa_gcm *gcm, const struct isa_gcm_message *msg, const uint8_t tag[16])
{
	uint8_t computed[GCM_DIGEST_SIZE];
	struct gcm_ctx ctx;

	begin(gcm, msg, &ctx);
	gcm_decrypt(&ctx, &gcm->key, &gcm->cipher, encrypt, msg->size, msg->out, msg->in);
	gcm_digest(&ctx, &gcm->key, &gcm->cipher, encrypt, sizeof(computed), computed);
	return isa_memeq(computed, tag, sizeof(computed));
}
