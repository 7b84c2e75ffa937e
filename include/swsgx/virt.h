/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest with virtual EPC may do with ENCLS, for the hypervisor that runs
 * it: which leaves exit, what a leaf that exits is answered before anything is
 * executed, and ECREATE and EINIT on the guest's behalf.  The two need help
 * because a guest may be told of less than the machine has: what its CPUID does
 * not announce no SECS of it may ask for, and the launch-key hash it wrote is
 * not in the machine's MSRs.
 */
#ifndef SWSGX_VIRT_H
#define SWSGX_VIRT_H

#include <stdbool.h>
#include <stdint.h>

#include <swsgx/epc.h>
#include <swsgx/isa.h>

/* One virtual processor: what its CPUID and registers say, and what it was granted. */
struct sgx_virt_guest {
	bool has_sgx;			/* CPUID.07H.0:EBX[2] */
	uint32_t cpuid_12_0_eax;	/* SGX1, SGX2 */
	uint32_t miscselect;		/* CPUID.12H.0:EBX */
	uint8_t max_size_32;		/* log2, CPUID.12H.0:EDX[7:0] */
	uint8_t max_size_64;		/* log2, CPUID.12H.0:EDX[15:8] */
	uint64_t attributes;		/* CPUID.12H.1 EBX:EAX */
	uint64_t xfrm;			/* CPUID.12H.1 EDX:ECX */
	uint64_t xcr0;
	uint64_t feature_control;	/* IA32_FEATURE_CONTROL */
	uint64_t lepubkeyhash[4];	/* IA32_SGXLEPUBKEYHASH0..3 */
	bool paging;			/* CR0.PG */
	bool mode64;			/* in 64-bit mode: else addresses have 32 bits */
	/*
	 * Linear-address masking: how many low bits of a user's and of a
	 * supervisor's address count, 48 or 57; 0: all do.
	 */
	uint8_t lam_user, lam_supervisor;
	bool may_provision;		/* its owner holds the right to PROVISIONKEY */
};

/**
 * sgx_virt_guest_init() - a guest in 64-bit mode that is told all of @profile.
 * @xcr0: the guest's.  It may not provision; SGX is enabled, as its firmware would.
 * The launch-key hash is zero: set it to what the guest's MSRs begin with.
 */
void sgx_virt_guest_init(struct sgx_virt_guest *guest, const struct isa_profile *profile,
			 uint64_t xcr0);

/* Bit n: leaf n exits; bit 63 stands for all leaves from 63 on. */
#define SGX_VIRT_EXIT(leaf) (1ull << ((leaf) < 63 ? (leaf) : 63))

/**
 * sgx_virt_exit_bitmap() - the ENCLS-exiting bitmap for @guest.
 * @host: the machine's profile.
 * @nested: what the guest, itself a hypervisor, wants to exit for its own; or 0.
 * To be asked again when the guest's CPUID, its right to provision or its
 * IA32_FEATURE_CONTROL changed.
 * Source: SDM, ENCLS-exiting bitmap; behaviour of Linux KVM.
 */
uint64_t sgx_virt_exit_bitmap(const struct isa_profile *host, const struct sgx_virt_guest *guest,
			      uint64_t nested);

/**
 * sgx_virt_may_execute() - the checks that come before any operand is looked at.
 * @out: set when it may not: #UD without SGX, else #GP.
 */
bool sgx_virt_may_execute(const struct sgx_virt_guest *guest, uint32_t leaf,
			  struct isa_outcome *out);

/*
 * The guest's memory, by its linear addresses: as struct isa_mmu has it.
 * translate() answers the physical address of a page of its virtual EPC.
 */
struct sgx_virt_memory {
	const struct isa_mmu *mmu;
	void *ctx;
};

/**
 * sgx_virt_ecreate() - ECREATE as the guest asked for it, if it may.
 * @rbx, @rcx: its operands.
 * PAGEINFO, SECINFO and the source of the SECS are copied before they are
 * checked: what the guest writes meanwhile is of no effect.
 * Context: holds no lock while @memory is called.
 * Return: what the guest is to see.  Whatever its CPUID, XCR0, or lack of a right
 * forbids is #GP; a #PF of the EPCM is #GP to a guest without SGX2, which knows
 * no such #PF.
 * Source: SDM, ECREATE; behaviour of Linux sgx_virt_ecreate() and KVM.
 */
struct isa_outcome sgx_virt_ecreate(struct sgx_epc_pool *pool, const struct sgx_virt_guest *guest,
				    const struct sgx_virt_memory *memory, uint64_t rbx,
				    uint64_t rcx);

/**
 * sgx_virt_einit() - EINIT under the guest's launch-key hash.
 * @rbx, @rcx, @rdx: its operands.
 * Return: what the guest is to see, codes included; faults as sgx_virt_ecreate().
 * Source: SDM, EINIT; behaviour of Linux sgx_virt_einit() and KVM.
 */
struct isa_outcome sgx_virt_einit(struct sgx_epc_pool *pool, const struct sgx_virt_guest *guest,
				  const struct sgx_virt_memory *memory, uint64_t rbx,
				  uint64_t rcx, uint64_t rdx);

#endif /* SWSGX_VIRT_H */
