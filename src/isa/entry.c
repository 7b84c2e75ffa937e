/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EENTER, ERESUME, EEXIT and EDECCSSA, on a view of one enclave.  They need no machine:
 * the process that runs the enclave executes them by itself, in a signal
 * handler or straight from the vDSO entry point.
 *
 * 64-bit mode only, without CET.  The numbers beside the checks are the steps
 * of the instruction's operation; steps of 32-bit mode and CET are left out.
 */
#include <stddef.h>
#include <string.h>

#include "entry.h"

#define ENCLU_SIZE 3u		/* NP 0F 01 D7 */

/* RFLAGS that ERESUME takes from the frame whatever the mode. */
#define RFLAGS_RESUMED (X86_CF | X86_PARITY | X86_AF | X86_ZF | X86_SF | X86_DF | \
			X86_OF | X86_NT | X86_ALIGN | X86_ID | X86_RF)

_Static_assert(offsetof(struct sgx_gprsgx, rbx) == 8 * ISA_RBX, "GPRSGX order");
_Static_assert(offsetof(struct sgx_gprsgx, rdi) == 8 * ISA_RDI, "GPRSGX order");
_Static_assert(offsetof(struct sgx_gprsgx, r15) == 8 * ISA_R15, "GPRSGX order");

/* Where one SSA frame is mapped for us. */
struct ssa_frame {
	uint8_t *xsave;
	struct sgx_gprsgx *gprsgx;
};

/* One EENTER or ERESUME at work: everything it read, each field read once. */
struct entry {
	const struct isa_encl_view *view;
	bool claimed;			/* STATE was inactive and is ours */
	uint8_t epoch_slot;		/* of nr_inside, once claimed */

	/* of the block */
	uint64_t base, attributes, xfrm, allowed_attributes;
	uint32_t miscselect, ssaframesize, xsave_size, features;

	/* of the TCS */
	uint64_t tcs_la, secs_frame;
	struct sgx_tcs *tcs;
	uint64_t flags, ossa, oentry, ofsbase, ogsbase;
	uint32_t cssa, nssa;

	/* where to */
	struct ssa_frame frame;
	uint64_t target, fsbase, gsbase;
};

static struct isa_outcome done(void)
{
	return (struct isa_outcome){ .kind = ISA_DONE };
}

static struct isa_outcome gp0(void)
{
	return (struct isa_outcome){ .kind = ISA_FAULT, .vector = X86_GP };
}

/* A page fault by SGX rules: entry needs every page it touches for stores. */
static struct isa_outcome epf(const struct entry *e, uint64_t la)
{
	if (!(e->features & CPUID_12_0_EAX_SGX2))
		return gp0();
	return (struct isa_outcome){
		.kind = ISA_FAULT,
		.vector = X86_PF,
		.error_code = PFEC_P | PFEC_W | PFEC_U | PFEC_SGX,
		.address = la,
	};
}

/* 48-bit linear addresses: bits 63 to 47 are all the same. */
static bool is_canonical(uint64_t la)
{
	const uint64_t top = la >> 47;

	return top == 0 || top == 0x1ffff;
}

static bool is_page_aligned(uint64_t x)
{
	return !(x & (SGX_PAGE_SIZE - 1));
}

/*
 * Count a processor in, in the current epoch.  An ETRACK between the look at
 * the epoch and the count would make it one of the earlier: look again.
 */
static uint8_t count_in(struct isa_encl_block *blk)
{
	for (;;) {
		const uint64_t epoch = atomic_load(&blk->epoch);
		const uint8_t slot = epoch & 1;

		atomic_fetch_add(&blk->nr_inside[slot], 1);
		if (atomic_load(&blk->epoch) == epoch)
			return slot;
		atomic_fetch_sub(&blk->nr_inside[slot], 1);
	}
}

/*
 * Take the TCS, as the processor locks it for the time of the leaf.  That it
 * is taken already counts only in the order of the checks, at step 25.
 */
