/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages of host enclaves on their way out and back, over the fake processor:
 * interleavings made to happen, one thing failing at a time, limits, fairness.
 * Names beginning with c1, u or l are rows of docs/linux-parity.md.
 */
#include "counters.h"
#include "fake.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/epc/encl.h"

#define BASE 0x700000000000ull
#define SIZE (1ull << 32)

static const _Alignas(4096) struct sgx_secs secs_source = {
	.baseaddr = BASE, .size = SIZE, .attributes.flags = ATTR_DEBUG,
};
static const _Alignas(4096) struct sgx_sigstruct sigstruct;
static const uint64_t hash[4];
static const struct sgx_secinfo reg_rw = { .flags = SECINFO_R | SECINFO_W | SECINFO_PT(PT_REG) };

/* --- enclaves whose contents are known -------------------------------------- */

struct subject {
	struct fake *f;
	struct sgx_encl *encl;
	unsigned int nr;		/* also the cookie */
};

static uint64_t contents_of(const struct subject *s, uint64_t page)
{
	return 0xc0ffee0000000000ull | (uint64_t)s->nr << 32 | page;
}

static void start_over(struct fake *f, uint64_t nr_pages)
{
	const struct isa_section section = { .pa = 1ull << 32, .nr_pages = nr_pages };

	fake_init(f, &section, 1, true);
	f->config.overcommit = true;
	assert_int_equal(sgx_epc_pool_create(&f->config, &f->pool), 0);
}

static int add(struct subject *s, uint64_t page)
{
	static _Alignas(4096) uint64_t source[512];

	source[0] = contents_of(s, page);
	return sgx_encl_add_page(s->encl, page * 4096, source, &reg_rw, true);
}

static int einit(struct subject *s)
{
	struct isa_outcome out;

	return sgx_encl_einit(s->encl, &sigstruct, hash, &out);
}

static int open_subject(struct fake *f, struct subject *s, unsigned int nr,
			struct sgx_epc_group *group)
{
	const struct sgx_encl_config config = {
		.owner = { .encl_id = nr, .group = group },
		.cookie = (void *)(uintptr_t)nr,
	};

	*s = (struct subject){ .f = f, .nr = nr };
	return sgx_encl_create(f->pool, &config, &s->encl);
}

/* An initialized enclave of pages 0 to @nr_pages - 1. */
static void make(struct fake *f, struct subject *s, unsigned int nr, uint64_t nr_pages)
{
	uint64_t i;

	assert_int_equal(open_subject(f, s, nr, NULL), 0);
	assert_int_equal(sgx_encl_ecreate(s->encl, &secs_source), 0);
	for (i = 0; i < nr_pages; i++)
		assert_int_equal(add(s, i), 0);
	assert_int_equal(einit(s), 0);
}

static int fault(struct subject *s, uint64_t page)
{
	struct sgx_encl_page_info info;

	return sgx_encl_fault(s->encl, page * 4096, SECINFO_R, NULL, &info);
}

static int read_page(struct subject *s, uint64_t page, uint64_t *value)
{
	return sgx_encl_access(s->encl, page * 4096, value, sizeof(*value), false);
}

static void assert_contents(struct subject *s, uint64_t first, uint64_t end)
{
	for (uint64_t i = first; i < end; i++) {
		uint64_t value = 0;

		assert_int_equal(read_page(s, i, &value), 0);
		assert_int_equal(value, contents_of(s, i));
	}
}

static bool is_resident(struct subject *s, uint64_t page)
{
	struct sgx_encl_page_info info;

	assert_true(sgx_encl_page_at(s->encl, page * 4096, &info));
	return info.pa != ISA_NO_FRAME;
}

static uint64_t nr_resident(struct subject *s, uint64_t end)
{
	uint64_t i, nr = 0;

	for (i = 0; i < end; i++)
		nr += is_resident(s, i);
	return nr;
}

static void finish_clean(struct fake *f)
{
	assert_adds_up(f);
	assert_int_equal(sgx_epc_stat_total(f->pool).in_use, 0);
	assert_pool_clean(f);
	fake_finish(f);
}

/* --- the way out and back ----------------------------------------------------- */

