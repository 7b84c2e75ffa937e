/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MRENCLAVE is SHA-256 over 64-byte blocks, one for ECREATE, one for each EADD
 * and five for each EEXTEND of 256 bytes.
 *
 * Source: SDM volume 3D, "ECREATE", "EADD" and "EEXTEND", Operation.
 */
#include "measure.h"

#include <string.h>

#include "sgx-arch.h"

#define BLOCK_SIZE 64
#define CHUNK_SIZE 256

static void hash(struct measure *m, const void *data, size_t len)
{
	if (m->ok && EVP_DigestUpdate(m->md, data, len) != 1)
		m->ok = false;
}

void measure_ecreate(struct measure *m, uint32_t ssaframesize, uint64_t size)
{
	uint8_t block[BLOCK_SIZE] = "ECREATE";

	m->md = EVP_MD_CTX_new();
	m->ok = m->md && EVP_DigestInit_ex(m->md, EVP_sha256(), NULL) == 1;

	memcpy(block + 8, &ssaframesize, sizeof(ssaframesize));
	memcpy(block + 12, &size, sizeof(size));
	hash(m, block, sizeof(block));
}

static void measure_eextend(struct measure *m, uint64_t offset, const uint8_t *chunk)
{
	uint8_t block[BLOCK_SIZE] = "EEXTEND";

	memcpy(block + 8, &offset, sizeof(offset));
	hash(m, block, sizeof(block));
	hash(m, chunk, CHUNK_SIZE);
}

void measure_page(struct measure *m, uint64_t offset, uint64_t secinfo, const uint8_t *page)
{
	uint8_t block[BLOCK_SIZE] = "EADD";

	memcpy(block + 8, &offset, sizeof(offset));
	memcpy(block + 16, &secinfo, sizeof(secinfo));
	hash(m, block, sizeof(block));

	for (unsigned int i = 0; page && i < PAGE_SIZE; i += CHUNK_SIZE)
		measure_eextend(m, offset + i, page + i);
}

bool measure_final(struct measure *m, uint8_t mrenclave[32])
{
	if (m->ok && EVP_DigestFinal_ex(m->md, mrenclave, NULL) != 1)
		m->ok = false;
	EVP_MD_CTX_free(m->md);
	m->md = NULL;
	return m->ok;
}
