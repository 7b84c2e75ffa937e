/* SPDX-License-Identifier: BSD-3-Clause */
/* The scripted surroundings of fixture.h. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

/* --- the processor ------------------------------------------------------- */

struct isa_outcome fake_fault(uint8_t vector)
{
	return (struct isa_outcome){ .kind = ISA_FAULT, .vector = vector };
}

struct isa_outcome fake_error(uint32_t code)
{
	return (struct isa_outcome){ .kind = ISA_ERROR, .code = code };
}

void leaf_fails(struct fixture *f, enum fake_leaf leaf, uint64_t nth,
		struct isa_outcome how, uint64_t times)
{
	f->leaf_fails_in[leaf] = nth;
	f->leaf_failure[leaf] = how;
	f->leaf_failures[leaf] = times;
}

/* Counts an execution; true: it fails as scripted. */
bool fake_is_scripted(struct fixture *f, enum fake_leaf leaf, struct isa_outcome *outcome)
{
	f->leaf_calls[leaf]++;
	if (f->leaf_fails_in[leaf] == NEVER)
		return false;
	if (f->leaf_fails_in[leaf]) {
		f->leaf_fails_in[leaf]--;
		return false;
	}
	if (!f->leaf_failures[leaf])
		return false;

	f->leaf_failures[leaf]--;
	*outcome = f->leaf_failure[leaf];
	return true;
}

struct fake_page *fake_page_of(struct fixture *f, uint64_t pa)
{
	assert_in_range(pa, EPC_BASE, EPC_BASE + (EPC_PAGES - 1) * SGX_PAGE_SIZE);
	return &f->pages[(pa - EPC_BASE) / SGX_PAGE_SIZE];
}

static struct isa_outcome ecreate(struct fixture *f, const struct sgx_pageinfo *pageinfo,
				  uint64_t pa)
{
	const struct sgx_secs *secs = (const void *)(uintptr_t)pageinfo->srcpge;
	struct fake_page *page = fake_page_of(f, pa);
	struct isa_outcome outcome = { 0 };

	if (fake_is_scripted(f, FAKE_ECREATE, &outcome))
		return outcome;
	if (page->valid)
		return fake_fault(X86_PF);
	if (secs->size < 2 * SGX_PAGE_SIZE || secs->baseaddr & (secs->size - 1))
		return fake_fault(X86_GP);

	*page = (struct fake_page){ .valid = true, .pt = PT_SECS };
	return outcome;
}

static struct isa_outcome eadd(struct fixture *f, const struct sgx_pageinfo *pageinfo,
			       uint64_t pa)
{
	const struct sgx_secinfo *secinfo = (const void *)(uintptr_t)pageinfo->secinfo_or_pcmd;
	const uint8_t *source = (const void *)(uintptr_t)pageinfo->srcpge;
	struct fake_page *page = fake_page_of(f, pa);
	struct isa_outcome outcome = { 0 };

	if (fake_is_scripted(f, FAKE_EADD, &outcome))
		return outcome;
	if (page->valid || !fake_page_of(f, pageinfo->secs)->valid)
		return fake_fault(X86_PF);

	*page = (struct fake_page){
		.valid = true,
		.pt = (secinfo->flags & SECINFO_PT_MASK) >> SECINFO_PT_SHIFT,
		.secs = pageinfo->secs,
		.first_byte = source[0],
	};
	return outcome;
}

static struct isa_outcome eextend(struct fixture *f, uint64_t chunk)
{
	struct fake_page *page = fake_page_of(f, chunk & SGX_PAGE_MASK);
	struct isa_outcome outcome = { 0 };

	if (fake_is_scripted(f, FAKE_EEXTEND, &outcome))
		return outcome;
	if (!page->valid)
		return fake_fault(X86_PF);

	page->extended++;
	return outcome;
}

static struct isa_outcome eremove(struct fixture *f, uint64_t pa)
{
	struct fake_page *page = fake_page_of(f, pa);
	struct isa_outcome outcome = { 0 };

