/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtual EPC over the protocol: what comes back, whatever the client answers to
 * the questions an ENCLS raises, or however it ends.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <swsgx/inject.h>

#include "../isa/fixture.h"
#include "raw-client.h"

/* Where this client says it has mapped its instances. */
#define MAPPED 0x200000000000ull
#define MAPPED_SIZE 0x1000000ull

static uint64_t at(unsigned int instance, uint64_t index)
{
	return MAPPED + instance * MAPPED_SIZE + index * SGX_PAGE_SIZE;
}

/* --- a guest ------------------------------------------------------------------- */

#define MAX_INSTANCES 2u

struct guest {
	int sock[MAX_INSTANCES];
	uint64_t id[MAX_INSTANCES];
	unsigned int nr_questions;	/* VEPC_PAGE, so far */
};

static bool call(struct guest *g, int sock, const struct proto_request *req,
		 struct raw_frame *done);

static void open_instance(const struct machine *m, struct guest *g, unsigned int i)
{
	const struct proto_request attach = { .magic = PROTO_MAGIC, .op = PROTO_OP_ATTACH };
	struct raw_frame done;

	g->sock[i] = raw_connect(m, PROTO_VEPC);
	assert_true(g->sock[i] >= 0);
	assert_true(call(g, g->sock[i], &attach, &done));
	assert_true(done.frame.base != 0);
	assert_int_equal(done.fds[0], -1);
	g->id[i] = done.frame.base;
}

static void open_guest(const struct machine *m, struct guest *g)
{
	*g = (struct guest){ .sock = { -1, -1 } };
	for (unsigned int i = 0; i < MAX_INSTANCES; i++)
		open_instance(m, g, i);
}

static void close_guest(struct guest *g)
{
	for (unsigned int i = 0; i < MAX_INSTANCES; i++)
		close(g->sock[i]);
}

static void answer_page(struct guest *g, int reply, uint64_t la)
{
	const uint64_t offset = la - MAPPED;
	struct proto_vepc_page page;

	g->nr_questions++;
	if (offset >= MAX_INSTANCES * MAPPED_SIZE) {
		raw_answer(reply, ENOENT, NULL, 0);
		return;
	}
	page = (struct proto_vepc_page){ g->id[offset / MAPPED_SIZE],
					 offset % MAPPED_SIZE / SGX_PAGE_SIZE };
	raw_answer(reply, 0, &page, sizeof(page));
}

static bool call(struct guest *g, int sock, const struct proto_request *req,
		 struct raw_frame *done)
{
	const int reply = raw_begin(sock, req);
	bool alive;

	if (reply < 0)
		return false;
	while ((alive = raw_receive(reply, done)) && done->frame.kind != PROTO_DONE)
		if (done->frame.kind == PROTO_VEPC_PAGE)
			answer_page(g, reply, done->frame.addr);
		else
			raw_serve(reply, done);
	close(reply);
	return alive;
}

static struct proto_request encls_request(enum isa_leaf leaf, uint64_t rbx, uint64_t rcx)
{
	return (struct proto_request){
		.magic = PROTO_MAGIC, .op = PROTO_OP_ENCLS, .a = leaf, .b = rbx, .c = rcx,
	};
}

static struct isa_outcome encls(struct guest *g, enum isa_leaf leaf, uint64_t rbx, uint64_t rcx)
{
	const struct proto_request req = encls_request(leaf, rbx, rcx);
	struct raw_frame done;

	if (call(g, g->sock[0], &req, &done))
		return done.frame.outcome;
	return (struct isa_outcome){ .kind = ISA_FAULT, .vector = 255 };
}

/* Operands of a leaf; a guest each, so that threads do not share them. */
struct operands {
	_Alignas(4096) uint8_t page[SGX_PAGE_SIZE];
	_Alignas(64) struct sgx_secinfo secinfo;
	_Alignas(32) struct sgx_pageinfo pageinfo;
};

