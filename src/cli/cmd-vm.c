/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * swsgx vm: a virtual machine whose processor has SGX.
 *
 * QEMU, the kernel and the initial file system come from the scripts of qemu/,
 * which build or fetch what is not there yet.  QEMU then takes this process's
 * place.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

/*
 * An Intel part, less what TCG would warn that it does not do, and less CMPXCHG16B:
 * Linux 6.12 uses it, and then dies of a double fault in every QEMU 7.2.
 */
#define CPU_MODEL "Skylake-Client-v4,-pcid,-x2apic,-tsc-deadline,-invpcid,-rdseed," \
	"-spec-ctrl,-3dnowprefetch,-xsavec,-xsaves,-cx16"
#define MAX_ARGS 256

static const char usage[] =
	"Usage: swsgx vm [OPTIONS] [-- QEMU-ARGS...]\n"
	"\n"
	"Boots a virtual machine with SGX in its processor, under QEMU without KVM, on\n"
	"this terminal.  Without further options: Debian's cloud kernel and a shell.\n"
	"QEMU is built at the first time, which takes some minutes; all is kept in\n"
	"~/.cache/swsgx.  Ctrl-A X ends the machine.\n"
	"\n"
	"  --epc SIZE      size of its EPC, in bytes or with K, M, G, T; a multiple of\n"
	"                  4096 (default 64M)\n"
	"  --profile NAME  the processor; 'help' lists them\n"
	"  --inject RULE   make leaves fail, as for 'swsgx run'; may be given repeatedly\n"
	"  --kernel FILE   boot this kernel\n"
	"  --initrd FILE   with this initial file system\n"
	"  -h, --help      this text\n"
	"\n"
	"Exit status: QEMU's; 2 bad usage, 1 something could not be built or fetched.\n";

struct vm_options {
	struct machine_options machine;
	const char *kernel, *initrd;
};

enum { OPT_KERNEL = OPT_VM_FIRST, OPT_INITRD };

static bool own_option(void *ctx, int c, const char *value)
{
	struct vm_options *o = ctx;

	if (c == OPT_KERNEL)
		o->kernel = value;
	else if (c == OPT_INITRD)
		o->initrd = value;
	else
		return false;
	return true;
}

static int parse(int argc, char **argv, struct vm_options *o)
{
	static const struct option longopts[] = {
		{ "epc", required_argument, NULL, OPT_EPC },
		{ "profile", required_argument, NULL, OPT_PROFILE },
		{ "inject", required_argument, NULL, OPT_INJECT },
		{ "kernel", required_argument, NULL, OPT_KERNEL },
		{ "initrd", required_argument, NULL, OPT_INITRD },
		{ "help", no_argument, NULL, OPT_HELP },
		{ 0 },
	};
	const struct machine_command vm = { "vm", usage, "+:h", longopts, own_option, o };
	const int ret = machine_options_take(&o->machine, &vm, argc, argv);

	if (ret || o->machine.done)
		return ret;
	if (optind < argc && strcmp(argv[optind - 1], "--")) {
		complain("'%s' is no option of 'swsgx vm'; QEMU's follow after '--'", argv[optind]);
		return EXIT_USAGE;
	}
	return 0;
}

static bool is_readable(const char *what, const char *path)
{
	if (!path || !access(path, R_OK))
		return true;
	complain("%s '%s' cannot be read: %s", what, path, strerror(errno));
	return false;
}

/* Of QEMU's arguments: KVM runs the guest on the host's processor, which is not ours. */
static bool allows_tcg(char **more)
{
	for (; *more; more++) {
		const bool names_it = !strcmp(*more, "-accel") || !strcmp(*more, "--accel");

		if (!strcmp(*more, "-enable-kvm") || !strcmp(*more, "--enable-kvm") ||
		    (names_it && more[1] && strncmp(more[1], "tcg", 3))) {
			complain("'%s%s%s': SGX is in QEMU's own processor, which needs -accel tcg",
				 *more, names_it ? " " : "", names_it ? more[1] : "");
			return false;
		}
	}
	return true;
}

/* --- the scripts ------------------------------------------------------------------- */

/* In the share directory when installed, else in the sources we were built from. */
static bool find_scripts(char *dir)
{
	char self[PATH_MAX], try[2 * PATH_MAX];
	const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = '\0';
		*strrchr(self, '/') = '\0';
		snprintf(try, sizeof(try), "%s%s/build.sh", self, SWSGX_QEMU_FROM_BIN);
		if (!access(try, X_OK)) {
			*strrchr(try, '/') = '\0';
			return realpath(try, dir);
		}
	}
	snprintf(dir, PATH_MAX, "%s", SWSGX_QEMU_SOURCE);
	snprintf(try, sizeof(try), "%s/build.sh", dir);
	return !access(try, X_OK);
}

