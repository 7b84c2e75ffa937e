/* SPDX-License-Identifier: BSD-3-Clause */
/* RESTRICT_PERMISSIONS, MODIFY_TYPES and REMOVE_PAGES: each error, and how far it came. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

#define PAGE SGX_PAGE_SIZE

/* The arguments of all three begin alike; what the third lacks is ignored. */
struct change {
	uint64_t offset, length, what, result, count;
};

static const unsigned int restrict_cmd = SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS;
static const unsigned int modify_cmd = SGX_IOC_ENCLAVE_MODIFY_TYPES;

static long change(struct fixture *f, unsigned int cmd, struct change *c)
{
	const long ret = do_ioctl(f, cmd, c, sizeof(*c));

	*c = *(const struct change *)user(f, AT_ARG);
	return ret;
}

static long change_pages(struct fixture *f, unsigned int cmd, uint64_t first, uint64_t nr,
			 uint64_t what)
{
	struct change c = { .offset = first * PAGE, .length = nr * PAGE, .what = what };

	return change(f, cmd, &c);
}

static long remove_some(struct fixture *f, uint64_t first, uint64_t nr, uint64_t *count)
{
	const struct sgx_enclave_remove_pages arg = { first * PAGE, nr * PAGE, 0 };
	const long ret = do_ioctl(f, SGX_IOC_ENCLAVE_REMOVE_PAGES, &arg, sizeof(arg));

	if (count)
		*count = ((const struct sgx_enclave_remove_pages *)user(f, AT_ARG))->count;
	return ret;
}

static void accept_all(struct fixture *f)
{
	for (size_t i = 0; i < EPC_PAGES; i++)
		f->pages[i].accepted = true;
}

/* Pages 0 to 7 are REG, RW; all are initialized. */
static int setup_running(void **state)
{
	struct fixture *f;

	fixture_setup_sgx2(state);
	f = *state;
	assert_int_equal(do_create(f), 0);
	assert_int_equal(do_add(f, 0, 8, SECINFO_R | SECINFO_W), 0);
	assert_int_equal(do_init(f), 0);
	return 0;
}

/* --- before any page is looked at ------------------------------------------------- */

static const unsigned int cmds[] = {
	SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, SGX_IOC_ENCLAVE_MODIFY_TYPES,
	SGX_IOC_ENCLAVE_REMOVE_PAGES,
};

static long probe(struct fixture *f, unsigned int cmd, uint64_t arg)
{
	return uapi_encl_ioctl(f->encl, &f->task, cmd, arg);
}

static void without_sgx2_it_is_enodev_before_the_argument(void **state)
{
	struct fixture *f = *state;

	/* No file had to be created for that, and no argument read. */
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(probe(f, cmds[i], AT_ARG), -ENODEV);
		assert_int_equal(probe(f, cmds[i], AT_NOTHING), -ENODEV);
	}
}

