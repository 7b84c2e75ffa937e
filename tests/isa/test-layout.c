/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The structures of arch.h against layouts.csv: every row of the table has its
 * field, every field listed here has its row, and the numbers agree.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

struct row {
	const char *structure, *field;
	size_t offset, size;
	bool seen;
};

#define TOTAL(name, type) { name, "_TOTAL", 0, sizeof(struct type), false }
#define FIELD(name, field_name, type, field) \
	{ name, field_name, offsetof(struct type, field), sizeof(((struct type *)0)->field), false }

static struct row rows[] = {
	TOTAL("SECS", sgx_secs),
	FIELD("SECS", "SIZE", sgx_secs, size),
	FIELD("SECS", "BASEADDR", sgx_secs, baseaddr),
	FIELD("SECS", "SSAFRAMESIZE", sgx_secs, ssaframesize),
	FIELD("SECS", "MISCSELECT", sgx_secs, miscselect),
	FIELD("SECS", "CET_LEG_BITMAP_OFFSET", sgx_secs, cet_leg_bitmap_offset),
	FIELD("SECS", "CET_ATTRIBUTES", sgx_secs, cet_attributes),
	FIELD("SECS", "RESERVED_33", sgx_secs, reserved_33),
	FIELD("SECS", "ATTRIBUTES.FLAGS", sgx_secs, attributes.flags),
	FIELD("SECS", "ATTRIBUTES.XFRM", sgx_secs, attributes.xfrm),
	FIELD("SECS", "MRENCLAVE", sgx_secs, mrenclave),
	FIELD("SECS", "RESERVED_96", sgx_secs, reserved_96),
	FIELD("SECS", "MRSIGNER", sgx_secs, mrsigner),
	FIELD("SECS", "RESERVED_160", sgx_secs, reserved_160),
	FIELD("SECS", "CONFIGID", sgx_secs, configid),
	FIELD("SECS", "ISVPRODID", sgx_secs, isvprodid),
	FIELD("SECS", "ISVSVN", sgx_secs, isvsvn),
	FIELD("SECS", "CONFIGSVN", sgx_secs, configsvn),
	FIELD("SECS", "RESERVED_262", sgx_secs, reserved_262),
	TOTAL("ATTRIBUTES", sgx_attributes),
	FIELD("ATTRIBUTES", "FLAGS", sgx_attributes, flags),
	FIELD("ATTRIBUTES", "XFRM", sgx_attributes, xfrm),
	TOTAL("TCS", sgx_tcs),
	FIELD("TCS", "STATE", sgx_tcs, state),
	FIELD("TCS", "FLAGS", sgx_tcs, flags),
	FIELD("TCS", "OSSA", sgx_tcs, ossa),
	FIELD("TCS", "CSSA", sgx_tcs, cssa),
	FIELD("TCS", "NSSA", sgx_tcs, nssa),
	FIELD("TCS", "OENTRY", sgx_tcs, oentry),
	FIELD("TCS", "AEP", sgx_tcs, aep),
	FIELD("TCS", "OFSBASE", sgx_tcs, ofsbase),
	FIELD("TCS", "OGSBASE", sgx_tcs, ogsbase),
	FIELD("TCS", "FSLIMIT", sgx_tcs, fslimit),
	FIELD("TCS", "GSLIMIT", sgx_tcs, gslimit),
	FIELD("TCS", "OCETSSA", sgx_tcs, ocetssa),
	FIELD("TCS", "PREVSSP", sgx_tcs, prevssp),
	FIELD("TCS", "RESERVED_88", sgx_tcs, reserved_88),
	TOTAL("GPRSGX", sgx_gprsgx),
	FIELD("GPRSGX", "RAX", sgx_gprsgx, rax),
	FIELD("GPRSGX", "RCX", sgx_gprsgx, rcx),
	FIELD("GPRSGX", "RDX", sgx_gprsgx, rdx),
	FIELD("GPRSGX", "RBX", sgx_gprsgx, rbx),
	FIELD("GPRSGX", "RSP", sgx_gprsgx, rsp),
	FIELD("GPRSGX", "RBP", sgx_gprsgx, rbp),
	FIELD("GPRSGX", "RSI", sgx_gprsgx, rsi),
	FIELD("GPRSGX", "RDI", sgx_gprsgx, rdi),
	FIELD("GPRSGX", "R8", sgx_gprsgx, r8),
	FIELD("GPRSGX", "R9", sgx_gprsgx, r9),
	FIELD("GPRSGX", "R10", sgx_gprsgx, r10),
	FIELD("GPRSGX", "R11", sgx_gprsgx, r11),
	FIELD("GPRSGX", "R12", sgx_gprsgx, r12),
	FIELD("GPRSGX", "R13", sgx_gprsgx, r13),
	FIELD("GPRSGX", "R14", sgx_gprsgx, r14),
	FIELD("GPRSGX", "R15", sgx_gprsgx, r15),
	FIELD("GPRSGX", "RFLAGS", sgx_gprsgx, rflags),
	FIELD("GPRSGX", "RIP", sgx_gprsgx, rip),
	FIELD("GPRSGX", "URSP", sgx_gprsgx, ursp),
	FIELD("GPRSGX", "URBP", sgx_gprsgx, urbp),
	FIELD("GPRSGX", "EXITINFO", sgx_gprsgx, exitinfo),
	FIELD("GPRSGX", "RESERVED_164", sgx_gprsgx, reserved_164),
	FIELD("GPRSGX", "AEXNOTIFY", sgx_gprsgx, aexnotify),
	FIELD("GPRSGX", "FSBASE", sgx_gprsgx, fsbase),
	FIELD("GPRSGX", "GSBASE", sgx_gprsgx, gsbase),
	TOTAL("EXINFO", sgx_exinfo),
	FIELD("EXINFO", "MADDR", sgx_exinfo, maddr),
	FIELD("EXINFO", "ERRCD", sgx_exinfo, errcd),
	FIELD("EXINFO", "RESERVED_12", sgx_exinfo, reserved_12),
	TOTAL("PAGEINFO", sgx_pageinfo),
	FIELD("PAGEINFO", "LINADDR", sgx_pageinfo, linaddr),
	FIELD("PAGEINFO", "SRCPGE", sgx_pageinfo, srcpge),
	FIELD("PAGEINFO", "SECINFO_OR_PCMD", sgx_pageinfo, secinfo_or_pcmd),
	FIELD("PAGEINFO", "SECS", sgx_pageinfo, secs),
	TOTAL("SECINFO", sgx_secinfo),
	FIELD("SECINFO", "FLAGS", sgx_secinfo, flags),
	FIELD("SECINFO", "RESERVED_8", sgx_secinfo, reserved_8),
	TOTAL("PCMD", sgx_pcmd),
	FIELD("PCMD", "SECINFO", sgx_pcmd, secinfo),
	FIELD("PCMD", "ENCLAVEID", sgx_pcmd, enclaveid),
	FIELD("PCMD", "RESERVED_72", sgx_pcmd, reserved_72),
	FIELD("PCMD", "MAC", sgx_pcmd, mac),
	TOTAL("RDINFO", sgx_rdinfo),
	FIELD("RDINFO", "STATUS", sgx_rdinfo, status),
	FIELD("RDINFO", "FLAGS", sgx_rdinfo, flags),
	FIELD("RDINFO", "ENCLAVECONTEXT", sgx_rdinfo, enclavecontext),
	TOTAL("REPORTTYPE", sgx_reporttype),
	FIELD("REPORTTYPE", "TYPE", sgx_reporttype, type),
	FIELD("REPORTTYPE", "SUBTYPE", sgx_reporttype, subtype),
	FIELD("REPORTTYPE", "VERSION", sgx_reporttype, version),
	FIELD("REPORTTYPE", "RESERVED_3", sgx_reporttype, reserved_3),
	TOTAL("REPORTMACSTRUCT", sgx_reportmacstruct),
	FIELD("REPORTMACSTRUCT", "REPORTTYPE", sgx_reportmacstruct, reporttype),
	FIELD("REPORTMACSTRUCT", "RESERVED_4", sgx_reportmacstruct, reserved_4),
	FIELD("REPORTMACSTRUCT", "CPUSVN", sgx_reportmacstruct, cpusvn),
	FIELD("REPORTMACSTRUCT", "TEE_TCB_INFO_HASH", sgx_reportmacstruct, tee_tcb_info_hash),
	FIELD("REPORTMACSTRUCT", "TEE_INFO_HASH", sgx_reportmacstruct, tee_info_hash),
	FIELD("REPORTMACSTRUCT", "REPORTDATA", sgx_reportmacstruct, reportdata),
	FIELD("REPORTMACSTRUCT", "RESERVED_192", sgx_reportmacstruct, reserved_192),
	FIELD("REPORTMACSTRUCT", "MAC", sgx_reportmacstruct, mac),
	TOTAL("SIGSTRUCT", sgx_sigstruct),
	FIELD("SIGSTRUCT", "HEADER", sgx_sigstruct, header),
	FIELD("SIGSTRUCT", "VENDOR", sgx_sigstruct, vendor),
	FIELD("SIGSTRUCT", "DATE", sgx_sigstruct, date),
	FIELD("SIGSTRUCT", "HEADER2", sgx_sigstruct, header2),
	FIELD("SIGSTRUCT", "SWDEFINED", sgx_sigstruct, swdefined),
	FIELD("SIGSTRUCT", "RESERVED_44", sgx_sigstruct, reserved_44),
	FIELD("SIGSTRUCT", "MODULUS", sgx_sigstruct, modulus),
	FIELD("SIGSTRUCT", "EXPONENT", sgx_sigstruct, exponent),
	FIELD("SIGSTRUCT", "SIGNATURE", sgx_sigstruct, signature),
	FIELD("SIGSTRUCT", "MISCSELECT", sgx_sigstruct, miscselect),
	FIELD("SIGSTRUCT", "MISCMASK", sgx_sigstruct, miscmask),
	FIELD("SIGSTRUCT", "CET_ATTRIBUTES", sgx_sigstruct, cet_attributes),
	FIELD("SIGSTRUCT", "CET_ATTRIBUTES_MASK", sgx_sigstruct, cet_attributes_mask),
	FIELD("SIGSTRUCT", "RESERVED_910", sgx_sigstruct, reserved_910),
	FIELD("SIGSTRUCT", "ISVFAMILYID", sgx_sigstruct, isvfamilyid),
	FIELD("SIGSTRUCT", "ATTRIBUTES", sgx_sigstruct, attributes),
	FIELD("SIGSTRUCT", "ATTRIBUTEMASK", sgx_sigstruct, attributemask),
	FIELD("SIGSTRUCT", "ENCLAVEHASH", sgx_sigstruct, enclavehash),
	FIELD("SIGSTRUCT", "RESERVED_992", sgx_sigstruct, reserved_992),
	FIELD("SIGSTRUCT", "ISVEXTPRODID", sgx_sigstruct, isvextprodid),
	FIELD("SIGSTRUCT", "ISVPRODID", sgx_sigstruct, isvprodid),
	FIELD("SIGSTRUCT", "ISVSVN", sgx_sigstruct, isvsvn),
	FIELD("SIGSTRUCT", "RESERVED_1028", sgx_sigstruct, reserved_1028),
	FIELD("SIGSTRUCT", "Q1", sgx_sigstruct, q1),
	FIELD("SIGSTRUCT", "Q2", sgx_sigstruct, q2),
	TOTAL("EINITTOKEN", sgx_einittoken),
	FIELD("EINITTOKEN", "VALID", sgx_einittoken, valid),
	FIELD("EINITTOKEN", "RESERVED_4", sgx_einittoken, reserved_4),
	FIELD("EINITTOKEN", "ATTRIBUTES", sgx_einittoken, attributes),
	FIELD("EINITTOKEN", "MRENCLAVE", sgx_einittoken, mrenclave),
	FIELD("EINITTOKEN", "RESERVED_96", sgx_einittoken, reserved_96),
	FIELD("EINITTOKEN", "MRSIGNER", sgx_einittoken, mrsigner),
	FIELD("EINITTOKEN", "RESERVED_160", sgx_einittoken, reserved_160),
	FIELD("EINITTOKEN", "CPUSVNLE", sgx_einittoken, cpusvnle),
	FIELD("EINITTOKEN", "ISVPRODIDLE", sgx_einittoken, isvprodidle),
	FIELD("EINITTOKEN", "ISVSVNLE", sgx_einittoken, isvsvnle),
	FIELD("EINITTOKEN", "CET_MASKED_ATTRIBUTES_LE", sgx_einittoken, cet_masked_attributes_le),
	FIELD("EINITTOKEN", "RESERVED_213", sgx_einittoken, reserved_213),
	FIELD("EINITTOKEN", "MASKEDMISCSELECTLE", sgx_einittoken, maskedmiscselectle),
	FIELD("EINITTOKEN", "MASKEDATTRIBUTESLE", sgx_einittoken, maskedattributesle),
	FIELD("EINITTOKEN", "KEYID", sgx_einittoken, keyid),
	FIELD("EINITTOKEN", "MAC", sgx_einittoken, mac),
	TOTAL("REPORT", sgx_report),
	FIELD("REPORT", "CPUSVN", sgx_report, cpusvn),
	FIELD("REPORT", "MISCSELECT", sgx_report, miscselect),
	FIELD("REPORT", "CET_ATTRIBUTES", sgx_report, cet_attributes),
	FIELD("REPORT", "RESERVED_21", sgx_report, reserved_21),
	FIELD("REPORT", "ISVEXTPRODID", sgx_report, isvextprodid),
	FIELD("REPORT", "ATTRIBUTES", sgx_report, attributes),
	FIELD("REPORT", "MRENCLAVE", sgx_report, mrenclave),
	FIELD("REPORT", "RESERVED_96", sgx_report, reserved_96),
	FIELD("REPORT", "MRSIGNER", sgx_report, mrsigner),
	FIELD("REPORT", "RESERVED_160", sgx_report, reserved_160),
	FIELD("REPORT", "CONFIGID", sgx_report, configid),
	FIELD("REPORT", "ISVPRODID", sgx_report, isvprodid),
	FIELD("REPORT", "ISVSVN", sgx_report, isvsvn),
	FIELD("REPORT", "CONFIGSVN", sgx_report, configsvn),
	FIELD("REPORT", "RESERVED_262", sgx_report, reserved_262),
	FIELD("REPORT", "ISVFAMILYID", sgx_report, isvfamilyid),
	FIELD("REPORT", "REPORTDATA", sgx_report, reportdata),
	FIELD("REPORT", "KEYID", sgx_report, keyid),
	FIELD("REPORT", "MAC", sgx_report, mac),
	TOTAL("TARGETINFO", sgx_targetinfo),
	FIELD("TARGETINFO", "MEASUREMENT", sgx_targetinfo, measurement),
	FIELD("TARGETINFO", "ATTRIBUTES", sgx_targetinfo, attributes),
	FIELD("TARGETINFO", "CET_ATTRIBUTES", sgx_targetinfo, cet_attributes),
	FIELD("TARGETINFO", "RESERVED_49", sgx_targetinfo, reserved_49),
	FIELD("TARGETINFO", "CONFIGSVN", sgx_targetinfo, configsvn),
	FIELD("TARGETINFO", "MISCSELECT", sgx_targetinfo, miscselect),
	FIELD("TARGETINFO", "RESERVED_56", sgx_targetinfo, reserved_56),
	FIELD("TARGETINFO", "CONFIGID", sgx_targetinfo, configid),
	FIELD("TARGETINFO", "RESERVED_128", sgx_targetinfo, reserved_128),
	TOTAL("KEYREQUEST", sgx_keyrequest),
	FIELD("KEYREQUEST", "KEYNAME", sgx_keyrequest, keyname),
	FIELD("KEYREQUEST", "KEYPOLICY", sgx_keyrequest, keypolicy),
	FIELD("KEYREQUEST", "ISVSVN", sgx_keyrequest, isvsvn),
	FIELD("KEYREQUEST", "CET_ATTRIBUTES_MASK", sgx_keyrequest, cet_attributes_mask),
	FIELD("KEYREQUEST", "RESERVED_7", sgx_keyrequest, reserved_7),
	FIELD("KEYREQUEST", "CPUSVN", sgx_keyrequest, cpusvn),
	FIELD("KEYREQUEST", "ATTRIBUTEMASK", sgx_keyrequest, attributemask),
	FIELD("KEYREQUEST", "KEYID", sgx_keyrequest, keyid),
	FIELD("KEYREQUEST", "MISCMASK", sgx_keyrequest, miscmask),
	FIELD("KEYREQUEST", "CONFIGSVN", sgx_keyrequest, configsvn),
	FIELD("KEYREQUEST", "RESERVED_78", sgx_keyrequest, reserved_78),
};

