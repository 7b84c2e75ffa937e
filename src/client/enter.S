/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The function our vDSO exports as __vdso_sgx_enter_enclave: the contract of
 * Linux's <asm/sgx.h>.
 *
 * One ENCLU instruction serves as AEP and executes ERESUME, by trapping; EENTER
 * is carried out here without a trap.  Between client_enter_begin and
 * client_enter_end the thread is inside the enclave for the architecture, but
 * its registers are still ours: a signal there counts as one at the enclave's
 * first instruction (see signal.c).
 */
#define EENTER 2
#define ERESUME 3
#define EEXIT 4
#define EINVAL 22
#define SYS_RT_SIGPROCMASK 14
#define SYS_RT_SIGRETURN 15
#define SYS_GETTID 186
#define SIG_SETMASK 2

/* struct sgx_enclave_run */
#define RUN_TCS 0
#define RUN_FUNCTION 8
#define RUN_VECTOR 12
#define RUN_ERROR_CODE 14
#define RUN_ADDR 16
#define RUN_USER_HANDLER 24
#define RUN_RESERVED 40
#define RUN_SIZE 256

/* struct isa_regs */
#define REGS_RAX 0
#define REGS_RCX 8
#define REGS_RDX 16
#define REGS_RBX 24
#define REGS_RSP 32
#define REGS_RBP 40
#define REGS_RSI 48
#define REGS_RDI 56
#define REGS_R8 64
#define REGS_R9 72
#define REGS_R10 80
#define REGS_R11 88
#define REGS_R12 96
#define REGS_R13 104
#define REGS_R14 112
#define REGS_R15 120
#define REGS_RIP 128
#define REGS_RFLAGS 136
#define REGS_FSBASE 144
#define REGS_GSBASE 152
#define REGS_SIZE 160

/* struct client_thread */
#define THREAD_CRITICAL 0
#define THREAD_DEFERRED 1
#define THREAD_TID 4
#define THREAD_DEFERRED_MASK 8
#define THREAD_SELECTOR 2
#define THREAD_ENTRY 16
#define THREAD_EXIT_FRAME 176
#define THREAD_EXIT_STATE 184
#define THREAD_EXIT_COUNT 192
#define THREAD_INSIDE 224
#define THREAD_EXIT_KEY 200
#define THREAD_AEP 216
#define THREAD_HOST_FSBASE 328
#define THREAD_HOST_GSBASE 336

#define FRAME (128 + REGS_SIZE)	/* below the red zone */
#define BELOW 136		/* the red zone, and a word */

	/* Let the signals in that waited; RBX is the thread's record. */
	.macro	let_signals_in
	movb	$0, THREAD_DEFERRED(%rbx)
	movl	$SYS_RT_SIGPROCMASK, %eax
	movl	$SIG_SETMASK, %edi
	leaq	THREAD_DEFERRED_MASK(%rbx), %rsi
	xorl	%edx, %edx
	movl	$8, %r10d
	syscall
	.endm

	.text
	.globl	client_vdso_enter_enclave
	.hidden	client_vdso_enter_enclave
	.globl	client_vdso_aep, client_vdso_exception
	.hidden	client_vdso_aep, client_vdso_exception
	.globl	client_vdso_return
	.hidden	client_vdso_return
	.globl	client_enter_begin, client_enter_end
	.hidden	client_enter_begin, client_enter_end
	.type	client_vdso_enter_enclave, @function
client_vdso_enter_enclave:
	.cfi_startproc
	pushq	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	movq	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	pushq	%rbx
	.cfi_offset %rbx, -24
	pushq	$0				/* the thread's record, once inside */
	movl	%ecx, %eax

.Lfunction:
	leal	-EENTER(%rax), %ecx
	cmpl	$(ERESUME - EENTER), %ecx
	ja	.Linvalid
	movq	16(%rbp), %rcx			/* struct sgx_enclave_run */
	xorl	%ebx, %ebx
	.set	offset, RUN_RESERVED
	.rept	(RUN_SIZE - RUN_RESERVED) / 8
	orq	offset(%rcx), %rbx
	.set	offset, offset + 8
	.endr
	jnz	.Linvalid

	movq	RUN_TCS(%rcx), %rbx
	leaq	client_vdso_aep(%rip), %rcx
	cmpl	$EENTER, %eax
	je	.Leenter

