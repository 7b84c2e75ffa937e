/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Answering who looks at the machine.  Nothing here waits, neither for a peer
 * nor for a call that is being served, so the event loop does it by itself.
 */
#include <asm/sgx.h>
#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "internal.h"

/* --- what there is to tell ------------------------------------------------------ */

static const struct {
	unsigned int cmd;
	const char *name;
} ioctls[] = {
	{ SGX_IOC_ENCLAVE_CREATE, "ENCLAVE_CREATE" },
	{ SGX_IOC_ENCLAVE_ADD_PAGES, "ENCLAVE_ADD_PAGES" },
	{ SGX_IOC_ENCLAVE_INIT, "ENCLAVE_INIT" },
	{ SGX_IOC_ENCLAVE_PROVISION, "ENCLAVE_PROVISION" },
	{ SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, "ENCLAVE_RESTRICT_PERMISSIONS" },
	{ SGX_IOC_ENCLAVE_MODIFY_TYPES, "ENCLAVE_MODIFY_TYPES" },
	{ SGX_IOC_ENCLAVE_REMOVE_PAGES, "ENCLAVE_REMOVE_PAGES" },
	{ SGX_IOC_VEPC_REMOVE_ALL, "VEPC_REMOVE_ALL" },
};

#define NR_KNOWN (sizeof(ioctls) / sizeof(ioctls[0]))

_Static_assert(NR_KNOWN < NR_IOCTL_COUNTS && NR_IOCTL_COUNTS <= CONTROL_MAX_IOCTLS,
	       "a counter for each and one for the others");

void control_count_ioctl(struct server *s, unsigned int cmd, bool failed)
{
	size_t i = 0;

	while (i < NR_KNOWN && ioctls[i].cmd != cmd)
		i++;
	atomic_fetch_add_explicit(&s->counts.ioctls[i].nr_calls, 1, memory_order_relaxed);
	if (failed)
		atomic_fetch_add_explicit(&s->counts.ioctls[i].nr_failed, 1,
					  memory_order_relaxed);
}

static void list_ioctls(const struct server *s, struct control_stat *stat)
{
	for (size_t i = 0; i <= NR_KNOWN; i++) {
		struct control_ioctl *one = &stat->ioctls[i];

		snprintf(one->name, sizeof(one->name), "%s",
			 i < NR_KNOWN ? ioctls[i].name : "unknown");
		one->nr_calls = atomic_load(&s->counts.ioctls[i].nr_calls);
		one->nr_failed = atomic_load(&s->counts.ioctls[i].nr_failed);
	}
	stat->nr_ioctls = NR_KNOWN + 1;
}

static void list_counts(const struct counts_page *counts, struct control_stat *stat)
{
	for (size_t i = 0; i < COUNT_NR_PLACES; i++)
		stat->places[i] = atomic_load(&counts->places[i]);
	for (size_t i = 0; i < COUNT_NR_TRAPS; i++)
		stat->traps[i] = atomic_load(&counts->traps[i]);
}

static void list_rules(const struct inject_plan *plan, struct control_stat *stat)
{
	for (size_t i = 0; plan && i < plan->nr_rules; i++) {
		const struct inject_rule *rule = &plan->rules[i];
		struct control_rule *one = &stat->rules[stat->nr_rules++];

		memcpy(one->text, rule->text, sizeof(one->text));
		one->nr_calls = atomic_load(&rule->nr_calls);
		one->nr_fired = atomic_load(&rule->nr_fired);
	}
}

void server_snapshot(const struct server *s, struct control_stat *stat)
{
	memset(stat, 0, sizeof(*stat));
	stat->epc = sgx_epc_stat_total(s->pool);
	sgx_epc_activity(s->pool, &stat->activity);
	stat->watermarks = sgx_epc_watermarks(s->pool);
	stat->health = sgx_epc_health(s->pool);
	stat->on_leak = s->on_leak;
	stat->nr_enclaves = atomic_load(&s->counts.nr_enclaves);
	stat->nr_enclaves_open = atomic_load(&s->counts.nr_enclaves_open);
	stat->started_ns = s->started_ns;
	stat->pid = getpid();
	list_counts(s->control.counts, stat);
	list_ioctls(s, stat);
	list_rules(s->inject, stat);
}

size_t server_leaks(const struct server *s, uint64_t first,
		    struct control_leak rows[CONTROL_LEAKS_AT_ONCE])
{
	struct sgx_epc_leak leaks[CONTROL_LEAKS_AT_ONCE];
	const size_t n = sgx_epc_leaks(s->pool, first, leaks, CONTROL_LEAKS_AT_ONCE);

