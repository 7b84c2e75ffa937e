/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keys: EREPORT, EGETKEY, and the key behind an EINITTOKEN's MAC.
 *
 * Which inputs a key depends on is architecture; the derivation itself is
 * not, and here it is AES-128-CMAC over a block of all inputs, under a secret
 * that comes from the machine's seed.
 *
 * Source: SDM, EREPORT, EGETKEY and EINIT, Operation; "Key Derivation".
 */
#include "internal.h"

#define TARGETINFO_ALIGNMENT 512u
#define REPORTDATA_ALIGNMENT 128u
#define REPORT_ALIGNMENT 512u
#define KEYREQUEST_ALIGNMENT 512u
#define KEY_ALIGNMENT 16u

#define REPORT_MAC_SIZE offsetof(struct sgx_report, keyid)
#define EINITTOKEN_MAC_SIZE offsetof(struct sgx_einittoken, cpusvnle)

/* Every key takes INIT and DEBUG into account, whatever the request masks. */
#define ALWAYS_IN_KEY (ATTR_INIT | ATTR_DEBUG)

#define PADDING_SIZE 352u

/* The inputs of a derivation; what a key does not depend on stays 0. */
struct dependencies {
	uint16_t keyname;
	uint16_t isvprodid;
	uint16_t isvsvn;
	uint16_t configsvn;
	uint32_t miscselect;
	uint32_t miscmask;
	struct sgx_attributes attributes;
	struct sgx_attributes attributemask;
	uint16_t keypolicy;
	uint8_t cet_attributes;
	uint8_t cet_attributes_mask;
	uint8_t reserved[12];
	uint8_t ownerepoch[16];
	uint8_t seal_fuses[16];
	uint8_t cpusvn[16];
	uint8_t isvfamilyid[16];
	uint8_t isvextprodid[16];
	uint8_t mrenclave[32];
	uint8_t mrsigner[32];
	uint8_t keyid[32];
	uint8_t configid[64];
	uint8_t padding[PADDING_SIZE];
};

static_assert(sizeof(struct dependencies) == 64 + 5 * 16 + 3 * 32 + 64 + PADDING_SIZE,
	      "no holes: all of it is hashed");

/* The PKCS #1 prefix of every valid signature, so of every SECS after EINIT. */
static void fill_padding(uint8_t padding[PADDING_SIZE])
{
	static const uint8_t digest_info[] = {
		0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
		0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
	};
	const size_t info_at = PADDING_SIZE - sizeof(digest_info);

	memset(padding, 0xff, PADDING_SIZE);
	padding[0] = 0x00;
	padding[1] = 0x01;
	padding[info_at - 1] = 0x00;
	memcpy(padding + info_at, digest_info, sizeof(digest_info));
}

static void derive(const struct isa_machine *m, struct dependencies *dep, uint8_t key[16])
{
	fill_padding(dep->padding);
	isa_aes128_cmac(m->root_key, dep, sizeof(*dep), key);
}

/* A secret of its own for each purpose: SHA-256 of a label and 32 bytes. */
static void label_secret(const char label[32], const uint8_t secret[32], uint8_t *out, size_t n)
{
	uint8_t message[64], digest[32];

	memcpy(message, label, 32);
	memcpy(message + 32, secret, 32);
	isa_sha256(message, sizeof(message), digest);
	memcpy(out, digest, n);
}

/* What a power cycle has of its own. */
static void derive_of_power_cycle(struct isa_machine *m)
{
	static const char keyid[32] = "swsgx report key id";
	static const char paging[32] = "swsgx paging key";
	static const char report2[32] = "swsgx report2 key";
	uint8_t paging_key[16];

	label_secret(keyid, m->config.boot_random, m->report_keyid, sizeof(m->report_keyid));
	label_secret(report2, m->config.boot_random, m->report2_key, sizeof(m->report2_key));
	label_secret(paging, m->config.boot_random, paging_key, sizeof(paging_key));
	isa_gcm_set_key(m->paging, paging_key);
}

void isa_keys_init(struct isa_machine *m)
{
	static const char root[32] = "swsgx root key";
	static const char fuses[32] = "swsgx seal fuses";

	label_secret(root, m->config.seed, m->root_key, sizeof(m->root_key));
	label_secret(fuses, m->config.seed, m->seal_fuses, sizeof(m->seal_fuses));
	derive_of_power_cycle(m);
}

