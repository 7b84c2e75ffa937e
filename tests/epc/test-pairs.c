/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every pair of the manager's operations, run against each other by two threads
 * on the same enclaves, in an EPC smaller than they are.  For the thread
 * sanitizer too.
 *
 * usage: test-pairs [--pairs=N]	N times each; docs/testing.md has the long run
 */
#include "fake.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NR_PAGES 48u		/* of EPC */
#define BASE 0x700000000000ull
#define NR_STABLE 16u		/* pages of the shared enclave nobody changes */
#define NR_OFFSETS 48u		/* from there on they come and go */
#define NR_ADDED 40u
#define MAX_POISONED 3u
#define NR_GUEST_PAGES 4u

static unsigned int nr_rounds = 1000;

/* A failed check in a thread: cmocka cannot unwind it. */
#define CHECK(x)									\
	do {										\
		if (!(x)) {								\
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);		\
			abort();							\
		}									\
	} while (0)

static const _Alignas(4096) struct sgx_secs secs_source = {
	.baseaddr = BASE, .size = 1ull << 30, .attributes.flags = ATTR_DEBUG,
};
static const _Alignas(4096) struct sgx_sigstruct sigstruct;
static const uint64_t hash[4];
static const struct sgx_secinfo reg_rw = { .flags = SECINFO_R | SECINFO_W | SECINFO_PT(PT_REG) };

struct arena {
	struct fake f;
	struct sgx_encl *shared;	/* initialized */
	struct sgx_encl *building;	/* never is */
	struct sgx_vepc *vepc;
	struct sgx_epc_group *group;
	atomic_uint nr_poisoned;
	pthread_barrier_t barrier;
};

struct actor {
	struct arena *a;
	unsigned int seed, nr;
	pthread_t thread;
	void (*act)(struct actor *actor);
};

static unsigned int any(struct actor *actor, unsigned int n)
{
	return (unsigned int)rand_r(&actor->seed) % n;
}

static bool is_poisoned(struct actor *actor)
{
	return atomic_load(&actor->a->nr_poisoned);
}

/* What an operation may say without anything being wrong. */
static void check_error(struct actor *actor, int err, int a, int b, int c)
{
	if (!err || err == a || err == b || err == c)
		return;
	/* A poisoned page can be stuck half way out, and EPC is less. */
	if ((err == -EIO || err == -ENOMEM) && is_poisoned(actor))
		return;
	fprintf(stderr, "error %d\n", err);
	abort();
}

/* --- operations ------------------------------------------------------------------ */

static int add_to(struct sgx_encl *encl, uint64_t page)
{
	_Alignas(4096) uint64_t source[512] = { page };

	return sgx_encl_add_page(encl, page * 4096, source, &reg_rw, true);
}

static struct sgx_encl *open_own(struct actor *actor)
{
	const struct sgx_encl_config config = {
		.owner.encl_id = 10 + actor->nr,
		.cookie = (void *)(uintptr_t)(10 + actor->nr),
	};
	struct sgx_encl *encl;

	CHECK(!sgx_encl_create(actor->a->f.pool, &config, &encl));
	check_error(actor, sgx_encl_ecreate(encl, &secs_source), 0, 0, 0);
	return encl;
}

static void act_create(struct actor *actor)
{
	sgx_encl_release(open_own(actor));
}

static void act_init(struct actor *actor)
{
	struct sgx_encl *encl = open_own(actor);
	struct sgx_encl_page_info info;
	struct isa_outcome out;

	check_error(actor, add_to(encl, 0), -EINVAL, 0, 0);
	check_error(actor, sgx_encl_einit(encl, &sigstruct, hash, &out), -EINVAL, 0, 0);
	check_error(actor, sgx_encl_fault(encl, 0, SECINFO_R, NULL, &info), -EFAULT, 0, 0);
	sgx_encl_release(encl);
}

static void act_release(struct actor *actor)
{
	struct sgx_encl *encl = open_own(actor);
	unsigned int i, nr = any(actor, 12);

	for (i = 0; i < nr; i++)
		check_error(actor, add_to(encl, i), -EINVAL, 0, 0);
	sgx_encl_release(encl);
}

