/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whole messages on top of the provider's compression function, and the
 * comparison of secrets.
 * Source: FIPS 180-4, 5.1.1 and 5.3.3.
 */
#include <string.h>

#include "crypto.h"

void isa_sha256_init(uint32_t h[8])
{
	static const uint32_t initial[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};

	memcpy(h, initial, sizeof(initial));
}

static void store_be(uint8_t *p, uint64_t v, unsigned int nr_bytes)
{
	for (unsigned int i = 0; i < nr_bytes; i++)
		p[i] = (uint8_t)(v >> 8 * (nr_bytes - 1 - i));
}

/* @tail, @n: the bytes after the last whole block, fewer than 64. */
static void finish(uint32_t h[8], uint64_t nr_bytes, const void *tail, size_t n,
		   uint8_t digest[32])
{
	uint8_t block[128] = { 0 };
	size_t nr_blocks = n < 56 ? 1 : 2;

	memcpy(block, tail, n);
	block[n] = 0x80;
	store_be(block + 64 * nr_blocks - 8, nr_bytes * 8, 8);
	isa_sha256_blocks(h, block, nr_blocks);
	for (int i = 0; i < 8; i++)
		store_be(digest + 4 * i, h[i], 4);
}

void isa_sha256_final(uint32_t h[8], uint64_t nr_blocks, uint8_t digest[32])
{
	finish(h, nr_blocks * 64, "", 0, digest);
}

void isa_sha256(const void *data, size_t n, uint8_t digest[32])
{
	const uint8_t *p = data;
	uint32_t h[8];

	isa_sha256_init(h);
	isa_sha256_blocks(h, p, n / 64);
	finish(h, n, p + (n & ~(size_t)63), n & 63, digest);
}

/* SHA-256 of the key, padded to a block of @pad, and then @data. */
static void hash_keyed(const uint8_t key[32], uint8_t pad, const void *data, size_t n,
		       uint8_t digest[32])
{
	uint8_t message[64 + ISA_HMAC_MAX];

	memset(message, pad, 64);
	for (int i = 0; i < 32; i++)
		message[i] ^= key[i];
	memcpy(message + 64, data, n);
	isa_sha256(message, 64 + n, digest);
}

void isa_hmac_sha256(const uint8_t key[32], const void *data, size_t n, uint8_t mac[32])
{
	uint8_t inner[32];

	hash_keyed(key, 0x36, data, n, inner);
	hash_keyed(key, 0x5c, inner, sizeof(inner), mac);
}

bool isa_memeq(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;
	uint8_t differ = 0;

	for (size_t i = 0; i < n; i++)
		differ |= x[i] ^ y[i];
	return !differ;
}
