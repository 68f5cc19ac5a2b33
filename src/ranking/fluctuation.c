/*-------------------------------------------------------------------------
 *
 * fluctuation.c
 *	  The aggregate fluctuation(): recent spend against its baseline, by any
 *	  GROUP BY.
 *
 * A group needs two sums and two counts; the windows are the same for all of
 * its rows.  So each row is put into one of the windows, or none, and handed
 * to the transition function of PostgreSQL's own sum(numeric), which is exact
 * and can be combined and serialised.  The quotients come last, each from the
 * exact sums, as in the ranking (sql/ranking/ranking.sql has the formula's source):
 * with r and b the sums and recent ÷ baseline = n/d in lowest terms,
 *
 *	 average = b·n/d    delta = (r·d − b·n)/d    delta_pct = 100·(r·d − b·n)/(b·n)
 *
 * sum(numeric)'s functions want to be called by an aggregate; they see the
 * call context of this one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "common/int.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(fluct_fluctuation_accum);
PG_FUNCTION_INFO_V1(fluct_fluctuation_combine);
PG_FUNCTION_INFO_V1(fluct_fluctuation_serialize);
PG_FUNCTION_INFO_V1(fluct_fluctuation_deserialize);
PG_FUNCTION_INFO_V1(fluct_fluctuation_final);

#define SCALE		20			/* decimals of a quotient */

/* The orders of one window; sum is the state of sum(numeric), 0 before one. */
typedef struct Window
{
	int64		orders;
	Datum		sum;
} Window;

typedef struct State
{
	/* as given: the same for all rows of a group */
	TimestampTz as_of;
	Interval	recent;
	Interval	baseline;

	TimestampTz since;			/* baseline [since, mid), recent [mid, as_of) */
	TimestampTz mid;
	int64		recent_usecs;
	int64		baseline_usecs;
	Window		windows[2];		/* baseline, recent */
} State;

/* ----- the windows ----- */

/* A day is 24 hours, and a month has no length. */
static int64
length_of(const char *name, const Interval *length)
{
	int64		usecs;

	if (length->month != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be in months or years", name),
				 errhint("Allowed are days, hours, minutes, seconds.")));
	if (pg_mul_s64_overflow(length->day, USECS_PER_DAY, &usecs) ||
		pg_add_s64_overflow(usecs, length->time, &usecs) || usecs <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a positive interval", name)));
	return usecs;
}

static State *
make_state(MemoryContext context, TimestampTz as_of, const Interval *recent,
		   const Interval *baseline)
{
	State	   *state = MemoryContextAllocZero(context, sizeof(State));

	if (TIMESTAMP_NOT_FINITE(as_of))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("as_of must be a time")));
	state->as_of = as_of;
	state->recent = *recent;
	state->baseline = *baseline;
	state->recent_usecs = length_of("recent", recent);
	state->baseline_usecs = length_of("baseline", baseline);
	if (pg_sub_s64_overflow(as_of, state->recent_usecs, &state->mid) ||
		pg_sub_s64_overflow(state->mid, state->baseline_usecs, &state->since))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("the windows reach past the beginning of time")));
	return state;
}

static bool
same_interval(const Interval *a, const Interval *b)
{
	return a->month == b->month && a->day == b->day && a->time == b->time;
}

static void
check_same(const State *state, TimestampTz as_of, const Interval *recent,
		   const Interval *baseline)
{
	if (state->as_of != as_of || !same_interval(&state->recent, recent) ||
		!same_interval(&state->baseline, baseline))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("as_of, recent and baseline must be the same for all rows of a group")));
}

static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "called in non-aggregate context");
	return context;
}

/* ----- sum(numeric), called as this aggregate's ----- */

static Datum
call_sum(FunctionCallInfo outer, PGFunction function, int nargs, Datum a,
		 bool a_is_null, Datum b)
{
	LOCAL_FCINFO(fcinfo, 2);

	InitFunctionCallInfoData(*fcinfo, NULL, nargs, InvalidOid,
							 outer->context, NULL);
	fcinfo->args[0].value = a;
	fcinfo->args[0].isnull = a_is_null;
	fcinfo->args[1].value = b;
	fcinfo->args[1].isnull = false;
	return (*function) (fcinfo);
}

