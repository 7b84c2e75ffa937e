/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EPC pages come back.  To be run with an EPC of 2 MiB, 512 pages: each case
 * asks for several times as many in all, and may never meet ENOMEM.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"

#define HEAP_PAGES 350
#define ROUNDS 12

static const struct test_config big = { .heap_pages = HEAP_PAGES };

static void enter_once(const struct test_encl *e)
{
	struct test_op put = { .kind = OP_PUT, .value = 12 }, get = { .kind = OP_GET };

	test_enter(e, 0, &put);
	test_enter(e, 0, &get);
	assert_int_equal(get.result, 12);
}

static void pages_return_when_the_enclave_is_given_back(void **state)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct test_encl e;

		assert_int_equal(test_encl_build(&e, &big), 0);
		enter_once(&e);
		test_encl_free(&e);
	}
}

/* The file alone does not hold the enclave while a mapping is there. */
static void f73_f74_pages_return_with_the_last_mapping(void **state)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct test_encl e;

		assert_int_equal(test_encl_build(&e, &big), 0);
		close(e.fd);
		e.fd = -1;
		enter_once(&e);
		test_encl_free(&e);
	}
}

static void pages_return_from_enclaves_never_initialized(void **state)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct test_encl e;

		test_encl_prepare(&e, &big);
		assert_int_equal(test_encl_open(&e), 0);
		assert_int_equal(test_encl_create(&e), 0);
		assert_int_equal(test_encl_add(&e), 0);
		test_encl_free(&e);
	}
}

static void pages_return_when_einit_refused(void **state)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct test_encl e;

		test_encl_prepare(&e, &big);
		assert_int_equal(test_encl_open(&e), 0);
		assert_int_equal(test_encl_create(&e), 0);
		assert_int_equal(test_encl_add(&e), 0);
		e.sig->q1[0] ^= 1;
		assert_int_equal(test_encl_init(&e), -EPERM);
		test_encl_free(&e);
	}
}

/* A child that dies with its enclave, in or out of order. */
static void f76_pages_return_when_a_process_dies(void **state)
{
	for (int i = 0; i < ROUNDS; i++) {
		const pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (!pid) {
			struct test_encl e;

			if (test_encl_build(&e, &big))
				_exit(1);
			if (i & 1)
				abort();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (i & 1)
			assert_true(WIFSIGNALED(status));
		else
			assert_int_equal(status, 0);
	}
}

static void two_at_a_time(void **state)
{
	const struct test_config half = { .heap_pages = HEAP_PAGES / 2 };

	for (int i = 0; i < ROUNDS; i++) {
		struct test_encl a, b;

		assert_int_equal(test_encl_build(&a, &half), 0);
		assert_int_equal(test_encl_build(&b, &half), 0);
		enter_once(&a);
		test_encl_free(&a);
		enter_once(&b);
		test_encl_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_return_when_the_enclave_is_given_back),
		cmocka_unit_test(f73_f74_pages_return_with_the_last_mapping),
		cmocka_unit_test(pages_return_from_enclaves_never_initialized),
		cmocka_unit_test(pages_return_when_einit_refused),
		cmocka_unit_test(two_at_a_time),
		cmocka_unit_test(f76_pages_return_when_a_process_dies),
	};

	return cmocka_run_group_tests_name("epc", tests, NULL, NULL);
}
