/*-------------------------------------------------------------------------
 *
 * triggers.c
 *	  The triggers that keep sales.industry_spend equal to the orders.
 *
 * The rollup is the sum over orders and industries, so it changes by the
 * orders that came or went, under the industries of their customers, and by
 * the industries that customers gained or lost, for all of their orders.  Each
 * is exact only while the other side stands still.
 *
 * Exclusion.  A BEFORE STATEMENT trigger takes a lock on sales.rollup_state:
 * ROW EXCLUSIVE where orders change, which they may do side by side, SHARE ROW
 * EXCLUSIVE where customers' industries do.  It is held until the end of the
 * transaction.  What is read after it sees all that is committed by then, in
 * a REPEATABLE READ transaction, too (as ri_triggers.c does for foreign keys):
 * so no order and no industry is missed or counted twice.  Such a transaction
 * itself, with its old snapshot, may see the rollup ahead of the tables.
 *
 * No deadlock.  Each side locks the other side's table, in the mode of a
 * reader, before it takes that lock; else a TRUNCATE, which has its table
 * before its trigger runs, would wait for the lock, and its holder for the
 * table.  A renamed industry and a deleted customer go on to
 * customer_industries; they, too, take these locks before they have a row that
 * a foreign key's check would wait for.  What is left: two transactions that
 * write orders first and industries then, and a TRUNCATE of orders beside a
 * transaction that truncates customer_industries and fills it again.  One of
 * the two fails with 40P01.
 *
 * One statement, one side.  What a statement changed is booked when it ends.
 * If orders and industries changed within one statement (by WITH, or in a
 * trigger), each would be booked under the other's new state, and so some
 * twice; that is refused.  A TRUNCATE leaves nothing on its side, and so is
 * right at any time.
 *
 * Rights.  Writers of orders need no privileges on the rollup: the triggers
 * work as its owner, in a restricted operation.  So they refuse to work on
 * other tables, and on tables of another owner.  Errors that keep them from
 * their work are of class 55: a stream then waits until the cause is removed,
 * and does not blame the messages.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "rollup/delta.h"
#include "rollup/pending.h"
#include "rollup/spend.h"
#include "rollup/statement.h"
#include "rollup/tables.h"
#include "rollup/triggers.h"
#include "rollup/unseen.h"

PG_FUNCTION_INFO_V1(fluct_rollup_exclude);
PG_FUNCTION_INFO_V1(fluct_rollup_orders);
PG_FUNCTION_INFO_V1(fluct_rollup_industries);
PG_FUNCTION_INFO_V1(fluct_rollup_guard);
PG_FUNCTION_INFO_V1(fluct_rollup_bucket);

/* ----- statements that are under way ----- */

typedef enum Side
{
	ORDERS,
	INDUSTRIES
} Side;

/* Of each side, by the level of the subtransaction that began it. */
#define MOST_LEVELS 100

static struct
{
	int			n;
	int			levels[MOST_LEVELS];
}			under_way[2];

static void
forget_levels(int level)
{
	for (int side = 0; side < 2; side++)
		while (under_way[side].n > 0 &&
			   under_way[side].levels[under_way[side].n - 1] >= level)
			under_way[side].n--;
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		forget_levels(0);
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_levels(GetCurrentTransactionNestLevel());
}

static void
begin_statement(Side side)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(on_transaction_end, NULL);
		RegisterSubXactCallback(on_subtransaction_end, NULL);
		registered = true;
	}
	if (under_way[1 - side].n > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("one statement may not change both orders and customers' industries"),
				 errdetail("What it changes is booked in sales.industry_spend when it ends."),
				 errhint("Use two statements, industries first; in a trigger, a deferred constraint trigger.")));
	if (under_way[side].n == MOST_LEVELS)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("triggers that change orders or customers' industries are nested too deep")));
	under_way[side].levels[under_way[side].n++] = GetCurrentTransactionNestLevel();
}

static void
end_statement(Side side)
{
	if (under_way[side].n > 0)
		under_way[side].n--;
}

bool
fluct_rollup_books_statement(bool orders)
{
	return under_way[orders ? ORDERS : INDUSTRIES].n > 0;
}

/* The tables, if this is a trigger on one of them that we may serve. */
static FluctRollup
find_rollup(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the rollup's functions are statement triggers")));
	return fluct_rollup_find(RelationGetRelid(data->tg_relation));
}

