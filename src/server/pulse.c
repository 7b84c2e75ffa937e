/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How programs know that their machine is gone, also when it was killed: a word of
 * memory they share with it, which the kernel changes then, as it does for any
 * robust lock whose owner ends.  It does so before it closes the process's files,
 * so whoever is let go because of that finds it changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

int pulse_create(struct pulse *pulse)
{
	void *map;

	pulse->fd = memfd_create("sgx_enclave-machine", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (pulse->fd < 0)
		return -errno;
	if (ftruncate(pulse->fd, SGX_PAGE_SIZE) < 0)
		return -errno;
	map = mmap(NULL, SGX_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, pulse->fd, 0);
	if (map == MAP_FAILED)
		return -ENOMEM;
	pulse->word = map;
	/* One program must not tell another that its machine is gone. */
	return fcntl(pulse->fd, F_ADD_SEALS,
		     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) ? -errno : 0;
}

void pulse_destroy(struct pulse *pulse)
{
	if (pulse->word)
		munmap(pulse->word, SGX_PAGE_SIZE);
	if (pulse->fd >= 0)
		close(pulse->fd);
}

void pulse_begin(struct pulse *pulse)
{
	pulse->node.next = &pulse->head.list;
	pulse->head.list.next = &pulse->node;
	pulse->head.futex_offset = (long)((intptr_t)pulse->word - (intptr_t)&pulse->node);
	pulse->head.list_op_pending = NULL;
	/* A thread has one list, which is libc's before and after. */
	syscall(SYS_get_robust_list, 0, &pulse->libc_head, &pulse->libc_size);
	syscall(SYS_set_robust_list, &pulse->head, sizeof(pulse->head));
	atomic_store(pulse->word, (uint32_t)gettid());
}

void pulse_end(struct pulse *pulse)
{
	atomic_store(pulse->word, 0);
	syscall(SYS_set_robust_list, pulse->libc_head, pulse->libc_size);
}
