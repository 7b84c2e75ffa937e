/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes as people write them. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static bool unit_of(const char *suffix, unsigned int *shift)
{
	static const char units[] = "KMGT";
	const char *unit;

	*shift = 0;
	if (!*suffix)
		return true;
	unit = strchr(units, toupper((unsigned char)*suffix));
	if (!unit || (suffix[1] && strcmp(suffix + 1, "iB") && strcmp(suffix + 1, "B")))
		return false;
	*shift = 10 * (unsigned int)(unit - units + 1);
	return true;
}

bool parse_size(const char *text, uint64_t *bytes, const char **why)
{
	unsigned int shift;
	uint64_t n;
	char *end;

	*why = "not a size: write a number of bytes, or one with K, M, G or T";
	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno == ERANGE) {
		*why = "too large";
		return false;
	}
	if (!unit_of(end, &shift))
		return false;
	if (shift && n >> (64 - shift)) {
		*why = "too large";
		return false;
	}
	*bytes = n << shift;
	return true;
}
