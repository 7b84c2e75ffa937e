/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What runs inside the user's program.  It plays the processor for ENCLU and
 * the kernel's entry points for the device files; everything that is not this
 * process's own business it asks the server.
 *
 * Three rules hold in every file here:
 *  - what a signal handler can reach takes no libc lock and allocates nothing
 *    from libc; such functions are marked CLIENT_SIGSAFE;
 *  - the lock is taken where no signal's handler can begin: with all signals blocked,
 *    or in a handler, or where they are deferred (lock.c, thread->critical);
 *  - nothing uses vector registers: they are the program's, or the enclave's.
 */
#ifndef SWSGX_CLIENT_H
#define SWSGX_CLIENT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include <swsgx/isa.h>

#include "../server/proto.h"

#define CLIENT_SIGSAFE
#define CLIENT_EXPORT __attribute__((visibility("default")))

/* xstate.c, used by encl.c */
CLIENT_SIGSAFE const struct isa_xsave_component *client_xsave_components(void);
CLIENT_SIGSAFE uint64_t client_xcr0(void);
void client_xstate_probe(void);

/* --- init.c ------------------------------------------------------------------ */

/**
 * client_start() - get ready, if not done yet.
 * Constructors of other libraries run before ours, and may use SGX or signals.
 */
void client_start(void);

/* --- lock.c: the one lock of this process's tables --------------------------- */

/**
 * client_lock() - keep all signals away and take the lock. @saved: for unlock.
 * Not when this thread has it already.
 */
void client_lock(uint64_t *saved);
void client_unlock(const uint64_t *saved);

/**
 * client_lock_defers() - a handler begins, and FS is the host's: must it wait?
 * Return: true, when this thread has the lock.  The signal is kept and all are blocked by
 * @uc; giving the lock back traps, see below.
 */
CLIENT_SIGSAFE bool client_lock_defers(int sig, const siginfo_t *info, ucontext_t *uc);

/** client_lock_is_kick() - is this where it traps? */
CLIENT_SIGSAFE bool client_lock_is_kick(uint64_t rip);

/** client_lock_take_deferred() - the signal that was kept, with @uc as it shall see it. */
CLIENT_SIGSAFE int client_lock_take_deferred(siginfo_t *info, ucontext_t *uc);

/* How many vfork() children of this thread live; the innermost is who runs.  vfork.S. */
extern __thread unsigned int client_borrowed __attribute__((visibility("hidden")));

/**
 * client_is_borrowed() - are we a vfork() child in its parent's memory?
 * What such a child changes of itself must not change what is noted here.
 */
CLIENT_SIGSAFE bool client_is_borrowed(void);

/* For handlers and critical sections, which signals cannot interrupt. */
CLIENT_SIGSAFE void client_lock_blocked(void);
CLIENT_SIGSAFE void client_unlock_blocked(void);

struct client_thread;

/* --- encl.c: enclaves mapped into this process -------------------------------- */

/* An enclave, or an instance of virtual EPC. */
struct client_encl {
	struct client_encl *next;
	uint64_t inode;		/* of the device's socket: its identity */
	int sock;		/* our own reference, while anything is mapped */
	unsigned int nr_vmas;	/* intervals of the table below that are ours */
	unsigned int nr_users;	/* calls that hold it */
	bool attaching;		/* some thread asks for what follows */
	bool attached;		/* and has it */
	uint64_t vepc_id;	/* 0: an enclave; otherwise there is nothing below */
	/* From here: zero until the enclave is created. */
	uint64_t base, size;
	int pages_fd;
	int uffd;		/* of ELRANGE, see paging.c; -1: pages are not taken away */
	uint8_t *pages;		/* the alias: the whole ELRANGE, for SSA and TCS */
	struct proto_shared *shared;
	const uint16_t *mirror;
	const _Atomic uint32_t *machine; /* see PROTO_IS_ALIVE */
	uint64_t number;	/* of this process; 0: it did not join */
	uint8_t *slots;		/* see exits.c; NULL: none */
	struct client_thread **by_gs; /* who entered last with GS at the page */
	uint64_t *tcs_by_gs;	/* and the TCS that has its GS there */
	size_t shared_size;
};

