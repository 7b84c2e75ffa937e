/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The program's signal actions, masks and alternate stacks, as it believes them
 * to be: sigaction, signal, sigprocmask and sigaltstack, in front of libc's.
 *
 * In the kernel every handler is ours, on our alternate stack, with all signals
 * blocked; and the signals of processor exceptions are never blocked, because a
 * blocked one kills the process where ENCLU only means to trap.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "client.h"
#include "sys.h"

#define NSIG_KERNEL 64
#define PASSED_FLAGS (SA_RESTART | SA_NOCLDSTOP | SA_NOCLDWAIT)

static struct client_action actions[NSIG_KERNEL + 1];	/* guarded by the lock */
static __thread uint64_t blocked;	/* exception signals the program blocked */

static const int sync_signals[] = { SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS };
#define NR_SYNC (sizeof(sync_signals) / sizeof(sync_signals[0]))

/* Those of them that others sent meanwhile. */
static __thread uint64_t held;
static __thread siginfo_t held_info[NR_SYNC];

#define BIT(sig) (1ull << ((sig) - 1))
#define SYNC_MASK                                                                                  \
	(BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGSEGV) | BIT(SIGSYS))
/* libc's own, for cancellation and setuid(). */
#define LIBC_MASK (BIT(32) | BIT(33))

bool client_is_sync(int sig)
{
	return SYNC_MASK & BIT(sig);
}

bool client_is_blocked(int sig)
{
	return blocked & BIT(sig);
}

bool client_hold_blocked(int sig, const siginfo_t *info)
{
	size_t i = 0;

	if (!(SYNC_MASK & blocked & BIT(sig)))
		return false;
	while (sync_signals[i] != sig)
		i++;
	/* Two that wait are one. */
	if (!(held & BIT(sig)))
		held_info[i] = *info;
	held |= BIT(sig);
	return true;
}

/* Those that are blocked no more arrive again. */
static void release_held(void)
{
	for (size_t i = 0; i < NR_SYNC; i++) {
		const int sig = sync_signals[i];

		if (!(held & ~blocked & BIT(sig)))
			continue;
		held &= ~BIT(sig);
		sys_call(SYS_rt_tgsigqueueinfo, sys_call(SYS_getpid, 0, 0, 0, 0),
			 sys_call(SYS_gettid, 0, 0, 0, 0), sig, (long)&held_info[i]);
	}
}

void client_actions_forked(void)
{
	held = 0;
}

/* Taking the action of a one-shot handler ends it. */
struct client_action client_action_take(int sig)
{
	struct client_action action = actions[sig];

	if (action.flags & (int)SA_RESETHAND)
		actions[sig] = (struct client_action){ .handler = (void *)SIG_DFL };
	return action;
}

static long set_kernel(int sig, const struct client_action *action)
{
	const bool is_handler = action->handler != (void *)SIG_DFL &&
				action->handler != (void *)SIG_IGN;
	struct sys_sigaction k = {
		.handler = is_handler || client_is_sync(sig) ? (void *)client_signal
							      : action->handler,
		.flags = ((unsigned long)action->flags & PASSED_FLAGS) | SYS_SA_RESTORER |
			 SA_SIGINFO | SA_ONSTACK,
		.restorer = client_sigaction_restorer,
		.mask = UINT64_MAX,
	};

	return sys_rt_sigaction(sig, &k, NULL);
}

/* Ask the kernel once what we inherited: ignored, or the default. */
static void inherit(int sig)
{
	struct sys_sigaction k = { 0 };

	if (sys_rt_sigaction(sig, NULL, &k) == 0)
		actions[sig].handler = k.handler;
}

void client_signals_init(void)
{
	const uint64_t mask = SYNC_MASK;

	for (int sig = 1; sig <= NSIG_KERNEL; sig++)
		inherit(sig);
	for (size_t i = 0; i < NR_SYNC; i++)
		set_kernel(sync_signals[i], &actions[sync_signals[i]]);
	sys_call(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&mask, 0, sizeof(mask));
}

