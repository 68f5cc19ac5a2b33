/*-------------------------------------------------------------------------
 *
 * consumer.h
 *	  librdkafka, here and nowhere else.
 *
 * A process has at most one client.  No function waits longer than a second.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_KAFKA_CONSUMER_H
#define FLUCT_KAFKA_CONSUMER_H

#include "postgres.h"

#include "storage/latch.h"

#include "base/message.h"
#include "bookkeeping/topics.h"
#include "kafka/options.h"
#include "kafka/trouble.h"

#define FLUCT_OFFSET_END		INT64CONST(-1)	/* for fluct_kafka_offsets */
#define FLUCT_OFFSET_BEGINNING	INT64CONST(-2)

/* The size of a response on the wire, unless one message is larger. */
#define FLUCT_KAFKA_RESPONSE_BYTES	1048576

/* One query of fluct_kafka_offsets, and its answer. */
typedef struct FluctOffset
{
	const char *topic;
	int32		partition;
	int64		at;				/* a time in ms since 1970, or one of the two */
	int64		offset;			/* the answer; -1 = past the end */
} FluctOffset;

/*
 * Creates the client, for the topics of a stream (topics.h); it is destroyed
 * by a close, or when the process exits.
 */
extern void fluct_kafka_open(const FluctSettings *settings,
							 const char *group, const char *topics);
extern void fluct_kafka_close(void);

/* Readable when there is something to poll; drain it before polling. */
extern pgsocket fluct_kafka_socket(void);
extern void fluct_kafka_drain_socket(void);

/*
 * The partitions of the topics, by name and number, in the current memory
 * context; returns how many, or -1 (see fluct_kafka_trouble): a topic is not
 * there, or none matches the pattern.
 */
extern int	fluct_kafka_places(FluctPlace **places);

/*
 * How many ms Kafka keeps the topic's messages: -1 = for ever, -2 = not known
 * (yet: it is asked now and then, and not waited for).
 */
extern int64 fluct_kafka_retention(void);

/* Answers all or none (false; see fluct_kafka_trouble). */
extern bool fluct_kafka_offsets(FluctOffset *offsets, int count);

/* Reads from these offsets on, by place, and from no others. */
extern void fluct_kafka_assign(const FluctPlace *places, const int64 *offsets,
							   int count);

/*
 * Takes up to max messages that have arrived, copied into the current memory
 * context.  0: there are none now.
 */
extern int	fluct_kafka_poll(FluctMessage *messages, int max);

/* The cluster's id, in the current memory context; NULL when not known. */
extern char *fluct_kafka_cluster(void);

/* Whether anything came from the partitions since they were assigned. */
extern bool fluct_kafka_heard(void);

/* The end of the partition that was reached (control records count), or -1. */
extern int64 fluct_kafka_end_reached(const char *topic, int32 partition);

/*
 * Kafka's log as the last fetch showed it; false when not known.  Its end is
 * the high watermark: messages of open transactions lie before it, while the
 * end of fluct_kafka_offsets, and the one that is reached, are the last
 * stable offset.
 */
extern bool fluct_kafka_log(const char *topic, int32 partition, int64 *start,
							int64 *end);

/* Commits the positions to Kafka, for its lag tools; fluct reads none back. */
extern void fluct_kafka_mirror(const FluctPlace *places, const int64 *offsets,
							   int count);

/* librdkafka's, as it is loaded: such as 2.6.1. */
extern const char *fluct_kafka_version_name(void);

#endif							/* FLUCT_KAFKA_CONSUMER_H */
