/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of src/server share. */
#ifndef SWSGX_SERVER_INTERNAL_H
#define SWSGX_SERVER_INTERNAL_H

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include <swsgx/epc.h>
#include <swsgx/isa.h>
#include <swsgx/uapi.h>

#include "control.h"
#include "proto.h"
#include "server.h"

/* --- withdraw.c: taking pages out of memory files ------------------------------ */

struct withdrawer {
	unsigned int nr_pages;	/* at a time; 0: it cannot be done here */
	int pipe[2];
	pthread_mutex_t lock;	/* of what is in the pipe; a leaf lock */
};

/* A page of a memory file, and where its contents are to go. */
struct withdrawn {
	uint64_t offset;
	uint8_t *to;
};

/** withdrawer_init() - Return: 0, also where nothing can be withdrawn; -errno. */
int withdrawer_init(struct withdrawer *w);
void withdrawer_finish(struct withdrawer *w);

/** withdrawer_nr_runs() - how many times the translations of others are dropped for @pages. */
unsigned int withdrawer_nr_runs(struct withdrawn *pages, unsigned int nr);

/**
 * withdrawer_take() - take @pages out of the memory file @fd.
 * @pages: resident, at most EPC_MM_MAX_PAGES; sorted here.
 * Return: how many, the first ones.  They are holes then, for every process, and
 * what was last stored to them is where they say.  The others are as they were.
 */
unsigned int withdrawer_take(struct withdrawer *w, int fd, struct withdrawn *pages,
			     unsigned int nr);

/* --- processor.c: the machine --------------------------------------------- */

/* Where the contents of a frame are, when not in the arena. */
struct placement {
	_Atomic(uint8_t *) memory;	/* NULL: in the arena */
};

struct processor {
	struct isa_machine *machine;
	struct isa_lp lp;		/* as the kernel's are before each leaf */
	uint64_t serial;		/* no other's of this process; not 0 */
	uint8_t *arena;
	size_t arena_size;
	struct placement *placed;	/* by frame */
	_Atomic uint32_t *nr_uses;	/* by large page of the arena: see processor_used() */
	struct isa_section section;
	struct withdrawer withdrawer;
};

static inline uint8_t *processor_arena(const struct processor *p, uint64_t frame)
{
	return p->arena + frame * SGX_PAGE_SIZE;
}

/** processor_used() - a page came to have its @contents in the arena; more will. */
void processor_used(struct processor *p, const uint8_t *contents);

/** processor_page() - the contents of EPC page @frame, where they are now. */
void *processor_page(struct processor *p, uint64_t frame);

int processor_create(struct processor *p, const struct server_config *config);
void processor_destroy(struct processor *p);

/** processor_xcr0() - what XFRM is limited to. */
uint64_t processor_xcr0(void);
/* --- pulse.c: does the server live? ------------------------------------------- */

struct pulse {
	int fd;				/* of the memory; for programs */
	_Atomic uint32_t *word;		/* see PROTO_IS_ALIVE */
	struct robust_list_head head;
	struct robust_list node;	/* the one lock */
	struct robust_list_head *libc_head;
	size_t libc_size;
};

/** pulse_create() - Return: 0 or -errno; pulse_destroy() in either case. */
int pulse_create(struct pulse *pulse);
void pulse_destroy(struct pulse *pulse);

/** pulse_begin() - the server lives, from here to pulse_end() or the end of this thread. */
void pulse_begin(struct pulse *pulse);

/** pulse_end() - by the same thread. */
void pulse_end(struct pulse *pulse);

/* --- encls.c: what the manager asks of a machine ---------------------------- */

/** processor_init_lp() - once there is the machine. */
void processor_init_lp(struct processor *p);

/** processor_ops() - the manager's ENCLS table over @p. */
struct epc_encls_ops processor_ops(struct processor *p);

/** processor_mm() - what the manager asks of page tables, over @p. */
struct epc_mm_ops processor_mm(struct processor *p);

