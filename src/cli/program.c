/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which programs can be run: those whose dynamic loader will load the client.
 * Said before the program starts, because afterwards it would just find no SGX.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

static bool is_candidate(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* As execvp(): the first executable in PATH, else the first file there. */
static bool search_path(const char *name, char *path)
{
	const char *dirs = getenv("PATH"), *end;
	bool found = false;

	for (dirs = dirs ? dirs : "/usr/local/bin:/bin:/usr/bin"; dirs; dirs = end) {
		char try[PATH_MAX];
		const char *colon = strchr(dirs, ':');
		const int len = colon ? (int)(colon - dirs) : (int)strlen(dirs);
		const int n = snprintf(try, sizeof(try), "%.*s%s%s", len, dirs, len ? "/" : "./",
				       name);

		end = colon ? colon + 1 : NULL;
		if (n >= (int)sizeof(try) || access(try, F_OK))
			continue;
		if (!found || is_candidate(try))
			strcpy(path, try);
		found = true;
		if (is_candidate(try))
			return true;
	}
	return found;
}

static bool locate(const char *name, char *path)
{
	if (!strchr(name, '/'))
		return *name && search_path(name, path);
	if (strlen(name) >= PATH_MAX)
		return false;
	strcpy(path, name);
	return access(path, F_OK) == 0 || errno != ENOENT;
}

static int refuse(const char *path, const char *why)
{
	complain("cannot run '%s': %s", path, why);
	return EXIT_CANNOT_RUN;
}

static bool has_interpreter(int fd, const Elf64_Ehdr *ehdr)
{
	for (unsigned int i = 0; i < ehdr->e_phnum; i++) {
		const off_t at = (off_t)(ehdr->e_phoff + i * sizeof(Elf64_Phdr));
		Elf64_Phdr phdr;

		if (pread(fd, &phdr, sizeof(phdr), at) != sizeof(phdr))
			return false;
		if (phdr.p_type == PT_INTERP)
			return true;
	}
	return false;
}

static int check_elf(const char *path, int fd, const Elf64_Ehdr *ehdr)
{
	if (ehdr->e_ident[EI_CLASS] != ELFCLASS64 || ehdr->e_ident[EI_DATA] != ELFDATA2LSB ||
	    ehdr->e_machine != EM_X86_64)
		return refuse(path, "it is for another architecture; only x86-64 programs can use "
				    "SGX here");
	if (!has_interpreter(fd, ehdr))
		return refuse(path, "it is statically linked; only dynamically linked programs "
				    "are supported so far");
	return 0;
}

static int check_content(const char *path, int fd)
{
	Elf64_Ehdr ehdr;
	const ssize_t n = pread(fd, &ehdr, sizeof(ehdr), 0);

	if (n >= 2 && !memcmp(&ehdr, "#!", 2))
		return 0;	/* its interpreter is a program like any other */
	if (n < SELFMAG || memcmp(ehdr.e_ident, ELFMAG, SELFMAG))
		return refuse(path, "it is neither an ELF program nor a script with '#!'");
	if (n != sizeof(ehdr))
		return refuse(path, "its ELF header is cut off");
	return check_elf(path, fd, &ehdr);
}

static int check_file(const char *path)
{
	struct stat st;
	int fd, ret;

	if (stat(path, &st))
		return refuse(path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return refuse(path, "it is a directory");
	if (!is_candidate(path))
		return refuse(path, "it is not executable");
	if (st.st_mode & (S_ISUID | S_ISGID))
		return refuse(path, "it is set-user-ID or set-group-ID, and such programs load "
				    "no preloaded library");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return refuse(path, errno == EACCES ? "it cannot be read, so what it is cannot "
						      "be told" : strerror(errno));
	ret = check_content(path, fd);
	close(fd);
	return ret;
}

int program_check(const char *name, char *path)
{
	if (!locate(name, path)) {
		complain("cannot run '%s': no such program%s", name,
			 strchr(name, '/') ? "" : " in PATH");
		return EXIT_NOT_FOUND;
	}
	return check_file(path);
}
