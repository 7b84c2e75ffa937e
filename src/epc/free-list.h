/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The free pages of a node, by lines of the array of pages.
 *
 * Who has a page writes its sgx_epc_page, and so takes the whole line from other
 * processors.  Lines all of whose pages are free are therefore kept apart: caches
 * are filled with such, one whole line after the other, and who wants a single
 * page gets what was left over from a line.  The pages of a line end with their
 * section: others may be another node's.
 *
 * All functions: under the node's lock.
 */
#ifndef EPC_FREE_LIST_H
#define EPC_FREE_LIST_H

#include "internal.h"

/**
 * epc_free_push() - @page, uninitialized and in nobody's hands, becomes FREE.
 * @from: the state it is in.
 */
void epc_free_push(struct sgx_epc_pool *pool, struct epc_node *node, struct sgx_epc_page *page,
		   unsigned int from);

/**
 * epc_free_pop() - a page that becomes @to, out of a line in use if there is one.
 * Return: NULL when none is free.
 */
struct sgx_epc_page *epc_free_pop(struct sgx_epc_pool *pool, struct epc_node *node,
				  unsigned int to);

/**
 * epc_free_pop_line() - a whole line, its pages in the order of their addresses.
 * @pages: room for EPC_PAGES_PER_LINE.
 * Return: how many pages, which become @to; 0 when no line is free as a whole.
 */
uint32_t epc_free_pop_line(struct sgx_epc_pool *pool, struct epc_node *node, unsigned int to,
			   struct sgx_epc_page **pages);

/** epc_free_remove() - @page, which is FREE, becomes @to, wherever it is listed. */
void epc_free_remove(struct sgx_epc_pool *pool, struct epc_node *node, struct sgx_epc_page *page,
		     unsigned int to);

#endif /* EPC_FREE_LIST_H */
