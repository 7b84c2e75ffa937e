/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ADD_PAGES of few pages, with all that it will ask for sent ahead: it is served by the
 * event loop, which must neither ask nor wait.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../isa/fixture.h"
#include "raw-client.h"

#define NR 2u
#define SIZE (NR * SGX_PAGE_SIZE)

struct adding {
	int sock;		/* with an enclave */
	int reply, reply_end;	/* of the call */
	uint8_t *src;
	struct sgx_secinfo secinfo;
	struct sgx_enclave_add_pages arg;
	struct proto_request req;
};

static void prepare(struct adding *a, const struct machine *m)
{
	struct sgx_secs secs;
	int pair[2];

	isa_fixture_default_secs(&secs);
	*a = (struct adding){
		.sock = raw_open(m),
		.src = aligned_alloc(SGX_PAGE_SIZE, SIZE),
		.secinfo = { .flags = SECINFO_PT(PT_REG) | SECINFO_R },
	};
	assert_non_null(a->src);
	for (size_t i = 0; i < SIZE; i++)
		a->src[i] = (uint8_t)(i * 31 + i / SGX_PAGE_SIZE);
	assert_int_equal(raw_create(a->sock, &secs), 0);
	a->arg = (struct sgx_enclave_add_pages){
		.src = (uintptr_t)a->src, .length = SIZE, .secinfo = (uintptr_t)&a->secinfo,
		.flags = SGX_PAGE_MEASURE,
	};
	a->req = (struct proto_request){
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = SGX_IOC_ENCLAVE_ADD_PAGES,
		.b = (uintptr_t)&a->arg, .flags = PROTO_FOLD,
		.source_addr = a->arg.src, .source_size = SIZE,
		.ahead = {
			{ .addr = (uintptr_t)&a->arg, .size = sizeof(a->arg) },
			{ .addr = a->arg.secinfo, .size = sizeof(a->secinfo) },
		},
	};
	memcpy(a->req.ahead[0].data, &a->arg, sizeof(a->arg));
	memcpy(a->req.ahead[1].data, &a->secinfo, sizeof(a->secinfo));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	a->reply = pair[0];
	a->reply_end = pair[1];
}

static void send_request(struct adding *a)
{
	assert_int_equal(raw_send(a->sock, &a->req, sizeof(a->req), &a->reply_end, 1), 0);
	close(a->reply_end);
}

/* All it says is DONE, with @result and the bytes it added. */
static void assert_done_with(struct adding *a, int64_t result, uint64_t count)
{
	struct sgx_enclave_add_pages arg;
	struct raw_frame f;

	assert_true(raw_receive(a->reply, &f));
	assert_int_equal(f.frame.kind, PROTO_DONE);
	assert_int_equal(f.frame.result, result);
	assert_int_equal(f.frame.addr, (uintptr_t)&a->arg);
	assert_int_equal(f.data_size, sizeof(arg));
	memcpy(&arg, f.data, sizeof(arg));
	assert_int_equal(arg.count, count);
	assert_false(raw_receive(a->reply, &f));
}

/* The first @nr pages are the source's, and there is none behind them. */
static void assert_pages(struct adding *a, unsigned int nr)
{
	struct raw_attached attached;

	assert_true(raw_attach(a->sock, &attached));
	assert_memory_equal(attached.pages, a->src, nr * SGX_PAGE_SIZE);
	for (unsigned int i = 0; i < NR; i++)
		assert_int_equal(!!(attached.mirror[i] & MIRROR_VALID), i < nr);
	raw_detach(&attached);
}

static void finish(struct adding *a)
{
	close(a->reply);
	close(a->sock);
	free(a->src);
}

static void adds_what_came_along_without_a_question(void **state)
{
	struct adding a;

	prepare(&a, *state);
	raw_answer(a.reply, 0, a.src, SIZE);
	send_request(&a);
	assert_done_with(&a, 0, SIZE);
	assert_pages(&a, NR);
	finish(&a);
}

static void waits_elsewhere_for_what_comes_late(void **state)
{
	struct adding a, other;

	prepare(&a, *state);
	prepare(&other, *state);
	send_request(&a);
	/* The event loop is there for others. */
	raw_answer(other.reply, 0, other.src, SIZE);
	send_request(&other);
	assert_done_with(&other, 0, SIZE);
	finish(&other);

	raw_answer(a.reply, 0, a.src, SIZE);
	assert_done_with(&a, 0, SIZE);
	assert_pages(&a, NR);
	finish(&a);
}

static void says_why_there_was_not_more(void **state)
{
	struct adding a;

	prepare(&a, *state);
	raw_answer(a.reply, EACCES, a.src, SGX_PAGE_SIZE);
	send_request(&a);
	assert_done_with(&a, -EACCES, SGX_PAGE_SIZE);
	assert_pages(&a, 1);
	finish(&a);
}

static void less_than_was_said_is_efault(void **state)
{
	struct adding a;

	prepare(&a, *state);
	raw_answer(a.reply, 0, a.src, SGX_PAGE_SIZE);
	send_request(&a);
	assert_done_with(&a, -EFAULT, SGX_PAGE_SIZE);
	assert_pages(&a, 1);
	finish(&a);
}

/* Somebody else may take what the event loop saw before it reads it: a notice is as short. */
static void nothing_but_a_notice_is_efault(void **state)
{
	const struct proto_data notice = { .interrupted = true, .is_notice = true };
	struct adding a;

	prepare(&a, *state);
	assert_int_equal(raw_send(a.reply, &notice, sizeof(notice), NULL, 0), 0);
	send_request(&a);
	assert_done_with(&a, -EFAULT, 0);
	assert_pages(&a, 0);
	finish(&a);
}

static void a_refused_call_reads_what_came_along(void **state)
{
	struct adding a;

	prepare(&a, *state);
	a.secinfo.flags = SECINFO_PT(PT_VA);
	memcpy(a.req.ahead[1].data, &a.secinfo, sizeof(a.secinfo));
	raw_answer(a.reply, 0, a.src, SIZE);
	send_request(&a);
	assert_true(raw_receive(a.reply, &(struct raw_frame){ 0 }));
	assert_pages(&a, 0);
	finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(adds_what_came_along_without_a_question,
						machine_setup, machine_teardown),
		cmocka_unit_test_setup_teardown(waits_elsewhere_for_what_comes_late,
						machine_setup, machine_teardown),
		cmocka_unit_test_setup_teardown(says_why_there_was_not_more,
						machine_setup, machine_teardown),
		cmocka_unit_test_setup_teardown(less_than_was_said_is_efault,
						machine_setup, machine_teardown),
		cmocka_unit_test_setup_teardown(nothing_but_a_notice_is_efault,
						machine_setup, machine_teardown),
		cmocka_unit_test_setup_teardown(a_refused_call_reads_what_came_along,
						machine_setup, machine_teardown),
	};

	return cmocka_run_group_tests_name("ahead", tests, NULL, NULL);
}
