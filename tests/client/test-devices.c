/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every way of asking about the device files, and what their descriptors can do.
 * The last arguments of exec say what the second program is to do.
 */
#include <asm/sgx.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "../programs/enclave.h"

#define ENCLAVE "/dev/sgx_enclave"
#define PROVISION "/dev/sgx_provision"
#define BUILD_AND_ENTER "build-and-enter"

extern char **environ;

static const char *const names[] = { ENCLAVE, PROVISION };
static const unsigned int minors[] = { 125, 126 };
static struct test_encl encl;

static void assert_enclave_works(void)
{
	struct test_op put = { .kind = OP_PUT, .value = (uint64_t)random() };
	struct test_op get = { .kind = OP_GET };

	test_enter(&encl, 0, &put);
	test_enter(&encl, 0, &get);
	assert_int_equal(get.result, put.value);
}

/* Only the enclave device takes it that far: a bad pointer, or no such call. */
static int create_error(int fd)
{
	return ioctl(fd, SGX_IOC_ENCLAVE_CREATE, NULL) ? errno : 0;
}

static void opens(int fd)
{
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
}

static void devices_open_in_every_way(void **state)
{
	for (int i = 0; i < 2; i++) {
		opens(open(names[i], O_RDONLY));
		opens(open(names[i], O_RDWR));
		opens(open64(names[i], O_RDWR | O_CLOEXEC));
		opens(open(names[i], O_RDWR | O_CREAT, 0600));
		opens(openat(AT_FDCWD, names[i], O_RDWR));
		opens(openat64(12345, names[i], O_RDWR));
	}
}

