/*-------------------------------------------------------------------------
 *
 * insert.c
 *	  Encoded rows into a table, by COPY's machinery or by INSERT.
 *
 * COPY's machinery (copy.c) is the fast way, but it knows no conflict rule and
 * no row security, and bypasses what another extension's planner does with a
 * table.  So it is used only where the plan of the equivalent INSERT is a bare
 * ModifyTable on a table without row security; everything else is an
 * INSERT ... SELECT FROM unnest.
 *
 * Where another extension stores the rows elsewhere, its count is that of the
 * rows it sent, its RETURNING comes in any order, and without RETURNING the
 * SQLSTATE of an error there is lost.  So the INSERT stands in a WITH, whose
 * rows are counted here, and what has a key is told apart by its key.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/typcache.h"

#include "pg/query.h"
#include "pg/routed.h"
#include "sink/arrays.h"
#include "sink/insert.h"

/* ----- statements ----- */

static void
append_columns(StringInfo sql, const FluctTarget *target, const char *prefix)
{
	for (int i = 0; i < target->ncolumns; i++)
		appendStringInfo(sql, "%s%s%s", i == 0 ? "" : ", ", prefix,
						 quote_identifier(target->columns[i].name));
}

static void
append_keys(StringInfo sql, const FluctTarget *target)
{
	for (int k = 0; k < target->nkeys; k++)
		appendStringInfo(sql, "%s%s", k == 0 ? "" : ", ",
						 quote_identifier(target->columns[target->keys[k]].name));
}

/*
 * An existing row is always updated, with its own key if there is nothing
 * else: so it is locked, and its children are replaced after the transaction
 * that wrote them has ended.
 */
static void
append_update(StringInfo sql, const FluctTarget *target)
{
	const char *separator = "";

	for (int i = 0; i < target->ncolumns; i++)
	{
		const char *name = quote_identifier(target->columns[i].name);

		if (target->columns[i].key && target->nkeys < target->ncolumns)
			continue;
		if (target->keep && !target->columns[i].key)
			appendStringInfo(sql, "%s%s = CASE WHEN $%d THEN excluded.%s ELSE c.%s END",
							 separator, name, target->ncolumns + i + 1, name, name);
		else
			appendStringInfo(sql, "%s%s = excluded.%s", separator, name, name);
		separator = ", ";
	}
}

/* A row that is older than the existing one changes nothing. */
static void
append_version(StringInfo sql, const FluctTarget *target)
{
	const FluctColumn *column = &target->columns[target->version];
	const char *old = fluct_arrays_operand(column, "c");

	appendStringInfo(sql, " WHERE %s IS NULL OR NOT %s %s %s", old,
					 fluct_arrays_operand(column, "excluded"),
					 fluct_arrays_operator(lookup_type_cache(column->base,
															 TYPECACHE_LT_OPR)->lt_opr),
					 old);
}

/* With a key: RETURNING it, of the rows that went in or were updated. */
static char *
insert_sql(const FluctTarget *target, bool update, bool routed)
{
	StringInfoData sql;

	initStringInfo(&sql);
	if (target->nkeys > 0 || routed)
		appendStringInfoString(&sql, "WITH i AS (");
	appendStringInfo(&sql, "INSERT INTO %s AS c (", target->name);
	append_columns(&sql, target, "");
	appendStringInfoString(&sql, ") SELECT ");
	for (int i = 0; i < target->ncolumns; i++)
		appendStringInfo(&sql, "%s%s", i == 0 ? "" : ", ",
						 fluct_arrays_element(&target->columns[i], psprintf("u.c%d", i)));
	appendStringInfoString(&sql, " FROM ROWS FROM (");
	for (int i = 0; i < target->ncolumns; i++)
		appendStringInfo(&sql, "%spg_catalog.unnest($%d)", i == 0 ? "" : ", ",
						 i + 1);
	appendStringInfoString(&sql, ") AS u(");
	for (int i = 0; i < target->ncolumns; i++)
		appendStringInfo(&sql, "%sc%d", i == 0 ? "" : ", ", i);
	appendStringInfoChar(&sql, ')');
	if (target->nkeys > 0)
	{
		appendStringInfoString(&sql, " ON CONFLICT (");
		append_keys(&sql, target);
		if (update)
		{
			appendStringInfoString(&sql, ") DO UPDATE SET ");
			append_update(&sql, target);
			if (target->version >= 0)
				append_version(&sql, target);
		}
		else
			appendStringInfoString(&sql, ") DO NOTHING");
		appendStringInfoString(&sql, " RETURNING ");
		append_keys(&sql, target);
		appendStringInfoString(&sql, ") SELECT * FROM i");
	}
	else if (routed)
		appendStringInfoString(&sql, " RETURNING 1) SELECT pg_catalog.count(*) FROM i");
	return sql.data;
}

