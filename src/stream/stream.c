/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  The stream worker: a process that consumes one stream.
 *
 * Life: read the stream, compile its mapping, create the Kafka client, find
 * the positions, assign, and then batch after batch until somebody stops it.
 *
 * Restart is the recovery and the reconfiguration.  A worker that finds its
 * stream changed exits, and the launcher starts a new one; so no batch mixes
 * two mappings, and there is one path into every state.
 *
 * One wait.  The worker sleeps on its latch (a change, a reload, a stop) and
 * on the client's pipe (something arrived) together.  It sleeps only when the
 * client's queue has been polled empty, since only then does the pipe speak.
 *
 * If a topic is deleted and recreated while a worker reads it, the client
 * would go on with other messages.  So when a connection was lost, or a broker
 * did not know a partition, what was gathered since is dropped, and a new
 * client begins as at a start: it waits for the brokers, and compares.
 *
 * For a session (run_stream) the same worker does the same work (foreground.c).
 *
 * Faults of the brokers are waited out here, with the reason in the state;
 * those of the database in backoff.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <malloc.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "bookkeeping/offsets.h"
#include "kafka/changes.h"
#include "kafka/connection.h"
#include "kafka/consumer.h"
#include "process/worker.h"
#include "stream/backoff.h"
#include "stream/batch.h"
#include "stream/durable.h"
#include "stream/position.h"
#include "stream/retention.h"
#include "stream/stall.h"
#include "stream/state.h"
#include "stream/stream.h"
#include "stream/watch.h"

#define PROBE_INTERVAL		5000	/* ms of silence before a question */
#define RETRY_INTERVAL		1000	/* ms between questions in trouble */
#define DISCOVERY_INTERVAL	30000	/* ms between questions in any case */
#define LOOK_INTERVAL		2000	/* ms between looks at the log */
#define SETTINGS_INTERVAL	60000	/* ms between starts with the same bad
									 * ones */
#define REFUSED_INTERVAL	5000	/* ms between clients that are refused */
#define DOUBT_INTERVAL		1000	/* ms between clients that are in doubt,
									 * at first; the tenth waits ten times as
									 * long */

#define KEPT_MEMORY			(32 * 1024 * 1024)

/*
 * A batch that waits longer for a lock reports it, checks the stream, and
 * waits again.
 */
#define LOCK_TIMEOUT		"5s"

/* What this process goes through. */
typedef struct Worker
{
	TimestampTz last_word;		/* of the brokers */
	TimestampTz last_probe;		/* when they were asked */
	TimestampTz client_since;
	int			replaced;		/* clients that have delivered nothing yet */
} Worker;

static Worker self;

/* Messages that wait to be committed. */
static int
gathered(void)
{
	int			count;

	(void) fluct_batch_messages(&count);
	return count;
}

/* ----- the brokers' health ----- */

static void
open_client(void)
{
	FluctClient about;

	fluct_changes_begin(fluct_stream, GetSessionUserId());
	fluct_client_open(fluct_stream, GetSessionUserId(), &about);
	fluct_position_take();
	self.client_since = self.last_probe = self.last_word =
		GetCurrentTimestamp();
}

/*
 * Only without a batch, since positions are read again.  The state stays as it
 * is until the new client has delivered something.
 */
static void
replace_client(void)
{
	fluct_kafka_close();
	self.replaced++;
	open_client();
}

/*
 * Messages that have arrived since may belong to another topic of that name.
 */
static void
drop_doubtful(void)
{
	fluct_batch_forget();
	fluct_durable_tell();
	if (fluct_worker_ms_since(self.client_since) >=
		DOUBT_INTERVAL * Min(self.replaced, 10))
		replace_client();
}

/*
 * Does what the trouble, if there is any, asks for, and says so.  False where
 * it is not yet time to ask the broker again.
 */
static bool
heed_trouble(const FluctTrouble *trouble)
{
	if (trouble->lost_partition >= 0)
	{
		if (fluct_watch)
			fluct_watch_begin_again();
		proc_exit(0);			/* the next worker sees what was lost */
	}
	if (strcmp(trouble->reason, "message_too_large") == 0)
	{
		if (gathered() > 0)
			return false;		/* what came before it is stored first */
		fluct_stall_fail(trouble->reason, trouble->detail);
	}
	if (trouble->reason[0] == '\0')
		return true;
	fluct_position_note_held();
	fluct_state_set("backing_off", trouble->reason, trouble->detail);
	return fluct_worker_ms_since(self.last_probe) >= RETRY_INTERVAL;
}

/*
 * Asks for the topic's partitions now and then, which shows whether a broker
 * answers and whether partitions were added.  While there is trouble it also
 * asks when messages arrive: they may have been fetched before.
 */
static void
probe(void)
{
	const FluctTrouble *trouble = fluct_kafka_trouble();
	FluctPlace *places;
	int			count;

	if (self.replaced > 0 && trouble->reason[0] == '\0' && fluct_kafka_heard())
	{
		self.replaced = 0;
		fluct_stall_say();
	}
	if (trouble->reason[0] == '\0' &&
		fluct_worker_ms_since(self.last_word) < PROBE_INTERVAL &&
		fluct_worker_ms_since(self.last_probe) < DISCOVERY_INTERVAL)
		return;
	fluct_durable_tell();		/* what follows may wait for the brokers */
	if (!heed_trouble(trouble))
		return;
	count = fluct_kafka_places(&places);
	self.last_probe = self.last_word = GetCurrentTimestamp();
	if (count < 0)
		return;
	if (!fluct_position_fits(places, count))
		fluct_state_make_way(); /* the next worker takes them up */
	/* reported only once: the next client shows whether it still is so */
	if (strcmp(trouble->reason, "authorization_failed") == 0)
	{
		if (gathered() == 0 &&
			fluct_worker_ms_since(self.client_since) >= REFUSED_INTERVAL)
			replace_client();
		return;
	}
	if (trouble->reason[0] != '\0')
		fluct_kafka_clear_trouble();
	if (self.replaced == 0)
		fluct_stall_say();		/* else it is not known yet whether that
								 * helped */
}

