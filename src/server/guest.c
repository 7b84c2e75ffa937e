/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ENCLS of a program that plays a guest's kernel on its virtual EPC.
 *
 * A leaf holds EPC pages while it runs, and must not wait for a client then.  So
 * its operands are fetched first, along the table of leaves, and the leaf runs on
 * the copies; should it want more than the table knew of, that is fetched and the
 * leaf runs again.  What it writes is stored when it is done, at addresses that
 * were tried before.
 */
#include <errno.h>
#include <string.h>

#include <swsgx/virt.h>

#include "internal.h"

#define MAX_PAGES 8u		/* RBX, RCX, RDX, PAGEINFO.SECS; and some */
#define MAX_COPIES 6u		/* PAGEINFO, what it names two of, RDX's; and some */
#define MAX_COPY SGX_PAGE_SIZE
#define MAX_RUNS 8u

enum access { READ, WRITE };

/* A page of the program, as translated once. */
struct page {
	uint64_t la;
	bool write;
	uint64_t pa;			/* ISA_NO_FRAME: not EPC */
	struct isa_outcome fault;	/* ISA_DONE: none */
	struct device *dev;		/* held while the leaf may use the page */
};

/* Ordinary memory of the program, read once, or tried and written. */
struct copy {
	enum access access;
	uint64_t la;
	size_t size;
	bool written;
	struct isa_outcome fault;
	uint8_t data[MAX_COPY];
};

struct guest {
	struct call *call;
	struct server *server;
	struct page pages[MAX_PAGES];
	unsigned int nr_pages, nr_copies;
	bool missed;			/* the leaf wanted something that was not there */
	/* What it wanted: to translate when size is 0. */
	enum access want;
	uint64_t want_la;
	size_t want_size;
	struct copy copies[MAX_COPIES];
};

static struct isa_outcome page_fault(uint64_t la, uint16_t error_code)
{
	return (struct isa_outcome){
		.kind = ISA_FAULT,
		.vector = X86_PF,
		.error_code = error_code,
		.address = la,
	};
}

/* --- fetching ------------------------------------------------------------------- */

static struct isa_outcome find_vepc_page(struct guest *g, struct page *page)
{
	struct proto_vepc_page where;
	const int ret = call_vepc_page(g->call, page->la, page->write, &where);

	if (ret == -EACCES)
		return page_fault(page->la, PFEC_P | PFEC_W);
	if (!ret)
		page->dev = vepc_get(g->server, where.id);
	/* Touching it makes it, or fails as a touch does. */
	if (page->dev && sgx_vepc_fault(page->dev->vepc, where.index, &page->pa))
		return page_fault(page->la, page->write ? PFEC_W : 0);
	return (struct isa_outcome){ .kind = ISA_DONE };
}

static struct page *find_page(struct guest *g, uint64_t la, bool write)
{
	for (unsigned int i = 0; i < g->nr_pages; i++)
		if (g->pages[i].la == (la & SGX_PAGE_MASK) && (g->pages[i].write || !write))
			return &g->pages[i];
	return NULL;
}

static struct page *fetch_page(struct guest *g, uint64_t la, bool write)
{
	struct page *page = find_page(g, la, write);

	if (page || g->nr_pages == MAX_PAGES)
		return page;
	page = &g->pages[g->nr_pages++];
	*page = (struct page){ .la = la & SGX_PAGE_MASK, .write = write, .pa = ISA_NO_FRAME };
	page->fault = find_vepc_page(g, page);
	return page;
}

static struct copy *find_copy(struct guest *g, enum access access, uint64_t la, size_t size)
{
	for (unsigned int i = 0; i < g->nr_copies; i++) {
		struct copy *copy = &g->copies[i];

		if (copy->access == access && la >= copy->la && la - copy->la <= copy->size &&
		    size <= copy->size - (la - copy->la))
			return copy;
	}
	return NULL;
}

/*
 * To read: the memory as it is.  To write: whether it can be written, by writing
 * what its first bytes are; operands that are written lie in one page each.
 */
static struct copy *fetch_copy(struct guest *g, enum access access, uint64_t la, size_t size)
{
	struct copy *copy = find_copy(g, access, la, size);
	uint64_t probe;

	if (copy || g->nr_copies == MAX_COPIES || size > MAX_COPY)
		return copy;
	copy = &g->copies[g->nr_copies++];
	*copy = (struct copy){ .access = access, .la = la, .size = size };
	if (access == READ ? call_copy_in(g->call, copy->data, la, size) != 0
			   : call_copy_in(g->call, &probe, la, sizeof(probe)) ||
				     call_copy_out(g->call, la, &probe, sizeof(probe)))
		copy->fault = page_fault(la, access == WRITE ? PFEC_W : 0);
	return copy;
}

