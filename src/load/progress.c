/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  The progress of loads, for other sessions to see.
 *
 * A backend that loads has a slot in shared memory; without a preload there
 * are none, and nothing here has an effect.  The words in a slot change a few
 * times a load, under the lock; the counters change with each 64 KB, and need
 * none.  A slot is released when the load ends, at the latest with its
 * transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/text.h"
#include "load/progress.h"
#include "process/shmem.h"

/* Further loads at the same time work, but are not shown. */
#define MAX_LOADS		32
#define WORD_LEN		16
#define FILE_LEN		128

PG_FUNCTION_INFO_V1(fluct_begin_progress);
PG_FUNCTION_INFO_V1(fluct_progress);
PG_FUNCTION_INFO_V1(fluct_end_progress);
PG_FUNCTION_INFO_V1(fluct_loads);

typedef struct Load
{
	/* under the lock */
	pid_t		pid;			/* 0 = free */
	Oid			database;
	Oid			role;
	char		kind[WORD_LEN];
	char		phase[WORD_LEN];
	char		file[FILE_LEN];
	TimestampTz started;
	TimestampTz phase_started;

	/* written by the backend alone */
	pg_atomic_uint64 bytes_total;
	pg_atomic_uint64 bytes_done;
	pg_atomic_uint64 rows;
} Load;

typedef struct Loads
{
	LWLock	   *lock;
	Load		loads[MAX_LOADS];
} Loads;

static const char *const phases[] = {
	"waiting", "identifying", "checking", "reading", "storing rows"
};

static Loads *loads = NULL;
static Load *mine = NULL;

static void
attach(void *memory, LWLock *lock, bool found)
{
	loads = memory;
	if (found)
		return;
	loads->lock = lock;
	for (int i = 0; i < MAX_LOADS; i++)
	{
		pg_atomic_init_u64(&loads->loads[i].bytes_total, 0);
		pg_atomic_init_u64(&loads->loads[i].bytes_done, 0);
		pg_atomic_init_u64(&loads->loads[i].rows, 0);
	}
}

static void
leave(void)
{
	if (mine == NULL)
		return;
	LWLockAcquire(loads->lock, LW_EXCLUSIVE);
	mine->pid = 0;
	LWLockRelease(loads->lock);
	mine = NULL;
}

static void
after_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		leave();
}

void
fluct_progress_init(void)
{
	fluct_shmem_register("fluct loads", sizeof(Loads), attach);
	RegisterXactCallback(after_transaction, NULL);
}

/* Takes a free slot, if there is one.  The caller holds the lock. */
static void
take_slot(void)
{
	for (int i = 0; i < MAX_LOADS && mine == NULL; i++)
		if (loads->loads[i].pid == 0)
			mine = &loads->loads[i];
	if (mine == NULL)
		return;
	mine->pid = MyProcPid;
	mine->database = MyDatabaseId;
	mine->started = GetCurrentTimestamp();
	mine->file[0] = '\0';
}

static void
reset_counters(int64_t bytes_total)
{
	pg_atomic_write_u64(&mine->bytes_total, bytes_total);
	pg_atomic_write_u64(&mine->bytes_done, 0);
	pg_atomic_write_u64(&mine->rows, 0);
}

/* The caller holds the lock. */
static void
enter(const char *phase)
{
	strlcpy(mine->phase, phase, WORD_LEN);
	mine->phase_started = GetCurrentTimestamp();
}

/*
 * fluct._begin_progress(kind text, role oid): a load of this backend begins,
 * in its first phase.  For the extension's owner.
 */
Datum
fluct_begin_progress(PG_FUNCTION_ARGS)
{
	if (loads == NULL)
		PG_RETURN_VOID();
	LWLockAcquire(loads->lock, LW_EXCLUSIVE);
	take_slot();
	if (mine != NULL)
	{
		reset_counters(0);
		strlcpy(mine->kind, text_to_cstring(PG_GETARG_TEXT_PP(0)), WORD_LEN);
		mine->role = PG_GETARG_OID(1);
		enter(phases[0]);
	}
	LWLockRelease(loads->lock);
	PG_RETURN_VOID();
}

/*
 * fluct._progress(phase text): the load of this backend, if there is one,
 * enters that phase.  Whoever loads may call it, so it takes the words of the
 * list only.
 */
Datum
fluct_progress(PG_FUNCTION_ARGS)
{
	char	   *phase = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (mine == NULL)
		PG_RETURN_VOID();
	for (int i = 0; i < lengthof(phases); i++)
	{
		if (strcmp(phases[i], phase) != 0)
			continue;
		LWLockAcquire(loads->lock, LW_EXCLUSIVE);
		enter(phases[i]);
		LWLockRelease(loads->lock);
	}
	PG_RETURN_VOID();
}

/* fluct._end_progress(): the load of this backend has ended. */
Datum
fluct_end_progress(PG_FUNCTION_ARGS)
{
	leave();
	PG_RETURN_VOID();
}

/* The phase reads this file from its beginning. */
void
fluct_progress_open(const char *file, int64_t bytes)
{
	if (mine == NULL)
		return;
	LWLockAcquire(loads->lock, LW_EXCLUSIVE);
	fluct_text_printable(mine->file, FILE_LEN, file);
	LWLockRelease(loads->lock);
	reset_counters(bytes);
}

void
fluct_progress_bytes(int64_t n)
{
	if (mine != NULL)
		pg_atomic_write_u64(&mine->bytes_done,
							pg_atomic_read_u64(&mine->bytes_done) + n);
}

void
fluct_progress_rows(int64_t n)
{
	if (mine != NULL)
		pg_atomic_write_u64(&mine->rows, pg_atomic_read_u64(&mine->rows) + n);
}

/*
 * fluct._loads(): pid, role, kind, phase, file, started, phase_started,
 * bytes_total, bytes_done, rows of each load in this database.
 */
Datum
fluct_loads(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (loads == NULL)
		return (Datum) 0;
	for (int i = 0; i < MAX_LOADS; i++)
	{
		Load		load;
		Datum		values[10];
		bool		nulls[10] = {0};

		LWLockAcquire(loads->lock, LW_SHARED);
		load = loads->loads[i];
		LWLockRelease(loads->lock);
		if (load.pid == 0 || load.database != MyDatabaseId)
			continue;
		values[0] = Int32GetDatum(load.pid);
		values[1] = ObjectIdGetDatum(load.role);
		values[2] = CStringGetTextDatum(load.kind);
		values[3] = CStringGetTextDatum(load.phase);
		values[4] = CStringGetTextDatum(load.file);
		values[5] = TimestampTzGetDatum(load.started);
		values[6] = TimestampTzGetDatum(load.phase_started);
		values[7] = Int64GetDatum(pg_atomic_read_u64(&load.bytes_total));
		values[8] = Int64GetDatum(pg_atomic_read_u64(&load.bytes_done));
		values[9] = Int64GetDatum(pg_atomic_read_u64(&load.rows));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}
