/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fault injection: which leaves are to fail, when and how.  A *plan* is filled
 * from texts a person wrote and then asked by the processor, through
 * isa_config.intercept, ahead of each leaf.  A leaf the plan answers for does
 * nothing at all: what the machine holds stays as it was.
 *
 *	LEAF:nth=N[,every=M][,code=NAME|fault=GP|PF][,from=boot][,seed=S]
 *
 *	LEAF	the manual's name, EREMOVE
 *	nth	the first call of LEAF that fails; 1 is the first
 *	every	after it, each M-th call fails too; without it only one does
 *	code	what the leaf returns in RAX, by the manual's name
 *	fault	the exception it raises; GP when neither is given
 *	from	calls count from power-on instead of from inject_start()
 *	seed	instead of each M-th call a random one in M, from nth on; the
 *		same S chooses the same calls
 *
 * The library allocates nothing and keeps no globals.
 */
#ifndef SWSGX_INJECT_H
#define SWSGX_INJECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <swsgx/isa.h>

#define INJECT_MAX_RULES 32u
#define INJECT_TEXT_MAX 128u

struct inject_rule {
	char text[INJECT_TEXT_MAX];	/* as it was given */
	enum isa_class class;
	uint32_t leaf;
	uint64_t nth;			/* >= 1 */
	uint64_t every;			/* 0: only the nth */
	uint64_t seed;
	bool is_random;			/* a seed was given */
	bool from_boot;
	struct isa_outcome outcome;	/* address of a #PF: of the call's RCX */
	_Atomic uint64_t nr_calls;	/* of the leaf, since counting began */
	_Atomic uint64_t nr_fired;
};

/* All zero is an empty plan that has not started. */
struct inject_plan {
	struct inject_rule rules[INJECT_MAX_RULES];
	size_t nr_rules;
	atomic_bool started;
};

/**
 * inject_add() - add the rule that @text describes.
 * @why, @size: on failure receive what is wrong and where, one line.
 * Context: before the plan is in use.
 * Return: false with @plan unchanged when @text is no rule, or there are
 * INJECT_MAX_RULES already.
 */
bool inject_add(struct inject_plan *plan, const char *text, char *why, size_t size);

/**
 * inject_start() - the program starts: rules without from=boot count from here.
 * Context: any thread.
 */
void inject_start(struct inject_plan *plan);

/**
 * inject_intercept() - is this call to fail?  For isa_config.intercept.
 * @plan: a struct inject_plan, as isa_config.intercept_ctx.
 * @out: set when the answer is yes.
 * Every rule for the leaf counts the call; the first one that is due answers.
 * Context: any thread; lock-free.  Calls that run in parallel are counted in
 * some order, each once.
 */
bool inject_intercept(void *plan, const struct isa_lp *lp, enum isa_class class, uint32_t leaf,
		      struct isa_outcome *out);

#endif /* SWSGX_INJECT_H */
