/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules as texts: what each option says, and what is refused where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <swsgx/inject.h>

#define NR(array) (sizeof(array) / sizeof((array)[0]))

static struct inject_plan plan;
static char why[160];

static struct inject_rule *parse(const char *text)
{
	memset(&plan, 0, sizeof(plan));
	if (!inject_add(&plan, text, why, sizeof(why)))
		fail_msg("'%s' is refused: %s", text, why);
	assert_int_equal(plan.nr_rules, 1);
	return &plan.rules[0];
}

static void a_rule_names_its_leaf(void **state)
{
	const struct inject_rule *rule = parse("EREMOVE:nth=1");

	assert_int_equal(rule->class, ISA_ENCLS);
	assert_int_equal(rule->leaf, ISA_ENCLS_EREMOVE);
	assert_string_equal(rule->text, "EREMOVE:nth=1");
	rule = parse("EGETKEY:nth=1");
	assert_int_equal(rule->class, ISA_ENCLU);
	assert_int_equal(rule->leaf, ISA_ENCLU_EGETKEY);
}

static void without_a_word_it_is_one_general_protection_fault(void **state)
{
	const struct inject_rule *rule = parse("EADD:nth=7");

	assert_int_equal(rule->nth, 7);
	assert_int_equal(rule->every, 0);
	assert_false(rule->is_random);
	assert_false(rule->from_boot);
	assert_int_equal(rule->outcome.kind, ISA_FAULT);
	assert_int_equal(rule->outcome.vector, X86_GP);
	assert_int_equal(rule->outcome.error_code, 0);
}

static void options_come_in_any_order(void **state)
{
	const struct inject_rule *rule =
		parse("EREMOVE:seed=0,code=SGX_ENCLAVE_ACT,from=boot,every=3,nth=18446744073709551615");

	assert_true(rule->nth == UINT64_MAX);
	assert_int_equal(rule->every, 3);
	assert_true(rule->is_random);
	assert_int_equal(rule->seed, 0);
	assert_true(rule->from_boot);
	assert_int_equal(rule->outcome.kind, ISA_ERROR);
	assert_int_equal(rule->outcome.code, SGX_ENCLAVE_ACT);
}

static void faults_are_what_the_epcm_raises(void **state)
{
	const struct inject_rule *rule = parse("EREMOVE:nth=1,fault=PF");

	assert_int_equal(rule->outcome.kind, ISA_FAULT);
	assert_int_equal(rule->outcome.vector, X86_PF);
	assert_int_equal(rule->outcome.error_code, PFEC_P | PFEC_W | PFEC_SGX);
	assert_int_equal(parse("EREMOVE:nth=1,fault=GP")->outcome.vector, X86_GP);
}

static void every_code_of_the_manual_is_known(void **state)
{
	static const struct {
		const char *name;
		uint32_t code;
	} codes[] = {
#define ERR(name_, ...) { #name_, name_ },
#include <swsgx/errors.def>
#undef ERR
	};

	for (size_t i = 0; i < NR(codes); i++) {
		char text[INJECT_TEXT_MAX];

		/* No failure, and a success that says so. */
		if (codes[i].code == SGX_SUCCESS || codes[i].code == SGX_VA_SLOT_OCCUPIED)
			continue;
		snprintf(text, sizeof(text), "EREMOVE:nth=1,code=%s", codes[i].name);
		assert_int_equal(parse(text)->outcome.code, codes[i].code);
	}
}

