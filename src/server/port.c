/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the manager stands on in a server: memory, threads, the clock, a log; and the
 * pool of the server's EPC, which is made of that.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"

static void *port_alloc(void *ctx, size_t size)
{
	return calloc(1, size);
}

static void port_free(void *ctx, void *p)
{
	free(p);
}

void server_log(enum epc_log_level level, const char *message)
{
	static const char *const names[] = { "info", "warning", "error" };

	fprintf(stderr, "swsgx: %s: %s\n", names[level], message);
}

static void port_log(void *ctx, enum epc_log_level level, const char *message)
{
	server_log(level, message);
}

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t server_time_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t server_monotonic_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static uint64_t port_time_ns(void *ctx)
{
	return server_time_ns();
}

static unsigned int port_node(void *ctx)
{
	return 0;	/* the one section is on node 0 */
}

static void port_yield(void *ctx)
{
	sched_yield();
}

static unsigned int port_cache_enter(void *ctx)
{
	return thread_number();
}

static void port_barrier(void *ctx)
{
	thread_barrier();
}

static bool port_interrupted(void *ctx)
{
	return errand_is_in_vain();
}

static void port_wake_reclaimer(void *ctx)
{
	struct server *s = ctx;

	if (s->pager && !mailboxes_make_room())
		pager_wake(s->pager);
}

static void *port_backing_alloc(void *ctx, void *encl)
{
	struct server *s = ctx;

	return backing_alloc(&s->backing);
}

static void port_backing_free(void *ctx, void *p)
{
	struct server *s = ctx;

	backing_free(&s->backing, p);
}

int server_create_pool(struct server *s)
{
	const struct sgx_epc_config config = {
		.sections = &s->processor.section,
		.nr_sections = 1,
		.port = {
			.ctx = s,
			.alloc = port_alloc,
			.free = port_free,
			.log = port_log,
			.time_ns = port_time_ns,
			.node = port_node,
			.yield = port_yield,
			.cache_enter = port_cache_enter,
			.barrier = thread_barrier_init() ? port_barrier : NULL,
			.interrupted = port_interrupted,
			.wake_reclaimer = port_wake_reclaimer,
			.backing_alloc = port_backing_alloc,
			.backing_free = port_backing_free,
		},
		.nr_caches = THREAD_NUMBERS,
		.ops = processor_ops(&s->processor),
		.mm = processor_mm(&s->processor),
		.on_leak = s->on_leak,
		.overcommit = !s->no_overcommit,
		/* Like a kernel, take nothing about the EPC on trust. */
		.known_clean = false,
	};
	atomic_bool stop = false;
	int ret;

	thread_numbers_init();
	ret = sgx_epc_pool_create(&config, &s->pool);
	if (ret)
		return ret;
	sgx_epc_sanitize(s->pool, &stop);
	return 0;
}
