/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest's memory as leaves see it: page walks that never raise, ordinary
 * memory, EPC frames.
 */
#include "swsgx-int.h"

int swsgx_mmu_idx(CPUX86State *env)
{
    return swsgx_data_mmu_idx(env);
}

static bool walk(SwsgxCPU *s, uint64_t la, bool write, hwaddr *paddr,
                 struct isa_outcome *fault)
{
    CPUX86State *env = &s->cpu->env;
    int vector, error_code;

    if (swsgx_walk(env, la, write ? MMU_DATA_STORE : MMU_DATA_LOAD,
                   swsgx_mmu_idx(env), paddr, &vector, &error_code)) {
        return true;
    }
    *fault = (struct isa_outcome) {
        .kind = ISA_FAULT,
        .vector = vector,
        .error_code = error_code,
        .address = la,
    };
    return false;
}

/* --- ordinary memory ----------------------------------------------------- */

static bool mmu_translate(void *ctx, uint64_t la, bool write, uint64_t *pa,
                          struct isa_outcome *fault)
{
    hwaddr paddr;

    if (!walk(ctx, la, write, &paddr, fault)) {
        return false;
    }
    *pa = isa_machine_frame(swsgx.isa, paddr) == ISA_NO_FRAME
              ? ISA_NO_FRAME : paddr;
    return true;
}

/* Page by page; EPC in an operand shows as the abort page. */
static bool copy(SwsgxCPU *s, uint64_t la, void *buf, size_t n, bool write,
                 struct isa_outcome *fault)
{
    AddressSpace *as = cpu_get_address_space(CPU(s->cpu), 0);
    uint8_t *p = buf;
    hwaddr paddr;
    size_t len;

    for (; n; n -= len, la += len, p += len) {
        len = MIN(n, SGX_PAGE_SIZE - (la & (SGX_PAGE_SIZE - 1)));
        if (!walk(s, la, write, &paddr, fault)) {
            return false;
        }
        address_space_rw(as, paddr, MEMTXATTRS_UNSPECIFIED, p, len, write);
    }
    return true;
}

static bool mmu_read(void *ctx, uint64_t la, void *dst, size_t n,
                     struct isa_outcome *fault)
{
    return copy(ctx, la, dst, n, false, fault);
}

static bool mmu_write(void *ctx, uint64_t la, const void *src, size_t n,
                      struct isa_outcome *fault)
{
    return copy(ctx, la, (void *)src, n, true, fault);
}

const struct isa_mmu swsgx_mmu = {
    .translate = mmu_translate,
    .read = mmu_read,
    .write = mmu_write,
};

/* --- EPC ----------------------------------------------------------------- */

bool swsgx_find_frame(SwsgxCPU *s, uint64_t la, uint64_t *frame,
                      struct isa_outcome *fault)
{
    hwaddr paddr;

    if (!walk(s, la, true, &paddr, fault)) {
        return false;
    }
    *frame = isa_machine_frame(swsgx.isa, paddr);
    return true;
}

void *swsgx_frame_host(uint64_t frame)
{
    size_t i = swsgx.config.nr_sections - 1;

    while (frame < swsgx.section_first[i]) {
        i--;
    }
    return swsgx.section_host[i] +
           (frame - swsgx.section_first[i]) * SGX_PAGE_SIZE;
}

/*
 * Code that was translated from an EPC page is stale once a leaf wrote to the
 * page, and the leaf writes behind QEMU's back.  So the frames the library asks
 * for during a leaf are noted, and treated after it as if DMA had written them.
 */
#define MAX_TOUCHED 16

static __thread struct {
    bool active, overflow;
    unsigned int nr;
    uint64_t frame[MAX_TOUCHED];
} touched;

void swsgx_touch_begin(void)
{
    touched.active = true;
    touched.overflow = false;
    touched.nr = 0;
}

void swsgx_touch_frame(uint64_t frame)
{
    unsigned int i;

    if (!touched.active) {
        return;
    }
    for (i = 0; i < touched.nr; i++) {
        if (touched.frame[i] == frame) {
            return;
        }
    }
    if (touched.nr == MAX_TOUCHED) {
        touched.overflow = true;
        return;
    }
    touched.frame[touched.nr++] = frame;
}

void swsgx_touch_host(const void *p)
{
    const uint8_t *host = p;
    size_t i;

    for (i = 0; i < swsgx.config.nr_sections; i++) {
        const uint8_t *base = swsgx.section_host[i];
        uint64_t size = swsgx.config.sections[i].nr_pages * SGX_PAGE_SIZE;

        if (host >= base && host - base < size) {
            swsgx_touch_frame(swsgx.section_first[i] +
                              (host - base) / SGX_PAGE_SIZE);
        }
    }
}

static void forget_code(CPUX86State *env, uint64_t frame)
{
    MemTxAttrs secure = { .secure = 1 };
    AddressSpace *as = cpu_get_address_space(env_cpu(env), 1);
    hwaddr len = SGX_PAGE_SIZE;
    void *p;

    p = address_space_map(as, SWSGX_EPC_ALIAS + frame * SGX_PAGE_SIZE, &len,
                          true, secure);
    if (p) {
        address_space_unmap(as, p, len, true, len);
    }
}

void swsgx_touch_end(CPUX86State *env)
{
    unsigned int i;

    touched.active = false;
    if (touched.overflow) {
        uint64_t frame, n = isa_machine_nr_frames(swsgx.isa);

        for (frame = 0; frame < n; frame++) {
            forget_code(env, frame);
        }
        return;
    }
    for (i = 0; i < touched.nr; i++) {
        forget_code(env, touched.frame[i]);
    }
}
