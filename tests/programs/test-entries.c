/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Entering an enclave by an ENCLU of the program's own that is replaced once it has
 * trapped, and by one that never is: whatever code stands before it, both end in
 * the same state.  An argument is the seed of that code, a second one the number
 * of rounds.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

#include <cmocka.h>

#include "enclave.h"
#include "run-code.h"

#define NR_THREADS 4
#define ROUTINE_SIZE 512
#define NR_PAIRS (PAGE_SIZE / ROUTINE_SIZE / 2)
#define STORM_CALLS 20000
static uint64_t seed = 1;
static unsigned int nr_rounds = 40;
static struct test_encl encl;

static uint32_t draw(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % n;
}

/* --- code --------------------------------------------------------------------------- */

static uint8_t *emit(uint8_t *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

#define EMIT(p, ...) emit(p, (const uint8_t[]){ __VA_ARGS__ },                                     \
			  sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* A register that code may change: not RSP; RAX, RCX, RBX and RDI are set later. */
static unsigned int draw_register(void)
{
	static const uint8_t registers[] = { 0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

	return registers[draw(sizeof(registers))];
}

/* Values that look like what is searched for among them. */
static uint64_t draw_value(void)
{
	static const uint64_t values[] = {
		0xd7010f00000002b8, 0x00d7010f00000002, 2, 0, UINT64_MAX, 0x0d8d48d7010fe900,
	};

	return draw(2) ? values[draw(sizeof(values) / sizeof(values[0]))]
		       : (uint64_t)draw(UINT32_MAX) << 32 | draw(UINT32_MAX);
}

static uint8_t *emit_random(uint8_t *p)
{
	static const uint8_t alu[] = { 0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0x39, 0x89 };
	static const uint8_t sse[] = { 0xd4, 0xef, 0xfe, 0xeb, 0xdf };
	const unsigned int a = draw_register(), b = draw_register();
	const uint64_t value = draw_value();

	switch (draw(8)) {
	case 0:					/* movabs $value, a */
		p = EMIT(p, 0x48 | a >> 3, 0xb8 | (a & 7));
		return emit(p, &value, sizeof(value));
	case 1:					/* mov $value, a */
		if (a & 8)
			p = EMIT(p, 0x41);
		p = EMIT(p, 0xb8 | (a & 7));
		return emit(p, &value, 4);
	case 2:					/* movq a, xmm */
		return EMIT(p, 0x66, 0x48 | a >> 3, 0x0f, 0x6e, 0xc0 | draw(8) << 3 | (a & 7));
	case 3:					/* padd, pxor ... */
		return EMIT(p, 0x66, 0x0f, sse[draw(sizeof(sse))], 0xc0 | draw(64));
	case 4:
		return draw(2) ? EMIT(p, 0xf9) : draw(2) ? EMIT(p, 0xfd) : EMIT(p, 0xf8, 0xfc);
	case 5:					/* jc over a nop; push and pop */
		return draw(2) ? EMIT(p, 0x72, 0x01, 0x90) : EMIT(p, 0x52, 0x5a);
	default:				/* op b, a */
		return EMIT(p, 0x48 | (b >> 3) << 2 | a >> 3, alu[draw(sizeof(alu))],
			    0xc0 | (b & 7) << 3 | (a & 7));
	}
}

static uint8_t *emit_move(uint8_t *p, unsigned int reg, uint64_t value)
{
	p = EMIT(p, 0x48 | reg >> 3, 0xb8 | (reg & 7));
	return emit(p, &value, sizeof(value));
}

static uint8_t *emit_leaf(uint8_t *p)
{
	return draw(2) ? EMIT(p, 0xb8, 2, 0, 0, 0) : EMIT(p, 0x48, 0xc7, 0xc0, 2, 0, 0, 0);
}

#define TO_AEP 17	/* from the ENCLU: it and a jump with its address are in between */

/* lea of the AEP, @left bytes from its end */
static uint8_t *emit_aep(uint8_t *p, uint8_t left)
{
	return EMIT(p, 0x48, 0x8d, 0x0d, left, 0, 0, 0);
}

/*
 * The end of a routine.  Sometimes a jump leads to the ENCLU, or to what is replaced
 * before it.  @apart: a NOP before the ENCLU, where nothing can be replaced.
 */
static uint8_t *emit_entry(uint8_t *p, unsigned int way, const uint8_t *leaf, size_t leaf_size,
			   bool apart)
{
	const uint64_t end = (uintptr_t)run_code_end;
	const uint8_t pad = apart ? 1 : 0;

	if (way & 1) {				/* AEP first */
		p = emit_aep(p, (uint8_t)(leaf_size + pad + TO_AEP + (way & 2 ? 2 + leaf_size : 0)));
		if (way & 2)			/* jc to the ENCLU, or to the move */
			p = emit(p, leaf, leaf_size);
		if (way & 2)
			p = EMIT(p, 0x72, way & 4 ? (uint8_t)(leaf_size + pad) : 0);
		p = emit(p, leaf, leaf_size);
	} else {
		p = emit(p, leaf, leaf_size);
		p = emit_aep(p, pad + TO_AEP);
	}
	if (apart)
		p = EMIT(p, 0x90);
	p = EMIT(p, 0x0f, 0x01, 0xd7);
	p = EMIT(p, 0xff, 0x25, 0, 0, 0, 0);	/* jmp run_code_end */
	p = emit(p, &end, sizeof(end));
	return EMIT(p, 0x0f, 0x01, 0xd7);	/* the AEP */
}

static void emit_pair(uint8_t *first, uint64_t tcs, struct test_op *op)
{
	uint8_t body[ROUTINE_SIZE], leaf[8], *p = body;
	const size_t leaf_size = (size_t)(emit_leaf(leaf) - leaf);
	const unsigned int way = draw(8);

	for (unsigned int i = 8 + draw(24); i; i--)
		p = emit_random(p);
	p = emit_move(p, 3, tcs);
	p = emit_move(p, 7, (uintptr_t)op);
	p = draw(2) ? EMIT(p, 0xf9) : EMIT(p, 0xf8);
	assert_in_range(p - body, 1, ROUTINE_SIZE - 64);
	emit_entry(emit(first, body, (size_t)(p - body)), way, leaf, leaf_size, false);
	emit_entry(emit(first + ROUTINE_SIZE, body, (size_t)(p - body)), way, leaf, leaf_size,
		   true);
}

/* The page differs from round to round, and so do its addresses: nothing is remembered. */
static uint8_t *build(uint64_t tcs, struct test_op *op)
{
	uint8_t *code = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(code, MAP_FAILED);
	memset(code, 0x90, PAGE_SIZE);
	for (unsigned int i = 0; i < NR_PAIRS; i++)
		emit_pair(code + 2 * i * ROUTINE_SIZE, tcs, op);
	assert_int_equal(mprotect(code, PAGE_SIZE, PROT_READ | PROT_EXEC), 0);
	return code;
}

/* --- runs -------------------------------------------------------------------------------- */

static void run(const uint8_t *code, struct test_op *op, struct state *state)
{
	*op = (struct test_op){ .kind = OP_NOP };
	run_code_start(state);
	run_code(state, code);
}

/* But for the address behind the ENCLU, and the AEP. */
static void compare(const struct state *a, const struct state *b, const struct test_op *in_a,
		    const struct test_op *in_b, uint64_t started, unsigned int i, uint64_t apart)
{
	for (unsigned int r = 0; r < 16; r++) {
		const uint64_t moved = r == R_RCX || r == R_RBX ? apart : 0;

		if (in_a->entry[r] + (r == R_RCX ? apart : 0) != in_b->entry[r])
			fail_msg("routine %u of seed %llu: the enclave finds %llx in register %u, "
				 "not %llx", i, (unsigned long long)started,
				 (unsigned long long)in_a->entry[r], r,
				 (unsigned long long)in_b->entry[r]);
		if (a->regs[r] != b->regs[r] && a->regs[r] + moved != b->regs[r])
			fail_msg("routine %u of seed %llu: register %u is %llx, not %llx", i,
				 (unsigned long long)started, r, (unsigned long long)a->regs[r],
				 (unsigned long long)b->regs[r]);
	}
	assert_int_equal(a->regs[R_RFLAGS], b->regs[R_RFLAGS]);
	assert_memory_equal(a->vectors, b->vectors, 416);
}

static void both_ways_in_end_in_the_same_state(void **state)
{
	static struct test_op op;
	struct test_op seen_first, seen, seen_apart;
	struct state first, replaced, apart;

	for (unsigned int round = 0; round < nr_rounds; round++) {
		const uint64_t started = seed;
		uint8_t *code = build(test_tcs(&encl, 0), &op);

		for (unsigned int i = 0; i < NR_PAIRS; i++) {
			const uint8_t *const at = code + 2 * i * ROUTINE_SIZE;

			run(at, &op, &first);
			seen_first = op;
			run(at, &op, &replaced);
			seen = op;
			run(at + ROUTINE_SIZE, &op, &apart);
			seen_apart = op;
			compare(&first, &replaced, &seen_first, &seen, started, i, 0);
			compare(&replaced, &apart, &seen, &seen_apart, started, i,
				ROUTINE_SIZE + 1);
		}
		munmap(code, PAGE_SIZE);
	}
}

/* --- several threads at a place that is just being replaced --------------------------- */

static pthread_barrier_t barrier;
static uint8_t *shared;

static void *run_shared(void *arg)
{
	struct test_op *const op = arg;
	struct state got;

	for (unsigned int i = 0; i < 50; i++) {
		run_code_start(&got);
		got.regs[R_RBX] = op->addr;
		got.regs[R_RDI] = (uintptr_t)op;
		op->result = 0;
		if (!i)
			pthread_barrier_wait(&barrier);
		run_code(&got, shared);
		if (got.regs[R_R12] != R_R12 * 0x1111 || op->entry[R_R15] != R_R15 * 0x1111)
			return "a register is wrong";
	}
	return NULL;
}

static void threads_meet_where_code_is_replaced(void **state)
{
	static struct test_op ops[NR_THREADS];
	const uint64_t end = (uintptr_t)run_code_end;
	pthread_t threads[NR_THREADS];

	for (unsigned int round = 0; round < nr_rounds; round++) {
		uint8_t *p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		assert_ptr_not_equal(p, MAP_FAILED);
		memset(p, 0x90, 256);
		shared = p + 64 + round % 16;
		p = emit_aep(shared, 5 + TO_AEP);
		p = EMIT(p, 0xb8, 2, 0, 0, 0, 0x0f, 0x01, 0xd7, 0xff, 0x25, 0, 0, 0, 0);
		p = emit(p, &end, sizeof(end));
		EMIT(p, 0x0f, 0x01, 0xd7);
		p = (uint8_t *)((uintptr_t)shared & ~(uintptr_t)(PAGE_SIZE - 1));
		assert_int_equal(mprotect(p, PAGE_SIZE, PROT_READ | PROT_EXEC), 0);
		pthread_barrier_init(&barrier, NULL, NR_THREADS);
		for (unsigned int i = 0; i < NR_THREADS; i++) {
			ops[i] = (struct test_op){ .kind = OP_NOP, .addr = test_tcs(&encl, i) };
			assert_int_equal(pthread_create(&threads[i], NULL, run_shared, &ops[i]), 0);
		}
		for (unsigned int i = 0; i < NR_THREADS; i++) {
			void *wrong;

			pthread_join(threads[i], &wrong);
			assert_ptr_equal(wrong, NULL);
		}
		pthread_barrier_destroy(&barrier);
		munmap(p, PAGE_SIZE);
	}
}

/* --- signals --------------------------------------------------------------------------- */

static struct { uintptr_t start, end; } client, routine;
static volatile sig_atomic_t ticks, astray;

static void find_client(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "swsgx-client") || sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		client.start = client.start ? client.start : start;
		client.end = end;
	}
	fclose(maps);
}

