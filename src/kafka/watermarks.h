/*-------------------------------------------------------------------------
 *
 * watermarks.h
 *	  The ends and offsets of Kafka's log, asked for until Kafka answers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_KAFKA_WATERMARKS_H
#define FLUCT_KAFKA_WATERMARKS_H

#include "postgres.h"

#include "kafka/consumer.h"

/*
 * What to do between two queries, the first of which was made at begin: waits,
 * and says whether to ask again.
 */
typedef bool (*FluctPatience) (TimestampTz begin);

/*
 * Partitions of the topics, or -1.  Without an answer, here and below,
 * fluct_kafka_trouble says why; after one it is cleared.
 */
extern int	fluct_kafkalog_places(FluctPlace **places,
								  FluctPatience patience);

/*
 * The log's begin or end (FLUCT_OFFSET_BEGINNING, _END) in each place, in
 * the current memory context; NULL without an answer.
 */
extern FluctOffset *fluct_kafkalog_ends(const FluctPlace *places, int count,
										int64 at, FluctPatience patience);

/*
 * Where start_at begins, in next, for the places whose next is not -1.  A
 * time past the end is the end.
 */
extern bool fluct_kafkalog_resolve(const char *start_at,
								   const FluctOffset *ends, int64 *next,
								   int count, FluctPatience patience);

/*
 * Reads the ends again, as often as it takes to be sure that a position is
 * beyond one (next; -1: this place does not matter).
 */
extern bool fluct_kafkalog_confirm(const int64 *next, FluctOffset *ends,
								   int count, FluctPatience patience);

#endif							/* FLUCT_KAFKA_WATERMARKS_H */
