/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mmap, mprotect, munmap and mremap, in front of libc's: mappings of an enclave
 * are made of its memory file, with the rights its pages have, and remembered.
 */
#include <asm/mman.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>

#include "client.h"
#include "exits.h"
#include "source.h"
#include "sys.h"

static uint64_t page_up(uint64_t n)
{
	return (n + SGX_PAGE_SIZE - 1) & SGX_PAGE_MASK;
}

static void *map_failed(long error)
{
	errno = (int)-error;
	return MAP_FAILED;
}

static int result(long ret)
{
	if (!ret)
		return 0;
	errno = (int)-ret;
	return -1;
}

/* --- mmap ------------------------------------------------------------------------- */

static long may_map(struct client_encl *encl, uint64_t start, uint64_t end, int prot)
{
	const long persona = sys_call(SYS_personality, 0xffffffff, 0, 0, 0);
	const struct proto_request req = {
		.magic = PROTO_MAGIC,
		.op = PROTO_OP_MAY_MAP,
		.a = start,
		.b = end,
		.c = (uint64_t)prot,
		.d = persona > 0 && (persona & READ_IMPLIES_EXEC),
	};
	struct proto_frame done;
	int ret = client_call(encl->sock, &req, &done, NULL);

	return ret ? ret : done.result;
}

/* Find a place as the kernel would, and keep it. */
static uint64_t reserve(const void *addr, uint64_t size, int flags)
{
	const int kept = flags & (MAP_FIXED_NOREPLACE | MAP_32BIT);

	return (uint64_t)sys_mmap(addr, size, PROT_NONE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | kept, -1, 0);
}

static long show(const struct client_vma *vma)
{
	const uint64_t start = vma->start, end = vma->end;
	uint64_t saved;
	long ret;

	client_lock(&saved);
	ret = client_vma_set(vma);
	if (!ret)
		ret = client_encl_map(vma->encl, start, end);
	if (!ret)
		client_encl_apply(client_vma_find(start), start, end);
	/* A child does not inherit virtual EPC. */
	if (!ret && vma->encl->vepc_id)
		sys_call(SYS_madvise, (long)start, (long)(end - start), MADV_DONTFORK, 0);
	client_unlock(&saved);
	return ret;
}

static long map_enclave(struct client_encl *encl, const void *addr, uint64_t size, int prot,
			int flags, uint64_t offset)
{
	const bool fixed = (flags & MAP_FIXED) && !(flags & MAP_FIXED_NOREPLACE);
	uint64_t start = fixed ? (uintptr_t)addr : reserve(addr, size, flags);
	long ret;

	if (sys_is_error((void *)start))
		return (long)start;
	ret = may_map(encl, start, start + size, prot);
	if (!ret && encl->size && exits_attach(encl))
		ret = -ENOMEM;
	if (!ret)
		ret = show(&(struct client_vma){ start, start + size, prot, offset - start, encl });
	if (!ret && prot & PROT_EXEC)
		client_encl_scan(encl, start, start + size);
	if (ret && !fixed)
		sys_munmap((void *)start, size);
	return ret ? ret : (long)start;
}

static long map_device(int fd, const char *device, const void *addr, size_t size, int prot,
		       int flags, uint64_t offset)
{
	const int type = flags & MAP_TYPE;
	struct client_encl *encl;
	long ret;

	if (offset % SGX_PAGE_SIZE)
		return -EINVAL;
	if (!strcmp(device, PROTO_PROVISION))
		return -ENODEV;
	if (!size || (type != MAP_SHARED && type != MAP_SHARED_VALIDATE) ||
	    ((flags & MAP_FIXED) && (uintptr_t)addr % SGX_PAGE_SIZE))
		return -EINVAL;
	if (page_up(size) < size || (uintptr_t)addr + page_up(size) < page_up(size))
		return -ENOMEM;
	ret = client_encl_get(fd, &encl);
	if (ret)
		return ret;
	ret = map_enclave(encl, addr, page_up(size), prot, flags, offset);
	client_encl_put(encl);
	return ret;
}

/* Lock held. */
static bool has_ours(uint64_t start, uint64_t size)
{
	const struct client_vma *vma = client_vma_next(start);

	return vma && vma->start < start + size;
}

/* Other mappings may replace ours. */
static void forget(uint64_t start, uint64_t size)
{
	uint64_t saved;
	bool any;

	source_forget();
	if (!client_vma_any())
		return;
	client_lock(&saved);
	any = has_ours(start, size);
	if (any)
		client_vma_clear(start, start + size);
	client_unlock(&saved);
	if (any)
		client_encl_put(NULL);
}

