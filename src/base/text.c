/*-------------------------------------------------------------------------
 *
 * text.c
 *	  UTF-8, and text that is safe to print.
 *
 *-------------------------------------------------------------------------
 */
#include "base/text.h"

#include <string.h>

/*
 * Unicode's table 3-7: no overlong form, no surrogate, nothing past U+10FFFF.
 */
int
fluct_text_utf8_char(const char *p, const char *end)
{
	const unsigned char *u = (const unsigned char *) p;
	unsigned char low = 0x80;
	unsigned char high = 0xBF;
	int			length;

	if (p >= end)
		return 0;
	if (u[0] < 0x80)
		return 1;
	if (u[0] < 0xC2 || u[0] > 0xF4)
		return 0;
	length = u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : 4;
	if (end - p < length)
		return 0;
	if (u[0] == 0xE0)
		low = 0xA0;
	else if (u[0] == 0xED)
		high = 0x9F;
	else if (u[0] == 0xF0)
		low = 0x90;
	else if (u[0] == 0xF4)
		high = 0x8F;
	if (u[1] < low || u[1] > high)
		return 0;
	for (int i = 2; i < length; i++)
		if ((u[i] & 0xC0) != 0x80)
			return 0;
	return length;
}

/* C0, DEL and C1: what a terminal might obey. */
static bool
is_control(const char *p, int length)
{
	const unsigned char *u = (const unsigned char *) p;

	if (length == 1)
		return u[0] < 0x20 || u[0] == 0x7F;
	return length == 2 && u[0] == 0xC2 && u[1] < 0xA0;
}

/*
 * Invalid bytes and control characters become `?`.
 */
void
fluct_text_printable(char *out, size_t size, const char *text)
{
	const char *end = text + strlen(text);
	size_t		n = 0;

	while (text < end)
	{
		int			length = fluct_text_utf8_char(text, end);
		bool		bad = length == 0 || is_control(text, length);
		int			width = bad ? 1 : length;

		if (n + width + 3 >= size && n + (end - text) >= size)
		{
			memcpy(out + n, "...", 3);
			n += 3;
			break;
		}
		if (bad)
			out[n] = '?';
		else
			memcpy(out + n, text, length);
		n += width;
		text += length == 0 ? 1 : length;
	}
	out[n] = '\0';
}
