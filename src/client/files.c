/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device files: the libc calls by which a program meets them by name, in
 * front of libc's own.  Everything else is passed on.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client.h"
#include "sys.h"

#define MISC_MAJOR 10u
#define ENCLAVE_MINOR 125u
#define PROVISION_MINOR 126u

struct device_file {
	const char *path;
	const char *device;
	unsigned int minor;
};

static const struct device_file device_files[] = {
	{ "/dev/sgx_enclave", PROTO_ENCLAVE, ENCLAVE_MINOR },
	{ "/dev/sgx_provision", PROTO_PROVISION, PROVISION_MINOR },
	{ "/dev/sgx/enclave", PROTO_ENCLAVE, ENCLAVE_MINOR },
	{ "/dev/sgx/provision", PROTO_PROVISION, PROVISION_MINOR },
};
#define NR_FILES (sizeof(device_files) / sizeof(device_files[0]))

static const struct device_file *file_named(const char *path)
{
	if (!path || path[0] != '/' || !client_is_active())
		return NULL;
	for (size_t i = 0; i < NR_FILES; i++)
		if (!strcmp(path, device_files[i].path))
			return &device_files[i];
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
	int fd;

	if (flags & O_DIRECTORY)
		return fail(ENOTDIR);
	if ((flags & O_CREAT) && (flags & O_EXCL))
		return fail(EEXIST);
	fd = client_connect(file->device, flags & O_CLOEXEC);
	return fd < 0 ? fail(-fd) : fd;
}

static bool has_mode(int flags)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

static int open_any(int dirfd, const char *path, int flags, mode_t mode)
{
	static int (*next)(int, const char *, int, ...);
	const struct device_file *file = file_named(path);

	if (file)
		return open_device(file, flags);
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

/* --- stat ------------------------------------------------------------------------ */

_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "one structure on x86-64");

static int stat_device(const struct device_file *file, struct stat *st)
{
	/* Like its neighbour among the character devices, but for the number. */
	long ret = sys_call(SYS_newfstatat, AT_FDCWD, (long)"/dev/null", (long)st, 0);

	if (ret)
		return fail((int)-ret);
	st->st_rdev = makedev(MISC_MAJOR, file->minor);
	st->st_ino = st->st_rdev;
	return 0;
}

static int stat_any(int dirfd, const char *path, struct stat *st, int flags)
{
	const struct device_file *file = file_named(path);
	long ret;

	if (!file && path && !path[0] && (flags & AT_EMPTY_PATH))
		file = file_of(dirfd);
	if (file)
		return stat_device(file, st);
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
	return file ? stat_device(file, st) : 0;
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
int __xstat(int version, const char *path, struct stat *st);
int __lxstat(int version, const char *path, struct stat *st);
int __fxstat(int version, int fd, struct stat *st);

CLIENT_EXPORT int __xstat(int version, const char *path, struct stat *st)
{
	return stat_any(AT_FDCWD, path, st, 0);
}

CLIENT_EXPORT int __lxstat(int version, const char *path, struct stat *st)
{
	return stat_any(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

CLIENT_EXPORT int __fxstat(int version, int fd, struct stat *st)
{
	return fstat_any(fd, st);
}

CLIENT_EXPORT int statx(int dirfd, const char *restrict path, int flags, unsigned int mask,
			struct statx *restrict stx)
{
	const struct device_file *file = file_named(path);
	long ret;

	if (!file && path && !path[0] && (flags & AT_EMPTY_PATH))
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

/* --- access ------------------------------------------------------------------------ */

CLIENT_EXPORT int faccessat(int dirfd, const char *path, int mode, int flags)
{
	static int (*next)(int, const char *, int, int);

	/* Read and write for everybody; nobody executes a device. */
	if (file_named(path))
		return mode & X_OK ? fail(EACCES) : 0;
	if (!next)
		next = (int (*)(int, const char *, int, int))dlsym(RTLD_NEXT, "faccessat");
	return next(dirfd, path, mode, flags);
}

CLIENT_EXPORT int access(const char *path, int mode)
{
	long ret;

	if (file_named(path))
		return mode & X_OK ? fail(EACCES) : 0;
	ret = sys_call(SYS_access, (long)path, mode, 0, 0);
	return ret ? fail((int)-ret) : 0;
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
