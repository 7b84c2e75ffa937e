/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ENCLU.  Entry and exit are executed here, on the state the server shares;
 * leaves that need the machine's keys are asked of the server.
 *
 * Source: SDM, ENCLU, for which leaf is legal where.
 */
#include <signal.h>
#include <sys/mman.h>

#include "client.h"
#include "exits.h"
#include "sys.h"
#include "traps.h"

#define RFLAGS_ARITHMETIC 0x8d5u	/* CF PF AF ZF SF OF */
#define RFLAGS_CF 0x1u
#define RFLAGS_ZF 0x40u
#define ENCLU_LENGTH 3

static struct isa_outcome gp(void)
{
	return (struct isa_outcome){ .kind = ISA_FAULT, .vector = X86_GP };
}

static struct isa_outcome pf(uint64_t address, uint32_t error_code)
{
	return (struct isa_outcome){
		.kind = ISA_FAULT,
		.vector = X86_PF,
		.error_code = error_code,
		.address = address,
	};
}

/* The TCS operand is not in any enclave of this process. */
static struct isa_outcome not_epc(uint64_t la)
{
	unsigned char resident;

	if (la % SGX_PAGE_SIZE)
		return gp();
	if (sys_call(SYS_mincore, (long)la, SGX_PAGE_SIZE, (long)&resident, 0) < 0)
		return pf(la, PFEC_U);
	return pf(la, PFEC_U | PFEC_P | PFEC_SGX);
}

/* As after a power event: the EPC has no such page. */
struct isa_outcome client_encl_lost(uint64_t la)
{
	return pf(la, PFEC_U | PFEC_P | PFEC_W | PFEC_SGX);
}

void client_leave_lost(const struct client_thread *thread, struct isa_regs *r)
{
	r->gpr[ISA_RCX] = thread->aep;
	r->gpr[ISA_RSP] = thread->rsp_outside;
	r->gpr[ISA_RBP] = thread->rbp_outside;
	r->rip = thread->aep;
}

/*
 * The machine may end while one of the pages that are looked at is away, which then
 * is an empty one: a thread control structure nobody enters, but also a frame that
 * could be resumed.
 */
static struct isa_outcome eresume(struct client_thread *thread, const struct isa_encl_view *view,
				  struct isa_regs *r, const uint8_t **xsave)
{
	struct isa_regs resumed = *r;
	const struct isa_outcome out = isa_eresume(&thread->isa, view, &resumed, xsave);

	if (isa_is_done(out) && client_encl_is_lost(thread->encl)) {
		thread->isa.inside = false;
		return client_encl_lost(r->gpr[ISA_RBX]);
	}
	*r = resumed;
	return out;
}

/*
 * A thread that is killed inside has left, by an exit that nobody made.  Whether who
 * holds the TCS lives is the server's to know.
 */
static bool free_tcs(const struct client_encl *encl, uint64_t tcs)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC,
		.op = PROTO_OP_FREE_TCS,
		.a = tcs,
	};
	const uint16_t entry = client_encl_mirror(encl, tcs);
	struct proto_frame done;
	uint64_t holder;

	if (!(entry & MIRROR_VALID) || entry >> MIRROR_PT_SHIFT != PT_TCS)
		return false;
	holder = __atomic_load_n((uint64_t *)(void *)(encl->pages + (tcs - encl->base)),
				 __ATOMIC_RELAXED) >> ISA_TCS_HOLDER_SHIFT;
	return holder && holder != encl->number &&
	       !client_call(encl->sock, &req, &done, NULL) && done.result == 1;
}

static struct isa_outcome execute(struct client_thread *thread, struct isa_regs *r,
				  const uint8_t **xsave)
{
	const struct isa_encl_view view = client_encl_view(thread);

	return (uint32_t)r->gpr[ISA_RAX] == ISA_ENCLU_EENTER
		       ? isa_eenter(&thread->isa, &view, r)
		       : eresume(thread, &view, r, xsave);
}