/* One mapping the program made of an enclave's descriptor. */
struct client_vma {
	uint64_t start, end;
	int prot;		/* what the program asked for */
	uint64_t file_shift;	/* of virtual EPC: from an address to the file's offset */
	struct client_encl *encl;
};

/**
 * client_encl_get() - the enclave behind descriptor @fd of the program.
 * Attaches to it when this process does not know it, and again when it was
 * created meanwhile.  Call without the lock.
 * Return: 0, @out to be given back with client_encl_put(); -errno.
 */
int client_encl_get(int fd, struct client_encl **out);

/** client_encl_known() - the same if anything of it is mapped here, else NULL. */
struct client_encl *client_encl_known(int fd);

/** client_encl_put() - NULL only forgets enclaves nothing is mapped of any more. */
void client_encl_put(struct client_encl *encl);

/** client_owns_fd() - is @fd one of ours, not the program's? */
bool client_owns_fd(int fd);

/**
 * client_move_fd() - keep what @fd, one of ours, stands for under another number.
 * @fd itself stays open, for the caller to replace.
 * Return: 0; -errno there is no other number.
 */
int client_move_fd(int fd);

/**
 * client_vma_any() - is there any?  Most programs have none most of the time, and should
 * not pay for a lock then.
 */
CLIENT_SIGSAFE bool client_vma_any(void);

/** client_vma_find() - the interval that holds @addr.  Lock held. */
CLIENT_SIGSAFE const struct client_vma *client_vma_find(uint64_t addr);

/** client_vma_next() - the first interval that ends after @addr.  Lock held. */
CLIENT_SIGSAFE const struct client_vma *client_vma_next(uint64_t addr);

/** client_vma_set() - @vma is a mapping now.  Lock held.  0 or -ENOMEM. */
int client_vma_set(const struct client_vma *vma);

/**
 * client_vma_generation() - another number than before when anything above answers
 * differently since.  Without the lock; never 0.
 */
CLIENT_SIGSAFE uint64_t client_vma_generation(void);

/** client_vma_changed() - so it is.  Lock held. */
void client_vma_changed(void);

/** client_vma_clear() - nothing of an enclave is mapped in [start, end) now.  Lock held. */
void client_vma_clear(uint64_t start, uint64_t end);

/**
 * client_encl_apply() - give the pages of [start, end) the rights they have:
 * what the program asked for, and what their EPCM entries allow.  Lock held.
 */
CLIENT_SIGSAFE void client_encl_apply(const struct client_vma *vma, uint64_t start,
				      uint64_t end);

/** client_encl_map() - make [start, end) show @encl's pages (no rights yet).  0 or -errno. */
int client_encl_map(struct client_encl *encl, uint64_t start, uint64_t end);

/** client_encl_created() - @encl has memory now: show it in mappings made before. */
void client_encl_created(struct client_encl *encl);

/** client_encl_pages_changed() - @encl got or lost pages in [start, end): apply again. */
void client_encl_pages_changed(struct client_encl *encl, uint64_t start, uint64_t end);

/** client_encl_mirror() - the mirror's entry of the page at @addr, inside ELRANGE. */
CLIENT_SIGSAFE uint16_t client_encl_mirror(const struct client_encl *encl, uint64_t addr);

/** client_encl_at() - the created enclave whose ELRANGE holds @addr.  Lock held. */
CLIENT_SIGSAFE struct client_encl *client_encl_at(uint64_t addr);

/** client_encl_forked() - in a child: what it did not inherit of its enclaves. */
void client_encl_forked(void);

/** client_note_fd() - @fd is one of ours; moves it out of the program's way. */
int client_note_fd(int fd);

/* --- paging.c ------------------------------------------------------------------ */

/** client_paging_create() - can pages be taken away from us?  Then with @uffds. */
bool client_paging_create(int uffds[2]);
void client_paging_discard(int uffds[2]);

/**
 * client_paging_join() - have pages of @encl taken away through @uffds, if any.
 * Takes @uffds.  Call without the lock.  0 or -ENOMEM.
 */
