/* SPDX-License-Identifier: BSD-3-Clause */
/* A library whose constructor runs before any code of the program, and of ours. */
#include "early.h"

#include <fcntl.h>
#include <stddef.h>

static volatile sig_atomic_t calls;
static int fd = -1;
static sigset_t mask;

static void count(int sig)
{
	calls++;
}

__attribute__((constructor)) static void early(void)
{
	const struct sigaction sa = { .sa_handler = count, .sa_flags = SA_RESTART };
	sigset_t set;

	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGILL);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	fd = open("/dev/sgx_enclave", O_RDWR);
}

int early_fd(void)
{
	return fd;
}

sig_atomic_t early_calls(void)
{
	return calls;
}

const sigset_t *early_mask(void)
{
	return &mask;
}
