/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The enclave as the processor knows it: the internal half of a SECS, the
 * rules of XFRM, and the block that entry and exit share with us.
 */
#include <errno.h>

#include "internal.h"

static_assert(ISA_SECS_STATE_OFFSET >= offsetof(struct sgx_secs, reserved_262),
	      "internal state lies in the reserved part");
static_assert(ISA_SECS_STATE_OFFSET + sizeof(struct isa_secs_state) <= SGX_PAGE_SIZE,
	      "and in the page");

#define XSAVE_LEGACY_AND_HEADER 576u

uint32_t isa_xsave_size(const struct isa_machine *m, uint64_t xfrm)
{
	uint32_t size = XSAVE_LEGACY_AND_HEADER;

	for (unsigned int i = 2; i < 64; i++)
		if ((xfrm >> i & 1) && m->config.xsave_size[i] > size)
			size = m->config.xsave_size[i];
	return size;
}

/* Components that XCR0 takes together or not at all. */
static bool is_all_or_none(uint64_t xfrm, uint64_t group)
{
	return !(xfrm & group) || (xfrm & group) == group;
}

bool isa_xfrm_is_legal(const struct isa_machine *m, uint64_t xfrm)
{
	const uint64_t mpx = 0x18, amx = 0x60000;

	if (xfrm & ~m->xfrm)
		return false;
	if (!is_all_or_none(xfrm, mpx) || !is_all_or_none(xfrm, amx))
		return false;
	return is_all_or_none(xfrm, XFRM_AVX512) &&
	       (!(xfrm & XFRM_AVX512) || (xfrm & XFRM_AVX));
}

/* What entry and exit need to know, apart from the counters. */
static void fill_block(const struct isa_machine *m, struct isa_encl_block *blk,
		       const struct sgx_secs *secs, struct isa_secs_state *state)
{
	blk->base = secs->baseaddr;
	blk->size = secs->size;
	blk->attributes = secs->attributes.flags;
	blk->xfrm = secs->attributes.xfrm;
	blk->miscselect = secs->miscselect;
	blk->ssaframesize = secs->ssaframesize;
	blk->xsave_size = state->xsave_size;
	blk->features = m->config.profile->cpuid_12_0_eax;
	blk->allowed_attributes = m->config.profile->attributes;
	atomic_store_explicit(&blk->epoch,
			      atomic_load_explicit(&state->epoch, memory_order_acquire),
			      memory_order_relaxed);
	/* Pairs with the acquire in EENTER: all of the block before INIT. */
	atomic_store_explicit(&blk->initialized,
			      atomic_load_explicit(&state->initialized, memory_order_acquire),
			      memory_order_release);
}

void isa_secs_reset(struct isa_machine *m, uint64_t frame, struct sgx_secs *secs)
{
	struct isa_secs_state *state = isa_secs_state(secs);

	memset(state, 0, sizeof(*state));
	state->eid = atomic_fetch_add_explicit(&m->next_eid, 1, memory_order_relaxed);
	state->xsave_size = isa_xsave_size(m, secs->attributes.xfrm);
	atomic_init(&state->enclavecontext, isa_machine_pa(m, frame));
	fill_block(m, &state->block, secs, state);
}

static struct isa_secs_state *state_at(struct isa_machine *m, uint64_t frame)
{
	return isa_secs_state(isa_epc_page(m, &m->epcm[frame]));
}

/* @frame is a valid SECS. */
static struct isa_encl_block *block_at(struct isa_machine *m, uint64_t frame)
{
	struct isa_encl_block *shared = atomic_load_explicit(&m->shared[frame],
							     memory_order_acquire);

	return shared ? shared : &state_at(m, frame)->block;
}

struct isa_encl_block *isa_secs_block(struct isa_machine *m, uint64_t frame)
{
	if (frame >= m->nr_frames || !isa_epcm_is_secs(&m->epcm[frame]))
		return NULL;
	return block_at(m, frame);
}

bool isa_secs_is_active(struct isa_machine *m, uint64_t frame)
{
	struct isa_encl_block *blk = block_at(m, frame);

	return atomic_load(&blk->nr_inside[0]) || atomic_load(&blk->nr_inside[1]);
}

/* --- child pages ---------------------------------------------------------- */

void isa_secs_add_child(struct sgx_secs *secs)
{
	atomic_fetch_add_explicit(&isa_secs_state(secs)->nr_children, 1, memory_order_relaxed);
}

void isa_secs_drop_child(struct isa_machine *m, uint32_t frame)
{
	/* Pairs with the acquire of whoever removes the SECS. */
	if (!atomic_fetch_sub_explicit(&state_at(m, frame)->nr_children, 1, memory_order_release))
		isa_bug();
}

/* --- tracking ------------------------------------------------------------- */

/*
 * Has everybody who entered before @epoch, the current one, left since?  Where
 * stragglers cannot be told from who entered in this epoch, all count.
 */
