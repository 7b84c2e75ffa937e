/* SPDX-License-Identifier: BSD-3-Clause */
/* The enclave's leaves, entry and exit. */
#include "model.h"

static const struct page *active_secs(const struct model *m, int cpu)
{
	return &m->page[m->processor[cpu].secs];
}

static bool in_elrange(const struct model *m, int cpu, uint64_t la)
{
	const uint64_t base = active_secs(m, cpu)->contents.base;

	return la >= base && la < base + RANGE_SIZE;
}

static bool is_own(const struct model *m, int cpu, const struct page *p)
{
	return p->owner == m->processor[cpu].secs;
}

/* The tests of an operand page that has been resolved. */
static bool operand_is_good(const struct model *m, int cpu, uint64_t la, unsigned int permission)
{
	const struct page *p = &m->page[model_frame(m, la)];

	return p->valid && !p->blocked && p->pt == REG && is_own(m, cpu, p) && !p->pending &&
	       !p->modified && p->address == la / PAGE * PAGE && (p->rwx & permission);
}

/* The manual's standard test of an operand; OK when it passes. */
static struct verdict operand(const struct model *m, int cpu, uint64_t la, uint64_t alignment,
			      unsigned int permission)
{
	if (!is_aligned(la, alignment))
		return gp();
	if (!in_elrange(m, cpu, la))
		return gp();
	if (model_frame(m, la) == NOTHING)
		return epf(la);
	if (!operand_is_good(m, cpu, la, permission))
		return epf(la);
	return ok();
}

bool model_may_access(const struct model *m, int cpu, uint64_t la, unsigned int permission)
{
	return operand(m, cpu, la, 1, permission).kind == OK;
}

/* --- EREPORT, EGETKEY ----------------------------------------------------- */

struct verdict model_ereport(struct model *m, int cpu, uint64_t rbx, uint64_t rcx, uint64_t rdx)
{
	struct verdict v;

	v = operand(m, cpu, rbx, 512, R);
	if (v.kind != OK)
		return v;
	v = operand(m, cpu, rcx, 128, R);
	if (v.kind != OK)
		return v;
	v = operand(m, cpu, rdx, 512, W);
	if (v.kind != OK)
		return v;
	m->page[model_frame(m, rdx)].contents.is_tcs_image = false;
	return ok();
}

struct verdict model_egetkey(struct model *m, int cpu, uint64_t rbx, uint64_t rcx)
{
	struct verdict v;

	v = operand(m, cpu, rbx, 512, R);
	if (v.kind != OK)
		return v;
	v = operand(m, cpu, rcx, 16, W);
	if (v.kind != OK)
		return v;
	m->page[model_frame(m, rcx)].contents.is_tcs_image = false;
	return ok();
}

/* --- EACCEPT, EMODPE, EACCEPTCOPY ------------------------------------------ */

static bool request_is_legal(const struct secinfo *s)
{
	if (s->pt == REG && s->pending && !s->modified)
		return true;
	if (s->pt == REG && !s->pending && !s->modified && s->pr)
		return true;
	if (s->pt == TCS && !s->pending && s->modified && !s->pr)
		return true;
	if (s->pt == TRIM && !s->pending && s->modified && !s->pr)
		return true;
	return false;
}

struct verdict model_eaccept(struct model *m, int cpu, uint64_t rbx, uint64_t rcx,
			     const struct secinfo *s)
{
	struct verdict v;
	struct page *p;

	v = operand(m, cpu, rbx, 64, R);
	if (v.kind != OK)
		return v;
	if (s->reserved_set)
		return gp();
	if (!is_aligned(rcx, PAGE) || !in_elrange(m, cpu, rcx))
		return gp();
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	if (!request_is_legal(s))
		return gp();
	p = &m->page[model_frame(m, rcx)];
	if (!p->valid || p->blocked || !model_is_child(p->pt) || !is_own(m, cpu, p))
		return epf(rcx);
	if (p->address != rcx || p->pending != s->pending || p->modified != s->modified ||
	    p->rwx != s->rwx || p->pt != s->pt)
		return error(PAGE_ATTRIBUTES_MISMATCH);
	if (!model_is_tracked(m, p))
		return error(NOT_TRACKED);
	if (p->pt == TCS) {
		if (!p->contents.is_tcs_image || p->contents.tcs_flags ||
		    p->contents.active)
			return gp();
		/* Read word by word, also without both.  See docs/deviations.md. */
		if (p->contents.cssa && p->contents.cssa >= p->contents.nssa)
			return gp();
	}
	p->pending = false;
	p->modified = false;
	p->pr = false;
	return ok();
}

struct verdict model_emodpe(struct model *m, int cpu, uint64_t rbx, uint64_t rcx,
			    const struct secinfo *s)
{
	struct page *p;

	if (!is_aligned(rbx, 64))
		return gp();
	if (!is_aligned(rcx, PAGE))
		return gp();
	if (!in_elrange(m, cpu, rbx) || !in_elrange(m, cpu, rcx))
		return gp();
	if (model_frame(m, rbx) == NOTHING)
		return epf(rbx);
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	if (!operand_is_good(m, cpu, rbx, R))
		return epf(rbx);
	if (s->reserved_set)
		return gp();
	p = &m->page[model_frame(m, rcx)];
	if (!p->valid || p->pending || p->modified || p->blocked || p->pt != REG ||
	    !is_own(m, cpu, p))
		return epf(rcx);
	if (p->address != rcx)
		return epf(rcx);
	if (!(p->rwx & R) && !(s->rwx & R) && (s->rwx & W))
		return gp();
	p->rwx |= s->rwx;
	return ok();
}

