/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Open files: the meaning is uapi's, the memory that program and processor share
 * is ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

static int prepare(void *ctx, const struct sgx_secs *secs)
{
	struct device *dev = ctx;
	struct encl_memory mem;
	int ret = encl_memory_create(&mem, secs);

	if (ret)
		return ret;
	pthread_mutex_lock(&dev->lock);
	encl_memory_destroy(&dev->mem);
	dev->mem = mem;
	pthread_mutex_unlock(&dev->lock);
	return 0;
}

static void create_failed(void *ctx)
{
	struct device *dev = ctx;

	pthread_mutex_lock(&dev->lock);
	encl_memory_destroy(&dev->mem);
	pthread_mutex_unlock(&dev->lock);
}

static void created(void *ctx, const struct sgx_secs *secs, uint64_t secs_pa)
{
	struct device *dev = ctx;

	/* The manager has told where the SECS is: device_set_secs(). */
	dev->created = true;
	atomic_fetch_add(&dev->server->counts.nr_enclaves, 1);
	atomic_fetch_add(&dev->server->counts.nr_enclaves_open, 1);
}

struct device_range device_range(struct device *dev)
{
	struct device_range range = { 0 };

	pthread_mutex_lock(&dev->lock);
	if (dev->shared)
		range = (struct device_range){ dev->mem.base, dev->mem.size };
	pthread_mutex_unlock(&dev->lock);
	return range;
}

/* Called with the enclave's lock of the manager. */
void device_set_secs(struct device *dev, uint64_t page)
{
	struct isa_machine *m = dev->server->processor.machine;

	pthread_mutex_lock(&dev->lock);
	isa_secs_share(m, isa_machine_frame(m, page), &dev->mem.shared->blk);
	dev->shared = true;
	pthread_mutex_unlock(&dev->lock);
}

static void page_added(void *ctx, uint64_t offset, const struct sgx_encl_page_info *page)
{
	struct device *dev = ctx;
	struct isa_machine *m = dev->server->processor.machine;
	const struct isa_epcm_info info = isa_epcm_peek(m, isa_machine_frame(m, page->pa));

	encl_memory_mirror(&dev->mem, offset, &info);
}

static void initialized(void *ctx)
{
	/* The processor itself updates the block it shares. */
}

static int open_enclave(struct device *dev)
{
	const struct uapi_events events = {
		.ctx = dev,
		.prepare = prepare,
		.created = created,
		.create_failed = create_failed,
		.page_added = page_added,
		.initialized = initialized,
	};
	const struct sgx_encl_config config = { .owner = dev->owner, .cookie = dev };

	return uapi_encl_open(dev->server->pool, &dev->server->platform, &events, &config,
			      &dev->encl);
}

/* As ps(1) has it, in letters that can be shown anywhere; "" when it cannot be had. */
static void name_of(pid_t pid, char name[SGX_CLIENT_NAME])
{
	char path[32];
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, name, SGX_CLIENT_NAME - 1);
		close(fd);
	}
	while (n > 0 && name[n - 1] == '\n')
		n--;
	name[n > 0 ? n : 0] = 0;
	for (char *c = name; *c; c++)
		if (*c <= ' ' || *c > '~')
			*c = '?';
}

int device_open(struct server *s, int sock, bool is_vepc, struct device **out)
{
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	struct device *dev = calloc(1, sizeof(*dev));
	int ret;

	if (!dev)
		return -ENOMEM;
	getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	dev->server = s;
	dev->sock = sock;
	dev->owner.encl_id = atomic_fetch_add(&s->next_id, 1) + 1;
	name_of(peer.pid, dev->owner.client);
	dev->owner.pid = peer.pid;
	atomic_init(&dev->refs, 1);
	encl_memory_init(&dev->mem);
	pthread_mutex_init(&dev->lock, NULL);
	pthread_mutex_init(&dev->calls_lock, NULL);
	pthread_mutex_init(&dev->spaces_lock, NULL);
	ret = is_vepc ? vepc_open(dev) : open_enclave(dev);
	if (ret) {
		pthread_mutex_destroy(&dev->spaces_lock);
		pthread_mutex_destroy(&dev->lock);
		pthread_mutex_destroy(&dev->calls_lock);
		free(dev);
		return ret;
	}
	*out = dev;
	return 0;
}

void device_get(struct device *dev)
{
	atomic_fetch_add(&dev->refs, 1);
}

/* Called with the enclave's lock of the manager, so that the SECS stays where it is. */
static void leave_all(void *ctx, const uint64_t *pages)
{
	struct device *dev = ctx;
	struct isa_machine *m = dev->server->processor.machine;
	const uint64_t secs_pa = sgx_encl_secs_pa(uapi_encl_encl(dev->encl));

	if (secs_pa != ISA_NO_FRAME)
		isa_secs_unshare(m, isa_machine_frame(m, secs_pa));
}

static void close_enclave(struct device *dev)
{
	mailboxes_forget(dev->server->mailboxes, dev);
	spaces_destroy(dev);
	/*
	 * Every process that could be inside has closed or died: whatever the
	 * program left in the shared counters, nobody is inside.
	 */
	sgx_encl_run(uapi_encl_encl(dev->encl), NULL, 0, leave_all, dev);
	if (dev->created)
		atomic_fetch_sub(&dev->server->counts.nr_enclaves_open, 1);
	uapi_encl_release(dev->encl);
	encl_memory_destroy(&dev->mem);
}

bool device_drop(struct device *dev)
{
	if (atomic_fetch_sub(&dev->refs, 1) != 1)
		return false;
	sgx_epc_release_begin(dev->server->pool);
	return true;
}

void device_put(struct device *dev)
{
	if (device_drop(dev))
		device_release(dev);
}

void device_release(struct device *dev)
{
	struct sgx_epc_pool *pool = dev->server->pool;

	if (dev->vepc_id)
		vepc_close(dev);
	else
		close_enclave(dev);
	sgx_epc_release_end(pool);
	close(dev->sock);
	pthread_mutex_destroy(&dev->lock);
	pthread_mutex_destroy(&dev->calls_lock);
	pthread_mutex_destroy(&dev->spaces_lock);
	free(dev);
}
