/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Extended state in signal frames, on areas made here: what an exit leaves, and
 * what a resume takes from an SSA.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/client/client.h"

#define FCW 0
#define FSW 2
#define MXCSR 24
#define MXCSR_MASK 28
#define X87_REGS 32
#define XMM_REGS 160
#define XMM_END 416
#define SW_RESERVED 464
#define XSTATE_BV 512
#define AVX 2
#define AVX_BIT 4u

/* More than any state but AMX's */
static _Alignas(64) uint8_t area[4096], image[4096];
static ucontext_t context;

static uint16_t get16(size_t at)
{
	uint16_t v;

	memcpy(&v, area + at, sizeof(v));
	return v;
}

static uint32_t get32(size_t at)
{
	uint32_t v;

	memcpy(&v, area + at, sizeof(v));
	return v;
}

static uint64_t get64(size_t at)
{
	uint64_t v;

	memcpy(&v, area + at, sizeof(v));
	return v;
}

static void put32(uint8_t *to, size_t at, uint32_t v)
{
	memcpy(to + at, &v, sizeof(v));
}

static void put64(uint8_t *to, size_t at, uint64_t v)
{
	memcpy(to + at, &v, sizeof(v));
}

static void assert_all(size_t from, size_t to, uint8_t value)
{
	for (size_t i = from; i < to; i++)
		assert_int_equal(area[i], value);
}

static void exit_leaves_the_synthetic_state(void **state)
{
	put64(area, XSTATE_BV, 7);
	client_xstate_init(&context, 3, -1);
	assert_int_equal(get16(FCW), 0x37f);
	assert_int_equal(get16(FSW), 0);
	assert_int_equal(get32(MXCSR), 0x1fb0);
	assert_all(X87_REGS, XMM_END, 0);
	/* AVX is not the enclave's: it stays. */
	assert_int_equal(get64(XSTATE_BV), 7);
	assert_all(client_xsave_components()[AVX].offset, sizeof(area), 0xa5);
}

static void exit_takes_what_xfrm_names(void **state)
{
	put64(area, XSTATE_BV, 7);
	client_xstate_init(&context, 7, -1);
	assert_int_equal(get64(XSTATE_BV), 3);
}

static void exit_by_mf_shows_a_pending_exception(void **state)
{
	client_xstate_init(&context, 3, X86_MF);
	assert_int_equal(get16(FCW), 0x37e);
	assert_int_equal(get16(FSW), 0x8081);
	assert_int_equal(get32(MXCSR), 0x1fb0);
}

static void exit_by_xm_unmasks_it(void **state)
{
	client_xstate_init(&context, 3, X86_XM);
	assert_int_equal(get16(FCW), 0x37f);
	assert_int_equal(get32(MXCSR), 0x1f01);
}

static void exit_keeps_the_kernels_words(void **state)
{
	client_xstate_init(&context, 3, -1);
	assert_int_equal(get32(MXCSR_MASK), 0xffff);
	assert_all(XMM_END, XSTATE_BV, 0xa5);
}

static void resume_loads_legacy_state(void **state)
{
	memset(image, 0x11, XMM_END);
	put32(image, MXCSR, 0x1f80);
	put64(image, XSTATE_BV, 3);
	client_xstate_load(&context, image, 3);
	assert_all(0, MXCSR, 0x11);
	assert_int_equal(get32(MXCSR), 0x1f80);
	assert_all(X87_REGS, XMM_END, 0x11);
	assert_all(XMM_END, XSTATE_BV, 0xa5);
	assert_int_equal(get64(XSTATE_BV) & 3, 3);
}

static void resume_keeps_reserved_mxcsr_bits_out(void **state)
{
	put32(area, MXCSR_MASK, 0xffbf);
	put32(image, MXCSR, 0xffffffff);
	client_xstate_load(&context, image, 3);
	assert_int_equal(get32(MXCSR), 0xffbf);
	assert_int_equal(get32(MXCSR_MASK), 0xffbf);
	put32(area, MXCSR_MASK, 0);
	client_xstate_load(&context, image, 3);
	assert_int_equal(get32(MXCSR), 0xffff);
}

static const struct isa_xsave_component *avx(void)
{
	if (!(client_xcr0() & AVX_BIT))
		skip();
	return &client_xsave_components()[AVX];
}

static void resume_loads_avx_where_the_frame_has_it(void **state)
{
	const struct isa_xsave_component *c = avx();

	memset(image + c->offset, 0x22, c->size);
	put64(area, XSTATE_BV, 3);
	put64(image, XSTATE_BV, 7);
	client_xstate_load(&context, image, 7);
	assert_all(c->offset, c->offset + c->size, 0x22);
	assert_all(c->offset + c->size, sizeof(area), 0xa5);
	assert_int_equal(get64(XSTATE_BV), 7);
}

static void resume_with_avx_in_its_initial_state(void **state)
{
	avx();
	put64(area, XSTATE_BV, 7);
	put64(image, XSTATE_BV, 3);
	client_xstate_load(&context, image, 7);
	assert_int_equal(get64(XSTATE_BV), 3);
}

static void resume_leaves_what_xfrm_lacks(void **state)
{
	const struct isa_xsave_component *c = avx();

	memset(image + c->offset, 0x22, c->size);
	put64(area, XSTATE_BV, 7);
	put64(image, XSTATE_BV, 7);
	client_xstate_load(&context, image, 3);
	assert_all(c->offset, c->offset + c->size, 0xa5);
	assert_int_equal(get64(XSTATE_BV), 7);
}

static void size_is_what_the_kernel_wrote(void **state)
{
	assert_int_equal(client_xstate_size(&context), 512);
	put32(area, SW_RESERVED, FP_XSTATE_MAGIC1);
	put32(area, SW_RESERVED + 4, 2440);
	assert_int_equal(client_xstate_size(&context), 2440);
}

static int setup(void **state)
{
	memset(area, 0xa5, sizeof(area));
	memset(image, 0, sizeof(image));
	put32(area, MXCSR_MASK, 0xffff);
	put64(area, XSTATE_BV, 0);
	context.uc_mcontext.fpregs = (void *)area;
	return 0;
}

static int probe(void **state)
{
	client_xstate_probe();
	return client_xcr0() & 3 ? 0 : -1;
}

#define EACH(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(exit_leaves_the_synthetic_state),
		EACH(exit_takes_what_xfrm_names),
		EACH(exit_by_mf_shows_a_pending_exception),
		EACH(exit_by_xm_unmasks_it),
		EACH(exit_keeps_the_kernels_words),
		EACH(resume_loads_legacy_state),
		EACH(resume_keeps_reserved_mxcsr_bits_out),
		EACH(resume_loads_avx_where_the_frame_has_it),
		EACH(resume_with_avx_in_its_initial_state),
		EACH(resume_leaves_what_xfrm_lacks),
		EACH(size_is_what_the_kernel_wrote),
	};

	return cmocka_run_group_tests_name("client xstate", tests, probe, NULL);
}
