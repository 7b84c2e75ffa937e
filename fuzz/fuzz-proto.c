/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a client can say to the server: any datagram, any answer, in any order,
 * with anybody hanging up at any time, and with any values left in the memory
 * both share.  Whatever it is, a well-behaved client's enclave works afterwards
 * and every EPC page comes back.
 *
 * Build, from the top of the tree:
 *
 *	clang -g -O1 -std=c11 -D_GNU_SOURCE -Iinclude -Isrc/server -Itests/isa \
 *		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o fuzz-proto \
 *		fuzz/fuzz-proto.c tests/server/raw-client.c tests/isa/fixture.c \
 *		tests/isa/signer.c tests/isa/record.c src/server/[a-z]*.c \
 *		src/uapi/[a-z]*.c src/epc/[a-z]*.c src/inject/[a-z]*.c \
 *		$(ls src/isa/[a-z]*.c | grep -v crypto-nettle) \
 *		-lcrypto -lcmocka -lnettle -lhogweed -lgmp -lpthread
 *
 * Run: ./fuzz-proto -max_total_time=180 -max_len=512 -detect_leaks=0
 * (between two inputs the server knows its connections by epoll alone, which
 * looks like a leak; pages and descriptors are counted here)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../tests/isa/fixture.h"
#include "../tests/server/raw-client.h"

#define NR(array) (sizeof(array) / sizeof((array)[0]))
#define NR_SOCKS 2
#define NR_PENDING 3

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct machine machine;
static struct sgx_sigstruct sigstruct;
static int victim;

struct world {
	const uint8_t *data;
	size_t left;
	int socks[NR_SOCKS];
	int pending[NR_PENDING];	/* calls whose question nobody answered yet */
	int guest[NR_SOCKS];		/* virtual EPC; -1: not opened */
	uint64_t guest_id[NR_SOCKS];
};

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

/* --- the input, as a stream of decisions ------------------------------------ */

static uint64_t take(struct world *w, size_t n)
{
	uint64_t value = 0;

	n = n < w->left ? n : w->left;
	memcpy(&value, w->data, n);
	w->data += n;
	w->left -= n;
	return value;
}

/* Mostly values near the limits that checks draw. */
static uint64_t take_number(struct world *w)
{
	static const uint64_t near[] = {
		0, 1, SGX_PAGE_SIZE, FIXTURE_SIZE, FIXTURE_BASE, FIXTURE_BASE + 0x2000,
		FIXTURE_BASE + FIXTURE_SIZE, 1ull << 31, 1ull << 32, 1ull << 36, 1ull << 47,
		1ull << 63, -(uint64_t)SGX_PAGE_SIZE, UINT64_MAX, PROTO_CHUNK,
	};
	const uint8_t how = (uint8_t)take(w, 1);

	if (how >= 0xf0)
		return take(w, 8);
	if (how >= 0xc0)
		return take(w, 1) * SGX_PAGE_SIZE;
	if (how >= 0x80)
		return near[how % NR(near)] + (uint64_t)(int8_t)take(w, 1);
	return near[how % NR(near)];
}

static void poke(struct world *w, void *data, size_t size)
{
	const size_t at = take(w, 2) % size;
	const uint64_t value = take_number(w);

	memcpy((uint8_t *)data + at, &value, size - at < sizeof(value) ? size - at : sizeof(value));
}

/* --- answers ------------------------------------------------------------------- */

/* What an honest client would have at hand for a question of @size bytes. */
static void fill(struct world *w, uint8_t *data, size_t size)
{
	struct sgx_enclave_add_pages add = { .length = SGX_PAGE_SIZE, .flags = SGX_PAGE_MEASURE };
	uint64_t which;

	memset(data, 0, size);
	switch (size) {
	case sizeof(struct sgx_secs):
		isa_fixture_default_secs((struct sgx_secs *)data);
		return;
	case sizeof(struct sgx_sigstruct):
		memcpy(data, &sigstruct, sizeof(sigstruct));
		return;
	case sizeof(add):
		which = take(w, 1);
		add.offset = which % 16 * SGX_PAGE_SIZE;
		add.length = which & 0x80 ? take_number(w) : SGX_PAGE_SIZE;
		add.src = which & 0x40 ? take_number(w) : 0x10000;
		memcpy(data, &add, sizeof(add));
		return;
	case sizeof(struct sgx_secinfo):
		which = isa_fixture_flags(1 + take(w, 1) % 4);
		memcpy(data, &which, sizeof(which));
		return;
	}
}

