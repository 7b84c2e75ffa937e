/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages out of EPC and back: EWB, and ELDB and ELDU with their kin.
 *
 * Trailing numbers count the checks in the order the manual's Operation
 * section has them.  A leaf copies its operands first and checks the copies;
 * nothing in EPC changes before the last thing that can fail has not.
 */
#include "internal.h"

/* Where a leaf has arrived: operands read, entries resolved. */
struct eviction {
	struct isa_epcm *e;		/* the page that goes or comes: exclusive */
	struct isa_epcm *va_e;		/* of the slot: shared */
	struct isa_epcm *secs_e;	/* ELD of a child page: shared; else NULL */
	struct sgx_pageinfo pageinfo;
	struct sgx_pcmd pcmd;
	uint64_t blocked;		/* ELD */
	struct isa_outcome conflict;	/* ELD */
};

static bool is_va(const struct isa_epcm *e)
{
	return isa_epcm_is_valid(e) && isa_epcm_pt(e) == PT_VA;
}

static _Atomic uint64_t *va_slot(struct isa_lp *lp, const struct isa_epcm *va_e)
{
	uint8_t *page = isa_epc_page(lp->m, va_e);

	return (_Atomic uint64_t *)(void *)(page + (lp->rdx & ~SGX_PAGE_MASK));
}

/* --- EWB ----------------------------------------------------------------- */

/* Who owns the page, as its PCMD tells and as its MAC takes it. */
static void identify(const struct isa_machine *m, const struct isa_epcm *e,
		     struct sgx_pcmd *pcmd, struct isa_sealed *sealed)
{
	const uint64_t word = isa_epcm_word(e);

	memset(pcmd, 0, sizeof(*pcmd));
	pcmd->secinfo.flags = isa_epcm_secinfo(word);
	sealed->linaddr = word & SGX_PAGE_MASK;
	sealed->eid = 0;
	sealed->pcmd = pcmd;
	if (isa_pt_is_child(isa_epcm_pt(e)))
		pcmd->enclaveid = sealed->eid = isa_secs_state(isa_owner(m, e))->eid;
	else if (isa_epcm_is_secs(e))
		pcmd->enclaveid = isa_secs_state(isa_epc_page(m, e))->eid;
}

/* Ordinary memory: ciphertext, PCMD and LINADDR.  False with @out set. */
static bool write_out(struct isa_lp *lp, const struct eviction *ev, const void *ciphertext,
		      const struct isa_sealed *sealed, struct isa_outcome *out)
{
	return isa_write(lp, ev->pageinfo.srcpge, ciphertext, SGX_PAGE_SIZE, out) &&
	       isa_write(lp, ev->pageinfo.secinfo_or_pcmd, sealed->pcmd, sizeof(*sealed->pcmd),
			 out) &&
	       isa_write(lp, lp->rbx + offsetof(struct sgx_pageinfo, linaddr), &sealed->linaddr,
			 sizeof(sealed->linaddr), out);
}

/* Every check is passed. */
static struct isa_outcome ewb_commit(struct isa_lp *lp, struct eviction *ev)
{
	uint8_t ciphertext[SGX_PAGE_SIZE];
	struct isa_machine *m = lp->m;
	struct isa_sealed sealed;
	struct isa_outcome out;
	uint64_t old;

	identify(m, ev->e, &ev->pcmd, &sealed);
	sealed.version = isa_seal_version(m);
	isa_seal_page(m, &sealed, isa_epc_page(m, ev->e), ciphertext, ev->pcmd.mac);
	if (!write_out(lp, ev, ciphertext, &sealed, &out))
		return out;

	if (isa_epcm_is_secs(ev->e))
		isa_secs_forget(m, isa_epcm_frame(m, ev->e));
	old = atomic_exchange(va_slot(lp, ev->va_e), sealed.version);
	isa_epcm_set(ev->e, EPCM_NO_SECS, 0);
	return old ? isa_cf(SGX_VA_SLOT_OCCUPIED) : isa_ok();
}

static struct isa_outcome ewb_child(struct isa_lp *lp, struct eviction *ev)
{
	/* The child is held, so its SECS cannot go away. */
	const uint32_t owner = isa_epcm_secs(ev->e);
	struct sgx_secs *secs = isa_owner(lp->m, ev->e);
	struct isa_outcome out;

	if (!isa_secs_try_hold_epoch(secs))
		return isa_gp();					/* 12 */
	if (!(isa_epcm_word(ev->e) & EPCM_BLOCKED))
		out = isa_zf(SGX_PAGE_NOT_BLOCKED);			/* 13 */
	else if (!isa_is_tracked(lp->m, ev->e))
		out = isa_zf(SGX_NOT_TRACKED);				/* 14 */
	else
		out = ewb_commit(lp, ev);
	isa_secs_release_epoch(secs);
	if (!isa_epcm_is_valid(ev->e))
		isa_secs_drop_child(lp->m, owner);
	return out;
}

