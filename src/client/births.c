/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * New threads inherit which signals of exceptions the program believes to be blocked
 * (masks.c).  The kernel, which blocks none of them, cannot pass that on.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <threads.h>

#include "client.h"
#include "masks.h"

/* Who is born with signals blocked learns of it here; mostly nobody is. */
struct birth {
	void *(*start)(void *);
	thrd_start_t start_c11;
	void *arg;
	uint64_t blocked;
};

static void *be_born(struct birth *birth, struct birth *copy)
{
	*copy = *birth;
	free(birth);
	client_mask_of(NULL)->blocked = copy->blocked | (client_mask_change_kernel(SIG_UNBLOCK, EXCEPTION_SIGNALS) & EXCEPTION_SIGNALS);
	return copy->arg;
}

static void *start_posix(void *arg)
{
	struct birth birth;

	arg = be_born(arg, &birth);
	return birth.start(arg);
}

static int start_c11(void *arg)
{
	struct birth birth;

	arg = be_born(arg, &birth);
	return birth.start_c11(arg);
}

/* pthread_attr_setsigmask_np() is newer than the oldest libc. */
static bool has_mask(const pthread_attr_t *attr, sigset_t *set)
{
	static int (*get)(const pthread_attr_t *, sigset_t *);

	if (!attr)
		return false;
	if (!get)
		get = (int (*)(const pthread_attr_t *, sigset_t *))dlsym(
			RTLD_NEXT, "pthread_attr_getsigmask_np");
	return get && !get(attr, set);
}

static struct birth *expect(const struct birth *as)
{
	struct birth *birth = malloc(sizeof(*birth));

	if (birth)
		*birth = *as;
	return birth;
}

static int create_posix(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
			void *arg)
{
	static __typeof__(&pthread_create) next;
	struct birth as = { .start = start, .arg = arg, .blocked = client_mask_of(NULL)->blocked };
	struct birth *birth;
	sigset_t set;
	int ret;

	if (!next)
		next = NEXT(pthread_create);
	if (has_mask(attr, &set))
		as.blocked = client_mask_word(&set) & EXCEPTION_SIGNALS;
	if (!as.blocked)
		return next(thread, attr, start, arg);
	birth = expect(&as);
	if (!birth)
		return EAGAIN;
	ret = next(thread, attr, start_posix, birth);
	if (ret)
		free(birth);
	return ret;
}

CLIENT_EXPORT int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attr,
				 void *(*start)(void *), void *restrict arg)
{
	const int ret = create_posix(thread, attr, start, arg);

	client_actions_adopt();
	return ret;
}

CLIENT_EXPORT int thrd_create(thrd_t *thread, thrd_start_t start, void *arg)
{
	static __typeof__(&thrd_create) next;
	struct birth as = { .start_c11 = start, .arg = arg, .blocked = client_mask_of(NULL)->blocked };
	struct birth *birth = NULL;
	int ret;

	if (!next)
		next = NEXT(thrd_create);
	if (as.blocked) {
		birth = expect(&as);
		if (!birth)
			return thrd_nomem;
	}
	ret = birth ? next(thread, start_c11, birth) : next(thread, start, arg);
	if (ret != thrd_success)
		free(birth);
	client_actions_adopt();
	return ret;
}
