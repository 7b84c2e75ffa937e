/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLS, ENCLU and ENCLV before any leaf runs; names. */
#include "fixture.h"

#include "internal.h"

static bool is_gp(struct isa_outcome o)
{
	return o.kind == ISA_FAULT && o.vector == X86_GP;
}

static void encls_is_undefined_above_ring_0(void **state)
{
	struct isa_fixture *f = *state;

	for (uint8_t cpl = 1; cpl <= 3; cpl++) {
		f->os.cpl = cpl;
		assert_ud(isa_encls(&f->os, ISA_ENCLS_EREMOVE));
		assert_ud(isa_encls(&f->os, 0x40));
	}
	f->os.cpl = 0;
}

static void enclu_is_undefined_below_ring_3(void **state)
{
	struct isa_fixture *f = *state;

	for (uint8_t cpl = 0; cpl < 3; cpl++) {
		f->encl.cpl = cpl;
		assert_ud(isa_enclu(&f->encl, ISA_ENCLU_EREPORT));
		assert_ud(isa_enclu(&f->encl, 0x40));
	}
	f->encl.cpl = 3;
}

static void everything_is_undefined_without_sgx1(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	struct isa_profile none = *isa_profile_at(0);

	none.cpuid_12_0_eax = 0;
	f->m->config.profile = &none;
	f->os.cpl = 3;
	assert_ud(isa_encls(&f->os, ISA_ENCLS_EREMOVE));
	f->os.cpl = 0;
	assert_ud(isa_encls(&f->os, ISA_ENCLS_EREMOVE));
	assert_ud(isa_enclu(&f->encl, ISA_ENCLU_EREPORT));
	isa_fixture_destroy(f);
	(void)state;
}

static void everything_faults_until_opted_in(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	const uint64_t off[] = {
		0, FEATURE_CONTROL_LOCK, FEATURE_CONTROL_SGX_ENABLE,
		FEATURE_CONTROL_LOCK | FEATURE_CONTROL_SGX_LC_ENABLE,
	};

	isa_fixture_start(f, NULL, 0);
	f->os.rcx = isa_fixture_la(f, FIXTURE_FREE);
	memset(isa_fixture_contents(f, FIXTURE_RW), 0, SGX_PAGE_SIZE);
	f->encl.rbx = f->encl.rcx = FIXTURE_BASE + 0x2000;
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		f->os.feature_control = f->encl.feature_control = off[i];
		assert_gp(isa_encls(&f->os, ISA_ENCLS_EREMOVE));
		assert_gp(isa_enclu(&f->encl, ISA_ENCLU_EGETKEY));
	}
	f->os.feature_control = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_SGX_ENABLE;
	f->encl.feature_control = f->os.feature_control;
	assert_done(isa_encls(&f->os, ISA_ENCLS_EREMOVE));
	assert_error(isa_enclu(&f->encl, ISA_ENCLU_EGETKEY), SGX_INVALID_ATTRIBUTE);
	isa_fixture_destroy(f);
	(void)state;
}

static unsigned int nr_known(enum isa_class class)
{
	return 0
#define LEAF(class_, ...) + (ISA_##class_ == class)
#include <swsgx/leaves.def>
#undef LEAF
		;
}

struct mode_row {
	uint32_t mode;
	uint8_t encls, enclu;		/* the vector; 0: the leaf runs */
};

static const struct mode_row mode_rows[] = {
	{ 0, 0, 0 },
	{ ISA_MODE_REAL, X86_UD, X86_UD },
	{ ISA_MODE_VM86, X86_UD, X86_UD },
	{ ISA_MODE_SMM, X86_UD, X86_UD },
	{ ISA_MODE_TS, 0, X86_NM },
	{ ISA_MODE_NO_NE, 0, X86_GP },
	{ ISA_MODE_NO_PAGING, X86_GP, X86_GP },
	{ ISA_MODE_NO_OSFXSR, 0, 0 },
	{ ISA_MODE_32, 0, 0 },
	{ ISA_MODE_32 | ISA_MODE_CODE16, 0, X86_GP },
	{ ISA_MODE_32 | ISA_MODE_DS_DOWN, X86_GP, 0 },
	/* without meaning in 64-bit mode */
	{ ISA_MODE_CODE16 | ISA_MODE_DS_DOWN, 0, 0 },
	/* the earlier check decides */
	{ ISA_MODE_SMM | ISA_MODE_TS, X86_UD, X86_UD },
	{ ISA_MODE_TS | ISA_MODE_NO_PAGING, X86_GP, X86_NM },
};

