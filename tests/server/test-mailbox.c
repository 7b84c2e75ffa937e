/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page faults that come through memory shared with the client: what is answered, when
 * the server looks, and that nothing a client writes there harms others.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "raw-client.h"

#define ENCL_BASE 0x7a0000000000ull
#define ENCL_SIZE (1u << 20)
#define NR_PAGES 8u

static int setup(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	machine_start(m, 64);
	*state = m;
	return 0;
}

/* An enclave with some pages, and its mailbox. */
struct guest {
	int sock;
	struct raw_attached a;
	struct proto_mailbox *box;
};

static void enter(struct machine *m, struct guest *g)
{
	_Alignas(4096) static const uint8_t zero[NR_PAGES * SGX_PAGE_SIZE];
	_Alignas(4096) const struct sgx_secs secs = {
		.size = ENCL_SIZE, .baseaddr = ENCL_BASE, .ssaframesize = 1,
		.attributes = { .flags = ATTR_MODE64BIT, .xfrm = XFRM_X87_SSE },
	};

	g->sock = raw_open(m);
	assert_int_equal(raw_create(g->sock, &secs), 0);
	assert_int_equal(raw_add_pages(g->sock, 0, zero, sizeof(zero),
				       SECINFO_R | SECINFO_W | SECINFO_PT(PT_REG), 0), 0);
	assert_true(raw_attach(g->sock, &g->a));
	assert_int_equal(g->a.error, 0);
	g->box = &((struct proto_shared *)(uintptr_t)g->a.shared)->mailbox;
}

static void leave(struct guest *g)
{
	close(g->sock);
	raw_detach(&g->a);
}