static void tcs_claim(struct entry *e)
{
	const uint64_t holder = e->view->holder << ISA_TCS_HOLDER_SHIFT;
	uint64_t inactive = TCS_INACTIVE;

	e->claimed = __atomic_compare_exchange_n(&e->tcs->state, &inactive,
						 ISA_TCS_ACTIVE | holder, false,
						 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
	if (!e->claimed)
		return;
	e->epoch_slot = count_in(e->view->blk);
	if (holder)
		put64(&e->tcs->state, holder | ISA_TCS_ACTIVE | ISA_TCS_COUNTED |
				      (e->epoch_slot ? ISA_TCS_SLOT : 0));
}

static void entry_abandon(struct entry *e)
{
	if (e->claimed)
		tcs_release(e->tcs, e->view->blk, e->epoch_slot);
}

static void block_read(struct entry *e)
{
	const struct isa_encl_block *blk = e->view->blk;

	e->base = fetch64(&blk->base);
	e->attributes = fetch64(&blk->attributes);
	e->xfrm = fetch64(&blk->xfrm);
	e->miscselect = fetch32(&blk->miscselect);
	e->ssaframesize = fetch32(&blk->ssaframesize);
	e->xsave_size = fetch32(&blk->xsave_size);
	e->features = fetch32(&blk->features);
	e->allowed_attributes = fetch64(&blk->allowed_attributes);
}

static void tcs_read(struct entry *e)
{
	const struct sgx_tcs *tcs = e->tcs;

	e->flags = fetch64(&tcs->flags);
	e->ossa = fetch64(&tcs->ossa);
	e->cssa = fetch32(&tcs->cssa);
	e->nssa = fetch32(&tcs->nssa);
	e->oentry = fetch64(&tcs->oentry);
	e->ofsbase = fetch64(&tcs->ofsbase);
	e->ogsbase = fetch64(&tcs->ogsbase);
}

/* Field by field: loaded together they would wait for the stores that just made them. */
static bool is_in_transit(const struct isa_epcm_info *info)
{
	if (info->pending)
		return true;
	return info->modified;
}

/* Steps 3-10: the TCS page.  On success the TCS is read and, if free, claimed. */
static struct isa_outcome tcs_check(struct entry *e, uint64_t aep)
{
	struct isa_epcm_info info = { 0 };
	struct isa_outcome fault;
	void *page;

	if (!is_page_aligned(e->tcs_la))
		return gp0();						/* 3 */
	if (!e->view->page(e->view->ctx, e->tcs_la, true, &info, &page, &fault))
		return fault;						/* 4 */
	if (!info.valid)
		return epf(e, e->tcs_la);					/* 4, 7 */
	if (!is_canonical(aep))
		return gp0();						/* 5 */
	if (info.blocked)
		return epf(e, e->tcs_la);					/* 8 */
	if (info.enclaveaddress != e->tcs_la || info.pt != PT_TCS)
		return epf(e, e->tcs_la);					/* 9 */
	if (is_in_transit(&info))
		return epf(e, e->tcs_la);					/* 10 */

	e->tcs = page;
	e->secs_frame = info.secs_frame;
	tcs_claim(e);							/* 6 */
	tcs_read(e);
	return done();
}

/*
 * ECREATE saw to it that pages are aligned and a frame holds what an exit saves.
 * A block that says otherwise was scribbled on; believing it would let AEX write
 * past the frame.
 */
static bool block_is_possible(const struct entry *e)
{
	const uint64_t need = (uint64_t)e->xsave_size + misc_size(e->miscselect) +
			      sizeof(struct sgx_gprsgx);

	return is_page_aligned(e->base) && e->xsave_size >= XSAVE_HEADER_END &&
	       need <= (uint64_t)e->ssaframesize * SGX_PAGE_SIZE;
}

/* Steps 11-18: what TCS and SECS say. */
static struct isa_outcome mode_check(const struct entry *e)
{
	uint64_t allowed = TCS_DBGOPTIN;

	if (e->allowed_attributes & ATTR_AEXNOTIFY)
		allowed |= TCS_AEXNOTIFY;

	if (!is_page_aligned(e->ossa))
		return gp0();						/* 11 */
	if (!is_page_aligned(e->ofsbase) || !is_page_aligned(e->ogsbase))
		return gp0();						/* 12 */
	if (e->flags & ~allowed)
		return gp0();						/* 13 */
	if (!atomic_load_explicit(&e->view->blk->initialized, memory_order_acquire))
		return gp0();						/* 14 */
	if (!(e->attributes & ATTR_MODE64BIT) || (e->view->mode & ISA_MODE_32))
		return gp0();						/* 15 */
	if (e->view->mode & ISA_MODE_NO_OSFXSR)
		return gp0();						/* 16 */
	if (e->xfrm & ~e->view->xcr0)
		return gp0();						/* 17 */
	if (!(e->flags & TCS_DBGOPTIN) &&
	    !(e->flags & TCS_AEXNOTIFY) != !(e->attributes & ATTR_AEXNOTIFY))
		return gp0();						/* 18 */
	return block_is_possible(e) ? done() : gp0();
}

/* One page of a frame: readable, writable and this enclave's own. */
static struct isa_outcome ssa_page_check(const struct entry *e, uint64_t la, void **page)
{
	const uint8_t rw = SECINFO_R | SECINFO_W;
	struct isa_epcm_info info = { 0 };
	struct isa_outcome fault;

	if (!e->view->page(e->view->ctx, la, true, &info, page, &fault))
		return fault;
	if (!info.valid)
		return epf(e, la);
	if (info.blocked)
		return epf(e, la);
	if (is_in_transit(&info))
		return epf(e, la);
	if (info.enclaveaddress != la || info.pt != PT_REG ||
	    info.secs_frame != e->secs_frame || (info.rwx & rw) != rw)
		return epf(e, la);
	return done();
}

/* Steps 20 and 21: the XSAVE area and GPRSGX of frame @index. */
static struct isa_outcome frame_check(const struct entry *e, uint32_t index,
				      struct ssa_frame *frame)
{
	const uint64_t size = (uint64_t)e->ssaframesize * SGX_PAGE_SIZE;
	const uint64_t la = e->base + e->ossa + index * size;
	struct isa_outcome out;
	uint64_t off;
	void *page = NULL;

	for (off = 0; off < e->xsave_size; off += SGX_PAGE_SIZE) {
		out = ssa_page_check(e, la + off, &page);
		if (!isa_is_done(out))
			return out;					/* 20 */
		if (!off)
			frame->xsave = page;
	}

	/* Often the same page. */
	if (off != size) {
		out = ssa_page_check(e, la + size - SGX_PAGE_SIZE, &page);
		if (!isa_is_done(out))
			return out;					/* 21 */
	}
	frame->gprsgx = (void *)((uint8_t *)page + SGX_PAGE_SIZE - sizeof(*frame->gprsgx));
	return done();
}

/* Where a fresh entry goes: EENTER, or ERESUME that delivers a notification. */
static void target_fresh(struct entry *e)
{
	e->target = e->base + e->oentry;
	e->fsbase = e->base + e->ofsbase;
	e->gsbase = e->base + e->ogsbase;
}

static struct isa_outcome target_check(const struct entry *e)
{
	if (!is_canonical(e->target))
		return gp0();					/* EENTER 23, ERESUME 24 */
	if (!is_canonical(e->fsbase) || !is_canonical(e->gsbase))
		return gp0();					/* EENTER 24, ERESUME 25 */
	return done();
}

/* The internal registers of a processor that is now inside. */
static void thread_enter(struct isa_thread *t, const struct entry *e, const struct isa_regs *r)
{
	t->inside = true;
	t->dbgoptin = e->flags & TCS_DBGOPTIN;
	t->save_tf = r->rflags & X86_TF;
	t->view = *e->view;
	t->tcs_la = e->tcs_la;
	t->secs_frame = e->secs_frame;
	t->tcs = e->tcs;
	t->epoch_slot = e->epoch_slot;
	t->gprsgx = e->frame.gprsgx;
	t->xsave = e->frame.xsave;
	t->host_fsbase = r->fsbase;
	t->host_gsbase = r->gsbase;
	t->base = e->base;
	t->xfrm = e->xfrm;
	t->miscselect = e->miscselect;
	t->ssaframesize = e->ssaframesize;
	t->xsave_size = e->xsave_size;
	t->features = e->features;
	put64(&e->tcs->aep, r->gpr[ISA_RCX]);
}

/* Commit of EENTER, and of ERESUME with a notification; nothing here can fault. */
static void enter_fresh(struct isa_thread *t, const struct entry *e, struct isa_regs *r)
{
	thread_enter(t, e, r);
	put64(&t->gprsgx->ursp, r->gpr[ISA_RSP]);
	put64(&t->gprsgx->urbp, r->gpr[ISA_RBP]);

	r->gpr[ISA_RAX] = e->cssa;
	r->gpr[ISA_RCX] = r->rip + ENCLU_SIZE;
	r->rip = e->target;
	r->fsbase = e->fsbase;
	r->gsbase = e->gsbase;
	if (!t->dbgoptin)
		r->rflags &= ~X86_TF;
}

static void entry_init(struct entry *e, const struct isa_encl_view *view,
		       const struct isa_regs *r)
{
	/* Member by member: the others are set where they are checked. */
	e->view = view;
	e->tcs_la = r->gpr[ISA_RBX];
	e->claimed = false;
	block_read(e);
}

/* Steps 11-25 of EENTER. */
static struct isa_outcome eenter_check(struct entry *e)
{
	struct isa_outcome out;

	out = mode_check(e);						/* 11-18 */
	if (!isa_is_done(out))
		return out;
	if (e->cssa >= e->nssa)
		return gp0();						/* 19 */
	out = frame_check(e, e->cssa, &e->frame);			/* 20-21 */
	if (!isa_is_done(out))
		return out;
	target_fresh(e);
	out = target_check(e);						/* 23-24 */
	if (!isa_is_done(out))
		return out;
	return e->claimed ? done() : gp0();				/* 25 */
}

struct isa_outcome isa_eenter(struct isa_thread *t, const struct isa_encl_view *view,
			      struct isa_regs *r)
{
	struct isa_outcome out;
	struct entry e;

	if (t->inside)
		return gp0();
	entry_init(&e, view, r);
	out = tcs_check(&e, r->gpr[ISA_RCX]);				/* 3-10 */
	if (!isa_is_done(out))
		return out;
	out = eenter_check(&e);
	if (!isa_is_done(out)) {
		entry_abandon(&e);
		return out;
	}

	enter_fresh(t, &e, r);						/* commit */
	return done();
}

/* What XRSTOR of the XFRM components refuses in the image of a frame. */
static bool xsave_is_loadable(const struct entry *e, const uint8_t *xsave)
{
	const uint64_t *header = (const void *)(xsave + XSAVE_XSTATE_BV);
	const uint32_t *mxcsr = (const void *)(xsave + XSAVE_MXCSR);

	if (fetch64(&header[0]) & ~e->xfrm)
		return false;
	if (fetch64(&header[1]) || fetch64(&header[2]))
		return false;
	return !(fetch32(mxcsr) & ~0xffffu);
}

/* Word by word, each read once: the program may be writing. */
static void gprsgx_read(struct sgx_gprsgx *copy, const struct sgx_gprsgx *gprsgx)
{
	const uint64_t *from = (const void *)gprsgx;
	uint64_t word;
	size_t i;

	for (i = 0; i < sizeof(*copy) / sizeof(word); i++) {
		word = fetch64(&from[i]);
		memcpy((uint8_t *)copy + i * sizeof(word), &word, sizeof(word));
	}
}

/*
 * Steps 11-28 of ERESUME.  @saved is a copy of the frame's GPRSGX: what is
 * checked in it is what gets loaded.
 */
static struct isa_outcome eresume_check(struct entry *e, struct sgx_gprsgx *saved, bool *notify)
{
	struct isa_outcome out;

	out = mode_check(e);						/* 11-18 */
	if (!isa_is_done(out))
		return out;
	if (!e->cssa)
		return gp0();						/* 19 */
	out = frame_check(e, e->cssa - 1, &e->frame);			/* 20 */
	if (!isa_is_done(out))
		return out;

	gprsgx_read(saved, e->frame.gprsgx);
	*notify = e->flags & TCS_AEXNOTIFY &&
		  saved->aexnotify & GPRSGX_AEXNOTIFY_REQUEST;		/* 21 */
	if (*notify) {
		if (e->cssa >= e->nssa)
			return gp0();					/* 22 */
		out = frame_check(e, e->cssa, &e->frame);
		if (!isa_is_done(out))
			return out;
		target_fresh(e);
	} else {
		e->target = saved->rip;					/* 23 */
		e->fsbase = saved->fsbase;
		e->gsbase = saved->gsbase;
	}
	out = target_check(e);						/* 24-25 */
	if (!isa_is_done(out))
		return out;
	if (!e->claimed)
		return gp0();						/* 26 */
	if (!*notify && !xsave_is_loadable(e, e->frame.xsave))
		return gp0();						/* 28 */
	return done();
}

/* Which flags come back: IF only at IOPL 3, TF only for a debugger. */
static uint64_t rflags_resumed(uint64_t outside, uint64_t saved, bool dbgoptin)
{
	uint64_t from_frame = RFLAGS_RESUMED;

	if ((outside & X86_IOPL) == X86_IOPL)
		from_frame |= X86_IF;
	if (dbgoptin)
		from_frame |= X86_TF;
	else
		outside &= ~X86_TF;
	outside &= ~X86_VM;
	return (outside & ~from_frame) | (saved & from_frame) | X86_FIXED;
}

/* Commit of ERESUME without a notification; nothing here can fault. */
static void resume(struct isa_thread *t, const struct entry *e, struct sgx_gprsgx *saved,
		   struct isa_regs *r)
{
	thread_enter(t, e, r);
	put32(&e->tcs->cssa, e->cssa - 1);

	memcpy(r->gpr, gprsgx_gpr(saved), sizeof(r->gpr));
	r->rflags = rflags_resumed(r->rflags, saved->rflags, t->dbgoptin);
	r->rip = e->target;
	r->fsbase = e->fsbase;
	r->gsbase = e->gsbase;
}

struct isa_outcome isa_eresume(struct isa_thread *t, const struct isa_encl_view *view,
			       struct isa_regs *r, const uint8_t **xsave)
{
	struct sgx_gprsgx saved;
	struct isa_outcome out;
	struct entry e;
	bool notify;

	if (t->inside)
		return gp0();
	entry_init(&e, view, r);
	out = tcs_check(&e, r->gpr[ISA_RCX]);				/* 3-10 */
	if (!isa_is_done(out))
		return out;
	out = eresume_check(&e, &saved, &notify);
	if (!isa_is_done(out)) {
		entry_abandon(&e);
		return out;
	}

	if (notify)							/* commit */
		enter_fresh(t, &e, r);
	else
		resume(t, &e, &saved, r);
	*xsave = notify ? NULL : t->xsave;
	return done();
}

struct isa_outcome isa_eexit(struct isa_thread *t, struct isa_regs *r)
{
	const uint64_t target = r->gpr[ISA_RBX];

	if (!t->inside)
		return gp0();
	if (!is_canonical(target))
		return gp0();						/* 1 */

	r->rip = target;						/* commit */
	r->gpr[ISA_RCX] = fetch64(&t->tcs->aep);
	r->fsbase = t->host_fsbase;
	r->gsbase = t->host_gsbase;
	r->rflags = rflags_outside(t, r->rflags);
	t->inside = false;
	tcs_release(t->tcs, t->view.blk, t->epoch_slot);
	return done();
}

struct isa_outcome isa_edeccssa(struct isa_thread *t)
{
	struct isa_outcome out;
	struct entry e;

	if (!(t->features & CPUID_12_0_EAX_EDECCSSA) || !t->inside)
		return gp0();
	e = (struct entry){
		.view = &t->view,
		.base = t->base,
		.ssaframesize = t->ssaframesize,
		.xsave_size = t->xsave_size,
		.features = t->features,
		.secs_frame = t->secs_frame,
		.tcs = t->tcs,
	};
	tcs_read(&e);
	if (!e.cssa || !is_page_aligned(e.ossa))
		return gp0();						/* 1 */
	out = frame_check(&e, e.cssa - 1, &e.frame);			/* 2 */
	if (!isa_is_done(out))
		return out;

	put32(&t->tcs->cssa, e.cssa - 1);				/* commit */
	t->gprsgx = e.frame.gprsgx;
	t->xsave = e.frame.xsave;
	return done();
}
