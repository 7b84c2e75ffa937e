/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RSA by the book, with GMP: what a signing tool does for a SIGSTRUCT.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <gmp.h>

#include "signer.h"

struct isa_signer {
	mpz_t n, d;
	uint8_t modulus[SGX_RSA3072_SIZE];
	bool made;
};

static void store_le(uint8_t out[SGX_RSA3072_SIZE], const mpz_t x)
{
	size_t n;

	memset(out, 0, SGX_RSA3072_SIZE);
	assert(mpz_sizeinbase(x, 2) <= 8 * SGX_RSA3072_SIZE);
	mpz_export(out, &n, -1, 1, -1, 0, x);
}

/* A prime of 1536 bits with the two top bits set, and 3 no divisor of p - 1. */
static void make_prime(mpz_t p, gmp_randstate_t random)
{
	mpz_urandomb(p, random, 1536);
	mpz_setbit(p, 1535);
	mpz_setbit(p, 1534);
	mpz_setbit(p, 0);
	while (mpz_fdiv_ui(p, 3) != 2)
		mpz_add_ui(p, p, 2);
	/* Enough for a test key: one round after trial division. */
	while (!mpz_probab_prime_p(p, 1))
		mpz_add_ui(p, p, 6);
}

static void make_key(struct isa_signer *signer, unsigned int id)
{
	gmp_randstate_t random;
	mpz_t p, q, phi, e;

	gmp_randinit_mt(random);
	gmp_randseed_ui(random, 3072 + id);
	mpz_inits(p, q, phi, e, signer->n, signer->d, NULL);
	make_prime(p, random);
	make_prime(q, random);
	mpz_mul(signer->n, p, q);
	mpz_sub_ui(p, p, 1);
	mpz_sub_ui(q, q, 1);
	mpz_mul(phi, p, q);
	mpz_set_ui(e, 3);
	assert(mpz_invert(signer->d, e, phi));
	store_le(signer->modulus, signer->n);
	mpz_clears(p, q, phi, e, NULL);
	gmp_randclear(random);
	signer->made = true;
}

const struct isa_signer *isa_signer_get(unsigned int id)
{
	static struct isa_signer signers[ISA_NR_SIGNERS];

	assert(id < ISA_NR_SIGNERS);
	if (!signers[id].made)
		make_key(&signers[id], id);
	return &signers[id];
}

static void sha256_of(const void *data, size_t n, uint8_t digest[32])
{
	struct sha256_ctx sha;

	sha256_init(&sha);
	sha256_update(&sha, n, data);
	sha256_digest(&sha, 32, digest);
}

void isa_signer_hash(const struct isa_signer *signer, uint64_t hash[4])
{
	uint8_t digest[32];

	sha256_of(signer->modulus, sizeof(signer->modulus), digest);
	memcpy(hash, digest, sizeof(digest));
}

void isa_sigstruct_init(struct sgx_sigstruct *sig, const uint8_t mrenclave[32],
			const struct sgx_attributes *attributes, uint32_t miscselect)
{
	static const uint8_t header[16] = "\x06\0\0\0\xe1\0\0\0\0\0\x01\0\0\0\0";
	static const uint8_t header2[16] = "\x01\x01\0\0\x60\0\0\0\x60\0\0\0\x01\0\0";

	memset(sig, 0, sizeof(*sig));
	memcpy(sig->header, header, sizeof(header));
	memcpy(sig->header2, header2, sizeof(header2));
	sig->date = 0x20240229;
	sig->miscselect = miscselect;
	sig->miscmask = UINT32_MAX;
	sig->attributes = *attributes;
	sig->attributemask.flags = ~0ull;
	sig->attributemask.xfrm = XFRM_X87_SSE;
	memcpy(sig->enclavehash, mrenclave, sizeof(sig->enclavehash));
	sig->isvprodid = 7;
	sig->isvsvn = 5;
}

