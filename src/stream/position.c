/*-------------------------------------------------------------------------
 *
 * position.c
 *	  Where a stream worker stands in each of its partitions.
 *
 * A position is created once, as a number, and committed before the first
 * message is read; from then on only the transaction of a batch moves it.  At
 * every start it is compared with the cluster that answers, and with what
 * Kafka still holds: a position below the log's start means lost messages, one
 * beyond its end another topic.  And reading begins with the message that was
 * committed last, the witness: if Kafka now has another one at its offset, the
 * topic was deleted and recreated, and if it has none there (compaction), that
 * proves nothing.
 *
 * Offsets are not a count: markers of transactions have offsets, and no
 * message.  So at the end of a partition the position goes to the end that
 * Kafka reports, not to the offset after the last message.  Each such jump is
 * noted where it is read, stored by the transaction that moves the offset
 * (skipped.c), and forgotten when that has committed: a batch that is retried
 * stores the same jumps.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bookkeeping/offsets.h"
#include "bookkeeping/skipped.h"
#include "bookkeeping/states.h"
#include "kafka/consumer.h"
#include "kafka/watermarks.h"
#include "pg/unixtime.h"
#include "process/worker.h"
#include "stream/position.h"
#include "stream/state.h"

#define RETRY_INTERVAL		1000	/* ms between questions to silent brokers */
#define LOG_INTERVAL		10000	/* ms between notes of Kafka's log */
#define HELD_INTERVAL		60000	/* ms between notes that nothing is new */
#define RATE_WINDOW			10000	/* ms */

/* What this process knows about its positions. */
typedef struct Place
{
	MemoryContext context;		/* of what follows, and what it points to */
	FluctPosition *positions;	/* of this worker's partitions */
	int			npositions;
	int			topic_partitions;
	TimestampTz last_note;		/* of Kafka's log in the table */
	bool		sure;			/* Kafka has said where its log ends since the
								 * last trouble */
	bool		held_news;		/* held_ms of a position is not stored */
	TimestampTz held_noted;
	TimestampTz rate_since;
	int64		rate_count;		/* messages committed since */
	uint64		sync_ticket;	/* being served; 0 = none */
	int64	   *sync_target;	/* by place in positions */
} Place;

static Place place;

/* ----- positions ----- */

static bool
is_mine(int partition)
{
	int			place = partition;

	if (fluct_stream->npartitions > 0)
	{
		for (place = 0; place < fluct_stream->npartitions; place++)
			if (fluct_stream->partitions[place] == partition)
				break;
		if (place == fluct_stream->npartitions)
			return false;
	}
	return place % fluct_stream->workers == fluct_slot->worker;
}

/*
 * Reports why the brokers gave no answer, and waits before the next question.
 */
static bool
wait_out_trouble(TimestampTz begin)
{
	const FluctTrouble *trouble = fluct_kafka_trouble();

	fluct_state_set("backing_off", trouble->reason, trouble->detail);
	fluct_kafka_clear_trouble();
	fluct_state_nap(RETRY_INTERVAL);
	return true;
}

/* Where start_at begins, as numbers. */
static int64 *
resolve_start(const FluctOffset *beginnings, const FluctOffset *ends)
{
	int64	   *start = palloc(sizeof(int64) * place.topic_partitions);

	for (int i = 0; i < place.topic_partitions; i++)
		start[i] = beginnings[i].offset;
	if (fluct_stream->start_at)
		fluct_kafkalog_resolve(fluct_stream->start_at, ends, start,
							   place.topic_partitions, wait_out_trouble);
	return start;
}

/*
 * Creates positions for partitions that have none: for a stream that never
 * ran, where start_at says; for a partition that was added since, at its
 * beginning.  They are committed before the first message is read.
 */
static void
make_positions(const int64 *starts, const FluctOffset *beginnings)
{
	char	   *cluster = fluct_kafka_cluster();
	int			known;

	fluct_worker_begin();
	fluct_offsets_lock(fluct_stream->name);
	(void) fluct_offsets_read(fluct_stream->name, &known,
							  CurrentMemoryContext);
	for (int i = 0; i < place.topic_partitions; i++)
	{
		FluctPosition position = {.partition = i};

		position.next_offset = known == 0 ? starts[i] : beginnings[i].offset;
		fluct_offsets_add(fluct_stream->name, fluct_stream->topic, &position);
	}
	fluct_offsets_note_cluster(fluct_stream->name, cluster);
	fluct_worker_commit();
}

