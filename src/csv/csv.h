/*-------------------------------------------------------------------------
 *
 * csv.h
 *	  Splits CSV bytes into records with their physical line numbers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLUCT_CSV_CSV_H
#define FLUCT_CSV_CSV_H

#include "base/message.h"
#include "csv/bytes.h"

/* Bytes of a field and of a record, and its fields; more are refused. */
#define FLUCT_CSV_MAX_FIELD		(1024 * 1024)
#define FLUCT_CSV_MAX_RECORD	(16 * 1024 * 1024)
#define FLUCT_CSV_MAX_COLUMNS	1600

/* What files have between their fields. */
#define FLUCT_CSV_DELIMITERS	",;\t|"

/*
 * How a file differs from what is usual.  The encoding is that from which the
 * source decodes to UTF-8, for messages; NULL = it is UTF-8.
 */
typedef struct FluctCsvOptions
{
	char		delimiter;		/* a single byte of ASCII */
	uint64_t	skip_lines;		/* physical ones before the header */
	const char *encoding;
} FluctCsvOptions;

#define FLUCT_CSV_USUAL			{',', 0, NULL}

/*
 * Where a source cannot decode, it gives this byte, and the one that it could
 * not decode; or this twice where the file ends within a character.
 */
#define FLUCT_CSV_UNDECODED		'\xFF'

/* Why a record, or the whole file, is refused, as far as its bytes show. */
typedef enum FluctCsvReason
{
	FLUCT_CSV_OK = 0,
	FLUCT_CSV_EMPTY_FILE,
	FLUCT_CSV_BAD_HEADER,
	FLUCT_CSV_WRONG_DELIMITER,
	FLUCT_CSV_BAD_ENCODING,
	FLUCT_CSV_NUL,
	FLUCT_CSV_OPEN_QUOTE,
	FLUCT_CSV_BAD_QUOTE,
	FLUCT_CSV_MISSING_COLUMN,
	FLUCT_CSV_EXTRA_COLUMN,
	FLUCT_CSV_TOO_LONG
} FluctCsvReason;

typedef struct FluctCsvRefusal
{
	FluctCsvReason reason;
	uint64_t	line;			/* physical, from 1 */
	char		detail[FLUCT_DETAIL_LEN];
} FluctCsvRefusal;

/* A field without its quotes; not NUL-terminated. */
typedef struct FluctCsvField
{
	const char *text;
	size_t		len;
	bool		quoted;
} FluctCsvField;

typedef struct FluctCsvRecord
{
	uint64_t	line;			/* physical line on which it begins */
	bool		unterminated;	/* the file ends without a line end */
	int			count;
	const FluctCsvField *fields;
} FluctCsvRecord;

typedef enum FluctCsvStatus
{
	FLUCT_CSV_RECORD,			/* *record is filled */
	FLUCT_CSV_BAD_RECORD,		/* *refusal is; the next call continues after
								 * it */
	FLUCT_CSV_BAD_FILE,			/* *refusal is; nothing after it can be read */
	FLUCT_CSV_END
} FluctCsvStatus;

typedef struct FluctCsv FluctCsv;

extern const char *fluct_csv_reason_name(FluctCsvReason reason);

/* Whether fields can end at this byte. */
extern bool fluct_csv_can_delimit(char byte);

/*
 * Life: create, read the header (header.h), then records to the end.  Memory
 * comes from the allocator and does not grow with the file; a record is valid
 * until the next call.
 */
extern FluctCsv *fluct_csv_create(const FluctAllocator *allocator,
								  const FluctCsvSource *source,
								  const FluctCsvOptions *options);

/* The next record, checked for having as many fields as the header. */
extern FluctCsvStatus fluct_csv_next(FluctCsv *csv, FluctCsvRecord *record,
									 FluctCsvRefusal *refusal);

/* Bytes read so far, as the source gives them. */
extern uint64_t fluct_csv_position(const FluctCsv *csv);

/*
 * What header.c needs besides.  The next n bytes (few), or fewer if the file
 * ends before, are looked at with peek and passed over with skip, a physical
 * line with skip_line (false if it has no end).  After expect, each record must
 * have that many columns.
 */
extern const char *fluct_csv_peek(FluctCsv *csv, size_t n, size_t *len);
extern void fluct_csv_skip(FluctCsv *csv, size_t n);
extern bool fluct_csv_skip_line(FluctCsv *csv);
extern void fluct_csv_expect(FluctCsv *csv, int columns);
extern void fluct_csv_delimit(FluctCsv *csv, char delimiter);
extern const FluctCsvOptions *fluct_csv_options(const FluctCsv *csv);

/* Fills a refusal, unless it has a reason already. */
extern void fluct_csv_refuse(FluctCsvRefusal *refusal, FluctCsvReason reason,
							 uint64_t line, const char *format,...)
			__attribute__((format(printf, 4, 5)));
extern void fluct_csv_refuse_delimiter(FluctCsvRefusal *refusal, uint64_t line,
									   int byte, int expected);

/* A byte as a detail shows it, written to out. */
#define FLUCT_CSV_SHOWN_LEN		16
extern const char *fluct_csv_show(int byte, char *out);

#endif							/* FLUCT_CSV_CSV_H */
