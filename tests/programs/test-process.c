/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What processes do besides entering enclaves: fork, exec, close descriptors.
 *
 * Source: Linux arch/x86/kernel/cpu/sgx/encl.c, sgx_vma_open(): a child inherits
 * the mappings of an enclave and may enter it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"

#define BUILD_AND_ENTER "build-and-enter"
#define BY_A_FILTER 1	/* si_code of SIGSYS, which libc does not name */

static struct test_encl encl;

static uint64_t get(const struct test_encl *e)
{
	struct test_op op = { .kind = OP_GET };

	test_enter(e, 0, &op);
	return op.result;
}

static void put(const struct test_encl *e, uint64_t value)
{
	struct test_op op = { .kind = OP_PUT, .value = value };

	test_enter(e, 0, &op);
}

/* Exit status 0 when a new enclave works here. */
static int build_and_enter(void)
{
	struct test_encl e;

	if (test_encl_build(&e, &(struct test_config){ 0 }))
		return 1;
	put(&e, 31);
	if (get(&e) != 31)
		return 2;
	test_encl_free(&e);
	return 0;
}

static void assert_child_ends_well(pid_t pid)
{
	int status;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("the child ended with status 0x%x", status);
}

static void l6_child_enters_its_parents_enclave(void **state)
{
	pid_t pid;

	put(&encl, 1);
	pid = fork();
	if (!pid) {
		const bool ok = get(&encl) == 1;

		put(&encl, 2);
		_exit(ok ? 0 : 1);
	}
	assert_child_ends_well(pid);
	/* The memory of an enclave is shared, not copied. */
	assert_int_equal(get(&encl), 2);
}

static void parents_enclave_outlives_a_child_that_unmaps_it(void **state)
{
	pid_t pid;

	put(&encl, 3);
	pid = fork();
	if (!pid) {
		test_encl_free(&encl);
		_exit(0);
	}
	assert_child_ends_well(pid);
	assert_int_equal(get(&encl), 3);
}

static void child_builds_its_own(void **state)
{
	pid_t pid;

	put(&encl, 4);
	pid = fork();
	if (!pid)
		_exit(build_and_enter());
	assert_child_ends_well(pid);
	assert_int_equal(get(&encl), 4);
}

static void grandchild_builds_its_own(void **state)
{
	const pid_t pid = fork();

	if (!pid) {
		const pid_t second = fork();
		int status = 1;

		if (!second)
			_exit(build_and_enter());
		waitpid(second, &status, 0);
		_exit(status ? 1 : 0);
	}
	assert_child_ends_well(pid);
}

/* The whole program again, in a new image. */
static void child_executes_a_program_that_builds_its_own(void **state)
{
	char *argv[] = { (char *)"test-process", (char *)BUILD_AND_ENTER, NULL };
	const pid_t pid = fork();

	if (!pid) {
		execv("/proc/self/exe", argv);
		_exit(99);
	}
	assert_child_ends_well(pid);
}

static void shell_starts_a_program_that_builds_its_own(void **state)
{
	char path[512], cmd[600];
	const ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);

	assert_true(len > 0);
	path[len] = '\0';
	snprintf(cmd, sizeof(cmd), "'%s' " BUILD_AND_ENTER, path);
	assert_int_equal(system(cmd), 0);
}

static void program_that_closes_all_descriptors_goes_on(void **state)
{
	pid_t pid;

	put(&encl, 5);
	pid = fork();
	if (!pid) {
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
		if (get(&encl) != 5)
			_exit(10);
		_exit(build_and_enter());
	}
	assert_child_ends_well(pid);
}