static struct isa_outcome ewb_secs(struct isa_lp *lp, struct eviction *ev)
{
	struct sgx_secs *secs = isa_epc_page(lp->m, ev->e);

	if (isa_has_children(lp, secs))
		return isa_zf(SGX_CHILD_PRESENT);			/* 15, 16 */
	return ewb_commit(lp, ev);
}

/* From check 10 on: both pages are held. */
static struct isa_outcome ewb_entry(struct isa_lp *lp, struct eviction *ev)
{
	if (!isa_epcm_is_valid(ev->e))
		return isa_epf(lp, lp->rcx, true);			/* 10 */
	if (!is_va(ev->va_e))
		return isa_epf(lp, lp->rdx, true);			/* 11 */
	if (isa_pt_is_child(isa_epcm_pt(ev->e)))
		return ewb_child(lp, ev);				/* 12-14 */
	if (isa_epcm_pt(ev->e) == PT_SECS)
		return ewb_secs(lp, ev);				/* 15 */
	return ewb_commit(lp, ev);
}

/* Where the page goes must be writable before anything happens to it. */
static bool ewb_probe(struct isa_lp *lp, const struct sgx_pageinfo *pageinfo,
		      struct isa_outcome *out)
{
	return isa_probe_write(lp, lp->rbx, out) &&
	       isa_probe_write(lp, pageinfo->secinfo_or_pcmd, out) &&
	       isa_probe_write(lp, pageinfo->srcpge, out);
}

/**
 * isa_ewb() - ENCLS[EWB]: write the page at RCX out, its version to the VA slot at RDX.
 * Source: SDM, EWB, Operation.
 */
struct isa_outcome isa_ewb(struct isa_lp *lp)
{
	struct isa_outcome out;
	struct eviction ev;

	if (!isa_is_aligned(lp->rbx, PAGEINFO_ALIGNMENT) ||
	    !isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 1 */
	ev.e = isa_epc_resolve(lp, lp->rcx, true, &out);
	if (!ev.e)
		return out;						/* 2 */
	if (!isa_is_aligned(lp->rdx, VA_SLOT_SIZE))
		return isa_gp();					/* 3 */
	ev.va_e = isa_epc_resolve(lp, lp->rdx, true, &out);
	if (!ev.va_e)
		return out;						/* 4 */
	if (ev.e == ev.va_e)
		return isa_gp();					/* 5 */
	if (!isa_read(lp, lp->rbx, &ev.pageinfo, sizeof(ev.pageinfo), &out))
		return out;
	if (ev.pageinfo.linaddr || ev.pageinfo.secs)
		return isa_gp();					/* 6 */
	if (!isa_is_aligned(ev.pageinfo.secinfo_or_pcmd, PCMD_ALIGNMENT) ||
	    !isa_is_aligned(ev.pageinfo.srcpge, SGX_PAGE_SIZE))
		return isa_gp();					/* 7 */
	if (!ewb_probe(lp, &ev.pageinfo, &out))
		return out;
	if (!isa_epcm_try_exclusive(ev.e))
		return isa_page_conflict(lp, lp->rcx, ev.e, isa_gp());	/* 8 */
	out = isa_gp();							/* 9 */
	if (isa_epcm_try_shared(ev.va_e)) {
		out = ewb_entry(lp, &ev);
		isa_epcm_release_shared(ev.va_e);
	}
	isa_epcm_release_exclusive(ev.e);
	return out;
}

/* --- ELDB, ELDU ---------------------------------------------------------- */

/* The page is decrypted and is what PCMD says. */
static void eld_commit(struct isa_lp *lp, struct eviction *ev)
{
	const uint64_t word = isa_epcm_from_secinfo(ev->pcmd.secinfo.flags) | EPCM_VALID;
	struct isa_machine *m = lp->m;
	void *page = isa_epc_page(m, ev->e);

	if (ev->secs_e) {
		isa_secs_add_child(isa_epc_page(m, ev->secs_e));
		isa_epcm_set(ev->e, (uint32_t)isa_epcm_frame(m, ev->secs_e),
			     ev->pageinfo.linaddr | word | ev->blocked);
		return;
	}
	if ((word & EPCM_PT_MASK) == EPCM_PT(PT_SECS))
		isa_secs_reload(m, isa_epcm_frame(m, ev->e), page);
	isa_epcm_set(ev->e, EPCM_NO_SECS, word);
}

/* Check 14: everything else is held and right. */
static struct isa_outcome eld_unseal(struct isa_lp *lp, struct eviction *ev)
{
	_Atomic uint64_t *slot = va_slot(lp, ev->va_e);
	uint64_t version = atomic_load(slot);
	void *page = isa_epc_page(lp->m, ev->e);
	struct isa_sealed sealed = {
		.version = version,
		.linaddr = ev->pageinfo.linaddr,
		.pcmd = &ev->pcmd,
	};
	struct isa_outcome out;

