/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding the CPUID instructions of a program and making them trap.
 *
 * The two bytes of CPUID also occur inside other instructions and in data, so
 * each occurrence is looked at: it is rewritten only when it lies in a function
 * that unwind information describes, and decoding that function from its start
 * arrives exactly there.  Images of enclaves that a program carries have no
 * such information, and stay as they were measured.
 *
 * libc and the dynamic loader, which ask about caches, are left alone.
 */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "client.h"
#include "counts.h"
#include "decode.h"
#include "sys.h"

static const uint8_t cpuid[] = { 0x0f, 0xa2 };
static const uint8_t ud2[] = { 0x0f, 0x0b };

/* --- what was rewritten --------------------------------------------------------- */

/*
 * Sorted; replaced as a whole when it grows, and the old one is kept: a signal
 * handler may be looking at it.
 */
struct places {
	size_t nr;
	uint64_t at[];
};

static _Atomic(struct places *) rewritten;

bool client_is_rewritten(uint64_t rip)
{
	const struct places *places = atomic_load_explicit(&rewritten, memory_order_acquire);
	size_t lo = 0, hi = places ? places->nr : 0;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (places->at[mid] == rip)
			return true;
		if (places->at[mid] < rip)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static bool note(uint64_t rip)
{
	const struct places *old = atomic_load(&rewritten);
	const size_t nr = old ? old->nr : 0;
	struct places *new = malloc(sizeof(*new) + (nr + 1) * sizeof(new->at[0]));
	size_t i = 0;

	if (!new)
		return false;
	for (; i < nr && old->at[i] < rip; i++)
		new->at[i] = old->at[i];
	new->at[i] = rip;
	for (; i < nr; i++)
		new->at[i + 1] = old->at[i];
	new->nr = nr + 1;
	atomic_store_explicit(&rewritten, new, memory_order_release);
	return true;
}

/* --- decoding --------------------------------------------------------------------- */

/* What libgcc finds for an address; its public structure of unwind bases. */
struct dwarf_eh_bases {
	void *tbase, *dbase, *func;
};
const void *_Unwind_Find_FDE(void *pc, struct dwarf_eh_bases *bases);

/* Is there an instruction CPUID at @at, in a function decoded from its start? */
static bool is_cpuid(const uint8_t *at, const uint8_t *segment_end)
{
	struct dwarf_eh_bases bases;
	const uint8_t *p;

	/* It looks for return addresses, which lie behind a call. */
	if (!_Unwind_Find_FDE((void *)(uintptr_t)(at + 1), &bases) || !decoder_load())
		return false;
	for (p = bases.func; p < at;) {
		struct decoded insn;

		if (!decoder_decode(p, (size_t)(segment_end - p), &insn))
			return false;
		p += insn.length;
	}
	return p == at;
}

/* --- rewriting ---------------------------------------------------------------------- */

static void rewrite(uint8_t *at, int prot)
{
	const uint64_t page = (uintptr_t)at & SGX_PAGE_MASK;
	const uint64_t size = ((uintptr_t)at + sizeof(ud2) - 1 - page) / SGX_PAGE_SIZE *
			      SGX_PAGE_SIZE + SGX_PAGE_SIZE;

	/* Known before it can trap.  Threads of other libraries may run it already. */
	if (sys_mprotect((void *)page, size, prot | PROT_WRITE) < 0 || !note((uintptr_t)at))
		return;
	counts_place(COUNT_PROGRAM_CPUID_REPLACED);
	__atomic_store_n(&at[1], ud2[1], __ATOMIC_RELEASE);
	sys_mprotect((void *)page, size, prot);
}

static void scan_segment(uint8_t *start, size_t size, int prot)
{
	uint8_t *const end = start + size;
	uint8_t *at = start;

	while ((at = memmem(at, (size_t)(end - at), cpuid, sizeof(cpuid)))) {
		if (is_cpuid(at, end))
			rewrite(at, prot);
		at += sizeof(cpuid);
	}
}

static bool is_left_alone(const struct dl_phdr_info *info)
{
	static const char *const names[] = { "ld-linux", "libc.so", "libZydis", "libZycore",
					     "swsgx-client", "linux-vdso" };
	const char *base = strrchr(info->dlpi_name, '/');

	base = base ? base + 1 : info->dlpi_name;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strstr(base, names[i]))
			return true;
	return false;
}

static int prot_of(const Elf64_Phdr *ph)
{
	return (ph->p_flags & PF_R ? PROT_READ : 0) | (ph->p_flags & PF_W ? PROT_WRITE : 0) |
	       (ph->p_flags & PF_X ? PROT_EXEC : 0);
}

static int scan_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
	const unsigned long long *scanned = ctx;

	/* Nothing was loaded since. */
	if (info->dlpi_adds == *scanned)
		return 1;
	if (is_left_alone(info))
		return 0;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const Elf64_Phdr *ph = &info->dlpi_phdr[i];

		if (ph->p_type == PT_LOAD && (ph->p_flags & PF_X) && (ph->p_flags & PF_R))
			scan_segment((uint8_t *)(info->dlpi_addr + ph->p_vaddr), ph->p_filesz,
				     prot_of(ph));
	}
	return 0;
}

static int count_adds(struct dl_phdr_info *info, size_t size, void *ctx)
{
	*(unsigned long long *)ctx = info->dlpi_adds;
	return 1;
}

void client_rewrite(void)
{
	static unsigned long long scanned;
	static atomic_flag busy = ATOMIC_FLAG_INIT;

	/* Loading our decoder leads here again. */
	if (atomic_flag_test_and_set(&busy))
		return;
	dl_iterate_phdr(scan_object, &scanned);
	/* It may have been among what was loaded. */
	dl_iterate_phdr(count_adds, &scanned);
	atomic_flag_clear(&busy);
}

/* --- libraries that are opened --------------------------------------------------------- */

/* What jump.S goes on with, and where that is; it is not asked for itself. */
void *client_dlsym_next __attribute__((visibility("hidden")));
void client_symbol_wanted(const void *handle);

/* Who opened a library asks for something in it before any of it runs. */
void client_symbol_wanted(const void *handle)
{
	if (!client_dlsym_next)
		client_dlsym_next = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
	/* That one leads to what was there from the beginning. */
	if (handle != RTLD_NEXT && client_is_active())
		client_rewrite();
}
