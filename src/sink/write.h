/*-------------------------------------------------------------------------
 *
 * write.h
 *	  The records of messages into their tables, parents and children.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_WRITE_H
#define FLUCT_SINK_WRITE_H

#include "sink/insert.h"

/*
 * Writes the records of the messages from..to-1 that are FLUCT_STORED.  One of
 * which no record was stored becomes FLUCT_DUPLICATE, or FLUCT_TOMBSTONE
 * without a value.  Statements and rows are
 * by target; update is on_conflict's.
 */
extern void fluct_write_messages(const FluctMapping *mapping,
								 const FluctStatements *statements,
								 const FluctRows *rows, bool update,
								 FluctMessage *messages, int from, int to);

/* Rows in all targets that the message has written. */
extern int64 fluct_write_rows(const FluctMapping *mapping,
							  const FluctRows *rows, int message);

#endif							/* FLUCT_SINK_WRITE_H */
