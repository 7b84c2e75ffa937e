/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bad neighbour: an enclave twice as large as the EPC, all of which it uses
 * again and again until it is killed.  Says so on stdout once it has begun.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "enclave.h"

int main(void)
{
	const unsigned int nr_pages = 2 * test_epc_pages();
	struct test_encl e;
	const int ret = test_encl_build(&e, &(struct test_config){ .heap_pages = nr_pages });

	if (ret) {
		printf("failed %d\n", ret);
		return 1;
	}
	for (unsigned int rounds = 1;; rounds++) {
		struct test_op op = {
			.kind = OP_SWEEP,
			.addr = (uintptr_t)e.base + e.heap_offset,
			.value = nr_pages,
		};

		test_enter(&e, 0, &op);
		if (op.result != (uint64_t)rounds * nr_pages) {
			printf("a store was lost\n");
			return 1;
		}
		if (rounds == 1) {
			puts("here");
			fflush(stdout);
		}
	}
}