struct verdict model_eacceptcopy(struct model *m, int cpu, uint64_t rbx, uint64_t rcx,
				 uint64_t rdx, const struct secinfo *s)
{
	struct page *p;

	if (!is_aligned(rbx, 64) || !is_aligned(rcx, PAGE) || !is_aligned(rdx, PAGE))
		return gp();
	if (!in_elrange(m, cpu, rbx) || !in_elrange(m, cpu, rcx) || !in_elrange(m, cpu, rdx))
		return gp();
	if (model_frame(m, rbx) == NOTHING)
		return epf(rbx);
	if (model_frame(m, rcx) == NOTHING)
		return epf(rcx);
	if (model_frame(m, rdx) == NOTHING)
		return epf(rdx);
	if (!operand_is_good(m, cpu, rbx, R))
		return epf(rbx);
	if (s->reserved_set || s->pt != REG || ((s->rwx & W) && !(s->rwx & R)))
		return gp();
	if (!operand_is_good(m, cpu, rdx, R))
		return epf(rdx);
	p = &m->page[model_frame(m, rcx)];
	if (!p->valid || !p->pending || p->modified || p->blocked || p->pt != REG ||
	    !is_own(m, cpu, p))
		return error(PAGE_ATTRIBUTES_MISMATCH);
	if (p->rwx != (R | W) || p->address != rcx)
		return error(PAGE_ATTRIBUTES_MISMATCH);
	p->contents = m->page[model_frame(m, rdx)].contents;
	p->rwx = s->rwx;
	p->pending = false;
	return ok();
}

/* --- entry and exit ------------------------------------------------------- */

/* One page of an SSA frame. */
static struct verdict ssa_frame(const struct model *m, const struct page *tcs, unsigned int index)
{
	const uint64_t la = m->page[tcs->owner].contents.base + OSSA + index * PAGE;
	const struct page *p;

	if (model_frame(m, la) == NOTHING)
		return epf(la);
	p = &m->page[model_frame(m, la)];
	if (!p->valid || p->blocked || p->pending || p->modified || p->address != la ||
	    p->pt != REG || p->owner != tcs->owner || (p->rwx & (R | W)) != (R | W))
		return epf(la);
	return ok();
}

/* What EENTER and ERESUME test alike, up to CSSA. */
static struct verdict entry(const struct model *m, uint64_t rbx)
{
	const struct page *p;

	if (!is_aligned(rbx, PAGE))
		return gp();
	if (model_frame(m, rbx) == NOTHING)
		return epf(rbx);
	p = &m->page[model_frame(m, rbx)];
	if (!p->valid || p->blocked || p->address != rbx || p->pt != TCS || p->pending ||
	    p->modified)
		return epf(rbx);
	if (p->contents.tcs_flags & ~1ull)
		return gp();
	if (!m->page[p->owner].contents.initialized)
		return gp();
	return ok();
}

/* Into SSA frame @index, whose page the processor keeps until it leaves. */
static void enter(struct model *m, int cpu, int tcs, unsigned int index)
{
	const int secs = m->page[tcs].owner;
	const uint64_t ssa = m->page[secs].contents.base + OSSA + index * PAGE;

	m->page[tcs].contents.active = true;
	m->processor[cpu] = (struct processor){
		.inside = true,
		.secs = secs,
		.tcs = tcs,
		.ssa = model_frame(m, ssa),
		.epoch = m->page[secs].contents.epoch,
	};
}

struct verdict model_eenter(struct model *m, int cpu, uint64_t rbx)
{
	struct verdict v = entry(m, rbx);
	struct page *tcs;

	if (v.kind != OK)
		return v;
	tcs = &m->page[model_frame(m, rbx)];
	if (tcs->contents.cssa >= tcs->contents.nssa)
		return gp();
	v = ssa_frame(m, tcs, tcs->contents.cssa);
	if (v.kind != OK)
		return v;
	if (tcs->contents.active)
		return gp();
	enter(m, cpu, model_frame(m, rbx), tcs->contents.cssa);
	/* URSP and URBP are written. */
	m->page[m->processor[cpu].ssa].contents.is_tcs_image = false;
	return ok();
}

struct verdict model_eresume(struct model *m, int cpu, uint64_t rbx)
{
	struct verdict v = entry(m, rbx);
	struct page *tcs;

	if (v.kind != OK)
		return v;
	tcs = &m->page[model_frame(m, rbx)];
	if (tcs->contents.cssa == 0)
		return gp();
	v = ssa_frame(m, tcs, tcs->contents.cssa - 1);
	if (v.kind != OK)
		return v;
	if (tcs->contents.active)
		return gp();
	tcs->contents.cssa--;
	enter(m, cpu, model_frame(m, rbx), tcs->contents.cssa);
	return ok();
}

void model_eexit(struct model *m, int cpu)
{
	m->page[m->processor[cpu].tcs].contents.active = false;
	m->processor[cpu].inside = false;
}

void model_aex(struct model *m, int cpu)
{
	m->page[m->processor[cpu].tcs].contents.cssa++;
	m->page[m->processor[cpu].ssa].contents.is_tcs_image = false;
	model_eexit(m, cpu);
}

struct verdict model_edeccssa(struct model *m, int cpu)
{
	struct processor *processor = &m->processor[cpu];
	struct page *tcs = &m->page[processor->tcs];
	struct verdict v;
	uint64_t la;

	if (tcs->contents.cssa == 0)
		return gp();
	v = ssa_frame(m, tcs, tcs->contents.cssa - 1);
	if (v.kind != OK)
		return v;
	tcs->contents.cssa--;
	la = m->page[processor->secs].contents.base + OSSA + tcs->contents.cssa * PAGE;
	processor->ssa = model_frame(m, la);
	return ok();
}
