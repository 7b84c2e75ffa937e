/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of an EPC page, for exhaustive search: three pages, two host enclaves
 * that build, page, and end; one guest with two virtual EPC instances, whose SECS
 * and children may lie in either; the reclaimer; the sanitizer.  Every leaf that
 * can fail fails or succeeds.
 *
 * MOVE() is the only way a page changes state; tests/model/compare holds its
 * uses against what src/epc/page-states.def declares.
 *
 * What is checked:
 *   - no page in two places: FREE exactly when in the free list, and nobody
 *     owns it then; each move finds the state it expects;
 *   - no unclean page free: the EPCM entry of a page that becomes FREE is invalid;
 *   - every page comes back: once all users are gone each page is FREE, or LEAKED
 *     when an EREMOVE was made to fail.
 *
 *   spin -a page-life.pml && gcc -O2 -DSAFETY -o pan pan.c && ./pan -m1000000
 */

#define NR_PAGES 3
#define NR_HOSTS 2
#define NR_VEPCS 2
#define NONE 255

/* States, as the manager has them. */
mtype = { UNSANITIZED, SANITIZING, FREE, CLEAN, INITIALIZED, EVICTING, LEAKED };

/* What the processor knows of a page. */
mtype = { INVALID, SECS, CHILD };

mtype state[NR_PAGES] = UNSANITIZED;
bool listed[NR_PAGES];		/* in the free list */
byte owner[NR_PAGES] = NONE;	/* hosts 0.., instances NR_HOSTS.., orphans */
mtype epcm[NR_PAGES] = INVALID;
byte parent[NR_PAGES] = NONE;	/* of a CHILD: its SECS */

#define ORPHAN (NR_HOSTS + NR_VEPCS)

bit encl_lock[NR_HOSTS];
bit pool_lock;
bit orphan_lock;
byte nr_users = NR_HOSTS + NR_VEPCS;
bool sanitized;

/* An enclave's records. */
byte secs[NR_HOSTS] = NONE;
byte child[NR_HOSTS] = NONE;	/* the one page of it, when resident */
bool evicted[NR_HOSTS];		/* ... or outside */
/* An instance's only page. */
byte vpage[NR_VEPCS] = NONE;

#define MOVE(p, from, to) assert(state[p] == from); state[p] = to

#define LOCK(l) atomic { l == 0 -> l = 1 }
#define UNLOCK(l) l = 0

#define HAS_CHILDREN(p) \
	((epcm[0] == CHILD && parent[0] == p) || (epcm[1] == CHILD && parent[1] == p) || \
	 (epcm[2] == CHILD && parent[2] == p))

/* --- the pool --------------------------------------------------------------- */

/* Page @p := the free page found, NONE when there is none. */
inline alloc(p, who)
{
	atomic {
		pool_lock == 0;
		p = NONE;
		if
		:: listed[0] -> p = 0
		:: listed[1] -> p = 1
		:: listed[2] -> p = 2
		:: !listed[0] && !listed[1] && !listed[2] -> skip
		fi;
		if
		:: p != NONE ->
			listed[p] = false;
			assert(owner[p] == NONE && epcm[p] == INVALID);
			MOVE(p, FREE, CLEAN);
			owner[p] = who
		:: else
		fi
	}
}

/* The gate: nothing but a CLEAN page comes through. */
inline raw_free(p)
{
	atomic {
		pool_lock == 0;
		assert(!listed[p]);
		MOVE(p, CLEAN, FREE);
		assert(epcm[p] == INVALID);
		owner[p] = NONE;
		listed[p] = true
	}
}

/* --- the processor ------------------------------------------------------------ */

/* @ok := EREMOVE by its own rules: a SECS with children stays. */
inline eremove(p, ok)
{
	atomic {
		if
		:: epcm[p] == SECS && HAS_CHILDREN(p) -> ok = false
		:: else -> epcm[p] = INVALID; parent[p] = NONE; ok = true
		fi
	}
}

