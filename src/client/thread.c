/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One record a thread, at the foot of an alternate signal stack of our own.
 *
 * A thread that faults inside an enclave has the enclave's FS and RSP, so
 * neither leads to its record.  But the kernel notes the alternate stack in
 * every signal frame, and the odd size tells ours from any other.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "client.h"
#include "sys.h"

#define RECORD_SIZE 0x1000u
#define GUARD_SIZE 0x1000u
#define STACK_SIZE 0x1ffc0u	/* no program would ask for just this */
#define RECORD_ALIGN 0x10000u	/* enter.S, client_leave_begin */
#define REGION_SIZE (RECORD_SIZE + GUARD_SIZE + 0x20000u)

_Static_assert(sizeof(struct client_thread) <= RECORD_SIZE, "a record is one page");
_Static_assert(offsetof(struct client_thread, deferred) == 1 &&
	       offsetof(struct client_thread, tid) == 4 &&
	       offsetof(struct client_thread, deferred_mask) == 8 &&
	       offsetof(struct client_thread, selector) == 2 &&
	       offsetof(struct client_thread, entry) == 16 &&
	       offsetof(struct client_thread, exit_frame) == 176 &&
	       offsetof(struct client_thread, exit_state) == 184 &&
	       offsetof(struct client_thread, exit_count) == 192 &&
	       offsetof(struct client_thread, isa.inside) == 224 &&
	       offsetof(struct client_thread, isa.host_fsbase) == 328 &&
	       offsetof(struct client_thread, isa.host_gsbase) == 336 &&
	       offsetof(struct client_thread, exit_key) == 200 &&
	       offsetof(struct client_thread, aep) == 216 &&
	       offsetof(struct isa_regs, rip) == 128 &&
	       offsetof(struct isa_regs, gsbase) == 152, "enter.S");

#define HWCAP2_FSGSBASE 2u
#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004

/* enter.S looks at it, too. */
__thread struct client_thread *client_thread_tls __attribute__((visibility("hidden")));
#define self client_thread_tls
static pthread_key_t exit_key;
static bool has_fsgsbase;

/*
 * A thread made by a bare clone() has the thread-local storage of its creator.
 * As soon as there is one, records are found by the number of the thread.  That it
 * was made shows in the call, or, where the program made the system call by itself,
 * when it needs a record.
 */
static _Atomic bool tls_is_shared;
static struct client_thread *threads;	/* guarded by the lock */

bool client_tls_is_shared(void)
{
	return tls_is_shared;
}

static void forget(struct client_thread *thread)
{
	struct client_thread **p = &threads;
	uint64_t saved;

	client_lock(&saved);
	while (*p && *p != thread)
		p = &(*p)->next;
	if (*p)
		*p = thread->next;
	client_unlock(&saved);
}