static void act_add(struct actor *actor)
{
	check_error(actor, add_to(actor->a->building, any(actor, NR_ADDED)), -EBUSY, 0, 0);
}

static uint64_t any_offset(struct actor *actor)
{
	return (uint64_t)any(actor, NR_STABLE + NR_OFFSETS) * 4096;
}

static uint64_t any_unstable(struct actor *actor)
{
	return (uint64_t)(NR_STABLE + any(actor, NR_OFFSETS)) * 4096;
}

static void act_fault(struct actor *actor)
{
	struct sgx_encl_page_info info;

	check_error(actor, sgx_encl_fault(actor->a->shared, any_offset(actor), SECINFO_R, NULL, &info),
		    0, 0, 0);
}

static void act_restrict(struct actor *actor)
{
	struct isa_outcome out;

	check_error(actor, sgx_encl_restrict_page(actor->a->shared, any_offset(actor), SECINFO_R,
						  &out), -EFAULT, -EINVAL, 0);
}

static void accept_at(struct actor *actor, uint64_t offset)
{
	struct fake_page *page = fake_page_of(&actor->a->f, (void *)1, BASE + offset);

	if (page)
		fake_accept(&actor->a->f, page);
}

/* What is not there yet, or not any more, comes back first. */
static void have_page(struct actor *actor, uint64_t offset)
{
	struct sgx_encl_page_info info;

	check_error(actor, sgx_encl_fault(actor->a->shared, offset, SECINFO_R, NULL, &info), 0, 0, 0);
	accept_at(actor, offset);
}

static void act_modify(struct actor *actor)
{
	const uint8_t type = any(actor, 2) ? PT_TRIM : PT_TCS;
	const uint64_t offset = any_unstable(actor);
	struct isa_outcome out;

	have_page(actor, offset);
	check_error(actor, sgx_encl_modify_page(actor->a->shared, offset, type, &out), -EFAULT,
		    -EINVAL, 0);
}

static void act_remove(struct actor *actor)
{
	const uint64_t offset = any_unstable(actor);
	struct isa_outcome out;

	have_page(actor, offset);
	check_error(actor, sgx_encl_modify_page(actor->a->shared, offset, PT_TRIM, &out), -EFAULT,
		    -EINVAL, 0);
	accept_at(actor, offset);
	check_error(actor, sgx_encl_remove_page(actor->a->shared, offset), -EPERM, -EFAULT, 0);
}

static void act_access(struct actor *actor)
{
	const uint64_t page = any(actor, NR_STABLE);
	uint64_t value = ~page;
	int err;

	err = sgx_encl_access(actor->a->shared, page * 4096, &value, sizeof(value), false);
	check_error(actor, err, 0, 0, 0);
	CHECK(err || value == page);
}

static void act_reclaim(struct actor *actor)
{
	sgx_epc_reclaim(actor->a->f.pool, 1 + any(actor, 8));
}

static void act_background(struct actor *actor)
{
	sgx_epc_reclaim_background(actor->a->f.pool, NULL);
}

static void act_poison(struct actor *actor)
{
	unsigned int nr = any(actor, MAX_POISONED);

	atomic_store(&actor->a->nr_poisoned, MAX_POISONED);
	CHECK(!sgx_epc_poison(actor->a->f.pool, (1ull << 32) + nr * 17 * 4096));
}

static void act_stat(struct actor *actor)
{
	struct sgx_epc_activity activity;
	struct sgx_encl_page_info info;
	struct sgx_epc_stat stat;
	uint64_t found;

	stat = sgx_epc_stat_total(actor->a->f.pool);
	CHECK(stat.total == NR_PAGES);
	CHECK(stat.leaked == 0);
	sgx_epc_activity(actor->a->f.pool, &activity);
	CHECK(activity.backed <= activity.evicted);
	CHECK(sgx_epc_health(actor->a->f.pool) == SGX_EPC_OK);
	CHECK(sgx_encl_next_page(actor->a->shared, any_offset(actor), &found, &info) ||
	      !sgx_encl_page_at(actor->a->shared, found = (NR_STABLE + NR_OFFSETS) * 4096, &info));
	CHECK(sgx_encl_nr_pages(actor->a->shared) > 0);
}

