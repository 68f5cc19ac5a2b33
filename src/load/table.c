/*-------------------------------------------------------------------------
 *
 * table.c
 *	  A server file of CSV or JSON lines into any table, through a mapping.
 *
 * A row goes through the decoder and the sink that a message from Kafka goes
 * through, so a mapping's words mean the same.  A row of CSV is a message whose
 * fields are the header's names: texts, NULL, and for the names that say so
 * true and false.
 *
 * As in csv_rows.c, what is refused is returned with its reason, and the caller
 * decides.  At the first row more than may be refused the reading ends: the
 * caller refuses the file then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "csv/header.h"
#include "load/lines.h"
#include "load/progress.h"
#include "pg/alloc.h"
#include "pg/query.h"
#include "sink/sink.h"

#define ROWS_AT_ONCE	1000
#define BYTES_AT_ONCE	8388608

/* Bytes of a refused row that are kept. */
#define KEPT_LEN		10000

PG_FUNCTION_INFO_V1(fluct_load_table);

typedef struct Words
{
	Datum	   *values;			/* text */
	int			count;
} Words;

typedef struct TableLoad
{
	ReturnSetInfo *rsinfo;
	FluctFile  *file;
	int64		most_refused;
	int64		refused;
	bool		ended;			/* nothing more can be read, or need be */
	int64		rows;			/* the refused ones, too */
	int64		stored;
	int64		duplicates;

	/* JSON lines */
	FluctLines	lines;

	/* CSV; NULL for JSON lines */
	FluctCsv   *csv;
	int			ncolumns;
	char	  **columns;		/* `"name":`, NULL for one without a name */
	bool	   *booleans;		/* those that are true or false */
	Words		boolean_names;
	Words		null_words;
	bool		strict_end;
} TableLoad;

/* ----- what is refused ----- */

/* Adds (line, reason, detail, fields, fatal). */
static void
put_refused(TableLoad *load, int64 line, const char *reason,
			const char *detail, const char *row, int len, bool fatal)
{
	Datum		values[8] = {0};
	bool		nulls[8] = {false, false, false, row == NULL, false, true, true, true};
	Datum		field;

	values[0] = Int64GetDatum(line);
	values[1] = CStringGetTextDatum(reason);
	values[2] = CStringGetTextDatum(detail);
	if (row != NULL)
	{
		len = pg_mbcliplen(row, len, KEPT_LEN);
		nulls[3] = memchr(row, '\0', len) != NULL ||
			!pg_verifymbstr(row, len, true);
		field = PointerGetDatum(cstring_to_text_with_len(row, len));
		values[3] = PointerGetDatum(construct_array(&field, 1, TEXTOID, -1,
													false, TYPALIGN_INT));
	}
	values[4] = BoolGetDatum(fatal);
	tuplestore_putvalues(load->rsinfo->setResult, load->rsinfo->setDesc,
						 values, nulls);
	load->refused++;
	load->rows++;
	load->ended |= fatal || load->refused > load->most_refused;
}

static void
put_csv_refusal(TableLoad *load, const FluctCsvRefusal *refusal, bool fatal)
{
	put_refused(load, refusal->line, fluct_csv_reason_name(refusal->reason),
				refusal->detail, NULL, 0, fatal);
}

static void
put_message(TableLoad *load, const FluctMessage *message)
{
	const FluctRefusal *refusal = message->refusal;

	put_refused(load, message->offset, fluct_reason_name(refusal->reason),
				psprintf("%s%s%s", refusal->path, refusal->path[0] ? ": " : "",
						 refusal->detail),
				message->value, message->value_len, false);
}

/* ----- a row of CSV as a message ----- */

static void
append_string(StringInfo out, const char *text, size_t len)
{
	char	   *copy = pnstrdup(text, len);

	escape_json(out, copy);
	pfree(copy);
}

static Words
read_words(ArrayType *array)
{
	Words		words;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &words.values,
					  NULL, &words.count);
	return words;
}

static bool
is_among(const Words *words, const char *text, size_t len)
{
	for (int i = 0; i < words->count; i++)
		if (VARSIZE_ANY_EXHDR(DatumGetPointer(words->values[i])) == len &&
			memcmp(VARDATA_ANY(DatumGetPointer(words->values[i])), text, len) == 0)
			return true;
	return false;
}

static void
append_field(TableLoad *load, StringInfo out, const FluctCsvField *field,
			 bool boolean)
{
	bool		value;

	if ((field->len == 0 && !field->quoted) ||
		is_among(&load->null_words, field->text, field->len))
		appendStringInfoString(out, "null");
	else if (boolean && parse_bool_with_len(field->text, field->len, &value))
		appendStringInfoString(out, value ? "true" : "false");
	else
		append_string(out, field->text, field->len);
}

