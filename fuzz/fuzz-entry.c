/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libFuzzer harness: entry and exit on an enclave whose block, TCS, SSA and EPCM
 * hold anything, and change between one leaf and the next.  The pages lie in one
 * allocation of their exact size, so AddressSanitizer sees a frame overrun.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude \
 *         fuzz/fuzz-entry.c src/isa/entry.c src/isa/aex.c -o fuzz-entry
 *   ./fuzz-entry -max_len=16384
 */
#include <stdlib.h>
#include <string.h>

#include <swsgx/isa.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NR_PAGES = 6, NR_THREADS = 2, IMAGE_SIZE = NR_PAGES * SGX_PAGE_SIZE };

#define BASE 0x700000000000ull
#define REQUIRE(x) do { if (!(x)) abort(); } while (0)

struct input {
	const uint8_t *data;
	size_t left;
};

struct fuzz_encl {
	uint8_t *pages;
	uint8_t epcm[NR_PAGES];		/* bits that make a page unusable */
	struct isa_encl_block blk;
	struct isa_encl_view view;
	struct isa_thread threads[NR_THREADS];
	struct isa_regs regs[NR_THREADS];
};

static uint8_t image[IMAGE_SIZE];

/* The rest of @dst keeps its value when the input is used up. */
static void take(struct input *in, void *dst, size_t n)
{
	if (n > in->left)
		n = in->left;
	memcpy(dst, in->data, n);
	in->data += n;
	in->left -= n;
}

static uint8_t take_byte(struct input *in)
{
	uint8_t byte = 0;

	take(in, &byte, 1);
	return byte;
}

static bool fuzz_page(void *ctx, uint64_t la, bool write, struct isa_epcm_info *info,
		      void **page, struct isa_outcome *fault)
{
	struct fuzz_encl *s = ctx;
	const uint64_t nr = (la - BASE) / SGX_PAGE_SIZE;

	*info = (struct isa_epcm_info){ 0 };
	if (la % SGX_PAGE_SIZE)
		abort();
	if (nr >= NR_PAGES)
		return true;
	if (s->epcm[nr] & 0x80) {
		*fault = (struct isa_outcome){ .kind = ISA_FAULT, .vector = X86_PF,
					       .address = la };
		return false;
	}
	*info = (struct isa_epcm_info){
		.valid = !(s->epcm[nr] & 1),
		.pt = nr == 0 ? PT_TCS : PT_REG,
		.rwx = s->epcm[nr] & 2 ? SECINFO_R : SECINFO_R | SECINFO_W,
		.blocked = s->epcm[nr] & 4,
		.pending = s->epcm[nr] & 8,
		.enclaveaddress = la,
	};
	*page = s->pages + nr * SGX_PAGE_SIZE;
	return true;
}

/* What a real enclave has, so that the fuzzer starts near a success. */
static void encl_init(struct fuzz_encl *s)
{
	struct sgx_tcs *tcs;

	memset(s, 0, sizeof(*s));
	s->pages = calloc(NR_PAGES, SGX_PAGE_SIZE);
	REQUIRE(s->pages);
	tcs = (void *)s->pages;
	tcs->ossa = SGX_PAGE_SIZE;
	tcs->nssa = 2;
	s->blk.base = BASE;
	s->blk.size = NR_PAGES * SGX_PAGE_SIZE;
	s->blk.attributes = ATTR_INIT | ATTR_MODE64BIT;
	s->blk.xfrm = XFRM_X87_SSE | XFRM_AVX;
	s->blk.miscselect = MISC_EXINFO;
	s->blk.ssaframesize = 2;
	s->blk.xsave_size = 832;
	s->blk.initialized = 1;
	s->blk.features = CPUID_12_0_EAX_SGX1 | CPUID_12_0_EAX_SGX2 | CPUID_12_0_EAX_EDECCSSA;
	s->blk.allowed_attributes = ATTR_MODE64BIT | ATTR_AEXNOTIFY;
	s->view = (struct isa_encl_view){
		.blk = &s->blk,
		.page = fuzz_page,
		.ctx = s,
		.xcr0 = UINT64_MAX,
	};
}

/* The program writes to what it shares with us. */
static void scribble(struct fuzz_encl *s, struct input *in)
{
	uint16_t where = 0;
	size_t off, n = take_byte(in);

	take(in, &where, sizeof(where));
	switch (take_byte(in) % 4) {
	case 0:
		take(in, &s->blk, offsetof(struct isa_encl_block, epoch));
		break;
	case 1:
		take(in, s->epcm, sizeof(s->epcm));
		break;
	case 2:
		/* Not STATE, which one of the invariants below is about. */
		take(in, s->pages + sizeof(uint64_t), 80);
		break;
	default:
		off = where % ((NR_PAGES - 1) * SGX_PAGE_SIZE);
		if (n > (NR_PAGES - 1) * SGX_PAGE_SIZE - off)
			n = (NR_PAGES - 1) * SGX_PAGE_SIZE - off;
		take(in, s->pages + SGX_PAGE_SIZE + off, n);
	}
}

/* Entry has one operand that matters; mostly it is the TCS. */
static struct isa_regs *operands(struct fuzz_encl *s, struct input *in, unsigned int i)
{
	struct isa_regs *r = &s->regs[i];

	if (take_byte(in) & 1)
		take(in, r, sizeof(*r));
	else
		r->gpr[ISA_RBX] = BASE;
	return r;
}

static void leaf(struct fuzz_encl *s, struct input *in, uint8_t op)
{
	const unsigned int i = op / 8 % NR_THREADS;
	struct isa_thread *t = &s->threads[i];
	struct isa_event event = { 0 };
	const uint8_t *xsave = NULL;
	struct isa_outcome out;

	switch (op % 8) {
	case 0:
	case 1:
		isa_eenter(t, &s->view, operands(s, in, i));
		break;
	case 2:
	case 3:
		out = isa_eresume(t, &s->view, operands(s, in, i), &xsave);
		REQUIRE(!xsave || (isa_is_done(out) && xsave == t->xsave));
		break;
	case 4:
		isa_eexit(t, operands(s, in, i));
		break;
	case 5:
		event.exception = take_byte(in) & 1;
		event.vector = take_byte(in);
		take(in, &event.error_code, sizeof(event.error_code));
		isa_aex(t, &s->regs[i], &event, image);
		break;
	case 6:
		isa_edeccssa(t);
		break;
	default:
		scribble(s, in);
	}
}

static void invariants(const struct fuzz_encl *s)
{
	const struct sgx_tcs *tcs = (const void *)s->pages;
	uint64_t inside = 0;
	unsigned int i;

	for (i = 0; i < NR_THREADS; i++)
		inside += s->threads[i].inside;
	REQUIRE(inside <= 1);
	REQUIRE(s->blk.nr_inside[0] == inside);
	REQUIRE(tcs->state == inside);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct fuzz_encl s;

	encl_init(&s);
	memset(image, 0xc3, sizeof(image));
	while (in.left) {
		leaf(&s, &in, take_byte(&in));
		invariants(&s);
	}
	free(s.pages);
	return 0;
}
