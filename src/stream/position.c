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
#include "stream/stand.h"
#include "stream/state.h"
#include "stream/watch.h"

#define RETRY_INTERVAL		1000	/* ms between questions to silent brokers */

FluctStand	fluct_stand;

/* ----- positions ----- */

static bool
is_mine(const FluctPosition *position)
{
	int			number = position->partition;

	if (!fluct_topics_include(fluct_stream->topic, position->topic))
		return false;			/* of topics that it consumed once */
	if (fluct_stream->partitions)
	{
		for (number = 0; number < fluct_stream->npartitions; number++)
			if (fluct_stream->partitions[number] == position->partition)
				break;
		if (number == fluct_stream->npartitions)
			return false;
	}
	return fluct_topics_worker(fluct_stream->topic, position->topic, number,
							   fluct_stream->workers) == fluct_slot->worker;
}

/* Where the position is among the places of the topics, or -1. */
static int
find_place(const char *topic, int partition)
{
	static int	last = 0;

	for (int i = 0; i < fluct_stand.nplaces; i++)
	{
		int			at = (last + i) % fluct_stand.nplaces;

		if (fluct_stand.places[at].topic == topic &&
			fluct_stand.places[at].partition == partition)
			return last = at;
	}
	return -1;
}

static char *
describe(const FluctPosition *position)
{
	return fluct_topics_describe(fluct_stream->topic, position->topic,
								 position->partition);
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

/* Asks for the places, which outlive the caller's memory. */
static void
read_places(void)
{
	FluctPlace *places;
	int			count = fluct_kafkalog_places(&places, wait_out_trouble);

	if (count > 0 && fluct_topics_count(places, count) > FLUCT_MOST_TOPICS)
		fluct_state_fail("too_many_topics",
						 psprintf("%d topics match \"%s\", and a stream consumes at most %d: use a narrower pattern, or several streams",
								  fluct_topics_count(places, count),
								  fluct_stream->topic, FLUCT_MOST_TOPICS));
	if (fluct_stand.places)
		pfree(fluct_stand.places);
	fluct_stand.places = MemoryContextAlloc(TopMemoryContext,
											sizeof(FluctPlace) * (count + 1));
	memcpy(fluct_stand.places, places, sizeof(FluctPlace) * count);
	fluct_stand.nplaces = count;
	pfree(places);
}

static char *
unknown_partition(void)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *unknown;

	fluct_worker_begin();
	unknown = fluct_offsets_unknown_partition(fluct_stream->name, NULL,
											  fluct_stand.places,
											  fluct_stand.nplaces, context);
	fluct_worker_commit();
	return unknown;
}

/*
 * Waits, as for a topic, for a partition that the stream names; a session is
 * not to wait for what may never be there.
 */
static void
await_partitions(void)
{
	char	   *unknown;

	while ((unknown = unknown_partition()) != NULL)
	{
		if (fluct_watch)
			fluct_state_fail("unknown_partition", unknown);
		fluct_state_set("backing_off", "unknown_partition", unknown);
		fluct_state_nap(RETRY_INTERVAL);
		read_places();
	}
}

bool
fluct_position_fits(const FluctPlace *places, int count)
{
	int			known = 0;

	for (int i = 0; i < count; i++)
	{
		if (find_place(places[i].topic, places[i].partition) < 0)
			return false;
		known++;
	}
	/* of a topic by name, fewer are not believed: see check_partitions */
	return known == fluct_stand.nplaces ||
		!fluct_topics_is_pattern(fluct_stream->topic);
}

/* Where start_at begins, as numbers. */
static int64 *
resolve_start(const FluctOffset *beginnings, FluctOffset *ends)
{
	int64	   *start = palloc(sizeof(int64) * fluct_stand.nplaces);

	for (int i = 0; i < fluct_stand.nplaces; i++)
		start[i] = beginnings[i].offset;
	if (fluct_stream->start_at)
		fluct_kafkalog_resolve(fluct_stream->start_at, ends, start,
							   fluct_stand.nplaces, wait_out_trouble);
	fluct_kafkalog_confirm(start, ends, fluct_stand.nplaces, wait_out_trouble);
	return start;
}

