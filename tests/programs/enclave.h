/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the test programs have in common: building, signing and entering the
 * test enclave through Linux's own interface, so that they run on real SGX just
 * as well.  The enclave's image lies beside the program's executable.
 */
#ifndef TEST_ENCLAVE_H
#define TEST_ENCLAVE_H

#include <asm/sgx.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "enclave/op.h"
#include "sgx-arch.h"

#define TEST_MAX_REGIONS 32
#define TEST_MAX_THREADS 4

/* Page-fault error code */
#define PF_P 0x1u
#define PF_W 0x2u
#define PF_U 0x4u
#define PF_I 0x10u
#define PF_SGX 0x8000u

/* Exception vectors */
#define VECTOR_DE 0
#define VECTOR_UD 6
#define VECTOR_GP 13
#define VECTOR_PF 14

/**
 * struct test_config - what kind of enclave.
 * @nr_threads: TCSs, 1..TEST_MAX_THREADS; 0 means 1.
 * @nr_ssa: frames of each, 1..ENCL_MAX_SSA; 0 means 2.
 * @heap_pages: unmeasured pages at the end, read-write.
 * @heap_exec: and executable.
 * @code, @code_size: contents of a page of code to call, PAGE_SIZE at most; NULL: none.
 * @xfrm: 0 means x87 and SSE.
 * @miscselect: MISC_* bits.
 * @attributes: further ones, beside MODE64BIT.
 * @tcs_flags: of every TCS.
 * @gap: ELRANGE begins that far below the image.
 * @size: of ELRANGE, at whose end the heap then lies; 0 means as small as possible.
 */
struct test_config {
	unsigned int nr_threads;
	unsigned int nr_ssa;
	unsigned int heap_pages;
	bool heap_exec;
	const uint8_t *code;
	size_t code_size;
	uint64_t xfrm;
	uint32_t miscselect;
	uint64_t attributes;
	uint64_t tcs_flags;
	uint64_t gap;
	uint64_t size;
};

/**
 * struct test_region - pages added with one ioctl.
 * @src: their contents; NULL for zeros, which are then not measured.
 */
struct test_region {
	uint64_t offset;
	uint64_t length;
	uint64_t secinfo;
	int prot;
	const uint8_t *src;
};

/**
 * struct test_stack - where calls into one thread of an enclave are made.
 * @busy: a call is under way.
 */
struct test_stack {
	atomic_flag busy;
	uint8_t memory[65536 - 64] __attribute__((aligned(64)));
};

/**
 * struct test_encl - an enclave and everything it is made of, to tamper with
 * between the steps.
 */
struct test_encl {
	int fd;
	uint8_t *base;			/* of the image; set it before CREATE for a fixed one */
	size_t size;			/* of ELRANGE */
	uint64_t gap;			/* of ELRANGE, below base */
	uint8_t *image;
	size_t image_size;
	struct secs *secs;
	struct sigstruct *sig;
	struct test_region regions[TEST_MAX_REGIONS];
	unsigned int nr_regions;
	unsigned int nr_pages;
	uint64_t code_offset, heap_offset;
	struct test_stack *stacks;
};

/**
 * test_encl_prepare() - make image, SECS and a valid SIGSTRUCT in memory.
 * @e: caller's storage; released with test_encl_free().
 *
 * Fails the running cmocka test when it cannot; asks the device nothing.
 */
void test_encl_prepare(struct test_encl *e, const struct test_config *cfg);

/** test_encl_sign() - make the SIGSTRUCT valid again, after image or SECS changed. */
void test_encl_sign(struct test_encl *e);

/**
 * test_encl_open() ... test_encl_map() - the steps of building, in this order.
 *
 * Return: 0; -errno of the call that failed.
 */
int test_encl_open(struct test_encl *e);
int test_encl_create(struct test_encl *e);
int test_encl_add(struct test_encl *e);
int test_encl_init(struct test_encl *e);
int test_encl_map(struct test_encl *e);

/**
 * test_encl_build() - all steps from test_encl_prepare() on.
 *
 * Return: 0; -errno of the step that failed.  Free @e in either case.
 */
