/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLU[EREPORT]: operands, contents, and who can verify the MAC. */
#include "fixture.h"

#include "internal.h"

#define RW_LA (FIXTURE_BASE + 0x2000)
#define RX_LA (FIXTURE_BASE + 0x3000)

/* Where operands lie in the enclave's RW page. */
#define TARGETINFO_AT 0u
#define REPORTDATA_AT 512u
#define REPORT_AT 1024u
#define KEYREQUEST_AT 2048u
#define KEY_AT 2560u

static void *rw(struct isa_fixture *f, unsigned int offset)
{
	return (uint8_t *)isa_fixture_contents(f, FIXTURE_RW) + offset;
}

/* Operands of a legal EREPORT for the enclave itself. */
static void prepare(struct isa_fixture *f)
{
	const struct sgx_secs *secs = isa_fixture_contents(f, FIXTURE_SECS);
	struct sgx_targetinfo *target = rw(f, TARGETINFO_AT);

	memset(rw(f, 0), 0, SGX_PAGE_SIZE);
	memcpy(target->measurement, secs->mrenclave, sizeof(target->measurement));
	target->attributes = secs->attributes;
	target->miscselect = secs->miscselect;
	memcpy(target->configid, secs->configid, sizeof(target->configid));
	target->configsvn = secs->configsvn;
	memset(rw(f, REPORTDATA_AT), 0xda, 64);
	f->encl.rbx = RW_LA + TARGETINFO_AT;
	f->encl.rcx = RW_LA + REPORTDATA_AT;
	f->encl.rdx = RW_LA + REPORT_AT;
}

static struct isa_outcome report(struct isa_fixture *f)
{
	return isa_enclu(&f->encl, ISA_ENCLU_EREPORT);
}

static int setup(void **state)
{
	isa_fixture_setup(state);
	isa_fixture_start(*state, NULL, 0);
	return 0;
}

static int before_each(void **state)
{
	prepare(*state);
	return 0;
}

static void reports_the_enclave(void **state)
{
	struct isa_fixture *f = *state;
	const struct sgx_report *r = rw(f, REPORT_AT);
	uint8_t mrenclave[32], data[64];
	uint64_t hash[4];

	assert_done(report(f));
	isa_fixture_mrenclave(mrenclave);
	isa_signer_hash(isa_signer_get(0), hash);
	memset(data, 0xda, sizeof(data));
	assert_memory_equal(r->cpusvn, isa_profile_at(0)->cpusvn, 16);
	assert_int_equal(r->miscselect, 0);
	assert_int_equal(r->attributes.flags, ATTR_INIT | ATTR_DEBUG | ATTR_MODE64BIT);
	assert_int_equal(r->attributes.xfrm, XFRM_X87_SSE);
	assert_memory_equal(r->mrenclave, mrenclave, 32);
	assert_memory_equal(r->mrsigner, hash, 32);
	assert_int_equal(r->isvprodid, 7);
	assert_int_equal(r->isvsvn, 5);
	assert_memory_equal(r->reportdata, data, 64);
	/* Not a byte beyond the 432. */
	assert_int_equal(((const uint8_t *)r)[sizeof(*r)], 0);
}

static void reports_kss_fields(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	const struct sgx_report *r = rw(f, REPORT_AT);
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	secs.attributes.flags |= ATTR_KSS;
	memset(secs.configid, 0x11, sizeof(secs.configid));
	secs.configsvn = 0x22;
	isa_fixture_build(f, &secs);
	isa_fixture_sigstruct(f, &secs, 0);
	memset(f->sig.isvfamilyid, 0x33, sizeof(f->sig.isvfamilyid));
	memset(f->sig.isvextprodid, 0x44, sizeof(f->sig.isvextprodid));
	isa_signer_sign(isa_signer_get(0), &f->sig);
	assert_done(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, NULL));
	f->encl.secs_frame = FIXTURE_SECS;
	prepare(f);
	assert_done(report(f));
	assert_int_equal(r->configid[63], 0x11);
	assert_int_equal(r->configsvn, 0x22);
	assert_int_equal(r->isvfamilyid[15], 0x33);
	assert_int_equal(r->isvextprodid[0], 0x44);
	isa_fixture_destroy(f);
	(void)state;
}

