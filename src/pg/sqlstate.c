/*-------------------------------------------------------------------------
 *
 * sqlstate.c
 *	  Whose fault an error is, by its SQLSTATE.
 *
 * Streams (blame.c, backoff.c) and inboxes (_error_reason) ask here, so that
 * a message and a file are judged alike.  What is in neither list is the
 * operator's: a table that is gone (42), a feature that is missing (0A), a bug
 * (XX).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "pg/sqlstate.h"

PG_FUNCTION_INFO_V1(fluct_is_of_data);

static bool
in_classes(int sqlstate, const char *const *classes, int count)
{
	for (int i = 0; i < count; i++)
		if (ERRCODE_TO_CATEGORY(sqlstate) ==
			MAKE_SQLSTATE(classes[i][0], classes[i][1], '0', '0', '0'))
			return true;
	return false;
}

bool
fluct_sqlstate_may_pass(int sqlstate)
{
	static const char *const classes[] = {
		"08", "25", "40", "53", "55", "57", "58", "HV"
	};

	return sqlstate == ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED ||
		in_classes(sqlstate, classes, lengthof(classes));
}

/*
 * A sequence that is exhausted (2200H) would refuse any other message, too,
 * until somebody gives it room.
 */
bool
fluct_sqlstate_is_of_data(int sqlstate)
{
	static const char *const classes[] = {"21", "22", "23", "44", "54"};

	return sqlstate != ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED &&
		in_classes(sqlstate, classes, lengthof(classes));
}

bool
fluct_sqlstate_is_raised(int sqlstate)
{
	static const char *const classes[] = {"20", "2F", "38", "39", "P0"};

	return in_classes(sqlstate, classes, lengthof(classes));
}

bool
fluct_sqlstate_is_damage(int sqlstate)
{
	return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_INTERNAL_ERROR &&
		sqlstate != ERRCODE_INTERNAL_ERROR;
}

/* The id of a message is not translated. */
static bool
has_message(const ErrorData *error, const char *id)
{
	return error->message_id != NULL && strcmp(error->message_id, id) == 0;
}

/* ExecFindPartition names no constraint. */
bool
fluct_sqlstate_is_missing_partition(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_CHECK_VIOLATION &&
		has_message(error, "no partition of relation \"%s\" found for row");
}

/* CheckCmdReplicaIdentity */
bool
fluct_sqlstate_is_of_publication(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_INVALID_COLUMN_REFERENCE &&
		(has_message(error, "cannot update table \"%s\"") ||
		 has_message(error, "cannot delete from table \"%s\""));
}

/* Row security has no SQLSTATE of its own. */
bool
fluct_sqlstate_is_row_security(const ErrorData *error)
{
	static const char beginning[] = "new row violates row-level security policy";

	return error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE &&
		error->message_id != NULL &&
		strncmp(error->message_id, beginning, strlen(beginning)) == 0;
}

/* fluct._is_of_data(sqlstate text): fluct_sqlstate_is_of_data, for SQL. */
Datum
fluct_is_of_data(PG_FUNCTION_ARGS)
{
	const char *state = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (strlen(state) != 5)
		elog(ERROR, "invalid SQLSTATE \"%s\"", state);
	PG_RETURN_BOOL(fluct_sqlstate_is_of_data(MAKE_SQLSTATE(state[0], state[1],
														   state[2], state[3],
														   state[4])));
}
