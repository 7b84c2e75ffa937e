/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the manager asks of a processor, and of page tables, carried out on the
 * software machine.
 *
 * EPC is addressed the way a kernel's direct map would: physical addresses in
 * the upper half, so that they never meet a pointer of this process.
 *
 * The contents of an EPC page are in the processor's arena, or, for pages of a
 * program, in a memory file it has mapped: then the frame is placed there.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define DIRECT_MAP 0xffff800000000000ull

static uint64_t direct_map(uint64_t pa)
{
	return DIRECT_MAP + pa;
}

/* All EPC is in the direct map, which nobody asks about. */
static bool kernel_translate(void *ctx, uint64_t la, bool write, uint64_t *pa,
			     struct isa_outcome *fault)
{
	*pa = ISA_NO_FRAME;
	return true;
}

/*
 * Ordinary operands are this process's own memory, which never faults.  EADD's
 * source may be in its place already: source.c.
 */
static bool kernel_read(void *ctx, uint64_t la, void *dst, size_t n, struct isa_outcome *fault)
{
	if (dst != (const void *)(uintptr_t)la)
		memcpy(dst, (const void *)(uintptr_t)la, n);
	return true;
}

static bool kernel_write(void *ctx, uint64_t la, const void *src, size_t n,
			 struct isa_outcome *fault)
{
	memcpy((void *)(uintptr_t)la, src, n);
	return true;
}

static const struct isa_mmu kernel_mmu = {
	.translate = kernel_translate,
	.read = kernel_read,
	.write = kernel_write,
};

void processor_init_lp(struct processor *p)
{
	static atomic_uint_fast64_t last_serial;

	p->serial = atomic_fetch_add(&last_serial, 1) + 1;
	isa_lp_init(&p->lp, p->machine, &kernel_mmu, p, 0);
	p->lp.direct_map = (struct isa_direct_map){
		.la = direct_map(p->section.pa),
		.pa = p->section.pa,
		.size = p->section.nr_pages * SGX_PAGE_SIZE,
	};
}

/*
 * Each thread is a logical processor of the machine it last worked for: leaves are short,
 * and those of this file leave nothing in one that the next would notice.
 */
static struct isa_lp *thread_lp(const struct processor *p)
{
	static _Thread_local struct isa_lp lp;
	static _Thread_local uint64_t serial;

	if (serial != p->serial) {
		lp = p->lp;
		serial = p->serial;
	}
	return &lp;
}

static struct isa_outcome encls(struct processor *p, uint32_t leaf, uint64_t rbx, uint64_t rcx,
				uint64_t rdx)
{
	struct isa_lp *lp = thread_lp(p);

	lp->rbx = rbx;
	lp->rcx = rcx;
	lp->rdx = rdx;
	return isa_encls(lp, leaf);
}

/* A leaf with a PAGEINFO, whose SECS the manager names by physical address. */
static struct isa_outcome encls_pageinfo(struct processor *p, uint32_t leaf,
					 const struct sgx_pageinfo *pageinfo, uint64_t page,
					 uint64_t va_slot)
{
	_Alignas(32) struct sgx_pageinfo mapped = *pageinfo;

	if (mapped.secs)
		mapped.secs = direct_map(mapped.secs);
	return encls(p, leaf, (uintptr_t)&mapped, direct_map(page),
		     va_slot ? direct_map(va_slot) : 0);
}

/* --- building ------------------------------------------------------------- */

static struct isa_outcome op_ecreate(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t secs)
{
	return encls_pageinfo(ctx, ISA_ENCLS_ECREATE, pageinfo, secs, 0);
}

static struct isa_outcome op_eadd(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t page)
{
	return encls_pageinfo(ctx, ISA_ENCLS_EADD, pageinfo, page, 0);
}

static struct isa_outcome op_eextend(void *ctx, uint64_t secs, uint64_t chunk)
{
	return encls(ctx, ISA_ENCLS_EEXTEND, direct_map(secs), direct_map(chunk), 0);
}

