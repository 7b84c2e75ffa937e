/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel's leaves on enclaves and their pages, and the questions all leaves ask. */
#include "model.h"

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
bool model_is_guest(const struct model *m, int cpu)
{
	return m->is_virtualized && cpu != 0;
}

/* What a guest is told of a SECS includes what its VMM has taken away. */
bool model_has_children(const struct model *m, int cpu, int secs)
{
	return nr_children(m, secs) || (model_is_guest(m, cpu) && m->page[secs].contents.nr_virtual);
}

/* Is a processor inside that entered in @epoch or earlier? */
bool model_is_inside_since(const struct model *m, int secs, uint64_t epoch)
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
	       !model_is_inside_since(m, p->owner, p->stamp);
}

void model_stamp(const struct model *m, struct page *p)
{
	p->was_stamped = true;
	p->stamp = m->page[p->owner].contents.epoch;
}

void model_free_page(struct page *p)
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
	model_free_page(p);
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

	model_free_page(p);
	p->valid = true;
	p->pt = s->pt;
	p->rwx = s->pt == TCS ? 0 : s->rwx;
	p->address = a->linaddr;
	p->owner = model_frame(m, a->secs);
	p->contents.is_tcs_image = a->source_is_tcs;
	p->contents.nssa = NSSA;
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
		model_free_page(p);
		return ok();
	}
	if (p->pt == SECS) {
		if (model_has_children(m, cpu, model_frame(m, rcx)))
			return error(CHILD_PRESENT);
		model_free_page(p);
		return ok();
	}
	if (is_anybody_inside(m, p->owner))
		return error(ENCLAVE_ACT);
	model_free_page(p);
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

	model_free_page(p);
	p->valid = true;
	p->pt = REG;
	p->rwx = R | W;
	p->pending = true;
	p->address = a->linaddr;
	p->owner = model_frame(m, a->secs);
	p->contents.is_tcs_image = true;	/* zeros: a TCS without frames */
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
	model_stamp(m, p);
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
	model_stamp(m, p);
	return ok();
}