static void
read_positions(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "fluct positions",
												  ALLOCSET_SMALL_SIZES);
	FluctPosition *all;
	int			count;

	fluct_worker_begin();
	all = fluct_offsets_read(fluct_stream->name, &count, context);
	fluct_worker_commit();

	/* the previous client's; pending waiters are served again */
	if (place.context)
		MemoryContextDelete(place.context);
	place.context = context;
	place.sync_ticket = 0;
	place.npositions = 0;
	for (int i = 0; i < count; i++)
		if (is_mine(all[i].partition))
			all[place.npositions++] = all[i];
	place.positions = all;
	place.sync_target = MemoryContextAlloc(context, sizeof(int64) *
										   (place.npositions + 1));
}

/* The stream has read something other than what is there now. */
static void
fail_changed(const char *reason, const char *detail)
{
	const char *stream = fluct_stream->name;

	fluct_state_fail(reason,
					 psprintf("%s. If that is intended: SELECT * FROM fluct.seek_stream('%s', 'earliest', force => true); and then SELECT fluct.start_stream('%s');",
							  detail, stream, stream));
}

static void
check_cluster(void)
{
	const char *here = fluct_kafka_cluster();

	for (int i = 0; here && i < place.npositions; i++)
	{
		const char *there = place.positions[i].cluster;

		if (there && strcmp(here, there) != 0)
			fail_changed("cluster_changed",
						 psprintf("server \"%s\" leads to cluster %s, but the stream's position is in cluster %s",
								  fluct_stream->server, here, there));
	}
}

static int
gone_partition(void)
{
	for (int i = 0; i < place.npositions; i++)
		if (place.positions[i].partition >= place.topic_partitions)
			return place.positions[i].partition;
	return -1;
}

/*
 * That a partition no longer exists is believed, like an end, after three
 * readings.
 */
static void
check_partitions(void)
{
	for (int reading = 1; reading < 3 && gone_partition() >= 0; reading++)
	{
		fluct_state_nap(RETRY_INTERVAL);
		place.topic_partitions = fluct_kafkalog_partitions(wait_out_trouble);
	}
	if (gone_partition() >= 0)
		fail_changed("topic_changed",
					 psprintf("partition %d no longer exists in topic \"%s\"",
							  gone_partition(), fluct_stream->topic));
}

/*
 * Kafka deleted what had not been read yet: a gap, if the stream allows one.
 */
static void
skip_lost(FluctPosition *position, int64 beginning)
{
	char	   *detail;

	detail = psprintf("partition %d: offset " INT64_FORMAT " is next, but Kafka's log begins at " INT64_FORMAT,
					  position->partition, position->next_offset, beginning);
	if (!fluct_stream->skip_data_loss)
		fluct_state_fail("data_loss", detail);
	ereport(LOG,
			(errmsg("stream \"%s\" skips lost messages",
					fluct_stream->name), errdetail_internal("%s", detail)));
	position->read_offset = beginning;
	fluct_worker_begin();
	fluct_offsets_add_gap(fluct_stream->name, fluct_stream->topic,
						  position->partition, position->next_offset,
						  beginning, "data_loss");
	if (!fluct_offsets_advance(fluct_stream->name, fluct_stream->topic, NULL,
							   position, 1))
		fluct_state_leave_to_another();
	fluct_worker_commit();
	position->next_offset = beginning;
}

/* Believes an end below a position only if it stays there. */
static void
confirm_ends(FluctOffset *ends)
{
	int64	   *next = palloc(sizeof(int64) * place.topic_partitions);

	for (int i = 0; i < place.topic_partitions; i++)
		next[i] = -1;
	for (int i = 0; i < place.npositions; i++)
		next[place.positions[i].partition] = place.positions[i].next_offset;
	fluct_kafkalog_confirm(next, ends, place.topic_partitions, wait_out_trouble);
}

