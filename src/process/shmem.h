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
#define FLUCT_STATE_LEN		32
#define FLUCT_LIVE_DETAIL_LEN	192
#define FLUCT_LINES_PER_MINUTE	2	/* of a stream's states in the log */

/*
 * One stream worker.  The launcher fills the first group before it registers
 * the process, and frees the slot when the process is gone; the worker alone
 * writes the second, all under the lock; only that it is stalled is said by
 * the launcher, of a worker that can't.  The atomics need no lock.
 */
typedef struct FluctSlot
{
	bool		in_use;
	Oid			database;
	char		stream[NAMEDATALEN];
	int			worker;

	PGPROC	   *proc;			/* NULL while no process is attached */
	pid_t		pid;
	char		state[FLUCT_STATE_LEN];
	char		reason[FLUCT_STATE_LEN];
	char		detail[FLUCT_LIVE_DETAIL_LEN];
	TimestampTz since;
	TimestampTz data_until;		/* Kafka's time of the newest commit */

	/* the lines of this worker's states in the log; its successor's as well */
	TimestampTz logged_at[FLUCT_LINES_PER_MINUTE];

	pg_atomic_uint64 alive_at;	/* a TimestampTz: its last sign of life */
	pg_atomic_uint64 lag;		/* messages in Kafka that are not committed */
	pg_atomic_uint64 rate;		/* messages committed in the last 10 s */
	pg_atomic_uint64 sync_wanted;	/* last ticket drawn by wait_for_stream */
	pg_atomic_uint64 sync_done; /* last ticket that is fulfilled */
} FluctSlot;

typedef struct FluctShared
{
	LWLock	   *lock;
	PGPROC	   *launcher;		/* NULL while there is none */
	bool		connecting;		/* launcher died while connecting */
	pg_atomic_uint64 changes;	/* raised after every commit of a change */
	pg_atomic_uint32 missing;	/* see fluct_shmem_say_missing */
	ConditionVariable progress; /* of what wait_for_stream waits for */
	FluctSlot	slots[FLUCT_MAX_SLOTS];
} FluctShared;

/* NULL unless fluct is in shared_preload_libraries. */
extern FluctShared *fluct_shared;

/*
 * Shared memory of that size, and a lock, both of that name: for a module's
 * call in _PG_init.  In each process `attach` is told where they are; where
 * they were not found yet, the memory is zeroed and for it to initialize.
 */
typedef void (*FluctShmemAttach) (void *memory, LWLock *lock, bool found);
extern void fluct_shmem_register(const char *name, Size size,
								 FluctShmemAttach attach);

extern void fluct_shmem_init(void);

/*
 * A FluctShared of this process alone takes the place of the shared one; its
 * first slot is reserved for the stream, with all its partitions.
 */
extern FluctSlot *fluct_shmem_privately(const char *stream);

/* Wakes the launcher and all workers once this transaction has committed. */
extern void fluct_shmem_announce_change(void);

extern FluctSlot *fluct_shmem_find(Oid database, const char *stream,
								   int worker);
extern FluctSlot *fluct_shmem_reserve(Oid database, const char *stream,
									  int worker);
extern void fluct_shmem_free(FluctSlot *slot);
extern void fluct_shmem_attach(FluctSlot *slot);
extern void fluct_shmem_set_state(FluctSlot *slot, const char *state,
								  const char *reason, const char *detail);

/* The worker gives a sign of life. */
extern void fluct_shmem_note_alive(FluctSlot *slot);

/*
 * Says of a worker that runs and has given no sign of life for so many ms
 * that it is stalled; true when that is new.
 */
extern bool fluct_shmem_say_stuck(FluctSlot *slot, long ms);

/*
 * A launcher says how many workers of its database are to run and do not; 0 at
 * its end.  And how many that are, in all databases.
 */
extern void fluct_shmem_say_missing(int count);
extern int	fluct_shmem_missing(void);

/* Whether the stream may have a line in the log now; counts it if so. */
extern bool fluct_shmem_may_log(FluctSlot *slot);

#endif							/* FLUCT_PROCESS_SHMEM_H */
