/*-------------------------------------------------------------------------
 *
 * fill.c
 *	  The orders into a rollup that is empty.
 *
 * To compare an empty rollup with the orders, and then to insert what differs,
 * costs as much again as to sum them up.  So the minutes go from the aggregate,
 * which gives them in the order of the key, into the table as they come.  It is
 * that of fluct._wrong_spend, which verifies the result.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/timestamp.h"

#include "pg/model.h"
#include "pg/query.h"
#include "rollup/spend.h"
#include "rollup/tables.h"

PG_FUNCTION_INFO_V1(fluct_rollup_fill);

#define CHUNK		10000

static const char *const empty_sql =
"SELECT 1 FROM sales.industry_spend"
" WHERE bucket >= coalesce($1, '-infinity') LIMIT 1";

static const char *const minutes_sql =
"SELECT fluct._bucket(o.ordered_at, 60), i.industry COLLATE \"C\", count(*),"
" coalesce(sum(o.amount), 0)"
" FROM sales.orders o"
" JOIN sales.customer_industries i ON i.customer_id = o.customer_id"
" WHERE isfinite(o.ordered_at) AND o.ordered_at >= coalesce($1, '-infinity')"
" GROUP BY 1, 2 ORDER BY 1, 2";

static void
read_minutes(FluctSpend *rows, int n)
{
	for (int i = 0; i < n; i++)
	{
		bool		null;

		rows[i].width = 60;
		rows[i].bucket = DatumGetTimestampTz(fluct_query_field(i, 1, &null));
		rows[i].industry = DatumGetTextPP(fluct_query_field(i, 2, &null));
		rows[i].orders = fluct_query_field_int(i, 3);
		rows[i].amount = fluct_query_field(i, 4, &null);
	}
}

static void
fill(Oid rollup, FluctQuery *since)
{
	FluctSpend *rows = palloc(sizeof(FluctSpend) * CHUNK);
	Portal		cursor = SPI_cursor_open_with_args(NULL, minutes_sql, since->nargs,
												   since->types, since->values,
												   since->nulls, false, 0);

	for (;;)
	{
		SPITupleTable *minutes;
		int			n;

		SPI_cursor_fetch(cursor, true, CHUNK);
		if (SPI_processed == 0)
			break;
		n = SPI_processed;
		minutes = SPI_tuptable;
		read_minutes(rows, n);
		fluct_spend_write(rollup, rows, n);
		SPI_freetuptable(minutes);
	}
	SPI_cursor_close(cursor);
}

/*
 * fluct._fill_rollup(since timestamptz) RETURNS boolean
 *
 * Fills the rollup, from `since` on (NULL = all); false, and nothing happened,
 * if it has rows there, or if the caller lacks the rights of its owner.
 */
Datum
fluct_rollup_fill(PG_FUNCTION_ARGS)
{
	FluctRollup rollup = fluct_rollup_find(fluct_model_find("industry_spend"));
	FluctQuery	since = {0};
	FluctRights before;
	bool		empty;

	if (!has_privs_of_role(GetUserId(), rollup.owner))
		PG_RETURN_BOOL(false);
	fluct_rollup_lock_industries_side(&rollup);
	fluct_query_add(&since, TIMESTAMPTZOID, PG_GETARG_DATUM(0), PG_ARGISNULL(0));
	before = fluct_rollup_enter(&rollup);
	empty = fluct_query_run(&since, empty_sql) == 0;
	if (empty)
		fill(rollup.spend, &since);
	fluct_rollup_leave(before);
	PG_RETURN_BOOL(empty);
}
