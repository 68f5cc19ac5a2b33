/*-------------------------------------------------------------------------
 *
 * backoff.h
 *	  What a stream worker does after an error of the database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_STREAM_BACKOFF_H
#define FLUCT_STREAM_BACKOFF_H

#include "postgres.h"

/*
 * Ends the transaction of an ERROR that was caught, in the memory context
 * given.  Returns after a wait, which grows with the number of attempts, if
 * trying again may help; else fails the stream.
 */
extern void fluct_backoff_digest_error(MemoryContext context, int attempt);

#endif							/* FLUCT_STREAM_BACKOFF_H */
