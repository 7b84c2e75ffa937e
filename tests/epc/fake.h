/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Surroundings for tests of the manager: a processor small enough to be
 * obviously right, whose every leaf can be told to answer anything, and a port
 * whose allocations can be told to fail.  The processor refuses to initialize a
 * page that is valid already, so a page that reaches a second user without
 * EREMOVE fails the test that did it.
 */
#ifndef TESTS_EPC_FAKE_H
#define TESTS_EPC_FAKE_H

#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <swsgx/epc.h>

enum fake_leaf {
	FAKE_ECREATE, FAKE_EADD, FAKE_EEXTEND, FAKE_EINIT, FAKE_EREMOVE,
	FAKE_EPA, FAKE_EBLOCK, FAKE_ETRACK, FAKE_EWB, FAKE_ELDU,
	FAKE_EAUG, FAKE_EMODPR, FAKE_EMODT, FAKE_EDBGRD, FAKE_EDBGWR,
	FAKE_NR_LEAVES
};

/* Of a page the processor remembers this much of its contents. */
#define FAKE_CONTENTS 16u

struct fake_page {
	bool valid;
	bool blocked, pending, modified, pr;
	uint8_t pt;
	uint64_t la;
	uint64_t secs;		/* physical address of its SECS */
	uint64_t stamp;		/* epoch it was blocked or changed in; FAKE_TRACKED */
	uint8_t contents[FAKE_CONTENTS];
	/* Of a SECS. */
	unsigned int nr_children;
	bool initialized;
	uint64_t eid, epoch;
	unsigned int nr_current, nr_previous; /* processors inside, by epoch of entry */
	/* Of a VA page: versions, allocated. */
	uint64_t *versions;
	/* The memory management's. */
	bool placed;
	bool mapped;		/* an access would succeed */
	bool young;
	void *cookie;
};

#define FAKE_TRACKED UINT64_MAX

/* Call number @at (from 1) and the @count - 1 after it answer @outcome, doing nothing. */
struct fake_script {
	unsigned int nr_calls, at, count;
	struct isa_outcome outcome;
};

/* In shared memory, so that it survives a child that aborts. */
struct fake_log {
	unsigned int nr;
	enum epc_log_level level;
	char message[512];	/* the last one */
};

#define FAKE_MAX_SECTIONS 8

struct fake {
	struct sgx_epc_pool *pool;
	struct sgx_epc_config config;
	struct isa_section sections[FAKE_MAX_SECTIONS];

	struct fake_page *pages;
	size_t nr_pages;
	struct fake_script script[FAKE_NR_LEAVES];
	int place_result;
	unsigned int nr_places, fail_place;	/* this one fails; 0: none */
	void *place_cookie;
	unsigned int nr_kicks;
	unsigned int nr_deaf_kicks;	/* so many more kicks do nothing */
	bool may_not_evict, may_not_zap;
	uint64_t last_version, last_eid;
	uint64_t einit_token_sum;	/* of all bytes of the token */
	uint64_t einit_hash0;

	unsigned int node;		/* what port.node answers */
	unsigned int nr_node_calls;
	size_t nr_allocs, live_allocs;
	size_t fail_alloc;		/* this one fails; 0: none */
	uint64_t now;
	struct fake_log *log;
	pthread_mutex_t mutex;
};

/** fake_init() - surroundings over @sections, without a pool yet. */
void fake_init(struct fake *f, const struct isa_section *sections, size_t nr, bool known_clean);

/** fake_start() - fake_init() and a pool. */
void fake_start(struct fake *f, const struct isa_section *sections, size_t nr, bool known_clean);

/** fake_finish() - destroy the pool; fails when memory of the port is still held. */
void fake_finish(struct fake *f);

/* Number of the calling thread's cache, for pools with config.nr_caches. */
extern _Thread_local unsigned int fake_cache;

/** fake_fail() - the @nth next call of @leaf answers @outcome, and @count - 1 after it. */
void fake_fail(struct fake *f, enum fake_leaf leaf, unsigned int nth, unsigned int count,
	       struct isa_outcome outcome);

struct fake_page *fake_page_at(struct fake *f, uint64_t pa);

/** fake_page_of() - where the page of enclave @cookie at @la is; NULL: not in EPC. */
struct fake_page *fake_page_of(struct fake *f, void *cookie, uint64_t la);

/** fake_touch() - an access.  Return: false when it faults. */
bool fake_touch(struct fake *f, void *cookie, uint64_t la);

/** fake_accept() - EACCEPT by the enclave.  Return: false when there is nothing to accept yet. */
bool fake_accept(struct fake *f, struct fake_page *page);

/** fake_enter() - a processor enters the enclave with SECS @secs, and stays until kicked twice. */
void fake_enter(struct fake *f, uint64_t secs);

/* fake-paging.c: what fake_init() puts into the tables. */
void fake_paging_ops(struct epc_encls_ops *ops);
void fake_paging_mm(struct epc_mm_ops *mm);

/** fake_scripted() - count a call.  Return: true when the script answers it. */
bool fake_scripted(struct fake *f, enum fake_leaf leaf, struct isa_outcome *out);

struct isa_outcome fake_error(uint32_t code);
struct isa_outcome fake_fault(uint8_t vector);

/* Every code a leaf can return, and the two faults EREMOVE raises. */
extern const struct isa_outcome fake_failures[];
extern const size_t fake_nr_failures;

void assert_same_outcome(struct isa_outcome a, struct isa_outcome b);

/** assert_adds_up() - counters of each node and of all, against each other and the ledger. */
void assert_adds_up(struct fake *f);

/** assert_counts() - assert_adds_up(), and the totals are these; cached ones are free. */
void assert_counts(struct fake *f, uint64_t free, uint64_t in_use, uint64_t leaked,
		   uint64_t unsanitized);

/** assert_pool_clean() - nothing that can be allocated is valid. */
void assert_pool_clean(struct fake *f);

/** assert_aborts() - @fn ends its process by SIGABRT, having logged @message. */
void assert_aborts(struct fake *f, void (*fn)(struct fake *f, void *arg), void *arg,
		   const char *message);

/* A small machine: node 0 with two sections of 8 and 4 pages, node 3 with one of 4. */
extern const struct isa_section small_sections[3];
#define SMALL_PAGES 16u

#endif /* TESTS_EPC_FAKE_H */
