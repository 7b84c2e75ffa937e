/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting the server of a program that is about to take this process's place.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

#define LIFELINE_FD 699

/* What the server says when it is up, or cannot be. */
struct ready {
	int error;		/* 0 or -errno */
	char name[PROTO_NAME_MAX];
};

/* What it needs of the descriptors it inherits. */
struct inherited {
	int program;		/* pidfd, -1 where there are none */
	int lifeline;		/* read end */
	int ready;		/* write end */
	int report;		/* write end, -1: no report */
};

void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static bool is_kept(const struct inherited *keep, int fd)
{
	return fd == keep->program || fd == keep->lifeline || fd == keep->ready ||
	       fd == keep->report;
}

/*
 * A descriptor of the caller's that stayed open here would keep its pipe from
 * ending and its lock from being released.
 */
static void close_all_but(const struct inherited *keep)
{
	const int max = (int)sysconf(_SC_OPEN_MAX);

	for (int fd = STDERR_FILENO + 1; fd < max; fd++) {
		int end = fd;

		while (end < max && !is_kept(keep, end))
			end++;
		/* Before Linux 5.9 one by one. */
		if (end > fd && syscall(SYS_close_range, fd, end - 1, 0) < 0)
			for (int i = fd; i < end; i++)
				close(i);
		fd = end;
	}
}

/* Leave the program's terminal; keep standard error, for what must be said. */
static void detach(const struct inherited *inherited)
{
	int null;

	setsid();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	prctl(PR_SET_NAME, "swsgx-server");
	close_all_but(inherited);
	raise_descriptor_limit();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		close(null);
	}
	if (chdir("/"))
		complain("the server keeps its working directory: %s", strerror(errno));
}

/* A byte for who waits for the report, if he still does. */
static void tell(int report)
{
	if (report >= 0 && write(report, "", 1) != 1)
		complain("nobody waits for the report: %s", strerror(errno));
}

static _Noreturn void serve(const struct server_config *config, const struct inherited *inherited)
{
	struct ready ready = { 0 };
	struct server *server;
	int ret;

	detach(inherited);
	ready.error = server_create(config, &server);
	if (!ready.error)
		strncpy(ready.name, server_name(server), sizeof(ready.name) - 1);
	if (write(inherited->ready, &ready, sizeof(ready)) != sizeof(ready) || ready.error)
		_exit(1);
	close(inherited->ready);
	tell(inherited->report);
	ret = server_run(server, &(struct server_needs){
		.program = inherited->program, .lifeline = inherited->lifeline, .stop = -1 });
	if (ret)
		complain("the server stopped: %s", strerror(-ret));
	if (inherited->report >= 0)
		report(server);
	tell(inherited->report);
	server_destroy(server);
	_exit(ret ? 1 : 0);
}

/* Would an orphan become a child of this very process? */
static bool adopts_orphans(void)
{
	int subreaper = 0;

	prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
	return getpid() == 1 || subreaper;
}

/*
 * Fork a process that is no child of the program that takes our place: its
 * wait() must not find one.  Where that cannot be had, at least a child that
 * wait() shows only to those who ask for all kinds.
 * Return: 0 in the new process; 1 or -errno here.
 */
static int fork_unseen(void)
{
	pid_t pid;
	int status;

	if (adopts_orphans()) {
		pid = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
		return pid < 0 ? -errno : pid != 0;
	}
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		pid = fork();
		if (pid)
			_exit(pid < 0 ? errno : 0);
		return 0;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 1 : -EAGAIN;
}

/* Out of the way of programs that count their descriptors, if there is room. */
static void move_up(int *fd)
{
	const int up = fcntl(*fd, F_DUPFD, LIFELINE_FD);

	if (up < 0)
		return;
	close(*fd);
	*fd = up;
}

void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static int wait_until_ready(int fd)
{
	struct ready ready;
	ssize_t n;

	do
		n = read(fd, &ready, sizeof(ready));
	while (n < 0 && errno == EINTR);
	if (n != sizeof(ready))
		return -ECHILD;
	if (ready.error)
		return ready.error;
	return setenv(PROTO_ENV, ready.name, 1) ? -errno : 0;
}

/*
 * The write end of the lifeline stays open here, and so in the program and its
 * children: the server hears when the last one is gone.
 */
int start_server(const struct server_config *config, int report)
{
	struct inherited inherited;
	int lifeline[2], ready[2], ret;

	fill_standard_descriptors();
	if (pipe(lifeline) < 0 || pipe2(ready, O_CLOEXEC) < 0)
		return -errno;
	move_up(&lifeline[1]);
	/* Before Linux 5.3, or where a sandbox forbids it, the lifeline must do. */
	inherited.program = (int)syscall(SYS_pidfd_open, getpid(), 0);
	inherited.lifeline = lifeline[0];
	inherited.ready = ready[1];
	inherited.report = report;
	ret = fork_unseen();
	if (ret == 0)
		serve(config, &inherited);
	close(ready[1]);
	if (ret > 0)
		ret = wait_until_ready(ready[0]);
	close(ready[0]);
	close(lifeline[0]);
	if (inherited.program >= 0)
		close(inherited.program);
	if (report >= 0)
		close(report);
	return ret;
}
