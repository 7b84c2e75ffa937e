/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages out of the fixture's EPC and back, and processors inside the enclave
 * they belong to.
 */
#ifndef TESTS_ISA_PAGING_H
#define TESTS_ISA_PAGING_H

#include "fixture.h"

#include "internal.h"

/* Frames of the tests' own, beyond the enclave. */
enum {
	PAGING_VA = 8,
	PAGING_VA2 = 9,
	PAGING_TCS2 = 10,
	PAGING_TARGET = 20,	/* where pages come back to */
};

/* What is left of a page in ordinary memory. */
struct paged_out {
	alignas(4096) uint8_t page[SGX_PAGE_SIZE];
	alignas(128) struct sgx_pcmd pcmd;
	uint64_t linaddr;
};

/** paging_create() - a machine with the enclave, initialized, and two VA pages. */
struct isa_fixture *paging_create(void);
int paging_setup(void **state);

/** paging_slot() - where the operating system sees slot @slot of VA page @va_frame. */
uint64_t paging_slot(struct isa_fixture *f, uint64_t va_frame, unsigned int slot);
uint64_t paging_slot_value(struct isa_fixture *f, uint64_t va_frame, unsigned int slot);

struct isa_outcome paging_epa(struct isa_fixture *f, uint64_t frame);
struct isa_outcome paging_eblock(struct isa_fixture *f, uint64_t frame);
struct isa_outcome paging_etrack(struct isa_fixture *f, uint64_t secs_frame);
struct isa_outcome paging_ewb(struct isa_fixture *f, uint64_t frame, unsigned int slot,
			      struct paged_out *p);

/** paging_eld() - @secs_frame: ISA_NO_FRAME for a page without an owner. */
struct isa_outcome paging_eld(struct isa_fixture *f, enum isa_leaf leaf, uint64_t frame,
			      uint64_t secs_frame, unsigned int slot, struct paged_out *p);

/** paging_out() - EBLOCK, ETRACK and EWB of a child page, all of which succeed. */
void paging_out(struct isa_fixture *f, uint64_t frame, unsigned int slot, struct paged_out *p);

/** paging_fake() - make @frame a valid page behind the processor's back. */
void paging_fake(struct isa_fixture *f, uint64_t frame, uint32_t secs, uint64_t word);

/** paging_add_tcs() - a second TCS, at the address isa_fixture_build() leaves free. */
void paging_add_tcs(struct isa_fixture *f);

/* A processor inside, through the TCS in @frame. */
void paging_enter(struct isa_fixture *f, struct isa_thread *t, uint64_t frame);
struct isa_outcome paging_try_enter(struct isa_fixture *f, struct isa_thread *t, uint64_t frame);
void paging_exit(struct isa_thread *t);
void paging_interrupt(struct isa_thread *t);

/* Every byte of EPC and every EPCM entry, and whether they are still that. */
struct paging_snapshot {
	uint8_t epc[FIXTURE_NR_FRAMES][SGX_PAGE_SIZE];
	struct isa_epcm epcm[FIXTURE_NR_FRAMES];
};

struct paging_snapshot *paging_snapshot(struct isa_fixture *f);

/** paging_assert_unchanged() - frees @s.  Contents of invalid pages do not count. */
void paging_assert_unchanged(struct isa_fixture *f, struct paging_snapshot *s);

#endif /* TESTS_ISA_PAGING_H */