static bool earlier_are_out(struct isa_machine *m, uint64_t frame, uint64_t epoch)
{
	struct isa_secs_state *state = state_at(m, frame);
	struct isa_encl_block *blk = block_at(m, frame);

	if (atomic_load(&state->flushed) >= epoch)
		return true;
	if (atomic_load(&state->has_stragglers) && atomic_load(&blk->nr_inside[epoch & 1]))
		return false;
	return !atomic_load(&blk->nr_inside[(epoch + 1) & 1]);
}

bool isa_secs_try_track(struct sgx_secs *secs)
{
	uint8_t nobody = 0;

	return atomic_compare_exchange_strong(&isa_secs_state(secs)->tracking, &nobody,
					      ISA_TRACKING);
}

void isa_secs_release_track(struct sgx_secs *secs)
{
	atomic_store(&isa_secs_state(secs)->tracking, 0);
}

bool isa_secs_try_hold_epoch(struct sgx_secs *secs)
{
	_Atomic uint8_t *tracking = &isa_secs_state(secs)->tracking;
	uint8_t n = atomic_load(tracking);

	while (n < ISA_TRACKING - 1)
		if (atomic_compare_exchange_weak(tracking, &n, (uint8_t)(n + 1)))
			return true;
	return false;
}

void isa_secs_release_epoch(struct sgx_secs *secs)
{
	atomic_fetch_sub(&isa_secs_state(secs)->tracking, 1);
}

bool isa_secs_track(struct isa_machine *m, uint64_t frame)
{
	struct isa_secs_state *state = state_at(m, frame);
	struct isa_encl_block *blk = block_at(m, frame);
	const uint64_t epoch = atomic_load(&state->epoch);

	if (!earlier_are_out(m, frame, epoch))
		return false;
	/* Who flushed and stayed is counted where the new epoch is going to count. */
	atomic_store(&state->has_stragglers, atomic_load(&blk->nr_inside[(epoch + 1) & 1]) > 0);
	/* The machine's own first: a page stamped from here on waits for us. */
	atomic_store(&state->epoch, epoch + 1);
	atomic_store(&blk->epoch, epoch + 1);
	return true;
}

bool isa_is_tracked(struct isa_machine *m, const struct isa_epcm *e)
{
	const uint64_t stamp = atomic_load_explicit(&e->stamp, memory_order_relaxed);
	const uint32_t owner = isa_epcm_secs(e);
	uint64_t epoch;

	if (stamp == EPCM_TRACKED)
		return true;
	epoch = atomic_load(&state_at(m, owner)->epoch);
	/* Two epochs on, the second ETRACK has seen to the first. */
	return epoch > stamp + 1 || (epoch == stamp + 1 && earlier_are_out(m, owner, epoch));
}

void isa_flush_translations(struct isa_machine *m, uint64_t frame)
{
	struct isa_secs_state *state;

	if (frame >= m->nr_frames || !isa_epcm_is_secs(&m->epcm[frame]))
		return;
	state = state_at(m, frame);
	atomic_store(&state->flushed, atomic_load(&state->epoch));
}

/* --- sharing -------------------------------------------------------------- */

void isa_secs_forget(struct isa_machine *m, uint64_t frame)
{
	atomic_store_explicit(&m->shared[frame], NULL, memory_order_release);
}

void isa_secs_reload(struct isa_machine *m, uint64_t frame, struct sgx_secs *secs)
{
	struct isa_secs_state *state = isa_secs_state(secs);

	atomic_store(&state->enclavecontext, isa_machine_pa(m, frame));
	/* It went out without child pages, so without anybody inside. */
	fill_block(m, &state->block, secs, state);
	isa_secs_forget(m, frame);
}

void isa_secs_publish_init(struct isa_machine *m, const struct isa_epcm *e,
			   const struct sgx_secs *secs)
{
	struct isa_encl_block *blk = block_at(m, isa_epcm_frame(m, e));

	blk->attributes = secs->attributes.flags;
	/* Pairs with the acquire in EENTER: INIT is visible before it. */
	atomic_store_explicit(&blk->initialized, 1, memory_order_release);
}

int isa_secs_share(struct isa_machine *m, uint64_t frame, struct isa_encl_block *blk)
{
	struct sgx_secs *secs;

	if (frame >= m->nr_frames || !isa_epcm_is_secs(&m->epcm[frame]))
		return -EINVAL;
	secs = isa_epc_page(m, &m->epcm[frame]);
	fill_block(m, blk, secs, isa_secs_state(secs));
	atomic_store_explicit(&m->shared[frame], blk, memory_order_release);
	return 0;
}

void isa_secs_unshare(struct isa_machine *m, uint64_t frame)
{
	struct isa_encl_block *own;
	struct sgx_secs *secs;

	if (frame >= m->nr_frames || !isa_epcm_is_secs(&m->epcm[frame]))
		return;
	secs = isa_epc_page(m, &m->epcm[frame]);
	own = &isa_secs_state(secs)->block;
	atomic_store_explicit(&own->nr_inside[0], 0, memory_order_relaxed);
	atomic_store_explicit(&own->nr_inside[1], 0, memory_order_relaxed);
	atomic_store(&isa_secs_state(secs)->has_stragglers, false);
	fill_block(m, own, secs, isa_secs_state(secs));
	isa_secs_forget(m, frame);
}
