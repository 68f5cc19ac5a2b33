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
#include "mapping/elements.h"
#include "mapping/encode.h"
#include "mapping/field.h"
#include "mapping/place.h"

static void
begin_data(FluctRowData *data, int room, int expected)
{
	initStringInfo(&data->data);
	enlargeStringInfo(&data->data, expected);
	data->nrows = 0;
	data->starts = palloc0(sizeof(int) * (room + 1));
	data->row_starts = palloc0(sizeof(int) * (room + 1));
}

FluctRows *
fluct_decode_begin(const FluctMapping *mapping, int nmessages)
{
	FluctRows  *rows = palloc0(sizeof(FluctRows) * mapping->ntargets);
	FluctRecords *records = palloc0(sizeof(FluctRecords));

	records->room = nmessages;
	records->starts = palloc0(sizeof(int) * (nmessages + 1));
	records->outcomes = palloc0(sizeof(FluctOutcome) * (nmessages + 1));
	initStringInfo(&records->present);
	for (int t = 0; t < mapping->ntargets; t++)
	{
		rows[t].records = records;
		begin_data(&rows[t].stored, nmessages, mapping->targets[t].expected);
		begin_data(&rows[t].keys, nmessages, 0);
		begin_data(&rows[t].deleted, nmessages, 0);
	}
	return rows;
}

size_t
fluct_decode_bytes(const FluctMapping *mapping, const FluctRows *rows, int i)
{
	int			record = rows->records->starts[i];
	size_t		bytes = 0;

	for (int t = 0; t < mapping->ntargets; t++)
		bytes += rows[t].stored.starts[record] + rows[t].keys.starts[record] +
			rows[t].deleted.starts[record];
	return bytes;
}

static void
grow_data(FluctRowData *data, int room)
{
	data->starts = repalloc(data->starts, sizeof(int) * (room + 1));
	data->row_starts = repalloc(data->row_starts, sizeof(int) * (room + 1));
}

static void
end_data(FluctRowData *data, int record)
{
	data->starts[record + 1] = data->data.len;
	data->row_starts[record + 1] = data->nrows;
}

/* One that deletes has no columns. */
static void
end_present(const FluctTarget *parent, FluctRecords *records)
{
	size_t		bytes = (size_t) parent->ncolumns * (records->count + 1);

	while (parent->keep && records->present.len < bytes)
		appendStringInfoChar(&records->present, 0);
}

/* What was added since the last one is a record. */
static void
end_record(const FluctMapping *mapping, FluctRows *rows)
{
	FluctRecords *records = rows->records;

	if (records->count == records->room)
	{
		records->room = 2 * records->room + 16;
		records->outcomes = repalloc(records->outcomes,
									 sizeof(FluctOutcome) * (records->room + 1));
		for (int t = 0; t < mapping->ntargets; t++)
		{
			grow_data(&rows[t].stored, records->room);
			grow_data(&rows[t].keys, records->room);
			grow_data(&rows[t].deleted, records->room);
		}
	}
	for (int t = 0; t < mapping->ntargets; t++)
	{
		end_data(&rows[t].stored, records->count);
		end_data(&rows[t].keys, records->count);
		end_data(&rows[t].deleted, records->count);
	}
	end_present(&mapping->targets[0], records);
	records->count++;
}

/* Takes back what was added since the record began. */
static void
take_back(FluctRowData *data, int record)
{
	data->data.len = data->starts[record];
	data->nrows = data->row_starts[record];
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

/* Adds the column's value in a row of the rowset, or in one above it. */
static bool
take_column(FluctMapping *mapping, const FluctTarget *target,
			const FluctColumn *column, int rowset, int row,
			const FluctKafka *kafka, StringInfo out, FluctRefusal *refusal)
{
	FluctReason reason;

	mapping->absent = false;
	reason = fluct_field_is_of_row(column) ?
		fluct_field_of_row(mapping, column, rowset, row, kafka, out) :
		fluct_field_of_message(mapping, column, kafka, out);
	if (reason == FLUCT_OK)
		return true;
	fluct_place_refuse(mapping, target, column, rowset, row, reason, refusal);
	return false;
}

/* The key by which the existing rows of a record are found. */
static bool
decode_parent_key(FluctMapping *mapping, const FluctTarget *target,
				  FluctRowData *keys, int record, const FluctKafka *kafka,
				  FluctRefusal *refusal)
{
	int			start = keys->data.len;

	begin_row(target->nparent_keys, keys);
	for (int k = 0; k < target->nparent_keys; k++)
		if (!take_column(mapping, target, &target->columns[target->parent_keys[k]],
						 mapping->targets[0].rowset, record, kafka, &keys->data,
						 refusal))
			return false;
	return count_made(mapping, &keys->data, start, refusal);
}

/* The columns of a child that are the same in each row of a message. */
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
			!take_column(mapping, target, column, FLUCT_JSON_ROOT, 0, kafka,
						 shared, refusal))
			return false;
		if (!has_room(mapping, shared->len, refusal))
			return false;
	}
	starts[target->ncolumns] = shared->len;
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

		if (column->source != FLUCT_FROM_ROW || column->rowset != target->rowset ||
			column->path[1] == '\0' ||
			(type == FLUCT_JSON_ARRAY && column->path[1] == '[' &&
			 isdigit((unsigned char) column->path[2])))
			continue;
		fluct_place_of_row(mapping->json, target, target->rowset, row, path);
		fluct_refuse(refusal, FLUCT_WRONG_TYPE, path,
					 "an element is not an object");
		return false;
	}
	return true;
}

