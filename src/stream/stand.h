/*-------------------------------------------------------------------------
 *
 * stand.h
 *	  What position.c and lag.c share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_STREAM_STAND_H
#define FLUCT_STREAM_STAND_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "bookkeeping/offsets.h"
#include "bookkeeping/topics.h"

/* What this process knows about its positions. */
typedef struct FluctStand
{
	MemoryContext context;		/* of the positions and what they point to */
	FluctPosition *positions;	/* of this worker's partitions */
	int			npositions;
	FluctPlace *places;			/* of the stream's topics, all of them */
	int			nplaces;
	TimestampTz last_note;		/* of Kafka's log in the table */
	bool		sure;			/* Kafka has said where its log ends since the
								 * last trouble */
	bool		held_news;		/* held_ms of a position is not stored */
	TimestampTz held_noted;
	TimestampTz rate_since;
	int64		rate_count;		/* messages committed since */
	uint64		sync_ticket;	/* being served; 0 = none */
	int64	   *sync_target;	/* by place in positions */
} FluctStand;

extern FluctStand fluct_stand;

#endif							/* FLUCT_STREAM_STAND_H */
