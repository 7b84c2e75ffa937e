/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long a server lives, and for whom: as long as its program, whoever holds
 * its lifeline, or an open device may need it; and only for its own user.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../isa/fixture.h"
#include "raw-client.h"

/* Long enough to be caught at it, short enough to wait for. */
#define SOON_MS 100
#define IN_TIME_MS (RAW_PATIENCE_S * 1000)

static void an_open_device_keeps_the_machine(void **state)
{
	struct machine m;
	int sock, copy;

	machine_start(&m, 64);
	sock = raw_open(&m);
	assert_int_equal(raw_build(sock), 0);
	copy = dup(sock);
	machine_let_go(&m);
	assert_false(machine_has_ended(&m, SOON_MS));
	close(sock);
	assert_false(machine_has_ended(&m, SOON_MS));
	assert_true(raw_works(copy));
	close(copy);
	assert_true(machine_has_ended(&m, IN_TIME_MS));
	machine_stop(&m);
}

static void the_lifeline_keeps_the_machine(void **state)
{
	struct machine m;
	int sock;

	machine_start(&m, 64);
	assert_false(machine_has_ended(&m, SOON_MS));
	sock = raw_open(&m);
	assert_int_equal(raw_build(sock), 0);
	close(sock);
	assert_false(machine_has_ended(&m, SOON_MS));
	machine_let_go(&m);
	assert_true(machine_has_ended(&m, IN_TIME_MS));
	machine_stop(&m);
}

static void a_lifeline_with_several_holders_needs_all_of_them_gone(void **state)
{
	struct machine m;
	int copy;

	machine_start(&m, 64);
	copy = dup(m.lifeline);
	machine_let_go(&m);
	assert_false(machine_has_ended(&m, SOON_MS));
	close(copy);
	assert_true(machine_has_ended(&m, IN_TIME_MS));
	machine_stop(&m);
}

static void an_open_provision_device_does_not_keep_it(void **state)
{
	struct machine m;
	int sock;

	machine_start(&m, 64);
	sock = raw_connect(&m, PROTO_PROVISION);
	assert_true(sock >= 0);
	machine_let_go(&m);
	assert_true(machine_has_ended(&m, IN_TIME_MS));
	close(sock);
	machine_stop(&m);
}

struct with_program {
	struct server *server;
	int program;
	int result;
};

static void *run_with_program(void *arg)
{
	struct with_program *w = arg;

	w->result = server_run(w->server, &(struct server_needs){ w->program, -1, -1 });
	return NULL;
}

static void the_program_keeps_the_machine(void **state)
{
	const struct server_config config = {
		.epc_size = 64 * SGX_PAGE_SIZE,
		.profile = isa_profile_at(0),
	};
	struct machine m = { .lifeline = -1 };
	struct with_program w = { .result = -1 };
	const pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_int_equal(server_create(&config, &w.server), 0);
	w.program = (int)syscall(SYS_pidfd_open, pid, 0);
	assert_true(w.program >= 0);
	m.server = w.server;
	assert_int_equal(pthread_create(&m.thread, NULL, run_with_program, &w), 0);
	assert_false(machine_has_ended(&m, SOON_MS));
	kill(pid, SIGKILL);
	assert_true(machine_has_ended(&m, IN_TIME_MS));
	assert_int_equal(w.result, 0);
	waitpid(pid, NULL, 0);
	close(w.program);
	server_destroy(w.server);
}

static void a_call_that_is_running_keeps_it(void **state)
{
	const struct proto_request req = {
		.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL, .a = SGX_IOC_ENCLAVE_CREATE,
	};
	struct machine m;
	struct raw_frame f;
	int sock, reply;

	machine_start(&m, 64);
	sock = raw_open(&m);
	reply = raw_begin(sock, &req);
	assert_true(raw_receive(reply, &f));
	close(sock);
	machine_let_go(&m);
	assert_false(machine_has_ended(&m, SOON_MS));
	close(reply);
	assert_true(machine_has_ended(&m, IN_TIME_MS));
	machine_stop(&m);
}

