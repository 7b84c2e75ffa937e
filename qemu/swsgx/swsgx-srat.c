/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SRAT: which NUMA node each EPC section belongs to.
 *
 * A guest maps a section to its node through this table alone, and complains
 * when it cannot.  So a machine with EPC has the table also without -numa; then
 * everything is in node 0.
 */
#include "swsgx-int.h"
#include "swsgx-device.h"

#include "hw/acpi/aml-build.h"
#include "hw/i386/x86.h"

static void build_ram(GArray *table)
{
    X86MachineState *x86ms = X86_MACHINE(qdev_get_machine());

    build_srat_memory(table, 0, x86ms->below_4g_mem_size, 0,
                      MEM_AFFINITY_ENABLED);
    if (x86ms->above_4g_mem_size) {
        build_srat_memory(table, x86ms->above_4g_mem_start,
                          x86ms->above_4g_mem_size, 0, MEM_AFFINITY_ENABLED);
    }
}

void swsgx_build_srat(GArray *table)
{
    size_t i;

    if (!swsgx_is_on()) {
        return;
    }
    if (!swsgx_nr_nodes()) {
        build_ram(table);
    }
    for (i = 0; i < swsgx.config.nr_sections; i++) {
        const struct isa_section *section = &swsgx.config.sections[i];

        build_srat_memory(table, section->pa,
                          section->nr_pages * SGX_PAGE_SIZE, section->node,
                          MEM_AFFINITY_ENABLED);
    }
}
