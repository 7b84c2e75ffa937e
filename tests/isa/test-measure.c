/* SPDX-License-Identifier: BSD-3-Clause */
/* The measurement against plain SHA-256, and the primitives against published answers. */
#include <stdio.h>

#include "fixture.h"

#include "internal.h"

/* MRENCLAVE the enclave at @frame would get from EINIT now. */
static void mrenclave_of(struct isa_fixture *f, uint64_t frame, uint8_t mrenclave[32])
{
	isa_measure_final(isa_fixture_contents(f, frame), mrenclave);
}

static void assert_measures(struct isa_fixture *f, const struct isa_measurement *m)
{
	struct isa_measurement copy = *m;
	uint8_t expected[32], got[32];

	isa_measurement_final(&copy, expected);
	mrenclave_of(f, FIXTURE_SECS, got);
	assert_memory_equal(got, expected, 32);
}

static void follows_every_leaf(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	alignas(8) uint8_t page[SGX_PAGE_SIZE];
	struct isa_measurement m;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	secs.size = 1ull << 40;
	secs.baseaddr = 1ull << 46;
	secs.ssaframesize = 0x01020304;
	assert_done(isa_fixture_ecreate(f, FIXTURE_SECS, &secs));
	isa_measurement_ecreate(&m, secs.ssaframesize, secs.size);
	assert_measures(f, &m);

	isa_fixture_source(FIXTURE_RX, page);
	assert_done(isa_fixture_eadd(f, 33, FIXTURE_SECS, secs.baseaddr + 0x3456789000, page,
				     SECINFO_PT(PT_REG) | SECINFO_R | SECINFO_X));
	isa_measurement_eadd(&m, 0x3456789000, 0x205);
	assert_measures(f, &m);

	for (unsigned int offset = 0xf00; offset; offset -= 0x300) {
		assert_done(isa_fixture_eextend(f, FIXTURE_SECS, 33, offset));
		isa_measurement_eextend(&m, 0x3456789000 + offset, page + offset);
		assert_measures(f, &m);
	}
	isa_fixture_destroy(f);
	(void)state;
}

static void measures_a_tcs_as_it_is_after_eadd(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	struct sgx_tcs dirty, clean;
	struct isa_measurement m;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	assert_done(isa_fixture_ecreate(f, FIXTURE_SECS, &secs));
	isa_fixture_source(FIXTURE_TCS, (uint8_t *)&clean);
	dirty = clean;
	dirty.flags = TCS_DBGOPTIN;
	dirty.cssa = 9;
	dirty.aep = 9;
	dirty.state = 1;
	assert_done(isa_fixture_eadd(f, 1, FIXTURE_SECS, FIXTURE_BASE, &dirty,
				     SECINFO_PT(PT_TCS) | SECINFO_RWX));
	assert_done(isa_fixture_eextend(f, FIXTURE_SECS, 1, 0));
	isa_measurement_ecreate(&m, 1, FIXTURE_SIZE);
	isa_measurement_eadd(&m, 0, 0x100);
	isa_measurement_eextend(&m, 0, &clean);
	assert_measures(f, &m);
	isa_fixture_destroy(f);
	(void)state;
}

static void failed_leaves_measure_nothing(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	uint8_t before[32], after[32];

	isa_fixture_build(f, NULL);
	mrenclave_of(f, FIXTURE_SECS, before);
	assert_gp(isa_fixture_eadd(f, 33, FIXTURE_SECS, FIXTURE_BASE - 4096, f->page,
				   isa_fixture_flags(FIXTURE_RW)));
	isa_fixture_eextend(f, FIXTURE_SECS, 33, 0);
	isa_fixture_eextend(f, FIXTURE_SECS, FIXTURE_RW, 128);
	mrenclave_of(f, FIXTURE_SECS, after);
	assert_memory_equal(before, after, 32);
	isa_fixture_destroy(f);
	(void)state;
}

static void does_not_depend_on_where_the_enclave_lies(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	uint8_t a[32], b[32];
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	for (uint64_t frame = 0; frame < 2; frame++) {
		secs.baseaddr = (frame + 1) << 32;
		assert_done(isa_fixture_ecreate(f, frame, &secs));
		memset(f->page, 0x42, sizeof(f->page));
		assert_done(isa_fixture_eadd(f, 10 + frame, frame, secs.baseaddr + 0x1000, f->page,
					     isa_fixture_flags(FIXTURE_RW)));
		assert_done(isa_fixture_eextend(f, frame, 10 + frame, 0));
	}
	mrenclave_of(f, 0, a);
	mrenclave_of(f, 1, b);
	assert_memory_equal(a, b, 32);
	isa_fixture_destroy(f);
	(void)state;
}

static void from_hex(const char *hex, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		out[i] = (uint8_t)byte;
	}
}

/* FIPS 180-4 examples, and every padding case against another implementation. */
static void sha256_gives_known_answers(void **state)
{
	uint8_t expected[32], got[32], message[200];

	from_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", expected, 32);
	isa_sha256("abc", 3, got);
	assert_memory_equal(got, expected, 32);
	from_hex("248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", expected, 32);
	isa_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, got);
	assert_memory_equal(got, expected, 32);

	memset(message, 0x3c, sizeof(message));
	for (size_t n = 0; n <= sizeof(message); n++) {
		struct sha256_ctx sha;

		sha256_init(&sha);
		sha256_update(&sha, n, message);
		sha256_digest(&sha, 32, expected);
		isa_sha256(message, n, got);
		assert_memory_equal(got, expected, 32);
	}
	(void)state;
}

/* RFC 4493, section 4. */
static void cmac_gives_known_answers(void **state)
{
	static const struct {
		size_t n;
		const char *mac;
	} cases[] = {
		{ 0, "bb1d6929e95937287fa37d129b756746" },
		{ 16, "070a16b46b4d4144f79bdd9dd04a287c" },
		{ 40, "dfa66747de9ae63030ca32611497c827" },
		{ 64, "51f0bebf7e3b9d92fc49741779363cfe" },
	};
	uint8_t key[16], message[64], expected[16], got[16];

	from_hex("2b7e151628aed2a6abf7158809cf4f3c", key, 16);
	from_hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
		 "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710", message, 64);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		from_hex(cases[i].mac, expected, 16);
		isa_aes128_cmac(key, message, cases[i].n, got);
		assert_memory_equal(got, expected, 16);
	}
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_every_leaf),
		cmocka_unit_test(measures_a_tcs_as_it_is_after_eadd),
		cmocka_unit_test(failed_leaves_measure_nothing),
		cmocka_unit_test(does_not_depend_on_where_the_enclave_lies),
		cmocka_unit_test(sha256_gives_known_answers),
		cmocka_unit_test(cmac_gives_known_answers),
	};

	return cmocka_run_group_tests_name("measurement", tests, NULL, NULL);
}
