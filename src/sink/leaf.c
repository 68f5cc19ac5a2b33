/*-------------------------------------------------------------------------
 *
 * leaf.c
 *	  One table into which the direct path stores rows.
 *
 * Rows are formed as they come, so that the values that they are made of can
 * be forgotten, and written by the hundred: table_multi_insert fills a page
 * under one lock and with one WAL record, and the bulk-insert state keeps that
 * page at hand.
 *
 * BRIN.  A BRIN index says of each range of pages what values are in there.
 * Its insert function looks whether the summary has a row's value already; of
 * 50 lines with one ordered_at, 49 times it has.  So it is called for a row
 * only if the key is another than that of the row before, or the page is of
 * another range.  Why nothing is missed: the row for which it was called has
 * the same key, is in the same range, and stands or falls with this one (both
 * are of one subtransaction).  If the range was summarized then, its summary
 * has the key, and a summary only ever grows.  If it was not, whoever
 * summarizes it later reads all of its rows, those in progress included, and
 * finds at least that first row.
 *
 * All other indexes are the executor's, with their expressions, predicates and
 * constraints.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/brin.h"
#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/tupconvert.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "pg/compat.h"
#include "sink/leaf.h"
#include "sink/plain.h"
#include "sink/samekey.h"

struct FluctLeaf
{
	EState	   *estate;
	ResultRelInfo *info;
	bool		plain;
	TupleConversionMap *map;	/* from the named table's columns, or NULL */
	TupleTableSlot *mapped;		/* for map */
	bool		checks;			/* it has CHECKs, or is a partition itself */
	int			nnotnull;
	AttrNumber *notnull;		/* columns that are NOT NULL */
	MemoryContext context;
	MemoryContext tuples;		/* what a flush leaves behind */
	BulkInsertState bulk;
	int			nslots;
	int			nrows;			/* that wait, in the first slots */
	TupleTableSlot *slots[FLUCT_LEAF_ROWS];
	bool		fresh[FLUCT_LEAF_ROWS]; /* another BRIN key than before it */
	int			nindexes;		/* of all kinds */
	int			nbrin;			/* the last ones of info's indexes */
	BlockNumber *range_pages;	/* by BRIN index */
	BlockNumber *range;			/* of the row that was inserted last */
	FluctSameKey brin_key;
};

/* ----- indexes ----- */

/* Whether the index is a BRIN of columns alone, which are added to the key. */
static bool
is_served_here(FluctLeaf *leaf, Relation index, const IndexInfo *info)
{
	if (index->rd_rel->relam != BRIN_AM_OID || info->ii_Expressions != NIL ||
		info->ii_Predicate != NIL)
		return false;
	for (int k = 0; k < info->ii_NumIndexAttrs; k++)
		if (info->ii_IndexAttrNumbers[k] <= 0 ||
			!fluct_samekey_add(&leaf->brin_key, info->ii_IndexAttrNumbers[k]))
			return false;
	return true;
}

/*
 * Puts the indexes that are served here behind the others, which keep their
 * order, and are all that the executor then knows of.
 */
static void
divide_indexes(FluctLeaf *leaf)
{
	ResultRelInfo *info = leaf->info;
	int			n = info->ri_NumIndices;
	Relation   *relations = palloc(sizeof(Relation) * (n + 1));
	IndexInfo **infos = palloc(sizeof(IndexInfo *) * (n + 1));
	BrinStatsData stats;

	leaf->nindexes = n;
	leaf->range_pages = palloc0(sizeof(BlockNumber) * (n + 1));
	leaf->range = palloc0(sizeof(BlockNumber) * (n + 1));
	info->ri_NumIndices = 0;
	for (int i = 0; i < n; i++)
	{
		Relation	index = info->ri_IndexRelationDescs[i];
		bool		here = is_served_here(leaf, index,
										  info->ri_IndexRelationInfo[i]);
		int			at = here ? n - ++leaf->nbrin : info->ri_NumIndices++;

		relations[at] = index;
		infos[at] = info->ri_IndexRelationInfo[i];
		if (!here)
			continue;
		brinGetStats(index, &stats);
		leaf->range_pages[at] = stats.pagesPerRange;
		leaf->range[at] = InvalidBlockNumber;
	}
	if (n == 0)
		return;
	memcpy(info->ri_IndexRelationDescs, relations, sizeof(Relation) * n);
	memcpy(info->ri_IndexRelationInfo, infos, sizeof(IndexInfo *) * n);
}

