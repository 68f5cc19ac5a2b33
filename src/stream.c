/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  The stream worker: a process that consumes one stream.
 *
 * Life: read the stream, compile its mapping, create the Kafka client, find
 * the positions, assign, and then batch after batch until somebody stops it.
 *
 * Restart is the recovery and the reconfiguration.  A worker that finds its
 * stream changed leaves, and the launcher starts a fresh one; so no batch
 * mixes two mappings, and there is one path into every state.
 *
 * One wait.  The worker sleeps on its latch (a change, a reload, a stop) and
 * on the client's pipe (something arrived) together.  It sleeps only when the
 * client's queue has been polled empty, since only then does the pipe speak.
 *
 * Faults of the brokers are waited out here, with the reason in the state.
 * Faults of the database that may pass are tried again with a growing wait;
 * the batch stays in memory, and its offsets are where they were.  All else
 * fails the stream, and only start_stream starts it again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "catalog.h"
#include "commands/dbcommands.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "guc.h"
#include "kafka.h"
#include "miscadmin.h"
#include "options.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "shmem.h"
#include "sink.h"
#include "storage/ipc.h"
#include "stream.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "value.h"
#include "worker.h"

#define PROBE_INTERVAL		5000	/* ms between looks at the brokers */
#define RETRY_INTERVAL		1000	/* ms between tries while they are down */
#define LOG_INTERVAL		10000	/* ms between notes of Kafka's log */
#define LONGEST_RETRY		60000	/* ms between tries of a batch */
#define RATE_WINDOW			10000	/* ms */

/* All that this process knows. */
typedef struct Worker
{
	FluctSlot  *slot;
	FluctStream *stream;
	Oid			owner;
	FluctSink  *sink;

	FluctPosition *positions;	/* of this worker's partitions */
	int			npositions;
	int			topic_partitions;

	MemoryContext batch;		/* the messages; reset after each commit */
	FluctMessage *messages;
	int			count;
	size_t		bytes;
	TimestampTz batch_since;

	uint64		changes_seen;
	bool		committed;		/* a batch, since the start */
	char		reason[FLUCT_STATE_LEN];	/* as last stored in the table */
	TimestampTz last_word;		/* of the brokers */
	TimestampTz last_note;		/* of Kafka's log in the table */
	TimestampTz rate_since;
	int64		rate_count;
	uint64		sync_ticket;	/* being fulfilled; 0 = none */
	int64	   *sync_target;	/* by place in positions */
} Worker;

static Worker self;

/* ----- states ----- */

static long
ms_since(TimestampTz then)
{
	return TimestampDifferenceMilliseconds(then, GetCurrentTimestamp());
}

