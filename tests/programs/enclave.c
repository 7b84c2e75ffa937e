/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Building and entering the test enclave.  Everything is made at run time, the
 * signing key too, so that no test depends on what an earlier one left.
 */
#include "enclave.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "measure.h"
#include "sigstruct.h"
#include "vdso.h"

static void *pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

/* ELRANGE must be aligned to its size: reserve twice of it, keep the middle. */
static uint8_t *reserve(size_t size)
{
	uint8_t *p = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *base;

	assert_ptr_not_equal(p, MAP_FAILED);
	base = (uint8_t *)(((uintptr_t)p + size - 1) & ~(uintptr_t)(size - 1));
	if (base > p)
		munmap(p, (size_t)(base - p));
	munmap(base + size, (size_t)(p + size - base));
	return base;
}

static void read_image(uint8_t *to)
{
	char path[PATH_MAX];
	const ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 32);
	int fd;

	assert_true(len > 0);
	path[len] = '\0';
	strcpy(strrchr(path, '/') + 1, "test-enclave");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(read(fd, to, ENCL_IMAGE_SIZE), ENCL_IMAGE_SIZE);
	close(fd);
}

static void region(struct test_encl *e, uint64_t offset, uint64_t length, uint64_t secinfo,
		   int prot, bool zero)
{
	assert_in_range(e->nr_regions, 0, TEST_MAX_REGIONS - 1);
	e->regions[e->nr_regions++] = (struct test_region){
		.offset = offset,
		.length = length,
		.secinfo = secinfo,
		.prot = prot,
		.src = zero ? NULL : e->image + offset,
	};
	e->nr_pages += (unsigned int)(length / PAGE_SIZE);
}

static_assert(offsetof(struct test_aep, tcs) == 8 && offsetof(struct test_aep, rdi) == 16 &&
	      sizeof(struct test_aep) == 24, "enter.S");

static void add_thread(struct test_encl *e, unsigned int i, unsigned int nr_ssa,
		       uint64_t tcs_flags)
{
	const uint64_t block = ENCL_THREAD_OFFSET + (uint64_t)i * ENCL_THREAD_SIZE;
	struct tcs *tcs = (struct tcs *)(e->image + block + ENCL_THREAD_TCS);
	const uint64_t rw = SECINFO_REG | SECINFO_R | SECINFO_W;

	tcs->flags = tcs_flags;
	tcs->ossa = e->gap + block + ENCL_THREAD_SSA;
	tcs->nssa = nr_ssa;
	tcs->oentry = e->gap + ENCL_CODE_OFFSET;
	tcs->ofsbase = e->gap + block;
	tcs->ogsbase = e->gap + block + PAGE_SIZE;
	tcs->fslimit = UINT32_MAX;
	tcs->gslimit = UINT32_MAX;

	region(e, block, ENCL_THREAD_TCS, rw, PROT_READ | PROT_WRITE, false);
	region(e, block + ENCL_THREAD_TCS, PAGE_SIZE, SECINFO_TCS, PROT_READ | PROT_WRITE, false);
	region(e, block + ENCL_THREAD_SSA, nr_ssa * PAGE_SIZE, rw, PROT_READ | PROT_WRITE, false);
}

static void lay_out(struct test_encl *e, const struct test_config *cfg)
{
	const unsigned int nr_threads = cfg->nr_threads ? cfg->nr_threads : 1;
	const uint64_t code = ENCL_THREAD_OFFSET + (uint64_t)nr_threads * ENCL_THREAD_SIZE;
	const uint64_t image_end = code + (cfg->code ? PAGE_SIZE : 0);
	const uint64_t heap_size = (uint64_t)cfg->heap_pages * PAGE_SIZE;
	const uint64_t r = SECINFO_REG | SECINFO_R;
	uint64_t heap = image_end;

	e->gap = cfg->gap;
	for (e->size = 2 * PAGE_SIZE; e->size < cfg->gap + image_end + heap_size; e->size *= 2)
		;
	if (cfg->size) {
		e->size = cfg->size;
		heap = e->size - cfg->gap - heap_size;
	}
	e->image_size = image_end;
	e->image = pages(image_end);
	read_image(e->image);
	e->code_offset = code;
	e->heap_offset = heap;

	region(e, ENCL_CODE_OFFSET, ENCL_DATA_OFFSET, r | SECINFO_X, PROT_READ | PROT_EXEC, false);
	region(e, ENCL_DATA_OFFSET, ENCL_RODATA_OFFSET - ENCL_DATA_OFFSET, r | SECINFO_W,
	       PROT_READ | PROT_WRITE, false);
	region(e, ENCL_RODATA_OFFSET, PAGE_SIZE, r, PROT_READ, false);
	region(e, ENCL_PROBE_OFFSET, PAGE_SIZE, r | SECINFO_W, PROT_READ | PROT_WRITE, false);
	for (unsigned int i = 0; i < nr_threads; i++)
		add_thread(e, i, cfg->nr_ssa ? cfg->nr_ssa : 2, cfg->tcs_flags);
	if (cfg->code) {
		assert_in_range(cfg->code_size, 1, PAGE_SIZE);
		memcpy(e->image + code, cfg->code, cfg->code_size);
		region(e, code, PAGE_SIZE, r | SECINFO_X, PROT_READ | PROT_EXEC, false);
	}
	if (cfg->heap_pages)
		region(e, heap, heap_size,
		       r | SECINFO_W | (cfg->heap_exec ? SECINFO_X : 0),
		       PROT_READ | PROT_WRITE | (cfg->heap_exec ? PROT_EXEC : 0), true);
}

