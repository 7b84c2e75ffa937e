/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A processor that says yes, for benches of the manager alone: it neither moves
 * contents nor checks anything.  Its port is the C library.
 */
#ifndef SWSGX_BENCH_SIMULATED_H
#define SWSGX_BENCH_SIMULATED_H

#include <stdio.h>
#include <stdlib.h>

#include <swsgx/epc.h>

#define SIMULATED_BASE 0x700000000000ull
#define SIMULATED_PA (1ull << 40)

static struct isa_outcome simulated_done(void)
{
	return (struct isa_outcome){ .kind = ISA_DONE };
}

static struct isa_outcome simulated_page(void *ctx, uint64_t page)
{
	return simulated_done();
}

static struct isa_outcome simulated_pageinfo(void *ctx, struct sgx_pageinfo *pi, uint64_t page)
{
	return simulated_done();
}

static struct isa_outcome simulated_paging(void *ctx, struct sgx_pageinfo *pi, uint64_t page,
					   uint64_t slot)
{
	return simulated_done();
}

static struct isa_outcome simulated_eextend(void *ctx, uint64_t secs, uint64_t chunk)
{
	return simulated_done();
}

static struct isa_outcome simulated_einit(void *ctx, const struct sgx_sigstruct *sigstruct,
					  const struct sgx_einittoken *token, uint64_t secs,
					  const uint64_t lepubkeyhash[4])
{
	return simulated_done();
}

static void *simulated_alloc(void *ctx, size_t size)
{
	return calloc(1, size);
}

static void simulated_free(void *ctx, void *p)
{
	free(p);
}

static void simulated_log(void *ctx, enum epc_log_level level, const char *message)
{
	fprintf(stderr, "%s\n", message);
}

static uint64_t simulated_time_ns(void *ctx)
{
	return 0;
}

static unsigned int simulated_node(void *ctx)
{
	return 0;
}

/* One section of @nr_pages. */
static struct sgx_epc_pool *simulated_pool(uint64_t nr_pages, const struct epc_mm_ops *mm)
{
	const struct isa_section section = { .pa = SIMULATED_PA, .nr_pages = nr_pages };
	const struct sgx_epc_config config = {
		.sections = &section,
		.nr_sections = 1,
		.port = {
			.alloc = simulated_alloc, .free = simulated_free, .log = simulated_log,
			.time_ns = simulated_time_ns, .node = simulated_node,
		},
		.ops = {
			.ecreate = simulated_pageinfo, .eadd = simulated_pageinfo,
			.eextend = simulated_eextend, .einit = simulated_einit,
			.eremove = simulated_page, .epa = simulated_page,
			.eblock = simulated_page, .etrack = simulated_page,
			.ewb = simulated_paging, .eldu = simulated_paging,
			.eaug = simulated_pageinfo,
		},
		.mm = *mm,
		.overcommit = true,
		.known_clean = true,
	};
	struct sgx_epc_pool *pool;

	if (sgx_epc_pool_create(&config, &pool)) {
		fprintf(stderr, "no memory for a pool\n");
		exit(1);
	}
	return pool;
}

/* An initialized enclave of @size bytes, without pages: they come by fault. */
static struct sgx_encl *simulated_encl(struct sgx_epc_pool *pool, uint64_t size, void *cookie)
{
	static const struct sgx_sigstruct sigstruct;
	static const uint64_t hash[4];
	const struct sgx_encl_config config = { .cookie = cookie };
	const struct sgx_secs secs = { .baseaddr = SIMULATED_BASE, .size = size };
	struct isa_outcome out;
	struct sgx_encl *encl;

	if (sgx_encl_create(pool, &config, &encl) || sgx_encl_ecreate(encl, &secs) ||
	    sgx_encl_einit(encl, &sigstruct, hash, &out)) {
		fprintf(stderr, "cannot build an enclave\n");
		exit(1);
	}
	return encl;
}

#endif /* SWSGX_BENCH_SIMULATED_H */
