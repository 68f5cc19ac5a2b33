/*-------------------------------------------------------------------------
 *
 * lexer.c
 *	  JSON strings and numbers: rare forms, and faults.
 *
 *-------------------------------------------------------------------------
 */
#include "json/lexer.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"
#include "json/number.h"

const char *
fluct_jsonlex_fault(FluctJsonLex *lex, FluctReason reason, const char *at,
					const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(lex->what, sizeof(lex->what), format, args);
	va_end(args);
	lex->reason = reason;
	lex->at = at;
	return NULL;
}

/* The byte at p is not valid UTF-8; at the start it reveals another format. */
static const char *
bad_encoding(FluctJsonLex *lex, const char *p)
{
	const unsigned char *u = (const unsigned char *) lex->bytes;
	bool		first = p == lex->bytes && lex->end - p >= 2;

	if (first && ((u[0] == 0xFF && u[1] == 0xFE) ||
				  (u[0] == 0xFE && u[1] == 0xFF)))
		return fluct_jsonlex_fault(lex, FLUCT_INVALID_ENCODING, p,
								   "a UTF-16 byte order mark");
	return fluct_jsonlex_fault(lex, FLUCT_INVALID_ENCODING, p,
							   "byte 0x%02x is not valid UTF-8", (unsigned char) *p);
}

/* What is at p is not what was expected. */
const char *
fluct_jsonlex_expected(FluctJsonLex *lex, const char *p, const char *expected)
{
	int			length;

	if (p >= lex->end)
		return fluct_jsonlex_fault(lex, FLUCT_INVALID_JSON, p,
								   "the message ends where %s is expected", expected);
	if (*p == '\0')
		return fluct_jsonlex_fault(lex, FLUCT_NUL, p, "a NUL byte");
	length = fluct_text_utf8_char(p, lex->end);
	if (length == 0)
		return bad_encoding(lex, p);
	if (p == lex->bytes && length == 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0)
		return fluct_jsonlex_fault(lex, FLUCT_INVALID_JSON, p, "a byte order mark");
	if (length == 1 && (*p < 0x20 || *p == 0x7F))
		return fluct_jsonlex_fault(lex, FLUCT_INVALID_JSON, p,
								   "expected %s, found byte 0x%02x", expected,
								   (unsigned char) *p);
	return fluct_jsonlex_fault(lex, FLUCT_INVALID_JSON, p, "expected %s, found \"%.*s\"",
							   expected, length, p);
}

/* Four hexadecimal digits at p, or -1. */
static int
read_hex4(const char *p, const char *end)
{
	int			value = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		char		c = p[i] | 0x20;

		if (fluct_text_is_digit(p[i]))
			value = value * 16 + (p[i] - '0');
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + (c - 'a' + 10);
		else
			return -1;
	}
	return value;
}

/* p is at a `\u`; returns what follows the character. */
static const char *
scan_unicode_escape(FluctJsonLex *lex, const char *p)
{
	int			code = read_hex4(p + 2, lex->end);
	int			low = -1;

	if (code < 0)
		return fluct_jsonlex_fault(lex, FLUCT_INVALID_JSON, p,
								   "\\u without four hexadecimal digits");
	if (code == 0)
		return fluct_jsonlex_fault(lex, FLUCT_NUL, p, "an escaped NUL, \\u0000,");
	if (code < 0xD800 || code > 0xDFFF)
		return p + 6;
	if (lex->end - p >= 12 && p[6] == '\\' && p[7] == 'u')
		low = read_hex4(p + 8, lex->end);
	if (code > 0xDBFF || low < 0xDC00 || low > 0xDFFF)
		return fluct_jsonlex_fault(lex, FLUCT_INVALID_JSON, p,
								   "half of a surrogate pair, \\u%04x,", code);
	return p + 12;
}

/* p is at a byte, other than a quote, at which fluct_jsonlex_plain stopped. */
const char *
fluct_jsonlex_special(FluctJsonLex *lex, const char *p)
{
	int			length;

	if (*p == '\\')
	{
		if (lex->end - p >= 2 && p[1] == 'u')
			return scan_unicode_escape(lex, p);
		if (lex->end - p >= 2 && p[1] != '\0' && strchr("\"\\/bfnrt", p[1]))
			return p + 2;
		return fluct_jsonlex_fault(lex, FLUCT_INVALID_JSON, p, "an unknown escape");
	}
	if (*p == '\0')
		return fluct_jsonlex_fault(lex, FLUCT_NUL, p, "a NUL byte");
	if (*p > 0 && *p < 0x20)
		return fluct_jsonlex_fault(lex, FLUCT_INVALID_JSON, p,
								   "control character 0x%02x in a string", *p);
	do
	{
		length = fluct_text_utf8_char(p, lex->end);
		if (length == 0)
			return bad_encoding(lex, p);
		p += length;
	} while (p < lex->end && (unsigned char) *p >= 0x80);
	return p;
}

/* p is at the `e`. */
const char *
fluct_jsonlex_exponent(FluctJsonLex *lex, const char *p)
{
	p++;
	if (p < lex->end && (*p == '+' || *p == '-'))
		p++;
	return fluct_jsonlex_digits(lex, p);
}

/*
 * A long number is accepted here: it may be stored nowhere, or where it fits.  That
 * there is one is noted, for whoever stores values without reading them.
 */
void
fluct_jsonlex_judge(FluctJsonLex *lex, const char *start, const char *end)
{
	if (fluct_number_check(start, end - start) != FLUCT_OK)
		lex->long_number = true;
}
