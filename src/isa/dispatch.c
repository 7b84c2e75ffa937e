/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ENCLS, ENCLU and ENCLV: the one place each that every leaf goes through,
 * driven by leaves.def.  Transactions and branch tracking are left to whoever
 * has them: they come before everything here.
 *
 * Source: SDM, ENCLS, ENCLU and ENCLV, Operation.
 */
#include "internal.h"

typedef struct isa_outcome leaf_handler(struct isa_lp *lp);

struct leaf {
	leaf_handler *run;
	uint32_t gate;		/* bit of CPUID.12H.0:EAX; 0: no such leaf */
};

/* Leaves of isa_enclu_check() work on a view and have another signature. */
#define RUN(handler) _Generic(&(handler), leaf_handler *: (handler), default: NULL)

#define NONE_OF(nr, handler, gate_)
#define ENTRY(nr, handler, gate_) [nr] = { .run = RUN(handler), .gate = CPUID_12_0_EAX_##gate_ },

static const struct leaf encls_leaves[] = {
#define IF_ENCLS ENTRY
#define IF_ENCLU NONE_OF
#define IF_ENCLV NONE_OF
#define LEAF(class, nr, name, handler, gate, ...) IF_##class(nr, handler, gate)
#include <swsgx/leaves.def>
#undef IF_ENCLS
#undef IF_ENCLU
};

static const struct leaf enclu_leaves[] = {
#define IF_ENCLS NONE_OF
#define IF_ENCLU ENTRY
#include <swsgx/leaves.def>
#undef IF_ENCLU
#undef IF_ENCLV
};

static const struct leaf enclv_leaves[] = {
#define IF_ENCLU NONE_OF
#define IF_ENCLV ENTRY
#include <swsgx/leaves.def>
#undef LEAF
};

#define NR(table) (sizeof(table) / sizeof((table)[0]))

/* NULL when this part has no such leaf. */
static const struct leaf *find(const struct leaf *leaves, size_t nr_leaves, uint32_t eax,
			       uint32_t cpuid_12_0_eax)
{
	if (eax >= nr_leaves || !(leaves[eax].gate & cpuid_12_0_eax))
		return NULL;
	return &leaves[eax];
}

/* Has firmware, or the kernel, opted in to SGX? */
static bool is_enabled(const struct isa_lp *lp)
{
	const uint64_t both = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_SGX_ENABLE;

	return (lp->feature_control & both) == both;
}

/* A leaf that succeeded fixes the SVN status of this power cycle. */
static void lock_svn(struct isa_machine *m, struct isa_outcome out)
{
	if ((out.kind == ISA_DONE || out.kind == ISA_INFO) &&
	    !atomic_load_explicit(&m->svn_is_locked, memory_order_relaxed))
		atomic_store_explicit(&m->svn_is_locked, true, memory_order_relaxed);
}

static struct isa_outcome run_leaf(struct isa_lp *lp, const struct leaf *leaf)
{
	const struct isa_outcome out = leaf->run(lp);

	lock_svn(lp->m, out);
	return out;
}

/* What the owner of the machine puts in the place of a leaf comes first. */
static __attribute__((noinline))
struct isa_outcome run_watched(struct isa_lp *lp, enum isa_class class, uint32_t eax,
			       const struct leaf *leaf)
{
	const struct isa_config *config = &lp->m->config;
	struct isa_outcome out;

	if (!config->intercept || !config->intercept(config->intercept_ctx, lp, class, eax, &out))
		out = run_leaf(lp, leaf);
	if (config->observe)
		config->observe(config->observe_ctx, lp, class, eax, out);
	return out;
}

/*
 * Every leaf that gets this far.  Kept apart from those that somebody watches, whose
 * outcome has to be in memory: loading an enclave is many short leaves.
 */
static inline __attribute__((always_inline))
struct isa_outcome run(struct isa_lp *lp, enum isa_class class, uint32_t eax,
		       const struct leaf *leaf)
{
	if (__builtin_expect(lp->m->config.intercept || lp->m->config.observe, 0))
		return run_watched(lp, class, eax, leaf);
	return run_leaf(lp, leaf);
}

static uint32_t features_of(const struct isa_lp *lp)
{
	return lp->m->config.profile->cpuid_12_0_eax;
}

static bool is_undefined_mode(const struct isa_lp *lp)
{
	return lp->mode & (ISA_MODE_REAL | ISA_MODE_VM86 | ISA_MODE_SMM);
}

static bool is_32_with(const struct isa_lp *lp, enum isa_mode what)
{
	return (lp->mode & ISA_MODE_32) && (lp->mode & what);
}

/* Did the VMM ask for the exit of leaf @eax?  The last bit stands for all above it. */
static bool is_intercepted(uint64_t bitmap, uint32_t eax)
{
	return bitmap >> (eax < 63 ? eax : 63) & 1;
}

static struct isa_outcome leaf_exit(struct isa_lp *lp, uint8_t reason)
{
	lp->vmexit = (struct isa_vmexit){ .reason = reason };
	return isa_vmexit(reason, 0);
}

struct isa_outcome isa_encls(struct isa_lp *lp, uint32_t eax)
{
	const uint32_t features = features_of(lp);
	const struct leaf *leaf;

