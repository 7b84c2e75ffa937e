/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EREMOVE that fails, in every way and at every place where a host enclave
 * frees a page: the page never comes back, the ledger has it, the first one is
 * a warning, and nothing else suffers.
 */
#include "fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const _Alignas(4096) struct sgx_secs secs_source = { .size = 1 << 20, .baseaddr = 1 << 20 };
static const _Alignas(4096) uint8_t page_source[4096];
static const struct sgx_secinfo reg = { .flags = SECINFO_R | SECINFO_PT(PT_REG) };
static const struct sgx_encl_config encl_config = {
	.owner = { .encl_id = 0x1122334455667788, .client = "a client", .pid = 4711 },
};

/* --- the message ---------------------------------------------------------- */

static void check_message(struct isa_outcome result, const char *values)
{
	char expected[512], text[512];

	snprintf(expected, sizeof(expected),
		 "EREMOVE returned %s and an EPC page was leaked; SGX may become unusable. "
		 "This is a bug in the EPC manager, refer to docs/epc-leaks.md for more "
		 "information.", values);
	sgx_epc_format_leak_message(result, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void message_names_code_or_fault(void **state)
{
	check_message(fake_error(SGX_CHILD_PRESENT), "13 (0xd, SGX_CHILD_PRESENT)");
	check_message(fake_error(SGX_ENCLAVE_ACT), "14 (0xe, SGX_ENCLAVE_ACT)");
	check_message(fake_error(SGX_INVALID_KEYNAME), "256 (0x100, SGX_INVALID_KEYNAME)");
	check_message(fake_fault(X86_GP), "1073741837 (0x4000000d, #GP)");
	check_message(fake_fault(X86_PF), "1073741838 (0x4000000e, #PF)");
	check_message(fake_error(9999), "9999 (0x270f, ?)");
}

static void document_shows_the_message_as_logged(void **state)
{
	char message[512], line[1024];
	bool found = false;
	FILE *doc = fopen(LEAK_DOCUMENT, "r");

	assert_non_null(doc);
	sgx_epc_format_leak_message(fake_fault(X86_GP), message, sizeof(message));
	while (!found && fgets(line, sizeof(line), doc))
		found = strstr(line, message) != NULL;
	fclose(doc);
	assert_true(found);
}

static void message_is_terminated_in_any_buffer(void **state)
{
	char buf[32];

	memset(buf, 'x', sizeof(buf));
	sgx_epc_format_leak_message(fake_error(SGX_CHILD_PRESENT), buf, 8);
	assert_string_equal(buf, "EREMOVE");
	assert_int_equal(buf[8], 'x');
}

static void longest_message_fits_its_log_record(void **state)
{
	char longest[1024];
	struct fake f;
	struct sgx_epc_page *page;

	fake_start(&f, small_sections, 3, true);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), 0);
	fake_fail(&f, FAKE_EREMOVE, 1, 1, fake_error(SGX_INVALID_REPORTMACSTRUCT));
	sgx_encl_free_epc_page(f.pool, page, "test");
	sgx_epc_format_leak_message(fake_error(SGX_INVALID_REPORTMACSTRUCT), longest,
				    sizeof(longest));
	assert_string_equal(f.log->message, longest);
	fake_finish(&f);
}

static void outcome_is_an_int_as_the_kernel_prints_it(void **state)
{
	const struct isa_outcome info = { .kind = ISA_INFO, .code = SGX_BLKSTATE };
	const struct isa_outcome done = { .kind = ISA_DONE, .code = 5 };

	assert_int_equal(sgx_outcome_to_int(done), 0);
	assert_int_equal(sgx_outcome_to_int(info), 3);
	assert_int_equal(sgx_outcome_to_int(fake_error(13)), 13);
	assert_int_equal(sgx_outcome_to_int(fake_fault(X86_GP)), 1073741837);
}

/* --- call sites ----------------------------------------------------------- */

/*
 * A place where a host enclave frees a page.  @run starts with a fresh pool,
 * arms one failure of EREMOVE and ends with no enclave left; @nr_more is how
 * many pages leak beside the one it was armed for.
 */