/* --- memory.c: the memory of one enclave ---------------------------------- */

struct encl_memory {
	int pages_fd, shared_fd;	/* -1: no enclave yet */
	uint8_t *pages;			/* the whole ELRANGE */
	uint64_t base, size;
	uint32_t ssaframesize;		/* pages */
	struct proto_shared *shared;
	uint16_t *mirror;
	size_t shared_size;
	/*
	 * Places known to have memory, and so has the mirror up to an entry; see encl_memory_back().
	 * Under the enclave's lock, but for the end, which anybody may take back.
	 */
	uint64_t backed, mirror_backed;
	_Atomic uint64_t backed_end;
	uint64_t look_ahead;		/* pages */
};

/**
 * memory_file() - a file of @size zero bytes to share with programs, mapped at *@map.
 * Return: its descriptor; -errno.
 */
int memory_file(const char *name, uint64_t size, void **map);

void encl_memory_init(struct encl_memory *mem);

/** encl_memory_create() - for an enclave with @secs.  0 or -errno. */
int encl_memory_create(struct encl_memory *mem, const struct sgx_secs *secs);
void encl_memory_destroy(struct encl_memory *mem);

/**
 * encl_memory_back() - have memory for the page at @offset and for its entry in the mirror.
 * Without, storing there would be SIGBUS, and everybody's end.
 * Context: the enclave's lock of the manager.
 * Return: 0; -ENOMEM the system has none.
 */
int encl_memory_back(struct encl_memory *mem, uint64_t offset);

/** encl_memory_punch() - what is in the places from @offset on is needed no more. */
void encl_memory_punch(struct encl_memory *mem, uint64_t offset, uint64_t size);

/** encl_memory_mirror() - publish one page to the program. */
void encl_memory_mirror(struct encl_memory *mem, uint64_t offset,
			const struct isa_epcm_info *info);

/* --- device.c: open files -------------------------------------------------- */

/* One open file description of /dev/sgx_enclave or /dev/sgx_vepc. */
struct device {
	struct server *server;
	int sock;
	atomic_uint refs;	/* the event loop, and each call being served */
	struct uapi_encl *encl;
	struct encl_memory mem;
	/* Guards mem against calls that attach while another one creates. */
	pthread_mutex_t lock;
	struct sgx_epc_owner owner;
	bool created;		/* by the program: CREATE succeeded */
	atomic_bool hung_up;	/* no program has it open any more */
	bool shared;		/* there is a SECS, and mem.shared says so; guarded by lock */
	/* Changed also under the enclave's lock of the manager, so that either will do to look. */
	pthread_mutex_t spaces_lock;
	struct space *spaces;
	unsigned int nr_spaces, sweep_at;
	atomic_uint_fast64_t last_space;
	bool mailbox_is_open;	/* guarded by mailboxes.lock */
	uint32_t heard;		/* its bell, when it was last looked through; likewise */
	uint64_t last_fault;	/* the address; of who looks through the mailbox alone */
	uint64_t last_step;	/* from the one before; likewise */
	/* Processes that have the memory, and those of them in spaces. */
	atomic_uint nr_attached, nr_joined;
	pthread_mutex_t calls_lock;	/* guards nr_calls, and what is watched for */
	unsigned int nr_calls;		/* being served */
	/* Of /dev/sgx_vepc only, where there is no enclave: */
	uint64_t vepc_id;		/* 0: an enclave */
	struct sgx_vepc *vepc;		/* NULL: vepc_error says why */
	int vepc_error;
	struct device *next_vepc;	/* guarded by server.vepcs_lock */
};

/**
 * device_open() - take over @sock, a fresh connection.
 * @is_vepc: of /dev/sgx_vepc.  Return: 0 or -errno.
 */
int device_open(struct server *s, int sock, bool is_vepc, struct device **out);
void device_get(struct device *dev);

