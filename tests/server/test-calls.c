/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls over the protocol, as a well-behaved client makes them: what the program
 * gets is the same as from the ioctls directly, and shared where it must be.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../isa/fixture.h"
#include "raw-client.h"

static uint64_t in_use(const struct machine *m)
{
	return server_stat(m->server).in_use;
}

static void an_enclave_is_built_entered_and_given_back(void **state)
{
	struct machine *m = *state;
	const int sock = raw_open(m);

	assert_int_equal(in_use(m), 0);
	assert_int_equal(raw_build(sock), 0);
	assert_int_equal(in_use(m), FIXTURE_FREE + RAW_VA_PAGES);
	assert_true(raw_works(sock));
	close(sock);
	machine_await_idle(m);
}

static void attach_shows_pages_and_their_epcm(void **state)
{
	static const uint16_t expected[] = {
		[FIXTURE_TCS] = PT_TCS << MIRROR_PT_SHIFT | MIRROR_VALID,
		[FIXTURE_SSA] = PT_REG << MIRROR_PT_SHIFT | MIRROR_VALID | 3,
		[FIXTURE_RW] = PT_REG << MIRROR_PT_SHIFT | MIRROR_VALID | 3,
		[FIXTURE_RX] = PT_REG << MIRROR_PT_SHIFT | MIRROR_VALID | 5,
	};
	_Alignas(4096) uint8_t page[SGX_PAGE_SIZE];
	struct machine *m = *state;
	const int sock = raw_open(m);
	struct raw_attached a;

	assert_true(raw_attach(sock, &a));
	assert_null(a.pages);
	assert_int_equal(raw_build(sock), 0);
	assert_true(raw_attach(sock, &a));
	assert_non_null(a.pages);
	assert_int_equal(a.base, FIXTURE_BASE);
	assert_int_equal(a.size, FIXTURE_SIZE);
	assert_int_equal(a.shared->blk.base, FIXTURE_BASE);
	assert_int_equal(a.shared->blk.initialized, 1);
	assert_int_equal(a.shared->first, 0);
	assert_int_equal(a.shared->end, FIXTURE_FREE - 1);
	for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++) {
		assert_int_equal(a.mirror[i - 1], expected[i]);
		isa_fixture_source(i, page);
		assert_memory_equal(a.pages + (i - 1) * SGX_PAGE_SIZE, page, sizeof(page));
	}
	for (uint64_t i = FIXTURE_FREE - 1; i < FIXTURE_SIZE / SGX_PAGE_SIZE; i++)
		assert_int_equal(a.mirror[i], 0);
	raw_detach(&a);
	close(sock);
}

static void files_of_an_enclave_cannot_be_resized(void **state)
{
	struct machine *m = *state;
	const int sock = raw_open(m);
	struct raw_attached a;

	assert_int_equal(raw_build(sock), 0);
	assert_true(raw_attach(sock, &a));
	for (size_t i = 0; i < PROTO_NR_FILES; i++) {
		/* The server maps them: a smaller file would be its SIGBUS. */
		assert_int_equal(ftruncate(a.fds[i], 0), -1);
		assert_int_equal(errno, EPERM);
		assert_int_equal(ftruncate(a.fds[i], (off_t)1 << 30), -1);
	}
	raw_detach(&a);
	assert_true(raw_works(sock));
	close(sock);
}

/* It tells every program of the machine, so none may write it. */
static void whether_the_machine_lives_can_only_be_read(void **state)
{
	struct machine *m = *state;
	const int sock = raw_open(m);
	const _Atomic uint32_t *word;
	struct raw_attached a;

	assert_int_equal(raw_build(sock), 0);
	assert_true(raw_attach(sock, &a));
	assert_ptr_equal(mmap(NULL, SGX_PAGE_SIZE, PROT_WRITE, MAP_SHARED, a.fds[2], 0), MAP_FAILED);
	assert_int_equal(pwrite(a.fds[2], "", 1, 0), -1);
	word = mmap(NULL, SGX_PAGE_SIZE, PROT_READ, MAP_SHARED, a.fds[2], 0);
	assert_ptr_not_equal(word, MAP_FAILED);
	assert_int_not_equal(*word & PROTO_IS_ALIVE, 0);
	close(sock);
	raw_detach(&a);
	machine_let_go(m);
	assert_true(machine_has_ended(m, RAW_PATIENCE_S * 1000));
	assert_int_equal(*word & PROTO_IS_ALIVE, 0);
	munmap((void *)(uintptr_t)word, SGX_PAGE_SIZE);
}

