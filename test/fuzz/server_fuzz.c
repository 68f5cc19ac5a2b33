/*-------------------------------------------------------------------------
 *
 * server_fuzz.c
 *	  Compares the decoder with PostgreSQL's own parser and input functions.
 *
 * A module for tests, linked with the object files of the extension that it
 * tests, so that it needs no extension in the server.
 *
 * fuzz() makes messages, decodes each as a stream does, lets predict.c say
 * what must become of it, and reads the stored values back from the binary
 * form by the receive functions.  A disagreement is a WARNING with the message
 * in hexadecimal, for decode(); at the end they are an ERROR.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "mapping/decode.h"
#include "fmgr.h"
#include "funcapi.h"
#include "messages.h"
#include "miscadmin.h"
#include "predict.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "base/refusal.h"
#include "pg/unixtime.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(fuzz);
PG_FUNCTION_INFO_V1(decode_one);
PG_FUNCTION_INFO_V1(kafka_time);

void		__sanitizer_cov_trace_pc(void);

/* Basic blocks of the decoder; see the Makefile. */
static int64 work = 0;

void
__sanitizer_cov_trace_pc(void)
{
	work++;
}

/* More would only repeat the first. */
#define MOST_DISAGREEMENTS	20

typedef struct Counts
{
	int64		accepted;
	int64		values;
	int64		refused[FLUCT_TRIGGER + 1];
	int			disagreements;
} Counts;

/* ----- the decoder's rows, read back ----- */

/* The next field of a row as text; NULL for NULL. */
static char *
read_field(const FluctColumn *column, const char **at)
{
	StringInfoData bytes;
	Oid			function;
	Oid			param;
	int32		len;

	memcpy(&len, *at, 4);
	len = (int32) pg_ntoh32(len);
	*at += 4;
	if (len < 0)
		return NULL;
	initStringInfo(&bytes);
	appendBinaryStringInfo(&bytes, *at, len);
	*at += len;
	if (column->form == FLUCT_FORM_OTHER)
		return bytes.data;
	getTypeBinaryInputInfo(column->base, &function, &param);
	return fuzz_output(column->base,
					   OidReceiveFunctionCall(function, &bytes, param, -1));
}

/* A time in text, as microseconds. */
static int64
usecs_of(char *text)
{
	Datum		result = (Datum) 0;

	if (fuzz_try_input(TIMESTAMPTZOID, text, &result) != 0)
		elog(ERROR, "not a time: %s", text);
	return DatumGetTimestampTz(result);
}

static bool
agrees(const FuzzExpected *expected, char *text)
{
	Datum		jsonb;

	if (expected->unknown)
		return true;
	if (expected->text == NULL || text == NULL)
		return expected->text == text;
	if (expected->nearly)
		return llabs(usecs_of(text) - usecs_of(expected->text)) <= 1;
	if (expected->column->form == FLUCT_FORM_JSON)
	{
		if (fuzz_try_input(JSONBOID, text, &jsonb) != 0)
			return false;
		text = fuzz_output(JSONBOID, jsonb);
	}
	return strcmp(text, expected->text) == 0;
}

/* NULL, or what differs. */
static char *
compare_rows(const FluctMapping *mapping, const FluctRows *rows,
			 const FuzzPrediction *prediction)
{
	ListCell   *lc = list_head(prediction->values);

	for (int t = 0; t < mapping->ntargets; t++)
	{
		const FluctTarget *target = &mapping->targets[t];
		const char *at = rows[t].stored.data.data;
		const char *end = at + rows[t].stored.data.len;

		while (at < end)
		{
			at += 2;			/* the number of fields */
			for (int c = 0; c < target->ncolumns; c++)
			{
				FuzzExpected *expected = lc ? lfirst(lc) : NULL;
				char	   *text = read_field(&target->columns[c], &at);

				if (expected == NULL || expected->column != &target->columns[c])
					return psprintf("rows of %s were not expected", target->name);
				if (!agrees(expected, text))
					return psprintf("column %s is %s, expected %s",
									target->columns[c].name,
									text ? text : "NULL",
									expected->text ? expected->text : "NULL");
				lc = lnext(prediction->values, lc);
			}
		}
	}
	return lc == NULL ? NULL : pstrdup("rows are missing");
}

/* compare_rows, in which an ERROR of a receive function is a difference. */
static char *
compare_stored(const FluctMapping *mapping, const FluctRows *rows,
			   const FuzzPrediction *prediction)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner resources = CurrentResourceOwner;
	char	   *volatile difference = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		difference = compare_rows(mapping, rows, prediction);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		difference = psprintf("can't be stored: %s", CopyErrorData()->message);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = resources;
	return difference;
}

/* ----- one message ----- */

