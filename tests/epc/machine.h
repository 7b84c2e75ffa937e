/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The manager on the software processor: a table of ENCLS operations that
 * execute leaves, and a memory management without address spaces, whose
 * processors hold no translations.
 */
#ifndef TESTS_EPC_MACHINE_H
#define TESTS_EPC_MACHINE_H

#include "fixture.h"

#include <swsgx/epc.h>

struct machine {
	struct isa_fixture *f;
	struct sgx_epc_pool *pool;
	unsigned int nr_logged;
	char message[512];
	size_t live_allocs;
	unsigned int nr_kicks;
};

/** machine_start() - @profile: NULL for the default one.  Nothing is written out without @overcommit. */
void machine_start(struct machine *m, const char *profile, bool overcommit);

/** machine_start_pool() - one more manager over the machine's EPC. */
void machine_start_pool(struct machine *m, bool known_clean, bool overcommit);
void machine_finish(struct machine *m);

/** machine_assert_counts() - of these pages, and all others are free. */
void machine_assert_counts(struct machine *m, uint64_t in_use, uint64_t leaked,
			   uint64_t unsanitized);

/** machine_nr_valid() - valid entries of the EPCM. */
unsigned int machine_nr_valid(struct machine *m);

/** machine_build() - the enclave that isa_fixture_build() makes, by way of the manager. */
#define MACHINE_NR_CHILDREN 4u
struct sgx_encl *machine_build(struct machine *m);

/** machine_einit() - machine_build() and EINIT. */
struct sgx_encl *machine_einit(struct machine *m);

#endif /* TESTS_EPC_MACHINE_H */
