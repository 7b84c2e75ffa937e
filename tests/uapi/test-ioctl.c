/* SPDX-License-Identifier: BSD-3-Clause */
/* The door all ioctls come through: which numbers there are, one at a time. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

#define PAGE UINT64_C(4096)

static const unsigned int known[] = {
	SGX_IOC_ENCLAVE_CREATE, SGX_IOC_ENCLAVE_ADD_PAGES, SGX_IOC_ENCLAVE_INIT,
	SGX_IOC_ENCLAVE_PROVISION, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS,
	SGX_IOC_ENCLAVE_MODIFY_TYPES, SGX_IOC_ENCLAVE_REMOVE_PAGES,
};

static const unsigned int unknown[] = {
	SGX_IOC_VEPC_REMOVE_ALL, 0, UINT32_MAX, 0xa400, 0xa408, 0x4008a404, 0x4008a408,
	/* Right number, wrong size or direction. */
	0x4010a400, 0x8008a400, 0xc008a400, 0x4030a401, 0xc028a401, 0xc008a402,
	/* Right number, other device's magic. */
	0x4008a500, 0x4008ae00, 0x5401,
};

#define NR(array) (sizeof(array) / sizeof((array)[0]))

static void numbers_are_those_of_linux(void **state)
{
	static const unsigned int numbers[NR(known)] = {
		0x4008a400, 0xc030a401, 0x4008a402, 0x4008a403, 0xc028a405, 0xc028a406,
		0xc018a407,
	};

	(void)state;
	assert_memory_equal(known, numbers, sizeof(numbers));
	assert_int_equal(SGX_IOC_VEPC_REMOVE_ALL, 0xa404);
}

static void unknown_commands_are_refused_in_every_state(void **state)
{
	struct fixture *f = *state;

	for (int step = 0; step < 3; step++) {
		for (size_t i = 0; i < NR(unknown); i++) {
			assert_int_equal(uapi_encl_ioctl(f->encl, &f->task, unknown[i],
							 AT_NOTHING), -ENOTTY);
			assert_int_equal(uapi_encl_ioctl(f->encl, &f->task, unknown[i], AT_ARG),
					 -ENOTTY);
		}
		if (step == 0)
			assert_int_equal(do_create(f), 0);
		if (step == 1)
			assert_int_equal(do_init(f), 0);
	}
}

static void probing_for_sgx2_needs_no_argument(void **state)
{
	struct fixture *f = *state;

	for (int step = 0; step < 3; step++) {
		for (size_t i = 4; i < NR(known); i++)
			assert_int_equal(uapi_encl_ioctl(f->encl, &f->task, known[i], AT_NOTHING),
					 -ENODEV);
		if (step == 0)
			assert_int_equal(do_create(f), 0);
		if (step == 1)
			assert_int_equal(do_init(f), 0);
	}
}

static void with_sgx2_the_enclave_is_asked_before_the_argument(void **state)
{
	struct fixture *f = *state;

	/* The platform was copied, the profile was not. */
	f->profile.cpuid_12_0_eax |= CPUID_12_0_EAX_SGX2;
	for (int step = 0; step < 3; step++) {
		for (size_t i = 4; i < NR(known); i++)
			assert_int_equal(uapi_encl_ioctl(f->encl, &f->task, known[i], AT_NOTHING),
					 step < 2 ? -EINVAL : -EFAULT);
		if (step == 0)
			assert_int_equal(do_create(f), 0);
		if (step == 1)
			assert_int_equal(do_init(f), 0);
	}
}

/* --- concurrency --------------------------------------------------------- */

struct adder {
	struct fixture *f;
	uint64_t at_arg;
	uint64_t first, step, nr_pages;
	bool retry;
	long ret;
};

static void *adder_main(void *arg)
{
	struct adder *a = arg;

	a->ret = 0;
	for (uint64_t i = 0; i < a->nr_pages && !a->ret; i++) {
		const struct sgx_enclave_add_pages add = {
			.src = AT_SOURCE, .offset = (a->first + i * a->step) * PAGE,
			.length = PAGE, .secinfo = AT_SECINFO,
		};

		memcpy(user(a->f, a->at_arg), &add, sizeof(add));
		do {
			a->ret = uapi_encl_ioctl(a->f->encl, &a->f->task,
						 SGX_IOC_ENCLAVE_ADD_PAGES, a->at_arg);
			if (a->ret == -EBUSY)
				sched_yield();
		} while (a->ret == -EBUSY && a->retry);
	}
	return NULL;
}

