/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a server told, for programs.  Addresses are strings, because not every
 * reader of JSON keeps 64 bits of a number.
 */
#include <inttypes.h>
#include <stdlib.h>

#include <jansson.h>

#include "cli.h"

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *address(uint64_t a)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, a);
	return json_string(text);
}

static json_t *time_of(uint64_t time_ns)
{
	char text[32];

	format_time(time_ns, text);
	return json_string(text);
}

/*
 * Takes @root.  A part of it that could not be made is missing, so it is
 * NULL then: json_pack() and json_object_update_new() fail as a whole.
 */
static bool print(FILE *out, json_t *root)
{
	const bool ok = root && json_dumpf(root, out, JSON_INDENT(2)) == 0 &&
			fputc('\n', out) != EOF;

	json_decref(root);
	return ok;
}

static json_t *epc_counters(const struct sgx_epc_stat *epc)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "total", number(epc->total), "free",
			 number(epc->free), "cached", number(epc->cached), "in_use",
			 number(epc->in_use), "leaked", number(epc->leaked), "poisoned",
			 number(epc->poisoned), "unsanitized", number(epc->unsanitized));
}

static json_t *activity(const struct sgx_epc_activity *a)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "evictable",
			 number(a->evictable), "backed", number(a->backed), "va_pages",
			 number(a->va_pages), "orphans", number(a->orphans), "evicted",
			 number(a->evicted), "reloaded", number(a->reloaded), "augmented",
			 number(a->augmented), "evict_failed", number(a->evict_failed));
}

static json_t *ioctls(const struct control_stat *stat)
{
	json_t *all = json_object();

	for (uint32_t i = 0; all && i < stat->nr_ioctls; i++) {
		const struct control_ioctl *one = &stat->ioctls[i];
		json_t *calls = json_pack("{s:o, s:o}", "calls", number(one->nr_calls), "failed",
					  number(one->nr_failed));

		if (json_object_set_new(all, one->name, calls)) {
			json_decref(all);
			all = NULL;
		}
	}
	return all;
}

static json_t *rules(const struct control_stat *stat)
{
	json_t *all = json_array();

	for (uint32_t i = 0; all && i < stat->nr_rules; i++) {
		const struct control_rule *one = &stat->rules[i];

		if (json_array_append_new(all, json_pack("{s:s, s:o, s:o}", "rule", one->text,
							 "calls", number(one->nr_calls), "failed",
							 number(one->nr_fired)))) {
			json_decref(all);
			all = NULL;
		}
	}
	return all;
}

bool json_stat(FILE *out, const char *name, const struct control_stat *stat)
{
	return print(out, json_pack("{s:s, s:i, s:o, s:s, s:o, s:o, s:{s:o, s:o}, s:o, s:o}",
				    "server", name, "pid", (int)stat->pid, "since",
				    time_of(stat->started_ns), "health", health_name(stat), "epc",
				    epc_counters(&stat->epc), "activity", activity(&stat->activity),
				    "enclaves", "made", number(stat->nr_enclaves), "open",
				    number(stat->nr_enclaves_open), "ioctls", ioctls(stat),
				    "injected", rules(stat)));
}

bool json_health(FILE *out, const char *name, const struct control_stat *stat)
{
	return print(out, json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "server", name, "health",
				    health_name(stat), "leaked", number(stat->epc.leaked), "orphans",
				    number(stat->activity.orphans), "total", number(stat->epc.total),
				    "free", number(stat->epc.free + stat->epc.cached),
				    "low_watermark", number(stat->watermarks.low)));
}

/* --- leaks ------------------------------------------------------------------------- */

struct json_leaks {
	json_t *root, *rows;
};

struct json_leaks *json_leaks_begin(const char *name)
{
	struct json_leaks *leaks = calloc(1, sizeof(*leaks));

	if (!leaks)
		return NULL;
	leaks->rows = json_array();
	/* One reference for the root, one for us. */
	leaks->root = json_pack("{s:s, s:O}", "server", name, "leaks", leaks->rows);
	return leaks;
}

static json_t *result_of(const struct control_leak *leak)
{
	return json_pack("{s:i, s:s, s:b}", "value", sgx_outcome_to_int(leak->result), "name",
			 leak_result_name(leak), "fault", leak->result.kind == ISA_FAULT);
}

static json_t *epcm_of(const struct control_leak *leak)
{
	const struct isa_epcm_info *epcm = &leak->epcm;
	char rwx[4];

	if (!leak->epcm_known)
		return json_null();
	if (!epcm->valid)
		return json_pack("{s:b}", "valid", false);
	format_rwx(leak, rwx);
	return json_pack("{s:b, s:s, s:s, s:o, s:o, s:b, s:b, s:b, s:b}", "valid", true, "type",
			 leak_page_type(leak), "rwx", rwx, "enclaveaddress",
			 address(epcm->enclaveaddress), "secs_frame",
			 epcm->secs_frame == ISA_NO_FRAME ? json_null() : number(epcm->secs_frame),
			 "blocked", epcm->blocked, "pending", epcm->pending, "modified",
			 epcm->modified, "pr", epcm->pr);
}

bool json_leaks_add(struct json_leaks *leaks, const struct control_leak *leak)
{
	json_t *row = json_pack("{s:o, s:i, s:i, s:o, s:o, s:{s:o, s:o, s:i}, s:s, s:o}", "page",
				address(leak->pa), "section", (int)leak->section, "node",
				(int)leak->node, "result", result_of(leak), "epcm", epcm_of(leak),
				"owner", "enclave", number(leak->owner.encl_id), "client",
				number(leak->owner.client_id), "process", (int)leak->owner.pid,
				"site", leak->site, "time", time_of(leak->time_ns));

	return json_array_append_new(leaks->rows, row) == 0;
}

bool json_leaks_end(struct json_leaks *leaks, FILE *out)
{
	const bool ok = !out || print(out, json_incref(leaks->root));

	json_decref(leaks->root);
	json_decref(leaks->rows);
	free(leaks);
	return ok;
}
