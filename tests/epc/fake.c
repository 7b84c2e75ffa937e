/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The scriptable processor and port of the manager's tests.
 */
#include "fake.h"
#include "counters.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

const struct isa_section small_sections[3] = {
	{ .pa = 0x80000000, .nr_pages = 8, .node = 0 },
	{ .pa = 0x100000000, .nr_pages = 4, .node = 3 },
	{ .pa = 0x90000000, .nr_pages = 4, .node = 0 },
};

const struct isa_outcome fake_failures[] = {
#define ERR(name, value) { .kind = ISA_ERROR, .code = (value) ? (value) : SGX_CHILD_PRESENT },
#include <swsgx/errors.def>
#undef ERR
	{ .kind = ISA_INFO, .code = SGX_BLKSTATE },
	{ .kind = ISA_FAULT, .vector = X86_GP },
	{ .kind = ISA_FAULT, .vector = X86_PF, .error_code = PFEC_SGX | PFEC_P | PFEC_W },
};
const size_t fake_nr_failures = sizeof(fake_failures) / sizeof(fake_failures[0]);

struct isa_outcome fake_error(uint32_t code)
{
	return (struct isa_outcome){ .kind = ISA_ERROR, .code = code };
}

struct isa_outcome fake_fault(uint8_t vector)
{
	return (struct isa_outcome){ .kind = ISA_FAULT, .vector = vector };
}

struct fake_page *fake_page_at(struct fake *f, uint64_t pa)
{
	size_t i, first = 0;

	for (i = 0; i < f->config.nr_sections; i++) {
		const struct isa_section *s = &f->sections[i];

		if (pa >= s->pa && pa < s->pa + s->nr_pages * SGX_PAGE_SIZE)
			return &f->pages[first + (pa - s->pa) / SGX_PAGE_SIZE];
		first += s->nr_pages;
	}
	fail_msg("0x%llx is no EPC", (unsigned long long)pa);
	return NULL;
}

/* --- the processor -------------------------------------------------------- */

bool fake_scripted(struct fake *f, enum fake_leaf leaf, struct isa_outcome *out)
{
	struct fake_script *s = &f->script[leaf];
	const unsigned int nr = ++s->nr_calls;

	*out = s->outcome;
	return s->at && nr >= s->at && nr - s->at < s->count;
}

static struct isa_outcome done(void)
{
	return (struct isa_outcome){ .kind = ISA_DONE };
}

static bool scripted(struct fake *f, enum fake_leaf leaf, struct isa_outcome *out)
{
	bool answered;

	pthread_mutex_lock(&f->mutex);
	answered = fake_scripted(f, leaf, out);
	pthread_mutex_unlock(&f->mutex);
	return answered;
}

static struct isa_outcome ecreate(void *ctx, struct sgx_pageinfo *pi, uint64_t secs)
{
	struct fake *f = ctx;
	struct fake_page *page = fake_page_at(f, secs);
	struct isa_outcome out;

	assert_int_equal((uintptr_t)pi % 32, 0);
	assert_int_equal(pi->secinfo_or_pcmd % 64, 0);
	assert_int_equal(pi->linaddr, 0);
	assert_int_equal(pi->secs, 0);
	assert_false(page->valid);
	if (scripted(f, FAKE_ECREATE, &out))
		return out;
	pthread_mutex_lock(&f->mutex);
	*page = (struct fake_page){ .valid = true, .pt = PT_SECS, .eid = ++f->last_eid };
	pthread_mutex_unlock(&f->mutex);
	return done();
}

static struct isa_outcome eadd(void *ctx, struct sgx_pageinfo *pi, uint64_t pa)
{
	const struct sgx_secinfo *secinfo = (const void *)(uintptr_t)pi->secinfo_or_pcmd;
	struct fake *f = ctx;
	struct fake_page *page = fake_page_at(f, pa);
	struct isa_outcome out;

	assert_int_equal((uintptr_t)pi % 32, 0);
	assert_int_equal((uintptr_t)secinfo % 64, 0);
	assert_true(fake_page_at(f, pi->secs)->valid);
	assert_false(page->valid);
	if (f->config.mm.place)
		assert_true(page->placed && page->la == pi->linaddr);
	if (scripted(f, FAKE_EADD, &out))
		return out;
	pthread_mutex_lock(&f->mutex);
	page->valid = true;
	page->pt = (uint8_t)(secinfo->flags >> SECINFO_PT_SHIFT);
	page->blocked = page->pending = page->modified = page->pr = false;
	page->stamp = FAKE_TRACKED;
	page->la = pi->linaddr;
	page->secs = pi->secs;
	memcpy(page->contents, (void *)(uintptr_t)pi->srcpge, FAKE_CONTENTS);
	fake_page_at(f, pi->secs)->nr_children++;
	pthread_mutex_unlock(&f->mutex);
	return done();
}

