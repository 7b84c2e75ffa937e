/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The signals of processor exceptions that the program believes to be blocked, and
 * those of them that others sent meanwhile: sigprocmask and whatever else changes a
 * mask, or asks what is pending, in front of libc's.  For waits see waits.c, for new
 * threads births.c.
 *
 * The kernel never blocks them while the program runs, because it kills a process whose
 * ENCLU, CPUID or EPC page traps by a blocked signal.  It does where the program waits: no
 * instruction of it is executed then, and the kernel's rules hold by themselves.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "client.h"
#include "masks.h"
#include "sys.h"

/* libc's own, for cancellation and setuid(). */
#define LIBC_MASK (SIGNAL_BIT(32) | SIGNAL_BIT(33))

static const int sync_signals[CLIENT_NR_SYNC] = {
	SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS
};

/* Of threads that have thread-local storage; of others it is in their records. */
static __thread struct client_mask mine;

bool client_is_sync(int sig)
{
	return EXCEPTION_SIGNALS & SIGNAL_BIT(sig);
}

struct client_mask *client_mask_of(struct client_thread *thread)
{
	if (!client_tls_is_shared())
		return &mine;
	if (!thread)
		thread = client_thread_self();
	if (!thread)
		return &mine;
	if (!thread->mask.is_used) {
		thread->mask = mine;
		thread->mask.is_used = true;
	}
	return &thread->mask;
}

void client_masks_share(void)
{
	struct client_mask *mask;

	if (!client_tls_is_shared())
		return;
	mask = client_mask_of(NULL);
	mine.blocked = mask->blocked;
	mine.held = 0;
}

void client_masks_forked(void)
{
	struct client_mask *mask = client_mask_of(NULL);

	mask->held = 0;
	mask->waits = false;
}

uint64_t client_mask_change_kernel(int how, uint64_t mask)
{
	uint64_t old = 0;

	sys_call(SYS_rt_sigprocmask, how, (long)&mask, (long)&old, sizeof(mask));
	return old;
}

void client_masks_init(void)
{
	mine.blocked = client_mask_change_kernel(SIG_UNBLOCK, EXCEPTION_SIGNALS) & EXCEPTION_SIGNALS;
}

/* --- signals that wait ------------------------------------------------------------- */

static void hold(struct client_mask *mask, int sig, const siginfo_t *info)
{
	size_t i = 0;

	while (sync_signals[i] != sig)
		i++;
	/* Two that wait are one. */
	if (!(mask->held & SIGNAL_BIT(sig)))
		mask->info[i] = *info;
	__atomic_fetch_or(&mask->held, SIGNAL_BIT(sig), __ATOMIC_RELAXED);
}

void client_mask_release(struct client_mask *mask, uint64_t which)
{
	if (!(mask->held & which))
		return;
	for (size_t i = 0; i < CLIENT_NR_SYNC; i++) {
		const int sig = sync_signals[i];

		if (!(mask->held & which & SIGNAL_BIT(sig)))
			continue;
		__atomic_fetch_and(&mask->held, ~SIGNAL_BIT(sig), __ATOMIC_RELAXED);
		sys_call(SYS_rt_tgsigqueueinfo, sys_call(SYS_getpid, 0, 0, 0, 0),
			 sys_call(SYS_gettid, 0, 0, 0, 0), sig, (long)&mask->info[i]);
	}
}

static void set_blocked(struct client_mask *mask, uint64_t now)
{
	mask->blocked = now;
	client_mask_release(mask, ~now);
}

CLIENT_EXPORT int sigpending(sigset_t *set)
{
	const long ret = sys_call(SYS_rt_sigpending, (long)set, sizeof(uint64_t), 0, 0);
	uint64_t pending;

	if (ret) {
		errno = (int)-ret;
		return -1;
	}
	pending = client_mask_word(set) | client_mask_of(NULL)->held;
	memcpy(set, &pending, sizeof(pending));
	return 0;
}

/* --- handlers ------------------------------------------------------------------------ */

#define SYSCALL_LENGTH 2

/* Did the signal of @uc end such a wait?  Nothing else in there is a system call. */
static bool ended_wait(const struct client_mask *mask, const ucontext_t *uc)
{
	const greg_t *gregs = uc->uc_mcontext.gregs;

	return mask->waits && gregs[REG_RAX] == -EINTR &&
	       !memcmp((const uint8_t *)(uintptr_t)gregs[REG_RIP] - SYSCALL_LENGTH, "\x0f\x05",
		       SYSCALL_LENGTH);
}

static uint64_t blocked_at(const struct client_mask *mask, const ucontext_t *uc)
{
	return ended_wait(mask, uc) ? mask->wait_mask : mask->blocked;
}

bool client_is_blocked(struct client_thread *thread, int sig, const ucontext_t *uc)
{
	return client_is_sync(sig) && (blocked_at(client_mask_of(thread), uc) & SIGNAL_BIT(sig));
}

bool client_hold_blocked(struct client_thread *thread, int sig, const siginfo_t *info,
			 const ucontext_t *uc)
{
	if (!client_is_blocked(thread, sig, uc))
		return false;
	hold(client_mask_of(thread), sig, info);
	return true;
}