static void duplicate_of_the_descriptor_is_the_enclave_too(void **state)
{
	struct test_encl e;

	test_encl_prepare(&e, &(struct test_config){ 0 });
	assert_int_equal(test_encl_open(&e), 0);
	assert_int_equal(test_encl_create(&e), 0);
	for (int i = 0; i < 2; i++) {
		const int fd = i ? fcntl(e.fd, F_DUPFD_CLOEXEC, 100) : dup(e.fd);

		assert_true(fd >= 0);
		close(e.fd);
		e.fd = fd;
	}
	assert_int_equal(test_encl_add(&e), 0);
	assert_int_equal(test_encl_init(&e), 0);
	assert_int_equal(test_encl_map(&e), 0);
	put(&e, 6);
	assert_int_equal(get(&e), 6);
	test_encl_free(&e);
}

static void part_of_the_enclave_can_be_unmapped_and_mapped_again(void **state)
{
	put(&encl, 7);
	assert_int_equal(munmap(encl.base + ENCL_DATA_OFFSET, 2 * PAGE_SIZE), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	assert_int_equal(get(&encl), 7);
}

static void send_descriptor(int sock, int fd)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = &fd, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
					   .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	assert_int_equal(sendmsg(sock, &msg, 0), 1);
}

/* -1 when none came. */
static int receive_descriptor(int sock)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fd = -1;

	if (recvmsg(sock, &msg, 0) == 1 && msg.msg_controllen)
		memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	return fd;
}

/* The receiver does the later steps; @e has everything but the descriptor. */
static int finish_and_enter(struct test_encl *e, int sock)
{
	e->fd = receive_descriptor(sock);
	if (e->fd < 0 || test_encl_add(e) || test_encl_init(e) || test_encl_map(e))
		return 1;
	put(e, 12);
	return get(e) == 12 ? 0 : 2;
}

static void share_an_enclave_with_a_child(void)
{
	struct test_encl e;
	int socks[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, socks), 0);
	test_encl_prepare(&e, &(struct test_config){ 0 });
	pid = fork();
	if (!pid) {
		/* The address is part of the enclave's identity, so it is agreed upon. */
		if (read(socks[1], &e.base, sizeof(e.base)) != sizeof(e.base))
			_exit(3);
		_exit(finish_and_enter(&e, socks[1]));
	}
	assert_int_equal(test_encl_open(&e), 0);
	assert_int_equal(test_encl_create(&e), 0);
	assert_int_equal(write(socks[0], &e.base, sizeof(e.base)), sizeof(e.base));
	send_descriptor(socks[0], e.fd);
	assert_child_ends_well(pid);
	/* It is initialized for us, too. */
	assert_int_equal(test_encl_map(&e), 0);
	assert_int_equal(get(&e), 12);
	test_encl_free(&e);
	close(socks[0]);
	close(socks[1]);
}

/* Wherever each of them maps what: between reservations there is more and less room. */
static void descriptor_sent_over_a_socket_is_the_enclave(void **state)
{
	void *taken[8];

	for (size_t i = 0; i < 8; i++) {
		taken[i] = mmap(NULL, (i + 1) * 0x7000, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		share_an_enclave_with_a_child();
	}
	for (size_t i = 0; i < 8; i++)
		munmap(taken[i], (i + 1) * 0x7000);
}

/* As parents and children of a library OS attest each other. */
static void report_key_is_the_machines(void **state)
{
	static _Alignas(512) uint8_t targetinfo[512];
	static uint8_t data[64], here[512];
	uint8_t *there = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			      -1, 0);
	struct test_op op = {
		.kind = OP_EREPORT,
		.addr = (uintptr_t)targetinfo,
		.value = (uintptr_t)data,
		.addr2 = (uintptr_t)here,
	};
	pid_t pid;

	assert_ptr_not_equal(there, MAP_FAILED);
	test_enter(&encl, 0, &op);
	pid = fork();
	if (!pid) {
		struct test_encl e;

		op.addr2 = (uintptr_t)there;
		if (test_encl_build(&e, &(struct test_config){ 0 }))
			_exit(1);
		test_enter(&e, 0, &op);
		_exit(0);
	}
	assert_child_ends_well(pid);
	/* Body, but for the address nothing differs; key id and MAC need the same key. */
	assert_memory_equal(there, here, 432);
	munmap(there, PAGE_SIZE);
}

