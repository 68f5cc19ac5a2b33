/*-------------------------------------------------------------------------
 *
 * csv.c
 *	  Splits CSV bytes into records with their physical line numbers.
 *
 * The form is RFC 4180's as PostgreSQL's COPY writes it, read strictly:
 *
 * - fields end at a delimiter (a comma unless the caller says otherwise),
 *	 records at LF or CRLF, which may mix.  A lone CR is data within quotes and
 *	 `wrong_delimiter` outside.
 * - a quote opens a field at its very start only, and is doubled inside; the
 *	 closing one must end the field.  Anything else is `bad_quote`.
 * - a byte order mark before the header is skipped; `\.` is data.
 * - empty lines at the end are ignored, and so are lines of delimiters alone, as
 *	 spreadsheets write them; elsewhere the former lack columns, and the latter
 *	 are records of empty fields.
 * - NUL bytes and broken UTF-8 are refused.  What a decoder before this one could
 *	 not decode comes as FLUCT_CSV_UNDECODED and the byte, which UTF-8 never has.
 *
 * A refused record does not stop the reading.  Even a misplaced quote leaves
 * no doubt where the record ends, since only a quote at a field's start can
 * hide a line end.  One that is never closed can, so it ends the file, and the
 * refusal names the line on which it was opened.
 *
 * Lines are physical ones, as editors count them: those within quotes count.
 *
 * Memory is one buffer (bytes.c), one record and its fields, and the numbers of
 * the lines that may turn out to be at the end (tail.c).  A field that is too
 * long is read to its end but not kept.
 *
 *-------------------------------------------------------------------------
 */
#include "csv/csv.h"

#include <string.h>

#include "base/text.h"
#include "csv/tail.h"

#define TEXT_SIZE		65536

/* Notes what is wrong with the record, unless something was before. */
#define fault(csv, ...) fluct_csv_refuse(&(csv)->fault, __VA_ARGS__)

struct FluctCsv
{
	FluctAllocator allocator;
	FluctCsvOptions options;
	FluctCsvBytes bytes;		/* read but not yet split */
	uint64_t	line;			/* of the next byte */
	int			expected;		/* fields of the header, 0 before it */

	/* the record at hand */
	char	   *text;
	size_t		text_len;
	size_t		text_room;
	FluctCsvField *fields;
	size_t		fields_room;
	int			count;			/* may be more than are kept */
	FluctCsvRefusal fault;		/* the first one in it */

	/* what came before the record at hand, and is given first */
	FluctCsvTail tail;
	FluctCsvField *no_fields;	/* of a line of delimiters */
	bool		has_next;		/* the record at hand waits for them */
	FluctCsvStatus next_status;
	FluctCsvRecord next;
	FluctCsvRefusal next_refusal;
};

static void
grow(FluctCsv *csv, size_t n)
{
	if (csv->text_len + n <= csv->text_room)
		return;
	csv->text_room = (csv->text_len + n) * 2;
	csv->text = csv->allocator.resize(csv->allocator.arg, csv->text,
									  csv->text_room);
}

FluctCsv *
fluct_csv_create(const FluctAllocator *allocator, const FluctCsvSource *source,
				 const FluctCsvOptions *options)
{
	FluctCsv   *csv = allocator->resize(allocator->arg, NULL,
										sizeof(FluctCsv));

	memset(csv, 0, sizeof(FluctCsv));
	csv->allocator = *allocator;
	csv->bytes.source = *source;
	csv->options = *options;
	csv->line = 1;
	grow(csv, TEXT_SIZE);
	return csv;
}

bool
fluct_csv_can_delimit(char byte)
{
	return byte == '\t' || (byte >= ' ' && byte < 0x7F && byte != '"');
}

uint64_t
fluct_csv_position(const FluctCsv *csv)
{
	return fluct_csv_bytes_position(&csv->bytes);
}

const FluctCsvOptions *
fluct_csv_options(const FluctCsv *csv)
{
	return &csv->options;
}

void
fluct_csv_delimit(FluctCsv *csv, char delimiter)
{
	csv->options.delimiter = delimiter;
}

const char *
fluct_csv_peek(FluctCsv *csv, size_t n, size_t *len)
{
	(void) fluct_csv_bytes_peek(&csv->bytes, n - 1);
	*len = csv->bytes.len - csv->bytes.pos;
	return csv->bytes.buffer + csv->bytes.pos;
}

void
fluct_csv_skip(FluctCsv *csv, size_t n)
{
	csv->bytes.pos += n;
}

