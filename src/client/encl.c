/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Enclaves this process has mapped, and the memory files the server shares.
 *
 * An enclave lives while its device is open or mapped, as in the kernel, where
 * a mapping holds the file.  Here a duplicate of the socket stands for that.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "client.h"
#include "counts.h"
#include "exits.h"
#include "sys.h"

/* Our descriptors stay out of the way of programs that count theirs. */
#define FD_BASE 700

static struct client_encl *encls;	/* guarded by the lock */
static int lowest_fd = INT_MAX;		/* none of ours was ever below */

static uint64_t inode_of(int fd)
{
	struct stat st;

	return sys_call(SYS_fstat, fd, (long)&st, 0, 0) < 0 ? 0 : st.st_ino;
}

static struct client_encl *find(uint64_t inode)
{
	struct client_encl *encl = encls;

	while (encl && encl->inode != inode)
		encl = encl->next;
	return encl;
}

struct client_encl *client_encl_at(uint64_t addr)
{
	struct client_encl *encl = encls;

	while (encl && addr - encl->base >= encl->size)
		encl = encl->next;
	return encl;
}

static int note_fd(int fd)
{
	if (fd < lowest_fd)
		__atomic_store_n(&lowest_fd, fd, __ATOMIC_RELAXED);
	return fd;
}

/* Out of the program's way, if there is room. */
static int move_up(int fd)
{
	const long up = sys_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, FD_BASE, 0);

	if (up < 0)
		return fd;
	sys_close(fd);
	return (int)up;
}

/*
 * A place for @size bytes of ours.  Not in ELRANGE, even if that is free now: what
 * the program maps there would replace it.  Nor so near that another process may
 * choose the place for its exits.
 */
static uint8_t *reserve_outside(size_t size, const struct proto_frame *frame)
{
	const uint64_t start = frame->base < EXITS_REACH ? 0 : frame->base - EXITS_REACH;
	const uint64_t end = frame->base + frame->encl_size + EXITS_REACH;
	uint8_t *p = sys_mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			      -1, 0);
	uint8_t *next;

	if (sys_is_error(p))
		return NULL;
	if ((uintptr_t)p >= end || (uintptr_t)p + size <= start)
		return p;
	/* Few fit in there, and each stays until the next one is found. */
	next = reserve_outside(size, frame);
	sys_munmap(p, size);
	return next;
}

/* @prot: besides reading. */
static bool map_at(uint8_t *at, int fd, size_t size, int prot)
{
	return !sys_is_error(sys_mmap(at, size, PROT_READ | prot,
				      MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0));
}

/* A thread and a TCS for each page, of which few are ever touched. */
static size_t by_gs_size(uint64_t encl_size)
{
	return (encl_size / SGX_PAGE_SIZE * (sizeof(struct client_thread *) + sizeof(uint64_t)) +
		SGX_PAGE_SIZE - 1) & SGX_PAGE_MASK;
}

static void take_memory(struct client_encl *encl, const struct proto_frame *frame,
			const int fds[PROTO_NR_FILES])
{
	const size_t shared_size =
		PROTO_MIRROR_OFFSET + frame->encl_size / SGX_PAGE_SIZE * sizeof(uint16_t);
	const size_t shared_end = (shared_size + SGX_PAGE_SIZE - 1) & SGX_PAGE_MASK;
	const size_t by_gs_at = shared_end + SGX_PAGE_SIZE;
	const size_t size = frame->encl_size + by_gs_at + by_gs_size(frame->encl_size);
	uint8_t *pages = reserve_outside(size, frame);
	uint8_t *shared = pages + frame->encl_size;
	const bool mapped = pages && map_at(pages, fds[0], frame->encl_size, PROT_WRITE) &&
			    map_at(shared, fds[1], shared_size, PROT_WRITE) &&
			    map_at(shared + shared_end, fds[2], SGX_PAGE_SIZE, PROT_NONE) &&
			    !sys_mprotect(shared + by_gs_at, by_gs_size(frame->encl_size),
					  PROT_READ | PROT_WRITE);

	sys_close(fds[2]);
	sys_close(fds[1]);
	if (!mapped) {
		if (pages)
			sys_munmap(pages, size);
		sys_close(fds[0]);
		return;
	}
	encl->pages_fd = note_fd(move_up(fds[0]));
	encl->pages = pages;
	encl->shared = (struct proto_shared *)shared;
	encl->shared_size = size - frame->encl_size;
	encl->mirror = (const uint16_t *)(shared + PROTO_MIRROR_OFFSET);
	encl->machine = (const _Atomic uint32_t *)(shared + shared_end);
	encl->by_gs = (struct client_thread **)(shared + by_gs_at);
	encl->tcs_by_gs = (uint64_t *)(encl->by_gs + frame->encl_size / SGX_PAGE_SIZE);
	encl->base = frame->base;
	encl->size = frame->encl_size;
	client_vma_changed();
}

