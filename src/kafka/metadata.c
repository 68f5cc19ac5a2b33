/*-------------------------------------------------------------------------
 *
 * metadata.c
 *	  Which partitions the topics of a stream have.
 *
 * One topic and a list are asked for by name: librdkafka asks about the topics
 * that have a handle, and each name has one.  A pattern needs the names of all
 * topics of the cluster, so the answer grows with the cluster: about 100 bytes
 * a partition, each 30 seconds, decoded in librdkafka's thread.  Topics that
 * the user may not describe are not among them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "kafka/metadata.h"
#include "kafka/trouble.h"

/* The handles of the topics that are asked for by name. */
static rd_kafka_topic_t **handles = NULL;
static int	nhandles = 0;

void
fluct_metadata_begin(rd_kafka_t *client, const char *topics)
{
	char	  **names;
	int			count;

	if (fluct_topics_is_pattern(topics))
		return;
	names = fluct_topics_names(topics, &count);
	handles = MemoryContextAlloc(TopMemoryContext,
								 sizeof(rd_kafka_topic_t *) * count);
	for (nhandles = 0; nhandles < count; nhandles++)
		handles[nhandles] = rd_kafka_topic_new(client, names[nhandles], NULL);
}

void
fluct_metadata_end(void)
{
	for (int i = 0; i < nhandles; i++)
		if (handles[i])
			rd_kafka_topic_destroy(handles[i]);
	if (handles)
		pfree(handles);
	handles = NULL;
	nhandles = 0;
}

static int
by_place(const void *a, const void *b)
{
	const FluctPlace *one = a;
	const FluctPlace *other = b;
	int			order = one->topic == other->topic ? 0 :
	strcmp(one->topic, other->topic);

	return order != 0 ? order : one->partition - other->partition;
}

/* A trouble that names the topic, where there are several. */
static int
refuse(const char *topics, const char *topic, rd_kafka_resp_err_t error)
{
	const char *words = rd_kafka_err2str(error);

	fluct_trouble_note(error, fluct_topics_are_many(topics) ?
					   psprintf("topic \"%s\": %s", topic, words) : words);
	return -1;
}

/* The partitions of one topic; false when it has none, with the trouble. */
static bool
add_topic(const char *topics, const rd_kafka_metadata_topic_t *topic,
		  FluctPlace **places, int *count)
{
	rd_kafka_resp_err_t error = topic->err;
	const char *name;

	/* it is being created or deleted: the next answer knows */
	if (fluct_topics_is_pattern(topics) &&
		(error != RD_KAFKA_RESP_ERR_NO_ERROR || topic->partition_cnt <= 0))
		return true;
	if (error == RD_KAFKA_RESP_ERR_NO_ERROR && topic->partition_cnt <= 0)
		error = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		return refuse(topics, topic->topic, error) >= 0;
	name = fluct_topics_keep(topic->topic);
	*places = repalloc(*places, sizeof(FluctPlace) *
					   (*count + topic->partition_cnt + 1));
	for (int i = 0; i < topic->partition_cnt; i++)
	{
		(*places)[*count].topic = name;
		(*places)[(*count)++].partition = i;
	}
	return true;
}

static int
take(const struct rd_kafka_metadata *metadata, const char *topics,
	 FluctPlace **places)
{
	int			count = 0;

	*places = palloc(sizeof(FluctPlace));
	for (int i = 0; i < metadata->topic_cnt; i++)
		if (fluct_topics_include(topics, metadata->topics[i].topic) &&
			!add_topic(topics, &metadata->topics[i], places, &count))
			return -1;
	if (count == 0)
	{
		fluct_trouble_note(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
						   fluct_topics_is_pattern(topics) ?
						   psprintf("no topic matches the pattern \"%s\"", topics) :
						   rd_kafka_err2str(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART));
		return -1;
	}
	qsort(*places, count, sizeof(FluctPlace), by_place);
	return count;
}

rd_kafka_resp_err_t
fluct_metadata_ask(rd_kafka_t *client, const char *topics,
				   const struct rd_kafka_metadata **metadata, int timeout_ms)
{
	return rd_kafka_metadata(client, fluct_topics_is_pattern(topics),
							 nhandles == 1 ? handles[0] : NULL, metadata,
							 timeout_ms);
}

int
fluct_metadata_take(rd_kafka_resp_err_t error, const char *topics,
					const struct rd_kafka_metadata *metadata,
					FluctPlace **places)
{
	volatile int count = -1;

	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		if (fluct_kafka_trouble()->reason[0] == '\0')
			fluct_trouble_note(error, NULL);
		return -1;
	}
	fluct_trouble_connected();
	PG_TRY();
	{
		count = take(metadata, topics, places);
	}
	PG_FINALLY();
	{
		rd_kafka_metadata_destroy(metadata);
	}
	PG_END_TRY();
	return count;
}
