/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What bench-native runs inside an enclave and outside: a flat piece of code that
 * runs wherever it is copied to.  It begins with a table of where each function is.
 */
#ifndef SWSGX_BENCH_NATIVE_WORK_H
#define SWSGX_BENCH_NATIVE_WORK_H

enum { WORK_SHA256, WORK_MATRIX, WORK_CHASE, NR_WORKS };

#define WORK_SIZE 0x2000u	/* of the piece of code */

/* Bytes of data each works on, in memory that begins with the code. */
#define SHA256_SIZE (1u << 20)
#define MATRIX_N 192u		/* rows and columns: twice read, once written */
/* More than a first-level cache and its TLB hold; farther away others take part. */
#define CHASE_SIZE (512u << 10)

#endif /* SWSGX_BENCH_NATIVE_WORK_H */
