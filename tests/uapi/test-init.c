/* SPDX-License-Identifier: BSD-3-Clause */
/* SGX_IOC_ENCLAVE_INIT and SGX_IOC_ENCLAVE_PROVISION. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

static void create_with(struct fixture *f, uint64_t attributes)
{
	user_secs(f)->attributes.flags = attributes;
	assert_int_equal(do_create(f), 0);
}

static void initializes_under_the_hash_of_the_signer(void **state)
{
	static const uint64_t hash[4] = {
		0x4746454443424140, 0x4f4e4d4c4b4a4948, 0x5756555453525150, 0x5f5e5d5c5b5a5958,
	};
	struct fixture *f = *state;

	create_with(f, ATTR_MODE64BIT);
	assert_int_equal(do_init(f), 0);
	assert_int_equal(f->initialized, 1);
	assert_int_equal(f->leaf_calls[FAKE_EINIT], 1);
	assert_memory_equal(f->lepubkeyhash, hash, sizeof(hash));
	assert_counters(f);
}

static void is_refused_before_create_and_after_init(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(uapi_encl_ioctl(f->encl, &f->task, SGX_IOC_ENCLAVE_INIT, AT_NOTHING),
			 -EINVAL);
	create_with(f, ATTR_MODE64BIT);
	assert_int_equal(do_init(f), 0);
	assert_int_equal(do_init(f), -EINVAL);
	assert_int_equal(uapi_encl_ioctl(f->encl, &f->task, SGX_IOC_ENCLAVE_INIT, AT_NOTHING),
			 -EINVAL);
	assert_int_equal(do_create(f), -EINVAL);
	assert_int_equal(f->leaf_calls[FAKE_EINIT], 1);
}

static void reports_unreadable_memory(void **state)
{
	struct sgx_enclave_init arg = { .sigstruct = AT_NOTHING };
	struct fixture *f = *state;

	create_with(f, ATTR_MODE64BIT);
	assert_int_equal(uapi_encl_ioctl(f->encl, &f->task, SGX_IOC_ENCLAVE_INIT, AT_NOTHING),
			 -EFAULT);
	assert_int_equal(do_ioctl(f, SGX_IOC_ENCLAVE_INIT, &arg, sizeof(arg)), -EFAULT);
	arg.sigstruct = AT_NOTHING - 1807;
	assert_int_equal(do_ioctl(f, SGX_IOC_ENCLAVE_INIT, &arg, sizeof(arg)), -EFAULT);
	/* 1808 bytes and not one more. */
	arg.sigstruct = AT_NOTHING - 1808;
	memcpy(user(f, arg.sigstruct), user(f, AT_SIGSTRUCT), 1808);
	assert_int_equal(do_ioctl(f, SGX_IOC_ENCLAVE_INIT, &arg, sizeof(arg)), 0);
}

static void judges_the_vendor(void **state)
{
	static const uint32_t bad[] = { 1, 0x8087, 0x80860000, 0x18086, UINT32_MAX };
	struct fixture *f = *state;

	create_with(f, ATTR_MODE64BIT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		user_sigstruct(f)->vendor = bad[i];
		assert_int_equal(do_init(f), -EINVAL);
	}
	assert_int_equal(f->leaf_calls[FAKE_EINIT], 0);
	user_sigstruct(f)->vendor = 0x8086;
	assert_int_equal(do_init(f), 0);
}

static void c1_32_judges_the_attributes_of_the_secs(void **state)
{
	static const struct {
		uint64_t attributes;
		bool provision;
		long ret;
	} rows[] = {
		{ ATTR_MODE64BIT, false, 0 },
		{ ATTR_DEBUG, false, 0 },
		{ ATTR_KSS, false, 0 },
		{ ATTR_AEXNOTIFY, false, 0 },
		{ ATTR_DEBUG | ATTR_MODE64BIT | ATTR_KSS | ATTR_AEXNOTIFY, false, 0 },
		{ ATTR_PROVISIONKEY, false, -EACCES },
		{ ATTR_PROVISIONKEY, true, 0 },
		{ ATTR_EINITTOKEN_KEY, false, -EACCES },
		{ ATTR_EINITTOKEN_KEY, true, -EACCES },
		{ ATTR_INIT, false, -EACCES },
		{ 1ull << 3, false, -EACCES },
		{ ATTR_CET, false, -EACCES },
		{ 1ull << 8, false, -EACCES },
		{ 1ull << 11, false, -EACCES },
		{ 1ull << 63, true, -EACCES },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		user_secs(f)->size = 2 * SGX_PAGE_SIZE;
		create_with(f, rows[i].attributes);
		if (rows[i].provision)
			assert_int_equal(do_provision(f, PROVISION_FD), 0);
		assert_int_equal(do_init(f), rows[i].ret);
		fixture_close(f);
		fixture_open(f);
	}
}