static void assert_vector(struct isa_outcome out, uint8_t vector, size_t row)
{
	if (vector ? out.kind != ISA_FAULT || out.vector != vector : !isa_is_done(out))
		fail_msg("row %zu: kind %d, %s", row, (int)out.kind, isa_vector_name(out.vector));
}

static void modes_fault_by_the_table(void **state)
{
	struct isa_fixture *f = *state;

	f->os.rcx = isa_fixture_la(f, FIXTURE_FREE);
	for (size_t i = 0; i < sizeof(mode_rows) / sizeof(mode_rows[0]); i++) {
		f->os.mode = f->encl.mode = mode_rows[i].mode;
		assert_vector(isa_encls(&f->os, ISA_ENCLS_EREMOVE), mode_rows[i].encls, i);
		assert_vector(isa_enclu_check(&f->encl, ISA_ENCLU_EENTER, false),
			      mode_rows[i].enclu, i);
		assert_vector(isa_enclu_check(&f->encl, ISA_ENCLU_EEXIT, true),
			      mode_rows[i].enclu, i);
	}
	f->os.mode = f->encl.mode = 0;
}

/* The privilege is checked between the fault of TS and those of the opt-in. */
static void privilege_is_checked_in_its_place(void **state)
{
	struct isa_fixture *f = *state;

	f->encl.cpl = 0;
	f->encl.mode = ISA_MODE_TS;
	assert_vector(isa_enclu_check(&f->encl, ISA_ENCLU_EENTER, false), X86_NM, 0);
	f->encl.mode = ISA_MODE_NO_PAGING;
	f->encl.feature_control = 0;
	assert_vector(isa_enclu_check(&f->encl, ISA_ENCLU_EENTER, false), X86_UD, 0);
	f->encl.cpl = 3;
	f->encl.mode = 0;
	assert_vector(isa_enclu_check(&f->encl, ISA_ENCLU_EENTER, false), X86_GP, 0);
	f->encl.feature_control = f->os.feature_control;
}

/* Each ENCLU leaf is for one side of the enclave's border. */
static void enclu_leaves_keep_to_their_side(void **state)
{
	struct isa_fixture *f = *state;
	const struct isa_leaf_info *leaf;

	for (size_t i = 0; (leaf = isa_leaf_at(i)); i++) {
		const bool enters = leaf->number == ISA_ENCLU_EENTER ||
				    leaf->number == ISA_ENCLU_ERESUME;

		if (leaf->class != ISA_ENCLU)
			continue;
		assert_vector(isa_enclu_check(&f->encl, leaf->number, false),
			      enters ? 0 : X86_GP, i);
		assert_vector(isa_enclu_check(&f->encl, leaf->number, true),
			      enters ? X86_GP : 0, i);
	}
	assert_gp(isa_enclu_check(&f->encl, 0x40, true));
	assert_gp(isa_enclu_check(&f->encl, 0x40, false));
}

/* What the page tables say is asked outside of it only. */
static void a_direct_map_is_believed(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	const uint64_t frame = FIXTURE_SECTION_PAGES, la = 0xffff800000000000;
	const uint64_t size = 2 * SGX_PAGE_SIZE;

	f->os.direct_map = (struct isa_direct_map){ .la = la, .pa = FIXTURE_PA1, .size = size };
	f->os.rbx = PT_VA;
	f->os.rcx = la + SGX_PAGE_SIZE;
	assert_done(isa_encls(&f->os, ISA_ENCLS_EPA));
	assert_true(isa_epcm_peek(f->m, frame + 1).valid);
	assert_false(isa_epcm_peek(f->m, frame).valid);
	f->os.rcx = la + size;
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EPA), la + size);
	f->os.rcx = la - SGX_PAGE_SIZE;
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EPA), la - SGX_PAGE_SIZE);
	f->os.rcx = isa_fixture_la(f, frame);
	assert_done(isa_encls(&f->os, ISA_ENCLS_EPA));
	f->os.rcx = FIXTURE_HOLE;
	assert_ordinary_pf(isa_encls(&f->os, ISA_ENCLS_EPA), FIXTURE_HOLE);

	f->os.direct_map.pa = FIXTURE_PA1 + FIXTURE_SECTION_PAGES * SGX_PAGE_SIZE;
	f->os.rcx = la;
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EPA), la);		/* no EPC behind it */
	isa_fixture_destroy(f);
}

