/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The paging leaves against each other and the rest.  First pairs: one leaf is
 * stopped where it reads or writes ordinary memory, with all its locks held,
 * and another runs in the middle of it, so that the loser is certain.  Then
 * operands at random, and processors at full speed, for ThreadSanitizer and
 * for the invariants.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "paging.h"

#define OTHER_TARGET 21u

enum slots { SLOT_RW, SLOT_RX, SLOT_SSA, SLOT_OUTER, NR_SLOTS };

/* --- one leaf inside another ---------------------------------------------- */

struct pair {
	struct isa_fixture *f;
	struct isa_lp outer;		/* runs the leaf that is interrupted */
	alignas(32) struct sgx_pageinfo pageinfo;
	void (*inner)(struct pair *p);	/* once, where the outer leaf moves a page */
	struct paged_out out, rx, ssa;
};

static void interject(struct pair *p, size_t n)
{
	void (*inner)(struct pair *p) = p->inner;

	if (n != SGX_PAGE_SIZE || !inner)
		return;
	p->inner = NULL;
	inner(p);
}

static bool pair_translate(void *ctx, uint64_t la, bool write, uint64_t *pa,
			   struct isa_outcome *fault)
{
	struct pair *p = ctx;

	return p->f->os.mmu->translate(p->f->os.mmu_ctx, la, write, pa, fault);
}

static bool pair_read(void *ctx, uint64_t la, void *dst, size_t n, struct isa_outcome *fault)
{
	struct pair *p = ctx;

	interject(p, n);
	return p->f->os.mmu->read(p->f->os.mmu_ctx, la, dst, n, fault);
}

static bool pair_write(void *ctx, uint64_t la, const void *src, size_t n,
		       struct isa_outcome *fault)
{
	struct pair *p = ctx;

	interject(p, n);
	return p->f->os.mmu->write(p->f->os.mmu_ctx, la, src, n, fault);
}

static const struct isa_mmu pair_mmu = {
	.translate = pair_translate,
	.read = pair_read,
	.write = pair_write,
};

static int setup(void **state)
{
	struct pair *p = aligned_alloc(4096, (sizeof(*p) + 4095) & ~4095ul);

	assert_non_null(p);
	memset(p, 0, sizeof(*p));
	p->f = paging_create();
	p->outer = p->f->os;
	p->outer.mmu = &pair_mmu;
	p->outer.mmu_ctx = p;
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	for (uint64_t i = 0; i < FIXTURE_NR_FRAMES; i++) {
		assert_int_equal(atomic_load(&p->f->m->epcm[i].base), 0);
		assert_int_equal(atomic_load(&p->f->m->epcm[i].build), 0);
	}
	isa_fixture_destroy(p->f);
	free(p);
	return 0;
}

/* RW and RX of the enclave may go. */
static void block_both(struct pair *p)
{
	assert_done(paging_eblock(p->f, FIXTURE_RW));
	assert_done(paging_eblock(p->f, FIXTURE_RX));
	assert_done(paging_etrack(p->f, FIXTURE_SECS));
}

static struct isa_outcome outer_ewb(struct pair *p, void (*inner)(struct pair *p))
{
	p->inner = inner;
	p->pageinfo = (struct sgx_pageinfo){
		.srcpge = (uintptr_t)p->out.page,
		.secinfo_or_pcmd = (uintptr_t)&p->out.pcmd,
	};
	p->outer.rbx = (uintptr_t)&p->pageinfo;
	p->outer.rcx = isa_fixture_la(p->f, FIXTURE_RW);
	p->outer.rdx = paging_slot(p->f, PAGING_VA, SLOT_RW);
	return isa_encls(&p->outer, ISA_ENCLS_EWB);
}

