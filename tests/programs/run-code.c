/* SPDX-License-Identifier: BSD-3-Clause */
#include "run-code.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

static_assert(8 * R_RFLAGS == 128 && offsetof(struct state, vectors) == 144, "run_code");

void run_code_start(struct state *state)
{
	memset(state, 0, sizeof(*state));
	for (unsigned int r = 0; r < 16; r++)
		state->regs[r] = r * 0x1111;
	state->regs[R_RFLAGS] = 0x202;
	__asm__ volatile("fxsave64 %0" : "=m"(state->vectors));
	for (unsigned int i = 160; i < STATE_VECTORS; i++)
		state->vectors[i] = (uint8_t)i;
}

__asm__(".text\n"
	".type run_code, @function\n"
	".globl	run_code\n.hidden	run_code\n"
	"run_code:\n"
	"	push	%rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	push	%rdi\n"
	"	push	%rsi\n"
	"	fxrstor64 144(%rdi)\n"
	"	pushq	128(%rdi)\n"
	"	mov	0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
	"	mov	40(%rdi), %rbp; mov 48(%rdi), %rsi; mov 64(%rdi), %r8; mov 72(%rdi), %r9\n"
	"	mov	80(%rdi), %r10; mov 88(%rdi), %r11; mov 96(%rdi), %r12\n"
	"	mov	104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
	"	mov	56(%rdi), %rdi\n"
	"	popfq\n"
	"	jmp	*(%rsp)\n"
	".globl	run_code_end\n.hidden	run_code_end\n"
	"run_code_end:\n"
	"	pushfq\n"
	"	push	%rdi\n"
	"	mov	24(%rsp), %rdi\n"
	"	mov	%rax, 0(%rdi); mov %rcx, 8(%rdi); mov %rdx, 16(%rdi); mov %rbx, 24(%rdi)\n"
	"	mov	%rbp, 40(%rdi); mov %rsi, 48(%rdi); mov %r8, 64(%rdi); mov %r9, 72(%rdi)\n"
	"	mov	%r10, 80(%rdi); mov %r11, 88(%rdi); mov %r12, 96(%rdi)\n"
	"	mov	%r13, 104(%rdi); mov %r14, 112(%rdi); mov %r15, 120(%rdi)\n"
	"	pop	56(%rdi)\n"
	"	pop	128(%rdi)\n"
	"	mov	%rsp, 32(%rdi)\n"
	"	fxsave64 144(%rdi)\n"
	"	cld\n"
	"	add	$16, %rsp\n"
	"	pop	%r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	".size run_code, . - run_code\n");
