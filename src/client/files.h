/* SPDX-License-Identifier: BSD-3-Clause */
/* The names by which programs know the devices. */
#ifndef SWSGX_CLIENT_FILES_H
#define SWSGX_CLIENT_FILES_H

struct device_file {
	const char *path;
	const char *device;	/* PROTO_ENCLAVE, PROTO_PROVISION or PROTO_VEPC */
	unsigned int minor;
};

/** file_named() - the device file called @path; NULL when it is none, or NULL. */
const struct device_file *file_named(const char *path);

#endif /* SWSGX_CLIENT_FILES_H */
