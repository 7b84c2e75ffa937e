/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The processor: EPC, EPCM, leaf functions and keys, as a library.
 *
 * A *machine* holds what belongs to the package: EPC sections, the EPCM, the
 * launch-key hash and the secrets keys derive from.  A *logical processor*
 * (struct isa_lp) executes leaves on it.  The library reads clocks, files and
 * environment never, keeps no globals, and allocates only in
 * isa_machine_create().
 *
 * Entry and exit (EENTER, ERESUME, EEXIT, AEX) must not need the machine: the
 * process that runs an enclave executes them by itself, on a view of the
 * enclave that the machine's owner shares with it (struct isa_encl_view).
 */
#ifndef SWSGX_ISA_H
#define SWSGX_ISA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <swsgx/arch.h>

/*
 * Version of this interface: one more with each change that programs written for
 * it notice.  isa_version() is the library's.
 */
#define SWSGX_ISA_VERSION 1u

uint32_t isa_version(void);

/* --- outcomes ------------------------------------------------------------ */

enum sgx_error {
#define ERR(name, value) name = value,
#include <swsgx/errors.def>
#undef ERR
};

enum isa_class { ISA_ENCLS, ISA_ENCLU, ISA_ENCLV };

enum isa_leaf {
#define LEAF(class, nr, name, ...) ISA_##class##_##name = nr,
#include <swsgx/leaves.def>
#undef LEAF
};

enum isa_outcome_kind {
	ISA_DONE,	/* retired; a status leaf leaves RAX = 0, ZF = CF = 0 */
	ISA_ERROR,	/* retired; RAX = code, ZF = 1 */
	ISA_INFO,	/* retired; RAX = code, CF = 1 */
	ISA_FAULT,	/* did not retire: vector, error_code, address */
	ISA_VMEXIT,	/* did not retire: lp->vmexit; only with VMX set up in @lp */
};

/*
 * What executing one leaf did: architecture, never errno.  16 bytes, so that it
 * travels in two registers.
 */
struct isa_outcome {
	enum isa_outcome_kind kind : 8;
	uint8_t vector;		/* ISA_FAULT: an enum x86_vector; ISA_VMEXIT: the reason */
	uint16_t error_code;	/* ISA_FAULT: 0, or PFEC_* for #PF */
	uint32_t code;		/* ISA_ERROR, ISA_INFO: an enum sgx_error;
				 * ISA_VMEXIT: of SGX_CONFLICT, the qualification */
	uint64_t address;	/* ISA_FAULT with X86_PF: the linear address */
};

static inline bool isa_is_done(struct isa_outcome o)
{
	return o.kind == ISA_DONE;
}

/**
 * isa_error_name() - the manual's name of a code, "?" for an unknown one.
 * Context: any; returns a string constant.
 */
const char *isa_error_name(uint32_t code);

/** isa_vector_name() - "#GP", "#PF", ...; "?" for an unknown vector. */
const char *isa_vector_name(uint8_t vector);

/** isa_leaf_name() - "ECREATE" ...; NULL when the leaf does not exist. */
const char *isa_leaf_name(enum isa_class class, uint32_t leaf);

/** isa_class_name() - "ENCLS", "ENCLU" or "ENCLV". */
const char *isa_class_name(enum isa_class class);

/*
 * One way a leaf can end, as a number: its kind, and the vector or code.  A #PF
 * with the SGX bit is another way than one without; addresses do not count.
 */
#define ISA_RESULT(kind, number) ((uint32_t)(kind) << 16 | (number))

/** isa_result() - the way @out is. */
uint32_t isa_result(struct isa_outcome out);

/** isa_result_kind() - the kind it was made of. */
static inline enum isa_outcome_kind isa_result_kind(uint32_t result)
{
	return (enum isa_outcome_kind)(result >> 16);
}

/**
 * isa_result_name() - "done", "#GP", "#PF", "#PF(SGX)" or the manual's name of the code.
 * Context: any; returns a string constant.
 */
const char *isa_result_name(uint32_t result);

/* A line of leaves.def. */
struct isa_leaf_info {
	enum isa_class class;
	uint32_t number;
	const char *name;
	const char *gate;		/* name of the feature it comes with */
	uint32_t gate_bit;		/* which is this bit of CPUID.12H.0:EAX */
	const char *operand[3];		/* in RBX, RCX, RDX; "NONE": not used */
	bool reports_status;		/* in RAX and RFLAGS; false: it is done, or faults */
	const uint32_t *results;	/* every way it can end */
	size_t nr_results;
};