/* The last line that a script of @dir prints. */
static bool ask_script(const char *dir, const char *name, char *line, size_t size)
{
	char path[PATH_MAX + 32], got[PATH_MAX];
	int fds[2], status;
	FILE *out;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (pipe(fds))
		return false;
	pid = fork();
	if (!pid) {
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		execl(path, path, (char *)NULL);
		_exit(EXIT_NOT_FOUND);
	}
	close(fds[1]);
	out = fdopen(fds[0], "r");
	*line = '\0';
	while (out && fgets(got, sizeof(got), out)) {
		got[strcspn(got, "\n")] = '\0';
		snprintf(line, size, "%s", got);
	}
	if (out)
		fclose(out);
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) ||
	    !*line) {
		complain("'%s' failed; see above", path);
		return false;
	}
	return true;
}

/* --- QEMU's command line ------------------------------------------------------------ */

struct arguments {
	const char *v[MAX_ARGS + 1];
	size_t n;
};

static void add(struct arguments *a, const char *option, const char *value)
{
	a->v[a->n++] = option;
	if (value)
		a->v[a->n++] = value;
}

/* All rules in one property: ';' between them, and QEMU wants commas doubled. */
static void processor_device(const struct vm_options *o, char *text, size_t size)
{
	const struct inject_plan *plan = &o->machine.plan;
	size_t n = (size_t)snprintf(text, size, "swsgx-processor,profile=%s",
				    o->machine.config.profile->name);

	for (size_t i = 0; i < plan->nr_rules; i++) {
		n += (size_t)snprintf(text + n, size - n, "%s", i ? ";" : ",inject=");
		for (const char *c = plan->rules[i].text; *c && n + 3 < size; c++) {
			text[n++] = *c;
			if (*c == ',')
				text[n++] = ',';
		}
		text[n] = '\0';
	}
}

static int boot(const struct vm_options *o, const char *qemu, const char *kernel,
		const char *initrd, char **more)
{
	static char processor[INJECT_MAX_RULES * INJECT_TEXT_MAX * 2 + 128];
	struct arguments a = { .n = 0 };
	char epc[64];

	snprintf(epc, sizeof(epc), "swsgx-epc,size=%" PRIu64, o->machine.config.epc_size);
	processor_device(o, processor, sizeof(processor));

	add(&a, qemu, NULL);
	add(&a, "-machine", "q35");
	add(&a, "-cpu", CPU_MODEL);
	add(&a, "-m", "1G");
	add(&a, "-nodefaults", NULL);
	add(&a, "-display", "none");
	add(&a, "-serial", "mon:stdio");
	add(&a, "-no-reboot", NULL);
	add(&a, "-device", epc);
	add(&a, "-device", processor);
	add(&a, "-kernel", kernel);
	add(&a, "-initrd", initrd);
	add(&a, "-append", "console=ttyS0 quiet panic=-1 no_timer_check");
	for (; *more; more++) {
		if (a.n == MAX_ARGS) {
			complain("too many arguments for QEMU");
			return EXIT_USAGE;
		}
		add(&a, *more, NULL);
	}

	execv(qemu, (char **)(uintptr_t)a.v);
	complain("'%s' cannot be run: %s", qemu, strerror(errno));
	return 1;
}

int cmd_vm(int argc, char **argv)
{
	char dir[PATH_MAX], qemu[PATH_MAX], kernel[PATH_MAX], initrd[PATH_MAX];
	struct vm_options o = { 0 };
	int ret;

	machine_options_init(&o.machine);
	ret = parse(argc, argv, &o);
	if (ret || o.machine.done)
		return ret;
	if (!allows_tcg(argv + optind))
		return EXIT_USAGE;
	if (!is_readable("kernel", o.kernel) || !is_readable("initial file system", o.initrd))
		return EXIT_USAGE;
	if (!find_scripts(dir)) {
		complain("the scripts that build QEMU are neither installed nor in '%s'", dir);
		return 1;
	}

	if (!ask_script(dir, "build.sh", qemu, sizeof(qemu)))
		return 1;
	if (!o.kernel && !ask_script(dir, "kernel", kernel, sizeof(kernel)))
		return 1;
	if (!o.initrd && !ask_script(dir, "initramfs", initrd, sizeof(initrd)))
		return 1;
	return boot(&o, qemu, o.kernel ? o.kernel : kernel, o.initrd ? o.initrd : initrd,
		    argv + optind);
}
