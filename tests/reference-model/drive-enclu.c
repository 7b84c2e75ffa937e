/* SPDX-License-Identifier: BSD-3-Clause */
/* Random entries, exits and what an enclave executes. */
#include "drive.h"

/* --- entry ------------------------------------------------------------------------ */

static uint64_t tcs_la(struct world *w, page_test *test)
{
	const struct page *p = &w->model.page[draw(w, test)];

	return is_tcs(w, p) ? p->address : any_enclave_la(w);
}

void drive_eenter(struct world *w, int cpu)
{
	const uint64_t rbx = tcs_la(w, is_enterable);
	struct isa_outcome out;
	struct verdict v;

	if (is_pointless(w, is_enterable))
		return;
	out = world_eenter(w, cpu, rbx);
	v = model_eenter(&w->model, cpu, rbx);
	STEP(w, cpu, "EENTER", rbx, 0, 0, v, out);
	handle(w, v);
}

void drive_eresume(struct world *w, int cpu)
{
	const uint64_t rbx = tcs_la(w, is_interrupted_tcs);
	struct isa_outcome out;
	struct verdict v;

	if (is_pointless(w, is_interrupted_tcs))
		return;
	out = world_eresume(w, cpu, rbx);
	v = model_eresume(&w->model, cpu, rbx);
	STEP(w, cpu, "ERESUME", rbx, 0, 0, v, out);
	handle(w, v);
}

void drive_eexit(struct world *w, int cpu)
{
	struct isa_outcome out = world_eexit(w, cpu);

	model_eexit(&w->model, cpu);
	STEP(w, cpu, "EEXIT", 0, 0, 0, ok(), out);
}

void drive_aex(struct world *w, int cpu)
{
	struct isa_outcome out = world_aex(w, cpu);

	model_aex(&w->model, cpu);
	STEP(w, cpu, "AEX", 0, 0, 0, ok(), out);
}

/* --- ENCLU inside ------------------------------------------------------------------ */

static uint64_t secinfo_la(struct world *w, int cpu)
{
	return own_la(w, cpu, is_regular) + SECINFO_OFFSET + (chance(w, 1) ? 32 : 0);
}

/* What the page at @la waits for, as its enclave would ask for it. */
static struct secinfo request_for(struct world *w, uint64_t la)
{
	const int frame = model_frame(&w->model, la);
	struct secinfo s = { .pt = REG, .rwx = R | W, .pending = true };

	if (frame != NOTHING && !chance(w, 5)) {
		const struct page *p = &w->model.page[frame];

		s.pt = p->pt;
		s.rwx = p->rwx;
		s.pending = p->pending;
		s.modified = p->modified;
		s.pr = p->pr;
	}
	if (chance(w, 5))
		s.rwx = world_random(w, 8);
	if (chance(w, 5))
		s.pr = !s.pr;
	if (chance(w, 3))
		s.pt = world_random(w, 8);
	s.reserved_set = chance(w, 1);
	return s;
}

void drive_eaccept(struct world *w, int cpu)
{
	const uint64_t rcx = own_la(w, cpu, is_open) + (chance(w, 1) ? 256 : 0);
	const uint64_t rbx = secinfo_la(w, cpu);
	const struct secinfo s = request_for(w, rcx);
	const struct sgx_secinfo secinfo = encode(&s);
	struct verdict v;

	place(w, cpu, rbx, &secinfo, sizeof(secinfo));
	v = model_eaccept(&w->model, cpu, rbx, rcx, &s);
	STEP(w, cpu, "EACCEPT", rbx, rcx, 0, v,
	     world_enclu(w, cpu, ISA_ENCLU_EACCEPT, rbx, rcx, 0));
	handle(w, v);
}