static void before_init_it_is_einval_before_the_argument(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(probe(f, cmds[i], AT_NOTHING), -EINVAL);
	assert_int_equal(do_create(f), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(probe(f, cmds[i], AT_NOTHING), -EINVAL);
	assert_int_equal(do_init(f), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(probe(f, cmds[i], AT_NOTHING), -EFAULT);
}

static void bad_ranges_are_einval(void **state)
{
	struct fixture *f = *state;
	static const struct change bad[] = {
		{ 0, 0, 1, 0, 0 }, { 1, PAGE, 1, 0, 0 }, { 0, PAGE + 1, 1, 0, 0 },
		{ ENCL_SIZE, PAGE, 1, 0, 0 }, { 0, ENCL_SIZE + PAGE, 1, 0, 0 },
		{ ENCL_SIZE - PAGE, 2 * PAGE, 1, 0, 0 }, { -PAGE, 2 * PAGE, 1, 0, 0 },
		{ PAGE, -PAGE, 1, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct change c = bad[i];
		const struct sgx_enclave_remove_pages r = { c.offset, c.length, 0 };

		assert_int_equal(change(f, restrict_cmd, &c), -EINVAL);
		c.what = PT_TRIM;
		assert_int_equal(change(f, modify_cmd, &c), -EINVAL);
		assert_int_equal(do_ioctl(f, cmds[2], &r, sizeof(r)), -EINVAL);
	}
}

static void results_that_are_not_zero_are_einval(void **state)
{
	struct fixture *f = *state;
	const struct sgx_enclave_remove_pages r = { 0, PAGE, 1 };

	for (size_t i = 0; i < 2; i++) {
		struct change c = { 0, PAGE, PT_TRIM, 1, 0 };

		assert_int_equal(change(f, cmds[i], &c), -EINVAL);
		c = (struct change){ 0, PAGE, PT_TRIM, 0, 1 };
		assert_int_equal(change(f, cmds[i], &c), -EINVAL);
		/* Nothing was written back. */
		assert_int_equal(c.count, 1);
	}
	assert_int_equal(do_ioctl(f, cmds[2], &r, sizeof(r)), -EINVAL);
}

static void permissions_that_cannot_be_are_einval(void **state)
{
	struct fixture *f = *state;

	for (uint64_t rwx = 0; rwx < 32; rwx++) {
		const bool ok = rwx < 8 && (!(rwx & SECINFO_W) || (rwx & SECINFO_R));

		assert_int_equal(change_pages(f, restrict_cmd, 0, 1, rwx), ok ? 0 : -EINVAL);
	}
	assert_int_equal(change_pages(f, restrict_cmd, 0, 1, UINT64_C(1) << 32), -EINVAL);
}

static void types_that_cannot_be_asked_for_are_einval(void **state)
{
	struct fixture *f = *state;

	for (uint64_t type = 0; type < 300; type++) {
		if (type != PT_TCS && type != PT_TRIM)
			assert_int_equal(change_pages(f, modify_cmd, 0, 1, type), -EINVAL);
	}
	assert_int_equal(change_pages(f, modify_cmd, 0, 1, PT_TCS | UINT64_C(1) << 32), -EINVAL);
}

/* --- page by page -------------------------------------------------------------------- */

static void counts_what_was_done(void **state)
{
	struct fixture *f = *state;
	struct change c = { 0, 8 * PAGE, SECINFO_R, 0, 0 };
	uint64_t count;

	assert_int_equal(change(f, restrict_cmd, &c), 0);
	assert_int_equal(c.count, 8 * PAGE);
	c = (struct change){ 0, 8 * PAGE, PT_TRIM, 0, 0 };
	assert_int_equal(change(f, modify_cmd, &c), 0);
	assert_int_equal(c.count, 8 * PAGE);
	accept_all(f);
	assert_int_equal(remove_some(f, 0, 8, &count), 0);
	assert_int_equal(count, 8 * PAGE);
	assert_counters(f);
}

static void an_absent_page_is_efault_with_the_count_so_far(void **state)
{
	struct fixture *f = *state;
	struct change c = { 6 * PAGE, 4 * PAGE, SECINFO_R, 0, 0 };
	uint64_t count;

	assert_int_equal(change(f, restrict_cmd, &c), -EFAULT);
	assert_int_equal(c.count, 2 * PAGE);
	assert_int_equal(c.result, 0);
	c = (struct change){ 6 * PAGE, 4 * PAGE, PT_TRIM, 0, 0 };
	assert_int_equal(change(f, modify_cmd, &c), -EFAULT);
	assert_int_equal(c.count, 2 * PAGE);
	accept_all(f);
	assert_int_equal(remove_some(f, 6, 4, &count), -EFAULT);
	assert_int_equal(count, 2 * PAGE);
}

static void only_regular_pages_are_restricted(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(change_pages(f, modify_cmd, 1, 1, PT_TCS), 0);
	assert_int_equal(change_pages(f, modify_cmd, 2, 1, PT_TRIM), 0);
	assert_int_equal(change_pages(f, restrict_cmd, 1, 1, SECINFO_R), -EINVAL);
	assert_int_equal(change_pages(f, restrict_cmd, 2, 1, SECINFO_R), -EINVAL);
}

static void only_some_changes_of_type_are_legal(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(change_pages(f, modify_cmd, 0, 1, PT_TCS), 0);
	assert_int_equal(change_pages(f, modify_cmd, 0, 1, PT_TCS), -EINVAL);
	assert_int_equal(change_pages(f, modify_cmd, 0, 1, PT_TRIM), 0);
	assert_int_equal(change_pages(f, modify_cmd, 0, 1, PT_TCS), -EINVAL);
	assert_int_equal(change_pages(f, modify_cmd, 0, 1, PT_TRIM), -EINVAL);
}

static void a_tcs_needs_a_page_that_may_be_read_and_written(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	fixture_open(f);
	assert_int_equal(do_create(f), 0);
	assert_int_equal(do_add(f, 0, 1, SECINFO_R), 0);
	assert_int_equal(do_add(f, PAGE, 1, SECINFO_R | SECINFO_X), 0);
	assert_int_equal(do_add(f, 2 * PAGE, 1, SECINFO_RWX), 0);
	assert_int_equal(do_init(f), 0);
	assert_int_equal(change_pages(f, modify_cmd, 0, 1, PT_TCS), -EPERM);
	assert_int_equal(change_pages(f, modify_cmd, 1, 1, PT_TCS), -EPERM);
	assert_int_equal(change_pages(f, modify_cmd, 2, 1, PT_TCS), 0);
}

/* What each leaf may say; a fault leaves the result zero. */
static void expect_refusal(struct fixture *f, unsigned int cmd, enum fake_leaf leaf,
			   struct isa_outcome how, uint64_t what)
{
	struct change c = { 0, 3 * PAGE, what, 0, 0 };

	leaf_fails(f, leaf, 2, how, 1);
	assert_int_equal(change(f, cmd, &c), -EFAULT);
	assert_int_equal(c.count, 2 * PAGE);
	assert_int_equal(c.result, how.kind == ISA_ERROR ? how.code : 0);
	assert_counters(f);
}

static void a_refusing_processor_is_efault_with_its_code(void **state)
{
	struct fixture *f = *state;

	expect_refusal(f, restrict_cmd, FAKE_EMODPR, fake_error(SGX_PAGE_NOT_MODIFIABLE),
		       SECINFO_R);
	expect_refusal(f, restrict_cmd, FAKE_EMODPR, fake_fault(X86_GP), SECINFO_R);
	expect_refusal(f, modify_cmd, FAKE_EMODT, fake_error(SGX_EPC_PAGE_CONFLICT), PT_TCS);
	/* The type is what it was: the same change is legal still. */
	assert_int_equal(change_pages(f, modify_cmd, 2, 1, PT_TCS), 0);
	assert_int_equal(change_pages(f, modify_cmd, 3, 1, PT_TCS), 0);
	assert_int_equal(change_pages(f, modify_cmd, 4, 1, PT_TCS), 0);
}

static void a_faulting_emodt_is_efault_without_a_code(void **state)
{
	expect_refusal(*state, modify_cmd, FAKE_EMODT, fake_fault(X86_PF), PT_TRIM);
}

static void tracking_that_fails_is_efault_and_can_be_made_up_for(void **state)
{
	struct fixture *f = *state;
	struct change c = { 0, 2 * PAGE, PT_TRIM, 0, 0 };

	/* Once is no failure: an older cycle was open. */
	leaf_fails(f, FAKE_ETRACK, 0, fake_error(SGX_PREV_TRK_INCMPL), 1);
	assert_int_equal(change_pages(f, restrict_cmd, 0, 1, SECINFO_R), 0);
	leaf_fails(f, FAKE_ETRACK, 0, fake_error(SGX_PREV_TRK_INCMPL), 2);
	assert_int_equal(change(f, modify_cmd, &c), -EFAULT);
	assert_int_equal(c.count, 0);
	assert_int_equal(c.result, 0);
	c = (struct change){ 0, 2 * PAGE, PT_TRIM, 0, 0 };
	assert_int_equal(change(f, modify_cmd, &c), 0);
	assert_int_equal(c.count, 2 * PAGE);
}

static void only_accepted_trimmed_pages_are_removed(void **state)
{
	struct fixture *f = *state;
	uint64_t count;

	assert_int_equal(remove_some(f, 0, 1, &count), -EPERM);
	assert_int_equal(change_pages(f, modify_cmd, 0, 1, PT_TCS), 0);
	assert_int_equal(remove_some(f, 0, 1, &count), -EPERM);
	assert_int_equal(change_pages(f, modify_cmd, 0, 2, PT_TRIM), 0);
	assert_int_equal(remove_some(f, 0, 2, &count), -EPERM);
	assert_int_equal(count, 0);
	accept_all(f);
	/* Any other answer to the probe is no proof. */
	leaf_fails(f, FAKE_EMODPR, 1, fake_fault(X86_GP), 1);
	assert_int_equal(remove_some(f, 0, 2, &count), -EPERM);
	assert_int_equal(count, PAGE);
	assert_int_equal(remove_some(f, 1, 1, &count), 0);
	assert_int_equal(remove_some(f, 0, 1, NULL), -EFAULT);
	assert_counters(f);
}

static void a_result_that_cannot_be_stored_is_efault_after_the_change(void **state)
{
	struct fixture *f = *state;

	f->copy_fails_in = 1;
	assert_int_equal(change_pages(f, modify_cmd, 0, 1, PT_TRIM), -EFAULT);
	assert_int_equal(change_pages(f, modify_cmd, 0, 1, PT_TRIM), -EINVAL);
	accept_all(f);
	f->copy_fails_in = 1;
	assert_int_equal(remove_some(f, 0, 1, NULL), -EFAULT);
	assert_int_equal(remove_some(f, 0, 1, NULL), -EFAULT);
	assert_int_equal(sgx_encl_nr_pages(uapi_encl_encl(f->encl)), 7 + 1 + 1);
}

/* The offset of a page that was removed, and the EPC of one, are there to be had again. */
static void removed_pages_can_be_added_on_demand(void **state)
{
	struct fixture *f = *state;
	struct sgx_encl_page_info page;

	for (int i = 0; i < 50; i++) {
		assert_int_equal(change_pages(f, modify_cmd, 3, 1, PT_TRIM), 0);
		accept_all(f);
		assert_int_equal(remove_some(f, 3, 1, NULL), 0);
		assert_int_equal(sgx_encl_fault(uapi_encl_encl(f->encl), 3 * PAGE, SECINFO_R, NULL,
						&page), 0);
		assert_counters(f);
	}
}

/* --- beyond the EPC ----------------------------------------------------------------------- */

static void a_range_larger_than_the_epc_is_changed_page_by_page(void **state)
{
	struct fixture *f = *state;
	struct change c = { 0, 3 * EPC_PAGES * PAGE, SECINFO_R, 0, 0 };
	uint64_t count;

	fixture_close(f);
	fixture_open(f);
	assert_int_equal(do_create(f), 0);
	for (uint64_t i = 0; i < 3 * EPC_PAGES; i += 8)
		assert_int_equal(do_add(f, i * PAGE, 8, SECINFO_R | SECINFO_W), 0);
	assert_int_equal(do_init(f), 0);
	assert_int_equal(change(f, restrict_cmd, &c), 0);
	assert_int_equal(c.count, 3 * EPC_PAGES * PAGE);
	for (uint64_t i = 0; i < 3 * EPC_PAGES; i++) {
		assert_int_equal(change_pages(f, modify_cmd, i, 1, PT_TRIM), 0);
		accept_all(f);
		assert_int_equal(remove_some(f, i, 1, &count), 0);
	}
	assert_counters(f);
}

/* --- a leak, and who may go on ---------------------------------------------------------- */

static void after_a_leak_new_enclaves_can_be_refused(void **state)
{
	static const struct isa_section section = { .pa = EPC_BASE, .nr_pages = EPC_PAGES };
	struct fixture *f = fixture_create_sgx2();
	struct epc_encls_ops ops = fake_building_ops(f);
	struct uapi_encl *running;

	fake_add_paging_ops(&ops);
	f->on_leak = SGX_EPC_LEAK_REFUSE;
	f->nr_leaked = 1;
	fixture_power_on(f, &section, 1, &ops);
	fixture_open(f);
	assert_int_equal(do_create(f), 0);
	assert_int_equal(do_add(f, 0, 4, SECINFO_R | SECINFO_W), 0);
	assert_int_equal(do_init(f), 0);
	assert_int_equal(change_pages(f, modify_cmd, 0, 1, PT_TRIM), 0);
	accept_all(f);
	leaf_fails(f, FAKE_EREMOVE, 0, fake_error(SGX_ENCLAVE_ACT), 1);
	/* As in Linux the page is gone for the enclave, whatever became of it. */
	assert_int_equal(remove_some(f, 0, 1, NULL), 0);
	running = f->encl;

	fixture_open(f);
	assert_int_equal(do_create(f), -EBUSY);
	fixture_close(f);
	f->encl = running;
	assert_int_equal(change_pages(f, modify_cmd, 1, 1, PT_TRIM), 0);
	/* Its SECS has a child that cannot be removed. */
	for (size_t i = 0; i < EPC_PAGES; i++)
		if (f->pages[i].valid && f->pages[i].pt == PT_TRIM && f->pages[i].accepted)
			f->pages[i].secs = 0;
	fixture_destroy(f);
	(void)state;
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup_running, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_sgx2_it_is_enodev_before_the_argument,
						fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(before_init_it_is_einval_before_the_argument,
						fixture_setup_sgx2, fixture_teardown),
		test(bad_ranges_are_einval),
		test(results_that_are_not_zero_are_einval),
		test(permissions_that_cannot_be_are_einval),
		test(types_that_cannot_be_asked_for_are_einval),
		test(counts_what_was_done),
		test(an_absent_page_is_efault_with_the_count_so_far),
		test(only_regular_pages_are_restricted),
		test(only_some_changes_of_type_are_legal),
		test(a_tcs_needs_a_page_that_may_be_read_and_written),
		test(a_refusing_processor_is_efault_with_its_code),
		test(a_faulting_emodt_is_efault_without_a_code),
		test(tracking_that_fails_is_efault_and_can_be_made_up_for),
		test(only_accepted_trimmed_pages_are_removed),
		test(a_result_that_cannot_be_stored_is_efault_after_the_change),
		test(removed_pages_can_be_added_on_demand),
		test(a_range_larger_than_the_epc_is_changed_page_by_page),
		cmocka_unit_test(after_a_leak_new_enclaves_can_be_refused),
	};

	return cmocka_run_group_tests_name("dynamic", tests, NULL, NULL);
}