int client_paging_join(struct client_encl *encl, int uffds[2]);
void client_paging_close(struct client_encl *encl);

/** client_paging_map() - @encl's memory is mapped at @start now.  0 or -ENOMEM. */
int client_paging_map(const struct client_encl *encl, uint64_t start, uint64_t size);

/** client_paging_forked() - map the alias of @encl again, in a child.  0 or -ENOMEM. */
int client_paging_forked(struct client_encl *encl);

/* --- fault.c ------------------------------------------------------------------- */

/**
 * client_fault_in() - have the enclave page at @addr made for an access, as the
 * kernel would: augmented, or loaded again.
 * @prot: SECINFO_R, _W or _X.
 * Call in a handler, without the lock.
 * Return: false when there is no such page and can be none.
 */
CLIENT_SIGSAFE bool client_fault_in(uint64_t addr, int prot);

/**
 * client_mailbox_fault() - the same, where the server looks for it anyway.
 * @page: its address.  @result: 0 or -errno.
 * Return: false when the server has to be called.
 */
CLIENT_SIGSAFE bool client_mailbox_fault(const struct client_encl *encl, uint64_t page, int prot,
					 int *result);

/** client_encl_is_lost() - is @encl gone because its machine is? */
CLIENT_SIGSAFE bool client_encl_is_lost(const struct client_encl *encl);

/**
 * client_leave_lost() - @thread has left such an enclave, with registers @r that are
 * partly from pages it has no more.
 */
CLIENT_SIGSAFE void client_leave_lost(const struct client_thread *thread, struct isa_regs *r);

/** client_encl_lost() - what an access to @la of such an enclave is. */
CLIENT_SIGSAFE struct isa_outcome client_encl_lost(uint64_t la);

/**
 * client_encl_enter() - the enclave that @thread is about to enter: @thread->encl, the
 * one whose ELRANGE holds @tcs.  NULL: there is none.  Without the lock.
 */
CLIENT_SIGSAFE struct client_encl *client_encl_enter(struct client_thread *thread, uint64_t tcs);

/** client_encl_view() - what entry needs of @thread->encl. */
CLIENT_SIGSAFE struct isa_encl_view client_encl_view(struct client_thread *thread);

/* --- vepc.c: virtual EPC mapped into this process ------------------------------- */

/** client_vepc_opened() - did the open of @fd succeed?  0 or -errno. */
int client_vepc_opened(int fd);

/**
 * client_vepc_fault() - the program touched @addr of virtual EPC.
 * Return: 0 it may try again; -errno it cannot have the page.
 */
CLIENT_SIGSAFE int client_vepc_fault(uint64_t addr);

/** client_vepc_page() - which page @addr is.  Return: 0; ENOENT none; EACCES not writable. */
CLIENT_SIGSAFE int client_vepc_page(uint64_t addr, bool write, struct proto_vepc_page *page);

/** client_vepc_any() - an instance that is mapped, for client_encl_put(); NULL: none. */
CLIENT_SIGSAFE struct client_encl *client_vepc_any(void);

/** client_vepc_forked() - in a child: virtual EPC is not inherited. */
void client_vepc_forked(void);

/* --- encls.c: the program as a guest's kernel ------------------------------------- */

/**
 * client_encls() - execute the ENCLS at @r->rip.
 * @r: changed unless it faults.
 * Return: false when it is none, or nothing makes this program a kernel.
 */
CLIENT_SIGSAFE bool client_encls(struct isa_regs *r, struct isa_outcome *out);

/** client_msr() - the same for RDMSR and WRMSR of the launch-key hash. */
CLIENT_SIGSAFE bool client_msr(struct isa_regs *r);

/* --- server.c: talking to the server ------------------------------------------- */

/** client_server_init() - @name: the server's, from PROTO_ENV. */
void client_server_init(const char *name);

/** client_is_active() - false when no server was named: then we only pass on. */
CLIENT_SIGSAFE bool client_is_active(void);

/** client_connect() - open device PROTO_ENCLAVE, _PROVISION or _VEPC.  fd or -errno. */
int client_connect(const char *device, bool cloexec);