/* With what the rows of a child share, unless `shared` is NULL. */
static bool
decode_row(FluctMapping *mapping, const FluctTarget *target,
		   FluctRows *rows, int row, const StringInfoData *shared,
		   const int *starts, const FluctKafka *kafka, FluctRefusal *refusal)
{
	StringInfo	out = &rows->stored.data;

	if (!check_row(mapping, target, row, refusal))
		return false;
	begin_row(target->ncolumns, &rows->stored);
	for (int i = 0; i < target->ncolumns; i++)
	{
		const FluctColumn *column = &target->columns[i];
		int			start = out->len;

		if (shared && !fluct_field_is_of_row(column))
		{
			/* counted already */
			appendBinaryStringInfo(out, shared->data + starts[i],
								   starts[i + 1] - starts[i]);
			continue;
		}
		if (!take_column(mapping, target, column, target->rowset, row, kafka,
						 out, refusal) ||
			!count_made(mapping, out, start, refusal))
			return false;
		if (target->keep)
			appendStringInfoCharMacro(&rows->records->present, !mapping->absent);
	}
	return true;
}

/*
 * Refuses a message in which what holds the target's rows, in a row of `base`,
 * is not an array, or what else it may be.
 */
static bool
check_rowset(const FluctMapping *mapping, const FluctTarget *target, int rowset,
			 int base, int base_row, FluctRefusal *refusal)
{
	const FluctJson *json = mapping->json;
	int			above = fluct_json_above(json, rowset);
	int			end;
	char		path[FLUCT_PATH_LEN];

	if (above != base && !check_rowset(mapping, target, above, base, base_row, refusal))
		return false;
	end = fluct_json_first_within(json, above, base, base_row + 1);
	for (int row = fluct_json_first_within(json, above, base, base_row); row < end; row++)
	{
		FluctJsonType type = fluct_json_rows_type(json, rowset, row);
		bool		nothing = type == FLUCT_JSON_ABSENT || type == FLUCT_JSON_NULL;
		const char *wanted;

		if (fluct_json_takes(json, rowset, type) || (nothing && target->optional))
			continue;
		fluct_place_of_rows(json, target, above, row, path);
		wanted = fluct_json_takes(json, rowset, FLUCT_JSON_ARRAY) ? "an array" : "an object";
		if (nothing)
			fluct_refuse(refusal, type == FLUCT_JSON_ABSENT ? FLUCT_MISSING_FIELD : FLUCT_NULL_FIELD,
						 path, "expected %s for the rows of %s; with \"required\": false there are none",
						 wanted, target->name);
		else
			fluct_refuse(refusal, FLUCT_WRONG_TYPE, path,
						 "found %s, expected %s for the rows of %s%s",
						 fluct_json_type_name(type), wanted, target->name,
						 type == FLUCT_JSON_OBJECT ? "; with \"single\": true it is one of them" : "");
		return false;
	}
	return true;
}

/* Whether the child's rows stay, because the record has no word of them. */
static bool
is_kept(const FluctMapping *mapping, const FluctTarget *target, int record)
{
	int			base = mapping->targets[0].rowset;
	int			rowset = target->rowset;

	if (!mapping->targets[0].keep || rowset == base)
		return false;
	while (fluct_json_above(mapping->json, rowset) != base)
		rowset = fluct_json_above(mapping->json, rowset);
	return fluct_json_rows_type(mapping->json, rowset, record) == FLUCT_JSON_ABSENT;
}

