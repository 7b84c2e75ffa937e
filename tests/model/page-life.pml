/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of an EPC page, for exhaustive search: three pages; two host enclaves
 * that build, page, change and end; a guest with two virtual EPC instances, in
 * either of which its SECS and their children may lie; the reclaimer; the
 * sanitizer; one report of broken memory.  Every leaf that can fail fails or succeeds.
 *
 * MOVE() is the only way a page changes state; tests/model/compare holds its
 * uses against what src/epc/page-states.def declares.  put() and take() are the
 * only way it changes place.
 *
 * What is checked:
 *   - no page in two places: put() finds it nowhere, take() where it is said to be;
 *   - no unclean page free: what becomes FREE or CACHED is invalid in the EPCM;
 *   - every page comes back: once all users are gone each is free, unless an
 *     EREMOVE was made to fail, or it is poisoned;
 *   - no leak by itself: without one that was made, EREMOVE does not fail;
 *   - a page reported as poisoned is neither handed out nor written out after that.
 *
 * What is left out, and why that is enough:
 *   - VA pages: to the pool, pages of an enclave that are never evicted.
 *   - Counters, groups, nodes, releases that are waited for, pages an enclave is
 *     left with: they decide whether a page is had, not what becomes of it; here an
 *     operation may give up at any time.
 *   - Which page of a list is taken, and whether its neighbours are free as well:
 *     pages are alike, so it is the first.
 *   - Whose cache a page is in: the owner of all caches may take any, so anybody may.
 *   - Locks: what happens to an enclave under its lock, or under that of the
 *     orphans, is one step.  Others see a page in it only by reporting it as
 *     poisoned, for which strike() has the moment that matters.  With three pages
 *     one orphan at most has a child, so a walk along their list is one step too.
 *   - REMOVE_ALL: to pages it is the same as the guest's own EREMOVE, of each.
 *   - Names: pages are alike, and so are hosts, and instances.  sort() gives
 *     states that differ in names alone the same names.
 *
 * So there is one process that chooses whose step is next; what an actor knows
 * between two of its steps is global.
 *
 * tests/model/run builds and runs it.  Options, for the compiler:
 *   SMALL		without sanitizer, memory errors and caches; one child each
 *   MUTATE_*		mistakes, each of which has to be found
 */

#define NR_PAGES 3
#ifdef SMALL
#define NR_CHILDREN 1
#else
#define NR_CHILDREN 2
#endif

/* --- a page ----------------------------------------------------------------- */

/* States, as the manager has them; and what the processor knows. */
mtype = { UNSANITIZED, SANITIZING, FREE, CACHED, CLEAN, INITIALIZED, EVICTING, LEAKED, POISONED };
mtype = { INVALID, SECS, CHILD };

mtype state[NR_PAGES] = UNSANITIZED;
bool poison[NR_PAGES];			/* EPC_POISON */
byte where[NR_PAGES];			/* its place */
mtype epcm[NR_PAGES] = INVALID;
byte parent[NR_PAGES] = NR_PAGES;	/* of a CHILD: its SECS */

#define MOVE(p, from, to) assert(state[p] == from); state[p] = to

/* Places.  @h: a host enclave, 0 or 1; @v: an instance, 0 or 1. */
#define NOWHERE 0
#define UNSANITIZED_LIST 1
#define IN_SANITIZER 2
#define AGAIN_LIST 3		/* failed once */
#define FAILED_LIST 4
#define FREE_LIST 5
#define CACHES 6
#define RECLAIMED 7		/* evicted by a batch that goes on */
#define ORPHANS 22
#define SECS_OF(h) (8 + (h))	/* the enclave's records */
#define CHILDREN_OF(h) (10 + (h))
#define STOCK_OF(h) (12 + (h))	/* allocated before the lock is taken */
#define INSTANCE(v) (14 + (v))
#define STOCK_OF_VEPC(v) (16 + (v))
#define LEFT(v) (18 + (v))	/* had children when the instance ended */
#define LATE(v) (20 + (v))	/* had some when looked at again; to be an orphan */

