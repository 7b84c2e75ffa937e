/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EPCM entries and their locks.  An entry is 24 bytes and there is one per EPC
 * page, so it packs what it can: ENCLAVEADDRESS is page aligned and leaves its
 * low bits to the flags.
 *
 * Locks never wait: a leaf that cannot have one at once takes its outcome "on
 * conflict".  Two layers, as the manual has them:
 *   base   one per page: exclusive, or shared by any number of holders;
 *   build  one per SECS: EADD, EEXTEND and EINIT against each other;
 *   sgx2   one per page: EMODPR, EMODT, EACCEPT, EACCEPTCOPY and EMODPE
 *          against each other.
 * A page comes and goes under the exclusive base lock.  Holders of the shared
 * one change flags of a page that stays, by isa_epcm_update(): BLOCKED, or
 * under the sgx2 lock the others.  Enclave operands are looked at without a
 * lock ("concurrent" in the tables), hence the atomics.
 *
 * Source: SDM volume 3D, concurrency tables of the leaves.
 */
#ifndef SWSGX_ISA_EPCM_H
#define SWSGX_ISA_EPCM_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <swsgx/arch.h>

/* Flags in the low bits of the word beside ENCLAVEADDRESS. */
#define EPCM_VALID (1ull << 0)
#define EPCM_RWX_SHIFT 1
#define EPCM_RWX(rwx) ((uint64_t)((rwx) & SECINFO_RWX) << EPCM_RWX_SHIFT)
#define EPCM_BLOCKED (1ull << 4)
#define EPCM_PENDING (1ull << 5)
#define EPCM_MODIFIED (1ull << 6)
#define EPCM_PR (1ull << 7)
#define EPCM_PT_SHIFT 8
#define EPCM_PT(pt) ((uint64_t)(pt) << EPCM_PT_SHIFT)
#define EPCM_PT_MASK EPCM_PT(0xf)

#define EPCM_NO_SECS UINT32_MAX
#define EPCM_EXCLUSIVE 0x8000u

/* The stamp of a page that no processor can hold a translation of. */
#define EPCM_TRACKED UINT64_MAX

struct isa_epcm {
	_Atomic uint64_t word;		/* ENCLAVEADDRESS | EPCM_* */
	/*
	 * The enclave's epoch when the page was blocked, restricted or retyped.
	 * As wide as the epoch: a page may wait for its EACCEPT through any
	 * number of ETRACKs, and must not look untracked again.
	 */
	_Atomic uint64_t stamp;
	_Atomic uint32_t secs;		/* frame of the owning SECS */
	_Atomic uint16_t base;		/* EPCM_EXCLUSIVE, or the shared holders */
	_Atomic uint8_t build;		/* 1: held */
	_Atomic uint8_t sgx2;		/* 1: held */
};

static_assert(sizeof(struct isa_epcm) == 24, "EPCM entries are small");

static inline uint64_t isa_epcm_word(const struct isa_epcm *e)
{
	/* Pairs with the release in isa_epcm_set(). */
	return atomic_load_explicit(&e->word, memory_order_acquire);
}

static inline uint32_t isa_epcm_secs(const struct isa_epcm *e)
{
	return atomic_load_explicit(&e->secs, memory_order_relaxed);
}

/* VALID becomes 1 last: whoever sees it sees the owner and the contents. */
static inline void isa_epcm_set(struct isa_epcm *e, uint32_t secs, uint64_t word)
{
	atomic_store_explicit(&e->secs, secs, memory_order_relaxed);
	atomic_store_explicit(&e->stamp, EPCM_TRACKED, memory_order_relaxed);
	atomic_store_explicit(&e->word, word, memory_order_release);
}

/*
 * Clear and set flags of a page that is there and stays.  A total order with
 * the enclave's epoch: who enters in an epoch that began after this sees it.
 */
static inline void isa_epcm_update(struct isa_epcm *e, uint64_t clear, uint64_t set)
{
	uint64_t word = atomic_load_explicit(&e->word, memory_order_relaxed);

	while (!atomic_compare_exchange_weak(&e->word, &word, (word & ~clear) | set))
		;
}

/*
 * The page has changed, and the enclave is in @epoch since: what was translated
 * until then must be gone first.  Of two who stamp at a time the later counts.
 */
