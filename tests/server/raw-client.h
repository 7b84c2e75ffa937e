/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server in this process, and a client of it that speaks proto.h by hand:
 * as a well-behaved client does, or step by step and wrongly.
 */
#ifndef TESTS_SERVER_RAW_CLIENT_H
#define TESTS_SERVER_RAW_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>

#include <asm/sgx.h>
#include <swsgx/arch.h>
#include <swsgx/epc.h>
#include <swsgx/isa.h>

#include "control.h"
#include "proto.h"
#include "server.h"

/* --- a machine that is served by a thread ---------------------------------- */

struct machine {
	struct server *server;
	pthread_t thread;
	int lifeline;		/* write end; -1: let go */
	int result;		/* of server_run() */
	unsigned int nr_fds;	/* of this process, before it was created */
};

/* EPC of each enclave besides what it asked for: where versions of evicted pages go. */
#define RAW_VA_PAGES 1u

void machine_start(struct machine *m, uint64_t nr_pages);
void machine_start_with(struct machine *m, const struct server_config *config);

/** machine_let_go() - close the lifeline. */
void machine_let_go(struct machine *m);

/** machine_has_ended() - does server_run() return within @ms milliseconds? */
bool machine_has_ended(struct machine *m, unsigned int ms);

/**
 * machine_stop() - let go, wait for the end, and look after it: every EPC page
 * is free again and no descriptor is left.
 */
void machine_stop(struct machine *m);

/** machine_await_idle() - wait until no EPC page is in use; none may be lost. */
void machine_await_idle(struct machine *m);

/* cmocka setup and teardown: *state is a struct machine with 1024 pages. */
int machine_setup(void **state);
int machine_teardown(void **state);

unsigned int count_fds(void);

/** settled_fds() - the same, when it stays: a worker closes its end only after we read DONE. */
unsigned int settled_fds(void);

/** others_fall_asleep() - the server comes to rest: none of its threads runs, or would like to. */
bool others_fall_asleep(void);

/** assert_fds_become() - wait until the server let go of what it held. */
void assert_fds_become(unsigned int expected);

unsigned int count_threads(void);

/* --- one call, step by step -------------------------------------------------- */

/* How long anything the server owes us may take. */
#define RAW_PATIENCE_S 10

/** raw_connect() - open a device of @m; the descriptor, or -errno. */
int raw_connect(const struct machine *m, const char *device);

/** raw_open() - the enclave device; fails the test when it cannot. */
int raw_open(const struct machine *m);

/** raw_send() - @size bytes and @nr_fds descriptors as one datagram.  0 or -errno. */
int raw_send(int sock, const void *data, size_t size, const int *fds, size_t nr_fds);

/** raw_begin() - send @req with a fresh reply end; our end of it, or -errno. */
int raw_begin(int sock, const struct proto_request *req);

struct raw_frame {
	struct proto_frame frame;
	uint8_t data[4096];
	size_t data_size;
	int fds[PROTO_NR_FILES]; /* -1: there was none */
};

/** raw_receive() - the server's next frame; false when it hung up, or says nothing. */
bool raw_receive(int reply, struct raw_frame *f);

/** raw_answer() - @size bytes at @data, or -errno from the socket. */
int raw_answer(int reply, int error, const void *data, size_t size);

/** raw_serve() - answer @f as the protocol says, from this process's memory. */
void raw_serve(int reply, const struct raw_frame *f);

/** raw_finish() - serve questions up to DONE, and close.  false: cut off. */
bool raw_finish(int reply, struct raw_frame *done);

/** raw_is_cut_off() - has the server hung up on @fd, or does it soon? */
bool raw_is_cut_off(int fd);

/**
 * raw_control() - ask on @sock, of PROTO_CONTROL, and copy what follows the header
 * to @dst.  Return: structures in the answer; -errno in it; -ENODEV cut off;
 * -EMSGSIZE more than @size bytes.
 */
long raw_control(int sock, uint32_t op, uint64_t first, void *dst, size_t size);

/* --- whole calls: the result, or -ENODEV when cut off --------------------------- */

int64_t raw_ioctl(int sock, unsigned int cmd, void *arg);
int64_t raw_may_map(int sock, uint64_t start, uint64_t end, int prot);
struct isa_outcome raw_enclu(int sock, uint32_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx);

/* What ATTACH gives. */
struct raw_attached {
	uint8_t *pages;		/* NULL: there is no enclave */
	struct proto_shared *shared;
	const uint16_t *mirror;
	uint64_t base, size, shared_size;
	int64_t error;		/* 0 or -errno of the server's */
	int fds[PROTO_NR_FILES];
};

/** raw_attach() - as a process whose pages cannot be taken from it. */
bool raw_attach(int sock, struct raw_attached *a);

/** raw_attach_joining() - @joins: with the promise of raw_join(). */
bool raw_attach_joining(int sock, bool joins, struct raw_attached *a);
void raw_detach(struct raw_attached *a);

/** raw_join() - JOIN with @nr descriptors. */
int64_t raw_join(int sock, const int *uffds, size_t nr, uint64_t alias, bool again);

/** raw_fault() - FAULT at @la, with SECINFO_R, _W or _X. */
int64_t raw_fault(int sock, uint64_t la, uint64_t rwx);

/** raw_free_tcs() - FREE_TCS at @la. */
int64_t raw_free_tcs(int sock, uint64_t la);

int64_t raw_create(int sock, const struct sgx_secs *secs);
int64_t raw_add_pages(int sock, uint64_t offset, const void *src, uint64_t length,
		      uint64_t secinfo_flags, uint64_t flags);
int64_t raw_init(int sock);

/** raw_build() - CREATE, ADD_PAGES and INIT of the enclave of isa/fixture.h.  0 or -errno. */
int64_t raw_build(int sock);

/** raw_works() - does the enclave raw_build() made report and derive keys? */
bool raw_works(int sock);

#endif /* TESTS_SERVER_RAW_CLIENT_H */
