/*-------------------------------------------------------------------------
 *
 * delete.c
 *	  Rows that go: those that messages delete, and those of children that are
 *	  replaced.
 *
 * Order.  A record that deletes counts as if the records of the batch were
 * applied one by one, though each key that is deleted is deleted once, before
 * anything is stored: what is stored is only what comes after the last delete
 * of its key.  So a row that is deleted and inserted is a new one, also in the
 * columns that nothing maps.
 *
 * Children go first, since a foreign key may have no ON DELETE CASCADE, and
 * their parents are locked before that: who writes children at the same time
 * has updated the parent, and is waited for.  (Where another extension routes
 * the parent, there is no FOR UPDATE.)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "mapping/delete.h"
#include "pg/query.h"
#include "pg/routed.h"
#include "sink/arrays.h"
#include "sink/delete.h"

/* ----- statements ----- */

/* The equality of the type's own order, wherever it is. */
static void
append_equality(StringInfo sql, const FluctColumn *column, int k)
{
	appendStringInfo(sql, " AND %s %s %s", fluct_arrays_operand(column, "c"),
					 fluct_arrays_operator(lookup_type_cache(column->base,
															 TYPECACHE_EQ_OPR)->eq_opr),
					 fluct_arrays_element(column, psprintf("u.k%d", k)));
}

/* The arrays as rows u(k0, ..., n), n from 1 on. */
static void
append_rows(StringInfo sql, int nplaces)
{
	appendStringInfoString(sql, " ROWS FROM (");
	for (int k = 0; k < nplaces; k++)
		appendStringInfo(sql, "%spg_catalog.unnest($%d)", k == 0 ? "" : ", ", k + 1);
	appendStringInfoString(sql, ") WITH ORDINALITY AS u(");
	for (int k = 0; k < nplaces; k++)
		appendStringInfo(sql, "k%d, ", k);
	appendStringInfoString(sql, "n)");
}

/* The types of the arrays, and of the first and the last time. */
static Oid *
types_of(const FluctTarget *target, const int *places, int nplaces)
{
	Oid		   *types = palloc(sizeof(Oid) * (nplaces + 2));

	for (int k = 0; k < nplaces; k++)
		types[k] = fluct_arrays_type(&target->columns[places[k]]);
	types[nplaces] = types[nplaces + 1] = TIMESTAMPTZOID;
	return types;
}

/* Both columns that take from one path need not be equal, or may be NULL. */
SPIPlanPtr
fluct_delete_prepare_parents(const char *begin, const FluctTarget *parent,
							 const char *end)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, begin);
	append_rows(&sql, parent->nkeys);
	appendStringInfoString(&sql, " WHERE true");
	for (int k = 0; k < parent->nkeys; k++)
		append_equality(&sql, &parent->columns[parent->keys[k]], k);
	appendStringInfoString(&sql, end);
	return fluct_query_prepare(sql.data, parent->nkeys,
							   types_of(parent, parent->keys, parent->nkeys), 0);
}

/* Whether these keys of the parent end in the time that the child has, too. */
static bool
is_by_time(const FluctTarget *child, int nkeys)
{
	return child->keyed_by_time && nkeys == child->nparent_keys;
}

/* The operator that compares all of these columns with arrays; or NULL. */
static const char *
common_operator(const FluctTarget *child, int nkeys)
{
	const char *common = NULL;

	for (int k = 0; k < nkeys; k++)
	{
		const FluctColumn *column = &child->columns[child->parent_keys[k]];
		const char *operator = fluct_arrays_operator(lookup_type_cache(column->base,
																	   TYPECACHE_EQ_OPR)->eq_opr);

		if (column->as_text || (common && strcmp(common, operator) != 0))
			return NULL;
		common = operator;
	}
	return common;
}

/*
 * A join would be planned for as few rows as a table that was never analyzed
 * seems to have, and sort all lines of a month.  So the columns are filters,
 * each by itself, which an index may serve, and then together.
 */
static void
append_filters(StringInfo sql, const FluctTarget *child, int nkeys, bool exact,
			   const char *operator)
{
	for (int k = 0; k < nkeys - is_by_time(child, nkeys); k++)
		appendStringInfo(sql, " AND %s %s ANY ($%d)",
						 fluct_arrays_operand(&child->columns[child->parent_keys[k]], "c"),
						 operator, k + 1);
	if (!exact || nkeys == 1)
		return;
	appendStringInfoString(sql, " AND ((");
	for (int k = 0; k < nkeys; k++)
		appendStringInfo(sql, "%s%s", k == 0 ? "" : ", ",
						 fluct_arrays_operand(&child->columns[child->parent_keys[k]], "c"));
	appendStringInfo(sql, ") %s ANY (SELECT ", operator);
	for (int k = 0; k < nkeys; k++)
		appendStringInfo(sql, "%su.k%d", k == 0 ? "" : ", ", k);
	appendStringInfoString(sql, " FROM");
	append_rows(sql, nkeys);
	appendStringInfoString(sql, ")) IS TRUE");
}