/* A word to the table; it must not be in the way when it can't be written. */
static void
store_state(const char *state, const char *reason, const char *detail,
			const char *error)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		fluct_worker_begin();
		fluct_catalog_set_state(self.stream->name, self.slot->worker,
								self.stream->starts, state, reason, detail,
								error);
		fluct_worker_commit();
	}
	PG_CATCH();
	{
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

static void
report_activity(const char *state, const char *reason)
{
	char		text[256];

	snprintf(text, sizeof(text), "stream %s: %s%s%s", self.slot->stream, state,
			 reason ? ", " : "", reason ? reason : "");
	pgstat_report_activity(strcmp(state, "running") == 0 && reason == NULL ?
						   STATE_IDLE : STATE_RUNNING, text);
}

/*
 * Says how it is: to the processes at once, to the table and the log when the
 * reason is a new one.
 */
static void
set_state(const char *state, const char *reason, const char *detail)
{
	char		key[FLUCT_STATE_LEN];

	fluct_shmem_set_state(self.slot, state, reason, detail);
	report_activity(state, reason);
	snprintf(key, sizeof(key), "%s", reason ? reason : state);
	if (strcmp(key, self.reason) == 0)
		return;
	strlcpy(self.reason, key, sizeof(self.reason));
	store_state(state, reason, detail, reason ? detail : NULL);
	if (reason)
		ereport(LOG,
				(errmsg("stream \"%s\" is %s: %s", self.stream->name, state,
						reason),
				 detail ? errdetail_internal("%s", detail) : 0,
				 errhidecontext(true)));
}

/* The end of the stream until somebody starts it again. */
static void
fail(const char *reason, const char *detail)
{
	fluct_shmem_set_state(self.slot, "failed", reason, detail);
	store_state("failed", reason, detail, detail);
	ereport(LOG,
			(errmsg("stream \"%s\" has failed: %s", self.stream->name, reason),
			 detail ? errdetail_internal("%s", detail) : 0,
			 errhidecontext(true),
			 errhint("When the cause is gone: SELECT fluct.start_stream('%s');",
					 self.stream->name)));

	proc_exit(0);
}

/* ----- the stream ----- */

static FluctStream *
read_stream(void)
{
	FluctStream *stream;

	fluct_worker_begin();
	stream = fluct_catalog_stream(self.slot->stream, TopMemoryContext);
	fluct_worker_commit();
	return stream;
}

/* Leaves to the next worker what this one can't do; that is no failure. */
static void
make_way(void)
{
	fluct_worker_begin();
	fluct_catalog_count_success(self.stream->name, self.slot->worker);
	fluct_worker_commit();
	proc_exit(0);
}

/* Leaves when the stream is no more what this worker was started for. */
static void
check_changes(void)
{
	uint64		changes = pg_atomic_read_u64(&fluct_shared->changes);
	FluctStream *now;

	if (!fluct_enabled)
		proc_exit(0);
	if (changes == self.changes_seen)
		return;
	self.changes_seen = changes;
	now = read_stream();
	if (now == NULL || !now->enabled || !now->here ||
		now->version != self.stream->version)
		make_way();
}

static void
nap(long ms)
{
	fluct_worker_wait(PGINVALID_SOCKET, ms);
	check_changes();
}

static void
open_sink(void)
{
	fluct_worker_begin();
	if (self.sink)
		fluct_sink_close(self.sink);
	self.sink = NULL;
	self.owner = get_role_oid(self.stream->owner, true);
	if (!OidIsValid(self.owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\", the owner of stream \"%s\", does not exist",
						self.stream->owner, self.stream->name)));
	self.sink = fluct_sink_open(self.stream, self.owner, TopMemoryContext);
	fluct_sink_check_owner(self.sink);
	fluct_worker_commit();
}

static void
open_client(void)
{
	List	   *options;
	ListCell   *lc;
	const char *group = NULL;
	FluctSetting *settings;
	int			nsettings;

	fluct_worker_begin();
	options = fluct_catalog_options(self.stream->server, self.owner,
									TopMemoryContext);
	settings = fluct_options_settings(options, self.stream->owner, &nsettings);
	foreach(lc, options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "group_id") == 0)
			group = strVal(def->arg);
	}
	if (group == NULL)
		group = psprintf("fluct.%s.%s", get_database_name(MyDatabaseId),
						 self.stream->name);
	fluct_kafka_open(settings, nsettings, group, self.stream->topic);
	fluct_worker_commit();
}

/* ----- positions ----- */

static bool
is_mine(int partition)
{
	int			place = partition;

	if (self.stream->npartitions > 0)
	{
		for (place = 0; place < self.stream->npartitions; place++)
			if (self.stream->partitions[place] == partition)
				break;
		if (place == self.stream->npartitions)
			return false;
	}
	return place % self.stream->workers == self.slot->worker;
}

/* Asks until the brokers answer. */
static void
wait_for_partitions(void)
{
	while ((self.topic_partitions = fluct_kafka_partitions()) < 0)
	{
		const FluctTrouble *trouble = fluct_kafka_trouble();

		set_state("backing_off", trouble->reason, trouble->detail);
		fluct_kafka_clear_trouble();
		nap(RETRY_INTERVAL);
	}
	fluct_kafka_clear_trouble();
}

