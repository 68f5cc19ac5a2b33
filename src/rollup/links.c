/*-------------------------------------------------------------------------
 *
 * links.c
 *	  A digest of customer_industries, kept.
 *
 * A ranking over members is right only where all have the same industries of
 * the customers, and they are too many to be compared at each call.  So
 * sales.rollup_state has the sum, modulo 2^64, of a hash of each row: a change
 * adds to it and takes away from it, and the order does not matter.
 *
 * It is written once a transaction, right before the commit: a row that one
 * transaction updates ten thousand times has ten thousand versions, which each of
 * these updates would read.  Until then what came and went is added up by
 * subtransaction, since one that is rolled back takes its part with it.  The
 * lock that a change of industries holds (triggers.c) keeps others away.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "pg/model.h"
#include "rollup/delta.h"
#include "rollup/links.h"
#include "rollup/tables.h"

PG_FUNCTION_INFO_V1(fluct_links_pending);

typedef struct Change
{
	int			level;			/* of the subtransaction */
	bool		cleared;
	uint64		sum;
} Change;

/* Those of this transaction, in the order of their levels. */
static Change *changes = NULL;
static int	nchanges = 0;
static int	size = 0;

/* ----- written ----- */

/* The tables may have gone since, and create_tables() is yet to add the column. */
static bool
is_kept(void)
{
	static const char *const tables[] = {"orders", "customer_industries", "industry_spend"};

	for (int i = 0; i < lengthof(tables); i++)
		if (!OidIsValid(fluct_model_find(tables[i])))
			return false;
	return get_attnum(fluct_model_find("rollup_state"), "links") != InvalidAttrNumber;
}

/* Nothing of schema fluct, which may have gone, too; else fluct._wrap(). */
static void
write_digest(const Change *change)
{
	static void *plans[2];
	static const char *const statements[] = {
		"UPDATE sales.rollup_state SET links ="
		" (((links::numeric + $1) % 18446744073709551616"
		" + 27670116110564327424) % 18446744073709551616"
		" - 9223372036854775808)::bigint",
		"UPDATE sales.rollup_state SET links = $1"
	};

	fluct_delta_run_with(&plans[change->cleared], statements[change->cleared],
						 Int64GetDatum((int64) change->sum));
}

static void
flush(void)
{
	MemoryContext context = CurrentMemoryContext;
	FluctRollup rollup;
	FluctRights before;

	if (!is_kept())
		return;
	rollup = fluct_rollup_find(fluct_model_find("customer_industries"));
	before = fluct_rollup_enter(&rollup);
	PG_TRY();
	{
		write_digest(&changes[0]);
	}
	PG_CATCH();
	{
		fluct_rollup_throw(context);
	}
	PG_END_TRY();
	fluct_rollup_leave(before);
}

/* ----- transactions ----- */

static void
on_transaction(XactEvent event, void *arg)
{
	if ((event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) &&
		nchanges > 0 && (changes[0].cleared || changes[0].sum != 0))
		flush();
	if (event != XACT_EVENT_PARALLEL_PRE_COMMIT)
		nchanges = 0;
}

static void
fold(void)
{
	Change	   *inner = &changes[nchanges - 1];
	Change	   *outer = inner - 1;

	if (nchanges < 2 || outer->level < inner->level - 1)
	{
		inner->level--;
		return;
	}
	outer->sum = inner->cleared ? inner->sum : outer->sum + inner->sum;
	outer->cleared |= inner->cleared;
	nchanges--;
}

static void
on_subtransaction(SubXactEvent event, SubTransactionId mine,
				  SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (nchanges == 0 || changes[nchanges - 1].level < level)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		nchanges--;
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		fold();
}

/* ----- collected ----- */

static Change *
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
	if (nchanges > 0 && changes[nchanges - 1].level == level)
		return &changes[nchanges - 1];
	if (nchanges == size)
	{
		size = size == 0 ? 8 : size * 2;
		changes = changes == NULL ?
			MemoryContextAlloc(TopMemoryContext, sizeof(Change) * size) :
			repalloc(changes, sizeof(Change) * size);
	}
	changes[nchanges] = (Change)
	{
		.level = level
	};
	return &changes[nchanges++];
}

static uint64
hash(Datum value, uint64 seed)
{
	return DatumGetUInt64(DirectFunctionCall2Coll(hashtextextended,
												  C_COLLATION_OID, value,
												  UInt64GetDatum(seed)));
}

void
fluct_links_add(Datum customer, Datum industry, int sign)
{
	current()->sum += sign * hash(industry, hash(customer, 0));
}

void
fluct_links_clear(void)
{
	Change	   *change = current();

	change->cleared = true;
	change->sum = 0;
}

/* What this transaction adds when it commits; NULL where all rows went. */
Datum
fluct_links_pending(PG_FUNCTION_ARGS)
{
	uint64		sum = 0;

	for (int i = 0; i < nchanges; i++)
	{
		if (changes[i].cleared)
			PG_RETURN_NULL();
		sum += changes[i].sum;
	}
	PG_RETURN_INT64((int64) sum);
}
