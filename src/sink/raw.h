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
 * Stores the messages in a table with the columns of sales.raw_messages, all
 * except those that are too large to keep whole.
 */
extern void fluct_raw_store(Oid relid, const char *stream, const char *topic,
							const FluctMessage *messages, int count);

#endif							/* FLUCT_SINK_RAW_H */
