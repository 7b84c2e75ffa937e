/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The event loop: new connections, requests, hang-ups, and the end of the
 * program the server is for.  It never waits for a client; calls that may have to
 * are served by the workers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

/* What an event is about: one of these tags, or a device. */
static const char tag_enclave, tag_provision, tag_vepc, tag_control, tag_program, tag_lifeline,
	tag_stop;

struct loop {
	struct server *s;
	unsigned int nr_open;	/* connections of either kind */
	bool program_gone, lifeline_gone;
	bool until_stopped, stopped;
	struct burst burst;
};

static int open_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int watch(struct server *s, int fd, const void *what)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = (void *)(uintptr_t)what };

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* An abstract socket has no permissions: only our own user may connect. */
bool server_peer_is_ours(int sock)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == geteuid() || peer.uid == 0);
}

/*
 * Out of descriptors, a connection would stay where it is, and the loop would
 * spin on it.  So it is taken with a descriptor kept for that, and refused.
 */
int server_accept(struct server *s, int listener)
{
	int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (sock >= 0 || (errno != EMFILE && errno != ENFILE))
		return sock;
	close(s->spare);
	sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (sock >= 0)
		close(sock);
	else
		usleep(1000);	/* another thread was faster */
	s->spare = open_spare();
	return -1;
}

/* An enclave, or virtual EPC. */
static void accept_device(struct loop *loop, int listener)
{
	struct server *s = loop->s;
	int sock = server_accept(s, listener);
	struct device *dev;

	if (sock < 0)
		return;
	if (!server_peer_is_ours(sock) || device_open(s, sock, listener == s->vepc_listener, &dev)) {
		close(sock);
		return;
	}
	if (watch(s, sock, dev)) {
		device_put(dev);
		return;
	}
	loop->nr_open++;
}

/*
 * /dev/sgx_provision has no operations: its descriptor only has to exist, and
 * to be ours.  So the connection is made, and forgotten.
 */
static void accept_provision(struct loop *loop)
{
	int sock = server_accept(loop->s, loop->s->provision_listener);

	if (sock >= 0)
		close(sock);
}

/*
 * A client that sends calls and reads no answers holds a thread and a
 * descriptor for each.  Only so many: the others wait in its connection.
 */
#define MAX_CALLS 64u

static void rewatch(struct device *dev, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = dev };

	epoll_ctl(dev->server->epoll, EPOLL_CTL_MOD, dev->sock, &event);
}

static void call_begins(struct device *dev)
{
	pthread_mutex_lock(&dev->calls_lock);
	if (++dev->nr_calls == MAX_CALLS)
		rewatch(dev, 0);
	pthread_mutex_unlock(&dev->calls_lock);
}

void server_call_ended(struct device *dev)
{
	pthread_mutex_lock(&dev->calls_lock);
	if (dev->nr_calls-- == MAX_CALLS)
		rewatch(dev, EPOLLIN);
	pthread_mutex_unlock(&dev->calls_lock);
}

static void close_connection(struct loop *loop, struct device *dev)
{
	epoll_ctl(loop->s->epoll, EPOLL_CTL_DEL, dev->sock, NULL);
	shutdown(dev->sock, SHUT_RDWR);
	loop->nr_open--;
	atomic_store(&dev->hung_up, true);
	/* A large one takes its time, which is not that of others. */
	if (device_drop(dev))
		workers_release(loop->s->workers, dev);
}

/* Take the reply end out of the message; -1 when there is not exactly one. */
static int take_reply(struct msghdr *msg)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	int fds[2];
	size_t nr;

	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
		return -1;
	/* Alignment leaves room for a second one. */
	nr = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(cmsg), nr * sizeof(int));
	if (nr == 1 && !(msg->msg_flags & MSG_CTRUNC))
		return fds[0];
	while (nr)
		close(fds[--nr]);
	return -1;
}

