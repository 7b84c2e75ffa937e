/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cryptography leaves stand on.  The upper half is what a provider
 * implements: a few functions for any thread, of which only isa_gcm_create()
 * allocates.  One provider is linked; crypto-nettle.c and crypto-openssl.c are
 * two, and a program that embeds the processor may bring a third.  The lower
 * half is ours and sits on it.
 */
#ifndef SWSGX_ISA_CRYPTO_H
#define SWSGX_ISA_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <swsgx/arch.h>
#include <swsgx/isa.h>		/* isa_sha256() */

/* --- the provider -------------------------------------------------------- */

/**
 * isa_sha256_blocks() - the SHA-256 compression function over whole blocks.
 * @h: the running state, eight 32-bit words in the host's byte order.
 * @n: number of 64-byte blocks at @data.
 * Source: FIPS 180-4, 6.2.2.
 */
void isa_sha256_blocks(uint32_t h[8], const void *data, size_t n);

/**
 * isa_aes128_cmac() - AES-128-CMAC of @n bytes at @data.
 * Source: NIST SP 800-38B.
 */
void isa_aes128_cmac(const uint8_t key[16], const void *data, size_t n, uint8_t mac[16]);

/*
 * AES-128-GCM under one key that many messages share, each with an
 * initialization vector of its own.  The key is scheduled once.
 */
struct isa_gcm;

/* One message.  @in and @out may be the same. */
struct isa_gcm_message {
	const uint8_t *iv;		/* 12 bytes */
	const void *aad;		/* authenticated, not encrypted */
	size_t aad_size;
	const void *in;
	void *out;
	size_t size;			/* of @in and of @out */
};

/** isa_gcm_create() - room for a key; NULL without memory. */
struct isa_gcm *isa_gcm_create(void);

/** isa_gcm_destroy() - NULL is fine. */
void isa_gcm_destroy(struct isa_gcm *gcm);

/** isa_gcm_set_key() - nobody may be using @gcm. */
void isa_gcm_set_key(struct isa_gcm *gcm, const uint8_t key[16]);

/**
 * isa_gcm_seal() - encrypt @msg and authenticate it with its @aad.
 * Context: any number of threads at a time.
 * Source: NIST SP 800-38D.
 */
void isa_gcm_seal(struct isa_gcm *gcm, const struct isa_gcm_message *msg, uint8_t tag[16]);

/**
 * isa_gcm_open() - decrypt @msg; as isa_gcm_seal().
 * Return: is @tag right?  If not, what is in msg->out means nothing.
 */
bool isa_gcm_open(struct isa_gcm *gcm, const struct isa_gcm_message *msg, const uint8_t tag[16]);

/* --- on top of it -------------------------------------------------------- */

/** isa_sha256_init() - the initial hash value. */
void isa_sha256_init(uint32_t h[8]);

/** isa_sha256_final() - pad and finish a message of @nr_blocks whole blocks. */
void isa_sha256_final(uint32_t h[8], uint64_t nr_blocks, uint8_t digest[32]);

#define ISA_HMAC_MAX 256u

/**
 * isa_hmac_sha256() - HMAC-SHA-256 of at most ISA_HMAC_MAX bytes at @data.
 * Source: RFC 2104.
 */
void isa_hmac_sha256(const uint8_t key[32], const void *data, size_t n, uint8_t mac[32]);

/** isa_memeq() - equal?  In time that depends on @n only. */
bool isa_memeq(const void *a, const void *b, size_t n);

/**
 * isa_rsa3072_verify() - is SIGSTRUCT's signature right?
 * RSA-3072, exponent 3, PKCS #1 v1.5 with SHA-256, by means of Q1 and Q2:
 * no division.  A wrong Q1 or Q2 fails.
 */
bool isa_rsa3072_verify(const struct sgx_sigstruct *sig);

#endif /* SWSGX_ISA_CRYPTO_H */