	if (ev->secs_e)
		sealed.eid = isa_secs_state(isa_epc_page(lp->m, ev->secs_e))->eid;
	if (!isa_read(lp, ev->pageinfo.srcpge, page, SGX_PAGE_SIZE, &out))
		return out;
	if (!isa_unseal_page(lp->m, &sealed, page)) {
		out = isa_zf(SGX_MAC_COMPARE_FAIL);			/* 14 */
	} else if (!atomic_compare_exchange_strong(slot, &version, 0)) {
		/* Another leaf took the slot meanwhile: a version counts once. */
		out = ev->conflict;					/* 7 */
	} else {
		eld_commit(lp, ev);
		return isa_ok();
	}
	memset(page, 0, SGX_PAGE_SIZE);
	return out;
}

static struct isa_outcome eld_child(struct isa_lp *lp, struct eviction *ev)
{
	struct isa_outcome out;

	if (!isa_is_aligned(ev->pageinfo.secs, SGX_PAGE_SIZE))
		return isa_gp();					/* 10 */
	ev->secs_e = isa_epc_resolve(lp, ev->pageinfo.secs, true, &out);
	if (!ev->secs_e)
		return out;						/* 11 */
	if (!isa_epcm_is_secs(ev->secs_e))
		return isa_epf(lp, ev->pageinfo.secs, true);		/* 11 */
	if (!isa_epcm_try_shared(ev->secs_e))
		return ev->conflict;					/* 12 */
	/* Held from here on: is it still one? */
	if (isa_epcm_is_secs(ev->secs_e))
		out = eld_unseal(lp, ev);
	else
		out = isa_epf(lp, ev->pageinfo.secs, true);		/* 11 */
	isa_epcm_release_shared(ev->secs_e);
	return out;
}

/* From check 8 on: both pages are held. */
static struct isa_outcome eld_entry(struct isa_lp *lp, struct eviction *ev)
{
	if (isa_epcm_is_valid(ev->e))
		return isa_epf(lp, lp->rcx, true);			/* 8 */
	if (!is_va(ev->va_e))
		return isa_epf(lp, lp->rdx, true);			/* 9 */
	ev->secs_e = NULL;
	if (isa_pt_is_child(isa_secinfo_pt(&ev->pcmd.secinfo)))
		return eld_child(lp, ev);				/* 10-12, 14 */
	/* A page type there is none of has no owner, and no MAC for it is right. */
	if (ev->pageinfo.secs)
		return isa_gp();					/* 13 */
	return eld_unseal(lp, ev);					/* 14 */
}

/* From check 6 on. */
static struct isa_outcome eld_locked(struct isa_lp *lp, struct eviction *ev)
{
	/* A leaf is not in its own way: 8 or 9 says what is wrong. */
	const bool same = ev->e == ev->va_e;
	struct isa_outcome out = ev->conflict;				/* 7 */

	if (!isa_epcm_try_exclusive(ev->e))
		return isa_page_conflict(lp, lp->rcx, ev->e, ev->conflict); /* 6 */
	if (same || isa_epcm_try_shared(ev->va_e)) {
		out = eld_entry(lp, ev);
		if (!same)
			isa_epcm_release_shared(ev->va_e);
	}
	isa_epcm_release_exclusive(ev->e);
	return out;
}

struct isa_outcome isa_eld(struct isa_lp *lp, uint64_t blocked, struct isa_outcome conflict)
{
	struct eviction ev = { .blocked = blocked, .conflict = conflict };
	struct isa_outcome out;

	if (!isa_is_aligned(lp->rbx, PAGEINFO_ALIGNMENT) ||
	    !isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 1 */
	ev.e = isa_epc_resolve(lp, lp->rcx, true, &out);
	if (!ev.e)
		return out;						/* 2 */
	if (!isa_is_aligned(lp->rdx, VA_SLOT_SIZE))
		return isa_gp();					/* 3 */
	ev.va_e = isa_epc_resolve(lp, lp->rdx, true, &out);
	if (!ev.va_e)
		return out;						/* 4 */
	if (!isa_read(lp, lp->rbx, &ev.pageinfo, sizeof(ev.pageinfo), &out))
		return out;
	if (!isa_is_aligned(ev.pageinfo.secinfo_or_pcmd, PCMD_ALIGNMENT) ||
	    !isa_is_aligned(ev.pageinfo.srcpge, SGX_PAGE_SIZE))
		return isa_gp();					/* 5 */
	if (!isa_read(lp, ev.pageinfo.secinfo_or_pcmd, &ev.pcmd, sizeof(ev.pcmd), &out))
		return out;
	return eld_locked(lp, &ev);
}

/**
 * isa_eldb() - ENCLS[ELDB]: load a page back and leave it blocked.
 * Source: SDM, ELDB/ELDU/ELDBC/ELDUC, Operation.
 */
struct isa_outcome isa_eldb(struct isa_lp *lp)
{
	return isa_eld(lp, EPCM_BLOCKED, isa_gp());
}

/** isa_eldu() - ENCLS[ELDU]: load a page back, unblocked. */
struct isa_outcome isa_eldu(struct isa_lp *lp)
{
	return isa_eld(lp, 0, isa_gp());
}
