/*-------------------------------------------------------------------------
 *
 * offsets.h
 *	  fluct.stream_offsets: where each stream stands; and fluct.gaps.
 *
 * SPI must be connected.  Results are in the memory context that is given.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_BOOKKEEPING_OFFSETS_H
#define FLUCT_BOOKKEEPING_OFFSETS_H

#include "postgres.h"

#include "base/message.h"
#include "bookkeeping/topics.h"

/* An interval of offsets, [from, to). */
typedef struct FluctInterval
{
	int64		from;
	int64		to;
} FluctInterval;

/* The position in one partition, and what a batch adds to its row. */
typedef struct FluctPosition
{
	const char *topic;			/* of fluct_topics_keep */
	int32		partition;
	int64		next_offset;	/* committed */
	int64		read_offset;	/* of the next message to be read */
	int64		log_start;		/* -1 = not known */
	int64		log_end;
	int64		messages;
	int64		rows;
	int64		duplicates;
	int64		dead_letters;
	int64		tombstones;
	int64		filtered;
	int64		time_ms;		/* Kafka's newest time in the batch; -1 */
	int64		witness_offset; /* of the last message committed; -1 */
	int64		witness_time;
	int64		witness_crc;
	int64		held_ms;		/* when all that Kafka had was last held; -1 */
	int64		epoch;
	char	   *cluster;		/* id of the cluster it is of; NULL = not
								 * known */
	FluctInterval *skipped;		/* where Kafka delivered nothing, ascending */
	int			nskipped;
	int			max_skipped;
} FluctPosition;

/* Positions of the stream, by topic and partition; *count of them. */
extern FluctPosition *fluct_offsets_read(const char *stream, int *count,
										 MemoryContext context);

/*
 * Where start_at says that a partition begins: a time in ms since 1970, -1
 * (the end), -2 (the beginning), or with *exact an offset.
 */
extern int64 fluct_offsets_start_of(const char *start_at, const char *topic,
									int partition, bool *exact);

/*
 * A partition that the stream's partitions or start_at name and that is none
 * of these places, in words; NULL = all are there.  With NULL, start_at is the
 * stream's own, until its first start.
 */
extern char *fluct_offsets_unknown_partition(const char *stream,
											 const char *start_at,
											 const FluctPlace *places,
											 int count, MemoryContext context);

/*
 * Keeps others from initializing the stream until the end of the transaction.
 */
extern void fluct_offsets_lock(const char *stream);

/*
 * Locks what a batch may write besides its targets.  This comes before the
 * targets, and newest table first, since that is the order of DROP EXTENSION:
 * so neither is the victim of a deadlock.
 */
extern void fluct_offsets_lock_bookkeeping(void);

/* A position where there is none, in an epoch of its own. */
extern void fluct_offsets_add(const char *stream,
							  const FluctPosition *position);

/*
 * Moves the positions forward, from next_offset to read_offset, by
 * compare-and-set, within their epoch; false when another worker
 * has moved one of them, or somebody has begun another epoch.  Where messages
 * were stored, it is noted with which mapping (a hash), unless that is NULL.
 */
extern bool fluct_offsets_advance(const char *stream, const char *mapping,
								  const FluctPosition *positions, int count);

/* Whether that was noted since the position began, in any partition. */
extern bool fluct_offsets_has_stored(const char *stream, const char *mapping);

/* The positions whose cluster was not known yet are of this one. */
extern void fluct_offsets_note_cluster(const char *stream,
									   const char *cluster);

/* Stores the ends of Kafka's log as last seen. */
extern void fluct_offsets_note_log(const char *stream,
								   const FluctPosition *positions, int count);

/* Stores how many ms Kafka keeps messages: -1 = for ever, -2 = not known. */
extern void fluct_offsets_note_retention(const char *stream,
										 const char *topic, int64 ms);

/* Stores when all that Kafka had was last held, where that is known. */
extern void fluct_offsets_note_held(const char *stream,
									const FluctPosition *positions, int count);

/* Whether the message is of the partition; its topic is a kept name, too. */
static inline bool
fluct_offsets_are_of(const FluctPosition *position, const FluctMessage *message)
{
	return position->partition == message->partition &&
		position->topic == message->topic;
}

/*
 * Makes the message the witness of the position, by which a later start
 * recognizes the topic.  A truncated message cannot be one.
 */
extern void fluct_offsets_bear_witness(FluctPosition *position,
									   const FluctMessage *message);

/* Whether this is a different message at the offset of the witness. */
extern bool fluct_offsets_contradicts(const FluctMessage *message,
									  const FluctPosition *position);

/* Records that the stream skipped the offsets up to `to`, and why. */
extern void fluct_offsets_add_gap(const char *stream,
								  const FluctPosition *position, int64 to,
								  const char *reason);

#endif							/* FLUCT_BOOKKEEPING_OFFSETS_H */
