/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Entry point of the test enclave, and the operations that need every register
 * for themselves.
 *
 * The stack of a thread lies below its TCS, one page for each SSA frame, so that
 * an entry into an interrupted thread does not step on what it interrupted.
 * The operations below use static save areas: one thread at a time.
 */
#include "op.h"

	.macro	dump_regs base, offset
	mov	%rax, \offset + 8 * R_RAX\base
	mov	%rcx, \offset + 8 * R_RCX\base
	mov	%rdx, \offset + 8 * R_RDX\base
	mov	%rbx, \offset + 8 * R_RBX\base
	mov	%rsp, \offset + 8 * R_RSP\base
	mov	%rbp, \offset + 8 * R_RBP\base
	mov	%rsi, \offset + 8 * R_RSI\base
	mov	%rdi, \offset + 8 * R_RDI\base
	mov	%r8, \offset + 8 * R_R8\base
	mov	%r9, \offset + 8 * R_R9\base
	mov	%r10, \offset + 8 * R_R10\base
	mov	%r11, \offset + 8 * R_R11\base
	mov	%r12, \offset + 8 * R_R12\base
	mov	%r13, \offset + 8 * R_R13\base
	mov	%r14, \offset + 8 * R_R14\base
	mov	%r15, \offset + 8 * R_R15\base
	.endm

	/* All but RAX, RBX, RSP, RBP and RDI, from the operation RDI points to. */
	.macro	load_exit_regs
	mov	OP_SET + 8 * R_RCX(%rdi), %rcx
	mov	OP_SET + 8 * R_RDX(%rdi), %rdx
	mov	OP_SET + 8 * R_RSI(%rdi), %rsi
	mov	OP_SET + 8 * R_R8(%rdi), %r8
	mov	OP_SET + 8 * R_R9(%rdi), %r9
	mov	OP_SET + 8 * R_R10(%rdi), %r10
	mov	OP_SET + 8 * R_R11(%rdi), %r11
	mov	OP_SET + 8 * R_R12(%rdi), %r12
	mov	OP_SET + 8 * R_R13(%rdi), %r13
	mov	OP_SET + 8 * R_R14(%rdi), %r14
	mov	OP_SET + 8 * R_R15(%rdi), %r15
	.endm

	/* Flags first: no mov changes them. */
	.macro	load_all_regs
	push	OP_SET + 8 * R_RFLAGS(%rdi)
	popfq
	mov	OP_SET + 8 * R_RAX(%rdi), %rax
	mov	OP_SET + 8 * R_RBX(%rdi), %rbx
	mov	OP_SET + 8 * R_RSP(%rdi), %rsp
	mov	OP_SET + 8 * R_RBP(%rdi), %rbp
	load_exit_regs
	mov	OP_SET + 8 * R_RDI(%rdi), %rdi
	.endm

	/* vec movups, xmm: one instruction for each of the sixteen registers */
	.macro	vec_load insn, reg
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\insn	OP_VEC_SET + 32 * \n(%rdi), %\reg\n
	.endr
	.endm

	.macro	vec_store insn, reg
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\insn	%\reg\n, OP_VEC_GOT + 32 * \n(%rdi)
	.endr
	.endm

	.macro	count_down
1:	decq	saved_count(%rip)
	jnz	1b
	.endm

	.text
	.globl	enclave_entry
	.type	enclave_entry, @function
enclave_entry:
	test	%rdi, %rdi
	jz	leave_at_once
	cmp	$OP_LEAVE_BY_TRAP, %rdi
	je	leave_by_trap
	dump_regs "(%rdi)", OP_ENTRY
	rdfsbase %r11
	mov	%r11, OP_ENTRY + 8 * R_FSBASE(%rdi)
	rdgsbase %r11
	mov	%r11, OP_ENTRY + 8 * R_GSBASE(%rdi)

	shl	$12, %rax
	mov	%rbx, %r10
	sub	%rax, %r10
	mov	%rsp, %r11
	mov	%r10, %rsp
	push	%r11
	push	%rbp
	push	%rcx
	push	%rdi
	cld

	mov	OP_KIND(%rdi), %rax
	cmp	$OP_REGS_PROBE, %rax
	je	regs_probe
	cmp	$OP_REGS_SPIN, %rax
	je	regs_spin
	cmp	$OP_XMM_PROBE, %rax
	je	xmm_probe
	cmp	$OP_XMM_SPIN, %rax
	je	xmm_spin
	cmp	$OP_YMM_PROBE, %rax
	je	ymm_probe
	cmp	$OP_YMM_SPIN, %rax
	je	ymm_spin
	cmp	$OP_EXIT_REGS, %rax
	je	exit_regs
	call	enclave_op

