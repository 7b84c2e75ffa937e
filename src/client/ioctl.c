/* SPDX-License-Identifier: BSD-3-Clause */
/* ioctl() on the device files, in front of libc's. */
#include <asm/sgx.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <swsgx/uapi.h>

#include "client.h"
#include "entries.h"
#include "sys.h"

/* The pages a call was about, from the enclave's base. */
struct page_range {
	uint64_t offset, length;
};

static struct page_range range_of(unsigned long cmd, const void *arg)
{
	const struct sgx_enclave_add_pages *added = arg;
	const struct sgx_enclave_restrict_permissions *restricted = arg;
	const struct sgx_enclave_modify_types *modified = arg;
	const struct sgx_enclave_remove_pages *removed = arg;

	switch (cmd) {
	case SGX_IOC_ENCLAVE_ADD_PAGES:
		return (struct page_range){ added->offset, added->count };
	case SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS:
		return (struct page_range){ restricted->offset, restricted->count };
	case SGX_IOC_ENCLAVE_MODIFY_TYPES:
		return (struct page_range){ modified->offset, modified->count };
	case SGX_IOC_ENCLAVE_REMOVE_PAGES:
		return (struct page_range){ removed->offset, removed->count };
	default:
		return (struct page_range){ 0 };
	}
}

/*
 * After a call that gave or took memory or pages: show that where it is mapped.
 * A call that failed may have come part of the way, as its count says.
 */
static void refresh(int fd, unsigned long cmd, uint64_t arg)
{
	struct client_encl *encl = client_encl_known(fd);
	struct page_range range = { 0 };
	struct proto_ahead copy;

	if (!encl)
		return;
	if (client_send_ahead(&copy, arg, _IOC_SIZE(cmd)))
		range = range_of(cmd, copy.data);
	if (cmd == SGX_IOC_ENCLAVE_CREATE)
		client_encl_created(encl);
	else if (cmd == SGX_IOC_ENCLAVE_INIT)
		client_encl_scan(encl, encl->base, encl->base + encl->size);
	else if (range.length && encl->size)
		client_encl_pages_changed(encl, encl->base + range.offset,
					  encl->base + range.offset + range.length);
	client_encl_put(encl);
}

/*
 * May we write anywhere in the enclave's memory file?  A limit on the size of files is
 * meant for files of the program, and ends in a signal.
 */
static bool can_place(void)
{
	struct rlimit limit;

	return !sys_call(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit) &&
	       limit.rlim_cur == RLIM_INFINITY;
}

/* Loaders add page by page: what each call will ask for goes with it. */
static void send_add_pages_ahead(struct proto_request *req)
{
	const struct sgx_enclave_add_pages *add = (const void *)req->ahead[0].data;

	if (!client_send_ahead(&req->ahead[0], req->b, sizeof(*add)))
		return;
	client_send_ahead(&req->ahead[1], add->secinfo, sizeof(struct sgx_secinfo));
	if (add->src % SGX_PAGE_SIZE || add->length % SGX_PAGE_SIZE)
		return;
	req->source_addr = add->src;
	req->source_size = (uint32_t)(add->length < PROTO_CHUNK ? add->length : PROTO_CHUNK);
	if (add->length > PROTO_CHUNK && can_place())
		req->flags |= PROTO_CAN_PLACE;
}

static long enclave_ioctl(int fd, unsigned long cmd, uint64_t arg)
{
	struct proto_request req = {
		.magic = PROTO_MAGIC,
		.op = PROTO_OP_IOCTL,
		.a = cmd,
		.b = arg,
		.flags = PROTO_FOLD,
	};
	struct proto_frame done;
	unsigned int stopping;
	int ret;

	if (cmd == SGX_IOC_ENCLAVE_ADD_PAGES)
		send_add_pages_ahead(&req);
	/* Nothing was done, a handler ran: once more, unless the program wants to know. */
	do {
		stopping = client_signals_stopping();
		ret = client_call(fd, &req, &done, NULL);
		if (ret)
			return ret;
	} while (done.result == -UAPI_ERESTARTSYS && stopping == client_signals_stopping());
	if (done.result != -ENOTTY)
		refresh(fd, cmd, arg);
	if (cmd == SGX_IOC_ENCLAVE_INIT && !done.result)
		entries_prepare();
	return done.result == -UAPI_ERESTARTSYS ? -EINTR : done.result;
}

static long vepc_ioctl(int fd, unsigned long cmd, uint64_t arg)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = cmd, .b = arg,
	};
	struct proto_frame done;
	int ret = client_call(fd, &req, &done, NULL);

	return ret ? ret : done.result;
}

CLIENT_EXPORT int ioctl(int fd, unsigned long cmd, ...)
{
	const char *device;
	va_list args;
	uint64_t arg;
	long ret;

	va_start(args, cmd);
	arg = va_arg(args, uint64_t);
	va_end(args);

	device = _IOC_TYPE(cmd) == SGX_MAGIC ? client_device_of(fd) : NULL;
	if (!device)
		ret = sys_call(SYS_ioctl, fd, (long)cmd, (long)arg, 0);
	else if (!strcmp(device, PROTO_ENCLAVE))
		ret = enclave_ioctl(fd, cmd, arg);
	else if (!strcmp(device, PROTO_VEPC))
		ret = vepc_ioctl(fd, cmd, arg);
	else
		ret = -ENOTTY;
	if (ret >= 0)
		return (int)ret;
	errno = (int)-ret;
	return -1;
}
