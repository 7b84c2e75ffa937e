/* SPDX-License-Identifier: BSD-3-Clause */
/* The machine a user asks for: options that run, serve and vm share. */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include <swsgx/isa.h>

#include "cli.h"

#define DEFAULT_EPC (64ull << 20)
#define MAX_EPC (1ull << 40)

void machine_options_init(struct machine_options *o)
{
	*o = (struct machine_options){
		.config = { .epc_size = DEFAULT_EPC, .profile = isa_profile_at(0) },
	};
}

static int set_epc(struct machine_options *o, const char *text)
{
	uint64_t size;
	const char *why;

	if (!parse_size(text, &size, &why)) {
		complain("EPC size '%s' is %s", text, why);
	} else if (!size) {
		complain("EPC size '%s' is zero", text);
	} else if (size % SGX_PAGE_SIZE) {
		complain("EPC size '%s' is not a multiple of the page, %u bytes", text,
			 SGX_PAGE_SIZE);
	} else if (size > MAX_EPC) {
		complain("EPC size '%s' is more than the supported 1T", text);
	} else {
		o->config.epc_size = size;
		return 0;
	}
	return EXIT_USAGE;
}

static void list_profiles(FILE *out)
{
	const struct isa_profile *profile;

	for (size_t i = 0; (profile = isa_profile_at(i)); i++)
		fprintf(out, "  %-14s %s%s\n", profile->name, profile->summary,
			i ? "" : " (default)");
}

static int set_profile(struct machine_options *o, const char *name)
{
	if (!strcmp(name, "help")) {
		list_profiles(stdout);
		o->done = true;
		return 0;
	}
	o->config.profile = isa_profile_find(name);
	if (o->config.profile)
		return 0;
	complain("there is no profile '%s'; 'swsgx run --profile help' lists them", name);
	return EXIT_USAGE;
}

static int add_rule(struct machine_options *o, const char *text)
{
	char why[160];

	if (!inject_add(&o->plan, text, why, sizeof(why))) {
		complain("injection rule '%s': %s", text, why);
		return EXIT_USAGE;
	}
	o->config.inject = &o->plan;
	return 0;
}

const char *on_leak_name(uint32_t on_leak)
{
	switch (on_leak) {
	case SGX_EPC_LEAK_CONTINUE: return "continue";
	case SGX_EPC_LEAK_REFUSE: return "refuse";
	case SGX_EPC_LEAK_ABORT: return "abort";
	}
	return "?";
}

static int set_on_leak(struct machine_options *o, const char *name)
{
	for (uint32_t i = SGX_EPC_LEAK_CONTINUE; i <= SGX_EPC_LEAK_ABORT; i++) {
		if (!strcmp(name, on_leak_name(i))) {
			o->config.on_leak = (enum sgx_epc_on_leak)i;
			return 0;
		}
	}
	complain("on a leak there is nothing like '%s': continue, refuse or abort", name);
	return EXIT_USAGE;
}

static int take_one(struct machine_options *o, int c, const char *value)
{
	o->given = true;
	switch (c) {
	case OPT_EPC:
		return set_epc(o, value);
	case OPT_PROFILE:
		return set_profile(o, value);
	case OPT_INJECT:
		return add_rule(o, value);
	case OPT_ON_LEAK:
		return set_on_leak(o, value);
	case OPT_NO_OVERCOMMIT:
		o->config.no_overcommit = true;
		return 0;
	case OPT_REPORT:
	default:
		o->report = true;
		return 0;
	}
}

int machine_options_take(struct machine_options *o, const struct machine_command *command,
			 int argc, char **argv)
{
	int c, ret = 0;

	opterr = 0;
	while (!ret && !o->done &&
	       (c = getopt_long(argc, argv, command->shortopts, command->longopts, NULL)) != -1) {
		if (c == 'h' || c == OPT_HELP) {
			fputs(command->usage, stdout);
			o->done = true;
		} else if (c == ':' || c == '?') {
			ret = complain_option(c, argv, command->name);
		} else if (!command->own || !command->own(command->ctx, c, optarg)) {
			ret = take_one(o, c, optarg);
		}
	}
	return ret;
}

void complain_server(const struct machine_options *o, int error)
{
	const struct server_config *config = &o->config;

	switch (error) {
	case -ENOMEM:
		complain("there is no memory for an EPC of %llu bytes",
			 (unsigned long long)config->epc_size);
		break;
	case -EINVAL:
		complain("a server cannot be called '%s'", config->name ? config->name : "");
		break;
	case -EADDRINUSE:
		complain("there is a server '%s' already", config->name);
		break;
	default:
		complain("cannot start the server: %s", strerror(-error));
	}
}
