/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A victim: enters an enclave, says so on stdout with its process id, and stays
 * there until it is killed.
 */
#include <pthread.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"

static struct test_op op = { .kind = OP_SPIN };

static void *announce(void *arg)
{
	while (!op.started)
		usleep(1000);
	printf("inside %d\n", (int)getpid());
	fflush(stdout);
	return NULL;
}

int main(void)
{
	struct test_encl e;
	pthread_t thread;
	const int ret = test_encl_build(&e, &(struct test_config){ 0 });

	if (ret) {
		printf("failed %d\n", ret);
		return 1;
	}
	pthread_create(&thread, NULL, announce, NULL);
	test_enter(&e, 0, &op);
	return 0;
}
