/* SPDX-License-Identifier: BSD-3-Clause */
/* The MSRs of SGX: who may read and write what, when. */
#include "fixture.h"

#include "internal.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define LOCK FEATURE_CONTROL_LOCK
#define LC FEATURE_CONTROL_SGX_LC_ENABLE
#define ENABLE FEATURE_CONTROL_SGX_ENABLE

enum { LC_PART, SGX1_PART };
static const char *const parts[] = { [LC_PART] = "newest", [SGX1_PART] = "sgx1-client" };

struct write {
	const char *what;
	int part;
	uint64_t feature_control;	/* before */
	uint32_t msr;
	uint64_t value;
	bool faults;
};

static const struct write writes[] = {
	{ "opt in", LC_PART, 0, 0x3a, LOCK | LC | ENABLE, false },
	{ "opt in without launch control", LC_PART, 0, 0x3a, LOCK | ENABLE, false },
	{ "unlocked, twice", LC_PART, ENABLE, 0x3a, LOCK, false },
	{ "bits of VMX, SENTER and LMCE", LC_PART, 0, 0x3a, 0x10ff06, false },
	{ "locked", LC_PART, LOCK | ENABLE, 0x3a, LOCK | ENABLE, true },
	{ "reserved bit", LC_PART, 0, 0x3a, 1ull << 19, true },
	{ "launch control on a part without it", SGX1_PART, 0, 0x3a, LC, true },
	{ "SGX on a part without launch control", SGX1_PART, 0, 0x3a, LOCK | ENABLE, false },
	{ "hash, launch control enabled", LC_PART, LOCK | LC | ENABLE, 0x8c, 5, false },
	{ "last hash word", LC_PART, LOCK | LC | ENABLE, 0x8f, 5, false },
	{ "hash, before the lock", LC_PART, 0, 0x8d, 5, false },
	{ "hash, locked to a signer", LC_PART, LOCK | ENABLE, 0x8e, 5, true },
	{ "hash, part without launch control", SGX1_PART, LOCK | ENABLE, 0x8c, 5, true },
	{ "owner epoch before the lock", LC_PART, 0, 0x300, 5, false },
	{ "owner epoch after the lock", LC_PART, LOCK | ENABLE, 0x301, 5, false },
	{ "SVN status", LC_PART, 0, 0x500, 1, true },
	{ "activation", LC_PART, 0, 0x7a, 1, true },
	{ "beside the hashes", LC_PART, LOCK | LC | ENABLE, 0x90, 5, true },
	{ "no MSR of SGX", LC_PART, 0, 0x10, 5, true },
};

static void writes_by_the_table(void **state)
{
	for (size_t i = 0; i < COUNT(writes); i++) {
		const struct write *w = &writes[i];
		struct isa_fixture *f = isa_fixture_create(parts[w->part]);
		uint64_t now = 0, before = 0;
		bool readable;

		f->os.feature_control = w->feature_control;
		readable = isa_is_done(isa_rdmsr(&f->os, w->msr, &before));
		if (isa_is_done(isa_wrmsr(&f->os, w->msr, w->value)) == w->faults)
			fail_msg("%s: %s", w->what, w->faults ? "no fault" : "fault");
		if (readable) {
			assert_done(isa_rdmsr(&f->os, w->msr, &now));
			assert_int_equal(now, w->faults ? before : w->value);
		}
		isa_fixture_destroy(f);
	}
	(void)state;
}

struct reading {
	int part;
	uint32_t msr;
	bool faults;
	uint64_t value;			/* after isa_lp_init() */
};

static const struct reading readings[] = {
	{ LC_PART, 0x3a, false, LOCK | LC | ENABLE },
	{ SGX1_PART, 0x3a, false, LOCK | ENABLE },
	{ LC_PART, 0x8c, false, 0xa6053e051270b7ac },
	{ LC_PART, 0x8d, false, 0x6cfbe8ba8b3b413d },
	{ LC_PART, 0x8e, false, 0xc4916d99f2b3735d },
	{ LC_PART, 0x8f, false, 0xd4f8c05909f9bb3b },
	{ SGX1_PART, 0x8c, true, 0 },
	{ LC_PART, 0x300, true, 0 },
	{ LC_PART, 0x301, true, 0 },
	{ LC_PART, 0x500, false, 0 },
	{ LC_PART, 0x7a, false, 1 },
	{ LC_PART, 0x8b, true, 0 },
	{ LC_PART, 0x10, true, 0 },
};