static char *
names_of(uint32 reasons)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i <= FLUCT_TRIGGER; i++)
		if (reasons & FUZZ_REASON(i))
			appendStringInfo(&names, "%s%s", names.len > 0 ? " or " : "",
							 fluct_reason_name(i));
	return names.data;
}

static bool
decode(FluctMapping *mapping, const char *bytes, size_t len, FluctRows **rows,
	   FluctRefusal *refusal)
{
	FluctMessage message = {0};

	message.topic = "fuzz";
	message.value = bytes;
	message.value_len = message.full_len = len;
	message.time_ms = -1;
	memset(refusal, 0, sizeof(*refusal));
	*rows = fluct_decode_begin(mapping, 1);
	return fluct_decode_message(mapping, *rows, 0, &message, refusal);
}

static void
check_message(FluctMapping *mapping, const StringInfoData *message,
			  int64 seed, int64 iteration, Counts *counts)
{
	FuzzPrediction prediction;
	FluctRefusal refusal;
	FluctRows  *rows;
	char	   *difference = NULL;
	bool		accepted = decode(mapping, message->data, message->len, &rows, &refusal);

	fuzz_predict(&prediction, mapping, message->data, message->len);
	if (prediction.unknown)
		return;
	if (accepted != (prediction.reasons == 0) ||
		(!accepted && !(prediction.reasons & FUZZ_REASON(refusal.reason))))
		difference = psprintf("expected %s", prediction.reasons ?
							  names_of(prediction.reasons) : "acceptance");
	else if (accepted)
		difference = compare_stored(mapping, rows, &prediction);
	if (accepted)
		counts->values += list_length(prediction.values);
	counts->accepted += accepted;
	counts->refused[refusal.reason] += !accepted;
	if (difference == NULL)
		return;
	counts->disagreements++;
	ereport(WARNING,
			(errmsg("seed " INT64_FORMAT " iteration " INT64_FORMAT ", %s %s: %s",
					seed, iteration, mapping->targets[0].name,
					mapping->targets[0].columns[0].name, difference),
			 errdetail("The decoder says %s %s %s; jsonb_in %s.\n%s\n%s",
					   accepted ? "accepted" : fluct_reason_name(refusal.reason),
					   refusal.path, refusal.detail,
					   prediction.sqlstate ? unpack_sql_state(prediction.sqlstate) : "accepts",
					   pnstrdup(message->data, message->len),
					   TextDatumGetCString(DirectFunctionCall2(binary_encode,
															   PointerGetDatum(cstring_to_text_with_len(message->data, message->len)),
															   CStringGetTextDatum("hex"))))));
}

/* ----- functions ----- */

/* Compiles a mapping of each target; array arguments of equal length. */
static FluctMapping **
compile_all(ArrayType *targets, ArrayType *mappings, int *n)
{
	Datum	   *relids;
	Datum	   *texts;
	int			ntexts;
	FluctMapping **result;

	deconstruct_array(targets, REGCLASSOID, 4, true, TYPALIGN_INT, &relids, NULL, n);
	deconstruct_array(mappings, JSONBOID, -1, false, TYPALIGN_INT, &texts, NULL, &ntexts);
	if (*n != ntexts)
		elog(ERROR, "%d targets, %d mappings", *n, ntexts);
	result = palloc(sizeof(FluctMapping *) * ntexts);
	for (int i = 0; i < ntexts; i++)
	{
		result[i] = fluct_mapping_compile(DatumGetObjectId(relids[i]),
										  DatumGetJsonbP(texts[i]), "nothing",
										  NULL, NULL, CurrentMemoryContext);
		fluct_mapping_ready(result[i]);
	}
	return result;
}

static void
read_samples(ArrayType *array, FuzzSamples *samples)
{
	Datum	   *values;

	deconstruct_array(array, BYTEAOID, -1, false, TYPALIGN_INT, &values, NULL,
					  &samples->count);
	samples->samples = palloc(sizeof(StringInfoData) * samples->count);
	for (int i = 0; i < samples->count; i++)
	{
		bytea	   *value = DatumGetByteaPP(values[i]);

		initStringInfo(&samples->samples[i]);
		appendBinaryStringInfo(&samples->samples[i], VARDATA_ANY(value),
							   VARSIZE_ANY_EXHDR(value));
	}
}

