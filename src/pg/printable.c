/*-------------------------------------------------------------------------
 *
 * printable.c
 *	  Texts from outside, as they are shown.
 *
 * Topics, files, messages, keys, headers and brokers' errors are others' words:
 * a terminal may obey them, and a reader may be misled.  The tables keep them
 * exactly; what shows them escapes them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "base/text.h"
#include "pg/printable.h"

PG_FUNCTION_INFO_V1(fluct_printable_bytes);
PG_FUNCTION_INFO_V1(fluct_printable_text);

/* wide: characters of several bytes are shown as they are, not as bytes. */
static char *
show(const char *bytes, size_t len, bool wide)
{
	const char *end = bytes + len;
	StringInfoData out;

	initStringInfo(&out);
	while (bytes < end)
	{
		char		shown[FLUCT_TEXT_SHOWN];
		int			length;
		int			width = fluct_text_show(shown, bytes, end, &length);

		if (!wide && length > 1)
		{
			width = snprintf(shown, sizeof(shown), "\\x%02x",
							 (unsigned char) *bytes);
			length = 1;
		}
		appendBinaryStringInfo(&out, shown, width);
		bytes += length;
	}
	return out.data;
}

/* A database of another encoding need not have the characters of UTF-8. */
char *
fluct_printable(const char *bytes, size_t len)
{
	return show(bytes, len, GetDatabaseEncoding() == PG_UTF8);
}

/* fluct._printable(bytes bytea) RETURNS text */
Datum
fluct_printable_bytes(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);

	PG_RETURN_TEXT_P(cstring_to_text(fluct_printable(VARDATA_ANY(bytes),
													 VARSIZE_ANY_EXHDR(bytes))));
}

/* fluct._printable(value text) RETURNS text */
Datum
fluct_printable_text(PG_FUNCTION_ARGS)
{
	char	   *value = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *shown;

	value = pg_server_to_any(value, strlen(value), PG_UTF8);
	shown = show(value, strlen(value), true);
	PG_RETURN_TEXT_P(cstring_to_text(pg_any_to_server(shown, strlen(shown),
													  PG_UTF8)));
}
