/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The processor in a program of yours: a machine with 64 KiB of EPC, on which an
 * enclave is built and taken apart again, leaf by leaf.
 *
 *	cc embed.c $(pkg-config --cflags --libs swsgx-isa) -o embed
 *
 * Three things are yours: where EPC contents are, how linear addresses translate,
 * and the registers.  The library brings everything else, and after
 * isa_machine_create() it allocates nothing and keeps no globals.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <swsgx/isa.h>

#if SWSGX_ISA_VERSION != 1
#error "this program was written for version 1 of the interface"
#endif

#define EPC_PA 0x80000000ull	/* where the machine has its EPC */
#define NR_PAGES 16u
#define BASE 0x100000ull	/* ELRANGE of the enclave: two pages */

/* Contents of the EPC.  A real embedder maps them into its guest or its process. */
static _Alignas(4096) unsigned char epc[NR_PAGES][SGX_PAGE_SIZE];

static void *epc_page(void *ctx, uint64_t frame)
{
	(void)ctx;
	return epc[frame];
}

/*
 * Paging: here linear addresses in EPC are physical ones, and all others are
 * pointers.  A page fault of yours is filled into @fault and answered with false.
 */
static bool translate(void *ctx, uint64_t la, bool write, uint64_t *pa, struct isa_outcome *fault)
{
	(void)ctx, (void)write, (void)fault;
	*pa = la - EPC_PA < sizeof(epc) ? la : ISA_NO_FRAME;
	return true;
}

static bool read_memory(void *ctx, uint64_t la, void *dst, size_t n, struct isa_outcome *fault)
{
	(void)ctx, (void)fault;
	memcpy(dst, (const void *)(uintptr_t)la, n);
	return true;
}

static bool write_memory(void *ctx, uint64_t la, const void *src, size_t n,
			 struct isa_outcome *fault)
{
	(void)ctx, (void)fault;
	memcpy((void *)(uintptr_t)la, src, n);
	return true;
}

static const struct isa_mmu mmu = { translate, read_memory, write_memory };

/* One ENCLS: load the registers, execute, and say what came of it. */
static void encls(struct isa_lp *lp, enum isa_leaf leaf, const void *rbx, uint64_t rcx)
{
	lp->rbx = (uintptr_t)rbx;
	lp->rcx = rcx;
	printf("%-8s %s\n", isa_leaf_name(ISA_ENCLS, leaf),
	       isa_result_name(isa_result(isa_encls(lp, leaf))));
}

int main(void)
{
	static _Alignas(4096) struct sgx_secs secs = {
		.size = 2 * SGX_PAGE_SIZE, .baseaddr = BASE, .ssaframesize = 1,
		.attributes = { ATTR_MODE64BIT, XFRM_X87_SSE },
	};
	static _Alignas(64) struct sgx_secinfo secs_info = { .flags = SECINFO_PT(PT_SECS) };
	static _Alignas(64) struct sgx_secinfo reg_info = {
		.flags = SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W,
	};
	static _Alignas(4096) unsigned char page[SGX_PAGE_SIZE] = "an enclave's first words";
	_Alignas(32) struct sgx_pageinfo create = {
		.srcpge = (uintptr_t)&secs, .secinfo_or_pcmd = (uintptr_t)&secs_info,
	};
	_Alignas(32) struct sgx_pageinfo add = {
		.linaddr = BASE, .srcpge = (uintptr_t)page,
		.secinfo_or_pcmd = (uintptr_t)&reg_info, .secs = EPC_PA,
	};
	const struct isa_section section = { .pa = EPC_PA, .nr_pages = NR_PAGES };
	const struct isa_config config = {
		.profile = isa_profile_find("newest"),	/* what CPUID says */
		.sections = &section, .nr_sections = 1,
		.xcr0 = XFRM_X87_SSE,
		.seed = "every key derives from this",
		.epc_page = epc_page,
	};
	struct isa_machine *machine;
	struct isa_lp kernel;

	if (isa_version() != SWSGX_ISA_VERSION || isa_machine_create(&config, &machine))
		return EXIT_FAILURE;
	isa_lp_init(&kernel, machine, &mmu, NULL, 0);	/* CPL 0: it may execute ENCLS */

	encls(&kernel, ISA_ENCLS_ECREATE, &create, EPC_PA);
	encls(&kernel, ISA_ENCLS_EADD, &add, EPC_PA + SGX_PAGE_SIZE);
	kernel.rbx = EPC_PA;				/* the SECS, where others have a pointer */
	kernel.rcx = EPC_PA + SGX_PAGE_SIZE;
	printf("EEXTEND  %s\n", isa_result_name(isa_result(isa_encls(&kernel, ISA_ENCLS_EEXTEND))));
	encls(&kernel, ISA_ENCLS_EREMOVE, NULL, EPC_PA);	/* too early: it has a child */
	encls(&kernel, ISA_ENCLS_EREMOVE, NULL, EPC_PA + SGX_PAGE_SIZE);
	encls(&kernel, ISA_ENCLS_EREMOVE, NULL, EPC_PA);
	encls(&kernel, ISA_ENCLS_EREMOVE, NULL, EPC_PA + 8);	/* no page: a fault, by value */
	isa_machine_destroy(machine);
	return EXIT_SUCCESS;
}