	if (is_undefined_mode(lp) || !(features & CPUID_12_0_EAX_SGX1))
		return isa_ud();					/* 2 */
	if (lp->cpl > 0)
		return isa_ud();					/* 3 */
	if (lp->vmx.operation == ISA_VMX_GUEST && lp->vmx.encls_exiting &&
	    is_intercepted(lp->vmx.encls_bitmap, eax))
		return leaf_exit(lp, VMX_EXIT_ENCLS);			/* 4 */
	if (!is_enabled(lp))
		return isa_gp();					/* 5 */
	leaf = find(encls_leaves, NR(encls_leaves), eax, features);
	if (!leaf)
		return isa_gp();					/* 6 */
	if ((lp->mode & ISA_MODE_NO_PAGING) || is_32_with(lp, ISA_MODE_DS_DOWN))
		return isa_gp();					/* 7, 8 */
	return run(lp, ISA_ENCLS, eax, leaf);				/* 9 */
}

/*
 * Whoever says which enclave is active is not trusted to be right: only an
 * initialized enclave can have been entered.
 */
static bool in_enclave_mode(struct isa_lp *lp)
{
	struct isa_machine *m = lp->m;
	struct sgx_secs *secs;

	if (lp->secs_frame >= m->nr_frames || !isa_epcm_is_secs(&m->epcm[lp->secs_frame]))
		return false;
	secs = isa_epc_page(m, &m->epcm[lp->secs_frame]);
	return atomic_load_explicit(&isa_secs_state(secs)->initialized, memory_order_acquire);
}

static bool is_entry(uint32_t eax)
{
	return eax == ISA_ENCLU_EENTER || eax == ISA_ENCLU_ERESUME;
}

struct isa_outcome isa_enclu_check(const struct isa_lp *lp, uint32_t eax, bool inside)
{
	const uint32_t features = features_of(lp);

	if (is_undefined_mode(lp) || !(features & CPUID_12_0_EAX_SGX1))
		return isa_ud();					/* 3 */
	if (lp->mode & ISA_MODE_TS)
		return isa_fault(X86_NM);				/* 4 */
	if (lp->cpl < 3)
		return isa_ud();					/* 5 */
	if (!is_enabled(lp))
		return isa_gp();					/* 6 */
	if (!find(enclu_leaves, NR(enclu_leaves), eax, features))
		return isa_gp();					/* 7 */
	if (lp->mode & (ISA_MODE_NO_PAGING | ISA_MODE_NO_NE))
		return isa_gp();					/* 8 */
	if (is_32_with(lp, ISA_MODE_CODE16))
		return isa_gp();					/* 9 */
	if (is_entry(eax) == inside)
		return isa_gp();					/* 10, 11 */
	return isa_ok();
}

struct isa_outcome isa_enclu(struct isa_lp *lp, uint32_t eax)
{
	const struct isa_outcome out = isa_enclu_check(lp, eax, in_enclave_mode(lp));

	if (!isa_is_done(out))
		return out;
	/* Those that need the register file: isa_eenter() and its kin. */
	if (!enclu_leaves[eax].run)
		return isa_gp();
	return run(lp, ISA_ENCLU, eax, &enclu_leaves[eax]);		/* 12 */
}

struct isa_outcome isa_enclv(struct isa_lp *lp, uint32_t eax)
{
	const struct isa_vmx *vmx = &lp->vmx;
	const struct leaf *leaf;

	if (is_undefined_mode(lp) || !(features_of(lp) & CPUID_12_0_EAX_ENCLV))
		return isa_ud();					/* 2 */
	if (vmx->operation == ISA_VMX_OFF || (lp->mode & ISA_MODE_32))
		return isa_ud();					/* 3 */
	if (lp->cpl > 0)
		return isa_ud();					/* 4 */
	if (vmx->operation == ISA_VMX_GUEST && !vmx->enclv_exiting)
		return isa_ud();					/* 5 */
	if (vmx->operation == ISA_VMX_GUEST && is_intercepted(vmx->enclv_bitmap, eax))
		return leaf_exit(lp, VMX_EXIT_ENCLV);			/* 6 */
	if (!is_enabled(lp))
		return isa_gp();					/* 7 */
	leaf = find(enclv_leaves, NR(enclv_leaves), eax, features_of(lp));
	if (!leaf)
		return isa_gp();					/* 8 */
	if (lp->mode & ISA_MODE_NO_PAGING)
		return isa_gp();					/* 9 */
	return run(lp, ISA_ENCLV, eax, leaf);
}

void isa_lp_init(struct isa_lp *lp, struct isa_machine *m, const struct isa_mmu *mmu,
		 void *mmu_ctx, uint8_t cpl)
{
	*lp = (struct isa_lp){
		.m = m,
		.mmu = mmu,
		.mmu_ctx = mmu_ctx,
		.cpl = cpl,
		.secs_frame = ISA_NO_FRAME,
	};
	isa_msr_reset(lp);
	lp->feature_control = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_SGX_ENABLE;
	if (m->config.profile->launch_control)
		lp->feature_control |= FEATURE_CONTROL_SGX_LC_ENABLE;
}
