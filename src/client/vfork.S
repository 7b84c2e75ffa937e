/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfork(), in front of libc's: the child runs in its parent's memory, and what it
 * changes of itself must not change what is noted here of the parent.  Asking for the
 * number of the process tells the two apart, but costs more than most of what asks.
 *
 * The child returns first, on this very stack: so the return address is kept in a register.
 */
#define SYS_VFORK 58
#define MAX_ERRNO 4095

	.text
	.globl	vfork, __vfork
	.type	vfork, @function
	.type	__vfork, @function
vfork:
__vfork:
	.cfi_startproc
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	.cfi_register %rip, %rdi
	movq	client_borrowed@gottpoff(%rip), %rcx
	incl	%fs:(%rcx)
	movl	$SYS_VFORK, %eax
	syscall
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rip, 0
	testq	%rax, %rax
	je	.Lchild
	movq	client_borrowed@gottpoff(%rip), %rcx
	decl	%fs:(%rcx)
	cmpq	$-MAX_ERRNO, %rax
	jae	.Lfailed
.Lchild:
	ret

.Lfailed:
	pushq	%rax
	.cfi_adjust_cfa_offset 8
	call	__errno_location@PLT
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	negl	%ecx
	movl	%ecx, (%rax)
	movq	$-1, %rax
	ret
	.cfi_endproc
	.size	vfork, . - vfork
	.size	__vfork, . - __vfork

	.section .note.GNU-stack, "", @progbits