/* Reloads what outer_ewb() wrote out. */
static struct isa_outcome outer_eldu(struct pair *p, void (*inner)(struct pair *p))
{
	p->inner = inner;
	p->pageinfo = (struct sgx_pageinfo){
		.linaddr = p->f->la[FIXTURE_RW],
		.srcpge = (uintptr_t)p->out.page,
		.secinfo_or_pcmd = (uintptr_t)&p->out.pcmd,
		.secs = isa_fixture_la(p->f, FIXTURE_SECS),
	};
	p->outer.rbx = (uintptr_t)&p->pageinfo;
	p->outer.rcx = isa_fixture_la(p->f, PAGING_TARGET);
	p->outer.rdx = paging_slot(p->f, PAGING_VA, SLOT_RW);
	return isa_encls(&p->outer, ISA_ENCLS_ELDU);
}

static struct isa_outcome ewb_va(struct pair *p, uint64_t frame)
{
	struct isa_lp lp = p->f->os;
	alignas(32) struct sgx_pageinfo pageinfo = {
		.srcpge = (uintptr_t)p->ssa.page,
		.secinfo_or_pcmd = (uintptr_t)&p->ssa.pcmd,
	};

	lp.rbx = (uintptr_t)&pageinfo;
	lp.rcx = isa_fixture_la(p->f, frame);
	lp.rdx = paging_slot(p->f, PAGING_VA2, 0);
	return isa_encls(&lp, ISA_ENCLS_EWB);
}

static struct isa_outcome edbgrd(struct pair *p, uint64_t frame)
{
	struct isa_lp lp = p->f->os;

	lp.rcx = isa_fixture_la(p->f, frame);
	return isa_encls(&lp, ISA_ENCLS_EDBGRD);
}

static void losers_against_ewb(struct pair *p)
{
	struct isa_fixture *f = p->f;

	/* The page, which EWB has to itself. */
	assert_error(paging_eblock(f, FIXTURE_RW), SGX_EPC_PAGE_CONFLICT);
	assert_gp(isa_fixture_eremove(f, FIXTURE_RW));
	assert_gp(paging_ewb(f, FIXTURE_RW, SLOT_SSA, &p->ssa));
	assert_gp(isa_fixture_emodpr(f, FIXTURE_RW, SECINFO_R));
	assert_error(isa_fixture_emodt(f, FIXTURE_RW, SECINFO_PT(PT_TRIM)), SGX_EPC_PAGE_CONFLICT);
	assert_gp(edbgrd(p, FIXTURE_RW));
	assert_gp(paging_epa(f, FIXTURE_RW));
	/* The VA page, which it shares. */
	assert_gp(isa_fixture_eremove(f, PAGING_VA));
	assert_gp(ewb_va(p, PAGING_VA));
	assert_done(edbgrd(p, PAGING_VA));
	/* The tracking facility of the enclave. */
	assert_gp(paging_etrack(f, FIXTURE_SECS));
	/* The SECS, by its child pages. */
	assert_error(isa_fixture_eremove(f, FIXTURE_SECS), SGX_CHILD_PRESENT);
	/* Other pages of the enclave, and slots beside this one, are free. */
	assert_done(paging_eblock(f, FIXTURE_SSA));
	assert_done(paging_ewb(f, FIXTURE_RX, SLOT_RX, &p->rx));
	assert_done(paging_eld(f, ISA_ENCLS_ELDU, FIXTURE_RX, FIXTURE_SECS, SLOT_RX, &p->rx));
}

static void others_lose_against_ewb(void **state)
{
	struct pair *p = *state;

	block_both(p);
	assert_done(outer_ewb(p, losers_against_ewb));
	assert_done(outer_eldu(p, NULL));
	assert_done(paging_etrack(p->f, FIXTURE_SECS));
}

