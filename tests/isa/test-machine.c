/* SPDX-License-Identifier: BSD-3-Clause */
/* A machine's configuration: sections, frames, and what is refused. */
#include <errno.h>

#include "fixture.h"

static void *no_page(void *ctx, uint64_t frame)
{
	(void)ctx;
	(void)frame;
	return NULL;
}

static int create(const struct isa_section *sections, size_t nr_sections)
{
	const struct isa_config config = {
		.profile = isa_profile_at(0),
		.sections = sections,
		.nr_sections = nr_sections,
		.xcr0 = 3,
		.epc_page = no_page,
	};
	struct isa_machine *m = NULL;
	int ret = isa_machine_create(&config, &m);

	assert_int_equal(ret != 0, m == NULL);
	isa_machine_destroy(m);
	return ret;
}

static void numbers_frames_through_the_sections(void **state)
{
	struct isa_fixture *f = *state;

	assert_int_equal(isa_machine_nr_frames(f->m), FIXTURE_NR_FRAMES);
	assert_ptr_equal(isa_machine_profile(f->m), isa_profile_at(0));
	for (uint64_t i = 0; i < FIXTURE_NR_FRAMES; i++) {
		const uint64_t pa = isa_fixture_la(f, i);

		assert_true(isa_machine_pa(f->m, i) == pa);
		assert_true(isa_machine_frame(f->m, pa) == i);
		assert_true(isa_machine_frame(f->m, pa + 4095) == i);
	}
}

static void knows_what_is_no_epc(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t end = FIXTURE_PA0 + FIXTURE_SECTION_PAGES * SGX_PAGE_SIZE;
	const uint64_t outside[] = { 0, FIXTURE_PA0 - 1, end, FIXTURE_PA1 - 1, UINT64_MAX };

	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		assert_true(isa_machine_frame(f->m, outside[i]) == ISA_NO_FRAME);
}

static void starts_with_an_unused_epc(void **state)
{
	struct isa_fixture *f = *state;

	for (uint64_t i = 0; i < FIXTURE_NR_FRAMES; i++)
		assert_false(isa_epcm_peek(f->m, i).valid);
}

static void refuses_impossible_sections(void **state)
{
	const struct isa_section unaligned[] = { { .pa = 0x1800, .nr_pages = 1 } };
	const struct isa_section empty[] = { { .pa = 0x1000, .nr_pages = 0 } };
	const struct isa_section wraps[] = { { .pa = 0 - 0x2000ull, .nr_pages = 3 } };
	const struct isa_section huge[] = { { .pa = 0, .nr_pages = 1ull << 32 } };
	const struct isa_section overlap[] = {
		{ .pa = 0x4000, .nr_pages = 2 }, { .pa = 0x3000, .nr_pages = 2 },
	};
	const struct isa_section inside[] = {
		{ .pa = 0x1000, .nr_pages = 9 }, { .pa = 0x3000, .nr_pages = 2 },
	};
	const struct isa_section adjacent[] = {
		{ .pa = 0x4000, .nr_pages = 2 }, { .pa = 0x2000, .nr_pages = 2 },
	};

	assert_int_equal(create(unaligned, 1), -EINVAL);
	assert_int_equal(create(empty, 1), -EINVAL);
	assert_int_equal(create(wraps, 1), -EINVAL);
	assert_int_equal(create(huge, 1), -EINVAL);
	assert_int_equal(create(overlap, 2), -EINVAL);
	assert_int_equal(create(inside, 2), -EINVAL);
	assert_int_equal(create(adjacent, 0), -EINVAL);
	assert_int_equal(create(NULL, 1), -EINVAL);
	assert_int_equal(create(adjacent, 2), 0);
	(void)state;
}

static void refuses_incomplete_configurations(void **state)
{
	const struct isa_section section = { .pa = 0x1000, .nr_pages = 1 };
	const struct isa_config good = {
		.profile = isa_profile_at(0),
		.sections = &section,
		.nr_sections = 1,
		.xcr0 = 3,
		.epc_page = no_page,
	};
	struct isa_config bad = good;
	struct isa_machine *m;

	bad.profile = NULL;
	assert_int_equal(isa_machine_create(&bad, &m), -EINVAL);
	bad = good;
	bad.epc_page = NULL;
	assert_int_equal(isa_machine_create(&bad, &m), -EINVAL);
	bad = good;
	bad.xcr0 = 1;
	assert_int_equal(isa_machine_create(&bad, &m), -EINVAL);
	assert_int_equal(isa_machine_create(&good, &m), 0);
	isa_machine_destroy(m);
	isa_machine_destroy(NULL);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_frames_through_the_sections),
		cmocka_unit_test(knows_what_is_no_epc),
		cmocka_unit_test(starts_with_an_unused_epc),
		cmocka_unit_test(refuses_impossible_sections),
		cmocka_unit_test(refuses_incomplete_configurations),
	};

	return cmocka_run_group_tests_name("machine", tests, isa_fixture_setup,
					   isa_fixture_teardown);
}