/* The first place where start_at is beyond the end of Kafka's log, or -1. */
static int
find_beyond(const int64 *starts, const FluctOffset *ends)
{
	for (int i = 0; i < fluct_stand.nplaces; i++)
		if (starts[i] > ends[i].offset)
			return i;
	return -1;
}

static void
fail_beyond(int64 start, const FluctOffset *end)
{
	fluct_state_fail_at("unknown_offset",
						psprintf("%s: start_at names offset " INT64_FORMAT ", but Kafka's log ends at " INT64_FORMAT,
								 fluct_topics_describe(fluct_stream->topic,
													   end->topic,
													   end->partition),
								 start, end->offset),
						end->topic, end->partition, end->offset);
}

/*
 * Creates positions for places that have none: for a stream that never ran,
 * where start_at says; for a partition or a topic that was added since, at its
 * beginning.  They are committed before the first message is read.
 */
static void
make_positions(const int64 *starts, const FluctOffset *beginnings,
			   const FluctOffset *ends)
{
	char	   *cluster = fluct_kafka_cluster();
	bool	   *has_one = palloc0(sizeof(bool) * fluct_stand.nplaces);
	FluctPosition *positions;
	int			known,
				beyond;

	fluct_worker_begin();
	fluct_offsets_lock(fluct_stream->name);
	positions = fluct_offsets_read(fluct_stream->name, &known,
								   CurrentMemoryContext);
	beyond = known == 0 ? find_beyond(starts, ends) : -1;
	for (int i = 0; i < known; i++)
	{
		int			at = find_place(positions[i].topic, positions[i].partition);

		if (at >= 0)
			has_one[at] = true;
	}
	for (int i = 0; i < fluct_stand.nplaces; i++)
	{
		FluctPosition position = {.topic = fluct_stand.places[i].topic,
		.partition = fluct_stand.places[i].partition};

		position.next_offset = known == 0 ? starts[i] : beginnings[i].offset;
		if (!has_one[i] && beyond < 0)
			fluct_offsets_add(fluct_stream->name, &position);
	}
	fluct_offsets_note_cluster(fluct_stream->name, cluster);
	fluct_worker_commit();
	if (beyond >= 0)
		fail_beyond(starts[beyond], &ends[beyond]);
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
	if (fluct_stand.context)
		MemoryContextDelete(fluct_stand.context);
	fluct_stand.context = context;
	fluct_stand.sync_ticket = 0;
	fluct_stand.npositions = 0;
	for (int i = 0; i < count; i++)
		if (is_mine(&all[i]))
			all[fluct_stand.npositions++] = all[i];
	fluct_stand.positions = all;
	fluct_stand.sync_target = MemoryContextAlloc(context, sizeof(int64) *
												 (fluct_stand.npositions + 1));
}

/*
 * The stream has read something other than what is there now, in one topic or
 * (NULL) in all.
 */
static void
fail_changed(const char *reason, const char *detail, const char *topic)
{
	const char *stream = fluct_stream->name;
	const char *only = topic && fluct_topics_are_many(fluct_stream->topic) ?
	psprintf(", topic => '%s'", topic) : "";

	fluct_state_fail(reason,
					 psprintf("%s. If that is intended: SELECT * FROM fluct.seek_stream('%s', 'earliest'%s, force => true); and then SELECT fluct.start_stream('%s');",
							  detail, stream, only, stream));
}

static void
check_cluster(void)
{
	const char *here = fluct_kafka_cluster();

	for (int i = 0; here && i < fluct_stand.npositions; i++)
	{
		const char *there = fluct_stand.positions[i].cluster;

		if (there && strcmp(here, there) != 0)
			fail_changed("cluster_changed",
						 psprintf("server \"%s\" leads to cluster %s, but the stream's position is in cluster %s",
								  fluct_stream->server, here, there), NULL);
	}
}

/* A position that is in none of the topics' partitions, or NULL. */
static const FluctPosition *
gone_position(void)
{
	for (int i = 0; i < fluct_stand.npositions; i++)
		if (find_place(fluct_stand.positions[i].topic,
					   fluct_stand.positions[i].partition) < 0)
			return &fluct_stand.positions[i];
	return NULL;
}

/*
 * That a partition no longer exists is believed, like an end, after three
 * readings.
 */
