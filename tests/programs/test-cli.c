/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `swsgx run` seen from outside: exit status, signals, what is left behind, and
 * what it says when it cannot do what it was asked to.
 *
 * The environment names what is tested: SWSGX, the command, and SPIN_INSIDE, a
 * program that enters an enclave and stays there.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TIMEOUT_MS 60000
#define MAX_ARGS 12
#define MARK_NAME "SWSGX_TEST_MARK"

static char scratch[] = "/tmp/swsgx-cli-XXXXXX";
static char mark[64];

/**
 * struct child - a run of the command.
 * @status: as a shell would report it: 128 + n for signal n.
 */
struct child {
	pid_t pid;
	int out_fd, err_fd;
	int status;
	char out[4096], err[4096];
};

static const char *command(const char *variable)
{
	const char *path = getenv(variable);

	if (!path)
		fail_msg("%s is not set", variable);
	return path;
}

static void exec_child(char **argv, const int out[2], const int err[2])
{
	dup2(out[1], STDOUT_FILENO);
	dup2(err[1], STDERR_FILENO);
	for (int fd = 3; fd < 64; fd++)
		close(fd);
	execv(argv[0], argv);
	_exit(99);
}

static void start(struct child *c, char **argv)
{
	int out[2], err[2];

	memset(c, 0, sizeof(*c));
	assert_int_equal(pipe(out), 0);
	assert_int_equal(pipe(err), 0);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (!c->pid)
		exec_child(argv, out, err);
	close(out[1]);
	close(err[1]);
	c->out_fd = out[0];
	c->err_fd = err[0];
}

/* Appends to a string; false at end of file. */
static bool drain(int fd, char *buf, size_t size)
{
	const size_t used = strlen(buf);
	char dump[512];
	const bool full = used + 1 >= size;
	const ssize_t n = full ? read(fd, dump, sizeof(dump)) : read(fd, buf + used, size - used - 1);

	if (n > 0 && !full)
		buf[used + (size_t)n] = '\0';
	return n > 0;
}

/* Reads until both pipes are closed, or until stdout has a whole line. */
static void collect(struct child *c, bool one_line)
{
	struct pollfd fds[2] = { { c->out_fd, POLLIN, 0 }, { c->err_fd, POLLIN, 0 } };

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (one_line && strchr(c->out, '\n'))
			return;
		if (poll(fds, 2, TIMEOUT_MS) <= 0) {
			kill(c->pid, SIGKILL);
			fail_msg("no end after %d ms; stdout \"%s\" stderr \"%s\"", TIMEOUT_MS,
				 c->out, c->err);
		}
		if (fds[0].revents && !drain(c->out_fd, c->out, sizeof(c->out)))
			fds[0].fd = -1;
		if (fds[1].revents && !drain(c->err_fd, c->err, sizeof(c->err)))
			fds[1].fd = -1;
	}
}

static void finish(struct child *c)
{
	int status;

	collect(c, false);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	c->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	close(c->out_fd);
	close(c->err_fd);
}

/* swsgx run ARGS...; the list ends with NULL. */
static void run(struct child *c, ...)
{
	char *argv[MAX_ARGS] = { (char *)command("SWSGX"), (char *)"run" };
	va_list ap;
	int n = 2;

	va_start(ap, c);
	while (n < MAX_ARGS - 1 && (argv[n] = va_arg(ap, char *)))
		n++;
	va_end(ap);
	start(c, argv);
	finish(c);
}

static void assert_status(const struct child *c, int status)
{
	if (c->status != status)
		fail_msg("exit status %d, expected %d; stderr \"%s\"", c->status, status, c->err);
}

/* One line, of swsgx, that names what is wrong. */
static void assert_one_line(const struct child *c, const char *what)
{
	const char *newline = strchr(c->err, '\n');

	if (!newline || newline[1])
		fail_msg("not one line on stderr: \"%s\"", c->err);
	if (strncmp(c->err, "swsgx", 5))
		fail_msg("stderr does not say whose it is: \"%s\"", c->err);
	if (what && !strstr(c->err, what))
		fail_msg("stderr does not name %s: \"%s\"", what, c->err);
}

static char *in_scratch(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", scratch, name);
	return path;
}

