/*-------------------------------------------------------------------------
 *
 * databases.c
 *	  Which database a launcher serves, and that each has one.
 *
 * A process has one database, so fluct.database is a launcher for each name.
 * The server starts the first, which serves the first database of the list,
 * and starts the others: so one database costs one process.  The others exit
 * when their database leaves the list, or becomes its first.
 *
 * Whether a database exists is read in pg_database, for which a process must
 * be connected; and to connect to one that does not exist ends it.  So a first
 * launcher that dies while connecting leaves a note in shared memory; the next
 * one connects to no database, serves the rest of the list until pg_database
 * has the first, and exits so that its successor connects.
 *
 * Turns.  fluct.max_workers counts the workers of all databases.  Where they
 * do not suffice, a launcher that waits takes a free one only if there are
 * more than launchers that wait and were served longer ago: so those that wait
 * get one each in turn.
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
#include "nodes/value.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "pg/guc.h"
#include "process/databases.h"
#include "process/shmem.h"
#include "process/worker.h"

#define LOOK_INTERVAL		10000	/* ms: a launcher without work */
#define MISSING_INTERVAL	1000	/* ms: between looks for what is missing */
#define HANDOVER_INTERVAL	100 /* ms: until the predecessor is gone */
#define COMPLAINT_INTERVAL	60000	/* ms */

#define NOT_THERE "The database does not exist, or accepts no connections."

static FluctLauncher *self = NULL;
static BackgroundWorkerHandle *handles[FLUCT_MAX_LAUNCHERS];

static bool
is_first(void)
{
	return self == &fluct_shared->launchers[0];
}

/* The names in fluct.database but the first; *first is NULL without any. */
static List *
read_list(const char **first)
{
	List	   *names = fluct_guc_databases();

	*first = names == NIL ? NULL : strVal(linitial(names));
	return list_delete_first(names);
}

/* ----- this launcher ----- */

static void
detach(int code, Datum arg)
{
	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	self->proc = NULL;
	self->database = InvalidOid;
	self->waiting = false;
	self->wanted = 0;
	LWLockRelease(fluct_shared->lock);
	fluct_shmem_say_missing(0);
	fluct_shmem_wake_launchers();
}

static void
attach(int number)
{
	bool		mine;

	self = &fluct_shared->launchers[number];
	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	mine = (number == 0 || self->in_use) && self->proc == NULL;
	if (mine)
	{
		self->in_use = true;
		self->proc = MyProc;
		self->database = InvalidOid;
	}
	LWLockRelease(fluct_shared->lock);
	if (!mine)
		proc_exit(0);
	before_shmem_exit(detach, (Datum) 0);
}

static void
check_mine(void)
{
	const char *first;
	List	   *others = read_list(&first);

	if (is_first() ? first == NULL || strcmp(first, self->name) != 0 :
		!list_member(others, makeString(self->name)))
		proc_exit(is_first() ? 1 : 0);
	list_free(others);
}

static void
connect_to(const char *name)
{
	BackgroundWorkerInitializeConnection(name, NULL, 0);
	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	self->database = MyDatabaseId;
	LWLockRelease(fluct_shared->lock);
}

static bool
is_served_by_another(const char *name)
{
	bool		found = false;

	LWLockAcquire(fluct_shared->lock, LW_SHARED);
	for (int i = 1; i < FLUCT_MAX_LAUNCHERS; i++)
		if (fluct_shared->launchers[i].proc &&
			strcmp(fluct_shared->launchers[i].name, name) == 0)
			found = true;
	LWLockRelease(fluct_shared->lock);
	return found;
}

/* ----- the other databases, for the first launcher ----- */

static bool
database_exists(const char *name)
{
	MemoryContext context = CurrentMemoryContext;
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	StartTransactionCommand();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_database row = (Form_pg_database) GETSTRUCT(tuple);

		found = row->datallowconn && strcmp(NameStr(row->datname), name) == 0;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return found;
}

static bool
is_gone(int number)
{
	pid_t		pid;

	return handles[number] ?
		GetBackgroundWorkerPid(handles[number], &pid) == BGWH_STOPPED :
		fluct_shared->launchers[number].proc == NULL;
}

/*
 * Frees the places of launchers that are gone, but not sooner than a new one
 * may be started; true if all others run.
 */
