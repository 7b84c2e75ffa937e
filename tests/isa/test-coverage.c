/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leaves.def against what the tests have seen: each way a leaf is declared to
 * end is reached by some test, and no leaf ends in a way that is not declared.
 *
 * usage: test-coverage TEST-PROGRAM...
 *
 * The programs are run again, with ISA_RECORD set; whether their cases pass is
 * for their own runs to say.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <swsgx/isa.h>

#define MAX_SEEN 4096

struct seen {
	unsigned int class, leaf, result;
};

static struct seen seen[MAX_SEEN];
static size_t nr_seen;

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static void run(const char *program)
{
	const pid_t pid = fork();
	int status;

	if (pid < 0)
		die("fork");
	if (!pid) {
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
			_exit(1);
		execl(program, program, (char *)NULL);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		die(program);
}

static void read_record(const char *path)
{
	FILE *f = fopen(path, "r");
	struct seen s;

	if (!f)
		die(path);
	while (nr_seen < MAX_SEEN && fscanf(f, "%u %u %u", &s.class, &s.leaf, &s.result) == 3)
		seen[nr_seen++] = s;
	fclose(f);
}

static bool is_seen(const struct isa_leaf_info *leaf, uint32_t result)
{
	for (size_t i = 0; i < nr_seen; i++)
		if (seen[i].class == leaf->class && seen[i].leaf == leaf->number &&
		    seen[i].result == result)
			return true;
	return false;
}

static bool is_declared(const struct isa_leaf_info *leaf, uint32_t result)
{
	for (size_t i = 0; i < leaf->nr_results; i++)
		if (leaf->results[i] == result)
			return true;
	return false;
}

static const char *flag(uint32_t result)
{
	switch (isa_result_kind(result)) {
	case ISA_ERROR: return " with ZF";
	case ISA_INFO: return " with CF";
	default: return "";
	}
}

static int missing(const struct isa_leaf_info *leaf)
{
	int bad = 0;

	for (size_t i = 0; i < leaf->nr_results; i++) {
		if (is_seen(leaf, leaf->results[i]))
			continue;
		printf("# %s: no test has seen %s%s\n", leaf->name,
		       isa_result_name(leaf->results[i]), flag(leaf->results[i]));
		bad = 1;
	}
	return bad;
}

static int undeclared(const struct isa_leaf_info *leaf)
{
	int bad = 0;

	for (size_t i = 0; i < nr_seen; i++) {
		const struct seen *s = &seen[i];

		if (s->class != leaf->class || s->leaf != leaf->number ||
		    is_declared(leaf, s->result))
			continue;
		printf("# %s: %s%s was seen, which leaves.def does not declare\n", leaf->name,
		       isa_result_name(s->result), flag(s->result));
		bad = 1;
	}
	return bad;
}

static void record(int nr_programs, char **programs)
{
	char path[] = "/tmp/isa-record-XXXXXX";
	const int fd = mkstemp(path);

	if (fd < 0)
		die("mkstemp");
	close(fd);
	if (setenv("ISA_RECORD", path, 1))
		die("setenv");
	for (int i = 0; i < nr_programs; i++)
		run(programs[i]);
	read_record(path);
	unlink(path);
}

int main(int argc, char **argv)
{
	const struct isa_leaf_info *leaf;
	int bad = 0;
	size_t i;

	record(argc - 1, argv + 1);
	for (i = 0; (leaf = isa_leaf_at(i)); i++) {
		const int leaf_bad = missing(leaf) | undeclared(leaf);

		printf("%sok %zu - %s_ends_in_each_declared_way_and_no_other\n",
		       leaf_bad ? "not " : "", i + 1, leaf->name);
		bad |= leaf_bad;
	}
	printf("1..%zu\n", i);
	return bad;
}