#define put(place, p) assert(where[p] == NOWHERE); where[p] = place
#define take(place, p) assert(where[p] == place); where[p] = NOWHERE

#define ANY(place) (where[0] == (place) || where[1] == (place) || where[2] == (place))
#define FIRST(place) (where[0] == (place) -> 0 : (where[1] == (place) -> 1 : 2))
#define COUNT(place) ((where[0] == (place)) + (where[1] == (place)) + (where[2] == (place)))
#define PICK(p, place)				\
	if					\
	:: where[0] == (place) -> p = 0		\
	:: where[1] == (place) -> p = 1		\
	:: where[2] == (place) -> p = 2		\
	fi

/* --- everybody else ----------------------------------------------------------- */

mtype = { ALIVE, EMPTY, GONE };
mtype host[2] = ALIVE;		/* EMPTY: released as far as its SECS */
bool secs_out[2], initialized[2];
byte nr_out[2];			/* children outside */
mtype vepc[2] = ALIVE;		/* EMPTY: being released */
bool guest_removed;		/* a page, and has not told yet */

bool second_pass;		/* of the sanitizer */
bool sanitized;
bool sanitize_failed;		/* an EREMOVE of the sanitizer was made to */

bool may_strike;		/* memory is still to break */
byte struck = NR_PAGES;		/* where it broke during EWB, not reported yet */
byte reported = NR_PAGES;

byte p, q, t;			/* of the step that is being made */
bool ok;

/* --- the processor ------------------------------------------------------------ */

#define HAS_CHILDREN(p) \
	((epcm[0] == CHILD && parent[0] == p) || (epcm[1] == CHILD && parent[1] == p) || \
	 (epcm[2] == CHILD && parent[2] == p))

#define MAKE_CHILD(p, secs) epcm[p] = CHILD; parent[p] = secs
#define INVALIDATE(p) epcm[p] = INVALID; parent[p] = NR_PAGES

/* EREMOVE may be applied to any page; a SECS with children stays. */
#define CAN_EREMOVE(p) (!(epcm[p] == SECS && HAS_CHILDREN(p)))

/* Somebody's EREMOVE was made to fail. */
#define ANY_LEAKED (state[0] == LEAKED || state[1] == LEAKED || state[2] == LEAKED)

/* --- the pool --------------------------------------------------------------- */

/* The gate: nothing but a CLEAN page comes through. */
inline raw_free(place, p)
{
	take(place, p);
	if
	:: poison[p] -> MOVE(p, CLEAN, POISONED); poison[p] = false
	:: else ->
		assert(epcm[p] == INVALID);
		if
		:: MOVE(p, CLEAN, FREE); put(FREE_LIST, p)
#ifndef SMALL
		:: MOVE(p, CLEAN, CACHED); put(CACHES, p)
#endif
		fi
	fi
}

inline leak(place, p)
{
	take(place, p);
	if
	:: state[p] == CLEAN -> MOVE(p, CLEAN, LEAKED)
	:: else -> MOVE(p, INITIALIZED, LEAKED)
	fi;
	poison[p] = false
}

/* sgx_encl_free_epc_page(): EREMOVE, and leak what it fails for. */
inline encl_free(place, p)
{
	if
	:: CAN_EREMOVE(p) ->
		INVALIDATE(p);
		if
		:: state[p] == INITIALIZED -> MOVE(p, INITIALIZED, CLEAN)
		:: else
		fi;
		raw_free(place, p)
	:: !CAN_EREMOVE(p) -> assert(ANY_LEAKED); leak(place, p)
	:: leak(place, p)
	fi
}

/* What caches do by the way: give all back, or take some more. */
inline flush()
{
	do
	:: ANY(CACHES) ->
		p = FIRST(CACHES);
		take(CACHES, p); MOVE(p, CACHED, FREE); put(FREE_LIST, p)
	:: else -> break
	od
}

