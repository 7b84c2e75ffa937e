/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the manager adds to the leaves when EPC is too small, on the software
 * processor: two enclaves of twice the EPC each, every access a fault, so that
 * each costs one EBLOCK, EWB and ELDU; against the same leaves on as many pages
 * with nothing around them.  Then the release of an enclave, over a processor that
 * says yes: time per page by size.
 *
 * usage: reclaim [--json FILE] [--pages N] [--rounds N]
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <swsgx/isa.h>

#include "machine.h"
#include "simulated.h"
#include "timing.h"

#define BATCH 16u
#define MAX_RATIO 1.25
#define MAX_SIZES 3u

struct bench {
	struct bench_machine machine;
	size_t nr_pages;
	void *free_backing;	/* list through its pages */
};

/* --- the machine ------------------------------------------------------------------ */

static struct isa_outcome encls(struct bench *b, enum isa_leaf leaf, uint64_t rbx, uint64_t rcx,
				uint64_t rdx)
{
	struct isa_lp *lp = &b->machine.lp;

	lp->rbx = rbx;
	lp->rcx = rcx;
	lp->rdx = rdx;
	return isa_encls(lp, leaf);
}

static struct isa_outcome op_ecreate(void *ctx, struct sgx_pageinfo *pi, uint64_t secs)
{
	return encls(ctx, ISA_ENCLS_ECREATE, (uintptr_t)pi, secs, 0);
}

static struct isa_outcome op_eadd(void *ctx, struct sgx_pageinfo *pi, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EADD, (uintptr_t)pi, page, 0);
}

static struct isa_outcome op_eremove(void *ctx, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EREMOVE, 0, page, 0);
}

static struct isa_outcome op_epa(void *ctx, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EPA, PT_VA, page, 0);
}

static struct isa_outcome op_eblock(void *ctx, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EBLOCK, 0, page, 0);
}

static struct isa_outcome op_etrack(void *ctx, uint64_t secs)
{
	return encls(ctx, ISA_ENCLS_ETRACK, 0, secs, 0);
}

static struct isa_outcome op_ewb(void *ctx, struct sgx_pageinfo *pi, uint64_t page, uint64_t slot)
{
	return encls(ctx, ISA_ENCLS_EWB, (uintptr_t)pi, page, slot);
}

static struct isa_outcome op_eldu(void *ctx, struct sgx_pageinfo *pi, uint64_t page, uint64_t slot)
{
	return encls(ctx, ISA_ENCLS_ELDU, (uintptr_t)pi, page, slot);
}

static const _Alignas(PAGE) struct sgx_secs secs_source = {
	.size = 1ull << 32, .baseaddr = SIMULATED_BASE, .ssaframesize = 1,
	.attributes = { .flags = ATTR_MODE64BIT, .xfrm = XFRM_X87_SSE },
};
static const struct sgx_secinfo reg_rw = { .flags = SECINFO_R | SECINFO_W | SECINFO_PT(PT_REG) };

/* --- through the manager -------------------------------------------------------------- */

/* Pages of a memory file, say: taken and given back without a word to the system. */
static void *backing_alloc(void *ctx, void *encl)
{
	struct bench *b = ctx;
	void **p = b->free_backing;

	if (!p)
		return aligned_alloc(PAGE, PAGE);
	b->free_backing = *p;
	return p;
}

static void backing_free(void *ctx, void *p)
{
	struct bench *b = ctx;

	*(void **)p = b->free_backing;
	b->free_backing = p;
}

static struct sgx_epc_pool *create_pool(struct bench *b)
{
	const struct isa_section section = { .pa = EPC_PA, .nr_pages = b->nr_pages };
	const struct sgx_epc_config config = {
		.sections = &section,
		.nr_sections = 1,
		.port = {
			.ctx = b, .alloc = simulated_alloc, .free = simulated_free,
			.log = simulated_log, .time_ns = simulated_time_ns, .node = simulated_node,
			.backing_alloc = backing_alloc, .backing_free = backing_free,
		},
		.ops = {
			.ctx = b, .ecreate = op_ecreate, .eadd = op_eadd, .eremove = op_eremove,
			.epa = op_epa, .eblock = op_eblock, .etrack = op_etrack, .ewb = op_ewb,
			.eldu = op_eldu,
		},
		.overcommit = true,
		.known_clean = true,
	};
	struct sgx_epc_pool *pool;