static void
check_partitions(void)
{
	const FluctPosition *gone;

	for (int reading = 1; reading < 3 && gone_position(); reading++)
	{
		fluct_state_nap(RETRY_INTERVAL);
		read_places();
	}
	gone = gone_position();
	if (gone && find_place(gone->topic, 0) < 0)
		fail_changed("topic_changed",
					 psprintf("topic \"%s\" no longer exists", gone->topic),
					 gone->topic);
	if (gone)
		fail_changed("topic_changed",
					 psprintf("partition %d no longer exists in topic \"%s\"",
							  gone->partition, gone->topic), gone->topic);
}

/*
 * Kafka deleted what had not been read yet: a gap, if the stream allows one.
 */
static void
skip_lost(FluctPosition *position, int64 beginning)
{
	char	   *detail;

	detail = psprintf("%s: offset " INT64_FORMAT " is next, but Kafka's log begins at " INT64_FORMAT,
					  describe(position), position->next_offset, beginning);
	if (!fluct_stream->skip_data_loss)
		fluct_state_fail("data_loss", detail);
	ereport(LOG,
			(errmsg("stream \"%s\" skips lost messages",
					fluct_stream->name), errdetail_internal("%s", detail)));
	position->read_offset = beginning;
	fluct_worker_begin();
	fluct_offsets_add_gap(fluct_stream->name, position, beginning,
						  "data_loss");
	if (!fluct_offsets_advance(fluct_stream->name, NULL, position, 1))
		fluct_state_leave_to_another();
	fluct_worker_commit();
	position->next_offset = beginning;
}

/* Believes an end below a position only if it stays there. */
static void
confirm_ends(FluctOffset *ends)
{
	int64	   *next = palloc(sizeof(int64) * fluct_stand.nplaces);

	for (int i = 0; i < fluct_stand.nplaces; i++)
		next[i] = -1;
	for (int i = 0; i < fluct_stand.npositions; i++)
	{
		const FluctPosition *p = &fluct_stand.positions[i];

		next[find_place(p->topic, p->partition)] = p->next_offset;
	}
	fluct_kafkalog_confirm(next, ends, fluct_stand.nplaces, wait_out_trouble);
}

static void
check_positions(const FluctOffset *beginnings, const FluctOffset *ends)
{
	for (int i = 0; i < fluct_stand.npositions; i++)
	{
		FluctPosition *p = &fluct_stand.positions[i];
		int			at = find_place(p->topic, p->partition);

		if (p->next_offset < beginnings[at].offset)
			skip_lost(p, beginnings[at].offset);
		if (p->next_offset > ends[at].offset)
			fail_changed("topic_changed",
						 psprintf("%s: offset " INT64_FORMAT " is next, but Kafka's log ends at " INT64_FORMAT,
								  describe(p), p->next_offset, ends[at].offset),
						 p->topic);
		p->log_start = beginnings[at].offset;
		p->log_end = ends[at].offset;
	}
}

static void
assign(void)
{
	FluctPlace *places = palloc(sizeof(FluctPlace) * (fluct_stand.npositions + 1));
	int64	   *offsets = palloc(sizeof(int64) * (fluct_stand.npositions + 1));

	for (int i = 0; i < fluct_stand.npositions; i++)
	{
		const FluctPosition *p = &fluct_stand.positions[i];

		places[i].topic = p->topic;
		places[i].partition = p->partition;
		offsets[i] = p->witness_offset >= p->log_start ? p->witness_offset :
			p->next_offset;
	}
	fluct_kafka_assign(places, offsets, fluct_stand.npositions);
}

void
fluct_position_take(void)
{
	FluctOffset *beginnings,
			   *ends;

	fluct_position_note_held();
	read_places();
	read_positions();
	check_cluster();
	check_partitions();
	await_partitions();
	beginnings = fluct_kafkalog_ends(fluct_stand.places, fluct_stand.nplaces,
									 FLUCT_OFFSET_BEGINNING, wait_out_trouble);
	ends = fluct_kafkalog_ends(fluct_stand.places, fluct_stand.nplaces,
							   FLUCT_OFFSET_END, wait_out_trouble);
	make_positions(resolve_start(beginnings, ends), beginnings, ends);
	read_positions();
	if (gone_position())
		fluct_state_make_way(); /* another worker has seen a topic more */
	confirm_ends(ends);
	check_positions(beginnings, ends);
	assign();
	fluct_stand.sure = true;
	fluct_stand.held_noted = 0;
	fluct_stand.rate_since = fluct_stand.last_note = GetCurrentTimestamp();
}