inline fill()
{
	do
	:: ANY(FREE_LIST) ->
		p = FIRST(FREE_LIST);
		take(FREE_LIST, p); MOVE(p, FREE, CACHED); put(CACHES, p)
	:: ANY(CACHES) -> break
	od
}

inline alloc_free(place)
{
#ifndef SMALL
	if
	:: flush()
	:: ANY(FREE_LIST) -> fill()
	:: skip
	fi;
#endif
	if
	:: ANY(FREE_LIST) ->
		p = FIRST(FREE_LIST);
		take(FREE_LIST, p); MOVE(p, FREE, CLEAN); put(place, p)
	:: ANY(CACHES) ->
		p = FIRST(CACHES);
		take(CACHES, p); MOVE(p, CACHED, CLEAN); put(place, p)
	fi;
	assert(reported != p && epcm[p] == INVALID)
}

#define ANY_FREE (ANY(CACHES) || ANY(FREE_LIST))

/* --- evicting ------------------------------------------------------------------ */

/* The memory of @p breaks while it is being written out; the report waits for that. */
inline strike(p)
{
	if
	:: may_strike ->
		may_strike = false;
		poison[p] = true;
#ifdef MUTATE_REPORT_EARLY
		reported = p
#else
		struck = p
#endif
	:: skip
	fi
}

/* EWB of @p: @ok, it is CLEAN and RECLAIMED; or it stays in its place. */
inline ewb(place, p)
{
	ok = false;
	if
#ifndef MUTATE_POISON_EVICTED
	:: poison[p]
	:: else ->
#else
	:: true ->
#endif
		MOVE(p, INITIALIZED, EVICTING);
		strike(p);
		if
		:: CAN_EREMOVE(p) ->	/* EWB has the same rule for a SECS */
			assert(reported != p);
			INVALIDATE(p);
			MOVE(p, EVICTING, CLEAN);
			take(place, p); put(RECLAIMED, p);
			ok = true
#ifdef MUTATE_EWB_UNCHECKED
		:: MOVE(p, EVICTING, CLEAN);
			take(place, p); put(RECLAIMED, p);
			ok = true
#else
		:: MOVE(p, EVICTING, INITIALIZED)
#endif
		fi
	fi
}

/*
 * A batch: some pages of enclave @e, and its SECS after the last one.  The first
 * of them that is not broken goes to @place; the others, and all with NOWHERE, to
 * the pool.
 */
inline reclaim(e, place)
{
	do
	:: ANY(CHILDREN_OF(e)) ->
		PICK(p, CHILDREN_OF(e));
		ewb(CHILDREN_OF(e), p);
		if
		:: ok -> nr_out[e]++
		:: else -> break
		fi
	:: break
	od;
	if
	:: !ANY(CHILDREN_OF(e)) && initialized[e] && ANY(SECS_OF(e)) && ANY(RECLAIMED) ->
		p = FIRST(SECS_OF(e));
		ewb(SECS_OF(e), p);
		secs_out[e] = ok
	:: else
	fi;
	q = place;
	do
	:: ANY(RECLAIMED) ->
		p = FIRST(RECLAIMED);
		if
		:: q != NOWHERE && !poison[p] ->
			take(RECLAIMED, p); put(q, p);
			q = NOWHERE
		:: else -> raw_free(RECLAIMED, p)
		fi
	:: else -> break
	od
}

/* sgx_alloc_epc_page(): may come back without. */
inline get_page(place)
{
	if
	:: ANY_FREE -> alloc_free(place)
	:: !ANY_FREE && ANY(CHILDREN_OF(0)) -> reclaim(0, place)
	:: !ANY_FREE && ANY(CHILDREN_OF(1)) -> reclaim(1, place)
	fi
}

#define CAN_GET (ANY_FREE || ANY(CHILDREN_OF(0)) || ANY(CHILDREN_OF(1)))

/* --- host enclaves --------------------------------------------------------------- */

