/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ioctls that wait for EPC when a signal comes, and those that get none: made
 * again from the start as long as nothing was done.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fixture.h"

#define PAGE SGX_PAGE_SIZE
/* Besides SECS and version array. */
#define ROOM (EPC_PAGES - 2)

static void fill(struct fixture *f)
{
	for (uint64_t i = 0; i < ROOM; i++)
		assert_int_equal(do_add(f, i * PAGE, 1, SECINFO_R | SECINFO_W), 0);
}

static int setup_full(void **state)
{
	struct fixture *f;

	fixture_setup_sgx2(state);
	f = *state;
	assert_int_equal(do_create(f), 0);
	fill(f);
	return 0;
}

static void create_is_made_again(void **state)
{
	struct fixture *f = *state;
	struct uapi_encl *first = f->encl;

	fixture_open(f);
	f->interrupted_in = 0;
	assert_int_equal(do_create(f), -UAPI_ERESTARTSYS);
	assert_int_equal(f->created, 1);
	assert_int_equal(do_create(f), 0);
	assert_int_equal(f->created, 2);
	fixture_close(f);
	f->encl = first;
}

static void add_pages_is_made_again_or_cut_short(void **state)
{
	struct fixture *f = *state;
	uint64_t count;

	f->interrupted_in = 0;
	assert_int_equal(do_add_pages(f, AT_SOURCE, ROOM * PAGE, 3 * PAGE, 0, &count),
			 -UAPI_ERESTARTSYS);
	assert_int_equal(count, 0);
	f->interrupted_in = 0;
	assert_int_equal(do_add_pages(f, AT_NOTHING, ROOM * PAGE, PAGE, 0, &count),
			 -UAPI_ERESTARTSYS);
	/* Some evictions later: what is there stays. */
	f->interrupted_in = 1;
	assert_int_equal(do_add_pages(f, AT_SOURCE, ROOM * PAGE, 16 * PAGE, 0, &count), 0);
	assert_in_range(count, PAGE, 15 * PAGE);
	assert_int_equal(do_add_pages(f, AT_SOURCE, ROOM * PAGE + count, 16 * PAGE - count, 0,
				      NULL), 0);
	assert_counters(f);
}

/* The first page that is outside. */
static uint64_t first_outside(struct fixture *f)
{
	struct sgx_encl_page_info page = { .pa = 0 };
	uint64_t offset = 0;

	while (sgx_encl_page_at(uapi_encl_encl(f->encl), offset, &page) &&
	       page.pa != ISA_NO_FRAME)
		offset += PAGE;
	assert_int_equal(page.pa, ISA_NO_FRAME);
	return offset;
}

/* Until whatever comes next has to wait. */
static void use_free_pages(struct fixture *f)
{
	struct sgx_epc_stat stat = sgx_epc_stat_total(f->pool);
	struct sgx_encl_page_info page;

	for (; stat.free + stat.cached; stat = sgx_epc_stat_total(f->pool))
		assert_int_equal(sgx_encl_fault(uapi_encl_encl(f->encl), first_outside(f), 0, NULL,
						&page), 0);
}

static long restrict_from(struct fixture *f, uint64_t offset, uint64_t *count)
{
	const struct sgx_enclave_restrict_permissions arg = {
		.offset = offset, .length = 2 * ROOM * PAGE - offset, .permissions = SECINFO_R,
	};
	const struct sgx_enclave_restrict_permissions *after = user(f, AT_ARG);
	const long ret = do_ioctl(f, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &arg, sizeof(arg));

	*count = after->count;
	return ret;
}

static void changes_of_pages_are_made_again_or_cut_short(void **state)
{
	struct fixture *f = *state;
	uint64_t count;

	for (uint64_t i = ROOM; i < 2 * ROOM; i++)
		assert_int_equal(do_add(f, i * PAGE, 1, SECINFO_R | SECINFO_W), 0);
	assert_int_equal(do_init(f), 0);
	use_free_pages(f);
	f->interrupted_in = 0;
	assert_int_equal(restrict_from(f, first_outside(f), &count), -UAPI_ERESTARTSYS);
	assert_int_equal(count, 0);
	/* Made again it would find a count that is not zero, so it is not. */
	f->interrupted_in = 3;
	assert_int_equal(restrict_from(f, 0, &count), -EINTR);
	assert_in_range(count, PAGE, (2 * ROOM - 1) * PAGE);
	assert_int_equal(restrict_from(f, 0, &count), 0);
	assert_int_equal(count, 2 * ROOM * PAGE);
	assert_counters(f);
}

/* --- version arrays ------------------------------------------------------------------- */

static void a_faulting_epa_is_efault(void **state)
{
	struct fixture *f = *state;

	leaf_fails(f, FAKE_EPA, 0, fake_fault(X86_GP), 1);
	assert_int_equal(do_create(f), -EFAULT);
	assert_int_equal(f->created, 0);
	assert_counters(f);
	assert_int_equal(do_create(f), 0);
	assert_counters(f);
}

/* The SECS and 511 pages have versions in the first array. */
static void a_faulting_epa_later_is_efault_with_the_count_so_far(void **state)
{
	struct fixture *f = *state;
	struct sgx_secs *secs = user_secs(f);
	uint64_t count;

	secs->size = UINT64_C(1) << 22;
	secs->baseaddr = UINT64_C(1) << 30;
	assert_int_equal(do_create(f), 0);
	for (uint64_t i = 0; i < 496; i += 16)
		assert_int_equal(do_add(f, i * PAGE, 16, SECINFO_R), 0);
	leaf_fails(f, FAKE_EPA, 0, fake_fault(X86_PF), 1);
	assert_int_equal(do_add_pages(f, AT_SOURCE, 496 * PAGE, 24 * PAGE, 0, &count), -EFAULT);
	assert_int_equal(count, 15 * PAGE);
	assert_counters(f);
	assert_int_equal(do_add_pages(f, AT_SOURCE, 511 * PAGE, PAGE, 0, NULL), 0);
	assert_counters(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(create_is_made_again, setup_full, fixture_teardown),
		cmocka_unit_test_setup_teardown(add_pages_is_made_again_or_cut_short, setup_full,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(changes_of_pages_are_made_again_or_cut_short,
						setup_full, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_faulting_epa_is_efault, fixture_setup_sgx2,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(
			a_faulting_epa_later_is_efault_with_the_count_so_far,
			fixture_setup_sgx2, fixture_teardown),
	};

	return cmocka_run_group_tests_name("interrupted", tests, NULL, NULL);
}
