/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * XGETBV, XSAVE, XSAVEOPT, XSAVEC and XRSTOR of an enclave, where XCR0 is its
 * XFRM.  The state they work on is that of the interrupted thread, in the signal
 * frame; memory is touched only where the enclave may touch it.
 *
 * Source: SDM volume 1, "Managing State Using the XSAVE Feature Set".
 */
#include <cpuid.h>
#include <string.h>

#include "sys.h"
#include "traps.h"

#define ALIGNMENT 64u
#define MXCSR 24u
#define MXCSR_MASK 28u
#define X87_REGS 32u
#define XMM_REGS 160u
#define XMM_END 416u
#define HEADER 512u
#define HEADER_END 576u
#define COMPACT (1ull << 63)
#define MXCSR_INIT 0x1f80u
#define FCW_INIT 0x037fu
#define X87 1u
#define SSE 2u
#define AREA_MAX 12288u		/* all components there are, AMX included */

/* --- the instruction ----------------------------------------------------------- */

struct insn {
	uint8_t opcode;		/* TRAP_* */
	unsigned int reg;	/* of ModRM */
	bool rex_w;
	uint64_t la;
	unsigned int length;
};

struct prefixes {
	uint8_t rex;
	bool address32;
	uint64_t segment;	/* its base */
};

static unsigned int read_prefixes(const uint8_t *code, size_t size, const struct isa_regs *r,
				  struct prefixes *p)
{
	unsigned int i = 0;

	*p = (struct prefixes){ 0 };
	for (; i < size && code[i] != 0x0f; i++) {
		p->rex = (code[i] & 0xf0) == 0x40 ? code[i] : 0;
		if (code[i] == 0x64)
			p->segment = r->fsbase;
		else if (code[i] == 0x65)
			p->segment = r->gsbase;
		else if (code[i] == 0x67)
			p->address32 = true;
		else if (!p->rex && code[i] != 0x2e && code[i] != 0x36 && code[i] != 0x3e &&
			 code[i] != 0x26)
			break;
	}
	return i;
}

/* Base and index of a SIB byte. */
static uint64_t sib_address(uint8_t sib, unsigned int mod, uint8_t rex, const struct isa_regs *r,
			    bool *disp32)
{
	const unsigned int base = (sib & 7) | (rex & 1) << 3;
	const unsigned int index = (sib >> 3 & 7) | (rex & 2) << 2;
	uint64_t la = 0;

	*disp32 = (sib & 7) == 5 && mod == 0;
	if (!*disp32)
		la = r->gpr[base];
	if (index != ISA_RSP)
		la += r->gpr[index] << (sib >> 6);
	return la;
}

static bool decode_memory(const uint8_t *modrm, size_t left, const struct prefixes *p,
			  const struct isa_regs *r, struct insn *insn)
{
	const unsigned int mod = modrm[0] >> 6, rm = modrm[0] & 7;
	unsigned int n = 1, nr_disp = mod == 1 ? 1 : mod == 2 ? 4 : 0;
	uint64_t la;
	bool disp32 = false, rip = false;

	if (mod == 3)
		return false;
	if (rm == 4) {
		if (left < 2)
			return false;
		la = sib_address(modrm[1], mod, p->rex, r, &disp32);
		n = 2;
	} else if (rm == 5 && mod == 0) {
		la = 0;
		rip = disp32 = true;
	} else {
		la = r->gpr[rm | (p->rex & 1) << 3];
	}
	if (disp32)
		nr_disp = 4;
	if (left < n + nr_disp)
		return false;
	if (nr_disp == 1) {
		la += (uint64_t)(int64_t)(int8_t)modrm[n];
	} else if (nr_disp) {
		int32_t disp;

		memcpy(&disp, modrm + n, sizeof(disp));
		la += (uint64_t)(int64_t)disp;
	}
	insn->length += n + nr_disp;
	if (rip)
		la += r->rip + insn->length;
	insn->la = (p->address32 ? (uint32_t)la : la) + p->segment;
	return true;
}

