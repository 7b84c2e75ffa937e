/* SPDX-License-Identifier: BSD-3-Clause */
/* The hand-made enclave of the entry tests, and the checks its leaves share. */
#include <string.h>

#include "small-encl.h"

#define NR_CHECKS_MAX 64

static const struct isa_xsave_component components[64] = {
	[2] = { .offset = 576, .size = 256 },
	[5] = { .offset = 1088, .size = 64 },	/* below XSAVE_SIZE, not in XFRM */
	[9] = { .offset = 4900, .size = 100 },
};

static bool small_page(void *ctx, uint64_t la, bool write, struct isa_epcm_info *info,
		       void **page, struct isa_outcome *fault)
{
	struct small_encl *s = ctx;
	const uint64_t nr = (la - BASE) / SGX_PAGE_SIZE;

	*info = (struct isa_epcm_info){ 0 };
	if (nr >= NR_PAGES)
		return true;
	if (write && s->unmapped[nr]) {
		*fault = (struct isa_outcome){
			.kind = ISA_FAULT,
			.vector = X86_PF,
			.error_code = PFEC_W | PFEC_U,
			.address = la,
		};
		return false;
	}
	*info = s->epcm[nr];
	*page = s->pages[nr];
	return true;
}

static void regs_init(struct isa_regs *r)
{
	unsigned int i;

	for (i = 0; i < ISA_NR_GPR; i++)
		r->gpr[i] = 0x1000 + i;
	r->gpr[ISA_RBX] = BASE;
	r->gpr[ISA_RCX] = AEP;
	r->rip = ENCLU_RIP;
	r->rflags = 0x202;
	r->fsbase = 0x7fff0000;
	r->gsbase = 0x7fff1000;
}

void small_encl_init(struct small_encl *s)
{
	unsigned int i;

	memset(s, 0, sizeof(*s));
	memset(&s->pages[PAGE_SSA], 0x5a, sizeof(s->pages) - SGX_PAGE_SIZE);
	for (i = 0; i < NR_PAGES; i++)
		s->epcm[i] = (struct isa_epcm_info){
			.valid = true,
			.pt = i == PAGE_TCS ? PT_TCS : PT_REG,
			.rwx = i == PAGE_TCS ? 0 : SECINFO_R | SECINFO_W,
			.enclaveaddress = BASE + i * SGX_PAGE_SIZE,
			.secs_frame = 42,
		};

	s->blk.base = BASE;
	s->blk.size = 0x100000;
	s->blk.attributes = ATTR_INIT | ATTR_MODE64BIT;
	s->blk.xfrm = XFRM;
	s->blk.miscselect = MISC_EXINFO;
	s->blk.ssaframesize = FRAME_PAGES;
	s->blk.xsave_size = XSAVE_SIZE;
	s->blk.initialized = 1;
	s->blk.features = CPUID_12_0_EAX_SGX1 | CPUID_12_0_EAX_SGX2 | CPUID_12_0_EAX_EDECCSSA;
	s->blk.allowed_attributes = ATTR_MODE64BIT | ATTR_AEXNOTIFY;

	s->view = (struct isa_encl_view){
		.blk = &s->blk,
		.page = small_page,
		.ctx = s,
		.xcr0 = 0x2e7,
		.xsave_component = components,
	};
	*small_tcs(s) = (struct sgx_tcs){
		.ossa = OSSA,
		.nssa = NR_FRAMES,
		.oentry = OENTRY,
		.ofsbase = OFSBASE,
		.ogsbase = OGSBASE,
	};
	for (i = 0; i < NR_FRAMES; i++)
		small_gprsgx(s, i)->aexnotify = 0;
	regs_init(&s->regs);
}

struct sgx_tcs *small_tcs(struct small_encl *s)
{
	return (void *)s->pages[PAGE_TCS];
}

uint8_t *small_xsave(struct small_encl *s, unsigned int frame)
{
	return s->pages[ssa_page(frame, 0)];
}

struct sgx_gprsgx *small_gprsgx(struct small_encl *s, unsigned int frame)
{
	uint8_t *end = s->pages[ssa_page(frame, FRAME_PAGES - 1)] + SGX_PAGE_SIZE;

	return (void *)(end - sizeof(struct sgx_gprsgx));
}

struct isa_regs small_enter(struct small_encl *s)
{
	struct isa_regs r = s->regs;

