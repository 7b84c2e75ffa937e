/* SPDX-License-Identifier: BSD-3-Clause */
/* The names by which programs know the devices. */
#ifndef SWSGX_CLIENT_FILES_H
#define SWSGX_CLIENT_FILES_H

#include <stdbool.h>
#include <sys/stat.h>

struct device_file {
	const char *path;
	const char *device;	/* PROTO_ENCLAVE, PROTO_PROVISION or PROTO_VEPC */
	unsigned int minor;
};

/** file_among_ours() - file_named() of a path that may be one. */
const struct device_file *file_among_ours(const char *path);

/**
 * file_named() - the device file called @path; NULL when it is none, or NULL.
 * Programs open and look at files all day: those that are not there are soon told apart.
 */
static inline const struct device_file *file_named(const char *path)
{
	return path && path[0] == '/' && path[1] == 'd' && path[2] == 'e' && path[3] == 'v' &&
	       path[4] == '/' && path[5] == 's' ? file_among_ours(path) : NULL;
}

/** file_stat() - what stat(2) says of @file.  0, or -1 and errno. */
int file_stat(const struct device_file *file, struct stat *st);

/** proc_is_among_ours() - proc_is_named() of a path in /proc. */
bool proc_is_among_ours(const char *path, int flags);

/** proc_is_named() - would open(@path, @flags) read something else than the host's? */
static inline bool proc_is_named(const char *path, int flags)
{
	return path && path[0] == '/' && path[1] == 'p' && proc_is_among_ours(path, flags);
}

/**
 * proc_open() - open it as it is on a machine with SGX.
 * Return: a descriptor to read from; -errno.
 */
int proc_open(const char *path, int flags);

#endif /* SWSGX_CLIENT_FILES_H */
