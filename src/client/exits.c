/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EEXIT without a trap, for enclaves entered through our vDSO function.
 *
 * "mov $4, %eax" before an ENCLU, with nothing but plain computing in between, becomes
 * a jump to a slot near the enclave, which begins with a copy of all of this.  What
 * stands between and the ENCLU stay, so that whoever jumps there finds them, and
 * traps.  The rest of a slot looks whether RBX is where our function wants to be returned to: then that function's
 * frame, which RBP points to again, leads to the thread's record, and what RBX,
 * RCX and the flags hold does not matter any more.  Otherwise GS, if the enclave
 * left it as it was, leads to the thread that entered with it, and it is this one if
 * its key says that it is inside, and RSP that this is its stack.  In all other cases
 * the slot goes to the ENCLU.
 *
 * Signals may interrupt all of this.  In the copy they find the thread at what was
 * copied, then at the ENCLU, and once the exit is committed at its end.
 */
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client.h"
#include "counts.h"
#include "decode.h"
#include "exits.h"
#include "sys.h"

#define NR_SLOTS 64u
#define SLOT_SIZE 256u
#define SLOT_CODE 64u		/* where the copy ends, and is at most as long as */
#define REGION_SIZE (NR_SLOTS * SLOT_SIZE)
#define REGION_STEP 0x10000u
#define REGION_TRIES (EXITS_REACH / REGION_STEP)
#define JUMP_LENGTH 5u
#define STACK_REACH 0x10000u
#define RFLAGS_LAHF 0xd5u
#define RFLAGS_OF 0x800u
#define REACH 0x7fff0000ll

_Static_assert(REGION_SIZE % SGX_PAGE_SIZE == 0, "whole pages");

/* mov $4 to EAX and to RAX */
static const struct pattern {
	uint8_t size;
	uint8_t code[7];
} patterns[] = {
	{ 5, { 0xb8, ISA_ENCLU_EEXIT, 0, 0, 0 } },
	{ 7, { 0x48, 0xc7, 0xc0, ISA_ENCLU_EEXIT, 0, 0, 0 } },
};
#define NR_PATTERNS (sizeof(patterns) / sizeof(patterns[0]))

bool exits_are_exact(void)
{
	static int known;

	if (!known)
		known = getenv(PROTO_ENV_EXACT) ? 2 : 1;
	return known == 2;
}

/* --- slots -------------------------------------------------------------------- */

/*
 * Where a slot's parts are, behind the copy.  No flag changes in it, and what is lost but RCX, which
 * EEXIT sets, is RAX, which is known.
 */
#define SLOT_RETURN 2u		/* movabs $-return, %rcx */
#define SLOT_ANY 17u		/* jmp 46, or 144 */
#define SLOT_NONE 126u
#define SLOT_SITE 20u		/* movabs $enclu, %rax */
#define SLOT_EXIT 34u		/* client_exit_begin */
#define SLOT_BY_GS 53u		/* movabs $by_gs, %rax */
#define SLOT_KEY 76u		/* its displacement */
#define SLOT_STACK 93u		/* likewise */
#define SLOT_LEAVE 134u		/* client_leave_begin */
#define SLOT_ENCLU 150u		/* jmp enclu */
#define SLOT_LENGTH 154u

_Static_assert(SLOT_CODE + SLOT_LENGTH <= SLOT_SIZE, "room for all");

/* The second way needs instructions that old processors and kernels lack. */
static bool can_leave(void)
{
	static _Atomic int known;	/* 0: not yet, else 1 + the answer */
	uint32_t eax, ebx = 0, ecx, edx;

	if (!known) {
		__cpuid_count(7, 0, eax, ebx, ecx, edx);
		known = 1 + ((ebx >> 8 & 1) && client_has_fsgsbase());
	}
	return known > 1;
}