/** isa_leaf_at() - the @i-th leaf this library executes; NULL past the last. */
const struct isa_leaf_info *isa_leaf_at(size_t i);

/** isa_leaf_find() - by the manual's name, as "EREMOVE"; NULL when there is none. */
const struct isa_leaf_info *isa_leaf_find(const char *name);

/* --- profiles: what a part can do ---------------------------------------- */

struct isa_profile {
	const char *name;
	const char *summary;	/* one line for a person */
	uint32_t cpuid_12_0_eax; /* SGX1 is bit 0 */
	uint32_t miscselect;	/* CPUID.12H.0:EBX, allowed-1 */
	uint8_t max_size_32;	/* log2, CPUID.12H.0:EDX[7:0] */
	uint8_t max_size_64;	/* log2, CPUID.12H.0:EDX[15:8] */
	uint64_t attributes;	/* CPUID.12H.1 EBX:EAX, allowed-1 */
	uint64_t xfrm;		/* CPUID.12H.1 EDX:ECX, allowed-1 */
	bool launch_control;	/* SGX_LC: the hash MSRs exist and can be written */
	uint64_t epc_size;	/* bytes such a part comes with; a machine may have others */
	uint8_t cpusvn[16];
};

/** isa_profile_find() - a built-in profile by name; NULL when there is none. */
const struct isa_profile *isa_profile_find(const char *name);

/** isa_profile_at() - the @i-th built-in profile, NULL past the last; 0 is the default. */
const struct isa_profile *isa_profile_at(size_t i);

/* --- machine ------------------------------------------------------------- */

#define ISA_NO_FRAME UINT64_MAX

struct isa_lp;

struct isa_section {
	uint64_t pa;		/* physical base, page aligned */
	uint64_t nr_pages;	/* > 0 */
	unsigned int node;	/* NUMA node, recorded for the manager */
};

struct isa_config {
	const struct isa_profile *profile;
	const struct isa_section *sections; /* copied; must not overlap */
	size_t nr_sections;	/* > 0 */
	uint64_t xcr0;		/* of the host; XFRM is limited to it */
	uint32_t xsave_size[64]; /* [i] = end (offset + size) of XSAVE component i
				  * >= 2 in the standard format, 0 when absent */
	uint8_t seed[32];	/* the package secret every key derives from */
	uint8_t owner_epoch[16];
	uint8_t boot_random[32]; /* REPORT_KEYID and the paging key of this power cycle */
	/*
	 * Where the contents of a frame are: 4096 bytes, page aligned, valid
	 * until the frame is EREMOVEd or written out.  Frames are numbered from 0 through the
	 * sections in order.  Called with any frame, from any thread.
	 */
	void *(*epc_page)(void *ctx, uint64_t frame);
	void *ctx;
	/*
	 * Asked before each ENCLS leaf and each in-enclave ENCLU leaf that the
	 * part has and the processor's mode allows.  True: @out is the outcome,
	 * and the leaf does nothing.  From any thread; NULL: no leaf is
	 * intercepted.  Entry and exit run on a view and never get here.
	 */
	bool (*intercept)(void *ctx, const struct isa_lp *lp, enum isa_class class,
			  uint32_t leaf, struct isa_outcome *out);
	void *intercept_ctx;
	/*
	 * Told how each leaf ended that @intercept was, or would have been, asked
	 * about.  From any thread, after the leaf; NULL: nobody is told.
	 */
	void (*observe)(void *ctx, const struct isa_lp *lp, enum isa_class class,
			uint32_t leaf, struct isa_outcome out);
	void *observe_ctx;
};

struct isa_machine;

/**
 * isa_machine_create() - power on a machine whose EPC is unused.
 * @config: copied, apart from what @profile and @ctx point to.
 * @out: set on success only; the caller's until isa_machine_destroy().
 * Return: 0; -EINVAL config out of its ranges; -ENOMEM.
 */
int isa_machine_create(const struct isa_config *config, struct isa_machine **out);

/** isa_machine_destroy() - NULL is fine.  No leaf may be running. */
void isa_machine_destroy(struct isa_machine *m);

