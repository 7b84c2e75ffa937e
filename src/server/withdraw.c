/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taking pages out of a memory file while programs store to them, such that the last
 * store is in what we get, and whoever comes later finds nothing.
 *
 * A pipe that a file is spliced into holds its pages, not copies.  Then the range is
 * punched out of the file, which drops every translation to it, in any process, and
 * returns when no processor uses one any more.  From there on the pipe has the only
 * reference to a page nobody can reach, and what is read is final.  No process has
 * to help, or is waited for, whether it runs, is stopped or dies.
 *
 * The holes must be watched by a userfaultfd in every process that maps the file, and
 * nobody may fill one of those that are being punched.  Otherwise a fault that is under
 * way can bring a new page between the kernel's two passes through the range, and what
 * is stored there goes with it (measured with Linux 6.18).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "internal.h"

/* Pages that are neighbours in the file. */
static unsigned int run_length(const struct withdrawn *pages, unsigned int nr)
{
	unsigned int n = 1;

	while (n < nr && pages[n].offset == pages[0].offset + n * SGX_PAGE_SIZE)
		n++;
	return n;
}

static int splice_run(struct withdrawer *w, int fd, const struct withdrawn *pages, unsigned int nr)
{
	loff_t offset = (loff_t)pages[0].offset;
	size_t left = nr * SGX_PAGE_SIZE;
	ssize_t n;

	while (left) {
		n = splice(fd, &offset, w->pipe[1], NULL, left, SPLICE_F_NONBLOCK);
		if (n > 0)
			left -= (size_t)n;
		else if (!n || errno != EINTR)
			return -ENOMEM;
	}
	return 0;
}

/* All that is in the pipe goes to the first of @pages; there is nothing to be read of others. */
static void drain(struct withdrawer *w, const struct withdrawn *pages, unsigned int nr)
{
	struct iovec iov[EPC_MM_MAX_PAGES];
	size_t first = 0;
	ssize_t n;

	for (unsigned int i = 0; i < nr; i++)
		iov[i] = (struct iovec){ pages[i].to, SGX_PAGE_SIZE };
	while (first < nr && (n = readv(w->pipe[0], iov + first, (int)(nr - first))) > 0) {
		for (; first < nr && (size_t)n >= iov[first].iov_len; first++)
			n -= (ssize_t)iov[first].iov_len;
		if (first < nr) {
			iov[first].iov_base = (uint8_t *)iov[first].iov_base + n;
			iov[first].iov_len -= (size_t)n;
		}
	}
}

static int punch(int fd, const struct withdrawn *pages, unsigned int nr)
{
	int ret;

	do
		ret = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)pages[0].offset, (off_t)(nr * SGX_PAGE_SIZE));
	while (ret && errno == EINTR);
	return ret;
}

/* At most as many as the pipe holds.  Return: how many; the first ones. */
static unsigned int take(struct withdrawer *w, int fd, const struct withdrawn *pages,
			 unsigned int nr)
{
	unsigned int i, n, spliced = 0;

	for (; spliced < nr; spliced += n) {
		n = run_length(pages + spliced, nr - spliced);
		if (splice_run(w, fd, pages + spliced, n)) {
			/* Part of the run may be there, too: in frames nobody looks at. */
			drain(w, pages, nr);
			nr = 0;
		}
	}
	for (i = 0; i < nr; i += n) {
		n = run_length(pages + i, nr - i);
		if (punch(fd, pages + i, n))
			break;
	}
	drain(w, pages, nr);
	return i;
}

static void sort(struct withdrawn *pages, unsigned int nr)
{
	for (unsigned int i = 1; i < nr; i++) {
		const struct withdrawn page = pages[i];
		unsigned int j = i;

		for (; j && pages[j - 1].offset > page.offset; j--)
			pages[j] = pages[j - 1];
		pages[j] = page;
	}
}

unsigned int withdrawer_nr_runs(struct withdrawn *pages, unsigned int nr)
{
	unsigned int runs = 0;

	sort(pages, nr);
	for (unsigned int i = 0; i < nr; i += run_length(pages + i, nr - i))
		runs++;
	return runs;
}

unsigned int withdrawer_take(struct withdrawer *w, int fd, struct withdrawn *pages,
			     unsigned int nr)
{
	unsigned int done = 0, n, got = 1;

	sort(pages, nr);
	pthread_mutex_lock(&w->lock);
	for (; w->nr_pages && done < nr && got; done += got) {
		n = nr - done < w->nr_pages ? nr - done : w->nr_pages;
		got = take(w, fd, pages + done, n);
		if (got < n) {
			done += got;
			break;
		}
	}
	pthread_mutex_unlock(&w->lock);
	return done;
}

/* --- whether it works here ------------------------------------------------------- */

/*
 * It would not if the system made a copy for the pipe, or if the page were part of a
 * larger one, of which punching leaves zeros: then pages must stay where they are.
 */
static bool is_final(struct withdrawer *w, int fd, uint8_t *mapping)
{
	uint8_t page[SGX_PAGE_SIZE] = { 1 };
	const struct withdrawn withdrawn = { .offset = 0, .to = page };

	if (pwrite(fd, page, sizeof(page), 0) != sizeof(page) || splice_run(w, fd, &withdrawn, 1))
		return false;
	mapping[0] = 2;
	if (punch(fd, &withdrawn, 1))
		return false;
	drain(w, &withdrawn, 1);
	return page[0] == 2 && mapping[0] == 0;
}

#define TEST_SIZE (UINT64_C(4) << 20)	/* larger than a huge page */

static bool works(struct withdrawer *w)
{
	const int fd = memfd_create("sgx_enclave-test", MFD_CLOEXEC);
	bool ok = false;
	void *mapping;

	if (fd < 0)
		return false;
	mapping = ftruncate(fd, (off_t)TEST_SIZE) ? MAP_FAILED :
		  mmap(NULL, TEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mapping != MAP_FAILED) {
		ok = is_final(w, fd, mapping);
		munmap(mapping, TEST_SIZE);
	}
	close(fd);
	return ok;
}

int withdrawer_init(struct withdrawer *w)
{
	int size;

	pthread_mutex_init(&w->lock, NULL);
	if (pipe2(w->pipe, O_CLOEXEC | O_NONBLOCK)) {
		w->pipe[0] = w->pipe[1] = -1;
		return -errno;
	}
	/* A user with many pipes gets small ones. */
	size = fcntl(w->pipe[1], F_SETPIPE_SZ, (int)(EPC_MM_MAX_PAGES * SGX_PAGE_SIZE));
	if (size < 0)
		size = fcntl(w->pipe[1], F_GETPIPE_SZ);
	if (size > 0 && works(w))
		w->nr_pages = (unsigned int)size / SGX_PAGE_SIZE;
	if (w->nr_pages > EPC_MM_MAX_PAGES)
		w->nr_pages = EPC_MM_MAX_PAGES;
	return 0;
}

void withdrawer_finish(struct withdrawer *w)
{
	if (w->pipe[0] >= 0) {
		close(w->pipe[0]);
		close(w->pipe[1]);
	}
	pthread_mutex_destroy(&w->lock);
}