static void thread_exit(void *arg)
{
	struct client_thread *thread = arg;
	const stack_t none = { .ss_flags = SS_DISABLE };

	self = NULL;
	forget(thread);
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

static int this_tid(void)
{
	return (int)sys_call(SYS_gettid, 0, 0, 0, 0);
}

/* Have signals of this thread arrive on the stack of @thread. */
static void take_stack(struct client_thread *thread)
{
	const stack_t ours = client_thread_stack(thread);
	stack_t old = { .ss_flags = SS_DISABLE };

	/* Refused only while running on another one; the frame is edited then. */
	sys_call(SYS_sigaltstack, (long)&ours, (long)&old, 0, 0);
	thread->user_stack = old;
	thread->user_stack.ss_flags &= SS_DISABLE;
}

static void note(struct client_thread *thread)
{
	uint64_t saved;

	client_lock(&saved);
	thread->tid = this_tid();
	thread->next = threads;
	threads = thread;
	client_unlock(&saved);
}

static struct client_thread *create(void)
{
	uint8_t *const all = sys_mmap(NULL, REGION_SIZE + RECORD_ALIGN, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *const region =
		(uint8_t *)(((uintptr_t)all + RECORD_ALIGN - 1) & ~(uintptr_t)(RECORD_ALIGN - 1));
	struct client_thread *thread;

	if (sys_is_error(all))
		return NULL;
	if (region > all)
		sys_munmap(all, (size_t)(region - all));
	sys_munmap(region + REGION_SIZE, (size_t)(all + RECORD_ALIGN - region));
	sys_mprotect(region + RECORD_SIZE, GUARD_SIZE, PROT_NONE);
	thread = (struct client_thread *)region;
	take_stack(thread);
	note(thread);
	return thread;
}

static bool has_stack(const struct client_thread *thread)
{
	stack_t now;

	return !sys_call(SYS_sigaltstack, 0, (long)&now, 0, 0) &&
	       now.ss_sp == client_thread_stack(thread).ss_sp;
}

/* The kernel gives the numbers of dead threads to new ones, which begin anew. */
static void begin_anew(struct client_thread *thread)
{
	struct client_thread *const next = thread->next;
	const int tid = thread->tid;

	memset(thread, 0, sizeof(*thread));
	thread->next = next;
	thread->tid = tid;
	take_stack(thread);
}

static struct client_thread *by_number(void)
{
	const int tid = this_tid();
	struct client_thread *thread;
	uint64_t saved;

	client_lock(&saved);
	for (thread = threads; thread && thread->tid != tid; thread = thread->next)
		;
	client_unlock(&saved);
	if (!thread)
		return create();
	if (!thread->isa.inside && !has_stack(thread))
		begin_anew(thread);
	return thread;
}

/*
 * Is @self another's, with whom this thread shares thread-local storage?  To ask the
 * kernel who we are takes longer than to enter an enclave.  But two threads are not
 * on one page of stack, so it is only asked when the page is another than last time.
 */
static bool is_anothers(void)
{
	const uint64_t page = (uintptr_t)__builtin_frame_address(0) & SGX_PAGE_MASK;

	if (page == self->stack_page)
		return false;
	if (self->tid != this_tid() && !client_is_borrowed())
		return true;
	self->stack_page = page;
	return false;
}

struct client_thread *client_thread_self(void)
{
	if (self && !tls_is_shared && is_anothers())
		tls_is_shared = true;
	if (tls_is_shared)
		return by_number();
	if (!self) {
		self = create();
		if (self)
			pthread_setspecific(exit_key, self);
	}
	return self;
}

struct client_thread *client_thread_trapped(const ucontext_t *uc)
{
	struct client_thread *thread = client_thread_of(uc);

	if (thread)
		return thread;
	if (self && self->tid != this_tid())
		tls_is_shared = true;
	return client_thread_self();
}

CLIENT_EXPORT int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	static int (*next)(int (*)(void *), void *, int, void *, ...);
	pid_t *parent_tid, *child_tid;
	va_list args;
	void *tls;
	int ret;

	va_start(args, arg);
	parent_tid = va_arg(args, pid_t *);
	tls = va_arg(args, void *);
	child_tid = va_arg(args, pid_t *);
	va_end(args);
	if (!next)
		next = (int (*)(int (*)(void *), void *, int, void *, ...))dlsym(RTLD_NEXT, "clone");
	/* Until it has its own memory, the child alone runs with what it shares. */
	if ((flags & CLONE_VM) && (flags & CLONE_VFORK)) {
		client_borrowed++;
		ret = next(fn, stack, flags, arg, parent_tid, tls, child_tid);
		client_borrowed--;
		return ret;
	}
	if ((flags & CLONE_VM) && !(flags & CLONE_SETTLS))
		tls_is_shared = true;
	client_masks_share();
	return next(fn, stack, flags, arg, parent_tid, tls, child_tid);
}

void client_thread_forked(void)
{
	threads = self;
	if (!self)
		return;
	self->next = NULL;
	self->tid = this_tid();
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
