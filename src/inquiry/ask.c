/*-------------------------------------------------------------------------
 *
 * ask.c
 *	  A session asks a worker about a stream.
 *
 * The question goes to a background worker, and the answer comes back in rows
 * (session.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "inquiry/session.h"

#define LONGEST_SILENCE	20000	/* ms without a word of the worker */

PG_FUNCTION_INFO_V1(fluct_ask);

/* ----- asking ----- */

static FluctQuestion
read_question(const char *word)
{
	static const char *const words[] = {"check", "preview", "seek", "reconcile"};

	for (int i = 0; i < lengthof(words); i++)
		if (strcmp(word, words[i]) == 0)
			return (FluctQuestion) i;
	elog(ERROR, "there is no question \"%s\"", word);
}

static void
write_inquiry(FunctionCallInfo fcinfo, FluctInquiry *inquiry)
{
	memset(inquiry, 0, sizeof(FluctInquiry));
	inquiry->database = MyDatabaseId;
	strlcpy(inquiry->stream, text_to_cstring(PG_GETARG_TEXT_PP(0)),
			sizeof(inquiry->stream));
	inquiry->question = read_question(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	inquiry->count = PG_GETARG_INT32(2);
	inquiry->has_start = !PG_ARGISNULL(3);
	if (inquiry->has_start &&
		strlcpy(inquiry->start_at, text_to_cstring(PG_GETARG_TEXT_PP(3)),
				FLUCT_INQUIRY_START_LEN) >= FLUCT_INQUIRY_START_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("start_at is longer than %d bytes",
						FLUCT_INQUIRY_START_LEN - 1)));
}

/* ----- the answer ----- */

static void
keep_row(StringInfo message, ReturnSetInfo *rsinfo, int number)
{
	int			count = pq_getmsgint(message, 2);
	Datum	   *fields = palloc(sizeof(Datum) * count);
	bool	   *nulls = palloc(sizeof(bool) * count);
	int			lower = 1;
	Datum		values[2];
	bool		none[2] = {false, false};

	for (int i = 0; i < count; i++)
	{
		int			len = pq_getmsgint(message, 4);

		nulls[i] = len < 0;
		if (len >= 0)
			fields[i] = PointerGetDatum(cstring_to_text_with_len(pq_getmsgbytes(message, len),
																 len));
	}
	values[0] = Int32GetDatum(number);
	values[1] = PointerGetDatum(construct_md_array(fields, nulls, 1, &count,
												   &lower, TEXTOID, -1, false,
												   TYPALIGN_INT));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, none);
}

static void
receive_answer(FluctErrand *errand, ReturnSetInfo *rsinfo)
{
	StringInfoData message;
	int			number = 0;
	int			kind;

	do
	{
		kind = fluct_errand_next(errand, LONGEST_SILENCE, &message);
		if (kind == FLUCT_ANSWER_ROW)
			keep_row(&message, rsinfo, ++number);
		pfree(message.data);
	} while (kind != FLUCT_ANSWER_END);
}

/*
 * fluct._ask(stream text, question text, count int, start_at text)
 * RETURNS TABLE (number int, fields text[])
 *
 * question is check, preview, seek or reconcile.  Errors: those of the worker,
 * 53400 without a free background worker, 08006 without an answer.
 */
Datum
fluct_ask(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FluctInquiry inquiry;
	FluctErrand errand;

	InitMaterializedSRF(fcinfo, 0);
	write_inquiry(fcinfo, &inquiry);
	fluct_errand_start(&inquiry, "fluct inquiry", &errand);
	PG_ENSURE_ERROR_CLEANUP(fluct_errand_stop, PointerGetDatum(&errand));
	{
		receive_answer(&errand, rsinfo);
	}
	PG_END_ENSURE_ERROR_CLEANUP(fluct_errand_stop, PointerGetDatum(&errand));
	fluct_errand_end(&errand);
	return (Datum) 0;
}
