/*-------------------------------------------------------------------------
 *
 * run.c
 *	  Procedures that work on a stream for a session, and commit.
 *
 * They are C and not SQL so that a transaction block is refused before
 * anything is done, and so that no snapshot is held while they last: the rows
 * that a batch leaves behind (the offsets are updated by each) can be cleaned
 * up, however long somebody watches.  What they do with the rights of the
 * extension's owner is in SQL functions, which check the caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "inquiry/session.h"
#include "pg/query.h"

PG_FUNCTION_INFO_V1(fluct_run_stream);
PG_FUNCTION_INFO_V1(fluct_reprocess_stream);

/* Begins a procedure that commits. */
static void
connect_to_commit(FunctionCallInfo fcinfo, const char *name)
{
	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s can't run inside a transaction block or a function",
						name),
				 errdetail("It commits as it goes."),
				 errhint("COMMIT first.")));
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

static void
refuse_null_name(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("which stream? its name is NULL")));
}

/* ----- run_stream ----- */

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

	refuse_null_name(fcinfo);
	connect_to_commit(fcinfo, "run_stream");
	inquiry.database = MyDatabaseId;
	inquiry.kind = FLUCT_INQUIRY_RUN;
	inquiry.watch.max_batches = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
	inquiry.watch.until_caught_up = PG_ARGISNULL(2) || PG_GETARG_BOOL(2);
	if (inquiry.watch.max_batches < (PG_ARGISNULL(1) ? 0 : 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_batches is at least 1, or NULL for no limit")));
	fluct_query_add(&query, TEXTOID, PG_GETARG_DATUM(0), false);
	fluct_query_run(&query, "SELECT fluct._begin_run($1)");
	strlcpy(inquiry.stream,
			fluct_query_field_text(CurrentMemoryContext, 0, 1),
			sizeof(inquiry.stream));
	SPI_commit();
	while (run_once(&inquiry))
		CHECK_FOR_INTERRUPTS();
	SPI_finish();
	return (Datum) 0;
}

/* ----- reprocess_stream ----- */

/*
 * fluct.reprocess_stream(name text, since timestamptz, until timestamptz,
 *						  force boolean)
 *
 * One transaction a chunk.  What has been done is a jsonb that each chunk
 * takes and gives back; NULL at the end.
 */
Datum
fluct_reprocess_stream(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID};
	FluctQuery	query = {0};
	bool		done = false;

	refuse_null_name(fcinfo);
	connect_to_commit(fcinfo, "reprocess_stream");
	for (int i = 0; i < lengthof(types); i++)
		fluct_query_add(&query, types[i], PG_GETARG_DATUM(i), PG_ARGISNULL(i));
	fluct_query_add(&query, JSONBOID, (Datum) 0, true);
	while (!done)
	{
		bool		null;
		Datum		progress;

		CHECK_FOR_INTERRUPTS();
		fluct_query_run(&query,
						"SELECT fluct._reprocess_chunk($1, $2, $3, $4, $5)");
		progress = fluct_query_field(0, 1, &null);
		done = null;
		if (!done)
		{
			query.values[4] = PointerGetDatum(DatumGetJsonbPCopy(progress));
			query.nulls[4] = ' ';
		}
		SPI_freetuptable(SPI_tuptable);
		SPI_commit();
	}
	SPI_finish();
	return (Datum) 0;
}
