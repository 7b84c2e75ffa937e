/* SPDX-License-Identifier: BSD-3-Clause */
/* EVERIFYREPORT2: its checks in their order, and whose reports it takes. */
#include "fixture.h"

#include "internal.h"

#define RW_LA (FIXTURE_BASE + 0x2000)

static struct sgx_reportmacstruct *report(struct isa_fixture *f)
{
	return isa_fixture_contents(f, FIXTURE_RW);
}

/* A good one, made by the machine. */
static void prepare(struct isa_fixture *f)
{
	struct sgx_reportmacstruct *r = report(f);

	memset(r, 0, sizeof(*r));
	r->reporttype.type = REPORTTYPE_TDX;
	isa_cpusvn(f->m, r->cpusvn);
	memset(r->reportdata, 0x5a, sizeof(r->reportdata));
	isa_report2_mac(f->m, r);
	f->encl.rbx = RW_LA;
}

static struct isa_outcome verify(struct isa_fixture *f)
{
	return isa_enclu(&f->encl, ISA_ENCLU_EVERIFYREPORT2);
}

/* What the machine made of it, however odd. */
static struct isa_outcome verify_again(struct isa_fixture *f)
{
	isa_report2_mac(f->m, report(f));
	return verify(f);
}

static int setup(void **state)
{
	*state = isa_fixture_create(NULL);
	isa_fixture_start(*state, NULL, 0);
	return 0;
}

static void takes_what_the_machine_made(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	assert_done(verify(f));
	report(f)->reporttype.version = 1;
	assert_done(verify_again(f));
	/* An older version of the processor's made it. */
	memset(report(f)->cpusvn, 0, sizeof(report(f)->cpusvn));
	assert_done(verify_again(f));
}

static void faults_on_bad_operands(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	f->encl.rbx = RW_LA + 128;
	assert_gp(verify(f));						/* 1 */
	f->encl.rbx = FIXTURE_BASE + FIXTURE_SIZE;
	assert_gp(verify(f));						/* 1 */
	f->encl.rbx = FIXTURE_BASE;
	assert_epf(verify(f), FIXTURE_BASE);				/* 1 */
	f->encl.rbx = RW_LA;
	f->unmapped[FIXTURE_RW] = true;
	assert_ordinary_pf(verify(f), RW_LA);
	f->unmapped[FIXTURE_RW] = false;
}

static void refuses_what_is_no_such_report(void **state)
{
	/* type, subtype, version, and the reserved bytes from first to last */
	static const size_t bytes[] = { 0, 1, 2, 3, 4, 15, 192, 223 };
	struct isa_fixture *f = *state;

	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		prepare(f);
		((uint8_t *)report(f))[bytes[i]] ^= 2;
		assert_error(verify_again(f), SGX_INVALID_REPORTMACSTRUCT); /* 2 */
	}
	prepare(f);
	report(f)->reporttype.type = 0;
	/* Before the version is looked at. */
	memset(report(f)->cpusvn, 0xff, sizeof(report(f)->cpusvn));
	assert_error(verify_again(f), SGX_INVALID_REPORTMACSTRUCT);	/* 2 */
}

static void refuses_a_version_beyond_the_current(void **state)
{
	struct isa_fixture *f = *state;

	prepare(f);
	report(f)->cpusvn[0]++;
	assert_error(verify_again(f), SGX_INVALID_CPUSVN);		/* 3 */
	report(f)->mac[0] ^= 1;
	assert_error(verify(f), SGX_INVALID_CPUSVN);			/* before 4 */
}

static void refuses_any_flipped_bit(void **state)
{
	struct isa_fixture *f = *state;

	for (size_t i = offsetof(struct sgx_reportmacstruct, tee_tcb_info_hash); i < 256; i += 7) {
		if (i >= 192 && i < 224)
			continue;	/* reserved */
		prepare(f);
		((uint8_t *)report(f))[i] ^= 0x10;
		assert_error(verify(f), SGX_INVALID_REPORTMACSTRUCT);	/* 4 */
	}
}

static void refuses_what_another_machine_made(void **state)
{
	struct isa_fixture *f = *state, *other = isa_fixture_create_seeded(1, 2, 9);

	prepare(f);
	isa_report2_mac(other->m, report(f));
	assert_error(verify(f), SGX_INVALID_REPORTMACSTRUCT);
	isa_fixture_destroy(other);
}

/* RFC 4231, test case 2 with the key padded to 32 bytes, which HMAC does itself. */
static void macs_as_the_rfc_has_it(void **state)
{
	static const uint8_t key[32] = "Jefe";
	static const uint8_t want[32] = {
		0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24,
		0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27,
		0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43,
	};
	uint8_t mac[32];

	isa_hmac_sha256(key, "what do ya want for nothing?", 28, mac);
	assert_memory_equal(mac, want, sizeof(mac));
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_the_machine_made),
		cmocka_unit_test(faults_on_bad_operands),
		cmocka_unit_test(refuses_what_is_no_such_report),
		cmocka_unit_test(refuses_a_version_beyond_the_current),
		cmocka_unit_test(refuses_any_flipped_bit),
		cmocka_unit_test(refuses_what_another_machine_made),
		cmocka_unit_test(macs_as_the_rfc_has_it),
	};

	return cmocka_run_group_tests_name("EVERIFYREPORT2", tests, setup, isa_fixture_teardown);
}
