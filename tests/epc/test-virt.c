/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ENCLS on behalf of guests: the policy as tables of cases, then ECREATE and
 * EINIT as guests with less than the machine has may have them.
 */
#include <stdlib.h>

#include "../isa/fixture.h"

#include <swsgx/virt.h>

struct machine {
	struct isa_fixture *f;
	struct sgx_epc_pool *pool;
	struct sgx_virt_guest guest;
	struct sgx_virt_memory memory;
	unsigned int nr_leaves;		/* that reached the machine */
};

/* --- surroundings ----------------------------------------------------------- */

static struct isa_outcome encls(struct machine *m, enum isa_leaf leaf, uint64_t rbx, uint64_t rcx,
				uint64_t rdx)
{
	m->nr_leaves++;
	m->f->os.rbx = rbx;
	m->f->os.rcx = rcx;
	m->f->os.rdx = rdx;
	return isa_encls(&m->f->os, leaf);
}

static struct isa_outcome ecreate(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t secs)
{
	return encls(ctx, ISA_ENCLS_ECREATE, (uintptr_t)pageinfo, secs, 0);
}

static struct isa_outcome einit(void *ctx, const struct sgx_sigstruct *sigstruct,
				const struct sgx_einittoken *token, uint64_t secs,
				const uint64_t hash[4])
{
	struct machine *m = ctx;

	isa_wrmsr_lepubkeyhash(&m->f->os, hash);
	return encls(m, ISA_ENCLS_EINIT, (uintptr_t)sigstruct, secs, (uintptr_t)token);
}

static void *port_alloc(void *ctx, size_t size)
{
	return calloc(1, size);
}

static void port_free(void *ctx, void *p)
{
	free(p);
}

static void port_log(void *ctx, enum epc_log_level level, const char *message)
{
}

static uint64_t port_time_ns(void *ctx)
{
	return 1;
}

static unsigned int port_node(void *ctx)
{
	return 0;
}

static void start(struct machine *m)
{
	const struct isa_section section = {
		.pa = FIXTURE_PA0, .nr_pages = FIXTURE_SECTION_PAGES, .node = 0,
	};
	const struct sgx_epc_config config = {
		.sections = &section,
		.nr_sections = 1,
		.port = {
			.ctx = m, .alloc = port_alloc, .free = port_free, .log = port_log,
			.time_ns = port_time_ns, .node = port_node,
		},
		.ops = { .ctx = m, .ecreate = ecreate, .einit = einit },
		.known_clean = true,
	};

	*m = (struct machine){ .f = isa_fixture_create("newest") };
	m->memory = (struct sgx_virt_memory){ m->f->os.mmu, m->f };
	sgx_virt_guest_init(&m->guest, isa_machine_profile(m->f->m), 0x2ff);
	assert_int_equal(sgx_epc_pool_create(&config, &m->pool), 0);
}

static void finish(struct machine *m)
{
	sgx_epc_pool_destroy(m->pool);
	isa_fixture_destroy(m->f);
}

/* --- which leaves exit --------------------------------------------------------- */

#define ECREATE 0u
#define EINIT 2u
#define SGX1_LEAVES 0x1fffull
#define SGX2_LEAVES 0xe000ull

static uint64_t bitmap_of(const struct sgx_virt_guest *guest)
{
	return sgx_virt_exit_bitmap(isa_profile_find("newest"), guest, 0);
}

static void f87_all_leaves_exit_until_sgx_is_there_and_enabled(void **state)
{
	struct sgx_virt_guest guest, other;

	sgx_virt_guest_init(&guest, isa_profile_find("newest"), 0x2ff);
	assert_true(bitmap_of(&guest) != UINT64_MAX);
	other = guest;
	other.has_sgx = false;
	assert_true(bitmap_of(&other) == UINT64_MAX);
	other = guest;
	other.feature_control &= ~FEATURE_CONTROL_LOCK;
	assert_true(bitmap_of(&other) == UINT64_MAX);
	other = guest;
	other.feature_control &= ~FEATURE_CONTROL_SGX_ENABLE;
	assert_true(bitmap_of(&other) == UINT64_MAX);
}

