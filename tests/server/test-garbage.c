/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients that break the protocol, lie, hang or die.  Whatever one of them does,
 * the enclave of another one works afterwards, every EPC page comes back, and
 * the server holds no descriptor that it does not need.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../isa/fixture.h"
#include "raw-client.h"

struct world {
	struct machine m;
	int victim;		/* whose enclave must go on working */
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	machine_start(&w->m, 1024);
	w->victim = raw_open(&w->m);
	assert_int_equal(raw_build(w->victim), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	assert_true(raw_works(w->victim));
	close(w->victim);
	machine_await_idle(&w->m);
	machine_stop(&w->m);
	free(w);
	return 0;
}

/* --- requests -------------------------------------------------------------------- */

enum fd_kind { REPLY, PIPE, REGULAR_FILE, STREAM };

struct datagram {
	const char *what;
	int size_off;		/* from the right size; its negative: empty */
	size_t nr_fds;
	enum fd_kind kind;
	uint32_t magic_off;
};

static const struct datagram broken[] = {
	{ "wrong magic", 0, 1, REPLY, 1 },
	{ "short", -1, 1, REPLY, 0 },
	{ "only a magic", -(int)sizeof(struct proto_request) + 4, 1, REPLY, 0 },
	{ "empty", -(int)sizeof(struct proto_request), 0, REPLY, 0 },
	{ "empty, with a descriptor", -(int)sizeof(struct proto_request), 1, REPLY, 0 },
	{ "long", 1, 1, REPLY, 0 },
	{ "very long", 8000, 1, REPLY, 0 },
	{ "no descriptor", 0, 0, REPLY, 0 },
	{ "two descriptors", 0, 2, REPLY, 0 },
	{ "three descriptors", 0, 3, REPLY, 0 },
	{ "eight descriptors", 0, 8, REPLY, 0 },
	{ "a pipe", 0, 1, PIPE, 0 },
	{ "a file", 0, 1, REGULAR_FILE, 0 },
	{ "a stream", 0, 1, STREAM, 0 },
};

static void make_fds(enum fd_kind kind, int fds[2])
{
	switch (kind) {
	case REPLY:
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
		break;
	case STREAM:
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		break;
	case PIPE:
		assert_int_equal(pipe(fds), 0);
		break;
	case REGULAR_FILE:
		fds[0] = open("/proc/self/exe", O_RDONLY);
		fds[1] = dup(fds[0]);
		break;
	}
}

static void send_broken(int sock, const struct datagram *d)
{
	union {
		struct proto_request req;
		uint8_t bytes[sizeof(struct proto_request) + 8000];
	} msg = { .req = { .magic = PROTO_MAGIC + d->magic_off, .op = PROTO_OP_MAY_MAP } };
	int fds[8] = { -1, -1 };

	make_fds(d->kind, fds);
	for (int i = 2; i < 8; i++)
		fds[i] = fds[1];
	assert_int_equal(raw_send(sock, &msg, sizeof(struct proto_request) + (size_t)d->size_off,
				  fds, d->nr_fds), 0);
	close(fds[0]);
	close(fds[1]);
}

static void a_broken_request_is_the_end_of_the_connection(void **state)
{
	struct world *w = *state;
	const unsigned int fds = settled_fds();

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		const int sock = raw_open(&w->m);

		send_broken(sock, &broken[i]);
		if (!raw_is_cut_off(sock))
			fail_msg("not cut off: %s", broken[i].what);
		close(sock);
		for (int j = 0; j < RAW_PATIENCE_S * 1000 && count_fds() != fds; j++)
			usleep(1000);
		if (count_fds() != fds)
			fail_msg("descriptors are left: %s", broken[i].what);
		assert_true(raw_works(w->victim));
	}
}

static void a_broken_request_ends_the_enclave_too(void **state)
{
	struct world *w = *state;
	const uint64_t before = server_stat(w->m.server).in_use;
	const int sock = raw_open(&w->m);

	assert_int_equal(raw_build(sock), 0);
	send_broken(sock, &broken[0]);
	assert_true(raw_is_cut_off(sock));
	for (int i = 0; i < RAW_PATIENCE_S * 1000 && server_stat(w->m.server).in_use != before; i++)
		usleep(1000);
	assert_int_equal(server_stat(w->m.server).in_use, before);
	close(sock);
}