static void losers_against_eldu(struct pair *p)
{
	struct isa_fixture *f = p->f;
	uint8_t page[SGX_PAGE_SIZE] = { 0 };
	struct sgx_secs secs;

	/* The destination. */
	isa_fixture_default_secs(&secs);
	assert_gp(paging_epa(f, PAGING_TARGET));
	assert_gp(isa_fixture_eremove(f, PAGING_TARGET));
	assert_gp(isa_fixture_ecreate(f, PAGING_TARGET, &secs));
	assert_gp(isa_fixture_eaug(f, PAGING_TARGET, FIXTURE_BASE + 0x8000));
	assert_gp(isa_fixture_eadd(f, PAGING_TARGET, FIXTURE_SECS, FIXTURE_BASE + 0x8000, page,
				   SECINFO_PT(PT_REG) | SECINFO_R));
	assert_error(paging_eblock(f, PAGING_TARGET), SGX_EPC_PAGE_CONFLICT);
	assert_gp(paging_eld(f, ISA_ENCLS_ELDU, PAGING_TARGET, FIXTURE_SECS, SLOT_RX, &p->rx));
	/* The VA page and the SECS, which it shares. */
	assert_gp(isa_fixture_eremove(f, PAGING_VA));
	assert_gp(ewb_va(p, PAGING_VA));
	assert_gp(isa_fixture_eremove(f, FIXTURE_SECS));
	assert_gp(ewb_va(p, FIXTURE_SECS));
	assert_done(paging_etrack(f, FIXTURE_SECS));
	assert_done(isa_fixture_eaug(f, 30, FIXTURE_BASE + 0x8000));
	/* Another page, through another slot. */
	assert_done(paging_eld(f, ISA_ENCLS_ELDU, FIXTURE_RX, FIXTURE_SECS, SLOT_RX, &p->rx));
}

static void others_lose_against_eldu(void **state)
{
	struct pair *p = *state;

	block_both(p);
	assert_done(outer_ewb(p, NULL));
	assert_done(paging_ewb(p->f, FIXTURE_RX, SLOT_RX, &p->rx));
	assert_done(outer_eldu(p, losers_against_eldu));
}

static void reload_through_the_same_slot(struct pair *p)
{
	p->out.linaddr = p->f->la[FIXTURE_RW];
	assert_done(paging_eld(p->f, ISA_ENCLS_ELDU, OTHER_TARGET, FIXTURE_SECS, SLOT_RW, &p->out));
}

/* Two reloads of one page, both before either is done. */
static void a_version_counts_once(void **state)
{
	struct pair *p = *state;

	block_both(p);
	assert_done(outer_ewb(p, NULL));
	assert_gp(outer_eldu(p, reload_through_the_same_slot));
	assert_true(isa_epcm_peek(p->f->m, OTHER_TARGET).valid);
	assert_false(isa_epcm_peek(p->f->m, PAGING_TARGET).valid);
	assert_true(isa_is_zero(isa_fixture_contents(p->f, PAGING_TARGET), SGX_PAGE_SIZE));
	assert_int_equal(paging_slot_value(p->f, PAGING_VA, SLOT_RW), 0);
}

static void write_out_to_the_same_slot(struct pair *p)
{
	struct isa_outcome out = paging_ewb(p->f, FIXTURE_RX, SLOT_RW, &p->rx);

	assert_int_equal(out.kind, ISA_INFO);
	assert_int_equal(out.code, SGX_VA_SLOT_OCCUPIED);
}

/* The slot now belongs to the other page, which can come back. */
static void a_slot_taken_meanwhile_is_not_cleared(void **state)
{
	struct pair *p = *state;

	block_both(p);
	assert_done(outer_ewb(p, NULL));
	assert_gp(outer_eldu(p, write_out_to_the_same_slot));
	assert_false(isa_epcm_peek(p->f->m, PAGING_TARGET).valid);
	assert_done(paging_eld(p->f, ISA_ENCLS_ELDU, FIXTURE_RX, FIXTURE_SECS, SLOT_RW, &p->rx));
}

static void empty_the_slot(struct pair *p)
{
	p->out.linaddr = p->f->la[FIXTURE_RX];
	assert_done(paging_ewb(p->f, FIXTURE_RX, SLOT_RW, &p->rx));
}

