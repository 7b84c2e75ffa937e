/* SPDX-License-Identifier: BSD-3-Clause */
/* Random ENCLS, and the VMM's ENCLV. */
#include <string.h>

#include "drive.h"

/* --- ENCLS: building ---------------------------------------------------------- */

/* Enclaves at the same addresses are in each other's way. */
static uint64_t unused_base(struct world *w)
{
	unsigned int range = world_random(w, NR_RANGES);

	for (int i = 0; i < NR_FRAMES; i++)
		if (model_is_secs(&w->model.page[i]) && !chance(w, 10) &&
		    w->model.page[i].contents.base == RANGE_BASE(range))
			range = (range + 1) % NR_RANGES;
	return RANGE_BASE(range);
}

void drive_ecreate(struct world *w, int cpu)
{
	const uint64_t rcx = draw_la(w, is_free), base = unused_base(w);
	const bool is_enough = nr_pages(w, is_secs) >= NR_RANGES;
	const bool debug = chance(w, 70);
	struct sgx_secs *secs = (void *)w->page;
	struct verdict v;

	if (is_pointless(w, is_free) || (is_enough && !chance(w, 3)))
		return;
	memset(w->page, 0, sizeof(w->page));
	secs->size = RANGE_SIZE;
	secs->baseaddr = base;
	secs->ssaframesize = 1;
	secs->attributes.flags = ATTR_MODE64BIT | (debug ? ATTR_DEBUG : 0);
	secs->attributes.xfrm = XFRM_X87_SSE;
	w->secinfo = (struct sgx_secinfo){ .flags = 0 };
	w->pageinfo = (struct sgx_pageinfo){
		.srcpge = (uintptr_t)w->page,
		.secinfo_or_pcmd = (uintptr_t)&w->secinfo,
	};
	v = model_ecreate(&w->model, rcx, base, debug);
	STEP(w, cpu, "ECREATE", base, rcx, debug, v,
	     world_encls(w, cpu, ISA_ENCLS_ECREATE, (uintptr_t)&w->pageinfo, rcx, 0));
}

/* A TCS, its frames, another TCS, the rest. */
static void draw_addition(struct world *w, int secs, unsigned int index, struct addition *a)
{
	*a = (struct addition){ .linaddr = RANGE_BASE(0) + index * PAGE };
	if (model_is_secs(&w->model.page[secs]))
		a->linaddr = w->model.page[secs].contents.base + index * PAGE;
	if (chance(w, 1))
		a->linaddr = any_enclave_la(w) + (chance(w, 20) ? 32 : 0);
	a->secinfo.pt = index == 0 || index == 4 ? TCS : REG;
	if (chance(w, 3))
		a->secinfo.pt = world_random(w, 8);
	/* Enclaves that measure the same need no new signature. */
	a->secinfo.rwx = chance(w, 97) ? R | W : world_random(w, 8);
	a->secinfo.pr = chance(w, 1);
	a->secinfo.reserved_set = chance(w, 1);
	a->source_is_tcs = chance(w, a->secinfo.pt == TCS ? 95 : 30);
}

void drive_eadd(struct world *w, int cpu)
{
	const int frame = draw(w, is_free), secs = draw(w, is_new_secs);
	const uint64_t rcx = kernel_la(w, frame);
	struct addition a;
	struct verdict v;

	if (is_pointless(w, is_free) || is_pointless(w, is_new_secs))
		return;
	draw_addition(w, secs, missing_index(w, secs, 0), &a);
	a.secs = kernel_la(w, secs);
	write_source(w, a.source_is_tcs);
	w->secinfo = encode(&a.secinfo);
	w->pageinfo = (struct sgx_pageinfo){
		.linaddr = a.linaddr,
		.srcpge = (uintptr_t)w->page,
		.secinfo_or_pcmd = (uintptr_t)&w->secinfo,
		.secs = a.secs,
	};
	v = model_eadd(&w->model, rcx, &a);
	STEP(w, cpu, "EADD", a.linaddr, rcx, a.secs, v,
	     world_encls(w, cpu, ISA_ENCLS_EADD, (uintptr_t)&w->pageinfo, rcx, 0));
	if (v.kind == OK)
		map(w, a.linaddr, frame);
}

