/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the command line share. */
#ifndef SWSGX_CLI_H
#define SWSGX_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "../server/server.h"

/* Exit statuses, as a shell would choose them. */
#define EXIT_USAGE 2
#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND 127

/** cmd_run() - swsgx run.  @argv[0] is "run".  Return: an exit status. */
int cmd_run(int argc, char **argv);

/**
 * start_server() - start a server that lasts as long as this process and its
 * children, or the program that takes its place; name it in the environment.
 * Return: 0; -ENOMEM the EPC does not fit into memory; another -errno.
 */
int start_server(const struct server_config *config);

/** complain() - one line on standard error, after "swsgx: ". */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * parse_size() - "4096", "64K", "16M", "1G".
 * @bytes: set on success.  Return: false with @why set to a reason.
 */
bool parse_size(const char *text, uint64_t *bytes, const char **why);

/**
 * program_check() - can @name be run with the client inside?
 * @path: receives where it is, PATH searched as execvp() does; PATH_MAX bytes.
 * Return: 0, or the exit status to end with; a complaint was made then.
 */
int program_check(const char *name, char *path);

#endif /* SWSGX_CLI_H */
