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

#include "encode.h"
#include "utils/timestamp.h"
#include "value.h"

static FluctReason
encode_int(FluctForm form, const FluctJsonValue *value, char *to, size_t *len)
{
	int64		result;
	FluctReason reason;

	if (form == FLUCT_FORM_INT2)
	{
		reason = fluct_value_int64(value->text, value->len,
								   PG_INT16_MIN, PG_INT16_MAX, &result);
		fluct_put16(to, (uint16) result);
		*len = 2;
	}
	else if (form == FLUCT_FORM_INT4)
	{
		reason = fluct_value_int64(value->text, value->len,
								   PG_INT32_MIN, PG_INT32_MAX, &result);
		fluct_put32(to, (uint32) result);
		*len = 4;
	}
	else
	{
		reason = fluct_value_int64(value->text, value->len,
								   PG_INT64_MIN, PG_INT64_MAX, &result);
		fluct_put64(to, (uint64) result);
		*len = 8;
	}
	return reason;
}

static FluctReason
encode_float(FluctForm form, const FluctJsonValue *value, char *to,
			 size_t *len)
{
	char		text[FLUCT_MAX_DIGITS * 4];
	double		result;

	if (value->len >= sizeof(text))
		return FLUCT_OUT_OF_RANGE;
	memcpy(text, value->text, value->len);
	text[value->len] = '\0';
	result = strtod(text, NULL);
	if (form == FLUCT_FORM_FLOAT4)
	{
		float		small = (float) result;
		uint32		bits;

		if (isinf(small))
			return FLUCT_OUT_OF_RANGE;
		memcpy(&bits, &small, 4);
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

/* Digits as a number's text: what "format": "text" allows in a string. */
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
	return i == len ? fluct_value_check_number(text, len) : FLUCT_WRONG_TYPE;
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
		return fluct_value_numeric(value->text, value->len, to, len);
	if (column->form == FLUCT_FORM_FLOAT4 || column->form == FLUCT_FORM_FLOAT8)
		return encode_float(column->form, value, to, len);
	return encode_int(column->form, value, to, len);
}

/* Microseconds since 1970 from a number of seconds or milliseconds. */
static FluctReason
epoch_usecs(const FluctJsonValue *value, double per_unit, int64 *usecs)
{
	int64		whole;
	char		text[FLUCT_MAX_DIGITS * 4];
	long double product;

	if (value->type != FLUCT_JSON_NUMBER)
		return FLUCT_WRONG_TYPE;
	if (fluct_value_int64(value->text, value->len, PG_INT64_MIN, PG_INT64_MAX,
						  &whole) == FLUCT_OK &&
		whole > -PG_INT64_MAX / (int64) per_unit &&
		whole < PG_INT64_MAX / (int64) per_unit)
	{
		*usecs = whole * (int64) per_unit;
		return FLUCT_OK;
	}
	if (value->len >= sizeof(text))
		return FLUCT_BAD_TIMESTAMP;
	memcpy(text, value->text, value->len);
	text[value->len] = '\0';
	product = strtold(text, NULL) * per_unit;
	if (!(fabsl(product) < 9e18L))
		return FLUCT_BAD_TIMESTAMP;
	*usecs = (int64) rintl(product);
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
		reason = fluct_value_timestamp(value->text, value->len, &usecs);
	}
	else
	{
		reason = epoch_usecs(value, column->format == FLUCT_FORMAT_EPOCH_S ?
							 1000000 : 1000, &usecs);
		if (reason == FLUCT_OK)
			usecs -= (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
				USECS_PER_DAY;
	}
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
	if (fluct_value_timestamp(text, 19, &usecs) != FLUCT_OK)
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

/* 32 hex digits, grouped 8-4-4-4-12 by hyphens or not at all. */
static FluctReason
encode_uuid(const FluctJsonValue *value, char *to, size_t *len)
{
	size_t		at = 0;
	bool		grouped = value->len == 36;

	if (value->type != FLUCT_JSON_STRING ||
		(value->len != 36 && value->len != 32))
		return FLUCT_WRONG_TYPE;
	for (int i = 0; i < 16; i++)
	{
		int			high,
					low;

		if (grouped && (i == 4 || i == 6 || i == 8 || i == 10) &&
			value->text[at++] != '-')
			return FLUCT_WRONG_TYPE;
		high = hex_value(value->text[at++]);
		low = hex_value(value->text[at++]);
		if (high < 0 || low < 0)
			return FLUCT_WRONG_TYPE;
		to[i] = (char) (high << 4 | low);
	}
	*len = 16;
	return FLUCT_OK;
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
		*len = fluct_value_unescape(value->text, value->len, to);
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
		*at++ = 1;				/* the version of jsonb's binary form */
	if (quoted)
		*at++ = '"';
	memcpy(at, value->text, value->len);
	at += value->len;
	if (quoted)
		*at++ = '"';
	*len = at - to;
	return FLUCT_OK;
}

size_t
fluct_encode(const FluctColumn *column, const FluctJsonValue *value, char *to,
			 FluctReason *reason)
{
	char	   *data = to + 4;
	size_t		len = 0;

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
