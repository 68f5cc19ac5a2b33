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
 * it is when the session is gone.  One session runs a stream at a time, which
 * the session sees to (inquiry/run.c); against any other worker the
 * compare-and-set of the offsets decides.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/ipc.h"
#include "utils/guc.h"

#include "process/shmem.h"
#include "process/worker.h"
#include "stream/foreground.h"
#include "stream/stream.h"

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
