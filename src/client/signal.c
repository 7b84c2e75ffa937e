/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every signal of the program arrives here first, on our alternate stack, with
 * all signals blocked.
 *
 * A signal that interrupts an enclave is an asynchronous exit: FS and GS become
 * the host's, the enclave's registers go to its SSA, and the interrupted
 * context becomes the one at the AEP.  After that it is an ordinary signal of
 * an ordinary thread.  An exception whose AEP is our vDSO's is returned in the
 * run structure instead, as Linux does.
 *
 * Until FS is the host's again nothing here may use thread-local storage.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "client.h"
#include "counts.h"
#include "entries.h"
#include "exits.h"
#include "sys.h"
#include "traps.h"

#define RFLAGS_RF (1ull << 16)
#define RFLAGS_AC (1ull << 18)
#define SYSCALL_LENGTH 2

#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif

/* --- contexts ------------------------------------------------------------------ */

static const int greg_of[ISA_NR_GPR] = {
	[ISA_RAX] = REG_RAX, [ISA_RCX] = REG_RCX, [ISA_RDX] = REG_RDX, [ISA_RBX] = REG_RBX,
	[ISA_RSP] = REG_RSP, [ISA_RBP] = REG_RBP, [ISA_RSI] = REG_RSI, [ISA_RDI] = REG_RDI,
	[ISA_R8] = REG_R8,   [ISA_R9] = REG_R9,	  [ISA_R10] = REG_R10, [ISA_R11] = REG_R11,
	[ISA_R12] = REG_R12, [ISA_R13] = REG_R13, [ISA_R14] = REG_R14, [ISA_R15] = REG_R15,
};

static void regs_from(struct isa_regs *r, const ucontext_t *uc)
{
	for (unsigned int i = 0; i < ISA_NR_GPR; i++)
		r->gpr[i] = (uint64_t)uc->uc_mcontext.gregs[greg_of[i]];
	r->rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
	r->rflags = (uint64_t)uc->uc_mcontext.gregs[REG_EFL];
}

static void regs_to(ucontext_t *uc, const struct isa_regs *r)
{
	for (unsigned int i = 0; i < ISA_NR_GPR; i++)
		uc->uc_mcontext.gregs[greg_of[i]] = (greg_t)r->gpr[i];
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)r->rip;
	/* An emulated instruction has retired: no pending resume flag. */
	uc->uc_mcontext.gregs[REG_EFL] = (greg_t)(r->rflags & ~RFLAGS_RF);
}

/* --- exceptions ---------------------------------------------------------------- */

/* A signal the kernel raised for a trap of this instruction, not one sent. */
static bool is_trap(int sig, const siginfo_t *info)
{
	return client_is_sync(sig) && info->si_code > 0;
}

/* SYSCALL, or INT 0x80, and for these the kernel's registers are one behind. */
static bool is_syscall(int sig, const siginfo_t *info)
{
	return sig == SIGSYS && info->si_code == SYS_USER_DISPATCH;
}

static struct isa_event event_of(int sig, const siginfo_t *info, const ucontext_t *uc)
{
	const greg_t *gregs = uc->uc_mcontext.gregs;

	if (!is_trap(sig, info) || sig == SIGSYS)
		return (struct isa_event){ .exception = false };
	return (struct isa_event){
		.exception = true,
		.vector = (uint8_t)gregs[REG_TRAPNO],
		.error_code = (uint32_t)gregs[REG_ERR],
		.address = gregs[REG_TRAPNO] == X86_PF ? (uint64_t)gregs[REG_CR2] : 0,
	};
}

static struct isa_event event_of_fault(struct isa_outcome fault)
{
	return (struct isa_event){
		.exception = true,
		.vector = fault.vector,
		.error_code = fault.error_code,
		.address = fault.address,
	};
}

static int prot_needed(uint32_t error_code)
{
	return error_code & PFEC_W ? SECINFO_W : error_code & PFEC_I ? SECINFO_X : SECINFO_R;
}

/* PROT_READ, _WRITE and _EXEC have the values of SECINFO's R, W and X. */
_Static_assert(SECINFO_R == 1 && SECINFO_W == 2 && SECINFO_X == 4, "mmap's rights");