static void nobody_answers_after_the_end(void **state)
{
	struct machine m;

	machine_start(&m, 64);
	machine_let_go(&m);
	assert_true(machine_has_ended(&m, IN_TIME_MS));
	server_destroy(m.server);
	/* The name is free again: a client is told that there is no device. */
	machine_start(&m, 64);
	assert_int_equal(raw_connect(&m, "/sgx_nothing"), -ECONNREFUSED);
	machine_stop(&m);
}

static void a_client_killed_in_a_call_loses_its_enclave_only(void **state)
{
	struct machine m;
	int ready[2], victim;
	char byte;

	machine_start(&m, 256);
	victim = raw_open(&m);
	assert_int_equal(raw_build(victim), 0);
	for (int i = 0; i < 10; i++) {
		pid_t pid;

		assert_int_equal(pipe(ready), 0);
		pid = fork();
		if (pid == 0) {
			const struct proto_request req = {
				.magic = PROTO_MAGIC, .op = PROTO_OP_IOCTL,
				.a = SGX_IOC_ENCLAVE_CREATE,
			};
			const int sock = raw_connect(&m, PROTO_ENCLAVE);

			if (raw_build(sock) || raw_begin(sock, &req) < 0 ||
			    write(ready[1], "x", 1) != 1)
				_exit(1);
			for (;;)
				raw_ioctl(sock, SGX_IOC_ENCLAVE_PROVISION, NULL);
		}
		close(ready[1]);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		close(ready[0]);
		usleep((useconds_t)i * 300);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		assert_true(raw_works(victim));
	}
	close(victim);
	machine_await_idle(&m);
	machine_stop(&m);
}

/*
 * A program that closes one enclave and builds the next finds the first one's
 * pages free, as after the close(2) of the driver.
 */
static void a_closed_enclave_makes_room_for_the_next_one(void **state)
{
	enum { PAGES = 192 };
	uint8_t *src = aligned_alloc(SGX_PAGE_SIZE, PAGES * SGX_PAGE_SIZE);
	struct machine m;
	struct sgx_secs secs;

	isa_fixture_default_secs(&secs);
	secs.size = 1 << 20;
	secs.baseaddr = 1 << 20;
	memset(src, 1, PAGES * SGX_PAGE_SIZE);
	machine_start(&m, 256);
	for (int i = 0; i < 300; i++) {
		const int sock = raw_open(&m);

		assert_int_equal(raw_create(sock, &secs), 0);
		assert_int_equal(raw_add_pages(sock, 0, src, PAGES * SGX_PAGE_SIZE,
					       SECINFO_PT(PT_REG) | SECINFO_R, 0), 0);
		close(sock);
	}
	free(src);
	machine_stop(&m);
}

/* --- a release that takes its time --------------------------------------------------- */

