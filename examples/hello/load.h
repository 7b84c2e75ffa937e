/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Building the hello enclave with the ioctls of /dev/sgx_enclave.
 */
#ifndef HELLO_LOAD_H
#define HELLO_LOAD_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct enclave - an initialized enclave.
 * @fd: its file; the enclave ends when the file and all mappings are gone.
 * @base: SECS.BASEADDR.
 * @nr_added: pages added, each of which took an EPC page.
 * @mrenclave: the measurement EINIT compared with its own.
 */
struct enclave {
	int fd;
	uint8_t *base;
	unsigned int nr_added;
	uint8_t mrenclave[32];
};

/**
 * enclave_load() - build, initialize and map the enclave.
 * @encl: caller's storage, released with enclave_unload().
 * @dir: directory that holds hello-enclave and hello-enclave.sig.
 *
 * Prints one line a step on stdout.
 *
 * Return: false after printing on stderr which step failed and why.
 */
bool enclave_load(struct enclave *encl, const char *dir);

/**
 * enclave_unload() - give everything back.
 * @encl: from enclave_load(), also after it failed.
 */
void enclave_unload(struct enclave *encl);

#endif /* HELLO_LOAD_H */
