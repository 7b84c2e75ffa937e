/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waits with another mask, and for signals: there the kernel blocks what the program
 * believes to be blocked (masks.c), and lets in what it waits for.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "client.h"
#include "masks.h"

/* Let the kernel block what the program believes to be, and have what waits for it. */
static struct client_mask *make_real(uint64_t which)
{
	struct client_mask *mask = client_mask_of(NULL);

	if (mask->blocked & which) {
		client_mask_change_kernel(SIG_BLOCK, mask->blocked & which);
		client_mask_release(mask, which);
	}
	return mask;
}

static void make_ours(const struct client_mask *mask)
{
	if (mask->blocked)
		client_mask_change_kernel(SIG_UNBLOCK, EXCEPTION_SIGNALS);
}

/* From here on and until the call returns, if it is not NULL, @set is the mask. */
static struct client_mask *begin_wait(const sigset_t *set)
{
	struct client_mask *mask;

	if (!set)
		return NULL;
	mask = make_real(EXCEPTION_SIGNALS);
	mask->wait_mask = client_mask_word(set);
	mask->waits = true;
	return mask;
}

static void end_wait(struct client_mask *mask)
{
	if (!mask)
		return;
	mask->waits = false;
	make_ours(mask);
}

CLIENT_EXPORT int sigsuspend(const sigset_t *set)
{
	static __typeof__(&sigsuspend) next;
	struct client_mask *mask;
	int ret;

	if (!next)
		next = NEXT(sigsuspend);
	mask = begin_wait(set);
	ret = next(set);
	end_wait(mask);
	return ret;
}

CLIENT_EXPORT int ppoll(struct pollfd *fds, nfds_t nr, const struct timespec *timeout,
			const sigset_t *set)
{
	static __typeof__(&ppoll) next;
	struct client_mask *mask;
	int ret;

	if (!next)
		next = NEXT(ppoll);
	mask = begin_wait(set);
	ret = next(fds, nr, timeout, set);
	end_wait(mask);
	return ret;
}

/* What a fortified program calls. */
int __ppoll_chk(struct pollfd *fds, nfds_t nr, const struct timespec *timeout,
		const sigset_t *set, size_t size);

CLIENT_EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t nr, const struct timespec *timeout,
			      const sigset_t *set, size_t size)
{
	if (size / sizeof(*fds) < nr)
		abort();
	return ppoll(fds, nr, timeout, set);
}

CLIENT_EXPORT int pselect(int nr, fd_set *restrict in, fd_set *restrict out,
			  fd_set *restrict except, const struct timespec *restrict timeout,
			  const sigset_t *restrict set)
{
	static __typeof__(&pselect) next;
	struct client_mask *mask;
	int ret;

	if (!next)
		next = NEXT(pselect);
	mask = begin_wait(set);
	ret = next(nr, in, out, except, timeout, set);
	end_wait(mask);
	return ret;
}

CLIENT_EXPORT int epoll_pwait(int fd, struct epoll_event *events, int nr, int timeout,
			      const sigset_t *set)
{
	static __typeof__(&epoll_pwait) next;
	struct client_mask *mask;
	int ret;

	if (!next)
		next = NEXT(epoll_pwait);
	mask = begin_wait(set);
	ret = next(fd, events, nr, timeout, set);
	end_wait(mask);
	return ret;
}

/* Newer than the oldest libc. */
int epoll_pwait2(int fd, struct epoll_event *events, int nr, const struct timespec *timeout,
		 const sigset_t *set);

CLIENT_EXPORT int epoll_pwait2(int fd, struct epoll_event *events, int nr,
			       const struct timespec *timeout, const sigset_t *set)
{
	static __typeof__(&epoll_pwait2) next;
	struct client_mask *mask;
	int ret;

	if (!next)
		next = NEXT(epoll_pwait2);
	if (!next) {
		errno = ENOSYS;
		return -1;
	}
	mask = begin_wait(set);
	ret = next(fd, events, nr, timeout, set);
	end_wait(mask);
	return ret;
}

/* For signals that stay blocked: what is ours to know of them the kernel has to know. */
CLIENT_EXPORT int sigtimedwait(const sigset_t *restrict set, siginfo_t *restrict info,
			       const struct timespec *restrict timeout)
{
	static __typeof__(&sigtimedwait) next;
	struct client_mask *mask;
	int ret;

	if (!next)
		next = NEXT(sigtimedwait);
	mask = make_real(client_mask_word(set));
	ret = next(set, info, timeout);
	make_ours(mask);
	return ret;
}

CLIENT_EXPORT int sigwaitinfo(const sigset_t *restrict set, siginfo_t *restrict info)
{
	return sigtimedwait(set, info, NULL);
}

CLIENT_EXPORT int sigwait(const sigset_t *restrict set, int *restrict sig)
{
	int ret;

	do {
		ret = sigtimedwait(set, NULL, NULL);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return errno;
	*sig = ret;
	return 0;
}
