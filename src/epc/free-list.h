/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The free pages of a node, by lines of the array of pages.
 *
 * Who has a page writes its sgx_epc_page, and so takes the whole line from other
 * processors.  Lines all of whose pages are free are therefore kept apart: caches
 * are filled with such, and who wants a single page gets what was left over from a
 * line.  Processors also fetch neighbours of the lines they use, so a cache gets
 * those of one block before any of the next.  The pages of a line, and of a block,
 * end with their section: others may be another node's.
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
 * epc_free_pop_lines() - whole lines of one block, in the order of their addresses.
 * @max: how many pages at most; there is room for as many in @pages.
 * Return: how many pages, which become @to; 0 when no line is free as a whole that
 * is not too long.
 */
uint32_t epc_free_pop_lines(struct sgx_epc_pool *pool, struct epc_node *node, unsigned int to,
			    struct sgx_epc_page **pages, uint32_t max);

/** epc_free_remove() - @page, which is FREE, becomes @to, wherever it is listed. */
void epc_free_remove(struct sgx_epc_pool *pool, struct epc_node *node, struct sgx_epc_page *page,
		     unsigned int to);

#endif /* EPC_FREE_LIST_H */
