/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "signer.h"
#include "world.h"

#define AEP 0x401000ull
#define STACK 0x7ffe0000ull	/* not 0: what entry saves shows in the page */

/* --- the address space --------------------------------------------------- */

static bool translate(void *ctx, uint64_t la, bool write, uint64_t *pa, struct isa_outcome *fault)
{
	const struct world *w = ctx;
	const int frame = model_frame(&w->model, la);

	*pa = frame == NOTHING ? ISA_NO_FRAME : PHYSICAL_BASE + (uint64_t)frame * PAGE + la % PAGE;
	(void)write;
	(void)fault;
	return true;
}

/* Ordinary operands are all ours, and not in EPC. */
static bool read_memory(void *ctx, uint64_t la, void *dst, size_t n, struct isa_outcome *fault)
{
	memcpy(dst, (const void *)(uintptr_t)la, n);
	(void)ctx;
	(void)fault;
	return true;
}

static bool write_memory(void *ctx, uint64_t la, const void *src, size_t n,
			 struct isa_outcome *fault)
{
	memcpy((void *)(uintptr_t)la, src, n);
	(void)ctx;
	(void)fault;
	return true;
}

static const struct isa_mmu mmu = {
	.translate = translate,
	.read = read_memory,
	.write = write_memory,
};

static void *epc_page(void *ctx, uint64_t frame)
{
	struct world *w = ctx;

	return w->epc[frame];
}

static bool view_page(void *ctx, uint64_t la, bool write, struct isa_epcm_info *info, void **page,
		      struct isa_outcome *fault)
{
	struct world *w = ctx;
	const int frame = model_frame(&w->model, la);

	*info = (struct isa_epcm_info){ 0 };
	if (frame != NOTHING) {
		*info = isa_epcm_peek(w->isa, (uint64_t)frame);
		*page = w->epc[frame];
	}
	(void)write;
	(void)fault;
	return true;
}

/* --- life ---------------------------------------------------------------- */

static void virtualize(struct world *w)
{
	w->model.is_virtualized = true;
	for (int i = 0; i < NR_PROCESSORS; i++)
		w->cpu[i].lp.vmx = (struct isa_vmx){
			.operation = i ? ISA_VMX_GUEST : ISA_VMX_ROOT,
			.epc_virtualization = i,
		};
}

struct world *world_create(uint64_t seed, bool virtualized)
{
	static const struct isa_section section = { .pa = PHYSICAL_BASE, .nr_pages = NR_FRAMES };
	struct isa_config config = {
		.profile = isa_profile_at(0),
		.sections = &section,
		.nr_sections = 1,
		.xcr0 = XFRM_X87_SSE,
		.epc_page = epc_page,
	};
	struct world *w = aligned_alloc(4096, (sizeof(*w) + 4095) & ~4095ul);
	uint64_t hash[4];

	if (!w)
		abort();
	memset(w, 0, sizeof(*w));
	memset(&w->tables, 0xff, sizeof(w->tables));
	/* Neighbouring seeds must not make neighbouring sequences. */
	w->random = (seed + 1) * 0x9e3779b97f4a7c15ull;
	model_init(&w->model, &w->tables);
	config.ctx = w;
	if (isa_machine_create(&config, &w->isa))
		abort();
	isa_signer_hash(isa_signer_get(0), hash);
	for (int i = 0; i < NR_PROCESSORS; i++) {
		isa_lp_init(&w->cpu[i].lp, w->isa, &mmu, w, 0);
		isa_wrmsr_lepubkeyhash(&w->cpu[i].lp, hash);
	}
	if (virtualized)
		virtualize(w);
	return w;
}

void world_destroy(struct world *w)
{
	isa_machine_destroy(w->isa);
	free(w);
}

unsigned int world_random(struct world *w, unsigned int n)
{
	uint64_t x = w->random;

	/* xorshift64* */
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	w->random = x;
	return (unsigned int)((x * 0x2545f4914f6cdd1dull >> 33) % n);
}

/* --- the processor ------------------------------------------------------- */

static struct isa_lp *operands(struct world *w, int cpu, uint64_t rbx, uint64_t rcx, uint64_t rdx)
{
	struct isa_lp *lp = &w->cpu[cpu].lp;

	lp->rbx = rbx;
	lp->rcx = rcx;
	lp->rdx = rdx;
	return lp;
}

