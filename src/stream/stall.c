/*-------------------------------------------------------------------------
 *
 * stall.c
 *	  Whether a running stream makes progress.
 *
 * A client that delivers nothing reports nothing either; so now and then Kafka
 * is asked where each partition's readable log ends, which is its last stable
 * offset.  The high watermark comes free with each fetch: when it is beyond a
 * position that does not move, Kafka is asked at once.
 *
 * Three answers.  The readable log ends at our position, and so does the high
 * watermark: all is read.  The watermark is further: a producer's open
 * transaction holds the rest back, and we report that when two questions find
 * the same.  The readable log goes on (or Kafka does not say), or ends before:
 * the client should deliver, or notice, and after a minute of that the stream
 * is stalled.  Clients do go deaf, for example when a topic is deleted and
 * recreated within a moment: their fetches return nothing, and show an old end
 * for ever.  The next client begins by looking at the topic.
 *
 * What is not a stall.  A partition may wait for its turn while the client
 * brings full responses of others.  So silence counts only if less than a
 * response has arrived since the last question, or if more has arrived than
 * all partitions could need for each to have had its turn.  And it counts only
 * from question to question, both asked with an empty queue: never the time of
 * a slow batch.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "kafka/consumer.h"
#include "process/worker.h"
#include "stream/position.h"
#include "stream/stall.h"
#include "stream/state.h"

#define LOOK_INTERVAL		15000	/* ms between questions */
#define DOUBT_INTERVAL		2000	/* ms, when the log goes on */
#define STALLED_AFTER		60000	/* ms */
#define MOST_EXPANSION		16	/* of compressed responses */

/* What is known about a partition whose position does not move. */
typedef struct Still
{
	int64		at;				/* where it stands */
	TimestampTz since;
	bool		behind;			/* at the last question, the log ended
								 * elsewhere */
	bool		held;			/* by a transaction, at the last question */
	bool		open;			/* and at the one before */
	TimestampTz held_since;
	bool		stalled;
	long		silent;			/* ms without a message that was due */
	uint64		received;		/* in all, when it moved last */
} Still;

typedef struct Progress
{
	Still	   *stills;			/* by place in the positions */
	int			count;
	TimestampTz last_look;
	uint64		received;		/* bytes, in all */
	uint64		received_then;	/* at the last question */
	const char *reason;			/* what was found, or NULL */
	char		detail[FLUCT_LIVE_DETAIL_LEN];
} Progress;

static Progress progress;

void
fluct_stall_note_received(size_t bytes)
{
	progress.received += bytes;
}

static int64
stands_at(const FluctPosition *p)
{
	return Max(p->read_offset, p->next_offset);
}

static void
forget(Still *still, int64 at)
{
	memset(still, 0, sizeof(Still));
	still->at = at;
	still->since = GetCurrentTimestamp();
	still->received = progress.received;
}

/* Whether the log goes on beyond a position that has not moved for a while. */
static bool
note_movement(void)
{
	const FluctPosition *positions = fluct_position_all();
	bool		doubt = false;

	if (progress.count != fluct_position_count())
	{
		if (progress.stills)
			pfree(progress.stills);
		progress.count = fluct_position_count();
		progress.stills = MemoryContextAllocZero(TopMemoryContext,
												 sizeof(Still) * (progress.count + 1));
	}
	for (int i = 0; i < progress.count; i++)
	{
		Still	   *still = &progress.stills[i];

		if (still->at != stands_at(&positions[i]) || still->since == 0)
			forget(still, stands_at(&positions[i]));
		else if (positions[i].log_end > still->at &&
				 fluct_worker_ms_since(still->since) >= DOUBT_INTERVAL)
			doubt = true;
	}
	return doubt;
}

/*
 * Like fluct_position_ask_ends, but leaves it to others to report that brokers
 * are silent.
 */
static FluctOffset *
ask_ends(void)
{
	FluctOffset *ends = fluct_position_ask_ends();

	if (ends == NULL &&
		strcmp(fluct_kafka_trouble()->reason, "broker_unreachable") == 0)
		fluct_kafka_clear_trouble();
	return ends;
}

