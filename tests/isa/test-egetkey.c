/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLU[EGETKEY]: checks, and which inputs each key depends on. */
#include "fixture.h"

#define RW_LA (FIXTURE_BASE + 0x2000)
#define RX_LA (FIXTURE_BASE + 0x3000)
#define KEY_AT 512u

#define ALL_ATTRIBUTES \
	(ATTR_MODE64BIT | ATTR_DEBUG | ATTR_PROVISIONKEY | ATTR_EINITTOKEN_KEY | ATTR_KSS)

struct key {
	uint8_t bytes[16];
};

static struct sgx_keyrequest *request(struct isa_fixture *f)
{
	return isa_fixture_contents(f, FIXTURE_RW);
}

static struct isa_outcome egetkey(struct isa_fixture *f)
{
	f->encl.rbx = RW_LA;
	f->encl.rcx = RW_LA + KEY_AT;
	return isa_enclu(&f->encl, ISA_ENCLU_EGETKEY);
}

static struct key get(struct isa_fixture *f, const struct sgx_keyrequest *req)
{
	struct key key;

	*request(f) = *req;
	assert_done(egetkey(f));
	memcpy(key.bytes, (uint8_t *)isa_fixture_contents(f, FIXTURE_RW) + KEY_AT, 16);
	return key;
}

static struct isa_outcome try(struct isa_fixture *f, const struct sgx_keyrequest *req)
{
	*request(f) = *req;
	return egetkey(f);
}

static bool same(struct key a, struct key b)
{
	return !memcmp(a.bytes, b.bytes, sizeof(a.bytes));
}

/* An enclave with every attribute; @variant changes one part of its identity. */
enum variant { PLAIN, OTHER_SIGNER, OTHER_PRODID, OTHER_FAMILY, OTHER_EXTPROD, OTHER_CONFIGID,
	       OTHER_MRENCLAVE, OTHER_DEBUG, OTHER_MISC, NEWER_SVN, NR_VARIANTS };

/* One more measured chunk, and SIGSTRUCT expecting it. */
static void measure_once_more(struct isa_fixture *f)
{
	struct isa_measurement m;
	alignas(8) uint8_t page[SGX_PAGE_SIZE];

	isa_measurement_ecreate(&m, 1, FIXTURE_SIZE);
	for (uint64_t i = FIXTURE_TCS; i < FIXTURE_FREE; i++) {
		isa_fixture_source(i, page);
		isa_measurement_page(&m, (i - 1) * SGX_PAGE_SIZE, isa_fixture_flags(i), page);
	}
	isa_fixture_source(FIXTURE_RW, page);
	isa_measurement_eextend(&m, 0x2000, page);
	isa_measurement_final(&m, f->sig.enclavehash);
	assert_done(isa_fixture_eextend(f, FIXTURE_SECS, FIXTURE_RW, 0));
}

static void start(struct isa_fixture *f, enum variant v)
{
	const unsigned int signer = v == OTHER_SIGNER;
	struct sgx_secs secs;
	uint64_t hash[4];

	isa_fixture_default_secs(&secs);
	secs.attributes.flags = ALL_ATTRIBUTES & ~(v == OTHER_DEBUG ? ATTR_DEBUG : 0);
	secs.miscselect = v == OTHER_MISC ? MISC_EXINFO : 0;
	secs.configid[0] = v == OTHER_CONFIGID;
	secs.configsvn = 4;
	isa_fixture_build(f, &secs);
	isa_fixture_sigstruct(f, &secs, signer);
	if (v == OTHER_MRENCLAVE)
		measure_once_more(f);
	f->sig.isvprodid = v == OTHER_PRODID ? 8 : 7;
	f->sig.isvsvn = v == NEWER_SVN ? 6 : 5;
	f->sig.isvfamilyid[0] = v == OTHER_FAMILY;
	f->sig.isvextprodid[0] = v == OTHER_EXTPROD;
	isa_signer_sign(isa_signer_get(signer), &f->sig);
	isa_signer_hash(isa_signer_get(signer), hash);
	isa_wrmsr_lepubkeyhash(&f->os, hash);
	assert_done(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, NULL));
	f->encl.secs_frame = FIXTURE_SECS;
}