static struct isa_outcome op_einit(void *ctx, const struct sgx_sigstruct *sigstruct,
				   const struct sgx_einittoken *token, uint64_t secs,
				   const uint64_t lepubkeyhash[4])
{
	struct processor *p = ctx;
	/* The operands' alignment is the leaf's, not the caller's. */
	_Alignas(4096) struct sgx_sigstruct sig = *sigstruct;
	_Alignas(512) struct sgx_einittoken tok = *token;
	struct isa_lp lp = p->lp;

	isa_wrmsr_lepubkeyhash(&lp, lepubkeyhash);
	lp.rbx = (uintptr_t)&sig;
	lp.rcx = direct_map(secs);
	lp.rdx = (uintptr_t)&tok;
	return isa_encls(&lp, ISA_ENCLS_EINIT);
}

/* --- placing --------------------------------------------------------------- */

static struct placement *placement_of(struct processor *p, uint64_t pa)
{
	return &p->placed[isa_machine_frame(p->machine, pa)];
}

static void place(struct placement *placement, uint8_t *memory)
{
	/* Pairs with the acquire in epc_page(). */
	atomic_store_explicit(&placement->memory, memory, memory_order_release);
}

static int mm_place(void *ctx, void *cookie, uint64_t page, uint64_t la)
{
	struct device *dev = cookie;
	const uint64_t offset = la - dev->mem.base;

	if (encl_memory_back(&dev->mem, offset))
		return -ENOMEM;
	place(placement_of(ctx, page), dev->mem.pages + offset);
	return 0;
}

static struct isa_outcome op_eremove(void *ctx, uint64_t page)
{
	struct isa_outcome out = encls(ctx, ISA_ENCLS_EREMOVE, 0, direct_map(page), 0);

	/* Uninitialized: its next contents may live elsewhere. */
	if (isa_is_done(out))
		place(placement_of(ctx, page), NULL);
	return out;
}

/* --- paging ----------------------------------------------------------------- */

static struct isa_outcome op_epa(void *ctx, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EPA, PT_VA, direct_map(page), 0);
}

static struct isa_outcome op_eblock(void *ctx, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EBLOCK, 0, direct_map(page), 0);
}

static struct isa_outcome op_etrack(void *ctx, uint64_t secs)
{
	return encls(ctx, ISA_ENCLS_ETRACK, 0, direct_map(secs), 0);
}

static struct isa_outcome op_ewb(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t page,
				 uint64_t va_slot)
{
	/* In the arena since it was zapped. */
	return encls_pageinfo(ctx, ISA_ENCLS_EWB, pageinfo, page, va_slot);
}

/*
 * Into the arena: the program may look at the page's place at any time, and must
 * find it missing until it is whole.
 */
static struct isa_outcome op_eldu(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t page,
				  uint64_t va_slot)
{
	place(placement_of(ctx, page), NULL);
	return encls_pageinfo(ctx, ISA_ENCLS_ELDU, pageinfo, page, va_slot);
}

/* --- dynamic memory, debugging ------------------------------------------------ */

static struct isa_outcome op_eaug(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t page)
{
	return encls_pageinfo(ctx, ISA_ENCLS_EAUG, pageinfo, page, 0);
}

static struct isa_outcome op_emodpr(void *ctx, const struct sgx_secinfo *secinfo, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EMODPR, (uintptr_t)secinfo, direct_map(page), 0);
}

static struct isa_outcome op_emodt(void *ctx, const struct sgx_secinfo *secinfo, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EMODT, (uintptr_t)secinfo, direct_map(page), 0);
}

static struct isa_epcm_info op_peek(void *ctx, uint64_t page)
{
	struct processor *p = ctx;

	return isa_epcm_peek(p->machine, isa_machine_frame(p->machine, page));
}

struct epc_encls_ops processor_ops(struct processor *p)
{
	return (struct epc_encls_ops){
		.ctx = p,
		.ecreate = op_ecreate,
		.eadd = op_eadd,
		.eextend = op_eextend,
		.einit = op_einit,
		.eremove = op_eremove,
		.epa = op_epa,
		.eblock = op_eblock,
		.etrack = op_etrack,
		.ewb = op_ewb,
		.eldu = op_eldu,
		.eaug = op_eaug,
		.emodpr = op_emodpr,
		.emodt = op_emodt,
		.peek = op_peek,
	};
}

