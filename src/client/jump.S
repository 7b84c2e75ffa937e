/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * setjmp(), getcontext() and their like, in front of libc's: they return to where they were
 * called from, more than once, so there is no frame of ours in between.  What they
 * leave with the signal mask of the program is in masks.c.  And dlsym(), for which the
 * same holds, and what it leads to is in rewrite.c.
 */
#define SETJMP 0
#define SIGSETJMP 1
#define LONGJMP 2
#define LONGJMP_CHK 3
#define GETCONTEXT 4
#define SETCONTEXT 5
#define SWAPCONTEXT 6

#define SAVED_MASK 72	/* in a jmp_buf */
#define UC_SIGMASK 296	/* in a ucontext_t */

	.text

	/* Both arguments are kept; FN gets A and B, which are made of them. */
	.macro	then next, fn, a, b
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	movq	%rdi, %rax
	movq	%rsi, %rcx
	leaq	\a, %rdi
	leaq	\b, %rsi
	call	\fn
	movq	client_jump_next+8*\next(%rip), %rax
	testq	%rax, %rax
	jne	1f
	call	client_jump_find
	movq	client_jump_next+8*\next(%rip), %rax
1:	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	popq	%rsi
	.cfi_adjust_cfa_offset -8
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	jmp	*%rax
	.endm

	.macro	begin name
	.globl	\name
	.type	\name, @function
\name:
	.endm

	.macro	end name
	.size	\name, . - \name
	.endm

	begin	setjmp
	.cfi_startproc
	then	SETJMP, client_mask_save, SAVED_MASK(%rax), (%rcx)
	.cfi_endproc
	end	setjmp

	/* Without a mask the buffer may be shorter. */
	begin	__sigsetjmp
	.cfi_startproc
	testl	%esi, %esi
	je	2f
	then	SIGSETJMP, client_mask_save, SAVED_MASK(%rax), (%rcx)
2:	then	SIGSETJMP, client_no_mask, (%rax), (%rcx)
	.cfi_endproc
	end	__sigsetjmp

	begin	longjmp
	begin	_longjmp
	begin	siglongjmp
	.cfi_startproc
	then	LONGJMP, client_jump, (%rax), (%rcx)
	.cfi_endproc
	end	longjmp
	end	_longjmp
	end	siglongjmp

	begin	__longjmp_chk
	.cfi_startproc
	then	LONGJMP_CHK, client_jump, (%rax), (%rcx)
	.cfi_endproc
	end	__longjmp_chk

	begin	getcontext
	.cfi_startproc
	then	GETCONTEXT, client_mask_save, UC_SIGMASK(%rax), (%rcx)
	.cfi_endproc
	end	getcontext

	begin	setcontext
	.cfi_startproc
	then	SETCONTEXT, client_context_leave, 0, (%rax)
	.cfi_endproc
	end	setcontext

	begin	swapcontext
	.cfi_startproc
	then	SWAPCONTEXT, client_context_leave, (%rax), (%rcx)
	.cfi_endproc
	end	swapcontext

	/* By the address it returns to libc knows whose libraries it looks through. */
	begin	dlsym
	.cfi_startproc
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	client_symbol_wanted
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	popq	%rsi
	.cfi_adjust_cfa_offset -8
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	jmp	*client_dlsym_next(%rip)
	.cfi_endproc
	end	dlsym

	.type	client_no_mask, @function
client_no_mask:
	ret
	.size	client_no_mask, . - client_no_mask

	.section .note.GNU-stack, "", @progbits
