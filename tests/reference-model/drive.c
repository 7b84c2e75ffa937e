/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random leaves, mostly sensible ones: operands are drawn so that each step has
 * a fair chance to change something, and some chance to be nonsense.
 */
#include "drive.h"

struct choice {
	void (*run)(struct world *w, int cpu);
	unsigned int weight;
};

static const struct choice outside[] = {
	{ drive_ecreate, 2 }, { drive_eadd, 14 }, { drive_eextend, 1 }, { drive_einit, 4 },
	{ drive_eremove, 6 }, { drive_eremove_secs, 1 }, { drive_edbgrd, 2 },
	{ drive_edbgwr, 3 }, { drive_eaug, 6 }, { drive_emodpr, 2 }, { drive_emodt, 2 },
	{ drive_epa, 2 }, { drive_eblock, 2 }, { drive_etrack, 6 }, { drive_ewb, 8 },
	{ drive_eld, 14 }, { drive_etrackc, 2 }, { drive_erdinfo, 2 }, { drive_eupdatesvn, 1 },
	{ drive_enclv, 4 }, { drive_eenter, 24 }, { drive_eresume, 16 }, { 0 },
};

static const struct choice inside[] = {
	{ drive_eaccept, 20 }, { drive_emodpe, 6 }, { drive_eacceptcopy, 8 },
	{ drive_ereport, 1 }, { drive_egetkey, 1 }, { drive_eexit, 8 }, { drive_aex, 10 },
	{ drive_edeccssa, 2 }, { drive_prepare_tcs, 4 }, { 0 },
};

static void choose(struct world *w, int cpu, const struct choice *c)
{
	unsigned int total = 0, n;

	for (const struct choice *i = c; i->run; i++)
		total += i->weight;
	n = world_random(w, total);
	while (n >= c->weight)
		n -= c++->weight;
	c->run(w, cpu);
}

void drive(struct world *w)
{
	const int cpu = (int)world_random(w, NR_PROCESSORS);

	if (world_random(w, 500) == 0)
		map_anything(w);
	choose(w, cpu, w->model.processor[cpu].inside ? inside : outside);
}
