/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A system that has no memory for a page: who asked is told so, nobody loses one,
 * and it goes on when there is memory again.  What the server asks the system for is
 * refused here by the names that the linker was told to wrap.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "raw-client.h"

#define EPC_PAGES 64u
#define ENCL_SIZE (1u << 20)
#define NR_PAGES 40u		/* of an enclave: one fits, two do not */
#define BASE (UINT64_C(1) << 32)

/* --- a system that refuses ----------------------------------------------------------- */

static atomic_int allowed = -1;		/* pages of memory files; -1: all */
static atomic_bool no_writes;
static atomic_long host_pages;		/* 0: as it is */
static atomic_ulong largest_mapping;	/* 0: any */

int __real_madvise(void *addr, size_t size, int advice);
int __wrap_madvise(void *addr, size_t size, int advice);
ssize_t __real_pwrite64(int fd, const void *src, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *src, size_t size, off_t offset);
long __real_sysconf(int name);
long __wrap_sysconf(int name);
void *__real_mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset);

int __wrap_madvise(void *addr, size_t size, int advice)
{
	if (advice == MADV_POPULATE_WRITE && atomic_load(&allowed) >= 0) {
		/* Whole pieces ahead only when there is plenty. */
		if (size > SGX_PAGE_SIZE || atomic_fetch_sub(&allowed, 1) <= 0) {
			atomic_store(&allowed, size > SGX_PAGE_SIZE ? atomic_load(&allowed) : 0);
			errno = ENOMEM;
			return -1;
		}
	}
	return __real_madvise(addr, size, advice);
}

ssize_t __wrap_pwrite64(int fd, const void *src, size_t size, off_t offset)
{
	if (!atomic_load(&no_writes))
		return __real_pwrite64(fd, src, size, offset);
	errno = ENOSPC;
	return -1;
}

long __wrap_sysconf(int name)
{
	const long pages = atomic_load(&host_pages);

	return name == _SC_PHYS_PAGES && pages ? pages : __real_sysconf(name);
}

void *__wrap_mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	const size_t largest = atomic_load(&largest_mapping);

	if (!largest || size <= largest)
		return __real_mmap64(addr, size, prot, flags, fd, offset);
	errno = ENOMEM;
	return MAP_FAILED;
}

/* --- enclaves --------------------------------------------------------------------------- */

static int setup(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	machine_start(m, EPC_PAGES);
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	machine_stop(*state);
	free(*state);
	return 0;
}

static int64_t create(int sock)
{
	_Alignas(4096) const struct sgx_secs secs = {
		.size = ENCL_SIZE, .baseaddr = BASE, .ssaframesize = 1,
		.attributes = { .flags = ATTR_MODE64BIT, .xfrm = XFRM_X87_SSE },
	};

	return raw_create(sock, &secs);
}

static int64_t add(int sock, uint8_t seed)
{
	_Alignas(4096) static uint8_t pages[NR_PAGES * SGX_PAGE_SIZE];

	for (unsigned int i = 0; i < NR_PAGES; i++)
		memset(pages + i * SGX_PAGE_SIZE, seed + (int)i, SGX_PAGE_SIZE);
	return raw_add_pages(sock, 0, pages, sizeof(pages),
			     SECINFO_R | SECINFO_W | SECINFO_PT(PT_REG), 0);
}

/* All of them, as a process that has none taken away sees them. */
static bool holds(int sock, uint8_t seed)
{
	struct raw_attached a;
	bool same = true;

	assert_true(raw_attach(sock, &a));
	if (a.error)
		return false;
	for (unsigned int i = 0; i < NR_PAGES; i++)
		same &= a.pages[i * SGX_PAGE_SIZE] == (uint8_t)(seed + i) &&
			a.pages[(i + 1) * SGX_PAGE_SIZE - 1] == (uint8_t)(seed + i);
	raw_detach(&a);
	return same;
}

/* --- tests ------------------------------------------------------------------------------- */

static void an_enclave_without_memory_is_enomem(void **state)
{
	const int sock = raw_open(*state);

	atomic_store(&allowed, 0);
	assert_int_equal(create(sock), -ENOMEM);
	atomic_store(&allowed, -1);
	assert_int_equal(create(sock), 0);
	assert_int_equal(add(sock, 1), 0);
	assert_true(holds(sock, 1));
	close(sock);
}