/* The MAC under the report key this enclave gets for the report's KEYID. */
static void expected_mac(struct isa_fixture *f, uint8_t mac[16])
{
	const struct sgx_report *r = rw(f, REPORT_AT);
	struct sgx_keyrequest *req = rw(f, KEYREQUEST_AT);
	struct isa_lp lp = f->encl;

	memset(req, 0, sizeof(*req));
	req->keyname = KEY_REPORT;
	memcpy(req->keyid, r->keyid, sizeof(req->keyid));
	lp.rbx = RW_LA + KEYREQUEST_AT;
	lp.rcx = RW_LA + KEY_AT;
	assert_done(isa_enclu(&lp, ISA_ENCLU_EGETKEY));
	isa_aes128_cmac(rw(f, KEY_AT), r, 384, mac);
}

static void the_target_can_verify(void **state)
{
	struct isa_fixture *f = *state;
	const struct sgx_report *r = rw(f, REPORT_AT);
	uint8_t mac[16];

	assert_done(report(f));
	expected_mac(f, mac);
	assert_memory_equal(r->mac, mac, 16);
}

static void any_other_target_cannot(void **state)
{
	struct isa_fixture *f = *state;
	const struct sgx_report *r = rw(f, REPORT_AT);
	const size_t fields[] = { 0, 31, 32, 40, 47, 50, 52, 64, 127 };
	uint8_t mac[16];

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		((uint8_t *)rw(f, TARGETINFO_AT))[fields[i]] ^= 8;
		assert_done(report(f));
		expected_mac(f, mac);
		assert_memory_not_equal(r->mac, mac, 16);
		((uint8_t *)rw(f, TARGETINFO_AT))[fields[i]] ^= 8;
	}
}

static void faults_on_reserved_targetinfo(void **state)
{
	struct isa_fixture *f = *state;
	uint8_t *target = rw(f, TARGETINFO_AT);

	for (size_t i = 0; i < sizeof(struct sgx_targetinfo); i++) {
		if (i != 48 && i != 49 && !(i >= 56 && i < 64) && i < 128)
			continue;
		target[i] = 1;
		assert_gp(report(f));					/* 2 */
		target[i] = 0;
	}
	assert_done(report(f));
}

static void faults_on_unaligned_operands(void **state)
{
	struct isa_fixture *f = *state;

	/* A good TARGETINFO, at an address that is none for it. */
	memcpy(rw(f, 2048 + 256), rw(f, TARGETINFO_AT), sizeof(struct sgx_targetinfo));
	f->encl.rbx = RW_LA + 2048 + 256;
	assert_gp(report(f));						/* 1 */
	f->encl.rbx = RW_LA + TARGETINFO_AT;
	f->encl.rcx += 64;
	assert_gp(report(f));						/* 3 */
	f->encl.rcx -= 64;
	f->encl.rdx += 256;
	assert_gp(report(f));						/* 4 */
}

static void faults_on_operands_outside_elrange(void **state)
{
	struct isa_fixture *f = *state;

	f->encl.rbx = FIXTURE_BASE - 4096;
	assert_gp(report(f));						/* 1 */
	prepare(f);
	f->encl.rcx = FIXTURE_BASE + FIXTURE_SIZE;
	assert_gp(report(f));						/* 3 */
	prepare(f);
	f->encl.rdx = 0;
	assert_gp(report(f));						/* 4 */
}

