/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the rest of target/i386 and the ACPI tables call.  Every function does
 * nothing, or answers as a processor without SGX, while swsgx_is_on() is false,
 * that is unless an EPC device is on the command line.
 *
 * Included at the end of target/i386/cpu.h.
 */
#ifndef I386_SWSGX_H
#define I386_SWSGX_H

/* In env->hflags: the processor is in enclave mode. */
#define HF_SWSGX_SHIFT 29
#define HF_SWSGX_MASK  (1u << HF_SWSGX_SHIFT)

/* Does this machine have SGX?  Fixed before the first instruction. */
bool swsgx_is_on(void);

/* --- processors ---------------------------------------------------------- */

/* A processor came into being, before or after the machine was complete. */
void swsgx_cpu_realize(X86CPU *cpu);

/* Its registers are about to be reset, by INIT or with the machine. */
void swsgx_cpu_reset(X86CPU *cpu);

/* CPUID of the leaf in EAX and ECX: @regs (EAX, EBX, ECX, EDX) without SGX. */
void swsgx_cpuid(CPUX86State *env, uint32_t *eax, uint32_t *ebx,
                 uint32_t *ecx, uint32_t *edx);

/*
 * The MSRs of SGX: feature control, feature activation, launch-key hash, owner
 * epoch, SVN status.
 */
#define SWSGX_MSR_CASES \
    case 0x3a:          \
    case 0x7a:          \
    case 0x8c ... 0x8f: \
    case 0x300 ... 0x301: \
    case 0x500:

/* RDMSR and WRMSR of the MSR in ECX, one that SGX defines; may raise #GP. */
uint64_t swsgx_rdmsr(CPUX86State *env, uintptr_t ra);
void swsgx_wrmsr(CPUX86State *env, uint64_t value, uintptr_t ra);

/* --- enclave mode -------------------------------------------------------- */

/*
 * A translation to @paddr with @prot was found while HF_SWSGX_MASK is set.
 * True: it is dealt with, and *@filled is what the TLB fill must return.
 * False: fill as usual, with *@prot, which may have lost rights.
 * Raises the fault when there is one and @probe is false.
 */
bool swsgx_tlb_fill(CPUState *cs, vaddr addr, MMUAccessType access_type,
                    int mmu_idx, hwaddr paddr, int *prot, bool probe,
                    uintptr_t ra, bool *filled);

/*
 * An event is about to be delivered while HF_SWSGX_MASK is set: leave the
 * enclave first.  *@next_eip, the return address of a software interrupt,
 * becomes one outside.
 */
void swsgx_aex(CPUX86State *env, int intno, int error_code, bool is_hw,
               target_ulong *next_eip);

/* The same for events that have no vector: SMI and INIT. */
void swsgx_aex_no_vector(CPUX86State *env);

/* Bits of RFLAGS that POPF may change in enclave mode. */
uint32_t swsgx_eflags_mask(CPUX86State *env);

/* Has this part RDTSC in enclaves? */
bool swsgx_allows_rdtsc(void);

/*
 * Walk the page tables for @la without the TLB and without enclave rules;
 * accessed and dirty bits are set.  False: @vector and @error_code.
 */
bool swsgx_walk(CPUX86State *env, vaddr la, MMUAccessType access_type,
                int mmu_idx, hwaddr *paddr, int *vector, int *error_code);

/* --- firmware tables ----------------------------------------------------- */

/* SRAT entries: the EPC sections, and RAM when there are no NUMA nodes. */
void swsgx_build_srat(GArray *table_data);

#endif
