/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ENCLS, ENCLU and ENCLV: what the library must know of the processor's mode,
 * the leaf in the library, and what a leaf that retired leaves in the registers.
 *
 * Source: SDM, ENCLS, ENCLU and ENCLV, Operation.
 */
#include "swsgx-int.h"

#define RFLAGS_ARITHMETIC (CC_C | CC_P | CC_A | CC_Z | CC_S | CC_O)

/* The second opcode byte after 0F 01. */
enum { OPCODE_ENCLV = 0xc0, OPCODE_ENCLS = 0xcf, OPCODE_ENCLU = 0xd7 };

/* Which leaves report in RAX and the flags, by leaves.def. */
typedef enum { REPORTS_FAULT, REPORTS_STATUS } LeafReport;

static LeafReport leaf_report(enum isa_class class, uint32_t leaf)
{
#define LEAF(class_, nr, name, handler, gate, rbx, rcx, rdx, report, ...) \
    if (class == ISA_##class_ && leaf == nr) {                            \
        return REPORTS_##report;                                          \
    }
#include <swsgx/leaves.def>
#undef LEAF
    return REPORTS_FAULT;
}

static uint32_t mode_of(CPUX86State *env)
{
    const uint32_t cr0 = env->cr[0], hflags = env->hflags;
    uint32_t mode = 0;

    mode |= cr0 & CR0_PE_MASK ? 0 : ISA_MODE_REAL;
    mode |= cr0 & CR0_TS_MASK ? ISA_MODE_TS : 0;
    mode |= cr0 & CR0_NE_MASK ? 0 : ISA_MODE_NO_NE;
    mode |= cr0 & CR0_PG_MASK ? 0 : ISA_MODE_NO_PAGING;
    mode |= env->eflags & VM_MASK ? ISA_MODE_VM86 : 0;
    mode |= env->cr[4] & CR4_OSFXSR_MASK ? 0 : ISA_MODE_NO_OSFXSR;
    mode |= hflags & HF_SMM_MASK ? ISA_MODE_SMM : 0;
    if (!(hflags & HF_CS64_MASK)) {
        const uint32_t ds = env->segs[R_DS].flags;

        mode |= ISA_MODE_32;
        mode |= hflags & HF_CS32_MASK ? 0 : ISA_MODE_CODE16;
        /* A data segment, not code, with the E bit. */
        mode |= (ds & (DESC_CS_MASK | DESC_C_MASK)) == DESC_C_MASK
                    ? ISA_MODE_DS_DOWN : 0;
    }
    return mode;
}

/* Leaves that change the register file, or what of it an exit would save. */
static bool is_entry_leaf(uint32_t leaf)
{
    return leaf == ISA_ENCLU_EENTER || leaf == ISA_ENCLU_ERESUME ||
           leaf == ISA_ENCLU_EEXIT || leaf == ISA_ENCLU_EDECCSSA;
}

static struct isa_outcome run_enclu(SwsgxCPU *s, uint32_t leaf,
                                    unsigned int len)
{
    struct isa_outcome out;

    if (!is_entry_leaf(leaf)) {
        return isa_enclu(&s->lp, leaf);
    }
    out = isa_enclu_check(&s->lp, leaf, s->thread.inside);
    if (out.kind != ISA_DONE) {
        return out;
    }
    switch (leaf) {
    case ISA_ENCLU_EEXIT:
        return swsgx_exit(s);
    case ISA_ENCLU_EDECCSSA:
        return isa_edeccssa(&s->thread);
    default:
        return swsgx_enter(s, leaf, len);
    }
}

static struct isa_outcome run(SwsgxCPU *s, int opcode, uint32_t leaf,
                              unsigned int len)
{
    switch (opcode) {
    case OPCODE_ENCLS:
        return isa_encls(&s->lp, leaf);
    case OPCODE_ENCLU:
        return run_enclu(s, leaf, len);
    default:
        /* Only in VMX operation, which TCG does not have. */
        return (struct isa_outcome) { .kind = ISA_FAULT, .vector = X86_UD };
    }
}

static enum isa_class class_of(int opcode)
{
    return opcode == OPCODE_ENCLS ? ISA_ENCLS :
           opcode == OPCODE_ENCLU ? ISA_ENCLU : ISA_ENCLV;
}

static bool try_lock(bool for_writing)
{
    return for_writing ? g_rw_lock_writer_trylock(&swsgx.lock)
                       : g_rw_lock_reader_trylock(&swsgx.lock);
}

static void unlock(bool for_writing)
{
    if (for_writing) {
        g_rw_lock_writer_unlock(&swsgx.lock);
    } else {
        g_rw_lock_reader_unlock(&swsgx.lock);
    }
}

static void G_NORETURN run_again(CPUX86State *env)
{
    CPUState *cs = env_cpu(env);

    cs->exception_index = EXCP_INTERRUPT;
    cpu_loop_exit(cs);
}

static void G_NORETURN raise_outcome(CPUX86State *env, struct isa_outcome out)
{
    if (out.vector == EXCP0E_PAGE) {
        env->cr[2] = out.address;
    }
    raise_exception_err(env, out.vector, out.error_code);
}

/* Registers and flags of a leaf that is not entry or exit. */
static void retire(SwsgxCPU *s, enum isa_class class, uint32_t leaf,
                   struct isa_outcome out)
{
    CPUX86State *env = &s->cpu->env;
    uint32_t flags = 0;

    env->regs[R_EBX] = s->lp.rbx;       /* EDBGRD answers there */
    if (leaf_report(class, leaf) != REPORTS_STATUS) {
        return;
    }
    if (out.kind == ISA_ERROR) {
        flags = CC_Z;
    } else if (out.kind == ISA_INFO) {
        flags = CC_C;
    }
    env->regs[R_EAX] = out.kind == ISA_DONE ? 0 : out.code;
    cpu_load_eflags(env, (cpu_compute_eflags(env) & ~RFLAGS_ARITHMETIC) | flags,
                    0);
}

/* What every instruction that completed leaves behind. */
static void complete(CPUX86State *env, bool keep_rf)
{
    env->hflags &= ~HF_INHIBIT_IRQ_MASK;
    if (!keep_rf) {
        env->eflags &= ~RF_MASK;
    }
    helper_rechecking_single_step(env);
}

void helper_swsgx(CPUX86State *env, uint32_t opcode, uint32_t len)
{
    SwsgxCPU *s = swsgx_cpu_of(env);
    enum isa_class class = class_of(opcode);
    uint32_t leaf = env->regs[R_EAX];
    bool entry = class == ISA_ENCLU && is_entry_leaf(leaf);
    struct isa_outcome out;

    s->lp.cpl = env->hflags & HF_CPL_MASK;
    s->lp.mode = mode_of(env);
    s->lp.rbx = env->regs[R_EBX];
    s->lp.rcx = env->regs[R_ECX];
    s->lp.rdx = env->regs[R_EDX];

    if (!try_lock(entry)) {
        run_again(env);
    }
    if (leaf < SWSGX_NR_LEAVES) {
        qatomic_inc(&swsgx.leaf_calls[class][leaf]);
    }
    swsgx_touch_begin();
    out = run(s, opcode, leaf, len);
    swsgx_touch_end(env);
    unlock(entry);

    if (out.kind == ISA_FAULT) {
        raise_outcome(env, out);
    }
    if (!entry) {
        retire(s, class, leaf, out);
    }
    if (!entry || leaf == ISA_ENCLU_EDECCSSA) {
        env->eip += len;
    }
    complete(env, entry && leaf == ISA_ENCLU_ERESUME);
}
