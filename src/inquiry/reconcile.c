/*-------------------------------------------------------------------------
 *
 * reconcile.c
 *	  reconcile_stream: whether every offset is accounted for.
 *
 * The account of each partition comes from one snapshot, which is released
 * before Kafka is asked: reading may take minutes, and a snapshot that is held
 * keeps vacuum from its work.  So the stream may run meanwhile.
 *
 * Then the intervals at which Kafka delivered nothing are read once more.
 * Only there: for an interval far ahead the client is assigned again, and what
 * lies between near ones is read and discarded, which is cheaper.  Where
 * Kafka's log begins later by now, nothing can be delivered any longer, and a
 * notice says so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "inquiry/answer.h"
#include "inquiry/reconcile.h"
#include "inquiry/topic.h"
#include "kafka/consumer.h"
#include "pg/query.h"
#include "process/worker.h"

#define NEAR			10000	/* offsets that are read rather than skipped */
#define LONGEST_SILENCE 10000	/* ms of Kafka's, while messages are due */
#define LIFE_INTERVAL	1000	/* ms between signs of life */
#define AT_ONCE			64		/* messages */

/* One partition of the stream, in its current epoch. */
typedef struct Account
{
	FluctPlace	place;
	int64		from;
	int64		to;
	int64		entries[7];		/* stored, duplicates, dead letters,
								 * tombstones, skipped, gaps, filtered */
	int64		unexplained;
	FluctInterval *skipped;
	int			nskipped;
} Account;

/* ----- the account ----- */

/* Its index among the places of the stream, or -1. */
static int
find(const FluctTopic *topic, const Account *account)
{
	return fluct_topic_find(topic, account->place.topic,
							account->place.partition);
}

/* Each row of skipped_offsets gives one array of its bounds, ascending. */
static void
read_skipped(const FluctTopic *topic, Account *account, int epoch,
			 MemoryContext context)
{
	FluctQuery	query = {0};
	int			rows;
	int			n = 0;

	fluct_query_add_text(&query, topic->stream->name);
	fluct_query_add_int(&query, account->place.partition);
	fluct_query_add_int(&query, epoch);
	fluct_query_add_text(&query, account->place.topic);
	rows = (int) fluct_query_run(&query,
								 "SELECT ARRAY(SELECT b.bound FROM unnest(k.intervals) r"
								 "  CROSS JOIN LATERAL (VALUES (lower(r)), (upper(r))) b(bound)"
								 "  ORDER BY b.bound),"
								 " (SELECT count(*) FROM unnest(k.intervals))"
								 " FROM fluct.skipped_offsets k WHERE k.stream = $1"
								 "  AND k.topic = $4 AND k.partition = $2 AND k.epoch = $3"
								 " ORDER BY k.from_offset");
	for (int i = 0; i < rows; i++)
		account->nskipped += fluct_query_field_int(i, 2);
	account->skipped = MemoryContextAllocHuge(context, sizeof(FluctInterval) *
											  (account->nskipped + 1));
	for (int i = 0; i < rows; i++)
	{
		bool		null;
		Datum	   *bounds;
		int			nbounds;

		deconstruct_array(DatumGetArrayTypeP(fluct_query_field(i, 1, &null)),
						  INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &bounds,
						  NULL, &nbounds);
		for (int b = 0; b < nbounds; b += 2, n++)
		{
			account->skipped[n].from = DatumGetInt64(bounds[b]);
			account->skipped[n].to = DatumGetInt64(bounds[b + 1]);
		}
	}
}

