/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signing a SIGSTRUCT.  The signature is RSA-3072 with exponent 3, PKCS#1 v1.5
 * and SHA-256; Q1 and Q2 are quotients that spare the processor a division.
 *
 * Source: SDM volume 3D, "Enclave Signature Structure (SIGSTRUCT)".
 */
#include "sigstruct.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <string.h>
#include <time.h>

#define RSA_BYTES 384

EVP_PKEY *sigstruct_generate_key(void)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_RSA, NULL);
	BIGNUM *three = BN_new();
	EVP_PKEY *key = NULL;

	if (!ctx || !three || !BN_set_word(three, 3))
		goto out;
	if (EVP_PKEY_keygen_init(ctx) <= 0 ||
	    EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 8 * RSA_BYTES) <= 0 ||
	    EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, three) <= 0 ||
	    EVP_PKEY_keygen(ctx, &key) <= 0)
		key = NULL;
out:
	BN_free(three);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

/* DATE is in decimal digits, one a nibble. */
static uint32_t date_today(void)
{
	const time_t now = time(NULL);
	uint32_t decimal, bcd = 0;
	struct tm tm;

	gmtime_r(&now, &tm);
	decimal = (uint32_t)(tm.tm_year + 1900) * 10000 + (uint32_t)(tm.tm_mon + 1) * 100 +
		  (uint32_t)tm.tm_mday;
	for (unsigned int shift = 0; shift < 32; shift += 4, decimal /= 10)
		bcd |= decimal % 10 << shift;
	return bcd;
}

void sigstruct_init(struct sigstruct *sig, const uint8_t mrenclave[32])
{
	static const uint8_t header[16] = { 0x06, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 0x01 };
	static const uint8_t header2[16] = { 0x01, 0x01, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 0x01 };

	memset(sig, 0, sizeof(*sig));
	memcpy(sig->header, header, sizeof(header));
	memcpy(sig->header2, header2, sizeof(header2));
	sig->date = date_today();
	sig->miscmask = UINT32_MAX;
	sig->attributes = ATTR_MODE64BIT;
	sig->attributemask = ~(uint64_t)1; /* all but INIT, which EINIT sets */
	sig->xfrm = XFRM_X87_SSE;
	sig->xfrmmask = UINT64_MAX;
	memcpy(sig->enclavehash, mrenclave, 32);
}

/* Signs the two parts of SIGSTRUCT that are signed; @raw is big-endian. */
static bool sign_raw(const struct sigstruct *sig, EVP_PKEY *key, uint8_t raw[RSA_BYTES])
{
	const uint8_t *bytes = (const uint8_t *)sig;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t len = RSA_BYTES;
	bool ok;

	ok = md && EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
	     EVP_DigestSignUpdate(md, bytes, 128) == 1 &&
	     EVP_DigestSignUpdate(md, bytes + 900, 128) == 1 &&
	     EVP_DigestSignFinal(md, raw, &len) == 1 && len == RSA_BYTES;
	EVP_MD_CTX_free(md);
	return ok;
}

/* q1 = s^2 / n, q2 = (s^2 % n) * s / n */
static bool fill_numbers(struct sigstruct *sig, const BIGNUM *n, const BIGNUM *s)
{
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *q = BN_new(), *r = BN_new();
	bool ok;

	ok = ctx && q && r && BN_sqr(r, s, ctx) && BN_div(q, r, r, n, ctx) &&
	     BN_bn2lebinpad(q, sig->q1, RSA_BYTES) == RSA_BYTES &&
	     BN_mul(r, r, s, ctx) && BN_div(q, NULL, r, n, ctx) &&
	     BN_bn2lebinpad(q, sig->q2, RSA_BYTES) == RSA_BYTES &&
	     BN_bn2lebinpad(n, sig->modulus, RSA_BYTES) == RSA_BYTES &&
	     BN_bn2lebinpad(s, sig->signature, RSA_BYTES) == RSA_BYTES;
	BN_free(q);
	BN_free(r);
	BN_CTX_free(ctx);
	return ok;
}

bool sigstruct_sign(struct sigstruct *sig, EVP_PKEY *key)
{
	BIGNUM *n = NULL, *e = NULL, *s = NULL;
	uint8_t raw[RSA_BYTES];
	bool ok = false;

	if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) != 1 ||
	    EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) != 1)
		goto out;
	if (BN_num_bytes(n) != RSA_BYTES || !BN_is_word(e, 3) || !sign_raw(sig, key, raw))
		goto out;
	s = BN_bin2bn(raw, RSA_BYTES, NULL);
	sig->exponent = 3;
	ok = s && fill_numbers(sig, n, s);
out:
	BN_free(n);
	BN_free(e);
	BN_free(s);
	return ok;
}
