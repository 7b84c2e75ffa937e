/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libFuzzer harness: every leaf on raw operands.  Registers hold anything,
 * structures are composed or garbage, operands alias each other, cross pages,
 * lie in EPC or nowhere, page tables change between leaves, and processors are
 * inside the enclave meanwhile.  Each EPC page and the ordinary memory are
 * allocations of their exact size, so AddressSanitizer sees what reaches beyond.
 *
 *   clang -g -O1 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -Iinclude -Isrc/isa \
 *         fuzz/fuzz-leaf.c $(ls src/isa/[a-z]*.c | grep -v openssl) -lnettle -o fuzz-leaf
 *   ./fuzz-leaf -max_len=1024 fuzz/corpus/leaf
 *
 * An input is a sequence of steps, a byte that says what and then its operands;
 * see step().
 */
#include <stdlib.h>

#include "internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(x) do { if (!(x)) abort(); } while (0)

enum {
	NR_FRAMES = 10,
	RANGE_PAGES = 8,
	RAM_PAGES = 8,
	NR_CPUS = 2,
	/* What the enclave at the start is made of. */
	FRAME_SECS = 0,
	FRAME_TCS = 1,
	FRAME_SSA = 2,
	FRAME_DATA = 3,
};

#define SECTION_PAGES (NR_FRAMES / 2)
#define PA0 0x40000000ull
#define PA1 0x80000000ull
#define KERNEL 0xffff800000000000ull
#define RANGE 0x700000000000ull
#define RANGE_SIZE (RANGE_PAGES * SGX_PAGE_SIZE)
#define RAM 0x10000ull
#define RAM_SIZE (RAM_PAGES * SGX_PAGE_SIZE)

struct input {
	const uint8_t *data;
	size_t left;
};

struct cpu {
	struct isa_lp lp;
	struct isa_thread thread;
	struct isa_regs regs;
};

struct fuzz {
	struct isa_machine *m;
	uint8_t *epc[NR_FRAMES];
	uint8_t *ram;
	uint8_t table[RANGE_PAGES];	/* frame of each enclave page, or none */
	struct cpu cpu[NR_CPUS];
};

static const uint8_t image[SGX_PAGE_SIZE];

/* --- input ----------------------------------------------------------------- */

static void take(struct input *in, void *dst, size_t n)
{
	if (n > in->left)
		n = in->left;
	memcpy(dst, in->data, n);
	in->data += n;
	in->left -= n;
}

static uint8_t take8(struct input *in)
{
	uint8_t x = 0;

	take(in, &x, sizeof(x));
	return x;
}

static uint16_t take16(struct input *in)
{
	uint16_t x = 0;

	take(in, &x, sizeof(x));
	return x;
}

static uint64_t take64(struct input *in)
{
	uint64_t x = 0;

	take(in, &x, sizeof(x));
	return x;
}

/* A register: mostly an address that leads somewhere. */
static uint64_t take_operand(struct input *in)
{
	const uint8_t kind = take8(in), n = kind >> 3;

	switch (kind & 7) {
	case 0:
		return KERNEL + n % NR_FRAMES * SGX_PAGE_SIZE;
	case 1:
		return KERNEL + take16(in);
	case 2:
		return RANGE + n % RANGE_PAGES * SGX_PAGE_SIZE;
	case 3:
		return RANGE + take16(in);
	case 4:
		return RAM + n % RAM_PAGES * SGX_PAGE_SIZE;
	case 5:
		return RAM + take16(in) % (RAM_SIZE + 64);
	case 6:
		return n;
	default:
		return take64(in);
	}
}

/* --- memory ---------------------------------------------------------------- */

static uint64_t pa_of(unsigned int frame)
{
	return frame < SECTION_PAGES ? PA0 + frame * SGX_PAGE_SIZE :
				       PA1 + (frame - SECTION_PAGES) * SGX_PAGE_SIZE;
}