struct isa_outcome client_enclu_outside(struct client_thread *thread, struct isa_regs *r,
					const uint8_t **xsave)
{
	const uint32_t leaf = (uint32_t)r->gpr[ISA_RAX];
	const uint64_t tcs = r->gpr[ISA_RBX];
	struct client_encl *encl;
	struct isa_outcome out;

	*xsave = NULL;
	if (leaf != ISA_ENCLU_EENTER && leaf != ISA_ENCLU_ERESUME)
		return gp();
	encl = client_encl_enter(thread, tcs);
	if (!encl)
		return not_epc(tcs);
	if (client_encl_is_lost(encl))
		return client_encl_lost(tcs);
	thread->rsp_outside = r->gpr[ISA_RSP];
	thread->rbp_outside = r->gpr[ISA_RBP];
	thread->aep = r->gpr[ISA_RCX];
	out = execute(thread, r, xsave);
	if (out.kind == ISA_FAULT && out.vector == X86_GP && tcs % SGX_PAGE_SIZE == 0 &&
	    free_tcs(encl, tcs))
		out = execute(thread, r, xsave);
	if (out.kind == ISA_FAULT && client_encl_is_lost(encl))
		return client_encl_lost(tcs);
	if (isa_is_done(out)) {
		exits_arm(thread, r);
		client_syscalls_arm(thread);
		client_syscalls_inside(thread);
		if (leaf == ISA_ENCLU_ERESUME)
			traps_hide_cpuid(tcs);
	}
	return out;
}

/* --- inside ------------------------------------------------------------------- */

/* Page tables come before EPCM rules, and only we know what the program mapped. */
static bool is_mapped(uint64_t la, int prot)
{
	const struct client_vma *vma;
	bool mapped;

	client_lock_blocked();
	vma = client_vma_find(la);
	mapped = vma && (vma->prot & prot) == prot;
	client_unlock_blocked();
	return mapped;
}

static struct isa_outcome ask_server(struct client_thread *thread, uint32_t leaf,
				     const struct isa_regs *r)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC,
		.op = PROTO_OP_ENCLU,
		.a = leaf,
		.b = r->gpr[ISA_RBX],
		.c = r->gpr[ISA_RCX],
		.d = r->gpr[ISA_RDX],
	};
	struct proto_frame done;

	/* The machine is gone, and the enclave with it: as after a power event. */
	if (client_call(thread->encl->sock, &req, &done, NULL))
		return pf(req.b, PFEC_U | PFEC_P | PFEC_SGX);
	return done.outcome;
}

static bool in_encl(uint64_t la)
{
	bool found;

	client_lock_blocked();
	found = client_encl_at(la);
	client_unlock_blocked();
	return found;
}

/* What a leaf does with one of its operands. */
struct operand {
	enum isa_gpr reg;
	int prot;		/* PROT_READ or PROT_WRITE; 0 ends the list */
};

struct inside_leaf {
	uint32_t leaf;
	bool status;		/* leaves a code in RAX, and flags */
	bool changes_rcx;	/* the EPCM entry of the page at RCX */
	struct operand operands[3];
};

/* The leaves that need the machine. */
static const struct inside_leaf inside_leaves[] = {
	{ ISA_ENCLU_EREPORT, .operands = { { ISA_RBX, PROT_READ }, { ISA_RCX, PROT_READ },
					   { ISA_RDX, PROT_WRITE } } },
	{ ISA_ENCLU_EGETKEY, .status = true,
	  .operands = { { ISA_RBX, PROT_READ }, { ISA_RCX, PROT_WRITE } } },
	{ ISA_ENCLU_EACCEPT, .status = true, .changes_rcx = true,
	  .operands = { { ISA_RBX, PROT_READ }, { ISA_RCX, PROT_READ } } },
	{ ISA_ENCLU_EMODPE, .changes_rcx = true,
	  .operands = { { ISA_RBX, PROT_READ }, { ISA_RCX, PROT_READ } } },
	{ ISA_ENCLU_EACCEPTCOPY, .status = true, .changes_rcx = true,
	  .operands = { { ISA_RBX, PROT_READ }, { ISA_RCX, PROT_WRITE }, { ISA_RDX, PROT_READ } } },
	{ ISA_ENCLU_EVERIFYREPORT2, .status = true, .operands = { { ISA_RBX, PROT_READ } } },
};

static const struct inside_leaf *find_leaf(uint32_t leaf)
{
	for (size_t i = 0; i < sizeof(inside_leaves) / sizeof(inside_leaves[0]); i++)
		if (inside_leaves[i].leaf == leaf)
			return &inside_leaves[i];
	return NULL;
}

static struct isa_outcome check_operands(const struct inside_leaf *leaf, const struct isa_regs *r)
{
	for (const struct operand *op = leaf->operands;
	     op < leaf->operands + 3 && op->prot; op++) {
		const uint64_t la = r->gpr[op->reg];

		/* Outside every mapping the leaf's own checks answer. */
		if (in_encl(la) && !is_mapped(la, op->prot))
			return pf(la, PFEC_U | (op->prot == PROT_WRITE ? PFEC_W : 0));
	}
	return (struct isa_outcome){ .kind = ISA_DONE };
}

