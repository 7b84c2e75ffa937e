/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an owner has at which page number: a radix tree of 512-way nodes, as tall
 * as the highest number asks for.  An entry is one or more words; it is there when
 * its first word is not 0, and it never moves.  No locking: the owner's.
 */
#ifndef EPC_PAGE_TABLE_H
#define EPC_PAGE_TABLE_H

#include <swsgx/epc.h>

struct epc_pt_node;

struct epc_page_table {
	struct epc_pt_node *root;
	unsigned int height;	/* levels; 0: empty */
	unsigned int more_words; /* of an entry, beyond the first; set while empty */
};

/**
 * epc_pt_reserve() - make sure that page number @nr has an entry.
 * @nr: below 2^52.
 * Return: the entry, all zero when it was never written; NULL when out of
 * memory, with everything already in the table untouched.
 */
uint64_t *epc_pt_reserve(struct epc_page_table *pt, const struct epc_port *port, uint64_t nr);

/** epc_pt_find() - the entry of page number @nr, NULL when there is none. */
uint64_t *epc_pt_find(const struct epc_page_table *pt, uint64_t nr);

/**
 * epc_pt_next() - the first entry at or after page number @nr.
 * @nr: moved to where the entry is; past the table when there is none.
 * Return: the entry, NULL when there is none.
 */
uint64_t *epc_pt_next(const struct epc_page_table *pt, uint64_t *nr);

/** epc_pt_for_each() - call @fn with each entry, lowest page first. */
void epc_pt_for_each(const struct epc_page_table *pt, void (*fn)(void *ctx, uint64_t *entry),
		     void *ctx);

/** epc_pt_finish() - free the tree; the table is empty afterwards. */
void epc_pt_finish(struct epc_page_table *pt, const struct epc_port *port);

#endif /* EPC_PAGE_TABLE_H */
