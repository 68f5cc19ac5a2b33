/*-------------------------------------------------------------------------
 *
 * delta.c
 *	  What changed in orders or in customers' industries, into the rollup.
 *
 * Slots.  Every batch of today touches the same few rows of today, so writers
 * would wait for each other's commit.  Therefore the key of a row ends in a
 * slot, and a transaction writes only in a slot whose lock it holds until its
 * end: the lowest that is free.  There are as many slots as there were ever
 * writers at once, one with one stream, and a reader sums over them.  What
 * another transaction did in a slot before is committed when its lock is had,
 * so with the latest snapshot no row of the slot can be in the way, at any
 * isolation level.  The rows of a statement go in by ON CONFLICT, which reads
 * the table with no snapshot of the transaction's: serializable writers of
 * orders have no conflict with each other on account of the rollup.  (Mostly
 * they don't even go that way: buckets.c.)
 *
 * Chunks.  A statement may change more rows than memory should hold, so they
 * are written in chunks; each is summed here and written in the order of the
 * key, for the sake of the index.
 *
 * The horizon.  What lies before it stays as it was when it was moved there
 * (fluct.apply_retention), whatever becomes of those orders and of their
 * customers' industries.  It is moved under a lock that excludes all who book,
 * so it stands still while they do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "pg/lock.h"
#include "pg/query.h"
#include "rollup/buckets.h"
#include "rollup/delta.h"

#define CHUNK			10000
/* More than these, and the planner should know how many. */
#define FEW_INDUSTRIES	20

#define MINUTE		60
#define HOUR		3600
#define DAY			86400

typedef struct Order
{
	text	   *customer;
	TimestampTz minute;
	int			sign;
	Datum		amount;
} Order;

typedef struct Link
{
	text	   *customer;
	text	   *industry;
	int			sign;
} Link;

struct FluctDelta
{
	MemoryContext chunk;		/* reset by each flush */
	Oid			rollup;
	int			slot;
	TimestampTz horizon;		/* orders before it are left out */
	int			norders;
	Order	   *orders;
	int			nlinks;
	Link	   *links;
};

static bool writing = false;

bool
fluct_delta_is_writing(void)
{
	return writing;
}

int64
fluct_delta_bucket(int64 at, int width)
{
	int64		us = width * USECS_PER_SEC;
	int64		past = at % us;

	return at - (past < 0 ? past + us : past);
}

/* ----- statements ----- */

#define UPSERT \
	" ON CONFLICT (width, bucket, industry, slot) DO UPDATE" \
	" SET orders = s.orders + excluded.orders," \
	" amount = s.amount + excluded.amount"

static const char *const industries_sql =
"SELECT c.n, i.industry"
" FROM pg_catalog.unnest($1) WITH ORDINALITY AS c(customer_id, n)"
" JOIN sales.customer_industries i ON i.customer_id = c.customer_id"
" ORDER BY 1";

static const char *const add_sql =
"INSERT INTO sales.industry_spend AS s"
" (width, bucket, industry, slot, orders, amount)"
" SELECT n.width, n.bucket, n.industry, $6, n.orders, n.amount"
" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
" pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5))"
" AS n(width, bucket, industry, orders, amount)"
UPSERT;

static const char *const rebook_sql =
"INSERT INTO sales.industry_spend AS s"
" (width, bucket, industry, slot, orders, amount)"
" SELECT w.width, fluct._bucket(m.minute, w.width), m.industry, $4,"
" sum(m.orders), sum(m.amount)"
" FROM (SELECT l.industry, fluct._bucket(o.ordered_at, 60) AS minute,"
" sum(l.sign) AS orders,"
" coalesce(sum(l.sign * o.amount), 0) AS amount"
" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
" pg_catalog.unnest($3)) AS l(customer_id, industry, sign)"
" JOIN sales.orders o ON o.customer_id = l.customer_id"
" WHERE isfinite(o.ordered_at) AND o.ordered_at >= $5"
" GROUP BY 1, 2) m"
" CROSS JOIN (VALUES (60), (3600), (86400)) w(width)"
" GROUP BY 1, 2, 3"
" HAVING sum(m.orders) <> 0 OR sum(m.amount) <> 0"
" ORDER BY 1, 2, 3"
UPSERT;

/* Sees all that is committed now, and what this transaction did. */
static void
run(SPIPlanPtr plan, Datum *args)
{
	int			result;
	bool		before = writing;

	writing = true;
	PG_TRY();
	{
		result = SPI_execute_snapshot(plan, args, NULL, GetLatestSnapshot(),
									  InvalidSnapshot, false, true, 0);
	}
	PG_FINALLY();
	{
		writing = before;
	}
	PG_END_TRY();
	if (result < 0)
		elog(ERROR, "SPI_execute_snapshot failed: %s",
			 SPI_result_code_string(result));
}

void
fluct_delta_run(void **plan, const char *sql)
{
	if (*plan == NULL)
		*plan = fluct_query_prepare(sql, 0, NULL, 0);
	run(*plan, NULL);
}