void drive_eextend(struct world *w, int cpu)
{
	const int frame = draw(w, is_child), owner = w->model.page[frame].owner;
	const uint64_t rbx = kernel_la(w, owner == NOTHING ? draw(w, is_secs) : owner);
	const uint64_t rcx = kernel_la(w, frame) + world_random(w, 16) * 256;
	struct verdict v = model_eextend(&w->model, rbx, rcx);

	STEP(w, cpu, "EEXTEND", rbx, rcx, 0, v, world_encls(w, cpu, ISA_ENCLS_EEXTEND, rbx, rcx, 0));
}

void drive_einit(struct world *w, int cpu)
{
	const uint64_t rcx = draw_la(w, is_new_secs);
	bool right = chance(w, 95);
	struct verdict v;

	if (model_frame(&w->model, rcx) != NOTHING &&
	    !has_page(w, model_frame(&w->model, rcx), RANGE_BASE(0) + 3 * PAGE) &&
	    !has_page(w, model_frame(&w->model, rcx), RANGE_BASE(1) + 3 * PAGE) && !chance(w, 2))
		return;		/* not built yet */
	right = world_sign(w, model_frame(&w->model, rcx), right);
	v = model_einit(&w->model, rcx, right);
	STEP(w, cpu, "EINIT", 0, rcx, right, v,
	     world_encls(w, cpu, ISA_ENCLS_EINIT, (uintptr_t)&w->sig, rcx, (uintptr_t)&w->token));
}

void drive_eremove(struct world *w, int cpu)
{
	static page_test *const tests[] = {
		is_trimmed, is_trimmed, is_trimmed, is_open, is_spare, is_stranded, is_stranded,
		is_stranded, is_stranded,
	};
	page_test *test = tests[world_random(w, sizeof(tests) / sizeof(tests[0]))];
	const uint64_t rcx = draw_la(w, test);
	struct verdict v;

	if (is_pointless(w, test))
		return;
	v = model_eremove(&w->model, cpu, rcx);

	STEP(w, cpu, "EREMOVE", 0, rcx, 0, v, world_encls(w, cpu, ISA_ENCLS_EREMOVE, 0, rcx, 0));
}

void drive_eremove_secs(struct world *w, int cpu)
{
	const uint64_t rcx = draw_la(w, chance(w, 80) ? is_secs : is_va);
	struct verdict v = model_eremove(&w->model, cpu, rcx);

	STEP(w, cpu, "EREMOVE", 0, rcx, 0, v, world_encls(w, cpu, ISA_ENCLS_EREMOVE, 0, rcx, 0));
}

/* --- ENCLS: debugging ---------------------------------------------------------- */

/* What EDBGRD shows of a slot that is or is not in use. */
static bool shows_slot(const struct world *w, uint64_t rcx, uint64_t data)
{
	const struct page *p = &w->model.page[model_frame(&w->model, rcx)];

	return p->pt != VA || data == (p->contents.version[rcx % PAGE / 8] ? UINT64_MAX : 0);
}

void drive_edbgrd(struct world *w, int cpu)
{
	const uint64_t rcx = draw_la(w, chance(w, 50) ? is_va : is_child) +
			     world_random(w, NR_SLOTS) * 8 + (chance(w, 10) ? 72 : 0);
	struct verdict v = model_edbgrd(&w->model, rcx);
	struct isa_outcome out = world_encls(w, cpu, ISA_ENCLS_EDBGRD, 0, rcx, 0);

	if (v.kind == OK && rcx % PAGE < NR_SLOTS * 8 &&
	    !shows_slot(w, rcx, w->cpu[cpu].lp.rbx))
		v = gp();	/* it should have shown something else */
	STEP(w, cpu, "EDBGRD", w->cpu[cpu].lp.rbx, rcx, 0, v, out);
}

void drive_edbgwr(struct world *w, int cpu)
{
	const uint64_t bad = chance(w, 3) ? 1ull << 2 : 0;
	const uint64_t rcx = draw_la(w, chance(w, 70) ? is_tcs : is_child) +
			     (chance(w, 80) ? 8 : DEBUG_OFFSET);
	const uint64_t data = bad | (chance(w, 30) ? TCS_DBGOPTIN : 0);
	struct verdict v = model_edbgwr(&w->model, rcx, data);
	struct isa_outcome out;

	/* What is not FLAGS must not look like a TCS. */
	out = world_encls(w, cpu, ISA_ENCLS_EDBGWR, rcx % PAGE == 8 ? data : UINT64_MAX, rcx, 0);
	STEP(w, cpu, "EDBGWR", data, rcx, 0, v, out);
}

/* --- ENCLS: changing a running enclave ------------------------------------------ */