static int setup(void **state)
{
	isa_fixture_setup(state);
	start(*state, PLAIN);
	return 0;
}

/* --- checks -------------------------------------------------------------- */

static void faults_on_bad_operands(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_lp *lp = &f->encl;

	memset(request(f), 0, 4096);
	request(f)->keyname = KEY_REPORT;
	assert_done(egetkey(f));
	/* A good KEYREQUEST, at an address that is none for it. */
	memcpy((uint8_t *)request(f) + 1024 + 256, request(f), sizeof(struct sgx_keyrequest));
	lp->rbx = RW_LA + 1024 + 256;
	assert_gp(isa_enclu(lp, ISA_ENCLU_EGETKEY));			/* 1 */
	lp->rbx = FIXTURE_BASE + FIXTURE_SIZE;
	assert_gp(isa_enclu(lp, ISA_ENCLU_EGETKEY));			/* 1 */
	lp->rbx = FIXTURE_BASE;
	assert_epf(isa_enclu(lp, ISA_ENCLU_EGETKEY), FIXTURE_BASE);	/* 1 */
	lp->rbx = RW_LA;
	lp->rcx = RW_LA + 8;
	assert_gp(isa_enclu(lp, ISA_ENCLU_EGETKEY));			/* 2 */
	lp->rcx = FIXTURE_BASE - 16;
	assert_gp(isa_enclu(lp, ISA_ENCLU_EGETKEY));			/* 2 */
	lp->rcx = RX_LA + 16;
	assert_epf(isa_enclu(lp, ISA_ENCLU_EGETKEY), RX_LA + 16);	/* 2: no W */
	lp->rcx = RW_LA + 16;
	f->readonly[FIXTURE_RW] = true;
	assert_ordinary_pf(isa_enclu(lp, ISA_ENCLU_EGETKEY), RW_LA + 16);
	f->readonly[FIXTURE_RW] = false;
}

static void faults_on_reserved_bits(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_keyrequest req;

	for (size_t i = 0; i < sizeof(req); i++) {
		if (i != 6 && i != 7 && i < 78)
			continue;
		req = (struct sgx_keyrequest){ .keyname = KEY_SEAL };
		((uint8_t *)&req)[i] = 1;
		assert_gp(try(f, &req));				/* 3 */
	}
	for (unsigned int bit = 6; bit < 16; bit++) {
		req = (struct sgx_keyrequest){ .keyname = KEY_SEAL,
					       .keypolicy = (uint16_t)(1u << bit) };
		assert_gp(try(f, &req));				/* 3 */
	}
}

static void faults_on_kss_requests_without_kss(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	struct sgx_keyrequest req;

	isa_fixture_start(f, NULL, 0);
	for (unsigned int bit = 2; bit < 6; bit++) {
		req = (struct sgx_keyrequest){ .keyname = KEY_SEAL,
					       .keypolicy = (uint16_t)(1u << bit) };
		assert_gp(try(f, &req));				/* 4 */
	}
	req = (struct sgx_keyrequest){ .keyname = KEY_SEAL, .configsvn = 1 };
	assert_gp(try(f, &req));					/* 4 */
	isa_fixture_destroy(f);
	(void)state;
}

static void reports_unknown_key_names(void **state)
{
	struct isa_fixture *f = *state;
	const uint16_t names[] = { 5, 6, 255, 256, 0xffff };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct sgx_keyrequest req = { .keyname = names[i] };

		assert_error(try(f, &req), SGX_INVALID_KEYNAME);	/* 5 */
	}
}

