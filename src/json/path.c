/*-------------------------------------------------------------------------
 *
 * path.c
 *	  Paths into a message, as a mapping writes them, taken apart.
 *
 *-------------------------------------------------------------------------
 */
#include "json/path.h"

#include <string.h>

#include "base/text.h"
#include "json/lexer.h"
#include "json/string.h"

/* `'...']` from behind its first quote: as written, without escapes. */
static const char *
read_literal_step(const FluctAllocator *allocator, const char *p, FluctJsonStep *step)
{
	const char *end = p + strlen(p);
	const char *start = p;

	while (p < end && *p != '\'' && *p != '\\')
	{
		int			length = fluct_text_utf8_char(p, end);

		if (length == 0 || (unsigned char) *p < 0x20)
			return NULL;
		p += length;
	}
	if (strncmp(p, "']", 2) != 0)
		return NULL;
	step->len = p - start;
	step->key = allocator->resize(allocator->arg, NULL, step->len + 1);
	memcpy(step->key, start, step->len);
	return p + 2;
}

/* `"..."]` from behind its first quote: checked as in a message. */
static const char *
read_quoted_step(const FluctAllocator *allocator, const char *p, FluctJsonStep *step)
{
	FluctJsonLex lex = {p, p + strlen(p)};
	bool		escaped;
	const char *end = fluct_jsonlex_string(&lex, p, &escaped);

	if (end == NULL || end[1] != ']')
		return NULL;
	step->key = allocator->resize(allocator->arg, NULL, end - p + 1);
	step->len = fluct_string_unescape(p, end - p, step->key);
	return end + 2;
}

static const char *
read_plain_step(const FluctAllocator *allocator, const char *p, FluctJsonStep *step)
{
	const char *end = p + strlen(p);
	const char *start = p;

	while (p < end && strchr(".[]\"'* ", *p) == NULL)
	{
		int			length = fluct_text_utf8_char(p, end);

		if (length == 0 || (unsigned char) *p < 0x20)
			return NULL;
		p += length;
	}
	if (p == start)
		return NULL;
	step->len = p - start;
	step->key = allocator->resize(allocator->arg, NULL, step->len + 1);
	memcpy(step->key, start, step->len);
	return p;
}

bool
fluct_jsonpath_read(FluctJsonPath *path, const char *p,
					const FluctAllocator *allocator)
{
	path->start = *p;
	path->rows = false;
	path->count = 0;
	if (*p != '$' && *p != '@')
		return false;
	for (p++; p != NULL && *p != '\0' && !path->rows;)
	{
		FluctJsonStep *step = &path->steps[path->count];

		if (strcmp(p, "[*]") == 0)
		{
			path->rows = true;
			break;
		}
		if (path->count++ == FLUCT_JSONPATH_STEPS)
			return false;
		if (*p == '.')
			p = read_plain_step(allocator, p + 1, step);
		else if (p[0] == '[' && p[1] == '"')
			p = read_quoted_step(allocator, p + 2, step);
		else if (p[0] == '[' && p[1] == '\'')
			p = read_literal_step(allocator, p + 2, step);
		else
			return false;
	}
	return p != NULL;
}