/* In the program or in the routine; nothing of what makes that fast may show. */
static void tick(int sig, siginfo_t *info, void *context)
{
	const uintptr_t rip = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	int32_t rel;

	ticks++;
	if (rip - client.start < client.end - client.start)
		astray++;
	/* Of a page of slots, as a jump in the routine leads there. */
	for (uintptr_t p = routine.start; p < routine.end - 5; p++) {
		if (*(const uint8_t *)p != 0xe9)
			continue;
		memcpy(&rel, (const void *)(p + 1), sizeof(rel));
		if (((p + 5 + (uintptr_t)(intptr_t)rel) ^ rip) < PAGE_SIZE)
			astray++;
	}
}

static void signals_find_the_program_or_the_aep(void **state)
{
	const struct itimerval often = { { 0, 50 }, { 0, 50 } }, never = { 0 };
	struct sigaction sa = { .sa_sigaction = tick, .sa_flags = SA_RESTART | SA_SIGINFO };
	static struct test_op op;
	struct test_op seen;
	struct state expected, got;
	uint8_t *code = build(test_tcs(&encl, 0), &op);

	find_client();
	routine.start = (uintptr_t)code;
	routine.end = routine.start + ROUTINE_SIZE;
	run(code, &op, &expected);
	seen = op;
	assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	for (unsigned int i = 0; i < STORM_CALLS; i++) {
		run(code, &op, &got);
		assert_memory_equal(op.entry, seen.entry, 16 * sizeof(seen.entry[0]));
		assert_memory_equal(got.regs, expected.regs, sizeof(got.regs));
		assert_memory_equal(got.vectors, expected.vectors, 416);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	assert_true(ticks > 0);
	assert_int_equal(astray, 0);
	munmap(code, PAGE_SIZE);
}

static int setup(void **state)
{
	return test_encl_build(&encl, &(struct test_config){ .nr_threads = NR_THREADS });
}

static int teardown(void **state)
{
	test_encl_free(&encl);
	return 0;
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		EACH(both_ways_in_end_in_the_same_state),
		EACH(threads_meet_where_code_is_replaced),
		EACH(signals_find_the_program_or_the_aep),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0) | 1;
	if (argc > 2)
		nr_rounds = (unsigned int)strtoul(argv[2], NULL, 0);
	return cmocka_run_group_tests_name("entries", tests, NULL, NULL);
}