void
fluct_csv_expect(FluctCsv *csv, int columns)
{
	csv->expected = columns;
}

static inline int
peek(FluctCsv *csv, size_t n)
{
	return fluct_csv_bytes_peek(&csv->bytes, n);
}

/* Takes a line end if one is next. */
static bool
take_line_end(FluctCsv *csv)
{
	int			c = peek(csv, 0);

	if (c == '\r' && peek(csv, 1) == '\n')
		csv->bytes.pos += 2;
	else if (c == '\n')
		csv->bytes.pos++;
	else
		return false;
	csv->line++;
	return true;
}

bool
fluct_csv_skip_line(FluctCsv *csv)
{
	while (!take_line_end(csv))
	{
		if (peek(csv, 0) == FLUCT_CSV_EOF)
			return false;
		csv->bytes.pos++;
	}
	return true;
}

/*
 * Fields
 */

/* The end of the bytes from pos on that are plain data. */
static inline size_t
run_end(const FluctCsv *csv, bool quoted)
{
	const char *p = csv->bytes.buffer + csv->bytes.pos;
	const char *end = csv->bytes.buffer + csv->bytes.len;
	const char	delimiter = csv->options.delimiter;

	if (quoted)
	{
		while (p < end && *p != '"' && *p != '\n')
			p++;
	}
	else
	{
		while (p < end && *p != delimiter && *p != '\n' && *p != '"' && *p != '\r')
			p++;
	}
	return p - csv->bytes.buffer;
}

/* Keeps n bytes of a field that began at `start` in the text. */
static void
keep(FluctCsv *csv, size_t n, size_t start)
{
	bool		long_field = csv->text_len - start + n > FLUCT_CSV_MAX_FIELD;

	if (long_field || csv->text_len + n > FLUCT_CSV_MAX_RECORD)
	{
		fault(csv, FLUCT_CSV_TOO_LONG, csv->line,
			  "%s longer than %d bytes, up to field %d",
			  long_field ? "a field" : "a record",
			  long_field ? FLUCT_CSV_MAX_FIELD : FLUCT_CSV_MAX_RECORD,
			  csv->count + 1);
		csv->text_len = start;
	}
	else
	{
		grow(csv, n);
		memcpy(csv->text + csv->text_len, csv->bytes.buffer + csv->bytes.pos, n);
		csv->text_len += n;
	}
	csv->bytes.pos += n;
}

/*
 * From after an opening quote to after the closing one; false if there is
 * none.
 */
static bool
read_quoted(FluctCsv *csv, size_t start)
{
	uint64_t	opened = csv->line;
	int			c;

	while ((c = peek(csv, 0)) != FLUCT_CSV_EOF)
	{
		size_t		run = run_end(csv, true) - csv->bytes.pos;

		if (run > 0)
			keep(csv, run, start);
		else if (c == '\n')
		{
			keep(csv, 1, start);
			csv->line++;
		}
		else if (peek(csv, 1) == '"')
		{
			csv->bytes.pos++;
			keep(csv, 1, start);
		}
		else
		{
			csv->bytes.pos++;
			return true;
		}
	}
	csv->fault.reason = FLUCT_CSV_OK;	/* the more serious one wins */
	fault(csv, FLUCT_CSV_OPEN_QUOTE, opened,
		  "the quote that opens field %d is never closed", csv->count + 1);
	return false;
}

/* Reads up to the end of the field, which is left for the caller. */
static void
read_unquoted(FluctCsv *csv, size_t start)
{
	const int	delimiter = (unsigned char) csv->options.delimiter;
	int			c;

	while ((c = peek(csv, 0)) != FLUCT_CSV_EOF && c != delimiter && c != '\n')
	{
		size_t		run = run_end(csv, false) - csv->bytes.pos;

		if (run > 0)
		{
			keep(csv, run, start);
			continue;
		}
		if (c == '\r' && peek(csv, 1) == '\n')
			break;
		if (c == '"')
			fault(csv, FLUCT_CSV_BAD_QUOTE, csv->line,
				  "a quote in the middle of field %d, which is not quoted",
				  csv->count + 1);
		else
			fault(csv, FLUCT_CSV_WRONG_DELIMITER, csv->line,
				  "a carriage return without a line feed; expected lines"
				  " that end in LF or CRLF");
		keep(csv, 1, start);
	}
}

