/*-------------------------------------------------------------------------
 *
 * session.c
 *	  A worker that does something for a session, and reports to it.
 *
 * Only a background worker owns a Kafka client: its threads would not survive
 * a session's end.  So the session starts a dynamic worker, which needs no
 * preload, and reads its messages from a queue in dynamic shared memory.
 * Errors and notices of the worker come over the same queue, and are thrown
 * here as they were there.
 *
 * The wait can be cancelled.  However it ends, the worker is told to end; and
 * a worker whose session is gone ends by itself, since the session's exit
 * tells it, too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "libpq/pqformat.h"
#include "libpq/pqmq.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "inquiry/session.h"
#include "pg/compat.h"

#define QUEUE_SIZE		65536
#define LOOK_INTERVAL	1000	/* ms; the latch is set when there is news */

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
	strlcpy(worker.bgw_function_name, "FluctAskMain", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s %s", type, inquiry->stream);
	strlcpy(worker.bgw_type, type, BGW_MAXLEN);
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

void
fluct_errand_start(const FluctInquiry *inquiry, const char *type,
				   FluctErrand *errand)
{
	char	   *place;
	shm_mq	   *queue;

	errand->segment = dsm_create(FLUCT_INQUIRY_QUEUE + QUEUE_SIZE, 0);
	place = dsm_segment_address(errand->segment);
	memcpy(place, inquiry, sizeof(FluctInquiry));
	queue = shm_mq_create(place + FLUCT_INQUIRY_QUEUE, QUEUE_SIZE);
	shm_mq_set_receiver(queue, MyProc);
	errand->queue = shm_mq_attach(queue, errand->segment, NULL);
	errand->worker = start_worker(inquiry, type,
								  dsm_segment_handle(errand->segment));
	shm_mq_set_handle(errand->queue, errand->worker);
}

void
fluct_errand_stop(int code, Datum errand)
{
	TerminateBackgroundWorker(((FluctErrand *) DatumGetPointer(errand))->worker);
}

void
fluct_errand_end(FluctErrand *errand)
{
	dsm_detach(errand->segment);
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
			 errmsg("the worker that asks Kafka ended without an answer") :
			 errmsg("the worker that asks Kafka said nothing for %ld s",
					longest / 1000),
			 errhint("The server's log may say why.")));
}

int
fluct_errand_next(FluctErrand *errand, long longest, StringInfo message)
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
		result = shm_mq_receive(errand->queue, &len, &data, true);
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
