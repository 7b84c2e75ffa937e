/* SPDX-License-Identifier: BSD-3-Clause */
/* What the driver draws from, and operands as they lie in memory. */
#include <string.h>

#include "draw.h"

bool chance(struct world *w, unsigned int percent)
{
	return world_random(w, 100) < percent;
}

/* --- drawing operands ------------------------------------------------------ */

bool is_free(const struct world *w, const struct page *p)
{
	(void)w;
	return !p->valid;
}

bool is_valid(const struct world *w, const struct page *p)
{
	(void)w;
	return p->valid;
}

bool is_secs(const struct world *w, const struct page *p)
{
	(void)w;
	return model_is_secs(p);
}

bool is_new_secs(const struct world *w, const struct page *p)
{
	(void)w;
	return model_is_secs(p) && !p->contents.initialized;
}

bool is_running_secs(const struct world *w, const struct page *p)
{
	(void)w;
	return model_is_secs(p) && p->contents.initialized;
}

bool is_child(const struct world *w, const struct page *p)
{
	(void)w;
	return p->valid && model_is_child(p->pt);
}

bool is_regular(const struct world *w, const struct page *p)
{
	(void)w;
	return p->valid && p->pt == REG && !p->pending;
}

bool is_tcs(const struct world *w, const struct page *p)
{
	(void)w;
	return p->valid && p->pt == TCS && !p->modified;
}

bool is_enterable(const struct world *w, const struct page *p)
{
	return is_tcs(w, p) && !p->blocked && !p->contents.active &&
	       w->model.page[p->owner].contents.initialized;
}

bool is_interrupted_tcs(const struct world *w, const struct page *p)
{
	return is_tcs(w, p) && p->contents.cssa && !p->contents.active;
}

bool is_va(const struct world *w, const struct page *p)
{
	(void)w;
	return p->valid && p->pt == VA;
}

bool is_blocked(const struct world *w, const struct page *p)
{
	(void)w;
	return p->valid && p->blocked;
}

bool is_trimmed(const struct world *w, const struct page *p)
{
	(void)w;
	return p->valid && p->pt == TRIM;
}

unsigned int index_of(uint64_t address)
{
	return (unsigned int)(address / PAGE % RANGE_PAGES);
}

/* Neither the first TCS nor a frame: what an enclave can do without. */
bool is_spare(const struct world *w, const struct page *p)
{
	return is_child(w, p) && index_of(p->address) > NSSA;
}

bool is_spare_and_regular(const struct world *w, const struct page *p)
{
	return is_spare(w, p) && is_regular(w, p);
}

static bool is_lost(const struct world *w, int secs, unsigned int index)
{
	for (int i = 0; i < NR_FRAMES; i++) {
		const struct page *p = &w->model.page[i];

		if (p->valid && p->owner == secs && index_of(p->address) == index)
			return p->pending || (index ? p->rwx != (R | W) : p->pt != TCS);
	}
	for (int i = 0; i < NR_BUFFERS; i++)
		if (w->model.buffer[i].eid == w->model.page[secs].contents.eid &&
		    index_of(w->model.buffer[i].address) == index)
			return false;
	return true;
}

/* Of an enclave that cannot be entered any more by its first TCS, or never will be. */
bool is_stranded(const struct world *w, const struct page *p)
{
	if (!is_child(w, p))
		return false;
	if (!w->model.page[p->owner].contents.initialized)
		return !world_has_signatures(w) && index_of(p->address) == RANGE_PAGES - 1;
	return is_lost(w, p->owner, 0) || is_lost(w, p->owner, 1);
}

bool is_open(const struct world *w, const struct page *p)
{
	(void)w;
	return p->valid && (p->pending || p->modified || p->pr);
}

/* Is there nothing for a leaf that wants pages @test likes?  Then mostly let it be. */
bool is_pointless(struct world *w, page_test *test)
{
	for (int i = 0; i < NR_FRAMES; i++)
		if (test(w, &w->model.page[i]))
			return false;
	return !chance(w, 5);
}

/* A frame @test likes, if there is one; now and then any. */
int draw(struct world *w, page_test *test)
{
	int frame = (int)world_random(w, NR_FRAMES);

	if (chance(w, 5))
		return frame;
	for (int i = 0; i < NR_FRAMES && !test(w, &w->model.page[frame]); i++)
		frame = (frame + 1) % NR_FRAMES;
	return frame;
}

uint64_t kernel_la(struct world *w, int frame)
{
	if (chance(w, 1))
		return ORDINARY;
	return KERNEL_BASE + (uint64_t)frame * PAGE + (chance(w, 1) ? 4 : 0);
}

