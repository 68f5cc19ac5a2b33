/*-------------------------------------------------------------------------
 *
 * encode.c
 *	  A JSON value into the binary form of a column's type.
 *
 * The form is what the type's receive function reads, with a length word
 * before it: a field of COPY BINARY.  Nothing here can throw; what does not
 * fit the type is refused with a reason.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/int.h"
#include "utils/timestamp.h"

#include "json/number.h"
#include "json/string.h"
#include "json/timestamp.h"
#include "mapping/encode.h"
#include "pg/unixtime.h"

static FluctReason
encode_int(FluctForm form, const FluctJsonValue *value, char *to, size_t *len)
{
	int64		result;
	FluctReason reason;

	if (form == FLUCT_FORM_INT2)
	{
		reason = fluct_number_int64(value->text, value->len,
									PG_INT16_MIN, PG_INT16_MAX, &result);
		fluct_put16(to, (uint16) result);
		*len = 2;
	}
	else if (form == FLUCT_FORM_INT4)
	{
		reason = fluct_number_int64(value->text, value->len,
									PG_INT32_MIN, PG_INT32_MAX, &result);
		fluct_put32(to, (uint32) result);
		*len = 4;
	}
	else
	{
		reason = fluct_number_int64(value->text, value->len,
									PG_INT64_MIN, PG_INT64_MAX, &result);
		fluct_put64(to, (uint64) result);
		*len = 8;
	}
	return reason;
}

/*
 * As float4in and float8in read it, but -0 is 0, as in numeric.  What follows
 * the value in the message or a copy ends it, so strtod stops there.
 */
static FluctReason
encode_float(FluctForm form, const FluctJsonValue *value, char *to,
			 size_t *len)
{
	errno = 0;
	if (form == FLUCT_FORM_FLOAT4)
	{
		float		result = strtof(value->text, NULL);
		uint32		bits;

		if (errno == ERANGE && (result == 0 || isinf(result)))
			return FLUCT_OUT_OF_RANGE;
		result = result == 0 ? 0 : result;
		memcpy(&bits, &result, 4);
		fluct_put32(to, bits);
		*len = 4;
	}
	else
	{
		double		result = strtod(value->text, NULL);
		uint64		bits;

		result = result == 0 ? 0 : result;
		memcpy(&bits, &result, 8);
		fluct_put64(to, bits);
		*len = 8;
	}
	return FLUCT_OK;
}

/* The text of a number, which "format": "text" allows in a string. */
static FluctReason
check_number_text(const char *text, size_t len)
{
	size_t		i = 0;
	size_t		digits;

	if (len == 3 && pg_strncasecmp(text, "nan", 3) == 0)
		return FLUCT_NOT_FINITE;
	if (i < len && (text[i] == '-' || text[i] == '+'))
		i++;
	if (len - i >= 3 && pg_strncasecmp(text + i, "inf", 3) == 0)
		return FLUCT_NOT_FINITE;
	if (len > 0 && text[0] == '+')
		return FLUCT_WRONG_TYPE;
	for (digits = i; i < len && isdigit((unsigned char) text[i]); i++);
	if (i == digits || (text[digits] == '0' && i - digits > 1))
		return FLUCT_WRONG_TYPE;
	if (i < len && text[i] == '.')
	{
		for (digits = ++i; i < len && isdigit((unsigned char) text[i]); i++);
		if (i == digits)
			return FLUCT_WRONG_TYPE;
	}
	if (i < len && (text[i] == 'e' || text[i] == 'E'))
	{
		i++;
		if (i < len && (text[i] == '-' || text[i] == '+'))
			i++;
		for (digits = i; i < len && isdigit((unsigned char) text[i]); i++);
		if (i == digits)
			return FLUCT_WRONG_TYPE;
	}
	return i == len ? fluct_number_check(text, len) : FLUCT_WRONG_TYPE;
}