/* The encoded message of @sig as a number. */
static void encode(mpz_t em, const struct sgx_sigstruct *sig)
{
	static const uint8_t info[19] =
		"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
	uint8_t bytes[SGX_RSA3072_SIZE], message[256];

	memcpy(message, sig, 128);
	memcpy(message + 128, (const uint8_t *)sig + 900, 128);
	memset(bytes, 0xff, sizeof(bytes));
	bytes[0] = 0;
	bytes[1] = 1;
	bytes[384 - 32 - 19 - 1] = 0;
	memcpy(bytes + 384 - 32 - 19, info, 19);
	sha256_of(message, sizeof(message), bytes + 384 - 32);
	mpz_import(em, sizeof(bytes), 1, 1, 1, 0, bytes);
}

/* @add_n: leave SIGNATURE unreduced.  Return: do the three numbers fit? */
static bool sign(const struct isa_signer *signer, struct sgx_sigstruct *sig, bool add_n)
{
	mpz_t s, q1, q2, r;
	bool fits;

	memcpy(sig->modulus, signer->modulus, sizeof(sig->modulus));
	sig->exponent = 3;
	mpz_inits(s, q1, q2, r, NULL);
	encode(r, sig);
	mpz_powm(s, r, signer->d, signer->n);
	if (add_n)
		mpz_add(s, s, signer->n);
	mpz_mul(r, s, s);
	mpz_fdiv_qr(q1, r, r, signer->n);
	mpz_mul(r, r, s);
	mpz_fdiv_q(q2, r, signer->n);
	fits = mpz_sizeinbase(s, 2) <= 3072 && mpz_sizeinbase(q1, 2) <= 3072 &&
	       mpz_sizeinbase(q2, 2) <= 3072;
	if (fits) {
		store_le(sig->signature, s);
		store_le(sig->q1, q1);
		store_le(sig->q2, q2);
	}
	mpz_clears(s, q1, q2, r, NULL);
	return fits;
}

void isa_signer_sign(const struct isa_signer *signer, struct sgx_sigstruct *sig)
{
	bool fits = sign(signer, sig, false);

	assert(fits);
	(void)fits;
}

bool isa_signer_sign_unreduced(const struct isa_signer *signer, struct sgx_sigstruct *sig)
{
	return sign(signer, sig, true);
}

/* --- measurement --------------------------------------------------------- */

static void put_le(uint8_t *p, uint64_t v, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

void isa_measurement_ecreate(struct isa_measurement *m, uint32_t ssaframesize, uint64_t size)
{
	uint8_t block[64] = "ECREATE";

	put_le(block + 8, ssaframesize, 4);
	put_le(block + 12, size, 8);
	sha256_init(&m->sha);
	sha256_update(&m->sha, sizeof(block), block);
}

void isa_measurement_eadd(struct isa_measurement *m, uint64_t offset, uint64_t flags)
{
	uint8_t block[64] = "EADD";

	put_le(block + 8, offset, 8);
	put_le(block + 16, flags, 8);
	sha256_update(&m->sha, sizeof(block), block);
}

void isa_measurement_eextend(struct isa_measurement *m, uint64_t offset, const void *chunk)
{
	uint8_t block[64] = "EEXTEND";

	put_le(block + 8, offset, 8);
	sha256_update(&m->sha, sizeof(block), block);
	sha256_update(&m->sha, 256, chunk);
}

void isa_measurement_page(struct isa_measurement *m, uint64_t offset, uint64_t flags,
			  const void *page)
{
	isa_measurement_eadd(m, offset, flags);
	for (unsigned int i = 0; i < SGX_PAGE_SIZE; i += 256)
		isa_measurement_eextend(m, offset + i, (const uint8_t *)page + i);
}

void isa_measurement_final(struct isa_measurement *m, uint8_t mrenclave[32])
{
	sha256_digest(&m->sha, 32, mrenclave);
}
