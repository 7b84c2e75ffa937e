/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens to a page that EREMOVE refused to clean.  It is a use-after-free
 * of EPC, noticed at freeing: the page stays out of the pool for ever, every
 * case becomes a row of the ledger, and the first one a warning that names the
 * document for the person who meets it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define FAULT_FLAG 0x40000000

int sgx_outcome_to_int(struct isa_outcome o)
{
	switch (o.kind) {
	case ISA_ERROR:
	case ISA_INFO:
		return (int)o.code;
	case ISA_FAULT:
		return o.vector | FAULT_FLAG;
	case ISA_DONE:
	default:
		return 0;
	}
}

void sgx_epc_format_leak_message(struct isa_outcome result, char *buf, size_t size)
{
	const int value = sgx_outcome_to_int(result);
	const char *name = result.kind == ISA_FAULT ? isa_vector_name(result.vector)
						    : isa_error_name((uint32_t)value);

	snprintf(buf, size,
		 "EREMOVE returned %d (0x%x, %s) and an EPC page was leaked; "
		 "SGX may become unusable. This is a bug in the EPC manager, "
		 "refer to docs/epc-leaks.md for more information.",
		 value, (unsigned int)value, name);
}

/* Return: the index of the new row. */
static size_t ledger_append(struct sgx_epc_pool *pool, const struct sgx_epc_leak *row)
{
	struct epc_ledger *ledger = &pool->ledger;
	size_t nr;

	epc_lock(&ledger->lock, &pool->port);
	nr = atomic_load_explicit(&ledger->nr, memory_order_relaxed);
	ledger->rows[nr] = *row;
	/* Pairs with the acquire in sgx_epc_leaks(): the row before its number. */
	atomic_store_explicit(&ledger->nr, nr + 1, memory_order_release);
	epc_unlock(&ledger->lock);
	return nr;
}

static struct sgx_epc_leak make_row(const struct sgx_epc_pool *pool,
				    const struct sgx_epc_page *page,
				    struct isa_outcome result, const char *site)
{
	const struct epc_encls_ops *ops = &pool->ops;
	struct sgx_epc_leak row = {
		.pa = sgx_epc_page_pa(pool, page),
		.section = page->section,
		.node = epc_page_node(pool, page)->id,
		.result = result,
		.epcm_known = ops->peek != NULL,
		.site = site,
	};

	if (ops->peek)
		row.epcm = ops->peek(ops->ctx, row.pa);
	if (page->owner)
		row.owner = *page->owner;
	row.owner.group = NULL;		/* which need not outlive the row */
	row.time_ns = pool->port.time_ns(pool->port.ctx);
	return row;
}

static void log_leak(struct sgx_epc_pool *pool, struct isa_outcome result)
{
	char message[256];

	sgx_epc_format_leak_message(result, message, sizeof(message));
	pool->port.log(pool->port.ctx, EPC_LOG_WARNING, message);
}

void epc_page_leak(struct sgx_epc_pool *pool, struct sgx_epc_page *page,
		   struct isa_outcome result, const char *site)
{
	const struct sgx_epc_leak row = make_row(pool, page, result, site);
	/* First, for who sees that nothing is in use any more to find all rows. */
	const size_t nr = ledger_append(pool, &row);

	epc_page_set_leaked(pool, page);
	if (!nr)
		log_leak(pool, result);
	if (pool->port.leaked)
		pool->port.leaked(pool->port.ctx, &row);
	if (pool->on_leak == SGX_EPC_LEAK_ABORT) {
		pool->port.log(pool->port.ctx, EPC_LOG_ERROR,
			       "An EPC page was leaked: ending, as configured.");
		abort();
	}
}

size_t sgx_epc_leaks(struct sgx_epc_pool *pool, size_t first, struct sgx_epc_leak *rows, size_t n)
{
	const size_t nr = atomic_load_explicit(&pool->ledger.nr, memory_order_acquire);

	if (first >= nr || !n)
		return 0;
	if (n > nr - first)
		n = nr - first;
	memcpy(rows, &pool->ledger.rows[first], n * sizeof(*rows));
	return n;
}