static char *make_file(const char *name, const void *data, size_t len, mode_t mode)
{
	char *path = in_scratch(name);
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static void exit_status_is_the_programs(void **state)
{
	struct child c;

	run(&c, "/bin/sh", "-c", "exit 42", NULL);
	assert_status(&c, 42);
	run(&c, "--", "/bin/sh", "-c", "exit 0", NULL);
	assert_status(&c, 0);
	assert_string_equal(c.err, "");
}

static void arguments_and_output_are_the_programs(void **state)
{
	struct child c;

	run(&c, "--", "/bin/echo", "--epc", "a b", NULL);
	assert_status(&c, 0);
	assert_string_equal(c.out, "--epc a b\n");
	assert_string_equal(c.err, "");
}

static void program_is_looked_up_in_path(void **state)
{
	struct child c;

	run(&c, "true", NULL);
	assert_status(&c, 0);
}

static void death_by_signal_shows(void **state)
{
	struct child c;

	run(&c, "/bin/sh", "-c", "kill -ABRT $$", NULL);
	assert_status(&c, 128 + SIGABRT);
	run(&c, "/bin/sh", "-c", "kill -SEGV $$", NULL);
	assert_status(&c, 128 + SIGSEGV);
	run(&c, "/bin/sh", "-c", "kill -TERM $$", NULL);
	assert_status(&c, 128 + SIGTERM);
}

static void sigterm_reaches_the_program(void **state)
{
	char *argv[] = {
		(char *)command("SWSGX"), (char *)"run", (char *)"/bin/sh", (char *)"-c",
		(char *)"trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done", NULL,
	};
	struct child c;

	start(&c, argv);
	collect(&c, true);
	assert_string_equal(c.out, "ready\n");
	assert_int_equal(kill(c.pid, SIGTERM), 0);
	finish(&c);
	assert_status(&c, 7);
}

/* Processes that carry our mark in their environment, other than ourselves. */
static unsigned int count_marked(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	unsigned int nr = 0;

	assert_non_null(proc);
	while ((d = readdir(proc))) {
		static char env[131072];
		char path[300];
		ssize_t n;
		int fd;

		if (atoi(d->d_name) <= 0 || atoi(d->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/%s/environ", d->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		n = read(fd, env, sizeof(env));
		close(fd);
		if (n > 0 && memmem(env, (size_t)n, mark, strlen(mark)))
			nr++;
	}
	closedir(proc);
	return nr;
}

static unsigned int count_lines(const char *path, const char *what)
{
	FILE *f = fopen(path, "r");
	char line[512];
	unsigned int nr = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (strstr(line, what))
			nr++;
	fclose(f);
	return nr;
}

static unsigned int count_entries(const char *dir, const char *what)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	unsigned int nr = 0;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' && (!what || strstr(e->d_name, what)))
			nr++;
	if (d)
		closedir(d);
	return nr;
}

/* The server notices the end of its client, on a busy machine not at once. */
static void assert_nothing_left(void)
{
	unsigned int marked = 0;

	for (int i = 0; i < 600; i++) {
		marked = count_marked();
		if (!marked)
			break;
		usleep(50000);
	}
	if (marked)
		fail_msg("%u processes are left behind", marked);
	assert_int_equal(count_entries(in_scratch("tmp"), NULL), 0);
	assert_int_equal(count_entries(in_scratch("run"), NULL), 0);
}

static void kill_inside_leaves_nothing(void **state)
{
	char *argv[] = {
		(char *)command("SWSGX"), (char *)"run", (char *)command("SPIN_INSIDE"), NULL,
	};
	const unsigned int nr_shm = count_entries("/dev/shm", "swsgx");
	const unsigned int nr_sockets = count_lines("/proc/net/unix", in_scratch(""));
	struct child c;
	int pid;

	start(&c, argv);
	collect(&c, true);
	if (sscanf(c.out, "inside %d", &pid) != 1)
		fail_msg("the program did not get inside: \"%s\", \"%s\"", c.out, c.err);
	assert_int_equal(kill(pid, SIGKILL), 0);
	finish(&c);
	assert_status(&c, 128 + SIGKILL);
	assert_nothing_left();
	assert_int_equal(count_entries("/dev/shm", "swsgx"), nr_shm);
	assert_int_equal(count_lines("/proc/net/unix", in_scratch("")), nr_sockets);
}

static void ordinary_run_leaves_nothing(void **state)
{
	struct child c;

	run(&c, "/bin/true", NULL);
	assert_status(&c, 0);
	assert_nothing_left();
}

/* Exit status of a shell script, with $1 the command and $2 an SGX program. */
static int shell(const char *script)
{
	int status;
	const pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		execl("/bin/sh", "sh", "-c", script, "sh", command("SWSGX"), command("HELLO"),
		      (char *)NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void standard_descriptors_may_be_closed(void **state)
{
	assert_int_equal(shell("exec >/dev/null; $1 run $2 <&-"), 0);
	assert_int_equal(shell("$1 run $2 <&- >&- 2>&-"), 0);
}

/* The program closes its copy of a pipe: its reader must see the end. */
static void server_keeps_no_descriptor_of_the_caller(void **state)
{
	assert_int_equal(shell("p=$({ $1 run sh -c 'exec 7>&-; exec sleep 12' 7>&1 >/dev/null & "
			       "echo $!; } | timeout 10 cat); r=$?; kill $p; exit $r"), 0);
}

static void missing_program_is_127(void **state)
{
	struct child c;

	run(&c, "/nowhere/at-all", NULL);
	assert_status(&c, 127);
	assert_one_line(&c, "/nowhere/at-all");
	run(&c, "no-such-program-in-path", NULL);
	assert_status(&c, 127);
	assert_one_line(&c, "no-such-program-in-path");
}

static void program_that_is_not_executable_is_126(void **state)
{
	struct child c;

	run(&c, make_file("plain", "hello\n", 6, 0600), NULL);
	assert_status(&c, 126);
	assert_one_line(&c, "plain");
}

static void directory_is_126(void **state)
{
	struct child c;

	run(&c, scratch, NULL);
	assert_status(&c, 126);
	assert_one_line(&c, scratch);
}

static void program_of_another_architecture_is_126(void **state)
{
	Elf64_Ehdr h = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_DYN,
		.e_machine = EM_AARCH64,
		.e_version = EV_CURRENT,
		.e_ehsize = sizeof(h),
		.e_phentsize = sizeof(Elf64_Phdr),
	};
	struct child c;

	run(&c, make_file("arm", &h, sizeof(h), 0700), NULL);
	assert_status(&c, 126);
	assert_one_line(&c, "arm");
}

static void copy_file(const char *from, const char *to, mode_t mode)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd), "cp '%s' '%s'", from, to);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(chmod(to, mode), 0);
}