void drive_eaug(struct world *w, int cpu)
{
	const int frame = draw(w, is_free), secs = draw(w, is_running_secs);
	const uint64_t rcx = kernel_la(w, frame);
	struct addition a;
	struct verdict v;

	if (is_pointless(w, is_free) || is_pointless(w, is_running_secs))
		return;
	/* Mostly beyond the frames of the first TCS: evicted ones are to come back. */
	draw_addition(w, secs, missing_index(w, secs, 3 + world_random(w, 5)), &a);
	if ((index_of(a.linaddr) <= NSSA || has_page(w, secs, a.linaddr)) && !chance(w, 2))
		return;
	a.secs = kernel_la(w, secs);
	a.has_secinfo = chance(w, 1);
	a.has_source = chance(w, 1);
	w->secinfo = (struct sgx_secinfo){ .flags = SECINFO_PT(PT_SS_FIRST) | R | W };
	w->pageinfo = (struct sgx_pageinfo){
		.linaddr = a.linaddr,
		.srcpge = a.has_source ? (uintptr_t)w->page : 0,
		.secinfo_or_pcmd = a.has_secinfo ? (uintptr_t)&w->secinfo : 0,
		.secs = a.secs,
	};
	v = model_eaug(&w->model, rcx, &a);
	STEP(w, cpu, "EAUG", a.linaddr, rcx, a.secs, v,
	     world_encls(w, cpu, ISA_ENCLS_EAUG, (uintptr_t)&w->pageinfo, rcx, 0));
	if (v.kind == OK)
		map(w, a.linaddr, frame);
}

void drive_emodpr(struct world *w, int cpu)
{
	const struct secinfo s = {
		.rwx = world_random(w, 8), .reserved_set = chance(w, 1),
	};
	const uint64_t rcx = draw_la(w, is_spare_and_regular);
	struct verdict v = model_emodpr(&w->model, rcx, &s);

	w->secinfo = encode(&s);
	STEP(w, cpu, "EMODPR", s.rwx, rcx, 0, v,
	     world_encls(w, cpu, ISA_ENCLS_EMODPR, (uintptr_t)&w->secinfo, rcx, 0));
}

void drive_emodt(struct world *w, int cpu)
{
	struct secinfo s = { .pt = chance(w, 50) ? TCS : TRIM, .reserved_set = chance(w, 1) };
	const uint64_t rcx = draw_la(w, chance(w, 70) ? is_spare_and_regular : is_spare);
	struct verdict v;

	if (chance(w, 2))
		s.pt = world_random(w, 8);
	v = model_emodt(&w->model, rcx, &s);
	w->secinfo = encode(&s);
	STEP(w, cpu, "EMODT", s.pt, rcx, 0, v,
	     world_encls(w, cpu, ISA_ENCLS_EMODT, (uintptr_t)&w->secinfo, rcx, 0));
}

/* --- ENCLS: paging --------------------------------------------------------------- */

void drive_epa(struct world *w, int cpu)
{
	const uint64_t rbx = chance(w, 98) ? VA : world_random(w, 8);
	const uint64_t rcx = draw_la(w, is_free);
	struct verdict v;

	if (nr_pages(w, is_va) >= 2 && !chance(w, 3))
		return;
	v = model_epa(&w->model, rbx, rcx);

	STEP(w, cpu, "EPA", rbx, rcx, 0, v, world_encls(w, cpu, ISA_ENCLS_EPA, rbx, rcx, 0));
}

void drive_eblock(struct world *w, int cpu)
{
	const uint64_t rcx = draw_la(w, is_child);
	struct verdict v = model_eblock(&w->model, rcx);

	STEP(w, cpu, "EBLOCK", 0, rcx, 0, v, world_encls(w, cpu, ISA_ENCLS_EBLOCK, 0, rcx, 0));
}

void drive_etrack(struct world *w, int cpu)
{
	const uint64_t rcx = draw_la(w, is_secs);
	struct verdict v = model_etrack(&w->model, cpu, rcx);

	STEP(w, cpu, "ETRACK", 0, rcx, 0, v, world_encls(w, cpu, ISA_ENCLS_ETRACK, 0, rcx, 0));
}

static uint64_t draw_slot(struct world *w, int va)
{
	unsigned int slot = world_random(w, NR_SLOTS);

	for (int i = 0; i < NR_SLOTS && w->model.page[va].contents.version[slot]; i++)
		if (!chance(w, 5))
			slot = (slot + 1) % NR_SLOTS;
	return kernel_la(w, va) + slot * 8;
}

