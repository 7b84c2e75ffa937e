/* SPDX-License-Identifier: BSD-3-Clause */
/* Which calls are due: counting, and nothing else that changes. */
#include <swsgx/inject.h>

void inject_start(struct inject_plan *plan)
{
	atomic_store(&plan->started, true);
}

/* Spreads every bit of @x over all; splitmix64's output function. */
static uint64_t scramble(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* Of the call's number alone, so that threads cannot change what is chosen. */
static bool is_due(const struct inject_rule *rule, uint64_t call)
{
	if (call < rule->nth)
		return false;
	if (!rule->every)
		return call == rule->nth;
	if (rule->is_random)
		return scramble(scramble(rule->seed) + call) % rule->every == 0;
	return (call - rule->nth) % rule->every == 0;
}

/* The manual's faults name an operand; of most leaves RCX is the EPC page. */
static struct isa_outcome outcome_of(const struct inject_rule *rule, const struct isa_lp *lp)
{
	struct isa_outcome out = rule->outcome;

	if (out.kind == ISA_FAULT && out.vector == X86_PF)
		out.address = lp->rcx;
	return out;
}

bool inject_intercept(void *ctx, const struct isa_lp *lp, enum isa_class class, uint32_t leaf,
		      struct isa_outcome *out)
{
	struct inject_plan *plan = ctx;
	const bool started = atomic_load_explicit(&plan->started, memory_order_relaxed);
	struct inject_rule *due = NULL;

	for (size_t i = 0; i < plan->nr_rules; i++) {
		struct inject_rule *rule = &plan->rules[i];

		if (rule->class != class || rule->leaf != leaf || !(started || rule->from_boot))
			continue;
		if (is_due(rule, atomic_fetch_add(&rule->nr_calls, 1) + 1) && !due)
			due = rule;
	}
	if (!due)
		return false;
	atomic_fetch_add(&due->nr_fired, 1);
	*out = outcome_of(due, lp);
	return true;
}
