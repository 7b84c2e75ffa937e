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
#include <swsgx/isa.h>

struct server_config {
	uint64_t epc_size;		/* bytes; whole pages, > 0 */
	const struct isa_profile *profile;
};

struct server;

/**
 * server_create() - power on a machine and open its devices.
 * @out: set on success; the caller's until server_destroy().
 * The devices accept connections from here on; they are served by server_run().
 * Return: 0; -ENOMEM the EPC does not fit into memory; other -errno from
 * socket(2), bind(2), getrandom(2).
 */
int server_create(const struct server_config *config, struct server **out);

/** server_name() - what clients find it by; the value of PROTO_ENV. */
const char *server_name(const struct server *s);

/**
 * server_run() - serve until nobody needs the machine any more.
 * @program: pidfd of the program the server is for, or -1.
 * @lifeline: read end of a pipe whose write end the program's processes
 *            inherit; -1 for none.
 * Return: 0 once @program is gone, @lifeline is closed and no device is open;
 * -errno when the event loop cannot be set up.
 */
int server_run(struct server *s, int program, int lifeline);

/**
 * server_stat() - the EPC's counters; exact while no call is being served.
 * Context: any thread.
 */
struct sgx_epc_stat server_stat(const struct server *s);

/** server_destroy() - NULL is fine. */
void server_destroy(struct server *s);

#endif /* SWSGX_SERVER_H */