static void
check_positions(const FluctOffset *beginnings, const FluctOffset *ends)
{
	for (int i = 0; i < place.npositions; i++)
	{
		FluctPosition *p = &place.positions[i];

		if (p->next_offset < beginnings[p->partition].offset)
			skip_lost(p, beginnings[p->partition].offset);
		if (p->next_offset > ends[p->partition].offset)
			fail_changed("topic_changed",
						 psprintf("partition %d: offset " INT64_FORMAT " is next, but Kafka's log ends at " INT64_FORMAT,
								  p->partition, p->next_offset,
								  ends[p->partition].offset));
		p->log_start = beginnings[p->partition].offset;
		p->log_end = ends[p->partition].offset;
	}
}

static void
assign(void)
{
	int32	   *partitions = palloc(sizeof(int32) * (place.npositions + 1));
	int64	   *offsets = palloc(sizeof(int64) * (place.npositions + 1));

	for (int i = 0; i < place.npositions; i++)
	{
		const FluctPosition *p = &place.positions[i];

		partitions[i] = p->partition;
		offsets[i] = p->witness_offset >= p->log_start ? p->witness_offset :
			p->next_offset;
	}
	fluct_kafka_assign(partitions, offsets, place.npositions);
}

void
fluct_position_take(void)
{
	FluctOffset *beginnings,
			   *ends;

	fluct_position_note_held();
	place.topic_partitions = fluct_kafkalog_partitions(wait_out_trouble);
	read_positions();
	check_cluster();
	check_partitions();
	beginnings = fluct_kafkalog_ends(place.topic_partitions,
									 FLUCT_OFFSET_BEGINNING, wait_out_trouble);
	ends = fluct_kafkalog_ends(place.topic_partitions, FLUCT_OFFSET_END,
							   wait_out_trouble);
	make_positions(resolve_start(beginnings, ends), beginnings);
	read_positions();
	confirm_ends(ends);
	check_positions(beginnings, ends);
	assign();
	place.sure = true;
	place.held_noted = 0;
	place.rate_since = place.last_note = GetCurrentTimestamp();
}

/* ----- Kafka's log, lag, and those who wait ----- */

/*
 * Whether all that Kafka has is committed, now.  The log's ends are as of the
 * last response of the brokers, so they say nothing once there was trouble,
 * until Kafka was asked again.
 */
static void
note_held(void)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		all = true;

	if (fluct_kafka_trouble()->reason[0] != '\0' || fluct_kafka_in_doubt())
		place.sure = false;
	if (!place.sure)
		return;
	for (int i = 0; i < place.npositions; i++)
	{
		FluctPosition *p = &place.positions[i];

		if (p->log_end < 0 || p->log_end > p->next_offset)
		{
			all = false;
			continue;
		}
		p->held_ms = fluct_unixtime_from_timestamp(now);
		place.held_news = true;
	}
	if (all)
		fluct_slot->held_at = now;
}

