/* SPDX-License-Identifier: BSD-3-Clause */
/* EENTER by an ENCLU of the program's own, without a trap; see entries.c. */
#ifndef SWSGX_CLIENT_ENTRIES_H
#define SWSGX_CLIENT_ENTRIES_H

#include "client.h"

/** entries_prepare() - what entries_consider() needs.  Not in a handler. */
void entries_prepare(void);

/**
 * entries_consider() - the ENCLU at @site, outside, has trapped for an EENTER: the
 * next one need not, if that is safe.  In a handler, without the lock.
 */
CLIENT_SIGSAFE void entries_consider(uint64_t site);

/** entries_is_changing() - did @rip trap because code is just being replaced there? */
CLIENT_SIGSAFE bool entries_is_changing(uint64_t rip);

/**
 * entries_rewind() - is @r, outside, on the way to such an ENCLU?
 * Then it is made what it was at the ENCLU, or at the instruction before.
 * @retry: it had begun, so a fault is not the program's.
 */
CLIENT_SIGSAFE bool entries_rewind(struct isa_regs *r, bool *retry);

#endif /* SWSGX_CLIENT_ENTRIES_H */
