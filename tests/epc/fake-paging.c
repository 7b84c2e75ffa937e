/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fake processor's leaves for paging and for pages of running enclaves, with
 * the manual's tracking, and the memory management around them.  What "encryption"
 * leaves outside is the page as it was, and a version that must be the slot's.
 */
#include "fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ciphertext {
	struct fake_page page;
	uint64_t version, eid;
};

static struct isa_outcome done(void)
{
	return (struct isa_outcome){ .kind = ISA_DONE };
}

static struct isa_outcome info(uint32_t code)
{
	return (struct isa_outcome){ .kind = ISA_INFO, .code = code };
}

static bool is_child(const struct fake_page *page)
{
	return page->pt != PT_SECS && page->pt != PT_VA;
}

static bool is_tracked(struct fake *f, const struct fake_page *page)
{
	const struct fake_page *secs = fake_page_at(f, page->secs);

	return page->stamp == FAKE_TRACKED || secs->epoch > page->stamp + 1 ||
	       (secs->epoch == page->stamp + 1 && !secs->nr_previous);
}

static void stamp(struct fake *f, struct fake_page *page)
{
	page->stamp = fake_page_at(f, page->secs)->epoch;
}

static uint64_t *slot_at(struct fake *f, uint64_t pa)
{
	struct fake_page *va = fake_page_at(f, pa & SGX_PAGE_MASK);

	assert_int_equal(pa % 8, 0);
	return va->valid && va->pt == PT_VA ? &va->versions[pa % SGX_PAGE_SIZE / 8] : NULL;
}

/* --- paging ---------------------------------------------------------------- */

static struct isa_outcome epa(struct fake *f, uint64_t pa)
{
	struct fake_page *page = fake_page_at(f, pa);

	assert_false(page->valid);
	*page = (struct fake_page){ .valid = true, .pt = PT_VA };
	page->versions = calloc(SGX_PAGE_SIZE / 8, sizeof(*page->versions));
	return done();
}

static struct isa_outcome eblock(struct fake *f, uint64_t pa)
{
	struct fake_page *page = fake_page_at(f, pa);

	assert_true(page->valid);
	assert_true(is_child(page));
	assert_false(page->mapped);
	if (page->blocked)
		return info(SGX_BLKSTATE);
	page->blocked = true;
	stamp(f, page);
	return done();
}

static struct isa_outcome etrack(struct fake *f, uint64_t pa)
{
	struct fake_page *secs = fake_page_at(f, pa);

	assert_true(secs->valid && secs->pt == PT_SECS);
	if (secs->nr_previous)
		return fake_error(SGX_PREV_TRK_INCMPL);
	secs->nr_previous = secs->nr_current;
	secs->nr_current = 0;
	secs->epoch++;
	return done();
}

static struct isa_outcome ewb_check(struct fake *f, const struct fake_page *page)
{
	if (!is_child(page))
		return page->nr_children ? fake_error(SGX_CHILD_PRESENT) : done();
	if (!page->blocked)
		return fake_error(SGX_PAGE_NOT_BLOCKED);
	return is_tracked(f, page) ? done() : fake_error(SGX_NOT_TRACKED);
}

static struct isa_outcome ewb(struct fake *f, struct sgx_pageinfo *pi, uint64_t pa, uint64_t slot)
{
	struct sgx_pcmd *pcmd = (void *)(uintptr_t)pi->secinfo_or_pcmd;
	struct ciphertext *to = (void *)(uintptr_t)pi->srcpge;
	struct fake_page *page = fake_page_at(f, pa);
	uint64_t *version = slot_at(f, slot);
	struct isa_outcome out;

	assert_true(page->valid && version);
	assert_false(page->mapped);
	out = ewb_check(f, page);
	if (!isa_is_done(out))
		return out;
	/* Whose version would that be? */
	assert_int_equal(*version, 0);
	*version = ++f->last_version;
	to->page = *page;
	to->version = *version;
	to->eid = is_child(page) ? fake_page_at(f, page->secs)->eid : page->eid;
	pcmd->enclaveid = to->eid;
	memcpy(pcmd->mac, version, sizeof(*version));
	pi->linaddr = is_child(page) ? page->la : 0;
	if (is_child(page))
		fake_page_at(f, page->secs)->nr_children--;
	page->valid = page->placed = false;
	return done();
}

static struct isa_outcome eldu(struct fake *f, const struct sgx_pageinfo *pi, uint64_t pa,
			       uint64_t slot)
{
	const struct sgx_pcmd *pcmd = (void *)(uintptr_t)pi->secinfo_or_pcmd;
	const struct ciphertext *from = (void *)(uintptr_t)pi->srcpge;
	struct fake_page *page = fake_page_at(f, pa);
	uint64_t *version = slot_at(f, slot);

	assert_true(!page->valid && version);
	if (from->version != *version || memcmp(pcmd->mac, version, sizeof(*version)))
		return fake_error(SGX_MAC_COMPARE_FAIL);
	if (is_child(&from->page)) {
		if (fake_page_at(f, pi->secs)->eid != from->eid || from->page.la != pi->linaddr)
			return fake_error(SGX_MAC_COMPARE_FAIL);
		fake_page_at(f, pi->secs)->nr_children++;
	}
	*page = from->page;
	page->blocked = page->young = page->mapped = false;
	page->placed = is_child(page);
	page->secs = pi->secs;
	page->stamp = FAKE_TRACKED;
	*version = 0;
	return done();
}