static void act_alloc(struct actor *actor)
{
	struct sgx_epc_page *page;
	int err;

	err = sgx_alloc_epc_page(actor->a->f.pool, NULL, any(actor, 2) ? SGX_ALLOC_RECLAIM : 0,
				 &page);
	check_error(actor, err, -EBUSY, 0, 0);
	if (!err)
		sgx_free_epc_page(actor->a->f.pool, page);
}

static void act_vepc_fault(struct actor *actor)
{
	uint64_t pa;

	check_error(actor, sgx_vepc_fault(actor->a->vepc, any(actor, NR_GUEST_PAGES), &pa), 0, 0, 0);
}

static void act_vepc_remove_all(struct actor *actor)
{
	CHECK(sgx_vepc_remove_all(actor->a->vepc) == 0);
}

/* Of its own, in a group whose limit it lowers and raises. */
static void act_vepc_release(struct actor *actor)
{
	const struct sgx_vepc_config config = { .owner.group = actor->a->group };
	struct sgx_vepc *vepc;
	uint64_t i, pa;

	CHECK(!sgx_vepc_create(actor->a->f.pool, &config, &vepc));
	for (i = 0; i < NR_GUEST_PAGES; i++)
		check_error(actor, sgx_vepc_fault(vepc, i, &pa), -ENOMEM, 0, 0);
	sgx_vepc_release(vepc);
	sgx_vepc_guest_removed(actor->a->f.pool);
}

static void act_limit(struct actor *actor)
{
	sgx_epc_group_set_limit(actor->a->group, any(actor, 2 * NR_GUEST_PAGES));
	CHECK(sgx_epc_group_usage(actor->a->group) <= 2 * NR_GUEST_PAGES);
}

static void act_sanitize(struct actor *actor)
{
	CHECK(sgx_epc_sanitize(actor->a->f.pool, NULL) == 0);
}

/* There is always a user: the two enclaves. */
static void act_update(struct actor *actor)
{
	struct sgx_epc_blockers blockers;
	int err;

	CHECK(!sgx_epc_usage_get(actor->a->f.pool));
	err = sgx_epc_update_svn(actor->a->f.pool, &blockers);
	CHECK(err == -EBUSY || err == -ENODEV);
	sgx_epc_usage_put(actor->a->f.pool);
}

static void look_at_pages(void *ctx, const uint64_t *pages)
{
	struct actor *actor = ctx;

	CHECK((pages[0] != ISA_NO_FRAME && pages[1] != ISA_NO_FRAME) || is_poisoned(actor));
}

static void act_run(struct actor *actor)
{
	const uint64_t offsets[2] = { any_offset(actor), any_offset(actor) };

	sgx_encl_run(actor->a->shared, offsets, 2, look_at_pages, actor);
}

static const struct {
	const char *name;
	void (*act)(struct actor *actor);
} operations[] = {
	{ "create", act_create },
	{ "add", act_add },
	{ "init", act_init },
	{ "fault", act_fault },
	{ "restrict", act_restrict },
	{ "modify", act_modify },
	{ "remove", act_remove },
	{ "access", act_access },
	{ "release", act_release },
	{ "reclaim", act_reclaim },
	{ "background", act_background },
	{ "poison", act_poison },
	{ "stat", act_stat },
	{ "alloc", act_alloc },
	{ "vepc-fault", act_vepc_fault },
	{ "vepc-remove-all", act_vepc_remove_all },
	{ "vepc-release", act_vepc_release },
	{ "limit", act_limit },
	{ "sanitize", act_sanitize },
	{ "update", act_update },
	{ "run", act_run },
};
#define NR_OPERATIONS (sizeof(operations) / sizeof(operations[0]))

/* --- the arena ---------------------------------------------------------------------- */

/* The fake's own count allocations, which threads cannot do together. */
static void *plain_alloc(void *ctx, size_t size)
{
	return calloc(1, size);
}

static void plain_free(void *ctx, void *p)
{
	free(p);
}

static unsigned int only_node(void *ctx)
{
	return 0;
}

static void yield_cpu(void *ctx)
{
	sched_yield();
}

static struct sgx_encl *make(struct arena *a, uintptr_t nr, unsigned int nr_pages)
{
	const struct sgx_encl_config config = { .owner.encl_id = nr, .cookie = (void *)nr };
	struct sgx_encl *encl;
	unsigned int i;

