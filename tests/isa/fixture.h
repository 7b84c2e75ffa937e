/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small machine with two EPC sections, an operating system that sees the EPC
 * at its physical addresses and everything else at the host's, and helpers
 * that issue leaves and build enclaves.
 */
#ifndef TESTS_ISA_FIXTURE_H
#define TESTS_ISA_FIXTURE_H

#include <stdarg.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <swsgx/isa.h>

#include "signer.h"

#define FIXTURE_SECTION_PAGES 32u
#define FIXTURE_NR_FRAMES (2 * FIXTURE_SECTION_PAGES)
#define FIXTURE_PA0 0x10000000ull
#define FIXTURE_PA1 0x20000000ull
/* An address without translation: ordinary #PF. */
#define FIXTURE_HOLE 0x0dead000ull

/* The enclave isa_fixture_build() makes. */
#define FIXTURE_BASE 0x700000000000ull
#define FIXTURE_SIZE 0x10000ull
enum fixture_frame {	/* its frames; page i lies at BASE + (i - 1) * 4096 */
	FIXTURE_SECS = 0,
	FIXTURE_TCS = 1,
	FIXTURE_SSA = 2,
	FIXTURE_RW = 3,
	FIXTURE_RX = 4,
	FIXTURE_FREE = 5,	/* the first frame it leaves unused */
};

struct isa_fixture {
	struct isa_machine *m;
	struct isa_lp os;		/* CPL 0 */
	struct isa_lp encl;		/* CPL 3, outside until isa_fixture_start() */
	uint8_t *epc;
	/* The enclave's page table: la[i] translates to frame i. */
	uint64_t la[FIXTURE_NR_FRAMES];
	bool readonly[FIXTURE_NR_FRAMES];
	bool unmapped[FIXTURE_NR_FRAMES];	/* where la[i] is: not present */
	struct isa_encl_block blk;
	/* Operands, aligned as leaves want them. */
	alignas(4096) uint8_t page[SGX_PAGE_SIZE];
	alignas(4096) struct sgx_sigstruct sig;
	alignas(512) struct sgx_einittoken token;
	alignas(64) struct sgx_secinfo secinfo;
	alignas(32) struct sgx_pageinfo pageinfo;
};

/** isa_fixture_create() - @profile: NULL for the default one. */
struct isa_fixture *isa_fixture_create(const char *profile);

/** isa_fixture_create_seeded() - of another seed, owner, power cycle; the default is 1, 2, 3. */
struct isa_fixture *isa_fixture_create_seeded(uint8_t seed, uint8_t owner_epoch,
					      uint8_t boot_random);

/** isa_fixture_create_xsave() - a machine whose AVX state ends at @avx_end in an XSAVE area. */
struct isa_fixture *isa_fixture_create_xsave(uint32_t avx_end);

/** isa_fixture_create_amx() - a machine of a host whose XCR0 has AMX. */
struct isa_fixture *isa_fixture_create_amx(void);
void isa_fixture_destroy(struct isa_fixture *f);

/** isa_fixture_la() - where the operating system sees @frame. */
uint64_t isa_fixture_la(const struct isa_fixture *f, uint64_t frame);

/** isa_fixture_contents() - the 4096 bytes of @frame, behind the processor's back. */
void *isa_fixture_contents(struct isa_fixture *f, uint64_t frame);

/** isa_fixture_default_secs() - a legal 64-bit debug enclave of FIXTURE_SIZE. */
void isa_fixture_default_secs(struct sgx_secs *secs);

struct isa_outcome isa_fixture_ecreate(struct isa_fixture *f, uint64_t frame,
				       const struct sgx_secs *secs);
struct isa_outcome isa_fixture_eadd(struct isa_fixture *f, uint64_t frame, uint64_t secs_frame,
				    uint64_t linaddr, const void *src, uint64_t flags);
struct isa_outcome isa_fixture_eextend(struct isa_fixture *f, uint64_t secs_frame,
				       uint64_t frame, unsigned int offset);
/** @token: NULL for one that is not valid. */
struct isa_outcome isa_fixture_einit(struct isa_fixture *f, uint64_t secs_frame,
				     const struct sgx_sigstruct *sig,
				     const struct sgx_einittoken *token);
