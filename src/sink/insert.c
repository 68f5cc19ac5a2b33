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

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/typcache.h"

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

static void
append_update(StringInfo sql, const FluctTarget *target)
{
	const char *separator = "";

	for (int i = 0; i < target->ncolumns; i++)
	{
		const char *name = quote_identifier(target->columns[i].name);

		if (target->columns[i].key)
			continue;
		appendStringInfo(sql, "%s%s = excluded.%s", separator, name, name);
		separator = ", ";
	}
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
		if (column->form == FLUCT_FORM_OTHER)
			appendStringInfo(&sql, "CAST(u.c%d AS %s)", i,
							 format_type_extended(column->type, -1,
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
		if (update && target->nkeys < target->ncolumns)
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
		types[i] = get_array_type(target->columns[i].array_element);
	return prepare(insert_sql(target, update), target->ncolumns, types);
}

/*
 * The child's rows of parents that exist already: found through the columns
 * that parent and child take from the same path, so that an index or a
 * partition key on any of them serves.
 */
static SPIPlanPtr
prepare_clear(const FluctTarget *parent, const FluctTarget *child)
{
	StringInfoData sql;
	Oid		   *types = palloc(sizeof(Oid) * parent->nkeys);
	int			shared = 0;

	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s c USING %s p, ROWS FROM (",
					 child->name, parent->name);
	for (int k = 0; k < parent->nkeys; k++)
	{
		types[k] = get_array_type(parent->columns[parent->keys[k]].array_element);
		appendStringInfo(&sql, "%spg_catalog.unnest($%d)", k == 0 ? "" : ", ",
						 k + 1);
	}
	appendStringInfoString(&sql, ") AS u(");
	for (int k = 0; k < parent->nkeys; k++)
		appendStringInfo(&sql, "%sk%d", k == 0 ? "" : ", ", k);
	appendStringInfoString(&sql, ") WHERE true");
	for (int k = 0; k < parent->nkeys; k++)
		appendStringInfo(&sql, " AND p.%s = u.k%d",
						 quote_identifier(parent->columns[parent->keys[k]].name), k);
	for (int i = 0; i < child->ncolumns; i++)
		for (int j = 0; j < parent->ncolumns; j++)
			if (strcmp(child->columns[i].path, parent->columns[j].path) == 0 &&
				child->columns[i].source != FLUCT_EXTRA)
			{
				appendStringInfo(&sql, " AND c.%s = p.%s",
								 quote_identifier(child->columns[i].name),
								 quote_identifier(parent->columns[j].name));
				shared += parent->columns[j].key ? 1 : 0;
			}
	if (shared < parent->nkeys)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_conflict update cannot replace the rows of %s",
						child->name),
				 errdetail("The key of %s is not mapped to its columns.",
						   parent->name)));
	return prepare(sql.data, parent->nkeys, types);
}

/* Whether nothing but the table itself decides where a row goes. */
static bool
is_bare(SPIPlanPtr plan, Oid relid)
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
fluct_store_prepare(FluctMapping *mapping, FluctTarget *target, bool update,
					FluctStatements *statements)
{
	const FluctTarget *parent = &mapping->targets[0];

	statements->insert = prepare_insert(target, update);
	statements->clear = NULL;
	if (target->by_copy && is_bare(statements->insert, target->relid))
	{
		SPI_freeplan(statements->insert);
		statements->insert = NULL;
	}
	else
		target->by_copy = false;
	if (update && target != parent)
		statements->clear = prepare_clear(parent, target);
}

/* ----- rows as arrays ----- */

typedef struct Arrays
{
	int			nrows;
	Datum	  **values;			/* by column, then row */
	bool	  **nulls;
	int		   *message;		/* by row: the number of its message */
} Arrays;

static Datum
receive(FmgrInfo *function, Oid ioparam, const char *data, int len)
{
	StringInfoData buf;

	buf.data = (char *) data;
	buf.len = len;
	buf.maxlen = len;
	buf.cursor = 0;
	return ReceiveFunctionCall(function, &buf, ioparam, -1);
}

static const char *
read_row(const FluctTarget *target, const char *at, Arrays *arrays,
		 FmgrInfo *functions, Oid *ioparams)
{
	int			row = arrays->nrows;

	at += 2;					/* the number of columns */
	for (int c = 0; c < target->ncolumns; c++)
	{
		int32		len;

		memcpy(&len, at, 4);
		len = (int32) pg_ntoh32(len);
		at += 4;
		arrays->nulls[c][row] = len < 0;
		arrays->values[c][row] = (Datum) 0;
		if (len < 0)
			continue;
		arrays->values[c][row] = receive(&functions[c], ioparams[c], at, len);
		at += len;
	}
	return at;
}

