/*-------------------------------------------------------------------------
 *
 * field.c
 *	  One field of a row, in the form of COPY's binary format.
 *
 * Where a column's value comes from is decided here (the message, its rows,
 * what Kafka says of it, a default); how its type writes it, in encode.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "mapping/elements.h"
#include "mapping/encode.h"
#include "mapping/envelope.h"
#include "mapping/field.h"
#include "mapping/format.h"
#include "mapping/kafka.h"
#include "mapping/source.h"
#include "pg/unixtime.h"

/* Farther from Kafka's own time, a time in a message is reported as odd. */
#define MAX_DISTANCE	(INT64CONST(366) * USECS_PER_DAY)

static void
append_field(StringInfo out, const char *data, size_t len)
{
	char		length[4];

	fluct_put32(length, len);
	appendBinaryStringInfo(out, length, 4);
	appendBinaryStringInfo(out, data, len);
}

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
		appendBinaryStringInfo(out, FLUCT_ENCODED_NULL, 4);
	else
	{
		FmgrInfo   *send = (FmgrInfo *) &column->send;
		char	   *text = NULL;
		bytea	   *bytes = NULL;

		if (column->form == FLUCT_FORM_OTHER)
			text = OutputFunctionCall(send, value);
		else
			bytes = SendFunctionCall(send, value);
		append_field(out, text ? text : VARDATA(bytes),
					 text ? strlen(text) : VARSIZE(bytes) - VARHDRSZ);
	}
	MemoryContextSwitchTo(old);
}

/* What the message did not say: the default, NULL, or a refusal. */
static FluctReason
append_absent(FluctMapping *mapping, const FluctColumn *column, bool null,
			  StringInfo out)
{
	FluctReason reason = FLUCT_OK;

	mapping->absent = !null;
	if (column->required)
		return null ? FLUCT_NULL_FIELD : FLUCT_MISSING_FIELD;
	if (!null && column->fallback && column->fallback->type != FLUCT_JSON_NULL)
	{
		enlargeStringInfo(out, fluct_elements_room(column, column->fallback));
		out->len += fluct_elements_encode(column, column->fallback, out->data + out->len,
										  &reason);
		return reason;
	}
	if (!null && !column->fallback && column->column_default)
		append_default(mapping, column, out);
	else if (!column->nullable)
		return null ? FLUCT_NULL_FIELD : FLUCT_MISSING_FIELD;
	else
		appendBinaryStringInfo(out, FLUCT_ENCODED_NULL, 4);
	return FLUCT_OK;
}

/* Whether jsonb would have to write out more digits than are allowed. */
static bool
is_too_long_a_number(FluctMapping *mapping, const FluctColumn *column,
					 const FluctJsonValue *value)
{
	return column->form == FLUCT_FORM_JSONB &&
		value->type != FLUCT_JSON_STRING &&
		(fluct_json_has_long_number(mapping->json) ||
		 column->source == FLUCT_FROM_ENVELOPE ||
		 column->source == FLUCT_KAFKA_KEY_PATH) &&
		fluct_string_has_long_number(value->text, value->len);
}

static FluctReason
append_value(FluctMapping *mapping, const FluctColumn *column,
			 const FluctJsonValue *value, StringInfo out)
{
	FluctReason reason;
	FluctJsonValue plain;

	if (column->reading && value->type != FLUCT_JSON_ABSENT &&
		value->type != FLUCT_JSON_NULL)
	{
		reason = fluct_format_read(column, value, &plain);
		if (reason != FLUCT_OK)
			return reason;
		value = &plain;
	}
	if (value->type == FLUCT_JSON_ABSENT || value->type == FLUCT_JSON_NULL)
		return append_absent(mapping, column, value->type == FLUCT_JSON_NULL,
							 out);
	if (is_too_long_a_number(mapping, column, value))
		return FLUCT_OUT_OF_RANGE;
	if (column->padded > 0)
		mapping->made += (size_t) column->padded *
			(column->is_array ? fluct_string_count_values(value->text, value->len) : 1);
	enlargeStringInfo(out, fluct_elements_room(column, value));
	out->len += fluct_elements_encode(column, value, out->data + out->len, &reason);
	return reason;
}

/* Whether the time that was just added is more than a year from Kafka's. */
static void
note_distance(const FluctColumn *column, const FluctMessage *message,
			  const StringInfoData *out, int start)
{
	uint64		wire;
	TimestampTz time,
				sent;

	if (column->form != FLUCT_FORM_TIMESTAMP || out->len - start != 12 ||
		!fluct_unixtime_to_timestamp(message->time_ms, &sent))
		return;
	memcpy(&wire, out->data + start + 4, 8);
	time = (TimestampTz) pg_ntoh64(wire);
	if (time > sent + MAX_DISTANCE || time < sent - MAX_DISTANCE)
		column->findings->far = true;
}

