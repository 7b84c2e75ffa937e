/* SPDX-License-Identifier: BSD-3-Clause */
/* What every bench needs: clocks, and the median of what they said. */
#ifndef SWSGX_BENCH_TIMING_H
#define SWSGX_BENCH_TIMING_H

#include <stdlib.h>
#include <time.h>

static inline double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The calling thread's own: what it ran, however often it was interrupted. */
static inline double thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline int compare_doubles(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts @v. */
static inline double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare_doubles);
	return v[n / 2];
}

/* What disturbs a run only ever adds to it. */
static inline double least(const double *v, size_t n)
{
	double min = v[0];

	for (size_t i = 1; i < n; i++)
		min = v[i] < min ? v[i] : min;
	return min;
}

#endif /* SWSGX_BENCH_TIMING_H */
