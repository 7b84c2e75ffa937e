/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the processor share: the machine object, the EPCM, the
 * internal half of a SECS, and the helpers leaves are written with.
 */
#ifndef SWSGX_ISA_INTERNAL_H
#define SWSGX_ISA_INTERNAL_H

#include <stdnoreturn.h>
#include <stddef.h>
#include <string.h>

#include <swsgx/isa.h>

#include "crypto.h"
#include "epcm.h"

/* --- machine ------------------------------------------------------------- */

struct isa_machine {
	struct isa_config config;
	struct isa_section *sections;
	uint64_t *first_frame;		/* [i]: frame number of sections[i].pa */
	uint64_t nr_frames;
	struct isa_section first;	/* sections[0] */
	struct isa_epcm *epcm;
	_Atomic(struct isa_encl_block *) *shared; /* [frame] of a SECS: its block */
	uint64_t xfrm;			/* XFRM bits ECREATE accepts */
	_Atomic uint64_t next_eid;
	_Atomic uint64_t owner_epoch[2]; /* IA32_SGXOWNEREPOCH0, 1 */
	_Atomic bool svn_is_locked;	/* IA32_SGX_SVN_STATUS.LOCK */
	uint8_t cpusvn[16];		/* current; changes while every page is held */
	uint8_t loaded_svn[16];		/* of the loaded microcode */
	/* Package secrets, all derived from config.seed and boot_random. */
	uint8_t root_key[16];
	uint8_t seal_fuses[16];
	uint8_t report_keyid[32];
	uint8_t report2_key[32];
	struct isa_gcm *paging;		/* under this power cycle's paging key */
	_Atomic uint64_t paging_version; /* of the next page that goes out */
};

static inline bool isa_has_attribute(const struct isa_machine *m, uint64_t flag)
{
	return m->config.profile->attributes & flag;
}

/** isa_find_frame() - isa_machine_frame(), for leaves: each operand asks. */
static inline uint64_t isa_find_frame(const struct isa_machine *m, uint64_t pa)
{
	const uint64_t page = (pa - m->first.pa) >> SGX_PAGE_SHIFT;

	/* Most machines have one section. */
	if (__builtin_expect(page < m->first.nr_pages, 1))
		return page;
	return isa_machine_frame(m, pa);
}

/** isa_bug() - an invariant of ours is broken; does not return. */
noreturn void isa_bug(void);

/* --- outcomes ------------------------------------------------------------ */

static inline struct isa_outcome isa_ok(void)
{
	return (struct isa_outcome){ .kind = ISA_DONE };
}

static inline struct isa_outcome isa_zf(enum sgx_error code)
{
	return (struct isa_outcome){ .kind = ISA_ERROR, .code = code };
}

static inline struct isa_outcome isa_cf(enum sgx_error code)
{
	return (struct isa_outcome){ .kind = ISA_INFO, .code = code };
}

static inline struct isa_outcome isa_fault(enum x86_vector vector)
{
	return (struct isa_outcome){ .kind = ISA_FAULT, .vector = vector };
}

static inline struct isa_outcome isa_gp(void)
{
	return isa_fault(X86_GP);
}

/* @number: the exit reason's own; lp->vmexit has all of it. */
static inline struct isa_outcome isa_vmexit(uint8_t reason, uint32_t number)
{
	return (struct isa_outcome){ .kind = ISA_VMEXIT, .vector = reason, .code = number };
}

static inline struct isa_outcome isa_ud(void)
{
	return isa_fault(X86_UD);
}

/**
 * isa_epf() - the EPCM, not the page tables, forbids the access: #PF with the SGX bit,
 * or #GP on parts from before SGX2.
 */
struct isa_outcome isa_epf(const struct isa_lp *lp, uint64_t la, bool write);

/* --- operands ------------------------------------------------------------ */

#define PAGEINFO_ALIGNMENT 32u
#define SECINFO_ALIGNMENT 64u
#define PCMD_ALIGNMENT 128u
#define VA_SLOT_SIZE 8u

static inline bool isa_is_aligned(uint64_t la, uint64_t alignment)
{
	return !(la & (alignment - 1));
}

/** isa_is_zero() - are all @n bytes 0? */
bool isa_is_zero(const void *p, size_t n);

