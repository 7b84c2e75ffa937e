/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EREMOVE that fails where pages are given back in the course of paging and of
 * dynamic memory: after EPA, ELDU or EAUG failed, of VA pages, of pages that are
 * removed.  The other places are in test-leak.c.
 */
#include "fake.h"

#include <string.h>

#define BASE 0x700000000000ull
#define COOKIE ((void *)1)
#define PAGE(n) ((n) * 4096ull)

/* The SECS has a slot too: with this many pages the first VA page is full. */
#define NR_PAGES_OF_A_VA_PAGE 511u

static const _Alignas(4096) struct sgx_secs secs_source = { .baseaddr = BASE, .size = 1ull << 32 };
static const _Alignas(4096) struct sgx_sigstruct sigstruct;
static const _Alignas(4096) uint8_t page_source[4096];
static const struct sgx_secinfo reg = { .flags = SECINFO_R | SECINFO_W | SECINFO_PT(PT_REG) };
static const struct sgx_encl_config encl_config = {
	.owner = { .encl_id = 5, .client = "a client", .pid = 7 },
	.cookie = COOKIE,
};

/* --- the enclave of each site ------------------------------------------------------- */

static int fault(struct sgx_encl *encl, uint64_t page)
{
	struct sgx_encl_page_info info;

	return sgx_encl_fault(encl, PAGE(page), SECINFO_R, NULL, &info);
}

static int add(struct sgx_encl *encl, uint64_t page)
{
	return sgx_encl_add_page(encl, PAGE(page), page_source, &reg, false);
}

static void initialize(struct sgx_encl *encl)
{
	static const uint64_t hash[4];
	struct isa_outcome out;

	assert_int_equal(sgx_encl_einit(encl, &sigstruct, hash, &out), 0);
}

/* An enclave with a SECS, a VA page and pages 0 to @nr - 1. */
static void build(struct sgx_encl *encl, uint64_t nr)
{
	uint64_t i;

	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	for (i = 0; i < nr; i++)
		assert_int_equal(add(encl, i), 0);
}

static void accept_page(struct fake *f, uint64_t page)
{
	assert_true(fake_accept(f, fake_page_of(f, COOKIE, BASE + PAGE(page))));
}

static void trim(struct fake *f, struct sgx_encl *encl, uint64_t page)
{
	struct isa_outcome out;

	assert_int_equal(sgx_encl_modify_page(encl, PAGE(page), PT_TRIM, &out), 0);
	accept_page(f, page);
}

/* --- sites --------------------------------------------------------------------------- */

/* Arms the failure of EREMOVE, and makes it happen before the enclave's release or in it. */
struct site {
	const char *name;
	void (*run)(struct fake *f, struct sgx_encl *encl, struct isa_outcome result);
	uint8_t valid;		/* in the EPCM, at the time */
	uint8_t pt;		/* there, when it is valid */
	unsigned int nr_more;	/* other pages that leak by that */
};

static void failed_epa_of_ecreate(struct fake *f, struct sgx_encl *encl, struct isa_outcome result)
{
	fake_fail(f, FAKE_EPA, 1, 1, fake_fault(X86_PF));
	fake_fail(f, FAKE_EREMOVE, 1, 1, result);
	assert_int_not_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
}

/* The VA page that was made for it goes, too. */
static void va_page_of_a_failed_ecreate(struct fake *f, struct sgx_encl *encl,
					struct isa_outcome result)
{
	fake_fail(f, FAKE_ECREATE, 1, 1, fake_fault(X86_GP));
	fake_fail(f, FAKE_EREMOVE, 2, 1, result);
	assert_int_not_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
}

static void failed_epa_of_eadd(struct fake *f, struct sgx_encl *encl, struct isa_outcome result)
{
	build(encl, NR_PAGES_OF_A_VA_PAGE);
	fake_fail(f, FAKE_EPA, 1, 1, fake_fault(X86_PF));
	fake_fail(f, FAKE_EREMOVE, 1, 1, result);
	assert_int_not_equal(add(encl, 1000), 0);
	assert_int_equal(add(encl, 1000), 0);
}

static void failed_epa_of_a_fault(struct fake *f, struct sgx_encl *encl, struct isa_outcome result)
{
	build(encl, NR_PAGES_OF_A_VA_PAGE);
	initialize(encl);
	fake_fail(f, FAKE_EPA, 1, 1, fake_fault(X86_PF));
	fake_fail(f, FAKE_EREMOVE, 1, 1, result);
	assert_int_not_equal(fault(encl, 1000), 0);
	assert_int_equal(fault(encl, 1000), 0);
}

static void failed_eaug(struct fake *f, struct sgx_encl *encl, struct isa_outcome result)
{
	build(encl, 1);
	initialize(encl);
	fake_fail(f, FAKE_EAUG, 1, 1, fake_fault(X86_GP));
	fake_fail(f, FAKE_EREMOVE, 1, 1, result);
	assert_int_not_equal(fault(encl, 1000), 0);
	assert_int_equal(fault(encl, 1000), 0);
}

