/* SPDX-License-Identifier: BSD-3-Clause */
/* SGX_IOC_ENCLAVE_ADD_PAGES: errno of each cause, and the count copied back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

#define PAGE UINT64_C(4096)

static int setup_created(void **state)
{
	int ret = fixture_setup(state);

	assert_int_equal(do_create(*state), 0);
	return ret;
}

static struct fake_page *added_page(struct fixture *f, uint64_t offset)
{
	struct sgx_encl_page_info info;

	assert_true(sgx_encl_page_at(uapi_encl_encl(f->encl), offset, &info));
	return &f->pages[(info.pa - EPC_BASE) / PAGE];
}

static void adds_pages_in_order(void **state)
{
	struct fixture *f = *state;
	uint64_t count;

	assert_int_equal(do_add_pages(f, AT_SOURCE, 0x3000, 3 * PAGE, 0, &count), 0);
	assert_int_equal(count, 3 * PAGE);
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(added_page(f, 0x3000 + i * PAGE)->first_byte, 8 + i);
		assert_int_equal(added_page(f, 0x3000 + i * PAGE)->extended, 0);
	}
	assert_int_equal(f->added, 3);
	assert_int_equal(f->added_offset, 0x5000);
	assert_int_equal(f->added_page.type, PT_REG);
	assert_int_equal(f->added_page.vm_max_prot, SECINFO_R | SECINFO_W);
	assert_counters(f);
}

static void leaves_the_rest_of_the_argument_alone(void **state)
{
	struct sgx_enclave_add_pages before, *after;
	struct fixture *f = *state;

	after = user(f, AT_ARG);
	before = (struct sgx_enclave_add_pages){
		.src = AT_SOURCE, .offset = 0, .length = PAGE, .secinfo = AT_SECINFO,
		.flags = UINT64_MAX, .count = 77,
	};
	assert_int_equal(do_ioctl(f, SGX_IOC_ENCLAVE_ADD_PAGES, &before, sizeof(before)), 0);
	before.count = PAGE;
	assert_memory_equal(&before, after, sizeof(before));
}

static void measures_when_asked_and_ignores_other_flags(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, PAGE, SGX_PAGE_MEASURE, NULL), 0);
	assert_int_equal(added_page(f, 0)->extended, 16);
	assert_int_equal(do_add_pages(f, AT_SOURCE, PAGE, PAGE, ~UINT64_C(1), NULL), 0);
	assert_int_equal(added_page(f, PAGE)->extended, 0);
	assert_int_equal(do_add_pages(f, AT_SOURCE, 2 * PAGE, PAGE, UINT64_MAX, NULL), 0);
	assert_int_equal(added_page(f, 2 * PAGE)->extended, 16);
}

static void caps_the_rights_of_a_tcs_at_rw(void **state)
{
	struct fixture *f = *state;

	user_secinfo(f)->flags = SECINFO_PT(PT_TCS);
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, PAGE, 0, NULL), 0);
	assert_int_equal(f->added_page.type, PT_TCS);
	assert_int_equal(f->added_page.vm_max_prot, SECINFO_R | SECINFO_W);
}

static void is_refused_before_create_and_after_init(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(uapi_encl_ioctl(f->encl, &f->task, SGX_IOC_ENCLAVE_ADD_PAGES,
					 AT_NOTHING), -EINVAL);
	assert_int_equal(do_create(f), 0);
	assert_int_equal(uapi_encl_ioctl(f->encl, &f->task, SGX_IOC_ENCLAVE_ADD_PAGES,
					 AT_NOTHING), -EFAULT);
	assert_int_equal(do_init(f), 0);
	assert_int_equal(uapi_encl_ioctl(f->encl, &f->task, SGX_IOC_ENCLAVE_ADD_PAGES,
					 AT_NOTHING), -EINVAL);
	assert_counters(f);
}

static void c1_5_c1_29_judges_the_range(void **state)
{
	static const struct {
		uint64_t src, offset, length;
		long ret;
	} rows[] = {
		{ AT_SOURCE + 1, 0, PAGE, -EINVAL },
		{ AT_SOURCE + 0x800, 0, PAGE, -EINVAL },
		{ AT_SOURCE, 1, PAGE, -EINVAL },
		{ AT_SOURCE, 0x800, PAGE, -EINVAL },
		{ AT_SOURCE, 0, 0, -EINVAL },
		{ AT_SOURCE, 0, 1, -EINVAL },
		{ AT_SOURCE, 0, PAGE + 1, -EINVAL },
		{ AT_SOURCE, ENCL_SIZE, PAGE, -EINVAL },
		{ AT_SOURCE, ENCL_SIZE - PAGE, 2 * PAGE, -EINVAL },
		{ AT_SOURCE, 0, ENCL_SIZE + PAGE, -EINVAL },
		{ AT_SOURCE, PAGE, ENCL_SIZE, -EINVAL },
		{ AT_SOURCE, UINT64_C(1) << 63, UINT64_C(1) << 63, -EINVAL },
		{ AT_SOURCE, PAGE, -PAGE, -EINVAL },
		{ AT_SOURCE, 2 * PAGE, -PAGE, -EINVAL },
		{ AT_SOURCE, -PAGE, PAGE, -EINVAL },
		{ AT_SOURCE, -PAGE, 2 * PAGE, -EINVAL },
		{ AT_SOURCE, 0, UINT64_C(1) << 63, -EINVAL },
		{ AT_SOURCE, 0, -PAGE, -EINVAL },
		{ AT_SOURCE, ENCL_SIZE - PAGE, PAGE, 0 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t count;

		assert_int_equal(do_add_pages(f, rows[i].src, rows[i].offset, rows[i].length, 0,
					      &count), rows[i].ret);
		/* Refused as a whole: nothing is copied back. */
		assert_int_equal(count, rows[i].ret ? NEVER : PAGE);
	}
	assert_int_equal(f->added, 1);
	assert_counters(f);
}

