/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Running the program's signal handlers, on the stack they would run on without
 * us.  Ours runs on an alternate stack that must be empty again before a handler
 * starts: the handler may enter an enclave, and a signal in there begins at the
 * top of that stack.  So the kernel's frame is moved to where the kernel would
 * have put it, and the handler is started on it there.
 */
#include <signal.h>
#include <string.h>

#include "client.h"
#include "masks.h"
#include "sys.h"

#define RED_ZONE 128u
#define FP_MAGIC2_SIZE 4u

/* The kernel's struct ucontext ends with a 64-bit signal mask. */
#define UCONTEXT_SIZE (offsetof(ucontext_t, uc_sigmask) + sizeof(uint64_t))

struct frame {
	const void *restorer;
	uint8_t uc[(UCONTEXT_SIZE + 15) & ~15ul];
	siginfo_t info;
};

_Noreturn void client_run_handler(void *frame, const uint64_t *mask, void *handler, int sig,
				  siginfo_t *info, void *uc);

static __thread unsigned int handled, stopping;

unsigned int client_signals_handled(void)
{
	return handled;
}

unsigned int client_signals_stopping(void)
{
	return stopping;
}

static uint64_t bit(int sig)
{
	return 1ull << (sig - 1);
}

void client_kill_by(int sig, ucontext_t *uc)
{
	const struct sys_sigaction dfl = { .handler = SIG_DFL };
	uint64_t mask;

	sys_rt_sigaction(sig, &dfl, NULL);
	sys_call(SYS_tgkill, sys_call(SYS_getpid, 0, 0, 0, 0), sys_call(SYS_gettid, 0, 0, 0, 0),
		 sig, 0);
	memcpy(&mask, &uc->uc_sigmask, sizeof(mask));
	mask &= ~bit(sig);
	memcpy(&uc->uc_sigmask, &mask, sizeof(mask));
}

static bool on_stack(const stack_t *stack, uint64_t sp)
{
	return !(stack->ss_flags & SS_DISABLE) && sp - (uintptr_t)stack->ss_sp < stack->ss_size;
}

/* Where the kernel would start the frame. */
static uint64_t stack_top(const struct client_thread *thread, const struct client_action *action,
			  const ucontext_t *uc)
{
	const uint64_t sp = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
	const stack_t *alt = &thread->user_stack;

	if (!(action->flags & SA_ONSTACK) || (alt->ss_flags & SS_DISABLE) || !alt->ss_size ||
	    on_stack(alt, sp))
		return sp - RED_ZONE;
	return (uintptr_t)alt->ss_sp + alt->ss_size;
}

/* The kernel refuses to run over the end of an alternate stack. */
static bool has_room(const struct client_thread *thread, uint64_t top, const ucontext_t *uc)
{
	const stack_t *alt = &thread->user_stack;
	const size_t need = client_xstate_size(uc) + FP_MAGIC2_SIZE + 64 +
			    sizeof(struct frame) + 16;

	return !on_stack(alt, top - 1) || on_stack(alt, top - need);
}

/* Copy the frame below @top, as rt_sigreturn wants to find it. */
static struct frame *move_frame(uint64_t top, const siginfo_t *info, const ucontext_t *uc)
{
	const size_t xstate_size = client_xstate_size(uc);
	uint8_t *xstate = (uint8_t *)((top - xstate_size - FP_MAGIC2_SIZE) & ~63ull);
	struct frame *frame =
		(struct frame *)((((uintptr_t)xstate - sizeof(*frame)) & ~15ull) - 8);
	const void *fpregs = xstate;

	memcpy(xstate, client_xstate_of(uc), xstate_size);
	frame->restorer = client_handler_return;
	memcpy(frame->uc, uc, UCONTEXT_SIZE);
	memcpy(frame->uc + offsetof(ucontext_t, uc_mcontext.fpregs), &fpregs, sizeof(fpregs));
	frame->info = *info;
	return frame;
}

/* Without an alternate stack of ours the kernel's frame is where it has to be. */
static struct frame *take_frame(const siginfo_t *info, ucontext_t *uc)
{
	struct frame *frame = (struct frame *)((uint8_t *)uc - offsetof(struct frame, uc));

	frame->restorer = client_handler_return;
	memmove(&frame->info, info, sizeof(*info));
	return frame;
}

/* The kernel's default action, or nothing. */
static void default_action(int sig, const siginfo_t *info, ucontext_t *uc, bool ignored)
{
	if (ignored && info->si_code <= 0)
		return;
	client_kill_by(sig, uc);
}

void client_deliver(struct client_thread *thread, int sig, siginfo_t *info, ucontext_t *uc)
{
	const bool forced = info->si_code > 0 && client_is_sync(sig);
	struct client_action action;
	struct frame *frame;
	uint64_t mask, top;

	if (!forced && client_hold_blocked(thread, sig, info, uc))
		return;
	client_lock_blocked();
	action = client_action_take(sig);
	client_unlock_blocked();
	if (action.handler == (void *)SIG_DFL || action.handler == (void *)SIG_IGN ||
	    (forced && client_is_blocked(thread, sig, uc))) {
		default_action(sig, info, uc, action.handler == (void *)SIG_IGN);
		return;
	}
	handled++;
	stopping += !(action.flags & SA_RESTART);
	client_call_interrupt();
	if (!thread) {
		mask = client_handler_begins(NULL, sig, &action, uc);
		frame = take_frame(info, uc);
		client_run_handler(frame, &mask, action.handler, sig, &frame->info, frame->uc);
	}
	top = stack_top(thread, &action, uc);
	if (!has_room(thread, top, uc)) {
		client_kill_by(SIGSEGV, uc);
		return;
	}
	mask = client_handler_begins(thread, sig, &action, uc);
	frame = move_frame(top, info, uc);
	client_run_handler(frame, &mask, action.handler, sig, &frame->info, frame->uc);
}
