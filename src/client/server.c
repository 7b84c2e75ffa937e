/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Talking to the server: see proto.h.  The server asks for the program's memory
 * while it serves a call; every access goes through the kernel, so that a bad
 * pointer is EFAULT and not a fault of ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "client.h"
#include "source.h"
#include "sys.h"

static char server_name[PROTO_NAME_MAX];

void client_server_init(const char *name)
{
	strncpy(server_name, name, sizeof(server_name) - 1);
}

bool client_is_active(void)
{
	return server_name[0];
}

static socklen_t device_address(struct sockaddr_un *addr, const char *device)
{
	const char *const parts[] = { PROTO_PREFIX, server_name, device };
	char *at = addr->sun_path + 1;

	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		memcpy(at, parts[i], strlen(parts[i]));
		at += strlen(parts[i]);
	}
	return (socklen_t)(at - (char *)addr);
}

/*
 * An abstract name belongs to whoever took it first.  Enclaves are not handed to
 * another user who did; root goes where it is told to.
 */
static bool is_trusted(int fd)
{
	const long euid = sys_call(SYS_geteuid, 0, 0, 0, 0);
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (!euid)
		return true;
	return sys_call6(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, (long)&peer, (long)&len,
			 0) == 0 &&
	       (!peer.uid || peer.uid == (uid_t)euid);
}

int client_connect_socket(const char *name, bool cloexec)
{
	struct sockaddr_un addr;
	const socklen_t len = device_address(&addr, name);
	long fd = sys_call(SYS_socket, AF_UNIX, SOCK_SEQPACKET | (cloexec ? SOCK_CLOEXEC : 0), 0,
			   0);
	long ret;

	if (fd < 0)
		return (int)fd;
	ret = sys_call(SYS_connect, fd, (long)&addr, len, 0);
	if (ret < 0) {
		sys_close((int)fd);
		/* The machine is gone: as after the driver was unloaded. */
		return ret == -ECONNREFUSED ? -ENODEV : (int)ret;
	}
	if (!is_trusted((int)fd)) {
		sys_close((int)fd);
		return -ENODEV;
	}
	return (int)fd;
}

int client_connect(const char *device, bool cloexec)
{
	const int fd = client_connect_socket(device, cloexec);

	/* Calls have sockets of their own: a read must not wait for one here. */
	if (fd >= 0)
		sys_call(SYS_shutdown, fd, SHUT_RD, 0, 0);
	return fd;
}

static bool is_peer(const struct sockaddr_un *peer, socklen_t len, const char *device)
{
	struct sockaddr_un addr;

	return len == device_address(&addr, device) && !memcmp(peer, &addr, len);
}

const char *client_device_of(int fd)
{
	struct sockaddr_un peer;
	socklen_t len = sizeof(peer);

	if (!client_is_active() || fd < 0 ||
	    sys_call(SYS_getpeername, fd, (long)&peer, (long)&len, 0) < 0)
		return NULL;
	if (is_peer(&peer, len, PROTO_ENCLAVE))
		return PROTO_ENCLAVE;
	if (is_peer(&peer, len, PROTO_PROVISION))
		return PROTO_PROVISION;
	return is_peer(&peer, len, PROTO_VEPC) ? PROTO_VEPC : NULL;
}

/* --- the server's questions ------------------------------------------------- */

struct call {
	int reply;
	bool is_short;		/* the server answers at once */
	unsigned int handled;	/* client_signals_handled() when it began */
	int fds[PROTO_NR_FILES];	/* the server sent, -1 for none */
};

static long send_iov(int fd, struct iovec *iov, size_t n)
{
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };
	long ret;

	do
		ret = sys_call(SYS_sendmsg, fd, (long)&msg, MSG_NOSIGNAL, 0);
	while (ret == -EINTR);
	return ret;
}

/*
 * The reply socket of the ioctl that this thread waits for, until its server was told of
 * a signal; else -1.  Threads that share their storage tell nobody.
 */
static __thread int interruptible = -1;

