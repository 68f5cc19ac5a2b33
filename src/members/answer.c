/*-------------------------------------------------------------------------
 *
 * answer.c
 *	  What a member can be asked, and what it answers.
 *
 * One question is one statement of this list, so that whoever may ask gets
 * the rankings' sums and nothing else by a user mapping that is not theirs (the
 * one for PUBLIC).
 *
 * A member is another server, perhaps of another version, or something that
 * only looks like one.  So an answer is checked before anything is made of it:
 * the number of its columns and rows, the encoding, and whether each field is a
 * value of its type, numbers being finite.  What is not right is the member's
 * fault and is reported with its name, as silence is; else the error of a cast
 * would name nobody, and allow_missing could not go without that member.
 *
 * Rows come one by one and go to a tuplestore, which work_mem limits in memory
 * and temp_file_limit on disk: a member that sends rows without end costs the
 * timeout and no more.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "members/answer.h"
#include "pg/attempt.h"
#include "pg/printable.h"

#define MOST_OF_A_REASON	200 /* bytes */

static const FluctQuestion questions[] = {
	{"spend", "SELECT * FROM fluct._member_spend_1($1, $2, $3)",.one = true,
		.ncolumns = 6,.columns = {{.ours = "_shortfall"}, {TIMESTAMPTZOID},
	{TIMESTAMPTZOID}, {JSONBOID}, {.ours = "_member_spend",.is_array = true}, {INT8OID}}},
	{"explain", "SELECT * FROM fluct._member_explain_1($1, $2, $3, $4)",
	.ncolumns = 4,.columns = {{TEXTOID}, {TEXTOID}, {NUMERICOID}, {NUMERICOID}}},
	{"streams", "SELECT * FROM fluct._member_streams_1()",.shown = true,
		.ncolumns = 12,.columns = {{TEXTOID}, {TEXTOID}, {TEXTOID}, {INT8OID}, {INTERVALOID},
	{INT8OID}, {INT8OID}, {TIMESTAMPTZOID}, {INT4ARRAYOID}, {TEXTOID}, {INT4OID}, {BOOLOID}}},
	{"state", "SELECT * FROM fluct._member_state_1($1)",.one = true,.shown = true,
	.ncolumns = 5,.columns = {{TEXTOID}, {INTERVALOID}, {BOOLOID}, {TEXTOID}, {TEXTOID}}},
	{"health", "SELECT * FROM fluct._member_health_1()",.shown = true,
	.ncolumns = 6,.columns = {{TEXTOID}, {TEXTOID}, {TEXTOID}, {TIMESTAMPTZOID}, {TEXTOID}, {TEXTOID}}},
	{"unattributed", "SELECT * FROM fluct._member_unattributed_1()",
		.ncolumns = 7,.columns = {{TEXTOID}, {TEXTOID}, {TEXTOID}, {INT8OID}, {NUMERICOID},
	{TIMESTAMPTZOID}, {TIMESTAMPTZOID}}},
	{"orders", "SELECT * FROM fluct._member_orders_1($1, $2, $3)",
	.ncolumns = 2,.columns = {{TEXTOID}, {INT8OID}}},
	{"take_over", "SELECT * FROM fluct._take_over_1($1, $2, $3, $4, $5)",
	.writes = true,.one = true,.shown = true,.ncolumns = 1,.columns = {{TEXTOID}}},
};

struct FluctAnswer
{
	const FluctQuestion *question;
	Datum		member;
	TupleDesc	desc;			/* member, missing, answer */
	Tuplestorestate *rows;
	int64		nrows;
	MemoryContext row;			/* reset after each */
};

const FluctQuestion *
fluct_answer_question(const char *name)
{
	for (int i = 0; i < lengthof(questions); i++)
		if (strcmp(questions[i].name, name) == 0)
			return &questions[i];
	return NULL;
}

/* ----- as it comes ----- */

FluctAnswer *
fluct_answer_begin(const FluctQuestion *question, const char *member, TupleDesc desc)
{
	FluctAnswer *answer = palloc0(sizeof(FluctAnswer));

	answer->question = question;
	answer->member = CStringGetTextDatum(member);
	answer->desc = desc;
	answer->rows = tuplestore_begin_heap(false, false, work_mem);
	answer->row = AllocSetContextCreate(CurrentMemoryContext, "fluct answer",
										ALLOCSET_DEFAULT_SIZES);
	return answer;
}

static Datum
field_of(const FluctQuestion *question, const PGresult * result, int row, int column)
{
	char	   *value = PQgetvalue(result, row, column);

	if (question->shown)
		value = fluct_printable(value, PQgetlength(result, row, column));
	return CStringGetTextDatum(value);
}

static void
add_row(FluctAnswer *answer, const PGresult * result, int row)
{
	int			ncolumns = answer->question->ncolumns;
	Datum		values[3] = {answer->member};
	bool		nulls[3] = {false, true, false};
	Datum		fields[FLUCT_ANSWER_COLUMNS];
	bool		absent[FLUCT_ANSWER_COLUMNS];
	int			dims[] = {ncolumns};
	int			lower[] = {1};

	for (int c = 0; c < ncolumns; c++)
	{
		absent[c] = PQgetisnull(result, row, c);
		fields[c] = absent[c] ? (Datum) 0 :
			field_of(answer->question, result, row, c);
	}
	values[2] = PointerGetDatum(construct_md_array(fields, absent, 1, dims, lower,
												   TEXTOID, -1, false, TYPALIGN_INT));
	tuplestore_putvalues(answer->rows, answer->desc, values, nulls);
	answer->nrows++;
}

