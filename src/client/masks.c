/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The signals of processor exceptions that the program believes to be blocked, and
 * those of them that others sent meanwhile: sigprocmask and whatever else changes a
 * mask, waits with another one, or asks what is pending, in front of libc's.
 *
 * The kernel never blocks them while the program runs, because it kills a process whose
 * ENCLU, CPUID or EPC page traps by a blocked signal.  It does where the program waits: no
 * instruction of it is executed then, and the kernel's rules hold by themselves.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <threads.h>
#include <ucontext.h>

#include "client.h"
#include "masks.h"
#include "sys.h"

#define BIT(sig) (1ull << ((sig) - 1))
#define SYNC_MASK                                                                                  \
	(BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGSEGV) | BIT(SIGSYS))
/* libc's own, for cancellation and setuid(). */
#define LIBC_MASK (BIT(32) | BIT(33))

static const int sync_signals[CLIENT_NR_SYNC] = {
	SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS
};

/* Of threads that have thread-local storage; of others it is in their records. */
static __thread struct client_mask mine;

bool client_is_sync(int sig)
{
	return SYNC_MASK & BIT(sig);
}

/* That of @thread: the calling one, or NULL when nobody looked for its record. */
static struct client_mask *mask_of(struct client_thread *thread)
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
	mask = mask_of(NULL);
	mine.blocked = mask->blocked;
	mine.held = 0;
}

void client_masks_forked(void)
{
	struct client_mask *mask = mask_of(NULL);

	mask->held = 0;
	mask->waits = false;
}

static uint64_t first_word(const void *set)
{
	uint64_t word;

	memcpy(&word, set, sizeof(word));
	return word;
}

static uint64_t change_kernel(int how, uint64_t mask)
{
	uint64_t old = 0;

	sys_call(SYS_rt_sigprocmask, how, (long)&mask, (long)&old, sizeof(mask));
	return old;
}

void client_masks_init(void)
{
	mine.blocked = change_kernel(SIG_UNBLOCK, SYNC_MASK) & SYNC_MASK;
}

/* --- signals that wait ------------------------------------------------------------- */

static void hold(struct client_mask *mask, int sig, const siginfo_t *info)
{
	size_t i = 0;

	while (sync_signals[i] != sig)
		i++;
	/* Two that wait are one. */
	if (!(mask->held & BIT(sig)))
		mask->info[i] = *info;
	__atomic_fetch_or(&mask->held, BIT(sig), __ATOMIC_RELAXED);
}

/* Those of @which arrive again. */
static void release(struct client_mask *mask, uint64_t which)
{
	for (size_t i = 0; i < CLIENT_NR_SYNC; i++) {
		const int sig = sync_signals[i];

		if (!(mask->held & which & BIT(sig)))
			continue;
		__atomic_fetch_and(&mask->held, ~BIT(sig), __ATOMIC_RELAXED);
		sys_call(SYS_rt_tgsigqueueinfo, sys_call(SYS_getpid, 0, 0, 0, 0),
			 sys_call(SYS_gettid, 0, 0, 0, 0), sig, (long)&mask->info[i]);
	}
}

static void set_blocked(struct client_mask *mask, uint64_t now)
{
	mask->blocked = now;
	release(mask, ~now);
}

/* Let the kernel block what the program believes to be, and have what waits for it. */
static struct client_mask *make_real(uint64_t which)
{
	struct client_mask *mask = mask_of(NULL);

	if (mask->blocked & which) {
		change_kernel(SIG_BLOCK, mask->blocked & which);
		release(mask, which);
	}
	return mask;
}

static void make_ours(const struct client_mask *mask)
{
	if (mask->blocked)
		change_kernel(SIG_UNBLOCK, SYNC_MASK);
}

