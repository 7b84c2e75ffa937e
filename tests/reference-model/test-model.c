/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs of random leaves through the model and the processor, each from its own
 * seed.  Runs of odd seeds are in a guest, with its VMM on one of the processors.
 *
 * usage: test-model [--seed N] [--runs N] [--steps N] [--report]
 *
 * TAP on standard output, a case a run.  A run that fails prints its last
 * steps; the seed in its name makes it happen again.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "drive.h"

struct options {
	uint64_t seed, nr_runs, nr_steps;
	bool report;
};

static uint64_t number(const char *text)
{
	char *end;
	const uint64_t n = strtoull(text, &end, 0);

	if (*end || end == text) {
		fprintf(stderr, "test-model: not a number: %s\n", text);
		exit(2);
	}
	return n;
}

static struct options parse(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "runs", required_argument, NULL, 'r' },
		{ "steps", required_argument, NULL, 'n' },
		{ "report", no_argument, NULL, 'v' },
		{ 0 },
	};
	struct options o = { .seed = 1, .nr_runs = 4, .nr_steps = 100000 };
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		switch (c) {
		case 's':
			o.seed = number(optarg);
			break;
		case 'r':
			o.nr_runs = number(optarg);
			break;
		case 'n':
			o.nr_steps = number(optarg);
			break;
		case 'v':
			o.report = true;
			break;
		default:
			exit(2);
		}
	return o;
}

static bool run(uint64_t seed, const struct options *o)
{
	struct world *w = world_create(seed, seed % 2);
	bool same;

	while (w->nr_steps < o->nr_steps && !w->differ)
		drive(w);
	same = !w->differ;
	if (o->report)
		world_report(w);
	world_destroy(w);
	return same;
}

int main(int argc, char **argv)
{
	const struct options o = parse(argc, argv);
	bool all = true;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%" PRIu64 "\n", o.nr_runs);
	for (uint64_t i = 0; i < o.nr_runs; i++) {
		const bool same = run(o.seed + i, &o);

		printf("%sok %" PRIu64 " - same_after_%" PRIu64 "_steps_from_seed_%" PRIu64 "\n",
		       same ? "" : "not ", i + 1, o.nr_steps, o.seed + i);
		all = all && same;
	}
	return all ? 0 : 1;
}