static void
make_message(TableLoad *load, const FluctCsvRecord *record,
			 FluctMessage *message)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < load->ncolumns; i++)
	{
		if (load->columns[i] == NULL)
			continue;
		appendStringInfoChar(&out, out.len == 0 ? '{' : ',');
		appendStringInfoString(&out, load->columns[i]);
		append_field(load, &out, &record->fields[i], load->booleans[i]);
	}
	appendStringInfoChar(&out, '}');
	memset(message, 0, sizeof(FluctMessage));
	message->offset = record->line;
	message->time_ms = -1;
	message->value = out.data;
	message->value_len = message->full_len = out.len;
}

/* What the header says; false if it is refused. */
static bool
take_header(TableLoad *load, const FluctCsvRecord *header)
{
	load->ncolumns = header->count;
	load->columns = palloc0_array(char *, header->count);
	load->booleans = palloc0_array(bool, header->count);
	for (int i = 0; i < header->count; i++)
	{
		const FluctCsvField *name = &header->fields[i];
		StringInfoData member;

		if (name->len == 0)
			continue;
		initStringInfo(&member);
		append_string(&member, name->text, name->len);
		appendStringInfoChar(&member, ':');
		load->columns[i] = member.data;
		load->booleans[i] = is_among(&load->boolean_names, name->text, name->len);
		for (int j = 0; j < i; j++)
			if (load->columns[j] && strcmp(load->columns[j], member.data) == 0)
			{
				put_refused(load, header->line, "bad_header",
							psprintf("column %.*s is duplicated in the header, as columns %d and %d",
									 member.len - 1, member.data, j + 1, i + 1),
							NULL, 0, true);
				return false;
			}
	}
	return true;
}

static void
open_csv(TableLoad *load, FluctReader *reader, const FluctCsvOptions *options,
		 ArrayType *needed)
{
	FluctAllocator allocator = fluct_alloc_in(CurrentMemoryContext);
	FluctCsvSource source = {fluct_reader_read, reader};
	FluctCsvRecord header;
	FluctCsvRefusal refusal;
	Words		words = read_words(needed);
	const char **names = palloc_array(const char *, words.count + 1);

	load->file = fluct_reader_file(reader);
	load->csv = fluct_csv_create(&allocator, &source, options);
	for (int i = 0; i < words.count; i++)
		names[i] = TextDatumGetCString(words.values[i]);
	if (!fluct_csv_read_header(load->csv, names, words.count,
							   palloc_array(int, words.count + 1), &header,
							   &refusal))
		put_csv_refusal(load, &refusal, true);
	else
		(void) take_header(load, &header);
}

/* ----- reading ----- */

/* The next row as a message; false if there is none, or it is refused. */
static bool
next_csv(TableLoad *load, FluctMessage *message)
{
	FluctCsvRecord record;
	FluctCsvRefusal refusal;
	FluctCsvStatus status = fluct_csv_next(load->csv, &record, &refusal);

	if (status == FLUCT_CSV_END)
		load->ended = true;
	else if (status != FLUCT_CSV_RECORD)
		put_csv_refusal(load, &refusal, status == FLUCT_CSV_BAD_FILE);
	else if (record.unterminated && load->strict_end)
		put_refused(load, record.line, "missing_column", "the file ends within this"
					" line, expected a line end; it may be truncated", NULL, 0, false);
	else
	{
		make_message(load, &record, message);
		return true;
	}
	return false;
}

static bool
next_json(TableLoad *load, FluctMessage *message)
{
	FluctRefusal refusal;
	char	   *line;
	size_t		len;

	load->ended = !fluct_lines_next_row(&load->lines, &line, &len, &refusal);
	if (load->ended)
		return false;
	if (refusal.reason != FLUCT_OK)
	{
		put_refused(load, load->lines.number, fluct_reason_name(refusal.reason),
					refusal.detail, len > 0 ? line : NULL, len, false);
		return false;
	}
	memset(message, 0, sizeof(FluctMessage));
	message->offset = load->lines.number;
	message->time_ms = -1;
	message->value = memcpy(palloc(len), line, len);
	message->value_len = message->full_len = len;
	return true;
}

static int
gather(TableLoad *load, FluctMessage *messages)
{
	size_t		bytes = 0;
	int			n = 0;

	while (n < ROWS_AT_ONCE && bytes < BYTES_AT_ONCE && !load->ended)
	{
		CHECK_FOR_INTERRUPTS();
		if (load->csv ? next_csv(load, &messages[n]) : next_json(load, &messages[n]))
			bytes += messages[n++].value_len;
	}
	return n;
}