static void an_attribute_without_permission_comes_before_reserved_bits(void **state)
{
	struct fixture *f = *state;

	create_with(f, ATTR_PROVISIONKEY);
	user_sigstruct(f)->miscselect = UINT32_MAX;
	user_sigstruct(f)->miscmask = UINT32_MAX;
	assert_int_equal(do_init(f), -EACCES);
	user_sigstruct(f)->vendor = 1;
	assert_int_equal(do_init(f), -EINVAL);
}

/* Each bit by itself, once masked in and once masked out. */
static void refuses_reserved_attributes(void **state)
{
	const uint64_t allowed = ATTR_DEBUG | ATTR_MODE64BIT | ATTR_PROVISIONKEY |
				 ATTR_EINITTOKEN_KEY | ATTR_KSS | ATTR_AEXNOTIFY;
	struct fixture *f = *state;

	create_with(f, ATTR_MODE64BIT);
	leaf_fails(f, FAKE_EINIT, 0, fake_error(SGX_INVALID_ATTRIBUTE), NEVER);
	for (unsigned int i = 0; i < 64; i++) {
		struct sgx_sigstruct *sigstruct = user_sigstruct(f);
		const bool known = allowed >> i & 1;

		sigstruct->attributes.flags = 1ull << i;
		sigstruct->attributemask.flags = 1ull << i;
		assert_int_equal(do_init(f), known ? -EPERM : -EINVAL);
		sigstruct->attributemask.flags = ~(1ull << i);
		assert_int_equal(do_init(f), -EPERM);
	}
}

static void some_attributes_are_reserved_whatever_cpuid_says(void **state)
{
	static const unsigned int always[] = { 3, 6, 8, 9, 11, 12, 31, 32, 62, 63 };
	struct fixture *f = *state;

	f->profile.attributes = UINT64_MAX;
	f->profile.miscselect = UINT32_MAX;
	create_with(f, ATTR_MODE64BIT);
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
		user_sigstruct(f)->attributes.flags = UINT64_MAX;
		((struct sgx_sigstruct *)user(f, AT_SIGSTRUCT))->attributemask.flags =
			1ull << always[i];
		assert_int_equal(do_init(f), -EINVAL);
	}
	for (unsigned int i = 1; i < 32; i++) {
		struct sgx_sigstruct *sigstruct = user_sigstruct(f);

		sigstruct->miscselect = UINT32_MAX;
		sigstruct->miscmask = 1u << i;
		assert_int_equal(do_init(f), -EINVAL);
	}
	assert_int_equal(f->leaf_calls[FAKE_EINIT], 0);
}

static void refuses_reserved_miscselect(void **state)
{
	struct fixture *f = *state;
	struct sgx_sigstruct *sigstruct = user_sigstruct(f);

	create_with(f, ATTR_MODE64BIT);
	leaf_fails(f, FAKE_EINIT, 0, fake_error(SGX_INVALID_ATTRIBUTE), NEVER);
	for (unsigned int i = 0; i < 32; i++) {
		sigstruct->miscselect = 1u << i;
		sigstruct->miscmask = 1u << i;
		assert_int_equal(do_init(f), i == 0 ? -EPERM : -EINVAL);
		sigstruct->miscmask = ~(1u << i);
		assert_int_equal(do_init(f), -EPERM);
	}
	f->profile.miscselect = 0;
	sigstruct->miscselect = sigstruct->miscmask = MISC_EXINFO;
	assert_int_equal(do_init(f), -EINVAL);
}

static void refuses_reserved_xfrm(void **state)
{
	struct fixture *f = *state;
	struct sgx_sigstruct *sigstruct = user_sigstruct(f);

	create_with(f, ATTR_MODE64BIT);
	leaf_fails(f, FAKE_EINIT, 0, fake_error(SGX_INVALID_ATTRIBUTE), NEVER);
	for (unsigned int i = 0; i < 64; i++) {
		sigstruct->attributes.xfrm = 1ull << i;
		sigstruct->attributemask.xfrm = 1ull << i;
		assert_int_equal(do_init(f), i < 3 ? -EPERM : -EINVAL);
		sigstruct->attributemask.xfrm = ~(1ull << i);
		assert_int_equal(do_init(f), -EPERM);
	}
}

static void a_code_of_einit_is_eperm(void **state)
{
	static const uint32_t codes[] = {
		SGX_INVALID_SIG_STRUCT, SGX_INVALID_ATTRIBUTE, SGX_INVALID_MEASUREMENT,
		SGX_INVALID_SIGNATURE, SGX_INVALID_EINITTOKEN, SGX_INVALID_CPUSVN,
	};
	struct fixture *f = *state;

	create_with(f, ATTR_MODE64BIT);
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		f->leaf_calls[FAKE_EINIT] = 0;
		leaf_fails(f, FAKE_EINIT, 0, fake_error(codes[i]), 1);
		assert_int_equal(do_init(f), -EPERM);
		assert_int_equal(f->leaf_calls[FAKE_EINIT], 1);
	}
	/* A verdict, not the end: pages can be added and INIT tried again. */
	assert_int_equal(f->initialized, 0);
	assert_int_equal(do_add(f, 0, 1, SECINFO_R), 0);
	assert_int_equal(do_init(f), 0);
	assert_counters(f);
}

