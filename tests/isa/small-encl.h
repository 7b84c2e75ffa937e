/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An enclave made by hand, small enough to see whole: one TCS and its SSA.
 * Entry and exit work on a view, so their tests need no machine.
 *
 * A frame has four pages: the XSAVE area ends in the second, the third is a gap
 * no leaf has business with, GPRSGX ends the fourth.
 */
#ifndef SWSGX_TESTS_SMALL_ENCL_H
#define SWSGX_TESTS_SMALL_ENCL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <swsgx/isa.h>

#include "record.h"

enum {
	NR_FRAMES = 3,
	FRAME_PAGES = 4,
	PAGE_TCS = 0,
	PAGE_SSA = 1,
	NR_PAGES = PAGE_SSA + NR_FRAMES * FRAME_PAGES,
};

#define BASE 0x700000000000ull
#define OSSA 0x1000ull
#define OENTRY 0x2345ull
#define OFSBASE 0x10000ull
#define OGSBASE 0x11000ull
#define AEP 0x401000ull
#define ENCLU_RIP 0x400ff0ull
#define XFRM 0x207ull		/* x87, SSE, AVX and component 9 */
#define XSAVE_SIZE 5000u
#define TF 0x100ull
#define EPF_CODE (PFEC_P | PFEC_W | PFEC_U | PFEC_SGX)
#define NONCANONICAL 0x0000800000000000ull

struct small_encl {
	_Alignas(SGX_PAGE_SIZE) uint8_t pages[NR_PAGES][SGX_PAGE_SIZE];
	struct isa_epcm_info epcm[NR_PAGES];
	bool unmapped[NR_PAGES];	/* the page tables do not allow stores */
	struct isa_encl_block blk;
	struct isa_encl_view view;
	struct isa_thread thread;
	struct isa_regs regs;		/* outside, ready for EENTER or ERESUME */
};

/* Entry and exit have no observer: these record them. */
static inline struct isa_outcome recorded_eenter(struct isa_thread *t,
						 const struct isa_encl_view *view,
						 struct isa_regs *r)
{
	const struct isa_outcome out = isa_eenter(t, view, r);

	isa_record(ISA_ENCLU, ISA_ENCLU_EENTER, out);
	return out;
}

static inline struct isa_outcome recorded_eresume(struct isa_thread *t,
						  const struct isa_encl_view *view,
						  struct isa_regs *r, const uint8_t **xsave)
{
	const struct isa_outcome out = isa_eresume(t, view, r, xsave);

	isa_record(ISA_ENCLU, ISA_ENCLU_ERESUME, out);
	return out;
}

static inline struct isa_outcome recorded_eexit(struct isa_thread *t, struct isa_regs *r)
{
	const struct isa_outcome out = isa_eexit(t, r);

	isa_record(ISA_ENCLU, ISA_ENCLU_EEXIT, out);
	return out;
}

static inline struct isa_outcome recorded_edeccssa(struct isa_thread *t)
{
	const struct isa_outcome out = isa_edeccssa(t);

	isa_record(ISA_ENCLU, ISA_ENCLU_EDECCSSA, out);
	return out;
}

#define isa_eenter recorded_eenter
#define isa_eresume recorded_eresume
#define isa_eexit recorded_eexit
#define isa_edeccssa recorded_edeccssa

typedef struct isa_outcome (*entry_leaf)(struct isa_thread *t, const struct isa_encl_view *view,
					 struct isa_regs *r);

/* One check of an entry leaf: how to offend it, and what comes of that. */
struct entry_check {
	const char *name;
	void (*offend)(struct small_encl *s);
	uint8_t vector;
	uint32_t error_code;
	uint64_t address;
};

/* Steps 3 to 18, 20 and 21, which EENTER and ERESUME share; frame 0 is checked. */
extern const struct entry_check tcs_checks[], mode_checks[], frame_checks[], busy_checks[];

void small_encl_init(struct small_encl *s);
struct sgx_tcs *small_tcs(struct small_encl *s);
uint8_t *small_xsave(struct small_encl *s, unsigned int frame);
struct sgx_gprsgx *small_gprsgx(struct small_encl *s, unsigned int frame);

/* Page number of page @i of frame @frame. */
static inline unsigned int ssa_page(unsigned int frame, unsigned int i)
{
	return PAGE_SSA + frame * FRAME_PAGES + i;
}

/* EENTER that must succeed, from s->regs; returns the registers inside. */
struct isa_regs small_enter(struct small_encl *s);

/* An asynchronous exit by interrupt with registers small_inside_regs(). */
struct isa_regs small_interrupt(struct small_encl *s);
struct isa_regs small_inside_regs(void);

/* An XSAVE image, every byte set, that XRSTOR would take under XCR0. */
const uint8_t *small_image(void);

/*
 * @leaf must end in the fault of @want, and leave registers, thread, counters
 * and every byte of the enclave as they were.
 */
void assert_refused(struct small_encl *s, entry_leaf leaf, const struct entry_check *want);

/*
 * Each check alone, then each pair: the earlier of two offended checks decides.
 * @prepare makes the enclave @leaf would accept.
 */
void assert_checks(void (*prepare)(struct small_encl *s), entry_leaf leaf,
		   const struct entry_check *const *lists, size_t nr_lists);

#endif /* SWSGX_TESTS_SMALL_ENCL_H */