/* Whether the client had room and time to deliver from this partition. */
static bool
had_its_turn(const Still *still)
{
	return progress.received - progress.received_then < FLUCT_KAFKA_RESPONSE_BYTES ||
		progress.received - still->received >
		(uint64) progress.count * FLUCT_KAFKA_RESPONSE_BYTES * MOST_EXPANSION;
}

/* Takes an answer; returns whether the client is to be replaced. */
static bool
judge(Still *still, int64 readable_end, int64 log_end, long elapsed)
{
	bool		behind = readable_end != still->at;
	bool		held = !behind && log_end > readable_end;

	if (held && !still->held)
		still->held_since = GetCurrentTimestamp();
	still->open = held && still->held;
	still->held = held;
	if (behind && still->behind && had_its_turn(still))
		still->silent += elapsed;
	still->behind = behind;
	if (!behind)
	{
		still->silent = 0;
		still->stalled = false;
	}
	if (still->silent < STALLED_AFTER)
		return false;
	still->silent = 0;
	still->stalled = true;
	return true;
}

static char *
describe(const FluctPosition *position)
{
	return fluct_topics_describe(fluct_stream->topic, position->topic,
								 position->partition);
}

void
fluct_stall_fail(const char *reason, const char *detail)
{
	const FluctPosition *behind = NULL;

	for (int i = 0; i < fluct_position_count(); i++)
	{
		const FluctPosition *p = &fluct_position_all()[i];

		if (p->log_end <= stands_at(p))
			continue;
		if (behind)
			fluct_state_fail(reason, detail);
		behind = p;
	}
	if (behind == NULL)
		fluct_state_fail(reason, detail);
	fluct_state_fail_at(reason,
						psprintf("%s, offset " INT64_FORMAT ": %s", describe(behind),
								 stands_at(behind), detail),
						behind->topic, behind->partition, stands_at(behind) + 1);
}

static void
find_reason(void)
{
	const FluctPosition *positions = fluct_position_all();
	const char *reason = NULL;

	for (int i = 0; i < progress.count; i++)
	{
		const Still *still = &progress.stills[i];

		if (still->stalled)
		{
			reason = "stalled";
			snprintf(progress.detail, sizeof(progress.detail),
					 "%s: nothing has arrived from offset " INT64_FORMAT " on since %s, although Kafka's log ends elsewhere; the client is replaced once a minute",
					 describe(&positions[i]), still->at,
					 timestamptz_to_str(still->since));
			break;
		}
		if (!still->open || reason)
			continue;
		reason = "open_transaction";
		snprintf(progress.detail, sizeof(progress.detail),
				 "%s: a producer's transaction has been open at offset " INT64_FORMAT " since %s and holds back " INT64_FORMAT " offsets",
				 describe(&positions[i]), still->at,
				 timestamptz_to_str(still->held_since),
				 positions[i].log_end - still->at);
	}
	progress.reason = reason;
}

/* Without a reason, before and now, there is nothing to report. */
static void
say_reason(void)
{
	bool		had_one = progress.reason != NULL;

	find_reason();
	if (had_one || progress.reason)
		fluct_stall_say();
}

bool
fluct_stall_look(void)
{
	const FluctPosition *positions = fluct_position_all();
	bool		doubt = note_movement();
	long		elapsed = fluct_worker_ms_since(progress.last_look);
	bool		replace = false;
	FluctOffset *ends;

	if (fluct_kafka_trouble()->reason[0] != '\0')
		progress.last_look = 0; /* once it is over, it is due */
	if (fluct_kafka_trouble()->reason[0] != '\0' || progress.count == 0)
		return false;
	if (elapsed < (doubt ? DOUBT_INTERVAL : LOOK_INTERVAL))
	{
		if (progress.reason)
			say_reason();		/* a position that has moved ends it */
		return false;
	}
	ends = ask_ends();
	for (int i = 0; i < progress.count; i++)
		if (judge(&progress.stills[i], ends ? ends[i].offset : PG_INT64_MAX,
				  positions[i].log_end, Min(elapsed, LOOK_INTERVAL)))
			replace = true;
	progress.last_look = GetCurrentTimestamp();
	progress.received_then = progress.received;
	say_reason();
	return replace;
}

void
fluct_stall_say(void)
{
	fluct_state_set("running", progress.reason,
					progress.reason ? progress.detail : NULL);
}
