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

#include "catalog/pg_type.h"
#include "common/int.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "json/number.h"
#include "json/string.h"
#include "json/timestamp.h"
#include "mapping/bytes.h"
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
 * strtod() takes no length, and reads on if what follows the value happens to
 * look like more of it: so it gets a copy.
 */
static long double
read_float(FluctForm form, const FluctJsonValue *value)
{
	char		room[64];
	char	   *text = value->len < sizeof(room) ? room : palloc(value->len + 1);
	long double result;

	memcpy(text, value->text, value->len);
	text[value->len] = '\0';
	errno = 0;
	result = form == FLUCT_FORM_FLOAT4 ? strtof(text, NULL) :
		form == FLUCT_FORM_FLOAT8 ? strtod(text, NULL) : strtold(text, NULL);
	if (text != room)
		pfree(text);
	return result;
}

/* As float4in and float8in read it; but -0 is 0, as a numeric's. */
static FluctReason
encode_float(FluctForm form, const FluctJsonValue *value, char *to,
			 size_t *len)
{
	double		result = read_float(form, value);

	if (errno == ERANGE && (result == 0 || isinf(result)))
		return FLUCT_OUT_OF_RANGE;
	result = result == 0 ? 0 : result;
	if (form == FLUCT_FORM_FLOAT4)
	{
		float		single = result;
		uint32		bits;

		memcpy(&bits, &single, 4);
		fluct_put32(to, bits);
		*len = 4;
	}
	else
	{
		uint64		bits;

		memcpy(&bits, &result, 8);
		fluct_put64(to, bits);
		*len = 8;
	}
	return FLUCT_OK;
}

FluctReason
fluct_encode_check_number(const char *text, size_t len)
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
	return i == len ? FLUCT_OK : FLUCT_WRONG_TYPE;
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
		reason = fluct_encode_check_number(value->text, value->len);
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

/*
 * Years 1900 to 9999: what is outside is another unit, since a million seconds
 * are 11 days, and a million times too many of them 30,000 years.
 */
#define FIRST_EPOCH		(INT64CONST(-36524) * USECS_PER_DAY)
#define END_OF_EPOCHS	(INT64CONST(2921940) * USECS_PER_DAY)

/* Nanoseconds since 1970, rounded to microseconds. */
static FluctReason
read_nanoseconds(const FluctJsonValue *value, int64 *usecs)
{
	int64		whole;

	if (fluct_number_int64(value->text, value->len, PG_INT64_MIN, PG_INT64_MAX,
						   &whole) != FLUCT_OK)
		return FLUCT_BAD_TIMESTAMP;
	*usecs = whole / 1000 + (whole % 1000 >= 500) - (whole % 1000 < -500) -
		FLUCT_UNIXTIME_2000_USECS;
	return *usecs >= FIRST_EPOCH && *usecs < END_OF_EPOCHS ? FLUCT_OK :
		FLUCT_BAD_TIMESTAMP;
}

/* A time since 1970 as PostgreSQL's microseconds. */
static FluctReason
read_epoch(const FluctJsonValue *value, FluctFormat format, int64 *usecs)
{
	int64		whole;
	long double exact;
	int64		per_unit = format == FLUCT_FORMAT_EPOCH_S ? USECS_PER_SEC :
	format == FLUCT_FORMAT_EPOCH_MS ? 1000 :
	format == FLUCT_FORMAT_EPOCH_DAYS ? USECS_PER_DAY : 1;

	if (value->type != FLUCT_JSON_NUMBER)
		return FLUCT_WRONG_TYPE;
	if (format == FLUCT_FORMAT_EPOCH_NS)
		return read_nanoseconds(value, usecs);
	if (fluct_number_int64(value->text, value->len, PG_INT64_MIN, PG_INT64_MAX,
						   &whole) != FLUCT_OK ||
		pg_mul_s64_overflow(whole, per_unit, &whole) ||
		pg_sub_s64_overflow(whole, FLUCT_UNIXTIME_2000_USECS, usecs))
	{
		exact = read_float(FLUCT_FORM_NUMERIC, value) * per_unit -
			FLUCT_UNIXTIME_2000_USECS;
		if (!(fabsl(exact) < END_TIMESTAMP))
			return FLUCT_BAD_TIMESTAMP;
		*usecs = (int64) rintl(exact);
	}
	return *usecs >= FIRST_EPOCH && *usecs < END_OF_EPOCHS ? FLUCT_OK :
		FLUCT_BAD_TIMESTAMP;
}

/* A local time of the zone, given as if it were UTC; see format.c. */
static int64
leave_zone(int64 usecs, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(usecs, NULL, &tm, &fsec, NULL, NULL) != 0)
		return usecs;
	return usecs + DetermineTimeZoneOffset(&tm, zone) * USECS_PER_SEC;
}