/* Whatever this process says on standard error from here on waits to be read. */
static int hold_up_stderr(int *saved)
{
	char byte = 0;
	int ends[2];

	*saved = dup(STDERR_FILENO);
	assert_int_equal(pipe(ends), 0);
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	while (write(ends[1], &byte, 1) == 1)
		;
	fcntl(ends[1], F_SETFL, 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	return ends[0];
}

static void let_stderr_go(int end, int saved)
{
	char bytes[4096];

	dup2(saved, STDERR_FILENO);
	close(saved);
	/* The last one that writes is who is held up. */
	while (read(end, bytes, sizeof(bytes)) > 0)
		;
	close(end);
}

/*
 * The first leaked page is reported, and that report is what holds the release up
 * here: large enclaves have no need of such help.
 */
static void others_get_on_while_an_enclave_is_released(void **state)
{
	static struct inject_plan plan;
	const struct server_config config = {
		.epc_size = 256 * SGX_PAGE_SIZE, .profile = isa_profile_at(0), .inject = &plan,
	};
	struct machine m;
	char why[256];
	int end, saved, sock, other;
	bool works;

	assert_true(inject_add(&plan, "EREMOVE:nth=1,code=SGX_ENCLAVE_ACT", why, sizeof(why)));
	machine_start_with(&m, &config);
	sock = raw_open(&m);
	other = raw_open(&m);
	assert_int_equal(raw_build(sock), 0);
	end = hold_up_stderr(&saved);
	close(sock);
	works = raw_build(other) == 0 && raw_works(other);
	close(other);
	other = raw_open(&m);
	works = works && raw_build(other) == 0 && raw_works(other);
	let_stderr_go(end, saved);
	assert_true(works);
	close(other);
	machine_let_go(&m);
	assert_true(machine_has_ended(&m, IN_TIME_MS));
	assert_true(server_stat(m.server).leaked > 0);
	server_destroy(m.server);
}

/* --- whose it is -------------------------------------------------------------------- */

#define NOBODY 65534u
#define SOMEBODY 65533u

/* As @uid: 0 an ioctl, or a look, is answered, 1 cut off, 2 nobody can be @uid here. */
static int try_as(const struct machine *m, uid_t uid, bool control)
{
	int status;
	const pid_t pid = fork();

	if (pid == 0) {
		int sock;

		if (syscall(SYS_setresuid, 0, 0, 0) || setgroups(0, NULL) ||
		    syscall(SYS_setresuid, uid, uid, uid))
			_exit(2);
		sock = m ? raw_connect(m, control ? PROTO_CONTROL : PROTO_ENCLAVE) : -1;
		if (sock < 0)
			_exit(1);
		if (control)
			_exit(raw_control(sock, CONTROL_STAT, 0, NULL, 0) == -EMSGSIZE ? 0 : 1);
		_exit(raw_ioctl(sock, 0x1234, NULL) == -ENOTTY ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void open_to_its_user_and_root_only(bool control)
{
	struct machine m;
	bool root, self, other, same;

	if (geteuid() != 0 || try_as(NULL, NOBODY, 0) == 2 || try_as(NULL, SOMEBODY, 0) == 2)
		skip();
	machine_start(&m, 64);
	same = try_as(&m, 0, control) == 0 && try_as(&m, NOBODY, control) == 1;
	assert_int_equal(seteuid(NOBODY), 0);
	root = try_as(&m, 0, control) == 0;
	self = try_as(&m, NOBODY, control) == 0;
	other = try_as(&m, SOMEBODY, control) == 1;
	assert_int_equal(seteuid(0), 0);
	assert_true(same);
	assert_true(root);
	assert_true(self);
	assert_true(other);
	machine_stop(&m);
}

static void only_its_own_user_and_root_may_connect(void **state)
{
	open_to_its_user_and_root_only(false);
}

static void only_its_own_user_and_root_may_look(void **state)
{
	open_to_its_user_and_root_only(true);
}

static void two_machines_do_not_know_each_other(void **state)
{
	struct machine a, b;
	int sock_a, sock_b;

	machine_start(&a, 64);
	machine_start(&b, 64);
	assert_string_not_equal(server_name(a.server), server_name(b.server));
	sock_a = raw_open(&a);
	sock_b = raw_open(&b);
	assert_int_equal(raw_build(sock_a), 0);
	assert_int_equal(server_stat(b.server).in_use, 0);
	assert_int_equal(raw_build(sock_b), 0);
	close(sock_a);
	machine_await_idle(&a);
	assert_true(raw_works(sock_b));
	close(sock_b);
	machine_let_go(&a);
	assert_true(machine_has_ended(&a, IN_TIME_MS));
	server_destroy(a.server);
	machine_let_go(&b);
	assert_true(machine_has_ended(&b, IN_TIME_MS));
	server_destroy(b.server);
	assert_int_equal(count_fds(), a.nr_fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_open_device_keeps_the_machine),
		cmocka_unit_test(the_lifeline_keeps_the_machine),
		cmocka_unit_test(a_lifeline_with_several_holders_needs_all_of_them_gone),
		cmocka_unit_test(an_open_provision_device_does_not_keep_it),
		cmocka_unit_test(the_program_keeps_the_machine),
		cmocka_unit_test(a_call_that_is_running_keeps_it),
		cmocka_unit_test(nobody_answers_after_the_end),
		cmocka_unit_test(a_client_killed_in_a_call_loses_its_enclave_only),
		cmocka_unit_test(a_closed_enclave_makes_room_for_the_next_one),
		cmocka_unit_test(others_get_on_while_an_enclave_is_released),
		cmocka_unit_test(only_its_own_user_and_root_may_connect),
		cmocka_unit_test(only_its_own_user_and_root_may_look),
		cmocka_unit_test(two_machines_do_not_know_each_other),
	};

	return cmocka_run_group_tests_name("lifetime", tests, NULL, NULL);
}
