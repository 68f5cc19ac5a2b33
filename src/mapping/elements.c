/*-------------------------------------------------------------------------
 *
 * elements.c
 *	  A JSON array as the text of an array of PostgreSQL's.
 *
 * array_in reads it, by the input function of its elements' type.  That takes
 * more than a column of this type takes from a message, and some of it for
 * something else: 161231 is a day to a timestamp, and the offset of a time is
 * nothing to a timestamp without time zone.  So elements are first taken as by
 * such a column, but for numbers and booleans in quotes, which mean the same.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "json/number.h"
#include "json/string.h"
#include "mapping/elements.h"
#include "mapping/encode.h"

/* A longer string is not a time. */
#define MOST_OF_TIME	200

static char *
put(const char *text, size_t len, char *to)
{
	memcpy(to, text, len);
	return to + len;
}

static bool
is_number(const FluctColumn *element)
{
	return element->form >= FLUCT_FORM_INT2 && element->form <= FLUCT_FORM_FLOAT8;
}

/* A string between quotes, as array_in reads it, which is not longer. */
static FluctReason
put_string(const FluctColumn *element, const FluctJsonValue *value, char **to)
{
	char	   *plain = palloc(value->len + 1);
	size_t		n = fluct_string_unescape(value->text, value->len, plain);
	FluctReason reason = FLUCT_OK;

	if (fluct_encode_is_word(element, plain, n))
		reason = FLUCT_BAD_TIMESTAMP;
	else if (is_number(element))
		reason = fluct_encode_check_number(plain, n);
	if (reason == FLUCT_OK && element->writes_out && fluct_string_has_long_number(plain, n))
		reason = FLUCT_OUT_OF_RANGE;
	*(*to)++ = '"';
	for (size_t i = 0; i < n; i++)
	{
		if (plain[i] == '"' || plain[i] == '\\')
			*(*to)++ = '\\';
		*(*to)++ = plain[i];
	}
	*(*to)++ = '"';
	pfree(plain);
	return reason;
}

/* A timestamp, in UTC, or a date. */
static FluctReason
put_time(const FluctColumn *element, const FluctJsonValue *value, char **to)
{
	char		wire[4 + FLUCT_NUMERIC_WIRE_LEN + MOST_OF_TIME + 1];
	char		text[MAXDATELEN + 1];
	uint64		bits;
	struct pg_tm tm;
	fsec_t		fsec;
	FluctReason reason = FLUCT_BAD_TIMESTAMP;

	if (value->len > MOST_OF_TIME ||
		fluct_encode(element, value, wire, &reason) == 0)
		return reason;
	if (element->form == FLUCT_FORM_DATE)
		return put_string(element, value, to);
	memcpy(&bits, wire + 4, 8);
	if (timestamp2tm((Timestamp) pg_ntoh64(bits), NULL, &tm, &fsec, NULL, NULL) != 0)
		return FLUCT_BAD_TIMESTAMP;
	EncodeDateTime(&tm, fsec, element->base == TIMESTAMPTZOID, 0, NULL,
				   USE_ISO_DATES, text);
	*to += sprintf(*to, "\"%s\"", text);
	return FLUCT_OK;
}

static FluctReason
put_number(const FluctColumn *column, const FluctJsonValue *value, char **to)
{
	const FluctColumn *element = column->element;
	FluctReason reason = FLUCT_OK;
	char		wire[4 + 8];
	int64		whole;

	switch (element->form)
	{
		case FLUCT_FORM_INT2:
		case FLUCT_FORM_INT4:
		case FLUCT_FORM_INT8:
			reason = fluct_number_int64(value->text, value->len, PG_INT64_MIN,
										PG_INT64_MAX, &whole);
			if (reason == FLUCT_OK)
				*to += pg_lltoa(whole, *to);
			return reason;
		case FLUCT_FORM_NUMERIC:
		case FLUCT_FORM_JSONB:
			reason = fluct_number_check(value->text, value->len);
			break;
		case FLUCT_FORM_FLOAT4:
		case FLUCT_FORM_FLOAT8:
			(void) fluct_encode(element, value, wire, &reason);
			break;
		case FLUCT_FORM_JSON:
			break;
		default:
			if (column->format != FLUCT_FORMAT_SCALAR &&
				(element->form != FLUCT_FORM_OTHER ||
				 element->category != TYPCATEGORY_NUMERIC))
				return FLUCT_WRONG_TYPE;
	}
	*to = put(value->text, value->len, *to);
	return reason;
}

static FluctReason
put_element(const FluctColumn *column, const FluctJsonValue *value, char **to)
{
	const FluctColumn *element = column->element;

	if (value->type == FLUCT_JSON_STRING)
		return element->form == FLUCT_FORM_TIMESTAMP || element->form == FLUCT_FORM_DATE ?
			put_time(element, value, to) : put_string(element, value, to);
	if (value->type == FLUCT_JSON_NUMBER)
		return put_number(column, value, to);
	if (value->type == FLUCT_JSON_BOOL && column->format != FLUCT_FORMAT_SCALAR &&
		element->form != FLUCT_FORM_BOOL && element->form != FLUCT_FORM_JSON &&
		element->form != FLUCT_FORM_JSONB)
		return FLUCT_WRONG_TYPE;
	*to = put(value->text, value->len, *to);
	return FLUCT_OK;
}

/* The scalar that begins at p; returns its end. */
static const char *
read_scalar(const char *p, const char *end, FluctJsonValue *value)
{
	size_t		n;

	if (*p == '"')
	{
		n = fluct_string_len(p, end);
		value->type = FLUCT_JSON_STRING;
		value->text = p + 1;
		value->len = n - 2;
		value->escaped = memchr(value->text, '\\', value->len) != NULL;
		return p + n;
	}
	n = strcspn(p, ",] \t\r\n");
	value->type = *p == 'n' ? FLUCT_JSON_NULL :
		*p == 't' || *p == 'f' ? FLUCT_JSON_BOOL : FLUCT_JSON_NUMBER;
	value->text = p;
	value->len = n;
	value->escaped = false;
	return p + n;
}

static FluctReason
put_array(const FluctColumn *column, const FluctJsonValue *value, char **to)
{
	const char *end = value->text + value->len;

	for (const char *p = value->text; p < end;)
	{
		FluctJsonValue element;
		FluctReason reason;

		if (*p == '{')
			return FLUCT_WRONG_TYPE;
		if (strchr("[],", *p))
			*(*to)++ = *p == '[' ? '{' : *p == ']' ? '}' : ',';
		if (strchr("[], \t\r\n", *p))
		{
			p++;
			continue;
		}
		p = read_scalar(p, end, &element);
		reason = put_element(column, &element, to);
		if (reason != FLUCT_OK)
			return reason;
	}
	return FLUCT_OK;
}

size_t
fluct_elements_encode(const FluctColumn *column, const FluctJsonValue *value,
					  char *to, FluctReason *reason)
{
	char	   *out = to + 4;

	if (!column->is_array || value->type != FLUCT_JSON_ARRAY)
		return fluct_encode(column, value, to, reason);
	*reason = put_array(column, value, &out);
	if (*reason != FLUCT_OK)
		return 0;
	fluct_put32(to, (uint32) (out - to - 4));
	return out - to;
}
