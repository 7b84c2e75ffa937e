/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one page costs to take and give back: the pool, with its caches by the
 * port's number or named by the caller, against an allocator of the shape Linux
 * has, written for this comparison: a spinlock for each node, a doubly linked
 * FIFO list, an atomic counter for all nodes, and a look at the watermark.  Beside
 * them DPDK's rte_mempool, where there is one; and what shows how far two threads of
 * this machine get: a pool for each, which shares nothing, and as many additions,
 * which touch nothing.  Where two processors are halves of one core, these get
 * nowhere either; only who waits for results, as long chains do, gets twice as far.
 * What comes out of a FIFO was last touched when all others had gone before it, so
 * its price depends on the size of the EPC: once as the first processors had, once as
 * servers have, both in the order, or disorder, that use leads to.
 *
 * Each thread holds 1024 pages and again and again gives back a random one and
 * takes another.  The allocators take turns in one process, round by round.  A round
 * counts when no thread was interrupted in it and all of them ran at the same time:
 * on a machine in use two threads often run one after the other, and then do not
 * wait for each other.  Each thread has a processor of its own, where there is one.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <swsgx/epc.h>

#include "alloc.h"

#define NR_ROUNDS 31u
#define MAX_NS 15e9	/* for all rounds of so many threads, with those that do not count */
#define MIN_OVERLAP 0.9	/* of a thread's time, in which the others run too */
#define MAX_THREADS 2u
#define MAX_ALLOCATORS 6u
#define NR_OURS 5u		/* those that are always there */

static const struct epc {
	const char *name;
	unsigned int nr_pages;
} epcs[] = { { "128 MiB", 1u << 15 }, { "4 GiB", 1u << 20 } };

#define NR_EPCS (sizeof(epcs) / sizeof(epcs[0]))

uint16_t slots[NR_SLOTS];

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

static void churn_pool(struct worker *w, void *ctx)
{
	cache_nr = w->nr;
	churn(w, ctx, pool_alloc, pool_free);
}

static void *cache_alloc(void *ctx)
{
	struct sgx_epc_page *page;

	return sgx_alloc_epc_page_cached(ctx, NULL, 0, &page) ? NULL : page;
}

static void cache_free(void *ctx, void *page)
{
	sgx_free_epc_page_cached(ctx, page);
}

static void churn_cache(struct worker *w, void *ctx)
{
	churn(w, sgx_epc_cache(ctx, w->nr), cache_alloc, cache_free);
}

/* @ctx: a pool for each thread. */
static void churn_own(struct worker *w, void *ctx)
{
	struct sgx_epc_pool *const *pools = ctx;

	churn(w, sgx_epc_cache(pools[w->nr], w->nr), cache_alloc, cache_free);
}

/* --- no allocator ---------------------------------------------------------- */

