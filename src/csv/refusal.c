/*-------------------------------------------------------------------------
 *
 * refusal.c
 *	  Why a record, or a whole file, is refused.
 *
 * A detail quotes the file, so it is made printable.
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"
#include "csv/csv.h"

static const char *const reasons[] = {
	[FLUCT_CSV_OK] = "ok",
	[FLUCT_CSV_EMPTY_FILE] = "empty_file",
	[FLUCT_CSV_BAD_HEADER] = "bad_header",
	[FLUCT_CSV_WRONG_DELIMITER] = "wrong_delimiter",
	[FLUCT_CSV_BAD_ENCODING] = "bad_encoding",
	[FLUCT_CSV_NUL] = "nul",
	[FLUCT_CSV_OPEN_QUOTE] = "open_quote",
	[FLUCT_CSV_BAD_QUOTE] = "bad_quote",
	[FLUCT_CSV_MISSING_COLUMN] = "missing_column",
	[FLUCT_CSV_EXTRA_COLUMN] = "extra_column",
	[FLUCT_CSV_TOO_LONG] = "too_long",
};

const char *
fluct_csv_reason_name(FluctCsvReason reason)
{
	return reasons[reason];
}

const char *
fluct_csv_show(int byte, char *out)
{
	if (byte > ' ' && byte < 0x7F)
		sprintf(out, "\"%c\"", byte);
	else
		sprintf(out, "byte 0x%02x", byte & 0xFF);
	return out;
}

void
fluct_csv_refuse(FluctCsvRefusal *refusal, FluctCsvReason reason,
				 uint64_t line, const char *format,...)
{
	char		detail[4 * FLUCT_DETAIL_LEN];
	va_list		args;

	if (refusal->reason != FLUCT_CSV_OK)
		return;
	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	refusal->reason = reason;
	refusal->line = line;
	fluct_text_printable(refusal->detail, sizeof(refusal->detail), detail);
}

void
fluct_csv_refuse_delimiter(FluctCsvRefusal *refusal, uint64_t line, int byte,
						   int expected)
{
	char		shown[FLUCT_CSV_SHOWN_LEN];
	char		wanted[FLUCT_CSV_SHOWN_LEN];

	fluct_csv_refuse(refusal, FLUCT_CSV_WRONG_DELIMITER, line,
					 "found %s between the column names, expected %s",
					 fluct_csv_show(byte, shown),
					 fluct_csv_show(expected, wanted));
}
