/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLS[EINIT]: every check, and every part of SIGSTRUCT and token it rests on. */
#include "fixture.h"

#include "internal.h"

/* A machine with the built enclave and its right SIGSTRUCT in f->sig. */
static struct isa_fixture *ready(const struct sgx_secs *secs)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_build(f, secs);
	isa_fixture_sigstruct(f, secs, 0);
	return f;
}

static int setup(void **state)
{
	*state = ready(NULL);
	return 0;
}

static struct isa_outcome init(struct isa_fixture *f)
{
	return isa_fixture_einit(f, FIXTURE_SECS, &f->sig, NULL);
}

static void sign(struct isa_fixture *f)
{
	isa_signer_sign(isa_signer_get(0), &f->sig);
}

/* The enclave must still be what it was: no failure leaves a trace. */
static void assert_still_builds(struct isa_fixture *f)
{
	isa_fixture_sigstruct(f, NULL, 0);
	assert_done(init(f));
	isa_fixture_destroy(f);
}

static void fills_the_secs(void **state)
{
	struct isa_fixture *f = ready(NULL);
	const struct sgx_secs *secs = isa_fixture_contents(f, FIXTURE_SECS);
	uint8_t mrenclave[32];
	uint64_t hash[4];

	assert_done(init(f));
	isa_fixture_mrenclave(mrenclave);
	isa_signer_hash(isa_signer_get(0), hash);
	assert_memory_equal(secs->mrenclave, mrenclave, 32);
	assert_memory_equal(secs->mrsigner, hash, 32);
	assert_int_equal(secs->isvprodid, 7);
	assert_int_equal(secs->isvsvn, 5);
	assert_int_equal(secs->attributes.flags, ATTR_INIT | ATTR_DEBUG | ATTR_MODE64BIT);
	assert_gp(init(f));						/* 10: only once */
	isa_fixture_destroy(f);
	(void)state;
}

static void faults_on_unaligned_operands(void **state)
{
	struct isa_fixture *f = ready(NULL);
	struct isa_lp *os = &f->os;

	f->sig.vendor = 1;
	assert_error(init(f), SGX_INVALID_SIG_STRUCT);
	os->rbx += 2048;
	assert_gp(isa_encls(os, ISA_ENCLS_EINIT));			/* 1 */
	os->rbx -= 2048;
	os->rcx += 2048;
	assert_gp(isa_encls(os, ISA_ENCLS_EINIT));			/* 1 */
	os->rcx -= 2048;
	os->rdx += 256;
	assert_gp(isa_encls(os, ISA_ENCLS_EINIT));			/* 2 */
	assert_still_builds(f);
	(void)state;
}

static void faults_on_operands_that_are_not_there(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_lp *os = &f->os;

	f->sig.vendor = 1;
	init(f);
	os->rcx = (uintptr_t)f->page;
	assert_epf(isa_encls(os, ISA_ENCLS_EINIT), (uintptr_t)f->page);	/* 3 */
	os->rcx = isa_fixture_la(f, FIXTURE_SECS);
	os->rbx = FIXTURE_HOLE;
	assert_ordinary_pf(isa_encls(os, ISA_ENCLS_EINIT), FIXTURE_HOLE);
	os->rbx = (uintptr_t)&f->sig;
	os->rdx = FIXTURE_HOLE;
	assert_ordinary_pf(isa_encls(os, ISA_ENCLS_EINIT), FIXTURE_HOLE);
	isa_fixture_sigstruct(f, NULL, 0);
}

static void faults_when_the_page_is_no_secs(void **state)
{
	struct isa_fixture *f = *state;

	assert_epf(isa_fixture_einit(f, FIXTURE_RW, &f->sig, NULL),
		   isa_fixture_la(f, FIXTURE_RW));			/* 8 */
	assert_epf(isa_fixture_einit(f, 60, &f->sig, NULL), isa_fixture_la(f, 60));
}

/* What EINIT says of a SIGSTRUCT whose byte @i is wrong. */
static enum sgx_error expected_code(size_t i)
{
	const bool constant = i < 16 || (i >= 16 && i < 20) || (i >= 24 && i < 40) ||
			      (i >= 44 && i < 128) || (i >= 512 && i < 516) ||
			      (i >= 908 && i < 912) || (i >= 992 && i < 1008) ||
			      (i >= 1028 && i < 1040);

