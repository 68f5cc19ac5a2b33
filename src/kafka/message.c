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

#define KEPT_OF_TOO_LARGE	65536

/* Room for some bytes as JSON: six for each, and what surrounds them. */
#define JSON_ROOM(len)	((len) * 6 + 32)

/* Of a value that is too large, the beginning is kept for its dead letter. */
static size_t
kept_len(const rd_kafka_message_t *message)
{
	if (message->len > (size_t) fluct_max_message_bytes)
		return Min(message->len, KEPT_OF_TOO_LARGE);
	return message->len;
}

size_t
fluct_message_room(const rd_kafka_message_t *message)
{
	size_t		room = message->key_len + kept_len(message) + 2;
	rd_kafka_headers_t *headers;
	const char *name;
	const void *value;
	size_t		len;

	if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		room += 3;
		for (size_t i = 0;
			 !rd_kafka_header_get_all(headers, i, &name, &value, &len); i++)
			room += JSON_ROOM(strlen(name)) + JSON_ROOM(len);
	}
	return room;
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
	if (memchr(value, '\0', len) == NULL &&
		pg_verify_mbstr(PG_UTF8, value, len, true))
	{
		to += sprintf(to, "\"value\":");
		return put_json_string(to, value, len);
	}
	to += sprintf(to, "\"value_base64\":\"");
	to += fluct_compat_base64(value, len, to, JSON_ROOM(len));
	*to++ = '"';
	return to;
}

/* The headers as a JSON array at `to`; returns the end, or `to` for none. */
static char *
put_headers(char *to, const rd_kafka_message_t *message)
{
	rd_kafka_headers_t *headers;
	const char *name;
	const void *value;
	size_t		len;

	if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return to;
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
fluct_message_copy(const rd_kafka_message_t *message, FluctMessage *result,
				   char *to)
{
	char	   *end;

	memset(result, 0, sizeof(FluctMessage));
	result->partition = message->partition;
	result->offset = message->offset;
	result->time_ms = rd_kafka_message_timestamp(message, NULL);
	if (message->key)
	{
		result->key = memcpy(to, message->key, message->key_len);
		result->key_len = message->key_len;
		to += message->key_len;
	}
	if (message->payload)
	{
		result->full_len = message->len;
		result->value_len = kept_len(message);
		result->value = memcpy(to, message->payload, result->value_len);
		to += result->value_len;
	}
	end = put_headers(to, message);
	if (end > to)
		result->headers = to;
	return end;
}
