/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Staying behind as the program's parent, to end after the report: who reads our
 * standard error until we end has it whole.  Signals go through us to the
 * program, and its end becomes ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

static const int forwarded[] = {
	SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH,
};

static void watched_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
		sigaddset(set, forwarded[i]);
}

/* The wait status of @program, once it has one. */
static int await_end(pid_t program, const sigset_t *watched)
{
	for (;;) {
		siginfo_t info;
		const int sig = sigwaitinfo(watched, &info);
		int status;

		if (sig == SIGCHLD && waitpid(program, &status, WNOHANG) == program)
			return status;
		/* What a terminal sends, the program gets from there itself. */
		if (sig > 0 && sig != SIGCHLD && info.si_code <= 0)
			kill(program, sig);
	}
}

/* The program said what there was to say, in a core file perhaps. */
static void die_of(int sig)
{
	const struct rlimit none = { 0 };
	sigset_t set;

	setrlimit(RLIMIT_CORE, &none);
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
}

static bool read_byte(int fd)
{
	char byte;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	return n == 1;
}

/* A machine that never was has been complained about. */
static void await_report(int fd)
{
	if (read_byte(fd) && !read_byte(fd))
		complain("there is no report: the machine did not end in good order");
	close(fd);
}

static int stay_behind(pid_t program, int report, const sigset_t *watched, const sigset_t *old)
{
	const int status = await_end(program, watched);

	/* Children of the program's may keep the machine: do not wait at all costs. */
	sigprocmask(SIG_SETMASK, old, NULL);
	await_report(report);
	if (WIFSIGNALED(status))
		die_of(WTERMSIG(status));
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int wait_for_report(int *report)
{
	sigset_t watched, old;
	int fds[2], ret;
	pid_t pid;

	fill_standard_descriptors();
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	watched_signals(&watched);
	sigprocmask(SIG_BLOCK, &watched, &old);
	pid = fork();
	if (pid < 0) {
		ret = -errno;
		sigprocmask(SIG_SETMASK, &old, NULL);
		close(fds[0]);
		close(fds[1]);
		return ret;
	}
	if (pid == 0) {
		sigprocmask(SIG_SETMASK, &old, NULL);
		close(fds[0]);
		*report = fds[1];
		return 0;
	}
	/* Where it is ignored, there is no status to wait for. */
	signal(SIGCHLD, SIG_DFL);
	close(fds[1]);
	exit(stay_behind(pid, fds[0], &watched, &old));
}