/** isa_machine_frame() - frame number of physical address @pa, or ISA_NO_FRAME. */
uint64_t isa_machine_frame(const struct isa_machine *m, uint64_t pa);

/** isa_machine_pa() - physical address of @frame, which must exist. */
uint64_t isa_machine_pa(const struct isa_machine *m, uint64_t frame);

/** isa_machine_nr_frames() - all sections together. */
uint64_t isa_machine_nr_frames(const struct isa_machine *m);

const struct isa_profile *isa_machine_profile(const struct isa_machine *m);

/**
 * isa_sha256() - digest of @n bytes at @data, as EINIT computes MRSIGNER.
 * For whoever sets the launch-key hash.  Context: any thread; allocates nothing.
 */
void isa_sha256(const void *data, size_t n, uint8_t digest[32]);

/* A software-visible copy of one EPCM entry. */
struct isa_epcm_info {
	bool valid;
	uint8_t pt;		/* enum sgx_page_type */
	uint8_t rwx;		/* SECINFO_R | _W | _X */
	bool blocked, pending, modified, pr;
	uint64_t enclaveaddress;
	uint64_t secs_frame;	/* owner; ISA_NO_FRAME for SECS and VA */
};

/**
 * isa_epcm_peek() - look at an entry without executing a leaf.
 * Not architecture: for the leak ledger, debuggers and tests.  Consistent when
 * no leaf works on the page.
 */
struct isa_epcm_info isa_epcm_peek(const struct isa_machine *m, uint64_t frame);

/* --- logical processor executing ENCLS and in-enclave ENCLU -------------- */

/*
 * How a logical processor sees memory.  @translate answers the physical
 * address when @la resolves to EPC, ISA_NO_FRAME otherwise; it may refuse an
 * access by filling @fault (an ordinary #PF) and returning false.
 * @read and @write move ordinary (non-EPC) memory; false means #PF at
 * fault->address.
 */
struct isa_mmu {
	bool (*translate)(void *ctx, uint64_t la, bool write, uint64_t *pa,
			  struct isa_outcome *fault);
	bool (*read)(void *ctx, uint64_t la, void *dst, size_t n,
		     struct isa_outcome *fault);
	bool (*write)(void *ctx, uint64_t la, const void *src, size_t n,
		      struct isa_outcome *fault);
};

/*
 * What a processor's mode makes of SGX instructions.  None of it is the case
 * for 64-bit code under an ordinary operating system.
 */
enum isa_mode {
	ISA_MODE_REAL = 1 << 0,		/* CR0.PE = 0 */
	ISA_MODE_VM86 = 1 << 1,		/* RFLAGS.VM = 1 */
	ISA_MODE_SMM = 1 << 2,
	ISA_MODE_TS = 1 << 3,		/* CR0.TS = 1 */
	ISA_MODE_NO_NE = 1 << 4,	/* CR0.NE = 0 */
	ISA_MODE_NO_PAGING = 1 << 5,	/* CR0.PG = 0 */
	ISA_MODE_NO_OSFXSR = 1 << 6,	/* CR4.OSFXSR = 0 */
	ISA_MODE_32 = 1 << 7,		/* not 64-bit mode: compatibility mode, or LMA = 0 */
	ISA_MODE_CODE16 = 1 << 8,	/* with ISA_MODE_32: CS.D = 0 */
	ISA_MODE_DS_DOWN = 1 << 9,	/* with ISA_MODE_32: DS is expand-down */
};

enum isa_vmx_operation { ISA_VMX_OFF, ISA_VMX_ROOT, ISA_VMX_GUEST };

/* What a VMM has set up for this processor: the VM-execution controls of SGX. */
struct isa_vmx {
	enum isa_vmx_operation operation;
	bool encls_exiting, enclv_exiting;
	bool epc_virtualization;	/* "EPC virtualization extensions" */
	uint64_t encls_bitmap, enclv_bitmap;
};

/* What the VMM finds after ISA_VMEXIT. */
struct isa_vmexit {
	uint32_t reason;		/* VMX_EXIT_* */
	uint32_t qualification;		/* SGX_CONFLICT: enum sgx_conflict, error << 16 */
	uint64_t guest_linear;
	uint64_t guest_physical;	/* as translate() gave it */
};

/*
 * Linear addresses from @la on that resolve to physical ones from @pa on, whatever the
 * access: the direct map of a kernel.  There no leaf asks isa_mmu.translate, which would
 * say the same.  Size 0, as isa_lp_init() leaves it: there is none.
 */
