/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What `swsgx run` adds to the start and end of a program: `swsgx run true`
 * against `true`, in turns.
 *
 * usage: run [--json FILE] [--rounds N]
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "self.h"
#include "timing.h"

#define MAX_MORE_MS 15.0

extern char **environ;

static double run_ms(char *const argv[])
{
	const double start = now_ns();
	int status;
	pid_t pid;

	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) ||
	    waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "run: %s failed\n", argv[0]);
		exit(1);
	}
	return (now_ns() - start) / 1e6;
}

static void report(double with, double without, const char *json)
{
	const double more = with - without;
	FILE *f;

	printf("%-40s %8s\n", "median", "ms");
	printf("%-40s %8.2f\n", "swsgx run true", with);
	printf("%-40s %8.2f\n", "true", without);
	printf("%-40s %8.2f   (goal: < %.0f)\n", "more", more, MAX_MORE_MS);
	printf("%-40s %8.2f\n", "ratio", with / without);
	if (!json)
		return;
	f = fopen(json, "w");
	if (!f) {
		perror(json);
		exit(1);
	}
	fprintf(f, "{ \"swsgx_run_ms\": %.3f, \"true_ms\": %.3f, \"more_ms\": %.3f, "
		   "\"ratio\": %.3f, \"goal_ms\": %.1f }\n",
		with, without, more, with / without, MAX_MORE_MS);
	fclose(f);
}

int main(int argc, char **argv)
{
	char self[PATH_MAX], command[COMMAND_MAX];
	char *const plain[] = { (char *)"/bin/true", NULL };
	char *const under[] = { command, (char *)"run", (char *)"/bin/true", NULL };
	const char *json = NULL;
	size_t rounds = 101;
	double *with, *without;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--json"))
			json = argv[i + 1];
		else if (!strcmp(argv[i], "--rounds"))
			rounds = strtoul(argv[i + 1], NULL, 0);
	}
	with = calloc(rounds, sizeof(*with));
	without = calloc(rounds, sizeof(*without));
	if (!rounds || !with || !without)
		return 1;
	find_command(command, self);
	for (size_t i = 0; i < rounds; i++) {
		without[i] = run_ms(plain);
		with[i] = run_ms(under);
	}
	report(median(with, rounds), median(without, rounds), json);
	free(with);
	free(without);
	return 0;
}
