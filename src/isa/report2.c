/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EVERIFYREPORT2: was a REPORTMACSTRUCT made on this machine?
 *
 * On hardware a TDX module has them made, with a key that never leaves the
 * processor.  There is no such module here, so whoever plays one calls
 * isa_report2_mac().
 *
 * Source: SDM volume 3D, EVERIFYREPORT2; trailing numbers are its checks.
 */
#include "internal.h"

#define REPORTMACSTRUCT_ALIGNMENT 256u
#define NEWEST_VERSION 1u
#define MAC_SIZE offsetof(struct sgx_reportmacstruct, mac)

static bool is_well_formed(const struct sgx_reportmacstruct *r)
{
	return r->reporttype.type == REPORTTYPE_TDX && !r->reporttype.subtype &&
	       r->reporttype.version <= NEWEST_VERSION && !r->reporttype.reserved_3 &&
	       isa_is_zero(r->reserved_4, sizeof(r->reserved_4)) &&
	       isa_is_zero(r->reserved_192, sizeof(r->reserved_192));
}

void isa_report2_mac(const struct isa_machine *m, struct sgx_reportmacstruct *report)
{
	isa_hmac_sha256(m->report2_key, report, MAC_SIZE, report->mac);
}

/**
 * isa_everifyreport2() - ENCLU[EVERIFYREPORT2]: verify the REPORTMACSTRUCT at RBX.
 * Source: SDM, EVERIFYREPORT2, Operation.
 */
struct isa_outcome isa_everifyreport2(struct isa_lp *lp)
{
	struct sgx_reportmacstruct report;
	struct isa_outcome out;
	const void *in;
	uint8_t mac[32];

	if (!isa_is_aligned(lp->rbx, REPORTMACSTRUCT_ALIGNMENT))
		return isa_gp();					/* 1 */
	in = isa_encl_operand(lp, lp->rbx, SECINFO_R, &out);
	if (!in)
		return out;						/* 1 */
	memcpy(&report, in, sizeof(report));
	if (!is_well_formed(&report))
		return isa_zf(SGX_INVALID_REPORTMACSTRUCT);		/* 2 */
	if (!isa_cpusvn_is_supported(lp->m, report.cpusvn))
		return isa_zf(SGX_INVALID_CPUSVN);			/* 3 */
	isa_hmac_sha256(lp->m->report2_key, &report, MAC_SIZE, mac);
	if (!isa_memeq(mac, report.mac, sizeof(mac)))
		return isa_zf(SGX_INVALID_REPORTMACSTRUCT);		/* 4 */
	return isa_ok();
}