struct isa_direct_map {
	uint64_t la, pa, size;
};

/* One logical processor; storage is the caller's, one thread at a time. */
struct isa_lp {
	struct isa_machine *m;
	const struct isa_mmu *mmu;
	void *mmu_ctx;
	struct isa_direct_map direct_map;
	uint32_t mode;			/* ISA_MODE_* */
	uint8_t cpl;			/* 0 for ENCLS, 3 for ENCLU */
	uint64_t feature_control;	/* IA32_FEATURE_CONTROL */
	uint64_t lepubkeyhash[4];	/* IA32_SGXLEPUBKEYHASH0..3 */
	uint64_t secs_frame;		/* active enclave, ISA_NO_FRAME outside */
	uint64_t rbx, rcx, rdx;		/* operands of the leaf */
	struct isa_vmx vmx;
	struct isa_vmexit vmexit;	/* of the last leaf that ended in ISA_VMEXIT */
};

/**
 * isa_lp_init() - @cpl 0 or 3, outside any enclave, MSRs as firmware leaves them:
 * IA32_FEATURE_CONTROL locked, with SGX (and launch control, where the profile
 * has it) enabled.
 */
void isa_lp_init(struct isa_lp *lp, struct isa_machine *m, const struct isa_mmu *mmu,
		 void *mmu_ctx, uint8_t cpl);

/* --- enumeration: CPUID and MSRs ------------------------------------------ */

struct isa_cpuid {
	uint32_t eax, ebx, ecx, edx;
};

/**
 * isa_cpuid() - what SGX changes in the answer of CPUID.
 * @regs: in: the answer of the processor without SGX; out: with it.  Leaf 0
 *        reaches up to 12H, 7.0 has the feature bits, 12H is replaced (.1 with
 *        what the host's XCR0 allows, .2 and up the EPC sections, then
 *        zeros); all other leaves stay as they are.
 * Context: any thread; reads only what isa_machine_create() fixed.
 */
void isa_cpuid(const struct isa_machine *m, uint32_t leaf, uint32_t subleaf,
	       struct isa_cpuid *regs);

/**
 * isa_rdmsr() - RDMSR of an MSR_* of arch.h.
 * @value: set on success only.
 * Return: ISA_DONE; #GP for an MSR that cannot be read on this part, and for
 * every MSR that is none of SGX.  That RDMSR needs CPL 0 is the caller's check.
 */
struct isa_outcome isa_rdmsr(const struct isa_lp *lp, uint32_t msr, uint64_t *value);

/**
 * isa_wrmsr() - WRMSR of an MSR_* of arch.h.
 * IA32_FEATURE_CONTROL and the hash MSRs are @lp's own; IA32_SGXOWNEREPOCH0 and 1
 * are the machine's, and keep their value once @lp has locked IA32_FEATURE_CONTROL.
 * Return: ISA_DONE; #GP for a read-only or locked MSR, a reserved bit, and for
 * every MSR that is none of SGX.
 */
struct isa_outcome isa_wrmsr(struct isa_lp *lp, uint32_t msr, uint64_t value);

/** isa_msr_reset() - @lp's own MSRs as after power-on: nothing enabled, nothing locked. */
void isa_msr_reset(struct isa_lp *lp);

/**
 * isa_wrmsr_lepubkeyhash() - write IA32_SGXLEPUBKEYHASH0..3 where this part lets
 * them be written; elsewhere EINIT goes on with what they hold.
 */
void isa_wrmsr_lepubkeyhash(struct isa_lp *lp, const uint64_t hash[4]);

/* --- leaves ---------------------------------------------------------------- */

/**
 * isa_encls() - execute ENCLS leaf @eax with lp->rbx, rcx, rdx.
 * The one place every ENCLS leaf goes through.  EDBGRD leaves what it read in
 * lp->rbx.
 * Context: any thread; leaves on different pages run in parallel, the loser of
 * a conflict gets what the manual's concurrency table says.
 * Source: SDM, ENCLS.
 */
struct isa_outcome isa_encls(struct isa_lp *lp, uint32_t eax);

