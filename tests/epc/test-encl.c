/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Host enclaves: what building records, and that every way a step can fail
 * leaves the enclave usable or releasable and the counters right.
 */
#include "fake.h"

#include <errno.h>
#include <string.h>

#define BASE 0x7f0000000000ull
#define SIZE (1ull << 40)

static const _Alignas(4096) struct sgx_secs secs_source = { .size = SIZE, .baseaddr = BASE };
static const _Alignas(4096) uint8_t page_source[4096];
static const _Alignas(4096) struct sgx_sigstruct sigstruct;
static const struct sgx_encl_config encl_config = {
	.owner = { .encl_id = 5, .client = "a client", .pid = 7 },
	.cookie = (void *)&encl_config,
};
static const uint64_t hash[4] = { 11, 12, 13, 14 };

static const struct sgx_secinfo reg_rw = { .flags = SECINFO_R | SECINFO_W | SECINFO_PT(PT_REG) };
static const struct sgx_secinfo reg_rx = { .flags = SECINFO_R | SECINFO_X | SECINFO_PT(PT_REG) };
static const struct sgx_secinfo tcs = { .flags = SECINFO_PT(PT_TCS) };

static struct sgx_encl *start(struct fake *f)
{
	struct sgx_encl *encl = NULL;

	fake_start(f, small_sections, 3, true);
	assert_int_equal(sgx_encl_create(f->pool, &encl_config, &encl), 0);
	assert_counts(f, SMALL_PAGES, 0, 0, 0);
	return encl;
}

static struct sgx_encl *start_created(struct fake *f)
{
	struct sgx_encl *encl = start(f);

	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	assert_counts(f, SMALL_PAGES - 1, 1, 0, 0);
	return encl;
}

static int add(struct fake *f, struct sgx_encl *encl, uint64_t offset, bool measure)
{
	const int err = sgx_encl_add_page(encl, offset, page_source, &reg_rw, measure);

	assert_adds_up(f);
	return err;
}

/* Everything back in the pool, nothing valid left anywhere. */
static void finish_clean(struct fake *f, struct sgx_encl *encl)
{
	size_t i;

	sgx_encl_release(encl);
	assert_counts(f, SMALL_PAGES, 0, 0, 0);
	for (i = 0; i < f->nr_pages; i++)
		assert_false(f->pages[i].valid || f->pages[i].placed);
	assert_pool_clean(f);
	assert_int_equal(f->log->nr, 0);
	fake_finish(f);
}

static void f72_f75_f77_builds_and_releases_an_enclave(void **state)
{
	struct isa_outcome out = { .kind = ISA_FAULT };
	struct sgx_encl *encl;
	struct fake f;

	encl = start(&f);
	assert_true(sgx_encl_secs_pa(encl) == ISA_NO_FRAME);
	assert_int_equal(sgx_encl_nr_pages(encl), 0);
	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	assert_counts(&f, SMALL_PAGES - 1, 1, 0, 0);
	assert_int_equal(fake_page_at(&f, sgx_encl_secs_pa(encl))->pt, PT_SECS);
	assert_int_equal(add(&f, encl, 0, true), 0);
	assert_int_equal(f.script[FAKE_EEXTEND].nr_calls, 16);
	assert_int_equal(add(&f, encl, 0x5000, false), 0);
	assert_int_equal(f.script[FAKE_EEXTEND].nr_calls, 16);
	assert_int_equal(sgx_encl_nr_pages(encl), 3);
	assert_counts(&f, SMALL_PAGES - 3, 3, 0, 0);
	assert_int_equal(sgx_encl_einit(encl, &sigstruct, hash, &out), 0);
	assert_true(isa_is_done(out));
	assert_int_equal(f.einit_token_sum, 0);
	assert_int_equal(f.einit_hash0, hash[0]);
	assert_int_equal(f.nr_places, 2);
	assert_ptr_equal(f.place_cookie, encl_config.cookie);
	finish_clean(&f, encl);
}

static void f17_records_page_type_and_mapping_limit(void **state)
{
	struct sgx_encl_page_info info;
	struct sgx_encl *encl;
	struct fake f;

	encl = start_created(&f);
	assert_int_equal(sgx_encl_add_page(encl, 0x1000, page_source, &reg_rw, false), 0);
	assert_int_equal(sgx_encl_add_page(encl, 0x2000, page_source, &reg_rx, false), 0);
	assert_int_equal(sgx_encl_add_page(encl, 0x3000, page_source, &tcs, false), 0);

	assert_true(sgx_encl_page_at(encl, 0x1000, &info));
	assert_int_equal(info.type, PT_REG);
	assert_int_equal(info.vm_max_prot, SECINFO_R | SECINFO_W);
	assert_int_equal(fake_page_at(&f, info.pa)->la, BASE + 0x1000);
	assert_true(sgx_encl_page_at(encl, 0x2000, &info));
	assert_int_equal(info.vm_max_prot, SECINFO_R | SECINFO_X);
	assert_true(sgx_encl_page_at(encl, 0x3000, &info));
	assert_int_equal(info.type, PT_TCS);
	assert_int_equal(info.vm_max_prot, SECINFO_R | SECINFO_W);
	assert_false(sgx_encl_page_at(encl, 0, &info));
	assert_false(sgx_encl_page_at(encl, 0x4000, &info));
	assert_false(sgx_encl_page_at(encl, UINT64_MAX, &info));
	finish_clean(&f, encl);
}