static void leaves_the_output_alone_on_an_error(void **state)
{
	struct isa_fixture *f = *state;
	const struct sgx_keyrequest req = { .keyname = 5 };
	uint8_t *key = (uint8_t *)isa_fixture_contents(f, FIXTURE_RW) + KEY_AT;

	memset(key, 0x77, 16);
	assert_error(try(f, &req), SGX_INVALID_KEYNAME);
	for (int i = 0; i < 16; i++)
		assert_int_equal(key[i], 0x77);
}

static void needs_attributes_for_special_keys(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	const uint16_t special[] = { KEY_EINITTOKEN, KEY_PROVISION, KEY_PROVISION_SEAL };

	isa_fixture_start(f, NULL, 0);
	for (size_t i = 0; i < 3; i++) {
		struct sgx_keyrequest req = { .keyname = special[i] };

		assert_error(try(f, &req), SGX_INVALID_ATTRIBUTE);	/* 6 */
	}
	isa_fixture_destroy(f);
	(void)state;
}

static void refuses_versions_beyond_the_current(void **state)
{
	struct isa_fixture *f = *state;

	for (uint16_t name = KEY_EINITTOKEN; name <= KEY_SEAL; name++) {
		struct sgx_keyrequest req = { .keyname = name };

		if (name == KEY_REPORT)
			continue;
		memcpy(req.cpusvn, isa_profile_at(0)->cpusvn, 16);
		req.isvsvn = 5;
		get(f, &req);
		for (int i = 0; i < 16; i++) {
			if (req.cpusvn[i] == 0xff)
				continue;
			req.cpusvn[i]++;
			assert_error(try(f, &req), SGX_INVALID_CPUSVN);	/* 7 */
			req.cpusvn[i]--;
		}
		req.isvsvn = 6;
		assert_error(try(f, &req), SGX_INVALID_ISVSVN);		/* 8 */
	}
}

static void refuses_a_configsvn_beyond_the_enclaves(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_keyrequest req = { .keyname = KEY_SEAL, .configsvn = 5 };

	assert_error(try(f, &req), SGX_INVALID_ISVSVN);			/* 9 */
	req.configsvn = 4;
	get(f, &req);
	req.keyname = KEY_PROVISION_SEAL;
	req.configsvn = 5;
	get(f, &req);		/* not an input of this key without the policy */
	req.keypolicy = KEYPOLICY_CONFIGID;
	assert_error(try(f, &req), SGX_INVALID_ISVSVN);			/* 9 */
}

static void ignores_versions_for_the_report_key(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_keyrequest req = { .keyname = KEY_REPORT };
	struct key before = get(f, &req);

	memset(req.cpusvn, 0xff, sizeof(req.cpusvn));
	req.isvsvn = 0xffff;
	req.configsvn = 0xffff;
	req.keypolicy = 0x3f;
	req.miscmask = ~0u;
	memset(&req.attributemask, 0xff, sizeof(req.attributemask));
	assert_true(same(before, get(f, &req)));
	req.keyid[31] = 1;
	assert_false(same(before, get(f, &req)));
}

/* --- dependencies -------------------------------------------------------- */

/* KEYPOLICY with which the identity counts in full. */
#define FULL_POLICY                                                                       \
	(KEYPOLICY_MRENCLAVE | KEYPOLICY_MRSIGNER | KEYPOLICY_CONFIGID |                  \
	 KEYPOLICY_ISVFAMILYID | KEYPOLICY_ISVEXTPRODID)

