/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of one open file description of /dev/sgx_enclave.  Opening it costs
 * no EPC: the first page is taken by CREATE.
 */
#include <errno.h>
#include <stdlib.h>

#include "encl.h"

int uapi_encl_open(struct sgx_epc_pool *pool, const struct uapi_platform *platform,
		   const struct uapi_events *events, const struct sgx_encl_config *config,
		   struct uapi_encl **out)
{
	struct uapi_encl *e;
	int ret;

	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;

	e->pool = pool;
	e->platform = *platform;
	e->events = *events;
	atomic_init(&e->busy, false);
	atomic_init(&e->created, false);
	atomic_init(&e->initialized, false);

	ret = sgx_encl_create(pool, config, &e->encl);
	if (ret) {
		free(e);
		return ret;
	}

	*out = e;
	return 0;
}

void uapi_encl_release(struct uapi_encl *e)
{
	if (!e)
		return;

	sgx_encl_release(e->encl);
	free(e);
}

struct sgx_encl *uapi_encl_encl(struct uapi_encl *e)
{
	return e->encl;
}

bool uapi_range_is_valid(const struct uapi_encl *e, uint64_t offset, uint64_t length)
{
	if (((offset | length) & ~SGX_PAGE_MASK) || !length)
		return false;

	/* Without adding the two: the sum may wrap. */
	return offset < e->size && length <= e->size - offset;
}
