/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Leaves against each other.  First each row of the concurrency table with the
 * lock held by hand, so that the loser is certain; then two processors at full
 * speed, for ThreadSanitizer and for the invariants.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "fixture.h"

#include "internal.h"

#define REG_RW (SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W)

static struct isa_epcm *entry(struct isa_fixture *f, uint64_t frame)
{
	return &f->m->epcm[frame];
}

/* --- the loser's outcome ------------------------------------------------- */

static struct isa_outcome ecreate(struct isa_fixture *f)
{
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	return isa_fixture_ecreate(f, FIXTURE_FREE, &secs);
}

static struct isa_outcome eadd(struct isa_fixture *f)
{
	return isa_fixture_eadd(f, FIXTURE_FREE, FIXTURE_SECS, FIXTURE_BASE + 0x8000, f->page,
				REG_RW);
}

static struct isa_outcome eextend(struct isa_fixture *f)
{
	return isa_fixture_eextend(f, FIXTURE_SECS, FIXTURE_RW, 0);
}

static struct isa_outcome einit(struct isa_fixture *f)
{
	isa_fixture_sigstruct(f, NULL, 0);
	return isa_fixture_einit(f, FIXTURE_SECS, &f->sig, NULL);
}

static struct isa_outcome eremove(struct isa_fixture *f)
{
	return isa_fixture_eremove(f, FIXTURE_RW);
}

static struct isa_outcome edbgrd(struct isa_fixture *f)
{
	f->os.rcx = isa_fixture_la(f, FIXTURE_RX);
	return isa_encls(&f->os, ISA_ENCLS_EDBGRD);
}

static struct isa_outcome edbgwr(struct isa_fixture *f)
{
	f->os.rcx = isa_fixture_la(f, FIXTURE_RX);
	return isa_encls(&f->os, ISA_ENCLS_EDBGWR);
}

static struct isa_outcome eaug(struct isa_fixture *f)
{
	return isa_fixture_eaug(f, FIXTURE_FREE, FIXTURE_BASE + 0x8000);
}

static struct isa_outcome emodpr(struct isa_fixture *f)
{
	return isa_fixture_emodpr(f, FIXTURE_RX, SECINFO_R);
}

static struct isa_outcome emodt(struct isa_fixture *f)
{
	return isa_fixture_emodt(f, FIXTURE_RX, SECINFO_PT(PT_TRIM));
}

/* Accepts what is, so that it succeeds however often. */
static struct isa_outcome eaccept(struct isa_fixture *f)
{
	return isa_fixture_eaccept(f, FIXTURE_BASE + 0x3000,
				   SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_X | SECINFO_PR);
}

static struct isa_outcome emodpe(struct isa_fixture *f)
{
	return isa_fixture_emodpe(f, FIXTURE_BASE + 0x3000, SECINFO_X);
}

static struct isa_outcome eacceptcopy(struct isa_fixture *f)
{
	return isa_fixture_eacceptcopy(f, FIXTURE_BASE + 0x8000, FIXTURE_BASE + 0x3000, REG_RW);
}

static int setup(void **state)
{
	isa_fixture_setup(state);
	isa_fixture_build(*state, NULL);
	return 0;
}

static void exclusive_leaves_lose_to_any_holder(void **state)
{
	static const struct {
		struct isa_outcome (*leaf)(struct isa_fixture *f);
		uint64_t frame;
	} rows[] = {
		{ ecreate, FIXTURE_FREE }, { eadd, FIXTURE_FREE }, { eremove, FIXTURE_RW },
	};
	struct isa_fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct isa_epcm_info before = isa_epcm_peek(f->m, rows[i].frame);

		assert_true(isa_epcm_try_shared(entry(f, rows[i].frame)));
		assert_gp(rows[i].leaf(f));
		isa_epcm_release_shared(entry(f, rows[i].frame));
		assert_true(isa_epcm_try_exclusive(entry(f, rows[i].frame)));
		assert_gp(rows[i].leaf(f));
		isa_epcm_release_exclusive(entry(f, rows[i].frame));
		assert_int_equal(isa_epcm_peek(f->m, rows[i].frame).valid, before.valid);
	}
}

