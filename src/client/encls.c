/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program that has virtual EPC mapped plays a guest's kernel: it may execute
 * ENCLS, and write the launch-key hash that EINIT goes by.  The server executes the
 * leaf; here is what comes before and after, as for ENCLU.
 */
#include <string.h>

#include "client.h"
#include "sys.h"

#define RFLAGS_ARITHMETIC 0x8d5ull	/* CF PF AF ZF SF OF */
#define RFLAGS_CF 0x1u
#define RFLAGS_ZF 0x40u
#define ENCLS_LENGTH 3
#define MSR_LENGTH 2

/* Which leaves report in RAX and RFLAGS; leaves of other classes have numbers of their own. */
enum { IS_FAULT, IS_STATUS };

static const uint8_t reports[] = {
#define IF_ENCLS(nr, how) [nr] = IS_##how,
#define IF_ENCLU(nr, how)
#define IF_ENCLV(nr, how)
#define LEAF(class, nr, name, handler, gate, rbx, rcx, rdx, how, ...) IF_##class(nr, how)
#include <swsgx/leaves.def>
#undef LEAF
#undef IF_ENCLS
#undef IF_ENCLU
#undef IF_ENCLV
};

/* As if all threads ran on one processor; guarded by the lock. */
static struct {
	bool known;
	uint64_t hash[4];
} msrs;

/* Of an instruction that trapped: mapped, unless the trap was a jump to nowhere. */
static bool is_readable(uint64_t rip)
{
	return !(rip >> 47);
}

static struct isa_outcome gp(void)
{
	return (struct isa_outcome){ .kind = ISA_FAULT, .vector = X86_GP };
}

/* --- the launch-key hash --------------------------------------------------------- */

static bool read_reset_values(const struct client_encl *vepc, uint64_t hash[4])
{
	struct proto_request req = { .magic = PROTO_MAGIC, .op = PROTO_OP_RDMSR };
	struct proto_frame done;

	for (unsigned int i = 0; i < 4; i++) {
		req.a = MSR_SGXLEPUBKEYHASH0 + i;
		if (client_call(vepc->sock, &req, &done, NULL) || !isa_is_done(done.outcome))
			return false;
		hash[i] = (uint64_t)done.result;
	}
	return true;
}

/* False when this part has no such MSRs. */
static bool know_hash(const struct client_encl *vepc)
{
	uint64_t hash[4], saved;
	bool known;

	client_lock(&saved);
	known = msrs.known;
	client_unlock(&saved);
	if (known)
		return true;
	if (!read_reset_values(vepc, hash))
		return false;
	client_lock(&saved);
	if (!msrs.known)
		memcpy(msrs.hash, hash, sizeof(msrs.hash));
	msrs.known = true;
	client_unlock(&saved);
	return true;
}

static void access_msr(unsigned int i, bool write, struct isa_regs *r)
{
	uint64_t saved;

	client_lock(&saved);
	if (write) {
		msrs.hash[i] = r->gpr[ISA_RDX] << 32 | (uint32_t)r->gpr[ISA_RAX];
	} else {
		r->gpr[ISA_RAX] = (uint32_t)msrs.hash[i];
		r->gpr[ISA_RDX] = msrs.hash[i] >> 32;
	}
	client_unlock(&saved);
	r->rip += MSR_LENGTH;
}

bool client_msr(struct isa_regs *r)
{
	const uint8_t *code = (const void *)(uintptr_t)r->rip;
	const uint32_t msr = (uint32_t)r->gpr[ISA_RCX];
	struct client_encl *vepc;
	bool known;

	if (msr < MSR_SGXLEPUBKEYHASH0 || msr > MSR_SGXLEPUBKEYHASH3 || !is_readable(r->rip) ||
	    code[0] != 0x0f || (code[1] != 0x30 && code[1] != 0x32))
		return false;
	vepc = client_vepc_any();
	if (!vepc)
		return false;
	known = know_hash(vepc);
	client_encl_put(vepc);
	if (known)
		access_msr(msr - MSR_SGXLEPUBKEYHASH0, code[1] == 0x30, r);
	return known;
}

/* --- ENCLS --------------------------------------------------------------------------- */

static struct isa_outcome ask_server(const struct client_encl *vepc, struct isa_regs *r)
{
	struct proto_request req = {
		.magic = PROTO_MAGIC,
		.op = PROTO_OP_ENCLS,
		.a = (uint32_t)r->gpr[ISA_RAX],
		.b = r->gpr[ISA_RBX],
		.c = r->gpr[ISA_RCX],
		.d = r->gpr[ISA_RDX],
	};
	struct proto_frame done;
	uint64_t saved;

	client_lock(&saved);
	if (msrs.known) {
		req.flags = PROTO_HASH;
		memcpy(req.msr, msrs.hash, sizeof(req.msr));
	}
	client_unlock(&saved);
	/* The machine is gone, and nothing is left to work on. */
	if (client_call(vepc->sock, &req, &done, NULL))
		return gp();
	r->gpr[ISA_RBX] = done.base;
	return done.outcome;
}

static void retire(uint32_t leaf, struct isa_outcome out, struct isa_regs *r)
{
	r->rip += ENCLS_LENGTH;
	if (leaf >= sizeof(reports) || reports[leaf] != IS_STATUS)
		return;
	r->gpr[ISA_RAX] = out.kind == ISA_DONE ? 0 : out.code;
	r->rflags &= ~RFLAGS_ARITHMETIC;
	r->rflags |= out.kind == ISA_ERROR ? RFLAGS_ZF : out.kind == ISA_INFO ? RFLAGS_CF : 0;
}

bool client_encls(struct isa_regs *r, struct isa_outcome *out)
{
	static const uint8_t encls[] = { 0x0f, 0x01, 0xcf };
	const uint32_t leaf = (uint32_t)r->gpr[ISA_RAX];
	struct isa_regs after = *r;
	struct client_encl *vepc;

	if (!is_readable(r->rip) ||
	    memcmp((const void *)(uintptr_t)r->rip, encls, sizeof(encls)))
		return false;
	vepc = client_vepc_any();
	if (!vepc)
		return false;
	*out = ask_server(vepc, &after);
	client_encl_put(vepc);
	if (out->kind == ISA_FAULT)
		return true;
	retire(leaf, *out, &after);
	*r = after;
	return true;
}
