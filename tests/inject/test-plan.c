/* SPDX-License-Identifier: BSD-3-Clause */
/* Which calls a plan answers for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include <swsgx/inject.h>

static struct inject_plan plan;

static void add(const char *text)
{
	char why[160];

	if (!inject_add(&plan, text, why, sizeof(why)))
		fail_msg("'%s': %s", text, why);
}

static void make(const char *text)
{
	memset(&plan, 0, sizeof(plan));
	add(text);
}

static bool ask(uint32_t leaf, struct isa_outcome *out)
{
	const struct isa_lp lp = { .rcx = 0x1234000 };

	return inject_intercept(&plan, &lp, ISA_ENCLS, leaf, out);
}

static bool eremove_fails(void)
{
	struct isa_outcome out;

	return ask(ISA_ENCLS_EREMOVE, &out);
}

/* One letter a call: f for a failure. */
static const char *history(unsigned int nr_calls)
{
	static char calls[1025];

	assert_in_range(nr_calls, 0, sizeof(calls) - 1);
	for (unsigned int i = 0; i < nr_calls; i++)
		calls[i] = eremove_fails() ? 'f' : '.';
	calls[nr_calls] = '\0';
	return calls;
}

static void an_empty_plan_lets_everything_pass(void **state)
{
	memset(&plan, 0, sizeof(plan));
	inject_start(&plan);
	assert_string_equal(history(5), ".....");
}

static void nth_fails_once(void **state)
{
	make("EREMOVE:nth=3");
	inject_start(&plan);
	assert_string_equal(history(8), "..f.....");
	assert_int_equal(plan.rules[0].nr_calls, 8);
	assert_int_equal(plan.rules[0].nr_fired, 1);
}

static void every_goes_on_from_the_nth(void **state)
{
	make("EREMOVE:nth=2,every=3");
	inject_start(&plan);
	assert_string_equal(history(9), ".f..f..f.");
	make("EREMOVE:nth=1,every=1");
	inject_start(&plan);
	assert_string_equal(history(3), "fff");
}

static void calls_before_the_start_do_not_count(void **state)
{
	make("EREMOVE:nth=2");
	assert_string_equal(history(4), "....");
	inject_start(&plan);
	assert_string_equal(history(4), ".f..");
}

static void from_boot_they_do(void **state)
{
	make("EREMOVE:nth=2,every=4,from=boot");
	assert_string_equal(history(4), ".f..");
	inject_start(&plan);
	assert_string_equal(history(4), ".f..");
}

static void other_leaves_do_not_count(void **state)
{
	const struct isa_lp lp = { 0 };
	struct isa_outcome out;

	make("EREMOVE:nth=1");
	inject_start(&plan);
	assert_false(ask(ISA_ENCLS_EADD, &out));
	/* The same number in the other class. */
	assert_false(inject_intercept(&plan, &lp, ISA_ENCLU, ISA_ENCLS_EREMOVE, &out));
	assert_int_equal(plan.rules[0].nr_calls, 0);
	assert_true(eremove_fails());
}

static void the_outcome_is_the_rules_own(void **state)
{
	struct isa_outcome out = { 0 };

	make("EREMOVE:nth=1,code=SGX_ENCLAVE_ACT");
	add("EADD:nth=1,fault=PF");
	inject_start(&plan);
	assert_true(ask(ISA_ENCLS_EREMOVE, &out));
	assert_int_equal(out.kind, ISA_ERROR);
	assert_int_equal(out.code, SGX_ENCLAVE_ACT);
	assert_true(ask(ISA_ENCLS_EADD, &out));
	assert_int_equal(out.kind, ISA_FAULT);
	assert_int_equal(out.vector, X86_PF);
	assert_int_equal(out.address, 0x1234000);
}

static void rules_for_one_leaf_count_alike_and_the_first_due_answers(void **state)
{
	struct isa_outcome out;

	make("EREMOVE:nth=2,fault=GP");
	add("EREMOVE:nth=2,code=SGX_ENCLAVE_ACT");
	add("EREMOVE:nth=3,code=SGX_CHILD_PRESENT");
	inject_start(&plan);
	assert_false(ask(ISA_ENCLS_EREMOVE, &out));
	assert_true(ask(ISA_ENCLS_EREMOVE, &out));
	assert_int_equal(out.kind, ISA_FAULT);
	assert_int_equal(plan.rules[1].nr_fired, 0);
	assert_true(ask(ISA_ENCLS_EREMOVE, &out));
	assert_int_equal(out.code, SGX_CHILD_PRESENT);
	assert_false(ask(ISA_ENCLS_EREMOVE, &out));
}

static void a_seed_chooses_the_same_calls_each_time(void **state)
{
	char first[1025];

	make("EREMOVE:nth=1,every=8,seed=7");
	inject_start(&plan);
	strcpy(first, history(1024));
	make("EREMOVE:nth=1,every=8,seed=7");
	inject_start(&plan);
	assert_string_equal(history(1024), first);
	make("EREMOVE:nth=1,every=8,seed=8");
	inject_start(&plan);
	assert_string_not_equal(history(1024), first);
}

/* The calls are fixed by the seed, so this cannot fail by chance. */
static void a_seed_chooses_one_in_every_on_average(void **state)
{
	make("EREMOVE:nth=1,every=8,seed=7");
	inject_start(&plan);
	history(1024);
	assert_in_range(plan.rules[0].nr_fired, 96, 160);
}

static void a_seed_chooses_none_before_the_nth(void **state)
{
	make("EREMOVE:nth=1000,every=2,seed=7");
	inject_start(&plan);
	history(999);
	assert_int_equal(plan.rules[0].nr_fired, 0);
	history(100);
	assert_int_not_equal(plan.rules[0].nr_fired, 0);
}

#define PER_THREAD 20000u

static void *call_often(void *arg)
{
	unsigned int *nr_failed = arg;

	for (unsigned int i = 0; i < PER_THREAD; i++)
		*nr_failed += eremove_fails();
	return NULL;
}

static void threads_are_counted_together(void **state)
{
	unsigned int nr_failed[2] = { 0 };
	pthread_t threads[2];

	make("EREMOVE:nth=10,every=10");
	inject_start(&plan);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, call_often, &nr_failed[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(nr_failed[0] + nr_failed[1], 2 * PER_THREAD / 10);
	assert_int_equal(plan.rules[0].nr_calls, 2 * PER_THREAD);
	assert_int_equal(plan.rules[0].nr_fired, 2 * PER_THREAD / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_plan_lets_everything_pass),
		cmocka_unit_test(nth_fails_once),
		cmocka_unit_test(every_goes_on_from_the_nth),
		cmocka_unit_test(calls_before_the_start_do_not_count),
		cmocka_unit_test(from_boot_they_do),
		cmocka_unit_test(other_leaves_do_not_count),
		cmocka_unit_test(the_outcome_is_the_rules_own),
		cmocka_unit_test(rules_for_one_leaf_count_alike_and_the_first_due_answers),
		cmocka_unit_test(a_seed_chooses_the_same_calls_each_time),
		cmocka_unit_test(a_seed_chooses_one_in_every_on_average),
		cmocka_unit_test(a_seed_chooses_none_before_the_nth),
		cmocka_unit_test(threads_are_counted_together),
	};

	return cmocka_run_group_tests_name("inject-plan", tests, NULL, NULL);
}
