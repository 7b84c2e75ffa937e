/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A server: what it consists of, its name, and the sockets clients find it by.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "internal.h"

static int listen_on(const struct server *s, const char *suffix)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int n, ret;

	if (fd < 0)
		return -errno;
	/* Abstract: nothing in a file system, so nothing to clean up. */
	n = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, PROTO_PREFIX "%s%s", s->name,
		     suffix);
	if (bind(fd, (struct sockaddr *)&addr,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0 &&
	    listen(fd, 128) == 0)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/* EPC is memory: more of it than the host has cannot be had. */
static bool fits_into_memory(uint64_t size)
{
	return size / (uint64_t)sysconf(_SC_PAGESIZE) <= (uint64_t)sysconf(_SC_PHYS_PAGES);
}

static bool name_is_valid(const char *name)
{
	const size_t len = strlen(name);

	return len && len < PROTO_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

/* Without a wish a name that nobody else has, or can guess and take first. */
static int choose_name(struct server *s, const char *wish)
{
	uint64_t id[2];

	if (wish) {
		if (!name_is_valid(wish))
			return -EINVAL;
		strcpy(s->name, wish);
		return 0;
	}
	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return -EIO;
	snprintf(s->name, sizeof(s->name), "%016llx%016llx", (unsigned long long)id[0],
		 (unsigned long long)id[1]);
	return 0;
}

static int open_devices(struct server *s)
{
	int control;

	s->enclave_listener = listen_on(s, PROTO_ENCLAVE);
	if (s->enclave_listener < 0)
		return s->enclave_listener;
	s->provision_listener = listen_on(s, PROTO_PROVISION);
	if (s->provision_listener < 0)
		return s->provision_listener;
	s->vepc_listener = listen_on(s, PROTO_VEPC);
	if (s->vepc_listener < 0)
		return s->vepc_listener;
	control = listen_on(s, PROTO_CONTROL);
	return control < 0 ? control : control_open(&s->control, control);
}

int server_create(const struct server_config *config, struct server **out)
{
	struct server *s = fits_into_memory(config->epc_size) ? calloc(1, sizeof(*s)) : NULL;
	int ret;

	if (!s)
		return -ENOMEM;
	s->enclave_listener = s->provision_listener = s->vepc_listener = s->epoll = -1;
	pthread_mutex_init(&s->vepcs_lock, NULL);
	s->control.listener = s->control.epoll = s->pulse.fd = -1;
	s->platform.profile = config->profile;
	s->platform.sha256 = isa_sha256;
	s->inject = config->inject;
	s->on_leak = config->on_leak;
	s->no_overcommit = config->no_overcommit;
	s->started_ns = server_time_ns();
	ret = choose_name(s, config->name);
	if (!ret)
		ret = processor_create(&s->processor, config);
	if (!ret)
		ret = backing_init(&s->backing);
	if (!ret)
		ret = pulse_create(&s->pulse);
	if (!ret)
		ret = server_create_pool(s);
	if (!ret)
		ret = open_devices(s);
	if (ret) {
		server_destroy(s);
		return ret;
	}
	if (s->inject)
		inject_start(s->inject);
	if (!s->processor.withdrawer.nr_pages)
		server_log(EPC_LOG_WARNING, "this system makes huge pages of memory files, "
			 "or limits their size: pages of enclaves are not written out");
	if (!config->profile->launch_control)
		server_log(EPC_LOG_INFO, "launch control is not available on this part: "
			 "there is no /dev/sgx_enclave, as under Linux");
	*out = s;
	return 0;
}

const char *server_name(const struct server *s)
{
	return s->name;
}

struct sgx_epc_stat server_stat(const struct server *s)
{
	return sgx_epc_stat_total(s->pool);
}

void server_destroy(struct server *s)
{
	if (!s)
		return;
	if (s->enclave_listener >= 0)
		close(s->enclave_listener);
	if (s->provision_listener >= 0)
		close(s->provision_listener);
	if (s->vepc_listener >= 0)
		close(s->vepc_listener);
	control_close(&s->control);
	mailboxes_destroy(s->mailboxes);
	pager_destroy(s->pager);
	sgx_epc_pool_destroy(s->pool);
	backing_finish(&s->backing);
	pulse_destroy(&s->pulse);
	processor_destroy(&s->processor);
	pthread_mutex_destroy(&s->vepcs_lock);
	free(s);
}
