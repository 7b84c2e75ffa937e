/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The few structures of the SGX architecture that a program needs to build and
 * sign an enclave by itself.  <asm/sgx.h> describes the ioctls only; what they
 * point at is the manual's business.
 *
 * Source: SDM volume 3D, "Enclave Access Control and Data Structures"; the
 * offset of each field stands beside it.
 */
#ifndef HELLO_SGX_ARCH_H
#define HELLO_SGX_ARCH_H

#include <assert.h>
#include <stdint.h>

#define PAGE_SIZE 4096u

#define SECINFO_R 0x1u
#define SECINFO_W 0x2u
#define SECINFO_X 0x4u
#define SECINFO_TCS 0x100u
#define SECINFO_REG 0x200u

#define ATTR_MODE64BIT 0x4u
#define XFRM_X87_SSE 0x3u

#define ENCLU_EENTER 2
#define ENCLU_ERESUME 3
#define ENCLU_EEXIT 4

struct secs {
	uint64_t size;			/* 0 */
	uint64_t baseaddr;		/* 8 */
	uint32_t ssaframesize;		/* 16: pages */
	uint32_t miscselect;		/* 20 */
	uint8_t reserved_24[24];
	uint64_t attributes;		/* 48 */
	uint64_t xfrm;			/* 56 */
	uint8_t reserved_64[4032];
};

struct secinfo {
	uint64_t flags;			/* 0 */
	uint8_t reserved_8[56];
};

struct tcs {
	uint64_t state;			/* 0 */
	uint64_t flags;			/* 8 */
	uint64_t ossa;			/* 16 */
	uint32_t cssa;			/* 24 */
	uint32_t nssa;			/* 28 */
	uint64_t oentry;		/* 32 */
	uint64_t aep;			/* 40 */
	uint64_t ofsbase;		/* 48 */
	uint64_t ogsbase;		/* 56 */
	uint32_t fslimit;		/* 64 */
	uint32_t gslimit;		/* 68 */
	uint8_t reserved_72[4024];
};

struct sigstruct {
	uint8_t header[16];		/* 0 */
	uint32_t vendor;		/* 16 */
	uint32_t date;			/* 20: BCD, 0xYYYYMMDD */
	uint8_t header2[16];		/* 24 */
	uint32_t swdefined;		/* 40 */
	uint8_t reserved_44[84];
	uint8_t modulus[384];		/* 128: little-endian, as all big numbers here */
	uint32_t exponent;		/* 512 */
	uint8_t signature[384];		/* 516 */
	uint32_t miscselect;		/* 900 */
	uint32_t miscmask;		/* 904 */
	uint8_t reserved_908[20];
	uint64_t attributes;		/* 928 */
	uint64_t xfrm;			/* 936 */
	uint64_t attributemask;		/* 944 */
	uint64_t xfrmmask;		/* 952 */
	uint8_t enclavehash[32];	/* 960 */
	uint8_t reserved_992[32];
	uint16_t isvprodid;		/* 1024 */
	uint16_t isvsvn;		/* 1026 */
	uint8_t reserved_1028[12];
	uint8_t q1[384];		/* 1040 */
	uint8_t q2[384];		/* 1424 */
};

static_assert(sizeof(struct secs) == PAGE_SIZE, "SECS is one page");
static_assert(sizeof(struct tcs) == PAGE_SIZE, "TCS is one page");
static_assert(sizeof(struct secinfo) == 64, "SECINFO is 64 bytes");
static_assert(sizeof(struct sigstruct) == 1808, "SIGSTRUCT is 1808 bytes");

#endif /* HELLO_SGX_ARCH_H */
