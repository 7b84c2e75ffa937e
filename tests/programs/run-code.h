/* SPDX-License-Identifier: BSD-3-Clause */
/* Running code with every register, flag and XMM register known before and after. */
#ifndef TEST_RUN_CODE_H
#define TEST_RUN_CODE_H

#include <stdint.h>

#include "enclave/op.h"

/* @vectors: an FXSAVE image, of which the last 96 bytes are undefined. */
struct state {
	uint64_t regs[NR_REGS];
	uint8_t vectors[512] __attribute__((aligned(16)));
};

#define STATE_VECTORS 416

/** run_code_start() - fill @state with values that differ. */
void run_code_start(struct state *state);

/**
 * run_code() - run @code with the registers of @state.
 * @state: RSP is output only.
 * @code: ends with a jump to run_code_end; then @state is what it was there.
 */
void run_code(struct state *state, const void *code);
extern const char run_code_end[];

#endif /* TEST_RUN_CODE_H */