static void unknown_leaves_fault(void **state)
{
	struct isa_fixture *f = *state;
	unsigned int nr_encls = 0, nr_enclu = 0;

	for (uint32_t leaf = 0; leaf < 0x200; leaf++) {
		if (!isa_leaf_name(ISA_ENCLS, leaf)) {
			assert_gp(isa_encls(&f->os, leaf));
			nr_encls++;
		}
		if (!isa_leaf_name(ISA_ENCLU, leaf)) {
			assert_gp(isa_enclu(&f->encl, leaf));
			nr_enclu++;
		}
	}
	assert_int_equal(nr_encls, 0x200 - nr_known(ISA_ENCLS));
	assert_int_equal(nr_enclu, 0x200 - nr_known(ISA_ENCLU));
	assert_gp(isa_encls(&f->os, UINT32_MAX));
	assert_gp(isa_enclu(&f->encl, UINT32_MAX));
}

/* Pointed at ordinary memory, each leaf says that its operand is no EPC. */
static void known_leaves_are_reached(void **state)
{
	struct isa_fixture *f = *state;
	const uint64_t ram = (uintptr_t)f->page;

	f->os.rbx = f->os.rcx = f->os.rdx = ram;
	assert_epf(isa_encls(&f->os, ISA_ENCLS_ECREATE), ram);
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EADD), ram);
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EINIT), ram);
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EREMOVE), ram);
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EDBGRD), ram);
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EDBGWR), ram);
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EEXTEND), ram);
	assert_epf(isa_encls(&f->os, ISA_ENCLS_ELDB), ram);
	assert_epf(isa_encls(&f->os, ISA_ENCLS_ELDU), ram);
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EBLOCK), ram);
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EWB), ram);
	assert_epf(isa_encls(&f->os, ISA_ENCLS_ETRACK), ram);
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EAUG), ram);
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EMODPR), ram);
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EMODT), ram);
	f->os.rbx = PT_VA;
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EPA), ram);
}

struct intercepted {
	const struct isa_lp *lp;
	enum isa_class class;
	uint32_t leaf;
	unsigned int nr_asked;
	bool answers;
};

static bool intercept(void *ctx, const struct isa_lp *lp, enum isa_class class, uint32_t leaf,
		      struct isa_outcome *out)
{
	struct intercepted *i = ctx;

	i->lp = lp;
	i->class = class;
	i->leaf = leaf;
	i->nr_asked++;
	if (i->answers)
		*out = isa_zf(SGX_ENCLAVE_ACT);
	return i->answers;
}

static void an_intercepted_leaf_does_nothing(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	struct intercepted i = { .answers = true };

	isa_fixture_start(f, NULL, 0);
	f->m->config.intercept = intercept;
	f->m->config.intercept_ctx = &i;
	f->m->config.observe = NULL;	/* no leaf ends like this by itself */
	assert_error(isa_fixture_eremove(f, FIXTURE_RW), SGX_ENCLAVE_ACT);
	assert_ptr_equal(i.lp, &f->os);
	assert_int_equal(i.class, ISA_ENCLS);
	assert_int_equal(i.leaf, ISA_ENCLS_EREMOVE);
	assert_true(isa_epcm_peek(f->m, FIXTURE_RW).valid);
	assert_error(isa_enclu(&f->encl, ISA_ENCLU_EGETKEY), SGX_ENCLAVE_ACT);
	assert_int_equal(i.class, ISA_ENCLU);
	assert_int_equal(i.leaf, ISA_ENCLU_EGETKEY);
	i.answers = false;
	assert_done(isa_fixture_eremove(f, FIXTURE_RW));
	assert_false(isa_epcm_peek(f->m, FIXTURE_RW).valid);
	assert_int_equal(i.nr_asked, 3);
	isa_fixture_destroy(f);
}

struct observed {
	enum isa_class class;
	uint32_t leaf, result;
	unsigned int nr_told;
};

static void observe(void *ctx, const struct isa_lp *lp, enum isa_class class, uint32_t leaf,
		    struct isa_outcome out)
{
	struct observed *o = ctx;

	*o = (struct observed){ class, leaf, isa_result(out), o->nr_told + 1 };
	(void)lp;
}

