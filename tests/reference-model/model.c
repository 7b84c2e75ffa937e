/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel's leaves, and the questions all leaves ask. */
#include "model.h"

/* Codes, as the manual numbers them. */
enum {
	BLKSTATE = 3,
	INVALID_MEASUREMENT = 4,
	NOTBLOCKABLE = 5,
	PG_INVLD = 6,
	MAC_COMPARE_FAIL = 9,
	PAGE_NOT_BLOCKED = 10,
	NOT_TRACKED = 11,
	VA_SLOT_OCCUPIED = 12,
	CHILD_PRESENT = 13,
	ENCLAVE_ACT = 14,
	PREV_TRK_INCMPL = 17,
	PG_IS_SECS = 18,
	PAGE_NOT_MODIFIABLE = 20,
	PAGE_NOT_DEBUGGABLE = 21,
	INVALID_COUNTER = 25,
	PG_NONEPC = 26,
	TRACK_NOT_REQUIRED = 27,
	EPC_NOT_READY = 30,
	NO_UPDATE = 31,
};

/* Why a guest's leaf exits, as the exit qualification says. */
enum { TRACKING_REFERENCE_CONFLICT = 1 };

void model_init(struct model *m, const struct page_tables *tables)
{
	*m = (struct model){ .tables = tables, .next_eid = 1, .next_version = 1 };
	for (int i = 0; i < NR_FRAMES; i++)
		m->page[i].owner = NOTHING;
}

/* --- questions ----------------------------------------------------------- */

int model_frame(const struct model *m, uint64_t la)
{
	if (la >= KERNEL_BASE && la < KERNEL_BASE + NR_FRAMES * PAGE)
		return (int)((la - KERNEL_BASE) / PAGE);
	for (int i = 0; i < NR_RANGES; i++)
		if (la >= RANGE_BASE(i) && la < RANGE_BASE(i) + RANGE_SIZE)
			return m->tables->frame[i][(la - RANGE_BASE(i)) / PAGE];
	return NOTHING;
}

bool model_is_child(unsigned int pt)
{
	return pt == REG || pt == TCS || pt == TRIM || pt == SS_FIRST || pt == SS_REST;
}

bool model_is_secs(const struct page *p)
{
	return p->valid && p->pt == SECS;
}

static int nr_children(const struct model *m, int secs)
{
	int n = 0;

	for (int i = 0; i < NR_FRAMES; i++)
		n += m->page[i].valid && m->page[i].owner == secs;
	return n;
}

static bool is_anybody_inside(const struct model *m, int secs)
{
	for (int i = 0; i < NR_PROCESSORS; i++)
		if (m->processor[i].inside && m->processor[i].secs == secs)
			return true;
	return false;
}

/* Does @cpu run a guest under the EPC virtualization extensions? */
static bool is_guest(const struct model *m, int cpu)
{
	return m->is_virtualized && cpu != 0;
}

/* What a guest is told of a SECS includes what its VMM has taken away. */
static bool has_children(const struct model *m, int cpu, int secs)
{
	return nr_children(m, secs) || (is_guest(m, cpu) && m->page[secs].contents.nr_virtual);
}

/* Is a processor inside that entered in @epoch or earlier? */
static bool is_inside_since(const struct model *m, int secs, uint64_t epoch)
{
	for (int i = 0; i < NR_PROCESSORS; i++)
		if (m->processor[i].inside && m->processor[i].secs == secs &&
		    m->processor[i].epoch <= epoch)
			return true;
	return false;
}

bool model_is_tracked(const struct model *m, const struct page *p)
{
	if (!p->was_stamped)
		return true;
	return m->page[p->owner].contents.epoch > p->stamp &&
	       !is_inside_since(m, p->owner, p->stamp);
}

static void stamp(const struct model *m, struct page *p)
{
	p->was_stamped = true;
	p->stamp = m->page[p->owner].contents.epoch;
}

static void free_page(struct page *p)
{
	*p = (struct page){ .owner = NOTHING };
}

/* --- building ------------------------------------------------------------ */

struct verdict model_ecreate(struct model *m, uint64_t rcx, uint64_t base, bool debug)
{
	struct page *p;