/* The rows of a child that lie in the record. */
static bool
decode_child(FluctMapping *mapping, const FluctTarget *target, FluctRows *rows,
			 int record, const FluctKafka *kafka, FluctRefusal *refusal)
{
	int			base = mapping->targets[0].rowset;
	int			from = fluct_json_first_within(mapping->json, target->rowset, base, record);
	int			to = fluct_json_first_within(mapping->json, target->rowset, base, record + 1);
	StringInfoData shared;
	int			starts[MaxTupleAttributeNumber + 1];
	size_t		before;
	size_t		each;			/* bytes of a row of what all share */
	bool		good;

	if (target->rowset != base &&
		!check_rowset(mapping, target, target->rowset, base, record, refusal))
		return false;
	if (target->parent_keys && !is_kept(mapping, target, record) &&
		!decode_parent_key(mapping, target, &rows->keys, record, kafka, refusal))
		return false;
	if (from == to)
		return true;
	initStringInfo(&shared);
	before = mapping->made;
	good = encode_shared(mapping, target, kafka, &shared, starts, refusal);
	each = 2 + shared.len + (mapping->made - before);
	mapping->made = before;
	good = good && has_room(mapping, (to - from) * each, refusal);
	mapping->made += (to - from) * each;
	for (int row = from; good && row < to; row++)
		good = decode_row(mapping, target, rows, row, &shared, starts,
						  kafka, refusal);
	pfree(shared.data);
	return good;
}

/* The record's row, and its rows in children. */
static bool
decode_rows(FluctMapping *mapping, FluctRows *rows, int record,
			const FluctKafka *kafka, FluctRefusal *refusal)
{
	if (!decode_row(mapping, &mapping->targets[0], rows, record, NULL, NULL, kafka,
					refusal))
		return false;
	for (int t = 1; t < mapping->ntargets; t++)
		if (!decode_child(mapping, &mapping->targets[t], &rows[t], record, kafka,
						  refusal))
			return false;
	return true;
}

/* The key of the rows of each target that the record deletes. */
static bool
decode_delete(FluctMapping *mapping, FluctRows *rows, int rowset, int record,
			  const FluctKafka *kafka, FluctRefusal *refusal)
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
			if (!take_column(mapping, &mapping->targets[t],
							 &mapping->deletes->keys[t][k], rowset, record,
							 kafka, out, refusal))
				return false;
		if (!count_made(mapping, out, start, refusal))
			return false;
	}
	return true;
}

/* A message without a value is one record. */
static bool
decode_tombstone(FluctMapping *mapping, FluctRows *rows, const FluctKafka *kafka,
				 FluctRefusal *refusal)
{
	if (!decode_delete(mapping, rows, FLUCT_JSON_ROOT, 0, kafka, refusal))
		return false;
	end_record(mapping, rows);
	return true;
}

static bool
decode_records(FluctMapping *mapping, FluctRows *rows, bool deletes,
			   const FluctKafka *kafka, FluctRefusal *refusal)
{
	const FluctTarget *parent = &mapping->targets[0];
	int			rowset = parent->rowset;

	if (kafka->message->value == NULL)
		return decode_tombstone(mapping, rows, kafka, refusal);
	if (parent->rows_path &&
		!check_rowset(mapping, parent, rowset, FLUCT_JSON_ROOT, 0, refusal))
		return false;
	for (int r = 0; r < fluct_json_row_count(mapping->json, rowset); r++)
	{
		if (deletes ? !decode_delete(mapping, rows, rowset, r, kafka, refusal) :
			!decode_rows(mapping, rows, r, kafka, refusal))
			return false;
		end_record(mapping, rows);
	}
	return true;
}

/* ----- a message ----- */

bool
fluct_decode_message(FluctMapping *mapping, FluctRows *rows, int i,
					 const FluctMessage *message, FluctRefusal *refusal)
{
	FluctKafka	kafka = {message, message->topic};
	bool		deletes;

	mapping->made = 0;
	fluct_decode_nothing(mapping, rows, i);
	if (!fluct_body_read(mapping, &kafka, &deletes, refusal) ||
		!decode_records(mapping, rows, deletes, &kafka, refusal))
	{
		if (refusal->reason != FLUCT_OK)
			mapping->outcome = FLUCT_DEAD;
		fluct_decode_nothing(mapping, rows, i);
		return false;
	}
	mapping->outcome = FLUCT_STORED;
	rows->records->starts[i + 1] = rows->records->count;
	for (int t = 0; t < mapping->ntargets; t++)
		mapping->targets[t].expected = rows[t].stored.data.len;
	return true;
}

bool
fluct_decode_deletes(const FluctRows *rows, int i)
{
	const FluctRecords *records = rows->records;
	const int  *starts = rows->deleted.row_starts;

	return starts[records->starts[i + 1]] > starts[records->starts[i]];
}

void
fluct_decode_nothing(const FluctMapping *mapping, FluctRows *rows, int i)
{
	FluctRecords *records = rows->records;

	records->count = records->starts[i + 1] = records->starts[i];
	if (mapping->targets[0].keep)
		records->present.len = records->count * mapping->targets[0].ncolumns;
	for (int t = 0; t < mapping->ntargets; t++)
	{
		take_back(&rows[t].stored, records->count);
		take_back(&rows[t].keys, records->count);
		take_back(&rows[t].deleted, records->count);
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
			(void) fluct_elements_encode(column, column->fallback,
										 palloc(fluct_elements_room(column, column->fallback)),
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
