/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How often the page that is accessed is in EPC, by who chooses what leaves it:
 * the manager itself, over a processor that says yes; plain FIFO; and what Linux
 * does, simulated: one list, the oldest sixteen looked at, those accessed since
 * to the other end.  All see the same accesses and have room for as many pages.
 *
 * usage: victims [--json FILE] [--accesses N]
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulated.h"

#define NR_PAGES 16384u		/* that are accessed: 64 MiB */
#define BATCH 16u

/* --- traces -------------------------------------------------------------------- */

struct trace {
	const char *name;
	uint32_t *page;		/* [nr] */
	size_t nr;
};

static uint64_t random_state = 88172645463325252ull;

static uint64_t random_u64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static double random_unit(void)
{
	return (double)(random_u64() >> 11) / 9007199254740992.0;
}

static void *allocate(size_t size)
{
	void *p = calloc(1, size);

	if (!p) {
		fprintf(stderr, "victims: out of memory\n");
		exit(1);
	}
	return p;
}

/* P(rank <= i), ranks falling as i^-s. */
static double *zipf_table(double s)
{
	double *cdf = allocate(NR_PAGES * sizeof(*cdf)), sum = 0;

	for (uint32_t i = 0; i < NR_PAGES; i++) {
		sum += pow(i + 1, -s);
		cdf[i] = sum;
	}
	for (uint32_t i = 0; i < NR_PAGES; i++)
		cdf[i] /= sum;
	return cdf;
}

