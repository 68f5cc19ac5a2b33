/*-------------------------------------------------------------------------
 *
 * query.c
 *	  One way to run a statement and to read its rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "pg/query.h"
#include "pg/unixtime.h"

/* ----- arguments ----- */

void
fluct_query_add(FluctQuery *query, Oid type, Datum value, bool null)
{
	Assert(query->nargs < FLUCT_QUERY_ARGS);
	query->types[query->nargs] = type;
	query->values[query->nargs] = value;
	query->nulls[query->nargs] = null ? 'n' : ' ';
	query->nargs++;
}

void
fluct_query_add_text(FluctQuery *query, const char *value)
{
	fluct_query_add(query, TEXTOID, value ? CStringGetTextDatum(value) : (Datum) 0,
					value == NULL);
}

void
fluct_query_add_int(FluctQuery *query, int value)
{
	fluct_query_add(query, INT4OID, Int32GetDatum(value), false);
}

void
fluct_query_add_int64(FluctQuery *query, int64 value)
{
	fluct_query_add(query, INT8OID, Int64GetDatum(value), false);
}

void
fluct_query_add_bytes(FluctQuery *query, const char *value, size_t len)
{
	fluct_query_add(query, BYTEAOID,
					value ? PointerGetDatum(cstring_to_text_with_len(value, len)) : (Datum) 0,
					value == NULL);
}

/* Kafka's milliseconds since 1970; NULL if it is not a timestamp. */
void
fluct_query_add_time(FluctQuery *query, int64 ms)
{
	TimestampTz time = 0;
	bool		known = fluct_unixtime_to_timestamp(ms, &time);

	fluct_query_add(query, TIMESTAMPTZOID, TimestampTzGetDatum(time), !known);
}

Datum
fluct_query_array(Oid element, const Datum *values, const bool *nulls, int n)
{
	int16		len;
	bool		byval;
	char		align;
	int			lower = 1;

	get_typlenbyvalalign(element, &len, &byval, &align);
	return PointerGetDatum(construct_md_array(unconstify(Datum *, values),
											  unconstify(bool *, nulls), 1, &n,
											  &lower, element, len, byval,
											  align));
}

void
fluct_query_add_array(FluctQuery *query, Oid element, const Datum *values,
					  int n)
{
	fluct_query_add(query, get_array_type(element),
					fluct_query_array(element, values, NULL, n), false);
}

SPIPlanPtr
fluct_query_prepare(const char *sql, int nargs, const Oid *types, int options)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, nargs, unconstify(Oid *, types),
										  options);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare: %s: %s",
			 SPI_result_code_string(SPI_result), sql);
	return plan;
}

uint64
fluct_query_execute(SPIPlanPtr plan, const Datum *values)
{
	int			result = SPI_execute_plan(plan, unconstify(Datum *, values),
										  NULL, false, 0);

	if (result < 0)
		elog(ERROR, "statement failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

uint64
fluct_query_run(FluctQuery *query, const char *sql)
{
	int			result = SPI_execute_with_args(sql, query->nargs, query->types,
											   query->values, query->nulls,
											   false, 0);

	if (result < 0)
		elog(ERROR, "statement failed: %s: %s",
			 SPI_result_code_string(result), sql);
	return SPI_processed;
}

/*
 * The same, planned once in the life of the process: left to itself the plan
 * cache would find each set of values worth a plan of its own.
 */
uint64
fluct_query_run_kept(FluctQuery *query, SPIPlanPtr *plan, const char *sql)
{
	int			result;

	if (*plan == NULL)
		*plan = fluct_query_prepare(sql, query->nargs, query->types,
									CURSOR_OPT_GENERIC_PLAN);
	result = SPI_execute_plan(*plan, query->values, query->nulls, false, 0);
	if (result < 0)
		elog(ERROR, "statement failed: %s: %s",
			 SPI_result_code_string(result), sql);
	return SPI_processed;
}

/* ----- reading a row; results are in the caller's context ----- */

Datum
fluct_query_field(int row, int column, bool *null)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column, null);
}

char *
fluct_query_field_text(MemoryContext context, int row, int column)
{
	char	   *value = SPI_getvalue(SPI_tuptable->vals[row],
									 SPI_tuptable->tupdesc, column);

	return value ? MemoryContextStrdup(context, value) : NULL;
}

int64
fluct_query_field_int(int row, int column)
{
	bool		null;
	Datum		value = fluct_query_field(row, column, &null);

	return null ? -1 :
		SPI_gettypeid(SPI_tuptable->tupdesc, column) == INT8OID ?
		DatumGetInt64(value) : DatumGetInt32(value);
}

bool
fluct_query_field_bool(int row, int column)
{
	bool		null;
	Datum		value = fluct_query_field(row, column, &null);

	return !null && DatumGetBool(value);
}

const char *
fluct_query_field_bytes(MemoryContext context, int row, int column, size_t *len)
{
	bool		null;
	Datum		value = fluct_query_field(row, column, &null);
	MemoryContext old;
	bytea	   *bytes;

	*len = 0;
	if (null)
		return NULL;
	old = MemoryContextSwitchTo(context);
	bytes = DatumGetByteaPCopy(value);
	MemoryContextSwitchTo(old);
	*len = VARSIZE(bytes) - VARHDRSZ;
	return VARDATA(bytes);
}