void isa_keys_renew(struct isa_machine *m)
{
	static const char next[32] = "swsgx next power cycle";

	label_secret(next, m->config.boot_random, m->config.boot_random,
		     sizeof(m->config.boot_random));
	derive_of_power_cycle(m);
}

static void read_owner_epoch(const struct isa_machine *m, uint8_t epoch[16])
{
	for (int i = 0; i < 2; i++) {
		const uint64_t half = atomic_load_explicit(&m->owner_epoch[i],
							   memory_order_relaxed);

		memcpy(epoch + 8 * i, &half, sizeof(half));
	}
}

/* CPUSVN has one component a byte; each may be as new as the machine's or older. */
bool isa_cpusvn_is_supported(const struct isa_machine *m, const uint8_t cpusvn[16])
{
	for (int i = 0; i < 16; i++)
		if (cpusvn[i] > m->cpusvn[i])
			return false;
	return true;
}

void isa_einittoken_mac(const struct isa_machine *m, const struct sgx_einittoken *token,
			const uint8_t lepubkeyhash[32], uint8_t mac[16])
{
	struct dependencies dep = {
		.keyname = KEY_EINITTOKEN,
		.isvprodid = token->isvprodidle,
		.isvsvn = token->isvsvnle,
		.attributes = token->maskedattributesle,
		.miscselect = token->maskedmiscselectle,
		.cet_attributes = token->cet_masked_attributes_le,
	};
	uint8_t key[16];

	read_owner_epoch(m, dep.ownerepoch);
	memcpy(dep.seal_fuses, m->seal_fuses, sizeof(dep.seal_fuses));
	memcpy(dep.cpusvn, token->cpusvnle, sizeof(dep.cpusvn));
	memcpy(dep.keyid, token->keyid, sizeof(dep.keyid));
	memcpy(dep.mrsigner, lepubkeyhash, sizeof(dep.mrsigner));
	derive(m, &dep, key);
	isa_aes128_cmac(key, token, EINITTOKEN_MAC_SIZE, mac);
}

/* --- EREPORT ------------------------------------------------------------- */

/* Whom a report key belongs to: a TARGETINFO, or the enclave that asks. */
struct report_key_owner {
	const uint8_t *mrenclave;	/* 32 bytes */
	const uint8_t *configid;	/* 64 bytes */
	struct sgx_attributes attributes;
	uint32_t miscselect;
	uint16_t configsvn;
	uint8_t cet_attributes;
};

static void derive_report_key(const struct isa_machine *m, const struct report_key_owner *owner,
			      const uint8_t keyid[32], uint8_t key[16])
{
	struct dependencies dep = {
		.keyname = KEY_REPORT,
		.configsvn = owner->configsvn,
		.attributes = owner->attributes,
		.miscselect = owner->miscselect,
		.cet_attributes = owner->cet_attributes,
	};

	memcpy(dep.configid, owner->configid, sizeof(dep.configid));
	read_owner_epoch(m, dep.ownerepoch);
	memcpy(dep.seal_fuses, m->seal_fuses, sizeof(dep.seal_fuses));
	memcpy(dep.cpusvn, m->cpusvn, sizeof(dep.cpusvn));
	memcpy(dep.mrenclave, owner->mrenclave, sizeof(dep.mrenclave));
	memcpy(dep.keyid, keyid, sizeof(dep.keyid));
	derive(m, &dep, key);
}

static bool targetinfo_reserved_is_zero(const struct sgx_targetinfo *target)
{
	/* No profile has CET, so CET_ATTRIBUTES counts as reserved. */
	return !target->cet_attributes && !target->reserved_49 &&
	       isa_is_zero(target->reserved_56, sizeof(target->reserved_56)) &&
	       isa_is_zero(target->reserved_128, sizeof(target->reserved_128));
}

