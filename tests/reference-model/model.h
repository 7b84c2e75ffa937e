/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A second opinion: what happens to the state of EPC pages, written down a
 * second time, from the manual and without a look at src/isa.
 *
 * Slow, serial and plain on purpose.  Nothing is packed, counted or remembered
 * that can be found by looking: children of an enclave are the pages that name
 * it, and who is inside is asked of the processors.  Each leaf is the manual's
 * list of checks from top to bottom, then its effect.  What a page holds is
 * known only as far as an outcome can depend on it.
 */
#ifndef TESTS_REFERENCE_MODEL_H
#define TESTS_REFERENCE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum {
	NR_FRAMES = 20,
	NR_PROCESSORS = 3,	/* two inside and one that runs ENCLS */
	NR_RANGES = 2,		/* enclave ranges in the address space */
	RANGE_PAGES = 8,
	NR_SLOTS = 4,		/* of a version array, as many as are used */
	NR_BUFFERS = 6,		/* in ordinary memory, for evicted pages */
	NOTHING = -1,
};

#define PAGE 4096ull
/* Where the kernel sees the EPC, and an address that is no EPC. */
#define KERNEL_BASE 0xffff800000000000ull
#define ORDINARY 0xffff900000000000ull
#define PHYSICAL_BASE 0x40000000ull
#define RANGE_BASE(range) (0x700000000000ull + (uint64_t)(range) * 0x100000)
#define RANGE_SIZE (RANGE_PAGES * PAGE)

/* The operating system's page tables: the frame at each enclave address. */
struct page_tables {
	int frame[NR_RANGES][RANGE_PAGES];
};

/* Where each TCS of the driver says its SSA frames are, and how many. */
#define OSSA PAGE
#define NSSA 2

enum page_type { SECS, TCS, REG, VA, TRIM, SS_FIRST, SS_REST };

enum permission { R = 1, W = 2, X = 4 };

/* What is in a page, as far as it matters. */
struct contents {
	/* of a SECS */
	uint64_t eid, base;
	bool debug, initialized;
	uint64_t epoch;
	uint64_t context, nr_virtual;	/* ENCLAVECONTEXT, VIRTCHILDCNT */
	/* of a TCS, or a page that could become one */
	bool is_tcs_image;		/* all a TCS may not have set is zero */
	uint64_t tcs_flags;
	unsigned int cssa, nssa;
	bool active;
	/* of a version array */
	uint64_t version[NR_SLOTS];
};

struct page {
	bool valid, blocked, pending, modified, pr;
	unsigned int pt, rwx;
	uint64_t address;
	int owner;			/* frame of the SECS, or NOTHING */
	bool was_stamped;
	uint64_t stamp;			/* the owner's epoch at that time */
	struct contents contents;
};

struct processor {
	bool inside;
	int secs, tcs, ssa;		/* frames */
	uint64_t epoch;			/* of the enclave when entered */
};

/* A page in ordinary memory. */
struct evicted {
	bool exists;
	uint64_t version, eid, address;
	bool pending, modified, pr;
	unsigned int pt, rwx;
	struct contents contents;
};

struct model {
	const struct page_tables *tables;
	/* Processor 0 runs a VMM, the others a guest whose EPC it oversubscribes. */
	bool is_virtualized;
	uint64_t next_eid, next_version;
	struct page page[NR_FRAMES];
	struct processor processor[NR_PROCESSORS];
	struct evicted buffer[NR_BUFFERS];
};

/* --- outcomes ------------------------------------------------------------ */

enum verdict_kind { OK, ERROR, INFO, GP, EPF, EXIT };

struct verdict {
	enum verdict_kind kind;
	unsigned int code;		/* ERROR, INFO; EXIT: the qualification */
	uint64_t la;			/* EPF */
};

/* Codes, as the manual numbers them. */
enum {
	BLKSTATE = 3,
	INVALID_MEASUREMENT = 4,
	NOTBLOCKABLE = 5,
	PG_INVLD = 6,
	MAC_COMPARE_FAIL = 9,
	PAGE_NOT_BLOCKED = 10,
	NOT_TRACKED = 11,
	VA_SLOT_OCCUPIED = 12,
	CHILD_PRESENT = 13,
	ENCLAVE_ACT = 14,
	PREV_TRK_INCMPL = 17,
	PG_IS_SECS = 18,
	PAGE_ATTRIBUTES_MISMATCH = 19,
	PAGE_NOT_MODIFIABLE = 20,
	PAGE_NOT_DEBUGGABLE = 21,
	INVALID_COUNTER = 25,
	PG_NONEPC = 26,
	TRACK_NOT_REQUIRED = 27,
	EPC_NOT_READY = 30,
	NO_UPDATE = 31,
};

/* --- operands ------------------------------------------------------------ */

struct secinfo {
	unsigned int pt, rwx;
	bool pending, modified, pr;
	bool reserved_set;
};

/* PAGEINFO and what it leads to. */
struct addition {
	uint64_t linaddr, secs;
	struct secinfo secinfo;		/* EADD */
	bool has_secinfo, has_source;	/* EAUG */
	bool source_is_tcs;		/* EADD: a good TCS, or anything else */
};

struct reload {
	uint64_t linaddr, secs;
	int buffer;
	unsigned int pt;		/* in PCMD */
	bool intact;			/* ciphertext and the rest of PCMD are what EWB wrote */
};