void
fluct_delta_run_with(void **plan, const char *sql, Datum argument)
{
	Oid			type = INT8OID;

	if (*plan == NULL)
		*plan = fluct_query_prepare(sql, 1, &type, 0);
	run(*plan, &argument);
}

static TimestampTz
read_horizon(void)
{
	static void *plan = NULL;
	bool		isnull;

	fluct_delta_run(&plan, "SELECT coalesce(max(horizon), '-infinity')"
					" FROM sales.rollup_state");
	return DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0],
											 SPI_tuptable->tupdesc, 1,
											 &isnull));
}

void
fluct_delta_clear(void)
{
	static void *all = NULL;
	static void *unfrozen = NULL;

	if (TIMESTAMP_IS_NOBEGIN(read_horizon()))
		fluct_delta_run(&all, "TRUNCATE sales.industry_spend");
	else
		fluct_delta_run(&unfrozen, "DELETE FROM sales.industry_spend"
						" WHERE bucket >= (SELECT max(horizon)"
						"  FROM sales.rollup_state)");
}

/* ----- begin and end ----- */

static bool
lock_slot(Oid rollup, int slot)
{
	return fluct_lock_try_pair(FLUCT_LOCK_SLOT, rollup, slot);
}

/* The one that this transaction has, unless a ROLLBACK TO gave it back. */
static int
claim_slot(Oid rollup)
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

FluctDelta *
fluct_delta_begin(Oid rollup)
{
	FluctDelta *delta = palloc0(sizeof(FluctDelta));

	delta->rollup = rollup;
	delta->slot = claim_slot(rollup);
	delta->horizon = read_horizon();
	delta->chunk = AllocSetContextCreate(CurrentMemoryContext,
										 "fluct delta",
										 ALLOCSET_DEFAULT_SIZES);
	return delta;
}

static text *
copy_text(Datum value)
{
	return (text *) PG_DETOAST_DATUM_COPY(value);
}

/* ----- orders ----- */

static int
compare_orders(const void *a, const void *b)
{
	return fluct_buckets_compare(((const Order *) a)->customer,
								 ((const Order *) b)->customer);
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

/* Makes one row of those with the same key; returns their number. */
static int
merge(FluctSpend *rows, int n)
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
		to[i].bucket = fluct_delta_bucket(rows[i].bucket, width);
	}
	return merge(to, n);
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

static void
write_spend(const FluctDelta *delta, const FluctSpend *rows, int n)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {INT4ARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID,
	INT8ARRAYOID, NUMERICARRAYOID, INT2OID};
	Oid			elements[] = {INT4OID, TIMESTAMPTZOID, TEXTOID, INT8OID,
	NUMERICOID};
	Datum		args[6];
	Datum	   *values;

	if (fluct_buckets_add(delta->rollup, delta->slot, rows, n))
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
	args[5] = Int16GetDatum(delta->slot);
	if (plan == NULL)
		plan = fluct_query_prepare(add_sql, 6, types, 0);
	run(plan, args);
}

/*
 * The industries of the customers, whose numbers count from 1: rows (number,
 * industry) by number in SPI_tuptable.
 */
static void
find_industries(const Datum *customers, int n)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {TEXTARRAYOID};
	Datum		args[1];

	args[0] = fluct_query_array(TEXTOID, customers, NULL, n);
	if (plan == NULL)
		plan = fluct_query_prepare(industries_sql, 1, types, 0);
	run(plan, args);
}

/* Each order for each industry of its customer, by minute. */
static FluctSpend *
spread_orders(const Order *orders, int norders, int *n)
{
	Datum	   *customers = palloc(sizeof(Datum) * norders);
	int			ncustomers = 0;
	int			size = norders;
	int			order = 0;
	FluctSpend *rows = palloc(sizeof(FluctSpend) * size);

	for (int i = 0; i < norders; i++)
		if (i == 0 || compare_orders(&orders[i - 1], &orders[i]) != 0)
			customers[ncustomers++] = PointerGetDatum(orders[i].customer);
	find_industries(customers, ncustomers);
	*n = 0;
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[r];
		bool		isnull;
		int64		number = DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc,
														 1, &isnull));
		text	   *industry = copy_text(SPI_getbinval(tuple, SPI_tuptable->tupdesc,
													   2, &isnull));
		text	   *customer = (text *) DatumGetPointer(customers[number - 1]);

		while (fluct_buckets_compare(orders[order].customer, customer) != 0)
			order++;
		for (int i = order; i < norders &&
			 fluct_buckets_compare(orders[i].customer, customer) == 0; i++)
		{
			if (*n == size)
				rows = repalloc_huge(rows, sizeof(FluctSpend) * (size *= 2));
			rows[(*n)++] = (FluctSpend)
			{
				MINUTE, orders[i].minute, industry, orders[i].sign,
					orders[i].amount
			};
		}
	}
	SPI_freetuptable(SPI_tuptable);
	return rows;
}

