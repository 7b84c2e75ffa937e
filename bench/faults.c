/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a page fault of an enclave larger than the EPC costs, by EPC size: one page
 * is written out and one read back for it.
 *
 * Bursts: the enclave stores to one page after the other of a heap four times the
 * EPC, so that every store faults.  At random: stores to pages drawn evenly from a
 * heap of 1.5 and of 4 times the EPC, of which a third and three quarters fault.
 * Faults are counted by the server, as pages reloaded.  Of a sequence it reloads the
 * next page before the fault, but maps it nowhere: each page is one fault all the same.
 * Rounds are short, some batches of pages written out each, and the least disturbed one
 * counts; what an access at random costs is that of a fault, as often as one faults.
 *
 * They are compared with a bare SIGSEGV round trip: a store to a page without
 * rights, whose handler, known to the kernel and to nobody between, adds the
 * length of the instruction to RIP and returns.  All run in turns.
 *
 * usage: faults [--json FILE] [--sizes MIB,MIB...] [--rounds N]
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"
#include "reloaded.h"
#include "self.h"
#include "timing.h"

#define GOAL 4.0
#define AIM 3.0
#define PAGE 4096u
#define NR_BARE 100u
#define NR_STORES 512u		/* of the enclave, a round: pages go out 64 at a time */
#define MAX_SIZES 16u
#define ONE_SIZE "--one-size"	/* how this program tells itself that it is under swsgx */

static void give_up(const char *what)
{
	fprintf(stderr, "faults: ");
	perror(what);
	exit(1);
}

/* --- the bare round trip -------------------------------------------------------- */