	if (fake_is_scripted(f, FAKE_EREMOVE, &outcome))
		return outcome;
	for (size_t i = 0; page->valid && page->pt == PT_SECS && i < EPC_PAGES; i++)
		if (f->pages[i].valid && f->pages[i].pt != PT_SECS && f->pages[i].secs == pa)
			return fake_error(SGX_CHILD_PRESENT);

	page->valid = false;
	return (struct isa_outcome){ 0 };
}

static struct isa_outcome op_ecreate(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t secs)
{
	struct fixture *f = ctx;
	struct isa_outcome outcome;

	pthread_mutex_lock(&f->lock);
	outcome = ecreate(f, pageinfo, secs);
	pthread_mutex_unlock(&f->lock);
	return outcome;
}

static struct isa_outcome op_eadd(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t page)
{
	struct fixture *f = ctx;
	struct isa_outcome outcome;

	pthread_mutex_lock(&f->lock);
	outcome = eadd(f, pageinfo, page);
	pthread_mutex_unlock(&f->lock);
	return outcome;
}

static struct isa_outcome op_eextend(void *ctx, uint64_t secs, uint64_t chunk)
{
	struct fixture *f = ctx;
	struct isa_outcome outcome;

	(void)secs;
	pthread_mutex_lock(&f->lock);
	outcome = eextend(f, chunk);
	pthread_mutex_unlock(&f->lock);
	return outcome;
}

static struct isa_outcome op_einit(void *ctx, const struct sgx_sigstruct *sigstruct,
				   const struct sgx_einittoken *token, uint64_t secs,
				   const uint64_t lepubkeyhash[4])
{
	struct isa_outcome outcome = { 0 };
	struct fixture *f = ctx;

	(void)sigstruct, (void)token, (void)secs;
	pthread_mutex_lock(&f->lock);
	memcpy(f->lepubkeyhash, lepubkeyhash, sizeof(f->lepubkeyhash));
	fake_is_scripted(f, FAKE_EINIT, &outcome);
	pthread_mutex_unlock(&f->lock);
	return outcome;
}

static struct isa_outcome op_eremove(void *ctx, uint64_t page)
{
	struct fixture *f = ctx;
	struct isa_outcome outcome;

	pthread_mutex_lock(&f->lock);
	outcome = eremove(f, page);
	pthread_mutex_unlock(&f->lock);
	return outcome;
}

/* --- the host ------------------------------------------------------------ */

static bool counts_down(uint64_t *n)
{
	if (*n == NEVER)
		return false;
	if (*n) {
		--*n;
		return false;
	}
	*n = NEVER;
	return true;
}

static void *port_alloc(void *ctx, size_t size)
{
	struct fixture *f = ctx;
	void *p = NULL;

	pthread_mutex_lock(&f->lock);
	if (!counts_down(&f->alloc_fails_in)) {
		p = calloc(1, size);
		f->live_allocations++;
	}
	pthread_mutex_unlock(&f->lock);
	return p;
}

static void port_free(void *ctx, void *p)
{
	struct fixture *f = ctx;

	if (!p)
		return;
	pthread_mutex_lock(&f->lock);
	f->live_allocations--;
	pthread_mutex_unlock(&f->lock);
	free(p);
}

static void port_log(void *ctx, enum epc_log_level level, const char *message)
{
	const struct fixture *f = ctx;

	(void)level;
	/* Nothing else may leak, which is all the manager would tell. */
	if (!f->nr_leaked)
		fail_msg("%s", message);
}

static bool port_interrupted(void *ctx)
{
	return counts_down(&((struct fixture *)ctx)->interrupted_in);
}

static uint64_t port_time_ns(void *ctx)
{
	(void)ctx;
	return 0;
}

static unsigned int port_node(void *ctx)
{
	(void)ctx;
	return 0;
}

