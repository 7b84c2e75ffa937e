/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Address spaces that map an enclave.  Each has told us how it learns that a page is
 * not there; one that could not would silently get an empty page, so pages stay
 * where they are while there is such a process.
 *
 * The list changes only under the enclave's lock of the manager: for a process that
 * joins a page is either there or not.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
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

/* --- filling --------------------------------------------------------------------- */

static const struct space *find(const struct device *dev, uint64_t number)
{
	const struct space *space = dev->spaces;

	while (space && space->number != number)
		space = space->next;
	return space;
}

static bool fill(const struct space *space, bool alias, uint64_t la, const void *contents)
{
	struct uffdio_copy copy = {
		.dst = alias ? space->alias + (la - space->dev->mem.base) : la,
		.src = (uintptr_t)contents,
		.len = SGX_PAGE_SIZE,
		/* Who faults in ELRANGE is in a signal handler, and asks. */
		.mode = alias ? 0 : UFFDIO_COPY_MODE_DONTWAKE,
	};

	return ioctl(alias ? space->alias_uffd : space->elrange_uffd, UFFDIO_COPY, &copy) == 0;
}

bool spaces_fill(struct device *dev, const struct toucher *by, uint64_t la, const void *contents)
{
	const struct space *space;
	bool done;

	pthread_mutex_lock(&dev->spaces_lock);
	space = find(dev, by->number);
	done = space && fill(space, by->alias, la, contents);
	pthread_mutex_unlock(&dev->spaces_lock);
	return done;
}

/* --- the end of a process ---------------------------------------------------------- */

/* Nothing is protected: the question fails, and how says whether there is a process. */
static bool is_dead(const struct space *space)
{
	struct uffdio_writeprotect nothing = {
		.range = { .start = space->alias, .len = SGX_PAGE_SIZE },
	};

	return ioctl(space->alias_uffd, UFFDIO_WRITEPROTECT, &nothing) && errno == ESRCH;
}

bool spaces_have(struct device *dev, uint64_t number)
{
	const struct space *space;
	bool found;

	pthread_mutex_lock(&dev->spaces_lock);
	space = find(dev, number);
	found = space && !is_dead(space);
	pthread_mutex_unlock(&dev->spaces_lock);
	return found;
}

bool spaces_have_like(struct device *dev, uint64_t number, uint64_t mask)
{
	const struct space *space;
	bool found = false;

	pthread_mutex_lock(&dev->spaces_lock);
	for (space = dev->spaces; space && !found; space = space->next)
		found = (space->number & mask) == number && !is_dead(space);
	pthread_mutex_unlock(&dev->spaces_lock);
	return found;
}

static void forget(struct space **p)
{
	struct space *space = *p;

	*p = space->next;
	space->dev->nr_spaces--;
	pager_forget(space->dev->server->pager, space);
}

/* Nobody tells us that a process ended.  It shows when the list has doubled. */
static void forget_the_dead(struct device *dev)
{
	struct space **p = &dev->spaces;

	if (dev->nr_spaces < dev->sweep_at)
		return;
	while (*p)
		if (is_dead(*p))
			forget(p);
		else
			p = &(*p)->next;
	dev->sweep_at = 2 * dev->nr_spaces + MIN_SWEEP;
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

/* Called with the enclave's lock of the manager. */
static void add(void *ctx, const uint64_t *pages)
{
	struct space *space = ctx;
	struct device *dev = space->dev;

	pthread_mutex_lock(&dev->spaces_lock);
	forget_the_dead(dev);
	space->next = dev->spaces;
	dev->spaces = space;
	dev->nr_spaces++;
	pthread_mutex_unlock(&dev->spaces_lock);
}

static struct space *space_create(struct device *dev, const int uffds[2], uint64_t alias)
{
	struct space *space = malloc(sizeof(*space));

	if (space)
		*space = (struct space){ .dev = dev, .elrange_uffd = uffds[0],
					 .alias_uffd = uffds[1], .alias = alias,
					 .number = atomic_fetch_add(&dev->last_space, 1) + 1 };
	return space;
}

int spaces_join(struct device *dev, const int uffds[2], uint64_t alias, bool again,
		uint64_t *number)
{
	const bool allowed = can_join(dev, uffds, alias);
	struct space *space = allowed ? space_create(dev, uffds, alias) : NULL;
	int ret;

	if (!space) {
		close(uffds[0]);
		close(uffds[1]);
		return allowed ? -ENOMEM : -EINVAL;
	}
	/* Once it is in the list another process that joins may find it dead, and free it. */
	*number = space->number;
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
		ret = sgx_encl_fault(encl, offset, 0, NULL, &page);
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
