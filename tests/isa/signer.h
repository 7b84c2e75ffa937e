/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An enclave signer for tests: RSA-3072 keys made on first use, the same in
 * each run, and a measurement computed by plain SHA-256 over blocks written
 * here, so that the processor is not its own judge.
 */
#ifndef TESTS_ISA_SIGNER_H
#define TESTS_ISA_SIGNER_H

#include <stdbool.h>

#include <nettle/sha2.h>

#include <swsgx/arch.h>

#define ISA_NR_SIGNERS 3u

struct isa_signer;

/**
 * isa_signer_get() - the @id-th test key, below ISA_NR_SIGNERS.
 * Made when first asked for, in well under a second; never freed.  Not thread-safe.
 */
const struct isa_signer *isa_signer_get(unsigned int id);

/** isa_signer_hash() - SHA-256 of the modulus, as IA32_SGXLEPUBKEYHASH0..3 hold it. */
void isa_signer_hash(const struct isa_signer *signer, uint64_t hash[4]);

/**
 * isa_sigstruct_init() - constants, masks that enforce all attributes but
 * XFRM beyond x87 and SSE, and the rest 0.
 */
void isa_sigstruct_init(struct sgx_sigstruct *sig, const uint8_t mrenclave[32],
			const struct sgx_attributes *attributes, uint32_t miscselect);

/** isa_signer_sign() - MODULUS, EXPONENT, SIGNATURE, Q1 and Q2 of @sig as it stands. */
void isa_signer_sign(const struct isa_signer *signer, struct sgx_sigstruct *sig);

/**
 * isa_signer_sign_unreduced() - the same with s + n for SIGNATURE, and Q1, Q2 to match.
 * Return: false when they do not fit; another message may.
 */
bool isa_signer_sign_unreduced(const struct isa_signer *signer, struct sgx_sigstruct *sig);

/* MRENCLAVE in the making. */
struct isa_measurement {
	struct sha256_ctx sha;
};

void isa_measurement_ecreate(struct isa_measurement *m, uint32_t ssaframesize, uint64_t size);
/** @offset: from the enclave's base; @flags: SECINFO.FLAGS, R = W = X = 0 for a TCS. */
void isa_measurement_eadd(struct isa_measurement *m, uint64_t offset, uint64_t flags);
/** @offset: of the 256 bytes at @chunk, from the enclave's base. */
void isa_measurement_eextend(struct isa_measurement *m, uint64_t offset, const void *chunk);
/** isa_measurement_page() - EADD and 16 EEXTENDs. */
void isa_measurement_page(struct isa_measurement *m, uint64_t offset, uint64_t flags,
			  const void *page);
void isa_measurement_final(struct isa_measurement *m, uint8_t mrenclave[32]);

#endif /* TESTS_ISA_SIGNER_H */
