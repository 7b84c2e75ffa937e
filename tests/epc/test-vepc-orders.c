/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtual EPC on the software processor: two guests' enclaves with SECS and
 * children in every placement over two and three instances, closed in every
 * order, with a remove-all of every instance at every moment.  Then the same
 * from threads.  Each way ends with every page back in the pool.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "../isa/fixture.h"

#include <swsgx/epc.h>

#define MAX_INSTANCES 3u
#define NR_ENCLAVES 2u
#define NR_CHILDREN 2u
#define PER_ENCLAVE (1 + NR_CHILDREN)
#define NR_ITEMS (NR_ENCLAVES * PER_ENCLAVE)

struct machine {
	struct isa_fixture *f;
	struct sgx_epc_pool *pool;
	atomic_uint nr_logged;
};

/* --- the manager's surroundings --------------------------------------------- */

/* Threads have a processor each. */
static struct isa_outcome encls(struct machine *m, enum isa_leaf leaf, uint64_t rbx, uint64_t rcx)
{
	struct isa_lp lp = m->f->os;

	lp.rbx = rbx;
	lp.rcx = rcx;
	return isa_encls(&lp, leaf);
}

static struct isa_outcome eremove(void *ctx, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EREMOVE, 0, page);
}

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
	atomic_fetch_add(&((struct machine *)ctx)->nr_logged, 1);
}

static uint64_t port_time_ns(void *ctx)
{
	return 1;
}

static unsigned int port_node(void *ctx)
{
	return 0;
}

static void port_yield(void *ctx)
{
	sched_yield();
}

static void start(struct machine *m)
{
	const struct isa_section sections[] = {
		{ .pa = FIXTURE_PA0, .nr_pages = FIXTURE_SECTION_PAGES, .node = 0 },
		{ .pa = FIXTURE_PA1, .nr_pages = FIXTURE_SECTION_PAGES, .node = 1 },
	};
	const struct sgx_epc_config config = {
		.sections = sections,
		.nr_sections = 2,
		.port = {
			.ctx = m, .alloc = port_alloc, .free = port_free, .log = port_log,
			.time_ns = port_time_ns, .node = port_node, .yield = port_yield,
		},
		.ops = { .ctx = m, .eremove = eremove },
		.known_clean = true,
	};

	*m = (struct machine){ .f = isa_fixture_create(NULL) };
	assert_int_equal(sgx_epc_pool_create(&config, &m->pool), 0);
}

static void finish(struct machine *m)
{
	sgx_epc_pool_destroy(m->pool);
	isa_fixture_destroy(m->f);
}

static uint64_t nr_in_use(struct machine *m)
{
	const struct sgx_epc_stat s = sgx_epc_stat_total(m->pool);

	assert_int_equal(s.free + s.cached + s.in_use, FIXTURE_NR_FRAMES);
	return s.in_use;
}

static unsigned int nr_valid(struct machine *m)
{
	unsigned int i, nr = 0;

	for (i = 0; i < FIXTURE_NR_FRAMES; i++)
		nr += isa_epcm_peek(m->f->m, i).valid;
	return nr;
}

static void assert_all_is_back(struct machine *m)
{
	assert_int_equal(nr_in_use(m), 0);
	assert_int_equal(nr_valid(m), 0);
	assert_int_equal(atomic_load(&m->nr_logged), 0);
}

/* --- guests ----------------------------------------------------------------- */

/* Where everything is: item e * PER_ENCLAVE is a SECS, its children follow. */
struct guest {
	struct machine *m;
	unsigned int nr_instances;
	struct sgx_vepc *vepc[MAX_INSTANCES];
	unsigned int place[NR_ITEMS];	/* instance */
	uint64_t pa[NR_ITEMS];
	bool valid[NR_ITEMS];
	bool open[MAX_INSTANCES];
};

static bool is_secs(unsigned int item)
{
	return item % PER_ENCLAVE == 0;
}

