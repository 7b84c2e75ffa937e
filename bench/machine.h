/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine to execute leaves on, with nothing around it: EPC at one address,
 * all other operands this process's own memory.  Frame 0 is for a SECS.
 */
#ifndef SWSGX_BENCH_MACHINE_H
#define SWSGX_BENCH_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include <swsgx/isa.h>

#define PAGE 4096u
#define EPC_PA 0x100000000ull
#define BASE 0x700000000000ull

struct bench_machine {
	size_t nr_frames;
	uint8_t *epc;
	struct isa_machine *m;
	struct isa_lp lp;		/* the operating system's processor */
};

/** fail() - one line to standard error, and the end. */
_Noreturn void fail(const char *what);

/** allocate() - page aligned, filled; the end of the program when there is none. */
void *allocate(size_t size);

void bench_machine_init(struct bench_machine *b, size_t nr_frames);
void bench_machine_finish(struct bench_machine *b);

static inline uint64_t frame_pa(uint64_t frame)
{
	return EPC_PA + frame * PAGE;
}

/** execute() - an ENCLS leaf that must succeed. */
void execute(struct bench_machine *b, enum isa_leaf leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx);

/** create_enclave() - a SECS in frame 0. */
void create_enclave(struct bench_machine *b);

/** add_page() - EADD of @source at page @nr of the enclave, into @frame. */
void add_page(struct bench_machine *b, uint64_t frame, uint64_t nr, const void *source,
	      uint64_t secinfo_flags);

/** positive_number() - of a command line; the end of the program when @text is none. */
size_t positive_number(const char *text);

/* What the command line of a bench can say; unknown words end the program. */
struct bench_options {
	const char *json;
	size_t nr_pages, nr_rounds;
};

void parse_options(int argc, char **argv, struct bench_options *options);

#endif /* SWSGX_BENCH_MACHINE_H */