/* About as many instructions as an allocation takes, four at a time. */
static void add(void)
{
	unsigned long a = 0, b = 0, c = 0, d = 0;
	int i;

	for (i = 0; i < 6; i++)
		__asm__ volatile("add $1, %0; add $1, %1; add $1, %2; add $1, %3"
				 : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
}

static void *add_alloc(void *ctx)
{
	add();
	return ctx;
}

static void add_free(void *ctx, void *page)
{
	add();
}

static void churn_additions(struct worker *w, void *ctx)
{
	churn(w, ctx, add_alloc, add_free);
}

/* --- making them ------------------------------------------------------------ */

static struct sgx_epc_pool *make_pool(unsigned int nr_pages)
{
	const struct isa_section section = { .pa = 1ull << 32, .nr_pages = nr_pages };
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

enum { FIFO_IS_FREE = 1 << 1 };

struct fifo_node {
	_Alignas(64) atomic_uint lock;
	struct list free, poisoned;
};

struct fifo {
	struct fifo_node node;
	struct fifo_node *section_node[8];	/* as many sections as Linux has */
	struct list reclaimable;
	atomic_uint nr_wakes;
	_Alignas(64) atomic_long nr_free;
	struct fifo_page pages[];
};

static void fifo_lock(struct fifo_node *node)
{
	while (atomic_exchange_explicit(&node->lock, 1, memory_order_acquire)) {
		while (atomic_load_explicit(&node->lock, memory_order_relaxed))
			__builtin_ia32_pause();
	}
}

static void fifo_unlock(struct fifo_node *node)
{
	atomic_store_explicit(&node->lock, 0, memory_order_release);
}

static void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static bool list_is_empty(const struct list *l)
{
	return *(struct list *const volatile *)&l->next == l;
}

static void list_add_tail(struct list *l, struct list *head)
{
	l->next = head;
	l->prev = head->prev;
	head->prev->next = l;
	head->prev = l;
}

static void list_del_init(struct list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

/* Out of line, as the pool's are; the watermark is looked at on the way out. */
static __attribute__((noinline)) int fifo_alloc(struct fifo *f, void *owner,
						struct fifo_page **out)
{
	struct fifo_node *node = &f->node;
	struct fifo_page *page = NULL;

	fifo_lock(node);
	if (!list_is_empty(&node->free)) {
		page = (struct fifo_page *)node->free.next;
		list_del_init(&page->list);
		page->flags = 0;
	}
	fifo_unlock(node);
	if (!page)
		return -ENOMEM;
	atomic_fetch_sub_explicit(&f->nr_free, 1, memory_order_relaxed);
	page->owner = owner;
	if (atomic_load_explicit(&f->nr_free, memory_order_relaxed) < 32 &&
	    !list_is_empty(&f->reclaimable))
		f->nr_wakes++;
	*out = page;
	return 0;
}

static __attribute__((noinline)) void fifo_free(struct fifo *f, struct fifo_page *page)
{
	struct fifo_node *node = f->section_node[page->section];

	fifo_lock(node);
	page->owner = NULL;
	list_add_tail(&page->list, page->poison ? &node->poisoned : &node->free);
	page->flags = FIFO_IS_FREE;
	fifo_unlock(node);
	atomic_fetch_add_explicit(&f->nr_free, 1, memory_order_relaxed);
}

static void *fifo_take(void *ctx)
{
	struct fifo_page *page;

	return fifo_alloc(ctx, NULL, &page) ? NULL : page;
}

static void fifo_give(void *ctx, void *page)
{
	fifo_free(ctx, page);
}

static void churn_fifo(struct worker *w, void *ctx)
{
	churn(w, ctx, fifo_take, fifo_give);
}

/* A list that went through itself often: its neighbours are none in memory. */
static void shuffle(uint32_t *order, unsigned int nr)
{
	uint64_t random = 1;
	unsigned int i;

	for (i = 0; i < nr; i++)
		order[i] = i;
	for (i = nr - 1; i > 0; i--) {
		uint32_t kept = order[i], j;

		random = random * 6364136223846793005u + 1442695040888963407u;
		j = (uint32_t)((random >> 33) % (i + 1));
		order[i] = order[j];
		order[j] = kept;
	}
}

static struct fifo *make_fifo(unsigned int nr_pages)
{
	const size_t size = sizeof(struct fifo) + nr_pages * sizeof(struct fifo_page);
	struct fifo *f = aligned_alloc(64, (size + 63) & ~(size_t)63);
	uint32_t *order = calloc(nr_pages, sizeof(*order));
	unsigned int i;

	if (!f || !order)
		abort();
	memset(f, 0, size);
	list_init(&f->node.free);
	list_init(&f->node.poisoned);
	list_init(&f->reclaimable);
	f->section_node[0] = &f->node;
	shuffle(order, nr_pages);
	for (i = 0; i < nr_pages; i++)
		fifo_free(f, &f->pages[order[i]]);
	free(order);
	return f;
}

/* --- measuring ------------------------------------------------------------ */

/* The processor with the number @nr of those we may use, if there are so many. */
static void pin(unsigned int nr)
{
	cpu_set_t allowed, one;
	int cpu;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || nr--)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		return;
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	pin(w->nr);
	w->a->churn(w, w->a->ctx);
	return NULL;
}

/* Did all of them run undisturbed, and at the same time? */
static bool counts(const struct worker *workers, unsigned int nr)
{
	double start = workers[0].start, end = workers[0].end, longest = 0;
	bool disturbed = false;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		const struct worker *w = &workers[i];

		start = w->start > start ? w->start : start;
		end = w->end < end ? w->end : end;
		longest = w->end - w->start > longest ? w->end - w->start : longest;
		disturbed |= w->disturbed;
	}
	return !disturbed && end - start >= MIN_OVERLAP * longest;
}

/* Return: nanoseconds of a pair, of the thread that fared worst; < 0: does not count. */
static double measure(const struct allocator *a, unsigned int nr_threads)
{
	static struct worker workers[MAX_THREADS];
	atomic_uint late = nr_threads;
	double worst = 0;
	unsigned int i;

	for (i = 0; i < nr_threads; i++) {
		workers[i].a = a;
		workers[i].nr = i;
		workers[i].late = &late;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			abort();
	}
	for (i = 0; i < nr_threads; i++) {
		const struct worker *w = &workers[i];
		double ns;

		pthread_join(w->thread, NULL);
		ns = (w->end - w->start) / NR_PAIRS;
		worst = ns > worst ? ns : worst;
	}
	return counts(workers, nr_threads) ? worst : -1;
}

/* What one size of EPC gave. */
struct result {
	const struct epc *epc;
	size_t nr;			/* allocators */
	const char *names[MAX_ALLOCATORS];
	double times[MAX_THREADS][MAX_ALLOCATORS];	/* medians: [threads - 1][allocator] */
};

static void compare(const struct allocator *all, unsigned int nr_threads, struct result *r)
{
	static double ns[MAX_ALLOCATORS][NR_ROUNDS];
	size_t counted[MAX_ALLOCATORS] = { 0 };
	const double until = now_ns() + MAX_NS;
	bool warm = false, more = true;
	double one;
	size_t i;

	while (more && now_ns() < until) {
		more = false;
		for (i = 0; i < r->nr; i++) {
			if (counted[i] == NR_ROUNDS)
				continue;
			more = true;
			one = measure(&all[i], nr_threads);
			if (warm && one > 0)
				ns[i][counted[i]++] = one;
		}
		warm = true;
	}
	for (i = 0; i < r->nr; i++) {
		if (counted[i] < NR_ROUNDS)
			fprintf(stderr, "%s, %s, %u threads: %zu rounds of %u counted\n",
				r->epc->name, all[i].name, nr_threads, counted[i], NR_ROUNDS);
		r->names[i] = all[i].name;
		r->times[nr_threads - 1][i] = counted[i] ? median(ns[i], counted[i]) : 0;
	}
}

static void run(const struct epc *epc, struct result *r)
{
	struct sgx_epc_pool *pool = make_pool(epc->nr_pages);
	struct sgx_epc_pool *own[MAX_THREADS];
	struct allocator all[MAX_ALLOCATORS] = {
		{ "linux-shaped", make_fifo(epc->nr_pages), churn_fifo },
		{ "pool", pool, churn_pool },
		{ "pool, cache named", pool, churn_cache },
		{ "one for each thread", own, churn_own },
		{ "additions", pool, churn_additions },
	};
	unsigned int n;

	for (n = 0; n < MAX_THREADS; n++)
		own[n] = make_pool(epc->nr_pages);
	*r = (struct result){ .epc = epc, .nr = NR_OURS };
#ifdef HAVE_MEMPOOL
	r->nr += mempool_make(&all[NR_OURS], epc->nr_pages);
#endif
	if (r->nr == NR_OURS)
		printf("rte_mempool: not here (libdpdk-dev)\n");
	for (n = 1; n <= MAX_THREADS; n++)
		compare(all, n, r);
#ifdef HAVE_MEMPOOL
	if (r->nr > NR_OURS)
		mempool_drop(&all[NR_OURS]);
#endif
	free(all[0].ctx);
	sgx_epc_pool_destroy(pool);
	for (n = 0; n < MAX_THREADS; n++)
		sgx_epc_pool_destroy(own[n]);
}

/* 0 where one of them has not been measured. */
static double ratio(double a, double b)
{
	return a > 0 && b > 0 ? a / b : 0;
}

static void print_table(const struct result *r)
{
	size_t i, n;

	printf("%-22s %10s %10s %16s %16s %14s\n", r->epc->name, "1 thread", "2 threads",
	       "1: of linux's", "2: of linux's", "2 to 1 thread");
	for (i = 0; i < r->nr; i++) {
		printf("%-22s", r->names[i]);
		for (n = 0; n < MAX_THREADS; n++)
			printf(" %7.1f ns", r->times[n][i]);
		for (n = 0; n < MAX_THREADS; n++)
			printf(" %15.1fx", ratio(r->times[n][0], r->times[n][i]));
		printf(" %13.2fx\n", ratio(2 * r->times[0][i], r->times[1][i]));
	}
}

static int write_json(const char *path, const struct result *results)
{
	FILE *out = fopen(path, "w");
	const char *separator = "";
	size_t i;

	if (!out)
		return -1;
	fprintf(out, "{\"benchmark\": \"alloc\", \"unit\": \"ns per alloc+free\", \"results\": [");
	for (const struct result *r = results; r < results + NR_EPCS; r++) {
		for (i = 0; i < r->nr; i++) {
			fprintf(out, "%s\n  {\"epc\": \"%s\", \"allocator\": \"%s\", "
				"\"one_thread\": %.2f, \"two_threads\": %.2f, "
				"\"speedup_one\": %.2f, \"speedup_two\": %.2f, \"scaling\": %.2f}",
				separator, r->epc->name, r->names[i], r->times[0][i], r->times[1][i],
				ratio(r->times[0][0], r->times[0][i]),
				ratio(r->times[1][0], r->times[1][i]),
				ratio(2 * r->times[0][i], r->times[1][i]));
			separator = ",";
		}
	}
	fprintf(out, "\n]}\n");
	return fclose(out);
}

int main(int argc, char **argv)
{
	static struct result results[NR_EPCS];
	size_t i;

	if (argc != 1 && (argc != 3 || strcmp(argv[1], "--json"))) {
		fprintf(stderr, "usage: %s [--json FILE]\n", argv[0]);
		return 2;
	}
	srand(1);
	for (i = 0; i < NR_SLOTS; i++)
		slots[i] = (uint16_t)((unsigned int)rand() % NR_HELD);

	printf("alloc+free of one page, %u held per thread, slowest thread, median of %u rounds\n",
	       NR_HELD, NR_ROUNDS);
	for (i = 0; i < NR_EPCS; i++) {
		run(&epcs[i], &results[i]);
		print_table(&results[i]);
	}
	if (argc == 3 && write_json(argv[2], results)) {
		fprintf(stderr, "%s: %s: %s\n", argv[0], argv[2], strerror(errno));
		return 1;
	}
	return 0;
}
