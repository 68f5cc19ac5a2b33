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
#include "mapping/body.h"
#include "mapping/decode.h"
#include "mapping/delete.h"
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
		begin_data(&rows[t].deleted, nmessages, 0);
	}
	return rows;
}

size_t
fluct_decode_bytes(const FluctMapping *mapping, const FluctRows *rows, int i)
{
	size_t		bytes = 0;

	for (int t = 0; t < mapping->ntargets; t++)
		bytes += rows[t].stored.starts[i] + rows[t].keys.starts[i] +
			rows[t].deleted.starts[i];
	return bytes;
}

/* Takes back what was added since message number i began. */
static void
take_back_data(FluctRowData *data, int i)
{
	data->data.len = data->starts[i];
	data->nrows = data->row_starts[i];
}

static void
take_back(const FluctMapping *mapping, FluctRows *rows, int i)
{
	for (int t = 0; t < mapping->ntargets; t++)
	{
		take_back_data(&rows[t].stored, i);
		take_back_data(&rows[t].keys, i);
		take_back_data(&rows[t].deleted, i);
	}
}

static void
end_data(FluctRowData *data, int i)
{
	data->starts[i + 1] = data->data.len;
	data->row_starts[i + 1] = data->nrows;
}

static void
end_message(const FluctMapping *mapping, FluctRows *rows, int i)
{
	for (int t = 0; t < mapping->ntargets; t++)
	{
		end_data(&rows[t].stored, i);
		end_data(&rows[t].keys, i);
		end_data(&rows[t].deleted, i);
	}
}

/* ----- refusals ----- */

/*
 * The path of a rowset with the numbers of the rows down to that one; it ends
 * where there is none.
 */
static void
put_rows_path(const FluctJson *json, const char *rows_path, int rowset, int row,
			  char *path)
{
	int			numbers[FLUCT_JSON_MAX_DEPTH];
	int			n = 0;
	int			len = 0;

	while (rowset != FLUCT_JSON_ROOT && n < FLUCT_JSON_MAX_DEPTH)
	{
		numbers[n++] = fluct_json_row_index(json, rowset, row);
		row = fluct_json_row_above(json, rowset, row);
		rowset = fluct_json_above(json, rowset);
	}
	for (const char *p = rows_path; *p != '\0' && len < FLUCT_PATH_LEN - 16;)
	{
		bool		elements = strncmp(p, "[*]", 3) == 0;

		if (!elements && strncmp(p, ".*", 2) != 0)
		{
			path[len++] = *p++;
			continue;
		}
		if (n == 0)
			break;
		len += sprintf(path + len, "[%d]", numbers[--n]);
		p += elements ? 3 : 2;
	}
	path[len] = '\0';
}

void
fluct_decode_path(const FluctJson *json, const FluctTarget *target,
				  const FluctColumn *column, int row, char *path)
{
	bool		extra = column->source == FLUCT_EXTRA;
	char		rows[FLUCT_PATH_LEN];

	if (column->source == FLUCT_FROM_ROW || (extra && target->rows_path))
	{
		if (json)
			put_rows_path(json, target->rows_path, target->rowset, row, rows);
		else if (target->nested || strcmp(target->rows_path + strlen(target->rows_path) - 3, "[*]") != 0)
			strlcpy(rows, target->rows_path, sizeof(rows));
		else
			snprintf(rows, sizeof(rows), "%.*s[%d]",
					 (int) strlen(target->rows_path) - 3, target->rows_path, row);
		snprintf(path, FLUCT_PATH_LEN, "%s%s", rows, extra ? "" : column->path + 1);
	}
	else
		strlcpy(path, extra ? "$" : column->path, FLUCT_PATH_LEN);
}