client_vdso_aep:
	.byte	0x0f, 0x01, 0xd7		/* enclu */

client_vdso_return:
	/* EEXIT comes back here. */
	movq	16(%rbp), %rbx
	movl	$EEXIT, RUN_FUNCTION(%rbx)
.Lexit:
	cmpq	$0, RUN_USER_HANDLER(%rbx)
	jne	.Luser_handler
	xorl	%eax, %eax
.Lreturn:
	leaq	-8(%rbp), %rsp
	popq	%rbx
	popq	%rbp
	.cfi_remember_state
	.cfi_def_cfa %rsp, 8
	ret
	.cfi_restore_state

.Linvalid:
	movl	$-EINVAL, %eax
	jmp	.Lreturn

	/* EAX leaf, DI vector, SI error code, RDX address */
client_vdso_exception:
	movq	16(%rbp), %rbx
	movl	%eax, RUN_FUNCTION(%rbx)
	movw	%di, RUN_VECTOR(%rbx)
	movw	%si, RUN_ERROR_CODE(%rbx)
	movq	%rdx, RUN_ADDR(%rbx)
	jmp	.Lexit

	/* handler(rdi, rsi, rdx, rsp at exit, r8, r9, run), on an aligned stack */
.Luser_handler:
	movq	%rsp, %rcx
	movq	%rbx, %rax
	movq	%rsp, %rbx			/* kept for the return */
	andq	$-16, %rsp
	pushq	%rax
	pushq	%rax
	cld
	call	*RUN_USER_HANDLER(%rax)
	movq	%rbx, %rsp
	testl	%eax, %eax
	jle	.Lreturn
	jmp	.Lfunction

.Leenter:
	leaq	-REGS_SIZE(%rsp), %rsp
	movq	%rax, REGS_RAX(%rsp)
	movq	%rcx, REGS_RCX(%rsp)
	movq	%rdx, REGS_RDX(%rsp)
	movq	%rbx, REGS_RBX(%rsp)
	movq	%rbp, REGS_RBP(%rsp)
	movq	%rsi, REGS_RSI(%rsp)
	movq	%rdi, REGS_RDI(%rsp)
	movq	%r8, REGS_R8(%rsp)
	movq	%r9, REGS_R9(%rsp)
	movq	%r10, REGS_R10(%rsp)
	movq	%r11, REGS_R11(%rsp)
	movq	%r12, REGS_R12(%rsp)
	movq	%r13, REGS_R13(%rsp)
	movq	%r14, REGS_R14(%rsp)
	movq	%r15, REGS_R15(%rsp)
	leaq	REGS_SIZE(%rsp), %rax
	movq	%rax, REGS_RSP(%rsp)
	leaq	client_vdso_aep(%rip), %rax
	movq	%rax, REGS_RIP(%rsp)
	pushfq
	popq	REGS_RFLAGS(%rsp)
	movq	%rsp, %rdi
	movq	%rsp, %rbx
	andq	$-16, %rsp
	cld
	call	client_enter_fast
client_enter_begin:
	testq	%rax, %rax
	jnz	.Lnot_entered
	movb	$0, THREAD_CRITICAL(%rdx)
	cmpb	$0, THREAD_DEFERRED(%rdx)
	jne	.Ldeferred
.Lload:
	movq	(THREAD_ENTRY + REGS_FSBASE)(%rdx), %rax
	wrfsbase %rax
	movq	(THREAD_ENTRY + REGS_GSBASE)(%rdx), %rax
	wrgsbase %rax
	movq	(THREAD_ENTRY + REGS_RSP)(%rdx), %rsp
	movq	(THREAD_ENTRY + REGS_RIP)(%rdx), %rax
	/* Below what code without a frame may keep there. */
	movq	%rax, -BELOW(%rsp)
	movq	(THREAD_ENTRY + REGS_RAX)(%rdx), %rax
	movq	(THREAD_ENTRY + REGS_RCX)(%rdx), %rcx
	movq	(THREAD_ENTRY + REGS_RBX)(%rdx), %rbx
	movq	(THREAD_ENTRY + REGS_RBP)(%rdx), %rbp
	movq	(THREAD_ENTRY + REGS_RSI)(%rdx), %rsi
	movq	(THREAD_ENTRY + REGS_RDI)(%rdx), %rdi
	movq	(THREAD_ENTRY + REGS_R8)(%rdx), %r8
	movq	(THREAD_ENTRY + REGS_R9)(%rdx), %r9
	movq	(THREAD_ENTRY + REGS_R10)(%rdx), %r10
	movq	(THREAD_ENTRY + REGS_R11)(%rdx), %r11
	movq	(THREAD_ENTRY + REGS_R12)(%rdx), %r12
	movq	(THREAD_ENTRY + REGS_R13)(%rdx), %r13
	movq	(THREAD_ENTRY + REGS_R14)(%rdx), %r14
	movq	(THREAD_ENTRY + REGS_R15)(%rdx), %r15
	movq	(THREAD_ENTRY + REGS_RDX)(%rdx), %rdx
	jmp	*-BELOW(%rsp)

	/* They interrupt the enclave now. */
