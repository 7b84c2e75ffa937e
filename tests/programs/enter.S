/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Entering an enclave with every register under control, which C has not.
 */
#include "enclave/op.h"

/* struct test_aep */
#define TEST_AEP_TCS 8
#define TEST_AEP_RDI 16

	.macro	save_callee
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	.endm

	.macro	restore_callee
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	.endm

	/* All that an entry passes on, RDI last because it points to them. */
	.macro	load_regs
	mov	8 * R_RDX(%rdi), %rdx
	mov	8 * R_RBP(%rdi), %rbp
	mov	8 * R_RSI(%rdi), %rsi
	mov	8 * R_R8(%rdi), %r8
	mov	8 * R_R9(%rdi), %r9
	mov	8 * R_R10(%rdi), %r10
	mov	8 * R_R11(%rdi), %r11
	mov	8 * R_R12(%rdi), %r12
	mov	8 * R_R13(%rdi), %r13
	mov	8 * R_R14(%rdi), %r14
	mov	8 * R_R15(%rdi), %r15
	mov	8 * R_RDI(%rdi), %rdi
	.endm

	/* @slot: where on the stack the address of the registers is. */
	.macro	store_regs slot
	push	%rdi
	mov	8 + \slot(%rsp), %rdi
	mov	%rax, 8 * R_RAX(%rdi)
	mov	%rcx, 8 * R_RCX(%rdi)
	mov	%rdx, 8 * R_RDX(%rdi)
	mov	%rbx, 8 * R_RBX(%rdi)
	mov	%rbp, 8 * R_RBP(%rdi)
	mov	%rsi, 8 * R_RSI(%rdi)
	mov	%r8, 8 * R_R8(%rdi)
	mov	%r9, 8 * R_R9(%rdi)
	mov	%r10, 8 * R_R10(%rdi)
	mov	%r11, 8 * R_R11(%rdi)
	mov	%r12, 8 * R_R12(%rdi)
	mov	%r13, 8 * R_R13(%rdi)
	mov	%r14, 8 * R_R14(%rdi)
	mov	%r15, 8 * R_R15(%rdi)
	popq	8 * R_RDI(%rdi)
	mov	%rsp, 8 * R_RSP(%rdi)
	.endm

	.text
	.globl	enter_vdso
	.type	enter_vdso, @function
enter_vdso:
	save_callee
	mov	%rsp, %rax
	test	%r8, %r8
	cmovnz	%r8, %rsp
	and	$-16, %rsp
	push	%rax			/* the caller's stack */
	push	%rcx			/* fn */
	push	%rdi			/* regs */
	push	%rsi			/* run: the argument on the stack */
	mov	%edx, %ecx
	mov	8 * R_RBX(%rdi), %rbx
	load_regs
	call	*16(%rsp)
	/* An asynchronous exit leaves DF as the enclave had it. */
	cld
	store_regs 8
	mov	24(%rsp), %rsp
	restore_callee
	ret
	.size	enter_vdso, . - enter_vdso

	.globl	enter_raw
	.type	enter_raw, @function
enter_raw:
	save_callee
	push	%rdi			/* regs */
	mov	%rsi, %rbx
	mov	%edx, %eax
	load_regs
	lea	enter_raw_aep(%rip), %rcx
	.globl	enter_raw_aep
enter_raw_aep:
	enclu
	store_regs 0
	add	$8, %rsp
	restore_callee
	ret
	.size	enter_raw, . - enter_raw

	.globl	enter_aep
	.type	enter_aep, @function
enter_aep:
	save_callee
	mov	%rsp, %rax
	mov	%rcx, %rsp
	push	%rax			/* the caller's stack */
	push	%rdi			/* regs */
	mov	%rsi, %rbx
	mov	%rsi, TEST_AEP_TCS + enter_aep_hook(%rip)
	mov	%edx, %eax
	load_regs
	lea	enter_aep_aep(%rip), %rcx
	enclu
.Lleave_aep:
	store_regs 0
	mov	8(%rsp), %rsp
	restore_callee
	ret

	.globl	enter_aep_aep
enter_aep_aep:
	cld
	mov	%eax, %edi
	call	*enter_aep_hook(%rip)
	test	%eax, %eax
	jz	.Lleave_aep
	mov	TEST_AEP_TCS + enter_aep_hook(%rip), %rbx
	mov	TEST_AEP_RDI + enter_aep_hook(%rip), %rdi
	lea	enter_aep_aep(%rip), %rcx
	enclu
	jmp	enter_aep_aep
	.size	enter_aep, . - enter_aep

	.bss
	.balign	8
	.globl	enter_aep_hook
enter_aep_hook:
	.skip	24

	.section .note.GNU-stack, "", @progbits