/* ----- transition ----- */

Datum
fluct_fluctuation_accum(PG_FUNCTION_ARGS)
{
	State	   *state = PG_ARGISNULL(0) ? NULL : (State *) PG_GETARG_POINTER(0);
	TimestampTz at;
	Window	   *window;

	for (int i = 3; i <= 5; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("as_of, recent and baseline must not be NULL")));
	if (state == NULL)
		state = make_state(aggregate_context(fcinfo), PG_GETARG_TIMESTAMPTZ(3),
						   PG_GETARG_INTERVAL_P(4), PG_GETARG_INTERVAL_P(5));
	else
		check_same(state, PG_GETARG_TIMESTAMPTZ(3), PG_GETARG_INTERVAL_P(4),
				   PG_GETARG_INTERVAL_P(5));
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_POINTER(state);
	at = PG_GETARG_TIMESTAMPTZ(2);
	if (at < state->since || at >= state->as_of)
		PG_RETURN_POINTER(state);
	window = &state->windows[at >= state->mid];
	window->sum = call_sum(fcinfo, numeric_avg_accum, 2, window->sum,
						   window->orders == 0, PG_GETARG_DATUM(1));
	window->orders++;
	PG_RETURN_POINTER(state);
}

/* ----- parts of a group, from parallel workers ----- */

Datum
fluct_fluctuation_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	State	   *state = PG_ARGISNULL(0) ? NULL : (State *) PG_GETARG_POINTER(0);
	State	   *other = PG_ARGISNULL(1) ? NULL : (State *) PG_GETARG_POINTER(1);

	if (other == NULL && state == NULL)
		PG_RETURN_NULL();
	if (other == NULL)
		PG_RETURN_POINTER(state);
	if (state == NULL)
		state = make_state(context, other->as_of, &other->recent,
						   &other->baseline);
	else
		check_same(state, other->as_of, &other->recent, &other->baseline);
	for (int i = 0; i < lengthof(state->windows); i++)
	{
		Window	   *window = &state->windows[i];

		if (other->windows[i].orders == 0)
			continue;
		window->sum = call_sum(fcinfo, numeric_avg_combine, 2, window->sum,
							   window->orders == 0, other->windows[i].sum);
		window->orders += other->windows[i].orders;
	}
	PG_RETURN_POINTER(state);
}

static void
send_interval(StringInfo out, const Interval *interval)
{
	pq_sendint64(out, interval->time);
	pq_sendint32(out, interval->day);
	pq_sendint32(out, interval->month);
}

static Interval
receive_interval(StringInfo in)
{
	Interval	interval;

	interval.time = pq_getmsgint64(in);
	interval.day = pq_getmsgint(in, 4);
	interval.month = pq_getmsgint(in, 4);
	return interval;
}

Datum
fluct_fluctuation_serialize(PG_FUNCTION_ARGS)
{
	State	   *state = (State *) PG_GETARG_POINTER(0);
	StringInfoData out;

	(void) aggregate_context(fcinfo);
	pq_begintypsend(&out);
	pq_sendint64(&out, state->as_of);
	send_interval(&out, &state->recent);
	send_interval(&out, &state->baseline);
	for (int i = 0; i < lengthof(state->windows); i++)
	{
		const Window *window = &state->windows[i];
		bytea	   *sum;

		pq_sendint64(&out, window->orders);
		if (window->orders == 0)
			continue;
		sum = DatumGetByteaPP(call_sum(fcinfo, numeric_avg_serialize, 1,
									   window->sum, false, (Datum) 0));
		pq_sendint32(&out, VARSIZE_ANY_EXHDR(sum));
		pq_sendbytes(&out, VARDATA_ANY(sum), VARSIZE_ANY_EXHDR(sum));
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&out));
}

/* A part of the message as a bytea of its own. */
static Datum
receive_bytea(StringInfo in)
{
	int			len = pq_getmsgint(in, 4);
	bytea	   *result = palloc(VARHDRSZ + len);

	SET_VARSIZE(result, VARHDRSZ + len);
	memcpy(VARDATA(result), pq_getmsgbytes(in, len), len);
	return PointerGetDatum(result);
}