	return constant ? SGX_INVALID_SIG_STRUCT : SGX_INVALID_SIGNATURE;
}

static void notices_every_flipped_byte_of_sigstruct(void **state)
{
	struct isa_fixture *f = ready(NULL);
	const struct sgx_sigstruct good = f->sig;

	for (size_t i = 0; i < sizeof(good); i++) {
		struct sgx_sigstruct bad = good;

		((uint8_t *)&bad)[i] ^= (uint8_t)(1u << i % 8);
		assert_error(isa_fixture_einit(f, FIXTURE_SECS, &bad, NULL), expected_code(i));
	}
	assert_still_builds(f);
	(void)state;
}

static void rejects_reserved_bytes_even_when_signed(void **state)
{
	struct isa_fixture *f = ready(NULL);
	const size_t reserved[] = { 0, 24, 44, 127, 908, 909, 910, 911, 992, 1007 };
	const struct sgx_sigstruct good = f->sig;

	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		f->sig = good;
		((uint8_t *)&f->sig)[reserved[i]] ^= 0x40;
		sign(f);
		assert_error(init(f), SGX_INVALID_SIG_STRUCT);		/* 4 */
	}
	assert_still_builds(f);
	(void)state;
}

static void accepts_both_vendors_and_any_date(void **state)
{
	struct isa_fixture *f = ready(NULL);

	f->sig.vendor = 0x8086;
	f->sig.date = 0;
	f->sig.swdefined = 77;
	sign(f);
	assert_done(init(f));
	isa_fixture_destroy(f);
	(void)state;
}

static void rejects_a_signature_that_is_not_reduced(void **state)
{
	struct isa_fixture *f = *state;
	const struct sgx_sigstruct good = f->sig;

	/* n itself, and all ones, are no residues. */
	memcpy(f->sig.signature, f->sig.modulus, sizeof(f->sig.signature));
	assert_error(init(f), SGX_INVALID_SIGNATURE);			/* 6 */
	memset(f->sig.signature, 0xff, sizeof(f->sig.signature));
	assert_error(init(f), SGX_INVALID_SIGNATURE);
	memset(f->sig.modulus, 0, sizeof(f->sig.modulus));
	assert_error(init(f), SGX_INVALID_SIGNATURE);
	memset(f->sig.signature, 0, sizeof(f->sig.signature));
	assert_error(init(f), SGX_INVALID_SIGNATURE);

	/* s + n with quotients to match: its cube is right, but it is not the signature. */
	f->sig = good;
	while (!isa_signer_sign_unreduced(isa_signer_get(0), &f->sig))
		f->sig.swdefined++;
	assert_error(init(f), SGX_INVALID_SIGNATURE);
	f->sig = good;
}

static void notices_every_flipped_byte_of_a_measured_page(void **state)
{
	struct isa_fixture *f;
	uint8_t page[SGX_PAGE_SIZE];
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	for (unsigned int i = 0; i < SGX_PAGE_SIZE; i += 173) {
		struct isa_measurement m;
		uint8_t mrenclave[32];

		f = isa_fixture_create(NULL);
		assert_done(isa_fixture_ecreate(f, FIXTURE_SECS, &secs));
		isa_fixture_source(FIXTURE_RW, page);
		isa_measurement_ecreate(&m, 1, FIXTURE_SIZE);
		isa_measurement_page(&m, 0, isa_fixture_flags(FIXTURE_RW), page);
		isa_measurement_final(&m, mrenclave);
		isa_sigstruct_init(&f->sig, mrenclave, &secs.attributes, 0);
		sign(f);

		page[i] ^= 0x10;
		assert_done(isa_fixture_eadd(f, FIXTURE_RW, FIXTURE_SECS, FIXTURE_BASE, page,
					     isa_fixture_flags(FIXTURE_RW)));
		for (unsigned int offset = 0; offset < SGX_PAGE_SIZE; offset += 256)
			assert_done(isa_fixture_eextend(f, FIXTURE_SECS, FIXTURE_RW, offset));
		assert_error(init(f), SGX_INVALID_MEASUREMENT);		/* 11 */
		isa_fixture_destroy(f);
	}
	(void)state;
}