/** isa_is_canonical() - in a 48-bit linear address space. */
static inline bool isa_is_canonical(uint64_t la)
{
	return (uint64_t)((int64_t)(la << 16) >> 16) == la;
}

/* Ordinary memory; false with @out set when it faults. */
static inline bool isa_read(struct isa_lp *lp, uint64_t la, void *dst, size_t n,
			    struct isa_outcome *out)
{
	return lp->mmu->read(lp->mmu_ctx, la, dst, n, out);
}

static inline bool isa_write(struct isa_lp *lp, uint64_t la, const void *src, size_t n,
			     struct isa_outcome *out)
{
	return lp->mmu->write(lp->mmu_ctx, la, src, n, out);
}

/* May ordinary memory at @la be written?  Asked before a leaf changes anything. */
static inline bool isa_probe_write(struct isa_lp *lp, uint64_t la, struct isa_outcome *out)
{
	uint64_t pa;

	return lp->mmu->translate(lp->mmu_ctx, la, true, &pa, out);
}

/**
 * isa_epc_resolve() - the EPCM entry of the EPC page @la resolves to.
 * @write: the leaf stores to the page.
 * @out: set on failure: an ordinary #PF, or #PF with the SGX bit when @la does
 *       not resolve to EPC.
 * Return: NULL on failure.
 */
static inline struct isa_epcm *isa_epc_resolve(struct isa_lp *lp, uint64_t la, bool write,
					       struct isa_outcome *out)
{
	struct isa_machine *m = lp->m;
	const uint64_t in_direct_map = la - lp->direct_map.la;
	uint64_t pa, frame;

	if (in_direct_map < lp->direct_map.size)
		pa = lp->direct_map.pa + in_direct_map;
	else if (!lp->mmu->translate(lp->mmu_ctx, la, write, &pa, out))
		return NULL;
	/* ISA_NO_FRAME is in no section. */
	frame = isa_find_frame(m, pa);
	if (__builtin_expect(frame == ISA_NO_FRAME, 0)) {
		*out = isa_epf(lp, la, write);
		return NULL;
	}
	return &m->epcm[frame];
}

/**
 * isa_encl_operand() - an operand inside the active enclave, already known to be aligned.
 * @perm: SECINFO_R or SECINFO_W: what the EPCM must allow.
 * Return: the operand's bytes; NULL with @out set.
 * Source: SDM, the operand checks EREPORT, EGETKEY and EACCEPT have in common.
 */
void *isa_encl_operand(struct isa_lp *lp, uint64_t la, uint64_t perm,
		       struct isa_outcome *out);

/* Its steps, for leaves that test several operands side by side. */

/** isa_in_elrange() - does @la lie in the active enclave's ELRANGE? */
bool isa_in_elrange(const struct isa_lp *lp, uint64_t la);

/**
 * isa_encl_rwx() - what @e lets the active enclave do at @la: SECINFO_R | _W | _X.
 * Nothing when the page is not its own, at @la, of ordinary contents and usable.
 */
uint8_t isa_encl_rwx(const struct isa_lp *lp, const struct isa_epcm *e, uint64_t la);

/** isa_encl_may_access() - does @e let the active enclave use @la with @perm? */
bool isa_encl_may_access(const struct isa_lp *lp, const struct isa_epcm *e, uint64_t la,
			 uint64_t perm);

/** isa_encl_read() - copy @n bytes of an operand that was found accessible. */
void isa_encl_read(const struct isa_lp *lp, const struct isa_epcm *e, uint64_t la, void *dst,
		   size_t n);

static inline enum sgx_page_type isa_secinfo_pt(const struct sgx_secinfo *secinfo)
{
	return (secinfo->flags & SECINFO_PT_MASK) >> SECINFO_PT_SHIFT;
}

/** isa_secinfo_is_clean() - is nothing set in @secinfo beyond @known of FLAGS? */
static inline bool isa_secinfo_is_clean(const struct sgx_secinfo *secinfo, uint64_t known)
{
	return !(secinfo->flags & ~known) &&
	       isa_is_zero(secinfo->reserved_8, sizeof(secinfo->reserved_8));
}

