/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Letting the server take pages of an enclave away and bring them back.
 *
 * Every mapping of the enclave's memory file is registered with a userfaultfd,
 * which the server gets a duplicate of.  A page that is away raises SIGBUS in
 * ELRANGE, where handlers ask the server for it; in our own alias, which we
 * use inside of handlers too, the thread waits in the kernel.  The userfaultfd
 * of the alias is the server's alone: when that ends the kernel closes it and lets
 * threads go that wait, with an empty page, and then the enclave counts as lost
 * (client_encl_is_lost()).  Where the system has no userfaultfd for us the server
 * is not told, and leaves the enclave's pages where they are.
 *
 * fork() drops registrations: a child would silently see empty pages.  So it
 * does not inherit the mappings, but makes them again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <linux/userfaultfd.h>
#include <sys/mman.h>

#include "client.h"
#include "sys.h"

#define FEATURES UFFD_FEATURE_MISSING_SHMEM

/* ELRANGE's and the alias's, in this order. */
static const uint64_t features[2] = { FEATURES | UFFD_FEATURE_SIGBUS, FEATURES };

static int open_uffd(uint64_t wanted)
{
	struct uffdio_api api = { .api = UFFD_API, .features = wanted };
	const long fd = sys_call(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY,
				 0, 0, 0);

	if (fd < 0)
		return (int)fd;
	if (sys_call(SYS_ioctl, fd, (long)UFFDIO_API, (long)&api, 0) < 0) {
		sys_close((int)fd);
		return -ENOSYS;
	}
	return client_note_fd((int)fd);
}

void client_paging_discard(int uffds[2])
{
	for (size_t i = 0; i < 2; i++) {
		if (uffds[i] >= 0)
			sys_close(uffds[i]);
		uffds[i] = -1;
	}
}

bool client_paging_create(int uffds[2])
{
	for (size_t i = 0; i < 2; i++)
		uffds[i] = open_uffd(features[i]);
	if (uffds[0] >= 0 && uffds[1] >= 0)
		return true;
	client_paging_discard(uffds);
	return false;
}

static bool watch(int uffd, const void *addr, uint64_t size)
{
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)addr, .len = size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return sys_call(SYS_ioctl, uffd, (long)UFFDIO_REGISTER, (long)&reg, 0) == 0 &&
	       sys_call(SYS_madvise, (long)addr, (long)size, MADV_DONTFORK, 0) == 0;
}

void client_paging_close(struct client_encl *encl)
{
	if (encl->uffd >= 0)
		sys_close(encl->uffd);
	encl->uffd = -1;
	encl->number = 0;
}

/* @again: besides the process that attached. */
static int join(struct client_encl *encl, int uffds[2], bool again)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC,
		.op = PROTO_OP_JOIN,
		.a = (uintptr_t)encl->pages,
		.b = again,
	};
	struct proto_frame done = { .result = -1 };

	if (!watch(uffds[1], encl->pages, encl->size) ||
	    client_call_sending(encl->sock, &req, uffds, &done) || done.result) {
		client_paging_discard(uffds);
		return -ENOMEM;
	}
	sys_close(uffds[1]);
	encl->uffd = uffds[0];
	encl->number = done.base;
	return 0;
}

int client_paging_join(struct client_encl *encl, int uffds[2])
{
	return uffds[0] < 0 ? 0 : join(encl, uffds, false);
}

int client_paging_map(const struct client_encl *encl, uint64_t start, uint64_t size)
{
	if (encl->uffd < 0 || watch(encl->uffd, (void *)(uintptr_t)start, size))
		return 0;
	/* Without it a page that is away would be an empty one. */
	return -ENOMEM;
}

int client_paging_forked(struct client_encl *encl)
{
	int uffds[2];
	void *alias;

	/* Not registered, hence inherited. */
	if (encl->uffd < 0)
		return 0;
	client_paging_close(encl);
	alias = sys_mmap(encl->pages, encl->size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE, encl->pages_fd, 0);
	if (alias != encl->pages || !client_paging_create(uffds))
		return -ENOMEM;
	return join(encl, uffds, true);
}