#define NR_NEEDED(h) (secs_out[h] -> 2 : 1)
#define CAN_GROW(h) (COUNT(CHILDREN_OF(h)) + nr_out[h] < NR_CHILDREN)

inline make_child(h, place)
{
	take(place, p);
	MOVE(p, CLEAN, INITIALIZED);
	MAKE_CHILD(p, FIRST(SECS_OF(h)));
	put(CHILDREN_OF(h), p)
}

inline make_secs(h)
{
	take(STOCK_OF(h), p);
	MOVE(p, CLEAN, INITIALIZED);
	epcm[p] = SECS;
	put(SECS_OF(h), p)
}

/* A failed leaf may have done nothing; that EREMOVE is tried all the same is the rule. */
inline leaf_failed(place)
{
	MOVE(p, CLEAN, INITIALIZED);
#ifdef MUTATE_FREE_INITIALIZED
	raw_free(place, p)
#else
	encl_free(place, p)
#endif
}

/* With a page in stock: ECREATE, EADD or EAUG, ELDU. */
inline use_page(h)
{
	p = FIRST(STOCK_OF(h));
	if
	:: !ANY(SECS_OF(h)) -> make_secs(h); secs_out[h] = false
	:: ANY(SECS_OF(h)) && CAN_GROW(h) -> make_child(h, STOCK_OF(h))
	:: ANY(SECS_OF(h)) && nr_out[h] -> make_child(h, STOCK_OF(h)); nr_out[h]--
	:: leaf_failed(STOCK_OF(h))
	:: encl_free(STOCK_OF(h), p)		/* no leaf was tried: no memory, or one was there */
	:: raw_free(STOCK_OF(h), p)		/* it was not needed */
	fi
}

/* A blocked page is written out and read back, in its place. */
inline unblock(h)
{
	PICK(p, CHILDREN_OF(h));
	ewb(CHILDREN_OF(h), p);
	if
	:: ok -> make_child(h, RECLAIMED)
	:: ok -> nr_out[h]++; leaf_failed(RECLAIMED)
	:: else
	fi
}

inline free_children(h)
{
	do
	:: ANY(CHILDREN_OF(h)) -> p = FIRST(CHILDREN_OF(h)); encl_free(CHILDREN_OF(h), p)
	:: else -> break
	od
}

inline free_secs(h)
{
	if
	:: ANY(SECS_OF(h)) -> p = FIRST(SECS_OF(h)); encl_free(SECS_OF(h), p)
	:: else
	fi
}

/* Children first. */
inline release_begin(h)
{
	host[h] = EMPTY;
#ifdef MUTATE_SECS_FIRST
	free_secs(h);
#endif
	free_children(h)
}

inline release_end(h)
{
	free_secs(h);
	host[h] = GONE;
	nr_out[h] = 0;
	secs_out[h] = false;
	initialized[h] = false
}

#define HOST_STEPS(h)										\
	:: atomic { host[h] == ALIVE && COUNT(STOCK_OF(h)) < NR_NEEDED(h) && CAN_GET ->	\
		get_page(STOCK_OF(h)); sort() }							\
	:: atomic { host[h] == ALIVE && ANY(STOCK_OF(h)) -> use_page(h); sort() }		\
	:: atomic { host[h] == ALIVE && ANY(CHILDREN_OF(h)) -> unblock(h); sort() }		\
	:: atomic { host[h] == ALIVE && ANY(SECS_OF(h)) && !initialized[h] ->			\
		initialized[h] = true; sort() }							\
	:: atomic { host[h] == ALIVE && ANY(CHILDREN_OF(h)) ->	/* EDMM: removed */		\
		p = FIRST(CHILDREN_OF(h)); encl_free(CHILDREN_OF(h), p); sort() }		\
	:: atomic { host[h] == ALIVE && !ANY(STOCK_OF(h)) -> release_begin(h); sort() }	\
	:: atomic { host[h] == EMPTY -> release_end(h); sort() }				\
	:: atomic { ANY(CHILDREN_OF(h)) -> reclaim(h, NOWHERE); sort() }