/* --- pages of running enclaves ---------------------------------------------- */

static struct isa_outcome eaug(struct fake *f, const struct sgx_pageinfo *pi, uint64_t pa)
{
	struct fake_page *page = fake_page_at(f, pa);

	assert_false(page->valid);
	assert_true(page->placed && page->la == pi->linaddr);
	assert_true(fake_page_at(f, pi->secs)->initialized);
	assert_true(pi->srcpge == 0 && pi->secinfo_or_pcmd == 0);
	*page = (struct fake_page){
		.valid = true, .pt = PT_REG, .pending = true, .la = pi->linaddr, .placed = true,
		.secs = pi->secs, .stamp = FAKE_TRACKED, .cookie = page->cookie,
	};
	fake_page_at(f, pi->secs)->nr_children++;
	return done();
}

static struct isa_outcome emodpr(struct fake *f, const struct sgx_secinfo *secinfo, uint64_t pa)
{
	struct fake_page *page = fake_page_at(f, pa);

	assert_int_equal((uintptr_t)secinfo % 64, 0);
	assert_true(page->valid);
	if (page->pending || page->modified)
		return fake_error(SGX_PAGE_NOT_MODIFIABLE);
	if (page->pt != PT_REG)
		return fake_fault(X86_PF);
	page->pr = true;
	stamp(f, page);
	return done();
}

static struct isa_outcome emodt(struct fake *f, const struct sgx_secinfo *secinfo, uint64_t pa)
{
	struct fake_page *page = fake_page_at(f, pa);

	assert_int_equal((uintptr_t)secinfo % 64, 0);
	assert_true(page->valid);
	assert_false(page->mapped);
	if (page->pending || page->modified)
		return fake_error(SGX_PAGE_NOT_MODIFIABLE);
	page->pt = (uint8_t)(secinfo->flags >> SECINFO_PT_SHIFT);
	page->pr = false;
	page->modified = true;
	stamp(f, page);
	return done();
}

static struct isa_outcome edbg(struct fake *f, uint64_t addr, uint64_t *data, bool write)
{
	struct fake_page *page = fake_page_at(f, addr & SGX_PAGE_MASK);
	const size_t at = addr % SGX_PAGE_SIZE;

	assert_int_equal(addr % 8, 0);
	assert_true(page->valid);
	if (!write)
		*data = 0;
	if (at >= FAKE_CONTENTS)
		return done();
	if (write)
		memcpy(page->contents + at, data, sizeof(*data));
	else
		memcpy(data, page->contents + at, sizeof(*data));
	return done();
}

/* --- the table ---------------------------------------------------------------- */

/* One leaf at a time, and the script before the processor. */
#define EXECUTE(leaf, call)					\
	struct fake *f = ctx;					\
	struct isa_outcome out;					\
								\
	pthread_mutex_lock(&f->mutex);				\
	if (!fake_scripted(f, leaf, &out))			\
		out = call;					\
	pthread_mutex_unlock(&f->mutex);			\
	return out

static struct isa_outcome op_epa(void *ctx, uint64_t page)
{
	EXECUTE(FAKE_EPA, epa(f, page));
}

static struct isa_outcome op_eblock(void *ctx, uint64_t page)
{
	EXECUTE(FAKE_EBLOCK, eblock(f, page));
}

static struct isa_outcome op_etrack(void *ctx, uint64_t secs)
{
	EXECUTE(FAKE_ETRACK, etrack(f, secs));
}

static void assert_paging_operands(const struct sgx_pageinfo *pi)
{
	assert_int_equal((uintptr_t)pi % 32, 0);
	assert_int_equal(pi->secinfo_or_pcmd % 128, 0);
	assert_int_equal(pi->srcpge % SGX_PAGE_SIZE, 0);
}

static struct isa_outcome op_ewb(void *ctx, struct sgx_pageinfo *pi, uint64_t page, uint64_t slot)
{
	assert_paging_operands(pi);
	assert_true(pi->linaddr == 0 && pi->secs == 0);
	EXECUTE(FAKE_EWB, ewb(f, pi, page, slot));
}

static struct isa_outcome op_eldu(void *ctx, struct sgx_pageinfo *pi, uint64_t page, uint64_t slot)
{
	assert_paging_operands(pi);
	EXECUTE(FAKE_ELDU, eldu(f, pi, page, slot));
}

static struct isa_outcome op_eaug(void *ctx, struct sgx_pageinfo *pi, uint64_t page)
{
	assert_int_equal((uintptr_t)pi % 32, 0);
	EXECUTE(FAKE_EAUG, eaug(f, pi, page));
}

static struct isa_outcome op_emodpr(void *ctx, const struct sgx_secinfo *secinfo, uint64_t page)
{
	EXECUTE(FAKE_EMODPR, emodpr(f, secinfo, page));
}

