/* SPDX-License-Identifier: BSD-3-Clause */
/* Benches of the whole product: where the command is, and running under it. */
#ifndef SWSGX_BENCH_SELF_H
#define SWSGX_BENCH_SELF_H

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMAND_MAX (PATH_MAX + 16)

/* The command stands beside the directory this program is in. */
static inline void find_command(char command[COMMAND_MAX], char self[PATH_MAX])
{
	const ssize_t n = readlink("/proc/self/exe", self, PATH_MAX - 1);

	if (n <= 0) {
		perror("/proc/self/exe");
		exit(1);
	}
	self[n] = '\0';
	snprintf(command, COMMAND_MAX, "%.*s/../swsgx", (int)(strrchr(self, '/') - self), self);
}

/* Start again under swsgx, unless that is where we are. */
static inline void run_under_swsgx(const char *epc, int argc, char **argv)
{
	char self[PATH_MAX], command[COMMAND_MAX];
	char **args = calloc((size_t)argc + 6, sizeof(*args));

	if (getenv("SWSGX_SERVER"))
		return;
	find_command(command, self);
	if (!args)
		exit(1);
	args[0] = command;
	args[1] = (char *)"run";
	args[2] = (char *)"--epc";
	args[3] = (char *)(uintptr_t)epc;
	args[4] = self;
	memcpy(args + 5, argv + 1, (size_t)argc * sizeof(*argv));
	execv(command, args);
	perror(command);
	exit(1);
}

#endif /* SWSGX_BENCH_SELF_H */