static void an_unknown_operation_is_einval(void **state)
{
	static const uint32_t ops[] = { 0, PROTO_OP_FREE_TCS + 1, 1000, UINT32_MAX };
	struct world *w = *state;
	const int sock = raw_open(&w->m);

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		const struct proto_request req = { .magic = PROTO_MAGIC, .op = ops[i] };
		const int reply = raw_begin(sock, &req);
		struct raw_frame done;

		assert_true(reply >= 0);
		assert_true(raw_finish(reply, &done));
		assert_int_equal(done.frame.result, -EINVAL);
	}
	assert_int_equal(raw_build(sock), 0);
	close(sock);
}

static void a_connection_may_be_its_own_reply_end(void **state)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = SGX_IOC_ENCLAVE_CREATE,
	};
	struct world *w = *state;
	const unsigned int fds = settled_fds();
	const int sock = raw_open(&w->m);

	assert_int_equal(raw_send(sock, &req, sizeof(req), &sock, 1), 0);
	/* The question comes in as a request, and that is broken. */
	assert_true(raw_is_cut_off(sock));
	close(sock);
	assert_fds_become(fds);
}

static void a_listening_socket_is_no_reply_end(void **state)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = SGX_IOC_ENCLAVE_CREATE,
	};
	struct world *w = *state;
	const unsigned int fds = settled_fds();
	const int sock = raw_open(&w->m);
	const int unconnected = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	for (int i = 0; i < 10; i++)
		assert_int_equal(raw_send(sock, &req, sizeof(req), &unconnected, 1), 0);
	close(unconnected);
	while (raw_ioctl(sock, 0x1234, NULL) == -EBUSY)
		usleep(1000);
	assert_int_equal(raw_build(sock), 0);
	close(sock);
	assert_fds_become(fds);
}

/* --- answers ----------------------------------------------------------------------- */

/* A nonsensical answer to the first question of CREATE. */
static int64_t create_answered(int sock, const void *answer, size_t size)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = SGX_IOC_ENCLAVE_CREATE, .b = 4096,
	};
	const int reply = raw_begin(sock, &req);
	struct raw_frame f;

	assert_true(reply >= 0);
	assert_true(raw_receive(reply, &f));
	assert_int_equal(f.frame.kind, PROTO_COPY_IN);
	assert_int_equal(f.frame.addr, 4096);
	assert_true(send(reply, answer, size, MSG_NOSIGNAL) == (ssize_t)size);
	assert_true(raw_receive(reply, &f));
	close(reply);
	assert_int_equal(f.frame.kind, PROTO_DONE);
	return f.frame.result;
}

static void nonsense_for_an_answer_is_efault(void **state)
{
	struct world *w = *state;
	const int sock = raw_open(&w->m);
	struct {
		struct proto_data header;
		uint8_t data[8192];
	} a = { .header = { .size = 8 } };
	static const int32_t errors[] = { EFAULT, -EFAULT, -1, INT32_MIN, INT32_MAX };
	static const uint32_t sizes[] = { 0, 7, 9, 4096, UINT32_MAX, 0x80000000u };

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		a.header.error = errors[i];
		assert_int_equal(create_answered(sock, &a, sizeof(a.header) + 8), -EFAULT);
	}
	a.header.error = 0;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		a.header.size = sizes[i];
		assert_int_equal(create_answered(sock, &a, sizeof(a.header) + 8), -EFAULT);
	}
	/* More than it says. */
	a.header.size = 8;
	assert_int_equal(create_answered(sock, &a, sizeof(a.header) + 9), -EFAULT);
	/* Honest about a wrong size. */
	for (uint32_t size = 0; size <= 8192; size = size ? size * 2 : 1) {
		if (size == 8)
			continue;
		a.header.size = size;
		assert_int_equal(create_answered(sock, &a, sizeof(a.header) + size), -EFAULT);
	}
	for (size_t size = 0; size < sizeof(a.header); size++)
		assert_int_equal(create_answered(sock, &a, size), -EFAULT);
	assert_int_equal(raw_build(sock), 0);
	assert_true(raw_works(sock));
	close(sock);
}

struct source_lie {
	int32_t error;
	uint32_t size;		/* what the header says */
	uint32_t sent;
	int64_t result;
};

