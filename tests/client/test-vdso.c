/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vDSO a program finds: SGX's function by every way programs look for it,
 * and everything the host's has, unchanged.  To see the host's the program runs
 * itself without us; then it prints what it finds.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define ENTRY "__vdso_sgx_enter_enclave"
#define LIST "list"
#define SEALED "sealed"
#define ABSENT "absent"
#define SEALED_ENV "TEST_VDSO_SEALED"
#define CODE_BYTES 16

extern char **environ;

static const uint8_t *base;
static const Elf64_Dyn *dynamic;

static const void *dyn_table(Elf64_Sxword tag)
{
	for (const Elf64_Dyn *d = dynamic; d->d_tag != DT_NULL; d++)
		if (d->d_tag == tag)
			return base + d->d_un.d_ptr;
	return NULL;
}

static const void *address_of(const Elf64_Sym *sym)
{
	return base + sym->st_value;
}

static const char *name_of(const Elf64_Sym *sym)
{
	return (const char *)dyn_table(DT_STRTAB) + sym->st_name;
}

/* --- the ways to look up ------------------------------------------------------- */

static const Elf64_Sym *by_hash(const char *name)
{
	const Elf64_Sym *symtab = dyn_table(DT_SYMTAB);
	const uint32_t *hash = dyn_table(DT_HASH);
	uint32_t h = 0;

	if (!hash)
		return NULL;
	for (const char *p = name; *p; p++) {
		h = (h << 4) + (uint8_t)*p;
		h = (h ^ (h & 0xf0000000) >> 24) & 0x0fffffff;
	}
	for (uint32_t i = hash[2 + h % hash[0]]; i; i = hash[2 + hash[0] + i])
		if (!strcmp(name_of(&symtab[i]), name))
			return &symtab[i];
	return NULL;
}

static const Elf64_Sym *by_gnu_hash(const char *name)
{
	const Elf64_Sym *symtab = dyn_table(DT_SYMTAB);
	const uint32_t *table = dyn_table(DT_GNU_HASH);
	const uint64_t *bloom;
	const uint32_t *buckets, *chain;
	uint64_t word;
	uint32_t h = 5381, i;

	if (!table)
		return NULL;
	for (const char *p = name; *p; p++)
		h = h * 33 + (uint8_t)*p;
	bloom = (const uint64_t *)(table + 4);
	buckets = table + 4 + 2 * table[2];
	chain = buckets + table[0];
	word = bloom[h / 64 % table[2]];
	if (!(word >> h % 64 & word >> (h >> table[3]) % 64 & 1))
		return NULL;
	for (i = buckets[h % table[0]]; i; i++) {
		if ((chain[i - table[1]] | 1) == (h | 1) && !strcmp(name_of(&symtab[i]), name))
			return &symtab[i];
		if (chain[i - table[1]] & 1)
			break;
	}
	return NULL;
}

static const Elf64_Shdr *section(const char *name)
{
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)base;
	const Elf64_Shdr *shdr = (const Elf64_Shdr *)(base + ehdr->e_shoff);
	const char *names = (const char *)base + shdr[ehdr->e_shstrndx].sh_offset;

	for (unsigned int i = 0; i < ehdr->e_shnum; i++)
		if (!strcmp(names + shdr[i].sh_name, name))
			return &shdr[i];
	return NULL;
}

static const Elf64_Sym *by_section(const char *name)
{
	const Elf64_Shdr *dynsym = section(".dynsym"), *dynstr = section(".dynstr");
	const Elf64_Sym *sym = (const Elf64_Sym *)(base + dynsym->sh_addr);

	for (size_t i = 0; i < dynsym->sh_size / sizeof(*sym); i++)
		if (!strcmp((const char *)base + dynstr->sh_addr + sym[i].st_name, name))
			return &sym[i];
	return NULL;
}

/* Some take the first string table there is. */
static const Elf64_Sym *by_first_strtab(const char *name)
{
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)base;
	const Elf64_Shdr *shdr = (const Elf64_Shdr *)(base + ehdr->e_shoff);
	const Elf64_Shdr *dynsym = section(".dynsym");
	const Elf64_Sym *sym = (const Elf64_Sym *)(base + dynsym->sh_offset);

	while (shdr->sh_type != SHT_STRTAB)
		shdr++;
	for (size_t i = 0; i < dynsym->sh_size / dynsym->sh_entsize; i++)
		if (!strcmp((const char *)base + shdr->sh_offset + sym[i].st_name, name))
			return &sym[i];
	return NULL;
}

static const char *version_of(const Elf64_Sym *sym)
{
	const Elf64_Sym *symtab = dyn_table(DT_SYMTAB);
	const uint16_t *versym = dyn_table(DT_VERSYM);
	const Elf64_Verdef *def = dyn_table(DT_VERDEF);
	const uint16_t index = versym[sym - symtab] & 0x7fff;

	while (def->vd_ndx != index) {
		if (!def->vd_next)
			return NULL;
		def = (const Elf64_Verdef *)((const uint8_t *)def + def->vd_next);
	}
	return (const char *)dyn_table(DT_STRTAB) +
	       ((const Elf64_Verdaux *)((const uint8_t *)def + def->vd_aux))->vda_name;
}