.Ldeferred:
	movq	%rdx, %rbx
	let_signals_in
	movq	%rbx, %rdx
	jmp	.Lload

	/* From an ENCLU of the program's own, whose flags the enclave gets. */
.Lprogram_entered:
	movb	$0, THREAD_CRITICAL(%rbx)
	cmpb	$0, THREAD_DEFERRED(%rbx)
	je	.Lprogram_flags
	let_signals_in
.Lprogram_flags:
	movq	%rbx, %rdx
	pushq	(THREAD_ENTRY + REGS_RFLAGS)(%rdx)
	popfq
	jmp	.Lload
client_enter_end:

	/* A fault of EENTER, or (RAX = -1) the trap must do it. */
.Lnot_entered:
	movq	%rbx, %rsp
	movq	REGS_R8(%rsp), %r8
	movq	REGS_R9(%rsp), %r9
	movq	REGS_R10(%rsp), %r10
	movq	REGS_R11(%rsp), %r11
	cmpq	$-1, %rax
	je	.Ltrap
	leaq	REGS_SIZE(%rsp), %rsp
	movzbl	%al, %edi
	shrq	$16, %rax
	movl	%eax, %esi
	movl	$EENTER, %eax
	jmp	client_vdso_exception
.Ltrap:
	movq	REGS_RAX(%rsp), %rax
	movq	REGS_RCX(%rsp), %rcx
	movq	REGS_RDX(%rsp), %rdx
	movq	REGS_RBX(%rsp), %rbx
	movq	REGS_RSI(%rsp), %rsi
	movq	REGS_RDI(%rsp), %rdi
	leaq	REGS_SIZE(%rsp), %rsp
	jmp	client_vdso_aep
	.cfi_endproc
	.size	client_vdso_enter_enclave, . - client_vdso_enter_enclave

	/*
	 * An ENCLU of the program's own, from a slot (see entries.c), which has made
	 * room for a frame below the red zone, stored RCX there, and put the address
	 * of the ENCLU into RCX.  The frame is a struct isa_regs.  EENTER succeeds here,
	 * or nothing happens and the ENCLU is executed.  Signals find the thread there,
	 * until it is critical, or inside.
	 */
	.globl	client_program_begin, client_program_stored, client_program_pushed
	.globl	client_program_saved, client_program_restored, client_program_leave
	.globl	client_program_end
	.hidden	client_program_begin, client_program_stored, client_program_pushed
	.hidden	client_program_saved, client_program_restored, client_program_leave
	.hidden	client_program_end
client_program_begin:
	movq	%rax, REGS_RAX(%rsp)
client_program_stored:
	movq	%rcx, REGS_RIP(%rsp)
	movq	%rdx, REGS_RDX(%rsp)
	movq	%rbx, REGS_RBX(%rsp)
	movq	%rbp, REGS_RBP(%rsp)
	movq	%rsi, REGS_RSI(%rsp)
	movq	%rdi, REGS_RDI(%rsp)
	movq	%r8, REGS_R8(%rsp)
	movq	%r9, REGS_R9(%rsp)
	movq	%r10, REGS_R10(%rsp)
	movq	%r11, REGS_R11(%rsp)
	movq	%r12, REGS_R12(%rsp)
	movq	%r13, REGS_R13(%rsp)
	movq	%r14, REGS_R14(%rsp)
	movq	%r15, REGS_R15(%rsp)
	leaq	FRAME(%rsp), %rax
	movq	%rax, REGS_RSP(%rsp)
	pushfq
client_program_pushed:
	popq	REGS_RFLAGS(%rsp)
	movq	%rsp, %rbp