/* What follows a closing quote must end the field. */
static void
check_after_quote(FluctCsv *csv)
{
	int			c = peek(csv, 0);
	char		shown[FLUCT_CSV_SHOWN_LEN];
	char		wanted[FLUCT_CSV_SHOWN_LEN];

	if (c == FLUCT_CSV_EOF || c == (unsigned char) csv->options.delimiter ||
		c == '\n' || (c == '\r' && peek(csv, 1) == '\n'))
		return;
	if (csv->expected == 0 && strchr(FLUCT_CSV_DELIMITERS, c) != NULL)
		fluct_csv_refuse_delimiter(&csv->fault, csv->line, c,
								   csv->options.delimiter);
	else
		fault(csv, FLUCT_CSV_BAD_QUOTE, csv->line,
			  "found %s after the closing quote of field %d, expected %s or the"
			  " end of the line", fluct_csv_show(c, shown), csv->count + 1,
			  fluct_csv_show(csv->options.delimiter, wanted));
}

/* Notes the field; its text is set when the record no longer grows. */
static void
add_field(FluctCsv *csv, size_t start, bool quoted)
{
	FluctCsvField *field;

	if (csv->count++ >= FLUCT_CSV_MAX_COLUMNS)
	{
		csv->text_len = start;
		return;
	}
	if (csv->count > csv->fields_room)
	{
		csv->fields_room = csv->fields_room * 2 + 16;
		csv->fields = csv->allocator.resize(csv->allocator.arg, csv->fields,
											csv->fields_room *
											sizeof(FluctCsvField));
	}
	field = &csv->fields[csv->count - 1];
	field->text = NULL;
	field->len = csv->text_len - start;
	field->quoted = quoted;
}

/* False if the file ends within quotes. */
static bool
read_field(FluctCsv *csv)
{
	size_t		start = csv->text_len;
	bool		quoted = peek(csv, 0) == '"';

	if (quoted)
	{
		csv->bytes.pos++;
		if (!read_quoted(csv, start))
			return false;
		check_after_quote(csv);
	}
	read_unquoted(csv, start);
	add_field(csv, start, quoted);
	return true;
}

/*
 * Records
 */

static void
refuse_byte(FluctCsv *csv, const char *p, const char *end, uint64_t line)
{
	const char *encoding = csv->options.encoding;
	bool		undecoded = encoding != NULL && end - p > 1 &&
	*p == FLUCT_CSV_UNDECODED;

	if (undecoded && p[1] == FLUCT_CSV_UNDECODED)
		fault(csv, FLUCT_CSV_BAD_ENCODING, line,
			  "the file ends within a character of %s", encoding);
	else
		fault(csv, FLUCT_CSV_BAD_ENCODING, line, "byte 0x%02x is not valid %s",
			  (unsigned char) (undecoded ? p[1] : *p),
			  encoding != NULL ? encoding : "UTF-8");
}

/* Checks that the record is UTF-8 text without NUL. */
static void
check_text(FluctCsv *csv, uint64_t line)
{
	const char *p = csv->text;
	const char *end = p + csv->text_len;

	while (p < end)
	{
		uint64_t	word;
		int			length;

		if (end - p >= 8)
		{
			memcpy(&word, p, 8);
			/* no high bit, and no byte (nor borrow) below a blank */
			if (((word | (word - UINT64_C(0x2020202020202020))) &
				 UINT64_C(0x8080808080808080)) == 0)
			{
				p += 8;
				continue;
			}
		}
		length = fluct_text_utf8_char(p, end);
		if (length == 0)
		{
			refuse_byte(csv, p, end, line);
			return;
		}
		if (*p == '\0')
		{
			fault(csv, FLUCT_CSV_NUL, line, "a NUL byte");
			return;
		}
		line += *p == '\n';
		p += length;
	}
}

/* U+201C to U+201E, the quotes of a word processor. */
static bool
has_curly_quote(const FluctCsv *csv)
{
	for (size_t i = 0; i + 2 < csv->text_len; i++)
		if (memcmp(csv->text + i, "\xE2\x80", 2) == 0 &&
			csv->text[i + 2] >= '\x9C' && csv->text[i + 2] <= '\x9E')
			return true;
	return false;
}