struct isa_outcome world_encls(struct world *w, int cpu, uint32_t leaf, uint64_t rbx,
			       uint64_t rcx, uint64_t rdx)
{
	return isa_encls(operands(w, cpu, rbx, rcx, rdx), leaf);
}

struct isa_outcome world_enclv(struct world *w, int cpu, uint32_t leaf, uint64_t rbx,
			       uint64_t rcx, uint64_t rdx)
{
	return isa_enclv(operands(w, cpu, rbx, rcx, rdx), leaf);
}

struct isa_outcome world_enclu(struct world *w, int cpu, uint32_t leaf, uint64_t rbx,
			       uint64_t rcx, uint64_t rdx)
{
	return isa_enclu(operands(w, cpu, rbx, rcx, rdx), leaf);
}

/* What a program has of the enclave @tcs seems to belong to. */
static struct isa_encl_view view_of(struct world *w, uint64_t tcs)
{
	static struct isa_encl_block none = { .features = CPUID_12_0_EAX_SGX2 };
	const int frame = model_frame(&w->model, tcs);
	struct isa_encl_view view = {
		.blk = &none,
		.page = view_page,
		.ctx = w,
		.xcr0 = XFRM_X87_SSE,
	};

	if (frame != NOTHING && w->model.page[frame].owner != NOTHING)
		view.blk = isa_secs_block(w->isa, (uint64_t)w->model.page[frame].owner);
	return view;
}

static void inside(struct world *w, struct cpu *c)
{
	const struct isa_epcm_info info =
		isa_epcm_peek(w->isa, (uint64_t)((uint8_t *)c->thread.tcs - w->epc[0]) / PAGE);

	c->lp.cpl = 3;
	c->lp.secs_frame = info.secs_frame;
}

static void outside(struct cpu *c)
{
	c->lp.cpl = 0;
	c->lp.secs_frame = ISA_NO_FRAME;
}

struct isa_outcome world_eenter(struct world *w, int cpu, uint64_t tcs)
{
	const struct isa_encl_view view = view_of(w, tcs);
	struct cpu *c = &w->cpu[cpu];
	struct isa_outcome out;

	c->regs.gpr[ISA_RBX] = tcs;
	c->regs.gpr[ISA_RCX] = AEP;
	c->regs.gpr[ISA_RSP] = STACK;
	out = isa_eenter(&c->thread, &view, &c->regs);
	if (isa_is_done(out))
		inside(w, c);
	return out;
}

struct isa_outcome world_eresume(struct world *w, int cpu, uint64_t tcs)
{
	const struct isa_encl_view view = view_of(w, tcs);
	struct cpu *c = &w->cpu[cpu];
	struct isa_outcome out;
	const uint8_t *xsave;

	c->regs.gpr[ISA_RBX] = tcs;
	c->regs.gpr[ISA_RCX] = AEP;
	out = isa_eresume(&c->thread, &view, &c->regs, &xsave);
	if (isa_is_done(out))
		inside(w, c);
	return out;
}

struct isa_outcome world_eexit(struct world *w, int cpu)
{
	struct cpu *c = &w->cpu[cpu];
	struct isa_outcome out;

	c->regs.gpr[ISA_RBX] = 0x402000;
	out = isa_eexit(&c->thread, &c->regs);
	outside(c);
	return out;
}

struct isa_outcome world_aex(struct world *w, int cpu)
{
	const struct isa_event event = { .exception = false };
	struct cpu *c = &w->cpu[cpu];

	c->regs.rip = AEP;		/* anything canonical */
	c->regs.fsbase = c->regs.gsbase = 0;
	isa_aex(&c->thread, &c->regs, &event, w->zeros);
	outside(c);
	return isa_ok();
}

struct isa_outcome world_edeccssa(struct world *w, int cpu)
{
	return isa_edeccssa(&w->cpu[cpu].thread);
}

/* --- SIGSTRUCT ------------------------------------------------------------ */

#define NR_SIGNED 8192u

/* Signing takes long, and the same enclaves come again. */
static struct sgx_sigstruct signed_before[NR_SIGNED];
static bool is_signed[NR_SIGNED];

static bool fits(const struct sgx_sigstruct *sig, const uint8_t mrenclave[32],
		 const struct sgx_attributes *attributes)
{
	return !memcmp(sig->enclavehash, mrenclave, 32) &&
	       !memcmp(&sig->attributes, attributes, sizeof(*attributes));
}

