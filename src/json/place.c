/*-------------------------------------------------------------------------
 *
 * place.c
 *	  Where in a message the scan is, and what is refused there.
 *
 *-------------------------------------------------------------------------
 */
#include "json/place.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/refusal.h"

/* How much of a value a refusal shows. */
#define SHOWN_BYTES		100

typedef struct Text
{
	char		data[2 * FLUCT_PATH_LEN];
	size_t		len;
} Text;

static void append(Text *text, const char *format,...)
			__attribute__((format(printf, 2, 3)));

static void
append(Text *text, const char *format,...)
{
	va_list		args;
	int			n;

	va_start(args, format);
	n = vsnprintf(text->data + text->len, sizeof(text->data) - text->len,
				  format, args);
	va_end(args);
	if (n > 0)
		text->len += n;
	if (text->len >= sizeof(text->data))
		text->len = sizeof(text->data) - 1;
}

static bool
is_name(const char *key, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		char		c = key[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
			  (c >= '0' && c <= '9' && i > 0)))
			return false;
	}
	return len > 0;
}

/* The place that the scanner has reached, as `$.order_lines[1].volume`. */
static void
describe_place(const FluctJson *json, Text *path)
{
	path->len = 0;
	append(path, "$");
	for (int i = 0; i < json->depth; i++)
	{
		const Frame *frame = &json->frames[i];
		int			len = (int) frame->key_len;

		if (len > FLUCT_PATH_LEN)
			len = FLUCT_PATH_LEN;
		if (frame->close == ']' && frame->index > 0)
			append(path, "[%zu]", frame->index - 1);
		else if (frame->key != NULL && is_name(frame->key, frame->key_len))
			append(path, ".%.*s", len, frame->key);
		else if (frame->key != NULL)
			append(path, "[\"%.*s\"]", len, frame->key);
	}
}

/* Refuses the message for what the scan found, and where. */
void
fluct_jsonplace_refuse(const FluctJson *json, FluctRefusal *refusal)
{
	Text		path;

	describe_place(json, &path);
	fluct_refuse(refusal, json->lex.reason, path.data, "%s at byte %zu",
				 json->lex.what, (size_t) (json->lex.at - json->lex.bytes));
}

void
fluct_jsonplace_misstep(FluctJson *json, const Node *node, FluctJsonType type,
						const char *text, const char *end)
{
	const char *quote = type == FLUCT_JSON_STRING ? "\"" : "";
	int			len = end - text > SHOWN_BYTES ? SHOWN_BYTES : (int) (end - text);
	Text		path;

	if (json->misstep.reason != FLUCT_OK)
		return;
	describe_place(json, &path);
	fluct_refuse(&json->misstep, FLUCT_WRONG_TYPE, path.data,
				 "found %s%.*s%s%s, expected an %s", quote, len, text,
				 end - text > len ? "..." : "", quote,
				 node->by_key ? "object" : "array");
}
