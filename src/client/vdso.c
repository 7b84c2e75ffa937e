/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vDSO with __vdso_sgx_enter_enclave in it.
 *
 * The host's image stays where the kernel put it, so that every way of finding
 * it agrees; only its symbol, string, version and hash tables are replaced, by
 * copies with one symbol more.  Where the kernel has sealed the image, a copy
 * of it is announced in the auxiliary vector instead.
 */
#include <elf.h>
#include <stdbool.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "client.h"
#include "sys.h"

#define ENTRY_NAME "__vdso_sgx_enter_enclave"

struct image {
	uint8_t *base;
	size_t size;			/* whole pages */
	Elf64_Dyn *dynamic;
	const Elf64_Sym *symtab;
	const char *strtab;
	size_t strsz;
	const uint16_t *versym;
	size_t nr_syms;
};

/* The new tables, in one allocation. */
struct tables {
	Elf64_Sym *symtab;
	char *strtab;
	uint16_t *versym;
	uint32_t *hash, *gnu_hash;
	size_t nr_syms, strsz, hash_size, gnu_hash_size;
};

static Elf64_Dyn *find_dyn(Elf64_Dyn *dyn, Elf64_Sxword tag)
{
	for (; dyn->d_tag != DT_NULL; dyn++)
		if (dyn->d_tag == tag)
			return dyn;
	return NULL;
}

static const void *table_at(const struct image *image, Elf64_Sxword tag)
{
	const Elf64_Dyn *dyn = find_dyn(image->dynamic, tag);

	return dyn ? image->base + dyn->d_un.d_ptr : NULL;
}

/* How many symbols there are, only the hash tables know. */
static size_t count_symbols(const struct image *image)
{
	const uint32_t *hash = table_at(image, DT_HASH);
	const uint32_t *gnu = table_at(image, DT_GNU_HASH);
	const uint32_t *buckets, *chain;
	uint32_t last = 0;

	if (hash)
		return hash[1];
	if (!gnu)
		return 0;
	buckets = gnu + 4 + gnu[2] * 2;
	chain = buckets + gnu[0];
	for (uint32_t i = 0; i < gnu[0]; i++)
		if (buckets[i] > last)
			last = buckets[i];
	if (last < gnu[1])
		return gnu[1];
	while (!(chain[last - gnu[1]] & 1))
		last++;
	return last + 1;
}

static bool parse(uint8_t *base, struct image *image)
{
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)base;
	const Elf64_Phdr *phdr = (const Elf64_Phdr *)(base + ehdr->e_phoff);

	*image = (struct image){ .base = base };
	for (unsigned int i = 0; i < ehdr->e_phnum; i++) {
		if (phdr[i].p_type == PT_DYNAMIC)
			image->dynamic = (Elf64_Dyn *)(base + phdr[i].p_offset);
		if (phdr[i].p_type == PT_LOAD && phdr[i].p_offset + phdr[i].p_memsz > image->size)
			image->size = phdr[i].p_offset + phdr[i].p_memsz;
	}
	image->size = (image->size + SGX_PAGE_SIZE - 1) & SGX_PAGE_MASK;
	if (!image->dynamic || !find_dyn(image->dynamic, DT_STRSZ))
		return false;
	image->symtab = table_at(image, DT_SYMTAB);
	image->strtab = table_at(image, DT_STRTAB);
	image->versym = table_at(image, DT_VERSYM);
	image->strsz = find_dyn(image->dynamic, DT_STRSZ)->d_un.d_val;
	image->nr_syms = count_symbols(image);
	return image->symtab && image->strtab && image->nr_syms > 1;
}

static uint32_t sysv_hash(const char *name)
{
	uint32_t h = 0, high;

	for (; *name; name++) {
		h = (h << 4) + (uint8_t)*name;
		high = h & 0xf0000000;
		h = (h ^ high >> 24) & ~high;
	}
	return h;
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t h = 5381;

	for (; *name; name++)
		h = h * 33 + (uint8_t)*name;
	return h;
}

