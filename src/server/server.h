/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server: the process that owns one machine and plays the kernel's role for
 * the programs connected to it.
 */
#ifndef SWSGX_SERVER_H
#define SWSGX_SERVER_H

#include <stdint.h>
#include <sys/types.h>

#include <swsgx/epc.h>
#include <swsgx/inject.h>
#include <swsgx/isa.h>

#include "control.h"

struct server_config {
	uint64_t epc_size;		/* bytes; whole pages, > 0 */
	const struct isa_profile *profile;
	/* What clients find it by: letters, digits, '.', '_', '-'.  NULL: a random one. */
	const char *name;
	/* Leaves that are to fail; used until server_destroy().  NULL: none. */
	struct inject_plan *inject;
	/* SGX_EPC_LEAK_ABORT ends the process: to programs, as if power were lost. */
	enum sgx_epc_on_leak on_leak;
	bool no_overcommit;		/* what does not fit into EPC is refused, not paged */
};

/* What keeps a server running; each a descriptor, -1 where there is none. */
struct server_needs {
	int program;	/* pidfd of the program it is for */
	int lifeline;	/* read end of a pipe whose write end programs inherit */
	int stop;	/* until it is readable, and then no longer, needed or not */
};

struct server;

/**
 * server_create() - power on a machine and open its devices.
 * @out: set on success; the caller's until server_destroy().
 * The devices accept connections from here on; they are served by server_run().
 * The program starts here: injection rules that do not count from boot count
 * from here on.
 * Return: 0; -EINVAL no name can be like this; -EADDRINUSE a server of this name
 * runs; -ENOMEM the EPC does not fit into memory; other -errno from socket(2),
 * bind(2), getrandom(2).
 */
int server_create(const struct server_config *config, struct server **out);

/** server_name() - what clients find it by; the value of PROTO_ENV. */
const char *server_name(const struct server *s);

/**
 * server_run() - serve until nobody needs the machine any more.
 * Return: 0 once needs->program is gone, needs->lifeline is closed and no
 * device is open; -errno when the event loop cannot be set up; 1 on
 * needs->stop: calls may still be running, so the process has to end without
 * server_destroy().
 */
int server_run(struct server *s, const struct server_needs *needs);

/**
 * server_stat() - the EPC's counters; exact while no call is being served.
 * Context: any thread.
 */
struct sgx_epc_stat server_stat(const struct server *s);

/** server_snapshot() - what CONTROL_STAT answers.  Context: any thread. */
void server_snapshot(const struct server *s, struct control_stat *stat);

/**
 * server_leaks() - what CONTROL_LEAKS answers: rows from @first on.
 * Context: any thread.  Return: how many.
 */
size_t server_leaks(const struct server *s, uint64_t first,
		    struct control_leak rows[CONTROL_LEAKS_AT_ONCE]);

/** server_destroy() - NULL is fine. */
void server_destroy(struct server *s);

#endif /* SWSGX_SERVER_H */
