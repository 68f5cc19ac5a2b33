/*-------------------------------------------------------------------------
 *
 * customer_feed.c
 *	  The rows that one statement puts into sales.customer_feed.
 *
 * The rules of a load are about all of its rows (which of two comes last, which
 * industries are unknown), so a row trigger only keeps what comes, and the
 * statement's end applies it.
 *
 * What ends the rows.  Triggers are somebody's: they can be dropped, disabled,
 * or hung on another view, so none of them may be what frees memory or closes
 * a file.  The rows belong to the memory context in which the statement keeps
 * its lookups of functions (the executor's per-query context, or the portal's
 * for COPY) and end with it: it is deleted on success, on an error, and when a
 * subtransaction or a portal is dropped.  Their own context is not a child of it,
 * since a tuplestore must be ended before its memory is freed, and children
 * are deleted first.  The tuplestore is one across transactions, so that its
 * files have no resource owner, which would close them earlier, at an abort.
 *
 * Who reads them.  Only the function that the end's trigger calls, while it
 * is called, and once.  A statement within another one, by a trigger, has a
 * context and so rows of its own.
 *
 * Whose view.  The triggers refuse every relation but the view that
 * create_tables() made.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "pg/caller.h"
#include "pg/compat.h"
#include "pg/query.h"

PG_FUNCTION_INFO_V1(fluct_keep_row);
PG_FUNCTION_INFO_V1(fluct_apply_feed);
PG_FUNCTION_INFO_V1(fluct_feed_rows);

#define COLUMNS			3

/* The rows of one statement for one view. */
typedef struct Feed
{
	struct Feed *next;
	MemoryContext statement;	/* with which they end */
	Oid			view;
	MemoryContext context;
	MemoryContextCallback end;
	TupleDesc	desc;
	Tuplestorestate *rows;		/* NULL once they were read */
} Feed;

/* All that live, the latest first. */
static Feed *feeds = NULL;

/* Whose end is being applied, until it is read. */
static Feed *applied = NULL;

/* ----- life and death ----- */

static void
end_feed(void *arg)
{
	Feed	   *feed = arg;
	Feed	  **link = &feeds;

	while (*link != feed)
		link = &(*link)->next;
	*link = feed->next;
	if (applied == feed)
		applied = NULL;
	if (feed->rows != NULL)
		tuplestore_end(feed->rows);
	MemoryContextDelete(feed->context);
}

/* Until nothing can fail, its context is a child of the statement's. */
static Feed *
begin_feed(MemoryContext statement, Oid view)
{
	MemoryContext context = AllocSetContextCreate(statement, "fluct feed",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Feed	   *feed = palloc0(sizeof(Feed));

	feed->statement = statement;
	feed->view = view;
	feed->context = context;
	feed->desc = CreateTemplateTupleDesc(COLUMNS);
	for (int i = 1; i <= COLUMNS; i++)
		TupleDescInitEntry(feed->desc, i, NULL, TEXTOID, -1, 0);
	fluct_compat_finish_desc(feed->desc);
	MemoryContextSwitchTo(old);

	MemoryContextSetParent(context, TopMemoryContext);
	feed->end.func = end_feed;
	feed->end.arg = feed;
	MemoryContextRegisterResetCallback(statement, &feed->end);
	feed->next = feeds;
	feeds = feed;
	return feed;
}

/* ----- triggers ----- */

static const TriggerData *
trigger_data(FunctionCallInfo fcinfo, TriggerEvent timing)
{
	const TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		(trigger->tg_event & (TRIGGER_EVENT_ROW | TRIGGER_EVENT_TIMINGMASK)) != timing)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("this function is for the triggers of sales.customer_feed only")));
	return trigger;
}

