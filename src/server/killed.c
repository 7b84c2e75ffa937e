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

static struct sgx_tcs *tcs_of(const struct exit *e)
{
	return (struct sgx_tcs *)(void *)(e->dev->mem.pages + e->offsets[TCS_PAGE]);
}

static struct isa_epcm_info info_of(const struct exit *e, uint64_t page)
{
	struct isa_machine *m = e->dev->server->processor.machine;

	return isa_epcm_peek(m, isa_machine_frame(m, page));
}

/* All of it is memory the program can write at any time. */
static uint64_t read_state(const struct exit *e)
{
	return __atomic_load_n(&tcs_of(e)->state, __ATOMIC_RELAXED);
}

/* Who holds the TCS, and which frame is its current one? */
static void look(void *ctx, const uint64_t *pages)
{
	struct exit *e = ctx;
	const uint64_t size = (uint64_t)e->dev->mem.ssaframesize * SGX_PAGE_SIZE;
	uint64_t holder;

	if (pages[TCS_PAGE] == ISA_NO_FRAME || info_of(e, pages[TCS_PAGE]).pt != PT_TCS)
		return;
	holder = read_state(e) >> ISA_TCS_HOLDER_SHIFT;
	if (!holder || spaces_have(e->dev, holder))
		return;
	e->holder = holder;
	e->offsets[FIRST_PAGE] = (tcs_of(e)->ossa & SGX_PAGE_MASK) + tcs_of(e)->cssa * size;
	e->offsets[LAST_PAGE] = e->offsets[FIRST_PAGE] + size - SGX_PAGE_SIZE;
}

static uint8_t *frame_page(const struct exit *e, const uint64_t *pages, unsigned int i)
{
	struct isa_epcm_info info;

	if (pages[i] == ISA_NO_FRAME)
		return NULL;
	info = info_of(e, pages[i]);
	if (info.pt != PT_REG || !(info.rwx & SECINFO_W) || info.pending || info.modified)
		return NULL;
	return e->dev->mem.pages + e->offsets[i];
}

static void leave(void *ctx, const uint64_t *pages)
{
	struct exit *e = ctx;
	uint8_t *first = frame_page(e, pages, FIRST_PAGE);
	uint8_t *last = frame_page(e, pages, LAST_PAGE);
	struct sgx_gprsgx *gprsgx = NULL;

	/* Another one that wanted it may have been faster. */
	if (pages[TCS_PAGE] == ISA_NO_FRAME || info_of(e, pages[TCS_PAGE]).pt != PT_TCS ||
	    read_state(e) >> ISA_TCS_HOLDER_SHIFT != e->holder)
		return;
	if (last)
		gprsgx = (struct sgx_gprsgx *)(void *)(last + SGX_PAGE_SIZE - sizeof(*gprsgx));
	isa_aex_of_dead(&e->dev->mem.shared->blk, tcs_of(e), gprsgx, first);
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
