/* SPDX-License-Identifier: BSD-3-Clause */
/* What a server told, for people. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "cli.h"

void format_time(uint64_t time_ns, char text[32])
{
	const time_t seconds = (time_t)(time_ns / 1000000000u);
	struct tm utc = { 0 };
	char day[24];

	gmtime_r(&seconds, &utc);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text, 32, "%s.%06uZ", day, (unsigned int)(time_ns % 1000000000u / 1000));
}

/* --- health --------------------------------------------------------------------------- */

const char *health_name(const struct control_stat *stat)
{
	switch (stat->health) {
	case SGX_EPC_OK: return "ok";
	case SGX_EPC_DEGRADED: return "degraded";
	case SGX_EPC_FAILING: return "failing";
	}
	return "?";
}

int health_status(const struct control_stat *stat)
{
	switch (stat->health) {
	case SGX_EPC_OK: return 0;
	case SGX_EPC_DEGRADED: return 1;
	case SGX_EPC_FAILING: return 2;
	}
	return EXIT_NO_ANSWER;
}

void show_health(FILE *out, const struct control_stat *stat)
{
	fputs(health_name(stat), out);
	if (stat->epc.leaked)
		fprintf(out, ": %" PRIu64 " of %" PRIu64 " EPC pages leaked, refer to "
			"docs/epc-leaks.md", stat->epc.leaked, stat->epc.total);
	if (stat->activity.orphans)
		fprintf(out, "%s %" PRIu64 " orphaned SECS pages of guests",
			stat->epc.leaked ? ";" : ":", stat->activity.orphans);
}

/* --- counters -------------------------------------------------------------------------- */

static void show_epc(FILE *out, const char *indent, const struct control_stat *stat)
{
	const struct sgx_epc_stat *epc = &stat->epc;
	const struct sgx_epc_activity *a = &stat->activity;

	fprintf(out, "%sEPC pages  %" PRIu64 ": %" PRIu64 " free, %" PRIu64 " cached, %" PRIu64
		" in use, %" PRIu64 " leaked, %" PRIu64 " poisoned, %" PRIu64 " unsanitized\n",
		indent, epc->total, epc->free, epc->cached, epc->in_use, epc->leaked,
		epc->poisoned, epc->unsanitized);
	fprintf(out, "%spaging     %" PRIu64 " evicted, %" PRIu64 " refused, %" PRIu64
		" reloaded, %" PRIu64 " outside now\n", indent, a->evicted, a->evict_failed,
		a->reloaded, a->backed);
	fprintf(out, "%sguests     %" PRIu64 " virtual EPCs, %" PRIu64 " orphaned SECS pages\n",
		indent, a->vepcs, a->orphans);
}

static void show_ioctls(FILE *out, const char *indent, const struct control_stat *stat)
{
	const char *separator = "";

	fprintf(out, "%sioctls     ", indent);
	for (uint32_t i = 0; i < stat->nr_ioctls; i++) {
		const struct control_ioctl *one = &stat->ioctls[i];

		if (!one->nr_calls)
			continue;
		fprintf(out, "%s%s %" PRIu64, separator, one->name, one->nr_calls);
		if (one->nr_failed)
			fprintf(out, " (%" PRIu64 " failed)", one->nr_failed);
		separator = ", ";
	}
	fprintf(out, "%s\n", *separator ? "" : "none");
}

const struct place_name place_names[COUNT_NR_PLACES] = {
#define PLACE(name, where, instruction, fate) { where, instruction, fate },
#include "../server/counts.def"
#undef PLACE
};

static void show_code(FILE *out, const char *indent, const struct control_stat *stat)
{
	for (size_t i = 0; i < COUNT_NR_PLACES; i++)
		if (stat->places[i])
			fprintf(out, "%scode       %" PRIu64 " %s of the %s: %s\n", indent,
				stat->places[i], place_names[i].instruction,
				place_names[i].where, place_names[i].fate);
}

const char *trap_name(size_t trap)
{
	switch (trap) {
	case COUNT_TRAP_NO_LEAF: return "no-leaf";
	case COUNT_TRAP_CPUID: return "CPUID";
	case COUNT_TRAP_XSAVE: return "XSAVE";
	default: return isa_leaf_name(ISA_ENCLU, (uint32_t)(trap - COUNT_TRAP_ENCLU));
	}
}

