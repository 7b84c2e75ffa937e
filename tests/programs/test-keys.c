/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EREPORT and EGETKEY as enclave code meets them: what a report says, that it
 * can be verified with the report key, and what keys depend on.
 *
 * Source: SDM volume 3D, "EREPORT", "EGETKEY", "Key Derivation".
 */
#include <openssl/evp.h>
#include <openssl/params.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "enclave.h"

#define KEY_REPORT 3
#define KEY_SEAL 4
#define POLICY_MRENCLAVE 1
#define POLICY_MRSIGNER 2
#define SGX_INVALID_ATTRIBUTE 2
#define SGX_INVALID_KEYNAME 256
#define SGX_INVALID_ISVSVN 64
#define SGX_INVALID_REPORTMACSTRUCT 28

struct report {
	uint8_t cpusvn[16];		/* 0 */
	uint32_t miscselect;		/* 16 */
	uint8_t reserved_20[28];
	uint64_t attributes;		/* 48 */
	uint64_t xfrm;			/* 56 */
	uint8_t mrenclave[32];		/* 64 */
	uint8_t reserved_96[32];
	uint8_t mrsigner[32];		/* 128 */
	uint8_t reserved_160[96];
	uint16_t isvprodid;		/* 256 */
	uint16_t isvsvn;		/* 258 */
	uint8_t reserved_260[60];
	uint8_t reportdata[64];		/* 320 */
	uint8_t keyid[32];		/* 384 */
	uint8_t mac[16];		/* 416 */
};

struct targetinfo {
	uint8_t measurement[32];	/* 0 */
	uint64_t attributes;		/* 32 */
	uint64_t xfrm;			/* 40 */
	uint8_t reserved_48[464];
};

struct keyrequest {
	uint16_t keyname;		/* 0 */
	uint16_t keypolicy;		/* 2 */
	uint16_t isvsvn;		/* 4 */
	uint8_t reserved_6[2];
	uint8_t cpusvn[16];		/* 8 */
	uint64_t attributemask;		/* 24 */
	uint64_t xfrmmask;		/* 32 */
	uint8_t keyid[32];		/* 40 */
	uint8_t reserved_72[440];
};

static_assert(sizeof(struct report) == 432, "REPORT is 432 bytes");
static_assert(sizeof(struct targetinfo) == 512, "TARGETINFO is 512 bytes");
static_assert(sizeof(struct keyrequest) == 512, "KEYREQUEST is 512 bytes");

static struct test_encl encl, other;

static void ereport(const struct test_encl *e, const struct targetinfo *target,
		    const uint8_t data[64], struct report *report)
{
	struct test_op op = {
		.kind = OP_EREPORT,
		.addr = (uintptr_t)target,
		.value = (uintptr_t)data,
		.addr2 = (uintptr_t)report,
	};

	test_enter(e, 0, &op);
}

/* RAX of EGETKEY; ZF must tell the same. */
static uint64_t egetkey(const struct test_encl *e, const struct keyrequest *req, uint8_t key[16])
{
	struct test_op op = {
		.kind = OP_EGETKEY,
		.addr = (uintptr_t)req,
		.addr2 = (uintptr_t)key,
	};

	test_enter(e, 0, &op);
	assert_int_equal(op.result2, op.result != 0);
	return op.result;
}

