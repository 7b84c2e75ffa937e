/* SPDX-License-Identifier: BSD-3-Clause */
/* swsgx: find the command and run it. */
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
	"  run [--epc SIZE] [--profile NAME] [--] PROGRAM [ARGS...]\n"
	"          run PROGRAM on a machine of its own\n"
	"\n"
	"  -h, --help     this text; 'swsgx run --help' tells more\n"
	"  -V, --version  the version\n";

void complain(const char *format, ...)
{
	char line[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "swsgx: %s\n", line);
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
	if (!strcmp(command, "run"))
		return cmd_run(argc - 1, argv + 1);
	complain("'%s' is not a command; see 'swsgx --help'", command);
	return EXIT_USAGE;
}
