/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a running server tells about itself, on a third socket beside the
 * devices: "swsgx/<name>/control", SOCK_SEQPACKET, open to the same users.  A
 * connection carries any number of requests, each answered by one message:
 *
 *     struct control_request  --->
 *                             <---  struct control_reply, then what it counts
 *
 * A message that is no request ends the connection.  Looking does not keep a
 * machine alive that nobody else needs.
 */
#ifndef SWSGX_CONTROL_H
#define SWSGX_CONTROL_H

#include <stdint.h>

#include <swsgx/epc.h>
#include <swsgx/inject.h>

#include "counts.h"

#define PROTO_CONTROL "/control"
#define CONTROL_MAGIC 0x43584753u	/* "SGXC" */

enum control_op {
	CONTROL_STAT = 1,	/* one struct control_stat */
	CONTROL_LEAKS,		/* rows of the ledger from @first on, as many as fit */
	CONTROL_CPUID,		/* one struct isa_cpuid: leaf @first >> 32, subleaf in the rest */
	CONTROL_COUNTS,		/* nothing, but a descriptor of the page in counts.h */
};

struct control_request {
	uint32_t magic;
	uint32_t op;
	uint64_t first;		/* LEAKS, CPUID; 0 otherwise */
};

struct control_reply {
	uint32_t magic;
	int32_t error;		/* 0, or -EINVAL: no such operation; nothing follows then */
	uint32_t nr;		/* structures that follow */
	uint32_t reserved;
};

#define CONTROL_NAME_MAX 40u
#define CONTROL_MAX_IOCTLS 16u

struct control_ioctl {
	char name[CONTROL_NAME_MAX];	/* without SGX_IOC_ */
	uint64_t nr_calls, nr_failed;
};

struct control_rule {
	char text[INJECT_TEXT_MAX];
	uint64_t nr_calls, nr_fired;
};

struct control_stat {
	struct sgx_epc_stat epc;
	struct sgx_epc_activity activity;
	struct sgx_epc_watermarks watermarks;
	uint32_t health;		/* enum sgx_epc_health */
	uint32_t on_leak;		/* enum sgx_epc_on_leak */
	uint64_t nr_enclaves;		/* made since power-on */
	uint64_t nr_enclaves_open;
	uint64_t started_ns;		/* wall clock */
	int32_t pid;
	uint32_t nr_ioctls, nr_rules;
	uint32_t reserved;
	struct control_ioctl ioctls[CONTROL_MAX_IOCTLS];
	struct control_rule rules[INJECT_MAX_RULES];
	uint64_t places[COUNT_NR_PLACES];	/* what clients did, see counts.h */
	uint64_t traps[COUNT_NR_TRAPS];
};

/* A row of the ledger; see struct sgx_epc_leak. */
struct control_leak {
	uint64_t pa;
	uint32_t section, node;
	struct isa_outcome result;
	struct isa_epcm_info epcm;
	uint64_t epcm_known;
	struct sgx_epc_owner owner;
	uint64_t time_ns;
	char site[CONTROL_NAME_MAX];
};

#define CONTROL_LEAKS_AT_ONCE 64u

#endif /* SWSGX_CONTROL_H */
