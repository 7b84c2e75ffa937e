/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device files: opening, looking at and closing them, in front of libc's
 * own calls.  Everything else is passed on.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client.h"
#include "files.h"
#include "sys.h"

#define MISC_MAJOR 10u
#define ENCLAVE_MINOR 125u
#define PROVISION_MINOR 126u
#define VEPC_MINOR 124u

static const struct device_file device_files[] = {
	{ "/dev/sgx_enclave", PROTO_ENCLAVE, ENCLAVE_MINOR },
	{ "/dev/sgx_provision", PROTO_PROVISION, PROVISION_MINOR },
	{ "/dev/sgx_vepc", PROTO_VEPC, VEPC_MINOR },
	{ "/dev/sgx/enclave", PROTO_ENCLAVE, ENCLAVE_MINOR },
	{ "/dev/sgx/provision", PROTO_PROVISION, PROVISION_MINOR },
};
#define NR_FILES (sizeof(device_files) / sizeof(device_files[0]))

/* Linux has no driver for host enclaves where launch control is missing or locked. */
static bool is_there(const struct device_file *file)
{
	return strcmp(file->device, PROTO_ENCLAVE) || client_has_launch_control();
}

const struct device_file *file_among_ours(const char *path)
{
	client_start();
	if (!client_is_active())
		return NULL;
	for (size_t i = 0; i < NR_FILES; i++)
		if (!strcmp(path, device_files[i].path))
			return is_there(&device_files[i]) ? &device_files[i] : NULL;
	return NULL;
}

static const struct device_file *file_of(int fd)
{
	const char *device = client_device_of(fd);

	for (size_t i = 0; device && i < NR_FILES; i++)
		if (device_files[i].device == device)
			return &device_files[i];
	return NULL;
}

static int fail(int error)
{
	errno = error;
	return -1;
}

/* --- open ----------------------------------------------------------------------- */

static int open_device(const struct device_file *file, int flags)
{
	int fd, error;

	if (flags & O_DIRECTORY)
		return fail(ENOTDIR);
	if ((flags & O_CREAT) && (flags & O_EXCL))
		return fail(EEXIST);
	/* What was loaded since the program began may ask about SGX, too. */
	client_rewrite();
	fd = client_connect(file->device, flags & O_CLOEXEC);
	if (fd < 0)
		return fail(-fd);
	error = strcmp(file->device, PROTO_VEPC) ? 0 : client_vepc_opened(fd);
	if (!error)
		return fd;
	sys_close(fd);
	return fail(-error);
}

static bool has_mode(int flags)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

static int open_any(int dirfd, const char *path, int flags, mode_t mode)
{
	static int (*next)(int, const char *, int, ...);
	const struct device_file *file = file_named(path);
	int fd;

	if (file)
		return open_device(file, flags);
	if (proc_is_named(path, flags)) {
		fd = proc_open(path, flags);
		return fd < 0 ? fail(-fd) : fd;
	}
	if (!next)
		next = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat");
	return next(dirfd, path, flags, mode);
}

#define OPEN(name, extra)                                                                          \
	CLIENT_EXPORT int name(const char *path, int flags, ...)                                   \
	{                                                                                          \
		mode_t mode = 0;                                                                   \
		va_list args;                                                                      \
                                                                                                   \
		va_start(args, flags);                                                             \
		if (has_mode(flags))                                                               \
			mode = va_arg(args, mode_t);                                               \
		va_end(args);                                                                      \
		return open_any(AT_FDCWD, path, flags | (extra), mode);                            \
	}

#define OPENAT(name, extra)                                                                        \
	CLIENT_EXPORT int name(int dirfd, const char *path, int flags, ...)                        \
	{                                                                                          \
		mode_t mode = 0;                                                                   \
		va_list args;                                                                      \
                                                                                                   \
		va_start(args, flags);                                                             \
		if (has_mode(flags))                                                               \
			mode = va_arg(args, mode_t);                                               \
		va_end(args);                                                                      \
		return open_any(dirfd, path, flags | (extra), mode);                               \
	}

OPEN(open, 0)
OPEN(open64, O_LARGEFILE)
OPENAT(openat, 0)
OPENAT(openat64, O_LARGEFILE)