static void keeps_pages_that_lie_far_apart(void **state)
{
	static const uint64_t offsets[] = {
		0x1000, 511 * 4096ull, 512 * 4096ull, 1ull << 30, SIZE - 4096, 0, 1ull << 39,
	};
	struct sgx_encl_page_info info;
	struct sgx_encl *encl;
	struct fake f;
	size_t i;

	encl = start_created(&f);
	for (i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		assert_false(sgx_encl_page_at(encl, offsets[i], &info));
		assert_int_equal(add(&f, encl, offsets[i], false), 0);
	}
	for (i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		assert_true(sgx_encl_page_at(encl, offsets[i], &info));
		assert_int_equal(fake_page_at(&f, info.pa)->la, BASE + offsets[i]);
		assert_false(sgx_encl_page_at(encl, offsets[i] ^ 0x8000, &info));
	}
	finish_clean(&f, encl);
}

static void refuses_what_comes_out_of_order(void **state)
{
	struct isa_outcome out = { .kind = ISA_FAULT };
	struct sgx_encl *encl;
	struct fake f;

	encl = start(&f);
	assert_int_equal(add(&f, encl, 0, false), -EINVAL);
	assert_int_equal(sgx_encl_einit(encl, &sigstruct, hash, &out), -EINVAL);
	assert_true(isa_is_done(out));
	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), -EINVAL);
	assert_int_equal(f.script[FAKE_ECREATE].nr_calls, 1);
	assert_int_equal(add(&f, encl, 0x10, false), -EINVAL);
	assert_int_equal(add(&f, encl, SIZE, false), -EINVAL);
	assert_int_equal(add(&f, encl, 0x1000, false), 0);
	assert_int_equal(add(&f, encl, 0x1000, false), -EBUSY);
	assert_int_equal(f.script[FAKE_EADD].nr_calls, 1);
	assert_int_equal(sgx_encl_nr_pages(encl), 2);
	finish_clean(&f, encl);
}

static void f15_retries_after_failed_ecreate(void **state)
{
	struct sgx_encl *encl;
	struct fake f;

	encl = start(&f);
	fake_fail(&f, FAKE_ECREATE, 1, 1, fake_fault(X86_GP));
	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), -EIO);
	assert_int_equal(f.script[FAKE_EREMOVE].nr_calls, 1);
	assert_counts(&f, SMALL_PAGES, 0, 0, 0);
	assert_true(sgx_encl_secs_pa(encl) == ISA_NO_FRAME);
	assert_int_equal(sgx_encl_nr_pages(encl), 0);
	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	finish_clean(&f, encl);
}

static void f16_retries_after_failed_eadd(void **state)
{
	struct sgx_encl_page_info info;
	struct sgx_encl *encl;
	struct fake f;

	encl = start_created(&f);
	fake_fail(&f, FAKE_EADD, 1, 1, fake_fault(X86_PF));
	assert_int_equal(add(&f, encl, 0x1000, true), -EIO);
	assert_int_equal(f.script[FAKE_EREMOVE].nr_calls, 1);
	assert_int_equal(f.script[FAKE_EEXTEND].nr_calls, 0);
	assert_counts(&f, SMALL_PAGES - 1, 1, 0, 0);
	assert_false(sgx_encl_page_at(encl, 0x1000, &info));
	assert_int_equal(sgx_encl_nr_pages(encl), 1);
	assert_int_equal(add(&f, encl, 0x1000, true), 0);
	finish_clean(&f, encl);
}

static void faults_are_held_to_the_mapping_limit(void **state)
{
	struct isa_outcome out;
	struct sgx_encl_page_info info;
	struct sgx_encl *encl;
	struct fake f;

	encl = start_created(&f);
	assert_int_equal(sgx_encl_add_page(encl, 0x1000, page_source, &reg_rx, false), 0);
	assert_int_equal(sgx_encl_einit(encl, &sigstruct, hash, &out), 0);
	assert_int_equal(sgx_encl_fault(encl, 0x1000, SECINFO_R | SECINFO_X, NULL, &info), 0);
	assert_int_equal(sgx_encl_fault(encl, 0x1000, SECINFO_W, NULL, &info), -EACCES);
	assert_int_equal(sgx_encl_fault(encl, SIZE, SECINFO_R, NULL, &info), -EFAULT);
	finish_clean(&f, encl);
}

