/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hello-sign: measures the flat image of the hello enclave and writes its
 * SIGSTRUCT.  Runs when the example is built.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout.h"
#include "measure.h"
#include "sigstruct.h"

static bool read_image(const char *path, uint8_t image[HELLO_IMAGE_SIZE])
{
	FILE *f = fopen(path, "rb");
	bool ok;

	if (!f) {
		fprintf(stderr, "hello-sign: %s: %s\n", path, strerror(errno));
		return false;
	}
	ok = fread(image, 1, HELLO_IMAGE_SIZE, f) == HELLO_IMAGE_SIZE && fgetc(f) == EOF;
	if (!ok)
		fprintf(stderr, "hello-sign: %s is not %d bytes long\n", path, HELLO_IMAGE_SIZE);
	fclose(f);
	return ok;
}

static bool write_file(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "wb");
	bool ok;

	ok = f && fwrite(data, 1, len, f) == len;
	if (f && fclose(f))
		ok = false;
	if (!ok)
		fprintf(stderr, "hello-sign: %s: %s\n", path, strerror(errno));
	return ok;
}

static EVP_PKEY *make_key(const char *path)
{
	EVP_PKEY *key = sigstruct_generate_key();
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	bool ok;

	ok = key && f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1;
	if (f && fclose(f))
		ok = false;
	if (ok)
		return key;
	fprintf(stderr, "hello-sign: could not make the key %s\n", path);
	EVP_PKEY_free(key);
	return NULL;
}

/* The key stays in the build directory, so that MRSIGNER survives a rebuild. */
static EVP_PKEY *get_key(const char *path)
{
	FILE *f = fopen(path, "r");
	EVP_PKEY *key;

	if (!f)
		return make_key(path);
	key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	if (!key)
		fprintf(stderr, "hello-sign: %s holds no private key\n", path);
	fclose(f);
	return key;
}

static bool measure_image(const uint8_t *image, uint8_t mrenclave[32])
{
	struct measure m;

	measure_ecreate(&m, HELLO_SSAFRAMESIZE, HELLO_ENCLAVE_SIZE);
	for (size_t i = 0; i < HELLO_NR_REGIONS; i++) {
		const struct region *r = &hello_regions[i];

		for (uint64_t o = r->offset; o < r->offset + r->length; o += PAGE_SIZE)
			measure_page(&m, o, r->secinfo, image + o);
	}
	return measure_final(&m, mrenclave);
}

int main(int argc, char **argv)
{
	static uint8_t image[HELLO_IMAGE_SIZE];
	uint8_t mrenclave[32];
	struct sigstruct sig;
	EVP_PKEY *key;
	bool ok;

	if (argc != 4) {
		fprintf(stderr, "usage: hello-sign KEY IMAGE SIGSTRUCT\n");
		return 2;
	}
	if (!read_image(argv[2], image))
		return 1;
	key = get_key(argv[1]);
	if (!key)
		return 1;

	ok = measure_image(image, mrenclave);
	if (ok) {
		sigstruct_init(&sig, mrenclave);
		ok = sigstruct_sign(&sig, key);
	}
	EVP_PKEY_free(key);
	if (!ok) {
		fprintf(stderr, "hello-sign: could not sign with %s; is it RSA-3072 with e = 3?\n",
			argv[1]);
		return 1;
	}
	return write_file(argv[3], &sig, sizeof(sig)) ? 0 : 1;
}