static void failed_eldu_of_a_page(struct fake *f, struct sgx_encl *encl, struct isa_outcome result)
{
	build(encl, 3);
	assert_true(sgx_epc_reclaim(f->pool, 1) > 0);
	while (sgx_epc_reclaim(f->pool, 1))
		;
	fake_fail(f, FAKE_ELDU, 1, 1, fake_fault(X86_GP));
	fake_fail(f, FAKE_EREMOVE, 1, 1, result);
	assert_int_not_equal(fault(encl, 0), 0);
	assert_int_equal(fault(encl, 0), 0);
}

static void failed_eldu_of_the_secs(struct fake *f, struct sgx_encl *encl,
				    struct isa_outcome result)
{
	build(encl, 3);
	initialize(encl);
	while (sgx_epc_reclaim(f->pool, 1))
		;
	assert_true(sgx_encl_secs_pa(encl) == ISA_NO_FRAME);
	fake_fail(f, FAKE_ELDU, 1, 1, fake_error(SGX_MAC_COMPARE_FAIL));
	fake_fail(f, FAKE_EREMOVE, 1, 1, result);
	assert_int_not_equal(fault(encl, 0), 0);
	assert_int_equal(fault(encl, 0), 0);
}

static void removed_page(struct fake *f, struct sgx_encl *encl, struct isa_outcome result)
{
	build(encl, 3);
	initialize(encl);
	trim(f, encl, 1);
	fake_fail(f, FAKE_EREMOVE, 1, 1, result);
	assert_int_equal(sgx_encl_remove_page(encl, PAGE(1)), 0);
	/* Gone for the enclave, which can have another one there. */
	assert_int_equal(fault(encl, 1), 0);
}

/* The page that is removed was the only one the second VA page was for. */
static void spare_va_page(struct fake *f, struct sgx_encl *encl, struct isa_outcome result)
{
	build(encl, NR_PAGES_OF_A_VA_PAGE + 1);
	initialize(encl);
	trim(f, encl, 1);
	fake_fail(f, FAKE_EREMOVE, 2, 1, result);
	assert_int_equal(sgx_encl_remove_page(encl, PAGE(1)), 0);
	assert_int_equal(fault(encl, 1), 0);
}

/* After the page and the SECS. */
static void va_page_at_release(struct fake *f, struct sgx_encl *encl, struct isa_outcome result)
{
	build(encl, 1);
	fake_fail(f, FAKE_EREMOVE, 3, 1, result);
}

/* A page that leaks still belongs to its SECS, which so cannot go either. */
static const struct site sites[] = {
	{ "sgx_encl_ecreate", failed_epa_of_ecreate, false, 0, 0 },
	{ "sgx_encl_ecreate", va_page_of_a_failed_ecreate, true, PT_VA, 0 },
	{ "sgx_encl_add_page", failed_epa_of_eadd, false, 0, 0 },
	{ "sgx_encl_fault", failed_epa_of_a_fault, false, 0, 0 },
	{ "sgx_encl_fault", failed_eaug, false, 0, 0 },
	{ "epc_load_page", failed_eldu_of_a_page, false, 0, 0 },
	{ "epc_load_secs", failed_eldu_of_the_secs, false, 0, 0 },
	{ "sgx_encl_remove_page", removed_page, true, PT_TRIM, 1 },
	{ "epc_va_shrink", spare_va_page, true, PT_VA, 0 },
	{ "sgx_encl_release", va_page_at_release, true, PT_VA, 0 },
};

static void start(struct fake *f, struct sgx_encl **encl)
{
	static const struct isa_section section = { .pa = 1ull << 32, .nr_pages = 600 };

	fake_init(f, &section, 1, true);
	f->config.overcommit = true;
	assert_int_equal(sgx_epc_pool_create(&f->config, &f->pool), 0);
	assert_int_equal(sgx_encl_create(f->pool, &encl_config, encl), 0);
}

static void check_leak(const struct site *site, struct isa_outcome result)
{
	const unsigned int nr = 1 + site->nr_more;
	struct sgx_epc_leak rows[3];
	struct sgx_encl *encl;
	char message[512];
	struct fake f;

	start(&f, &encl);
	site->run(&f, encl, result);
	assert_adds_up(&f);
	sgx_encl_release(encl);

	assert_counts(&f, 600 - nr, 0, nr, 0);
	assert_int_equal(sgx_epc_leaks(f.pool, 0, rows, 3), nr);
	assert_string_equal(rows[0].site, site->name);
	assert_same_outcome(rows[0].result, result);
	assert_int_equal(rows[0].epcm.valid, site->valid);
	if (site->valid)
		assert_int_equal(rows[0].epcm.pt, site->pt);
	assert_int_equal(rows[0].owner.encl_id, encl_config.owner.encl_id);
	if (site->nr_more)
		assert_same_outcome(rows[1].result, fake_error(SGX_CHILD_PRESENT));

	sgx_epc_format_leak_message(result, message, sizeof(message));
	assert_int_equal(f.log->nr, 1);
	assert_string_equal(f.log->message, message);
	assert_pool_clean(&f);
	fake_finish(&f);
}

static void f48_every_failure_where_pages_move_leaks_the_page(void **state)
{
	size_t i, j;

	for (i = 0; i < sizeof(sites) / sizeof(sites[0]); i++) {
		for (j = 0; j < fake_nr_failures; j++)
			check_leak(&sites[i], fake_failures[j]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f48_every_failure_where_pages_move_leaks_the_page),
	};

	return cmocka_run_group_tests_name("leak-paging", tests, NULL, NULL);
}
