/*-------------------------------------------------------------------------
 *
 * header.c
 *	  The first record of a CSV file: which column is where.
 *
 * What is wrong with a file as a whole shows here: it is not CSV at all, its
 * columns are separated by something else, a name is misspelled.  The refusal
 * says what was found and what was probably meant.
 *
 *-------------------------------------------------------------------------
 */
#include "csv/header.h"

#include <string.h>
#include <strings.h>

/* How much of a name is compared when the closest one is sought. */
#define NAME_LEN		64

/* As many of the first bytes as tell what kind of file it is. */
#define KIND_LEN		16

/* `sep=`, a delimiter, CR and LF (or the next line's first byte). */
#define SEPARATOR_LEN	7

/*
 * What was meant
 */

const char *
fluct_csv_kind(const char *bytes, size_t len, bool *is_text)
{
	static const struct
	{
		const char *magic;
		size_t		len;
		bool		is_text;
		const char *kind;
	}			kinds[] = {
		{"\x1F\x8B", 2, false, "gzip data"},
		{"PK\x03\x04", 4, false, "a ZIP archive or a spreadsheet"},
		{"\xD0\xCF\x11\xE0", 4, false, "an old spreadsheet"},
		{"BZh", 3, false, "bzip2 data"},
		{"\xFD\x37zXZ", 5, false, "xz data"},
		{"\x28\xB5\x2F\xFD", 4, false, "zstd data"},
		{"%PDF", 4, false, "a PDF document"},
		{"\xFF\xFE", 2, false, "UTF-16 text"},
		{"\xFE\xFF", 2, false, "UTF-16 text"},
		{"<!DOCTYPE", 9, true, "an HTML page"},
		{"<html", 5, true, "an HTML page"},
		{"<?xml", 5, true, "an XML document"},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		if (len < kinds[i].len)
			continue;
		if (memcmp(bytes, kinds[i].magic, kinds[i].len) == 0 ||
			(*bytes == '<' &&
			 strncasecmp(bytes, kinds[i].magic, kinds[i].len) == 0))
		{
			*is_text = kinds[i].is_text;
			return kinds[i].kind;
		}
	}
	return NULL;
}

/* Changes of single bytes that turn one name into the other (Levenshtein). */
static int
distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int			row[NAME_LEN + 1];

	a_len = a_len > NAME_LEN ? NAME_LEN : a_len;
	b_len = b_len > NAME_LEN ? NAME_LEN : b_len;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = (int) j;
	for (size_t i = 1; i <= a_len; i++)
	{
		int			diagonal = row[0];

		row[0] = (int) i;
		for (size_t j = 1; j <= b_len; j++)
		{
			int			best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (diagonal + 1 < best)
				best = diagonal + 1;
			row[j] = best;
		}
	}
	return row[b_len];
}

/* The delimiter, but for `own`, between a name and others in this text, or 0. */
static char
delimiter_of(const char *text, size_t text_len, const char *name, char own)
{
	size_t		len = strlen(name);

	for (const char *d = FLUCT_CSV_DELIMITERS; *d != '\0'; d++)
	{
		const char *p = text;
		const char *end = p + text_len;

		while (p < end && *d != own)
		{
			const char *stop = memchr(p, *d, end - p);
			size_t		part = (stop ? stop : end) - p;

			if (part == len && part < text_len && memcmp(p, name, len) == 0)
				return *d;
			p += part + 1;
		}
	}
	return 0;
}

/*
 * The names
 */

/* Refuses a file that is not CSV in its encoding, as its first bytes show. */
static bool
check_kind(FluctCsv *csv, FluctCsvRefusal *refusal)
{
	const char *encoding = fluct_csv_options(csv)->encoding;
	const char *wanted = encoding != NULL ? encoding : "UTF-8";
	size_t		len;
	const char *p = fluct_csv_peek(csv, KIND_LEN, &len);
	bool		is_text;
	const char *kind = fluct_csv_kind(p, len, &is_text);

	if (kind != NULL)
		fluct_csv_refuse(refusal, is_text ? FLUCT_CSV_BAD_HEADER :
						 FLUCT_CSV_BAD_ENCODING, 1,
						 "the file looks like %s, expected CSV in %s", kind,
						 wanted);
	if (len >= 4 && (p[0] == '\0') != (p[1] == '\0'))
		fluct_csv_refuse(refusal, FLUCT_CSV_NUL, 1,
						 "the file looks like %s text, expected CSV in %s",
						 p[0] == '\0' ? "UTF-16BE" : "UTF-16", wanted);
	return refusal->reason == FLUCT_CSV_OK;
}

/* Whether there was one. */
static bool
skip_byte_order_mark(FluctCsv *csv)
{
	size_t		len;
	const char *p = fluct_csv_peek(csv, 3, &len);

	if (len < 3 || memcmp(p, "\xEF\xBB\xBF", 3) != 0)
		return false;
	fluct_csv_skip(csv, 3);
	return true;
}