static bool page_fault(uint64_t la, struct isa_outcome *fault)
{
	*fault = (struct isa_outcome){ .kind = ISA_FAULT, .vector = X86_PF, .address = la };
	return false;
}

static bool translate(void *ctx, uint64_t la, bool write, uint64_t *pa, struct isa_outcome *fault)
{
	const struct fuzz *f = ctx;
	unsigned int frame = NR_FRAMES;

	(void)write;
	*pa = ISA_NO_FRAME;
	if (la - RAM < RAM_SIZE)
		return true;
	if (la - KERNEL < NR_FRAMES * SGX_PAGE_SIZE)
		frame = (unsigned int)((la - KERNEL) / SGX_PAGE_SIZE);
	else if (la - RANGE < RANGE_SIZE)
		frame = f->table[(la - RANGE) / SGX_PAGE_SIZE];
	if (frame >= NR_FRAMES)
		return page_fault(la, fault);
	*pa = pa_of(frame) + la % SGX_PAGE_SIZE;
	return true;
}

/* Byte by byte: an operand may cross into another page, or out of memory. */
static bool read_memory(void *ctx, uint64_t la, void *dst, size_t n, struct isa_outcome *fault)
{
	const struct fuzz *f = ctx;
	uint8_t *bytes = dst;
	uint64_t pa;

	for (size_t i = 0; i < n; i++) {
		if (!translate(ctx, la + i, false, &pa, fault))
			return false;
		bytes[i] = pa == ISA_NO_FRAME ? f->ram[la + i - RAM] : 0xff;
	}
	return true;
}

static bool write_memory(void *ctx, uint64_t la, const void *src, size_t n,
			 struct isa_outcome *fault)
{
	const struct fuzz *f = ctx;
	const uint8_t *bytes = src;
	uint64_t pa;

	for (size_t i = 0; i < n; i++)
		if (!translate(ctx, la + i, true, &pa, fault))
			return false;
	for (size_t i = 0; i < n; i++)
		if (translate(ctx, la + i, true, &pa, fault) && pa == ISA_NO_FRAME)
			f->ram[la + i - RAM] = bytes[i];
	return true;
}

static const struct isa_mmu mmu = {
	.translate = translate,
	.read = read_memory,
	.write = write_memory,
};

static void *epc_page(void *ctx, uint64_t frame)
{
	struct fuzz *f = ctx;

	REQUIRE(frame < NR_FRAMES);
	return f->epc[frame];
}

static bool view_page(void *ctx, uint64_t la, bool write, struct isa_epcm_info *info, void **page,
		      struct isa_outcome *fault)
{
	struct fuzz *f = ctx;
	uint64_t pa, frame;

	*info = (struct isa_epcm_info){ 0 };
	if (!translate(f, la, write, &pa, fault))
		return false;
	frame = pa == ISA_NO_FRAME ? ISA_NO_FRAME : isa_machine_frame(f->m, pa);
	if (frame != ISA_NO_FRAME) {
		*info = isa_epcm_peek(f->m, frame);
		*page = f->epc[frame];
	}
	return true;
}

/* --- a machine with an enclave that runs ------------------------------------- */

static void put_pageinfo(struct fuzz *f, uint64_t linaddr, uint64_t srcpge, uint64_t secinfo,
			 uint64_t secs)
{
	const struct sgx_pageinfo pageinfo = { linaddr, srcpge, secinfo, secs };

	memcpy(f->ram, &pageinfo, sizeof(pageinfo));
}

static void encls(struct fuzz *f, uint32_t leaf, unsigned int frame)
{
	struct isa_lp *lp = &f->cpu[0].lp;

	lp->rbx = RAM;
	lp->rcx = KERNEL + frame * SGX_PAGE_SIZE;
	REQUIRE(isa_is_done(isa_encls(lp, leaf)));
}

static void add(struct fuzz *f, unsigned int frame, uint64_t flags)
{
	memcpy(f->ram + 64, &flags, sizeof(flags));
	put_pageinfo(f, RANGE + (frame - 1) * SGX_PAGE_SIZE, RAM + SGX_PAGE_SIZE, RAM + 64, KERNEL);
	encls(f, ISA_ENCLS_EADD, frame);
	f->table[frame - 1] = (uint8_t)frame;
}

