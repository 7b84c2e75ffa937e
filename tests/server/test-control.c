/* SPDX-License-Identifier: BSD-3-Clause */
/* What a server tells who looks at it, and whom it does not listen to. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../isa/fixture.h"
#include "raw-client.h"

static int look(const struct machine *m)
{
	const int sock = raw_connect(m, PROTO_CONTROL);

	assert_true(sock >= 0);
	return sock;
}

static struct control_stat ask_stat(int sock)
{
	struct control_stat stat;

	assert_int_equal(raw_control(sock, CONTROL_STAT, 0, &stat, sizeof(stat)), 1);
	return stat;
}

static struct control_stat stat_of(const struct machine *m)
{
	const int sock = look(m);
	const struct control_stat stat = ask_stat(sock);

	close(sock);
	return stat;
}

static const struct control_ioctl *find_ioctl(const struct control_stat *stat, const char *name)
{
	for (uint32_t i = 0; i < stat->nr_ioctls; i++)
		if (!strcmp(stat->ioctls[i].name, name))
			return &stat->ioctls[i];
	fail_msg("no ioctl %s", name);
	return NULL;
}

static void counters_are_the_machines(void **state)
{
	struct control_stat stat = stat_of(*state);
	int sock;

	assert_int_equal(stat.epc.total, 1024);
	assert_int_equal(stat.epc.free + stat.epc.cached, 1024);
	assert_int_equal(stat.nr_enclaves, 0);
	assert_int_equal(stat.pid, getpid());
	assert_int_not_equal(stat.started_ns, 0);
	assert_int_equal(stat.nr_rules, 0);

	sock = raw_open(*state);
	assert_int_equal(raw_build(sock), 0);
	stat = stat_of(*state);
	assert_int_not_equal(stat.epc.in_use, 0);
	assert_int_equal(stat.epc.in_use + stat.epc.free + stat.epc.cached, 1024);
	assert_int_equal(stat.nr_enclaves, 1);
	assert_int_equal(stat.nr_enclaves_open, 1);

	close(sock);
	machine_await_idle(*state);
	stat = stat_of(*state);
	assert_int_equal(stat.nr_enclaves, 1);
	assert_int_equal(stat.nr_enclaves_open, 0);
}

static void ioctls_are_counted_by_name_and_result(void **state)
{
	const struct control_stat before = stat_of(*state);
	struct control_stat stat;
	const int sock = raw_open(*state);

	assert_int_equal(raw_build(sock), 0);
	assert_int_equal(raw_init(sock), -EINVAL);
	assert_int_equal(raw_ioctl(sock, 0x1234, NULL), -ENOTTY);
	stat = stat_of(*state);
	assert_int_equal(find_ioctl(&stat, "ENCLAVE_CREATE")->nr_calls -
			 find_ioctl(&before, "ENCLAVE_CREATE")->nr_calls, 1);
	assert_int_equal(find_ioctl(&stat, "ENCLAVE_CREATE")->nr_failed, 0);
	assert_int_equal(find_ioctl(&stat, "ENCLAVE_INIT")->nr_calls -
			 find_ioctl(&before, "ENCLAVE_INIT")->nr_calls, 2);
	assert_int_equal(find_ioctl(&stat, "ENCLAVE_INIT")->nr_failed, 1);
	assert_int_equal(find_ioctl(&stat, "unknown")->nr_calls, 1);
	assert_int_equal(find_ioctl(&stat, "unknown")->nr_failed, 1);
	close(sock);
	machine_await_idle(*state);
}

static void one_connection_carries_many_questions(void **state)
{
	struct control_leak rows[CONTROL_LEAKS_AT_ONCE];
	const int sock = look(*state);

	for (int i = 0; i < 100; i++) {
		assert_int_equal(ask_stat(sock).epc.total, 1024);
		assert_int_equal(raw_control(sock, CONTROL_LEAKS, (uint64_t)i, rows,
					     sizeof(rows)), 0);
	}
	close(sock);
}

static void an_unknown_question_is_refused_and_the_next_answered(void **state)
{
	const int sock = look(*state);

	assert_int_equal(raw_control(sock, 0, 0, NULL, 0), -EINVAL);
	assert_int_equal(raw_control(sock, 1000, 0, NULL, 0), -EINVAL);
	assert_int_equal(raw_control(sock, UINT32_MAX, 0, NULL, 0), -EINVAL);
	assert_int_equal(ask_stat(sock).epc.total, 1024);
	close(sock);
}

static void what_is_no_question_is_cut_off(void **state)
{
	const struct control_request good = { CONTROL_MAGIC, CONTROL_STAT, 0 };
	struct control_request bad = good;
	char large[2 * sizeof(good)] = { 0 };
	int sock;

	memcpy(large, &good, sizeof(good));
	bad.magic++;
	const struct { const void *data; size_t size; } cases[] = {
		{ &bad, sizeof(bad) },
		{ &good, sizeof(good) - 1 },
		{ large, sizeof(large) },
		{ &good, 1 },
		{ &good, 0 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		sock = look(*state);
		assert_int_equal(raw_send(sock, cases[i].data, cases[i].size, NULL, 0), 0);
		assert_true(raw_is_cut_off(sock));
		close(sock);
	}
	assert_int_equal(stat_of(*state).epc.total, 1024);
}

static void descriptors_sent_along_are_not_kept(void **state)
{
	const struct control_request req = { CONTROL_MAGIC, CONTROL_STAT, 0 };
	const int sock = look(*state);
	const int fds[3] = { sock, sock, sock };
	unsigned int before;

	/* The server has its end then. */
	ask_stat(sock);
	before = count_fds();

	for (int i = 0; i < 20; i++) {
		struct control_stat stat;

		assert_int_equal(raw_send(sock, &req, sizeof(req), fds, 3), 0);
		assert_true(recv(sock, &stat, sizeof(stat), 0) > 0);
	}
	assert_int_equal(count_fds(), before);
	close(sock);
}

