/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The program's signal actions and alternate stacks, as it believes them to be:
 * sigaction, signal and sigaltstack, in front of libc's.  For masks see masks.c.
 *
 * In the kernel every handler is ours, on our alternate stack, with all signals
 * blocked.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "client.h"
#include "sys.h"

#define NSIG_KERNEL 64
#define BIT(sig) (1ull << ((sig) - 1))
#define PASSED_FLAGS (SA_RESTART | SA_NOCLDSTOP | SA_NOCLDWAIT)

static struct client_action actions[NSIG_KERNEL + 1];	/* guarded by the lock */

static const int sync_signals[] = { SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS };
#define NR_SYNC (sizeof(sync_signals) / sizeof(sync_signals[0]))

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
	for (int sig = 1; sig <= NSIG_KERNEL; sig++)
		inherit(sig);
	for (size_t i = 0; i < NR_SYNC; i++)
		set_kernel(sync_signals[i], &actions[sync_signals[i]]);
	client_masks_init();
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

/* Those whose handlers siginterrupt() wants to end system calls. */
static _Atomic uint64_t interrupting;

void client_signal_interrupts(int sig, bool interrupts)
{
	if (interrupts)
		atomic_fetch_or(&interrupting, BIT(sig));
	else
		atomic_fetch_and(&interrupting, ~BIT(sig));
}

static int restart_of(int sig)
{
	return sig >= 1 && sig <= NSIG_KERNEL && (interrupting & BIT(sig)) ? 0 : SA_RESTART;
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
	return set_signal(sig, handler, restart_of(sig));
}

CLIENT_EXPORT __sighandler_t bsd_signal(int sig, __sighandler_t handler);
CLIENT_EXPORT __sighandler_t bsd_signal(int sig, __sighandler_t handler)
{
	return set_signal(sig, handler, restart_of(sig));
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
void client_actions_adopt(void)
{
	uint64_t saved;

	client_start();
	if (!client_is_active())
		return;
	client_lock(&saved);
	for (size_t i = 0; i < NR_LIBC; i++)
		adopt(libc_signals[i]);
	client_unlock(&saved);
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