/* ----- a batch ----- */

const FluctPosition *
fluct_position_all(void)
{
	return fluct_stand.positions;
}

int
fluct_position_count(void)
{
	return fluct_stand.npositions;
}

/* The next message is at this offset: those before it are not delivered. */
static void
read_up_to(FluctPosition *position, int64 offset)
{
	if (offset > position->read_offset)
		fluct_skipped_note(position, position->read_offset, offset,
						   fluct_stand.context);
	position->read_offset = Max(position->read_offset, offset);
}

/* The position of the message's partition: mostly the one of the last. */
static FluctPosition *
find_position(const FluctMessage *message)
{
	static int	last = 0;

	if (last >= fluct_stand.npositions)
		last = 0;
	while (!fluct_offsets_are_of(&fluct_stand.positions[last], message))
		last = (last + 1) % fluct_stand.npositions;
	return &fluct_stand.positions[last];
}

bool
fluct_position_read(const FluctMessage *message)
{
	FluctPosition *p = find_position(message);

	if (message->offset >= p->read_offset)
	{
		read_up_to(p, message->offset);
		p->read_offset = message->offset + 1;
		return true;
	}
	if (fluct_offsets_contradicts(message, p))
		fail_changed("topic_changed",
					 psprintf("%s: the message at offset " INT64_FORMAT " is not the one that was committed",
							  describe(p), message->offset), p->topic);
	return false;
}

/* Where each partition goes with this batch; the touched ones come first. */
int
fluct_position_plan(FluctPosition *touched)
{
	int			n = 0;

	for (int i = 0; i < fluct_stand.npositions; i++)
	{
		FluctPosition *p = &fluct_stand.positions[i];

		/* control records at the end have offsets, but are not messages */
		read_up_to(p, fluct_kafka_end_reached(p->topic, p->partition));
		p->log_end = Max(p->log_end, p->read_offset);
		p->time_ms = -1;
		if (p->read_offset > p->next_offset)
			touched[n++] = *p;
	}
	return n;
}

void
fluct_position_mirror(const FluctPosition *touched, int n)
{
	FluctPlace *places = palloc(sizeof(FluctPlace) * n);
	int64	   *offsets = palloc(sizeof(int64) * n);

	for (int i = 0; i < n; i++)
	{
		places[i].topic = touched[i].topic;
		places[i].partition = touched[i].partition;
		offsets[i] = touched[i].next_offset;
	}
	fluct_kafka_mirror(places, offsets, n);
	pfree(places);
	pfree(offsets);
}

void
fluct_position_settle(const FluctPosition *touched, int n)
{
	int			at = 0;

	for (int i = 0; i < n; i++)
	{
		FluctPosition *p;

		fluct_stand.rate_count += touched[i].messages;
		while (fluct_stand.positions[at].topic != touched[i].topic ||
			   fluct_stand.positions[at].partition != touched[i].partition)
			at++;
		p = &fluct_stand.positions[at];
		p->next_offset = touched[i].next_offset;
		p->witness_offset = touched[i].witness_offset;
		p->witness_time = touched[i].witness_time;
		p->witness_crc = touched[i].witness_crc;
		/* what was skipped behind the batch is of the next one */
		p->nskipped -= touched[i].nskipped;
		if (p->nskipped > 0)
			memmove(p->skipped, p->skipped + touched[i].nskipped,
					sizeof(FluctInterval) * p->nskipped);
	}
	fluct_stand.held_noted = 0;
}

bool
fluct_position_behind_markers(void)
{
	for (int i = 0; i < fluct_stand.npositions; i++)
		if (fluct_kafka_end_reached(fluct_stand.positions[i].topic,
									fluct_stand.positions[i].partition) >
			fluct_stand.positions[i].next_offset)
			return true;
	return false;
}

bool
fluct_position_in_hand(void)
{
	for (int i = 0; i < fluct_stand.npositions; i++)
		if (fluct_stand.positions[i].read_offset <
			fluct_stand.positions[i].log_end)
			return false;
	return true;
}