/** device_put() - the last one releases the enclave, or the virtual EPC. */
void device_put(struct device *dev);

/**
 * device_drop() - the same, but what can take long is left to the caller.
 * Return: true when that is to be done, by device_release().
 */
bool device_drop(struct device *dev);
void device_release(struct device *dev);

/* ELRANGE; all zero before ECREATE. */
struct device_range {
	uint64_t base, size;
};

struct device_range device_range(struct device *dev);

/** device_set_secs() - the SECS is at EPC @page now: share the block with it. */
void device_set_secs(struct device *dev, uint64_t page);

/* --- vepc.c: virtual EPC ----------------------------------------------------- */

struct call;

/**
 * vepc_open() - give @dev, whose owner is known, an id and an instance.
 * Return: 0, also when there can be no instance: then each request gets to know why;
 * -EIO without an id.
 */
int vepc_open(struct device *dev);
void vepc_close(struct device *dev);

/** vepc_get() - the open file whose instance is @id, for device_put(); NULL: none. */
struct device *vepc_get(struct server *s, uint64_t id);

/** vepc_serve() - do what @req asks of the virtual EPC @dev. */
void vepc_serve(struct call *call, struct device *dev, const struct proto_request *req,
		struct proto_frame *done);

/* --- guest.c: ENCLS of a program that has virtual EPC ------------------------- */

void guest_encls(struct call *call, struct device *dev, const struct proto_request *req,
		 struct proto_frame *done);

/* --- spaces.c: address spaces that map an enclave ------------------------------ */

/*
 * One process's view of an enclave.  Its client maps all of ELRANGE a second
 * time, for what it does as the processor: the alias.  Two userfaultfds tell it, or
 * us, when a page is not there.  Faults in ELRANGE are signals there, and come to us
 * as calls; faults on the alias wait in the kernel and come to the pager.
 */
struct space {
	struct space *next;
	struct device *dev;
	int elrange_uffd, alias_uffd;
	uint64_t alias;
	uint64_t number;	/* never another's of the same enclave, nor 0 */
	bool forgotten;		/* the pager's */
};

/**
 * spaces_attach() - a process is about to get the memory of @dev, if there is any.
 * @joins: it promises to join.  Otherwise pages cannot be taken from it, so all that
 * are outside come back, and none goes from here on.
 * Return: 0; -ENOMEM there is no room for all.
 */
int spaces_attach(struct device *dev, bool joins);

/**
 * spaces_join() - a process that attached to @dev can be reached from here on.
 * @uffds: of ELRANGE and of the alias; taken.  @alias: its linear address.
 * @again: it is a child of one that attached.
 * @number: set to what it enters the enclave as.
 * Return: 0; -EINVAL no enclave yet, @alias is no place for it, or @uffds are not
 * userfaultfds that never block; -ENOMEM.  Then the enclave's pages stay where they are.
 */
int spaces_join(struct device *dev, const int uffds[2], uint64_t alias, bool again,
		uint64_t *number);

/**
 * spaces_have() - does the process @number live, with @dev mapped?
 * Context: in sgx_encl_run(), like all that changes which address spaces there are.
 */
bool spaces_have(struct device *dev, uint64_t number);

/** spaces_have_like() - does a process live whose number's bits of @mask are @number? */
bool spaces_have_like(struct device *dev, uint64_t number, uint64_t mask);

/* Whose access a fault is for. */
struct toucher {
	uint64_t number;	/* the process's; one that none has is nobody's */
	bool alias;		/* it was there, not in ELRANGE */
};

/**
 * spaces_fill() - let the page at @la, which is a hole now, have @contents, at once
 * and for all, and save @by the fault that finding them takes.
 * Context: holds the enclave's lock.
 * Return: false when that cannot be: then it is a hole still, or @by lied.
 */
bool spaces_fill(struct device *dev, const struct toucher *by, uint64_t la,
		 const void *contents);

/** spaces_reach_all() - is every process that has the memory of @dev in its list? */
bool spaces_reach_all(struct device *dev);