static void f87_lets_through_what_the_guest_has(void **state)
{
	const uint64_t always = ~(SGX1_LEAVES | SGX2_LEAVES);
	struct sgx_virt_guest guest;

	sgx_virt_guest_init(&guest, isa_profile_find("newest"), 0x2ff);
	guest.may_provision = true;
	assert_true(bitmap_of(&guest) == (always | SGX_VIRT_EXIT(EINIT)));
	guest.cpuid_12_0_eax &= ~CPUID_12_0_EAX_SGX2;
	assert_true(bitmap_of(&guest) == (always | SGX2_LEAVES | SGX_VIRT_EXIT(EINIT)));
	guest.cpuid_12_0_eax &= ~CPUID_12_0_EAX_SGX1;
	assert_true(bitmap_of(&guest) == UINT64_MAX);
	assert_true(SGX_VIRT_EXIT(63) == 1ull << 63 && SGX_VIRT_EXIT(200) == 1ull << 63);
}

static void f87_ecreate_exits_when_the_guest_may_have_less(void **state)
{
	struct sgx_virt_guest full, less[6];
	unsigned int i;

	sgx_virt_guest_init(&full, isa_profile_find("newest"), 0x2ff);
	full.may_provision = true;
	assert_false(bitmap_of(&full) & SGX_VIRT_EXIT(ECREATE));
	for (i = 0; i < 6; i++)
		less[i] = full;
	less[0].may_provision = false;
	less[1].miscselect = 0;
	less[2].max_size_32--;
	less[3].max_size_64--;
	less[4].attributes &= ~ATTR_KSS;
	less[5].xfrm &= ~XFRM_PKRU;
	for (i = 0; i < 6; i++)
		assert_true(bitmap_of(&less[i]) & SGX_VIRT_EXIT(ECREATE));
}

static void f87_einit_exits_when_the_hash_msrs_can_be_written(void **state)
{
	const struct isa_profile *host = isa_profile_find("sgx1-client");
	struct sgx_virt_guest guest;

	assert_false(host->launch_control);
	sgx_virt_guest_init(&guest, host, 3);
	guest.may_provision = true;
	assert_false(sgx_virt_exit_bitmap(host, &guest, 0) & SGX_VIRT_EXIT(EINIT));
}

static void f87_nested_exits_are_added(void **state)
{
	struct sgx_virt_guest guest;
	uint64_t bitmap;

	sgx_virt_guest_init(&guest, isa_profile_find("newest"), 0x2ff);
	bitmap = sgx_virt_exit_bitmap(isa_profile_find("newest"), &guest, SGX_VIRT_EXIT(3));
	assert_true(bitmap == (bitmap_of(&guest) | SGX_VIRT_EXIT(3)));
}

/* --- before the operands --------------------------------------------------------- */

#define ANYTHING UINT64_MAX

/* c1_34: a guest that has SGX gets #GP for all that is missing otherwise. */
static const struct {
	const char *what;
	bool has_sgx;
	uint32_t eax;
	uint64_t feature_control;
	bool paging;
	uint32_t leaf;
	int vector;	/* -1: it may */
} execute_cases[] = {
	{ "no SGX", false, 3, ANYTHING, true, 0x00, X86_UD },
	{ "no SGX, nothing else either", false, 0, 0, false, 0x40, X86_UD },
	{ "no SGX1", true, 2, ANYTHING, true, 0x00, X86_UD },
	{ "no SGX1 before no paging", true, 0, 0, false, 0x00, X86_UD },
	{ "SGX1 leaf", true, 1, ANYTHING, true, 0x00, -1 },
	{ "last SGX1 leaf", true, 1, ANYTHING, true, 0x0c, -1 },
	{ "SGX2 leaf without SGX2", true, 1, ANYTHING, true, 0x0d, X86_GP },
	{ "SGX2 leaf", true, 3, ANYTHING, true, 0x0d, -1 },
	{ "last SGX2 leaf", true, 3, ANYTHING, true, 0x0f, -1 },
	{ "beyond SGX2", true, 3, ANYTHING, true, 0x10, X86_GP },
	{ "no leaf at all", true, 3, ANYTHING, true, 0xffffffff, X86_GP },
	{ "not locked", true, 3, FEATURE_CONTROL_SGX_ENABLE, true, 0x00, X86_GP },
	{ "locked, not enabled", true, 3, FEATURE_CONTROL_LOCK, true, 0x00, X86_GP },
	{ "no paging", true, 3, ANYTHING, false, 0x00, X86_GP },
};

