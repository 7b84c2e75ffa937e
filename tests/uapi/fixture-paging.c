/* SPDX-License-Identifier: BSD-3-Clause */
/* The rest of the processor of fixture.h: paging, and pages that change. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

/* A page that has contents outside keeps its bookkeeping there. */
static uint8_t *outside(const struct sgx_pageinfo *pageinfo)
{
	return (uint8_t *)(uintptr_t)pageinfo->srcpge;
}

static struct isa_outcome op_epa(void *ctx, uint64_t pa)
{
	struct fake_page *page = fake_page_of(ctx, pa);
	struct isa_outcome outcome = { 0 };

	if (!fake_is_scripted(ctx, FAKE_EPA, &outcome))
		*page = (struct fake_page){ .valid = true, .pt = PT_VA };
	return outcome;
}

static struct isa_outcome op_eblock(void *ctx, uint64_t pa)
{
	struct isa_outcome outcome = { 0 };

	assert_true(fake_page_of(ctx, pa)->valid);
	fake_is_scripted(ctx, FAKE_EBLOCK, &outcome);
	return outcome;
}

static struct isa_outcome op_etrack(void *ctx, uint64_t secs)
{
	struct isa_outcome outcome = { 0 };

	assert_int_equal(fake_page_of(ctx, secs)->pt, PT_SECS);
	fake_is_scripted(ctx, FAKE_ETRACK, &outcome);
	return outcome;
}

static struct isa_outcome op_ewb(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t pa,
				 uint64_t va_slot)
{
	struct fake_page *page = fake_page_of(ctx, pa);
	struct isa_outcome outcome = { 0 };

	assert_int_equal(fake_page_of(ctx, va_slot & SGX_PAGE_MASK)->pt, PT_VA);
	if (!fake_is_scripted(ctx, FAKE_EWB, &outcome)) {
		memcpy(outside(pageinfo), page, sizeof(*page));
		page->valid = false;
	}
	return outcome;
}

static struct isa_outcome op_eldu(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t pa,
				  uint64_t va_slot)
{
	struct fake_page *page = fake_page_of(ctx, pa);
	struct isa_outcome outcome = { 0 };

	(void)va_slot;
	if (!fake_is_scripted(ctx, FAKE_ELDU, &outcome)) {
		memcpy(page, outside(pageinfo), sizeof(*page));
		page->secs = pageinfo->secs;
	}
	return outcome;
}

static struct isa_outcome op_eaug(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t pa)
{
	struct fake_page *page = fake_page_of(ctx, pa);
	struct isa_outcome outcome = { 0 };

	if (!fake_is_scripted(ctx, FAKE_EAUG, &outcome))
		*page = (struct fake_page){ .valid = true, .pt = PT_REG, .secs = pageinfo->secs };
	return outcome;
}

static struct isa_outcome op_emodpr(void *ctx, const struct sgx_secinfo *secinfo, uint64_t pa)
{
	const struct fake_page *page = fake_page_of(ctx, pa);
	struct isa_outcome outcome = { 0 };

	(void)secinfo;
	if (fake_is_scripted(ctx, FAKE_EMODPR, &outcome))
		return outcome;
	if (page->pt != PT_TRIM)
		return outcome;
	return page->accepted ? fake_fault(X86_PF) : fake_error(SGX_PAGE_NOT_MODIFIABLE);
}

static struct isa_outcome op_emodt(void *ctx, const struct sgx_secinfo *secinfo, uint64_t pa)
{
	struct fake_page *page = fake_page_of(ctx, pa);
	struct isa_outcome outcome = { 0 };

	if (!fake_is_scripted(ctx, FAKE_EMODT, &outcome)) {
		page->pt = (secinfo->flags & SECINFO_PT_MASK) >> SECINFO_PT_SHIFT;
		page->accepted = false;
	}
	return outcome;
}

void fake_add_paging_ops(struct epc_encls_ops *ops)
{
	ops->epa = op_epa;
	ops->eblock = op_eblock;
	ops->etrack = op_etrack;
	ops->ewb = op_ewb;
	ops->eldu = op_eldu;
	ops->eaug = op_eaug;
	ops->emodpr = op_emodpr;
	ops->emodt = op_emodt;
}

struct fixture *fixture_create_sgx2(void)
{
	struct fixture *f = fixture_create();

	f->profile.cpuid_12_0_eax |= CPUID_12_0_EAX_SGX2;
	return f;
}

int fixture_setup_sgx2(void **state)
{
	static const struct isa_section section = { .pa = EPC_BASE, .nr_pages = EPC_PAGES };
	struct fixture *f = fixture_create_sgx2();
	struct epc_encls_ops ops = fake_building_ops(f);

	fake_add_paging_ops(&ops);
	fixture_power_on(f, &section, 1, &ops);
	fixture_open(f);
	*state = f;
	return 0;
}