static void fake_sha256(const void *data, size_t n, uint8_t digest[32])
{
	const uint8_t *modulus = data;

	assert_int_equal(n, SGX_RSA3072_SIZE);
	for (uint8_t i = 0; i < 32; i++)
		digest[i] = (uint8_t)(modulus[0] + i);
}

/* --- the program --------------------------------------------------------- */

static bool is_mapped(const struct fixture *f, uint64_t uaddr, size_t n)
{
	const uint64_t offset = uaddr - USER_BASE;

	if (uaddr < USER_BASE || offset >= sizeof(f->memory) ||
	    n > sizeof(f->memory) - offset)
		return false;

	for (uint64_t i = offset / SGX_PAGE_SIZE; i <= (offset + n - 1) / SGX_PAGE_SIZE; i++)
		if (!f->mapped[i])
			return false;
	return true;
}

void *user(struct fixture *f, uint64_t uaddr)
{
	assert_true(is_mapped(f, uaddr, 1));
	return (uint8_t *)f->memory + (uaddr - USER_BASE);
}

void unmap(struct fixture *f, uint64_t uaddr)
{
	f->mapped[(uaddr - USER_BASE) / SGX_PAGE_SIZE] = false;
}

static int copy_from_user(void *ctx, void *dst, uint64_t uaddr, size_t n)
{
	struct fixture *f = ctx;

	if (counts_down(&f->copy_fails_in) || !is_mapped(f, uaddr, n))
		return -EFAULT;
	memcpy(dst, user(f, uaddr), n);
	return 0;
}

static int copy_to_user(void *ctx, uint64_t uaddr, const void *src, size_t n)
{
	struct fixture *f = ctx;

	if (counts_down(&f->copy_fails_in) || !is_mapped(f, uaddr, n))
		return -EFAULT;
	memcpy(user(f, uaddr), src, n);
	return 0;
}

static int source_page(void *ctx, uint64_t uaddr, uint64_t offset, uint64_t left,
		       const void **page)
{
	struct fixture *f = ctx;

	if (atomic_load(&f->hold_source)) {
		atomic_store(&f->source_held, true);
		while (atomic_load(&f->hold_source))
			sched_yield();
	}
	if (counts_down(&f->copy_fails_in) || !is_mapped(f, uaddr, SGX_PAGE_SIZE))
		return -EFAULT;
	if (f->never_exec[(uaddr - USER_BASE) / SGX_PAGE_SIZE])
		return -EACCES;
	*page = user(f, uaddr);
	return 0;
}

static bool signal_pending(void *ctx)
{
	struct fixture *f = ctx;

	return counts_down(&f->signal_in);
}

static bool is_provision_fd(void *ctx, uint64_t fd)
{
	struct fixture *f = ctx;

	f->asked_fd = fd;
	return fd == PROVISION_FD;
}

/* --- the owner ----------------------------------------------------------- */

static int on_prepare(void *ctx, const struct sgx_secs *secs)
{
	struct fixture *f = ctx;

	assert_true(secs->size && !(secs->size & (secs->size - 1)));
	f->prepared++;
	return f->prepare_result;
}

static void on_created(void *ctx, const struct sgx_secs *secs, uint64_t secs_pa)
{
	struct fixture *f = ctx;

	f->created++;
	f->created_secs = *secs;
	f->created_secs_pa = secs_pa;
}

static void on_create_failed(void *ctx)
{
	((struct fixture *)ctx)->create_failed++;
}

static void on_page_added(void *ctx, uint64_t offset, const struct sgx_encl_page_info *page)
{
	struct fixture *f = ctx;

	f->added++;
	f->added_offset = offset;
	f->added_page = *page;
}

static void on_initialized(void *ctx)
{
	((struct fixture *)ctx)->initialized++;
}

/* --- set-up and tear-down ------------------------------------------------ */

