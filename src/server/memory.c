/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of one enclave: a memory file with its pages, at their offset from
 * the base, and one with what the program must know to enter and leave it.
 * Both are sparse: only what is touched takes memory, however large ELRANGE is.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

void encl_memory_init(struct encl_memory *mem)
{
	*mem = (struct encl_memory){ .pages_fd = -1, .shared_fd = -1 };
}

int memory_file(const char *name, uint64_t size, void **map)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), error;

	if (fd < 0)
		return -errno;
	/* The program gets this file too: cut short, it would be our SIGBUS. */
	if (ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		goto fail;
	*map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (*map != MAP_FAILED)
		return fd;
fail:
	error = -errno;
	close(fd);
	return error;
}

/* --- memory that there may not be -------------------------------------------------- */

static int populate(void *at, size_t size)
{
	/* Before Linux 5.14 one cannot ask. */
	return madvise(at, size, MADV_POPULATE_WRITE) && errno != EINVAL ? -ENOMEM : 0;
}

#define LOOK_AHEAD 256u		/* pages */

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

/* Linux 6.5 counts the pages of a file; looking at each takes five times as long. */
static bool are_all_present(const struct encl_memory *mem, uint64_t offset, uint64_t nr)
{
	const struct {
		uint64_t offset, size;
	} range = { offset, nr * SGX_PAGE_SIZE };
	struct {
		uint64_t nr_cache, others[4];
	} stat = { 0 };

	return !syscall(SYS_cachestat, mem->pages_fd, &range, &stat, 0) && stat.nr_cache == nr;
}

/*
 * From @offset on, how much is there?  Asking for many pages at once takes little more than
 * for one if they are there, and long if not: so for as many as were there before, twice.
 */
static uint64_t present(struct encl_memory *mem, uint64_t offset)
{
	const uint64_t left = (mem->size - offset) / SGX_PAGE_SIZE;
	const uint64_t nr = left <= mem->look_ahead ? left : mem->look_ahead + 1;
	unsigned char is_here[LOOK_AHEAD];
	uint64_t n = 0;

	if (are_all_present(mem, offset, nr))
		n = nr;
	else if (mincore(mem->pages + offset, nr * SGX_PAGE_SIZE, is_here))
		return 0;
	while (n < nr && is_here[n] & 1)
		n++;
	mem->look_ahead = n < nr ? 0 : 2 * nr < LOOK_AHEAD ? 2 * nr : LOOK_AHEAD - 1;
	return n * SGX_PAGE_SIZE;
}

static int back_mirror(struct encl_memory *mem, uint64_t entry)
{
	const uintptr_t at = (uintptr_t)&mem->mirror[entry] & SGX_PAGE_MASK;

	if (at + SGX_PAGE_SIZE == mem->mirror_backed)
		return 0;
	if (populate((void *)at, SGX_PAGE_SIZE))
		return -ENOMEM;
	mem->mirror_backed = at + SGX_PAGE_SIZE;
	return 0;
}

int encl_memory_back(struct encl_memory *mem, uint64_t offset)
{
	if (back_mirror(mem, offset / SGX_PAGE_SIZE))
		return -ENOMEM;
	if (offset >= mem->backed && offset < mem->backed_end)
		return 0;
	mem->backed = offset;
	mem->backed_end = offset + present(mem, offset);
	if (mem->backed_end > offset)
		return 0;
	return populate(mem->pages + offset, SGX_PAGE_SIZE);
}

void encl_memory_punch(struct encl_memory *mem, uint64_t offset, uint64_t size)
{
	mem->backed_end = 0;
	madvise(mem->pages + offset, size, MADV_REMOVE);
}

/* --- the files --------------------------------------------------------------------------- */

int encl_memory_create(struct encl_memory *mem, const struct sgx_secs *secs)
{
	const uint64_t size = secs->size;
	struct encl_memory new = { .base = secs->baseaddr, .size = size, .shared_fd = -1,
				   .ssaframesize = secs->ssaframesize };
	void *map;

	new.pages_fd = memory_file("sgx_enclave", size, &map);
	if (new.pages_fd < 0)
		return -ENOMEM;
	new.pages = map;
	new.shared_size = PROTO_MIRROR_OFFSET + size / SGX_PAGE_SIZE * sizeof(uint16_t);
	new.shared_fd = memory_file("sgx_enclave-state", new.shared_size, &map);
	if (new.shared_fd < 0) {
		encl_memory_destroy(&new);
		return -ENOMEM;
	}
	new.shared = map;
	new.mirror = (uint16_t *)((uint8_t *)map + PROTO_MIRROR_OFFSET);
	if (populate(map, SGX_PAGE_SIZE)) {
		encl_memory_destroy(&new);
		return -ENOMEM;
	}
	atomic_store(&new.shared->first, UINT64_MAX);
	*mem = new;
	return 0;
}

void encl_memory_destroy(struct encl_memory *mem)
{
	if (mem->pages_fd >= 0) {
		munmap(mem->pages, mem->size);
		close(mem->pages_fd);
	}
	if (mem->shared_fd >= 0) {
		munmap(mem->shared, mem->shared_size);
		close(mem->shared_fd);
	}
	encl_memory_init(mem);
}

void encl_memory_mirror(struct encl_memory *mem, uint64_t offset,
			const struct isa_epcm_info *info)
{
	const uint64_t i = offset / SGX_PAGE_SIZE;
	uint16_t entry = 0;

	if (info->valid)
		entry = (uint16_t)(MIRROR_VALID | info->rwx |
				   (info->pending ? MIRROR_PENDING : 0) |
				   (info->modified ? MIRROR_MODIFIED : 0) |
				   (info->blocked ? MIRROR_BLOCKED : 0) |
				   info->pt << MIRROR_PT_SHIFT);
	__atomic_store_n(&mem->mirror[i], entry, __ATOMIC_RELEASE);
	if (i < atomic_load(&mem->shared->first))
		atomic_store(&mem->shared->first, i);
	if (i >= atomic_load(&mem->shared->end))
		atomic_store(&mem->shared->end, i + 1);
}