static bool
reap_launchers(void)
{
	bool		all = true;

	for (int i = 1; i < FLUCT_MAX_LAUNCHERS; i++)
	{
		FluctLauncher *one = &fluct_shared->launchers[i];

		if (!one->in_use || !is_gone(i))
			continue;
		all = false;
		if (fluct_worker_ms_since(one->started_at) < MISSING_INTERVAL)
			continue;
		if (handles[i])
			pfree(handles[i]);
		handles[i] = NULL;
		LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
		one->in_use = false;
		LWLockRelease(fluct_shared->lock);
	}
	return all;
}

static bool
has_launcher(Oid database)
{
	for (int i = 0; i < FLUCT_MAX_LAUNCHERS; i++)
		if (fluct_shared->launchers[i].proc &&
			fluct_shared->launchers[i].database == database)
			return true;
	return false;
}

/* The slots of workers that outlived the launcher of their database. */
static void
reap_orphans(void)
{
	for (int i = 0; i < FLUCT_MAX_SLOTS; i++)
	{
		FluctSlot  *slot = &fluct_shared->slots[i];
		bool		orphan;

		LWLockAcquire(fluct_shared->lock, LW_SHARED);
		orphan = slot->in_use && slot->proc == NULL &&
			!has_launcher(slot->database);
		LWLockRelease(fluct_shared->lock);
		if (orphan)
			fluct_shmem_free(slot);
	}
}

/* The number of the launcher of that database, or of a free place, or 0. */
static int
find_launcher(const char *name, bool *exists)
{
	int			place = 0;

	*exists = false;
	for (int i = FLUCT_MAX_LAUNCHERS - 1; i > 0; i--)
	{
		const FluctLauncher *one = &fluct_shared->launchers[i];

		if (!one->in_use)
			place = i;
		else if (strcmp(one->name, name) == 0)
		{
			*exists = true;
			return i;
		}
	}
	return place;
}

static bool
start_launcher(int number, const char *name)
{
	FluctLauncher *one = &fluct_shared->launchers[number];
	BackgroundWorker worker;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool		registered;

	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	memset(one, 0, sizeof(FluctLauncher));
	one->in_use = true;
	one->started_at = GetCurrentTimestamp();
	strlcpy(one->name, name, NAMEDATALEN);
	LWLockRelease(fluct_shared->lock);
	fluct_worker_describe(&worker, "FluctLauncherMain", "fluct launcher");
	snprintf(worker.bgw_name, BGW_MAXLEN, "fluct launcher for %s", name);
	worker.bgw_main_arg = Int32GetDatum(number);
	worker.bgw_notify_pid = MyProcPid;
	registered = RegisterDynamicBackgroundWorker(&worker, &handles[number]);
	MemoryContextSwitchTo(old);
	if (!registered)
	{
		handles[number] = NULL;
		one->in_use = false;
	}
	return registered;
}

/* What keeps a database from being served, or NULL. */
static const char *
serve(const char *name)
{
	bool		served;
	int			number = find_launcher(name, &served);

	if (served)
		return NULL;
	if (!database_exists(name))
		return NOT_THERE;
	if (number == 0 || !start_launcher(number, name))
		return psprintf("No background worker is free for its launcher: max_worker_processes is %d.",
						max_worker_processes);
	return NULL;
}

/* Once a minute, and at once for another list. */
static bool
may_complain(void)
{
	static char *list = NULL;
	static TimestampTz since = 0;

	if (list == NULL || strcmp(list, fluct_database) != 0)
	{
		if (list)
			pfree(list);
		list = MemoryContextStrdup(TopMemoryContext, fluct_database);
		since = 0;
	}
	if (fluct_worker_ms_since(since) < COMPLAINT_INTERVAL)
		return false;
	since = GetCurrentTimestamp();
	return true;
}

static void
complain(const char *name, const char *obstacle)
{
	ereport(LOG,
			(errmsg("the streams of database \"%s\" in fluct.database cannot run",
					name),
			 errdetail_internal("%s", obstacle)));
}

/* Returns the ms until something may have to be done. */
static long
serve_others(const List *names, bool may_log)
{
	long		sleep = reap_launchers() ? LOOK_INTERVAL : MISSING_INTERVAL;
	ListCell   *lc;

	reap_orphans();
	foreach(lc, names)
	{
		const char *name = strVal(lfirst(lc));
		const char *obstacle = serve(name);

		if (obstacle == NULL)
			continue;
		sleep = MISSING_INTERVAL;
		if (may_log)
			complain(name, obstacle);
	}
	return sleep;
}