static void answer(struct world *w, int reply, const struct proto_frame *frame)
{
	static struct {
		struct proto_data header;
		_Alignas(16) uint8_t data[2 * PROTO_CHUNK];
	} a;
	const uint8_t how = (uint8_t)take(w, 1);
	size_t size = frame->size;

	if (frame->kind == PROTO_COPY_OUT || frame->kind == PROTO_PROVISION_FD ||
	    (frame->kind != PROTO_PLACE && size > sizeof(a.data)))
		size = 0;
	a.header = (struct proto_data){ 0 };
	if (frame->kind == PROTO_PLACE) {
		const uint64_t nr = how & 0x80 ? take_number(w) : size;

		size = sizeof(nr);
		memcpy(a.data, &nr, size);
	} else if (frame->kind == PROTO_SOURCE)
		isa_fixture_source(1 + take(w, 1) % 4, a.data);
	else if (size)
		fill(w, a.data, size);
	if ((how & 7) == 1 && size)
		poke(w, a.data, size);
	if ((how & 0x38) == 0x08)
		size = take_number(w) % sizeof(a.data);
	a.header.size = (uint32_t)size;
	if ((how & 0x38) == 0x10)
		a.header.error = (int32_t)take_number(w);
	if ((how & 0x38) == 0x18)
		a.header.size = (uint32_t)take_number(w);
	if ((how & 0x38) == 0x20)
		a.header.interrupted = 1;
	send(reply, &a, offsetof(__typeof__(a), data) == sizeof(a.header) ?
	     sizeof(a.header) + size : sizeof(a.header), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Serve up to @questions.  True when the call is over. */
static bool serve(struct world *w, int reply, unsigned int questions)
{
	struct pollfd p = { .fd = reply, .events = POLLIN };
	struct raw_frame f;

	while (poll(&p, 1, 20) == 1) {
		if (!raw_receive(reply, &f))
			return true;
		for (size_t i = 0; i < PROTO_NR_FILES; i++)
			if (f.fds[i] >= 0)
				close(f.fds[i]);
		if (f.frame.kind == PROTO_DONE)
			return true;
		if (!questions--)
			return false;
		answer(w, reply, &f.frame);
	}
	return true;
}

/* --- what a step does ------------------------------------------------------------- */

static void keep_or_close(struct world *w, int reply, bool over)
{
	const size_t i = take(w, 1) % NR_PENDING;

	if (over) {
		close(reply);
		return;
	}
	if (w->pending[i] >= 0)
		close(w->pending[i]);
	w->pending[i] = reply;
}

/* Mostly two of the right kind, of an address space that has nothing registered. */
static void send_uffds(struct world *w, int reply)
{
	const uint8_t how = (uint8_t)take(w, 1);
	int fds[4] = { -1, -1, reply, reply };

	for (size_t i = 0; i < 2; i++) {
		struct uffdio_api api = { .api = UFFD_API };

		fds[i] = (int)syscall(SYS_userfaultfd, (how & 1 << i ? 0 : O_NONBLOCK) |
				      O_CLOEXEC | UFFD_USER_MODE_ONLY);
		if (!(how & 4 << i))
			ioctl(fds[i], UFFDIO_API, &api);
	}
	raw_send(reply, "", 1, fds + (how >> 7), how & 0x40 ? how >> 4 & 3 : 2);
	close(fds[0]);
	close(fds[1]);
}

static void any_request(struct world *w, int sock)
{
	static const unsigned int commands[] = {
		SGX_IOC_ENCLAVE_CREATE, SGX_IOC_ENCLAVE_ADD_PAGES, SGX_IOC_ENCLAVE_ADD_PAGES,
		SGX_IOC_ENCLAVE_INIT, SGX_IOC_ENCLAVE_PROVISION,
		SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, SGX_IOC_ENCLAVE_MODIFY_TYPES,
		SGX_IOC_ENCLAVE_REMOVE_PAGES, 0,
	};
	struct proto_request req = { .magic = PROTO_MAGIC };
	const uint8_t how = (uint8_t)take(w, 1);
	int reply;

	req.op = PROTO_OP_IOCTL + (how & 7) % PROTO_OP_FREE_TCS;
	req.a = req.op == PROTO_OP_IOCTL ? commands[take(w, 1) % NR(commands)] :
		req.op == PROTO_OP_ENCLU ? take(w, 1) % 6 : take_number(w);
	req.b = take_number(w);
	req.c = take_number(w);
	req.d = take_number(w);
	req.flags = how & 8 ? PROTO_FOLD | PROTO_CAN_PLACE : 0;
	if (how & 0x10) {
		req.source_addr = take_number(w);
		req.source_size = (uint32_t)take_number(w);
	}
	if (how & 0x20) {
		req.ahead[0].addr = req.b;
		req.ahead[0].size = how & 0x40 ? sizeof(struct sgx_enclave_add_pages) :
			take_number(w);
		fill(w, req.ahead[0].data, sizeof(req.ahead[0].data));
	}
	reply = raw_begin(sock, &req);
	if (reply < 0)
		return;
	if (req.op == PROTO_OP_JOIN)
		send_uffds(w, reply);
	if (req.source_size && how & 0x80)
		answer(w, reply, &(struct proto_frame){ .kind = PROTO_SOURCE,
							.size = req.source_size });
	keep_or_close(w, reply, serve(w, reply, (unsigned int)take(w, 1) & 0x80 ? 1 : 100));
}

static void any_datagram(struct world *w, int sock)
{
	union {
		struct proto_request req;
		uint8_t bytes[sizeof(struct proto_request) + 64];
	} msg = { .req = { .magic = PROTO_MAGIC, .op = (uint32_t)take(w, 1) } };
	const size_t size = take(w, 1) & 1 ? sizeof(msg.req) : take(w, 2) % sizeof(msg);
	const size_t nr_fds = take(w, 1) % 4;
	int pair[2], fds[4];

	if (socketpair(AF_UNIX, take(w, 1) & 1 ? SOCK_SEQPACKET : SOCK_STREAM, 0, pair))
		return;
	fds[0] = pair[1];
	fds[1] = take(w, 1) & 1 ? sock : pair[0];
	fds[2] = fds[3] = victim;
	if (take(w, 1) & 1)
		poke(w, &msg, sizeof(msg));
	raw_send(sock, &msg, size, fds, nr_fds);
	close(pair[0]);
	close(pair[1]);
}

static void scribble(struct world *w, int sock)
{
	struct raw_attached a;

	if (!raw_attach(sock, &a) || !a.pages)
		return;
	if (take(w, 1) & 1)
		poke(w, a.shared, sizeof(*a.shared));
	else
		poke(w, a.pages, a.size < 0x8000 ? a.size : 0x8000);
	raw_detach(&a);
}

/* --- a guest ---------------------------------------------------------------------- */

/* Its operands: ordinary memory below, one instance after the other above. */
#define GUEST_PAGEINFO 0x10000ull
#define GUEST_SOURCE 0x20000ull
#define GUEST_SECINFO 0x30000ull
#define GUEST_EPC 0x100000000ull
#define GUEST_PAGES 8u

static void open_guest(struct world *w, size_t i)
{
	const struct proto_request req = { .magic = PROTO_MAGIC, .op = PROTO_OP_ATTACH };
	struct raw_frame done;
	int reply;

	w->guest[i] = raw_connect(&machine, PROTO_VEPC);
	reply = raw_begin(w->guest[i], &req);
	if (reply >= 0 && raw_finish(reply, &done))
		w->guest_id[i] = done.frame.base;
}

static uint64_t guest_page(struct world *w)
{
	return GUEST_EPC + take(w, 1) % (NR_SOCKS * GUEST_PAGES) * SGX_PAGE_SIZE;
}

static void answer_guest(struct world *w, int reply, const struct proto_frame *frame)
{
	static uint8_t data[SGX_PAGE_SIZE];
	const uint8_t how = (uint8_t)take(w, 1);
	const uint64_t nr = (frame->addr - GUEST_EPC) / SGX_PAGE_SIZE;
	size_t size = frame->kind == PROTO_COPY_IN ? frame->size : 0;

	memset(data, 0, sizeof(data));
	if (frame->kind == PROTO_VEPC_PAGE) {
		const struct proto_vepc_page page = {
			w->guest_id[nr / GUEST_PAGES % NR_SOCKS] + (how == 1), nr % GUEST_PAGES,
		};

		size = sizeof(page);
		memcpy(data, &page, size);
	} else if (size == sizeof(struct sgx_pageinfo)) {
		const struct sgx_pageinfo pageinfo = {
			.linaddr = how & 1 ? FIXTURE_BASE + take(w, 1) % 16 * SGX_PAGE_SIZE : 0,
			.srcpge = how & 2 ? 0 : GUEST_SOURCE, .secinfo_or_pcmd = GUEST_SECINFO,
			.secs = how & 1 ? guest_page(w) : 0,
		};

		memcpy(data, &pageinfo, sizeof(pageinfo));
	} else if (size == sizeof(struct sgx_secinfo)) {
		const struct sgx_secinfo secinfo = { .flags = take(w, 2) };

		memcpy(data, &secinfo, sizeof(secinfo));
	} else if (size == sizeof(struct sgx_secs)) {
		isa_fixture_default_secs((struct sgx_secs *)(void *)data);
	}
	if (how >= 0xf0)
		poke(w, data, sizeof(data));
	raw_answer(reply, how == 2 ? EFAULT : 0, data, how == 3 ? size / 2 : size);
}

static void any_leaf(struct world *w, int sock)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_ENCLS, .a = take(w, 1) % 0x12,
		.b = take(w, 1) & 1 ? guest_page(w) : GUEST_PAGEINFO, .c = guest_page(w),
		.d = guest_page(w) + take(w, 1) * 8,
	};
	unsigned int questions = take(w, 1) & 0x80 ? 1 : 100;
	const int reply = raw_begin(sock, &req);
	struct raw_frame f;

	if (reply < 0)
		return;
	while (questions-- && raw_receive(reply, &f) && f.frame.kind != PROTO_DONE)
		answer_guest(w, reply, &f.frame);
	close(reply);
}

