/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * swsgx serve: a machine that many programs share, until it is told to end.
 * Then it ends at once, as if its power were cut.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli.h"

static const char usage[] =
	"Usage: swsgx serve [OPTIONS]\n"
	"\n"
	"Keeps a machine with SGX that is all software, until SIGTERM, SIGINT or SIGHUP.\n"
	"Prints a line SWSGX_SERVER=NAME when programs can use it, with\n"
	"'swsgx run --server NAME PROGRAM'.  No secret in an enclave is protected.\n"
	"\n"
	"  --name NAME     what it is called: letters, digits, '.', '_' and '-', up to 47\n"
	"                  (default: a random name)\n"
	MACHINE_USAGE
	"  -h, --help      this text\n"
	"\n"
	"Exit status: 0; 1 the machine could not be set up, 2 bad usage.\n";

static bool own_option(void *ctx, int c, const char *value)
{
	struct machine_options *o = ctx;

	if (c != OPT_NAME)
		return false;
	o->config.name = value;
	return true;
}

static int parse_options(int argc, char **argv, struct machine_options *o)
{
	static const struct option longopts[] = {
		MACHINE_LONGOPTS,
		{ "name", required_argument, NULL, OPT_NAME },
		{ "help", no_argument, NULL, OPT_HELP },
		{ 0 },
	};
	const struct machine_command command = { "serve", usage, ":h", longopts, own_option, o };
	int ret = machine_options_take(o, &command, argc, argv);

	if (!ret && !o->done && optind < argc) {
		complain("'%s' is too much; see 'swsgx serve --help'", argv[optind]);
		ret = EXIT_USAGE;
	}
	return ret;
}

/* A descriptor that tells of the signals that end us, from here on; -1 or -errno. */
static int open_stop(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	/* In every thread: the workers begin after this. */
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int serve(struct server *s, const struct machine_options *o, int stop)
{
	int ret;

	printf(PROTO_ENV "=%s\n", server_name(s));
	if (fflush(stdout)) {
		complain("cannot say the name: %s", strerror(errno));
		return 1;
	}
	ret = server_run(s, &(struct server_needs){ -1, -1, stop });
	if (ret < 0)
		complain("the server stopped: %s", strerror(-ret));
	else if (o->report)
		report(s);
	return ret < 0 ? 1 : 0;
}

int cmd_serve(int argc, char **argv)
{
	static struct machine_options o;
	struct server *s;
	int ret, stop;

	machine_options_init(&o);
	ret = parse_options(argc, argv, &o);
	if (ret || o.done)
		return ret;
	fill_standard_descriptors();
	raise_descriptor_limit();
	stop = open_stop();
	ret = stop < 0 ? stop : server_create(&o.config, &s);
	if (ret) {
		complain_server(&o, ret);
		return ret == -EINVAL ? EXIT_USAGE : 1;
	}
	/* Calls may be running: there is nothing to take down in good order. */
	_exit(serve(s, &o, stop));
}
