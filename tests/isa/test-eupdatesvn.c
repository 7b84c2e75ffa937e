/* SPDX-License-Identifier: BSD-3-Clause */
/* EUPDATESVN: when it may, what it adopts, and what changes with it. */
#include "fixture.h"

#include "internal.h"

#define RW_LA (FIXTURE_BASE + 0x2000)

static const uint8_t newer[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static int setup(void **state)
{
	*state = isa_fixture_create(NULL);
	return 0;
}

static struct isa_outcome update(struct isa_fixture *f)
{
	return isa_encls(&f->os, ISA_ENCLS_EUPDATESVN);
}

static void assert_no_update(struct isa_outcome out)
{
	assert_int_equal(out.kind, ISA_INFO);
	assert_int_equal(out.code, SGX_NO_UPDATE);
}

static void adopts_a_newer_version_once(void **state)
{
	struct isa_fixture *f = *state;
	uint8_t cpusvn[16];

	assert_no_update(update(f));
	isa_microcode_load(f->m, newer);
	isa_cpusvn(f->m, cpusvn);
	assert_memory_equal(cpusvn, isa_profile_at(0)->cpusvn, 16);
	assert_done(update(f));
	isa_cpusvn(f->m, cpusvn);
	assert_memory_equal(cpusvn, newer, 16);
	assert_no_update(update(f));
}

static void ignores_older_microcode(void **state)
{
	static const uint8_t older[16] = { 1 };
	struct isa_fixture *f = *state;
	uint8_t cpusvn[16];

	isa_microcode_load(f->m, older);
	assert_no_update(update(f));
	isa_cpusvn(f->m, cpusvn);
	assert_memory_equal(cpusvn, isa_profile_at(0)->cpusvn, 16);
}

static void needs_an_unused_epc(void **state)
{
	static const uint64_t frames[] = { 0, FIXTURE_SECTION_PAGES, FIXTURE_NR_FRAMES - 1 };
	struct isa_fixture *f = *state;

	isa_microcode_load(f->m, newer);
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		f->os.rbx = PT_VA;
		f->os.rcx = isa_fixture_la(f, frames[i]);
		assert_done(isa_encls(&f->os, ISA_ENCLS_EPA));
		assert_error(update(f), SGX_EPC_NOT_READY);
		/* It holds nothing afterwards. */
		assert_done(isa_fixture_eremove(f, frames[i]));
	}
	assert_done(update(f));
}

static void loses_against_any_other_leaf(void **state)
{
	struct isa_fixture *f = *state;

	isa_microcode_load(f->m, newer);
	assert_true(isa_epcm_try_shared(&f->m->epcm[FIXTURE_FREE]));
	assert_error(update(f), SGX_EPC_PAGE_CONFLICT);
	isa_epcm_release_shared(&f->m->epcm[FIXTURE_FREE]);
	assert_done(update(f));
	assert_done(isa_fixture_eremove(f, FIXTURE_FREE));
}

static bool no_entropy(void *ctx, const struct isa_lp *lp, enum isa_class class, uint32_t leaf,
		       struct isa_outcome *out)
{
	(void)ctx;
	(void)lp;
	*out = isa_zf(SGX_INSUFFICIENT_ENTROPY);
	return class == ISA_ENCLS && leaf == ISA_ENCLS_EUPDATESVN;
}

/* Only on demand: the machine draws from boot_random. */
static void entropy_lacks_when_injected(void **state)
{
	struct isa_fixture *f = *state;

	isa_microcode_load(f->m, newer);
	f->m->config.intercept = no_entropy;
	assert_error(update(f), SGX_INSUFFICIENT_ENTROPY);
	f->m->config.intercept = NULL;
	assert_done(update(f));
}

static struct isa_outcome seal_key(struct isa_fixture *f, const uint8_t cpusvn[16], uint8_t key[16])
{
	struct sgx_keyrequest *req = isa_fixture_contents(f, FIXTURE_RW);
	struct isa_outcome out;

	memset(req, 0, sizeof(*req));
	req->keyname = KEY_SEAL;
	memcpy(req->cpusvn, cpusvn, sizeof(req->cpusvn));
	f->encl.rbx = RW_LA;
	f->encl.rcx = RW_LA + sizeof(*req);
	out = isa_enclu(&f->encl, ISA_ENCLU_EGETKEY);
	memcpy(key, req + 1, 16);
	return out;
}

static void remove_all(struct isa_fixture *f)
{
	for (uint64_t i = FIXTURE_FREE; i-- > 0;)
		assert_done(isa_fixture_eremove(f, i));
}

/* Keys follow the version; those of the older one stay what they were. */
static void keys_follow(void **state)
{
	struct isa_fixture *f = *state;
	uint8_t before[16], after[16], current[16];
	const uint8_t *old = isa_profile_at(0)->cpusvn;

	isa_fixture_start(f, NULL, 0);
	assert_done(seal_key(f, old, before));
	assert_error(seal_key(f, newer, current), SGX_INVALID_CPUSVN);
	remove_all(f);
	isa_microcode_load(f->m, newer);
	assert_done(update(f));
	isa_fixture_start(f, NULL, 0);
	assert_done(seal_key(f, newer, current));
	assert_memory_not_equal(current, before, 16);
	assert_done(seal_key(f, old, after));
	assert_memory_equal(after, before, 16);
}

/* The processor's own keys are renewed even when there is no newer version. */
static void its_own_keys_are_renewed(void **state)
{
	struct isa_fixture *f = *state;
	uint8_t keyid[32], report2[32];

	memcpy(keyid, f->m->report_keyid, sizeof(keyid));
	memcpy(report2, f->m->report2_key, sizeof(report2));
	assert_no_update(update(f));
	assert_memory_not_equal(f->m->report_keyid, keyid, sizeof(keyid));
	assert_memory_not_equal(f->m->report2_key, report2, sizeof(report2));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, isa_fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(adopts_a_newer_version_once),
		CASE(ignores_older_microcode),
		CASE(needs_an_unused_epc),
		CASE(loses_against_any_other_leaf),
		CASE(entropy_lacks_when_injected),
		CASE(keys_follow),
		CASE(its_own_keys_are_renewed),
	};

	return cmocka_run_group_tests_name("EUPDATESVN", tests, NULL, NULL);
}