static void show_traps(FILE *out, const char *indent, const struct control_stat *stat)
{
	const char *separator = "";

	fprintf(out, "%straps      ", indent);
	for (size_t i = 0; i < COUNT_NR_TRAPS; i++) {
		if (!stat->traps[i] || !trap_name(i))
			continue;
		fprintf(out, "%s%s %" PRIu64, separator, trap_name(i), stat->traps[i]);
		separator = ", ";
	}
	fprintf(out, "%s\n", *separator ? "" : "none");
}

void show_stat(FILE *out, const char *indent, const char *name, const struct control_stat *stat)
{
	char since[32];

	format_time(stat->started_ns, since);
	fprintf(out, "%sserver     %s, process %d, since %s\n", indent, name, (int)stat->pid, since);
	fprintf(out, "%shealth     ", indent);
	show_health(out, stat);
	fputc('\n', out);
	show_epc(out, indent, stat);
	fprintf(out, "%senclaves   %" PRIu64 " made, %" PRIu64 " open\n", indent, stat->nr_enclaves,
		stat->nr_enclaves_open);
	show_ioctls(out, indent, stat);
	show_code(out, indent, stat);
	show_traps(out, indent, stat);
	for (uint32_t i = 0; i < stat->nr_rules; i++)
		fprintf(out, "%sinjected   %" PRIu64 " failures in %" PRIu64 " calls: %s\n", indent,
			stat->rules[i].nr_fired, stat->rules[i].nr_calls, stat->rules[i].text);
}

/* --- leaks ------------------------------------------------------------------------------- */

const char *leak_result_name(const struct control_leak *leak)
{
	return leak->result.kind == ISA_FAULT ? isa_vector_name(leak->result.vector)
					      : isa_error_name(leak->result.code);
}

const char *leak_page_type(const struct control_leak *leak)
{
	switch (leak->epcm.pt) {
	case PT_SECS: return "SECS";
	case PT_TCS: return "TCS";
	case PT_REG: return "REG";
	case PT_VA: return "VA";
	case PT_TRIM: return "TRIM";
	}
	return "?";
}

void format_rwx(const struct control_leak *leak, char rwx[4])
{
	strcpy(rwx, "---");
	if (leak->epcm.rwx & SECINFO_R)
		rwx[0] = 'r';
	if (leak->epcm.rwx & SECINFO_W)
		rwx[1] = 'w';
	if (leak->epcm.rwx & SECINFO_X)
		rwx[2] = 'x';
}

static void show_epcm(FILE *out, const struct control_leak *leak)
{
	const struct isa_epcm_info *epcm = &leak->epcm;
	char rwx[4];

	if (!leak->epcm_known) {
		fputs("EPCM unknown", out);
		return;
	}
	if (!epcm->valid) {
		fputs("EPCM not valid", out);
		return;
	}
	format_rwx(leak, rwx);
	fprintf(out, "EPCM %s %s", leak_page_type(leak), rwx);
	if (epcm->pt != PT_SECS && epcm->pt != PT_VA)
		fprintf(out, " at 0x%" PRIx64, epcm->enclaveaddress);
	if (epcm->secs_frame != ISA_NO_FRAME)
		fprintf(out, " of SECS in frame %" PRIu64, epcm->secs_frame);
	fprintf(out, "%s%s%s%s", epcm->blocked ? " blocked" : "", epcm->pending ? " pending" : "",
		epcm->modified ? " modified" : "", epcm->pr ? " pr" : "");
}

void show_leak(FILE *out, const char *indent, const struct control_leak *leak)
{
	const int value = sgx_outcome_to_int(leak->result);
	char when[32];

	format_time(leak->time_ns, when);
	fprintf(out, "%s%s page 0x%" PRIx64 " section %u node %u: EREMOVE returned %d (0x%x, %s) "
		"in %s; ", indent, when, leak->pa, leak->section, leak->node, value,
		(unsigned int)value, leak_result_name(leak), leak->site);
	show_epcm(out, leak);
	fprintf(out, "; enclave %" PRIu64 ", client %.*s, process %d\n", leak->owner.encl_id,
		(int)sizeof(leak->owner.client), leak->owner.client[0] ? leak->owner.client : "?",
		(int)leak->owner.pid);
}