static void adding_pages_without_memory_is_enomem(void **state)
{
	const int sock = raw_open(*state), other = raw_open(*state);

	assert_int_equal(create(sock), 0);
	assert_int_equal(create(other), 0);
	/* The page, and that of the mirror. */
	for (int n = 0; n < 2; n++) {
		atomic_store(&allowed, n);
		assert_int_equal(add(sock, 7), -ENOMEM);
	}
	/* Some of them. */
	atomic_store(&allowed, 3);
	assert_int_equal(add(sock, 7), -ENOMEM);
	atomic_store(&allowed, -1);
	/* Nobody else has to do with it. */
	assert_int_equal(add(other, 1), 0);
	assert_true(holds(other, 1));
	close(sock);
	close(other);
}

static void a_page_on_demand_without_memory_is_not_there(void **state)
{
	const int sock = raw_open(*state);
	struct raw_attached a;
	uint64_t hole;

	assert_int_equal(raw_build(sock), 0);
	assert_true(raw_attach(sock, &a));
	hole = a.base + a.size - SGX_PAGE_SIZE;
	assert_int_equal(a.mirror[(hole - a.base) / SGX_PAGE_SIZE], 0);
	atomic_store(&allowed, 0);
	assert_int_equal(raw_fault(sock, hole, SECINFO_W), -ENOMEM);
	assert_int_equal(a.mirror[(hole - a.base) / SGX_PAGE_SIZE], 0);
	atomic_store(&allowed, -1);
	assert_int_equal(raw_fault(sock, hole, SECINFO_W), 0);
	assert_int_not_equal(a.mirror[(hole - a.base) / SGX_PAGE_SIZE], 0);
	assert_true(raw_works(sock));
	raw_detach(&a);
	close(sock);
}

static void what_cannot_come_back_is_not_lost(void **state)
{
	const int a = raw_open(*state), b = raw_open(*state);

	assert_int_equal(create(a), 0);
	assert_int_equal(add(a, 1), 0);
	assert_int_equal(create(b), 0);
	assert_int_equal(add(b, 101), 0);
	/* All of the one are there, and so some of the other are not. */
	for (unsigned int i = 0; i < NR_PAGES; i++)
		assert_int_equal(raw_fault(a, BASE + i * SGX_PAGE_SIZE, SECINFO_R), 0);
	atomic_store(&no_writes, true);
	assert_false(holds(b, 101));
	assert_false(holds(b, 101));
	atomic_store(&no_writes, false);
	assert_true(holds(b, 101));
	close(b);
	assert_true(holds(a, 1));
	close(a);
}

#define MAX_ENCLS 8u

static void pages_stay_when_there_is_nowhere_to_write_them(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));
	int socks[MAX_ENCLS];
	unsigned int nr = 0;
	int64_t ret = 0;

	assert_non_null(m);
	/* Outside there is room for as many pages as there are in EPC, and no more. */
	atomic_store(&host_pages, EPC_PAGES);
	machine_start(m, EPC_PAGES);
	atomic_store(&host_pages, 0);
	while (!ret && nr < MAX_ENCLS) {
		socks[nr] = raw_open(m);
		ret = create(socks[nr]);
		if (!ret)
			ret = add(socks[nr], (uint8_t)(1 + 50 * nr));
		nr++;
	}
	assert_int_equal(ret, -ENOMEM);
	close(socks[--nr]);
	assert_in_range(nr, 2, MAX_ENCLS - 2);
	while (nr--) {
		assert_true(holds(socks[nr], (uint8_t)(1 + 50 * nr)));
		close(socks[nr]);
	}
	machine_stop(m);
	free(m);
}

static void a_server_with_a_limit_has_less_to_write_them_to(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));
	int a, b;

	assert_non_null(m);
	atomic_store(&largest_mapping, 1ul << 24);
	machine_start(m, EPC_PAGES);
	atomic_store(&largest_mapping, 0);
	a = raw_open(m);
	b = raw_open(m);
	assert_int_equal(create(a), 0);
	assert_int_equal(add(a, 1), 0);
	assert_int_equal(create(b), 0);
	assert_int_equal(add(b, 101), 0);
	close(b);
	assert_true(holds(a, 1));
	close(a);
	machine_stop(m);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_enclave_without_memory_is_enomem, setup, teardown),
		cmocka_unit_test_setup_teardown(adding_pages_without_memory_is_enomem, setup, teardown),
		cmocka_unit_test_setup_teardown(a_page_on_demand_without_memory_is_not_there,
						setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_come_back_is_not_lost, setup, teardown),
		cmocka_unit_test(pages_stay_when_there_is_nowhere_to_write_them),
		cmocka_unit_test(a_server_with_a_limit_has_less_to_write_them_to),
	};

	return cmocka_run_group_tests_name("scarce", tests, NULL, NULL);
}
