/* SPDX-License-Identifier: BSD-3-Clause */
/* Profiles, and what CPUID says under each of them: tables. */
#include "fixture.h"

#include "internal.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void are_found_by_name_and_number(void **state)
{
	static const char *const names[] = { "newest", "server", "sgx2-client", "sgx1-client" };

	for (size_t i = 0; i < COUNT(names); i++) {
		const struct isa_profile *p = isa_profile_at(i);

		assert_string_equal(p->name, names[i]);
		assert_ptr_equal(isa_profile_find(names[i]), p);
		assert_non_null(p->summary);
	}
	assert_null(isa_profile_at(COUNT(names)));
	assert_null(isa_profile_find("i486"));
	(void)state;
}

/* What no part can be without. */
static void are_possible_parts(void **state)
{
	const struct isa_profile *p;

	for (size_t i = 0; (p = isa_profile_at(i)); i++) {
		assert_true(p->cpuid_12_0_eax & CPUID_12_0_EAX_SGX1);
		assert_int_equal(p->xfrm & XFRM_X87_SSE, XFRM_X87_SSE);
		assert_true(p->attributes & ATTR_MODE64BIT);
		assert_false(p->attributes & (ATTR_INIT | ATTR_CET));
		assert_true(p->epc_size && p->epc_size % SGX_PAGE_SIZE == 0);
		assert_true(p->max_size_32 < 32 && p->max_size_64 < 57);
	}
	(void)state;
}

/* The default runs what any other part runs. */
static void the_default_can_do_what_any_can(void **state)
{
	const struct isa_profile *all = isa_profile_at(0), *p;

	for (size_t i = 1; (p = isa_profile_at(i)); i++) {
		assert_false(p->cpuid_12_0_eax & ~all->cpuid_12_0_eax);
		assert_false(p->miscselect & ~all->miscselect);
		assert_false(p->attributes & ~all->attributes);
		/* MPX has gone from newer parts. */
		assert_false(p->xfrm & ~all->xfrm & ~XFRM_MPX);
		assert_true(all->launch_control || !p->launch_control);
		assert_true(all->max_size_64 >= p->max_size_64);
	}
	(void)state;
}

/* A part that announces a gate has every leaf behind it, and no other does. */
static void leaves_of_announced_gates_only_are_reached(void **state)
{
	const struct isa_profile *p;

	for (size_t i = 0; (p = isa_profile_at(i)); i++) {
		struct isa_fixture *f = isa_fixture_create(p->name);
		struct isa_outcome out;

#define GATE_OF(gate) CPUID_12_0_EAX_##gate
#define LEAF(class, nr, name, handler, gate, ...)					\
		if (ISA_##class == ISA_ENCLS && !(p->cpuid_12_0_eax & GATE_OF(gate))) {	\
			f->os.rbx = f->os.rcx = f->os.rdx = (uintptr_t)f->page;		\
			out = isa_encls(&f->os, nr);					\
			assert_gp(out);							\
		}
#include <swsgx/leaves.def>
#undef LEAF
		(void)out;
		isa_fixture_destroy(f);
	}
	(void)state;
}

/* --- CPUID --------------------------------------------------------------- */

struct row {
	const char *profile;
	uint32_t leaf, subleaf;
	struct isa_cpuid in, out;
};

#define SAME { 1, 2, 3, 4 }, { 1, 2, 3, 4 }

static const struct row rows[] = {
	/* leaf 0 reaches 12H, and stays where it reaches further */
	{ "newest", 0, 0, { 0xd, 2, 3, 4 }, { 0x12, 2, 3, 4 } },
	{ "newest", 0, 0, { 0x20, 2, 3, 4 }, { 0x20, 2, 3, 4 } },
	/* leaf 7 has SGX, and SGX_LC where there is launch control */
	{ "newest", 7, 0, { 0 }, { .ebx = 1u << 2, .ecx = 1u << 30 } },
	{ "server", 7, 0, { 0 }, { .ebx = 1u << 2, .ecx = 1u << 30 } },
	{ "sgx2-client", 7, 0, { 0 }, { .ebx = 1u << 2, .ecx = 1u << 30 } },
	{ "sgx1-client", 7, 0, { 0 }, { .ebx = 1u << 2 } },
	{ "sgx1-client", 7, 0, { 9, ~0u, ~0u, ~0u }, { 9, ~0u, ~(1u << 30), ~2u } },
	{ "newest", 7, 1, SAME },
	{ "newest", 0xd, 0, SAME },
	{ "newest", 0x11, 0, SAME },
	{ "newest", 0x80000008, 0, SAME },
	/* 12H.1: ATTRIBUTES, and XFRM as far as the host's XCR0 goes: MPX not */
	{ "newest", 0x12, 1, { 1, 2, 3, 4 }, { 0x4b6, 0, 0x2e7, 0 } },
	{ "server", 0x12, 1, { 1, 2, 3, 4 }, { 0xb6, 0, 0x2e7, 0 } },
	{ "sgx2-client", 0x12, 1, { 1, 2, 3, 4 }, { 0x36, 0, 0x207, 0 } },
	{ "sgx1-client", 0x12, 1, { 1, 2, 3, 4 }, { 0x36, 0, 0x1f, 0 } },
	/* 12H.2, .3: the sections; then the end */
	{ "newest", 0x12, 2, { 1, 2, 3, 4 },
	  { FIXTURE_PA0 | 1, 0, FIXTURE_SECTION_PAGES * SGX_PAGE_SIZE | 1, 0 } },
	{ "newest", 0x12, 3, { 1, 2, 3, 4 },
	  { FIXTURE_PA1 | 1, 0, FIXTURE_SECTION_PAGES * SGX_PAGE_SIZE | 1, 0 } },
	{ "newest", 0x12, 4, { 1, 2, 3, 4 }, { 0 } },
	{ "newest", 0x12, ~0u, { 1, 2, 3, 4 }, { 0 } },
};