static void *do_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	const bool is_fixed = flags & MAP_FIXED;
	const char *device = NULL;
	long ret = -ENODEV;

	/*
	 * No socket can be mapped, and asking whether it is one of ours costs a system
	 * call: so the kernel is asked to map it first, unless it would unmap before.
	 */
	if (is_fixed && !(flags & MAP_ANONYMOUS))
		device = client_device_of(fd);
	if (!device)
		ret = (long)sys_mmap(addr, size, prot, flags, fd, (uint64_t)offset);
	if (!is_fixed && !(flags & MAP_ANONYMOUS) && sys_is_error((void *)ret))
		device = client_device_of(fd);
	if (device)
		ret = map_device(fd, device, addr, size, prot, flags, (uint64_t)offset);
	else if (is_fixed && !sys_is_error((void *)ret))
		forget((uint64_t)ret, page_up(size));
	return sys_is_error((void *)ret) ? map_failed(ret) : (void *)ret;
}

CLIENT_EXPORT void *mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	return do_mmap(addr, size, prot, flags, fd, offset);
}

CLIENT_EXPORT void *mmap64(void *addr, size_t size, int prot, int flags, int fd, off64_t offset)
{
	return do_mmap(addr, size, prot, flags, fd, offset);
}

/* --- munmap, mremap ------------------------------------------------------------------ */

/*
 * Under the lock: another thread may be given the addresses at once, and must
 * not find its new mapping forgotten.
 */
static long unmap_ours(uint64_t start, uint64_t size)
{
	uint64_t saved;
	long ret;

	client_lock(&saved);
	ret = sys_munmap((void *)(uintptr_t)start, size);
	if (!ret)
		client_vma_clear(start, start + size);
	client_unlock(&saved);
	client_encl_put(NULL);
	return ret;
}

static bool is_ours(uint64_t start, uint64_t size)
{
	uint64_t saved;
	bool ours;

	if (!client_vma_any())
		return false;
	client_lock(&saved);
	ours = has_ours(start, size);
	client_unlock(&saved);
	return ours;
}

CLIENT_EXPORT int munmap(void *addr, size_t size)
{
	const uint64_t start = (uintptr_t)addr;
	const long ret = is_ours(start, page_up(size)) ? unmap_ours(start, page_up(size))
						       : sys_munmap(addr, size);

	source_forget();
	return result(ret);
}

CLIENT_EXPORT void *mremap(void *old, size_t old_size, size_t new_size, int flags, ...)
{
	void *new = NULL, *p;
	va_list args;

	va_start(args, flags);
	if (flags & MREMAP_FIXED)
		new = va_arg(args, void *);
	va_end(args);
	/* As for every mapping the kernel may not grow. */
	if (is_ours((uintptr_t)old, page_up(old_size)))
		return map_failed(-EFAULT);
	p = (void *)sys_call6(SYS_mremap, (long)old, (long)old_size, (long)new_size, flags,
			      (long)new, 0);
	if (sys_is_error(p))
		return map_failed((long)p);
	source_forget();
	if (flags & MREMAP_FIXED)
		forget((uintptr_t)p, page_up(new_size));
	return p;
}

/* --- mprotect ---------------------------------------------------------------------------- */

/* The part of an enclave's mapping that starts at @start, up to @end. */
static long protect_enclave(struct client_encl *encl, uint64_t start, uint64_t end, int prot)
{
	struct client_vma changed;
	uint64_t saved;
	long error;

	/* Neither a stack nor of a kind the kernel knows. */
	if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM))
		return -EINVAL;
	error = may_map(encl, start, end, prot);
	if (error)
		return error;
	client_lock(&saved);
	/* Somebody may have unmapped it meanwhile. */
	if (client_vma_find(start)) {
		changed = *client_vma_find(start);
		changed.start = start;
		changed.end = end;
		changed.prot = prot;
		error = client_vma_set(&changed);
	} else {
		error = -ENOMEM;
	}
	if (!error)
		client_encl_apply(client_vma_find(start), start, end);
	client_unlock(&saved);
	return error;
}

/* The interval at @start: ours (then *@encl) or not, ending at *@end at the latest. */
static void part_at(uint64_t start, uint64_t *end, struct client_encl **encl)
{
	const struct client_vma *vma;
	uint64_t saved;

	client_lock(&saved);
	vma = client_vma_next(start);
	*encl = NULL;
	if (vma && vma->start <= start) {
		*encl = vma->encl;
		if (vma->end < *end)
			*end = vma->end;
	} else if (vma && vma->start < *end) {
		*end = vma->start;
	}
	client_unlock(&saved);
}

CLIENT_EXPORT int mprotect(void *addr, size_t size, int prot)
{
	uint64_t start = (uintptr_t)addr;
	const uint64_t end = start + page_up(size);
	long ret = 0;

	if (start % SGX_PAGE_SIZE || end <= start || !is_ours(start, end - start))
		return result(sys_mprotect(addr, size, prot));
	while (!ret && start < end) {
		struct client_encl *encl;
		uint64_t part_end = end;

		part_at(start, &part_end, &encl);
		if (encl && prot & PROT_EXEC)
			client_encl_scan(encl, start, part_end);
		ret = encl ? protect_enclave(encl, start, part_end, prot)
			   : sys_mprotect((void *)(uintptr_t)start, part_end - start, prot);
		start = part_end;
	}
	return result(ret);
}
