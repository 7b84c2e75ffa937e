/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Structures and constants of the Intel SGX architecture, in the manual's own
 * words and layout.  Nothing of ours lives here.  Sizes and offsets are
 * asserted in src/isa/layout.c.
 *
 * Source: SDM volume 3D, "Enclave Access Control and Data Structures"; the
 * offset of each field stands beside it.
 */
#ifndef SWSGX_ARCH_H
#define SWSGX_ARCH_H

#include <stdint.h>

#define SGX_PAGE_SIZE 4096u
#define SGX_PAGE_SHIFT 12
#define SGX_PAGE_MASK (~(uint64_t)(SGX_PAGE_SIZE - 1))

/* SECINFO.PAGE_TYPE and EPCM.PT */
enum sgx_page_type {
	PT_SECS = 0,
	PT_TCS = 1,
	PT_REG = 2,
	PT_VA = 3,
	PT_TRIM = 4,
	PT_SS_FIRST = 5,
	PT_SS_REST = 6,
};

/* SECINFO.FLAGS */
#define SECINFO_R (1ull << 0)
#define SECINFO_W (1ull << 1)
#define SECINFO_X (1ull << 2)
#define SECINFO_RWX (SECINFO_R | SECINFO_W | SECINFO_X)
#define SECINFO_PENDING (1ull << 3)
#define SECINFO_MODIFIED (1ull << 4)
#define SECINFO_PR (1ull << 5)
#define SECINFO_PT_SHIFT 8
#define SECINFO_PT_MASK (0xffull << SECINFO_PT_SHIFT)
#define SECINFO_PT(pt) ((uint64_t)(pt) << SECINFO_PT_SHIFT)

/* ATTRIBUTES.FLAGS */
#define ATTR_INIT (1ull << 0)
#define ATTR_DEBUG (1ull << 1)
#define ATTR_MODE64BIT (1ull << 2)
#define ATTR_PROVISIONKEY (1ull << 4)
#define ATTR_EINITTOKEN_KEY (1ull << 5)
#define ATTR_CET (1ull << 6)
#define ATTR_KSS (1ull << 7)
#define ATTR_AEXNOTIFY (1ull << 10)

/* ATTRIBUTES.XFRM, in the format of XCR0 */
#define XFRM_X87_SSE 0x3ull
#define XFRM_AVX 0x4ull
#define XFRM_MPX 0x18ull
#define XFRM_AVX512 0xe0ull
#define XFRM_PKRU 0x200ull
#define XFRM_AMX 0x60000ull

/* MISCSELECT */
#define MISC_EXINFO (1u << 0)
#define MISC_CPINFO (1u << 1)

/* TCS.FLAGS */
#define TCS_DBGOPTIN (1ull << 0)
#define TCS_AEXNOTIFY (1ull << 1)

/* GPRSGX.AEXNOTIFY */
#define GPRSGX_AEXNOTIFY_REQUEST (1u << 0)

/* GPRSGX.EXITINFO */
#define EXITINFO_VECTOR_MASK 0xffu
#define EXITINFO_TYPE_HARDWARE (3u << 8)
#define EXITINFO_TYPE_SOFTWARE (6u << 8)
#define EXITINFO_VALID (1u << 31)

/* CPUID.7.0 */
#define CPUID_7_0_EBX_SGX (1u << 2)
#define CPUID_7_0_ECX_SGX_LC (1u << 30)
#define CPUID_7_0_EDX_SGX_KEYS (1u << 1)

/* CPUID.12H.0:EAX */
#define CPUID_12_0_EAX_SGX1 (1u << 0)
#define CPUID_12_0_EAX_SGX2 (1u << 1)
#define CPUID_12_0_EAX_ENCLV (1u << 5)
#define CPUID_12_0_EAX_ENCLS_OSS (1u << 6)
#define CPUID_12_0_EAX_EVERIFYREPORT2 (1u << 7)
#define CPUID_12_0_EAX_EUPDATESVN (1u << 10)
#define CPUID_12_0_EAX_EDECCSSA (1u << 11)