static void fill_report(const struct isa_machine *m, struct sgx_secs *secs,
			const uint8_t reportdata[64], struct sgx_report *report)
{
	const struct isa_secs_state *state = isa_secs_state(secs);

	memset(report, 0, sizeof(*report));
	memcpy(report->cpusvn, m->cpusvn, sizeof(report->cpusvn));
	report->miscselect = secs->miscselect;
	report->cet_attributes = secs->cet_attributes;
	report->attributes = secs->attributes;
	memcpy(report->mrenclave, secs->mrenclave, sizeof(report->mrenclave));
	memcpy(report->mrsigner, secs->mrsigner, sizeof(report->mrsigner));
	report->isvprodid = secs->isvprodid;
	report->isvsvn = secs->isvsvn;
	/* All 0 without KSS: ECREATE and EINIT saw to it. */
	memcpy(report->isvextprodid, state->isvextprodid, sizeof(report->isvextprodid));
	memcpy(report->isvfamilyid, state->isvfamilyid, sizeof(report->isvfamilyid));
	memcpy(report->configid, secs->configid, sizeof(report->configid));
	report->configsvn = secs->configsvn;
	memcpy(report->reportdata, reportdata, sizeof(report->reportdata));
	memcpy(report->keyid, m->report_keyid, sizeof(report->keyid));
}

static void mac_report(const struct isa_machine *m, const struct sgx_targetinfo *target,
		       struct sgx_report *report)
{
	const struct report_key_owner owner = {
		.mrenclave = target->measurement,
		.configid = target->configid,
		.attributes = target->attributes,
		.miscselect = target->miscselect,
		.configsvn = target->configsvn,
		.cet_attributes = target->cet_attributes,
	};
	uint8_t key[16];

	derive_report_key(m, &owner, report->keyid, key);
	isa_aes128_cmac(key, report, REPORT_MAC_SIZE, report->mac);
}

/**
 * isa_ereport() - ENCLU[EREPORT]: a report for the enclave that RBX names.
 * Source: SDM, EREPORT, Operation.
 */
struct isa_outcome isa_ereport(struct isa_lp *lp)
{
	struct isa_machine *m = lp->m;
	struct sgx_secs *secs = isa_epc_page(m, &m->epcm[lp->secs_frame]);
	struct sgx_targetinfo target;
	struct sgx_report report;
	struct isa_outcome out;
	uint8_t reportdata[64];
	const void *in;
	void *output;

	if (!isa_is_aligned(lp->rbx, TARGETINFO_ALIGNMENT))
		return isa_gp();					/* 1 */
	in = isa_encl_operand(lp, lp->rbx, SECINFO_R, &out);
	if (!in)
		return out;						/* 1 */
	memcpy(&target, in, sizeof(target));
	if (!targetinfo_reserved_is_zero(&target))
		return isa_gp();					/* 2 */
	if (!isa_is_aligned(lp->rcx, REPORTDATA_ALIGNMENT))
		return isa_gp();					/* 3 */
	in = isa_encl_operand(lp, lp->rcx, SECINFO_R, &out);
	if (!in)
		return out;						/* 3 */
	memcpy(reportdata, in, sizeof(reportdata));
	if (!isa_is_aligned(lp->rdx, REPORT_ALIGNMENT))
		return isa_gp();					/* 4 */
	output = isa_encl_operand(lp, lp->rdx, SECINFO_W, &out);
	if (!output)
		return out;						/* 4 */

	fill_report(m, secs, reportdata, &report);
	mac_report(m, &target, &report);
	memcpy(output, &report, sizeof(report));
	return isa_ok();
}

/* --- EGETKEY ------------------------------------------------------------- */

static bool keyrequest_is_well_formed(const struct sgx_keyrequest *req, const struct sgx_secs *secs)
{
	/* No profile has CET, so CET_ATTRIBUTES_MASK counts as reserved. */
	if (req->cet_attributes_mask || req->reserved_7 ||
	    (req->keypolicy & KEYPOLICY_RESERVED) ||
	    !isa_is_zero(req->reserved_78, sizeof(req->reserved_78)))
		return false;						/* 3 */
	return (secs->attributes.flags & ATTR_KSS) ||
	       (!(req->keypolicy & KEYPOLICY_KSS) && !req->configsvn);	/* 4 */
}

/* The attribute an enclave needs for a key; 0: none. */
static uint64_t required_attribute(uint16_t keyname)
{
	switch (keyname) {
	case KEY_EINITTOKEN:
		return ATTR_EINITTOKEN_KEY;
	case KEY_PROVISION:
	case KEY_PROVISION_SEAL:
		return ATTR_PROVISIONKEY;
	}
	return 0;
}