/* --- freeing a host enclave's page --------------------------------------------- */

inline encl_free(p, ok)
{
	if
	:: eremove(p, ok)
	:: ok = false		/* somebody still uses it: a bug of the manager's */
	fi;
	if
	:: ok && state[p] == INITIALIZED -> MOVE(p, INITIALIZED, CLEAN); raw_free(p)
	:: ok && state[p] == CLEAN -> raw_free(p)
	:: !ok && state[p] == INITIALIZED ->
		atomic { MOVE(p, INITIALIZED, LEAKED); owner[p] = NONE }
	:: !ok && state[p] == CLEAN ->
		atomic { MOVE(p, CLEAN, LEAKED); owner[p] = NONE }
	fi;
	ok = false
}

/* --- a host enclave --------------------------------------------------------------- */

/* Make the SECS.  A leaf may fail before it did anything, or have done it all. */
inline host_create(me, p, ok)
{
	alloc(p, me);
	if
	:: p == NONE
	:: p != NONE ->
		LOCK(encl_lock[me]);
		MOVE(p, CLEAN, INITIALIZED);
		if
		:: atomic { epcm[p] = SECS; secs[me] = p }
		:: encl_free(p, ok)
		fi;
		atomic { UNLOCK(encl_lock[me]); p = NONE }
	fi
}

inline host_add(me, p, ok)
{
	alloc(p, me);
	if
	:: p == NONE
	:: p != NONE ->
		LOCK(encl_lock[me]);
		if
		:: child[me] != NONE || evicted[me] ->
			raw_free(p)		/* another one was first */
		:: else ->
			MOVE(p, CLEAN, INITIALIZED);
			if
			:: atomic { epcm[p] = CHILD; parent[p] = secs[me]; child[me] = p }
			:: encl_free(p, ok)
			fi
		fi;
		atomic { UNLOCK(encl_lock[me]); p = NONE }
	fi
}

/* Bring the evicted page back: ELDU succeeds, or leaves the page as it was. */
inline host_fault(me, p, ok)
{
	alloc(p, me);
	if
	:: p == NONE
	:: p != NONE ->
		LOCK(encl_lock[me]);
		if
		:: !evicted[me] -> raw_free(p)
		:: else ->
			MOVE(p, CLEAN, INITIALIZED);
			if
			:: atomic { epcm[p] = CHILD; parent[p] = secs[me];
				    child[me] = p; evicted[me] = false }
			:: encl_free(p, ok)
			fi
		fi;
		atomic { UNLOCK(encl_lock[me]); p = NONE }
	fi
}

proctype host(byte me)
{
	byte p;
	bool ok;

	do
	:: secs[me] == NONE -> host_create(me, p, ok)
	:: secs[me] != NONE -> break
	:: break
	od;
	do
	:: secs[me] != NONE && child[me] == NONE && !evicted[me] -> host_add(me, p, ok)
	:: secs[me] != NONE && evicted[me] -> host_fault(me, p, ok)
	:: break
	od;

	/* Release, children first. */
	LOCK(encl_lock[me]);
	if
	:: child[me] != NONE -> encl_free(child[me], ok); child[me] = NONE
	:: else
	fi;
	evicted[me] = false;
	if
	:: secs[me] != NONE -> encl_free(secs[me], ok); secs[me] = NONE
	:: else
	fi;
	UNLOCK(encl_lock[me]);
	nr_users--
}

/* --- the reclaimer ------------------------------------------------------------------ */

