/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SIGSTRUCT, the enclave's certificate: made and signed here, checked by EINIT.
 */
#ifndef HELLO_SIGSTRUCT_H
#define HELLO_SIGSTRUCT_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "sgx-arch.h"

/**
 * sigstruct_generate_key() - make an RSA-3072 key with exponent 3.
 *
 * Return: a key the caller frees with EVP_PKEY_free(); NULL when libcrypto
 * failed.
 */
EVP_PKEY *sigstruct_generate_key(void);

/**
 * sigstruct_init() - a SIGSTRUCT for a 64-bit enclave with x87 and SSE state.
 * @sig: overwritten; every mask demands exactly that.
 * @mrenclave: becomes ENCLAVEHASH.
 */
void sigstruct_init(struct sigstruct *sig, const uint8_t mrenclave[32]);

/**
 * sigstruct_sign() - fill in MODULUS, EXPONENT, SIGNATURE, Q1 and Q2.
 * @sig: all other fields final.
 * @key: from sigstruct_generate_key().
 *
 * Return: false when libcrypto failed or the key is not RSA-3072 with e = 3.
 */
bool sigstruct_sign(struct sigstruct *sig, EVP_PKEY *key);

#endif /* HELLO_SIGSTRUCT_H */