/* --- the guest ------------------------------------------------------------------------ */

/* EREMOVE a page of @place at its user's end; with children it goes to @stays. */
inline vepc_put(place, stays)
{
	if
	:: CAN_EREMOVE(p) ->
		INVALIDATE(p);
		MOVE(p, INITIALIZED, CLEAN);
		raw_free(place, p)
	:: !CAN_EREMOVE(p) -> take(place, p); put(stays, p)
	:: leak(place, p)
	fi
}

/* sgx_vepc_guest_removed(): orphans that have lost their last child are freed. */
inline reap()
{
	p = 0;
	do
	:: p < NR_PAGES ->
		if
		:: where[p] == ORPHANS -> vepc_put(ORPHANS, ORPHANS)
		:: else
		fi;
		p++
	:: else -> break
	od
}

/* Is @p mapped by the guest? */
#define IN_OPEN(p) ((where[p] == INSTANCE(0) && vepc[0] == ALIVE) || \
		    (where[p] == INSTANCE(1) && vepc[1] == ALIVE))
#define ANY_OPEN (IN_OPEN(0) || IN_OPEN(1) || IN_OPEN(2))
#define PICK_OPEN(p)			\
	if				\
	:: IN_OPEN(0) -> p = 0		\
	:: IN_OPEN(1) -> p = 1		\
	:: IN_OPEN(2) -> p = 2		\
	fi

#define VEPC_STEPS(v)										\
	:: atomic { vepc[v] == ALIVE && !ANY(STOCK_OF_VEPC(v)) && CAN_GET ->			\
		get_page(STOCK_OF_VEPC(v)); sort() }						\
	:: atomic { vepc[v] == ALIVE && ANY(STOCK_OF_VEPC(v)) ->				\
		p = FIRST(STOCK_OF_VEPC(v));							\
		take(STOCK_OF_VEPC(v), p); MOVE(p, CLEAN, INITIALIZED); put(INSTANCE(v), p);	\
		sort() }									\
	:: atomic { vepc[v] == ALIVE && ANY(STOCK_OF_VEPC(v)) ->	/* another was faster */\
		p = FIRST(STOCK_OF_VEPC(v)); raw_free(STOCK_OF_VEPC(v), p); sort() }		\
	:: atomic { vepc[v] == ALIVE && !ANY(STOCK_OF_VEPC(v)) -> vepc[v] = EMPTY; sort() }	\
	/* Each page, then again those that still had children. */				\
	:: atomic { vepc[v] == EMPTY && ANY(INSTANCE(v)) ->					\
		p = FIRST(INSTANCE(v)); vepc_put(INSTANCE(v), LEFT(v)); sort() }		\
	:: atomic { vepc[v] == EMPTY && !ANY(INSTANCE(v)) && !ANY(LATE(v)) && ANY(LEFT(v)) ->	\
		p = FIRST(LEFT(v)); vepc_put(LEFT(v), LATE(v)); sort() }			\
	/* Its last child may have gone before it is known as an orphan. */			\
	:: atomic { ANY(LATE(v)) ->								\
		p = FIRST(LATE(v)); take(LATE(v), p); put(ORPHANS, p); sort() }			\
	:: atomic { vepc[v] == EMPTY && !ANY(INSTANCE(v)) && !ANY(LEFT(v)) && !ANY(LATE(v)) ->	\
		vepc[v] = GONE; REAP; sort() }

#ifdef MUTATE_ORPHANS_FORGOTTEN
#define REAP skip
#else
#define REAP reap()
#endif

/* The guest uses its pages as it likes. */
inline guest_use()
{
	PICK_OPEN(p);
	PICK_OPEN(q);
	if
	:: epcm[p] == INVALID -> epcm[p] = SECS
	:: epcm[p] == INVALID && epcm[q] == SECS -> MAKE_CHILD(p, q)
	:: else
	fi
}

