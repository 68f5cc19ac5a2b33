/*-------------------------------------------------------------------------
 *
 * string.c
 *	  JSON strings without their escapes, and values counted.
 *
 * The functions read what the scanner has already accepted.
 *
 *-------------------------------------------------------------------------
 */
#include "json/string.h"

#include <string.h>

#include "base/text.h"
#include "json/number.h"

static unsigned
read_hex4(const char *p)
{
	unsigned	value = 0;

	for (int i = 0; i < 4; i++)
	{
		char		c = p[i];

		value = value * 16 +
			(fluct_text_is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return value;
}

static char *
put_utf8(char *out, unsigned code)
{
	if (code < 0x80)
		*out++ = (char) code;
	else if (code < 0x800)
		*out++ = (char) (0xC0 | code >> 6);
	else if (code < 0x10000)
	{
		*out++ = (char) (0xE0 | code >> 12);
		*out++ = (char) (0x80 | (code >> 6 & 0x3F));
	}
	else
	{
		*out++ = (char) (0xF0 | code >> 18);
		*out++ = (char) (0x80 | (code >> 12 & 0x3F));
		*out++ = (char) (0x80 | (code >> 6 & 0x3F));
	}
	if (code >= 0x80)
		*out++ = (char) (0x80 | (code & 0x3F));
	return out;
}

static char
unescape_char(char c)
{
	switch (c)
	{
		case 'b':
			return '\b';
		case 'f':
			return '\f';
		case 'n':
			return '\n';
		case 'r':
			return '\r';
		case 't':
			return '\t';
		default:
			return c;			/* quote, backslash, slash */
	}
}

/* p is after a string's opening quote; returns what follows the string. */
static const char *
skip_string(const char *p, const char *end)
{
	while (p < end && *p != '"')
		p += *p == '\\' ? 2 : 1;
	return p + 1;
}

size_t
fluct_string_len(const char *text, const char *end)
{
	return skip_string(text + 1, end) - text;
}

size_t
fluct_string_count_values(const char *text, size_t len)
{
	const char *end = text + len;
	size_t		count = 1;

	for (const char *p = text; p < end;)
	{
		if (*p == '"')
		{
			p = skip_string(p + 1, end);
			continue;
		}
		count += *p == ',' || *p == '[' || *p == '{';
		p++;
	}
	return count;
}

bool
fluct_string_has_long_number(const char *text, size_t len)
{
	const char *end = text + len;

	for (const char *p = text; p < end;)
	{
		const char *start = p;

		if (*p == '"')
		{
			p = skip_string(p + 1, end);
			continue;
		}
		if (*p != '-' && !fluct_text_is_digit(*p))
		{
			p++;
			continue;
		}
		while (p < end && (fluct_text_is_digit(*p) || strchr("+-.eE", *p)))
			p++;
		/* outside of JSON a number may begin with more zeros */
		while (p - start > 1 && (*start == '-' ||
								 (*start == '0' && fluct_text_is_digit(start[1]))))
			start++;
		if (fluct_number_check(start, p - start) == FLUCT_OUT_OF_RANGE)
			return true;
	}
	return false;
}

size_t
fluct_string_unescape(const char *text, size_t len, char *out)
{
	const char *end = text + len;
	char	   *start = out;

	while (text < end)
	{
		const char *slash = memchr(text, '\\', end - text);
		size_t		plain = (slash ? slash : end) - text;
		unsigned	code;

		memmove(out, text, plain);
		out += plain;
		text += plain;
		if (text == end)
			break;
		if (text[1] != 'u')
		{
			*out++ = unescape_char(text[1]);
			text += 2;
			continue;
		}
		code = read_hex4(text + 2);
		text += 6;
		if (code >= 0xD800 && code <= 0xDBFF)
		{
			code = 0x10000 + ((code & 0x3FF) << 10) +
				(read_hex4(text + 2) & 0x3FF);
			text += 6;
		}
		out = put_utf8(out, code);
	}
	return out - start;
}
