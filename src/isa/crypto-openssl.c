/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Crypto provider: OpenSSL.  Its EVP interfaces allocate and keep the running
 * SHA-256 state to themselves, so this uses the low-level ones, deprecated but
 * present in 3.x, and builds CMAC on the block cipher.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <string.h>

#include <openssl/aes.h>
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