static void measure_region(struct measure *m, uint64_t gap, const struct test_region *r)
{
	for (uint64_t o = 0; o < r->length; o += PAGE_SIZE)
		measure_page(m, gap + r->offset + o, r->secinfo, r->src ? r->src + o : NULL);
}

/* One key for the whole run; making it takes a noticeable time. */
static EVP_PKEY *signing_key(void)
{
	static EVP_PKEY *key;

	if (!key)
		key = sigstruct_generate_key();
	assert_non_null(key);
	return key;
}

void test_encl_sign(struct test_encl *e)
{
	uint8_t mrenclave[32];
	struct measure m;

	measure_ecreate(&m, e->secs->ssaframesize, e->size);
	for (unsigned int i = 0; i < e->nr_regions; i++)
		measure_region(&m, e->gap, &e->regions[i]);
	assert_true(measure_final(&m, mrenclave));

	sigstruct_init(e->sig, mrenclave);
	e->sig->xfrm = e->secs->xfrm;
	e->sig->attributes = e->secs->attributes;
	e->sig->miscselect = e->secs->miscselect;
	assert_true(sigstruct_sign(e->sig, signing_key()));
}

void test_encl_prepare(struct test_encl *e, const struct test_config *cfg)
{
	*e = (struct test_encl){ .fd = -1 };
	e->stacks = pages(TEST_MAX_THREADS * sizeof(*e->stacks));
	lay_out(e, cfg);

	e->secs = pages(sizeof(*e->secs));
	e->secs->size = e->size;
	e->secs->ssaframesize = 1;
	e->secs->attributes = ATTR_MODE64BIT | cfg->attributes;
	e->secs->miscselect = cfg->miscselect;
	e->secs->xfrm = cfg->xfrm ? cfg->xfrm : XFRM_X87_SSE;

	e->sig = pages(sizeof(*e->sig));
	test_encl_sign(e);
}

/* Setup functions can only say that they failed; this says where. */
static int report(const char *step, int ret)
{
	if (ret)
		fprintf(stderr, "# %s: %s\n", step, strerror(-ret));
	return ret;
}

int test_encl_open(struct test_encl *e)
{
	e->fd = open("/dev/sgx_enclave", O_RDWR | O_CLOEXEC);
	return e->fd < 0 ? report("/dev/sgx_enclave", -errno) : 0;
}

int test_encl_create(struct test_encl *e)
{
	struct sgx_enclave_create arg = { .src = (uintptr_t)e->secs };

	if (!e->base)
		e->base = reserve(e->size) + e->gap;
	e->secs->baseaddr = (uintptr_t)e->base - e->gap;
	return ioctl(e->fd, SGX_IOC_ENCLAVE_CREATE, &arg) ? -errno : 0;
}

int test_encl_add_region(struct test_encl *e, const struct test_region *r)
{
	uint8_t *zeros = r->src ? NULL : pages(r->length);
	struct secinfo secinfo = { .flags = r->secinfo };
	int ret = 0;

	for (uint64_t done = 0; !ret && done < r->length;) {
		struct sgx_enclave_add_pages arg = {
			.src = (uintptr_t)(r->src ? r->src : zeros) + done,
			.offset = e->gap + r->offset + done,
			.length = r->length - done,
			.secinfo = (uintptr_t)&secinfo,
			.flags = r->src ? SGX_PAGE_MEASURE : 0,
		};

		if (ioctl(e->fd, SGX_IOC_ENCLAVE_ADD_PAGES, &arg) && errno != EINTR)
			ret = -errno;
		done += arg.count;
	}
	if (zeros)
		munmap(zeros, r->length);
	return ret;
}

int test_encl_add(struct test_encl *e)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < e->nr_regions; i++)
		ret = test_encl_add_region(e, &e->regions[i]);
	return ret;
}

int test_encl_init(struct test_encl *e)
{
	struct sgx_enclave_init arg = { .sigstruct = (uintptr_t)e->sig };

	return ioctl(e->fd, SGX_IOC_ENCLAVE_INIT, &arg) ? -errno : 0;
}

int test_encl_map(struct test_encl *e)
{
	for (unsigned int i = 0; i < e->nr_regions; i++) {
		const struct test_region *r = &e->regions[i];

		if (mmap(e->base + r->offset, r->length, r->prot, MAP_SHARED | MAP_FIXED, e->fd,
			 0) == MAP_FAILED)
			return -errno;
	}
	return 0;
}