void client_call_interrupt(void)
{
	const struct proto_data notice = { .interrupted = true, .is_notice = true };
	const int sock = interruptible;

	interruptible = -1;
	if (sock >= 0)
		sys_call6(SYS_sendto, sock, (long)&notice, sizeof(notice),
			  MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
}

void client_call_abandon(void)
{
	interruptible = -1;
}

/* Send @size bytes at @data, which may be anywhere; -EFAULT then, and nothing is sent. */
static long send_data(const struct call *call, int error, const void *data, uint32_t size)
{
	struct proto_data header = {
		.error = error,
		.size = size,
		.interrupted = client_signals_handled() != call->handled,
	};
	struct iovec iov[2] = {
		{ &header, sizeof(header) },
		{ (void *)(uintptr_t)data, size },
	};

	return send_iov(call->reply, iov, size ? 2 : 1);
}

static long send_memory(const struct call *call, uint64_t addr, uint32_t size, int error)
{
	return send_data(call, error, (const void *)(uintptr_t)addr, size);
}

static void answer(const struct call *call, int error)
{
	send_memory(call, 0, 0, error);
}

static void answer_copy_in(const struct call *call, const struct proto_frame *frame)
{
	if (send_memory(call, frame->addr, frame->size, 0) == -EFAULT)
		answer(call, EFAULT);
}

/* All pages that can be read, then the reason why the next one cannot. */
static long answer_source(const struct call *call, const struct proto_frame *frame)
{
	uint32_t size = frame->size;
	int error = source_check(frame->addr, &size);
	long ret;

	while ((ret = send_memory(call, frame->addr, size, error)) == -EFAULT) {
		size = (size - 1) & (uint32_t)SGX_PAGE_MASK;
		error = EFAULT;
	}
	return ret;
}

/*
 * Copy into the file, up to the end or the first page that cannot be read.  With an
 * error of the file's the server goes on in another way.
 */
static void answer_place(const struct call *call, const struct proto_frame *frame)
{
	uint32_t size = frame->size;
	int error = source_check(frame->addr, &size);
	uint64_t done = 0;

	while (done < size) {
		const long n = sys_call(SYS_pwrite64, call->fds[0], (long)(frame->addr + done),
					(long)(size - done), (long)(frame->base + done));

		if (n == -EINTR)
			continue;
		if (n <= 0) {
			error = n == -EFAULT ? EFAULT : 0;
			break;
		}
		done += (uint64_t)n;
	}
	send_data(call, error, &done, sizeof(done));
}

static long move_memory(bool write, void *ours, uint64_t addr, size_t n)
{
	const struct iovec local = { ours, n };
	const struct iovec remote = { (void *)(uintptr_t)addr, n };

	return sys_call6(write ? SYS_process_vm_writev : SYS_process_vm_readv,
			 sys_call(SYS_getpid, 0, 0, 0, 0), (long)&local, 1, (long)&remote, 1, 0);
}

/*
 * Two calls that no sandbox forbids, that need the memory, and leave it alone: the first
 * reads a set and then finds that there is nothing to do with it, the second writes a
 * byte, which is about to be overwritten.
 */
static bool is_there(uint64_t addr, bool write)
{
	if (write)
		return sys_call(SYS_getrandom, (long)addr, 1, 0, 0) == 1;
	return sys_call(SYS_rt_sigprocmask, -1, (long)(addr & ~7ull), 0, sizeof(uint64_t)) ==
	       -EINVAL;
}

bool client_copy(uint64_t addr, void *ours, size_t n, bool write)
{
	const long moved = move_memory(write, ours, addr, n);

	if (moved != -ENOSYS && moved != -EPERM)
		return moved == (long)n;
	for (uint64_t at = addr; at < addr + n; at = (at | (SGX_PAGE_SIZE - 1)) + 1)
		if (!is_there(at, write))
			return false;
	if (write)
		memcpy((void *)(uintptr_t)addr, ours, n);
	else
		memcpy(ours, (const void *)(uintptr_t)addr, n);
	return true;
}

bool client_send_ahead(struct proto_ahead *ahead, uint64_t addr, size_t n)
{
	ahead->addr = addr;
	ahead->size = n;
	if (!client_copy(addr, ahead->data, n, false))
		ahead->size = 0;
	return ahead->size;
}

static void answer_provision_fd(const struct call *call, const struct proto_frame *frame)
{
	const char *device = frame->addr <= INT32_MAX ? client_device_of((int)frame->addr) : NULL;

	answer(call, device && !strcmp(device, PROTO_PROVISION) ? 0 : EBADF);
}

static void answer_vepc_page(const struct call *call, const struct proto_frame *frame)
{
	struct proto_vepc_page page;
	const int error = client_vepc_page(frame->addr, frame->size, &page);

	if (error)
		answer(call, error);
	else
		send_data(call, 0, &page, sizeof(page));
}

/* --- one call ----------------------------------------------------------------- */

/* What came before is ours to close. */
static void take_fds(struct call *call, const struct cmsghdr *cmsg)
{
	const size_t size = cmsg->cmsg_len - CMSG_LEN(0);

	for (size_t i = 0; i < PROTO_NR_FILES; i++) {
		if (call->fds[i] >= 0)
			sys_close(call->fds[i]);
		call->fds[i] = -1;
	}
	memcpy(call->fds, CMSG_DATA(cmsg), size);
}

/* Looks before the thread sleeps: some thirty microseconds. */
#define LOOKS 100u
/* At most so many calls sleep at once after looking was in vain. */
#define MAX_SKIP 63u

/* Of all threads; how they meet in it does not matter. */
static _Atomic unsigned int in_vain, skip;

/*
 * What a short call has for an answer is there sooner than this thread would be awake,
 * if the server runs on another processor.  Where it does not, this is seldom tried.
 * Return: as recvmsg(); -EAGAIN when nothing came, or perhaps the end.
 */
static long look_for(const struct call *call, struct msghdr *msg)
{
	const unsigned int left = atomic_load_explicit(&skip, memory_order_relaxed);
	unsigned int n;

	if (left) {
		atomic_store_explicit(&skip, left - 1, memory_order_relaxed);
		return -EAGAIN;
	}
	for (unsigned int i = 0; i < LOOKS; i++) {
		const long ret = sys_call(SYS_recvmsg, call->reply, (long)msg,
					  MSG_CMSG_CLOEXEC | MSG_DONTWAIT, 0);

		if (ret != -EAGAIN) {
			atomic_store_explicit(&in_vain, 0, memory_order_relaxed);
			/*
			 * The kernel says that it is the end also when the last message
			 * came between its two looks; not to who waits.
			 */
			return ret ? ret : -EAGAIN;
		}
		__builtin_ia32_pause();
	}
	n = 2 * atomic_load_explicit(&in_vain, memory_order_relaxed) + 1;
	n = n < MAX_SKIP ? n : MAX_SKIP;
	atomic_store_explicit(&in_vain, n, memory_order_relaxed);
	atomic_store_explicit(&skip, n, memory_order_relaxed);
	return -EAGAIN;
}

static long receive_frame(struct call *call, struct proto_frame *frame, void *data, size_t size)
{
	struct iovec iov[2] = { { frame, sizeof(*frame) }, { data, size } };
	union {
		char buf[CMSG_SPACE(PROTO_NR_FILES * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg;
	long n;

	n = call->is_short ? look_for(call, &msg) : -EAGAIN;
	/* A server that left a notice unread has reset the connection, after all it had to say. */
	while (n == -EAGAIN || n == -EINTR || n == -ECONNRESET)
		n = sys_call(SYS_recvmsg, call->reply, (long)&msg, MSG_CMSG_CLOEXEC, 0);
	cmsg = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (cmsg && cmsg->cmsg_type == SCM_RIGHTS)
		take_fds(call, cmsg);
	return n;
}

static int serve_questions(struct call *call, struct proto_frame *done)
{
	uint8_t data[PROTO_COPY_OUT_MAX];

	while (receive_frame(call, done, data, sizeof(data)) >= (long)sizeof(*done)) {
		switch (done->kind) {
		case PROTO_COPY_IN:
			answer_copy_in(call, done);
			break;
		case PROTO_COPY_OUT:
			answer(call, client_copy(done->addr, data, done->size, true) ? 0 : EFAULT);
			break;
		case PROTO_SOURCE:
			answer_source(call, done);
			break;
		case PROTO_PLACE:
			answer_place(call, done);
			break;
		case PROTO_PROVISION_FD:
			answer_provision_fd(call, done);
			break;
		case PROTO_VEPC_PAGE:
			answer_vepc_page(call, done);
			break;
		case PROTO_DONE:
			if (done->size && !client_copy(done->addr, data, done->size, true))
				done->result = -EFAULT;
			return 0;
		}
	}
	return -ENODEV;
}

/* The caller's now, if it wants any. */
static void hand_out_fds(struct call *call, int *fds)
{
	for (size_t i = 0; i < PROTO_NR_FILES; i++) {
		if (fds)
			fds[i] = call->fds[i];
		else if (call->fds[i] >= 0)
			sys_close(call->fds[i]);
	}
}

/* @size bytes at @data, with one or two descriptors. */
static int send_with_fds(int sock, const void *data, size_t size, const int *fds, size_t nr_fds)
{
	struct iovec iov = { (void *)(uintptr_t)data, size };
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int)),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	long n;

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, nr_fds * sizeof(int));
	do
		n = sys_call(SYS_sendmsg, sock, (long)&msg, MSG_NOSIGNAL, 0);
	while (n == -EINTR);
	return n < 0 ? -ENODEV : 0;
}

static bool is_short(const struct proto_request *req)
{
	return req->op == PROTO_OP_ENCLU || req->op == PROTO_OP_FAULT ||
	       (req->source_size && req->source_size <= PROTO_SHORT_SOURCE);
}

/*
 * The source goes ahead, so that it is there when the server looks.  One message always
 * fits into a fresh socket, or never does: then the server has to ask for less.
 */
static int send_request(const struct call *call, int sock, const struct proto_request *req,
			int reply_end)
{
	const struct proto_frame source = { .addr = req->source_addr, .size = req->source_size };
	struct proto_request without = *req;

	if (req->source_size && answer_source(call, &source) < 0) {
		without.source_size = 0;
		req = &without;
	}
	return send_with_fds(sock, req, sizeof(*req), &reply_end, 1);
}

/* @sent, NULL for none, go to the server; @fds come from it. */
static int do_call(int sock, const struct proto_request *req, const int sent[2],
		   struct proto_frame *done, int *fds)
{
	struct call call = { .handled = client_signals_handled(), .is_short = is_short(req) };
	const int outer = interruptible;
	int pair[2], ret;

	for (size_t i = 0; i < PROTO_NR_FILES; i++) {
		call.fds[i] = -1;
		if (fds)
			fds[i] = -1;
	}
	ret = (int)sys_call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
			    (long)pair);
	if (ret < 0)
		return ret;
	if (req->op == PROTO_OP_IOCTL && !client_tls_is_shared())
		interruptible = pair[0];
	call.reply = pair[0];
	ret = send_request(&call, sock, req, pair[1]);
	/* Only the server's copy is left: if it dies, we hear of it. */
	sys_close(pair[1]);
	if (!ret && sent)
		ret = send_with_fds(call.reply, "", 1, sent, 2);
	if (!ret)
		ret = serve_questions(&call, done);
	interruptible = outer;
	hand_out_fds(&call, fds);
	sys_close(pair[0]);
	return ret;
}

int client_call(int sock, const struct proto_request *req, struct proto_frame *done,
		int fds[PROTO_NR_FILES])
{
	return do_call(sock, req, NULL, done, fds);
}

int client_call_sending(int sock, const struct proto_request *req, const int fds[2],
			struct proto_frame *done)
{
	return do_call(sock, req, fds, done, NULL);
}