CLIENT_EXPORT int sigpending(sigset_t *set)
{
	const long ret = sys_call(SYS_rt_sigpending, (long)set, sizeof(uint64_t), 0, 0);
	uint64_t pending;

	if (ret) {
		errno = (int)-ret;
		return -1;
	}
	pending = first_word(set) | mask_of(NULL)->held;
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
	return client_is_sync(sig) && (blocked_at(mask_of(thread), uc) & BIT(sig));
}

bool client_hold_blocked(struct client_thread *thread, int sig, const siginfo_t *info,
			 const ucontext_t *uc)
{
	if (!client_is_blocked(thread, sig, uc))
		return false;
	hold(mask_of(thread), sig, info);
	return true;
}

uint64_t client_handler_begins(struct client_thread *thread, int sig,
			       const struct client_action *action, ucontext_t *uc)
{
	struct client_mask *mask = mask_of(thread);
	uint64_t saved = (first_word(&uc->uc_sigmask) & ~SYNC_MASK) | mask->blocked;
	uint64_t now = ended_wait(mask, uc) ? mask->wait_mask : saved;

	now |= action->mask;
	if (!(action->flags & SA_NODEFER))
		now |= BIT(sig);
	mask->blocked = now & SYNC_MASK;
	mask->waits = false;
	memcpy(&uc->uc_sigmask, &saved, sizeof(saved));
	return now & ~SYNC_MASK;
}

void client_handler_returns(ucontext_t *uc)
{
	struct client_mask *mask = mask_of(client_thread_of(uc));
	const uint64_t wanted = first_word(&uc->uc_sigmask);
	const uint64_t passed = wanted & ~SYNC_MASK;

	memcpy(&uc->uc_sigmask, &passed, sizeof(passed));
	/* They shall arrive where the handler returns to. */
	if (mask->held & ~wanted)
		change_kernel(SIG_BLOCK, UINT64_MAX);
	set_blocked(mask, wanted & SYNC_MASK);
}

/* --- changes ---------------------------------------------------------------------------- */

/* Which exception signals are blocked after @how. */
static uint64_t blocked_after(uint64_t blocked, int how, uint64_t set)
{
	set &= SYNC_MASK;
	if (how == SIG_BLOCK)
		return blocked | set;
	return how == SIG_UNBLOCK ? blocked & ~set : set;
}

