/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counting for the report.  The counters begin in memory of our own; once the
 * process has an enclave, a page that all clients of the machine share takes
 * its place, at the same address.
 */
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "../server/control.h"

#include "client.h"
#include "counts.h"
#include "sys.h"

static union {
	struct counts_page page;
	uint8_t room[COUNTS_SIZE];
} counts __attribute__((aligned(COUNTS_SIZE)));

static bool attached;

void counts_place(enum count_place place)
{
	atomic_fetch_add_explicit(&counts.page.places[place], 1, memory_order_relaxed);
}

void counts_trap(unsigned int trap)
{
	atomic_fetch_add_explicit(&counts.page.traps[trap], 1, memory_order_relaxed);
}

void counts_enclu(uint32_t leaf)
{
	counts_trap(leaf < COUNT_NR_ENCLU ? COUNT_TRAP_ENCLU + leaf : COUNT_TRAP_NO_LEAF);
}

/* The page's descriptor; -1: it cannot be had. */
static int ask(int sock)
{
	const struct control_request req = { .magic = CONTROL_MAGIC, .op = CONTROL_COUNTS };
	struct control_reply reply;
	struct iovec iov = { &reply, sizeof(reply) };
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	int fd;

	if (sys_call6(SYS_sendto, sock, (long)&req, sizeof(req), MSG_NOSIGNAL, 0, 0) !=
		    (long)sizeof(req) ||
	    sys_call(SYS_recvmsg, sock, (long)&msg, MSG_CMSG_CLOEXEC, 0) != (long)sizeof(reply) ||
	    msg.msg_controllen < CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&fd, CMSG_DATA(&control.align), sizeof(fd));
	return fd;
}

static void take_page(int fd)
{
	const struct counts_page before = counts.page;

	if (sys_is_error(sys_mmap(&counts, COUNTS_SIZE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, fd, 0)))
		return;
	for (size_t i = 0; i < COUNT_NR_PLACES; i++)
		atomic_fetch_add_explicit(&counts.page.places[i], before.places[i], memory_order_relaxed);
	for (size_t i = 0; i < COUNT_NR_TRAPS; i++)
		atomic_fetch_add_explicit(&counts.page.traps[i], before.traps[i], memory_order_relaxed);
}

void counts_attach(void)
{
	int sock, fd;

	if (__atomic_exchange_n(&attached, true, __ATOMIC_ACQ_REL))
		return;
	sock = client_connect_socket(PROTO_CONTROL, true);
	if (sock < 0)
		return;
	fd = ask(sock);
	if (fd >= 0) {
		take_page(fd);
		sys_close(fd);
	}
	sys_close(sock);
}
