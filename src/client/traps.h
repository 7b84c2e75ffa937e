/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Instructions of enclave code that ought to trap, and do not on these machines.
 *
 * Behind its 0x0f each has an opcode of its own, and another one that no
 * processor defines stands for it in the enclave's memory.  So the memory itself
 * says what was there, to every process that maps it, however often it was
 * written out and loaded again.
 */
#ifndef SWSGX_CLIENT_TRAPS_H
#define SWSGX_CLIENT_TRAPS_H

#include "client.h"

#define OPCODE_CPUID 0xa2u
#define OPCODE_GROUP7 0x01u	/* d0: XGETBV */
#define OPCODE_GROUP15 0xaeu	/* of memory, /4 XSAVE, /5 XRSTOR, /6 XSAVEOPT */
#define OPCODE_GROUP9 0xc7u	/* of memory, /4 XSAVEC */

#define TRAP_CPUID 0x3bu
#define TRAP_XGETBV 0x3cu
#define TRAP_GROUP15 0x3du
#define TRAP_GROUP9 0x3eu

/**
 * traps_show_cpuid() - the enclave is about to look why it faulted at @code, of
 * at most @size bytes.  If CPUID was there, it is again, until the enclave is
 * resumed on the TCS at @tcs.
 */
CLIENT_SIGSAFE void traps_show_cpuid(uint8_t *code, size_t size, uint64_t tcs);

/** traps_hide_cpuid() - the enclave was resumed on the TCS at @tcs. */
CLIENT_SIGSAFE void traps_hide_cpuid(uint64_t tcs);

/**
 * traps_emulate() - execute the instruction at @r->rip if it is one of those that
 * depend on XCR0.
 * @code: that instruction, of at most @size bytes.
 * @uc: the interrupted context, with the enclave's extended state.
 * @event: set when it faults.
 * Return: false when it is none of them.
 */
enum trap_result { TRAP_NOT_OURS, TRAP_DONE, TRAP_FAULT };
CLIENT_SIGSAFE enum trap_result traps_emulate(const struct client_thread *thread,
					      struct isa_regs *r, const uint8_t *code,
					      size_t size, const ucontext_t *uc,
					      struct isa_event *event);

#endif /* SWSGX_CLIENT_TRAPS_H */