static SPIPlanPtr
prepare_insert(const FluctTarget *target, bool update, bool routed)
{
	int			n = target->ncolumns;
	Oid		   *types = palloc(sizeof(Oid) * 2 * n);

	for (int i = 0; i < n; i++)
	{
		types[i] = fluct_arrays_type(&target->columns[i]);
		types[n + i] = BOOLOID; /* whether it has a value */
	}
	return fluct_query_prepare(insert_sql(target, update, routed),
							   target->keep ? 2 * n : n, types, 0);
}

/* Whether nothing but the table itself decides where a row goes. */
bool
fluct_store_is_bare(SPIPlanPtr plan, Oid relid)
{
	return fluct_routed_root(plan) == T_ModifyTable &&
		check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED;
}

void
fluct_store_prepare(FluctTarget *target, bool update,
					FluctStatements *statements)
{
	fluct_routed_refuse_orders(target->relid);
	statements->insert = prepare_insert(target, update, false);
	target->by_copy = target->by_copy &&
		fluct_store_is_bare(statements->insert, target->relid);
	if (target->by_copy)
	{
		SPI_freeplan(statements->insert);
		statements->insert = NULL;
	}
	else if (target->nkeys == 0 && fluct_routed_is(statements->insert))
	{
		SPI_freeplan(statements->insert);
		statements->insert = prepare_insert(target, update, true);
	}
}

void
fluct_store_end(FluctStatements *statements)
{
	SPIPlanPtr	plans[] = {statements->insert, statements->clear,
	statements->lock, statements->remove, statements->stored};

	for (int i = 0; i < lengthof(plans); i++)
		if (plans[i])
			SPI_freeplan(plans[i]);
}

/* ----- running them ----- */

uint64
fluct_store_execute(SPIPlanPtr plan, FluctArrays *arrays)
{
	Datum	   *args = palloc(sizeof(Datum) * arrays->ncolumns);

	for (int c = 0; c < arrays->ncolumns; c++)
		args[c] = fluct_arrays_column(arrays, c);
	return fluct_query_execute(plan, args);
}

uint64
fluct_store_insert(const FluctTarget *target, SPIPlanPtr plan,
				   const FluctRows *rows, int from, int to)
{
	FluctArrays *arrays = fluct_arrays_read(target, rows, from, to);

	if (arrays->nrows == 0)
		return 0;
	return fluct_store_execute(plan, arrays);
}

/* ----- conflicts ----- */

static void
throw_changed_key(const FluctTarget *target)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("a trigger on %s changes its key", target->name)));
}

FluctArrays *
fluct_store_returned(const FluctTarget *target, SPITupleTable *returned,
					 uint64 processed)
{
	FluctArrays *arrays = fluct_arrays_make(target, NULL, 0, (int) processed);

	for (uint64 i = 0; i < processed; i++)
		for (int k = 0; k < target->nkeys; k++)
		{
			int			c = target->keys[k];

			arrays->values[c][i] = SPI_getbinval(returned->vals[i],
												 returned->tupdesc, k + 1,
												 &arrays->nulls[c][i]);
			if (arrays->nulls[c][i])
				throw_changed_key(target);
		}
	arrays->nrows = (int) processed;
	return arrays;
}

