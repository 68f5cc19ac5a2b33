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

/* `n]` from behind the bracket, n of at most 6 digits. */
static const char *
read_index_step(const char *p, FluctJsonStep *step)
{
	const char *start = p;

	step->kind = FLUCT_STEP_INDEX;
	step->index = 0;
	for (; fluct_text_is_digit(*p) && p - start < 6; p++)
		step->index = step->index * 10 + (*p - '0');
	return p > start && *p == ']' ? p + 1 : NULL;
}

static const char *
read_step(const FluctAllocator *allocator, const char *p, FluctJsonStep *step)
{
	memset(step, 0, sizeof(FluctJsonStep));
	if (strncmp(p, "[*]", 3) == 0)
	{
		step->kind = FLUCT_STEP_ELEMENTS;
		return p + 3;
	}
	if (strncmp(p, ".*", 2) == 0)
	{
		step->kind = FLUCT_STEP_MEMBERS;
		return p + 2;
	}
	if (*p == '.')
		return read_plain_step(allocator, p + 1, step);
	if (p[0] == '[' && p[1] == '"')
		return read_quoted_step(allocator, p + 2, step);
	if (p[0] == '[' && p[1] == '\'')
		return read_literal_step(allocator, p + 2, step);
	if (p[0] == '[')
		return read_index_step(p + 1, step);
	return NULL;
}

bool
fluct_jsonpath_read(FluctJsonPath *path, const char *p,
					const FluctAllocator *allocator)
{
	bool		last = false;

	path->start = *p;
	path->rows = false;
	path->count = 0;
	if (*p != '$' && *p != '@')
		return false;
	for (p++; p != NULL && *p != '\0'; path->count++)
	{
		FluctJsonStep *step = &path->steps[path->count];

		if (path->count == FLUCT_JSONPATH_STEPS)
			return false;
		p = read_step(allocator, p, step);
		last = step->kind == FLUCT_STEP_ELEMENTS ||
			step->kind == FLUCT_STEP_MEMBERS;
		path->rows |= last;
	}
	return p != NULL && last == path->rows;
}
