/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The launcher: starts a worker for each stream that should run.
 *
 * There is one for each database in fluct.database (databases.c).  It looks at
 * fluct.streams, starts what should run and does not, and sleeps until
 * something changes: a stream, a setting, the end of a worker.  It counts each
 * start before it makes it, in a table, since after a crash nobody can; the
 * first committed batch resets the count.
 *
 * It waits for no lock longer than a second.  A stream whose row in
 * fluct.stream_states another transaction has locked, such as an open
 * drop_stream, is left for the next turn, and the others are served.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "bookkeeping/owner.h"
#include "bookkeeping/states.h"
#include "bookkeeping/streams.h"
#include "pg/guc.h"
#include "process/announce.h"
#include "process/databases.h"
#include "process/events.h"
#include "process/launcher.h"
#include "process/maintenance.h"
#include "process/shmem.h"
#include "process/vitals.h"
#include "process/worker.h"

#define LOOK_INTERVAL		10000	/* ms: an idle launcher looks around */
#define LOCK_INTERVAL		1000	/* ms: until a lock is tried again */
#define STUCK_AFTER			60000	/* ms without a sign of life */
#define RESTART_INTERVAL	1	/* s */
#define MAINTENANCE_INTERVAL 600000 /* ms: partitions are made ahead */

static BackgroundWorkerHandle *handles[FLUCT_MAX_SLOTS];

/* ----- workers ----- */

/*
 * Frees the slots of workers that are gone.  The numbers of those that never
 * connected go to `refused`.
 */
static void
reap(List **refused)
{
	for (int i = 0; i < FLUCT_MAX_SLOTS; i++)
	{
		FluctSlot  *slot = &fluct_shared->slots[i];
		pid_t		pid;

		if (!slot->in_use || slot->database != MyDatabaseId)
			continue;
		if (handles[i] ? GetBackgroundWorkerPid(handles[i], &pid) == BGWH_STOPPED :
			slot->proc == NULL)
		{
			if (handles[i])
				pfree(handles[i]);
			if (handles[i] && !slot->connected)
				*refused = lappend_int(*refused, i);
			handles[i] = NULL;
			fluct_shmem_free(slot);
		}
	}
}

/* Gives the slot back if there is no background worker for it. */
static bool
launch(const FluctWanted *wanted, FluctSlot *slot)
{
	int			number = slot - fluct_shared->slots;
	BackgroundWorker worker;
	MemoryContext old;
	bool		registered;

	fluct_worker_describe(&worker, "FluctStreamMain", "fluct stream worker");
	snprintf(worker.bgw_name, BGW_MAXLEN, "fluct stream %s/%d",
			 wanted->stream, wanted->worker);
	worker.bgw_main_arg = fluct_shmem_ticket(slot);
	worker.bgw_notify_pid = MyProcPid;
	old = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &handles[number]);
	MemoryContextSwitchTo(old);
	if (!registered)
	{
		handles[number] = NULL;
		fluct_shmem_free(slot);
	}
	return registered;
}

static bool
is_running(const FluctWanted *wanted)
{
	bool		found;

	LWLockAcquire(fluct_shared->lock, LW_SHARED);
	found = fluct_shmem_find(MyDatabaseId, wanted->stream,
							 wanted->worker) != NULL;
	LWLockRelease(fluct_shared->lock);
	return found;
}

static void
note_no_slot(const FluctWanted *wanted, const char *detail)
{
	char	   *reason;

	fluct_worker_begin();
	if (fluct_states_take(wanted->stream, wanted->worker, wanted->starts,
						  &reason))
	{
		fluct_states_set(wanted->stream, wanted->worker, wanted->starts,
						 "backing_off", "no_worker_slot", detail, detail,
						 NULL);
		if (reason == NULL || strcmp(reason, "no_worker_slot") != 0)
		{
			fluct_announce_event(FLUCT_EVENT_STATE, wanted->stream,
								 "backing_off", GetCurrentTimestamp());
			ereport(LOG,
					(errmsg("stream \"%s\" is backing_off: no_worker_slot",
							wanted->stream),
					 errdetail_internal("%s", detail)));
		}
	}
	fluct_worker_commit();
}

static void
note_owner(const FluctWanted *wanted, const char *reason, const char *detail)
{
	bool		passes = strcmp(reason, "owner_cannot_connect") == 0;
	char	   *before;

	if (!fluct_states_take(wanted->stream, wanted->worker, wanted->starts,
						   &before))
		return;
	fluct_states_set(wanted->stream, wanted->worker, wanted->starts,
					 passes ? "backing_off" : "failed", reason, detail,
					 detail, NULL);
	if (before == NULL || strcmp(before, reason) != 0)
		ereport(LOG,
				(passes ? errmsg("stream \"%s\" is backing_off: %s",
								 wanted->stream, reason) :
				 errmsg("stream \"%s\" has failed: %s", wanted->stream, reason),
				 errdetail_internal("%s", detail)));
}

/*
 * The worker's session is the owner's.  What keeps the owner from having one
 * is said here, since the worker would die while it connects; what may pass
 * is looked at again each time, all else fails the stream.
 */