static void prepare(struct operands *o, uint64_t flags)
{
	memset(o, 0, sizeof(*o));
	o->secinfo.flags = flags;
	o->pageinfo.srcpge = (uintptr_t)o->page;
	o->pageinfo.secinfo_or_pcmd = (uintptr_t)&o->secinfo;
}

static struct isa_outcome ecreate(struct guest *g, uint64_t secs)
{
	struct operands o;

	prepare(&o, SECINFO_PT(PT_SECS));
	isa_fixture_default_secs((struct sgx_secs *)o.page);
	return encls(g, ISA_ENCLS_ECREATE, (uintptr_t)&o.pageinfo, secs);
}

static struct isa_outcome eadd(struct guest *g, uint64_t page, uint64_t secs, uint64_t offset)
{
	struct operands o;

	prepare(&o, SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_W);
	o.pageinfo.linaddr = FIXTURE_BASE + offset;
	o.pageinfo.secs = secs;
	return encls(g, ISA_ENCLS_EADD, (uintptr_t)&o.pageinfo, page);
}

static struct isa_outcome eremove(struct guest *g, uint64_t page)
{
	return encls(g, ISA_ENCLS_EREMOVE, 0, page);
}

static int64_t remove_all(struct guest *g, unsigned int i)
{
	return raw_ioctl(g->sock[i], SGX_IOC_VEPC_REMOVE_ALL, NULL);
}

static void build(struct guest *g)
{
	assert_done(ecreate(g, at(0, 0)));
	assert_done(eadd(g, at(0, 1), at(0, 0), 0));
	assert_done(eadd(g, at(1, 0), at(0, 0), 0x1000));
}

/* --- cases ------------------------------------------------------------------------ */

static void pages_come_with_faults_and_go_with_the_connection(void **state)
{
	struct machine *m = *state;
	struct proto_request req = { .magic = PROTO_MAGIC, .op = PROTO_OP_VEPC_FAULT };
	struct raw_frame done;
	struct guest g;

	open_guest(m, &g);
	assert_int_equal(server_stat(m->server).in_use, 0);
	for (uint64_t i = 0; i < 4; i++) {
		req.a = i / 2 << 40;
		assert_true(call(&g, g.sock[0], &req, &done));
		assert_int_equal(done.frame.result, 0);
	}
	assert_int_equal(server_stat(m->server).in_use, 2);
	req.a = UINT64_MAX;
	assert_true(call(&g, g.sock[0], &req, &done));
	assert_int_equal(done.frame.result, -EINVAL);
	close_guest(&g);
	machine_await_idle(m);
}

static void each_device_knows_its_own_requests_only(void **state)
{
	struct machine *m = *state;
	const struct proto_request on_enclave[] = {
		{ .magic = PROTO_MAGIC, .op = PROTO_OP_VEPC_FAULT },
		{ .magic = PROTO_MAGIC, .op = PROTO_OP_RDMSR, .a = MSR_SGXLEPUBKEYHASH0 },
		encls_request(ISA_ENCLS_EREMOVE, 0, at(0, 0)),
	};
	const struct proto_request enclu = { .magic = PROTO_MAGIC, .op = PROTO_OP_ENCLU };
	const int enclave = raw_open(m);
	struct raw_frame done;
	struct guest g;

	open_guest(m, &g);
	for (size_t i = 0; i < 3; i++) {
		assert_true(call(&g, enclave, &on_enclave[i], &done));
		assert_int_equal(done.frame.result, -EINVAL);
	}
	assert_true(call(&g, g.sock[0], &enclu, &done));
	assert_int_equal(done.frame.result, -EINVAL);
	assert_int_equal(raw_ioctl(g.sock[0], SGX_IOC_ENCLAVE_INIT, NULL), -ENOTTY);
	assert_int_equal(raw_ioctl(enclave, SGX_IOC_VEPC_REMOVE_ALL, NULL), -ENOTTY);
	close(enclave);
	close_guest(&g);
	machine_await_idle(m);
}