static FuzzKind
kind_for(const FluctColumn *column)
{
	if (column->format == FLUCT_FORMAT_TEXT)
		return FUZZ_NUMBER_TEXT;
	if (column->format != FLUCT_FORMAT_PLAIN)
		return FUZZ_NUMBER;
	return column->form == FLUCT_FORM_TIMESTAMP ? FUZZ_TIMESTAMP :
		column->form == FLUCT_FORM_DATE ? FUZZ_DATE :
		column->form == FLUCT_FORM_UUID ? FUZZ_UUID :
		column->form == FLUCT_FORM_BOOL ? FUZZ_BOOL :
		column->form == FLUCT_FORM_TEXT || column->form == FLUCT_FORM_BYTEA ? FUZZ_STRING :
		column->form >= FLUCT_FORM_INT2 && column->form <= FLUCT_FORM_FLOAT8 ? FUZZ_NUMBER :
		FUZZ_ANY;
}

static char *
summary(const Counts *counts)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, INT64_FORMAT " accepted, with " INT64_FORMAT " values",
					 counts->accepted, counts->values);
	for (int i = 1; i <= FLUCT_TRIGGER; i++)
		if (counts->refused[i] > 0)
			appendStringInfo(&text, ", " INT64_FORMAT " %s", counts->refused[i],
							 fluct_reason_name(i));
	return text.data;
}

/*
 * fuzz(iterations bigint, seed bigint, first bigint, samples bytea[],
 *		targets regclass[], mappings jsonb[]) returns text
 *
 * The first mapping is that of orders; each other one maps `$.v` to a column.
 */
Datum
fuzz(PG_FUNCTION_ARGS)
{
	int64		iterations = PG_GETARG_INT64(0);
	int64		seed = PG_GETARG_INT64(1);
	int64		first = PG_GETARG_INT64(2);
	FuzzSamples samples;
	int			nmappings;
	FluctMapping **mappings = compile_all(PG_GETARG_ARRAYTYPE_P(4),
										  PG_GETARG_ARRAYTYPE_P(5), &nmappings);
	Counts		counts = {0};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fuzz",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;

	read_samples(PG_GETARG_ARRAYTYPE_P(3), &samples);
	old = MemoryContextSwitchTo(context);
	for (int64 i = first; i < first + iterations; i++)
	{
		StringInfoData message;
		FluctMapping *mapping = mappings[0];

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		initStringInfo(&message);
		fuzz_seed(seed, i);
		if (fuzz_below(3) == 0)
			fuzz_order_message(&message, &samples);
		else
		{
			mapping = mappings[1 + fuzz_below(nmappings - 1)];
			fuzz_value_message(&message, kind_for(&mapping->targets[0].columns[0]));
		}
		check_message(mapping, &message, seed, i, &counts);
		if (counts.disagreements >= MOST_DISAGREEMENTS)
			break;
	}
	MemoryContextSwitchTo(old);
	if (counts.disagreements > 0)
		ereport(ERROR, (errmsg("%d disagreements", counts.disagreements)));
	PG_RETURN_TEXT_P(cstring_to_text(summary(&counts)));
}

/*
 * decode_one(message bytea, target regclass, mapping jsonb,
 *			  OUT verdict text, OUT stored text, OUT work bigint,
 *			  OUT kilobytes bigint)
 *
 * What the decoder says of one message, what it stores in the first column,
 * and what that costs: the basic blocks that it runs through, and the memory
 * that is held when it is decoded.
 */
Datum
decode_one(PG_FUNCTION_ARGS)
{
	bytea	   *value = PG_GETARG_BYTEA_PP(0);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "decode",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	FluctMapping *mapping = fluct_mapping_compile(PG_GETARG_OID(1), PG_GETARG_JSONB_P(2),
												  "nothing", NULL, NULL, context);
	Size		before = MemoryContextMemAllocated(context, true);
	FluctRefusal refusal;
	FluctRows  *rows;
	bool		accepted;
	int64		begin;
	Datum		values[4];
	bool		nulls[4] = {false};
	char	   *stored = NULL;
	const char *at;
	TupleDesc	desc;

	fluct_mapping_ready(mapping);
	begin = work;
	accepted = decode(mapping, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value),
					  &rows, &refusal);
	values[2] = Int64GetDatum(work - begin);
	values[3] = Int64GetDatum((MemoryContextMemAllocated(context, true) - before) / 1024);
	at = rows[0].stored.data.data + 2;
	if (accepted)
		stored = read_field(&mapping->targets[0].columns[0], &at);
	MemoryContextSwitchTo(old);
	values[0] = CStringGetTextDatum(accepted ? "accepted" : fluct_reason_name(refusal.reason));
	nulls[1] = stored == NULL;
	if (stored)
		values[1] = CStringGetTextDatum(stored);
	MemoryContextDelete(context);
	get_call_result_type(fcinfo, NULL, &desc);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* kafka_time(ms bigint) returns timestamptz */
Datum
kafka_time(PG_FUNCTION_ARGS)
{
	TimestampTz time;

	if (!fluct_unixtime_to_timestamp(PG_GETARG_INT64(0), &time))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(time);
}
