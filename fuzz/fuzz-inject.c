/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libFuzzer harness: any text as an injection rule.  It is taken or refused with
 * one line that names a column of it; a rule that is taken is good to be asked.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude \
 *         fuzz/fuzz-inject.c src/inject/[a-z]*.c src/isa/leaves.c -o fuzz-inject
 *   ./fuzz-inject -max_len=160
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <swsgx/inject.h>

#define REQUIRE(x) do { if (!(x)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rule(struct inject_plan *plan)
{
	const struct inject_rule *rule = &plan->rules[0];
	const struct isa_lp lp = { 0 };
	struct isa_outcome out;

	REQUIRE(plan->nr_rules == 1 && rule->nth);
	inject_start(plan);
	for (int i = 0; i < 20; i++)
		if (inject_intercept(plan, &lp, rule->class, rule->leaf, &out))
			REQUIRE(out.kind != ISA_DONE);
	REQUIRE(rule->nr_calls == 20 && rule->nr_fired <= 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct inject_plan plan = { .nr_rules = 0 };
	char *text = malloc(size + 1), why[100] = "";
	unsigned int column;

	memcpy(text, data, size);
	text[size] = '\0';
	if (inject_add(&plan, text, why, sizeof(why))) {
		check_rule(&plan);
	} else {
		REQUIRE(plan.nr_rules == 0 && strlen(why) < sizeof(why));
		REQUIRE(sscanf(why, "column %u: ", &column) == 1);
		REQUIRE(column >= 1 && column <= strlen(text) + 1);
	}
	free(text);
	return 0;
}
