/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests saw leaves do.  With ISA_RECORD in the environment each way a
 * leaf ended is written to that file once, as "CLASS LEAF RESULT" in numbers;
 * test-coverage.c compares that with what leaves.def declares.
 */
#ifndef TESTS_ISA_RECORD_H
#define TESTS_ISA_RECORD_H

#include <swsgx/isa.h>

/** isa_record() - @leaf ended in @out.  Context: any thread. */
void isa_record(enum isa_class class, uint32_t leaf, struct isa_outcome out);

/** isa_record_observe() - for isa_config.observe. */
void isa_record_observe(void *ctx, const struct isa_lp *lp, enum isa_class class, uint32_t leaf,
			struct isa_outcome out);

#endif /* TESTS_ISA_RECORD_H */