static void reads_by_the_table(void **state)
{
	for (size_t i = 0; i < COUNT(readings); i++) {
		struct isa_fixture *f = isa_fixture_create(parts[readings[i].part]);
		uint64_t value = 0;

		assert_int_equal(isa_is_done(isa_rdmsr(&f->os, readings[i].msr, &value)),
				 !readings[i].faults);
		assert_int_equal(value, readings[i].value);
		isa_fixture_destroy(f);
	}
	(void)state;
}

static void reset_disables_and_unlocks(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	uint64_t value;

	assert_done(isa_wrmsr(&f->os, MSR_SGXLEPUBKEYHASH0, 5));
	isa_msr_reset(&f->os);
	assert_done(isa_rdmsr(&f->os, MSR_FEATURE_CONTROL, &value));
	assert_int_equal(value, 0);
	assert_done(isa_rdmsr(&f->os, MSR_SGXLEPUBKEYHASH0, &value));
	assert_int_equal(value, 0xa6053e051270b7ac);
	isa_fixture_destroy(f);
	(void)state;
}

static void first_leaf_that_succeeds_locks_the_svn(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	uint64_t value;

	f->os.rcx = 1;
	assert_gp(isa_encls(&f->os, ISA_ENCLS_EREMOVE));
	assert_done(isa_rdmsr(&f->os, MSR_SGX_SVN_STATUS, &value));
	assert_int_equal(value, 0);
	assert_done(isa_fixture_eremove(f, FIXTURE_FREE));
	assert_done(isa_rdmsr(&f->os, MSR_SGX_SVN_STATUS, &value));
	assert_int_equal(value, SGX_SVN_STATUS_LOCK);
	/* The package's, so another processor sees it too. */
	assert_done(isa_rdmsr(&f->encl, MSR_SGX_SVN_STATUS, &value));
	assert_int_equal(value, SGX_SVN_STATUS_LOCK);
	isa_fixture_destroy(f);
	(void)state;
}

static void seal_key(struct isa_fixture *f, uint8_t key[16])
{
	struct sgx_keyrequest *req = isa_fixture_contents(f, FIXTURE_RW);

	memset(req, 0, sizeof(*req));
	req->keyname = KEY_SEAL;
	f->encl.rbx = FIXTURE_BASE + 0x2000;
	f->encl.rcx = FIXTURE_BASE + 0x2000 + sizeof(*req);
	assert_done(isa_enclu(&f->encl, ISA_ENCLU_EGETKEY));
	memcpy(key, req + 1, 16);
}

/* The owner's epoch enters seal keys; firmware sets it, software no more. */
static void owner_epoch_changes_keys_until_the_lock(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	uint8_t first[16], second[16], third[16];

	isa_fixture_start(f, NULL, 0);
	seal_key(f, first);
	f->os.feature_control = 0;
	assert_done(isa_wrmsr(&f->os, MSR_SGXOWNEREPOCH1, 0x1234));
	seal_key(f, second);
	assert_memory_not_equal(first, second, 16);
	f->os.feature_control = LOCK;
	assert_done(isa_wrmsr(&f->os, MSR_SGXOWNEREPOCH1, 0x5678));
	seal_key(f, third);
	assert_memory_equal(second, third, 16);
	isa_fixture_destroy(f);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_by_the_table),
		cmocka_unit_test(reads_by_the_table),
		cmocka_unit_test(reset_disables_and_unlocks),
		cmocka_unit_test(first_leaf_that_succeeds_locks_the_svn),
		cmocka_unit_test(owner_epoch_changes_keys_until_the_lock),
	};

	return cmocka_run_group_tests_name("msr", tests, NULL, NULL);
}
