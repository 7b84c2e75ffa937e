/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where ADD_PAGES' pages come from: the client's memory, a piece at a time, and
 * the next piece is asked for before the last one is added, so that the client
 * copies while we measure.
 *
 * Small pieces come as answers.  A client that adds many pages is told to write
 * them into the enclave's memory file, where each will have its place: so they are
 * copied once, and EADD, whose source and destination are then the same, copies
 * nothing.  Only places without a page are given away like that; none appears there
 * meanwhile, because before EINIT this ioctl alone adds any.
 *
 * The client can change what it placed until it is measured, and afterwards: pages of
 * an enclave always can be written by its program (docs/deviations.md).  So nothing
 * here relies on their contents: EEXTEND measures what it finds in the page, and a
 * program that changes it meanwhile has measured something else.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

void source_init(struct source *s, struct call *call, struct device *dev,
		 const struct proto_request *req)
{
	memset(s, 0, offsetof(struct source, chunk));
	s->call = call;
	s->dev = dev;
	s->can_place = req->flags & PROTO_CAN_PLACE;
	if (req->source_size <= PROTO_CHUNK)
		s->ahead = (struct source_piece){ .addr = req->source_addr,
						  .size = req->source_size };
}

/* --- asking ---------------------------------------------------------------------- */

/* How much of @size from @offset on belongs to no page, here or written out. */
static uint64_t unoccupied(const struct source *s, uint64_t offset, uint64_t size)
{
	struct sgx_encl_page_info info;
	uint64_t next;

	if (sgx_encl_next_page(uapi_encl_encl(s->dev->encl), offset, &next, &info) &&
	    next - offset < size)
		return next - offset;
	return size;
}

/*
 * Short at first, so that measuring begins soon, and long later, because it takes more to wake
 * the client than to write a page.
 */
static uint64_t piece_size(const struct source *s)
{
	const unsigned int nr_short = 4, max_doubled = 2;
	const unsigned int doubled = s->nr_placed / nr_short;

	return PROTO_PLACE_CHUNK << (doubled < max_doubled ? doubled : max_doubled);
}

/* How much can be placed from @offset on; 0: do not. */
static uint64_t placeable(const struct source *s, uint64_t offset, uint64_t left)
{
	/* Handing out the file, and cleaning up, are worth it for many pages only. */
	if (!s->can_place || (!s->has_file && left <= PROTO_CHUNK))
		return 0;
	if (left > piece_size(s))
		left = piece_size(s);
	return unoccupied(s, offset, left);
}

static int ask_to_place(struct source *s)
{
	const struct proto_frame frame = {
		.kind = PROTO_PLACE,
		.addr = s->ahead.addr,
		.size = (uint32_t)s->ahead.size,
		.base = s->ahead.offset,
	};

	if (s->has_file)
		return call_ask(s->call, &frame);
	s->has_file = true;
	return call_ask_with_file(s->call, &frame, s->dev->mem.pages_fd);
}

static int ask(struct source *s, uint64_t uaddr, uint64_t offset, uint64_t left)
{
	const uint64_t placed = placeable(s, offset, left);

	s->ahead = (struct source_piece){
		.addr = uaddr,
		.size = placed ? placed : left < PROTO_CHUNK ? left : PROTO_CHUNK,
		.offset = offset,
		.is_placed = placed,
	};
	s->nr_placed += placed != 0;
	if (placed)
		return ask_to_place(s);
	return call_ask(s->call, &(struct proto_frame){ .kind = PROTO_SOURCE, .addr = uaddr,
							.size = (uint32_t)s->ahead.size });
}

/* Bytes of s->ahead, or -EFAULT. */
static ssize_t receive_placed(struct source *s)
{
	uint64_t nr = 0;
	const ssize_t n = call_receive(s->call, &nr, sizeof(nr), &s->error);

	if (n != sizeof(nr) || nr > s->ahead.size)
		return -EFAULT;
	if (nr < s->ahead.size && !s->error)
		s->can_place = false;
	return (ssize_t)nr;
}

