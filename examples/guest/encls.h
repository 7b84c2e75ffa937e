/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ENCLS, the instruction a kernel manages enclaves with, and what it works on.
 * A program may execute it under swsgx while it has virtual EPC mapped: it plays
 * the kernel of a guest whose EPC that is.
 *
 * Source: SDM volume 3D, ENCLS and the structures named here.
 */
#ifndef GUEST_ENCLS_H
#define GUEST_ENCLS_H

#include <stdint.h>

#include "sgx-arch.h"

enum encls_leaf {
	ENCLS_ECREATE = 0x00,
	ENCLS_EADD = 0x01,
	ENCLS_EINIT = 0x02,
	ENCLS_EREMOVE = 0x03,
	ENCLS_EDBGRD = 0x04,
	ENCLS_EEXTEND = 0x06,
	ENCLS_ELDU = 0x08,
	ENCLS_EBLOCK = 0x09,
	ENCLS_EPA = 0x0a,
	ENCLS_EWB = 0x0b,
	ENCLS_ETRACK = 0x0c,
	ENCLS_EAUG = 0x0d,
};

#define SGX_CHILD_PRESENT 13

#define SECINFO_SECS 0x000u

struct pageinfo {
	uint64_t linaddr;		/* 0 */
	const void *srcpge;		/* 8 */
	const void *secinfo;		/* 16: or PCMD */
	void *secs;			/* 24 */
} __attribute__((aligned(32)));

struct encls_result {
	uint64_t rax, rbx;
	uint64_t rflags;
};

/**
 * encls() - execute a leaf.
 *
 * Return: registers afterwards; of leaves that report a status, RAX is 0 or the
 * code.  A fault is a signal: SIGSEGV, or SIGILL where there is no such instruction.
 */
static inline struct encls_result encls(enum encls_leaf leaf, const void *rbx, const void *rcx,
					const void *rdx)
{
	struct encls_result r;

	__asm__ volatile("encls\n\t"
			 "pushfq\n\t"
			 "pop %2"
			 : "=a"(r.rax), "=b"(r.rbx), "=&r"(r.rflags)
			 : "0"((uint64_t)leaf), "1"(rbx), "c"(rcx), "d"(rdx)
			 : "memory", "cc");
	return r;
}

/* Part of the launch-key hash, which EINIT goes by: IA32_SGXLEPUBKEYHASHn. */
#define MSR_SGXLEPUBKEYHASH0 0x8cu

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

#endif /* GUEST_ENCLS_H */
