/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SYSCALL inside an enclave must not reach the kernel.  Linux can be asked to
 * raise SIGSYS instead (syscall user dispatch): for the thread that asked, as
 * long as a byte of its memory says so, and not in one range of code, which is
 * ours.  The byte says so while the thread is inside.
 *
 * The kernel forgets it in children and in new threads, so it is asked for at
 * the first entry of each.  A thread that never enters pays nothing.
 */
#include <sys/prctl.h>

#include "client.h"
#include "sys.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF 0
#define PR_SYS_DISPATCH_ON 1
#endif

#define SELECTOR_ALLOW 0
#define SELECTOR_BLOCK 1

/* Of this library, from the linker. */
extern const char own_code_start[] __asm__("__ehdr_start") __attribute__((visibility("hidden")));
extern const char own_code_end[] __asm__("etext") __attribute__((visibility("hidden")));

void client_syscalls_arm(struct client_thread *thread)
{
	if (thread->dispatch_asked)
		return;
	thread->dispatch_asked = true;
	/* The kernel compares the address behind the instruction. */
	sys_call6(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
		  (long)own_code_start, own_code_end + 1 - own_code_start,
		  (long)&thread->selector, 0);
}

void client_syscalls_disarm(struct client_thread *thread)
{
	if (thread->dispatch_asked)
		sys_call6(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0,
			  0);
	thread->dispatch_asked = false;
}

void client_syscalls_inside(struct client_thread *thread)
{
	thread->selector = SELECTOR_BLOCK;
}

void client_syscalls_outside(struct client_thread *thread)
{
	thread->selector = SELECTOR_ALLOW;
}
