/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of this folder share.
 *
 * The processor library decides everything about SGX.  What is here connects it
 * to QEMU: it lends the library the guest's memory, carries registers to and
 * fro, and raises the faults the library answers.  The library must never be on
 * the stack when a fault is raised, because raising one unwinds the stack.
 */
#ifndef I386_SWSGX_INT_H
#define I386_SWSGX_INT_H

#include "swsgx-compat.h"

#include <swsgx/inject.h>
#include <swsgx/isa.h>

/*
 * Where a processor's private address space holds the EPC: beyond all physical
 * addresses a page table can name.  Only TLB entries of enclave mode lead there.
 */
#define SWSGX_EPC_ALIAS (1ull << 56)

#define SWSGX_XSAVE_SIZE 4096

/* Components of XSAVE that TCG knows are all below this one. */
#define SWSGX_NR_XSTATE 64

/* Enough for every leaf there is: the tables of the library have fewer. */
#define SWSGX_NR_CLASSES 3
#define SWSGX_NR_LEAVES 32

/* A processor. */
typedef struct SwsgxCPU {
    X86CPU *cpu;
    MemoryRegion *epc_alias;
    /* The library's view of it; the MSRs live here. */
    struct isa_lp lp;
    struct isa_thread thread;

    /* The enclave it is in; lp.secs_frame names it too. */
    uint64_t elrange_base, elrange_size;
    /* What the outside gets back at an exit. */
    SegmentCache fs, gs;
    uint64_t xcr0;
    uint32_t dr7;

    uint8_t xsave[SWSGX_XSAVE_SIZE] QEMU_ALIGNED(64);
} SwsgxCPU;

/* The machine: NULL library machine until all devices are there. */
typedef struct SwsgxMachine {
    struct isa_machine *isa;
    struct isa_config config;
    struct inject_plan inject;
    uint64_t feature_control;   /* as firmware leaves IA32_FEATURE_CONTROL */
    MemoryRegion epc;           /* all sections, frame after frame */
    uint8_t **section_host;     /* [i]: contents of section i */
    uint64_t *section_first;    /* [i]: its first frame */
    SwsgxCPU **cpus;            /* [cpu_index] */
    /* How often each leaf was executed, whatever came of it; atomic. */
    uint64_t leaf_calls[SWSGX_NR_CLASSES][SWSGX_NR_LEAVES];
    struct isa_xsave_component xsave_component[SWSGX_NR_XSTATE];
    /*
     * Leaves hold it for reading: among themselves they know how to conflict.
     * EENTER and ERESUME look at several EPCM entries and hold it for writing.
     * Only ever tried: a processor that does not get it runs its instruction
     * again, so a page walk that needs all others to stop cannot deadlock.
     */
    GRWLock lock;
} SwsgxMachine;

extern SwsgxMachine swsgx;

static inline SwsgxCPU *swsgx_cpu_of(CPUX86State *env)
{
    return swsgx.cpus[env_cpu(env)->cpu_index];
}

/* --- swsgx-cpu.c --- */

/* The machine is complete: give @cpu its SGX. */
void swsgx_cpu_attach(X86CPU *cpu);

/* The machine lost its EPC. */
void swsgx_cpus_lose_epc(void);

/* --- swsgx-memory.c --- */

/* The user's or the kernel's accesses, by what the processor does now. */
int swsgx_mmu_idx(CPUX86State *env);

extern const struct isa_mmu swsgx_mmu;  /* its context is a SwsgxCPU */

/* The frame @la leads to for a store, or ISA_NO_FRAME; false with @fault set. */
bool swsgx_find_frame(SwsgxCPU *s, uint64_t la, uint64_t *frame,
                      struct isa_outcome *fault);

void *swsgx_frame_host(uint64_t frame);

/* Leaves wrote to EPC pages: forget what was translated from them. */
void swsgx_touch_begin(void);
void swsgx_touch_frame(uint64_t frame);
void swsgx_touch_host(const void *p);
void swsgx_touch_end(CPUX86State *env);

/* --- swsgx-entry.c --- */

/* EENTER and ERESUME, EEXIT: as isa_eenter() and so on, for all of @s. */
struct isa_outcome swsgx_enter(SwsgxCPU *s, uint32_t leaf, unsigned int len);
struct isa_outcome swsgx_exit(SwsgxCPU *s);

/* --- swsgx-xstate.c --- */

/* The extended state in the standard format, in s->xsave. */
void swsgx_xstate_save(SwsgxCPU *s);

/* XRSTOR with mask @xfrm from @image; INIT state after @vector when NULL. */
void swsgx_xstate_load(SwsgxCPU *s, const uint8_t *image, uint64_t xfrm,
                       int vector);

void swsgx_xstate_find_components(CPUX86State *env);

#endif