/* Returns 0 or an errno. */
static int do_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	/* A child that only borrows our memory is about to become another program. */
	const bool is_borrowed = client_is_borrowed();
	const uint64_t ours = is_borrowed ? 0 : SYNC_MASK;
	const uint64_t wanted = set ? first_word(set) : 0;
	const uint64_t mask = wanted & ~(ours | LIBC_MASK);
	struct client_mask *own;
	uint64_t previous = 0;
	long ret;

	client_start();
	own = mask_of(NULL);
	ret = sys_call(SYS_rt_sigprocmask, how, set ? (long)&mask : 0, (long)&previous,
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

/* --- waits ------------------------------------------------------------------------------- */

/* From here on and until the call returns, if it is not NULL, @set is the mask. */
static struct client_mask *begin_wait(const sigset_t *set)
{
	struct client_mask *mask;

	if (!set)
		return NULL;
	mask = make_real(SYNC_MASK);
	mask->wait_mask = first_word(set);
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

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

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
	mask = make_real(first_word(set));
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

/* --- jumps --------------------------------------------------------------------------------- */

/*
 * setjmp() and getcontext() keep the kernel's mask, in the first word of a set that has
 * more words than there are signals.  Ours goes into the last one.
 */
#define MARK 0x6d61736b00000000ull
#define LAST_WORD (sizeof(sigset_t) / sizeof(uint64_t) - 1)

_Static_assert(!(MARK & SYNC_MASK), "they share a word");

void client_mask_save(sigset_t *set)
{
	const uint64_t word = MARK | mask_of(NULL)->blocked;

	memcpy((uint8_t *)set + LAST_WORD * sizeof(word), &word, sizeof(word));
}

/* A set that did not pass by here, as that of a signal's frame, has all in its first word. */
static uint64_t saved_in(const sigset_t *set)
{
	const uint64_t word = first_word((const uint8_t *)set + LAST_WORD * sizeof(word));

	if ((word & ~SYNC_MASK) == MARK)
		return word & SYNC_MASK;
	return first_word(set) & SYNC_MASK;
}

/* @set is what the kernel will be given. */
static void restore(sigset_t *set)
{
	const uint64_t blocked = saved_in(set);
	const uint64_t passed = first_word(set) & ~SYNC_MASK;

	if (passed != first_word(set)) {
		memcpy(set, &passed, sizeof(passed));
		set_blocked(mask_of(NULL), blocked);
		client_mask_save(set);
		return;
	}
	set_blocked(mask_of(NULL), blocked);
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
		set_blocked(mask_of(NULL), saved_in((sigset_t *)&env->__saved_mask));
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

/* --- new threads ------------------------------------------------------------------------------ */

/* Who is born with signals blocked learns of it here; mostly nobody is. */
struct birth {
	void *(*start)(void *);
	thrd_start_t start_c11;
	void *arg;
	uint64_t blocked;
};

static void *be_born(struct birth *birth, struct birth *copy)
{
	*copy = *birth;
	free(birth);
	mask_of(NULL)->blocked = copy->blocked | (change_kernel(SIG_UNBLOCK, SYNC_MASK) & SYNC_MASK);
	return copy->arg;
}

static void *start_posix(void *arg)
{
	struct birth birth;

	arg = be_born(arg, &birth);
	return birth.start(arg);
}

static int start_c11(void *arg)
{
	struct birth birth;

	arg = be_born(arg, &birth);
	return birth.start_c11(arg);
}

/* pthread_attr_setsigmask_np() is newer than the oldest libc. */
static bool has_mask(const pthread_attr_t *attr, sigset_t *set)
{
	static int (*get)(const pthread_attr_t *, sigset_t *);

	if (!attr)
		return false;
	if (!get)
		get = (int (*)(const pthread_attr_t *, sigset_t *))dlsym(
			RTLD_NEXT, "pthread_attr_getsigmask_np");
	return get && !get(attr, set);
}

static struct birth *expect(const struct birth *as)
{
	struct birth *birth = malloc(sizeof(*birth));

	if (birth)
		*birth = *as;
	return birth;
}

static int create_posix(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
			void *arg)
{
	static __typeof__(&pthread_create) next;
	struct birth as = { .start = start, .arg = arg, .blocked = mask_of(NULL)->blocked };
	struct birth *birth;
	sigset_t set;
	int ret;

	if (!next)
		next = NEXT(pthread_create);
	if (has_mask(attr, &set))
		as.blocked = first_word(&set) & SYNC_MASK;
	if (!as.blocked)
		return next(thread, attr, start, arg);
	birth = expect(&as);
	if (!birth)
		return EAGAIN;
	ret = next(thread, attr, start_posix, birth);
	if (ret)
		free(birth);
	return ret;
}

CLIENT_EXPORT int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attr,
				 void *(*start)(void *), void *restrict arg)
{
	const int ret = create_posix(thread, attr, start, arg);

	client_actions_adopt();
	return ret;
}

CLIENT_EXPORT int thrd_create(thrd_t *thread, thrd_start_t start, void *arg)
{
	static __typeof__(&thrd_create) next;
	struct birth as = { .start_c11 = start, .arg = arg, .blocked = mask_of(NULL)->blocked };
	struct birth *birth = NULL;
	int ret;

	if (!next)
		next = NEXT(thrd_create);
	if (as.blocked) {
		birth = expect(&as);
		if (!birth)
			return thrd_nomem;
	}
	ret = birth ? next(thread, start_c11, birth) : next(thread, start, arg);
	if (ret != thrd_success)
		free(birth);
	client_actions_adopt();
	return ret;
}