static void many_pages_travel_in_chunks(void **state)
{
	enum { NR = 5 * PROTO_CHUNK_PAGES + 3 };
	uint8_t *src = aligned_alloc(SGX_PAGE_SIZE, NR * SGX_PAGE_SIZE);
	struct machine *m = *state;
	const int sock = raw_open(m);
	struct sgx_secs secs;
	struct raw_attached a;

	isa_fixture_default_secs(&secs);
	secs.size = 1 << 20;
	for (size_t i = 0; i < NR * SGX_PAGE_SIZE; i++)
		src[i] = (uint8_t)(i * 31 + i / SGX_PAGE_SIZE);
	assert_int_equal(raw_create(sock, &secs), 0);
	assert_int_equal(raw_add_pages(sock, 3 * SGX_PAGE_SIZE, src, NR * SGX_PAGE_SIZE,
				       SECINFO_PT(PT_REG) | SECINFO_R, SGX_PAGE_MEASURE), 0);
	assert_int_equal(in_use(m), NR + 1 + RAW_VA_PAGES);
	assert_true(raw_attach(sock, &a));
	assert_memory_equal(a.pages + 3 * SGX_PAGE_SIZE, src, NR * SGX_PAGE_SIZE);
	assert_int_equal(a.shared->first, 3);
	assert_int_equal(a.shared->end, 3 + NR);
	raw_detach(&a);
	free(src);
	close(sock);
}

static void source_nobody_wants_does_not_cost_the_answer(void **state)
{
	static struct {
		struct proto_data header;
		uint8_t page[SGX_PAGE_SIZE];
	} a = { .header = { .size = SGX_PAGE_SIZE } };
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = SGX_IOC_ENCLAVE_ADD_PAGES,
		.source_addr = 4096, .source_size = SGX_PAGE_SIZE,
	};
	struct machine *m = *state;
	const int sock = raw_open(m);

	for (int i = 0; i < 20; i++) {
		const int reply = raw_begin(sock, &req);
		struct raw_frame done;

		assert_true(send(reply, &a, sizeof(a), MSG_NOSIGNAL) == sizeof(a));
		/* A socket closed with something unread would be reset by now. */
		usleep(3000);
		assert_true(raw_finish(reply, &done));
		assert_int_equal(done.frame.result, -EINVAL);
	}
	close(sock);
}

static void errors_are_those_of_the_device(void **state)
{
	struct machine *m = *state;
	const int sock = raw_open(m);
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	assert_int_equal(raw_init(sock), -EINVAL);
	assert_int_equal(raw_ioctl(sock, 0x1234, NULL), -ENOTTY);
	assert_int_equal(raw_ioctl(sock, SGX_IOC_ENCLAVE_CREATE, (void *)8), -EFAULT);
	assert_int_equal(raw_create(sock, (void *)8), -EFAULT);
	assert_int_equal(raw_create(sock, &secs), 0);
	assert_int_equal(raw_create(sock, &secs), -EINVAL);
	assert_int_equal(raw_add_pages(sock, 0, (void *)4096, 4096, SECINFO_PT(PT_REG), 0),
			 -EFAULT);
	assert_int_equal(raw_add_pages(sock, 1ull << 40, NULL, 4096, SECINFO_PT(PT_REG), 0),
			 -EINVAL);
	close(sock);
}