static void build(struct fuzz *f)
{
	struct sgx_secs *secs = (void *)(f->ram + SGX_PAGE_SIZE);
	struct sgx_tcs *tcs = (void *)secs;

	secs->size = RANGE_SIZE;
	secs->baseaddr = RANGE;
	secs->ssaframesize = 1;
	secs->attributes.flags = ATTR_MODE64BIT | ATTR_DEBUG;
	secs->attributes.xfrm = XFRM_X87_SSE;
	put_pageinfo(f, 0, RAM + SGX_PAGE_SIZE, RAM + 64, 0);
	encls(f, ISA_ENCLS_ECREATE, FRAME_SECS);

	memset(secs, 0, sizeof(*secs));
	tcs->ossa = SGX_PAGE_SIZE;
	tcs->nssa = 1;
	add(f, FRAME_TCS, SECINFO_PT(PT_TCS));
	add(f, FRAME_SSA, SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W);
	add(f, FRAME_DATA, SECINFO_PT(PT_REG) | SECINFO_RWX);

	/* As EINIT would; a signature is nothing a fuzzer finds. */
	secs = (void *)f->epc[FRAME_SECS];
	secs->attributes.flags |= ATTR_INIT;
	atomic_store(&isa_secs_state(secs)->initialized, 1);
	isa_secs_publish_init(f->m, &f->m->epcm[FRAME_SECS], secs);
}

static void fuzz_init(struct fuzz *f)
{
	static const struct isa_section sections[] = {
		{ .pa = PA0, .nr_pages = SECTION_PAGES }, { .pa = PA1, .nr_pages = SECTION_PAGES },
	};
	const struct isa_config config = {
		.profile = isa_profile_at(0),
		.sections = sections,
		.nr_sections = 2,
		.xcr0 = XFRM_X87_SSE,
		.epc_page = epc_page,
		.ctx = f,
	};

	memset(f, 0, sizeof(*f));
	memset(f->table, 0xff, sizeof(f->table));
	for (int i = 0; i < NR_FRAMES; i++) {
		f->epc[i] = aligned_alloc(SGX_PAGE_SIZE, SGX_PAGE_SIZE);
		REQUIRE(f->epc[i]);
		memset(f->epc[i], 0, SGX_PAGE_SIZE);
	}
	f->ram = aligned_alloc(SGX_PAGE_SIZE, RAM_SIZE);
	REQUIRE(f->ram);
	memset(f->ram, 0, RAM_SIZE);
	REQUIRE(!isa_machine_create(&config, &f->m));
	for (int i = 0; i < NR_CPUS; i++)
		isa_lp_init(&f->cpu[i].lp, f->m, &mmu, f, 0);
	build(f);
}

static void fuzz_finish(struct fuzz *f)
{
	isa_machine_destroy(f->m);
	for (int i = 0; i < NR_FRAMES; i++)
		free(f->epc[i]);
	free(f->ram);
}

/* --- what always holds ------------------------------------------------------- */

static void check_page(struct fuzz *f, unsigned int frame, uint64_t children[NR_FRAMES])
{
	const struct isa_epcm *e = &f->m->epcm[frame];
	const struct isa_epcm_info info = isa_epcm_peek(f->m, frame);

	REQUIRE(!e->base && !e->build && !e->sgx2);
	if (!info.valid)
		return;
	REQUIRE(info.pt <= PT_TRIM);		/* no profile has CET */
	REQUIRE(!(info.pending && info.modified));
	REQUIRE(info.pt == PT_REG || !info.rwx);
	if (info.pt == PT_SECS || info.pt == PT_VA) {
		REQUIRE(info.secs_frame == ISA_NO_FRAME && !info.enclaveaddress);
		REQUIRE(!info.blocked && !info.pending && !info.modified && !info.pr);
		return;
	}
	REQUIRE(info.secs_frame < NR_FRAMES && isa_epcm_is_secs(&f->m->epcm[info.secs_frame]));
	children[info.secs_frame]++;
}