static void
check_count(FluctCsv *csv, uint64_t line)
{
	if (csv->count > FLUCT_CSV_MAX_COLUMNS)
		fault(csv, FLUCT_CSV_EXTRA_COLUMN, line,
			  "%d columns; at most %d are read", csv->count,
			  FLUCT_CSV_MAX_COLUMNS);
	else if (csv->expected == 0)
		return;
	else if (csv->count != csv->expected)
		fault(csv, csv->count < csv->expected ? FLUCT_CSV_MISSING_COLUMN :
			  FLUCT_CSV_EXTRA_COLUMN, line,
			  "found %d column%s, expected %d%s", csv->count,
			  csv->count == 1 ? "" : "s", csv->expected,
			  csv->count > csv->expected && has_curly_quote(csv) ?
			  "; a typographic quote does not quote a comma, only \" does" : "");
}

/* The fields follow each other in the text. */
static void
place_fields(FluctCsv *csv)
{
	const char *text = csv->text;

	for (int i = 0; i < csv->count && i < FLUCT_CSV_MAX_COLUMNS; i++)
	{
		csv->fields[i].text = text;
		text += csv->fields[i].len;
	}
}

static FluctCsvStatus
give_fault(FluctCsv *csv, FluctCsvStatus status, FluctCsvRefusal *refusal)
{
	*refusal = csv->fault;
	csv->fault.reason = FLUCT_CSV_OK;
	return status;
}

static FluctCsvStatus
read_record(FluctCsv *csv, FluctCsvRecord *record, FluctCsvRefusal *refusal)
{
	record->line = csv->line;
	csv->text_len = 0;
	csv->count = 0;
	csv->fault.reason = FLUCT_CSV_OK;
	for (;;)
	{
		if (!read_field(csv))
			return give_fault(csv, FLUCT_CSV_BAD_FILE, refusal);
		if (peek(csv, 0) != (unsigned char) csv->options.delimiter)
			break;
		csv->bytes.pos++;
	}
	record->unterminated = !take_line_end(csv);
	check_text(csv, record->line);
	check_count(csv, record->line);
	place_fields(csv);
	record->count = csv->count;
	record->fields = csv->fields;
	if (csv->fault.reason != FLUCT_CSV_OK)
		return give_fault(csv, FLUCT_CSV_BAD_RECORD, refusal);
	return FLUCT_CSV_RECORD;
}

/*
 * Lines that may be the last
 */

/* Gives the first of the held lines, after which a record came. */
static FluctCsvStatus
give_held(FluctCsv *csv, FluctCsvRecord *record, FluctCsvRefusal *refusal)
{
	bool		commas;
	uint64_t	line = fluct_csv_tail_take(&csv->tail, &commas);

	if (!commas)
	{
		refusal->reason = FLUCT_CSV_OK;
		fluct_csv_refuse(refusal, FLUCT_CSV_MISSING_COLUMN, line,
						 "an empty line");
		return FLUCT_CSV_BAD_RECORD;
	}
	if (csv->no_fields == NULL)
	{
		size_t		size = csv->expected * sizeof(FluctCsvField);

		csv->no_fields = csv->allocator.resize(csv->allocator.arg, NULL, size);
		memset(csv->no_fields, 0, size);
	}
	record->line = line;
	record->unterminated = false;
	record->count = csv->expected;
	record->fields = csv->no_fields;
	return FLUCT_CSV_RECORD;
}

static bool
is_commas(const FluctCsv *csv)
{
	if (csv->expected == 0 || csv->text_len > 0)
		return false;
	for (int i = 0; i < csv->count; i++)
		if (csv->fields[i].quoted)
			return false;
	return true;
}

/* Reads to the next record that says something; false at the end. */
static bool
read_ahead(FluctCsv *csv)
{
	for (;;)
	{
		uint64_t	line = csv->line;

		if (take_line_end(csv))
		{
			fluct_csv_tail_add(&csv->tail, &csv->allocator, line, false);
			continue;
		}
		if (peek(csv, 0) == FLUCT_CSV_EOF)
			return false;
		csv->next_status = read_record(csv, &csv->next, &csv->next_refusal);
		if (csv->next_status != FLUCT_CSV_RECORD || !is_commas(csv))
			return true;
		fluct_csv_tail_add(&csv->tail, &csv->allocator, line, true);
	}
}

FluctCsvStatus
fluct_csv_next(FluctCsv *csv, FluctCsvRecord *record,
			   FluctCsvRefusal *refusal)
{
	if (!csv->has_next)
	{
		csv->has_next = read_ahead(csv);
		if (!csv->has_next)
			return FLUCT_CSV_END;
	}
	if (csv->tail.count > 0)
		return give_held(csv, record, refusal);
	csv->has_next = false;
	*record = csv->next;
	if (csv->next_status != FLUCT_CSV_RECORD)
		*refusal = csv->next_refusal;
	return csv->next_status;
}