static void the_mmap_rule_holds_over_the_wire(void **state)
{
	const uint64_t rx = FIXTURE_BASE + (FIXTURE_RX - 1) * SGX_PAGE_SIZE;
	struct machine *m = *state;
	const int sock = raw_open(m);

	assert_int_equal(raw_build(sock), 0);
	assert_int_equal(raw_may_map(sock, rx, rx + 4096, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(raw_may_map(sock, rx, rx + 4096, PROT_WRITE), -EACCES);
	assert_int_equal(raw_may_map(sock, rx, rx + 1, PROT_READ), -EINVAL);
	assert_int_equal(raw_may_map(sock, rx + 4096, rx, PROT_READ), -EINVAL);
	close(sock);
}

static void leaves_outside_an_initialized_enclave_are_gp(void **state)
{
	struct machine *m = *state;
	const int sock = raw_open(m);
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	for (int created = 0; created < 2; created++) {
		assert_gp(raw_enclu(sock, ISA_ENCLU_EREPORT, FIXTURE_BASE, FIXTURE_BASE,
				    FIXTURE_BASE));
		if (!created)
			assert_int_equal(raw_create(sock, &secs), 0);
	}
	close(sock);
}

static void operands_outside_the_enclave_are_faults(void **state)
{
	static const uint64_t bad[] = {
		0, 0x1000, FIXTURE_BASE - 4096, FIXTURE_BASE + FIXTURE_SIZE,
		FIXTURE_BASE + FIXTURE_FREE * SGX_PAGE_SIZE, 1ull << 63, UINT64_MAX & ~511ull,
		/* Where the server itself sees the EPC. */
		0xffff804000000000ull,
	};
	struct machine *m = *state;
	const int sock = raw_open(m);

	assert_int_equal(raw_build(sock), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (uint32_t leaf = 0; leaf < 8; leaf++) {
			struct isa_outcome o = raw_enclu(sock, leaf, bad[i], bad[i], bad[i]);

			assert_int_equal(o.kind, ISA_FAULT);
			assert_true(o.vector == X86_GP || o.vector == X86_PF);
		}
	}
	assert_true(raw_works(sock));
	close(sock);
}

static void an_absurd_secs_is_refused_and_costs_nothing(void **state)
{
	static const uint64_t sizes[] = {
		0, 1, 4095, 4096, 12288, 1ull << 57, 1ull << 62, 1ull << 63, UINT64_MAX,
		(1ull << 56) + 4096,
	};
	static const uint64_t bases[] = { 1, 4096, 1ull << 63, 1ull << 60, UINT64_MAX };
	struct machine *m = *state;
	const int sock = raw_open(m);
	struct sgx_secs secs;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int64_t ret;

		isa_fixture_default_secs(&secs);
		secs.size = sizes[i];
		secs.baseaddr = 0;
		ret = raw_create(sock, &secs);
		assert_true(ret == -EINVAL || ret == -EIO);
		assert_int_equal(in_use(m), 0);
	}
	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		isa_fixture_default_secs(&secs);
		secs.baseaddr = bases[i];
		assert_int_equal(raw_create(sock, &secs), -EIO);
		assert_int_equal(in_use(m), 0);
	}
	/* After all that the file is still good for an enclave. */
	assert_int_equal(raw_build(sock), 0);
	assert_true(raw_works(sock));
	close(sock);
}

static void an_enclave_beyond_the_address_space_is_enomem(void **state)
{
	struct machine *m = *state;
	const int sock = raw_open(m);
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	secs.baseaddr = 0;
	for (unsigned int log2 = 48; log2 <= 56; log2++) {
		secs.size = 1ull << log2;
		assert_int_equal(raw_create(sock, &secs), -ENOMEM);
		assert_int_equal(in_use(m), 0);
	}
	assert_int_equal(raw_build(sock), 0);
	close(sock);
}

static unsigned long resident_pages(void)
{
	unsigned long total = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &total, &resident), 2);
	fclose(f);
	return resident;
}