/* Does key @name with @policy change when the enclave is @v instead of PLAIN? */
static bool depends(enum variant v, uint16_t name, uint16_t policy)
{
	switch (v) {
	case OTHER_SIGNER:
		return name != KEY_REPORT && (name != KEY_SEAL || policy & KEYPOLICY_MRSIGNER);
	case OTHER_PRODID:
		return name != KEY_REPORT &&
		       ((name != KEY_SEAL && name != KEY_PROVISION_SEAL) ||
			!(policy & KEYPOLICY_NOISVPRODID));
	case OTHER_FAMILY:
		return (name == KEY_SEAL || name == KEY_PROVISION_SEAL) &&
		       policy & KEYPOLICY_ISVFAMILYID;
	case OTHER_EXTPROD:
		return (name == KEY_SEAL || name == KEY_PROVISION_SEAL) &&
		       policy & KEYPOLICY_ISVEXTPRODID;
	case OTHER_CONFIGID:
		return name == KEY_REPORT || ((name == KEY_SEAL || name == KEY_PROVISION_SEAL) &&
					      policy & KEYPOLICY_CONFIGID);
	case OTHER_MRENCLAVE:
		return name == KEY_REPORT || (name == KEY_SEAL && policy & KEYPOLICY_MRENCLAVE);
	case OTHER_DEBUG:
		return true;
	case OTHER_MISC:
		return name == KEY_REPORT;	/* the request masks it away */
	default:
		return false;
	}
}

static void each_key_depends_on_its_part_of_the_identity(void **state)
{
	const uint16_t policies[] = { 0, KEYPOLICY_MRENCLAVE, KEYPOLICY_MRSIGNER,
				      KEYPOLICY_NOISVPRODID, KEYPOLICY_CONFIGID,
				      KEYPOLICY_ISVFAMILYID, KEYPOLICY_ISVEXTPRODID, FULL_POLICY };
	struct isa_fixture *plain = *state;

	for (enum variant v = OTHER_SIGNER; v < NR_VARIANTS; v++) {
		struct isa_fixture *f = isa_fixture_create(NULL);

		start(f, v);
		for (uint16_t name = KEY_EINITTOKEN; name <= KEY_SEAL; name++) {
			for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
				const struct sgx_keyrequest req = {
					.keyname = name, .keypolicy = policies[i], .isvsvn = 2,
				};

				assert_int_equal(!same(get(plain, &req), get(f, &req)),
						 depends(v, name, policies[i]));
			}
		}
		isa_fixture_destroy(f);
	}
}

static void each_key_depends_on_its_part_of_the_request(void **state)
{
	struct isa_fixture *f = *state;
	enum { ISVSVN, CPUSVN, KEYID, ATTRMASK, XFRMMASK, MISCMASK, POLICY, NR_INPUTS };
	static const bool expected[5][NR_INPUTS] = {
		/*                      ISVSVN CPUSVN KEYID ATTR XFRM MISC POLICY */
		[KEY_EINITTOKEN] =     { true, true, true, true, true, false, false },
		[KEY_PROVISION] =      { true, true, false, true, true, true, false },
		[KEY_PROVISION_SEAL] = { true, true, false, true, true, true, true },
		[KEY_REPORT] =         { false, false, true, false, false, false, false },
		[KEY_SEAL] =           { true, true, true, true, true, true, true },
	};

	for (uint16_t name = KEY_EINITTOKEN; name <= KEY_SEAL; name++) {
		const struct sgx_keyrequest base = { .keyname = name };
		const struct key before = get(f, &base);

		for (int input = 0; input < NR_INPUTS; input++) {
			struct sgx_keyrequest req = base;

			switch (input) {
			case ISVSVN: req.isvsvn = 1; break;
			case CPUSVN: req.cpusvn[0] = 1; break;
			case KEYID: req.keyid[5] = 1; break;
			case ATTRMASK: req.attributemask.flags = ATTR_KSS; break;
			case XFRMMASK: req.attributemask.xfrm = 3; break;
			case MISCMASK: req.miscmask = 1u << 31; break;
			case POLICY: req.keypolicy = KEYPOLICY_ISVFAMILYID; break;
			}
			assert_int_equal(!same(before, get(f, &req)), expected[name][input]);
		}
	}
}

