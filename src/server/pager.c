/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two threads: one brings back pages that clients wait for in their kernel, the
 * other writes pages out when free ones are short.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "internal.h"

struct pager {
	struct sgx_epc_pool *pool;
	pthread_t faults, reclaimer;
	int epoll;
	int wake_faults, wake_reclaimer;	/* eventfds */
	atomic_bool stop;
	pthread_mutex_t lock;			/* guards all below */
	pthread_cond_t left;
	const struct device *busy;		/* whose fault is being served */
	struct space *forgotten;
};

static void ring(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		return;		/* it rings already */
}

/* --- faults ------------------------------------------------------------------ */

static uint64_t la_of(const struct space *space, uint64_t addr)
{
	return space->dev->mem.base + ((addr & SGX_PAGE_MASK) - space->alias);
}

/*
 * There is no such page, or it cannot be read back: what is there then is the abort
 * page, as on hardware.  It fails every check of entry, and nothing resumes from it.
 */
static void refuse(const struct space *space, uint64_t addr)
{
	static const _Alignas(SGX_PAGE_SIZE) uint8_t ones[SGX_PAGE_SIZE] = {
		[0 ... SGX_PAGE_SIZE - 1] = 0xff,
	};
	struct uffdio_copy copy = {
		.dst = addr & SGX_PAGE_MASK,
		.src = (uintptr_t)ones,
		.len = SGX_PAGE_SIZE,
	};

	ioctl(space->alias_uffd, UFFDIO_COPY, &copy);
}

/*
 * The descriptor is the program's, too, which may make it one that blocks: neither
 * that nor another reader must stop us here.
 */
static bool next_fault(int uffd, struct uffd_msg *msg)
{
	const struct iovec iov = { msg, sizeof(*msg) };
	ssize_t n = preadv2(uffd, &iov, 1, -1, RWF_NOWAIT);

	/* Not every kernel can say so for one read. */
	if (n < 0 && errno == EOPNOTSUPP)
		n = read(uffd, msg, sizeof(*msg));
	return n == sizeof(*msg) && msg->event == UFFD_EVENT_PAGEFAULT;
}

/* Somebody else may have brought the page, who does not know that it is waited for. */
static void wake(const struct space *space, uint64_t addr)
{
	struct uffdio_range range = { .start = addr & SGX_PAGE_MASK, .len = SGX_PAGE_SIZE };

	ioctl(space->alias_uffd, UFFDIO_WAKE, &range);
}

/*
 * There is no room at the moment: pages that others have just given back need not be
 * here yet.  The thread tries again, and need not do so all the time.
 */
static void put_off(const struct space *space, uint64_t addr)
{
	usleep(1000);
	wake(space, addr);
}

static void serve(struct space *space)
{
	struct toucher by = { .number = space->number, .alias = true };
	struct sgx_encl_page_info page;
	struct uffd_msg msg;
	uint64_t la;

	if (!next_fault(space->alias_uffd, &msg))
		return;
	la = la_of(space, msg.arg.pagefault.address);
	errand_begin(space->dev, -1, false);
	switch (sgx_encl_fault(uapi_encl_encl(space->dev->encl), la - space->dev->mem.base, 0,
			       &by, &page)) {
	case 0:
		wake(space, msg.arg.pagefault.address);
		break;
	case -ENOMEM:
	case -EBUSY:
		put_off(space, msg.arg.pagefault.address);
		break;
	case -EINTR:
		break;		/* closed: that lets everybody go */
	default:
		refuse(space, msg.arg.pagefault.address);
		break;
	}
	errand_end();
}

/* Called with the lock held; nobody is being served. */
static void free_forgotten(struct pager *pager)
{
	struct space *space;

	while ((space = pager->forgotten)) {
		pager->forgotten = space->next;
		space_free(space);
	}
}

/* One that blocks polls as broken for ever: its faults are not served any more. */
static void take_event(struct pager *pager, struct space *space, uint32_t events)
{
	if (events & ~(uint32_t)EPOLLIN)
		epoll_ctl(pager->epoll, EPOLL_CTL_DEL, space->alias_uffd, NULL);
	else
		serve(space);
}