static void a_large_empty_enclave_takes_no_memory(void **state)
{
	struct machine *m = *state;
	const unsigned long before = resident_pages();
	struct sgx_secs secs;
	int socks[8];

	isa_fixture_default_secs(&secs);
	secs.baseaddr = 0;
	secs.size = 1ull << 36;
	for (int i = 0; i < 8; i++) {
		socks[i] = raw_open(m);
		assert_int_equal(raw_create(socks[i], &secs), 0);
	}
	/* Half a terabyte of enclaves; 16 MB is room for a sanitizer's own. */
	assert_true(resident_pages() < before + 4096);
	for (int i = 0; i < 8; i++)
		close(socks[i]);
}

/* --- one descriptor, several calls --------------------------------------------- */

/* An ADD_PAGES that waits for its source. */
struct stuck {
	struct sgx_enclave_add_pages arg;
	struct sgx_secinfo secinfo;
	_Alignas(4096) uint8_t page[SGX_PAGE_SIZE];
	struct raw_frame question;
	int reply;
};

static void get_stuck(int sock, struct stuck *s)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = SGX_IOC_ENCLAVE_ADD_PAGES,
		.b = (uintptr_t)&s->arg,
	};

	s->secinfo = (struct sgx_secinfo){ .flags = SECINFO_PT(PT_REG) | SECINFO_R };
	s->arg = (struct sgx_enclave_add_pages){
		.src = (uintptr_t)s->page, .offset = 0x8000, .length = SGX_PAGE_SIZE,
		.secinfo = (uintptr_t)&s->secinfo,
	};
	s->reply = raw_begin(sock, &req);
	assert_true(s->reply >= 0);
	while (raw_receive(s->reply, &s->question) && s->question.frame.kind != PROTO_SOURCE)
		raw_serve(s->reply, &s->question);
	assert_int_equal(s->question.frame.kind, PROTO_SOURCE);
}

static void another_ioctl_meanwhile_is_ebusy(void **state)
{
	static struct stuck stuck;
	struct machine *m = *state;
	const int sock = raw_open(m);
	struct raw_frame done;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	assert_int_equal(raw_create(sock, &secs), 0);
	get_stuck(sock, &stuck);
	assert_int_equal(raw_create(sock, &secs), -EBUSY);
	assert_int_equal(raw_init(sock), -EBUSY);
	assert_int_equal(raw_ioctl(sock, 0x1234, NULL), -EBUSY);

	/* Everything else goes on. */
	assert_int_equal(raw_may_map(sock, FIXTURE_BASE, FIXTURE_BASE + 4096, PROT_READ), 0);
	assert_gp(raw_enclu(sock, ISA_ENCLU_EREPORT, FIXTURE_BASE, FIXTURE_BASE, FIXTURE_BASE));

	raw_serve(stuck.reply, &stuck.question);
	assert_true(raw_finish(stuck.reply, &done));
	assert_int_equal(done.frame.result, 0);
	assert_int_equal(stuck.arg.count, SGX_PAGE_SIZE);
	assert_int_equal(raw_ioctl(sock, 0x1234, NULL), -ENOTTY);
	close(sock);
}

static void release_waits_for_the_call_that_is_running(void **state)
{
	static struct stuck stuck;
	struct machine *m = *state;
	const int sock = raw_open(m);
	struct raw_frame done;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	assert_int_equal(raw_create(sock, &secs), 0);
	get_stuck(sock, &stuck);
	close(sock);
	usleep(50000);
	assert_int_equal(in_use(m), 1 + RAW_VA_PAGES);
	raw_serve(stuck.reply, &stuck.question);
	assert_true(raw_finish(stuck.reply, &done));
	assert_int_equal(done.frame.result, 0);
	machine_await_idle(m);
}

static void a_stuck_call_keeps_nobody_else_waiting(void **state)
{
	static struct stuck stuck;
	struct machine *m = *state;
	const int sock = raw_open(m), other = raw_open(m);
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	assert_int_equal(raw_create(sock, &secs), 0);
	get_stuck(sock, &stuck);
	assert_int_equal(raw_build(other), 0);
	assert_true(raw_works(other));
	close(stuck.reply);
	close(sock);
	close(other);
}

#define test(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

/* --- signals of the caller ----------------------------------------------------------------- */

#define FULL_PAGES 64u

