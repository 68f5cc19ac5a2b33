/*-------------------------------------------------------------------------
 *
 * direct.c
 *	  The direct path of rows into plain tables.
 *
 * COPY's machinery reads a format, calls a receive function for each field,
 * looks for the partition of each row, and calls BRIN for each row.  A batch
 * knows more: its fields are right, and the lines of an order have one
 * ordered_at.  So for tables on which nothing else happens (plain.c) rows go
 * from the decoder's form into tuples (datum.c), and these by the hundred into
 * the table (leaf.c).
 *
 * Who may.  Everything here runs as the stream's owner, in the restricted
 * operation of the caller: opening the tables and their indexes, planning and
 * evaluating defaults, CHECKs, partition keys, index expressions.  The caller
 * checks the right to INSERT, and that the plan of an INSERT would be a bare
 * ModifyTable (insert.c).
 *
 * Partitions.  The executor finds a row's partition, and makes what is needed
 * to write there.  It is asked only if the partition key is another than that
 * of the row before.  A partition that is not plain has its rows handed back to
 * the caller, for COPY.
 *
 * Defaults of columns that nothing fills are computed once, since within a
 * statement they cannot differ; but a sequence's next value for each row.
 * Those that are volatile in another way are COPY's.
 *
 * Errors are those of the executor and of the heap, so halving.c finds the
 * guilty message as it does behind COPY.  They leave everything to the end of
 * the subtransaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"

#include "pg/guc.h"
#include "sink/direct.h"
#include "sink/leaf.h"
#include "sink/plain.h"
#include "sink/samekey.h"

/* Bytes of rows that wait, and leaves that hold a page meanwhile, at most. */
#define MOST_WAITING	((Size) 256 * 1024)
#define MOST_LEAVES		32

/* A column that nothing fills. */
typedef struct Default
{
	AttrNumber	attnum;
	ExprState  *next;			/* gives another value for each row, or NULL */
	Datum		value;
	bool		isnull;
} Default;

struct FluctDirect
{
	MemoryContext before;		/* the caller's */
	MemoryContext context;
	MemoryContext row;			/* what rows are made of; reset by a flush */
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *root;
	ModifyTableState *mtstate;
	PartitionTupleRouting *routing; /* NULL if not partitioned */
	TupleTableSlot *slot;
	int			ndefaults;
	Default    *defaults;
	List	   *leaves;
	FluctLeaf  *leaf;			/* of the row before */
	bool		cached;			/* the key alone decides on the leaf */
	FluctSameKey key;			/* the partition key, if made of columns */
	Size		waiting;		/* bytes */
};

/* ----- defaults ----- */

/* Adds the column's default; false if that is COPY's. */
static bool
add_default(FluctDirect *direct, AttrNumber attnum)
{
	Default    *this = &direct->defaults[direct->ndefaults++];
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(direct->rel), attnum - 1);
	Node	   *expr = build_column_default(direct->rel, attnum);
	ExprContext *econtext = GetPerTupleExprContext(direct->estate);
	ExprState  *state;

	this->attnum = attnum;
	this->isnull = true;
	if (expr == NULL)
		return true;
	expr = (Node *) expression_planner((Expr *) expr);
	if (contain_volatile_functions_not_nextval(expr))
		return false;
	state = ExecInitExpr((Expr *) expr, NULL);
	if (contain_volatile_functions(expr))
	{
		this->next = state;
		return true;
	}
	this->value = ExecEvalExprSwitchContext(state, econtext, &this->isnull);
	if (!this->isnull)
		this->value = datumCopy(this->value, att->attbyval, att->attlen);
	return true;
}

static bool
add_defaults(FluctDirect *direct, const AttrNumber *attnums, int nattnums)
{
	TupleDesc	desc = RelationGetDescr(direct->rel);

	direct->defaults = palloc0(sizeof(Default) * (desc->natts + 1));
	for (int c = 1; c <= desc->natts; c++)
	{
		bool		filled = false;

		for (int i = 0; i < nattnums; i++)
			filled |= attnums[i] == c;
		if (TupleDescAttr(desc, c - 1)->attisdropped)
		{
			direct->defaults[direct->ndefaults].attnum = c;
			direct->defaults[direct->ndefaults++].isnull = true;
		}
		else if (!filled && !add_default(direct, c))
			return false;
	}
	return true;
}

/* ----- begin ----- */

