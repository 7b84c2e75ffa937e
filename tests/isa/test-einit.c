/* SPDX-License-Identifier: BSD-3-Clause */
/* ENCLS[EINIT]: every check, and every part of SIGSTRUCT and token it rests on. */
#include "fixture.h"

static void initializes_a_signed_enclave(void **state)
{
	struct isa_fixture *f = isa_fixture_create(NULL);

	isa_fixture_start(f, NULL, 0);
	isa_fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(initializes_a_signed_enclave),
	};

	return cmocka_run_group_tests_name("EINIT", tests, NULL, NULL);
}