static void
flush_orders(FluctDelta *delta)
{
	FluctSpend *rows;
	int			minutes,
				hours,
				days;

	qsort(delta->orders, delta->norders, sizeof(Order), compare_orders);
	rows = spread_orders(delta->orders, delta->norders, &minutes);
	minutes = drop_zeros(rows, merge(rows, minutes));
	if (minutes == 0)
		return;
	rows = repalloc_huge(rows, sizeof(FluctSpend) * minutes * 3);
	hours = drop_zeros(rows + minutes,
					   widen(rows + minutes, rows, minutes, HOUR));
	days = drop_zeros(rows + minutes + hours,
					  widen(rows + minutes + hours, rows + minutes, hours, DAY));
	write_spend(delta, rows, minutes + hours + days);
}

/* ----- industries ----- */

static int
compare_links(const void *a, const void *b)
{
	int			order = fluct_buckets_compare(((const Link *) a)->customer,
											  ((const Link *) b)->customer);

	return order != 0 ? order :
		fluct_buckets_compare(((const Link *) a)->industry,
							  ((const Link *) b)->industry);
}

/* Of what came and went, what makes a difference; returns the number. */
static int
net_links(Link *links, int n)
{
	int			kept = 0;

	qsort(links, n, sizeof(Link), compare_links);
	for (int i = 0; i < n; i++)
	{
		if (kept > 0 && compare_links(&links[kept - 1], &links[i]) == 0)
			links[kept - 1].sign += links[i].sign;
		else
		{
			kept -= kept > 0 && links[kept - 1].sign == 0;
			links[kept++] = links[i];
		}
	}
	return kept - (kept > 0 && links[kept - 1].sign == 0);
}

static void
flush_links(FluctDelta *delta)
{
	static SPIPlanPtr few = NULL;
	static SPIPlanPtr many = NULL;
	Oid			types[] = {TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, INT2OID,
	TIMESTAMPTZOID};
	int			n = net_links(delta->links, delta->nlinks);
	Datum	   *values = palloc(sizeof(Datum) * 3 * (n + 1));
	Datum		args[5];

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
	{
		values[i] = PointerGetDatum(delta->links[i].customer);
		values[n + i] = PointerGetDatum(delta->links[i].industry);
		values[2 * n + i] = Int32GetDatum(delta->links[i].sign);
	}
	args[0] = fluct_query_array(TEXTOID, values, NULL, n);
	args[1] = fluct_query_array(TEXTOID, values + n, NULL, n);
	args[2] = fluct_query_array(INT4OID, values + 2 * n, NULL, n);
	args[3] = Int16GetDatum(delta->slot);
	args[4] = TimestampTzGetDatum(delta->horizon);
	if (few == NULL)
		few = fluct_query_prepare(rebook_sql, 5, types, 0);
	if (many == NULL)
		many = fluct_query_prepare(rebook_sql, 5, types, CURSOR_OPT_CUSTOM_PLAN);
	run(n <= FEW_INDUSTRIES ? few : many, args);
}

/* ----- collecting ----- */

static void
flush(FluctDelta *delta)
{
	MemoryContext old = MemoryContextSwitchTo(delta->chunk);

	CHECK_FOR_INTERRUPTS();
	if (delta->norders > 0)
		flush_orders(delta);
	if (delta->nlinks > 0)
		flush_links(delta);
	MemoryContextSwitchTo(old);
	MemoryContextReset(delta->chunk);
	delta->norders = delta->nlinks = 0;
	delta->orders = NULL;
	delta->links = NULL;
}

void
fluct_delta_order(FluctDelta *delta, Datum customer, Datum at,
				  Datum amount, int sign)
{
	MemoryContext old;
	Order	   *order;

	if (DatumGetTimestampTz(at) < delta->horizon)
		return;
	old = MemoryContextSwitchTo(delta->chunk);
	if (delta->orders == NULL)
		delta->orders = palloc(sizeof(Order) * CHUNK);
	order = &delta->orders[delta->norders++];
	order->customer = copy_text(customer);
	order->minute = fluct_delta_bucket(DatumGetTimestampTz(at), MINUTE);
	order->sign = sign;
	order->amount = sign > 0 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(amount)) :
		DirectFunctionCall1(numeric_uminus, amount);
	MemoryContextSwitchTo(old);
	if (delta->norders == CHUNK)
		flush(delta);
}

void
fluct_delta_industry(FluctDelta *delta, Datum customer, Datum industry,
					 int sign)
{
	MemoryContext old = MemoryContextSwitchTo(delta->chunk);
	Link	   *link;

	if (delta->links == NULL)
		delta->links = palloc(sizeof(Link) * CHUNK);
	link = &delta->links[delta->nlinks++];
	link->customer = copy_text(customer);
	link->industry = copy_text(industry);
	link->sign = sign;
	MemoryContextSwitchTo(old);
	if (delta->nlinks == CHUNK)
		flush(delta);
}

void
fluct_delta_end(FluctDelta *delta)
{
	flush(delta);
	MemoryContextDelete(delta->chunk);
	pfree(delta);
}
