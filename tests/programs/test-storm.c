/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals at random instants, as many as the machine can deliver, over threads
 * that run short pieces of random code inside, one after the other.  What a
 * piece makes of its registers is known, for it ran outside before; one bit that
 * is disturbed in any of them, at entry, inside, at exit or in between, is seen.
 *
 * Each thread has timers that its handlers set anew, to a random time that is
 * mostly shorter than a piece, and another thread sends it signals as well.  An
 * argument says how many signals there are to be.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"
#include "random-code.h"

#define NR_WORKERS 2
#define NR_TIMERS 3
#define NR_PIECES 48
#define NR_INSNS 400
#define ALT_STACK_SIZE 262144

static uint64_t nr_wanted = 20000;	/* in each case */

/* A piece of work: what to begin with, and what comes out. */
static struct test_op pieces[NR_PIECES];
static struct test_encl encl;

struct worker {
	unsigned int index;
	pid_t tid;
	pthread_t thread;
	uint64_t seed;
	timer_t timers[NR_TIMERS];
	bool nested;			/* a handler has entered */
	uint64_t nr_signals, nr_inside, nr_nested, nr_steps, nr_failed;
	atomic_uint nr_done;		/* of its signals, for others to read; wraps */
	uint8_t alt_stack[ALT_STACK_SIZE];
};

static struct worker workers[NR_WORKERS];
static _Thread_local struct worker *self;
static atomic_bool over;
static pthread_barrier_t ready;		/* the workers', and who disturbs them */

static const int timer_signals[NR_TIMERS] = { SIGALRM, SIGUSR2, SIGVTALRM };

static uint32_t draw(uint64_t *seed, uint32_t n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 32) % n;
}

/* --- signals -------------------------------------------------------------------- */

/* Up to 65 microseconds, mostly much less: there is always a pause long enough to get on. */
static void set_timer(struct worker *w)
{
	const long ns = 500 + (long)draw(&w->seed, 1u << (9 + draw(&w->seed, 8)));
	const struct itimerspec soon = { .it_value = { 0, ns } };

	timer_settime(w->timers[draw(&w->seed, NR_TIMERS)], 0, &soon, NULL);
}

static void enter_from_handler(struct worker *w)
{
	struct test_op op = { .kind = OP_NOP };
	struct sgx_enclave_run run = { 0 };

	w->nested = true;
	w->nr_nested++;
	if (test_call(&encl, test_tcs(&encl, w->index), ENCLU_EENTER, &op, &run) ||
	    run.function != ENCLU_EEXIT || op.entry[R_RAX] != 1)
		w->nr_failed++;
	w->nested = false;
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
	const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	struct worker *w = self;
	const int saved = errno;
	const bool inside = g[REG_RAX] == ENCLU_ERESUME &&
			    (uint64_t)g[REG_RBX] == test_tcs(&encl, w->index) &&
			    g[REG_RCX] == g[REG_RIP];

	w->nr_signals++;
	w->nr_inside += inside;
	w->nr_failed += test_is_inside(&encl, (uint64_t)g[REG_RIP]) ||
			test_is_inside(&encl, (uint64_t)g[REG_RSP]);
	if (inside && !w->nested && !draw(&w->seed, 64))
		enter_from_handler(w);
	atomic_fetch_add_explicit(&w->nr_done, 1, memory_order_relaxed);
	if (info->si_code == SI_TIMER && !atomic_load_explicit(&over, memory_order_relaxed))
		set_timer(w);
	errno = saved;
}

/* With all signals blocked meanwhile, and not; on an alternate stack, and not. */
static void catch_all(void)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };

	sigaction(SIGALRM, &sa, NULL);
	sa.sa_flags |= SA_ONSTACK;
	sigaction(SIGUSR2, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigfillset(&sa.sa_mask);
	sigaction(SIGVTALRM, &sa, NULL);
}

static void make_timers(struct worker *w)
{
	for (unsigned int i = 0; i < NR_TIMERS; i++) {
		struct sigevent ev = {
			.sigev_notify = SIGEV_THREAD_ID,
			.sigev_signo = timer_signals[i],
			._sigev_un._tid = w->tid,
		};

		assert_int_equal(timer_create(CLOCK_MONOTONIC, &ev, &w->timers[i]), 0);
	}
}

/* --- work ------------------------------------------------------------------------- */

/*
 * What a handler enters meanwhile stays on the handler's stack, too: from another one
 * the next signal would begin at the top of the alternate stack, over its frame.
 */
static void enter_bare(struct worker *w, struct test_op *op)
{
	uint64_t regs[NR_REGS] = { [R_RDI] = (uintptr_t)op };

	atomic_flag_test_and_set(&encl.stacks[w->index].busy);
	enter_raw(regs, test_tcs(&encl, w->index), ENCLU_EENTER);
	atomic_flag_clear(&encl.stacks[w->index].busy);
}

static bool is_right(const struct test_op *op, const struct test_op *piece)
{
	for (unsigned int i = 0; i < R_RFLAGS; i++)
		if (i != R_RSP && op->got[i] != piece->got[i])
			return false;
	return !((op->got[R_RFLAGS] ^ piece->got[R_RFLAGS]) & ~RANDOM_CODE_UNDEFINED_FLAGS) &&
	       !memcmp(op->pad, piece->pad, sizeof(op->pad)) &&
	       !memcmp(op->vec_got, piece->vec_got, sizeof(op->vec_got));
}