static void judges_the_secinfo(void **state)
{
	static const struct {
		uint64_t flags;
		long ret;
	} rows[] = {
		{ SECINFO_PT(PT_SECS) | SECINFO_R, -EINVAL },
		{ SECINFO_PT(PT_VA) | SECINFO_R, -EINVAL },
		{ SECINFO_PT(PT_TRIM) | SECINFO_R, -EINVAL },
		{ SECINFO_PT(PT_SS_FIRST) | SECINFO_R, -EINVAL },
		{ SECINFO_PT(0xff) | SECINFO_R, -EINVAL },
		{ SECINFO_PT(PT_REG) | SECINFO_W, -EINVAL },
		{ SECINFO_PT(PT_REG) | SECINFO_W | SECINFO_X, -EINVAL },
		{ SECINFO_PT(PT_TCS) | SECINFO_R, -EINVAL },
		{ SECINFO_PT(PT_TCS) | SECINFO_RWX, -EINVAL },
		{ SECINFO_PT(PT_TCS) | SECINFO_X, -EINVAL },
		{ SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_PENDING, -EINVAL },
		{ SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_MODIFIED, -EINVAL },
		{ SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_PR, -EINVAL },
		{ SECINFO_PT(PT_REG) | SECINFO_R | 1ull << 6, -EINVAL },
		{ SECINFO_PT(PT_REG) | SECINFO_R | 1ull << 7, -EINVAL },
		{ SECINFO_PT(PT_REG) | SECINFO_R | 1ull << 16, -EINVAL },
		{ SECINFO_PT(PT_REG) | SECINFO_R | 1ull << 63, -EINVAL },
		{ SECINFO_PT(PT_REG), 0 },
		{ SECINFO_PT(PT_REG) | SECINFO_R, 0 },
		{ SECINFO_PT(PT_REG) | SECINFO_X, 0 },
		{ SECINFO_PT(PT_REG) | SECINFO_RWX, 0 },
		{ SECINFO_PT(PT_TCS), 0 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		user_secinfo(f)->flags = rows[i].flags;
		assert_int_equal(do_add_pages(f, AT_SOURCE, i * PAGE, PAGE, 0, NULL),
				 rows[i].ret);
	}
	for (size_t i = 0; i < sizeof(((struct sgx_secinfo *)0)->reserved_8); i++) {
		user_secinfo(f)->reserved_8[i] = 0x80;
		assert_int_equal(do_add_pages(f, AT_SOURCE, 0, PAGE, 0, NULL), -EINVAL);
	}
	assert_int_equal(f->added, 5);
	assert_counters(f);
}

static void checks_the_range_before_reading_the_secinfo(void **state)
{
	struct fixture *f = *state;

	unmap(f, AT_SECINFO);
	assert_int_equal(do_add_pages(f, AT_SOURCE, 1, PAGE, 0, NULL), -EINVAL);
	assert_int_equal(do_add_pages(f, AT_SOURCE + 1, 0, PAGE, 0, NULL), -EINVAL);
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, 0, 0, NULL), -EINVAL);
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, PAGE, 0, NULL), -EFAULT);
}