/* A sandbox: the filter traps, and its handler answers in the system call's place. */
static void answer(int sig, siginfo_t *info, void *context)
{
	if (info->si_code == BY_A_FILTER && info->si_syscall == SYS_getppid)
		((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = 4711;
}

static int run_sandboxed(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = { sizeof(code) / sizeof(code[0]), code };
	const struct sigaction sa = { .sa_sigaction = answer, .sa_flags = SA_SIGINFO };

	if (sigaction(SIGSYS, &sa, NULL) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		return 1;
	put(&encl, 8);
	return syscall(SYS_getppid) == 4711 && get(&encl) == 8 ? 0 : 2;
}

static void filter_of_the_program_traps_to_its_handler(void **state)
{
	const pid_t pid = fork();

	if (!pid)
		_exit(run_sandboxed());
	assert_child_ends_well(pid);
}

/* Each of the ways a process makes another, into a program that uses SGX. */
static void spawned_program_builds_its_own(void **state)
{
	char *argv[] = { (char *)"test-process", (char *)BUILD_AND_ENTER, NULL };
	pid_t pid;

	assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
	assert_child_ends_well(pid);
}

static void program_after_vfork_builds_its_own(void **state)
{
	char *argv[] = { (char *)"test-process", (char *)BUILD_AND_ENTER, NULL };
	const pid_t pid = vfork();

	if (!pid) {
		execv("/proc/self/exe", argv);
		_exit(99);
	}
	assert_child_ends_well(pid);
}

/* --- threads that are killed inside ------------------------------------------------------ */

/* Shared with children, whose pages are private otherwise. */
static struct test_op *shared_op(void)
{
	struct test_op *op = mmap(NULL, sizeof(*op), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(op, MAP_FAILED);
	op->kind = OP_SPIN;
	return op;
}

static void wait_until_inside(const struct test_op *op)
{
	while (!op->started)
		sched_yield();
}

static struct sgx_enclave_run try(const struct test_encl *e, uint32_t leaf, struct test_op *op)
{
	struct sgx_enclave_run run = { 0 };

	assert_int_equal(test_call(e, test_tcs(e, 0), leaf, op, &run), 0);
	return run;
}

static void assert_gp(struct sgx_enclave_run run, uint32_t leaf)
{
	assert_int_equal(run.function, leaf);
	assert_int_equal(run.exception_vector, VECTOR_GP);
	assert_int_equal(run.exception_error_code, 0);
}

/* It left by an asynchronous exit: its frame is used, the next is there to enter. */
static void assert_was_left(const struct test_encl *e)
{
	struct test_op op = { .kind = OP_NOP };

	for (int i = 0; i < 2; i++) {
		assert_int_equal(try(e, ENCLU_EENTER, &op).function, ENCLU_EEXIT);
		assert_int_equal(op.entry[R_RAX], 1);
	}
	/* With registers nobody has. */
	assert_gp(try(e, ENCLU_ERESUME, NULL), ENCLU_ERESUME);
	assert_int_equal(try(e, ENCLU_EENTER, &op).function, ENCLU_EEXIT);
}

static void thread_killed_inside_has_left(void **state)
{
	struct test_op *op = shared_op();
	struct test_encl e;
	int status;
	pid_t pid;

	assert_int_equal(test_encl_build(&e, &(struct test_config){ 0 }), 0);
	pid = fork();
	if (!pid) {
		test_enter(&e, 0, op);
		_exit(0);
	}
	wait_until_inside(op);
	/* While it lives it is there, and nobody else. */
	assert_gp(try(&e, ENCLU_EENTER, NULL), ENCLU_EENTER);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_was_left(&e);
	test_encl_free(&e);
	munmap(op, sizeof(*op));
}

struct spinner {
	const struct test_encl *e;
	struct test_op *op;
};

static void *spin(void *arg)
{
	const struct spinner *s = arg;

	test_enter(s->e, 0, s->op);
	return NULL;
}

/* Executing another program ends all threads but one, wherever they are. */
static void replace_program(struct spinner *s, int wait_on)
{
	char *argv[] = { (char *)"cat", NULL };
	pthread_t thread;

	dup2(wait_on, STDIN_FILENO);
	pthread_create(&thread, NULL, spin, s);
	wait_until_inside(s->op);
	execv("/bin/cat", argv);
	_exit(99);
}

static void thread_ended_inside_by_exec_has_left(void **state)
{
	struct test_op *op = shared_op();
	int executed[2], ends[2];
	struct test_encl e;
	char byte;
	pid_t pid;

	assert_int_equal(test_encl_build(&e, &(struct test_config){ 0 }), 0);
	assert_int_equal(pipe2(executed, O_CLOEXEC), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (!pid)
		replace_program(&(struct spinner){ &e, op }, ends[0]);
	close(executed[1]);
	close(ends[0]);
	assert_int_equal(read(executed[0], &byte, 1), 0);
	/* The process is there still, as another program. */
	assert_was_left(&e);
	close(ends[1]);
	assert_child_ends_well(pid);
	test_encl_free(&e);
	close(executed[0]);
	munmap(op, sizeof(*op));
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

/* A debugger waits for children of all kinds, and would wait for this one. */
static void nobody_is_our_child_but_our_children(void **state)
{
	int status;

	assert_int_equal(waitpid(-1, &status, __WALL | WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static volatile sig_atomic_t handled;

static void on_usr1(int sig)
{
	handled++;
}

/* A vfork() child has its own signal actions, but not its own memory. */
static void vfork_child_changes_only_its_own_actions(void **state)
{
	sigset_t segv, old;
	pid_t pid;

	handled = 0;
	signal(SIGUSR1, on_usr1);
	pid = vfork();
	if (pid == 0) {
		sigemptyset(&segv);
		sigaddset(&segv, SIGSEGV);
		sigprocmask(SIG_BLOCK, &segv, NULL);
		signal(SIGUSR1, SIG_DFL);
		_exit(0);
	}
	assert_child_ends_well(pid);
	raise(SIGUSR1);
	assert_int_equal(handled, 1);
	sigprocmask(SIG_BLOCK, NULL, &old);
	assert_int_equal(sigismember(&old, SIGSEGV), 0);
	signal(SIGUSR1, SIG_DFL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(l6_child_enters_its_parents_enclave),
		cmocka_unit_test(parents_enclave_outlives_a_child_that_unmaps_it),
		cmocka_unit_test(child_builds_its_own),
		cmocka_unit_test(grandchild_builds_its_own),
		cmocka_unit_test(child_executes_a_program_that_builds_its_own),
		cmocka_unit_test(shell_starts_a_program_that_builds_its_own),
		cmocka_unit_test(program_that_closes_all_descriptors_goes_on),
		cmocka_unit_test(duplicate_of_the_descriptor_is_the_enclave_too),
		cmocka_unit_test(descriptor_sent_over_a_socket_is_the_enclave),
		cmocka_unit_test(report_key_is_the_machines),
		cmocka_unit_test(filter_of_the_program_traps_to_its_handler),
		cmocka_unit_test(spawned_program_builds_its_own),
		cmocka_unit_test(program_after_vfork_builds_its_own),
		cmocka_unit_test(nobody_is_our_child_but_our_children),
		cmocka_unit_test(vfork_child_changes_only_its_own_actions),
		cmocka_unit_test(part_of_the_enclave_can_be_unmapped_and_mapped_again),
		cmocka_unit_test(thread_killed_inside_has_left),
		cmocka_unit_test(thread_ended_inside_by_exec_has_left),
	};

	if (argc > 1 && !strcmp(argv[1], BUILD_AND_ENTER))
		return build_and_enter();
	return cmocka_run_group_tests_name("process", tests, setup, teardown);
}
