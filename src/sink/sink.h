/*-------------------------------------------------------------------------
 *
 * sink.h
 *	  A batch of messages into the tables, with its offsets.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_SINK_H
#define FLUCT_SINK_SINK_H

#include "postgres.h"

#include "base/message.h"
#include "bookkeeping/offsets.h"
#include "bookkeeping/streams.h"
#include "mapping/mapping.h"

typedef struct FluctSink FluctSink;

/* The outcome of a batch. */
typedef enum FluctVerdict
{
	FLUCT_COMMITTED,
	FLUCT_TABLES_CHANGED,		/* since the sink was opened */
	FLUCT_MOVED_BY_ANOTHER,		/* somebody else has moved the offsets */
	FLUCT_OWNER_UNFIT,			/* fluct_owner_obstacle says why */
	FLUCT_NOTHING_FITS			/* all of a first batch were refused, or
								 * nothing was found in any of them */
} FluctVerdict;

/*
 * Compiles the stream's mapping and prepares its statements for `owner`, in a
 * child of `parent`.  SPI must be connected.  A relation that changes later
 * is noticed (fluct_sink_stale).
 */
extern FluctSink *fluct_sink_open(const FluctStream *stream, Oid owner,
								  MemoryContext parent);

/* The same for one transaction, in which the tables then stay as they are. */
extern FluctSink *fluct_sink_open_held(const FluctStream *stream, Oid owner,
									   MemoryContext parent);
extern void fluct_sink_close(FluctSink *sink);

/* Runs a function with each table that rows are written into. */
extern void fluct_sink_each_target(const FluctSink *sink,
								   void (*visit) (Oid relid));

/* Whether a table of the mapping may have changed since it was compiled. */
extern bool fluct_sink_stale(const FluctSink *sink);

/* The paths of which nothing has been found yet, as a list; or NULL. */
extern char *fluct_sink_missing_paths(const FluctSink *sink);

/*
 * Stores the first of the messages in the current transaction, as the owner:
 * as many of them as one batch takes for their size, at least one, which is
 * the result.  Says in each what became of it: a message that cannot be
 * decoded, or that the tables refuse, is FLUCT_DEAD with the refusal, which
 * holds until the next call.
 */
extern int	fluct_sink_store(FluctSink *sink, FluctMessage *messages,
							 int count);

/* Rows in all targets of the message with that number in the last call. */
extern int64 fluct_sink_rows(const FluctSink *sink, int message);

/*
 * One batch, one transaction: rows, raw copy, dead letters, offsets.  The
 * positions are those of the partitions in the batch; read_offset says where
 * each goes.  On FLUCT_COMMITTED their next_offset has moved; *count are the
 * messages of the batch, which may be fewer than were given.  `more`: the next
 * batch follows at once, so that this one's flush may be left to it (flush.h).
 */
extern FluctVerdict fluct_sink_commit(FluctSink *sink, int worker,
									  FluctMessage *messages, int *count,
									  FluctPosition *positions,
									  int npositions, bool first, bool more);

/* The first message that is FLUCT_DEAD, or NULL. */
extern const FluctMessage *fluct_sink_refused(const FluctMessage *messages,
											  int count);

#endif							/* FLUCT_SINK_SINK_H */
