/*-------------------------------------------------------------------------
 *
 * position.c
 *	  Where a stream worker stands in each of its partitions.
 *
 * A position is made once, as a number, and committed before the first
 * message is read; from then on only the transaction of a batch moves it.
 * At every start it is compared with what Kafka still holds: a position below
 * the log's start means lost messages, one beyond its end another topic.  And
 * reading begins with the message that was committed last, the witness: if
 * Kafka now has another one at its offset, the topic was deleted and made
 * again, and if it has none there (compaction), that says nothing.
 *
 * Offsets are not a count: markers of transactions have offsets, and no
 * message.  So at the end of a partition the position goes to the end that
 * Kafka reports, not to the last message and one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "kafka.h"
#include "miscadmin.h"
#include "position.h"
#include "state.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker.h"

#define RETRY_INTERVAL		1000	/* ms between questions to silent brokers */
#define LOG_INTERVAL		10000	/* ms between notes of Kafka's log */
#define RATE_WINDOW			10000	/* ms */

/* All that this process knows of where it stands. */
typedef struct Place
{
	FluctPosition *positions;	/* of this worker's partitions */
	int			npositions;
	int			topic_partitions;
	TimestampTz last_note;		/* of Kafka's log in the table */
	TimestampTz rate_since;
	int64		rate_count;		/* messages committed since */
	uint64		sync_ticket;	/* being fulfilled; 0 = none */
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

/* Says why the brokers gave no answer, and waits before the next question. */
static void
wait_out_trouble(void)
{
	const FluctTrouble *trouble = fluct_kafka_trouble();

	fluct_state_set("backing_off", trouble->reason, trouble->detail);
	fluct_kafka_clear_trouble();
	fluct_state_nap(RETRY_INTERVAL);
}

/* Asks until the brokers answer. */
static void
wait_for_partitions(void)
{
	while ((place.topic_partitions = fluct_kafka_partitions()) < 0)
		wait_out_trouble();
	fluct_kafka_clear_trouble();
}

/* The log's ends of all partitions: at is FLUCT_OFFSET_BEGINNING or _END. */
static FluctOffset *
ask_log(int64 at)
{
	FluctOffset *offsets = palloc0(sizeof(FluctOffset) * place.topic_partitions);

	for (int i = 0; i < place.topic_partitions; i++)
	{
		offsets[i].partition = i;
		offsets[i].at = at;
	}
	while (!fluct_kafka_offsets(offsets, place.topic_partitions))
		wait_out_trouble();
	return offsets;
}

/* Where start_at begins, as numbers. */
static FluctOffset *
resolve_start(const FluctOffset *ends)
{
	FluctOffset *start = ask_log(FLUCT_OFFSET_BEGINNING);
	bool	   *exact = palloc0(sizeof(bool) * place.topic_partitions);

	if (fluct_stream->start_at == NULL)
		return start;
	fluct_worker_begin();
	for (int i = 0; i < place.topic_partitions; i++)
		start[i].at = fluct_catalog_start_of(fluct_stream->start_at, i, &exact[i]);
	fluct_worker_commit();
	for (int i = 0; i < place.topic_partitions; i++)
	{
		if (exact[i])
			start[i].offset = start[i].at;
		while (!exact[i] && !fluct_kafka_offsets(&start[i], 1))
			wait_out_trouble();
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
	fluct_catalog_lock_positions(fluct_stream->name);
	(void) fluct_catalog_positions(fluct_stream->name, &known,
								   CurrentMemoryContext);
	for (int i = 0; i < place.topic_partitions; i++)
	{
		FluctPosition position = {.partition = i};

		position.next_offset = known == 0 ? starts[i].offset :
			beginnings[i].offset;
		fluct_catalog_add_position(fluct_stream->name, fluct_stream->topic, &position);
	}
	fluct_worker_commit();
}

static void
read_positions(void)
{
	FluctPosition *all;
	int			count;

	fluct_worker_begin();
	all = fluct_catalog_positions(fluct_stream->name, &count, TopMemoryContext);
	fluct_worker_commit();
	if (place.positions)
	{
		/* of the client before; who waits is asked for again */
		pfree(place.positions);
		pfree(place.sync_target);
		place.sync_ticket = 0;
	}
	place.npositions = 0;
	for (int i = 0; i < count; i++)
		if (is_mine(all[i].partition))
			all[place.npositions++] = all[i];
	place.positions = all;
	place.sync_target = MemoryContextAlloc(TopMemoryContext,
										   sizeof(int64) * (place.npositions + 1));
}

/* Kafka deleted what was not read yet: a gap, if the stream allows one. */
static void
skip_lost(FluctPosition *position, int64 beginning)
{
	char	   *detail;

	detail = psprintf("partition %d: offset " INT64_FORMAT " is wanted, and Kafka's log begins at " INT64_FORMAT,
					  position->partition, position->next_offset, beginning);
	if (!fluct_stream->skip_data_loss)
		fluct_state_fail("data_loss", detail);
	ereport(LOG,
			(errmsg("stream \"%s\" goes past lost messages",
					fluct_stream->name), errdetail_internal("%s", detail)));
	position->read_offset = beginning;
	fluct_worker_begin();
	fluct_catalog_add_gap(fluct_stream->name, fluct_stream->topic,
						  position->partition, position->next_offset,
						  beginning, "data_loss");
	if (!fluct_catalog_advance(fluct_stream->name, position, 1))
		proc_exit(0);
	fluct_worker_commit();
	position->next_offset = beginning;
}

static void
check_positions(const FluctOffset *beginnings, const FluctOffset *ends)
{
	for (int i = 0; i < place.npositions; i++)
	{
		FluctPosition *p = &place.positions[i];

		if (p->partition >= place.topic_partitions)
			fluct_state_fail("topic_changed",
							 psprintf("partition %d is gone from topic \"%s\"",
									  p->partition, fluct_stream->topic));
		if (p->next_offset < beginnings[p->partition].offset)
			skip_lost(p, beginnings[p->partition].offset);
		if (p->next_offset > ends[p->partition].offset)
			fluct_state_fail("topic_changed",
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

	wait_for_partitions();
	beginnings = ask_log(FLUCT_OFFSET_BEGINNING);
	ends = ask_log(FLUCT_OFFSET_END);
	make_positions(resolve_start(ends), beginnings);
	read_positions();
	check_positions(beginnings, ends);
	assign();
	place.rate_since = place.last_note = GetCurrentTimestamp();
}

/* ----- Kafka's log, lag, and those who wait ----- */

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
	if (fluct_worker_ms_since(place.rate_since) >= RATE_WINDOW)
	{
		pg_atomic_write_u64(&fluct_slot->rate,
							place.rate_count * 1000 / fluct_worker_ms_since(place.rate_since));
		place.rate_since = GetCurrentTimestamp();
		place.rate_count = 0;
	}
}

void
fluct_position_note_log(void)
{
	if (fluct_worker_ms_since(place.last_note) < LOG_INTERVAL)
		return;
	place.last_note = GetCurrentTimestamp();
	fluct_worker_begin();
	fluct_catalog_note_log(fluct_stream->name, place.positions,
						   place.npositions);
	/* who lives that long has not failed, even with nothing to commit */
	fluct_catalog_count_success(fluct_stream->name, fluct_slot->worker);
	fluct_worker_commit();
}

/* wait_for_stream: asks where the log ends now, and says when it is reached. */
void
fluct_position_serve_waiters(void)
{
	uint64		wanted = pg_atomic_read_u64(&fluct_slot->sync_wanted);
	FluctOffset *ends;

	if (place.sync_ticket == 0 &&
		wanted > pg_atomic_read_u64(&fluct_slot->sync_done))
	{
		ends = palloc0(sizeof(FluctOffset) * (place.npositions + 1));
		for (int i = 0; i < place.npositions; i++)
		{
			ends[i].partition = place.positions[i].partition;
			ends[i].at = FLUCT_OFFSET_END;
		}
		if (place.npositions > 0 && !fluct_kafka_offsets(ends, place.npositions))
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

bool
fluct_position_read(const FluctMessage *message)
{
	FluctPosition *p;
	int			at = 0;

	while (place.positions[at].partition != message->partition)
		at++;
	p = &place.positions[at];
	if (message->offset >= p->next_offset)
	{
		p->read_offset = message->offset + 1;
		return true;
	}
	if (message->offset == p->witness_offset &&
		message->full_len == message->value_len &&
		(message->time_ms != p->witness_time ||
		 fluct_catalog_crc(message) != p->witness_crc))
		fluct_state_fail("topic_changed",
						 psprintf("partition %d: another message is at offset " INT64_FORMAT " than the one that was committed",
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
		place.rate_count += touched[i].messages;
		while (place.positions[at].partition != touched[i].partition)
			at++;
		place.positions[at].next_offset = touched[i].next_offset;
		place.positions[at].witness_offset = touched[i].witness_offset;
		if (touched[i].time_ms >= 0)
			fluct_slot->data_until = Max(fluct_slot->data_until,
										 (touched[i].time_ms -
										  (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * 86400000) * 1000);
	}
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
