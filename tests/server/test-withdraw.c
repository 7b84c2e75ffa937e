/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages are taken out of a memory file while others count on them: no count may be
 * lost.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "raw-client.h"

#include "internal.h"

#define NR_PAGES 64u
#define NR_COUNTERS 2u
#define PAGE_SIZE 4096u
#define NR_ROUNDS 2000u

struct file {
	struct withdrawer w;
	int fd;
	uint8_t *memory, *to;
};

static int setup(void **state)
{
	struct file *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(withdrawer_init(&f->w), 0);
	f->fd = memfd_create("pages", MFD_CLOEXEC);
	assert_true(f->fd >= 0);
	assert_int_equal(ftruncate(f->fd, NR_PAGES * PAGE_SIZE), 0);
	f->memory = mmap(NULL, NR_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	assert_ptr_not_equal(f->memory, MAP_FAILED);
	f->to = calloc(EPC_MM_MAX_PAGES, PAGE_SIZE);
	assert_non_null(f->to);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct file *f = *state;

	munmap(f->memory, NR_PAGES * PAGE_SIZE);
	close(f->fd);
	withdrawer_finish(&f->w);
	free(f->to);
	free(f);
	return 0;
}

/* Pages where nothing was stored are holes, and stay that. */
static void fill(struct file *f, unsigned int page, uint8_t value)
{
	memset(f->memory + page * PAGE_SIZE, value, PAGE_SIZE);
}

static unsigned int take(struct file *f, const unsigned int *pages, unsigned int nr)
{
	struct withdrawn withdrawn[EPC_MM_MAX_PAGES];

	for (unsigned int i = 0; i < nr; i++)
		withdrawn[i] = (struct withdrawn){ pages[i] * PAGE_SIZE, f->to + i * PAGE_SIZE };
	return withdrawer_take(&f->w, f->fd, withdrawn, nr);
}

static void assert_is(const uint8_t *page, uint8_t value)
{
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(page[i], value);
}

static void takes_each_page_to_its_place(void **state)
{
	static const unsigned int pages[] = { 9, 3, 60, 4, 5, 8, 20, 1, 63, 0 };
	const unsigned int nr = sizeof(pages) / sizeof(pages[0]);
	struct file *f = *state;

	for (unsigned int i = 0; i < NR_PAGES; i++)
		fill(f, i, (uint8_t)(i + 1));
	assert_int_equal(take(f, pages, nr), nr);
	for (unsigned int i = 0; i < nr; i++) {
		assert_is(f->to + i * PAGE_SIZE, (uint8_t)(pages[i] + 1));
		assert_is(f->memory + pages[i] * PAGE_SIZE, 0);
	}
	assert_is(f->memory + 2 * PAGE_SIZE, 3);
	assert_is(f->memory + 6 * PAGE_SIZE, 7);
}

/* As users have it whose pipes take too much memory. */
static void goes_through_a_pipe_of_one_page(void **state)
{
	struct file *f = *state;

	assert_int_equal(fcntl(f->w.pipe[1], F_SETPIPE_SZ, PAGE_SIZE), PAGE_SIZE);
	f->w.nr_pages = 1;
	takes_each_page_to_its_place(state);
}

static void takes_nothing_where_it_cannot(void **state)
{
	static const unsigned int page = 7;
	struct file *f = *state;

	fill(f, page, 5);
	f->w.nr_pages = 0;
	assert_int_equal(take(f, &page, 1), 0);
	assert_is(f->memory + page * PAGE_SIZE, 5);
}

struct counter {
	struct file *f;
	atomic_bool *over;
	pthread_t thread;
	uint64_t nr;
};

static void *count(void *arg)
{
	struct counter *c = arg;
	uint32_t x = 1;

	for (; !atomic_load(c->over); c->nr++) {
		x = x * 1664525u + 1013904223u;
		__atomic_add_fetch((uint64_t *)(c->f->memory + x % NR_PAGES * PAGE_SIZE), 1,
				   __ATOMIC_RELAXED);
	}
	return NULL;
}

/* --- holes, watched as an enclave's are ------------------------------------------- */

/*
 * Where a fault fills holes by itself, one that was under way when punching began can
 * bring a new page, and see it go with the old one.
 */
static int watch_holes(struct file *f)
{
	struct uffdio_api api = {
		.api = UFFD_API, .features = UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_SIGBUS,
	};
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)f->memory, .len = NR_PAGES * PAGE_SIZE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	const int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (uffd < 0)
		skip();
	assert_int_equal(ioctl(uffd, UFFDIO_API, &api), 0);
	assert_int_equal(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);
	return uffd;
}

/* The store is tried again until the hole has been filled. */
static void wait_for_page(int sig)
{
	sched_yield();
}

/* The whole page appears at once.  Counters are at its other end. */
static void fill_hole(struct file *f, unsigned int page)
{
	assert_int_equal(pwrite(f->fd, "", 1, (page + 1) * PAGE_SIZE - 1), 1);
}

/* What the pages from @first on, every @step-th, counted. */
static uint64_t take_counts(struct file *f, unsigned int first, unsigned int step)
{
	unsigned int pages[EPC_MM_MAX_PAGES];
	uint64_t sum = 0;

	for (unsigned int i = 0; i < EPC_MM_MAX_PAGES; i++)
		pages[i] = (first + i * step) % NR_PAGES;
	assert_int_equal(take(f, pages, EPC_MM_MAX_PAGES), EPC_MM_MAX_PAGES);
	for (unsigned int i = 0; i < EPC_MM_MAX_PAGES; i++) {
		sum += *(const uint64_t *)(f->to + i * PAGE_SIZE);
		fill_hole(f, pages[i]);
	}
	return sum;
}

static void no_store_is_lost(void **state)
{
	struct file *f = *state;
	struct counter counters[NR_COUNTERS];
	atomic_bool over = false;
	uint64_t expected = 0, found = 0;
	const int uffd = watch_holes(f);

	signal(SIGBUS, wait_for_page);
	for (unsigned int i = 0; i < NR_PAGES; i++)
		fill_hole(f, i);
	for (unsigned int i = 0; i < NR_COUNTERS; i++) {
		counters[i] = (struct counter){ .f = f, .over = &over };
		assert_int_equal(pthread_create(&counters[i].thread, NULL, count, &counters[i]), 0);
	}
	for (unsigned int i = 0; i < NR_ROUNDS; i++)
		found += take_counts(f, i, i % 2 ? 1 : 3);
	atomic_store(&over, true);
	for (unsigned int i = 0; i < NR_COUNTERS; i++) {
		pthread_join(counters[i].thread, NULL);
		expected += counters[i].nr;
	}
	for (unsigned int i = 0; i < NR_PAGES; i += EPC_MM_MAX_PAGES)
		found += take_counts(f, i, 1);
	signal(SIGBUS, SIG_DFL);
	close(uffd);
	assert_int_equal(found, expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(takes_each_page_to_its_place, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_through_a_pipe_of_one_page, setup, teardown),
		cmocka_unit_test_setup_teardown(takes_nothing_where_it_cannot, setup, teardown),
		cmocka_unit_test_setup_teardown(no_store_is_lost, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
