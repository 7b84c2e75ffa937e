/* SPDX-License-Identifier: BSD-3-Clause */
/* The software machine under the manager: its memory and what it is made of. */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "internal.h"

#define EPC_PHYS 0x4000000000ull

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25	/* Linux 6.1 */
#endif

#define LARGE_PAGE (2ull << 20)
#define MANY_USES 64u

void *processor_page(struct processor *p, uint64_t frame)
{
	uint8_t *memory = atomic_load_explicit(&p->placed[frame].memory, memory_order_acquire);

	return memory ? memory : processor_arena(p, frame);
}

/*
 * Where pages come and go it is another frame each time, of which no translation is in
 * the processor; so it should be a large one.  But a loaded enclave has only what one page
 * in 500 holds here, and made large from the start that would be as much memory again.
 */
void processor_used(struct processor *p, const uint8_t *contents)
{
	const uintptr_t arena = (uintptr_t)p->arena;
	const uintptr_t large = (uintptr_t)contents & ~(uintptr_t)(LARGE_PAGE - 1);
	const uintptr_t first = arena & ~(uintptr_t)(LARGE_PAGE - 1);
	_Atomic uint32_t *uses = &p->nr_uses[(large - first) / LARGE_PAGE];

	if (atomic_fetch_add_explicit(uses, 1, memory_order_relaxed) == MANY_USES &&
	    large >= arena && large + LARGE_PAGE <= arena + p->arena_size)
		madvise((void *)large, LARGE_PAGE, MADV_COLLAPSE);
}

static void *epc_page(void *ctx, uint64_t frame)
{
	return processor_page(ctx, frame);
}

/*
 * XCR0 less AMX: signal frames, from which the client saves extended state, have
 * room for tiles only in programs that asked the kernel for them.
 */
uint64_t processor_xcr0(void)
{
	uint32_t eax, edx;

	__asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
	return ((uint64_t)edx << 32 | eax) & ~XFRM_AMX;
}

static void host_xsave_sizes(uint32_t sizes[64])
{
	uint32_t eax, ebx, ecx, edx;

	for (unsigned int i = 2; i < 63; i++) {
		__cpuid_count(0xd, i, eax, ebx, ecx, edx);
		sizes[i] = ebx ? ebx + eax : 0;
	}
}

static int random_bytes(void *buf, size_t n)
{
	return getrandom(buf, n, 0) == (ssize_t)n ? 0 : -EIO;
}

static int power_on(struct processor *p, const struct server_config *server_config)
{
	struct isa_config config = {
		.profile = server_config->profile,
		.sections = &p->section,
		.nr_sections = 1,
		.xcr0 = processor_xcr0(),
		.epc_page = epc_page,
		.ctx = p,
		.intercept = server_config->inject ? inject_intercept : NULL,
		.intercept_ctx = server_config->inject,
	};
	int ret;

	host_xsave_sizes(config.xsave_size);
	if (random_bytes(config.seed, sizeof(config.seed)) ||
	    random_bytes(config.owner_epoch, sizeof(config.owner_epoch)) ||
	    random_bytes(config.boot_random, sizeof(config.boot_random)))
		return -EIO;
	ret = isa_machine_create(&config, &p->machine);
	if (!ret)
		processor_init_lp(p);
	return ret;
}

int processor_create(struct processor *p, const struct server_config *config)
{
	int ret;

	p->section.pa = EPC_PHYS;
	p->section.nr_pages = config->epc_size / SGX_PAGE_SIZE;
	p->arena_size = config->epc_size;
	p->arena = mmap(NULL, p->arena_size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->arena == MAP_FAILED) {
		p->arena = NULL;
		return -ENOMEM;
	}
	p->placed = calloc(p->section.nr_pages, sizeof(*p->placed));
	p->nr_uses = calloc(p->arena_size / LARGE_PAGE + 2, sizeof(*p->nr_uses));
	ret = withdrawer_init(&p->withdrawer);
	if (!ret)
		ret = p->placed && p->nr_uses ? power_on(p, config) : -ENOMEM;
	if (ret)
		processor_destroy(p);
	return ret;
}

void processor_destroy(struct processor *p)
{
	isa_machine_destroy(p->machine);
	if (p->placed)
		withdrawer_finish(&p->withdrawer);
	free(p->placed);
	free(p->nr_uses);
	if (p->arena)
		munmap(p->arena, p->arena_size);
	*p = (struct processor){ 0 };
}
