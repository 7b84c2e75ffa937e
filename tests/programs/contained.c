/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Run a command as container runtimes do by default: as somebody without rights,
 * and without the system calls that their filters refuse.
 *
 * usage: contained COMMAND [ARGUMENT...]
 *
 * The list is what these filters have in common of system calls that a kernel
 * knows and an ordinary program could make.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int refused[] = {
	SYS_userfaultfd, SYS_bpf, SYS_perf_event_open, SYS_io_uring_setup, SYS_io_uring_enter,
	SYS_io_uring_register, SYS_add_key, SYS_keyctl, SYS_request_key, SYS_mount, SYS_umount2,
	SYS_pivot_root, SYS_chroot, SYS_setns, SYS_unshare, SYS_kcmp, SYS_pidfd_getfd,
	SYS_process_vm_readv, SYS_process_vm_writev, SYS_ptrace, SYS_process_madvise,
	SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_move_pages, SYS_mbind,
	SYS_set_mempolicy, SYS_acct, SYS_quotactl, SYS_swapon, SYS_swapoff, SYS_syslog,
	SYS_iopl, SYS_ioperm, SYS_init_module, SYS_finit_module, SYS_delete_module,
	SYS_fanotify_init, SYS_lookup_dcookie, SYS_vhangup, SYS_settimeofday, SYS_clock_settime,
};

#define NR_REFUSED (sizeof(refused) / sizeof(refused[0]))

static int install(void)
{
	static struct sock_filter filter[NR_REFUSED + 5];
	const struct sock_fprog program = { NR_REFUSED + 5, filter };
	struct sock_filter *f = filter;

	*f++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					    offsetof(struct seccomp_data, nr));
	/* New to the C library, which takes this for an older kernel. */
	*f++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3,
					    NR_REFUSED + 2, 0);
	for (size_t i = 0; i < NR_REFUSED; i++)
		*f++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
						    (unsigned int)refused[i],
						    (unsigned char)(NR_REFUSED - i), 0);
	*f++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	*f++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	*f++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: contained COMMAND [ARGUMENT...]\n");
		return 2;
	}
	/* An ordinary user; who is one already stays who it is. */
	if (!getuid() && (setgid(65534) || setuid(65534))) {
		fprintf(stderr, "contained: cannot become nobody: %s\n", strerror(errno));
		return 2;
	}
	if (install()) {
		fprintf(stderr, "contained: no filters of system calls here: %s\n", strerror(errno));
		return 77;
	}
	execvp(argv[1], argv + 1);
	fprintf(stderr, "contained: %s: %s\n", argv[1], strerror(errno));
	return 2;
}
