/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory accesses: who may touch which page in which mode.  A row for each line
 * of the manual's rules, each with loads, stores and fetches.
 */
#include "fixture.h"

#include "internal.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define RAM_PA 0x5000ull
#define OUTSIDE_LA 0x400000ull
#define BELOW_LA (FIXTURE_BASE - 1)
#define BEYOND_LA (FIXTURE_BASE + FIXTURE_SIZE)
#define PAGE_LA(frame) (FIXTURE_BASE + ((frame) - 1) * SGX_PAGE_SIZE)

/* One letter for each kind of access: r, w, x. */
enum answer {
	O,		/* ordinary */
	E,		/* EPC */
	A,		/* abort page */
	G,		/* #GP(0) */
	P,		/* #PF with the SGX bit */
};

static const char *const answers[] = { "ordinary", "EPC", "abort page", "#GP", "#PF(SGX)" };

enum mode { OUTSIDE, INSIDE, OTHER };	/* OTHER: inside another enclave */

struct row {
	const char *what;
	enum mode mode;
	enum isa_access_by by;
	uint64_t la;
	int frame;		/* -1: no EPC */
	enum answer r, w, x;
};

#define INSN ISA_BY_INSTRUCTION
#define WALK ISA_BY_PAGE_WALK
#define DEVICE ISA_BY_DEVICE
#define RAM -1
#define RW FIXTURE_RW
#define RX FIXTURE_RX

static const struct row rows[] = {
	{ "outside, ordinary memory", OUTSIDE, INSN, OUTSIDE_LA, RAM, O, O, O },
	{ "outside, enclave address, ordinary memory", OUTSIDE, INSN, PAGE_LA(RW), RAM, O, O, O },
	{ "outside, EPC", OUTSIDE, INSN, PAGE_LA(RW), RW, A, A, A },
	{ "outside, unused EPC", OUTSIDE, INSN, OUTSIDE_LA, FIXTURE_FREE, A, A, A },
	{ "outside, SECS", OUTSIDE, INSN, OUTSIDE_LA, FIXTURE_SECS, A, A, A },

	{ "inside, outside ELRANGE, ordinary memory", INSIDE, INSN, OUTSIDE_LA, RAM, O, O, G },
	{ "inside, below ELRANGE", INSIDE, INSN, BELOW_LA, RAM, O, O, G },
	{ "inside, beyond ELRANGE", INSIDE, INSN, BEYOND_LA, RAM, O, O, G },
	{ "inside, outside ELRANGE, own EPC page", INSIDE, INSN, OUTSIDE_LA, RW, A, A, G },
	{ "inside, outside ELRANGE, unused EPC", INSIDE, INSN, BEYOND_LA, FIXTURE_FREE, A, A, G },

	{ "inside, ELRANGE, ordinary memory", INSIDE, INSN, PAGE_LA(RW), RAM, P, P, P },
	{ "inside, first byte of ELRANGE", INSIDE, INSN, FIXTURE_BASE, RAM, P, P, P },
	{ "inside, last byte of ELRANGE", INSIDE, INSN, BEYOND_LA - 1, RAM, P, P, P },
	{ "inside, own RW page", INSIDE, INSN, PAGE_LA(RW), RW, E, E, P },
	{ "inside, own RX page", INSIDE, INSN, PAGE_LA(RX) + 0xfff, RX, E, P, E },
	{ "inside, own page at another's address", INSIDE, INSN, PAGE_LA(RX), RW, P, P, P },
	{ "inside, unused EPC", INSIDE, INSN, PAGE_LA(RW), FIXTURE_FREE, P, P, P },
	{ "inside, own TCS", INSIDE, INSN, PAGE_LA(FIXTURE_TCS), FIXTURE_TCS, P, P, P },
	{ "inside, own SECS", INSIDE, INSN, FIXTURE_BASE, FIXTURE_SECS, P, P, P },
	{ "inside another enclave's range", OTHER, INSN, PAGE_LA(RW), RW, P, P, P },

	{ "page walk, ordinary memory", INSIDE, WALK, PAGE_LA(RW), RAM, O, O, O },
	{ "page walk, EPC", INSIDE, WALK, PAGE_LA(RW), RW, A, A, A },
	{ "page walk from outside, EPC", OUTSIDE, WALK, 0, RW, A, A, A },
	{ "DMA, ordinary memory", OUTSIDE, DEVICE, 0, RAM, O, O, O },
	{ "DMA, EPC", OUTSIDE, DEVICE, 0, RW, A, A, A },
	{ "DMA while inside, EPC", INSIDE, DEVICE, PAGE_LA(RW), RW, A, A, A },
};

static enum answer answer_of(struct isa_verdict v)
{
	switch (v.kind) {
	case ISA_ACCESS_ORDINARY:
		return O;
	case ISA_ACCESS_EPC:
		return E;
	case ISA_ACCESS_ABORTS:
		return A;
	case ISA_ACCESS_FAULTS:
		break;
	}
	return v.fault.vector == X86_GP ? G : P;
}

static uint64_t pa_of(struct isa_fixture *f, int frame)
{
	return frame < 0 ? RAM_PA : isa_fixture_la(f, (uint64_t)frame) + 8;
}

