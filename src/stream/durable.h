/*-------------------------------------------------------------------------
 *
 * durable.h
 *	  What others are told of a batch, once it is on disk.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_STREAM_DURABLE_H
#define FLUCT_STREAM_DURABLE_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "base/message.h"
#include "bookkeeping/offsets.h"

/*
 * A batch of these messages is committed, which began to be written at `since`
 * and moved these positions; so the one before is on disk.  Takes over the
 * positions, and tells of both, as far as they are on disk.
 */
extern void fluct_durable_note(TimestampTz since, const FluctMessage *messages,
							   int count, const FluctPosition *moved,
							   int nmoved, const char *ended);

/* Has the last batch on disk, and tells of it. */
extern void fluct_durable_tell(void);

/* Whether others know of all that is committed. */
extern bool fluct_durable_is_told(void);

#endif							/* FLUCT_STREAM_DURABLE_H */