/* ----- the exclusion ----- */

static void
exclude(FunctionCallInfo fcinfo)
{
	FluctRollup rollup = find_rollup(fcinfo);
	TriggerData *data = (TriggerData *) fcinfo->context;
	bool		truncate = TRIGGER_FIRED_BY_TRUNCATE(data->tg_event);

	if (RelationGetRelid(data->tg_relation) == rollup.orders)
	{
		if (!truncate && fluct_unseen_is_booked(data))
			begin_statement(ORDERS);
		fluct_rollup_lock_orders_side(&rollup);
	}
	else
	{
		if (RelationGetRelid(data->tg_relation) != rollup.industries)
			LockRelationOid(rollup.industries, RowExclusiveLock);
		else if (!truncate && fluct_unseen_is_booked(data))
			begin_statement(INDUSTRIES);
		if (truncate)
			LockRelationOid(rollup.state, ShareRowExclusiveLock);
		else
			fluct_rollup_lock_industries_side(&rollup);
	}
}

/* BEFORE STATEMENT, on both sides, and on what cascades to one. */
Datum
fluct_rollup_exclude(PG_FUNCTION_ARGS)
{
	return fluct_rollup_work(exclude, fcinfo);
}

/* ----- rows that came and went ----- */

#define MOST_COLUMNS 3

typedef struct Rows
{
	Tuplestorestate *store;		/* NULL = the event has none */
	TupleTableSlot *slot;
	int			ncolumns;
	int			columns[MOST_COLUMNS];
	Datum		values[MOST_COLUMNS];
	bool		has_null;
} Rows;

static Rows
open_rows(TriggerData *data, Tuplestorestate *store, int ncolumns,
		  const char *const *names, const Oid *types)
{
	TupleDesc	desc = RelationGetDescr(data->tg_relation);
	Rows		rows = {store, NULL, ncolumns};

	for (int c = 0; c < ncolumns; c++)
	{
		rows.columns[c] = SPI_fnumber(desc, names[c]);
		if (rows.columns[c] <= 0 ||
			getBaseType(SPI_gettypeid(desc, rows.columns[c])) != types[c])
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("column sales.%s.%s is not of type %s",
							RelationGetRelationName(data->tg_relation),
							names[c], format_type_be(types[c])),
					 errdetail("The rollup needs it.")));
	}
	if (store != NULL)
	{
		tuplestore_select_read_pointer(store,
									   tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND));
		tuplestore_rescan(store);
		rows.slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	}
	return rows;
}

static bool
next_row(Rows *rows)
{
	if (rows->store == NULL ||
		!tuplestore_gettupleslot(rows->store, true, false, rows->slot))
		return false;
	rows->has_null = false;
	for (int c = 0; c < rows->ncolumns; c++)
	{
		bool		isnull;

		rows->values[c] = slot_getattr(rows->slot, rows->columns[c], &isnull);
		rows->has_null |= isnull;
	}
	return true;
}

/* The same bytes; two forms of one number may come out as different. */
static bool
same_values(const Rows *a, const Rows *b)
{
	TupleDesc	desc = a->slot->tts_tupleDescriptor;

	if (a->has_null || b->has_null)
		return false;
	for (int c = 0; c < a->ncolumns; c++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, a->columns[c] - 1);

		if (!datum_image_eq(a->values[c], b->values[c], att->attbyval,
							att->attlen))
			return false;
	}
	return true;
}

static void
close_rows(Rows *rows)
{
	if (rows->slot)
		ExecDropSingleTupleTableSlot(rows->slot);
}

/*
 * Both tables get the old and the new row of an update at the same time, so
 * what stayed as it was is found by its place.  The rest does not depend on
 * the order.
 */
static void
book_rows(Rows *went, Rows *came, void (*book) (void *, const Rows *, int),
		  void *arg)
{
	bool		old = next_row(went);
	bool		new = next_row(came);

	while (old || new)
	{
		if (!(old && new && same_values(went, came)))
		{
			if (old && !went->has_null)
				book(arg, went, -1);
			if (new && !came->has_null)
				book(arg, came, 1);
		}
		old = old && next_row(went);
		new = new && next_row(came);
	}
}

/* ----- the triggers ----- */

typedef struct Book
{
	Oid			spend;
	FluctDelta *delta;			/* begun with the first row */
} Book;

