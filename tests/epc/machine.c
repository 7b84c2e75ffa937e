/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>

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

static struct isa_outcome epa(void *ctx, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EPA, PT_VA, page, 0);
}

static struct isa_outcome eblock(void *ctx, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EBLOCK, 0, page, 0);
}

static struct isa_outcome etrack(void *ctx, uint64_t secs)
{
	return encls(ctx, ISA_ENCLS_ETRACK, 0, secs, 0);
}

static struct isa_outcome ewb(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t page,
			      uint64_t va_slot)
{
	return encls(ctx, ISA_ENCLS_EWB, (uintptr_t)pageinfo, page, va_slot);
}

static struct isa_outcome eldu(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t page,
			       uint64_t va_slot)
{
	return encls(ctx, ISA_ENCLS_ELDU, (uintptr_t)pageinfo, page, va_slot);
}

static struct isa_outcome eaug(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EAUG, (uintptr_t)pageinfo, page, 0);
}

static struct isa_outcome emodpr(void *ctx, const struct sgx_secinfo *secinfo, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EMODPR, (uintptr_t)secinfo, page, 0);
}

static struct isa_outcome emodt(void *ctx, const struct sgx_secinfo *secinfo, uint64_t page)
{
	return encls(ctx, ISA_ENCLS_EMODT, (uintptr_t)secinfo, page, 0);
}

static struct isa_outcome edbgrd(void *ctx, uint64_t addr, uint64_t *data)
{
	struct machine *m = ctx;
	const struct isa_outcome out = encls(m, ISA_ENCLS_EDBGRD, 0, addr, 0);

	*data = m->f->os.rbx;
	return out;
}

static struct isa_outcome edbgwr(void *ctx, uint64_t addr, uint64_t data)
{
	return encls(ctx, ISA_ENCLS_EDBGWR, data, addr, 0);
}

static struct isa_epcm_info peek(void *ctx, uint64_t page)
{
	struct machine *m = ctx;

	return isa_epcm_peek(m->f->m, isa_machine_frame(m->f->m, page));
}

/* --- port ----------------------------------------------------------------- */

static void *port_alloc(void *ctx, size_t size)
{
	((struct machine *)ctx)->live_allocs++;
	return calloc(1, size);
}

static void port_free(void *ctx, void *p)
{
	((struct machine *)ctx)->live_allocs--;
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

/* Processors hold no translations here, so nobody has to leave. */
static void kick(void *ctx, void *encl, uint64_t secs)
{
	struct machine *m = ctx;

	m->nr_kicks++;
	isa_flush_translations(m->f->m, isa_machine_frame(m->f->m, secs));
}

void machine_start_pool(struct machine *m, bool known_clean, bool overcommit)
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
			.einit = einit, .eremove = eremove, .epa = epa, .eblock = eblock,
			.etrack = etrack, .ewb = ewb, .eldu = eldu, .eaug = eaug,
			.emodpr = emodpr, .emodt = emodt, .edbgrd = edbgrd,
			.edbgwr = edbgwr, .peek = peek,
		},
		.mm = { .ctx = m, .kick = kick },
		.overcommit = overcommit,
		.known_clean = known_clean,
	};

	assert_int_equal(sgx_epc_pool_create(&config, &m->pool), 0);
}

void machine_start(struct machine *m, const char *profile, bool overcommit)
{
	*m = (struct machine){ .f = isa_fixture_create(profile) };
	machine_start_pool(m, true, overcommit);
}

void machine_finish(struct machine *m)
{
	sgx_epc_pool_destroy(m->pool);
	assert_int_equal(m->live_allocs, 0);
	isa_fixture_destroy(m->f);
}

void machine_assert_counts(struct machine *m, uint64_t in_use, uint64_t leaked,
			   uint64_t unsanitized)
{
	const struct sgx_epc_stat s = sgx_epc_stat_total(m->pool);

	assert_int_equal(s.total, FIXTURE_NR_FRAMES);
	assert_int_equal(s.in_use, in_use);
	assert_int_equal(s.leaked, leaked);
	assert_int_equal(s.unsanitized, unsanitized);
	assert_int_equal(s.free, FIXTURE_NR_FRAMES - in_use - leaked - unsanitized);
}

unsigned int machine_nr_valid(struct machine *m)
{
	unsigned int i, nr = 0;

	for (i = 0; i < FIXTURE_NR_FRAMES; i++)
		nr += isa_epcm_peek(m->f->m, i).valid;
	return nr;
}

struct sgx_encl *machine_build(struct machine *m)
{
	static _Alignas(4096) struct sgx_secs secs;
	static _Alignas(4096) uint8_t source[SGX_PAGE_SIZE];
	const struct sgx_encl_config config = { .owner = { .encl_id = 1, .pid = 2 } };
	struct sgx_encl *encl;
	unsigned int frame;

	isa_fixture_default_secs(&secs);
	assert_int_equal(sgx_encl_create(m->pool, &config, &encl), 0);
	assert_int_equal(sgx_encl_ecreate(encl, &secs), 0);
	for (frame = 1; frame <= MACHINE_NR_CHILDREN; frame++) {
		const struct sgx_secinfo secinfo = { .flags = isa_fixture_flags(frame) };

		isa_fixture_source(frame, source);
		assert_int_equal(sgx_encl_add_page(encl, (frame - 1) * 4096, source, &secinfo,
						   true), 0);
	}
	return encl;
}

struct sgx_encl *machine_einit(struct machine *m)
{
	struct sgx_encl *encl = machine_build(m);
	struct isa_outcome out;
	struct sgx_secs secs;
	uint64_t hash[4];

	isa_fixture_default_secs(&secs);
	isa_fixture_sigstruct(m->f, &secs, 0);
	isa_signer_hash(isa_signer_get(0), hash);
	assert_int_equal(sgx_encl_einit(encl, &m->f->sig, hash, &out), 0);
	return encl;
}
