/* SPDX-License-Identifier: BSD-3-Clause */
/* AES-128-GCM of the crypto provider: published answers, forgeries, threads, allocation. */
#include <pthread.h>
#include <stdlib.h>

#include "fixture.h"

#include "crypto.h"

#ifdef CRYPTO_IS_OPENSSL
#include <openssl/crypto.h>
#endif

static void from_hex(const char *hex, uint8_t *out)
{
	for (; *hex; hex += 2) {
		const char byte[3] = { hex[0], hex[1], 0 };

		*out++ = (uint8_t)strtoul(byte, NULL, 16);
	}
}

/* --- published answers ---------------------------------------------------- */

struct answer {
	const char *key, *iv, *aad, *plain, *cipher, *tag;
};

/* "The Galois/Counter Mode of Operation", appendix B, cases 2 and 4. */
static const struct answer answers[] = {
	{
		.key = "00000000000000000000000000000000",
		.iv = "000000000000000000000000",
		.aad = "",
		.plain = "00000000000000000000000000000000",
		.cipher = "0388dace60b6a392f328c2b971b2fe78",
		.tag = "ab6e47d42cec13bdf53a67b21257bddf",
	},
	{
		.key = "feffe9928665731c6d6a8f9467308308",
		.iv = "cafebabefacedbaddecaf888",
		.aad = "feedfacedeadbeeffeedfacedeadbeefabaddad2",
		.plain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
			 "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
		.cipher = "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
			  "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
		.tag = "5bc94fbc3221a5db94fae95ae7121a47",
	},
};

static void has_the_published_answers(void **state)
{
	struct isa_gcm *gcm = isa_gcm_create();

	assert_non_null(gcm);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		const struct answer *a = &answers[i];
		uint8_t key[16], iv[12], aad[32], text[64], expected[64], tag[16], got[16];
		struct isa_gcm_message msg = {
			.iv = iv,
			.aad = aad,
			.aad_size = strlen(a->aad) / 2,
			.in = text,
			.out = text,
			.size = strlen(a->plain) / 2,
		};

		from_hex(a->key, key);
		from_hex(a->iv, iv);
		from_hex(a->aad, aad);
		from_hex(a->plain, text);
		from_hex(a->cipher, expected);
		from_hex(a->tag, tag);
		isa_gcm_set_key(gcm, key);
		isa_gcm_seal(gcm, &msg, got);
		assert_memory_equal(text, expected, msg.size);
		assert_memory_equal(got, tag, sizeof(tag));
		assert_true(isa_gcm_open(gcm, &msg, tag));
		from_hex(a->plain, expected);
		assert_memory_equal(text, expected, msg.size);
	}
	isa_gcm_destroy(gcm);
	(void)state;
}

/* --- forgeries ------------------------------------------------------------ */

static void notices_a_change_of_anything(void **state)
{
	static const uint8_t key[16] = { 7 };
	uint8_t text[100] = { 1 }, plain[100], aad[20] = { 2 }, iv[12] = { 3 }, tag[16];
	uint8_t *const parts[] = { text, aad, iv, tag };
	static const size_t sizes[] = { sizeof(text), sizeof(aad), sizeof(iv), sizeof(tag) };
	struct isa_gcm *gcm = isa_gcm_create();
	struct isa_gcm_message msg = {
		.iv = iv, .aad = aad, .aad_size = sizeof(aad),
		.in = text, .out = text, .size = sizeof(text),
	};

	assert_non_null(gcm);
	isa_gcm_set_key(gcm, key);
	isa_gcm_seal(gcm, &msg, tag);
	msg.out = plain;
	for (unsigned int part = 0; part < 4; part++)
		for (size_t bit = 0; bit < sizes[part] * 8; bit++) {
			parts[part][bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_false(isa_gcm_open(gcm, &msg, tag));
			parts[part][bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	/* A failure leaves nothing behind. */
	assert_true(isa_gcm_open(gcm, &msg, tag));
	isa_gcm_destroy(gcm);
	isa_gcm_destroy(NULL);
	(void)state;
}

/* --- threads --------------------------------------------------------------- */

#define NR_THREADS 40u		/* more than any provider keeps contexts for */

static void *seal_and_open(void *arg)
{
	struct isa_gcm *gcm = arg;
	uint8_t in[512], out[512], back[512], iv[12] = { 0 }, tag[16];
	uintptr_t nr_wrong = 0;

	for (unsigned int i = 0; i < 100; i++) {
		struct isa_gcm_message msg = {
			.iv = iv, .aad = in, .aad_size = 128, .in = in, .out = out, .size = sizeof(in),
		};

		memset(in, (int)i, sizeof(in));
		memcpy(iv, &i, sizeof(i));
		isa_gcm_seal(gcm, &msg, tag);
		msg.in = out;
		msg.out = back;
		nr_wrong += !isa_gcm_open(gcm, &msg, tag) || memcmp(in, back, sizeof(in));
	}
	return (void *)nr_wrong;
}

static void serves_any_number_of_threads(void **state)
{
	static const uint8_t key[16] = { 9 };
	struct isa_gcm *gcm = isa_gcm_create();
	pthread_t threads[NR_THREADS];
	void *nr_wrong;

	assert_non_null(gcm);
	isa_gcm_set_key(gcm, key);
	for (unsigned int i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, seal_and_open, gcm), 0);
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &nr_wrong), 0);
		assert_null(nr_wrong);
	}
	isa_gcm_destroy(gcm);
	(void)state;
}

/* --- allocation ------------------------------------------------------------ */

#ifdef CRYPTO_IS_OPENSSL
static unsigned int nr_allocations;

static void *counting_malloc(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	__atomic_fetch_add(&nr_allocations, 1, __ATOMIC_RELAXED);
	return malloc(n);
}

static void *counting_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	__atomic_fetch_add(&nr_allocations, 1, __ATOMIC_RELAXED);
	return realloc(p, n);
}

static void counting_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	free(p);
}

static void allocates_nothing_after_creation(void **state)
{
	static const uint8_t key[16] = { 9 };
	struct isa_gcm *gcm = isa_gcm_create();
	uint8_t text[64] = { 0 }, iv[12] = { 0 }, tag[16];
	const struct isa_gcm_message msg = {
		.iv = iv, .aad = iv, .aad_size = sizeof(iv),
		.in = text, .out = text, .size = sizeof(text),
	};
	unsigned int before;

	assert_non_null(gcm);
	isa_gcm_set_key(gcm, key);
	before = __atomic_load_n(&nr_allocations, __ATOMIC_RELAXED);
	assert_true(before > 0);
	isa_gcm_seal(gcm, &msg, tag);
	assert_true(isa_gcm_open(gcm, &msg, tag));
	assert_false(isa_gcm_open(gcm, &msg, tag));
	isa_gcm_set_key(gcm, key);
	assert_int_equal(__atomic_load_n(&nr_allocations, __ATOMIC_RELAXED), before);
	isa_gcm_destroy(gcm);
	(void)state;
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_the_published_answers),
		cmocka_unit_test(notices_a_change_of_anything),
		cmocka_unit_test(serves_any_number_of_threads),
#ifdef CRYPTO_IS_OPENSSL
		cmocka_unit_test(allocates_nothing_after_creation),
#endif
	};

#ifdef CRYPTO_IS_OPENSSL
	/* Before the library's first allocation. */
	if (!CRYPTO_set_mem_functions(counting_malloc, counting_realloc, counting_free))
		return 1;
#endif
	return cmocka_run_group_tests_name("GCM", tests, NULL, NULL);
}