	assert_int_equal(isa_eenter(&s->thread, &s->view, &r).kind, ISA_DONE);
	return r;
}

struct isa_regs small_inside_regs(void)
{
	struct isa_regs r;
	unsigned int i;

	for (i = 0; i < ISA_NR_GPR; i++)
		r.gpr[i] = 0xee0000 + i;
	r.rip = BASE + 0x8000;
	r.rflags = 0x202;
	r.fsbase = BASE + 0x20000;
	r.gsbase = BASE + 0x21000;
	return r;
}

const uint8_t *small_image(void)
{
	static uint8_t image[2 * SGX_PAGE_SIZE];
	const uint64_t xstate_bv = 0x2e7;
	const uint32_t mxcsr = 0x1fa0;

	memset(image, 0xc3, sizeof(image));
	memcpy(image + 24, &mxcsr, sizeof(mxcsr));
	memcpy(image + 512, &xstate_bv, sizeof(xstate_bv));
	return image;
}

struct isa_regs small_interrupt(struct small_encl *s)
{
	const struct isa_event event = { .exception = false };
	struct isa_regs r = small_inside_regs();

	isa_aex(&s->thread, &r, &event, small_image());
	return r;
}

void assert_refused(struct small_encl *s, entry_leaf leaf, const struct entry_check *want)
{
	static struct small_encl before;
	struct isa_outcome out;
	struct isa_regs r = s->regs;

	memcpy(&before, s, sizeof(before));
	out = leaf(&s->thread, &s->view, &r);
	if (out.kind != ISA_FAULT || out.vector != want->vector)
		print_error("%s: kind %d vector %d\n", want->name, (int)out.kind, out.vector);
	assert_int_equal(out.kind, ISA_FAULT);
	assert_int_equal(out.vector, want->vector);
	assert_int_equal(out.error_code, want->error_code);
	assert_int_equal(out.address, want->address);
	assert_memory_equal(&r, &s->regs, sizeof(r));
	assert_memory_equal(s->pages, before.pages, sizeof(before.pages));
	assert_memory_equal(&s->thread, &before.thread, sizeof(before.thread));
	assert_int_equal(s->blk.nr_inside[0], before.blk.nr_inside[0]);
}

static size_t checks_collect(const struct entry_check *const *lists, size_t nr_lists,
			     const struct entry_check **checks)
{
	const struct entry_check *c;
	size_t i, nr = 0;

	for (i = 0; i < nr_lists; i++)
		for (c = lists[i]; c->name; c++) {
			assert_true(nr < NR_CHECKS_MAX);
			checks[nr++] = c;
		}
	return nr;
}

void assert_checks(void (*prepare)(struct small_encl *s), entry_leaf leaf,
		   const struct entry_check *const *lists, size_t nr_lists)
{
	const struct entry_check *checks[NR_CHECKS_MAX];
	const size_t nr = checks_collect(lists, nr_lists, checks);
	static struct small_encl s;
	struct isa_regs r;
	size_t i, j;

	prepare(&s);
	r = s.regs;
	assert_int_equal(leaf(&s.thread, &s.view, &r).kind, ISA_DONE);

	for (i = 0; i < nr; i++)
		for (j = i; j < nr; j++) {
			prepare(&s);
			checks[j]->offend(&s);
			checks[i]->offend(&s);
			assert_refused(&s, leaf, checks[i]);
		}
}

/* --- steps 3 to 10 ------------------------------------------------------- */

static void tcs_misaligned(struct small_encl *s)
{
	s->regs.gpr[ISA_RBX] |= 8;
}

static void tcs_unmapped(struct small_encl *s)
{
	s->unmapped[PAGE_TCS] = true;
}

static void tcs_invalid(struct small_encl *s)
{
	s->epcm[PAGE_TCS].valid = false;
}

static void aep_noncanonical(struct small_encl *s)
{
	s->regs.gpr[ISA_RCX] = NONCANONICAL;
}

static void tcs_blocked(struct small_encl *s)
{
	s->epcm[PAGE_TCS].blocked = true;
}

static void tcs_elsewhere(struct small_encl *s)
{
	s->epcm[PAGE_TCS].enclaveaddress = BASE + 0x8000;
}

static void tcs_regular(struct small_encl *s)
{
	s->epcm[PAGE_TCS].pt = PT_REG;
}