proctype reclaimer()
{
	byte e = 0, p;

	do
	:: nr_users == 0 -> break
	:: else ->
		if
		:: e = 0
		:: e = 1
		fi;
		LOCK(encl_lock[e]);
		if
		:: child[e] != NONE ->
			p = child[e];
			MOVE(p, INITIALIZED, EVICTING);
			if
			:: /* EWB succeeds */
				atomic {
					epcm[p] = INVALID; parent[p] = NONE;
					MOVE(p, EVICTING, CLEAN);
					child[e] = NONE; evicted[e] = true
				};
				raw_free(p)
			:: /* EWB refuses: the page stays, valid and the enclave's */
				MOVE(p, EVICTING, INITIALIZED)
			fi
		:: else
		fi;
		atomic { UNLOCK(encl_lock[e]); e = 0; p = 0 }
	od
}

/* --- the guest ------------------------------------------------------------------------ */

/* Orphans go when nothing of theirs is left; whoever removed a page looks. */
inline reap(i, ok)
{
	LOCK(orphan_lock);
	i = 0;
	do
	:: i < NR_PAGES ->
		if
		:: owner[i] == ORPHAN ->
			eremove(i, ok);
			if
			:: ok -> MOVE(i, INITIALIZED, CLEAN); raw_free(i)
			:: else
			fi
		:: else
		fi;
		i++
	:: else -> break
	od;
	atomic { UNLOCK(orphan_lock); i = 0; ok = false }
}

/* The guest itself uses its pages as it likes: the manager is not told. */
inline guest_uses(me)
{
	atomic {
		if
		:: epcm[vpage[me]] == INVALID -> epcm[vpage[me]] = SECS
		:: epcm[vpage[me]] == INVALID && vpage[1 - me] != NONE &&
		   epcm[vpage[1 - me]] == SECS ->
			epcm[vpage[me]] = CHILD; parent[vpage[me]] = vpage[1 - me]
		:: epcm[vpage[me]] == CHILD -> epcm[vpage[me]] = INVALID; parent[vpage[me]] = NONE
		:: skip
		fi
	}
}

proctype vepc(byte me)
{
	byte p, i;
	bool ok;

	do
	:: vpage[me] == NONE ->
		alloc(p, NR_HOSTS + me);
		if
		:: p != NONE -> atomic { MOVE(p, CLEAN, INITIALIZED); vpage[me] = p; p = NONE }
		:: else
		fi
	:: vpage[me] != NONE -> guest_uses(me)
	:: vpage[me] != NONE ->		/* remove-all: the page stays ours */
		eremove(vpage[me], ok);
		if
		:: ok -> ok = false; reap(i, ok)
		:: else
		fi
	:: break
	od;

	/* Release. */
	if
	:: vpage[me] == NONE
	:: else ->
		p = vpage[me];
		atomic { vpage[me] = NONE; eremove(p, ok) };
		if
		:: ok -> MOVE(p, INITIALIZED, CLEAN); raw_free(p)
		:: else -> owner[p] = ORPHAN
		fi;
		p = NONE;
		/* Also for our own: its last child may have gone since we looked. */
		reap(i, ok)
	fi;
	nr_users--
}

/* --- all together ----------------------------------------------------------------------- */

proctype sanitizer()
{
	byte i = 0;

	do
	:: i < NR_PAGES ->
		MOVE(i, UNSANITIZED, SANITIZING);
		atomic {
			MOVE(i, SANITIZING, FREE);
			assert(epcm[i] == INVALID);
			listed[i] = true
		};
		i++
	:: else -> break
	od;
	sanitized = true
}

active proctype end_check()
{
	byte i;

	atomic {
		run sanitizer();
		run host(0);
		run host(1);
		run vepc(0);
		run vepc(1);
		run reclaimer()
	};
	/* Everybody is gone, the reclaimer included. */
	_nr_pr == 1 && nr_users == 0 && sanitized;
	i = 0;
	do
	:: i < NR_PAGES ->
		assert(state[i] == FREE || state[i] == LEAKED);
		assert((state[i] == FREE) == listed[i]);
		assert(owner[i] == NONE);
		assert(state[i] != FREE || epcm[i] == INVALID);
		i++
	:: else -> break
	od
}
