/* SPDX-License-Identifier: BSD-3-Clause */
/* EEXIT without a trap; see exits.c. */
#ifndef SWSGX_CLIENT_EXITS_H
#define SWSGX_CLIENT_EXITS_H

#include "../server/counts.h"

#include "client.h"

/* Labels of the exit in enter.S, in this order. */
extern const char client_vdso_return[];	/* where our function wants to be returned to */
extern const char client_exit_begin[], client_exit_real[], client_exit_commit[],
	client_exit_free[], client_exit_freed[], client_exit_done[];
extern const char client_leave_begin[], client_leave_free[], client_leave_flags[],
	client_leave_freed[], client_leave_restored[], client_leave_done[];

/* How far from ELRANGE the place is at most that jumps lead to. */
#define EXITS_REACH 0x400000u

/** exits_are_exact() - did the user ask that nothing be replaced for speed? */
bool exits_are_exact(void);

/**
 * exits_match() - is there something to replace before the ENCLU at @site?
 * @start: of executable memory.
 * @made: set when it was replaced already, by a process we share the enclave with.
 * Return: the size from there to the ENCLU; 0 there is none.
 */
size_t exits_match(const struct client_encl *encl, const uint8_t *site, const uint8_t *start,
		   bool *made);

/**
 * exits_replace() - do so @size bytes before @site.  Not in a handler.
 * Return: what became of it.
 */
enum count_place exits_replace(struct client_encl *encl, uint8_t *site, size_t size);

/** exits_count() - count what became of the ENCLU at @site, once in the life of @encl. */
void exits_count(struct client_encl *encl, const uint8_t *site, enum count_place fate);

/**
 * exits_attach() - @encl is known to this process now: have the place its jumps
 * lead to, if it has some.  Return: 0; -1 something else is there.
 */
int exits_attach(struct client_encl *encl);

/**
 * exits_recover() - did a jump that another process made lead a thread of @encl to
 * a slot that this process does not have?
 * @is_int3: it was interrupted by one.
 * Return: true, and @r is behind what the jump replaced, as without it.
 */
CLIENT_SIGSAFE bool exits_recover(const struct client_encl *encl, struct isa_regs *r,
				  bool is_int3);

/** exits_forget() - @encl's memory goes away. */
void exits_forget(struct client_encl *encl);

/** exits_arm() - @thread has entered its enclave, which finds the registers @r. */
CLIENT_SIGSAFE void exits_arm(struct client_thread *thread, const struct isa_regs *r);

/** exits_disarm() - @thread has left by another way. */
CLIENT_SIGSAFE void exits_disarm(struct client_thread *thread);

/** exits_prepare() - @thread is about to enter, by our function with these registers. */
CLIENT_SIGSAFE void exits_prepare(struct client_thread *thread, const struct isa_regs *entered);

/**
 * exits_interrupted() - a signal found @thread with registers @r.
 * Return: EXIT_AHEAD when it was not at the ENCLU yet: @r is where it would be in the
 * enclave's own code; EXIT_BEGUN when it was on the way out: @r is at the ENCLU now;
 * EXIT_DONE when it was through, and @r is outside; EXIT_NONE: not ours.
 */
enum exit_state { EXIT_NONE, EXIT_AHEAD, EXIT_BEGUN, EXIT_DONE };
CLIENT_SIGSAFE enum exit_state exits_interrupted(struct client_thread *thread,
						 struct isa_regs *r);

#endif /* SWSGX_CLIENT_EXITS_H */
