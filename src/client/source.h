/* SPDX-License-Identifier: BSD-3-Clause */
/* The rule of ADD_PAGES' source: mappings that can never be executable are refused. */
#ifndef SWSGX_CLIENT_SOURCE_H
#define SWSGX_CLIENT_SOURCE_H

#include <stdint.h>

/**
 * source_check() - may the @size bytes at @addr be the source of enclave pages?
 * @size: whole pages; lowered to how many bytes may.
 * Return: 0 all of them; EFAULT nothing is mapped, EACCES the file system is
 * mounted noexec, for the first page that may not.
 * Source: Linux sgx_ioctl add path, VM_MAYEXEC.
 */
int source_check(uint64_t addr, uint32_t *size);

/** source_forget() - mappings changed. */
void source_forget(void);

#endif /* SWSGX_CLIENT_SOURCE_H */