/* Who forbade it? */
enum verdict { NOT_OURS, PAGE_TABLES, NO_PAGE, EPCM, VEPC, NOBODY };

/* How much of a mapping gets the rights it has, when nobody forbade the access. */
enum apply { NOTHING, THE_PAGE, ALL };

static enum verdict look(const struct isa_event *event, enum apply apply)
{
	const int need = prot_needed(event->error_code);
	const uint64_t page = event->address & SGX_PAGE_MASK;
	const struct client_vma *vma;
	enum verdict verdict = NOT_OURS;
	uint16_t entry = 0;

	client_lock_blocked();
	vma = client_vma_find(event->address);
	if (vma && vma->encl->size && event->address - vma->encl->base < vma->encl->size)
		entry = client_encl_mirror(vma->encl, event->address);
	if (vma) {
		if (!(vma->prot & need))
			verdict = PAGE_TABLES;
		else if (vma->encl->vepc_id)
			verdict = VEPC;
		else if (!(entry & MIRROR_VALID))
			verdict = NO_PAGE;
		else if (entry >> MIRROR_PT_SHIFT != PT_REG || !(entry & need) ||
			 (entry & (MIRROR_PENDING | MIRROR_MODIFIED | MIRROR_BLOCKED)))
			verdict = EPCM;
		else
			verdict = NOBODY;
	}
	if (verdict == NOBODY && apply == ALL)
		client_encl_apply(vma, vma->start, vma->end);
	else if (verdict == NOBODY && apply == THE_PAGE)
		client_encl_apply(vma, page, page + SGX_PAGE_SIZE);
	client_unlock_blocked();
	return verdict;
}

/*
 * What a #PF in enclave memory is on a processor, where page tables and EPCM
 * are two things.  Here both are one mapping's rights.
 */
static enum verdict refine_pf(int sig, struct isa_event *event)
{
	/*
	 * SIGBUS: it was taken away, and the mapping has its rights.  Otherwise rights may
	 * lack for pages that another process added, or while the fault was on its way.
	 */
	const bool away = sig == SIGBUS;
	enum verdict verdict = look(event, away ? NOTHING : ALL);

	/* Not there before it is touched; and then, if there is EPC for it. */
	if (verdict == VEPC)
		verdict = client_vepc_fault(event->address) ? NO_PAGE : NOBODY;
	/* Only the server knows whether it can be had. */
	else if (verdict == NO_PAGE)
		verdict = client_fault_in(event->address, prot_needed(event->error_code))
				  ? look(event, THE_PAGE) : NO_PAGE;
	else if (verdict == NOBODY && away)
		verdict = client_fault_in(event->address, prot_needed(event->error_code))
				  ? look(event, NOTHING) : NO_PAGE;
	switch (verdict) {
	case NO_PAGE:
		event->error_code &= ~PFEC_P;
		break;
	case EPCM:
		event->error_code |= PFEC_P | PFEC_SGX;
		break;
	default:
		break;
	}
	return verdict;
}

bool client_may_access(struct isa_event *event)
{
	return look(event, NOTHING) == NOBODY || refine_pf(SIGSEGV, event) == NOBODY;
}

static bool is_enclu(const void *rip)
{
	static const uint8_t enclu[] = { 0x0f, 0x01, 0xd7 };

	return !memcmp(rip, enclu, sizeof(enclu));
}

/* The siginfo Linux makes of an exception. */
static int signal_of(const struct isa_event *event, enum verdict verdict, siginfo_t *info,
		     ucontext_t *uc)
{
	int sig = SIGSEGV;

	*info = (siginfo_t){ .si_code = SI_KERNEL };
	if (event->vector == X86_UD) {
		sig = SIGILL;
		info->si_code = ILL_ILLOPN;
		info->si_addr = (void *)uc->uc_mcontext.gregs[REG_RIP];
	} else if (event->vector == X86_PF) {
		sig = verdict == NO_PAGE ? SIGBUS : SIGSEGV;
		/* Rights decide, whether or not the page was ever touched. */
		info->si_code = verdict == NO_PAGE ? BUS_ADRERR
				: verdict == PAGE_TABLES || (event->error_code & PFEC_P)
					? SEGV_ACCERR
					: SEGV_MAPERR;
		info->si_addr = (void *)(uintptr_t)(event->address & SGX_PAGE_MASK);
	}
	info->si_signo = sig;
	uc->uc_mcontext.gregs[REG_TRAPNO] = event->vector;
	uc->uc_mcontext.gregs[REG_ERR] = event->error_code;
	if (event->vector == X86_PF)
		uc->uc_mcontext.gregs[REG_CR2] = (greg_t)(event->address & SGX_PAGE_MASK);
	return sig;
}