static void faults_on_operands_the_epcm_forbids(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t nowhere = FIXTURE_BASE + 0x8000;

	f->encl.rbx = nowhere;
	assert_epf(report(f), nowhere);					/* b: no EPC */
	f->la[FIXTURE_FREE] = nowhere;
	assert_epf(report(f), nowhere);					/* c: not valid */
	f->la[FIXTURE_FREE] = 0;
	f->encl.rbx = FIXTURE_BASE;
	assert_epf(report(f), FIXTURE_BASE);				/* e: PT_TCS */
	prepare(f);
	f->encl.rcx = FIXTURE_BASE;
	assert_epf(report(f), FIXTURE_BASE);
	prepare(f);
	f->encl.rdx = RX_LA;
	assert_epf(report(f), RX_LA);					/* e: no W */
	assert_int_equal(report(f).error_code, PFEC_P | PFEC_W | PFEC_U | PFEC_SGX);
}

static void faults_on_a_page_in_transition(void **state)
{
	static const uint64_t flags[] = { EPCM_BLOCKED, EPCM_PENDING, EPCM_MODIFIED };
	struct isa_fixture *f = *state;
	struct isa_epcm *e = &f->m->epcm[FIXTURE_RW];

	/* No leaf of this processor sets them; PR alone forbids nothing. */
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		atomic_fetch_or(&e->word, flags[i]);
		assert_epf(report(f), RW_LA);				/* d, e */
		atomic_fetch_and(&e->word, ~flags[i]);
	}
	atomic_fetch_or(&e->word, EPCM_PR);
	assert_done(report(f));
	atomic_fetch_and(&e->word, ~EPCM_PR);
}

static void faults_when_pages_are_swapped_or_foreign(void **state)
{
	struct isa_fixture *f = *state;
	struct sgx_secs other;

	/* e: ENCLAVEADDRESS of the page behind the address is another one. */
	f->la[FIXTURE_SSA] = RW_LA;
	f->la[FIXTURE_RW] = FIXTURE_BASE + 0x1000;
	assert_epf(report(f), RW_LA);
	f->la[FIXTURE_SSA] = FIXTURE_BASE + 0x1000;
	f->la[FIXTURE_RW] = RW_LA;

	/* e: same address, another enclave's page. */
	isa_fixture_default_secs(&other);
	assert_done(isa_fixture_ecreate(f, 50, &other));
	assert_done(isa_fixture_eadd(f, 51, 50, RW_LA, rw(f, 0), SECINFO_PT(PT_REG) | SECINFO_R));
	f->la[FIXTURE_RW] = 0;
	f->la[51] = RW_LA;
	assert_epf(report(f), RW_LA);
	f->la[51] = 0;
	f->la[FIXTURE_RW] = RW_LA;
	assert_done(report(f));
	assert_done(isa_fixture_eremove(f, 51));
	assert_done(isa_fixture_eremove(f, 50));
}

static void page_tables_may_forbid_more(void **state)
{
	struct isa_fixture *f = *state;

	f->readonly[FIXTURE_RW] = true;
	assert_ordinary_pf(report(f), RW_LA + REPORT_AT);
	f->readonly[FIXTURE_RW] = false;
	f->encl.rbx = FIXTURE_BASE + FIXTURE_SIZE - 4096;
	f->la[FIXTURE_RW] = RW_LA;
	assert_epf(report(f), f->encl.rbx);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, before_each)
	const struct CMUnitTest tests[] = {
		CASE(reports_the_enclave),
		CASE(reports_kss_fields),
		CASE(the_target_can_verify),
		CASE(any_other_target_cannot),
		CASE(faults_on_reserved_targetinfo),
		CASE(faults_on_unaligned_operands),
		CASE(faults_on_operands_outside_elrange),
		CASE(faults_on_operands_the_epcm_forbids),
		CASE(faults_on_a_page_in_transition),
		CASE(faults_when_pages_are_swapped_or_foreign),
		CASE(page_tables_may_forbid_more),
	};

	return cmocka_run_group_tests_name("EREPORT", tests, setup, isa_fixture_teardown);
}