int test_encl_build(struct test_encl *e, const struct test_config *cfg);

/** test_encl_free() - give back what there is; fine after any step. */
void test_encl_free(struct test_encl *e);

/** test_encl_add_region() - SGX_IOC_ENCLAVE_ADD_PAGES; 0 or -errno. */
int test_encl_add_region(struct test_encl *e, const struct test_region *r);

/** test_tcs() - address of the TCS of thread @i. */
uint64_t test_tcs(const struct test_encl *e, unsigned int i);

/** test_is_inside() - whether @addr lies in the enclave's address range. */
bool test_is_inside(const struct test_encl *e, uint64_t addr);

/**
 * test_call() - enter by the vDSO, with &op in RDI.
 * @e: initialized and mapped.
 * @tcs: address of the TCS.
 * @function: ENCLU_EENTER or ENCLU_ERESUME.
 * @op: NULL for an entry that leaves at once.
 * @run: overwritten but for user_handler and user_data.
 *
 * The enclave leaves with the stack pointer it was entered with, so an ERESUME
 * must find the frame of the EENTER where that was.  Each thread of the enclave
 * therefore has a stack for these calls; one that is made while another is under
 * way, from a signal handler or a second thread, stays on its own.
 *
 * Return: what __vdso_sgx_enter_enclave() returned.
 */
int test_call(const struct test_encl *e, uint64_t tcs, uint32_t function, struct test_op *op,
	      struct sgx_enclave_run *run);

/** test_enter() - test_call() with EENTER into thread @i; must end with EEXIT. */
void test_enter(const struct test_encl *e, unsigned int i, struct test_op *op);

/**
 * enter_vdso() - call @fn with the registers of @regs, and store them after.
 * @regs: by index R_*; RAX, RCX and RSP are output only.
 * @run: its seventh argument.
 * @function: in ECX.
 * @fn: __vdso_sgx_enter_enclave.
 * @stack: end of a stack to make the call on; NULL for the caller's.
 *
 * Return: what @fn returned.
 */
int enter_vdso(uint64_t regs[NR_REGS], struct sgx_enclave_run *run, uint32_t function, void *fn,
	       void *stack);

/**
 * enter_raw() - execute ENCLU itself; the AEP is that same instruction.
 * @regs: by index R_*; RAX, RBX, RCX and RSP are output only.
 * @tcs: in RBX.
 * @function: in EAX.
 */
void enter_raw(uint64_t regs[NR_REGS], uint64_t tcs, uint32_t function);

/* The ENCLU of enter_raw(). */
extern const char enter_raw_aep[];

/**
 * struct test_aep - what an AEP of the program's own calls, on the stack of the entry.
 * @hook: told the leaf in EAX; says which leaf to execute, 0 for none: then
 *	enter_aep() returns.
 * @tcs: operand of that leaf.
 * @rdi: its RDI.
 */
struct test_aep {
	uint32_t (*hook)(uint32_t eax);
	uint64_t tcs;
	uint64_t rdi;
};

/**
 * enter_aep() - like enter_raw(), but the AEP is other code: it calls the hook
 * of enter_aep_hook, and again when an enclave it entered has left.
 * @stack: end of the stack to do so on, aligned to 16.
 */
void enter_aep(uint64_t regs[NR_REGS], uint64_t tcs, uint32_t function, void *stack);

/* Its AEP, and what that does. */
extern const char enter_aep_aep[];
extern struct test_aep enter_aep_hook;

/** test_epc_pages() - how many pages the EPC has, from CPUID. */
unsigned int test_epc_pages(void);

/** test_vdso() - __vdso_sgx_enter_enclave; fails the test when there is none. */
void *test_vdso(void);

/**
 * test_forbid_userfaultfd() - have it fail in this process, as the default profile of
 * some container runtimes does: no page of its enclaves can be taken away.
 *
 * Return: false when that cannot be had.
 */
bool test_forbid_userfaultfd(void);

/**
 * test_have_all_out() - have every page of every enclave written out that can be.
 *
 * A child takes all EPC there is, and ends.
 */
void test_have_all_out(void);

#endif /* TEST_ENCLAVE_H */
