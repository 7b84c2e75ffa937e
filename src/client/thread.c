/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One record a thread, at the foot of an alternate signal stack of our own.
 *
 * A thread that faults inside an enclave has the enclave's FS and RSP, so
 * neither leads to its record.  But the kernel notes the alternate stack in
 * every signal frame, and the odd size tells ours from any other.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "client.h"
#include "sys.h"

#define RECORD_SIZE 0x1000u
#define GUARD_SIZE 0x1000u
#define STACK_SIZE 0x1ffc0u	/* no program would ask for just this */
#define REGION_SIZE (RECORD_SIZE + GUARD_SIZE + 0x20000u)

_Static_assert(sizeof(struct client_thread) <= RECORD_SIZE, "a record is one page");
_Static_assert(offsetof(struct client_thread, deferred) == 1 &&
	       offsetof(struct client_thread, deferred_mask) == 8 &&
	       offsetof(struct client_thread, entry) == 16 &&
	       offsetof(struct isa_regs, rip) == 128 &&
	       offsetof(struct isa_regs, gsbase) == 152, "enter.S");

#define HWCAP2_FSGSBASE 2u
#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004

static __thread struct client_thread *self;
static pthread_key_t exit_key;
static bool has_fsgsbase;

static void thread_exit(void *arg)
{
	struct client_thread *thread = arg;
	const stack_t none = { .ss_flags = SS_DISABLE };

	self = NULL;
	client_syscalls_disarm(thread);
	sys_call(SYS_sigaltstack, (long)&none, 0, 0, 0);
	sys_munmap(thread, REGION_SIZE);
}

void client_threads_init(void)
{
	has_fsgsbase = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
	pthread_key_create(&exit_key, thread_exit);
}

stack_t client_thread_stack(const struct client_thread *thread)
{
	return (stack_t){
		.ss_sp = (uint8_t *)(uintptr_t)thread + RECORD_SIZE + GUARD_SIZE,
		.ss_size = STACK_SIZE,
	};
}

static struct client_thread *create(void)
{
	uint8_t *region = sys_mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct client_thread *thread;
	stack_t ours, old = { .ss_flags = SS_DISABLE };

	if (sys_is_error(region))
		return NULL;
	sys_mprotect(region + RECORD_SIZE, GUARD_SIZE, PROT_NONE);
	thread = (struct client_thread *)region;
	ours = client_thread_stack(thread);
	/* Refused only while running on another one; the frame is edited then. */
	sys_call(SYS_sigaltstack, (long)&ours, (long)&old, 0, 0);
	thread->user_stack = old;
	thread->user_stack.ss_flags &= SS_DISABLE;
	return thread;
}

struct client_thread *client_thread_self(void)
{
	if (!self) {
		self = create();
		if (self)
			pthread_setspecific(exit_key, self);
	}
	return self;
}

void client_thread_forked(void)
{
	if (self)
		self->dispatch_asked = false;
}

struct client_thread *client_thread_peek(void)
{
	return self;
}

struct client_thread *client_thread_of(const ucontext_t *uc)
{
	if (uc->uc_stack.ss_size != STACK_SIZE)
		return NULL;
	return (struct client_thread *)((uintptr_t)uc->uc_stack.ss_sp - RECORD_SIZE - GUARD_SIZE);
}

bool client_has_fsgsbase(void)
{
	return has_fsgsbase;
}

void client_set_bases(uint64_t fsbase, uint64_t gsbase)
{
	if (has_fsgsbase) {
		__asm__ volatile("wrfsbase %0; wrgsbase %1" : : "r"(fsbase), "r"(gsbase));
	} else {
		sys_call(SYS_arch_prctl, ARCH_SET_FS, (long)fsbase, 0, 0);
		sys_call(SYS_arch_prctl, ARCH_SET_GS, (long)gsbase, 0, 0);
	}
}

void client_get_bases(uint64_t *fsbase, uint64_t *gsbase)
{
	if (has_fsgsbase) {
		__asm__ volatile("rdfsbase %0; rdgsbase %1" : "=r"(*fsbase), "=r"(*gsbase));
	} else {
		sys_call(SYS_arch_prctl, ARCH_GET_FS, (long)fsbase, 0, 0);
		sys_call(SYS_arch_prctl, ARCH_GET_GS, (long)gsbase, 0, 0);
	}
}
