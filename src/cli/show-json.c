/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a server told, for programs.  Addresses are strings, because not every
 * reader of JSON keeps 64 bits of a number.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cli.h"

/* --- parts: NULL when memory ran out, and then so is what they become part of --------- */

/* Takes @value. */
static void put(json_t **object, const char *key, json_t *value)
{
	if (!*object) {
		json_decref(value);
	} else if (json_object_set_new(*object, key, value)) {
		json_decref(*object);
		*object = NULL;
	}
}

/* Takes @value. */
static void append(json_t **array, json_t *value)
{
	if (!*array) {
		json_decref(value);
	} else if (json_array_append_new(*array, value)) {
		json_decref(*array);
		*array = NULL;
	}
}

static void put_number(json_t **object, const char *key, uint64_t n)
{
	put(object, key, json_integer((json_int_t)n));
}

static void put_string(json_t **object, const char *key, const char *text)
{
	put(object, key, json_string(text));
}

static void put_address(json_t **object, const char *key, uint64_t address)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, address);
	put_string(object, key, text);
}

static void put_time(json_t **object, const char *key, uint64_t time_ns)
{
	char text[32];

	format_time(time_ns, text);
	put_string(object, key, text);
}

/* Takes @root. */
static bool print(FILE *out, json_t *root)
{
	const bool ok = root && json_dumpf(root, out, JSON_INDENT(2)) == 0 &&
			fputc('\n', out) != EOF;

	json_decref(root);
	return ok;
}

/* --- counters --------------------------------------------------------------------------- */

static json_t *epc_of(const struct sgx_epc_stat *epc)
{
	json_t *o = json_object();

	put_number(&o, "total", epc->total);
	put_number(&o, "free", epc->free);
	put_number(&o, "cached", epc->cached);
	put_number(&o, "in_use", epc->in_use);
	put_number(&o, "leaked", epc->leaked);
	put_number(&o, "poisoned", epc->poisoned);
	put_number(&o, "unsanitized", epc->unsanitized);
	return o;
}

static json_t *watermarks_of(const struct sgx_epc_watermarks *watermarks)
{
	json_t *o = json_object();

	put_number(&o, "low", watermarks->low);
	put_number(&o, "high", watermarks->high);
	return o;
}

static json_t *activity_of(const struct sgx_epc_activity *activity)
{
	json_t *o = json_object();

	put_number(&o, "vepcs", activity->vepcs);
	put_number(&o, "orphans", activity->orphans);
	put_number(&o, "evictable", activity->evictable);
	put_number(&o, "backed", activity->backed);
	put_number(&o, "va_pages", activity->va_pages);
	put_number(&o, "evicted", activity->evicted);
	put_number(&o, "evict_failed", activity->evict_failed);
	put_number(&o, "reloaded", activity->reloaded);
	put_number(&o, "augmented", activity->augmented);
	return o;
}

static json_t *enclaves_of(const struct control_stat *stat)
{
	json_t *o = json_object();

	put_number(&o, "made", stat->nr_enclaves);
	put_number(&o, "open", stat->nr_enclaves_open);
	return o;
}

static json_t *ioctls_of(const struct control_stat *stat)
{
	json_t *all = json_object();

	for (uint32_t i = 0; i < stat->nr_ioctls; i++) {
		json_t *one = json_object();

		put_number(&one, "calls", stat->ioctls[i].nr_calls);
		put_number(&one, "failed", stat->ioctls[i].nr_failed);
		put(&all, stat->ioctls[i].name, one);
	}
	return all;
}

static json_t *rules_of(const struct control_stat *stat)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < stat->nr_rules; i++) {
		json_t *one = json_object();

		put_string(&one, "rule", stat->rules[i].text);
		put_number(&one, "calls", stat->rules[i].nr_calls);
		put_number(&one, "failed", stat->rules[i].nr_fired);
		append(&all, one);
	}
	return all;
}

static json_t *code_of(const struct control_stat *stat)
{
	json_t *all = json_array();

	for (size_t i = 0; i < COUNT_NR_PLACES; i++) {
		json_t *one = json_object();

		put_string(&one, "where", place_names[i].where);
		put_string(&one, "instruction", place_names[i].instruction);
		put_string(&one, "fate", place_names[i].fate);
		put_number(&one, "places", stat->places[i]);
		append(&all, one);
	}
	return all;
}

