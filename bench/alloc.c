/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one page costs to take and give back: the pool against an allocator of
 * the shape Linux has, written for this comparison: one spinlock, a doubly
 * linked FIFO list, a counter.  Its counter is a plain one under the lock,
 * which is cheaper than the separate atomic of Linux.
 *
 * Each thread holds 1024 pages and again and again gives back a random one and
 * takes another.  The two allocators take turns in one process, each round
 * against each round, so that what disturbs one disturbs the other.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <swsgx/epc.h>

#include "timing.h"

#define NR_PAGES 32768u		/* 128 MiB of EPC */
#define NR_HELD 1024u		/* per thread; a power of two */
#define NR_PAIRS 400000u	/* per thread and round */
#define NR_ROUNDS 31u
#define MAX_THREADS 2u

struct allocator {
	const char *name;
	void *(*alloc)(void *ctx);
	void (*free)(void *ctx, void *page);
	void *ctx;
};

/* --- the pool ------------------------------------------------------------- */

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

static unsigned int port_node(void *ctx)
{
	return 0;
}

static void port_yield(void *ctx)
{
	sched_yield();
}

/* Each thread numbers itself. */
static _Thread_local unsigned int cache_nr;

static unsigned int port_cache_enter(void *ctx)
{
	return cache_nr;
}

static void port_barrier(void *ctx)
{
	syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

static void *pool_alloc(void *ctx)
{
	struct sgx_epc_page *page;

	return sgx_alloc_epc_page(ctx, NULL, 0, &page) ? NULL : page;
}

static void pool_free(void *ctx, void *page)
{
	sgx_free_epc_page(ctx, page);
}

static struct sgx_epc_pool *make_pool(void)
{
	static const struct isa_section section = { .pa = 1ull << 32, .nr_pages = NR_PAGES };
	const struct sgx_epc_config config = {
		.sections = &section,
		.nr_sections = 1,
		.port = {
			.alloc = port_alloc, .free = port_free, .log = port_log,
			.time_ns = port_time_ns, .node = port_node, .yield = port_yield,
			.cache_enter = port_cache_enter, .barrier = port_barrier,
		},
		.nr_caches = MAX_THREADS,
		.known_clean = true,	/* no ENCLS operation is ever called */
	};
	struct sgx_epc_pool *pool;

	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0)) {
		perror("membarrier");
		exit(1);
	}
	if (sgx_epc_pool_create(&config, &pool))
		abort();
	return pool;
}

/* --- the other one -------------------------------------------------------- */

struct list {
	struct list *next, *prev;
};

struct fifo_page {
	struct list list;	/* first, so that one is the other */
	void *owner;
	unsigned int section;
	uint16_t flags, poison;
};

struct fifo {
	_Alignas(64) atomic_uint lock;
	struct list free;
	uint64_t nr_free;
	struct fifo_page pages[NR_PAGES];
};

static void fifo_lock(struct fifo *f)
{
	while (atomic_exchange_explicit(&f->lock, 1, memory_order_acquire)) {
		while (atomic_load_explicit(&f->lock, memory_order_relaxed))
			__builtin_ia32_pause();
	}
}

static void fifo_unlock(struct fifo *f)
{
	atomic_store_explicit(&f->lock, 0, memory_order_release);
}

static void *fifo_alloc(void *ctx)
{
	struct fifo_page *page = NULL;
	struct fifo *f = ctx;

	fifo_lock(f);
	if (f->free.next != &f->free) {
		page = (struct fifo_page *)f->free.next;
		f->free.next = page->list.next;
		page->list.next->prev = &f->free;
		page->flags = 0;
		f->nr_free--;
	}
	fifo_unlock(f);
	return page;
}

static void fifo_free(void *ctx, void *p)
{
	struct fifo_page *page = p;
	struct fifo *f = ctx;

	fifo_lock(f);
	page->owner = NULL;
	page->flags = 1;
	page->list.next = &f->free;
	page->list.prev = f->free.prev;
	f->free.prev->next = &page->list;
	f->free.prev = &page->list;
	f->nr_free++;
	fifo_unlock(f);
}

static struct fifo *make_fifo(void)
{
	struct fifo *f = aligned_alloc(64, sizeof(*f));
	unsigned int i;

	if (!f)
		abort();
	memset(f, 0, sizeof(*f));
	f->free.next = f->free.prev = &f->free;
	for (i = 0; i < NR_PAGES; i++)
		fifo_free(f, &f->pages[i]);
	return f;
}

/* --- measuring ------------------------------------------------------------ */

struct worker {
	const struct allocator *a;
	pthread_barrier_t *start;
	pthread_t thread;
	unsigned int nr;
	void *held[NR_HELD];
	double ns;		/* per pair */
};

