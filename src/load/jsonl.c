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

#include "base/refusal.h"
#include "bookkeeping/streams.h"
#include "csv/header.h"
#include "json/json.h"
#include "json/timestamp.h"
#include "load/progress.h"
#include "load/reader.h"
#include "pg/alloc.h"
#include "pg/guc.h"
#include "sink/sink.h"

#define READ_SIZE		1048576
#define LINES_AT_ONCE	1000
#define BYTES_AT_ONCE	8388608

PG_FUNCTION_INFO_V1(fluct_lines_span);
PG_FUNCTION_INFO_V1(fluct_load_lines);

/* A file read by lines; a line is valid until the next is read. */
typedef struct Lines
{
	FluctReader *reader;
	FluctFile  *file;
	char	   *buffer;
	size_t		capacity;
	size_t		at;				/* of the next line */
	size_t		end;			/* of what was read */
	bool		eof;
	int64		number;			/* of the line last given, from 1 */
	int64		blank;			/* the first blank line, or 0 */
} Lines;

static void refuse_line(const Lines *lines, int64 number,
						const FluctRefusal *refusal) __attribute__((noreturn));

static void
refuse_line(const Lines *lines, int64 number, const FluctRefusal *refusal)
{
	const char *s = refusal->sqlstate;

	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(s[0], s[1], s[2], s[3], s[4])),
			 errmsg("file \"%s\" is refused at line %lld: %s",
					fluct_files_name(lines->file), (long long) number,
					fluct_reason_name(refusal->reason)),
			 errdetail("%s%s%s", refusal->path,
					   refusal->path[0] ? ": " : "", refusal->detail)));
}

static void
close_lines(Lines *lines, bytea *sha256)
{
	if (!fluct_files_unchanged(lines->file, sha256))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("file \"%s\" is refused: changed_while_read",
						fluct_files_name(lines->file)),
				 errdetail("Its content is not what it was when the load began.")));
	pfree(lines->buffer);
}

/* Makes room, and reads more into the buffer. */
static void
read_more(Lines *lines)
{
	size_t		n;

	memmove(lines->buffer, lines->buffer + lines->at, lines->end - lines->at);
	lines->end -= lines->at;
	lines->at = 0;
	if (lines->end > (size_t) fluct_max_message_bytes + 1)
	{
		FluctRefusal refusal = {0};

		fluct_refuse(&refusal, FLUCT_TOO_LARGE, NULL,
					 "the line is longer than fluct.max_message_bytes, %d",
					 fluct_max_message_bytes);
		refuse_line(lines, lines->number + 1, &refusal);
	}
	if (lines->end == lines->capacity)
	{
		lines->capacity *= 2;
		lines->buffer = repalloc_huge(lines->buffer, lines->capacity);
	}
	n = fluct_reader_read(lines->reader, lines->buffer + lines->end,
						  lines->capacity - lines->end);
	lines->end += n;
	lines->eof = n == 0;
}

/* Names a file that does not hold text, by its first bytes. */
static void
check_kind(Lines *lines)
{
	const char *kind;
	bool		is_text;

	read_more(lines);
	kind = fluct_csv_kind(lines->buffer, lines->end, &is_text);
	if (kind != NULL)
		fluct_files_refuse(lines->file, ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
						   "bad_encoding",
						   psprintf("It looks like %s, expected lines of JSON.%s",
									kind, strncmp(kind, "gzip", 4) == 0 ?
									" If it is right, name it *.gz, or pass compression => 'gzip'." : ""));
}

static void
open_lines(Lines *lines, bytea *path, text * encoding, bool gzip)
{
	memset(lines, 0, sizeof(Lines));
	lines->reader = fluct_reader_open(fluct_files_path(path),
									  text_to_cstring(encoding), gzip);
	lines->file = fluct_reader_file(lines->reader);
	lines->capacity = READ_SIZE;
	lines->buffer = palloc(lines->capacity);
	check_kind(lines);
}

