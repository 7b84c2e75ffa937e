/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The signal functions of System V and BSD, in front of libc's, which would change
 * actions and masks past us.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "client.h"

/* Of a mask that is an int: signals 1 to 32. */
static sigset_t set_of(int mask)
{
	const uint64_t word = (uint32_t)mask;
	sigset_t set;

	memset(&set, 0, sizeof(set));
	memcpy(&set, &word, sizeof(word));
	return set;
}

static int mask_of(const sigset_t *set)
{
	uint32_t mask;

	memcpy(&mask, set, sizeof(mask));
	return (int)mask;
}

static int change_one(int how, int sig, sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	return sigaddset(&set, sig) ? -1 : sigprocmask(how, &set, old);
}

/* --- System V ---------------------------------------------------------------------- */

CLIENT_EXPORT int sighold(int sig)
{
	return change_one(SIG_BLOCK, sig, NULL);
}

CLIENT_EXPORT int sigrelse(int sig)
{
	return change_one(SIG_UNBLOCK, sig, NULL);
}

CLIENT_EXPORT int sigignore(int sig)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };

	return sigaction(sig, &ignore, NULL);
}

CLIENT_EXPORT __sighandler_t sigset(int sig, __sighandler_t handler)
{
	const struct sigaction new = { .sa_handler = handler };
	const bool holds = handler == SIG_HOLD;
	struct sigaction old;
	sigset_t mask;

	if (sigaction(sig, holds ? NULL : &new, &old) ||
	    change_one(holds ? SIG_BLOCK : SIG_UNBLOCK, sig, &mask))
		return SIG_ERR;
	return sigismember(&mask, sig) ? SIG_HOLD : old.sa_handler;
}

/* --- BSD ------------------------------------------------------------------------------ */

/* These are not in headers any more, or not under this name. */
int sigblock(int mask);
int sigsetmask(int mask);
int siggetmask(void);
int __sigpause(int what, int is_signal);
int __xpg_sigpause(int sig);
int bsd_sigpause(int mask) __asm__("sigpause");

static int change_mask(int how, int mask)
{
	const sigset_t set = set_of(mask);
	sigset_t old;

	return sigprocmask(how, &set, &old) ? -1 : mask_of(&old);
}

CLIENT_EXPORT int sigblock(int mask)
{
	return change_mask(SIG_BLOCK, mask);
}

CLIENT_EXPORT int sigsetmask(int mask)
{
	return change_mask(SIG_SETMASK, mask);
}

CLIENT_EXPORT int siggetmask(void)
{
	return change_mask(SIG_BLOCK, 0);
}

CLIENT_EXPORT int bsd_sigpause(int mask)
{
	const sigset_t set = set_of(mask);

	return sigsuspend(&set);
}

CLIENT_EXPORT int __xpg_sigpause(int sig)
{
	sigset_t set;

	if (sigprocmask(SIG_BLOCK, NULL, &set) || sigdelset(&set, sig))
		return -1;
	return sigsuspend(&set);
}

CLIENT_EXPORT int __sigpause(int what, int is_signal)
{
	return is_signal ? __xpg_sigpause(what) : bsd_sigpause(what);
}

CLIENT_EXPORT int siginterrupt(int sig, int interrupts)
{
	struct sigaction action;

	if (sigaction(sig, NULL, &action))
		return -1;
	client_signal_interrupts(sig, interrupts);
	if (interrupts)
		action.sa_flags &= ~SA_RESTART;
	else
		action.sa_flags |= SA_RESTART;
	return sigaction(sig, &action, NULL);
}
