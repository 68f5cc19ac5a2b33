/*-------------------------------------------------------------------------
 *
 * csv_rows.c
 *	  The rows of a CSV file.
 *
 * Faults of its contents are returned as rows with a reason, not as an error,
 * because only the caller knows whether a bad row refuses the file, and which
 * of the bad rows is the first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/text.h"
#include "csv/header.h"
#include "load/progress.h"
#include "load/reader.h"
#include "pg/alloc.h"
#include "pg/argument.h"

/* How many bytes of the ignored column names are reported. */
#define IGNORED_LEN		256

PG_FUNCTION_INFO_V1(fluct_read_csv);

/* Where the rows of a file go. */
typedef struct RowSink
{
	ReturnSetInfo *rsinfo;
	MemoryContext row_context;
	int		   *columns;		/* of the file, in the order asked for */
	int			ncolumns;
	Datum	   *values;
	bool	   *nulls;
	char	  **null_words;		/* fields that mean NULL */
	int			nnull_words;
} RowSink;

/* A field in the database's encoding. */
static Datum
field_datum(const FluctCsvField *field)
{
	char	   *converted;

	if (GetDatabaseEncoding() == PG_UTF8 || field->len == 0)
		return PointerGetDatum(cstring_to_text_with_len(field->text,
														field->len));
	converted = pnstrdup(field->text, field->len);
	return CStringGetTextDatum(pg_any_to_server(converted, field->len,
												PG_UTF8));
}

static bool
is_null(const RowSink *sink, const FluctCsvField *field)
{
	if (field->len == 0 && !field->quoted)
		return true;
	for (int i = 0; i < sink->nnull_words; i++)
		if (strncmp(sink->null_words[i], field->text, field->len) == 0 &&
			sink->null_words[i][field->len] == '\0')
			return true;
	return false;
}

/* Adds (line, fields, NULL, NULL, false). */
static void
put_record(RowSink *sink, const FluctCsvRecord *record)
{
	MemoryContext old = MemoryContextSwitchTo(sink->row_context);
	int			dims[1] = {sink->ncolumns};
	int			lbs[1] = {1};
	Datum		values[5] = {0};
	bool		nulls[5] = {false, false, true, true, false};

	for (int i = 0; i < sink->ncolumns; i++)
	{
		const FluctCsvField *field = &record->fields[sink->columns[i]];

		sink->nulls[i] = is_null(sink, field);
		if (!sink->nulls[i])
			sink->values[i] = field_datum(field);
	}
	values[0] = Int64GetDatum(record->line);
	values[1] = PointerGetDatum(construct_md_array(sink->values, sink->nulls,
												   1, dims, lbs, TEXTOID, -1,
												   false, TYPALIGN_INT));
	tuplestore_putvalues(sink->rsinfo->setResult, sink->rsinfo->setDesc,
						 values, nulls);
	MemoryContextSwitchTo(old);
	MemoryContextReset(sink->row_context);
}

/* Adds (line, NULL, reason, detail, fatal). */
static void
put_refusal(RowSink *sink, uint64_t line, const char *reason,
			const char *detail, bool fatal)
{
	Datum		values[5];
	bool		nulls[5] = {false, true, false, false, false};

	values[0] = Int64GetDatum(line);
	values[1] = (Datum) 0;
	values[2] = CStringGetTextDatum(reason);
	values[3] = CStringGetTextDatum(detail);
	values[4] = BoolGetDatum(fatal);
	tuplestore_putvalues(sink->rsinfo->setResult, sink->rsinfo->setDesc,
						 values, nulls);
}

static void
put_csv_refusal(RowSink *sink, const FluctCsvRefusal *refusal, bool fatal)
{
	put_refusal(sink, refusal->line, fluct_csv_reason_name(refusal->reason),
				refusal->detail, fatal);
}

/* Reports the columns of the header that are not wanted. */
static void
tell_ignored(const FluctFile *file, const RowSink *sink,
			 const FluctCsvRecord *header)
{
	StringInfoData names;
	char		shown[IGNORED_LEN];

	initStringInfo(&names);
	for (int i = 0; i < header->count; i++)
	{
		bool		wanted = false;

		for (int j = 0; j < sink->ncolumns; j++)
			wanted |= sink->columns[j] == i;
		if (!wanted)
			appendStringInfo(&names, "%s\"%.*s\"", names.len > 0 ? ", " : "",
							 (int) header->fields[i].len,
							 header->fields[i].text);
	}
	if (names.len == 0)
		return;
	fluct_text_printable(shown, sizeof(shown), names.data);
	ereport(NOTICE,
			(errmsg("file \"%s\": columns ignored: %s", fluct_files_name(file), shown)));
}

/* A last line without its end may be complete, or truncated. */
static void
take_last_record(RowSink *sink, const FluctFile *file, uint64_t line,
				 bool strict_end)
{
	if (strict_end)
		put_refusal(sink, line, "missing_column", "the file ends within this"
					" line, expected a line end; it may be truncated", false);
	else
		ereport(WARNING,
				(errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
				 errmsg("the last line of file \"%s\", line %llu, has no line"
						" end", fluct_files_name(file), (unsigned long long) line),
				 errdetail("It was read as it is. A truncated file"
						   " looks like this.")));
}