/* The log's ends of all partitions: at is FLUCT_OFFSET_BEGINNING or _END. */
static FluctOffset *
ask_log(int64 at)
{
	FluctOffset *offsets = palloc0(sizeof(FluctOffset) * self.topic_partitions);

	for (int i = 0; i < self.topic_partitions; i++)
	{
		offsets[i].partition = i;
		offsets[i].at = at;
	}
	while (!fluct_kafka_offsets(offsets, self.topic_partitions))
	{
		const FluctTrouble *trouble = fluct_kafka_trouble();

		set_state("backing_off", trouble->reason, trouble->detail);
		fluct_kafka_clear_trouble();
		nap(RETRY_INTERVAL);
	}
	return offsets;
}

/* Where start_at begins, as numbers. */
static FluctOffset *
resolve_start(const FluctOffset *ends)
{
	FluctOffset *start = ask_log(FLUCT_OFFSET_BEGINNING);
	bool	   *exact = palloc0(sizeof(bool) * self.topic_partitions);

	if (self.stream->start_at == NULL)
		return start;
	fluct_worker_begin();
	for (int i = 0; i < self.topic_partitions; i++)
		start[i].at = fluct_catalog_start_of(self.stream->start_at, i, &exact[i]);
	fluct_worker_commit();
	for (int i = 0; i < self.topic_partitions; i++)
		if (exact[i])
		{
			int64		offset = start[i].at;

			start[i].at = FLUCT_OFFSET_BEGINNING;
			start[i].offset = offset;
		}
	for (int i = 0; i < self.topic_partitions; i++)
	{
		while (!exact[i] && !fluct_kafka_offsets(&start[i], 1))
			nap(RETRY_INTERVAL);
		if (start[i].offset < 0)
			start[i].offset = ends[i].offset;
	}
	return start;
}

/*
 * Positions for partitions that have none: of a stream that never ran, where
 * start_at says; of a partition that was added since, its beginning.  They
 * are committed before the first message is read.
 */
static void
make_positions(const FluctOffset *starts, const FluctOffset *beginnings)
{
	int			known;

	fluct_worker_begin();
	fluct_catalog_lock_positions(self.stream->name);
	(void) fluct_catalog_positions(self.stream->name, &known,
								   CurrentMemoryContext);
	for (int i = 0; i < self.topic_partitions; i++)
	{
		FluctPosition position = {.partition = i};

		position.next_offset = known == 0 ? starts[i].offset :
			beginnings[i].offset;
		fluct_catalog_add_position(self.stream->name, self.stream->topic, &position);
	}
	fluct_worker_commit();
}

static void
read_positions(void)
{
	FluctPosition *all;
	int			count;

	fluct_worker_begin();
	all = fluct_catalog_positions(self.stream->name, &count, TopMemoryContext);
	fluct_worker_commit();
	self.npositions = 0;
	for (int i = 0; i < count; i++)
		if (is_mine(all[i].partition))
			all[self.npositions++] = all[i];
	self.positions = all;
	self.sync_target = MemoryContextAlloc(TopMemoryContext,
										  sizeof(int64) * (self.npositions + 1));
}

/* Kafka deleted what was not read yet: a gap, if the stream allows one. */
static void
skip_lost(FluctPosition *position, int64 beginning)
{
	char	   *detail;

	detail = psprintf("partition %d: offset " INT64_FORMAT " is wanted, and Kafka's log begins at " INT64_FORMAT,
					  position->partition, position->next_offset, beginning);
	if (!self.stream->skip_data_loss)
		fail("data_loss", detail);
	ereport(LOG,
			(errmsg("stream \"%s\" goes past lost messages",
					self.stream->name), errdetail_internal("%s", detail)));
	position->read_offset = beginning;
	fluct_worker_begin();
	fluct_catalog_add_gap(self.stream->name, self.stream->topic,
						  position->partition, position->next_offset,
						  beginning, "data_loss");
	if (!fluct_catalog_advance(self.stream->name, position, 1))
		proc_exit(0);
	fluct_worker_commit();
	position->next_offset = beginning;
}