void
fluct_position_observe(void)
{
	uint64		lag = 0;

	for (int i = 0; i < place.npositions; i++)
	{
		FluctPosition *p = &place.positions[i];
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
	pg_atomic_write_u64(&fluct_slot->lag, lag);
	note_held();
	if (fluct_worker_ms_since(place.rate_since) >= RATE_WINDOW)
	{
		pg_atomic_write_u64(&fluct_slot->rate,
							place.rate_count * 1000 / fluct_worker_ms_since(place.rate_since));
		place.rate_since = GetCurrentTimestamp();
		place.rate_count = 0;
	}
}

void
fluct_position_note_held(void)
{
	if (!place.held_news)
		return;
	place.held_news = false;
	place.held_noted = GetCurrentTimestamp();
	fluct_worker_begin();
	fluct_offsets_note_held(fluct_stream->name, place.positions,
							place.npositions);
	fluct_worker_commit();
}

void
fluct_position_note_log(void)
{
	if (fluct_worker_ms_since(place.last_note) < LOG_INTERVAL)
		return;
	place.last_note = GetCurrentTimestamp();
	fluct_worker_begin();
	fluct_offsets_note_log(fluct_stream->name, place.positions,
						   place.npositions);

	/*
	 * a worker that runs this long has not failed, even with nothing to
	 * commit
	 */
	fluct_states_count_success(fluct_stream->name, fluct_slot->worker);
	fluct_worker_commit();
	if (fluct_worker_ms_since(place.held_noted) >= HELD_INTERVAL)
		fluct_position_note_held();
}

FluctOffset *
fluct_position_ask_ends(void)
{
	FluctOffset *ends = palloc0(sizeof(FluctOffset) * (place.npositions + 1));

	for (int i = 0; i < place.npositions; i++)
	{
		ends[i].partition = place.positions[i].partition;
		ends[i].at = FLUCT_OFFSET_END;
	}
	if (place.npositions > 0 && !fluct_kafka_offsets(ends, place.npositions))
		return NULL;
	place.sure = true;
	return ends;
}

/*
 * wait_for_stream: asks where the log ends now, and reports when it is
 * reached.
 */
void
fluct_position_serve_waiters(void)
{
	uint64		wanted = pg_atomic_read_u64(&fluct_slot->sync_wanted);
	FluctOffset *ends;

	if (place.sync_ticket == 0 &&
		wanted > pg_atomic_read_u64(&fluct_slot->sync_done))
	{
		ends = fluct_position_ask_ends();
		if (ends == NULL)
			return;
		for (int i = 0; i < place.npositions; i++)
			place.sync_target[i] = ends[i].offset;
		place.sync_ticket = wanted;
		pfree(ends);
	}
	if (place.sync_ticket == 0)
		return;
	for (int i = 0; i < place.npositions; i++)
		if (place.positions[i].next_offset < place.sync_target[i])
			return;
	pg_atomic_write_u64(&fluct_slot->sync_done, place.sync_ticket);
	place.sync_ticket = 0;
	ConditionVariableBroadcast(&fluct_shared->progress);
}

/* ----- a batch ----- */

const FluctPosition *
fluct_position_all(void)
{
	return place.positions;
}

int
fluct_position_count(void)
{
	return place.npositions;
}

int
fluct_position_partitions(void)
{
	return place.topic_partitions;
}

/* The next message is at this offset: those before it are not delivered. */
static void
read_up_to(FluctPosition *position, int64 offset)
{
	if (offset > position->read_offset)
		fluct_skipped_note(position, position->read_offset, offset,
						   place.context);
	position->read_offset = Max(position->read_offset, offset);
}

bool
fluct_position_read(const FluctMessage *message)
{
	FluctPosition *p;
	int			at = 0;

	while (place.positions[at].partition != message->partition)
		at++;
	p = &place.positions[at];
	if (message->offset >= p->read_offset)
	{
		read_up_to(p, message->offset);
		p->read_offset = message->offset + 1;
		return true;
	}
	if (fluct_offsets_contradicts(message, p))
		fail_changed("topic_changed",
					 psprintf("partition %d: the message at offset " INT64_FORMAT " is not the one that was committed",
							  p->partition, message->offset));
	return false;
}

/* Where each partition goes with this batch; the touched ones come first. */
int
fluct_position_plan(FluctPosition *touched)
{
	int			n = 0;

	for (int i = 0; i < place.npositions; i++)
	{
		FluctPosition *p = &place.positions[i];

		/* control records at the end have offsets, but are not messages */
		read_up_to(p, fluct_kafka_end_reached(p->partition));
		p->log_end = Max(p->log_end, p->read_offset);
		p->time_ms = -1;
		if (p->read_offset > p->next_offset)
			touched[n++] = *p;
	}
	return n;
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

void
fluct_position_settle(const FluctPosition *touched, int n)
{
	int			at = 0;

	for (int i = 0; i < n; i++)
	{
		FluctPosition *p;

		place.rate_count += touched[i].messages;
		while (place.positions[at].partition != touched[i].partition)
			at++;
		p = &place.positions[at];
		p->next_offset = touched[i].next_offset;
		p->witness_offset = touched[i].witness_offset;
		p->witness_time = touched[i].witness_time;
		p->witness_crc = touched[i].witness_crc;
		/* what was skipped behind the batch is of the next one */
		p->nskipped -= touched[i].nskipped;
		memmove(p->skipped, p->skipped + touched[i].nskipped,
				sizeof(FluctInterval) * p->nskipped);
	}
	place.held_noted = 0;
	mirror(touched, n);
}

bool
fluct_position_behind_markers(void)
{
	for (int i = 0; i < place.npositions; i++)
		if (fluct_kafka_end_reached(place.positions[i].partition) >
			place.positions[i].next_offset)
			return true;
	return false;
}