static void shared_leaves_lose_to_an_exclusive_holder_only(void **state)
{
	static const struct {
		struct isa_outcome (*leaf)(struct isa_fixture *f);
		uint64_t frame;
	} rows[] = {
		{ eadd, FIXTURE_SECS }, { eextend, FIXTURE_RW }, { einit, FIXTURE_SECS },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct isa_fixture *f = isa_fixture_create(NULL);

		isa_fixture_build(f, NULL);
		assert_true(isa_epcm_try_exclusive(entry(f, rows[i].frame)));
		assert_gp(rows[i].leaf(f));
		isa_epcm_release_exclusive(entry(f, rows[i].frame));
		assert_true(isa_epcm_try_shared(entry(f, rows[i].frame)));
		assert_done(rows[i].leaf(f));
		isa_epcm_release_shared(entry(f, rows[i].frame));
		isa_fixture_destroy(f);
	}
	(void)state;
}

static void every_failure_releases_what_it_took(void **state)
{
	struct isa_fixture *f = *state;

	for (uint64_t i = 0; i < FIXTURE_NR_FRAMES; i++) {
		assert_int_equal(atomic_load(&entry(f, i)->base), 0);
		assert_int_equal(atomic_load(&entry(f, i)->build), 0);
		assert_int_equal(atomic_load(&entry(f, i)->sgx2), 0);
	}
}

/* A leaf, the frame it needs, and what it gets when it cannot have it. */
struct contender {
	struct isa_outcome (*leaf)(struct isa_fixture *f);
	uint64_t frame;
	uint32_t error;			/* 0: #GP */
};

static void assert_loses(struct isa_fixture *f, const struct contender *c)
{
	const struct isa_outcome out = c->leaf(f);

	if (c->error)
		assert_error(out, c->error);
	else
		assert_gp(out);
}

/* An enclave that runs, with a page pending in FIXTURE_FREE if @augmented. */
static struct isa_fixture *running(bool augmented)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_start(f, NULL, 0);
	if (augmented)
		assert_done(eaug(f));
	return f;
}

static void dynamic_leaves_lose_with_their_own_outcome(void **state)
{
	/* Of these a shared holder stops the first two only. */
	static const struct contender exclusive[] = {
		{ eaug, FIXTURE_FREE, 0 }, { emodt, FIXTURE_RX, SGX_EPC_PAGE_CONFLICT },
	};
	static const struct contender shared[] = {
		{ eaug, FIXTURE_SECS, 0 }, { emodpr, FIXTURE_RX, 0 }, { edbgrd, FIXTURE_RX, 0 },
		{ edbgwr, FIXTURE_RX, 0 }, { eaccept, FIXTURE_RX, 0 }, { emodpe, FIXTURE_RX, 0 },
		{ eacceptcopy, FIXTURE_FREE, 0 }, { eacceptcopy, FIXTURE_RX, 0 },
	};

	for (size_t i = 0; i < sizeof(exclusive) / sizeof(exclusive[0]); i++) {
		struct isa_fixture *f = running(false);

		assert_true(isa_epcm_try_shared(entry(f, exclusive[i].frame)));
		assert_loses(f, &exclusive[i]);
		isa_epcm_release_shared(entry(f, exclusive[i].frame));
		assert_true(isa_epcm_try_exclusive(entry(f, exclusive[i].frame)));
		assert_loses(f, &exclusive[i]);
		isa_epcm_release_exclusive(entry(f, exclusive[i].frame));
		assert_done(exclusive[i].leaf(f));
		isa_fixture_destroy(f);
	}
	for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++) {
		struct isa_fixture *f = running(shared[i].leaf == eacceptcopy);

		assert_true(isa_epcm_try_exclusive(entry(f, shared[i].frame)));
		assert_loses(f, &shared[i]);
		isa_epcm_release_exclusive(entry(f, shared[i].frame));
		assert_true(isa_epcm_try_shared(entry(f, shared[i].frame)));
		assert_done(shared[i].leaf(f));
		isa_epcm_release_shared(entry(f, shared[i].frame));
		isa_fixture_destroy(f);
	}
	(void)state;
}

