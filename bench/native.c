/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How fast code runs inside an enclave: the same bytes of code, on the same data,
 * inside and in ordinary memory, in turns.
 *
 * Started by hand it runs itself again under swsgx.
 *
 * usage: native [--json FILE] [--rounds N]
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"
#include "native-work.h"
#include "self.h"
#include "timing.h"

#define MAX_RATIO 1.02

static const struct work {
	const char *name, *key;
	uint64_t offset;	/* of its data, behind the code */
	uint64_t value;		/* for some tens of milliseconds */
} works[NR_WORKS] = {
	[WORK_SHA256] = { "SHA-256 of 1 MiB", "sha256", 0x10000, 8 },
	[WORK_MATRIX] = { "matrix product of doubles", "matrix", 0x10000 + SHA256_SIZE, 4 },
	[WORK_CHASE] = { "random pointer chasing in 512 KiB", "chase", 0x400000, 3000000 },
};

#define MEMORY_SIZE (0x400000 + CHASE_SIZE)

/* Code and data, inside and outside. */
struct bench {
	uint8_t *memory;
	struct test_encl encl;
	uint64_t heap;		/* address of the same inside */
	double *ns[NR_WORKS][2];	/* inside, outside; [round] */
};

enum { INSIDE, OUTSIDE };

static void fail_with(const char *what)
{
	fprintf(stderr, "native: %s\n", what);
	exit(1);
}

static void read_code(uint8_t *to)
{
	char command[COMMAND_MAX], self[PATH_MAX];
	int fd;

	find_command(command, self);
	strcpy(strrchr(self, '/') + 1, "native-work");
	fd = open(self, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, to, WORK_SIZE) != WORK_SIZE)
		fail_with("native-work cannot be read");
	close(fd);
}

/* One cycle through all elements, in an order nobody can guess. */
static void fill_cycle(uint32_t *next, uint32_t n)
{
	uint64_t x = 88172645463325252ull;

	for (uint32_t i = 0; i < n; i++)
		next[i] = i;
	for (uint32_t i = n - 1; i > 0; i--) {
		uint32_t j, saved = next[i];

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		j = (uint32_t)(x % i);
		next[i] = next[j];
		next[j] = saved;
	}
}

static void fill(uint8_t *memory)
{
	double *matrix = (void *)(memory + works[WORK_MATRIX].offset);

	read_code(memory);
	for (uint32_t i = 0; i < SHA256_SIZE; i++)
		memory[works[WORK_SHA256].offset + i] = (uint8_t)(i * 31);
	for (uint32_t i = 0; i < 2 * MATRIX_N * MATRIX_N; i++)
		matrix[i] = i % 17;
	fill_cycle((uint32_t *)(void *)(memory + works[WORK_CHASE].offset),
		   CHASE_SIZE / sizeof(uint32_t));
}

static void build(struct bench *b)
{
	const struct test_config config = { .heap_pages = MEMORY_SIZE / 4096, .heap_exec = true };
	struct test_region *heap;

	test_encl_prepare(&b->encl, &config);
	heap = &b->encl.regions[b->encl.nr_regions - 1];
	heap->src = b->memory;
	test_encl_sign(&b->encl);
	if (test_encl_open(&b->encl) || test_encl_create(&b->encl) || test_encl_add(&b->encl) ||
	    test_encl_init(&b->encl) || test_encl_map(&b->encl))
		fail_with("the enclave cannot be built");
	b->heap = (uintptr_t)b->encl.base + heap->offset;
}

static void run_inside(struct bench *b, struct test_op *op)
{
	op->addr += b->heap;
	op->addr2 += b->heap;
	test_enter(&b->encl, 0, op);
}

static void run_outside(struct bench *b, struct test_op *op)
{
	op->addr += (uintptr_t)b->memory;
	op->addr2 += (uintptr_t)b->memory;
	((void (*)(struct test_op *))(uintptr_t)op->addr)(op);
}

static double run_ns(struct bench *b, unsigned int work, int where, uint64_t *result)
{
	struct test_op op = {
		.kind = OP_CALL,
		.addr = ((const uint32_t *)(void *)b->memory)[work],
		.addr2 = works[work].offset,
		.value = works[work].value,
	};
	const double start = thread_ns();

	(where == INSIDE ? run_inside : run_outside)(b, &op);
	*result = op.result;
	return thread_ns() - start;
}

static void run_round(struct bench *b, size_t round)
{
	for (unsigned int work = 0; work < NR_WORKS; work++) {
		uint64_t inside, outside;

		b->ns[work][OUTSIDE][round] = run_ns(b, work, OUTSIDE, &outside);
		b->ns[work][INSIDE][round] = run_ns(b, work, INSIDE, &inside);
		if (inside != outside)
			fail_with("different results inside and outside");
	}
}

static int report(struct bench *b, size_t rounds, const char *json)
{
	FILE *f = json ? fopen(json, "w") : NULL;

	if (json && !f) {
		perror(json);
		return 1;
	}
	if (f)
		fprintf(f, "{ ");
	printf("%-40s %10s %10s %8s   (goal: <= %.2f)\n", "least disturbed round, ms", "inside",
	       "outside", "ratio", MAX_RATIO);
	for (unsigned int work = 0; work < NR_WORKS; work++) {
		const double inside = least(b->ns[work][INSIDE], rounds);
		const double outside = least(b->ns[work][OUTSIDE], rounds);

		printf("%-40s %10.2f %10.2f %8.3f\n", works[work].name, inside / 1e6, outside / 1e6,
		       inside / outside);
		if (f)
			fprintf(f, "\"%s_inside_ms\": %.3f, \"%s_outside_ms\": %.3f, "
				   "\"%s_ratio\": %.4f, ",
				works[work].key, inside / 1e6, works[work].key, outside / 1e6,
				works[work].key, inside / outside);
	}
	if (f)
		fprintf(f, "\"goal\": %.2f }\n", MAX_RATIO);
	return f && fclose(f);
}

int main(int argc, char **argv)
{
	const char *json = NULL;
	size_t rounds = 21;
	struct bench b;
	int ret;

	run_under_swsgx("64M", argc, argv);
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--json"))
			json = argv[i + 1];
		else if (!strcmp(argv[i], "--rounds"))
			rounds = strtoul(argv[i + 1], NULL, 0);
	}
	b.memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!rounds || b.memory == MAP_FAILED)
		fail_with("rounds, and memory");
	for (unsigned int work = 0; work < NR_WORKS; work++)
		for (int where = 0; where < 2; where++) {
			b.ns[work][where] = calloc(rounds, sizeof(double));
			if (!b.ns[work][where])
				fail_with("memory");
		}
	fill(b.memory);
	build(&b);
	for (size_t i = 0; i < rounds; i++)
		run_round(&b, i);
	ret = report(&b, rounds, json);
	for (unsigned int work = 0; work < NR_WORKS; work++)
		for (int where = 0; where < 2; where++)
			free(b.ns[work][where]);
	test_encl_free(&b.encl);
	munmap(b.memory, MEMORY_SIZE);
	return ret;
}