/* Slots to replace, the same for all. */
static uint16_t slots[1u << 16];

static void *work(void *arg)
{
	struct worker *w = arg;
	const struct allocator *a = w->a;
	double start;
	unsigned int i;

	cache_nr = w->nr;
	for (i = 0; i < NR_HELD; i++)
		w->held[i] = a->alloc(a->ctx);
	pthread_barrier_wait(w->start);
	start = now_ns();
	for (i = 0; i < NR_PAIRS; i++) {
		void **slot = &w->held[slots[i % (1u << 16)]];

		a->free(a->ctx, *slot);
		*slot = a->alloc(a->ctx);
		if (!*slot)
			abort();
	}
	w->ns = (now_ns() - start) / NR_PAIRS;
	for (i = 0; i < NR_HELD; i++)
		a->free(a->ctx, w->held[i]);
	return NULL;
}

/* Return: nanoseconds of a pair, of the thread that fared worst. */
static double measure(const struct allocator *a, unsigned int nr_threads)
{
	static struct worker workers[MAX_THREADS];
	pthread_barrier_t start;
	double worst = 0;
	unsigned int i;

	pthread_barrier_init(&start, NULL, nr_threads);
	for (i = 0; i < nr_threads; i++) {
		workers[i].a = a;
		workers[i].nr = i;
		workers[i].start = &start;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			abort();
	}
	for (i = 0; i < nr_threads; i++) {
		pthread_join(workers[i].thread, NULL);
		if (workers[i].ns > worst)
			worst = workers[i].ns;
	}
	pthread_barrier_destroy(&start);
	return worst;
}

struct result {
	unsigned int nr_threads;
	double pool_ns, fifo_ns, ratio;	/* medians; the ratio's of the rounds */
};

static struct result compare(const struct allocator *pool, const struct allocator *fifo,
			     unsigned int nr_threads)
{
	static double p[NR_ROUNDS], f[NR_ROUNDS], r[NR_ROUNDS];
	unsigned int i;

	measure(pool, nr_threads);	/* warm up */
	measure(fifo, nr_threads);
	for (i = 0; i < NR_ROUNDS; i++) {
		if (i % 2)
			f[i] = measure(fifo, nr_threads);
		p[i] = measure(pool, nr_threads);
		if (!(i % 2))
			f[i] = measure(fifo, nr_threads);
		r[i] = p[i] / f[i];
	}
	return (struct result){ nr_threads, median(p, NR_ROUNDS), median(f, NR_ROUNDS), median(r, NR_ROUNDS) };
}

static int write_json(const char *path, const struct result *r, size_t n)
{
	FILE *out = fopen(path, "w");
	size_t i;

	if (!out)
		return -1;
	fprintf(out, "{\"benchmark\": \"alloc\", \"unit\": \"ns per alloc+free\", \"results\": [");
	for (i = 0; i < n; i++)
		fprintf(out, "%s\n  {\"threads\": %u, \"pool\": %.2f, \"linux_shaped\": %.2f, "
			"\"ratio\": %.3f}", i ? "," : "", r[i].nr_threads, r[i].pool_ns,
			r[i].fifo_ns, r[i].ratio);
	fprintf(out, "\n]}\n");
	return fclose(out);
}

int main(int argc, char **argv)
{
	struct allocator pool = { "pool", pool_alloc, pool_free, make_pool() };
	struct allocator fifo = { "linux-shaped", fifo_alloc, fifo_free, make_fifo() };
	struct result results[MAX_THREADS];
	unsigned int i;

	if (argc != 1 && (argc != 3 || strcmp(argv[1], "--json"))) {
		fprintf(stderr, "usage: %s [--json FILE]\n", argv[0]);
		return 2;
	}
	srand(1);
	for (i = 0; i < sizeof(slots) / sizeof(slots[0]); i++)
		slots[i] = (uint16_t)((unsigned int)rand() % NR_HELD);

	printf("alloc+free of one page, %u held per thread, slowest thread, median of %u rounds\n",
	       NR_HELD, NR_ROUNDS);
	printf("threads  %10s  %14s  ratio\n", pool.name, fifo.name);
	for (i = 0; i < MAX_THREADS; i++) {
		results[i] = compare(&pool, &fifo, i + 1);
		printf("%7u  %7.1f ns  %11.1f ns  %5.2f\n", results[i].nr_threads,
		       results[i].pool_ns, results[i].fifo_ns, results[i].ratio);
	}
	sgx_epc_pool_destroy(pool.ctx);
	free(fifo.ctx);
	if (argc == 3 && write_json(argv[2], results, MAX_THREADS)) {
		fprintf(stderr, "%s: %s: %s\n", argv[0], argv[2], strerror(errno));
		return 1;
	}
	return 0;
}