static void lies_about_the_source_harm_the_liar(void **state)
{
	static const struct source_lie lies[] = {
		{ 0, 0, 0, -EFAULT }, { 0, 1, 1, -EFAULT }, { 0, 4095, 4095, -EFAULT },
		{ EACCES, 0, 0, -EACCES }, { EFAULT, 100, 100, -EFAULT },
		{ -1, 4096, 4096, -EFAULT }, { 0, 8192, 8192, -EFAULT },
		/* What was not sent must not be made up from what the server has. */
		{ 0, 4096, 0, -EFAULT }, { 0, 4096, 4095, -EFAULT }, { 0, 0, 4096, -EFAULT },
		{ 0, UINT32_MAX, 4096, -EFAULT },
	};
	static struct {
		struct proto_data header;
		uint8_t data[8192];
	} a;
	struct world *w = *state;
	const struct sgx_secinfo secinfo = { .flags = SECINFO_PT(PT_REG) | SECINFO_R };
	struct sgx_enclave_add_pages arg = {
		.src = 0x10000, .length = SGX_PAGE_SIZE, .secinfo = (uintptr_t)&secinfo,
	};
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = SGX_IOC_ENCLAVE_ADD_PAGES,
		.b = (uintptr_t)&arg,
	};
	const int sock = raw_open(&w->m);
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	assert_int_equal(raw_create(sock, &secs), 0);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		const int reply = raw_begin(sock, &req);
		struct raw_frame f;

		assert_true(reply >= 0);
		while (raw_receive(reply, &f) && f.frame.kind != PROTO_DONE) {
			if (f.frame.kind != PROTO_SOURCE) {
				raw_serve(reply, &f);
				continue;
			}
			a.header = (struct proto_data){ .error = lies[i].error,
							.size = lies[i].size };
			send(reply, &a, sizeof(a.header) + lies[i].sent, MSG_NOSIGNAL);
		}
		close(reply);
		assert_int_equal(f.frame.kind, PROTO_DONE);
		assert_int_equal(f.frame.result, lies[i].result);
		assert_int_equal(arg.count, 0);
	}
	close(sock);
}

/*
 * Source sent ahead whose last bytes are the first of the page wanted: the rest
 * of that page is not what happens to lie behind it in the server.
 */
static void source_ahead_that_is_not_aligned_is_not_read_beyond(void **state)
{
	static struct {
		struct proto_data header;
		uint8_t data[PROTO_CHUNK];
	} a = { .header = { .size = PROTO_CHUNK } };
	_Alignas(4096) static uint8_t source[SGX_PAGE_SIZE];
	struct world *w = *state;
	const struct sgx_secinfo secinfo = { .flags = SECINFO_PT(PT_REG) | SECINFO_R };
	struct sgx_enclave_add_pages arg = {
		.src = (uintptr_t)source, .length = SGX_PAGE_SIZE, .secinfo = (uintptr_t)&secinfo,
	};
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = SGX_IOC_ENCLAVE_ADD_PAGES,
		.b = (uintptr_t)&arg, .source_size = PROTO_CHUNK,
		.source_addr = (uintptr_t)source - PROTO_CHUNK + 1,
	};
	const int sock = raw_open(&w->m);
	struct raw_attached attached;
	struct raw_frame done;
	struct sgx_secs secs;
	int reply;

	memset(source, 0x11, sizeof(source));
	memset(a.data, 0x22, sizeof(a.data));
	isa_fixture_default_secs(&secs);
	assert_int_equal(raw_create(sock, &secs), 0);
	reply = raw_begin(sock, &req);
	assert_true(send(reply, &a, sizeof(a), MSG_NOSIGNAL) == sizeof(a));
	assert_true(raw_finish(reply, &done));
	assert_int_equal(done.frame.result, 0);
	assert_true(raw_attach(sock, &attached));
	assert_memory_equal(attached.pages, source, sizeof(source));
	raw_detach(&attached);
	close(sock);
}

static void answers_nobody_asked_for_are_harmless(void **state)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = SGX_IOC_ENCLAVE_CREATE,
	};
	struct world *w = *state;
	const unsigned int fds = settled_fds();
	const int sock = raw_open(&w->m);
	int reply = raw_begin(sock, &req);
	struct raw_frame done;

	assert_true(reply >= 0);
	for (int i = 0; i < 10; i++)
		raw_answer(reply, 0, "12345678", 8);
	/* With descriptors, which nobody wants either. */
	for (int i = 0; i < 10; i++)
		raw_send(reply, "", 1, (int[]){ sock, reply }, 2);
	/* Closing a socket with something unread may reset it. */
	if (raw_finish(reply, &done))
		assert_int_equal(done.frame.result, -EFAULT);
	close(sock);
	assert_fds_become(fds);
}

/* --- leaving ------------------------------------------------------------------------ */

struct leaver {
	struct sgx_secs secs;
	struct sgx_enclave_create create;
	_Alignas(4096) uint8_t source[40 * SGX_PAGE_SIZE];
	struct sgx_secinfo secinfo;
	struct sgx_enclave_add_pages add;
};