/* Of two EWBs to one slot the later has it, and says so. */
static void later_of_two_ewbs_has_the_slot(void **state)
{
	struct pair *p = *state;
	struct isa_outcome out;

	block_both(p);
	out = outer_ewb(p, empty_the_slot);
	assert_int_equal(out.kind, ISA_INFO);
	assert_int_equal(out.code, SGX_VA_SLOT_OCCUPIED);
	assert_error(paging_eld(p->f, ISA_ENCLS_ELDU, FIXTURE_RX, FIXTURE_SECS, SLOT_RW, &p->rx),
		     SGX_MAC_COMPARE_FAIL);
	assert_done(outer_eldu(p, NULL));
}

/* --- processors at full speed ---------------------------------------------- */

#define ROUNDS 1500u
#define NR_WORKERS 3u

struct worker {
	struct isa_fixture *f;
	struct isa_lp lp;
	unsigned int id;
	unsigned int nr_out, nr_in, nr_unexpected;
	struct paged_out out;
	alignas(32) struct sgx_pageinfo pageinfo;
};

static struct worker workers[NR_WORKERS];
static _Atomic unsigned int nr_evictions, nr_running;

static struct isa_outcome worker_rcx(struct worker *w, enum isa_leaf leaf, uint64_t frame)
{
	w->lp.rcx = isa_fixture_la(w->f, frame);
	return isa_encls(&w->lp, leaf);
}

static struct isa_outcome worker_ewb(struct worker *w, uint64_t frame, unsigned int slot)
{
	struct isa_outcome out;

	w->pageinfo = (struct sgx_pageinfo){
		.srcpge = (uintptr_t)w->out.page,
		.secinfo_or_pcmd = (uintptr_t)&w->out.pcmd,
	};
	w->lp.rbx = (uintptr_t)&w->pageinfo;
	w->lp.rdx = paging_slot(w->f, PAGING_VA, slot);
	out = worker_rcx(w, ISA_ENCLS_EWB, frame);
	if (out.kind == ISA_DONE || out.kind == ISA_INFO)
		w->out.linaddr = w->pageinfo.linaddr;
	return out;
}

static struct isa_outcome worker_eldu(struct worker *w, uint64_t frame, unsigned int slot)
{
	w->pageinfo = (struct sgx_pageinfo){
		.linaddr = w->out.linaddr,
		.srcpge = (uintptr_t)w->out.page,
		.secinfo_or_pcmd = (uintptr_t)&w->out.pcmd,
		.secs = isa_fixture_la(w->f, FIXTURE_SECS),
	};
	w->lp.rbx = (uintptr_t)&w->pageinfo;
	w->lp.rdx = paging_slot(w->f, PAGING_VA, slot);
	return worker_rcx(w, ISA_ENCLS_ELDU, frame);
}

static bool is_gp(struct isa_outcome o)
{
	return o.kind == ISA_FAULT && o.vector == X86_GP;
}

static void run(struct isa_fixture *f, void *(*const work[NR_WORKERS])(void *))
{
	pthread_t threads[NR_WORKERS];

	memset(workers, 0, sizeof(workers));
	atomic_store(&nr_evictions, 0);
	atomic_store(&nr_running, NR_WORKERS);
	for (unsigned int i = 0; i < NR_WORKERS; i++) {
		workers[i].f = f;
		workers[i].lp = f->os;
		workers[i].id = i;
		assert_int_equal(pthread_create(&threads[i], NULL, work[i], &workers[i]), 0);
	}
	for (unsigned int i = 0; i < NR_WORKERS; i++)
		pthread_join(threads[i], NULL);
}

/* The count of a SECS is that of the entries that name it. */
static void assert_consistent(struct isa_fixture *f)
{
	struct isa_secs_state *state = isa_secs_state(isa_fixture_contents(f, FIXTURE_SECS));
	uint64_t nr_children = 0;

	for (uint64_t i = 0; i < FIXTURE_NR_FRAMES; i++) {
		const struct isa_epcm_info info = isa_epcm_peek(f->m, i);

		assert_int_equal(atomic_load(&f->m->epcm[i].base), 0);
		nr_children += info.valid && info.secs_frame == FIXTURE_SECS;
	}
	assert_int_equal(atomic_load(&state->nr_children), nr_children);
	assert_int_equal(atomic_load(&state->tracking), 0);
}

