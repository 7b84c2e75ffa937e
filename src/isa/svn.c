/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The security version of the part: microcode that is loaded while the machine
 * runs has one of its own, and EUPDATESVN makes it count.
 *
 * Source: SDM volume 3D, EUPDATESVN.
 */
#include "internal.h"

void isa_microcode_load(struct isa_machine *m, const uint8_t cpusvn[16])
{
	memcpy(m->loaded_svn, cpusvn, sizeof(m->loaded_svn));
}

void isa_cpusvn(const struct isa_machine *m, uint8_t cpusvn[16])
{
	memcpy(cpusvn, m->cpusvn, sizeof(m->cpusvn));
}

static void release(struct isa_machine *m, uint64_t nr_frames)
{
	for (uint64_t i = 0; i < nr_frames; i++)
		isa_epcm_release_exclusive(&m->epcm[i]);
}

/*
 * Every page held, so no leaf is at work on any; and no enclave is left whose
 * leaves could do without.
 */
static struct isa_outcome hold_unused_epc(struct isa_machine *m)
{
	struct isa_outcome out = isa_ok();
	uint64_t i;

	for (i = 0; i < m->nr_frames && isa_is_done(out); i++) {
		if (!isa_epcm_try_exclusive(&m->epcm[i])) {
			out = isa_zf(SGX_EPC_PAGE_CONFLICT);
			break;
		}
		if (isa_epcm_is_valid(&m->epcm[i]))
			out = isa_zf(SGX_EPC_NOT_READY);
	}
	if (!isa_is_done(out))
		release(m, i);
	return out;
}

/* The processor's own keys change in any case; what EGETKEY gives, by version. */
static struct isa_outcome update(struct isa_machine *m)
{
	isa_keys_renew(m);
	if (isa_cpusvn_is_supported(m, m->loaded_svn))
		return isa_cf(SGX_NO_UPDATE);
	memcpy(m->cpusvn, m->loaded_svn, sizeof(m->cpusvn));
	return isa_ok();
}

/**
 * isa_eupdatesvn() - ENCLS[EUPDATESVN]: adopt the version of the loaded microcode.
 * SGX_INSUFFICIENT_ENTROPY cannot happen by itself: boot_random goes a long way.
 * Source: SDM, EUPDATESVN, Operation.
 */
struct isa_outcome isa_eupdatesvn(struct isa_lp *lp)
{
	struct isa_outcome out = hold_unused_epc(lp->m);

	if (!isa_is_done(out))
		return out;
	out = update(lp->m);
	release(lp->m, lp->m->nr_frames);
	return out;
}
