/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The radix tree behind an enclave's pages.  Its memory comes from the port,
 * one 4 KiB node at a time, before the leaf that cannot be undone.
 */
#include "page-table.h"

#include "internal.h"

#define PT_SHIFT 9
#define PT_SLOTS (1u << PT_SHIFT)

/* On the lowest level an array of entries instead; the level tells which. */
struct epc_pt_node {
	struct epc_pt_node *child[PT_SLOTS];
};

/* Slot of page number @nr in a node with @level levels below it. */
static unsigned int slot_of(uint64_t nr, unsigned int level)
{
	return (nr >> (level * PT_SHIFT)) & (PT_SLOTS - 1);
}

/* Entry of page number @nr in a node of the lowest level. */
static uint64_t *entry_of(const struct epc_page_table *pt, const struct epc_pt_node *leaf,
			  uint64_t nr)
{
	return (uint64_t *)leaf + (size_t)slot_of(nr, 0) * (1 + pt->more_words);
}

static struct epc_pt_node *node_alloc(const struct epc_page_table *pt, const struct epc_port *port,
				      unsigned int level)
{
	if (level)
		return epc_alloc(port, sizeof(struct epc_pt_node));
	return epc_alloc(port, PT_SLOTS * (1 + pt->more_words) * sizeof(uint64_t));
}

static bool is_covered(const struct epc_page_table *pt, uint64_t nr)
{
	return pt->height && nr >> (pt->height * PT_SHIFT) == 0;
}

static bool grow(struct epc_page_table *pt, const struct epc_port *port)
{
	struct epc_pt_node *root = node_alloc(pt, port, pt->height);

	if (!root)
		return false;
	if (pt->height)
		root->child[0] = pt->root;
	pt->root = root;
	pt->height++;
	return true;
}

uint64_t *epc_pt_reserve(struct epc_page_table *pt, const struct epc_port *port, uint64_t nr)
{
	struct epc_pt_node *node;
	unsigned int level;

	while (!is_covered(pt, nr)) {
		if (!grow(pt, port))
			return NULL;
	}
	node = pt->root;
	for (level = pt->height - 1; level > 0; level--) {
		struct epc_pt_node **child = &node->child[slot_of(nr, level)];

		if (!*child)
			*child = node_alloc(pt, port, level - 1);
		if (!*child)
			return NULL;
		node = *child;
	}
	return entry_of(pt, node, nr);
}

uint64_t *epc_pt_find(const struct epc_page_table *pt, uint64_t nr)
{
	const struct epc_pt_node *node = pt->root;
	uint64_t *entry;
	unsigned int level;

	if (!is_covered(pt, nr))
		return NULL;
	for (level = pt->height - 1; level > 0 && node; level--)
		node = node->child[slot_of(nr, level)];
	if (!node)
		return NULL;
	entry = entry_of(pt, node, nr);
	return *entry ? entry : NULL;
}

uint64_t *epc_pt_next(const struct epc_page_table *pt, uint64_t *nr)
{
	while (is_covered(pt, *nr)) {
		const struct epc_pt_node *node = pt->root;
		unsigned int level;

		for (level = pt->height - 1; level > 0; level--) {
			if (!node->child[slot_of(*nr, level)])
				break;
			node = node->child[slot_of(*nr, level)];
		}
		if (!level && *entry_of(pt, node, *nr))
			return entry_of(pt, node, *nr);

		/* Nothing below this slot: on to the next one of the node. */
		*nr = ((*nr >> (level * PT_SHIFT)) + 1) << (level * PT_SHIFT);
	}
	return NULL;
}

/* Recursion is six deep at most. */
static void walk(const struct epc_page_table *pt, const struct epc_pt_node *node,
		 unsigned int level, void (*fn)(void *ctx, uint64_t *entry), void *ctx)
{
	unsigned int i;

	for (i = 0; i < PT_SLOTS; i++) {
		if (level && node->child[i])
			walk(pt, node->child[i], level - 1, fn, ctx);
		else if (!level && *entry_of(pt, node, i))
			fn(ctx, entry_of(pt, node, i));
	}
}

void epc_pt_for_each(const struct epc_page_table *pt, void (*fn)(void *ctx, uint64_t *entry),
		     void *ctx)
{
	if (pt->height)
		walk(pt, pt->root, pt->height - 1, fn, ctx);
}

static void free_nodes(struct epc_pt_node *node, unsigned int level, const struct epc_port *port)
{
	unsigned int i;

	for (i = 0; level && i < PT_SLOTS; i++) {
		if (node->child[i])
			free_nodes(node->child[i], level - 1, port);
	}
	epc_free(port, node);
}

void epc_pt_finish(struct epc_page_table *pt, const struct epc_port *port)
{
	if (pt->height)
		free_nodes(pt->root, pt->height - 1, port);
	pt->root = NULL;
	pt->height = 0;
}