/* So that only those partitions and pages are read in which a row may be. */
static void
append_range(StringInfo sql, const FluctTarget *child)
{
	int			n = child->nparent_keys;
	const char *name = quote_identifier(child->columns[child->parent_keys[n - 1]].name);

	appendStringInfo(sql, " AND c.%s OPERATOR(pg_catalog.>=) $%d"
					 " AND c.%s OPERATOR(pg_catalog.<=) $%d", name, n + 1, name, n + 2);
}

SPIPlanPtr
fluct_delete_prepare_children(const char *begin, const char *with,
							  const FluctTarget *child, int nkeys, bool exact)
{
	bool		by_time = is_by_time(child, nkeys);
	const char *operator = common_operator(child, nkeys);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, begin);
	if (operator == NULL)
	{
		appendStringInfoString(&sql, with);
		append_rows(&sql, nkeys);
	}
	appendStringInfoString(&sql, " WHERE true");
	if (operator)
		append_filters(&sql, child, nkeys, exact, operator);
	else
		for (int k = 0; k < nkeys; k++)
			append_equality(&sql, &child->columns[child->parent_keys[k]], k);
	if (by_time)
		append_range(&sql, child);
	return fluct_query_prepare(sql.data, nkeys + (by_time ? 2 : 0),
							   types_of(child, child->parent_keys, nkeys),
							   CURSOR_OPT_CUSTOM_PLAN);
}

/* The last of the arrays is that of the times, where the child has them. */
uint64
fluct_delete_run(const FluctTarget *child, SPIPlanPtr plan, FluctArrays *keys)
{
	int			n = keys->ncolumns;
	Datum	   *args = palloc(sizeof(Datum) * (n + 2));
	TimestampTz first = DT_NOEND;
	TimestampTz last = DT_NOBEGIN;

	for (int c = 0; c < n; c++)
		args[c] = fluct_arrays_column(keys, c);
	for (int r = 0; is_by_time(child, n) && r < keys->nrows; r++)
		if (!keys->nulls[n - 1][r])
		{
			first = Min(first, DatumGetTimestampTz(keys->values[n - 1][r]));
			last = Max(last, DatumGetTimestampTz(keys->values[n - 1][r]));
		}
	args[n] = TimestampTzGetDatum(first);
	args[n + 1] = TimestampTzGetDatum(last);
	return fluct_query_execute(plan, args);
}

static void
prepare_parent(const FluctMapping *mapping, FluctStatements *statements)
{
	const FluctTarget *parent = &mapping->targets[0];
	StringInfoData end;

	initStringInfo(&end);
	for (int k = 0; k < parent->nkeys; k++)
		appendStringInfo(&end, "%s c.%s", k == 0 ? " RETURNING" : ",",
						 quote_identifier(parent->columns[parent->keys[k]].name));
	statements->remove =
		fluct_delete_prepare_parents(psprintf("DELETE FROM %s c USING", parent->name),
									 parent, end.data);
	if (mapping->ntargets > 1 && !fluct_routed_is(statements->remove))
		statements->lock =
			fluct_delete_prepare_parents(psprintf("SELECT 1 FROM %s c,", parent->name),
										 parent, " FOR UPDATE OF c");
}

void
fluct_delete_prepare(const FluctMapping *mapping, FluctStatements *statements)
{
	for (int t = 1; t < mapping->ntargets; t++)
	{
		const FluctTarget *child = &mapping->targets[t];
		int			nkeys = fluct_delete_key(mapping, t);
		const char *begin = psprintf("DELETE FROM %s c", child->name);

		if (child->parent_keys)
			statements[t].clear = fluct_delete_prepare_children(begin, " USING", child,
																child->nparent_keys, true);
		if (nkeys > 0)
			statements[t].remove = fluct_delete_prepare_children(begin, " USING", child,
																 nkeys, true);
	}
	if (mapping->deletes)
		prepare_parent(mapping, statements);
}

/* ----- children that are replaced ----- */

