/*-------------------------------------------------------------------------
 *
 * decode.c
 *	  A message into rows in the form of COPY's binary format.
 *
 * Each row is what COPY BINARY reads: the number of fields, then each field
 * with its length.  So the rows of a table go through COPY's machinery as
 * they are, and an INSERT reads its arrays from the same bytes.
 *
 * A message is stored or refused as a whole: a refusal in its last line removes
 * the rows that its first lines added.
 *
 * What all rows of a child share (`$...` in a child) is encoded once for each
 * message and copied into each row, which saves most of the work of 50 lines.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "base/refusal.h"
#include "mapping/decode.h"
#include "mapping/encode.h"

/* What a message has besides its JSON. */
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
		enlargeStringInfo(&rows[t].data, mapping->targets[t].expected);
		rows[t].starts = palloc0(sizeof(int) * (nmessages + 1));
		rows[t].row_starts = palloc0(sizeof(int) * (nmessages + 1));
	}
	return rows;
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
		appendBinaryStringInfo(out, FLUCT_ENCODED_NULL, 4);
	else
	{
		bytea	   *bytes = SendFunctionCall((FmgrInfo *) &column->send, value);
		char		length[4];

		fluct_put32(length, VARSIZE(bytes) - VARHDRSZ);
		appendBinaryStringInfo(out, length, 4);
		appendBinaryStringInfo(out, VARDATA(bytes),
							   VARSIZE(bytes) - VARHDRSZ);
	}
	MemoryContextSwitchTo(old);
}

/* A value that is missing or null: the default, NULL, or a refusal. */
static FluctReason
append_absent(FluctMapping *mapping, const FluctColumn *column, bool null,
			  StringInfo out)
{
	FluctReason reason = FLUCT_OK;

	if (column->required)
		return null ? FLUCT_NULL_FIELD : FLUCT_MISSING_FIELD;
	if (!null && column->fallback && column->fallback->type != FLUCT_JSON_NULL)
	{
		enlargeStringInfo(out, FLUCT_ENCODE_ROOM(column->fallback));
		out->len += fluct_encode(column, column->fallback, out->data + out->len,
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

static FluctReason
append_value(FluctMapping *mapping, const FluctColumn *column,
			 const FluctJsonValue *value, StringInfo out)
{
	FluctReason reason;

	if (value->type == FLUCT_JSON_ABSENT || value->type == FLUCT_JSON_NULL)
		return append_absent(mapping, column, value->type == FLUCT_JSON_NULL,
							 out);
	enlargeStringInfo(out, FLUCT_ENCODE_ROOM(value));
	out->len += fluct_encode(column, value, out->data + out->len, &reason);
	return reason;
}

/* The fields that are not mapped, as one object; NULL if there are none. */
static FluctReason
append_extra(const FluctColumn *column, const FluctJson *json, int rowset,
			 int row, StringInfo out)
{
	int			count;
	const FluctJsonMember *members = fluct_json_unmapped(json, rowset, row,
														 &count);
	int			start = out->len;
	size_t		values = count;

	appendBinaryStringInfo(out, FLUCT_ENCODED_NULL, 4);
	if (count == 0)
		return FLUCT_OK;
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
	bool		extra = column->source == FLUCT_EXTRA;

	if (column->source == FLUCT_FROM_ROW || (extra && target->rows_path))
		snprintf(path, sizeof(path), "%.*s[%d]%s",
				 (int) strlen(target->rows_path) - 3, target->rows_path, row,
				 extra ? "" : column->path + 1);
	else
		strlcpy(path, extra ? "$" : column->path, sizeof(path));
	if (reason == FLUCT_TOO_LONG)
		fluct_refuse(refusal, reason, path,
					 "more than %d values for column %s of %s",
					 FLUCT_MAX_JSONB_VALUES, column->name, target->name);
	else if (value == NULL || value->type == FLUCT_JSON_ABSENT ||
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

/* A column that does not come from a row; false with *refusal filled. */
static bool
take_message_column(FluctMapping *mapping, const FluctTarget *target,
					const FluctColumn *column, const Kafka *kafka,
					StringInfo out, FluctRefusal *refusal)
{
	FluctReason reason = append_message_column(mapping, column, kafka, out);

	if (reason == FLUCT_OK)
		return true;
	refuse_column(target, column, 0, reason,
				  column->source == FLUCT_FROM_MESSAGE ?
				  fluct_json_field(mapping->json, column->field) : NULL,
				  refusal);
	return false;
}

/* ----- rows ----- */

static void
begin_row(const FluctTarget *target, FluctRows *rows)
{
	char		count[2];

	fluct_put16(count, target->ncolumns);
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

		if (column->source == FLUCT_EXTRA)
		{
			FluctReason reason = append_extra(column, mapping->json,
											  FLUCT_JSON_ROOT, 0, &rows->data);

			if (reason == FLUCT_OK)
				continue;
			refuse_column(target, column, 0, reason, NULL, refusal);
			return false;
		}
		if (!take_message_column(mapping, target, column, kafka,
								 &rows->data, refusal))
			return false;
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

		starts[i] = shared->len;
		if (column->source != FLUCT_FROM_ROW &&
			column->source != FLUCT_ROW_NUMBER &&
			column->source != FLUCT_EXTRA &&
			!take_message_column(mapping, target, column, kafka, shared,
								 refusal))
			return false;
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
			reason = append_extra(column, mapping->json, target->rowset, row,
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

/* Refuses a message whose rows are not an array. */
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

/* Refuses a row that is not an object, if a path names a member. */
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
		mapping->targets[t].expected = rows[t].data.len;
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
			(void) fluct_encode(column, column->fallback,
								palloc(FLUCT_ENCODE_ROOM(column->fallback)),
								&reason);
			if (reason != FLUCT_OK)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("mapping: column \"%s\" of %s cannot hold its \"default\" %s",
								column->name, mapping->targets[t].name,
								column->fallback->text),
						 errdetail("%s", fluct_reason_name(reason))));
		}
}
