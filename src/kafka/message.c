/*-------------------------------------------------------------------------
 *
 * message.c
 *	  librdkafka's messages, copied.
 *
 * A message goes into one piece of memory: key, value, and the headers as
 * JSON.  Nothing here throws, since librdkafka still owns the originals.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "kafka/message.h"
#include "pg/compat.h"
#include "pg/guc.h"

/* Bytes of a header besides its name and value, and their escapes. */
#define HEADER_ROOM		sizeof(",{\"key\":\"\",\"value_base64\":\"\"}")

/* Bytes of a string in JSON, without its quotes. */
static size_t
json_len(const char *text, size_t len)
{
	size_t		escapes = 0;

	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = text[i];

		if (c < 0x20)
			escapes += 5;
		else if (c == '"' || c == '\\')
			escapes++;
	}
	return len + escapes;
}

static bool
is_text(const char *value, size_t len)
{
	return memchr(value, '\0', len) == NULL &&
		pg_verify_mbstr(PG_UTF8, value, len, true);
}

/* The most that the headers take as JSON; 0 for none. */
static size_t
headers_room(const rd_kafka_headers_t *headers)
{
	const char *name;
	const void *value;
	size_t		len;
	size_t		room = sizeof("[]");

	if (headers == NULL)
		return 0;
	for (size_t i = 0;
		 !rd_kafka_header_get_all(headers, i, &name, &value, &len); i++)
	{
		room += HEADER_ROOM + json_len(name, strlen(name));
		if (value)
			room += is_text(value, len) ? json_len(value, len) : (len + 2) / 3 * 4;
	}
	return room;
}

/* Of a message that is too large, the beginning is kept for its dead letter. */
static size_t
kept_len(size_t len, bool too_large)
{
	return too_large ? Min(len, FLUCT_KEPT_OF_TOO_LARGE) : len;
}

static size_t
full_len(const rd_kafka_message_t *message, size_t headers)
{
	return message->key_len + message->len + headers;
}

static bool
is_too_large(const rd_kafka_message_t *message, size_t headers)
{
	return full_len(message, headers) > (size_t) fluct_max_message_bytes;
}

size_t
fluct_message_room(const rd_kafka_message_t *message,
				   FluctHeaders *headers)
{
	size_t		room;
	bool		too_large;

	if (rd_kafka_message_headers(message, &headers->headers))
		headers->headers = NULL;
	room = headers->room = headers_room(headers->headers);
	too_large = is_too_large(message, room);

	if (room > kept_len(room, too_large))
		room = 0;
	return kept_len(message->key_len, too_large) +
		kept_len(message->len, too_large) + room + 2;
}

static char *
put_json_string(char *to, const char *from, size_t len)
{
	*to++ = '"';
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = from[i];

		if (c < 0x20)
			to += sprintf(to, "\\u%04x", c);
		else
		{
			if (c == '"' || c == '\\')
				*to++ = '\\';
			*to++ = c;
		}
	}
	*to++ = '"';
	return to;
}

static char *
put_json_value(char *to, const char *value, size_t len)
{
	if (value == NULL)
		return to + sprintf(to, "\"value\":null");
	if (is_text(value, len))
	{
		to += sprintf(to, "\"value\":");
		return put_json_string(to, value, len);
	}
	to += sprintf(to, "\"value_base64\":\"");
	to += fluct_compat_base64(value, len, to, (len + 2) / 3 * 4);
	*to++ = '"';
	return to;
}

/* The headers as a JSON array at `to`; returns the end. */
static char *
put_headers(char *to, const rd_kafka_headers_t *headers)
{
	const char *name;
	const void *value;
	size_t		len;

	*to++ = '[';
	for (size_t i = 0;
		 !rd_kafka_header_get_all(headers, i, &name, &value, &len); i++)
	{
		to += sprintf(to, "%s{\"key\":", i > 0 ? "," : "");
		if (pg_verify_mbstr(PG_UTF8, name, strlen(name), true))
			to = put_json_string(to, name, strlen(name));
		else
			to += sprintf(to, "null");
		*to++ = ',';
		to = put_json_value(to, value, len);
		*to++ = '}';
	}
	*to++ = ']';
	*to++ = '\0';
	return to;
}

char *
fluct_message_copy(const rd_kafka_message_t *message,
				   const FluctHeaders *headers, FluctMessage *result,
				   char *to)
{
	size_t		room = headers->room;
	bool		too_large = is_too_large(message, room);

	memset(result, 0, sizeof(FluctMessage));
	result->partition = message->partition;
	result->offset = message->offset;
	result->time_ms = rd_kafka_message_timestamp(message, NULL);
	if (message->key)
	{
		result->key_len = kept_len(message->key_len, too_large);
		result->key = memcpy(to, message->key, result->key_len);
		to += result->key_len;
	}
	if (message->payload)
	{
		result->value_len = kept_len(message->len, too_large);
		result->value = memcpy(to, message->payload, result->value_len);
		to += result->value_len;
	}
	result->full_len = too_large ? full_len(message, room) : result->value_len;
	if (headers->headers == NULL || room > kept_len(room, too_large))
		return to;
	result->headers = to;
	return put_headers(to, headers->headers);
}
