/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The end of a process whose processor contradicts itself: better none than a
 * wrong one.
 */
#include <stdlib.h>

#include "internal.h"

noreturn void isa_bug(void)
{
	abort();
}