static void reports_an_unreadable_source_with_the_count_so_far(void **state)
{
	struct fixture *f = *state;
	uint64_t count;

	unmap(f, AT_SOURCE + 2 * PAGE);
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, 4 * PAGE, 0, &count), -EFAULT);
	assert_int_equal(count, 2 * PAGE);
	assert_int_equal(do_add_pages(f, AT_SOURCE + 2 * PAGE, 2 * PAGE, PAGE, 0, &count), -EFAULT);
	assert_int_equal(count, 0);
	/* The end of the address space, where the next page would be page 0. */
	assert_int_equal(do_add_pages(f, -PAGE, 2 * PAGE, 2 * PAGE, 0, &count), -EFAULT);
	assert_int_equal(count, 0);
	assert_int_equal(f->added, 2);
	assert_counters(f);
}

static void refuses_a_source_that_can_never_be_executable(void **state)
{
	struct fixture *f = *state;
	uint64_t count;

	f->never_exec[9] = true;
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, 2 * PAGE, 0, &count), -EACCES);
	assert_int_equal(count, PAGE);
	assert_counters(f);
}

static void refuses_a_page_that_is_there(void **state)
{
	struct fixture *f = *state;
	uint64_t count;

	assert_int_equal(do_add_pages(f, AT_SOURCE, 2 * PAGE, PAGE, 0, NULL), 0);
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, 4 * PAGE, 0, &count), -EBUSY);
	assert_int_equal(count, 2 * PAGE);
	assert_counters(f);
}

static void a_page_that_is_there_comes_before_an_unreadable_source(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, PAGE, 0, NULL), 0);
	assert_int_equal(do_add_pages(f, AT_NOTHING, 0, PAGE, 0, NULL), -EBUSY);
	f->never_exec[8] = true;
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, PAGE, 0, NULL), -EBUSY);
	assert_int_equal(do_add_pages(f, AT_SOURCE, PAGE, PAGE, 0, NULL), -EACCES);
	assert_counters(f);
}

static void an_exhausted_epc_comes_before_everything_else(void **state)
{
	struct fixture *f = *state;
	uint64_t count;

	/* One page holds the SECS. */
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, 16 * PAGE, 0, NULL), 0);
	assert_int_equal(do_add_pages(f, AT_SOURCE, 16 * PAGE, 16 * PAGE, 0, &count), -ENOMEM);
	assert_int_equal(count, (EPC_PAGES - 1 - 16) * PAGE);
	assert_counters(f);

	assert_int_equal(do_add_pages(f, AT_NOTHING, 40 * PAGE, PAGE, 0, &count), -ENOMEM);
	assert_int_equal(count, 0);
	assert_int_equal(do_add_pages(f, AT_NOTHING, 0, PAGE, 0, NULL), -ENOMEM);
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, PAGE, 0, NULL), -ENOMEM);
	assert_counters(f);
}

