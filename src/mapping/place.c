/*-------------------------------------------------------------------------
 *
 * place.c
 *	  Where in a message a value is, and what is refused there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/refusal.h"
#include "mapping/encode.h"
#include "mapping/envelope.h"
#include "mapping/format.h"
#include "mapping/place.h"

/*
 * The path of rows with their numbers, the innermost first; it ends with the
 * last of them, or with the rows in that one.
 */
static void
put_rows_path(const char *rows_path, const int *numbers, int n, bool rows,
			  char *path)
{
	int			len = 0;

	for (const char *p = rows_path; *p != '\0' && (n > 0 || rows) && len < FLUCT_PATH_LEN - 16;)
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

static void
put_place(const FluctJson *json, const FluctTarget *target, int rowset, int row,
		  bool rows, char *path)
{
	int			numbers[FLUCT_JSON_MAX_DEPTH];
	int			n = 0;

	while (rowset != FLUCT_JSON_ROOT && n < FLUCT_JSON_MAX_DEPTH)
	{
		numbers[n++] = fluct_json_row_index(json, rowset, row);
		row = fluct_json_row_above(json, rowset, row);
		rowset = fluct_json_above(json, rowset);
	}
	put_rows_path(target->rows_path, numbers, n, rows, path);
}

void
fluct_place_of_row(const FluctJson *json, const FluctTarget *target, int rowset,
				   int row, char *path)
{
	put_place(json, target, rowset, row, false, path);
}

void
fluct_place_of_rows(const FluctJson *json, const FluctTarget *target, int rowset,
					int row, char *path)
{
	put_place(json, target, rowset, row, true, path);
}

/* Whether the column's path is one into rows, of which rows_path is known. */
static bool
is_in_rows(const FluctTarget *target, const FluctColumn *column)
{
	return column->source == FLUCT_FROM_ROW ||
		(column->source == FLUCT_EXTRA && target->rows_path);
}

/* What the column's path adds to that of its row: `@.a`, `^^.a`, extra. */
static const char *
path_in_row(const FluctColumn *column)
{
	return column->source == FLUCT_EXTRA ? "" :
		column->path + (column->path[0] == '@' ? 1 : strspn(column->path, "^"));
}

static void
put_path_of_message(const FluctColumn *column, char *path)
{
	strlcpy(path, column->source == FLUCT_EXTRA ? "$" : column->path, FLUCT_PATH_LEN);
}

void
fluct_place_of_column(const FluctMapping *mapping, const FluctTarget *target,
					  const FluctColumn *column, int record, int row, char *path)
{
	int			base = mapping->targets[0].depth;
	int			above = strspn(column->path, "^");
	int			numbers[2] = {row, record};
	char		rows[FLUCT_PATH_LEN];

	if (!is_in_rows(target, column))
	{
		put_path_of_message(column, path);
		return;
	}
	if (row < 0 || base > 1 || target->depth - base > 1)
		strlcpy(rows, target->rows_path, sizeof(rows));
	else
		put_rows_path(target->rows_path, numbers + (target->depth == base) + above,
					  target->depth - above, false, rows);
	snprintf(path, FLUCT_PATH_LEN, "%s%s", rows, path_in_row(column));
}

/* What the message has for the column; NULL if it is not the message's. */
static const FluctJsonValue *
value_of(const FluctMapping *mapping, const FluctColumn *column, int own)
{
	if (column->source == FLUCT_FROM_ENVELOPE)
		return fluct_envelope_value(mapping, column);
	if (column->source != FLUCT_FROM_ROW && column->source != FLUCT_FROM_MESSAGE)
		return NULL;
	return fluct_json_cell(mapping->json, column->rowset, own, column->field);
}

void
fluct_place_refuse(const FluctMapping *mapping, const FluctTarget *target,
				   const FluctColumn *column, int rowset, int row,
				   FluctReason reason, FluctRefusal *refusal)
{
	int			own = fluct_json_row_within(mapping->json, rowset, row, column->rowset);
	const FluctJsonValue *value = value_of(mapping, column, own);
	const char *expected = fluct_format_expectation(column, reason);
	char		rows[FLUCT_PATH_LEN];
	char		path[FLUCT_PATH_LEN];

	put_path_of_message(column, path);
	if (is_in_rows(target, column))
	{
		fluct_place_of_row(mapping->json, target, column->rowset, own, rows);
		snprintf(path, sizeof(path), "%s%s", rows, path_in_row(column));
	}
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
