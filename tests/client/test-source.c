/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What may be the source of enclave pages: memory that is mapped, and not of a
 * file system mounted noexec.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/client/source.h"

#define PAGE 4096u

static uint8_t *map(size_t nr_pages, int prot)
{
	uint8_t *p = mmap(NULL, nr_pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static int ask(const void *addr, uint32_t *size)
{
	return source_check((uintptr_t)addr, size);
}

static void anonymous_memory_may(void **state)
{
	uint8_t *p = map(4, PROT_READ);
	uint32_t size = 4 * PAGE;

	assert_int_equal(ask(p, &size), 0);
	assert_int_equal(size, 4 * PAGE);
	munmap(p, 4 * PAGE);
}

/* The read itself reports those. */
static void memory_without_rights_is_not_judged_here(void **state)
{
	uint8_t *p = map(1, PROT_NONE);
	uint32_t size = PAGE;

	assert_int_equal(ask(p, &size), 0);
	munmap(p, PAGE);
}

static void hole_is_efault(void **state)
{
	uint8_t *p = map(1, PROT_READ);
	uint32_t size = PAGE;

	munmap(p, PAGE);
	assert_int_equal(ask(p, &size), EFAULT);
	assert_int_equal(size, 0);
}

static void pages_before_a_hole_may(void **state)
{
	uint8_t *p = map(4, PROT_READ);
	uint32_t size = 4 * PAGE;

	munmap(p + 2 * PAGE, PAGE);
	assert_int_equal(ask(p, &size), EFAULT);
	assert_int_equal(size, 2 * PAGE);
	munmap(p, 4 * PAGE);
}

static void neighbouring_mappings_are_one_source(void **state)
{
	uint8_t *p = map(4, PROT_READ);
	uint32_t size = 4 * PAGE;

	mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE);
	mprotect(p + 2 * PAGE, PAGE, PROT_NONE);
	assert_int_equal(ask(p, &size), 0);
	assert_int_equal(size, 4 * PAGE);
	munmap(p, 4 * PAGE);
}

/* The answer of the last question is kept until the program is seen to unmap. */
static void unmapped_source_is_forgotten(void **state)
{
	uint8_t *p = map(4, PROT_READ);
	uint32_t size = PAGE;

	assert_int_equal(ask(p, &size), 0);
	munmap(p, 4 * PAGE);
	source_forget();
	assert_int_equal(ask(p, &size), EFAULT);
}

static void refused_answer_is_not_kept(void **state)
{
	uint8_t *p = map(1, PROT_READ);
	uint32_t size = PAGE;

	munmap(p, PAGE);
	assert_int_equal(ask(p, &size), EFAULT);
	assert_int_equal(mmap(p, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 p);
	size = PAGE;
	assert_int_equal(ask(p, &size), 0);
	munmap(p, PAGE);
}

static void *map_file_in(const char *dir)
{
	char path[128];
	void *p;
	int fd;

	snprintf(path, sizeof(path), "%s/source", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	close(fd);
	return p;
}

static void check_mount(unsigned long flags, int error)
{
	char dir[] = "/tmp/swsgx-source-XXXXXX";
	uint32_t size = PAGE;
	void *p;
	int got;

	assert_non_null(mkdtemp(dir));
	/* Mounts made in a namespace of our own end with us. */
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("swsgx", dir, "tmpfs", flags, NULL)) {
		rmdir(dir);
		skip();
	}
	p = map_file_in(dir);
	got = ask(p, &size);
	munmap(p, PAGE);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	assert_int_equal(got, error);
}

static void file_of_a_noexec_mount_is_eacces(void **state)
{
	check_mount(MS_NOEXEC, EACCES);
}

static void file_of_another_mount_may(void **state)
{
	check_mount(0, 0);
}

static int forget(void **state)
{
	source_forget();
	return 0;
}

#define EACH(f) cmocka_unit_test_setup(f, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(anonymous_memory_may),
		EACH(memory_without_rights_is_not_judged_here),
		EACH(hole_is_efault),
		EACH(pages_before_a_hole_may),
		EACH(neighbouring_mappings_are_one_source),
		EACH(unmapped_source_is_forgotten),
		EACH(refused_answer_is_not_kept),
		EACH(file_of_a_noexec_mount_is_eacces),
		EACH(file_of_another_mount_may),
	};

	return cmocka_run_group_tests_name("client source", tests, NULL, NULL);
}
