/*-------------------------------------------------------------------------
 *
 * spend.c
 *	  Rows by minute into the rollup, and by hour and day.
 *
 * Slots.  Every batch of today touches the same few rows of today, so writers
 * would wait for each other's commit.  Therefore the key of a row ends in a
 * slot, and a transaction writes only in a slot whose lock it holds until its
 * end: the lowest that is free.  There are as many slots as there were ever
 * writers at once, one with one stream, and a reader sums over them.  What
 * another transaction did in a slot before is committed when its lock is had,
 * so with the latest snapshot every row of the slot can be seen, at any
 * isolation level.  The rows of a statement go in by ON CONFLICT, which reads
 * the table with no snapshot of the transaction's: serializable writers of
 * orders have no conflict with each other on account of the rollup.  (Mostly
 * they do not even go that way: buckets.c.)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "pg/lock.h"
#include "pg/query.h"
#include "rollup/spend.h"
#include "rollup/statement.h"

#define HOUR		3600
#define DAY			86400

static const char *const add_sql =
"INSERT INTO sales.industry_spend AS s"
" (width, bucket, industry, slot, orders, amount)"
" SELECT n.width, n.bucket, n.industry, $6, n.orders, n.amount"
" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
" pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5))"
" AS n(width, bucket, industry, orders, amount)"
FLUCT_SPEND_UPSERT;

/* ----- the slot ----- */

static bool
lock_slot(Oid rollup, int slot)
{
	return fluct_lock_try_pair(FLUCT_LOCK_SLOT, rollup, slot);
}

/* The one that this transaction has, unless a ROLLBACK TO gave it back. */
int
fluct_spend_slot(Oid rollup)
{
	static TransactionId holder = InvalidTransactionId;
	static int	held;

	if (TransactionIdEquals(holder, GetTopTransactionId()) &&
		lock_slot(rollup, held))
		return held;
	holder = GetTopTransactionId();
	for (held = 0; held <= PG_INT16_MAX; held++)
		if (lock_slot(rollup, held))
			return held;
	ereport(ERROR,
			(errcode(ERRCODE_TOO_MANY_CONNECTIONS),
			 errmsg("too many transactions write orders at once")));
}

/* ----- buckets ----- */

int64
fluct_spend_bucket(int64 at, int width)
{
	int64		us = width * USECS_PER_SEC;
	int64		past = at % us;

	return at - (past < 0 ? past + us : past);
}

static int
compare_spend(const void *a, const void *b)
{
	const FluctSpend *x = a;
	const FluctSpend *y = b;

	if (x->bucket != y->bucket)
		return x->bucket < y->bucket ? -1 : 1;
	return fluct_buckets_compare(x->industry, y->industry);
}

static Datum
add(Datum a, Datum b)
{
	return DirectFunctionCall2(numeric_add, a, b);
}

int
fluct_spend_merge(FluctSpend *rows, int n)
{
	int			kept = 0;

	qsort(rows, n, sizeof(FluctSpend), compare_spend);
	for (int i = 0; i < n; i++)
	{
		if (kept > 0 && compare_spend(&rows[kept - 1], &rows[i]) == 0)
		{
			rows[kept - 1].orders += rows[i].orders;
			rows[kept - 1].amount = add(rows[kept - 1].amount, rows[i].amount);
		}
		else
			rows[kept++] = rows[i];
	}
	return kept;
}

/* The rows once more, in wider buckets, to `to`; returns their number. */
static int
widen(FluctSpend *to, const FluctSpend *rows, int n, int width)
{
	for (int i = 0; i < n; i++)
	{
		to[i] = rows[i];
		to[i].width = width;
		to[i].bucket = fluct_spend_bucket(rows[i].bucket, width);
	}
	return fluct_spend_merge(to, n);
}

/* Leaves out what comes to nothing; returns the number of the others. */
static int
drop_zeros(FluctSpend *rows, int n)
{
	Datum		zero = NumericGetDatum(int64_to_numeric(0));
	int			kept = 0;

	for (int i = 0; i < n; i++)
		if (rows[i].orders != 0 ||
			!DatumGetBool(DirectFunctionCall2(numeric_eq, rows[i].amount,
											  zero)))
			rows[kept++] = rows[i];
	return kept;
}

/* ----- written ----- */

static void
write_spend(Oid rollup, const FluctSpend *rows, int n)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {INT4ARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID,
	INT8ARRAYOID, NUMERICARRAYOID, INT2OID};
	Oid			elements[] = {INT4OID, TIMESTAMPTZOID, TEXTOID, INT8OID,
	NUMERICOID};
	Datum		args[6];
	Datum	   *values;
	int			slot = fluct_spend_slot(rollup);

	if (fluct_buckets_add(rollup, slot, rows, n))
		return;
	values = palloc(sizeof(Datum) * 5 * (n + 1));
	for (int i = 0; i < n; i++)
	{
		values[i] = Int32GetDatum(rows[i].width);
		values[n + i] = TimestampTzGetDatum(rows[i].bucket);
		values[2 * n + i] = PointerGetDatum(rows[i].industry);
		values[3 * n + i] = Int64GetDatum(rows[i].orders);
		values[4 * n + i] = rows[i].amount;
	}
	for (int c = 0; c < 5; c++)
		args[c] = fluct_query_array(elements[c], values + c * n, NULL, n);
	args[5] = Int16GetDatum(slot);
	if (plan == NULL)
		plan = fluct_query_prepare(add_sql, 6, types, 0);
	fluct_statement_execute(plan, args);
}

void
fluct_spend_write(Oid rollup, FluctSpend *minutes, int n)
{
	FluctSpend *rows;
	int			nhours,
				ndays;

	n = drop_zeros(minutes, fluct_spend_merge(minutes, n));
	if (n == 0)
		return;
	rows = palloc_extended(sizeof(FluctSpend) * n * 3, MCXT_ALLOC_HUGE);
	memcpy(rows, minutes, sizeof(FluctSpend) * n);
	nhours = drop_zeros(rows + n, widen(rows + n, rows, n, HOUR));
	ndays = drop_zeros(rows + n + nhours,
					   widen(rows + n + nhours, rows + n, nhours, DAY));
	write_spend(rollup, rows, n + nhours + ndays);
	pfree(rows);
}