/* --- page tables --------------------------------------------------------------- */

static bool mm_may_evict(void *ctx, void *cookie)
{
	return spaces_reach_all(cookie);
}

/* Return: how many of @pages are in their enclave's memory; these are @placed. */
static unsigned int find_placed(struct processor *p, const struct device *dev,
				const struct epc_mm_page *pages, unsigned int nr,
				struct withdrawn placed[EPC_MM_MAX_PAGES])
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < nr; i++)
		if (placement_of(p, pages[i].page)->memory)
			placed[n++] = (struct withdrawn){
				.offset = pages[i].la - dev->mem.base,
				.to = processor_arena(p, isa_machine_frame(p->machine,
									   pages[i].page)),
			};
	return n;
}

/* What cannot be taken from somebody stays where it is. */
static int mm_zap(void *ctx, void *cookie, const struct epc_mm_page *pages, unsigned int nr)
{
	struct processor *p = ctx;
	struct device *dev = cookie;
	struct withdrawn placed[EPC_MM_MAX_PAGES];
	const unsigned int n = find_placed(p, dev, pages, nr, placed);
	unsigned int taken;

	if (!spaces_reach_all(dev))
		return -EBUSY;
	dev->mem.backed_end = 0;
	atomic_store_explicit(&dev->mem.shared->mailbox.busy, withdrawer_nr_runs(placed, n) > 1,
			      memory_order_relaxed);
	taken = withdrawer_take(&p->withdrawer, dev->mem.pages_fd, placed, n);
	atomic_store_explicit(&dev->mem.shared->mailbox.busy, 0, memory_order_relaxed);
	for (unsigned int i = 0; i < taken; i++) {
		place(&p->placed[(uint64_t)(placed[i].to - p->arena) / SGX_PAGE_SIZE], NULL);
		processor_used(p, placed[i].to);
	}
	return taken == n ? 0 : -ENOMEM;
}

/*
 * The contents appear at once: filling, and writing a whole page into a file, are
 * one act for who looks.
 */
static int mm_map(void *ctx, void *cookie, void *by, const struct epc_mm_page *page)
{
	struct processor *p = ctx;
	struct device *dev = cookie;
	struct placement *placement = placement_of(p, page->page);
	const uint8_t *contents = processor_arena(p, isa_machine_frame(p->machine, page->page));
	const uint64_t offset = page->la - dev->mem.base;

	if (atomic_load_explicit(&placement->memory, memory_order_relaxed))
		return 0;
	if (!(by && spaces_fill(dev, by, page->la, contents)) &&
	    pwrite(dev->mem.pages_fd, contents, SGX_PAGE_SIZE, (off_t)offset) != SGX_PAGE_SIZE)
		return -ENOMEM;
	place(placement, dev->mem.pages + offset);
	return 0;
}

/*
 * Page tables are the only translations, and dropping one from them waits until
 * no processor uses it: nobody has to be interrupted.
 */
static void mm_kick(void *ctx, void *cookie, uint64_t secs)
{
	struct processor *p = ctx;

	isa_flush_translations(p->machine, isa_machine_frame(p->machine, secs));
}

static void mm_changed(void *ctx, void *cookie, uint64_t la, uint64_t page)
{
	struct processor *p = ctx;
	struct device *dev = cookie;
	struct isa_epcm_info info = { 0 };

	if (page != ISA_NO_FRAME)
		info = isa_epcm_peek(p->machine, isa_machine_frame(p->machine, page));
	else
		encl_memory_punch(&dev->mem, la - dev->mem.base, SGX_PAGE_SIZE);
	encl_memory_mirror(&dev->mem, la - dev->mem.base, &info);
}

static void mm_secs_changed(void *ctx, void *cookie, uint64_t page)
{
	device_set_secs(cookie, page);
}

struct epc_mm_ops processor_mm(struct processor *p)
{
	return (struct epc_mm_ops){
		.ctx = p,
		.place = mm_place,
		.may_evict = mm_may_evict,
		.zap = mm_zap,
		.map = mm_map,
		.kick = mm_kick,
		.changed = mm_changed,
		.secs_changed = mm_secs_changed,
	};
}