static FluctReason
encode_number(const FluctColumn *column, const FluctJsonValue *value, char *to,
			  size_t *len)
{
	if (column->format == FLUCT_FORMAT_TEXT)
	{
		FluctReason reason;

		if (value->type != FLUCT_JSON_STRING)
			return FLUCT_WRONG_TYPE;
		reason = check_number_text(value->text, value->len);
		if (reason != FLUCT_OK)
			return reason;
	}
	else if (value->type != FLUCT_JSON_NUMBER)
		return FLUCT_WRONG_TYPE;
	if (column->form == FLUCT_FORM_NUMERIC)
		return fluct_number_numeric(value->text, value->len, to, len);
	if (column->form == FLUCT_FORM_FLOAT4 || column->form == FLUCT_FORM_FLOAT8)
		return encode_float(column->form, value, to, len);
	return encode_int(column->form, value, to, len);
}

/* Seconds or milliseconds since 1970 as PostgreSQL's microseconds. */
static FluctReason
read_epoch(const FluctJsonValue *value, int64 per_unit, int64 *usecs)
{
	int64		whole;
	long double exact;

	if (value->type != FLUCT_JSON_NUMBER)
		return FLUCT_WRONG_TYPE;
	if (fluct_number_int64(value->text, value->len, PG_INT64_MIN, PG_INT64_MAX,
						   &whole) == FLUCT_OK &&
		!pg_mul_s64_overflow(whole, per_unit, &whole) &&
		!pg_sub_s64_overflow(whole, FLUCT_UNIXTIME_2000_USECS, usecs))
		return FLUCT_OK;
	exact = strtold(value->text, NULL) * per_unit - FLUCT_UNIXTIME_2000_USECS;
	if (!(fabsl(exact) < END_TIMESTAMP))
		return FLUCT_BAD_TIMESTAMP;
	*usecs = (int64) rintl(exact);
	return FLUCT_OK;
}

static FluctReason
encode_timestamp(const FluctColumn *column, const FluctJsonValue *value,
				 char *to, size_t *len)
{
	int64		usecs;
	FluctReason reason;

	if (column->format == FLUCT_FORMAT_PLAIN)
	{
		if (value->type != FLUCT_JSON_STRING)
			return FLUCT_WRONG_TYPE;
		reason = fluct_timestamp_parse(value->text, value->len, &usecs);
	}
	else
		reason = read_epoch(value, column->format == FLUCT_FORMAT_EPOCH_S ?
							1000000 : 1000, &usecs);
	if (reason != FLUCT_OK)
		return reason;
	if (!IS_VALID_TIMESTAMP(usecs))
		return FLUCT_BAD_TIMESTAMP;
	fluct_put64(to, (uint64) usecs);
	*len = 8;
	return FLUCT_OK;
}