/* --- ENCLS --------------------------------------------------------------- */

void model_init(struct model *m, const struct page_tables *tables);

struct verdict model_ecreate(struct model *m, uint64_t rcx, uint64_t base, bool debug);
struct verdict model_eadd(struct model *m, uint64_t rcx, const struct addition *a);
struct verdict model_eextend(struct model *m, uint64_t rbx, uint64_t rcx);
struct verdict model_einit(struct model *m, uint64_t rcx, bool measurement_is_right);
struct verdict model_eremove(struct model *m, int cpu, uint64_t rcx);
struct verdict model_edbgrd(struct model *m, uint64_t rcx);
struct verdict model_edbgwr(struct model *m, uint64_t rcx, uint64_t data);
struct verdict model_eaug(struct model *m, uint64_t rcx, const struct addition *a);
struct verdict model_emodpr(struct model *m, uint64_t rcx, const struct secinfo *s);
struct verdict model_emodt(struct model *m, uint64_t rcx, const struct secinfo *s);
struct verdict model_epa(struct model *m, uint64_t rbx, uint64_t rcx);
struct verdict model_eblock(struct model *m, uint64_t rcx);
struct verdict model_etrack(struct model *m, int cpu, uint64_t rcx);
struct verdict model_etrackc(struct model *m, int cpu, uint64_t rcx);
struct verdict model_ewb(struct model *m, int cpu, uint64_t rcx, uint64_t rdx, int buffer);
struct verdict model_eld(struct model *m, uint64_t rcx, uint64_t rdx, const struct reload *r,
			 bool blocked);

/** model_erdinfo() - @info: on success the three words of RDINFO. */
struct verdict model_erdinfo(const struct model *m, int cpu, uint64_t rcx, uint64_t info[3]);
struct verdict model_eupdatesvn(const struct model *m);

/* --- ENCLV --------------------------------------------------------------- */

/** model_virtchild() - EINCVIRTCHILD when @add, else EDECVIRTCHILD. */
struct verdict model_virtchild(struct model *m, uint64_t rbx, uint64_t rcx, bool add);
struct verdict model_esetcontext(struct model *m, uint64_t rcx, uint64_t context);

/* --- ENCLU, and events ---------------------------------------------------- */

struct verdict model_eenter(struct model *m, int cpu, uint64_t rbx);
struct verdict model_eresume(struct model *m, int cpu, uint64_t rbx);
void model_eexit(struct model *m, int cpu);
void model_aex(struct model *m, int cpu);
struct verdict model_edeccssa(struct model *m, int cpu);
struct verdict model_eaccept(struct model *m, int cpu, uint64_t rbx, uint64_t rcx,
			     const struct secinfo *s);
struct verdict model_emodpe(struct model *m, int cpu, uint64_t rbx, uint64_t rcx,
			    const struct secinfo *s);
struct verdict model_eacceptcopy(struct model *m, int cpu, uint64_t rbx, uint64_t rcx,
				 uint64_t rdx, const struct secinfo *s);
struct verdict model_ereport(struct model *m, int cpu, uint64_t rbx, uint64_t rcx, uint64_t rdx);
struct verdict model_egetkey(struct model *m, int cpu, uint64_t rbx, uint64_t rcx);

/** model_may_access() - may @cpu, inside, use a leaf operand at @la with @permission? */
bool model_may_access(const struct model *m, int cpu, uint64_t la, unsigned int permission);

/* --- what both halves stand on -------------------------------------------- */

/** model_frame() - the frame @la resolves to, or NOTHING. */
int model_frame(const struct model *m, uint64_t la);
bool model_is_child(unsigned int pt);
bool model_is_secs(const struct page *p);

/** model_is_tracked() - has everybody left who could know @p from before its stamp? */
bool model_is_tracked(const struct model *m, const struct page *p);

/** model_is_inside_since() - is a processor inside that entered in @epoch or earlier? */
bool model_is_inside_since(const struct model *m, int secs, uint64_t epoch);

/** model_is_guest() - does @cpu run a guest under the EPC virtualization extensions? */
bool model_is_guest(const struct model *m, int cpu);

/** model_has_children() - has @secs child pages, as @cpu is told? */
bool model_has_children(const struct model *m, int cpu, int secs);

/** model_stamp() - the page changes in its owner's epoch. */
void model_stamp(const struct model *m, struct page *p);
void model_free_page(struct page *p);

static inline struct verdict ok(void)
{
	return (struct verdict){ .kind = OK };
}

static inline struct verdict gp(void)
{
	return (struct verdict){ .kind = GP };
}

static inline struct verdict epf(uint64_t la)
{
	return (struct verdict){ .kind = EPF, .la = la };
}

static inline struct verdict error(unsigned int code)
{
	return (struct verdict){ .kind = ERROR, .code = code };
}

static inline struct verdict info(unsigned int code)
{
	return (struct verdict){ .kind = INFO, .code = code };
}

static inline struct verdict exit_to_vmm(unsigned int qualification)
{
	return (struct verdict){ .kind = EXIT, .code = qualification };
}

static inline bool is_aligned(uint64_t la, uint64_t to)
{
	return la % to == 0;
}

#endif /* TESTS_REFERENCE_MODEL_H */
