/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Address spaces that map an enclave, and how its pages are taken from them.
 *
 * A page that is about to be written out is write-protected in every address
 * space first, so that nothing is stored after it was read; reading it goes on
 * until its memory is gone.  From then on every access waits for the pager.
 *
 * The list changes, and pages are protected and opened, only under the
 * enclave's lock of the manager: a process that joins sees a page either
 * before it was protected or after it is gone.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "internal.h"

void space_free(struct space *space)
{
	close(space->elrange_uffd);
	close(space->alias_uffd);
	free(space);
}

/* Called with the enclave's lock of the manager. */
static void add(void *ctx, const uint64_t *pages)
{
	struct space *space = ctx;
	struct device *dev = space->dev;

	pthread_mutex_lock(&dev->spaces_lock);
	space->next = dev->spaces;
	dev->spaces = space;
	pthread_mutex_unlock(&dev->spaces_lock);
}

int spaces_join(struct device *dev, const int uffds[2], uint64_t alias, bool again)
{
	struct space *space = malloc(sizeof(*space));
	int ret;

	if (!space) {
		close(uffds[0]);
		close(uffds[1]);
		return -ENOMEM;
	}
	*space = (struct space){ .dev = dev, .elrange_uffd = uffds[0], .alias_uffd = uffds[1],
				 .alias = alias };
	ret = pager_watch(dev->server->pager, space);
	if (ret) {
		space_free(space);
		return ret;
	}
	sgx_encl_run(uapi_encl_encl(dev->encl), NULL, 0, add, space);
	if (again)
		atomic_fetch_add(&dev->nr_attached, 1);
	atomic_fetch_add(&dev->nr_joined, 1);
	return 0;
}

static int bring_back_all(struct sgx_encl *encl)
{
	struct sgx_encl_page_info page;
	uint64_t offset = 0;
	int ret = 0;

	for (; !ret && sgx_encl_next_page(encl, offset, &offset, &page); offset += SGX_PAGE_SIZE)
		if (page.pa == ISA_NO_FRAME)
			ret = sgx_encl_fault(encl, offset, 0, &page);
	return ret ? -ENOMEM : 0;
}

int spaces_attach(struct device *dev, bool joins)
{
	int ret;

	if (!device_range(dev).size)
		return 0;
	atomic_fetch_add(&dev->nr_attached, 1);
	if (joins)
		return 0;
	ret = bring_back_all(uapi_encl_encl(dev->encl));
	if (ret)
		atomic_fetch_sub(&dev->nr_attached, 1);
	return ret;
}

bool spaces_reach_all(struct device *dev)
{
	return atomic_load(&dev->nr_joined) == atomic_load(&dev->nr_attached);
}

/* 0; -ESRCH its process is gone. */
static int protect(int uffd, uint64_t addr, uint64_t mode)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = addr, .len = SGX_PAGE_SIZE },
		.mode = mode,
	};
	int ret;

	/* EAGAIN: its mappings are just changing. */
	do
		ret = ioctl(uffd, UFFDIO_WRITEPROTECT, &wp) ? -errno : 0;
	while (ret == -EAGAIN);
	/* What the program does not map there is nothing to protect. */
	return ret == -ESRCH ? ret : 0;
}

static int protect_both(const struct space *space, uint64_t la, uint64_t mode)
{
	const int ret = protect(space->alias_uffd, space->alias + (la - space->dev->mem.base),
				mode);

	return ret ? ret : protect(space->elrange_uffd, la, mode);
}

/* In every address space; those that ended are forgotten. */
static void protect_all(struct device *dev, uint64_t la, uint64_t mode)
{
	struct space **p = &dev->spaces;

	pthread_mutex_lock(&dev->spaces_lock);
	while (*p) {
		struct space *space = *p;

		if (protect_both(space, la, mode) == 0) {
			p = &space->next;
			continue;
		}
		*p = space->next;
		pager_forget(dev->server->pager, space);
	}
	pthread_mutex_unlock(&dev->spaces_lock);
}

void spaces_zap(struct device *dev, uint64_t la)
{
	protect_all(dev, la, UFFDIO_WRITEPROTECT_MODE_WP);
}

void spaces_map(struct device *dev, uint64_t la)
{
	protect_all(dev, la, 0);
}

void spaces_destroy(struct device *dev)
{
	struct space *space;

	while ((space = dev->spaces)) {
		dev->spaces = space->next;
		pager_forget(dev->server->pager, space);
	}
	pager_leave(dev->server->pager, dev);
}
