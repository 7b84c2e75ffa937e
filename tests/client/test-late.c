/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A library opened at run time, as by programs that load their runtime when they need
 * it: what it finds, and does, is the same as in one that was there from the beginning.
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void *library;

/* A function of the library, as the caller's pointer to it. */
static void find(const char *name, void *function)
{
	void *p = dlsym(library, name);

	assert_non_null(p);
	memcpy(function, &p, sizeof(p));
}

static int open_library(void **state)
{
	library = dlopen(LATE_LIBRARY, RTLD_NOW);
	return library ? 0 : -1;
}

static int close_library(void **state)
{
	return dlclose(library);
}

/* Before anybody used a device. */
static void its_cpuid_says_there_is_sgx(void **state)
{
	bool (*has_sgx)(void);

	find("late_has_sgx", &has_sgx);
	assert_true(has_sgx());
}

static void it_maps_the_device(void **state)
{
	bool (*maps_the_device)(void);

	find("late_maps_the_device", &maps_the_device);
	assert_true(maps_the_device());
}

static void its_handlers_are_called(void **state)
{
	int (*faults)(int nr);

	find("late_faults", &faults);
	assert_int_equal(faults(3), 3);
}

static void and_all_that_after_it_was_closed_and_opened_again(void **state)
{
	assert_int_equal(close_library(NULL), 0);
	assert_int_equal(open_library(NULL), 0);
	its_cpuid_says_there_is_sgx(state);
	it_maps_the_device(state);
	its_handlers_are_called(state);
}

/* What is asked for next is next to who asks, not to us. */
static void symbols_are_those_the_caller_would_find(void **state)
{
	Dl_info info;

	assert_null(dlsym(RTLD_DEFAULT, "late_has_sgx"));
	assert_null(dlsym(library, "nobody_has_this"));
	assert_non_null(dlerror());
	assert_true(dladdr(dlsym(RTLD_NEXT, "getpid"), &info));
	assert_non_null(strstr(info.dli_fname, "libc"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_cpuid_says_there_is_sgx),
		cmocka_unit_test(it_maps_the_device),
		cmocka_unit_test(its_handlers_are_called),
		cmocka_unit_test(and_all_that_after_it_was_closed_and_opened_again),
		cmocka_unit_test(symbols_are_those_the_caller_would_find),
	};

	return cmocka_run_group_tests_name("client late", tests, open_library, close_library);
}
