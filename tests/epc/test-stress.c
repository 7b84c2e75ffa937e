/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads that take and give back pages at the same time, over two nodes: no
 * page has two holders, no counter loses an update.  Meant for the thread
 * sanitizer too.
 */
#include "fake.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NR_THREADS 2
#define NR_HELD 48
#define NR_ROUNDS 100000

static const struct isa_section sections[] = {
	{ .pa = 0x10000000, .nr_pages = 40, .node = 0 },
	{ .pa = 0x20000000, .nr_pages = 40, .node = 1 },
};

static pthread_barrier_t barrier;

/*
 * Start thread @nr together with the others, each on a CPU of its own where
 * there are as many: short runs would otherwise follow one another.
 */
static void line_up(unsigned int nr)
{
	cpu_set_t allowed, mine;
	unsigned int cpu, seen = 0;

	pthread_getaffinity_np(pthread_self(), sizeof(allowed), &allowed);
	CPU_ZERO(&mine);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &allowed) &&
		    seen++ == nr % (unsigned int)CPU_COUNT(&allowed))
			CPU_SET(cpu, &mine);
	}
	pthread_setaffinity_np(pthread_self(), sizeof(mine), &mine);
	fake_cache = nr;
	pthread_barrier_wait(&barrier);
}

struct worker {
	struct fake *f;
	pthread_t thread;
	unsigned int nr;
	unsigned int seed;
	struct sgx_epc_owner owner;
	struct sgx_epc_page *held[NR_HELD];
	unsigned int nr_held, nr_full, nr_leaked;
};

/* Per page: held by how many.  Of both nodes, by address. */
static atomic_uint holders[80];

static atomic_uint *holder_of(const struct worker *w, const struct sgx_epc_page *page)
{
	return &holders[fake_page_at(w->f, sgx_epc_page_pa(w->f->pool, page)) - w->f->pages];
}

static bool worker_take(struct worker *w)
{
	struct sgx_epc_page *page;

	if (sgx_alloc_epc_page(w->f->pool, &w->owner, 0, &page))
		return false;
	if (atomic_fetch_add(holder_of(w, page), 1) != 0)
		abort();
	w->held[w->nr_held++] = page;
	return true;
}

static void worker_give(struct worker *w, unsigned int i)
{
	struct sgx_epc_page *page = w->held[i];

	w->held[i] = w->held[--w->nr_held];
	atomic_fetch_sub(holder_of(w, page), 1);
	/* Half of them the way enclaves do. */
	if (i % 2)
		sgx_free_epc_page(w->f->pool, page);
	else if (!sgx_encl_free_epc_page(w->f->pool, page, "stress"))
		abort();
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned int i;

	line_up(w->nr);
	for (i = 0; i < NR_ROUNDS; i++) {
		const unsigned int r = (unsigned int)rand_r(&w->seed);

		if (w->nr_held && (w->nr_held == NR_HELD || r % 2))
			worker_give(w, r / 2 % w->nr_held);
		else if (!worker_take(w))
			w->nr_full++;
	}
	while (w->nr_held)
		worker_give(w, 0);
	return NULL;
}

/* Port and time are called by both threads here. */
static atomic_uint any_node;
static _Atomic uint64_t any_time;

static unsigned int alternating_node(void *ctx)
{
	return atomic_fetch_add_explicit(&any_node, 1, memory_order_relaxed) % 3;
}

static uint64_t shared_time_ns(void *ctx)
{
	return atomic_fetch_add(&any_time, 1);
}

static void yield_cpu(void *ctx)
{
	sched_yield();
}

static void membarrier(void *ctx)
{
	syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

/* How free pages are cached: the ways the owner of a cache can be kept out of it. */
enum caches { NO_CACHES, LOCKED_CACHES, REVOKED_CACHES, NR_CACHES_KINDS };

static void with_caches(struct fake *f, enum caches caches)
{
	f->config.nr_caches = caches == NO_CACHES ? 0 : NR_THREADS;
	if (caches == REVOKED_CACHES) {
		assert_int_equal(syscall(SYS_membarrier,
					 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0), 0);
		f->config.port.barrier = membarrier;
	}
}

static void create(struct fake *f)
{
	f->config.port.node = alternating_node;
	f->config.port.time_ns = shared_time_ns;
	f->config.port.yield = yield_cpu;
	assert_int_equal(sgx_epc_pool_create(&f->config, &f->pool), 0);
}

static void run(struct fake *f, struct worker workers[NR_THREADS], void *(*fn)(void *))
{
	unsigned int i;

	for (i = 0; i < NR_THREADS; i++) {
		workers[i] = (struct worker){
			.f = f, .nr = i, .seed = i + 1,
			.owner.encl_id = i + 1,
		};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, fn, &workers[i]), 0);
	}
}