/* The manager hears of what it removed, afterwards. */
inline guest_remove()
{
	PICK_OPEN(p);
	if
	:: epcm[p] != INVALID && CAN_EREMOVE(p) -> INVALIDATE(p); guest_removed = true
	:: else
	fi
}

#define GUEST_STEPS									\
	:: atomic { ANY_OPEN -> guest_use(); sort() }					\
	:: atomic { ANY_OPEN && !guest_removed -> guest_remove(); sort() }		\
	:: atomic { guest_removed -> guest_removed = false; REAP; sort() }

/* --- memory errors ---------------------------------------------------------------------- */

inline report()
{
	may_strike = false;
	if
	:: p = 0
	:: p = 1
	:: p = 2
	fi;
	if
	:: state[p] == FREE -> MOVE(p, FREE, POISONED); take(FREE_LIST, p)
	:: state[p] == CACHED -> MOVE(p, CACHED, POISONED); take(CACHES, p)
	:: state[p] == UNSANITIZED -> MOVE(p, UNSANITIZED, POISONED)
	:: state[p] == LEAKED
	:: else -> poison[p] = true
	fi;
	reported = p
}

#define MEMORY_STEPS								\
	:: atomic { may_strike -> report(); sort() }				\
	:: atomic { may_strike -> may_strike = false; sort() }			\
	:: atomic { struck != NR_PAGES -> reported = struck; struck = NR_PAGES; sort() }

/* --- the sanitizer ------------------------------------------------------------------------ */

#define TODO (second_pass -> AGAIN_LIST : UNSANITIZED_LIST)

inline sanitize_take()
{
	PICK(p, TODO);
	take(TODO, p);
	if
	:: state[p] == POISONED
	:: else -> MOVE(p, UNSANITIZED, SANITIZING); put(IN_SANITIZER, p)
	fi
}

inline sanitize_failed_for(p)
{
	/* A SECS whose child is broken is stuck: that one is parked as it is. */
	assert(!second_pass || CAN_EREMOVE(p) || sanitize_failed || reported != NR_PAGES);
	sanitize_failed = sanitize_failed || CAN_EREMOVE(p);
	MOVE(p, SANITIZING, UNSANITIZED);
	if
	:: second_pass -> put(FAILED_LIST, p)
	:: else -> put(AGAIN_LIST, p)
	fi
}

inline sanitize_put()
{
	p = FIRST(IN_SANITIZER);
	take(IN_SANITIZER, p);
	if
	:: poison[p] -> MOVE(p, SANITIZING, POISONED); poison[p] = false
	:: !poison[p] && CAN_EREMOVE(p) ->
		INVALIDATE(p);
		MOVE(p, SANITIZING, FREE);
		put(FREE_LIST, p)
	:: !poison[p] -> sanitize_failed_for(p)
	fi
}

#define SANITIZER_STEPS									\
	:: atomic { ANY(TODO) && !ANY(IN_SANITIZER) -> sanitize_take(); sort() }		\
	:: atomic { ANY(IN_SANITIZER) -> sanitize_put(); sort() }				\
	:: atomic { !sanitized && !ANY(TODO) && !ANY(IN_SANITIZER) ->			\
		sanitized = second_pass; second_pass = true; sort() }

/* --- names -------------------------------------------------------------------------------- */

#define SWAP(x, a, b) t = x[a]; x[a] = x[b]; x[b] = t
#define RENAME(x, a, b) x = (x == (a) -> (b) : (x == (b) -> (a) : x))

inline swap_pages(a, b)
{
	SWAP(state, a, b);
	SWAP(poison, a, b);
	SWAP(where, a, b);
	SWAP(epcm, a, b);
	SWAP(parent, a, b);
	RENAME(parent[0], a, b);
	RENAME(parent[1], a, b);
	RENAME(parent[2], a, b);
	RENAME(struck, a, b);
	RENAME(reported, a, b)
}

