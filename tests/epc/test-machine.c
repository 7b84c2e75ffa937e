/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The manager on the software processor: the same life of an enclave as over
 * the fake, with a real measurement and a real signature, and the leak that a
 * processor inside an enclave causes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

#include <swsgx/epc.h>

#define NR_CHILDREN 4u

struct machine {
	struct isa_fixture *f;
	struct sgx_epc_pool *pool;
	unsigned int nr_logged;
	char message[512];
};

/* --- ENCLS operations ----------------------------------------------------- */

static struct isa_outcome encls(struct machine *m, enum isa_leaf leaf, uint64_t rbx, uint64_t rcx,
				uint64_t rdx)
{
	m->f->os.rbx = rbx;
	m->f->os.rcx = rcx;
	m->f->os.rdx = rdx;
	return isa_encls(&m->f->os, leaf);
}

static struct isa_outcome ecreate(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t secs)
{
	return encls(ctx, ISA_ENCLS_ECREATE, (uintptr_t)pageinfo, secs, 0);
}

static struct isa_outcome eadd(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EADD, (uintptr_t)pageinfo, page, 0);
}

static struct isa_outcome eextend(void *ctx, uint64_t secs, uint64_t chunk)
{
	return encls(ctx, ISA_ENCLS_EEXTEND, secs, chunk, 0);
}

static struct isa_outcome einit(void *ctx, const struct sgx_sigstruct *sigstruct,
				const struct sgx_einittoken *token, uint64_t secs,
				const uint64_t hash[4])
{
	struct machine *m = ctx;

	isa_wrmsr_lepubkeyhash(&m->f->os, hash);
	return encls(m, ISA_ENCLS_EINIT, (uintptr_t)sigstruct, secs, (uintptr_t)token);
}

static struct isa_outcome eremove(void *ctx, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EREMOVE, 0, page, 0);
}

static struct isa_epcm_info peek(void *ctx, uint64_t page)
{
	struct machine *m = ctx;

	return isa_epcm_peek(m->f->m, isa_machine_frame(m->f->m, page));
}

/* --- port ----------------------------------------------------------------- */

static void *port_alloc(void *ctx, size_t size)
{
	return calloc(1, size);
}

static void port_free(void *ctx, void *p)
{
	free(p);
}

static void port_log(void *ctx, enum epc_log_level level, const char *message)
{
	struct machine *m = ctx;

	m->nr_logged++;
	snprintf(m->message, sizeof(m->message), "%s", message);
}

static uint64_t port_time_ns(void *ctx)
{
	return 1;
}

static unsigned int port_node(void *ctx)
{
	return 0;
}

static void start_pool(struct machine *m, bool known_clean)
{
	const struct isa_section sections[] = {
		{ .pa = FIXTURE_PA0, .nr_pages = FIXTURE_SECTION_PAGES, .node = 0 },
		{ .pa = FIXTURE_PA1, .nr_pages = FIXTURE_SECTION_PAGES, .node = 1 },
	};
	const struct sgx_epc_config config = {
		.sections = sections,
		.nr_sections = 2,
		.port = {
			.ctx = m, .alloc = port_alloc, .free = port_free, .log = port_log,
			.time_ns = port_time_ns, .node = port_node,
		},
		.ops = {
			.ctx = m, .ecreate = ecreate, .eadd = eadd, .eextend = eextend,
			.einit = einit, .eremove = eremove, .peek = peek,
		},
		.known_clean = known_clean,
	};

	assert_int_equal(sgx_epc_pool_create(&config, &m->pool), 0);
}

static void start(struct machine *m)
{
	*m = (struct machine){ .f = isa_fixture_create(NULL) };
	start_pool(m, true);
}

static void finish(struct machine *m)
{
	sgx_epc_pool_destroy(m->pool);
	isa_fixture_destroy(m->f);
}

static void assert_counts(struct machine *m, uint64_t in_use, uint64_t leaked,
			  uint64_t unsanitized)
{
	const struct sgx_epc_stat s = sgx_epc_stat_total(m->pool);

	assert_int_equal(s.total, FIXTURE_NR_FRAMES);
	assert_int_equal(s.in_use, in_use);
	assert_int_equal(s.leaked, leaked);
	assert_int_equal(s.unsanitized, unsanitized);
	assert_int_equal(s.free, FIXTURE_NR_FRAMES - in_use - leaked - unsanitized);
}

static unsigned int nr_valid(struct machine *m)
{
	unsigned int i, nr = 0;

	for (i = 0; i < FIXTURE_NR_FRAMES; i++)
		nr += isa_epcm_peek(m->f->m, i).valid;
	return nr;
}

/* The enclave that isa_fixture_build() makes, by way of the manager. */
static struct sgx_encl *build(struct machine *m)
{
	static _Alignas(4096) struct sgx_secs secs;
	static _Alignas(4096) uint8_t source[SGX_PAGE_SIZE];
	const struct sgx_encl_config config = { .owner = { .encl_id = 1, .pid = 2 } };
	struct sgx_encl *encl;
	unsigned int frame;