static void
open_root(FluctDirect *direct)
{
	EState	   *estate = direct->estate;
	PartitionKey key;

	estate->es_output_cid = GetCurrentCommandId(true);
	direct->root = makeNode(ResultRelInfo);
	InitResultRelInfo(direct->root, direct->rel, 0, NULL, 0);
	direct->slot = MakeSingleTupleTableSlot(RelationGetDescr(direct->rel),
											&TTSOpsVirtual);
	if (direct->rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
	{
		ExecOpenIndices(direct->root, false);
		direct->leaf = fluct_leaf_open(estate, direct->root);
		direct->leaves = list_make1(direct->leaf);
		return;
	}
	direct->mtstate = makeNode(ModifyTableState);
	direct->mtstate->ps.state = estate;
	direct->mtstate->operation = CMD_INSERT;
	direct->mtstate->mt_nrels = 1;
	direct->mtstate->resultRelInfo = direct->root;
	direct->mtstate->rootResultRelInfo = direct->root;
	direct->routing = ExecSetupPartitionTupleRouting(estate, direct->rel);
	direct->cached = !direct->rel->rd_rel->relispartition;
	direct->key.context = direct->context;
	key = RelationGetPartitionKey(direct->rel);
	for (int i = 0; i < key->partnatts; i++)
		direct->cached = direct->cached && key->partattrs[i] > 0 &&
			fluct_samekey_add(&direct->key, key->partattrs[i]);
}

FluctDirect *
fluct_direct_begin(Oid relid, const AttrNumber *attnums, int nattnums)
{
	MemoryContext before = CurrentMemoryContext;
	MemoryContext context;
	Relation	rel;
	FluctDirect *direct;

	if (!fluct_direct_path)
		return NULL;
	rel = table_open(relid, RowExclusiveLock);
	if (!fluct_plain_is(rel))
	{
		table_close(rel, NoLock);
		return NULL;
	}
	context = AllocSetContextCreate(before, "fluct direct",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	direct = palloc0(sizeof(FluctDirect));
	direct->before = before;
	direct->context = context;
	direct->row = AllocSetContextCreate(context, "fluct direct row",
										ALLOCSET_DEFAULT_SIZES);
	direct->rel = rel;
	direct->estate = CreateExecutorState();
	if (add_defaults(direct, attnums, nattnums))
	{
		open_root(direct);
		return direct;
	}
	FreeExecutorState(direct->estate);
	table_close(rel, NoLock);
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
	return NULL;
}

/* ----- rows ----- */

static void
flush(FluctDirect *direct)
{
	ListCell   *lc;
	bool		rest = list_length(direct->leaves) > MOST_LEAVES;

	foreach(lc, direct->leaves)
	{
		fluct_leaf_flush(lfirst(lc));
		if (rest)
			fluct_leaf_rest(lfirst(lc));
	}
	direct->waiting = 0;
	MemoryContextReset(direct->row);
}

static FluctLeaf *
leaf_of(FluctDirect *direct, ResultRelInfo *info)
{
	FluctLeaf  *leaf;
	ListCell   *lc;
	MemoryContext old;

	foreach(lc, direct->leaves)
		if (fluct_leaf_info(lfirst(lc)) == info)
		return lfirst(lc);
	old = MemoryContextSwitchTo(direct->context);
	leaf = fluct_leaf_open(direct->estate, info);
	direct->leaves = lcons(leaf, direct->leaves);
	MemoryContextSwitchTo(old);
	/* below another level, other columns decide as well */
	if (direct->cached &&
		get_partition_parent(RelationGetRelid(info->ri_RelationDesc), true) !=
		RelationGetRelid(direct->rel))
		direct->cached = false;
	return leaf;
}

/* Where the row goes. */
static FluctLeaf *
route(FluctDirect *direct)
{
	TupleTableSlot *slot = direct->slot;
	ResultRelInfo *info;

	if (direct->routing == NULL)
		return direct->leaf;
	if (direct->cached &&
		fluct_samekey_is(&direct->key, slot->tts_tupleDescriptor,
						 slot->tts_values, slot->tts_isnull) && direct->leaf)
		return direct->leaf;
	ResetPerTupleExprContext(direct->estate);
	info = ExecFindPartition(direct->mtstate, direct->root, direct->routing,
							 slot, direct->estate);
	direct->leaf = leaf_of(direct, info);
	return direct->leaf;
}

TupleTableSlot *
fluct_direct_row(FluctDirect *direct)
{
	TupleTableSlot *slot = direct->slot;

	ExecClearTuple(slot);
	MemoryContextSwitchTo(direct->row);
	for (int i = 0; i < direct->ndefaults; i++)
	{
		const Default *this = &direct->defaults[i];
		int			c = this->attnum - 1;

		slot->tts_values[c] = this->value;
		slot->tts_isnull[c] = this->isnull;
		if (this->next)
			slot->tts_values[c] =
				ExecEvalExpr(this->next, GetPerTupleExprContext(direct->estate),
							 &slot->tts_isnull[c]);
	}
	return slot;
}

bool
fluct_direct_add(FluctDirect *direct)
{
	FluctLeaf  *leaf;

	ExecStoreVirtualTuple(direct->slot);
	leaf = route(direct);
	if (!fluct_leaf_is_plain(leaf))
	{
		MemoryContextReset(direct->row);
		return false;
	}
	direct->waiting += fluct_leaf_add(leaf, direct->slot);
	if (direct->waiting >= MOST_WAITING || fluct_leaf_is_full(leaf))
		flush(direct);
	return true;
}

void
fluct_direct_end(FluctDirect *direct)
{
	ListCell   *lc;

	flush(direct);
	foreach(lc, direct->leaves)
		fluct_leaf_close(lfirst(lc));
	ExecDropSingleTupleTableSlot(direct->slot);
	if (direct->routing)
		ExecCleanupTupleRouting(direct->mtstate, direct->routing);
	else
		ExecCloseIndices(direct->root);
	FreeExecutorState(direct->estate);
	table_close(direct->rel, NoLock);
	MemoryContextSwitchTo(direct->before);
	MemoryContextDelete(direct->context);
}
