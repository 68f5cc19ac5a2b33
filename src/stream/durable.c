/*-------------------------------------------------------------------------
 *
 * durable.c
 *	  What others are told of a batch, once it is on disk.
 *
 * While the worker catches up, a batch is committed before it is on disk
 * (sink/flush.c).  The worker's own positions move with the commit, and the
 * next batch begins there.  Everybody else hears of it when a crash can no
 * longer take it back: the group's offsets at Kafka, fluct.batches, the lag in
 * shared memory, what run_stream counts, and the end of wait_for_stream: who
 * waits has the batch flushed that he waits for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "bookkeeping/topics.h"
#include "process/batches.h"
#include "sink/flush.h"
#include "stream/durable.h"
#include "stream/position.h"
#include "stream/state.h"
#include "stream/watch.h"

/* The positions that the last batch moved. */
typedef struct Untold
{
	FluctPosition *moved;		/* NULL: everything is told */
	int			nmoved;
} Untold;

static Untold untold;

static void
remember(const FluctPosition *moved, int nmoved)
{
	Size		size = sizeof(FluctPosition) * nmoved;

	untold.moved = memcpy(MemoryContextAlloc(TopMemoryContext, size), moved,
						  size);
	untold.nmoved = nmoved;
}

/* It is on disk. */
static void
tell(void)
{
	if (untold.moved == NULL)
		return;
	fluct_batches_show();
	fluct_position_mirror(untold.moved, untold.nmoved);
	if (fluct_watch)
		fluct_watch_count(untold.moved, untold.nmoved);
	pfree(untold.moved);
	untold.moved = NULL;
	fluct_position_observe();
}

void
fluct_durable_note(TimestampTz since, const FluctMessage *messages, int count,
				   const FluctPosition *moved, int nmoved, const char *ended)
{
	tell();
	fluct_batches_note(fluct_slot, since, messages, count, moved, nmoved,
					   fluct_position_all(),
					   fluct_topics_are_many(fluct_stream->topic), ended);
	fluct_position_settle(moved, nmoved);
	remember(moved, nmoved);
	if (!fluct_flush_is_pending())
		tell();
}

void
fluct_durable_tell(void)
{
	fluct_flush_finish();
	tell();
}

bool
fluct_durable_is_told(void)
{
	return untold.moved == NULL;
}
