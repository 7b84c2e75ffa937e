/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Questions about the device files that do not open them: access, links and
 * extended attributes, in front of libc's own.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "client.h"
#include "files.h"
#include "sys.h"

/* What the kernel answered, as libc would. */
static long result(long ret)
{
	if (ret >= 0)
		return ret;
	errno = (int)-ret;
	return -1;
}

/* --- access ------------------------------------------------------------------------ */

/* Read and write for everybody; nobody executes a device. */
static int may_access(int mode)
{
	return (int)result(mode & X_OK ? -EACCES : 0);
}

CLIENT_EXPORT int faccessat(int dirfd, const char *path, int mode, int flags)
{
	static int (*next)(int, const char *, int, int);

	if (file_named(path))
		return may_access(mode);
	if (!next)
		next = (int (*)(int, const char *, int, int))dlsym(RTLD_NEXT, "faccessat");
	return next(dirfd, path, mode, flags);
}

CLIENT_EXPORT int access(const char *path, int mode)
{
	if (file_named(path))
		return may_access(mode);
	return (int)result(sys_call(SYS_access, (long)path, mode, 0, 0));
}

CLIENT_EXPORT int euidaccess(const char *path, int mode)
{
	return faccessat(AT_FDCWD, path, mode, AT_EACCESS);
}

CLIENT_EXPORT int eaccess(const char *path, int mode)
{
	return faccessat(AT_FDCWD, path, mode, AT_EACCESS);
}

/* --- links ------------------------------------------------------------------------- */

CLIENT_EXPORT ssize_t readlink(const char *restrict path, char *restrict buf, size_t size)
{
	if (file_named(path))
		return result(-EINVAL);
	return result(sys_call(SYS_readlink, (long)path, (long)buf, (long)size, 0));
}

CLIENT_EXPORT ssize_t readlinkat(int dirfd, const char *restrict path, char *restrict buf,
				 size_t size)
{
	if (file_named(path))
		return result(-EINVAL);
	return result(sys_call(SYS_readlinkat, dirfd, (long)path, (long)buf, (long)size));
}

CLIENT_EXPORT char *realpath(const char *restrict path, char *restrict resolved)
{
	static char *(*next)(const char *, char *);
	const struct device_file *file = file_named(path);

	if (file)
		return resolved ? strcpy(resolved, file->path) : strdup(file->path);
	if (!next)
		next = (char *(*)(const char *, char *))dlsym(RTLD_NEXT, "realpath");
	return next(path, resolved);
}

CLIENT_EXPORT char *canonicalize_file_name(const char *path)
{
	return realpath(path, NULL);
}

/* What a fortified program calls. */
char *__realpath_chk(const char *path, char *resolved, size_t size);

CLIENT_EXPORT char *__realpath_chk(const char *path, char *resolved, size_t size)
{
	/* Too small a buffer is a bug in the program, whatever the path is. */
	if (resolved && size < PATH_MAX)
		abort();
	return realpath(path, resolved);
}

/* --- extended attributes: none ------------------------------------------------------ */

CLIENT_EXPORT ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
	if (file_named(path))
		return result(-ENODATA);
	return result(sys_call(SYS_getxattr, (long)path, (long)name, (long)value, (long)size));
}

CLIENT_EXPORT ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size)
{
	if (file_named(path))
		return result(-ENODATA);
	return result(sys_call(SYS_lgetxattr, (long)path, (long)name, (long)value, (long)size));
}

CLIENT_EXPORT ssize_t listxattr(const char *path, char *list, size_t size)
{
	if (file_named(path))
		return 0;
	return result(sys_call(SYS_listxattr, (long)path, (long)list, (long)size, 0));
}

CLIENT_EXPORT ssize_t llistxattr(const char *path, char *list, size_t size)
{
	if (file_named(path))
		return 0;
	return result(sys_call(SYS_llistxattr, (long)path, (long)list, (long)size, 0));
}