static Account *
read_accounts(const FluctTopic *topic, int *count)
{
	MemoryContext context = CurrentMemoryContext;
	FluctQuery	query = {0};
	Account    *accounts;
	int		   *epochs;

	SetConfigOption("default_transaction_isolation", "repeatable read",
					PGC_SUSET, PGC_S_OVERRIDE);
	fluct_worker_begin();
	fluct_query_add_text(&query, topic->stream->name);
	*count = (int) fluct_query_run(&query, "SELECT partition, epoch, from_offset,"
								   " to_offset, stored, duplicates, dead_letters,"
								   " tombstones, skipped, gaps, filtered, topic"
								   " FROM fluct._account($1)"
								   " ORDER BY topic COLLATE \"C\", partition");
	accounts = MemoryContextAllocZero(context, sizeof(Account) * (*count + 1));
	epochs = palloc(sizeof(int) * (*count + 1));
	for (int i = 0; i < *count; i++)
	{
		accounts[i].place.topic =
			fluct_topics_keep(fluct_query_field_text(CurrentMemoryContext, i, 12));
		accounts[i].place.partition = fluct_query_field_int(i, 1);
		epochs[i] = fluct_query_field_int(i, 2);
		accounts[i].from = fluct_query_field_int(i, 3);
		accounts[i].to = fluct_query_field_int(i, 4);
		for (int e = 0; e < lengthof(accounts[i].entries); e++)
			accounts[i].entries[e] = fluct_query_field_int(i, 5 + e);
	}
	for (int i = 0; i < *count; i++)
		read_skipped(topic, &accounts[i], epochs[i], context);
	fluct_worker_commit();
	return accounts;
}

/* ----- reading once more ----- */

static void
say_alive(void)
{
	static TimestampTz last = 0;

	if (fluct_worker_ms_since(last) < LIFE_INTERVAL)
		return;
	last = GetCurrentTimestamp();
	fluct_answer_put_life();
}

/* Where Kafka's log begins now: it may have deleted more meanwhile. */
static int64
log_begin(FluctTopic *topic, const FluctPlace *place)
{
	if (!fluct_topic_log(topic))
		fluct_answer_throw_trouble(topic->stream);
	return topic->begin[fluct_topic_find(topic, place->topic,
										 place->partition)].offset;
}

/*
 * Nothing has arrived: waits, unless it is clear why, or has been so for long.
 */
static void
await_more(const FluctTopic *topic, TimestampTz heard)
{
	if (fluct_worker_ms_since(heard) > LONGEST_SILENCE ||
		strcmp(fluct_kafka_trouble()->reason, "message_too_large") == 0)
		fluct_answer_throw_trouble(topic->stream);
	fluct_worker_wait(fluct_kafka_socket(), LIFE_INTERVAL);
	fluct_kafka_drain_socket();
}

/* How many of these messages lie in an interval; *at moves past them. */
static int64
count_within(const FluctMessage *messages, int got, const FluctInterval *intervals,
			 int n, int *here, int64 *at)
{
	int64		found = 0;

	for (int i = 0; i < got; i++)
	{
		int64		offset = messages[i].offset;

		while (*here < n && intervals[*here].to <= offset)
			(*here)++;
		found += *here < n && intervals[*here].from <= offset;
		*at = Max(*at, offset + 1);
	}
	return found;
}

/* How many messages Kafka delivers in these intervals, read in one go. */
static int64
read_through(FluctTopic *topic, const FluctPlace *place,
			 const FluctInterval *intervals, int n)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "fluct reconcile",
												  ALLOCSET_DEFAULT_SIZES);
	int64		at = intervals[0].from;
	TimestampTz heard = GetCurrentTimestamp();
	int64		found = 0;
	int			here = 0;

	fluct_kafka_assign(place, &at, 1);
	while (at < intervals[n - 1].to)
	{
		FluctMessage messages[AT_ONCE];
		MemoryContext old = MemoryContextSwitchTo(context);
		int			got = fluct_kafka_poll(messages, AT_ONCE);

		MemoryContextSwitchTo(old);
		CHECK_FOR_INTERRUPTS();
		found += count_within(messages, got, intervals, n, &here, &at);
		MemoryContextReset(context);
		if (got == 0 && fluct_kafka_end_reached(place->topic, place->partition) >= 0)
			break;				/* all that there is has been delivered */
		if (fluct_kafka_trouble()->lost_partition >= 0)
		{
			at = Max(at, log_begin(topic, place));
			fluct_kafka_assign(place, &at, 1);
		}
		if (got > 0)
			heard = GetCurrentTimestamp();
		else
			await_more(topic, heard);
		say_alive();
	}
	MemoryContextDelete(context);
	return found;
}

