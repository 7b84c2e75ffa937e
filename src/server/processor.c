/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The software machine under the manager: it gives the processor library its
 * memory, and the manager a table of ENCLS operations.
 *
 * EPC is addressed the way a kernel's direct map would: physical addresses in
 * the upper half, so that they never meet a pointer of this process.
 */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "internal.h"

#define EPC_PHYS 0x4000000000ull
#define DIRECT_MAP 0xffff800000000000ull
#define EPC_LA (DIRECT_MAP + EPC_PHYS)

static void *epc_page(void *ctx, uint64_t frame)
{
	struct processor *p = ctx;
	uint8_t *placed = atomic_load_explicit(&p->placed[frame], memory_order_acquire);

	return placed ? placed : p->arena + frame * SGX_PAGE_SIZE;
}

static bool is_epc(const struct processor *p, uint64_t la)
{
	return la - EPC_LA < p->section.nr_pages * SGX_PAGE_SIZE;
}

static bool kernel_translate(void *ctx, uint64_t la, bool write, uint64_t *pa,
			     struct isa_outcome *fault)
{
	const struct processor *p = ctx;

	*pa = is_epc(p, la) ? la - DIRECT_MAP : ISA_NO_FRAME;
	return true;
}

/* Ordinary operands are this process's own memory, which never faults. */
static bool kernel_read(void *ctx, uint64_t la, void *dst, size_t n, struct isa_outcome *fault)
{
	memcpy(dst, (const void *)(uintptr_t)la, n);
	return true;
}

static bool kernel_write(void *ctx, uint64_t la, const void *src, size_t n,
			 struct isa_outcome *fault)
{
	memcpy((void *)(uintptr_t)la, src, n);
	return true;
}

static const struct isa_mmu kernel_mmu = {
	.translate = kernel_translate,
	.read = kernel_read,
	.write = kernel_write,
};

static uint64_t direct_map(uint64_t pa)
{
	return DIRECT_MAP + pa;
}

static struct isa_outcome encls(struct processor *p, uint32_t leaf, uint64_t rbx, uint64_t rcx,
				uint64_t rdx, const uint64_t *lepubkeyhash)
{
	struct isa_lp lp;

	isa_lp_init(&lp, p->machine, &kernel_mmu, p, 0);
	if (lepubkeyhash)
		isa_wrmsr_lepubkeyhash(&lp, lepubkeyhash);
	lp.rbx = rbx;
	lp.rcx = rcx;
	lp.rdx = rdx;
	return isa_encls(&lp, leaf);
}

/* The leaves ask for aligned operands; the manager's callers need not know. */
struct aligned_source {
	_Alignas(4096) uint8_t page[SGX_PAGE_SIZE];
	_Alignas(64) struct sgx_secinfo secinfo;
	_Alignas(32) struct sgx_pageinfo pageinfo;
};

static struct sgx_pageinfo *align_source(struct aligned_source *buf,
					 const struct sgx_pageinfo *pageinfo)
{
	buf->pageinfo = *pageinfo;
	memcpy(&buf->secinfo, (void *)(uintptr_t)pageinfo->secinfo_or_pcmd, sizeof(buf->secinfo));
	buf->pageinfo.secinfo_or_pcmd = (uintptr_t)&buf->secinfo;
	if (pageinfo->srcpge % SGX_PAGE_SIZE) {
		memcpy(buf->page, (void *)(uintptr_t)pageinfo->srcpge, sizeof(buf->page));
		buf->pageinfo.srcpge = (uintptr_t)buf->page;
	}
	return &buf->pageinfo;
}

static struct isa_outcome op_ecreate(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t secs)
{
	struct aligned_source buf;

	return encls(ctx, ISA_ENCLS_ECREATE, (uintptr_t)align_source(&buf, pageinfo),
		     direct_map(secs), 0, NULL);
}

static struct isa_outcome op_eadd(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t page)
{
	struct aligned_source buf;
	struct sgx_pageinfo *aligned = align_source(&buf, pageinfo);

	aligned->secs = direct_map(pageinfo->secs);
	return encls(ctx, ISA_ENCLS_EADD, (uintptr_t)aligned, direct_map(page), 0, NULL);
}

static struct isa_outcome op_eextend(void *ctx, uint64_t secs, uint64_t chunk)
{
	return encls(ctx, ISA_ENCLS_EEXTEND, direct_map(secs), direct_map(chunk), 0, NULL);
}