void drive_emodpe(struct world *w, int cpu)
{
	const uint64_t rcx = own_la(w, cpu, chance(w, 90) ? is_regular : is_child);
	const uint64_t rbx = secinfo_la(w, cpu);
	const struct secinfo s = { .rwx = world_random(w, 8), .reserved_set = chance(w, 1) };
	const struct sgx_secinfo secinfo = encode(&s);
	struct verdict v;

	place(w, cpu, rbx, &secinfo, sizeof(secinfo));
	v = model_emodpe(&w->model, cpu, rbx, rcx, &s);
	STEP(w, cpu, "EMODPE", rbx, rcx, 0, v,
	     world_enclu(w, cpu, ISA_ENCLU_EMODPE, rbx, rcx, 0));
	handle(w, v);
}

void drive_eacceptcopy(struct world *w, int cpu)
{
	const uint64_t rcx = own_la(w, cpu, is_open), rdx = own_la(w, cpu, is_regular);
	const uint64_t rbx = secinfo_la(w, cpu);
	const struct secinfo s = {
		.pt = chance(w, 95) ? REG : world_random(w, 8),
		.rwx = draw_rwx(w),
		.reserved_set = chance(w, 1),
	};
	const struct sgx_secinfo secinfo = encode(&s);
	struct verdict v;

	place(w, cpu, rbx, &secinfo, sizeof(secinfo));
	v = model_eacceptcopy(&w->model, cpu, rbx, rcx, rdx, &s);
	STEP(w, cpu, "EACCEPTCOPY", rbx, rcx, rdx, v,
	     world_enclu(w, cpu, ISA_ENCLU_EACCEPTCOPY, rbx, rcx, rdx));
	handle(w, v);
}

void drive_ereport(struct world *w, int cpu)
{
	static const struct sgx_targetinfo target;
	const uint64_t rbx = own_la(w, cpu, is_regular) + TARGETINFO_OFFSET;
	const uint64_t rcx = own_la(w, cpu, is_regular) + REPORTDATA_OFFSET;
	const uint64_t rdx = own_la(w, cpu, is_regular) + OUTPUT_OFFSET;
	struct verdict v;

	place(w, cpu, rbx, &target, sizeof(target));
	v = model_ereport(&w->model, cpu, rbx, rcx, rdx);
	STEP(w, cpu, "EREPORT", rbx, rcx, rdx, v,
	     world_enclu(w, cpu, ISA_ENCLU_EREPORT, rbx, rcx, rdx));
	handle(w, v);
}

void drive_egetkey(struct world *w, int cpu)
{
	static const struct sgx_keyrequest request = { .keyname = KEY_SEAL };
	const uint64_t rbx = own_la(w, cpu, is_regular) + TARGETINFO_OFFSET;
	const uint64_t rcx = own_la(w, cpu, is_regular) + OUTPUT_OFFSET;
	struct verdict v;

	place(w, cpu, rbx, &request, sizeof(request));
	v = model_egetkey(&w->model, cpu, rbx, rcx);
	STEP(w, cpu, "EGETKEY", rbx, rcx, 0, v,
	     world_enclu(w, cpu, ISA_ENCLU_EGETKEY, rbx, rcx, 0));
	handle(w, v);
}

void drive_edeccssa(struct world *w, int cpu)
{
	struct isa_outcome out = world_edeccssa(w, cpu);
	struct verdict v = model_edeccssa(&w->model, cpu);

	STEP(w, cpu, "EDECCSSA", 0, 0, 0, v, out);
	handle(w, v);
}

/* No leaf: the enclave writes a TCS to a page of its own. */
void drive_prepare_tcs(struct world *w, int cpu)
{
	const uint64_t la = own_la(w, cpu, is_regular);
	const int frame = model_frame(&w->model, la);

	if (!model_may_access(&w->model, cpu, la, W))
		return;
	write_tcs_image(w->epc[frame]);
	w->model.page[frame].contents.is_tcs_image = true;
	w->model.page[frame].contents.tcs_flags = 0;
	w->model.page[frame].contents.cssa = 0;
	w->model.page[frame].contents.nssa = NSSA;
}