/* Refuses every relation but the view, and the view with other columns. */
static void
check_view(Relation view)
{
	TupleDesc	desc = RelationGetDescr(view);
	FluctQuery	query = {0};
	bool		good = desc->natts >= COLUMNS;

	for (int i = 0; good && i < COLUMNS; i++)
		good = TupleDescAttr(desc, i)->atttypid == TEXTOID;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	fluct_query_add(&query, OIDOID, ObjectIdGetDatum(RelationGetRelid(view)),
					false);
	(void) fluct_query_run(&query, "SELECT fluct._is_customer_feed($1)");
	good = fluct_query_field_bool(0, 1) && good;
	SPI_finish();
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("relation \"%s\" is not the view sales.customer_feed that create_tables() made",
						RelationGetRelationName(view)),
				 errhint("Drop it, and call fluct.create_tables() as the owner of schema sales.")));
}

/*
 * The feed of the statement, with room for rows: the context outlives the end
 * of one where SPI runs several COPY in one call.
 */
static Feed *
ready_feed(FunctionCallInfo fcinfo, Relation view)
{
	MemoryContext statement = fcinfo->flinfo->fn_mcxt;
	Feed	   *feed = feeds;

	while (feed != NULL && (feed->statement != statement ||
							feed->view != RelationGetRelid(view)))
		feed = feed->next;
	if (feed == NULL)
	{
		check_view(view);
		feed = begin_feed(statement, RelationGetRelid(view));
	}
	if (feed->rows == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(feed->context);

		feed->rows = tuplestore_begin_heap(false, true, work_mem);
		MemoryContextSwitchTo(old);
	}
	return feed;
}

/* INSTEAD OF INSERT, FOR EACH ROW: the first columns, by position */
Datum
fluct_keep_row(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = trigger_data(fcinfo,
											  TRIGGER_EVENT_ROW | TRIGGER_EVENT_INSTEAD);
	Feed	   *feed = ready_feed(fcinfo, trigger->tg_relation);
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);

	heap_deform_tuple(trigger->tg_trigtuple, desc, values, nulls);
	tuplestore_putvalues(feed->rows, feed->desc, values, nulls);
	pfree(values);
	pfree(nulls);
	return PointerGetDatum(trigger->tg_trigtuple);
}

/* AFTER INSERT, FOR EACH STATEMENT: the sibling applies the rows */
Datum
fluct_apply_feed(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = trigger_data(fcinfo, TRIGGER_EVENT_AFTER);
	Feed	   *outer = applied;
	volatile Datum result = (Datum) 0;

	applied = ready_feed(fcinfo, trigger->tg_relation);
	PG_TRY();
	{
		result = fluct_call_as_is(fcinfo);
	}
	PG_FINALLY();
	{
		applied = outer;
	}
	PG_END_TRY();
	return result;
}

/* ----- reading ----- */

static void
put_row(ReturnSetInfo *rsinfo, TupleTableSlot *slot, int64 line)
{
	int			dims[1] = {COLUMNS};
	int			lbs[1] = {1};
	Datum		values[2];
	bool		nulls[2] = {false, false};

	slot_getallattrs(slot);
	values[0] = Int64GetDatum(line);
	values[1] = PointerGetDatum(construct_md_array(slot->tts_values,
												   slot->tts_isnull, 1, dims,
												   lbs, TEXTOID, -1, false,
												   TYPALIGN_INT));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * fluct._feed_rows() RETURNS TABLE (line bigint, fields text[])
 *
 * The rows of the statement whose end is being applied, numbered from 1, once.
 */
Datum
fluct_feed_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Feed	   *feed = applied;
	TupleTableSlot *slot;
	MemoryContext row_context;
	int64		line = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (feed == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no statement on sales.customer_feed is being applied")));
	row_context = AllocSetContextCreate(CurrentMemoryContext, "fluct feed row",
										ALLOCSET_DEFAULT_SIZES);
	slot = MakeSingleTupleTableSlot(feed->desc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(feed->rows, true, false, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(row_context);

		CHECK_FOR_INTERRUPTS();
		put_row(rsinfo, slot, ++line);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(feed->rows);
	feed->rows = NULL;
	applied = NULL;
	return (Datum) 0;
}
