/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where things lie in the hello enclave.  The linker script makes a flat image
 * of this shape; the signer measures it and the program loads it, region by
 * region and in this order, because the order is part of the measurement.
 */
#ifndef HELLO_LAYOUT_H
#define HELLO_LAYOUT_H

#define HELLO_TCS_OFFSET 0x0000
#define HELLO_SSA_OFFSET 0x1000
#define HELLO_CODE_OFFSET 0x3000
#define HELLO_DATA_OFFSET 0x5000
#define HELLO_STACK_OFFSET 0x6000
#define HELLO_IMAGE_SIZE 0x8000

/* SECS.SIZE; a power of two, of which the image fills the lower half. */
#define HELLO_ENCLAVE_SIZE 0x10000
#define HELLO_SSAFRAMESIZE 1
#define HELLO_NSSA 2

#ifndef __ASSEMBLER__
#include <sys/mman.h>

#include "sgx-arch.h"

/**
 * struct region - pages of the image that are added with one SECINFO.
 * @name: for messages.
 * @offset: first byte, from the start of the enclave and of the image.
 * @length: bytes, a multiple of the page size.
 * @secinfo: SECINFO.FLAGS.
 * @prot: how the program maps it.  A TCS has no SECINFO rights, but the
 *        processor itself reads and writes it.
 */
struct region {
	const char *name;
	uint64_t offset;
	uint64_t length;
	uint64_t secinfo;
	int prot;
};

static const struct region hello_regions[] = {
	{ "TCS", HELLO_TCS_OFFSET, HELLO_SSA_OFFSET - HELLO_TCS_OFFSET,
	  SECINFO_TCS, PROT_READ | PROT_WRITE },
	{ "SSA", HELLO_SSA_OFFSET, HELLO_CODE_OFFSET - HELLO_SSA_OFFSET,
	  SECINFO_REG | SECINFO_R | SECINFO_W, PROT_READ | PROT_WRITE },
	{ "code", HELLO_CODE_OFFSET, HELLO_DATA_OFFSET - HELLO_CODE_OFFSET,
	  SECINFO_REG | SECINFO_R | SECINFO_X, PROT_READ | PROT_EXEC },
	{ "data", HELLO_DATA_OFFSET, HELLO_STACK_OFFSET - HELLO_DATA_OFFSET,
	  SECINFO_REG | SECINFO_R | SECINFO_W, PROT_READ | PROT_WRITE },
	{ "stack", HELLO_STACK_OFFSET, HELLO_IMAGE_SIZE - HELLO_STACK_OFFSET,
	  SECINFO_REG | SECINFO_R | SECINFO_W, PROT_READ | PROT_WRITE },
};

#define HELLO_NR_REGIONS (sizeof(hello_regions) / sizeof(hello_regions[0]))

static_assert(HELLO_IMAGE_SIZE <= HELLO_ENCLAVE_SIZE, "the image fits the enclave");
#endif /* __ASSEMBLER__ */

#endif /* HELLO_LAYOUT_H */
