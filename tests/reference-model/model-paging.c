/* SPDX-License-Identifier: BSD-3-Clause */
/* Pages out of EPC and back, by a kernel or by a VMM. */
#include "model.h"

/* Why a guest's leaf exits, as the exit qualification says. */
enum { TRACKING_REFERENCE_CONFLICT = 1 };

/* --- paging -------------------------------------------------------------- */

struct verdict model_epa(struct model *m, uint64_t rbx, uint64_t rcx)
{
	struct page *p;

	if (rbx != VA || !is_aligned(rcx, PAGE))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	p = &m->page[model_frame(m, rcx)];
	if (p->valid)
		return epf(rcx);
	model_free_page(p);
	p->valid = true;
	p->pt = VA;
	return ok();
}

struct verdict model_eblock(struct model *m, uint64_t rcx)
{
	struct page *p;

	if (!is_aligned(rcx, PAGE))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	p = &m->page[model_frame(m, rcx)];
	if (!p->valid)
		return error(PG_INVLD);
	if (p->pt == SECS)
		return info(PG_IS_SECS);
	if (!model_is_child(p->pt))
		return info(NOTBLOCKABLE);
	if (p->blocked)
		return info(BLKSTATE);
	p->blocked = true;
	model_stamp(m, p);
	return ok();
}

/* A new epoch for the enclave at @secs. */
static struct verdict track(struct model *m, int cpu, int secs)
{
	struct contents *c = &m->page[secs].contents;

	if (c->epoch && model_is_inside_since(m, secs, c->epoch - 1))
		return model_is_guest(m, cpu) ? exit_to_vmm(TRACKING_REFERENCE_CONFLICT) :
					  error(PREV_TRK_INCMPL);
	c->epoch++;
	return ok();
}

struct verdict model_etrack(struct model *m, int cpu, uint64_t rcx)
{
	struct page *p;
	int frame;

	if (!is_aligned(rcx, PAGE))
		return gp();
	frame = model_frame(m, rcx);
	if (frame == NOTHING)
		return epf(rcx);
	p = &m->page[frame];
	if (!model_is_secs(p))
		return epf(rcx);
	return track(m, cpu, frame);
}

struct verdict model_etrackc(struct model *m, int cpu, uint64_t rcx)
{
	struct page *p;
	int frame;

	if (!is_aligned(rcx, PAGE))
		return gp();
	frame = model_frame(m, rcx);
	if (frame == NOTHING)
		return epf(rcx);
	p = &m->page[frame];
	if (!p->valid)
		return error(PG_INVLD);
	if (p->pt == VA)
		return info(TRACK_NOT_REQUIRED);
	return track(m, cpu, p->pt == SECS ? frame : p->owner);
}

struct verdict model_ewb(struct model *m, int cpu, uint64_t rcx, uint64_t rdx, int buffer)
{
	struct page *p, *va;
	uint64_t *slot;
	bool occupied;

	if (!is_aligned(rcx, PAGE))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	if (!is_aligned(rdx, 8))
		return gp();
	if (model_frame(m, rdx) == NOTHING)
		return epf(rdx);
	p = &m->page[model_frame(m, rcx)];
	va = &m->page[model_frame(m, rdx)];
	if (p == va)
		return gp();
	if (!p->valid)
		return epf(rcx);
	if (!va->valid || va->pt != VA)
		return epf(rdx);
	if (model_is_child(p->pt) && !p->blocked)
		return error(PAGE_NOT_BLOCKED);
	if (model_is_child(p->pt) && !model_is_tracked(m, p))
		return error(NOT_TRACKED);
	if (p->pt == SECS && model_has_children(m, cpu, model_frame(m, rcx)))
		return error(CHILD_PRESENT);

	m->buffer[buffer] = (struct evicted){
		.exists = true,
		.version = m->next_version,
		.eid = model_is_child(p->pt) ? m->page[p->owner].contents.eid : 0,
		.address = p->address,
		.pending = p->pending,
		.modified = p->modified,
		.pr = p->pr,
		.pt = p->pt,
		.rwx = p->rwx,
		.contents = p->contents,
	};
	slot = &va->contents.version[rdx % PAGE / 8];
	occupied = *slot;
	*slot = m->next_version++;
	model_free_page(p);
	return occupied ? info(VA_SLOT_OCCUPIED) : ok();
}

/* Is this the page whose version is @version, for the enclave @eid, at @linaddr? */
static bool mac_is_right(const struct evicted *e, const struct reload *r, uint64_t version,
			 uint64_t eid)
{
	return e->exists && r->intact && r->pt == e->pt && version == e->version &&
	       eid == e->eid && r->linaddr == e->address;
}