/* One bucket: a vDSO has a handful of symbols. */
static void fill_hash(struct tables *t)
{
	const uint32_t nr_buckets = 1;
	uint32_t *bucket = t->hash + 2, *chain = bucket + nr_buckets;

	t->hash[0] = nr_buckets;
	t->hash[1] = (uint32_t)t->nr_syms;
	for (uint32_t i = 1; i < t->nr_syms; i++) {
		uint32_t *head = &bucket[sysv_hash(t->strtab + t->symtab[i].st_name) % nr_buckets];

		chain[i] = *head;
		*head = i;
	}
}

static void fill_gnu_hash(struct tables *t)
{
	uint32_t *chain = t->gnu_hash + 7;

	t->gnu_hash[0] = 1;			/* buckets */
	t->gnu_hash[1] = 1;			/* first symbol in the table */
	t->gnu_hash[2] = 1;			/* words of the Bloom filter */
	t->gnu_hash[4] = t->gnu_hash[5] = ~0u;	/* which lets everything through */
	t->gnu_hash[6] = 1;
	for (size_t i = 1; i < t->nr_syms; i++)
		chain[i - 1] = gnu_hash(t->strtab + t->symtab[i].st_name) & ~1u;
	chain[t->nr_syms - 2] |= 1;
}

static uint8_t *carve(uint8_t **p, size_t size)
{
	uint8_t *at = *p;

	*p += (size + 15) & ~15ul;
	return at;
}

static bool allocate(const struct image *image, struct tables *t)
{
	uint8_t *p;

	t->nr_syms = image->nr_syms + 1;
	t->strsz = image->strsz + sizeof(ENTRY_NAME);
	t->hash_size = (3 + t->nr_syms) * sizeof(uint32_t);
	t->gnu_hash_size = (7 + t->nr_syms - 1) * sizeof(uint32_t);
	p = sys_mmap(NULL,
		     t->nr_syms * (sizeof(Elf64_Sym) + sizeof(uint16_t)) + t->strsz + t->hash_size +
			     t->gnu_hash_size + 128,
		     PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_is_error(p))
		return false;
	t->symtab = (Elf64_Sym *)carve(&p, t->nr_syms * sizeof(Elf64_Sym));
	t->versym = (uint16_t *)carve(&p, t->nr_syms * sizeof(uint16_t));
	t->hash = (uint32_t *)carve(&p, t->hash_size);
	t->gnu_hash = (uint32_t *)carve(&p, t->gnu_hash_size);
	t->strtab = (char *)p;
	return true;
}

/* A function of the host's, whose kind and version the new one shares. */
static size_t model_symbol(const struct image *image)
{
	for (size_t i = 1; i < image->nr_syms; i++)
		if (ELF64_ST_TYPE(image->symtab[i].st_info) == STT_FUNC &&
		    image->symtab[i].st_shndx != SHN_UNDEF)
			return i;
	return 1;
}

static bool build(const struct image *image, struct tables *t)
{
	const size_t new = image->nr_syms, model = model_symbol(image);

	if (!allocate(image, t))
		return false;
	memcpy(t->symtab, image->symtab, image->nr_syms * sizeof(Elf64_Sym));
	memcpy(t->strtab, image->strtab, image->strsz);
	memcpy(t->strtab + image->strsz, ENTRY_NAME, sizeof(ENTRY_NAME));
	t->symtab[new] = image->symtab[model];
	t->symtab[new].st_name = (Elf64_Word)image->strsz;
	t->symtab[new].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
	t->symtab[new].st_size = 0;
	if (image->versym) {
		memcpy(t->versym, image->versym, image->nr_syms * sizeof(uint16_t));
		t->versym[new] = image->versym[model];
	}
	fill_hash(t);
	fill_gnu_hash(t);
	return true;
}

/* Symbol values count from the image's base, wherever the code is. */
static void rebase(const struct image *image, struct tables *t, uint64_t host_base)
{
	const uint64_t delta = host_base - (uintptr_t)image->base;

	for (size_t i = 1; i < t->nr_syms - 1; i++)
		if (t->symtab[i].st_shndx != SHN_ABS && t->symtab[i].st_shndx != SHN_UNDEF)
			t->symtab[i].st_value += delta;
	t->symtab[t->nr_syms - 1].st_value =
		(uintptr_t)client_vdso_enter_enclave - (uintptr_t)image->base;
}

