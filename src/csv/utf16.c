/*-------------------------------------------------------------------------
 *
 * utf16.c
 *	  UTF-16, as spreadsheets on Windows write it, into UTF-8.
 *
 * PostgreSQL has no conversion from it.
 *
 *-------------------------------------------------------------------------
 */
#include "csv/utf16.h"

#include "csv/csv.h"

#define IS_HIGH(unit)		((unit) >= 0xD800 && (unit) < 0xDC00)
#define IS_LOW(unit)		((unit) >= 0xDC00 && (unit) < 0xE000)

static unsigned
unit_at(const char *in, FluctUtf16Order order)
{
	unsigned	first = (unsigned char) in[0];
	unsigned	second = (unsigned char) in[1];

	return order == FLUCT_UTF16_BIG ? first << 8 | second : second << 8 | first;
}

static size_t
put_utf8(unsigned code, char *out)
{
	if (code < 0x80)
	{
		out[0] = code;
		return 1;
	}
	if (code < 0x800)
	{
		out[0] = 0xC0 | code >> 6;
		out[1] = 0x80 | (code & 0x3F);
		return 2;
	}
	if (code < 0x10000)
	{
		out[0] = 0xE0 | code >> 12;
		out[1] = 0x80 | (code >> 6 & 0x3F);
		out[2] = 0x80 | (code & 0x3F);
		return 3;
	}
	out[0] = 0xF0 | code >> 18;
	out[1] = 0x80 | (code >> 12 & 0x3F);
	out[2] = 0x80 | (code >> 6 & 0x3F);
	out[3] = 0x80 | (code & 0x3F);
	return 4;
}

static size_t
put_undecoded(char byte, char *out)
{
	out[0] = FLUCT_CSV_UNDECODED;
	out[1] = byte;
	return 2;
}

size_t
fluct_utf16_mark(FluctUtf16Order *order, const char *in, size_t len)
{
	unsigned	mark = len >= 2 ? unit_at(in, FLUCT_UTF16_LITTLE) : 0;

	if (*order != FLUCT_UTF16_BY_MARK)
		return mark == (*order == FLUCT_UTF16_BIG ? 0xFFFE : 0xFEFF) ? 2 : 0;
	*order = mark == 0xFFFE ? FLUCT_UTF16_BIG : FLUCT_UTF16_LITTLE;
	return mark == 0xFFFE || mark == 0xFEFF ? 2 : 0;
}

size_t
fluct_utf16_decode(FluctUtf16Order *order, const char *in, size_t len,
				   bool last, char *out, size_t room, size_t *used)
{
	size_t		at = 0;
	size_t		n = 0;

	while (room - n >= FLUCT_UTF16_MAX_CHAR && len - at >= 2)
	{
		unsigned	unit = unit_at(in + at, *order);
		unsigned	next;

		if (!IS_HIGH(unit) && !IS_LOW(unit))
		{
			n += put_utf8(unit, out + n);
			at += 2;
			continue;
		}
		if (IS_HIGH(unit) && len - at < 4 && !last)
			break;
		next = IS_HIGH(unit) && len - at >= 4 ? unit_at(in + at + 2, *order) : 0;
		if (IS_LOW(next))
			n += put_utf8(0x10000 + ((unit & 0x3FF) << 10) + (next & 0x3FF),
						  out + n);
		else
			n += put_undecoded(unit >> 8, out + n);
		at += IS_LOW(next) ? 4 : 2;
	}
	if (last && len - at == 1 && room - n >= FLUCT_UTF16_MAX_CHAR)
	{
		n += put_undecoded(FLUCT_CSV_UNDECODED, out + n);
		at++;
	}
	*used = at;
	return n;
}
