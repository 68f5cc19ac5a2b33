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

#include "executor/spi.h"

#include "base/message.h"

/*
 * NULL where COPY's machinery does with the rows what INSERT does; else the
 * statement that stores them: where there are rules or row security, or
 * another extension stores them elsewhere.  SPI must be connected and the user
 * must be the stream's owner.
 */
extern SPIPlanPtr fluct_raw_prepare(Oid relid);

/*
 * Stores the messages from..to-1 in a table with the columns of
 * sales.raw_messages, all but those that are too large to keep whole.
 */
extern void fluct_raw_store(Oid relid, SPIPlanPtr insert, const char *stream,
							const FluctMessage *messages, int from, int to);

#endif							/* FLUCT_SINK_RAW_H */
