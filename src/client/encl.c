/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Enclaves this process has mapped: the memory files the server shares, and the
 * rights of their pages.
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

/* --- rights -------------------------------------------------------------------- */

uint16_t client_encl_mirror(const struct client_encl *encl, uint64_t addr)
{
	const uint64_t i = (addr - encl->base) / SGX_PAGE_SIZE;

	/* Beyond the bounds a look would make the sparse file less sparse. */
	if (i < atomic_load(&encl->shared->first) || i >= atomic_load(&encl->shared->end))
		return 0;
	return __atomic_load_n(&encl->mirror[i], __ATOMIC_ACQUIRE);
}

static int epcm_prot(uint16_t entry)
{
	const unsigned int state = MIRROR_VALID | MIRROR_PENDING | MIRROR_MODIFIED |
				   MIRROR_BLOCKED;

	if ((entry & state) != MIRROR_VALID || entry >> MIRROR_PT_SHIFT != PT_REG)
		return PROT_NONE;
	return (entry & SECINFO_R ? PROT_READ : 0) | (entry & SECINFO_W ? PROT_WRITE : 0) |
	       (entry & SECINFO_X ? PROT_EXEC : 0);
}

static int effective_prot(const struct client_vma *vma, uint64_t addr)
{
	return vma->prot & epcm_prot(client_encl_mirror(vma->encl, addr));
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Run by run: one mapping a page would meet the kernel's limit soon. */
void client_encl_apply(const struct client_vma *vma, uint64_t start, uint64_t end)
{
	const struct client_encl *encl = vma->encl;
	uint64_t lo, hi, run;

	start = max_u64(start, vma->start);
	end = min_u64(end, vma->end);
	if (start >= end)
		return;
	if (!encl->size) {
		sys_mprotect((void *)(uintptr_t)start, end - start, PROT_NONE);
		return;
	}
	/* Pages exist only between these two. */
	lo = encl->base + atomic_load(&encl->shared->first) * SGX_PAGE_SIZE;
	hi = encl->base + atomic_load(&encl->shared->end) * SGX_PAGE_SIZE;
	if (lo >= hi || hi <= start || lo >= end) {
		sys_mprotect((void *)(uintptr_t)start, end - start, PROT_NONE);
		return;
	}
	lo = max_u64(lo, start);
	hi = min_u64(hi, end);
	if (start < lo)
		sys_mprotect((void *)(uintptr_t)start, lo - start, PROT_NONE);
	for (; lo < hi; lo = run) {
		const int prot = effective_prot(vma, lo);

		run = lo + SGX_PAGE_SIZE;
		while (run < hi && effective_prot(vma, run) == prot)
			run += SGX_PAGE_SIZE;
		sys_mprotect((void *)(uintptr_t)lo, run - lo, prot);
	}
	if (hi < end)
		sys_mprotect((void *)(uintptr_t)hi, end - hi, PROT_NONE);
}

int client_encl_map(struct client_encl *encl, uint64_t start, uint64_t end)
{
	const uint64_t lo = max_u64(start, encl->base);
	const uint64_t hi = min_u64(end, encl->base + encl->size);
	void *p = sys_mmap((void *)(uintptr_t)start, end - start, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	/* Before CREATE there is only the range. */
	if (!sys_is_error(p) && lo < hi)
		p = sys_mmap((void *)(uintptr_t)lo, hi - lo, PROT_NONE,
			     MAP_SHARED | MAP_NORESERVE | MAP_FIXED, encl->pages_fd,
			     lo - encl->base);
	if (sys_is_error(p))
		return (int)(intptr_t)p;
	return lo < hi ? client_paging_map(encl, lo, hi - lo) : 0;
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

void client_encl_pages_changed(struct client_encl *encl, uint64_t start, uint64_t end)
{
	const struct client_vma *vma;
	uint64_t saved;

	client_lock(&saved);
	for (vma = client_vma_next(start); vma && vma->start < end;
	     vma = client_vma_next(vma->end))
		if (vma->encl == encl)
			client_encl_apply(vma, start, end);
	client_unlock(&saved);
}

/* --- the view entry works on ------------------------------------------------------ */

static bool knows(const struct client_lookup *known, uint64_t la)
{
	if (known->generation != client_vma_generation())
		return false;
	for (unsigned int i = 0; i < known->nr; i++)
		if (known->writable[i] == la)
			return true;
	return false;
}

static void learn(struct client_lookup *known, uint64_t la)
{
	const unsigned int max = sizeof(known->writable) / sizeof(known->writable[0]);

	known->writable[known->next] = la;
	known->next = (known->next + 1) % max;
	if (known->nr < max)
		known->nr++;
}

struct client_encl *client_encl_enter(struct client_thread *thread, uint64_t tcs)
{
	struct client_lookup *const known = &thread->known;
	struct client_encl *encl;

	if (knows(known, tcs)) {
		thread->encl = known->encl;
		return known->encl;
	}
	client_lock_blocked();
	encl = client_encl_at(tcs);
	if (encl != known->encl || known->generation != client_vma_generation())
		*known = (struct client_lookup){
			.generation = client_vma_generation(),
			.encl = encl,
		};
	client_unlock_blocked();
	thread->encl = encl;
	return encl;
}

/* What of an access the program's mappings decide: is there one, and does it allow that? */
static bool look_up(struct client_thread *thread, uint64_t la, bool write, bool *mapped)
{
	const int prot = write ? PROT_WRITE : PROT_READ | PROT_WRITE | PROT_EXEC;
	const struct client_vma *vma;
	bool allowed;

	client_lock_blocked();
	vma = client_vma_find(la);
	*mapped = vma;
	allowed = vma && vma->encl == thread->encl && (vma->prot & prot);
	if (allowed && write && thread->known.encl == thread->encl &&
	    thread->known.generation == client_vma_generation())
		learn(&thread->known, la);
	client_unlock_blocked();
	return allowed;
}

static bool view_page(void *ctx, uint64_t la, bool write, struct isa_epcm_info *info,
		      void **page, struct isa_outcome *fault)
{
	struct client_thread *const thread = ctx;
	const struct client_encl *const encl = thread->encl;
	const uint16_t entry = client_encl_mirror(encl, la);
	bool mapped = true;

	if ((!knows(&thread->known, la) && !look_up(thread, la, write, &mapped)) ||
	    !(entry & MIRROR_VALID)) {
		*fault = (struct isa_outcome){
			.kind = ISA_FAULT,
			.vector = X86_PF,
			.error_code = PFEC_U | (write ? PFEC_W : 0) | (mapped ? PFEC_P : 0),
			.address = la,
		};
		if (!(entry & MIRROR_VALID))
			fault->error_code &= ~PFEC_P;
		return false;
	}
	*info = (struct isa_epcm_info){
		.valid = true,
		.pt = (uint8_t)(entry >> MIRROR_PT_SHIFT),
		.rwx = entry & MIRROR_RWX,
		.blocked = entry & MIRROR_BLOCKED,
		.pending = entry & MIRROR_PENDING,
		.modified = entry & MIRROR_MODIFIED,
		.enclaveaddress = la,
	};
	*page = encl->pages + (la - encl->base);
	return true;
}

bool client_encl_is_lost(const struct client_encl *encl)
{
	return !(atomic_load_explicit(encl->machine, memory_order_acquire) & PROTO_IS_ALIVE);
}

struct isa_encl_view client_encl_view(struct client_thread *thread)
{
	return (struct isa_encl_view){
		.blk = &thread->encl->shared->blk,
		.page = view_page,
		.ctx = thread,
		.xcr0 = client_xcr0(),
		.xsave_component = client_xsave_components(),
		.holder = thread->encl->number,
	};
}
