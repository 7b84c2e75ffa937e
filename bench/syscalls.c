/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What `swsgx run` costs a program while it is outside of enclaves: system calls by
 * libc, some of which our client stands in front of, against the same in a program
 * started by itself; and again on a thread that has been inside an enclave.
 *
 * usage: syscalls [--json FILE] [--rounds N]
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"
#include "self.h"
#include "timing.h"

#define MAX_RATIO 1.01
#define CALLS 500u
#define REPEATS 40u

extern char **environ;

/* --- the calls ------------------------------------------------------------------ */

static int zero_fd, null_fd;

static void call_getppid(void)
{
	getppid();
}

static void call_read(void)
{
	char buf[64];

	if (read(zero_fd, buf, sizeof(buf)) != sizeof(buf))
		abort();
}

static void call_write(void)
{
	if (write(null_fd, "text", 4) != 4)
		abort();
}

static void call_open(void)
{
	const int fd = openat(AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || close(fd))
		abort();
}

static void call_stat(void)
{
	struct stat st;

	if (stat("/etc/passwd", &st))
		abort();
}

static void call_fstat(void)
{
	struct stat st;

	if (fstat(zero_fd, &st))
		abort();
}

static void ignore(int sig)
{
}

static void call_sigaction(void)
{
	const struct sigaction action = { .sa_handler = ignore };

	if (sigaction(SIGUSR1, &action, NULL))
		abort();
}

static void call_sigprocmask(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL) || sigprocmask(SIG_UNBLOCK, &set, NULL))
		abort();
}

static void call_mmap(void)
{
	void *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || munmap(p, 65536))
		abort();
}

static void call_signal(void)
{
	if (raise(SIGUSR1))
		abort();
}

static const struct kind {
	const char *name, *key;
	void (*call)(void);
} kinds[] = {
	{ "getppid", "getppid", call_getppid },
	{ "read", "read", call_read },
	{ "write", "write", call_write },
	{ "openat, close", "open", call_open },
	{ "stat", "stat", call_stat },
	{ "fstat", "fstat", call_fstat },
	{ "sigaction", "sigaction", call_sigaction },
	{ "sigprocmask, twice", "sigprocmask", call_sigprocmask },
	{ "mmap, munmap", "mmap", call_mmap },
	{ "a signal and its handler", "signal", call_signal },
};

#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))
#define NR_CALLS (NR_KINDS - 1)	/* the signal is more than a call */

/* --- one process that makes them ------------------------------------------------ */

/* Least of all repeats, per call, which come in turns; to standard output, as doubles. */
static int work(void)
{
	double ns[NR_KINDS];

	zero_fd = open("/dev/zero", O_RDONLY);
	null_fd = open("/dev/null", O_WRONLY);
	call_sigaction();
	for (size_t i = 0; i < REPEATS; i++) {
		for (size_t kind = 0; kind < NR_KINDS; kind++) {
			const double start = now_ns();
			double each;

			for (unsigned int n = 0; n < CALLS; n++)
				kinds[kind].call();
			each = (now_ns() - start) / CALLS;
			ns[kind] = i && ns[kind] < each ? ns[kind] : each;
		}
	}
	return write(STDOUT_FILENO, ns, sizeof(ns)) != sizeof(ns);
}

static int enter_and_work(void)
{
	struct test_encl encl;
	int ret;

	if (test_encl_build(&encl, &(struct test_config){ 0 }))
		return 1;
	test_enter(&encl, 0, NULL);
	ret = work();
	test_encl_free(&encl);
	return ret;
}

/* --- all of them ------------------------------------------------------------------ */

enum way { BARE, UNDER, ENTERED, NR_WAYS };

static const char *const way_keys[NR_WAYS] = { "bare", "under_swsgx", "entered" };

static char self[PATH_MAX], command[COMMAND_MAX];

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void run(enum way way, double ns[NR_KINDS])
{
	char *const args[NR_WAYS][6] = {
		[BARE] = { self, text("work") },
		[UNDER] = { command, text("run"), self, text("work") },
		[ENTERED] = { command, text("run"), self, text("enter") },
	};
	posix_spawn_file_actions_t actions;
	int out[2], status;
	ssize_t n;
	pid_t pid;

	if (pipe(out) || posix_spawn_file_actions_init(&actions) ||
	    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO) ||
	    posix_spawn(&pid, args[way][0], &actions, NULL, args[way], environ)) {
		perror("syscalls");
		exit(1);
	}
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	n = read(out[0], ns, NR_KINDS * sizeof(*ns));
	close(out[0]);
	if (waitpid(pid, &status, 0) < 0 || status || n != (ssize_t)(NR_KINDS * sizeof(*ns))) {
		fprintf(stderr, "syscalls: %s failed\n", way_keys[way]);
		exit(1);
	}
}

static double sum(const double ns[NR_KINDS])
{
	double all = 0;

	for (size_t kind = 0; kind < NR_CALLS; kind++)
		all += ns[kind];
	return all;
}

static void print_row(const char *name, double bare, double under, double entered)
{
	printf("%-28s %8.0f %10.0f %6.3f %10.0f %6.3f\n", name, bare, under, under / bare, entered,
	       entered / bare);
}

static int report(double ns[NR_WAYS][NR_KINDS], const char *json)
{
	const double bare = sum(ns[BARE]), under = sum(ns[UNDER]), entered = sum(ns[ENTERED]);
	FILE *f;

	printf("%-28s %8s %10s %6s %10s %6s\n", "least disturbed round, ns", "bare", "swsgx run",
	       "ratio", "was inside", "ratio");
	for (size_t kind = 0; kind < NR_KINDS; kind++)
		print_row(kinds[kind].name, ns[BARE][kind], ns[UNDER][kind], ns[ENTERED][kind]);
	print_row("one of each call", bare, under, entered);
	printf("(goal for one of each call under swsgx run: <= %.2f)\n", MAX_RATIO);
	if (!json)
		return 0;
	f = fopen(json, "w");
	if (!f) {
		perror(json);
		return 1;
	}
	fprintf(f, "{ ");
	for (size_t kind = 0; kind < NR_KINDS; kind++)
		for (int way = 0; way < NR_WAYS; way++)
			fprintf(f, "\"%s_%s_ns\": %.1f, ", kinds[kind].key, way_keys[way],
				ns[way][kind]);
	fprintf(f, "\"ratio\": %.4f, \"goal\": %.2f, \"entered_ratio\": %.4f }\n", under / bare,
		MAX_RATIO, entered / bare);
	return fclose(f);
}

int main(int argc, char **argv)
{
	double least_ns[NR_WAYS][NR_KINDS], ns[NR_KINDS];
	const char *json = NULL;
	size_t rounds = 15;

	if (argc == 2)
		return strcmp(argv[1], "enter") ? work() : enter_and_work();
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--json"))
			json = argv[i + 1];
		else if (!strcmp(argv[i], "--rounds"))
			rounds = strtoul(argv[i + 1], NULL, 0);
	}
	if (!rounds)
		return 2;
	find_command(command, self);
	for (size_t i = 0; i < rounds; i++) {
		for (int way = 0; way < NR_WAYS; way++) {
			run((enum way)way, ns);
			for (size_t kind = 0; kind < NR_KINDS; kind++)
				if (!i || ns[kind] < least_ns[way][kind])
					least_ns[way][kind] = ns[kind];
		}
	}
	return report(least_ns, json);
}
