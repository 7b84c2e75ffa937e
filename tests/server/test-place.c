/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ADD_PAGES of a client that writes its pages into the enclave's memory file by
 * itself, as well-behaved ones do and otherwise.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../isa/fixture.h"
#include "raw-client.h"

#define NR 400u			/* several pieces */
#define PAGE SGX_PAGE_SIZE
#define R_PAGE (SECINFO_PT(PT_REG) | SECINFO_R)

/* One ADD_PAGES, and how its client answers. */
struct placing {
	int sock, reply, file;
	uint8_t *src;
	struct sgx_enclave_add_pages arg;
	struct sgx_secinfo secinfo;
	/* Of the first page that cannot be placed, and then the error; NR: there is none. */
	unsigned int stop_at;
	int error;
	bool writes_all;	/* whatever it says */
	unsigned int nr_asked, nr_sent;	/* pages, by PLACE and by SOURCE */
	int64_t result;
};

static void prepare(struct placing *p, const struct machine *m)
{
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	secs.size = 4 << 20;
	*p = (struct placing){
		.sock = raw_open(m),
		.file = -1,
		.src = aligned_alloc(PAGE, NR * PAGE),
		.secinfo = { .flags = R_PAGE },
		.stop_at = NR,
	};
	assert_non_null(p->src);
	for (size_t i = 0; i < NR * PAGE; i++)
		p->src[i] = (uint8_t)(i * 31 + i / PAGE);
	p->arg = (struct sgx_enclave_add_pages){
		.src = (uintptr_t)p->src, .length = NR * PAGE, .secinfo = (uintptr_t)&p->secinfo,
		.flags = SGX_PAGE_MEASURE,
	};
	assert_int_equal(raw_create(p->sock, &secs), 0);
}

static void finish(struct placing *p)
{
	if (p->file >= 0)
		close(p->file);
	free(p->src);
	close(p->sock);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void place(struct placing *p, const struct proto_frame *f)
{
	const uint64_t stop = p->arg.src + p->stop_at * PAGE;
	uint64_t nr = f->addr >= stop ? 0 : min_u64(f->size, stop - f->addr);
	const uint64_t written = p->writes_all ? f->size : nr;

	p->nr_asked += f->size / PAGE;
	assert_true(pwrite(p->file, (const void *)(uintptr_t)f->addr, written,
			   (off_t)f->base) == (ssize_t)written);
	raw_answer(p->reply, nr < f->size ? p->error : 0, &nr, sizeof(nr));
}

static void begin(struct placing *p)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = SGX_IOC_ENCLAVE_ADD_PAGES,
		.b = (uintptr_t)&p->arg, .flags = PROTO_CAN_PLACE,
	};

	p->reply = raw_begin(p->sock, &req);
	assert_true(p->reply >= 0);
}

static void keep_file(struct placing *p, int fd)
{
	if (p->file >= 0)
		close(p->file);
	p->file = fd;
}

/* The next question, not to be answered like others; false: DONE. */
static bool next_place(struct placing *p, struct raw_frame *f)
{
	while (raw_receive(p->reply, f) && f->frame.kind != PROTO_DONE) {
		if (f->fds[0] >= 0)
			keep_file(p, f->fds[0]);
		if (f->frame.kind == PROTO_PLACE)
			return true;
		if (f->frame.kind == PROTO_SOURCE)
			p->nr_sent += f->frame.size / PAGE;
		raw_serve(p->reply, f);
	}
	assert_int_equal(f->frame.kind, PROTO_DONE);
	p->result = f->frame.result;
	return false;
}

static void end(struct placing *p)
{
	close(p->reply);
}

static void add(struct placing *p)
{
	struct raw_frame f;

	begin(p);
	while (next_place(p, &f))
		place(p, &f.frame);
	end(p);
}

/* The first @nr pages are the source's, and nothing is behind them. */
static void assert_pages(const struct placing *p, uint64_t offset, unsigned int nr)
{
	static const uint8_t zeros[SGX_PAGE_SIZE];
	struct raw_attached a;

	assert_true(raw_attach(p->sock, &a));
	assert_memory_equal(a.pages + offset, p->src, nr * PAGE);
	for (uint64_t at = offset + nr * PAGE; at < a.size; at += PAGE)
		assert_memory_equal(a.pages + at, zeros, PAGE);
	raw_detach(&a);
}

static void what_is_placed_is_added(void **state)
{
	struct machine *m = *state;
	struct placing p;

	prepare(&p, m);
	p.arg.offset = 5 * PAGE;
	add(&p);
	assert_int_equal(p.result, 0);
	assert_int_equal(p.arg.count, NR * PAGE);
	assert_int_equal(p.nr_asked, NR);
	assert_int_equal(p.nr_sent, 0);
	assert_int_equal(server_stat(m->server).in_use, NR + 1 + RAW_VA_PAGES);
	assert_pages(&p, 5 * PAGE, NR);
	finish(&p);
}