/*
 * The number of intervals that Kafka no longer holds; a notice reports them.
 */
static int
drop_lost(const FluctTopic *topic, const Account *account)
{
	int64		begin = topic->begin[find(topic, account)].offset;
	int			lost = 0;

	if (account->nskipped == 0 || account->skipped[0].from >= begin)
		return 0;
	while (lost < account->nskipped && account->skipped[lost].to <= begin)
		lost++;
	if (lost < account->nskipped)
		account->skipped[lost].from = Max(account->skipped[lost].from, begin);
	ereport(NOTICE,
			(errmsg("%s: Kafka has deleted its log up to offset " INT64_FORMAT ", so what was skipped before that cannot be read again",
					fluct_topics_describe(topic->stream->topic,
										  account->place.topic,
										  account->place.partition), begin)));
	return lost;
}

static int64
read_again(FluctTopic *topic, const Account *account)
{
	int64		found = 0;
	int			from = drop_lost(topic, account);

	while (from < account->nskipped)
	{
		int			to = from + 1;

		while (to < account->nskipped &&
			   account->skipped[to].from - account->skipped[to - 1].to <= NEAR)
			to++;
		found += read_through(topic, &account->place, account->skipped + from,
							  to - from);
		from = to;
	}
	return found;
}

/* ----- the answer ----- */

/* A log that is shorter than what was read is that of another topic. */
static void
check_topic(FluctTopic *topic, const Account *accounts, int count)
{
	topic->next = palloc(sizeof(int64) * topic->nplaces);
	for (int i = 0; i < topic->nplaces; i++)
		topic->next[i] = -1;
	for (int i = 0; i < count; i++)
	{
		int			at = find(topic, &accounts[i]);

		if (at >= 0)
			topic->next[at] = accounts[i].to;
	}
	if (!fluct_topic_confirm_ends(topic))
		fluct_answer_throw_trouble(topic->stream);
	for (int i = 0; i < count; i++)
	{
		const FluctPlace *place = &accounts[i].place;
		int			at = find(topic, &accounts[i]);

		if (at < 0 || accounts[i].to > topic->end[at].offset)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("topic \"%s\" was recreated: topic_changed",
							place->topic),
					 errdetail("Partition %d was read up to offset " INT64_FORMAT ", which Kafka's log does not have.",
							   place->partition, accounts[i].to),
					 errhint("SELECT * FROM fluct.check_stream('%s');",
							 topic->stream->name)));
	}
}

static void
put_account(const Account *account)
{
	const char *fields[6 + lengthof(account->entries)];
	int64		offsets = account->to - account->from;
	int64		explained = 0;
	int			n = 0;

	fields[n++] = psprintf("%d", account->place.partition);
	fields[n++] = psprintf(INT64_FORMAT, account->from);
	fields[n++] = psprintf(INT64_FORMAT, account->to);
	fields[n++] = psprintf(INT64_FORMAT, offsets);
	for (int e = 0; e < lengthof(account->entries); e++)
	{
		explained += account->entries[e];
		fields[n++] = psprintf(INT64_FORMAT, account->entries[e]);
	}
	fields[n++] = psprintf(INT64_FORMAT, account->unexplained +
						   Max(offsets - explained, explained - offsets));
	fields[n++] = account->place.topic;
	fluct_answer_put_row(fields, n);
}

void
fluct_reconcile_answer(FluctTopic *topic)
{
	int			count;
	Account    *accounts = read_accounts(topic, &count);

	fluct_client_open(topic->stream, topic->owner, &topic->client);
	if (count > 0 && (!fluct_topic_places(topic) || !fluct_topic_log(topic)))
		fluct_answer_throw_trouble(topic->stream);
	check_topic(topic, accounts, count);
	for (int i = 0; i < count; i++)
	{
		accounts[i].unexplained = read_again(topic, &accounts[i]);
		put_account(&accounts[i]);
	}
}