static void reports_a_faulting_leaf(void **state)
{
	struct fixture *f = *state;
	uint64_t count;

	leaf_fails(f, FAKE_EADD, 1, fake_fault(X86_GP), 1);
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, 3 * PAGE, 0, &count), -EIO);
	assert_int_equal(count, PAGE);
	assert_counters(f);

	leaf_fails(f, FAKE_EEXTEND, 16 + 5, fake_fault(X86_PF), 1);
	assert_int_equal(do_add_pages(f, AT_SOURCE, 8 * PAGE, 3 * PAGE, SGX_PAGE_MEASURE, &count),
			 -EIO);
	assert_int_equal(count, PAGE);
	assert_int_equal(f->added, 2);
	assert_counters(f);
}

static void c1_6_a_signal_before_the_first_page_restarts_the_call(void **state)
{
	struct fixture *f = *state;
	uint64_t count;

	f->signal_in = 0;
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, 3 * PAGE, 0, &count), -UAPI_ERESTARTSYS);
	assert_int_equal(count, 0);
	assert_int_equal(f->added, 0);
	assert_counters(f);
}

static void c1_6_a_signal_later_cuts_the_call_short(void **state)
{
	struct fixture *f = *state;
	uint64_t count;

	f->signal_in = 2;
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, 3 * PAGE, 0, &count), 0);
	assert_int_equal(count, 2 * PAGE);
	assert_int_equal(f->added, 2);
	assert_int_equal(do_add_pages(f, AT_SOURCE + 2 * PAGE, 2 * PAGE, PAGE, 0, &count), 0);
	assert_counters(f);
}

static void a_signal_is_not_looked_for_after_the_last_page(void **state)
{
	struct fixture *f = *state;

	f->signal_in = 3;
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, 3 * PAGE, 0, NULL), 0);
	assert_int_equal(f->signal_in, 0);
}

static void a_count_that_cannot_be_copied_back_hides_the_other_error(void **state)
{
	struct fixture *f = *state;

	/* Argument, SECINFO, source; then the copy back. */
	f->copy_fails_in = 3;
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, PAGE, 0, NULL), -EFAULT);
	assert_int_equal(f->added, 1);
	/* The page is there nevertheless, as the busy offset shows. */
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, PAGE, 0, NULL), -EBUSY);
	f->copy_fails_in = 3;
	assert_int_equal(do_add_pages(f, AT_SOURCE, 0, PAGE, 0, NULL), -EFAULT);
	assert_counters(f);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup_created, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(adds_pages_in_order),
		test(leaves_the_rest_of_the_argument_alone),
		test(measures_when_asked_and_ignores_other_flags),
		test(caps_the_rights_of_a_tcs_at_rw),
		cmocka_unit_test_setup_teardown(is_refused_before_create_and_after_init,
						fixture_setup, fixture_teardown),
		test(c1_5_c1_29_judges_the_range),
		test(judges_the_secinfo),
		test(checks_the_range_before_reading_the_secinfo),
		test(reports_an_unreadable_source_with_the_count_so_far),
		test(refuses_a_source_that_can_never_be_executable),
		test(refuses_a_page_that_is_there),
		test(a_page_that_is_there_comes_before_an_unreadable_source),
		test(an_exhausted_epc_comes_before_everything_else),
		test(reports_a_faulting_leaf),
		test(c1_6_a_signal_before_the_first_page_restarts_the_call),
		test(c1_6_a_signal_later_cuts_the_call_short),
		test(a_signal_is_not_looked_for_after_the_last_page),
		test(a_count_that_cannot_be_copied_back_hides_the_other_error),
	};

	return cmocka_run_group_tests_name("add-pages", tests, NULL, NULL);
}
