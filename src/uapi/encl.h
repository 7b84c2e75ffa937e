/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of this layer share: the state behind one open file
 * description, and one function per ioctl.
 */
#ifndef SWSGX_UAPI_ENCL_H
#define SWSGX_UAPI_ENCL_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <swsgx/uapi.h>

/*
 * Two kinds of caller meet here.  At most one ioctl runs at a time, holding
 * @busy; the mmap rule runs beside it.  So the mmap rule reads nothing but
 * @created, @initialized and what @created publishes.
 */
struct uapi_encl {
	struct sgx_epc_pool *pool;
	struct uapi_platform platform;
	struct uapi_events events;
	struct sgx_encl *encl;

	atomic_bool busy;		/* an ioctl is in progress */
	atomic_bool created;		/* release: base and size are final */
	atomic_bool initialized;

	uint64_t base, size;		/* written once, before @created */
	uint64_t attributes;		/* of the SECS; holder of @busy */
	uint64_t attributes_mask;	/* what INIT lets through; holder of @busy */
};

static inline bool uapi_encl_is_created(const struct uapi_encl *e)
{
	return atomic_load_explicit(&e->created, memory_order_acquire);
}

static inline bool uapi_encl_is_initialized(const struct uapi_encl *e)
{
	return atomic_load_explicit(&e->initialized, memory_order_acquire);
}

/* One ioctl each: @arg is the caller's argument, not yet looked at.  Hold @busy. */
long uapi_ioc_create(struct uapi_encl *e, const struct uapi_task *task, uint64_t arg);
long uapi_ioc_add_pages(struct uapi_encl *e, const struct uapi_task *task, uint64_t arg);
long uapi_ioc_init(struct uapi_encl *e, const struct uapi_task *task, uint64_t arg);
long uapi_ioc_provision(struct uapi_encl *e, const struct uapi_task *task, uint64_t arg);
long uapi_ioc_restrict_permissions(struct uapi_encl *e, const struct uapi_task *task,
				   uint64_t arg);
long uapi_ioc_modify_types(struct uapi_encl *e, const struct uapi_task *task, uint64_t arg);
long uapi_ioc_remove_pages(struct uapi_encl *e, const struct uapi_task *task, uint64_t arg);

/**
 * uapi_restart() - what a call returns that met @err after @count bytes.
 *
 * The manager says -EINTR when a signal came while it waited for EPC.  As long as
 * nothing was done the call is one to be made again, which libc's user never sees.
 */
static inline int uapi_restart(int err, uint64_t count)
{
	return err == -EINTR && !count ? -UAPI_ERESTARTSYS : err;
}

/** uapi_range_is_valid() - is [@offset, @offset + @length) whole pages of the enclave? */
bool uapi_range_is_valid(const struct uapi_encl *e, uint64_t offset, uint64_t length);

#endif /* SWSGX_UAPI_ENCL_H */
