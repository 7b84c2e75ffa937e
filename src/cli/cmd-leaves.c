/* SPDX-License-Identifier: BSD-3-Clause */
/* swsgx leaves: what the processor can execute, and how each leaf can end. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include <swsgx/isa.h>

#include "cli.h"

static const char usage[] =
	"Usage: swsgx leaves [--json]\n"
	"\n"
	"Lists the leaf functions of ENCLS, ENCLU and ENCLV: class, number, name, the\n"
	"feature it comes with, the operands in RBX, RCX and RDX, and every way it can\n"
	"end.  A code in RAX stands with the flag that it comes with.\n"
	"\n"
	"  --json          as JSON\n"
	"  -h, --help      this text\n";

struct options {
	bool json, help;
};

static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longopts[] = {
		{ "json", no_argument, NULL, OPT_JSON },
		{ "help", no_argument, NULL, OPT_HELP },
		{ 0 },
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", longopts, NULL)) != -1) {
		switch (c) {
		case OPT_JSON:
			o->json = true;
			break;
		case 'h':
		case OPT_HELP:
			o->help = true;
			return 0;
		default:
			return complain_option(c, argv, argv[0]);
		}
	}
	if (optind == argc)
		return 0;
	complain("'%s' is too much; see 'swsgx leaves --help'", argv[optind]);
	return EXIT_USAGE;
}

static const char *kind_name(enum isa_outcome_kind kind)
{
	switch (kind) {
	case ISA_DONE:
		return "done";
	case ISA_ERROR:
		return "error";
	case ISA_INFO:
		return "information";
	case ISA_FAULT:
		return "fault";
	case ISA_VMEXIT:
		return "exit";
	}
	return "?";
}

/* --- text ------------------------------------------------------------------------ */

static void show_results(const struct isa_leaf_info *leaf)
{
	for (size_t i = 0; i < leaf->nr_results; i++) {
		const uint32_t result = leaf->results[i];
		const enum isa_outcome_kind kind = isa_result_kind(result);

		printf("%s%s%s", i ? ", " : "", isa_result_name(result),
		       kind == ISA_ERROR ? " (ZF)" : kind == ISA_INFO ? " (CF)" : "");
	}
	putchar('\n');
}

static const char *operand(const char *name)
{
	return strcmp(name, "NONE") ? name : "-";
}

static void show_text(void)
{
	const struct isa_leaf_info *leaf;

	for (size_t i = 0; (leaf = isa_leaf_at(i)); i++) {
		printf("%s %02xh %-14s %-14s %-15s %-10s %-10s ", isa_class_name(leaf->class),
		       leaf->number, leaf->name, leaf->gate, operand(leaf->operand[0]),
		       operand(leaf->operand[1]), operand(leaf->operand[2]));
		show_results(leaf);
	}
}

/* --- JSON; NULL when memory ran out ------------------------------------------------ */

static json_t *json_of_result(uint32_t result)
{
	const enum isa_outcome_kind kind = isa_result_kind(result);

	if (kind == ISA_ERROR || kind == ISA_INFO)
		return json_pack("{ss ss si}", "kind", kind_name(kind), "name",
				 isa_result_name(result), "code", (int)(result & 0xffff));
	return json_pack("{ss ss}", "kind", kind_name(kind), "name", isa_result_name(result));
}

static json_t *json_of_leaf(const struct isa_leaf_info *leaf)
{
	json_t *results = json_array();

	for (size_t i = 0; i < leaf->nr_results; i++)
		if (json_array_append_new(results, json_of_result(leaf->results[i]))) {
			json_decref(results);
			return NULL;
		}
	/* Takes the results, and fails without them. */
	return json_pack("{ss si ss ss s{ss ss ss} sb so}", "class", isa_class_name(leaf->class),
			 "number", (int)leaf->number, "name", leaf->name, "gate", leaf->gate,
			 "operands", "rbx", leaf->operand[0], "rcx", leaf->operand[1], "rdx",
			 leaf->operand[2], "reports_status", leaf->reports_status, "results",
			 results);
}

static json_t *json_of_leaves(void)
{
	const struct isa_leaf_info *leaf;
	json_t *leaves = json_array();

	for (size_t i = 0; (leaf = isa_leaf_at(i)); i++)
		if (json_array_append_new(leaves, json_of_leaf(leaf))) {
			json_decref(leaves);
			return NULL;
		}
	return json_pack("{so}", "leaves", leaves);
}

static bool show_json(void)
{
	json_t *json = json_of_leaves();
	const bool shown = json && !json_dumpf(json, stdout, JSON_INDENT(2));

	if (json)
		putchar('\n');
	json_decref(json);
	return shown;
}

int cmd_leaves(int argc, char **argv)
{
	struct options o = { 0 };
	const int ret = parse_options(argc, argv, &o);
	bool shown = true;

	if (ret)
		return ret;
	if (o.help)
		fputs(usage, stdout);
	else if (o.json)
		shown = show_json();
	else
		show_text();
	if (shown && !fflush(stdout) && !ferror(stdout))
		return 0;
	complain("cannot write the table");
	return 1;
}