static void fill_code(const struct client_encl *encl, uint8_t *slot, uint64_t site)
{
	static const uint8_t code[SLOT_LENGTH] = {
		0x48, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0,	/*   0: movabs $-return, %rcx */
		0x48, 0x8d, 0x0c, 0x19,			/*  10: lea (%rcx,%rbx), %rcx */
		0xe3, 0x02,				/*  14: jrcxz 18 */
		0xeb, 0x1c,				/*  16: jmp 46 */
		0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0,	/*  18: movabs $enclu, %rax */
		0xff, 0x25, 0, 0, 0, 0,			/*  28: jmp *34 */
		0, 0, 0, 0, 0, 0, 0, 0,			/*  34: client_exit_begin */
		0x0f, 0x0b, 0x0f, 0x0b,			/*  42: ud2 */
		/* Who entered with this GS? */
		0xf3, 0x48, 0x0f, 0xae, 0xc9,		/*  46: rdgsbase %rcx */
		0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0,	/*  51: movabs $by_gs - base / 512, %rax */
		0xc4, 0xe3, 0xfb, 0xf0, 0xc9, 0x09,	/*  61: rorx $9, %rcx, %rcx */
		0x48, 0x8b, 0x0c, 0x08,			/*  67: mov (%rax,%rcx), %rcx */
		0xe3, 0x47,				/*  71: jrcxz 144 */
		/* Is it inside, and is this its stack? */
		0x48, 0x8b, 0x81, 0, 0, 0, 0,		/*  73: mov exit_key(%rcx), %rax */
		0x48, 0x8d, 0x04, 0x08,			/*  80: lea (%rax,%rcx), %rax */
		0x48, 0x91,				/*  84: xchg %rax, %rcx */
		0xe3, 0x02,				/*  86: jrcxz 90 */
		0xeb, 0x36,				/*  88: jmp 144 */
		0x48, 0x8b, 0x88, 0, 0, 0, 0,		/*  90: mov exit_stack(%rax), %rcx */
		0x48, 0x8d, 0x0c, 0x0c,			/*  97: lea (%rsp,%rcx), %rcx */
		0xc4, 0xe3, 0xfb, 0xf0, 0xc9, 0x10,	/* 101: rorx $16, %rcx, %rcx */
		0x89, 0xc9,				/* 107: mov %ecx, %ecx */
		0xe3, 0x02,				/* 109: jrcxz 113 */
		0xeb, 0x1f,				/* 111: jmp 144 */
		/* And the target canonical? */
		0xb9, 0x2f, 0, 0, 0,			/* 113: mov $47, %ecx */
		0xc4, 0xe2, 0xf3, 0xf7, 0xcb,		/* 118: shrx %rcx, %rbx, %rcx */
		0xe3, 0x02,				/* 123: jrcxz 127 */
		0xeb, 0x11,				/* 125: jmp 144 */
		0xff, 0x25, 0x01, 0, 0, 0,		/* 127: jmp *134 */
		0x90,					/* 133 */
		0, 0, 0, 0, 0, 0, 0, 0,			/* 134: client_leave_begin */
		0x0f, 0x0b,				/* 142: ud2 */
		0xb8, ISA_ENCLU_EEXIT, 0, 0, 0,		/* 144: mov $4, %eax */
		0xe9, 0, 0, 0, 0,			/* 149: jmp enclu */
	};
	const uint64_t back = -(uint64_t)(uintptr_t)client_vdso_return;
	const uint64_t exit = (uintptr_t)client_exit_begin;
	const uint64_t leave = (uintptr_t)client_leave_begin;
	const uint64_t by_gs = (uintptr_t)encl->by_gs -
			       encl->base / SGX_PAGE_SIZE * sizeof(encl->by_gs[0]);
	const uint32_t key = offsetof(struct client_thread, exit_key);
	const uint32_t stack = offsetof(struct client_thread, exit_stack);
	const int32_t rel = (int32_t)(site - ((uintptr_t)slot + SLOT_ENCLU + 4));

	memcpy(slot, code, sizeof(code));
	memcpy(slot + SLOT_RETURN, &back, sizeof(back));
	memcpy(slot + SLOT_SITE, &site, sizeof(site));
	memcpy(slot + SLOT_EXIT, &exit, sizeof(exit));
	memcpy(slot + SLOT_BY_GS, &by_gs, sizeof(by_gs));
	memcpy(slot + SLOT_KEY, &key, sizeof(key));
	memcpy(slot + SLOT_STACK, &stack, sizeof(stack));
	memcpy(slot + SLOT_LEAVE, &leave, sizeof(leave));
	memcpy(slot + SLOT_ENCLU, &rel, sizeof(rel));
	if (!can_leave())
		slot[SLOT_ANY] = SLOT_NONE;
}

/* What the jump at @at replaced is known by what it left: no plain code begins like this. */
static const struct pattern *replaced_at(const uint8_t *at, size_t size)
{
	return &patterns[size >= patterns[1].size && !at[JUMP_LENGTH] && !at[JUMP_LENGTH + 1]];
}