struct kernel_sigaction {
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

__asm__(".text\nbench_restorer: mov $15, %eax\n\tsyscall\n");
void bench_restorer(void);

#define STORE_LENGTH 3		/* of movb $1, (%rax) */

static void skip_store(int sig, siginfo_t *info, void *context)
{
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += STORE_LENGTH;
}

/* Straight to the kernel, past everything that stands before sigaction(). */
static void set_sigsegv(const struct kernel_sigaction *new, struct kernel_sigaction *old)
{
	syscall(SYS_rt_sigaction, SIGSEGV, new, old, sizeof(new->mask));
}

static double bare_ns(uint8_t *forbidden)
{
	const struct kernel_sigaction bare = {
		.handler = skip_store,
		.flags = SA_SIGINFO | 0x04000000,	/* SA_RESTORER */
		.restorer = bench_restorer,
	};
	struct kernel_sigaction old;
	double start;

	set_sigsegv(&bare, &old);
	start = now_ns();
	for (unsigned int i = 0; i < NR_BARE; i++)
		__asm__ volatile("movb $1, (%%rax)" : : "a"(forbidden) : "memory");
	start = now_ns() - start;
	set_sigsegv(&old, NULL);
	return start / NR_BARE;
}

/* --- enclaves larger than the EPC ---------------------------------------------------- */

struct heap {
	struct test_encl encl;
	uint64_t nr_pages, next, seed;
};

static void build(struct heap *heap, uint64_t nr_pages)
{
	const struct test_config config = { .heap_pages = (unsigned int)nr_pages };

	*heap = (struct heap){ .nr_pages = nr_pages, .seed = 88172645463325252ull };
	if (test_encl_build(&heap->encl, &config))
		give_up("building an enclave");
}

static uint64_t start_of(const struct heap *heap)
{
	return (uintptr_t)heap->encl.base + ENCL_THREAD_OFFSET + ENCL_THREAD_SIZE;
}

static void sweep(struct heap *heap, uint64_t nr)
{
	struct test_op op = { .kind = OP_SWEEP, .addr = start_of(heap) + heap->next * PAGE };

	op.value = heap->nr_pages - heap->next;
	if (op.value > nr)
		op.value = nr;
	test_enter(&heap->encl, 0, &op);
	heap->next = (heap->next + op.value) % heap->nr_pages;
	if (op.value < nr)
		sweep(heap, nr - op.value);
}

static void scatter(struct heap *heap, uint64_t nr)
{
	struct test_op op = {
		.kind = OP_SCATTER, .addr = start_of(heap), .addr2 = heap->nr_pages,
		.value = nr, .result = heap->seed,
	};

	test_enter(&heap->encl, 0, &op);
	heap->seed = op.result;
}

/* --- one EPC size ------------------------------------------------------------------ */

enum way { BURST, RANDOM_SMALL, RANDOM_LARGE, NR_WAYS };

static const struct {
	const char *name, *key;
	double overcommit;
	void (*run)(struct heap *heap, uint64_t nr);
} ways[NR_WAYS] = {
	[BURST] = { "bursts", "burst", 4.0, sweep },
	[RANDOM_SMALL] = { "random, 1.5x", "random_1.5", 1.5, scatter },
	[RANDOM_LARGE] = { "random, 4x", "random_4", 4.0, scatter },
};

/* Of the least disturbed round; faults per access of all. */
struct figures {
	double bare_ns;
	struct {
		double access_ns, fault_ns, faults;
	} way[NR_WAYS];
};

static void run_way(enum way way, struct heap *heap, size_t rounds,
		    double *bare, uint8_t *forbidden, struct figures *out)
{
	double *fault = calloc(rounds, sizeof(*fault));
	uint64_t nr, total = 0;

	if (!fault)
		give_up("calloc");
	/* Until what is in EPC is what this way of access keeps there. */
	ways[way].run(heap, 2 * heap->nr_pages > 20000 ? 20000 : 2 * heap->nr_pages);
	for (size_t i = 0; i < rounds; i++) {
		const uint64_t before = nr_reloaded();
		double start;

		bare[i] = bare_ns(forbidden);
		start = now_ns();
		ways[way].run(heap, NR_STORES);
		start = now_ns() - start;
		nr = nr_reloaded() - before;
		fault[i] = start / (double)(nr ? nr : 1);
		total += nr;
	}
	out->way[way].fault_ns = least(fault, rounds);
	out->way[way].faults = (double)total / (double)(rounds * NR_STORES);
	out->way[way].access_ns = out->way[way].fault_ns * out->way[way].faults;
	free(fault);
}

/* Under swsgx: the figures as numbers in a line, for the program that started us. */
static void measure(uint64_t mib, size_t rounds)
{
	double *bare = calloc(NR_WAYS * rounds, sizeof(*bare));
	uint8_t *forbidden = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct figures f;
	struct heap heap;

	if (!bare || forbidden == MAP_FAILED)
		give_up("memory");
	for (unsigned int way = 0; way < NR_WAYS; way++) {
		build(&heap, (uint64_t)((double)(mib << 8) * ways[way].overcommit));
		run_way(way, &heap, rounds, bare + way * rounds, forbidden, &f);
		test_encl_free(&heap.encl);
	}
	f.bare_ns = least(bare, NR_WAYS * rounds);
	printf("%.1f", f.bare_ns);
	for (unsigned int way = 0; way < NR_WAYS; way++)
		printf(" %.1f %.1f %.4f", f.way[way].access_ns, f.way[way].fault_ns,
		       f.way[way].faults);
	printf("\n");
	free(bare);
}

/* --- all sizes ------------------------------------------------------------------------ */

static void measure_under_swsgx(uint64_t mib, size_t rounds, struct figures *f)
{
	char self[PATH_MAX], command[COMMAND_MAX], line[COMMAND_MAX + PATH_MAX + 128];
	FILE *child;
	bool ok;

	find_command(command, self);
	snprintf(line, sizeof(line), "'%s' run --epc %lluM '%s' " ONE_SIZE " %llu %zu", command,
		 (unsigned long long)mib, self, (unsigned long long)mib, rounds);
	child = popen(line, "r");
	if (!child)
		give_up(command);
	ok = fscanf(child, "%lf", &f->bare_ns) == 1;
	for (unsigned int way = 0; way < NR_WAYS; way++)
		ok &= fscanf(child, "%lf %lf %lf", &f->way[way].access_ns, &f->way[way].fault_ns,
			     &f->way[way].faults) == 3;
	if (pclose(child) || !ok) {
		fprintf(stderr, "faults: nothing measured with %llu MiB of EPC\n",
			(unsigned long long)mib);
		exit(1);
	}
}

static void print_table(const uint64_t *sizes, const struct figures *f, size_t nr)
{
	printf("%-8s %-14s %10s %10s %10s %10s %8s\n", "EPC MiB", "access", "ns/access",
	       "faults", "ns/fault", "SIGSEGV ns", "ratio");
	for (size_t i = 0; i < nr; i++)
		for (unsigned int way = 0; way < NR_WAYS; way++) {
			printf("%-8llu %-14s %10.0f %10.3f %10.0f %10.0f %8.2f",
			       (unsigned long long)sizes[i], ways[way].name,
			       f[i].way[way].access_ns, f[i].way[way].faults,
			       f[i].way[way].fault_ns, f[i].bare_ns,
			       f[i].way[way].fault_ns / f[i].bare_ns);
			printf(way == BURST ? "   (goal: <= %.0f, aim: %.0f)\n" : "\n", GOAL, AIM);
		}
}

static void write_json(const char *path, const uint64_t *sizes, const struct figures *f, size_t nr)
{
	FILE *json = fopen(path, "w");

	if (!json)
		give_up(path);
	fprintf(json, "{ \"goal\": %.1f, \"aim\": %.1f, \"sizes\": [", GOAL, AIM);
	for (size_t i = 0; i < nr; i++) {
		fprintf(json, "%s\n  { \"epc_mib\": %llu, \"bare_sigsegv_ns\": %.1f", i ? "," : "",
			(unsigned long long)sizes[i], f[i].bare_ns);
		for (unsigned int way = 0; way < NR_WAYS; way++)
			fprintf(json, ",\n    \"%s\": { \"access_ns\": %.1f, \"fault_ns\": %.1f, "
				"\"faults_per_access\": %.4f, \"ratio\": %.3f }", ways[way].key,
				f[i].way[way].access_ns, f[i].way[way].fault_ns,
				f[i].way[way].faults, f[i].way[way].fault_ns / f[i].bare_ns);
		fprintf(json, " }");
	}
	fprintf(json, " ] }\n");
	if (fclose(json))
		give_up(path);
}

static size_t parse_sizes(const char *text, uint64_t sizes[MAX_SIZES])
{
	size_t nr = 0;
	char *end;

	for (;; text = end + 1) {
		if (nr == MAX_SIZES || !(sizes[nr++] = strtoul(text, &end, 0)))
			break;
		if (!*end)
			return nr;
		if (*end != ',')
			break;
	}
	fprintf(stderr, "faults: --sizes takes up to %u sizes in MiB, with commas\n", MAX_SIZES);
	exit(2);
}

int main(int argc, char **argv)
{
	uint64_t sizes[MAX_SIZES] = { 2, 8, 32 };
	struct figures f[MAX_SIZES];
	size_t nr = 3, rounds = 100;
	const char *json = NULL;

	if (argc == 4 && !strcmp(argv[1], ONE_SIZE)) {
		measure(strtoul(argv[2], NULL, 0), strtoul(argv[3], NULL, 0));
		return 0;
	}
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--json"))
			json = argv[i + 1];
		else if (!strcmp(argv[i], "--sizes"))
			nr = parse_sizes(argv[i + 1], sizes);
		else if (!strcmp(argv[i], "--rounds"))
			rounds = strtoul(argv[i + 1], NULL, 0);
	}
	if (!rounds)
		return 2;
	for (size_t i = 0; i < nr; i++)
		measure_under_swsgx(sizes[i], rounds, &f[i]);
	print_table(sizes, f, nr);
	if (json)
		write_json(json, sizes, f, nr);
	return 0;
}