static void tcs_pending(struct small_encl *s)
{
	s->epcm[PAGE_TCS].pending = true;
}

static void tcs_modified(struct small_encl *s)
{
	s->epcm[PAGE_TCS].modified = true;
}

const struct entry_check tcs_checks[] = {
	{ "3: TCS misaligned", tcs_misaligned, X86_GP, 0, 0 },
	{ "4: TCS not mapped", tcs_unmapped, X86_PF, PFEC_W | PFEC_U, BASE },
	{ "7: TCS not valid", tcs_invalid, X86_PF, EPF_CODE, BASE },
	{ "5: AEP not canonical", aep_noncanonical, X86_GP, 0, 0 },
	{ "8: TCS blocked", tcs_blocked, X86_PF, EPF_CODE, BASE },
	{ "9: TCS at another address", tcs_elsewhere, X86_PF, EPF_CODE, BASE },
	{ "9: not a TCS", tcs_regular, X86_PF, EPF_CODE, BASE },
	{ "10: TCS pending", tcs_pending, X86_PF, EPF_CODE, BASE },
	{ "10: TCS modified", tcs_modified, X86_PF, EPF_CODE, BASE },
	{ 0 },
};

/* --- steps 11 to 18 ------------------------------------------------------ */

static void ossa_misaligned(struct small_encl *s)
{
	small_tcs(s)->ossa |= 0x800;
}

static void ofsbase_misaligned(struct small_encl *s)
{
	small_tcs(s)->ofsbase |= 1;
}

static void ogsbase_misaligned(struct small_encl *s)
{
	small_tcs(s)->ogsbase |= 1;
}

static void flags_reserved(struct small_encl *s)
{
	small_tcs(s)->flags |= 4;
}

static void flags_high(struct small_encl *s)
{
	small_tcs(s)->flags |= 1ull << 63;
}

static void flags_aexnotify_unknown(struct small_encl *s)
{
	s->blk.allowed_attributes &= ~ATTR_AEXNOTIFY;
	small_tcs(s)->flags |= TCS_AEXNOTIFY;
}

static void not_initialized(struct small_encl *s)
{
	s->blk.initialized = 0;
}

static void not_64bit(struct small_encl *s)
{
	s->blk.attributes &= ~ATTR_MODE64BIT;
}

static void in_32bit_mode(struct small_encl *s)
{
	s->view.mode |= ISA_MODE_32;
}

static void without_osfxsr(struct small_encl *s)
{
	s->view.mode |= ISA_MODE_NO_OSFXSR;
}

static void xfrm_beyond_xcr0(struct small_encl *s)
{
	s->view.xcr0 = 3;
}

static void aexnotify_only_in_secs(struct small_encl *s)
{
	s->blk.attributes |= ATTR_AEXNOTIFY;
	small_tcs(s)->flags &= ~TCS_AEXNOTIFY;
}

static void aexnotify_only_in_tcs(struct small_encl *s)
{
	s->blk.attributes &= ~ATTR_AEXNOTIFY;
	small_tcs(s)->flags |= TCS_AEXNOTIFY;
}

static void base_misaligned(struct small_encl *s)
{
	s->blk.base += 0x10;
}

static void frame_too_small(struct small_encl *s)
{
	s->blk.xsave_size = FRAME_PAGES * SGX_PAGE_SIZE - sizeof(struct sgx_gprsgx) - 15;
}

static void xsave_too_small(struct small_encl *s)
{
	s->blk.xsave_size = 575;
}

const struct entry_check mode_checks[] = {
	{ "11: OSSA", ossa_misaligned, X86_GP, 0, 0 },
	{ "12: OFSBASE", ofsbase_misaligned, X86_GP, 0, 0 },
	{ "12: OGSBASE", ogsbase_misaligned, X86_GP, 0, 0 },
	{ "13: FLAGS bit 2", flags_reserved, X86_GP, 0, 0 },
	{ "13: FLAGS bit 63", flags_high, X86_GP, 0, 0 },
	{ "13: FLAGS.AEXNOTIFY unknown", flags_aexnotify_unknown, X86_GP, 0, 0 },
	{ "14: not initialized", not_initialized, X86_GP, 0, 0 },
	{ "15: not MODE64BIT", not_64bit, X86_GP, 0, 0 },
	{ "15: not in 64-bit mode", in_32bit_mode, X86_GP, 0, 0 },
	{ "16: no OSFXSR", without_osfxsr, X86_GP, 0, 0 },
	{ "17: XFRM beyond XCR0", xfrm_beyond_xcr0, X86_GP, 0, 0 },
	{ "18: AEXNOTIFY only in SECS", aexnotify_only_in_secs, X86_GP, 0, 0 },
	{ "18: AEXNOTIFY only in TCS", aexnotify_only_in_tcs, X86_GP, 0, 0 },
	{ "block: base", base_misaligned, X86_GP, 0, 0 },
	{ "block: frame too small", frame_too_small, X86_GP, 0, 0 },
	{ "block: XSAVE area too small", xsave_too_small, X86_GP, 0, 0 },
	{ 0 },
};