/* The next line without its end; false at the end of the file. */
static bool
next_raw_line(Lines *lines, char **line, size_t *len)
{
	size_t		searched = 0;
	char	   *stop;

	for (;;)
	{
		char	   *from = lines->buffer + lines->at;

		stop = memchr(from + searched, '\n', lines->end - lines->at - searched);
		if (stop || lines->eof)
			break;
		searched = lines->end - lines->at;
		read_more(lines);
	}
	if (stop == NULL && lines->at == lines->end)
		return false;
	*line = lines->buffer + lines->at;
	*len = (stop ? stop : lines->buffer + lines->end) - *line;
	lines->at += *len + (stop ? 1 : 0);
	if (*len > 0 && (*line)[*len - 1] == '\r')
		(*len)--;
	lines->number++;
	if (lines->number == 1 && *len >= 3 &&
		memcmp(*line, "\xEF\xBB\xBF", 3) == 0)
	{
		*line += 3;				/* a byte order mark */
		*len -= 3;
	}
	return true;
}

/* Blank lines at the end are ignored; before another line they are wrong. */
static bool
next_line(Lines *lines, char **line, size_t *len)
{
	while (next_raw_line(lines, line, len))
	{
		if (*len > 0)
		{
			FluctRefusal refusal = {0};

			if (lines->blank == 0)
				return true;
			fluct_refuse(&refusal, FLUCT_EMPTY_VALUE, NULL,
						 "the line is blank");
			refuse_line(lines, lines->blank, &refusal);
		}
		if (lines->blank == 0)
			lines->blank = lines->number;
	}
	if (lines->number == 0 || lines->blank == 1)
		ereport(ERROR,
				(errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
				 errmsg("file \"%s\" is refused: empty_file",
						fluct_files_name(lines->file)),
				 errdetail("It has no lines.")));
	return false;
}

/* ----- the span of the times ----- */

static void
widen(const Lines *lines, const FluctJsonValue *value, const char *path,
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
		refuse_line(lines, lines->number, &refusal);
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
	Lines		lines;
	char	   *line;
	size_t		len;
	TupleDesc	tupdesc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	open_lines(&lines, PG_GETARG_BYTEA_PP(0), PG_GETARG_TEXT_PP(3),
			   PG_GETARG_BOOL(4));
	while (next_line(&lines, &line, &len))
	{
		FluctRefusal refusal;

		if (!fluct_json_parse(json, line, len, &refusal))
			refuse_line(&lines, lines.number, &refusal);
		widen(&lines, fluct_json_field(json, field), path, &since, &until);
	}
	close_lines(&lines, PG_GETARG_BYTEA_PP(1));
	values[0] = TimestampTzGetDatum(since);
	values[1] = TimestampTzGetDatum(until);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(tupdesc, values, nulls)));
}

/* ----- storing ----- */

/* Up to LINES_AT_ONCE lines as messages, in the current memory context. */
static int
gather(Lines *lines, FluctMessage *messages)
{
	size_t		bytes = 0;
	int			n = 0;
	char	   *line;
	size_t		len;

	while (n < LINES_AT_ONCE && bytes < BYTES_AT_ONCE &&
		   next_line(lines, &line, &len))
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
store_lines(Lines *lines, FluctSink *sink, int64 *count, int64 *inserted)
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
				refuse_line(lines, refused->offset, refused->refusal);
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
	Lines		lines;
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
	open_lines(&lines, PG_GETARG_BYTEA_PP(0), PG_GETARG_TEXT_PP(4),
			   PG_GETARG_BOOL(5));
	SPI_connect();
	sink = fluct_sink_open(&stream, GetUserId(), CurrentMemoryContext);
	store_lines(&lines, sink, &count, &inserted);
	close_lines(&lines, PG_GETARG_BYTEA_PP(1));
	fluct_sink_close(sink);
	SPI_finish();
	values[0] = Int64GetDatum(count);
	values[1] = Int64GetDatum(inserted);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(tupdesc, values, nulls)));
}
