/*-------------------------------------------------------------------------
 *
 * customer_feed.c
 *	  The rows that one statement puts into sales.customer_feed.
 *
 * The rules of a load are about all of its rows (which of two comes last, which
 * industries are unknown), so a row trigger only keeps the rows, which
 * are applied at the end of the statement.  They belong to one statement of one
 * backend: a statement within another one, in a trigger, has its own on top.
 *
 * An error ends the statement and everything kept since its subtransaction
 * began; the rows are in a tuplestore, which spills to disk, so memory does not
 * grow with them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "load/progress.h"

PG_FUNCTION_INFO_V1(fluct_begin_feed);
PG_FUNCTION_INFO_V1(fluct_keep_row);
PG_FUNCTION_INFO_V1(fluct_feed_rows);

#define COLUMNS			3

typedef struct Feed
{
	struct Feed *outer;
	SubTransactionId subid;
	MemoryContext context;
	TupleDesc	desc;
	Tuplestorestate *rows;
} Feed;

static Feed *feed = NULL;

static void
drop_feed(void)
{
	Feed	   *outer = feed->outer;

	MemoryContextDelete(feed->context);
	feed = outer;
}

/* The tuplestore's files are its resource owner's, which is gone by now. */
static void
after_subtransaction(SubXactEvent event, SubTransactionId subid,
					 SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (feed != NULL && feed->subid >= subid)
			drop_feed();
}

static void
after_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		while (feed != NULL)
			drop_feed();
}

static TriggerData *
trigger_data(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("this is a trigger of sales.customer_feed")));
	return (TriggerData *) fcinfo->context;
}

/* BEFORE INSERT, FOR EACH STATEMENT */
Datum
fluct_begin_feed(PG_FUNCTION_ARGS)
{
	static bool registered = false;
	MemoryContext context;
	MemoryContext old;
	Feed	   *inner;

	trigger_data(fcinfo);
	if (!registered)
	{
		RegisterXactCallback(after_transaction, NULL);
		RegisterSubXactCallback(after_subtransaction, NULL);
		registered = true;
	}
	context = AllocSetContextCreate(TopTransactionContext, "fluct feed",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	inner = palloc(sizeof(Feed));
	inner->outer = feed;
	inner->subid = GetCurrentSubTransactionId();
	inner->context = context;
	inner->desc = CreateTemplateTupleDesc(COLUMNS);
	for (int i = 1; i <= COLUMNS; i++)
		TupleDescInitEntry(inner->desc, i, NULL, TEXTOID, -1, 0);
	inner->rows = tuplestore_begin_heap(false, false, work_mem);
	MemoryContextSwitchTo(old);
	feed = inner;
	PG_RETURN_POINTER(NULL);
}

/* INSTEAD OF INSERT, FOR EACH ROW: the first columns, by position */
Datum
fluct_keep_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo);
	HeapTuple	row = trigger->tg_trigtuple;
	Datum	   *values;
	bool	   *nulls;
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);

	if (feed == NULL || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		desc->natts < COLUMNS)
		elog(ERROR, "sales.customer_feed lacks a trigger or a column");
	for (int i = 0; i < COLUMNS; i++)
		if (TupleDescAttr(desc, i)->atttypid != TEXTOID)
			elog(ERROR, "column %d of sales.customer_feed is not text", i + 1);
	values = palloc(sizeof(Datum) * desc->natts);
	nulls = palloc(sizeof(bool) * desc->natts);
	heap_deform_tuple(row, desc, values, nulls);
	tuplestore_putvalues(feed->rows, feed->desc, values, nulls);
	pfree(values);
	pfree(nulls);
	return PointerGetDatum(row);
}

/*
 * fluct._feed_rows() RETURNS TABLE (line bigint, fields text[])
 *
 * The rows of the innermost statement, numbered from 1, once: they are
 * discarded then.
 */
Datum
fluct_feed_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TupleTableSlot *slot;
	MemoryContext row_context;
	int			dims[1] = {COLUMNS};
	int			lbs[1] = {1};
	int64		line = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (feed == NULL)
		elog(ERROR, "there is no statement on sales.customer_feed");
	row_context = AllocSetContextCreate(CurrentMemoryContext, "fluct feed row",
										ALLOCSET_DEFAULT_SIZES);
	slot = MakeSingleTupleTableSlot(feed->desc, &TTSOpsMinimalTuple);
	tuplestore_rescan(feed->rows);
	while (tuplestore_gettupleslot(feed->rows, true, false, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(row_context);
		Datum		values[2];
		bool		nulls[2] = {false, false};

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		values[0] = Int64GetDatum(++line);
		values[1] = PointerGetDatum(construct_md_array(slot->tts_values,
													   slot->tts_isnull, 1,
													   dims, lbs, TEXTOID, -1,
													   false, TYPALIGN_INT));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(feed->rows);
	drop_feed();
	return (Datum) 0;
}