struct site {
	const char *name;
	void (*run)(struct fake *f, struct isa_outcome result);
	uint64_t pa;		/* of the page that leaks first */
	uint8_t valid;		/* in the EPCM, at the time */
	unsigned int nr_more;
};

static struct sgx_encl *create(struct fake *f)
{
	struct sgx_encl *encl;

	assert_int_equal(sgx_encl_create(f->pool, &encl_config, &encl), 0);
	return encl;
}

static struct sgx_encl *create_with_child(struct fake *f)
{
	struct sgx_encl *encl = create(f);

	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	assert_int_equal(sgx_encl_add_page(encl, 0, page_source, &reg, false), 0);
	assert_counts(f, SMALL_PAGES - 2, 2, 0, 0);
	return encl;
}

static void release_child(struct fake *f, struct isa_outcome result)
{
	struct sgx_encl *encl = create_with_child(f);

	fake_fail(f, FAKE_EREMOVE, 1, 1, result);
	sgx_encl_release(encl);
}

static void release_secs(struct fake *f, struct isa_outcome result)
{
	struct sgx_encl *encl = create_with_child(f);

	fake_fail(f, FAKE_EREMOVE, 2, 1, result);
	sgx_encl_release(encl);
}

static void failed_ecreate(struct fake *f, struct isa_outcome result)
{
	struct sgx_encl *encl = create(f);

	fake_fail(f, FAKE_ECREATE, 1, 1, fake_fault(X86_GP));
	fake_fail(f, FAKE_EREMOVE, 1, 1, result);
	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), -EIO);
	assert_counts(f, SMALL_PAGES - 1, 0, 1, 0);
	/* The enclave is as before, on another page. */
	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	sgx_encl_release(encl);
}

static void failed_eadd(struct fake *f, struct isa_outcome result)
{
	struct sgx_encl *encl = create(f);

	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	fake_fail(f, FAKE_EADD, 1, 1, fake_fault(X86_PF));
	fake_fail(f, FAKE_EREMOVE, 1, 1, result);
	assert_int_equal(sgx_encl_add_page(encl, 0, page_source, &reg, true), -EIO);
	assert_counts(f, SMALL_PAGES - 2, 1, 1, 0);
	assert_int_equal(sgx_encl_add_page(encl, 0, page_source, &reg, true), 0);
	sgx_encl_release(encl);
}

static void add_to_a_taken_offset(struct fake *f, struct isa_outcome result)
{
	struct sgx_encl *encl = create_with_child(f);

	fake_fail(f, FAKE_EREMOVE, 1, 1, result);
	assert_int_equal(sgx_encl_add_page(encl, 0, page_source, &reg, true), -EBUSY);
	assert_counts(f, SMALL_PAGES - 3, 2, 1, 0);
	sgx_encl_release(encl);
}

static void add_without_memory(struct fake *f, struct isa_outcome result)
{
	struct sgx_encl *encl = create(f);

	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	f->fail_alloc = f->nr_allocs + 1;
	fake_fail(f, FAKE_EREMOVE, 1, 1, result);
	assert_int_equal(sgx_encl_add_page(encl, 0, page_source, &reg, true), -ENOMEM);
	assert_counts(f, SMALL_PAGES - 2, 1, 1, 0);
	sgx_encl_release(encl);
}

static void add_that_cannot_be_placed(struct fake *f, struct isa_outcome result)
{
	struct sgx_encl *encl = create(f);

	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	f->place_result = -ENOMEM;
	fake_fail(f, FAKE_EREMOVE, 1, 1, result);
	assert_int_equal(sgx_encl_add_page(encl, 0, page_source, &reg, true), -ENOMEM);
	assert_counts(f, SMALL_PAGES - 2, 1, 1, 0);
	sgx_encl_release(encl);
}

#define PAGE(n) (0x80000000ull + (n) * 4096ull)

/* A leaked child still belongs to its SECS, which so cannot go either. */
static const struct site sites[] = {
	{ "sgx_encl_release", release_child, PAGE(1), true, 1 },
	{ "sgx_encl_release", release_secs, PAGE(0), true, 0 },
	{ "sgx_encl_ecreate", failed_ecreate, PAGE(0), false, 0 },
	{ "sgx_encl_add_page", failed_eadd, PAGE(1), false, 0 },
	{ "sgx_encl_add_page", add_to_a_taken_offset, PAGE(2), false, 0 },
	{ "sgx_encl_add_page", add_without_memory, PAGE(1), false, 0 },
	{ "sgx_encl_add_page", add_that_cannot_be_placed, PAGE(1), false, 0 },
};

