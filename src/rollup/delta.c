/*-------------------------------------------------------------------------
 *
 * delta.c
 *	  What changed in orders or in customers' industries, into the rollup.
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
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "pg/query.h"
#include "rollup/buckets.h"
#include "rollup/delta.h"
#include "rollup/spend.h"
#include "rollup/statement.h"

#define CHUNK			10000
#define FIRST_ROOM		16		/* a power of 2 */
/* More than these, and the planner should know how many. */
#define FEW_INDUSTRIES	20

#define MINUTE		60

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
	TimestampTz horizon;		/* orders before it are left out */
	int			norders;
	Order	   *orders;
	int			nlinks;
	Link	   *links;
};

/* ----- statements ----- */

/* OFFSET 0: by the index, even where the statistics know of no customers yet. */
static const char *const industries_sql =
"SELECT c.n, i.industry"
" FROM pg_catalog.unnest($1) WITH ORDINALITY AS c(customer_id, n),"
" LATERAL (SELECT ci.industry FROM sales.customer_industries ci"
" WHERE ci.customer_id = c.customer_id OFFSET 0) i"
" ORDER BY 1";

#define MINUTES \
	"SELECT fluct._bucket(o.ordered_at, 60) AS minute, l.industry," \
	" sum(l.sign) AS orders, coalesce(sum(l.sign * o.amount), 0) AS amount" \
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)," \
	" pg_catalog.unnest($3)) AS l(customer_id, industry, sign)" \
	" JOIN sales.orders o ON o.customer_id = l.customer_id" \
	" WHERE isfinite(o.ordered_at) AND o.ordered_at >= $4" \
	" GROUP BY 1, 2"

static const char *const rebook_sql =
"INSERT INTO sales.industry_spend AS s"
" (width, bucket, industry, slot, orders, amount)"
" SELECT w.width, fluct._bucket(m.minute, w.width), m.industry, $5,"
" sum(m.orders), sum(m.amount)"
" FROM (" MINUTES ") m"
" CROSS JOIN (VALUES (60), (3600), (86400)) w(width)"
" GROUP BY 1, 2, 3"
" HAVING sum(m.orders) <> 0 OR sum(m.amount) <> 0"
" ORDER BY 1, 2, 3"
FLUCT_SPEND_UPSERT;