#define PAGE_KEY(p) ((((where[p] * 32 + state[p]) * 32 + epcm[p]) * 4 + parent[p]) * 4 + \
		     poison[p] * 2 + (reported == (p)))

inline sort_pages(a, b)
{
	if
	:: PAGE_KEY(a) > PAGE_KEY(b) -> swap_pages(a, b)
	:: else
	fi
}

/* Places of one host are next to those of the other, and of instances likewise. */
#define OTHER(place, first, last) \
	place = (place >= (first) && place <= (last) -> place ^ 1 : place)

#define HOST_KEY(h) (((((host[h] * 4 + nr_out[h]) * 2 + secs_out[h]) * 2 + initialized[h]) * 4 + \
		      COUNT(CHILDREN_OF(h))) * 4 + COUNT(STOCK_OF(h))) * 4 + COUNT(SECS_OF(h))
#define VEPC_KEY(v) (((vepc[v] * 4 + COUNT(INSTANCE(v))) * 4 + COUNT(STOCK_OF_VEPC(v))) * 4 + \
		     COUNT(LEFT(v))) * 4 + COUNT(LATE(v))

/* What ends a step: of all states that differ in names only, go on with one. */
inline sort()
{
	d_step {
		if
		:: HOST_KEY(0) > HOST_KEY(1) ->
			SWAP(host, 0, 1);
			SWAP(nr_out, 0, 1);
			SWAP(secs_out, 0, 1);
			SWAP(initialized, 0, 1);
			OTHER(where[0], 8, 13);
			OTHER(where[1], 8, 13);
			OTHER(where[2], 8, 13)
		:: else
		fi;
		if
		:: VEPC_KEY(0) > VEPC_KEY(1) ->
			SWAP(vepc, 0, 1);
			OTHER(where[0], 14, 21);
			OTHER(where[1], 14, 21);
			OTHER(where[2], 14, 21)
		:: else
		fi;
		sort_pages(0, 1);
		sort_pages(1, 2);
		sort_pages(0, 1);
		p = 0;
		q = 0;
		t = 0;
		ok = false
	}
}

/* --- all together ----------------------------------------------------------------------- */

#define ALL_GONE (host[0] == GONE && host[1] == GONE && vepc[0] == GONE && vepc[1] == GONE)

inline check_page(p)
{
	if
	:: state[p] == FREE -> assert(where[p] == FREE_LIST && epcm[p] == INVALID)
	:: state[p] == CACHED -> assert(where[p] == CACHES && epcm[p] == INVALID)
	:: state[p] == LEAKED -> assert(where[p] == NOWHERE)
	:: state[p] == UNSANITIZED -> assert(where[p] == FAILED_LIST && (sanitize_failed || reported != NR_PAGES))
	:: state[p] == POISONED -> assert(reported == p)
	/* An orphan waits for ever when its child has leaked. */
	:: else -> assert(where[p] == ORPHANS && HAS_CHILDREN(p) && ANY_LEAKED)
	fi
}

inline begin()
{
#ifdef SMALL
	sanitized = true;
	state[0] = FREE; where[0] = FREE_LIST;
	state[1] = FREE; where[1] = FREE_LIST;
	state[2] = FREE; where[2] = FREE_LIST
#else
	may_strike = true;
	where[0] = UNSANITIZED_LIST;
	where[1] = UNSANITIZED_LIST;
	where[2] = UNSANITIZED_LIST;
	if
	:: skip		/* nobody was here before */
	:: epcm[0] = SECS; MAKE_CHILD(1, 0)
	fi
#endif
}

active proctype life()
{
	atomic { begin(); sort() };
	do
	HOST_STEPS(0)
	HOST_STEPS(1)
	VEPC_STEPS(0)
	VEPC_STEPS(1)
	GUEST_STEPS
	MEMORY_STEPS
	SANITIZER_STEPS
	:: atomic { ALL_GONE && sanitized && !may_strike && struck == NR_PAGES && !guest_removed ->
		check_page(0); check_page(1); check_page(2); break }
	od
}
