/*-------------------------------------------------------------------------
 *
 * skipped.h
 *	  The offsets at which Kafka delivered nothing: fluct.skipped_offsets.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_BOOKKEEPING_SKIPPED_H
#define FLUCT_BOOKKEEPING_SKIPPED_H

#include "postgres.h"

#include "bookkeeping/offsets.h"

/* Notes that [from, to) was skipped, in memory of the position's context. */
extern void fluct_skipped_note(FluctPosition *position, int64 from, int64 to,
							   MemoryContext context);

/*
 * Stores what is noted in the positions, in the transaction that has moved
 * them.  SPI must be connected.
 */
extern void fluct_skipped_store(const char *stream,
								const FluctPosition *positions, int count);

#endif							/* FLUCT_BOOKKEEPING_SKIPPED_H */
