/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the command line share. */
#ifndef SWSGX_CLI_H
#define SWSGX_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../server/control.h"
#include "../server/proto.h"
#include "../server/server.h"

/* Exit statuses, as a shell would choose them. */
#define EXIT_USAGE 2
#define EXIT_NO_ANSWER 125	/* of health, whose 1 and 2 are answers */
#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND 127

/* Long options: beyond any letter, so that complaints can tell the two apart. */
enum {
	OPT_HELP = 256,
	OPT_EPC,
	OPT_PROFILE,
	OPT_INJECT,
	OPT_ON_LEAK,
	OPT_NO_OVERCOMMIT,
	OPT_REPORT,
	OPT_SERVER,
	OPT_NO_VDSO,
	OPT_EXACT,
	OPT_NAME,
	OPT_JSON,
	OPT_VM_FIRST,	/* cmd-vm.c has more */
};

/* The commands; @argv[0] is the command's name.  Return: an exit status. */
int cmd_run(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_leaks(int argc, char **argv);
int cmd_health(int argc, char **argv);
int cmd_leaves(int argc, char **argv);
int cmd_vm(int argc, char **argv);

/** complain() - one line on standard error, after "swsgx: ". */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * complain_option() - about what getopt_long() just refused with ':' or '?'.
 * Return: EXIT_USAGE.
 */
int complain_option(int c, char **argv, const char *command);

/**
 * parse_size() - "4096", "64K", "16M", "1G".
 * @bytes: set on success.  Return: false with @why set to a reason.
 */
bool parse_size(const char *text, uint64_t *bytes, const char **why);

/* --- machine-options.c: what run and serve have in common --------------------- */

struct machine_options {
	struct server_config config;
	struct inject_plan plan;	/* of config.inject */
	bool given;			/* any of them */
	bool report;
	bool done;			/* help was given, nothing else is to be done */
};

#define MACHINE_LONGOPTS					\
	{ "epc", required_argument, NULL, OPT_EPC },		\
	{ "profile", required_argument, NULL, OPT_PROFILE },	\
	{ "inject", required_argument, NULL, OPT_INJECT },	\
	{ "on-leak", required_argument, NULL, OPT_ON_LEAK },	\
	{ "no-overcommit", no_argument, NULL, OPT_NO_OVERCOMMIT }, \
	{ "report", no_argument, NULL, OPT_REPORT }

#define MACHINE_USAGE									\
	"  --epc SIZE      size of the enclave page cache, in bytes or with K, M, G, T;\n" \
	"                  a multiple of 4096 (default 64M)\n"				\
	"  --profile NAME  the processor; 'help' lists them\n"				\
	"  --inject RULE   make leaves of the processor fail; may be given repeatedly:\n" \
	"                  LEAF:nth=N[,every=M][,code=NAME|fault=GP|PF][,from=boot][,seed=S]\n" \
	"  --on-leak WHAT  when an EPC page leaks: 'continue' (default), 'refuse' new\n"	\
	"                  enclaves, or 'abort' the machine, as if its power were cut\n"	\
	"  --no-overcommit write no page of an enclave out: what does not fit into the\n"	\
	"                  EPC is refused\n"						\
	"  --report        say at the end how the machine was\n"

void machine_options_init(struct machine_options *o);

/* A command that takes options of a machine, and what it takes besides. */
struct machine_command {
	const char *name, *usage;
	const char *shortopts;		/* as getopt_long() wants them, with "h" */
	const struct option *longopts;
	/* Optional: take option @c.  Return: false when it is the machine's. */
	bool (*own)(void *ctx, int c, const char *value);
	void *ctx;
};

/**
 * machine_options_take() - all options of the command line.
 * Return: 0, the first that is none is at optind; or an exit status after a complaint.
 */
int machine_options_take(struct machine_options *o, const struct machine_command *command,
			 int argc, char **argv);

/** on_leak_name() - as --on-leak takes it. */
const char *on_leak_name(uint32_t on_leak);

/** complain_server() - why server_create() failed with @error. */
void complain_server(const struct machine_options *o, int error);

/* --- start-server.c ------------------------------------------------------------- */

/**
 * start_server() - start a server that lasts as long as this process and its
 * children, or the program that takes its place; name it in the environment.
 * @report: write end of a pipe: the server writes a byte when it is up, and
 *          another one after its report, and holds it open in between;
 *          -1: no report.
 * Return: 0; -ENOMEM the EPC does not fit into memory; another -errno.
 */
int start_server(const struct server_config *config, int report);

/** fill_standard_descriptors() - those that are closed, so that none of ours takes their place. */
void fill_standard_descriptors(void);

/** raise_descriptor_limit() - an enclave takes three in its server: as many as we may. */
void raise_descriptor_limit(void);

/* --- ask-server.c: a server that runs ------------------------------------------- */

/**
 * ask_find() - which server is meant.
 * @wish: as the user named it; NULL: $SWSGX_SERVER, else the only one there is.
 * Return: its connection, with @name set; -1 after a complaint.
 */
int ask_find(const char *wish, char name[PROTO_NAME_MAX]);

/** ask_stat() - Return: false after a complaint. */
bool ask_stat(int sock, struct control_stat *stat);

/** ask_leaks() - Return: rows from @first on; -1 after a complaint. */
int ask_leaks(int sock, uint64_t first, struct control_leak rows[CONTROL_LEAKS_AT_ONCE]);

/* --- show-text.c, show-json.c ------------------------------------------------------ */

/** show_stat() - @name: the server's; each line begins with @indent. */
void show_stat(FILE *out, const char *indent, const char *name, const struct control_stat *stat);
void show_leak(FILE *out, const char *indent, const struct control_leak *leak);

/** show_health() - one line without its end. */
void show_health(FILE *out, const struct control_stat *stat);

/* What became of instructions, by enum count_place. */
struct place_name {
	const char *where, *instruction, *fate;
};

extern const struct place_name place_names[COUNT_NR_PLACES];

/** trap_name() - what enum count_trap @trap counts; NULL when there is no such leaf. */
const char *trap_name(size_t trap);

/** health_name() - "ok", "degraded", "failing". */
const char *health_name(const struct control_stat *stat);

/** health_status() - the exit status of swsgx health. */
int health_status(const struct control_stat *stat);

/* What the ledger's numbers are called; shared by both ways to show it. */
const char *leak_result_name(const struct control_leak *leak);
const char *leak_page_type(const struct control_leak *leak);
void format_rwx(const struct control_leak *leak, char rwx[4]);

/** format_time() - wall clock nanoseconds as ISO 8601 in UTC; 32 bytes. */
void format_time(uint64_t time_ns, char text[32]);

/* One JSON object and a newline; false when memory ran out. */
bool json_stat(FILE *out, const char *name, const struct control_stat *stat);
bool json_health(FILE *out, const char *name, const struct control_stat *stat);

/* Leaks come piecemeal: begin, add rows any number of times, end or drop. */
struct json_leaks {
	struct json_t *rows;
};

bool json_leaks_begin(struct json_leaks *leaks);
bool json_leaks_add(struct json_leaks *leaks, const struct control_leak *leak);
bool json_leaks_end(struct json_leaks *leaks, const char *name, FILE *out);
void json_leaks_drop(struct json_leaks *leaks);

/* --- report.c -------------------------------------------------------------------- */

/** report() - the summary of a machine at its end, on standard error. */
void report(const struct server *s);

/* --- program.c ----------------------------------------------------------------------- */

/**
 * program_check() - can @name be run with the client inside?
 * @path: receives where it is, PATH searched as execvp() does; PATH_MAX bytes.
 * Return: 0, or the exit status to end with; a complaint was made then.
 */
int program_check(const char *name, char *path);

/* --- wait.c ----------------------------------------------------------------------------- */

/**
 * wait_for_report() - become the parent of the program; returns in the child.
 * The parent ends when both program and machine have, as the program did.
 * @report: set to what start_server() takes.
 * Return: 0, or -errno when there is no child.
 */
int wait_for_report(int *report);

#endif /* SWSGX_CLI_H */