/* Linux returns all exceptions but #DB and #BP through the vDSO. */
static bool fix_up(const struct isa_event *event, ucontext_t *uc)
{
	greg_t *gregs = uc->uc_mcontext.gregs;

	if (!event->exception || event->vector == X86_DB || event->vector == X86_BP ||
	    gregs[REG_RIP] != (greg_t)client_vdso_aep)
		return false;
	gregs[REG_RIP] = (greg_t)client_vdso_exception;
	gregs[REG_RDI] = event->vector;
	gregs[REG_RSI] = (uint16_t)event->error_code;
	gregs[REG_RDX] = event->vector == X86_PF ? (greg_t)(event->address & SGX_PAGE_MASK) : 0;
	return true;
}

/* An exception that software outside gets to see, at the context of @uc. */
static void raise_exception(struct client_thread *thread, const struct isa_event *event,
			    enum verdict verdict, ucontext_t *uc)
{
	siginfo_t info;
	int sig;

	if (fix_up(event, uc))
		return;
	sig = signal_of(event, verdict, &info, uc);
	client_deliver(thread, sig, &info, uc);
}

/* Let it arrive again, once its signal is not blocked any more. */
static void requeue(int sig, siginfo_t *info)
{
	sys_call(SYS_rt_tgsigqueueinfo, sys_call(SYS_getpid, 0, 0, 0, 0),
		 sys_call(SYS_gettid, 0, 0, 0, 0), sig, (long)info);
}

/* --- inside an enclave ------------------------------------------------------------ */

static bool in_elrange(const struct client_thread *thread, uint64_t addr)
{
	const struct isa_encl_block *blk = thread->isa.view.blk;

	return addr - blk->base < blk->size;
}

#define MAX_LENGTH 15u
#define INT3 0xcc

/*
 * The code at RIP, of at most *@size bytes, where it can be read: the program may
 * have mapped X only.
 */
static const uint8_t *code_at(const struct client_thread *thread, const struct isa_regs *r,
			      size_t *size)
{
	const uint64_t offset = r->rip - thread->encl->base;
	const uint64_t left = thread->encl->size - offset;

	*size = 0;
	if (!in_elrange(thread, r->rip) || offset >= thread->encl->size)
		return NULL;
	*size = left < MAX_LENGTH ? left : MAX_LENGTH;
	/* The page behind may be away, and nobody asked for it. */
	if (offset % SGX_PAGE_SIZE + *size > SGX_PAGE_SIZE &&
	    !(client_encl_mirror(thread->encl, r->rip + *size - 1) & MIRROR_VALID))
		*size = SGX_PAGE_SIZE - offset % SGX_PAGE_SIZE;
	return thread->encl->pages + offset;
}

static bool at_enclu(const struct client_thread *thread, const struct isa_regs *r)
{
	size_t size;
	const uint8_t *code = code_at(thread, r, &size);

	return size >= 3 && is_enclu(code);
}

static bool at_illegal(const struct client_thread *thread, const struct isa_regs *r)
{
	size_t size;
	const uint8_t *code = code_at(thread, r, &size);

	return size && client_is_illegal_inside(code, size);
}

/* An instruction that was made to trap. */
static enum trap_result at_trap(const struct client_thread *thread, struct isa_regs *r,
				const ucontext_t *uc, struct isa_event *event)
{
	size_t size;
	const uint8_t *code = code_at(thread, r, &size);

	if (!size)
		return TRAP_NOT_OURS;
	traps_show_cpuid((uint8_t *)(uintptr_t)code, size, thread->isa.tcs_la);
	return traps_emulate(thread, r, code, size, uc, event);
}