/* Does the request's CONFIGSVN count for this key? */
static bool uses_configsvn(const struct sgx_keyrequest *req)
{
	return req->keyname == KEY_SEAL ||
	       (req->keyname == KEY_PROVISION_SEAL && (req->keypolicy & KEYPOLICY_CONFIGID));
}

/* Checks 5-9: what this enclave may ask for. */
static struct isa_outcome check_request(const struct isa_machine *m, const struct sgx_secs *secs,
					const struct sgx_keyrequest *req)
{
	const uint64_t required = required_attribute(req->keyname);

	if (req->keyname > KEY_SEAL)
		return isa_zf(SGX_INVALID_KEYNAME);			/* 5 */
	if ((secs->attributes.flags & required) != required)
		return isa_zf(SGX_INVALID_ATTRIBUTE);			/* 6 */
	if (req->keyname == KEY_REPORT)
		return isa_ok();
	if (!isa_cpusvn_is_supported(m, req->cpusvn))
		return isa_zf(SGX_INVALID_CPUSVN);			/* 7 */
	if (req->isvsvn > secs->isvsvn)
		return isa_zf(SGX_INVALID_ISVSVN);			/* 8 */
	if (uses_configsvn(req) && req->configsvn > secs->configsvn)
		return isa_zf(SGX_INVALID_ISVSVN);			/* 9 */
	return isa_ok();
}

/* What all keys but REPORT have in common. */
static struct dependencies common_dependencies(const struct sgx_secs *secs,
					       const struct sgx_keyrequest *req)
{
	struct dependencies dep = {
		.keyname = req->keyname,
		.isvprodid = secs->isvprodid,
		.isvsvn = req->isvsvn,
		.attributes = {
			.flags = secs->attributes.flags &
				 (req->attributemask.flags | ALWAYS_IN_KEY),
			.xfrm = secs->attributes.xfrm & req->attributemask.xfrm,
		},
		.miscselect = secs->miscselect & req->miscmask,
		.cet_attributes = secs->cet_attributes & req->cet_attributes_mask,
	};

	memcpy(dep.cpusvn, req->cpusvn, sizeof(dep.cpusvn));
	return dep;
}

/* Inputs KEYPOLICY selects, in PROVISION_SEAL and SEAL. */
static void add_policy(struct dependencies *dep, struct sgx_secs *secs,
		       const struct sgx_keyrequest *req)
{
	const struct isa_secs_state *state = isa_secs_state(secs);

	dep->keypolicy = req->keypolicy;
	if (req->keypolicy & KEYPOLICY_NOISVPRODID)
		dep->isvprodid = 0;
	if (req->keypolicy & KEYPOLICY_CONFIGID) {
		memcpy(dep->configid, secs->configid, sizeof(dep->configid));
		dep->configsvn = req->configsvn;
	}
	if (req->keypolicy & KEYPOLICY_ISVFAMILYID)
		memcpy(dep->isvfamilyid, state->isvfamilyid, sizeof(dep->isvfamilyid));
	if (req->keypolicy & KEYPOLICY_ISVEXTPRODID)
		memcpy(dep->isvextprodid, state->isvextprodid, sizeof(dep->isvextprodid));
}

static void derive_einittoken_key(const struct isa_machine *m, const struct sgx_secs *secs,
				  const struct sgx_keyrequest *req, uint8_t key[16])
{
	struct dependencies dep = common_dependencies(secs, req);

	read_owner_epoch(m, dep.ownerepoch);
	memcpy(dep.seal_fuses, m->seal_fuses, sizeof(dep.seal_fuses));
	memcpy(dep.mrsigner, secs->mrsigner, sizeof(dep.mrsigner));
	memcpy(dep.keyid, req->keyid, sizeof(dep.keyid));
	derive(m, &dep, key);
}

/* PROVISION outlives the owner and the fuses: neither enters. */
static void derive_provision_key(const struct isa_machine *m, const struct sgx_secs *secs,
				 const struct sgx_keyrequest *req, uint8_t key[16])
{
	struct dependencies dep = common_dependencies(secs, req);

	dep.attributemask = req->attributemask;
	dep.miscmask = ~req->miscmask;
	memcpy(dep.mrsigner, secs->mrsigner, sizeof(dep.mrsigner));
	derive(m, &dep, key);
}

