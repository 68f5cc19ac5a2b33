/*-------------------------------------------------------------------------
 *
 * ask.c
 *	  A session asks a worker about a stream.
 *
 * Only a background worker owns a Kafka client: its threads would not survive
 * a session's end.  So the session starts a dynamic worker, which needs no
 * preload, and reads the answer from a queue in dynamic shared memory.
 * Errors and notices of the worker come over the same queue, and are thrown
 * here as they were there.
 *
 * The wait can be cancelled, and has an end: a worker that is at work for long
 * says so now and then.  However the wait ends, the worker is told to.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "libpq/pqmq.h"
#include "look.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define QUEUE_SIZE		65536
#define LONGEST_SILENCE	20000	/* ms without a word of the worker */
#define LOOK_INTERVAL	1000	/* ms; the latch is set when there is news */

PG_FUNCTION_INFO_V1(fluct_ask);

/* ----- asking ----- */

static FluctQuestion
read_question(const char *word)
{
	static const char *const words[] = {"check", "preview", "seek", "reconcile"};

	for (int i = 0; i < lengthof(words); i++)
		if (strcmp(word, words[i]) == 0)
			return (FluctQuestion) i;
	elog(ERROR, "there is no question \"%s\"", word);
}

static void
write_inquiry(FunctionCallInfo fcinfo, FluctInquiry *inquiry)
{
	memset(inquiry, 0, sizeof(FluctInquiry));
	inquiry->database = MyDatabaseId;
	strlcpy(inquiry->stream, text_to_cstring(PG_GETARG_TEXT_PP(0)),
			sizeof(inquiry->stream));
	inquiry->question = read_question(text_to_cstring(PG_GETARG_TEXT_PP(1)));
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

static BackgroundWorkerHandle *
start_worker(const FluctInquiry *inquiry, dsm_handle segment)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "fluct", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "FluctAskMain", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "fluct inquiry %s",
			 inquiry->stream);
	strlcpy(worker.bgw_type, "fluct inquiry", BGW_MAXLEN);
	worker.bgw_main_arg = UInt32GetDatum(segment);
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("there is no free background worker to ask Kafka"),
				 errdetail("max_worker_processes is %d, and all of them are in use.",
						   max_worker_processes),
				 errhint("Raise max_worker_processes in postgresql.conf and restart the server, or try again later.")));
	return handle;
}

static void
stop_worker(int code, Datum handle)
{
	TerminateBackgroundWorker((BackgroundWorkerHandle *) DatumGetPointer(handle));
}

/* ----- the answer ----- */

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

/* Takes one message of the worker; true at the end of the answer. */
static bool
take_message(const void *data, Size len, ReturnSetInfo *rsinfo, int *number)
{
	StringInfoData message;
	ErrorData	error;
	int			kind;

	initStringInfo(&message);
	appendBinaryStringInfo(&message, data, len);
	kind = pq_getmsgbyte(&message);
	switch (kind)
	{
		case FLUCT_ANSWER_ROW:
			keep_row(&message, rsinfo, ++*number);
			break;
		case FLUCT_ANSWER_END:
			return true;
		case 'E':
		case 'N':
			pq_parse_errornotice(&message, &error);
			error.elevel = Min(error.elevel, ERROR);
			ThrowErrorData(&error);
			break;
	}
	pfree(message.data);
	return false;
}

static void
throw_no_answer(shm_mq_result result)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 result == SHM_MQ_DETACHED ?
			 errmsg("the worker that asks Kafka ended without an answer") :
			 errmsg("the worker that asks Kafka said nothing for %d s",
					LONGEST_SILENCE / 1000),
			 errhint("The server's log may say why.")));
}

static void
receive_answer(shm_mq_handle *queue, ReturnSetInfo *rsinfo)
{
	static uint32 wait_event = 0;
	TimestampTz heard = GetCurrentTimestamp();
	int			number = 0;
	bool		done = false;

	if (wait_event == 0)
		wait_event = fluct_compat_wait_event("FluctInquiry");
	while (!done)
	{
		Size		len;
		void	   *data;
		shm_mq_result result;

		CHECK_FOR_INTERRUPTS();
		result = shm_mq_receive(queue, &len, &data, true);
		if (result == SHM_MQ_SUCCESS)
		{
			done = take_message(data, len, rsinfo, &number);
			heard = GetCurrentTimestamp();
			continue;
		}
		if (result == SHM_MQ_DETACHED ||
			TimestampDifferenceExceeds(heard, GetCurrentTimestamp(),
									   LONGEST_SILENCE))
			throw_no_answer(result);
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOOK_INTERVAL, wait_event);
		ResetLatch(MyLatch);
	}
}

/*
 * fluct._ask(stream text, question text, count int, start_at text)
 * RETURNS TABLE (number int, fields text[])
 *
 * question is check, preview, seek or reconcile.  Errors: those of the worker, 53400 without a
 * free background worker, 08006 without an answer.
 */
Datum
fluct_ask(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	dsm_segment *segment;
	FluctInquiry *inquiry;
	shm_mq	   *queue;
	shm_mq_handle *receiver;
	BackgroundWorkerHandle *worker;

	InitMaterializedSRF(fcinfo, 0);
	segment = dsm_create(FLUCT_INQUIRY_QUEUE + QUEUE_SIZE, 0);
	inquiry = dsm_segment_address(segment);
	write_inquiry(fcinfo, inquiry);
	queue = shm_mq_create((char *) inquiry + FLUCT_INQUIRY_QUEUE, QUEUE_SIZE);
	shm_mq_set_receiver(queue, MyProc);
	receiver = shm_mq_attach(queue, segment, NULL);
	worker = start_worker(inquiry, dsm_segment_handle(segment));
	shm_mq_set_handle(receiver, worker);
	PG_ENSURE_ERROR_CLEANUP(stop_worker, PointerGetDatum(worker));
	{
		receive_answer(receiver, rsinfo);
	}
	PG_END_ENSURE_ERROR_CLEANUP(stop_worker, PointerGetDatum(worker));
	dsm_detach(segment);
	return (Datum) 0;
}
