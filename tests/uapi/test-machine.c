/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The same ioctls over the real machine: enclaves that are signed and measured,
 * and what its refusals look like to a program.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <nettle/sha2.h>

#include "../isa/fixture.h"
#include "fixture.h"

#define PAGE UINT64_C(4096)

struct machine {
	struct fixture *f;
	struct isa_fixture *isa;
};

/* --- the machine under the manager --------------------------------------- */

static uint64_t frame_of(struct isa_fixture *isa, uint64_t pa)
{
	return isa_machine_frame(isa->m, pa);
}

static struct isa_outcome op_ecreate(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t secs)
{
	return isa_fixture_ecreate(ctx, frame_of(ctx, secs), (void *)(uintptr_t)pageinfo->srcpge);
}

static struct isa_outcome op_eadd(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t page)
{
	const struct sgx_secinfo *secinfo = (void *)(uintptr_t)pageinfo->secinfo_or_pcmd;

	return isa_fixture_eadd(ctx, frame_of(ctx, page), frame_of(ctx, pageinfo->secs),
				pageinfo->linaddr, (void *)(uintptr_t)pageinfo->srcpge,
				secinfo->flags);
}

static struct isa_outcome op_eextend(void *ctx, uint64_t secs, uint64_t chunk)
{
	return isa_fixture_eextend(ctx, frame_of(ctx, secs), frame_of(ctx, chunk),
				   chunk & (PAGE - 1));
}

static struct isa_outcome op_einit(void *ctx, const struct sgx_sigstruct *sigstruct,
				   const struct sgx_einittoken *token, uint64_t secs,
				   const uint64_t lepubkeyhash[4])
{
	struct isa_fixture *isa = ctx;

	isa_wrmsr_lepubkeyhash(&isa->os, lepubkeyhash);
	return isa_fixture_einit(isa, frame_of(isa, secs), sigstruct, token);
}

static struct isa_outcome op_eremove(void *ctx, uint64_t page)
{
	return isa_fixture_eremove(ctx, frame_of(ctx, page));
}

static void sha256_of(const void *data, size_t n, uint8_t digest[32])
{
	struct sha256_ctx sha;

	sha256_init(&sha);
	sha256_update(&sha, n, data);
	sha256_digest(&sha, 32, digest);
}

static int setup(void **state)
{
	static const struct isa_section sections[] = {
		{ .pa = FIXTURE_PA0, .nr_pages = FIXTURE_SECTION_PAGES },
		{ .pa = FIXTURE_PA1, .nr_pages = FIXTURE_SECTION_PAGES },
	};
	struct machine *m = calloc(1, sizeof(*m));
	struct epc_encls_ops ops = {
		.ecreate = op_ecreate, .eadd = op_eadd, .eextend = op_eextend,
		.einit = op_einit, .eremove = op_eremove,
	};

	assert_non_null(m);
	m->isa = isa_fixture_create(NULL);
	m->f = fixture_create();
	m->f->profile = *isa_machine_profile(m->isa->m);
	m->f->sha256 = sha256_of;
	ops.ctx = m->isa;
	fixture_power_on(m->f, sections, 2, &ops);
	fixture_open(m->f);
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct machine *m = *state;

	fixture_close(m->f);
	for (uint64_t frame = 0; frame < FIXTURE_NR_FRAMES; frame++)
		assert_false(isa_epcm_peek(m->isa->m, frame).valid);
	fixture_destroy(m->f);
	isa_fixture_destroy(m->isa);
	free(m);
	return 0;
}

static void assert_machine_counters(struct machine *m)
{
	const struct sgx_epc_stat stat = sgx_epc_stat_total(m->f->pool);
	uint64_t valid = 0;

	for (uint64_t frame = 0; frame < FIXTURE_NR_FRAMES; frame++)
		valid += isa_epcm_peek(m->isa->m, frame).valid;
	assert_int_equal(stat.in_use, valid);
	assert_int_equal(stat.free + stat.cached + stat.in_use, FIXTURE_NR_FRAMES);
	assert_int_equal(sgx_encl_nr_pages(uapi_encl_encl(m->f->encl)), valid);
}

/* --- the enclave the processor's own tests use --------------------------- */

static struct sgx_secs *prepare_secs(struct machine *m)
{
	struct sgx_secs *secs = user(m->f, AT_SECS);

	isa_fixture_default_secs(secs);
	return secs;
}

static long add_frame(struct machine *m, uint64_t frame, uint64_t flags)
{
	isa_fixture_source(frame, user(m->f, AT_SOURCE));
	user_secinfo(m->f)->flags = isa_fixture_flags(frame);
	return do_add_pages(m->f, AT_SOURCE, (frame - 1) * PAGE, PAGE, flags, NULL);
}

static void build(struct machine *m)
{
	prepare_secs(m);
	assert_int_equal(do_create(m->f), 0);
	for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++)
		assert_int_equal(add_frame(m, i, SGX_PAGE_MEASURE), 0);
}

static struct sgx_sigstruct *sign(struct machine *m, unsigned int signer)
{
	isa_fixture_sigstruct(m->isa, user(m->f, AT_SECS), signer);
	memcpy(user(m->f, AT_SIGSTRUCT), &m->isa->sig, sizeof(m->isa->sig));
	return user(m->f, AT_SIGSTRUCT);
}