	if (!is_aligned(rcx, PAGE))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	p = &m->page[model_frame(m, rcx)];
	if (p->valid)
		return epf(rcx);
	free_page(p);
	p->valid = true;
	p->pt = SECS;
	p->contents.eid = m->next_eid++;
	p->contents.base = base;
	p->contents.debug = debug;
	p->contents.context = PHYSICAL_BASE + (uint64_t)model_frame(m, rcx) * PAGE;
	return ok();
}

struct verdict model_eadd(struct model *m, uint64_t rcx, const struct addition *a)
{
	const struct secinfo *s = &a->secinfo;
	struct page *p, *secs;

	if (!is_aligned(rcx, PAGE))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	if (!is_aligned(a->secs, PAGE) || !is_aligned(a->linaddr, PAGE))
		return gp();
	if (model_frame(m, a->secs) == NOTHING)
		return epf(a->secs);
	/* The state bits count as reserved; shadow stacks need CET. */
	if (s->reserved_set || s->pending || s->modified || s->pr)
		return gp();
	if (s->pt != REG && s->pt != TCS)
		return gp();
	p = &m->page[model_frame(m, rcx)];
	if (p->valid)
		return epf(rcx);
	secs = &m->page[model_frame(m, a->secs)];
	if (secs == p)
		return gp();			/* held by the leaf itself */
	if (!model_is_secs(secs))
		return epf(a->secs);
	if (s->pt == TCS && !a->source_is_tcs)
		return gp();
	if (s->pt == REG && (s->rwx & W) && !(s->rwx & R))
		return gp();
	if (a->linaddr < secs->contents.base || a->linaddr >= secs->contents.base + RANGE_SIZE)
		return gp();
	if (secs->contents.initialized)
		return gp();

	free_page(p);
	p->valid = true;
	p->pt = s->pt;
	p->rwx = s->pt == TCS ? 0 : s->rwx;
	p->address = a->linaddr;
	p->owner = model_frame(m, a->secs);
	p->contents.is_tcs_image = a->source_is_tcs;
	return ok();
}

struct verdict model_eextend(struct model *m, uint64_t rbx, uint64_t rcx)
{
	struct page *p;

	if (!is_aligned(rbx, PAGE))
		return gp();
	if (model_frame(m, rbx) == NOTHING)
		return epf(rbx);
	if (!is_aligned(rcx, 256))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	p = &m->page[model_frame(m, rcx)];
	if (!p->valid)
		return epf(rcx);
	if (p->pt != REG && p->pt != TCS && p->pt != SS_FIRST && p->pt != SS_REST)
		return epf(rcx);
	if (p->owner != model_frame(m, rbx))
		return gp();
	if (m->page[p->owner].contents.initialized)
		return gp();
	return ok();
}

struct verdict model_einit(struct model *m, uint64_t rcx, bool measurement_is_right)
{
	struct page *p;

	if (!is_aligned(rcx, PAGE))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	p = &m->page[model_frame(m, rcx)];
	if (!model_is_secs(p))
		return epf(rcx);
	if (p->contents.initialized)
		return gp();
	if (!measurement_is_right)
		return error(INVALID_MEASUREMENT);
	p->contents.initialized = true;
	return ok();
}

struct verdict model_eremove(struct model *m, int cpu, uint64_t rcx)
{
	struct page *p;

	if (!is_aligned(rcx, PAGE))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	p = &m->page[model_frame(m, rcx)];
	if (!p->valid)
		return ok();
	if (p->pt == VA || (p->pt == TRIM && !p->modified)) {
		free_page(p);
		return ok();
	}
	if (p->pt == SECS) {
		if (has_children(m, cpu, model_frame(m, rcx)))
			return error(CHILD_PRESENT);
		free_page(p);
		return ok();
	}
	if (is_anybody_inside(m, p->owner))
		return error(ENCLAVE_ACT);
	free_page(p);
	return ok();
}

/* --- debugging ----------------------------------------------------------- */

struct verdict model_edbgrd(struct model *m, uint64_t rcx)
{
	struct page *p;

	if (!is_aligned(rcx, 8))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	p = &m->page[model_frame(m, rcx)];
	if (!p->valid)
		return epf(rcx);
	if (p->pt == SECS || p->pt == TRIM)
		return epf(rcx);
	if (p->pending || p->modified)
		return error(PAGE_NOT_DEBUGGABLE);
	if (p->pt == TCS && rcx % PAGE >= 72)
		return gp();
	if (p->pt != VA && !m->page[p->owner].contents.debug)
		return gp();
	return ok();
}