static void f88_c1_34_ud_without_sgx_else_gp(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(execute_cases) / sizeof(execute_cases[0]); i++) {
		const struct sgx_virt_guest guest = {
			.has_sgx = execute_cases[i].has_sgx,
			.cpuid_12_0_eax = execute_cases[i].eax,
			.feature_control = execute_cases[i].feature_control,
			.paging = execute_cases[i].paging,
		};
		struct isa_outcome out = { .kind = ISA_DONE };
		const bool may = sgx_virt_may_execute(&guest, execute_cases[i].leaf, &out);

		if (may != (execute_cases[i].vector < 0))
			fail_msg("%s", execute_cases[i].what);
		if (!may)
			assert_outcome(out, ISA_FAULT, (uint32_t)execute_cases[i].vector, 0);
	}
}

/* --- ECREATE ------------------------------------------------------------------------- */

/* What the guest has in its memory; changed by the case, then tried. */
struct attempt {
	struct machine *m;
	struct sgx_secs *secs;		/* the source */
	uint64_t rbx, rcx;
};

static void begin(struct attempt *a, struct machine *m)
{
	struct isa_fixture *f = m->f;

	isa_fixture_default_secs((struct sgx_secs *)f->page);
	f->secinfo = (struct sgx_secinfo){ .flags = SECINFO_PT(PT_SECS) };
	f->pageinfo = (struct sgx_pageinfo){
		.srcpge = (uintptr_t)f->page,
		.secinfo_or_pcmd = (uintptr_t)&f->secinfo,
	};
	*a = (struct attempt){
		.m = m,
		.secs = (struct sgx_secs *)f->page,
		.rbx = (uintptr_t)&f->pageinfo,
		.rcx = FIXTURE_PA0,
	};
	m->nr_leaves = 0;
}

static struct isa_outcome try(struct attempt *a)
{
	return sgx_virt_ecreate(a->m->pool, &a->m->guest, &a->m->memory, a->rbx, a->rcx);
}

static void f85_ecreate_runs_when_all_is_allowed(void **state)
{
	struct machine m;
	struct attempt a;

	start(&m);
	begin(&a, &m);
	assert_done(try(&a));
	assert_int_equal(m.nr_leaves, 1);
	assert_int_equal(isa_epcm_peek(m.f->m, 0).pt, PT_SECS);
	finish(&m);
}

#define NEVER_SAVED (1ull << 62)

static void provision(struct attempt *a)
{
	a->secs->attributes.flags |= ATTR_PROVISIONKEY;
}

static void kss(struct attempt *a)
{
	a->m->guest.attributes &= ~ATTR_KSS;
	a->secs->attributes.flags |= ATTR_KSS;
}

static void exinfo(struct attempt *a)
{
	a->m->guest.miscselect = 0;
	a->secs->miscselect = MISC_EXINFO;
}

static void xfrm_not_in_cpuid(struct attempt *a)
{
	a->m->guest.xfrm = XFRM_X87_SSE;
	a->secs->attributes.xfrm |= XFRM_AVX;
}

static void xfrm_not_in_xcr0(struct attempt *a)
{
	a->m->guest.xcr0 = XFRM_X87_SSE;
	a->secs->attributes.xfrm |= XFRM_AVX;
}