client_program_saved:
	cld
	andq	$-16, %rsp
	/* Is the record this thread's?  Some threads share their storage. */
	movl	$SYS_GETTID, %eax
	syscall
	movq	client_thread_tls@gottpoff(%rip), %rbx
	movq	%fs:(%rbx), %rbx
	testq	%rbx, %rbx
	jz	.Lprogram_trap
	cmpl	%eax, THREAD_TID(%rbx)
	jne	.Lprogram_trap
	movb	$1, THREAD_CRITICAL(%rbx)
	movq	%rbp, %rdi
	movq	%rbx, %rsi
	call	client_enter_program
	testb	%al, %al
	jnz	.Lprogram_entered
	movb	$0, THREAD_CRITICAL(%rbx)
	cmpb	$0, THREAD_DEFERRED(%rbx)
	je	.Lprogram_trap
	let_signals_in
.Lprogram_trap:
	movq	%rbp, %rsp
	pushq	REGS_RFLAGS(%rsp)
	popfq
	movq	REGS_RAX(%rsp), %rax
	movq	REGS_RCX(%rsp), %rcx
	movq	REGS_RDX(%rsp), %rdx
	movq	REGS_RBX(%rsp), %rbx
	movq	REGS_RSI(%rsp), %rsi
	movq	REGS_RDI(%rsp), %rdi
	movq	REGS_R8(%rsp), %r8
	movq	REGS_R9(%rsp), %r9
	movq	REGS_R10(%rsp), %r10
	movq	REGS_R11(%rsp), %r11
	movq	REGS_R12(%rsp), %r12
	movq	REGS_R13(%rsp), %r13
	movq	REGS_R14(%rsp), %r14
	movq	REGS_R15(%rsp), %r15
	movq	REGS_RBP(%rsp), %rbp
client_program_restored:
	leaq	FRAME(%rsp), %rsp
client_program_leave:
	jmp	*(REGS_RIP - FRAME)(%rsp)
client_program_end:

	/*
	 * EEXIT to client_vdso_return, from a slot: RBX is that address, RAX that
	 * of the ENCLU.  The frame may be anybody's until the thread's record agrees;
	 * a fault there ends at the ENCLU, as everything does up to the commit.  FS
	 * and GS come before INSIDE, and what sets the TCS free comes last.
	 */
	.globl	client_exit_begin, client_exit_real, client_exit_commit
	.globl	client_exit_free, client_exit_freed, client_exit_done
	.hidden	client_exit_begin, client_exit_real, client_exit_commit
	.hidden	client_exit_free, client_exit_freed, client_exit_done
client_exit_begin:
	movq	-16(%rbp), %rcx
	cmpq	%rbp, THREAD_EXIT_FRAME(%rcx)
	jne	.Lunfit
	cmpb	$0, THREAD_INSIDE(%rcx)
	jne	client_exit_commit
.Lunfit:
	movq	%rax, %rcx
client_exit_real:
	movl	$EEXIT, %eax
	jmp	*%rcx
client_exit_commit:
	movq	$0, THREAD_EXIT_KEY(%rcx)
	movb	$0, THREAD_SELECTOR(%rcx)
	movq	THREAD_HOST_FSBASE(%rcx), %rax
	wrfsbase %rax
	movq	THREAD_HOST_GSBASE(%rcx), %rax
	wrgsbase %rax
	movb	$0, THREAD_INSIDE(%rcx)
	movq	THREAD_EXIT_STATE(%rcx), %rax
	movq	$0, (%rax)
client_exit_free:
	movq	THREAD_EXIT_COUNT(%rcx), %rax
	lock subq $1, (%rax)
client_exit_freed:
	leaq	client_vdso_aep(%rip), %rcx
	movl	$EEXIT, %eax
	jmp	client_vdso_return
client_exit_done:

	/*
	 * EEXIT to anywhere, from a slot that has found out whose it is: RAX is the
	 * thread's record, whose address ends with 16 zero bits, RBX the target.  No
	 * flag may change; where one has to, RAX keeps all of them in these bits.
	 */
	.globl	client_leave_begin, client_leave_free, client_leave_flags
	.globl	client_leave_freed, client_leave_restored, client_leave_done
	.hidden	client_leave_begin, client_leave_free, client_leave_flags
	.hidden	client_leave_freed, client_leave_restored, client_leave_done
