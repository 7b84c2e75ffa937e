/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rules as people write them.  What is refused is refused with its place: the
 * column is that of the text, counted from 1.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <swsgx/inject.h>

/* A piece of the text, not terminated. */
struct word {
	const char *at;
	size_t len;
};

struct parser {
	const char *text, *at;
	char *why;
	size_t size;
	struct inject_rule rule;
	bool has_outcome;
	unsigned int seen;	/* options, by their index */
};

__attribute__((format(printf, 3, 4)))
static bool refuse(const struct parser *p, const char *at, const char *format, ...)
{
	const int n = snprintf(p->why, p->size, "column %zu: ", (size_t)(at - p->text) + 1);
	va_list args;

	if (n < 0 || (size_t)n >= p->size)
		return false;
	va_start(args, format);
	vsnprintf(p->why + n, p->size - (size_t)n, format, args);
	va_end(args);
	return false;
}

static bool is(struct word word, const char *name)
{
	return strlen(name) == word.len && !memcmp(word.at, name, word.len);
}

/* Up to one of @ends or the end of the text. */
static struct word take_word(struct parser *p, const char *ends)
{
	const struct word word = { p->at, strcspn(p->at, ends) };

	p->at += word.len;
	return word;
}

/* For a message: %.*s with a length that fits the line. */
#define SHOW(word) (int)((word).len < 40 ? (word).len : 40), (word).at

/* --- the leaf ------------------------------------------------------------------ */

#define NR(array) (sizeof(array) / sizeof((array)[0]))

/* Entry and exit happen in the program, where no processor is asked. */
static bool runs_in_the_program(const struct isa_leaf_info *leaf)
{
	static const char *const names[] = { "EENTER", "ERESUME", "EEXIT", "EDECCSSA" };

	for (size_t i = 0; i < NR(names); i++)
		if (!strcmp(leaf->name, names[i]))
			return true;
	return false;
}

static const struct isa_leaf_info *parse_leaf(struct parser *p)
{
	const struct word word = take_word(p, ":,=");
	const struct isa_leaf_info *leaf;

	for (size_t i = 0; (leaf = isa_leaf_at(i)); i++) {
		if (!is(word, leaf->name))
			continue;
		if (!runs_in_the_program(leaf))
			return leaf;
		refuse(p, word.at, "%s is executed in the program and cannot be made to fail",
		       leaf->name);
		return NULL;
	}
	refuse(p, word.at, "'%.*s' is no leaf of this processor", SHOW(word));
	return NULL;
}

/* --- the options ---------------------------------------------------------------- */

static bool parse_number(struct parser *p, struct word value, uint64_t least, uint64_t *out)
{
	uint64_t n = 0;

	for (size_t i = 0; i < value.len; i++) {
		const unsigned int digit = (unsigned int)(value.at[i] - '0');

		if (digit > 9)
			return refuse(p, value.at, "'%.*s' is not a number", SHOW(value));
		if (__builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, digit, &n))
			return refuse(p, value.at, "'%.*s' is too large", SHOW(value));
	}
	if (!value.len)
		return refuse(p, value.at, "a number is missing");
	if (n < least)
		return refuse(p, value.at, "the least is %u", (unsigned int)least);
	*out = n;
	return true;
}

/* With the flag that goes with it; a code the leaf never returns by itself comes with ZF. */
static struct isa_outcome outcome_with(const struct isa_leaf_info *leaf, enum sgx_error code)
{
	struct isa_outcome out = { .kind = ISA_ERROR, .code = code };

	for (size_t i = 0; i < leaf->nr_results; i++)
		if (leaf->results[i] == ISA_RESULT(ISA_INFO, code))
			out.kind = ISA_INFO;
	return out;
}

static bool parse_code(struct parser *p, const struct isa_leaf_info *leaf, struct word value)
{
	static const struct {
		const char *name;
		enum sgx_error code;
	} codes[] = {
#define ERR(name_, ...) { #name_, name_ },
#include <swsgx/errors.def>
#undef ERR
	};

	if (!leaf->reports_status)
		return refuse(p, value.at, "%s returns no code, it can only fault", leaf->name);
	for (size_t i = 0; i < NR(codes); i++) {
		if (!is(value, codes[i].name))
			continue;
		if (codes[i].code == SGX_SUCCESS)
			return refuse(p, value.at, "SGX_SUCCESS is no failure");
		/* The one code that says the leaf did its work. */
		if (codes[i].code == SGX_VA_SLOT_OCCUPIED)
			return refuse(p, value.at, "with %s the page is evicted all the same, and "
				      "an injected failure does nothing", codes[i].name);
		p->rule.outcome = outcome_with(leaf, codes[i].code);
		return true;
	}
	return refuse(p, value.at, "'%.*s' is no error code", SHOW(value));
}

