/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * System calls without libc: this library stands in front of libc's own
 * functions, and runs in signal handlers where errno is the program's.
 * All return the kernel's value: a result, or -errno.
 */
#ifndef SWSGX_CLIENT_SYS_H
#define SWSGX_CLIENT_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

static inline long sys_call6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline long sys_call(long nr, long a, long b, long c, long d)
{
	return sys_call6(nr, a, b, c, d, 0, 0);
}

static inline void *sys_mmap(const void *addr, size_t len, int prot, int flags, int fd,
			     uint64_t off)
{
	return (void *)sys_call6(SYS_mmap, (long)addr, (long)len, prot, flags, fd, (long)off);
}

static inline long sys_munmap(const void *addr, size_t len)
{
	return sys_call(SYS_munmap, (long)addr, (long)len, 0, 0);
}

static inline long sys_mprotect(const void *addr, size_t len, int prot)
{
	return sys_call(SYS_mprotect, (long)addr, (long)len, prot, 0);
}

static inline long sys_close(int fd)
{
	return sys_call(SYS_close, fd, 0, 0, 0);
}

/* rt_sigaction(2)'s, which is not libc's. */
#define SYS_SA_RESTORER 0x04000000ul

struct sys_sigaction {
	void *handler;
	unsigned long flags;
	const void *restorer;
	uint64_t mask;
};

static inline long sys_rt_sigaction(int sig, const struct sys_sigaction *new,
				    struct sys_sigaction *old)
{
	return sys_call(SYS_rt_sigaction, sig, (long)new, (long)old, sizeof(uint64_t));
}

static inline int sys_is_error(const void *p)
{
	return (uintptr_t)p >= (uintptr_t)-4095;
}

#endif /* SWSGX_CLIENT_SYS_H */