static void exit_enclave(struct client_thread *thread, struct isa_regs *r,
			 const struct isa_event *event, ucontext_t *uc)
{
	/* As entry checked it: the block is the program's to scribble on. */
	const uint64_t xfrm = thread->isa.xfrm;

	exits_disarm(thread);
	isa_aex(&thread->isa, r, event, client_xstate_of(uc));
	if (client_encl_is_lost(thread->encl))
		client_leave_lost(thread, r);
	client_xstate_init(uc, xfrm, event->exception ? event->vector : -1);
	regs_to(uc, r);
}

/*
 * What really happened to enclave code.  A fetch from outside ELRANGE is #GP,
 * unless page tables forbid it: they come first.
 */
static enum verdict refine(const struct client_thread *thread, int sig,
			   const struct isa_regs *r, struct isa_event *event)
{
	const bool is_pf = event->exception && event->vector == X86_PF;

	if (!in_elrange(thread, r->rip)) {
		if (!is_pf || !(event->error_code & PFEC_I))
			*event = (struct isa_event){ .exception = true, .vector = X86_GP };
		return NOT_OURS;
	}
	return is_pf ? refine_pf(sig, event) : NOT_OURS;
}

/* The kernel's own siginfo fits, but for where it happened: that is the AEP. */
static void show_exit(const struct isa_event *event, siginfo_t *info, ucontext_t *uc)
{
	if (event->vector == X86_PF) {
		info->si_addr = (void *)(uintptr_t)(event->address & SGX_PAGE_MASK);
		uc->uc_mcontext.gregs[REG_CR2] = (greg_t)(event->address & SGX_PAGE_MASK);
	} else if (info->si_code != SI_KERNEL) {
		info->si_addr = (void *)uc->uc_mcontext.gregs[REG_RIP];
	}
}

/* Was INT3 executed, which ends in front of RIP? */
static bool behind_int3(const struct client_thread *thread, const struct isa_event *event,
			const struct isa_regs *r)
{
	const struct isa_regs before = { .rip = r->rip - 1 };
	const uint8_t *code;
	size_t size;

	if (!event->exception || event->vector != X86_BP)
		return false;
	code = code_at(thread, &before, &size);
	return size && *code == INT3;
}

/*
 * What the event is inside, where some instructions are #UD that are others outside,
 * and INT3 is a fault.
 */
static struct isa_event event_inside(const struct client_thread *thread, int sig,
				     const siginfo_t *info, const ucontext_t *uc,
				     struct isa_regs *r)
{
	const struct isa_event ud = { .exception = true, .vector = X86_UD };
	const struct isa_event event = event_of(sig, info, uc);

	if (is_syscall(sig, info)) {
		r->rip -= SYSCALL_LENGTH;
		return ud;
	}
	if (event.exception && event.vector == X86_GP && at_illegal(thread, r))
		return ud;
	if (behind_int3(thread, &event, r))
		r->rip--;
	return event;
}

/* The enclave goes on. */
static void go_on_inside(struct client_thread *thread, const struct isa_regs *r)
{
	client_syscalls_inside(thread);
	client_set_bases(r->fsbase, r->gsbase);
}

/* True when the signal is dealt with. */
static bool inside(struct client_thread *thread, int sig, siginfo_t *info, ucontext_t *uc,
		   struct isa_regs *r)
{
	struct isa_event event = event_inside(thread, sig, info, uc, r);
	enum trap_result emulated;
	enum verdict verdict;
	struct isa_outcome out;