static void one_leaf_changes_a_running_page_at_a_time(void **state)
{
	static const struct contender rows[] = {
		{ emodpr, FIXTURE_RX, SGX_EPC_PAGE_CONFLICT },
		{ emodt, FIXTURE_RX, SGX_EPC_PAGE_CONFLICT },
		{ eaccept, FIXTURE_RX, 0 }, { emodpe, FIXTURE_RX, 0 },
		{ eacceptcopy, FIXTURE_FREE, 0 },
	};
	struct isa_fixture *f = running(true);

	assert_true(isa_epcm_try_sgx2(entry(f, FIXTURE_RX)));
	assert_true(isa_epcm_try_sgx2(entry(f, FIXTURE_FREE)));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_loses(f, &rows[i]);
	/* Debuggers, and leaves that take the page away, do not ask. */
	assert_done(edbgrd(f));
	assert_done(edbgwr(f));
	assert_done(isa_fixture_eremove(f, FIXTURE_RX));
	isa_epcm_release_sgx2(entry(f, FIXTURE_RX));
	isa_epcm_release_sgx2(entry(f, FIXTURE_FREE));
	every_failure_releases_what_it_took((void **)&f);
	isa_fixture_destroy(f);
	(void)state;
}

static void eextend_does_not_lock_its_secs(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_build(f, NULL);
	assert_true(isa_epcm_try_exclusive(entry(f, FIXTURE_SECS)));
	assert_done(eextend(f));
	isa_epcm_release_exclusive(entry(f, FIXTURE_SECS));
	isa_fixture_destroy(f);
	(void)state;
}

static void one_leaf_builds_an_enclave_at_a_time(void **state)
{
	struct isa_fixture *f = *state;

	assert_true(isa_epcm_try_build(entry(f, FIXTURE_SECS)));
	assert_gp(eadd(f));
	assert_gp(eextend(f));
	assert_gp(einit(f));
	assert_false(isa_epcm_peek(f->m, FIXTURE_FREE).valid);
	/* EREMOVE has no such requirement. */
	assert_done(isa_fixture_eremove(f, FIXTURE_SSA));
	isa_epcm_release_build(entry(f, FIXTURE_SECS));
	assert_done(eadd(f));
}

static void shared_holders_have_a_limit(void **state)
{
	struct isa_epcm e;

	memset(&e, 0, sizeof(e));
	for (unsigned int i = 0; i < EPCM_EXCLUSIVE - 1; i++)
		assert_true(isa_epcm_try_shared(&e));
	assert_false(isa_epcm_try_shared(&e));
	isa_epcm_release_shared(&e);
	assert_true(isa_epcm_try_shared(&e));
	(void)state;
}

/* --- two processors ------------------------------------------------------ */

#define ROUNDS 3000u

struct worker {
	struct isa_fixture *f;
	struct isa_lp lp;
	unsigned int id;
	unsigned int done, conflicts, others;
	alignas(4096) uint8_t page[SGX_PAGE_SIZE];
	alignas(64) struct sgx_secinfo secinfo;
	alignas(32) struct sgx_pageinfo pageinfo;
};

static void count(struct worker *w, struct isa_outcome o)
{
	if (isa_is_done(o))
		w->done++;
	else if (o.kind == ISA_FAULT && o.vector == X86_GP)
		w->conflicts++;
	else
		w->others++;
}

static struct isa_outcome worker_eadd(struct worker *w, uint64_t frame, uint64_t offset)
{
	w->secinfo.flags = REG_RW;
	w->pageinfo = (struct sgx_pageinfo){
		.linaddr = FIXTURE_BASE + offset,
		.srcpge = (uintptr_t)w->page,
		.secinfo_or_pcmd = (uintptr_t)&w->secinfo,
		.secs = isa_fixture_la(w->f, FIXTURE_SECS),
	};
	w->lp.rbx = (uintptr_t)&w->pageinfo;
	w->lp.rcx = isa_fixture_la(w->f, frame);
	return isa_encls(&w->lp, ISA_ENCLS_EADD);
}

static struct isa_outcome worker_eremove(struct worker *w, uint64_t frame)
{
	w->lp.rcx = isa_fixture_la(w->f, frame);
	return isa_encls(&w->lp, ISA_ENCLS_EREMOVE);
}

static struct isa_outcome worker_eextend(struct worker *w, uint64_t frame)
{
	w->lp.rbx = isa_fixture_la(w->f, FIXTURE_SECS);
	w->lp.rcx = isa_fixture_la(w->f, frame);
	return isa_encls(&w->lp, ISA_ENCLS_EEXTEND);
}