static uint32_t zipf_rank(const double *cdf)
{
	const double u = random_unit();
	uint32_t lo = 0, hi = NR_PAGES - 1;

	while (lo < hi) {
		const uint32_t mid = lo + (hi - lo) / 2;

		if (cdf[mid] < u)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Which page has which rank: neighbours are no friends. */
static uint32_t *shuffled(void)
{
	uint32_t *page = allocate(NR_PAGES * sizeof(*page));

	for (uint32_t i = 0; i < NR_PAGES; i++)
		page[i] = i;
	for (uint32_t i = NR_PAGES; i-- > 1;) {
		const uint32_t j = (uint32_t)(random_u64() % (i + 1)), t = page[i];

		page[i] = page[j];
		page[j] = t;
	}
	return page;
}

/* @scan: every so many accesses a quarter of the pages is read once, in order. */
static struct trace make_trace(const char *name, double s, size_t nr, size_t scan)
{
	struct trace t = { .name = name, .nr = nr, .page = allocate(nr * sizeof(*t.page)) };
	uint32_t *page = shuffled();
	double *cdf = zipf_table(s);
	uint32_t at = 0, left = 0;

	for (size_t i = 0; i < nr; i++) {
		if (scan && i % scan == 0)
			left = NR_PAGES / 4;
		if (left) {
			left--;
			t.page[i] = at++ % NR_PAGES;
		} else {
			t.page[i] = page[zipf_rank(cdf)];
		}
	}
	free(page);
	free(cdf);
	return t;
}

/* --- the manager ------------------------------------------------------------------ */

struct world {
	bool resident[NR_PAGES], young[NR_PAGES];
};

static uint64_t page_of(uint64_t la)
{
	return (la - SIMULATED_BASE) / SGX_PAGE_SIZE;
}

static int mm_zap(void *ctx, void *encl, const struct epc_mm_page *pages, unsigned int nr)
{
	while (nr--)
		((struct world *)ctx)->resident[page_of(pages[nr].la)] = false;
	return 0;
}

static bool mm_young(void *ctx, void *encl, uint64_t la)
{
	struct world *w = ctx;
	const bool young = w->young[page_of(la)];

	w->young[page_of(la)] = false;
	return young;
}

/* Pages of the enclave that find room beside its SECS and VA pages. */
static uint64_t nr_beside(uint64_t room)
{
	return room + 1 + (NR_PAGES + 1 + 511) / 512;
}

static double manager_hits(const struct trace *t, uint64_t room)
{
	struct world *w = allocate(sizeof(*w));
	const struct epc_mm_ops mm = { .ctx = w, .zap = mm_zap, .young = mm_young };
	struct sgx_epc_pool *pool = simulated_pool(nr_beside(room), &mm);
	struct sgx_encl *encl = simulated_encl(pool, 1ull << 32, NULL);
	struct sgx_encl_page_info info;
	uint64_t hits = 0;

	for (size_t i = 0; i < t->nr; i++) {
		const uint32_t page = t->page[i];

		if (w->resident[page]) {
			hits++;
		} else if (sgx_encl_fault(encl, page * 4096ull, SECINFO_R, NULL, &info)) {
			fprintf(stderr, "victims: a fault failed\n");
			exit(1);
		}
		w->resident[page] = true;
		w->young[page] = true;
	}
	sgx_encl_release(encl);
	sgx_epc_pool_destroy(pool);
	free(w);
	return (double)hits / (double)t->nr;
}

/* --- the others -------------------------------------------------------------------- */

/* A queue of resident pages, as an array of which the ends move. */
struct list {
	uint32_t *page;
	size_t first, nr, room;
};

static void append(struct list *l, uint32_t page)
{
	l->page[(l->first + l->nr++) % l->room] = page;
}

static uint32_t take_first(struct list *l)
{
	const uint32_t page = l->page[l->first];

	l->first = (l->first + 1) % l->room;
	l->nr--;
	return page;
}

static void evict_fifo(struct list *l, struct world *w)
{
	for (unsigned int i = 0; i < BATCH && l->nr; i++)
		w->resident[take_first(l)] = false;
}

static void evict_linux(struct list *l, struct world *w)
{
	size_t before = l->nr;

	/* Again until the batch had a page that was not accessed. */
	while (l->nr == before) {
		for (unsigned int i = 0; i < BATCH && i < before; i++) {
			const uint32_t page = take_first(l);

			if (w->young[page])
				append(l, page);
			else
				w->resident[page] = false;
			w->young[page] = false;
		}
	}
}

static double list_hits(const struct trace *t, uint64_t room,
			void (*evict)(struct list *l, struct world *w))
{
	struct list l = { .room = room, .page = allocate(room * sizeof(*l.page)) };
	struct world *w = allocate(sizeof(*w));
	uint64_t hits = 0;

	for (size_t i = 0; i < t->nr; i++) {
		const uint32_t page = t->page[i];

		if (w->resident[page]) {
			hits++;
		} else {
			if (l.nr == room)
				evict(&l, w);
			append(&l, page);
		}
		w->resident[page] = true;
		w->young[page] = true;
	}
	free(l.page);
	free(w);
	return (double)hits / (double)t->nr;
}

/* --- telling ------------------------------------------------------------------------ */

static void compare(const struct trace *t, unsigned int share, FILE *json, bool *is_first)
{
	const uint64_t room = NR_PAGES / share;
	const double ours = manager_hits(t, room);
	const double linux_hits = list_hits(t, room, evict_linux);
	const double fifo = list_hits(t, room, evict_fifo);

	printf("%-26s 1/%-4u %8.4f %8.4f %8.4f   %8.2f %8.2f\n", t->name, share, ours, linux_hits,
	       fifo, (1 - linux_hits) / (1 - ours), (1 - fifo) / (1 - ours));
	if (json)
		fprintf(json, "%s{\"trace\": \"%s\", \"epc_share\": %.4f, \"manager\": %.4f, "
			"\"linux\": %.4f, \"fifo\": %.4f}", *is_first ? "" : ", ", t->name,
			1.0 / share, ours, linux_hits, fifo);
	*is_first = false;
}

static void compare_all(struct trace *traces, size_t nr, FILE *json)
{
	bool is_first = true;

	printf("hit rate, %u pages accessed\n%-26s %-6s %8s %8s %8s   %8s %8s\n", NR_PAGES,
	       "trace", "EPC", "manager", "Linux", "FIFO", "misses:", "");
	printf("%-26s %-6s %8s %8s %8s   %8s %8s\n", "", "", "", "", "", "Linux/m.", "FIFO/m.");
	for (size_t i = 0; i < nr; i++) {
		for (unsigned int share = 2; share <= 16; share *= 2)
			compare(&traces[i], share, json, &is_first);
		free(traces[i].page);
	}
}

int main(int argc, char **argv)
{
	size_t nr = 400000;
	FILE *json = NULL;
	int i;

	for (i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--json"))
			json = fopen(argv[i + 1], "w");
		else if (!strcmp(argv[i], "--accesses"))
			nr = strtoul(argv[i + 1], NULL, 10);
		else
			break;
	}
	if (i < argc || !nr) {
		fprintf(stderr, "usage: victims [--json FILE] [--accesses N]\n");
		return 2;
	}
	struct trace traces[] = {
		make_trace("zipf 0.8", 0.8, nr, 0),
		make_trace("zipf 1.0", 1.0, nr, 0),
		make_trace("zipf 1.0 and scans", 1.0, nr, 50000),
	};

	if (json)
		fprintf(json, "{\"bench\": \"victims\", \"accesses\": %zu, \"hit_rate\": [", nr);
	compare_all(traces, sizeof(traces) / sizeof(traces[0]), json);
	if (json) {
		fprintf(json, "]}\n");
		if (fclose(json))
			return 1;
	}
	return 0;
}
