/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client that can be made to misbehave.  No helper here asserts anything about
 * the server but the machine's own: threads use the rest, and cmocka's failures
 * belong to the main one.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../isa/fixture.h"
#include "raw-client.h"

#ifdef __SANITIZE_THREAD__
/*
 * The calls of one client are ordered by its sockets, which the sanitizer does
 * not follow; what they leave in enclave pages looks like a race of the server's.
 */
const char *__tsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void)
{
	return "race_top:isa_egetkey\nrace_top:isa_ereport\n";
}
#endif

/* --- the machine -------------------------------------------------------------- */

static unsigned int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

unsigned int count_fds(void)
{
	return count_entries("/proc/self/fd");
}

unsigned int count_threads(void)
{
	return count_entries("/proc/self/task") - 2;
}

/* The letter behind the name, which may itself contain anything. */
static char thread_state(const char *tid)
{
	char path[64], line[512] = "", *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%.16s/stat", tid);
	file = fopen(path, "r");
	if (!file)
		return 'S';	/* it has ended */
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	end = strrchr(line, ')');
	return end && end[1] ? end[2] : 'S';
}

/* Have all other threads nothing to do?  Who only waits for a processor has. */
static bool others_sleep(void)
{
	DIR *dir = opendir("/proc/self/task");
	const struct dirent *entry;
	bool asleep = true;

	while (dir && asleep && (entry = readdir(dir)))
		asleep = entry->d_name[0] == '.' || atoi(entry->d_name) == gettid() ||
			 thread_state(entry->d_name) == 'S';
	if (dir)
		closedir(dir);
	return asleep;
}

bool others_fall_asleep(void)
{
	int quiet = 0;

	for (int i = 0; i < RAW_PATIENCE_S * 1000 && quiet < 20; i++) {
		usleep(1000);
		quiet = others_sleep() ? quiet + 1 : 0;
	}
	return quiet == 20;
}

unsigned int settled_fds(void)
{
	others_fall_asleep();
	return count_fds();
}

void assert_fds_become(unsigned int expected)
{
	for (int i = 0; i < RAW_PATIENCE_S * 1000 && count_fds() != expected; i++)
		usleep(1000);
	assert_int_equal(count_fds(), expected);
}

struct run {
	struct machine *m;
	int lifeline;
};

static void *run(void *arg)
{
	struct run *run = arg;

	run->m->result = server_run(run->m->server,
				     &(struct server_needs){ -1, run->lifeline, -1 });
	close(run->lifeline);
	free(run);
	return NULL;
}

void machine_start(struct machine *m, uint64_t nr_pages)
{
	machine_start_with(m, &(struct server_config){
		.epc_size = nr_pages * SGX_PAGE_SIZE,
		.profile = isa_profile_at(0),
	});
}

void machine_start_with(struct machine *m, const struct server_config *config)
{
	struct run *arg = malloc(sizeof(*arg));
	int lifeline[2];

	assert_non_null(arg);
	m->nr_fds = count_fds();
	assert_int_equal(server_create(config, &m->server), 0);
	assert_int_equal(pipe(lifeline), 0);
	m->lifeline = lifeline[1];
	m->result = -1;
	*arg = (struct run){ m, lifeline[0] };
	assert_int_equal(pthread_create(&m->thread, NULL, run, arg), 0);
}

void machine_let_go(struct machine *m)
{
	if (m->lifeline >= 0)
		close(m->lifeline);
	m->lifeline = -1;
}

bool machine_has_ended(struct machine *m, unsigned int ms)
{
	struct timespec until;

	if (!m->thread)
		return true;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	if (pthread_timedjoin_np(m->thread, NULL, &until))
		return false;
	m->thread = 0;
	return true;
}

static bool is_idle(const struct sgx_epc_stat *stat)
{
	return stat->free + stat->cached == stat->total;
}

void machine_await_idle(struct machine *m)
{
	struct sgx_epc_stat stat;

	for (int i = 0; i < RAW_PATIENCE_S * 1000; i++) {
		stat = server_stat(m->server);
		if (is_idle(&stat))
			break;
		usleep(1000);
	}
	assert_int_equal(stat.leaked, 0);
	assert_int_equal(stat.in_use, 0);
	assert_true(is_idle(&stat));
}

