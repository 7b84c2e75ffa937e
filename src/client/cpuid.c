/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CPUID as the program sees it.  Most machines cannot trap the instruction, so
 * rewrite.c replaces those it finds by UD2, of the same length, and what arrives
 * here as SIGILL is answered: as the host does, but for what SGX adds, which
 * the machine's owner says.
 */
#include <cpuid.h>
#include <sys/socket.h>

#include "../server/control.h"

#include "client.h"
#include "sys.h"

#define CPUID_LENGTH 2

/* Leaves SGX changes, which are asked for once each. */
static bool is_changed(uint32_t leaf)
{
	return leaf == 0 || leaf == 7 || leaf == 0x12;
}

struct answer {
	uint64_t key;		/* leaf << 32 | subleaf */
	struct isa_cpuid regs;
};

static struct answer answers[16];	/* guarded by the lock */
static unsigned int nr_answers;

static bool recall(uint64_t key, struct isa_cpuid *regs)
{
	bool found = false;

	client_lock_blocked();
	for (unsigned int i = 0; i < nr_answers && !found; i++) {
		found = answers[i].key == key;
		if (found)
			*regs = answers[i].regs;
	}
	client_unlock_blocked();
	return found;
}

static void remember(uint64_t key, const struct isa_cpuid *regs)
{
	client_lock_blocked();
	if (nr_answers < sizeof(answers) / sizeof(answers[0]))
		answers[nr_answers++] = (struct answer){ key, *regs };
	client_unlock_blocked();
}

static bool ask(uint64_t key, struct isa_cpuid *regs)
{
	const struct control_request req = {
		.magic = CONTROL_MAGIC, .op = CONTROL_CPUID, .first = key,
	};
	struct {
		struct control_reply header;
		struct isa_cpuid regs;
	} reply;
	const int sock = client_connect_socket(PROTO_CONTROL, true);
	long n = -1;

	if (sock < 0)
		return false;
	if (sys_call6(SYS_sendto, sock, (long)&req, sizeof(req), MSG_NOSIGNAL, 0, 0) ==
	    (long)sizeof(req))
		n = sys_call6(SYS_recvfrom, sock, (long)&reply, sizeof(reply), 0, 0, 0);
	sys_close(sock);
	if (n != (long)sizeof(reply) || reply.header.error)
		return false;
	*regs = reply.regs;
	return true;
}

static struct isa_cpuid execute(uint32_t leaf, uint32_t subleaf)
{
	struct isa_cpuid regs;

	__cpuid_count(leaf, subleaf, regs.eax, regs.ebx, regs.ecx, regs.edx);
	return regs;
}

struct isa_cpuid client_cpuid(uint32_t leaf, uint32_t subleaf)
{
	const uint64_t key = (uint64_t)leaf << 32 | subleaf;
	struct isa_cpuid regs;

	if (is_changed(leaf)) {
		if (recall(key, &regs))
			return regs;
		/* Without a server it is the host's processor after all. */
		if (ask(key, &regs)) {
			remember(key, &regs);
			return regs;
		}
	}
	return execute(leaf, subleaf);
}

bool client_has_launch_control(void)
{
	static _Atomic int known;	/* 0: not yet, else 1 + the answer */
	const uint64_t all = ~0ull;
	uint64_t saved;

	if (!known) {
		sys_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&saved, sizeof(all));
		known = 1 + !!(client_cpuid(7, 0).ecx & CPUID_7_0_ECX_SGX_LC);
		sys_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&saved, 0, sizeof(saved));
	}
	return known > 1;
}

bool client_emulate_cpuid(struct isa_regs *r)
{
	struct isa_cpuid regs;

	if (!client_is_rewritten(r->rip))
		return false;
	regs = client_cpuid((uint32_t)r->gpr[ISA_RAX], (uint32_t)r->gpr[ISA_RCX]);
	r->gpr[ISA_RAX] = regs.eax;
	r->gpr[ISA_RBX] = regs.ebx;
	r->gpr[ISA_RCX] = regs.ecx;
	r->gpr[ISA_RDX] = regs.edx;
	r->rip += CPUID_LENGTH;
	return true;
}