/* Everybody after the same page, in three frames, through one slot. */
static void *same_page(void *arg)
{
	static const uint64_t frames[] = { FIXTURE_RX, PAGING_TARGET, OTHER_TARGET };
	struct worker *w = arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		const uint64_t frame = frames[(i + w->id) % 3];
		struct isa_outcome out;

		worker_rcx(w, ISA_ENCLS_EBLOCK, frame);
		worker_rcx(w, ISA_ENCLS_ETRACK, FIXTURE_SECS);
		out = worker_ewb(w, frame, SLOT_RX);
		w->nr_out += out.kind == ISA_DONE;
		/* A slot in use is another's only copy: there is one page. */
		w->nr_unexpected += out.kind == ISA_INFO;
		if (w->out.linaddr)
			w->nr_in += isa_is_done(worker_eldu(w, frames[(i + w->id + 1) % 3],
							    SLOT_RX));
	}
	return NULL;
}

static void one_page_is_never_two(void **state)
{
	static void *(*const work[])(void *) = { same_page, same_page, same_page };
	struct isa_fixture *f = paging_create();
	unsigned int nr_valid = 0, nr_out = 0, nr_in = 0;

	run(f, work);
	for (unsigned int i = 0; i < NR_WORKERS; i++) {
		assert_int_equal(workers[i].nr_unexpected, 0);
		nr_out += workers[i].nr_out;
		nr_in += workers[i].nr_in;
	}
	for (uint64_t i = 0; i < FIXTURE_NR_FRAMES; i++) {
		const struct isa_epcm_info info = isa_epcm_peek(f->m, i);

		nr_valid += info.valid && info.enclaveaddress == f->la[FIXTURE_RX];
	}
	assert_true(nr_out > 0);
	assert_int_equal(nr_out, nr_in + 1 - nr_valid);
	assert_consistent(f);
	isa_fixture_destroy(f);
	(void)state;
}

/* Each its own page, all through one VA page, on one enclave. */
static void *own_page(void *arg)
{
	static const uint64_t frames[] = { FIXTURE_SSA, FIXTURE_RW, FIXTURE_RX };
	struct worker *w = arg;
	const uint64_t frame = frames[w->id];

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct isa_outcome out = worker_rcx(w, ISA_ENCLS_EBLOCK, frame);

		/* An ETRACK is running. */
		if (out.kind == ISA_ERROR && out.code == SGX_ENTRYEPOCH_LOCKED)
			continue;
		w->nr_unexpected += !isa_is_done(out);
		do
			out = worker_rcx(w, ISA_ENCLS_ETRACK, FIXTURE_SECS);
		while (is_gp(out));
		w->nr_unexpected += !isa_is_done(out);
		do
			out = worker_ewb(w, frame, w->id);
		while (is_gp(out));
		w->nr_unexpected += !isa_is_done(out);
		w->nr_unexpected += !isa_is_done(worker_eldu(w, frame, w->id));
	}
	return NULL;
}

static void pages_of_their_own_survive(void **state)
{
	static void *(*const work[])(void *) = { own_page, own_page, own_page };
	struct isa_fixture *f = paging_create();
	uint8_t source[SGX_PAGE_SIZE];

	run(f, work);
	for (unsigned int i = 0; i < NR_WORKERS; i++)
		assert_int_equal(workers[i].nr_unexpected, 0);
	for (uint64_t i = FIXTURE_SSA; i <= FIXTURE_RX; i++) {
		isa_fixture_source(i, source);
		assert_memory_equal(isa_fixture_contents(f, i), source, SGX_PAGE_SIZE);
	}
	assert_consistent(f);
	isa_fixture_destroy(f);
	(void)state;
}

