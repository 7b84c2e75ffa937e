/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asynchronous exit: what the processor does when an event interrupts an
 * enclave, before the event is delivered.  Entry checked every page this
 * touches, so nothing here can fail.
 *
 * Only XFRM's part of the XSAVE area, MISC and GPRSGX of a frame are written:
 * runtimes keep data of their own in the gap between.
 *
 * Source: SDM volume 3D, "Asynchronous Enclave Exit".
 */
#include <string.h>

#include "entry.h"

#define RFLAGS_CLEARED (X86_CF | X86_PARITY | X86_AF | X86_ZF | X86_SF | X86_OF | X86_RF)
#define SYNTHETIC_RAX ISA_ENCLU_ERESUME

static void gprs_save(struct sgx_gprsgx *gprsgx, const struct isa_regs *r)
{
	uint64_t *gpr = gprsgx_gpr(gprsgx);
	unsigned int i;

	for (i = 0; i < ISA_NR_GPR; i++)
		put64(&gpr[i], r->gpr[i]);
	put64(&gprsgx->rip, r->rip);
	put64(&gprsgx->rflags, r->rflags & ~X86_TF);
	put64(&gprsgx->fsbase, r->fsbase);
	put64(&gprsgx->gsbase, r->gsbase);
}

/* Components 2 and up that are in XFRM, and lie where entry checked the frame. */
static void components_save(const struct isa_thread *t, const uint8_t *xsave)
{
	const struct isa_xsave_component *c = t->view.xsave_component;
	uint64_t left = t->xfrm & ~XFRM_X87_SSE;
	unsigned int i;

	if (!c) {
		memcpy(t->xsave + XSAVE_HEADER_END, xsave + XSAVE_HEADER_END,
		       t->xsave_size - XSAVE_HEADER_END);
		return;
	}
	for (; left; left &= left - 1) {
		i = (unsigned int)__builtin_ctzll(left);
		if (c[i].offset >= XSAVE_HEADER_END && c[i].offset <= t->xsave_size &&
		    c[i].size <= t->xsave_size - c[i].offset)
			memcpy(t->xsave + c[i].offset, xsave + c[i].offset, c[i].size);
	}
}

/* As XSAVE with XFRM as mask, which leaves the other bytes of the area alone. */
static void xstate_save(const struct isa_thread *t, const uint8_t *xsave)
{
	uint64_t xstate_bv;

	memcpy(&xstate_bv, xsave + XSAVE_XSTATE_BV, sizeof(xstate_bv));
	xstate_bv &= t->xfrm;

	memcpy(t->xsave, xsave, XSAVE_LEGACY_END);
	memcpy(t->xsave + XSAVE_XSTATE_BV, &xstate_bv, sizeof(xstate_bv));
	memset(t->xsave + XSAVE_XCOMP_BV, 0, XSAVE_XCOMP_BV_SIZE);
	components_save(t, xsave);
}

/* EXITINFO of an event under @miscselect; 0 when the enclave is not told. */
static uint32_t exitinfo(const struct isa_event *event, uint32_t miscselect)
{
	const uint32_t hardware = EXITINFO_VALID | EXITINFO_TYPE_HARDWARE | event->vector;

	if (!event->exception)
		return 0;

	switch (event->vector) {
	case X86_DE:
	case X86_DB:
	case X86_BR:
	case X86_UD:
	case X86_MF:
	case X86_AC:
	case X86_XM:
		return hardware;
	case X86_BP:
		return EXITINFO_VALID | EXITINFO_TYPE_SOFTWARE | event->vector;
	case X86_GP:
		return miscselect & MISC_EXINFO ? hardware : 0;
	case X86_PF:
		/* Implicit supervisor accesses are none of the enclave's business. */
		return miscselect & MISC_EXINFO && event->error_code & PFEC_U ? hardware : 0;
	case X86_CP:
		return miscselect & MISC_CPINFO ? hardware : 0;
	default:
		return 0;
	}
}

/* EXITINFO always; EXINFO when the event carries an error code the enclave may see. */
static void event_save(const struct isa_thread *t, const struct isa_event *event)
{
	const uint32_t info = exitinfo(event, t->miscselect);
	struct sgx_exinfo *exinfo = (struct sgx_exinfo *)(void *)t->gprsgx - 1;

	put32(&t->gprsgx->exitinfo, info);
	if (!info)
		return;

	switch (event->vector) {
	case X86_GP:
		exinfo->maddr = 0;
		exinfo->errcd = event->error_code;
		break;
	case X86_PF:
		exinfo->maddr = event->address;
		exinfo->errcd = event->error_code;
		break;
	case X86_CP:
		exinfo->errcd = event->error_code;
		break;
	}
}

/* Nothing of the enclave shows, and an ENCLU at the AEP resumes it. */
static void synthetic_load(const struct isa_thread *t, struct isa_regs *r)
{
	const uint64_t aep = fetch64(&t->tcs->aep);

	memset(r->gpr, 0, sizeof(r->gpr));
	r->gpr[ISA_RAX] = SYNTHETIC_RAX;
	r->gpr[ISA_RBX] = t->tcs_la;
	r->gpr[ISA_RCX] = aep;
	r->gpr[ISA_RSP] = fetch64(&t->gprsgx->ursp);
	r->gpr[ISA_RBP] = fetch64(&t->gprsgx->urbp);
	r->rip = aep;
	r->rflags = rflags_outside(t, r->rflags & ~RFLAGS_CLEARED);
	r->fsbase = t->host_fsbase;
	r->gsbase = t->host_gsbase;
}

void isa_aex(struct isa_thread *t, struct isa_regs *r, const struct isa_event *event,
	     const void *xsave)
{
	if (!t->inside)
		return;

	gprs_save(t->gprsgx, r);					/* 1 */
	xstate_save(t, xsave);						/* 2 */
	event_save(t, event);						/* 3 */
	synthetic_load(t, r);						/* 4-6 */
	put32(&t->tcs->cssa, fetch32(&t->tcs->cssa) + 1);		/* 7 */
	t->inside = false;
	tcs_release(t->tcs, t->view.blk, t->epoch_slot);
}

/* No address of 48 bits: ERESUME refuses to go there. */
#define NOWHERE (1ull << 63)

void isa_aex_of_dead(struct isa_encl_block *blk, struct sgx_tcs *tcs,
		     struct sgx_gprsgx *gprsgx, uint8_t *xsave)
{
	static const uint8_t initial[XSAVE_HEADER_END];
	static const struct isa_event unknown;
	const struct isa_regs none = { .rip = NOWHERE, .rflags = X86_FIXED };
	const struct isa_thread t = { .gprsgx = gprsgx, .xsave = xsave, .xfrm = XFRM_X87_SSE,
				      .xsave_size = XSAVE_HEADER_END };
	const uint64_t state = fetch64(&tcs->state);

	if (gprsgx && xsave) {
		gprs_save(gprsgx, &none);				/* 1 */
		xstate_save(&t, initial);				/* 2 */
		event_save(&t, &unknown);				/* 3 */
		put32(&tcs->cssa, fetch32(&tcs->cssa) + 1);		/* 7 */
	}
	if (state & ISA_TCS_COUNTED)
		tcs_release(tcs, blk, state & ISA_TCS_SLOT ? 1 : 0);
	else
		__atomic_store_n(&tcs->state, TCS_INACTIVE, __ATOMIC_RELEASE);
}
