/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Open files of /dev/sgx_vepc.  What a guest's pages contain is nobody's business
 * but the processor's: they stay in the machine's own memory, and what the
 * program maps is the abort page that EPC is for all who are not in an enclave.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "internal.h"

int vepc_open(struct device *dev)
{
	const struct sgx_vepc_config config = { .owner = dev->owner };
	struct server *s = dev->server;

	/* 0 says that there is no virtual EPC. */
	while (!dev->vepc_id) {
		if (getrandom(&dev->vepc_id, sizeof(dev->vepc_id), 0) != sizeof(dev->vepc_id))
			return -EIO;
	}
	/* The open succeeded already: the program hears of it in its next request. */
	dev->vepc_error = sgx_vepc_create(s->pool, &config, &dev->vepc);
	if (dev->vepc_error)
		return 0;
	pthread_mutex_lock(&s->vepcs_lock);
	dev->next_vepc = s->vepcs;
	s->vepcs = dev;
	pthread_mutex_unlock(&s->vepcs_lock);
	return 0;
}

void vepc_close(struct device *dev)
{
	struct server *s = dev->server;
	struct device **p = &s->vepcs;

	if (!dev->vepc)
		return;
	pthread_mutex_lock(&s->vepcs_lock);
	while (*p != dev)
		p = &(*p)->next_vepc;
	*p = dev->next_vepc;
	pthread_mutex_unlock(&s->vepcs_lock);
	sgx_vepc_release(dev->vepc);
}

/* Nobody closes it here, as long as somebody else has it. */
static bool try_get(struct device *dev)
{
	unsigned int refs = atomic_load(&dev->refs);

	while (refs && !atomic_compare_exchange_weak(&dev->refs, &refs, refs + 1))
		;
	return refs;
}

struct device *vepc_get(struct server *s, uint64_t id)
{
	struct device *dev;

	pthread_mutex_lock(&s->vepcs_lock);
	dev = s->vepcs;
	while (dev && dev->vepc_id != id)
		dev = dev->next_vepc;
	if (dev && !try_get(dev))
		dev = NULL;
	pthread_mutex_unlock(&s->vepcs_lock);
	return dev;
}

static int64_t serve_fault(struct device *dev, uint64_t index)
{
	uint64_t pa;

	return sgx_vepc_fault(dev->vepc, index, &pa);
}

static int64_t serve_ioctl(struct device *dev, unsigned int cmd, uint64_t arg)
{
	const int64_t ret = uapi_vepc_ioctl(dev->vepc, cmd, arg);

	control_count_ioctl(dev->server, cmd, ret < 0);
	return ret;
}

/* As the guest's firmware finds them: its client keeps what is written since. */
static void serve_rdmsr(struct device *dev, uint32_t msr, struct proto_frame *done)
{
	uint64_t value = 0;
	struct isa_lp lp;

	isa_lp_init(&lp, dev->server->processor.machine, NULL, NULL, 0);
	done->outcome = isa_rdmsr(&lp, msr, &value);
	done->result = (int64_t)value;
}

void vepc_serve(struct call *call, struct device *dev, const struct proto_request *req,
		struct proto_frame *done)
{
	if (!dev->vepc) {
		done->result = dev->vepc_error;
		return;
	}
	switch (req->op) {
	case PROTO_OP_IOCTL:
		done->result = serve_ioctl(dev, (unsigned int)req->a, req->b);
		break;
	case PROTO_OP_MAY_MAP:
		/* Any range, any rights. */
		break;
	case PROTO_OP_ATTACH:
		done->base = dev->vepc_id;
		break;
	case PROTO_OP_VEPC_FAULT:
		done->result = serve_fault(dev, req->a);
		break;
	case PROTO_OP_ENCLS:
		guest_encls(call, dev, req, done);
		break;
	case PROTO_OP_RDMSR:
		serve_rdmsr(dev, (uint32_t)req->a, done);
		break;
	default:
		done->result = -EINVAL;
		break;
	}
}