static void devices_do_not_open_as_what_they_are_not(void **state)
{
	assert_int_equal(open(ENCLAVE, O_RDONLY | O_DIRECTORY), -1);
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(open(ENCLAVE, O_RDWR | O_CREAT | O_EXCL, 0600), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(open(ENCLAVE "/x", O_RDWR), -1);
	assert_int_equal(open("/dev/sgx_enclaves", O_RDWR), -1);
	assert_int_equal(errno, ENOENT);
}

static void close_on_exec_is_as_asked(void **state)
{
	const int with = open(ENCLAVE, O_RDWR | O_CLOEXEC), without = open(ENCLAVE, O_RDWR);

	assert_int_equal(fcntl(with, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(without, F_GETFD), 0);
	close(with);
	close(without);
}

static void streams_open(void **state)
{
	FILE *f = fopen(ENCLAVE, "r+e");

	assert_non_null(f);
	assert_int_equal(fcntl(fileno(f), F_GETFD), FD_CLOEXEC);
	assert_int_equal(create_error(fileno(f)), EFAULT);
	fclose(f);
	f = fopen64(PROVISION, "r");
	assert_non_null(f);
	fclose(f);
	f = fopen("/dev/null", "r");
	assert_non_null(f);
	assert_int_equal(fgetc(f), EOF);
	fclose(f);
	assert_null(fopen("/nowhere", "r"));
	assert_int_equal(errno, ENOENT);
}

static void read_does_not_wait(void **state)
{
	const int fd = open(ENCLAVE, O_RDWR);
	char c;

	assert_true(read(fd, &c, 1) <= 0);
	assert_int_equal(create_error(fd), EFAULT);
	close(fd);
}

static void assert_is_device(const struct stat *st, int i)
{
	assert_true(S_ISCHR(st->st_mode));
	assert_int_equal(major(st->st_rdev), 10);
	assert_int_equal(minor(st->st_rdev), minors[i]);
}

static void stat_shows_a_character_device(void **state)
{
	for (int i = 0; i < 2; i++) {
		const int fd = open(names[i], O_RDWR);
		struct stat st;
		struct stat64 st64;

		assert_int_equal(stat(names[i], &st), 0);
		assert_is_device(&st, i);
		assert_int_equal(lstat(names[i], &st), 0);
		assert_is_device(&st, i);
		assert_int_equal(fstat(fd, &st), 0);
		assert_is_device(&st, i);
		assert_int_equal(fstatat(AT_FDCWD, names[i], &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_is_device(&st, i);
		assert_int_equal(fstatat(fd, "", &st, AT_EMPTY_PATH), 0);
		assert_is_device(&st, i);
		assert_int_equal(stat64(names[i], &st64), 0);
		assert_is_device((struct stat *)&st64, i);
		close(fd);
	}
}

/* As programs built against a libc before 2.33 call it. */
static void old_stat_shows_a_character_device(void **state)
{
	static const char *const by_name[] = {
		"__xstat", "__xstat64", "__lxstat", "__lxstat64",
	};
	const int fd = open(ENCLAVE, O_RDWR);
	int (*by_fd)(int, int, struct stat *) =
		(int (*)(int, int, struct stat *))dlsym(RTLD_DEFAULT, "__fxstat64");
	int (*at)(int, int, const char *, struct stat *, int) =
		(int (*)(int, int, const char *, struct stat *, int))dlsym(RTLD_DEFAULT,
									   "__fxstatat64");
	struct stat st;

	for (int i = 0; i < 4; i++) {
		int (*f)(int, const char *, struct stat *) =
			(int (*)(int, const char *, struct stat *))dlsym(RTLD_DEFAULT, by_name[i]);

		memset(&st, 0, sizeof(st));
		assert_int_equal(f(1, ENCLAVE, &st), 0);
		assert_is_device(&st, 0);
	}
	memset(&st, 0, sizeof(st));
	assert_int_equal(by_fd(1, fd, &st), 0);
	assert_is_device(&st, 0);
	memset(&st, 0, sizeof(st));
	assert_int_equal(at(1, AT_FDCWD, ENCLAVE, &st, 0), 0);
	assert_is_device(&st, 0);
	close(fd);
}

static void statx_shows_a_character_device(void **state)
{
	const int fd = open(PROVISION, O_RDONLY);
	struct statx stx;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(statx(i ? fd : AT_FDCWD, i ? "" : PROVISION,
				       i ? AT_EMPTY_PATH : 0, STATX_BASIC_STATS, &stx),
				 0);
		assert_true(S_ISCHR(stx.stx_mode));
		assert_int_equal(stx.stx_rdev_major, 10);
		assert_int_equal(stx.stx_rdev_minor, 126);
	}
	close(fd);
}

static void access_is_granted_for_all_but_execution(void **state)
{
	assert_int_equal(access(ENCLAVE, F_OK), 0);
	assert_int_equal(access(ENCLAVE, R_OK | W_OK), 0);
	assert_int_equal(access(ENCLAVE, X_OK), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(eaccess(PROVISION, R_OK | W_OK), 0);
	assert_int_equal(euidaccess(PROVISION, R_OK), 0);
	assert_int_equal(faccessat(AT_FDCWD, ENCLAVE, R_OK, AT_EACCESS), 0);
	assert_int_equal(access("/nowhere", F_OK), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(eaccess("/nowhere", F_OK), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(eaccess("/", X_OK), 0);
}

static void devices_are_no_links(void **state)
{
	char buf[PATH_MAX], *path;

	assert_int_equal(readlink(ENCLAVE, buf, sizeof(buf)), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(readlinkat(AT_FDCWD, ENCLAVE, buf, sizeof(buf)), -1);
	assert_int_equal(errno, EINVAL);
	assert_string_equal(realpath(ENCLAVE, buf), ENCLAVE);
	path = realpath(PROVISION, NULL);
	assert_string_equal(path, PROVISION);
	free(path);
	path = realpath("/proc/self/../self/exe", NULL);
	assert_non_null(path);
	free(path);
	assert_true(readlink("/proc/self/exe", buf, sizeof(buf)) > 0);
}

static void devices_have_no_extended_attributes(void **state)
{
	char buf[16];

	assert_int_equal(getxattr(ENCLAVE, "user.x", buf, sizeof(buf)), -1);
	assert_int_equal(errno, ENODATA);
	assert_int_equal(lgetxattr(ENCLAVE, "security.selinux", buf, sizeof(buf)), -1);
	assert_int_equal(errno, ENODATA);
	assert_int_equal(listxattr(ENCLAVE, buf, sizeof(buf)), 0);
	assert_int_equal(llistxattr(ENCLAVE, buf, sizeof(buf)), 0);
	assert_int_equal(lgetxattr("/nowhere", "user.x", buf, sizeof(buf)), -1);
	assert_int_equal(errno, ENOENT);
}

static void assert_output(const char *command, const char *expected)
{
	char line[512] = "";
	FILE *f = popen(command, "r");

	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	line[strcspn(line, "\n")] = '\0';
	assert_int_equal(pclose(f), 0);
	if (!strstr(line, expected))
		fail_msg("%s: '%s'", command, line);
}

static void commands_see_the_devices(void **state)
{
	assert_output("ls -l " ENCLAVE " 2>&1", "crw-rw-rw-");
	assert_output("ls -l " PROVISION " 2>&1", "10, 126");
	assert_output("stat -c %F " ENCLAVE " 2>&1", "character special file");
	assert_output("test -c " ENCLAVE " && test -w " ENCLAVE " && echo yes", "yes");
	assert_output("readlink -f " ENCLAVE, ENCLAVE);
	assert_output("exec 9<>" ENCLAVE " && echo opened", "opened");
}

static void ioctl_errors_are_the_drivers(void **state)
{
	const int e = open(ENCLAVE, O_RDWR), p = open(PROVISION, O_RDWR);

	assert_int_equal(create_error(e), EFAULT);
	assert_int_equal(create_error(p), ENOTTY);
	assert_int_equal(create_error(1), ENOTTY);
	assert_int_equal(create_error(12345), EBADF);
	assert_int_equal(ioctl(e, _IO(SGX_MAGIC, 0x7f), 0), -1);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(isatty(e), 0);
	close(e);
	close(p);
}

static void duplicates_are_the_device(void **state)
{
	const int fd = open(ENCLAVE, O_RDWR);
	const int dups[] = {
		dup(fd), dup2(fd, 200), dup3(fd, 201, O_CLOEXEC), fcntl(fd, F_DUPFD, 210),
		fcntl(fd, F_DUPFD_CLOEXEC, 220),
	};

	close(fd);
	for (unsigned int i = 0; i < 5; i++) {
		assert_true(dups[i] >= 0);
		assert_int_equal(create_error(dups[i]), EFAULT);
		close(dups[i]);
	}
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void dup2_answers_as_ever(void **state)
{
	assert_int_equal(dup2(12345, 5), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(dup2(1, 1), 1);
	assert_int_equal(dup3(1, 1, 0), -1);
	assert_int_equal(errno, EINVAL);
}

static void child_uses_the_descriptor(void **state)
{
	const int fd = open(ENCLAVE, O_RDWR);
	const pid_t pid = fork();
	int status;

	if (!pid)
		_exit(create_error(fd) == EFAULT ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(create_error(fd), EFAULT);
	close(fd);
}

/* --- what the client keeps open ----------------------------------------------- */

static void lower_limit_to(rlim_t n)
{
	const struct rlimit limit = { .rlim_cur = n, .rlim_max = n };

	setrlimit(RLIMIT_NOFILE, &limit);
}

static void close_all_with_loop(void)
{
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
}

static void close_all_with_close_range(void)
{
	if (close_range(3, ~0u, 0))
		_exit(20);
}

static void close_all_with_closefrom(void)
{
	closefrom(3);
}

/* Every number there is becomes standard output. */
static void take_all_with_dup2(void)
{
	for (int fd = 3; fd < 1024; fd++)
		if (dup2(1, fd) != fd)
			_exit(21);
}

static int build_and_enter(void)
{
	struct test_op put = { .kind = OP_PUT, .value = 31 }, get = { .kind = OP_GET };
	struct test_encl e;

	if (test_encl_build(&e, &(struct test_config){ 0 }))
		return 1;
	test_enter(&e, 0, &put);
	test_enter(&e, 0, &get);
	test_encl_free(&e);
	return get.result == 31 ? 0 : 2;
}

static void assert_works_after(void (*close_all)(void), bool build_too)
{
	const pid_t pid = fork();
	int status;

	if (!pid) {
		struct test_op put = { .kind = OP_PUT, .value = 9 }, get = { .kind = OP_GET };

		close_all();
		if (fcntl(encl.fd, F_GETFD) >= 0 && close_all != take_all_with_dup2)
			_exit(22);
		/* The mapping must still find its enclave: new rights need the server. */
		if (mprotect(encl.base + ENCL_DATA_OFFSET, 2 * PAGE_SIZE, PROT_READ) ||
		    mprotect(encl.base + ENCL_DATA_OFFSET, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE))
			_exit(23);
		test_enter(&encl, 0, &put);
		test_enter(&encl, 0, &get);
		_exit(get.result != 9 ? 24 : build_too ? build_and_enter() : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("status 0x%x", status);
	assert_enclave_works();
}

static void enclave_outlives_a_loop_of_close(void **state)
{
	assert_works_after(close_all_with_loop, true);
}

static void enclave_outlives_close_range(void **state)
{
	assert_works_after(close_all_with_close_range, true);
}

static void enclave_outlives_closefrom(void **state)
{
	assert_works_after(close_all_with_closefrom, true);
}

static void enclave_outlives_dup2_onto_everything(void **state)
{
	assert_works_after(take_all_with_dup2, false);
}

static void enclave_can_be_mapped_with_few_descriptors(void **state)
{
	const pid_t pid = fork();
	int status;

	if (!pid) {
		lower_limit_to(64);
		_exit(build_and_enter());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void close_of_what_is_not_open_is_ebadf(void **state)
{
	int n = 0;

	for (int fd = 3; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) < 0) {
			assert_int_equal(close(fd), -1);
			assert_int_equal(errno, EBADF);
			n++;
		}
	assert_true(n > 900);
	assert_int_equal(close(-1), -1);
}

/* --- other programs -------------------------------------------------------------- */

static void spawned_program_uses_sgx(void **state)
{
	char *argv[] = { (char *)"test-devices", (char *)BUILD_AND_ENTER, NULL };
	int status;
	pid_t pid;

	assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_enclave_works();
}

static void program_after_vfork_uses_sgx(void **state)
{
	char *argv[] = { (char *)"test-devices", (char *)BUILD_AND_ENTER, NULL };
	pid_t pid = vfork();
	int status;

	if (!pid) {
		execv("/proc/self/exe", argv);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_enclave_works();
}

static int setup(void **state)
{
	return test_encl_build(&encl, &(struct test_config){ 0 });
}

static int teardown(void **state)
{
	test_encl_free(&encl);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(devices_open_in_every_way),
		cmocka_unit_test(devices_do_not_open_as_what_they_are_not),
		cmocka_unit_test(close_on_exec_is_as_asked),
		cmocka_unit_test(streams_open),
		cmocka_unit_test(read_does_not_wait),
		cmocka_unit_test(stat_shows_a_character_device),
		cmocka_unit_test(old_stat_shows_a_character_device),
		cmocka_unit_test(statx_shows_a_character_device),
		cmocka_unit_test(access_is_granted_for_all_but_execution),
		cmocka_unit_test(devices_are_no_links),
		cmocka_unit_test(devices_have_no_extended_attributes),
		cmocka_unit_test(commands_see_the_devices),
		cmocka_unit_test(ioctl_errors_are_the_drivers),
		cmocka_unit_test(duplicates_are_the_device),
		cmocka_unit_test(dup2_answers_as_ever),
		cmocka_unit_test(child_uses_the_descriptor),
		cmocka_unit_test(enclave_outlives_a_loop_of_close),
		cmocka_unit_test(enclave_outlives_close_range),
		cmocka_unit_test(enclave_outlives_closefrom),
		cmocka_unit_test(enclave_outlives_dup2_onto_everything),
		cmocka_unit_test(enclave_can_be_mapped_with_few_descriptors),
		cmocka_unit_test(close_of_what_is_not_open_is_ebadf),
		cmocka_unit_test(spawned_program_uses_sgx),
		cmocka_unit_test(program_after_vfork_uses_sgx),
	};

	if (argc > 1 && !strcmp(argv[1], BUILD_AND_ENTER))
		return build_and_enter();
	return cmocka_run_group_tests_name("client devices", tests, setup, teardown);
}