/**
 * isa_enclu() - execute an in-enclave ENCLU leaf (EREPORT, EGETKEY, EACCEPT, ...) with
 * lp->rbx, rcx, rdx, in the enclave lp->secs_frame.  EENTER, ERESUME and EEXIT
 * change the whole register file: see isa_eenter() below.
 */
struct isa_outcome isa_enclu(struct isa_lp *lp, uint32_t eax);

/**
 * isa_enclu_check() - may ENCLU leaf @eax run now, in @lp's mode?
 * For EENTER, ERESUME, EEXIT and EDECCSSA, which whoever holds the register file
 * executes by isa_eenter() and its kin: everything ENCLU checks before its leaf.
 * @inside: is the processor in enclave mode?  lp->secs_frame is not asked.
 * Return: ISA_DONE when the leaf may run; the fault otherwise.
 * Source: SDM, ENCLU, Operation.
 */
struct isa_outcome isa_enclu_check(const struct isa_lp *lp, uint32_t eax, bool inside);

/**
 * isa_enclv() - execute ENCLV leaf @eax with lp->rbx, rcx, rdx; for a VMM, which is
 * to say #UD unless lp->vmx says that @lp is in VMX operation.
 * Source: SDM, ENCLV.
 */
struct isa_outcome isa_enclv(struct isa_lp *lp, uint32_t eax);

/* --- security version ------------------------------------------------------- */

/**
 * isa_microcode_load() - microcode of version @cpusvn is loaded.
 * It counts once EUPDATESVN adopts it.  Context: no EUPDATESVN may be running.
 */
void isa_microcode_load(struct isa_machine *m, const uint8_t cpusvn[16]);

/** isa_cpusvn() - the version that keys and reports take.  Context: as isa_microcode_load(). */
void isa_cpusvn(const struct isa_machine *m, uint8_t cpusvn[16]);

/**
 * isa_report2_mac() - fill @report->mac so that EVERIFYREPORT2 takes it: what a TDX
 * module has the processor do.  Context: any thread, no EUPDATESVN.
 */
void isa_report2_mac(const struct isa_machine *m, struct sgx_reportmacstruct *report);

/* --- memory accesses ------------------------------------------------------- */

enum isa_access { ISA_READ, ISA_WRITE, ISA_FETCH };

enum isa_access_by {
	ISA_BY_INSTRUCTION,	/* an instruction's own load, store or fetch */
	ISA_BY_PAGE_WALK,	/* the processor, looking at page tables */
	ISA_BY_DEVICE,		/* DMA; also SMM: whatever is no enclave */
};

enum isa_verdict_kind {
	ISA_ACCESS_ORDINARY,	/* no EPC: as without SGX */
	ISA_ACCESS_EPC,		/* the enclave's own page: @frame */
	ISA_ACCESS_ABORTS,	/* abort page: loads give all ones, stores are dropped */
	ISA_ACCESS_FAULTS,	/* @fault */
};

struct isa_verdict {
	enum isa_verdict_kind kind;
	uint8_t rwx;		/* ISA_ACCESS_EPC: SECINFO_R | _W | _X; what else of the
				 * page a translation may be used for */
	uint64_t frame;		/* ISA_ACCESS_EPC */
	struct isa_outcome fault; /* ISA_ACCESS_FAULTS */
};

/**
 * isa_access() - may this access touch memory, after segmentation and paging let it?
 * @lp: whose access; lp->secs_frame says whether it is in enclave mode.
 * @la: linear address; not looked at for page walks and devices.
 * @pa: the physical address it came to.
 * One byte, or any number within one page: what straddles pages asks for each.
 * The verdict may be cached with the translation until the processor leaves the
 * enclave; a page that is blocked or changed later does not take it back.
 * Context: any thread.
 * Source: SDM volume 3D, "Enclave Access Control".
 */
struct isa_verdict isa_access(const struct isa_lp *lp, enum isa_access_by by,
			      enum isa_access access, uint64_t la, uint64_t pa);

/* --- entry and exit, on a view ------------------------------------------- */

/*
 * The part of a SECS that entry and exit need, in memory that the program and
 * the machine's owner may share.  The owner writes everything but the counters;
 * the machine reads only the counters, so a program that scribbles here harms
 * its own enclave and nothing else.
 */
