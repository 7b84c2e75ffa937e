/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Enclaves larger than the EPC: pages are written out and reloaded while
 * threads and processes use them, and no store is lost.  The enclaves are made
 * after the EPC, so it may have any size; the time it takes grows with it.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"

#define SWEEPS 8u

/* Nearly twice the EPC; set once, in main(). */
static unsigned int heap_pages;

static uint64_t heap_of(const struct test_encl *e, unsigned int nr_threads)
{
	return (uintptr_t)e->base + ENCL_THREAD_OFFSET + nr_threads * ENCL_THREAD_SIZE;
}

static uint64_t heap(const struct test_encl *e)
{
	return heap_of(e, 2);
}

static uint64_t sweep_of(const struct test_encl *e, unsigned int thread,
			 unsigned int nr_threads, uint64_t nr_pages)
{
	struct test_op op = {
		.kind = OP_SWEEP,
		.addr = heap_of(e, nr_threads),
		.value = nr_pages,
	};

	test_enter(e, thread, &op);
	return op.result;
}

static uint64_t sweep(const struct test_encl *e, unsigned int thread)
{
	return sweep_of(e, thread, 2, heap_pages);
}

static void build(struct test_encl *e)
{
	const struct test_config large = { .nr_threads = 2, .heap_pages = heap_pages };

	assert_int_equal(test_encl_build(e, &large), 0);
}

static void contents_survive(void **state)
{
	struct test_encl e;

	build(&e);
	for (unsigned int i = 1; i <= SWEEPS; i++)
		assert_int_equal(sweep(&e, 0), i * heap_pages);
	test_encl_free(&e);
}

static void several_enclaves_share_the_epc(void **state)
{
	struct test_encl e[3];

	for (int i = 0; i < 3; i++)
		build(&e[i]);
	for (unsigned int n = 1; n <= 3; n++)
		for (int i = 0; i < 3; i++)
			assert_int_equal(sweep(&e[i], 0), n * heap_pages);
	for (int i = 0; i < 3; i++)
		test_encl_free(&e[i]);
}

struct sweeper {
	const struct test_encl *e;
	unsigned int thread;
};

static void *sweeper(void *arg)
{
	const struct sweeper *s = arg;

	for (unsigned int i = 0; i < SWEEPS; i++)
		sweep(s->e, s->thread);
	return NULL;
}