void machine_stop(struct machine *m)
{
	machine_let_go(m);
	assert_true(machine_has_ended(m, RAW_PATIENCE_S * 1000));
	assert_int_equal(m->result, 0);
	machine_await_idle(m);
	server_destroy(m->server);
	assert_int_equal(count_fds(), m->nr_fds);
}

int machine_setup(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	machine_start(m, 1024);
	*state = m;
	return 0;
}

int machine_teardown(void **state)
{
	machine_stop(*state);
	free(*state);
	return 0;
}

/* --- datagrams ------------------------------------------------------------------- */

static void set_patience(int fd)
{
	const struct timeval patience = { .tv_sec = RAW_PATIENCE_S };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

int raw_connect(const struct machine *m, const char *device)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int n, ret;

	if (fd < 0)
		return -errno;
	set_patience(fd);
	n = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, PROTO_PREFIX "%s%s",
		     server_name(m->server), device);
	if (connect(fd, (struct sockaddr *)&addr,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

int raw_open(const struct machine *m)
{
	const int fd = raw_connect(m, PROTO_ENCLAVE);

	assert_true(fd >= 0);
	return fd;
}

int raw_send(int sock, const void *data, size_t size, const int *fds, size_t nr_fds)
{
	struct iovec iov = { (void *)(uintptr_t)data, size };
	union {
		char buf[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (nr_fds) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nr_fds * sizeof(int));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int raw_begin(int sock, const struct proto_request *req)
{
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	set_patience(pair[0]);
	ret = raw_send(sock, req, sizeof(*req), &pair[1], 1);
	close(pair[1]);
	if (!ret)
		return pair[0];
	close(pair[0]);
	return ret;
}

bool raw_receive(int reply, struct raw_frame *f)
{
	struct iovec iov[2] = { { &f->frame, sizeof(f->frame) }, { f->data, sizeof(f->data) } };
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
	const ssize_t n = recvmsg(reply, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *cmsg = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	memset(f->fds, -1, sizeof(f->fds));
	if (cmsg)
		memcpy(f->fds, CMSG_DATA(cmsg), cmsg->cmsg_len - CMSG_LEN(0));
	f->data_size = n > (ssize_t)sizeof(f->frame) ? (size_t)n - sizeof(f->frame) : 0;
	return n >= (ssize_t)sizeof(f->frame);
}

int raw_answer(int reply, int error, const void *data, size_t size)
{
	struct proto_data header = { .error = error, .size = (uint32_t)size };
	struct iovec iov[2] = {
		{ &header, sizeof(header) }, { (void *)(uintptr_t)data, size },
	};
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = size ? 2 : 1 };

	return sendmsg(reply, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void raw_serve(int reply, const struct raw_frame *f)
{
	void *addr = (void *)(uintptr_t)f->frame.addr;

	switch (f->frame.kind) {
	case PROTO_COPY_IN:
	case PROTO_SOURCE:
		if (raw_answer(reply, 0, addr, f->frame.size) == -EFAULT)
			raw_answer(reply, EFAULT, NULL, 0);
		break;
	case PROTO_COPY_OUT:
		memcpy(addr, f->data, f->data_size);
		raw_answer(reply, 0, NULL, 0);
		break;
	default:
		raw_answer(reply, EBADF, NULL, 0);
	}
}

bool raw_finish(int reply, struct raw_frame *done)
{
	bool alive;

	while ((alive = raw_receive(reply, done)) && done->frame.kind != PROTO_DONE)
		raw_serve(reply, done);
	close(reply);
	return alive;
}

bool raw_is_cut_off(int fd)
{
	char byte;

	/* Its patience bounds this: EAGAIN then, and not cut off. */
	const ssize_t n = recv(fd, &byte, 1, 0);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

long raw_control(int sock, uint32_t op, uint64_t first, void *dst, size_t size)
{
	const struct control_request req = { CONTROL_MAGIC, op, first };
	struct control_reply reply;
	struct iovec iov[2] = { { &reply, sizeof(reply) }, { dst, size } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = send(sock, &req, sizeof(req), MSG_NOSIGNAL);

	if (n == sizeof(req))
		n = recvmsg(sock, &msg, 0);
	if (n < (ssize_t)sizeof(reply) || reply.magic != CONTROL_MAGIC)
		return -ENODEV;
	if (msg.msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	return reply.error ? reply.error : (long)reply.nr;
}

/* --- calls ----------------------------------------------------------------------- */

static bool call(int sock, const struct proto_request *req, struct raw_frame *done)
{
	const int reply = raw_begin(sock, req);

	return reply >= 0 && raw_finish(reply, done);
}

int64_t raw_ioctl(int sock, unsigned int cmd, void *arg)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = cmd, .b = (uintptr_t)arg,
	};
	struct raw_frame done;

	return call(sock, &req, &done) ? done.frame.result : -ENODEV;
}

int64_t raw_may_map(int sock, uint64_t start, uint64_t end, int prot)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_MAY_MAP, .a = start, .b = end,
		.c = (uint64_t)prot,
	};
	struct raw_frame done;

	return call(sock, &req, &done) ? done.frame.result : -ENODEV;
}

struct isa_outcome raw_enclu(int sock, uint32_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_ENCLU, .a = leaf, .b = rbx, .c = rcx, .d = rdx,
	};
	struct raw_frame done;

	if (call(sock, &req, &done))
		return done.frame.outcome;
	return (struct isa_outcome){ .kind = ISA_FAULT, .vector = 255 };
}

bool raw_attach(int sock, struct raw_attached *a)
{
	return raw_attach_joining(sock, false, a);
}

bool raw_attach_joining(int sock, bool joins, struct raw_attached *a)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_ATTACH, .a = joins,
	};
	struct raw_frame done;

	*a = (struct raw_attached){ .fds = { -1, -1, -1 } };
	if (!call(sock, &req, &done))
		return false;
	a->error = done.frame.result;
	if (done.fds[0] < 0)
		return true;
	memcpy(a->fds, done.fds, sizeof(a->fds));
	a->base = done.frame.base;
	a->size = done.frame.encl_size;
	a->shared_size = PROTO_MIRROR_OFFSET + a->size / SGX_PAGE_SIZE * sizeof(uint16_t);
	a->pages = mmap(NULL, a->size, PROT_READ | PROT_WRITE, MAP_SHARED, a->fds[0], 0);
	a->shared = mmap(NULL, a->shared_size, PROT_READ | PROT_WRITE, MAP_SHARED, a->fds[1], 0);
	if (a->pages == MAP_FAILED || (void *)a->shared == MAP_FAILED)
		return false;
	a->mirror = (const uint16_t *)((const uint8_t *)a->shared + PROTO_MIRROR_OFFSET);
	return true;
}

void raw_detach(struct raw_attached *a)
{
	if (!a->pages)
		return;
	munmap(a->pages, a->size);
	munmap(a->shared, a->shared_size);
	for (size_t i = 0; i < PROTO_NR_FILES; i++)
		close(a->fds[i]);
}

int64_t raw_join(int sock, const int *uffds, size_t nr, uint64_t alias, bool again)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_JOIN, .a = alias, .b = again,
	};
	struct raw_frame done;
	const int reply = raw_begin(sock, &req);

	if (reply < 0 || raw_send(reply, "", 1, uffds, nr))
		return -ENODEV;
	return raw_finish(reply, &done) ? done.frame.result : -ENODEV;
}