static void
check_positions(const FluctOffset *beginnings, const FluctOffset *ends)
{
	for (int i = 0; i < self.npositions; i++)
	{
		FluctPosition *p = &self.positions[i];

		if (p->partition >= self.topic_partitions)
			fail("topic_changed",
				 psprintf("partition %d is gone from topic \"%s\"",
						  p->partition, self.stream->topic));
		if (p->next_offset < beginnings[p->partition].offset)
			skip_lost(p, beginnings[p->partition].offset);
		if (p->next_offset > ends[p->partition].offset)
			fail("topic_changed",
				 psprintf("partition %d: offset " INT64_FORMAT " is wanted, and Kafka's log ends at " INT64_FORMAT,
						  p->partition, p->next_offset,
						  ends[p->partition].offset));
		p->log_start = beginnings[p->partition].offset;
		p->log_end = ends[p->partition].offset;
	}
}

static void
assign(void)
{
	int32	   *partitions = palloc(sizeof(int32) * (self.npositions + 1));
	int64	   *offsets = palloc(sizeof(int64) * (self.npositions + 1));

	for (int i = 0; i < self.npositions; i++)
	{
		partitions[i] = self.positions[i].partition;
		offsets[i] = self.positions[i].next_offset;
	}
	fluct_kafka_assign(partitions, offsets, self.npositions);
}

static void
take_position(void)
{
	FluctOffset *beginnings,
			   *ends;

	wait_for_partitions();
	beginnings = ask_log(FLUCT_OFFSET_BEGINNING);
	ends = ask_log(FLUCT_OFFSET_END);
	make_positions(resolve_start(ends), beginnings);
	read_positions();
	check_positions(beginnings, ends);
	assign();
	self.last_word = GetCurrentTimestamp();
}

/* ----- Kafka's log, lag, and those who wait ----- */

static void
observe_log(void)
{
	uint64		lag = 0;

	for (int i = 0; i < self.npositions; i++)
	{
		FluctPosition *p = &self.positions[i];
		int64		start,
					end;

		if (fluct_kafka_log(p->partition, &start, &end))
		{
			p->log_start = start;
			p->log_end = end;
		}
		if (p->log_end > p->next_offset)
			lag += p->log_end - p->next_offset;
	}
	pg_atomic_write_u64(&self.slot->lag, lag);
	if (ms_since(self.rate_since) >= RATE_WINDOW)
	{
		pg_atomic_write_u64(&self.slot->rate,
							self.rate_count * 1000 / ms_since(self.rate_since));
		self.rate_since = GetCurrentTimestamp();
		self.rate_count = 0;
	}
}

static void
note_log(void)
{
	if (ms_since(self.last_note) < LOG_INTERVAL)
		return;
	self.last_note = GetCurrentTimestamp();
	fluct_worker_begin();
	fluct_catalog_note_log(self.stream->name, self.positions, self.npositions);
	if (!self.committed)
		fluct_catalog_count_success(self.stream->name, self.slot->worker);
	fluct_worker_commit();
}

/* wait_for_stream: asks where the log ends now, and says when it is reached. */
static void
serve_waiters(void)
{
	uint64		wanted = pg_atomic_read_u64(&self.slot->sync_wanted);
	FluctOffset *ends;

	if (self.sync_ticket == 0 &&
		wanted > pg_atomic_read_u64(&self.slot->sync_done))
	{
		ends = palloc0(sizeof(FluctOffset) * (self.npositions + 1));
		for (int i = 0; i < self.npositions; i++)
		{
			ends[i].partition = self.positions[i].partition;
			ends[i].at = FLUCT_OFFSET_END;
		}
		if (self.npositions > 0 && !fluct_kafka_offsets(ends, self.npositions))
			return;
		for (int i = 0; i < self.npositions; i++)
			self.sync_target[i] = ends[i].offset;
		self.sync_ticket = wanted;
		pfree(ends);
	}
	if (self.sync_ticket == 0)
		return;
	for (int i = 0; i < self.npositions; i++)
		if (self.positions[i].next_offset < self.sync_target[i])
			return;
	pg_atomic_write_u64(&self.slot->sync_done, self.sync_ticket);
	self.sync_ticket = 0;
	ConditionVariableBroadcast(&fluct_shared->progress);
}