static void guest_leaf(struct guest *g, unsigned int item)
{
	const unsigned int e = item / PER_ENCLAVE;
	struct isa_fixture *f = g->m->f;
	struct sgx_secs secs;

	f->secinfo = (struct sgx_secinfo){
		.flags = is_secs(item) ? SECINFO_PT(PT_SECS)
				       : SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W,
	};
	f->pageinfo = (struct sgx_pageinfo){
		.srcpge = (uintptr_t)f->page,
		.secinfo_or_pcmd = (uintptr_t)&f->secinfo,
	};
	memset(f->page, 0, sizeof(f->page));
	if (is_secs(item)) {
		isa_fixture_default_secs(&secs);
		memcpy(f->page, &secs, sizeof(secs));
	} else {
		f->pageinfo.linaddr = FIXTURE_BASE + item % PER_ENCLAVE * SGX_PAGE_SIZE;
		f->pageinfo.secs = g->pa[e * PER_ENCLAVE];
	}
	assert_done(encls(g->m, is_secs(item) ? ISA_ENCLS_ECREATE : ISA_ENCLS_EADD,
			  (uintptr_t)&f->pageinfo, g->pa[item]));
	g->valid[item] = true;
}

static void guest_build(struct guest *g)
{
	const struct sgx_vepc_config config = { .owner.encl_id = 1 };
	unsigned int i, item;

	for (i = 0; i < g->nr_instances; i++) {
		assert_int_equal(sgx_vepc_create(g->m->pool, &config, &g->vepc[i]), 0);
		g->open[i] = true;
	}
	for (item = 0; item < NR_ITEMS; item++) {
		/* Half of the SECS pages come after their children in the instance. */
		const uint64_t index = item == 0 ? NR_ITEMS : item;

		assert_int_equal(sgx_vepc_fault(g->vepc[g->place[item]], index, &g->pa[item]), 0);
		guest_leaf(g, item);
	}
}

/* --- what must be true after every step -------------------------------------- */

static bool has_children(const struct guest *g, unsigned int secs)
{
	return g->valid[secs + 1] || g->valid[secs + 2];
}

/* EREMOVE of all of instance @i in the model, children before their SECS. */
static void model_remove(struct guest *g, unsigned int i)
{
	unsigned int item;

	for (item = 0; item < NR_ITEMS; item++)
		if (!is_secs(item) && g->place[item] == i)
			g->valid[item] = false;
	for (item = 0; item < NR_ITEMS; item += PER_ENCLAVE)
		if ((g->place[item] == i || !g->open[g->place[item]]) && !has_children(g, item))
			g->valid[item] = false;
}

/* Pages of open instances, and orphans. */
static unsigned int model_in_use(const struct guest *g)
{
	unsigned int item, nr = 0;

	for (item = 0; item < NR_ITEMS; item++)
		nr += g->open[g->place[item]] || g->valid[item];
	return nr;
}

static void check(const struct guest *g)
{
	struct sgx_epc_activity activity;
	unsigned int item, orphans = 0;

	for (item = 0; item < NR_ITEMS; item += PER_ENCLAVE)
		orphans += g->valid[item] && !g->open[g->place[item]];
	sgx_epc_activity(g->m->pool, &activity);
	assert_int_equal(activity.orphans, orphans);
	assert_int_equal(nr_in_use(g->m), model_in_use(g));
}

static void guest_remove_all(struct guest *g, unsigned int i)
{
	const long left = sgx_vepc_remove_all(g->vepc[i]);
	unsigned int nr_elsewhere = 0, item;

	model_remove(g, i);
	for (item = 0; item < NR_ITEMS; item += PER_ENCLAVE)
		nr_elsewhere += g->place[item] == i && has_children(g, item);
	/* A first round also counts those whose children it met later. */
	assert_in_range(left, nr_elsewhere, NR_ENCLAVES);
	assert_int_equal(sgx_vepc_remove_all(g->vepc[i]), nr_elsewhere);
	model_remove(g, i);
	check(g);
}

static void guest_close(struct guest *g, unsigned int i)
{
	sgx_vepc_release(g->vepc[i]);
	g->open[i] = false;
	model_remove(g, i);
	check(g);
}

/* --- every order ---------------------------------------------------------------- */