bool world_has_signatures(const struct world *w)
{
	return w->nr_signed < MAX_SIGNED;
}

/* Does this run sign for @mrenclave?  Runs must not depend on each other. */
static bool may_sign(struct world *w, const uint8_t mrenclave[32])
{
	for (unsigned int i = 0; i < w->nr_signed; i++)
		if (!memcmp(w->signed_for[i], mrenclave, 32))
			return true;
	if (!world_has_signatures(w))
		return false;
	memcpy(w->signed_for[w->nr_signed++], mrenclave, 32);
	return true;
}

static void sign(struct world *w, const uint8_t mrenclave[32],
		 const struct sgx_attributes *attributes)
{
	const bool debug = attributes->flags & ATTR_DEBUG;
	const unsigned int slot = (mrenclave[0] << 1 | mrenclave[1] << 9 | debug) % NR_SIGNED;

	if (!is_signed[slot] || !fits(&signed_before[slot], mrenclave, attributes)) {
		isa_sigstruct_init(&signed_before[slot], mrenclave, attributes, 0);
		isa_signer_sign(isa_signer_get(0), &signed_before[slot]);
		is_signed[slot] = true;
	}
	w->sig = signed_before[slot];
}

bool world_sign(struct world *w, int frame, bool right)
{
	struct sgx_attributes attributes = { .flags = ATTR_MODE64BIT, .xfrm = XFRM_X87_SSE };
	uint8_t mrenclave[32] = { 0 };

	if (frame != NOTHING && model_is_secs(&w->model.page[frame]) &&
	    !w->model.page[frame].contents.initialized) {
		struct sgx_secs *secs = (void *)w->epc[frame];

		attributes.flags |= secs->attributes.flags & ATTR_DEBUG;
		isa_measure_final(secs, mrenclave);
		right = right && may_sign(w, mrenclave);
		if (!right)
			memset(mrenclave, 0, sizeof(mrenclave));
	}
	sign(w, mrenclave, &attributes);
	return right;
}

/* --- comparison ----------------------------------------------------------- */

static bool same_outcome(struct verdict v, struct isa_outcome out)
{
	switch (v.kind) {
	case OK:
		return out.kind == ISA_DONE;
	case ERROR:
		return out.kind == ISA_ERROR && out.code == v.code;
	case INFO:
		return out.kind == ISA_INFO && out.code == v.code;
	case GP:
		return out.kind == ISA_FAULT && out.vector == X86_GP;
	case EPF:
		return out.kind == ISA_FAULT && out.vector == X86_PF &&
		       (out.error_code & (PFEC_SGX | PFEC_P)) == (PFEC_SGX | PFEC_P) &&
		       out.address == v.la;
	case EXIT:
		return out.kind == ISA_VMEXIT && out.vector == VMX_EXIT_SGX_CONFLICT &&
		       out.code == v.code;
	}
	return false;
}

static bool same_contents(const struct world *w, int frame)
{
	const struct contents *c = &w->model.page[frame].contents;
	const struct sgx_tcs *tcs = (const void *)w->epc[frame];
	const uint64_t *slot = (const void *)w->epc[frame];

	if (w->model.page[frame].pt == TCS)
		return !c->is_tcs_image ||
		       (tcs->cssa == c->cssa && tcs->state == c->active &&
			tcs->flags == c->tcs_flags);
	if (w->model.page[frame].pt == VA)
		for (int i = 0; i < NR_SLOTS; i++)
			if (!slot[i] != !c->version[i])
				return false;
	return true;
}

static bool same_page(const struct world *w, int frame)
{
	const struct isa_epcm_info e = isa_epcm_peek(w->isa, (uint64_t)frame);
	const struct page *p = &w->model.page[frame];
	const uint64_t owner = p->owner == NOTHING ? ISA_NO_FRAME : (uint64_t)p->owner;

	if (!p->valid)
		return !e.valid;
	return e.valid && e.pt == p->pt && e.rwx == p->rwx && e.blocked == p->blocked &&
	       e.pending == p->pending && e.modified == p->modified && e.pr == p->pr &&
	       e.enclaveaddress == p->address && e.secs_frame == owner && same_contents(w, frame);
}

