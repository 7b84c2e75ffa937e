/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "fixture.h"
#include "record.h"

#define SECTION_SIZE (FIXTURE_SECTION_PAGES * SGX_PAGE_SIZE)

/* --- memory -------------------------------------------------------------- */

static uint64_t pa_of(uint64_t frame)
{
	return frame < FIXTURE_SECTION_PAGES ?
		       FIXTURE_PA0 + frame * SGX_PAGE_SIZE :
		       FIXTURE_PA1 + (frame - FIXTURE_SECTION_PAGES) * SGX_PAGE_SIZE;
}

static bool is_epc(uint64_t pa)
{
	return pa - FIXTURE_PA0 < SECTION_SIZE || pa - FIXTURE_PA1 < SECTION_SIZE;
}

static bool page_fault(uint64_t la, uint32_t error_code, struct isa_outcome *fault)
{
	*fault = (struct isa_outcome){
		.kind = ISA_FAULT,
		.vector = X86_PF,
		.error_code = error_code,
		.address = la,
	};
	return false;
}

static bool translate(void *ctx, uint64_t la, bool write, uint64_t *pa, struct isa_outcome *fault)
{
	const struct isa_fixture *f = ctx;

	if ((la & SGX_PAGE_MASK) == FIXTURE_HOLE)
		return page_fault(la, write ? PFEC_W : 0, fault);
	*pa = is_epc(la) ? la : ISA_NO_FRAME;
	for (uint64_t i = 0; i < FIXTURE_NR_FRAMES; i++) {
		if (!f->la[i] || f->la[i] != (la & SGX_PAGE_MASK))
			continue;
		if (f->unmapped[i])
			return page_fault(la, PFEC_U | (write ? PFEC_W : 0), fault);
		if (write && f->readonly[i])
			return page_fault(la, PFEC_P | PFEC_W | PFEC_U, fault);
		*pa = pa_of(i) + la % SGX_PAGE_SIZE;
	}
	return true;
}

static bool read_memory(void *ctx, uint64_t la, void *dst, size_t n, struct isa_outcome *fault)
{
	uint64_t pa;

	if (!translate(ctx, la, false, &pa, fault))
		return false;
	if (pa == ISA_NO_FRAME)
		memcpy(dst, (const void *)(uintptr_t)la, n);
	else
		memset(dst, 0xff, n);	/* abort page */
	return true;
}

static bool write_memory(void *ctx, uint64_t la, const void *src, size_t n,
			 struct isa_outcome *fault)
{
	uint64_t pa;

	if (!translate(ctx, la, true, &pa, fault))
		return false;
	if (pa == ISA_NO_FRAME)
		memcpy((void *)(uintptr_t)la, src, n);
	return true;
}

static const struct isa_mmu mmu = {
	.translate = translate,
	.read = read_memory,
	.write = write_memory,
};

/* --- machine ------------------------------------------------------------- */

static void *epc_page(void *ctx, uint64_t frame)
{
	return isa_fixture_contents(ctx, frame);
}

void *isa_fixture_contents(struct isa_fixture *f, uint64_t frame)
{
	return f->epc + frame * SGX_PAGE_SIZE;
}

uint64_t isa_fixture_la(const struct isa_fixture *f, uint64_t frame)
{
	(void)f;
	return pa_of(frame);
}

static const struct isa_section sections[2] = {
	{ .pa = FIXTURE_PA0, .nr_pages = FIXTURE_SECTION_PAGES, .node = 0 },
	{ .pa = FIXTURE_PA1, .nr_pages = FIXTURE_SECTION_PAGES, .node = 1 },
};

static struct isa_config default_config(void)
{
	struct isa_config config = {
		.profile = isa_profile_at(0),
		.sections = sections,
		.nr_sections = 2,
		.xcr0 = 0x2ff,
		/* As in the standard format of parts with all of these. */
		.xsave_size = { [2] = 832, [3] = 1024, [4] = 1088, [5] = 1152, [6] = 1664,
				[7] = 2688, [9] = 2696 },
		.epc_page = epc_page,
		.observe = isa_record_observe,
	};

	memset(config.seed, 1, sizeof(config.seed));
	memset(config.owner_epoch, 2, sizeof(config.owner_epoch));
	memset(config.boot_random, 3, sizeof(config.boot_random));
	return config;
}

static struct isa_fixture *create(struct isa_config *config)
{
	struct isa_fixture *f = aligned_alloc(4096, (sizeof(*f) + 4095) & ~4095ul);