void
fluct_delete_replaced(const FluctTarget *child, SPIPlanPtr plan,
					  const FluctRows *rows, int from, int to)
{
	FluctArrays *arrays = fluct_arrays_make(child, child->parent_keys,
											child->nparent_keys,
											rows->keys.row_starts[to] -
											rows->keys.row_starts[from]);

	fluct_arrays_read_rows(arrays, &rows->keys, rows->records, from, to);
	if (arrays->nrows > 0)
		fluct_delete_run(child, plan, arrays);
}

/* ----- messages that delete ----- */

static FluctArrays *
read_deleted(const FluctTarget *target, const int *places, int nplaces,
			 const FluctRows *rows, int from, int to)
{
	FluctArrays *arrays = fluct_arrays_make(target, places, nplaces,
											rows->deleted.row_starts[to] -
											rows->deleted.row_starts[from]);

	fluct_arrays_read_rows(arrays, &rows->deleted, rows->records, from, to);
	return arrays;
}

static void
remove_children(const FluctMapping *mapping, const FluctStatements *statements,
				const FluctRows *rows, int from, int to)
{
	for (int t = 1; t < mapping->ntargets; t++)
	{
		const FluctTarget *child = &mapping->targets[t];

		if (statements[t].remove)
			fluct_delete_run(child, statements[t].remove,
							 read_deleted(child, child->parent_keys,
										  fluct_delete_key(mapping, t), &rows[t],
										  from, to));
	}
}

/* The columns of the key in their places among all columns. */
static FluctArrays *
spread(const FluctTarget *target, const FluctArrays *keys)
{
	FluctArrays *arrays = fluct_arrays_make(target, NULL, 0, 0);

	arrays->nrows = keys->nrows;
	arrays->record = keys->record;
	for (int k = 0; k < target->nkeys; k++)
	{
		arrays->values[target->keys[k]] = keys->values[k];
		arrays->nulls[target->keys[k]] = keys->nulls[k];
	}
	return arrays;
}

/*
 * Goes through the records in their order.  `seen` has the keys of the rows
 * that were there; of each key it says then whether its row is there (rows),
 * and the last record that deletes it (last).
 */
static void
follow(FluctSeen *seen, const FluctArrays *deleted, const FluctArrays *stored,
	   bool *effective)
{
	int			s = 0;

	for (int d = 0; d < deleted->nrows; d++)
	{
		FluctSeenKey *key;

		for (; s < stored->nrows && stored->record[s] < deleted->record[d]; s++)
			fluct_arrays_find_seen(seen, stored, s, true)->rows = 1;
		key = fluct_arrays_find_seen(seen, deleted, d, true);
		effective[d] = key->rows > 0;
		key->rows = 0;
		key->last = deleted->record[d];
	}
}

static void
settle(const FluctTarget *target, const FluctArrays *removed,
	   const FluctArrays *deleted, const FluctArrays *stored,
	   FluctRecords *records)
{
	FluctSeen  *seen = fluct_arrays_begin_seen(target, deleted->nrows);
	bool	   *effective = palloc(sizeof(bool) * deleted->nrows);

	for (int r = 0; r < removed->nrows; r++)
		fluct_arrays_find_seen(seen, removed, r, true)->rows = 1;
	follow(seen, deleted, stored, effective);
	for (int d = 0; d < deleted->nrows; d++)
		if (!effective[d])
			records->outcomes[deleted->record[d]] = FLUCT_DUPLICATE;
	for (int s = 0; s < stored->nrows; s++)
	{
		FluctSeenKey *key = fluct_arrays_find_seen(seen, stored, s, false);

		if (key && key->last > stored->record[s])
			records->outcomes[stored->record[s]] = FLUCT_DUPLICATE;
	}
	hash_destroy(seen->table);
}

void
fluct_delete_rows(const FluctMapping *mapping, const FluctStatements *statements,
				  const FluctRows *rows, int from, int to)
{
	const FluctTarget *target = &mapping->targets[0];
	FluctArrays *keys = read_deleted(target, target->keys, target->nkeys, rows,
									 from, to);
	uint64		processed;

	if (keys->nrows == 0)
		return;
	if (statements[0].lock)
	{
		fluct_store_execute(statements[0].lock, keys);
		SPI_freetuptable(SPI_tuptable);
	}
	remove_children(mapping, statements, rows, from, to);
	processed = fluct_store_execute(statements[0].remove, keys);
	settle(target, fluct_store_returned(target, SPI_tuptable, processed),
		   spread(target, keys),
		   fluct_arrays_read(target, rows, from, to), rows->records);
	SPI_freetuptable(SPI_tuptable);
}
