/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Address spaces that join, that do not, that lie, and that end: what each means
 * for the pages of its own enclave, and that it means nothing for others.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raw-client.h"

#define EPC_PAGES 64u
#define ENCL_SIZE (1u << 20)
#define NR_PAGES 40u		/* of an enclave: one fits, two do not */
#define FEATURES UFFD_FEATURE_MISSING_SHMEM

/* Where enclaves are, and a process may map them: sanitizers have much else occupied. */
static uint64_t elrange(void)
{
	static uint8_t *reserved;

	if (!reserved)
		reserved = mmap(NULL, 2 * ENCL_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(reserved, MAP_FAILED);
	return ((uintptr_t)reserved + ENCL_SIZE - 1) & ~(uint64_t)(ENCL_SIZE - 1);
}

static int setup(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	machine_start(m, EPC_PAGES);
	*state = m;
	return 0;
}

/* --- enclaves -------------------------------------------------------------------- */

static int64_t fill(int sock)
{
	_Alignas(4096) static const uint8_t zero[NR_PAGES * SGX_PAGE_SIZE];

	return raw_add_pages(sock, 0, zero, sizeof(zero),
			     SECINFO_R | SECINFO_W | SECINFO_PT(PT_REG), 0);
}

static int64_t create(int sock, uint64_t base)
{
	_Alignas(4096) const struct sgx_secs secs = {
		.size = ENCL_SIZE, .baseaddr = base, .ssaframesize = 1,
		.attributes = { .flags = ATTR_MODE64BIT, .xfrm = XFRM_X87_SSE },
	};

	return raw_create(sock, &secs);
}

/* An enclave of 40 pages nobody has mapped. */
static int open_filled(const struct machine *m)
{
	const int sock = raw_open(m);

	assert_int_equal(create(sock, elrange()), 0);
	assert_int_equal(fill(sock), 0);
	return sock;
}

/* --- address spaces -------------------------------------------------------------------- */

static int open_uffd(uint64_t features, int flags)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	const int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | flags | UFFD_USER_MODE_ONLY);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, UFFDIO_API, &api), 0);
	return fd;
}

static void watch(int uffd, void *at, uint64_t size)
{
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)at, .len = size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	assert_int_equal(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);
}

/* A process's view: only the alias is mapped, whose faults the pager serves. */
struct view {
	int sock;
	struct raw_attached a;
	int uffds[2];
};

static void close_view(struct view *v)
{
	close(v->uffds[0]);
	close(v->uffds[1]);
	raw_detach(&v->a);
	close(v->sock);
}

static void view_with(struct view *v, int sock, uint64_t more_features)
{
	v->sock = sock;
	assert_true(raw_attach_joining(sock, true, &v->a));
	assert_int_equal(v->a.error, 0);
	for (int i = 0; i < 2; i++)
		v->uffds[i] = open_uffd(FEATURES | more_features, O_NONBLOCK);
	watch(v->uffds[1], v->a.pages, v->a.size);
	assert_int_equal(raw_join(sock, v->uffds, 2, (uintptr_t)v->a.pages, false), 0);
}

static void view(struct view *v, int sock)
{
	view_with(v, sock, 0);
}

static void scribble(struct view *v, uint8_t seed)
{
	for (unsigned int i = 0; i < NR_PAGES; i++)
		memset(v->a.pages + i * SGX_PAGE_SIZE, (uint8_t)(seed + i), SGX_PAGE_SIZE);
}

static void assert_scribbled(const struct view *v, uint8_t seed)
{
	for (unsigned int i = 0; i < NR_PAGES; i++) {
		const uint8_t *page = v->a.pages + i * SGX_PAGE_SIZE;

		assert_int_equal(page[0], (uint8_t)(seed + i));
		assert_int_equal(page[SGX_PAGE_SIZE - 1], (uint8_t)(seed + i));
	}
}

/* --- what is expected of all others -------------------------------------------------- */

static void pages_go_and_come_back(void **state)
{
	struct machine *m = *state;
	struct view a, b;

	view(&a, open_filled(m));
	scribble(&a, 1);
	view(&b, open_filled(m));
	scribble(&b, 101);
	for (int i = 0; i < 5; i++) {
		assert_scribbled(&a, (uint8_t)(1 + i));
		scribble(&a, (uint8_t)(2 + i));
		assert_scribbled(&b, 101);
	}
	close_view(&a);
	close_view(&b);
}

/* --- garbage ------------------------------------------------------------------------- */

static void expect_refused(int sock, const int *fds, size_t nr, uint64_t alias)
{
	assert_int_equal(raw_join(sock, fds, nr, alias, false), -EINVAL);
}