static void few_pages_are_not_placed(void **state)
{
	struct placing p;

	prepare(&p, *state);
	p.arg.length = PROTO_CHUNK;
	add(&p);
	assert_int_equal(p.result, 0);
	assert_int_equal(p.nr_asked, 0);
	assert_int_equal(p.nr_sent, PROTO_CHUNK_PAGES);
	assert_pages(&p, 0, PROTO_CHUNK_PAGES);
	finish(&p);
}

/* No error: the file is at fault, and the rest has to be sent. */
static void who_cannot_place_sends(void **state)
{
	static const unsigned int stops[] = { 0, 1, 129, NR - 1 };

	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		struct placing p;

		prepare(&p, *state);
		p.stop_at = stops[i];
		add(&p);
		assert_int_equal(p.result, 0);
		assert_int_equal(p.arg.count, NR * PAGE);
		assert_int_equal(p.nr_sent, NR - stops[i]);
		assert_pages(&p, 0, NR);
		finish(&p);
	}
}

static void what_cannot_be_read_ends_the_call_and_is_taken_back(void **state)
{
	static const unsigned int stops[] = { 0, 1, 127, 128, 200, NR - 1 };

	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		struct placing p;

		prepare(&p, *state);
		p.stop_at = stops[i];
		p.error = i & 1 ? EACCES : EFAULT;
		p.writes_all = true;
		add(&p);
		assert_int_equal(p.result, -p.error);
		assert_int_equal(p.arg.count, stops[i] * PAGE);
		assert_pages(&p, 0, stops[i]);
		finish(&p);
	}
}

/* Nor are its contents lost with what is taken back around it. */
static void a_place_that_is_taken_is_not_given_away(void **state)
{
	static const unsigned int taken[] = { 150, 155, 200 };
	_Alignas(4096) uint8_t other[SGX_PAGE_SIZE];
	struct raw_attached a;
	struct placing p;

	memset(other, 0xee, sizeof(other));
	prepare(&p, *state);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(raw_add_pages(p.sock, taken[i] * PAGE, other, PAGE, R_PAGE, 0),
				 0);
	add(&p);
	assert_int_equal(p.result, -EBUSY);
	assert_int_equal(p.arg.count, 150 * PAGE);
	assert_true(raw_attach(p.sock, &a));
	assert_memory_equal(a.pages, p.src, 150 * PAGE);
	for (size_t i = 0; i < 3; i++)
		assert_memory_equal(a.pages + taken[i] * PAGE, other, PAGE);
	for (unsigned int i = 151; i < 155; i++)
		assert_int_equal(a.pages[i * PAGE], 0);
	for (unsigned int i = 201; i < 1024; i++)
		assert_int_equal(a.pages[i * PAGE], 0);
	raw_detach(&a);
	finish(&p);
}

/* What was placed for pages there is no EPC for. */
static void a_full_epc_leaves_nothing_behind(void **state)
{
	struct raw_attached a;
	struct machine *m = *state;
	struct placing p, hog;

	prepare(&hog, m);
	/* Attached without having joined: what it has stays. */
	assert_true(raw_attach(hog.sock, &a));
	while (!hog.result && hog.arg.offset + hog.arg.length <= 800 * PAGE) {
		add(&hog);
		hog.arg.offset += hog.arg.length;
	}
	assert_int_equal(hog.result, 0);
	prepare(&p, m);
	raw_detach(&a);
	assert_true(raw_attach(p.sock, &a));
	add(&p);
	assert_int_equal(p.result, -ENOMEM);
	assert_in_range(p.arg.count, 1, (NR - 1) * PAGE);
	assert_pages(&p, 0, (unsigned int)(p.arg.count / PAGE));
	raw_detach(&a);
	finish(&p);
	finish(&hog);
}

/* Before EINIT nothing asks for it, and a page of zeros would pass for its contents. */
static void a_page_that_was_written_out_is_not_made_again(void **state)
{
	struct placing p, other;
	off_t hole;

	prepare(&other, *state);
	add(&other);
	prepare(&p, *state);
	for (; p.arg.offset < 2 * NR * PAGE; p.arg.offset += NR * PAGE) {
		add(&p);
		assert_int_equal(p.result, 0);
	}
	hole = lseek(p.file, 0, SEEK_HOLE);
	assert_in_range(hole, 0, (2 * NR - 1) * PAGE);
	assert_int_equal(raw_add_pages(p.sock, (uint64_t)hole, p.src, PAGE, R_PAGE, 0), -EBUSY);
	assert_int_equal(lseek(p.file, 0, SEEK_HOLE), hole);
	finish(&p);
	finish(&other);
}