/* Goes in and looks at the page, as one that translates its address would. */
static void *visitor(void *arg)
{
	struct worker *w = arg;
	struct isa_epcm *e = &w->f->m->epcm[FIXTURE_RX];
	struct isa_thread t;

	while (atomic_load(&nr_running) > 1) {
		unsigned int seen;
		uint64_t word;

		if (!isa_is_done(paging_try_enter(w->f, &t, w->id == 1 ? FIXTURE_TCS : PAGING_TCS2)))
			continue;
		word = isa_epcm_word(e);
		seen = atomic_load(&nr_evictions);
		if ((word & (EPCM_VALID | EPCM_BLOCKED)) == EPCM_VALID) {
			for (unsigned int i = 0; i < 20; i++)
				sched_yield();
			w->nr_in++;
			/* It cannot have gone while somebody may still use it. */
			w->nr_unexpected += atomic_load(&nr_evictions) != seen;
		}
		paging_exit(&t);
	}
	return NULL;
}

static void *evictor(void *arg)
{
	struct worker *w = arg;
	struct isa_outcome out;

	for (unsigned int i = 0; i < ROUNDS / 10; i++) {
		out = worker_rcx(w, ISA_ENCLS_EBLOCK, FIXTURE_RX);
		w->nr_unexpected += !isa_is_done(out);
		do {
			worker_rcx(w, ISA_ENCLS_ETRACK, FIXTURE_SECS);
			out = worker_ewb(w, FIXTURE_RX, SLOT_RX);
			sched_yield();
		} while (out.kind == ISA_ERROR && out.code == SGX_NOT_TRACKED);
		w->nr_unexpected += !isa_is_done(out);
		atomic_fetch_add(&nr_evictions, 1);
		w->nr_out++;
		w->nr_unexpected += !isa_is_done(worker_eldu(w, FIXTURE_RX, SLOT_RX));
	}
	/* The visitors go home. */
	atomic_store(&nr_running, 1);
	return NULL;
}

static void nothing_goes_while_it_may_be_used(void **state)
{
	static void *(*const work[])(void *) = { evictor, visitor, visitor };
	struct isa_fixture *f = paging_create();

	paging_add_tcs(f);
	run(f, work);
	for (unsigned int i = 0; i < NR_WORKERS; i++)
		assert_int_equal(workers[i].nr_unexpected, 0);
	assert_int_equal(workers[0].nr_out, ROUNDS / 10);
	assert_false(isa_secs_is_active(f->m, FIXTURE_SECS));
	assert_consistent(f);
	isa_fixture_destroy(f);
	(void)state;
}

/* --- operands nobody would give -------------------------------------------- */

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Ordinary memory that leaves read and write at will: any offset, and a page beyond. */
static alignas(4096) uint8_t arena[3 * SGX_PAGE_SIZE];

/* Is all of [@la, @la + @n) EPC or arena?  Pointers found in memory lead anywhere. */
static bool arena_has(uint64_t la, size_t n, struct isa_outcome *fault)
{
	const uint64_t offset = la - (uintptr_t)arena;

	if (offset < sizeof(arena) && n <= sizeof(arena) - offset)
		return true;
	if (la - FIXTURE_PA0 < FIXTURE_SECTION_PAGES * SGX_PAGE_SIZE)
		return true;
	*fault = (struct isa_outcome){ .kind = ISA_FAULT, .vector = X86_PF, .address = la };
	return false;
}

static bool arena_translate(void *ctx, uint64_t la, bool write, uint64_t *pa,
			    struct isa_outcome *fault)
{
	struct isa_fixture *f = ctx;

	return arena_has(la, 1, fault) && f->encl.mmu->translate(f, la, write, pa, fault);
}

static bool arena_read(void *ctx, uint64_t la, void *dst, size_t n, struct isa_outcome *fault)
{
	struct isa_fixture *f = ctx;

	return arena_has(la, n, fault) && f->encl.mmu->read(f, la, dst, n, fault);
}

static bool arena_write(void *ctx, uint64_t la, const void *src, size_t n,
			struct isa_outcome *fault)
{
	struct isa_fixture *f = ctx;

	return arena_has(la, n, fault) && f->encl.mmu->write(f, la, src, n, fault);
}