/* Both on the same page: add, measure and remove it as fast as they can. */
static void *same_page(void *arg)
{
	struct worker *w = arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		count(w, worker_eadd(w, 40, 0x8000));
		count(w, worker_eextend(w, 40));
		count(w, worker_eremove(w, 40));
	}
	return NULL;
}

/* Each on its own page of one enclave: EREMOVE never conflicts. */
static void *own_page(void *arg)
{
	struct worker *w = arg;
	const uint64_t frame = 40 + w->id;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct isa_outcome o = worker_eadd(w, frame, 0x8000 + w->id * 0x1000);

		count(w, o);
		if (!isa_is_done(o))
			continue;
		o = worker_eremove(w, frame);
		if (!isa_is_done(o))
			w->others++;
	}
	return NULL;
}

/* The SECS comes and goes while the other adds and removes a child. */
static void *secs_and_child(void *arg)
{
	struct worker *w = arg;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		if (w->id) {
			count(w, worker_eadd(w, 40, 0x8000));
			count(w, worker_eremove(w, 40));
			continue;
		}
		count(w, worker_eremove(w, FIXTURE_SECS));
		memcpy(w->page, &secs, sizeof(secs));
		w->secinfo.flags = 0;
		w->pageinfo = (struct sgx_pageinfo){
			.srcpge = (uintptr_t)w->page,
			.secinfo_or_pcmd = (uintptr_t)&w->secinfo,
		};
		w->lp.rbx = (uintptr_t)&w->pageinfo;
		w->lp.rcx = isa_fixture_la(w->f, FIXTURE_SECS);
		count(w, isa_encls(&w->lp, ISA_ENCLS_ECREATE));
	}
	return NULL;
}

/* --- the same on a running enclave ---------------------------------------- */

#define DYNAMIC_LA (FIXTURE_BASE + 0x8000)
#define DYNAMIC_FRAME 40u

static struct isa_outcome worker_encls(struct worker *w, uint32_t leaf, uint64_t flags)
{
	w->secinfo = (struct sgx_secinfo){ .flags = flags };
	w->lp.rbx = (uintptr_t)&w->secinfo;
	w->lp.rcx = isa_fixture_la(w->f, DYNAMIC_FRAME);
	return isa_encls(&w->lp, leaf);
}

static struct isa_outcome worker_eaug(struct worker *w)
{
	w->pageinfo = (struct sgx_pageinfo){
		.linaddr = DYNAMIC_LA,
		.secs = isa_fixture_la(w->f, FIXTURE_SECS),
	};
	w->lp.rbx = (uintptr_t)&w->pageinfo;
	w->lp.rcx = isa_fixture_la(w->f, DYNAMIC_FRAME);
	return isa_encls(&w->lp, ISA_ENCLS_EAUG);
}

/* The enclave's leaves, on SECINFO operands nobody writes meanwhile. */
static struct isa_outcome worker_enclu(struct worker *w, uint32_t leaf, unsigned int secinfo)
{
	struct isa_lp lp = w->f->encl;

	lp.rbx = FIXTURE_BASE + 0x2000 + secinfo * 64;
	lp.rcx = DYNAMIC_LA;
	lp.rdx = FIXTURE_BASE + 0x3000;
	return isa_enclu(&lp, leaf);
}

static const uint64_t dynamic_secinfos[] = {
	REG_RW | SECINFO_PENDING,
	SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_PR,
	SECINFO_PT(PT_TRIM) | SECINFO_MODIFIED,
	REG_RW,
};

/* One is the kernel, the other the enclave, neither waits for the other. */
static void *kernel_and_enclave(void *arg)
{
	struct worker *w = arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		if (w->id) {
			for (unsigned int j = 0; j < 3; j++)
				count(w, worker_enclu(w, ISA_ENCLU_EACCEPT, j));
			count(w, worker_enclu(w, ISA_ENCLU_EACCEPTCOPY, 3));
			count(w, worker_enclu(w, ISA_ENCLU_EMODPE, 3));
			continue;
		}
		count(w, worker_eaug(w));
		count(w, worker_encls(w, ISA_ENCLS_EMODPR, SECINFO_R));
		count(w, worker_encls(w, ISA_ENCLS_EMODT, SECINFO_PT(PT_TRIM)));
		isa_secs_track(w->f->m, FIXTURE_SECS);
		count(w, worker_eremove(w, DYNAMIC_FRAME));
	}
	return NULL;
}