static TimestampTz
read_horizon(void)
{
	static void *plan = NULL;
	bool		isnull;

	fluct_statement_run(&plan, "SELECT coalesce(max(horizon), '-infinity')"
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
		fluct_statement_run(&all, "TRUNCATE sales.industry_spend");
	else
		fluct_statement_run(&unfrozen, "DELETE FROM sales.industry_spend"
							" WHERE bucket >= (SELECT max(horizon)"
							"  FROM sales.rollup_state)");
}

/* ----- begin and end ----- */

FluctDelta *
fluct_delta_begin(Oid rollup)
{
	FluctDelta *delta = palloc0(sizeof(FluctDelta));

	delta->rollup = rollup;
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
	fluct_statement_execute(plan, args);
}

/* Each order for each industry of its customer, by minute. */
static FluctSpend *
spread_orders(Order *orders, int norders, int *n)
{
	Datum	   *customers = palloc(sizeof(Datum) * norders);
	int			ncustomers = 0;
	int			size = norders;
	int			order = 0;
	FluctSpend *rows = palloc(sizeof(FluctSpend) * size);

	qsort(orders, norders, sizeof(Order), compare_orders);
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

/* The arguments of MINUTES; returns how many industries these are. */
static int
net_arguments(const FluctDelta *delta, Datum *args)
{
	int			n = net_links(delta->links, delta->nlinks);
	Datum	   *values = palloc(sizeof(Datum) * 3 * (n + 1));

	for (int i = 0; i < n; i++)
	{
		values[i] = PointerGetDatum(delta->links[i].customer);
		values[n + i] = PointerGetDatum(delta->links[i].industry);
		values[2 * n + i] = Int32GetDatum(delta->links[i].sign);
	}
	args[0] = fluct_query_array(TEXTOID, values, NULL, n);
	args[1] = fluct_query_array(TEXTOID, values + n, NULL, n);
	args[2] = fluct_query_array(INT4OID, values + 2 * n, NULL, n);
	args[3] = TimestampTzGetDatum(delta->horizon);
	return n;
}

static const Oid minutes_types[] = {TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID,
TIMESTAMPTZOID, INT2OID};

static void
flush_links(FluctDelta *delta)
{
	static SPIPlanPtr few = NULL;
	static SPIPlanPtr many = NULL;
	Datum		args[5];
	int			n = net_arguments(delta, args);

	if (n == 0)
		return;
	args[4] = Int16GetDatum(fluct_spend_slot(delta->rollup));
	if (few == NULL)
		few = fluct_query_prepare(rebook_sql, 5, minutes_types, 0);
	if (many == NULL)
		many = fluct_query_prepare(rebook_sql, 5, minutes_types,
								   CURSOR_OPT_CUSTOM_PLAN);
	fluct_statement_execute(n <= FEW_INDUSTRIES ? few : many, args);
}

/* The orders of customers, for each industry that these gained or lost. */
static FluctSpend *
spread_links(FluctDelta *delta, int *n)
{
	static SPIPlanPtr plan = NULL;
	Datum		args[4];
	FluctSpend *rows;

	net_arguments(delta, args);
	if (plan == NULL)
		plan = fluct_query_prepare(MINUTES, 4, minutes_types, 0);
	fluct_statement_execute(plan, args);
	*n = SPI_processed;
	rows = palloc_extended(sizeof(FluctSpend) * (*n + 1), MCXT_ALLOC_HUGE);
	for (int r = 0; r < *n; r++)
	{
		Datum		values[4];

		for (int c = 0; c < 4; c++)
		{
			bool		isnull;

			values[c] = SPI_getbinval(SPI_tuptable->vals[r],
									  SPI_tuptable->tupdesc, c + 1, &isnull);
		}
		rows[r] = (FluctSpend)
		{
			MINUTE, DatumGetTimestampTz(values[0]), copy_text(values[1]),
				DatumGetInt64(values[2]),
				PointerGetDatum(PG_DETOAST_DATUM_COPY(values[3]))
		};
	}
	SPI_freetuptable(SPI_tuptable);
	return rows;
}

/* ----- collecting ----- */

/* Room for one more than n: replication books each row by itself. */
static void *
make_room(void *array, int n, size_t size)
{
	if (n == 0)
		return palloc(FIRST_ROOM * size);
	if (n < FIRST_ROOM || (n & (n - 1)) != 0)
		return array;
	return repalloc(array, 2 * n * size);
}

static void
flush(FluctDelta *delta)
{
	MemoryContext old = MemoryContextSwitchTo(delta->chunk);
	int			n;

	CHECK_FOR_INTERRUPTS();
	if (delta->norders > 0)
	{
		FluctSpend *rows = spread_orders(delta->orders, delta->norders, &n);

		fluct_spend_write(delta->rollup, rows, n);
	}
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
	delta->orders = make_room(delta->orders, delta->norders, sizeof(Order));
	order = &delta->orders[delta->norders++];
	order->customer = copy_text(customer);
	order->minute = fluct_spend_bucket(DatumGetTimestampTz(at), MINUTE);
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

	delta->links = make_room(delta->links, delta->nlinks, sizeof(Link));
	link = &delta->links[delta->nlinks++];
	link->customer = copy_text(customer);
	link->industry = copy_text(industry);
	link->sign = sign;
	MemoryContextSwitchTo(old);
	if (delta->nlinks == CHUNK)
		flush(delta);
}

FluctSpend *
fluct_delta_minutes(FluctDelta *delta, int *n)
{
	MemoryContext old = MemoryContextSwitchTo(delta->chunk);
	FluctSpend *rows = NULL;

	*n = 0;
	if (delta->norders > 0)
		rows = spread_orders(delta->orders, delta->norders, n);
	else if (delta->nlinks > 0)
		rows = spread_links(delta, n);
	MemoryContextSwitchTo(old);
	return rows;
}

void
fluct_delta_drop(FluctDelta *delta)
{
	MemoryContextDelete(delta->chunk);
	pfree(delta);
}

void
fluct_delta_end(FluctDelta *delta)
{
	flush(delta);
	fluct_delta_drop(delta);
}