static void join(struct worker workers[NR_THREADS])
{
	unsigned int i;

	for (i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
}

/* More nodes, more pages than fit, and a counter that is read meanwhile: C1 15. */
static void f44_c1_15_no_page_has_two_holders(void **state)
{
	struct worker workers[NR_THREADS];
	unsigned int caches, i;
	struct fake f;

	for (caches = NO_CACHES; caches < NR_CACHES_KINDS; caches++) {
		fake_init(&f, sections, 2, true);
		with_caches(&f, caches);
		create(&f);
		run(&f, workers, work);
		for (i = 0; i < 1000; i++) {
			sgx_epc_stat_total(f.pool);
			sched_yield();
		}
		join(workers);
		assert_counts(&f, 80, 0, 0, 0);
		assert_pool_clean(&f);
		fake_finish(&f);
	}
}

/* Each page of a node, one after the other, while both threads use them. */
static void poisoned_pages_are_parked_whoever_has_them(void **state)
{
	struct worker workers[NR_THREADS];
	struct sgx_epc_page *page;
	unsigned int caches, i;
	struct fake f;

	for (caches = NO_CACHES; caches < NR_CACHES_KINDS; caches++) {
		fake_init(&f, sections, 2, true);
		with_caches(&f, caches);
		create(&f);
		run(&f, workers, work);
		for (i = 0; i < 40; i++) {
			assert_int_equal(sgx_epc_poison(f.pool, sections[0].pa + i * 4096), 0);
			sched_yield();
		}
		join(workers);
		assert_int_equal(sgx_epc_stat_total(f.pool).poisoned, 40);
		assert_counts(&f, 40, 0, 0, 0);
		for (i = 0; i < 40; i++) {
			assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), 0);
			assert_true(sgx_epc_page_pa(f.pool, page) >= sections[1].pa);
		}
		fake_finish(&f);
	}
}

static atomic_bool stop_cycling;

/* Again and again the same page, the first one, until that is broken. */
static void *cycle(void *arg)
{
	struct sgx_epc_page *page;
	struct worker *w = arg;

	line_up(w->nr);
	while (!atomic_load(&stop_cycling) && !sgx_alloc_epc_page(w->f->pool, NULL, 0, &page)) {
		if (w->nr_full++ % 2)
			sgx_epc_page_mark_initialized(w->f->pool, page);
		if (!sgx_encl_free_epc_page(w->f->pool, page, "stress"))
			abort();
	}
	return NULL;
}

static struct isa_outcome eremove_succeeds(void *ctx, uint64_t page)
{
	return (struct isa_outcome){ .kind = ISA_DONE };
}

/* The report races with whatever the holder does to that very page. */
static void no_report_of_poison_is_lost(void **state)
{
	static const struct isa_section one = { .pa = 1 << 20, .nr_pages = 512 };
	unsigned int caches, i, n;
	struct worker w;
	struct fake f;

	for (n = 0; n < 10 * NR_CACHES_KINDS; n++) {
		caches = n % NR_CACHES_KINDS;
		fake_init(&f, &one, 1, true);
		with_caches(&f, caches);
		f.config.ops.eremove = eremove_succeeds;
		create(&f);
		atomic_store(&stop_cycling, false);
		w = (struct worker){ .f = &f };
		assert_int_equal(pthread_create(&w.thread, NULL, cycle, &w), 0);
		line_up(1);
		for (i = 0; i < one.nr_pages; i++)
			assert_int_equal(sgx_epc_poison(f.pool, one.pa + i * 4096), 0);
		atomic_store(&stop_cycling, true);
		pthread_join(w.thread, NULL);
		assert_int_equal(sgx_epc_stat_total(f.pool).poisoned, one.nr_pages);
		assert_counts(&f, 0, 0, 0, 0);
		fake_finish(&f);
	}
}

/* Fails without any state, hence without ordering one thread after the other. */
static struct isa_outcome eremove_fails(void *ctx, uint64_t page)
{
	return fake_fault(X86_GP);
}

static void *leak_all(void *arg)
{
	struct worker *w = arg;
	struct sgx_epc_page *page;

	line_up(w->nr);
	while (!sgx_alloc_epc_page(w->f->pool, &w->owner, 0, &page))
		w->nr_leaked += !sgx_encl_free_epc_page(w->f->pool, page, "stress");
	return NULL;
}

