/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EENTER without a trap, for programs that execute ENCLU themselves.
 *
 * Only a place that has trapped is looked at: what a program carries and never
 * executes, such as the image of an enclave, stays as it will be measured.  The
 * instruction right before the ENCLU, if it has room for a jump and means the
 * same elsewhere, becomes a jump to a slot near the program.  The slot has that
 * instruction, and goes on to client_program_begin in enter.S.  The ENCLU stays: who
 * jumps to it traps, as does what is no EENTER, or one that faults.
 *
 * Like the kernel for a signal, this uses the stack below the red zone.  Where there
 * is none, the slot faults, and the ENCLU is executed.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "client.h"
#include "counts.h"
#include "decode.h"
#include "entries.h"
#include "exits.h"
#include "sys.h"

#define FRAME (128 + sizeof(struct isa_regs))
#define JUMP_LENGTH 5u
#define MAX_INSN 15u
#define REACH 0x7fff0000ll
#define STEP 0x10000u
#define TRIES 4096u
#define MAX_REGIONS 32u
#define MAX_SEEN 256u

_Static_assert(sizeof(struct isa_regs) == 160, "enter.S");

/* Labels in enter.S, in this order. */
extern const char client_program_begin[], client_program_stored[], client_program_pushed[],
	client_program_saved[], client_program_restored[], client_program_leave[],
	client_program_end[];

struct slot {
	uint8_t code[72];
	uint64_t place, site;	/* the instruction that was moved, and the ENCLU */
	uint64_t moved;		/* its length; 0: the slot is free */
};

/* Of @code, behind the moved instruction. */
#define CODE_STORE 8u
#define CODE_SITE 13u
#define CODE_BEHIND 23u

#define NR_SLOTS (SGX_PAGE_SIZE / sizeof(struct slot))

static struct slot *regions[MAX_REGIONS];	/* grows only, under the lock */
static _Atomic unsigned int nr_regions;

static bool between(uint64_t rip, const char *first, const char *behind)
{
	return rip >= (uintptr_t)first && rip < (uintptr_t)behind;
}

static bool is_near(uint64_t a, uint64_t b)
{
	const int64_t distance = (int64_t)(a - b);

	return distance > -REACH && distance < REACH;
}

static struct slot *reserve_at(uint64_t addr)
{
	void *p = sys_mmap((void *)(uintptr_t)addr, SGX_PAGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (sys_is_error(p))
		return NULL;
	if ((uintptr_t)p == addr)
		return p;
	sys_munmap(p, SGX_PAGE_SIZE);
	return NULL;
}

static struct slot *add_region(uint64_t near)
{
	const unsigned int nr = nr_regions;
	struct slot *region = NULL;

	near &= SGX_PAGE_MASK;
	for (unsigned int i = 1; nr < MAX_REGIONS && !region && i <= TRIES; i++) {
		region = near > (uint64_t)i * STEP ? reserve_at(near - i * STEP) : NULL;
		if (!region)
			region = reserve_at(near + i * STEP);
	}
	if (!region)
		return NULL;
	regions[nr] = region;
	atomic_store_explicit(&nr_regions, nr + 1, memory_order_release);
	return region;
}

static struct slot *free_slot(uint64_t near)
{
	for (unsigned int i = 0; i < nr_regions; i++)
		for (size_t j = 0; is_near((uintptr_t)regions[i], near) && j < NR_SLOTS; j++)
			if (!regions[i][j].moved)
				return &regions[i][j];
	return add_region(near);
}

/* The slot that @rip is in; NULL. */
static const struct slot *slot_at(uint64_t rip)
{
	const unsigned int nr = atomic_load_explicit(&nr_regions, memory_order_acquire);

	for (unsigned int i = 0; i < nr; i++) {
		const uint64_t offset = rip - (uintptr_t)regions[i];

		if (offset < NR_SLOTS * sizeof(struct slot))
			return &regions[i][offset / sizeof(struct slot)];
	}
	return NULL;
}

static struct slot *slot_of_place(uint64_t place)
{
	const unsigned int nr = atomic_load_explicit(&nr_regions, memory_order_acquire);

