/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads that serve calls, and release what was closed.  A call waits for its
 * client, so calls must not wait for each other: there is always a thread for the
 * next one, and idle threads are kept for a while because starting one costs more
 * than a call.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define IDLE_SECONDS 5

struct job {
	struct job *next;
	struct device *dev;
	struct proto_request req;
	int reply;		/* -1: the device is to be released */
};

struct workers {
	pthread_mutex_t lock;	/* guards all below */
	pthread_cond_t work;	/* a job was queued, or stopping */
	pthread_cond_t gone;	/* a thread ended */
	struct job *head, **tail;
	unsigned int nr_threads, nr_idle, nr_queued;
	bool stopping;
};

struct workers *workers_create(void)
{
	struct workers *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;

	if (!w)
		return NULL;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->work, &attr);
	pthread_cond_init(&w->gone, &attr);
	pthread_condattr_destroy(&attr);
	w->tail = &w->head;
	return w;
}

/* Called with the lock held; false after a long time without work. */
static bool wait_for_work(struct workers *w)
{
	struct timespec until;
	int ret = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_SECONDS;
	w->nr_idle++;
	while (!w->head && !w->stopping && ret != ETIMEDOUT)
		ret = pthread_cond_timedwait(&w->work, &w->lock, &until);
	w->nr_idle--;
	return w->head;
}

static struct job *take_job(struct workers *w)
{
	struct job *job = w->head;

	w->head = job->next;
	if (!w->head)
		w->tail = &w->head;
	w->nr_queued--;
	return job;
}

static void *worker(void *arg)
{
	struct workers *w = arg;

	pthread_mutex_lock(&w->lock);
	while (w->head || wait_for_work(w)) {
		struct job *job = take_job(w);

		pthread_mutex_unlock(&w->lock);
		if (job->reply < 0)
			device_release(job->dev);
		else
			call_serve(job->dev, &job->req, job->reply, true);
		free(job);
		pthread_mutex_lock(&w->lock);
	}
	w->nr_threads--;
	pthread_cond_signal(&w->gone);
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* Called with the lock held. */
static int start_thread(struct workers *w)
{
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	ret = pthread_create(&thread, &attr, worker, w);
	pthread_attr_destroy(&attr);
	if (!ret)
		w->nr_threads++;
	return -ret;
}

/* Takes @job, if it can be done. */
static int submit(struct workers *w, struct job *job)
{
	int ret = 0;

	pthread_mutex_lock(&w->lock);
	if (w->nr_queued >= w->nr_idle)
		ret = start_thread(w);
	if (!ret || w->nr_threads) {
		*w->tail = job;
		w->tail = &job->next;
		w->nr_queued++;
		pthread_cond_signal(&w->work);
		ret = 0;
	}
	pthread_mutex_unlock(&w->lock);
	if (ret)
		free(job);
	return ret;
}

int workers_submit(struct workers *w, struct device *dev, const struct proto_request *req,
		   int reply)
{
	struct job *job = malloc(sizeof(*job));

	if (!job)
		return -ENOMEM;
	*job = (struct job){ .dev = dev, .req = *req, .reply = reply };
	return submit(w, job);
}

void workers_release(struct workers *w, struct device *dev)
{
	struct job *job = malloc(sizeof(*job));

	if (job)
		*job = (struct job){ .dev = dev, .reply = -1 };
	if (!job || submit(w, job))
		device_release(dev);
}

void workers_destroy(struct workers *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_broadcast(&w->work);
	while (w->nr_threads)
		pthread_cond_wait(&w->gone, &w->lock);
	pthread_mutex_unlock(&w->lock);
	pthread_cond_destroy(&w->work);
	pthread_cond_destroy(&w->gone);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
