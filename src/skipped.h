/*-------------------------------------------------------------------------
 *
 * skipped.h
 *	  The offsets at which Kafka delivered nothing: fluct.skipped_offsets.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_SKIPPED_H
#define FLUCT_SKIPPED_H

#include "postgres.h"

#include "catalog.h"

/* Notes that [from, to) was skipped; the memory is the process's. */
extern void fluct_skipped_note(FluctPosition *position, int64 from, int64 to);

/*
 * Stores what is noted in the positions, in the transaction that has moved
 * them.  SPI must be connected.
 */
extern void fluct_skipped_store(const char *stream, const char *topic,
								const FluctPosition *positions, int count);

#endif							/* FLUCT_SKIPPED_H */