static void check_row(const struct sgx_epc_leak *row, const struct site *site,
		      struct isa_outcome result)
{
	assert_int_equal(row->pa, site->pa);
	assert_int_equal(row->section, 0);
	assert_int_equal(row->node, 0);
	assert_same_outcome(row->result, result);
	assert_true(row->epcm_known);
	assert_int_equal(row->epcm.valid, site->valid);
	assert_int_equal(row->owner.encl_id, encl_config.owner.encl_id);
	assert_string_equal(row->owner.client, encl_config.owner.client);
	assert_int_equal(row->owner.pid, encl_config.owner.pid);
	assert_string_equal(row->site, site->name);
	assert_int_equal(row->time_ns, 1);
}

static void check_leak(const struct site *site, struct isa_outcome result)
{
	const unsigned int nr = 1 + site->nr_more;
	struct sgx_epc_leak rows[SMALL_PAGES];
	char message[512];
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	site->run(&f, result);

	assert_counts(&f, SMALL_PAGES - nr, 0, nr, 0);
	assert_int_equal(sgx_epc_leaks(f.pool, 0, rows, SMALL_PAGES), nr);
	check_row(&rows[0], site, result);
	if (site->nr_more)
		assert_same_outcome(rows[1].result, fake_error(SGX_CHILD_PRESENT));

	sgx_epc_format_leak_message(result, message, sizeof(message));
	assert_int_equal(f.log->nr, 1);
	assert_int_equal(f.log->level, EPC_LOG_WARNING);
	assert_string_equal(f.log->message, message);

	assert_pool_clean(&f);
	fake_finish(&f);
}

static void f48_every_failure_at_every_site_leaks_the_page(void **state)
{
	size_t i, j;

	for (i = 0; i < sizeof(sites) / sizeof(sites[0]); i++) {
		for (j = 0; j < fake_nr_failures; j++)
			check_leak(&sites[i], fake_failures[j]);
	}
}

static void child_without_eextend_leaks_alone_with_its_secs(void **state)
{
	struct sgx_epc_leak rows[SMALL_PAGES];
	struct sgx_encl *encl;
	struct fake f;

	fake_start(&f, small_sections, 3, true);
	encl = create(&f);
	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	fake_fail(&f, FAKE_EEXTEND, 1, 1, fake_fault(X86_GP));
	assert_int_equal(sgx_encl_add_page(encl, 0, page_source, &reg, true), -EIO);
	assert_counts(&f, SMALL_PAGES - 2, 2, 0, 0);
	fake_fail(&f, FAKE_EREMOVE, 1, 1, fake_fault(X86_GP));
	sgx_encl_release(encl);
	assert_counts(&f, SMALL_PAGES - 2, 0, 2, 0);
	assert_int_equal(sgx_epc_leaks(f.pool, 0, rows, SMALL_PAGES), 2);
	assert_int_equal(rows[0].epcm.pt, PT_REG);
	assert_int_equal(rows[1].epcm.pt, PT_SECS);
	fake_finish(&f);
}

/* --- the ledger ----------------------------------------------------------- */

static void row_says_unknown_where_the_epcm_cannot_be_read(void **state)
{
	struct sgx_epc_page *page;
	struct sgx_epc_leak row;
	struct fake f;

	fake_init(&f, small_sections, 3, true);
	f.config.ops.peek = NULL;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	f.node = 3;
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), 0);
	fake_fail(&f, FAKE_EREMOVE, 1, 1, fake_fault(X86_PF));
	assert_false(sgx_encl_free_epc_page(f.pool, page, "somewhere"));
	assert_int_equal(sgx_epc_leaks(f.pool, 0, &row, 1), 1);
	assert_false(row.epcm_known);
	assert_int_equal(row.section, 1);
	assert_int_equal(row.node, 3);
	assert_int_equal(row.owner.encl_id, 0);
	assert_string_equal(row.site, "somewhere");
	assert_int_equal(sgx_epc_stat_node(f.pool, 3).leaked, 1);
	fake_finish(&f);
}