/* Two processors of the enclave, and each its own kernel. */
static void *both_on_one_page(void *arg)
{
	struct worker *w = arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		count(w, worker_eaug(w));
		count(w, worker_enclu(w, ISA_ENCLU_EACCEPTCOPY, 3));
		count(w, worker_encls(w, ISA_ENCLS_EMODPR, SECINFO_R));
		count(w, worker_enclu(w, ISA_ENCLU_EMODPE, 3));
		count(w, worker_eremove(w, DYNAMIC_FRAME));
	}
	return NULL;
}

static struct worker workers[2];

static void run(struct isa_fixture *f, void *(*work)(void *))
{
	pthread_t threads[2];

	memset(workers, 0, sizeof(workers));
	for (unsigned int i = 0; i < 2; i++) {
		workers[i].f = f;
		workers[i].lp = f->os;
		workers[i].id = i;
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

/* Whatever happened: everything can be removed, children first, and nothing is locked. */
static void assert_quiet(struct isa_fixture *f)
{
	every_failure_releases_what_it_took((void **)&f);
	for (uint64_t i = FIXTURE_NR_FRAMES; i-- > 0;)
		assert_done(isa_fixture_eremove(f, i));
}

static struct isa_fixture *with_secs(void)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	assert_done(isa_fixture_ecreate(f, FIXTURE_SECS, &secs));
	return f;
}

static void two_processors_on_one_page(void **state)
{
	struct isa_fixture *f = with_secs();

	run(f, same_page);
	/* One may starve while the other is preempted with a lock held. */
	assert_true(workers[0].done + workers[1].done > 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(workers[i].done + workers[i].conflicts + workers[i].others,
				 3 * ROUNDS);
	assert_quiet(f);
	isa_fixture_destroy(f);
	(void)state;
}

static void two_processors_on_pages_of_their_own(void **state)
{
	struct isa_fixture *f = with_secs();

	run(f, own_page);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(workers[i].others, 0);
		assert_int_equal(workers[i].done + workers[i].conflicts, ROUNDS);
	}
	assert_quiet(f);
	isa_fixture_destroy(f);
	(void)state;
}

static void two_processors_on_secs_and_child(void **state)
{
	struct isa_fixture *f = with_secs();

	run(f, secs_and_child);
	assert_quiet(f);
	isa_fixture_destroy(f);
	(void)state;
}

static void with_running_enclave(void *(*work)(void *))
{
	struct isa_fixture *f = running(false);
	uint8_t *page = isa_fixture_contents(f, FIXTURE_RW);

	for (size_t i = 0; i < sizeof(dynamic_secinfos) / sizeof(dynamic_secinfos[0]); i++)
		memcpy(page + i * 64, &(struct sgx_secinfo){ .flags = dynamic_secinfos[i] }, 64);
	f->la[DYNAMIC_FRAME] = DYNAMIC_LA;
	run(f, work);
	assert_true(workers[0].done > 0);
	assert_quiet(f);
	isa_fixture_destroy(f);
}

static void a_kernel_and_its_enclave(void **state)
{
	with_running_enclave(kernel_and_enclave);
	(void)state;
}

static void two_processors_on_a_page_of_a_running_enclave(void **state)
{
	with_running_enclave(both_on_one_page);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exclusive_leaves_lose_to_any_holder),
		cmocka_unit_test(shared_leaves_lose_to_an_exclusive_holder_only),
		cmocka_unit_test(dynamic_leaves_lose_with_their_own_outcome),
		cmocka_unit_test(one_leaf_changes_a_running_page_at_a_time),
		cmocka_unit_test(eextend_does_not_lock_its_secs),
		cmocka_unit_test(one_leaf_builds_an_enclave_at_a_time),
		cmocka_unit_test(every_failure_releases_what_it_took),
		cmocka_unit_test(shared_holders_have_a_limit),
		cmocka_unit_test(two_processors_on_one_page),
		cmocka_unit_test(two_processors_on_pages_of_their_own),
		cmocka_unit_test(two_processors_on_secs_and_child),
		cmocka_unit_test(a_kernel_and_its_enclave),
		cmocka_unit_test(two_processors_on_a_page_of_a_running_enclave),
	};

	return cmocka_run_group_tests_name("concurrency", tests, setup, isa_fixture_teardown);
}