uint64_t draw_la(struct world *w, page_test *test)
{
	return kernel_la(w, draw(w, test));
}

/* Any page of the ranges, and a page beyond each. */
uint64_t any_enclave_la(struct world *w)
{
	return RANGE_BASE(world_random(w, NR_RANGES)) +
	       world_random(w, RANGE_PAGES + 1) * PAGE;
}

/* The address of a page of @cpu's enclave, which @test likes. */
uint64_t own_la(struct world *w, int cpu, page_test *test)
{
	const int secs = w->model.processor[cpu].secs;
	int frame = (int)world_random(w, NR_FRAMES);

	if (chance(w, 3))
		return any_enclave_la(w);
	for (int i = 0; i < NR_FRAMES; i++) {
		const struct page *p = &w->model.page[frame];

		if (p->valid && p->owner == secs && test(w, p))
			return p->address;
		frame = (frame + 1) % NR_FRAMES;
	}
	return any_enclave_la(w);
}

unsigned int draw_rwx(struct world *w)
{
	return chance(w, 85) ? R | W : world_random(w, 8);
}

int nr_pages(const struct world *w, page_test *test)
{
	int n = 0;

	for (int i = 0; i < NR_FRAMES; i++)
		n += test(w, &w->model.page[i]);
	return n;
}

bool has_page(const struct world *w, int secs, uint64_t la)
{
	for (int i = 0; i < NR_FRAMES; i++)
		if (w->model.page[i].valid && w->model.page[i].owner == secs &&
		    w->model.page[i].address == la)
			return true;
	return false;
}

/* The first page of the enclave's range from @index on that has none in EPC. */
unsigned int missing_index(struct world *w, int secs, unsigned int index)
{
	const uint64_t base = w->model.page[secs].contents.base;

	if (chance(w, 2))
		return world_random(w, RANGE_PAGES);
	while (index < RANGE_PAGES - 1 && has_page(w, secs, base + index * PAGE))
		index++;
	return index;
}

/* --- operands in memory ------------------------------------------------------ */

struct sgx_secinfo encode(const struct secinfo *s)
{
	struct sgx_secinfo secinfo = { .flags = s->rwx | SECINFO_PT(s->pt) };

	if (s->pending)
		secinfo.flags |= SECINFO_PENDING;
	if (s->modified)
		secinfo.flags |= SECINFO_MODIFIED;
	if (s->pr)
		secinfo.flags |= SECINFO_PR;
	if (s->reserved_set)
		secinfo.reserved_8[3] = 1;
	return secinfo;
}

/* The enclave writes its operand, where it could. */
void place(struct world *w, int cpu, uint64_t la, const void *operand, size_t n)
{
	const int frame = model_frame(&w->model, la);

	if (!model_may_access(&w->model, cpu, la, R))
		return;
	memcpy(w->epc[frame] + la % PAGE, operand, n);
	/* The operand may be all zeros; the page is none of a TCS in any case. */
	w->epc[frame][NO_TCS_OFFSET] = 1;
	w->model.page[frame].contents.is_tcs_image = false;
}

void write_tcs_image(uint8_t *page)
{
	struct sgx_tcs tcs = {
		.ossa = OSSA,
		.nssa = NSSA,
		.oentry = PAGE,
		.fslimit = 0xfff,
		.gslimit = 0xfff,
	};

	memcpy(page, &tcs, sizeof(tcs));
}

void write_source(struct world *w, bool is_tcs)
{
	memset(w->page, 0, sizeof(w->page));
	if (is_tcs)
		write_tcs_image(w->page);
	else
		w->page[NO_TCS_OFFSET] = 1;
}

/* The kernel maps a page it put into an enclave; now and then it gets it wrong. */
void map(struct world *w, uint64_t la, int frame)
{
	if (chance(w, 2))
		return;
	for (int i = 0; i < NR_RANGES; i++)
		if (la >= RANGE_BASE(i) && la < RANGE_BASE(i) + RANGE_SIZE)
			w->tables.frame[i][(la - RANGE_BASE(i)) / PAGE] = frame;
}

/* The kernel handles a page fault: is there a page for that address? */
void handle(struct world *w, struct verdict v)
{
	const uint64_t la = v.la / PAGE * PAGE;

	if (v.kind != EPF)
		return;
	for (int i = 0; i < NR_FRAMES; i++)
		if (w->model.page[i].valid && w->model.page[i].address == la)
			map(w, la, i);
}

void map_anything(struct world *w)
{
	w->tables.frame[world_random(w, NR_RANGES)][world_random(w, RANGE_PAGES)] =
		(int)world_random(w, NR_FRAMES + 1) - 1;
}