client_leave_begin:
	movq	$0, THREAD_EXIT_KEY(%rax)
	movb	$0, THREAD_SELECTOR(%rax)
	movq	THREAD_HOST_FSBASE(%rax), %rcx
	wrfsbase %rcx
	movq	THREAD_HOST_GSBASE(%rax), %rcx
	wrgsbase %rcx
	movb	$0, THREAD_INSIDE(%rax)
	movq	THREAD_EXIT_STATE(%rax), %rcx
	movq	$0, (%rcx)
client_leave_free:
	movq	THREAD_EXIT_COUNT(%rax), %rcx
	lahf
	seto	%al
client_leave_flags:
	lock subq $1, (%rcx)
client_leave_freed:
	addb	$0x7f, %al
	sahf
client_leave_restored:
	movb	$0, %al
	movb	$0, %ah
	movq	THREAD_AEP(%rax), %rcx
	movl	$EEXIT, %eax
	jmp	*%rbx
client_leave_done:

	/* Run handler(sig, info, ucontext) on the stack that holds its frame. */
	/* rdi: frame, rsi: signal mask, rdx: handler, rcx: sig, r8: info, r9: ucontext */
	.globl	client_handler_begin, client_handler_begun
	.hidden	client_handler_begin, client_handler_begun
	.globl	client_run_handler
	.hidden	client_run_handler
	.type	client_run_handler, @function
client_run_handler:
	movq	%rdi, %rsp
	movq	%rdx, %rbx
	movq	%rcx, %r12
	movq	%r8, %r13
	movq	%r9, %r14
	movl	$SYS_RT_SIGPROCMASK, %eax
	movl	$SIG_SETMASK, %edi
	xorl	%edx, %edx
	movl	$8, %r10d
	syscall
	/* Signals that waited come here, and find the thread where the handler begins. */
client_handler_begin:
	movl	%r12d, %edi
	movq	%r13, %rsi
	movq	%r14, %rdx
	xorl	%eax, %eax
	jmp	*%rbx
client_handler_begun:
	.size	client_run_handler, . - client_run_handler

	/*
	 * Where such a handler returns to.  The kernel finds the frame at RSP, and so does
	 * who walks up the stack: each register is in the context there.
	 */
#define UC_GREGS 40
	.macro	in_context reg, index
	.cfi_escape 0x10, \reg, 3, 0x77, ((UC_GREGS + 8 * \index) & 0x7f) | 0x80, (UC_GREGS + 8 * \index) >> 7
	.endm

	.globl	client_handler_return
	.hidden	client_handler_return
	.type	client_handler_return, @function
	.cfi_startproc simple
	.cfi_signal_frame
	/* The frame's address is the value of RSP in it. */
	.cfi_escape 0x0f, 4, 0x77, ((UC_GREGS + 8 * 15) & 0x7f) | 0x80, (UC_GREGS + 8 * 15) >> 7, 0x06
	in_context 8, 0
	in_context 9, 1
	in_context 10, 2
	in_context 11, 3
	in_context 12, 4
	in_context 13, 5
	in_context 14, 6
	in_context 15, 7
	in_context 5, 8		/* RDI */
	in_context 4, 9		/* RSI */
	in_context 6, 10	/* RBP */
	in_context 3, 11	/* RBX */
	in_context 1, 12	/* RDX */
	in_context 0, 13	/* RAX */
	in_context 2, 14	/* RCX */
	in_context 7, 15	/* RSP */
	in_context 16, 16	/* RIP */
	nop			/* it is looked for before the address returned to */
client_handler_return:
	movq	%rsp, %rdi
	call	client_handler_returns
	movl	$SYS_RT_SIGRETURN, %eax
	syscall
	.cfi_endproc
	.size	client_handler_return, . - client_handler_return

	/*
	 * Where our own handler returns to.  Whoever walks up the stack knows a signal's
	 * frame by just these bytes, in code without unwind information; debuggers also by
	 * "sigaction" in its name.
	 */
	.globl	client_sigaction_restorer
	.hidden	client_sigaction_restorer
	.type	client_sigaction_restorer, @function
	nop
client_sigaction_restorer:
	.byte	0x48, 0xc7, 0xc0, 15, 0, 0, 0	/* movq $rt_sigreturn, %rax */
	syscall
	.size	client_sigaction_restorer, . - client_sigaction_restorer

	.section .note.GNU-stack, "", @progbits