/*
 * Which of several rows went in: of those with one key the first ones, as many
 * as RETURNING gave, in whatever order it did.
 */
static void
match_returned(const FluctTarget *target, const FluctArrays *arrays,
			   const FluctArrays *returned, FluctRecords *records)
{
	FluctSeen  *seen = fluct_arrays_begin_seen(target, returned->nrows);
	int			matched = 0;

	for (int r = 0; r < returned->nrows; r++)
		fluct_arrays_find_seen(seen, returned, r, true)->rows++;
	for (int r = 0; r < arrays->nrows; r++)
	{
		FluctSeenKey *key = fluct_arrays_find_seen(seen, arrays, r, false);

		if (key && key->rows > 0)
		{
			key->rows--;
			matched++;
		}
		else
			records->outcomes[arrays->record[r]] = FLUCT_DUPLICATE;
	}
	hash_destroy(seen->table);
	if (matched < returned->nrows)
		throw_changed_key(target);
}

/* All rows have values in the same columns. */
static uint64
merge_present(SPIPlanPtr plan, FluctArrays *arrays, const StringInfoData *present)
{
	int			n = arrays->ncolumns;
	const char *flags = present->data + arrays->record[0] * n;
	Datum	   *args = palloc(sizeof(Datum) * 2 * n);

	for (int c = 0; c < n; c++)
	{
		args[c] = fluct_arrays_column(arrays, c);
		args[n + c] = BoolGetDatum(flags[c] != 0);
	}
	return fluct_query_execute(plan, args);
}

uint64
fluct_store_merge(const FluctTarget *target, SPIPlanPtr plan,
				  const FluctRows *rows, int from, int to)
{
	FluctArrays *arrays = fluct_arrays_read(target, rows, from, to);
	FluctRecords *records = rows->records;
	uint64		processed;

	if (arrays->nrows == 0)
		return 0;
	processed = target->keep ? merge_present(plan, arrays, &records->present) :
		fluct_store_execute(plan, arrays);
	if (processed == 0)
		for (int r = 0; r < arrays->nrows; r++)
			records->outcomes[arrays->record[r]] = FLUCT_DUPLICATE;
	else if (processed < arrays->nrows)
		match_returned(target, arrays,
					   fluct_store_returned(target, SPI_tuptable, processed),
					   records);
	SPI_freetuptable(SPI_tuptable);
	return processed;
}

/* Whether the row of the arrays is older than that other one. */
static bool
is_older(const FluctTarget *target, const FluctArrays *arrays, int row, int than)
{
	int			v = target->version;
	FmgrInfo   *compare;

	if (v < 0 || arrays->nulls[v][than])
		return false;
	if (arrays->nulls[v][row])
		return true;
	compare = &lookup_type_cache(target->columns[v].base,
								 TYPECACHE_CMP_PROC_FINFO)->cmp_proc_finfo;
	return DatumGetInt32(FunctionCall2Coll(compare, target->columns[v].collation,
										   arrays->values[v][row],
										   arrays->values[v][than])) < 0;
}

void
fluct_store_keep_last(const FluctTarget *target, const FluctRows *rows,
					  int from, int to)
{
	FluctArrays *arrays = fluct_arrays_read(target, rows, from, to);
	FluctSeen  *seen = fluct_arrays_begin_seen(target, arrays->nrows);

	for (int r = 0; r < arrays->nrows; r++)
	{
		FluctSeenKey *key = fluct_arrays_find_seen(seen, arrays, r, true);
		int			loser = r;

		if (key->rows == 0 || !is_older(target, arrays, r, key->row))
		{
			loser = key->row;
			key->row = r;
		}
		if (key->rows++ > 0)
			rows->records->outcomes[arrays->record[loser]] = FLUCT_DUPLICATE;
	}
	hash_destroy(seen->table);
}