static bool
is_encoded(const PGresult * result, int row)
{
	for (int c = 0; c < PQnfields(result); c++)
		if (!pg_verifymbstr(PQgetvalue(result, row, c), PQgetlength(result, row, c), true))
			return false;
	return true;
}

char *
fluct_answer_add(FluctAnswer *answer, const PGresult * result)
{
	const FluctQuestion *question = answer->question;

	if (PQnfields(result) != question->ncolumns)
		return psprintf("its answer has %d columns instead of %d",
						PQnfields(result), question->ncolumns);
	if (question->one && answer->nrows + PQntuples(result) > 1)
		return pstrdup("its answer has more than one row");
	for (int r = 0; r < PQntuples(result); r++)
	{
		MemoryContext before;

		if (!is_encoded(result, r))
			return pstrdup("its answer has an invalid byte sequence");
		before = MemoryContextSwitchTo(answer->row);
		add_row(answer, result, r);
		MemoryContextSwitchTo(before);
		MemoryContextReset(answer->row);
	}
	return NULL;
}

void
fluct_answer_clear(FluctAnswer *answer)
{
	tuplestore_clear(answer->rows);
	answer->nrows = 0;
}

/* ----- once it is there ----- */

typedef struct Input
{
	Oid			type;			/* InvalidOid = any text will do */
	Oid			param;
	FmgrInfo	function;
} Input;

static Oid
type_of(const FluctAnswerColumn *column)
{
	Oid			type = column->type;

	if (!OidIsValid(type))
		type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
							   CStringGetDatum(column->ours),
							   ObjectIdGetDatum(get_namespace_oid("fluct", false)));
	return column->is_array ? get_array_type(type) : type;
}

static bool
find_inputs(const FluctQuestion *question, Input *inputs)
{
	bool		any = false;

	for (int c = 0; c < question->ncolumns; c++)
	{
		Oid			function;

		inputs[c].type = type_of(&question->columns[c]);
		if (inputs[c].type == TEXTOID)
			inputs[c].type = InvalidOid;
		if (!OidIsValid(inputs[c].type))
			continue;
		any = true;
		getTypeInputInfo(inputs[c].type, &function, &inputs[c].param);
		fmgr_info(function, &inputs[c].function);
	}
	return any;
}

static void
read_row(Input *inputs, Datum row)
{
	Datum	   *fields;
	bool	   *nulls;
	int			n;

	deconstruct_array(DatumGetArrayTypeP(row), TEXTOID, -1, false, TYPALIGN_INT,
					  &fields, &nulls, &n);
	for (int c = 0; c < n; c++)
	{
		Datum		value;

		if (nulls[c] || !OidIsValid(inputs[c].type))
			continue;
		value = InputFunctionCall(&inputs[c].function, TextDatumGetCString(fields[c]),
								  inputs[c].param, -1);
		if (inputs[c].type == NUMERICOID &&
			(numeric_is_nan(DatumGetNumeric(value)) || numeric_is_inf(DatumGetNumeric(value))))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("a number is not finite")));
	}
}

/* An answer whose fields are read. */
typedef struct Reading
{
	FluctAnswer *answer;
	Input		inputs[FLUCT_ANSWER_COLUMNS];
} Reading;

static void
read_rows(void *arg)
{
	Reading    *reading = arg;
	FluctAnswer *answer = reading->answer;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(answer->desc,
													&TTSOpsMinimalTuple);

	tuplestore_rescan(answer->rows);
	while (tuplestore_gettupleslot(answer->rows, true, false, slot))
	{
		bool		isnull;
		MemoryContext before = MemoryContextSwitchTo(answer->row);

		read_row(reading->inputs, slot_getattr(slot, 3, &isnull));
		MemoryContextSwitchTo(before);
		MemoryContextReset(answer->row);
		CHECK_FOR_INTERRUPTS();
	}
	ExecDropSingleTupleTableSlot(slot);
}

/* Only what the text itself is to blame for; all else is an ERROR. */
static char *
reason_of(ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
	int			length;

	if (category != ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) &&
		category != ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED))
		ReThrowError(error);
	length = pg_mbcliplen(error->message, strlen(error->message), MOST_OF_A_REASON);
	return psprintf("its answer is not valid: %.*s", length, error->message);
}

char *
fluct_answer_check(FluctAnswer *answer)
{
	Reading		reading = {answer};
	ErrorData  *error;

	if (answer->question->one && answer->nrows != 1)
		return pstrdup("its answer has no row");
	if (!find_inputs(answer->question, reading.inputs))
		return NULL;
	error = fluct_attempt(read_rows, &reading);
	return error ? reason_of(error) : NULL;
}

void
fluct_answer_give(FluctAnswer *answer, ReturnSetInfo *rsinfo)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(answer->desc,
													&TTSOpsMinimalTuple);

	tuplestore_rescan(answer->rows);
	while (tuplestore_gettupleslot(answer->rows, true, false, slot))
		tuplestore_puttupleslot(rsinfo->setResult, slot);
	ExecDropSingleTupleTableSlot(slot);
}
