/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /dev/sgx_vepc as a hypervisor's process sees it, and the guest's kernel that a
 * program with virtual EPC may play.  To be run with an EPC of 256 KiB, 64 pages.
 */
#include <asm/sgx.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave.h"
#include "encls.h"
#include "measure.h"
#include "sigstruct.h"

#define EPC_PAGES 64
#define NR_PAGES 16
#define BASE 0x10000000000ull
#define SIZE 0x10000ull
#define HOLE ((void *)0x5000)		/* nothing is mapped there */

/* --- signals -------------------------------------------------------------------- */

struct trap {
	int sig, code, vector;
	uint64_t error_code, address;
};

static sigjmp_buf out;
static volatile sig_atomic_t armed;
static struct trap trap;

static void on_signal(int sig, siginfo_t *info, void *ucontext)
{
	const greg_t *gregs = ((ucontext_t *)ucontext)->uc_mcontext.gregs;

	if (!armed)
		_exit(9);
	trap = (struct trap){
		.sig = sig, .code = info->si_code, .vector = (int)gregs[REG_TRAPNO],
		.error_code = (uint64_t)gregs[REG_ERR], .address = (uintptr_t)info->si_addr,
	};
	siglongjmp(out, 1);
}

/* cmocka has handlers of its own, set before each case. */
static void arm(void)
{
	const struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	trap = (struct trap){ 0 };
	armed = 1;
}

/* Return: the trap that the statement ended in; sig 0 when in none. */
#define TRAP_OF(statement)                          \
	__extension__({                             \
		arm();                              \
		if (!sigsetjmp(out, 1)) {           \
			statement;                  \
		}                                   \
		armed = 0;                          \
		trap;                               \
	})

#define assert_sig(t, s) assert_int_equal((t).sig, (s))

/* #GP(0), as Linux reports it. */
static void assert_gp(struct trap t)
{
	assert_sig(t, SIGSEGV);
	assert_int_equal(t.code, SI_KERNEL);
	assert_int_equal(t.vector, VECTOR_GP);
}

static void assert_epf(struct trap t, const void *addr)
{
	assert_sig(t, SIGSEGV);
	assert_int_equal(t.vector, VECTOR_PF);
	assert_true(t.error_code & PF_SGX);
	assert_int_equal(t.address, (uintptr_t)addr);
}

/* --- instances ------------------------------------------------------------------- */

struct instance {
	int fd;
	uint8_t *epc;
};

static struct instance open_instance(void)
{
	struct instance v = { .fd = open("/dev/sgx_vepc", O_RDWR | O_CLOEXEC) };

	assert_true(v.fd >= 0);
	v.epc = mmap(NULL, NR_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, v.fd, 0);
	assert_ptr_not_equal(v.epc, MAP_FAILED);
	return v;
}

static void close_instance(struct instance *v)
{
	munmap(v->epc, NR_PAGES * PAGE_SIZE);
	close(v->fd);
}

/* How many pages of EPC there are to be had. */
static unsigned int nr_free(void)
{
	int fd = open("/dev/sgx_vepc", O_RDWR);
	volatile uint8_t *epc = mmap(NULL, (EPC_PAGES + 1) * PAGE_SIZE, PROT_READ, MAP_SHARED,
				     fd, 0);
	volatile unsigned int nr = 0;

	while (TRAP_OF((void)epc[nr * PAGE_SIZE]).sig == 0)
		nr++;
	munmap((void *)(uintptr_t)epc, (EPC_PAGES + 1) * PAGE_SIZE);
	close(fd);
	return nr;
}

static void assert_all_free(void)
{
	assert_int_equal(nr_free(), EPC_PAGES);
}

/* --- leaves ------------------------------------------------------------------------ */

static struct secs secs __attribute__((aligned(4096)));
static uint8_t source[PAGE_SIZE] __attribute__((aligned(4096)));
static struct secinfo secinfo __attribute__((aligned(64)));
static struct pageinfo pageinfo;

static void ecreate(void *epc)
{
	secs = (struct secs){
		.size = SIZE, .baseaddr = BASE, .ssaframesize = 1,
		.attributes = ATTR_MODE64BIT | 2, .xfrm = XFRM_X87_SSE,
	};
	secinfo = (struct secinfo){ .flags = SECINFO_SECS };
	pageinfo = (struct pageinfo){ .srcpge = &secs, .secinfo = &secinfo };
	encls(ENCLS_ECREATE, &pageinfo, epc, NULL);
}