static void rejects_product_ids_without_kss(void **state)
{
	struct isa_fixture *f = ready(NULL);

	f->sig.isvfamilyid[15] = 1;
	sign(f);
	assert_error(init(f), SGX_INVALID_SIG_STRUCT);			/* 9 */
	f->sig.isvfamilyid[15] = 0;
	f->sig.isvextprodid[0] = 1;
	sign(f);
	assert_error(init(f), SGX_INVALID_SIG_STRUCT);			/* 9 */
	assert_still_builds(f);
	(void)state;
}

static void takes_product_ids_with_kss(void **state)
{
	struct isa_fixture *f;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	secs.attributes.flags |= ATTR_KSS;
	f = ready(&secs);
	f->sig.isvfamilyid[15] = 1;
	f->sig.isvextprodid[0] = 1;
	sign(f);
	assert_done(init(f));
	isa_fixture_destroy(f);
	(void)state;
}

static void compares_attributes_under_the_masks(void **state)
{
	struct isa_fixture *f = ready(NULL);
	const struct sgx_sigstruct good = f->sig;

	f->sig.attributes.flags ^= ATTR_DEBUG;
	sign(f);
	assert_error(init(f), SGX_INVALID_ATTRIBUTE);			/* 13: flags */
	f->sig = good;
	f->sig.attributes.xfrm ^= 2;
	sign(f);
	assert_error(init(f), SGX_INVALID_ATTRIBUTE);			/* 13: xfrm */
	f->sig = good;
	f->sig.miscselect = 1;
	sign(f);
	assert_error(init(f), SGX_INVALID_ATTRIBUTE);			/* 14 */

	f->sig.miscmask = 0;
	f->sig.attributes.flags ^= ATTR_DEBUG;
	f->sig.attributemask.flags = ~ATTR_DEBUG;
	f->sig.attributes.xfrm = 0;
	f->sig.attributemask.xfrm = 0;
	sign(f);
	assert_done(init(f));
	isa_fixture_destroy(f);
	(void)state;
}

static void lets_only_the_launch_signer_do_without_token(void **state)
{
	struct isa_fixture *f = ready(NULL);
	uint64_t hash[4];

	for (unsigned int i = 0; i < 4; i++) {
		isa_signer_hash(isa_signer_get(0), hash);
		hash[i] ^= 1ull << 63;
		isa_wrmsr_lepubkeyhash(&f->os, hash);
		assert_error(init(f), SGX_INVALID_EINITTOKEN);		/* 16 */
	}
	assert_still_builds(f);
	(void)state;
}

static void gives_the_token_key_to_the_launch_signer_only(void **state)
{
	struct isa_fixture *f;
	struct sgx_secs secs;
	uint64_t hash[4];

	isa_fixture_default_secs(&secs);
	secs.attributes.flags |= ATTR_EINITTOKEN_KEY;
	f = ready(&secs);
	isa_signer_hash(isa_signer_get(1), hash);
	isa_wrmsr_lepubkeyhash(&f->os, hash);
	assert_error(init(f), SGX_INVALID_ATTRIBUTE);			/* 12 */
	isa_signer_hash(isa_signer_get(0), hash);
	isa_wrmsr_lepubkeyhash(&f->os, hash);
	assert_done(init(f));
	isa_fixture_destroy(f);
	(void)state;
}

/* --- tokens -------------------------------------------------------------- */

/* The launch-key hash is signer 1's; signer 0 signed the enclave and needs a token. */
static void make_token(struct isa_fixture *f, struct sgx_einittoken *token)
{
	uint64_t hash[4];

	memset(token, 0, sizeof(*token));
	token->valid = 1;
	token->attributes.flags = ATTR_DEBUG | ATTR_MODE64BIT;
	token->attributes.xfrm = XFRM_X87_SSE;
	isa_fixture_mrenclave(token->mrenclave);
	isa_signer_hash(isa_signer_get(0), hash);
	memcpy(token->mrsigner, hash, sizeof(token->mrsigner));
	memcpy(token->cpusvnle, isa_machine_profile(f->m)->cpusvn, sizeof(token->cpusvnle));
	token->isvprodidle = 1;
	token->isvsvnle = 2;
	token->maskedattributesle.flags = ATTR_INIT | ATTR_EINITTOKEN_KEY | ATTR_MODE64BIT;
	memset(token->keyid, 9, sizeof(token->keyid));
	isa_signer_hash(isa_signer_get(1), hash);
	isa_wrmsr_lepubkeyhash(&f->os, hash);
}

static void mac_token(struct isa_fixture *f, struct sgx_einittoken *token)
{
	uint8_t hash[32];

	memcpy(hash, f->os.lepubkeyhash, sizeof(hash));
	isa_einittoken_mac(f->m, token, hash, token->mac);
}

