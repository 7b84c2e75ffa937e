/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command line, and the machine it describes:
 *
 *   -device swsgx-epc,size=S[,base=B][,node=N]     one EPC section; repeat for more
 *   -device swsgx-processor[,profile=P][,seed=HEX][,inject=RULE]
 *                          [,feature-control=MSR]  at most one
 *
 * The library's machine is created when all devices are there, so their order
 * does not matter.
 */
#include "swsgx-int.h"
#include "swsgx-device.h"

#include "hw/pci/pci_host.h"
#include "qapi/visitor.h"
#include "qom/object.h"

#define TYPE_SWSGX_EPC "swsgx-epc"
#define TYPE_SWSGX_PROCESSOR "swsgx-processor"

OBJECT_DECLARE_SIMPLE_TYPE(SwsgxEpc, SWSGX_EPC)
OBJECT_DECLARE_SIMPLE_TYPE(SwsgxProcessor, SWSGX_PROCESSOR)

#define BASE_AUTO UINT64_MAX
/* Sections whose place is not given begin here: beyond RAM and PCI windows. */
#define BASE_FIRST (256 * GiB)

struct SwsgxEpc {
    DeviceState parent;

    uint64_t base, size;
    uint32_t node;

    MemoryRegion abort_page;    /* in the system's memory */
    MemoryRegion contents;      /* in each processor's private one */
};

struct SwsgxProcessor {
    DeviceState parent;

    char *profile, *seed, *inject;
    uint64_t feature_control;
};

static GPtrArray *sections;     /* of SwsgxEpc, by command line */
static SwsgxProcessor *processor;

unsigned int swsgx_nr_nodes(void)
{
    NumaState *numa = MACHINE(qdev_get_machine())->numa_state;

    return numa ? numa->num_nodes : 0;
}

/* --- the abort page ------------------------------------------------------ */

static uint64_t abort_read(void *opaque, hwaddr addr, unsigned int size)
{
    return UINT64_MAX;
}

static void abort_write(void *opaque, hwaddr addr, uint64_t value,
                        unsigned int size)
{
}

