/* SPDX-License-Identifier: BSD-3-Clause */
/* No leaf allocates: every allocation of this program is counted. */
#include <dlfcn.h>
#include <stdlib.h>

#include "fixture.h"

static unsigned long nr_allocations;

/* In place of libc's: whoever in this program calls them calls these. */
#define COUNTED(type, name, params, args)					\
	type name params							\
	{									\
		static type (*next) params;					\
										\
		if (!next)							\
			*(void **)&next = dlsym(RTLD_NEXT, #name);		\
		nr_allocations++;						\
		return next args;						\
	}

COUNTED(void *, malloc, (size_t n), (n))
COUNTED(void *, realloc, (void *p, size_t n), (p, n))
COUNTED(void *, aligned_alloc, (size_t alignment, size_t n), (alignment, n))

/* dlsym() itself may want some, before there is anything to hand on to. */
void *calloc(size_t n, size_t size)
{
	static void *(*next)(size_t, size_t);
	static _Alignas(16) char early[4096];
	static size_t used;
	static bool asking;
	const size_t bytes = (n * size + 15) & ~(size_t)15;

	nr_allocations++;
	if (!next && !asking) {
		asking = true;
		*(void **)&next = dlsym(RTLD_NEXT, "calloc");
		asking = false;
	}
	if (next)
		return next(n, size);
	if (bytes > sizeof(early) - used)
		abort();
	used += bytes;
	return early + used - bytes;
}

static void creation_is_counted(void **state)
{
	const unsigned long before = nr_allocations;

	isa_fixture_destroy(isa_fixture_create(NULL));
	assert_true(nr_allocations > before);
	(void)state;
}

static void use_key(struct isa_fixture *f)
{
	struct sgx_keyrequest *req = isa_fixture_contents(f, FIXTURE_RW);

	memset(req, 0, sizeof(*req));
	req->keyname = KEY_SEAL;
	f->encl.rbx = FIXTURE_BASE + 0x2000;
	f->encl.rcx = FIXTURE_BASE + 0x2000 + sizeof(*req);
	assert_done(isa_enclu(&f->encl, ISA_ENCLU_EGETKEY));
}

static struct isa_outcome on_page(struct isa_fixture *f, enum isa_leaf leaf, uint64_t frame)
{
	f->os.rcx = isa_fixture_la(f, frame);
	return isa_encls(&f->os, leaf);
}

/* Out and back again. */
static void use_paging(struct isa_fixture *f)
{
	static _Alignas(128) struct sgx_pcmd pcmd;

	f->os.rbx = PT_VA;
	assert_done(on_page(f, ISA_ENCLS_EPA, 20));
	assert_done(on_page(f, ISA_ENCLS_EBLOCK, FIXTURE_RX));
	assert_done(on_page(f, ISA_ENCLS_ETRACK, FIXTURE_SECS));
	f->pageinfo = (struct sgx_pageinfo){
		.srcpge = (uintptr_t)f->page, .secinfo_or_pcmd = (uintptr_t)&pcmd,
	};
	f->os.rbx = (uintptr_t)&f->pageinfo;
	f->os.rdx = isa_fixture_la(f, 20);
	assert_done(on_page(f, ISA_ENCLS_EWB, FIXTURE_RX));
	f->pageinfo.secs = isa_fixture_la(f, FIXTURE_SECS);
	assert_done(on_page(f, ISA_ENCLS_ELDU, FIXTURE_RX));
	assert_done(isa_fixture_eremove(f, 20));
}

static void no_leaf_allocates(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	unsigned long before;

	/* The signer's arithmetic allocates: sign, then begin again. */
	isa_fixture_start(f, NULL, 0);
	for (uint64_t i = FIXTURE_FREE; i-- > 0;)
		assert_done(isa_fixture_eremove(f, i));
	before = nr_allocations;
	isa_fixture_build(f, NULL);
	assert_done(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, NULL));
	use_key(f);
	use_paging(f);
	assert_done(isa_fixture_eaug(f, 21, FIXTURE_BASE + 0x8000));
	for (uint64_t i = 1; i < FIXTURE_FREE; i++)
		assert_done(isa_fixture_eremove(f, i));
	assert_done(isa_fixture_eremove(f, 21));
	assert_done(isa_fixture_eremove(f, FIXTURE_SECS));
	assert_int_equal(on_page(f, ISA_ENCLS_EUPDATESVN, 0).kind, ISA_INFO);
	assert_int_equal(nr_allocations, before);
	isa_fixture_destroy(f);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(creation_is_counted),
		cmocka_unit_test(no_leaf_allocates),
	};

	return cmocka_run_group_tests_name("allocation", tests, NULL, NULL);
}
