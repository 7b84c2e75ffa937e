/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_EPC_COUNTERS_H
#define TESTS_EPC_COUNTERS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <swsgx/epc.h>

/**
 * assert_counters_add_up() - of each node, and of all, against the pages
 * themselves and the ledger.  At a quiet point.
 */
void assert_counters_add_up(struct sgx_epc_pool *pool);

/** steps_beside_others() - whether other threads use the pool now: then no step of ours is looked at. */
void steps_beside_others(bool yes);

#endif /* TESTS_EPC_COUNTERS_H */
