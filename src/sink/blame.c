/*-------------------------------------------------------------------------
 *
 * blame.c
 *	  Whether the data is to blame for an error of the tables.
 *
 * The SQLSTATE tells (sqlstate.c), but not of what a user's trigger raises:
 * any of its errors is about the row, unless it may pass or storage is damaged.
 * The same goes for what a function raises that an expression of the table calls.
 * Nor of what the rollup's triggers do on tables of their own: whatever is wrong
 * there, no row is to blame.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"

#include "pg/sqlstate.h"
#include "rollup/tables.h"
#include "sink/blame.h"

static int	trigger_depth_at_error = 0;
static bool rollup_at_error = false;

static void
note_trigger_depth(void *arg)
{
	LOCAL_FCINFO(fcinfo, 0);

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	trigger_depth_at_error = DatumGetInt32(pg_trigger_depth(fcinfo));
	rollup_at_error = fluct_rollup_is_working();
}

void
fluct_blame_begin(ErrorContextCallback *callback)
{
	trigger_depth_at_error = 0;
	rollup_at_error = false;
	callback->callback = note_trigger_depth;
	callback->arg = NULL;
	callback->previous = error_context_stack;
	error_context_stack = callback;
}

void
fluct_blame_end(ErrorContextCallback *callback)
{
	error_context_stack = callback->previous;
}

/*
 * Statements were parsed before there was any data.  So what has a wrong syntax
 * now is a value that an expression of the table reads, such as a generated
 * column that casts a text to tsvector or ltree.
 */
static bool
is_unreadable(int sqlstate)
{
	return sqlstate == ERRCODE_INVALID_TEXT_REPRESENTATION ||
		sqlstate == ERRCODE_SYNTAX_ERROR || sqlstate == ERRCODE_INVALID_NAME ||
		sqlstate == ERRCODE_NAME_TOO_LONG;
}

/* The reason for an error of the data that no trigger raised. */
static FluctReason
reason_of(int sqlstate)
{
	if (sqlstate == ERRCODE_STRING_DATA_RIGHT_TRUNCATION ||
		sqlstate == ERRCODE_NAME_TOO_LONG ||
		ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		return FLUCT_TOO_LONG;
	if (is_unreadable(sqlstate))
		return FLUCT_WRONG_TYPE;
	if (sqlstate == ERRCODE_INVALID_DATETIME_FORMAT)
		return FLUCT_BAD_TIMESTAMP;
	if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_DATA_EXCEPTION)
		return FLUCT_OUT_OF_RANGE;
	return FLUCT_CONSTRAINT;
}

bool
fluct_blame_data(const ErrorData *error, FluctReason *reason)
{
	int			sqlstate = error->sqlerrcode;
	bool		of_data = fluct_sqlstate_is_row_security(error) ||
	is_unreadable(sqlstate) || fluct_sqlstate_is_raised(sqlstate) ||
	(fluct_sqlstate_is_of_data(sqlstate) &&
	 !fluct_sqlstate_is_missing_partition(error));
	bool		violation = ERRCODE_TO_CATEGORY(sqlstate) ==
	ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION;

	if (fluct_sqlstate_may_pass(sqlstate) || rollup_at_error ||
		fluct_sqlstate_is_damage(sqlstate))
		return false;
	if (sqlstate == ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION)
	{
		*reason = FLUCT_TRIGGER;
		return true;
	}
	if (trigger_depth_at_error > 0 && !(of_data && violation))
	{
		*reason = FLUCT_TRIGGER;
		return true;
	}
	*reason = reason_of(sqlstate);
	return of_data;
}