static void a_client_may_leave_while_it_places(void **state)
{
	for (int step = 0; step < 4; step++) {
		struct raw_frame f;
		struct placing p;

		prepare(&p, *state);
		begin(&p);
		for (int i = 0; i < step; i++) {
			assert_true(next_place(&p, &f));
			place(&p, &f.frame);
		}
		end(&p);
		/* The call ends without it, and others find the enclave as it is. */
		while (raw_ioctl(p.sock, 0x1234, NULL) != -ENOTTY)
			usleep(100);
		finish(&p);
	}
}

static void answer_wrongly(struct placing *p, unsigned int how)
{
	const uint64_t much = UINT64_MAX & ~(PAGE - 1), nothing = 0;
	const struct proto_data lie = { .size = 8 };

	switch (how) {
	case 0:
		raw_answer(p->reply, 0, &much, sizeof(much));
		break;
	case 1:
		raw_answer(p->reply, 0, &nothing, 4);
		break;
	case 2:
		raw_answer(p->reply, 0, NULL, 0);
		break;
	case 3:
		raw_answer(p->reply, 0, p->src, 16);
		break;
	case 4:
		raw_send(p->reply, &lie, sizeof(lie), NULL, 0);
		break;
	default:
		raw_answer(p->reply, -1, &nothing, sizeof(nothing));
		break;
	}
}

static void lies_about_what_was_placed_harm_the_liar(void **state)
{
	for (unsigned int how = 0; how < 6; how++) {
		struct raw_frame f;
		struct placing p;

		prepare(&p, *state);
		begin(&p);
		while (next_place(&p, &f))
			answer_wrongly(&p, how);
		end(&p);
		assert_int_equal(p.result, -EFAULT);
		assert_int_equal(p.arg.count, 0);
		assert_pages(&p, 0, 0);
		finish(&p);
	}
}

/* Places that are said to be written and are not: pages of zeros, as if it had written these. */
static void what_was_not_placed_is_zero(void **state)
{
	const uint64_t whole = NR * PAGE;
	struct raw_frame f;
	struct placing p;

	prepare(&p, *state);
	begin(&p);
	while (next_place(&p, &f)) {
		const uint64_t nr = f.frame.size;

		raw_answer(p.reply, 0, &nr, sizeof(nr));
	}
	end(&p);
	assert_int_equal(p.result, 0);
	assert_int_equal(p.arg.count, whole);
	assert_pages(&p, 0, 0);
	finish(&p);
}

/* Of this process, which is the server. */
static uint64_t anonymous_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	uint64_t kib = 0;
	char line[256];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "RssAnon: %" SCNu64, &kib);
	fclose(f);
	return kib;
}

/*
 * Frames of pages that are in the file take none, wherever those of VA pages lie.  It would be
 * as much again; a sanitizer takes a third of that for itself.
 */
static void a_loaded_enclave_takes_its_memory_once(void **state)
{
	const uint64_t nr_pages = 6144, per_call = 256;
	uint8_t *src = aligned_alloc(PAGE, per_call * PAGE);
	struct sgx_secs secs;
	struct machine m;
	uint64_t before;
	int sock;

	(void)state;
#ifdef __SANITIZE_THREAD__
	skip();		/* it keeps books on what is in files, too */
#endif
	machine_start(&m, 8192);
	sock = raw_open(&m);
	isa_fixture_default_secs(&secs);
	secs.size = 32 << 20;
	assert_int_equal(raw_create(sock, &secs), 0);
	memset(src, 1, per_call * PAGE);
	before = anonymous_kib();
	for (uint64_t i = 0; i < nr_pages; i += per_call)
		assert_int_equal(raw_add_pages(sock, i * PAGE, src, per_call * PAGE, R_PAGE, 0), 0);
	assert_in_range(anonymous_kib(), 0, before + nr_pages * PAGE / 1024 * 2 / 3);
	close(sock);
	free(src);
	machine_stop(&m);
}

/* With its descriptors, as always. */
static int teardown(void **state)
{
	machine_await_idle(*state);
	return machine_teardown(state);
}

#define test(name) cmocka_unit_test_setup_teardown(name, machine_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(what_is_placed_is_added),
		test(few_pages_are_not_placed),
		test(who_cannot_place_sends),
		test(what_cannot_be_read_ends_the_call_and_is_taken_back),
		test(a_place_that_is_taken_is_not_given_away),
		test(a_full_epc_leaves_nothing_behind),
		test(a_page_that_was_written_out_is_not_made_again),
		test(a_client_may_leave_while_it_places),
		test(lies_about_what_was_placed_harm_the_liar),
		test(what_was_not_placed_is_zero),
		cmocka_unit_test(a_loaded_enclave_takes_its_memory_once),
	};

	return cmocka_run_group_tests_name("server place", tests, NULL, NULL);
}
