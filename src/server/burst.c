/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls that come one right after the other: loaders add page by page, and each call
 * is shorter than it takes to wake a thread.  So after a call that followed another
 * closely the event loop goes on looking for a moment before it sleeps.
 */
#include <sched.h>
#include <sys/epoll.h>

#include "internal.h"

/* How long it looks, and how soon a call has to follow for that. */
#define LOOK_NS 50000u
/* At most so many bursts are slept through after looking was in vain. */
#define MAX_SKIP 63u

void burst_init(struct burst *b)
{
	cpu_set_t cpus;

	*b = (struct burst){ 0 };
	/* On one processor looking would only keep the caller from it. */
	b->is_possible = sched_getaffinity(0, sizeof(cpus), &cpus) || CPU_COUNT(&cpus) > 1;
}

bool burst_may_add(struct burst *b, const struct device *dev)
{
	const uint64_t now = server_monotonic_ns();

	if (b->adder != dev && now - b->added_ns < LOOK_NS)
		return false;
	b->adder = dev;
	b->added_ns = now;
	return true;
}

void burst_served(struct burst *b)
{
	const uint64_t now = server_monotonic_ns();

	b->looks = b->is_possible && now - b->served_ns < LOOK_NS;
	b->served_ns = now;
	if (b->looks && b->skip) {
		b->skip--;
		b->looks = false;
	}
}

int burst_wait(struct burst *b, int epoll, struct epoll_event *event)
{
	while (b->looks) {
		const int n = epoll_wait(epoll, event, 1, 0);

		if (n) {
			b->was_in_vain = 0;
			return n;
		}
		if (server_monotonic_ns() - b->served_ns < LOOK_NS)
			continue;
		b->looks = false;
		b->was_in_vain = 2 * b->was_in_vain + 1 < MAX_SKIP ? 2 * b->was_in_vain + 1
								   : MAX_SKIP;
		b->skip = b->was_in_vain;
	}
	return epoll_wait(epoll, event, 1, -1);
}