/* All of FLAGS that is not reserved. */
#define SECINFO_KNOWN (SECINFO_RWX | SECINFO_PENDING | SECINFO_MODIFIED | SECINFO_PR | \
		       SECINFO_PT_MASK)

static inline uint64_t isa_epcm_frame(const struct isa_machine *m, const struct isa_epcm *e)
{
	return (uint64_t)(e - m->epcm);
}

/** isa_epc_page() - the contents of the page @e describes. */
static inline void *isa_epc_page(const struct isa_machine *m, const struct isa_epcm *e)
{
	return m->config.epc_page(m->config.ctx, isa_epcm_frame(m, e));
}

/* --- SECS ---------------------------------------------------------------- */

/*
 * What the processor keeps about an enclave beyond the architectural fields.
 * It lives in the reserved part of the SECS page, so it would travel with the
 * page if that were evicted.
 */
#define ISA_SECS_STATE_OFFSET 512u
#define ISA_MAX_PENDING 48u
#define ISA_TRACKING 0xffu

struct isa_secs_state {
	uint64_t eid;
	uint64_t nr_blocks;		/* measured so far; guarded by the build lock */
	_Atomic uint64_t nr_children;	/* valid EPC pages of the enclave */
	_Atomic uint64_t nr_virt_children; /* VIRTCHILDCNT */
	_Atomic uint64_t enclavecontext;
	/* Tracking.  Guarded by ETRACK's lock, which is the reader of @flushed. */
	_Atomic uint64_t epoch;
	_Atomic uint64_t flushed;	/* nobody holds translations from before this epoch */
	_Atomic bool has_stragglers;	/* some of the current epoch's count are from before it */
	_Atomic uint8_t tracking;	/* ISA_TRACKING, or the EWBs that rely on no ETRACK */
	struct isa_encl_block block;	/* in use while none is shared */
	_Atomic uint32_t initialized;	/* written under the build lock */
	uint32_t xsave_size;
	uint8_t isvfamilyid[16];
	uint8_t isvextprodid[16];
	/* Blocks that belong to the measurement and are not hashed yet. */
	uint32_t nr_pending;		/* guarded by the build lock */
	_Alignas(64) uint8_t pending[ISA_MAX_PENDING][64];
};

static inline struct isa_secs_state *isa_secs_state(struct sgx_secs *secs)
{
	return (struct isa_secs_state *)((uint8_t *)secs + ISA_SECS_STATE_OFFSET);
}

/** isa_secs_reset() - internal state of an enclave just created, whose SECS is at @frame. */
void isa_secs_reset(struct isa_machine *m, uint64_t frame, struct sgx_secs *secs);

/** isa_secs_epoch() - the epoch the enclave at SECS @secs is in; the stamp of a page changed now. */
static inline uint64_t isa_secs_epoch(struct sgx_secs *secs)
{
	return atomic_load(&isa_secs_state(secs)->epoch);
}

/** isa_owner() - the SECS of child page @e, which is held. */
static inline struct sgx_secs *isa_owner(const struct isa_machine *m, const struct isa_epcm *e)
{
	return isa_epc_page(m, &m->epcm[isa_epcm_secs(e)]);
}

static inline bool isa_secs_is_initialized(struct sgx_secs *secs)
{
	return atomic_load_explicit(&isa_secs_state(secs)->initialized, memory_order_acquire);
}

/** isa_tcs_is_legal() - what EADD and EACCEPT want of a TCS: reserved fields, 32-bit limits. */
bool isa_tcs_is_legal(const struct isa_machine *m, const struct sgx_secs *secs,
		      const struct sgx_tcs *tcs);

/**
 * isa_secs_track() - begin the next epoch of the enclave at @frame.
 * Return: false when a processor from before the current one is still inside.
 * The caller keeps others from tracking the same enclave.
 */
bool isa_secs_track(struct isa_machine *m, uint64_t frame);

/**
 * isa_is_tracked() - can no processor hold a translation of child page @e from
 * before it was stamped?
 */
bool isa_is_tracked(struct isa_machine *m, const struct isa_epcm *e);

/** isa_secs_try_track() - take the tracking facility, as ETRACK; it is not waited for. */
bool isa_secs_try_track(struct sgx_secs *secs);
void isa_secs_release_track(struct sgx_secs *secs);

