/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a program can make of /dev/sgx_enclave: any command, any argument, any
 * memory, with failures of the host and the processor mixed in, with SGX2 and an EPC
 * too small for its enclave or without.  Whatever it
 * does, an ioctl answers with an errno of its table, and no page goes astray.
 *
 * Build, with the surroundings the tests use, from the top of the tree:
 *
 *	clang -g -O1 -std=c11 -D_GNU_SOURCE -Iinclude -fsanitize=fuzzer,address,undefined \
 *		-fno-sanitize-recover=all -o fuzz-ioctl fuzz/fuzz-ioctl.c tests/uapi/fixture*.c \
 *		src/uapi/[a-z]*.c src/epc/[a-z]*.c src/isa/outcome.c \
 *		src/isa/bug.c -lcmocka -lpthread
 *
 * Run: ./fuzz-ioctl -max_total_time=120 -max_len=1024
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../tests/uapi/fixture.h"

#define NR(array) (sizeof(array) / sizeof((array)[0]))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The surroundings, and what the calls so far must have led to. */
struct world {
	struct fixture *f;
	bool sgx2, created, initialized;
};

/* --- the input, as a stream of decisions --------------------------------- */

struct input {
	const uint8_t *data;
	size_t left;
};

static uint64_t take(struct input *in, size_t n)
{
	uint64_t value = 0;

	n = n < in->left ? n : in->left;
	memcpy(&value, in->data, n);
	in->data += n;
	in->left -= n;
	return value;
}

/* Mostly values near the limits that checks draw. */
static uint64_t take_number(struct input *in)
{
	static const uint64_t near[] = {
		0, SGX_PAGE_SIZE, 2 * SGX_PAGE_SIZE, ENCL_SIZE, ENCL_BASE, ENCL_BASE + ENCL_SIZE,
		1ull << 31, 1ull << 32, 1ull << 36, 1ull << 62, 1ull << 63, -(uint64_t)SGX_PAGE_SIZE,
		UINT64_MAX,
	};
	static const int64_t off[] = { 0, 0, 0, 1, -1, SGX_PAGE_SIZE, -(int64_t)SGX_PAGE_SIZE, 8 };
	const uint8_t how = (uint8_t)take(in, 1);

	if (how >= 0xf0)
		return take(in, 8);
	if (how >= 0xc0)
		return take(in, 1) * SGX_PAGE_SIZE;
	return near[how % NR(near)] + (uint64_t)off[how >> 4 & 7];
}

static uint64_t take_address(struct input *in)
{
	const uint8_t how = (uint8_t)take(in, 1);

	if (how >= 0xf0)
		return take(in, 8);
	return USER_PAGE(how % (USER_PAGES + 2)) + (how & 0x40 ? take(in, 1) * 8 : 0);
}

/* --- judging ------------------------------------------------------------- */

static bool is_one_of(long ret, const int *errors)
{
	for (; *errors; errors++)
		if (ret == -*errors)
			return true;
	return ret == 0;
}

/* In the wrong state a call has one answer, whatever its argument. */
static bool is_out_of_turn(const struct world *w, unsigned int cmd)
{
	switch (cmd) {
	case SGX_IOC_ENCLAVE_CREATE:
		return w->created;
	case SGX_IOC_ENCLAVE_ADD_PAGES:
	case SGX_IOC_ENCLAVE_INIT:
		return !w->created || w->initialized;
	default:
		return false;
	}
}

static bool is_dynamic(unsigned int cmd)
{
	return cmd == SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS ||
	       cmd == SGX_IOC_ENCLAVE_MODIFY_TYPES || cmd == SGX_IOC_ENCLAVE_REMOVE_PAGES;
}

static void judge_dynamic(const struct world *w, unsigned int cmd, long ret)
{
	static const int modify[] = { EINVAL, EFAULT, EPERM, ENOMEM, EIO, EINTR, UAPI_ERESTARTSYS, 0 };

	if (!w->sgx2)
		assert_int_equal(ret, -ENODEV);
	else if (!w->initialized)
		assert_int_equal(ret, -EINVAL);
	else
		assert_true(is_one_of(ret, modify));
	if (cmd == SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS)
		assert_int_not_equal(ret, -EPERM);
}