/* CPUID.12H.2 and up */
#define CPUID_12_EAX_TYPE_EPC 1u
#define CPUID_12_ECX_CONFIDENTIAL_INTEGRAL 1u

/* Model-specific registers */
#define MSR_FEATURE_CONTROL 0x3au
#define MSR_FEATURE_ACTIVATION 0x7au
#define MSR_SGXLEPUBKEYHASH0 0x8cu
#define MSR_SGXLEPUBKEYHASH3 0x8fu
#define MSR_SGXOWNEREPOCH0 0x300u
#define MSR_SGXOWNEREPOCH1 0x301u
#define MSR_SGX_SVN_STATUS 0x500u

/* IA32_FEATURE_CONTROL */
#define FEATURE_CONTROL_LOCK (1ull << 0)
#define FEATURE_CONTROL_SGX_LC_ENABLE (1ull << 17)
#define FEATURE_CONTROL_SGX_ENABLE (1ull << 18)

/* IA32_SGX_SVN_STATUS */
#define SGX_SVN_STATUS_LOCK (1ull << 0)

/* RDINFO */
#define RDINFO_CHILDPRESENT (1ull << 0)
#define RDINFO_VIRTCHILDPRESENT (1ull << 1)
#define RDINFO_BLOCKED (1ull << 63)

/* REPORTTYPE.TYPE */
#define REPORTTYPE_TDX 0x81u

/* VMX: basic exit reasons, and the exit qualification of an SGX conflict */
#define VMX_EXIT_ENCLS 60u
#define VMX_EXIT_ENCLV 70u
#define VMX_EXIT_SGX_CONFLICT 71u
enum sgx_conflict {
	TRACKING_RESOURCE_CONFLICT = 0,
	TRACKING_REFERENCE_CONFLICT = 1,
	EPC_PAGE_CONFLICT_EXCEPTION = 2,
	EPC_PAGE_CONFLICT_ERROR = 3,
};

/* Exception vectors */
enum x86_vector {
	X86_DE = 0,
	X86_DB = 1,
	X86_BP = 3,
	X86_BR = 5,
	X86_UD = 6,
	X86_NM = 7,
	X86_SS = 12,
	X86_GP = 13,
	X86_PF = 14,
	X86_MF = 16,
	X86_AC = 17,
	X86_XM = 19,
	X86_CP = 21,
};

/* Page-fault error code */
#define PFEC_P (1u << 0)
#define PFEC_W (1u << 1)
#define PFEC_U (1u << 2)
#define PFEC_RSVD (1u << 3)
#define PFEC_I (1u << 4)
#define PFEC_PK (1u << 5)
#define PFEC_SS (1u << 6)
#define PFEC_SGX (1u << 15)

/* KEYREQUEST.KEYNAME */
enum sgx_keyname {
	KEY_EINITTOKEN = 0,
	KEY_PROVISION = 1,
	KEY_PROVISION_SEAL = 2,
	KEY_REPORT = 3,
	KEY_SEAL = 4,
};

/* KEYREQUEST.KEYPOLICY */
#define KEYPOLICY_MRENCLAVE (1u << 0)
#define KEYPOLICY_MRSIGNER (1u << 1)
#define KEYPOLICY_NOISVPRODID (1u << 2)
#define KEYPOLICY_CONFIGID (1u << 3)
#define KEYPOLICY_ISVFAMILYID (1u << 4)
#define KEYPOLICY_ISVEXTPRODID (1u << 5)
#define KEYPOLICY_KSS 0x3cu
#define KEYPOLICY_RESERVED 0xffc0u

#define SGX_HASH_SIZE 32u
#define SGX_RSA3072_SIZE 384u

struct sgx_attributes {
	uint64_t flags;			/* 0 */
	uint64_t xfrm;			/* 8 */
};

