/*-------------------------------------------------------------------------
 *
 * foreground.c
 *	  A stream worker that a session started, and watches.
 *
 * For run_stream the worker does the same work as any (stream.c), until it has
 * committed what Kafka held at its start, or so many batches.  It has a slot
 * in memory of its own, whether fluct is preloaded or not: a slot that others
 * see would belong to the launcher, which frees what it has not started.  So
 * stat_streams shows what it commits, but says that the stream is paused, as
 * it is when the session is gone.  An advisory lock lets one session run a
 * stream at a time; against any other worker the compare-and-set of the
 * offsets decides.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "bookkeeping/streams.h"
#include "process/shmem.h"
#include "process/worker.h"
#include "stream/foreground.h"
#include "stream/stream.h"

/* ms: for a session that was cancelled to release the stream */
#define TURN_TIMEOUT		3000
#define TURN_INTERVAL		100

static FluctSlot *
begin_watch(const char *stream, const FluctWatch *watch)
{
	static FluctWatch mine;
	FluctSlot  *slot = fluct_shmem_privately(stream);

	fluct_watch_hush();
	SetConfigOption("client_min_messages", "notice", PGC_SUSET,
					PGC_S_OVERRIDE);
	mine = *watch;
	fluct_watch = &mine;
	if (watch->until_caught_up)
		pg_atomic_write_u64(&slot->sync_wanted, 1);
	return slot;
}

/* One session at a time; one that was just cancelled may still be ending. */
static void
take_turn(const char *stream)
{
	TimestampTz begin = GetCurrentTimestamp();
	bool		mine = false;

	for (;;)
	{
		fluct_worker_begin();
		mine = fluct_streams_try_run(stream);
		fluct_worker_commit();
		if (mine)
			return;
		if (fluct_worker_ms_since(begin) > TURN_TIMEOUT)
		{
			fluct_watch_speak();
			ereport(FATAL,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("stream \"%s\" is being run by another session",
							stream)));
		}
		fluct_worker_wait(PGINVALID_SOCKET, TURN_INTERVAL);
	}
}

/*
 * An error that nothing else has caught also ends the session's call.
 */
void
fluct_foreground_run(const char *stream, const FluctWatch *watch)
{
	MemoryContext context = CurrentMemoryContext;
	FluctSlot  *slot = begin_watch(stream, watch);

	PG_TRY();
	{
		take_turn(stream);
		fluct_stream_work(slot);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		error->elevel = FATAL;
		fluct_watch_speak();
		ThrowErrorData(error);
	}
	PG_END_TRY();
	proc_exit(0);
}
