/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MRENCLAVE computed outside the processor: what a signer must know before the
 * enclave exists anywhere.
 */
#ifndef HELLO_MEASURE_H
#define HELLO_MEASURE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct measure - a measurement in progress.
 * @md: SHA-256 over the 64-byte blocks so far.
 * @ok: false once any step failed; the later steps then do nothing.
 */
struct measure {
	EVP_MD_CTX *md;
	bool ok;
};

/**
 * measure_ecreate() - begin with the block ECREATE hashes.
 * @m: caller's storage; measure_final() releases what it holds.
 * @ssaframesize: pages.
 * @size: SECS.SIZE, bytes.
 */
void measure_ecreate(struct measure *m, uint32_t ssaframesize, uint64_t size);

/**
 * measure_page() - add what EADD, and sixteen times EEXTEND, hash for one page.
 * @m: between measure_ecreate() and measure_final().
 * @offset: of the page in the enclave, bytes.
 * @secinfo: SECINFO.FLAGS; a TCS has no rights in it.
 * @page: 4096 bytes; NULL for a page added without EEXTEND.
 */
void measure_page(struct measure *m, uint64_t offset, uint64_t secinfo, const uint8_t *page);

/**
 * measure_final() - end, and release what @m holds.
 * @m: not usable afterwards.
 * @mrenclave: the digest; undefined on failure.
 *
 * Return: false when libcrypto failed at any step.
 */
bool measure_final(struct measure *m, uint8_t mrenclave[32]);

#endif /* HELLO_MEASURE_H */