static const MemoryRegionOps abort_ops = {
    .read = abort_read,
    .write = abort_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

/* --- the machine --------------------------------------------------------- */

static void *epc_page(void *ctx, uint64_t frame)
{
    swsgx_touch_frame(frame);
    return swsgx_frame_host(frame);
}

static void G_NORETURN refuse(const char *what, const char *why)
{
    error_report("%s: %s", what, why);
    exit(1);
}

static const struct isa_profile *find_profile(const char *name)
{
    const struct isa_profile *profile =
        name ? isa_profile_find(name) : isa_profile_at(0);
    size_t i;

    if (profile) {
        return profile;
    }
    error_report(TYPE_SWSGX_PROCESSOR ": there is no profile '%s'", name);
    for (i = 0; (profile = isa_profile_at(i)); i++) {
        error_printf("  %-16s %s\n", profile->name, profile->summary);
    }
    exit(1);
}

/* 64 hexadecimal digits; all zero when none are given. */
static void parse_seed(const char *text, uint8_t seed[32])
{
    size_t i;

    if (!text) {
        return;
    }
    if (strlen(text) != 64 || strspn(text, "0123456789abcdefABCDEF") != 64) {
        refuse(TYPE_SWSGX_PROCESSOR, "seed must be 64 hexadecimal digits");
    }
    for (i = 0; i < 32; i++) {
        unsigned int byte;

        sscanf(text + 2 * i, "%2x", &byte);
        seed[i] = byte;
    }
}

/* Rules are separated by ';', because ',' and ':' are part of one. */
static void parse_inject(const char *text)
{
    char **rules = g_strsplit(text ? text : "", ";", 0);
    char why[256];
    size_t i;

    for (i = 0; rules[i]; i++) {
        if (*rules[i] &&
            !inject_add(&swsgx.inject, rules[i], why, sizeof(why))) {
            refuse(TYPE_SWSGX_PROCESSOR ": inject", why);
        }
    }
    g_strfreev(rules);
    /* Here no program starts, but a machine. */
    inject_start(&swsgx.inject);
}

static void power_on(void)
{
    int ret;

    qemu_guest_getrandom_nofail(swsgx.config.boot_random,
                                sizeof(swsgx.config.boot_random));
    ret = isa_machine_create(&swsgx.config, &swsgx.isa);
    if (ret) {
        refuse(TYPE_SWSGX_EPC, strerror(-ret));
    }
}

static void gather_sections(void)
{
    struct isa_section *table = g_new0(struct isa_section, sections->len);
    uint64_t offset = 0;
    guint i;

    swsgx.section_host = g_new0(uint8_t *, sections->len);
    swsgx.section_first = g_new0(uint64_t, sections->len);
    for (i = 0; i < sections->len; i++) {
        SwsgxEpc *epc = g_ptr_array_index(sections, i);

        table[i].pa = epc->base;
        table[i].nr_pages = epc->size / SGX_PAGE_SIZE;
        table[i].node = epc->node;
        swsgx.section_host[i] = memory_region_get_ram_ptr(&epc->contents);
        swsgx.section_first[i] = offset / SGX_PAGE_SIZE;
        offset += epc->size;
    }
    swsgx.config.sections = table;
    swsgx.config.nr_sections = sections->len;

    memory_region_init(&swsgx.epc, qdev_get_machine(), "swsgx-epc", offset);
    for (i = 0; i < sections->len; i++) {
        SwsgxEpc *epc = g_ptr_array_index(sections, i);

        memory_region_add_subregion(&swsgx.epc,
                                    swsgx.section_first[i] * SGX_PAGE_SIZE,
                                    &epc->contents);
    }
}

static void configure_processor(CPUX86State *env)
{
    uint32_t eax, ebx, ecx, edx;
    int i;

    swsgx.config.profile = find_profile(processor ? processor->profile : NULL);
    parse_seed(processor ? processor->seed : NULL, swsgx.config.seed);
    parse_inject(processor ? processor->inject : NULL);
    swsgx.feature_control = processor ? processor->feature_control : 0;
    swsgx.config.intercept = inject_intercept;
    swsgx.config.intercept_ctx = &swsgx.inject;
    swsgx.config.epc_page = epc_page;

    cpu_x86_cpuid(env, 0xd, 0, &eax, &ebx, &ecx, &edx);
    swsgx.config.xcr0 = (uint64_t)edx << 32 | eax | XFRM_X87_SSE;
    swsgx_xstate_find_components(env);
    for (i = 2; i < SWSGX_NR_XSTATE; i++) {
        const struct isa_xsave_component *c = &swsgx.xsave_component[i];

        if (c->size) {
            swsgx.config.xsave_size[i] = c->offset + c->size;
        }
    }
}

/* With BQL, vCPUs stopped: the EPC is lost. */
static void machine_reset(void *opaque)
{
    isa_machine_destroy(swsgx.isa);
    power_on();
    swsgx_cpus_lose_epc();
}

static void machine_done(Notifier *notifier, void *data)
{
    CPUState *cs;

    if (!sections) {
        refuse(TYPE_SWSGX_PROCESSOR,
               "a processor with SGX needs EPC: add -device swsgx-epc,size=64M");
    }
    gather_sections();
    configure_processor(&X86_CPU(first_cpu)->env);
    power_on();
    swsgx.cpus = g_new0(SwsgxCPU *,
                        MACHINE(qdev_get_machine())->smp.max_cpus);
    CPU_FOREACH(cs) {
        swsgx_cpu_attach(X86_CPU(cs));
    }
    qemu_register_reset(machine_reset, NULL);
}

static void machine_done_once(void)
{
    static Notifier notifier = { .notify = machine_done };

    if (!notifier.node.le_prev) {
        qemu_add_machine_init_done_notifier(&notifier);
    }
}

/* --- what can be refused at once ----------------------------------------- */

static bool surroundings_allow(const char *what, Error **errp)
{
    CPUX86State *env;

    if (!tcg_enabled()) {
        error_setg(errp, "%s needs -accel tcg: other accelerators run the "
                   "guest on the host's processor", what);
        return false;
    }
    if (!object_dynamic_cast(qdev_get_machine(), TYPE_PC_MACHINE)) {
        error_setg(errp, "%s needs a PC: -machine q35 or pc", what);
        return false;
    }
    env = &X86_CPU(first_cpu)->env;
    if (!IS_INTEL_CPU(env)) {
        error_setg(errp, "%s needs a CPU model of vendor GenuineIntel, "
                   "or guests do not look for SGX: "
                   "for example -cpu Skylake-Client-v4", what);
        return false;
    }
    if (env->features[FEAT_8000_0001_ECX] & CPUID_EXT3_SVM) {
        error_setg(errp, "%s does not go together with SVM: "
                   "add ,-svm to the CPU model", what);
        return false;
    }
    return true;
}

static uint64_t next_base(void)
{
    uint64_t base = MIN(BASE_FIRST, 1ull << (X86_CPU(first_cpu)->phys_bits - 1));
    guint i;

    for (i = 0; sections && i < sections->len; i++) {
        SwsgxEpc *epc = g_ptr_array_index(sections, i);

        base = MAX(base, epc->base + epc->size);
    }
    return base;
}

static bool overlaps(uint64_t base, uint64_t size, uint64_t other,
                     uint64_t other_size)
{
    return base < other + other_size && other < base + size;
}

static bool pci_window_allows(SwsgxEpc *epc, Error **errp)
{
    Object *host = object_resolve_path_type("", TYPE_PCI_HOST_BRIDGE, NULL);
    uint64_t start = pc_pci_hole64_start(), size = 0;

    if (host && object_property_find(host, PCI_HOST_PROP_PCI_HOLE64_SIZE)) {
        size = object_property_get_uint(host, PCI_HOST_PROP_PCI_HOLE64_SIZE,
                                        NULL);
    }
    if (size && overlaps(epc->base, epc->size, start, size)) {
        error_setg(errp, "EPC section 0x%" PRIx64 "-0x%" PRIx64 " overlaps the "
                   "PCI window 0x%" PRIx64 "-0x%" PRIx64,
                   epc->base, epc->base + epc->size - 1, start,
                   start + size - 1);
        return false;
    }
    return true;
}

static bool place_is_free(SwsgxEpc *epc, Error **errp)
{
    MemoryRegionSection found =
        memory_region_find(get_system_memory(), epc->base, epc->size);

    if (found.mr) {
        error_setg(errp, "EPC section 0x%" PRIx64 "-0x%" PRIx64
                   " overlaps %s", epc->base, epc->base + epc->size - 1,
                   memory_region_name(found.mr));
        memory_region_unref(found.mr);
        return false;
    }
    return pci_window_allows(epc, errp);
}

static bool section_is_possible(SwsgxEpc *epc, Error **errp)
{
    uint64_t end = 1ull << X86_CPU(first_cpu)->phys_bits;
    unsigned int nr_nodes = MAX(swsgx_nr_nodes(), 1);

    if (!epc->size || epc->size % SGX_PAGE_SIZE) {
        error_setg(errp, "EPC section: size must be a multiple of 4096, "
                   "and not 0");
        return false;
    }
    if (epc->base % SGX_PAGE_SIZE) {
        error_setg(errp, "EPC section: base 0x%" PRIx64
                   " is not a multiple of 4096", epc->base);
        return false;
    }
    if (epc->base >= end || epc->size > end - epc->base) {
        error_setg(errp, "EPC section: base 0x%" PRIx64 " and size 0x%" PRIx64
                   " reach beyond the %u physical address bits of the CPU",
                   epc->base, epc->size, X86_CPU(first_cpu)->phys_bits);
        return false;
    }
    if (epc->node >= nr_nodes) {
        error_setg(errp, "EPC section: there is no NUMA node %u", epc->node);
        return false;
    }
    return place_is_free(epc, errp);
}

/* --- devices ------------------------------------------------------------- */

static void epc_realize(DeviceState *dev, Error **errp)
{
    SwsgxEpc *epc = SWSGX_EPC(dev);
    Error *err = NULL;

    if (!surroundings_allow(TYPE_SWSGX_EPC, errp)) {
        return;
    }
    if (epc->base == BASE_AUTO) {
        epc->base = next_base();
    }
    if (!section_is_possible(epc, errp)) {
        return;
    }
    memory_region_init_ram_nomigrate(&epc->contents, OBJECT(dev),
                                     "swsgx-epc-contents", epc->size, &err);
    if (err) {
        error_propagate(errp, err);
        return;
    }
    memory_region_init_io(&epc->abort_page, OBJECT(dev), &abort_ops, NULL,
                          "another EPC section", epc->size);
    memory_region_add_subregion(get_system_memory(), epc->base,
                                &epc->abort_page);

    if (!sections) {
        sections = g_ptr_array_new();
    }
    g_ptr_array_add(sections, epc);
    machine_done_once();
}

static void processor_realize(DeviceState *dev, Error **errp)
{
    if (!surroundings_allow(TYPE_SWSGX_PROCESSOR, errp)) {
        return;
    }
    if (processor) {
        error_setg(errp, TYPE_SWSGX_PROCESSOR " is there already: "
                   "all processors of a machine are of one kind");
        return;
    }
    processor = SWSGX_PROCESSOR(dev);
    machine_done_once();
}

/* EPC cannot leave its machine: its keys do not. */
static const VMStateDescription epc_vmstate = {
    .name = TYPE_SWSGX_EPC,
    .unmigratable = 1,
};

SWSGX_PROPERTIES epc_properties[] = {
    DEFINE_PROP_SIZE("size", SwsgxEpc, size, 0),
    DEFINE_PROP_UINT64("base", SwsgxEpc, base, BASE_AUTO),
    DEFINE_PROP_UINT32("node", SwsgxEpc, node, 0),
    SWSGX_PROPERTIES_END
};

SWSGX_PROPERTIES processor_properties[] = {
    DEFINE_PROP_STRING("profile", SwsgxProcessor, profile),
    DEFINE_PROP_STRING("seed", SwsgxProcessor, seed),
    DEFINE_PROP_STRING("inject", SwsgxProcessor, inject),
    DEFINE_PROP_UINT64("feature-control", SwsgxProcessor, feature_control, 0),
    SWSGX_PROPERTIES_END
};

/* --- for who looks from outside, with QMP's qom-get ---------------------- */

static void get_valid_pages(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    SwsgxEpc *epc = SWSGX_EPC(obj);
    uint64_t offset, valid = 0;

    for (offset = 0; swsgx_is_on() && offset < epc->size;
         offset += SGX_PAGE_SIZE) {
        valid += isa_epcm_peek(swsgx.isa, isa_machine_frame(
                                              swsgx.isa,
                                              epc->base + offset)).valid;
    }
    visit_type_uint64(v, name, &valid, errp);
}

/* "ECREATE=1 EADD=20 ...": the whole machine's. */
static char *get_leaf_calls(Object *obj, Error **errp)
{
    GString *text = g_string_new(NULL);
    unsigned int class, leaf;

    for (class = 0; class < SWSGX_NR_CLASSES; class++) {
        for (leaf = 0; leaf < SWSGX_NR_LEAVES; leaf++) {
            uint64_t calls = qatomic_read(&swsgx.leaf_calls[class][leaf]);
            const char *name = isa_leaf_name(class, leaf);

            if (calls && name) {
                g_string_append_printf(text, "%s%s=%" PRIu64,
                                       text->len ? " " : "", name, calls);
            }
        }
    }
    return g_string_free(text, FALSE);
}

static void epc_class_init(ObjectClass *class, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(class);

    dc->realize = epc_realize;
    dc->desc = "EPC section of a processor with SGX in software";
    dc->hotpluggable = false;
    dc->vmsd = &epc_vmstate;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    device_class_set_props(dc, epc_properties);
    object_class_property_add(class, "valid-pages", "uint64", get_valid_pages,
                              NULL, NULL, NULL);
    object_class_property_add_str(class, "leaf-calls", get_leaf_calls, NULL);
}

static void processor_class_init(ObjectClass *class, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(class);

    dc->realize = processor_realize;
    dc->desc = "Processor with SGX in software: profile, seed, injected faults";
    dc->hotpluggable = false;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    device_class_set_props(dc, processor_properties);
}

static const TypeInfo types[] = {
    {
        .name = TYPE_SWSGX_EPC,
        .parent = TYPE_DEVICE,
        .instance_size = sizeof(SwsgxEpc),
        .class_init = epc_class_init,
    },
    {
        .name = TYPE_SWSGX_PROCESSOR,
        .parent = TYPE_DEVICE,
        .instance_size = sizeof(SwsgxProcessor),
        .class_init = processor_class_init,
    },
};

DEFINE_TYPES(types)
