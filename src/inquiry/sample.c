/*-------------------------------------------------------------------------
 *
 * sample.c
 *	  suggest_mapping: the newest messages of a topic.
 *
 * There is no stream yet.  The topic is read as a stream of the asking role
 * would read it, and what the messages look like is judged in SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "inquiry/answer.h"
#include "inquiry/sample.h"
#include "kafka/consumer.h"
#include "mapping/framing.h"
#include "process/worker.h"

#define READ_TIME		4000	/* ms for messages to arrive */

static FluctStream *
stream_of(const FluctInquiry *inquiry)
{
	MemoryContext context = CurrentMemoryContext;
	FluctStream *stream = palloc0(sizeof(FluctStream));

	stream->server = pstrdup(inquiry->stream);
	stream->topic = pstrdup(inquiry->start_at);
	stream->role = GetSessionUserId();
	fluct_worker_begin();
	stream->owner = MemoryContextStrdup(context, GetUserNameFromId(stream->role, false));
	fluct_worker_commit();
	return stream;
}

/* How many messages there are if each partition gives at most so many. */
static int64
count_messages(const FluctTopic *topic, int64 most)
{
	int64		count = 0;

	for (int i = 0; i < topic->nplaces; i++)
		count += Min(topic->end[i].offset - topic->begin[i].offset, most);
	return count;
}

/* Where to begin in each partition, so that all together are enough. */
static int64 *
find_newest(const FluctTopic *topic, int wanted)
{
	int64	   *from = palloc(sizeof(int64) * topic->nplaces);
	int64		most = 1;

	while (most < wanted && count_messages(topic, most) < wanted)
		most *= 2;
	for (int i = 0; i < topic->nplaces; i++)
		from[i] = Max(topic->begin[i].offset, topic->end[i].offset - most);
	return from;
}

/* NULL where there is nothing, or where it is not UTF-8. */
static const char *
text_of(const char *bytes, size_t len)
{
	if (len > 0 && bytes[0] == '\0')
		(void) fluct_framing_skip(&bytes, &len, NULL);
	return bytes && pg_verify_mbstr(PG_UTF8, bytes, len, true) ? pnstrdup(bytes, len) : NULL;
}

static void
put_message(const FluctMessage *message)
{
	bool		framed = message->value_len > 0 && message->value[0] == '\0';
	const char *fields[4] = {message->topic, framed ? "t" : "f"};

	if (message->full_len <= message->value_len)
		fields[2] = text_of(message->value, message->value_len);
	fields[3] = text_of(message->key, message->key_len);
	fluct_answer_put_row(fields, lengthof(fields));
}

void
fluct_sample_answer(FluctTopic *topic)
{
	int			wanted = topic->inquiry->count;
	FluctMessage *messages = palloc(sizeof(FluctMessage) * wanted);
	int			count;

	topic->stream = stream_of(topic->inquiry);
	topic->owner = topic->stream->role;
	fluct_client_open(topic->stream, topic->owner, &topic->client);
	if (!fluct_topic_places(topic) || !fluct_topic_log(topic))
		fluct_answer_throw_trouble(topic->stream);
	count = fluct_topic_read(topic, find_newest(topic, wanted), messages, wanted,
							 READ_TIME);
	if (count == 0 && fluct_kafka_trouble()->reason[0] != '\0')
		fluct_answer_throw_trouble(topic->stream);
	for (int i = 0; i < count; i++)
		put_message(&messages[i]);
}