/* Can buffer @i still be loaded: is its version in a slot? */
static bool is_reloadable(const struct world *w, int i)
{
	for (int va = 0; va < NR_FRAMES; va++)
		for (int slot = 0; slot < NR_SLOTS; slot++)
			if (is_va(w, &w->model.page[va]) && w->model.buffer[i].exists &&
			    w->model.page[va].contents.version[slot] == w->model.buffer[i].version)
				return true;
	return false;
}

/* A buffer for which that is so, or not. */
static int draw_buffer(struct world *w, bool reloadable)
{
	int i = (int)world_random(w, NR_BUFFERS);

	if (chance(w, 3))
		return i;
	for (int tries = 0; tries < NR_BUFFERS && is_reloadable(w, i) != reloadable; tries++)
		i = (i + 1) % NR_BUFFERS;
	return i;
}

/* What EWB wrote beside the page. */
static bool same_pcmd(const struct world *w, const struct evicted *e, int i)
{
	const struct secinfo s = {
		.pt = e->pt, .rwx = e->rwx, .pending = e->pending, .modified = e->modified,
		.pr = e->pr,
	};
	const struct sgx_secinfo want = encode(&s);

	return w->pageinfo.linaddr == e->address &&
	       !memcmp(&w->buffer[i].pcmd.secinfo, &want, sizeof(want)) &&
	       w->buffer[i].pcmd.enclaveid == (e->pt == SECS ? e->contents.eid : e->eid);
}

void drive_ewb(struct world *w, int cpu)
{
	page_test *test = chance(w, 70) ? is_blocked : chance(w, 50) ? is_secs : is_va;
	const int frame = draw(w, test);
	const int i = draw_buffer(w, false);
	const uint64_t rcx = kernel_la(w, frame), rdx = draw_slot(w, draw(w, is_va));
	struct isa_outcome out;
	struct verdict v;

	if (is_pointless(w, test) || is_pointless(w, is_va))
		return;
	w->pageinfo = (struct sgx_pageinfo){
		.srcpge = (uintptr_t)w->buffer[i].page,
		.secinfo_or_pcmd = (uintptr_t)&w->buffer[i].pcmd,
	};
	v = model_ewb(&w->model, cpu, rcx, rdx, i);
	out = world_encls(w, cpu, ISA_ENCLS_EWB, (uintptr_t)&w->pageinfo, rcx, rdx);
	if ((v.kind == OK || v.kind == INFO) && !same_pcmd(w, &w->model.buffer[i], i))
		v = gp();	/* it should have written something else */
	STEP(w, cpu, "EWB", (uint64_t)i, rcx, rdx, v, out);
}

/* The slot that holds the version of buffer @i, or any. */
static uint64_t slot_of(struct world *w, int i)
{
	const uint64_t version = w->model.buffer[i].version;

	for (int va = 0; va < NR_FRAMES; va++)
		for (int slot = 0; slot < NR_SLOTS; slot++)
			if (is_va(w, &w->model.page[va]) && version &&
			    w->model.page[va].contents.version[slot] == version &&
			    !chance(w, 3))
				return kernel_la(w, va) + (uint64_t)slot * 8;
	return draw_slot(w, draw(w, is_va));
}

static int secs_of(struct world *w, uint64_t eid)
{
	for (int i = 0; i < NR_FRAMES; i++)
		if (model_is_secs(&w->model.page[i]) && w->model.page[i].contents.eid == eid &&
		    !chance(w, 3))
			return i;
	return draw(w, is_secs);
}

/* Change one bit of what EWB wrote: where, and back. */
static uint8_t *tamper(struct world *w, int i)
{
	switch (world_random(w, 3)) {
	case 0:
		return &w->buffer[i].page[world_random(w, PAGE)];
	case 1:
		return &w->buffer[i].pcmd.mac[world_random(w, 16)];
	default:
		return (uint8_t *)&w->buffer[i].pcmd.secinfo;	/* R */
	}
}

/* Without conflicts ELDBC and ELDUC are ELDB and ELDU. */
static const struct {
	const char *name;
	uint32_t leaf;
} loads[2][2] = {
	{ { "ELDU", ISA_ENCLS_ELDU }, { "ELDUC", ISA_ENCLS_ELDUC } },
	{ { "ELDB", ISA_ENCLS_ELDB }, { "ELDBC", ISA_ENCLS_ELDBC } },
};

