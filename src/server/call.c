/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One call of a program, from request to DONE.  The caller's memory is reached
 * by asking its client for it, so the order of checks, and so of errors, is
 * uapi's alone.
 */
#include <asm/sgx.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "internal.h"

struct call {
	struct device *dev;
	const struct proto_request *req;
	int reply;
	bool may_wait;
	bool interrupted;	/* the client handled a signal meanwhile, */
	bool was_asked;		/* and uapi wanted to know */
	/* The last COPY_OUT, kept back for DONE. */
	uint64_t out_addr;
	uint32_t out_size;
	uint8_t out[PROTO_AHEAD_MAX];
	struct source source;	/* last: its end is large, and filled before it is read */
};

static int send_frame_flags(struct call *call, const struct proto_frame *frame,
			    const void *data, int flags)
{
	struct iovec iov[2] = {
		{ (void *)(uintptr_t)frame, sizeof(*frame) },
		{ (void *)(uintptr_t)data, data ? frame->size : 0 },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	return sendmsg(call->reply, &msg, MSG_NOSIGNAL | flags) < 0 ? -errno : 0;
}

static int send_frame(struct call *call, const struct proto_frame *frame, const void *data)
{
	return send_frame_flags(call, frame, data, 0);
}

int call_ask(struct call *call, const struct proto_frame *frame)
{
	return send_frame(call, frame, NULL);
}

/* A message with descriptors, for a msghdr to begin with. */
struct fds_message {
	struct iovec iov;
	union {
		char buf[CMSG_SPACE(PROTO_NR_FILES * sizeof(int))];
		struct cmsghdr align;
	} control;
};

static struct msghdr message_with_fds(struct fds_message *m, const struct proto_frame *frame,
				      const int *fds, size_t nr_fds)
{
	struct msghdr msg = {
		.msg_iov = &m->iov,
		.msg_iovlen = 1,
		.msg_control = m->control.buf,
		.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int)),
	};
	struct cmsghdr *cmsg;

	m->iov = (struct iovec){ (void *)(uintptr_t)frame, sizeof(*frame) };
	memset(&m->control, 0, sizeof(m->control));
	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, nr_fds * sizeof(int));
	return msg;
}