/* Each page once, with the owner that had it. */
static void check_all_leaked(struct fake *f, const struct worker workers[NR_THREADS])
{
	struct sgx_epc_leak *rows = calloc(f->nr_pages, sizeof(*rows));
	unsigned int nr_of[NR_THREADS] = { 0 };
	size_t i;

	assert_int_equal(sgx_epc_leaks(f->pool, 0, rows, f->nr_pages), f->nr_pages);
	for (i = 0; i < f->nr_pages; i++) {
		struct fake_page *page = fake_page_at(f, rows[i].pa);

		assert_false(page->placed);
		page->placed = true;
		assert_in_range(rows[i].owner.encl_id, 1, NR_THREADS);
		nr_of[rows[i].owner.encl_id - 1]++;
	}
	for (i = 0; i < NR_THREADS; i++)
		assert_int_equal(nr_of[i], workers[i].nr_leaked);
	free(rows);
}

static void leaks_of_both_threads_are_all_in_the_ledger(void **state)
{
	static const struct isa_section large[] = {
		{ .pa = 1ull << 32, .nr_pages = 30000, .node = 0 },
		{ .pa = 1ull << 40, .nr_pages = 30000, .node = 1 },
	};
	struct worker workers[NR_THREADS];
	struct fake f;

	fake_init(&f, large, 2, true);
	f.config.ops.eremove = eremove_fails;
	f.config.ops.peek = NULL;
	create(&f);
	run(&f, workers, leak_all);
	join(workers);
	assert_counts(&f, 0, 0, 60000, 0);
	assert_int_equal(f.log->nr, 1);
	check_all_leaked(&f, workers);
	fake_finish(&f);
}

static void allocator_works_while_pages_are_sanitized(void **state)
{
	struct worker workers[NR_THREADS];
	struct fake f;
	unsigned int i;

	for (i = 0; i < 9; i++) {
		fake_init(&f, sections, 2, false);
		with_caches(&f, i % NR_CACHES_KINDS);
		create(&f);
		run(&f, workers, work);
		assert_int_equal(sgx_epc_sanitize(f.pool, NULL), 0);
		join(workers);
		assert_counts(&f, 80, 0, 0, 0);
		assert_pool_clean(&f);
		fake_finish(&f);
	}
}

static void *sanitize(void *arg)
{
	struct worker *w = arg;

	line_up(w->nr);
	w->nr_leaked = (unsigned int)sgx_epc_sanitize(w->f->pool, NULL);
	return NULL;
}

static struct isa_outcome (*plain_eremove)(void *ctx, uint64_t page);

/* Takes its time over the last page of each node. */
static struct isa_outcome slow_eremove(void *ctx, uint64_t page)
{
	if (page == sections[0].pa + 39 * 4096 || page == sections[1].pa + 39 * 4096)
		usleep(500);
	return plain_eremove(ctx, page);
}

/*
 * SECS pages on both nodes, the children of each on the other: whoever meets one
 * in its second pass too early would leave it behind.  Pages break meanwhile.
 */
static void c1_7_several_threads_share_the_sanitizing(void **state)
{
	struct worker workers[NR_THREADS];
	struct fake f;
	unsigned int i, round;

	for (round = 0; round < 20; round++) {
		fake_init(&f, sections, 2, false);
		plain_eremove = f.config.ops.eremove;
		f.config.ops.eremove = slow_eremove;
		create(&f);
		for (i = 0; i < 80; i++)
			f.pages[i] = (struct fake_page){
				.valid = true, .pt = PT_REG,
				.secs = sections[i < 40].pa,
			};
		f.pages[0] = f.pages[40] = (struct fake_page){
			.valid = true, .pt = PT_SECS, .nr_children = 39,
		};
		run(&f, workers, sanitize);
		if (round % 2)
			assert_int_equal(sgx_epc_poison(f.pool, sections[1].pa), 0);
		join(workers);
		assert_int_equal(workers[0].nr_leaked + workers[1].nr_leaked, 0);
		assert_counts(&f, 80 - round % 2, 0, 0, 0);
		fake_finish(&f);
	}
}

/* One page on each node that nothing cleans: reported once, and tried again later. */
static void several_threads_report_each_failure_once(void **state)
{
	struct worker workers[NR_THREADS];
	struct fake f;
	unsigned int i;

	for (i = 0; i < 100; i++) {
		fake_init(&f, sections, 2, false);
		create(&f);
		f.pages[3] = f.pages[70] = (struct fake_page){
			.valid = true, .pt = PT_SECS, .nr_children = 1,
		};
		run(&f, workers, sanitize);
		join(workers);
		/* One may have left before the other came, which then tried again. */
		assert_in_range(workers[0].nr_leaked + workers[1].nr_leaked, 2, 4);
		assert_counts(&f, 78, 0, 0, 2);
		f.pages[3].nr_children = f.pages[70].nr_children = 0;
		assert_int_equal(sgx_epc_sanitize(f.pool, NULL), 0);
		assert_counts(&f, 80, 0, 0, 0);
		fake_finish(&f);
	}
}

