/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whom a thread works for.  While EPC is short it may have to take pages from others,
 * or to wait for some; for a program that was killed meanwhile there is no need.
 */
#include <poll.h>

#include "internal.h"

static _Thread_local const struct device *device;	/* NULL: for no program */
static _Thread_local int answer_to;

void errand_begin(const struct device *dev, int reply)
{
	device = dev;
	answer_to = reply;
}

void errand_end(void)
{
	device = NULL;
}

static bool has_hung_up(int sock)
{
	struct pollfd p = { .fd = sock };

	return poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}

bool errand_is_in_vain(void)
{
	return device && (atomic_load(&device->hung_up) ||
			  (answer_to >= 0 && has_hung_up(answer_to)));
}