/** isa_secs_try_hold_epoch() - keep ETRACK away meanwhile, beside others that do. */
bool isa_secs_try_hold_epoch(struct sgx_secs *secs);
void isa_secs_release_epoch(struct sgx_secs *secs);

/** isa_secs_is_tracking() - does an ETRACK run just now? */
static inline bool isa_secs_is_tracking(struct sgx_secs *secs)
{
	return atomic_load(&isa_secs_state(secs)->tracking) == ISA_TRACKING;
}

/** isa_secs_add_child() - one more EPC page belongs to @secs; the caller holds the SECS. */
void isa_secs_add_child(struct sgx_secs *secs);

/**
 * isa_secs_drop_child() - one page less; it is invalid already.
 * The SECS may go away as soon as its count allows it: the caller's last access.
 */
void isa_secs_drop_child(struct isa_machine *m, uint32_t frame);

/** isa_secs_reload() - @secs has come back into EPC, at @frame. */
void isa_secs_reload(struct isa_machine *m, uint64_t frame, struct sgx_secs *secs);

/** isa_secs_publish_init() - tell a shared block that EINIT succeeded. */
void isa_secs_publish_init(struct isa_machine *m, const struct isa_epcm *e,
			   const struct sgx_secs *secs);

/** isa_secs_is_active() - is a processor inside the enclave whose SECS is @frame? */
bool isa_secs_is_active(struct isa_machine *m, uint64_t frame);

/** isa_secs_forget() - the SECS at @frame goes away. */
void isa_secs_forget(struct isa_machine *m, uint64_t frame);

/** isa_xsave_size() - bytes of the XSAVE area for @xfrm in the standard format. */
uint32_t isa_xsave_size(const struct isa_machine *m, uint64_t xfrm);

/** isa_xfrm_is_legal() - could @xfrm be in XCR0 and in an enclave of this machine? */
bool isa_xfrm_is_legal(const struct isa_machine *m, uint64_t xfrm);

/* --- conflicts in guests -------------------------------------------------- */

/** isa_has_epc_virtualization() - does a conflict of @lp go to its VMM? */
static inline bool isa_has_epc_virtualization(const struct isa_lp *lp)
{
	return lp->vmx.operation == ISA_VMX_GUEST && lp->vmx.epc_virtualization;
}

/**
 * isa_page_conflict() - @lp's leaf lost the page @e, its operand @la.
 * Return: @otherwise, or the exit to the VMM.
 */
struct isa_outcome isa_page_conflict(struct isa_lp *lp, uint64_t la, const struct isa_epcm *e,
				     struct isa_outcome otherwise);

/**
 * isa_track() - ETRACK and ETRACKC, once the SECS at @secs_frame cannot go away.
 * @busy: the outcome when another leaf has the tracking facility.
 */
struct isa_outcome isa_track(struct isa_lp *lp, uint64_t secs_frame, struct isa_outcome busy);

/** isa_has_children() - does the SECS count as having children for @lp? */
static inline bool isa_has_children(const struct isa_lp *lp, struct sgx_secs *secs)
{
	struct isa_secs_state *state = isa_secs_state(secs);

	/* Pairs with the release in isa_secs_drop_child(). */
	if (atomic_load_explicit(&state->nr_children, memory_order_acquire))
		return true;
	return isa_has_epc_virtualization(lp) && atomic_load(&state->nr_virt_children);
}

/* --- measurement; the caller holds the build lock of @secs ---------------- */

#define ISA_CHUNK_SIZE 256u		/* what one EEXTEND measures */

void isa_measure_ecreate(struct sgx_secs *secs);
void isa_measure_eadd(struct sgx_secs *secs, uint64_t offset, const struct sgx_secinfo *secinfo);

/** isa_measure_eextend() - @size: ISA_CHUNK_SIZE. */
void isa_measure_eextend(struct sgx_secs *secs, uint64_t offset, const void *chunk, size_t size);

/** isa_measure_final() - what MRENCLAVE would be; @secs is unchanged. */
void isa_measure_final(struct sgx_secs *secs, uint8_t mrenclave[32]);

/* --- keys ---------------------------------------------------------------- */

void isa_keys_init(struct isa_machine *m);