/* --- tests ------------------------------------------------------------------------ */

static void entry_function_is_found_in_every_way(void **state)
{
	const Elf64_Sym *sym = by_section(ENTRY);

	assert_non_null(sym);
	assert_int_equal(ELF64_ST_TYPE(sym->st_info), STT_FUNC);
	assert_int_equal(ELF64_ST_BIND(sym->st_info), STB_GLOBAL);
	assert_int_not_equal(sym->st_shndx, SHN_UNDEF);
	assert_non_null(by_hash(ENTRY));
	assert_ptr_equal(address_of(by_hash(ENTRY)), address_of(sym));
	if (dyn_table(DT_GNU_HASH)) {
		assert_non_null(by_gnu_hash(ENTRY));
		assert_ptr_equal(address_of(by_gnu_hash(ENTRY)), address_of(sym));
	}
	assert_non_null(by_first_strtab(ENTRY));
	assert_string_equal(version_of(by_hash(ENTRY)), "LINUX_2.6");
}

static void entry_function_answers(void **state)
{
	const uint64_t run[32] = { 0 };
	uint64_t function = 7, ret;

	/* It refuses any function but EENTER and ERESUME. */
	__asm__ volatile("push %%rbp; push %[run]; call *%[fn]; add $8, %%rsp; pop %%rbp"
			 : "=a"(ret), "+c"(function)
			 : [run] "r"((uint64_t)(uintptr_t)run), [fn] "r"(address_of(by_hash(ENTRY)))
			 : "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	assert_int_equal((int)ret, -EINVAL);
}

static void other_names_are_not_found(void **state)
{
	assert_null(by_hash("__vdso_sgx"));
	assert_null(by_gnu_hash("__vdso_sgx"));
	assert_null(by_section("__vdso_sgx"));
}

/* Name, address in its page, and code of each symbol. */
static void list_symbols(FILE *out)
{
	const Elf64_Shdr *dynsym = section(".dynsym");
	const Elf64_Sym *sym = (const Elf64_Sym *)(base + dynsym->sh_addr);

	for (size_t i = 1; i < dynsym->sh_size / sizeof(*sym); i++) {
		const uint8_t *code = address_of(&sym[i]);

		if (ELF64_ST_TYPE(sym[i].st_info) != STT_FUNC)
			continue;
		fprintf(out, "%s %x ", name_of(&sym[i]), (unsigned int)((uintptr_t)code & 0xfff));
		for (int b = 0; b < CODE_BYTES; b++)
			fprintf(out, "%02x", code[b]);
		fprintf(out, "\n");
	}
}

static FILE *list_of_the_host(pid_t *pid)
{
	char *argv[] = { (char *)"test-vdso", (char *)LIST, NULL };
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	*pid = fork();
	if (!*pid) {
		unsetenv("LD_PRELOAD");
		unsetenv("SWSGX_SERVER");
		dup2(fds[1], 1);
		execv("/proc/self/exe", argv);
		_exit(99);
	}
	close(fds[1]);
	return fdopen(fds[0], "r");
}

static void assert_is_like_the_hosts(const Elf64_Sym *sym, unsigned int in_page, const char *hex)
{
	const uint8_t *code;

	assert_non_null(sym);
	code = address_of(sym);
	assert_int_equal((uintptr_t)code & 0xfff, in_page);
	for (int b = 0; b < CODE_BYTES; b++) {
		char byte[3];

		snprintf(byte, sizeof(byte), "%02x", code[b]);
		assert_memory_equal(byte, hex + 2 * b, 2);
	}
}

static void host_symbols_are_the_hosts(void **state)
{
	char name[128], hex[2 * CODE_BYTES + 1];
	unsigned int in_page, nr = 0;
	int status;
	pid_t pid;
	FILE *list = list_of_the_host(&pid);

	while (fscanf(list, "%127s %x %32s", name, &in_page, hex) == 3) {
		if (!strcmp(name, ENTRY))
			continue;
		nr++;
		assert_is_like_the_hosts(by_hash(name), in_page, hex);
		assert_is_like_the_hosts(by_section(name), in_page, hex);
		if (dyn_table(DT_GNU_HASH))
			assert_is_like_the_hosts(by_gnu_hash(name), in_page, hex);
		assert_string_equal(version_of(by_hash(name)), "LINUX_2.6");
	}
	fclose(list);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(nr >= 4);
}

static int64_t ns(const struct timespec *t)
{
	return t->tv_sec * 1000000000ll + t->tv_nsec;
}

static void clock_runs_through_the_table(void **state)
{
	const void *fn = address_of(by_hash("__vdso_clock_gettime"));
	int (*clock_fn)(clockid_t, struct timespec *) = NULL;
	struct timespec a, b, c, d;

	memcpy(&clock_fn, &fn, sizeof(fn));
	assert_int_equal(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &a), 0);
	assert_int_equal(clock_fn(CLOCK_MONOTONIC, &b), 0);
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &c), 0);
	assert_int_equal(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &d), 0);
	assert_true(ns(&a) <= ns(&b) && ns(&b) <= ns(&c) && ns(&c) <= ns(&d));
}