static bool
owner_is_fit(const FluctWanted *wanted)
{
	char	   *detail,
			   *hint;
	const char *reason;

	fluct_worker_begin();
	reason = fluct_owner_obstacle(psprintf("stream \"%s\"", wanted->stream),
								  wanted->owner, wanted->role, true, &detail,
								  &hint);
	if (reason)
		note_owner(wanted, reason, psprintf("%s: %s", detail, hint));
	fluct_worker_commit();
	return reason == NULL;
}

/*
 * Nobody can look beforehand at everything that ends a worker while it
 * connects: a limit of connections of the role or the database, for one.
 */
static void
note_refused(const List *refused, const FluctWanted *wanted)
{
	ListCell   *lc;

	foreach(lc, refused)
	{
		const FluctSlot *slot = &fluct_shared->slots[lfirst_int(lc)];

		if (slot->worker != wanted->worker ||
			strcmp(slot->stream, wanted->stream) != 0)
			continue;
		fluct_worker_begin();
		note_owner(wanted, "owner_cannot_connect",
				   psprintf("the worker's session as role \"%s\" did not begin; the server's log says why",
							wanted->owner));
		fluct_worker_commit();
	}
}

/*
 * Counts the start and reserves its slot, which is NULL where none is free for
 * it.  False while another transaction has locked the worker's state.
 */
static bool
prepare(const FluctWanted *wanted, FluctSlot **slot)
{
	char	   *reason;
	bool		taken;

	*slot = NULL;
	fluct_worker_begin();
	taken = fluct_states_take(wanted->stream, wanted->worker, wanted->starts,
							  &reason);
	if (taken)
		*slot = fluct_databases_take_turn(wanted->stream, wanted->worker,
										  wanted->role);
	if (*slot)
		fluct_states_count_start(wanted->stream, wanted->worker,
								 wanted->starts);
	fluct_worker_commit();
	return taken;
}

/* Starts one worker, or says why not; false if it waits for a slot. */
static bool
start(const FluctWanted *wanted)
{
	FluctSlot  *slot;

	if (!prepare(wanted, &slot))
		return true;
	if (slot == NULL)
		note_no_slot(wanted,
					 psprintf("fluct.max_workers is %d, but %d workers are needed",
							  fluct_max_workers, fluct_databases_wanted()));
	else if (!launch(wanted, slot))
	{
		slot = NULL;
		note_no_slot(wanted,
					 psprintf("no free background worker: max_worker_processes is %d, and fluct needs %d of them in addition to those of others",
							  max_worker_processes,
							  fluct_databases_wanted() + fluct_databases_launchers()));
	}
	return slot != NULL;
}

/* A worker that has not read its stream yet is up to date once it has. */
static bool
is_wanted(const FluctSlot *slot, const List *wanted)
{
	ListCell   *lc;

	foreach(lc, wanted)
	{
		const FluctWanted *one = lfirst(lc);

		if (one->worker == slot->worker && strcmp(one->stream, slot->stream) == 0)
			return slot->version == 0 || (slot->version == one->version &&
										  slot->created_at == one->created_at);
	}
	return false;
}

/*
 * A worker whose stream is paused, dropped or altered leaves by itself, unless
 * it waits for a lock: then the wait is cancelled.  True if there are such
 * workers.
 */
static bool
cancel_waits(const List *wanted)
{
	bool		unwanted = false;

	for (int i = 0; i < FLUCT_MAX_SLOTS; i++)
	{
		const FluctSlot *slot = &fluct_shared->slots[i];
		const PGPROC *proc = slot->proc;

		/* one without a handle is another launcher's, or a session's */
		if (!slot->in_use || slot->database != MyDatabaseId || proc == NULL ||
			handles[i] == NULL || is_wanted(slot, wanted))
			continue;
		unwanted = true;
		if ((proc->wait_event_info & 0xFF000000) == PG_WAIT_LOCK)
			kill(slot->pid, SIGINT);
	}
	return unwanted;
}

/*
 * The watchdog over workers that are stuck in one call, such as a batch whose
 * trigger sleeps: they cannot report it themselves.
 */
static void
find_stuck(void)
{
	for (int i = 0; i < FLUCT_MAX_SLOTS; i++)
	{
		FluctSlot  *slot = &fluct_shared->slots[i];

		if (slot->in_use && slot->database == MyDatabaseId &&
			fluct_shmem_say_stuck(slot, STUCK_AFTER) &&
			fluct_shmem_may_log(slot))
			ereport(LOG,
					(errmsg("stream \"%s\" is stalled",
							slot->stream),
					 errdetail_internal("%s", slot->detail)));
	}
}

