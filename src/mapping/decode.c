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
 * A message of 16 MB could make rows without bound: a key that each row
 * repeats, a field that many columns take.  What is repeated is counted before
 * it is copied, and each column adds at most what its value in the message
 * takes, or the table's default, before the sum is looked at.
 *
 * What the children repeat of the message (`$...` in a child) is encoded once a
 * message and copied into each row; that is most of the work of 50 lines.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "utils/builtins.h"

#include "base/refusal.h"
#include "mapping/decode.h"
#include "mapping/encode.h"
#include "mapping/field.h"
#include "mapping/format.h"

static void
begin_data(FluctRowData *data, int nmessages, int expected)
{
	initStringInfo(&data->data);
	enlargeStringInfo(&data->data, expected);
	data->nrows = 0;
	data->starts = palloc0(sizeof(int) * (nmessages + 1));
	data->row_starts = palloc0(sizeof(int) * (nmessages + 1));
}

FluctRows *
fluct_decode_begin(const FluctMapping *mapping, int nmessages)
{
	FluctRows  *rows = palloc0(sizeof(FluctRows) * mapping->ntargets);

	for (int t = 0; t < mapping->ntargets; t++)
	{
		begin_data(&rows[t].stored, nmessages, mapping->targets[t].expected);
		begin_data(&rows[t].keys, nmessages, 0);
	}
	return rows;
}

size_t
fluct_decode_bytes(const FluctMapping *mapping, const FluctRows *rows, int i)
{
	size_t		bytes = 0;

	for (int t = 0; t < mapping->ntargets; t++)
		bytes += rows[t].stored.starts[i] + rows[t].keys.starts[i];
	return bytes;
}

/* Takes back what was added since message number i began. */
static void
take_back(FluctRowData *data, int i)
{
	data->data.len = data->starts[i];
	data->nrows = data->row_starts[i];
}

static void
end_message(FluctRowData *data, int i)
{
	data->starts[i + 1] = data->data.len;
	data->row_starts[i + 1] = data->nrows;
}

/* ----- refusals ----- */

void
fluct_decode_path(const FluctTarget *target, const FluctColumn *column,
				  int row, char *path)
{
	bool		extra = column->source == FLUCT_EXTRA;

	if (column->source == FLUCT_FROM_ROW || (extra && target->rows_path))
		snprintf(path, FLUCT_PATH_LEN, "%.*s[%d]%s",
				 (int) strlen(target->rows_path) - 3, target->rows_path, row,
				 extra ? "" : column->path + 1);
	else
		strlcpy(path, extra ? "$" : column->path, FLUCT_PATH_LEN);
}

static void
refuse_column(const FluctTarget *target, const FluctColumn *column, int row,
			  FluctReason reason, const FluctJsonValue *value,
			  FluctRefusal *refusal)
{
	char		path[FLUCT_PATH_LEN];
	const char *expected = fluct_format_expectation(column, reason);

	fluct_decode_path(target, column, row, path);
	if (reason == FLUCT_TOO_LONG)
		fluct_refuse(refusal, reason, path,
					 "more than %d values for column %s of %s",
					 FLUCT_MAX_JSONB_VALUES, column->name, target->name);
	else if (value == NULL || value->type == FLUCT_JSON_ABSENT ||
			 value->type == FLUCT_JSON_NULL)
		fluct_refuse(refusal, reason, path, "for column %s of %s",
					 column->name, target->name);
	else
		fluct_refuse(refusal, reason, path, "found %s%.*s%s%s%s%s",
					 value->type == FLUCT_JSON_STRING ? "\"" : "",
					 (int) Min(value->len, 100), value->text,
					 value->len > 100 ? "..." : "",
					 value->type == FLUCT_JSON_STRING ? "\"" : "",
					 expected[0] ? ", expected " : "", expected);
}