/* Places from @start to @end of the enclave were given away, and no page came to be there. */
static void take_back(struct source *s, uint64_t start, uint64_t end)
{
	if (start < end)
		encl_memory_punch(&s->dev->mem, start, end - start);
}

static int receive(struct source *s)
{
	const struct source_piece asked = s->ahead;
	const ssize_t n = asked.is_placed ?
		receive_placed(s) :
		call_receive(s->call, s->chunk, asked.size, &s->error);

	s->here = asked;
	s->here.size = n < 0 ? 0 : (uint64_t)n & SGX_PAGE_MASK;
	s->ahead.size = 0;
	if (asked.is_placed)
		take_back(s, asked.offset + s->here.size, asked.offset + asked.size);
	return n < 0 ? (int)n : 0;
}

/* The offset behind the last page that was added, of those handed out. */
static uint64_t end_of_added(const struct source *s)
{
	struct sgx_encl_page_info info;

	return sgx_encl_page_at(uapi_encl_encl(s->dev->encl), s->last, &info) ?
		       s->last + SGX_PAGE_SIZE : s->last;
}

void source_drop(struct source *s)
{
	if (s->here.size && s->here.is_placed)
		take_back(s, end_of_added(s), s->here.offset + s->here.size);
	s->here.size = 0;
	if (!s->ahead.size)
		return;
	receive(s);
	if (s->here.is_placed)
		take_back(s, s->here.offset, s->here.offset + s->here.size);
	s->here.size = 0;
}

/* --- one page after the other ------------------------------------------------------ */

/*
 * The pages of a chunk are about to be written for the first time: have them
 * all at once, instead of by a fault each.  A hole where a page was written out from
 * has to stay one.
 */
static void populate(const struct source *s, uint64_t offset)
{
	const struct encl_memory *mem = &s->dev->mem;

	if (!s->here.is_placed && s->here.size <= mem->size - offset)
		madvise(mem->pages + offset, unoccupied(s, offset, s->here.size),
			MADV_POPULATE_WRITE);
}

static int next_piece(struct source *s, uint64_t uaddr, uint64_t offset, uint64_t left)
{
	bool placed;
	int ret;

	if (!s->ahead.size && !call_may_wait(s->call))
		return s->error ? s->error : -EFAULT;
	if (s->ahead.addr != uaddr)
		source_drop(s);
	do {
		if (!s->ahead.size && ask(s, uaddr, offset, left))
			return -EFAULT;
		placed = s->ahead.is_placed;
		ret = receive(s);
		if (ret)
			return ret;
		/* One that can place nothing sends it. */
	} while (placed && !s->here.size && !s->error);
	if (s->here.size && !s->error && s->here.size < left && call_may_wait(s->call))
		ask(s, uaddr + s->here.size, offset + s->here.size, left - s->here.size);
	populate(s, offset);
	return 0;
}

/* What was sent ahead need not begin where a page does. */
static bool holds_page(const struct source *s, uint64_t uaddr)
{
	const uint64_t in_piece = uaddr - s->here.addr;

	return in_piece % SGX_PAGE_SIZE == 0 && in_piece < s->here.size &&
	       s->here.size - in_piece >= SGX_PAGE_SIZE;
}

int source_next(struct source *s, uint64_t uaddr, uint64_t offset, uint64_t left,
		const void **page)
{
	if (!holds_page(s, uaddr)) {
		int ret = next_piece(s, uaddr, offset, left);

		if (ret)
			return ret;
		if (!s->here.size)
			return s->error ? s->error : -EFAULT;
		/* It was announced for another address. */
		if (!holds_page(s, uaddr))
			return -EFAULT;
	}
	s->last = offset;
	*page = s->here.is_placed ? s->dev->mem.pages + offset
				  : s->chunk + (uaddr - s->here.addr);
	return 0;
}
