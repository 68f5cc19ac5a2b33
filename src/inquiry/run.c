/*-------------------------------------------------------------------------
 *
 * run.c
 *	  run_stream: a stream that runs while its session watches.
 *
 * It is a procedure, so that no snapshot is held while it lasts: the rows that
 * a batch leaves behind (the offsets are updated by each) can be cleaned up,
 * however long somebody watches.  What it does with the rights of the
 * extension's owner is in an SQL function, which checks the caller.
 *
 * The session holds the lock that lets one session run a stream at a time: no
 * code of the stream's owner runs in its transaction, which lasts as long as
 * the call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "inquiry/session.h"
#include "pg/argument.h"
#include "pg/compat.h"
#include "pg/lock.h"
#include "pg/procedure.h"
#include "pg/query.h"

/* ms: for a session that was cancelled to release the stream */
#define TURN_TIMEOUT		3000
#define TURN_INTERVAL		100

PG_FUNCTION_INFO_V1(fluct_run_stream);

/* One session at a time; one that was just cancelled may still be ending. */
static void
take_turn(const char *stream)
{
	TimestampTz begin = GetCurrentTimestamp();

	while (!fluct_lock_try(FLUCT_LOCK_RUN, stream))
	{
		if (TimestampDifferenceExceeds(begin, GetCurrentTimestamp(),
									   TURN_TIMEOUT))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("stream \"%s\" is being run by another session",
							stream)));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 TURN_INTERVAL, fluct_compat_wait_event("FluctInquiry"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Runs the stream until the end, or until another worker has to go on. */
static bool
run_once(FluctInquiry *inquiry)
{
	FluctSession session;
	StringInfoData message;
	int			kind = 0;

	fluct_session_begin(inquiry, "fluct run", &session);
	PG_ENSURE_ERROR_CLEANUP(fluct_session_stop, PointerGetDatum(&session));
	{
		kind = fluct_session_next(&session, 0, &message);
	}
	PG_END_ENSURE_ERROR_CLEANUP(fluct_session_stop, PointerGetDatum(&session));
	if (kind == FLUCT_RUN_AGAIN)
		pq_copymsgbytes(&message, (char *) &inquiry->watch, sizeof(FluctWatch));
	fluct_session_end(&session);
	return kind == FLUCT_RUN_AGAIN;
}

/*
 * fluct.run_stream(name text, max_batches int, until_caught_up boolean)
 *
 * Errors: undefined_object, insufficient_privilege, 55000 when the stream is
 * started or fails, 55006 when another session or worker has it, 53400
 * without a free background worker, 25001 in a transaction block.
 */
Datum
fluct_run_stream(PG_FUNCTION_ARGS)
{
	FluctInquiry inquiry = {0};
	FluctQuery	query = {0};
	bool		null;

	fluct_argument_require(fcinfo, 0, "stream name");
	fluct_procedure_connect(fcinfo, "run_stream");
	inquiry.database = MyDatabaseId;
	inquiry.kind = FLUCT_INQUIRY_RUN;
	inquiry.watch.max_batches = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
	inquiry.watch.until_caught_up = PG_ARGISNULL(2) || PG_GETARG_BOOL(2);
	if (inquiry.watch.max_batches < (PG_ARGISNULL(1) ? 0 : 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_batches must be at least 1"),
				 errhint("NULL means no limit.")));
	fluct_query_add(&query, TEXTOID, PG_GETARG_DATUM(0), false);
	fluct_query_run(&query, "SELECT fluct._begin_run($1)");
	inquiry.owner = DatumGetObjectId(fluct_query_field(0, 1, &null));
	strlcpy(inquiry.stream, text_to_cstring(PG_GETARG_TEXT_PP(0)),
			sizeof(inquiry.stream));
	SPI_commit();
	take_turn(inquiry.stream);
	while (run_once(&inquiry))
		CHECK_FOR_INTERRUPTS();
	SPI_finish();
	return (Datum) 0;
}
