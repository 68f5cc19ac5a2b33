/*-------------------------------------------------------------------------
 *
 * replica.c
 *	  The rollup of a subscriber: what logical replication applies.
 *
 * The worker that applies changes fires row triggers alone, and of those only
 * the ones enabled as REPLICA or ALWAYS.  So here are row triggers, enabled as
 * REPLICA.  Where statement triggers fire as well, which are enabled as ALWAYS
 * (in the initial copy, and in a session where session_replication_role is
 * replica), these book (triggers.c), many rows at once; the row triggers know
 * by what the BEFORE STATEMENT trigger noted, and do nothing.  So no change is
 * booked twice, however somebody enables them.  TRUNCATE has statement triggers
 * in the worker, too.
 *
 * They are AFTER triggers without transition tables: those stop an apply
 * worker for good, and a BEFORE trigger would keep COPY from storing rows by
 * the page, in any session.  So the lock that excludes the other side is taken
 * when the row is written already.  Nothing is missed for that: the row is not
 * seen by others before the commit, which is after the lock; who held the lock
 * before has committed, and what is read after it sees that.
 *
 * A worker applies a transaction row by row, so what a row adds to the rollup is
 * computed at once, when the other side stands as it does, and written
 * with that of the other rows when the transaction ends (pending.c).
 *
 * On PostgreSQL 15 a worker has the rights of the subscription's owner, a
 * superuser; what is read and written here is as always done with those of the
 * rollup's owner.
 *
 * Another server's rollup is nothing to apply (FOR ALL TABLES, FOR TABLES IN
 * SCHEMA): this server's own books the same orders.  Its rows are skipped, since
 * one with the key of a row here would stop the worker.  To skip an update the
 * worker locks the row that it would change, so it may wait for a writer of
 * orders, or a writer for it: better not to publish the rollup.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "rollup/delta.h"
#include "rollup/pending.h"
#include "rollup/statement.h"
#include "rollup/tables.h"
#include "rollup/triggers.h"
#include "rollup/unseen.h"

PG_FUNCTION_INFO_V1(fluct_rollup_order_row);
PG_FUNCTION_INFO_V1(fluct_rollup_industry_row);
PG_FUNCTION_INFO_V1(fluct_rollup_skip_row);

#define MOST_COLUMNS	3

typedef struct Side
{
	int			ncolumns;
	const char *names[MOST_COLUMNS];
	Oid			types[MOST_COLUMNS];
} Side;

static const Side orders_side = {
	3, {"customer_id", "ordered_at", "amount"},
	{TEXTOID, TIMESTAMPTZOID, NUMERICOID}
};

static const Side industries_side = {
	2, {"customer_id", "industry"}, {TEXTOID, TEXTOID}
};

/* ----- rows ----- */

static TupleTableSlot *
old_row(const TriggerData *data)
{
	return TRIGGER_FIRED_BY_INSERT(data->tg_event) ? NULL : data->tg_trigslot;
}

static TupleTableSlot *
new_row(const TriggerData *data)
{
	if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
		return NULL;
	return TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newslot :
		data->tg_trigslot;
}

/* The values of a row; false where there is none to book. */
static bool
read_row(TupleTableSlot *slot, const Side *side, Datum *values)
{
	if (slot == NULL)
		return false;
	for (int c = 0; c < side->ncolumns; c++)
	{
		TupleDesc	desc = slot->tts_tupleDescriptor;
		int			n = SPI_fnumber(desc, side->names[c]);
		bool		isnull;

		if (n <= 0 || getBaseType(SPI_gettypeid(desc, n)) != side->types[c])
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("column \"%s\" is not of the type that the rollup needs",
							side->names[c])));
		values[c] = slot_getattr(slot, n, &isnull);
		if (isnull)
			return false;
	}
	return side != &orders_side ||
		!TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(values[1]));
}