static void judge(struct world *w, unsigned int cmd, long ret)
{
	static const int create[] = { EINVAL, EFAULT, ENOMEM, EIO, UAPI_ERESTARTSYS, 0 };
	static const int add_pages[] = {
		EINVAL, EFAULT, ENOMEM, EIO, EACCES, EBUSY, UAPI_ERESTARTSYS, 0
	};
	static const int init[] = { EINVAL, EFAULT, EACCES, EIO, EPERM, UAPI_ERESTARTSYS, 0 };
	static const int provision[] = { EINVAL, EFAULT, 0 };

	if (is_out_of_turn(w, cmd))
		assert_int_equal(ret, -EINVAL);

	switch (cmd) {
	case SGX_IOC_ENCLAVE_CREATE:
		assert_true(is_one_of(ret, create));
		w->created |= !ret;
		break;
	case SGX_IOC_ENCLAVE_ADD_PAGES:
		assert_true(is_one_of(ret, add_pages));
		break;
	case SGX_IOC_ENCLAVE_INIT:
		assert_true(is_one_of(ret, init));
		w->initialized |= !ret;
		break;
	case SGX_IOC_ENCLAVE_PROVISION:
		assert_true(is_one_of(ret, provision));
		break;
	default:
		if (is_dynamic(cmd))
			judge_dynamic(w, cmd, ret);
		else
			assert_int_equal(ret, -ENOTTY);
		break;
	}
	assert_counters(w->f);
}

/* The mmap rule again, page by page; only for ranges that are worth it. */
static int expected_of_map(const struct world *w, uint64_t start, uint64_t end, int prot)
{
	const uint64_t base = w->f->created_secs.baseaddr, size = w->f->created_secs.size;
	struct sgx_encl_page_info info;

	if (!w->created)
		return 0;
	if (w->initialized && (start < base || end - base > size))
		return -EACCES;

	for (uint64_t la = start; la < end; la += SGX_PAGE_SIZE)
		if (la - base < size &&
		    sgx_encl_page_at(uapi_encl_encl(w->f->encl), la - base, &info) &&
		    prot & ~info.vm_max_prot)
			return -EACCES;
	return 0;
}

/* --- what a step does ---------------------------------------------------- */

static void any_ioctl(struct world *w, struct input *in)
{
	static const unsigned int known[] = {
		SGX_IOC_ENCLAVE_CREATE, SGX_IOC_ENCLAVE_ADD_PAGES, SGX_IOC_ENCLAVE_INIT,
		SGX_IOC_ENCLAVE_PROVISION, SGX_IOC_VEPC_REMOVE_ALL,
		SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, SGX_IOC_ENCLAVE_MODIFY_TYPES,
		SGX_IOC_ENCLAVE_REMOVE_PAGES,
	};
	const uint8_t which = (uint8_t)take(in, 1);
	const unsigned int cmd = which < 0xf8 ? known[which % NR(known)] : (unsigned int)take(in, 4);
	const uint64_t arg = take_address(in);

	judge(w, cmd, uapi_encl_ioctl(w->f->encl, &w->f->task, cmd, arg));
}

/* What was zero says afterwards how far it came. */
static void change_pages(struct world *w, struct input *in)
{
	static const unsigned int cmds[] = {
		SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, SGX_IOC_ENCLAVE_MODIFY_TYPES,
		SGX_IOC_ENCLAVE_REMOVE_PAGES,
	};
	const uint8_t which = (uint8_t)take(in, 1);
	const struct sgx_enclave_modify_types arg = {
		.offset = take_number(in), .length = take_number(in),
		.page_type = which & 0x80 ? take_number(in) : which & 0x40 ? PT_TRIM : SECINFO_R,
	};
	const struct sgx_enclave_modify_types *after = user(w->f, AT_ARG);
	const struct sgx_enclave_remove_pages remove = { arg.offset, arg.length, 0 };
	const unsigned int cmd = cmds[which % 3];
	const long ret = which % 3 == 2 ? do_ioctl(w->f, cmd, &remove, sizeof(remove))
					: do_ioctl(w->f, cmd, &arg, sizeof(arg));

	judge(w, cmd, ret);
	if (ret == 0 && which % 3 != 2)
		assert_int_equal(after->count, arg.length);
}

/* An access by the enclave: the page comes back, or is made. */
static void touch(struct world *w, uint64_t offset)
{
	static const int errors[] = { EFAULT, ENOMEM, EIO, EINTR, EACCES, EINVAL, 0 };
	struct sgx_encl_page_info page;

	assert_true(is_one_of(sgx_encl_fault(uapi_encl_encl(w->f->encl), offset, 0, NULL, &page),
			      errors));
	assert_counters(w->f);
}

