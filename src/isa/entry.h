/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What entry.c and aex.c share.  Both run inside signal handlers of the process
 * that owns the enclave, at points where FS may hold the enclave's base: so no
 * library call but memcpy(), no thread-local storage, no floating point.
 *
 * TCS and SSA are memory the program can write at any moment.  Whatever is
 * checked is therefore read once, through fetch64() and its like, and used from
 * the copy.
 */
#ifndef SWSGX_ISA_ENTRY_H
#define SWSGX_ISA_ENTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <swsgx/isa.h>

#define X86_CF (1ull << 0)
#define X86_FIXED (1ull << 1)
#define X86_PARITY (1ull << 2)
#define X86_AF (1ull << 4)
#define X86_ZF (1ull << 6)
#define X86_SF (1ull << 7)
#define X86_TF (1ull << 8)
#define X86_IF (1ull << 9)
#define X86_DF (1ull << 10)
#define X86_OF (1ull << 11)
#define X86_IOPL (3ull << 12)
#define X86_NT (1ull << 14)
#define X86_RF (1ull << 16)
#define X86_VM (1ull << 17)
#define X86_ALIGN (1ull << 18)
#define X86_ID (1ull << 21)

/* The XSAVE area, standard format. */
#define XSAVE_MXCSR 24u
#define XSAVE_LEGACY_END 416u	/* XMM15; what follows, XSAVE does not write */
#define XSAVE_XSTATE_BV 512u
#define XSAVE_XCOMP_BV 520u
#define XSAVE_XCOMP_BV_SIZE 16u	/* header bytes 8..23: XRSTOR wants zeros */
#define XSAVE_HEADER_END 576u

#define TCS_INACTIVE 0u

static inline uint64_t fetch64(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint32_t fetch32(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void put64(uint64_t *p, uint64_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELAXED);
}

static inline void put32(uint32_t *p, uint32_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELAXED);
}

/* RAX to R15 of GPRSGX: its first 128 bytes, in the order of enum isa_gpr. */
static inline uint64_t *gprsgx_gpr(struct sgx_gprsgx *gprsgx)
{
	return (uint64_t *)(void *)gprsgx;
}

/* Bytes of MISC, which end where GPRSGX begins. */
static inline uint32_t misc_size(uint32_t miscselect)
{
	return miscselect & (MISC_EXINFO | MISC_CPINFO) ? sizeof(struct sgx_exinfo) : 0;
}

/*
 * Give a TCS back.  STATE first: once the count allows it, EREMOVE may take the
 * page away.  Pairs with tcs_claim() in entry.c.
 */
static inline void tcs_release(struct sgx_tcs *tcs, struct isa_encl_block *blk, uint8_t slot)
{
	__atomic_store_n(&tcs->state, TCS_INACTIVE, __ATOMIC_RELEASE);
	atomic_fetch_sub(&blk->nr_inside[slot], 1);
}

/* Opted out of debugging, the whole stay is one instruction to TF. */
static inline uint64_t rflags_outside(const struct isa_thread *t, uint64_t rflags)
{
	if (t->dbgoptin)
		return rflags;
	return t->save_tf ? rflags | X86_TF : rflags & ~X86_TF;
}

#endif /* SWSGX_ISA_ENTRY_H */