static json_t *traps_of(const struct control_stat *stat)
{
	json_t *all = json_object();

	for (size_t i = 0; i < COUNT_NR_TRAPS; i++)
		if (trap_name(i))
			put_number(&all, trap_name(i), stat->traps[i]);
	return all;
}

bool json_stat(FILE *out, const char *name, const struct control_stat *stat)
{
	json_t *o = json_object();

	put_string(&o, "server", name);
	put(&o, "pid", json_integer(stat->pid));
	put_time(&o, "since", stat->started_ns);
	put_string(&o, "health", health_name(stat));
	put_string(&o, "on_leak", on_leak_name(stat->on_leak));
	put(&o, "epc", epc_of(&stat->epc));
	put(&o, "watermarks", watermarks_of(&stat->watermarks));
	put(&o, "activity", activity_of(&stat->activity));
	put(&o, "enclaves", enclaves_of(stat));
	put(&o, "ioctls", ioctls_of(stat));
	put(&o, "code", code_of(stat));
	put(&o, "traps", traps_of(stat));
	put(&o, "injected", rules_of(stat));
	return print(out, o);
}

bool json_health(FILE *out, const char *name, const struct control_stat *stat)
{
	json_t *o = json_object();

	put_string(&o, "server", name);
	put_string(&o, "health", health_name(stat));
	put_number(&o, "leaked", stat->epc.leaked);
	put_number(&o, "orphans", stat->activity.orphans);
	put_number(&o, "total", stat->epc.total);
	put_number(&o, "free", stat->epc.free + stat->epc.cached);
	put_number(&o, "low_watermark", stat->watermarks.low);
	return print(out, o);
}

/* --- leaks ------------------------------------------------------------------------- */

static json_t *result_of(const struct control_leak *leak)
{
	json_t *o = json_object();

	put(&o, "value", json_integer(sgx_outcome_to_int(leak->result)));
	put_string(&o, "name", leak_result_name(leak));
	put(&o, "fault", json_boolean(leak->result.kind == ISA_FAULT));
	return o;
}

static json_t *epcm_of(const struct control_leak *leak)
{
	const struct isa_epcm_info *epcm = &leak->epcm;
	json_t *o = json_object();
	char rwx[4];

	put(&o, "valid", json_boolean(epcm->valid));
	if (!epcm->valid)
		return o;
	format_rwx(leak, rwx);
	put_string(&o, "type", leak_page_type(leak));
	put_string(&o, "rwx", rwx);
	put(&o, "blocked", json_boolean(epcm->blocked));
	put(&o, "pending", json_boolean(epcm->pending));
	put(&o, "modified", json_boolean(epcm->modified));
	put(&o, "pr", json_boolean(epcm->pr));
	put_address(&o, "enclaveaddress", epcm->enclaveaddress);
	if (epcm->secs_frame != ISA_NO_FRAME)
		put_number(&o, "secs_frame", epcm->secs_frame);
	return o;
}

static json_t *owner_of(const struct control_leak *leak)
{
	json_t *o = json_object();

	put_number(&o, "enclave", leak->owner.encl_id);
	put(&o, "client", json_stringn(leak->owner.client,
				       strnlen(leak->owner.client, sizeof(leak->owner.client))));
	put(&o, "process", json_integer(leak->owner.pid));
	return o;
}

bool json_leaks_begin(struct json_leaks *leaks)
{
	leaks->rows = json_array();
	return leaks->rows;
}

bool json_leaks_add(struct json_leaks *leaks, const struct control_leak *leak)
{
	json_t *o = json_object();

	put_address(&o, "page", leak->pa);
	put_number(&o, "section", leak->section);
	put_number(&o, "node", leak->node);
	put(&o, "result", result_of(leak));
	put(&o, "epcm", leak->epcm_known ? epcm_of(leak) : json_null());
	put(&o, "owner", owner_of(leak));
	put_string(&o, "site", leak->site);
	put_time(&o, "time", leak->time_ns);
	append(&leaks->rows, o);
	return leaks->rows;
}

bool json_leaks_end(struct json_leaks *leaks, const char *name, FILE *out)
{
	json_t *o = json_object();

	put_string(&o, "server", name);
	put(&o, "leaks", leaks->rows);
	return print(out, o);
}

void json_leaks_drop(struct json_leaks *leaks)
{
	json_decref(leaks->rows);
}
