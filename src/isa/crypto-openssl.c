/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Crypto provider: OpenSSL.  Its EVP interfaces allocate and keep the running
 * SHA-256 state to themselves, so this uses the low-level ones, deprecated but
 * present in 3.x, and builds CMAC on the block cipher.  GCM has no low-level
 * interface: its contexts are allocated with the key.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/aes.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "crypto.h"

void isa_sha256_blocks(uint32_t h[8], const void *data, size_t n)
{
	SHA256_CTX ctx;

	/* With no partial block pending ctx.data is never looked at. */
	memcpy(ctx.h, h, sizeof(ctx.h));
	ctx.Nl = 0;
	ctx.Nh = 0;
	ctx.num = 0;
	ctx.md_len = SHA256_DIGEST_LENGTH;
	SHA256_Update(&ctx, data, n * SHA256_CBLOCK);
	memcpy(h, ctx.h, sizeof(ctx.h));
}

/* Multiplication by x in GF(2^128) as CMAC has it. */
static void cmac_double(uint8_t k[16])
{
	uint8_t carry = k[0] >> 7;

	for (int i = 0; i < 15; i++)
		k[i] = (uint8_t)(k[i] << 1 | k[i + 1] >> 7);
	k[15] = (uint8_t)(k[15] << 1 ^ (carry ? 0x87 : 0));
}

static void xor_bytes(uint8_t *dst, const uint8_t *src, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] ^= src[i];
}

void isa_aes128_cmac(const uint8_t key[16], const void *data, size_t n, uint8_t mac[16])
{
	uint8_t subkey[16] = { 0 }, x[16] = { 0 };
	const uint8_t *p = data;
	AES_KEY aes;

	AES_set_encrypt_key(key, 128, &aes);
	AES_encrypt(subkey, subkey, &aes);
	cmac_double(subkey);

	for (; n > 16; n -= 16, p += 16) {
		xor_bytes(x, p, 16);
		AES_encrypt(x, x, &aes);
	}
	xor_bytes(x, p, n);
	if (n < 16) {
		x[n] ^= 0x80;
		cmac_double(subkey);
	}
	xor_bytes(x, subkey, 16);
	AES_encrypt(x, mac, &aes);
}

/* --- GCM ------------------------------------------------------------------ */

#define GCM_TAG_SIZE 16

/*
 * A context holds the scheduled key and the message at work, so each thread
 * needs one to itself.  There are more of them than processors that do
 * nothing but page; with all of them taken, one is free again as soon as one
 * page is done.
 */
#define NR_GCM_CONTEXTS 32u

struct gcm_context {
	_Alignas(64) atomic_flag busy;
	EVP_CIPHER_CTX *evp;
};

struct isa_gcm {
	struct gcm_context contexts[NR_GCM_CONTEXTS];
};

struct isa_gcm *isa_gcm_create(void)
{
	struct isa_gcm *gcm = aligned_alloc(_Alignof(struct isa_gcm), sizeof(*gcm));
	bool complete = true;

	if (!gcm)
		return NULL;
	for (unsigned int i = 0; i < NR_GCM_CONTEXTS; i++) {
		struct gcm_context *c = &gcm->contexts[i];

		atomic_flag_clear(&c->busy);
		c->evp = EVP_CIPHER_CTX_new();
		complete = complete && c->evp &&
			   EVP_EncryptInit_ex(c->evp, EVP_aes_128_gcm(), NULL, NULL, NULL);
	}
	if (!complete) {
		isa_gcm_destroy(gcm);
		return NULL;
	}
	return gcm;
}

void isa_gcm_destroy(struct isa_gcm *gcm)
{
	if (!gcm)
		return;
	for (unsigned int i = 0; i < NR_GCM_CONTEXTS; i++)
		EVP_CIPHER_CTX_free(gcm->contexts[i].evp);
	free(gcm);
}

/* With cipher and memory at hand these calls have no way left to fail. */
static void must(int ok)
{
	if (ok <= 0)
		abort();
}

void isa_gcm_set_key(struct isa_gcm *gcm, const uint8_t key[16])
{
	for (unsigned int i = 0; i < NR_GCM_CONTEXTS; i++)
		must(EVP_EncryptInit_ex(gcm->contexts[i].evp, NULL, NULL, key, NULL));
}

static struct gcm_context *context_acquire(struct isa_gcm *gcm)
{
	for (unsigned int i = 0;; i = (i + 1) % NR_GCM_CONTEXTS)
		if (!atomic_flag_test_and_set_explicit(&gcm->contexts[i].busy,
						       memory_order_acquire))
			return &gcm->contexts[i];
}

static void context_release(struct gcm_context *c)
{
	atomic_flag_clear_explicit(&c->busy, memory_order_release);
}

/* Everything but the tag. */
static void process(EVP_CIPHER_CTX *evp, const struct isa_gcm_message *msg, int encrypt)
{
	int n;

	must(EVP_CipherInit_ex(evp, NULL, NULL, NULL, msg->iv, encrypt));
	must(EVP_CipherUpdate(evp, NULL, &n, msg->aad, (int)msg->aad_size));
	must(EVP_CipherUpdate(evp, msg->out, &n, msg->in, (int)msg->size));
}

void isa_gcm_seal(struct isa_gcm *gcm, const struct isa_gcm_message *msg, uint8_t tag[16])
{
	struct gcm_context *c = context_acquire(gcm);
	uint8_t none[16];
	int n;

	process(c->evp, msg, 1);
	must(EVP_CipherFinal_ex(c->evp, none, &n));
	must(EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_SIZE, tag));
	context_release(c);
}

bool isa_gcm_open(struct isa_gcm *gcm, const struct isa_gcm_message *msg, const uint8_t tag[16])
{
	struct gcm_context *c = context_acquire(gcm);
	uint8_t expected[GCM_TAG_SIZE], none[16];
	bool good;
	int n;

	memcpy(expected, tag, sizeof(expected));
	process(c->evp, msg, 0);
	must(EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_SIZE, expected));
	good = EVP_CipherFinal_ex(c->evp, none, &n) > 0;
	context_release(c);
	return good;
}
