/* SPDX-License-Identifier: BSD-3-Clause */
/* SGX_IOC_ENCLAVE_CREATE: errno of each cause, and trying again after it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

static void creates_and_tells_the_owner(void **state)
{
	struct fixture *f = *state;

	user_secs(f)->attributes.flags |= ATTR_DEBUG;
	assert_int_equal(do_create(f), 0);
	assert_int_equal(f->prepared, 1);
	assert_int_equal(f->created, 1);
	assert_int_equal(f->create_failed, 0);
	assert_memory_equal(&f->created_secs, user(f, AT_SECS), sizeof(struct sgx_secs));
	assert_int_equal(f->created_secs_pa, sgx_encl_secs_pa(uapi_encl_encl(f->encl)));
	assert_counters(f);
}

static void refuses_a_second_create_before_reading_the_argument(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(do_create(f), 0);
	assert_int_equal(do_create(f), -EINVAL);
	assert_int_equal(uapi_encl_ioctl(f->encl, &f->task, SGX_IOC_ENCLAVE_CREATE, AT_NOTHING),
			 -EINVAL);
	assert_int_equal(f->created, 1);
	assert_counters(f);
}

static void reports_unreadable_memory(void **state)
{
	struct fixture *f = *state;
	struct sgx_enclave_create arg = { .src = AT_NOTHING };

	assert_int_equal(uapi_encl_ioctl(f->encl, &f->task, SGX_IOC_ENCLAVE_CREATE, AT_NOTHING),
			 -EFAULT);
	assert_int_equal(do_ioctl(f, SGX_IOC_ENCLAVE_CREATE, &arg, sizeof(arg)), -EFAULT);
	/* The SECS is a whole page: half of it is not enough. */
	arg.src = AT_NOTHING - SGX_PAGE_SIZE / 2;
	assert_int_equal(do_ioctl(f, SGX_IOC_ENCLAVE_CREATE, &arg, sizeof(arg)), -EFAULT);
	arg.src = UINT64_MAX - 16;
	assert_int_equal(do_ioctl(f, SGX_IOC_ENCLAVE_CREATE, &arg, sizeof(arg)), -EFAULT);
	assert_int_equal(f->prepared, 0);
	assert_counters(f);
}

static void takes_a_secs_at_any_address(void **state)
{
	struct fixture *f = *state;
	const struct sgx_enclave_create arg = { .src = AT_SOURCE + 40 };

	memcpy(user(f, arg.src), user(f, AT_SECS), sizeof(struct sgx_secs));
	assert_int_equal(do_ioctl(f, SGX_IOC_ENCLAVE_CREATE, &arg, sizeof(arg)), 0);
}

static void c1_41_judges_the_size(void **state)
{
	static const struct {
		uint64_t size;
		long ret;
	} rows[] = {
		{ 0, -EINVAL },
		{ 3, -EINVAL },
		{ 0x3000, -EINVAL },
		{ ENCL_SIZE + 1, -EINVAL },
		{ UINT64_MAX, -EINVAL },
		{ (UINT64_C(1) << 63) + 1, -EINVAL },
		{ UINT64_C(1) << 63, -EINVAL },
		{ UINT64_C(1) << 62, -EIO },
		{ UINT64_C(1) << 37, -EIO },
		{ 1, -EIO },
		{ SGX_PAGE_SIZE, -EIO },
		{ 2 * SGX_PAGE_SIZE, 0 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		user_secs(f)->size = rows[i].size;
		assert_int_equal(do_create(f), rows[i].ret);
		assert_counters(f);
	}
	/* Memory is prepared only for an enclave that can be. */
	assert_int_equal(f->prepared, 1);
}

static void a_32_bit_enclave_is_smaller(void **state)
{
	struct fixture *f = *state;
	struct sgx_secs *secs = user_secs(f);

	secs->attributes.flags = 0;
	secs->baseaddr = 0;
	secs->size = UINT64_C(1) << 32;
	assert_int_equal(do_create(f), -EIO);
	secs->size = UINT64_C(1) << 31;
	assert_int_equal(do_create(f), 0);
}

static void the_largest_enclave_is_not_refused(void **state)
{
	struct fixture *f = *state;
	struct sgx_secs *secs = user_secs(f);

	secs->baseaddr = UINT64_C(1) << 36;
	secs->size = UINT64_C(1) << 36;
	assert_int_equal(do_create(f), 0);
}

static void reports_a_faulting_ecreate_and_can_be_tried_again(void **state)
{
	struct fixture *f = *state;

	user_secs(f)->baseaddr = ENCL_BASE + SGX_PAGE_SIZE;
	assert_int_equal(do_create(f), -EIO);
	assert_int_equal(f->prepared, 1);
	assert_int_equal(f->create_failed, 1);
	assert_counters(f);
	/* Nothing was created: the rest is refused as before. */
	assert_int_equal(do_add(f, 0, 1, SECINFO_R), -EINVAL);
	assert_int_equal(do_init(f), -EINVAL);

	user_secs(f);
	leaf_fails(f, FAKE_ECREATE, 0, fake_fault(X86_PF), 1);
	assert_int_equal(do_create(f), -EIO);
	assert_int_equal(do_create(f), 0);
	assert_int_equal(f->prepared, 3);
	assert_int_equal(f->create_failed, 2);
	assert_int_equal(f->created, 1);
	assert_counters(f);
}

static void reports_that_no_memory_could_be_prepared(void **state)
{
	struct fixture *f = *state;

	f->prepare_result = -ENOMEM;
	assert_int_equal(do_create(f), -ENOMEM);
	assert_int_equal(f->leaf_calls[FAKE_ECREATE], 0);
	assert_int_equal(f->create_failed, 0);
	assert_counters(f);
	f->prepare_result = 0;
	assert_int_equal(do_create(f), 0);
}

static void policy_is_left_to_init(void **state)
{
	struct fixture *f = *state;
	struct sgx_secs *secs = user_secs(f);

	secs->attributes.flags |= ATTR_PROVISIONKEY | ATTR_EINITTOKEN_KEY;
	assert_int_equal(do_create(f), 0);
}

static void c1_39_reports_an_exhausted_epc(void **state)
{
	struct sgx_epc_page *pages[EPC_PAGES];
	struct fixture *f = *state;

	for (size_t i = 0; i < EPC_PAGES; i++)
		assert_int_equal(sgx_alloc_epc_page(f->pool, NULL, 0, &pages[i]), 0);
	assert_int_equal(do_create(f), -ENOMEM);
	assert_int_equal(f->create_failed, 1);
	for (size_t i = 0; i < EPC_PAGES; i++)
		sgx_free_epc_page(f->pool, pages[i]);

	assert_int_equal(do_create(f), 0);
	assert_counters(f);
}

#define test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(creates_and_tells_the_owner),
		test(refuses_a_second_create_before_reading_the_argument),
		test(reports_unreadable_memory),
		test(takes_a_secs_at_any_address),
		test(c1_41_judges_the_size),
		test(a_32_bit_enclave_is_smaller),
		test(the_largest_enclave_is_not_refused),
		test(reports_a_faulting_ecreate_and_can_be_tried_again),
		test(reports_that_no_memory_could_be_prepared),
		test(policy_is_left_to_init),
		test(c1_39_reports_an_exhausted_epc),
	};

	return cmocka_run_group_tests_name("create", tests, NULL, NULL);
}