int client_note_fd(int fd)
{
	return note_fd(move_up(fd));
}

/* Ours no more; mappings of the program there are none yet. */
static void drop_memory(struct client_encl *encl)
{
	if (!encl->size)
		return;
	traps_forget(encl);
	exits_forget(encl);
	sys_munmap(encl->pages, encl->size);
	sys_munmap(encl->shared, encl->shared_size);
	sys_close(encl->pages_fd);
	client_paging_close(encl);
	encl->pages_fd = -1;
	encl->size = 0;
	client_vma_changed();
	encl->attached = false;
}

/*
 * Ask the server for the enclave's memory; it has none before CREATE.  Virtual
 * EPC has none at all, but an id.  A process whose pages cannot be taken away
 * says so with the request, and gets what was taken away from others back.
 */
static int ask_for_memory(struct client_encl *encl)
{
	int uffds[2];
	const struct proto_request req = {
		.magic = PROTO_MAGIC,
		.op = PROTO_OP_ATTACH,
		.a = client_paging_create(uffds),
	};
	struct proto_frame done;
	uint64_t saved;
	int fds[PROTO_NR_FILES];
	int ret = client_call(encl->sock, &req, &done, fds);

	if (!ret && done.result < 0)
		ret = (int)done.result;
	if (!ret && fds[0] < 0) {
		encl->vepc_id = done.base;
	} else if (!ret) {
		client_lock(&saved);
		take_memory(encl, &done, fds);
		client_unlock(&saved);
		if (encl->size)
			return client_paging_join(encl, uffds);
		ret = -ENOMEM;
	}
	client_paging_discard(uffds);
	return ret;
}

/* One thread at a time; nobody maps anything before the server knows of us. */
static int attach(struct client_encl *encl)
{
	uint64_t saved;
	bool ours;
	int ret;

	for (;;) {
		client_lock(&saved);
		ours = !encl->attaching;
		encl->attaching = true;
		client_unlock(&saved);
		if (ours)
			break;
		sys_call(SYS_sched_yield, 0, 0, 0, 0);
	}
	ret = encl->size ? 0 : ask_for_memory(encl);
	counts_attach();
	client_lock(&saved);
	if (ret)
		drop_memory(encl);
	encl->attached = encl->size;
	encl->attaching = false;
	client_unlock(&saved);
	return ret;
}

static int duplicate(int fd)
{
	long up = sys_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, FD_BASE, 0);

	if (up == -EINVAL)
		up = sys_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0, 0);
	return up < 0 ? (int)up : note_fd((int)up);
}

/*
 * Records of a few enclaves are kept here: in memory of its own one could be
 * where the program is about to map the enclave.
 */
static struct client_encl first_records[64];
#define NR_FIRST (sizeof(first_records) / sizeof(first_records[0]))

static struct client_encl *allocate(void)
{
	void *p;

	for (size_t i = 0; i < NR_FIRST; i++)
		if (!first_records[i].inode)
			return &first_records[i];
	p = sys_mmap(NULL, sizeof(struct client_encl), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return sys_is_error(p) ? NULL : p;
}

static void release(struct client_encl *encl)
{
	if (encl >= first_records && encl < first_records + NR_FIRST)
		memset(encl, 0, sizeof(*encl));
	else
		sys_munmap(encl, sizeof(*encl));
}

static struct client_encl *create(int fd, uint64_t inode)
{
	struct client_encl *encl = allocate();
	int sock;

