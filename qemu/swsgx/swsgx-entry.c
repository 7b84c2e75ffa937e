/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Entry and exit: the library's view of an enclave over this machine's EPC, and
 * the register file it works on.
 */
#include "swsgx-int.h"

#define ENCLU_SIZE 3

/* FS and GS in an enclave: a user's data segment. */
#define ENCLAVE_SELECTOR 0x0b
#define ENCLAVE_SEGMENT (DESC_G_MASK | DESC_B_MASK | DESC_P_MASK | DESC_S_MASK | \
                         DESC_A_MASK | DESC_W_MASK | (3 << DESC_DPL_SHIFT))

#define EFLAGS_ALL (~(CC_C | CC_P | CC_A | CC_Z | CC_S | CC_O | DF_MASK))

QEMU_BUILD_BUG_ON((int)ISA_RAX != R_EAX || (int)ISA_RCX != R_ECX ||
                  (int)ISA_RSP != R_ESP || (int)ISA_RDI != R_EDI ||
                  (int)ISA_NR_GPR != CPU_NB_REGS);

static void regs_get(CPUX86State *env, struct isa_regs *r)
{
    memcpy(r->gpr, env->regs, sizeof(r->gpr));
    r->rip = env->eip;
    r->rflags = cpu_compute_eflags(env);
    r->fsbase = env->segs[R_FS].base;
    r->gsbase = env->segs[R_GS].base;
}

static void regs_set(CPUX86State *env, const struct isa_regs *r)
{
    memcpy(env->regs, r->gpr, sizeof(r->gpr));
    env->eip = r->rip;
    cpu_load_eflags(env, r->rflags, EFLAGS_ALL);
}

/* --- the view ------------------------------------------------------------ */

static bool view_page(void *ctx, uint64_t la, bool write,
                      struct isa_epcm_info *info, void **page,
                      struct isa_outcome *fault)
{
    uint64_t frame;

    if (!swsgx_find_frame(ctx, la, &frame, fault)) {
        return false;
    }
    info->valid = false;
    if (frame != ISA_NO_FRAME) {
        *info = isa_epcm_peek(swsgx.isa, frame);
        *page = swsgx_frame_host(frame);
        swsgx_touch_frame(frame);
    }
    return true;
}

/* The enclave that owns the page at @tcs; none is no reason to fail here. */
static uint64_t owner_of(SwsgxCPU *s, uint64_t tcs)
{
    struct isa_epcm_info info;
    struct isa_outcome fault;
    uint64_t frame;

    if (!swsgx_find_frame(s, tcs, &frame, &fault) || frame == ISA_NO_FRAME) {
        return ISA_NO_FRAME;
    }
    info = isa_epcm_peek(swsgx.isa, frame);
    return info.valid && info.pt == PT_TCS ? info.secs_frame : ISA_NO_FRAME;
}

static struct isa_encl_view view_of(SwsgxCPU *s, struct isa_encl_block *blk)
{
    CPUX86State *env = &s->cpu->env;

    return (struct isa_encl_view) {
        .blk = blk,
        .page = view_page,
        .ctx = s,
        .xcr0 = env->cr[4] & CR4_OSXSAVE_MASK ? env->xcr0 : XFRM_X87_SSE,
        .mode = s->lp.mode,
        .xsave_component = swsgx.xsave_component,
    };
}

/* --- what changes with the mode ------------------------------------------ */

static void xcr0_set(CPUX86State *env, uint64_t xcr0)
{
    env->xcr0 = xcr0;
    cpu_sync_bndcs_hflags(env);
    cpu_sync_avx_hflag(env);
}

