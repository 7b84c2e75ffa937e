/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The model and the processor side by side: one address space, the same
 * contents in every page, each leaf executed by both.
 */
#ifndef TESTS_REFERENCE_WORLD_H
#define TESTS_REFERENCE_WORLD_H

#include <stdalign.h>

#include <swsgx/isa.h>

#include "model.h"

/* One step, for the report when the two differ. */
struct step {
	const char *name;
	int cpu;
	uint64_t rbx, rcx, rdx;
	struct verdict verdict;
	struct isa_outcome outcome;
};

enum { NR_REMEMBERED = 32, NR_NAMES = 48, MAX_SIGNED = 400 };

/* How often a leaf ended in which way. */
struct tally {
	const char *name;
	uint64_t nr[6];			/* by enum verdict_kind */
	uint64_t codes;			/* bit i: code i was seen */
};

struct cpu {
	struct isa_lp lp;
	struct isa_thread thread;
	struct isa_regs regs;
};

struct buffer {
	alignas(4096) uint8_t page[4096];
	alignas(128) struct sgx_pcmd pcmd;
};

struct world {
	struct page_tables tables;
	struct model model;
	struct isa_machine *isa;
	struct cpu cpu[NR_PROCESSORS];
	uint64_t random;		/* state of the generator */
	uint64_t nr_steps;
	uint8_t signed_for[MAX_SIGNED][32];	/* measurements, in this run */
	unsigned int nr_signed;
	struct step last[NR_REMEMBERED];
	struct tally tally[NR_NAMES];
	bool differ;
	/* Operands and memory, aligned as leaves want them. */
	alignas(4096) uint8_t epc[NR_FRAMES][4096];
	alignas(4096) uint8_t page[4096];
	alignas(4096) uint8_t zeros[4096];
	alignas(4096) struct sgx_sigstruct sig;
	alignas(512) struct sgx_einittoken token;
	alignas(64) struct sgx_secinfo secinfo;
	alignas(32) struct sgx_pageinfo pageinfo;
	alignas(32) struct sgx_rdinfo rdinfo;
	alignas(8) uint64_t context;
	struct buffer buffer[NR_BUFFERS];
};

/** world_create() - @virtualized: processor 0 is a VMM's, the others a guest's. */
struct world *world_create(uint64_t seed, bool virtualized);
void world_destroy(struct world *w);

/** world_random() - a number below @n. */
unsigned int world_random(struct world *w, unsigned int n);

/** world_encls() - execute a leaf as @cpu, outside. */
struct isa_outcome world_encls(struct world *w, int cpu, uint32_t leaf, uint64_t rbx,
			       uint64_t rcx, uint64_t rdx);

struct isa_outcome world_enclv(struct world *w, int cpu, uint32_t leaf, uint64_t rbx,
			       uint64_t rcx, uint64_t rdx);

/** world_enclu() - execute a leaf as @cpu, inside. */
struct isa_outcome world_enclu(struct world *w, int cpu, uint32_t leaf, uint64_t rbx,
			       uint64_t rcx, uint64_t rdx);

struct isa_outcome world_eenter(struct world *w, int cpu, uint64_t tcs);
struct isa_outcome world_eresume(struct world *w, int cpu, uint64_t tcs);
struct isa_outcome world_eexit(struct world *w, int cpu);
struct isa_outcome world_aex(struct world *w, int cpu);
struct isa_outcome world_edeccssa(struct world *w, int cpu);

/**
 * world_sign() - w->sig: a SIGSTRUCT for @frame, which EINIT would take if it
 * is an enclave to be initialized.
 * @right: false to sign another measurement.
 * Return: whether the measurement is right.  Signing takes long, so a run signs
 * only for so many different enclaves.
 */
bool world_sign(struct world *w, int frame, bool right);

/** world_has_signatures() - may new enclaves still be signed in this run? */
bool world_has_signatures(const struct world *w);

/**
 * world_compare() - note the step; is the processor where the model is?
 * On a difference w->differ is set and what led to it printed.
 */
void world_compare(struct world *w, struct step s);

/** world_report() - how often what was seen. */
void world_report(const struct world *w);

#endif /* TESTS_REFERENCE_WORLD_H */
