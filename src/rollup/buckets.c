/*-------------------------------------------------------------------------
 *
 * buckets.c
 *	  Rows of sales.industry_spend, added up in place.
 *
 * INSERT ... ON CONFLICT costs about 4 microseconds of CPU a row, most of it
 * for what cannot happen here: that somebody else inserts the same key.  So
 * where the table is as it was made, the rows go past the executor.
 *
 * The rows that are there are found by one walk along the primary key beside
 * the new ones, which jumps where the next is far.  Orders in time order have
 * nearly all of their minutes behind the last one: the walk ends, and the rest
 * is inserted page by page.  It sees what is committed and what this
 * transaction did (SnapshotSelf), in all transactions the same, and leaves no
 * trace that a serializable transaction would have to compare.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "rollup/buckets.h"

#define COLUMNS			6
#define KEY_COLUMNS		4
/* Rows that go into the table together. */
#define MOST_NEW		256
/* fluct's own: the guard, and its sister for what replication applies. */
#define MOST_TRIGGERS	2
/* So many rows further on, descending the index again is as cheap. */
#define FAR				32

typedef struct Walk
{
	Relation	rel;
	Relation	index;
	CatalogIndexState indexes;
	int			slot;
	SysScanDesc scan;			/* NULL = not begun, or at its end */
	HeapTuple	at;				/* the row that the walk has reached, or NULL */
	Datum		values[COLUMNS];	/* its values */
	bool		nulls[COLUMNS];
	int			nnew;
	TupleTableSlot *new[MOST_NEW];
} Walk;

int
fluct_buckets_compare(const text * a, const text * b)
{
	int			la = VARSIZE_ANY_EXHDR(a);
	int			lb = VARSIZE_ANY_EXHDR(b);
	int			order = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(la, lb));

	return order != 0 ? order : la - lb;
}

/* ----- is it the table that create_tables() makes ----- */

static bool
has_columns(TupleDesc desc)
{
	static const char *const names[COLUMNS] = {
		"width", "bucket", "industry", "slot", "orders", "amount"
	};
	static const Oid types[COLUMNS] = {
		INT4OID, TIMESTAMPTZOID, TEXTOID, INT2OID, INT8OID, NUMERICOID
	};

	if (desc->natts != COLUMNS ||
		(desc->constr &&
		 (desc->constr->num_check > 0 || desc->constr->has_generated_stored)))
		return false;
	for (int c = 0; c < COLUMNS; c++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, c);

		if (att->attisdropped || att->atttypid != types[c] ||
			att->atttypmod >= 0 || strcmp(NameStr(att->attname), names[c]) != 0)
			return false;
	}
	return true;
}

static bool
is_as_made(Relation rel, CatalogIndexState indexes)
{
	Relation	index;

	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		rel->rd_rel->relam != HEAP_TABLE_AM_OID ||
		rel->rd_rel->relrowsecurity || rel->rd_rules != NULL ||
		(rel->trigdesc && rel->trigdesc->numtriggers > MOST_TRIGGERS) ||
		!has_columns(RelationGetDescr(rel)) ||
		indexes->ri_NumIndices != 1)
		return false;
	index = indexes->ri_IndexRelationDescs[0];
	if (index->rd_rel->relam != BTREE_AM_OID ||
		!index->rd_index->indisvalid || !index->rd_index->indisunique ||
		index->rd_index->indnatts != KEY_COLUMNS ||
		index->rd_indcollation[2] != C_COLLATION_OID)
		return false;
	for (int c = 0; c < KEY_COLUMNS; c++)
		if (index->rd_index->indkey.values[c] != c + 1 ||
			index->rd_indoption[c] != 0)
			return false;
	return true;
}

/* ----- the walk ----- */

static void
end_scan(Walk *walk)
{
	if (walk->scan)
		systable_endscan_ordered(walk->scan);
	walk->scan = NULL;
	walk->at = NULL;
}

static void
step(Walk *walk)
{
	walk->at = systable_getnext_ordered(walk->scan, ForwardScanDirection);
	if (walk->at)
		heap_deform_tuple(walk->at, RelationGetDescr(walk->rel), walk->values,
						  walk->nulls);
}

