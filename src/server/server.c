/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The event loop: new connections, requests, hang-ups, and the end of the
 * program the server is for.  It never waits for a client; calls that may have to
 * are served by the workers.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

/* --- what the manager stands on --------------------------------------------- */

static void *port_alloc(void *ctx, size_t size)
{
	return calloc(1, size);
}

static void port_free(void *ctx, void *p)
{
	free(p);
}

static void port_log(void *ctx, enum epc_log_level level, const char *message)
{
	static const char *const names[] = { "info", "warning", "error" };

	fprintf(stderr, "swsgx: %s: %s\n", names[level], message);
}

static uint64_t port_time_ns(void *ctx)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static unsigned int port_node(void *ctx)
{
	return 0;	/* the one section is on node 0 */
}

static void port_yield(void *ctx)
{
	sched_yield();
}

static unsigned int port_cache_enter(void *ctx)
{
	return thread_number();
}

static void port_barrier(void *ctx)
{
	thread_barrier();
}

static bool port_interrupted(void *ctx)
{
	return errand_is_in_vain();
}

static void port_wake_reclaimer(void *ctx)
{
	struct server *s = ctx;

	if (s->pager && !mailboxes_make_room())
		pager_wake(s->pager);
}

static void *port_backing_alloc(void *ctx, void *encl)
{
	struct server *s = ctx;

	return backing_alloc(&s->backing);
}

static void port_backing_free(void *ctx, void *p)
{
	struct server *s = ctx;

	backing_free(&s->backing, p);
}

static int create_pool(struct server *s)
{
	const struct sgx_epc_config config = {
		.sections = &s->processor.section,
		.nr_sections = 1,
		.port = {
			.ctx = s,
			.alloc = port_alloc,
			.free = port_free,
			.log = port_log,
			.time_ns = port_time_ns,
			.node = port_node,
			.yield = port_yield,
			.cache_enter = port_cache_enter,
			.barrier = thread_barrier_init() ? port_barrier : NULL,
			.interrupted = port_interrupted,
			.wake_reclaimer = port_wake_reclaimer,
			.backing_alloc = port_backing_alloc,
			.backing_free = port_backing_free,
		},
		.nr_caches = THREAD_NUMBERS,
		.ops = processor_ops(&s->processor),
		.mm = processor_mm(&s->processor),
		.on_leak = s->on_leak,
		.overcommit = !s->no_overcommit,
		/* Like a kernel, take nothing about the EPC on trust. */
		.known_clean = false,
	};
	atomic_bool stop = false;
	int ret;

	thread_numbers_init();
	ret = sgx_epc_pool_create(&config, &s->pool);
	if (ret)
		return ret;
	sgx_epc_sanitize(s->pool, &stop);
	return 0;
}

/* --- sockets ------------------------------------------------------------------ */

static int listen_on(const struct server *s, const char *suffix)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int n, ret;

	if (fd < 0)
		return -errno;
	/* Abstract: nothing in a file system, so nothing to clean up. */
	n = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, PROTO_PREFIX "%s%s", s->name,
		     suffix);
	if (bind(fd, (struct sockaddr *)&addr,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0 &&
	    listen(fd, 128) == 0)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/* EPC is memory: more of it than the host has cannot be had. */
static bool fits_into_memory(uint64_t size)
{
	return size / (uint64_t)sysconf(_SC_PAGESIZE) <= (uint64_t)sysconf(_SC_PHYS_PAGES);
}

static bool name_is_valid(const char *name)
{
	const size_t len = strlen(name);

	return len && len < PROTO_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

/* Without a wish a name that nobody else has, or can guess and take first. */
static int choose_name(struct server *s, const char *wish)
{
	uint64_t id[2];

	if (wish) {
		if (!name_is_valid(wish))
			return -EINVAL;
		strcpy(s->name, wish);
		return 0;
	}
	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return -EIO;
	snprintf(s->name, sizeof(s->name), "%016llx%016llx", (unsigned long long)id[0],
		 (unsigned long long)id[1]);
	return 0;
}

static int open_devices(struct server *s)
{
	int control;

	s->enclave_listener = listen_on(s, PROTO_ENCLAVE);
	if (s->enclave_listener < 0)
		return s->enclave_listener;
	s->provision_listener = listen_on(s, PROTO_PROVISION);
	if (s->provision_listener < 0)
		return s->provision_listener;
	s->vepc_listener = listen_on(s, PROTO_VEPC);
	if (s->vepc_listener < 0)
		return s->vepc_listener;
	control = listen_on(s, PROTO_CONTROL);
	return control < 0 ? control : control_open(&s->control, control);
}

int server_create(const struct server_config *config, struct server **out)
{
	struct server *s = fits_into_memory(config->epc_size) ? calloc(1, sizeof(*s)) : NULL;
	int ret;

	if (!s)
		return -ENOMEM;
	s->enclave_listener = s->provision_listener = s->vepc_listener = s->epoll = -1;
	pthread_mutex_init(&s->vepcs_lock, NULL);
	s->control.listener = s->control.epoll = s->pulse.fd = -1;
	s->platform.profile = config->profile;
	s->platform.sha256 = isa_sha256;
	s->inject = config->inject;
	s->on_leak = config->on_leak;
	s->no_overcommit = config->no_overcommit;
	s->started_ns = port_time_ns(NULL);
	ret = choose_name(s, config->name);
	if (!ret)
		ret = processor_create(&s->processor, config);
	if (!ret)
		ret = backing_init(&s->backing);
	if (!ret)
		ret = pulse_create(&s->pulse);
	if (!ret)
		ret = create_pool(s);
	if (!ret)
		ret = open_devices(s);
	if (ret) {
		server_destroy(s);
		return ret;
	}
	if (s->inject)
		inject_start(s->inject);
	if (!s->processor.withdrawer.nr_pages)
		port_log(NULL, EPC_LOG_WARNING, "this system makes huge pages of memory files, "
			 "or limits their size: pages of enclaves are not written out");
	if (!config->profile->launch_control)
		port_log(NULL, EPC_LOG_INFO, "launch control is not available on this part: "
			 "there is no /dev/sgx_enclave, as under Linux");
	*out = s;
	return 0;
}

const char *server_name(const struct server *s)
{
	return s->name;
}

struct sgx_epc_stat server_stat(const struct server *s)
{
	return sgx_epc_stat_total(s->pool);
}

void server_destroy(struct server *s)
{
	if (!s)
		return;
	if (s->enclave_listener >= 0)
		close(s->enclave_listener);
	if (s->provision_listener >= 0)
		close(s->provision_listener);
	if (s->vepc_listener >= 0)
		close(s->vepc_listener);
	control_close(&s->control);
	mailboxes_destroy(s->mailboxes);
	pager_destroy(s->pager);
	sgx_epc_pool_destroy(s->pool);
	backing_finish(&s->backing);
	pulse_destroy(&s->pulse);
	processor_destroy(&s->processor);
	pthread_mutex_destroy(&s->vepcs_lock);
	free(s);
}

/* --- the loop ------------------------------------------------------------------ */

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