struct verdict model_eld(struct model *m, uint64_t rcx, uint64_t rdx, const struct reload *r,
			 bool blocked)
{
	const struct evicted *e = &m->buffer[r->buffer];
	const bool is_child = model_is_child(r->pt);
	struct page *p, *va;
	uint64_t *slot, eid = 0;

	if (!is_aligned(rcx, PAGE))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	if (!is_aligned(rdx, 8))
		return gp();
	if (model_frame(m, rdx) == NOTHING)
		return epf(rdx);
	p = &m->page[model_frame(m, rcx)];
	va = &m->page[model_frame(m, rdx)];
	if (p->valid)
		return epf(rcx);
	if (!va->valid || va->pt != VA)
		return epf(rdx);
	if (is_child) {
		if (!is_aligned(r->secs, PAGE))
			return gp();
		if (model_frame(m, r->secs) == NOTHING)
			return epf(r->secs);
		if (!model_is_secs(&m->page[model_frame(m, r->secs)]))
			return epf(r->secs);
		eid = m->page[model_frame(m, r->secs)].contents.eid;
	} else if (r->secs) {
		return gp();
	}
	slot = &va->contents.version[rdx % PAGE / 8];
	if (!mac_is_right(e, r, *slot, eid))
		return error(MAC_COMPARE_FAIL);

	*slot = 0;
	*p = (struct page){
		.valid = true,
		.blocked = is_child && blocked,
		.pending = e->pending,
		.modified = e->modified,
		.pr = e->pr,
		.pt = e->pt,
		.rwx = e->rwx,
		.address = e->address,
		.owner = is_child ? model_frame(m, r->secs) : NOTHING,
		.contents = e->contents,
	};
	if (e->pt == SECS)
		p->contents.context = PHYSICAL_BASE + (uint64_t)model_frame(m, rcx) * PAGE;
	return ok();
}

/* --- oversubscription ------------------------------------------------------ */

struct verdict model_erdinfo(const struct model *m, int cpu, uint64_t rcx, uint64_t rdinfo[3])
{
	const struct page *p;

	if (!is_aligned(rcx, PAGE))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return info(PG_NONEPC);
	p = &m->page[model_frame(m, rcx)];
	if (!p->valid)
		return info(PG_INVLD);
	rdinfo[0] = 0;
	rdinfo[1] = p->rwx | (uint64_t)p->pending << 3 | (uint64_t)p->modified << 4 |
		    (uint64_t)p->pr << 5 | (uint64_t)p->pt << 8 | (uint64_t)p->blocked << 63;
	rdinfo[2] = 0;
	if (model_is_child(p->pt))
		rdinfo[2] = m->page[p->owner].contents.context;
	if (p->pt == SECS) {
		rdinfo[0] = model_has_children(m, cpu, model_frame(m, rcx));
		if (!model_is_guest(m, cpu)) {
			rdinfo[0] |= p->contents.nr_virtual ? 2 : 0;
			rdinfo[2] = p->contents.context;
		}
	}
	return ok();
}

struct verdict model_virtchild(struct model *m, uint64_t rbx, uint64_t rcx, bool add)
{
	const struct page *p;
	int parent;

	if (!is_aligned(rbx, PAGE) || !is_aligned(rcx, PAGE))
		return gp();
	if (model_frame(m, rbx) == NOTHING)
		return epf(rbx);
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	p = &m->page[model_frame(m, rbx)];
	if (!p->valid || p->pt == VA)
		return epf(rbx);
	parent = p->pt == SECS ? model_frame(m, rbx) : p->owner;
	if (parent != model_frame(m, rcx))
		return gp();
	if (!add && !m->page[parent].contents.nr_virtual)
		return error(INVALID_COUNTER);
	m->page[parent].contents.nr_virtual += add ? 1 : UINT64_MAX;
	return ok();
}

struct verdict model_esetcontext(struct model *m, uint64_t rcx, uint64_t context)
{
	if (!is_aligned(rcx, PAGE))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	if (!model_is_secs(&m->page[model_frame(m, rcx)]))
		return epf(rcx);
	m->page[model_frame(m, rcx)].contents.context = context;
	return ok();
}

/* Nothing newer is ever loaded here. */
struct verdict model_eupdatesvn(const struct model *m)
{
	for (int i = 0; i < NR_FRAMES; i++)
		if (m->page[i].valid)
			return error(EPC_NOT_READY);
	return info(NO_UPDATE);
}
