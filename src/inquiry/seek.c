/*-------------------------------------------------------------------------
 *
 * seek.c
 *	  seek_stream: where start_at begins, as numbers.
 *
 * The session moves the positions itself, in its own transaction: so that
 * what a person moves is rolled back with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "inquiry/answer.h"
#include "inquiry/seek.h"
#include "inquiry/topic.h"
#include "kafka/consumer.h"

void
fluct_seek_answer(FluctTopic *topic)
{
	fluct_client_open(topic->stream, topic->owner, &topic->client);
	if (!fluct_topic_places(topic) || !fluct_topic_log(topic) ||
		!fluct_topic_start(topic, topic->inquiry->start_at))
		fluct_answer_throw_trouble(topic->stream);
	for (int i = 0; i < topic->nplaces; i++)
	{
		const char *fields[] = {
			psprintf("%d", topic->places[i].partition),
			psprintf(INT64_FORMAT, topic->begin[i].offset),
			psprintf(INT64_FORMAT, topic->end[i].offset),
			psprintf(INT64_FORMAT, topic->next[i]),
			topic->places[i].topic,
		};

		fluct_answer_put_row(fields, lengthof(fields));
	}
}
