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
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "internal.h"

/* Address spaces it is not worth looking for dead ones among. */
#define MIN_SWEEP 8u

void space_free(struct space *space)
{
	close(space->elrange_uffd);
	close(space->alias_uffd);
	free(space);
}

/* --- protecting ------------------------------------------------------------------ */

/*
 * How often to ask while a process changes its mappings.  That takes the kernel a
 * moment, unless a program that joined with events of its own never reads them.
 */
#define PROTECT_TRIES 10000u

/* 0; -ESRCH its process is gone; -EAGAIN it does not get done with its mappings. */
static int protect(int uffd, uint64_t addr, uint64_t mode)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = addr, .len = SGX_PAGE_SIZE },
		.mode = mode,
	};
	unsigned int tries = 0;
	int ret;

	while ((ret = ioctl(uffd, UFFDIO_WRITEPROTECT, &wp) ? -errno : 0) == -EAGAIN &&
	       ++tries < PROTECT_TRIES)
		sched_yield();
	/* What the program does not map there is nothing to protect. */
	return ret == -ESRCH || ret == -EAGAIN ? ret : 0;
}

static int protect_both(const struct space *space, uint64_t la, uint64_t mode)
{
	const int ret = protect(space->alias_uffd, space->alias + (la - space->dev->mem.base),
				mode);

	return ret ? ret : protect(space->elrange_uffd, la, mode);
}

/*
 * In every address space.  Those that ended are forgotten, and those that cannot be
 * reached: stores they make from here on are lost, to their own enclave.
 */
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
		dev->nr_spaces--;
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

/* Nothing is watched right below an alias, which is not an error of a process that lives. */
bool spaces_have(struct device *dev, uint64_t number)
{
	const struct space *space;
	bool found;

	pthread_mutex_lock(&dev->spaces_lock);
	space = dev->spaces;
	while (space && space->number != number)
		space = space->next;
	found = space && protect(space->alias_uffd, space->alias - SGX_PAGE_SIZE, 0) != -ESRCH;
	pthread_mutex_unlock(&dev->spaces_lock);
	return found;
}

/* --- joining ------------------------------------------------------------------- */

/*
 * A userfaultfd that is ready, and that the pager will not have to wait for: a
 * wake-up of nobody succeeds on nothing else.
 */
static bool is_userfaultfd(int fd)
{
	struct uffdio_range anywhere = { .start = UINT64_C(1) << 32, .len = SGX_PAGE_SIZE };

	return fcntl(fd, F_GETFL) & O_NONBLOCK && ioctl(fd, UFFDIO_WAKE, &anywhere) == 0;
}

static bool can_join(struct device *dev, const int uffds[2], uint64_t alias)
{
	const uint64_t size = device_range(dev).size;

	return size && alias % SGX_PAGE_SIZE == 0 && alias <= UINT64_MAX - size &&
	       is_userfaultfd(uffds[0]) && is_userfaultfd(uffds[1]);
}

/*
 * Nobody tells us that a process ended.  Where nothing is evicted it shows when
 * the list has doubled: protecting a page that needs no protection costs a fault
 * at most.
 */
static void forget_the_dead(struct device *dev)
{
	if (dev->nr_spaces < dev->sweep_at)
		return;
	spaces_zap(dev, dev->mem.base);
	dev->sweep_at = 2 * dev->nr_spaces + MIN_SWEEP;
}

/* Once it is in the list another process's fault may find it dead, and free it. */
struct joining {
	struct space *space;
	uint64_t number;
};

/* Called with the enclave's lock of the manager. */
static void add(void *ctx, const uint64_t *pages)
{
	struct joining *joining = ctx;
	struct space *space = joining->space;
	struct device *dev = space->dev;

	forget_the_dead(dev);
	pthread_mutex_lock(&dev->spaces_lock);
	space->next = dev->spaces;
	dev->spaces = space;
	dev->nr_spaces++;
	space->number = joining->number = ++dev->last_space;
	pthread_mutex_unlock(&dev->spaces_lock);
}

static struct space *space_create(struct device *dev, const int uffds[2], uint64_t alias)
{
	struct space *space = malloc(sizeof(*space));

	if (space)
		*space = (struct space){ .dev = dev, .elrange_uffd = uffds[0],
					 .alias_uffd = uffds[1], .alias = alias };
	return space;
}

int spaces_join(struct device *dev, const int uffds[2], uint64_t alias, bool again,
		uint64_t *number)
{
	const bool allowed = can_join(dev, uffds, alias);
	struct space *space = allowed ? space_create(dev, uffds, alias) : NULL;
	struct joining joining;
	int ret;

	if (!space) {
		close(uffds[0]);
		close(uffds[1]);
		return allowed ? -ENOMEM : -EINVAL;
	}
	ret = pager_watch(dev->server->pager, space);
	if (ret) {
		space_free(space);
		return ret;
	}
	joining.space = space;
	sgx_encl_run(uapi_encl_encl(dev->encl), NULL, 0, add, &joining);
	*number = joining.number;
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

/* Called with the enclave's lock of the manager: pages may still be going. */
static void forget_all(void *ctx, const uint64_t *pages)
{
	struct device *dev = ctx;
	struct space *space;

	pthread_mutex_lock(&dev->spaces_lock);
	while ((space = dev->spaces)) {
		dev->spaces = space->next;
		pager_forget(dev->server->pager, space);
	}
	dev->nr_spaces = 0;
	pthread_mutex_unlock(&dev->spaces_lock);
}

void spaces_destroy(struct device *dev)
{
	sgx_encl_run(uapi_encl_encl(dev->encl), NULL, 0, forget_all, dev);
	pager_leave(dev->server->pager, dev);
}
