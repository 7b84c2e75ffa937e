/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each processor has of SGX: enumeration, MSRs, and its way to the EPC.
 */
#include "swsgx-int.h"

SwsgxMachine swsgx;

bool swsgx_is_on(void)
{
    return swsgx.isa != NULL;
}

bool swsgx_allows_rdtsc(void)
{
    return isa_machine_profile(swsgx.isa)->cpuid_12_0_eax &
           CPUID_12_0_EAX_SGX2;
}

/* --- life ---------------------------------------------------------------- */

static void lp_reset(SwsgxCPU *s)
{
    isa_lp_init(&s->lp, swsgx.isa, &swsgx_mmu, s, 0);
    isa_msr_reset(&s->lp);
    if (swsgx.feature_control &&
        isa_wrmsr(&s->lp, MSR_FEATURE_CONTROL, swsgx.feature_control).kind !=
            ISA_DONE) {
        error_report("swsgx-processor: feature-control 0x%" PRIx64
                     " has bits this profile does not", swsgx.feature_control);
        exit(1);
    }
}

void swsgx_cpu_attach(X86CPU *cpu)
{
    SwsgxCPU *s = g_new0(SwsgxCPU, 1);

    s->cpu = cpu;
    lp_reset(s);

    s->epc_alias = g_new(MemoryRegion, 1);
    memory_region_init_alias(s->epc_alias, OBJECT(cpu), "swsgx-epc",
                             &swsgx.epc, 0, memory_region_size(&swsgx.epc));
    memory_region_add_subregion_overlap(cpu->cpu_as_root, SWSGX_EPC_ALIAS,
                                        s->epc_alias, 2);
    /* Leaf 12H must be within reach for software that asks leaf 0 first. */
    cpu->env.cpuid_level = MAX(cpu->env.cpuid_level, 0x12);
    swsgx.cpus[CPU(cpu)->cpu_index] = s;
}

void swsgx_cpu_realize(X86CPU *cpu)
{
    if (swsgx_is_on()) {
        swsgx_cpu_attach(cpu);
    }
}

/*
 * INIT, and reset of the machine.  MSRs survive INIT, as on hardware; the
 * machine's reset follows with swsgx_cpus_lose_epc().
 */
void swsgx_cpu_reset(X86CPU *cpu)
{
    if (swsgx_is_on() && (cpu->env.hflags & HF_SWSGX_MASK)) {
        swsgx_aex_no_vector(&cpu->env);
    }
}

void swsgx_cpus_lose_epc(void)
{
    CPUState *cs;

    CPU_FOREACH(cs) {
        SwsgxCPU *s = swsgx.cpus[cs->cpu_index];

        /* Whether its own reset came first or comes next: nothing to save. */
        s->thread.inside = false;
        X86_CPU(cs)->env.hflags &= ~HF_SWSGX_MASK;
        lp_reset(s);
    }
}

/* --- CPUID and MSRs ------------------------------------------------------ */

void swsgx_cpuid(CPUX86State *env, uint32_t *eax, uint32_t *ebx,
                 uint32_t *ecx, uint32_t *edx)
{
    struct isa_cpuid regs = { *eax, *ebx, *ecx, *edx };

    if (!swsgx_is_on()) {
        return;
    }
    isa_cpuid(swsgx.isa, env->regs[R_EAX], env->regs[R_ECX], &regs);
    *eax = regs.eax;
    *ebx = regs.ebx;
    *ecx = regs.ecx;
    *edx = regs.edx;
}

uint64_t swsgx_rdmsr(CPUX86State *env, uintptr_t ra)
{
    uint64_t value = 0;

    /* As TCG answers for MSRs it does not know. */
    if (!swsgx_is_on()) {
        return 0;
    }
    if (isa_rdmsr(&swsgx_cpu_of(env)->lp, env->regs[R_ECX], &value).kind !=
        ISA_DONE) {
        raise_exception_err_ra(env, EXCP0D_GPF, 0, ra);
    }
    return value;
}

void swsgx_wrmsr(CPUX86State *env, uint64_t value, uintptr_t ra)
{
    if (swsgx_is_on() &&
        isa_wrmsr(&swsgx_cpu_of(env)->lp, env->regs[R_ECX], value).kind !=
            ISA_DONE) {
        raise_exception_err_ra(env, EXCP0D_GPF, 0, ra);
    }
}