/* Reads the file through csv.c into the sink. */
static void
read_rows(FluctReader *from, const FluctCsvOptions *options,
		  const char *const *names, RowSink *sink, bool strict_end)
{
	FluctAllocator allocator = fluct_alloc_in(CurrentMemoryContext);
	const FluctFile *file = fluct_reader_file(from);
	FluctCsvSource source = {fluct_reader_read, from};
	FluctCsv   *csv = fluct_csv_create(&allocator, &source, options);
	FluctCsvRecord record;
	FluctCsvRefusal refusal;
	FluctCsvStatus status;

	if (!fluct_csv_read_header(csv, names, sink->ncolumns, sink->columns,
							   &record, &refusal))
	{
		put_csv_refusal(sink, &refusal, true);
		return;
	}
	if (record.unterminated && strict_end)
	{
		put_refusal(sink, record.line, "bad_header", "the file ends within"
					" the header, expected a line end; it may be truncated", true);
		return;
	}
	tell_ignored(file, sink, &record);
	while ((status = fluct_csv_next(csv, &record, &refusal)) != FLUCT_CSV_END)
	{
		if (status != FLUCT_CSV_RECORD)
		{
			put_csv_refusal(sink, &refusal, status == FLUCT_CSV_BAD_FILE);
			if (status == FLUCT_CSV_BAD_FILE)
				return;
			continue;
		}
		if (record.unterminated)
			take_last_record(sink, file, record.line, strict_end);
		if (!record.unterminated || !strict_end)
			put_record(sink, &record);
		fluct_progress_rows(1);
	}
}

/* Texts as C strings in UTF-8. */
static char **
words_of(ArrayType *array, int *count)
{
	Datum	   *datums;
	char	  **names;

	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("names and words must not be null")));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &datums, NULL,
					  count);
	names = palloc_array(char *, *count);
	for (int i = 0; i < *count; i++)
	{
		char	   *name = TextDatumGetCString(datums[i]);

		names[i] = pg_server_to_any(name, strlen(name), PG_UTF8);
	}
	return names;
}

/*
 * fluct._read_csv(path bytea, sha256 bytea, columns text[], strict_end boolean,
 *				   delimiter text, encoding text, skip_lines bigint,
 *				   null_words text[], gzip boolean)
 * RETURNS TABLE (line bigint, fields text[], reason text, detail text,
 *				  fatal boolean)
 *
 * The wanted columns of each row, with its physical line from 1, in the order
 * of `columns`; an empty field without quotes is NULL, and so is one of
 * null_words.  A row that is refused has a reason in place of fields; after a
 * fatal one nothing could be read.  sha256 is what the content must be, NULL =
 * anything.
 */
Datum
fluct_read_csv(PG_FUNCTION_ARGS)
{
	bytea	   *wanted = PG_ARGISNULL(1) ? NULL : PG_GETARG_BYTEA_PP(1);
	FluctCsvOptions options = FLUCT_CSV_USUAL;
	FluctReader *reader;
	RowSink		sink = {(ReturnSetInfo *) fcinfo->resultinfo};
	char	  **names;
	char	   *encoding;

	for (int i = 0; i < PG_NARGS(); i++)
		if (i != 1)
			fluct_argument_require(fcinfo, i, "each argument but sha256");
	InitMaterializedSRF(fcinfo, 0);
	names = words_of(PG_GETARG_ARRAYTYPE_P(2), &sink.ncolumns);
	sink.columns = palloc_array(int, sink.ncolumns);
	sink.values = palloc_array(Datum, sink.ncolumns);
	sink.nulls = palloc_array(bool, sink.ncolumns);
	sink.null_words = words_of(PG_GETARG_ARRAYTYPE_P(7), &sink.nnull_words);
	sink.row_context = AllocSetContextCreate(CurrentMemoryContext,
											 "fluct csv row",
											 ALLOCSET_DEFAULT_SIZES);
	options.delimiter = text_to_cstring(PG_GETARG_TEXT_PP(4))[0];
	encoding = text_to_cstring(PG_GETARG_TEXT_PP(5));
	options.encoding = strcmp(encoding, "UTF8") == 0 ? NULL : encoding;
	options.skip_lines = PG_GETARG_INT64(6);

	reader = fluct_reader_open(fluct_files_path(PG_GETARG_BYTEA_PP(0)),
							   encoding, PG_GETARG_BOOL(8));
	read_rows(reader, &options, (const char *const *) names, &sink,
			  PG_GETARG_BOOL(3));
	if (!fluct_files_unchanged(fluct_reader_file(reader), wanted))
		put_refusal(&sink, 0, "changed_while_read",
					"its content is not what it was when the load began",
					true);
	return (Datum) 0;
}
