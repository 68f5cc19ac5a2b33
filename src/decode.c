/*-------------------------------------------------------------------------
 *
 * decode.c
 *	  A message into rows in the form of COPY's binary format.
 *
 * Each row is what COPY BINARY reads: the number of fields, then each field
 * with its length.  So the rows of a table go through COPY's machinery as
 * they are, and an INSERT reads its arrays from the same bytes.
 *
 * A message is taken or refused whole: a refusal in its last line takes back
 * the rows that its first lines had added.
 *
 * What the children repeat of the message (`$...` in a child) is encoded once a
 * message and copied into each row; that is most of the work of 50 lines.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "decode.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/memutils.h"
#include "value.h"

/* The most bytes that a value of fixed size takes, with its length word. */
#define FIXED_ROOM		(4 + FLUCT_NUMERIC_WIRE_LEN)
#define USECS_PER_DAY_	INT64CONST(86400000000)

/* What one message gives besides its JSON. */
typedef struct Kafka
{
	const FluctMessage *message;
	const char *topic;
} Kafka;

FluctRows *
fluct_decode_begin(const FluctMapping *mapping, int nmessages)
{
	FluctRows  *rows = palloc0(sizeof(FluctRows) * mapping->ntargets);

	for (int t = 0; t < mapping->ntargets; t++)
	{
		initStringInfo(&rows[t].data);
		rows[t].starts = palloc0(sizeof(int) * (nmessages + 1));
		rows[t].row_starts = palloc0(sizeof(int) * (nmessages + 1));
	}
	return rows;
}

/* ----- values ----- */

/* Bytes in network order, wherever they stand. */
static void
put16(char *to, uint16 value)
{
	value = pg_hton16(value);
	memcpy(to, &value, 2);
}

static void
put32(char *to, uint32 value)
{
	value = pg_hton32(value);
	memcpy(to, &value, 4);
}

static void
put64(char *to, uint64 value)
{
	value = pg_hton64(value);
	memcpy(to, &value, 8);
}

