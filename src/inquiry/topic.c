/*-------------------------------------------------------------------------
 *
 * topic.c
 *	  What Kafka says about the topic of an inquiry.
 *
 * Time.  Brokers that are silent are asked again for a few seconds only, so
 * that everything together stays below ten.  A reason that asking again cannot
 * remove (a name, a password) is believed sooner; not at once, because one of
 * several brokers may be wrong, and a topic just created is not known
 * everywhere.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bookkeeping/offsets.h"
#include "bookkeeping/streams.h"
#include "inquiry/topic.h"
#include "kafka/watermarks.h"
#include "process/worker.h"

#define PATIENCE		4000	/* ms of asking brokers that are silent */
#define LITTLE_PATIENCE 1500	/* ms where the reason is clear */
#define RETRY_INTERVAL	200		/* ms between questions */

static bool
has_time(TimestampTz begin)
{
	const char *reason = fluct_kafka_trouble()->reason;
	bool		unclear = reason[0] == '\0' ||
	strcmp(reason, "broker_unreachable") == 0;

	return fluct_worker_ms_since(begin) < (unclear ? PATIENCE : LITTLE_PATIENCE);
}

static bool
be_patient(TimestampTz begin)
{
	if (!has_time(begin))
		return false;
	fluct_worker_wait(PGINVALID_SOCKET, RETRY_INTERVAL);
	return true;
}

bool
fluct_topic_places(FluctTopic *topic)
{
	topic->nplaces = fluct_kafkalog_places(&topic->places, be_patient);
	return topic->nplaces >= 0;
}

int
fluct_topic_find(const FluctTopic *topic, const char *name, int partition)
{
	static int	last = 0;

	for (int i = 0; i < topic->nplaces; i++)
	{
		int			at = (last + i) % topic->nplaces;

		if (topic->places[at].topic == name &&
			topic->places[at].partition == partition)
			return last = at;
	}
	return -1;
}

bool
fluct_topic_log(FluctTopic *topic)
{
	topic->begin = fluct_kafkalog_ends(topic->places, topic->nplaces,
									   FLUCT_OFFSET_BEGINNING, be_patient);
	topic->end = fluct_kafkalog_ends(topic->places, topic->nplaces,
									 FLUCT_OFFSET_END, be_patient);
	return topic->begin && topic->end;
}

static bool
is_of_stream(const FluctStream *stream, int partition)
{
	for (int i = 0; i < stream->npartitions; i++)
		if (stream->partitions[i] == partition)
			return true;
	return stream->partitions == NULL;
}

static bool
resolve_start(FluctTopic *topic, const char *start_at)
{
	return fluct_kafkalog_resolve(start_at, topic->end, topic->next,
								  topic->nplaces, be_patient);
}

bool
fluct_topic_start(FluctTopic *topic, const char *start_at)
{
	topic->next = palloc0(sizeof(int64) * topic->nplaces);
	return resolve_start(topic, start_at);
}

bool
fluct_topic_confirm_ends(FluctTopic *topic)
{
	return fluct_kafkalog_confirm(topic->next, topic->end,
								  topic->nplaces, be_patient);
}

bool
fluct_topic_positions(FluctTopic *topic, const char *start_at,
					  FluctPlace *gone)
{
	MemoryContext context = CurrentMemoryContext;
	FluctPosition *positions;
	int			count;

	gone->topic = NULL;
	fluct_worker_begin();
	positions = fluct_offsets_read(topic->stream->name, &count, context);
	topic->unknown = fluct_offsets_unknown_partition(topic->stream->name, start_at,
													 topic->places, topic->nplaces,
													 context);
	fluct_worker_commit();
	topic->is_new = count == 0;
	topic->next = palloc(sizeof(int64) * topic->nplaces);
	for (int i = 0; i < topic->nplaces; i++)
		topic->next[i] = is_of_stream(topic->stream, topic->places[i].partition) ? topic->begin[i].offset : -1;
	if (start_at || topic->is_new)
		return resolve_start(topic, start_at ? start_at : topic->stream->start_at);
	for (int i = 0; i < count; i++)
	{
		int			at = fluct_topic_find(topic, positions[i].topic,
										  positions[i].partition);

		if (!fluct_topics_include(topic->stream->topic, positions[i].topic))
			continue;
		if (at < 0)
		{
			gone->topic = positions[i].topic;
			gone->partition = positions[i].partition;
		}
		else if (topic->next[at] >= 0)
			topic->next[at] = positions[i].next_offset;
	}
	return fluct_topic_confirm_ends(topic);
}

