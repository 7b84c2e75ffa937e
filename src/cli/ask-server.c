/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding a server that runs, and asking it; see control.h.  Whoever runs one of
 * that name might not be our user: then it is not asked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli.h"

#define PATIENCE_S 5

/* --- one server -------------------------------------------------------------------- */

static int connect_to(const char *name)
{
	static const struct timeval patience = { .tv_sec = PATIENCE_S };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int n, ret;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	n = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, PROTO_PREFIX "%s" PROTO_CONTROL,
		     name);
	if (connect(fd, (struct sockaddr *)&addr,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/* Whose server is it? */
static uid_t user_of(int sock)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) ? (uid_t)-1 : peer.uid;
}

static bool is_trusted(int sock)
{
	const uid_t user = user_of(sock);

	return !geteuid() || !user || user == geteuid();
}

static int open_named(const char *name)
{
	const int sock = strlen(name) < PROTO_NAME_MAX ? connect_to(name) : -ECONNREFUSED;

	if (sock == -ECONNREFUSED) {
		complain("there is no server '%s'", name);
	} else if (sock < 0) {
		complain("cannot reach server '%s': %s", name, strerror(-sock));
	} else if (!is_trusted(sock)) {
		complain("server '%s' is another user's", name);
		close(sock);
	} else {
		return sock;
	}
	return -1;
}

/* --- all servers --------------------------------------------------------------------- */

#define MAX_LISTED 64

/* Listening sockets of servers; NULL when they cannot be listed. */
static FILE *open_list(void)
{
	return fopen("/proc/net/unix", "re");
}

/* The next server's name in the kernel's list of sockets. */
static bool next_name(FILE *list, char name[PROTO_NAME_MAX])
{
	static const char start[] = "@" PROTO_PREFIX, end[] = PROTO_CONTROL "\n";
	char line[512];

	while (fgets(line, sizeof(line), list)) {
		const char *at = strstr(line, start), *stop;

		stop = at ? strstr(at, end) : NULL;
		if (!stop)
			continue;
		at += sizeof(start) - 1;
		if (stop <= at || (size_t)(stop - at) >= PROTO_NAME_MAX)
			continue;
		memcpy(name, at, (size_t)(stop - at));
		name[stop - at] = '\0';
		return true;
	}
	return false;
}

struct found {
	char names[MAX_LISTED][PROTO_NAME_MAX];
	size_t nr;
	int sock;	/* of the first */
};

static bool is_listed(const struct found *f, const char *name)
{
	for (size_t i = 0; i < f->nr; i++)
		if (!strcmp(f->names[i], name))
			return true;
	return false;
}

/* Connections are listed beside the sockets they were accepted on. */
static bool find_own(struct found *f)
{
	FILE *list = open_list();
	char name[PROTO_NAME_MAX];

	*f = (struct found){ .sock = -1 };
	if (!list)
		return false;
	while (f->nr < MAX_LISTED && next_name(list, name)) {
		int sock = is_listed(f, name) ? -1 : connect_to(name);

		if (sock < 0)
			continue;
		if (user_of(sock) == geteuid()) {
			strcpy(f->names[f->nr++], name);
			if (f->sock < 0) {
				f->sock = sock;
				continue;
			}
		}
		close(sock);
	}
	fclose(list);
	return true;
}

static void complain_several(const struct found *f)
{
	char names[512] = "";

	for (size_t i = 0; i < f->nr; i++) {
		const size_t len = strlen(names);

		if (len + PROTO_NAME_MAX + 8 > sizeof(names)) {
			strcat(names, ", ...");
			break;
		}
		snprintf(names + len, sizeof(names) - len, "%s%s", i ? ", " : "", f->names[i]);
	}
	complain("%zu servers run, name one with --server: %s", f->nr, names);
}

static int open_only(char name[PROTO_NAME_MAX])
{
	struct found f;

	if (!find_own(&f)) {
		complain("cannot list servers: /proc/net/unix: %s; name one with --server",
			 strerror(errno));
		return -1;
	}
	if (f.nr == 1) {
		strcpy(name, f.names[0]);
		return f.sock;
	}
	if (f.sock >= 0)
		close(f.sock);
	if (f.nr)
		complain_several(&f);
	else
		complain("no server of yours runs; start one with 'swsgx serve'");
	return -1;
}

int ask_find(const char *wish, char name[PROTO_NAME_MAX])
{
	int sock;

	if (!wish)
		wish = getenv(PROTO_ENV);
	if (!wish || !*wish)
		return open_only(name);
	sock = open_named(wish);
	if (sock >= 0)
		strcpy(name, wish);
	return sock;
}

/* --- asking -------------------------------------------------------------------------------- */

/* Up to @max structures of @size bytes.  Return: how many came, or -errno. */
static int ask(int sock, uint32_t op, uint64_t first, void *dst, size_t size, size_t max)
{
	const struct control_request req = { .magic = CONTROL_MAGIC, .op = op, .first = first };
	struct control_reply reply;
	struct iovec iov[2] = { { &reply, sizeof(reply) }, { dst, size * max } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	if (send(sock, &req, sizeof(req), MSG_NOSIGNAL) < 0)
		return -errno;
	do
		n = recvmsg(sock, &msg, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (!n)
		return -ECONNRESET;
	if ((size_t)n < sizeof(reply) || (msg.msg_flags & MSG_TRUNC) ||
	    reply.magic != CONTROL_MAGIC || reply.nr > max ||
	    (size_t)n != sizeof(reply) + size * reply.nr)
		return -EPROTO;
	return reply.error ? reply.error : (int)reply.nr;
}

static void complain_answer(int error)
{
	if (error == -EPROTO || error == -EINVAL)
		complain("the server's answer makes no sense; is it of another version?");
	else if (error == -EAGAIN)
		complain("the server does not answer");
	else
		complain("the server is gone: %s", strerror(-error));
}

/* Texts end, whoever filled them. */
static void terminate(struct control_stat *stat)
{
	if (stat->nr_ioctls > CONTROL_MAX_IOCTLS)
		stat->nr_ioctls = CONTROL_MAX_IOCTLS;
	if (stat->nr_rules > INJECT_MAX_RULES)
		stat->nr_rules = INJECT_MAX_RULES;
	for (size_t i = 0; i < CONTROL_MAX_IOCTLS; i++)
		stat->ioctls[i].name[CONTROL_NAME_MAX - 1] = '\0';
	for (size_t i = 0; i < INJECT_MAX_RULES; i++)
		stat->rules[i].text[INJECT_TEXT_MAX - 1] = '\0';
}

bool ask_stat(int sock, struct control_stat *stat)
{
	const int n = ask(sock, CONTROL_STAT, 0, stat, sizeof(*stat), 1);

	if (n == 1) {
		terminate(stat);
		return true;
	}
	complain_answer(n < 0 ? n : -EPROTO);
	return false;
}

int ask_leaks(int sock, uint64_t first, struct control_leak rows[CONTROL_LEAKS_AT_ONCE])
{
	const int n = ask(sock, CONTROL_LEAKS, first, rows, sizeof(rows[0]), CONTROL_LEAKS_AT_ONCE);

	if (n < 0) {
		complain_answer(n);
		return -1;
	}
	for (int i = 0; i < n; i++)
		rows[i].site[CONTROL_NAME_MAX - 1] = '\0';
	return n;
}
