/*-------------------------------------------------------------------------
 *
 * refill.h
 *	  librdkafka's queue of fetched messages, filled again in time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_KAFKA_REFILL_H
#define FLUCT_KAFKA_REFILL_H

#include "postgres.h"

#include <librdkafka/rdkafka.h>

/* A new assignment, all of whose partitions are in the list; keeps a copy. */
extern void fluct_refill_begin(const rd_kafka_topic_partition_list_t *list);
extern void fluct_refill_end(void);

/*
 * Looks at the queue after messages were taken, of about `size` bytes each;
 * takes at most about 1 ms.
 */
extern void fluct_refill_look(rd_kafka_t *client, rd_kafka_queue_t *queue,
							  size_t size);

#endif							/* FLUCT_KAFKA_REFILL_H */