/* --- sigaction ------------------------------------------------------------------- */

static void report(const struct client_action *action, struct sigaction *old)
{
	memset(old, 0, sizeof(*old));
	old->sa_handler = (__sighandler_t)action->handler;
	old->sa_flags = action->flags;
	memcpy(&old->sa_mask, &action->mask, sizeof(action->mask));
}

/* For a child that only borrows our memory: the kernel alone, as it stands. */
static long change_borrowed(int sig, const struct client_action *action)
{
	const struct sys_sigaction k = {
		.handler = action->handler,
		.flags = (unsigned long)action->flags | SYS_SA_RESTORER,
		.restorer = client_sigaction_restorer,
		.mask = action->mask,
	};

	return sys_rt_sigaction(sig, &k, NULL);
}

static long change(int sig, const struct client_action *action)
{
	const bool is_borrowed = client_is_borrowed();
	const long ret = is_borrowed ? change_borrowed(sig, action) : set_kernel(sig, action);

	if (!ret && !is_borrowed)
		actions[sig] = *action;
	return ret;
}

static int do_sigaction(int sig, const struct sigaction *new, struct sigaction *old)
{
	struct client_action action, previous;
	uint64_t saved;
	long ret = 0;

	client_start();
	/* 32 and 33 are libc's own. */
	if (sig < 1 || sig > NSIG_KERNEL || sig == 32 || sig == 33 ||
	    (new && (sig == SIGKILL || sig == SIGSTOP))) {
		errno = EINVAL;
		return -1;
	}
	/* The program's memory is not touched under the lock: it may fault. */
	if (new) {
		action.handler = (void *)new->sa_handler;
		action.flags = new->sa_flags;
		memcpy(&action.mask, &new->sa_mask, sizeof(action.mask));
	}
	client_lock(&saved);
	previous = actions[sig];
	if (new)
		ret = change(sig, &action);
	client_unlock(&saved);
	if (ret) {
		errno = (int)-ret;
		return -1;
	}
	if (old)
		report(&previous, old);
	return 0;
}

CLIENT_EXPORT int sigaction(int sig, const struct sigaction *new, struct sigaction *old)
{
	return do_sigaction(sig, new, old);
}

static __sighandler_t set_signal(int sig, __sighandler_t handler, int flags)
{
	struct sigaction new = { .sa_handler = handler, .sa_flags = flags }, old;

	if (!(flags & (int)SA_NODEFER) && sig >= 1 && sig <= NSIG_KERNEL)
		sigaddset(&new.sa_mask, sig);
	return do_sigaction(sig, &new, &old) ? SIG_ERR : old.sa_handler;
}

CLIENT_EXPORT __sighandler_t signal(int sig, __sighandler_t handler)
{
	return set_signal(sig, handler, SA_RESTART);
}

CLIENT_EXPORT __sighandler_t bsd_signal(int sig, __sighandler_t handler);
CLIENT_EXPORT __sighandler_t bsd_signal(int sig, __sighandler_t handler)
{
	return set_signal(sig, handler, SA_RESTART);
}

CLIENT_EXPORT __sighandler_t sysv_signal(int sig, __sighandler_t handler)
{
	return set_signal(sig, handler, (int)SA_RESETHAND | SA_NODEFER);
}

CLIENT_EXPORT __sighandler_t __sysv_signal(int sig, __sighandler_t handler);
CLIENT_EXPORT __sighandler_t __sysv_signal(int sig, __sighandler_t handler)
{
	return sysv_signal(sig, handler);
}

/* --- masks -------------------------------------------------------------------------- */

/* Which exception signals are blocked after @how. */
static uint64_t blocked_after(int how, uint64_t set)
{
	set &= SYNC_MASK;
	if (how == SIG_BLOCK)
		return blocked | set;
	return how == SIG_UNBLOCK ? blocked & ~set : set;
}

