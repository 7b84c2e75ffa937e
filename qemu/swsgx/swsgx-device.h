/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What -device gives the machine; see swsgx-device.c.
 */
#ifndef I386_SWSGX_DEVICE_H
#define I386_SWSGX_DEVICE_H

/* NUMA nodes of -numa; 0 without it. */
unsigned int swsgx_nr_nodes(void);

#endif
