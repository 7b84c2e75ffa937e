/* SPDX-License-Identifier: BSD-3-Clause */
/* Apart from the benches, because our headers and those of programs define the same names. */
#ifndef SWSGX_BENCH_RELOADED_H
#define SWSGX_BENCH_RELOADED_H

#include <stdint.h>

/** nr_reloaded() - pages the server of this program brought back so far.  Ends it on failure. */
uint64_t nr_reloaded(void);

#endif /* SWSGX_BENCH_RELOADED_H */
