/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What client and server say to each other.
 *
 * Opening a device file is connecting a SOCK_SEQPACKET socket to the server: the
 * descriptor the program gets *is* that socket.  So the kernel keeps the life
 * of an open file description for us, across dup, fork, exec and descriptors
 * sent elsewhere, and the server learns of the last close as a hang-up.
 *
 * Each call travels as one PROTO request on that socket, together with one end
 * of a fresh socket pair on which everything about this call is said.  Calls of
 * several threads, or processes, on one descriptor therefore never mix.
 *
 *     client                               server
 *     what is sent ahead, on the reply end's other end
 *     request + reply end  ------------->
 *                          <-------------  COPY_IN, COPY_OUT, SOURCE, PLACE (any number)
 *     the data, or errno   ------------->
 *                          <-------------  DONE
 *
 * An ioctl whose caller handles a signal is told so, once, whatever the client waits for:
 * a struct proto_data that answers nothing.
 *
 * Both run the same binary release: there is no version but PROTO_MAGIC.
 */
#ifndef SWSGX_PROTO_H
#define SWSGX_PROTO_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <swsgx/isa.h>

#define PROTO_MAGIC 0x31584753u		/* "SGX1" */
#define PROTO_ENV "SWSGX_SERVER"	/* environment: the server's name */
#define PROTO_ENV_NO_VDSO "SWSGX_NO_VDSO" /* there: the vDSO stays as the host's */
#define PROTO_ENV_EXACT "SWSGX_EXACT"	/* set: nothing is replaced for speed */
#define PROTO_NAME_MAX 48u

/* The devices; each is an abstract socket "swsgx/<name>/<suffix>". */
#define PROTO_PREFIX "swsgx/"
#define PROTO_ENCLAVE "/sgx_enclave"
#define PROTO_PROVISION "/sgx_provision"
#define PROTO_VEPC "/sgx_vepc"

/* Data of one frame: what a default socket buffer takes several of. */
#define PROTO_CHUNK_PAGES 16u
#define PROTO_CHUNK (PROTO_CHUNK_PAGES * SGX_PAGE_SIZE)
/* The same of PLACE: long enough to be rare, short enough to stay in a cache. */
#define PROTO_PLACE_CHUNK (128ull * SGX_PAGE_SIZE)
/* An ADD_PAGES that is served as fast as a leaf: so few that others can wait for it. */
#define PROTO_SHORT_SOURCE (4 * SGX_PAGE_SIZE)

enum proto_op {
	PROTO_OP_IOCTL = 1,	/* a: command, b: argument */
	PROTO_OP_MAY_MAP,	/* a: start, b: end, c: PROT_*, d: READ_IMPLIES_EXEC */
	PROTO_OP_ATTACH,	/* a: will JOIN; answers PROTO_NR_FILES memory files, or the
				 * id of the virtual EPC */
	PROTO_OP_ENCLU,		/* a: leaf, b: RBX, c: RCX, d: RDX */
	PROTO_OP_FAULT,		/* a: page's address, b: SECINFO_R, _W or _X wanted,
				 * c: the process's number, or 0 */
	PROTO_OP_JOIN,		/* a: the client's own mapping, b: after fork(); two userfaultfds
				 * follow; answers the process's number in base */
	PROTO_OP_FREE_TCS,	/* a: address of a TCS; answers 1 if who held it is dead */
	/* Of virtual EPC only: */
	PROTO_OP_VEPC_FAULT,	/* a: index of the page touched */
	PROTO_OP_ENCLS,		/* as ENCLU; PROTO_HASH: msr is the launch-key hash */
	PROTO_OP_RDMSR,		/* a: a launch-key hash MSR, as it is after reset */
};

/*
 * What the client knows the call will ask for is sent along, because a question
 * costs more than most calls: operands in memory, and ADD_PAGES' first pages, as the
 * answer to a SOURCE that was not asked.  That answer is sent before the request, so that
 * the server need not wait for it.  All of it may be left out.
 */
#define PROTO_AHEAD_MAX 64u

struct proto_ahead {
	uint64_t addr;
	uint64_t size;			/* 0: nothing */
	uint8_t data[PROTO_AHEAD_MAX];
};

#define PROTO_FOLD 1u			/* DONE may carry the last COPY_OUT */
#define PROTO_HASH 2u
#define PROTO_CAN_PLACE 4u		/* PLACE may be asked for */

struct proto_request {
	uint32_t magic;
	uint32_t op;
	uint64_t a, b, c, d;
	uint32_t flags;
	uint32_t source_size;		/* bytes already on their way, 0: none */
	uint64_t source_addr;
	struct proto_ahead ahead[2];
	uint64_t msr[4];		/* IA32_SGXLEPUBKEYHASH0..3 */
};

enum proto_frame_kind {
	PROTO_COPY_IN = 1,	/* addr, size: send that memory back */
	PROTO_COPY_OUT,		/* addr, size, data: store it */
	PROTO_SOURCE,		/* addr, size: as COPY_IN, rules of ADD_PAGES' source */
	PROTO_PLACE,		/* addr, size: as SOURCE, but write it to the enclave's memory
				 * file, at base; answer a uint64_t, how many bytes.  The file
				 * comes with the first one.  Fewer, and no error: it cannot */
	PROTO_PROVISION_FD,	/* addr: is descriptor @addr /dev/sgx_provision? */
	PROTO_VEPC_PAGE,	/* addr, size = 1 to write: answer a struct proto_vepc_page */
	PROTO_DONE,		/* result; ATTACH: descriptors; ENCLU: outcome; ENCLS:
				 * outcome, and RBX in base; JOIN: base;
				 * size > 0: first do as COPY_OUT says */
};