/** client_connect_socket() - the server's socket @name as it is.  fd or -errno. */
CLIENT_SIGSAFE int client_connect_socket(const char *name, bool cloexec);

/** client_device_of() - which device @fd is: one of these, or NULL. */
CLIENT_SIGSAFE const char *client_device_of(int fd);

/**
 * client_copy() - copy @n bytes from memory of the program at @addr to @ours, or back.
 *
 * Return: false when that memory is not there, or not as it must be.
 */
CLIENT_SIGSAFE bool client_copy(uint64_t addr, void *ours, size_t n, bool write);

/**
 * client_send_ahead() - let @n bytes at @addr of the program travel with a request.
 * Return: false when they cannot be read; the server will find that out.
 */
bool client_send_ahead(struct proto_ahead *ahead, uint64_t addr, size_t n);

/**
 * client_call() - one call on @sock.
 * @done: the last frame.  @fds: PROTO_NR_FILES descriptors when ATTACH sent them, else -1.
 * Return: 0; -ENODEV the server is gone.
 */
CLIENT_SIGSAFE int client_call(int sock, const struct proto_request *req,
			       struct proto_frame *done, int fds[PROTO_NR_FILES]);

/**
 * client_call_interrupt() - a handler is about to run: tell the server, if this thread is
 * in a call that ends then.
 */
CLIENT_SIGSAFE void client_call_interrupt(void);

/** client_call_abandon() - this thread may be about to jump out of such a call. */
CLIENT_SIGSAFE void client_call_abandon(void);

/** client_call_sending() - the same, giving the server duplicates of @fds. */
int client_call_sending(int sock, const struct proto_request *req, const int fds[2],
			struct proto_frame *done);

/* --- thread.c ------------------------------------------------------------------- */

/*
 * What a thread's entries have looked up, so that the next one need not: it holds as
 * long as nothing is mapped or unmapped.
 */
struct client_lookup {
	uint64_t generation;	/* of the mappings; 0: nothing is known */
	struct client_encl *encl;
	unsigned int nr, next;	/* pages known, and which to forget first */
	uint64_t writable[8];	/* pages of encl that the program mapped for stores */
};

/* The signals of exceptions that a thread believes to be blocked; see masks.c. */
#define CLIENT_NR_SYNC 6

struct client_mask {
	uint64_t blocked;
	uint64_t held;			/* that others sent meanwhile */
	siginfo_t info[CLIENT_NR_SYNC];	/* of these */
	bool is_used;			/* in the record, not in thread-local storage */
	volatile bool waits;		/* with another mask: this one */
	uint64_t wait_mask;
};

/* enter.S knows the offsets of the members up to entry. */
struct client_thread {
	/*
	 * The entry path is between its first check and its jump: signals wait
	 * until it is through (see signal.c).
	 */
	bool critical;		/* 0 */
	bool deferred;		/* 1: some do wait */
	volatile uint8_t selector; /* 2: the kernel reads it, see syscalls.c */
	bool dispatch_asked;	/* and was told so, in this process */
	int tid;		/* 4 */
	uint64_t deferred_mask;	/* 8: the signal mask to restore then */
	struct isa_regs entry;	/* 16: what the enclave starts with */
	/* For an exit without a trap; the frame is 0 when there can be none. */
	uint64_t exit_frame;	/* 176 */
	uint64_t *exit_state;	/* 184: TCS.STATE */
	uint64_t *exit_count;	/* 192: where the block counts the thread */
	/*
	 * For one to anywhere, see exits.c: minus the record's own address, or 0 when
	 * there can be none; and what makes RSP less than 64 KiB when it is on the stack
	 * of the entry, or not far below.
	 */
	uint64_t exit_key;	/* 200 */
	uint64_t exit_stack;	/* 208 */
	uint64_t aep;		/* 216: of the entry */
	struct isa_thread isa;	/* 224 */
	struct client_encl *encl; /* the one isa is, or was last, inside */
	struct client_lookup known;
	/* At the entry: what an exit finds in pages that are lost by then. */
	uint64_t rsp_outside, rbp_outside;
	stack_t user_stack;	/* the program's sigaltstack */
	uint64_t stack_page;	/* where its thread was last when it was asked for its number */
	struct client_mask mask; /* see client_tls_is_shared() */
	struct client_thread *next;
};