/* --- memory, as the leaf sees it --------------------------------------------------- */

static bool miss(struct guest *g, enum access want, uint64_t la, size_t size,
		 struct isa_outcome *fault)
{
	g->missed = true;
	g->want = want;
	g->want_la = la;
	g->want_size = size;
	*fault = page_fault(la, 0);
	return false;
}

static bool fetched_translate(void *ctx, uint64_t la, bool write, uint64_t *pa,
			      struct isa_outcome *fault)
{
	struct guest *g = ctx;
	const struct page *page = find_page(g, la, write);

	if (!page)
		return miss(g, write ? WRITE : READ, la, 0, fault);
	*fault = page->fault;
	*pa = page->pa == ISA_NO_FRAME ? ISA_NO_FRAME : page->pa + la % SGX_PAGE_SIZE;
	return isa_is_done(page->fault);
}

static bool fetched_read(void *ctx, uint64_t la, void *dst, size_t n, struct isa_outcome *fault)
{
	struct guest *g = ctx;
	const struct copy *copy = find_copy(g, READ, la, n);

	if (!copy)
		return miss(g, READ, la, n, fault);
	*fault = copy->fault;
	if (!isa_is_done(copy->fault))
		return false;
	memcpy(dst, copy->data + (la - copy->la), n);
	return true;
}

static bool fetched_write(void *ctx, uint64_t la, const void *src, size_t n,
			  struct isa_outcome *fault)
{
	struct guest *g = ctx;
	struct copy *copy = find_copy(g, WRITE, la, n);

	/* Whole copies only: what surrounds it must not be stored. */
	if (!copy || copy->la != la || copy->size != n)
		return miss(g, WRITE, la, n, fault);
	*fault = copy->fault;
	if (!isa_is_done(copy->fault))
		return false;
	memcpy(copy->data, src, n);
	copy->written = true;
	return true;
}

static const struct isa_mmu fetched = {
	.translate = fetched_translate,
	.read = fetched_read,
	.write = fetched_write,
};

/* The same for who holds nothing, and may wait. */

static bool direct_translate(void *ctx, uint64_t la, bool write, uint64_t *pa,
			     struct isa_outcome *fault)
{
	struct guest *g = ctx;

	fetch_page(g, la, write);
	return fetched_translate(g, la, write, pa, fault);
}

static bool direct_read(void *ctx, uint64_t la, void *dst, size_t n, struct isa_outcome *fault)
{
	struct guest *g = ctx;

	fetch_copy(g, READ, la, n);
	return fetched_read(g, la, dst, n, fault);
}

static const struct isa_mmu direct = {
	.translate = direct_translate,
	.read = direct_read,
};

/* --- operands, along the table of leaves ----------------------------------------------- */

static void fetch_pageinfo(struct guest *g, uint32_t leaf, uint64_t la)
{
	const bool evicts = leaf == ISA_ENCLS_EWB;
	const bool has_pcmd = evicts || leaf == ISA_ENCLS_ELDU || leaf == ISA_ENCLS_ELDB;
	const struct copy *copy = fetch_copy(g, READ, la, sizeof(struct sgx_pageinfo));
	struct sgx_pageinfo pageinfo;

	if (!copy || !isa_is_done(copy->fault))
		return;
	memcpy(&pageinfo, copy->data, sizeof(pageinfo));
	fetch_copy(g, evicts ? WRITE : READ, pageinfo.secinfo_or_pcmd,
		   has_pcmd ? sizeof(struct sgx_pcmd) : sizeof(struct sgx_secinfo));
	if (pageinfo.srcpge)
		fetch_copy(g, evicts ? WRITE : READ, pageinfo.srcpge, SGX_PAGE_SIZE);
	if (evicts)
		fetch_copy(g, WRITE, la + offsetof(struct sgx_pageinfo, linaddr),
			   sizeof(pageinfo.linaddr));
	else if (pageinfo.secs)
		fetch_page(g, pageinfo.secs, true);
}