	if (sgx_epc_pool_create(&config, &pool))
		fail("sgx_epc_pool_create");
	return pool;
}

static struct sgx_encl *build(struct sgx_epc_pool *pool, size_t nr_pages, const void *source)
{
	const struct sgx_encl_config config = { .cookie = NULL };
	struct sgx_encl *encl;

	if (sgx_encl_create(pool, &config, &encl) || sgx_encl_ecreate(encl, &secs_source))
		fail("building an enclave");
	for (size_t i = 0; i < nr_pages; i++) {
		if (sgx_encl_add_page(encl, i * PAGE, source, &reg_rw, false))
			fail("adding a page");
	}
	return encl;
}

/* In turns and in order: what comes next has left longest ago. */
static double fault_through(struct sgx_encl *encls[2], size_t nr_pages)
{
	struct sgx_encl_page_info info;
	const double start = now_ns();

	for (size_t i = 0; i < nr_pages; i++) {
		for (unsigned int n = 0; n < 2; n++) {
			if (sgx_encl_fault(encls[n], i * PAGE, SECINFO_R, NULL, &info))
				fail("a fault");
		}
	}
	return now_ns() - start;
}

struct managed {
	struct sgx_epc_pool *pool;
	struct sgx_encl *encls[2];
};

static void manager_start(struct managed *g, struct bench *b, const void *source)
{
	g->pool = create_pool(b);
	for (unsigned int n = 0; n < 2; n++)
		g->encls[n] = build(g->pool, 2 * b->nr_pages, source);
}

/* Per page written out and reloaded. */
static double manager_round(struct managed *g, const struct bench *b)
{
	struct sgx_epc_activity before, after;
	double ns;

	sgx_epc_activity(g->pool, &before);
	ns = fault_through(g->encls, 2 * b->nr_pages);
	sgx_epc_activity(g->pool, &after);
	return ns / (double)(after.reloaded - before.reloaded);
}

static void manager_finish(struct managed *g, struct bench *b)
{
	for (unsigned int n = 0; n < 2; n++)
		sgx_encl_release(g->encls[n]);
	sgx_epc_pool_destroy(g->pool);
	while (b->free_backing)
		free(backing_alloc(b, NULL));
}

/* --- nothing but leaves ------------------------------------------------------------------ */

/*
 * As many pages, outside and in EPC, as above: a window moves over them in
 * order, a batch leaving at its one end and another coming in at the other.
 */
struct window {
	size_t nr_frames;	/* a multiple of BATCH */
	size_t nr_pages;	/* a multiple of nr_frames */
	uint8_t *outside;	/* [nr_pages] */
	struct sgx_pcmd *pcmd;	/* [nr_pages] */
};

#define MAX_VA_PAGES 64u

static void must(struct isa_outcome out, const char *what)
{
	if (!isa_is_done(out))
		fail(what);
}

/* After the SECS and the VA pages. */
static uint64_t place_pa(const struct window *w, size_t page)
{
	return EPC_PA + (1 + MAX_VA_PAGES + page % w->nr_frames) * PAGE;
}

static uint64_t slot_pa(size_t page)
{
	return EPC_PA + PAGE + page * 8;
}

static void write_out(struct bench *b, struct window *w, size_t first)
{
	size_t i;

	for (i = first; i < first + BATCH; i++)
		must(op_eblock(b, place_pa(w, i)), "EBLOCK");
	must(op_etrack(b, EPC_PA), "ETRACK");
	for (i = first; i < first + BATCH; i++) {
		_Alignas(32) struct sgx_pageinfo pi = {
			.srcpge = (uintptr_t)(w->outside + i * PAGE),
			.secinfo_or_pcmd = (uintptr_t)&w->pcmd[i],
		};

		must(op_ewb(b, &pi, place_pa(w, i), slot_pa(i)), "EWB");
	}
}