leave:
	pop	%rdi
	pop	%rcx
	pop	%rbp
	pop	%rsp
leave_at_once:
	mov	%rcx, %rbx
	mov	$4, %eax
	enclu
	ud2

	/* No exit that can be replaced: EAX is written twice. */
leave_by_trap:
	mov	%rcx, %rbx
	mov	$4, %eax
	mov	%eax, %eax
	enclu
	ud2

exit_regs:
	pop	%rdi
	pop	%rcx
	pop	%rbp
	pop	%rsp
	mov	%rcx, %rbx
	load_exit_regs
	mov	OP_SET + 8 * R_RDI(%rdi), %rdi
	mov	$4, %eax
	enclu
	ud2

regs_probe:
	mov	%rdi, saved_op(%rip)
	mov	%rsp, saved_rsp(%rip)
	load_all_regs
	/* NOT changes no flag, so they must survive as well. */
	notb	encl_probe(%rip)
	jmp	regs_report

regs_spin:
	mov	%rdi, saved_op(%rip)
	mov	%rsp, saved_rsp(%rip)
	mov	OP_VALUE(%rdi), %rax
	mov	%rax, saved_count(%rip)
	load_all_regs
	count_down

regs_report:
	dump_regs "(%rip)", saved_regs
	mov	saved_rsp(%rip), %rsp
	pushfq
	pop	%rax
	mov	%rax, saved_regs + 8 * R_RFLAGS(%rip)
	cld
	lea	saved_regs(%rip), %rsi
	mov	saved_op(%rip), %rdi
	add	$OP_GOT, %rdi
	mov	$NR_REGS, %ecx
	rep movsq
	jmp	leave

	/* x87 and MXCSR travel with the vector registers. */
xmm_probe:
	vec_load movups, xmm
	ldmxcsr	OP_VALUE(%rdi)
	fildq	OP_VALUE(%rdi)
	notb	encl_probe(%rip)
	jmp	xmm_report

xmm_spin:
	mov	OP_VALUE(%rdi), %rax
	shr	$16, %rax
	mov	%rax, saved_count(%rip)
	vec_load movups, xmm
	ldmxcsr	op_mxcsr(%rip)
	fildq	OP_VALUE(%rdi)
	count_down

xmm_report:
	vec_store movups, xmm
	jmp	x87_report

ymm_probe:
	vec_load vmovups, ymm
	ldmxcsr	OP_VALUE(%rdi)
	fildq	OP_VALUE(%rdi)
	notb	encl_probe(%rip)
	jmp	ymm_report

ymm_spin:
	mov	OP_VALUE(%rdi), %rax
	shr	$16, %rax
	mov	%rax, saved_count(%rip)
	vec_load vmovups, ymm
	ldmxcsr	op_mxcsr(%rip)
	fildq	OP_VALUE(%rdi)
	count_down

ymm_report:
	vec_store vmovups, ymm
	vzeroupper
x87_report:
	stmxcsr	24(%rdi)
	fistpq	OP_RESULT2(%rdi)
	ldmxcsr	default_mxcsr(%rip)
	jmp	leave
	.size	enclave_entry, . - enclave_entry

	.section .rodata
	.balign	4
default_mxcsr:
	.long	0x1f80
op_mxcsr:
	.long	0x5f80

	.section .bss
	.balign	8
saved_op:
	.skip	8
saved_rsp:
	.skip	8
saved_count:
	.skip	8
saved_regs:
	.skip	8 * NR_REGS

	.section .note.GNU-stack, "", @progbits
