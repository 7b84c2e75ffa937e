/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The start of the client: before the constructors of other libraries, some of which
 * look for the vDSO or for what CPUID says.  The loader runs ours first where the
 * library's mark "initfirst" is honoured; otherwise it starts with the first thing that
 * is asked of it, or at last in its turn.
 */
#include <stdlib.h>
#include <unistd.h>

#include "client.h"

void client_start(void)
{
	static bool started;
	const char *name;

	if (started)
		return;
	started = true;
	name = getenv(PROTO_ENV);
	if (!name || !*name)
		return;
	client_server_init(name);
	client_threads_init();
	client_xstate_probe();
	client_signals_init();
}

/* Only here is @envp surely the kernel's. */
__attribute__((constructor)) static void client_init(int argc, char **argv, char **envp)
{
	/* libc's own constructor, which sets it, may not have run yet. */
	if (!environ)
		environ = envp;
	client_start();
	if (!client_is_active())
		return;
	if (!getenv(PROTO_ENV_NO_VDSO))
		client_vdso_init(envp);
	client_rewrite();
}
