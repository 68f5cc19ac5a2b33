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

/* Bytes of a field and of a record, and its fields; more are refused. */
#define FLUCT_CSV_MAX_FIELD		(1024 * 1024)
#define FLUCT_CSV_MAX_RECORD	(16 * 1024 * 1024)
#define FLUCT_CSV_MAX_COLUMNS	1600

/* What some files have in place of a comma. */
#define FLUCT_CSV_DELIMITERS	";\t|"

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

/* Fills a buffer with up to size bytes; 0 is the end of the file. */
typedef struct FluctCsvSource
{
	size_t		(*read) (void *arg, char *buffer, size_t size);
	void	   *arg;
} FluctCsvSource;

typedef struct FluctCsv FluctCsv;

extern const char *fluct_csv_reason_name(FluctCsvReason reason);

/*
 * Life: create, read the header (header.h), then records to the end.  Memory
 * comes from the allocator and does not grow with the file; a record is valid
 * until the next call.
 */
extern FluctCsv *fluct_csv_create(const FluctAllocator *allocator,
								  const FluctCsvSource *source);

/* The next record, checked for having as many fields as the header. */
extern FluctCsvStatus fluct_csv_next(FluctCsv *csv, FluctCsvRecord *record,
									 FluctCsvRefusal *refusal);

/* Bytes read so far. */
extern uint64_t fluct_csv_position(const FluctCsv *csv);

/*
 * What header.c needs besides.  The next n bytes (few), or fewer if the file
 * ends before, are looked at with peek and passed over with skip.  After
 * expect, each record must have that many columns.
 */
extern const char *fluct_csv_peek(FluctCsv *csv, size_t n, size_t *len);
extern void fluct_csv_skip(FluctCsv *csv, size_t n);
extern void fluct_csv_expect(FluctCsv *csv, int columns);

/* Fills a refusal, unless it has a reason already. */
extern void fluct_csv_refuse(FluctCsvRefusal *refusal, FluctCsvReason reason,
							 uint64_t line, const char *format,...)
			__attribute__((format(printf, 4, 5)));
extern void fluct_csv_refuse_delimiter(FluctCsvRefusal *refusal, uint64_t line,
									   int byte);

/* A byte as a detail shows it, written to out. */
#define FLUCT_CSV_SHOWN_LEN		16
extern const char *fluct_csv_show(int byte, char *out);

#endif							/* FLUCT_CSV_CSV_H */
