/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads that were killed inside an enclave others go on with.
 *
 * On hardware such a thread leaves by an asynchronous exit before it dies.  Here
 * nobody made that exit, and the TCS is held still.  So it is made when somebody
 * wants that TCS: whose address space is gone has no thread left.
 */
#include <errno.h>

#include "internal.h"

/* Pages of the exit: the TCS, where the frame begins, and its last one. */
enum { TCS_PAGE, FIRST_PAGE, LAST_PAGE, NR_PAGES };

struct exit {
	struct device *dev;
	uint64_t offsets[NR_PAGES];
	uint64_t holder;	/* set by look(); 0: there is nothing to do */
	bool done;
};

/* The page at @page, if it is a usable one of type @pt; NULL: it is not. */
static void *contents(const struct exit *e, uint64_t page, uint8_t pt)
{
	struct processor *p = &e->dev->server->processor;
	struct isa_epcm_info info;
	uint64_t frame;

	if (page == ISA_NO_FRAME)
		return NULL;
	frame = isa_machine_frame(p->machine, page);
	info = isa_epcm_peek(p->machine, frame);
	return info.pt == pt && !info.pending && !info.modified ? processor_page(p, frame) : NULL;
}

/* All of it is memory the program can write at any time. */
static uint64_t holder_of(const struct sgx_tcs *tcs)
{
	return __atomic_load_n(&tcs->state, __ATOMIC_RELAXED) >> ISA_TCS_HOLDER_SHIFT;
}

/* Who holds the TCS, and which frame is its current one? */
static void look(void *ctx, const uint64_t *pages)
{
	struct exit *e = ctx;
	const uint64_t size = (uint64_t)e->dev->mem.ssaframesize * SGX_PAGE_SIZE;
	const struct sgx_tcs *tcs = contents(e, pages[TCS_PAGE], PT_TCS);
	const uint64_t holder = tcs ? holder_of(tcs) : 0;

	if (!holder || spaces_have(e->dev, holder))
		return;
	e->holder = holder;
	e->offsets[FIRST_PAGE] = (tcs->ossa & SGX_PAGE_MASK) + tcs->cssa * size;
	e->offsets[LAST_PAGE] = e->offsets[FIRST_PAGE] + size - SGX_PAGE_SIZE;
}

static void leave(void *ctx, const uint64_t *pages)
{
	struct exit *e = ctx;
	struct sgx_tcs *tcs = contents(e, pages[TCS_PAGE], PT_TCS);
	uint8_t *first = contents(e, pages[FIRST_PAGE], PT_REG);
	uint8_t *last = contents(e, pages[LAST_PAGE], PT_REG);
	struct sgx_gprsgx *gprsgx = NULL;

	/* Another one that wanted it may have been faster. */
	if (!tcs || holder_of(tcs) != e->holder)
		return;
	if (last)
		gprsgx = (struct sgx_gprsgx *)(void *)(last + SGX_PAGE_SIZE - sizeof(*gprsgx));
	isa_aex_of_dead(&e->dev->mem.shared->blk, tcs, gprsgx, first);
	e->done = true;
}

int killed_free_tcs(struct device *dev, uint64_t la)
{
	const struct device_range range = device_range(dev);
	struct sgx_encl *encl = uapi_encl_encl(dev->encl);
	struct exit e = { .dev = dev, .offsets = { la - range.base } };

	if (la % SGX_PAGE_SIZE || la - range.base >= range.size)
		return -EINVAL;
	sgx_encl_run(encl, e.offsets, 1, look, &e);
	if (e.holder)
		sgx_encl_run(encl, e.offsets, NR_PAGES, leave, &e);
	return e.done;
}
