/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a page is while it is outside: memory for its ciphertext, its PCMD, and
 * the slot with its version.  One allocation a page, nothing shared between
 * pages, so that what one page's reload gives back is no other page's.
 */
#include <errno.h>

#include "encl.h"

/* Page aligned, in @backing->contents. */
static bool contents_alloc(struct sgx_encl *encl, struct epc_backing *backing)
{
	const struct epc_port *port = &encl->pool->port;
	uintptr_t p;

	if (port->backing_alloc) {
		backing->contents = port->backing_alloc(port->ctx, encl->cookie);
		return backing->contents;
	}
	backing->allocation = epc_alloc(port, 2 * SGX_PAGE_SIZE - 1);
	p = ((uintptr_t)backing->allocation + SGX_PAGE_SIZE - 1) & ~(uintptr_t)(SGX_PAGE_SIZE - 1);
	backing->contents = (void *)p;
	return backing->allocation;
}

static void contents_free(struct sgx_encl *encl, struct epc_backing *backing)
{
	const struct epc_port *port = &encl->pool->port;

	if (port->backing_alloc)
		port->backing_free(port->ctx, backing->contents);
	else
		epc_free(port, backing->allocation);
}

struct epc_backing *epc_backing_create(struct sgx_encl *encl)
{
	const struct epc_port *port = &encl->pool->port;
	struct epc_backing *backing = epc_alloc(port, sizeof(*backing));

	if (!backing)
		return NULL;
	backing->slot = epc_va_slot_get(encl);
	if (!backing->slot.va || !contents_alloc(encl, backing)) {
		epc_va_slot_put(encl, backing->slot);
		epc_free(port, backing);
		return NULL;
	}
	return backing;
}

void epc_backing_destroy(struct sgx_encl *encl, struct epc_backing *backing)
{
	if (!backing)
		return;
	epc_va_slot_put(encl, backing->slot);
	contents_free(encl, backing);
	epc_free(&encl->pool->port, backing);
}
