/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  The batch that a stream worker gathers and commits.
 *
 * A batch ends by the number of its messages, by their bytes, or by the time
 * that the first of them has waited.  It also ends once all that Kafka has is
 * in hand, unless the last one was committed less than batch_interval ago: so
 * the first message after a silence does not wait, and there are still at most
 * as many commits as the interval allows.
 *
 * What the sink leaves of a batch begins the next one, in memory of its own: a
 * batch that ends by bytes leaves a few messages of those that arrived
 * together, which are too few for a transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/refusal.h"
#include "bookkeeping/dead_letters.h"
#include "bookkeeping/owner.h"
#include "kafka/consumer.h"
#include "process/batches.h"
#include "process/worker.h"
#include "sink/sink.h"
#include "stream/backoff.h"
#include "stream/batch.h"
#include "stream/durable.h"
#include "stream/position.h"
#include "stream/stall.h"
#include "stream/state.h"
#include "stream/watch.h"

typedef struct Gathered
{
	FluctSink  *sink;
	MemoryContext context;		/* the messages' */
	FluctMessage *messages;
	int			count;
	size_t		bytes;
	TimestampTz since;			/* when the first of them arrived */
	bool		at_once;		/* it may end once all is in hand */
	const char *ended;			/* why it did (batches.h) */
	bool		committed;		/* a batch, since the start */
	TimestampTz last_commit;
} Gathered;

static Gathered batch;

static void
open_sink(void)
{
	fluct_worker_begin();
	if (batch.sink)
		fluct_sink_close(batch.sink);
	batch.sink = NULL;
	batch.sink = fluct_sink_open(fluct_stream, GetSessionUserId(),
								 TopMemoryContext);
	fluct_worker_commit();
}

/*
 * Fails the stream if there are more dead letters in the window than it
 * allows.
 */
static void
check_dead_letters(int count)
{
	int64		recent;

	if (fluct_sink_refused(batch.messages, count) == NULL)
		return;
	fluct_worker_begin();
	recent = fluct_dead_letters_recent(fluct_stream->name);
	fluct_worker_commit();
	if (recent > fluct_stream->max_dead_letters)
		fluct_state_fail("too_many_dead_letters",
						 psprintf(INT64_FORMAT " within error_window, and max_dead_letters is %d",
								  recent, fluct_stream->max_dead_letters));
}

static void
fail_nothing_fits(void)
{
	const FluctMessage *message = fluct_sink_refused(batch.messages, batch.count);

	if (message == NULL)
		fluct_state_fail("nothing_fits",
						 psprintf("in %d messages nothing was found at any path of the mapping: %s",
								  batch.count, fluct_sink_missing_paths(batch.sink)));
	fluct_state_fail("nothing_fits",
					 psprintf("all %d messages of the first batch were refused; the first: %s at %s, %s",
							  batch.count, fluct_reason_name(message->refusal->reason),
							  message->refusal->path, message->refusal->detail));
}

static void
fail_unfit_owner(void)
{
	const char *reason;
	char	   *detail = NULL;
	char	   *hint = NULL;

	fluct_worker_begin();
	reason = fluct_owner_obstacle(psprintf("stream \"%s\"", fluct_stream->name),
								  fluct_stream->owner, GetSessionUserId(), false,
								  &detail, &hint);
	fluct_worker_commit();
	if (reason)
		fluct_state_fail(reason, psprintf("%s: %s", detail, hint));
}

static bool
ended_by_bytes(void)
{
	return strcmp(batch.ended, FLUCT_ENDED_BYTES) == 0;
}

/*
 * Whether the next batch can begin at once, as far as the last answers of
 * Kafka say.  A session that asked for so many batches gets each on disk.
 */
static bool
is_followed(void)
{
	return (strcmp(batch.ended, FLUCT_ENDED_COUNT) == 0 || ended_by_bytes()) &&
		!fluct_position_in_hand() &&
		(fluct_watch == NULL || fluct_watch->max_batches == 0);
}

/*
 * One batch of the messages that were gathered: the first *taken of them, and
 * the positions that move with them.
 */