/** isa_keys_renew() - new keys of the power cycle; no leaf is running. */
void isa_keys_renew(struct isa_machine *m);

/** isa_einittoken_mac() - the MAC that makes @token valid under @lepubkeyhash. */
void isa_einittoken_mac(const struct isa_machine *m, const struct sgx_einittoken *token,
			const uint8_t lepubkeyhash[32], uint8_t mac[16]);

/** isa_cpusvn_is_supported() - is @cpusvn not beyond the machine's own? */
bool isa_cpusvn_is_supported(const struct isa_machine *m, const uint8_t cpusvn[16]);

/* --- pages outside EPC ---------------------------------------------------- */

/* What belongs to a page outside EPC beside its contents. */
struct isa_sealed {
	uint64_t version;	/* from the VA slot */
	uint64_t eid;		/* of the owner; 0 for SECS and VA pages */
	uint64_t linaddr;
	const struct sgx_pcmd *pcmd;
};

/** isa_seal_version() - a version no page of this power cycle has had; not 0. */
uint64_t isa_seal_version(struct isa_machine *m);

/**
 * isa_seal_page() - encrypt the 4096 bytes at @page to @out.
 * @s: SECINFO of its PCMD is filled and its reserved bytes are 0.
 */
void isa_seal_page(struct isa_machine *m, const struct isa_sealed *s, const void *page, void *out,
		   uint8_t mac[16]);

/**
 * isa_unseal_page() - decrypt the 4096 bytes at @page in place.
 * Return: does the MAC of s->pcmd vouch for @page and for all of @s?  If not,
 * @page holds nothing of use to anybody.
 */
bool isa_unseal_page(struct isa_machine *m, const struct isa_sealed *s, void *page);

/* --- leaves -------------------------------------------------------------- */

struct isa_outcome isa_ecreate(struct isa_lp *lp);
struct isa_outcome isa_eadd(struct isa_lp *lp);
struct isa_outcome isa_eextend(struct isa_lp *lp);
struct isa_outcome isa_einit(struct isa_lp *lp);
struct isa_outcome isa_eremove(struct isa_lp *lp);
struct isa_outcome isa_epa(struct isa_lp *lp);
struct isa_outcome isa_eblock(struct isa_lp *lp);
struct isa_outcome isa_etrack(struct isa_lp *lp);
struct isa_outcome isa_ewb(struct isa_lp *lp);
struct isa_outcome isa_eldb(struct isa_lp *lp);
struct isa_outcome isa_eldu(struct isa_lp *lp);
struct isa_outcome isa_ereport(struct isa_lp *lp);
struct isa_outcome isa_egetkey(struct isa_lp *lp);
struct isa_outcome isa_edbgrd(struct isa_lp *lp);
struct isa_outcome isa_edbgwr(struct isa_lp *lp);
struct isa_outcome isa_eaug(struct isa_lp *lp);
struct isa_outcome isa_emodpr(struct isa_lp *lp);
struct isa_outcome isa_emodt(struct isa_lp *lp);
struct isa_outcome isa_eaccept(struct isa_lp *lp);
struct isa_outcome isa_eacceptcopy(struct isa_lp *lp);
struct isa_outcome isa_emodpe(struct isa_lp *lp);

/**
 * isa_eld() - what all leaves that reload a page do.
 * @blocked: EPCM_BLOCKED when a child page comes back blocked, else 0.
 * @conflict: what the loser of a conflict gets.
 */
struct isa_outcome isa_eld(struct isa_lp *lp, uint64_t blocked, struct isa_outcome conflict);

struct isa_outcome isa_everifyreport2(struct isa_lp *lp);
struct isa_outcome isa_eupdatesvn(struct isa_lp *lp);
struct isa_outcome isa_erdinfo(struct isa_lp *lp);
struct isa_outcome isa_etrackc(struct isa_lp *lp);
struct isa_outcome isa_eldbc(struct isa_lp *lp);
struct isa_outcome isa_elduc(struct isa_lp *lp);
struct isa_outcome isa_edecvirtchild(struct isa_lp *lp);
struct isa_outcome isa_eincvirtchild(struct isa_lp *lp);
struct isa_outcome isa_esetcontext(struct isa_lp *lp);

#endif /* SWSGX_ISA_INTERNAL_H */