/* The pids of pg_blocking_pids in words, or NULL where nobody blocks it. */
static char *
describe_blockers(int pid)
{
	ArrayType  *pids = DatumGetArrayTypeP(DirectFunctionCall1(pg_blocking_pids,
															  Int32GetDatum(pid)));
	StringInfoData text;

	if (ARR_NDIM(pids) == 0)
		return NULL;
	initStringInfo(&text);
	for (int i = 0; i < ARR_DIMS(pids)[0]; i++)
	{
		int			blocker = ((int32 *) ARR_DATA_PTR(pids))[i];

		appendStringInfoString(&text, i == 0 ? "blocked by " : ", ");
		if (blocker == 0)
			appendStringInfoString(&text, "a prepared transaction");
		else
			appendStringInfo(&text, "pid %d", blocker);
	}
	return text.data;
}

/*
 * Says who blocks the workers that wait for a lock, which cannot look by
 * themselves.  True if there is such a worker: its blockers may change soon.
 */
static bool
find_blockers(void)
{
	static bool told[FLUCT_MAX_SLOTS];
	bool		waiting = false;

	for (int i = 0; i < FLUCT_MAX_SLOTS; i++)
	{
		FluctSlot  *slot = &fluct_shared->slots[i];
		char	   *blockers;

		if (!slot->in_use || slot->database != MyDatabaseId ||
			strcmp(slot->reason, "waiting_for_lock") != 0)
		{
			told[i] = false;
			continue;
		}
		waiting = true;
		blockers = describe_blockers(slot->pid);
		if (blockers == NULL ||
			!fluct_shmem_set_detail(slot, "waiting_for_lock", blockers))
			continue;
		if (told[i] || !fluct_shmem_may_log(slot))
			continue;
		ereport(LOG,
				(errmsg("stream \"%s\" is running: waiting_for_lock",
						slot->stream),
				 errdetail_internal("%s", blockers)));
		told[i] = true;
	}
	return waiting;
}

static List *
read_wanted(void)
{
	List	   *wanted = NIL;
	MemoryContext context = CurrentMemoryContext;

	fluct_worker_begin();
	if (fluct_streams_installed())
	{
		fluct_vitals_tell_version();
		if (fluct_enabled)
			wanted = fluct_streams_wanted(context);
	}
	fluct_worker_commit();
	return wanted;
}

/* Starts what should run and does not; returns the ms until the next may. */
static long
start_wanted(void)
{
	List	   *wanted;
	ListCell   *lc;
	long		sleep = LOOK_INTERVAL;
	List	   *refused = NIL;
	bool		waiting = false;
	int			missing = 0;

	reap(&refused);
	wanted = read_wanted();
	fluct_databases_note_wanted(list_length(wanted));
	if (cancel_waits(wanted))
		sleep = LOCK_INTERVAL;
	foreach(lc, wanted)
	{
		FluctWanted *one = lfirst(lc);

		if (is_running(one))
			continue;
		note_refused(refused, one);
		if (one->wait > 0)
		{
			missing++;
			sleep = Min(sleep, one->wait);
			continue;
		}
		if (!owner_is_fit(one))
			continue;
		if (!start(one))
			waiting = true;
		else if (!is_running(one))
			sleep = Min(sleep, LOCK_INTERVAL);
		missing += !is_running(one);
	}
	fluct_databases_note_waiting(waiting);
	fluct_shmem_say_missing(missing);
	return sleep;
}

/* ----- main ----- */

/* Partitions are made ahead now and then. */
static void
maintain(void)
{
	static TimestampTz maintained = 0;

	if (fluct_worker_ms_since(maintained) < MAINTENANCE_INTERVAL)
		return;
	maintained = GetCurrentTimestamp();
	fluct_maintenance_start();
}

/* Returns the ms until there may be something to do. */
static long
turn(void)
{
	MemoryContext context = CurrentMemoryContext;
	long		look = fluct_databases_look();
	volatile long sleep = LOCK_INTERVAL;

	fluct_events_send();
	PG_TRY();
	{
		sleep = start_wanted();
		find_stuck();
		if (find_blockers())
			sleep = Min(sleep, LOCK_INTERVAL);
		maintain();
	}
	PG_CATCH();
	{
		fluct_worker_report_error(context);
	}
	PG_END_TRY();
	return Min(look, sleep);
}

void
FluctLauncherMain(Datum arg)
{
	MemoryContext loop;

	fluct_worker_unblock();
	pgstat_report_activity(STATE_IDLE,
						   psprintf("launcher: database %s",
									fluct_databases_connect(DatumGetInt32(arg))));
	fluct_worker_limit_locks();
	loop = AllocSetContextCreate(TopMemoryContext, "fluct launcher",
								 ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		MemoryContextReset(loop);
		MemoryContextSwitchTo(loop);
		fluct_worker_wait(PGINVALID_SOCKET, turn());
	}
}

void
fluct_launcher_register(void)
{
	BackgroundWorker worker;

	/*
	 * pg_upgrade drops and creates databases of the new cluster, and copies
	 * the files of the old one after it has read its catalog: nobody may be
	 * connected to the former, or write to the latter.
	 */
	if (IsBinaryUpgrade)
		return;
	fluct_worker_describe(&worker, "FluctLauncherMain", "fluct launcher");
	worker.bgw_restart_time = RESTART_INTERVAL;
	RegisterBackgroundWorker(&worker);
}
