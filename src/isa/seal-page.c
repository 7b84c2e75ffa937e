/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cryptography of pages outside EPC: AES-128-GCM under the paging key, with
 * a version that is in the VA slot and nowhere else.
 *
 * What the MAC covers beside the contents is architecture: whose page it is,
 * where it belongs, what it may be used for.  How that is laid out is ours.
 *
 * Source: SDM volume 3D, EWB and ELDB/ELDU, Operation, MAC_HEADER.
 */
#include "internal.h"

#define IV_SIZE 12u

/* A debugger that reads a VA slot is told nothing of its low bits. */
#define VERSION_SHIFT 3

struct mac_header {
	uint64_t eid;
	uint64_t linaddr;
	struct sgx_secinfo secinfo;
	uint8_t reserved[40];		/* of PCMD */
	uint8_t zero[8];
};

static_assert(sizeof(struct mac_header) == 128, "no holes: all of it is authenticated");

uint64_t isa_seal_version(struct isa_machine *m)
{
	return atomic_fetch_add_explicit(&m->paging_version, 1, memory_order_relaxed)
	       << VERSION_SHIFT;
}

/* A version is used once under a key, so what starts with it is a nonce. */
static void fill_iv(uint8_t iv[IV_SIZE], uint64_t version)
{
	memset(iv, 0, IV_SIZE);
	memcpy(iv, &version, sizeof(version));
}

static void fill_header(struct mac_header *header, const struct isa_sealed *s)
{
	header->eid = s->eid;
	header->linaddr = s->linaddr;
	header->secinfo = s->pcmd->secinfo;
	memcpy(header->reserved, s->pcmd->reserved_72, sizeof(header->reserved));
	memset(header->zero, 0, sizeof(header->zero));
}

void isa_seal_page(struct isa_machine *m, const struct isa_sealed *s, const void *page, void *out,
		   uint8_t mac[16])
{
	struct mac_header header;
	uint8_t iv[IV_SIZE];

	fill_iv(iv, s->version);
	fill_header(&header, s);
	isa_gcm_seal(m->paging,
		     &(struct isa_gcm_message){
			     .iv = iv,
			     .aad = &header,
			     .aad_size = sizeof(header),
			     .in = page,
			     .out = out,
			     .size = SGX_PAGE_SIZE,
		     },
		     mac);
}

bool isa_unseal_page(struct isa_machine *m, const struct isa_sealed *s, void *page)
{
	struct mac_header header;
	uint8_t iv[IV_SIZE];

	fill_iv(iv, s->version);
	fill_header(&header, s);
	return isa_gcm_open(m->paging,
			    &(struct isa_gcm_message){
				    .iv = iv,
				    .aad = &header,
				    .aad_size = sizeof(header),
				    .in = page,
				    .out = page,
				    .size = SGX_PAGE_SIZE,
			    },
			    s->pcmd->mac);
}
