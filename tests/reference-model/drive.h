/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_REFERENCE_DRIVE_H
#define TESTS_REFERENCE_DRIVE_H

#include "draw.h"

/** drive() - one random leaf or event on one of the processors of @w, compared. */
void drive(struct world *w);

/* One leaf or event, with random operands, on @cpu; nothing when it were pointless. */

/* outside: drive-encls.c */
void drive_ecreate(struct world *w, int cpu);
void drive_eadd(struct world *w, int cpu);
void drive_eextend(struct world *w, int cpu);
void drive_einit(struct world *w, int cpu);
void drive_eremove(struct world *w, int cpu);
void drive_eremove_secs(struct world *w, int cpu);
void drive_edbgrd(struct world *w, int cpu);
void drive_edbgwr(struct world *w, int cpu);
void drive_eaug(struct world *w, int cpu);
void drive_emodpr(struct world *w, int cpu);
void drive_emodt(struct world *w, int cpu);
void drive_epa(struct world *w, int cpu);
void drive_eblock(struct world *w, int cpu);
void drive_etrack(struct world *w, int cpu);
void drive_ewb(struct world *w, int cpu);
void drive_eld(struct world *w, int cpu);
void drive_etrackc(struct world *w, int cpu);
void drive_erdinfo(struct world *w, int cpu);
void drive_eupdatesvn(struct world *w, int cpu);
void drive_enclv(struct world *w, int cpu);

/* entry, and inside: drive-enclu.c */
void drive_eenter(struct world *w, int cpu);
void drive_eresume(struct world *w, int cpu);
void drive_eaccept(struct world *w, int cpu);
void drive_emodpe(struct world *w, int cpu);
void drive_eacceptcopy(struct world *w, int cpu);
void drive_ereport(struct world *w, int cpu);
void drive_egetkey(struct world *w, int cpu);
void drive_eexit(struct world *w, int cpu);
void drive_aex(struct world *w, int cpu);
void drive_edeccssa(struct world *w, int cpu);
void drive_prepare_tcs(struct world *w, int cpu);

#endif /* TESTS_REFERENCE_DRIVE_H */
