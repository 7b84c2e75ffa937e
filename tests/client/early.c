/* SPDX-License-Identifier: BSD-3-Clause */
/* A library whose constructor runs before any code of the program. */
#include "early.h"

#include <cpuid.h>
#include <elf.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>

static volatile sig_atomic_t calls;
static int fd = -1;
static sigset_t mask;
static bool has_entry, has_sgx;

static void count(int sig)
{
	calls++;
}

static bool find_entry(void)
{
	const uint8_t *base = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)base;
	const Elf64_Shdr *shdr = (const Elf64_Shdr *)(base + ehdr->e_shoff);
	const Elf64_Shdr *dynsym = shdr;
	const Elf64_Sym *sym;
	const char *names;

	while (dynsym->sh_type != SHT_DYNSYM)
		dynsym++;
	sym = (const Elf64_Sym *)(base + dynsym->sh_offset);
	names = (const char *)base + shdr[dynsym->sh_link].sh_offset;
	for (size_t i = 0; i < dynsym->sh_size / sizeof(*sym); i++)
		if (!strcmp(names + sym[i].st_name, "__vdso_sgx_enter_enclave"))
			return true;
	return false;
}

static bool ask_cpuid(void)
{
	unsigned int eax, ebx = 0, ecx, edx;

	return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & 1u << 2);
}

__attribute__((constructor)) static void early(void)
{
	const struct sigaction sa = { .sa_handler = count, .sa_flags = SA_RESTART };
	sigset_t set;

	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGILL);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	has_entry = getauxval(AT_SYSINFO_EHDR) && find_entry();
	has_sgx = ask_cpuid();
	fd = open("/dev/sgx_enclave", O_RDWR);
}

bool early_has_entry(void)
{
	return has_entry;
}

bool early_has_sgx(void)
{
	return has_sgx;
}

int early_fd(void)
{
	return fd;
}

sig_atomic_t early_calls(void)
{
	return calls;
}

const sigset_t *early_mask(void)
{
	return &mask;
}
