/*-------------------------------------------------------------------------
 *
 * reprocess.c
 *	  Raw messages through the sink again.
 *
 * A chunk of sales.raw_messages is stored as the stream would store it now, in
 * the current transaction.  The raw copy belongs to users and may by now be a
 * view, so it is read with the rights of the stream's owner.
 *
 * Order.  Messages come in the order in which they were ingested; of one
 * batch, which has one ingested_at, by topic, partition and offset.  The last
 * of a chunk is the key of the next one.
 *
 * Windows.  raw_messages has no btree, so a chunk is looked for in a window of
 * time: BRIN then reads the pages of that window, and the planner leaves out
 * the partitions beside it.  Each chunk reads what is left of its window, so
 * the caller adapts windows to hold one or two.
 *
 * People's decisions stand.  A message that somebody corrected is stored as
 * corrected, one that somebody discarded is not stored.
 *
 * Conflicts.  A row that exists is most likely the message's own, and no error
 * then, whatever on_conflict says.  A message that is an open dead letter has
 * no rows: with on_conflict error, one that exists refuses all of its records.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "base/refusal.h"
#include "bookkeeping/dead_letters.h"
#include "bookkeeping/owner.h"
#include "bookkeeping/streams.h"
#include "bookkeeping/topics.h"
#include "mapping/framing.h"
#include "mapping/mapping.h"
#include "mapping/target.h"
#include "pg/argument.h"
#include "pg/compat.h"
#include "pg/model.h"
#include "pg/procedure.h"
#include "pg/query.h"
#include "pg/rights.h"
#include "sink/sink.h"

PG_FUNCTION_INFO_V1(fluct_reprocess);
PG_FUNCTION_INFO_V1(fluct_reprocess_stream);

#define CHUNK_MESSAGES	10000
#define CHUNK_BYTES		(8 * 1024 * 1024)
#define FETCH_MESSAGES	64
#define SORT_MEMORY		65536	/* kB, as work_mem */

/* Messages, and what else is known of each. */
typedef struct Chunk
{
	int			count;
	bool		full;			/* there may be more in the window */
	FluctMessage *messages;
	TimestampTz *at;			/* ingested_at */
	int64	   *letters;		/* the dead letter that it is; -1 = none */
	bool	   *open;			/* which is open */
	bool	   *discarded;		/* by a person */
} Chunk;

/* ----- reading ----- */

/* The size of the row's message, as batches count it. */
static size_t
read_message(Chunk *chunk, int row, MemoryContext context)
{
	FluctMessage *message = &chunk->messages[chunk->count];
	bool		null;

	memset(message, 0, sizeof(FluctMessage));
	message->topic = fluct_topics_keep(fluct_query_field_text(context, row, 1));
	chunk->at[chunk->count] =
		DatumGetTimestampTz(fluct_query_field(row, 2, &null));
	message->partition = fluct_query_field_int(row, 3);
	message->offset = fluct_query_field_int(row, 4);
	message->key = fluct_query_field_bytes(context, row, 5, &message->key_len);
	message->headers = fluct_query_field_text(context, row, 6);
	message->value = fluct_query_field_bytes(context, row, 7,
											 &message->value_len);
	message->full_len = message->value_len;
	message->time_ms = fluct_query_field_int(row, 8);
	chunk->count++;
	return message->key_len + message->value_len +
		(message->headers ? strlen(message->headers) : 0);
}

/* Until the chunk is full, or the cursor at its end. */
static void
read_messages(Chunk *chunk, Portal cursor, MemoryContext context)
{
	size_t		bytes = 0;

	chunk->messages = palloc(sizeof(FluctMessage) * CHUNK_MESSAGES);
	chunk->at = palloc(sizeof(TimestampTz) * CHUNK_MESSAGES);
	while (!chunk->full)
	{
		SPI_cursor_fetch(cursor, true, FETCH_MESSAGES);
		if (SPI_processed == 0)
			break;
		for (uint64 row = 0; row < SPI_processed && !chunk->full; row++)
		{
			bytes += read_message(chunk, row, context);
			chunk->full = chunk->count == CHUNK_MESSAGES || bytes >= CHUNK_BYTES;
		}
		SPI_freetuptable(SPI_tuptable);
	}
}

/*
 * As the stream's owner.  What is sorted has the compressed values with it, and
 * a chunk of them is to stay in memory.
 */
