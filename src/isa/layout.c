/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The architecture's layouts, checked by the compiler.
 * Source: SDM volume 3D, "Enclave Access Control and Data Structures".
 */
#include <assert.h>
#include <stddef.h>

#include <swsgx/arch.h>

#define SIZE(type, size) static_assert(sizeof(struct type) == (size), #type)
#define FIELD(type, field, offset, size)						\
	static_assert(offsetof(struct type, field) == (offset) &&			\
			      sizeof(((struct type *)0)->field) == (size),		\
		      #type "." #field)

SIZE(sgx_secs, 4096);
FIELD(sgx_secs, size, 0, 8);
FIELD(sgx_secs, baseaddr, 8, 8);
FIELD(sgx_secs, ssaframesize, 16, 4);
FIELD(sgx_secs, miscselect, 20, 4);
FIELD(sgx_secs, cet_leg_bitmap_offset, 24, 8);
FIELD(sgx_secs, cet_attributes, 32, 1);
FIELD(sgx_secs, reserved_33, 33, 15);
FIELD(sgx_secs, attributes.flags, 48, 8);
FIELD(sgx_secs, attributes.xfrm, 56, 8);
FIELD(sgx_secs, mrenclave, 64, 32);
FIELD(sgx_secs, reserved_96, 96, 32);
FIELD(sgx_secs, mrsigner, 128, 32);
FIELD(sgx_secs, reserved_160, 160, 32);
FIELD(sgx_secs, configid, 192, 64);
FIELD(sgx_secs, isvprodid, 256, 2);
FIELD(sgx_secs, isvsvn, 258, 2);
FIELD(sgx_secs, configsvn, 260, 2);
FIELD(sgx_secs, reserved_262, 262, 3834);

SIZE(sgx_attributes, 16);
FIELD(sgx_attributes, flags, 0, 8);
FIELD(sgx_attributes, xfrm, 8, 8);

SIZE(sgx_tcs, 4096);
FIELD(sgx_tcs, state, 0, 8);
FIELD(sgx_tcs, flags, 8, 8);
FIELD(sgx_tcs, ossa, 16, 8);
FIELD(sgx_tcs, cssa, 24, 4);
FIELD(sgx_tcs, nssa, 28, 4);
FIELD(sgx_tcs, oentry, 32, 8);
FIELD(sgx_tcs, aep, 40, 8);
FIELD(sgx_tcs, ofsbase, 48, 8);
FIELD(sgx_tcs, ogsbase, 56, 8);
FIELD(sgx_tcs, fslimit, 64, 4);
FIELD(sgx_tcs, gslimit, 68, 4);
FIELD(sgx_tcs, ocetssa, 72, 8);
FIELD(sgx_tcs, prevssp, 80, 8);
FIELD(sgx_tcs, reserved_88, 88, 4008);

SIZE(sgx_gprsgx, 184);
FIELD(sgx_gprsgx, rax, 0, 8);
FIELD(sgx_gprsgx, rcx, 8, 8);
FIELD(sgx_gprsgx, rdx, 16, 8);
FIELD(sgx_gprsgx, rbx, 24, 8);
FIELD(sgx_gprsgx, rsp, 32, 8);
FIELD(sgx_gprsgx, rbp, 40, 8);
FIELD(sgx_gprsgx, rsi, 48, 8);
FIELD(sgx_gprsgx, rdi, 56, 8);
FIELD(sgx_gprsgx, r8, 64, 8);
FIELD(sgx_gprsgx, r9, 72, 8);
FIELD(sgx_gprsgx, r10, 80, 8);
FIELD(sgx_gprsgx, r11, 88, 8);
FIELD(sgx_gprsgx, r12, 96, 8);
FIELD(sgx_gprsgx, r13, 104, 8);
FIELD(sgx_gprsgx, r14, 112, 8);
FIELD(sgx_gprsgx, r15, 120, 8);
FIELD(sgx_gprsgx, rflags, 128, 8);
FIELD(sgx_gprsgx, rip, 136, 8);
FIELD(sgx_gprsgx, ursp, 144, 8);
FIELD(sgx_gprsgx, urbp, 152, 8);
FIELD(sgx_gprsgx, exitinfo, 160, 4);
FIELD(sgx_gprsgx, reserved_164, 164, 3);
FIELD(sgx_gprsgx, aexnotify, 167, 1);
FIELD(sgx_gprsgx, fsbase, 168, 8);
FIELD(sgx_gprsgx, gsbase, 176, 8);

SIZE(sgx_exinfo, 16);
FIELD(sgx_exinfo, maddr, 0, 8);
FIELD(sgx_exinfo, errcd, 8, 4);
FIELD(sgx_exinfo, reserved_12, 12, 4);

SIZE(sgx_pageinfo, 32);
FIELD(sgx_pageinfo, linaddr, 0, 8);
FIELD(sgx_pageinfo, srcpge, 8, 8);
FIELD(sgx_pageinfo, secinfo_or_pcmd, 16, 8);
FIELD(sgx_pageinfo, secs, 24, 8);

SIZE(sgx_secinfo, 64);
FIELD(sgx_secinfo, flags, 0, 8);
FIELD(sgx_secinfo, reserved_8, 8, 56);

SIZE(sgx_pcmd, 128);
FIELD(sgx_pcmd, secinfo, 0, 64);
FIELD(sgx_pcmd, enclaveid, 64, 8);
FIELD(sgx_pcmd, reserved_72, 72, 40);
FIELD(sgx_pcmd, mac, 112, 16);

SIZE(sgx_rdinfo, 24);
FIELD(sgx_rdinfo, status, 0, 8);
FIELD(sgx_rdinfo, flags, 8, 8);
FIELD(sgx_rdinfo, enclavecontext, 16, 8);

SIZE(sgx_reporttype, 4);
FIELD(sgx_reporttype, type, 0, 1);
FIELD(sgx_reporttype, subtype, 1, 1);
FIELD(sgx_reporttype, version, 2, 1);
FIELD(sgx_reporttype, reserved_3, 3, 1);

SIZE(sgx_reportmacstruct, 256);
FIELD(sgx_reportmacstruct, reporttype, 0, 4);
FIELD(sgx_reportmacstruct, reserved_4, 4, 12);
FIELD(sgx_reportmacstruct, cpusvn, 16, 16);
FIELD(sgx_reportmacstruct, tee_tcb_info_hash, 32, 48);
FIELD(sgx_reportmacstruct, tee_info_hash, 80, 48);
FIELD(sgx_reportmacstruct, reportdata, 128, 64);
FIELD(sgx_reportmacstruct, reserved_192, 192, 32);
FIELD(sgx_reportmacstruct, mac, 224, 32);

SIZE(sgx_sigstruct, 1808);
FIELD(sgx_sigstruct, header, 0, 16);
FIELD(sgx_sigstruct, vendor, 16, 4);
FIELD(sgx_sigstruct, date, 20, 4);
FIELD(sgx_sigstruct, header2, 24, 16);
FIELD(sgx_sigstruct, swdefined, 40, 4);
FIELD(sgx_sigstruct, reserved_44, 44, 84);
FIELD(sgx_sigstruct, modulus, 128, 384);
FIELD(sgx_sigstruct, exponent, 512, 4);
FIELD(sgx_sigstruct, signature, 516, 384);
FIELD(sgx_sigstruct, miscselect, 900, 4);
FIELD(sgx_sigstruct, miscmask, 904, 4);
FIELD(sgx_sigstruct, cet_attributes, 908, 1);
FIELD(sgx_sigstruct, cet_attributes_mask, 909, 1);
FIELD(sgx_sigstruct, reserved_910, 910, 2);
FIELD(sgx_sigstruct, isvfamilyid, 912, 16);
FIELD(sgx_sigstruct, attributes, 928, 16);
FIELD(sgx_sigstruct, attributemask, 944, 16);
FIELD(sgx_sigstruct, enclavehash, 960, 32);
FIELD(sgx_sigstruct, reserved_992, 992, 16);
FIELD(sgx_sigstruct, isvextprodid, 1008, 16);
FIELD(sgx_sigstruct, isvprodid, 1024, 2);
FIELD(sgx_sigstruct, isvsvn, 1026, 2);
FIELD(sgx_sigstruct, reserved_1028, 1028, 12);
FIELD(sgx_sigstruct, q1, 1040, 384);
FIELD(sgx_sigstruct, q2, 1424, 384);

SIZE(sgx_einittoken, 304);
FIELD(sgx_einittoken, valid, 0, 4);
FIELD(sgx_einittoken, reserved_4, 4, 44);
FIELD(sgx_einittoken, attributes, 48, 16);
FIELD(sgx_einittoken, mrenclave, 64, 32);
FIELD(sgx_einittoken, reserved_96, 96, 32);
FIELD(sgx_einittoken, mrsigner, 128, 32);
FIELD(sgx_einittoken, reserved_160, 160, 32);
FIELD(sgx_einittoken, cpusvnle, 192, 16);
FIELD(sgx_einittoken, isvprodidle, 208, 2);
FIELD(sgx_einittoken, isvsvnle, 210, 2);
FIELD(sgx_einittoken, cet_masked_attributes_le, 212, 1);
FIELD(sgx_einittoken, reserved_213, 213, 23);
FIELD(sgx_einittoken, maskedmiscselectle, 236, 4);
FIELD(sgx_einittoken, maskedattributesle, 240, 16);
FIELD(sgx_einittoken, keyid, 256, 32);
FIELD(sgx_einittoken, mac, 288, 16);

SIZE(sgx_report, 432);
FIELD(sgx_report, cpusvn, 0, 16);
FIELD(sgx_report, miscselect, 16, 4);
FIELD(sgx_report, cet_attributes, 20, 1);
FIELD(sgx_report, reserved_21, 21, 11);
FIELD(sgx_report, isvextprodid, 32, 16);
FIELD(sgx_report, attributes, 48, 16);
FIELD(sgx_report, mrenclave, 64, 32);
FIELD(sgx_report, reserved_96, 96, 32);
FIELD(sgx_report, mrsigner, 128, 32);
FIELD(sgx_report, reserved_160, 160, 32);
FIELD(sgx_report, configid, 192, 64);
FIELD(sgx_report, isvprodid, 256, 2);
FIELD(sgx_report, isvsvn, 258, 2);
FIELD(sgx_report, configsvn, 260, 2);
FIELD(sgx_report, reserved_262, 262, 42);
FIELD(sgx_report, isvfamilyid, 304, 16);
FIELD(sgx_report, reportdata, 320, 64);
FIELD(sgx_report, keyid, 384, 32);
FIELD(sgx_report, mac, 416, 16);

SIZE(sgx_targetinfo, 512);
FIELD(sgx_targetinfo, measurement, 0, 32);
FIELD(sgx_targetinfo, attributes, 32, 16);
FIELD(sgx_targetinfo, cet_attributes, 48, 1);
FIELD(sgx_targetinfo, reserved_49, 49, 1);
FIELD(sgx_targetinfo, configsvn, 50, 2);
FIELD(sgx_targetinfo, miscselect, 52, 4);
FIELD(sgx_targetinfo, reserved_56, 56, 8);
FIELD(sgx_targetinfo, configid, 64, 64);
FIELD(sgx_targetinfo, reserved_128, 128, 384);

SIZE(sgx_keyrequest, 512);
FIELD(sgx_keyrequest, keyname, 0, 2);
FIELD(sgx_keyrequest, keypolicy, 2, 2);
FIELD(sgx_keyrequest, isvsvn, 4, 2);
FIELD(sgx_keyrequest, cet_attributes_mask, 6, 1);
FIELD(sgx_keyrequest, reserved_7, 7, 1);
FIELD(sgx_keyrequest, cpusvn, 8, 16);
FIELD(sgx_keyrequest, attributemask, 24, 16);
FIELD(sgx_keyrequest, keyid, 40, 32);
FIELD(sgx_keyrequest, miscmask, 72, 4);
FIELD(sgx_keyrequest, configsvn, 76, 2);
FIELD(sgx_keyrequest, reserved_78, 78, 434);