	if (event.exception && event.vector == X86_UD && at_enclu(thread, r)) {
		counts_enclu((uint32_t)r->gpr[ISA_RAX]);
		out = client_enclu_inside(thread, r);
		if (out.kind != ISA_FAULT) {
			regs_to(uc, r);
			if (thread->isa.inside)
				go_on_inside(thread, r);
			return true;
		}
		event = event_of_fault(out);
		verdict = NOT_OURS;
	} else if (event.exception && event.vector == X86_UD &&
		   (emulated = at_trap(thread, r, uc, &event)) != TRAP_NOT_OURS) {
		counts_trap(COUNT_TRAP_XSAVE);
		if (emulated == TRAP_DONE && !client_encl_is_lost(thread->encl)) {
			regs_to(uc, r);
			go_on_inside(thread, r);
			return true;
		}
		/* Lost meanwhile, it may have seen an empty page. */
		if (emulated == TRAP_DONE)
			event = event_of_fault(client_encl_lost(r->rip));
		verdict = emulated != TRAP_DONE && event.vector == X86_PF
				  ? refine_pf(sig, &event) : NOT_OURS;
	} else {
		verdict = refine(thread, sig, r, &event);
		if (verdict == NOBODY) {
			/* The rights came after the access. */
			go_on_inside(thread, r);
			return true;
		}
	}
	exit_enclave(thread, r, &event, uc);
	if (!event.exception)
		return false;
	if (is_trap(sig, info) && verdict == NOT_OURS && event.vector != X86_UD &&
	    event.vector == uc->uc_mcontext.gregs[REG_TRAPNO]) {
		show_exit(&event, info, uc);
		return fix_up(&event, uc);
	}
	/* A signal that only met the enclave on a wrong path comes after. */
	if (!is_trap(sig, info))
		requeue(sig, info);
	raise_exception(thread, &event, verdict, uc);
	return true;
}

/* --- outside ------------------------------------------------------------------------ */

static bool enclu_outside(struct client_thread *thread, ucontext_t *uc, struct isa_regs *r)
{
	const uint8_t *xsave;
	struct isa_outcome out;
	struct isa_event event;

	counts_enclu((uint32_t)r->gpr[ISA_RAX]);
	if ((uint32_t)r->gpr[ISA_RAX] == ISA_ENCLU_EENTER)
		entries_consider(r->rip);
	out = client_enclu_outside(thread, r, &xsave);

	if (out.kind == ISA_FAULT) {
		event = event_of_fault(out);
		raise_exception(thread, &event, out.error_code & PFEC_P ? EPCM : NOT_OURS, uc);
		return true;
	}
	regs_to(uc, r);
	if (xsave)
		client_xstate_load(uc, xsave, thread->isa.xfrm);
	client_set_bases(r->fsbase, r->gsbase);
	return true;
}

/* An instruction of the kernel that this program is to its virtual EPC. */
static bool kernel_instruction(struct client_thread *thread, const struct isa_event *event,
			       ucontext_t *uc, struct isa_regs *r)
{
	struct isa_event fault;
	struct isa_outcome out;

	if (event->vector == X86_GP) {
		if (!client_msr(r))
			return false;
	} else {
		if (event->vector != X86_UD || !client_encls(r, &out))
			return false;
		if (out.kind == ISA_FAULT) {
			fault = event_of_fault(out);
			raise_exception(thread, &fault,
					out.error_code & PFEC_P ? EPCM : NOT_OURS, uc);
			return true;
		}
	}
	regs_to(uc, r);
	return true;
}

static bool outside(struct client_thread *thread, int sig, siginfo_t *info, ucontext_t *uc,
		    struct isa_regs *r)
{
	struct isa_event event = event_of(sig, info, uc);

	if (!event.exception)
		return false;
	if (event.vector == X86_UD && is_enclu((const void *)(uintptr_t)r->rip)) {
		thread = client_thread_trapped(uc);
		if (!thread)
			return false;
		uc->uc_stack = client_thread_stack(thread);
		return enclu_outside(thread, uc, r);
	}
	if (event.vector == X86_UD && entries_is_changing(r->rip))
		return true;
	if (event.vector == X86_UD && client_emulate_cpuid(r)) {
		counts_trap(COUNT_TRAP_CPUID);
		regs_to(uc, r);
		return true;
	}
	if (kernel_instruction(thread, &event, uc, r))
		return true;
	if (event.vector == X86_PF) {
		const enum verdict verdict = refine_pf(sig, &event);

		if (verdict == NOBODY)
			return true;
		/* A hole in a mapping of the device is SIGBUS. */
		if (verdict == NO_PAGE) {
			raise_exception(thread, &event, verdict, uc);
			return true;
		}
	}
	return false;
}

/* --- entry ------------------------------------------------------------------------------ */

static bool in_entry_window(const struct isa_regs *r)
{
	return r->rip >= (uintptr_t)client_enter_begin && r->rip < (uintptr_t)client_enter_end;
}

/*
 * The entry path is half way: leave the signal pending, and let the path
 * restore the mask when it is through.
 */
