/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The counters of a pool, after every step of every test: what a test calls of the
 * manager is called through here (the linker's --wrap, see meson.build), and looked
 * at once it is done.  Only by the thread that made the pool, and not inside of
 * another call: that is no quiet point.
 */
#include "counters.h"

#include <pthread.h>

/* What counting costs adds up, too. */
#define COUNTED_PAGES 64u

static struct sgx_epc_pool *pool;	/* the latest */
static pthread_t owner;
static _Thread_local unsigned int depth;

static _Atomic bool others_run;

void steps_beside_others(bool yes)
{
	others_run = yes;
}

static void end_of_step(void)
{
	if (!--depth && pool && !others_run && pthread_equal(owner, pthread_self()))
		assert_counters_add_up(pool, COUNTED_PAGES);
}

/* They have no header: what the manager's own says has to be the same. */
#define SAME_AS_DECLARED(name)							\
	_Static_assert(__builtin_types_compatible_p(__typeof__(&__real_##name),	\
						    __typeof__(&name)), #name)

#define STEP(type, name, params, args)		\
	type __real_##name params;		\
	SAME_AS_DECLARED(name);			\
	type __wrap_##name params;		\
	type __wrap_##name params		\
	{					\
		type ret;			\
						\
		depth++;			\
		ret = __real_##name args;	\
		end_of_step();			\
		return ret;			\
	}

#define STEP_VOID(name, params, args)		\
	void __real_##name params;		\
	SAME_AS_DECLARED(name);			\
	void __wrap_##name params;		\
	void __wrap_##name params		\
	{					\
		depth++;			\
		__real_##name args;		\
		end_of_step();			\
	}

int __real_sgx_epc_pool_create(const struct sgx_epc_config *config, struct sgx_epc_pool **out);
int __wrap_sgx_epc_pool_create(const struct sgx_epc_config *config, struct sgx_epc_pool **out);
int __wrap_sgx_epc_pool_create(const struct sgx_epc_config *config, struct sgx_epc_pool **out)
{
	const int err = __real_sgx_epc_pool_create(config, out);

	if (err)
		return err;
	pool = *out;
	owner = pthread_self();
	assert_counters_add_up(pool, COUNTED_PAGES);
	return 0;
}

void __real_sgx_epc_pool_destroy(struct sgx_epc_pool *which);
void __wrap_sgx_epc_pool_destroy(struct sgx_epc_pool *which);
void __wrap_sgx_epc_pool_destroy(struct sgx_epc_pool *which)
{
	if (which == pool)
		pool = NULL;
	__real_sgx_epc_pool_destroy(which);
}

/* --- pages ------------------------------------------------------------------ */

STEP(int, sgx_alloc_epc_page,
     (struct sgx_epc_pool *p, const struct sgx_epc_owner *o, unsigned int flags,
      struct sgx_epc_page **out),
     (p, o, flags, out))
STEP_VOID(sgx_free_epc_page, (struct sgx_epc_pool *p, struct sgx_epc_page *page), (p, page))
STEP_VOID(sgx_free_epc_pages,
	  (struct sgx_epc_pool *p, struct sgx_epc_page *const *pages, size_t n), (p, pages, n))
STEP(int, sgx_alloc_epc_page_cached,
     (struct sgx_epc_cache *cache, const struct sgx_epc_owner *o, unsigned int flags,
      struct sgx_epc_page **out),
     (cache, o, flags, out))
STEP_VOID(sgx_free_epc_page_cached, (struct sgx_epc_cache *cache, struct sgx_epc_page *page),
	  (cache, page))
STEP_VOID(sgx_epc_page_mark_initialized, (struct sgx_epc_pool *p, struct sgx_epc_page *page),
	  (p, page))
STEP(bool, sgx_encl_free_epc_page,
     (struct sgx_epc_pool *p, struct sgx_epc_page *page, const char *site), (p, page, site))
STEP(uint64_t, sgx_epc_sanitize, (struct sgx_epc_pool *p, const atomic_bool *stop), (p, stop))
STEP(uint64_t, sgx_epc_reclaim, (struct sgx_epc_pool *p, uint64_t nr), (p, nr))
STEP(uint64_t, sgx_epc_reclaim_ahead,
     (struct sgx_epc_pool *p, uint64_t nr, bool (*is_over)(void *), void *ctx),
     (p, nr, is_over, ctx))
STEP_VOID(sgx_epc_reclaim_background, (struct sgx_epc_pool *p, const atomic_bool *stop), (p, stop))
STEP(int, sgx_epc_poison, (struct sgx_epc_pool *p, uint64_t pa), (p, pa))
STEP(int, sgx_epc_usage_get, (struct sgx_epc_pool *p), (p))
STEP(int, sgx_epc_update_svn, (struct sgx_epc_pool *p, struct sgx_epc_blockers *blockers),
     (p, blockers))

/* --- virtual EPC --------------------------------------------------------------- */

STEP(int, sgx_vepc_create,
     (struct sgx_epc_pool *p, const struct sgx_vepc_config *config, struct sgx_vepc **out),
     (p, config, out))
STEP(int, sgx_vepc_fault, (struct sgx_vepc *vepc, uint64_t index, uint64_t *pa), (vepc, index, pa))
STEP(long, sgx_vepc_remove_all, (struct sgx_vepc *vepc), (vepc))
STEP_VOID(sgx_vepc_release, (struct sgx_vepc *vepc), (vepc))
STEP_VOID(sgx_vepc_guest_removed, (struct sgx_epc_pool *p), (p))

/* --- enclaves ------------------------------------------------------------------- */

STEP(int, sgx_encl_create,
     (struct sgx_epc_pool *p, const struct sgx_encl_config *config, struct sgx_encl **out),
     (p, config, out))
STEP(int, sgx_encl_ecreate, (struct sgx_encl *encl, const struct sgx_secs *secs), (encl, secs))
STEP(int, sgx_encl_add_page,
     (struct sgx_encl *encl, uint64_t offset, const void *src, const struct sgx_secinfo *secinfo,
      bool measure),
     (encl, offset, src, secinfo, measure))
STEP(int, sgx_encl_einit,
     (struct sgx_encl *encl, const struct sgx_sigstruct *sigstruct, const uint64_t hash[4],
      struct isa_outcome *outcome),
     (encl, sigstruct, hash, outcome))
STEP(bool, sgx_encl_load_ahead, (struct sgx_encl *encl, uint64_t offset), (encl, offset))
STEP(int, sgx_encl_fault,
     (struct sgx_encl *encl, uint64_t offset, uint8_t prot, void *by,
      struct sgx_encl_page_info *out),
     (encl, offset, prot, by, out))
STEP(int, sgx_encl_restrict_page,
     (struct sgx_encl *encl, uint64_t offset, uint8_t rwx, struct isa_outcome *result),
     (encl, offset, rwx, result))
STEP(int, sgx_encl_modify_page,
     (struct sgx_encl *encl, uint64_t offset, uint8_t type, struct isa_outcome *result),
     (encl, offset, type, result))
STEP(int, sgx_encl_remove_page, (struct sgx_encl *encl, uint64_t offset), (encl, offset))
STEP(int, sgx_encl_access,
     (struct sgx_encl *encl, uint64_t offset, void *buf, size_t len, bool write),
     (encl, offset, buf, len, write))
STEP_VOID(sgx_encl_run,
	  (struct sgx_encl *encl, const uint64_t *offsets, size_t n,
	   void (*fn)(void *ctx, const uint64_t *pages), void *ctx),
	  (encl, offsets, n, fn, ctx))
STEP_VOID(sgx_encl_release, (struct sgx_encl *encl), (encl))