static struct isa_outcome op_einit(void *ctx, const struct sgx_sigstruct *sigstruct,
				   const struct sgx_einittoken *token, uint64_t secs,
				   const uint64_t lepubkeyhash[4])
{
	/* The operands' alignment is the leaf's, not the caller's. */
	_Alignas(4096) struct sgx_sigstruct sig = *sigstruct;
	_Alignas(512) struct sgx_einittoken tok = *token;
	return encls(ctx, ISA_ENCLS_EINIT, (uintptr_t)&sig, direct_map(secs), (uintptr_t)&tok,
		     lepubkeyhash);
}

static struct isa_outcome op_eremove(void *ctx, uint64_t page)
{
	struct processor *p = ctx;
	struct isa_outcome out = encls(p, ISA_ENCLS_EREMOVE, 0, direct_map(page), 0, NULL);

	/* Uninitialized: its next contents may live elsewhere. */
	if (isa_is_done(out))
		atomic_store_explicit(&p->placed[isa_machine_frame(p->machine, page)], NULL,
				      memory_order_release);
	return out;
}

static struct isa_epcm_info op_peek(void *ctx, uint64_t page)
{
	struct processor *p = ctx;

	return isa_epcm_peek(p->machine, isa_machine_frame(p->machine, page));
}

static int mm_place(void *ctx, void *cookie, uint64_t page, uint64_t la)
{
	struct processor *p = ctx;
	struct device *dev = cookie;

	atomic_store_explicit(&p->placed[isa_machine_frame(p->machine, page)],
			      dev->mem.pages + (la - dev->mem.base), memory_order_release);
	return 0;
}

struct epc_encls_ops processor_ops(struct processor *p)
{
	return (struct epc_encls_ops){
		.ctx = p,
		.ecreate = op_ecreate,
		.eadd = op_eadd,
		.eextend = op_eextend,
		.einit = op_einit,
		.eremove = op_eremove,
		.peek = op_peek,
	};
}

struct epc_mm_ops processor_mm(struct processor *p)
{
	return (struct epc_mm_ops){ .ctx = p, .place = mm_place };
}

/*
 * XCR0 less AMX: signal frames, from which the client saves extended state, have
 * room for tiles only in programs that asked the kernel for them.
 */
uint64_t processor_xcr0(void)
{
	uint32_t eax, edx;

	__asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
	return ((uint64_t)edx << 32 | eax) & ~XFRM_AMX;
}

static void host_xsave_sizes(uint32_t sizes[64])
{
	uint32_t eax, ebx, ecx, edx;

	for (unsigned int i = 2; i < 63; i++) {
		__cpuid_count(0xd, i, eax, ebx, ecx, edx);
		sizes[i] = ebx ? ebx + eax : 0;
	}
}

static int random_bytes(void *buf, size_t n)
{
	return getrandom(buf, n, 0) == (ssize_t)n ? 0 : -EIO;
}

static int power_on(struct processor *p, const struct server_config *server_config)
{
	struct isa_config config = {
		.profile = server_config->profile,
		.sections = &p->section,
		.nr_sections = 1,
		.xcr0 = processor_xcr0(),
		.epc_page = epc_page,
		.ctx = p,
		.intercept = server_config->inject ? inject_intercept : NULL,
		.intercept_ctx = server_config->inject,
	};

	host_xsave_sizes(config.xsave_size);
	if (random_bytes(config.seed, sizeof(config.seed)) ||
	    random_bytes(config.owner_epoch, sizeof(config.owner_epoch)) ||
	    random_bytes(config.boot_random, sizeof(config.boot_random)))
		return -EIO;
	return isa_machine_create(&config, &p->machine);
}

int processor_create(struct processor *p, const struct server_config *config)
{
	int ret;

	p->section.pa = EPC_PHYS;
	p->section.nr_pages = config->epc_size / SGX_PAGE_SIZE;
	p->arena_size = config->epc_size;
	p->arena = mmap(NULL, p->arena_size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->arena == MAP_FAILED) {
		p->arena = NULL;
		return -ENOMEM;
	}
	p->placed = calloc(p->section.nr_pages, sizeof(*p->placed));
	ret = p->placed ? power_on(p, config) : -ENOMEM;
	if (ret)
		processor_destroy(p);
	return ret;
}

void processor_destroy(struct processor *p)
{
	isa_machine_destroy(p->machine);
	free(p->placed);
	if (p->arena)
		munmap(p->arena, p->arena_size);
	*p = (struct processor){ 0 };
}