static void note_blocked(uint64_t now)
{
	if (!client_is_borrowed())
		blocked = now;
}

/* Returns 0 or an errno. */
static int do_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	const uint64_t was_blocked = blocked;
	uint64_t wanted = 0, mask, previous;
	long ret;

	client_start();
	if (set)
		memcpy(&wanted, set, sizeof(wanted));
	mask = wanted & ~(SYNC_MASK | LIBC_MASK);
	ret = sys_call(SYS_rt_sigprocmask, how, set ? (long)&mask : 0, old ? (long)&previous : 0,
		       sizeof(mask));
	if (ret)
		return (int)-ret;
	if (set)
		note_blocked(blocked_after(how, wanted));
	if (old) {
		previous |= was_blocked;
		memset(old, 0, sizeof(*old));
		memcpy(old, &previous, sizeof(previous));
	}
	release_held();
	return 0;
}

CLIENT_EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	const int error = do_sigmask(how, set, old);

	if (!error)
		return 0;
	errno = error;
	return -1;
}

CLIENT_EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	return do_sigmask(how, set, old);
}

/* --- libc's own signals ------------------------------------------------------------------ */

static const int libc_signals[] = { 32, 33 };
#define NR_LIBC (sizeof(libc_signals) / sizeof(libc_signals[0]))

static void adopt(int sig)
{
	struct sys_sigaction k = { 0 };
	struct client_action action;

	if (sys_rt_sigaction(sig, NULL, &k) || !k.handler ||
	    k.handler == (void *)client_signal)
		return;
	action = (struct client_action){
		.handler = k.handler,
		.flags = (int)k.flags & ~SYS_SA_RESTORER,
		.mask = k.mask,
	};
	actions[sig] = action;
	set_kernel(sig, &action);
}

/*
 * libc installs its handlers past us, the one of setuid() with the first thread.
 * They, too, may interrupt an enclave, and would find its FS.
 */
CLIENT_EXPORT int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attr,
				 void *(*start)(void *), void *restrict arg)
{
	static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	uint64_t saved;
	int ret;

	if (!next)
		next = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))
			dlsym(RTLD_NEXT, "pthread_create");
	ret = next(thread, attr, start, arg);
	client_start();
	if (!client_is_active())
		return ret;
	client_lock(&saved);
	for (size_t i = 0; i < NR_LIBC; i++)
		adopt(libc_signals[i]);
	client_unlock(&saved);
	return ret;
}

/* --- alternate stacks ------------------------------------------------------------------ */

#define USER_MINSIGSTKSZ 2048

static bool is_on(const stack_t *stack)
{
	const uintptr_t sp = (uintptr_t)__builtin_frame_address(0);

	return !(stack->ss_flags & SS_DISABLE) && stack->ss_size &&
	       sp - (uintptr_t)stack->ss_sp < stack->ss_size;
}

static int alt_stack_error(const struct client_thread *thread, const stack_t *new)
{
	if (is_on(&thread->user_stack))
		return EPERM;
	if (new->ss_flags & ~(SS_DISABLE | SS_ONSTACK | (int)(1u << 31)))
		return EINVAL;
	if (!(new->ss_flags & SS_DISABLE) && new->ss_size < USER_MINSIGSTKSZ)
		return ENOMEM;
	return 0;
}

CLIENT_EXPORT int sigaltstack(const stack_t *new, stack_t *old)
{
	struct client_thread *thread = client_thread_self();
	stack_t previous;
	int error;

	if (!thread) {
		errno = ENOMEM;
		return -1;
	}
	previous = thread->user_stack;
	if (is_on(&previous))
		previous.ss_flags |= SS_ONSTACK;
	if (new) {
		error = alt_stack_error(thread, new);
		if (error) {
			errno = error;
			return -1;
		}
		thread->user_stack = *new;
		thread->user_stack.ss_flags &= SS_DISABLE;
	}
	if (old)
		*old = previous;
	return 0;
}