static const struct isa_mmu arena_mmu = {
	.translate = arena_translate,
	.read = arena_read,
	.write = arena_write,
};

/* Somewhere in EPC, in the arena or nowhere; aligned as often as not. */
static uint64_t any_address(struct isa_fixture *f, uint64_t *seed)
{
	static const uint64_t masks[] = { ~4095ull, ~4095ull, ~127ull, ~31ull, ~7ull, ~0ull };
	const uint64_t offset = next_random(seed) % (2 * SGX_PAGE_SIZE) &
				masks[next_random(seed) % 6];

	switch (next_random(seed) % 8) {
	case 0:
		return FIXTURE_HOLE + offset % SGX_PAGE_SIZE;
	case 1:
	case 2:
	case 3:
		return (uintptr_t)arena + offset;
	default:
		return isa_fixture_la(f, next_random(seed) % 12) + offset % SGX_PAGE_SIZE;
	}
}

/* PAGEINFO and PCMD that sometimes come close. */
static void fill_arena(struct isa_fixture *f, uint64_t *seed)
{
	struct sgx_pageinfo *pageinfo = (void *)(arena + SGX_PAGE_SIZE);
	struct sgx_pcmd *pcmd = (void *)arena;

	*pageinfo = (struct sgx_pageinfo){
		.linaddr = next_random(seed) % 2 ? 0 : f->la[FIXTURE_RW],
		.srcpge = any_address(f, seed),
		.secinfo_or_pcmd = any_address(f, seed),
		.secs = next_random(seed) % 2 ? 0 : any_address(f, seed),
	};
	pcmd->secinfo.flags = SECINFO_PT(next_random(seed) % 9) | (next_random(seed) & 0x3f);
}

static void any_operands_end_in_an_outcome(void **state)
{
	static const enum isa_leaf leaves[] = {
		ISA_ENCLS_EPA, ISA_ENCLS_EBLOCK, ISA_ENCLS_ETRACK, ISA_ENCLS_EWB, ISA_ENCLS_EWB,
		ISA_ENCLS_ELDU, ISA_ENCLS_ELDB, ISA_ENCLS_EREMOVE,
	};
	uint64_t seed = 0x243f6a8885a308d3;
	unsigned int kinds[4] = { 0 };

	for (unsigned int round = 0; round < 40; round++) {
		struct isa_fixture *f = paging_create();

		f->os.mmu = &arena_mmu;
		for (unsigned int i = 0; i < 500; i++) {
			const enum isa_leaf leaf = leaves[next_random(&seed) % 8];

			fill_arena(f, &seed);
			f->os.rbx = next_random(&seed) % 2 ? (uintptr_t)arena + SGX_PAGE_SIZE :
							     any_address(f, &seed);
			if (leaf == ISA_ENCLS_EPA)
				f->os.rbx = PT_VA;
			f->os.rcx = any_address(f, &seed);
			f->os.rdx = next_random(&seed) % 2 ? paging_slot(f, PAGING_VA, i) :
							     any_address(f, &seed);
			kinds[isa_encls(&f->os, leaf).kind]++;
		}
		if (isa_epcm_is_secs(&f->m->epcm[FIXTURE_SECS]))
			assert_consistent(f);
		isa_fixture_destroy(f);
	}
	for (unsigned int i = 0; i < 4; i++)
		assert_true(kinds[i] > 0);
	(void)state;
}

#define PAIR(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR(others_lose_against_ewb),
		PAIR(others_lose_against_eldu),
		PAIR(a_version_counts_once),
		PAIR(a_slot_taken_meanwhile_is_not_cleared),
		PAIR(later_of_two_ewbs_has_the_slot),
		cmocka_unit_test(any_operands_end_in_an_outcome),
		cmocka_unit_test(one_page_is_never_two),
		cmocka_unit_test(pages_of_their_own_survive),
		cmocka_unit_test(nothing_goes_while_it_may_be_used),
	};

	return cmocka_run_group_tests_name("paging races", tests, NULL, NULL);
}