struct sgx_secs {
	uint64_t size;			/* 0 */
	uint64_t baseaddr;		/* 8 */
	uint32_t ssaframesize;		/* 16: pages */
	uint32_t miscselect;		/* 20 */
	uint64_t cet_leg_bitmap_offset;	/* 24 */
	uint8_t cet_attributes;		/* 32 */
	uint8_t reserved_33[15];
	struct sgx_attributes attributes; /* 48 */
	uint8_t mrenclave[32];		/* 64 */
	uint8_t reserved_96[32];
	uint8_t mrsigner[32];		/* 128 */
	uint8_t reserved_160[32];
	uint8_t configid[64];		/* 192 */
	uint16_t isvprodid;		/* 256 */
	uint16_t isvsvn;		/* 258 */
	uint16_t configsvn;		/* 260 */
	uint8_t reserved_262[3834];
};

struct sgx_tcs {
	uint64_t state;			/* 0: 1 while a processor is inside */
	uint64_t flags;			/* 8 */
	uint64_t ossa;			/* 16 */
	uint32_t cssa;			/* 24 */
	uint32_t nssa;			/* 28 */
	uint64_t oentry;		/* 32 */
	uint64_t aep;			/* 40 */
	uint64_t ofsbase;		/* 48 */
	uint64_t ogsbase;		/* 56 */
	uint32_t fslimit;		/* 64 */
	uint32_t gslimit;		/* 68 */
	uint64_t ocetssa;		/* 72 */
	uint64_t prevssp;		/* 80 */
	uint8_t reserved_88[4008];
};

struct sgx_gprsgx {
	uint64_t rax, rcx, rdx, rbx;	/* 0 */
	uint64_t rsp, rbp, rsi, rdi;	/* 32 */
	uint64_t r8, r9, r10, r11;	/* 64 */
	uint64_t r12, r13, r14, r15;	/* 96 */
	uint64_t rflags;		/* 128 */
	uint64_t rip;			/* 136 */
	uint64_t ursp;			/* 144 */
	uint64_t urbp;			/* 152 */
	uint32_t exitinfo;		/* 160 */
	uint8_t reserved_164[3];
	uint8_t aexnotify;		/* 167 */
	uint64_t fsbase;		/* 168 */
	uint64_t gsbase;		/* 176 */
};

struct sgx_exinfo {
	uint64_t maddr;			/* 0 */
	uint32_t errcd;			/* 8 */
	uint32_t reserved_12;
};

struct sgx_pageinfo {
	uint64_t linaddr;		/* 0 */
	uint64_t srcpge;		/* 8 */
	uint64_t secinfo_or_pcmd;	/* 16 */
	uint64_t secs;			/* 24 */
};

struct sgx_secinfo {
	uint64_t flags;			/* 0 */
	uint8_t reserved_8[56];
};

struct sgx_pcmd {
	struct sgx_secinfo secinfo;	/* 0 */
	uint64_t enclaveid;		/* 64 */
	uint8_t reserved_72[40];
	uint8_t mac[16];		/* 112 */
};

struct sgx_rdinfo {
	uint64_t status;		/* 0 */
	uint64_t flags;			/* 8 */
	uint64_t enclavecontext;	/* 16 */
};

struct sgx_reporttype {
	uint8_t type;			/* 0 */
	uint8_t subtype;		/* 1 */
	uint8_t version;		/* 2 */
	uint8_t reserved_3;
};

struct sgx_reportmacstruct {
	struct sgx_reporttype reporttype; /* 0 */
	uint8_t reserved_4[12];
	uint8_t cpusvn[16];		/* 16 */
	uint8_t tee_tcb_info_hash[48];	/* 32 */
	uint8_t tee_info_hash[48];	/* 80 */
	uint8_t reportdata[64];		/* 128 */
	uint8_t reserved_192[32];
	uint8_t mac[32];		/* 224 */
};

