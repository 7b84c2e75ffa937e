/* SPDX-License-Identifier: BSD-3-Clause */
/* Decoding instructions, to find out whether some bytes are one. */
#ifndef SWSGX_CLIENT_DECODE_H
#define SWSGX_CLIENT_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct decoded {
	uint8_t length;
	bool privileged;	/* of no use in a program */
	bool end;		/* execution does not go on behind it */
	bool branch;		/* or it may go on elsewhere, or in the kernel */
	bool relative;		/* it depends on where it stands */
	uint8_t disp_offset;	/* of a 32-bit displacement from RIP, of an operand; 0: none */
	int64_t target;		/* of a direct branch, from its start; 0: none */
};

/** decoder_load() - get ready, if not done yet.  false: the library is not there. */
bool decoder_load(void);

/** decoder_decode() - the instruction at @code, of at most @size bytes; false: none. */
bool decoder_decode(const uint8_t *code, size_t size, struct decoded *out);

/**
 * decoder_is_plain() - does the instruction at @code do nothing but compute with
 * general registers and flags, without changing RAX or a way to fail?
 * @length: set to its length, when it does.
 */
bool decoder_is_plain(const uint8_t *code, size_t size, uint8_t *length);

#endif /* SWSGX_CLIENT_DECODE_H */
