/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything around the layer under test that can be scripted: a processor
 * that only keeps book, a program's memory of a few pages, and a host that
 * runs out of memory on demand.  The manager in between is the real one.
 */
#ifndef SWSGX_TESTS_UAPI_FIXTURE_H
#define SWSGX_TESTS_UAPI_FIXTURE_H

#include <asm/sgx.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <swsgx/uapi.h>

#define EPC_PAGES 24u
#define EPC_BASE UINT64_C(0x80000000)

#define USER_BASE UINT64_C(0x7f1200000000)
#define USER_PAGES 32u
#define USER_PAGE(i) (USER_BASE + (uint64_t)(i) * SGX_PAGE_SIZE)
/* What lies where in the program's memory. */
#define AT_ARG USER_PAGE(0)
#define AT_SECS USER_PAGE(1)
#define AT_SECINFO USER_PAGE(2)
#define AT_SIGSTRUCT USER_PAGE(3)
#define AT_ARG2 USER_PAGE(4)
#define AT_SOURCE USER_PAGE(8)
#define AT_NOTHING USER_PAGE(USER_PAGES)

#define ENCL_BASE UINT64_C(0x10000000)
#define ENCL_SIZE UINT64_C(0x100000)
#define PROVISION_FD 7u

/* "Never": for the countdowns below. */
#define NEVER UINT64_MAX

enum fake_leaf {
	FAKE_ECREATE, FAKE_EADD, FAKE_EEXTEND, FAKE_EINIT, FAKE_EREMOVE,
	FAKE_EPA, FAKE_EBLOCK, FAKE_ETRACK, FAKE_EWB, FAKE_ELDU,
	FAKE_EAUG, FAKE_EMODPR, FAKE_EMODT,
	FAKE_NR_LEAVES
};

struct fake_page {
	bool valid;
	uint8_t pt;
	uint64_t secs;
	unsigned int extended;		/* chunks */
	uint8_t first_byte;
	bool accepted;			/* by the enclave, since EMODT */
};

struct fixture {
	/* The processor. */
	pthread_mutex_t lock;
	struct fake_page pages[EPC_PAGES];
	struct isa_profile profile;
	void (*sha256)(const void *data, size_t n, uint8_t digest[32]);
	uint64_t leaf_fails_in[FAKE_NR_LEAVES];	/* executions until it fails ... */
	struct isa_outcome leaf_failure[FAKE_NR_LEAVES]; /* ... like this, */
	uint64_t leaf_failures[FAKE_NR_LEAVES];	/* so many times */
	uint64_t leaf_calls[FAKE_NR_LEAVES];
	uint64_t lepubkeyhash[4];

	/* The program. */
	struct uapi_task task;
	_Alignas(SGX_PAGE_SIZE) uint8_t memory[USER_PAGES][SGX_PAGE_SIZE];
	bool mapped[USER_PAGES];
	bool never_exec[USER_PAGES];
	uint64_t copy_fails_in;
	uint64_t signal_in;
	uint64_t asked_fd;
	/* When set, source_page() tells it is there and waits. */
	atomic_bool hold_source;
	atomic_bool source_held;

	/* The host. */
	uint64_t alloc_fails_in;
	int64_t live_allocations;
	uint64_t interrupted_in;	/* waits for EPC until a signal is pending */
	enum sgx_epc_on_leak on_leak;
	uint64_t nr_leaked;		/* that the test means to leak */
	int prepare_result;

	/* What the owner was told. */
	unsigned int prepared, created, create_failed, added, initialized;
	struct sgx_secs created_secs;
	uint64_t created_secs_pa;
	uint64_t added_offset;
	struct sgx_encl_page_info added_page;

	struct sgx_epc_pool *pool;
	struct uapi_encl *encl;
};

/* cmocka set-up and tear-down: an open file, nothing created. */
int fixture_setup(void **state);
/* Releases, and fails unless every page and every allocation came back. */
int fixture_teardown(void **state);

/* The same with SGX2 and paging. */
int fixture_setup_sgx2(void **state);

/* Processor and host of the above, without an open file: what f->on_leak is counts. */
struct fixture *fixture_create_sgx2(void);

/* The pieces of the above, for tests that open more than once or bring a processor. */
struct fixture *fixture_create(void);
void fixture_power_on(struct fixture *f, const struct isa_section *sections,
		      size_t nr_sections, const struct epc_encls_ops *ops);
void fixture_destroy(struct fixture *f);
void fixture_open(struct fixture *f);
int fixture_try_open(struct fixture *f);
void fixture_close(struct fixture *f);

/* Free, cached and so on add up, and exactly the enclave's pages are in use. */
void assert_counters(struct fixture *f);

struct isa_outcome fake_fault(uint8_t vector);
struct isa_outcome fake_error(uint32_t code);
/* From the @nth execution on (0: the next), @leaf fails @times times. */
void leaf_fails(struct fixture *f, enum fake_leaf leaf, uint64_t nth,
		struct isa_outcome how, uint64_t times);

/* For operations: the page at @pa, which is EPC; and does @leaf fail this time, with @outcome? */
struct fake_page *fake_page_of(struct fixture *f, uint64_t pa);
bool fake_is_scripted(struct fixture *f, enum fake_leaf leaf, struct isa_outcome *outcome);
/* The leaves of SGX1 without paging. */
struct epc_encls_ops fake_building_ops(struct fixture *f);
/* And all others, of fixture-paging.c. */
void fake_add_paging_ops(struct epc_encls_ops *ops);

/* Where @uaddr, which must be mapped, is kept. */
void *user(struct fixture *f, uint64_t uaddr);
void unmap(struct fixture *f, uint64_t uaddr);

/* A well-formed SECS, SECINFO (REG, RW) and SIGSTRUCT in the program's memory. */
struct sgx_secs *user_secs(struct fixture *f);
struct sgx_secinfo *user_secinfo(struct fixture *f);
struct sgx_sigstruct *user_sigstruct(struct fixture *f);

long do_ioctl(struct fixture *f, unsigned int cmd, const void *arg, size_t n);
long do_create(struct fixture *f);
/* @count receives the count copied back, NEVER when nothing was. */
long do_add_pages(struct fixture *f, uint64_t src, uint64_t offset, uint64_t length,
		  uint64_t flags, uint64_t *count);
/* Well-formed: @nr_pages at @offset with @rwx. */
long do_add(struct fixture *f, uint64_t offset, uint64_t nr_pages, uint64_t rwx);
long do_init(struct fixture *f);
long do_provision(struct fixture *f, uint64_t fd);

#endif /* SWSGX_TESTS_UAPI_FIXTURE_H */
