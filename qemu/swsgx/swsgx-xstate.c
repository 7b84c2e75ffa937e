/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Extended state between QEMU's registers and XSAVE images.
 *
 * QEMU's own conversion stores the x87 stack as it lies in the register file;
 * an image has ST(0) first.
 */
#include "swsgx-int.h"

#define IMAGE_FCW 0
#define IMAGE_FSW 2
#define IMAGE_MXCSR 24
#define IMAGE_MXCSR_END 32
#define IMAGE_ST 32
#define IMAGE_ST_SIZE 16
#define IMAGE_XMM 160
#define IMAGE_XMM_END 416
#define IMAGE_XSTATE_BV 512

#define XSTATE_X87 1ull
#define XSTATE_SSE 2ull
#define XSTATE_AVX 4ull

void swsgx_xstate_find_components(CPUX86State *env)
{
    uint32_t eax, ebx, ecx, edx;
    int i;

    for (i = 2; i < SWSGX_NR_XSTATE; i++) {
        cpu_x86_cpuid(env, 0xd, i, &eax, &ebx, &ecx, &edx);
        /* Beyond our buffers: a component TCG does not have. */
        if (ebx < SWSGX_XSAVE_SIZE && eax <= SWSGX_XSAVE_SIZE - ebx) {
            swsgx.xsave_component[i].offset = ebx;
            swsgx.xsave_component[i].size = eax;
        }
    }
}

/* Rotate the x87 stack of @image by @n registers. */
static void rotate_st(uint8_t *image, unsigned int n)
{
    uint8_t st[8][IMAGE_ST_SIZE];
    unsigned int i;

    memcpy(st, image + IMAGE_ST, sizeof(st));
    for (i = 0; i < 8; i++) {
        memcpy(image + IMAGE_ST + i * IMAGE_ST_SIZE, st[(i + n) % 8],
               IMAGE_ST_SIZE);
    }
}

static unsigned int top_of(const uint8_t *image)
{
    return lduw_le_p(image + IMAGE_FSW) >> 11 & 7;
}

void swsgx_xstate_save(SwsgxCPU *s)
{
    CPUX86State *env = &s->cpu->env;

    update_mxcsr_from_sse_status(env);
    x86_cpu_xsave_all_areas(s->cpu, s->xsave, sizeof(s->xsave));
    rotate_st(s->xsave, top_of(s->xsave));
    /* TCG does not track what is in its initial configuration. */
    stq_le_p(s->xsave + IMAGE_XSTATE_BV, ~0ull);
}

/* An image with every component in INIT state, as an exit after @vector leaves it. */
static void init_image(uint8_t *image, int vector)
{
    memset(image, 0, SWSGX_XSAVE_SIZE);
    stw_le_p(image + IMAGE_FCW, vector == X86_MF ? 0x37e : 0x37f);
    stw_le_p(image + IMAGE_FSW, vector == X86_MF ? 0x8081 : 0);
    stl_le_p(image + IMAGE_MXCSR, vector == X86_XM ? 0x1f01 : 0x1fb0);
}

static void take(uint8_t *to, const uint8_t *from, size_t begin, size_t end)
{
    memcpy(to + begin, from + begin, end - begin);
}

static void take_component(uint8_t *to, const uint8_t *from, unsigned int i)
{
    const struct isa_xsave_component *c = &swsgx.xsave_component[i];

    switch (i) {
    case 0:
        take(to, from, 0, IMAGE_MXCSR);
        take(to, from, IMAGE_ST, IMAGE_XMM);
        break;
    case 1:
        take(to, from, IMAGE_XMM, IMAGE_XMM_END);
        break;
    default:
        take(to, from, c->offset, c->offset + c->size);
        break;
    }
}

void swsgx_xstate_load(SwsgxCPU *s, const uint8_t *image, uint64_t xfrm,
                       int vector)
{
    CPUX86State *env = &s->cpu->env;
    uint8_t init[SWSGX_XSAVE_SIZE];
    uint64_t xstate_bv = image ? ldq_le_p(image + IMAGE_XSTATE_BV) : 0;
    uint64_t left;

    init_image(init, vector);
    swsgx_xstate_save(s);
    for (left = xfrm; left; left &= left - 1) {
        unsigned int i = ctz64(left);

        take_component(s->xsave, xstate_bv >> i & 1 ? image : init, i);
    }
    if (xfrm & (XSTATE_SSE | XSTATE_AVX)) {
        take(s->xsave, image ? image : init, IMAGE_MXCSR, IMAGE_MXCSR + 4);
    }

    rotate_st(s->xsave, 8 - top_of(s->xsave));
    x86_cpu_xrstor_all_areas(s->cpu, s->xsave, sizeof(s->xsave));
    /* The conversion sets the registers; rounding modes and such follow here. */
    cpu_set_fpuc(env, env->fpuc);
    cpu_set_mxcsr(env, env->mxcsr);
}
