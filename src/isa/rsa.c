/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SIGSTRUCT's signature: s^3 mod n, without division.  The signer supplies the
 * quotients Q1 = floor(s^2 / n) and Q2 = floor((s^2 - Q1 n) s / n), so two
 * multiplications and a subtraction make each remainder, and a remainder out
 * of [0, n) shows that a quotient was wrong.
 *
 * Everything here is public, so time may depend on it.
 *
 * Source: SDM, EINIT; RFC 8017, 8.2.2 and 9.2.
 */
#include <string.h>

#include "crypto.h"

#define NR_LIMBS (SGX_RSA3072_SIZE / 8)

#define SIGNED_HEADER_SIZE 128u		/* up to MODULUS */
#define SIGNED_BODY_OFFSET 900u		/* MISCSELECT ... */
#define SIGNED_BODY_SIZE 128u		/* ... up to the reserved bytes at 1028 */

__extension__ typedef unsigned __int128 wide;

/* Little-endian numbers of 64-bit limbs. */
struct number {
	uint64_t limb[NR_LIMBS];
};

struct product {
	uint64_t limb[2 * NR_LIMBS];
};

static void load(struct number *x, const uint8_t bytes[SGX_RSA3072_SIZE])
{
	memcpy(x->limb, bytes, SGX_RSA3072_SIZE);
}

static void multiply(struct product *out, const struct number *a, const struct number *b)
{
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < NR_LIMBS; i++) {
		uint64_t carry = 0;

		for (size_t j = 0; j < NR_LIMBS; j++) {
			wide t = (wide)a->limb[i] * b->limb[j] + out->limb[i + j] + carry;

			out->limb[i + j] = (uint64_t)t;
			carry = (uint64_t)(t >> 64);
		}
		out->limb[i + NR_LIMBS] = carry;
	}
}

/* a -= b; true when that borrows, that is when b > a. */
static bool subtract(struct product *a, const struct product *b)
{
	uint64_t borrow = 0;

	for (size_t i = 0; i < 2 * NR_LIMBS; i++) {
		wide t = (wide)a->limb[i] - b->limb[i] - borrow;

		a->limb[i] = (uint64_t)t;
		borrow = (uint64_t)(t >> 64) & 1;
	}
	return borrow;
}

static bool is_less(const struct number *a, const struct number *b)
{
	for (size_t i = NR_LIMBS; i-- > 0;)
		if (a->limb[i] != b->limb[i])
			return a->limb[i] < b->limb[i];
	return false;
}

/* r = a b - q n; false when that is not in [0, n). */
static bool remainder_by_quotient(struct number *r, const struct number *a,
				  const struct number *b, const struct number *q,
				  const struct number *n)
{
	struct product ab, qn;

	multiply(&ab, a, b);
	multiply(&qn, q, n);
	if (subtract(&ab, &qn))
		return false;
	for (size_t i = NR_LIMBS; i < 2 * NR_LIMBS; i++)
		if (ab.limb[i])
			return false;
	memcpy(r->limb, ab.limb, sizeof(r->limb));
	return is_less(r, n);
}

/* EMSA-PKCS1-v1_5 of the signed bytes, big-endian. */
static void encode_expected(const struct sgx_sigstruct *sig, uint8_t em[SGX_RSA3072_SIZE])
{
	static const uint8_t digest_info[] = {
		0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
		0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
	};
	uint8_t *hash = em + SGX_RSA3072_SIZE - SGX_HASH_SIZE;
	uint8_t *info = hash - sizeof(digest_info);
	uint8_t message[SIGNED_HEADER_SIZE + SIGNED_BODY_SIZE];

	memcpy(message, sig, SIGNED_HEADER_SIZE);
	memcpy(message + SIGNED_HEADER_SIZE, (const uint8_t *)sig + SIGNED_BODY_OFFSET,
	       SIGNED_BODY_SIZE);

	memset(em, 0xff, SGX_RSA3072_SIZE);
	em[0] = 0x00;
	em[1] = 0x01;
	info[-1] = 0x00;
	memcpy(info, digest_info, sizeof(digest_info));
	isa_sha256(message, sizeof(message), hash);
}

static bool equals_big_endian(const struct number *x, const uint8_t bytes[SGX_RSA3072_SIZE])
{
	uint8_t little[SGX_RSA3072_SIZE];

	memcpy(little, x->limb, sizeof(little));
	for (size_t i = 0; i < SGX_RSA3072_SIZE; i++)
		if (little[i] != bytes[SGX_RSA3072_SIZE - 1 - i])
			return false;
	return true;
}

bool isa_rsa3072_verify(const struct sgx_sigstruct *sig)
{
	struct number n, s, q1, q2, r1, m;
	uint8_t em[SGX_RSA3072_SIZE];

	load(&n, sig->modulus);
	load(&s, sig->signature);
	load(&q1, sig->q1);
	load(&q2, sig->q2);
	if (!is_less(&s, &n))
		return false;
	if (!remainder_by_quotient(&r1, &s, &s, &q1, &n) ||
	    !remainder_by_quotient(&m, &r1, &s, &q2, &n))
		return false;
	encode_expected(sig, em);
	return equals_big_endian(&m, em);
}
