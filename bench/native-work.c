/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Three kinds of work: one that keeps the processor's units busy, one that streams
 * through its caches, one that waits for memory and for page tables.
 *
 * Each is an OP_CALL of the test enclave: addr2 is its data, value how often.
 */
#include <stddef.h>
#include <stdint.h>

#include "enclave/op.h"
#include "native-work.h"

void work_sha256(struct test_op *op);
void work_matrix(struct test_op *op);
void work_chase(struct test_op *op);

/* --- SHA-256, FIPS 180-4 ----------------------------------------------------------- */

static const uint32_t k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static uint32_t rotate(uint32_t x, unsigned int n)
{
	return x >> n | x << (32 - n);
}

static void expand(uint32_t w[64], const uint32_t *block)
{
	for (unsigned int t = 0; t < 16; t++)
		w[t] = __builtin_bswap32(block[t]);
	for (unsigned int t = 16; t < 64; t++) {
		const uint32_t x = w[t - 15], y = w[t - 2];

		w[t] = (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10) + w[t - 7] +
		       (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) + w[t - 16];
	}
}

/* The state in registers: what goes through the stack is as fast as it happens to lie there. */
static void compress(uint32_t h[8], const uint32_t *block)
{
	uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], i = h[7];
	uint32_t w[64];

	expand(w, block);
	for (unsigned int t = 0; t < 64; t++) {
		const uint32_t one = i + k[t] + w[t] + ((e & f) ^ (~e & g)) +
				     (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25));
		const uint32_t two = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
				     ((a & b) ^ (a & c) ^ (b & c));

		i = g;
		g = f;
		f = e;
		e = d + one;
		d = c;
		c = b;
		b = a;
		a = one + two;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
	h[5] += f;
	h[6] += g;
	h[7] += i;
}

void work_sha256(struct test_op *op)
{
	const uint32_t *data = (const void *)(uintptr_t)op->addr2;
	uint32_t h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

	for (uint64_t n = 0; n < op->value; n++)
		for (size_t i = 0; i < SHA256_SIZE / sizeof(*data); i += 16)
			compress(h, data + i);
	op->result = h[0];
}

/* --- matrix product ------------------------------------------------------------------- */

void work_matrix(struct test_op *op)
{
	double *a = (void *)(uintptr_t)op->addr2;
	double *b = a + MATRIX_N * MATRIX_N, *c = b + MATRIX_N * MATRIX_N;

	for (uint64_t n = 0; n < op->value; n++)
		for (unsigned int i = 0; i < MATRIX_N; i++)
			for (unsigned int j = 0; j < MATRIX_N; j++) {
				double sum = 0;

				for (unsigned int l = 0; l < MATRIX_N; l++)
					sum += a[i * MATRIX_N + l] * b[l * MATRIX_N + j];
				c[i * MATRIX_N + j] = sum;
			}
	op->result = (uint64_t)c[MATRIX_N + 1];
}

/* --- pointer chasing -------------------------------------------------------------------- */

/* Each element holds the index of the next one. */
void work_chase(struct test_op *op)
{
	const uint32_t *next = (const void *)(uintptr_t)op->addr2;
	uint32_t at = 0;

	for (uint64_t n = 0; n < op->value; n++)
		at = next[at];
	op->result = at;
}