#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))

static struct row *find(const char *structure, const char *field)
{
	for (size_t i = 0; i < NR_ROWS; i++)
		if (!strcmp(rows[i].structure, structure) && !strcmp(rows[i].field, field))
			return &rows[i];
	print_error("%s.%s is not declared\n", structure, field);
	return NULL;
}

static void declares_what_the_table_says(void **state)
{
	const char *path = getenv("ISA_LAYOUTS");
	char line[128], structure[64], field[64];
	size_t offset, size, nr_rows = 0;
	FILE *f = fopen(path ? path : "layouts.csv", "r");

	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	while (fgets(line, sizeof(line), f)) {
		struct row *row;

		assert_int_equal(sscanf(line, "%63[^,],%63[^,],%zu,%zu", structure, field, &offset,
					&size), 4);
		row = find(structure, field);
		assert_non_null(row);
		assert_false(row->seen);
		row->seen = true;
		if (row->offset != offset || row->size != size)
			print_error("%s.%s\n", structure, field);
		assert_int_equal(row->offset, offset);
		assert_int_equal(row->size, size);
		nr_rows++;
	}
	fclose(f);
	assert_int_equal(nr_rows, NR_ROWS);
	(void)state;
}

static void fields_leave_no_gap(void **state)
{
	size_t end = 0;

	/* Rows are in order: a field begins where the one before ends. */
	for (size_t i = 0; i < NR_ROWS; i++) {
		if (!strcmp(rows[i].field, "_TOTAL")) {
			end = 0;
			continue;
		}
		assert_int_equal(rows[i].offset, end);
		end += rows[i].size;
		if (i + 1 == NR_ROWS || !strcmp(rows[i + 1].field, "_TOTAL")) {
			const struct row *total = find(rows[i].structure, "_TOTAL");

			assert_non_null(total);
			assert_int_equal(end, total->size);
		}
	}
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(declares_what_the_table_says),
		cmocka_unit_test(fields_leave_no_gap),
	};

	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