	assert_int_equal(sgx_encl_create(a->f.pool, &config, &encl), 0);
	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	for (i = 0; i < nr_pages; i++)
		assert_int_equal(add_to(encl, i), 0);
	return encl;
}

static void enter_arena(struct arena *a)
{
	const struct isa_section section = { .pa = 1ull << 32, .nr_pages = NR_PAGES };
	struct isa_outcome out;

	fake_init(&a->f, &section, 1, true);
	a->f.config.overcommit = true;
	a->f.config.port.alloc = plain_alloc;
	a->f.config.port.free = plain_free;
	a->f.config.port.yield = yield_cpu;
	a->f.config.port.node = only_node;
	assert_int_equal(sgx_epc_pool_create(&a->f.config, &a->f.pool), 0);
	a->shared = make(a, 1, NR_STABLE + NR_OFFSETS);
	assert_int_equal(sgx_encl_einit(a->shared, &sigstruct, hash, &out), 0);
	a->building = make(a, 2, 1);
	assert_int_equal(sgx_vepc_create(a->f.pool, &(struct sgx_vepc_config){ 0 }, &a->vepc), 0);
	assert_int_equal(sgx_epc_group_create(a->f.pool, NR_GUEST_PAGES, &a->group), 0);
	atomic_store(&a->nr_poisoned, 0);
	pthread_barrier_init(&a->barrier, NULL, 2);
}

static void leave_arena(struct arena *a)
{
	uint64_t i, value;
	int err;

	for (i = 0; i < NR_STABLE; i++) {
		err = sgx_encl_access(a->shared, i * 4096, &value, sizeof(value), false);
		assert_true(err ? atomic_load(&a->nr_poisoned) > 0 : value == i);
	}
	assert_adds_up(&a->f);
	sgx_encl_release(a->shared);
	sgx_encl_release(a->building);
	sgx_vepc_release(a->vepc);
	assert_int_equal(sgx_epc_group_usage(a->group), 0);
	sgx_epc_group_destroy(a->group);
	assert_int_equal(sgx_epc_stat_total(a->f.pool).in_use, 0);
	assert_pool_clean(&a->f);
	assert_int_equal(a->f.log->nr, 0);
	pthread_barrier_destroy(&a->barrier);
	fake_finish(&a->f);
}

static void *play(void *arg)
{
	struct actor *actor = arg;
	unsigned int i;

	pthread_barrier_wait(&actor->a->barrier);
	for (i = 0; i < nr_rounds; i++)
		actor->act(actor);
	return NULL;
}

static void run_pair(size_t first, size_t second)
{
	struct actor actors[2];
	static struct arena a;
	unsigned int i;

	enter_arena(&a);
	for (i = 0; i < 2; i++) {
		actors[i] = (struct actor){
			.a = &a, .nr = i, .seed = (unsigned int)(first * 1000 + second * 10 + i + 1),
			.act = operations[i ? second : first].act,
		};
		assert_int_equal(pthread_create(&actors[i].thread, NULL, play, &actors[i]), 0);
	}
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_join(actors[i].thread, NULL), 0);
	leave_arena(&a);
}

/* One case for each operation: against itself and all that follow it. */
static void runs_against_all_others(void **state)
{
	const size_t first = (size_t)(uintptr_t)*state;
	size_t second;

	for (second = first; second < NR_OPERATIONS; second++) {
		print_message("# %s and %s\n", operations[first].name, operations[second].name);
		run_pair(first, second);
	}
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[NR_OPERATIONS];
	size_t i;

	if (argc == 2 && !strncmp(argv[1], "--pairs=", 8))
		nr_rounds = (unsigned int)strtoul(argv[1] + 8, NULL, 10);
	if (argc > 2 || !nr_rounds) {
		fprintf(stderr, "usage: test-pairs [--pairs=N]\n");
		return 2;
	}
	for (i = 0; i < NR_OPERATIONS; i++) {
		tests[i] = (struct CMUnitTest){
			.name = operations[i].name,
			.test_func = runs_against_all_others,
			.initial_state = (void *)(uintptr_t)i,
		};
	}
	return cmocka_run_group_tests_name("pairs", tests, NULL, NULL);
}
