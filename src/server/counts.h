/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the clients of a machine did to instructions, and what trapped: one page
 * that all of them add to.  It is told, and nothing depends on it.
 */
#ifndef SWSGX_COUNTS_H
#define SWSGX_COUNTS_H

#include <stdint.h>

enum count_place {
#define PLACE(name, where, instruction, fate) COUNT_##name,
#include "counts.def"
#undef PLACE
	COUNT_NR_PLACES
};

/* What traps: ENCLU by leaf, and then these. */
#define COUNT_NR_ENCLU 16u

enum count_trap {
	COUNT_TRAP_ENCLU,		/* + the leaf */
	COUNT_TRAP_NO_LEAF = COUNT_NR_ENCLU,	/* ENCLU with any other number */
	COUNT_TRAP_CPUID,		/* of the program */
	COUNT_TRAP_XSAVE,		/* an instruction that depends on XCR0, inside */
	COUNT_NR_TRAPS
};

struct counts_page {
	_Atomic uint64_t places[COUNT_NR_PLACES];
	_Atomic uint64_t traps[COUNT_NR_TRAPS];
};

#define COUNTS_SIZE 4096u

_Static_assert(sizeof(struct counts_page) <= COUNTS_SIZE, "one page");

#endif /* SWSGX_COUNTS_H */
