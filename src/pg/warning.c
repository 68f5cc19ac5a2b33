/*-------------------------------------------------------------------------
 *
 * warning.c
 *	  A WARNING for the person who asked.
 *
 * What a query says about its own answer is of no use in the server's log, and
 * a dashboard that asks each second would fill it.  PL/pgSQL has no level that
 * goes to the client alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "pg/argument.h"

PG_FUNCTION_INFO_V1(fluct_warn);

/*
 * fluct._warn(message text, detail text, hint text) RETURNS void
 *
 * Sends the WARNING without the functions that it came through.
 */
Datum
fluct_warn(PG_FUNCTION_ARGS)
{
	char	   *parts[3];
	ErrorContextCallback *callers = error_context_stack;

	fluct_argument_require(fcinfo, 0, "message");
	for (int i = 0; i < 3; i++)
		parts[i] = PG_ARGISNULL(i) ? NULL :
			text_to_cstring(PG_GETARG_TEXT_PP(i));
	error_context_stack = NULL;
	ereport(WARNING_CLIENT_ONLY,
			(errcode(ERRCODE_WARNING),
			 errmsg_internal("%s", parts[0]),
			 parts[1] ? errdetail_internal("%s", parts[1]) : 0,
			 parts[2] ? errhint("%s", parts[2]) : 0));
	error_context_stack = callers;
	PG_RETURN_VOID();
}
