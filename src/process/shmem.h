/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  Live state of the workers in shared memory, and how to wake them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PROCESS_SHMEM_H
#define FLUCT_PROCESS_SHMEM_H

#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "base/message.h"

#define FLUCT_MAX_SLOTS		64
#define FLUCT_MAX_LAUNCHERS	64
#define FLUCT_STATE_LEN		32
#define FLUCT_LIVE_DETAIL_LEN	192
#define FLUCT_LINES_PER_MINUTE	2	/* of a stream's states in the log */

/*
 * One stream worker.  The launcher fills the first group before it registers
 * the process, and frees the slot when the process is gone; the worker alone
 * writes the second, all under the lock; except that the launcher marks a
 * worker as stalled when it cannot do so itself.  The atomics need no lock.
 */
typedef struct FluctSlot
{
	bool		in_use;
	uint32		ticket;			/* another one each time it is reserved */
	Oid			database;
	char		stream[NAMEDATALEN];
	int			worker;
	Oid			owner;			/* the role of the worker's session */
	bool		connected;		/* its session began */

	PGPROC	   *proc;			/* NULL while no process is attached */
	pid_t		pid;
	char		state[FLUCT_STATE_LEN];
	char		reason[FLUCT_STATE_LEN];
	char		detail[FLUCT_LIVE_DETAIL_LEN];
	TimestampTz since;
	TimestampTz held_at;		/* when it last knew that it had committed all
								 * that Kafka had; 0 = not yet */
	int			version;		/* of the stream that it serves; 0 = not read */
	TimestampTz created_at;		/* of that stream */

	/* when this worker, or its predecessor in the slot, logged a state */
	TimestampTz logged_at[FLUCT_LINES_PER_MINUTE];
	bool		untold;			/* its reason is not in the log yet */

	pg_atomic_uint64 alive_at;	/* a TimestampTz: its last sign of life */
	pg_atomic_uint64 lag;		/* messages in Kafka that are not committed */
	pg_atomic_uint64 rate;		/* messages committed in the last 10 s */
	pg_atomic_uint64 sync_wanted;	/* last ticket drawn by wait_for_stream */
	pg_atomic_uint64 sync_done; /* last ticket that was served */
} FluctSlot;

/*
 * One launcher, and the database that it serves.  The first is the server's
 * own; it fills and frees the others' places (databases.c).  All under the
 * lock.
 */
typedef struct FluctLauncher
{
	bool		in_use;
	char		name[NAMEDATALEN];	/* of the database */
	PGPROC	   *proc;			/* NULL while no process is attached */
	Oid			database;		/* invalid while it is not connected */
	int			wanted;			/* workers that its streams need */
	bool		waiting;		/* a worker could not be started */
	TimestampTz started_at;
	TimestampTz served_at;		/* when it last started a worker */
} FluctLauncher;

/*
 * The lock is for the launchers and the slots.  Only the first launcher
 * touches `connecting`; the rest needs no lock.
 */
typedef struct FluctShared
{
	LWLock	   *lock;
	FluctLauncher launchers[FLUCT_MAX_LAUNCHERS];
	bool		connecting;		/* the first died while connecting */
	pg_atomic_uint64 changes;	/* raised after every commit of a change */
	pg_atomic_uint32 missing;	/* see fluct_shmem_say_missing */
	ConditionVariable progress; /* of what wait_for_stream waits for */
	FluctSlot	slots[FLUCT_MAX_SLOTS];
} FluctShared;

/* NULL unless fluct is in shared_preload_libraries. */
extern FluctShared *fluct_shared;

/*
 * Requests shared memory of that size and a lock, both of that name; to be
 * called from _PG_init.  `attach` is called in each process with both; unless
 * the memory was found, it is zeroed, and `attach` initializes it.
 */
typedef void (*FluctShmemAttach) (void *memory, LWLock *lock, bool found);
extern void fluct_shmem_register(const char *name, Size size,
								 FluctShmemAttach attach);

extern void fluct_shmem_init(void);

/*
 * Replaces the shared FluctShared by one of this process's own, whose first
 * slot is reserved for the stream, with all its partitions.
 */
extern FluctSlot *fluct_shmem_privately(const char *stream);

/* Wakes the launchers; and with them all workers, after a change. */
extern void fluct_shmem_wake_launchers(void);
extern void fluct_shmem_wake_all(void);

extern FluctSlot *fluct_shmem_find(Oid database, const char *stream,
								   int worker);
extern FluctSlot *fluct_shmem_reserve(Oid database, const char *stream,
									  int worker, Oid owner);
extern void fluct_shmem_free(FluctSlot *slot);

/*
 * What the process of a slot is given as its argument; and in that process,
 * which takes its place in the slot until it exits: the slot, or NULL when it
 * has been given to another.
 */
extern Datum fluct_shmem_ticket(const FluctSlot *slot);
extern FluctSlot *fluct_shmem_attach(Datum ticket);

/* The version of the stream, and which one of its name, that it serves. */
extern void fluct_shmem_set_served(FluctSlot *slot, int version,
								   TimestampTz created_at);

extern void fluct_shmem_set_state(FluctSlot *slot, const char *state,
								  const char *reason, const char *detail);

/* The detail alone, if that is still the reason; false if not. */
extern bool fluct_shmem_set_detail(FluctSlot *slot, const char *reason,
								   const char *detail);

/* A sign of life of the worker's. */
extern void fluct_shmem_note_alive(FluctSlot *slot);

/*
 * Marks a worker that is running, but has given no sign of life for that many
 * ms, as stalled; true if it was not marked before.
 */
extern bool fluct_shmem_say_stuck(FluctSlot *slot, long ms);

/*
 * A launcher says how many workers of its database are to run and do not; 0 at
 * its end.  And how many that are, in all databases.
 */
extern void fluct_shmem_say_missing(int count);
extern int	fluct_shmem_missing(void);

/* Whether the stream may write a line to the log now; counts it if so. */
extern bool fluct_shmem_may_log(FluctSlot *slot);

#endif							/* FLUCT_PROCESS_SHMEM_H */