static void
store(TableLoad *load, FluctSink *sink)
{
	FluctMessage *messages = palloc(sizeof(FluctMessage) * ROWS_AT_ONCE);
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext,
												"fluct table rows",
												ALLOCSET_DEFAULT_SIZES);

	while (!load->ended)
	{
		MemoryContext old = MemoryContextSwitchTo(batch);
		int			n = gather(load, messages);

		for (int at = 0, taken; at < n; at += taken)
		{
			taken = fluct_sink_store(sink, messages + at, n - at);
			for (int i = at; i < at + taken; i++)
			{
				load->rows += messages[i].outcome != FLUCT_DEAD;
				load->stored += messages[i].outcome == FLUCT_STORED;
				load->duplicates += messages[i].outcome == FLUCT_DUPLICATE;
				if (messages[i].outcome == FLUCT_DEAD)
					put_message(load, &messages[i]);
			}
		}
		fluct_progress_rows(n);
		MemoryContextSwitchTo(old);
		MemoryContextReset(batch);
	}
	MemoryContextDelete(batch);
}

/* Adds the last row: the counts, without a reason. */
static void
put_counts(TableLoad *load)
{
	Datum		values[8] = {0};
	bool		nulls[8] = {true, true, true, true, true, false, false, false};

	values[5] = Int64GetDatum(load->rows);
	values[6] = Int64GetDatum(load->stored);
	values[7] = Int64GetDatum(load->duplicates);
	tuplestore_putvalues(load->rsinfo->setResult, load->rsinfo->setDesc,
						 values, nulls);
}

static void
open_file(TableLoad *load, FunctionCallInfo fcinfo)
{
	FluctCsvOptions options = FLUCT_CSV_USUAL;
	char	   *encoding = text_to_cstring(PG_GETARG_TEXT_PP(10));
	FluctReader *reader;

	if (!PG_GETARG_BOOL(5))
	{
		fluct_lines_open(&load->lines, PG_GETARG_BYTEA_PP(0),
						 PG_GETARG_TEXT_PP(10), PG_GETARG_BOOL(13));
		load->file = load->lines.file;
		return;
	}
	load->boolean_names = read_words(PG_GETARG_ARRAYTYPE_P(7));
	load->strict_end = PG_GETARG_BOOL(8);
	load->null_words = read_words(PG_GETARG_ARRAYTYPE_P(12));
	options.delimiter = text_to_cstring(PG_GETARG_TEXT_PP(9))[0];
	options.encoding = strcmp(encoding, "UTF8") == 0 ? NULL : encoding;
	options.skip_lines = PG_GETARG_INT64(11);
	reader = fluct_reader_open(fluct_files_path(PG_GETARG_BYTEA_PP(0)),
							   encoding, PG_GETARG_BOOL(13));
	open_csv(load, reader, &options, PG_GETARG_ARRAYTYPE_P(6));
}

/*
 * Checked before the load by the tables' names, which the owner of a schema can
 * give to others since; these here are locked.
 */
static void
refuse_superuser_writer(Oid relid)
{
	FluctQuery	query = {0};

	fluct_query_add(&query, OIDOID, ObjectIdGetDatum(GetUserId()), false);
	fluct_query_add(&query, REGCLASSOID, ObjectIdGetDatum(relid), false);
	fluct_query_run(&query, "SELECT fluct._refuse_superuser_writer($1, $2)");
}

/*
 * fluct._load_rows(path bytea, sha256 bytea, target text, mapping jsonb,
 *					on_conflict text, csv boolean, needed text[],
 *					booleans text[], strict_end boolean, delimiter text,
 *					encoding text, skip_lines bigint, null_words text[],
 *					gzip boolean, max_refused bigint)
 * RETURNS TABLE (line bigint, reason text, detail text, fields text[],
 *				  fatal boolean, rows bigint, stored bigint,
 *				  duplicates bigint)
 *
 * A row for each that is refused, and a last one with the counts.
 */
Datum
fluct_load_table(PG_FUNCTION_ARGS)
{
	TableLoad	load = {(ReturnSetInfo *) fcinfo->resultinfo};
	FluctStream stream = {0};
	FluctSink  *sink;

	InitMaterializedSRF(fcinfo, 0);
	load.most_refused = PG_GETARG_INT64(14);
	stream.name = "load_table";
	stream.topic = "";
	stream.target = text_to_cstring(PG_GETARG_TEXT_PP(2));
	stream.mapping = PG_GETARG_JSONB_P(3);
	stream.on_conflict = text_to_cstring(PG_GETARG_TEXT_PP(4));
	open_file(&load, fcinfo);
	if (!load.ended)
	{
		SPI_connect();
		sink = fluct_sink_open_held(&stream, GetUserId(), CurrentMemoryContext);
		fluct_sink_each_target(sink, refuse_superuser_writer);
		store(&load, sink);
		fluct_sink_close(sink);
		SPI_finish();
	}
	if (!fluct_files_unchanged(load.file, PG_GETARG_BYTEA_PP(1)))
		put_refused(&load, 0, "changed_while_read",
					"its content is not what it was when the load began",
					NULL, 0, true);
	put_counts(&load);
	return (Datum) 0;
}
