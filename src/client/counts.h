/* SPDX-License-Identifier: BSD-3-Clause */
/* Counting for the report; see counts.c.  All but counts_attach() in handlers, too. */
#ifndef SWSGX_CLIENT_COUNTS_H
#define SWSGX_CLIENT_COUNTS_H

#include "../server/counts.h"

#include "client.h"

/** counts_place() - this became of one more instruction. */
CLIENT_SIGSAFE void counts_place(enum count_place place);

/** counts_trap() - one more of enum count_trap. */
CLIENT_SIGSAFE void counts_trap(unsigned int trap);

/** counts_enclu() - ENCLU with @leaf in EAX trapped. */
CLIENT_SIGSAFE void counts_enclu(uint32_t leaf);

/** counts_attach() - let the server know the counters.  Without it they are for nobody. */
void counts_attach(void);

#endif /* SWSGX_CLIENT_COUNTS_H */