static bool parse_fault(struct parser *p, struct word value)
{
	struct isa_outcome *out = &p->rule.outcome;

	*out = (struct isa_outcome){ .kind = ISA_FAULT, .vector = X86_GP };
	if (is(value, "GP"))
		return true;
	if (!is(value, "PF"))
		return refuse(p, value.at, "'%.*s' is neither GP nor PF", SHOW(value));
	out->vector = X86_PF;
	out->error_code = PFEC_P | PFEC_W | PFEC_SGX;
	return true;
}

static bool parse_from(struct parser *p, struct word value)
{
	p->rule.from_boot = true;
	return is(value, "boot") ||
	       refuse(p, value.at, "'%.*s' is not boot", SHOW(value));
}

enum option { NTH, EVERY, CODE, FAULT, FROM, SEED, NR_OPTIONS };

static const char *const option_names[] = { "nth", "every", "code", "fault", "from", "seed" };

_Static_assert(NR(option_names) == NR_OPTIONS, "a name for each");

static enum option find_option(struct word name)
{
	unsigned int i = 0;

	while (i < NR_OPTIONS && !is(name, option_names[i]))
		i++;
	return i;
}

static bool parse_value(struct parser *p, const struct isa_leaf_info *leaf, enum option option,
			struct word value)
{
	switch (option) {
	case NTH:
		return parse_number(p, value, 1, &p->rule.nth);
	case EVERY:
		return parse_number(p, value, 1, &p->rule.every);
	case CODE:
		return parse_code(p, leaf, value);
	case FAULT:
		return parse_fault(p, value);
	case FROM:
		return parse_from(p, value);
	case SEED:
	default:
		p->rule.is_random = true;
		return parse_number(p, value, 0, &p->rule.seed);
	}
}

static bool parse_option(struct parser *p, const struct isa_leaf_info *leaf)
{
	const struct word name = take_word(p, "=,");
	const enum option option = find_option(name);
	struct word value;

	if (option == NR_OPTIONS)
		return refuse(p, name.at, "'%.*s' is none of nth, every, code, fault, from, seed",
			      SHOW(name));
	if (p->seen & 1u << option)
		return refuse(p, name.at, "%s is given twice", option_names[option]);
	p->seen |= 1u << option;
	if (*p->at != '=')
		return refuse(p, p->at, "'=' and a value are missing after %s",
			      option_names[option]);
	p->at++;
	value = take_word(p, ",");
	return parse_value(p, leaf, option, value);
}

static bool parse_options(struct parser *p, const struct isa_leaf_info *leaf)
{
	const char *const end = p->text + strlen(p->text);

	if (*p->at != ':')
		return refuse(p, p->at, "':' is missing after %s", leaf->name);
	do {
		p->at++;
		if (!parse_option(p, leaf))
			return false;
	} while (*p->at == ',');

	if (!(p->seen & 1u << NTH))
		return refuse(p, end, "nth is missing");
	if ((p->seen & 1u << CODE) && (p->seen & 1u << FAULT))
		return refuse(p, end, "a leaf cannot both return a code and fault");
	if ((p->seen & 1u << SEED) && !(p->seen & 1u << EVERY))
		return refuse(p, end, "seed needs every, the mean distance");
	return true;
}

bool inject_add(struct inject_plan *plan, const char *text, char *why, size_t size)
{
	struct parser p = { .text = text, .at = text, .why = why, .size = size };
	const size_t len = strlen(text);
	const struct isa_leaf_info *leaf;

	if (plan->nr_rules == INJECT_MAX_RULES)
		return refuse(&p, text, "more than %u rules", INJECT_MAX_RULES);
	if (len >= INJECT_TEXT_MAX)
		return refuse(&p, text + INJECT_TEXT_MAX, "longer than any rule");
	p.rule.outcome = (struct isa_outcome){ .kind = ISA_FAULT, .vector = X86_GP };
	leaf = parse_leaf(&p);
	if (!leaf || !parse_options(&p, leaf))
		return false;
	memcpy(p.rule.text, text, len);
	p.rule.class = leaf->class;
	p.rule.leaf = leaf->number;
	plan->rules[plan->nr_rules++] = p.rule;
	return true;
}
