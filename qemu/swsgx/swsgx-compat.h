/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * QEMU 7.2 and 10.0 under one name each.
 */
#ifndef I386_SWSGX_COMPAT_H
#define I386_SWSGX_COMPAT_H

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/guest-random.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "cpu.h"
#include "exec/address-spaces.h"
#include "exec/exec-all.h"
#include "exec/helper-proto.h"
#include "exec/memory.h"
#include "hw/boards.h"
#include "hw/core/cpu.h"
#include "hw/i386/pc.h"
#include "hw/qdev-core.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "tcg/helper-tcg.h"

#if QEMU_VERSION_MAJOR >= 10
#include "exec/cputlb.h"
#include "system/numa.h"
#include "system/reset.h"
#include "system/system.h"
#include "system/tcg.h"
#else
#include "sysemu/numa.h"
#include "sysemu/reset.h"
#include "sysemu/sysemu.h"
#include "sysemu/tcg.h"
#define bql_lock qemu_mutex_lock_iothread
#define bql_unlock qemu_mutex_unlock_iothread
#define bql_locked qemu_mutex_iothread_locked
#endif

static inline int swsgx_data_mmu_idx(CPUX86State *env)
{
#if QEMU_VERSION_MAJOR >= 10
    return cpu_mmu_index(env_cpu(env), false);
#else
    return cpu_mmu_index(env, false);
#endif
}

#if QEMU_VERSION_MAJOR >= 10
#define SWSGX_PROPERTIES static const Property
#define SWSGX_PROPERTIES_END
#else
#define SWSGX_PROPERTIES static Property
#define SWSGX_PROPERTIES_END DEFINE_PROP_END_OF_LIST(),
#endif

/* Names of CPUID bits that both QEMU and the library's arch.h define. */
#undef CPUID_7_0_EBX_SGX
#undef CPUID_7_0_ECX_SGX_LC

#endif
