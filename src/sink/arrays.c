/*-------------------------------------------------------------------------
 *
 * arrays.c
 *	  Encoded rows as arrays, a column each, for a statement.
 *
 * Keys are compared as the type's own order does, whose equality is that of
 * the unique index.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "mapping/column.h"
#include "pg/query.h"
#include "sink/arrays.h"

Oid
fluct_arrays_type(const FluctColumn *column)
{
	return column->as_text ? TEXTARRAYOID : get_array_type(column->base);
}

static char *
as_base(const FluctColumn *column, const char *value)
{
	return psprintf("CAST(%s AS %s)", value,
					format_type_extended(column->base, -1,
										 FORMAT_TYPE_TYPEMOD_GIVEN |
										 FORMAT_TYPE_FORCE_QUALIFY));
}

char *
fluct_arrays_element(const FluctColumn *column, const char *element)
{
	return column->as_text ? as_base(column, element) : pstrdup(element);
}

char *
fluct_arrays_operand(const FluctColumn *column, const char *alias)
{
	char	   *name = psprintf("%s.%s", alias, quote_identifier(column->name));

	return column->type == column->base ? name : as_base(column, name);
}

const char *
fluct_arrays_operator(Oid operator)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	name = psprintf("OPERATOR(%s.%s)",
					quote_identifier(get_namespace_name(form->oprnamespace)),
					NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return name;
}

static const char *
read_row(FluctArrays *arrays, const char *at)
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
		arrays->values[c][row] = fluct_column_receive(arrays->columns[c], at, len);
		if (arrays->columns[c]->as_text)
			arrays->texts[c][row] =
				PointerGetDatum(cstring_to_text_with_len(at, len));
		at += len;
	}
	return at;
}

FluctArrays *
fluct_arrays_make(const FluctTarget *target, const int *places, int nplaces,
				  int nrows)
{
	FluctArrays *arrays = palloc0(sizeof(FluctArrays));

	arrays->ncolumns = places ? nplaces : target->ncolumns;
	arrays->columns = palloc(sizeof(FluctColumn *) * arrays->ncolumns);
	arrays->values = palloc(sizeof(Datum *) * arrays->ncolumns);
	arrays->texts = palloc0(sizeof(Datum *) * arrays->ncolumns);
	arrays->nulls = palloc(sizeof(bool *) * arrays->ncolumns);
	arrays->record = palloc(sizeof(int) * (nrows + 1));
	for (int c = 0; c < arrays->ncolumns; c++)
	{
		arrays->columns[c] = &target->columns[places ? places[c] : c];
		arrays->values[c] = palloc(sizeof(Datum) * (nrows + 1));
		if (arrays->columns[c]->as_text)
			arrays->texts[c] = palloc(sizeof(Datum) * (nrows + 1));
		arrays->nulls[c] = palloc(sizeof(bool) * (nrows + 1));
	}
	return arrays;
}

void
fluct_arrays_read_rows(FluctArrays *arrays, const FluctRowData *rows,
					   const FluctRecords *records, int from, int to)
{
	for (int r = from; r < to; r++)
	{
		const char *at = rows->data.data + rows->starts[r];
		const char *end = rows->data.data + rows->starts[r + 1];

		while (records->outcomes[r] == FLUCT_STORED && at < end)
		{
			at = read_row(arrays, at);
			arrays->record[arrays->nrows++] = r;
		}
	}
}

FluctArrays *
fluct_arrays_read(const FluctTarget *target, const FluctRows *rows, int from,
				  int to)
{
	const FluctRowData *data = &rows->stored;
	FluctArrays *arrays = fluct_arrays_make(target, NULL, 0,
											data->row_starts[to] - data->row_starts[from]);

	fluct_arrays_read_rows(arrays, data, rows->records, from, to);
	return arrays;
}

Datum
fluct_arrays_column(FluctArrays *arrays, int c)
{
	const FluctColumn *column = arrays->columns[c];

	return column->as_text ?
		fluct_query_array(TEXTOID, arrays->texts[c], arrays->nulls[c], arrays->nrows) :
		fluct_query_array(column->base, arrays->values[c], arrays->nulls[c], arrays->nrows);
}

/* ----- keys ----- */

static uint64
hash_key(const FluctTarget *target, const FluctArrays *arrays, int r)
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
have_one_key(const FluctTarget *target, const FluctArrays *a, int r,
			 const FluctArrays *b, int s)
{
	for (int k = 0; k < target->nkeys; k++)
	{
		int			c = target->keys[k];
		TypeCacheEntry *type = lookup_type_cache(target->columns[c].base,
												 TYPECACHE_EQ_OPR_FINFO);

		if (!DatumGetBool(FunctionCall2Coll(&type->eq_opr_finfo,
											target->columns[c].collation,
											a->values[c][r],
											b->values[c][s])))
			return false;
	}
	return true;
}

FluctSeen *
fluct_arrays_begin_seen(const FluctTarget *target, int rows)
{
	FluctSeen  *seen = palloc(sizeof(FluctSeen));
	HASHCTL		control = {0};

	control.keysize = sizeof(uint64);
	control.entrysize = sizeof(FluctSeenKey);
	control.hcxt = CurrentMemoryContext;
	seen->target = target;
	seen->table = hash_create("fluct keys", Max(rows, 16), &control,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return seen;
}

FluctSeenKey *
fluct_arrays_find_seen(FluctSeen *seen, const FluctArrays *arrays, int r, bool add)
{
	uint64		hash = hash_key(seen->target, arrays, r);

	for (;; hash++)
	{
		bool		found;
		FluctSeenKey *key = hash_search(seen->table, &hash,
										add ? HASH_ENTER : HASH_FIND, &found);

		if (key && !found)
		{
			key->arrays = arrays;
			key->row = r;
			key->rows = 0;
			key->last = -1;
		}
		if (key == NULL || !found ||
			have_one_key(seen->target, key->arrays, key->row, arrays, r))
			return key;
	}
}