/* Milliseconds until there is something to do without anything arriving. */
static long
time_to_sleep(void)
{
	long		wait = fluct_kafka_trouble()->reason[0] ? RETRY_INTERVAL :
	PROBE_INTERVAL;

	wait = Min(wait, LOOK_INTERVAL);
	return gathered() > 0 ? Min(wait, fluct_batch_wait()) : wait;
}

/* In a run for a session: what it asked for is ticket 1 (foreground.c). */
static void
report_or_finish(void)
{
	uint64		lag = pg_atomic_read_u64(&fluct_slot->lag);

	if ((fluct_watch->max_batches > 0 &&
		 fluct_watch->batches >= fluct_watch->max_batches) ||
		pg_atomic_read_u64(&fluct_slot->sync_done) > 0)
	{
		fluct_position_note_held();
		fluct_watch_finish(fluct_stream->name, lag);
	}
	fluct_watch_say_progress(fluct_stream->name, lag);
}

static void
consume(void)
{
	MemoryContext loop = AllocSetContextCreate(TopMemoryContext, "fluct loop",
											   ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		bool		drained;
		bool		committed = false;

		MemoryContextReset(loop);
		MemoryContextSwitchTo(loop);
		fluct_state_check();
		fluct_shmem_note_alive(fluct_slot);
		fluct_kafka_drain_socket();
		drained = fluct_batch_gather() == 0;
		if (!drained)
			self.last_word = GetCurrentTimestamp();
		if (fluct_kafka_in_doubt())
			drop_doubtful();
		else
			committed = fluct_batch_commit_if_ended(drained);
		if (fluct_durable_is_told())
			fluct_position_observe();
		if (committed || gathered() == 0)
			fluct_position_serve_waiters();
		fluct_retention_note();
		if (fluct_watch)
			report_or_finish();
		CHECK_FOR_INTERRUPTS();
		probe();
		if (drained)
		{
			fluct_position_note_log();
			if (fluct_stall_look() && gathered() == 0)
				replace_client();
			fluct_worker_wait(fluct_kafka_socket(), time_to_sleep());
		}
	}
}

/* ----- main ----- */

static void
describe_place(void *arg)
{
	const FluctMessage *messages;
	int			count;

	if (fluct_stream == NULL)
		return;
	messages = fluct_batch_messages(&count);
	if (count > 0)
		errcontext("stream \"%s\", topic \"%s\", batch of %d messages from partition %d, offset " INT64_FORMAT,
				   fluct_stream->name, messages[0].topic, count,
				   messages[0].partition, messages[0].offset);
	else
		errcontext("stream \"%s\", topic \"%s\"", fluct_stream->name,
				   fluct_stream->topic);
}

static void
leave(void)
{
	fluct_durable_tell();
	fluct_position_note_held();
}

static void
start(FluctSlot *slot)
{
	fluct_state_begin(slot);
	if (fluct_stream->role != GetSessionUserId())
		ereport(FATAL,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("stream \"%s\" does not belong to the role of this session",
						fluct_stream->name)));
	fluct_batch_begin();
	open_client();
	fluct_state_leaving = leave;
	fluct_state_set("running", NULL, NULL);
}

/*
 * Without a connection to begin with, the next attempt needs other settings,
 * and begins as soon as they are there (fluct_state_check): not when the
 * launcher would allow it.
 */
static void
wait_for_settings(void)
{
	TimestampTz begin = GetCurrentTimestamp();

	while (strcmp(fluct_slot->reason, "bad_connection") == 0 &&
		   fluct_worker_ms_since(begin) < SETTINGS_INTERVAL)
		fluct_state_nap(RETRY_INTERVAL);
}

/*
 * A start that ended in an ERROR is retried when the launcher allows, or fails
 * the stream.
 */
static void
start_or_fail(FluctSlot *slot)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		start(slot);
	}
	PG_CATCH();
	{
		if (fluct_stream == NULL)
			PG_RE_THROW();
		fluct_backoff_digest_error(context, 0);
		if (fluct_watch)
			fluct_state_give_up();
		wait_for_settings();
		proc_exit(0);
	}
	PG_END_TRY();
}

/*
 * The next batch needs the memory of this one again.  Returning it to the
 * kernel in between costs page faults (5 % of a batch's time, measured).
 */
static void
keep_memory(void)
{
#ifdef M_TRIM_THRESHOLD
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, KEPT_MEMORY);
	mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY);
#endif
}

void
fluct_stream_work(FluctSlot *slot)
{
	ErrorContextCallback place = {error_context_stack, describe_place};

	keep_memory();
	SetConfigOption("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);
	error_context_stack = &place;
	MemoryContextSwitchTo(AllocSetContextCreate(TopMemoryContext,
												"fluct start",
												ALLOCSET_DEFAULT_SIZES));
	start_or_fail(slot);
	consume();
}

void
FluctStreamMain(Datum arg)
{
	FluctSlot  *slot = fluct_shmem_attach(arg);

	if (slot == NULL)
		proc_exit(0);
	fluct_worker_unblock();
	fluct_worker_connect(slot->database, slot->owner);
	slot->connected = true;
	fluct_stream_work(slot);
}