static void a_second_ioctl_is_refused_while_one_runs(void **state)
{
	struct fixture *f = *state;
	struct adder adder = { .f = f, .at_arg = AT_ARG2, .nr_pages = 1 };
	pthread_t thread;

	assert_int_equal(do_create(f), 0);
	atomic_store(&f->hold_source, true);
	assert_int_equal(pthread_create(&thread, NULL, adder_main, &adder), 0);
	while (!atomic_load(&f->source_held))
		sched_yield();

	for (size_t i = 0; i < NR(known); i++)
		assert_int_equal(uapi_encl_ioctl(f->encl, &f->task, known[i], AT_NOTHING), -EBUSY);
	for (size_t i = 0; i < NR(unknown); i++)
		assert_int_equal(uapi_encl_ioctl(f->encl, &f->task, unknown[i], AT_NOTHING),
				 -EBUSY);
	/* The mmap rule does not wait. */
	assert_int_equal(uapi_encl_may_map(f->encl, ENCL_BASE, ENCL_BASE + ENCL_SIZE, 7, false), 0);

	atomic_store(&f->hold_source, false);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(adder.ret, 0);
	assert_int_equal(do_init(f), 0);
	assert_counters(f);
}

static void another_file_is_not_refused(void **state)
{
	struct fixture *f = *state;
	struct uapi_encl *first = f->encl;
	struct adder adder = { .f = f, .at_arg = AT_ARG2, .nr_pages = 1 };
	pthread_t thread;

	assert_int_equal(do_create(f), 0);
	atomic_store(&f->hold_source, true);
	assert_int_equal(pthread_create(&thread, NULL, adder_main, &adder), 0);
	while (!atomic_load(&f->source_held))
		sched_yield();

	fixture_open(f);
	assert_int_equal(do_create(f), 0);
	fixture_close(f);

	atomic_store(&f->hold_source, false);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(adder.ret, 0);
	f->encl = first;
	assert_counters(f);
}

struct mapper {
	struct uapi_encl *encl;
	atomic_bool stop;
	bool odd_result;
};

static void *mapper_main(void *arg)
{
	struct mapper *m = arg;

	while (!atomic_load(&m->stop)) {
		const int ret = uapi_encl_may_map(m->encl, ENCL_BASE, ENCL_BASE + ENCL_SIZE, 7,
						  false);

		m->odd_result |= ret != 0 && ret != -EACCES;
		sched_yield();
	}
	return NULL;
}

static void threads_share_an_enclave(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 30; round++) {
		struct adder adders[2] = {
			{ .f = f, .at_arg = AT_ARG, .first = 0, .step = 2, .nr_pages = 11, .retry = true },
			{ .f = f, .at_arg = AT_ARG2, .first = 1, .step = 2, .nr_pages = 11, .retry = true },
		};
		struct mapper mapper = { .encl = f->encl };
		pthread_t threads[3];

		pthread_create(&threads[2], NULL, mapper_main, &mapper);
		assert_int_equal(do_create(f), 0);
		pthread_create(&threads[0], NULL, adder_main, &adders[0]);
		pthread_create(&threads[1], NULL, adder_main, &adders[1]);
		pthread_join(threads[0], NULL);
		pthread_join(threads[1], NULL);
		assert_int_equal(do_init(f), 0);
		atomic_store(&mapper.stop, true);
		pthread_join(threads[2], NULL);

		assert_int_equal(adders[0].ret, 0);
		assert_int_equal(adders[1].ret, 0);
		assert_false(mapper.odd_result);
		assert_int_equal(f->added, 22 * (round + 1));
		assert_int_equal(uapi_encl_may_map(f->encl, ENCL_BASE, ENCL_BASE + PAGE, 7, false),
				 -EACCES);
		assert_counters(f);
		fixture_close(f);
		fixture_open(f);
	}
}

#define test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_those_of_linux),
		test(unknown_commands_are_refused_in_every_state),
		test(probing_for_sgx2_needs_no_argument),
		test(with_sgx2_the_enclave_is_asked_before_the_argument),
		test(a_second_ioctl_is_refused_while_one_runs),
		test(another_file_is_not_refused),
		test(threads_share_an_enclave),
	};

	return cmocka_run_group_tests_name("ioctl", tests, NULL, NULL);
}