static void an_observer_is_told_how_leaves_end(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	struct intercepted i = { .answers = true };
	struct observed o = { 0 };

	isa_fixture_start(f, NULL, 0);
	f->m->config.observe = observe;
	f->m->config.observe_ctx = &o;
	assert_error(isa_fixture_eremove(f, FIXTURE_SECS), SGX_CHILD_PRESENT);
	assert_int_equal(o.class, ISA_ENCLS);
	assert_int_equal(o.leaf, ISA_ENCLS_EREMOVE);
	assert_string_equal(isa_result_name(o.result), "SGX_CHILD_PRESENT");
	assert_gp(isa_enclu(&f->encl, ISA_ENCLU_EGETKEY));
	assert_int_equal(o.class, ISA_ENCLU);
	assert_int_equal(o.leaf, ISA_ENCLU_EGETKEY);
	assert_string_equal(isa_result_name(o.result), "#GP");
	f->m->config.intercept = intercept;
	f->m->config.intercept_ctx = &i;
	assert_error(isa_fixture_eremove(f, FIXTURE_RW), SGX_ENCLAVE_ACT);
	assert_string_equal(isa_result_name(o.result), "SGX_ENCLAVE_ACT");
	assert_gp(isa_encls(&f->os, 0x1ff));
	assert_int_equal(o.nr_told, 3);
	isa_fixture_destroy(f);
	(void)state;
}

/* A table entry for each leaf, with names and ways to end. */
static void leaves_are_listed(void **state)
{
	const struct isa_leaf_info *leaf;
	size_t i;

	for (i = 0; (leaf = isa_leaf_at(i)); i++) {
		assert_ptr_equal(isa_leaf_find(leaf->name), leaf);
		assert_string_equal(isa_leaf_name(leaf->class, leaf->number), leaf->name);
		assert_true(leaf->gate_bit && !(leaf->gate_bit & (leaf->gate_bit - 1)));
		assert_int_equal(leaf->results[0], ISA_RESULT(ISA_DONE, 0));
		for (size_t j = 0; j < leaf->nr_results; j++) {
			const uint32_t r = leaf->results[j];

			assert_string_not_equal(isa_result_name(r), "?");
			/* Codes come from leaves that report in RAX. */
			if (!leaf->reports_status)
				assert_true(isa_result_kind(r) != ISA_ERROR &&
					    isa_result_kind(r) != ISA_INFO);
		}
	}
	assert_true(i >= 10);
	assert_null(isa_leaf_find("EFOO"));
	(void)state;
}

static void results_have_names(void **state)
{
	const struct isa_outcome pf = { .kind = ISA_FAULT, .vector = X86_PF, .error_code = 7 };
	const struct isa_outcome epf = { .kind = ISA_FAULT, .vector = X86_PF,
					 .error_code = 7 | PFEC_SGX };

	assert_string_equal(isa_result_name(isa_result(isa_ok())), "done");
	assert_string_equal(isa_result_name(isa_result(isa_ud())), "#UD");
	assert_string_equal(isa_result_name(isa_result(pf)), "#PF");
	assert_string_equal(isa_result_name(isa_result(epf)), "#PF(SGX)");
	assert_string_equal(isa_result_name(isa_result(isa_zf(SGX_CHILD_PRESENT))),
			    "SGX_CHILD_PRESENT");
	assert_string_equal(isa_class_name(ISA_ENCLV), "ENCLV");
	(void)state;
}

static void what_reaches_no_leaf_is_not_intercepted(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	struct intercepted i = { .answers = true };

	f->m->config.intercept = intercept;
	f->m->config.intercept_ctx = &i;
	assert_gp(isa_encls(&f->os, 0x1ff));
	f->os.cpl = 3;
	assert_ud(isa_encls(&f->os, ISA_ENCLS_EREMOVE));
	assert_gp(isa_enclu(&f->encl, ISA_ENCLU_EGETKEY));
	assert_int_equal(i.nr_asked, 0);
	isa_fixture_destroy(f);
}

static void faults_of_the_supervisor_carry_no_user_bit(void **state)
{
	struct isa_fixture *f = *state;

	f->os.rcx = (uintptr_t)f->page;
	assert_int_equal(isa_encls(&f->os, ISA_ENCLS_EREMOVE).error_code,
			 PFEC_P | PFEC_W | PFEC_SGX);
}

static void enclave_leaves_fault_outside_an_enclave(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	const uint64_t outside[] = { ISA_NO_FRAME, FIXTURE_NR_FRAMES, FIXTURE_FREE, FIXTURE_RW };

	isa_fixture_start(f, NULL, 0);
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		f->encl.secs_frame = outside[i];
		f->encl.rbx = f->encl.rcx = f->encl.rdx = FIXTURE_BASE + 0x2000;
		assert_true(is_gp(isa_enclu(&f->encl, ISA_ENCLU_EREPORT)));
		assert_true(is_gp(isa_enclu(&f->encl, ISA_ENCLU_EGETKEY)));
	}
	isa_fixture_destroy(f);
	(void)state;
}

