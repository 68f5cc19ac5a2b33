/*-------------------------------------------------------------------------
 *
 * metadata.h
 *	  Which partitions the topics of a stream have.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_KAFKA_METADATA_H
#define FLUCT_KAFKA_METADATA_H

#include "postgres.h"

#include <librdkafka/rdkafka.h>

#include "bookkeeping/topics.h"

/* For consumer.c: a client was made; it is about to be destroyed. */
extern void fluct_metadata_begin(rd_kafka_t *client, const char *topics);
extern void fluct_metadata_end(void);

/*
 * Asks, and then, once the callbacks were served, takes the answer, which is
 * destroyed: as fluct_kafka_places.
 */
extern rd_kafka_resp_err_t fluct_metadata_ask(rd_kafka_t *client,
											  const char *topics,
											  const struct rd_kafka_metadata **metadata,
											  int timeout_ms);
extern int	fluct_metadata_take(rd_kafka_resp_err_t error, const char *topics,
								const struct rd_kafka_metadata *metadata,
								FluctPlace **places);

#endif							/* FLUCT_KAFKA_METADATA_H */
