/*-------------------------------------------------------------------------
 *
 * status.c
 *	  What the running workers report, for views and for calls that wait.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/text.h"
#include "pg/argument.h"
#include "pg/compat.h"
#include "pg/guc.h"
#include "process/announce.h"
#include "process/shmem.h"

#define LOG_DETAIL_LEN		400

PG_FUNCTION_INFO_V1(fluct_announce_change);
PG_FUNCTION_INFO_V1(fluct_sql_announce_event);
PG_FUNCTION_INFO_V1(fluct_preloaded);
PG_FUNCTION_INFO_V1(fluct_served);
PG_FUNCTION_INFO_V1(fluct_launch_obstacle);
PG_FUNCTION_INFO_V1(fluct_live);
PG_FUNCTION_INFO_V1(fluct_sync);
PG_FUNCTION_INFO_V1(fluct_sync_done);
PG_FUNCTION_INFO_V1(fluct_await_progress);

/* ----- waking ----- */

/* _announce_change(message, detail text): without a message, no line. */
Datum
fluct_announce_change(PG_FUNCTION_ARGS)
{
	char		detail[LOG_DETAIL_LEN] = "";

	if (!PG_ARGISNULL(1))
		fluct_text_printable(detail, sizeof(detail),
							 text_to_cstring(PG_GETARG_TEXT_PP(1)));
	fluct_announce_wake();
	if (PG_ARGISNULL(0))
		PG_RETURN_VOID();
	fluct_announce_line(text_to_cstring(PG_GETARG_TEXT_PP(0)),
						detail[0] ? detail : NULL);
	PG_RETURN_VOID();
}

/* _announce_event(kind, name, state, as_of): state may be NULL. */
Datum
fluct_sql_announce_event(PG_FUNCTION_ARGS)
{
	fluct_argument_require(fcinfo, 0, "kind");
	fluct_argument_require(fcinfo, 1, "name");
	fluct_argument_require(fcinfo, 3, "as_of");
	fluct_announce_event(text_to_cstring(PG_GETARG_TEXT_PP(0)),
						 text_to_cstring(PG_GETARG_TEXT_PP(1)),
						 PG_ARGISNULL(2) ? NULL :
						 text_to_cstring(PG_GETARG_TEXT_PP(2)),
						 PG_GETARG_TIMESTAMPTZ(3));
	PG_RETURN_VOID();
}

/* Whether fluct is in shared_preload_libraries. */
Datum
fluct_preloaded(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(fluct_shared != NULL);
}

/* Whether this database is in fluct.database. */
Datum
fluct_served(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(fluct_guc_has_database(get_database_name(MyDatabaseId)));
}

/* Why no streams of this database run; NULL where they do. */
Datum
fluct_launch_obstacle(PG_FUNCTION_ARGS)
{
	if (fluct_shared == NULL)
		PG_RETURN_TEXT_P(cstring_to_text("not_preloaded"));
	if (!fluct_guc_has_database(get_database_name(MyDatabaseId)))
		PG_RETURN_TEXT_P(cstring_to_text("database_not_listed"));
	PG_RETURN_NULL();
}

/* ----- live workers ----- */

/* _live(): the workers of this database's streams, with their states. */
Datum
fluct_live(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (fluct_shared == NULL)
		return (Datum) 0;
	LWLockAcquire(fluct_shared->lock, LW_SHARED);
	for (int i = 0; i < FLUCT_MAX_SLOTS; i++)
	{
		FluctSlot  *slot = &fluct_shared->slots[i];
		Datum		values[10];
		bool		nulls[10] = {0};

		if (!slot->in_use || slot->database != MyDatabaseId)
			continue;
		values[0] = CStringGetTextDatum(slot->stream);
		values[1] = Int32GetDatum(slot->worker);
		values[2] = Int32GetDatum(slot->pid);
		nulls[2] = slot->pid == 0;
		values[3] = CStringGetTextDatum(slot->state);
		values[4] = CStringGetTextDatum(slot->reason);
		nulls[4] = slot->reason[0] == '\0';
		values[5] = CStringGetTextDatum(slot->detail);
		nulls[5] = slot->detail[0] == '\0';
		values[6] = TimestampTzGetDatum(slot->since);
		values[7] = TimestampTzGetDatum(slot->held_at);
		nulls[7] = slot->held_at == 0;
		values[8] = Int64GetDatum(pg_atomic_read_u64(&slot->lag));
		values[9] = Int64GetDatum(pg_atomic_read_u64(&slot->rate));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}
	LWLockRelease(fluct_shared->lock);
	return (Datum) 0;
}

/* ----- wait_for_stream ----- */

/*
 * _sync(stream text, worker int): asks the worker to note where Kafka's log
 * ends now; a ticket for _sync_done, NULL while the worker does not run.
 */
Datum
fluct_sync(PG_FUNCTION_ARGS)
{
	char	   *stream = text_to_cstring(PG_GETARG_TEXT_PP(0));
	FluctSlot  *slot = NULL;
	uint64		ticket = 0;

	if (fluct_shared == NULL)
		PG_RETURN_NULL();
	LWLockAcquire(fluct_shared->lock, LW_SHARED);
	slot = fluct_shmem_find(MyDatabaseId, stream, PG_GETARG_INT32(1));
	if (slot && slot->proc)
	{
		ticket = pg_atomic_add_fetch_u64(&slot->sync_wanted, 1);
		SetLatch(&slot->proc->procLatch);
	}
	LWLockRelease(fluct_shared->lock);
	if (ticket == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64((int64) ticket);
}

/* _sync_done(stream, worker, ticket): NULL if that worker no longer runs. */
Datum
fluct_sync_done(PG_FUNCTION_ARGS)
{
	char	   *stream = text_to_cstring(PG_GETARG_TEXT_PP(0));
	FluctSlot  *slot;
	bool		done = false;
	bool		gone;

	if (fluct_shared == NULL)
		PG_RETURN_NULL();
	LWLockAcquire(fluct_shared->lock, LW_SHARED);
	slot = fluct_shmem_find(MyDatabaseId, stream, PG_GETARG_INT32(1));

	/* a new worker in the slot has drawn no ticket as high as ours */
	gone = slot == NULL || slot->proc == NULL ||
		pg_atomic_read_u64(&slot->sync_wanted) < (uint64) PG_GETARG_INT64(2);
	if (!gone)
		done = pg_atomic_read_u64(&slot->sync_done) >=
			(uint64) PG_GETARG_INT64(2);
	LWLockRelease(fluct_shared->lock);
	if (gone)
		PG_RETURN_NULL();
	PG_RETURN_BOOL(done);
}

/*
 * _await_progress(ms int): waits for a worker to report something, at most ms;
 * 0 ends the wait.
 *
 * The caller looks, calls this, and looks again.  The first call only joins
 * the queue of the condition variable, which is how those work, and the caller
 * stays in it until the end, so that nothing reported while it looks is lost.
 * Leaving the queue after each call would make each the first one, and the
 * caller's loop a busy one.
 */
Datum
fluct_await_progress(PG_FUNCTION_ARGS)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = fluct_compat_wait_event("FluctProgress");
	if (PG_GETARG_INT32(0) == 0)
		ConditionVariableCancelSleep();
	else if (fluct_shared)
		ConditionVariableTimedSleep(&fluct_shared->progress,
									PG_GETARG_INT32(0), wait_event);
	else
		DirectFunctionCall1(pg_sleep, Float8GetDatum(PG_GETARG_INT32(0) / 1000.0));
	PG_RETURN_VOID();
}