/* A value that the message or a row of it has at the column's path. */
static FluctReason
append_found(FluctMapping *mapping, const FluctColumn *column,
			 const FluctJsonValue *value, const FluctMessage *message,
			 StringInfo out)
{
	int			start = out->len;
	FluctReason reason = append_value(mapping, column, value, out);

	if (value->type == FLUCT_JSON_ABSENT)
		return reason;
	column->findings->found = true;
	if (reason == FLUCT_OK)
		note_distance(column, message, out, start);
	return reason;
}

/* When nothing maps no field: the default, or NULL, or an empty object. */
static void
append_no_extra(FluctMapping *mapping, const FluctColumn *column,
				StringInfo out)
{
	mapping->absent = true;
	if (column->column_default)
		append_default(mapping, column, out);
	else if (column->nullable)
		appendBinaryStringInfo(out, FLUCT_ENCODED_NULL, 4);
	else if (column->form == FLUCT_FORM_JSONB)
		append_field(out, "\001{}", 3);
	else
		append_field(out, "{}", 2);
}

/* The fields that nothing maps, as one object. */
static FluctReason
append_extra(FluctMapping *mapping, const FluctColumn *column, int rowset,
			 int row, StringInfo out)
{
	int			count;
	const FluctJsonMember *members = fluct_json_unmapped(mapping->json, rowset,
														 row, &count);
	int			start = out->len;
	size_t		values = count;

	if (count == 0)
	{
		append_no_extra(mapping, column, out);
		return FLUCT_OK;
	}
	appendBinaryStringInfo(out, FLUCT_ENCODED_NULL, 4);
	if (column->form == FLUCT_FORM_JSONB)
		appendStringInfoChar(out, 1);
	for (int i = 0; i < count; i++)
	{
		bool		quoted = members[i].value.type == FLUCT_JSON_STRING;

		if (!quoted)
			values += fluct_count_values(members[i].value.text,
										 members[i].value.len);
		if (values > FLUCT_MAX_JSONB_VALUES && column->form == FLUCT_FORM_JSONB)
			return FLUCT_TOO_LONG;
		if (is_too_long_a_number(mapping, column, &members[i].value))
			return FLUCT_OUT_OF_RANGE;
		appendStringInfoString(out, i == 0 ? "{\"" : ",\"");
		appendBinaryStringInfo(out, members[i].key.text, members[i].key.len);
		appendStringInfoString(out, quoted ? "\":\"" : "\":");
		appendBinaryStringInfo(out, members[i].value.text,
							   members[i].value.len);
		if (quoted)
			appendStringInfoChar(out, '"');
	}
	appendStringInfoChar(out, '}');
	fluct_put32(out->data + start, out->len - start - 4);
	return FLUCT_OK;
}

/* Text that is not of a message's JSON, as a string of it. */
static void
set_text(const FluctColumn *column, const char *text, size_t len,
		 FluctJsonValue *value)
{
	bool		json = column->form == FLUCT_FORM_JSON ||
	column->form == FLUCT_FORM_JSONB;

	value->type = FLUCT_JSON_STRING;
	value->escaped = json;
	value->text = json ? fluct_source_escape(pnstrdup(text, len)) : text;
	value->len = json ? strlen(value->text) : len;
}

static FluctReason
append_key(FluctMapping *mapping, const FluctColumn *column,
		   const FluctMessage *message, StringInfo out)
{
	FluctJsonValue value = {FLUCT_JSON_ABSENT};

	if (message->key == NULL)
		return append_value(mapping, column, &value, out);
	if (column->form == FLUCT_FORM_BYTEA)
	{
		append_field(out, message->key, message->key_len);
		return message->key_len == 0 && column->key ? FLUCT_EMPTY_KEY : FLUCT_OK;
	}
	if (memchr(message->key, '\0', message->key_len))
		return FLUCT_NUL;
	if (!pg_verify_mbstr(PG_UTF8, message->key, message->key_len, true))
		return FLUCT_INVALID_ENCODING;
	set_text(column, message->key, message->key_len, &value);
	return append_value(mapping, column, &value, out);
}