static void a_signed_enclave_is_initialized(void **state)
{
	struct machine *m = *state;

	/* Whoever signed: the ioctl sets the launch-key hash to the signer's. */
	for (unsigned int signer = 0; signer < 2; signer++) {
		struct isa_epcm_info info;

		build(m);
		sign(m, signer);
		assert_int_equal(do_init(m->f), 0);
		assert_machine_counters(m);

		info = isa_epcm_peek(m->isa->m, frame_of(m->isa, m->f->added_page.pa));
		assert_int_equal(info.enclaveaddress, FIXTURE_BASE + m->f->added_offset);
		assert_int_equal(info.pt, m->f->added_page.type);
		fixture_close(m->f);
		fixture_open(m->f);
	}
}

static void a_wrong_signature_is_eperm_until_it_is_right(void **state)
{
	struct machine *m = *state;

	build(m);
	sign(m, 0)->signature[7] ^= 1;
	assert_int_equal(do_init(m->f), -EPERM);
	sign(m, 0)->isvsvn++;
	assert_int_equal(do_init(m->f), -EPERM);
	sign(m, 0);
	assert_int_equal(do_init(m->f), 0);
	assert_machine_counters(m);
}

static void another_measurement_is_eperm(void **state)
{
	struct machine *m = *state;

	build(m);
	/* One page more than was signed for. */
	assert_int_equal(do_add_pages(m->f, AT_SOURCE, 8 * PAGE, PAGE, 0, NULL), 0);
	sign(m, 0);
	assert_int_equal(do_init(m->f), -EPERM);
	assert_machine_counters(m);
}

static void a_bad_secs_is_eio(void **state)
{
	struct machine *m = *state;
	struct sgx_secs *secs;

#define BAD(field, value) do {						\
		secs = prepare_secs(m);					\
		secs->field = (value);					\
		assert_int_equal(do_create(m->f), -EIO);		\
		assert_machine_counters(m);				\
	} while (0)

	BAD(size, 1);
	BAD(size, PAGE);
	BAD(size, UINT64_C(1) << 57);
	BAD(size, UINT64_C(1) << 62);
	BAD(baseaddr, FIXTURE_BASE + PAGE);
	BAD(baseaddr, UINT64_C(1) << 60);
	BAD(ssaframesize, 0);
	BAD(miscselect, UINT32_MAX);
	BAD(attributes.xfrm, 0);
	BAD(attributes.xfrm, UINT64_C(1) << 62 | 3);
	BAD(attributes.flags, ATTR_MODE64BIT | 1ull << 40);
	BAD(reserved_96[3], 1);
	BAD(reserved_262[3833], 1);
#undef BAD

	prepare_secs(m);
	assert_int_equal(do_create(m->f), 0);
}

static void a_bad_tcs_is_eio(void **state)
{
	struct machine *m = *state;
	struct sgx_tcs *tcs = user(m->f, AT_SOURCE);

	prepare_secs(m);
	assert_int_equal(do_create(m->f), 0);
	isa_fixture_source(FIXTURE_TCS, user(m->f, AT_SOURCE));
	tcs->flags = 1ull << 63;
	user_secinfo(m->f)->flags = SECINFO_PT(PT_TCS);
	assert_int_equal(do_add_pages(m->f, AT_SOURCE, 0, PAGE, 0, NULL), -EIO);
	assert_machine_counters(m);
	/* The offset is free again. */
	assert_int_equal(add_frame(m, FIXTURE_TCS, SGX_PAGE_MEASURE), 0);
	assert_machine_counters(m);
}

static void the_provisioning_key_needs_the_device(void **state)
{
	struct machine *m = *state;

	for (int provision = 0; provision < 2; provision++) {
		prepare_secs(m)->attributes.flags |= ATTR_PROVISIONKEY;
		assert_int_equal(do_create(m->f), 0);
		for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++)
			assert_int_equal(add_frame(m, i, SGX_PAGE_MEASURE), 0);
		if (provision)
			assert_int_equal(do_provision(m->f, PROVISION_FD), 0);
		sign(m, 0);
		assert_int_equal(do_init(m->f), provision ? 0 : -EACCES);
		fixture_close(m->f);
		fixture_open(m->f);
	}
}

static void enclaves_share_the_epc_and_give_it_back(void **state)
{
	struct machine *m = *state;
	struct fixture *f = m->f;
	struct uapi_encl *first = f->encl;
	uint64_t count;

	for (int round = 0; round < 3; round++) {
		build(m);
		fixture_open(f);
		prepare_secs(m)->size = UINT64_C(1) << 20;
		assert_int_equal(do_create(f), 0);
		user_secinfo(f);
		for (uint64_t at = 0; ; at += 16 * PAGE) {
			const long ret = do_add_pages(f, AT_SOURCE, at, 16 * PAGE, 0, &count);

			if (ret == 0)
				continue;
			assert_int_equal(ret, -ENOMEM);
			break;
		}
		assert_int_equal(sgx_epc_stat_total(f->pool).in_use, FIXTURE_NR_FRAMES);
		fixture_close(f);
		f->encl = first;
		assert_machine_counters(m);
		fixture_close(f);
		fixture_open(f);
		first = f->encl;
	}
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_signed_enclave_is_initialized),
		test(a_wrong_signature_is_eperm_until_it_is_right),
		test(another_measurement_is_eperm),
		test(a_bad_secs_is_eio),
		test(a_bad_tcs_is_eio),
		test(the_provisioning_key_needs_the_device),
		test(enclaves_share_the_epc_and_give_it_back),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
