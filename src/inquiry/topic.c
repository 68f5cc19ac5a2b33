/*-------------------------------------------------------------------------
 *
 * topic.c
 *	  What a worker finds out for a session: question, answer, Kafka's state.
 *
 * Time.  Brokers that are silent are asked again for a few seconds only, so
 * that everything together stays below ten.  A reason that more asking can't
 * mend (a name, a password) is believed sooner; not at once, because of
 * several brokers one may be wrong, and a topic just made is not everywhere.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "libpq/pqformat.h"
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

FluctSubject fluct_subject;

/* ----- answering ----- */

void
fluct_look_put_row(const char *const *fields, int count)
{
	StringInfoData message;

	pq_beginmessage(&message, FLUCT_ANSWER_ROW);
	pq_sendint16(&message, count);
	for (int i = 0; i < count; i++)
	{
		int			len = fields[i] ? (int) strlen(fields[i]) : -1;

		pq_sendint32(&message, len);
		if (len > 0)
			pq_sendbytes(&message, fields[i], len);
	}
	pq_endmessage(&message);
}

void
fluct_look_put_end(void)
{
	StringInfoData message;

	pq_beginmessage(&message, FLUCT_ANSWER_END);
	pq_endmessage(&message);
}

void
fluct_look_put_life(void)
{
	StringInfoData message;

	pq_beginmessage(&message, FLUCT_ANSWER_ALIVE);
	pq_endmessage(&message);
}

void
fluct_look_throw_trouble(void)
{
	const FluctTrouble *trouble = fluct_kafka_trouble();
	bool		known = trouble->reason[0] != '\0';

	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION),
			 errmsg("topic \"%s\" can't be read: %s", fluct_subject.stream->topic,
					known ? trouble->reason : "broker_unreachable"),
			 errdetail("%s", known ? trouble->detail : "Nothing arrives."),
			 errhint("SELECT * FROM fluct.check_stream('%s');",
					 fluct_subject.stream->name)));
}

/* ----- asking Kafka ----- */

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
fluct_look_partitions(void)
{
	fluct_subject.npartitions = fluct_kafkalog_partitions(be_patient);
	return fluct_subject.npartitions >= 0;
}

bool
fluct_look_log(void)
{
	fluct_subject.begin = fluct_kafkalog_ends(fluct_subject.npartitions,
											  FLUCT_OFFSET_BEGINNING, be_patient);
	fluct_subject.end = fluct_kafkalog_ends(fluct_subject.npartitions,
											FLUCT_OFFSET_END, be_patient);
	return fluct_subject.begin && fluct_subject.end;
}

static bool
is_of_stream(int partition)
{
	const FluctStream *stream = fluct_subject.stream;

	for (int i = 0; i < stream->npartitions; i++)
		if (stream->partitions[i] == partition)
			return true;
	return stream->npartitions == 0;
}

static bool
resolve_start(const char *start_at)
{
	return fluct_kafkalog_resolve(start_at, fluct_subject.end, fluct_subject.next,
								  fluct_subject.npartitions, be_patient);
}

bool
fluct_look_start(const char *start_at)
{
	fluct_subject.next = palloc0(sizeof(int64) * fluct_subject.npartitions);
	return resolve_start(start_at);
}

bool
fluct_look_confirm_ends(void)
{
	return fluct_kafkalog_confirm(fluct_subject.next, fluct_subject.end,
								  fluct_subject.npartitions, be_patient);
}

bool
fluct_look_positions(const char *start_at, int *gone)
{
	MemoryContext context = CurrentMemoryContext;
	FluctPosition *positions;
	int			count;

	*gone = -1;
	fluct_worker_begin();
	positions = fluct_offsets_read(fluct_subject.stream->name, &count, context);
	fluct_worker_commit();
	fluct_subject.is_new = count == 0;
	fluct_subject.next = palloc(sizeof(int64) * fluct_subject.npartitions);
	for (int i = 0; i < fluct_subject.npartitions; i++)
		fluct_subject.next[i] = is_of_stream(i) ? fluct_subject.begin[i].offset : -1;
	if (start_at || fluct_subject.is_new)
		return resolve_start(start_at ? start_at : fluct_subject.stream->start_at);
	for (int i = 0; i < count; i++)
		if (positions[i].partition >= fluct_subject.npartitions)
			*gone = positions[i].partition;
		else if (fluct_subject.next[positions[i].partition] >= 0)
			fluct_subject.next[positions[i].partition] = positions[i].next_offset;
	return fluct_look_confirm_ends();
}

/* Whether there is nothing more to come of the partitions assigned. */
static bool
all_read(const int32 *partitions, int count)
{
	for (int i = 0; i < count; i++)
		if (fluct_kafka_end_reached(partitions[i]) < 0)
			return false;
	return true;
}

/* Reads these partitions' offsets on; returns how many have something. */
static int
assign(const int64 *from, int32 *partitions)
{
	int64	   *offsets = palloc(sizeof(int64) * fluct_subject.npartitions);
	int			n = 0;

	for (int i = 0; i < fluct_subject.npartitions; i++)
		if (from[i] >= 0 && from[i] < fluct_subject.end[i].offset)
		{
			partitions[n] = i;
			offsets[n++] = Max(from[i], fluct_subject.begin[i].offset);
		}
	if (n > 0)
		fluct_kafka_assign(partitions, offsets, n);
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
fluct_look_read(const int64 *from, FluctMessage *messages, int max, long ms)
{
	int32	   *partitions = palloc(sizeof(int32) * fluct_subject.npartitions);
	TimestampTz begin = GetCurrentTimestamp();
	int			n = assign(from, partitions);
	int			count = 0;

	while (n > 0 && count < max && fluct_worker_ms_since(begin) < ms)
	{
		int			got = fluct_kafka_poll(messages + count, max - count);

		count += got;
		if (got == 0 && all_read(partitions, n))
			break;
		if (got == 0)
			await_messages(begin, ms);
	}
	return count;
}

int64
fluct_look_oldest(const int64 *from, long ms, bool *all)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "fluct oldest",
												  ALLOCSET_DEFAULT_SIZES);
	int32	   *partitions = palloc(sizeof(int32) * fluct_subject.npartitions);
	bool	   *seen = palloc0(sizeof(bool) * fluct_subject.npartitions);
	TimestampTz begin = GetCurrentTimestamp();
	int			n = assign(from, partitions);
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
			if (!seen[messages[i].partition])
				left--;
			seen[messages[i].partition] = true;
			if (messages[i].time_ms >= 0 &&
				(oldest < 0 || messages[i].time_ms < oldest))
				oldest = messages[i].time_ms;
		}
		MemoryContextReset(context);
		if (got == 0 && all_read(partitions, n))
			left = 0;
		else if (got == 0)
			await_messages(begin, ms);
	}
	*all = left == 0;
	return oldest;
}