static void keys_differ_by_name(void **state)
{
	struct isa_fixture *f = *state;
	struct key keys[5];

	for (uint16_t name = KEY_EINITTOKEN; name <= KEY_SEAL; name++) {
		const struct sgx_keyrequest req = { .keyname = name };

		keys[name] = get(f, &req);
		for (uint16_t other = 0; other < name; other++)
			assert_false(same(keys[name], keys[other]));
	}
}

static void keys_of_an_older_version_stay_available(void **state)
{
	struct isa_fixture *newer = isa_fixture_create(NULL);
	struct sgx_keyrequest req = { .keyname = KEY_SEAL, .isvsvn = 5 };

	start(newer, NEWER_SVN);
	assert_true(same(get(*state, &req), get(newer, &req)));
	isa_fixture_destroy(newer);
}

/* Does key @name change when seed, owner epoch or power cycle do? */
static void assert_machine_dependency(struct isa_fixture *f, uint8_t seed, uint8_t owner,
				      uint8_t boot, const bool expected[5])
{
	struct isa_fixture *g = isa_fixture_create_seeded(seed, owner, boot);

	start(g, PLAIN);
	for (uint16_t name = KEY_EINITTOKEN; name <= KEY_SEAL; name++) {
		const struct sgx_keyrequest req = { .keyname = name };

		assert_int_equal(!same(get(f, &req), get(g, &req)), expected[name]);
	}
	isa_fixture_destroy(g);
}

static void keys_belong_to_machine_and_owner(void **state)
{
	static const bool all[5] = { true, true, true, true, true };
	static const bool none[5] = { false };
	static const bool owned[5] = {
		[KEY_EINITTOKEN] = true, [KEY_REPORT] = true, [KEY_SEAL] = true,
	};

	assert_machine_dependency(*state, 1, 2, 3, none);
	assert_machine_dependency(*state, 9, 2, 3, all);
	assert_machine_dependency(*state, 1, 9, 3, owned);
	/* Keys survive a power cycle: sealing works across runs. */
	assert_machine_dependency(*state, 1, 2, 9, none);
}

/*
 * What was sealed stays readable: the same machine derives the same key in every
 * run, with every crypto library and from release to release.
 */
static void a_key_is_the_same_in_every_run(void **state)
{
	static const uint8_t want[16] = {
		0xdb, 0x40, 0xeb, 0x3d, 0xff, 0x75, 0x95, 0xea,
		0xb8, 0xd9, 0x50, 0x21, 0x3c, 0xd6, 0xc8, 0xef,
	};
	const struct sgx_keyrequest req = {
		.keyname = KEY_SEAL,
		.keypolicy = KEYPOLICY_MRENCLAVE,
		.isvsvn = 5,
		.cpusvn = { 1, 2, 3 },
		.attributemask = { ~0ull, ~0ull },
		.keyid = { 7 },
	};
	const struct key key = get(*state, &req);

	assert_memory_equal(&key, want, sizeof(want));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_on_bad_operands),
		cmocka_unit_test(faults_on_reserved_bits),
		cmocka_unit_test(faults_on_kss_requests_without_kss),
		cmocka_unit_test(reports_unknown_key_names),
		cmocka_unit_test(leaves_the_output_alone_on_an_error),
		cmocka_unit_test(needs_attributes_for_special_keys),
		cmocka_unit_test(refuses_versions_beyond_the_current),
		cmocka_unit_test(refuses_a_configsvn_beyond_the_enclaves),
		cmocka_unit_test(ignores_versions_for_the_report_key),
		cmocka_unit_test(each_key_depends_on_its_part_of_the_identity),
		cmocka_unit_test(each_key_depends_on_its_part_of_the_request),
		cmocka_unit_test(keys_differ_by_name),
		cmocka_unit_test(keys_of_an_older_version_stay_available),
		cmocka_unit_test(keys_belong_to_machine_and_owner),
		cmocka_unit_test(a_key_is_the_same_in_every_run),
	};

	return cmocka_run_group_tests_name("EGETKEY", tests, setup, isa_fixture_teardown);
}
