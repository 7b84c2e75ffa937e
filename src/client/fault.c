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

static int call(const struct client_encl *encl, uint64_t page, int prot)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC,
		.op = PROTO_OP_FAULT,
		.a = page,
		.b = (uint64_t)prot,
		.c = encl->number,
	};
	struct proto_frame done = { .result = -1 };
	const int ret = client_call(encl->sock, &req, &done, NULL);

	return ret ? ret : (int)done.result;
}

bool client_fault_in(uint64_t addr, int prot)
{
	const uint64_t page = addr & SGX_PAGE_MASK;
	struct client_encl *encl = encl_get_at(addr);
	int ret;

	if (!encl)
		return false;
	if (!client_mailbox_fault(encl, page, prot, &ret))
		ret = call(encl, page, prot);
	client_encl_put(encl);
	return !ret;
}