/** spaces_destroy() - forget all of @dev, and wait until the pager has, too. */
void spaces_destroy(struct device *dev);

void space_free(struct space *space);

/* --- killed.c: threads that ended inside ----------------------------------------- */

/**
 * killed_free_tcs() - let others have the TCS at @la of @dev if who holds it is dead.
 * Return: 1 it is free now; 0 it is held, or is none; -EINVAL no page of the enclave.
 */
int killed_free_tcs(struct device *dev, uint64_t la);

/* --- backing.c: memory for pages that were written out ------------------------- */

#define BACKING_MAX_KEPT 128u

struct backing {
	uint8_t *pages;
	uint32_t nr_pages;
	pthread_mutex_t lock;	/* guards all below */
	uint32_t *next;		/* of a free page, in the list */
	uint32_t free_head, nr_used;
	uint32_t kept[BACKING_MAX_KEPT];	/* free pages with their memory, */
	uint32_t nr_kept;			/* the last one to be used first */
};

int backing_init(struct backing *b);
void backing_finish(struct backing *b);

/** backing_alloc() - one page, page aligned; NULL without memory. */
void *backing_alloc(struct backing *b);
void backing_free(struct backing *b, void *p);

/* --- mailbox.c: the thread that serves bursts of faults -------------------------- */

struct mailboxes;

struct mailboxes *mailboxes_create(struct sgx_epc_pool *pool);
void mailboxes_destroy(struct mailboxes *m);

/** mailboxes_open() - let faults of @dev, which has an enclave, come without calls, if there is room. */
void mailboxes_open(struct mailboxes *m, struct device *dev);

/** mailboxes_forget() - no more of @dev; waits until nothing is done for it. */
void mailboxes_forget(struct mailboxes *m, struct device *dev);

/** mailboxes_make_room() - is the caller a thread that makes room when it is done? */
bool mailboxes_make_room(void);

/* --- pager.c: the thread that brings pages back --------------------------------- */

struct pager;

struct pager *pager_create(struct sgx_epc_pool *pool);
void pager_destroy(struct pager *pager);

/** pager_watch() - serve the faults on the alias of @space.  0 or -errno. */
int pager_watch(struct pager *pager, struct space *space);

/** pager_forget() - no more of @space; takes it, and does not wait. */
void pager_forget(struct pager *pager, struct space *space);

/** pager_leave() - wait until the pager does nothing for @dev. */
void pager_leave(struct pager *pager, const struct device *dev);

/** pager_wake() - free pages are short: evict some in the background. */
void pager_wake(struct pager *pager);

/* --- burst.c: calls that come one right after the other -------------------------- */

struct epoll_event;

/* Used by the event loop only. */
struct burst {
	bool is_possible;
	bool looks;			/* burst_wait() does not sleep at once */
	uint64_t served_ns;		/* when the last call ended */
	unsigned int was_in_vain, skip;	/* looking; and so often it is not done now */
	const struct device *adder;	/* whose pages the event loop added last, and when */
	uint64_t added_ns;
};

void burst_init(struct burst *b);

/**
 * burst_may_add() - should the event loop itself add pages for @dev?
 * For one enclave at a time: adding hashes, and several are faster on several threads.
 */
bool burst_may_add(struct burst *b, const struct device *dev);

/** burst_served() - the event loop has served a call. */
void burst_served(struct burst *b);

/** burst_wait() - epoll_wait() for one event, without sleeping at first if that is worth it. */
int burst_wait(struct burst *b, int epoll, struct epoll_event *event);

/* --- call.c: one call of a program ----------------------------------------- */

/**
 * call_serve() - do what @req asks for and say so on @reply.
 * Takes @reply and a reference to @dev.
 * @may_wait: it blocks while the client answers.  Otherwise it asks nothing; only for
 * calls that need not: call_is_complete(), and those without operands in memory.
 */