static void refuses_descriptors_of_another_kind(int sock, uint64_t alias)
{
	const int good = open_uffd(FEATURES, O_NONBLOCK), blocks = open_uffd(FEATURES, 0);
	const int unready = (int)syscall(SYS_userfaultfd, O_NONBLOCK | UFFD_USER_MODE_ONLY);
	int pair[2], pipes[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	const int bad[] = { blocks, unready, pipes[0], pipes[1], pair[0],
			    eventfd(1, EFD_NONBLOCK), open("/proc/self/exe", O_RDONLY),
			    open("/dev/null", O_RDWR), open("/", O_PATH) };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		expect_refused(sock, (int[]){ bad[i], good }, 2, alias);
		expect_refused(sock, (int[]){ good, bad[i] }, 2, alias);
		close(bad[i]);
	}
	close(pair[1]);
	close(good);
}

static void refuses_another_number_of_descriptors(int sock, uint64_t alias)
{
	int fds[3];

	for (int i = 0; i < 3; i++)
		fds[i] = open_uffd(FEATURES, O_NONBLOCK);
	expect_refused(sock, fds, 0, alias);
	expect_refused(sock, fds, 1, alias);
	expect_refused(sock, fds, 3, alias);
	for (uint64_t i = 1; i < 4096; i *= 2)
		expect_refused(sock, fds, 2, alias + i);
	expect_refused(sock, fds, 2, UINT64_MAX & SGX_PAGE_MASK);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void garbage_does_not_join(void **state)
{
	struct machine *m = *state;
	const int sock = raw_open(m);
	const uint64_t alias = UINT64_C(1) << 40;
	unsigned int fds;

	/* There is no enclave yet. */
	refuses_another_number_of_descriptors(sock, alias);
	assert_int_equal(create(sock, elrange()), 0);
	fds = settled_fds();
	refuses_another_number_of_descriptors(sock, alias);
	refuses_descriptors_of_another_kind(sock, alias);
	assert_fds_become(fds);
	close(sock);
	pages_go_and_come_back(state);
}

static void foreign_faults_are_refused(void **state)
{
	struct machine *m = *state;
	const uint64_t base = elrange();
	const int sock = raw_open(m);

	assert_int_equal(raw_fault(sock, base, SECINFO_R), -EFAULT);
	assert_int_equal(create(sock, base), 0);
	assert_int_equal(fill(sock), 0);
	assert_int_equal(raw_fault(sock, base, SECINFO_R), 0);
	assert_int_equal(raw_fault(sock, base, SECINFO_X), -EACCES);
	assert_int_equal(raw_fault(sock, base + 1, SECINFO_R), -EINVAL);
	assert_int_equal(raw_fault(sock, base, 8), -EINVAL);
	assert_int_equal(raw_fault(sock, base - SGX_PAGE_SIZE, SECINFO_R), -EFAULT);
	assert_int_equal(raw_fault(sock, base + ENCL_SIZE, SECINFO_R), -EFAULT);
	assert_int_equal(raw_fault(sock, 0, 0), -EFAULT);
	assert_int_equal(raw_fault(sock, UINT64_MAX & SGX_PAGE_MASK, 0), -EFAULT);
	/* In range, but no page, and not to be made before INIT. */
	assert_int_equal(raw_fault(sock, base + NR_PAGES * SGX_PAGE_SIZE, 0), -EFAULT);
	close(sock);
}

/* --- who holds a TCS -------------------------------------------------------------------- */

#define NOBODYS (UINT64_C(99) << ISA_TCS_HOLDER_SHIFT | ISA_TCS_ACTIVE)

/* An enclave of nothing but TCSs, whose frames are where @ossa says. */
static int open_with_tcs(const struct machine *m, uint64_t ossa)
{
	_Alignas(4096) const struct sgx_tcs tcs = { .ossa = ossa, .nssa = 2,
						    .fslimit = 0xfff, .gslimit = 0xfff };
	const int sock = raw_open(m);

	assert_int_equal(create(sock, elrange()), 0);
	assert_int_equal(raw_add_pages(sock, 0, &tcs, sizeof(tcs), SECINFO_PT(PT_TCS), 0), 0);
	return sock;
}

/* What the program wrote into it is believed as far as its own enclave goes. */
static void a_tcs_of_nobody_is_freed(void **state)
{
	static const uint64_t ossas[] = { 0, SGX_PAGE_SIZE, ENCL_SIZE, UINT64_MAX & SGX_PAGE_MASK };
	struct machine *m = *state;

	for (size_t i = 0; i < sizeof(ossas) / sizeof(ossas[0]); i++) {
		const int sock = open_with_tcs(m, ossas[i]);
		struct raw_attached a;
		struct sgx_tcs *tcs;

		assert_true(raw_attach(sock, &a));
		tcs = (struct sgx_tcs *)(void *)a.pages;
		assert_int_equal(raw_free_tcs(sock, a.base), 0);
		/* Of no process in particular: it may live. */
		tcs->state = ISA_TCS_ACTIVE;
		assert_int_equal(raw_free_tcs(sock, a.base), 0);
		tcs->state = NOBODYS;
		tcs->ossa += 8;
		tcs->cssa = UINT32_MAX;
		assert_int_equal(raw_free_tcs(sock, a.base), 1);
		assert_int_equal(tcs->state, 0);
		assert_int_equal(raw_free_tcs(sock, a.base), 0);
		raw_detach(&a);
		close(sock);
	}
}

static void no_tcs_is_not_freed(void **state)
{
	struct machine *m = *state;
	const int sock = open_filled(m);
	struct raw_attached a;

	assert_true(raw_attach(sock, &a));
	memcpy(a.pages, &(uint64_t){ NOBODYS }, sizeof(uint64_t));
	assert_int_equal(raw_free_tcs(sock, a.base), 0);
	assert_int_equal(raw_free_tcs(sock, a.base + NR_PAGES * SGX_PAGE_SIZE), 0);
	assert_int_equal(raw_free_tcs(sock, a.base + 8), -EINVAL);
	assert_int_equal(raw_free_tcs(sock, a.base + a.size), -EINVAL);
	assert_int_equal(raw_free_tcs(sock, 0), -EINVAL);
	raw_detach(&a);
	close(sock);
}

/* --- liars: they joined well, and misuse what they kept -------------------------------- */

struct liar {
	pid_t pid;
	int sock;
};

/* A process that has joined when this returns, and goes on with @lie. */
static struct liar start_liar(struct machine *m, void (*lie)(int sock, int joined))
{
	struct liar liar = { .sock = open_filled(m) };
	int joined[2];
	char byte;

	assert_int_equal(pipe(joined), 0);
	liar.pid = fork();
	if (!liar.pid) {
		lie(liar.sock, joined[1]);
		_exit(0);
	}
	assert_int_equal(read(joined[0], &byte, 1), 1);
	close(joined[0]);
	close(joined[1]);
	return liar;
}

static void end_liar(const struct liar *liar)
{
	int status;

	kill(liar->pid, SIGKILL);
	assert_int_equal(waitpid(liar->pid, &status, 0), liar->pid);
	close(liar->sock);
}

/* Faults now and then, and after each there is nothing to read. */
static void make_descriptors_block(int sock, int joined)
{
	struct view v;

	view(&v, sock);
	fcntl(v.uffds[0], F_SETFL, 0);
	fcntl(v.uffds[1], F_SETFL, 0);
	if (write(joined, "", 1) != 1)
		return;
	for (;;) {
		usleep(20000);
		v.a.pages[0]++;
		if (v.a.pages[0] == 3)
			pause();
	}
}

static void descriptors_that_block_later_stop_nobody(void **state)
{
	const struct liar liar = start_liar(*state, make_descriptors_block);

	for (int i = 0; i < 5; i++) {
		usleep(20000);
		pages_go_and_come_back(state);
	}
	end_liar(&liar);
}

/* Events that are not read hold up whoever changes mappings, in the kernel. */
static void never_read_events(int sock, int joined)
{
	struct view v;
	void *mapped;

	view_with(&v, sock, UFFD_FEATURE_EVENT_REMOVE);
	mapped = mmap((void *)v.a.base, v.a.size, PROT_READ, MAP_SHARED | MAP_FIXED, v.a.fds[0], 0);
	watch(v.uffds[0], mapped, v.a.size);
	if (write(joined, "", 1) == 1)
		madvise(mapped, v.a.size, MADV_DONTNEED);
}

static void events_that_are_not_read_stop_nobody(void **state)
{
	const struct liar liar = start_liar(*state, never_read_events);

	usleep(10000);
	pages_go_and_come_back(state);
	end_liar(&liar);
}

/* --- without joining ----------------------------------------------------------------- */

static uint64_t nr_in_use(struct machine *m)
{
	return server_stat(m->server).in_use;
}

static void who_does_not_join_gets_all_pages_back(void **state)
{
	struct machine *m = *state;
	struct raw_attached a;
	struct view v;
	int other;

	view(&v, open_filled(m));
	scribble(&v, 7);
	other = open_filled(m);
	close(other);

	assert_true(raw_attach(v.sock, &a));
	assert_int_equal(a.error, 0);
	for (unsigned int i = 0; i < NR_PAGES; i++)
		assert_int_equal(a.pages[i * SGX_PAGE_SIZE], (uint8_t)(7 + i));
	assert_true(nr_in_use(m) >= NR_PAGES);

	/* And none goes from here on. */
	other = raw_open(m);
	assert_int_equal(create(other, elrange()), 0);
	assert_int_equal(fill(other), 0);
	for (unsigned int i = 0; i < NR_PAGES; i++)
		assert_int_equal(a.pages[i * SGX_PAGE_SIZE], (uint8_t)(7 + i));
	close(other);
	raw_detach(&a);
	close_view(&v);
}

static void no_room_for_all_pages_is_enomem(void **state)
{
	struct machine *m = *state;
	const int first = open_filled(m), second = open_filled(m);
	struct raw_attached a, b;

	assert_true(raw_attach(first, &a));
	assert_int_equal(a.error, 0);
	assert_true(raw_attach(second, &b));
	assert_int_equal(b.error, -ENOMEM);
	assert_null(b.pages);
	/* Refused, it holds nothing: once there is room it may. */
	raw_detach(&a);
	close(first);
	for (int i = 0; i < RAW_PATIENCE_S * 1000 && b.error; i++) {
		usleep(1000);
		assert_true(raw_attach(second, &b));
	}
	assert_int_equal(b.error, 0);
	raw_detach(&b);
	close(second);
}

/* --- pages that cannot be had --------------------------------------------------------- */

/* An enclave nothing is taken from, that takes all there is. */
static int open_hog(const struct machine *m)
{
	static const _Alignas(4096) uint8_t zero[SGX_PAGE_SIZE];
	const int sock = raw_open(m);
	struct raw_attached a;
	int64_t ret = 0;

	assert_int_equal(create(sock, elrange()), 0);
	assert_true(raw_attach(sock, &a));
	raw_detach(&a);
	for (uint64_t offset = 0; !ret; offset += SGX_PAGE_SIZE)
		ret = raw_add_pages(sock, offset, zero, sizeof(zero),
				    SECINFO_R | SECINFO_W | SECINFO_PT(PT_REG), 0);
	assert_int_equal(ret, -ENOMEM);
	return sock;
}

static void *read_first(void *arg)
{
	const volatile uint8_t *pages = arg;

	return (void *)(uintptr_t)pages[0];
}

static void a_page_there_is_no_room_for_is_waited_for(void **state)
{
	struct machine *m = *state;
	pthread_t thread;
	struct view v;
	void *seen;
	int hog;

	view(&v, open_filled(m));
	scribble(&v, 33);
	hog = open_hog(m);
	assert_int_equal(pthread_create(&thread, NULL, read_first, v.a.pages), 0);
	usleep(20000);
	close(hog);
	pthread_join(thread, &seen);
	assert_int_equal((uintptr_t)seen, 33);
	assert_scribbled(&v, 33);
	close_view(&v);
}

/* Whoever finds a page lost sees ones, and the page when it can be had after all. */
static void a_page_that_cannot_be_reloaded_is_the_abort_page(void **state)
{
	static struct inject_plan plan;
	const struct server_config config = {
		.epc_size = EPC_PAGES * SGX_PAGE_SIZE, .profile = isa_profile_at(0), .inject = &plan,
	};
	struct machine m;
	struct view v;
	char why[256];

	assert_true(inject_add(&plan, "ELDU:nth=1,code=SGX_MAC_COMPARE_FAIL", why, sizeof(why)));
	machine_start_with(&m, &config);
	view(&v, open_filled(&m));
	scribble(&v, 44);
	close(open_hog(&m));
	assert_int_equal((uintptr_t)read_first(v.a.pages), 0xff);
	assert_int_equal(raw_fault(v.sock, v.a.base, SECINFO_R), 0);
	assert_scribbled(&v, 44);
	close_view(&v);
	machine_stop(&m);
	(void)state;
}

/* --- the end of a process --------------------------------------------------------------- */

static void join_and_end(int sock)
{
	struct view v;

	view(&v, sock);
	_exit(0);
}

/* Whatever they joined with is given back while their enclave lives on. */
static void processes_that_ended_cost_nothing(void **state)
{
	struct machine *m = *state;
	const int sock = open_filled(m);
	const unsigned int before = settled_fds();

	for (int i = 0; i < 100; i++) {
		int status;
		const pid_t pid = fork();

		if (!pid)
			join_and_end(sock);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	assert_in_range(count_fds(), before, before + 50);
	pages_go_and_come_back(state);
	close(sock);
}

/* Slots with the process @number in them. */
static void occupy(struct proto_mailbox *box, unsigned int first, unsigned int end, uint32_t number)
{
	static const enum proto_slot_state states[] = {
		PROTO_SLOT_CLAIMED, PROTO_SLOT_POSTED, PROTO_SLOT_DONE,
	};

	for (unsigned int i = first; i < end; i++)
		atomic_store(&box->slots[i].state,
			     (uint32_t)states[i % 3] | number << PROTO_SLOT_OWNER_SHIFT);
}

static unsigned int nr_free(struct proto_mailbox *box, unsigned int first, unsigned int end)
{
	unsigned int nr = 0;

	for (unsigned int i = first; i < end; i++)
		nr += !atomic_load(&box->slots[i].state);
	return nr;
}

/* Of the processes that occupy the mailbox one lives, one has ended, and one never was known. */
static void the_mailbox_is_not_occupied_by_who_ended(void **state)
{
	const unsigned int third = PROTO_NR_SLOTS / 3;
	struct machine *m = *state;
	struct proto_mailbox *box;
	struct view v;
	int status;
	pid_t pid;

	view(&v, open_filled(m));
	box = &((struct proto_shared *)(uintptr_t)v.a.shared)->mailbox;
	pid = fork();
	if (!pid)
		join_and_end(v.sock);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);

	/* Numbers are given in order. */
	occupy(box, 0, third, 1);
	occupy(box, third, 2 * third, 2);
	occupy(box, 2 * third, PROTO_NR_SLOTS - 1, 0);
	/* While there is room there is no need to look. */
	assert_int_equal(raw_fault(v.sock, elrange(), 0), 0);
	assert_int_equal(nr_free(box, 0, PROTO_NR_SLOTS - 1), 0);
	occupy(box, PROTO_NR_SLOTS - 1, PROTO_NR_SLOTS, 0);
	assert_int_equal(raw_fault(v.sock, elrange(), 0), 0);
	assert_int_equal(nr_free(box, 0, third), 0);
	assert_int_equal(nr_free(box, third, 2 * third), third);
	assert_int_equal(nr_free(box, 2 * third, PROTO_NR_SLOTS), 0);
	close_view(&v);
}

static void pages_go_while_processes_end(void **state)
{
	struct machine *m = *state;
	struct view v;

	view(&v, open_filled(m));
	scribble(&v, 50);
	for (int i = 0; i < 20; i++) {
		const pid_t pid = fork();
		int status, other;

		if (!pid)
			join_and_end(v.sock);
		other = open_filled(m);
		assert_scribbled(&v, 50);
		close(other);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	close_view(&v);
}

/* --- release ------------------------------------------------------------------------------ */

/* @arg: the first page, or some bytes into it. */
static void *touch_all(void *arg)
{
	volatile uint8_t *pages = arg;

	for (int n = 0; n < 20; n++)
		for (unsigned int i = 0; i < NR_PAGES; i++)
			pages[i * SGX_PAGE_SIZE] = (uint8_t)n;
	return NULL;
}

static void released_while_the_pager_is_busy_with_it(void **state)
{
	struct machine *m = *state;

	for (int i = 0; i < 15; i++) {
		pthread_t threads[2];
		struct view v;
		int other;

		view(&v, open_filled(m));
		for (int t = 0; t < 2; t++)
			assert_int_equal(pthread_create(&threads[t], NULL, touch_all, v.a.pages + t),
					 0);
		other = open_filled(m);
		/* What waits is let go when the last userfaultfd is closed: by the server. */
		close(v.uffds[0]);
		close(v.uffds[1]);
		close(v.sock);
		for (int t = 0; t < 2; t++)
			pthread_join(threads[t], NULL);
		raw_detach(&v.a);
		close(other);
	}
	machine_await_idle(m);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, machine_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(pages_go_and_come_back),
		CASE(garbage_does_not_join),
		CASE(foreign_faults_are_refused),
		CASE(a_tcs_of_nobody_is_freed),
		CASE(no_tcs_is_not_freed),
		CASE(descriptors_that_block_later_stop_nobody),
		CASE(events_that_are_not_read_stop_nobody),
		CASE(who_does_not_join_gets_all_pages_back),
		CASE(no_room_for_all_pages_is_enomem),
		CASE(a_page_there_is_no_room_for_is_waited_for),
		cmocka_unit_test(a_page_that_cannot_be_reloaded_is_the_abort_page),
		CASE(processes_that_ended_cost_nothing),
		CASE(the_mailbox_is_not_occupied_by_who_ended),
		CASE(pages_go_while_processes_end),
		CASE(released_while_the_pager_is_busy_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
