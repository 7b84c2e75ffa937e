/* SPDX-License-Identifier: BSD-3-Clause */
/* What files of /proc say on a machine with SGX; see proc.c. */
#ifndef SWSGX_CLIENT_PROC_H
#define SWSGX_CLIENT_PROC_H

#include <stddef.h>

/** proc_write() - @size bytes of @text into file @fd. */
void proc_write(long fd, const char *text, size_t size);

/** cpuinfo_write() - the host's /proc/cpuinfo, @text, with the flags of SGX. */
void cpuinfo_write(long fd, const char *text);

/** maps_write() - the host's /proc/self/maps, @text, with the devices where they are mapped. */
void maps_write(long fd, const char *text);

#endif /* SWSGX_CLIENT_PROC_H */
