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
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "mapping/column.h"
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

/*
 * Values travel as arrays of the base type, which the INSERT makes a domain's.
 * There are no arrays of arrays: these travel as text.
 */
static bool
travels_as_text(const FluctColumn *column)
{
	return column->is_array || !OidIsValid(get_array_type(column->base));
}

static Oid
array_type(const FluctColumn *column)
{
	return travels_as_text(column) ? TEXTARRAYOID : get_array_type(column->base);
}

static char *
insert_sql(const FluctTarget *target, bool update)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s (", target->name);
	append_columns(&sql, target, "");
	appendStringInfoString(&sql, ") SELECT ");
	for (int i = 0; i < target->ncolumns; i++)
	{
		const FluctColumn *column = &target->columns[i];

		appendStringInfoString(&sql, i == 0 ? "" : ", ");
		if (travels_as_text(column))
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
	}
	return sql.data;
}

static SPIPlanPtr
prepare(const char *sql, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare(sql, nargs, types);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s",
			 SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	return plan;
}

static SPIPlanPtr
prepare_insert(const FluctTarget *target, bool update)
{
	Oid		   *types = palloc(sizeof(Oid) * target->ncolumns);

	for (int i = 0; i < target->ncolumns; i++)
		types[i] = array_type(&target->columns[i]);
	return prepare(insert_sql(target, update), target->ncolumns, types);
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
		types[k] = array_type(&child->columns[child->parent_keys[k]]);
		appendStringInfo(&sql, "%spg_catalog.unnest($%d)", k == 0 ? "" : ", ",
						 k + 1);
	}
	appendStringInfoString(&sql, ") AS u(");
	for (int k = 0; k < child->nparent_keys; k++)
		appendStringInfo(&sql, "%sk%d", k == 0 ? "" : ", ", k);
	appendStringInfoString(&sql, ") WHERE true");
	for (int k = 0; k < child->nparent_keys; k++)
		append_equality(&sql, &child->columns[child->parent_keys[k]], k);
	return prepare(sql.data, child->nparent_keys, types);
}

/* Whether nothing but the table itself decides where a row goes. */
bool
fluct_store_is_bare(SPIPlanPtr plan, Oid relid)
{
	CachedPlan *cached = SPI_plan_get_cached_plan(plan);
	PlannedStmt *stmt;
	bool		bare;

	if (cached == NULL)
		return false;
	stmt = linitial_node(PlannedStmt, cached->stmt_list);
	bare = list_length(cached->stmt_list) == 1 &&
		stmt->planTree != NULL && IsA(stmt->planTree, ModifyTable) &&
		check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED;
	ReleaseCachedPlan(cached, CurrentResourceOwner);
	return bare;
}

void
fluct_store_prepare(FluctTarget *target, bool update,
					FluctStatements *statements)
{
	statements->insert = prepare_insert(target, update);
	statements->clear = NULL;
	if (target->by_copy && fluct_store_is_bare(statements->insert, target->relid))
	{
		SPI_freeplan(statements->insert);
		statements->insert = NULL;
	}
	else
		target->by_copy = false;
	if (target->parent_keys)
		statements->clear = prepare_clear(target);
}

/* ----- rows as arrays ----- */

/* Rows, and whose they are, by column and then row. */
typedef struct Arrays
{
	int			ncolumns;
	const FluctColumn **columns;
	int			nrows;
	Datum	  **values;
	bool	  **nulls;
	int		   *message;		/* by row: the number of its message */
} Arrays;

static const char *
read_row(Arrays *arrays, const char *at)
{
	int			row = arrays->nrows;

	at += 2;					/* the number of columns */
	for (int c = 0; c < arrays->ncolumns; c++)
	{
		int32		len;

		memcpy(&len, at, 4);
		len = (int32) pg_ntoh32(len);
		at += 4;
		arrays->nulls[c][row] = len < 0;
		arrays->values[c][row] = (Datum) 0;
		if (len < 0)
			continue;
		if (travels_as_text(arrays->columns[c]))
			arrays->values[c][row] =
				PointerGetDatum(cstring_to_text_with_len(at, len));
		else
			arrays->values[c][row] = fluct_column_receive(arrays->columns[c], at, len);
		at += len;
	}
	return at;
}

