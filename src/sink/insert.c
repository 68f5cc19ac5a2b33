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

#include "access/htup_details.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"
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
 * An existing row is always updated, with its own key where there
 * is nothing else: so it is locked, and who replaces its children comes after
 * whoever wrote them.
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
		appendStringInfo(sql, "%s%s = excluded.%s", separator, name, name);
		separator = ", ";
	}
}

/* With a key: RETURNING it, of the rows that went in or were updated. */
static char *
insert_sql(const FluctTarget *target, bool update, bool routed)
{
	StringInfoData sql;

	initStringInfo(&sql);
	if (target->nkeys > 0 || routed)
		appendStringInfoString(&sql, "WITH i AS (");
	appendStringInfo(&sql, "INSERT INTO %s (", target->name);
	append_columns(&sql, target, "");
	appendStringInfoString(&sql, ") SELECT ");
	for (int i = 0; i < target->ncolumns; i++)
	{
		const FluctColumn *column = &target->columns[i];

		appendStringInfoString(&sql, i == 0 ? "" : ", ");
		if (fluct_arrays_as_text(column))
			appendStringInfo(&sql, "CAST(u.c%d AS %s)", i,
							 format_type_extended(column->base, -1,
												  FORMAT_TYPE_TYPEMOD_GIVEN |
												  FORMAT_TYPE_FORCE_QUALIFY));
		else
			appendStringInfo(&sql, "u.c%d", i);
	}
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
	Oid		   *types = palloc(sizeof(Oid) * target->ncolumns);

	for (int i = 0; i < target->ncolumns; i++)
		types[i] = fluct_arrays_type(&target->columns[i]);
	return fluct_query_prepare(insert_sql(target, update, routed),
							   target->ncolumns, types, 0);
}

/* The equality of the type's own order, wherever it is. */
static void
append_equality(StringInfo sql, const FluctColumn *column, int k)
{
	Oid			operator = lookup_type_cache(column->base,
											 TYPECACHE_EQ_OPR)->eq_opr;
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	appendStringInfo(sql, " AND c.%s OPERATOR(%s.%s) u.k%d",
					 quote_identifier(column->name),
					 quote_identifier(get_namespace_name(form->oprnamespace)),
					 NameStr(form->oprname), k);
	ReleaseSysCache(tuple);
}

/* So that only those partitions and pages are read in which a row may be. */
static void
append_range(StringInfo sql, const FluctColumn *time, int parameter)
{
	const char *name = quote_identifier(time->name);

	appendStringInfo(sql, " AND c.%s OPERATOR(pg_catalog.>=)"
					 " (SELECT pg_catalog.min(t) FROM pg_catalog.unnest($%d) t)"
					 " AND c.%s OPERATOR(pg_catalog.<=)"
					 " (SELECT pg_catalog.max(t) FROM pg_catalog.unnest($%d) t)",
					 name, parameter, name, parameter);
}

/*
 * The child's rows of known parents, found by the parent's key alone: other
 * columns that both take from one path need not be equal, or may be NULL.
 */
static SPIPlanPtr
prepare_clear(const FluctTarget *child)
{
	StringInfoData sql;
	Oid		   *types = palloc(sizeof(Oid) * child->nparent_keys);

	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s c USING ROWS FROM (", child->name);
	for (int k = 0; k < child->nparent_keys; k++)
	{
		types[k] = fluct_arrays_type(&child->columns[child->parent_keys[k]]);
		appendStringInfo(&sql, "%spg_catalog.unnest($%d)", k == 0 ? "" : ", ",
						 k + 1);
	}
	appendStringInfoString(&sql, ") AS u(");
	for (int k = 0; k < child->nparent_keys; k++)
		appendStringInfo(&sql, "%sk%d", k == 0 ? "" : ", ", k);
	appendStringInfoString(&sql, ") WHERE true");
	for (int k = 0; k < child->nparent_keys; k++)
		append_equality(&sql, &child->columns[child->parent_keys[k]], k);
	if (child->keyed_by_time)
		append_range(&sql, &child->columns[child->parent_keys[child->nparent_keys - 1]],
					 child->nparent_keys);
	return fluct_query_prepare(sql.data, child->nparent_keys, types, 0);
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
	statements->clear = NULL;
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
	if (target->parent_keys)
		statements->clear = prepare_clear(target);
}

/* ----- running them ----- */

static uint64
execute_with(SPIPlanPtr plan, FluctArrays *arrays)
{
	Datum	   *args = palloc(sizeof(Datum) * arrays->ncolumns);

	for (int c = 0; c < arrays->ncolumns; c++)
		args[c] = fluct_arrays_column(arrays, c);
	return fluct_query_execute(plan, args);
}

uint64
fluct_store_insert(const FluctTarget *target, SPIPlanPtr plan,
				   const FluctRows *rows, const FluctMessage *messages,
				   int from, int to)
{
	FluctArrays *arrays = fluct_arrays_read(target, rows, messages, from, to);

	if (arrays->nrows == 0)
		return 0;
	return execute_with(plan, arrays);
}

/* ----- conflicts ----- */

static void
throw_changed_key(const FluctTarget *target)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("a trigger on %s changes its key", target->name)));
}

/* The keys that RETURNING gave, as rows of the target. */
static FluctArrays *
read_returned(const FluctTarget *target, SPITupleTable *returned,
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
			   const FluctArrays *returned, FluctMessage *messages)
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
			messages[arrays->message[r]].outcome = FLUCT_DUPLICATE;
	}
	hash_destroy(seen->table);
	if (matched < returned->nrows)
		throw_changed_key(target);
}

uint64
fluct_store_merge(const FluctTarget *target, SPIPlanPtr plan,
				  const FluctRows *rows, FluctMessage *messages,
				  int from, int to)
{
	FluctArrays *arrays = fluct_arrays_read(target, rows, messages, from, to);
	uint64		processed;

	if (arrays->nrows == 0)
		return 0;
	processed = execute_with(plan, arrays);
	if (processed == 0)
		for (int r = 0; r < arrays->nrows; r++)
			messages[arrays->message[r]].outcome = FLUCT_DUPLICATE;
	else if (processed < arrays->nrows)
		match_returned(target, arrays,
					   read_returned(target, SPI_tuptable, processed),
					   messages);
	SPI_freetuptable(SPI_tuptable);
	return processed;
}

void
fluct_store_clear(const FluctTarget *child, SPIPlanPtr plan,
				  const FluctRows *rows, const FluctMessage *messages,
				  int from, int to)
{
	FluctArrays *arrays = fluct_arrays_make(child, child->parent_keys,
											child->nparent_keys,
											rows->keys.row_starts[to] -
											rows->keys.row_starts[from]);

	fluct_arrays_read_rows(arrays, &rows->keys, messages, from, to);
	if (arrays->nrows > 0)
		execute_with(plan, arrays);
}

void
fluct_store_keep_last(const FluctTarget *target, const FluctRows *rows,
					  FluctMessage *messages, int from, int to)
{
	FluctArrays *arrays = fluct_arrays_read(target, rows, messages, from, to);
	FluctSeen  *seen = fluct_arrays_begin_seen(target, arrays->nrows);

	for (int r = 0; r < arrays->nrows; r++)
	{
		FluctSeenKey *key = fluct_arrays_find_seen(seen, arrays, r, true);

		if (key->rows++ > 0)
			messages[arrays->message[key->row]].outcome = FLUCT_DUPLICATE;
		key->row = r;
	}
	hash_destroy(seen->table);
}
