/* SPDX-License-Identifier: BSD-3-Clause */
/* The rule of mmap() and mprotect(). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "fixture.h"

#define PAGE UINT64_C(4096)
#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

static int may_map(struct fixture *f, uint64_t offset, uint64_t length, int prot)
{
	return uapi_encl_may_map(f->encl, ENCL_BASE + offset, ENCL_BASE + offset + length, prot,
				 false);
}

static void anything_goes_before_create(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(uapi_encl_may_map(f->encl, 0, PAGE, PROT_READ, false), 0);
	assert_int_equal(uapi_encl_may_map(f->encl, 0x7000, UINT64_MAX & ~0xfff, RWX, false), 0);
	assert_int_equal(may_map(f, 0, ENCL_SIZE, RWX), 0);
	/* A CREATE that failed left no range behind. */
	user_secs(f)->baseaddr++;
	assert_int_equal(do_create(f), -EIO);
	assert_int_equal(uapi_encl_may_map(f->encl, 0, PAGE, PROT_READ, false), 0);
}

static void any_range_goes_before_init(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(do_create(f), 0);
	assert_int_equal(uapi_encl_may_map(f->encl, 0, PAGE, RWX, false), 0);
	assert_int_equal(uapi_encl_may_map(f->encl, 0, UINT64_MAX & ~0xfff, RWX, false), 0);
	assert_int_equal(may_map(f, ENCL_SIZE, PAGE, RWX), 0);
	assert_int_equal(may_map(f, -PAGE, 3 * PAGE, RWX), 0);

	/* But pages count wherever the range begins and ends. */
	assert_int_equal(do_add(f, 0, 1, SECINFO_R), 0);
	assert_int_equal(may_map(f, -PAGE, 3 * PAGE, RWX), -EACCES);
	assert_int_equal(may_map(f, -PAGE, 3 * PAGE, PROT_READ), 0);
	assert_int_equal(uapi_encl_may_map(f->encl, 0, UINT64_MAX & ~0xfff, RWX, false), -EACCES);
	assert_int_equal(may_map(f, -PAGE, PAGE, RWX), 0);
	assert_int_equal(may_map(f, -3 * PAGE, 2 * PAGE, RWX), 0);
	assert_int_equal(do_add(f, ENCL_SIZE - PAGE, 1, SECINFO_R), 0);
	assert_int_equal(may_map(f, ENCL_SIZE - PAGE, 9 * PAGE, RWX), -EACCES);
	assert_int_equal(may_map(f, ENCL_SIZE, 9 * PAGE, RWX), 0);
}

static void c1_25_only_the_enclaves_range_goes_after_init(void **state)
{
	static const struct {
		uint64_t start, end;
		int ret;
	} rows[] = {
		{ ENCL_BASE, ENCL_BASE + ENCL_SIZE, 0 },
		{ ENCL_BASE, ENCL_BASE + PAGE, 0 },
		{ ENCL_BASE + ENCL_SIZE - PAGE, ENCL_BASE + ENCL_SIZE, 0 },
		{ ENCL_BASE - PAGE, ENCL_BASE, -EACCES },
		{ ENCL_BASE - PAGE, ENCL_BASE + PAGE, -EACCES },
		{ ENCL_BASE - PAGE, ENCL_BASE + ENCL_SIZE + PAGE, -EACCES },
		{ ENCL_BASE, ENCL_BASE + ENCL_SIZE + PAGE, -EACCES },
		{ ENCL_BASE + ENCL_SIZE - PAGE, ENCL_BASE + ENCL_SIZE + PAGE, -EACCES },
		{ ENCL_BASE + ENCL_SIZE, ENCL_BASE + ENCL_SIZE + PAGE, -EACCES },
		{ 0, PAGE, -EACCES },
		{ 0, -PAGE, -EACCES },
		{ ENCL_BASE, -PAGE, -EACCES },
	};
	struct fixture *f = *state;

	assert_int_equal(do_create(f), 0);
	assert_int_equal(do_init(f), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int prot = PROT_NONE; prot <= RWX; prot++)
			assert_int_equal(uapi_encl_may_map(f->encl, rows[i].start, rows[i].end,
							   prot, false), rows[i].ret);
}

static void the_top_of_the_address_space_is_a_range_too(void **state)
{
	struct fixture *f = *state;

	user_secs(f)->baseaddr = -ENCL_SIZE;
	assert_int_equal(do_create(f), 0);
	assert_int_equal(do_add(f, 0, 1, SECINFO_R), 0);
	assert_int_equal(uapi_encl_may_map(f->encl, -ENCL_SIZE, -PAGE, RWX, false), -EACCES);
	assert_int_equal(do_init(f), 0);
	assert_int_equal(uapi_encl_may_map(f->encl, -ENCL_SIZE, -PAGE, PROT_READ, false), 0);
	assert_int_equal(uapi_encl_may_map(f->encl, 0, PAGE, PROT_READ, false), -EACCES);
}

static void read_implies_exec_is_refused_always(void **state)
{
	struct fixture *f = *state;

	for (int step = 0; step < 3; step++) {
		for (int prot = PROT_NONE; prot <= RWX; prot++)
			assert_int_equal(uapi_encl_may_map(f->encl, ENCL_BASE, ENCL_BASE + PAGE,
							   prot, true), -EACCES);
		if (step == 0)
			assert_int_equal(do_create(f), 0);
		if (step == 1)
			assert_int_equal(do_init(f), 0);
	}
}