static void f56_pages_come_back_as_they_were(void **state)
{
	struct subject s;
	struct fake f;

	start_over(&f, 64);
	make(&f, &s, 1, 40);
	assert_int_equal(sgx_epc_reclaim(f.pool, 1000), 41);
	assert_counts(&f, 63, 1, 0, 0);
	assert_int_equal(nr_resident(&s, 40), 0);
	assert_contents(&s, 0, 40);
	assert_int_equal(nr_resident(&s, 40), 40);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static void f55_one_batch_is_tracked_once(void **state)
{
	struct subject s;
	struct fake f;

	start_over(&f, 256);
	make(&f, &s, 1, 200);
	assert_int_equal(sgx_epc_reclaim(f.pool, 16), 16);
	assert_int_equal(f.script[FAKE_EBLOCK].nr_calls, 16);
	assert_int_equal(f.script[FAKE_ETRACK].nr_calls, 1);
	assert_int_equal(f.script[FAKE_EWB].nr_calls, 16);
	assert_int_equal(f.nr_kicks, 1);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

/*
 * One who chose the enclave before it was taken off the list arrives with the lock
 * when the release has begun: its pages are the releaser's by then.
 */
static void f52_enclave_being_released_is_left_alone(void **state)
{
	struct subject s;
	struct fake f;

	start_over(&f, 64);
	make(&f, &s, 1, 40);
	s.encl->is_released = true;
	assert_int_equal(sgx_epc_reclaim(f.pool, 16), 0);
	assert_int_equal(f.script[FAKE_EBLOCK].nr_calls, 0);
	assert_int_equal(f.script[FAKE_EWB].nr_calls, 0);
	assert_int_equal(nr_resident(&s, 40), 40);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

/* A kick that reaches nobody: EWB says so, and tracking starts again. */
static void f56_f71_threads_inside_are_waited_for(void **state)
{
	struct subject s;
	unsigned int deaf;
	struct fake f;

	for (deaf = 0; deaf <= 6; deaf++) {
		start_over(&f, 64);
		make(&f, &s, 1, 20);
		fake_enter(&f, sgx_encl_secs_pa(s.encl));
		fake_enter(&f, sgx_encl_secs_pa(s.encl));
		f.nr_deaf_kicks = deaf;
		sgx_epc_reclaim(f.pool, 1000);
		assert_adds_up(&f);
		f.nr_deaf_kicks = 0;
		assert_contents(&s, 0, 20);
		assert_int_equal(sgx_epc_reclaim(f.pool, 1000), 21);
		assert_contents(&s, 0, 20);
		sgx_encl_release(s.encl);
		finish_clean(&f);
	}
}

/* A processor entered between ETRACK and EWB: that one page is tracked again. */
static void f56_ewb_that_finds_a_page_untracked_is_tried_again(void **state)
{
	struct subject s;
	struct fake f;

	start_over(&f, 64);
	make(&f, &s, 1, 20);
	fake_fail(&f, FAKE_EWB, 1, 1, fake_error(SGX_NOT_TRACKED));
	assert_int_equal(sgx_epc_reclaim(f.pool, 1), 1);
	assert_int_equal(f.script[FAKE_EWB].nr_calls, 2);
	assert_int_equal(f.script[FAKE_ETRACK].nr_calls, 2);
	assert_int_equal(f.nr_kicks, 2);
	assert_contents(&s, 0, 20);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static void f53_pages_in_use_get_a_second_chance(void **state)
{
	enum { NR_USED = 10 };
	struct sgx_epc_activity activity;
	struct subject s;
	struct fake f;
	uint64_t i;
	int round;

	start_over(&f, 64);
	make(&f, &s, 1, 40);
	/* The oldest are those in use; so many are written out that all would have been. */
	for (round = 0; round < 20; round++) {
		for (i = 0; i < NR_USED; i++) {
			assert_int_equal(fault(&s, i), 0);
			assert_true(fake_touch(&f, (void *)1, BASE + i * 4096));
		}
		assert_int_equal(sgx_epc_reclaim(f.pool, 1), 1);
	}
	assert_int_equal(nr_resident(&s, NR_USED), NR_USED);
	/* At first none is known to be in use. */
	sgx_epc_activity(f.pool, &activity);
	assert_in_range(activity.reloaded, 0, NR_USED / 2);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static void enclave_that_may_not_be_evicted_keeps_its_pages(void **state)
{
	struct subject s;
	struct fake f;

	start_over(&f, 16);
	make(&f, &s, 1, 14);
	f.may_not_evict = true;
	assert_int_equal(fault(&s, 100), -ENOMEM);
	assert_int_equal(f.script[FAKE_EBLOCK].nr_calls, 0);
	/* It became so between the question and the deed. */
	f.may_not_evict = false;
	f.may_not_zap = true;
	assert_int_equal(fault(&s, 100), -ENOMEM);
	assert_int_equal(f.script[FAKE_EBLOCK].nr_calls, 0);
	f.may_not_zap = false;
	assert_int_equal(fault(&s, 100), 0);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static void nothing_is_written_out_without_overcommit(void **state)
{
	const struct isa_section section = { .pa = 1ull << 32, .nr_pages = 16 };
	struct subject s;
	struct fake f;

	fake_start(&f, &section, 1, true);
	make(&f, &s, 1, 15);
	assert_int_equal(fault(&s, 100), -ENOMEM);
	assert_int_equal(sgx_epc_reclaim(f.pool, 1000), 0);
	assert_int_equal(f.script[FAKE_EPA].nr_calls, 0);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static void allocator_says_ebusy_to_who_may_not_evict(void **state)
{
	struct sgx_epc_page *page;
	struct subject s;
	struct fake f;

	start_over(&f, 16);
	make(&f, &s, 1, 14);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), -EBUSY);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, SGX_ALLOC_RECLAIM, &page), 0);
	sgx_free_epc_page(f.pool, page);
	sgx_encl_release(s.encl);
	assert_int_equal(sgx_epc_stat_total(f.pool).in_use, 0);
	finish_clean(&f);
}

/* --- rows of the catalogue ------------------------------------------------------- */

static void c1_4_va_pages_alone_do_not_make_the_allocator_loop(void **state)
{
	struct sgx_epc_page *pages[16];
	struct subject s;
	unsigned int nr = 0;
	struct fake f;

	start_over(&f, 16);
	make(&f, &s, 1, 4);
	while (!sgx_alloc_epc_page(f.pool, NULL, SGX_ALLOC_RECLAIM, &pages[nr]))
		nr++;
	/* All but the VA page; then it ends. */
	assert_int_equal(nr, 15);
	assert_int_equal(fault(&s, 0), -ENOMEM);
	while (nr)
		sgx_free_epc_page(f.pool, pages[--nr]);
	assert_contents(&s, 0, 4);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static void c1_19_backing_memory_is_returned_on_reload(void **state)
{
	struct subject s;
	size_t before;
	struct fake f;

	start_over(&f, 64);
	make(&f, &s, 1, 40);
	before = f.live_allocs;
	sgx_epc_reclaim(f.pool, 1000);
	assert_true(f.live_allocs > before);
	assert_contents(&s, 0, 40);
	assert_int_equal(f.live_allocs, before);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static struct {
	void *asked_for;	/* the last cookie */
	unsigned int nr_lent;
} lender;

static void *lend(void *ctx, void *cookie)
{
	void *p = NULL;

	lender.asked_for = cookie;
	if (posix_memalign(&p, SGX_PAGE_SIZE, SGX_PAGE_SIZE))
		return NULL;
	lender.nr_lent++;
	return p;
}

static void take_back(void *ctx, void *p)
{
	lender.nr_lent--;
	free(p);
}

static void *lend_nothing(void *ctx, void *cookie)
{
	return NULL;
}

static void start_lending(struct fake *f, void *(*backing_alloc)(void *ctx, void *encl))
{
	static const struct isa_section section = { .pa = 1ull << 32, .nr_pages = 64 };

	fake_init(f, &section, 1, true);
	f->config.overcommit = true;
	f->config.port.backing_alloc = backing_alloc;
	f->config.port.backing_free = take_back;
	assert_int_equal(sgx_epc_pool_create(&f->config, &f->pool), 0);
}

/* Who is to pay for it is known, whosever thread evicts. */
static void f61_c1_24_backing_memory_is_asked_for_in_its_owners_name(void **state)
{
	struct subject a, b;
	struct fake f;

	start_lending(&f, lend);
	make(&f, &a, 1, 4);
	assert_int_equal(sgx_epc_reclaim(f.pool, 1000), 5);
	assert_ptr_equal(lender.asked_for, (void *)1);
	assert_int_equal(lender.nr_lent, 5);
	make(&f, &b, 2, 4);
	assert_int_equal(sgx_epc_reclaim(f.pool, 1000), 5);
	assert_ptr_equal(lender.asked_for, (void *)2);
	assert_int_equal(lender.nr_lent, 10);
	assert_contents(&a, 0, 4);
	assert_int_equal(lender.nr_lent, 5);
	sgx_encl_release(b.encl);
	assert_int_equal(lender.nr_lent, 0);
	sgx_encl_release(a.encl);
	finish_clean(&f);
}

static void f54_without_backing_memory_pages_stay(void **state)
{
	struct subject s;
	struct fake f;

	start_lending(&f, lend_nothing);
	make(&f, &s, 1, 20);
	assert_int_equal(sgx_epc_reclaim(f.pool, 1000), 0);
	assert_int_equal(f.script[FAKE_EBLOCK].nr_calls, 0);
	assert_int_equal(nr_resident(&s, 20), 20);
	assert_contents(&s, 0, 20);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

/* What the reload of one page gives back is nothing of its neighbours'. */
static void f62_c1_22_reloading_a_page_leaves_its_neighbours_outside_intact(void **state)
{
	struct subject s;
	uint64_t i, j;
	struct fake f;

	start_over(&f, 64);
	make(&f, &s, 1, 33);
	for (i = 0; i < 33; i++) {
		sgx_epc_reclaim(f.pool, 1000);
		assert_int_equal(fault(&s, i), 0);
		for (j = 0; j < 33; j++) {
			if (j % 5 == i % 5)
				assert_contents(&s, j, j + 1);
		}
	}
	assert_contents(&s, 0, 33);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static void c1_27_a_va_page_is_had_under_pressure(void **state)
{
	struct sgx_epc_activity activity;
	struct subject s;
	uint64_t i;
	struct fake f;

	start_over(&f, 64);
	make(&f, &s, 1, 500);
	for (i = 500; i < 1100; i++)
		assert_int_equal(fault(&s, i), 0);
	sgx_epc_activity(f.pool, &activity);
	assert_int_equal(activity.va_pages, 3);
	assert_contents(&s, 0, 500);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static void f68_c1_38_augments_after_the_secs_was_written_out(void **state)
{
	struct subject s;
	struct fake f;

	start_over(&f, 16);
	make(&f, &s, 1, 3);
	sgx_epc_reclaim(f.pool, 1000);
	assert_true(sgx_encl_secs_pa(s.encl) == ISA_NO_FRAME);
	assert_int_equal(fault(&s, 50), 0);
	assert_true(sgx_encl_secs_pa(s.encl) != ISA_NO_FRAME);
	assert_contents(&s, 0, 3);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

/* What the port is asked while a thread allocates a page, hence without a lock. */
static void (*while_allocating)(struct fake *f);
static struct subject *hooked;

static unsigned int hooked_node(void *ctx)
{
	void (*fn)(struct fake *f) = while_allocating;

	while_allocating = NULL;
	if (fn)
		fn(ctx);
	return 0;
}

static void start_hooked(struct fake *f, struct subject *s, uint64_t nr_pages)
{
	fake_init(f, small_sections, 3, true);
	f->config.overcommit = true;
	f->config.port.node = hooked_node;
	assert_int_equal(sgx_epc_pool_create(&f->config, &f->pool), 0);
	make(f, s, 1, nr_pages);
	hooked = s;
}

static void fault_on_page_9(struct fake *f)
{
	assert_int_equal(fault(hooked, 9), 0);
}

static void f34_u1_both_who_touch_an_absent_page_get_it(void **state)
{
	struct subject s;
	struct fake f;

	start_hooked(&f, &s, 3);
	while_allocating = fault_on_page_9;
	assert_int_equal(fault(&s, 9), 0);
	assert_null(while_allocating);
	assert_int_equal(f.script[FAKE_EAUG].nr_calls, 1);
	/* SECS, VA page, 3 pages and one: the loser's page went back. */
	assert_int_equal(sgx_encl_nr_pages(s.encl), 6);
	assert_int_equal(sgx_epc_stat_total(f.pool).in_use, 6);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static void trim(struct subject *s, uint64_t page)
{
	struct isa_outcome out;

	assert_int_equal(sgx_encl_modify_page(s->encl, page * 4096, PT_TRIM, &out), 0);
	assert_true(fake_accept(s->f, fake_page_of(s->f, (void *)(uintptr_t)s->nr,
						   BASE + page * 4096)));
}

static void remove_page_0(struct fake *f)
{
	assert_int_equal(sgx_encl_remove_page(hooked->encl, 0), 0);
}

/* Removed while a thread that faulted on it waits for room to reload it. */
static void f24_f60_u2_a_page_removed_during_a_fault_is_augmented(void **state)
{
	struct subject s;
	struct fake f;

	start_hooked(&f, &s, 3);
	trim(&s, 0);
	sgx_epc_reclaim(f.pool, 1000);
	while_allocating = remove_page_0;
	assert_int_equal(fault(&s, 0), 0);
	assert_null(while_allocating);
	assert_int_equal(f.script[FAKE_EAUG].nr_calls, 1);
	assert_true(fake_page_of(&f, (void *)1, BASE)->pending);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

/* --- a debugger beside a batch ---------------------------------------------- */

static struct {
	struct subject *s;
	pthread_t thread;
	atomic_bool waits, done;
	uint64_t value;
	int err;
	bool started;
} debugger;

static void *debug(void *arg)
{
	debugger.err = read_page(debugger.s, 0, &debugger.value);
	atomic_store(&debugger.done, true);
	return NULL;
}

/* Whoever waits for a lock comes by here. */
static void note_waiting(void *ctx)
{
	atomic_store(&debugger.waits, true);
	sched_yield();
}

/* While pages are blocked and the enclave's lock is held. */
static void start_debugger(void *ctx, void *cookie, uint64_t secs)
{
	if (!debugger.s || debugger.started)
		return;
	debugger.started = true;
	atomic_store(&debugger.waits, false);
	assert_int_equal(pthread_create(&debugger.thread, NULL, debug, NULL), 0);
	while (!atomic_load(&debugger.waits))
		sched_yield();
	assert_false(atomic_load(&debugger.done));
}

static void l10_access_beside_a_batch_waits_for_its_end(void **state)
{
	struct subject s;
	struct fake f;

	fake_init(&f, small_sections, 3, true);
	f.config.overcommit = true;
	f.config.mm.kick = start_debugger;
	f.config.port.yield = note_waiting;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	make(&f, &s, 1, 8);
	debugger.s = &s;
	steps_beside_others(true);
	assert_true(sgx_epc_reclaim(f.pool, 4) > 0);
	assert_true(debugger.started);
	pthread_join(debugger.thread, NULL);
	steps_beside_others(false);
	assert_int_equal(debugger.err, 0);
	assert_int_equal(debugger.value, contents_of(&s, 0));
	debugger.s = NULL;
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static uint64_t poisoned_pa;

static void poison_then_kick(void *ctx, void *cookie, uint64_t secs)
{
	struct fake *f = ctx;

	if (poisoned_pa)
		assert_int_equal(sgx_epc_poison(f->pool, poisoned_pa), 0);
}

/* Reported between the choice of the page and its EWB. */
static void u3_a_page_poisoned_on_its_way_out_is_not_written(void **state)
{
	struct sgx_encl_page_info info;
	struct subject s;
	struct fake f;

	fake_init(&f, small_sections, 3, true);
	f.config.overcommit = true;
	f.config.mm.kick = poison_then_kick;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	make(&f, &s, 1, 8);
	assert_true(sgx_encl_page_at(s.encl, 0, &info));
	poisoned_pa = info.pa;
	sgx_epc_reclaim(f.pool, 1000);
	poisoned_pa = 0;
	assert_true(is_resident(&s, 0));
	assert_int_equal(nr_resident(&s, 8), 1);
	assert_contents(&s, 1, 8);
	sgx_encl_release(s.encl);
	assert_int_equal(sgx_epc_stat_total(f.pool).poisoned, 1);
	finish_clean(&f);
}

static void f57_l1_a_failed_ewb_loses_nothing(void **state)
{
	size_t i;

	for (i = 0; i < fake_nr_failures; i++) {
		struct subject s;
		struct fake f;

		start_over(&f, 64);
		make(&f, &s, 1, 20);
		fake_fail(&f, FAKE_EWB, 1, 1000, fake_failures[i]);
		assert_int_equal(sgx_epc_reclaim(f.pool, 1000), 0);
		assert_counts(&f, 42, 22, 0, 0);
		assert_int_equal(nr_resident(&s, 20), 20);
		/* A blocked page is of use only after EWB and ELDU. */
		fake_fail(&f, FAKE_EWB, 1, 0, fake_failures[i]);
		assert_contents(&s, 0, 20);
		for (uint64_t page = 0; page < 20; page++)
			assert_int_equal(fault(&s, page), 0);
		assert_int_equal(sgx_epc_reclaim(f.pool, 1000), 21);
		assert_contents(&s, 0, 20);
		sgx_encl_release(s.encl);
		finish_clean(&f);
	}
}

/* EWB and ELDU again, and that fails too: at each of its steps the page stays where it is. */
static void l1_a_blocked_page_outlasts_what_is_done_to_unblock_it(void **state)
{
	uint64_t value;
	struct subject s;
	struct fake f;

	start_over(&f, 64);
	make(&f, &s, 1, 4);
	fake_fail(&f, FAKE_EWB, 1, 4, fake_fault(X86_GP));
	assert_int_equal(sgx_epc_reclaim(f.pool, 1000), 0);

	f.fail_alloc = f.nr_allocs + 1;
	assert_int_equal(read_page(&s, 0, &value), -ENOMEM);
	f.may_not_zap = true;
	assert_int_equal(read_page(&s, 0, &value), -EIO);
	f.may_not_zap = false;
	fake_fail(&f, FAKE_EBLOCK, 1, 1, fake_fault(X86_GP));
	assert_int_equal(read_page(&s, 0, &value), -EIO);
	fake_fail(&f, FAKE_EWB, 1, 1, fake_fault(X86_GP));
	assert_int_equal(read_page(&s, 0, &value), -EIO);
	assert_int_equal(nr_resident(&s, 4), 4);
	/* Written out, but it does not come back: from then on it is outside. */
	fake_fail(&f, FAKE_ELDU, 1, 1, fake_fault(X86_GP));
	assert_int_equal(read_page(&s, 0, &value), -EIO);
	assert_false(is_resident(&s, 0));
	assert_counts(&f, 64 - 5, 5, 0, 0);
	assert_contents(&s, 0, 4);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static void f69_l1_a_secs_whose_ewb_failed_stays(void **state)
{
	struct subject s;
	struct fake f;

	start_over(&f, 64);
	make(&f, &s, 1, 4);
	/* The last EWB is that of the SECS. */
	fake_fail(&f, FAKE_EWB, 5, 1, fake_fault(X86_GP));
	assert_int_equal(sgx_epc_reclaim(f.pool, 1000), 4);
	assert_true(sgx_encl_secs_pa(s.encl) != ISA_NO_FRAME);
	assert_contents(&s, 0, 4);
	assert_int_equal(sgx_epc_reclaim(f.pool, 1000), 5);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static void f63_f64_a_page_whose_eldu_failed_is_still_outside(void **state)
{
	uint64_t value;
	size_t i;

	for (i = 0; i < fake_nr_failures; i++) {
		struct subject s;
		struct fake f;

		start_over(&f, 64);
		make(&f, &s, 1, 4);
		sgx_epc_reclaim(f.pool, 1000);
		fake_fail(&f, FAKE_ELDU, 1, 2, fake_failures[i]);
		assert_int_equal(read_page(&s, 1, &value), -EIO);
		assert_int_equal(fault(&s, 1), -EIO);
		assert_counts(&f, 63, 1, 0, 0);
		assert_contents(&s, 0, 4);
		sgx_encl_release(s.encl);
		finish_clean(&f);
	}
}

static void l12_a_change_whose_tracking_failed_can_be_finished(void **state)
{
	struct sgx_encl_page_info info;
	struct isa_outcome out;
	struct subject s;
	struct fake f;

	start_over(&f, 64);
	make(&f, &s, 1, 4);
	fake_fail(&f, FAKE_ETRACK, 1, 2, fake_error(SGX_PREV_TRK_INCMPL));
	assert_int_equal(sgx_encl_modify_page(s.encl, 0, PT_TCS, &out), -EFAULT);
	/* Type and limit are those of the EPCM, both. */
	assert_true(sgx_encl_page_at(s.encl, 0, &info));
	assert_int_equal(info.type, PT_TCS);
	assert_int_equal(fake_page_of(&f, (void *)1, BASE)->pt, PT_TCS);
	assert_false(fake_accept(&f, fake_page_of(&f, (void *)1, BASE)));
	assert_int_equal(sgx_encl_modify_page(s.encl, 0, PT_TCS, &out), 0);
	assert_true(fake_accept(&f, fake_page_of(&f, (void *)1, BASE)));
	assert_int_equal(sgx_encl_modify_page(s.encl, 0, PT_TCS, &out), -EINVAL);
	assert_int_equal(f.script[FAKE_EMODT].nr_calls, 1);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

/* The versions of pages outside keep a VA page, whichever is spare. */
static void f66_va_pages_in_use_stay(void **state)
{
	struct sgx_epc_activity activity;
	struct subject s;
	uint64_t i;
	struct fake f;

	start_over(&f, 2048);
	make(&f, &s, 1, 600);
	/* From the first VA page that has slots, which is the latest. */
	assert_int_equal(sgx_epc_reclaim(f.pool, 16), 16);
	for (i = 300; i < 500; i++) {
		trim(&s, i);
		assert_int_equal(sgx_encl_remove_page(s.encl, i * 4096), 0);
	}
	sgx_epc_activity(f.pool, &activity);
	assert_int_equal(activity.va_pages, 1);
	assert_contents(&s, 0, 300);
	assert_contents(&s, 500, 600);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static void f66_va_pages_are_given_back_when_empty(void **state)
{
	struct sgx_epc_activity activity;
	struct subject s;
	uint64_t i;
	struct fake f;

	start_over(&f, 2048);
	make(&f, &s, 1, 1500);
	sgx_epc_activity(f.pool, &activity);
	assert_int_equal(activity.va_pages, 3);
	for (i = 0; i < 1500; i++) {
		trim(&s, i);
		assert_int_equal(sgx_encl_remove_page(s.encl, i * 4096), 0);
	}
	sgx_epc_activity(f.pool, &activity);
	assert_int_equal(activity.va_pages, 1);
	assert_int_equal(sgx_encl_nr_pages(s.encl), 2);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

/* --- who has to give ------------------------------------------------------------- */

/* An access as a program makes it.  Return: true when it needed the manager. */
static bool use(struct subject *s, uint64_t page)
{
	if (fake_touch(s->f, (void *)(uintptr_t)s->nr, BASE + page * 4096))
		return false;
	assert_int_equal(fault(s, page), 0);
	return true;
}

static void f51_a_greedy_enclave_does_not_starve_another(void **state)
{
	struct subject greedy, modest;
	uint64_t round, i, next = 0, nr_misses = 0;
	struct fake f;

	start_over(&f, 256);
	make(&f, &modest, 1, 60);
	make(&f, &greedy, 2, 1000);
	for (round = 0; round < 100; round++) {
		for (i = 0; i < 60; i++)
			nr_misses += use(&modest, i) && round > 5;
		for (i = 0; i < 100; i++)
			use(&greedy, next++ % 1000);
	}
	/* The modest one needs less than half of the EPC, and has it. */
	assert_int_equal(nr_misses, 0);
	assert_int_equal(nr_resident(&modest, 60), 60);
	assert_contents(&modest, 0, 60);
	assert_contents(&greedy, 0, 1000);
	sgx_encl_release(modest.encl);
	sgx_encl_release(greedy.encl);
	finish_clean(&f);
}

/* Each has less than the one that works, but nobody uses what they have. */
static void idle_enclaves_give_before_one_that_works(void **state)
{
	struct subject idle[4], working;
	uint64_t round, i, nr_misses = 0, nr_idle = 0;
	unsigned int n;
	struct fake f;

	start_over(&f, 256);
	for (n = 0; n < 4; n++)
		make(&f, &idle[n], n + 1, 50);
	make(&f, &working, 5, 150);
	for (round = 0; round < 60; round++) {
		for (i = 0; i < 150; i++)
			nr_misses += use(&working, i) && round > 20;
	}
	for (n = 0; n < 4; n++)
		nr_idle += nr_resident(&idle[n], 50);
	assert_int_equal(nr_misses, 0);
	assert_true(nr_idle < 100);
	for (n = 0; n < 4; n++) {
		assert_contents(&idle[n], 0, 50);
		sgx_encl_release(idle[n].encl);
	}
	sgx_encl_release(working.encl);
	finish_clean(&f);
}

static void f51_two_that_want_all_share_evenly(void **state)
{
	struct subject a, b;
	uint64_t i;
	struct fake f;

	start_over(&f, 256);
	make(&f, &a, 1, 500);
	make(&f, &b, 2, 500);
	for (i = 0; i < 5000; i++) {
		assert_int_equal(fault(&a, i * 7 % 500), 0);
		assert_int_equal(fault(&b, i * 11 % 500), 0);
	}
	assert_in_range(nr_resident(&a, 500), 100, 145);
	assert_in_range(nr_resident(&b, 500), 100, 145);
	sgx_encl_release(a.encl);
	sgx_encl_release(b.encl);
	finish_clean(&f);
}

static void a_group_at_its_limit_evicts_from_itself(void **state)
{
	struct sgx_epc_group *group;
	struct subject inside, outside;
	uint64_t i;
	struct fake f;

	start_over(&f, 256);
	assert_int_equal(sgx_epc_group_create(f.pool, 40, &group), 0);
	make(&f, &outside, 1, 100);
	assert_int_equal(open_subject(&f, &inside, 2, group), 0);
	assert_int_equal(sgx_encl_ecreate(inside.encl, &secs_source), 0);
	for (i = 0; i < 100; i++) {
		assert_int_equal(add(&inside, i), 0);
		assert_true(sgx_epc_group_usage(group) <= 40);
	}
	assert_int_equal(einit(&inside), 0);
	assert_contents(&inside, 0, 100);
	assert_int_equal(nr_resident(&outside, 100), 100);
	assert_true(sgx_epc_stat_total(f.pool).free > 50);
	sgx_encl_release(inside.encl);
	assert_int_equal(sgx_epc_group_usage(group), 0);
	sgx_epc_group_destroy(group);
	sgx_encl_release(outside.encl);
	finish_clean(&f);
}

static void a_group_too_small_for_its_enclave_says_enomem(void **state)
{
	struct sgx_epc_group *group;
	struct subject s;
	struct fake f;

	start_over(&f, 64);
	assert_int_equal(sgx_epc_group_create(f.pool, 2, &group), 0);
	assert_int_equal(open_subject(&f, &s, 1, group), 0);
	assert_int_equal(sgx_encl_ecreate(s.encl, &secs_source), 0);
	assert_int_equal(add(&s, 0), -ENOMEM);
	sgx_encl_release(s.encl);
	sgx_epc_group_destroy(group);
	finish_clean(&f);
}

/* Sixteen pages for three enclaves that each want more: everybody gets on. */
static void f32_f50_the_smallest_epc_serves_many(void **state)
{
	struct subject s[3];
	uint64_t round, i;
	unsigned int n;
	struct fake f;

	start_over(&f, 16);
	for (n = 0; n < 3; n++)
		make(&f, &s[n], n + 1, 20);
	for (round = 0; round < 20; round++) {
		for (n = 0; n < 3; n++) {
			/* One instruction's worth of pages, all at a time. */
			for (i = 0; i < 3; i++)
				assert_int_equal(fault(&s[n], (round + i * 6) % 20), 0);
			for (i = 1; i < 3; i++)
				assert_true(is_resident(&s[n], (round + i * 6) % 20));
		}
	}
	for (n = 0; n < 3; n++) {
		assert_contents(&s[n], 0, 20);
		sgx_encl_release(s[n].encl);
	}
	finish_clean(&f);
}

/*
 * What comes back at once is kept, so a new page is all there is on probation: it
 * would go for the next one, that for it, and who needs both would never get on.
 */
static void f50_the_latest_page_does_not_go_for_the_next(void **state)
{
	struct subject s;
	uint64_t i;
	struct fake f;

	start_over(&f, 8);
	make(&f, &s, 1, 6);
	assert_int_equal(sgx_epc_reclaim(f.pool, 1000), 7);
	for (i = 0; i < 6; i++)
		assert_int_equal(fault(&s, i), 0);
	for (i = 0; i < 20; i++) {
		assert_int_equal(fault(&s, 100 + 2 * i), 0);
		assert_int_equal(fault(&s, 101 + 2 * i), 0);
		assert_true(is_resident(&s, 100 + 2 * i));
	}
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

/* Beside the SECS and the VA page: one page to run on, or the instruction and its operand. */
static void room_for_one_page_is_no_room_to_run(void **state)
{
	struct sgx_encl_page_info info;
	struct subject s, other;
	struct fake f;

	start_over(&f, 3);
	make(&f, &s, 1, 1);
	assert_int_equal(fault(&s, 100), -ENOMEM);
	assert_true(is_resident(&s, 0));
	assert_contents(&s, 0, 1);
	/* The processor's own accesses need no other page. */
	assert_int_equal(sgx_encl_fault(s.encl, 100 * 4096, 0, NULL, &info), 0);
	assert_false(is_resident(&s, 0));
	/* Others get it, for it is not of use where it is. */
	assert_int_equal(open_subject(&f, &other, 2, NULL), 0);
	assert_int_equal(sgx_epc_reclaim(f.pool, 1), 2);
	sgx_encl_release(other.encl);
	sgx_encl_release(s.encl);
	finish_clean(&f);

	start_over(&f, 4);
	make(&f, &s, 1, 1);
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(fault(&s, 100 + i), 0);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

/* Pages of which none is the neighbour of another, until EPC is short. */
static void scatter(struct fake *f, struct subject *s)
{
	uint64_t i = 0;

	while (i < 1100 || sgx_epc_stat_total(f->pool).free >= sgx_epc_watermarks(f->pool).low)
		assert_int_equal(fault(s, 2000 + 2 * i++), 0);
}

static void ahead_takes_a_batch_where_there_is_plenty(void **state)
{
	struct sgx_epc_watermarks marks;
	struct subject s;
	struct fake f;

	start_over(&f, 1024);
	make(&f, &s, 1, 1);
	scatter(&f, &s);
	marks = sgx_epc_watermarks(f.pool);
	assert_int_equal(sgx_epc_reclaim_ahead(f.pool, 8, NULL, NULL), 8);
	while (sgx_epc_stat_total(f.pool).free < marks.low)
		assert_int_equal(sgx_epc_reclaim_ahead(f.pool, 8, NULL, NULL), 8);
	assert_int_equal(sgx_epc_reclaim_ahead(f.pool, 8, NULL, NULL), 0);
	sgx_encl_release(s.encl);
	finish_clean(&f);

	/* All that a small one has is in use. */
	start_over(&f, 5);
	make(&f, &s, 1, 6);
	assert_int_equal(sgx_epc_reclaim_ahead(f.pool, 8, NULL, NULL), 0);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

/* An enclave whose neighbours came in one after the other, and an EPC that is short. */
static void start_sequence(struct fake *f, struct subject *s)
{
	uint64_t i = 0;

	start_over(f, 1024);
	make(f, s, 1, 1500);
	while (sgx_epc_stat_total(f->pool).free >= sgx_epc_watermarks(f->pool).low)
		assert_int_equal(fault(s, 2000 + i++), 0);
}

static void ahead_takes_neighbours_together(void **state)
{
	struct subject s;
	struct fake f;

	start_sequence(&f, &s);
	assert_int_equal(sgx_epc_reclaim_ahead(f.pool, 8, NULL, NULL), EPC_EVICT_BATCH);
	assert_contents(&s, 0, 1500);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static bool at_once(void *ctx)
{
	++*(unsigned int *)ctx;
	return true;
}

static void what_there_was_no_moment_for_goes_out_next(void **state)
{
	unsigned int nr_asked = 0;
	struct subject s;
	struct fake f;

	start_sequence(&f, &s);
	assert_int_equal(sgx_epc_reclaim_ahead(f.pool, 8, at_once, &nr_asked), 1);
	assert_int_equal(nr_asked, 1);
	assert_int_equal(s.encl->victims.leaving.nr, EPC_EVICT_BATCH - 1);
	/* Nobody has to be asked for them. */
	f.may_not_zap = true;
	assert_int_equal(sgx_epc_reclaim_ahead(f.pool, 8, at_once, &nr_asked), 1);
	assert_int_equal(sgx_epc_reclaim_ahead(f.pool, 8, NULL, NULL), 8);
	assert_int_equal(sgx_epc_reclaim(f.pool, 1000), EPC_EVICT_BATCH - 10);
	assert_int_equal(s.encl->victims.leaving.nr, 0);
	assert_int_equal(sgx_epc_reclaim_ahead(f.pool, 8, NULL, NULL), 0);
	f.may_not_zap = false;
	assert_contents(&s, 0, 1500);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static void pages_on_their_way_out_can_be_used(void **state)
{
	unsigned int nr_asked = 0;
	struct subject s;
	size_t nr_allocs;
	struct fake f;
	uint64_t page;

	start_sequence(&f, &s);
	sgx_epc_reclaim_ahead(f.pool, 8, at_once, &nr_asked);
	page = s.encl->victims.leaving.head->nr;
	assert_int_equal(fault(&s, page), 0);
	assert_int_equal(s.encl->victims.leaving.nr, EPC_EVICT_BATCH - 2);
	if (page < 1500)
		assert_contents(&s, page, page + 1);
	/* What memory they need outside was there before. */
	nr_allocs = f.nr_allocs;
	assert_int_equal(sgx_epc_reclaim_ahead(f.pool, 8, NULL, NULL), 8);
	assert_int_equal(f.nr_allocs, nr_allocs);
	assert_true(s.encl->victims.leaving.nr);
	assert_contents(&s, 0, 1500);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

/* Reported when it was taken from its program already. */
static void u3_a_page_poisoned_on_its_way_out_stays(void **state)
{
	unsigned int nr_asked = 0;
	const struct epc_encl_page *rec;
	struct subject s;
	struct fake f;
	uint64_t pa;

	start_sequence(&f, &s);
	sgx_epc_reclaim_ahead(f.pool, 8, at_once, &nr_asked);
	rec = s.encl->victims.leaving.tail;
	pa = sgx_epc_page_pa(f.pool, epc_record_page(s.encl, rec));
	assert_int_equal(sgx_epc_poison(f.pool, pa), 0);
	while (s.encl->victims.leaving.nr)
		sgx_epc_reclaim(f.pool, 8);
	assert_true(is_resident(&s, rec->nr));
	assert_true(fake_page_at(&f, pa)->valid);
	/* Nor is it chosen again. */
	sgx_epc_reclaim(f.pool, 2000);
	assert_true(is_resident(&s, rec->nr));
	sgx_encl_release(s.encl);
	assert_int_equal(sgx_epc_stat_total(f.pool).poisoned, 1);
	finish_clean(&f);
}

static void pages_that_fail_on_their_way_out_stay(void **state)
{
	unsigned int nr_asked = 0;
	struct subject s;
	struct fake f;

	start_sequence(&f, &s);
	sgx_epc_reclaim_ahead(f.pool, 8, at_once, &nr_asked);
	fake_fail(&f, FAKE_EWB, 1, 8, fake_fault(X86_GP));
	assert_int_equal(sgx_epc_reclaim_ahead(f.pool, 8, NULL, NULL), 0);
	assert_int_equal(s.encl->victims.leaving.nr, EPC_EVICT_BATCH - 9);
	assert_contents(&s, 0, 1500);
	/* Released with some of them. */
	while (!s.encl->victims.leaving.nr)
		if (sgx_epc_reclaim_ahead(f.pool, 8, at_once, &nr_asked) != 1)
			assert_int_equal(fault(&s, 4000 + nr_asked++), 0);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static void a_page_is_reloaded_before_it_is_asked_for(void **state)
{
	struct sgx_epc_activity before, after;
	struct subject s;
	struct fake f;
	uint64_t page;

	start_over(&f, 32);
	make(&f, &s, 1, 40);
	for (page = 0; is_resident(&s, page); page++)
		;
	/* Not at the cost of another. */
	while (sgx_epc_stat_total(f.pool).free)
		assert_int_equal(fault(&s, 100 + sgx_epc_stat_total(f.pool).free), 0);
	assert_false(is_resident(&s, page));
	sgx_epc_activity(f.pool, &before);
	assert_false(sgx_encl_load_ahead(s.encl, page * 4096));
	sgx_epc_activity(f.pool, &after);
	assert_int_equal(after.evicted, before.evicted);

	sgx_epc_reclaim(f.pool, 2);
	sgx_epc_activity(f.pool, &before);
	assert_true(sgx_encl_load_ahead(s.encl, page * 4096));
	assert_true(is_resident(&s, page));
	assert_false(sgx_encl_load_ahead(s.encl, page * 4096));
	assert_int_equal(fault(&s, page), 0);
	sgx_epc_activity(f.pool, &after);
	assert_int_equal(after.reloaded, before.reloaded + 1);
	assert_contents(&s, page, page + 1);
	/* There is no such page, nor will there be. */
	assert_false(sgx_encl_load_ahead(s.encl, 1000 * 4096));
	assert_false(sgx_encl_load_ahead(s.encl, SIZE));
	assert_false(sgx_encl_load_ahead(s.encl, 1));
	assert_contents(&s, 0, 40);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

static void f59_background_stops_at_the_high_watermark(void **state)
{
	struct sgx_epc_watermarks marks;
	struct subject s;
	struct fake f;

	start_over(&f, 1024);
	make(&f, &s, 1, 1500);
	marks = sgx_epc_watermarks(f.pool);
	assert_true(marks.low > 0 && marks.high > marks.low && marks.high < 1024);
	sgx_epc_reclaim_background(f.pool, NULL);
	assert_in_range(sgx_epc_stat_total(f.pool).free, marks.high, marks.high + 16);
	sgx_epc_reclaim_background(f.pool, NULL);
	assert_in_range(sgx_epc_stat_total(f.pool).free, marks.high, marks.high + 16);
	/* And it ends when nothing can be had. */
	fake_fail(&f, FAKE_EWB, 1, 1000000, fake_fault(X86_GP));
	while (!fault(&s, 2000 + sgx_epc_stat_total(f.pool).free))
		;
	sgx_epc_reclaim_background(f.pool, NULL);
	sgx_encl_release(s.encl);
	finish_clean(&f);
}

/* --- everything fails once ---------------------------------------------------------- */

#define NR_ADDED 12u
#define NR_AUGMENTED 6u
#define NR_SUBJECT_PAGES (NR_ADDED + NR_AUGMENTED)

struct story {
	struct subject a, b;
	bool a_has[NR_SUBJECT_PAGES];	/* its contents are ours */
	bool b_has[NR_ADDED];
	int first_error;
};

static int note(struct story *t, int err)
{
	if (err && !t->first_error)
		t->first_error = err;
	assert_adds_up(t->a.f);
	return err;
}

static void tell_building(struct fake *f, struct story *t, struct subject *s, unsigned int nr,
			  bool *has)
{
	unsigned int i;

	if (note(t, open_subject(f, s, nr, NULL))) {
		s->encl = NULL;
		return;
	}
	if (note(t, sgx_encl_ecreate(s->encl, &secs_source)))
		note(t, sgx_encl_ecreate(s->encl, &secs_source));
	for (i = 0; i < NR_ADDED; i++)
		has[i] = !note(t, add(s, i));
	note(t, einit(s));
}

static void tell_edmm(struct story *t)
{
	struct subject *s = &t->a;
	struct fake_page *page;
	struct isa_outcome out;
	unsigned int i;

	for (i = NR_ADDED; i < NR_SUBJECT_PAGES; i++) {
		uint64_t value = contents_of(s, i);

		if (note(t, fault(s, i)))
			continue;
		page = fake_page_of(s->f, (void *)(uintptr_t)s->nr, BASE + i * 4096);
		if (!page || !fake_accept(s->f, page))
			continue;
		t->a_has[i] = !note(t, sgx_encl_access(s->encl, i * 4096, &value, 8, true));
	}
	note(t, sgx_encl_restrict_page(s->encl, NR_ADDED * 4096, SECINFO_R, &out));
	note(t, sgx_encl_modify_page(s->encl, (NR_ADDED + 1) * 4096, PT_TCS, &out));
	if (note(t, sgx_encl_modify_page(s->encl, (NR_ADDED + 2) * 4096, PT_TRIM, &out)))
		return;
	page = fake_page_of(s->f, (void *)(uintptr_t)s->nr, BASE + (NR_ADDED + 2) * 4096);
	if (page && fake_accept(s->f, page) &&
	    !note(t, sgx_encl_remove_page(s->encl, (NR_ADDED + 2) * 4096)))
		t->a_has[NR_ADDED + 2] = false;
}

/* Two enclaves in an EPC that holds one and a half of them. */
static void tell(struct fake *f, struct story *t)
{
	uint64_t value;
	unsigned int i;

	*t = (struct story){ .a.f = f };
	tell_building(f, t, &t->a, 1, t->a_has);
	tell_building(f, t, &t->b, 2, t->b_has);
	if (!t->a.encl || !t->b.encl)
		return;
	tell_edmm(t);
	for (i = 0; i < NR_ADDED; i++) {
		note(t, read_page(&t->a, i, &value));
		note(t, read_page(&t->b, i, &value));
	}
	sgx_epc_reclaim(f->pool, 5);
	assert_adds_up(f);
	sgx_epc_reclaim(f->pool, 1000);
	assert_adds_up(f);
	note(t, read_page(&t->a, 0, &value));
}

/* With nothing failing any more: what was there is there. */
static void check_and_finish(struct fake *f, struct story *t)
{
	unsigned int i;

	for (i = 0; t->a.encl && t->b.encl && i < NR_SUBJECT_PAGES; i++) {
		if (t->a_has[i])
			assert_contents(&t->a, i, i + 1);
		if (i < NR_ADDED && t->b_has[i])
			assert_contents(&t->b, i, i + 1);
	}
	assert_adds_up(f);
	sgx_encl_release(t->a.encl);
	sgx_encl_release(t->b.encl);
	assert_int_equal(sgx_epc_stat_total(f->pool).in_use, 0);
	assert_pool_clean(f);
	fake_finish(f);
}

#define STORY_PAGES 24u

static void each_call_of_each_leaf_fails_in_turn(void **state)
{
	unsigned int nr_calls[FAKE_NR_LEAVES];
	unsigned int leaf, nth;
	struct story t;
	struct fake f;
	size_t i;

	start_over(&f, STORY_PAGES);
	tell(&f, &t);
	assert_int_equal(t.first_error, 0);
	for (leaf = 0; leaf < FAKE_NR_LEAVES; leaf++) {
		nr_calls[leaf] = f.script[leaf].nr_calls;
		/* The story has to reach all of them. */
		assert_true(nr_calls[leaf] > 0 || leaf == FAKE_EREMOVE);
	}
	check_and_finish(&f, &t);

	for (leaf = 0; leaf < FAKE_NR_LEAVES; leaf++) {
		for (nth = 1; nth <= nr_calls[leaf]; nth += leaf == FAKE_EEXTEND ? 37 : 1) {
			for (i = 0; i < fake_nr_failures; i++) {
				start_over(&f, STORY_PAGES);
				fake_fail(&f, leaf, nth, 1, fake_failures[i]);
				tell(&f, &t);
				fake_fail(&f, leaf, 1, 0, fake_failures[i]);
				check_and_finish(&f, &t);
			}
		}
	}
}

/* From the nth call on for good: nothing is lost by that either. */
static void each_leaf_breaks_down_in_turn(void **state)
{
	static const unsigned int leaves[] = {
		FAKE_EBLOCK, FAKE_ETRACK, FAKE_EWB, FAKE_ELDU, FAKE_EAUG, FAKE_EMODPR, FAKE_EMODT,
		FAKE_EPA, FAKE_EREMOVE, FAKE_EDBGRD,
	};
	unsigned int n, nth;
	struct story t;
	struct fake f;
	size_t i;

	for (n = 0; n < sizeof(leaves) / sizeof(leaves[0]); n++) {
		for (nth = 1; nth < 40; nth += 6) {
			for (i = n % 7; i < fake_nr_failures; i += 7) {
				start_over(&f, STORY_PAGES);
				fake_fail(&f, leaves[n], nth, 1000000, fake_failures[i]);
				tell(&f, &t);
				fake_fail(&f, leaves[n], 1, 0, fake_failures[i]);
				check_and_finish(&f, &t);
			}
		}
	}
}

/* Before EADD, EAUG and ELDU. */
static void each_place_is_refused_in_turn(void **state)
{
	unsigned int n, total;
	struct story t;
	struct fake f;

	start_over(&f, STORY_PAGES);
	tell(&f, &t);
	total = f.nr_places;
	check_and_finish(&f, &t);
	for (n = 1; n <= total; n++) {
		start_over(&f, STORY_PAGES);
		f.fail_place = n;
		tell(&f, &t);
		assert_int_equal(t.first_error, -ENOMEM);
		check_and_finish(&f, &t);
	}
}

static void each_allocation_fails_in_turn(void **state)
{
	struct story t;
	struct fake f;
	size_t n, total;

	start_over(&f, STORY_PAGES);
	n = f.nr_allocs;
	tell(&f, &t);
	total = f.nr_allocs;
	check_and_finish(&f, &t);
	for (; n <= total; n++) {
		start_over(&f, STORY_PAGES);
		f.fail_alloc = n;
		tell(&f, &t);
		f.fail_alloc = 0;
		check_and_finish(&f, &t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f56_pages_come_back_as_they_were),
		cmocka_unit_test(f55_one_batch_is_tracked_once),
		cmocka_unit_test(f52_enclave_being_released_is_left_alone),
		cmocka_unit_test(f56_f71_threads_inside_are_waited_for),
		cmocka_unit_test(f56_ewb_that_finds_a_page_untracked_is_tried_again),
		cmocka_unit_test(f53_pages_in_use_get_a_second_chance),
		cmocka_unit_test(enclave_that_may_not_be_evicted_keeps_its_pages),
		cmocka_unit_test(nothing_is_written_out_without_overcommit),
		cmocka_unit_test(allocator_says_ebusy_to_who_may_not_evict),
		cmocka_unit_test(c1_4_va_pages_alone_do_not_make_the_allocator_loop),
		cmocka_unit_test(c1_19_backing_memory_is_returned_on_reload),
		cmocka_unit_test(f61_c1_24_backing_memory_is_asked_for_in_its_owners_name),
		cmocka_unit_test(f54_without_backing_memory_pages_stay),
		cmocka_unit_test(f62_c1_22_reloading_a_page_leaves_its_neighbours_outside_intact),
		cmocka_unit_test(c1_27_a_va_page_is_had_under_pressure),
		cmocka_unit_test(f68_c1_38_augments_after_the_secs_was_written_out),
		cmocka_unit_test(f34_u1_both_who_touch_an_absent_page_get_it),
		cmocka_unit_test(f24_f60_u2_a_page_removed_during_a_fault_is_augmented),
		cmocka_unit_test(l10_access_beside_a_batch_waits_for_its_end),
		cmocka_unit_test(u3_a_page_poisoned_on_its_way_out_is_not_written),
		cmocka_unit_test(f57_l1_a_failed_ewb_loses_nothing),
		cmocka_unit_test(l1_a_blocked_page_outlasts_what_is_done_to_unblock_it),
		cmocka_unit_test(f69_l1_a_secs_whose_ewb_failed_stays),
		cmocka_unit_test(f63_f64_a_page_whose_eldu_failed_is_still_outside),
		cmocka_unit_test(l12_a_change_whose_tracking_failed_can_be_finished),
		cmocka_unit_test(f66_va_pages_in_use_stay),
		cmocka_unit_test(f66_va_pages_are_given_back_when_empty),
		cmocka_unit_test(f51_a_greedy_enclave_does_not_starve_another),
		cmocka_unit_test(idle_enclaves_give_before_one_that_works),
		cmocka_unit_test(f51_two_that_want_all_share_evenly),
		cmocka_unit_test(a_group_at_its_limit_evicts_from_itself),
		cmocka_unit_test(a_group_too_small_for_its_enclave_says_enomem),
		cmocka_unit_test(f32_f50_the_smallest_epc_serves_many),
		cmocka_unit_test(f50_the_latest_page_does_not_go_for_the_next),
		cmocka_unit_test(room_for_one_page_is_no_room_to_run),
		cmocka_unit_test(ahead_takes_a_batch_where_there_is_plenty),
		cmocka_unit_test(ahead_takes_neighbours_together),
		cmocka_unit_test(what_there_was_no_moment_for_goes_out_next),
		cmocka_unit_test(pages_on_their_way_out_can_be_used),
		cmocka_unit_test(u3_a_page_poisoned_on_its_way_out_stays),
		cmocka_unit_test(pages_that_fail_on_their_way_out_stay),
		cmocka_unit_test(a_page_is_reloaded_before_it_is_asked_for),
		cmocka_unit_test(f59_background_stops_at_the_high_watermark),
		cmocka_unit_test(each_call_of_each_leaf_fails_in_turn),
		cmocka_unit_test(each_leaf_breaks_down_in_turn),
		cmocka_unit_test(each_place_is_refused_in_turn),
		cmocka_unit_test(each_allocation_fails_in_turn),
	};

	return cmocka_run_group_tests_name("evict", tests, NULL, NULL);
}