/* A column that does not come from a row; false with *refusal filled. */
static bool
take_message_column(FluctMapping *mapping, const FluctTarget *target,
					const FluctColumn *column, const FluctKafka *kafka,
					StringInfo out, FluctRefusal *refusal)
{
	FluctReason reason = fluct_field_of_message(mapping, column, kafka, out);

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
begin_row(int ncolumns, FluctRowData *rows)
{
	char		count[2];

	fluct_put16(count, ncolumns);
	appendBinaryStringInfo(&rows->data, count, 2);
	rows->nrows++;
}

/* Whether that many more bytes may be added for the message at hand. */
static bool
has_room(const FluctMapping *mapping, size_t more, FluctRefusal *refusal)
{
	if (mapping->made + more <= FLUCT_MAPPING_ROW_BYTES)
		return true;
	fluct_refuse(refusal, FLUCT_TOO_LARGE, "$",
				 "its rows would take more than %d MB",
				 (int) (FLUCT_MAPPING_ROW_BYTES / (1024 * 1024)));
	return false;
}

/* Counts what has been added since `start`. */
static bool
count_made(FluctMapping *mapping, const StringInfoData *out, int start,
		   FluctRefusal *refusal)
{
	mapping->made += out->len - start;
	return has_room(mapping, 0, refusal);
}

static bool
decode_parent(FluctMapping *mapping, FluctRowData *rows, const FluctKafka *kafka,
			  FluctRefusal *refusal)
{
	const FluctTarget *target = &mapping->targets[0];

	begin_row(target->ncolumns, rows);
	for (int i = 0; i < target->ncolumns; i++)
	{
		const FluctColumn *column = &target->columns[i];
		int			start = rows->data.len;

		if (column->source == FLUCT_EXTRA)
		{
			FluctReason reason = fluct_field_of_row(mapping, target, column, 0,
													kafka, &rows->data);

			if (reason != FLUCT_OK)
			{
				refuse_column(target, column, 0, reason, NULL, refusal);
				return false;
			}
		}
		else if (!take_message_column(mapping, target, column, kafka,
									  &rows->data, refusal))
			return false;
		if (!count_made(mapping, &rows->data, start, refusal))
			return false;
	}
	return true;
}

/* The key by which the existing rows are found. */
static bool
decode_parent_key(FluctMapping *mapping, const FluctTarget *target,
				  FluctRowData *keys, const FluctKafka *kafka,
				  FluctRefusal *refusal)
{
	int			start = keys->data.len;

	begin_row(target->nparent_keys, keys);
	for (int k = 0; k < target->nparent_keys; k++)
		if (!take_message_column(mapping, target,
								 &target->columns[target->parent_keys[k]],
								 kafka, &keys->data, refusal))
			return false;
	return count_made(mapping, &keys->data, start, refusal);
}

/* The columns of a child that are the same in each of its rows. */
static bool
encode_shared(FluctMapping *mapping, const FluctTarget *target,
			  const FluctKafka *kafka, StringInfo shared, int *starts,
			  FluctRefusal *refusal)
{
	resetStringInfo(shared);
	for (int i = 0; i < target->ncolumns; i++)
	{
		const FluctColumn *column = &target->columns[i];

		starts[i] = shared->len;
		if (!fluct_field_is_of_row(column) &&
			!take_message_column(mapping, target, column, kafka, shared,
								 refusal))
			return false;
		if (!has_room(mapping, shared->len, refusal))
			return false;
	}
	starts[target->ncolumns] = shared->len;
	return true;
}

static bool
decode_child_row(FluctMapping *mapping, const FluctTarget *target,
				 FluctRowData *rows, int row, StringInfo shared,
				 const int *starts, const FluctKafka *kafka, FluctRefusal *refusal)
{
	begin_row(target->ncolumns, rows);
	for (int i = 0; i < target->ncolumns; i++)
	{
		const FluctColumn *column = &target->columns[i];
		int			start = rows->data.len;
		FluctReason reason;

		if (!fluct_field_is_of_row(column))
		{
			/* counted already */
			appendBinaryStringInfo(&rows->data, shared->data + starts[i],
								   starts[i + 1] - starts[i]);
			continue;
		}
		reason = fluct_field_of_row(mapping, target, column, row, kafka,
									&rows->data);
		if (reason != FLUCT_OK)
		{
			refuse_column(target, column, row, reason,
						  column->source == FLUCT_FROM_ROW ?
						  fluct_json_cell(mapping->json, target->rowset, row,
										  column->field) : NULL, refusal);
			return false;
		}
		if (!count_made(mapping, &rows->data, start, refusal))
			return false;
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
			 const FluctKafka *kafka, FluctRefusal *refusal)
{
	StringInfoData shared;
	int			starts[MaxTupleAttributeNumber + 1];
	size_t		nrows;
	bool		good;

	if (!check_rowset(mapping, target, refusal))
		return false;
	if (target->parent_keys &&
		!decode_parent_key(mapping, target, &rows->keys, kafka, refusal))
		return false;
	nrows = fluct_json_row_count(mapping->json, target->rowset);
	if (nrows == 0)
		return true;
	initStringInfo(&shared);
	good = encode_shared(mapping, target, kafka, &shared, starts, refusal) &&
		has_room(mapping, nrows * (2 + shared.len), refusal);
	mapping->made += nrows * (2 + shared.len);
	for (int row = 0; good && row < nrows; row++)
		good = check_row(mapping, target, row, refusal) &&
			decode_child_row(mapping, target, &rows->stored, row, &shared,
							 starts, kafka, refusal);
	pfree(shared.data);
	return good;
}

/* ----- a message ----- */

static bool
decode_json(FluctMapping *mapping, const FluctMessage *message,
			FluctRefusal *refusal)
{
	if (message->full_len == FLUCT_LENGTH_UNKNOWN)
	{
		fluct_refuse(refusal, FLUCT_TOO_LARGE, "$",
					 "only the beginning of the message was kept");
		return false;
	}
	if (message->full_len > message->value_len)
	{
		fluct_refuse(refusal, FLUCT_TOO_LARGE, "$",
					 "%zu bytes with its key and headers, more than fluct.max_message_bytes",
					 message->full_len);
		return false;
	}
	if (message->value == NULL)
		return false;
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
					 const FluctMessage *message, FluctRefusal *refusal)
{
	FluctKafka	kafka = {message, message->topic};
	bool		good = decode_json(mapping, message, refusal);

	mapping->made = 0;
	for (int t = 0; t < mapping->ntargets; t++)
	{
		take_back(&rows[t].stored, i);
		take_back(&rows[t].keys, i);
	}
	for (int t = 0; good && t < mapping->ntargets; t++)
		if (t == 0)
			good = decode_parent(mapping, &rows[t].stored, &kafka, refusal);
		else
			good = decode_child(mapping, &mapping->targets[t], &rows[t],
								&kafka, refusal);
	if (!good)
		fluct_decode_nothing(mapping, rows, i);
	for (int t = 0; good && t < mapping->ntargets; t++)
	{
		end_message(&rows[t].stored, i);
		end_message(&rows[t].keys, i);
		mapping->targets[t].expected = rows[t].stored.data.len;
	}
	return good;
}

void
fluct_decode_nothing(const FluctMapping *mapping, FluctRows *rows, int i)
{
	for (int t = 0; t < mapping->ntargets; t++)
	{
		take_back(&rows[t].stored, i);
		take_back(&rows[t].keys, i);
		end_message(&rows[t].stored, i);
		end_message(&rows[t].keys, i);
	}
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
