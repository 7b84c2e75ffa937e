/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Builds an enclave, says so, waits for a line, and then shows what still works
 * and what does not: for a test that ends the machine in between.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"

static void show(const char *what, int ret)
{
	printf("%s %s\n", what, ret ? strerrorname_np(ret) : "works");
	fflush(stdout);
}

static int put_and_get(const struct test_encl *e)
{
	struct test_op put = { .kind = OP_PUT, .value = 0x1234 }, get = { .kind = OP_GET };
	struct sgx_enclave_run run = { 0 };

	test_call(e, test_tcs(e, 0), ENCLU_EENTER, &put, &run);
	if (run.function == ENCLU_EENTER && run.exception_vector == VECTOR_PF &&
	    run.exception_error_code == (PF_P | PF_W | PF_U | PF_SGX))
		return EFAULT;
	test_enter(e, 0, &get);
	return get.result == 0x1234 ? 0 : EILSEQ;
}

static int ask_for_key(const struct test_encl *e)
{
	/* KEYNAME 3: the report key. */
	static const uint8_t request[512] __attribute__((aligned(512))) = { 3 };
	uint8_t key[16];
	struct test_op op = { .kind = OP_EGETKEY, .addr = (uintptr_t)request,
			      .addr2 = (uintptr_t)key };
	struct sgx_enclave_run run = { 0 };
	const int ret = test_call(e, test_tcs(e, 0), ENCLU_EENTER, &op, &run);

	if (ret || op.result)
		return EIO;
	return run.function == ENCLU_EEXIT ? 0 : EFAULT;
}

int main(void)
{
	struct test_encl e;
	char line[16];
	int ret = test_encl_build(&e, &(struct test_config){ 0 });

	if (ret) {
		printf("failed %d\n", ret);
		return 1;
	}
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	show("enter", put_and_get(&e));
	show("ioctl", ioctl(e.fd, SGX_IOC_ENCLAVE_INIT, 0) < 0 ? errno : 0);
	show("mmap", mmap(e.base + ENCL_RODATA_OFFSET, 4096, PROT_READ, MAP_SHARED | MAP_FIXED,
			  e.fd, 0) == MAP_FAILED ? errno : 0);
	show("open", open("/dev/sgx_enclave", O_RDWR) < 0 ? errno : 0);
	show("key", ask_for_key(&e));
	return 0;
}
