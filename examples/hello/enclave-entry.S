/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TCS page and the entry point of the hello enclave.
 *
 * EENTER arrives with RAX = TCS.CSSA, RBX = the TCS, RCX = where to go back to
 * and everything else, stack pointer included, as the program left it.  So the
 * first thing is a stack of our own, the last to leave nothing behind.
 */
#include "layout.h"

#define ENCLU_EEXIT 4
#define RFLAGS_AC_DF 0x40400

	.section .tcs, "a"
	.fill	2, 8, 0			/* STATE, FLAGS */
	.quad	HELLO_SSA_OFFSET	/* OSSA */
	.long	0			/* CSSA */
	.long	HELLO_NSSA		/* NSSA */
	.quad	enclave_entry		/* OENTRY: linked at 0, so an offset */
	.quad	0			/* AEP */
	.quad	HELLO_DATA_OFFSET	/* OFSBASE */
	.quad	HELLO_DATA_OFFSET	/* OGSBASE */
	.long	0xffffffff		/* FSLIMIT */
	.long	0xffffffff		/* GSLIMIT */

	.text
	.globl	enclave_entry
	.type	enclave_entry, @function
enclave_entry:
	/* A second entry while the first is interrupted has no business here. */
	test	%rax, %rax
	jnz	1f

	mov	%rsp, %rax
	lea	enclave_stack_top(%rip), %rsp
	push	%rax
	push	%rbp
	push	%rcx
	pushfq
	andq	$~RFLAGS_AC_DF, (%rsp)
	popfq
	sub	$8, %rsp
	call	enclave_main
	add	$8, %rsp
	pop	%rcx
	pop	%rbp
	pop	%rsp
1:
	mov	%rcx, %rbx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	mov	$ENCLU_EEXIT, %eax
	enclu
	ud2
	.size	enclave_entry, . - enclave_entry

	.section .note.GNU-stack, "", @progbits
