/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions the kernel maps into every process, by name.
 */
#ifndef HELLO_VDSO_H
#define HELLO_VDSO_H

/**
 * vdso_symbol() - look a function up in the vDSO.
 * @name: of the symbol, whatever its version.
 *
 * Return: its address; NULL when there is no vDSO or it has no such function.
 */
void *vdso_symbol(const char *name);

#endif /* HELLO_VDSO_H */
