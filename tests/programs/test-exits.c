/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Leaving an enclave by an ENCLU that may have been replaced, and by one that
 * cannot have been: whatever code stands before it, both end in the same state.
 * An argument is the seed of that code, a second one the number of rounds.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"
#include "run-code.h"

#define NR_ROUTINES 12
#define ROUTINE_SIZE 168
#define STORM_CALLS 30000

static uint64_t seed = 1;
static unsigned int nr_rounds = 24;
static struct test_encl encl;
static uint8_t code[PAGE_SIZE];

static uint32_t draw(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % n;
}

/* --- routines --------------------------------------------------------------------- */

static uint8_t *emit(uint8_t *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

#define EMIT(p, ...) emit(p, (const uint8_t[]){ __VA_ARGS__ },                                     \
			  sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* As at entry: RSP, RBP, and RBX the address to return to; RDI is the operation. */
static uint8_t *emit_prologue(uint8_t *p)
{
	p = EMIT(p, 0x48, 0x8b, 0x67, OP_ENTRY + 8 * R_RSP);
	p = EMIT(p, 0x48, 0x8b, 0x6f, OP_ENTRY + 8 * R_RBP);
	/* Some know where the routine is: RAX, RCX, RDX, RSI, R8 to R11 */
	p = EMIT(p, 0x31, 0xc0, 0x31, 0xc9, 0x31, 0xd2, 0x31, 0xf6);
	p = EMIT(p, 0x45, 0x31, 0xc0, 0x45, 0x31, 0xc9, 0x45, 0x31, 0xd2, 0x45, 0x31, 0xdb);
	return EMIT(p, 0x48, 0x8b, 0x5f, OP_ENTRY + 8 * R_RCX);
}

/* A register that code may change: not RBX, RSP, RBP. */
static unsigned int draw_register(void)
{
	static const uint8_t registers[] = { 0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

	return registers[draw(sizeof(registers))];
}

static uint8_t *emit_alu(uint8_t *p, unsigned int a, unsigned int b)
{
	static const uint8_t alu[] = { 0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0x39, 0x85, 0x89 };

	/* op b, a */
	return EMIT(p, 0x48 | (b >> 3) << 2 | a >> 3, alu[draw(sizeof(alu))],
		    0xc0 | (b & 7) << 3 | (a & 7));
}

/* Values that look like what is searched for among them. */
static uint64_t draw_value(void)
{
	static const uint64_t values[] = {
		0xd7010f00000004b8, 0x00d7010f00000004, 4, 0, UINT64_MAX, 0x0fa2ae0f26ae0fd7,
		0xd7010f00000004b8 >> 8,
	};

	return draw(2) ? values[draw(sizeof(values) / sizeof(values[0]))]
		       : (uint64_t)draw(UINT32_MAX) << 32 | draw(UINT32_MAX);
}

static uint8_t *emit_random(uint8_t *p)
{
	const unsigned int a = draw_register(), b = draw_register();
	const uint64_t value = draw_value();

	switch (draw(7)) {
	case 5:					/* movq a, xmm */
		return EMIT(p, 0x66, 0x48 | a >> 3, 0x0f, 0x6e, 0xc0 | draw(8) << 3 | (a & 7));
	case 0:					/* movabs $value, a */
		p = EMIT(p, 0x48 | a >> 3, 0xb8 | (a & 7));
		return emit(p, &value, sizeof(value));
	case 1:					/* mov $value, a */
		if (a & 8)
			p = EMIT(p, 0x41);
		p = EMIT(p, 0xb8 | (a & 7));
		return emit(p, &value, 4);
	case 2:					/* shl, a */
		return EMIT(p, 0x48 | a >> 3, 0xc1, 0xe0 | (a & 7), (uint8_t)draw(64));
	case 3:
		return draw(2) ? EMIT(p, 0xf9) : EMIT(p, 0xf8);	/* stc, clc */
	case 4:
		return EMIT(p, 0x90);
	default:
		return emit_alu(p, a, b);
	}
}

/* Code as some have it between the move to EAX and the ENCLU: clear registers, and flags. */
static uint8_t *emit_between(uint8_t *p)
{
	for (unsigned int i = draw(2) ? draw(8) : 0; i; i--) {
		const unsigned int a = draw_register(), b = draw_register();

		if (a == R_RAX)
			continue;
		switch (draw(4)) {
		case 0:				/* xor a, a */
			p = EMIT(p, 0x48 | (a >> 3) << 2 | a >> 3, 0x31, 0xc0 | (a & 7) << 3 | (a & 7));
			break;
		case 1:				/* cld, clc, stc, nop, cmc */
			p = EMIT(p, (const uint8_t[]){ 0xfc, 0xf8, 0xf9, 0x90, 0xf5 }[draw(5)]);
			break;
		default:
			p = emit_alu(p, a, b);
		}
	}
	return p;
}

/*
 * Several ways to come to the ENCLU, and to it alone, with the same between the move
 * and it, from some point on if there is a jump.
 */
static uint8_t *emit_exit(uint8_t *p, unsigned int way, const uint8_t *between, size_t size,
			  bool apart)
{
	static const uint8_t mov_eax[] = { 0xb8, 4, 0, 0, 0 };
	static const uint8_t mov_rax[] = { 0x48, 0xc7, 0xc0, 4, 0, 0, 0 };
	const bool wide = way & 1;
	const size_t over = wide ? sizeof(mov_rax) : sizeof(mov_eax);

	/* mov $4, %eax; jc or jmp behind another such mov, or to the ENCLU */
	if (way & 2)
		p = emit(p, mov_eax, sizeof(mov_eax));
	if (way & 2)
		p = EMIT(p, way & 4 ? 0x72 : 0xeb,
			 (uint8_t)(over + (way & 8 ? size + 2 * apart : 0)));
	p = wide ? emit(p, mov_rax, sizeof(mov_rax)) : emit(p, mov_eax, sizeof(mov_eax));
	p = emit(p, between, size);
	if (apart)
		p = EMIT(p, 0x89, 0xc0);	/* mov %eax, %eax */
	return EMIT(p, 0x0f, 0x01, 0xd7, 0x0f, 0x0b);
}

/* Twice the same, but for what stands before the ENCLU. */
static void emit_pair(uint8_t *first)
{
	uint8_t body[ROUTINE_SIZE], between[ROUTINE_SIZE], *p = emit_prologue(body);
	const unsigned int way = draw(16);
	size_t size, between_size;

	for (unsigned int i = draw(9); i; i--)
		p = emit_random(p);
	size = (size_t)(p - body);
	between_size = (size_t)(emit_between(between) - between);
	assert_in_range(size, 1, ROUTINE_SIZE - 56);
	emit_exit(emit(first, body, size), way, between, between_size, false);
	emit_exit(emit(first + ROUTINE_SIZE, body, size), way, between, between_size, true);
}

/* --- runs -------------------------------------------------------------------------------- */

static void run_routine(unsigned int i, uint64_t regs[NR_REGS])
{
	struct sgx_enclave_run run = { .tcs = test_tcs(&encl, 0) };
	static uint8_t stack[65536] __attribute__((aligned(64)));
	static struct test_op op;
	int ret;

	op = (struct test_op){
		.kind = OP_CALL2,
		.value = (uintptr_t)encl.base + encl.code_offset + i * ROUTINE_SIZE,
	};
	memset(regs, 0, NR_REGS * sizeof(*regs));
	regs[R_RDI] = (uintptr_t)&op;
	for (unsigned int r = R_R8; r <= R_R15; r++)
		regs[r] = r * 0x1111;
	ret = enter_vdso(regs, &run, ENCLU_EENTER, test_vdso(), stack + sizeof(stack));
	assert_int_equal(ret, 0);
	assert_int_equal(run.function, ENCLU_EEXIT);
}

static void build_routines(void)
{
	memset(code, 0x90, sizeof(code));
	for (unsigned int i = 0; i < NR_ROUTINES; i++)
		emit_pair(code + 2 * i * ROUTINE_SIZE);
	assert_int_equal(test_encl_build(&encl, &(struct test_config){
							.code = code,
							.code_size = sizeof(code),
						}), 0);
}

static void both_ways_out_end_in_the_same_state(void **state)
{
	uint64_t replaced[NR_REGS], trapped[NR_REGS];

	for (unsigned int round = 0; round < nr_rounds; round++) {
		const uint64_t started = seed;

		build_routines();
		for (unsigned int i = 0; i < NR_ROUTINES; i++) {
			run_routine(2 * i, replaced);
			run_routine(2 * i + 1, trapped);
			for (unsigned int r = 0; r < NR_REGS; r++)
				if (replaced[r] != trapped[r])
					fail_msg("routine %u of seed %llu: register %u is %llx, not %llx",
						 i, (unsigned long long)started, r,
						 (unsigned long long)replaced[r],
						 (unsigned long long)trapped[r]);
		}
		test_encl_free(&encl);
	}
}

/* Code of the program that enters thread 0, has the AEP behind it, and goes to run_code_end. */
static uint8_t *build_entry(struct test_op *op)
{
	const uint64_t tcs = test_tcs(&encl, 0), rdi = (uintptr_t)op;
	const uint64_t end = (uintptr_t)run_code_end;
	uint8_t *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
	uint8_t *p = page + 256;

	assert_ptr_not_equal(page, MAP_FAILED);
	memset(page, 0x90, 256);
	p = EMIT(p, 0x48, 0xbb);
	p = emit(p, &tcs, sizeof(tcs));
	p = EMIT(p, 0x48, 0xbf);
	p = emit(p, &rdi, sizeof(rdi));
	p = EMIT(p, 0x48, 0x8d, 0x0d, 22, 0, 0, 0, 0xb8, 2, 0, 0, 0, 0x0f, 0x01, 0xd7);
	p = EMIT(p, 0xff, 0x25, 0, 0, 0, 0);
	p = emit(p, &end, sizeof(end));
	EMIT(p, 0x0f, 0x01, 0xd7);
	assert_int_equal(mprotect(page, PAGE_SIZE, PROT_READ | PROT_EXEC), 0);
	return page;
}

static void run_by_own_enclu(const uint8_t *entry, struct test_op *op, unsigned int i,
			     struct state *after)
{
	*op = (struct test_op){
		.kind = OP_CALL2,
		.value = (uintptr_t)encl.base + encl.code_offset + i * ROUTINE_SIZE,
	};
	run_code_start(after);
	run_code(after, entry + 256);
}

/* The program's ENCLU is replaced itself by the second time; then all is without traps. */
static void and_so_they_do_with_flags_for_the_programs_own_enclu(void **state)
{
	static struct test_op op;
	struct state replaced, trapped;

	for (unsigned int round = 0; round < nr_rounds; round++) {
		const uint64_t started = seed;
		uint8_t *entry;

		build_routines();
		entry = build_entry(&op);
		for (unsigned int i = 0; i < NR_ROUTINES; i++) {
			run_by_own_enclu(entry, &op, 2 * i, &replaced);
			run_by_own_enclu(entry, &op, 2 * i + 1, &trapped);
			for (unsigned int r = 0; r < NR_REGS; r++)
				if (replaced.regs[r] != trapped.regs[r])
					fail_msg("routine %u of seed %llu: register %u is %llx, not %llx",
						 i, (unsigned long long)started, r,
						 (unsigned long long)replaced.regs[r],
						 (unsigned long long)trapped.regs[r]);
			assert_memory_equal(replaced.vectors, trapped.vectors, STATE_VECTORS);
		}
		munmap(entry, PAGE_SIZE);
		test_encl_free(&encl);
	}
}

/* What is replaced stands before the ENCLU; of what the enclave reads little else changed. */
static void code_changes_before_enclu_only(void **state)
{
	size_t changed = 0;

	build_routines();
	for (size_t i = 0; i < sizeof(code); i++) {
		const uint8_t now = encl.base[encl.code_offset + i];

		if (now == code[i])
			continue;
		changed++;
		assert_true(memmem(code + i, 40, (const uint8_t[]){ 0x0f, 0x01, 0xd7 }, 3) != NULL);
	}
	/* Nothing at all with --exact. */
	if (getenv("SWSGX_EXACT"))
		assert_int_equal(changed, 0);
	else
		assert_in_range(changed, 1, NR_ROUTINES * 5);
	test_encl_free(&encl);
}

static volatile sig_atomic_t ticks;

static void tick(int sig)
{
	ticks++;
}

/* Signals find the thread inside, on its way out, and through. */
/* --- threads that GS does not tell apart ------------------------------------------------------ */

#define HALF_STACK 32768u
#define TCS_OGSBASGX 56

static struct test_encl shared_gs;
static uint8_t stacks[2 * HALF_STACK] __attribute__((aligned(4096)));
static struct test_op spins[2];

/* Return: was it somebody else afterwards? */
static void *spin_inside(void *arg)
{
	const pthread_t self = pthread_self();
	const size_t i = (size_t)(uintptr_t)arg;
	uint64_t regs[NR_REGS] = { [R_RDI] = (uintptr_t)&spins[i] };

	enter_raw(regs, test_tcs(&shared_gs, (unsigned int)i), ENCLU_EENTER);
	return (void *)(uintptr_t)!pthread_equal(self, pthread_self());
}

/* They have stacks side by side, the first one's lower. */
static pthread_t start_spinning(unsigned int i)
{
	pthread_attr_t attr;
	pthread_t thread;

	spins[i] = (struct test_op){ .kind = OP_SPIN };
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstack(&attr, stacks + i * HALF_STACK, HALF_STACK), 0);
	assert_int_equal(pthread_create(&thread, &attr, spin_inside, (void *)(uintptr_t)i), 0);
	pthread_attr_destroy(&attr);
	while (!spins[i].started)
		sched_yield();
	return thread;
}

static void end_spinning(unsigned int i, pthread_t thread)
{
	void *is_another;

	spins[i].flag = 1;
	assert_int_equal(pthread_join(thread, &is_another), 0);
	assert_null(is_another);
}

static void build_with_one_gs(void)
{
	const size_t first = ENCL_THREAD_OFFSET + ENCL_THREAD_TCS + TCS_OGSBASGX;

	test_encl_prepare(&shared_gs, &(struct test_config){ .nr_threads = 2 });
	memcpy(shared_gs.image + first + ENCL_THREAD_SIZE, shared_gs.image + first,
	       sizeof(uint64_t));
	test_encl_sign(&shared_gs);
	assert_int_equal(test_encl_open(&shared_gs), 0);
	assert_int_equal(test_encl_create(&shared_gs), 0);
	assert_int_equal(test_encl_add(&shared_gs), 0);
	assert_int_equal(test_encl_init(&shared_gs), 0);
	assert_int_equal(test_encl_map(&shared_gs), 0);
}

static void threads_with_one_gs_leave_for_themselves(void **state)
{
	pthread_t threads[2];

	build_with_one_gs();
	for (unsigned int round = 0; round < 4; round++) {
		/* Who entered last is whom GS leads to. */
		for (unsigned int i = 0; i < 2; i++)
			threads[i] = start_spinning(i);
		for (unsigned int i = 0; i < 2; i++)
			end_spinning(i, threads[i]);
	}
	test_encl_free(&shared_gs);
}

static void signals_at_any_point_of_an_exit_lose_nothing(void **state)
{
	const struct itimerval often = { { 0, 50 }, { 0, 50 } }, never = { 0 };
	uint64_t regs[NR_REGS], expected[NR_ROUTINES][NR_REGS];
	struct sigaction sa = { .sa_handler = tick, .sa_flags = SA_RESTART };

	build_routines();
	for (unsigned int i = 0; i < NR_ROUTINES; i++)
		run_routine(2 * i, expected[i]);
	assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	for (unsigned int i = 0; i < STORM_CALLS; i++) {
		struct sgx_enclave_run run = { 0 };
		int ret = test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, NULL, &run);

		/* A handler that ran at the AEP resumed it. */
		assert_int_equal(ret, 0);
		assert_int_equal(run.function, ENCLU_EEXIT);
		run_routine(2 * (i % NR_ROUTINES), regs);
		assert_memory_equal(regs, expected[i % NR_ROUTINES], sizeof(regs));
	}
	setitimer(ITIMER_REAL, &never, NULL);
	assert_true(ticks > 0);
	test_encl_free(&encl);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways_out_end_in_the_same_state),
		cmocka_unit_test(and_so_they_do_with_flags_for_the_programs_own_enclu),
		cmocka_unit_test(code_changes_before_enclu_only),
		cmocka_unit_test(threads_with_one_gs_leave_for_themselves),
		cmocka_unit_test(signals_at_any_point_of_an_exit_lose_nothing),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0) | 1;
	if (argc > 2)
		nr_rounds = (unsigned int)strtoul(argv[2], NULL, 0);
	return cmocka_run_group_tests_name("exits", tests, NULL, NULL);
}
