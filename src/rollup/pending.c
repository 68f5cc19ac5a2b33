/*-------------------------------------------------------------------------
 *
 * pending.c
 *	  What a transaction writes right before it commits.
 *
 * A row that one transaction updates ten thousand times has ten thousand
 * versions, and each of these updates would read those before it.  So the digest
 * of customer_industries, and what row triggers add to the rollup, a row at
 * a time (replica.c), are added up in memory and written at the end.  Until then
 * they are kept by subtransaction, since one that is rolled back takes its part
 * with it.  Rows that are too many for memory are written in between, in
 * the subtransaction that they are of.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "pg/model.h"
#include "rollup/links.h"
#include "rollup/pending.h"
#include "rollup/spend.h"
#include "rollup/tables.h"

PG_FUNCTION_INFO_V1(fluct_links_pending);

/* So many rows are made fewer, or else written. */
#define MOST_ROWS	20000

typedef struct Level
{
	int			level;			/* of the subtransaction */
	/* the digest */
	bool		links_cleared;
	uint64		links;
	/* the rollup */
	bool		spend_cleared;
	MemoryContext context;		/* of the rows */
	FluctSpend *rows;
	int			nrows;
	int			size;
} Level;

/* Those of this transaction, in their order. */
static Level *levels = NULL;
static int	nlevels = 0;
static int	size = 0;

/* ----- rows of the rollup ----- */

static void
empty(Level *level)
{
	if (level->context)
		MemoryContextDelete(level->context);
	level->context = NULL;
	level->rows = NULL;
	level->nrows = level->size = 0;
}

static void
append(Level *level, const FluctSpend *rows, int n)
{
	MemoryContext old;

	if (n == 0)
		return;
	if (level->context == NULL)
		level->context = AllocSetContextCreate(TopTransactionContext,
											   "fluct pending",
											   ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(level->context);
	if (level->nrows + n > level->size)
	{
		level->size = Max(2 * level->size, level->nrows + n);
		level->rows = level->rows == NULL ?
			palloc_extended(sizeof(FluctSpend) * level->size, MCXT_ALLOC_HUGE) :
			repalloc_huge(level->rows, sizeof(FluctSpend) * level->size);
	}
	for (int i = 0; i < n; i++)
	{
		FluctSpend *row = &level->rows[level->nrows++];

		*row = rows[i];
		row->industry = (text *) DatumGetPointer(datumCopy(PointerGetDatum(rows[i].industry), false, -1));
		row->amount = datumCopy(rows[i].amount, false, -1);
	}
	MemoryContextSwitchTo(old);
}

/* One row of those with the same key, in memory of their own. */
static void
compact(Level *level)
{
	Level		merged = *level;
	MemoryContext old = MemoryContextSwitchTo(level->context);
	int			n = fluct_spend_merge(level->rows, level->nrows);

	MemoryContextSwitchTo(old);
	merged.context = NULL;
	merged.rows = NULL;
	merged.nrows = merged.size = 0;
	append(&merged, level->rows, n);
	empty(level);
	*level = merged;
}

static void
write_rows(Oid rollup, Level *level)
{
	MemoryContext old = MemoryContextSwitchTo(level->context);

	fluct_spend_write(rollup, level->rows, level->nrows);
	MemoryContextSwitchTo(old);
	empty(level);
}

/* ----- the end of a transaction ----- */

/* The tables may have gone since. */
static bool
has_tables(void)
{
	static const char *const tables[] = {
		"orders", "customer_industries", "industry_spend", "rollup_state"
	};

	for (int i = 0; i < lengthof(tables); i++)
		if (!OidIsValid(fluct_model_find(tables[i])))
			return false;
	return true;
}

static void
flush(Level *level)
{
	MemoryContext context = CurrentMemoryContext;
	FluctRollup rollup;
	FluctRights before;

	if (!has_tables())
		return;
	rollup = fluct_rollup_find(fluct_model_find("customer_industries"));
	before = fluct_rollup_enter(&rollup);
	PushActiveSnapshot(GetTransactionSnapshot());
	PG_TRY();
	{
		if (level->links_cleared || level->links != 0)
			fluct_links_write(level->links_cleared, level->links);
		if (level->nrows > 0)
			write_rows(rollup.spend, level);
	}
	PG_CATCH();
	{
		fluct_rollup_throw(context);
	}
	PG_END_TRY();
	PopActiveSnapshot();
	fluct_rollup_leave(before);
}

static void
on_transaction(XactEvent event, void *arg)
{
	if ((event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) &&
		nlevels > 0)
		flush(&levels[0]);
	if (event != XACT_EVENT_PARALLEL_PRE_COMMIT)
		nlevels = 0;
}

static void
fold(void)
{
	Level	   *inner = &levels[nlevels - 1];
	Level	   *outer = inner - 1;

	if (nlevels < 2 || outer->level < inner->level - 1)
	{
		inner->level--;
		return;
	}
	outer->links = inner->links_cleared ? inner->links : outer->links + inner->links;
	outer->links_cleared |= inner->links_cleared;
	if (inner->spend_cleared)
		empty(outer);
	outer->spend_cleared |= inner->spend_cleared;
	append(outer, inner->rows, inner->nrows);
	empty(inner);
	nlevels--;
}

static void
on_subtransaction(SubXactEvent event, SubTransactionId mine,
				  SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (nlevels == 0 || levels[nlevels - 1].level < level)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		empty(&levels[--nlevels]);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		fold();
}

/* ----- collected ----- */

static Level *
current(void)
{
	static bool registered = false;
	int			level = GetCurrentTransactionNestLevel();

	if (!registered)
	{
		RegisterXactCallback(on_transaction, NULL);
		RegisterSubXactCallback(on_subtransaction, NULL);
		registered = true;
	}
	if (nlevels > 0 && levels[nlevels - 1].level == level)
		return &levels[nlevels - 1];
	if (nlevels == size)
	{
		size = size == 0 ? 8 : size * 2;
		levels = levels == NULL ?
			MemoryContextAlloc(TopMemoryContext, sizeof(Level) * size) :
			repalloc(levels, sizeof(Level) * size);
	}
	levels[nlevels] = (Level)
	{
		.level = level
	};
	return &levels[nlevels++];
}

void
fluct_pending_link(Datum customer, Datum industry, int sign)
{
	current()->links += sign * fluct_links_hash(customer, industry);
}

void
fluct_pending_clear_links(void)
{
	Level	   *level = current();

	level->links_cleared = true;
	level->links = 0;
}

void
fluct_pending_spend(Oid rollup, const FluctSpend *minutes, int n)
{
	Level	   *level = current();

	append(level, minutes, n);
	if (level->nrows <= MOST_ROWS)
		return;
	compact(level);
	if (level->nrows > MOST_ROWS / 2)
		write_rows(rollup, level);
}

void
fluct_pending_clear_spend(void)
{
	Level	   *level = current();

	empty(level);
	level->spend_cleared = true;
}

/* What this transaction adds to the digest; NULL where all rows went. */
Datum
fluct_links_pending(PG_FUNCTION_ARGS)
{
	uint64		sum = 0;

	for (int i = 0; i < nlevels; i++)
	{
		if (levels[i].links_cleared)
			PG_RETURN_NULL();
		sum += levels[i].links;
	}
	PG_RETURN_INT64((int64) sum);
}