void call_serve(struct device *dev, const struct proto_request *req, int reply, bool may_wait);

/**
 * call_is_complete() - is it an ADD_PAGES of few pages that came with all it will ask for,
 * and is what belongs on @reply there?
 */
bool call_is_complete(const struct proto_request *req, int reply);

/** call_may_wait() - as said to call_serve(). */
bool call_may_wait(const struct call *call);

/**
 * call_fault() - have the page at @la made for an access.
 * @prot: SECINFO_R, _W or _X wanted.  @number: of the process that faulted.
 * Nothing is taken on trust.  Return: 0 or -errno.
 */
int call_fault(struct device *dev, uint64_t la, uint64_t prot, uint64_t number);

/**
 * call_load_ahead() - the page at @la may be what the next fault is about.  Nothing is taken
 * on trust.
 */
void call_load_ahead(struct device *dev, uint64_t la);

/**
 * call_copy_in() - read memory of the program.
 * @n: at most PROTO_CHUNK.  Return: 0 or -EFAULT.
 */
int call_copy_in(struct call *call, void *dst, uint64_t uaddr, size_t n);

/** call_copy_out() - write it.  0 or -EFAULT. */
int call_copy_out(struct call *call, uint64_t uaddr, const void *src, size_t n);

/**
 * call_vepc_page() - where @la of the program is in virtual EPC.
 * Return: 0; -ENOENT nowhere; -EACCES not to be written there.
 */
int call_vepc_page(struct call *call, uint64_t la, bool write, struct proto_vepc_page *page);

/** call_ask() - send a question that the client answers with data.  0 or -errno. */
int call_ask(struct call *call, const struct proto_frame *frame);

/** call_ask_with_file() - the same, and the client gets a duplicate of @fd. */
int call_ask_with_file(struct call *call, const struct proto_frame *frame, int fd);

/**
 * call_receive() - the client's answer: up to @size bytes to @dst.
 * @error: 0 or -errno, what it says about those that are missing.
 * Return: how many; -EFAULT when the client is gone or talks nonsense: its call cannot
 * matter any more.
 */
ssize_t call_receive(struct call *call, void *dst, size_t size, int *error);

/* --- source.c: where ADD_PAGES' pages come from -------------------------------- */

/* Bytes of the program from @addr on, in the chunk or, placed, at their offset in the enclave. */
struct source_piece {
	uint64_t addr, size, offset;
	bool is_placed;
};

struct source {
	struct call *call;
	struct device *dev;
	bool can_place;		/* until the client says otherwise */
	bool has_file;		/* the client, for placing */
	unsigned int nr_placed;	/* pieces asked for */
	struct source_piece here;
	int error;		/* of the first page after it */
	struct source_piece ahead;	/* asked for; size 0: nothing */
	uint64_t last;		/* offset of the page handed out last */
	_Alignas(SGX_PAGE_SIZE) uint8_t chunk[PROTO_CHUNK];
};

/** source_init() - for the call @req, which may have announced a first piece. */
void source_init(struct source *s, struct call *call, struct device *dev,
		 const struct proto_request *req);

/** source_next() - struct uapi_task.source_page(). */
int source_next(struct source *s, uint64_t uaddr, uint64_t offset, uint64_t left,
		const void **page);

/**
 * source_drop() - nothing more is wanted: what is still on its way would be taken for
 * the next answer, and what was placed and not added must not stay in the enclave's memory.
 * The device is still held.
 */
void source_drop(struct source *s);

/* --- thread-number.c: threads with caches of EPC pages ---------------------- */

#define THREAD_NUMBERS 64u

/** thread_numbers_init() - before the first thread_number(); any number of times. */
void thread_numbers_init(void);

/** thread_number() - the calling thread's own; THREAD_NUMBERS or above: it has none. */
unsigned int thread_number(void);

/** thread_barrier_init() - Return: false when there is no thread_barrier(). */
bool thread_barrier_init(void);

