/* SPDX-License-Identifier: BSD-3-Clause */
/* A library that is opened by a program that runs already. */
#include <cpuid.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT bool late_has_sgx(void);
EXPORT bool late_maps_the_device(void);
EXPORT int late_faults(int nr);

bool late_has_sgx(void)
{
	unsigned int eax, ebx = 0, ecx, edx;

	return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & 1u << 2);
}

bool late_maps_the_device(void)
{
	const int fd = open("/dev/sgx_enclave", O_RDWR | O_CLOEXEC);
	void *const p = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	if (fd >= 0)
		close(fd);
	return p != MAP_FAILED && !munmap(p, 4096);
}

static sigjmp_buf out;
static volatile int *volatile nowhere;

static void jump(int sig)
{
	siglongjmp(out, 1);
}

/* Its own handler, and jumps out of it. */
int late_faults(int nr)
{
	volatile int n = 0;

	signal(SIGSEGV, jump);
	while (n < nr)
		if (!sigsetjmp(out, 1))
			*nowhere = 1;
		else
			n++;
	signal(SIGSEGV, SIG_DFL);
	return n;
}