int test_encl_build(struct test_encl *e, const struct test_config *cfg)
{
	int ret;

	test_encl_prepare(e, cfg);
	ret = test_encl_open(e);
	if (!ret)
		ret = report("CREATE", test_encl_create(e));
	if (!ret)
		ret = report("ADD_PAGES", test_encl_add(e));
	if (!ret)
		ret = report("INIT", test_encl_init(e));
	if (!ret)
		ret = report("mmap", test_encl_map(e));
	return ret;
}

void test_encl_free(struct test_encl *e)
{
	if (e->base)
		munmap(e->base, e->size - e->gap);
	if (e->fd >= 0)
		close(e->fd);
	if (e->image)
		munmap(e->image, e->image_size);
	if (e->secs)
		munmap(e->secs, sizeof(*e->secs));
	if (e->stacks)
		munmap(e->stacks, TEST_MAX_THREADS * sizeof(*e->stacks));
	if (e->sig)
		munmap(e->sig, sizeof(*e->sig));
	*e = (struct test_encl){ .fd = -1 };
}

uint64_t test_tcs(const struct test_encl *e, unsigned int i)
{
	return (uintptr_t)e->base + ENCL_THREAD_OFFSET + (uint64_t)i * ENCL_THREAD_SIZE +
	       ENCL_THREAD_TCS;
}

bool test_is_inside(const struct test_encl *e, uint64_t addr)
{
	return addr - (uintptr_t)e->base < e->size - e->gap;
}

unsigned int test_epc_pages(void)
{
	uint64_t size = 0;
	uint32_t a, b, c, d;

	for (uint32_t i = 2;; i++) {
		__cpuid_count(0x12, i, a, b, c, d);
		if ((a & 0xf) != 1)
			return (unsigned int)(size / PAGE_SIZE);
		size += (c & 0xfffff000) | (uint64_t)(d & 0xfffff) << 32;
	}
}

void *test_vdso(void)
{
	static void *fn;

	if (!fn)
		fn = vdso_symbol("__vdso_sgx_enter_enclave");
	if (!fn)
		fail_msg("the vDSO has no __vdso_sgx_enter_enclave");
	return fn;
}

/* The stack of the thread that @tcs is; NULL for an address that is none. */
static struct test_stack *stack_of(const struct test_encl *e, uint64_t tcs)
{
	for (unsigned int i = 0; i < TEST_MAX_THREADS; i++)
		if (tcs == test_tcs(e, i))
			return &e->stacks[i];
	return NULL;
}

int test_call(const struct test_encl *e, uint64_t tcs, uint32_t function, struct test_op *op,
	      struct sgx_enclave_run *run)
{
	uint64_t regs[NR_REGS] = { [R_RDI] = (uintptr_t)op };
	struct test_stack *stack = stack_of(e, tcs);
	int ret;

	*run = (struct sgx_enclave_run){
		.tcs = tcs,
		.user_handler = run->user_handler,
		.user_data = run->user_data,
	};
	/* What is resumed has left the stack, be it by a jump out of a handler. */
	if (stack && atomic_flag_test_and_set(&stack->busy) && function == ENCLU_EENTER)
		stack = NULL;
	ret = enter_vdso(regs, run, function, test_vdso(), stack ? stack + 1 : NULL);
	if (stack)
		atomic_flag_clear(&stack->busy);
	return ret;
}

void test_enter(const struct test_encl *e, unsigned int i, struct test_op *op)
{
	struct sgx_enclave_run run = { 0 };
	const int ret = test_call(e, test_tcs(e, i), ENCLU_EENTER, op, &run);

	if (ret || run.function != ENCLU_EEXIT)
		fail_msg("operation %u: returned %d, function %u, vector %u, error 0x%x, addr %llx",
			 (unsigned int)op->kind, ret, run.function, run.exception_vector,
			 run.exception_error_code, (unsigned long long)run.exception_addr);
}

bool test_forbid_userfaultfd(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

/* An enclave as large as the EPC is one page larger than what there is for it. */
static int take_all_epc(void)
{
	struct test_encl e;

	if (!test_forbid_userfaultfd())
		return 1;
	test_encl_prepare(&e, &(struct test_config){ .heap_pages = test_epc_pages() });
	/* Mapped, for only then it is a process's that nothing can be taken from. */
	if (test_encl_open(&e) || test_encl_create(&e) ||
	    mmap(e.base, PAGE_SIZE, PROT_NONE, MAP_SHARED | MAP_FIXED, e.fd, 0) == MAP_FAILED)
		return 2;
	return test_encl_add(&e) == -ENOMEM ? 0 : 3;
}

void test_have_all_out(void)
{
	const pid_t pid = fork();
	int status;

	if (!pid)
		_exit(take_all_epc());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}