/* One ioctl that is abandoned after @left questions; were there as many? */
static bool abandon(int sock, unsigned int cmd, void *arg, int *left)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = cmd, .b = (uintptr_t)arg,
	};
	const int reply = raw_begin(sock, &req);
	struct raw_frame f;
	bool alive;

	assert_true(reply >= 0);
	while ((alive = raw_receive(reply, &f)) && f.frame.kind != PROTO_DONE && (*left)--)
		raw_serve(reply, &f);
	assert_true(alive);
	close(reply);
	return *left < 0;
}

static bool leave_at(struct world *w, struct leaver *l, int step, bool die)
{
	const int sock = raw_open(&w->m);
	bool abandoned;

	isa_fixture_default_secs(&l->secs);
	l->secs.size = 1 << 20;
	l->secs.baseaddr = 0x10000000;
	l->create.src = (uintptr_t)&l->secs;
	l->secinfo.flags = SECINFO_PT(PT_REG) | SECINFO_R;
	l->add = (struct sgx_enclave_add_pages){
		.src = (uintptr_t)l->source, .length = sizeof(l->source),
		.secinfo = (uintptr_t)&l->secinfo,
	};
	abandoned = abandon(sock, SGX_IOC_ENCLAVE_CREATE, &l->create, &step) ||
		    abandon(sock, SGX_IOC_ENCLAVE_ADD_PAGES, &l->add, &step);
	/* Hung up in the middle of a call, the file is still good for others. */
	if (!die)
		while (raw_ioctl(sock, 0x1234, NULL) != -ENOTTY)
			usleep(100);
	close(sock);
	return abandoned;
}

static void a_client_may_leave_at_every_step(void **state)
{
	static struct leaver l;
	struct world *w = *state;
	const uint64_t before = server_stat(w->m.server).in_use;
	int step = 0;

	for (int die = 0; die < 2; die++) {
		for (step = 0; leave_at(w, &l, step, die); step++)
			assert_true(raw_works(w->victim));
		/* CREATE asks twice, ADD_PAGES of three chunks five times at least. */
		assert_true(step >= 7);
	}
	for (int i = 0; i < RAW_PATIENCE_S * 1000 && server_stat(w->m.server).in_use != before; i++)
		usleep(1000);
	assert_int_equal(server_stat(w->m.server).in_use, before);
}

/* --- masses ------------------------------------------------------------------------- */

static void hundreds_of_connections_come_and_go(void **state)
{
	enum { NR = 300 };
	struct world *w = *state;
	const unsigned int fds = settled_fds();
	int socks[NR];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < NR; i++)
			socks[i] = raw_open(&w->m);
		for (int i = 0; i < NR; i += 3)
			send_broken(socks[i], &broken[i % (sizeof(broken) / sizeof(broken[0]))]);
		assert_true(raw_works(w->victim));
		for (int i = 0; i < NR; i++)
			close(socks[i]);
	}
	assert_fds_become(fds);
}

static void hundreds_of_enclaves_live_side_by_side(void **state)
{
	enum { NR = 150 };
	struct world *w = *state;
	const uint64_t before = server_stat(w->m.server).in_use;
	int socks[NR];

	for (int i = 0; i < NR; i++) {
		socks[i] = raw_open(&w->m);
		assert_int_equal(raw_build(socks[i]), 0);
	}
	assert_int_equal(server_stat(w->m.server).in_use, before + NR * (FIXTURE_FREE + RAW_VA_PAGES));
	assert_true(raw_works(socks[0]));
	assert_true(raw_works(socks[NR - 1]));
	for (int i = 0; i < NR; i++)
		close(socks[i]);
}