/* ----- errors of a batch ----- */

static const char *
reason_of_sqlstate(int sqlstate)
{
	switch (sqlstate)
	{
		case ERRCODE_UNDEFINED_COLUMN:
			return "column_missing";
		case ERRCODE_UNDEFINED_TABLE:
			return "target_missing";
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
			return "privilege_lost";
		case ERRCODE_DISK_FULL:
			return "disk_full";
		case ERRCODE_READ_ONLY_SQL_TRANSACTION:
			return "read_only";
		case ERRCODE_LOCK_NOT_AVAILABLE:
			return "waiting_for_lock";
		default:
			return "error";
	}
}

/* Whether the same batch may go in later without anybody's doing. */
static bool
may_pass(int sqlstate)
{
	static const char *const classes[] = {
		"08", "25", "40", "53", "55", "57", "58"
	};

	for (int i = 0; i < lengthof(classes); i++)
		if (ERRCODE_TO_CATEGORY(sqlstate) ==
			MAKE_SQLSTATE(classes[i][0], classes[i][1], '0', '0', '0'))
			return true;
	return false;
}

/*
 * Ends the transaction of an ERROR that was caught.  Returns after a wait if
 * trying again may help; else fails the stream.
 */
static void
digest_error(MemoryContext context, int attempt)
{
	ErrorData  *error;
	const char *reason;
	char	   *detail;
	double		wait;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(context);
	reason = reason_of_sqlstate(error->sqlerrcode);
	detail = psprintf("%s (SQLSTATE %s)%s%s", error->message,
					  unpack_sql_state(error->sqlerrcode),
					  error->hint ? " " : "", error->hint ? error->hint : "");
	if (!may_pass(error->sqlerrcode))
	{
		/* perhaps because the stream was changed and then its table */
		check_changes();
		fail(reason, detail);
	}
	set_state(error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ?
			  "running" : "backing_off", reason, detail);
	wait = 200 * pow(2, Min(attempt, 10));
	nap((long) (Min(wait, LONGEST_RETRY) *
				(0.5 + pg_prng_double(&pg_global_prng_state) / 2)));
}

/* ----- batches ----- */

/* Where each partition goes with this batch; the touched ones come first. */
static int
plan_advance(FluctPosition *touched)
{
	int			n = 0;

	for (int i = 0; i < self.npositions; i++)
	{
		FluctPosition *p = &self.positions[i];
		int64		end = fluct_kafka_end_reached(p->partition);

		/* control records at the end have offsets, and are no messages */
		p->read_offset = Max(p->read_offset, end);
		p->time_ms = -1;
		if (p->read_offset > p->next_offset)
			touched[n++] = *p;
	}
	return n;
}