static bool decode(const uint8_t *code, size_t size, const struct isa_regs *r, struct insn *insn)
{
	struct prefixes p;
	const unsigned int i = read_prefixes(code, size, r, &p);

	if (i + 3 > size || code[i] != 0x0f)
		return false;
	*insn = (struct insn){
		.opcode = code[i + 1],
		.reg = code[i + 2] >> 3 & 7,
		.rex_w = p.rex & 8,
		.length = i + 2,
	};
	if (insn->opcode == TRAP_XGETBV) {
		insn->length++;
		return code[i + 2] == 0xd0;
	}
	return (insn->opcode == TRAP_GROUP15 || insn->opcode == TRAP_GROUP9) &&
	       decode_memory(code + i + 2, size - i - 2, &p, r, insn);
}

/* --- memory ------------------------------------------------------------------------ */

static bool pf(struct isa_event *event, uint64_t la, bool write)
{
	*event = (struct isa_event){
		.exception = true,
		.vector = X86_PF,
		.error_code = PFEC_U | (write ? PFEC_W : 0),
		.address = la,
	};
	return false;
}

static enum trap_result gp(struct isa_event *event)
{
	*event = (struct isa_event){ .exception = true, .vector = X86_GP };
	return TRAP_FAULT;
}

static bool is_inside(const struct client_encl *encl, uint64_t la)
{
	return la - encl->base < encl->size;
}

static bool copy_part(const struct client_encl *encl, uint64_t la, void *ours, size_t n,
		      bool write, struct isa_event *event)
{
	uint8_t *page;

	if (!is_inside(encl, la))
		return client_copy(la, ours, n, write) || pf(event, la, write);
	pf(event, la, write);
	if (!client_may_access(event))
		return false;
	page = encl->pages + (la - encl->base);
	if (write)
		memcpy(page, ours, n);
	else
		memcpy(ours, page, n);
	return true;
}

/* Page by page; false with @event set. */
static bool copy(const struct client_encl *encl, uint64_t la, void *ours, size_t n, bool write,
		 struct isa_event *event)
{
	uint8_t *p = ours;

	while (n) {
		const size_t left = SGX_PAGE_SIZE - la % SGX_PAGE_SIZE;
		const size_t part = n < left ? n : left;

		if (!copy_part(encl, la, p, part, write, event))
			return false;
		la += part;
		p += part;
		n -= part;
	}
	return true;
}

/* --- the layout ---------------------------------------------------------------------- */

/* Is component @i aligned in the compacted format? */
static bool is_aligned_component(unsigned int i)
{
	static uint64_t known, aligned;
	uint32_t eax, ebx, ecx, edx;

	if (!(known >> i & 1)) {
		__cpuid_count(0xd, i, eax, ebx, ecx, edx);
		aligned |= (uint64_t)(ecx >> 1 & 1) << i;
		known |= 1ull << i;
	}
	return aligned >> i & 1;
}

/* Where component @i, 2 or above, lies among @all of a compacted area. */
static uint32_t compact_offset(uint64_t all, unsigned int i)
{
	const struct isa_xsave_component *c = client_xsave_components();
	uint32_t offset = HEADER_END;

	for (unsigned int j = 2; j <= i; j++) {
		if (!(all >> j & 1))
			continue;
		if (is_aligned_component(j))
			offset = (offset + 63) & ~63u;
		if (j < i)
			offset += c[j].size;
	}
	return offset;
}

