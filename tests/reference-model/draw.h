/* SPDX-License-Identifier: BSD-3-Clause */
/* Drawing operands: mostly sensible ones, some nonsense. */
#ifndef TESTS_REFERENCE_DRAW_H
#define TESTS_REFERENCE_DRAW_H

#include "world.h"

#define DEBUG_OFFSET 0xf00u	/* in no field that entry or exit reads */
#define SECINFO_OFFSET 0x800u
#define TARGETINFO_OFFSET 0x800u
#define REPORTDATA_OFFSET 0xa00u
#define OUTPUT_OFFSET 0xc00u
/* One byte that no TCS may have, where an SSA frame has nothing. */
#define NO_TCS_OFFSET 3000u

#define STEP(w, cpu, leaf, rbx, rcx, rdx, verdict, outcome)				\
	world_compare(w, (struct step){ leaf, cpu, rbx, rcx, rdx, verdict, outcome })

typedef bool page_test(const struct world *w, const struct page *p);

page_test is_free, is_valid, is_secs, is_new_secs, is_running_secs, is_child,
	  is_regular, is_tcs, is_enterable, is_interrupted_tcs, is_va,
	  is_blocked, is_trimmed, is_spare, is_spare_and_regular, is_stranded, is_open;

/** chance() - true in so many cases of a hundred. */
bool chance(struct world *w, unsigned int percent);
/** index_of() - which page of its range an enclave address is. */
unsigned int index_of(uint64_t address);
/** is_pointless() - is there no page for a leaf that wants what @test likes?  Mostly. */
bool is_pointless(struct world *w, page_test *test);
/** draw() - a frame @test likes, if there is one; now and then any. */
int draw(struct world *w, page_test *test);
/** kernel_la() - the address of @frame for ENCLS; now and then a wrong one. */
uint64_t kernel_la(struct world *w, int frame);
uint64_t draw_la(struct world *w, page_test *test);
/** any_enclave_la() - any page of the ranges, or the one beyond. */
uint64_t any_enclave_la(struct world *w);
/** own_la() - of a page of @cpu's enclave that @test likes. */
uint64_t own_la(struct world *w, int cpu, page_test *test);
unsigned int draw_rwx(struct world *w);
int nr_pages(const struct world *w, page_test *test);
bool has_page(const struct world *w, int secs, uint64_t la);
/** missing_index() - the first page of an enclave's range from @index on that has none in EPC. */
unsigned int missing_index(struct world *w, int secs, unsigned int index);
struct sgx_secinfo encode(const struct secinfo *s);
/** place() - the enclave writes an operand, where it could. */
void place(struct world *w, int cpu, uint64_t la, const void *operand, size_t n);
void write_tcs_image(uint8_t *page);
/** write_source() - w->page for EADD: a good TCS, or none. */
void write_source(struct world *w, bool is_tcs);
/** map() - the kernel maps a page it put into an enclave; now and then it gets it wrong. */
void map(struct world *w, uint64_t la, int frame);
/** handle() - the kernel handles a page fault, if @v is one and there is a page. */
void handle(struct world *w, struct verdict v);
/** map_anything() - whatever the page tables may come to say. */
void map_anything(struct world *w);

#endif /* TESTS_REFERENCE_DRAW_H */