/** thread_barrier() - a full memory barrier on every thread of this process. */
void thread_barrier(void);

/* --- errand.c: whom a thread works for ----------------------------------------- */

/**
 * errand_begin() - this thread works for a program that has @dev open.
 * @reply: where that waits for an answer; -1: it does not.
 * @is_ioctl: signals of the program interrupt it.
 */
void errand_begin(const struct device *dev, int reply, bool is_ioctl);
void errand_end(void);

/** errand_is_in_vain() - is the program gone, or does it want to do something else? */
bool errand_is_in_vain(void);

/* --- workers.c: threads that serve calls ----------------------------------- */

struct workers;

struct workers *workers_create(void);

/** workers_submit() - call_serve() it on some thread.  Takes @reply and a reference. */
int workers_submit(struct workers *w, struct device *dev, const struct proto_request *req,
		   int reply);

/** workers_release() - device_release() it on some thread. */
void workers_release(struct workers *w, struct device *dev);

/** workers_destroy() - waits for running calls and releases; NULL is fine. */
void workers_destroy(struct workers *w);

/* --- control.c: who looks at the machine ------------------------------------- */

#define CONTROL_MAX_CONNECTIONS 16u
#define NR_IOCTL_COUNTS 9u

struct counts {
	_Atomic uint64_t nr_enclaves, nr_enclaves_open;
	struct {
		_Atomic uint64_t nr_calls, nr_failed;
	} ioctls[NR_IOCTL_COUNTS];	/* as listed in control.c, then all others */
};

/* Used by the event loop only. */
struct control {
	int listener;
	int epoll;		/* of the listener and the connections */
	unsigned int nr_connections;
	int socks[CONTROL_MAX_CONNECTIONS];
	struct counts_page *counts;	/* shared with clients; NULL: not yet */
	int counts_fd;
};

/** control_open() - take over @listener.  0 or -errno; control_close() in either case. */
int control_open(struct control *c, int listener);
void control_close(struct control *c);

/** control_handle() - s->control.epoll is readable: do one thing, without waiting. */
void control_handle(struct server *s);

void control_count_ioctl(struct server *s, unsigned int cmd, bool failed);

/* --- server.c --------------------------------------------------------------- */

struct server {
	struct processor processor;
	struct sgx_epc_pool *pool;
	struct uapi_platform platform;
	struct workers *workers;
	struct pager *pager;
	struct mailboxes *mailboxes;
	struct backing backing;
	struct pulse pulse;
	char name[PROTO_NAME_MAX];
	int enclave_listener, provision_listener, vepc_listener;
	pthread_mutex_t vepcs_lock;	/* guards vepcs; a leaf lock */
	struct device *vepcs;
	struct control control;
	struct counts counts;
	struct inject_plan *inject;
	enum sgx_epc_on_leak on_leak;
	bool no_overcommit;
	uint64_t started_ns;	/* wall clock */
	int epoll;
	int spare;		/* given up to refuse a connection */
	atomic_uint_fast64_t next_id;
};

/** server_create_pool() - the manager of the server's EPC, sanitized.  0; an errno of sgx_epc_pool_create(). */
int server_create_pool(struct server *s);

/** server_log() - one line on standard error. */
void server_log(enum epc_log_level level, const char *message);

/** server_time_ns() - since the epoch. */
uint64_t server_time_ns(void);

/** server_monotonic_ns() - since some moment, and never backwards: for how long something takes. */
uint64_t server_monotonic_ns(void);

/**
 * server_accept() - accept a connection on @listener; the descriptor, or -1.
 * Context: the event loop.
 */
int server_accept(struct server *s, int listener);

/** server_peer_is_ours() - is the peer of @sock the server's user, or root? */
bool server_peer_is_ours(int sock);

/** server_call_ended() - the connection of @dev may have one call more. */
void server_call_ended(struct device *dev);

#endif /* SWSGX_SERVER_INTERNAL_H */