static void
read_raw(Chunk *chunk, FunctionCallInfo fcinfo, Oid owner, MemoryContext context)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INT4OID, INT8OID};
	FluctQuery	query = {0};
	FluctRights before;
	Portal		cursor;

	for (int i = 0; i < lengthof(types); i++)
		fluct_query_add(&query, types[i], PG_GETARG_DATUM(i), PG_ARGISNULL(i));
	before = fluct_rights_take(owner);
	if (work_mem < SORT_MEMORY)
		(void) set_config_option("work_mem", CppAsString2(SORT_MEMORY),
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
								 true, 0, false);
	cursor = SPI_cursor_open_with_args(NULL,
									   "SELECT topic, ingested_at, partition::int8,"
									   " \"offset\"::int8, key, headers, value,"
									   " coalesce((1000 * extract(epoch FROM"
									   "  message_time))::int8, " CppAsString2(FLUCT_TIME_NOT_KEPT) ")"
									   " FROM sales.raw_messages"
									   " WHERE stream = $1 AND ($2 IS NULL OR ingested_at >= $2)"
									   "  AND ingested_at < $3"
									   "  AND ($4 IS NULL OR (ingested_at, topic, partition, \"offset\")"
									   "   > ($2, $4, $5, $6))"
									   " ORDER BY ingested_at, topic, partition, \"offset\""
									   " LIMIT " CppAsString2(CHUNK_MESSAGES),
									   query.nargs, query.types, query.values,
									   query.nulls, false, 0);
	read_messages(chunk, cursor, context);
	SPI_cursor_close(cursor);
	fluct_rights_give_back(before);
}

/* What people have decided about the messages that were dead letters. */
static void
find_letters(Chunk *chunk, const FluctStream *stream, MemoryContext context)
{
	int			count = chunk->count;
	Datum	   *topics = palloc(sizeof(Datum) * (count + 1));
	Datum	   *partitions = palloc(sizeof(Datum) * (count + 1));
	Datum	   *offsets = palloc(sizeof(Datum) * (count + 1));
	FluctQuery	query = {0};
	uint64		n;

	chunk->letters = palloc(sizeof(int64) * (count + 1));
	chunk->open = palloc0(sizeof(bool) * (count + 1));
	chunk->discarded = palloc0(sizeof(bool) * (count + 1));
	for (int i = 0; i < count; i++)
	{
		topics[i] = CStringGetTextDatum(chunk->messages[i].topic);
		partitions[i] = Int32GetDatum(chunk->messages[i].partition);
		offsets[i] = Int64GetDatum(chunk->messages[i].offset);
		chunk->letters[i] = -1;
	}
	fluct_query_add_text(&query, stream->name);
	fluct_query_add_array(&query, TEXTOID, topics, count);
	fluct_query_add_array(&query, INT4OID, partitions, count);
	fluct_query_add_array(&query, INT8OID, offsets, count);
	n = fluct_query_run(&query,
						"SELECT u.n::int, d.id, d.status = 'discarded', d.retried_value,"
						" d.status = 'open'"
						" FROM ROWS FROM (unnest($2), unnest($3), unnest($4)) WITH ORDINALITY"
						"  AS u(topic, partition, at, n)"
						" CROSS JOIN LATERAL (SELECT id, status, retried_value"
						"  FROM fluct.dead_letters l WHERE l.stream = $1"
						"   AND l.topic = u.topic AND l.partition = u.partition"
						"   AND l.\"offset\" = u.at"
						"  ORDER BY id DESC LIMIT 1 FOR UPDATE) d");
	for (uint64 row = 0; row < n; row++)
	{
		int			i = fluct_query_field_int(row, 1) - 1;
		size_t		len;
		const char *value = fluct_query_field_bytes(context, row, 4, &len);

		chunk->letters[i] = fluct_query_field_int(row, 2);
		chunk->discarded[i] = fluct_query_field_bool(row, 3);
		chunk->open[i] = fluct_query_field_bool(row, 5);
		if (value == NULL)
			continue;
		fluct_framing_replace(stream->framing, &chunk->messages[i], value, len);
		chunk->messages[i].full_len = chunk->messages[i].value_len;
	}
}

/* ----- storing ----- */

/* Without a key nothing tells the rows that exist. */
static void
check_key(const FluctStream *stream)
{
	FluctRights before = fluct_rights_take(stream->role);
	bool		update = strcmp(stream->on_conflict, "update") == 0;
	FluctMapping *mapping =
	fluct_mapping_compile(fluct_target_find(stream->name, stream->target),
						  stream->mapping, update ? "update" : "nothing",
						  stream->framing, stream->on_tombstone,
						  CurrentMemoryContext);

	fluct_rights_give_back(before);
	if (mapping->targets[0].nkeys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s has no unique key whose columns are all mapped",
						stream->target),
				 errdetail("Rows that are stored already would be duplicated."),
				 errhint("To store all of it again: TRUNCATE %s; and pass force => true.",
						 stream->target)));
}

