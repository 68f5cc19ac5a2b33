/*-------------------------------------------------------------------------
 *
 * retention.h
 *	  How long Kafka keeps the messages of a topic.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_KAFKA_RETENTION_H
#define FLUCT_KAFKA_RETENTION_H

#include "postgres.h"

#include <librdkafka/rdkafka.h>

#define FLUCT_RETENTION_UNKNOWN	INT64CONST(-2)
#define FLUCT_RETENTION_FOREVER	INT64CONST(-1)

/*
 * Milliseconds, or one of the two, as Kafka answered last.  Asks when that was
 * never or long ago, and does not wait for the answer: a later call has it.
 */
extern int64 fluct_retention_look(rd_kafka_t *client, const char *topic);

/* To be called before the client is destroyed. */
extern void fluct_retention_end(void);

#endif							/* FLUCT_KAFKA_RETENTION_H */