/* Of all columns of the target, or of those at these places. */
static Arrays *
make_arrays(const FluctTarget *target, const int *places, int nplaces,
			int nrows)
{
	Arrays	   *arrays = palloc0(sizeof(Arrays));

	arrays->ncolumns = places ? nplaces : target->ncolumns;
	arrays->columns = palloc(sizeof(FluctColumn *) * arrays->ncolumns);
	arrays->values = palloc(sizeof(Datum *) * arrays->ncolumns);
	arrays->nulls = palloc(sizeof(bool *) * arrays->ncolumns);
	arrays->message = palloc(sizeof(int) * (nrows + 1));
	for (int c = 0; c < arrays->ncolumns; c++)
	{
		arrays->columns[c] = &target->columns[places ? places[c] : c];
		arrays->values[c] = palloc(sizeof(Datum) * (nrows + 1));
		arrays->nulls[c] = palloc(sizeof(bool) * (nrows + 1));
	}
	return arrays;
}

/* The rows of the messages from..to-1 that are FLUCT_STORED. */
static void
read_rows(Arrays *arrays, const FluctRowData *rows,
		  const FluctMessage *messages, int from, int to)
{
	for (int i = from; i < to; i++)
	{
		const char *at = rows->data.data + rows->starts[i];
		const char *end = rows->data.data + rows->starts[i + 1];

		while (messages[i].outcome == FLUCT_STORED && at < end)
		{
			at = read_row(arrays, at);
			arrays->message[arrays->nrows++] = i;
		}
	}
}

static Arrays *
read_target(const FluctTarget *target, const FluctRows *rows,
			const FluctMessage *messages, int from, int to)
{
	Arrays	   *arrays = make_arrays(target, NULL, 0,
									 rows->stored.row_starts[to] -
									 rows->stored.row_starts[from]);

	read_rows(arrays, &rows->stored, messages, from, to);
	return arrays;
}

static Datum
column_array(Arrays *arrays, int c)
{
	Oid			type = travels_as_text(arrays->columns[c]) ? TEXTOID :
	arrays->columns[c]->base;
	int16		len;
	bool		byval;
	char		align;
	int			dims[1] = {arrays->nrows};
	int			lbs[1] = {1};

	get_typlenbyvalalign(type, &len, &byval, &align);
	return PointerGetDatum(construct_md_array(arrays->values[c],
											  arrays->nulls[c], 1, dims, lbs,
											  type, len, byval, align));
}

static void
execute(SPIPlanPtr plan, Datum *args)
{
	int			result = SPI_execute_plan(plan, args, NULL, false, 0);

	if (result < 0)
		elog(ERROR, "SPI_execute_plan failed: %s",
			 SPI_result_code_string(result));
}

static void
execute_with(SPIPlanPtr plan, Arrays *arrays)
{
	Datum	   *args = palloc(sizeof(Datum) * arrays->ncolumns);

	for (int c = 0; c < arrays->ncolumns; c++)
		args[c] = column_array(arrays, c);
	execute(plan, args);
}

uint64
fluct_store_insert(const FluctTarget *target, SPIPlanPtr plan,
				   const FluctRows *rows, const FluctMessage *messages,
				   int from, int to)
{
	Arrays	   *arrays = read_target(target, rows, messages, from, to);

	if (arrays->nrows == 0)
		return 0;
	execute_with(plan, arrays);
	return SPI_processed;
}

/* ----- conflicts ----- */

/* Whether returned row number i has the key of input row number r. */
static bool
same_key(const FluctTarget *target, const Arrays *arrays, int r,
		 SPITupleTable *returned, uint64 i)
{
	for (int k = 0; k < target->nkeys; k++)
	{
		int			c = target->keys[k];
		TypeCacheEntry *type = lookup_type_cache(target->columns[c].base,
												 TYPECACHE_EQ_OPR_FINFO);
		bool		isnull;
		Datum		value = SPI_getbinval(returned->vals[i],
										  returned->tupdesc, k + 1, &isnull);

		if (isnull || arrays->nulls[c][r] ||
			!DatumGetBool(FunctionCall2Coll(&type->eq_opr_finfo,
											target->columns[c].collation,
											value, arrays->values[c][r])))
			return false;
	}
	return true;
}

/*
 * Which of several rows went in.  RETURNING gives their keys in the order of
 * the input, and of several input rows with one key the first goes in: so each
 * returned key belongs to the next input row that has it, and all rows between
 * were there already.
 */