struct verdict model_edbgwr(struct model *m, uint64_t rcx, uint64_t data)
{
	struct page *p;

	if (!is_aligned(rcx, 8))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	p = &m->page[model_frame(m, rcx)];
	if (!p->valid)
		return epf(rcx);
	if (p->pt == SECS || p->pt == VA || p->pt == TRIM)
		return epf(rcx);
	if (p->pending || p->modified)
		return error(PAGE_NOT_DEBUGGABLE);
	if (p->pt == TCS && rcx % PAGE != 8)
		return gp();
	if (!m->page[p->owner].contents.debug)
		return gp();

	if (rcx % PAGE == 8)
		p->contents.tcs_flags = data;
	else
		p->contents.is_tcs_image = false;
	return ok();
}

/* --- changing a running enclave ------------------------------------------- */

struct verdict model_eaug(struct model *m, uint64_t rcx, const struct addition *a)
{
	struct page *p, *secs;

	if (!is_aligned(rcx, PAGE))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	if (!is_aligned(a->secs, PAGE) || !is_aligned(a->linaddr, PAGE))
		return gp();
	if (a->has_source)
		return gp();
	if (model_frame(m, a->secs) == NOTHING)
		return epf(a->secs);
	p = &m->page[model_frame(m, rcx)];
	if (p->valid)
		return epf(rcx);
	if (a->has_secinfo)
		return gp();			/* no CET */
	secs = &m->page[model_frame(m, a->secs)];
	if (secs == p)
		return gp();			/* held by the leaf itself */
	if (!model_is_secs(secs))
		return epf(a->secs);
	if (!secs->contents.initialized)
		return gp();
	if (a->linaddr < secs->contents.base || a->linaddr >= secs->contents.base + RANGE_SIZE)
		return gp();

	free_page(p);
	p->valid = true;
	p->pt = REG;
	p->rwx = R | W;
	p->pending = true;
	p->address = a->linaddr;
	p->owner = model_frame(m, a->secs);
	return ok();
}

struct verdict model_emodpr(struct model *m, uint64_t rcx, const struct secinfo *s)
{
	struct page *p;

	if (!is_aligned(rcx, PAGE))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	if (s->reserved_set || ((s->rwx & W) && !(s->rwx & R)))
		return gp();
	p = &m->page[model_frame(m, rcx)];
	if (!p->valid)
		return epf(rcx);
	if (p->pending || p->modified)
		return error(PAGE_NOT_MODIFIABLE);
	if (p->pt != REG)
		return epf(rcx);
	if (!m->page[p->owner].contents.initialized)
		return gp();

	p->pr = true;
	p->rwx &= s->rwx;
	stamp(m, p);
	return ok();
}

struct verdict model_emodt(struct model *m, uint64_t rcx, const struct secinfo *s)
{
	struct page *p;

	if (!is_aligned(rcx, PAGE))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	if (s->reserved_set || (s->pt != TCS && s->pt != TRIM))
		return gp();
	p = &m->page[model_frame(m, rcx)];
	if (!p->valid)
		return epf(rcx);
	if (p->pt != REG &&
	    !(s->pt == TRIM && (p->pt == TCS || p->pt == SS_FIRST || p->pt == SS_REST)))
		return epf(rcx);
	if (p->pending || p->modified)
		return error(PAGE_NOT_MODIFIABLE);
	if (!m->page[p->owner].contents.initialized)
		return gp();

	p->pr = false;
	p->modified = true;
	p->rwx = 0;
	p->pt = s->pt;
	stamp(m, p);
	return ok();
}

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
	free_page(p);
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
	stamp(m, p);
	return ok();
}

/* A new epoch for the enclave at @secs. */
static struct verdict track(struct model *m, int cpu, int secs)
{
	struct contents *c = &m->page[secs].contents;

	if (c->epoch && is_inside_since(m, secs, c->epoch - 1))
		return is_guest(m, cpu) ? exit_to_vmm(TRACKING_REFERENCE_CONFLICT) :
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
	if (p->pt == SECS && has_children(m, cpu, model_frame(m, rcx)))
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
	free_page(p);
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
		rdinfo[0] = has_children(m, cpu, model_frame(m, rcx));
		if (!is_guest(m, cpu)) {
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
