/*-------------------------------------------------------------------------
 *
 * text.c
 *	  UTF-8, and text that is safe to print.
 *
 *-------------------------------------------------------------------------
 */
#include "base/text.h"

#include <stdio.h>
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

/* The code point of a valid character of so many bytes. */
static unsigned
code_point(const char *p, int length)
{
	const unsigned char *u = (const unsigned char *) p;
	unsigned	c = length == 1 ? u[0] : u[0] & (0x7F >> length);

	for (int i = 1; i < length; i++)
		c = c << 6 | (u[i] & 0x3F);
	return c;
}

/*
 * C0, DEL and C1 are what a terminal might obey; the others turn the direction
 * of text, break lines, or are not seen.
 */
static bool
is_unsafe(unsigned c)
{
	return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0xAD || c == 0x61C ||
		c == 0x180E || (c >= 0x200B && c <= 0x200F) ||
		(c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) ||
		c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFB) ||
		(c >= 0xE0000 && c <= 0xE007F);
}

bool
fluct_text_is_safe(const char *p, int length)
{
	return length > 0 && !is_unsafe(code_point(p, length));
}

/* Past U+FFFF the four digits are those of UTF-16, as in JSON. */
int
fluct_text_show(char out[FLUCT_TEXT_SHOWN], const char *p, const char *end,
				int *length)
{
	unsigned	c;

	*length = fluct_text_utf8_char(p, end);
	if (fluct_text_is_safe(p, *length))
	{
		memcpy(out, p, *length);
		return *length;
	}
	if (*length < 2)
	{
		*length = 1;
		return snprintf(out, FLUCT_TEXT_SHOWN, "\\x%02x", (unsigned char) *p);
	}
	c = code_point(p, *length);
	if (c < 0x10000)
		return snprintf(out, FLUCT_TEXT_SHOWN, "\\u%04x", c);
	c -= 0x10000;
	return snprintf(out, FLUCT_TEXT_SHOWN, "\\u%04x\\u%04x",
					0xD800 + (c >> 10), 0xDC00 + (c & 0x3FF));
}

void
fluct_text_printable(char *out, size_t size, const char *text)
{
	const char *end = text + strlen(text);
	size_t		n = 0;
	size_t		room_for_dots = 0;	/* where they go if the rest is too long */

	while (text < end)
	{
		char		shown[FLUCT_TEXT_SHOWN];
		int			length;
		int			width = fluct_text_show(shown, text, end, &length);

		if (n + 4 <= size)
			room_for_dots = n;
		if (n + width + 1 > size)
		{
			memcpy(out + room_for_dots, "...", 3);
			n = room_for_dots + 3;
			break;
		}
		memcpy(out + n, shown, width);
		n += width;
		text += length;
	}
	out[n] = '\0';
}