int64_t raw_free_tcs(int sock, uint64_t la)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_FREE_TCS, .a = la,
	};
	struct raw_frame done;

	return call(sock, &req, &done) ? done.frame.result : -ENODEV;
}

int64_t raw_fault(int sock, uint64_t la, uint64_t rwx)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_FAULT, .a = la, .b = rwx,
	};
	struct raw_frame done;

	return call(sock, &req, &done) ? done.frame.result : -ENODEV;
}

int64_t raw_create(int sock, const struct sgx_secs *secs)
{
	struct sgx_enclave_create arg = { .src = (uintptr_t)secs };

	return raw_ioctl(sock, SGX_IOC_ENCLAVE_CREATE, &arg);
}

int64_t raw_add_pages(int sock, uint64_t offset, const void *src, uint64_t length,
		      uint64_t secinfo_flags, uint64_t flags)
{
	const struct sgx_secinfo secinfo = { .flags = secinfo_flags };
	struct sgx_enclave_add_pages arg = {
		.src = (uintptr_t)src, .offset = offset, .length = length,
		.secinfo = (uintptr_t)&secinfo, .flags = flags,
	};
	const int64_t ret = raw_ioctl(sock, SGX_IOC_ENCLAVE_ADD_PAGES, &arg);

	return !ret && arg.count != length ? -EINTR : ret;
}