static const struct isa_profile profile = {
	.name = "test",
	.summary = "SGX1 with launch control",
	.cpuid_12_0_eax = 1,
	.miscselect = MISC_EXINFO,
	.max_size_32 = 31,
	.max_size_64 = 36,
	.attributes = ATTR_DEBUG | ATTR_MODE64BIT | ATTR_PROVISIONKEY | ATTR_EINITTOKEN_KEY |
		      ATTR_KSS | ATTR_AEXNOTIFY,
	.xfrm = XFRM_X87_SSE | XFRM_AVX,
	.launch_control = true,
};

void fixture_power_on(struct fixture *f, const struct isa_section *sections,
		      size_t nr_sections, const struct epc_encls_ops *ops)
{
	const struct sgx_epc_config config = {
		.sections = sections,
		.nr_sections = nr_sections,
		.port = {
			.ctx = f, .alloc = port_alloc, .free = port_free, .log = port_log,
			.time_ns = port_time_ns, .node = port_node, .interrupted = port_interrupted,
		},
		.ops = *ops,
		.overcommit = ops->epa,
		.on_leak = f->on_leak,
		.known_clean = true,
	};

	assert_int_equal(sgx_epc_pool_create(&config, &f->pool), 0);
}

int fixture_try_open(struct fixture *f)
{
	const struct uapi_platform platform = { .profile = &f->profile, .sha256 = f->sha256 };
	const struct uapi_events events = {
		.ctx = f, .prepare = on_prepare, .created = on_created,
		.create_failed = on_create_failed, .page_added = on_page_added,
		.initialized = on_initialized,
	};
	const struct sgx_encl_config config = { .owner = { .encl_id = 1 } };

	return uapi_encl_open(f->pool, &platform, &events, &config, &f->encl);
}

void fixture_open(struct fixture *f)
{
	assert_int_equal(fixture_try_open(f), 0);
}

void fixture_close(struct fixture *f)
{
	uapi_encl_release(f->encl);
	f->encl = NULL;
}

struct fixture *fixture_create(void)
{
	struct fixture *f = aligned_alloc(_Alignof(struct fixture), sizeof(*f));

	assert_non_null(f);
	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->lock, NULL);
	f->profile = profile;
	f->sha256 = fake_sha256;
	f->alloc_fails_in = f->copy_fails_in = f->signal_in = f->interrupted_in = NEVER;
	for (size_t i = 0; i < FAKE_NR_LEAVES; i++)
		f->leaf_fails_in[i] = NEVER;
	for (size_t i = 0; i < USER_PAGES; i++) {
		f->mapped[i] = true;
		memset(f->memory[i], (int)i, SGX_PAGE_SIZE);
	}
	f->task = (struct uapi_task){
		.ctx = f, .copy_from_user = copy_from_user, .copy_to_user = copy_to_user,
		.source_page = source_page, .signal_pending = signal_pending,
		.is_provision_fd = is_provision_fd,
	};
	user_secs(f);
	user_secinfo(f);
	user_sigstruct(f);
	return f;
}

struct epc_encls_ops fake_building_ops(struct fixture *f)
{
	return (struct epc_encls_ops){
		.ctx = f, .ecreate = op_ecreate, .eadd = op_eadd, .eextend = op_eextend,
		.einit = op_einit, .eremove = op_eremove,
	};
}

int fixture_setup(void **state)
{
	static const struct isa_section section = { .pa = EPC_BASE, .nr_pages = EPC_PAGES };
	struct fixture *f = fixture_create();
	const struct epc_encls_ops ops = fake_building_ops(f);

	fixture_power_on(f, &section, 1, &ops);
	fixture_open(f);
	*state = f;
	return 0;
}

static uint64_t nr_valid(const struct fixture *f)
{
	uint64_t n = 0;

	for (size_t i = 0; i < EPC_PAGES; i++)
		n += f->pages[i].valid;
	return n;
}