static bool
try_commit(FluctPosition *touched, int n, int *taken, int attempt)
{
	MemoryContext context = CurrentMemoryContext;
	volatile FluctVerdict verdict = FLUCT_COMMITTED;
	volatile bool done = false;

	PG_TRY();
	{
		if (batch.sink == NULL || fluct_sink_stale(batch.sink))
			open_sink();
		*taken = batch.count;

		verdict = fluct_sink_commit(batch.sink, fluct_slot->worker, batch.messages,
									taken, touched, n, !batch.committed,
									is_followed());
		done = true;
	}
	PG_CATCH();
	{
		fluct_backoff_digest_error(context, attempt);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	if (done && verdict == FLUCT_NOTHING_FITS)
		fail_nothing_fits();
	if (done && verdict == FLUCT_OWNER_UNFIT)
		fail_unfit_owner();
	if (done && verdict == FLUCT_MOVED_BY_ANOTHER)
		fluct_state_leave_to_another();
	return done && verdict == FLUCT_COMMITTED;
}

/* ----- what is left of a batch ----- */

void
fluct_batch_forget(void)
{
	batch.count = 0;
	batch.bytes = 0;
	MemoryContextReset(batch.context);
}

static void
drop_messages(int taken)
{
	for (int i = 0; i < taken; i++)
		batch.bytes -= fluct_message_bytes(&batch.messages[i]);
	batch.count -= taken;
	memmove(batch.messages, batch.messages + taken,
			sizeof(FluctMessage) * batch.count);
}

/* Whether it is too little for a transaction of its own. */
static bool
left_little(void)
{
	return ended_by_bytes() &&
		batch.bytes < (size_t) fluct_stream->batch_bytes / 8;
}

static const char *
copy_bytes(const char *from, size_t len)
{
	return from ? memcpy(palloc(len + 1), from, len) : NULL;
}

/* Begins the next batch with it. */
static void
keep_rest(void)
{
	MemoryContext before = batch.context;
	MemoryContext old;

	batch.context = AllocSetContextCreate(TopMemoryContext, "fluct batch",
										  ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(batch.context);
	for (int i = 0; i < batch.count; i++)
	{
		FluctMessage *message = &batch.messages[i];

		message->key = copy_bytes(message->key, message->key_len);
		message->value = copy_bytes(message->value, message->value_len);
		if (message->headers)
			message->headers = pstrdup(message->headers);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(before);
	batch.since = GetCurrentTimestamp();
}

/* ----- committing ----- */

/* False where no position has moved. */
static bool
commit_some(FluctPosition *touched)
{
	int			taken = 0;
	int			n = 0;
	TimestampTz since;

	for (int attempt = 0;; attempt++)
	{
		/* what changed a table may have changed the mapping with it */
		if (attempt > 0)
			fluct_state_check();
		since = GetCurrentTimestamp();
		n = fluct_position_plan(touched);
		if (n == 0)
			return false;
		if (try_commit(touched, n, &taken, attempt))
			break;
	}
	/* what was fetched before a trouble does not end it: probe() does */
	if (fluct_kafka_trouble()->reason[0] == '\0')
		fluct_stall_say();
	batch.committed = true;
	batch.last_commit = GetCurrentTimestamp();
	fluct_durable_note(since, batch.messages, taken, touched, n,
					   taken < batch.count && !ended_by_bytes() ?
					   FLUCT_ENDED_ROWS : batch.ended);
	check_dead_letters(taken);
	drop_messages(taken);
	return true;
}

static void
commit(void)
{
	FluctPosition *touched = palloc(sizeof(FluctPosition) *
									(fluct_position_count() + 1));

	while (commit_some(touched) && batch.count > 0)
		if (left_little())
		{
			keep_rest();
			return;
		}
	fluct_batch_forget();
}

/* ----- gathering ----- */

void
fluct_batch_begin(void)
{
	batch.context = AllocSetContextCreate(TopMemoryContext, "fluct batch",
										  ALLOCSET_DEFAULT_SIZES);
	batch.messages = MemoryContextAllocHuge(TopMemoryContext,
											sizeof(FluctMessage) *
											fluct_stream->batch_size);
	open_sink();
}

const FluctMessage *
fluct_batch_messages(int *count)
{
	*count = batch.count;
	return batch.messages;
}

/*
 * A first batch of what arrives in a silent topic waits for more, since
 * whether the mapping fits is judged by it.
 */
static void
begin_batch(void)
{
	batch.since = GetCurrentTimestamp();
	batch.at_once = batch.committed ||
		pg_atomic_read_u64(&fluct_slot->lag) > 0;
}

int
fluct_batch_gather(void)
{
	MemoryContext old = MemoryContextSwitchTo(batch.context);
	FluctMessage *arrived = batch.messages + batch.count;
	int			n = fluct_kafka_poll(arrived,
									 fluct_stream->batch_size - batch.count);

	MemoryContextSwitchTo(old);
	if (n > 0 && batch.count == 0)
		begin_batch();
	for (int i = 0; i < n; i++)
	{
		const FluctMessage *message = &arrived[i];

		fluct_stall_note_received(message->key_len + message->value_len);
		if (!fluct_position_read(message))
			continue;
		batch.bytes += fluct_message_bytes(message);
		batch.messages[batch.count++] = *message;
	}
	return n;
}

/* Milliseconds from `since` on that batch_interval leaves. */
static long
left_since(TimestampTz since)
{
	return Max(0, fluct_stream->batch_interval - fluct_worker_ms_since(since));
}

long
fluct_batch_wait(void)
{
	if (batch.at_once && fluct_position_in_hand())
		return left_since(Min(batch.since, batch.last_commit));
	return left_since(batch.since);
}

/* Why what was gathered is to be committed now; NULL = not yet. */
static const char *
why_it_ends(bool drained)
{
	if (batch.count >= fluct_stream->batch_size)
		return FLUCT_ENDED_COUNT;
	if (batch.bytes >= (size_t) fluct_stream->batch_bytes)
		return FLUCT_ENDED_BYTES;
	if (batch.count > 0 &&
		(drained ? fluct_batch_wait() : left_since(batch.since)) == 0)
		return FLUCT_ENDED_TIME;
	if (batch.count == 0 && drained && fluct_position_behind_markers())
		return FLUCT_ENDED_MARKERS;
	return NULL;
}

bool
fluct_batch_commit_if_ended(bool drained)
{
	batch.ended = why_it_ends(drained);
	if (batch.ended)
		commit();
	if (drained)
		fluct_durable_tell();
	return batch.ended != NULL;
}