static void
refuse_column(const FluctMapping *mapping, const FluctTarget *target, const FluctColumn *column, int row,
			  FluctReason reason, const FluctJsonValue *value,
			  FluctRefusal *refusal)
{
	char		path[FLUCT_PATH_LEN];
	const char *expected = fluct_format_expectation(column, reason);

	fluct_decode_path(mapping->json, target, column, row, path);
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
	refuse_column(mapping, target, column, 0, reason,
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
				refuse_column(mapping, target, column, 0, reason, NULL, refusal);
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
			refuse_column(mapping, target, column, row, reason,
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

/* Refuses a message whose rows are not an array, or what else they may be. */
static bool
check_rowset(const FluctMapping *mapping, const FluctTarget *target, int rowset,
			 FluctRefusal *refusal)
{
	const FluctJson *json = mapping->json;
	int			above = fluct_json_above(json, rowset);
	int			n = above == FLUCT_JSON_ROOT ? 1 : fluct_json_row_count(json, above);
	char		path[FLUCT_PATH_LEN];

	if (above != FLUCT_JSON_ROOT && !check_rowset(mapping, target, above, refusal))
		return false;
	for (int row = 0; row < n; row++)
	{
		FluctJsonType type = fluct_json_rows_type(json, rowset, row);
		bool		nothing = type == FLUCT_JSON_ABSENT || type == FLUCT_JSON_NULL;

		if (fluct_json_takes(json, rowset, type) || (nothing && target->optional))
			continue;
		put_rows_path(json, target->rows_path, above, row, path);
		fluct_refuse(refusal,
					 type == FLUCT_JSON_ABSENT ? FLUCT_MISSING_FIELD :
					 type == FLUCT_JSON_NULL ? FLUCT_NULL_FIELD : FLUCT_WRONG_TYPE,
					 path, "for the rows of %s", target->name);
		return false;
	}
	return true;
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
	{
		const FluctColumn *column = &target->columns[i];

		if (column->source != FLUCT_FROM_ROW || column->path[1] == '\0' ||
			(type == FLUCT_JSON_ARRAY && column->path[1] == '[' &&
			 isdigit((unsigned char) column->path[2])))
			continue;
		put_rows_path(mapping->json, target->rows_path, target->rowset, row, path);
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
	int			above = -1;
	bool		good;

	if (!check_rowset(mapping, target, target->rowset, refusal))
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
	{
		int			last = above;

		above = fluct_json_row_above(mapping->json, target->rowset, row);
		mapping->number = above == last ? mapping->number + 1 : 1;
		good = check_row(mapping, target, row, refusal) &&
			decode_child_row(mapping, target, &rows->stored, row, &shared,
							 starts, kafka, refusal);
	}
	pfree(shared.data);
	return good;
}

/* ----- a message ----- */

/* The rows of each target. */
static bool
decode_rows(FluctMapping *mapping, FluctRows *rows, const FluctKafka *kafka,
			FluctRefusal *refusal)
{
	if (!decode_parent(mapping, &rows[0].stored, kafka, refusal))
		return false;
	for (int t = 1; t < mapping->ntargets; t++)
		if (!decode_child(mapping, &mapping->targets[t], &rows[t], kafka,
						  refusal))
			return false;
	for (int t = 0; t < mapping->ntargets; t++)
		mapping->targets[t].expected = rows[t].stored.data.len;
	return true;
}

/* The key of the rows of each target that the message deletes. */
static bool
decode_delete(FluctMapping *mapping, FluctRows *rows, const FluctKafka *kafka,
			  FluctRefusal *refusal)
{
	for (int t = 0; t < mapping->ntargets; t++)
	{
		int			nkeys = fluct_delete_key(mapping, t);
		StringInfo	out = &rows[t].deleted.data;
		int			start = out->len;

		if (nkeys == 0)
			continue;
		begin_row(nkeys, &rows[t].deleted);
		for (int k = 0; k < nkeys; k++)
			if (!take_message_column(mapping, &mapping->targets[t],
									 &mapping->deletes->keys[t][k], kafka, out,
									 refusal))
				return false;
		if (!count_made(mapping, out, start, refusal))
			return false;
	}
	return true;
}

bool
fluct_decode_message(FluctMapping *mapping, FluctRows *rows, int i,
					 const FluctMessage *message, FluctRefusal *refusal)
{
	FluctKafka	kafka = {message, message->topic};
	bool		deletes;
	bool		good = fluct_body_read(mapping, &kafka, &deletes, refusal);

	mapping->made = 0;
	take_back(mapping, rows, i);
	if (good)
		good = deletes ? decode_delete(mapping, rows, &kafka, refusal) :
			decode_rows(mapping, rows, &kafka, refusal);
	if (good)
		mapping->outcome = FLUCT_STORED;
	else if (refusal->reason != FLUCT_OK)
		mapping->outcome = FLUCT_DEAD;
	if (!good)
		take_back(mapping, rows, i);
	end_message(mapping, rows, i);
	return good;
}

bool
fluct_decode_deletes(const FluctRows *rows, int i)
{
	return rows[0].deleted.row_starts[i + 1] > rows[0].deleted.row_starts[i];
}

void
fluct_decode_nothing(const FluctMapping *mapping, FluctRows *rows, int i)
{
	take_back(mapping, rows, i);
	end_message(mapping, rows, i);
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