struct sgx_sigstruct {
	uint8_t header[16];		/* 0 */
	uint32_t vendor;		/* 16 */
	uint32_t date;			/* 20 */
	uint8_t header2[16];		/* 24 */
	uint32_t swdefined;		/* 40 */
	uint8_t reserved_44[84];
	uint8_t modulus[384];		/* 128 */
	uint32_t exponent;		/* 512 */
	uint8_t signature[384];		/* 516 */
	uint32_t miscselect;		/* 900 */
	uint32_t miscmask;		/* 904 */
	uint8_t cet_attributes;		/* 908 */
	uint8_t cet_attributes_mask;	/* 909 */
	uint8_t reserved_910[2];
	uint8_t isvfamilyid[16];	/* 912 */
	struct sgx_attributes attributes;    /* 928 */
	struct sgx_attributes attributemask; /* 944 */
	uint8_t enclavehash[32];	/* 960 */
	uint8_t reserved_992[16];
	uint8_t isvextprodid[16];	/* 1008 */
	uint16_t isvprodid;		/* 1024 */
	uint16_t isvsvn;		/* 1026 */
	uint8_t reserved_1028[12];
	uint8_t q1[384];		/* 1040 */
	uint8_t q2[384];		/* 1424 */
};

struct sgx_einittoken {
	uint32_t valid;			/* 0 */
	uint8_t reserved_4[44];
	struct sgx_attributes attributes; /* 48 */
	uint8_t mrenclave[32];		/* 64 */
	uint8_t reserved_96[32];
	uint8_t mrsigner[32];		/* 128 */
	uint8_t reserved_160[32];
	uint8_t cpusvnle[16];		/* 192 */
	uint16_t isvprodidle;		/* 208 */
	uint16_t isvsvnle;		/* 210 */
	uint8_t cet_masked_attributes_le; /* 212 */
	uint8_t reserved_213[23];
	uint32_t maskedmiscselectle;	/* 236 */
	struct sgx_attributes maskedattributesle; /* 240 */
	uint8_t keyid[32];		/* 256 */
	uint8_t mac[16];		/* 288 */
};

struct sgx_report {
	uint8_t cpusvn[16];		/* 0 */
	uint32_t miscselect;		/* 16 */
	uint8_t cet_attributes;		/* 20 */
	uint8_t reserved_21[11];
	uint8_t isvextprodid[16];	/* 32 */
	struct sgx_attributes attributes; /* 48 */
	uint8_t mrenclave[32];		/* 64 */
	uint8_t reserved_96[32];
	uint8_t mrsigner[32];		/* 128 */
	uint8_t reserved_160[32];
	uint8_t configid[64];		/* 192 */
	uint16_t isvprodid;		/* 256 */
	uint16_t isvsvn;		/* 258 */
	uint16_t configsvn;		/* 260 */
	uint8_t reserved_262[42];
	uint8_t isvfamilyid[16];	/* 304 */
	uint8_t reportdata[64];		/* 320 */
	uint8_t keyid[32];		/* 384 */
	uint8_t mac[16];		/* 416 */
};

struct sgx_targetinfo {
	uint8_t measurement[32];	/* 0 */
	struct sgx_attributes attributes; /* 32 */
	uint8_t cet_attributes;		/* 48 */
	uint8_t reserved_49;
	uint16_t configsvn;		/* 50 */
	uint32_t miscselect;		/* 52 */
	uint8_t reserved_56[8];
	uint8_t configid[64];		/* 64 */
	uint8_t reserved_128[384];
};

struct sgx_keyrequest {
	uint16_t keyname;		/* 0 */
	uint16_t keypolicy;		/* 2 */
	uint16_t isvsvn;		/* 4 */
	uint8_t cet_attributes_mask;	/* 6 */
	uint8_t reserved_7;
	uint8_t cpusvn[16];		/* 8 */
	struct sgx_attributes attributemask; /* 24 */
	uint8_t keyid[32];		/* 40 */
	uint32_t miscmask;		/* 72 */
	uint16_t configsvn;		/* 76 */
	uint8_t reserved_78[434];
};

#endif /* SWSGX_ARCH_H */