static void cpuid_answers_by_the_table(void **state)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct isa_fixture *f = isa_fixture_create(rows[i].profile);
		struct isa_cpuid regs = rows[i].in;

		isa_cpuid(f->m, rows[i].leaf, rows[i].subleaf, &regs);
		if (memcmp(&regs, &rows[i].out, sizeof(regs)))
			fail_msg("%s %x.%x: %x %x %x %x", rows[i].profile, rows[i].leaf,
				 rows[i].subleaf, regs.eax, regs.ebx, regs.ecx, regs.edx);
		isa_fixture_destroy(f);
	}
	(void)state;
}

struct features {
	const char *profile;
	struct isa_cpuid sub0;
};

/* 12H.0 of complete parts; EAX shows what of it is executed. */
static const struct features features[] = {
	{ "newest", { 0xce3, MISC_EXINFO, 0, 56 << 8 | 31 } },
	{ "server", { 0x63, MISC_EXINFO, 0, 56 << 8 | 31 } },
	{ "sgx2-client", { 0x3, MISC_EXINFO, 0, 36 << 8 | 31 } },
	{ "sgx1-client", { 0x1, 0, 0, 36 << 8 | 31 } },
};

static uint32_t gates_with_leaves(void)
{
	uint32_t gates = 0;

#define LEAF(class, nr, name, handler, gate, ...) gates |= GATE_OF(gate);
#include <swsgx/leaves.def>
#undef LEAF
	return gates;
}

static void cpuid_announces_the_leaves_that_there_are(void **state)
{
	for (size_t i = 0; i < COUNT(features); i++) {
		struct isa_fixture *f = isa_fixture_create(features[i].profile);
		struct isa_cpuid regs = { 1, 2, 3, 4 }, want = features[i].sub0;

		want.eax &= gates_with_leaves();
		isa_cpuid(f->m, 0x12, 0, &regs);
		assert_memory_equal(&regs, &want, sizeof(regs));
		isa_fixture_destroy(f);
	}
	(void)state;
}

/* Addresses and sizes beyond 4 GiB take two registers each. */
static void cpuid_splits_large_sections(void **state)
{
	const struct isa_section section = { .pa = 0xabcd123450000, .nr_pages = 0xfffff };
	struct isa_fixture *f = isa_fixture_create(NULL);
	const struct isa_machine whole = *f->m;
	struct isa_cpuid regs;

	f->m->sections = (struct isa_section *)(uintptr_t)&section;
	f->m->config.nr_sections = 1;
	isa_cpuid(f->m, 0x12, 2, &regs);
	f->m->sections = whole.sections;
	f->m->config.nr_sections = whole.config.nr_sections;
	assert_int_equal(regs.eax, 0x23450001);
	assert_int_equal(regs.ebx, 0xabcd1);
	assert_int_equal(regs.ecx, 0xfffff001);
	assert_int_equal(regs.edx, 0);
	isa_fixture_destroy(f);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(are_found_by_name_and_number),
		cmocka_unit_test(are_possible_parts),
		cmocka_unit_test(the_default_can_do_what_any_can),
		cmocka_unit_test(leaves_of_announced_gates_only_are_reached),
		cmocka_unit_test(cpuid_answers_by_the_table),
		cmocka_unit_test(cpuid_announces_the_leaves_that_there_are),
		cmocka_unit_test(cpuid_splits_large_sections),
	};

	return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
