/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which page an enclave has at which offset: a radix tree of 512-slot nodes,
 * as tall as the highest page number asks for.  No locking: the enclave's.
 */
#ifndef EPC_PAGE_TABLE_H
#define EPC_PAGE_TABLE_H

#include <swsgx/epc.h>

struct epc_pt_node;

struct epc_page_table {
	struct epc_pt_node *root;
	unsigned int height;	/* levels; 0: empty */
};

/**
 * epc_pt_reserve() - make sure that page number @nr has a slot.
 * @nr: below 2^52.
 * Return: the slot, zero when it was never written; NULL when out of memory,
 * with everything already in the table untouched.
 */
uint64_t *epc_pt_reserve(struct epc_page_table *pt, const struct epc_port *port, uint64_t nr);

/** epc_pt_find() - the value of page number @nr, 0 when there is none. */
uint64_t epc_pt_find(const struct epc_page_table *pt, uint64_t nr);

/**
 * epc_pt_next() - the first value at or after page number @nr.
 * @nr: moved to where the value is; past the table when there is none.
 * Return: the value, 0 when there is none.
 */
uint64_t epc_pt_next(const struct epc_page_table *pt, uint64_t *nr);

/** epc_pt_for_each() - call @fn with each value that is not 0, lowest page first. */
void epc_pt_for_each(const struct epc_page_table *pt, void (*fn)(void *ctx, uint64_t value),
		     void *ctx);

/** epc_pt_finish() - free the tree; the table is empty afterwards. */
void epc_pt_finish(struct epc_page_table *pt, const struct epc_port *port);

#endif /* EPC_PAGE_TABLE_H */
