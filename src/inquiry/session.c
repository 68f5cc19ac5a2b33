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
 * Nobody starves others.  Workers come out of max_worker_processes, which the
 * streams need, too.
 *
 * - A role, as it logged in, has two places, which are locks: a session has one
 *	 for as long as it asks.  A lock needs no preload, and ends with whatever
 *	 ends the session's transaction.  SQL can neither take it nor give it back:
 *	 its advisory locks have other classes.
 * - One starts only while more workers are free than there are streams that are
 *	 to run and do not (the launchers say how many, if there are any), and one
 *	 more.  Two sessions may see the same free worker; that is what the one
 *	 more is for, and at the end it is the postmaster that refuses.  Workers in
 *	 use are counted by their processes, so that one which is cancelled and has
 *	 not ended yet counts, and one that is registered and has not begun does not.
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
#include "replication/walsender.h"
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
#include "pg/argument.h"
#include "pg/compat.h"
#include "pg/lock.h"
#include "process/shmem.h"

#define QUEUE_SIZE		65536
#define PLACES_OF_ROLE	2
#define LOOK_INTERVAL	1000	/* ms; the latch is set when there is news */
#define LONGEST_SILENCE	20000	/* ms without a message of the worker's */
#define LONGEST_CHECK	8000	/* the same, where the answer has 10 s in all */

PG_FUNCTION_INFO_V1(fluct_inquire);
PG_FUNCTION_INFO_V1(fluct_sample);

/* ----- the worker ----- */

/* ----- places ----- */

static void
take_place(FluctSession *session)
{
	session->role = GetSessionUserId();
	for (session->place = 0; session->place < PLACES_OF_ROLE; session->place++)
		if (fluct_lock_try_place(session->role, session->place))
			return;
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("role \"%s\" is already querying Kafka in %d sessions",
					GetUserNameFromId(GetSessionUserId(), false),
					PLACES_OF_ROLE),
			 errhint("Wait until one of them has its answer, or cancel it.")));
}

/*
 * Free slots of background workers, whose processes come right before the
 * walsenders'.
 */
static int
count_free(void)
{
	int			first = MaxBackends - max_wal_senders - max_worker_processes;
	int			count = 0;

	for (int i = 0; i < max_worker_processes; i++)
		if (ProcGlobal->allProcs[first + i].procLatch.owner_pid == 0)
			count++;
	return count;
}

static void
check_free(void)
{
	int			count = count_free();
	int			missing = fluct_shmem_missing();

	if (count <= missing + 1)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker is free to query Kafka"),
				 errdetail("max_worker_processes is %d; %d of them are free, and %d are kept for streams.",
						   max_worker_processes, count, missing + 1),
				 errhint("Raise max_worker_processes in postgresql.conf and restart the server, or try again later.")));
}

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

	take_place(session);
	check_free();
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
	fluct_lock_leave_place(session->role, session->place);
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
	stream = fluct_streams_get(name, CurrentMemoryContext);
	role = stream->role;
	fluct_owner_require(psprintf("stream \"%s\"", stream->name),
						stream->owner, role, true);
	SPI_finish();
	return role;
}

static void
write_inquiry(FunctionCallInfo fcinfo, FluctInquiry *inquiry)
{
	fluct_argument_require(fcinfo, 0, "stream");
	fluct_argument_require(fcinfo, 1, "question");
	fluct_argument_require(fcinfo, 2, "count");
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
receive_answer(FluctSession *session, long longest, ReturnSetInfo *rsinfo)
{
	StringInfoData message;
	int			number = 0;
	int			kind;

	do
	{
		kind = fluct_session_next(session, longest, &message);
		if (kind == FLUCT_ANSWER_ROW)
			keep_row(&message, rsinfo, ++number);
		pfree(message.data);
	} while (kind != FLUCT_ANSWER_END);
}

/* Asks, and puts what is answered into the result. */
static Datum
ask(const FluctInquiry *inquiry, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FluctSession session;

	InitMaterializedSRF(fcinfo, 0);
	fluct_session_begin(inquiry, "fluct inquiry", &session);
	PG_ENSURE_ERROR_CLEANUP(fluct_session_stop, PointerGetDatum(&session));
	{
		receive_answer(&session, inquiry->kind == FLUCT_INQUIRY_CHECK ?
					   LONGEST_CHECK : LONGEST_SILENCE, rsinfo);
	}
	PG_END_ENSURE_ERROR_CLEANUP(fluct_session_stop, PointerGetDatum(&session));
	fluct_session_end(&session);
	return (Datum) 0;
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
	FluctInquiry inquiry;

	write_inquiry(fcinfo, &inquiry);
	return ask(&inquiry, fcinfo);
}

/*
 * fluct._sample(server text, topic text, count int, owner oid)
 * RETURNS TABLE (number int, fields text[])
 *
 * Errors as _ask().
 */
Datum
fluct_sample(PG_FUNCTION_ARGS)
{
	FluctInquiry inquiry = {0};

	inquiry.database = MyDatabaseId;
	inquiry.owner = PG_GETARG_OID(3);
	inquiry.kind = FLUCT_INQUIRY_SAMPLE;
	strlcpy(inquiry.stream, text_to_cstring(PG_GETARG_TEXT_PP(0)),
			sizeof(inquiry.stream));
	if (strlcpy(inquiry.start_at, text_to_cstring(PG_GETARG_TEXT_PP(1)),
				FLUCT_INQUIRY_START_LEN) >= FLUCT_INQUIRY_START_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the list of topics is longer than %d bytes",
						FLUCT_INQUIRY_START_LEN - 1)));
	inquiry.count = PG_GETARG_INT32(2);
	return ask(&inquiry, fcinfo);
}
