/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several threads in one enclave: each TCS lets one in at a time.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"

#define NR_THREADS 4
#define ROUNDS 50000000ull

static struct test_encl encl;

/* cmocka's assertions belong to the main thread; others report here. */
struct worker {
	pthread_t thread;
	unsigned int i;
	struct test_op op;
	struct sgx_enclave_run run;
	int ret;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	w->ret = test_call(&encl, test_tcs(&encl, w->i), ENCLU_EENTER, &w->op, &w->run);
	return NULL;
}

static void start(struct worker *w, unsigned int i, uint64_t kind, uint64_t value)
{
	*w = (struct worker){ .i = i, .op = { .kind = kind, .value = value } };
	assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

static void join(struct worker *w)
{
	assert_int_equal(pthread_join(w->thread, NULL), 0);
	assert_int_equal(w->ret, 0);
	assert_int_equal(w->run.function, ENCLU_EEXIT);
}

static void wait_until_inside(const struct worker *w)
{
	while (!w->op.started)
		sched_yield();
}

static void threads_compute_side_by_side(void **state)
{
	struct worker w[NR_THREADS];

	for (unsigned int i = 0; i < NR_THREADS; i++)
		start(&w[i], i, OP_COMPUTE, ROUNDS + i);
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		join(&w[i]);
		assert_int_equal(w[i].op.result, op_compute(ROUNDS + i));
		assert_int_equal(w[i].op.entry[R_FSBASE], (uintptr_t)encl.base +
				 ENCL_THREAD_OFFSET + i * ENCL_THREAD_SIZE);
	}
}

static void a_busy_tcs_refuses_a_second_thread(void **state)
{
	struct sgx_enclave_run run = { 0 };
	struct worker w;

	start(&w, 0, OP_SPIN, 0);
	wait_until_inside(&w);
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, NULL, &run), 0);
	w.op.flag = 1;
	join(&w);
	assert_int_equal(run.function, ENCLU_EENTER);
	assert_int_equal(run.exception_vector, VECTOR_GP);
	assert_int_equal(run.exception_error_code, 0);
	assert_int_equal(run.exception_addr, 0);
}

static void another_tcs_is_free_meanwhile(void **state)
{
	struct test_op put = { .kind = OP_PUT, .value = 5 }, get = { .kind = OP_GET };
	struct worker w;

	start(&w, 0, OP_SPIN, 0);
	wait_until_inside(&w);
	test_enter(&encl, 1, &put);
	test_enter(&encl, 1, &get);
	w.op.flag = 1;
	join(&w);
	assert_int_equal(get.result, 5);
}

static void a_tcs_left_by_one_thread_serves_another(void **state)
{
	struct worker w;

	for (unsigned int i = 0; i < 100; i++) {
		start(&w, 0, OP_COMPUTE, 1000);
		join(&w);
		assert_int_equal(w.op.result, op_compute(1000));
	}
}

static void *hammer(void *arg)
{
	struct worker *w = arg;

	for (unsigned int n = 0; n < 30000; n++) {
		w->op = (struct test_op){ .kind = OP_COMPUTE, .value = 10 + w->i };
		w->ret = test_call(&encl, test_tcs(&encl, w->i), ENCLU_EENTER, &w->op, &w->run);
		if (w->ret || w->run.function != ENCLU_EEXIT ||
		    w->op.result != op_compute(10 + w->i))
			break;
		w->op.result2 = n + 1;
	}
	return NULL;
}

static void four_threads_enter_at_full_speed(void **state)
{
	struct worker w[NR_THREADS];

	for (unsigned int i = 0; i < NR_THREADS; i++) {
		w[i] = (struct worker){ .i = i };
		assert_int_equal(pthread_create(&w[i].thread, NULL, hammer, &w[i]), 0);
	}
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		join(&w[i]);
		assert_int_equal(w[i].op.result2, 30000);
	}
}

static int setup(void **state)
{
	return test_encl_build(&encl, &(struct test_config){ .nr_threads = NR_THREADS });
}

static int teardown(void **state)
{
	test_encl_free(&encl);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_compute_side_by_side),
		cmocka_unit_test(a_busy_tcs_refuses_a_second_thread),
		cmocka_unit_test(another_tcs_is_free_meanwhile),
		cmocka_unit_test(a_tcs_left_by_one_thread_serves_another),
		cmocka_unit_test(four_threads_enter_at_full_speed),
	};

	return cmocka_run_group_tests_name("threads", tests, setup, teardown);
}