static void
settle(const FluctPosition *touched, int n)
{
	int			at = 0;

	for (int i = 0; i < n; i++)
	{
		while (self.positions[at].partition != touched[i].partition)
			at++;
		self.positions[at].next_offset = touched[i].next_offset;
		if (touched[i].time_ms >= 0)
			self.slot->data_until = Max(self.slot->data_until,
										(touched[i].time_ms -
										 (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * 86400000) * 1000);
	}
}

/* More dead letters in the window than the stream allows fail it. */
static void
check_dead_letters(void)
{
	int64		recent;

	if (fluct_sink_refused(self.messages, self.count) == NULL)
		return;
	fluct_worker_begin();
	recent = fluct_catalog_recent_dead_letters(self.stream->name);
	fluct_worker_commit();
	if (recent > self.stream->max_dead_letters)
		fail("too_many_dead_letters",
			 psprintf(INT64_FORMAT " within error_window, and max_dead_letters is %d",
					  recent, self.stream->max_dead_letters));
}

static void
fail_nothing_fits(void)
{
	const FluctMessage *message = fluct_sink_refused(self.messages, self.count);

	fail("nothing_fits",
		 psprintf("all %d messages of the first batch were refused; the first: %s at %s, %s",
				  self.count, fluct_reason_name(message->refusal->reason),
				  message->refusal->path, message->refusal->detail));
}

static bool
try_commit(FluctPosition *touched, int n, int attempt)
{
	MemoryContext context = CurrentMemoryContext;
	volatile FluctVerdict verdict = FLUCT_COMMITTED;
	volatile bool done = false;

	PG_TRY();
	{
		if (self.sink == NULL || fluct_sink_stale(self.sink))
			open_sink();
		verdict = fluct_sink_commit(self.sink, self.slot->worker, self.messages,
									self.count, touched, n, !self.committed);
		done = true;
	}
	PG_CATCH();
	{
		digest_error(context, attempt);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	if (done && verdict == FLUCT_NOTHING_FITS)
		fail_nothing_fits();
	if (done && verdict == FLUCT_MOVED_BY_ANOTHER)
	{
		ereport(LOG,
				(errmsg("stream \"%s\": another worker has moved the offsets, so this one leaves",
						self.stream->name)));
		proc_exit(0);
	}
	return done;
}

static void
mirror(const FluctPosition *touched, int n)
{
	int32	   *partitions = palloc(sizeof(int32) * n);
	int64	   *offsets = palloc(sizeof(int64) * n);

	for (int i = 0; i < n; i++)
	{
		partitions[i] = touched[i].partition;
		offsets[i] = touched[i].next_offset;
	}
	fluct_kafka_mirror(partitions, offsets, n);
}

static void
commit_batch(void)
{
	FluctPosition *touched = palloc(sizeof(FluctPosition) *
									(self.npositions + 1));
	int			n = plan_advance(touched);

	if (n > 0)
	{
		for (int attempt = 0; !try_commit(touched, n, attempt); attempt++);
		set_state("running", NULL, NULL);
		self.committed = true;
		self.rate_count += self.count;
		settle(touched, n);
		mirror(touched, n);
		check_dead_letters();
	}
	self.count = 0;
	self.bytes = 0;
	MemoryContextReset(self.batch);
}

/* Takes what has arrived; true when the client's queue was found empty. */
static bool
gather(void)
{
	MemoryContext old = MemoryContextSwitchTo(self.batch);
	int			n = fluct_kafka_poll(self.messages + self.count,
									 self.stream->batch_size - self.count);

	MemoryContextSwitchTo(old);
	for (int i = 0; i < n; i++)
	{
		FluctMessage *message = &self.messages[self.count + i];
		int			at = 0;

		while (self.positions[at].partition != message->partition)
			at++;
		self.positions[at].read_offset = message->offset + 1;
		self.bytes += message->key_len + message->value_len;
	}
	if (self.count == 0 && n > 0)
		self.batch_since = GetCurrentTimestamp();
	if (n > 0)
		self.last_word = GetCurrentTimestamp();
	self.count += n;
	return n == 0;
}

static bool
batch_is_full(void)
{
	return self.count >= self.stream->batch_size ||
		self.bytes >= (size_t) self.stream->batch_bytes;
}

/* ----- the brokers' health ----- */

/*
 * Asks for the topic's partitions now and then, which shows whether a broker
 * answers and whether there are more of them.
 */
static void
probe(void)
{
	const FluctTrouble *trouble = fluct_kafka_trouble();
	int			partitions;

	if (trouble->reason[0] == '\0' && ms_since(self.last_word) < PROBE_INTERVAL)
		return;
	if (trouble->lost_partition >= 0)
		proc_exit(0);			/* the next worker sees what was lost */
	if (trouble->reason[0] != '\0')
		set_state("backing_off", trouble->reason, trouble->detail);
	if (trouble->reason[0] != '\0' && ms_since(self.last_word) < RETRY_INTERVAL)
		return;
	partitions = fluct_kafka_partitions();
	self.last_word = GetCurrentTimestamp();
	if (partitions < 0)
		return;
	if (partitions > self.topic_partitions)
		make_way();				/* the next worker takes them up */
	if (trouble->reason[0] != '\0')
		fluct_kafka_clear_trouble();
	set_state("running", NULL, NULL);
}

/* Milliseconds until there is something to do without anything arriving. */
static long
time_to_sleep(void)
{
	long		wait = fluct_kafka_trouble()->reason[0] ? RETRY_INTERVAL :
	PROBE_INTERVAL;

	if (self.count > 0)
		wait = Min(wait, self.stream->batch_interval - ms_since(self.batch_since));
	return Max(wait, 0);
}

static bool
end_passed_by_control_records(void)
{
	for (int i = 0; i < self.npositions; i++)
		if (fluct_kafka_end_reached(self.positions[i].partition) >
			self.positions[i].next_offset)
			return true;
	return false;
}

static void
consume(void)
{
	MemoryContext loop = AllocSetContextCreate(TopMemoryContext, "fluct loop",
											   ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		bool		drained;

		MemoryContextReset(loop);
		MemoryContextSwitchTo(loop);
		CHECK_FOR_INTERRUPTS();
		check_changes();
		fluct_kafka_drain_socket();
		drained = gather();
		if (batch_is_full() ||
			(self.count > 0 && ms_since(self.batch_since) >= self.stream->batch_interval) ||
			(self.count == 0 && drained && end_passed_by_control_records()))
			commit_batch();
		observe_log();
		serve_waiters();
		probe();
		if (drained)
		{
			note_log();
			fluct_worker_wait(fluct_kafka_socket(), time_to_sleep());
		}
	}
}

/* ----- main ----- */

static void
describe_place(void *arg)
{
	if (self.stream == NULL)
		return;
	if (self.count > 0)
		errcontext("stream \"%s\", topic \"%s\", batch of %d messages from partition %d, offset " INT64_FORMAT,
				   self.stream->name, self.stream->topic, self.count,
				   self.messages[0].partition, self.messages[0].offset);
	else
		errcontext("stream \"%s\", topic \"%s\"", self.stream->name,
				   self.stream->topic);
}

static void
start(void)
{
	self.changes_seen = pg_atomic_read_u64(&fluct_shared->changes);
	self.stream = read_stream();
	if (self.stream == NULL || !self.stream->enabled || !self.stream->here)
		proc_exit(0);
	set_state("starting", NULL, NULL);
	self.batch = AllocSetContextCreate(TopMemoryContext, "fluct batch",
									   ALLOCSET_DEFAULT_SIZES);
	self.messages = MemoryContextAllocHuge(TopMemoryContext,
										   sizeof(FluctMessage) *
										   self.stream->batch_size);
	open_sink();
	open_client();
	take_position();
	set_state("running", NULL, NULL);
	self.rate_since = self.last_note = GetCurrentTimestamp();
}

/* A start that an ERROR ended is tried again as the launcher counts, or fails. */
static void
start_or_fail(void)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		start();
	}
	PG_CATCH();
	{
		EmitErrorReport();
		if (self.stream)
			digest_error(context, 0);
		proc_exit(1);
	}
	PG_END_TRY();
}

void
FluctStreamMain(Datum arg)
{
	ErrorContextCallback place = {error_context_stack, describe_place};

	self.slot = &fluct_shared->slots[DatumGetInt32(arg)];
	fluct_worker_unblock();
	fluct_shmem_attach(self.slot);
	BackgroundWorkerInitializeConnectionByOid(self.slot->database, InvalidOid, 0);
	fluct_worker_pin_settings();
	error_context_stack = &place;
	MemoryContextSwitchTo(AllocSetContextCreate(TopMemoryContext,
												"fluct start",
												ALLOCSET_DEFAULT_SIZES));
	start_or_fail();
	consume();
}