static void fetch_operand(struct guest *g, uint32_t leaf, const char *kind, uint64_t value)
{
	if (!strcmp(kind, "PAGEINFO"))
		fetch_pageinfo(g, leaf, value);
	else if (!strcmp(kind, "SECINFO"))
		fetch_copy(g, READ, value, sizeof(struct sgx_secinfo));
	else if (!strncmp(kind, "EPC_", 4) || !strcmp(kind, "SECS") || !strcmp(kind, "VA_SLOT"))
		fetch_page(g, value, true);
}

static const struct isa_leaf_info *leaf_info(uint32_t leaf)
{
	const struct isa_leaf_info *info;

	for (size_t i = 0; (info = isa_leaf_at(i)); i++)
		if (info->class == ISA_ENCLS && info->number == leaf)
			return info;
	return NULL;
}

static void fetch_operands(struct guest *g, uint32_t leaf, const struct isa_lp *lp)
{
	const struct isa_leaf_info *info = leaf_info(leaf);

	if (!info)
		return;
	fetch_operand(g, leaf, info->operand[0], lp->rbx);
	fetch_operand(g, leaf, info->operand[1], lp->rcx);
	fetch_operand(g, leaf, info->operand[2], lp->rdx);
}

/* Return: false when there is no room for it, which is more than any leaf wants. */
static bool fetch_missed(struct guest *g)
{
	g->missed = false;
	if (!g->want_size)
		return fetch_page(g, g->want_la, g->want == WRITE);
	return fetch_copy(g, g->want, g->want_la, g->want_size);
}

static void store_written(struct guest *g)
{
	for (unsigned int i = 0; i < g->nr_copies; i++)
		if (g->copies[i].written)
			call_copy_out(g->call, g->copies[i].la, g->copies[i].data,
				      g->copies[i].size);
}

/* --- execution ------------------------------------------------------------------------------ */

static struct isa_outcome run_leaf(struct guest *g, uint32_t leaf, struct isa_lp *lp)
{
	const uint64_t rbx = lp->rbx;
	struct isa_outcome out;
	unsigned int runs = 0;

	fetch_operands(g, leaf, lp);
	do {
		lp->rbx = rbx;
		out = isa_encls(lp, leaf);
	} while (g->missed && ++runs < MAX_RUNS && fetch_missed(g));
	if (out.kind != ISA_FAULT)
		store_written(g);
	return out;
}

/* What guests are told of the machine: all there is, but not the right to provision. */
static void describe(struct sgx_virt_guest *virt, const struct server *s,
		     const struct proto_request *req, const struct isa_lp *lp)
{
	sgx_virt_guest_init(virt, isa_machine_profile(s->processor.machine), processor_xcr0());
	memcpy(virt->lepubkeyhash, req->flags & PROTO_HASH ? req->msr : lp->lepubkeyhash,
	       sizeof(virt->lepubkeyhash));
}

static struct isa_outcome execute(struct guest *g, const struct proto_request *req,
				  struct isa_lp *lp)
{
	const struct sgx_virt_memory memory = { &direct, g };
	struct sgx_epc_pool *pool = g->server->pool;
	const uint32_t leaf = (uint32_t)req->a;
	struct sgx_virt_guest virt;
	struct isa_outcome out;

	describe(&virt, g->server, req, lp);
	if (!sgx_virt_may_execute(&virt, leaf, &out))
		return out;
	if (leaf == ISA_ENCLS_ECREATE)
		return sgx_virt_ecreate(pool, &virt, &memory, lp->rbx, lp->rcx);
	if (leaf == ISA_ENCLS_EINIT)
		return sgx_virt_einit(pool, &virt, &memory, lp->rbx, lp->rcx, lp->rdx);
	out = run_leaf(g, leaf, lp);
	/* Both take a page from its SECS. */
	if (isa_is_done(out) && (leaf == ISA_ENCLS_EREMOVE || leaf == ISA_ENCLS_EWB))
		sgx_vepc_guest_removed(pool);
	return out;
}

void guest_encls(struct call *call, struct device *dev, const struct proto_request *req,
		 struct proto_frame *done)
{
	struct guest g;
	struct isa_lp lp;

	/* Copies are large, and filled before they are read. */
	memset(&g, 0, offsetof(struct guest, copies));
	g.call = call;
	g.server = dev->server;
	isa_lp_init(&lp, dev->server->processor.machine, &fetched, &g, 0);
	lp.rbx = req->b;
	lp.rcx = req->c;
	lp.rdx = req->d;

	done->outcome = execute(&g, req, &lp);
	done->base = lp.rbx;
	while (g.nr_pages)
		if (g.pages[--g.nr_pages].dev)
			device_put(g.pages[g.nr_pages].dev);
}
