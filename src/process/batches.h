/*-------------------------------------------------------------------------
 *
 * batches.h
 *	  The last batches of all streams, in shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_PROCESS_BATCHES_H
#define FLUCT_PROCESS_BATCHES_H

#include "base/message.h"
#include "bookkeeping/offsets.h"
#include "process/shmem.h"

/* Why a batch ended. */
#define FLUCT_ENDED_COUNT		"batch_size"
#define FLUCT_ENDED_BYTES		"batch_bytes"
#define FLUCT_ENDED_TIME		"batch_interval"
#define FLUCT_ENDED_ROWS		"row_bytes"
#define FLUCT_ENDED_MARKERS		"markers"

extern void fluct_batches_init(void);

/*
 * A batch of these messages is committed, which began to be written at `since`.
 * The positions that moved, each with its new next_offset, are `moved`; those
 * before, of which they are some, `before`; both by topic and partition.
 * `many_topics`: the stream may have several.  It is shown from
 * fluct_batches_show on.  Without a preload both do nothing.
 */
extern void fluct_batches_note(const FluctSlot *slot, TimestampTz since,
							   const FluctMessage *messages, int count,
							   const FluctPosition *moved, int nmoved,
							   const FluctPosition *before, bool many_topics,
							   const char *ended);
extern void fluct_batches_show(void);

#endif							/* FLUCT_PROCESS_BATCHES_H */