static bool same_count(const struct world *w, int secs)
{
	struct isa_encl_block *blk = isa_secs_block(w->isa, (uint64_t)secs);
	uint64_t n = 0;

	for (int i = 0; i < NR_PROCESSORS; i++)
		n += w->model.processor[i].inside && w->model.processor[i].secs == secs;
	return atomic_load(&blk->nr_inside[0]) + atomic_load(&blk->nr_inside[1]) == n;
}

/* What is not the same, or NULL. */
static const char *difference(const struct world *w, const struct step *s)
{
	if (!same_outcome(s->verdict, s->outcome))
		return "outcome";
	for (int i = 0; i < NR_PROCESSORS; i++)
		if (w->cpu[i].thread.inside != w->model.processor[i].inside)
			return "processor";
	for (int i = 0; i < NR_FRAMES; i++) {
		if (!same_page(w, i))
			return "page";
		if (model_is_secs(&w->model.page[i]) && !same_count(w, i))
			return "count of processors inside";
	}
	return NULL;
}

static void print_step(uint64_t nr, const struct step *s)
{
	static const char *const kinds[] = { "ok", "error", "info", "#GP", "EPF", "exit" };

	printf("# %" PRIu64 ": cpu %d %s rbx 0x%" PRIx64 " rcx 0x%" PRIx64 " rdx 0x%" PRIx64
	       ": model %s %u 0x%" PRIx64, nr, s->cpu, s->name, s->rbx, s->rcx, s->rdx,
	       kinds[s->verdict.kind], s->verdict.code, s->verdict.la);
	printf(", processor kind %d %s %s 0x%" PRIx64 "\n", (int)s->outcome.kind,
	       isa_error_name(s->outcome.code), isa_vector_name(s->outcome.vector),
	       s->outcome.address);
}

static void print_pages(const struct world *w)
{
	for (int i = 0; i < NR_FRAMES; i++) {
		const struct isa_epcm_info e = isa_epcm_peek(w->isa, (uint64_t)i);
		const struct page *p = &w->model.page[i];

		if (!p->valid && !e.valid)
			continue;
		printf("# frame %d: model %d pt %u rwx %u B%d P%d M%d PR%d at 0x%" PRIx64 " of %d"
		       ", processor %d pt %u rwx %u B%d P%d M%d PR%d at 0x%" PRIx64 " of %" PRId64
		       "%s\n", i, p->valid, p->pt, p->rwx, p->blocked, p->pending, p->modified,
		       p->pr, p->address, p->owner, e.valid, e.pt, e.rwx, e.blocked, e.pending,
		       e.modified, e.pr, e.enclaveaddress, (int64_t)e.secs_frame,
		       same_page(w, i) ? "" : " <--");
	}
}

static void tally(struct world *w, const struct step *s)
{
	struct tally *t = w->tally;

	while (t->name && strcmp(t->name, s->name))
		t++;
	t->name = s->name;
	t->nr[s->verdict.kind]++;
	if (s->verdict.kind == ERROR || s->verdict.kind == INFO)
		t->codes |= 1ull << s->verdict.code;
}

void world_compare(struct world *w, struct step s)
{
	const char *what = difference(w, &s);

	w->last[w->nr_steps++ % NR_REMEMBERED] = s;
	tally(w, &s);
	if (!what)
		return;

	w->differ = true;
	printf("# after step %" PRIu64 " they differ: %s\n", w->nr_steps - 1, what);
	for (uint64_t i = w->nr_steps > NR_REMEMBERED ? w->nr_steps - NR_REMEMBERED : 0;
	     i < w->nr_steps; i++)
		print_step(i, &w->last[i % NR_REMEMBERED]);
	print_pages(w);
}

void world_report(const struct world *w)
{
	printf("# %" PRIu64 " steps\n", w->nr_steps);
	printf("# %-13s %9s %9s %9s %9s %9s %9s  codes\n", "leaf", "done", "error", "info", "#GP",
	       "EPF", "exit");
	for (const struct tally *t = w->tally; t->name; t++) {
		printf("# %-13s", t->name);
		for (int i = 0; i < 6; i++)
			printf(" %9" PRIu64, t->nr[i]);
		for (int code = 1; code < 64; code++)
			if (t->codes >> code & 1)
				printf(" %s", isa_error_name((uint32_t)code));
		printf("\n");
	}
}