static void step(struct worker *w)
{
	const struct test_op *piece = &pieces[draw(&w->seed, NR_PIECES)];
	struct test_op op = *piece;

	op.kind = OP_CALL;
	op.addr = (uintptr_t)encl.base + encl.code_offset;
	memset(op.got, 0, sizeof(op.got));
	memset(op.vec_got, 0, sizeof(op.vec_got));
	memset(op.pad, 0, sizeof(op.pad));
	if (draw(&w->seed, 2))
		test_enter(&encl, w->index, &op);
	else
		enter_bare(w, &op);
	w->nr_steps++;
	if (!is_right(&op, piece))
		w->nr_failed++;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	const stack_t alt = { .ss_sp = w->alt_stack, .ss_size = ALT_STACK_SIZE };

	self = w;
	w->tid = (pid_t)syscall(SYS_gettid);
	sigaltstack(&alt, NULL);
	make_timers(w);
	pthread_barrier_wait(&ready);
	set_timer(w);
	while (!atomic_load_explicit(&over, memory_order_relaxed)) {
		const uint64_t before = w->nr_signals;

		step(w);
		/* One that was lost, or came in the moment the last was set. */
		if (w->nr_signals == before)
			set_timer(w);
	}
	for (unsigned int i = 0; i < NR_TIMERS; i++)
		timer_delete(w->timers[i]);
	return NULL;
}

static uint64_t count_signals(void)
{
	static unsigned int last[NR_WORKERS];
	static uint64_t sum;

	for (unsigned int i = 0; i < NR_WORKERS; i++) {
		const unsigned int now = atomic_load_explicit(&workers[i].nr_done,
							      memory_order_relaxed);

		sum += now - last[i];
		last[i] = now;
	}
	return sum;
}

/* Disturb them from outside until there were enough. */
static void send_signals(void)
{
	const uint64_t until = count_signals() + nr_wanted;
	uint64_t seed = 5;

	pthread_barrier_wait(&ready);
	while (count_signals() < until) {
		usleep(draw(&seed, 200));
		pthread_kill(workers[draw(&seed, NR_WORKERS)].thread, SIGUSR1);
	}
	atomic_store(&over, true);
}

/* --- cases ------------------------------------------------------------------------ */

static void fill(struct test_op *op, uint64_t *seed)
{
	uint8_t *vec = (uint8_t *)op->vec_set;

	*op = (struct test_op){ .value = 1 + draw(seed, 1u << draw(seed, 8)) };
	for (unsigned int i = 0; i < R_RFLAGS; i++)
		op->set[i] = (uint64_t)draw(seed, UINT32_MAX) << 32 | draw(seed, UINT32_MAX);
	op->set[R_RFLAGS] = 0x202 | (draw(seed, 2) ? 0xc5 : 0);	/* SF ZF PF CF */
	for (unsigned int i = 0; i < sizeof(op->vec_set); i++)
		vec[i] = (uint8_t)draw(seed, 256);
}

/* Run every piece outside, to know what comes out. */
static void prepare_pieces(const uint8_t *code, uint64_t seed)
{
	void (*fn)(struct test_op *op);
	void *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(page, MAP_FAILED);
	memcpy(page, code, PAGE_SIZE);
	memcpy(&fn, &page, sizeof(fn));
	for (unsigned int i = 0; i < NR_PIECES; i++) {
		fill(&pieces[i], &seed);
		fn(&pieces[i]);
	}
	munmap(page, PAGE_SIZE);
}

static void start_workers(uint64_t seed)
{
	atomic_store(&over, false);
	pthread_barrier_init(&ready, NULL, NR_WORKERS + 1);
	for (unsigned int i = 0; i < NR_WORKERS; i++) {
		workers[i].index = i;
		workers[i].seed = seed + i * 7919;
		workers[i].nr_signals = workers[i].nr_inside = workers[i].nr_nested = 0;
		workers[i].nr_steps = workers[i].nr_failed = 0;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
}

static void storm(bool avx, uint64_t seed)
{
	static uint8_t code[PAGE_SIZE];
	const struct test_config cfg = {
		.nr_threads = NR_WORKERS,
		.nr_ssa = 2,
		.code = code,
		.code_size = sizeof(code),
		.xfrm = avx ? XFRM_X87_SSE | 4 : 0,
	};

	memset(code, 0, sizeof(code));
	assert_true(random_code(code, sizeof(code), NR_INSNS, avx, seed));
	prepare_pieces(code, seed);
	assert_int_equal(test_encl_build(&encl, &cfg), 0);
	test_vdso();
	catch_all();

	start_workers(seed);
	send_signals();
	for (unsigned int i = 0; i < NR_WORKERS; i++)
		pthread_join(workers[i].thread, NULL);

	for (unsigned int i = 0; i < NR_WORKERS; i++) {
		const struct worker *w = &workers[i];

		fprintf(stderr, "# %llu signals, %llu of them inside, %llu entered again; %llu steps\n",
			(unsigned long long)w->nr_signals, (unsigned long long)w->nr_inside,
			(unsigned long long)w->nr_nested, (unsigned long long)w->nr_steps);
		assert_int_equal(w->nr_failed, 0);
		assert_in_range(w->nr_inside, 1, UINT64_MAX);
	}
	test_encl_free(&encl);
}

static void no_signal_changes_a_step(void **state)
{
	storm(false, 20250517);
}

static void nor_with_avx(void **state)
{
	if (!__builtin_cpu_supports("avx2"))
		return;
	storm(true, 6021023);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_signal_changes_a_step),
		cmocka_unit_test(nor_with_avx),
	};

	if (argc > 1)
		nr_wanted = strtoull(argv[1], NULL, 10) / 2;
	return cmocka_run_group_tests_name("storm", tests, NULL, NULL);
}