static inline void isa_epcm_stamp(struct isa_epcm *e, uint64_t epoch)
{
	uint64_t stamp = atomic_load_explicit(&e->stamp, memory_order_relaxed);

	while ((stamp == EPCM_TRACKED || stamp < epoch) &&
	       !atomic_compare_exchange_weak_explicit(&e->stamp, &stamp, epoch,
						      memory_order_relaxed,
						      memory_order_relaxed))
		;
}

static inline bool isa_epcm_is_valid(const struct isa_epcm *e)
{
	return isa_epcm_word(e) & EPCM_VALID;
}

static inline enum sgx_page_type isa_epcm_pt(const struct isa_epcm *e)
{
	return (isa_epcm_word(e) & EPCM_PT_MASK) >> EPCM_PT_SHIFT;
}

/* The pages that belong to a SECS; it and VA pages stand alone. */
static inline bool isa_pt_is_child(enum sgx_page_type pt)
{
	return pt == PT_REG || pt == PT_TCS || pt == PT_TRIM || pt == PT_SS_FIRST ||
	       pt == PT_SS_REST;
}

static inline bool isa_epcm_is_secs(const struct isa_epcm *e)
{
	return (isa_epcm_word(e) & (EPCM_VALID | EPCM_PT_MASK)) == (EPCM_VALID | EPCM_PT(PT_SECS));
}

static inline uint64_t isa_epcm_enclaveaddress(const struct isa_epcm *e)
{
	return isa_epcm_word(e) & SGX_PAGE_MASK;
}

/* The part of an entry that SECINFO.FLAGS of a PCMD carries, in its format. */
static inline uint64_t isa_epcm_secinfo(uint64_t word)
{
	return ((word >> EPCM_RWX_SHIFT) & SECINFO_RWX) |
	       (word & EPCM_PENDING ? SECINFO_PENDING : 0) |
	       (word & EPCM_MODIFIED ? SECINFO_MODIFIED : 0) |
	       (word & EPCM_PR ? SECINFO_PR : 0) |
	       SECINFO_PT((word & EPCM_PT_MASK) >> EPCM_PT_SHIFT);
}

/* And back; @flags has a page type. */
static inline uint64_t isa_epcm_from_secinfo(uint64_t flags)
{
	return EPCM_RWX(flags) |
	       (flags & SECINFO_PENDING ? EPCM_PENDING : 0) |
	       (flags & SECINFO_MODIFIED ? EPCM_MODIFIED : 0) |
	       (flags & SECINFO_PR ? EPCM_PR : 0) |
	       EPCM_PT((flags & SECINFO_PT_MASK) >> SECINFO_PT_SHIFT);
}

static inline bool isa_epcm_try_exclusive(struct isa_epcm *e)
{
	uint16_t none = 0;

	return atomic_compare_exchange_strong_explicit(&e->base, &none, EPCM_EXCLUSIVE,
						       memory_order_acquire,
						       memory_order_relaxed);
}

static inline void isa_epcm_release_exclusive(struct isa_epcm *e)
{
	atomic_store_explicit(&e->base, 0, memory_order_release);
}

static inline bool isa_epcm_try_shared(struct isa_epcm *e)
{
	uint16_t n = atomic_load_explicit(&e->base, memory_order_relaxed);

	while (n < EPCM_EXCLUSIVE - 1)
		if (atomic_compare_exchange_weak_explicit(&e->base, &n, (uint16_t)(n + 1),
							  memory_order_acquire,
							  memory_order_relaxed))
			return true;
	return false;
}

static inline void isa_epcm_release_shared(struct isa_epcm *e)
{
	atomic_fetch_sub_explicit(&e->base, 1, memory_order_release);
}

static inline bool isa_epcm_try_build(struct isa_epcm *secs)
{
	return !atomic_exchange_explicit(&secs->build, 1, memory_order_acquire);
}

static inline void isa_epcm_release_build(struct isa_epcm *secs)
{
	atomic_store_explicit(&secs->build, 0, memory_order_release);
}

static inline bool isa_epcm_try_sgx2(struct isa_epcm *e)
{
	return !atomic_exchange_explicit(&e->sgx2, 1, memory_order_acquire);
}

static inline void isa_epcm_release_sgx2(struct isa_epcm *e)
{
	atomic_store_explicit(&e->sgx2, 0, memory_order_release);
}

#endif /* SWSGX_ISA_EPCM_H */
