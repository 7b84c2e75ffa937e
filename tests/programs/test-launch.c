/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether EINIT really looks: one bit different in what was measured or signed,
 * and there is no enclave.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "enclave.h"

static struct test_encl encl;

static int build_prepared(void)
{
	assert_int_equal(test_encl_create(&encl), 0);
	assert_int_equal(test_encl_add(&encl), 0);
	return test_encl_init(&encl);
}

static void untouched_enclave_starts(void **state)
{
	struct test_op op = { .kind = OP_NOP };

	assert_int_equal(build_prepared(), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	test_enter(&encl, 0, &op);
}

static void flipped_byte_of_code_is_refused(void **state)
{
	encl.image[0x40] ^= 1;
	assert_int_equal(build_prepared(), -EPERM);
}

static void flipped_last_byte_of_a_page_is_refused(void **state)
{
	encl.image[ENCL_RODATA_OFFSET + PAGE_SIZE - 1] ^= 0x80;
	assert_int_equal(build_prepared(), -EPERM);
}

static void flipped_bit_of_the_tcs_is_refused(void **state)
{
	struct tcs *tcs = (struct tcs *)(encl.image + ENCL_THREAD_OFFSET + ENCL_THREAD_TCS);

	tcs->oentry ^= PAGE_SIZE;
	assert_int_equal(build_prepared(), -EPERM);
}

static void other_rights_are_refused(void **state)
{
	encl.regions[2].secinfo |= SECINFO_W;
	assert_int_equal(build_prepared(), -EPERM);
}

static void other_order_is_refused(void **state)
{
	const struct test_region r = encl.regions[0];

	encl.regions[0] = encl.regions[1];
	encl.regions[1] = r;
	assert_int_equal(build_prepared(), -EPERM);
}

static void missing_page_is_refused(void **state)
{
	encl.nr_regions--;
	assert_int_equal(build_prepared(), -EPERM);
}

static void page_not_measured_is_refused(void **state)
{
	encl.regions[2].src = NULL;
	assert_int_equal(build_prepared(), -EPERM);
}

/* One byte of each field that EINIT must look at. */
static void tampered_sigstruct_is_refused(void **state)
{
	static const size_t offsets[] = {
		0, 12, 20, 24, 40, 60, 128, 511, 512, 516, 899, 904, 912, 928, 944, 960, 991,
		1008, 1024, 1026, 1040, 1423, 1424, 1807,
	};
	uint8_t *sig = (uint8_t *)encl.sig;

	assert_int_equal(test_encl_create(&encl), 0);
	assert_int_equal(test_encl_add(&encl), 0);
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		int ret;

		sig[offsets[i]] ^= 0x10;
		ret = test_encl_init(&encl);
		sig[offsets[i]] ^= 0x10;
		if (ret != -EPERM)
			fail_msg("byte %zu of SIGSTRUCT: %d, expected %d", offsets[i], ret, -EPERM);
	}
	/* And the enclave is none the worse for it. */
	assert_int_equal(test_encl_init(&encl), 0);
}

static void unmeasured_heap_may_hold_anything(void **state)
{
	struct test_op op = { .kind = OP_READ };
	static uint8_t page[4 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	struct test_region *heap;

	test_encl_free(&encl);
	test_encl_prepare(&encl, &(struct test_config){ .heap_pages = 4 });
	assert_int_equal(test_encl_open(&encl), 0);
	assert_int_equal(build_prepared(), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	heap = &encl.regions[encl.nr_regions - 1];
	op.addr = (uintptr_t)encl.base + heap->offset;
	op.result = 1;
	test_enter(&encl, 0, &op);
	assert_int_equal(op.result, page[0]);
}

static int setup(void **state)
{
	test_encl_prepare(&encl, &(struct test_config){ 0 });
	return test_encl_open(&encl);
}

static int teardown(void **state)
{
	test_encl_free(&encl);
	return 0;
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(untouched_enclave_starts),
		EACH(flipped_byte_of_code_is_refused),
		EACH(flipped_last_byte_of_a_page_is_refused),
		EACH(flipped_bit_of_the_tcs_is_refused),
		EACH(other_rights_are_refused),
		EACH(other_order_is_refused),
		EACH(missing_page_is_refused),
		EACH(page_not_measured_is_refused),
		EACH(tampered_sigstruct_is_refused),
		EACH(unmeasured_heap_may_hold_anything),
	};

	return cmocka_run_group_tests_name("launch", tests, NULL, NULL);
}