static FluctReason
append_number(FluctMapping *mapping, const FluctColumn *column, int64 number,
			  StringInfo out)
{
	char		text[32];
	FluctJsonValue value = {FLUCT_JSON_NUMBER, false, 0, text};

	value.len = pg_lltoa(number, text);
	if (column->form == FLUCT_FORM_TEXT ||
		(column->form == FLUCT_FORM_OTHER && column->category == TYPCATEGORY_STRING))
		value.type = FLUCT_JSON_STRING;
	return append_value(mapping, column, &value, out);
}

/* From the JSON of the key, or a header. */
static FluctReason
append_kafka(FluctMapping *mapping, const FluctColumn *column,
			 const FluctMessage *message, StringInfo out)
{
	FluctJsonValue value;
	bool		raw;
	FluctReason reason = fluct_kafka_value(mapping, column, message, &value, &raw);
	char	   *bytes;

	if (reason != FLUCT_OK)
		return reason;
	column->findings->found |= value.type != FLUCT_JSON_ABSENT;
	if (raw && column->form != FLUCT_FORM_BYTEA)
		return FLUCT_INVALID_ENCODING;
	if (column->source == FLUCT_KAFKA_KEY_PATH || column->form != FLUCT_FORM_BYTEA ||
		value.type != FLUCT_JSON_STRING || column->reading)
		return append_value(mapping, column, &value, out);
	if (!value.escaped)
		append_field(out, value.text, value.len);
	else
	{
		bytes = palloc(value.len + 1);
		append_field(out, bytes, fluct_string_unescape(value.text, value.len, bytes));
		pfree(bytes);
	}
	return FLUCT_OK;
}

FluctReason
fluct_field_of_message(FluctMapping *mapping, const FluctColumn *column,
					   const FluctKafka *kafka, StringInfo out)
{
	const FluctMessage *message = kafka->message;
	FluctJsonValue value = {FLUCT_JSON_ABSENT};
	FluctReason reason;

	switch (column->source)
	{
		case FLUCT_FROM_MESSAGE:
			return append_found(mapping, column,
								fluct_json_field(mapping->json, column->field),
								message, out);
		case FLUCT_FROM_ENVELOPE:
			return append_found(mapping, column, fluct_envelope_value(mapping, column),
								message, out);
		case FLUCT_KAFKA_OFFSET:
			return append_number(mapping, column, message->offset, out);
		case FLUCT_KAFKA_PARTITION:
			return append_number(mapping, column, message->partition, out);
		case FLUCT_KAFKA_SCHEMA_ID:
			return append_number(mapping, column, mapping->schema_id, out);
		case FLUCT_KAFKA_TIMESTAMP:
			if (message->time_ms == FLUCT_TIME_NOT_KEPT)
				return FLUCT_OUT_OF_RANGE;
			if (message->time_ms == -1)
				return append_value(mapping, column, &value, out);
			reason = append_number(mapping, column, message->time_ms, out);
			return reason == FLUCT_BAD_TIMESTAMP ? FLUCT_OUT_OF_RANGE : reason;
		case FLUCT_KAFKA_KEY:
			return append_key(mapping, column, message, out);
		case FLUCT_KAFKA_TOPIC:
			set_text(column, kafka->topic, strlen(kafka->topic), &value);
			return append_value(mapping, column, &value, out);
		case FLUCT_KAFKA_HEADERS:
			if (message->headers)
			{
				value.type = FLUCT_JSON_ARRAY;
				value.text = message->headers;
				value.len = strlen(message->headers);
			}
			return append_value(mapping, column, &value, out);
		case FLUCT_KAFKA_HEADER:
		case FLUCT_KAFKA_KEY_PATH:
			return append_kafka(mapping, column, message, out);
		default:
			elog(ERROR, "column \"%s\" is not of a message", column->name);
	}
	return FLUCT_OK;
}

FluctReason
fluct_field_of_row(FluctMapping *mapping, const FluctColumn *column, int rowset,
				   int row, const FluctKafka *kafka, StringInfo out)
{
	const FluctJson *json = mapping->json;
	int			own = fluct_json_row_within(json, rowset, row, column->rowset);

	switch (column->source)
	{
		case FLUCT_FROM_ROW:
			return append_found(mapping, column,
								fluct_json_cell(json, column->rowset, own, column->field),
								kafka->message, out);
		case FLUCT_ROW_NUMBER:
			return append_number(mapping, column,
								 fluct_json_row_index(json, column->rowset, own) + 1, out);
		case FLUCT_ROW_KEY:
			return append_value(mapping, column,
								fluct_json_cell(json, column->rowset, own, column->field), out);
		case FLUCT_EXTRA:
			return append_extra(mapping, column, column->rowset, own, out);
		default:
			elog(ERROR, "column \"%s\" is not of a row", column->name);
	}
	return FLUCT_OK;
}