static void set_user_id_program_is_126(void **state)
{
	struct child c;

	copy_file("/bin/true", in_scratch("setuid"), 04755);
	run(&c, in_scratch("setuid"), NULL);
	assert_status(&c, 126);
	assert_one_line(&c, "setuid");
}

static void static_program_is_126(void **state)
{
	struct child c;

	run(&c, command("STATIC_PROGRAM"), NULL);
	assert_status(&c, 126);
	assert_one_line(&c, "static");
}

static void script_runs(void **state)
{
	static const char script[] = "#!/bin/sh\necho from a script\nexit 3\n";
	struct child c;

	run(&c, make_file("script", script, sizeof(script) - 1, 0700), NULL);
	assert_status(&c, 3);
	assert_string_equal(c.out, "from a script\n");
}

static void refused(const char *option, const char *value)
{
	struct child c;

	run(&c, option, value, "--", "/bin/true", NULL);
	if (c.status == 0)
		fail_msg("%s %s was taken", option, value);
	assert_one_line(&c, value);
	assert_string_equal(c.out, "");
}

static void leaves_are_listed(void **state)
{
	assert_int_equal(shell("test $(\"$1\" leaves | wc -l) -ge 34"), 0);
	assert_int_equal(shell("\"$1\" leaves | grep -q 'EREMOVE.*SGX_CHILD_PRESENT (ZF)'"), 0);
	assert_int_equal(shell("\"$1\" leaves --json | python3 -c '"
			       "import json, sys\n"
			       "by = {x[\"name\"]: x for x in json.load(sys.stdin)[\"leaves\"]}\n"
			       "codes = [r.get(\"code\") for r in by[\"EREMOVE\"][\"results\"]]\n"
			       "sys.exit(not (13 in codes and by[\"EADD\"][\"number\"] == 1))'"),
			 0);
	(void)state;
}

static void leaves_takes_no_argument(void **state)
{
	assert_int_equal(shell("\"$1\" leaves EREMOVE 2>/dev/null"), 2);
	assert_int_equal(shell("\"$1\" leaves --frob 2>/dev/null"), 2);
	(void)state;
}

/* Before anything is built or fetched. */
static void vm_refuses_what_it_cannot_use(void **state)
{
	static const char *const cases[][2] = {
		{ "--epc 4097", "4097" },
		{ "--profile nobody", "nobody" },
		{ "--inject NOLEAF:nth=1", "NOLEAF" },
		{ "--kernel /nowhere/vmlinuz", "/nowhere/vmlinuz" },
		{ "-- -m 1G -accel kvm", "-accel kvm.: SGX is in QEMU.s own processor" },
		{ "-- -enable-kvm", "needs -accel tcg" },
		{ "--initrd /nowhere/initrd", "/nowhere/initrd" },
		{ "--frobnicate", "frobnicate" },
		{ "stray", "stray" },
	};
	char script[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(script, sizeof(script), "\"$1\" vm %s 2>/dev/null", cases[i][0]);
		assert_int_equal(shell(script), 2);
		snprintf(script, sizeof(script), "\"$1\" vm %s 2>&1 | grep -q -- '%s'", cases[i][0],
			 cases[i][1]);
		assert_int_equal(shell(script), 0);
	}
	(void)state;
}