void drive_eld(struct world *w, int cpu)
{
	const int i = draw_buffer(w, true), frame = draw(w, is_free);
	const struct evicted *e = &w->model.buffer[i];
	struct reload r = {
		.linaddr = e->address, .buffer = i, .pt = e->pt, .intact = !chance(w, 3),
	};
	const uint64_t rcx = kernel_la(w, frame), rdx = slot_of(w, i);
	const bool blocked = chance(w, 20), reports = chance(w, 30);
	struct isa_outcome out;
	uint8_t *byte = NULL;
	struct verdict v;

	if (is_pointless(w, is_free) || (!is_reloadable(w, i) && !chance(w, 5)))
		return;
	if (model_is_child(r.pt) != chance(w, 2))
		r.secs = kernel_la(w, secs_of(w, e->eid));
	if (chance(w, 3))
		r.linaddr = any_enclave_la(w);
	if (!r.intact) {
		byte = tamper(w, i);
		*byte ^= 1;
	}
	w->pageinfo = (struct sgx_pageinfo){
		.linaddr = r.linaddr,
		.srcpge = (uintptr_t)w->buffer[i].page,
		.secinfo_or_pcmd = (uintptr_t)&w->buffer[i].pcmd,
		.secs = r.secs,
	};
	v = model_eld(&w->model, rcx, rdx, &r, blocked);
	out = world_encls(w, cpu, loads[blocked][reports].leaf, (uintptr_t)&w->pageinfo, rcx, rdx);
	if (byte)
		*byte ^= 1;
	STEP(w, cpu, loads[blocked][reports].name, (uint64_t)i, rcx, rdx, v, out);
	if (v.kind == OK && model_is_child(r.pt))
		map(w, r.linaddr, frame);
}

/* --- ENCLS and ENCLV: oversubscription ----------------------------------------------- */

void drive_etrackc(struct world *w, int cpu)
{
	const uint64_t rcx = draw_la(w, is_valid);
	struct verdict v = model_etrackc(&w->model, cpu, rcx);

	STEP(w, cpu, "ETRACKC", 0, rcx, 0, v, world_encls(w, cpu, ISA_ENCLS_ETRACKC, 0, rcx, 0));
}

void drive_erdinfo(struct world *w, int cpu)
{
	const uint64_t rcx = draw_la(w, is_valid);
	uint64_t want[3];
	struct verdict v = model_erdinfo(&w->model, cpu, rcx, want);
	struct isa_outcome out = world_encls(w, cpu, ISA_ENCLS_ERDINFO, (uintptr_t)&w->rdinfo,
					     rcx, 0);

	if (v.kind == OK && memcmp(&w->rdinfo, want, sizeof(want)))
		v = gp();	/* it should have said something else */
	STEP(w, cpu, "ERDINFO", w->rdinfo.flags, rcx, w->rdinfo.enclavecontext, v, out);
}

void drive_eupdatesvn(struct world *w, int cpu)
{
	struct verdict v = model_eupdatesvn(&w->model);

	STEP(w, cpu, "EUPDATESVN", 0, 0, 0, v, world_encls(w, cpu, ISA_ENCLS_EUPDATESVN, 0, 0, 0));
}

static void virtchild(struct world *w, int cpu)
{
	const int frame = draw(w, is_valid), owner = w->model.page[frame].owner;
	const uint64_t rbx = kernel_la(w, frame);
	const uint64_t rcx = kernel_la(w, owner == NOTHING ? frame : chance(w, 3) ? frame : owner);
	const bool add = chance(w, 40);
	struct verdict v = model_virtchild(&w->model, rbx, rcx, add);

	STEP(w, cpu, add ? "EINCVIRTCHILD" : "EDECVIRTCHILD", rbx, rcx, 0, v,
	     world_enclv(w, cpu, add ? ISA_ENCLV_EINCVIRTCHILD : ISA_ENCLV_EDECVIRTCHILD, rbx, rcx,
			 0));
}

static void esetcontext(struct world *w, int cpu)
{
	const uint64_t rcx = draw_la(w, is_secs);
	struct verdict v;

	w->context = world_random(w, 1000);
	v = model_esetcontext(&w->model, rcx, w->context);
	STEP(w, cpu, "ESETCONTEXT", 0, rcx, w->context, v,
	     world_enclv(w, cpu, ISA_ENCLV_ESETCONTEXT, 0, rcx, (uintptr_t)&w->context));
}

/* ENCLV is there in VMX operation; the guest's are not ours to compare. */
void drive_enclv(struct world *w, int cpu)
{
	if (!w->model.is_virtualized || cpu != 0)
		return;
	if (chance(w, 80))
		virtchild(w, cpu);
	else
		esetcontext(w, cpu);
}
