/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The SHA-256 compression function with the processor's SHA instructions.  A
 * measured page is 81 blocks in 17 short runs; keeping the state in registers
 * through a run, without a context to set up, is what a library's general
 * interface cannot offer.
 *
 * Source: FIPS 180-4, 6.2.2; SDM volume 2, SHA256RNDS2, SHA256MSG1, SHA256MSG2.
 */
#include <cpuid.h>
#include <immintrin.h>
#include <stdalign.h>

#include "crypto.h"

static const alignas(16) uint32_t round_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

bool isa_sha256_ni_is_available(void)
{
	unsigned int eax, ebx, ecx, edx;

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_SSE4_1))
		return false;
	return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & 1u << 29);
}

#define TARGET __attribute__((target("sha,sse4.1")))

/* Rounds 4i to 4i + 3 on message words @w; abef and cdgh are the working variables. */
#define ROUNDS(i, w)                                                                            \
	do {                                                                                    \
		__m128i wk = _mm_add_epi32(                                                     \
			w, _mm_load_si128((const __m128i *)(const void *)&round_constants[4 * (i)])); \
		cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);                                   \
		abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));          \
	} while (0)

/* Replace the oldest four of sixteen message words by the next four. */
#define SCHEDULE(w0, w1, w2, w3)                                                                \
	(w0 = _mm_sha256msg2_epu32(                                                             \
		 _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4)), w3))

TARGET static inline __m128i load_words(const uint8_t *p)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

	return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), big_endian);
}

TARGET void isa_sha256_blocks_ni(uint32_t h[8], const void *data, size_t n)
{
	const uint8_t *p = data;
	__m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)h);
	__m128i hgfe = _mm_loadu_si128((const __m128i *)(const void *)(h + 4));
	__m128i badc = _mm_shuffle_epi32(dcba, 0xb1);
	__m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
	__m128i abef = _mm_alignr_epi8(badc, efgh, 8);
	__m128i cdgh = _mm_blend_epi16(efgh, badc, 0xf0);

	for (; n; n--, p += 64) {
		const __m128i abef_before = abef, cdgh_before = cdgh;
		__m128i w0 = load_words(p), w1 = load_words(p + 16);
		__m128i w2 = load_words(p + 32), w3 = load_words(p + 48);

		ROUNDS(0, w0); SCHEDULE(w0, w1, w2, w3);
		ROUNDS(1, w1); SCHEDULE(w1, w2, w3, w0);
		ROUNDS(2, w2); SCHEDULE(w2, w3, w0, w1);
		ROUNDS(3, w3); SCHEDULE(w3, w0, w1, w2);
		ROUNDS(4, w0); SCHEDULE(w0, w1, w2, w3);
		ROUNDS(5, w1); SCHEDULE(w1, w2, w3, w0);
		ROUNDS(6, w2); SCHEDULE(w2, w3, w0, w1);
		ROUNDS(7, w3); SCHEDULE(w3, w0, w1, w2);
		ROUNDS(8, w0); SCHEDULE(w0, w1, w2, w3);
		ROUNDS(9, w1); SCHEDULE(w1, w2, w3, w0);
		ROUNDS(10, w2); SCHEDULE(w2, w3, w0, w1);
		ROUNDS(11, w3); SCHEDULE(w3, w0, w1, w2);
		ROUNDS(12, w0);
		ROUNDS(13, w1);
		ROUNDS(14, w2);
		ROUNDS(15, w3);

		abef = _mm_add_epi32(abef, abef_before);
		cdgh = _mm_add_epi32(cdgh, cdgh_before);
	}

	badc = _mm_shuffle_epi32(abef, 0x1b);
	efgh = _mm_shuffle_epi32(cdgh, 0xb1);
	dcba = _mm_blend_epi16(badc, efgh, 0xf0);
	hgfe = _mm_alignr_epi8(efgh, badc, 8);
	_mm_storeu_si128((__m128i *)(void *)h, dcba);
	_mm_storeu_si128((__m128i *)(void *)(h + 4), hgfe);
}
