/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What entry and exit see of an enclave: its pages where they are mapped, with what
 * the mirror says of their EPCM entries.
 */
#include <sys/mman.h>

#include "client.h"

static bool knows(const struct client_lookup *known, uint64_t la)
{
	if (known->generation != client_vma_generation())
		return false;
	for (unsigned int i = 0; i < known->nr; i++)
		if (known->writable[i] == la)
			return true;
	return false;
}

static void learn(struct client_lookup *known, uint64_t la)
{
	const unsigned int max = sizeof(known->writable) / sizeof(known->writable[0]);

	known->writable[known->next] = la;
	known->next = (known->next + 1) % max;
	if (known->nr < max)
		known->nr++;
}

struct client_encl *client_encl_enter(struct client_thread *thread, uint64_t tcs)
{
	struct client_lookup *const known = &thread->known;
	struct client_encl *encl;

	if (knows(known, tcs)) {
		thread->encl = known->encl;
		return known->encl;
	}
	client_lock_blocked();
	encl = client_encl_at(tcs);
	if (encl != known->encl || known->generation != client_vma_generation())
		*known = (struct client_lookup){
			.generation = client_vma_generation(),
			.encl = encl,
		};
	client_unlock_blocked();
	thread->encl = encl;
	return encl;
}

/* What of an access the program's mappings decide: is there one, and does it allow that? */
static bool look_up(struct client_thread *thread, uint64_t la, bool write, bool *mapped)
{
	const int prot = write ? PROT_WRITE : PROT_READ | PROT_WRITE | PROT_EXEC;
	const struct client_vma *vma;
	bool allowed;

	client_lock_blocked();
	vma = client_vma_find(la);
	*mapped = vma;
	allowed = vma && vma->encl == thread->encl && (vma->prot & prot);
	if (allowed && write && thread->known.encl == thread->encl &&
	    thread->known.generation == client_vma_generation())
		learn(&thread->known, la);
	client_unlock_blocked();
	return allowed;
}

static bool view_page(void *ctx, uint64_t la, bool write, struct isa_epcm_info *info,
		      void **page, struct isa_outcome *fault)
{
	struct client_thread *const thread = ctx;
	const struct client_encl *const encl = thread->encl;
	const uint16_t entry = client_encl_mirror(encl, la);
	bool mapped = true;

	if ((!knows(&thread->known, la) && !look_up(thread, la, write, &mapped)) ||
	    !(entry & MIRROR_VALID)) {
		*fault = (struct isa_outcome){
			.kind = ISA_FAULT,
			.vector = X86_PF,
			.error_code = PFEC_U | (write ? PFEC_W : 0) | (mapped ? PFEC_P : 0),
			.address = la,
		};
		if (!(entry & MIRROR_VALID))
			fault->error_code &= ~PFEC_P;
		return false;
	}
	*info = (struct isa_epcm_info){
		.valid = true,
		.pt = (uint8_t)(entry >> MIRROR_PT_SHIFT),
		.rwx = entry & MIRROR_RWX,
		.blocked = entry & MIRROR_BLOCKED,
		.pending = entry & MIRROR_PENDING,
		.modified = entry & MIRROR_MODIFIED,
		.enclaveaddress = la,
	};
	*page = encl->pages + (la - encl->base);
	return true;
}

struct isa_encl_view client_encl_view(struct client_thread *thread)
{
	return (struct isa_encl_view){
		.blk = &thread->encl->shared->blk,
		.page = view_page,
		.ctx = thread,
		.xcr0 = client_xcr0(),
		.xsave_component = client_xsave_components(),
		.holder = thread->encl->number,
	};
}
