/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_REFERENCE_DRIVE_H
#define TESTS_REFERENCE_DRIVE_H

#include "world.h"

/** drive() - one random leaf or event on one of the processors of @w, compared. */
void drive(struct world *w);

#endif /* TESTS_REFERENCE_DRIVE_H */