/* --- steps 20 and 21, frame 0 -------------------------------------------- */

#define XSAVE_LA0 (BASE + OSSA)
#define XSAVE_LA1 (BASE + OSSA + SGX_PAGE_SIZE)
#define GPRSGX_LA (BASE + OSSA + (FRAME_PAGES - 1) * SGX_PAGE_SIZE)

static struct isa_epcm_info *frame_epcm(struct small_encl *s, unsigned int i)
{
	return &s->epcm[ssa_page(0, i)];
}

static void xsave_unmapped(struct small_encl *s)
{
	s->unmapped[ssa_page(0, 0)] = true;
}

static void xsave_invalid(struct small_encl *s)
{
	frame_epcm(s, 0)->valid = false;
}

static void xsave_blocked(struct small_encl *s)
{
	frame_epcm(s, 1)->blocked = true;
}

static void xsave_pending(struct small_encl *s)
{
	frame_epcm(s, 1)->pending = true;
}

static void xsave_modified(struct small_encl *s)
{
	frame_epcm(s, 1)->modified = true;
}

static void gprsgx_unmapped(struct small_encl *s)
{
	s->unmapped[ssa_page(0, 3)] = true;
}

static void gprsgx_elsewhere(struct small_encl *s)
{
	frame_epcm(s, 3)->enclaveaddress += SGX_PAGE_SIZE;
}

static void gprsgx_no_reg(struct small_encl *s)
{
	frame_epcm(s, 3)->pt = PT_TRIM;
}

static void gprsgx_foreign(struct small_encl *s)
{
	frame_epcm(s, 3)->secs_frame = 43;
}

static void gprsgx_not_readable(struct small_encl *s)
{
	frame_epcm(s, 3)->rwx = SECINFO_W;
}

static void gprsgx_not_writable(struct small_encl *s)
{
	frame_epcm(s, 3)->rwx = SECINFO_R | SECINFO_X;
}

const struct entry_check frame_checks[] = {
	{ "20: XSAVE page not mapped", xsave_unmapped, X86_PF, PFEC_W | PFEC_U, XSAVE_LA0 },
	{ "20: XSAVE page not valid", xsave_invalid, X86_PF, EPF_CODE, XSAVE_LA0 },
	{ "20: XSAVE page blocked", xsave_blocked, X86_PF, EPF_CODE, XSAVE_LA1 },
	{ "20: XSAVE page pending", xsave_pending, X86_PF, EPF_CODE, XSAVE_LA1 },
	{ "20: XSAVE page modified", xsave_modified, X86_PF, EPF_CODE, XSAVE_LA1 },
	{ "21: GPRSGX page not mapped", gprsgx_unmapped, X86_PF, PFEC_W | PFEC_U, GPRSGX_LA },
	{ "21: GPRSGX page elsewhere", gprsgx_elsewhere, X86_PF, EPF_CODE, GPRSGX_LA },
	{ "21: GPRSGX page not PT_REG", gprsgx_no_reg, X86_PF, EPF_CODE, GPRSGX_LA },
	{ "21: GPRSGX page of another", gprsgx_foreign, X86_PF, EPF_CODE, GPRSGX_LA },
	{ "21: GPRSGX page without R", gprsgx_not_readable, X86_PF, EPF_CODE, GPRSGX_LA },
	{ "21: GPRSGX page without W", gprsgx_not_writable, X86_PF, EPF_CODE, GPRSGX_LA },
	{ 0 },
};

static void state_active(struct small_encl *s)
{
	small_tcs(s)->state = 1;
}

const struct entry_check busy_checks[] = {
	{ "25: TCS active", state_active, X86_GP, 0, 0 },
	{ 0 },
};
