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
 * assert_counters_add_up() - of each node, of all, and against the ledger.
 * @max: count the pages themselves, too, in pools with no more than these.
 * At a quiet point.
 */
void assert_counters_add_up(struct sgx_epc_pool *pool, uint32_t max);

/** steps_beside_others() - whether other threads use the pool now: then no step of ours is looked at. */
void steps_beside_others(bool yes);

#endif /* TESTS_EPC_COUNTERS_H */