static void
insert_brin(FluctLeaf *leaf, int i, TupleTableSlot *slot, bool fresh)
{
	IndexInfo  *info = leaf->info->ri_IndexRelationInfo[i];
	BlockNumber range = ItemPointerGetBlockNumber(&slot->tts_tid) /
	leaf->range_pages[i];
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	if (!fresh && range == leaf->range[i])
		return;
	leaf->range[i] = range;
	FormIndexDatum(info, slot, leaf->estate, values, nulls);
	index_insert(leaf->info->ri_IndexRelationDescs[i], values, nulls,
				 &slot->tts_tid, leaf->info->ri_RelationDesc, UNIQUE_CHECK_NO,
				 false, info);
}

static void
insert_indexes(FluctLeaf *leaf)
{
	MemoryContext per_row = GetPerTupleMemoryContext(leaf->estate);

	for (int r = 0; r < leaf->nrows; r++)
	{
		TupleTableSlot *slot = leaf->slots[r];
		MemoryContext old = MemoryContextSwitchTo(per_row);

		for (int i = leaf->info->ri_NumIndices; i < leaf->nindexes; i++)
			insert_brin(leaf, i, slot, leaf->fresh[r]);
		MemoryContextSwitchTo(old);
		if (leaf->info->ri_NumIndices > 0 &&
			fluct_compat_insert_index_tuples(leaf->info, slot,
											 leaf->estate) != NIL)
			elog(ERROR, "a deferred constraint on \"%s\"",
				 RelationGetRelationName(leaf->info->ri_RelationDesc));
		ResetPerTupleExprContext(leaf->estate);
	}
}

/* ----- open ----- */

static void
find_not_null(FluctLeaf *leaf, TupleDesc desc)
{
	leaf->notnull = palloc(sizeof(AttrNumber) * (desc->natts + 1));
	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attnotnull &&
			!TupleDescAttr(desc, i)->attisdropped)
			leaf->notnull[leaf->nnotnull++] = i + 1;
}

FluctLeaf *
fluct_leaf_open(EState *estate, ResultRelInfo *info)
{
	Relation	rel = info->ri_RelationDesc;
	TupleDesc	desc = RelationGetDescr(rel);
	FluctLeaf  *leaf = palloc0(sizeof(FluctLeaf));

	leaf->estate = estate;
	leaf->info = info;
	leaf->context = CurrentMemoryContext;
	leaf->plain = fluct_plain_is(rel) &&
		rel->rd_rel->relkind == RELKIND_RELATION;
	if (!leaf->plain)
		return leaf;
	leaf->tuples = AllocSetContextCreate(CurrentMemoryContext, "fluct tuples",
										 ALLOCSET_DEFAULT_SIZES);
	if (info->ri_RootResultRelInfo)
		leaf->map = fluct_compat_child_map(info, estate);
	if (leaf->map)
		leaf->mapped = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	leaf->checks = desc->constr && desc->constr->num_check > 0;
	find_not_null(leaf, desc);
	leaf->brin_key.context = CurrentMemoryContext;
	divide_indexes(leaf);
	return leaf;
}

bool
fluct_leaf_is_plain(const FluctLeaf *leaf)
{
	return leaf->plain;
}

ResultRelInfo *
fluct_leaf_info(const FluctLeaf *leaf)
{
	return leaf->info;
}

/* ----- rows ----- */