static bool overlaps(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

/*
 * DR7 without the breakpoints that an enclave opted out of debugging does not
 * feel: code breakpoints, and data breakpoints that overlap ELRANGE.  Enclave
 * code cannot read DR7, so this is how they are suppressed.
 */
static uint32_t suppressed_dr7(SwsgxCPU *s)
{
    CPUX86State *env = &s->cpu->env;
    uint32_t dr7 = env->dr[7];
    int i;

    for (i = 0; i < 4; i++) {
        uint32_t type = dr7 >> (DR7_TYPE_SHIFT + i * 4) & 3;

        if (type == DR7_TYPE_BP_INST ||
            overlaps(env->dr[i], 8, s->elrange_base, s->elrange_size)) {
            dr7 &= ~(3u << i * 2);
        }
    }
    return dr7;
}

static void mode_enter(SwsgxCPU *s, const struct isa_regs *r)
{
    CPUX86State *env = &s->cpu->env;

    s->fs = env->segs[R_FS];
    s->gs = env->segs[R_GS];
    s->xcr0 = env->xcr0;
    s->dr7 = env->dr[7];

    cpu_x86_load_seg_cache(env, R_FS, ENCLAVE_SELECTOR, r->fsbase, 0xffffffff,
                           ENCLAVE_SEGMENT);
    cpu_x86_load_seg_cache(env, R_GS, ENCLAVE_SELECTOR, r->gsbase, 0xffffffff,
                           ENCLAVE_SEGMENT);
    if (env->cr[4] & CR4_OSXSAVE_MASK) {
        xcr0_set(env, s->thread.xfrm);
    }
    if (!s->thread.dbgoptin && (s->dr7 & 0xff)) {
        cpu_x86_update_dr7(env, suppressed_dr7(s));
    }
    env->hflags |= HF_SWSGX_MASK;
    tlb_flush(env_cpu(env));
}

static void mode_leave(SwsgxCPU *s)
{
    CPUX86State *env = &s->cpu->env;

    env->hflags &= ~HF_SWSGX_MASK;
    s->lp.secs_frame = ISA_NO_FRAME;
    env->segs[R_FS] = s->fs;
    env->segs[R_GS] = s->gs;
    if (env->cr[4] & CR4_OSXSAVE_MASK) {
        xcr0_set(env, s->xcr0);
    }
    if (env->dr[7] != s->dr7) {
        cpu_x86_update_dr7(env, s->dr7);
    }
    tlb_flush(env_cpu(env));
}

/* --- EENTER, ERESUME, EEXIT ---------------------------------------------- */

struct isa_outcome swsgx_enter(SwsgxCPU *s, uint32_t leaf, unsigned int len)
{
    /* For pages nobody owns: the library refuses them before it looks here. */
    struct isa_encl_block nobody = {
        .features = isa_machine_profile(swsgx.isa)->cpuid_12_0_eax,
    };
    CPUX86State *env = &s->cpu->env;
    uint64_t secs = owner_of(s, env->regs[R_EBX]);
    struct isa_encl_block *blk = NULL;
    struct isa_encl_view view;
    const uint8_t *image = NULL;
    struct isa_outcome out;
    struct isa_regs r;

    if (secs != ISA_NO_FRAME) {
        blk = isa_secs_block(swsgx.isa, secs);
    }
    view = view_of(s, blk ? blk : &nobody);
    regs_get(env, &r);
    r.rip += len - ENCLU_SIZE;          /* prefixes */
    out = leaf == ISA_ENCLU_EENTER ? isa_eenter(&s->thread, &view, &r)
                                   : isa_eresume(&s->thread, &view, &r, &image);
    if (out.kind != ISA_DONE) {
        return out;
    }

    s->lp.secs_frame = secs;
    s->elrange_base = blk->base;
    s->elrange_size = blk->size;
    mode_enter(s, &r);
    regs_set(env, &r);
    if (image) {
        swsgx_xstate_load(s, image, s->thread.xfrm, -1);
    }
    return out;
}

struct isa_outcome swsgx_exit(SwsgxCPU *s)
{
    CPUX86State *env = &s->cpu->env;
    struct isa_outcome out;
    struct isa_regs r;

    regs_get(env, &r);
    out = isa_eexit(&s->thread, &r);
    if (out.kind != ISA_DONE) {
        return out;
    }
    swsgx_touch_host(s->thread.tcs);
    mode_leave(s);
    regs_set(env, &r);
    return out;
}

/* --- AEX ----------------------------------------------------------------- */

static void leave(SwsgxCPU *s, struct isa_regs *r, const struct isa_event *event)
{
    CPUX86State *env = &s->cpu->env;

    swsgx_xstate_save(s);
    swsgx_touch_begin();
    isa_aex(&s->thread, r, event, s->xsave);
    swsgx_touch_host(s->thread.tcs);
    swsgx_touch_host(s->thread.gprsgx);
    swsgx_touch_host(s->thread.xsave);
    swsgx_touch_end(env);

    swsgx_xstate_load(s, NULL, s->thread.xfrm,
                      event->exception ? event->vector : -1);
    mode_leave(s);
    regs_set(env, r);
}

static bool is_trap(int intno)
{
    return intno == EXCP01_DB || intno == EXCP03_INT3 || intno == EXCP04_INTO ||
           intno == EXCP12_MCHK;
}

/* The saved RIP is that of INT3, which is a fault in enclaves. */
void swsgx_aex(CPUX86State *env, int intno, int error_code, bool is_hw,
               target_ulong *next_eip)
{
    SwsgxCPU *s = swsgx_cpu_of(env);
    struct isa_event event = {
        .exception = !is_hw,
        .vector = intno,
        .error_code = error_code,
        .address = env->cr[2],
    };
    struct isa_regs r;

    regs_get(env, &r);
    if (!is_hw && !is_trap(intno)) {
        r.rflags |= RF_MASK;
    }
    leave(s, &r, &event);
    if (!is_hw && intno == EXCP0E_PAGE) {
        env->cr[2] &= ~0xfffull;
    }
    *next_eip = env->eip;
}

void swsgx_aex_no_vector(CPUX86State *env)
{
    SwsgxCPU *s = swsgx_cpu_of(env);
    struct isa_event event = { .exception = false };
    struct isa_regs r;

    regs_get(env, &r);
    leave(s, &r, &event);
}

uint32_t swsgx_eflags_mask(CPUX86State *env)
{
    return swsgx_cpu_of(env)->thread.dbgoptin ? ~0u : ~(uint32_t)TF_MASK;
}