/* A call that could succeed: the way to the deeper states. */
static void likely_ioctl(struct world *w, struct input *in)
{
	struct fixture *f = w->f;
	const uint8_t which = (uint8_t)take(in, 1);

	if (!f->mapped[0])
		return;

	switch (which % 6) {
	case 0:
		judge(w, SGX_IOC_ENCLAVE_CREATE, do_create(f));
		break;
	case 1: {
		const uint64_t src = take_address(in), offset = take_number(in);
		const uint64_t length = take_number(in), flags = take(in, 1);
		uint64_t count;
		const long ret = do_add_pages(f, src, offset, length, flags, &count);

		judge(w, SGX_IOC_ENCLAVE_ADD_PAGES, ret);
		if (ret == 0)
			assert_true(count && count <= length);
		break;
	}
	case 2:
		judge(w, SGX_IOC_ENCLAVE_INIT, do_init(f));
		break;
	case 3:
		judge(w, SGX_IOC_ENCLAVE_PROVISION, do_provision(f, which & 4 ? PROVISION_FD :
								     take_number(in)));
		break;
	case 4:
		change_pages(w, in);
		break;
	case 5:
		touch(w, take_number(in) & SGX_PAGE_MASK);
		break;
	}
}

static void poke(struct fixture *f, struct input *in)
{
	const uint64_t page = take(in, 1) % 5;
	const uint64_t offset = take(in, 1) % 128 * 8;
	const uint64_t value = take_number(in);

	memcpy(&f->memory[page][offset], &value, sizeof(value));
}

/* Memory as it was in the beginning. */
static void tidy(struct fixture *f)
{
	for (size_t i = 0; i < USER_PAGES; i++) {
		f->mapped[i] = true;
		f->never_exec[i] = false;
	}
	user_secs(f);
	user_secinfo(f);
	user_sigstruct(f);
}

static void something_fails(struct fixture *f, struct input *in)
{
	const uint8_t what = (uint8_t)take(in, 1);
	const uint64_t when = take(in, 1) % 40;

	switch (what % 8) {
	case 4:
		f->interrupted_in = when;
		break;
	case 0:
		f->signal_in = when;
		break;
	case 1:
		f->copy_fails_in = when;
		break;
	case 2:
		f->alloc_fails_in = when;
		break;
	case 3:
		f->prepare_result = f->prepare_result ? 0 : -ENOMEM;
		break;
	default:
		/* A page that leaks is a bug, and told as one. */
		if (what % FAKE_NR_LEAVES == FAKE_EREMOVE)
			break;
		leaf_fails(f, what % FAKE_NR_LEAVES, when,
			   what & 0x80 && what % FAKE_NR_LEAVES == FAKE_EINIT ?
			   fake_error(what & 0x40 ? SGX_UNMASKED_EVENT : SGX_INVALID_SIGNATURE) :
			   fake_fault(X86_GP), what & 0x20 ? 2000 : 1);
		break;
	}
}

static void map(struct world *w, struct input *in)
{
	struct fixture *f = w->f;
	const uint64_t start = take_number(in) & SGX_PAGE_MASK;
	const uint64_t end = take_number(in) & SGX_PAGE_MASK;
	const int prot = (int)take(in, 1) & 7;
	int ret;

	if (start >= end)
		return;
	assert_int_equal(uapi_encl_may_map(f->encl, start, end, prot, true), -EACCES);
	ret = uapi_encl_may_map(f->encl, start, end, prot, false);
	assert_true(ret == 0 || ret == -EACCES);
	if (end - start <= 2 * ENCL_SIZE)
		assert_int_equal(ret, expected_of_map(w, start, end, prot));
}

static void reopen(struct world *w)
{
	fixture_close(w->f);
	w->created = w->initialized = false;
	while (fixture_try_open(w->f))
		;
	assert_counters(w->f);
}

static void step(struct world *w, struct input *in)
{
	struct fixture *f = w->f;
	const uint8_t what = (uint8_t)take(in, 1);

	switch (what % 16) {
	case 0: case 1: case 2: case 3:
		any_ioctl(w, in);
		break;
	case 4: case 5: case 6: case 7:
		likely_ioctl(w, in);
		break;
	case 8: case 9:
		poke(f, in);
		break;
	case 10:
		tidy(f);
		break;
	case 11:
		f->mapped[what >> 4] = !f->mapped[what >> 4];
		break;
	case 12:
		f->never_exec[8 + (what >> 4)] = !f->never_exec[8 + (what >> 4)];
		break;
	case 13:
		something_fails(f, in);
		break;
	case 14:
		map(w, in);
		break;
	case 15:
		if (what >> 4 == 0)
			reopen(w);
		else
			for (size_t i = 0; i < EPC_PAGES; i++)
				f->pages[i].accepted |= f->pages[i].pt == PT_TRIM;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct world w = { 0 };
	void *f;

	w.sgx2 = size && data[0] & 1;
	if (w.sgx2)
		fixture_setup_sgx2(&f);
	else
		fixture_setup(&f);
	w.f = f;
	while (in.left)
		step(&w, &in);
	fixture_teardown(&f);
	return 0;
}