static void defer(struct client_thread *thread, int sig, siginfo_t *info, ucontext_t *uc)
{
	if (!thread->deferred) {
		memcpy(&thread->deferred_mask, &uc->uc_sigmask, sizeof(thread->deferred_mask));
		thread->deferred = true;
	}
	memset(&uc->uc_sigmask, 0xff, sizeof(uint64_t));
	requeue(sig, info);
	if (thread->isa.inside)
		client_syscalls_inside(thread);
}

/* An enclave may have set RFLAGS.AC; the compiler counts on nobody having done so. */
static inline void clear_ac(void)
{
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~RFLAGS_AC);
}

/* True when nothing happened but on the way to an ENCLU, which can do it instead. */
static bool at_entry(int sig, siginfo_t *info, ucontext_t *uc, struct isa_regs *r)
{
	const uint64_t rip = r->rip;
	bool retry;

	if (!entries_rewind(r, &retry))
		return false;
	regs_to(uc, r);
	if (!is_trap(sig, info))
		return false;
	if (info->si_addr == (void *)(uintptr_t)rip)
		info->si_addr = (void *)(uintptr_t)r->rip;
	return retry && (sig == SIGSEGV || sig == SIGBUS);
}

extern const char client_handler_begin[], client_handler_begun[];

/* About to jump to a handler of the program: as if it had. */
static void finish_jump(struct isa_regs *r, ucontext_t *uc)
{
	if (r->rip < (uintptr_t)client_handler_begin || r->rip >= (uintptr_t)client_handler_begun)
		return;
	r->gpr[ISA_RDI] = (uint32_t)r->gpr[ISA_R12];
	r->gpr[ISA_RSI] = r->gpr[ISA_R13];
	r->gpr[ISA_RDX] = r->gpr[ISA_R14];
	r->gpr[ISA_RAX] = 0;
	r->rip = r->gpr[ISA_RBX];
	regs_to(uc, r);
}

void client_signal(int sig, siginfo_t *info, void *ucontext)
{
	ucontext_t *uc = ucontext;
	struct client_thread *thread = client_thread_of(uc);
	enum exit_state exit;
	struct isa_regs r;
	bool done;

	clear_ac();
	regs_from(&r, uc);
	finish_jump(&r, uc);
	client_get_bases(&r.fsbase, &r.gsbase);
	if (thread && thread->isa.inside) {
		client_syscalls_outside(thread);
		client_set_bases(thread->isa.host_fsbase, thread->isa.host_gsbase);
	} else if (!(thread && thread->critical) && at_entry(sig, info, uc, &r)) {
		return;
	}

	if (thread && thread->isa.inside && is_trap(sig, info) &&
	    exits_recover(thread->encl, &r, sig == SIGTRAP)) {
		regs_to(uc, &r);
		go_on_inside(thread, &r);
		return;
	}
	if (is_trap(sig, info) && client_lock_is_kick(r.rip)) {
		siginfo_t deferred;

		sig = client_lock_take_deferred(&deferred, uc);
		client_deliver(thread, sig, &deferred, uc);
		return;
	}
	exit = thread ? exits_interrupted(thread, &r) : EXIT_NONE;
	if (exit != EXIT_NONE)
		regs_to(uc, &r);
	/* What the exit looked at was not ours: let the ENCLU do it. */
	if (exit == EXIT_BEGUN && is_trap(sig, info)) {
		counts_enclu(ISA_ENCLU_EEXIT);
		client_enclu_inside(thread, &r);
		regs_to(uc, &r);
		return;
	}
	if (thread && thread->isa.inside && in_entry_window(&r)) {
		r = thread->entry;
		thread->critical = false;
	} else if (thread && thread->critical && !is_trap(sig, info)) {
		defer(thread, sig, info, uc);
		return;
	} else if (!(thread && thread->isa.inside) && !is_trap(sig, info) &&
		   client_lock_defers(sig, info, uc)) {
		return;
	}
	if (thread && thread->isa.inside && !thread->critical)
		done = inside(thread, sig, info, uc, &r);
	else
		done = outside(thread, sig, info, uc, &r);
	if (!done)
		client_deliver(thread, sig, info, uc);
}