/* Whether there is nothing more to come of the partitions assigned. */
static bool
all_read(const FluctPlace *places, int count)
{
	for (int i = 0; i < count; i++)
		if (fluct_kafka_end_reached(places[i].topic, places[i].partition) < 0)
			return false;
	return true;
}

/* Reads from these offsets on; returns how many places have something. */
static int
assign(const FluctTopic *topic, const int64 *from, FluctPlace *places)
{
	int64	   *offsets = palloc(sizeof(int64) * topic->nplaces);
	int			n = 0;

	for (int i = 0; i < topic->nplaces; i++)
		if (from[i] >= 0 && from[i] < topic->end[i].offset)
		{
			places[n] = topic->places[i];
			offsets[n++] = Max(from[i], topic->begin[i].offset);
		}
	if (n > 0)
		fluct_kafka_assign(places, offsets, n);
	return n;
}

/* Waits for something to arrive, at most until so many ms after begin. */
static void
await_messages(TimestampTz begin, long ms)
{
	fluct_worker_wait(fluct_kafka_socket(), Max(ms - fluct_worker_ms_since(begin), 0));
	fluct_kafka_drain_socket();
}

int
fluct_topic_read(const FluctTopic *topic, const int64 *from,
				 FluctMessage *messages, int max, long ms)
{
	FluctPlace *places = palloc(sizeof(FluctPlace) * topic->nplaces);
	TimestampTz begin = GetCurrentTimestamp();
	int			n = assign(topic, from, places);
	int			count = 0;

	while (n > 0 && count < max && fluct_worker_ms_since(begin) < ms)
	{
		int			got = fluct_kafka_poll(messages + count, max - count);

		count += got;
		if (got == 0 && all_read(places, n))
			break;
		if (got == 0)
			await_messages(begin, ms);
	}
	return count;
}

int64
fluct_topic_oldest(const FluctTopic *topic, const int64 *from, long ms,
				   bool *all)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "fluct oldest",
												  ALLOCSET_DEFAULT_SIZES);
	FluctPlace *places = palloc(sizeof(FluctPlace) * topic->nplaces);
	bool	   *seen = palloc0(sizeof(bool) * topic->nplaces);
	TimestampTz begin = GetCurrentTimestamp();
	int			n = assign(topic, from, places);
	int			left = n;
	int64		oldest = -1;

	while (left > 0 && fluct_worker_ms_since(begin) < ms)
	{
		FluctMessage messages[64];
		MemoryContext old = MemoryContextSwitchTo(context);
		int			got = fluct_kafka_poll(messages, lengthof(messages));

		MemoryContextSwitchTo(old);
		for (int i = 0; i < got; i++)
		{
			int			at = fluct_topic_find(topic, messages[i].topic,
											  messages[i].partition);

			if (!seen[at])
				left--;
			seen[at] = true;
			if (messages[i].time_ms >= 0 &&
				(oldest < 0 || messages[i].time_ms < oldest))
				oldest = messages[i].time_ms;
		}
		MemoryContextReset(context);
		if (got == 0 && all_read(places, n))
			left = 0;
		else if (got == 0)
			await_messages(begin, ms);
	}
	*all = left == 0;
	return oldest;
}