/* The page at @la has other rights now. */
static void apply_page(uint64_t la)
{
	const struct client_vma *vma;

	client_lock_blocked();
	vma = client_vma_find(la);
	if (vma)
		client_encl_apply(vma, la & SGX_PAGE_MASK, (la & SGX_PAGE_MASK) + SGX_PAGE_SIZE);
	client_unlock_blocked();
}

/* What a leaf that retired leaves in RAX, RFLAGS and RIP. */
static void retire(const struct inside_leaf *leaf, struct isa_outcome out, struct isa_regs *r)
{
	r->rip += ENCLU_LENGTH;
	if (!leaf->status)
		return;
	r->gpr[ISA_RAX] = out.kind == ISA_DONE ? 0 : out.code;
	r->rflags &= ~(uint64_t)RFLAGS_ARITHMETIC;
	r->rflags |= out.kind == ISA_ERROR ? RFLAGS_ZF : out.kind == ISA_INFO ? RFLAGS_CF : 0;
}

static struct isa_outcome edeccssa(struct client_thread *thread, struct isa_regs *r)
{
	const struct isa_outcome out = isa_edeccssa(&thread->isa);

	if (isa_is_done(out))
		r->rip += ENCLU_LENGTH;
	return out;
}

struct isa_outcome client_enclu_inside(struct client_thread *thread, struct isa_regs *r)
{
	const struct inside_leaf *leaf = find_leaf((uint32_t)r->gpr[ISA_RAX]);
	struct isa_outcome out;

	if ((uint32_t)r->gpr[ISA_RAX] == ISA_ENCLU_EEXIT) {
		exits_disarm(thread);
		return isa_eexit(&thread->isa, r);
	}
	if ((uint32_t)r->gpr[ISA_RAX] == ISA_ENCLU_EDECCSSA)
		return edeccssa(thread, r);
	if (!leaf)
		return gp();
	out = check_operands(leaf, r);
	if (isa_is_done(out))
		out = ask_server(thread, leaf->leaf, r);
	if (isa_is_done(out) && leaf->changes_rcx)
		apply_page(r->gpr[ISA_RCX]);
	if (out.kind != ISA_FAULT)
		retire(leaf, out, r);
	return out;
}

/* --- entry without a trap --------------------------------------------------------- */

/* RAX and RDX of client_enter_fast(), as enter.S expects them. */
struct enter_result {
	uint64_t status;	/* 0, or vector | error code << 16, or -1 */
	uint64_t value;		/* the thread, or the faulting address */
};

struct enter_result client_enter_fast(struct isa_regs *r);

static void let_signals_in(struct client_thread *thread)
{
	thread->critical = false;
	if (!thread->deferred)
		return;
	thread->deferred = false;
	sys_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&thread->deferred_mask, 0,
		 sizeof(thread->deferred_mask));
}

struct enter_result client_enter_fast(struct isa_regs *r)
{
	struct client_thread *thread = client_thread_self();
	struct isa_outcome out;
	const uint8_t *xsave;

	if (!thread || !client_has_fsgsbase())
		return (struct enter_result){ .status = UINT64_MAX };
	client_get_bases(&r->fsbase, &r->gsbase);
	thread->critical = true;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	out = client_enclu_outside(thread, r, &xsave);
	if (isa_is_done(out)) {
		exits_prepare(thread, r);
		thread->entry = *r;
		return (struct enter_result){ .value = (uintptr_t)thread };
	}
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	let_signals_in(thread);
	return (struct enter_result){
		.status = out.vector | (uint64_t)out.error_code << 16,
		.value = out.vector == X86_PF ? out.address & SGX_PAGE_MASK : 0,
	};
}

/* Called in enter.S, like client_enter_fast(), but the registers are not changed. */
bool client_enter_program(const struct isa_regs *frame, struct client_thread *thread);

bool client_enter_program(const struct isa_regs *frame, struct client_thread *thread)
{
	struct isa_regs r = *frame;
	const uint8_t *xsave;

	if ((uint32_t)r.gpr[ISA_RAX] != ISA_ENCLU_EENTER || !client_has_fsgsbase())
		return false;
	client_get_bases(&r.fsbase, &r.gsbase);
	if (!isa_is_done(client_enclu_outside(thread, &r, &xsave)))
		return false;
	thread->entry = r;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return true;
}