int call_ask_with_file(struct call *call, const struct proto_frame *frame, int fd)
{
	struct fds_message m;
	const struct msghdr msg = message_with_fds(&m, frame, &fd, 1);

	return sendmsg(call->reply, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

ssize_t call_receive(struct call *call, void *dst, size_t size, int *error)
{
	struct proto_data header;
	struct iovec iov[2] = { { &header, sizeof(header) }, { dst, size } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	do {
		n = recvmsg(call->reply, &msg, call->may_wait ? 0 : MSG_DONTWAIT);
		if (n >= (ssize_t)sizeof(header))
			call->interrupted |= header.interrupted;
	} while (n < 0 ? errno == EINTR : n == sizeof(header) && header.is_notice);
	if (n < (ssize_t)sizeof(header) || (msg.msg_flags & MSG_TRUNC) ||
	    (size_t)n - sizeof(header) != header.size || header.error < 0)
		return -EFAULT;
	*error = -header.error;
	return (ssize_t)header.size;
}

/* Two descriptors the client sends unasked.  0 or -EINVAL. */
static int receive_fds(struct call *call, int fds[2])
{
	char nothing;
	struct iovec iov = { &nothing, 1 };
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg;
	size_t nr;
	ssize_t n;

	do
		n = recvmsg(call->reply, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	cmsg = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
		return -EINVAL;
	nr = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(cmsg), nr * sizeof(int));
	if (nr == 2 && !(msg.msg_flags & MSG_CTRUNC))
		return 0;
	while (nr)
		close(fds[--nr]);
	return -EINVAL;
}

static int source_page(void *ctx, uint64_t uaddr, uint64_t offset, uint64_t left,
		       const void **page)
{
	struct call *call = ctx;

	return source_next(&call->source, uaddr, offset, left, page);
}

/* Was it sent along with the request? */
static const uint8_t *find_ahead(const struct call *call, uint64_t uaddr, size_t n)
{
	for (size_t i = 0; i < sizeof(call->req->ahead) / sizeof(call->req->ahead[0]); i++) {
		const struct proto_ahead *ahead = &call->req->ahead[i];

		if (ahead->addr == uaddr && ahead->size == n && n <= sizeof(ahead->data))
			return ahead->data;
	}
	return NULL;
}

static int copy_from_user(void *ctx, void *dst, uint64_t uaddr, size_t n)
{
	struct call *call = ctx;
	const uint8_t *ahead = find_ahead(call, uaddr, n);
	int error = 0;

	if (ahead) {
		memcpy(dst, ahead, n);
		return 0;
	}
	source_drop(&call->source);
	if (send_frame(call, &(struct proto_frame){ .kind = PROTO_COPY_IN, .addr = uaddr,
						    .size = (uint32_t)n }, NULL))
		return -EFAULT;
	return call_receive(call, dst, n, &error) == (ssize_t)n && !error ? 0 : -EFAULT;
}

static int send_copy_out(struct call *call, uint64_t uaddr, const void *src, size_t n)
{
	int error = 0;

	source_drop(&call->source);
	if (send_frame(call, &(struct proto_frame){ .kind = PROTO_COPY_OUT, .addr = uaddr,
						    .size = (uint32_t)n }, src))
		return -EFAULT;
	return call_receive(call, NULL, 0, &error) == 0 && !error ? 0 : -EFAULT;
}

/*
 * An ioctl that cannot store its result returns -EFAULT whatever it did, so the
 * client can find that out by itself, last of all.
 */
static int copy_to_user(void *ctx, uint64_t uaddr, const void *src, size_t n)
{
	struct call *call = ctx;

	if (!(call->req->flags & PROTO_FOLD) || call->out_size || n > sizeof(call->out))
		return send_copy_out(call, uaddr, src, n);
	call->out_addr = uaddr;
	call->out_size = (uint32_t)n;
	memcpy(call->out, src, n);
	return 0;
}

/* As in errand.c, a call comes a step further first. */
static bool signal_pending(void *ctx)
{
	struct call *call = ctx;
	const bool was_asked = call->was_asked;

	call->was_asked = true;
	return was_asked && call->interrupted;
}

static bool is_provision_fd(void *ctx, uint64_t fd)
{
	struct call *call = ctx;
	int error = 0;

	return !send_frame(call, &(struct proto_frame){ .kind = PROTO_PROVISION_FD,
							.addr = fd }, NULL) &&
	       call_receive(call, NULL, 0, &error) == 0 && !error;
}

/* --- what guest.c asks the client for ---------------------------------------- */

int call_copy_in(struct call *call, void *dst, uint64_t uaddr, size_t n)
{
	return copy_from_user(call, dst, uaddr, n);
}

int call_copy_out(struct call *call, uint64_t uaddr, const void *src, size_t n)
{
	int ret = 0;

	for (size_t done = 0; done < n && !ret; done += PROTO_COPY_OUT_MAX) {
		const size_t left = n - done;

		ret = send_copy_out(call, uaddr + done, (const uint8_t *)src + done,
				    left < PROTO_COPY_OUT_MAX ? left : PROTO_COPY_OUT_MAX);
	}
	return ret;
}

int call_vepc_page(struct call *call, uint64_t la, bool write, struct proto_vepc_page *page)
{
	int error = 0;

	if (send_frame(call, &(struct proto_frame){ .kind = PROTO_VEPC_PAGE, .addr = la,
						    .size = write }, NULL))
		return -ENOENT;
	if (call_receive(call, page, sizeof(*page), &error) == sizeof(*page) && !error)
		return 0;
	return error == -EACCES ? -EACCES : -ENOENT;
}

static int64_t serve_ioctl(struct call *call, const struct proto_request *req)
{
	const unsigned int cmd = (unsigned int)req->a;
	const struct uapi_task task = {
		.ctx = call,
		.copy_from_user = copy_from_user,
		.copy_to_user = copy_to_user,
		.source_page = source_page,
		.signal_pending = signal_pending,
		.is_provision_fd = is_provision_fd,
	};

	const long ret = uapi_encl_ioctl(call->dev->encl, &task, cmd, req->b);

	control_count_ioctl(call->dev->server, cmd, ret < 0);
	return ret;
}

static int64_t serve_may_map(struct call *call, const struct proto_request *req)
{
	if (req->a % SGX_PAGE_SIZE || req->b % SGX_PAGE_SIZE || req->a > req->b)
		return -EINVAL;
	return uapi_encl_may_map(call->dev->encl, req->a, req->b, (int)req->c, req->d != 0);
}

/* --- page faults ------------------------------------------------------------ */

int call_fault(struct device *dev, uint64_t la, uint64_t prot, uint64_t number)
{
	struct toucher by = { .number = number };
	struct sgx_encl_page_info page;
	const struct device_range range = device_range(dev);

	if (la % SGX_PAGE_SIZE || prot & ~(uint64_t)SECINFO_RWX)
		return -EINVAL;
	if (la - range.base >= range.size)
		return -EFAULT;
	return sgx_encl_fault(uapi_encl_encl(dev->encl), la - range.base, (uint8_t)prot, &by,
			      &page);
}

void call_load_ahead(struct device *dev, uint64_t la)
{
	const struct device_range range = device_range(dev);

	if (la % SGX_PAGE_SIZE == 0 && la - range.base < range.size)
		sgx_encl_load_ahead(uapi_encl_encl(dev->encl), la - range.base);
}

/* The process's userfaultfds follow the request, on the reply socket. */
static int64_t serve_join(struct call *call, const struct proto_request *req, uint64_t *number)
{
	int uffds[2];

	if (receive_fds(call, uffds))
		return -EINVAL;
	return spaces_join(call->dev, uffds, req->a, req->b, number);
}

/* --- in-enclave leaves ------------------------------------------------------ */

/* Operands of a leaf: RBX, RCX, RDX. */
#define NR_OPERANDS 3

/* A leaf about to run, while its operands cannot be taken out of EPC. */
struct enclu {
	struct device *dev;
	const struct proto_request *req;
	uint64_t offset[NR_OPERANDS];	/* of the pages the operands are in */
	const uint64_t *pages;		/* where these are */
	struct isa_outcome out;
};

static bool encl_translate(void *ctx, uint64_t la, bool write, uint64_t *pa,
			   struct isa_outcome *fault)
{
	const struct enclu *enclu = ctx;
	const uint64_t offset = (la & SGX_PAGE_MASK) - enclu->dev->mem.base;

	*pa = ISA_NO_FRAME;
	for (size_t i = 0; i < NR_OPERANDS; i++)
		if (enclu->offset[i] == offset && enclu->pages[i] != ISA_NO_FRAME)
			*pa = enclu->pages[i] + la % SGX_PAGE_SIZE;
	return true;
}

/* Every operand of an in-enclave leaf is enclave memory. */
static bool no_read(void *ctx, uint64_t la, void *dst, size_t n, struct isa_outcome *fault)
{
	*fault = (struct isa_outcome){ .kind = ISA_FAULT, .vector = X86_GP };
	return false;
}

static bool no_write(void *ctx, uint64_t la, const void *src, size_t n,
		     struct isa_outcome *fault)
{
	return no_read(ctx, la, NULL, n, fault);
}

/* A leaf may have changed the state of a page: tell the program. */
static void mirror_operands(const struct enclu *enclu)
{
	struct isa_machine *m = enclu->dev->server->processor.machine;

	for (size_t i = 0; i < NR_OPERANDS; i++) {
		struct isa_epcm_info info;

		if (enclu->pages[i] == ISA_NO_FRAME)
			continue;
		info = isa_epcm_peek(m, isa_machine_frame(m, enclu->pages[i]));
		encl_memory_mirror(&enclu->dev->mem, enclu->offset[i], &info);
	}
}

static void run_enclu(void *ctx, const uint64_t *pages)
{
	static const struct isa_mmu mmu = { encl_translate, no_read, no_write };
	struct enclu *enclu = ctx;
	struct isa_machine *m = enclu->dev->server->processor.machine;
	const uint64_t secs_pa = sgx_encl_secs_pa(uapi_encl_encl(enclu->dev->encl));
	struct isa_lp lp;

	enclu->pages = pages;
	isa_lp_init(&lp, m, &mmu, enclu, 3);
	if (secs_pa != ISA_NO_FRAME)
		lp.secs_frame = isa_machine_frame(m, secs_pa);
	lp.rbx = enclu->req->b;
	lp.rcx = enclu->req->c;
	lp.rdx = enclu->req->d;
	enclu->out = isa_enclu(&lp, (uint32_t)enclu->req->a);
	if (isa_is_done(enclu->out))
		mirror_operands(enclu);
}

static struct isa_outcome serve_enclu(struct device *dev, const struct proto_request *req)
{
	const uint64_t base = device_range(dev).base;
	struct enclu enclu = {
		.dev = dev,
		.req = req,
		.offset = { (req->b & SGX_PAGE_MASK) - base, (req->c & SGX_PAGE_MASK) - base,
			    (req->d & SGX_PAGE_MASK) - base },
	};

	sgx_encl_run(uapi_encl_encl(dev->encl), enclu.offset, NR_OPERANDS, run_enclu, &enclu);
	return enclu.out;
}

/* --- the end of a call ------------------------------------------------------ */

/* Nothing below waits: a fresh socket has room, and who filled it hears nothing. */

static void leave_device(struct device *dev)
{
	server_call_ended(dev);
	device_put(dev);
}

static void send_attached(struct call *call)
{
	struct encl_memory *mem = &call->dev->mem;
	struct proto_frame frame = {
		.kind = PROTO_DONE,
		.result = spaces_attach(call->dev, call->req->a),
	};
	struct iovec iov = { &frame, sizeof(frame) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct fds_message with_fds;

	pthread_mutex_lock(&call->dev->lock);
	if (!frame.result && mem->pages_fd >= 0 && call->dev->shared) {
		const int files[PROTO_NR_FILES] = {
			mem->pages_fd, mem->shared_fd, call->dev->server->pulse.fd,
		};

		msg = message_with_fds(&with_fds, &frame, files, PROTO_NR_FILES);
		frame.base = mem->base;
		frame.encl_size = mem->size;
	}
	sendmsg(call->reply, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	pthread_mutex_unlock(&call->dev->lock);
	leave_device(call->dev);
}

/*
 * The device is left first: a program that has its answer may close the file,
 * and then count on the pages, so that close must find the last reference.
 */
static void send_done(struct call *call, struct proto_frame *done)
{
	/* Closing a socket with something unread would reset it. */
	source_drop(&call->source);
	leave_device(call->dev);
	done->addr = call->out_addr;
	done->size = call->out_size;
	send_frame_flags(call, done, call->out, MSG_DONTWAIT);
}

static void serve_enclave(struct call *call, const struct proto_request *req,
			  struct proto_frame *done)
{
	switch (req->op) {
	case PROTO_OP_IOCTL:
		done->result = serve_ioctl(call, req);
		break;
	case PROTO_OP_MAY_MAP:
		done->result = serve_may_map(call, req);
		break;
	case PROTO_OP_ENCLU:
		done->outcome = serve_enclu(call->dev, req);
		break;
	case PROTO_OP_FAULT:
		done->result = call_fault(call->dev, req->a, req->b, req->c);
		/* It will not be the last. */
		if (!done->result)
			mailboxes_open(call->dev->server->mailboxes, call->dev);
		break;
	case PROTO_OP_JOIN:
		done->result = serve_join(call, req, &done->base);
		break;
	case PROTO_OP_FREE_TCS:
		done->result = killed_free_tcs(call->dev, req->a);
		break;
	default:
		done->result = -EINVAL;
		break;
	}
}

bool call_may_wait(const struct call *call)
{
	return call->may_wait;
}

static bool came_ahead(const struct proto_ahead *ahead, uint64_t addr, size_t size)
{
	return ahead->addr == addr && ahead->size == size;
}

bool call_is_complete(const struct proto_request *req, int reply)
{
	struct sgx_enclave_add_pages add;

	if (req->op != PROTO_OP_IOCTL || (unsigned int)req->a != SGX_IOC_ENCLAVE_ADD_PAGES ||
	    !(req->flags & PROTO_FOLD) || !came_ahead(&req->ahead[0], req->b, sizeof(add)))
		return false;
	memcpy(&add, req->ahead[0].data, sizeof(add));
	return came_ahead(&req->ahead[1], add.secinfo, sizeof(struct sgx_secinfo)) &&
	       add.length <= PROTO_SHORT_SOURCE && add.length == req->source_size &&
	       add.src == req->source_addr &&
	       recv(reply, NULL, 0, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

void call_serve(struct device *dev, const struct proto_request *req, int reply, bool may_wait)
{
	struct proto_frame done = { .kind = PROTO_DONE };
	struct call call;

	memset(&call, 0, offsetof(struct call, source));
	call.dev = dev;
	call.req = req;
	call.reply = reply;
	call.may_wait = may_wait;
	source_init(&call.source, &call, dev, req);
	errand_begin(dev, reply, req->op == PROTO_OP_IOCTL);
	if (dev->vepc_id)
		vepc_serve(&call, dev, req, &done);
	else if (req->op != PROTO_OP_ATTACH)
		serve_enclave(&call, req, &done);
	errand_end();
	if (req->op == PROTO_OP_ATTACH && !dev->vepc_id)
		send_attached(&call);
	else
		send_done(&call, &done);
	close(reply);
}
