/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parts a machine can be: what CPUID and the MSRs say on the hardware each
 * summary names.  The first one is the default: it can do whatever any part
 * can, so most software runs on it.
 */
#include <string.h>

#include "internal.h"

#define SGX1 CPUID_12_0_EAX_SGX1
#define SGX2 CPUID_12_0_EAX_SGX2
#define OVERSUB (CPUID_12_0_EAX_ENCLV | CPUID_12_0_EAX_ENCLS_OSS)

#define ATTR_SGX1 (ATTR_DEBUG | ATTR_MODE64BIT | ATTR_PROVISIONKEY | ATTR_EINITTOKEN_KEY)

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static const struct isa_profile profiles[] = {
	{
		.name = "newest",
		.summary = "server part of the Granite Rapids kind: every leaf and feature",
		.cpuid_12_0_eax = SGX1 | SGX2 | OVERSUB | CPUID_12_0_EAX_EVERIFYREPORT2 |
				  CPUID_12_0_EAX_EUPDATESVN | CPUID_12_0_EAX_EDECCSSA,
		.miscselect = MISC_EXINFO,
		.max_size_32 = 31,
		.max_size_64 = 56,
		.attributes = ATTR_SGX1 | ATTR_KSS | ATTR_AEXNOTIFY,
		.xfrm = XFRM_X87_SSE | XFRM_AVX | XFRM_AVX512 | XFRM_PKRU | XFRM_AMX,
		.launch_control = true,
		.epc_size = 64 * MIB,
		.cpusvn = { 0x0e, 0x0e, 0x03, 0x03, 0xff, 0xff, 0x01 },
	},
	{
		.name = "server",
		.summary = "server part of the Ice Lake kind: SGX2, KSS, EPC oversubscription, large EPC",
		.cpuid_12_0_eax = SGX1 | SGX2 | OVERSUB,
		.miscselect = MISC_EXINFO,
		.max_size_32 = 31,
		.max_size_64 = 56,
		.attributes = ATTR_SGX1 | ATTR_KSS,
		.xfrm = XFRM_X87_SSE | XFRM_AVX | XFRM_AVX512 | XFRM_PKRU,
		.launch_control = true,
		.epc_size = 4 * GIB,
		.cpusvn = { 0x0a, 0x0a, 0x0f, 0x0f, 0xff, 0x02, 0x02 },
	},
	{
		.name = "sgx2-client",
		.summary = "desktop part with SGX2, launch control and EXINFO, without KSS and AVX-512",
		.cpuid_12_0_eax = SGX1 | SGX2,
		.miscselect = MISC_EXINFO,
		.max_size_32 = 31,
		.max_size_64 = 36,
		.attributes = ATTR_SGX1,
		.xfrm = XFRM_X87_SSE | XFRM_AVX | XFRM_PKRU,
		.launch_control = true,
		.epc_size = 128 * MIB,
		.cpusvn = { 0x0f, 0x0f, 0x02, 0x04, 0x01, 0x80, 0x01 },
	},
	{
		/* 128 MiB are set aside; the integrity tree takes its part. */
		.name = "sgx1-client",
		.summary = "desktop part of the Skylake kind: SGX1, launch key locked to Intel's signer",
		.cpuid_12_0_eax = SGX1,
		.miscselect = 0,
		.max_size_32 = 31,
		.max_size_64 = 36,
		.attributes = ATTR_SGX1,
		.xfrm = XFRM_X87_SSE | XFRM_AVX | XFRM_MPX,
		.launch_control = false,
		.epc_size = 187 * MIB / 2,
		.cpusvn = { 0x0f, 0x0f, 0x02, 0x04, 0x01, 0x80 },
	},
};

#define NR_PROFILES (sizeof(profiles) / sizeof(profiles[0]))

const struct isa_profile *isa_profile_at(size_t i)
{
	return i < NR_PROFILES ? &profiles[i] : NULL;
}

const struct isa_profile *isa_profile_find(const char *name)
{
	for (size_t i = 0; i < NR_PROFILES; i++)
		if (!strcmp(profiles[i].name, name))
			return &profiles[i];
	return NULL;
}