static void two_threads_lose_no_store(void **state)
{
	struct test_encl e;
	struct sweeper s[2] = { { &e, 0 }, { &e, 1 } };
	pthread_t threads[2];

	build(&e);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, sweeper, &s[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(sweep(&e, 0), (2 * SWEEPS + 1) * heap_pages);
	test_encl_free(&e);
}

/* A second address space that pages have to be taken from. */
static void f58_parent_and_child_lose_no_store(void **state)
{
	struct test_encl e;
	int status;
	pid_t pid;

	build(&e);
	sweep(&e, 0);
	pid = fork();
	if (!pid) {
		for (unsigned int i = 0; i < SWEEPS; i++)
			sweep(&e, 1);
		_exit(0);
	}
	for (unsigned int i = 0; i < SWEEPS; i++)
		sweep(&e, 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(sweep(&e, 0), (2 * SWEEPS + 2) * heap_pages);
	test_encl_free(&e);
}

#define STORM_WAVES 3u
#define STORM_CHILDREN 3u

struct storm {
	struct test_encl e;
	atomic_bool over;
	unsigned int nr_sweeps, nr_failed;
	unsigned int nr_pages;		/* more than there is EPC */
};

static uint64_t storm_sweep(const struct storm *s, unsigned int thread)
{
	return sweep_of(&s->e, thread, 1 + STORM_CHILDREN, s->nr_pages);
}

static void *sweep_through(void *arg)
{
	struct storm *s = arg;

	/* Pauses, or those we wait for would get no page to keep. */
	for (; !atomic_load(&s->over); s->nr_sweeps++) {
		storm_sweep(s, 0);
		usleep(5000);
	}
	return NULL;
}

/* A child that is made while another thread signs would find the library locked. */
static pthread_mutex_t signing = PTHREAD_MUTEX_INITIALIZER;

static bool small_one_works(void)
{
	static const struct test_config small = { .nr_threads = 1, .heap_pages = 4 };
	struct test_op put = { .kind = OP_PUT, .value = 3 }, get = { .kind = OP_GET };
	struct test_encl e;

	pthread_mutex_lock(&signing);
	test_encl_prepare(&e, &small);
	pthread_mutex_unlock(&signing);
	if (test_encl_open(&e) || test_encl_create(&e) || test_encl_add(&e) ||
	    test_encl_init(&e) || test_encl_map(&e))
		return false;
	test_enter(&e, 0, &put);
	test_enter(&e, 0, &get);
	test_encl_free(&e);
	return get.result == 3;
}

static void *build_through(void *arg)
{
	struct storm *s = arg;

	while (!atomic_load(&s->over)) {
		s->nr_failed += !small_one_works();
		usleep(1000);
	}
	return NULL;
}

/* What other threads were in the middle of is not the child's. */
static pid_t storm_child(struct storm *s, unsigned int thread)
{
	pid_t pid;

	pthread_mutex_lock(&signing);
	pid = fork();
	pthread_mutex_unlock(&signing);
	if (pid)
		return pid;
	storm_sweep(s, thread);
	_exit(small_one_works() ? 0 : 1);
}

static void wave(struct storm *s)
{
	pid_t pids[STORM_CHILDREN];
	int status;

	for (unsigned int i = 0; i < STORM_CHILDREN; i++)
		pids[i] = storm_child(s, i + 1);
	for (unsigned int i = 0; i < STORM_CHILDREN; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
}

/* Address spaces come and go while pages are taken from all of them. */
static void children_of_a_threaded_parent_come_and_go(void **state)
{
	struct storm s = { .over = false, .nr_pages = heap_pages * 3 / 5 };
	const struct test_config shared = {
		.nr_threads = 1 + STORM_CHILDREN, .heap_pages = s.nr_pages,
	};
	pthread_t sweeps, builds;

	assert_int_equal(test_encl_build(&s.e, &shared), 0);
	assert_int_equal(pthread_create(&sweeps, NULL, sweep_through, &s), 0);
	assert_int_equal(pthread_create(&builds, NULL, build_through, &s), 0);
	for (unsigned int i = 0; i < STORM_WAVES; i++)
		wave(&s);
	atomic_store(&s.over, true);
	pthread_join(sweeps, NULL);
	pthread_join(builds, NULL);
	assert_int_equal(s.nr_failed, 0);
	assert_int_equal(storm_sweep(&s, 0),
			 (s.nr_sweeps + STORM_WAVES * STORM_CHILDREN + 1) * s.nr_pages);
	test_encl_free(&s.e);
}

/* A process that is stopped, or was killed, holds no page back. */
static void stopped_process_gives_its_pages(void **state)
{
	struct test_encl e;
	int status;
	pid_t pid = fork();

	if (!pid) {
		build(&e);
		sweep(&e, 0);
		raise(SIGSTOP);
		_exit(sweep(&e, 0) == 2 * heap_pages ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	build(&e);
	assert_int_equal(sweep(&e, 0), heap_pages);
	kill(pid, SIGCONT);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(sweep(&e, 0), 2 * heap_pages);
	test_encl_free(&e);
}

/* Killed anywhere, also while its page is fetched: the other one goes on. */
static void one_of_two_is_killed(void **state)
{
	struct test_encl e;
	uint64_t before;
	int status;
	pid_t pid;

	build(&e);
	pid = fork();
	if (!pid)
		for (;;)
			sweep(&e, 1);
	before = sweep(&e, 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* What it had counted until then stays, and no more comes. */
	assert_true(sweep(&e, 0) >= before + heap_pages);
	before = sweep(&e, 0);
	assert_int_equal(sweep(&e, 0), before + heap_pages);
	/* Nor does it hold on to its TCS, wherever that and its frames are. */
	assert_int_equal(sweep(&e, 1), before + 2 * heap_pages);
	test_encl_free(&e);
}

/* The kernel raises no fault a handler could serve, and sees no empty page either. */
static void system_call_on_a_page_that_is_away_is_efault(void **state)
{
	unsigned int nr_refused = 0;
	struct test_encl e;
	uint64_t value;
	int fds[2];

	build(&e);
	sweep(&e, 0);
	assert_int_equal(pipe(fds), 0);
	for (uint64_t i = 0; i < heap_pages; i++) {
		const void *page = (void *)(heap(&e) + i * PAGE_SIZE);

		if (write(fds[1], page, sizeof(value)) < 0) {
			assert_int_equal(errno, EFAULT);
			nr_refused++;
			continue;
		}
		assert_int_equal(read(fds[0], &value, sizeof(value)), sizeof(value));
		assert_int_equal(value, 1);
	}
	assert_in_range(nr_refused, heap_pages / 4, heap_pages);
	assert_int_equal(sweep(&e, 0), 2 * heap_pages);
	close(fds[0]);
	close(fds[1]);
	test_encl_free(&e);
}

static void do_nothing(int sig)
{
}

/* Thread control and save areas go, too: signals arrive wherever it is. */
static void timer_interrupts_while_everything_pages(void **state)
{
	const struct sigaction action = { .sa_handler = do_nothing };
	struct test_encl e;
	timer_t timer;
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	const struct itimerspec often = { { 0, 300000 }, { 0, 300000 } };

	build(&e);
	sigaction(SIGUSR1, &action, NULL);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &often, NULL), 0);
	for (unsigned int i = 1; i <= SWEEPS; i++)
		assert_int_equal(sweep(&e, 0), i * heap_pages);
	timer_delete(timer);
	test_encl_free(&e);
}

/* Add the enclave's heap, larger than the EPC; what else is there was added. */
static void add_heap(struct test_encl *e, bool restarts)
{
	const struct test_region *r = &e->regions[e->nr_regions - 1];
	struct secinfo secinfo = { .flags = r->secinfo };
	void *zeros = mmap(NULL, r->length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (uint64_t done = 0; done < r->length;) {
		struct sgx_enclave_add_pages arg = {
			.src = (uintptr_t)zeros,
			.offset = e->gap + r->offset + done,
			.length = r->length - done,
			.secinfo = (uintptr_t)&secinfo,
		};

		if (ioctl(e->fd, SGX_IOC_ENCLAVE_ADD_PAGES, &arg)) {
			assert_int_equal(errno, EINTR);
			assert_false(restarts);
			assert_int_equal(arg.count, 0);
		}
		done += arg.count;
	}
	munmap(zeros, r->length);
}

static void load_under_timer(int flags)
{
	const struct test_config large = { .nr_threads = 2, .heap_pages = heap_pages };
	const struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	const struct sigaction action = { .sa_handler = do_nothing, .sa_flags = flags };
	struct test_encl e;

	test_encl_prepare(&e, &large);
	assert_int_equal(test_encl_open(&e), 0);
	assert_int_equal(test_encl_create(&e), 0);
	sigaction(SIGALRM, &action, NULL);
	for (unsigned int i = 0; i + 1 < e.nr_regions; i++)
		assert_int_equal(test_encl_add_region(&e, &e.regions[i]), 0);
	setitimer(ITIMER_REAL, &often, NULL);
	add_heap(&e, flags & SA_RESTART);
	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_DFL);
	assert_int_equal(test_encl_init(&e), 0);
	assert_int_equal(test_encl_map(&e), 0);
	assert_int_equal(sweep(&e, 0), heap_pages);
	test_encl_free(&e);
}

static void signals_cut_loading_short(void **state)
{
	load_under_timer(0);
	load_under_timer(SA_RESTART);
}

static int use_without_paging(void)
{
	static const struct test_config small = { .nr_threads = 2, .heap_pages = 20 };
	struct test_op put = { .kind = OP_PUT, .value = 3 }, get = { .kind = OP_GET };
	const struct test_config large = { .heap_pages = heap_pages };
	struct test_encl e, second;

	if (!test_forbid_userfaultfd())
		return 9;
	if (test_encl_build(&e, &small))
		return 1;
	test_enter(&e, 0, &put);
	/* More than the EPC: refused, and the first one is not touched. */
	if (test_encl_build(&second, &large) != -ENOMEM)
		return 2;
	test_enter(&e, 0, &get);
	test_encl_free(&second);
	return get.result == 3 ? 0 : 3;
}

static void l4_without_userfaultfd_enclaves_stay(void **state)
{
	const pid_t pid = fork();
	int status;

	if (!pid)
		_exit(use_without_paging());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contents_survive),
		cmocka_unit_test(several_enclaves_share_the_epc),
		cmocka_unit_test(two_threads_lose_no_store),
		cmocka_unit_test(f58_parent_and_child_lose_no_store),
		cmocka_unit_test(children_of_a_threaded_parent_come_and_go),
		cmocka_unit_test(stopped_process_gives_its_pages),
		cmocka_unit_test(one_of_two_is_killed),
		cmocka_unit_test(system_call_on_a_page_that_is_away_is_efault),
		cmocka_unit_test(timer_interrupts_while_everything_pages),
		cmocka_unit_test(signals_cut_loading_short),
		cmocka_unit_test(l4_without_userfaultfd_enclaves_stay),
	};

	heap_pages = 2 * test_epc_pages() - 12;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