static void reload(struct bench *b, struct window *w, size_t first)
{
	for (size_t i = first; i < first + BATCH; i++) {
		_Alignas(32) struct sgx_pageinfo pi = {
			.linaddr = SIMULATED_BASE + i * PAGE,
			.srcpge = (uintptr_t)(w->outside + i * PAGE),
			.secinfo_or_pcmd = (uintptr_t)&w->pcmd[i],
			.secs = EPC_PA,
		};

		must(op_eldu(b, &pi, place_pa(w, i), slot_pa(i)), "ELDU");
	}
}

/* Every page comes in once. */
static void slide(struct bench *b, struct window *w)
{
	for (size_t i = 0; i < w->nr_pages; i += BATCH) {
		write_out(b, w, i);
		reload(b, w, (i + w->nr_frames) % w->nr_pages);
	}
}

static void add_batch(struct bench *b, struct window *w, size_t first, const void *source)
{
	_Alignas(64) struct sgx_secinfo info = reg_rw;

	for (size_t i = first; i < first + BATCH; i++) {
		_Alignas(32) struct sgx_pageinfo add = {
			.linaddr = SIMULATED_BASE + i * PAGE, .srcpge = (uintptr_t)source,
			.secinfo_or_pcmd = (uintptr_t)&info, .secs = EPC_PA,
		};

		must(op_eadd(b, &add, place_pa(w, i)), "EADD");
	}
}

/* In the end the first pages are in EPC, all others outside. */
static void fill(struct bench *b, struct window *w, const void *source)
{
	_Alignas(64) struct sgx_secinfo info = { .flags = SECINFO_PT(PT_SECS) };
	_Alignas(32) struct sgx_pageinfo create = {
		.srcpge = (uintptr_t)&secs_source, .secinfo_or_pcmd = (uintptr_t)&info,
	};
	size_t i;

	must(op_ecreate(b, &create, EPC_PA), "ECREATE");
	for (i = 0; i < MAX_VA_PAGES; i++)
		must(op_epa(b, EPC_PA + (1 + i) * PAGE), "EPA");
	for (i = 0; i < w->nr_pages; i += BATCH) {
		add_batch(b, w, i, source);
		write_out(b, w, i);
	}
	for (i = 0; i < w->nr_frames; i += BATCH)
		reload(b, w, i);
}

static void empty(struct bench *b, struct window *w)
{
	for (size_t i = 0; i < w->nr_frames; i++)
		must(op_eremove(b, place_pa(w, i)), "EREMOVE");
	for (size_t i = 0; i < 1 + MAX_VA_PAGES; i++)
		must(op_eremove(b, EPC_PA + i * PAGE), "EREMOVE");
}

static void raw_start(struct window *w, struct bench *b, const void *source)
{
	w->nr_frames = (b->nr_pages - 1 - MAX_VA_PAGES) / BATCH * BATCH;
	w->nr_pages = 4 * w->nr_frames;
	w->outside = allocate(w->nr_pages * PAGE);
	w->pcmd = allocate(w->nr_pages * sizeof(*w->pcmd));
	fill(b, w, source);
}

static double raw_round(struct window *w, struct bench *b)
{
	const double start = now_ns();

	slide(b, w);
	return (now_ns() - start) / (double)w->nr_pages;
}

static void raw_finish(struct window *w, struct bench *b)
{
	empty(b, w);
	free(w->outside);
	free(w->pcmd);
}

/* In turns, each on a machine of its own, so that what disturbs one disturbs the other. */
static void measure(size_t nr_pages, size_t nr_rounds, double *manager_ns, double *raw_ns)
{
	struct bench machines[2] = { { .nr_pages = nr_pages }, { .nr_pages = nr_pages } };
	void *source = allocate(PAGE);
	struct managed managed;
	struct window window;

	for (unsigned int i = 0; i < 2; i++)
		bench_machine_init(&machines[i].machine, nr_pages);
	manager_start(&managed, &machines[0], source);
	raw_start(&window, &machines[1], source);
	for (size_t i = 0; i < nr_rounds; i++) {
		manager_ns[i] = manager_round(&managed, &machines[0]);
		raw_ns[i] = raw_round(&window, &machines[1]);
	}
	manager_finish(&managed, &machines[0]);
	raw_finish(&window, &machines[1]);
	for (unsigned int i = 0; i < 2; i++)
		bench_machine_finish(&machines[i].machine);
	free(source);
}