static void point(const struct image *image, Elf64_Sxword tag, const void *table)
{
	Elf64_Dyn *dyn = find_dyn(image->dynamic, tag);

	if (dyn)
		dyn->d_un.d_ptr = (uintptr_t)table - (uintptr_t)image->base;
}

static void point_section(const struct image *image, Elf64_Shdr *shdr, const void *table,
			  size_t size)
{
	shdr->sh_addr = shdr->sh_offset = (uintptr_t)table - (uintptr_t)image->base;
	shdr->sh_size = size;
}

/* Some programs look symbols up by section headers. */
static void redirect_sections(const struct image *image, const struct tables *t)
{
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)image->base;
	Elf64_Shdr *shdr = (Elf64_Shdr *)(image->base + ehdr->e_shoff);

	if (!ehdr->e_shoff || ehdr->e_shentsize != sizeof(*shdr) ||
	    ehdr->e_shoff + ehdr->e_shnum * sizeof(*shdr) > image->size)
		return;
	for (unsigned int i = 0; i < ehdr->e_shnum; i++) {
		if (shdr[i].sh_type == SHT_DYNSYM)
			point_section(image, &shdr[i], t->symtab, t->nr_syms * sizeof(Elf64_Sym));
		else if (shdr[i].sh_type == SHT_STRTAB && (shdr[i].sh_flags & SHF_ALLOC))
			point_section(image, &shdr[i], t->strtab, t->strsz);
		else if (shdr[i].sh_type == SHT_HASH)
			point_section(image, &shdr[i], t->hash, t->hash_size);
		else if (shdr[i].sh_type == SHT_GNU_HASH)
			point_section(image, &shdr[i], t->gnu_hash, t->gnu_hash_size);
		else if (shdr[i].sh_type == SHT_GNU_versym)
			point_section(image, &shdr[i], t->versym, t->nr_syms * sizeof(uint16_t));
	}
}

static void redirect(const struct image *image, const struct tables *t)
{
	Elf64_Dyn *dyn;

	point(image, DT_SYMTAB, t->symtab);
	point(image, DT_STRTAB, t->strtab);
	point(image, DT_VERSYM, t->versym);
	point(image, DT_GNU_HASH, t->gnu_hash);
	/* The classic table is what every reader knows: have it in any case. */
	dyn = find_dyn(image->dynamic, DT_HASH);
	if (!dyn)
		dyn = find_dyn(image->dynamic, DT_GNU_HASH);
	dyn->d_tag = DT_HASH;
	dyn->d_un.d_ptr = (uintptr_t)t->hash - (uintptr_t)image->base;
	find_dyn(image->dynamic, DT_STRSZ)->d_un.d_val = t->strsz;
	redirect_sections(image, t);
}

static bool announce(char **envp, const void *base)
{
	Elf64_auxv_t *aux;

	while (*envp)
		envp++;
	for (aux = (Elf64_auxv_t *)(envp + 1); aux->a_type != AT_NULL; aux++) {
		if (aux->a_type == AT_SYSINFO_EHDR) {
			aux->a_un.a_val = (uintptr_t)base;
			return true;
		}
	}
	return false;
}

static uint8_t *writable_image(uint8_t *host, size_t size)
{
	uint8_t *copy;

	if (!sys_mprotect(host, size, PROT_READ | PROT_WRITE | PROT_EXEC))
		return host;
	copy = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_is_error(copy))
		return NULL;
	memcpy(copy, host, size);
	return copy;
}

void client_vdso_init(char **envp)
{
	uint8_t *host = (uint8_t *)getauxval(AT_SYSINFO_EHDR), *base;
	struct image image;
	struct tables tables = { 0 };

	/* A host without vDSO leaves its programs to execute ENCLU themselves. */
	if (!host || !parse(host, &image) || !build(&image, &tables))
		return;
	base = writable_image(host, image.size);
	if (!base || !parse(base, &image))
		return;
	rebase(&image, &tables, (uintptr_t)host);
	redirect(&image, &tables);
	sys_mprotect(base, image.size, PROT_READ | PROT_EXEC);
	if (base != host)
		announce(envp, base);
}