	memset(rows, 0, n * sizeof(*rows));
	for (size_t i = 0; i < n; i++) {
		rows[i].pa = leaks[i].pa;
		rows[i].section = leaks[i].section;
		rows[i].node = leaks[i].node;
		rows[i].result = leaks[i].result;
		rows[i].epcm = leaks[i].epcm;
		rows[i].epcm_known = leaks[i].epcm_known;
		rows[i].owner = leaks[i].owner;
		rows[i].time_ns = leaks[i].time_ns;
		snprintf(rows[i].site, sizeof(rows[i].site), "%s", leaks[i].site);
	}
	return n;
}

/* --- one request ------------------------------------------------------------------ */

static int send_to(int sock, const struct msghdr *msg)
{
	/* Who asks and does not listen is not waited for. */
	return sendmsg(sock, msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int reply(int sock, int error, const void *data, size_t size, size_t nr)
{
	struct control_reply header = {
		.magic = CONTROL_MAGIC,
		.error = error,
		.nr = (uint32_t)nr,
	};
	struct iovec iov[2] = {
		{ &header, sizeof(header) },
		{ (void *)(uintptr_t)data, size * nr },
	};
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = nr ? 2 : 1 };

	return send_to(sock, &msg);
}

static int reply_counts(int sock, int fd)
{
	struct control_reply header = { .magic = CONTROL_MAGIC };
	struct iovec iov = { &header, sizeof(header) };
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	const struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return send_to(sock, &msg);
}

static int reply_stat(const struct server *s, int sock)
{
	struct control_stat stat;

	server_snapshot(s, &stat);
	return reply(sock, 0, &stat, sizeof(stat), 1);
}

static int reply_leaks(const struct server *s, int sock, uint64_t first)
{
	struct control_leak rows[CONTROL_LEAKS_AT_ONCE];
	const size_t n = server_leaks(s, first, rows);

	return reply(sock, 0, rows, sizeof(rows[0]), n);
}

static int reply_cpuid(const struct server *s, int sock, uint64_t leaf_and_subleaf)
{
	const uint32_t leaf = (uint32_t)(leaf_and_subleaf >> 32);
	const uint32_t subleaf = (uint32_t)leaf_and_subleaf;
	struct isa_cpuid regs;

	__cpuid_count(leaf, subleaf, regs.eax, regs.ebx, regs.ecx, regs.edx);
	isa_cpuid(s->processor.machine, leaf, subleaf, &regs);
	return reply(sock, 0, &regs, sizeof(regs), 1);
}

/* 0: answered, or nothing there yet; otherwise the connection is to end. */
static int answer(const struct server *s, int sock)
{
	struct control_request req;
	const ssize_t n = recv(sock, &req, sizeof(req), MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n != sizeof(req) || req.magic != CONTROL_MAGIC)
		return -EPROTO;
	switch (req.op) {
	case CONTROL_STAT:
		return reply_stat(s, sock);
	case CONTROL_LEAKS:
		return reply_leaks(s, sock, req.first);
	case CONTROL_CPUID:
		return reply_cpuid(s, sock, req.first);
	case CONTROL_COUNTS:
		return reply_counts(sock, s->control.counts_fd);
	default:
		return reply(sock, -EINVAL, NULL, 0, 0);
	}
}

/* --- connections -------------------------------------------------------------------- */

static int watch(const struct control *c, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void accept_one(struct server *s)
{
	struct control *c = &s->control;
	const int sock = server_accept(s, c->listener);

	if (sock < 0)
		return;
	if (!server_peer_is_ours(sock) || c->nr_connections == CONTROL_MAX_CONNECTIONS ||
	    watch(c, sock)) {
		close(sock);
		return;
	}
	c->socks[c->nr_connections++] = sock;
}

static void close_one(struct control *c, int sock)
{
	unsigned int i = 0;

	while (c->socks[i] != sock)
		i++;
	c->socks[i] = c->socks[--c->nr_connections];
	/* Closing is not enough where a fork has the socket, too. */
	epoll_ctl(c->epoll, EPOLL_CTL_DEL, sock, NULL);
	close(sock);
}

void control_handle(struct server *s)
{
	struct epoll_event event;

	if (epoll_wait(s->control.epoll, &event, 1, 0) <= 0)
		return;
	if (event.data.fd == s->control.listener)
		accept_one(s);
	else if (!(event.events & EPOLLIN) || answer(s, event.data.fd))
		close_one(&s->control, event.data.fd);
}

int control_open(struct control *c, int listener)
{
	void *map;

	c->listener = listener;
	c->counts_fd = memory_file("swsgx-counts", COUNTS_SIZE, &map);
	if (c->counts_fd < 0)
		return c->counts_fd;
	c->counts = map;
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	return c->epoll < 0 ? -errno : watch(c, listener);
}

void control_close(struct control *c)
{
	while (c->nr_connections)
		close(c->socks[--c->nr_connections]);
	if (c->counts) {
		munmap(c->counts, COUNTS_SIZE);
		close(c->counts_fd);
	}
	if (c->epoll >= 0)
		close(c->epoll);
	if (c->listener >= 0)
		close(c->listener);
}