static const unsigned int orders[][MAX_INSTANCES] = {
	{ 0, 1, 2 }, { 1, 0, 2 }, { 0, 2, 1 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
};

#define NO_REMOVE_ALL (MAX_INSTANCES * MAX_INSTANCES)

/* Before close number @moment / 3, remove-all of instance @moment % 3. */
static void run_order(struct machine *m, const struct guest *plan, const unsigned int *order,
		      unsigned int moment)
{
	struct guest g = *plan;
	unsigned int i;

	g.m = m;
	guest_build(&g);
	for (i = 0; i < g.nr_instances; i++) {
		if (moment / MAX_INSTANCES == i && moment < NO_REMOVE_ALL &&
		    moment % MAX_INSTANCES < g.nr_instances && g.open[moment % MAX_INSTANCES])
			guest_remove_all(&g, moment % MAX_INSTANCES);
		guest_close(&g, order[i]);
	}
	assert_all_is_back(m);
}

static void run_placements(unsigned int nr_instances, unsigned int nr_orders)
{
	unsigned int code, total = 1, item, order, moment;
	struct machine m;

	for (item = 0; item < NR_ITEMS; item++)
		total *= nr_instances;
	start(&m);
	for (code = 0; code < total; code++) {
		struct guest plan = { .nr_instances = nr_instances };
		unsigned int rest = code;

		for (item = 0; item < NR_ITEMS; item++, rest /= nr_instances)
			plan.place[item] = rest % nr_instances;
		for (order = 0; order < nr_orders; order++)
			for (moment = 0; moment <= NO_REMOVE_ALL; moment++)
				run_order(&m, &plan, orders[order], moment);
	}
	finish(&m);
}

static void two_instances_in_every_order(void **state)
{
	run_placements(2, 2);
}

static void three_instances_in_every_order(void **state)
{
	run_placements(3, 6);
}

/* --- from threads ------------------------------------------------------------------ */

#define NR_ROUNDS 300u

struct closer {
	struct guest *g;
	pthread_barrier_t *barrier;
	unsigned int instance;
	bool remove_all_first;
};

static void *closer_run(void *arg)
{
	struct closer *c = arg;

	pthread_barrier_wait(c->barrier);
	if (c->remove_all_first && sgx_vepc_remove_all(c->g->vepc[c->instance]) < 0)
		abort();
	sgx_vepc_release(c->g->vepc[c->instance]);
	return NULL;
}

/* A guest that removes by itself what lies in the last instance, then closes it. */
static void *guest_run(void *arg)
{
	struct closer *c = arg;
	struct guest *g = c->g;
	unsigned int item;

	pthread_barrier_wait(c->barrier);
	for (item = 0; item < NR_ITEMS; item++) {
		if (g->place[item] != c->instance || is_secs(item))
			continue;
		if (!isa_is_done(eremove(g->m, g->pa[item])))
			abort();
		sgx_vepc_guest_removed(g->m->pool);
	}
	sgx_vepc_release(g->vepc[c->instance]);
	return NULL;
}

static void close_from_threads(struct guest *g, unsigned int round)
{
	struct closer closers[MAX_INSTANCES];
	pthread_t threads[MAX_INSTANCES];
	pthread_barrier_t barrier;
	unsigned int i;

	pthread_barrier_init(&barrier, NULL, MAX_INSTANCES);
	for (i = 0; i < MAX_INSTANCES; i++) {
		closers[i] = (struct closer){
			.g = g, .barrier = &barrier, .instance = i,
			.remove_all_first = round >> i & 1,
		};
		assert_int_equal(pthread_create(&threads[i], NULL,
						i == MAX_INSTANCES - 1 ? guest_run : closer_run,
						&closers[i]), 0);
	}
	for (i = 0; i < MAX_INSTANCES; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
}

static void instances_closed_by_threads_at_once(void **state)
{
	struct machine m;
	unsigned int round, item, rest;

	start(&m);
	for (round = 0; round < NR_ROUNDS; round++) {
		struct guest g = { .m = &m, .nr_instances = MAX_INSTANCES };

		/* Of the 3^6 placements, far apart. */
		rest = round * 5 % 729;
		for (item = 0; item < NR_ITEMS; item++, rest /= 3)
			g.place[item] = rest % 3;
		guest_build(&g);
		close_from_threads(&g, round);
		assert_all_is_back(&m);
	}
	finish(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_instances_in_every_order),
		cmocka_unit_test(three_instances_in_every_order),
		cmocka_unit_test(instances_closed_by_threads_at_once),
	};

	return cmocka_run_group_tests_name("vepc-orders", tests, NULL, NULL);
}