uint64_t client_handler_begins(struct client_thread *thread, int sig,
			       const struct client_action *action, ucontext_t *uc)
{
	struct client_mask *mask = client_mask_of(thread);
	uint64_t saved = (client_mask_word(&uc->uc_sigmask) & ~EXCEPTION_SIGNALS) | mask->blocked;
	uint64_t now = ended_wait(mask, uc) ? mask->wait_mask : saved;

	now |= action->mask;
	if (!(action->flags & SA_NODEFER))
		now |= SIGNAL_BIT(sig);
	mask->blocked = now & EXCEPTION_SIGNALS;
	mask->waits = false;
	memcpy(&uc->uc_sigmask, &saved, sizeof(saved));
	return now & ~EXCEPTION_SIGNALS;
}

void client_handler_returns(ucontext_t *uc)
{
	struct client_mask *mask = client_mask_of(client_thread_of(uc));
	const uint64_t wanted = client_mask_word(&uc->uc_sigmask);
	const uint64_t passed = wanted & ~EXCEPTION_SIGNALS;

	memcpy(&uc->uc_sigmask, &passed, sizeof(passed));
	/* They shall arrive where the handler returns to. */
	if (mask->held & ~wanted)
		client_mask_change_kernel(SIG_BLOCK, UINT64_MAX);
	set_blocked(mask, wanted & EXCEPTION_SIGNALS);
}

/* --- changes ---------------------------------------------------------------------------- */

/* Which exception signals are blocked after @how. */
static uint64_t blocked_after(uint64_t blocked, int how, uint64_t set)
{
	set &= EXCEPTION_SIGNALS;
	if (how == SIG_BLOCK)
		return blocked | set;
	return how == SIG_UNBLOCK ? blocked & ~set : set;
}

/* Returns 0 or an errno. */
static int do_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	/* A child that only borrows our memory is about to become another program. */
	const bool is_borrowed = client_is_borrowed();
	const uint64_t ours = is_borrowed ? 0 : EXCEPTION_SIGNALS;
	const uint64_t wanted = set ? client_mask_word(set) : 0;
	const uint64_t mask = wanted & ~(ours | LIBC_MASK);
	struct client_mask *own;
	uint64_t previous = 0;
	long ret;

	client_start();
	own = client_mask_of(NULL);
	ret = sys_call(SYS_rt_sigprocmask, how, set ? (long)&mask : 0, old ? (long)&previous : 0,
		       sizeof(mask));
	if (ret)
		return (int)-ret;
	if (old) {
		previous |= own->blocked;
		memset(old, 0, sizeof(*old));
		memcpy(old, &previous, sizeof(previous));
	}
	if (set && !is_borrowed)
		set_blocked(own, blocked_after(own->blocked, how, wanted));
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

/* --- jumps --------------------------------------------------------------------------------- */

/*
 * setjmp() and getcontext() keep the kernel's mask, in the first word of a set that has
 * more words than there are signals.  Ours goes into the last one.
 */
#define MARK 0x6d61736b00000000ull
#define LAST_WORD (sizeof(sigset_t) / sizeof(uint64_t) - 1)

_Static_assert(!(MARK & EXCEPTION_SIGNALS), "they share a word");

void client_mask_save(sigset_t *set)
{
	const uint64_t word = MARK | client_mask_of(NULL)->blocked;

	memcpy((uint8_t *)set + LAST_WORD * sizeof(word), &word, sizeof(word));
}

/* A set that did not pass by here, as that of a signal's frame, has all in its first word. */
static uint64_t saved_in(const sigset_t *set)
{
	const uint64_t word = client_mask_word((const uint8_t *)set + LAST_WORD * sizeof(word));

	if ((word & ~EXCEPTION_SIGNALS) == MARK)
		return word & EXCEPTION_SIGNALS;
	return client_mask_word(set) & EXCEPTION_SIGNALS;
}

/* @set is what the kernel will be given. */
static void restore(sigset_t *set)
{
	const uint64_t blocked = saved_in(set);
	const uint64_t passed = client_mask_word(set) & ~EXCEPTION_SIGNALS;

	if (passed != client_mask_word(set)) {
		memcpy(set, &passed, sizeof(passed));
		set_blocked(client_mask_of(NULL), blocked);
		client_mask_save(set);
		return;
	}
	set_blocked(client_mask_of(NULL), blocked);
}

void client_context_leave(ucontext_t *from, ucontext_t *to)
{
	client_call_abandon();
	if (from)
		client_mask_save(&from->uc_sigmask);
	restore(&to->uc_sigmask);
}

void client_jump(struct __jmp_buf_tag *env)
{
	client_call_abandon();
	if (env->__mask_was_saved)
		set_blocked(client_mask_of(NULL), saved_in((sigset_t *)&env->__saved_mask));
}

/* What jump.S goes on with. */
void *client_jump_next[CLIENT_NR_JUMPS] __attribute__((visibility("hidden")));

void client_jump_find(void)
{
	static const char *const names[CLIENT_NR_JUMPS] = {
		"setjmp", "__sigsetjmp", "longjmp", "__longjmp_chk", "getcontext", "setcontext",
		"swapcontext",
	};

	for (size_t i = 0; i < CLIENT_NR_JUMPS; i++)
		client_jump_next[i] = dlsym(RTLD_NEXT, names[i]);
}