/* An ioctl of whose caller the server hears that it handles a signal. */
static int64_t interrupted_ioctl(int sock, unsigned int cmd, void *arg)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = cmd, .b = (uintptr_t)arg,
	};
	const struct proto_data notice = { .interrupted = 1, .is_notice = 1 };
	struct raw_frame done;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(send(pair[0], &notice, sizeof(notice), 0), sizeof(notice));
	assert_int_equal(raw_send(sock, &req, sizeof(req), &pair[1], 1), 0);
	close(pair[1]);
	assert_true(raw_finish(pair[0], &done));
	return done.frame.result;
}

static void waiting_for_epc_ends_with_a_signal_of_the_caller(void **state)
{
	_Alignas(4096) static const uint8_t zero[40 * SGX_PAGE_SIZE];
	_Alignas(4096) static struct sgx_secs secs = {
		.size = 1 << 20, .baseaddr = 1 << 30, .ssaframesize = 1,
		.attributes = { .flags = ATTR_MODE64BIT, .xfrm = XFRM_X87_SSE },
	};
	_Alignas(64) static struct sgx_secinfo secinfo = {
		.flags = SECINFO_R | SECINFO_W | SECINFO_PT(PT_REG),
	};
	struct sgx_enclave_create create = { .src = (uintptr_t)&secs };
	struct sgx_enclave_add_pages add = {
		.src = (uintptr_t)zero, .length = sizeof(zero), .secinfo = (uintptr_t)&secinfo,
	};
	struct machine *m = calloc(1, sizeof(*m));
	int sock, other;

	assert_non_null(m);
	machine_start(m, FULL_PAGES);
	sock = raw_open(m);
	other = raw_open(m);
	/* As long as there is EPC nobody waits. */
	assert_int_equal(interrupted_ioctl(sock, SGX_IOC_ENCLAVE_CREATE, &create), 0);
	assert_int_equal(raw_ioctl(sock, SGX_IOC_ENCLAVE_ADD_PAGES, &add), 0);
	assert_int_equal(raw_ioctl(other, SGX_IOC_ENCLAVE_CREATE, &create), 0);
	assert_int_equal(raw_ioctl(other, SGX_IOC_ENCLAVE_ADD_PAGES, &add), 0);
	/* Both do not fit: some of each have to be written out for more. */
	add.offset = sizeof(zero);
	add.count = 1;
	assert_int_equal(interrupted_ioctl(sock, SGX_IOC_ENCLAVE_ADD_PAGES, &add), 0);
	/* Something comes of it, but what was written out for that is not all. */
	assert_in_range(add.count, SGX_PAGE_SIZE, sizeof(zero) - SGX_PAGE_SIZE);
	add.src += add.count;
	add.offset += add.count;
	add.length -= add.count;
	assert_int_equal(raw_ioctl(sock, SGX_IOC_ENCLAVE_ADD_PAGES, &add), 0);
	assert_int_equal(add.count, add.length);
	close(sock);
	close(other);
	machine_stop(m);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(an_enclave_is_built_entered_and_given_back),
		test(attach_shows_pages_and_their_epcm),
		test(files_of_an_enclave_cannot_be_resized),
		test(whether_the_machine_lives_can_only_be_read),
		test(many_pages_travel_in_chunks),
		test(source_nobody_wants_does_not_cost_the_answer),
		test(errors_are_those_of_the_device),
		test(the_mmap_rule_holds_over_the_wire),
		test(leaves_outside_an_initialized_enclave_are_gp),
		test(operands_outside_the_enclave_are_faults),
		test(an_absurd_secs_is_refused_and_costs_nothing),
		test(an_enclave_beyond_the_address_space_is_enomem),
		test(a_large_empty_enclave_takes_no_memory),
		test(another_ioctl_meanwhile_is_ebusy),
		test(release_waits_for_the_call_that_is_running),
		test(a_stuck_call_keeps_nobody_else_waiting),
		cmocka_unit_test(waiting_for_epc_ends_with_a_signal_of_the_caller),
	};

	return cmocka_run_group_tests_name("calls", tests, NULL, NULL);
}