/* What is wrong, and the column it is wrong at. */
static void refusals_name_what_and_where(void **state)
{
	static const struct {
		const char *text, *what;
		unsigned int column;
	} cases[] = {
		{ "", "'' is no leaf", 1 },
		{ "EREMOV:nth=1", "'EREMOV' is no leaf", 1 },
		{ "eremove:nth=1", "'eremove' is no leaf", 1 },
		{ " EREMOVE:nth=1", "is no leaf", 1 },
		{ "EENTER:nth=1", "executed in the program", 1 },
		{ "EEXIT:nth=1", "executed in the program", 1 },
		{ "EREMOVE", "':' is missing", 8 },
		{ "EREMOVE,nth=1", "':' is missing", 8 },
		{ "EREMOVE:", "'' is none of", 9 },
		{ "EREMOVE:nth", "'=' and a value are missing after nth", 12 },
		{ "EREMOVE:nth,every=1", "'=' and a value are missing after nth", 12 },
		{ "EREMOVE:nth=", "a number is missing", 13 },
		{ "EREMOVE:nth=x", "'x' is not a number", 13 },
		{ "EREMOVE:nth=-1", "'-1' is not a number", 13 },
		{ "EREMOVE:nth= 1", "' 1' is not a number", 13 },
		{ "EREMOVE:nth=1x", "'1x' is not a number", 13 },
		{ "EREMOVE:nth=0x1", "'0x1' is not a number", 13 },
		{ "EREMOVE:nth=1=2", "'1=2' is not a number", 13 },
		{ "EREMOVE:nth=0", "the least is 1", 13 },
		{ "EREMOVE:nth=18446744073709551616", "too large", 13 },
		{ "EREMOVE:nth=1,every=0", "the least is 1", 21 },
		{ "EREMOVE:nth=1,", "'' is none of", 15 },
		{ "EREMOVE:nth=1,,", "'' is none of", 15 },
		{ "EREMOVE:nth=1,often=2", "'often' is none of", 15 },
		{ "EREMOVE:nth=1,nth=2", "nth is given twice", 15 },
		{ "EREMOVE:every=2", "nth is missing", 16 },
		{ "EREMOVE:nth=1,code=", "'' is no error code", 20 },
		{ "EREMOVE:nth=1,code=14", "'14' is no error code", 20 },
		{ "EREMOVE:nth=1,code=ENCLAVE_ACT", "'ENCLAVE_ACT' is no error code", 20 },
		{ "EREMOVE:nth=1,code=SGX_SUCCESS", "no failure", 20 },
		{ "EREMOVE:nth=1,code=SGX_VA_SLOT_OCCUPIED", "evicted all the same", 20 },
		{ "EADD:nth=1,code=SGX_ENCLAVE_ACT", "EADD returns no code", 17 },
		{ "EREMOVE:nth=1,fault=UD", "'UD' is neither GP nor PF", 21 },
		{ "EREMOVE:nth=1,fault=#GP", "'#GP' is neither GP nor PF", 21 },
		{ "EREMOVE:nth=1,code=SGX_ENCLAVE_ACT,fault=GP", "cannot both", 44 },
		{ "EREMOVE:nth=1,from=start", "'start' is not boot", 20 },
		{ "EREMOVE:nth=1,seed=1", "seed needs every", 21 },
		{ "EREMOVE:nth=1,every=2,seed=", "a number is missing", 28 },
	};

	for (size_t i = 0; i < NR(cases); i++) {
		char column[32];

		memset(&plan, 0, sizeof(plan));
		if (inject_add(&plan, cases[i].text, why, sizeof(why)))
			fail_msg("'%s' is taken", cases[i].text);
		assert_int_equal(plan.nr_rules, 0);
		snprintf(column, sizeof(column), "column %u: ", cases[i].column);
		if (strncmp(why, column, strlen(column)) || !strstr(why, cases[i].what))
			fail_msg("'%s': %s", cases[i].text, why);
	}
}

static void long_texts_are_refused_and_quoted_in_part(void **state)
{
	char text[4 * INJECT_TEXT_MAX], little[8];

	memset(text, 'E', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	memset(&plan, 0, sizeof(plan));
	assert_false(inject_add(&plan, text, why, sizeof(why)));
	assert_non_null(strstr(why, "longer than any rule"));
	text[100] = '\0';
	assert_false(inject_add(&plan, text, why, sizeof(why)));
	assert_true(strlen(why) < 100);
	assert_false(inject_add(&plan, text, little, sizeof(little)));
	assert_string_equal(little, "column ");
}

static void so_many_rules_and_no_more(void **state)
{
	memset(&plan, 0, sizeof(plan));
	for (size_t i = 0; i < INJECT_MAX_RULES; i++)
		assert_true(inject_add(&plan, "EREMOVE:nth=1", why, sizeof(why)));
	assert_false(inject_add(&plan, "EREMOVE:nth=1", why, sizeof(why)));
	assert_non_null(strstr(why, "more than 32 rules"));
	assert_int_equal(plan.nr_rules, INJECT_MAX_RULES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_names_its_leaf),
		cmocka_unit_test(without_a_word_it_is_one_general_protection_fault),
		cmocka_unit_test(options_come_in_any_order),
		cmocka_unit_test(faults_are_what_the_epcm_raises),
		cmocka_unit_test(every_code_of_the_manual_is_known),
		cmocka_unit_test(refusals_name_what_and_where),
		cmocka_unit_test(long_texts_are_refused_and_quoted_in_part),
		cmocka_unit_test(so_many_rules_and_no_more),
	};

	return cmocka_run_group_tests_name("inject-parse", tests, NULL, NULL);
}