Datum
fluct_fluctuation_deserialize(PG_FUNCTION_ARGS)
{
	bytea	   *serialized = PG_GETARG_BYTEA_PP(0);
	StringInfoData in;
	State	   *state;
	TimestampTz as_of;
	Interval	recent,
				baseline;

	(void) aggregate_context(fcinfo);
	initStringInfo(&in);
	appendBinaryStringInfo(&in, VARDATA_ANY(serialized),
						   VARSIZE_ANY_EXHDR(serialized));
	as_of = pq_getmsgint64(&in);
	recent = receive_interval(&in);
	baseline = receive_interval(&in);
	state = make_state(CurrentMemoryContext, as_of, &recent, &baseline);
	for (int i = 0; i < lengthof(state->windows); i++)
	{
		Window	   *window = &state->windows[i];

		window->orders = pq_getmsgint64(&in);
		if (window->orders > 0)
			window->sum = call_sum(fcinfo, numeric_avg_deserialize, 2,
								   receive_bytea(&in), false, (Datum) 0);
	}
	pq_getmsgend(&in);
	PG_RETURN_POINTER(state);
}

/* ----- the result ----- */

static Datum
multiply(Datum a, int64 b)
{
	return DirectFunctionCall2(numeric_mul, a,
							   NumericGetDatum(int64_to_numeric(b)));
}

/* Numeric division keeps at least the decimals of its dividend. */
static Datum
divide(Datum a, Datum b)
{
	Datum		scaled = DirectFunctionCall2(numeric_round, a,
											 Int32GetDatum(SCALE));
	Datum		ratio = DirectFunctionCall2(numeric_div, scaled, b);

	return DirectFunctionCall1(numeric_trim_scale,
							   DirectFunctionCall2(numeric_round, ratio,
												   Int32GetDatum(SCALE)));
}

static Datum
sum_of(FunctionCallInfo fcinfo, const Window *window)
{
	if (window->orders == 0)
		return NumericGetDatum(int64_to_numeric(0));
	return call_sum(fcinfo, numeric_sum, 1, window->sum, false, (Datum) 0);
}

static int64
greatest_divisor(int64 a, int64 b)
{
	while (b != 0)
	{
		int64		rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

static bool
is_zero(Datum value)
{
	return DatumGetBool(DirectFunctionCall2(numeric_eq, value,
											NumericGetDatum(int64_to_numeric(0))));
}

/* Found once a query, as there may be many groups. */
static TupleDesc
result_desc(FunctionCallInfo fcinfo)
{
	MemoryContext old;
	TupleDesc	desc;

	if (fcinfo->flinfo->fn_extra == NULL)
	{
		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "fluctuation() does not return a row");
		old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		fcinfo->flinfo->fn_extra = BlessTupleDesc(CreateTupleDescCopy(desc));
		MemoryContextSwitchTo(old);
	}
	return fcinfo->flinfo->fn_extra;
}

Datum
fluct_fluctuation_final(PG_FUNCTION_ARGS)
{
	State	   *state = PG_ARGISNULL(0) ? NULL : (State *) PG_GETARG_POINTER(0);
	Datum		values[6];
	bool		nulls[6] = {false};
	int64		divisor;
	Datum		weighted,
				difference,
				d;

	if (state == NULL)
		PG_RETURN_NULL();
	divisor = greatest_divisor(state->recent_usecs, state->baseline_usecs);
	d = NumericGetDatum(int64_to_numeric(state->baseline_usecs / divisor));
	values[0] = sum_of(fcinfo, &state->windows[1]);
	weighted = multiply(sum_of(fcinfo, &state->windows[0]),
						state->recent_usecs / divisor);
	difference = DirectFunctionCall2(numeric_sub,
									 DirectFunctionCall2(numeric_mul, values[0], d),
									 weighted);
	values[1] = divide(weighted, d);
	values[2] = divide(difference, d);
	nulls[3] = is_zero(weighted);
	values[3] = nulls[3] ? (Datum) 0 :
		divide(multiply(difference, 100), weighted);
	values[4] = Int64GetDatum(state->windows[1].orders);
	values[5] = Int64GetDatum(state->windows[0].orders);
	return HeapTupleGetDatum(heap_form_tuple(result_desc(fcinfo), values,
											 nulls));
}
