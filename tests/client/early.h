/* SPDX-License-Identifier: BSD-3-Clause */
/* What the constructor of a library got. */
#ifndef TEST_CLIENT_EARLY_H
#define TEST_CLIENT_EARLY_H

#include <signal.h>
#include <stdbool.h>

#define EARLY_EXPORT __attribute__((visibility("default")))

/** early_fd() - the enclave device it opened, -1 when that failed. */
EARLY_EXPORT int early_fd(void);

/** early_calls() - how often its handler of SIGUSR1 and SIGSEGV ran. */
EARLY_EXPORT sig_atomic_t early_calls(void);

/** early_mask() - its signal mask, after it blocked SIGILL. */
EARLY_EXPORT const sigset_t *early_mask(void);

/** early_has_entry() - did it find SGX's function in the vDSO, by its sections? */
EARLY_EXPORT bool early_has_entry(void);

/** early_has_sgx() - did CPUID tell it of SGX? */
EARLY_EXPORT bool early_has_sgx(void);

#endif /* TEST_CLIENT_EARLY_H */