static void cmac(const uint8_t key[16], const void *data, size_t len, uint8_t mac[16])
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string("cipher", (char *)"AES-128-CBC", 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *algorithm = EVP_MAC_fetch(NULL, "CMAC", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(algorithm);
	size_t out;

	assert_int_equal(EVP_MAC_init(ctx, key, 16, params), 1);
	assert_int_equal(EVP_MAC_update(ctx, data, len), 1);
	assert_int_equal(EVP_MAC_final(ctx, mac, &out, 16), 1);
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(algorithm);
}

static void fill_data(uint8_t data[64])
{
	for (unsigned int i = 0; i < 64; i++)
		data[i] = (uint8_t)(i * 3 + 1);
}

static void report_says_what_the_enclave_is(void **state)
{
	const struct targetinfo target = { 0 };
	uint8_t data[64], mrsigner[32];
	struct report r;

	fill_data(data);
	ereport(&encl, &target, data, &r);
	assert_int_equal(EVP_Digest(encl.sig->modulus, 384, mrsigner, NULL, EVP_sha256(), NULL), 1);
	assert_memory_equal(r.mrenclave, encl.sig->enclavehash, 32);
	assert_memory_equal(r.mrsigner, mrsigner, 32);
	assert_memory_equal(r.reportdata, data, 64);
	assert_int_equal(r.attributes, ATTR_MODE64BIT | 1);
	assert_int_equal(r.xfrm, XFRM_X87_SSE);
	assert_int_equal(r.miscselect, 0);
	assert_int_equal(r.isvprodid, 0);
	assert_int_equal(r.isvsvn, 0);
}

/* A report from encl to other; its MAC under the key that the target gets. */
static void target_verifies_the_report(void **state)
{
	struct targetinfo target = { .attributes = ATTR_MODE64BIT | 1, .xfrm = XFRM_X87_SSE };
	struct keyrequest req = { .keyname = KEY_REPORT };
	uint8_t data[64], key[16], mac[16];
	struct report r;

	fill_data(data);
	memcpy(target.measurement, other.sig->enclavehash, 32);
	ereport(&encl, &target, data, &r);
	memcpy(req.keyid, r.keyid, 32);

	assert_int_equal(egetkey(&other, &req, key), 0);
	cmac(key, &r, 384, mac);
	assert_memory_equal(mac, r.mac, 16);

	/* Nobody else's report key does. */
	assert_int_equal(egetkey(&encl, &req, key), 0);
	cmac(key, &r, 384, mac);
	assert_memory_not_equal(mac, r.mac, 16);
}

static void seal_key_is_the_same_each_time(void **state)
{
	const struct keyrequest req = { .keyname = KEY_SEAL, .keypolicy = POLICY_MRENCLAVE };
	static const uint8_t zeros[16];
	uint8_t a[16], b[16];

	assert_int_equal(egetkey(&encl, &req, a), 0);
	assert_int_equal(egetkey(&encl, &req, b), 0);
	assert_memory_equal(a, b, 16);
	assert_memory_not_equal(a, zeros, 16);
}

static void seal_key_depends_on_what_the_policy_says(void **state)
{
	struct keyrequest req = { .keyname = KEY_SEAL, .keypolicy = POLICY_MRENCLAVE };
	uint8_t a[16], b[16];

	assert_int_equal(egetkey(&encl, &req, a), 0);
	assert_int_equal(egetkey(&other, &req, b), 0);
	assert_memory_not_equal(a, b, 16);

	req.keypolicy = POLICY_MRSIGNER;
	assert_int_equal(egetkey(&encl, &req, a), 0);
	assert_int_equal(egetkey(&other, &req, b), 0);
	assert_memory_equal(a, b, 16);

	req.keyid[31] = 1;
	assert_int_equal(egetkey(&encl, &req, b), 0);
	assert_memory_not_equal(a, b, 16);
}

static void refused_requests_say_why_and_write_nothing(void **state)
{
	static const uint8_t zeros[16];
	struct keyrequest req = { .keyname = 5 };
	uint8_t key[16];

	assert_int_equal(egetkey(&encl, &req, key), SGX_INVALID_KEYNAME);
	assert_memory_equal(key, zeros, 16);
	req.keyname = 1; /* PROVISION_KEY */
	assert_int_equal(egetkey(&encl, &req, key), SGX_INVALID_ATTRIBUTE);
	assert_memory_equal(key, zeros, 16);
	req.keyname = KEY_SEAL;
	req.isvsvn = 1;
	assert_int_equal(egetkey(&encl, &req, key), SGX_INVALID_ISVSVN);
	assert_memory_equal(key, zeros, 16);
}

static void reserved_bytes_in_the_request_are_gp(void **state)
{
	struct keyrequest req = { .keyname = KEY_SEAL };
	uint8_t key[16];
	struct test_op op = {
		.kind = OP_EGETKEY, .addr = (uintptr_t)&req, .addr2 = (uintptr_t)key,
	};
	struct sgx_enclave_run run = { 0 };

	req.reserved_72[439] = 1;
	assert_int_equal(test_call(&encl, test_tcs(&encl, 1), ENCLU_EENTER, &op, &run), 0);
	assert_int_equal(run.function, ENCLU_ERESUME);
	assert_int_equal(run.exception_vector, VECTOR_GP);
	assert_int_equal(run.exception_error_code, 0);
}

static void everifyreport2_refuses_what_no_machine_made(void **state)
{
	static const uint8_t zeros[256];
	struct test_op op = { .kind = OP_EVERIFYREPORT2, .addr = (uintptr_t)zeros };

	test_enter(&encl, 0, &op);
	assert_int_equal(op.result, SGX_INVALID_REPORTMACSTRUCT);
	assert_int_equal(op.result2, 1);
}

/* The handler of an exception makes the interrupted frame current, once. */
static void edeccssa_takes_a_frame_off(void **state)
{
	struct test_op fault = { .kind = OP_UD2 }, op = { .kind = OP_EDECCSSA };
	struct sgx_enclave_run run = { 0 };

	assert_int_equal(test_call(&other, test_tcs(&other, 0), ENCLU_EENTER, &fault, &run), 0);
	assert_int_equal(run.exception_vector, VECTOR_UD);
	test_enter(&other, 0, &op);
	run = (struct sgx_enclave_run){ 0 };
	assert_int_equal(test_call(&other, test_tcs(&other, 0), ENCLU_EENTER, &op, &run), 0);
	assert_int_equal(run.exception_vector, VECTOR_GP);
}

static int setup(void **state)
{
	if (test_encl_build(&encl, &(struct test_config){ .nr_threads = 2 }))
		return -1;
	return test_encl_build(&other, &(struct test_config){ .nr_threads = 1 });
}

static int teardown(void **state)
{
	test_encl_free(&encl);
	test_encl_free(&other);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(report_says_what_the_enclave_is),
		cmocka_unit_test(target_verifies_the_report),
		cmocka_unit_test(seal_key_is_the_same_each_time),
		cmocka_unit_test(seal_key_depends_on_what_the_policy_says),
		cmocka_unit_test(refused_requests_say_why_and_write_nothing),
		cmocka_unit_test(reserved_bytes_in_the_request_are_gp),
		cmocka_unit_test(everifyreport2_refuses_what_no_machine_made),
		cmocka_unit_test(edeccssa_takes_a_frame_off),
	};

	return cmocka_run_group_tests_name("keys", tests, setup, teardown);
}