static void check_machine(struct fuzz *f)
{
	uint64_t children[NR_FRAMES] = { 0 };

	for (unsigned int i = 0; i < NR_FRAMES; i++)
		check_page(f, i, children);
	for (unsigned int i = 0; i < NR_FRAMES; i++) {
		if (!isa_epcm_is_secs(&f->m->epcm[i]))
			continue;
		REQUIRE(isa_secs_state((void *)f->epc[i])->nr_children == children[i]);
		REQUIRE(!isa_secs_state((void *)f->epc[i])->tracking);
	}
}

static void check_outcome(struct isa_outcome out)
{
	switch (out.kind) {
	case ISA_DONE:
	case ISA_VMEXIT:
		return;
	case ISA_ERROR:
	case ISA_INFO:
		REQUIRE(out.code && isa_error_name(out.code)[0] != '?');
		return;
	case ISA_FAULT:
		REQUIRE(out.vector == X86_GP || out.vector == X86_PF || out.vector == X86_UD ||
			out.vector == X86_NM);
		return;
	}
	abort();
}

/* A leaf that did not succeed has done nothing to the EPCM. */
static void check_leaf(struct fuzz *f, const uint64_t before[NR_FRAMES], struct isa_outcome out)
{
	check_outcome(out);
	if (out.kind == ISA_FAULT || out.kind == ISA_ERROR || out.kind == ISA_VMEXIT)
		for (unsigned int i = 0; i < NR_FRAMES; i++)
			REQUIRE(f->m->epcm[i].word == before[i]);
	check_machine(f);
}

/* --- steps ------------------------------------------------------------------- */

static void leaf(struct fuzz *f, struct input *in, struct cpu *c, enum isa_class class)
{
	const uint8_t nr = take8(in);
	const uint32_t eax = nr == 0xff ? (uint32_t)take64(in) : nr % 0x20u;
	uint64_t before[NR_FRAMES];
	struct isa_outcome out;

	c->lp.rbx = take_operand(in);
	c->lp.rcx = take_operand(in);
	c->lp.rdx = take_operand(in);
	for (unsigned int i = 0; i < NR_FRAMES; i++)
		before[i] = f->m->epcm[i].word;
	if (class == ISA_ENCLS)
		out = isa_encls(&c->lp, eax);
	else if (class == ISA_ENCLU)
		out = isa_enclu(&c->lp, eax);
	else
		out = isa_enclv(&c->lp, eax);
	check_leaf(f, before, out);
}

static void entry(struct fuzz *f, struct input *in, struct cpu *c)
{
	struct isa_encl_view view = {
		.blk = isa_secs_block(f->m, FRAME_SECS), .page = view_page, .ctx = f,
		.xcr0 = XFRM_X87_SSE,
	};
	const uint8_t what = take8(in);
	const uint8_t *xsave;
	struct isa_outcome out;

	if (!view.blk)
		return;
	c->regs.gpr[ISA_RBX] = what & 8 ? take_operand(in) : RANGE;
	c->regs.gpr[ISA_RCX] = what & 16 ? take64(in) : 0x401000;
	if (what & 1)
		out = isa_eresume(&c->thread, &view, &c->regs, &xsave);
	else
		out = isa_eenter(&c->thread, &view, &c->regs);
	check_outcome(out);
	if (isa_is_done(out)) {
		c->lp.cpl = 3;
		c->lp.secs_frame = FRAME_SECS;
	}
}

static void leave(struct input *in, struct cpu *c)
{
	const uint8_t what = take8(in);
	const struct isa_event event = { .exception = what & 2, .vector = what >> 3 };

	if (!c->thread.inside)
		return;
	c->regs.gpr[ISA_RBX] = what & 4 ? take_operand(in) : 0x402000;
	if (what & 1)
		isa_aex(&c->thread, &c->regs, &event, image);
	else
		check_outcome(isa_eexit(&c->thread, &c->regs));
	if (!c->thread.inside) {
		c->lp.cpl = 0;
		c->lp.secs_frame = ISA_NO_FRAME;
	}
}

