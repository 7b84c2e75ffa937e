/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rights of an enclave's pages: what the program mapped them with, and not more
 * than their EPCM entries have.
 */
#include <stdint.h>
#include <sys/mman.h>

#include "client.h"
#include "sys.h"

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
