/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The frame an asynchronous exit saves, of an enclave with frames of one page.
 *
 * Source: SDM volume 3D, "State Save Area (SSA) Frame".
 */
#ifndef TEST_SSA_H
#define TEST_SSA_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "enclave.h"

#define MISC_EXINFO 1u
#define ATTR_DEBUG 0x2u
#define ATTR_AEXNOTIFY 0x400u
#define TCS_DBGOPTIN 0x1u
#define TCS_AEXNOTIFY 0x2u

#define EXITINFO_HARDWARE (0x80000000u | 3u << 8)
#define EXITINFO_SOFTWARE (0x80000000u | 6u << 8)

/* The XSAVE area: legacy part, then XSTATE_BV and XCOMP_BV of the header. */
#define XSAVE_MXCSR 24u
#define XSAVE_XMM0 160u
#define XSAVE_LEGACY_SIZE 512u
#define XSAVE_SIZE_X87_SSE 576u

struct exinfo {
	uint64_t maddr;
	uint32_t errcd;
	uint32_t reserved_12;
};

struct gprsgx {
	uint64_t gpr[16];		/* 0: by index R_* */
	uint64_t rflags;		/* 128 */
	uint64_t rip;			/* 136 */
	uint64_t ursp;			/* 144 */
	uint64_t urbp;			/* 152 */
	uint32_t exitinfo;		/* 160 */
	uint8_t reserved_164[3];
	uint8_t aexnotify;		/* 167 */
	uint64_t fsbase;		/* 168 */
	uint64_t gsbase;		/* 176 */
};

#define GAP_SIZE (PAGE_SIZE - XSAVE_LEGACY_SIZE - 16 - sizeof(struct exinfo) - \
		  sizeof(struct gprsgx))

struct ssa_frame {
	uint8_t legacy[XSAVE_LEGACY_SIZE];
	uint64_t xstate_bv;		/* 512 */
	uint64_t xcomp_bv;		/* 520 */
	uint8_t gap[GAP_SIZE];		/* the rest of XSAVE, and what nobody writes */
	struct exinfo exinfo;
	struct gprsgx gprsgx;
};

static_assert(sizeof(struct gprsgx) == 184, "GPRSGX");
static_assert(sizeof(struct ssa_frame) == PAGE_SIZE, "frame");

/** test_ssa() - address of SSA frame @i of thread 0. */
static inline uint64_t test_ssa(const struct test_encl *e, unsigned int i)
{
	return (uintptr_t)e->base + ENCL_THREAD_OFFSET + ENCL_THREAD_SSA +
	       (uint64_t)i * PAGE_SIZE;
}

#endif /* TEST_SSA_H */