static struct isa_outcome eextend(void *ctx, uint64_t secs, uint64_t chunk)
{
	struct fake *f = ctx;
	struct isa_outcome out;

	assert_int_equal(chunk % 256, 0);
	assert_int_equal(fake_page_at(f, chunk)->secs, secs);
	return scripted(f, FAKE_EEXTEND, &out) ? out : done();
}

static struct isa_outcome einit(void *ctx, const struct sgx_sigstruct *sigstruct,
				const struct sgx_einittoken *token, uint64_t secs,
				const uint64_t hash[4])
{
	const uint8_t *bytes = (const uint8_t *)token;
	struct fake *f = ctx;
	struct isa_outcome out;
	size_t i;

	assert_non_null(sigstruct);
	assert_int_equal((uintptr_t)token % 512, 0);
	assert_true(fake_page_at(f, secs)->valid);
	pthread_mutex_lock(&f->mutex);
	f->einit_token_sum = 0;
	for (i = 0; i < sizeof(*token); i++)
		f->einit_token_sum += bytes[i];
	f->einit_hash0 = hash[0];
	pthread_mutex_unlock(&f->mutex);
	if (scripted(f, FAKE_EINIT, &out))
		return out;
	fake_page_at(f, secs)->initialized = true;
	return done();
}

static struct isa_outcome eremove_locked(struct fake *f, struct fake_page *page)
{
	struct isa_outcome out;

	if (fake_scripted(f, FAKE_EREMOVE, &out))
		return out;
	page->placed = false;
	page->mapped = false;
	if (!page->valid)
		return done();
	if (page->pt == PT_SECS && page->nr_children)
		return fake_error(SGX_CHILD_PRESENT);
	if (page->pt != PT_SECS && page->pt != PT_VA)
		fake_page_at(f, page->secs)->nr_children--;
	page->valid = false;
	free(page->versions);
	page->versions = NULL;
	return done();
}

static struct isa_outcome eremove(void *ctx, uint64_t pa)
{
	struct fake *f = ctx;
	struct isa_outcome out;

	pthread_mutex_lock(&f->mutex);
	out = eremove_locked(f, fake_page_at(f, pa));
	pthread_mutex_unlock(&f->mutex);
	return out;
}

static struct isa_epcm_info peek(void *ctx, uint64_t pa)
{
	const struct fake_page *page = fake_page_at(ctx, pa);

	return (struct isa_epcm_info){
		.valid = page->valid, .pt = page->pt, .enclaveaddress = page->la,
	};
}

static int place(void *ctx, void *cookie, uint64_t pa, uint64_t la)
{
	struct fake *f = ctx;
	struct fake_page *page = fake_page_at(f, pa);

	pthread_mutex_lock(&f->mutex);
	f->nr_places++;
	f->place_cookie = cookie;
	if (f->place_result || f->nr_places == f->fail_place) {
		pthread_mutex_unlock(&f->mutex);
		return f->place_result ? f->place_result : -ENOMEM;
	}
	assert_false(page->placed);
	page->placed = true;
	page->la = la;
	page->cookie = cookie;
	page->mapped = page->young = false;
	pthread_mutex_unlock(&f->mutex);
	return 0;
}

void fake_fail(struct fake *f, enum fake_leaf leaf, unsigned int nth, unsigned int count,
	       struct isa_outcome outcome)
{
	struct fake_script *s = &f->script[leaf];

	s->at = s->nr_calls + nth;
	s->count = count;
	s->outcome = outcome;
}

/* --- the port ------------------------------------------------------------- */

static void *port_alloc(void *ctx, size_t size)
{
	struct fake *f = ctx;

	if (++f->nr_allocs == f->fail_alloc)
		return NULL;
	f->live_allocs++;
	return calloc(1, size);
}

static void port_free(void *ctx, void *p)
{
	struct fake *f = ctx;

	assert_non_null(p);
	f->live_allocs--;
	free(p);
}

static void port_log(void *ctx, enum epc_log_level level, const char *message)
{
	struct fake *f = ctx;

	f->log->nr++;
	f->log->level = level;
	snprintf(f->log->message, sizeof(f->log->message), "%s", message);
}