static void loses_no_row_when_all_of_epc_leaks(void **state)
{
	enum { NR = 20000 };
	const struct isa_section sections[] = {
		{ .pa = 1ull << 32, .nr_pages = NR / 2, .node = 0 },
		{ .pa = 1ull << 40, .nr_pages = NR / 2, .node = 1 },
	};
	struct sgx_epc_owner owner = { .encl_id = 1 };
	struct sgx_epc_leak *rows = calloc(NR + 1, sizeof(*rows));
	struct sgx_epc_page *page;
	struct fake f;
	unsigned int i;

	fake_start(&f, sections, 2, true);
	/* From here on the port has no memory at all. */
	f.fail_alloc = f.nr_allocs + 1;
	fake_fail(&f, FAKE_EREMOVE, 1, NR, fake_error(SGX_ENCLAVE_ACT));
	for (i = 0; i < NR; i++) {
		owner.pid = (int32_t)i + 1;
		assert_int_equal(sgx_alloc_epc_page(f.pool, &owner, 0, &page), 0);
		assert_false(sgx_encl_free_epc_page(f.pool, page, "test"));
	}
	assert_counts(&f, 0, 0, NR, 0);
	assert_int_equal(f.nr_allocs, f.fail_alloc - 1);
	assert_int_equal(f.log->nr, 1);
	assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), -ENOMEM);

	assert_int_equal(sgx_epc_leaks(f.pool, 0, rows, NR + 1), NR);
	for (i = 0; i < NR; i++) {
		struct fake_page *p = fake_page_at(&f, rows[i].pa);

		assert_false(p->placed);
		p->placed = true;	/* each page once */
		assert_int_equal(rows[i].owner.pid, i + 1);
		assert_int_equal(rows[i].time_ns, i + 1);
	}
	free(rows);
	fake_finish(&f);
}

static void ledger_is_read_in_pieces(void **state)
{
	struct sgx_epc_leak rows[SMALL_PAGES];
	struct sgx_epc_page *page;
	struct fake f;
	unsigned int i;

	fake_start(&f, small_sections, 3, true);
	assert_int_equal(sgx_epc_leaks(f.pool, 0, rows, 4), 0);
	fake_fail(&f, FAKE_EREMOVE, 1, 5, fake_fault(X86_GP));
	for (i = 0; i < 5; i++) {
		assert_int_equal(sgx_alloc_epc_page(f.pool, NULL, 0, &page), 0);
		sgx_encl_free_epc_page(f.pool, page, "test");
	}
	assert_int_equal(sgx_epc_leaks(f.pool, 0, rows, 2), 2);
	assert_int_equal(rows[1].pa, PAGE(1));
	assert_int_equal(sgx_epc_leaks(f.pool, 2, rows, 2), 2);
	assert_int_equal(rows[0].pa, PAGE(2));
	assert_int_equal(sgx_epc_leaks(f.pool, 4, rows, 2), 1);
	assert_int_equal(rows[0].pa, PAGE(4));
	assert_int_equal(sgx_epc_leaks(f.pool, 5, rows, 2), 0);
	assert_int_equal(sgx_epc_leaks(f.pool, SIZE_MAX, rows, 2), 0);
	assert_int_equal(sgx_epc_leaks(f.pool, 0, NULL, 0), 0);
	fake_finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_names_code_or_fault),
		cmocka_unit_test(document_shows_the_message_as_logged),
		cmocka_unit_test(message_is_terminated_in_any_buffer),
		cmocka_unit_test(longest_message_fits_its_log_record),
		cmocka_unit_test(outcome_is_an_int_as_the_kernel_prints_it),
		cmocka_unit_test(f48_every_failure_at_every_site_leaks_the_page),
		cmocka_unit_test(child_without_eextend_leaks_alone_with_its_secs),
		cmocka_unit_test(row_says_unknown_where_the_epcm_cannot_be_read),
		cmocka_unit_test(loses_no_row_when_all_of_epc_leaks),
		cmocka_unit_test(ledger_is_read_in_pieces),
	};

	return cmocka_run_group_tests_name("leak", tests, NULL, NULL);
}