static FluctReason
encode_int(FluctForm form, const FluctJsonValue *value, char *to, size_t *len)
{
	int64		result;
	FluctReason reason;

	if (form == FLUCT_FORM_INT2)
	{
		reason = fluct_value_int64(value->text, value->len,
								   PG_INT16_MIN, PG_INT16_MAX, &result);
		put16(to, (uint16) result);
		*len = 2;
	}
	else if (form == FLUCT_FORM_INT4)
	{
		reason = fluct_value_int64(value->text, value->len,
								   PG_INT32_MIN, PG_INT32_MAX, &result);
		put32(to, (uint32) result);
		*len = 4;
	}
	else
	{
		reason = fluct_value_int64(value->text, value->len,
								   PG_INT64_MIN, PG_INT64_MAX, &result);
		put64(to, (uint64) result);
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
		put32(to, bits);
		*len = 4;
	}
	else
	{
		uint64		bits;

		memcpy(&bits, &result, 8);
		put64(to, bits);
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
				USECS_PER_DAY_;
	}
	if (reason != FLUCT_OK)
		return reason;
	if (!IS_VALID_TIMESTAMP(usecs))
		return FLUCT_BAD_TIMESTAMP;
	put64(to, (uint64) usecs);
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
	put32(to, (uint32) (usecs / USECS_PER_DAY_));
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

/*
 * A value with its length word at `to`, which has FIXED_ROOM and value->len
 * bytes.  Returns the bytes written, or 0 with the reason.
 */
static size_t
encode(const FluctColumn *column, const FluctJsonValue *value, char *to,
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
	put32(to, (uint32) len);
	return 4 + len;
}

/* ----- columns ----- */

static void
append_default(FluctMapping *mapping, const FluctColumn *column,
			   StringInfo out)
{
	bool		isnull;
	Datum		value;
	MemoryContext old;

	ResetExprContext(mapping->econtext);
	old = MemoryContextSwitchTo(mapping->econtext->ecxt_per_tuple_memory);
	value = ExecEvalExpr(column->column_default, mapping->econtext, &isnull);
	if (isnull)
		appendBinaryStringInfo(out, "\377\377\377\377", 4);
	else
	{
		bytea	   *bytes = SendFunctionCall((FmgrInfo *) &column->send, value);
		char		length[4];

		put32(length, VARSIZE(bytes) - VARHDRSZ);
		appendBinaryStringInfo(out, length, 4);
		appendBinaryStringInfo(out, VARDATA(bytes),
							   VARSIZE(bytes) - VARHDRSZ);
	}
	MemoryContextSwitchTo(old);
}

/* What the message did not say: the default, NULL, or a refusal. */
static FluctReason
append_absent(FluctMapping *mapping, const FluctColumn *column, bool null,
			  StringInfo out)
{
	FluctReason reason = FLUCT_OK;

	if (column->required)
		return null ? FLUCT_NULL_FIELD : FLUCT_MISSING_FIELD;
	if (!null && column->fallback && column->fallback->type != FLUCT_JSON_NULL)
	{
		enlargeStringInfo(out, FIXED_ROOM + column->fallback->len + 3);
		out->len += encode(column, column->fallback, out->data + out->len,
						   &reason);
		return reason;
	}
	if (!null && !column->fallback && column->column_default)
		append_default(mapping, column, out);
	else if (!column->nullable)
		return null ? FLUCT_NULL_FIELD : FLUCT_MISSING_FIELD;
	else
		appendBinaryStringInfo(out, "\377\377\377\377", 4);
	return FLUCT_OK;
}

static FluctReason
append_value(FluctMapping *mapping, const FluctColumn *column,
			 const FluctJsonValue *value, StringInfo out)
{
	FluctReason reason;

	if (value->type == FLUCT_JSON_ABSENT || value->type == FLUCT_JSON_NULL)
		return append_absent(mapping, column, value->type == FLUCT_JSON_NULL,
							 out);
	enlargeStringInfo(out, FIXED_ROOM + value->len + 3);
	out->len += encode(column, value, out->data + out->len, &reason);
	return reason;
}

/* The fields that nothing maps, as one object; NULL when there are none. */
static void
append_extra(const FluctColumn *column, const FluctJson *json, int rowset,
			 int row, StringInfo out)
{
	int			count;
	const FluctJsonMember *members = fluct_json_unmapped(json, rowset, row,
														 &count);
	int			start = out->len;

	appendBinaryStringInfo(out, "\377\377\377\377", 4);
	if (count == 0)
		return;
	if (column->form == FLUCT_FORM_JSONB)
		appendStringInfoChar(out, 1);
	for (int i = 0; i < count; i++)
	{
		bool		quoted = members[i].value.type == FLUCT_JSON_STRING;

		appendStringInfoString(out, i == 0 ? "{\"" : ",\"");
		appendBinaryStringInfo(out, members[i].key.text, members[i].key.len);
		appendStringInfoString(out, quoted ? "\":\"" : "\":");
		appendBinaryStringInfo(out, members[i].value.text,
							   members[i].value.len);
		if (quoted)
			appendStringInfoChar(out, '"');
	}
	appendStringInfoChar(out, '}');
	put32(out->data + start, out->len - start - 4);
}

static FluctReason
append_key(FluctMapping *mapping, const FluctColumn *column,
		   const FluctMessage *message, StringInfo out)
{
	FluctJsonValue value = {FLUCT_JSON_STRING, false, message->key_len,
	message->key};

	if (message->key == NULL)
		value.type = FLUCT_JSON_ABSENT;
	else if (column->form != FLUCT_FORM_BYTEA)
	{
		if (memchr(message->key, '\0', message->key_len))
			return FLUCT_NUL;
		if (!pg_verify_mbstr(PG_UTF8, message->key, message->key_len, true))
			return FLUCT_INVALID_ENCODING;
	}
	return append_value(mapping, column, &value, out);
}

static FluctReason
append_number(FluctMapping *mapping, const FluctColumn *column, int64 number,
			  StringInfo out)
{
	char		text[32];
	FluctJsonValue value = {FLUCT_JSON_NUMBER, false, 0, text};

	value.len = snprintf(text, sizeof(text), INT64_FORMAT, number);
	if (column->form == FLUCT_FORM_TEXT)
		value.type = FLUCT_JSON_STRING;
	return append_value(mapping, column, &value, out);
}

/* A column that does not come from a row. */
static FluctReason
append_message_column(FluctMapping *mapping, const FluctColumn *column,
					  const Kafka *kafka, StringInfo out)
{
	const FluctMessage *message = kafka->message;
	FluctJsonValue value = {FLUCT_JSON_ABSENT};

	switch (column->source)
	{
		case FLUCT_FROM_MESSAGE:
			return append_value(mapping, column,
								fluct_json_field(mapping->json, column->field),
								out);
		case FLUCT_KAFKA_OFFSET:
			return append_number(mapping, column, message->offset, out);
		case FLUCT_KAFKA_PARTITION:
			return append_number(mapping, column, message->partition, out);
		case FLUCT_KAFKA_TIMESTAMP:
			if (message->time_ms < 0)
				return append_value(mapping, column, &value, out);
			return append_number(mapping, column, message->time_ms, out);
		case FLUCT_KAFKA_KEY:
			return append_key(mapping, column, message, out);
		case FLUCT_KAFKA_TOPIC:
			value.type = FLUCT_JSON_STRING;
			value.text = kafka->topic;
			value.len = strlen(kafka->topic);
			return append_value(mapping, column, &value, out);
		case FLUCT_KAFKA_HEADERS:
			if (message->headers)
			{
				value.type = FLUCT_JSON_ARRAY;
				value.text = message->headers;
				value.len = strlen(message->headers);
			}
			return append_value(mapping, column, &value, out);
		default:
			elog(ERROR, "column \"%s\" is not of a message", column->name);
	}
	return FLUCT_OK;
}

/* ----- refusals ----- */

static void
refuse_column(const FluctTarget *target, const FluctColumn *column, int row,
			  FluctReason reason, const FluctJsonValue *value,
			  FluctRefusal *refusal)
{
	char		path[FLUCT_PATH_LEN];

	if (column->source == FLUCT_FROM_ROW)
		snprintf(path, sizeof(path), "%.*s[%d]%s",
				 (int) strlen(target->rows_path) - 3, target->rows_path, row,
				 column->path + 1);
	else
		strlcpy(path, column->path, sizeof(path));
	if (value == NULL || value->type == FLUCT_JSON_ABSENT ||
		value->type == FLUCT_JSON_NULL)
		fluct_refuse(refusal, reason, path, "for column %s of %s",
					 column->name, target->name);
	else
		fluct_refuse(refusal, reason, path, "found %s%.*s%s%s",
					 value->type == FLUCT_JSON_STRING ? "\"" : "",
					 (int) Min(value->len, 100), value->text,
					 value->len > 100 ? "..." : "",
					 value->type == FLUCT_JSON_STRING ? "\"" : "");
}

/* ----- rows ----- */

static void
begin_row(const FluctTarget *target, FluctRows *rows)
{
	char		count[2];

	put16(count, target->ncolumns);
	appendBinaryStringInfo(&rows->data, count, 2);
	rows->nrows++;
}

static bool
decode_parent(FluctMapping *mapping, FluctRows *rows, const Kafka *kafka,
			  FluctRefusal *refusal)
{
	const FluctTarget *target = &mapping->targets[0];

	begin_row(target, rows);
	for (int i = 0; i < target->ncolumns; i++)
	{
		const FluctColumn *column = &target->columns[i];
		FluctReason reason;

		if (column->source == FLUCT_EXTRA)
		{
			append_extra(column, mapping->json, FLUCT_JSON_ROOT, 0,
						 &rows->data);
			continue;
		}
		reason = append_message_column(mapping, column, kafka, &rows->data);
		if (reason != FLUCT_OK)
		{
			refuse_column(target, column, 0, reason,
						  column->source == FLUCT_FROM_MESSAGE ?
						  fluct_json_field(mapping->json, column->field) : NULL,
						  refusal);
			return false;
		}
	}
	return true;
}

/* The columns of a child that are the same in each of its rows. */
static bool
encode_shared(FluctMapping *mapping, const FluctTarget *target,
			  const Kafka *kafka, StringInfo shared, int *starts,
			  FluctRefusal *refusal)
{
	resetStringInfo(shared);
	for (int i = 0; i < target->ncolumns; i++)
	{
		const FluctColumn *column = &target->columns[i];
		FluctReason reason;

		starts[i] = shared->len;
		if (column->source == FLUCT_FROM_ROW ||
			column->source == FLUCT_ROW_NUMBER ||
			column->source == FLUCT_EXTRA)
			continue;
		reason = append_message_column(mapping, column, kafka, shared);
		if (reason != FLUCT_OK)
		{
			refuse_column(target, column, 0, reason,
						  column->source == FLUCT_FROM_MESSAGE ?
						  fluct_json_field(mapping->json, column->field) : NULL,
						  refusal);
			return false;
		}
	}
	starts[target->ncolumns] = shared->len;
	return true;
}

static bool
decode_child_row(FluctMapping *mapping, const FluctTarget *target,
				 FluctRows *rows, int row, StringInfo shared,
				 const int *starts, FluctRefusal *refusal)
{
	begin_row(target, rows);
	for (int i = 0; i < target->ncolumns; i++)
	{
		const FluctColumn *column = &target->columns[i];
		const FluctJsonValue *cell = NULL;
		FluctReason reason = FLUCT_OK;

		if (column->source == FLUCT_FROM_ROW)
		{
			cell = fluct_json_cell(mapping->json, target->rowset, row,
								   column->field);
			reason = append_value(mapping, column, cell, &rows->data);
		}
		else if (column->source == FLUCT_ROW_NUMBER)
			reason = append_number(mapping, column, row + 1, &rows->data);
		else if (column->source == FLUCT_EXTRA)
			append_extra(column, mapping->json, target->rowset, row,
						 &rows->data);
		else
			appendBinaryStringInfo(&rows->data, shared->data + starts[i],
								   starts[i + 1] - starts[i]);
		if (reason != FLUCT_OK)
		{
			refuse_column(target, column, row, reason, cell, refusal);
			return false;
		}
	}
	return true;
}

/* Whether the rows are an array of what the paths ask of its elements. */
static bool
check_rowset(const FluctMapping *mapping, const FluctTarget *target,
			 FluctRefusal *refusal)
{
	FluctJsonType type = fluct_json_rowset_type(mapping->json, target->rowset);
	char		path[FLUCT_PATH_LEN];

	snprintf(path, sizeof(path), "%.*s", (int) strlen(target->rows_path) - 3,
			 target->rows_path);
	if (type == FLUCT_JSON_ARRAY)
		return true;
	fluct_refuse(refusal,
				 type == FLUCT_JSON_ABSENT ? FLUCT_MISSING_FIELD :
				 type == FLUCT_JSON_NULL ? FLUCT_NULL_FIELD : FLUCT_WRONG_TYPE,
				 path, "for the rows of %s", target->name);
	return false;
}

/* Whether a row can have the members that the paths ask of it. */
static bool
check_row(const FluctMapping *mapping, const FluctTarget *target, int row,
		  FluctRefusal *refusal)
{
	FluctJsonType type = fluct_json_row_type(mapping->json, target->rowset,
											 row);
	char		path[FLUCT_PATH_LEN];

	if (type == FLUCT_JSON_OBJECT)
		return true;
	for (int i = 0; i < target->ncolumns; i++)
		if (target->columns[i].source == FLUCT_FROM_ROW &&
			target->columns[i].path[1] != '\0')
		{
			snprintf(path, sizeof(path), "%.*s[%d]",
					 (int) strlen(target->rows_path) - 3, target->rows_path,
					 row);
			fluct_refuse(refusal, FLUCT_WRONG_TYPE, path,
						 "an element is not an object");
			return false;
		}
	return true;
}

static bool
decode_child(FluctMapping *mapping, const FluctTarget *target, FluctRows *rows,
			 const Kafka *kafka, FluctRefusal *refusal)
{
	static StringInfoData shared = {NULL};
	int			starts[MaxTupleAttributeNumber + 1];
	int			nrows;

	if (shared.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&shared);
		MemoryContextSwitchTo(old);
	}
	if (!check_rowset(mapping, target, refusal))
		return false;
	nrows = fluct_json_row_count(mapping->json, target->rowset);
	if (nrows == 0)
		return true;
	if (!encode_shared(mapping, target, kafka, &shared, starts, refusal))
		return false;
	for (int row = 0; row < nrows; row++)
		if (!check_row(mapping, target, row, refusal) ||
			!decode_child_row(mapping, target, rows, row, &shared, starts,
							  refusal))
			return false;
	return true;
}