/* A date is YYYY-MM-DD, whatever DateStyle says. */
static FluctReason
encode_date(const FluctJsonValue *value, char *to, size_t *len)
{
	char		text[20];
	int64		usecs;

	if (value->type != FLUCT_JSON_STRING)
		return FLUCT_WRONG_TYPE;
	if (value->len != 10)
		return FLUCT_BAD_TIMESTAMP;
	memcpy(text, value->text, 10);
	memcpy(text + 10, "T00:00:00", 9);
	if (fluct_timestamp_parse(text, 19, &usecs) != FLUCT_OK)
		return FLUCT_BAD_TIMESTAMP;
	fluct_put32(to, (uint32) (usecs / USECS_PER_DAY));
	*len = 4;
	return FLUCT_OK;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* As uuid_in: 32 hex digits, optional hyphens after any four, and braces. */
static FluctReason
encode_uuid(const FluctJsonValue *value, char *to, size_t *len)
{
	const char *p = value->text;
	const char *end = p + value->len;
	bool		braces = p < end && *p == '{';

	if (value->type != FLUCT_JSON_STRING)
		return FLUCT_WRONG_TYPE;
	p += braces;
	for (int i = 0; i < 16; i++)
	{
		if (end - p < 2 || hex_value(p[0]) < 0 || hex_value(p[1]) < 0)
			return FLUCT_WRONG_TYPE;
		to[i] = (char) (hex_value(p[0]) << 4 | hex_value(p[1]));
		p += 2;
		p += i % 2 == 1 && i < 15 && p < end && *p == '-';
	}
	if (braces && (p == end || *p++ != '}'))
		return FLUCT_WRONG_TYPE;
	*len = 16;
	return p == end ? FLUCT_OK : FLUCT_WRONG_TYPE;
}

static FluctReason
encode_text(const FluctColumn *column, const FluctJsonValue *value, char *to,
			size_t *len)
{
	bool		scalar = value->type == FLUCT_JSON_STRING;

	if (column->form == FLUCT_FORM_OTHER)
		scalar = scalar || value->type == FLUCT_JSON_NUMBER ||
			value->type == FLUCT_JSON_BOOL;
	if (!scalar)
		return FLUCT_WRONG_TYPE;
	if (value->type == FLUCT_JSON_STRING && value->escaped)
		*len = fluct_string_unescape(value->text, value->len, to);
	else
	{
		memcpy(to, value->text, value->len);
		*len = value->len;
	}
	return *len == 0 && column->key ? FLUCT_EMPTY_KEY : FLUCT_OK;
}

/* The text of any JSON value, strings with their quotes. */
static FluctReason
encode_json(FluctForm form, const FluctJsonValue *value, char *to, size_t *len)
{
	char	   *at = to;
	bool		quoted = value->type == FLUCT_JSON_STRING;

	if (form == FLUCT_FORM_JSONB)
	{
		if (!quoted &&
			fluct_count_values(value->text, value->len) > FLUCT_MAX_JSONB_VALUES)
			return FLUCT_TOO_LONG;
		*at++ = 1;				/* the version of jsonb's binary form */
	}
	if (quoted)
		*at++ = '"';
	memcpy(at, value->text, value->len);
	at += value->len;
	if (quoted)
		*at++ = '"';
	*len = at - to;
	return FLUCT_OK;
}

/* Whether the characters of a string are parsed, not only copied. */
static bool
reads_characters(FluctForm form)
{
	return form != FLUCT_FORM_TEXT && form != FLUCT_FORM_OTHER &&
		form != FLUCT_FORM_BYTEA && form != FLUCT_FORM_JSON &&
		form != FLUCT_FORM_JSONB;
}

/*
 * A string without its escapes, placed after the room for the encoded value.
 */
static FluctJsonValue
without_escapes(const FluctJsonValue *value, char *to)
{
	FluctJsonValue plain = *value;
	char	   *text = to + 4 + FLUCT_NUMERIC_WIRE_LEN;

	plain.len = fluct_string_unescape(value->text, value->len, text);
	text[plain.len] = '\0';		/* an escape is longer than what it means */
	plain.text = text;
	plain.escaped = false;
	return plain;
}

size_t
fluct_encode(const FluctColumn *column, const FluctJsonValue *value, char *to,
			 FluctReason *reason)
{
	FluctJsonValue plain;
	char	   *data = to + 4;
	size_t		len = 0;

	if (value->escaped && reads_characters(column->form))
	{
		plain = without_escapes(value, to);
		value = &plain;
	}
	switch (column->form)
	{
		case FLUCT_FORM_TEXT:
		case FLUCT_FORM_OTHER:
		case FLUCT_FORM_BYTEA:
			*reason = encode_text(column, value, data, &len);
			break;
		case FLUCT_FORM_INT2:
		case FLUCT_FORM_INT4:
		case FLUCT_FORM_INT8:
		case FLUCT_FORM_NUMERIC:
		case FLUCT_FORM_FLOAT4:
		case FLUCT_FORM_FLOAT8:
			*reason = encode_number(column, value, data, &len);
			break;
		case FLUCT_FORM_BOOL:
			*reason = value->type == FLUCT_JSON_BOOL ? FLUCT_OK :
				FLUCT_WRONG_TYPE;
			data[0] = value->text[0] == 't';
			len = 1;
			break;
		case FLUCT_FORM_TIMESTAMP:
			*reason = encode_timestamp(column, value, data, &len);
			break;
		case FLUCT_FORM_DATE:
			*reason = encode_date(value, data, &len);
			break;
		case FLUCT_FORM_UUID:
			*reason = encode_uuid(value, data, &len);
			break;
		case FLUCT_FORM_JSON:
		case FLUCT_FORM_JSONB:
			*reason = encode_json(column->form, value, data, &len);
			break;
	}
	if (*reason != FLUCT_OK)
		return 0;
	fluct_put32(to, (uint32) len);
	return 4 + len;
}
