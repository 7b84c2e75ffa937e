/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * swsgx run: a machine of its own for one program and its children.
 *
 * The program takes this process's place, so its status, its signals and its
 * process number are what its parent sees.  The server is nobody's child, in a
 * session of its own, and ends when nobody is left.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <swsgx/isa.h>

#include "cli.h"

#define MAX_EPC (1ull << 40)

static const char usage[] =
	"Usage: swsgx run [OPTIONS] [--] PROGRAM [ARGS...]\n"
	"\n"
	"Runs PROGRAM, unchanged and dynamically linked, on a machine with SGX that is\n"
	"all software and ends with it.  No secret in an enclave is protected.\n"
	"\n"
	"  --epc SIZE      size of the enclave page cache, in bytes or with K, M, G, T;\n"
	"                  a multiple of 4096 (default: what the profile comes with)\n"
	"  --profile NAME  the processor; 'help' lists them\n"
	"  -h, --help      this text\n"
	"\n"
	"Exit status: PROGRAM's; 126 it cannot be run, 127 it is not there, 2 bad usage,\n"
	"1 the machine could not be set up.\n";

struct options {
	uint64_t epc_size;	/* 0: the profile's */
	const struct isa_profile *profile;
	bool done;		/* nothing is to be run */
};

/* --- options --------------------------------------------------------------------- */

static int set_epc(struct options *o, const char *text)
{
	const char *why;

	if (!parse_size(text, &o->epc_size, &why)) {
		complain("EPC size '%s' is %s", text, why);
	} else if (!o->epc_size) {
		complain("EPC size '%s' is zero", text);
	} else if (o->epc_size % SGX_PAGE_SIZE) {
		complain("EPC size '%s' is not a multiple of the page, %u bytes", text,
			 SGX_PAGE_SIZE);
	} else if (o->epc_size > MAX_EPC) {
		complain("EPC size '%s' is more than the supported 1T", text);
	} else {
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

static int set_profile(struct options *o, const char *name)
{
	if (!strcmp(name, "help")) {
		list_profiles(stdout);
		o->done = true;
		return 0;
	}
	o->profile = isa_profile_find(name);
	if (o->profile)
		return 0;
	complain("there is no profile '%s'; 'swsgx run --profile help' lists them", name);
	return EXIT_USAGE;
}

static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longopts[] = {
		{ "epc", required_argument, NULL, 'e' },
		{ "profile", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c, ret = 0;

	opterr = 0;
	/* '+': the program's own options are not ours. */
	while (!ret && !o->done && (c = getopt_long(argc, argv, "+:h", longopts, NULL)) != -1) {
		switch (c) {
		case 'e':
			ret = set_epc(o, optarg);
			break;
		case 'p':
			ret = set_profile(o, optarg);
			break;
		case 'h':
			fputs(usage, stdout);
			o->done = true;
			break;
		case ':':
			complain("option '%s' needs a value", argv[optind - 1]);
			ret = EXIT_USAGE;
			break;
		default:
			complain("unknown option '%s'; see 'swsgx run --help'", argv[optind - 1]);
			ret = EXIT_USAGE;
		}
	}
	if (!ret && !o->done && optind == argc) {
		complain("no program to run; see 'swsgx run --help'");
		ret = EXIT_USAGE;
	}
	return ret;
}

/* --- the client -------------------------------------------------------------------- */

/* Beside the command in a build, in its own directory when installed. */
static bool find_client(char *path)
{
	static const char *const places[] = { "/libswsgx-client.so", SWSGX_CLIENT_FROM_BIN };
	char self[PATH_MAX];
	const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return false;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char try[2 * PATH_MAX];

		snprintf(try, sizeof(try), "%s%s", self, places[i]);
		if (realpath(try, path))
			return true;
	}
	return false;
}

static bool preload(const char *client)
{
	const char *others = getenv("LD_PRELOAD");
	char value[2 * PATH_MAX];

	/* The loader splits its list at both, and has no way to quote them. */
	if (strpbrk(client, ": ")) {
		complain("'%s' cannot be preloaded: there is a space or a colon in its path",
			 client);
		return false;
	}
	if (snprintf(value, sizeof(value), "%s%s%s", client, others ? ":" : "",
		     others ? others : "") >= (int)sizeof(value))
		return false;
	return setenv("LD_PRELOAD", value, 1) == 0;
}

int cmd_run(int argc, char **argv)
{
	struct options o = { .profile = isa_profile_at(0) };
	char path[PATH_MAX], client[PATH_MAX];
	int ret = parse_options(argc, argv, &o);

	if (ret || o.done)
		return ret;
	ret = program_check(argv[optind], path);
	if (ret)
		return ret;
	if (!find_client(client)) {
		complain("libswsgx-client.so is not where it belongs, beside this command");
		return 1;
	}
	if (!preload(client))
		return 1;
	if (!o.epc_size)
		o.epc_size = o.profile->epc_size;
	ret = start_server(&(struct server_config){ .epc_size = o.epc_size, .profile = o.profile });
	if (ret == -ENOMEM)
		complain("there is no memory for an EPC of %llu bytes",
			 (unsigned long long)o.epc_size);
	else if (ret)
		complain("cannot start the server: %s", strerror(-ret));
	if (ret)
		return 1;
	execv(path, argv + optind);
	complain("cannot run '%s': %s", path, strerror(errno));
	return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}
