/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ENCLS for guests: the policy between what a guest asks for and what the
 * machine would let anybody have.
 */
#include <swsgx/virt.h>

#include "internal.h"

#define PAGEINFO_ALIGNMENT 32u
#define SECINFO_ALIGNMENT 64u
#define EINITTOKEN_ALIGNMENT 512u

/* Leaves 0 to ETRACK came with SGX1, those up to EMODT with SGX2. */
#define LEAF_ECREATE 0x00u
#define LEAF_EINIT 0x02u
#define LEAF_ETRACK 0x0cu
#define LEAF_EMODT 0x0fu

/* Bits 0 to @last. */
#define UP_TO(last) ((2ull << (last)) - 1)

static struct isa_outcome gp(void)
{
	return (struct isa_outcome){ .kind = ISA_FAULT, .vector = X86_GP };
}

static struct isa_outcome epf(uint64_t la)
{
	return (struct isa_outcome){
		.kind = ISA_FAULT,
		.vector = X86_PF,
		.error_code = PFEC_P | PFEC_W | PFEC_SGX,
		.address = la,
	};
}

void sgx_virt_guest_init(struct sgx_virt_guest *guest, const struct isa_profile *profile,
			 uint64_t xcr0)
{
	*guest = (struct sgx_virt_guest){
		.has_sgx = profile->cpuid_12_0_eax & CPUID_12_0_EAX_SGX1,
		.cpuid_12_0_eax = profile->cpuid_12_0_eax,
		.miscselect = profile->miscselect,
		.max_size_32 = profile->max_size_32,
		.max_size_64 = profile->max_size_64,
		.attributes = profile->attributes,
		.xfrm = profile->xfrm,
		.xcr0 = xcr0,
		.feature_control = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_SGX_ENABLE,
		.paging = true,
		.mode64 = true,
	};
}

/* --- which leaves exit ---------------------------------------------------- */

static bool is_enabled(const struct sgx_virt_guest *guest)
{
	const uint64_t both = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_SGX_ENABLE;

	return (guest->feature_control & both) == both;
}

/* Would the machine let a SECS have what the guest's CPUID does not? */
static bool ecreate_needs_policy(const struct isa_profile *host,
				 const struct sgx_virt_guest *guest)
{
	return !guest->may_provision || guest->miscselect != host->miscselect ||
	       guest->max_size_32 != host->max_size_32 ||
	       guest->max_size_64 != host->max_size_64 ||
	       guest->attributes != host->attributes || guest->xfrm != host->xfrm;
}

uint64_t sgx_virt_exit_bitmap(const struct isa_profile *host, const struct sgx_virt_guest *guest,
			      uint64_t nested)
{
	uint64_t bitmap = UINT64_MAX;

	if (!guest->has_sgx || !is_enabled(guest))
		return bitmap;
	if (guest->cpuid_12_0_eax & CPUID_12_0_EAX_SGX1) {
		bitmap &= ~UP_TO(LEAF_ETRACK);
		if (ecreate_needs_policy(host, guest))
			bitmap |= SGX_VIRT_EXIT(LEAF_ECREATE);
	}
	if (guest->cpuid_12_0_eax & CPUID_12_0_EAX_SGX2)
		bitmap &= ~(UP_TO(LEAF_EMODT) & ~UP_TO(LEAF_ETRACK));
	/* The hash MSRs are the machine's, and the guest has its own. */
	if (host->launch_control)
		bitmap |= SGX_VIRT_EXIT(LEAF_EINIT);
	return bitmap | nested;
}

static bool has_leaf(const struct sgx_virt_guest *guest, uint32_t leaf)
{
	if (leaf <= LEAF_ETRACK)
		return true;
	return leaf <= LEAF_EMODT && (guest->cpuid_12_0_eax & CPUID_12_0_EAX_SGX2);
}

bool sgx_virt_may_execute(const struct sgx_virt_guest *guest, uint32_t leaf,
			  struct isa_outcome *out)
{
	if (!guest->has_sgx || !(guest->cpuid_12_0_eax & CPUID_12_0_EAX_SGX1)) {
		*out = (struct isa_outcome){ .kind = ISA_FAULT, .vector = X86_UD };
		return false;
	}
	if (!has_leaf(guest, leaf) || !is_enabled(guest) || !guest->paging) {
		*out = gp();
		return false;
	}
	return true;
}

/* --- operands ------------------------------------------------------------- */

/* Bits from @width up to 62 are no part of the address: bit @width - 1 stands for them. */
static uint64_t without_tag(uint64_t la, unsigned int width)
{
	const uint64_t low = la & ((1ull << width) - 1);
	const uint64_t high = low >> (width - 1) ? ~((1ull << width) - 1) : 0;

	return ((low | high) & ~(1ull << 63)) | (la & (1ull << 63));
}

static bool is_canonical(uint64_t la)
{
	return (uint64_t)((int64_t)(la << 16) >> 16) == la;
}

/* A linear address of the guest's, from a register or PAGEINFO; false: #GP. */
static bool take_address(const struct sgx_virt_guest *guest, uint64_t *la, uint64_t alignment)
{
	if (!guest->mode64) {
		*la = (uint32_t)*la;
	} else {
		const unsigned int width = *la >> 63 ? guest->lam_supervisor : guest->lam_user;

		if (width)
			*la = without_tag(*la, width);
		if (!is_canonical(*la))
			return false;
	}
	return !(*la & (alignment - 1));
}

