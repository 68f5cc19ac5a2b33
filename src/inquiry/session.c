/*-------------------------------------------------------------------------
 *
 * session.c
 *	  The session's side of an inquiry.
 *
 * Only a background worker owns a Kafka client: its threads would not survive
 * a session's end.  So the session starts a dynamic worker, which needs no
 * preload, and reads its messages from a queue in dynamic shared memory.
 * Errors and notices of the worker come over the same queue, and are thrown
 * again here.
 *
 * The wait can be cancelled.  However it ends, the worker is told to end; and
 * a worker whose session has ended is told by the session's exit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "libpq/pqmq.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "bookkeeping/owner.h"
#include "bookkeeping/streams.h"
#include "inquiry/session.h"
#include "pg/compat.h"

#define QUEUE_SIZE		65536
#define LOOK_INTERVAL	1000	/* ms; the latch is set when there is news */
#define LONGEST_SILENCE	20000	/* ms without a message of the worker's */

PG_FUNCTION_INFO_V1(fluct_inquire);

/* ----- the worker ----- */

static BackgroundWorkerHandle *
start_worker(const FluctInquiry *inquiry, const char *type,
			 dsm_handle segment)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "fluct", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "FluctInquiryMain", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s %s", type, inquiry->stream);
	strlcpy(worker.bgw_type, type, BGW_MAXLEN);
	worker.bgw_main_arg = UInt32GetDatum(segment);
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker is free to query Kafka"),
				 errdetail("max_worker_processes is %d, and all of them are in use.",
						   max_worker_processes),
				 errhint("Raise max_worker_processes in postgresql.conf and restart the server, or try again later.")));
	return handle;
}

void
fluct_session_begin(const FluctInquiry *inquiry, const char *type,
					FluctSession *session)
{
	char	   *place;
	shm_mq	   *queue;

	session->segment = dsm_create(FLUCT_INQUIRY_QUEUE + QUEUE_SIZE, 0);
	place = dsm_segment_address(session->segment);
	memcpy(place, inquiry, sizeof(FluctInquiry));
	queue = shm_mq_create(place + FLUCT_INQUIRY_QUEUE, QUEUE_SIZE);
	shm_mq_set_receiver(queue, MyProc);
	session->queue = shm_mq_attach(queue, session->segment, NULL);
	session->worker = start_worker(inquiry, type,
								   dsm_segment_handle(session->segment));
	shm_mq_set_handle(session->queue, session->worker);
}

void
fluct_session_stop(int code, Datum session)
{
	TerminateBackgroundWorker(((FluctSession *) DatumGetPointer(session))->worker);
}

void
fluct_session_end(FluctSession *session)
{
	dsm_detach(session->segment);
}

/* The kind of a message for the caller, or 0 when it was an error or notice. */
static int
take_message(const void *data, Size len, StringInfo message)
{
	ErrorData	error;
	int			kind;

	initStringInfo(message);
	appendBinaryStringInfo(message, data, len);
	kind = pq_getmsgbyte(message);
	if (kind != 'E' && kind != 'N')
		return kind;
	pq_parse_errornotice(message, &error);
	error.elevel = Min(error.elevel, ERROR);
	ThrowErrorData(&error);
	pfree(message->data);
	return 0;
}

static void
throw_silence(shm_mq_result result, long longest)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 result == SHM_MQ_DETACHED ?
			 errmsg("the worker that queries Kafka ended without an answer") :
			 errmsg("no answer from the worker that queries Kafka for %ld s",
					longest / 1000),
			 errhint("The server's log may say why.")));
}

int
fluct_session_next(FluctSession *session, long longest, StringInfo message)
{
	static uint32 wait_event = 0;
	TimestampTz heard = GetCurrentTimestamp();
	int			kind = 0;

	if (wait_event == 0)
		wait_event = fluct_compat_wait_event("FluctInquiry");
	while (kind == 0)
	{
		Size		len;
		void	   *data;
		shm_mq_result result;

		CHECK_FOR_INTERRUPTS();
		result = shm_mq_receive(session->queue, &len, &data, true);
		if (result == SHM_MQ_SUCCESS)
		{
			kind = take_message(data, len, message);
			heard = GetCurrentTimestamp();
			continue;
		}
		if (result == SHM_MQ_DETACHED ||
			(longest > 0 &&
			 TimestampDifferenceExceeds(heard, GetCurrentTimestamp(), longest)))
			throw_silence(result, longest);
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOOK_INTERVAL, wait_event);
		ResetLatch(MyLatch);
	}
	return kind;
}