static void no_sse(struct attempt *a)
{
	a->secs->attributes.xfrm = 1;
}

static void no_x87(struct attempt *a)
{
	a->secs->attributes.xfrm = 2;
}

static void no_such_component(struct attempt *a)
{
	a->secs->attributes.xfrm |= NEVER_SAVED;
}

static void too_large_64(struct attempt *a)
{
	a->m->guest.max_size_64 = 16;
	a->secs->size = 1 << 16;
}

static void too_large_32(struct attempt *a)
{
	a->m->guest.max_size_32 = 16;
	a->secs->attributes.flags = ATTR_DEBUG;
	a->secs->size = 1 << 16;
	a->secs->baseaddr = 1 << 16;
}

static void rbx_unaligned(struct attempt *a)
{
	a->rbx += 8;
}

static void rcx_unaligned(struct attempt *a)
{
	a->rcx += 64;
}

static void rbx_not_canonical(struct attempt *a)
{
	a->rbx |= 1ull << 60;
}

static void rcx_not_canonical(struct attempt *a)
{
	a->rcx |= 1ull << 47;
}

static void secinfo_unaligned(struct attempt *a)
{
	a->m->f->pageinfo.secinfo_or_pcmd += 8;
}

static void secinfo_not_canonical(struct attempt *a)
{
	a->m->f->pageinfo.secinfo_or_pcmd |= 1ull << 63;
}

static void source_unaligned(struct attempt *a)
{
	a->m->f->pageinfo.srcpge += 8;
}

static void source_not_canonical(struct attempt *a)
{
	a->m->f->pageinfo.srcpge |= 1ull << 56;
}

/* f85, c1_35: refused here, whatever the machine would say. */
static const struct {
	const char *what;
	void (*make)(struct attempt *a);
} forbidden[] = {
#define CASE(make) { #make, make }
	CASE(provision), CASE(kss), CASE(exinfo), CASE(xfrm_not_in_cpuid),
	CASE(xfrm_not_in_xcr0), CASE(no_sse), CASE(no_x87), CASE(no_such_component),
	CASE(too_large_64), CASE(too_large_32), CASE(rbx_unaligned), CASE(rcx_unaligned),
	CASE(rbx_not_canonical), CASE(rcx_not_canonical), CASE(secinfo_unaligned),
	CASE(secinfo_not_canonical), CASE(source_unaligned), CASE(source_not_canonical),
#undef CASE
};

static void f88_c1_35_ecreate_is_gp_for_what_the_guest_may_not_have(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		struct isa_outcome out;
		struct machine m;
		struct attempt a;

		start(&m);
		begin(&a, &m);
		forbidden[i].make(&a);
		out = try(&a);
		if (out.kind != ISA_FAULT || out.vector != X86_GP || m.nr_leaves)
			fail_msg("%s: kind %d, vector %d, %u leaves", forbidden[i].what,
				 out.kind, out.vector, m.nr_leaves);
		finish(&m);
	}
}

/* Each limit, met exactly. */
static void f89_ecreate_lets_the_guest_have_all_it_may(void **state)
{
	struct machine m;
	struct attempt a;

	start(&m);
	begin(&a, &m);
	m.guest.may_provision = true;
	m.guest.max_size_64 = 17;
	m.guest.xcr0 = XFRM_AVX;	/* x87 and SSE need not be named */
	a.secs->size = 1 << 16;
	a.secs->attributes.flags |= ATTR_PROVISIONKEY;
	a.secs->attributes.xfrm |= XFRM_AVX;
	a.secs->miscselect = m.guest.miscselect & MISC_EXINFO;
	assert_done(try(&a));
	finish(&m);
}

/* What the machine refuses, and policy does not know of. */
static void ecreate_leaves_the_rest_to_the_leaf(void **state)
{
	struct machine m;
	struct attempt a;

	start(&m);
	begin(&a, &m);
	m.f->pageinfo.linaddr = 0x1000;
	assert_gp(try(&a));
	assert_int_equal(m.nr_leaves, 1);
	finish(&m);
}

