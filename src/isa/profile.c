/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parts a machine can be.  A profile announces only what the processor here
 * executes, so none announces SGX2 yet; beyond that each follows what CPUID
 * says on the hardware its summary names.
 */
#include <string.h>

#include "internal.h"

static const struct isa_profile profiles[] = {
	{
		/* As Ice Lake-SP, less SGX2 and PKRU. */
		.name = "default",
		.summary = "SGX1 leaves with KSS, EXINFO, AVX-512 and launch control",
		.cpuid_12_0_eax = 0x1,
		.miscselect = MISC_EXINFO,
		.max_size_32 = 31,
		.max_size_64 = 56,
		.attributes = ATTR_DEBUG | ATTR_MODE64BIT | ATTR_PROVISIONKEY |
			      ATTR_EINITTOKEN_KEY | ATTR_KSS,
		.xfrm = XFRM_X87_SSE | XFRM_AVX | XFRM_AVX512,
		.launch_control = true,
		.cpusvn = { 0x0a, 0x0a, 0x0f, 0x0f, 0xff, 0x02, 0x02 },
	},
	{
		/* As Coffee Lake: no EXINFO, no KSS, a 64 GiB limit. */
		.name = "sgx1-client",
		.summary = "SGX1 desktop part with launch control, without KSS and EXINFO",
		.cpuid_12_0_eax = 0x1,
		.miscselect = 0,
		.max_size_32 = 31,
		.max_size_64 = 36,
		.attributes = ATTR_DEBUG | ATTR_MODE64BIT | ATTR_PROVISIONKEY |
			      ATTR_EINITTOKEN_KEY,
		.xfrm = XFRM_X87_SSE | XFRM_AVX | 0x18,
		.launch_control = true,
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