void fixture_destroy(struct fixture *f)
{
	struct sgx_epc_stat stat;

	fixture_close(f);

	stat = sgx_epc_stat_total(f->pool);
	assert_int_equal(stat.free + stat.cached + stat.leaked, stat.total);
	assert_int_equal(stat.leaked, f->nr_leaked);
	assert_int_equal(nr_valid(f), f->nr_leaked);

	sgx_epc_pool_destroy(f->pool);
	assert_int_equal(f->live_allocations, 0);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

int fixture_teardown(void **state)
{
	fixture_destroy(*state);
	return 0;
}

void assert_counters(struct fixture *f)
{
	const struct sgx_epc_stat stat = sgx_epc_stat_total(f->pool);
	const uint64_t valid = nr_valid(f);

	assert_int_equal(stat.total, EPC_PAGES);
	assert_int_equal(stat.free + stat.cached + stat.in_use, EPC_PAGES);
	assert_int_equal(stat.leaked + stat.poisoned + stat.unsanitized, 0);
	assert_int_equal(stat.in_use, valid);
	assert_int_equal(sgx_encl_nr_pages(uapi_encl_encl(f->encl)), valid);
}

/* --- well-formed calls --------------------------------------------------- */

struct sgx_secs *user_secs(struct fixture *f)
{
	struct sgx_secs *secs = user(f, AT_SECS);

	*secs = (struct sgx_secs){
		.size = ENCL_SIZE,
		.baseaddr = ENCL_BASE,
		.ssaframesize = 1,
		.attributes = { .flags = ATTR_MODE64BIT, .xfrm = XFRM_X87_SSE },
	};
	return secs;
}

struct sgx_secinfo *user_secinfo(struct fixture *f)
{
	struct sgx_secinfo *secinfo = user(f, AT_SECINFO);

	*secinfo = (struct sgx_secinfo){
		.flags = SECINFO_R | SECINFO_W | SECINFO_PT(PT_REG),
	};
	return secinfo;
}

struct sgx_sigstruct *user_sigstruct(struct fixture *f)
{
	struct sgx_sigstruct *sigstruct = user(f, AT_SIGSTRUCT);

	memset(sigstruct, 0, sizeof(*sigstruct));
	sigstruct->modulus[0] = 0x40;
	return sigstruct;
}

long do_ioctl(struct fixture *f, unsigned int cmd, const void *arg, size_t n)
{
	memcpy(user(f, AT_ARG), arg, n);
	return uapi_encl_ioctl(f->encl, &f->task, cmd, AT_ARG);
}

long do_create(struct fixture *f)
{
	const struct sgx_enclave_create arg = { .src = AT_SECS };

	return do_ioctl(f, SGX_IOC_ENCLAVE_CREATE, &arg, sizeof(arg));
}

long do_add_pages(struct fixture *f, uint64_t src, uint64_t offset, uint64_t length,
		  uint64_t flags, uint64_t *count)
{
	const struct sgx_enclave_add_pages arg = {
		.src = src, .offset = offset, .length = length,
		.secinfo = AT_SECINFO, .flags = flags, .count = NEVER,
	};
	const struct sgx_enclave_add_pages *after = user(f, AT_ARG);
	long ret = do_ioctl(f, SGX_IOC_ENCLAVE_ADD_PAGES, &arg, sizeof(arg));

	if (count)
		*count = after->count;
	return ret;
}

long do_add(struct fixture *f, uint64_t offset, uint64_t nr_pages, uint64_t rwx)
{
	struct sgx_secinfo *secinfo = user_secinfo(f);

	secinfo->flags = rwx | SECINFO_PT(PT_REG);
	return do_add_pages(f, AT_SOURCE, offset, nr_pages * SGX_PAGE_SIZE, 0, NULL);
}

long do_init(struct fixture *f)
{
	const struct sgx_enclave_init arg = { .sigstruct = AT_SIGSTRUCT };

	return do_ioctl(f, SGX_IOC_ENCLAVE_INIT, &arg, sizeof(arg));
}

long do_provision(struct fixture *f, uint64_t fd)
{
	const struct sgx_enclave_provision arg = { .fd = fd };

	return do_ioctl(f, SGX_IOC_ENCLAVE_PROVISION, &arg, sizeof(arg));
}