/** client_tls_is_shared() - may another thread have this one's thread-local storage? */
CLIENT_SIGSAFE bool client_tls_is_shared(void);

/** client_thread_self() - this thread's record, made on first use; NULL without memory. */
CLIENT_SIGSAFE struct client_thread *client_thread_self(void);

/** client_thread_peek() - this thread's record, NULL when it has none. */
CLIENT_SIGSAFE struct client_thread *client_thread_peek(void);

/**
 * client_thread_of() - the record of an interrupted thread.
 * Safe with the enclave's FS: looks only at the alternate stack the kernel noted.
 */
CLIENT_SIGSAFE struct client_thread *client_thread_of(const ucontext_t *uc);

/** client_thread_trapped() - this thread's record, for a signal of its own.  FS is the host's. */
CLIENT_SIGSAFE struct client_thread *client_thread_trapped(const ucontext_t *uc);

/** client_thread_stack() - the alternate stack of @thread, as sigaltstack(2) wants it. */
CLIENT_SIGSAFE stack_t client_thread_stack(const struct client_thread *thread);

/** client_threads_init() - once, before any other of these. */
void client_threads_init(void);

/** client_set_bases() - load FS and GS base. */
CLIENT_SIGSAFE void client_set_bases(uint64_t fsbase, uint64_t gsbase);

/** client_has_fsgsbase() - can the bases be changed without a system call? */
CLIENT_SIGSAFE bool client_has_fsgsbase(void);
CLIENT_SIGSAFE void client_get_bases(uint64_t *fsbase, uint64_t *gsbase);

/** client_thread_forked() - this thread is a child's now. */
void client_thread_forked(void);

/* --- traps.c: instructions that must trap inside --------------------------------------- */

/**
 * client_encl_scan() - make them trap in the pages of @encl between @start and @end
 * that are code by now; see traps.h.  Hold @encl, not the lock.  Not in a handler.
 */
void client_encl_scan(struct client_encl *encl, uint64_t start, uint64_t end);

/** traps_forget() - the memory of @encl goes away.  Lock held. */
void traps_forget(const struct client_encl *encl);

/**
 * client_may_access() - may the enclave make the access of @event, a #PF?
 * Pages that are away are had back.  In a handler, without the lock.
 * Return: false with @event made exact.
 */
CLIENT_SIGSAFE bool client_may_access(struct isa_event *event);

/* --- illegal.c -------------------------------------------------------------------- */

/** client_is_illegal_inside() - is the instruction at @code, of at most @size bytes, one? */
CLIENT_SIGSAFE bool client_is_illegal_inside(const uint8_t *code, size_t size);

/* --- syscalls.c: SYSCALL inside an enclave ----------------------------------------- */

/** client_syscalls_arm() - have SYSCALL raise SIGSYS in this thread, while inside. */
CLIENT_SIGSAFE void client_syscalls_arm(struct client_thread *thread);

/** client_syscalls_disarm() - no more; @thread's memory may go away then. */
void client_syscalls_disarm(struct client_thread *thread);

/** client_syscalls_inside(), _outside() - which code @thread goes on with. */
CLIENT_SIGSAFE void client_syscalls_inside(struct client_thread *thread);
CLIENT_SIGSAFE void client_syscalls_outside(struct client_thread *thread);

/* --- enter.S, enclu.c, signal.c, deliver.c -------------------------------------- */

/** The function our vDSO exports as __vdso_sgx_enter_enclave. */
void client_vdso_enter_enclave(void);

/* Labels in it. */
extern const char client_vdso_aep[];		/* its ENCLU: entry and AEP */
extern const char client_vdso_exception[];	/* where its exceptions resume */
extern const char client_enter_begin[], client_enter_end[]; /* after commit */

/**
 * client_enclu_outside() - execute the ENCLU leaf in EAX on @r, of a thread
 * outside any enclave.
 * @xsave: set to extended state the processor must load, or NULL.
 */