static bool is_seqpacket(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

/*
 * Page faults, leaves of enclaves and their like ask the client nothing, nor does adding
 * pages that came along.  They are short next to the time it takes to wake another thread,
 * so they are served here.
 */
static bool waits_for_nobody(struct loop *loop, const struct device *dev,
			     const struct proto_request *req, int reply)
{
	if (dev->vepc_id)
		return false;
	return req->op == PROTO_OP_FAULT || req->op == PROTO_OP_ENCLU ||
	       req->op == PROTO_OP_FREE_TCS ||
	       (call_is_complete(req, reply) && burst_may_add(&loop->burst, dev));
}

/*
 * Receive one request.  0: it is served, or a worker does so now; otherwise the
 * client broke the protocol or hung up, and is cut off.
 */
static int take_request(struct loop *loop, struct device *dev)
{
	struct proto_request req;
	struct iovec iov = { &req, sizeof(req) };
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
	ssize_t n = recvmsg(dev->sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int reply, ret;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	reply = take_reply(&msg);
	/* No descriptor was left to receive it: the caller hears of it, and is not to blame. */
	if (n == sizeof(req) && (msg.msg_flags & MSG_CTRUNC) && !msg.msg_controllen)
		return 0;
	if (n != sizeof(req) || (msg.msg_flags & MSG_TRUNC) || req.magic != PROTO_MAGIC ||
	    reply < 0 || !is_seqpacket(reply)) {
		if (reply >= 0)
			close(reply);
		return -EPROTO;
	}
	device_get(dev);
	call_begins(dev);
	if (waits_for_nobody(loop, dev, &req, reply)) {
		call_serve(dev, &req, reply, false);
		burst_served(&loop->burst);
		return 0;
	}
	ret = workers_submit(loop->s->workers, dev, &req, reply);
	if (ret) {
		close(reply);
		server_call_ended(dev);
		device_put(dev);
	}
	return ret == -ENOMEM || ret == -EAGAIN ? 0 : ret;
}

static void handle(struct loop *loop, void *what, uint32_t events)
{
	struct server *s = loop->s;

	if (what == &tag_enclave) {
		accept_device(loop, s->enclave_listener);
	} else if (what == &tag_vepc) {
		accept_device(loop, s->vepc_listener);
	} else if (what == &tag_provision) {
		accept_provision(loop);
	} else if (what == &tag_control) {
		control_handle(s);
	} else if (what == &tag_stop) {
		loop->stopped = true;
	} else if (what == &tag_program) {
		loop->program_gone = true;
	} else if (what == &tag_lifeline) {
		loop->lifeline_gone = true;
	} else if (!(events & EPOLLIN) || take_request(loop, what)) {
		close_connection(loop, what);
	}
}

static int watch_all(struct loop *loop, const struct server_needs *needs)
{
	struct server *s = loop->s;
	int ret = watch(s, s->enclave_listener, &tag_enclave);

	if (!ret)
		ret = watch(s, s->provision_listener, &tag_provision);
	if (!ret)
		ret = watch(s, s->vepc_listener, &tag_vepc);
	if (!ret)
		ret = watch(s, s->control.epoll, &tag_control);
	if (!ret && needs->program >= 0)
		ret = watch(s, needs->program, &tag_program);
	if (!ret && needs->lifeline >= 0)
		ret = watch(s, needs->lifeline, &tag_lifeline);
	if (!ret && needs->stop >= 0)
		ret = watch(s, needs->stop, &tag_stop);
	loop->program_gone = needs->program < 0;
	loop->lifeline_gone = needs->lifeline < 0;
	loop->until_stopped = needs->stop >= 0;
	return ret;
}

static bool is_needed(const struct loop *loop)
{
	if (loop->until_stopped)
		return !loop->stopped;
	return !loop->program_gone || !loop->lifeline_gone || loop->nr_open;
}

static int run_loop(struct loop *loop, const struct server_needs *needs)
{
	struct server *s = loop->s;

	while (is_needed(loop)) {
		struct epoll_event event;
		int n = burst_wait(&loop->burst, s->epoll, &event);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		handle(loop, event.data.ptr, event.events);
		/* Both stay readable for ever once they are gone. */
		if (event.data.ptr == &tag_program)
			epoll_ctl(s->epoll, EPOLL_CTL_DEL, needs->program, NULL);
		if (event.data.ptr == &tag_lifeline)
			epoll_ctl(s->epoll, EPOLL_CTL_DEL, needs->lifeline, NULL);
	}
	return 0;
}

int server_run(struct server *s, const struct server_needs *needs)
{
	struct loop loop = { .s = s };
	int ret;

	burst_init(&loop.burst);
	s->spare = open_spare();
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0) {
		ret = -errno;
		close(s->spare);
		return ret;
	}
	/* Threads begin here: a machine may be created before its process forks. */
	s->pager = pager_create(s->pool);
	s->mailboxes = mailboxes_create(s->pool);
	s->workers = workers_create();
	ret = s->pager && s->mailboxes && s->workers ? watch_all(&loop, needs) : -ENOMEM;
	if (!ret) {
		pulse_begin(&s->pulse);
		ret = run_loop(&loop, needs);
		pulse_end(&s->pulse);
	}
	if (loop.stopped)
		return 1;
	workers_destroy(s->workers);
	close(s->epoll);
	close(s->spare);
	return ret;
}