static void a_guests_enclave_is_spread_over_its_instances(void **state)
{
	struct machine *m = *state;
	struct guest g;

	open_guest(m, &g);
	build(&g);
	assert_error(eremove(&g, at(0, 0)), SGX_CHILD_PRESENT);
	assert_int_equal(remove_all(&g, 0), 1);
	assert_int_equal(remove_all(&g, 1), 0);
	assert_int_equal(remove_all(&g, 0), 0);
	assert_int_equal(server_stat(m->server).in_use, 3);
	close_guest(&g);
	machine_await_idle(m);
}

/* Of a guest that was never opened, or is another's: that is no EPC of the caller's. */
static void an_unknown_instance_is_no_epc(void **state)
{
	struct machine *m = *state;
	struct guest g, stranger;

	open_guest(m, &g);
	open_guest(m, &stranger);
	assert_done(ecreate(&g, at(0, 0)));
	stranger.id[0] = 12345;
	assert_epf(eremove(&stranger, at(0, 0)), at(0, 0));
	assert_epf(eremove(&stranger, (uintptr_t)&g & SGX_PAGE_MASK),
		   (uintptr_t)&g & SGX_PAGE_MASK);
	close_guest(&stranger);
	close_guest(&g);
	machine_await_idle(m);
}

static void answers_of_a_wrong_size_are_no_answer(void **state)
{
	const struct proto_request req = encls_request(ISA_ENCLS_EREMOVE, 0, at(0, 0));
	struct machine *m = *state;
	struct raw_frame f;
	struct guest g;
	int reply;

	open_guest(m, &g);
	reply = raw_begin(g.sock[0], &req);
	assert_true(raw_receive(reply, &f));
	assert_int_equal(f.frame.kind, PROTO_VEPC_PAGE);
	raw_answer(reply, 0, &g.id[0], sizeof(g.id[0]));
	assert_true(raw_receive(reply, &f));
	assert_int_equal(f.frame.kind, PROTO_DONE);
	assert_epf(f.frame.outcome, at(0, 0));
	close(reply);
	close_guest(&g);
	machine_await_idle(m);
}

/* After each question of an EADD in turn. */
static void a_client_that_hangs_up_amid_a_leaf_leaves_nothing(void **state)
{
	struct machine *m = *state;
	unsigned int questions;
	bool was_done = false;

	for (questions = 0; !was_done; questions++) {
		struct operands o;
		struct proto_request req;
		struct raw_frame f;
		struct guest g;
		int reply;

		open_guest(m, &g);
		assert_done(ecreate(&g, at(0, 0)));
		prepare(&o, SECINFO_PT(PT_REG) | SECINFO_R);
		o.pageinfo.linaddr = FIXTURE_BASE;
		o.pageinfo.secs = at(0, 0);
		req = encls_request(ISA_ENCLS_EADD, (uintptr_t)&o.pageinfo, at(1, 0));
		reply = raw_begin(g.sock[0], &req);
		for (unsigned int i = 0; i < questions && !was_done; i++) {
			assert_true(raw_receive(reply, &f));
			was_done = f.frame.kind == PROTO_DONE;
			if (f.frame.kind == PROTO_VEPC_PAGE)
				answer_page(&g, reply, f.frame.addr);
			else if (!was_done)
				raw_serve(reply, &f);
		}
		close(reply);
		close_guest(&g);
		machine_await_idle(m);
	}
	/* PAGEINFO, SECINFO, the source, the SECS and the page; then DONE. */
	assert_int_equal(questions, 7);
}

/* Fetching operands is no execution: what makes leaves fail counts right. */
static void a_leaf_is_executed_once(void **state)
{
	struct server_config config = {
		.epc_size = 64 * SGX_PAGE_SIZE, .profile = isa_profile_at(0),
	};
	struct inject_plan plan;
	struct machine m;
	struct guest g;
	char why[128];

	memset(&plan, 0, sizeof(plan));
	assert_true(inject_add(&plan, "EADD:nth=3,fault=GP", why, sizeof(why)));
	config.inject = &plan;
	machine_start_with(&m, &config);
	open_guest(&m, &g);
	build(&g);
	assert_gp(eadd(&g, at(1, 1), at(0, 0), 0x2000));
	assert_done(eadd(&g, at(1, 1), at(0, 0), 0x2000));
	close_guest(&g);
	machine_await_idle(&m);
	machine_stop(&m);
}

