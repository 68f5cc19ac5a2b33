/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The worker that answers a session's inquiry about a stream.
 *
 * It connects as the stream's worker does, with a session of the owner's, asks
 * Kafka, writes nothing, moves nothing, and ends.  Or it is the stream's worker
 * itself, for a session that watches (foreground.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "libpq/pqmq.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "utils/memutils.h"

#include "bookkeeping/streams.h"
#include "inquiry/answer.h"
#include "inquiry/check.h"
#include "inquiry/preview.h"
#include "inquiry/reconcile.h"
#include "inquiry/sample.h"
#include "inquiry/seek.h"
#include "inquiry/topic.h"
#include "inquiry/worker.h"
#include "kafka/connection.h"
#include "process/worker.h"
#include "stream/foreground.h"

/* Everything that this process says goes to the session from now on. */
static const FluctInquiry *
attach(dsm_handle handle)
{
	dsm_segment *segment = dsm_attach(handle);
	FluctInquiry *inquiry;
	shm_mq	   *queue;

	if (segment == NULL)
		proc_exit(0);			/* the session is gone */
	inquiry = dsm_segment_address(segment);
	queue = (shm_mq *) ((char *) inquiry + FLUCT_INQUIRY_QUEUE);
	shm_mq_set_sender(queue, MyProc);
	pq_redirect_to_shm_mq(segment, shm_mq_attach(queue, segment, NULL));
	return inquiry;
}

static void
read_stream(FluctTopic *topic)
{
	MemoryContext context = CurrentMemoryContext;

	fluct_worker_begin();
	topic->stream = fluct_streams_find(topic->inquiry->stream, context);
	if (topic->stream == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("stream \"%s\" is not committed yet",
						topic->inquiry->stream),
				 errhint("COMMIT first.")));
	topic->owner = GetSessionUserId();
	if (topic->stream->role != topic->owner)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("stream \"%s\" does not belong to the role of this session",
						topic->stream->name)));
	fluct_worker_commit();
}

static void
answer(FluctTopic *topic)
{
	switch (topic->inquiry->kind)
	{
		case FLUCT_INQUIRY_CHECK:
			fluct_check_answer(topic);
			break;
		case FLUCT_INQUIRY_PREVIEW:
			fluct_preview_answer(topic);
			break;
		case FLUCT_INQUIRY_SEEK:
			fluct_seek_answer(topic);
			break;
		case FLUCT_INQUIRY_RECONCILE:
			fluct_reconcile_answer(topic);
			break;
		case FLUCT_INQUIRY_SAMPLE:
			fluct_sample_answer(topic);
			break;
		case FLUCT_INQUIRY_RUN:
			break;				/* not here: it reads the stream itself */
	}
}

void
FluctInquiryMain(Datum arg)
{
	FluctTopic	topic = {0};

	fluct_worker_unblock();
	MemoryContextSwitchTo(AllocSetContextCreate(TopMemoryContext,
												"fluct inquiry",
												ALLOCSET_DEFAULT_SIZES));
	topic.inquiry = attach(DatumGetUInt32(arg));
	fluct_worker_connect(topic.inquiry->database, topic.inquiry->owner);
	if (topic.inquiry->kind == FLUCT_INQUIRY_RUN)
		fluct_foreground_run(topic.inquiry->stream,
							 &topic.inquiry->watch);
	fluct_worker_limit_locks();
	if (topic.inquiry->kind != FLUCT_INQUIRY_SAMPLE)
		read_stream(&topic);
	answer(&topic);
	fluct_answer_put_end();
	proc_exit(0);
}