	for (unsigned int i = 0; i < nr; i++)
		for (size_t j = 0; j < NR_SLOTS; j++)
			if (regions[i][j].moved && regions[i][j].place == place)
				return &regions[i][j];
	return NULL;
}

/* The moved instruction, with its operand where it was. */
static bool move(struct slot *slot, const uint8_t *before, const struct decoded *insn)
{
	int32_t disp;
	int64_t moved;

	memcpy(slot->code, before, insn->length);
	if (!insn->disp_offset)
		return true;
	memcpy(&disp, before + insn->disp_offset, sizeof(disp));
	moved = disp + (int64_t)((uintptr_t)before - (uintptr_t)slot->code);
	disp = (int32_t)moved;
	memcpy(slot->code + insn->disp_offset, &disp, sizeof(disp));
	return disp == moved;
}

static void fill(struct slot *slot, const uint8_t *site, size_t moved)
{
	static const uint8_t code[] = {
		0x48, 0x8d, 0xa4, 0x24, 0, 0, 0, 0,	/*  0: lea -FRAME(%rsp), %rsp */
		0x48, 0x89, 0x4c, 0x24, 0x08,		/*  8: mov %rcx, 8(%rsp) */
		0x48, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0,	/* 13: movabs $site, %rcx */
		0xff, 0x25, 0, 0, 0, 0,			/* 23: jmp *29 */
	};
	const int32_t frame = -(int32_t)FRAME;
	const uint64_t to = (uintptr_t)client_program_begin;
	uint8_t *p = slot->code + moved;

	_Static_assert(MAX_INSN + sizeof(code) + sizeof(to) <= sizeof(slot->code), "room");
	memcpy(p, code, sizeof(code));
	memcpy(p + 4, &frame, sizeof(frame));
	slot->site = (uintptr_t)site;
	memcpy(p + CODE_SITE + 2, &slot->site, sizeof(slot->site));
	memcpy(p + sizeof(code), &to, sizeof(to));
	slot->moved = moved;
}

static bool make_slot(struct slot *slot, const uint8_t *site, const uint8_t *before)
{
	uint8_t *const region = (uint8_t *)((uintptr_t)slot & SGX_PAGE_MASK);
	struct decoded insn;
	bool done;

	if (sys_mprotect(region, SGX_PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC) < 0)
		return false;
	slot->place = (uintptr_t)before;
	done = decoder_decode(before, (size_t)(site - before), &insn) && move(slot, before, &insn);
	if (done)
		fill(slot, site, insn.length);
	sys_mprotect(region, SGX_PAGE_SIZE, PROT_READ | PROT_EXEC);
	return done;
}

/* --- is it safe? ------------------------------------------------------------------------ */

/*
 * That there is an ENCLU the processor has said.  What is right before it, only
 * decoding from farther away can say: it falls into step with the code after a few
 * instructions, and most ways must agree.  Pages beside this one may not be there.
 */
#define NEAR 8u		/* bytes before an instruction: too close to be in step */
#define FAR 96u
#define MIN_HITS 24u

static const uint8_t *page_of(const uint8_t *site)
{
	return (const uint8_t *)((uintptr_t)site & SGX_PAGE_MASK);
}

static bool arrives(const uint8_t *from, const uint8_t *at, const uint8_t *site)
{
	struct decoded insn;

	while (from < at) {
		if (!decoder_decode(from, (size_t)(site - from), &insn) || insn.privileged)
			return false;
		from += insn.length;
	}
	return from == at;
}

static bool is_in_step(const uint8_t *at, const uint8_t *site)
{
	const size_t before = (size_t)(at - page_of(site));
	unsigned int hits = 0, tries = 0;

	for (size_t i = NEAR; i <= before && i <= FAR; i++, tries++)
		hits += arrives(at - i, at, site);
	return hits >= MIN_HITS && hits * 2 > tries;
}

/* Does code from @p to @end jump where the jump's bytes will be, but for the first? */
static bool jumps_into(const uint8_t *p, const uint8_t *end, const uint8_t *at)
{
	struct decoded insn;

	while (p < end) {
		if (!decoder_decode(p, (size_t)(end - p), &insn)) {
			p++;
			continue;
		}
		if (insn.target && p + insn.target > at && p + insn.target < at + JUMP_LENGTH)
			return true;
		p += insn.length;
	}
	return false;
}

static bool is_jumped_into(const uint8_t *at, const uint8_t *site)
{
	return jumps_into(page_of(site), at, at) ||
	       jumps_into(site, page_of(site) + SGX_PAGE_SIZE, at);
}

/* The instruction that ends at @site, if a jump can take its place; NULL. */
static const uint8_t *movable_before(const uint8_t *site)
{
	const size_t room = (size_t)(site - page_of(site));
	struct decoded insn;

	for (size_t size = JUMP_LENGTH; size <= MAX_INSN && size <= room; size++) {
		const uint8_t *at = site - size;

		if (decoder_decode(at, size, &insn) && insn.length == size && !insn.branch &&
		    !insn.privileged && (!insn.relative || insn.disp_offset) &&
		    is_in_step(at, site) && !is_jumped_into(at, site))
			return at;
	}
	return NULL;
}

/* --- replacing -------------------------------------------------------------------------- */

/* Other threads may be at it: they must see the old instruction, the new one, or none. */
#define NO_INSTRUCTION 0x06u	/* #UD, one byte */

static _Atomic uint64_t changing;

#define MEMBARRIER_SYNC_CORE 32
#define MEMBARRIER_REGISTER_SYNC_CORE 64

static bool synchronize(void)
{
	return sys_call(SYS_membarrier, MEMBARRIER_SYNC_CORE, 0, 0, 0) == 0;
}

/* Whatever the rights of the mapping are; not where it is shared with others. */
static bool store(int mem, const uint8_t *at, const void *code, size_t size)
{
	return sys_call(SYS_pwrite64, mem, (long)code, (long)size, (long)at) == (long)size;
}

static bool put_jump(int mem, const uint8_t *at, const struct slot *slot)
{
	const int32_t rel = (int32_t)((uintptr_t)slot->code - ((uintptr_t)at + JUMP_LENGTH));
	const uint8_t first = at[0], none = NO_INSTRUCTION, jmp = 0xe9;
	bool done;

	atomic_store(&changing, (uintptr_t)at);
	if (!store(mem, at, &none, 1)) {
		atomic_store(&changing, 0);
		return false;
	}
	done = synchronize() && store(mem, at + 1, &rel, sizeof(rel));
	done = synchronize() && done;
	store(mem, at, done ? &jmp : &first, 1);
	synchronize();
	atomic_store(&changing, 0);
	return done;
}

bool entries_is_changing(uint64_t rip)
{
	const struct slot *slot = slot_of_place(rip);
	const uint8_t *const at = (const uint8_t *)(uintptr_t)rip;
	int32_t rel;

	if (atomic_load(&changing) == rip)
		return true;
	if (!slot || at[0] != 0xe9)
		return false;
	memcpy(&rel, at + 1, sizeof(rel));
	return at + JUMP_LENGTH + rel == slot->code;
}

static enum count_place replace(const uint8_t *site)
{
	const uint8_t *before;
	enum count_place fate = COUNT_PROGRAM_ENCLU_NO_ROOM;
	struct slot *slot;
	long mem;