/* --- release --------------------------------------------------------------------------------- */

static double release_ns(uint64_t nr_pages)
{
	const struct epc_mm_ops mm = { .ctx = NULL };
	double best = 0;

	for (unsigned int round = 0; round < 5; round++) {
		struct sgx_epc_pool *pool = simulated_pool(nr_pages + nr_pages / 256 + 16, &mm);
		struct sgx_encl *encl = simulated_encl(pool, 1ull << 32, NULL);
		struct sgx_encl_page_info info;
		double start;

		for (uint64_t i = 0; i < nr_pages; i++) {
			if (sgx_encl_fault(encl, i * PAGE, SECINFO_R, NULL, &info))
				fail("a fault");
		}
		start = now_ns();
		sgx_encl_release(encl);
		start = now_ns() - start;
		best = !round || start < best ? start : best;
		sgx_epc_pool_destroy(pool);
	}
	return best / (double)nr_pages;
}

/* --- telling ----------------------------------------------------------------------------------- */

static void report(double manager, double raw, FILE *json)
{
	static const unsigned int mib[MAX_SIZES] = { 64, 256, 1024 };
	double release[MAX_SIZES];

	printf("%-52s %9s\n", "two enclaves of twice the EPC each, per page", "ns");
	printf("%-52s %9.0f\n", "fault: room made by the manager, page reloaded", manager);
	printf("%-52s %9.0f\n", "EBLOCK, EWB, ELDU and a sixteenth of an ETRACK", raw);
	printf("%-52s %9.3f   (goal: <= %.2f)\n", "ratio", manager / raw, MAX_RATIO);
	printf("%-52s %9.0f\n", "pages written out and reloaded per second", 1e9 / manager);
	for (unsigned int i = 0; i < MAX_SIZES; i++) {
		release[i] = release_ns(mib[i] * 256ull);
		printf("release of %4u MiB, per page %23s %9.1f\n", mib[i], "", release[i]);
	}
	printf("%-52s %9.3f   (goal: <= %.2f)\n", "1 GiB to 64 MiB",
	       release[MAX_SIZES - 1] / release[0], MAX_RATIO);
	if (!json)
		return;
	fprintf(json, "{\"bench\": \"reclaim\", \"manager_ns\": %.1f, \"leaves_ns\": %.1f, "
		"\"ratio\": %.4f, \"release_64_ns\": %.2f, \"release_256_ns\": %.2f, "
		"\"release_1024_ns\": %.2f, \"goal\": %.2f}\n", manager, raw, manager / raw,
		release[0], release[1], release[2], MAX_RATIO);
	if (fclose(json))
		fail("writing the JSON file");
}

int main(int argc, char **argv)
{
	size_t nr_pages = 512, nr_rounds = 31;
	double *manager_ns, *raw_ns;
	FILE *json = NULL;
	int i;

	for (i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--json"))
			json = fopen(argv[i + 1], "w");
		else if (!strcmp(argv[i], "--pages"))
			nr_pages = strtoul(argv[i + 1], NULL, 10);
		else if (!strcmp(argv[i], "--rounds"))
			nr_rounds = strtoul(argv[i + 1], NULL, 10);
		else
			break;
	}
	if (i < argc || nr_pages < 128 || nr_pages > 8192 || !nr_rounds) {
		fprintf(stderr, "usage: reclaim [--json FILE] [--pages N] [--rounds N]\n");
		return 2;
	}
	manager_ns = allocate(nr_rounds * sizeof(double));
	raw_ns = allocate(nr_rounds * sizeof(double));
	measure(nr_pages, nr_rounds, manager_ns, raw_ns);
	report(least(manager_ns, nr_rounds), least(raw_ns, nr_rounds), json);
	free(manager_ns);
	free(raw_ns);
	return 0;
}
