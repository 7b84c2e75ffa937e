/* SPDX-License-Identifier: BSD-3-Clause */
/* What masks.c has for deliver.c, jump.S, waits.c and births.c; see client.h for the rest. */
#ifndef SWSGX_CLIENT_MASKS_H
#define SWSGX_CLIENT_MASKS_H

#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "client.h"

#define SIGNAL_BIT(sig) (1ull << ((sig) - 1))
#define EXCEPTION_SIGNALS                                                                          \
	(SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGFPE) |       \
	 SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGSYS))

/* The function of this name that we stand in front of. */
#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

/** client_mask_word() - the signals of a sigset_t, which has room for more than there are. */
static inline uint64_t client_mask_word(const void *set)
{
	uint64_t word;

	memcpy(&word, set, sizeof(word));
	return word;
}

/** client_mask_of() - that of @thread: the calling one, or NULL when nobody looked for its record. */
CLIENT_SIGSAFE struct client_mask *client_mask_of(struct client_thread *thread);

/** client_mask_change_kernel() - rt_sigprocmask.  Return: the mask before. */
CLIENT_SIGSAFE uint64_t client_mask_change_kernel(int how, uint64_t mask);

/** client_mask_release() - those of @which that were held arrive again. */
CLIENT_SIGSAFE void client_mask_release(struct client_mask *mask, uint64_t which);

/**
 * client_is_blocked() - does the program believe it blocked exception signal @sig?
 * @thread: the calling one, or NULL.  @uc: what the signal interrupted.
 */
CLIENT_SIGSAFE bool client_is_blocked(struct client_thread *thread, int sig,
				      const ucontext_t *uc);

/**
 * client_hold_blocked() - keep a signal that somebody sent until the program unblocks it.
 * Return: false when it is none of exceptions, or not blocked.
 */
CLIENT_SIGSAFE bool client_hold_blocked(struct client_thread *thread, int sig,
					const siginfo_t *info, const ucontext_t *uc);

/**
 * client_handler_begins() - the handler of @action is about to run for @sig.
 * @uc: gets the mask that the program believes was interrupted.
 * Return: what the kernel blocks meanwhile.
 */
CLIENT_SIGSAFE uint64_t client_handler_begins(struct client_thread *thread, int sig,
					      const struct client_action *action, ucontext_t *uc);

/** client_handler_returns() - it is over; @uc becomes what the kernel can return to. */
CLIENT_SIGSAFE void client_handler_returns(ucontext_t *uc);

/* jump.S: the functions it stands in front of, in this order. */
#define CLIENT_NR_JUMPS 7
void client_jump_find(void);

/** client_mask_save() - @set is about to be given the kernel's mask: add ours. */
void client_mask_save(sigset_t *set);

/** client_jump() - the program jumps to @env. */
void client_jump(struct __jmp_buf_tag *env);

/** client_context_leave() - it goes on with @to, and, if not NULL, with @from later. */
void client_context_leave(ucontext_t *from, ucontext_t *to);

#endif /* SWSGX_CLIENT_MASKS_H */