static bool
same_values(const Side *side, const Datum *a, const Datum *b)
{
	for (int c = 0; c < side->ncolumns; c++)
	{
		int16		len;
		bool		byval;

		get_typlenbyval(side->types[c], &len, &byval);
		if (!datum_image_eq(a[c], b[c], byval, len))
			return false;
	}
	return true;
}

/* ----- booking ----- */

static void
book_values(FluctDelta *delta, const Side *side, const Datum *values, int sign)
{
	if (side == &orders_side)
		fluct_delta_order(delta, values[0], values[1], values[2], sign);
	else
	{
		fluct_delta_industry(delta, values[0], values[1], sign);
		fluct_pending_link(values[0], values[1], sign);
	}
}

static void
book_change(const FluctRollup *rollup, const TriggerData *data,
			const Side *side)
{
	Datum		went[MOST_COLUMNS];
	Datum		came[MOST_COLUMNS];
	bool		has_old = read_row(old_row(data), side, went);
	bool		has_new = read_row(new_row(data), side, came);
	FluctDelta *delta;
	FluctSpend *minutes;
	int			n;

	if (has_old == has_new && (!has_old || same_values(side, went, came)))
		return;
	delta = fluct_delta_begin(rollup->spend);
	if (has_old)
		book_values(delta, side, went, -1);
	if (has_new)
		book_values(delta, side, came, 1);
	minutes = fluct_delta_minutes(delta, &n);
	fluct_pending_spend(rollup->spend, minutes, n);
	fluct_delta_drop(delta);
}

/* Row triggers are passed on to partitions. */
static Oid
topmost(Relation relation)
{
	Oid			relid = RelationGetRelid(relation);

	return relation->rd_rel->relispartition ?
		llast_oid(get_partition_ancestors(relid)) : relid;
}

static void
book_row(FunctionCallInfo fcinfo, const Side *side)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	bool		is_orders = side == &orders_side;
	Oid			table;
	FluctRollup rollup;
	MemoryContext context = CurrentMemoryContext;
	FluctRights before;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(data->tg_event) ||
		!TRIGGER_FIRED_AFTER(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the rollup's functions for replication are row triggers")));
	table = topmost(data->tg_relation);
	rollup = fluct_rollup_find(table);
	if (table != (is_orders ? rollup.orders : rollup.industries))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the rollup's triggers may not serve table %s",
						RelationGetRelationName(data->tg_relation))));
	if (fluct_rollup_books_statement(is_orders))
		return;
	if (is_orders)
		fluct_rollup_lock_orders_side(&rollup);
	else
		fluct_rollup_lock_industries_side(&rollup);
	before = fluct_rollup_enter(&rollup);
	PG_TRY();
	{
		fluct_unseen_note(data->tg_relation, is_orders);
		book_change(&rollup, data, side);
	}
	PG_CATCH();
	{
		fluct_rollup_throw(context);
	}
	PG_END_TRY();
	fluct_rollup_leave(before);
}

static void
book_order(FunctionCallInfo fcinfo)
{
	book_row(fcinfo, &orders_side);
}

/* AFTER ROW on sales.orders, enabled as REPLICA. */
Datum
fluct_rollup_order_row(PG_FUNCTION_ARGS)
{
	return fluct_rollup_work(book_order, fcinfo);
}

static void
book_industry(FunctionCallInfo fcinfo)
{
	book_row(fcinfo, &industries_side);
}

/* AFTER ROW on sales.customer_industries, enabled as REPLICA. */
Datum
fluct_rollup_industry_row(PG_FUNCTION_ARGS)
{
	return fluct_rollup_work(book_industry, fcinfo);
}

/* BEFORE ROW on sales.industry_spend, enabled as REPLICA. */
Datum
fluct_rollup_skip_row(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(data->tg_event) ||
		!TRIGGER_FIRED_BEFORE(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the rollup's functions for replication are row triggers")));
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA &&
		!fluct_statement_is_running())
		return PointerGetDatum(NULL);
	if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		return PointerGetDatum(data->tg_newtuple);
	return PointerGetDatum(data->tg_trigtuple);
}
