/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding such instructions in the code of an initialized enclave: in pages
 * that can be executed and not written.  What was measured is over by then.
 *
 * Enclave code comes without a table of functions.  So a place where the bytes
 * of an instruction stand counts as that instruction when those behind it decode
 * as well, and when most of the ways to decode what lies before it, from some
 * distance on, arrive there: decoding falls into step with real code after a few
 * instructions, wherever it began.
 */
#include <string.h>
#include <sys/mman.h>

#include "counts.h"
#include "decode.h"
#include "exits.h"
#include "traps.h"

#define BEHIND 8u	/* instructions that must follow */
#define NEAR 16u	/* bytes before: too close to be in step */
#define FAR 64u
#define MAX_INSN 15u

/* What opcode, behind 0x0f, is to stand for the one at @code; 0: it is none of ours. */
static uint8_t trap_for(const uint8_t *code, size_t size, bool narrow)
{
	const uint8_t modrm = size > 2 ? code[2] : 0;
	const unsigned int reg = modrm >> 3 & 7;
	const bool memory = modrm < 0xc0;

	if (size < 2 || code[0] != 0x0f)
		return 0;
	if (code[1] == OPCODE_CPUID)
		return TRAP_CPUID;
	if (size < 3 || !narrow)
		return 0;
	if (code[1] == OPCODE_GROUP7 && modrm == 0xd0)
		return TRAP_XGETBV;
	if (code[1] == OPCODE_GROUP15 && memory && reg >= 4 && reg <= 6)
		return TRAP_GROUP15;
	if (code[1] == OPCODE_GROUP9 && memory && reg == 4)
		return TRAP_GROUP9;
	return 0;
}

/* --- is it an instruction? ------------------------------------------------------- */

/* Executable memory around a place. */
struct code {
	const uint8_t *start, *end;
};

/* Decoding here already finds what was replaced; that is as good. */
static bool decode(const uint8_t *at, const uint8_t *end, struct decoded *insn)
{
	static const struct { uint8_t trap, opcode; } replaced[] = {
		{ TRAP_CPUID, OPCODE_CPUID }, { TRAP_XGETBV, OPCODE_GROUP7 },
		{ TRAP_GROUP15, OPCODE_GROUP15 }, { TRAP_GROUP9, OPCODE_GROUP9 },
	};
	const size_t left = (size_t)(end - at), size = left < MAX_INSN ? left : MAX_INSN;
	uint8_t copy[MAX_INSN];

	memcpy(copy, at, size);
	for (size_t i = 0; i + 1 < size && i < 5; i++)
		for (size_t j = 0; copy[i] == 0x0f && j < sizeof(replaced) / sizeof(replaced[0]); j++)
			if (copy[i + 1] == replaced[j].trap) {
				copy[i + 1] = replaced[j].opcode;
				i = size;
				break;
			}
	return decoder_decode(copy, size, insn) && !insn->privileged;
}

static bool goes_on_well(const struct code *c, const uint8_t *at)
{
	struct decoded insn;

	for (unsigned int i = 0; i < BEHIND && at < c->end; i++) {
		if (!decode(at, c->end, &insn))
			return false;
		if (insn.end)
			return true;
		at += insn.length;
	}
	return true;
}

/* Where decoding from @from arrives that reaches @at, or passes it; NULL: nowhere. */
static const uint8_t *arrive(const struct code *c, const uint8_t *from, const uint8_t *at)
{
	struct decoded insn;

	while (from < at) {
		if (!decode(from, c->end, &insn))
			return NULL;
		from += insn.length;
	}
	return from;
}

static bool is_arrived_at(const struct code *c, const uint8_t *at)
{
	const size_t before = (size_t)(at - c->start);
	unsigned int hits = 0, misses = 0;

	/* So close to the first byte, that is where code begins. */
	if (before <= NEAR)
		return arrive(c, c->start, at) == at;
	for (size_t i = NEAR; i <= before && i <= FAR; i++) {
		const uint8_t *p = arrive(c, at - i, at);

		hits += p == at;
		misses += p && p != at;
	}
	return hits > misses;
}

/* Prefixes belong to the instruction: one of them is where decoding arrives. */
static bool is_instruction(const struct code *c, const uint8_t *opcode)
{
	const uint8_t *at = opcode;

	for (unsigned int i = 0; i < 4; i++, at--) {
		if (goes_on_well(c, at) && is_arrived_at(c, at))
			return true;
		/* REX, operand and address size, segment */
		if (at == c->start || ((at[-1] & 0xf0) != 0x40 && (at[-1] & 0xfc) != 0x64 &&
				       at[-1] != 0x3e))
			return false;
	}
	return false;
}

/* --- replacing ---------------------------------------------------------------------- */

static void replace(uint8_t *opcode, uint8_t with)
{
	__atomic_store_n(opcode, with, __ATOMIC_RELEASE);
}

static void scan_enclu(const struct code *c, struct client_encl *encl, uint8_t *site)
{
	bool made;
	const size_t size = exits_match(encl, site, c->start, &made);
	enum count_place fate;

	if (made)
		fate = exits_replace(encl, site, size);
	else if (!size)
		fate = COUNT_ENCLAVE_ENCLU_OTHER;
	else if (exits_are_exact())
		fate = COUNT_ENCLAVE_ENCLU_EXACT;
	else if (!decoder_load() || !is_instruction(c, site - size))
		fate = COUNT_ENCLAVE_ENCLU_UNSURE;
	else
		fate = exits_replace(encl, site, size);
	exits_count(encl, site, fate);
}