static void absurd_epc_sizes_are_refused(void **state)
{
	static const char *const sizes[] = {
		"0", "4095", "12345", "1E", "999999T", "-1", "4096x", "", "0x", "18446744073709551616",
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		refused("--epc", sizes[i]);
}

static void sane_epc_sizes_are_taken(void **state)
{
	static const char *const sizes[] = { "1M", "2048K", "128M", "8388608" };
	struct child c;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		run(&c, "--epc", sizes[i], "--", "/bin/true", NULL);
		assert_status(&c, 0);
		assert_string_equal(c.err, "");
	}
}

/* As under Linux; what is there says why. */
static void part_without_launch_control_has_no_enclave_device(void **state)
{
	struct child c;

	run(&c, "--profile", "sgx1-client", "--", "ls", "/dev/sgx_provision", "/dev/sgx_enclave",
	    NULL);
	assert_status(&c, 2);
	assert_non_null(strstr(c.err, "launch control is not available"));
	assert_non_null(strstr(c.err, "/dev/sgx_enclave"));
	assert_string_equal(c.out, "/dev/sgx_provision\n");
}

static void unknown_profile_is_refused(void **state)
{
	refused("--profile", "pentium");
}

static void unknown_option_is_refused(void **state)
{
	struct child c;

	run(&c, "--frobnicate", "/bin/true", NULL);
	assert_int_not_equal(c.status, 0);
	assert_one_line(&c, "frobnicate");
}

static void missing_value_and_missing_program_are_refused(void **state)
{
	struct child c;

	run(&c, "--epc", NULL);
	assert_int_not_equal(c.status, 0);
	assert_one_line(&c, "epc");
	run(&c, NULL);
	assert_int_not_equal(c.status, 0);
	assert_one_line(&c, NULL);
}

static void unknown_command_is_refused(void **state)
{
	char *argv[] = { (char *)command("SWSGX"), (char *)"fly", NULL };
	struct child c;

	start(&c, argv);
	finish(&c);
	assert_int_not_equal(c.status, 0);
	assert_one_line(&c, "fly");
}

static int setup(void **state)
{
	if (!mkdtemp(scratch))
		return -1;
	snprintf(mark, sizeof(mark), MARK_NAME "=%d", (int)getpid());
	putenv(mark);
	if (mkdir(in_scratch("tmp"), 0700) || setenv("TMPDIR", in_scratch("tmp"), 1) ||
	    mkdir(in_scratch("run"), 0700) || setenv("XDG_RUNTIME_DIR", in_scratch("run"), 1))
		return -1;
	return 0;
}

static int teardown(void **state)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", scratch);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_status_is_the_programs),
		cmocka_unit_test(arguments_and_output_are_the_programs),
		cmocka_unit_test(program_is_looked_up_in_path),
		cmocka_unit_test(death_by_signal_shows),
		cmocka_unit_test(sigterm_reaches_the_program),
		cmocka_unit_test(ordinary_run_leaves_nothing),
		cmocka_unit_test(kill_inside_leaves_nothing),
		cmocka_unit_test(standard_descriptors_may_be_closed),
		cmocka_unit_test(server_keeps_no_descriptor_of_the_caller),
		cmocka_unit_test(missing_program_is_127),
		cmocka_unit_test(program_that_is_not_executable_is_126),
		cmocka_unit_test(directory_is_126),
		cmocka_unit_test(program_of_another_architecture_is_126),
		cmocka_unit_test(set_user_id_program_is_126),
		cmocka_unit_test(static_program_is_126),
		cmocka_unit_test(script_runs),
		cmocka_unit_test(vm_refuses_what_it_cannot_use),
		cmocka_unit_test(absurd_epc_sizes_are_refused),
		cmocka_unit_test(sane_epc_sizes_are_taken),
		cmocka_unit_test(leaves_are_listed),
		cmocka_unit_test(leaves_takes_no_argument),
		cmocka_unit_test(part_without_launch_control_has_no_enclave_device),
		cmocka_unit_test(unknown_profile_is_refused),
		cmocka_unit_test(unknown_option_is_refused),
		cmocka_unit_test(missing_value_and_missing_program_are_refused),
		cmocka_unit_test(unknown_command_is_refused),
	};

	return cmocka_run_group_tests_name("cli", tests, setup, teardown);
}