static void
match_returned(const FluctTarget *target, const Arrays *arrays,
			   SPITupleTable *returned, uint64 processed,
			   FluctMessage *messages)
{
	int			r = 0;

	for (uint64 i = 0; i < processed; i++)
	{
		while (r < arrays->nrows && !same_key(target, arrays, r, returned, i))
			messages[arrays->message[r++]].outcome = FLUCT_DUPLICATE;
		if (r == arrays->nrows)
			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
					 errmsg("a trigger on %s changes its key", target->name)));
		r++;
	}
	while (r < arrays->nrows)
		messages[arrays->message[r++]].outcome = FLUCT_DUPLICATE;
}

uint64
fluct_store_merge(const FluctTarget *target, SPIPlanPtr plan,
				  const FluctRows *rows, FluctMessage *messages,
				  int from, int to)
{
	Arrays	   *arrays = read_target(target, rows, messages, from, to);
	uint64		processed;

	if (arrays->nrows == 0)
		return 0;
	execute_with(plan, arrays);
	processed = SPI_processed;
	if (processed == 0)
		for (int r = 0; r < arrays->nrows; r++)
			messages[arrays->message[r]].outcome = FLUCT_DUPLICATE;
	else if (processed < arrays->nrows)
		match_returned(target, arrays, SPI_tuptable, processed, messages);
	SPI_freetuptable(SPI_tuptable);
	return processed;
}

void
fluct_store_clear(const FluctTarget *child, SPIPlanPtr plan,
				  const FluctRows *rows, const FluctMessage *messages,
				  int from, int to)
{
	Arrays	   *arrays = make_arrays(child, child->parent_keys,
									 child->nparent_keys,
									 rows->keys.row_starts[to] -
									 rows->keys.row_starts[from]);

	read_rows(arrays, &rows->keys, messages, from, to);
	if (arrays->nrows > 0)
		execute_with(plan, arrays);
}

typedef struct Last
{
	uint64		hash;
	int			row;
} Last;

static uint64
hash_key(const FluctTarget *target, const Arrays *arrays, int r)
{
	uint64		hash = 0;

	for (int k = 0; k < target->nkeys; k++)
	{
		int			c = target->keys[k];
		TypeCacheEntry *type = lookup_type_cache(target->columns[c].base,
												 TYPECACHE_HASH_PROC |
												 TYPECACHE_HASH_PROC_FINFO);

		/* few types have an order and no hash: their rows are compared */
		if (!OidIsValid(type->hash_proc))
			continue;
		hash = hash_combine64(hash, DatumGetUInt32(FunctionCall1Coll(&type->hash_proc_finfo,
																	 target->columns[c].collation,
																	 arrays->values[c][r])));
	}
	return hash;
}

static bool
equal_rows(const FluctTarget *target, const Arrays *arrays, int r, int s)
{
	for (int k = 0; k < target->nkeys; k++)
	{
		int			c = target->keys[k];
		TypeCacheEntry *type = lookup_type_cache(target->columns[c].base,
												 TYPECACHE_EQ_OPR_FINFO);

		if (!DatumGetBool(FunctionCall2Coll(&type->eq_opr_finfo,
											target->columns[c].collation,
											arrays->values[c][r],
											arrays->values[c][s])))
			return false;
	}
	return true;
}

void
fluct_store_keep_last(const FluctTarget *target, const FluctRows *rows,
					  FluctMessage *messages, int from, int to)
{
	Arrays	   *arrays = read_target(target, rows, messages, from, to);
	HASHCTL		control = {0};
	HTAB	   *seen;

	control.keysize = sizeof(uint64);
	control.entrysize = sizeof(Last);
	control.hcxt = CurrentMemoryContext;
	seen = hash_create("fluct keys", Max(arrays->nrows, 16), &control,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (int r = 0; r < arrays->nrows; r++)
	{
		uint64		hash = hash_key(target, arrays, r);
		bool		found = true;
		Last	   *last;

		for (;; hash++)
		{
			last = hash_search(seen, &hash, HASH_ENTER, &found);
			if (!found || equal_rows(target, arrays, last->row, r))
				break;
		}
		if (found)
			messages[arrays->message[last->row]].outcome = FLUCT_DUPLICATE;
		last->row = r;
	}
	hash_destroy(seen);
}