static void eadd(void *epc, void *to, uint64_t offset)
{
	secinfo = (struct secinfo){ .flags = SECINFO_REG | SECINFO_R | SECINFO_W };
	pageinfo = (struct pageinfo){
		.linaddr = BASE + offset, .srcpge = source, .secinfo = &secinfo, .secs = to,
	};
	encls(ENCLS_EADD, &pageinfo, epc, NULL);
}

static uint64_t status(enum encls_leaf leaf, const void *rbx, const void *rcx, const void *rdx)
{
	const struct encls_result r = encls(leaf, rbx, rcx, rdx);

	/* ZF goes with a code, and all other arithmetic flags are clear. */
	assert_int_equal(r.rflags & 0x8d5, r.rax ? 0x40 : 0);
	return r.rax;
}

static uint64_t eremove(void *epc)
{
	return status(ENCLS_EREMOVE, NULL, epc, NULL);
}

/* SECS at page 0, and an RW page at offset 0 with @source measured. */
static void build(struct instance *v)
{
	unsigned int i;

	memset(source, 0x5c, sizeof(source));
	ecreate(v->epc);
	eadd(v->epc + PAGE_SIZE, v->epc, 0);
	for (i = 0; i < PAGE_SIZE; i += 256)
		encls(ENCLS_EEXTEND, v->epc, v->epc + PAGE_SIZE + i, NULL);
}

/* A certificate for it, under a key whose hash becomes the guest's. */
static void sign(struct sigstruct *sig, uint64_t hash[4])
{
	EVP_PKEY *key = sigstruct_generate_key();
	uint8_t mrenclave[32];
	unsigned int size = 32;
	struct measure m;

	measure_ecreate(&m, 1, SIZE);
	measure_page(&m, 0, SECINFO_REG | SECINFO_R | SECINFO_W, source);
	assert_true(measure_final(&m, mrenclave));
	sigstruct_init(sig, mrenclave);
	sig->attributes |= 2;
	assert_true(sigstruct_sign(sig, key));
	assert_true(EVP_Digest(sig->modulus, sizeof(sig->modulus), (uint8_t *)hash, &size,
			       EVP_sha256(), NULL));
	EVP_PKEY_free(key);
}

/* --- the device ----------------------------------------------------------------------- */

