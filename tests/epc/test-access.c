/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A debugger's view of an enclave on the software processor, where EDBGRD and
 * EDBGWR move eight aligned bytes and nothing else.
 */
#include "machine.h"

#include <errno.h>

#define OFFSET ((FIXTURE_RW - 1) * 4096ull)

static void f30_any_alignment_and_length(void **state)
{
	uint8_t want[64], seen[64], bytes[64];
	size_t from, len, i;
	struct sgx_encl *encl;
	struct machine m;

	machine_start(&m, NULL, true);
	encl = machine_build(&m);
	assert_int_equal(sgx_encl_access(encl, OFFSET, want, sizeof(want), false), 0);
	for (from = 0; from < 17; from++) {
		for (len = 0; len < 33; len++) {
			for (i = 0; i < len; i++)
				bytes[i] = want[from + i] = (uint8_t)(from * 31 + len * 7 + i);
			if (len % 3 == 0)
				sgx_epc_reclaim(m.pool, 100);
			assert_int_equal(sgx_encl_access(encl, OFFSET + from, bytes, len, true), 0);
			assert_int_equal(sgx_encl_access(encl, OFFSET, seen, sizeof(seen), false), 0);
			assert_memory_equal(seen, want, sizeof(want));
			memset(bytes, 0, sizeof(bytes));
			assert_int_equal(sgx_encl_access(encl, OFFSET + from, bytes, len, false), 0);
			assert_memory_equal(bytes, want + from, len);
		}
	}
	assert_int_equal(sgx_encl_access(encl, OFFSET + 4096 - 5, bytes, 5, true), 0);
	sgx_encl_release(encl);
	machine_finish(&m);
}

static void f30_refuses_what_is_no_debuggers(void **state)
{
	const struct sgx_encl_config config = { .cookie = NULL };
	_Alignas(4096) struct sgx_secs secs;
	uint64_t word = 0;
	struct sgx_encl *encl, *plain;
	struct machine m;

	machine_start(&m, NULL, true);
	encl = machine_build(&m);
	/* No page; across a page; of a TCS only FLAGS can be written. */
	assert_int_equal(sgx_encl_access(encl, 0xf000, &word, 8, false), -EFAULT);
	assert_int_equal(sgx_encl_access(encl, OFFSET + 4092, &word, 8, false), -EFAULT);
	assert_int_equal(sgx_encl_access(encl, UINT64_MAX - 7, &word, 8, false), -EFAULT);
	assert_int_equal(sgx_encl_access(encl, 16, &word, 8, true), -EIO);

	isa_fixture_default_secs(&secs);
	secs.attributes.flags &= ~ATTR_DEBUG;
	assert_int_equal(sgx_encl_create(m.pool, &config, &plain), 0);
	assert_int_equal(sgx_encl_ecreate(plain, &secs), 0);
	assert_int_equal(sgx_encl_access(plain, 0, &word, 8, false), -EFAULT);
	sgx_encl_release(plain);
	sgx_encl_release(encl);
	machine_finish(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f30_any_alignment_and_length),
		cmocka_unit_test(f30_refuses_what_is_no_debuggers),
	};

	return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