static void any_guest_call(struct world *w)
{
	const uint8_t what = (uint8_t)take(w, 1);
	const size_t i = what >> 7;
	struct proto_request req = { .magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL };
	struct raw_frame done;
	int reply;

	if (w->guest[i] < 0)
		open_guest(w, i);
	switch (what % 8) {
	case 0:
		close(w->guest[i]);
		w->guest[i] = -1;
		return;
	case 1:
		req.a = SGX_IOC_VEPC_REMOVE_ALL;
		break;
	case 2:
		req.op = PROTO_OP_VEPC_FAULT + take(w, 1) % 4;
		req.a = take_number(w);
		break;
	default:
		any_leaf(w, w->guest[i]);
		return;
	}
	reply = raw_begin(w->guest[i], &req);
	if (reply >= 0)
		raw_finish(reply, &done);
}

/* Who looks at the machine sends anything, and does or does not hear the answer. */
static void any_look(struct world *w)
{
	union {
		struct control_request req;
		uint8_t bytes[2 * sizeof(struct control_request)];
	} msg = { .req = { CONTROL_MAGIC, (uint32_t)take(w, 1) % 4, take(w, 2) } };
	const size_t size = take(w, 1) & 1 ? sizeof(msg.req) : take(w, 1) % sizeof(msg);
	const int sock = raw_connect(&machine, PROTO_CONTROL);
	const int fds[1] = { victim };
	static uint8_t answer[1 << 16];

	if (sock < 0)
		return;
	if (take(w, 1) & 1)
		poke(w, &msg, sizeof(msg));
	raw_send(sock, &msg, size, fds, take(w, 1) & 1);
	if (take(w, 1) & 1)
		recv(sock, answer, sizeof(answer), MSG_DONTWAIT);
	close(sock);
}

