/*-------------------------------------------------------------------------
 *
 * jsonl.c
 *	  JSON lines of a server file, taken as messages.
 *
 * A line goes through the decoder and the sink that a message from Kafka goes
 * through, so history means what the stream means.  There is no dead letter:
 * the first line that cannot be stored refuses the file, with its number.
 *
 * The file is read twice: once for the span of its times, so that the
 * partitions exist before the first row; once to store.  Each
 * reading checks that the content is the one that was identified.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bookkeeping/streams.h"
#include "json/json.h"
#include "json/timestamp.h"
#include "load/lines.h"
#include "load/progress.h"
#include "pg/alloc.h"
#include "sink/sink.h"

#define LINES_AT_ONCE	1000
#define BYTES_AT_ONCE	8388608

PG_FUNCTION_INFO_V1(fluct_lines_span);
PG_FUNCTION_INFO_V1(fluct_load_lines);

/* ----- the span of the times ----- */

static void
widen(const FluctLines *lines, const FluctJsonValue *value, const char *path,
	  int64 *since, int64 *until)
{
	FluctRefusal refusal = {0};
	FluctReason reason = FLUCT_WRONG_TYPE;
	int64		time;

	if (value->type == FLUCT_JSON_ABSENT)
		reason = FLUCT_MISSING_FIELD;
	else if (value->type == FLUCT_JSON_NULL)
		reason = FLUCT_NULL_FIELD;
	else if (value->type == FLUCT_JSON_STRING)
		reason = fluct_timestamp_parse(value->text, value->len, &time);
	if (reason != FLUCT_OK)
	{
		fluct_refuse(&refusal, reason, path, "expected a time such as 2026-01-31T12:00:00Z");
		fluct_lines_refuse(lines, lines->number, &refusal);
	}
	*since = Min(*since, time);
	*until = Max(*until, time);
}

/*
 * fluct._lines_span(path bytea, sha256 bytea, field text, encoding text,
 *					 gzip boolean, OUT since timestamptz, OUT until timestamptz)
 *
 * The first and the last time in that field of the file's lines.
 */
Datum
fluct_lines_span(PG_FUNCTION_ARGS)
{
	char	   *path = text_to_cstring(PG_GETARG_TEXT_PP(2));
	FluctAllocator allocator = fluct_alloc_in(CurrentMemoryContext);
	FluctJson  *json = fluct_json_create(&allocator);
	int			field = fluct_json_add_field(json, FLUCT_JSON_ROOT, path);
	int64		since = PG_INT64_MAX;
	int64		until = PG_INT64_MIN;
	FluctLines	lines;
	char	   *line;
	size_t		len;
	TupleDesc	tupdesc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	fluct_lines_open(&lines, PG_GETARG_BYTEA_PP(0), PG_GETARG_TEXT_PP(3),
					 PG_GETARG_BOOL(4));
	while (fluct_lines_next(&lines, &line, &len))
	{
		FluctRefusal refusal;

		if (!fluct_json_parse(json, line, len, &refusal))
			fluct_lines_refuse(&lines, lines.number, &refusal);
		widen(&lines, fluct_json_field(json, field), path, &since, &until);
	}
	fluct_lines_close(&lines, PG_GETARG_BYTEA_PP(1));
	values[0] = TimestampTzGetDatum(since);
	values[1] = TimestampTzGetDatum(until);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(tupdesc, values, nulls)));
}

/* ----- storing ----- */

/* Up to LINES_AT_ONCE lines as messages, in the current memory context. */
static int
gather(FluctLines *lines, FluctMessage *messages)
{
	size_t		bytes = 0;
	int			n = 0;
	char	   *line;
	size_t		len;

	while (n < LINES_AT_ONCE && bytes < BYTES_AT_ONCE &&
		   fluct_lines_next(lines, &line, &len))
	{
		FluctMessage *message = &messages[n++];

		memset(message, 0, sizeof(FluctMessage));
		message->topic = "";
		message->offset = lines->number;
		message->time_ms = -1;
		message->value = memcpy(palloc(len), line, len);
		message->value_len = message->full_len = len;
		bytes += len;
	}
	return n;
}

static void
store_lines(FluctLines *lines, FluctSink *sink, int64 *count, int64 *inserted)
{
	FluctMessage *messages = palloc(sizeof(FluctMessage) * LINES_AT_ONCE);
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext,
												"fluct lines",
												ALLOCSET_DEFAULT_SIZES);
	int			n;

	for (;;)
	{
		MemoryContext old = MemoryContextSwitchTo(batch);

		n = gather(lines, messages);
		for (int at = 0, taken; at < n; at += taken)
		{
			const FluctMessage *refused;

			taken = fluct_sink_store(sink, messages + at, n - at);
			refused = fluct_sink_refused(messages + at, taken);
			if (refused)
				fluct_lines_refuse(lines, refused->offset, refused->refusal);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(batch);
		if (n == 0)
			break;
		*count += n;
		fluct_progress_rows(n);
		for (int i = 0; i < n; i++)
			*inserted += messages[i].outcome == FLUCT_STORED;
	}
	MemoryContextDelete(batch);
}

/*
 * fluct._load_lines(path bytea, sha256 bytea, target text, mapping jsonb,
 *					 encoding text, gzip boolean, OUT lines bigint,
 *					 OUT inserted bigint)
 *
 * Stores the file's lines through the mapping, duplicates ignored.
 */
Datum
fluct_load_lines(PG_FUNCTION_ARGS)
{
	FluctStream stream = {0};
	FluctSink  *sink;
	FluctLines	lines;
	TupleDesc	tupdesc;
	int64		count = 0;
	int64		inserted = 0;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	tupdesc = BlessTupleDesc(tupdesc);
	stream.name = "load_orders";
	stream.topic = "";
	stream.on_conflict = "nothing";
	stream.target = text_to_cstring(PG_GETARG_TEXT_PP(2));
	stream.mapping = PG_GETARG_JSONB_P(3);
	fluct_lines_open(&lines, PG_GETARG_BYTEA_PP(0), PG_GETARG_TEXT_PP(4),
					 PG_GETARG_BOOL(5));
	SPI_connect();
	sink = fluct_sink_open(&stream, GetUserId(), CurrentMemoryContext);
	store_lines(&lines, sink, &count, &inserted);
	fluct_lines_close(&lines, PG_GETARG_BYTEA_PP(1));
	fluct_sink_close(sink);
	SPI_finish();
	values[0] = Int64GetDatum(count);
	values[1] = Int64GetDatum(inserted);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(tupdesc, values, nulls)));
}