	before = movable_before(site);
	if (!before)
		return COUNT_PROGRAM_ENCLU_BEFORE;
	/* There may have been other code at that address. */
	slot = slot_of_place((uintptr_t)before);
	if (!slot)
		slot = free_slot((uintptr_t)before);
	mem = sys_call(SYS_open, (long)"/proc/self/mem", O_RDWR | O_CLOEXEC, 0, 0);
	if (slot && mem >= 0 && make_slot(slot, site, before) && put_jump((int)mem, before, slot))
		fate = COUNT_PROGRAM_ENCLU_REPLACED;
	if (mem >= 0)
		sys_close((int)mem);
	return fate;
}

/* Of this library, from the linker. */
extern const char own_code_start[] __asm__("__ehdr_start") __attribute__((visibility("hidden")));
extern const char own_code_end[] __asm__("etext") __attribute__((visibility("hidden")));

static bool ready;

void entries_prepare(void)
{
	static _Atomic bool tried;

	if (atomic_exchange(&tried, true) || exits_are_exact())
		return;
	ready = decoder_load() &&
		sys_call(SYS_membarrier, MEMBARRIER_REGISTER_SYNC_CORE, 0, 0, 0) == 0;
}

/* The code right before an ENCLU, as far as it is surely there. */
static uint64_t code_before(uint64_t site)
{
	uint64_t code = 0;

	if (site % SGX_PAGE_SIZE >= sizeof(code))
		memcpy(&code, (const void *)(uintptr_t)(site - sizeof(code)), sizeof(code));
	return code;
}

/* Each is looked at once: by its second trap it is known that it stays. */
static struct seen {
	uint64_t site, code;
} seen[MAX_SEEN];

static struct seen *note(uint64_t site)
{
	static size_t next;
	struct seen *s = seen;