/* They change the whole register file, which isa_enclu() does not have. */
static void entry_and_exit_are_other_functions(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_start(f, NULL, 0);
	assert_gp(isa_enclu(&f->encl, ISA_ENCLU_EEXIT));
	assert_gp(isa_enclu(&f->encl, ISA_ENCLU_EDECCSSA));
	f->encl.secs_frame = ISA_NO_FRAME;
	assert_gp(isa_enclu(&f->encl, ISA_ENCLU_EENTER));
	assert_gp(isa_enclu(&f->encl, ISA_ENCLU_ERESUME));
	isa_fixture_destroy(f);
	(void)state;
}

static void an_uninitialized_enclave_cannot_be_active(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_build(f, NULL);
	f->encl.secs_frame = FIXTURE_SECS;
	memset(isa_fixture_contents(f, FIXTURE_RW), 0, SGX_PAGE_SIZE);
	f->encl.rbx = FIXTURE_BASE + 0x2000;
	f->encl.rcx = FIXTURE_BASE + 0x2000;
	assert_gp(isa_enclu(&f->encl, ISA_ENCLU_EGETKEY));
	isa_fixture_sigstruct(f, NULL, 0);
	assert_done(isa_fixture_einit(f, FIXTURE_SECS, &f->sig, NULL));
	assert_error(isa_enclu(&f->encl, ISA_ENCLU_EGETKEY), SGX_INVALID_ATTRIBUTE);
	isa_fixture_destroy(f);
	(void)state;
}

static void entry_inside_an_enclave_faults(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_start(f, NULL, 0);
	assert_gp(isa_enclu(&f->encl, ISA_ENCLU_EENTER));
	assert_gp(isa_enclu(&f->encl, ISA_ENCLU_ERESUME));
	isa_fixture_destroy(f);
	(void)state;
}

/* Each row spoils one thing more than what ENCLV needs; the earliest check decides. */
static void enclv_is_for_a_vmm(void **state)
{
	struct isa_fixture *f = isa_fixture_create("server");
	struct isa_lp *lp = &f->os;

	lp->mode = ISA_MODE_NO_PAGING;
	lp->feature_control = 0;
	lp->vmx = (struct isa_vmx){
		.operation = ISA_VMX_GUEST, .enclv_exiting = true, .enclv_bitmap = 1ull << 63,
	};
	f->m->config.profile = isa_profile_find("sgx2-client");
	assert_ud(isa_enclv(lp, 64));					/* 2 */
	f->m->config.profile = isa_profile_find("server");
	lp->mode |= ISA_MODE_SMM;
	assert_ud(isa_enclv(lp, 64));					/* 2 */
	lp->mode = ISA_MODE_NO_PAGING | ISA_MODE_32;
	assert_ud(isa_enclv(lp, 64));					/* 3 */
	lp->mode = ISA_MODE_NO_PAGING;
	lp->cpl = 3;
	assert_ud(isa_enclv(lp, 64));					/* 4 */
	lp->cpl = 0;
	lp->vmx.enclv_exiting = false;
	assert_ud(isa_enclv(lp, 64));					/* 5 */
	lp->vmx.enclv_exiting = true;
	assert_int_equal(isa_enclv(lp, 64).kind, ISA_VMEXIT);		/* 6 */
	assert_int_equal(lp->vmexit.reason, VMX_EXIT_ENCLV);
	assert_gp(isa_enclv(lp, ISA_ENCLV_EINCVIRTCHILD));		/* 7 */
	lp->feature_control = f->encl.feature_control;
	assert_gp(isa_enclv(lp, 3));					/* 8 */
	assert_gp(isa_enclv(lp, ISA_ENCLV_EINCVIRTCHILD));		/* 9 */
	lp->mode = 0;
	lp->rbx = lp->rcx = (uintptr_t)f->page;
	assert_epf(isa_enclv(lp, ISA_ENCLV_EINCVIRTCHILD), lp->rbx);
	lp->vmx.operation = ISA_VMX_OFF;
	assert_ud(isa_enclv(lp, ISA_ENCLV_EINCVIRTCHILD));		/* 3 */
	lp->vmx = (struct isa_vmx){ .operation = ISA_VMX_ROOT, .enclv_bitmap = UINT64_MAX };
	assert_epf(isa_enclv(lp, ISA_ENCLV_EINCVIRTCHILD), lp->rbx);
	isa_fixture_destroy(f);
	(void)state;
}

