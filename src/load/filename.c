/*-------------------------------------------------------------------------
 *
 * filename.c
 *	  File names as they are displayed.
 *
 * A name is bytes, of any value but "/" and NUL.  SQL and people see it as
 * text: bytes that are not printable are \xNN, and a backslash is doubled.
 * Nothing is lost in either direction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "base/text.h"
#include "load/filename.h"

/* Whether the character of n bytes at p can be shown as it is. */
static bool
is_shown(const char *p, int n)
{
	if (n > 1 && GetDatabaseEncoding() != PG_UTF8)
		return false;
	return fluct_text_is_safe(p, n) && *p != '\\';
}

char *
fluct_filename_show(const char *bytes)
{
	const char *end = bytes + strlen(bytes);
	StringInfoData out;

	initStringInfo(&out);
	while (bytes < end)
	{
		int			n = fluct_text_utf8_char(bytes, end);

		if (is_shown(bytes, n))
			appendBinaryStringInfo(&out, bytes, n);
		else if (*bytes == '\\')
			appendStringInfoString(&out, "\\\\");
		else
			appendStringInfo(&out, "\\x%02x", (unsigned char) *bytes);
		bytes += is_shown(bytes, n) ? n : 1;
	}
	return out.data;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *
fluct_filename_read(char *shown)
{
	char	   *in = shown;
	char	   *out = shown;

	while (*in != '\0')
	{
		if (in[0] == '\\' && in[1] == 'x' && hex_value(in[2]) >= 0 &&
			hex_value(in[3]) >= 0 && (in[2] != '0' || in[3] != '0'))
		{
			*out++ = hex_value(in[2]) * 16 + hex_value(in[3]);
			in += 4;
			continue;
		}
		if (in[0] == '\\' && in[1] == '\\')
			in++;
		*out++ = *in++;
	}
	*out = '\0';
	return shown;
}
