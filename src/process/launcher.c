/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The launcher: starts a worker for each stream that should run.
 *
 * It looks at fluct.streams, starts what should run and does not, and sleeps
 * until something changes: a stream, a setting, the end of a worker.  It
 * counts each start before it makes it, in a table, since after a crash nobody
 * can; the first committed batch resets the count.
 *
 * A background worker can find out whether a database exists only by
 * connecting to it, which ends the process if it does not.  So a launcher that
 * dies while connecting leaves a note in shared memory; the next one connects
 * to no database, waits until pg_database has it, and exits so that its
 * successor connects.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "bookkeeping/owner.h"
#include "bookkeeping/states.h"
#include "bookkeeping/streams.h"
#include "pg/guc.h"
#include "process/launcher.h"
#include "process/maintenance.h"
#include "process/shmem.h"
#include "process/worker.h"

#define LOOK_INTERVAL		10000	/* ms: an idle launcher looks around */
#define NO_DATABASE_INTERVAL 1000	/* ms */
#define STUCK_AFTER			60000	/* ms without a sign of life */
#define RESTART_INTERVAL	1	/* s */
#define MAINTENANCE_INTERVAL 600000 /* ms: partitions are made ahead */

static BackgroundWorkerHandle *handles[FLUCT_MAX_SLOTS];
static char *database = NULL;	/* that this launcher serves */

/* ----- connecting ----- */

static void
detach(int code, Datum arg)
{
	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	if (fluct_shared->launcher == MyProc)
		fluct_shared->launcher = NULL;
	LWLockRelease(fluct_shared->lock);
	fluct_shmem_say_missing(0);
}

static void
attach(void)
{
	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	fluct_shared->launcher = MyProc;
	LWLockRelease(fluct_shared->lock);
	before_shmem_exit(detach, (Datum) 0);
}

static bool
database_exists(void)
{
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	StartTransactionCommand();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = strcmp(NameStr(((Form_pg_database) GETSTRUCT(tuple))->datname),
					   fluct_database) == 0;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	return found;
}

/* Exits if the setting names another database than the one served. */
static void
check_database(void)
{
	if (strcmp(database, fluct_database) != 0)
		proc_exit(1);
}

static void
connect_database(void)
{
	while (fluct_database[0] == '\0')
		fluct_worker_wait(PGINVALID_SOCKET, -1);
	database = MemoryContextStrdup(TopMemoryContext, fluct_database);
	if (fluct_shared->connecting)
	{
		BackgroundWorkerInitializeConnection(NULL, NULL, 0);
		pgstat_report_activity(STATE_IDLE,
							   psprintf("launcher: waiting for database %s",
										database));
		while (!database_exists())
		{
			fluct_worker_wait(PGINVALID_SOCKET, NO_DATABASE_INTERVAL);
			check_database();
		}
		fluct_shared->connecting = false;
		proc_exit(1);
	}
	fluct_shared->connecting = true;
	BackgroundWorkerInitializeConnection(database, NULL, 0);
	fluct_shared->connecting = false;
	fluct_worker_pin_settings();
}

/* ----- workers ----- */

/*
 * Frees the slots of workers that are gone.  The numbers of those that never
 * connected go to `refused`.
 */
static int
reap(List **refused)
{
	int			running = 0;

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
		else
			running++;
	}
	return running;
}

static bool
launch(const FluctWanted *wanted)
{
	FluctSlot  *slot = fluct_shmem_reserve(MyDatabaseId, wanted->stream,
										   wanted->worker, wanted->role);
	BackgroundWorker worker = {0};
	MemoryContext old;
	int			number;
	bool		registered;

	if (slot == NULL)
		return false;
	number = slot - fluct_shared->slots;
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "fluct", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "FluctStreamMain", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "fluct stream %s/%d",
			 wanted->stream, wanted->worker);
	strlcpy(worker.bgw_type, "fluct stream worker", BGW_MAXLEN);
	worker.bgw_main_arg = Int32GetDatum(number);
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
	fluct_worker_begin();
	fluct_states_set(wanted->stream, wanted->worker, wanted->starts,
					 "backing_off", "no_worker_slot", detail, NULL);
	fluct_worker_commit();
}

static void
note_owner(const FluctWanted *wanted, const char *reason, const char *detail)
{
	bool		passes = strcmp(reason, "owner_cannot_connect") == 0;

	fluct_states_set(wanted->stream, wanted->worker, wanted->starts,
					 passes ? "backing_off" : "failed", reason, detail,
					 detail);
	if (!passes)
		ereport(LOG,
				(errmsg("stream \"%s\" has failed: %s", wanted->stream, reason),
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

/* Starts one worker, or says why not. */
static void
start(const FluctWanted *wanted, int running, int needed)
{
	if (running >= fluct_max_workers)
	{
		note_no_slot(wanted,
					 psprintf("fluct.max_workers is %d, but %d workers are needed",
							  fluct_max_workers, needed));
		return;
	}
	fluct_worker_begin();
	fluct_states_count_start(wanted->stream, wanted->worker, wanted->starts);
	fluct_worker_commit();
	if (!launch(wanted))
		note_no_slot(wanted,
					 psprintf("no free background worker: max_worker_processes is %d, and fluct needs %d of them in addition to those of others",
							  max_worker_processes, needed + 1));
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

/* Starts what should run and does not; returns the ms until the next may. */
static long
start_wanted(void)
{
	List	   *wanted = NIL;
	ListCell   *lc;
	long		sleep = LOOK_INTERVAL;
	List	   *refused = NIL;
	int			running = reap(&refused);
	int			missing = 0;
	MemoryContext context = CurrentMemoryContext;

	fluct_worker_begin();
	if (fluct_enabled && fluct_streams_installed())
		wanted = fluct_streams_wanted(context);
	fluct_worker_commit();
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
		start(one, running, list_length(wanted));
		running++;
		missing += !is_running(one);
	}
	fluct_shmem_say_missing(missing);
	return sleep;
}

/* ----- main ----- */

void
FluctLauncherMain(Datum arg)
{
	MemoryContext loop;
	TimestampTz maintained = 0;

	fluct_worker_unblock();
	attach();
	connect_database();
	pgstat_report_activity(STATE_IDLE, psprintf("launcher: database %s",
												database));
	loop = AllocSetContextCreate(TopMemoryContext, "fluct launcher",
								 ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		long		sleep;

		MemoryContextReset(loop);
		MemoryContextSwitchTo(loop);
		check_database();
		sleep = start_wanted();
		find_stuck();
		if (TimestampDifferenceExceeds(maintained, GetCurrentTimestamp(),
									   MAINTENANCE_INTERVAL))
		{
			fluct_maintenance_start();
			maintained = GetCurrentTimestamp();
		}
		fluct_worker_wait(PGINVALID_SOCKET, sleep);
	}
}

void
fluct_launcher_register(void)
{
	BackgroundWorker worker = {0};

	/*
	 * pg_upgrade drops and creates databases of the new cluster, and copies
	 * the files of the old one after it has read its catalog: nobody may be
	 * connected to the former, or write to the latter.
	 */
	if (IsBinaryUpgrade)
		return;
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_INTERVAL;
	strlcpy(worker.bgw_library_name, "fluct", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "FluctLauncherMain", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "fluct launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "fluct launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}
