/*-------------------------------------------------------------------------
 *
 * bytes.c
 *	  Bytes that are written as text: as byteain has them, base64, hex.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "json/binary.h"
#include "mapping/bytes.h"

int
fluct_bytes_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that `\ooo` or `\\` stands for, and how long that is; or 0. */
static int
read_byte_escape(const char *p, const char *end, char *byte)
{
	if (end - p >= 2 && p[1] == '\\')
	{
		*byte = '\\';
		return 2;
	}
	if (end - p < 4 || p[1] < '0' || p[1] > '3' || p[2] < '0' || p[2] > '7' ||
		p[3] < '0' || p[3] > '7')
		return 0;
	*byte = (char) ((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
	return 4;
}

static FluctReason
read_escaped_bytes(char *to, size_t *len)
{
	const char *end = to + *len;
	char	   *out = to;

	for (const char *p = to; p < end;)
	{
		int			escape = 1;

		if (*p != '\\')
			*out++ = *p;
		else if ((escape = read_byte_escape(p, end, out)) > 0)
			out++;
		else
			return FLUCT_WRONG_TYPE;
		p += escape;
	}
	*len = out - to;
	return FLUCT_OK;
}

/* Two digits a byte, with blanks between bytes. */
static FluctReason
read_hex_bytes(char *to, size_t *len)
{
	const char *end = to + *len;
	char	   *out = to;

	for (const char *p = to + 2; p < end;)
	{
		if (strchr(" \n\t\r", *p) != NULL)
		{
			p++;
			continue;
		}
		if (end - p < 2 || fluct_bytes_hex_value(p[0]) < 0 || fluct_bytes_hex_value(p[1]) < 0)
			return FLUCT_WRONG_TYPE;
		*out++ = (char) (fluct_bytes_hex_value(p[0]) << 4 | fluct_bytes_hex_value(p[1]));
		p += 2;
	}
	*len = out - to;
	return FLUCT_OK;
}

FluctReason
fluct_bytes_unescape(char *to, size_t *len)
{
	return *len >= 2 && to[0] == '\\' && to[1] == 'x' ?
		read_hex_bytes(to, len) : read_escaped_bytes(to, len);
}

/* ----- formats ----- */

/* Bytes as byteain takes them; or text, which they must be. */
static FluctReason
put_bytes(const FluctColumn *column, const unsigned char *bytes, size_t len,
		  FluctJsonValue *plain)
{
	char	   *text;

	if (column->form != FLUCT_FORM_BYTEA)
	{
		if (memchr(bytes, '\0', len))
			return FLUCT_NUL;
		if (!pg_verify_mbstr(PG_UTF8, (const char *) bytes, len, true))
			return FLUCT_INVALID_ENCODING;
		plain->text = (const char *) bytes;
		plain->len = len;
		return FLUCT_OK;
	}
	text = palloc(2 * len + 3);
	strcpy(text, "\\x");
	hex_encode((const char *) bytes, len, text + 2);
	plain->text = text;
	plain->len = 2 * len + 2;
	return FLUCT_OK;
}

FluctReason
fluct_bytes_base64(const FluctColumn *column, FluctJsonValue *plain)
{
	unsigned char *bytes;
	size_t		len;

	if (plain->type != FLUCT_JSON_STRING)
		return FLUCT_WRONG_TYPE;
	bytes = palloc(plain->len + 4);
	if (!fluct_binary_base64(plain->text, plain->len, bytes, &len))
		return FLUCT_WRONG_TYPE;
	return put_bytes(column, bytes, len, plain);
}

FluctReason
fluct_bytes_hex(const FluctColumn *column, FluctJsonValue *plain)
{
	const char *text = plain->text;
	size_t		len = plain->len;
	unsigned char *bytes;

	if (plain->type != FLUCT_JSON_STRING)
		return FLUCT_WRONG_TYPE;
	if (len >= 2 && (text[0] == '0' || text[0] == '\\') && text[1] == 'x')
	{
		text += 2;
		len -= 2;
	}
	if (len % 2 != 0)
		return FLUCT_WRONG_TYPE;
	bytes = palloc(len / 2 + 1);
	for (size_t i = 0; i < len; i += 2)
	{
		int			high = fluct_bytes_hex_value(text[i]);
		int			low = fluct_bytes_hex_value(text[i + 1]);

		if (high < 0 || low < 0)
			return FLUCT_WRONG_TYPE;
		bytes[i / 2] = (unsigned char) (high << 4 | low);
	}
	return put_bytes(column, bytes, len / 2, plain);
}
