/*-------------------------------------------------------------------------
 *
 * raw.h
 *	  The raw copy: each message as it arrived.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SINK_RAW_H
#define FLUCT_SINK_RAW_H

#include "postgres.h"

#include "base/message.h"

/*
 * Stores the messages from..to-1 in a table with the columns of
 * sales.raw_messages, all but those that are too large to keep whole.
 */
extern void fluct_raw_store(Oid relid, const char *stream,
							const FluctMessage *messages, int from, int to);

/*
 * Refuses a table into which COPY's machinery would not bring the rows: one
 * with rules or row security, or that another extension stores elsewhere.  SPI
 * must be connected and the user must be the stream's owner.
 */
extern void fluct_raw_check(Oid relid);

#endif							/* FLUCT_SINK_RAW_H */