struct isa_outcome isa_fixture_eremove(struct isa_fixture *f, uint64_t frame);

/** isa_fixture_source() - what isa_fixture_build() puts into @frame. */
void isa_fixture_source(uint64_t frame, uint8_t page[SGX_PAGE_SIZE]);

/** isa_fixture_flags() - with which SECINFO.FLAGS. */
uint64_t isa_fixture_flags(uint64_t frame);

/**
 * isa_fixture_build() - ECREATE, EADD and EEXTEND of the enclave above.
 * @secs: NULL for isa_fixture_default_secs(); base, size and SSAFRAMESIZE as there.
 */
void isa_fixture_build(struct isa_fixture *f, const struct sgx_secs *secs);

/** isa_fixture_mrenclave() - what it must measure, by the signer's own arithmetic. */
void isa_fixture_mrenclave(uint8_t mrenclave[32]);

/** isa_fixture_sigstruct() - @f->sig: a signed SIGSTRUCT for it, and the launch-key hash. */
void isa_fixture_sigstruct(struct isa_fixture *f, const struct sgx_secs *secs,
			   unsigned int signer);

/** isa_fixture_start() - build, sign, EINIT; @f->encl is inside the enclave then. */
void isa_fixture_start(struct isa_fixture *f, const struct sgx_secs *secs, unsigned int signer);

/* --- pages of a running enclave, the one isa_fixture_start() leaves -------- */

/* Where SECINFO operands of its leaves are, in FIXTURE_RW. */
#define FIXTURE_SECINFO_LA (FIXTURE_BASE + 0x2f00)

/** isa_fixture_eaug() - and let @linaddr translate to @frame. */
struct isa_outcome isa_fixture_eaug(struct isa_fixture *f, uint64_t frame, uint64_t linaddr);
struct isa_outcome isa_fixture_emodpr(struct isa_fixture *f, uint64_t frame, uint64_t flags);
struct isa_outcome isa_fixture_emodt(struct isa_fixture *f, uint64_t frame, uint64_t flags);

/** isa_fixture_secinfo() - write the operand at FIXTURE_SECINFO_LA. */
struct sgx_secinfo *isa_fixture_secinfo(struct isa_fixture *f, uint64_t flags);
struct isa_outcome isa_fixture_eaccept(struct isa_fixture *f, uint64_t la, uint64_t flags);
struct isa_outcome isa_fixture_emodpe(struct isa_fixture *f, uint64_t la, uint64_t flags);
struct isa_outcome isa_fixture_eacceptcopy(struct isa_fixture *f, uint64_t la, uint64_t src,
					   uint64_t flags);

/** isa_fixture_view() - for entry: the enclave's pages as @f->la translates them. */
struct isa_encl_view isa_fixture_view(struct isa_fixture *f);

/** isa_fixture_assert_epcm() - @frame is a valid page of these SECINFO.FLAGS, BLOCKED or not. */
void isa_fixture_assert_epcm(const struct isa_fixture *f, uint64_t frame, uint64_t flags,
			     bool blocked);

/* cmocka group setup and teardown of a default machine; *state is the fixture. */
int isa_fixture_setup(void **state);
int isa_fixture_teardown(void **state);

#define assert_done(o) assert_outcome((o), ISA_DONE, 0, 0)
#define assert_error(o, code) assert_outcome((o), ISA_ERROR, (code), 0)
#define assert_gp(o) assert_outcome((o), ISA_FAULT, X86_GP, 0)
#define assert_ud(o) assert_outcome((o), ISA_FAULT, X86_UD, 0)
/* #PF raised by the EPCM, at @la. */
#define assert_epf(o, la) assert_outcome((o), ISA_FAULT, X86_PF, (la))
#define assert_outcome(o, kind, number, la) \
	isa_fixture_assert((o), (kind), (number), (la), __FILE__, __LINE__)

void isa_fixture_assert(struct isa_outcome o, enum isa_outcome_kind kind, uint32_t number,
			uint64_t la, const char *file, int line);

/** assert_ordinary_pf() - #PF from the page tables, not from SGX. */
void assert_ordinary_pf(struct isa_outcome o, uint64_t la);

#endif /* TESTS_ISA_FIXTURE_H */