	assert_non_null(f);
	memset(f, 0, sizeof(*f));
	f->epc = aligned_alloc(4096, FIXTURE_NR_FRAMES * SGX_PAGE_SIZE);
	assert_non_null(f->epc);
	memset(f->epc, 0xa5, FIXTURE_NR_FRAMES * SGX_PAGE_SIZE);
	config->ctx = f;
	assert_int_equal(isa_machine_create(config, &f->m), 0);
	isa_lp_init(&f->os, f->m, &mmu, f, 0);
	isa_lp_init(&f->encl, f->m, &mmu, f, 3);
	return f;
}

struct isa_fixture *isa_fixture_create(const char *profile)
{
	struct isa_config config = default_config();

	if (profile)
		config.profile = isa_profile_find(profile);
	return create(&config);
}

struct isa_fixture *isa_fixture_create_seeded(uint8_t seed, uint8_t owner_epoch,
					      uint8_t boot_random)
{
	struct isa_config config = default_config();

	memset(config.seed, seed, sizeof(config.seed));
	memset(config.owner_epoch, owner_epoch, sizeof(config.owner_epoch));
	memset(config.boot_random, boot_random, sizeof(config.boot_random));
	return create(&config);
}

struct isa_fixture *isa_fixture_create_xsave(uint32_t avx_end)
{
	struct isa_config config = default_config();

	config.xsave_size[2] = avx_end;
	return create(&config);
}

struct isa_fixture *isa_fixture_create_amx(void)
{
	struct isa_config config = default_config();

	config.xcr0 |= XFRM_AMX;
	config.xsave_size[17] = 2816;
	config.xsave_size[18] = 11008;
	return create(&config);
}

void isa_fixture_destroy(struct isa_fixture *f)
{
	isa_machine_destroy(f->m);
	free(f->epc);
	free(f);
}

int isa_fixture_setup(void **state)
{
	*state = isa_fixture_create(NULL);
	return 0;
}

int isa_fixture_teardown(void **state)
{
	isa_fixture_destroy(*state);
	return 0;
}

/* --- leaves -------------------------------------------------------------- */

static uint64_t address(const void *p)
{
	return (uintptr_t)p;
}

void isa_fixture_default_secs(struct sgx_secs *secs)
{
	memset(secs, 0, sizeof(*secs));
	secs->size = FIXTURE_SIZE;
	secs->baseaddr = FIXTURE_BASE;
	secs->ssaframesize = 1;
	secs->attributes.flags = ATTR_DEBUG | ATTR_MODE64BIT;
	secs->attributes.xfrm = XFRM_X87_SSE;
}

struct isa_outcome isa_fixture_ecreate(struct isa_fixture *f, uint64_t frame,
				       const struct sgx_secs *secs)
{
	memcpy(f->page, secs, sizeof(*secs));
	memset(&f->secinfo, 0, sizeof(f->secinfo));
	f->pageinfo = (struct sgx_pageinfo){
		.srcpge = address(f->page),
		.secinfo_or_pcmd = address(&f->secinfo),
	};
	f->os.rbx = address(&f->pageinfo);
	f->os.rcx = pa_of(frame);
	return isa_encls(&f->os, ISA_ENCLS_ECREATE);
}

struct isa_outcome isa_fixture_eadd(struct isa_fixture *f, uint64_t frame, uint64_t secs_frame,
				    uint64_t linaddr, const void *src, uint64_t flags)
{
	memmove(f->page, src, sizeof(f->page));
	memset(&f->secinfo, 0, sizeof(f->secinfo));
	f->secinfo.flags = flags;
	f->pageinfo = (struct sgx_pageinfo){
		.linaddr = linaddr,
		.srcpge = address(f->page),
		.secinfo_or_pcmd = address(&f->secinfo),
		.secs = pa_of(secs_frame),
	};
	f->os.rbx = address(&f->pageinfo);
	f->os.rcx = pa_of(frame);
	return isa_encls(&f->os, ISA_ENCLS_EADD);
}

struct isa_outcome isa_fixture_eextend(struct isa_fixture *f, uint64_t secs_frame,
				       uint64_t frame, unsigned int offset)
{
	f->os.rbx = pa_of(secs_frame);
	f->os.rcx = pa_of(frame) + offset;
	return isa_encls(&f->os, ISA_ENCLS_EEXTEND);
}

struct isa_outcome isa_fixture_einit(struct isa_fixture *f, uint64_t secs_frame,
				     const struct sgx_sigstruct *sig,
				     const struct sgx_einittoken *token)
{
	memmove(&f->sig, sig, sizeof(f->sig));
	if (token)
		memmove(&f->token, token, sizeof(f->token));
	else
		memset(&f->token, 0, sizeof(f->token));
	f->os.rbx = address(&f->sig);
	f->os.rcx = pa_of(secs_frame);
	f->os.rdx = address(&f->token);
	return isa_encls(&f->os, ISA_ENCLS_EINIT);
}