static void post(struct proto_mailbox *box, struct proto_slot *slot, uint64_t la, uint64_t prot)
{
	atomic_store(&slot->la, la);
	atomic_store(&slot->prot, prot);
	atomic_store(&slot->cpu, UINT32_MAX);
	atomic_store(&slot->state, PROTO_SLOT_POSTED);
	atomic_fetch_add(&box->bell, 1);
	syscall(SYS_futex, &box->bell, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static bool becomes(_Atomic uint32_t *word, uint32_t value)
{
	for (int i = 0; i < RAW_PATIENCE_S * 1000; i++) {
		if (atomic_load(word) == value)
			return true;
		usleep(1000);
	}
	return false;
}

static int answer_to(struct guest *g, unsigned int slot, uint64_t la, uint64_t prot)
{
	/* Open, unless a second has passed. */
	assert_int_equal(raw_fault(g->sock, ENCL_BASE, 0), 0);
	post(g->box, &g->box->slots[slot], la, prot);
	assert_true(becomes(&g->box->slots[slot].state, PROTO_SLOT_DONE));
	return atomic_load(&g->box->slots[slot].result);
}

static void answers_as_calls_are(void **state)
{
	const uint64_t base = ENCL_BASE;
	struct guest g;

	enter(*state, &g);
	assert_int_equal(answer_to(&g, 0, base, SECINFO_R), 0);
	assert_int_equal(answer_to(&g, PROTO_NR_SLOTS - 1, base + SGX_PAGE_SIZE, SECINFO_W), 0);
	assert_int_equal(answer_to(&g, 1, base, SECINFO_X), -EACCES);
	assert_int_equal(answer_to(&g, 1, base + 1, SECINFO_R), -EINVAL);
	assert_int_equal(answer_to(&g, 1, base, 8), -EINVAL);
	assert_int_equal(answer_to(&g, 1, base, UINT64_C(1) << 32), -EINVAL);
	assert_int_equal(answer_to(&g, 1, base - SGX_PAGE_SIZE, SECINFO_R), -EFAULT);
	assert_int_equal(answer_to(&g, 1, base + ENCL_SIZE, SECINFO_R), -EFAULT);
	assert_int_equal(answer_to(&g, 1, 0, 0), -EFAULT);
	assert_int_equal(answer_to(&g, 1, base + NR_PAGES * SGX_PAGE_SIZE, 0), -EFAULT);
	leave(&g);
}

static void answers_all_that_are_posted(void **state)
{
	struct guest g;

	enter(*state, &g);
	assert_int_equal(raw_fault(g.sock, ENCL_BASE, 0), 0);
	for (unsigned int i = 0; i < PROTO_NR_SLOTS; i++)
		post(g.box, &g.box->slots[i], ENCL_BASE + i % NR_PAGES * SGX_PAGE_SIZE, SECINFO_R);
	for (unsigned int i = 0; i < PROTO_NR_SLOTS; i++) {
		assert_true(becomes(&g.box->slots[i].state, PROTO_SLOT_DONE));
		assert_int_equal(atomic_load(&g.box->slots[i].result), 0);
	}
	leave(&g);
}

static void is_open_from_the_first_fault_until_there_are_none(void **state)
{
	struct guest g;

	enter(*state, &g);
	assert_int_equal(atomic_load(&g.box->state), PROTO_BOX_CLOSED);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(raw_fault(g.sock, ENCL_BASE, 0), 0);
		assert_int_not_equal(atomic_load(&g.box->state), PROTO_BOX_CLOSED);
		assert_true(becomes(&g.box->state, PROTO_BOX_CLOSED));
	}
	leave(&g);
}

static void wakes_who_sleeps(void **state)
{
	struct guest g;

	enter(*state, &g);
	assert_int_equal(raw_fault(g.sock, ENCL_BASE, 0), 0);
	assert_true(becomes(&g.box->state, PROTO_BOX_ASLEEP));
	post(g.box, &g.box->slots[5], ENCL_BASE, SECINFO_R);
	atomic_fetch_or(&g.box->slots[5].state, PROTO_SLOT_WAITS);
	while ((atomic_load(&g.box->slots[5].state) & ~PROTO_SLOT_WAITS) != PROTO_SLOT_DONE)
		syscall(SYS_futex, &g.box->slots[5].state, FUTEX_WAIT,
			atomic_load(&g.box->slots[5].state), NULL, NULL, 0);
	leave(&g);
}

/* Who is gone while his faults are being served, or before. */
static void who_leaves_at_once_leaves_nothing_behind(void **state)
{
	struct machine *m = *state;

	for (unsigned int i = 0; i < 50; i++) {
		struct guest g;

		enter(m, &g);
		assert_int_equal(raw_fault(g.sock, ENCL_BASE, 0), 0);
		for (unsigned int j = 0; j < i % PROTO_NR_SLOTS; j++)
			post(g.box, &g.box->slots[j], ENCL_BASE, SECINFO_R);
		leave(&g);
	}
	machine_await_idle(m);
}

struct vandal {
	struct guest g;
	atomic_bool over;
};

static void *scribble(void *arg)
{
	struct vandal *v = arg;
	_Atomic uint32_t *words = (_Atomic uint32_t *)v->g.box;
	uint32_t x = 1;

	while (!atomic_load(&v->over)) {
		x = x * 1664525u + 1013904223u;
		atomic_store(&words[x >> 22], x >> 8 & 1 ? x >> 9 & 7 : x);
	}
	return NULL;
}

static void scribbling_harms_nobody_else(void **state)
{
	struct machine *m = *state;
	struct vandal v = { .over = false };
	pthread_t thread;
	struct guest g;

	enter(m, &v.g);
	enter(m, &g);
	assert_int_equal(raw_fault(v.g.sock, ENCL_BASE, 0), 0);
	assert_int_equal(pthread_create(&thread, NULL, scribble, &v), 0);
	for (unsigned int i = 0; i < 200; i++)
		assert_int_equal(answer_to(&g, i % PROTO_NR_SLOTS,
					   ENCL_BASE + i % NR_PAGES * SGX_PAGE_SIZE, SECINFO_W), 0);
	atomic_store(&v.over, true);
	pthread_join(thread, NULL);
	leave(&v.g);
	leave(&g);
	machine_await_idle(m);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, machine_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(answers_as_calls_are),
		CASE(answers_all_that_are_posted),
		CASE(is_open_from_the_first_fault_until_there_are_none),
		CASE(wakes_who_sleeps),
		CASE(who_leaves_at_once_leaves_nothing_behind),
		CASE(scribbling_harms_nobody_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