/* PAGEINFO whose fields lead somewhere. */
static void compose(struct fuzz *f, struct input *in)
{
	const size_t offset = take8(in) * sizeof(struct sgx_pageinfo);
	struct sgx_pageinfo pageinfo;

	pageinfo.linaddr = take_operand(in);
	pageinfo.srcpge = take_operand(in);
	pageinfo.secinfo_or_pcmd = take_operand(in);
	pageinfo.secs = take_operand(in);
	memcpy(f->ram + offset, &pageinfo, sizeof(pageinfo));
}

/* The program writes to its memory, or to pages of the enclave. */
static void scribble(struct fuzz *f, struct input *in)
{
	const uint8_t what = take8(in), frame = what % NR_FRAMES;
	const uint16_t offset = take16(in);
	uint8_t bytes[64] = { 0 };
	const size_t n = what & 0x80 ? sizeof(bytes) : 8;

	take(in, bytes, what & 0x40 ? 2 : n);
	if (what & 0x20)
		memcpy(f->ram + offset % (RAM_SIZE - n), bytes, n);
	else if (isa_epcm_is_valid(&f->m->epcm[frame]) &&
		 isa_pt_is_child(isa_epcm_pt(&f->m->epcm[frame])))
		memcpy(f->epc[frame] + offset % (SGX_PAGE_SIZE - n), bytes, n);
}

static void change_mode(struct input *in, struct cpu *c)
{
	const uint8_t what = take8(in);

	c->lp.mode = what & 0x80 ? take16(in) : 0;
	if (what == 0x55) {
		c->lp.vmx.operation = take8(in) % 3;
		c->lp.vmx.epc_virtualization = take8(in) & 1;
	}
	if (c->thread.inside)
		return;
	c->lp.cpl = what & 3;
	/* Nobody believes who says which enclave is active; see in_enclave_mode(). */
	c->lp.secs_frame = what & 4 ? take_operand(in) : ISA_NO_FRAME;
	if (what & 8)
		c->lp.secs_frame = what >> 4 & 7;
}

static void access_memory(struct fuzz *f, struct input *in, struct cpu *c)
{
	const uint8_t what = take8(in);
	const uint64_t la = take_operand(in);
	struct isa_outcome fault;
	struct isa_lp lp = c->lp;
	uint64_t pa;

	if (!translate(f, la, false, &pa, &fault))
		return;
	if (!c->thread.inside)
		lp.secs_frame = ISA_NO_FRAME;
	isa_access(&lp, what % 3, what / 3 % 3, la, pa == ISA_NO_FRAME ? la : pa);
}

static void step(struct fuzz *f, struct input *in)
{
	const uint8_t what = take8(in);
	struct cpu *c = &f->cpu[what >> 7];

	switch (what % 13) {
	case 0:
	case 1:
	case 2:
		leaf(f, in, c, ISA_ENCLS);
		break;
	case 3:
	case 4:
		leaf(f, in, c, ISA_ENCLU);
		break;
	case 5:
		leaf(f, in, c, ISA_ENCLV);
		break;
	case 6:
		entry(f, in, c);
		break;
	case 7:
		leave(in, c);
		break;
	case 8:
	case 9:
		compose(f, in);
		break;
	case 10:
		scribble(f, in);
		break;
	case 11:
		f->table[take8(in) % RANGE_PAGES] = take8(in) % (NR_FRAMES + 1);
		break;
	default:
		if (what & 0x40)
			access_memory(f, in, c);
		else
			change_mode(in, c);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct fuzz f;

	fuzz_init(&f);
	while (in.left)
		step(&f, &in);
	check_machine(&f);
	fuzz_finish(&f);
	return 0;
}