struct isa_outcome isa_fixture_eremove(struct isa_fixture *f, uint64_t frame)
{
	f->os.rcx = pa_of(frame);
	return isa_encls(&f->os, ISA_ENCLS_EREMOVE);
}

/* --- a whole enclave ----------------------------------------------------- */

void isa_fixture_source(uint64_t frame, uint8_t page[SGX_PAGE_SIZE])
{
	struct sgx_tcs *tcs = (void *)page;

	if (frame != FIXTURE_TCS) {
		for (unsigned int i = 0; i < SGX_PAGE_SIZE; i++)
			page[i] = (uint8_t)(i * 7 + (i >> 8) + frame);
		return;
	}
	memset(tcs, 0, sizeof(*tcs));
	tcs->ossa = 0x1000;
	tcs->nssa = 1;
	tcs->oentry = 0x3000;
	tcs->fslimit = 0xfff;
	tcs->gslimit = 0xfff;
}

uint64_t isa_fixture_flags(uint64_t frame)
{
	switch (frame) {
	case FIXTURE_TCS:
		return SECINFO_PT(PT_TCS);
	case FIXTURE_RX:
		return SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_X;
	default:
		return SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W;
	}
}

void isa_fixture_build(struct isa_fixture *f, const struct sgx_secs *secs)
{
	alignas(8) uint8_t page[SGX_PAGE_SIZE];
	struct sgx_secs def;

	isa_fixture_default_secs(&def);
	assert_done(isa_fixture_ecreate(f, FIXTURE_SECS, secs ? secs : &def));
	for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++) {
		f->la[i] = FIXTURE_BASE + (i - 1) * SGX_PAGE_SIZE;
		isa_fixture_source(i, page);
		assert_done(isa_fixture_eadd(f, i, FIXTURE_SECS, f->la[i], page,
					     isa_fixture_flags(i)));
		for (unsigned int offset = 0; offset < SGX_PAGE_SIZE; offset += 256)
			assert_done(isa_fixture_eextend(f, FIXTURE_SECS, i, offset));
	}
}

void isa_fixture_mrenclave(uint8_t mrenclave[32])
{
	alignas(8) uint8_t page[SGX_PAGE_SIZE];
	struct isa_measurement m;

	isa_measurement_ecreate(&m, 1, FIXTURE_SIZE);
	for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++) {
		isa_fixture_source(i, page);
		isa_measurement_page(&m, (i - 1) * SGX_PAGE_SIZE, isa_fixture_flags(i), page);
	}
	isa_measurement_final(&m, mrenclave);
}

void isa_fixture_sigstruct(struct isa_fixture *f, const struct sgx_secs *secs,
			   unsigned int signer)
{
	struct sgx_secs def;
	uint8_t mrenclave[32];
	uint64_t hash[4];

	isa_fixture_default_secs(&def);
	if (!secs)
		secs = &def;
	isa_fixture_mrenclave(mrenclave);
	isa_sigstruct_init(&f->sig, mrenclave, &secs->attributes, secs->miscselect);
	isa_signer_sign(isa_signer_get(signer), &f->sig);
	isa_signer_hash(isa_signer_get(signer), hash);
	isa_wrmsr_lepubkeyhash(&f->os, hash);
}

void isa_fixture_start(struct isa_fixture *f, const struct sgx_secs *secs, unsigned int signer)
{
	isa_fixture_build(f, secs);
	isa_fixture_sigstruct(f, secs, signer);
	assert_done(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, NULL));
	f->encl.secs_frame = FIXTURE_SECS;
}

/* --- pages of a running enclave ------------------------------------------ */

struct isa_outcome isa_fixture_eaug(struct isa_fixture *f, uint64_t frame, uint64_t linaddr)
{
	f->pageinfo = (struct sgx_pageinfo){
		.linaddr = linaddr,
		.secs = pa_of(FIXTURE_SECS),
	};
	f->la[frame] = linaddr;
	f->os.rbx = address(&f->pageinfo);
	f->os.rcx = pa_of(frame);
	return isa_encls(&f->os, ISA_ENCLS_EAUG);
}

static struct isa_outcome modify(struct isa_fixture *f, uint32_t leaf, uint64_t frame,
				 uint64_t flags)
{
	f->secinfo = (struct sgx_secinfo){ .flags = flags };
	f->os.rbx = address(&f->secinfo);
	f->os.rcx = pa_of(frame);
	return isa_encls(&f->os, leaf);
}

struct isa_outcome isa_fixture_emodpr(struct isa_fixture *f, uint64_t frame, uint64_t flags)
{
	return modify(f, ISA_ENCLS_EMODPR, frame, flags);
}