	if (!encl)
		return NULL;
	sock = duplicate(fd);
	if (sock < 0) {
		release(encl);
		return NULL;
	}
	encl->inode = inode;
	encl->sock = sock;
	encl->pages_fd = encl->uffd = -1;
	encl->next = encls;
	encls = encl;
	return encl;
}

static void destroy(struct client_encl *encl)
{
	struct client_encl **p = &encls;

	while (*p != encl)
		p = &(*p)->next;
	*p = encl->next;
	drop_memory(encl);
	sys_close(encl->sock);
	release(encl);
}

int client_encl_get(int fd, struct client_encl **out)
{
	const uint64_t inode = inode_of(fd);
	struct client_encl *encl;
	uint64_t saved;
	int ret;

	client_lock(&saved);
	encl = find(inode);
	if (!encl)
		encl = create(fd, inode);
	if (encl)
		encl->nr_users++;
	client_unlock(&saved);
	if (!encl)
		return -ENOMEM;
	ret = encl->attached ? 0 : attach(encl);
	if (ret) {
		client_encl_put(encl);
		return ret;
	}
	*out = encl;
	return 0;
}

struct client_encl *client_encl_known(int fd)
{
	const uint64_t inode = inode_of(fd);
	struct client_encl *encl;
	uint64_t saved;

	client_lock(&saved);
	encl = find(inode);
	if (encl)
		encl->nr_users++;
	client_unlock(&saved);
	return encl;
}

/* Where @encl notes @fd, NULL when it is not one of its. */
static int *number_of(struct client_encl *encl, int fd)
{
	int *const all[] = { &encl->sock, &encl->pages_fd, &encl->uffd };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (*all[i] == fd)
			return all[i];
	return NULL;
}

bool client_owns_fd(int fd)
{
	struct client_encl *encl;
	uint64_t saved;

	/* Programs close all day. */
	if (fd < __atomic_load_n(&lowest_fd, __ATOMIC_RELAXED))
		return false;
	client_lock(&saved);
	encl = encls;
	while (encl && !number_of(encl, fd))
		encl = encl->next;
	client_unlock(&saved);
	return encl;
}

int client_move_fd(int fd)
{
	struct client_encl *encl;
	uint64_t saved;
	int up = 0;

	client_lock(&saved);
	for (encl = encls; encl && up >= 0; encl = encl->next) {
		int *const ours = number_of(encl, fd);

		if (!ours)
			continue;
		up = duplicate(fd);
		if (up >= 0)
			*ours = up;
	}
	client_unlock(&saved);
	return up < 0 ? up : 0;
}

/* Also forgets enclaves whose last mapping went away meanwhile. */
void client_encl_put(struct client_encl *encl)
{
	struct client_encl *next;
	uint64_t saved;

	client_lock(&saved);
	if (encl)
		encl->nr_users--;
	for (encl = encls; encl; encl = next) {
		next = encl->next;
		if (!encl->nr_users && !encl->nr_vmas)
			destroy(encl);
	}
	client_unlock(&saved);
}

/* --- what happens to them --------------------------------------------------------- */

bool client_encl_is_lost(const struct client_encl *encl)
{
	return !(atomic_load_explicit(encl->machine, memory_order_acquire) & PROTO_IS_ALIVE);
}

/*
 * A thread that was about to attach is not here to finish that, and what it had
 * mapped may be inherited without being registered: begin again when it is needed.
 */
static void take_over(struct client_encl *encl)
{
	encl->attaching = false;
	if (!encl->attached || client_paging_forked(encl))
		drop_memory(encl);
}

void client_encl_forked(void)
{
	const struct client_vma *vma;
	struct client_encl *encl;

	for (encl = encls; encl; encl = encl->next)
		take_over(encl);
	client_lock_blocked();
	/* Who was inside is not in the child. */
	for (encl = encls; encl; encl = encl->next)
		if (encl->size)
			sys_call(SYS_madvise, (long)encl->by_gs, (long)by_gs_size(encl->size),
				 MADV_DONTNEED, 0);
	for (vma = client_vma_next(0); vma; vma = client_vma_next(vma->end)) {
		/* Inherited as it was.  What was dropped leaves its range occupied. */
		if (vma->encl->size && vma->encl->uffd < 0)
			continue;
		client_encl_map(vma->encl, vma->start, vma->end);
		client_encl_apply(vma, vma->start, vma->end);
	}
	client_unlock_blocked();
}

void client_encl_created(struct client_encl *encl)
{
	const struct client_vma *vma;
	uint64_t saved;

	if (!encl->attached && attach(encl))
		return;
	client_lock(&saved);
	for (vma = client_vma_next(0); vma; vma = client_vma_next(vma->end))
		if (vma->encl == encl && encl->size) {
			client_encl_map(encl, vma->start, vma->end);
			client_encl_apply(vma, vma->start, vma->end);
		}
	client_unlock(&saved);
}