static void a_fault_of_einit_is_eio(void **state)
{
	struct fixture *f = *state;

	create_with(f, ATTR_MODE64BIT);
	leaf_fails(f, FAKE_EINIT, 0, fake_fault(X86_GP), 1);
	assert_int_equal(do_init(f), -EIO);
	assert_int_equal(f->initialized, 0);
	assert_int_equal(do_init(f), 0);
}

static void an_interrupted_einit_is_repeated(void **state)
{
	struct fixture *f = *state;

	create_with(f, ATTR_MODE64BIT);
	leaf_fails(f, FAKE_EINIT, 0, fake_error(SGX_UNMASKED_EVENT), 999);
	assert_int_equal(do_init(f), 0);
	assert_int_equal(f->leaf_calls[FAKE_EINIT], 1000);
}

static void an_einit_interrupted_for_ever_is_given_up(void **state)
{
	struct fixture *f = *state;

	create_with(f, ATTR_MODE64BIT);
	leaf_fails(f, FAKE_EINIT, 0, fake_error(SGX_UNMASKED_EVENT), NEVER);
	assert_int_equal(do_init(f), -EPERM);
	assert_int_equal(f->leaf_calls[FAKE_EINIT], 20 * 50);
}

static void a_signal_ends_the_repetition(void **state)
{
	struct fixture *f = *state;

	create_with(f, ATTR_MODE64BIT);
	leaf_fails(f, FAKE_EINIT, 0, fake_error(SGX_UNMASKED_EVENT), NEVER);
	f->signal_in = 2;
	assert_int_equal(do_init(f), -UAPI_ERESTARTSYS);
	assert_int_equal(f->leaf_calls[FAKE_EINIT], 3 * 20);
}

static void a_signal_does_not_stop_an_einit_that_works(void **state)
{
	struct fixture *f = *state;

	create_with(f, ATTR_MODE64BIT);
	f->signal_in = 0;
	assert_int_equal(do_init(f), 0);
}

static void provision_judges_the_descriptor(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(uapi_encl_ioctl(f->encl, &f->task, SGX_IOC_ENCLAVE_PROVISION,
					 AT_NOTHING), -EFAULT);
	assert_int_equal(do_provision(f, PROVISION_FD + 1), -EINVAL);
	assert_int_equal(do_provision(f, UINT64_MAX), -EINVAL);
	/* A descriptor has 32 bits. */
	assert_int_equal(do_provision(f, (UINT64_C(5) << 32) + PROVISION_FD), 0);
	assert_int_equal(f->asked_fd, PROVISION_FD);
}

static void provision_before_create_is_lost(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(do_provision(f, PROVISION_FD), 0);
	create_with(f, ATTR_PROVISIONKEY);
	assert_int_equal(do_init(f), -EACCES);
	assert_int_equal(do_provision(f, PROVISION_FD), 0);
	assert_int_equal(do_init(f), 0);
	/* Useless, but no error. */
	assert_int_equal(do_provision(f, PROVISION_FD), 0);
}

static void a_refused_descriptor_grants_nothing(void **state)
{
	struct fixture *f = *state;

	create_with(f, ATTR_PROVISIONKEY);
	assert_int_equal(do_provision(f, 3), -EINVAL);
	assert_int_equal(do_init(f), -EACCES);
	assert_int_equal(f->leaf_calls[FAKE_EINIT], 0);
}

#define test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(initializes_under_the_hash_of_the_signer),
		test(is_refused_before_create_and_after_init),
		test(reports_unreadable_memory),
		test(judges_the_vendor),
		test(c1_32_judges_the_attributes_of_the_secs),
		test(an_attribute_without_permission_comes_before_reserved_bits),
		test(refuses_reserved_attributes),
		test(some_attributes_are_reserved_whatever_cpuid_says),
		test(refuses_reserved_miscselect),
		test(refuses_reserved_xfrm),
		test(a_code_of_einit_is_eperm),
		test(a_fault_of_einit_is_eio),
		test(an_interrupted_einit_is_repeated),
		test(an_einit_interrupted_for_ever_is_given_up),
		test(a_signal_ends_the_repetition),
		test(a_signal_does_not_stop_an_einit_that_works),
		test(provision_judges_the_descriptor),
		test(provision_before_create_is_lost),
		test(a_refused_descriptor_grants_nothing),
	};

	return cmocka_run_group_tests_name("init", tests, NULL, NULL);
}