static FluctDelta *
begun(Book *book)
{
	if (book->delta == NULL)
		book->delta = fluct_delta_begin(book->spend);
	return book->delta;
}

/* An order at infinity is in no window. */
static void
book_order(void *arg, const Rows *rows, int sign)
{
	if (!TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(rows->values[1])))
		fluct_delta_order(begun(arg), rows->values[0], rows->values[1],
						  rows->values[2], sign);
}

static void
book_industry(void *arg, const Rows *rows, int sign)
{
	fluct_delta_industry(begun(arg), rows->values[0], rows->values[1], sign);
	fluct_pending_link(rows->values[0], rows->values[1], sign);
}

static void
book_changes(TriggerData *data, Book *arg, int ncolumns,
			 const char *const *names, const Oid *types,
			 void (*book) (void *, const Rows *, int))
{
	Rows		went = open_rows(data, data->tg_oldtable, ncolumns, names, types);
	Rows		came = open_rows(data, data->tg_newtable, ncolumns, names, types);

	book_rows(&went, &came, book, arg);
	if (arg->delta)
		fluct_delta_end(arg->delta);
	close_rows(&went);
	close_rows(&came);
}

static void
book_statement(FunctionCallInfo fcinfo, Side side, int ncolumns,
			   const char *const *names, const Oid *types,
			   void (*book) (void *, const Rows *, int))
{
	FluctRollup rollup = find_rollup(fcinfo);
	TriggerData *data = (TriggerData *) fcinfo->context;
	Book		arg = {rollup.spend, NULL};
	MemoryContext context = CurrentMemoryContext;
	FluctRights before = fluct_rollup_enter(&rollup);

	PG_TRY();
	{
		fluct_unseen_note(data->tg_relation, side == ORDERS);
		if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
		{
			fluct_delta_clear();
			fluct_pending_clear_spend();
			if (side == INDUSTRIES)
				fluct_pending_clear_links();
		}
		else
			book_changes(data, &arg, ncolumns, names, types, book);
	}
	PG_CATCH();
	{
		fluct_rollup_throw(context);
	}
	PG_END_TRY();
	if (!TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
		end_statement(side);
	fluct_rollup_leave(before);
}

static void
book_orders(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"customer_id", "ordered_at", "amount"};
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, NUMERICOID};

	book_statement(fcinfo, ORDERS, 3, names, types, book_order);
}

/* AFTER STATEMENT on sales.orders. */
Datum
fluct_rollup_orders(PG_FUNCTION_ARGS)
{
	return fluct_rollup_work(book_orders, fcinfo);
}

static void
book_industries(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"customer_id", "industry"};
	static const Oid types[] = {TEXTOID, TEXTOID};

	book_statement(fcinfo, INDUSTRIES, 2, names, types, book_industry);
}

/* AFTER STATEMENT on sales.customer_industries. */
Datum
fluct_rollup_industries(PG_FUNCTION_ARGS)
{
	return fluct_rollup_work(book_industries, fcinfo);
}

/*
 * AFTER STATEMENT on sales.industry_spend.  Whoever writes there, rather than
 * the triggers, makes it wrong: a person, or a dump's data that is restored
 * beside orders which have been booked by then.
 */
Datum
fluct_rollup_guard(PG_FUNCTION_ARGS)
{
	static void *plan = NULL;
	FluctRollup rollup;
	FluctRights before;

	if (fluct_statement_is_running())
		return PointerGetDatum(NULL);
	rollup = find_rollup(fcinfo);
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA &&
		!TRIGGER_FIRED_BY_TRUNCATE(((TriggerData *) fcinfo->context)->tg_event))
		return PointerGetDatum(NULL);	/* its rows were skipped */
	before = fluct_rollup_enter(&rollup);
	fluct_statement_run(&plan,
						"UPDATE sales.rollup_state SET valid = false,"
						" reason = 'sales.industry_spend was written by hand or by a restore'"
						" WHERE valid");
	fluct_rollup_leave(before);
	return PointerGetDatum(NULL);
}

/* The beginning of the bucket of that many seconds, in UTC. */
Datum
fluct_rollup_bucket(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);
	int32		width = PG_GETARG_INT32(1);

	if (width <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("width must be positive")));
	if (TIMESTAMP_NOT_FINITE(at))
		PG_RETURN_TIMESTAMPTZ(at);
	PG_RETURN_TIMESTAMPTZ(fluct_spend_bucket(at, width));
}