CLIENT_SIGSAFE struct isa_outcome client_enclu_outside(struct client_thread *thread,
						       struct isa_regs *r,
						       const uint8_t **xsave);

/** client_enclu_inside() - the same for a thread inside. */
CLIENT_SIGSAFE struct isa_outcome client_enclu_inside(struct client_thread *thread,
						      struct isa_regs *r);

/* XSAVE areas of signal frames. */
CLIENT_SIGSAFE const uint8_t *client_xstate_of(const ucontext_t *uc);
CLIENT_SIGSAFE size_t client_xstate_size(const ucontext_t *uc);
CLIENT_SIGSAFE void client_xstate_init(const ucontext_t *uc, uint64_t xfrm, int vector);
CLIENT_SIGSAFE void client_xstate_load(const ucontext_t *uc, const uint8_t *image,
				       uint64_t xfrm);

/* Where our handler returns to: rt_sigreturn on the frame at RSP; and where the program's does. */
extern const char client_sigaction_restorer[], client_handler_return[];

/** client_signal() - the handler the kernel knows, for every signal. */
void client_signal(int sig, siginfo_t *info, void *ucontext);

/** client_signals_init() - take over the signals of processor exceptions. */
void client_signals_init(void);

/** client_signals_handled() - how many handlers of the program this thread ran so far. */
CLIENT_SIGSAFE unsigned int client_signals_handled(void);

/** client_signals_stopping() - and how many of these were without SA_RESTART. */
CLIENT_SIGSAFE unsigned int client_signals_stopping(void);

/** client_deliver() - run the program's handler for @sig; may not return. */
CLIENT_SIGSAFE void client_deliver(struct client_thread *thread, int sig, siginfo_t *info,
				   ucontext_t *uc);

/** client_is_sync() - signals of processor exceptions: not blocked while the program runs. */
CLIENT_SIGSAFE bool client_is_sync(int sig);

/** client_signal_interrupts() - do handlers that signal() installs for @sig end system calls? */
void client_signal_interrupts(int sig, bool interrupts);

/** client_actions_adopt() - take over handlers that libc installed with a thread. */
void client_actions_adopt(void);

/** client_masks_init() - the mask we were started with is the program's, not the kernel's. */
void client_masks_init(void);

/** client_masks_share() - this thread is about to make one that shares its storage. */
void client_masks_share(void);

/** client_masks_forked() - in the child: what was sent to the parent is not ours. */
void client_masks_forked(void);

/* The program's view of its signal actions; lock held. */
struct client_action {
	void *handler;		/* SIG_DFL, SIG_IGN or a function */
	int flags;
	uint64_t mask;
};
/* As of a signal that is being delivered: a one-shot action is used up by it. */
CLIENT_SIGSAFE struct client_action client_action_take(int sig);

/** client_kill_by() - let the kernel's default action for @sig end this process. */
CLIENT_SIGSAFE void client_kill_by(int sig, ucontext_t *uc);

/* --- cpuid.c, rewrite.c ---------------------------------------------------------- */

/** client_rewrite() - make CPUID trap in everything loaded so far.  Not in a handler. */
void client_rewrite(void);

/** client_is_rewritten() - was there a CPUID at @rip? */
CLIENT_SIGSAFE bool client_is_rewritten(uint64_t rip);

/** client_cpuid() - what CPUID answers on this machine.  In a handler. */
CLIENT_SIGSAFE struct isa_cpuid client_cpuid(uint32_t leaf, uint32_t subleaf);

/** client_has_launch_control() - does this machine's part have it?  Not in a handler. */
bool client_has_launch_control(void);

/** client_emulate_cpuid() - execute the CPUID that was at @r's RIP, if one was. */
CLIENT_SIGSAFE bool client_emulate_cpuid(struct isa_regs *r);

/* --- vdso.c ---------------------------------------------------------------------- */

/**
 * client_vdso_init() - give the program a vDSO that has the SGX entry function.
 * @envp: the environment as the kernel laid it out, the auxiliary vector behind.
 */
void client_vdso_init(char **envp);

#endif /* SWSGX_CLIENT_H */