/* What a fortified program calls. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);

CLIENT_EXPORT int __open_2(const char *path, int flags)
{
	return open_any(AT_FDCWD, path, flags, 0);
}

CLIENT_EXPORT int __open64_2(const char *path, int flags)
{
	return open_any(AT_FDCWD, path, flags | O_LARGEFILE, 0);
}

CLIENT_EXPORT int __openat_2(int dirfd, const char *path, int flags)
{
	return open_any(dirfd, path, flags, 0);
}

CLIENT_EXPORT int __openat64_2(int dirfd, const char *path, int flags)
{
	return open_any(dirfd, path, flags | O_LARGEFILE, 0);
}

static FILE *fopen_proc(const char *path, const char *mode)
{
	const int fd = proc_open(path, strchr(mode, 'e') ? O_CLOEXEC : 0);
	FILE *stream;

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	stream = fdopen(fd, mode);
	if (!stream)
		sys_close(fd);
	return stream;
}

/* Nobody reads a device through a stream; but asks so whether it can be opened. */
static FILE *fopen_any(const char *path, const char *mode)
{
	static FILE *(*next)(const char *, const char *);
	const struct device_file *file = file_named(path);
	FILE *stream;
	int fd;

	if (!file && mode[0] == 'r' && !strchr(mode, '+') && proc_is_named(path, O_RDONLY))
		return fopen_proc(path, mode);
	if (!file) {
		if (!next)
			next = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, "fopen");
		return next(path, mode);
	}
	fd = open_device(file, (strchr(mode, 'e') ? O_CLOEXEC : 0) |
				       (strchr(mode, 'x') ? O_CREAT | O_EXCL : 0));
	if (fd < 0)
		return NULL;
	stream = fdopen(fd, mode);
	if (!stream)
		sys_close(fd);
	return stream;
}

CLIENT_EXPORT FILE *fopen(const char *restrict path, const char *restrict mode)
{
	return fopen_any(path, mode);
}

CLIENT_EXPORT FILE *fopen64(const char *restrict path, const char *restrict mode)
{
	return fopen_any(path, mode);
}

/* --- stat ------------------------------------------------------------------------ */

_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "one structure on x86-64");

int file_stat(const struct device_file *file, struct stat *st)
{
	/* Like its neighbour among the character devices, but for the number. */
	long ret = sys_call(SYS_newfstatat, AT_FDCWD, (long)"/dev/null", (long)st, 0);

	if (ret)
		return fail((int)-ret);
	st->st_rdev = makedev(MISC_MAJOR, file->minor);
	st->st_ino = st->st_rdev;
	return 0;
}

static bool is_empty(const char *path)
{
	return path && !path[0];
}

static int stat_any(int dirfd, const char *path, struct stat *st, int flags)
{
	const struct device_file *file = file_named(path);
	long ret;

	if (!file && is_empty(path) && (flags & AT_EMPTY_PATH))
		file = file_of(dirfd);
	if (file)
		return file_stat(file, st);
	ret = sys_call(SYS_newfstatat, dirfd, (long)path, (long)st, flags);
	return ret ? fail((int)-ret) : 0;
}

static int fstat_any(int fd, struct stat *st)
{
	const long ret = sys_call(SYS_fstat, fd, (long)st, 0, 0);
	const struct device_file *file;

	if (ret)
		return fail((int)-ret);
	file = S_ISSOCK(st->st_mode) ? file_of(fd) : NULL;
	return file ? file_stat(file, st) : 0;
}

CLIENT_EXPORT int stat(const char *path, struct stat *st)
{
	return stat_any(AT_FDCWD, path, st, 0);
}

CLIENT_EXPORT int stat64(const char *path, struct stat64 *st)
{
	return stat_any(AT_FDCWD, path, (struct stat *)st, 0);
}