static void f12_is_a_character_device(void **state)
{
	struct stat named, opened;
	int fd = open("/dev/sgx_vepc", O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(stat("/dev/sgx_vepc", &named), 0);
	assert_int_equal(fstat(fd, &opened), 0);
	assert_true(S_ISCHR(named.st_mode) && S_ISCHR(opened.st_mode));
	assert_int_equal(named.st_rdev, opened.st_rdev);
	close(fd);
}

static void *map(int fd, size_t size, int prot, int flags, off_t offset)
{
	return mmap(NULL, size, prot, flags, fd, offset);
}

static void f80_maps_shared_any_size_at_any_page(void **state)
{
	int fd = open("/dev/sgx_vepc", O_RDWR);
	const size_t huge = 1ull << 40;
	uint8_t *p;

	assert_ptr_equal(map(fd, PAGE_SIZE, PROT_READ, MAP_PRIVATE, 0), MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	assert_ptr_equal(map(fd, PAGE_SIZE, PROT_READ, MAP_SHARED, 12), MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	assert_ptr_equal(map(fd, 0, PROT_READ, MAP_SHARED, 0), MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	p = map(fd, huge, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, 1ll << 32);
	assert_ptr_not_equal(p, MAP_FAILED);
	p[huge / 2] = 1;
	munmap(p, huge);
	close(fd);
	assert_all_free();
}

static void f81_a_page_costs_epc_when_it_is_touched(void **state)
{
	struct instance v = open_instance();

	assert_all_free();
	assert_int_equal(v.epc[3 * PAGE_SIZE], 0xff);	/* the abort page */
	assert_int_equal(nr_free(), EPC_PAGES - 1);
	v.epc[3 * PAGE_SIZE + 5] = 1;
	v.epc[4 * PAGE_SIZE] = 1;
	assert_int_equal(nr_free(), EPC_PAGES - 2);
	close_instance(&v);
	assert_all_free();
}

static void f81_exhausted_epc_is_sigbus(void **state)
{
	int fd = open("/dev/sgx_vepc", O_RDWR);
	volatile uint8_t *epc = map(fd, (EPC_PAGES + 1) * PAGE_SIZE, PROT_READ | PROT_WRITE,
				    MAP_SHARED, 0);
	volatile unsigned int i;
	struct trap t;

	for (i = 0; i < EPC_PAGES; i++)
		epc[i * PAGE_SIZE] = 1;
	t = TRAP_OF(epc[EPC_PAGES * PAGE_SIZE] = 1);
	assert_sig(t, SIGBUS);
	assert_int_equal(t.code, BUS_ADRERR);
	/* What is there stays, and what goes elsewhere makes room. */
	assert_sig(TRAP_OF((void)epc[0]), 0);
	munmap((void *)(uintptr_t)epc, (EPC_PAGES + 1) * PAGE_SIZE);
	close(fd);
	assert_all_free();
}

/* The page is there: a second mapping of it must find it. */
static void l5_maps_a_page_again_that_was_touched(void **state)
{
	struct instance v = open_instance();
	uint8_t *again;

	v.epc[2 * PAGE_SIZE] = 1;
	ecreate(v.epc + PAGE_SIZE);
	munmap(v.epc, NR_PAGES * PAGE_SIZE);
	v.epc = map(v.fd, NR_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	v.epc[2 * PAGE_SIZE] = 1;
	again = map(v.fd, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, PAGE_SIZE);
	assert_int_equal(again[0], 0xff);
	assert_int_equal(nr_free(), EPC_PAGES - 2);
	/* The same page by another address. */
	assert_epf(TRAP_OF(ecreate(again)), again);
	munmap(again, PAGE_SIZE);
	close_instance(&v);
	assert_all_free();
}

static void rights_are_those_of_the_mapping(void **state)
{
	struct instance v = open_instance();

	assert_int_equal(mprotect(v.epc, PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(v.epc[0], 0xff);
	assert_sig(TRAP_OF(v.epc[0] = 1), SIGSEGV);
	assert_sig(TRAP_OF(ecreate(v.epc)), SIGSEGV);
	assert_int_equal(mprotect(v.epc, PAGE_SIZE, PROT_NONE), 0);
	assert_sig(TRAP_OF((void)*(volatile uint8_t *)v.epc), SIGSEGV);
	assert_int_equal(mprotect(v.epc, PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
	assert_sig(TRAP_OF(ecreate(v.epc)), 0);
	assert_int_equal(eremove(v.epc), 0);
	close_instance(&v);
}

/* F28: not inherited. */
static void f28_a_child_does_not_have_the_mapping(void **state)
{
	struct instance v = open_instance();
	int status_of_child;
	pid_t pid;

	v.epc[0] = 1;
	pid = fork();
	if (!pid) {
		struct trap touch = TRAP_OF(v.epc[0] = 1);
		struct trap leaf = TRAP_OF(encls(ENCLS_EREMOVE, NULL, v.epc, NULL));

		/* And so it is no kernel, until it maps some of its own. */
		_exit(touch.sig == SIGSEGV && leaf.sig == SIGILL ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status_of_child, 0), pid);
	assert_int_equal(status_of_child, 0);
	assert_sig(TRAP_OF(v.epc[0] = 1), 0);
	close_instance(&v);
	assert_all_free();
}

static void the_mapping_keeps_the_instance(void **state)
{
	struct instance v = open_instance();

	close(v.fd);
	ecreate(v.epc);
	assert_int_equal(nr_free(), EPC_PAGES - 1);
	munmap(v.epc, NR_PAGES * PAGE_SIZE);
	assert_all_free();
}

static void f82_remove_all_and_what_else_there_is_to_ask(void **state)
{
	struct instance a = open_instance(), b = open_instance();

	assert_int_equal(ioctl(a.fd, SGX_IOC_VEPC_REMOVE_ALL, 1), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(ioctl(a.fd, SGX_IOC_ENCLAVE_CREATE, 0), -1);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(ioctl(a.fd, SGX_IOC_VEPC_REMOVE_ALL, 0), 0);

	ecreate(a.epc);
	eadd(a.epc + PAGE_SIZE, a.epc, 0);
	eadd(b.epc, a.epc, PAGE_SIZE);
	assert_int_equal(ioctl(a.fd, SGX_IOC_VEPC_REMOVE_ALL, 0), 1);
	assert_int_equal(ioctl(b.fd, SGX_IOC_VEPC_REMOVE_ALL, 0), 0);
	assert_int_equal(ioctl(a.fd, SGX_IOC_VEPC_REMOVE_ALL, 0), 0);
	/* The pages stay the instance's. */
	assert_int_equal(nr_free(), EPC_PAGES - 3);
	close_instance(&a);
	close_instance(&b);
	assert_all_free();
}

static void f83_a_secs_outlives_its_instance_until_its_children_are_gone(void **state)
{
	struct instance a = open_instance(), b = open_instance();

	ecreate(a.epc);
	eadd(a.epc + PAGE_SIZE, a.epc, 0);
	eadd(b.epc, a.epc, PAGE_SIZE);
	eadd(b.epc + PAGE_SIZE, a.epc, 2 * PAGE_SIZE);
	close_instance(&a);
	assert_int_equal(nr_free(), EPC_PAGES - 3);
	assert_int_equal(eremove(b.epc), 0);
	assert_int_equal(nr_free(), EPC_PAGES - 3);
	/* Its page goes at this moment; those of b stay. */
	assert_int_equal(eremove(b.epc + PAGE_SIZE), 0);
	assert_int_equal(nr_free(), EPC_PAGES - 2);
	close_instance(&b);
	assert_all_free();
}

/* --- ENCLS ---------------------------------------------------------------------------- */

static void encls_is_sigill_without_virtual_epc(void **state)
{
	struct instance v;

	assert_sig(TRAP_OF(encls(ENCLS_EREMOVE, NULL, source, NULL)), SIGILL);
	assert_gp(TRAP_OF(wrmsr(MSR_SGXLEPUBKEYHASH0, 0)));
	v = open_instance();
	assert_sig(TRAP_OF(encls(ENCLS_EREMOVE, NULL, v.epc, NULL)), 0);
	close_instance(&v);
	assert_sig(TRAP_OF(encls(ENCLS_EREMOVE, NULL, source, NULL)), SIGILL);
}

static void an_enclave_is_built_initialized_and_read_by_a_debugger(void **state)
{
	static const uint8_t token[304] __attribute__((aligned(512)));
	static struct sigstruct sig __attribute__((aligned(4096)));
	struct instance v = open_instance();
	uint64_t hash[4], before;
	unsigned int i;

	build(&v);
	sign(&sig, hash);
	before = rdmsr(MSR_SGXLEPUBKEYHASH0);
	assert_true(before != hash[0]);
	/* Signed by nobody this guest launches. */
	assert_int_equal(status(ENCLS_EINIT, &sig, v.epc, token), 16);
	for (i = 0; i < 4; i++)
		wrmsr(MSR_SGXLEPUBKEYHASH0 + i, hash[i]);
	assert_int_equal(rdmsr(MSR_SGXLEPUBKEYHASH0 + 3), hash[3]);
	assert_int_equal(status(ENCLS_EINIT, &sig, v.epc, token), 0);

	assert_int_equal(encls(ENCLS_EDBGRD, NULL, v.epc + PAGE_SIZE + 8, NULL).rbx,
			 0x5c5c5c5c5c5c5c5cull);
	/* Nobody else reads it. */
	assert_int_equal(v.epc[PAGE_SIZE], 0xff);

	/* Dynamic memory, once it is initialized. */
	secinfo = (struct secinfo){ .flags = SECINFO_REG | SECINFO_R | SECINFO_W };
	pageinfo = (struct pageinfo){ .linaddr = BASE + PAGE_SIZE, .secs = v.epc };
	encls(ENCLS_EAUG, &pageinfo, v.epc + 2 * PAGE_SIZE, NULL);
	assert_int_equal(eremove(v.epc), SGX_CHILD_PRESENT);
	for (i = 2; i < 4; i++)
		assert_int_equal(eremove(v.epc + (4 - i) * PAGE_SIZE), 0);
	assert_int_equal(eremove(v.epc), 0);
	close_instance(&v);
	for (i = 0; i < 4; i++)
		assert_gp(TRAP_OF(wrmsr(MSR_SGXLEPUBKEYHASH0 + i, 0)));
}

static void a_page_is_written_out_and_read_back_elsewhere(void **state)
{
	static uint8_t ciphertext[PAGE_SIZE] __attribute__((aligned(4096)));
	static uint8_t pcmd[128] __attribute__((aligned(128)));
	struct instance v = open_instance();
	uint8_t *const page = v.epc + PAGE_SIZE, *const va = v.epc + 2 * PAGE_SIZE;
	struct pageinfo info = { .srcpge = ciphertext, .secinfo = pcmd };

	build(&v);
	encls(ENCLS_EPA, (void *)3, va, NULL);
	assert_int_equal(status(ENCLS_EBLOCK, NULL, page, NULL), 0);
	assert_int_equal(status(ENCLS_ETRACK, NULL, v.epc, NULL), 0);
	assert_int_equal(status(ENCLS_EWB, &info, page, va + 8), 0);
	assert_int_equal(info.linaddr, BASE);
	assert_memory_not_equal(ciphertext, source, PAGE_SIZE);

	/* SECS and nothing else: the page is not its child any more. */
	info.secs = v.epc;
	assert_int_equal(status(ENCLS_ELDU, &info, v.epc + 5 * PAGE_SIZE, va + 8), 0);
	assert_int_equal(encls(ENCLS_EDBGRD, NULL, v.epc + 5 * PAGE_SIZE, NULL).rbx,
			 0x5c5c5c5c5c5c5c5cull);
	close_instance(&v);
	assert_all_free();
}

/* EWB where nothing can be stored: the page stays. */
static void written_out_to_nowhere_it_stays(void **state)
{
	static uint8_t pcmd[128] __attribute__((aligned(128)));
	struct instance v = open_instance();
	uint8_t *const page = v.epc + PAGE_SIZE, *const va = v.epc + 2 * PAGE_SIZE;
	struct pageinfo info = { .srcpge = HOLE, .secinfo = pcmd };
	struct trap t;

	build(&v);
	encls(ENCLS_EPA, (void *)3, va, NULL);
	status(ENCLS_EBLOCK, NULL, page, NULL);
	status(ENCLS_ETRACK, NULL, v.epc, NULL);
	t = TRAP_OF(encls(ENCLS_EWB, &info, page, va));
	assert_sig(t, SIGSEGV);
	assert_int_equal(t.vector, VECTOR_PF);
	assert_int_equal(t.address, (uintptr_t)HOLE);
	assert_int_equal(eremove(v.epc), SGX_CHILD_PRESENT);
	close_instance(&v);
	assert_all_free();
}

static void faults_are_those_of_the_leaf(void **state)
{
	struct instance v = open_instance();
	struct trap t;

	ecreate(v.epc);
	assert_epf(TRAP_OF(ecreate(v.epc)), v.epc);
	assert_gp(TRAP_OF(encls(ENCLS_EREMOVE, NULL, v.epc + 8, NULL)));
	assert_gp(TRAP_OF(encls((enum encls_leaf)0x3f, NULL, v.epc, NULL)));
	/* Not EPC: no page of the program's own is removed. */
	assert_epf(TRAP_OF(encls(ENCLS_EREMOVE, NULL, source, NULL)), source);
	/* The operand is not there at all. */
	t = TRAP_OF(encls(ENCLS_EADD, HOLE, v.epc + PAGE_SIZE, NULL));
	assert_sig(t, SIGSEGV);
	assert_int_equal(t.vector, VECTOR_PF);
	assert_false(t.error_code & PF_SGX);
	assert_int_equal(t.address, (uintptr_t)HOLE);
	close_instance(&v);
	assert_all_free();
}

/* What the policy for guests refuses. */
static void f88_a_guest_may_not_provision(void **state)
{
	struct instance v = open_instance();

	TRAP_OF(ecreate(v.epc));
	eremove(v.epc);
	secs.attributes |= 0x10;
	assert_gp(TRAP_OF(encls(ENCLS_ECREATE, &pageinfo, v.epc, NULL)));
	secs.attributes &= ~0x10ull;
	assert_sig(TRAP_OF(encls(ENCLS_ECREATE, &pageinfo, v.epc, NULL)), 0);
	close_instance(&v);
}

/* --- from threads ------------------------------------------------------------------------ */

#define NR_THREADS 3
#define NR_ROUNDS 50

/* Each touches, maps, and runs leaves on pages of its own in one instance. */
struct guest_cpu {
	pthread_t thread;
	struct instance *v;
	unsigned int nr;
	bool failed;
};

static void *run_cpu(void *arg)
{
	struct guest_cpu *cpu = arg;
	uint8_t *const mine = cpu->v->epc + cpu->nr * PAGE_SIZE;
	unsigned int i;

	for (i = 0; i < NR_ROUNDS; i++) {
		struct secinfo info __attribute__((aligned(64))) = { .flags = SECINFO_SECS };
		struct secs source_of_secs __attribute__((aligned(4096))) = {
			.size = SIZE, .baseaddr = BASE, .ssaframesize = 1,
			.attributes = ATTR_MODE64BIT, .xfrm = XFRM_X87_SSE,
		};
		const struct pageinfo pi = { .srcpge = &source_of_secs, .secinfo = &info };
		volatile uint8_t *again = mmap(NULL, NR_PAGES * PAGE_SIZE, PROT_READ, MAP_SHARED,
					       cpu->v->fd, 0);

		encls(ENCLS_ECREATE, &pi, mine, NULL);
		cpu->failed |= again[i % NR_PAGES * PAGE_SIZE] != 0xff;
		cpu->failed |= encls(ENCLS_EREMOVE, NULL, mine, NULL).rax != 0;
		munmap((void *)(uintptr_t)again, NR_PAGES * PAGE_SIZE);
	}
	return NULL;
}

static void a_guest_has_several_processors(void **state)
{
	struct guest_cpu cpus[NR_THREADS];
	struct instance v = open_instance();
	int status_of_child;
	unsigned int i;

	for (i = 0; i < NR_THREADS; i++) {
		cpus[i] = (struct guest_cpu){ .v = &v, .nr = i };
		assert_int_equal(pthread_create(&cpus[i].thread, NULL, run_cpu, &cpus[i]), 0);
	}
	/* Children come and go meanwhile, and keep nothing. */
	for (i = 0; i < 20; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(TRAP_OF(v.epc[0] = 1).sig == SIGSEGV ? 0 : 1);
		assert_int_equal(waitpid(pid, &status_of_child, 0), pid);
		assert_int_equal(status_of_child, 0);
	}
	for (i = 0; i < NR_THREADS; i++) {
		pthread_join(cpus[i].thread, NULL);
		assert_false(cpus[i].failed);
	}
	close_instance(&v);
	assert_all_free();
}

/* Known deviation: the guest's processes, which would map it, do not exist. */
static void an_enclave_in_virtual_epc_cannot_be_entered(void **state)
{
	struct instance v = open_instance();

	ecreate(v.epc);
	secinfo = (struct secinfo){ .flags = SECINFO_TCS };
	memset(source, 0, sizeof(source));
	((struct tcs *)(void *)source)->nssa = 1;
	pageinfo = (struct pageinfo){
		.linaddr = BASE, .srcpge = source, .secinfo = &secinfo, .secs = v.epc,
	};
	encls(ENCLS_EADD, &pageinfo, v.epc + PAGE_SIZE, NULL);
	assert_epf(TRAP_OF(__asm__ volatile("enclu" : : "a"(ENCLU_EENTER), "b"(v.epc + PAGE_SIZE),
					    "c"(0) : "memory", "cc")), v.epc + PAGE_SIZE);
	close_instance(&v);
}

/* Known deviation: the kernel itself cannot touch the page first. */
static void a_system_call_does_not_touch_a_page_first(void **state)
{
	struct instance v = open_instance();
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], v.epc, 1), -1);
	assert_int_equal(errno, EFAULT);
	(void)*(volatile uint8_t *)v.epc;
	assert_int_equal(write(pipes[1], v.epc, 1), 1);
	close(pipes[0]);
	close(pipes[1]);
	close_instance(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f12_is_a_character_device),
		cmocka_unit_test(f80_maps_shared_any_size_at_any_page),
		cmocka_unit_test(f81_a_page_costs_epc_when_it_is_touched),
		cmocka_unit_test(f81_exhausted_epc_is_sigbus),
		cmocka_unit_test(l5_maps_a_page_again_that_was_touched),
		cmocka_unit_test(rights_are_those_of_the_mapping),
		cmocka_unit_test(f28_a_child_does_not_have_the_mapping),
		cmocka_unit_test(the_mapping_keeps_the_instance),
		cmocka_unit_test(f82_remove_all_and_what_else_there_is_to_ask),
		cmocka_unit_test(f83_a_secs_outlives_its_instance_until_its_children_are_gone),
		cmocka_unit_test(encls_is_sigill_without_virtual_epc),
		cmocka_unit_test(an_enclave_is_built_initialized_and_read_by_a_debugger),
		cmocka_unit_test(a_page_is_written_out_and_read_back_elsewhere),
		cmocka_unit_test(written_out_to_nowhere_it_stays),
		cmocka_unit_test(faults_are_those_of_the_leaf),
		cmocka_unit_test(f88_a_guest_may_not_provision),
		cmocka_unit_test(a_guest_has_several_processors),
		cmocka_unit_test(an_enclave_in_virtual_epc_cannot_be_entered),
		cmocka_unit_test(a_system_call_does_not_touch_a_page_first),
	};

	return cmocka_run_group_tests_name("guest", tests, NULL, NULL);
}