/* ----- a message ----- */

static bool
decode_json(FluctMapping *mapping, const FluctMessage *message,
			FluctRefusal *refusal)
{
	if (message->full_len > message->value_len)
	{
		fluct_refuse(refusal, FLUCT_TOO_LARGE, "$",
					 "%zu bytes, more than fluct.max_message_bytes",
					 message->full_len);
		return false;
	}
	if (message->value_len == 0)
	{
		fluct_refuse(refusal, FLUCT_EMPTY_VALUE, "$", "the value has 0 bytes");
		return false;
	}
	return fluct_json_parse(mapping->json, message->value, message->value_len,
							refusal);
}

bool
fluct_decode_message(FluctMapping *mapping, FluctRows *rows, int i,
					 const FluctMessage *message, const char *topic,
					 FluctRefusal *refusal)
{
	Kafka		kafka = {message, topic};
	bool		good = message->value != NULL &&
	decode_json(mapping, message, refusal);

	for (int t = 0; good && t < mapping->ntargets; t++)
		if (t == 0)
			good = decode_parent(mapping, &rows[t], &kafka, refusal);
		else
			good = decode_child(mapping, &mapping->targets[t], &rows[t],
								&kafka, refusal);
	for (int t = 0; t < mapping->ntargets; t++)
	{
		if (!good)
		{
			rows[t].data.len = rows[t].starts[i];
			rows[t].nrows = rows[t].row_starts[i];
		}
		rows[t].starts[i + 1] = rows[t].data.len;
		rows[t].row_starts[i + 1] = rows[t].nrows;
	}
	return good;
}

void
fluct_decode_check_fallbacks(const FluctMapping *mapping)
{
	for (int t = 0; t < mapping->ntargets; t++)
		for (int i = 0; i < mapping->targets[t].ncolumns; i++)
		{
			const FluctColumn *column = &mapping->targets[t].columns[i];
			FluctReason reason = FLUCT_OK;

			if (column->fallback == NULL ||
				column->fallback->type == FLUCT_JSON_NULL)
				continue;
			(void) encode(column, column->fallback,
						  palloc(FIXED_ROOM + column->fallback->len + 3),
						  &reason);
			if (reason != FLUCT_OK)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("mapping: column \"%s\" of %s can't hold its \"default\" %s",
								column->name, mapping->targets[t].name,
								column->fallback->text),
						 errdetail("%s", fluct_reason_name(reason))));
		}
}