static bool
has_null(const FluctLeaf *leaf, const TupleTableSlot *slot)
{
	for (int i = 0; i < leaf->nnotnull; i++)
		if (slot->tts_isnull[leaf->notnull[i] - 1])
			return true;
	return false;
}

/* The executor's own function checks, and says what is wrong. */
static void
check_constraints(FluctLeaf *leaf, TupleTableSlot *slot)
{
	bool		root = leaf->info->ri_RootResultRelInfo == NULL;

	if (leaf->checks || has_null(leaf, slot))
	{
		ResetPerTupleExprContext(leaf->estate);
		ExecConstraints(leaf->info, slot, leaf->estate);
	}
	if (root && leaf->info->ri_RelationDesc->rd_rel->relispartition)
		ExecPartitionCheck(leaf->info, slot, leaf->estate, true);
}

static TupleTableSlot *
free_slot(FluctLeaf *leaf)
{
	MemoryContext old;

	if (leaf->nrows == leaf->nslots)
	{
		old = MemoryContextSwitchTo(leaf->context);
		leaf->slots[leaf->nslots++] =
			MakeSingleTupleTableSlot(RelationGetDescr(leaf->info->ri_RelationDesc),
									 &TTSOpsHeapTuple);
		MemoryContextSwitchTo(old);
	}
	return leaf->slots[leaf->nrows];
}

Size
fluct_leaf_add(FluctLeaf *leaf, TupleTableSlot *slot)
{
	TupleDesc	desc = RelationGetDescr(leaf->info->ri_RelationDesc);
	MemoryContext old;
	HeapTuple	tuple;

	if (leaf->map)
		slot = execute_attr_map_slot(leaf->map->attrMap, slot, leaf->mapped);
	check_constraints(leaf, slot);
	if (leaf->nbrin > 0)
		leaf->fresh[leaf->nrows] =
			!fluct_samekey_is(&leaf->brin_key, desc, slot->tts_values,
							  slot->tts_isnull);
	old = MemoryContextSwitchTo(leaf->tuples);
	tuple = heap_form_tuple(desc, slot->tts_values, slot->tts_isnull);
	MemoryContextSwitchTo(old);
	ExecStoreHeapTuple(tuple, free_slot(leaf), true);
	leaf->nrows++;
	return tuple->t_len;
}

bool
fluct_leaf_is_full(const FluctLeaf *leaf)
{
	return leaf->nrows == FLUCT_LEAF_ROWS;
}

void
fluct_leaf_flush(FluctLeaf *leaf)
{
	MemoryContext old;

	if (leaf->nrows == 0)
		return;
	if (leaf->bulk == NULL)
	{
		old = MemoryContextSwitchTo(leaf->context);
		leaf->bulk = GetBulkInsertState();
		MemoryContextSwitchTo(old);
	}
	old = MemoryContextSwitchTo(leaf->tuples);
	table_multi_insert(leaf->info->ri_RelationDesc, leaf->slots, leaf->nrows,
					   leaf->estate->es_output_cid, 0, leaf->bulk);
	MemoryContextSwitchTo(old);
	if (leaf->nindexes > 0)
		insert_indexes(leaf);
	for (int r = 0; r < leaf->nrows; r++)
		ExecClearTuple(leaf->slots[r]);
	MemoryContextReset(leaf->tuples);
	leaf->nrows = 0;
}

void
fluct_leaf_rest(FluctLeaf *leaf)
{
	Assert(leaf->nrows == 0);
	if (leaf->bulk)
		FreeBulkInsertState(leaf->bulk);
	leaf->bulk = NULL;
	while (leaf->nslots > 0)
		ExecDropSingleTupleTableSlot(leaf->slots[--leaf->nslots]);
}

void
fluct_leaf_close(FluctLeaf *leaf)
{
	if (!leaf->plain)
		return;
	fluct_leaf_rest(leaf);
	if (leaf->mapped)
		ExecDropSingleTupleTableSlot(leaf->mapped);
	leaf->info->ri_NumIndices = leaf->nindexes;
}
