/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Renewing the processor's SVN after a microcode update, which it does only while
 * all of EPC is unused: by the first user, or when asked.
 *
 * The lock is held while EUPDATESVN runs, so that no user begins meanwhile.
 */
#include <errno.h>
#include <stdio.h>

#include "internal.h"

/* The processor's advice for RDRAND, which EUPDATESVN depends on. */
#define ENTROPY_TRIES 10

static uint64_t nr_poisoned_dirty(struct sgx_epc_pool *pool)
{
	uint64_t nr = 0;
	uint32_t i;

	for (i = 0; i < pool->nr_nodes; i++) {
		epc_lock(&pool->nodes[i].lock, &pool->port);
		nr += pool->nodes[i].nr_poisoned_dirty;
		epc_unlock(&pool->nodes[i].lock);
	}
	return nr;
}

static struct sgx_epc_blockers find_blockers(struct sgx_epc_pool *pool)
{
	const struct sgx_epc_stat stat = sgx_epc_stat_total(pool);

	return (struct sgx_epc_blockers){
		.users = pool->usage.nr,
		.in_use = stat.in_use,
		.leaked = stat.leaked,
		.unsanitized = stat.unsanitized,
		.poisoned = nr_poisoned_dirty(pool),
	};
}

static bool is_blocked(const struct sgx_epc_blockers *b)
{
	return b->users || b->in_use || b->leaked || b->unsanitized || b->poisoned;
}

static void log_failure(struct sgx_epc_pool *pool, struct isa_outcome out)
{
	const int value = sgx_outcome_to_int(out);
	const char *name = out.kind == ISA_FAULT ? isa_vector_name(out.vector)
						 : isa_error_name((uint32_t)value);
	char message[96];

	snprintf(message, sizeof(message), "EUPDATESVN returned %d (0x%x, %s)", value,
		 (unsigned int)value, name);
	pool->port.log(pool->port.ctx, EPC_LOG_WARNING, message);
}

/* All of EPC is unused, and stays so. */
static int update_locked(struct sgx_epc_pool *pool)
{
	struct isa_outcome out;
	unsigned int tries = 0;

	do {
		out = pool->ops.eupdatesvn(pool->ops.ctx);
	} while (out.kind != ISA_FAULT && out.code == SGX_INSUFFICIENT_ENTROPY &&
		 ++tries < ENTROPY_TRIES);

	if (isa_is_done(out)) {
		pool->port.log(pool->port.ctx, EPC_LOG_INFO, "the processor's SVN was updated");
		return 0;
	}
	if (out.kind != ISA_FAULT && out.code == SGX_NO_UPDATE)
		return 0;
	if (out.kind != ISA_FAULT && out.code == SGX_INSUFFICIENT_ENTROPY)
		return -EAGAIN;
	log_failure(pool, out);
	return -EIO;
}

/*
 * An update that cannot be is no reason to refuse a user: the processor stays
 * at the SVN it has, and everything works as before.
 */
static int update_for_first_user(struct sgx_epc_pool *pool)
{
	const struct sgx_epc_blockers blockers = find_blockers(pool);
	char message[224];

	if (!pool->ops.eupdatesvn)
		return 0;
	if (!is_blocked(&blockers))
		return update_locked(pool);
	snprintf(message, sizeof(message), "the processor's SVN was not updated: of EPC %llu pages "
		 "are in use, %llu leaked, %llu unsanitized, %llu poisoned before they were sanitized",
		 (unsigned long long)blockers.in_use, (unsigned long long)blockers.leaked,
		 (unsigned long long)blockers.unsanitized, (unsigned long long)blockers.poisoned);
	pool->port.log(pool->port.ctx, EPC_LOG_INFO, message);
	return 0;
}

int sgx_epc_usage_get(struct sgx_epc_pool *pool)
{
	struct epc_usage *usage = &pool->usage;
	int err = 0;

	epc_lock(&usage->lock, &pool->port);
	if (!usage->nr)
		err = update_for_first_user(pool);
	if (!err)
		usage->nr++;
	epc_unlock(&usage->lock);
	return err;
}

void sgx_epc_usage_put(struct sgx_epc_pool *pool)
{
	epc_lock(&pool->usage.lock, &pool->port);
	pool->usage.nr--;
	epc_unlock(&pool->usage.lock);
}

int sgx_epc_update_svn(struct sgx_epc_pool *pool, struct sgx_epc_blockers *blockers)
{
	struct sgx_epc_blockers found;
	int err;

	if (!pool->ops.eupdatesvn)
		return -ENODEV;

	epc_lock(&pool->usage.lock, &pool->port);
	found = find_blockers(pool);
	err = is_blocked(&found) ? -EBUSY : update_locked(pool);
	epc_unlock(&pool->usage.lock);

	if (err == -EBUSY)
		*blockers = found;
	return err;
}