/* --- the enclave -------------------------------------------------------------------- */

static struct sgx_sigstruct sigstruct;

/* Signed once: the signer is not for threads, and not for free. */
static void sign(void)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_sigstruct(f, NULL, 0);
	sigstruct = f->sig;
	isa_fixture_destroy(f);
}

int64_t raw_init(int sock)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct sgx_enclave_init arg = { .sigstruct = (uintptr_t)&sigstruct };

	pthread_once(&once, sign);
	return raw_ioctl(sock, SGX_IOC_ENCLAVE_INIT, &arg);
}

int64_t raw_build(int sock)
{
	_Alignas(4096) uint8_t page[SGX_PAGE_SIZE];
	struct sgx_secs secs;
	int64_t ret;

	isa_fixture_default_secs(&secs);
	ret = raw_create(sock, &secs);
	for (uint64_t i = FIXTURE_TCS; !ret && i < FIXTURE_FREE; i++) {
		isa_fixture_source(i, page);
		ret = raw_add_pages(sock, (i - 1) * SGX_PAGE_SIZE, page, SGX_PAGE_SIZE,
				    isa_fixture_flags(i), SGX_PAGE_MEASURE);
	}
	return ret ? ret : raw_init(sock);
}

/* Operands in the enclave's writable page, aligned as the leaves want them. */
#define RW_OFFSET ((FIXTURE_RW - 1) * SGX_PAGE_SIZE)
#define AT_TARGETINFO (RW_OFFSET + 0x000)
#define AT_REPORTDATA (RW_OFFSET + 0x200)
#define AT_REPORT (RW_OFFSET + 0x400)
#define AT_KEYREQUEST (RW_OFFSET + 0x800)
#define AT_KEY (RW_OFFSET + 0xa00)

static bool reports(int sock, struct raw_attached *a)
{
	const struct sgx_report *report = (void *)(a->pages + AT_REPORT);
	uint8_t mrenclave[32];

	memset(a->pages + RW_OFFSET, 0, SGX_PAGE_SIZE);
	memset(a->pages + AT_REPORTDATA, 0x5a, 64);
	if (!isa_is_done(raw_enclu(sock, ISA_ENCLU_EREPORT, a->base + AT_TARGETINFO,
				   a->base + AT_REPORTDATA, a->base + AT_REPORT)))
		return false;
	isa_fixture_mrenclave(mrenclave);
	return !memcmp(report->mrenclave, mrenclave, sizeof(mrenclave)) &&
	       !memcmp(report->reportdata, a->pages + AT_REPORTDATA, 64);
}

static bool derives_keys(int sock, struct raw_attached *a)
{
	static const uint8_t zero[16];
	uint8_t first[16];

	memset(a->pages + AT_KEYREQUEST, 0, sizeof(struct sgx_keyrequest));
	for (int i = 0; i < 2; i++) {
		memset(a->pages + AT_KEY, 0, sizeof(first));
		/* The report key: KEYNAME 3. */
		*(uint16_t *)(a->pages + AT_KEYREQUEST) = 3;
		if (!isa_is_done(raw_enclu(sock, ISA_ENCLU_EGETKEY, a->base + AT_KEYREQUEST,
					   a->base + AT_KEY, 0)))
			return false;
		if (!i)
			memcpy(first, a->pages + AT_KEY, sizeof(first));
	}
	return memcmp(first, zero, sizeof(first)) &&
	       !memcmp(first, a->pages + AT_KEY, sizeof(first));
}

bool raw_works(int sock)
{
	struct raw_attached a;
	bool good = raw_attach(sock, &a) && a.pages;

	good = good && reports(sock, &a) && derives_keys(sock, &a);
	raw_detach(&a);
	return good;
}