static void without_sgx2_pages_stay_as_they_are(void **state)
{
	struct sgx_encl_page_info info;
	struct isa_outcome out;
	struct sgx_encl *encl;
	struct fake f;

	fake_init(&f, small_sections, 3, true);
	f.config.ops.eaug = NULL;
	f.config.ops.emodpr = NULL;
	f.config.ops.emodt = NULL;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	assert_int_equal(sgx_encl_create(f.pool, &encl_config, &encl), 0);
	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	assert_int_equal(add(&f, encl, 0x1000, false), 0);
	assert_int_equal(sgx_encl_einit(encl, &sigstruct, hash, &out), 0);
	assert_int_equal(sgx_encl_restrict_page(encl, 0x1000, SECINFO_R, &out), -ENODEV);
	assert_int_equal(sgx_encl_modify_page(encl, 0x1000, PT_TRIM, &out), -ENODEV);
	assert_int_equal(sgx_encl_remove_page(encl, 0x1000), -ENODEV);
	assert_int_equal(sgx_encl_fault(encl, 0x2000, SECINFO_R, NULL, &info), -EFAULT);
	finish_clean(&f, encl);
}

static void l2_keeps_page_whose_eextend_failed_for_release(void **state)
{
	struct sgx_encl_page_info info;
	struct sgx_encl *encl;
	unsigned int nth;
	struct fake f;

	for (nth = 1; nth <= 16; nth += 5) {
		encl = start_created(&f);
		fake_fail(&f, FAKE_EEXTEND, nth, 1, fake_fault(X86_GP));
		assert_int_equal(add(&f, encl, 0x1000, true), -EIO);
		assert_int_equal(f.script[FAKE_EEXTEND].nr_calls, nth);
		assert_true(sgx_encl_page_at(encl, 0x1000, &info));
		assert_int_equal(sgx_encl_nr_pages(encl), 2);
		assert_counts(&f, SMALL_PAGES - 2, 2, 0, 0);
		assert_int_equal(add(&f, encl, 0x1000, true), -EBUSY);
		/* Linux forgets the child here, and so leaks the SECS. */
		finish_clean(&f, encl);
	}
}

static void gives_the_page_back_when_it_cannot_be_placed(void **state)
{
	struct sgx_encl *encl;
	struct fake f;

	encl = start_created(&f);
	f.place_result = -ENOMEM;
	assert_int_equal(add(&f, encl, 0x1000, false), -ENOMEM);
	assert_int_equal(f.script[FAKE_EADD].nr_calls, 0);
	assert_counts(&f, SMALL_PAGES - 1, 1, 0, 0);
	f.place_result = 0;
	assert_int_equal(add(&f, encl, 0x1000, false), 0);
	finish_clean(&f, encl);
}

static void works_without_a_placer(void **state)
{
	struct sgx_encl *encl;
	struct fake f;

	fake_init(&f, small_sections, 3, true);
	f.config.mm.place = NULL;
	assert_int_equal(sgx_epc_pool_create(&f.config, &f.pool), 0);
	assert_int_equal(sgx_encl_create(f.pool, &encl_config, &encl), 0);
	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), 0);
	assert_int_equal(add(&f, encl, 0x1000, true), 0);
	finish_clean(&f, encl);
}

static void maps_einit_outcomes_to_errno(void **state)
{
	struct isa_outcome out;
	struct sgx_encl *encl;
	struct fake f;
	size_t i;

	encl = start_created(&f);
	for (i = 0; i < fake_nr_failures; i++) {
		const bool fault = fake_failures[i].kind == ISA_FAULT;

		fake_fail(&f, FAKE_EINIT, 1, 1000, fake_failures[i]);
		assert_int_equal(sgx_encl_einit(encl, &sigstruct, hash, &out),
				 fault ? -EIO : -EPERM);
		assert_same_outcome(out, fake_failures[i]);
		assert_counts(&f, SMALL_PAGES - 1, 1, 0, 0);
	}
	finish_clean(&f, encl);
}