/* ----- connecting ----- */

/*
 * Until the first database exists; connected to none.  Then the successor
 * connects.
 */
static void
wait_for_first(void)
{
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	fluct_worker_pin_settings();
	for (;;)
	{
		MemoryContext context = AllocSetContextCreate(TopMemoryContext,
													  "fluct databases",
													  ALLOCSET_SMALL_SIZES);
		MemoryContext old = MemoryContextSwitchTo(context);
		const char *first;
		List	   *others = read_list(&first);
		bool		may_log = may_complain();

		if (first == NULL || database_exists(first))
		{
			fluct_shared->connecting = false;
			proc_exit(1);
		}
		pgstat_report_activity(STATE_IDLE,
							   psprintf("launcher: waiting for database %s",
										first));
		if (may_log)
			complain(first, NOT_THERE);
		(void) serve_others(others, may_log);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
		fluct_worker_wait(PGINVALID_SOCKET, MISSING_INTERVAL);
	}
}

static void
connect_first(void)
{
	const char *first;

	(void) read_list(&first);
	while (first == NULL)
	{
		fluct_worker_wait(PGINVALID_SOCKET, -1);
		(void) read_list(&first);
	}
	if (fluct_shared->connecting)
		wait_for_first();
	strlcpy(self->name, first, NAMEDATALEN);
	while (is_served_by_another(self->name))
	{
		fluct_shmem_wake_launchers();
		fluct_worker_wait(PGINVALID_SOCKET, HANDOVER_INTERVAL);
		check_mine();
	}
	fluct_shared->connecting = true;
	connect_to(self->name);
	fluct_shared->connecting = false;
}

const char *
fluct_databases_connect(int number)
{
	attach(number);
	if (is_first())
		connect_first();
	else
	{
		check_mine();
		connect_to(self->name);
	}
	fluct_worker_pin_settings();
	return self->name;
}

long
fluct_databases_look(void)
{
	const char *first;
	List	   *others;

	check_mine();
	if (!is_first())
		return LOOK_INTERVAL;
	others = read_list(&first);
	return serve_others(others, may_complain());
}

/* ----- turns ----- */

/* The caller holds the lock. */
static bool
is_my_turn(void)
{
	int			left = fluct_max_workers;

	for (int i = 0; i < FLUCT_MAX_SLOTS; i++)
		left -= fluct_shared->slots[i].in_use;
	for (int i = 0; i < FLUCT_MAX_LAUNCHERS; i++)
	{
		const FluctLauncher *one = &fluct_shared->launchers[i];

		left -= one != self && one->waiting &&
			(one->served_at < self->served_at ||
			 (one->served_at == self->served_at && one < self));
	}
	return left > 0;
}

FluctSlot *
fluct_databases_take_turn(const char *stream, int worker, Oid owner)
{
	FluctSlot  *slot = NULL;

	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	if (is_my_turn())
		slot = fluct_shmem_reserve(MyDatabaseId, stream, worker, owner);
	if (slot)
		self->served_at = GetCurrentTimestamp();
	LWLockRelease(fluct_shared->lock);
	return slot;
}

void
fluct_databases_note_wanted(int wanted)
{
	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	self->wanted = wanted;
	LWLockRelease(fluct_shared->lock);
}

void
fluct_databases_note_waiting(bool waiting)
{
	bool		was_waiting = self->waiting;

	LWLockAcquire(fluct_shared->lock, LW_EXCLUSIVE);
	self->waiting = waiting;
	LWLockRelease(fluct_shared->lock);
	if (was_waiting && !waiting)
		fluct_shmem_wake_launchers();
}

int
fluct_databases_wanted(void)
{
	int			wanted = 0;

	LWLockAcquire(fluct_shared->lock, LW_SHARED);
	for (int i = 0; i < FLUCT_MAX_LAUNCHERS; i++)
		wanted += fluct_shared->launchers[i].wanted;
	LWLockRelease(fluct_shared->lock);
	return wanted;
}

int
fluct_databases_launchers(void)
{
	int			launchers = 0;

	LWLockAcquire(fluct_shared->lock, LW_SHARED);
	for (int i = 0; i < FLUCT_MAX_LAUNCHERS; i++)
		launchers += fluct_shared->launchers[i].in_use;
	LWLockRelease(fluct_shared->lock);
	return launchers;
}