static void derive_provision_seal_key(const struct isa_machine *m, struct sgx_secs *secs,
				      const struct sgx_keyrequest *req, uint8_t key[16])
{
	struct dependencies dep = common_dependencies(secs, req);

	dep.attributemask = req->attributemask;
	dep.miscmask = ~req->miscmask;
	memcpy(dep.seal_fuses, m->seal_fuses, sizeof(dep.seal_fuses));
	memcpy(dep.mrsigner, secs->mrsigner, sizeof(dep.mrsigner));
	add_policy(&dep, secs, req);
	derive(m, &dep, key);
}

static void derive_seal_key(const struct isa_machine *m, struct sgx_secs *secs,
			    const struct sgx_keyrequest *req, uint8_t key[16])
{
	struct dependencies dep = common_dependencies(secs, req);

	dep.attributemask = req->attributemask;
	dep.miscmask = ~req->miscmask;
	dep.cet_attributes_mask = req->cet_attributes_mask;
	read_owner_epoch(m, dep.ownerepoch);
	memcpy(dep.seal_fuses, m->seal_fuses, sizeof(dep.seal_fuses));
	memcpy(dep.keyid, req->keyid, sizeof(dep.keyid));
	if (req->keypolicy & KEYPOLICY_MRENCLAVE)
		memcpy(dep.mrenclave, secs->mrenclave, sizeof(dep.mrenclave));
	if (req->keypolicy & KEYPOLICY_MRSIGNER)
		memcpy(dep.mrsigner, secs->mrsigner, sizeof(dep.mrsigner));
	add_policy(&dep, secs, req);
	derive(m, &dep, key);
}

static void derive_own_report_key(const struct isa_machine *m, const struct sgx_secs *secs,
				  const struct sgx_keyrequest *req, uint8_t key[16])
{
	const struct report_key_owner owner = {
		.mrenclave = secs->mrenclave,
		.configid = secs->configid,
		.attributes = secs->attributes,
		.miscselect = secs->miscselect,
		.configsvn = secs->configsvn,
		.cet_attributes = secs->cet_attributes,
	};

	derive_report_key(m, &owner, req->keyid, key);
}

static void derive_requested(const struct isa_machine *m, struct sgx_secs *secs,
			     const struct sgx_keyrequest *req, uint8_t key[16])
{
	switch ((enum sgx_keyname)req->keyname) {
	case KEY_EINITTOKEN:
		derive_einittoken_key(m, secs, req, key);
		return;
	case KEY_PROVISION:
		derive_provision_key(m, secs, req, key);
		return;
	case KEY_PROVISION_SEAL:
		derive_provision_seal_key(m, secs, req, key);
		return;
	case KEY_REPORT:
		derive_own_report_key(m, secs, req, key);
		return;
	case KEY_SEAL:
		derive_seal_key(m, secs, req, key);
		return;
	}
	isa_bug();
}

/**
 * isa_egetkey() - ENCLU[EGETKEY]: the key that KEYREQUEST at RBX describes.
 * On an error code the 16 bytes at RCX are untouched.
 * Source: SDM, EGETKEY, Operation.
 */
struct isa_outcome isa_egetkey(struct isa_lp *lp)
{
	struct isa_machine *m = lp->m;
	struct sgx_secs *secs = isa_epc_page(m, &m->epcm[lp->secs_frame]);
	struct sgx_keyrequest req;
	struct isa_outcome out;
	const void *in;
	uint8_t key[16];
	void *output;

	if (!isa_is_aligned(lp->rbx, KEYREQUEST_ALIGNMENT))
		return isa_gp();					/* 1 */
	in = isa_encl_operand(lp, lp->rbx, SECINFO_R, &out);
	if (!in)
		return out;						/* 1 */
	memcpy(&req, in, sizeof(req));
	if (!isa_is_aligned(lp->rcx, KEY_ALIGNMENT))
		return isa_gp();					/* 2 */
	output = isa_encl_operand(lp, lp->rcx, SECINFO_W, &out);
	if (!output)
		return out;						/* 2 */
	if (!keyrequest_is_well_formed(&req, secs))
		return isa_gp();					/* 3, 4 */
	out = check_request(m, secs, &req);
	if (!isa_is_done(out))
		return out;						/* 5-9 */

	derive_requested(m, secs, &req, key);
	memcpy(output, key, sizeof(key));
	return isa_ok();
}
