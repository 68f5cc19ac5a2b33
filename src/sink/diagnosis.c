/*-------------------------------------------------------------------------
 *
 * diagnosis.c
 *	  Which column of a message's rows an error is about.
 *
 * PostgreSQL says that a value is too long for varchar(3), and not of which
 * column.  So the values of the refused message are read once more, one by
 * one, as the statement read them, with the checks of their domains: the first
 * that fails is the one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/refusal.h"
#include "mapping/column.h"
#include "mapping/place.h"
#include "pg/attempt.h"
#include "pg/sqlstate.h"
#include "sink/blame.h"
#include "sink/diagnosis.h"

/* The value at hand. */
typedef struct Place
{
	const FluctTarget *target;
	const FluctColumn *column;
	int			record;			/* of the message */
	int			row;			/* of the record, or -1 */
} Place;

/* A message whose values are read again. */
typedef struct Reading
{
	const FluctMapping *mapping;
	const FluctRows *rows;
	int			message;
	Place	   *place;
} Reading;

/* Reads a field; returns what follows it. */
static const char *
read_field(const FluctColumn *column, const char *at)
{
	int32		len;
	Datum		value = (Datum) 0;

	memcpy(&len, at, 4);
	len = (int32) pg_ntoh32(len);
	at += 4;
	if (len >= 0)
		value = fluct_column_receive(column, at, len);
	if (column->type != column->base)
		domain_check(value, len < 0, column->type, NULL, NULL);
	return len < 0 ? at : at + len;
}

/* The target's rows of a record. */
static void
read_rows(const FluctRowData *data, int record, Place *place)
{
	const char *at = data->data.data + data->starts[record];
	int			nrows = data->row_starts[record + 1] - data->row_starts[record];

	for (place->row = 0; place->row < nrows; place->row++)
	{
		at += 2;				/* the number of columns */
		for (int c = 0; c < place->target->ncolumns; c++)
		{
			place->column = &place->target->columns[c];
			at = read_field(place->column, at);
		}
	}
}

static void
read_all(void *arg)
{
	const Reading *reading = arg;
	const FluctMapping *mapping = reading->mapping;
	const FluctRows *rows = reading->rows;
	Place	   *place = reading->place;
	int			first = rows->records->starts[reading->message];
	int			n = rows->records->starts[reading->message + 1] - first;

	for (place->record = 0; place->record < n; place->record++)
		for (int t = 0; t < mapping->ntargets; t++)
		{
			place->target = &mapping->targets[t];
			read_rows(&rows[t].stored, first + place->record, place);
		}
}

/* The column that the error itself names, as of a NOT NULL. */
static const FluctColumn *
find_named(const FluctTarget *target, const ErrorData *error)
{
	if (error->column_name == NULL || error->table_name == NULL ||
		get_relname_relid(error->table_name,
						  get_namespace_oid(error->schema_name, true)) != target->relid)
		return NULL;
	for (int c = 0; c < target->ncolumns; c++)
		if (strcmp(target->columns[c].name, error->column_name) == 0)
			return &target->columns[c];
	return NULL;
}

/* Whether a value alone may be what the error is about. */
static bool
is_of_value(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_DATA_EXCEPTION ||
		fluct_sqlstate_is_raised(error->sqlerrcode) ||
		error->datatype_name != NULL;
}

/* Reads the values of the message; NULL, or the error at the place. */
static ErrorData *
read_alone(const FluctMapping *mapping, const FluctRows *rows, int message,
		   Place *place)
{
	Reading		reading = {mapping, rows, message, place};

	return fluct_attempt(read_all, &reading);
}

void
fluct_diagnosis_find(const FluctMapping *mapping, const FluctRows *rows,
					 int message, const ErrorData *error, char *path)
{
	Place		place = {NULL, NULL, 0, -1};

	path[0] = '\0';
	for (int t = 0; t < mapping->ntargets && place.column == NULL; t++)
	{
		place.target = &mapping->targets[t];
		place.column = find_named(place.target, error);
	}
	if (place.column == NULL &&
		!(is_of_value(error) && read_alone(mapping, rows, message, &place)))
		return;
	fluct_place_of_column(mapping, place.target, place.column, place.record,
						  place.row, path);
}

void
fluct_diagnosis_refuse(FluctRefusal *refusal, FluctReason reason,
					   const char *path, const ErrorData *error)
{
	fluct_refuse(refusal, reason, path[0] ? path : NULL, "%s%s%s",
				 error->message, error->detail ? ": " : "",
				 error->detail ? error->detail : "");
	strlcpy(refusal->sqlstate, unpack_sql_state(error->sqlerrcode),
			sizeof(refusal->sqlstate));
}

bool
fluct_diagnosis_check(const FluctMapping *mapping, const FluctRows *rows,
					  int message, FluctRefusal *refusal)
{
	Place		place = {NULL, NULL, 0, -1};
	ErrorContextCallback callback;
	char		path[FLUCT_PATH_LEN];
	FluctReason reason;
	ErrorData  *error;

	fluct_blame_begin(&callback);
	error = read_alone(mapping, rows, message, &place);
	fluct_blame_end(&callback);
	if (error == NULL)
		return true;
	if (!fluct_blame_data(error, &reason))
		ReThrowError(error);
	fluct_place_of_column(mapping, place.target, place.column, place.record,
						  place.row, path);
	fluct_diagnosis_refuse(refusal, reason, path, error);
	return false;
}
