/*-------------------------------------------------------------------------
 *
 * argument.c
 *	  Arguments of C functions that must be given.
 *
 * STRICT says so where every argument must be, and no answer is a right
 * answer: a check that says nothing would have passed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pg/argument.h"

void
fluct_argument_require(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}
