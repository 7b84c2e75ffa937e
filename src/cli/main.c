/* SPDX-License-Identifier: BSD-3-Clause */
/* swsgx: find the command and run it. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const char usage[] =
	"Usage: swsgx COMMAND [ARGS...]\n"
	"\n"
	"Runs unmodified Intel SGX programs on machines without SGX.\n"
	"It is a development and test platform: it protects no secrets.\n"
	"\n"
	"Commands:\n"
	"  run     run a program on a machine of its own\n"
	"  serve   keep a machine for many programs\n"
	"  stat    print the counters of a running machine\n"
	"  leaks   print which EPC pages leaked there, and how\n"
	"  health  tell by the exit status how it is: 0 ok, 1 degraded, 2 failing\n"
	"  vm      boot a virtual machine whose processor has SGX\n"
	"  leaves  list the leaf functions and how each can end\n"
	"\n"
	"  -h, --help     this text; 'swsgx COMMAND --help' tells more\n"
	"  -V, --version  the version\n";

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "run", cmd_run },
	{ "serve", cmd_serve },
	{ "stat", cmd_stat },
	{ "leaks", cmd_leaks },
	{ "health", cmd_health },
	{ "leaves", cmd_leaves },
	{ "vm", cmd_vm },
};

void complain(const char *format, ...)
{
	char line[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "swsgx: %s\n", line);
}

int complain_option(int c, char **argv, const char *command)
{
	if (c == ':')
		complain("option '%s' needs a value", argv[optind - 1]);
	else if (optopt >= OPT_HELP)
		complain("option '%s' takes no value", argv[optind - 1]);
	else if (optopt)
		complain("unknown option '-%c'; see 'swsgx %s --help'", optopt, command);
	else
		complain("unknown option '%s'; see 'swsgx %s --help'", argv[optind - 1], command);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : NULL;

	if (!command) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(command, "-h") || !strcmp(command, "--help") || !strcmp(command, "help")) {
		fputs(usage, stdout);
		return 0;
	}
	if (!strcmp(command, "-V") || !strcmp(command, "--version")) {
		puts("swsgx " SWSGX_VERSION);
		return 0;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(command, commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	complain("'%s' is not a command; see 'swsgx --help'", command);
	return EXIT_USAGE;
}
