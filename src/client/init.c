/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The start of the client, before any code of the program: the dynamic loader
 * runs constructors of preloaded libraries first.
 */
#include <stdlib.h>

#include "client.h"

__attribute__((constructor)) static void client_init(int argc, char **argv, char **envp)
{
	const char *name = getenv(PROTO_ENV);

	if (!name || !*name)
		return;
	client_server_init(name);
	client_threads_init();
	client_xstate_probe();
	client_signals_init();
	client_vdso_init(envp);
}