static void scan_code(const struct code *c, struct client_encl *encl, uint8_t *from, uint8_t *to)
{
	const bool narrow = encl->shared->blk.xfrm != client_xcr0();
	uint8_t *at = from;

	for (; at < to && (at = memchr(at, 0x0f, (size_t)(to - at))); at++) {
		const size_t left = (size_t)(c->end - at);
		const uint8_t trap = trap_for(at, left, narrow);

		if (trap && decoder_load() && is_instruction(c, at)) {
			counts_place(trap == TRAP_CPUID ? COUNT_ENCLAVE_CPUID_REPLACED
							: COUNT_ENCLAVE_XSAVE_REPLACED);
			replace(at + 1, trap);
		}
		else if (left >= 3 && at[1] == 0x01 && at[2] == 0xd7)
			scan_enclu(c, encl, at);
	}
}

static bool is_code(const struct client_encl *encl, uint64_t addr)
{
	const uint16_t entry = client_encl_mirror(encl, addr);

	return (entry & (MIRROR_VALID | MIRROR_PENDING | MIRROR_MODIFIED | MIRROR_BLOCKED)) ==
		       MIRROR_VALID &&
	       entry >> MIRROR_PT_SHIFT == PT_REG && (entry & (SECINFO_X | SECINFO_W)) == SECINFO_X;
}

static bool in_bounds(const struct client_encl *encl, uint64_t addr)
{
	return addr - encl->base < encl->size;
}

/* A run of code pages that holds @addr, looking one page farther than what is scanned. */
static void scan_run(struct client_encl *encl, uint64_t start, uint64_t end)
{
	const uint64_t before = in_bounds(encl, start - SGX_PAGE_SIZE) &&
				is_code(encl, start - SGX_PAGE_SIZE) ? SGX_PAGE_SIZE : 0;
	const uint64_t behind = in_bounds(encl, end) && is_code(encl, end) ? SGX_PAGE_SIZE : 0;
	uint8_t *const from = encl->pages + (start - encl->base);
	uint8_t *const to = encl->pages + (end - encl->base);
	const struct code c = { from - before, to + behind };

	scan_code(&c, encl, from, to);
}

void client_encl_scan(struct client_encl *encl, uint64_t start, uint64_t end)
{
	uint64_t lo, hi;

	if (!encl->size || !atomic_load(&encl->shared->blk.initialized))
		return;
	/* Pages exist only between these two. */
	lo = encl->base + atomic_load(&encl->shared->first) * SGX_PAGE_SIZE;
	hi = encl->base + atomic_load(&encl->shared->end) * SGX_PAGE_SIZE;
	lo = lo > start ? lo : start;
	hi = hi < end ? hi : end;
	for (; lo < hi; lo += SGX_PAGE_SIZE) {
		const uint64_t run = lo;

		while (lo < hi && is_code(encl, lo))
			lo += SGX_PAGE_SIZE;
		if (lo > run)
			scan_run(encl, run, lo);
	}
}

/* --- CPUID, for who looks why it faulted ------------------------------------------------ */

/*
 * An enclave that emulates CPUID reads the instruction that faulted.  From its
 * fault to the return to it, it finds CPUID there.
 */
#define MAX_SHOWN 64u

static struct shown {
	uint64_t tcs;
	uint8_t *opcode;	/* NULL: unused */
} shown[MAX_SHOWN];		/* guarded by the lock */
static _Atomic unsigned int nr_shown;

void traps_show_cpuid(uint8_t *code, size_t size, uint64_t tcs)
{
	size_t i = 0;

	while (i + 1 < size && i < 4 && code[i] != 0x0f)
		i++;
	if (i + 1 >= size || code[i] != 0x0f ||
	    (code[i + 1] != TRAP_CPUID && code[i + 1] != OPCODE_CPUID))
		return;
	client_lock_blocked();
	for (struct shown *s = shown; s < shown + MAX_SHOWN; s++)
		if (!s->opcode) {
			*s = (struct shown){ tcs, code + i + 1 };
			nr_shown++;
			replace(code + i + 1, OPCODE_CPUID);
			break;
		}
	client_unlock_blocked();
}

static bool is_shown(const uint8_t *opcode)
{
	for (const struct shown *s = shown; s < shown + MAX_SHOWN; s++)
		if (s->opcode == opcode)
			return true;
	return false;
}

void traps_hide_cpuid(uint64_t tcs)
{
	if (!nr_shown)
		return;
	client_lock_blocked();
	for (struct shown *s = shown; s < shown + MAX_SHOWN; s++) {
		uint8_t *const opcode = s->opcode;

		if (!opcode || s->tcs != tcs)
			continue;
		*s = (struct shown){ 0 };
		nr_shown--;
		if (!is_shown(opcode))
			replace(opcode, TRAP_CPUID);
	}
	client_unlock_blocked();
}

void traps_forget(const struct client_encl *encl)
{
	for (struct shown *s = shown; s < shown + MAX_SHOWN; s++)
		if (s->opcode && s->opcode >= encl->pages && s->opcode < encl->pages + encl->size) {
			*s = (struct shown){ 0 };
			nr_shown--;
		}
}
