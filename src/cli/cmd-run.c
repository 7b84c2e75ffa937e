/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * swsgx run: a machine of its own for one program and its children, or a place
 * on one that runs.
 *
 * The program takes this process's place, so its status, its signals and its
 * process number are what its parent sees.  The server is nobody's child, in a
 * session of its own, and ends when nobody is left.  Only with a report we stay,
 * as the program's parent, because nothing may follow our end.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const char usage[] =
	"Usage: swsgx run [OPTIONS] [--] PROGRAM [ARGS...]\n"
	"\n"
	"Runs PROGRAM, unchanged and dynamically linked, on a machine with SGX that is\n"
	"all software and ends with it.  No secret in an enclave is protected.\n"
	"\n"
	MACHINE_USAGE
	"  --server NAME   no machine of its own, but the one of that server, which keeps\n"
	"                  its own options\n"
	"  --no-vdso       no __vdso_sgx_enter_enclave: programs execute ENCLU themselves\n"
	"  --exact         every ENCLU traps, of enclaves and of PROGRAM, but for that of the vDSO;\n"
	"                  nothing is replaced for speed\n"
	"  -h, --help      this text\n"
	"\n"
	"Exit status: PROGRAM's; 126 it cannot be run, 127 it is not there, 2 bad usage,\n"
	"1 the machine could not be set up or reached.\n";

struct options {
	struct machine_options machine;
	const char *server;	/* NULL: a machine of its own */
	bool no_vdso;
	bool exact;
};

static bool own_option(void *ctx, int c, const char *value)
{
	struct options *o = ctx;

	switch (c) {
	case OPT_SERVER:
		o->server = value;
		return true;
	case OPT_NO_VDSO:
		o->no_vdso = true;
		return true;
	case OPT_EXACT:
		o->exact = true;
		return true;
	default:
		return false;
	}
}

static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longopts[] = {
		MACHINE_LONGOPTS,
		{ "server", required_argument, NULL, OPT_SERVER },
		{ "no-vdso", no_argument, NULL, OPT_NO_VDSO },
		{ "exact", no_argument, NULL, OPT_EXACT },
		{ "help", no_argument, NULL, OPT_HELP },
		{ 0 },
	};
	/* '+': the program's own options are not ours. */
	const struct machine_command run = { "run", usage, "+:h", longopts, own_option, o };
	const int ret = machine_options_take(&o->machine, &run, argc, argv);

	if (ret || o->machine.done)
		return ret;
	if (o->server && o->machine.given) {
		complain("with --server the machine is there already, and its options are its own");
		return EXIT_USAGE;
	}
	if (optind == argc) {
		complain("no program to run; see 'swsgx run --help'");
		return EXIT_USAGE;
	}
	return 0;
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

/* --- the machine --------------------------------------------------------------------- */

static int join_server(const char *wish)
{
	char name[PROTO_NAME_MAX];
	const int sock = ask_find(wish, name);

	if (sock < 0)
		return 1;
	close(sock);
	return setenv(PROTO_ENV, name, 1) ? 1 : 0;
}

static int start_own(const struct machine_options *o)
{
	int report = -1, ret = 0;

	if (o->report)
		ret = wait_for_report(&report);
	if (ret) {
		complain("cannot start the program: %s", strerror(-ret));
		return 1;
	}
	ret = start_server(&o->config, report);
	if (ret)
		complain_server(o, ret);
	return ret ? 1 : 0;
}

int cmd_run(int argc, char **argv)
{
	/* Not on the stack: the rules go along into the server. */
	static struct options o;
	char path[PATH_MAX], client[PATH_MAX];
	int ret;

	machine_options_init(&o.machine);
	ret = parse_options(argc, argv, &o);
	if (ret || o.machine.done)
		return ret;
	ret = program_check(argv[optind], path);
	if (ret)
		return ret;
	if (!find_client(client)) {
		complain("libswsgx-client.so is not where it belongs, beside this command");
		return 1;
	}
	if (!preload(client) || (o.no_vdso && setenv(PROTO_ENV_NO_VDSO, "1", 1)) ||
	    (o.exact && setenv(PROTO_ENV_EXACT, "1", 1)))
		return 1;
	ret = o.server ? join_server(o.server) : start_own(&o.machine);
	if (ret)
		return ret;
	execv(path, argv + optind);
	complain("cannot run '%s': %s", path, strerror(errno));
	return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}