struct isa_encl_block {
	uint64_t base, size;
	uint64_t attributes, xfrm;
	uint32_t miscselect;
	uint32_t ssaframesize;		/* pages */
	uint32_t xsave_size;		/* bytes of the XSAVE area for xfrm */
	_Atomic uint32_t initialized;
	/* Of the part: CPUID.12H.0:EAX, and ATTRIBUTES that 12H.1 allows. */
	uint32_t features;
	uint64_t allowed_attributes;
	/*
	 * Processors inside, by the epoch they entered in: those of the current
	 * one in nr_inside[epoch % 2], all earlier ones in the other.  ETRACK
	 * begins an epoch, and the machine publishes it here.
	 */
	_Atomic uint64_t epoch;
	_Atomic uint64_t nr_inside[2];
};

/**
 * isa_secs_block() - what entry and exit of the enclave at @frame work on.
 * Return: the shared block, or the machine's own while none is shared; valid
 * until the SECS is shared, unshared, removed or written out.  NULL: no SECS.
 */
struct isa_encl_block *isa_secs_block(struct isa_machine *m, uint64_t frame);

/**
 * isa_secs_share() - let the machine and the program share entry state.
 * @frame: a valid SECS.
 * @blk: filled from the SECS; must stay mapped until isa_secs_unshare() or
 *       EREMOVE or EWB of the SECS: whoever reloads it shares it again.
 *       nr_inside stays as it is: zero at first, and what it was when the same
 *       block is shared again.
 * Return: 0; -EINVAL @frame is no SECS.
 */
int isa_secs_share(struct isa_machine *m, uint64_t frame, struct isa_encl_block *blk);

/**
 * isa_secs_unshare() - nobody can be inside any more (its processes are gone).
 * A killed thread left by an asynchronous exit nobody recorded: from here on
 * the machine counts no processor inside.
 */
void isa_secs_unshare(struct isa_machine *m, uint64_t frame);

/**
 * isa_flush_translations() - every processor inside the enclave at @frame has
 * dropped the translations it may hold, as leaving and entering again would
 * have made it do.  For machines whose processors keep none beyond the page
 * tables, in place of an interrupt to each: the open tracking cycle is complete.
 */
void isa_flush_translations(struct isa_machine *m, uint64_t frame);

/* The registers entry and exit touch, in the encoding's order. */
enum isa_gpr {
	ISA_RAX, ISA_RCX, ISA_RDX, ISA_RBX, ISA_RSP, ISA_RBP, ISA_RSI, ISA_RDI,
	ISA_R8, ISA_R9, ISA_R10, ISA_R11, ISA_R12, ISA_R13, ISA_R14, ISA_R15,
	ISA_NR_GPR
};

struct isa_regs {
	uint64_t gpr[ISA_NR_GPR];
	uint64_t rip;		/* before a leaf: of the ENCLU instruction */
	uint64_t rflags;
	uint64_t fsbase, gsbase;
};

/* Where an XSAVE component lies in the standard format: CPUID.0DH.i:EBX and EAX. */
struct isa_xsave_component {
	uint32_t offset, size;
};

/* How entry code reaches an enclave's pages.  Unused members are zero. */
struct isa_encl_view {
	struct isa_encl_block *blk;
	/*
	 * EPCM state and contents of the enclave page at @la (page aligned).
	 * @write: the page tables must allow stores too.  Returns false with
	 * @fault set for an ordinary #PF; sets info->valid = false when @la
	 * does not resolve to a valid page of this enclave.
	 * @page: where the contents are mapped for us.
	 */
	bool (*page)(void *ctx, uint64_t la, bool write, struct isa_epcm_info *info,
		     void **page, struct isa_outcome *fault);
	void *ctx;
	uint64_t xcr0;		/* of the host */
	uint32_t mode;		/* ISA_MODE_* as seen at the ENCLU */
	/*
	 * Of components 0..63 (0 and 1 are ignored), as long as a thread is
	 * inside.  NULL: an exit saves all bytes up to blk->xsave_size, also
	 * those of components outside XFRM that lie below it.
	 */
	const struct isa_xsave_component *xsave_component;
	/* Who enters, to be found in TCS.STATE meanwhile; 0: it does not matter. */
	uint64_t holder;		/* below 2^56 */
};

/* TCS.STATE while a thread is inside; with a holder, debuggers see bit 0 only. */
#define ISA_TCS_ACTIVE (1u << 0)
#define ISA_TCS_COUNTED (1u << 1)	/* in blk->nr_inside */
#define ISA_TCS_SLOT (1u << 2)		/* of it */
#define ISA_TCS_HOLDER_SHIFT 8

