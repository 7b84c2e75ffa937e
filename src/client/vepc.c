/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mappings of /dev/sgx_vepc: out of reach until touched, when the server gives
 * the page EPC; then what EPC is to all who are not in an enclave, the abort page.
 */
#include <errno.h>
#include <sys/mman.h>

#include "client.h"
#include "sys.h"

int client_vepc_opened(int fd)
{
	const struct proto_request req = { .magic = PROTO_MAGIC, .op = PROTO_OP_ATTACH };
	struct proto_frame done;
	int ret = client_call(fd, &req, &done, NULL);

	return ret ? ret : (int)done.result;
}

static bool is_vepc(const struct client_vma *vma)
{
	return vma && vma->encl->vepc_id;
}

/* The mapping that holds @addr; lock held. */
static const struct client_vma *find(uint64_t addr)
{
	const struct client_vma *vma = client_vma_find(addr);

	return is_vepc(vma) ? vma : NULL;
}

static uint64_t index_of(const struct client_vma *vma, uint64_t addr)
{
	return (addr + vma->file_shift) >> SGX_PAGE_SHIFT;
}

int client_vepc_page(uint64_t addr, bool write, struct proto_vepc_page *page)
{
	const struct client_vma *vma;
	uint64_t saved;
	int error = 0;

	client_lock(&saved);
	vma = find(addr);
	if (!vma)
		error = ENOENT;
	else if (write && !(vma->prot & PROT_WRITE))
		error = EACCES;
	else
		*page = (struct proto_vepc_page){ vma->encl->vepc_id, index_of(vma, addr) };
	client_unlock(&saved);
	return error;
}

struct client_encl *client_vepc_any(void)
{
	struct client_encl *vepc = NULL;
	const struct client_vma *vma;
	uint64_t saved;

	client_lock(&saved);
	for (vma = client_vma_next(0); vma && !vepc; vma = client_vma_next(vma->end))
		if (is_vepc(vma))
			vepc = vma->encl;
	if (vepc)
		vepc->nr_users++;
	client_unlock(&saved);
	return vepc;
}

/* memset() may use vector registers. */
static void fill(uint64_t page)
{
	uint64_t n = SGX_PAGE_SIZE / sizeof(uint64_t);

	__asm__ volatile("rep stosq" : "+D"(page), "+c"(n) : "a"(UINT64_MAX) : "memory");
}

/* The page has EPC: let the program have it, if it is still the same mapping. */
static int open_page(const struct client_encl *vepc, uint64_t page, uint64_t index)
{
	const struct client_vma *vma = find(page);
	void *const p = (void *)(uintptr_t)page;
	long ret;

	if (!vma || vma->encl != vepc || index_of(vma, page) != index)
		return 0;	/* whatever is there now, the next access will tell */
	ret = sys_mprotect(p, SGX_PAGE_SIZE, PROT_READ | PROT_WRITE);
	if (ret)
		return (int)ret;
	fill(page);
	return (int)sys_mprotect(p, SGX_PAGE_SIZE, vma->prot);
}

int client_vepc_fault(uint64_t addr)
{
	const uint64_t page = addr & SGX_PAGE_MASK;
	struct proto_request req = { .magic = PROTO_MAGIC, .op = PROTO_OP_VEPC_FAULT };
	const struct client_vma *vma;
	struct client_encl *vepc = NULL;
	struct proto_frame done;
	uint64_t saved;
	int ret;

	client_lock(&saved);
	vma = find(page);
	if (vma) {
		vepc = vma->encl;
		vepc->nr_users++;
		req.a = index_of(vma, page);
	}
	client_unlock(&saved);
	if (!vepc)
		return 0;
	ret = client_call(vepc->sock, &req, &done, NULL);
	if (!ret)
		ret = (int)done.result;
	client_lock(&saved);
	if (!ret)
		ret = open_page(vepc, page, req.a);
	client_unlock(&saved);
	client_encl_put(vepc);
	/* Interrupted: the signal first, then the access again. */
	return ret == -EINTR ? 0 : ret;
}

/* The kernel has not mapped it here. */
void client_vepc_forked(void)
{
	const struct client_vma *vma;
	uint64_t saved, start = 0;

	client_lock(&saved);
	while ((vma = client_vma_next(start))) {
		const uint64_t end = vma->end;

		start = vma->start;
		if (is_vepc(vma))
			client_vma_clear(start, end);
		start = end;
	}
	client_unlock(&saved);
	client_encl_put(NULL);
}