/* From the row's bucket on, as far as its width goes. */
static void
begin_scan(Walk *walk, const FluctSpend *row)
{
	ScanKeyData keys[2];

	end_scan(walk);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(row->width));
	ScanKeyInit(&keys[1], 2, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
				TimestampTzGetDatum(row->bucket));
	walk->scan = systable_beginscan_ordered(walk->rel, walk->index,
											SnapshotSelf, 2, keys);
	step(walk);
}

/* Whether the walk is before, at or behind the row's place. */
static int
compare_place(const Walk *walk, const FluctSpend *row)
{
	TimestampTz bucket = DatumGetTimestampTz(walk->values[1]);
	int			order;

	if (bucket != row->bucket)
		return bucket < row->bucket ? -1 : 1;
	order = fluct_buckets_compare(DatumGetTextPP(walk->values[2]), row->industry);
	return order != 0 ? order : DatumGetInt16(walk->values[3]) - walk->slot;
}

/* Walks on to the row's key; whether there is such a row. */
static bool
find(Walk *walk, const FluctSpend *row, bool same_width)
{
	int			steps = 0;

	if (!same_width)
		begin_scan(walk, row);
	while (walk->at)
	{
		int			place = compare_place(walk, row);

		if (place >= 0)
			return place == 0;
		if (++steps % FAR == 0 &&
			DatumGetTimestampTz(walk->values[1]) < row->bucket)
			begin_scan(walk, row);
		else
			step(walk);
	}
	return false;
}

/* ----- writing ----- */

static void
flush_new(Walk *walk)
{
	if (walk->nnew > 0)
		CatalogTuplesMultiInsertWithInfo(walk->rel, walk->new, walk->nnew,
										 walk->indexes);
	walk->nnew = 0;
}

static void
insert(Walk *walk, const FluctSpend *row)
{
	TupleTableSlot *slot = walk->new[walk->nnew];

	if (slot == NULL)
		slot = walk->new[walk->nnew] =
			MakeSingleTupleTableSlot(RelationGetDescr(walk->rel),
									 &TTSOpsHeapTuple);
	ExecClearTuple(slot);
	memset(slot->tts_isnull, false, COLUMNS);
	slot->tts_values[0] = Int32GetDatum(row->width);
	slot->tts_values[1] = TimestampTzGetDatum(row->bucket);
	slot->tts_values[2] = PointerGetDatum(row->industry);
	slot->tts_values[3] = Int16GetDatum(walk->slot);
	slot->tts_values[4] = Int64GetDatum(row->orders);
	slot->tts_values[5] = row->amount;
	ExecStoreVirtualTuple(slot);
	if (++walk->nnew == MOST_NEW)
		flush_new(walk);
}

static void
update(Walk *walk, const FluctSpend *row)
{
	bool		replace[COLUMNS] = {false, false, false, false, true, true};
	HeapTuple	tuple;

	walk->values[4] = Int64GetDatum(DatumGetInt64(walk->values[4]) + row->orders);
	walk->values[5] = DirectFunctionCall2(numeric_add, walk->values[5],
										  row->amount);
	tuple = heap_modify_tuple(walk->at, RelationGetDescr(walk->rel),
							  walk->values, walk->nulls, replace);
	CatalogTupleUpdateWithInfo(walk->rel, &walk->at->t_self, tuple,
							   walk->indexes);
	heap_freetuple(tuple);
}

bool
fluct_buckets_add(Oid relid, int slot, const FluctSpend *rows, int n)
{
	Walk	   *walk = palloc0(sizeof(Walk));
	bool		usable;

	walk->rel = table_open(relid, RowExclusiveLock);
	walk->indexes = CatalogOpenIndexes(walk->rel);
	walk->slot = slot;
	usable = is_as_made(walk->rel, walk->indexes);
	if (usable)
	{
		/* a row that this transaction wrote may be written again */
		CommandCounterIncrement();
		walk->index = walk->indexes->ri_IndexRelationDescs[0];
		for (int i = 0; i < n; i++)
		{
			if (find(walk, &rows[i], i > 0 && rows[i - 1].width == rows[i].width))
				update(walk, &rows[i]);
			else
				insert(walk, &rows[i]);
		}
		end_scan(walk);
		flush_new(walk);
		for (int i = 0; i < MOST_NEW && walk->new[i]; i++)
			ExecDropSingleTupleTableSlot(walk->new[i]);
	}
	CatalogCloseIndexes(walk->indexes);
	table_close(walk->rel, NoLock);
	return usable;
}
