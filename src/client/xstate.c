/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Extended state of an interrupted thread: the XSAVE image, in the standard
 * format, that the kernel puts into a signal frame and restores from it.
 */
#include <cpuid.h>
#include <string.h>

#include "client.h"

#define LEGACY_SIZE 512u
#define SW_RESERVED 464u	/* of the frame: the kernel's, not the processor's */
#define XSTATE_BV 512u

#define FCW 0u
#define FSW 2u
#define MXCSR 24u
#define X87_REGS 32u
#define XMM_REGS 160u
#define XMM_END 416u
#define MXCSR_MASK 0xffffu

static struct isa_xsave_component components[64];
static uint64_t xcr0;

void client_xstate_probe(void)
{
	uint32_t eax, ebx, ecx, edx;

	__asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
	xcr0 = (uint64_t)edx << 32 | eax;
	for (unsigned int i = 2; i < 63; i++) {
		if (!(xcr0 >> i & 1))
			continue;
		__cpuid_count(0xd, i, eax, ebx, ecx, edx);
		components[i] = (struct isa_xsave_component){ .offset = ebx, .size = eax };
	}
}

uint64_t client_xcr0(void)
{
	return xcr0;
}

const struct isa_xsave_component *client_xsave_components(void)
{
	return components;
}

const uint8_t *client_xstate_of(const ucontext_t *uc)
{
	return (const uint8_t *)uc->uc_mcontext.fpregs;
}

size_t client_xstate_size(const ucontext_t *uc)
{
	const uint8_t *area = client_xstate_of(uc);
	uint32_t magic, extended_size;

	memcpy(&magic, area + SW_RESERVED, sizeof(magic));
	memcpy(&extended_size, area + SW_RESERVED + 4, sizeof(extended_size));
	return magic == FP_XSTATE_MAGIC1 ? extended_size : LEGACY_SIZE;
}

static uint64_t get_bv(const uint8_t *area)
{
	uint64_t bv;

	memcpy(&bv, area + XSTATE_BV, sizeof(bv));
	return bv;
}

static void put_bv(uint8_t *area, uint64_t bv)
{
	memcpy(area + XSTATE_BV, &bv, sizeof(bv));
}

static void put16(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* The synthetic state after an exit by exception @vector (-1: none). */
void client_xstate_init(const ucontext_t *uc, uint64_t xfrm, int vector)
{
	uint8_t *area = (uint8_t *)uc->uc_mcontext.fpregs;

	memset(area + X87_REGS, 0, XMM_END - X87_REGS);
	memset(area, 0, MXCSR);
	put16(area + FCW, vector == X86_MF ? 0x037e : 0x037f);
	put16(area + FSW, vector == X86_MF ? 0x8081 : 0);
	put32(area + MXCSR, vector == X86_XM ? 0x1f01 : 0x1fb0);
	/* x87 and SSE are written out; a clear bit means the initial state. */
	put_bv(area, (get_bv(area) & ~xfrm) | XFRM_X87_SSE);
}

void client_xstate_load(const ucontext_t *uc, const uint8_t *image, uint64_t xfrm)
{
	uint8_t *area = (uint8_t *)uc->uc_mcontext.fpregs;
	const uint64_t bv = get_bv(image);
	uint32_t mxcsr, mask;

	memcpy(&mask, area + MXCSR + 4, sizeof(mask));
	memcpy(area, image, XMM_END);
	memcpy(&mxcsr, image + MXCSR, sizeof(mxcsr));
	/* The kernel would refuse a frame with reserved bits. */
	put32(area + MXCSR, mxcsr & (mask ? mask : MXCSR_MASK));
	put32(area + MXCSR + 4, mask);
	for (unsigned int i = 2; i < 63; i++)
		if ((xfrm & bv) >> i & 1)
			memcpy(area + components[i].offset, image + components[i].offset,
			       components[i].size);
	put_bv(area, (get_bv(area) & ~xfrm) | (bv & xfrm));
}