	while (s < seen + MAX_SEEN && s->site != site)
		s++;
	if (s == seen + MAX_SEEN)
		s = &seen[next++ % MAX_SEEN];
	else if (s->code == code_before(site))
		return NULL;
	s->site = site;
	return s;
}

void entries_consider(uint64_t site)
{
	struct seen *s;

	if (between(site, own_code_start, own_code_end))
		return;
	client_lock_blocked();
	s = note(site);
	if (s) {
		counts_place(exits_are_exact() ? COUNT_PROGRAM_ENCLU_EXACT
			     : ready ? replace((const uint8_t *)(uintptr_t)site)
				     : COUNT_PROGRAM_ENCLU_NO_ROOM);
		s->code = code_before(site);
	}
	client_unlock_blocked();
}

/* --- signals -------------------------------------------------------------------------- */

static const struct isa_regs *frame_at(uint64_t addr)
{
	return (const struct isa_regs *)(uintptr_t)addr;
}

static bool rewind_slot(const struct slot *slot, struct isa_regs *r, bool *retry)
{
	const uint64_t offset = r->rip - (uintptr_t)slot->code;

	if (!slot->moved)
		return false;
	*retry = offset;
	if (offset >= slot->moved + CODE_STORE)
		r->gpr[ISA_RSP] += FRAME;
	if (offset >= slot->moved + CODE_BEHIND)
		r->gpr[ISA_RCX] = frame_at(r->gpr[ISA_RSP] - FRAME)->gpr[ISA_RCX];
	r->rip = offset ? slot->site : slot->place;
	return true;
}

/* All that the frame has, in the state it had there: the bases nobody changed. */
static void take_frame(struct isa_regs *r, const struct isa_regs *frame)
{
	const uint64_t fsbase = r->fsbase, gsbase = r->gsbase;

	*r = *frame;
	r->fsbase = fsbase;
	r->gsbase = gsbase;
}

bool entries_rewind(struct isa_regs *r, bool *retry)
{
	const struct slot *slot = slot_at(r->rip);
	const struct isa_regs *frame;

	*retry = false;
	if (slot)
		return rewind_slot(slot, r, retry);
	if (!between(r->rip, client_program_begin, client_program_end))
		return false;
	*retry = true;
	if (between(r->rip, client_program_saved, client_program_restored)) {
		take_frame(r, frame_at(r->gpr[ISA_RBP]));
		return true;
	}
	if (r->rip >= (uintptr_t)client_program_restored) {
		frame = frame_at(r->gpr[ISA_RSP] -
				 (r->rip >= (uintptr_t)client_program_leave ? FRAME : 0));
		r->rip = frame->rip;
	} else {
		/* What the frame lacks is still in its register. */
		frame = frame_at(r->gpr[ISA_RSP] +
				 (r->rip == (uintptr_t)client_program_pushed ? 8 : 0));
		if (r->rip > (uintptr_t)client_program_begin)
			r->gpr[ISA_RAX] = frame->gpr[ISA_RAX];
		r->rip = r->rip <= (uintptr_t)client_program_stored ? r->gpr[ISA_RCX] : frame->rip;
		r->gpr[ISA_RCX] = frame->gpr[ISA_RCX];
	}
	r->gpr[ISA_RSP] = (uintptr_t)frame + FRAME;
	return true;
}
