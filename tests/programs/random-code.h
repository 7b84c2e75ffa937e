/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random code that keeps its whole state in registers, so that whatever disturbs
 * one bit of them at any time shows in the end.
 */
#ifndef TEST_RANDOM_CODE_H
#define TEST_RANDOM_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Flags whose value the instructions used leave undefined now and then: AF, OF */
#define RANDOM_CODE_UNDEFINED_FLAGS 0x810u

/**
 * random_code() - write a C function of a struct test_op.
 * @code: where to; the code works at any address, on a stack it may use below RSP.
 * @size: room there; 4096 is enough for 400 instructions.
 * @nr_insns: how many there are in its loop.
 * @avx: use the upper halves of the vector registers as well.
 * @seed: which code; not 0.
 *
 * The function loads general registers, flags and vector registers from @set and
 * @vec_set, goes @value times around the loop, and stores into @got and @vec_got
 * what they are then.  Four x87 registers begin with constants and end in @pad.
 *
 * Return: bytes written; 0 when they do not fit.
 */
size_t random_code(uint8_t *code, size_t size, unsigned int nr_insns, bool avx, uint64_t seed);

#endif /* TEST_RANDOM_CODE_H */