/* ----- check, preview, seek and reconcile ----- */


static FluctInquiryKind
read_kind(const char *word)
{
	static const char *const words[] = {"check", "preview", "seek", "reconcile"};

	for (int i = 0; i < lengthof(words); i++)
		if (strcmp(word, words[i]) == 0)
			return (FluctInquiryKind) i;
	elog(ERROR, "unrecognized inquiry \"%s\"", word);
}

/* Whose session the worker is to have. */
static Oid
find_owner(const char *name)
{
	FluctStream *stream;
	Oid			role;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	stream = fluct_streams_find(name, CurrentMemoryContext);
	if (stream == NULL)
		elog(ERROR, "stream \"%s\" not found", name);
	role = stream->role;
	fluct_owner_require(psprintf("stream \"%s\"", stream->name),
						stream->owner, role, true);
	SPI_finish();
	return role;
}

static void
write_inquiry(FunctionCallInfo fcinfo, FluctInquiry *inquiry)
{
	memset(inquiry, 0, sizeof(FluctInquiry));
	inquiry->database = MyDatabaseId;
	strlcpy(inquiry->stream, text_to_cstring(PG_GETARG_TEXT_PP(0)),
			sizeof(inquiry->stream));
	inquiry->owner = find_owner(inquiry->stream);
	inquiry->kind = read_kind(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	inquiry->count = PG_GETARG_INT32(2);
	inquiry->has_start = !PG_ARGISNULL(3);
	if (inquiry->has_start &&
		strlcpy(inquiry->start_at, text_to_cstring(PG_GETARG_TEXT_PP(3)),
				FLUCT_INQUIRY_START_LEN) >= FLUCT_INQUIRY_START_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("start_at is longer than %d bytes",
						FLUCT_INQUIRY_START_LEN - 1)));
}

static void
keep_row(StringInfo message, ReturnSetInfo *rsinfo, int number)
{
	int			count = pq_getmsgint(message, 2);
	Datum	   *fields = palloc(sizeof(Datum) * count);
	bool	   *nulls = palloc(sizeof(bool) * count);
	int			lower = 1;
	Datum		values[2];
	bool		none[2] = {false, false};

	for (int i = 0; i < count; i++)
	{
		int			len = pq_getmsgint(message, 4);

		nulls[i] = len < 0;
		if (len >= 0)
			fields[i] = PointerGetDatum(cstring_to_text_with_len(pq_getmsgbytes(message, len),
																 len));
	}
	values[0] = Int32GetDatum(number);
	values[1] = PointerGetDatum(construct_md_array(fields, nulls, 1, &count,
												   &lower, TEXTOID, -1, false,
												   TYPALIGN_INT));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, none);
}

static void
receive_answer(FluctSession *session, ReturnSetInfo *rsinfo)
{
	StringInfoData message;
	int			number = 0;
	int			kind;

	do
	{
		kind = fluct_session_next(session, LONGEST_SILENCE, &message);
		if (kind == FLUCT_ANSWER_ROW)
			keep_row(&message, rsinfo, ++number);
		pfree(message.data);
	} while (kind != FLUCT_ANSWER_END);
}

/*
 * fluct._ask(stream text, question text, count int, start_at text)
 * RETURNS TABLE (number int, fields text[])
 *
 * question is check, preview, seek or reconcile.  Errors: those of the worker,
 * 53400 without a free background worker, 08006 without an answer.
 */
Datum
fluct_inquire(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FluctInquiry inquiry;
	FluctSession session;

	InitMaterializedSRF(fcinfo, 0);
	write_inquiry(fcinfo, &inquiry);
	fluct_session_begin(&inquiry, "fluct inquiry", &session);
	PG_ENSURE_ERROR_CLEANUP(fluct_session_stop, PointerGetDatum(&session));
	{
		receive_answer(&session, rsinfo);
	}
	PG_END_ENSURE_ERROR_CLEANUP(fluct_session_stop, PointerGetDatum(&session));
	fluct_session_end(&session);
	return (Datum) 0;
}