/* Owners of one group that together want more than it may have. */
static struct sgx_epc_group *shared_group;
static uint64_t shared_limit;

static void *use_group(void *arg)
{
	struct worker *w = arg;
	unsigned int i;

	w->owner.group = shared_group;
	line_up(w->nr);
	for (i = 0; i < NR_ROUNDS / 10; i++) {
		if (w->nr_held && rand_r(&w->seed) % 2)
			worker_give(w, 0);
		else if (w->nr_held < NR_HELD && !worker_take(w))
			w->nr_full++;
		if (sgx_epc_group_usage(shared_group) > shared_limit)
			abort();
	}
	while (w->nr_held)
		worker_give(w, 0);
	return NULL;
}

static void group_is_never_above_its_limit(void **state)
{
	struct worker workers[NR_THREADS];
	struct fake f;

	fake_init(&f, sections, 2, true);
	with_caches(&f, REVOKED_CACHES);
	create(&f);
	shared_limit = 5;
	assert_int_equal(sgx_epc_group_create(f.pool, shared_limit, &shared_group), 0);
	run(&f, workers, use_group);
	join(workers);
	assert_true(workers[0].nr_full + workers[1].nr_full > 0);
	assert_int_equal(sgx_epc_group_usage(shared_group), 0);
	assert_counts(&f, 80, 0, 0, 0);
	sgx_epc_group_destroy(shared_group);
	fake_finish(&f);
}

/* Both threads build in one enclave; each offset belongs to exactly one. */
static const _Alignas(4096) uint8_t page_source[4096];
static const struct sgx_secinfo reg = { .flags = SECINFO_R | SECINFO_PT(PT_REG) };

struct builder {
	struct sgx_encl *encl;
	pthread_t thread;
	unsigned int nr, nr_added, nr_busy;
};

static void *build(void *arg)
{
	struct builder *b = arg;
	uint64_t i;

	line_up(b->nr);
	for (i = 0; i < 64; i++) {
		const int err = sgx_encl_add_page(b->encl, i << 20, page_source, &reg, true);

		b->nr_added += err == 0;
		b->nr_busy += err == -EBUSY;
	}
	return NULL;
}

static void two_builders_never_share_an_offset(void **state)
{
	static const _Alignas(4096) struct sgx_secs secs = { .size = 1ull << 32 };
	const struct sgx_encl_config config = { .owner.encl_id = 1 };
	struct builder builders[2] = { 0 };
	struct sgx_encl *encl;
	struct fake f;
	unsigned int i;

	fake_init(&f, sections, 2, true);
	create(&f);
	assert_int_equal(sgx_encl_create(f.pool, &config, &encl), 0);
	assert_int_equal(sgx_encl_ecreate(encl, &secs), 0);
	for (i = 0; i < 2; i++) {
		builders[i].encl = encl;
		builders[i].nr = i;
		pthread_create(&builders[i].thread, NULL, build, &builders[i]);
	}
	for (i = 0; i < 2; i++)
		pthread_join(builders[i].thread, NULL);
	assert_int_equal(builders[0].nr_added + builders[1].nr_added, 64);
	assert_int_equal(builders[0].nr_busy + builders[1].nr_busy, 64);
	assert_int_equal(sgx_encl_nr_pages(encl), 65);
	assert_counts(&f, 15, 65, 0, 0);
	sgx_encl_release(encl);
	assert_counts(&f, 80, 0, 0, 0);
	fake_finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f44_c1_15_no_page_has_two_holders),
		cmocka_unit_test(poisoned_pages_are_parked_whoever_has_them),
		cmocka_unit_test(no_report_of_poison_is_lost),
		cmocka_unit_test(leaks_of_both_threads_are_all_in_the_ledger),
		cmocka_unit_test(allocator_works_while_pages_are_sanitized),
		cmocka_unit_test(c1_7_several_threads_share_the_sanitizing),
		cmocka_unit_test(several_threads_report_each_failure_once),
		cmocka_unit_test(group_is_never_above_its_limit),
		cmocka_unit_test(two_builders_never_share_an_offset),
	};

	if (pthread_barrier_init(&barrier, NULL, NR_THREADS))
		return 1;
	return cmocka_run_group_tests_name("stress", tests, NULL, NULL);
}
