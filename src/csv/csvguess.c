/*-------------------------------------------------------------------------
 *
 * csvguess.c
 *	  What was meant: kinds of files that are no CSV, near names, delimiters.
 *
 *-------------------------------------------------------------------------
 */
#include "csv/csvguess.h"

#include <string.h>
#include <strings.h>

const char *
fluct_csvguess_kind(const char *bytes, size_t len, bool *is_text)
{
	static const struct
	{
		const char *magic;
		size_t		len;
		bool		is_text;
		const char *kind;
	}			kinds[] = {
		{"\x1F\x8B", 2, false, "gzip data"},
		{"PK\x03\x04", 4, false, "a ZIP archive or a spreadsheet"},
		{"\xD0\xCF\x11\xE0", 4, false, "an old spreadsheet"},
		{"BZh", 3, false, "bzip2 data"},
		{"\xFD\x37zXZ", 5, false, "xz data"},
		{"\x28\xB5\x2F\xFD", 4, false, "zstd data"},
		{"%PDF", 4, false, "a PDF document"},
		{"\xFF\xFE", 2, false, "UTF-16 text"},
		{"\xFE\xFF", 2, false, "UTF-16 text"},
		{"<!DOCTYPE", 9, true, "an HTML page"},
		{"<html", 5, true, "an HTML page"},
		{"<?xml", 5, true, "an XML document"},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		if (len < kinds[i].len)
			continue;
		if (memcmp(bytes, kinds[i].magic, kinds[i].len) == 0 ||
			(*bytes == '<' &&
			 strncasecmp(bytes, kinds[i].magic, kinds[i].len) == 0))
		{
			*is_text = kinds[i].is_text;
			return kinds[i].kind;
		}
	}
	return NULL;
}

int
fluct_csvguess_distance(const char *a, size_t a_len, const char *b,
						size_t b_len)
{
	int			row[FLUCT_CSV_NAME_LEN + 1];

	a_len = a_len > FLUCT_CSV_NAME_LEN ? FLUCT_CSV_NAME_LEN : a_len;
	b_len = b_len > FLUCT_CSV_NAME_LEN ? FLUCT_CSV_NAME_LEN : b_len;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = (int) j;
	for (size_t i = 1; i <= a_len; i++)
	{
		int			diagonal = row[0];

		row[0] = (int) i;
		for (size_t j = 1; j <= b_len; j++)
		{
			int			best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (diagonal + 1 < best)
				best = diagonal + 1;
			row[j] = best;
		}
	}
	return row[b_len];
}

char
fluct_csvguess_delimiter(const char *text, size_t text_len, const char *name)
{
	size_t		len = strlen(name);

	for (const char *d = FLUCT_CSV_DELIMITERS; *d != '\0'; d++)
	{
		const char *p = text;
		const char *end = p + text_len;

		while (p < end)
		{
			const char *stop = memchr(p, *d, end - p);
			size_t		part = (stop ? stop : end) - p;

			if (part == len && part < text_len && memcmp(p, name, len) == 0)
				return *d;
			p += part + 1;
		}
	}
	return 0;
}