/* A request on @sock for which there is no instance; its result. */
static int64_t attach_result(int sock)
{
	const struct proto_request req = { .magic = PROTO_MAGIC, .op = PROTO_OP_ATTACH };
	struct raw_frame done;
	struct guest nobody;

	return call(&nobody, sock, &req, &done) ? done.frame.result : -ENODEV;
}

static void after_a_leak_none_is_opened_when_that_is_the_policy(void **state)
{
	struct server_config config = {
		.epc_size = 64 * SGX_PAGE_SIZE, .profile = isa_profile_at(0),
		.on_leak = SGX_EPC_LEAK_REFUSE,
	};
	struct inject_plan plan;
	struct machine m;
	struct guest g;
	char why[128];
	int sock;

	memset(&plan, 0, sizeof(plan));
	assert_true(inject_add(&plan, "EREMOVE:nth=1,code=SGX_ENCLAVE_ACT", why, sizeof(why)));
	config.inject = &plan;
	machine_start_with(&m, &config);
	open_guest(&m, &g);
	assert_done(ecreate(&g, at(0, 0)));
	close_guest(&g);
	while (server_stat(m.server).in_use)
		usleep(1000);
	assert_int_equal(server_stat(m.server).leaked, 1);
	sock = raw_connect(&m, PROTO_VEPC);
	assert_int_equal(attach_result(sock), -EBUSY);
	close(sock);
	machine_let_go(&m);
	assert_true(machine_has_ended(&m, RAW_PATIENCE_S * 1000));
	server_destroy(m.server);
}

/* --- from threads --------------------------------------------------------------------- */

#define NR_ROUNDS 60

/* What can be met meanwhile is a conflict, or what somebody else did first. */
static void *guest_thread(void *arg)
{
	struct guest *g = arg;

	for (unsigned int i = 0; i < NR_ROUNDS; i++) {
		ecreate(g, at(0, 0));
		eadd(g, at(0, 1), at(0, 0), 0);
		eadd(g, at(1, 0), at(0, 0), 0x1000);
		eremove(g, at(1, 0));
	}
	return NULL;
}

static void *remover_thread(void *arg)
{
	struct guest *g = arg;

	for (unsigned int i = 0; i < NR_ROUNDS; i++) {
		remove_all(g, 0);
		remove_all(g, 1);
	}
	return NULL;
}

static void everything_at_once_loses_no_page(void **state)
{
	struct machine *m = *state;
	pthread_t threads[3];
	struct guest g, copy;

	open_guest(m, &g);
	copy = g;
	pthread_create(&threads[0], NULL, guest_thread, &g);
	pthread_create(&threads[1], NULL, guest_thread, &copy);
	pthread_create(&threads[2], NULL, remover_thread, &(struct guest){
		.sock = { g.sock[0], g.sock[1] } });
	for (unsigned int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	close_guest(&g);
	machine_await_idle(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_come_with_faults_and_go_with_the_connection),
		cmocka_unit_test(each_device_knows_its_own_requests_only),
		cmocka_unit_test(a_guests_enclave_is_spread_over_its_instances),
		cmocka_unit_test(an_unknown_instance_is_no_epc),
		cmocka_unit_test(answers_of_a_wrong_size_are_no_answer),
		cmocka_unit_test(a_client_that_hangs_up_amid_a_leaf_leaves_nothing),
		cmocka_unit_test(a_leaf_is_executed_once),
		cmocka_unit_test(after_a_leak_none_is_opened_when_that_is_the_policy),
		cmocka_unit_test(everything_at_once_loses_no_page),
	};

	return cmocka_run_group_tests_name("vepc", tests, machine_setup, machine_teardown);
}