/* Server to client. */
struct proto_frame {
	uint32_t kind;
	uint32_t size;
	uint64_t addr;
	int64_t result;
	struct isa_outcome outcome;
	/* ATTACH; of virtual EPC: its id, and 0; PLACE: base; JOIN: in base the process's number */
	uint64_t base, encl_size;
};

/* Largest COPY_OUT. */
#define PROTO_COPY_OUT_MAX 256u

/*
 * Where an address of the program is in virtual EPC.  Error ENOENT: nowhere;
 * EACCES: not to be written there.  The id is known only to who was given the
 * descriptor.
 */
struct proto_vepc_page {
	uint64_t id, index;
};

/* Client to server: then @size bytes, all that could be had before @error. */
struct proto_data {
	int32_t error;		/* 0 or errno of the first byte that is missing */
	uint32_t size;
	uint32_t interrupted;	/* a signal was handled since the call began */
	uint32_t is_notice;	/* of that alone; nothing was asked */
};

#define PROTO_MAX_COUNTED 128u

/*
 * How page faults that come in bursts are asked about.  A thread of a client takes a
 * free slot, fills it in, posts it and rings the bell; the server takes it, answers,
 * and the thread frees it.  A state is a futex, and so is the bell.
 *
 * Only where the box is not CLOSED; otherwise, and where all slots are occupied, the
 * fault is a call.  Who finds it CLOSED after ringing takes the post back if that was
 * not taken.  A slot's state says all along which process occupies it: where all are occupied, a
 * fault that is a call has those freed whose process is gone.
 */
enum proto_slot_state {
	PROTO_SLOT_FREE,
	PROTO_SLOT_CLAIMED,	/* being filled in */
	PROTO_SLOT_POSTED,
	PROTO_SLOT_TAKEN,	/* by the server */
	PROTO_SLOT_DONE,	/* answered */
};

#define PROTO_SLOT_STATE 0x7fu	/* of the word: the state itself */
#define PROTO_SLOT_WAITS 0x80u	/* in POSTED or TAKEN: the client sleeps, wake it */
#define PROTO_SLOT_OWNER_SHIFT 8	/* not in FREE: low bits of the process's number; 0: it has none */

struct proto_slot {
	_Alignas(64) _Atomic uint32_t state;
	_Atomic int32_t result;		/* as FAULT's */
	_Atomic uint64_t la, prot, number; /* FAULT's a, b and c */
	_Atomic uint32_t cpu;		/* the client runs on */
};

enum proto_box_state {
	PROTO_BOX_CLOSED,
	PROTO_BOX_AWAKE,	/* the server looks at the bell */
	PROTO_BOX_ASLEEP,	/* it has to be woken, at the bell */
};

#define PROTO_NR_SLOTS 62u

struct proto_mailbox {
	_Atomic uint32_t bell;	/* counts posts */
	_Alignas(64) _Atomic uint32_t state;
	_Atomic uint32_t cpu;	/* the server runs on: nobody waits for his own by looking */
	_Atomic uint32_t busy;	/* the server takes pages away, one by one: nobody looks meanwhile */
	struct proto_slot slots[PROTO_NR_SLOTS];
};

/*
 * The second memory file of an enclave: one page with struct isa_encl_block and
 * the bounds of what follows, the mailbox, then a uint16_t a page of the enclave that
 * mirrors its EPCM entry.  The server only ever writes the mirror.
 */
struct proto_shared {
	struct isa_encl_block blk;
	/* Pages below first or from end on have an all-zero mirror. */
	_Atomic uint64_t first, end;
	/* Of the clients: where jumps in place of EEXIT lead to. */
	_Atomic uint64_t slots;
	/* Theirs, too: 1 + offset of each ENCLU that was counted; 0: free. */
	_Atomic uint64_t counted[PROTO_MAX_COUNTED];
	_Alignas(SGX_PAGE_SIZE) struct proto_mailbox mailbox;
};

#define PROTO_MIRROR_OFFSET (2 * SGX_PAGE_SIZE)

/*
 * The files of ATTACH: the enclave's pages, the one above, and one of the machine's
 * whose first word says whether it lives.  The kernel changes that when the server
 * ends, before pages that were away are seen as empty ones.
 */
#define PROTO_NR_FILES 3u
#define PROTO_IS_ALIVE 0x3fffffffu	/* any of these bits: a thread of the server's */

#define MIRROR_RWX 0x7u
#define MIRROR_PENDING 0x8u
#define MIRROR_MODIFIED 0x10u
#define MIRROR_BLOCKED 0x40u
#define MIRROR_VALID 0x80u
#define MIRROR_PT_SHIFT 8

_Static_assert(sizeof(struct proto_shared) == PROTO_MIRROR_OFFSET &&
	       offsetof(struct proto_shared, mailbox) == SGX_PAGE_SIZE, "a page each");

#endif /* SWSGX_PROTO_H */