/* @size bytes before @site, the first of which may be a jump already. */
static void fill_copy(uint8_t *slot, const uint8_t *site, size_t size)
{
	const struct pattern *p = replaced_at(site - size, size);
	uint8_t *copy = slot + SLOT_CODE - size;

	memcpy(copy, p->code, p->size);
	memcpy(copy + p->size, site - size + p->size, size - p->size);
}

static bool reserve_at(struct client_encl *encl, uint64_t addr)
{
	void *p = sys_mmap((void *)(uintptr_t)addr, REGION_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (sys_is_error(p))
		return false;
	if ((uintptr_t)p != addr) {
		sys_munmap(p, REGION_SIZE);
		return false;
	}
	/* What is not a slot of ours traps. */
	memset(p, 0xcc, REGION_SIZE);
	sys_mprotect(p, REGION_SIZE, PROT_READ | PROT_EXEC);
	encl->slots = p;
	return true;
}

/*
 * The same place for every process that maps the enclave, for the jumps are in
 * memory they share.  The first one chooses it, near the enclave.
 */
static bool reserve(struct client_encl *encl)
{
	_Atomic uint64_t *const place = &encl->shared->slots;
	uint64_t chosen = atomic_load(place);

	if (chosen)
		return reserve_at(encl, chosen);
	for (unsigned int i = 1; i <= REGION_TRIES; i++) {
		const uint64_t below = encl->base - i * REGION_STEP;
		const uint64_t above = encl->base + encl->size + (i - 1) * REGION_STEP;

		if ((below < encl->base && below >= REGION_STEP && reserve_at(encl, below)) ||
		    reserve_at(encl, above))
			break;
	}
	if (!encl->slots)
		return false;
	if (atomic_compare_exchange_strong(place, &chosen, (uintptr_t)encl->slots))
		return true;
	/* Another process was faster. */
	sys_munmap(encl->slots, REGION_SIZE);
	encl->slots = NULL;
	return reserve_at(encl, chosen);
}

int exits_attach(struct client_encl *encl)
{
	if (encl->slots || !atomic_load(&encl->shared->slots))
		return 0;
	return reserve(encl) ? 0 : -1;
}

void exits_forget(struct client_encl *encl)
{
	if (encl->slots)
		sys_munmap(encl->slots, REGION_SIZE);
	encl->slots = NULL;
}

static uint8_t *slot_number(struct client_encl *encl, size_t i)
{
	return encl->slots + i * SLOT_SIZE;
}

static uint64_t address_of(const struct client_encl *encl, const uint8_t *code)
{
	return encl->base + (uint64_t)(code - encl->pages);
}

/* Threads may run in other slots meanwhile, and in this one when it is set already. */
static bool set_slot(const struct client_encl *encl, uint8_t *slot, const uint8_t *code,
		     size_t size)
{
	const uint64_t site = address_of(encl, code);

	if (!memcmp(slot + SLOT_CODE + SLOT_SITE, &site, sizeof(site)))
		return true;
	if (sys_mprotect(encl->slots, REGION_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC) < 0)
		return false;
	fill_code(encl, slot + SLOT_CODE, site);
	fill_copy(slot, code, size);
	sys_mprotect(encl->slots, REGION_SIZE, PROT_READ | PROT_EXEC);
	return true;
}

/* --- the enclave's code ---------------------------------------------------------- */

/* Where a jump at @at leads to; 0: there is none. */
static uint64_t target_of(const struct client_encl *encl, const uint8_t *at)
{
	int32_t rel;

	if (at[0] != 0xe9)
		return 0;
	memcpy(&rel, at + 1, sizeof(rel));
	return address_of(encl, at) + JUMP_LENGTH + (uint64_t)(int64_t)rel;
}

/* Which slot the jump @size bytes before @site leads to; -1: there is none. */
static long slot_of_jump(const struct client_encl *encl, const uint8_t *site, size_t size)
{
	const uint64_t offset = target_of(encl, site - size) - (uintptr_t)encl->slots;

	return encl->slots && offset < REGION_SIZE && offset % SLOT_SIZE == SLOT_CODE - size
		       ? (long)(offset / SLOT_SIZE)
		       : -1;
}

/* How far back to look, not beyond @start. */
static size_t reach_of(const uint8_t *site, const uint8_t *start)
{
	const size_t before = (size_t)(site - start);

	return before < SLOT_CODE ? before : SLOT_CODE;
}

static bool is_move(const uint8_t *at, size_t size, const uint8_t *start, const struct pattern *p)
{
	/* Behind REX it would be another instruction. */
	return size >= p->size && !memcmp(at, p->code, p->size) &&
	       (at == start || (at[-1] & 0xf0) != 0x40);
}

/* Does decoding from @at arrive at @site, by plain instructions alone? */
static bool only_computes(const uint8_t *at, const uint8_t *site)
{
	uint8_t length = 0;

	for (; at < site; at += length)
		if (!decoder_load() || !decoder_is_plain(at, (size_t)(site - at), &length))
			return false;
	return true;
}

size_t exits_match(const struct client_encl *encl, const uint8_t *site, const uint8_t *start,
		   bool *made)
{
	const size_t reach = reach_of(site, start);

	*made = true;
	for (size_t size = JUMP_LENGTH; size <= reach; size++)
		if (slot_of_jump(encl, site, size) >= 0)
			return size;
	*made = false;
	for (size_t size = JUMP_LENGTH; size <= reach; size++)
		for (size_t i = 0; i < NR_PATTERNS; i++) {
			const uint8_t *at = site - size;

			if (is_move(at, size, start, &patterns[i]) &&
			    only_computes(at + patterns[i].size, site))
				return size;
		}
	return 0;
}

/* --- jumps of other processes ------------------------------------------------------- */

static bool is_code(const struct client_encl *encl, uint64_t addr)
{
	const uint16_t entry = client_encl_mirror(encl, addr);

	return (entry & (MIRROR_VALID | SECINFO_X)) == (MIRROR_VALID | SECINFO_X);
}

/* The size of what the jump to @target before the ENCLU at @site stands for; 0: none. */
static size_t size_of_jump(const struct client_encl *encl, const uint8_t *site, uint64_t target)
{
	const size_t reach = reach_of(site, encl->pages);

	for (size_t size = JUMP_LENGTH; size <= reach; size++)
		if (target_of(encl, site - size) == target)
			return size;
	return 0;
}

/* What is behind the move that the jump to @target replaced, if that is on the page at @addr. */
static const uint8_t *behind_move(const struct client_encl *encl, uint64_t addr, uint64_t target)
{
	static const uint8_t enclu[] = { 0x0f, 0x01, 0xd7 };
	const uint8_t *site = encl->pages + (addr - encl->base);
	const uint8_t *const end = site + SGX_PAGE_SIZE - sizeof(enclu);

	for (; site <= end; site++) {
		const size_t size = memcmp(site, enclu, sizeof(enclu))
					    ? 0 : size_of_jump(encl, site, target);

		if (size)
			return site - size + replaced_at(site - size, size)->size;
	}
	return NULL;
}

/* Where a jump to a slot led: it faults there when there is none, or is INT3. */
static uint64_t target_at(const struct client_encl *encl, uint64_t rip, bool is_int3)
{
	const uint64_t slots = atomic_load(&encl->shared->slots);
	const uint64_t target = rip - is_int3;

	return slots && target - slots < REGION_SIZE && (target - slots) % SLOT_SIZE < SLOT_CODE
		       ? target : 0;
}

bool exits_recover(const struct client_encl *encl, struct isa_regs *r, bool is_int3)
{
	const uint64_t target = target_at(encl, r->rip, is_int3);
	const uint8_t *next = NULL;
	uint64_t offset;

	for (offset = 0; target && !next && offset < encl->size; offset += SGX_PAGE_SIZE)
		if (is_code(encl, encl->base + offset))
			next = behind_move(encl, encl->base + offset, target);
	if (!next)
		return false;
	r->gpr[ISA_RAX] = ISA_ENCLU_EEXIT;
	r->rip = address_of(encl, next);
	return true;
}

/* --- replacing ---------------------------------------------------------------------- */

static bool is_near(const struct client_encl *encl, uint64_t site)
{
	const int64_t distance = (int64_t)((uintptr_t)encl->slots - site);

	return distance > -REACH && distance < REACH;
}

static size_t free_slot(struct client_encl *encl)
{
	size_t i = 0;

	while (i < NR_SLOTS && slot_number(encl, i)[SLOT_CODE] != 0xcc)
		i++;
	return i;
}

enum count_place exits_replace(struct client_encl *encl, uint8_t *site, size_t size)
{
	uint8_t jump[JUMP_LENGTH] = { 0xe9 };
	uint8_t *const at = site - size;
	uint8_t *slot;
	int32_t rel;

	if (!encl->slots && !reserve(encl))
		return COUNT_ENCLAVE_ENCLU_NO_ROOM;
	/* Another process made it, ours gets the slot. */
	if (slot_of_jump(encl, site, size) >= 0) {
		slot = slot_number(encl, (size_t)slot_of_jump(encl, site, size));
		set_slot(encl, slot, site, size);
		return COUNT_ENCLAVE_ENCLU_REPLACED;
	}
	if (exits_are_exact())
		return COUNT_ENCLAVE_ENCLU_EXACT;
	if (!is_near(encl, address_of(encl, site)) || free_slot(encl) == NR_SLOTS)
		return COUNT_ENCLAVE_ENCLU_NO_ROOM;
	slot = slot_number(encl, free_slot(encl));
	if (!set_slot(encl, slot, site, size))
		return COUNT_ENCLAVE_ENCLU_NO_ROOM;
	rel = (int32_t)((uintptr_t)slot + SLOT_CODE - size - (address_of(encl, at) + JUMP_LENGTH));
	memcpy(jump + 1, &rel, sizeof(rel));
	memcpy(at, jump, sizeof(jump));
	return COUNT_ENCLAVE_ENCLU_REPLACED;
}

/* Code is looked at as often as rights change, and by several processes. */
void exits_count(struct client_encl *encl, const uint8_t *site, enum count_place fate)
{
	const uint64_t mine = (uint64_t)(site - encl->pages) + 1;

	for (size_t i = 0; i < PROTO_MAX_COUNTED; i++) {
		uint64_t seen = 0;

		if (atomic_compare_exchange_strong(&encl->shared->counted[i], &seen, mine)) {
			counts_place(fate);
			return;
		}
		if (seen == mine)
			return;
	}
}

/* --- threads ------------------------------------------------------------------------ */

#define SEVERAL 1u	/* no address of a TCS */

/* Of it no slot can tell that it is inside. */
static struct client_thread nobody;

/* Is @tcs the only one with its GS on @page?  If not, GS does not say who is inside. */
static bool is_only_one(const struct client_encl *encl, size_t page, uint64_t tcs)
{
	uint64_t *const known = &encl->tcs_by_gs[page];
	uint64_t now = __atomic_load_n(known, __ATOMIC_SEQ_CST);

	if (now == tcs ||
	    (!now && __atomic_compare_exchange_n(known, &now, tcs, false, __ATOMIC_SEQ_CST,
						 __ATOMIC_SEQ_CST)) ||
	    now == tcs)
		return true;
	__atomic_store_n(known, SEVERAL, __ATOMIC_SEQ_CST);
	__atomic_store_n(&encl->by_gs[page], &nobody, __ATOMIC_SEQ_CST);
	return false;
}

void exits_arm(struct client_thread *thread, const struct isa_regs *r)
{
	const struct client_encl *encl = thread->encl;
	const uint64_t gs = r->gsbase - encl->base;

	thread->exit_frame = 0;
	thread->exit_key = 0;
	thread->exit_state = &thread->isa.tcs->state;
	thread->exit_count =
		(uint64_t *)(uintptr_t)&thread->isa.view.blk->nr_inside[thread->isa.epoch_slot];
	if (!encl->slots || thread->isa.save_tf || gs >= encl->size || gs % SGX_PAGE_SIZE)
		return;
	if (!is_only_one(encl, gs / SGX_PAGE_SIZE, thread->isa.tcs_la))
		return;
	__atomic_store_n(&encl->by_gs[gs / SGX_PAGE_SIZE], thread, __ATOMIC_SEQ_CST);
	/* Another TCS may just have turned up. */
	if (!is_only_one(encl, gs / SGX_PAGE_SIZE, thread->isa.tcs_la))
		return;
	thread->exit_stack = STACK_REACH - 1 - thread->rsp_outside;
	thread->exit_key = -(uint64_t)(uintptr_t)thread;
}

void exits_disarm(struct client_thread *thread)
{
	thread->exit_frame = 0;
	thread->exit_key = 0;
}

void exits_prepare(struct client_thread *thread, const struct isa_regs *entered)
{
	const uint64_t frame = entered->gpr[ISA_RBP];

	/* Where the function's frame has room for it, see enter.S. */
	((uint64_t *)(uintptr_t)frame)[-2] = (uintptr_t)thread;
	thread->exit_frame = thread->isa.save_tf ? 0 : frame;
}

static bool between(uint64_t rip, const char *first, const char *behind)
{
	return rip >= (uintptr_t)first && rip < (uintptr_t)behind;
}

static bool in_slots(const struct client_thread *thread, uint64_t rip)
{
	return thread->encl->slots && rip - (uintptr_t)thread->encl->slots < REGION_SIZE;
}

/* From a slot, still inside: to the instruction that was copied, or to the ENCLU. */
static enum exit_state back_to_code(const struct client_thread *thread, struct isa_regs *r)
{
	const uint64_t offset = r->rip - (uintptr_t)thread->encl->slots;
	const uint64_t in_slot = offset % SLOT_SIZE;

	memcpy(&r->rip, thread->encl->slots + (offset - in_slot) + SLOT_CODE + SLOT_SITE,
	       sizeof(r->rip));
	if (in_slot < SLOT_CODE) {
		r->rip -= SLOT_CODE - in_slot;
		return EXIT_AHEAD;
	}
	r->gpr[ISA_RAX] = ISA_ENCLU_EEXIT;
	return EXIT_BEGUN;
}

/* The ENCLU that a thread is on the way to, beyond its slot and still inside; 0: none. */
static uint64_t site_of(const struct isa_regs *r)
{
	if (between(r->rip, client_exit_begin, client_exit_real))
		return r->gpr[ISA_RAX];
	if (between(r->rip, client_exit_real, client_exit_commit))
		return r->gpr[ISA_RCX];
	return 0;
}

/* Released by the order of the steps that follow. */
static void finish(struct client_thread *thread, struct isa_regs *r)
{
	if (r->rip < (uintptr_t)client_exit_free)
		__atomic_store_n(thread->exit_state, 0, __ATOMIC_RELEASE);
	if (r->rip < (uintptr_t)client_exit_freed)
		__atomic_fetch_sub(thread->exit_count, 1, __ATOMIC_SEQ_CST);
	r->rip = (uintptr_t)client_vdso_return;
	r->gpr[ISA_RAX] = ISA_ENCLU_EEXIT;
	r->gpr[ISA_RCX] = (uintptr_t)client_vdso_aep;
}

/* The same of an exit to anywhere; for a while AH and AL hold the flags. */
static void finish_leaving(struct client_thread *thread, struct isa_regs *r)
{
	const uint8_t al = (uint8_t)r->gpr[ISA_RAX], ah = (uint8_t)(r->gpr[ISA_RAX] >> 8);

	if (r->rip < (uintptr_t)client_leave_free)
		__atomic_store_n(thread->exit_state, 0, __ATOMIC_RELEASE);
	if (r->rip < (uintptr_t)client_leave_freed)
		__atomic_fetch_sub(thread->exit_count, 1, __ATOMIC_SEQ_CST);
	if (between(r->rip, client_leave_flags, client_leave_restored)) {
		r->rflags &= ~(uint64_t)(RFLAGS_LAHF | RFLAGS_OF);
		/* OF as SETO left it, or as the addition did. */
		r->rflags |= (ah & RFLAGS_LAHF) | (al == 1 || al == 0x80 ? RFLAGS_OF : 0);
	}
	r->rip = r->gpr[ISA_RBX];
	r->gpr[ISA_RAX] = ISA_ENCLU_EEXIT;
	r->gpr[ISA_RCX] = thread->aep;
}

enum exit_state exits_interrupted(struct client_thread *thread, struct isa_regs *r)
{
	uint64_t site;

	if (!thread->isa.inside) {
		if (between(r->rip, client_leave_begin, client_leave_done)) {
			finish_leaving(thread, r);
			return EXIT_DONE;
		}
		if (!between(r->rip, client_exit_commit, client_exit_done))
			return EXIT_NONE;
		finish(thread, r);
		return EXIT_DONE;
	}
	if (between(r->rip, client_exit_commit, client_exit_done) ||
	    between(r->rip, client_leave_begin, client_leave_done)) {
		exits_disarm(thread);
		r->gpr[ISA_RAX] = ISA_ENCLU_EEXIT;
		isa_eexit(&thread->isa, r);
		return EXIT_DONE;
	}
	if (in_slots(thread, r->rip))
		return back_to_code(thread, r);
	site = site_of(r);
	if (!site)
		return EXIT_NONE;
	r->rip = site;
	r->gpr[ISA_RAX] = ISA_ENCLU_EEXIT;
	return EXIT_BEGUN;
}
