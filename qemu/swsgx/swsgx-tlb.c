/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory accesses in enclave mode.
 *
 * The EPC is an abort page in the system's memory, for everyone: other
 * software, DMA, page walks.  Its contents are reached only through TLB entries
 * that are made here, and flushed at each entry and exit.
 */
#include "swsgx-int.h"

static enum isa_access access_of(MMUAccessType access_type)
{
    switch (access_type) {
    case MMU_DATA_STORE:
        return ISA_WRITE;
    case MMU_INST_FETCH:
        return ISA_FETCH;
    default:
        return ISA_READ;
    }
}

static bool fail(CPUX86State *env, struct isa_outcome fault, bool probe,
                 uintptr_t ra, bool *filled)
{
    if (!probe) {
        if (fault.vector == EXCP0E_PAGE) {
            env->cr[2] = fault.address;
        }
        raise_exception_err_ra(env, fault.vector, fault.error_code, ra);
    }
    env->error_code = fault.error_code;
    *filled = false;
    return true;
}

bool swsgx_tlb_fill(CPUState *cs, vaddr addr, MMUAccessType access_type,
                    int mmu_idx, hwaddr paddr, int *prot, bool probe,
                    uintptr_t ra, bool *filled)
{
    CPUX86State *env = &X86_CPU(cs)->env;
    MemTxAttrs secure = { .secure = 1 };
    struct isa_verdict verdict;

    QEMU_BUILD_BUG_ON(SECINFO_R != PAGE_READ || SECINFO_W != PAGE_WRITE ||
                      SECINFO_X != PAGE_EXEC);
    /* Page walks see the abort page; enclaves and nested paging do not mix. */
    if (mmu_idx == MMU_PHYS_IDX || mmu_idx == MMU_NESTED_IDX) {
        return false;
    }
    verdict = isa_access(&swsgx_cpu_of(env)->lp, ISA_BY_INSTRUCTION,
                         access_of(access_type), addr, paddr);
    switch (verdict.kind) {
    case ISA_ACCESS_EPC:
        tlb_set_page_with_attrs(cs, addr & TARGET_PAGE_MASK,
                                SWSGX_EPC_ALIAS +
                                    verdict.frame * SGX_PAGE_SIZE,
                                secure, *prot & verdict.rwx, mmu_idx,
                                TARGET_PAGE_SIZE);
        *filled = true;
        return true;
    case ISA_ACCESS_FAULTS:
        return fail(env, verdict.fault, probe, ra, filled);
    default:
        /* Data outside ELRANGE.  Code there is out of bounds. */
        *prot &= ~PAGE_EXEC;
        return false;
    }
}