/* Internal processor registers (CR_*) of a thread inside an enclave. */
struct isa_thread {
	bool inside;
	bool dbgoptin, save_tf;
	uint8_t epoch_slot;		/* where blk->nr_inside counts it */
	struct isa_encl_view view;
	uint64_t tcs_la;
	uint64_t secs_frame;		/* whose TCS it is */
	struct sgx_tcs *tcs;
	struct sgx_gprsgx *gprsgx;	/* of the current frame */
	uint8_t *xsave;			/* start of the current frame */
	uint64_t host_fsbase, host_gsbase;
	/* Of the block, as entry checked them: an exit relies on nothing newer. */
	uint64_t base;
	uint64_t xfrm;
	uint32_t miscselect;
	uint32_t ssaframesize;
	uint32_t xsave_size;
	uint32_t features;
};

/**
 * isa_eenter() - ENCLU[EENTER] with TCS r->gpr[RBX] and AEP r->gpr[RCX].
 * @t: outside any enclave; on success inside, holding a copy of @view.
 * @view: the enclave whose ELRANGE holds the TCS.
 * @r: on success the registers enclave code starts with; else unchanged.
 *     r->fsbase and gsbase are the host's on the way in.
 * Context: async-signal-safe, allocates nothing, uses no thread-local storage.
 * Return: ISA_DONE or the manual's fault.
 * Source: SDM, EENTER.
 */
struct isa_outcome isa_eenter(struct isa_thread *t, const struct isa_encl_view *view,
			      struct isa_regs *r);

/**
 * isa_eresume() - ENCLU[ERESUME]; as isa_eenter().
 * @xsave: set to the XSAVE image (XFRM components, standard format) the
 *         processor must load, NULL after an AEX notification.  It lies in the
 *         SSA, which the program can write: its header was good when checked,
 *         so load with XFRM as mask from a copy, not in place.
 */
struct isa_outcome isa_eresume(struct isa_thread *t, const struct isa_encl_view *view,
			       struct isa_regs *r, const uint8_t **xsave);

/**
 * isa_eexit() - ENCLU[EEXIT] to r->gpr[RBX].
 * On success @t is outside; host FS and GS bases are in @r.  With RFLAGS.TF set
 * in @r a single-step #DB is pending, to be delivered at the target.
 */
struct isa_outcome isa_eexit(struct isa_thread *t, struct isa_regs *r);

/**
 * isa_edeccssa() - ENCLU[EDECCSSA]: make the frame below the current one current.
 * @t: inside.  Changes nothing else: registers, flags and RIP go on behind the ENCLU.
 * Context: as isa_eenter().
 * Return: ISA_DONE; #GP on a part without the leaf, outside, and when the
 * current frame is the first; the fault of a page of the frame below.
 * Source: SDM, EDECCSSA.
 */
struct isa_outcome isa_edeccssa(struct isa_thread *t);

/* What interrupted an enclave. */
struct isa_event {
	bool exception;		/* false: interrupt, VM exit, ... */
	uint8_t vector;
	uint32_t error_code;
	uint64_t address;	/* #PF: full linear address */
};

/**
 * isa_aex() - asynchronous exit.
 * @r: in: the enclave's registers; out: the synthetic state, RIP = AEP.
 * @xsave: the enclave's extended state in the standard format, at least
 *         blk->xsave_size bytes: saved into the SSA, limited to XFRM.
 *         The caller puts the processor's extended state into INIT state.
 * Never fails: EENTER and ERESUME checked everything it needs.
 * Context: as isa_eenter().
 */
void isa_aex(struct isa_thread *t, struct isa_regs *r, const struct isa_event *event,
	     const void *xsave);

/**
 * isa_aex_of_dead() - the asynchronous exit of a thread that ended inside an enclave.
 * @blk: of the enclave.
 * @tcs: entered with a holder, who is no more.
 * @gprsgx, @xsave: its current frame; NULL when it has none, and then none is used up.
 *
 * Nobody knows its registers: the frame has none, and cannot be resumed (#GP).
 */
void isa_aex_of_dead(struct isa_encl_block *blk, struct sgx_tcs *tcs,
		     struct sgx_gprsgx *gprsgx, uint8_t *xsave);

#endif /* SWSGX_ISA_H */
