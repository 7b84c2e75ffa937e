/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What /dev/sgx_enclave, /dev/sgx_provision and /dev/sgx_vepc mean: ioctls, mmap and mprotect
 * rules, errno values.  No I/O of its own: whoever carries the call supplies
 * struct uapi_task.  Numbers and structures are <asm/sgx.h>'s.
 *
 * Source: behaviour of Linux arch/x86/kernel/cpu/sgx/{driver,ioctl,encl,virt}.c.
 */
#ifndef SWSGX_UAPI_H
#define SWSGX_UAPI_H

#include <stdbool.h>
#include <stdint.h>

#include <swsgx/epc.h>

/* Not an errno a program sees: the call was interrupted before it did anything. */
#define UAPI_ERESTARTSYS 512

/* The calling thread, as a kernel would know it. */
struct uapi_task {
	void *ctx;
	/* 0 or -EFAULT. */
	int (*copy_from_user)(void *ctx, void *dst, uint64_t uaddr, size_t n);
	int (*copy_to_user)(void *ctx, uint64_t uaddr, const void *src, size_t n);
	/*
	 * Source pages of ADD_PAGES, one page per call, in order: *@page is set to
	 * the contents of the page at @uaddr, page aligned and there until the next
	 * call.  They may already be where the enclave's page at @offset will have
	 * its own.  @left: bytes the ioctl still wants, from @uaddr on.
	 * 0, -EFAULT (nothing mapped), -EACCES (mapping can never be executable).
	 */
	int (*source_page)(void *ctx, uint64_t uaddr, uint64_t offset, uint64_t left,
			   const void **page);
	bool (*signal_pending)(void *ctx);
	/* Is @fd of the caller an open /dev/sgx_provision? */
	bool (*is_provision_fd)(void *ctx, uint64_t fd);
};

/* What the processor supports; the reserved masks INIT checks come from it. */
struct uapi_platform {
	const struct isa_profile *profile;
	/* SHA-256 of @n bytes: MRSIGNER, for the launch-key hash MSRs. */
	void (*sha256)(const void *data, size_t n, uint8_t digest[32]);
};

/*
 * Told when an enclave changes, so that its owner can share it with the
 * program.  Called by the thread in uapi_encl_ioctl(), which holds no lock but
 * keeps other ioctls of the enclave out.
 */
struct uapi_events {
	void *ctx;
	/*
	 * ECREATE is about to run on @secs: prepare the memory pages are placed
	 * in.  Its size is a power of two the profile supports, but the rest
	 * of @secs is as the program wrote it.  0 or -ENOMEM.
	 */
	int (*prepare)(void *ctx, const struct sgx_secs *secs);
	/* ECREATE succeeded / failed after prepare(). */
	void (*created)(void *ctx, const struct sgx_secs *secs, uint64_t secs_pa);
	void (*create_failed)(void *ctx);
	void (*page_added)(void *ctx, uint64_t offset, const struct sgx_encl_page_info *page);
	void (*initialized)(void *ctx);
};

/* One open file description of /dev/sgx_enclave. */
struct uapi_encl;

/**
 * uapi_encl_open() - open("/dev/sgx_enclave").
 * @platform, @events: copied, apart from what they point to; every member set.
 * @config: owner and cookie for the manager.
 * @out: set on success only; the caller's until uapi_encl_release().
 * Return: 0; -ENOMEM.
 */
int uapi_encl_open(struct sgx_epc_pool *pool, const struct uapi_platform *platform,
		   const struct uapi_events *events, const struct sgx_encl_config *config,
		   struct uapi_encl **out);

/**
 * uapi_encl_release() - last reference gone: frees every EPC page.
 * NULL is fine.  No call on @e may be running.
 */
void uapi_encl_release(struct uapi_encl *e);

/**
 * uapi_encl_ioctl() - ioctl(fd, @cmd, @arg).
 * Context: any thread; a call while another runs on @e gives -EBUSY at once.
 * Return: >= 0 or -errno (-UAPI_ERESTARTSYS included).
 */
long uapi_encl_ioctl(struct uapi_encl *e, const struct uapi_task *task, unsigned int cmd,
		     uint64_t arg);

/**
 * uapi_encl_may_map() - the rule of mmap() and mprotect().
 * @start, @end: page-aligned addresses, @start < @end.
 * @prot: PROT_READ | _WRITE | _EXEC.
 * @read_implies_exec: the caller's personality has READ_IMPLIES_EXEC.
 * Context: any thread, beside an ioctl on @e.
 * Return: 0; -EACCES outside an initialized enclave's range, rights beyond a
 * page's maximum, or @read_implies_exec.
 */
int uapi_encl_may_map(struct uapi_encl *e, uint64_t start, uint64_t end, int prot,
		      bool read_implies_exec);

/**
 * uapi_vepc_ioctl() - ioctl(fd, @cmd, @arg) of /dev/sgx_vepc.
 * Context: any thread, also beside faults and another ioctl.
 * Return: SGX_IOC_VEPC_REMOVE_ALL: as sgx_vepc_remove_all(), -EINVAL @arg is not
 * 0; -ENOTTY any other.
 */
long uapi_vepc_ioctl(struct sgx_vepc *vepc, unsigned int cmd, uint64_t arg);

/** uapi_encl_encl() - the manager's enclave beneath; never NULL. */
struct sgx_encl *uapi_encl_encl(struct uapi_encl *e);

#endif /* SWSGX_UAPI_H */
