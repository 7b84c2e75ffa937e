/* SPDX-License-Identifier: BSD-3-Clause */
/* swsgx stat, leaks and health: looking at a server that runs. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

struct look {
	const char *usage;
	int trouble;		/* exit status when there is no answer */
	/* The exit status; -ENOMEM; -1 after a complaint. */
	int (*show)(int sock, const char *name, bool json);
};

struct options {
	const char *server;
	bool json, help;
};

static int parse_options(int argc, char **argv, const char *usage, struct options *o)
{
	static const struct option longopts[] = {
		{ "json", no_argument, NULL, OPT_JSON },
		{ "server", required_argument, NULL, OPT_SERVER },
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
		case OPT_SERVER:
			o->server = optarg;
			break;
		case 'h':
		case OPT_HELP:
			fputs(usage, stdout);
			o->help = true;
			return 0;
		default:
			return complain_option(c, argv, argv[0]);
		}
	}
	if (optind == argc)
		return 0;
	complain("'%s' is too much; see 'swsgx %s --help'", argv[optind], argv[0]);
	return EXIT_USAGE;
}

static int run(int argc, char **argv, const struct look *look)
{
	struct options o = { 0 };
	char name[PROTO_NAME_MAX];
	int ret = parse_options(argc, argv, look->usage, &o), sock;

	if (ret)
		return look->trouble == EXIT_NO_ANSWER ? EXIT_NO_ANSWER : ret;
	if (o.help)
		return 0;
	sock = ask_find(o.server, name);
	if (sock < 0)
		return look->trouble;
	ret = look->show(sock, name, o.json);
	close(sock);
	if (fflush(stdout) || ferror(stdout)) {
		complain("cannot write the answer");
		return look->trouble;
	}
	if (ret == -ENOMEM)
		complain("out of memory");
	return ret < 0 ? look->trouble : ret;
}

#define OPTIONS									\
	"  --json          as JSON\n"						\
	"  --server NAME   which server; without it the one of $SWSGX_SERVER, else the\n" \
	"                  only one of yours that runs\n"			\
	"  -h, --help      this text\n"

/* --- stat ------------------------------------------------------------------------------- */

static int stat_show(int sock, const char *name, bool json)
{
	struct control_stat stat;

	if (!ask_stat(sock, &stat))
		return -1;
	if (json)
		return json_stat(stdout, name, &stat) ? 0 : -ENOMEM;
	show_stat(stdout, "", name, &stat);
	return 0;
}

int cmd_stat(int argc, char **argv)
{
	return run(argc, argv, &(struct look){
		.usage = "Usage: swsgx stat [--json] [--server NAME]\n"
			 "\n"
			 "Prints the counters of a running server: EPC pages, paging, enclaves, ioctls,\n"
			 "injected failures, instructions that were replaced, and what trapped.\n"
			 "\n"
			 OPTIONS
			 "\n"
			 "Exit status: 0; 1 no server answers, 2 bad usage.\n",
		.trouble = 1,
		.show = stat_show,
	});
}

/* --- leaks ------------------------------------------------------------------------------- */

/* Calls @each for all rows; its false ends the walk.  Return: false after a complaint, or then. */
static bool for_each_leak(int sock, bool (*each)(void *ctx, const struct control_leak *leak),
			  void *ctx)
{
	struct control_leak rows[CONTROL_LEAKS_AT_ONCE];
	uint64_t first = 0;
	int n;

	while ((n = ask_leaks(sock, first, rows)) > 0) {
		for (int i = 0; i < n; i++)
			if (!each(ctx, &rows[i]))
				return false;
		first += (uint64_t)n;
	}
	return n == 0;
}

static bool print_row(void *nr, const struct control_leak *leak)
{
	++*(size_t *)nr;
	show_leak(stdout, "", leak);
	return true;
}

static bool add_row(void *leaks, const struct control_leak *leak)
{
	return json_leaks_add(leaks, leak);
}

/* All rows or none: a part would pass for the whole. */
static int leaks_show_json(int sock, const char *name)
{
	struct json_leaks leaks;

	if (!json_leaks_begin(&leaks))
		return -ENOMEM;
	if (!for_each_leak(sock, add_row, &leaks)) {
		const bool has_rows = leaks.rows;

		json_leaks_drop(&leaks);
		return has_rows ? -1 : -ENOMEM;
	}
	return json_leaks_end(&leaks, name, stdout) ? 0 : -ENOMEM;
}

static int leaks_show(int sock, const char *name, bool json)
{
	size_t nr = 0;

	if (json)
		return leaks_show_json(sock, name);
	if (!for_each_leak(sock, print_row, &nr))
		return -1;
	if (!nr)
		puts("no page has leaked");
	return 0;
}

int cmd_leaks(int argc, char **argv)
{
	return run(argc, argv, &(struct look){
		.usage = "Usage: swsgx leaks [--json] [--server NAME]\n"
			 "\n"
			 "Prints the leak ledger of a running server, one line for each leaked EPC page,\n"
			 "oldest first.  docs/epc-leaks.md says what it means and what to do.\n"
			 "\n"
			 OPTIONS
			 "\n"
			 "Exit status: 0, also when pages have leaked; 1 no server answers, 2 bad usage.\n",
		.trouble = 1,
		.show = leaks_show,
	});
}

/* --- health ------------------------------------------------------------------------------ */

static int health_show(int sock, const char *name, bool json)
{
	struct control_stat stat;

	if (!ask_stat(sock, &stat))
		return -1;
	if (json) {
		if (!json_health(stdout, name, &stat))
			return -ENOMEM;
	} else {
		show_health(stdout, &stat);
		putchar('\n');
	}
	return health_status(&stat);
}

int cmd_health(int argc, char **argv)
{
	return run(argc, argv, &(struct look){
		.usage = "Usage: swsgx health [--json] [--server NAME]\n"
			 "\n"
			 "Says how a running server is, in one word and in the exit status.\n"
			 "\n"
			 OPTIONS
			 "\n"
			 "Exit status: 0 ok; 1 degraded: EPC pages have leaked, or SECS pages of guests\n"
			 "are orphaned; 2 failing: because of leaks there are too few EPC pages left;\n"
			 "125 nobody could be asked.\n",
		.trouble = EXIT_NO_ANSWER,
		.show = health_show,
	});
}