static void
put_result(ReturnSetInfo *rsinfo, const Chunk *chunk, int i,
		   const char *outcome, int64 rows)
{
	const FluctMessage *message = &chunk->messages[i];
	Datum		values[12] = {0};
	bool		nulls[12] = {0};

	values[0] = TimestampTzGetDatum(chunk->at[i]);
	values[1] = CStringGetTextDatum(message->topic);
	values[2] = Int32GetDatum(message->partition);
	values[3] = Int64GetDatum(message->offset);
	values[4] = CStringGetTextDatum(outcome);
	values[5] = Int64GetDatum(rows);
	values[6] = Int64GetDatum(chunk->letters[i]);
	nulls[6] = chunk->letters[i] < 0;
	nulls[7] = nulls[8] = nulls[9] = nulls[10] = message->refusal == NULL;
	if (message->refusal)
	{
		values[7] = CStringGetTextDatum(fluct_reason_name(message->refusal->reason));
		values[8] = CStringGetTextDatum(message->refusal->sqlstate);
		values[9] = CStringGetTextDatum(message->refusal->path);
		values[10] = CStringGetTextDatum(message->refusal->detail);
	}
	values[11] = BoolGetDatum(chunk->full);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * Stores the n messages of the chunk at these places, and says what became of
 * them.
 */
static void
store_run(Chunk *chunk, const int *places, int n, const FluctStream *stream,
		  Oid owner, ReturnSetInfo *rsinfo, MemoryContext context)
{
	static const char *const words[] = {
		[FLUCT_STORED] = "stored",[FLUCT_DUPLICATE] = "duplicate",
		[FLUCT_DEAD] = "refused",[FLUCT_TOMBSTONE] = "skipped",
		[FLUCT_FILTERED] = "skipped"
	};
	FluctMessage *run = palloc(sizeof(FluctMessage) * n);
	FluctSink  *sink = fluct_sink_open_held(stream, owner, context);

	for (int i = 0; i < n; i++)
		run[i] = chunk->messages[places[i]];
	for (int at = 0, taken; at < n; at += taken)
	{
		taken = fluct_sink_store(sink, run + at, n - at);
		for (int i = 0; i < taken; i++)
		{
			const FluctMessage *message = &run[at + i];
			int			place = places[at + i];

			chunk->messages[place] = *message;
			put_result(rsinfo, chunk, place,
					   words[message->outcome],
					   message->outcome == FLUCT_STORED ?
					   fluct_sink_rows(sink, i) : 0);
			if (message->outcome == FLUCT_DEAD && chunk->letters[place] < 0)
				fluct_dead_letters_add(stream->name, message);
		}
	}
	fluct_sink_close(sink);
	pfree(run);
}

/* Stores the chunk, but for what was discarded. */
static void
store(Chunk *chunk, FluctStream *stream, Oid owner, ReturnSetInfo *rsinfo,
	  MemoryContext context)
{
	bool		strict = strcmp(stream->on_conflict, "error") == 0;
	int		   *places = palloc(sizeof(int) * (chunk->count + 1));
	int			n = 0;

	for (int i = 0; i < chunk->count; i++)
	{
		if (chunk->discarded[i])
			put_result(rsinfo, chunk, i, "skipped", 0);
		else
			places[n++] = i;
	}
	for (int at = 0, end; at < n; at = end)
	{
		bool		open = chunk->open[places[at]];

		for (end = at + 1; end < n && (!strict || chunk->open[places[end]] == open); end++);
		if (strict)
			stream->on_conflict = open ? "error" : "nothing";
		store_run(chunk, places + at, end - at, stream, owner, rsinfo, context);
	}
}

/*
 * fluct._reprocess(stream text, since timestamptz, until timestamptz,
 *					after_topic text, after_partition int,
 *					after_offset bigint, force boolean)
 * RETURNS TABLE (ingested_at timestamptz, topic text, partition int,
 *				  "offset" bigint, outcome text, rows bigint, letter bigint,
 *				  reason text, sqlstate text, path text, detail text,
 *				  more boolean)
 *
 * Stores the next chunk of [since, until), since NULL = from the first on;
 * unless after_topic is NULL, the chunk begins after that message of `since`.
 * outcome is stored, duplicate, refused (a dead letter now) or skipped (a
 * tombstone, or discarded); letter is its existing dead letter; more is whether
 * the window may hold further ones.
 */
Datum
fluct_reprocess(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context = CurrentMemoryContext;
	FluctStream *stream;
	Chunk		chunk = {0};
	Oid			owner;

	fluct_argument_require(fcinfo, 0, "stream");
	fluct_argument_require(fcinfo, 6, "force");
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	stream = fluct_streams_get(text_to_cstring(PG_GETARG_TEXT_PP(0)), context);
	owner = stream->role;
	fluct_owner_require(psprintf("stream \"%s\"", stream->name),
						stream->owner, owner, false);
	fluct_owner_require_session(owner);
	stream->keep_raw = false;	/* the messages come from there */
	stream->again = true;
	if (!PG_GETARG_BOOL(6))
		check_key(stream);
	read_raw(&chunk, fcinfo, owner, context);
	if (chunk.count > 0)
	{
		find_letters(&chunk, stream, context);
		store(&chunk, stream, owner, rsinfo, context);
	}
	SPI_finish();
	return (Datum) 0;
}

/* ----- reprocess_stream ----- */

/*
 * The order lines that a chunk replaces are looked up by their time, and each
 * lookup reads all pages that BRIN has not summarized yet.  Autovacuum would
 * summarize them, but a minute later.  A partition that is locked, or that
 * another role owns, is left out.
 */
static void
summarize_lines(void)
{
	Oid			lines = fluct_model_find("order_lines");
	FluctQuery	query = {0};
	Datum	   *partitions;
	int			n = 0;
	List	   *children;
	ListCell   *cell;

	if (!OidIsValid(lines))
		return;
	children = find_inheritance_children(lines, NoLock);
	partitions = palloc(sizeof(Datum) * (list_length(children) + 1));
	foreach(cell, children)
		if (fluct_compat_owns_relation(lfirst_oid(cell), GetUserId()) &&
			ConditionalLockRelationOid(lfirst_oid(cell), ShareUpdateExclusiveLock))
		partitions[n++] = ObjectIdGetDatum(lfirst_oid(cell));
	fluct_query_add_array(&query, OIDOID, partitions, n);
	fluct_query_run(&query,
					"SELECT pg_catalog.brin_summarize_new_values(i.indexrelid)"
					" FROM pg_catalog.pg_index i"
					" JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid"
					" JOIN pg_catalog.pg_am a ON a.oid OPERATOR(pg_catalog.=) c.relam"
					" WHERE i.indrelid OPERATOR(pg_catalog.=) ANY ($1)"
					" AND i.indisvalid AND a.amname OPERATOR(pg_catalog.=) 'brin'");
	SPI_freetuptable(SPI_tuptable);
	SPI_commit();
}

/*
 * fluct.reprocess_stream(name text, since timestamptz, until timestamptz,
 *						  force boolean)
 *
 * One transaction a chunk.  The progress is a jsonb that each chunk takes and
 * returns; NULL at the end.
 */
Datum
fluct_reprocess_stream(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID};
	FluctQuery	query = {0};
	bool		replaces_lines;
	bool		done = false;

	fluct_argument_require(fcinfo, 0, "stream name");
	fluct_procedure_connect(fcinfo, "reprocess_stream");
	for (int i = 0; i < lengthof(types); i++)
		fluct_query_add(&query, types[i], PG_GETARG_DATUM(i), PG_ARGISNULL(i));
	fluct_query_add(&query, JSONBOID, (Datum) 0, true);
	fluct_query_run(&query, "SELECT fluct._replaces_lines($1)");
	replaces_lines = fluct_query_field_bool(0, 1);
	SPI_freetuptable(SPI_tuptable);
	while (!done)
	{
		bool		null;
		Datum		progress;

		CHECK_FOR_INTERRUPTS();
		if (replaces_lines)
			summarize_lines();
		fluct_query_run(&query,
						"SELECT fluct._reprocess_chunk($1, $2, $3, $4, $5)");
		progress = fluct_query_field(0, 1, &null);
		done = null;
		if (!done)
		{
			query.values[4] = PointerGetDatum(DatumGetJsonbPCopy(progress));
			query.nulls[4] = ' ';
		}
		SPI_freetuptable(SPI_tuptable);
		SPI_commit();
	}
	SPI_finish();
	return (Datum) 0;
}