static void accepts_a_valid_token(void **state)
{
	struct isa_fixture *f = ready(NULL);
	struct sgx_einittoken token;

	make_token(f, &token);
	mac_token(f, &token);
	assert_done(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, &token));
	isa_fixture_destroy(f);
	(void)state;
}

/* The launch enclave of signer 1, on an equal machine, MACs @token with its key. */
static void mac_by_launch_enclave(struct sgx_einittoken *token)
{
	struct isa_fixture *g = isa_fixture_create(NULL);
	struct sgx_keyrequest *req = isa_fixture_contents(g, FIXTURE_RW);
	const struct sgx_secs *secs = isa_fixture_contents(g, FIXTURE_SECS);
	const uint64_t rw_la = FIXTURE_BASE + 0x2000;
	struct sgx_secs le;

	isa_fixture_default_secs(&le);
	le.attributes.flags = ATTR_MODE64BIT | ATTR_EINITTOKEN_KEY;
	isa_fixture_start(g, &le, 1);

	memset(req, 0, SGX_PAGE_SIZE);
	req->keyname = KEY_EINITTOKEN;
	req->isvsvn = 3;
	memcpy(req->cpusvn, token->cpusvnle, sizeof(req->cpusvn));
	memcpy(req->keyid, token->keyid, sizeof(req->keyid));
	req->attributemask.flags = ~0ull;
	g->encl.rbx = rw_la;
	g->encl.rcx = rw_la + 512;
	assert_done(isa_enclu(&g->encl, ISA_ENCLU_EGETKEY));

	token->isvprodidle = secs->isvprodid;
	token->isvsvnle = 3;
	token->maskedattributesle.flags = secs->attributes.flags;
	token->maskedattributesle.xfrm = 0;
	isa_aes128_cmac((uint8_t *)req + 512, token, 192, token->mac);
	isa_fixture_destroy(g);
}

static void accepts_a_token_of_the_launch_enclave(void **state)
{
	struct isa_fixture *f = ready(NULL);
	struct sgx_einittoken token;

	make_token(f, &token);
	mac_by_launch_enclave(&token);
	assert_done(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, &token));
	isa_fixture_destroy(f);
	(void)state;
}

/* A token whose byte @i is wrong: which check meets it first? */
static enum sgx_error expected_token_code(size_t i)
{
	/* CPUSVNLE with a higher component is beyond ours. */
	return i >= 192 && i < 208 ? SGX_INVALID_CPUSVN : SGX_INVALID_EINITTOKEN;
}

static void notices_every_flipped_byte_of_a_token(void **state)
{
	struct isa_fixture *f = ready(NULL);
	struct sgx_einittoken good;

	make_token(f, &good);
	mac_token(f, &good);
	for (size_t i = 0; i < sizeof(good); i++) {
		struct sgx_einittoken bad = good;

		((uint8_t *)&bad)[i] ^= i == 0 ? 0x02 : 0x40;
		/* Clearing a bit would only make a component older. */
		if (i >= 192 && i < 208)
			((uint8_t *)&bad)[i] = 0xff;
		if (!memcmp(&bad, &good, sizeof(bad)))
			continue;
		assert_error(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, &bad),
			     expected_token_code(i));
	}
	assert_still_builds(f);
	(void)state;
}

static void binds_the_mac_to_an_older_cpusvn(void **state)
{
	struct isa_fixture *f = ready(NULL);
	struct sgx_einittoken token;

	make_token(f, &token);
	mac_token(f, &token);
	memset(token.cpusvnle, 0, sizeof(token.cpusvnle));
	assert_error(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, &token),
		     SGX_INVALID_EINITTOKEN);				/* 20 */
	mac_token(f, &token);
	assert_done(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, &token));
	isa_fixture_destroy(f);
	(void)state;
}

static void rejects_reserved_token_bytes_even_when_macced(void **state)
{
	struct isa_fixture *f = ready(NULL);
	const size_t reserved[] = { 1, 3, 4, 47, 96, 127, 160, 191, 212, 213, 235 };
	struct sgx_einittoken token;

	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		make_token(f, &token);
		((uint8_t *)&token)[reserved[i]] = 1;
		mac_token(f, &token);
		assert_error(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, &token),
			     SGX_INVALID_EINITTOKEN);			/* 18 */
	}
	assert_still_builds(f);
	(void)state;
}