/*
 * One event at a time: a space that is forgotten after its event was fetched is
 * still there when it is looked at.
 */
static void *serve_faults(void *arg)
{
	struct pager *pager = arg;
	struct epoll_event event;

	while (!atomic_load(&pager->stop)) {
		struct space *space = NULL;

		if (epoll_wait(pager->epoll, &event, 1, -1) == 1)
			space = event.data.ptr;
		pthread_mutex_lock(&pager->lock);
		if (space && !space->forgotten) {
			pager->busy = space->dev;
			pthread_mutex_unlock(&pager->lock);
			take_event(pager, space, event.events);
			pthread_mutex_lock(&pager->lock);
			pager->busy = NULL;
			pthread_cond_broadcast(&pager->left);
		}
		free_forgotten(pager);
		pthread_mutex_unlock(&pager->lock);
		if (!space) {
			uint64_t n;

			if (read(pager->wake_faults, &n, sizeof(n)) < 0)
				continue;
		}
	}
	return NULL;
}

int pager_watch(struct pager *pager, struct space *space)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = space };

	return epoll_ctl(pager->epoll, EPOLL_CTL_ADD, space->alias_uffd, &event) ? -errno : 0;
}

void pager_forget(struct pager *pager, struct space *space)
{
	epoll_ctl(pager->epoll, EPOLL_CTL_DEL, space->alias_uffd, NULL);
	pthread_mutex_lock(&pager->lock);
	space->forgotten = true;
	space->next = pager->forgotten;
	pager->forgotten = space;
	pthread_mutex_unlock(&pager->lock);
	ring(pager->wake_faults);
}

void pager_leave(struct pager *pager, const struct device *dev)
{
	pthread_mutex_lock(&pager->lock);
	while (pager->busy == dev)
		pthread_cond_wait(&pager->left, &pager->lock);
	pthread_mutex_unlock(&pager->lock);
}

/* --- reclaim ------------------------------------------------------------------- */

static void *reclaim(void *arg)
{
	struct pager *pager = arg;
	uint64_t n;

	while (read(pager->wake_reclaimer, &n, sizeof(n)) == sizeof(n) &&
	       !atomic_load(&pager->stop))
		sgx_epc_reclaim_background(pager->pool, &pager->stop);
	return NULL;
}

void pager_wake(struct pager *pager)
{
	ring(pager->wake_reclaimer);
}

/* --- life ------------------------------------------------------------------------ */

static void close_all(struct pager *pager)
{
	close(pager->epoll);
	close(pager->wake_faults);
	close(pager->wake_reclaimer);
	pthread_cond_destroy(&pager->left);
	pthread_mutex_destroy(&pager->lock);
	free(pager);
}

struct pager *pager_create(struct sgx_epc_pool *pool)
{
	struct pager *pager = calloc(1, sizeof(*pager));
	struct epoll_event event = { .events = EPOLLIN };

	if (!pager)
		return NULL;
	pager->pool = pool;
	pthread_mutex_init(&pager->lock, NULL);
	pthread_cond_init(&pager->left, NULL);
	pager->epoll = epoll_create1(EPOLL_CLOEXEC);
	pager->wake_faults = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pager->wake_reclaimer = eventfd(0, EFD_CLOEXEC);
	if (pager->epoll < 0 || pager->wake_faults < 0 || pager->wake_reclaimer < 0 ||
	    epoll_ctl(pager->epoll, EPOLL_CTL_ADD, pager->wake_faults, &event) ||
	    pthread_create(&pager->faults, NULL, serve_faults, pager)) {
		close_all(pager);
		return NULL;
	}
	if (pthread_create(&pager->reclaimer, NULL, reclaim, pager) == 0)
		return pager;
	atomic_store(&pager->stop, true);
	ring(pager->wake_faults);
	pthread_join(pager->faults, NULL);
	close_all(pager);
	return NULL;
}

void pager_destroy(struct pager *pager)
{
	if (!pager)
		return;
	atomic_store(&pager->stop, true);
	ring(pager->wake_faults);
	ring(pager->wake_reclaimer);
	pthread_join(pager->faults, NULL);
	pthread_join(pager->reclaimer, NULL);
	free_forgotten(pager);
	close_all(pager);
}