static void f88_epcm_fault_is_what_the_guest_knows(void **state)
{
	struct machine m;
	struct attempt a;

	start(&m);
	begin(&a, &m);
	assert_done(try(&a));
	assert_epf(try(&a), FIXTURE_PA0);
	m.guest.cpuid_12_0_eax &= ~CPUID_12_0_EAX_SGX2;
	assert_gp(try(&a));

	/* The same where there is no EPC at all. */
	a.rcx = (uintptr_t)m.f->page;
	assert_gp(try(&a));
	m.guest.cpuid_12_0_eax |= CPUID_12_0_EAX_SGX2;
	assert_epf(try(&a), a.rcx);
	finish(&m);
}

/* Page tables are the guest's own business. */
static void ordinary_page_faults_stay_what_they_are(void **state)
{
	struct machine m;
	struct attempt a;

	start(&m);
	begin(&a, &m);
	m.guest.cpuid_12_0_eax &= ~CPUID_12_0_EAX_SGX2;
	a.rcx = FIXTURE_HOLE;
	assert_ordinary_pf(try(&a), FIXTURE_HOLE);
	begin(&a, &m);
	a.rbx = FIXTURE_HOLE;
	assert_ordinary_pf(try(&a), FIXTURE_HOLE);
	begin(&a, &m);
	m.f->pageinfo.srcpge = FIXTURE_HOLE;
	assert_ordinary_pf(try(&a), FIXTURE_HOLE);
	assert_int_equal(m.nr_leaves, 0);
	finish(&m);
}

/* --- c1_36: how addresses are read ------------------------------------------------------ */

static void c1_36_tags_of_masked_addresses_do_not_count(void **state)
{
	struct machine m;
	struct attempt a;

	start(&m);
	begin(&a, &m);
	m.guest.lam_user = 57;
	a.rcx |= 0x3full << 57;
	m.f->pageinfo.srcpge |= 0x2aull << 57;
	assert_done(try(&a));

	/* Bits below the tag count, and so does bit 63. */
	begin(&a, &m);
	a.rcx |= 1ull << 50;
	assert_gp(try(&a));
	begin(&a, &m);
	a.rcx |= 1ull << 63;
	assert_gp(try(&a));
	finish(&m);
}

static void c1_36_supervisor_addresses_have_their_own_mask(void **state)
{
	struct machine m;
	struct attempt a;

	start(&m);
	begin(&a, &m);
	m.guest.lam_supervisor = 48;
	/* Of the upper half after unmasking: not EPC, where the tag was ignored. */
	a.rcx = 0x8000000000000000ull | 0x15ull << 57 | 0xffffull << 47 | 0x1000;
	a.rcx &= ~(1ull << 48);
	assert_epf(try(&a), 0xffff800000001000ull);
	finish(&m);
}

/* Outside 64-bit mode the upper half of a register is not there. */
static void c1_36_addresses_have_32_bits_outside_of_64_bit_mode(void **state)
{
	struct machine m;
	struct attempt a;

	start(&m);
	begin(&a, &m);
	m.guest.mode64 = false;
	a.rbx = 0xdeadbeef00000000ull | FIXTURE_HOLE;
	assert_ordinary_pf(try(&a), FIXTURE_HOLE);
	finish(&m);
}

/* --- EINIT ---------------------------------------------------------------------------------- */

static void build(struct machine *m)
{
	isa_fixture_build(m->f, NULL);
	isa_fixture_default_secs((struct sgx_secs *)m->f->page);
	isa_fixture_sigstruct(m->f, (struct sgx_secs *)m->f->page, 1);
	memset(&m->f->token, 0, sizeof(m->f->token));
}

static struct isa_outcome try_einit(struct machine *m)
{
	return sgx_virt_einit(m->pool, &m->guest, &m->memory, (uintptr_t)&m->f->sig,
			      isa_fixture_la(m->f, FIXTURE_SECS), (uintptr_t)&m->f->token);
}

