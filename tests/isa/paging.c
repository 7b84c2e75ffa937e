/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "paging.h"

#define TCS2_OFFSET 0x8000u
#define AEP 0x401000u

struct isa_fixture *paging_create(void)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_start(f, NULL, 0);
	assert_done(paging_epa(f, PAGING_VA));
	assert_done(paging_epa(f, PAGING_VA2));
	return f;
}

int paging_setup(void **state)
{
	*state = paging_create();
	return 0;
}

/* --- leaves -------------------------------------------------------------- */

uint64_t paging_slot(struct isa_fixture *f, uint64_t va_frame, unsigned int slot)
{
	return isa_fixture_la(f, va_frame) + slot * 8;
}

uint64_t paging_slot_value(struct isa_fixture *f, uint64_t va_frame, unsigned int slot)
{
	return ((uint64_t *)isa_fixture_contents(f, va_frame))[slot];
}

static struct isa_outcome encls_rcx(struct isa_fixture *f, enum isa_leaf leaf, uint64_t frame)
{
	f->os.rcx = isa_fixture_la(f, frame);
	return isa_encls(&f->os, leaf);
}

struct isa_outcome paging_epa(struct isa_fixture *f, uint64_t frame)
{
	f->os.rbx = PT_VA;
	return encls_rcx(f, ISA_ENCLS_EPA, frame);
}

struct isa_outcome paging_eblock(struct isa_fixture *f, uint64_t frame)
{
	return encls_rcx(f, ISA_ENCLS_EBLOCK, frame);
}

struct isa_outcome paging_etrack(struct isa_fixture *f, uint64_t secs_frame)
{
	return encls_rcx(f, ISA_ENCLS_ETRACK, secs_frame);
}

struct isa_outcome paging_ewb(struct isa_fixture *f, uint64_t frame, unsigned int slot,
			      struct paged_out *p)
{
	struct isa_outcome out;

	f->pageinfo = (struct sgx_pageinfo){
		.srcpge = (uintptr_t)p->page,
		.secinfo_or_pcmd = (uintptr_t)&p->pcmd,
	};
	f->os.rbx = (uintptr_t)&f->pageinfo;
	f->os.rdx = paging_slot(f, PAGING_VA, slot);
	out = encls_rcx(f, ISA_ENCLS_EWB, frame);
	p->linaddr = f->pageinfo.linaddr;
	return out;
}

struct isa_outcome paging_eld(struct isa_fixture *f, enum isa_leaf leaf, uint64_t frame,
			      uint64_t secs_frame, unsigned int slot, struct paged_out *p)
{
	f->pageinfo = (struct sgx_pageinfo){
		.linaddr = p->linaddr,
		.srcpge = (uintptr_t)p->page,
		.secinfo_or_pcmd = (uintptr_t)&p->pcmd,
		.secs = secs_frame == ISA_NO_FRAME ? 0 : isa_fixture_la(f, secs_frame),
	};
	f->os.rbx = (uintptr_t)&f->pageinfo;
	f->os.rdx = paging_slot(f, PAGING_VA, slot);
	return encls_rcx(f, leaf, frame);
}

void paging_out(struct isa_fixture *f, uint64_t frame, unsigned int slot, struct paged_out *p)
{
	const uint64_t secs = isa_epcm_peek(f->m, frame).secs_frame;

	assert_done(paging_eblock(f, frame));
	assert_done(paging_etrack(f, secs));
	assert_done(paging_ewb(f, frame, slot, p));
}

/* --- pages no leaf of the test makes -------------------------------------- */

void paging_fake(struct isa_fixture *f, uint64_t frame, uint32_t secs, uint64_t word)
{
	if (secs != EPCM_NO_SECS)
		isa_secs_add_child(isa_fixture_contents(f, secs));
	isa_epcm_set(&f->m->epcm[frame], secs, word | EPCM_VALID);
}

void paging_add_tcs(struct isa_fixture *f)
{
	uint8_t *page = isa_fixture_contents(f, PAGING_TCS2);

	isa_fixture_source(FIXTURE_TCS, page);
	((struct sgx_tcs *)(void *)page)->ossa = 0x2000;
	f->la[PAGING_TCS2] = FIXTURE_BASE + TCS2_OFFSET;
	paging_fake(f, PAGING_TCS2, FIXTURE_SECS,
		    (FIXTURE_BASE + TCS2_OFFSET) | EPCM_PT(PT_TCS));
}

/* --- processors inside ---------------------------------------------------- */

static bool view_page(void *ctx, uint64_t la, bool write, struct isa_epcm_info *info,
		      void **page, struct isa_outcome *fault)
{
	struct isa_fixture *f = ctx;

	info->valid = false;
	for (uint64_t i = 0; i < FIXTURE_NR_FRAMES; i++) {
		if (f->la[i] != la)
			continue;
		*info = isa_epcm_peek(f->m, i);
		*page = isa_fixture_contents(f, i);
	}
	(void)write;
	(void)fault;
	return true;
}

struct isa_outcome paging_try_enter(struct isa_fixture *f, struct isa_thread *t, uint64_t frame)
{
	const struct isa_encl_view view = {
		.blk = isa_secs_block(f->m, FIXTURE_SECS),
		.page = view_page,
		.ctx = f,
		.xcr0 = XFRM_X87_SSE,
	};
	struct isa_regs r = { .gpr = { [ISA_RBX] = f->la[frame], [ISA_RCX] = AEP } };

	memset(t, 0, sizeof(*t));
	return isa_eenter(t, &view, &r);
}

void paging_enter(struct isa_fixture *f, struct isa_thread *t, uint64_t frame)
{
	assert_done(paging_try_enter(f, t, frame));
}

void paging_exit(struct isa_thread *t)
{
	struct isa_regs r = { .gpr = { [ISA_RBX] = AEP } };

	assert_done(isa_eexit(t, &r));
}

void paging_interrupt(struct isa_thread *t)
{
	static const uint8_t image[SGX_PAGE_SIZE];
	const struct isa_event event = { .exception = false };
	struct isa_regs r = { .rip = FIXTURE_BASE + 0x3000 };

	isa_aex(t, &r, &event, image);
	assert_false(t->inside);
}

/* --- snapshots ------------------------------------------------------------ */

struct paging_snapshot *paging_snapshot(struct isa_fixture *f)
{
	struct paging_snapshot *s = malloc(sizeof(*s));

	assert_non_null(s);
	memcpy(s->epc, f->epc, sizeof(s->epc));
	memcpy(s->epcm, f->m->epcm, sizeof(s->epcm));
	return s;
}

void paging_assert_unchanged(struct isa_fixture *f, struct paging_snapshot *s)
{
	assert_memory_equal(s->epcm, f->m->epcm, sizeof(s->epcm));
	for (uint64_t i = 0; i < FIXTURE_NR_FRAMES; i++)
		if (isa_epcm_peek(f->m, i).valid)
			assert_memory_equal(s->epc[i], isa_fixture_contents(f, i), SGX_PAGE_SIZE);
	free(s);
}
