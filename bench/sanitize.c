/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What sanitizing costs per page, over EPC from 64 MiB to 16 GiB: the manager's
 * part, over a processor whose EREMOVE only says yes.  The EPC is simulated: nothing
 * but the manager's own 16 bytes of each page exists.
 *
 * One thread, and two that share two nodes.  Of each the time it ran, and the longer
 * one of two: the large sizes take longer than a machine in use leaves one thread
 * alone.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <swsgx/epc.h>

#include "timing.h"

#define NR_ROUNDS 9u
#define MAX_THREADS 2u

static const uint64_t sizes_mib[] = { 64, 256, 1024, 4096, 16384 };
#define NR_SIZES (sizeof(sizes_mib) / sizeof(sizes_mib[0]))

static void *port_alloc(void *ctx, size_t size)
{
	return calloc(1, size);
}

static void port_free(void *ctx, void *p)
{
	free(p);
}

static void port_log(void *ctx, enum epc_log_level level, const char *message)
{
	fprintf(stderr, "%s\n", message);
}

static uint64_t port_time_ns(void *ctx)
{
	return 0;
}

static _Thread_local unsigned int node;

static unsigned int port_node(void *ctx)
{
	return node;
}

static void port_yield(void *ctx)
{
	sched_yield();
}

static struct isa_outcome eremove(void *ctx, uint64_t page)
{
	return (struct isa_outcome){ .kind = ISA_DONE };
}

static struct sgx_epc_pool *make_pool(uint64_t nr_pages)
{
	const struct isa_section sections[] = {
		{ .pa = 1ull << 40, .nr_pages = nr_pages / 2, .node = 0 },
		{ .pa = 1ull << 44, .nr_pages = nr_pages / 2, .node = 1 },
	};
	const struct sgx_epc_config config = {
		.sections = sections,
		.nr_sections = 2,
		.port = {
			.alloc = port_alloc, .free = port_free, .log = port_log,
			.time_ns = port_time_ns, .node = port_node, .yield = port_yield,
		},
		.ops.eremove = eremove,
	};
	struct sgx_epc_pool *pool;

	if (sgx_epc_pool_create(&config, &pool)) {
		fprintf(stderr, "no memory for %llu pages\n", (unsigned long long)nr_pages);
		exit(1);
	}
	return pool;
}

struct worker {
	struct sgx_epc_pool *pool;
	pthread_barrier_t *start;
	pthread_t thread;
	unsigned int node;
	double ns;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	node = w->node;
	pthread_barrier_wait(w->start);
	w->ns = thread_ns();
	if (sgx_epc_sanitize(w->pool, NULL))
		abort();
	w->ns = thread_ns() - w->ns;
	return NULL;
}

/* Return: nanoseconds of the slower thread, per page of the EPC. */
static double measure(uint64_t nr_pages, unsigned int nr_threads)
{
	struct sgx_epc_pool *pool = make_pool(nr_pages);
	struct worker workers[MAX_THREADS];
	pthread_barrier_t barrier;
	double ns = 0;
	unsigned int i;

	pthread_barrier_init(&barrier, NULL, nr_threads);
	for (i = 0; i < nr_threads; i++)
		workers[i] = (struct worker){ .pool = pool, .start = &barrier, .node = i };
	for (i = 1; i < nr_threads; i++) {
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			abort();
	}
	work(&workers[0]);
	for (i = 1; i < nr_threads; i++)
		pthread_join(workers[i].thread, NULL);
	for (i = 0; i < nr_threads; i++)
		ns = workers[i].ns > ns ? workers[i].ns : ns;
	if (sgx_epc_stat_total(pool).free != nr_pages)
		abort();
	pthread_barrier_destroy(&barrier);
	sgx_epc_pool_destroy(pool);
	return ns / (double)nr_pages;
}

static double results[NR_SIZES][MAX_THREADS];

static void measure_all(void)
{
	static double ns[NR_SIZES][MAX_THREADS][NR_ROUNDS];
	unsigned int n, round;
	size_t i;

	/* Round by round, so that what disturbs disturbs all sizes. */
	for (round = 0; round < NR_ROUNDS; round++) {
		for (i = 0; i < NR_SIZES; i++) {
			for (n = 0; n < MAX_THREADS; n++)
				ns[i][n][round] = measure(sizes_mib[i] * 256, n + 1);
		}
	}
	for (i = 0; i < NR_SIZES; i++) {
		for (n = 0; n < MAX_THREADS; n++)
			results[i][n] = least(ns[i][n], NR_ROUNDS);
	}
}

static void print_table(void)
{
	size_t i;

	printf("sanitizing, time per page, best of %u rounds\n", NR_ROUNDS);
	printf("%10s %10s %13s %11s\n", "EPC", "1 thread", "of 64 MiB's", "2 threads");
	for (i = 0; i < NR_SIZES; i++)
		printf("%6llu MiB %7.1f ns %12.2fx %8.1f ns\n",
		       (unsigned long long)sizes_mib[i], results[i][0],
		       results[i][0] / results[0][0], results[i][1]);
}

static int write_json(const char *path)
{
	FILE *out = fopen(path, "w");
	size_t i;

	if (!out)
		return -1;
	fprintf(out, "{\"benchmark\": \"sanitize\", \"unit\": \"ns per page\", \"results\": [");
	for (i = 0; i < NR_SIZES; i++)
		fprintf(out, "%s\n  {\"mib\": %llu, \"one_thread\": %.2f, \"two_threads\": %.2f, "
			"\"ratio\": %.3f}", i ? "," : "", (unsigned long long)sizes_mib[i],
			results[i][0], results[i][1], results[i][0] / results[0][0]);
	fprintf(out, "\n]}\n");
	return fclose(out);
}

int main(int argc, char **argv)
{
	if (argc != 1 && (argc != 3 || strcmp(argv[1], "--json"))) {
		fprintf(stderr, "usage: %s [--json FILE]\n", argv[0]);
		return 2;
	}
	measure_all();
	print_table();
	if (argc == 3 && write_json(argv[2])) {
		fprintf(stderr, "%s: %s: %s\n", argv[0], argv[2], strerror(errno));
		return 1;
	}
	return 0;
}