static void rights_are_limited_to_those_of_the_page(void **state)
{
	static const uint64_t caps[] = {
		0, SECINFO_R, SECINFO_X, SECINFO_R | SECINFO_W, SECINFO_R | SECINFO_X, SECINFO_RWX,
	};
	struct fixture *f = *state;

	assert_int_equal(do_create(f), 0);
	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
		assert_int_equal(do_add(f, i * PAGE, 1, caps[i]), 0);

	/* PROT_* and SECINFO_* have the same values, in the same order. */
	for (int step = 0; step < 2; step++) {
		for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
			for (int prot = PROT_NONE; prot <= RWX; prot++)
				assert_int_equal(may_map(f, i * PAGE, PAGE, prot),
						 (uint64_t)prot & ~caps[i] ? -EACCES : 0);
		if (step == 0)
			assert_int_equal(do_init(f), 0);
	}
}

static void a_tcs_can_be_mapped_rw(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(do_create(f), 0);
	user_secinfo(f)->flags = SECINFO_PT(PT_TCS);
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, PAGE, 0, NULL), 0);
	assert_int_equal(may_map(f, 0, PAGE, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(may_map(f, 0, PAGE, PROT_EXEC), -EACCES);
}

static void the_strictest_page_of_a_range_decides(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(do_create(f), 0);
	assert_int_equal(do_add(f, 2 * PAGE, 3, SECINFO_RWX), 0);
	assert_int_equal(do_add(f, 9 * PAGE, 1, SECINFO_R), 0);
	assert_int_equal(may_map(f, 0, 9 * PAGE, RWX), 0);
	assert_int_equal(may_map(f, 0, 10 * PAGE, RWX), -EACCES);
	assert_int_equal(may_map(f, 9 * PAGE, PAGE, RWX), -EACCES);
	assert_int_equal(may_map(f, 10 * PAGE, ENCL_SIZE - 10 * PAGE, RWX), 0);
}

/* Would run for days if empty offsets cost anything. */
static void holes_cost_nothing(void **state)
{
	const uint64_t size = UINT64_C(1) << 36;
	struct fixture *f = *state;
	struct sgx_secs *secs = user_secs(f);

	secs->baseaddr = secs->size = size;
	assert_int_equal(do_create(f), 0);
	assert_int_equal(do_add(f, size / 2, 1, SECINFO_R), 0);
	assert_int_equal(do_add(f, size - PAGE, 1, SECINFO_R | SECINFO_X), 0);
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(uapi_encl_may_map(f->encl, size, 2 * size, PROT_READ, false), 0);
		assert_int_equal(uapi_encl_may_map(f->encl, size, 2 * size, PROT_EXEC, false),
				 -EACCES);
		assert_int_equal(uapi_encl_may_map(f->encl, size + size / 2 + PAGE, 2 * size,
						   PROT_EXEC, false), 0);
		assert_int_equal(uapi_encl_may_map(f->encl, size, size + size / 2, RWX, false), 0);
	}
}

/* What one look at each page says, the walk must say, too. */
static bool allowed_page_by_page(struct fixture *f, uint64_t first, uint64_t nr, int prot)
{
	struct sgx_encl_page_info info;

	for (uint64_t i = first; i < first + nr; i++)
		if (sgx_encl_page_at(uapi_encl_encl(f->encl), i * PAGE, &info) &&
		    prot & ~info.vm_max_prot)
			return false;
	return true;
}

static void agrees_with_a_look_at_each_page(void **state)
{
	static const uint64_t caps[] = {
		SECINFO_R, SECINFO_R | SECINFO_W, SECINFO_R | SECINFO_X, SECINFO_RWX,
	};
	const uint64_t nr_pages = UINT64_C(4) << 9;
	struct fixture *f = *state;
	unsigned int refused = 0;

	srand(1);
	user_secs(f)->size = nr_pages * PAGE;
	assert_int_equal(do_create(f), 0);
	for (int i = 0; i < 20; i++) {
		const uint64_t at = (uint64_t)rand() % nr_pages;
		const long ret = do_add(f, at * PAGE, 1, caps[rand() % 4]);

		assert_true(ret == 0 || ret == -EBUSY);
	}
	for (int i = 0; i < 2000; i++) {
		const uint64_t first = (uint64_t)rand() % nr_pages;
		const uint64_t nr = 1 + (uint64_t)rand() % (nr_pages - first);
		const int prot = rand() % 8;
		const bool allowed = allowed_page_by_page(f, first, nr, prot);

		refused += !allowed;
		assert_int_equal(may_map(f, first * PAGE, nr * PAGE, prot), allowed ? 0 : -EACCES);
	}
	assert_in_range(refused, 100, 1900);
}

#define test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(anything_goes_before_create),
		test(any_range_goes_before_init),
		test(c1_25_only_the_enclaves_range_goes_after_init),
		test(the_top_of_the_address_space_is_a_range_too),
		test(read_implies_exec_is_refused_always),
		test(rights_are_limited_to_those_of_the_page),
		test(a_tcs_can_be_mapped_rw),
		test(the_strictest_page_of_a_range_decides),
		test(holes_cost_nothing),
		test(agrees_with_a_look_at_each_page),
	};

	return cmocka_run_group_tests_name("mmap", tests, NULL, NULL);
}