static uint64_t port_time_ns(void *ctx)
{
	return ++((struct fake *)ctx)->now;
}

static unsigned int port_node(void *ctx)
{
	struct fake *f = ctx;

	f->nr_node_calls++;
	return f->node;
}

_Thread_local unsigned int fake_cache;

static unsigned int port_cache_enter(void *ctx)
{
	return fake_cache;
}

void fake_init(struct fake *f, const struct isa_section *sections, size_t nr, bool known_clean)
{
	size_t i;

	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->mutex, NULL);
	assert_in_range(nr, 1, FAKE_MAX_SECTIONS);
	for (i = 0; i < nr; i++) {
		f->sections[i] = sections[i];
		f->nr_pages += sections[i].nr_pages;
	}
	f->pages = calloc(f->nr_pages, sizeof(*f->pages));
	f->log = mmap(NULL, sizeof(*f->log), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f->log, MAP_FAILED);
	f->config = (struct sgx_epc_config){
		.sections = f->sections,
		.nr_sections = nr,
		.port = {
			.ctx = f, .alloc = port_alloc, .free = port_free, .log = port_log,
			.time_ns = port_time_ns, .node = port_node,
			.cache_enter = port_cache_enter,
		},
		.ops = {
			.ctx = f, .ecreate = ecreate, .eadd = eadd, .eextend = eextend,
			.einit = einit, .eremove = eremove, .peek = peek,
		},
		.mm = { .ctx = f, .place = place },
		.known_clean = known_clean,
	};
	fake_paging_ops(&f->config.ops);
	fake_paging_mm(&f->config.mm);
}

void fake_start(struct fake *f, const struct isa_section *sections, size_t nr, bool known_clean)
{
	fake_init(f, sections, nr, known_clean);
	assert_int_equal(sgx_epc_pool_create(&f->config, &f->pool), 0);
	assert_adds_up(f);
}

void fake_finish(struct fake *f)
{
	size_t i;

	sgx_epc_pool_destroy(f->pool);
	assert_int_equal(f->live_allocs, 0);
	munmap(f->log, sizeof(*f->log));
	for (i = 0; i < f->nr_pages; i++)
		free(f->pages[i].versions);
	free(f->pages);
	pthread_mutex_destroy(&f->mutex);
}

/* --- assertions ----------------------------------------------------------- */

void assert_same_outcome(struct isa_outcome a, struct isa_outcome b)
{
	assert_int_equal(a.kind, b.kind);
	assert_int_equal(a.code, b.code);
	assert_int_equal(a.vector, b.vector);
	assert_int_equal(a.error_code, b.error_code);
	assert_int_equal(a.address, b.address);
}

void assert_adds_up(struct fake *f)
{
	unsigned int node, i;

	for (node = 0; node < 16; node++) {
		uint64_t nr_pages = 0;

		for (i = 0; i < f->config.nr_sections; i++)
			nr_pages += f->sections[i].node == node ? f->sections[i].nr_pages : 0;
		assert_int_equal(sgx_epc_stat_node(f->pool, node).total, nr_pages);
	}
	assert_int_equal(sgx_epc_stat_total(f->pool).total, f->nr_pages);
	assert_counters_add_up(f->pool, 1024);
}

void assert_counts(struct fake *f, uint64_t free, uint64_t in_use, uint64_t leaked,
		   uint64_t unsanitized)
{
	const struct sgx_epc_stat s = sgx_epc_stat_total(f->pool);

	assert_adds_up(f);
	assert_int_equal(s.free + s.cached, free);
	assert_int_equal(s.in_use, in_use);
	assert_int_equal(s.leaked, leaked);
	assert_int_equal(s.unsanitized, unsanitized);
}

void assert_pool_clean(struct fake *f)
{
	struct sgx_epc_page **taken = calloc(f->nr_pages, sizeof(*taken));
	size_t nr = 0;

	while (!sgx_alloc_epc_page(f->pool, NULL, 0, &taken[nr])) {
		assert_false(fake_page_at(f, sgx_epc_page_pa(f->pool, taken[nr]))->valid);
		nr++;
	}
	while (nr)
		sgx_free_epc_page(f->pool, taken[--nr]);
	free(taken);
	assert_adds_up(f);
}

void assert_aborts(struct fake *f, void (*fn)(struct fake *f, void *arg), void *arg,
		   const char *message)
{
	const struct rlimit no_core = { 0, 0 };
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		fn(f, arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_int_equal(f->log->level, EPC_LOG_ERROR);
	assert_string_equal(f->log->message, message);
}
