/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vDSO is an ELF image that no file holds; AT_SYSINFO_EHDR says where it
 * is, and its dynamic section has the symbols.  The older hash table counts
 * them, the newer one is counted by walking its chains.
 */
#include "vdso.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>

struct tables {
	const ElfW(Sym) *symtab;
	const char *strtab;
	const uint32_t *hash;		/* DT_HASH */
	const uint32_t *gnu_hash;	/* DT_GNU_HASH */
};

static const ElfW(Dyn) *find_dynamic(const char *base)
{
	const ElfW(Ehdr) *ehdr = (const void *)base;
	const ElfW(Phdr) *phdr = (const void *)(base + ehdr->e_phoff);

	for (unsigned int i = 0; i < ehdr->e_phnum; i++)
		if (phdr[i].p_type == PT_DYNAMIC)
			return (const void *)(base + phdr[i].p_offset);
	return NULL;
}

static struct tables find_tables(const char *base)
{
	const ElfW(Dyn) *dyn = find_dynamic(base);
	struct tables t = { 0 };

	for (; dyn && dyn->d_tag != DT_NULL; dyn++) {
		const void *p = base + dyn->d_un.d_ptr;

		if (dyn->d_tag == DT_SYMTAB)
			t.symtab = p;
		else if (dyn->d_tag == DT_STRTAB)
			t.strtab = p;
		else if (dyn->d_tag == DT_HASH)
			t.hash = p;
		else if (dyn->d_tag == DT_GNU_HASH)
			t.gnu_hash = p;
	}
	return t;
}

/* Words: nbuckets, symoffset, bloom_size, bloom_shift, bloom, buckets, chains. */
static uint32_t count_gnu_symbols(const uint32_t *h)
{
	const uint32_t *buckets = h + 4 + h[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
	const uint32_t *chains = buckets + h[0];
	uint32_t last = 0;

	for (uint32_t i = 0; i < h[0]; i++)
		if (buckets[i] > last)
			last = buckets[i];
	if (last < h[1])
		return h[1];
	while (!(chains[last - h[1]] & 1))
		last++;
	return last + 1;
}

void *vdso_symbol(const char *name)
{
	const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
	struct tables t;
	uint32_t nr = 0;

	if (!base)
		return NULL;
	t = find_tables(base);
	if (!t.symtab || !t.strtab)
		return NULL;
	if (t.hash)
		nr = t.hash[1];
	else if (t.gnu_hash)
		nr = count_gnu_symbols(t.gnu_hash);

	for (uint32_t i = 1; i < nr; i++) {
		const ElfW(Sym) *sym = &t.symtab[i];

		if (sym->st_shndx != SHN_UNDEF && !strcmp(t.strtab + sym->st_name, name))
			return (void *)(base + sym->st_value);
	}
	return NULL;
}