static void rejects_a_token_for_another_enclave(void **state)
{
	struct isa_fixture *f = ready(NULL);
	struct sgx_einittoken token;

	make_token(f, &token);
	token.mrenclave[31] ^= 1;
	mac_token(f, &token);
	assert_error(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, &token),
		     SGX_INVALID_MEASUREMENT);				/* 21 */
	make_token(f, &token);
	token.mrsigner[0] ^= 1;
	mac_token(f, &token);
	assert_error(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, &token),
		     SGX_INVALID_MEASUREMENT);				/* 21 */
	make_token(f, &token);
	token.attributes.flags ^= ATTR_DEBUG;
	mac_token(f, &token);
	assert_error(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, &token),
		     SGX_INVALID_ATTRIBUTE);				/* 22 */
	make_token(f, &token);
	token.attributes.xfrm |= XFRM_AVX;
	mac_token(f, &token);
	assert_error(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, &token),
		     SGX_INVALID_ATTRIBUTE);				/* 22 */
	assert_still_builds(f);
	(void)state;
}

static void keeps_debug_launchers_from_launching_production(void **state)
{
	struct sgx_einittoken token;
	struct isa_fixture *f;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	secs.attributes.flags = ATTR_MODE64BIT;
	f = ready(&secs);
	make_token(f, &token);
	token.attributes.flags = ATTR_MODE64BIT;
	token.maskedattributesle.flags |= ATTR_DEBUG;
	mac_token(f, &token);
	assert_error(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, &token),
		     SGX_INVALID_EINITTOKEN);				/* 17 */
	token.maskedattributesle.flags &= ~ATTR_DEBUG;
	mac_token(f, &token);
	assert_done(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, &token));
	isa_fixture_destroy(f);
	(void)state;
}

static void keeps_the_reset_hash_on_parts_without_launch_control(void **state)
{
	struct isa_profile locked = *isa_profile_at(0);
	struct isa_fixture *f = isa_fixture_create(NULL);
	const uint64_t hash[4] = { 1, 2, 3, 4 };
	uint64_t before[4];

	memcpy(before, f->os.lepubkeyhash, sizeof(before));
	locked.launch_control = false;
	f->m->config.profile = &locked;
	isa_wrmsr_lepubkeyhash(&f->os, hash);
	assert_memory_equal(f->os.lepubkeyhash, before, sizeof(before));
	f->m->config.profile = isa_profile_at(0);
	isa_wrmsr_lepubkeyhash(&f->os, hash);
	assert_memory_equal(f->os.lepubkeyhash, hash, sizeof(hash));
	isa_fixture_destroy(f);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_the_secs),
		cmocka_unit_test(faults_on_unaligned_operands),
		cmocka_unit_test(faults_on_operands_that_are_not_there),
		cmocka_unit_test(faults_when_the_page_is_no_secs),
		cmocka_unit_test(notices_every_flipped_byte_of_sigstruct),
		cmocka_unit_test(rejects_reserved_bytes_even_when_signed),
		cmocka_unit_test(accepts_both_vendors_and_any_date),
		cmocka_unit_test(rejects_a_signature_that_is_not_reduced),
		cmocka_unit_test(notices_every_flipped_byte_of_a_measured_page),
		cmocka_unit_test(rejects_product_ids_without_kss),
		cmocka_unit_test(takes_product_ids_with_kss),
		cmocka_unit_test(compares_attributes_under_the_masks),
		cmocka_unit_test(lets_only_the_launch_signer_do_without_token),
		cmocka_unit_test(gives_the_token_key_to_the_launch_signer_only),
		cmocka_unit_test(accepts_a_valid_token),
		cmocka_unit_test(accepts_a_token_of_the_launch_enclave),
		cmocka_unit_test(notices_every_flipped_byte_of_a_token),
		cmocka_unit_test(binds_the_mac_to_an_older_cpusvn),
		cmocka_unit_test(rejects_reserved_token_bytes_even_when_macced),
		cmocka_unit_test(rejects_a_token_for_another_enclave),
		cmocka_unit_test(keeps_debug_launchers_from_launching_production),
		cmocka_unit_test(keeps_the_reset_hash_on_parts_without_launch_control),
	};

	return cmocka_run_group_tests_name("EINIT", tests, setup, isa_fixture_teardown);
}