struct isa_outcome isa_fixture_emodt(struct isa_fixture *f, uint64_t frame, uint64_t flags)
{
	return modify(f, ISA_ENCLS_EMODT, frame, flags);
}

struct sgx_secinfo *isa_fixture_secinfo(struct isa_fixture *f, uint64_t flags)
{
	uint8_t *page = isa_fixture_contents(f, FIXTURE_RW);
	struct sgx_secinfo *secinfo = (void *)(page + FIXTURE_SECINFO_LA % SGX_PAGE_SIZE);

	*secinfo = (struct sgx_secinfo){ .flags = flags };
	return secinfo;
}

struct isa_outcome isa_fixture_eaccept(struct isa_fixture *f, uint64_t la, uint64_t flags)
{
	isa_fixture_secinfo(f, flags);
	f->encl.rbx = FIXTURE_SECINFO_LA;
	f->encl.rcx = la;
	return isa_enclu(&f->encl, ISA_ENCLU_EACCEPT);
}

struct isa_outcome isa_fixture_emodpe(struct isa_fixture *f, uint64_t la, uint64_t flags)
{
	isa_fixture_secinfo(f, flags);
	f->encl.rbx = FIXTURE_SECINFO_LA;
	f->encl.rcx = la;
	return isa_enclu(&f->encl, ISA_ENCLU_EMODPE);
}

struct isa_outcome isa_fixture_eacceptcopy(struct isa_fixture *f, uint64_t la, uint64_t src,
					   uint64_t flags)
{
	isa_fixture_secinfo(f, flags);
	f->encl.rbx = FIXTURE_SECINFO_LA;
	f->encl.rcx = la;
	f->encl.rdx = src;
	return isa_enclu(&f->encl, ISA_ENCLU_EACCEPTCOPY);
}

/* The page tables, then the EPCM, as entry wants to see them. */
static bool view_page(void *ctx, uint64_t la, bool write, struct isa_epcm_info *info, void **page,
		      struct isa_outcome *fault)
{
	struct isa_fixture *f = ctx;
	uint64_t pa, frame;

	*info = (struct isa_epcm_info){ 0 };
	if (!translate(f, la, write, &pa, fault))
		return false;
	frame = pa == ISA_NO_FRAME ? ISA_NO_FRAME : isa_machine_frame(f->m, pa);
	if (frame == ISA_NO_FRAME)
		return true;
	*info = isa_epcm_peek(f->m, frame);
	*page = isa_fixture_contents(f, frame);
	return true;
}

struct isa_encl_view isa_fixture_view(struct isa_fixture *f)
{
	return (struct isa_encl_view){
		.blk = isa_secs_block(f->m, FIXTURE_SECS),
		.page = view_page,
		.ctx = f,
		.xcr0 = 0x2ff,
	};
}

void isa_fixture_assert_epcm(const struct isa_fixture *f, uint64_t frame, uint64_t flags,
			     bool blocked)
{
	const struct isa_epcm_info info = isa_epcm_peek(f->m, frame);

	assert_true(info.valid);
	assert_int_equal(info.pt, (flags & SECINFO_PT_MASK) >> SECINFO_PT_SHIFT);
	assert_int_equal(info.rwx, flags & SECINFO_RWX);
	assert_int_equal(info.pending, !!(flags & SECINFO_PENDING));
	assert_int_equal(info.modified, !!(flags & SECINFO_MODIFIED));
	assert_int_equal(info.pr, !!(flags & SECINFO_PR));
	assert_int_equal(info.blocked, blocked);
}

/* --- assertions ---------------------------------------------------------- */

void isa_fixture_assert(struct isa_outcome o, enum isa_outcome_kind kind, uint32_t number,
			uint64_t la, const char *file, int line)
{
	bool good = o.kind == kind;

	if (kind == ISA_ERROR)
		good = good && o.code == number;
	if (kind == ISA_FAULT)
		good = good && o.vector == number;
	if (kind == ISA_FAULT && number == X86_PF)
		good = good && o.address == la && (o.error_code & PFEC_SGX) &&
		       (o.error_code & PFEC_P);
	if (good)
		return;
	print_error("kind %d code %s vector %s error 0x%x address 0x%llx\n", (int)o.kind,
		    isa_error_name(o.code), isa_vector_name(o.vector), o.error_code,
		    (unsigned long long)o.address);
	_fail(file, line);
}

void assert_ordinary_pf(struct isa_outcome o, uint64_t la)
{
	assert_int_equal(o.kind, ISA_FAULT);
	assert_int_equal(o.vector, X86_PF);
	assert_int_equal(o.address, la);
	assert_int_equal(o.error_code & PFEC_SGX, 0);
}
