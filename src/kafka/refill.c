/*-------------------------------------------------------------------------
 *
 * refill.c
 *	  librdkafka's queue of fetched messages, filled again in time.
 *
 * The queue is bounded.  When it is full, a broker's thread of librdkafka
 * stops fetching and sleeps, for up to a second before version 2.2, whatever
 * is taken from the queue meanwhile; what does wake it is a request to be
 * sent.  So when the queue has fallen to half of the most that it held, we
 * send one to each leader: where the log of our partitions ends, which a
 * broker answers from memory.  The answer does not matter and is not waited
 * for.  While the queue is full no fetch is under way that this question could
 * stand behind, and while it is not, the question changes nothing.
 *
 * Measured with 2.0.2: 400,000 messages of 180 bytes through a bound of 20,000
 * messages took 12.1 s, 11.5 of them asleep; so, 0.8 s with 35 questions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "kafka/refill.h"

#define WAIT_FOR_ANSWER		1	/* ms: it must be sent, not answered */

/* A queue that never held so much is not full: messages, or bytes of them. */
#define WORTH_A_QUESTION	512
#define WORTH_BYTES			((size_t) 8 * 1024 * 1024)

static struct
{
	rd_kafka_topic_partition_list_t *partitions;
	size_t		most;			/* that the queue held since the last question */
}			refill = {NULL, 0};

void
fluct_refill_begin(const rd_kafka_topic_partition_list_t *list)
{
	fluct_refill_end();
	refill.partitions = rd_kafka_topic_partition_list_copy(list);
}

void
fluct_refill_end(void)
{
	if (refill.partitions)
		rd_kafka_topic_partition_list_destroy(refill.partitions);
	refill.partitions = NULL;
	refill.most = 0;
}

/* Wakes the threads of the partitions' leaders. */
static void
ask_leaders(rd_kafka_t *client)
{
	for (int i = 0; i < refill.partitions->cnt; i++)
		refill.partitions->elems[i].offset = RD_KAFKA_OFFSET_END;
	(void) rd_kafka_offsets_for_times(client, refill.partitions,
									  WAIT_FOR_ANSWER);
}

void
fluct_refill_look(rd_kafka_t *client, rd_kafka_queue_t *queue, size_t size)
{
	size_t		length = rd_kafka_queue_length(queue);

	if (length >= refill.most)
		refill.most = length;
	else if (refill.partitions && length <= refill.most / 2 &&
			 (refill.most >= WORTH_A_QUESTION ||
			  refill.most * size >= WORTH_BYTES))
	{
		refill.most = length;
		ask_leaders(client);
	}
}