static void step(struct world *w)
{
	const uint8_t what = (uint8_t)take(w, 1);
	int *sock = &w->socks[what >> 7];
	int *pending = &w->pending[what % NR_PENDING];

	switch (what % 16) {
	case 0:
		close(*sock);
		*sock = raw_connect(&machine, PROTO_ENCLAVE);
		break;
	case 1:
		any_datagram(w, *sock);
		break;
	case 2:
		if (*pending >= 0 && serve(w, *pending, 100)) {
			close(*pending);
			*pending = -1;
		}
		break;
	case 3:
		scribble(w, *sock);
		break;
	case 4:
		if (what & 0x40)
			raw_build(*sock);
		break;
	case 5:
		any_look(w);
		break;
	case 6:
	case 7:
	case 8:
		any_guest_call(w);
		break;
	default:
		any_request(w, *sock);
		break;
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_sigstruct(f, NULL, 0);
	sigstruct = f->sig;
	isa_fixture_destroy(f);
	machine_start(&machine, 256);
	victim = raw_open(&machine);
	check(raw_build(victim) == 0, "no enclave can be built");
	return 0;
}

/* The one enclave that is meant to be there. */
static bool only_the_victim_is_left(void)
{
	struct sgx_epc_stat stat;

	for (int i = 0; i < 5000; i++) {
		stat = server_stat(machine.server);
		if (stat.in_use == FIXTURE_FREE + RAW_VA_PAGES && !stat.leaked)
			return true;
		usleep(200);
	}
	fprintf(stderr, "in use %llu, leaked %llu\n", (unsigned long long)stat.in_use,
		(unsigned long long)stat.leaked);
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned int nr;
	struct world w = { .data = data, .left = size };

	for (int i = 0; i < NR_SOCKS; i++)
		w.socks[i] = raw_connect(&machine, PROTO_ENCLAVE);
	memset(w.pending, -1, sizeof(w.pending));
	memset(w.guest, -1, sizeof(w.guest));
	while (w.left)
		step(&w);
	for (int i = 0; i < NR_PENDING; i++)
		if (w.pending[i] >= 0)
			close(w.pending[i]);
	for (int i = 0; i < NR_SOCKS; i++) {
		close(w.socks[i]);
		if (w.guest[i] >= 0)
			close(w.guest[i]);
	}
	check(only_the_victim_is_left(), "EPC pages are lost");
	if (++nr % 64 == 0) {
		check(raw_works(victim), "the other client's enclave is broken");
		check(count_fds() < 64, "descriptors are left");
	}
	return 0;
}