static void f85_f89_einit_runs_under_the_hash_of_the_guest(void **state)
{
	struct sgx_virt_guest other;
	struct machine m;

	start(&m);
	build(&m);
	other = m.guest;
	isa_signer_hash(isa_signer_get(0), other.lepubkeyhash);
	isa_signer_hash(isa_signer_get(1), m.guest.lepubkeyhash);
	assert_error(sgx_virt_einit(m.pool, &other, &m.memory, (uintptr_t)&m.f->sig,
				    isa_fixture_la(m.f, FIXTURE_SECS),
				    (uintptr_t)&m.f->token), SGX_INVALID_EINITTOKEN);
	assert_done(try_einit(&m));
	finish(&m);
}

static void einit_checks_operands_as_the_leaf_does(void **state)
{
	const uint64_t epc = FIXTURE_PA0;
	struct machine m;
	uint64_t sig, token;

	start(&m);
	build(&m);
	sig = (uintptr_t)&m.f->sig;
	token = (uintptr_t)&m.f->token;
	m.nr_leaves = 0;
#define EINIT_OF(b, c, d) sgx_virt_einit(m.pool, &m.guest, &m.memory, (b), (c), (d))
	assert_gp(EINIT_OF(sig + 16, epc, token));
	assert_gp(EINIT_OF(sig, epc + 16, token));
	assert_gp(EINIT_OF(sig, epc, token + 16));
	assert_gp(EINIT_OF(sig | 1ull << 62, epc, token));
	assert_gp(EINIT_OF(sig, epc | 1ull << 62, token));
	assert_gp(EINIT_OF(sig, epc, token | 1ull << 62));
	assert_ordinary_pf(EINIT_OF(FIXTURE_HOLE, epc, token), FIXTURE_HOLE);
	assert_ordinary_pf(EINIT_OF(sig, FIXTURE_HOLE, token), FIXTURE_HOLE);
	assert_ordinary_pf(EINIT_OF(sig, epc, FIXTURE_HOLE), FIXTURE_HOLE);
	assert_epf(EINIT_OF(sig, sig, token), sig);
	assert_int_equal(m.nr_leaves, 0);

	/* A page that is no SECS. */
	assert_epf(EINIT_OF(sig, epc + FIXTURE_FREE * SGX_PAGE_SIZE, token),
		   epc + FIXTURE_FREE * SGX_PAGE_SIZE);
#undef EINIT_OF
	finish(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f87_all_leaves_exit_until_sgx_is_there_and_enabled),
		cmocka_unit_test(f87_lets_through_what_the_guest_has),
		cmocka_unit_test(f87_ecreate_exits_when_the_guest_may_have_less),
		cmocka_unit_test(f87_einit_exits_when_the_hash_msrs_can_be_written),
		cmocka_unit_test(f87_nested_exits_are_added),
		cmocka_unit_test(f88_c1_34_ud_without_sgx_else_gp),
		cmocka_unit_test(f85_ecreate_runs_when_all_is_allowed),
		cmocka_unit_test(f88_c1_35_ecreate_is_gp_for_what_the_guest_may_not_have),
		cmocka_unit_test(f89_ecreate_lets_the_guest_have_all_it_may),
		cmocka_unit_test(ecreate_leaves_the_rest_to_the_leaf),
		cmocka_unit_test(f88_epcm_fault_is_what_the_guest_knows),
		cmocka_unit_test(ordinary_page_faults_stay_what_they_are),
		cmocka_unit_test(c1_36_tags_of_masked_addresses_do_not_count),
		cmocka_unit_test(c1_36_supervisor_addresses_have_their_own_mask),
		cmocka_unit_test(c1_36_addresses_have_32_bits_outside_of_64_bit_mode),
		cmocka_unit_test(f85_f89_einit_runs_under_the_hash_of_the_guest),
		cmocka_unit_test(einit_checks_operands_as_the_leaf_does),
	};

	return cmocka_run_group_tests_name("virt", tests, NULL, NULL);
}
