/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several threads, each a client: enclaves built, used and given up as fast as
 * the server can, and calls of all kinds at once on one connection.  For thread
 * and address sanitizers to look at, and for the EPC's counters at the end.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../isa/fixture.h"
#include "raw-client.h"

#define NR_THREADS 4

struct crowd {
	struct machine m;
	atomic_uint failures;
	int shared;		/* one connection for all, or -1 */
	atomic_bool stop;
};

static int setup(void **state)
{
	struct crowd *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	machine_start(&c->m, 1024);
	c->shared = -1;
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	struct crowd *c = *state;

	machine_await_idle(&c->m);
	machine_stop(&c->m);
	free(c);
	return 0;
}

static void run_all(struct crowd *c, void *(*body)(void *), unsigned int nr)
{
	pthread_t threads[16];

	for (unsigned int i = 0; i < nr; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, body, c), 0);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(c->failures, 0);
}

#define EXPECT(c, what) ((what) ? (void)0 : (void)atomic_fetch_add(&(c)->failures, 1))

static void *build_use_close(void *arg)
{
	struct crowd *c = arg;

	for (int i = 0; i < 40; i++) {
		const int sock = raw_connect(&c->m, PROTO_ENCLAVE);

		EXPECT(c, sock >= 0);
		EXPECT(c, raw_build(sock) == 0);
		EXPECT(c, raw_works(sock));
		close(sock);
	}
	return NULL;
}

static void enclaves_come_and_go_in_parallel(void **state)
{
	run_all(*state, build_use_close, NR_THREADS);
}

/* Together they want more EPC than there is: each gets all it asks for or ENOMEM. */
static void *fill_the_epc(void *arg)
{
	enum { PAGES = 64 };
	uint8_t *src = aligned_alloc(SGX_PAGE_SIZE, PAGES * SGX_PAGE_SIZE);
	struct crowd *c = arg;

	memset(src, 1, PAGES * SGX_PAGE_SIZE);
	for (int i = 0; i < 15; i++) {
		const int sock = raw_connect(&c->m, PROTO_ENCLAVE);
		struct sgx_secs secs;
		int64_t ret;

		isa_fixture_default_secs(&secs);
		secs.size = 1 << 22;
		secs.baseaddr = 1 << 22;
		ret = raw_create(sock, &secs);
		for (uint64_t at = 0; !ret && at < secs.size / 2; at += PAGES * SGX_PAGE_SIZE)
			ret = raw_add_pages(sock, at, src, PAGES * SGX_PAGE_SIZE,
					    SECINFO_PT(PT_REG) | SECINFO_R, 0);
		EXPECT(c, ret == 0 || ret == -ENOMEM);
		close(sock);
	}
	free(src);
	return NULL;
}

static void an_exhausted_epc_is_shared_without_loss(void **state)
{
	run_all(*state, fill_the_epc, NR_THREADS);
}

static void *build_on_the_shared_one(void *arg)
{
	struct crowd *c = arg;

	EXPECT(c, raw_build(c->shared) == 0);
	usleep(20000);
	c->stop = true;
	return NULL;
}

static void *ask_on_the_shared_one(void *arg)
{
	struct crowd *c = arg;

	while (!c->stop) {
		struct raw_attached a;
		int64_t ret;

		ret = raw_may_map(c->shared, FIXTURE_BASE, FIXTURE_BASE + 4096, PROT_READ);
		EXPECT(c, ret == 0);
		raw_enclu(c->shared, ISA_ENCLU_EREPORT, FIXTURE_BASE + 0x2000,
			  FIXTURE_BASE + 0x2200, FIXTURE_BASE + 0x2400);
		EXPECT(c, raw_attach(c->shared, &a));
		EXPECT(c, !a.pages || a.shared->blk.base == FIXTURE_BASE);
		raw_detach(&a);
	}
	return NULL;
}

static void questions_meanwhile_see_no_half_made_enclave(void **state)
{
	struct crowd *c = *state;

	for (int round = 0; round < 10; round++) {
		pthread_t builder, askers[2];

		c->shared = raw_open(&c->m);
		c->stop = false;
		for (int i = 0; i < 2; i++)
			pthread_create(&askers[i], NULL, ask_on_the_shared_one, c);
		pthread_create(&builder, NULL, build_on_the_shared_one, c);
		pthread_join(builder, NULL);
		for (int i = 0; i < 2; i++)
			pthread_join(askers[i], NULL);
		close(c->shared);
		assert_int_equal(c->failures, 0);
	}
}

/* Whichever of several ioctls at once gets through, the others are EBUSY. */
static void *create_on_the_shared_one(void *arg)
{
	struct crowd *c = arg;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	for (int i = 0; i < 200; i++) {
		const int64_t ret = raw_create(c->shared, &secs);

		EXPECT(c, ret == 0 || ret == -EBUSY || ret == -EINVAL);
	}
	return NULL;
}

static void ioctls_on_one_connection_exclude_each_other(void **state)
{
	struct crowd *c = *state;

	c->shared = raw_open(&c->m);
	run_all(c, create_on_the_shared_one, NR_THREADS);
	assert_int_equal(server_stat(c->m.server).in_use, 1 + RAW_VA_PAGES);
	close(c->shared);
}

/* Clients that vanish between request and answer. */
static void *hang_up_early(void *arg)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = SGX_IOC_ENCLAVE_CREATE,
	};
	struct crowd *c = arg;

	for (int i = 0; i < 300; i++) {
		const int sock = raw_connect(&c->m, PROTO_ENCLAVE);
		const int reply = raw_begin(sock, &req);

		EXPECT(c, reply >= 0);
		if (i & 1) {
			close(sock);
			close(reply);
		} else {
			close(reply);
			close(sock);
		}
	}
	return NULL;
}

static void clients_vanish_while_others_work(void **state)
{
	struct crowd *c = *state;
	pthread_t worker, vanishing[2];

	for (int i = 0; i < 2; i++)
		pthread_create(&vanishing[i], NULL, hang_up_early, c);
	pthread_create(&worker, NULL, build_use_close, c);
	for (int i = 0; i < 2; i++)
		pthread_join(vanishing[i], NULL);
	pthread_join(worker, NULL);
	assert_int_equal(c->failures, 0);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(enclaves_come_and_go_in_parallel),
		test(an_exhausted_epc_is_shared_without_loss),
		test(questions_meanwhile_see_no_half_made_enclave),
		test(ioctls_on_one_connection_exclude_each_other),
		test(clients_vanish_while_others_work),
	};

	return cmocka_run_group_tests_name("stress", tests, NULL, NULL);
}