	isa_fixture_default_secs(&secs);
	assert_int_equal(sgx_encl_create(m->pool, &config, &encl), 0);
	assert_int_equal(sgx_encl_ecreate(encl, &secs), 0);
	for (frame = 1; frame <= NR_CHILDREN; frame++) {
		const struct sgx_secinfo secinfo = { .flags = isa_fixture_flags(frame) };

		isa_fixture_source(frame, source);
		assert_int_equal(sgx_encl_add_page(encl, (frame - 1) * 4096, source, &secinfo,
						   true), 0);
		assert_counts(m, 1 + frame, 0, 0);
	}
	assert_int_equal(nr_valid(m), 1 + NR_CHILDREN);
	return encl;
}

/* --- cases ---------------------------------------------------------------- */

static void initializes_an_enclave_it_built(void **state)
{
	uint64_t hash[4], other[4] = { 0 };
	struct isa_outcome out;
	struct sgx_secs secs;
	struct sgx_encl *encl;
	struct machine m;

	start(&m);
	encl = build(&m);
	isa_fixture_default_secs(&secs);
	isa_fixture_sigstruct(m.f, &secs, 0);
	isa_signer_hash(isa_signer_get(0), hash);

	assert_int_equal(sgx_encl_einit(encl, &m.f->sig, other, &out), -EPERM);
	assert_error(out, SGX_INVALID_EINITTOKEN);
	assert_int_equal(sgx_encl_einit(encl, &m.f->sig, hash, &out), 0);
	assert_done(out);

	sgx_encl_release(encl);
	assert_counts(&m, 0, 0, 0);
	assert_int_equal(nr_valid(&m), 0);
	assert_int_equal(m.nr_logged, 0);
	finish(&m);
}

static void failed_leaves_leave_nothing_behind(void **state)
{
	static const _Alignas(4096) struct sgx_secs bad;
	static const _Alignas(4096) uint8_t source[SGX_PAGE_SIZE];
	const struct sgx_secinfo no_type = { .flags = SECINFO_R | SECINFO_PT(PT_SECS) };
	const struct sgx_encl_config config = { .cookie = NULL };
	struct sgx_encl *encl;
	struct machine m;

	start(&m);
	assert_int_equal(sgx_encl_create(m.pool, &config, &encl), 0);
	assert_int_equal(sgx_encl_ecreate(encl, &bad), -EIO);
	assert_counts(&m, 0, 0, 0);
	sgx_encl_release(encl);

	encl = build(&m);
	assert_int_equal(sgx_encl_add_page(encl, 0x8000, source, &no_type, true), -EIO);
	assert_counts(&m, 1 + NR_CHILDREN, 0, 0);
	sgx_encl_release(encl);
	assert_counts(&m, 0, 0, 0);
	assert_int_equal(nr_valid(&m), 0);
	assert_int_equal(m.nr_logged, 0);
	finish(&m);
}

static void leaks_an_enclave_that_is_still_executing(void **state)
{
	struct sgx_epc_leak rows[2 + NR_CHILDREN];
	struct isa_encl_block block = { 0 };
	struct sgx_epc_page *page;
	struct sgx_encl *encl;
	struct machine m;
	unsigned int i;

	start(&m);
	encl = build(&m);
	assert_int_equal(isa_secs_share(m.f->m, isa_machine_frame(m.f->m, sgx_encl_secs_pa(encl)),
					&block), 0);
	atomic_store(&block.nr_inside[0], 1);
	sgx_encl_release(encl);

	assert_counts(&m, 0, 1 + NR_CHILDREN, 0);
	assert_int_equal(m.nr_logged, 1);
	assert_non_null(strstr(m.message, "EREMOVE returned 14 (0xe, SGX_ENCLAVE_ACT) and"));
	assert_int_equal(sgx_epc_leaks(m.pool, 0, rows, 2 + NR_CHILDREN), 1 + NR_CHILDREN);
	for (i = 0; i < NR_CHILDREN; i++) {
		assert_error(rows[i].result, SGX_ENCLAVE_ACT);
		assert_true(rows[i].epcm.valid);
		assert_int_equal(rows[i].epcm.enclaveaddress, FIXTURE_BASE + i * 4096);
	}
	assert_error(rows[NR_CHILDREN].result, SGX_CHILD_PRESENT);

	/* Nothing that is still valid is handed out again. */
	while (!sgx_alloc_epc_page(m.pool, NULL, 0, &page))
		assert_false(peek(&m, sgx_epc_page_pa(m.pool, page)).valid);
	finish(&m);
}

static void next_manager_sanitizes_what_the_last_one_left(void **state)
{
	struct sgx_epc_pool *last;
	struct sgx_encl *encl;
	struct machine m;

	start(&m);
	encl = build(&m);
	last = m.pool;
	start_pool(&m, false);
	assert_counts(&m, 0, 0, FIXTURE_NR_FRAMES);
	assert_int_equal(sgx_epc_sanitize(m.pool, NULL), 0);
	assert_counts(&m, 0, 0, 0);
	assert_int_equal(nr_valid(&m), 0);

	sgx_encl_release(encl);		/* EREMOVE of clean pages succeeds */
	sgx_epc_pool_destroy(last);
	finish(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(initializes_an_enclave_it_built),
		cmocka_unit_test(failed_leaves_leave_nothing_behind),
		cmocka_unit_test(leaks_an_enclave_that_is_still_executing),
		cmocka_unit_test(next_manager_sanitizes_what_the_last_one_left),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
