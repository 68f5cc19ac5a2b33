/*-------------------------------------------------------------------------
 *
 * batches.c
 *	  The last batches of all streams, in shared memory.
 *
 * A ring of all databases' batches, under one lock that is held for the copy
 * of one entry.  A crash of the server empties it: it answers what happened
 * just now, and nothing is reckoned from it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "process/batches.h"

#define MAX_KEPT		4096	/* of all databases */
#define MAX_SHOWN		1000	/* of one */
#define MAX_PARTITIONS	8		/* of a batch, whose offsets are kept */
#define OFFSETS_LEN		512		/* of these; one with a topic of any name fits */

PG_FUNCTION_INFO_V1(fluct_batches_kept);

typedef struct Batch
{
	Oid			database;
	char		stream[NAMEDATALEN];
	int			worker;
	TimestampTz committed_at;
	int64		ms;
	int64		messages;
	int64		rows;
	int64		duplicates;
	int64		dead_letters;
	int64		bytes;
	int			partitions;		/* that moved */
	char		offsets[OFFSETS_LEN];	/* JSON, as far as there is room */
	char		ended[16];
} Batch;

/* All under the lock. */
typedef struct Ring
{
	LWLock	   *lock;
	uint64		noted;			/* batches since the start */
	Batch		batches[MAX_KEPT];
} Ring;

static Ring *ring = NULL;
static Batch last;				/* that was noted; shown, or about to be */

static void
attach(void *memory, LWLock *lock, bool found)
{
	ring = memory;
	if (!found)
		ring->lock = lock;
}

void
fluct_batches_init(void)
{
	fluct_shmem_register("fluct batches", sizeof(Ring), attach);
}

static void
add_up(Batch *batch, const FluctPosition *moved, int nmoved)
{
	batch->partitions = nmoved;
	for (int i = 0; i < nmoved; i++)
	{
		batch->messages += moved[i].messages;
		batch->rows += moved[i].rows;
		batch->duplicates += moved[i].duplicates;
		batch->dead_letters += moved[i].dead_letters;
	}
}

/*
 * {"PARTITION": [FROM, TO], ...}, or {"TOPIC": {...}, ...} of them.  Both
 * arrays are in the order of topics and partitions.
 */
static void
describe_offsets(Batch *batch, const FluctPosition *moved, int nmoved,
				 const FluctPosition *before, bool many_topics)
{
	StringInfoData text;
	const char *topic = NULL;

	initStringInfo(&text);
	for (int i = 0; i < Min(nmoved, MAX_PARTITIONS); i++)
	{
		int			len = text.len;

		while (before->topic != moved[i].topic ||
			   before->partition != moved[i].partition)
			before++;
		if (many_topics && topic != moved[i].topic)
			appendStringInfo(&text, "%s\"%s\": {", topic ? "}, " : "",
							 moved[i].topic);
		else if (topic)
			appendStringInfoString(&text, ", ");
		appendStringInfo(&text, "\"%d\": [" INT64_FORMAT ", " INT64_FORMAT "]",
						 moved[i].partition, before->next_offset,
						 moved[i].next_offset);
		if (text.len + sizeof("{}}") > OFFSETS_LEN)
		{
			text.data[len] = '\0';
			break;
		}
		topic = moved[i].topic;
	}
	snprintf(batch->offsets, OFFSETS_LEN, "{%s%s}", text.data,
			 many_topics && topic ? "}" : "");
	pfree(text.data);
}

void
fluct_batches_note(const FluctSlot *slot, TimestampTz since,
				   const FluctMessage *messages, int count,
				   const FluctPosition *moved, int nmoved,
				   const FluctPosition *before, bool many_topics,
				   const char *ended)
{
	if (ring == NULL)
		return;
	memset(&last, 0, sizeof(last));
	last.database = MyDatabaseId;
	strlcpy(last.stream, slot->stream, NAMEDATALEN);
	last.worker = slot->worker;
	last.committed_at = GetCurrentTimestamp();
	last.ms = TimestampDifferenceMilliseconds(since, last.committed_at);
	for (int i = 0; i < count; i++)
		last.bytes += fluct_message_bytes(&messages[i]);
	add_up(&last, moved, nmoved);
	describe_offsets(&last, moved, nmoved, before, many_topics);
	strlcpy(last.ended, ended, sizeof(last.ended));
}

void
fluct_batches_show(void)
{
	if (ring == NULL)
		return;
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	ring->batches[ring->noted % MAX_KEPT] = last;
	ring->noted++;
	LWLockRelease(ring->lock);
}

static void
put(ReturnSetInfo *rsinfo, const Batch *batch)
{
	Datum		values[12];
	bool		nulls[12] = {0};

	values[0] = TimestampTzGetDatum(batch->committed_at);
	values[1] = CStringGetTextDatum(batch->stream);
	values[2] = Int32GetDatum(batch->worker);
	values[3] = Int64GetDatum(batch->messages);
	values[4] = Int64GetDatum(batch->rows);
	values[5] = Int64GetDatum(batch->duplicates);
	values[6] = Int64GetDatum(batch->dead_letters);
	values[7] = Int64GetDatum(batch->bytes);
	values[8] = Int64GetDatum(batch->ms);
	values[9] = CStringGetTextDatum(batch->ended);
	values[10] = Int32GetDatum(batch->partitions);
	values[11] = CStringGetTextDatum(batch->offsets);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* _batches_kept(): this database's last ones, the newest first. */
Datum
fluct_batches_kept(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Batch	   *found;
	int			n = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (ring == NULL)
		return (Datum) 0;
	found = palloc(sizeof(Batch) * MAX_SHOWN);
	LWLockAcquire(ring->lock, LW_SHARED);
	for (uint64 i = 1; i <= Min(ring->noted, MAX_KEPT) && n < MAX_SHOWN; i++)
	{
		const Batch *batch = &ring->batches[(ring->noted - i) % MAX_KEPT];

		if (batch->database == MyDatabaseId)
			found[n++] = *batch;
	}
	LWLockRelease(ring->lock);
	for (int i = 0; i < n; i++)
		put(rsinfo, &found[i]);
	return (Datum) 0;
}
