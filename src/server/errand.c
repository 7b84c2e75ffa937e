/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whom a thread works for.  While EPC is short it may have to take pages from others,
 * or to wait for some; for a program that was killed meanwhile there is no need, and an
 * ioctl whose caller has a signal to handle is made again, or cut short, as in Linux.
 */
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "internal.h"

static _Thread_local const struct device *device;	/* NULL: for no program */
static _Thread_local int answer_to;
static _Thread_local bool can_be_interrupted;
static _Thread_local bool was_asked;

void errand_begin(const struct device *dev, int reply, bool is_ioctl)
{
	device = dev;
	answer_to = reply;
	can_be_interrupted = is_ioctl;
	was_asked = false;
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

/*
 * Does its caller handle a signal?  What is to be read is the answer to what was asked
 * last, if anything, and then a notice of that.
 */
static bool is_interrupted(int sock)
{
	struct proto_data first;
	const ssize_t n = recv(sock, &first, sizeof(first), MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC);
	int all = 0;

	if (n < (ssize_t)sizeof(first))
		return false;
	return first.interrupted || (!ioctl(sock, SIOCINQ, &all) && all > n);
}

/*
 * The first time a signal does not count: something must come of each call, even where
 * signals come faster than the two of us are scheduled.
 */
static bool ends_early(void)
{
	const bool may_end = can_be_interrupted && was_asked;

	was_asked = true;
	return may_end && is_interrupted(answer_to);
}

bool errand_is_in_vain(void)
{
	return device && (atomic_load(&device->hung_up) ||
			  (answer_to >= 0 && has_hung_up(answer_to)) || ends_early());
}