static struct isa_outcome op_emodt(void *ctx, const struct sgx_secinfo *secinfo, uint64_t page)
{
	EXECUTE(FAKE_EMODT, emodt(f, secinfo, page));
}

static struct isa_outcome op_edbgrd(void *ctx, uint64_t addr, uint64_t *data)
{
	EXECUTE(FAKE_EDBGRD, edbg(f, addr, data, false));
}

static struct isa_outcome op_edbgwr(void *ctx, uint64_t addr, uint64_t data)
{
	EXECUTE(FAKE_EDBGWR, edbg(f, addr, &data, true));
}

void fake_paging_ops(struct epc_encls_ops *ops)
{
	ops->epa = op_epa;
	ops->eblock = op_eblock;
	ops->etrack = op_etrack;
	ops->ewb = op_ewb;
	ops->eldu = op_eldu;
	ops->eaug = op_eaug;
	ops->emodpr = op_emodpr;
	ops->emodt = op_emodt;
	ops->edbgrd = op_edbgrd;
	ops->edbgwr = op_edbgwr;
}

/* --- memory management ---------------------------------------------------------- */

static struct fake_page *find(struct fake *f, void *cookie, uint64_t la)
{
	size_t i;

	for (i = 0; i < f->nr_pages; i++) {
		if (f->pages[i].placed && f->pages[i].cookie == cookie && f->pages[i].la == la)
			return &f->pages[i];
	}
	return NULL;
}

struct fake_page *fake_page_of(struct fake *f, void *cookie, uint64_t la)
{
	struct fake_page *page;

	pthread_mutex_lock(&f->mutex);
	page = find(f, cookie, la);
	pthread_mutex_unlock(&f->mutex);
	return page;
}

static void set_mapped(struct fake *f, const struct epc_mm_page *at, bool mapped)
{
	struct fake_page *page;

	pthread_mutex_lock(&f->mutex);
	page = fake_page_at(f, at->page);
	assert_true(page->valid && page->la == at->la);
	/* Who maps a blocked page gets a fault out of each access to it. */
	assert_false(mapped && page->blocked);
	page->mapped = mapped;
	/* The access that faulted is made again. */
	page->young |= mapped;
	pthread_mutex_unlock(&f->mutex);
}

static int mm_zap(void *ctx, void *cookie, const struct epc_mm_page *pages, unsigned int nr)
{
	struct fake *f = ctx;

	assert_in_range(nr, 1, EPC_MM_MAX_PAGES);
	if (f->may_not_zap)
		return -EBUSY;
	for (unsigned int i = 0; i < nr; i++)
		set_mapped(f, &pages[i], false);
	return 0;
}

static int mm_map(void *ctx, void *cookie, void *by, const struct epc_mm_page *page)
{
	set_mapped(ctx, page, true);
	return 0;
}

static bool mm_may_evict(void *ctx, void *cookie)
{
	return !((struct fake *)ctx)->may_not_evict;
}

static bool mm_young(void *ctx, void *cookie, uint64_t la)
{
	struct fake *f = ctx;
	struct fake_page *page;
	bool young;

	pthread_mutex_lock(&f->mutex);
	page = find(f, cookie, la);
	assert_non_null(page);
	young = page->young;
	page->young = false;
	pthread_mutex_unlock(&f->mutex);
	return young;
}

/* Everybody leaves, and comes back. */
static void mm_kick(void *ctx, void *cookie, uint64_t pa)
{
	struct fake *f = ctx;
	struct fake_page *secs;

	pthread_mutex_lock(&f->mutex);
	secs = fake_page_at(f, pa);
	assert_true(secs->valid && secs->pt == PT_SECS);
	f->nr_kicks++;
	if (f->nr_deaf_kicks) {
		f->nr_deaf_kicks--;
	} else {
		secs->nr_current += secs->nr_previous;
		secs->nr_previous = 0;
	}
	pthread_mutex_unlock(&f->mutex);
}

void fake_paging_mm(struct epc_mm_ops *mm)
{
	mm->zap = mm_zap;
	mm->map = mm_map;
	mm->may_evict = mm_may_evict;
	mm->young = mm_young;
	mm->kick = mm_kick;
}

bool fake_touch(struct fake *f, void *cookie, uint64_t la)
{
	struct fake_page *page;
	bool ok;

	pthread_mutex_lock(&f->mutex);
	page = find(f, cookie, la);
	ok = page && page->mapped;
	if (ok)
		page->young = true;
	pthread_mutex_unlock(&f->mutex);
	return ok;
}

bool fake_accept(struct fake *f, struct fake_page *page)
{
	bool ok;

	pthread_mutex_lock(&f->mutex);
	ok = page->valid && !page->blocked && is_tracked(f, page) &&
	     (page->pending || page->modified || page->pr);
	if (ok)
		page->pending = page->modified = page->pr = false;
	pthread_mutex_unlock(&f->mutex);
	return ok;
}

void fake_enter(struct fake *f, uint64_t secs)
{
	pthread_mutex_lock(&f->mutex);
	fake_page_at(f, secs)->nr_current++;
	pthread_mutex_unlock(&f->mutex);
}