/* --- where it is ---------------------------------------------------------------------- */

static uint64_t base_in_stack(void)
{
	char **p = environ;
	const Elf64_auxv_t *aux;

	while (*p)
		p++;
	for (aux = (const Elf64_auxv_t *)(p + 1); aux->a_type != AT_NULL; aux++)
		if (aux->a_type == AT_SYSINFO_EHDR)
			return aux->a_un.a_val;
	return 0;
}

static uint64_t base_in_proc(void)
{
	FILE *f = fopen("/proc/self/auxv", "r");
	uint64_t found = 0;
	Elf64_auxv_t aux;

	assert_non_null(f);
	while (fread(&aux, sizeof(aux), 1, f) == 1)
		if (aux.a_type == AT_SYSINFO_EHDR)
			found = aux.a_un.a_val;
	fclose(f);
	return found;
}

/* Of the line in maps that starts at the vDSO. */
static bool read_rights(char rights[8])
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	bool found = false;

	assert_non_null(f);
	while (!found && fgets(line, sizeof(line), f)) {
		unsigned long start;

		found = sscanf(line, "%lx-%*x %4s", &start, rights) == 2 &&
			start == (uintptr_t)base;
	}
	fclose(f);
	return found;
}

static int is_vdso(struct dl_phdr_info *info, size_t size, void *arg)
{
	if (!strstr(info->dlpi_name, "vdso"))
		return 0;
	*(uint64_t *)arg = info->dlpi_addr;
	return 1;
}

static void everybody_agrees_where_it_is(void **state)
{
	uint64_t loaded = 0;

	assert_int_equal(base_in_stack(), (uintptr_t)base);
	/* A copy is known to the program alone. */
	if (getenv(SEALED_ENV)) {
		assert_int_not_equal(base_in_proc(), (uintptr_t)base);
		return;
	}
	assert_int_equal(base_in_proc(), (uintptr_t)base);
	assert_int_equal(dl_iterate_phdr(is_vdso, &loaded), 1);
	assert_int_equal(loaded, (uintptr_t)base);
}

static void image_cannot_be_written(void **state)
{
	char rights[8];

	assert_true(read_rights(rights));
	assert_string_equal(rights, "r-xp");
}

/* What programs check before they execute ENCLU themselves. */
static void entry_function_is_absent(void **state)
{
	assert_null(by_hash(ENTRY));
	assert_null(by_gnu_hash(ENTRY));
	if (section(".dynsym"))
		assert_null(by_section(ENTRY));
	assert_null(dlvsym(RTLD_DEFAULT, ENTRY, "LINUX_2.6"));
}

/* Some kernels seal the image: nobody may make it writable. */
static int run_sealed(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROT_READ | PROT_WRITE | PROT_EXEC, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = { sizeof(code) / sizeof(code[0]), code };
	char *argv[] = { (char *)"test-vdso", NULL };

	if (setenv(SEALED_ENV, "1", 1) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		return 77;
	execv("/proc/self/exe", argv);
	return 1;
}

static int find_dynamic(void **state)
{
	const Elf64_Ehdr *ehdr;
	const Elf64_Phdr *phdr;

	base = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
	if (!base)
		return -1;
	ehdr = (const Elf64_Ehdr *)base;
	phdr = (const Elf64_Phdr *)(base + ehdr->e_phoff);
	for (unsigned int i = 0; i < ehdr->e_phnum; i++)
		if (phdr[i].p_type == PT_DYNAMIC)
			dynamic = (const Elf64_Dyn *)(base + phdr[i].p_offset);
	return dynamic ? 0 : -1;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entry_function_is_found_in_every_way),
		cmocka_unit_test(entry_function_answers),
		cmocka_unit_test(other_names_are_not_found),
		cmocka_unit_test(host_symbols_are_the_hosts),
		cmocka_unit_test(clock_runs_through_the_table),
		cmocka_unit_test(everybody_agrees_where_it_is),
		cmocka_unit_test(image_cannot_be_written),
	};

	const struct CMUnitTest absent[] = {
		cmocka_unit_test(entry_function_is_absent),
		cmocka_unit_test(host_symbols_are_the_hosts),
	};

	if (argc > 1 && !strcmp(argv[1], SEALED))
		return run_sealed();
	if (argc > 1 && !strcmp(argv[1], ABSENT))
		return cmocka_run_group_tests_name("without the vdso", absent, find_dynamic, NULL);
	if (argc > 1 && !strcmp(argv[1], LIST)) {
		if (find_dynamic(NULL))
			return 1;
		list_symbols(stdout);
		return 0;
	}
	return cmocka_run_group_tests_name("client vdso", tests, find_dynamic, NULL);
}