static void f18_tries_einit_again_after_an_interrupt(void **state)
{
	struct isa_outcome out;
	struct sgx_encl *encl;
	struct fake f;

	encl = start_created(&f);
	fake_fail(&f, FAKE_EINIT, 1, 1, fake_error(SGX_INVALID_SIGNATURE));
	assert_int_equal(sgx_encl_einit(encl, &sigstruct, hash, &out), -EPERM);
	assert_int_equal(f.script[FAKE_EINIT].nr_calls, 1);
	fake_fail(&f, FAKE_EINIT, 1, 19, fake_error(SGX_UNMASKED_EVENT));
	assert_int_equal(sgx_encl_einit(encl, &sigstruct, hash, &out), 0);
	assert_int_equal(f.script[FAKE_EINIT].nr_calls, 21);
	/* An enclave is initialized once. */
	assert_int_equal(sgx_encl_einit(encl, &sigstruct, hash, &out), -EINVAL);
	assert_int_equal(f.script[FAKE_EINIT].nr_calls, 21);
	finish_clean(&f, encl);
}

static void says_enomem_when_epc_is_exhausted(void **state)
{
	struct sgx_encl *encl, *other;
	uint64_t offset = 0;
	struct fake f;

	encl = start_created(&f);
	while (!add(&f, encl, offset, false))
		offset += 4096;
	assert_int_equal(add(&f, encl, offset, false), -ENOMEM);
	assert_int_equal(sgx_encl_nr_pages(encl), SMALL_PAGES);
	assert_counts(&f, 0, SMALL_PAGES, 0, 0);

	assert_int_equal(sgx_encl_create(f.pool, &encl_config, &other), 0);
	assert_int_equal(sgx_encl_ecreate(other, &secs_source), -ENOMEM);
	assert_int_equal(sgx_encl_ecreate(encl, &secs_source), -EINVAL);
	sgx_encl_release(other);
	finish_clean(&f, encl);
}

/* One enclave's life.  Return: the first error; the enclave is gone in any case. */
static int live(struct fake *f)
{
	struct sgx_encl *encl = NULL;
	int err;

	err = sgx_encl_create(f->pool, &encl_config, &encl);
	assert_adds_up(f);
	if (!err)
		err = sgx_encl_ecreate(encl, &secs_source);
	assert_adds_up(f);
	if (!err)
		err = add(f, encl, 0x1000, true);
	if (!err)
		err = add(f, encl, 1ull << 30, true);
	if (!err)
		err = add(f, encl, SIZE - 4096, false);
	sgx_encl_release(encl);
	assert_counts(f, SMALL_PAGES, 0, 0, 0);
	return err;
}

static void survives_each_failed_allocation(void **state)
{
	size_t n;
	int err;

	for (n = 1;; n++) {
		struct fake f;

		fake_start(&f, small_sections, 3, true);
		f.fail_alloc = f.nr_allocs + n;
		err = live(&f);
		assert_int_equal(err, f.nr_allocs >= f.fail_alloc ? -ENOMEM : 0);
		assert_pool_clean(&f);
		fake_finish(&f);
		if (!err)
			break;
	}
	/* The enclave, and the levels of three leaves that share only the root. */
	assert_true(n > 8);
}

static void goes_on_in_an_enclave_after_a_failed_allocation(void **state)
{
	size_t n = 0;
	struct fake f;
	struct sgx_encl *encl = start_created(&f);
	int err;

	do {
		f.fail_alloc = f.nr_allocs + ++n;
		err = add(&f, encl, SIZE - 4096, true);
	} while (err == -ENOMEM);
	f.fail_alloc = 0;
	assert_int_equal(err, 0);
	assert_true(n > 1);
	assert_int_equal(add(&f, encl, 0, true), 0);
	assert_int_equal(sgx_encl_nr_pages(encl), 3);
	finish_clean(&f, encl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f72_f75_f77_builds_and_releases_an_enclave),
		cmocka_unit_test(f17_records_page_type_and_mapping_limit),
		cmocka_unit_test(keeps_pages_that_lie_far_apart),
		cmocka_unit_test(refuses_what_comes_out_of_order),
		cmocka_unit_test(f15_retries_after_failed_ecreate),
		cmocka_unit_test(f16_retries_after_failed_eadd),
		cmocka_unit_test(faults_are_held_to_the_mapping_limit),
		cmocka_unit_test(without_sgx2_pages_stay_as_they_are),
		cmocka_unit_test(l2_keeps_page_whose_eextend_failed_for_release),
		cmocka_unit_test(gives_the_page_back_when_it_cannot_be_placed),
		cmocka_unit_test(works_without_a_placer),
		cmocka_unit_test(maps_einit_outcomes_to_errno),
		cmocka_unit_test(f18_tries_einit_again_after_an_interrupt),
		cmocka_unit_test(says_enomem_when_epc_is_exhausted),
		cmocka_unit_test(survives_each_failed_allocation),
		cmocka_unit_test(goes_on_in_an_enclave_after_a_failed_allocation),
	};

	return cmocka_run_group_tests_name("encl", tests, NULL, NULL);
}