/* A decoder passes a mark on only where it stands in a file of another encoding. */
static bool
check_byte_order_mark(FluctCsv *csv, FluctCsvRefusal *refusal)
{
	const char *encoding = fluct_csv_options(csv)->encoding;

	if (!skip_byte_order_mark(csv) || encoding == NULL)
		return true;
	fluct_csv_refuse(refusal, FLUCT_CSV_BAD_ENCODING, 1,
					 "the file begins with the mark of UTF-8, expected CSV"
					 " in %s", encoding);
	return false;
}

/*
 * Spreadsheets may begin a file with the delimiter that they chose: `sep=;`.
 * The file knows best, so that one counts.
 */
static bool
take_separator_line(FluctCsv *csv)
{
	size_t		len;
	const char *p = fluct_csv_peek(csv, SEPARATOR_LEN, &len);

	if (len < SEPARATOR_LEN || strncasecmp(p, "sep=", 4) != 0 ||
		(p[5] != '\n' && memcmp(p + 5, "\r\n", 2) != 0) ||
		!fluct_csv_can_delimit(p[4]))
		return false;
	fluct_csv_delimit(csv, p[4]);
	if (!fluct_csv_skip_line(csv))
		return false;
	/* the line was put before a file that has a mark */
	(void) skip_byte_order_mark(csv);
	return true;
}

/* The lines before the header: as many as wanted, one `sep=` among them. */
static void
skip_preamble(FluctCsv *csv)
{
	uint64_t	left = fluct_csv_options(csv)->skip_lines;

	if (take_separator_line(csv))
		left -= left > 0;
	for (; left > 0; left--)
		if (!fluct_csv_skip_line(csv))
			return;
	(void) take_separator_line(csv);
}

static bool
has_name(const FluctCsvField *field, const char *name)
{
	return field->len == strlen(name) &&
		memcmp(field->text, name, field->len) == 0;
}

/* A wanted name is missing: says what is there instead. */
static void
refuse_missing(const FluctCsvRecord *record, const char *name,
			   char own_delimiter, FluctCsvRefusal *refusal)
{
	const FluctCsvField *closest = NULL;
	int			least = NAME_LEN + 1;

	for (int i = 0; i < record->count; i++)
	{
		const FluctCsvField *field = &record->fields[i];
		char		delimiter = delimiter_of(field->text, field->len, name,
											 own_delimiter);
		int			changes = distance(field->text, field->len, name,
									   strlen(name));

		if (delimiter != 0)
		{
			fluct_csv_refuse_delimiter(refusal, record->line, delimiter,
									   own_delimiter);
			return;
		}
		if (changes < least)
		{
			least = changes;
			closest = field;
		}
	}
	fluct_csv_refuse(refusal, FLUCT_CSV_BAD_HEADER, record->line,
					 "no column \"%s\" in the header; the closest name is"
					 " \"%.*s\"", name,
					 closest->len > NAME_LEN ? NAME_LEN : (int) closest->len,
					 closest->text);
}

/* Finds the column of a name, which must be there exactly once. */
static void
match_name(const FluctCsvRecord *record, const char *name, char own_delimiter,
		   int *column, FluctCsvRefusal *refusal)
{
	*column = -1;
	for (int i = 0; i < record->count; i++)
	{
		if (!has_name(&record->fields[i], name))
			continue;
		if (*column >= 0)
			fluct_csv_refuse(refusal, FLUCT_CSV_BAD_HEADER, record->line,
							 "column \"%s\" is duplicated in the header, as"
							 " columns %d and %d", name, *column + 1, i + 1);
		*column = i;
	}
	if (*column < 0)
		refuse_missing(record, name, own_delimiter, refusal);
}

bool
fluct_csv_read_header(FluctCsv *csv, const char *const *names, int count,
					  int *columns, FluctCsvRecord *header,
					  FluctCsvRefusal *refusal)
{
	FluctCsvRecord record;
	FluctCsvStatus status;

	refusal->reason = FLUCT_CSV_OK;
	if (!check_kind(csv, refusal) || !check_byte_order_mark(csv, refusal))
		return false;
	skip_preamble(csv);
	status = fluct_csv_next(csv, &record, refusal);
	if (status == FLUCT_CSV_BAD_FILE || status == FLUCT_CSV_BAD_RECORD)
	{
		if (refusal->reason == FLUCT_CSV_MISSING_COLUMN)
			refusal->reason = FLUCT_CSV_BAD_HEADER;
		return false;
	}
	if (status == FLUCT_CSV_END)
		fluct_csv_refuse(refusal, FLUCT_CSV_EMPTY_FILE, 1,
						 "the file has no header");
	for (int i = 0; i < count && refusal->reason == FLUCT_CSV_OK; i++)
		match_name(&record, names[i], fluct_csv_options(csv)->delimiter,
				   &columns[i], refusal);
	if (refusal->reason != FLUCT_CSV_OK)
		return false;
	fluct_csv_expect(csv, record.count);
	if (header != NULL)
		*header = record;
	return true;
}