static void assert_answers(struct isa_fixture *f, const struct row *row)
{
	static const uint16_t codes[] = {
		[ISA_READ] = 0, [ISA_WRITE] = PFEC_W, [ISA_FETCH] = PFEC_I,
	};
	const enum answer want[] = { [ISA_READ] = row->r, [ISA_WRITE] = row->w,
				     [ISA_FETCH] = row->x };

	for (enum isa_access a = ISA_READ; a <= ISA_FETCH; a++) {
		const struct isa_verdict v = isa_access(&f->encl, row->by, a, row->la,
							pa_of(f, row->frame));
		const enum answer is = answer_of(v);

		if (is != want[a])
			fail_msg("%s, access %d: %s, not %s", row->what, (int)a, answers[is],
				 answers[want[a]]);
		if (is == E)
			assert_int_equal(v.frame, row->frame);
		if (is == P) {
			assert_int_equal(v.fault.address, row->la);
			assert_int_equal(v.fault.error_code,
					 PFEC_P | PFEC_U | PFEC_SGX | codes[a]);
		}
	}
}

static const uint64_t secs_of_mode[] = {
	[OUTSIDE] = ISA_NO_FRAME, [INSIDE] = FIXTURE_SECS, [OTHER] = FIXTURE_FREE + 1,
};

/* Another enclave, at the same addresses: only the owner tells them apart. */
static int setup(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);
	struct sgx_secs secs;

	isa_fixture_start(f, NULL, 0);
	isa_fixture_default_secs(&secs);
	assert_done(isa_fixture_ecreate(f, secs_of_mode[OTHER], &secs));
	*state = f;
	return 0;
}

static void answers_by_the_table(void **state)
{
	struct isa_fixture *f = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		f->encl.secs_frame = secs_of_mode[rows[i].mode];
		assert_answers(f, &rows[i]);
	}
	f->encl.secs_frame = FIXTURE_SECS;
}

/* The EPCM entry of an own page, field by field. */
struct entry_row {
	const char *what;
	uint64_t flip;		/* of a good RW page's word */
	enum answer r, w, x;
};

static const struct entry_row entry_rows[] = {
	{ "good", 0, E, E, P },
	{ "not valid", EPCM_VALID, P, P, P },
	{ "blocked", EPCM_BLOCKED, P, P, P },
	{ "pending", EPCM_PENDING, P, P, P },
	{ "modified", EPCM_MODIFIED, P, P, P },
	{ "permissions restricted", EPCM_PR, E, E, P },
	{ "trimmed", EPCM_PT(PT_REG ^ PT_TRIM), P, P, P },
	{ "TCS", EPCM_PT(PT_REG ^ PT_TCS), P, P, P },
	{ "VA", EPCM_PT(PT_REG ^ PT_VA), P, P, P },
	{ "SECS", EPCM_PT(PT_REG ^ PT_SECS), P, P, P },
	{ "shadow stack", EPCM_PT(PT_REG ^ PT_SS_REST), P, P, P },
	{ "another address", 0x1000, P, P, P },
	{ "read only", EPCM_RWX(SECINFO_W), E, P, P },
	{ "write only", EPCM_RWX(SECINFO_R), P, E, P },
	{ "execute only", EPCM_RWX(SECINFO_RWX), P, P, E },
	{ "no access", EPCM_RWX(SECINFO_R | SECINFO_W), P, P, P },
	{ "everything", EPCM_RWX(SECINFO_X), E, E, E },
};

static void looks_at_each_field_of_the_entry(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_epcm *e = &f->m->epcm[RW];
	const uint64_t word = isa_epcm_word(e);

	for (size_t i = 0; i < COUNT(entry_rows); i++) {
		const struct entry_row *r = &entry_rows[i];
		const struct row row = { r->what, INSIDE, INSN, PAGE_LA(RW), RW, r->r, r->w, r->x };

		atomic_store(&e->word, word ^ r->flip);
		assert_answers(f, &row);
	}
	atomic_store(&e->word, word);
}

/* For a TLB: everything the page may be used for, not only what was asked. */
static void tells_all_that_a_translation_may_be_used_for(void **state)
{
	struct isa_fixture *f = *state;
	struct isa_verdict v;

	v = isa_access(&f->encl, INSN, ISA_READ, PAGE_LA(RW), pa_of(f, RW));
	assert_int_equal(v.rwx, SECINFO_R | SECINFO_W);
	v = isa_access(&f->encl, INSN, ISA_FETCH, PAGE_LA(RX), pa_of(f, RX));
	assert_int_equal(v.rwx, SECINFO_R | SECINFO_X);
}

static void judges_each_page_by_itself(void **state)
{
	struct isa_fixture *f = *state;

	/* An access of 8 bytes at the border: 4 on either side. */
	assert_int_equal(isa_access(&f->encl, INSN, ISA_READ, FIXTURE_BASE - 4, RAM_PA).kind,
			 ISA_ACCESS_ORDINARY);
	assert_int_equal(isa_access(&f->encl, INSN, ISA_READ, FIXTURE_BASE, RAM_PA).kind,
			 ISA_ACCESS_FAULTS);
}

static void sgx1_parts_fault_differently(void **state)
{
	struct isa_fixture *f = *state;
	const struct isa_profile *newest = f->m->config.profile;
	struct isa_verdict v;

	f->m->config.profile = isa_profile_find("sgx1-client");
	v = isa_access(&f->encl, INSN, ISA_READ, PAGE_LA(RW), RAM_PA);
	assert_int_equal(v.kind, ISA_ACCESS_FAULTS);
	assert_gp(v.fault);
	f->os.rcx = RAM_PA;
	assert_gp(isa_encls(&f->os, ISA_ENCLS_EREMOVE));
	f->m->config.profile = newest;
	assert_epf(isa_encls(&f->os, ISA_ENCLS_EREMOVE), RAM_PA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_by_the_table),
		cmocka_unit_test(looks_at_each_field_of_the_entry),
		cmocka_unit_test(tells_all_that_a_translation_may_be_used_for),
		cmocka_unit_test(judges_each_page_by_itself),
		cmocka_unit_test(sgx1_parts_fault_differently),
	};

	return cmocka_run_group_tests_name("access", tests, setup, isa_fixture_teardown);
}