/* The exit comes after the undefined cases and before everything else. */
static void encls_exits_to_a_vmm_that_asked(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	struct isa_lp *lp = &f->os;

	lp->vmx = (struct isa_vmx){
		.operation = ISA_VMX_GUEST, .encls_exiting = true,
		.encls_bitmap = 1ull << 63 | 1ull << ISA_ENCLS_EREMOVE,
	};
	lp->feature_control = 0;
	assert_int_equal(isa_encls(lp, ISA_ENCLS_EREMOVE).kind, ISA_VMEXIT);
	assert_int_equal(lp->vmexit.reason, VMX_EXIT_ENCLS);
	assert_int_equal(isa_encls(lp, UINT32_MAX).kind, ISA_VMEXIT);
	assert_string_equal(isa_result_name(isa_result(isa_encls(lp, 64))), "exit ENCLS");
	assert_gp(isa_encls(lp, ISA_ENCLS_EADD));
	lp->cpl = 3;
	assert_ud(isa_encls(lp, ISA_ENCLS_EREMOVE));
	lp->cpl = 0;
	lp->vmx.encls_exiting = false;
	assert_gp(isa_encls(lp, ISA_ENCLS_EREMOVE));
	lp->vmx.encls_exiting = true;
	lp->vmx.operation = ISA_VMX_ROOT;
	assert_gp(isa_encls(lp, ISA_ENCLS_EREMOVE));
	isa_fixture_destroy(f);
	(void)state;
}

static void names_are_the_manuals(void **state)
{
	assert_string_equal(isa_error_name(0), "SGX_SUCCESS");
	assert_string_equal(isa_error_name(13), "SGX_CHILD_PRESENT");
	assert_string_equal(isa_error_name(256), "SGX_INVALID_KEYNAME");
	assert_string_equal(isa_error_name(22), "?");
	assert_string_equal(isa_vector_name(14), "#PF");
	assert_string_equal(isa_vector_name(21), "#CP");
	assert_string_equal(isa_vector_name(2), "?");
	assert_string_equal(isa_leaf_name(ISA_ENCLS, 6), "EEXTEND");
	assert_string_equal(isa_leaf_name(ISA_ENCLU, 3), "ERESUME");
	assert_string_equal(isa_leaf_name(ISA_ENCLV, 2), "ESETCONTEXT");
	assert_null(isa_leaf_name(ISA_ENCLV, 3));
	assert_null(isa_leaf_name(ISA_ENCLS, 0x14));
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encls_is_undefined_above_ring_0),
		cmocka_unit_test(enclu_is_undefined_below_ring_3),
		cmocka_unit_test(everything_is_undefined_without_sgx1),
		cmocka_unit_test(everything_faults_until_opted_in),
		cmocka_unit_test(modes_fault_by_the_table),
		cmocka_unit_test(privilege_is_checked_in_its_place),
		cmocka_unit_test(enclu_leaves_keep_to_their_side),
		cmocka_unit_test(a_direct_map_is_believed),
		cmocka_unit_test(unknown_leaves_fault),
		cmocka_unit_test(known_leaves_are_reached),
		cmocka_unit_test(an_intercepted_leaf_does_nothing),
		cmocka_unit_test(what_reaches_no_leaf_is_not_intercepted),
		cmocka_unit_test(an_observer_is_told_how_leaves_end),
		cmocka_unit_test(leaves_are_listed),
		cmocka_unit_test(results_have_names),
		cmocka_unit_test(faults_of_the_supervisor_carry_no_user_bit),
		cmocka_unit_test(enclave_leaves_fault_outside_an_enclave),
		cmocka_unit_test(entry_and_exit_are_other_functions),
		cmocka_unit_test(an_uninitialized_enclave_cannot_be_active),
		cmocka_unit_test(entry_inside_an_enclave_faults),
		cmocka_unit_test(enclv_is_for_a_vmm),
		cmocka_unit_test(encls_exits_to_a_vmm_that_asked),
		cmocka_unit_test(names_are_the_manuals),
	};

	return cmocka_run_group_tests_name("dispatch", tests, isa_fixture_setup,
					   isa_fixture_teardown);
}
