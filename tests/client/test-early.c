/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What constructors of the program's libraries do with signals and devices must hold,
 * and what they find must be what the program finds: some look for the vDSO then.
 */
#include "early.h"

#include <asm/sgx.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include <cmocka.h>

static void early_handler_runs(void **state)
{
	const sig_atomic_t before = early_calls();

	raise(SIGUSR1);
	assert_int_equal(early_calls(), before + 1);
}

static void early_action_is_reported(void **state)
{
	struct sigaction got;

	assert_int_equal(sigaction(SIGUSR1, NULL, &got), 0);
	assert_int_equal(got.sa_flags & SA_RESTART, SA_RESTART);
	assert_ptr_not_equal(got.sa_handler, SIG_DFL);
}

static void early_mask_is_kept(void **state)
{
	sigset_t now;

	assert_int_equal(sigismember(early_mask(), SIGILL), 1);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	assert_int_equal(sigismember(&now, SIGILL), 1);
	assert_int_equal(sigismember(&now, SIGUSR1), 0);
}

static void early_descriptor_is_the_device(void **state)
{
	assert_true(early_fd() >= 0);
	assert_int_equal(ioctl(early_fd(), SGX_IOC_ENCLAVE_CREATE, NULL), -1);
	assert_int_equal(errno, EFAULT);
}

static void early_search_finds_the_entry_function(void **state)
{
	assert_true(early_has_entry());
}

static void early_cpuid_says_there_is_sgx(void **state)
{
	assert_true(early_has_sgx());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(early_handler_runs),
		cmocka_unit_test(early_action_is_reported),
		cmocka_unit_test(early_mask_is_kept),
		cmocka_unit_test(early_descriptor_is_the_device),
		cmocka_unit_test(early_search_finds_the_entry_function),
		cmocka_unit_test(early_cpuid_says_there_is_sgx),
	};

	return cmocka_run_group_tests_name("client early", tests, NULL, NULL);
}