static FluctReason
encode_timestamp(const FluctColumn *column, const FluctJsonValue *value,
				 char *to, size_t *len)
{
	int64		usecs;
	bool		zoned;
	FluctReason reason;

	if (column->format == FLUCT_FORMAT_PLAIN || column->format == FLUCT_FORMAT_JSON)
	{
		if (value->type != FLUCT_JSON_STRING)
			return FLUCT_WRONG_TYPE;
		reason = fluct_timestamp_parse_local(value->text, value->len, &usecs,
											 &zoned);
		if (column->zone && reason == FLUCT_OK && !zoned)
			usecs = leave_zone(usecs, column->zone);
	}
	else
		reason = read_epoch(value, column->format, &usecs);
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
encode_date(const FluctColumn *column, const FluctJsonValue *value, char *to,
			size_t *len)
{
	char		text[20];
	int64		usecs;
	FluctReason reason;

	if (column->format == FLUCT_FORMAT_EPOCH_DAYS)
	{
		reason = read_epoch(value, column->format, &usecs);
		if (reason == FLUCT_OK && usecs % USECS_PER_DAY != 0)
			reason = FLUCT_WRONG_TYPE;
		fluct_put32(to, (uint32) (usecs / USECS_PER_DAY));
		*len = 4;
		return reason;
	}
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
		if (end - p < 2 || fluct_bytes_hex_value(p[0]) < 0 || fluct_bytes_hex_value(p[1]) < 0)
			return FLUCT_WRONG_TYPE;
		to[i] = (char) (fluct_bytes_hex_value(p[0]) << 4 | fluct_bytes_hex_value(p[1]));
		p += 2;
		p += i % 2 == 1 && i < 15 && p < end && *p == '-';
	}
	if (braces && (p == end || *p++ != '}'))
		return FLUCT_WRONG_TYPE;
	*len = 16;
	return p == end ? FLUCT_OK : FLUCT_WRONG_TYPE;
}

/*
 * Types that only have an input function take strings; numbers only if they
 * are types of numbers, since for an interval 5 would be five seconds.
 */
static bool
is_taken_as_text(const FluctColumn *column, const FluctJsonValue *value)
{
	if (value->type == FLUCT_JSON_STRING)
		return true;
	return column->form == FLUCT_FORM_OTHER && !column->is_array &&
		column->category == TYPCATEGORY_NUMERIC &&
		value->type == FLUCT_JSON_NUMBER;
}

bool
fluct_encode_is_word(const FluctColumn *column, const char *text, size_t len)
{
	bool		at_start = true;

	if (column->category != TYPCATEGORY_DATETIME || len == 0)
		return false;
	if (strchr("{[(", text[0]) == NULL)
		return !isdigit((unsigned char) text[0]) && strncmp(text, "empty", len) != 0;
	for (size_t i = 0; i < len; i++)
	{
		if (strchr("{[(,", text[i]))
			at_start = true;
		else if (at_start && strchr(" \"", text[i]) == NULL)
		{
			if (isalpha((unsigned char) text[i]) &&
				(len - i < 4 || pg_strncasecmp(text + i, "null", 4) != 0))
				return true;
			at_start = false;
		}
	}
	return false;
}

static FluctReason
encode_text(const FluctColumn *column, const FluctJsonValue *value, char *to,
			size_t *len)
{
	if (!is_taken_as_text(column, value))
		return FLUCT_WRONG_TYPE;
	if (value->type == FLUCT_JSON_STRING && value->escaped)
		*len = fluct_string_unescape(value->text, value->len, to);
	else
	{
		memcpy(to, value->text, value->len);
		*len = value->len;
	}
	if (fluct_encode_is_word(column, to, *len))
		return FLUCT_BAD_TIMESTAMP;
	if (column->writes_out && column->form == FLUCT_FORM_OTHER &&
		fluct_string_has_long_number(to, *len))
		return FLUCT_OUT_OF_RANGE;
	return *len == 0 && column->key ? FLUCT_EMPTY_KEY : FLUCT_OK;
}

/* As byteain: `\x` and hex digits, or characters and `\ooo`. */
static FluctReason
encode_bytea(const FluctColumn *column, const FluctJsonValue *value, char *to,
			 size_t *len)
{
	FluctReason reason = encode_text(column, value, to, len);

	if (reason != FLUCT_OK || memchr(to, '\\', *len) == NULL)
		return reason;
	reason = fluct_bytes_unescape(to, len);
	return reason == FLUCT_OK && *len == 0 && column->key ? FLUCT_EMPTY_KEY : reason;
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

/* The value in the binary form of the column's type, without its length. */
static FluctReason
encode_value(const FluctColumn *column, const FluctJsonValue *value,
			 char *to, size_t *len)
{
	switch (column->form)
	{
		case FLUCT_FORM_TEXT:
		case FLUCT_FORM_OTHER:
			return encode_text(column, value, to, len);
		case FLUCT_FORM_BYTEA:
			return encode_bytea(column, value, to, len);
		case FLUCT_FORM_INT2:
		case FLUCT_FORM_INT4:
		case FLUCT_FORM_INT8:
		case FLUCT_FORM_NUMERIC:
		case FLUCT_FORM_FLOAT4:
		case FLUCT_FORM_FLOAT8:
			return encode_number(column, value, to, len);
		case FLUCT_FORM_BOOL:
			to[0] = value->text[0] == 't';
			*len = 1;
			return value->type == FLUCT_JSON_BOOL ? FLUCT_OK :
				FLUCT_WRONG_TYPE;
		case FLUCT_FORM_TIMESTAMP:
			return encode_timestamp(column, value, to, len);
		case FLUCT_FORM_DATE:
			return encode_date(column, value, to, len);
		case FLUCT_FORM_UUID:
			return encode_uuid(value, to, len);
		case FLUCT_FORM_JSON:
		case FLUCT_FORM_JSONB:
			return encode_json(column->form, value, to, len);
	}
	pg_unreachable();
}

size_t
fluct_encode(const FluctColumn *column, const FluctJsonValue *value, char *to,
			 FluctReason *reason)
{
	FluctJsonValue plain;
	size_t		len = 0;

	if (value->escaped && reads_characters(column->form))
	{
		plain = without_escapes(value, to);
		value = &plain;
	}
	*reason = encode_value(column, value, to + 4, &len);
	if (*reason != FLUCT_OK)
		return 0;
	fluct_put32(to, (uint32) len);
	return 4 + len;
}