static uint32_t offset_of(bool compact, uint64_t all, unsigned int i)
{
	return compact ? compact_offset(all, i) : client_xsave_components()[i].offset;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void put64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* --- saving -------------------------------------------------------------------------- */

struct save {
	const struct client_encl *encl;
	const uint8_t *frame;
	uint64_t rfbm, in_use;
	bool compact, optimized;	/* what is in its initial state is left out */
	bool rex_w;
	uint64_t la;
	struct isa_event *event;
};

static bool store(const struct save *s, uint32_t offset, const void *data, size_t n)
{
	return copy(s->encl, s->la + offset, (void *)(uintptr_t)data, n, true, s->event);
}

static bool is_left_out(const struct save *s, uint64_t bit)
{
	return !(s->rfbm & bit) || (s->optimized && !(s->in_use & bit));
}

static bool save_x87(const struct save *s)
{
	uint8_t area[XMM_REGS] = { FCW_INIT & 0xff, FCW_INIT >> 8 };

	if (is_left_out(s, X87))
		return true;
	if (s->in_use & X87)
		memcpy(area, s->frame, sizeof(area));
	/* The 32-bit form has selectors there, which this processor keeps as zero. */
	if (!s->rex_w) {
		memset(area + 12, 0, 4);
		memset(area + 20, 0, 4);
	}
	return store(s, 0, area, MXCSR) &&
	       store(s, X87_REGS, area + X87_REGS, XMM_REGS - X87_REGS);
}

static bool save_sse(const struct save *s)
{
	static const uint8_t zeros[XMM_END - XMM_REGS];

	if (((s->compact ? s->rfbm & SSE : s->rfbm & (SSE | XFRM_AVX)) &&
	     !store(s, MXCSR, s->frame + MXCSR, 8)))
		return false;
	return is_left_out(s, SSE) ||
	       store(s, XMM_REGS, s->in_use & SSE ? s->frame + XMM_REGS : zeros, sizeof(zeros));
}

static bool save_component(const struct save *s, unsigned int i)
{
	static const uint8_t zeros[SGX_PAGE_SIZE];
	const struct isa_xsave_component c = client_xsave_components()[i];
	uint32_t done = 0;

	if (is_left_out(s, 1ull << i))
		return true;
	if (s->in_use >> i & 1)
		return store(s, offset_of(s->compact, s->rfbm, i), s->frame + c.offset, c.size);
	for (; done < c.size; done += SGX_PAGE_SIZE)
		if (!store(s, c.offset + done, zeros,
			   c.size - done < SGX_PAGE_SIZE ? c.size - done : SGX_PAGE_SIZE))
			return false;
	return true;
}

static bool save_header(const struct save *s)
{
	uint64_t header[2] = { s->in_use & s->rfbm, s->rfbm | COMPACT };
	uint64_t old;

	if (s->compact)
		return store(s, HEADER, header, sizeof(header));
	if (!copy(s->encl, s->la + HEADER, &old, sizeof(old), false, s->event))
		return false;
	header[0] |= old & ~s->rfbm;
	return store(s, HEADER, header, sizeof(header[0]));
}

static enum trap_result save(const struct save *s)
{
	bool saved = save_x87(s) && save_sse(s);

	for (unsigned int i = 2; saved && i < 63; i++)
		saved = save_component(s, i);
	return saved && save_header(s) ? TRAP_DONE : TRAP_FAULT;
}

/* --- restoring ------------------------------------------------------------------------ */

static bool is_zero(const uint8_t *p, size_t n)
{
	while (n && !p[n - 1])
		n--;
	return !n;
}

/* What XRSTOR refuses in the header of an area. */
static bool is_header_legal(const uint8_t *header, uint64_t xcr0)
{
	const uint64_t bv = get64(header), xcomp = get64(header + 8);

	if (!(xcomp & COMPACT))
		return !(bv & ~xcr0) && is_zero(header + 8, 16);
	return !(xcomp & ~COMPACT & ~xcr0) && !(bv & ~xcomp) &&
	       is_zero(header + 16, HEADER_END - HEADER - 16);
}

static uint32_t mxcsr_of(const uint8_t *area, bool compact)
{
	uint32_t mxcsr;

	if (compact && !(get64(area + HEADER) & SSE))
		return MXCSR_INIT;
	memcpy(&mxcsr, area + MXCSR, sizeof(mxcsr));
	return mxcsr;
}

/* All that is needed of the area at @la, into @area and in the standard format. */
static enum trap_result fetch_area(const struct client_encl *encl, uint64_t la, uint64_t rfbm,
				   uint64_t xcr0, uint8_t *area, struct isa_event *event)
{
	const struct isa_xsave_component *c = client_xsave_components();
	uint64_t bv, xcomp;

	if (!copy(encl, la, area, XMM_END, false, event) ||
	    !copy(encl, la + HEADER, area + HEADER, HEADER_END - HEADER, false, event))
		return TRAP_FAULT;
	if (!is_header_legal(area + HEADER, xcr0))
		return gp(event);
	bv = get64(area + HEADER) & rfbm;
	xcomp = get64(area + HEADER + 8);
	for (unsigned int i = 2; i < 63; i++)
		if (bv >> i & 1 && !copy(encl, la + offset_of(xcomp & COMPACT, xcomp, i),
					 area + c[i].offset, c[i].size, false, event))
			return TRAP_FAULT;
	return TRAP_DONE;
}

/* Into the signal frame, which is loaded when the enclave goes on. */
static void load(uint8_t *frame, const uint8_t *area, uint64_t rfbm, bool rex_w)
{
	const struct isa_xsave_component *c = client_xsave_components();
	const uint64_t bv = get64(area + HEADER) & rfbm;

	if (bv & X87) {
		memcpy(frame, area, MXCSR);
		memcpy(frame + X87_REGS, area + X87_REGS, XMM_REGS - X87_REGS);
		if (!rex_w) {
			memset(frame + 12, 0, 4);
			memset(frame + 20, 0, 4);
		}
	}
	if (bv & SSE)
		memcpy(frame + XMM_REGS, area + XMM_REGS, XMM_END - XMM_REGS);
	for (unsigned int i = 2; i < 63; i++)
		if (bv >> i & 1)
			memcpy(frame + c[i].offset, area + c[i].offset, c[i].size);
	put64(frame + HEADER, (get64(frame + HEADER) & ~rfbm) | bv);
}

static enum trap_result restore(const struct client_encl *encl, uint64_t la, uint64_t rfbm,
				uint64_t xcr0, uint8_t *frame, bool rex_w,
				struct isa_event *event)
{
	uint8_t area[AREA_MAX];
	const enum trap_result fetched = fetch_area(encl, la, rfbm, xcr0, area, event);
	const bool compact = get64(area + HEADER + 8) & COMPACT;
	uint32_t mxcsr, mask;

	if (fetched != TRAP_DONE)
		return fetched;
	if (rfbm & (compact ? SSE : SSE | XFRM_AVX)) {
		mxcsr = mxcsr_of(area, compact);
		memcpy(&mask, frame + MXCSR_MASK, sizeof(mask));
		if (mxcsr & ~(mask ? mask : 0xffbfu))
			return gp(event);
		memcpy(frame + MXCSR, &mxcsr, sizeof(mxcsr));
	}
	load(frame, area, rfbm, rex_w);
	return TRAP_DONE;
}

/* --- all of them ------------------------------------------------------------------------ */

static enum trap_result xgetbv(struct isa_regs *r, uint64_t xcr0, uint64_t in_use,
			       struct isa_event *event)
{
	const uint32_t ecx = (uint32_t)r->gpr[ISA_RCX];
	const uint64_t value = ecx ? xcr0 & in_use : xcr0;

	if (ecx > 1)
		return gp(event);
	r->gpr[ISA_RAX] = (uint32_t)value;
	r->gpr[ISA_RDX] = value >> 32;
	return TRAP_DONE;
}

enum trap_result traps_emulate(const struct client_thread *thread, struct isa_regs *r,
			       const uint8_t *code, size_t size, const ucontext_t *uc,
			       struct isa_event *event)
{
	const uint64_t mask = (uint32_t)r->gpr[ISA_RAX] | r->gpr[ISA_RDX] << 32;
	const uint64_t xcr0 = thread->isa.xfrm;
	uint8_t *frame = (uint8_t *)(uintptr_t)client_xstate_of(uc);
	enum trap_result result;
	struct insn insn;

	if (!decode(code, size, r, &insn) || client_xstate_size(uc) > AREA_MAX)
		return TRAP_NOT_OURS;
	if (insn.opcode == TRAP_XGETBV)
		result = xgetbv(r, xcr0, get64(frame + HEADER), event);
	else if (insn.la % ALIGNMENT)
		result = gp(event);
	else if (insn.opcode == TRAP_GROUP15 && insn.reg == 5)
		result = restore(thread->encl, insn.la, xcr0 & mask, xcr0, frame, insn.rex_w,
				 event);
	else
		result = save(&(struct save){
			.encl = thread->encl,
			.frame = frame,
			.rfbm = xcr0 & mask,
			.in_use = get64(frame + HEADER),
			.compact = insn.opcode == TRAP_GROUP9,
			.optimized = insn.opcode == TRAP_GROUP9 || insn.reg == 6,
			.rex_w = insn.rex_w,
			.la = insn.la,
			.event = event,
		});
	if (result == TRAP_DONE)
		r->rip += insn.length;
	return result;
}