static bool read_guest(const struct sgx_virt_memory *memory, uint64_t la, void *dst, size_t n,
		       struct isa_outcome *out)
{
	return memory->mmu->read(memory->ctx, la, dst, n, out);
}

/* What the host's leaf said of the SECS at @la, in terms the guest knows. */
static struct isa_outcome reflect(const struct sgx_virt_guest *guest, struct isa_outcome out,
				  uint64_t la)
{
	if (out.kind != ISA_FAULT)
		return out;
	if (out.vector == X86_PF && (guest->cpuid_12_0_eax & CPUID_12_0_EAX_SGX2))
		return epf(la);
	return gp();
}

/* The EPC page at @la, which the leaf writes to. */
static bool find_epc(const struct sgx_virt_guest *guest, const struct sgx_virt_memory *memory,
		     uint64_t la, uint64_t *pa, struct isa_outcome *out)
{
	if (!memory->mmu->translate(memory->ctx, la, true, pa, out))
		return false;
	*out = reflect(guest, epf(la), la);
	return *pa != ISA_NO_FRAME;
}

/* --- ECREATE -------------------------------------------------------------- */

static bool xfrm_is_allowed(const struct sgx_virt_guest *guest, uint64_t xfrm)
{
	/* The guest cannot have more inside than its operating system saves outside. */
	return !(xfrm & ~guest->xfrm) && !(xfrm & ~(guest->xcr0 | XFRM_X87_SSE)) &&
	       (xfrm & XFRM_X87_SSE) == XFRM_X87_SSE;
}

static bool secs_is_allowed(const struct sgx_virt_guest *guest, const struct sgx_secs *secs)
{
	const uint64_t attributes = secs->attributes.flags;
	const unsigned int max_size = attributes & ATTR_MODE64BIT ? guest->max_size_64
								  : guest->max_size_32;

	if ((attributes & ATTR_PROVISIONKEY) && !guest->may_provision)
		return false;
	if (secs->miscselect & ~guest->miscselect)
		return false;
	if (attributes & ~guest->attributes)
		return false;
	if (!xfrm_is_allowed(guest, secs->attributes.xfrm))
		return false;
	return max_size >= 64 || secs->size < 1ull << max_size;
}

struct isa_outcome sgx_virt_ecreate(struct sgx_epc_pool *pool, const struct sgx_virt_guest *guest,
				    const struct sgx_virt_memory *memory, uint64_t rbx,
				    uint64_t rcx)
{
	const struct epc_encls_ops *ops = &pool->ops;
	_Alignas(4096) struct sgx_secs secs;
	_Alignas(64) struct sgx_secinfo secinfo;
	_Alignas(32) struct sgx_pageinfo pageinfo;
	struct isa_outcome out;
	uint64_t pa;

	if (!take_address(guest, &rbx, PAGEINFO_ALIGNMENT) ||
	    !take_address(guest, &rcx, SGX_PAGE_SIZE))
		return gp();
	if (!read_guest(memory, rbx, &pageinfo, sizeof(pageinfo), &out))
		return out;
	if (!take_address(guest, &pageinfo.secinfo_or_pcmd, SECINFO_ALIGNMENT) ||
	    !take_address(guest, &pageinfo.srcpge, SGX_PAGE_SIZE))
		return gp();
	if (!find_epc(guest, memory, rcx, &pa, &out))
		return out;
	if (!read_guest(memory, pageinfo.secinfo_or_pcmd, &secinfo, sizeof(secinfo), &out) ||
	    !read_guest(memory, pageinfo.srcpge, &secs, sizeof(secs), &out))
		return out;
	if (!secs_is_allowed(guest, &secs))
		return gp();

	/* LINADDR and SECS stay the guest's, for the leaf to check. */
	pageinfo.srcpge = (uintptr_t)&secs;
	pageinfo.secinfo_or_pcmd = (uintptr_t)&secinfo;
	return reflect(guest, ops->ecreate(ops->ctx, &pageinfo, pa), rcx);
}

/* --- EINIT ---------------------------------------------------------------- */

struct isa_outcome sgx_virt_einit(struct sgx_epc_pool *pool, const struct sgx_virt_guest *guest,
				  const struct sgx_virt_memory *memory, uint64_t rbx,
				  uint64_t rcx, uint64_t rdx)
{
	const struct epc_encls_ops *ops = &pool->ops;
	_Alignas(4096) struct sgx_sigstruct sigstruct;
	_Alignas(512) struct sgx_einittoken token;
	struct isa_outcome out;
	uint64_t pa;

	if (!take_address(guest, &rbx, SGX_PAGE_SIZE) || !take_address(guest, &rcx, SGX_PAGE_SIZE) ||
	    !take_address(guest, &rdx, EINITTOKEN_ALIGNMENT))
		return gp();
	if (!find_epc(guest, memory, rcx, &pa, &out))
		return out;
	if (!read_guest(memory, rbx, &sigstruct, sizeof(sigstruct), &out) ||
	    !read_guest(memory, rdx, &token, sizeof(token), &out))
		return out;
	return reflect(guest, ops->einit(ops->ctx, &sigstruct, &token, pa, guest->lepubkeyhash),
		       rcx);
}