CLIENT_EXPORT int lstat(const char *path, struct stat *st)
{
	return stat_any(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

CLIENT_EXPORT int lstat64(const char *path, struct stat64 *st)
{
	return stat_any(AT_FDCWD, path, (struct stat *)st, AT_SYMLINK_NOFOLLOW);
}

CLIENT_EXPORT int fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	return stat_any(dirfd, path, st, flags);
}

CLIENT_EXPORT int fstatat64(int dirfd, const char *path, struct stat64 *st, int flags)
{
	return stat_any(dirfd, path, (struct stat *)st, flags);
}

CLIENT_EXPORT int fstat(int fd, struct stat *st)
{
	return fstat_any(fd, st);
}

CLIENT_EXPORT int fstat64(int fd, struct stat64 *st)
{
	return fstat_any(fd, (struct stat *)st);
}

/* Programs built against an older libc. */
#define OLD_STAT(name, type)                                                                       \
	int __x##name(int version, const char *path, struct type *st);                             \
	int __lx##name(int version, const char *path, struct type *st);                            \
	int __fx##name(int version, int fd, struct type *st);                                      \
                                                                                                   \
	CLIENT_EXPORT int __x##name(int version, const char *path, struct type *st)                \
	{                                                                                          \
		return stat_any(AT_FDCWD, path, (struct stat *)st, 0);                             \
	}                                                                                          \
                                                                                                   \
	CLIENT_EXPORT int __lx##name(int version, const char *path, struct type *st)               \
	{                                                                                          \
		return stat_any(AT_FDCWD, path, (struct stat *)st, AT_SYMLINK_NOFOLLOW);           \
	}                                                                                          \
                                                                                                   \
	CLIENT_EXPORT int __fx##name(int version, int fd, struct type *st)                         \
	{                                                                                          \
		return fstat_any(fd, (struct stat *)st);                                           \
	}

OLD_STAT(stat, stat)
OLD_STAT(stat64, stat64)

int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags);
int __fxstatat64(int version, int dirfd, const char *path, struct stat64 *st, int flags);

CLIENT_EXPORT int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags)
{
	return stat_any(dirfd, path, st, flags);
}

CLIENT_EXPORT int __fxstatat64(int version, int dirfd, const char *path, struct stat64 *st,
			       int flags)
{
	return stat_any(dirfd, path, (struct stat *)st, flags);
}

CLIENT_EXPORT int statx(int dirfd, const char *restrict path, int flags, unsigned int mask,
			struct statx *restrict stx)
{
	const struct device_file *file = file_named(path);
	long ret;

	if (!file && is_empty(path) && (flags & AT_EMPTY_PATH))
		file = file_of(dirfd);
	ret = sys_call6(SYS_statx, file ? AT_FDCWD : dirfd, (long)(file ? "/dev/null" : path),
			file ? 0 : flags, mask, (long)stx, 0);
	if (ret)
		return fail((int)-ret);
	if (file) {
		stx->stx_rdev_major = MISC_MAJOR;
		stx->stx_rdev_minor = file->minor;
		stx->stx_ino = makedev(MISC_MAJOR, file->minor);
	}
	return 0;
}

/* --- close ------------------------------------------------------------------------- */

/* A program that closes everything must not close what stands for its mappings. */
CLIENT_EXPORT int close(int fd)
{
	static int (*next)(int);

	if (fd >= 0 && client_owns_fd(fd))
		return fail(EBADF);
	if (!next)
		next = (int (*)(int))dlsym(RTLD_NEXT, "close");
	return next(fd);
}

/* The highest descriptor that close_range() could meet here is what we look up to. */
#define MAX_OWN_FD 65536u

CLIENT_EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	const unsigned int end = last < MAX_OWN_FD ? last : MAX_OWN_FD;
	unsigned int from = first;
	long ret = 0;

	for (unsigned int fd = first; !ret && fd <= end; fd++) {
		if (!client_owns_fd((int)fd))
			continue;
		if (fd > from)
			ret = sys_call(SYS_close_range, from, fd - 1, flags, 0);
		from = fd + 1;
	}
	if (!ret && from <= last)
		ret = sys_call(SYS_close_range, from, last, flags, 0);
	return ret ? fail((int)-ret) : 0;
}

CLIENT_EXPORT void closefrom(int first)
{
	close_range(first < 0 ? 0 : (unsigned int)first, ~0u, 0);
}

/* A program that wants the number of one of ours for itself gets it. */
static int make_way(int fd)
{
	const int error = fd >= 0 && client_owns_fd(fd) ? client_move_fd(fd) : 0;

	return error ? fail(-error) : 0;
}

CLIENT_EXPORT int dup2(int old, int new)
{
	long ret;

	if (old != new && make_way(new))
		return -1;
	ret = sys_call(SYS_dup2, old, new, 0, 0);
	return ret < 0 ? fail((int)-ret) : (int)ret;
}

CLIENT_EXPORT int dup3(int old, int new, int flags)
{
	long ret;

	if (old != new && make_way(new))
		return -1;
	ret = sys_call(SYS_dup3, old, new, flags, 0);
	return ret < 0 ? fail((int)-ret) : (int)ret;
}