/* Its answers fill the socket; the machine serves others meanwhile. */
static void who_asks_and_does_not_listen_is_cut_off(void **state)
{
	const struct control_request req = { CONTROL_MAGIC, CONTROL_STAT, 0 };
	const int sock = look(*state);
	bool refused = false;

	for (int i = 0; i < 100000 && !refused; i++)
		refused = raw_send(sock, &req, sizeof(req), NULL, 0) != 0;
	assert_true(refused);
	assert_int_equal(stat_of(*state).epc.total, 1024);
	close(sock);
}

static void idle_connections_are_limited_and_devices_are_not(void **state)
{
	int socks[40], nr_open = 0, sock;

	for (int i = 0; i < 40; i++)
		socks[i] = look(*state);
	for (int i = 0; i < 40; i++) {
		struct control_stat stat;

		nr_open += raw_control(socks[i], CONTROL_STAT, 0, &stat, sizeof(stat)) == 1;
	}
	assert_int_equal(nr_open, 16);
	sock = raw_open(*state);
	assert_int_equal(raw_build(sock), 0);
	close(sock);
	for (int i = 0; i < 40; i++)
		close(socks[i]);
	machine_await_idle(*state);
	assert_int_equal(stat_of(*state).epc.total, 1024);
}

/* A fork of the server's process keeps the sockets it had, closed here or not. */
static void a_connection_that_has_ended_is_heard_of_no_more(void **state)
{
	const int sock = look(*state);
	int hold[2];
	pid_t pid;

	ask_stat(sock);
	assert_int_equal(pipe(hold), 0);
	pid = fork();
	if (pid == 0) {
		char byte;

		close(hold[1]);
		close(sock);
		_exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
	}
	close(hold[0]);
	close(sock);
	for (int i = 0; i < 100; i++)
		assert_int_equal(stat_of(*state).epc.total, 1024);
	close(hold[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void looking_does_not_keep_the_machine(void **state)
{
	struct machine m;
	int sock;

	machine_start(&m, 64);
	sock = look(&m);
	assert_int_equal(ask_stat(sock).epc.total, 64);
	machine_let_go(&m);
	assert_true(machine_has_ended(&m, RAW_PATIENCE_S * 1000));
	close(sock);
	machine_stop(&m);
}

/* --- leaks ------------------------------------------------------------------------- */

static void start_leaking(struct machine *m, struct inject_plan *plan, const char *rule)
{
	char why[128];

	if (!inject_add(plan, rule, why, sizeof(why)))
		fail_msg("%s", why);
	machine_start_with(m, &(struct server_config){
		.epc_size = 1024 * SGX_PAGE_SIZE,
		.profile = isa_profile_at(0),
		.inject = plan,
	});
}

static void stop_leaky(struct machine *m)
{
	machine_let_go(m);
	assert_true(machine_has_ended(m, RAW_PATIENCE_S * 1000));
	server_destroy(m->server);
}

static void await_no_enclave(struct machine *m)
{
	for (int i = 0; i < RAW_PATIENCE_S * 1000 && server_stat(m->server).in_use; i++)
		usleep(1000);
	assert_int_equal(server_stat(m->server).in_use, 0);
}

static uint64_t build_and_close(struct machine *m)
{
	const int sock = raw_open(m);
	uint64_t nr_pages;

	assert_int_equal(raw_build(sock), 0);
	nr_pages = server_stat(m->server).in_use;
	close(sock);
	await_no_enclave(m);
	return nr_pages;
}

static void a_leak_is_told_with_all_the_ledger_knows(void **state)
{
	static struct inject_plan plan;
	struct control_leak rows[CONTROL_LEAKS_AT_ONCE];
	struct control_stat stat;
	struct machine m;
	int sock;

	start_leaking(&m, &plan, "EREMOVE:nth=1,code=SGX_ENCLAVE_ACT");
	build_and_close(&m);
	stat = stat_of(&m);
	/* The page, and the SECS that has it as a child for ever. */
	assert_int_equal(stat.epc.leaked, 2);
	assert_int_equal(stat.epc.free + stat.epc.cached + stat.epc.leaked, 1024);
	assert_int_equal(stat.nr_rules, 1);
	assert_string_equal(stat.rules[0].text, "EREMOVE:nth=1,code=SGX_ENCLAVE_ACT");
	assert_int_equal(stat.rules[0].nr_fired, 1);
	assert_true(stat.rules[0].nr_calls > 1);

	sock = look(&m);
	assert_int_equal(raw_control(sock, CONTROL_LEAKS, 0, rows, sizeof(rows)), 2);
	assert_int_equal(rows[0].result.code, SGX_ENCLAVE_ACT);
	assert_int_equal(rows[1].result.code, SGX_CHILD_PRESENT);
	assert_int_equal(rows[1].epcm.pt, PT_SECS);
	assert_true(rows[0].epcm_known && rows[0].epcm.valid);
	assert_int_equal(rows[0].owner.pid, getpid());
	assert_int_equal(rows[0].owner.encl_id, rows[1].owner.encl_id);
	assert_string_equal(rows[0].site, "sgx_encl_release");
	assert_int_not_equal(rows[0].pa, rows[1].pa);
	assert_true(rows[0].time_ns >= stat.started_ns);
	assert_int_equal(raw_control(sock, CONTROL_LEAKS, 1, rows, sizeof(rows)), 1);
	assert_int_equal(rows[0].result.code, SGX_CHILD_PRESENT);
	assert_int_equal(raw_control(sock, CONTROL_LEAKS, 2, rows, sizeof(rows)), 0);
	close(sock);
	stop_leaky(&m);
}

static void many_leaks_come_in_several_answers(void **state)
{
	static struct inject_plan plan;
	struct control_leak rows[CONTROL_LEAKS_AT_ONCE];
	uint64_t nr_pages = 0, nr_leaks = 0;
	struct machine m;
	int sock;
	long n;

	start_leaking(&m, &plan, "EREMOVE:nth=1,every=1,fault=PF");
	while (nr_pages <= 2 * CONTROL_LEAKS_AT_ONCE)
		nr_pages += build_and_close(&m);
	sock = look(&m);
	while ((n = raw_control(sock, CONTROL_LEAKS, nr_leaks, rows, sizeof(rows))) > 0) {
		nr_leaks += (uint64_t)n;
		assert_int_equal(rows[0].result.vector, X86_PF);
	}
	assert_int_equal(n, 0);
	assert_int_equal(nr_leaks, nr_pages);
	assert_int_equal(raw_control(sock, CONTROL_LEAKS, UINT64_MAX, rows, sizeof(rows)), 0);
	close(sock);
	stop_leaky(&m);
}

/* --- beginning and end --------------------------------------------------------------- */

static void sanitizing_is_not_counted_unless_from_boot(void **state)
{
	static struct inject_plan plan;
	struct machine m;
	struct control_stat stat;
	char why[128];

	assert_true(inject_add(&plan, "EREMOVE:nth=1", why, sizeof(why)));
	start_leaking(&m, &plan, "EREMOVE:nth=1,from=boot");
	stat = stat_of(&m);
	assert_int_equal(stat.rules[0].nr_calls, 0);
	/* Once more in the second pass, and clean. */
	assert_int_equal(stat.rules[1].nr_calls, 1025);
	assert_int_equal(stat.rules[1].nr_fired, 1);
	assert_int_equal(stat.epc.free + stat.epc.cached, 1024);
	stop_leaky(&m);
}

static int create_named(const char *name)
{
	const struct server_config config = {
		.epc_size = 16 * SGX_PAGE_SIZE, .profile = isa_profile_at(0), .name = name,
	};
	struct server *s;
	const int ret = server_create(&config, &s);

	if (!ret)
		server_destroy(s);
	return ret;
}

static void a_name_is_the_servers_own(void **state)
{
	struct machine m;
	char name[64];

	snprintf(name, sizeof(name), "test-control.%d", (int)getpid());
	machine_start_with(&m, &(struct server_config){
		.epc_size = 64 * SGX_PAGE_SIZE, .profile = isa_profile_at(0), .name = name });
	assert_string_equal(server_name(m.server), name);
	assert_int_equal(create_named(name), -EADDRINUSE);
	assert_int_equal(stat_of(&m).epc.total, 64);
	machine_stop(&m);
	assert_int_equal(create_named(name), 0);
}

static void names_that_could_mislead_are_refused(void **state)
{
	assert_int_equal(create_named(""), -EINVAL);
	assert_int_equal(create_named("a/b"), -EINVAL);
	assert_int_equal(create_named("a b"), -EINVAL);
	assert_int_equal(create_named("a\n"), -EINVAL);
	assert_int_equal(create_named("\xc3\xa4"), -EINVAL);
	assert_int_equal(create_named("12345678901234567890123456789012345678901234567890"), -EINVAL);
}

/* In a process of its own: one that was stopped has to end. */
static void a_machine_that_is_stopped_ends_with_enclaves_open(void **state)
{
	const struct server_config config = {
		.epc_size = 64 * SGX_PAGE_SIZE, .profile = isa_profile_at(0),
	};
	struct machine m = { .lifeline = -1 };
	int status, stop[2], sock;
	pid_t pid;

	assert_int_equal(server_create(&config, &m.server), 0);
	assert_int_equal(pipe(stop), 0);
	pid = fork();
	if (pid == 0) {
		close(stop[1]);
		_exit(server_run(m.server, &(struct server_needs){ -1, -1, stop[0] }) == 1 ? 42 : 8);
	}
	sock = raw_open(&m);
	assert_int_equal(raw_build(sock), 0);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	close(stop[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
	assert_int_equal(raw_init(sock), -ENODEV);
	close(sock);
	close(stop[0]);
	server_destroy(m.server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(counters_are_the_machines, machine_setup,
						machine_teardown),
		cmocka_unit_test_setup_teardown(ioctls_are_counted_by_name_and_result,
						machine_setup, machine_teardown),
		cmocka_unit_test_setup_teardown(one_connection_carries_many_questions,
						machine_setup, machine_teardown),
		cmocka_unit_test_setup_teardown(an_unknown_question_is_refused_and_the_next_answered,
						machine_setup, machine_teardown),
		cmocka_unit_test_setup_teardown(what_is_no_question_is_cut_off, machine_setup,
						machine_teardown),
		cmocka_unit_test_setup_teardown(descriptors_sent_along_are_not_kept, machine_setup,
						machine_teardown),
		cmocka_unit_test_setup_teardown(who_asks_and_does_not_listen_is_cut_off,
						machine_setup, machine_teardown),
		cmocka_unit_test_setup_teardown(idle_connections_are_limited_and_devices_are_not,
						machine_setup, machine_teardown),
		cmocka_unit_test_setup_teardown(a_connection_that_has_ended_is_heard_of_no_more,
						machine_setup, machine_teardown),
		cmocka_unit_test(looking_does_not_keep_the_machine),
		cmocka_unit_test(a_leak_is_told_with_all_the_ledger_knows),
		cmocka_unit_test(many_leaks_come_in_several_answers),
		cmocka_unit_test(sanitizing_is_not_counted_unless_from_boot),
		cmocka_unit_test(a_name_is_the_servers_own),
		cmocka_unit_test(names_that_could_mislead_are_refused),
		cmocka_unit_test(a_machine_that_is_stopped_ends_with_enclaves_open),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
