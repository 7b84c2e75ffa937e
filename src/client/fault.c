/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page faults the kernel of a machine with SGX would deal with: a page of an
 * enclave that is not there yet, or not any more.
 */
#include "client.h"

/* Hold the enclave mapped at @addr, if @addr is in ELRANGE. */
static struct client_encl *encl_get_at(uint64_t addr)
{
	const struct client_vma *vma;
	struct client_encl *encl = NULL;

	client_lock_blocked();
	vma = client_vma_find(addr);
	if (vma && vma->encl->size && addr - vma->encl->base < vma->encl->size) {
		encl = vma->encl;
		encl->nr_users++;
	}
	client_unlock_blocked();
	return encl;
}

bool client_fault_in(uint64_t addr, int prot)
{
	struct proto_request req = {
		.magic = PROTO_MAGIC,
		.op = PROTO_OP_FAULT,
		.a = addr & SGX_PAGE_MASK,
		.b = (uint64_t)prot,
	};
	struct client_encl *encl = encl_get_at(addr);
	struct proto_frame done = { .result = -1 };
	int ret;

	if (!encl)
		return false;
	req.c = encl->number;
	ret = client_call(encl->sock, &req, &done, NULL);
	client_encl_put(encl);
	return !ret && !done.result;
}