/* The rows of the messages from..to-1 that are FLUCT_STORED. */
static Arrays *
read_rows(const FluctTarget *target, const FluctRows *rows,
		  const FluctMessage *messages, int from, int to)
{
	Arrays	   *arrays = palloc0(sizeof(Arrays));
	int			n = rows->row_starts[to] - rows->row_starts[from];
	FmgrInfo   *functions = palloc(sizeof(FmgrInfo) * target->ncolumns);
	Oid		   *ioparams = palloc(sizeof(Oid) * target->ncolumns);

	arrays->values = palloc(sizeof(Datum *) * target->ncolumns);
	arrays->nulls = palloc(sizeof(bool *) * target->ncolumns);
	arrays->message = palloc(sizeof(int) * (n + 1));
	for (int c = 0; c < target->ncolumns; c++)
	{
		Oid			function;

		getTypeBinaryInputInfo(target->columns[c].array_element, &function,
							   &ioparams[c]);
		fmgr_info(function, &functions[c]);
		arrays->values[c] = palloc(sizeof(Datum) * (n + 1));
		arrays->nulls[c] = palloc(sizeof(bool) * (n + 1));
	}
	for (int i = from; i < to; i++)
	{
		const char *at = rows->data.data + rows->starts[i];
		const char *end = rows->data.data + rows->starts[i + 1];

		while (messages[i].outcome == FLUCT_STORED && at < end)
		{
			at = read_row(target, at, arrays, functions, ioparams);
			arrays->message[arrays->nrows++] = i;
		}
	}
	return arrays;
}

static Datum
column_array(const FluctColumn *column, Arrays *arrays, int c)
{
	int16		len;
	bool		byval;
	char		align;
	int			dims[1] = {arrays->nrows};
	int			lbs[1] = {1};

	get_typlenbyvalalign(column->array_element, &len, &byval, &align);
	return PointerGetDatum(construct_md_array(arrays->values[c],
											  arrays->nulls[c], 1, dims, lbs,
											  column->array_element, len,
											  byval, align));
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
execute_insert(const FluctTarget *target, SPIPlanPtr plan, Arrays *arrays)
{
	Datum	   *args = palloc(sizeof(Datum) * target->ncolumns);

	for (int c = 0; c < target->ncolumns; c++)
		args[c] = column_array(&target->columns[c], arrays, c);
	execute(plan, args);
}

uint64
fluct_store_insert(const FluctTarget *target, SPIPlanPtr plan,
				   const FluctRows *rows, const FluctMessage *messages,
				   int from, int to)
{
	Arrays	   *arrays = read_rows(target, rows, messages, from, to);

	if (arrays->nrows == 0)
		return 0;
	execute_insert(target, plan, arrays);
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
		TypeCacheEntry *type = lookup_type_cache(target->columns[c].array_element,
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
 * Which rows went in.  RETURNING gives their keys in the order of the input,
 * and of several input rows with one key the first goes in: so each returned
 * key belongs to the next input row that has it, and all rows between existed
 * already.
 */
uint64
fluct_store_merge(const FluctTarget *target, SPIPlanPtr plan,
				  const FluctRows *rows, FluctMessage *messages,
				  int from, int to)
{
	Arrays	   *arrays = read_rows(target, rows, messages, from, to);
	SPITupleTable *returned;
	uint64		processed;
	int			r = 0;

	if (arrays->nrows == 0)
		return 0;
	execute_insert(target, plan, arrays);
	processed = SPI_processed;
	returned = SPI_tuptable;
	for (uint64 i = 0; i < processed; i++)
	{
		while (r < arrays->nrows && !same_key(target, arrays, r, returned, i))
			messages[arrays->message[r++]].outcome = FLUCT_DUPLICATE;
		if (r == arrays->nrows)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a trigger on %s changes its key", target->name)));
		r++;
	}
	while (r < arrays->nrows)
		messages[arrays->message[r++]].outcome = FLUCT_DUPLICATE;
	SPI_freetuptable(returned);
	return processed;
}

void
fluct_store_clear(const FluctTarget *parent, SPIPlanPtr plan,
				  const FluctRows *rows, const FluctMessage *messages,
				  int from, int to)
{
	Arrays	   *arrays = read_rows(parent, rows, messages, from, to);
	Datum	   *args = palloc(sizeof(Datum) * parent->nkeys);

	if (arrays->nrows == 0)
		return;
	for (int k = 0; k < parent->nkeys; k++)
		args[k] = column_array(&parent->columns[parent->keys[k]], arrays,
							   parent->keys[k]);
	execute(plan, args);
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
		TypeCacheEntry *type = lookup_type_cache(target->columns[c].array_element,
												 TYPECACHE_HASH_PROC_FINFO);

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
		TypeCacheEntry *type = lookup_type_cache(target->columns[c].array_element,
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
	Arrays	   *arrays = read_rows(target, rows, messages, from, to);
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