/* A reply end whose buffer is full: a DONE to it has to wait. */
static void make_stuffed_reply(int pair[2])
{
	static const char junk[1024];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	while (send(pair[1], junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
}

static void a_flood_without_reading_ties_up_few_threads(void **state)
{
	enum { NR = 5000 };
	/* It announces a source, for which the server waits. */
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_MAY_MAP, .source_size = SGX_PAGE_SIZE,
	};
	struct world *w = *state;
	const unsigned int threads = count_threads(), fds = settled_fds();
	const int sock = raw_open(&w->m);
	int pair[2], sent;

	make_stuffed_reply(pair);
	fcntl(sock, F_SETFL, O_NONBLOCK);
	for (sent = 0; sent < NR; sent++) {
		if (raw_send(sock, &req, sizeof(req), &pair[1], 1))
			usleep(100);
		if (sent % 500 == 0)
			assert_true(raw_works(w->victim));
	}
	assert_true(count_threads() < threads + 200);
	assert_true(count_fds() < fds + 400);
	assert_true(raw_works(w->victim));
	/* It has not broken the protocol: reading, it can go on. */
	close(pair[0]);
	close(pair[1]);
	fcntl(sock, F_SETFL, 0);
	assert_int_equal(raw_build(sock), 0);
	close(sock);
	assert_fds_become(fds);
}

static void a_flooder_that_dies_leaves_nothing(void **state)
{
	/* It announces a source, for which the server waits. */
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_MAY_MAP, .source_size = SGX_PAGE_SIZE,
	};
	struct world *w = *state;
	const unsigned int fds = settled_fds(), threads = count_threads();
	const int sock = raw_open(&w->m);
	int pair[2];

	make_stuffed_reply(pair);
	fcntl(sock, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 1000; i++)
		raw_send(sock, &req, sizeof(req), &pair[1], 1);
	close(sock);
	/* Nobody spins on what cannot be read yet. */
	assert_true(others_fall_asleep());
	/* Nor is what a dead one still had to say served. */
	assert_true(count_threads() < threads + 80);
	close(pair[0]);
	close(pair[1]);
	assert_fds_become(fds);
}

/* --- no descriptor left ---------------------------------------------------------------- */

/* All numbers below are taken; only @more above them may be. */
struct few {
	struct rlimit limit;
	int fillers[1024], nr;
};

static int highest_fd(void)
{
	int top = 0;

	for (int fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			top = fd;
	return top;
}

static void have_few_left(struct few *few, unsigned int more)
{
	struct rlimit low;
	int fd;

	settled_fds();
	few->nr = 0;
	do {
		fd = few->fillers[few->nr++] = dup(0);
	} while (few->nr < 1024 && fd < highest_fd());
	assert_true(few->nr < 1024);
	getrlimit(RLIMIT_NOFILE, &few->limit);
	low = few->limit;
	low.rlim_cur = (rlim_t)fd + 1 + more;
	setrlimit(RLIMIT_NOFILE, &low);
}

static void have_many_left(struct few *few)
{
	setrlimit(RLIMIT_NOFILE, &few->limit);
	while (few->nr)
		close(few->fillers[--few->nr]);
}

static void a_connection_too_many_is_refused_without_spinning(void **state)
{
	struct world *w = *state;
	struct timespec before, after;
	struct few few;
	int sock;

	/* One for the client's end, none for the server's. */
	have_few_left(&few, 1);
	sock = raw_connect(&w->m, PROTO_ENCLAVE);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	usleep(300000);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	have_many_left(&few);
	assert_true(sock >= 0);
	assert_true((after.tv_sec - before.tv_sec) * 1000 +
		    (after.tv_nsec - before.tv_nsec) / 1000000 < 100);
	assert_true(raw_is_cut_off(sock));
	close(sock);
	sock = raw_open(&w->m);
	assert_int_equal(raw_build(sock), 0);
	close(sock);
}

static void a_call_that_finds_no_descriptor_fails_alone(void **state)
{
	const struct proto_request req = { .magic = PROTO_MAGIC, .op = PROTO_OP_ATTACH };
	struct world *w = *state;
	struct few few;
	int pair[2], sent, unread = 1;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	have_few_left(&few, 0);
	sent = raw_send(w->victim, &req, sizeof(req), &pair[1], 1);
	while (!sent && unread && !ioctl(w->victim, SIOCOUTQ, &unread))
		usleep(1000);
	have_many_left(&few);
	assert_int_equal(sent, 0);
	/* It is lost, as the caller hears; teardown sees that its enclave is not. */
	close(pair[1]);
	assert_true(raw_is_cut_off(pair[0]));
	close(pair[0]);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_broken_request_is_the_end_of_the_connection),
		test(a_broken_request_ends_the_enclave_too),
		test(an_unknown_operation_is_einval),
		test(a_connection_may_be_its_own_reply_end),
		test(a_listening_socket_is_no_reply_end),
		test(nonsense_for_an_answer_is_efault),
		test(lies_about_the_source_harm_the_liar),
		test(source_ahead_that_is_not_aligned_is_not_read_beyond),
		test(answers_nobody_asked_for_are_harmless),
		test(a_client_may_leave_at_every_step),
		test(hundreds_of_connections_come_and_go),
		test(hundreds_of_enclaves_live_side_by_side),
		test(a_flood_without_reading_ties_up_few_threads),
		test(a_flooder_that_dies_leaves_nothing),
		test(a_connection_too_many_is_refused_without_spinning),
		test(a_call_that_finds_no_descriptor_fails_alone),
	};

	return cmocka_run_group_tests_name("garbage", tests, NULL, NULL);
}
