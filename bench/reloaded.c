/* SPDX-License-Identifier: BSD-3-Clause */
/* The server's count of faults. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../src/server/control.h"
#include "../src/server/proto.h"
#include "reloaded.h"

static int connect_control(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	const int n = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1,
			       PROTO_PREFIX "%s" PROTO_CONTROL, getenv(PROTO_ENV));

	if (fd < 0 || connect(fd, (struct sockaddr *)&addr,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)))
		return -1;
	return fd;
}

uint64_t nr_reloaded(void)
{
	static const struct control_request req = { .magic = CONTROL_MAGIC, .op = CONTROL_STAT };
	static int control = -1;
	struct {
		struct control_reply reply;
		struct control_stat stat;
	} got = { 0 };

	if (control < 0)
		control = connect_control();
	if (control < 0 || send(control, &req, sizeof(req), 0) != sizeof(req) ||
	    recv(control, &got, sizeof(got), 0) != sizeof(got)) {
		perror("asking the server");
		exit(1);
	}
	return got.stat.activity.reloaded;
}
